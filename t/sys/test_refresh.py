# SPDX-License-Identifier: GPL-3.0-or-later
"""Refreshes with a slow key store: signing does not pause, what is signed goes out every minute, and a change of content
does not wait for it. The clock is the tests'; the key store takes real time for each signature."""

import re

import pytest

import faults
import harness
from chain import ZONE
from test_time import DAY, REFRESH, Timed, big_zone, signatures

pytestmark = pytest.mark.slow
NAMES = 600  # two RRsets each, and their NSEC records


def versions(t):
    return [tuple(map(int, m)) for m in re.findall(r"event=refreshed serial=(\d+) upstream=(\d+) rrsets=(\d+)", t.seal.log())]


def ends(t):
    return sorted(e for _, e in signatures(t.seal.axfr(ZONE)).values())


def slow(rig):
    hsm = faults.FaultyHsm(rig)
    t = Timed(rig, text=big_zone(1, NAMES), policy_options={"denial": "nsec", "signatures": {"jitter": "0s"}}, keystore=hsm.keystore(sessions=2)).start()
    t.line.published(1)
    t.settle()
    return hsm, t


def test_a_change_overtakes_refreshes_and_takes_along_what_is_signed(rig):
    hsm, t = slow(rig)
    total = len(ends(t))
    t.clock.advance(ends(t)[-1] - REFRESH - t.clock.wall - 60)  # nearly all of them are due
    hsm.faults("latency_us 5000")  # of each call: with two sessions 200 signatures a second at most

    def first():
        t.clock.advance(0.5)
        return versions(t)
    harness.wait_for(first, "a refresh", 60)
    done = len(hsm.calls("C_Sign"))
    harness.wait_for(lambda: len(hsm.calls("C_Sign")) > done + 300, "more signatures", 60)  # the clock stands: no version closes
    hsm.faults("latency_us 20000")
    before = t.seal.serial(ZONE)
    t.line.primary.change(ZONE, big_zone(2, NAMES).replace("h7.%s 300 IN A 192.0.2.8" % ZONE, "h7.%s 300 IN A 192.0.2.77" % ZONE))
    t.seal.ctl("zone", "refresh", ZONE)
    t.seal.wait_published(ZONE, 2, 20)
    log = t.seal.log()
    line = re.search(r"event=published serial=\d+ upstream=2 rrsets=(\d+) signatures=(\d+)", log)
    assert line, "the change as a version"
    assert int(line.group(1)) > 100, "what was signed goes along"
    assert sum(v[2] for v in versions(t)) + int(line.group(1)) < total  # there was more to sign
    hsm.faults()

    def settled():
        t.clock.advance(1)
        return t.calm()
    harness.wait_for(settled, "the rest", 120)
    now, served = t.clock.wall, ends(t)
    assert served[0] - now >= REFRESH
    # more than a tenth of the zone was due: not all of it ends at once again
    assert served[-1] - served[-len(served) // 2] > DAY
    assert not t.seal.alarms(ZONE) and t.seal.serial(ZONE) > before


def test_versions_close_every_minute(rig):
    """And not earlier, while no expiry is near."""
    hsm, t = slow(rig)
    first = ends(t)[0]
    t.clock.advance(first - REFRESH - t.clock.wall + DAY)  # what was spread over the first day is due, and the first half of the next
    hsm.faults("latency_us 10000")
    at = []

    def step():
        t.clock.advance(2)
        n = len(versions(t))
        at.extend([t.clock.wall] * (n - len(at)))
        return t.calm()
    harness.wait_for(step, "all of it", 200)
    assert all(b - a >= 58 for a, b in zip(at[:-1], at[1:-1])), at  # the last one closes when nothing is left
    assert ends(t)[0] - t.clock.wall >= REFRESH and not t.seal.alarms(ZONE)
    all_of_them = versions(t)  # at may lack the last one, which came while calm() asked
    assert sum(v[2] for v in all_of_them) - len(all_of_them) <= t.report()["counters"]["signatures_made"]["refresh"]
