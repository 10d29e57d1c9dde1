# SPDX-License-Identifier: GPL-3.0-or-later
"""A commit that is not synced: the generation takes no version any more. What is served is copied into the next one, with no
word of upstream's and whatever an operator holds, and what was due goes out. zoneseald-crash fails the calls."""

import errno
import glob
import os
import re
import subprocess
import sys

import pytest

import clocked
import harness
import seal
from chain import ZONE, Chain
from harness import wait_for
from test_damage import Damaged, record
from test_trouble import numbered

sys.path.insert(0, os.path.join(harness.ROOT, "t"))
from crash_world import COUNT, FAIL_FROM, Page  # noqa: E402

DAY = 86400


class Failing:
    """A line whose daemon's calls on the zone's files can be made to fail."""

    def __init__(self, rig, **more):
        subprocess.run(["make", "-s", "-C", seal.build_dir(), "zoneseald-crash"], check=True, capture_output=True, timeout=600)
        self.clock = rig.add(clocked.Running(rig, 2))
        self.line = c = Chain(rig, text=numbered(ZONE, 1, 40), **more)
        self.seal = c.seal
        self.page = Page(os.path.join(c.seal.dir, "page"))
        self.page.arm(COUNT, os.path.join(c.seal.state_dir, "zones"), err=errno.EIO)
        c.primary.start()
        c.secondary.start()
        c.seal.start(env=dict(self.clock.env(), ZONESEAL_CRASH=self.page.path), program="zoneseald-crash")
        c.published(1)
        c.primary.change(ZONE, numbered(ZONE, 2, 41))
        self.serial = c.published(2)

    def generation(self):
        with open(glob.glob(os.path.join(self.seal.state_dir, "zones", "*", "*", "CURRENT"))[0]) as f:
            return f.readline().strip()

    def status(self):
        return self.seal.status(ZONE)

    def said(self, what):
        return len(re.findall(what, self.seal.log()))

    directory, damage = Damaged.directory, Damaged.damage

    def newer(self):
        old, self.serial = self.serial, wait_for(lambda: (s := self.seal.serial(ZONE) or 0) > self.serial and s, "a newer version")
        return self.serial - old


def expiry(f):
    return f.seal.metric("zoneseal_zone_rrsig_earliest_expiry_timestamp_seconds", zone=ZONE)


def refreshed(f):
    f.clock.skip(10 * DAY)
    f.newer()
    wait_for(lambda: expiry(f) > f.clock.wall + 5 * DAY, "all of it to be refreshed")


def test_upstream_is_away(rig):
    """A change fails, and then nobody has the zone any more."""
    f = Failing(rig)
    old = f.generation()
    f.page.aim(FAIL_FROM, 1)
    f.line.primary.change(ZONE, numbered(ZONE, 3, 42))
    f.seal.wait_alarm(ZONE, "store", "cannot be copied yet: ")
    wait_for(lambda: (f.status()["renewal"] or {}).get("tries", 0) > 1, "a second try")
    assert "renewal" in f.seal.ctl("zone", "status", ZONE).stdout
    assert f.seal.serial(ZONE) == f.serial and f.generation() == old
    f.line.primary.stop()
    f.line.verify()
    f.page.mode(COUNT)
    wait_for(lambda: f.said("event=renewed"), "the renewal")
    assert f.generation() != old
    wait_for(lambda: "store" not in f.seal.alarms(ZONE), "the alarm to go without another version")
    refreshed(f)
    wait_for(lambda: not f.status()["busy"], "the end of the work")
    serial = f.status()["signed_serial"]
    f.seal.stop()
    f.seal.start(env=dict(f.clock.env(), ZONESEAL_CRASH=f.page.path), program="zoneseald-crash")
    wait_for(lambda: (f.status().get("signed_serial") or 0) >= serial, "what is stored")


@pytest.mark.parametrize("at", [1, 2, 3])
def test_while_it_is_held(rig, at):
    """Calls fail from one of a refresh on, on hold: writing, syncing, the meta page. Orders are carried out all the same."""
    f = Failing(rig)
    old, published = f.generation(), f.said("event=published")
    assert f.seal.ctl("zone", "hold", ZONE, "renewal").returncode == 0
    f.line.primary.stop()
    f.page.aim(FAIL_FROM, at)
    f.clock.skip(10 * DAY)
    f.seal.wait_alarm(ZONE, "store", "cannot be copied yet: ")
    f.page.mode(COUNT)
    f.newer()
    wait_for(lambda: expiry(f) > f.clock.wall + 5 * DAY, "all of it to be refreshed")
    assert f.said("event=renewed") and f.generation() != old and f.said("event=published") == published
    wait_for(lambda: "store" not in f.seal.alarms(ZONE), "the alarm to go")
    assert f.status()["renewal"] is None
    assert f.seal.ctl("zone", "rollback", "--wait", ZONE, "u1").returncode == 0
    assert f.status()["upstream_serial"] == 1 and f.status()["hold"]


def cannot_write(f, upstream):
    """A change fails, and so does the copy."""
    f.page.aim(FAIL_FROM, 1)
    f.line.primary.change(ZONE, numbered(ZONE, upstream, 40 + upstream))
    f.seal.wait_alarm(ZONE, "store", "cannot be copied yet: ")


def test_tries_get_rarer(rig):
    """5 s, and twice as long each time: five of them in two minutes."""
    f = Failing(rig)
    cannot_write(f, 3)
    for _ in range(24):
        f.clock.skip(5)
        for _ in range(20):
            f.seal.http("/healthz")  # the loop had its turns
    assert 2 <= f.status()["renewal"]["tries"] <= 7
    f.page.mode(COUNT)
    f.clock.skip(600)
    wait_for(lambda: f.said("event=renewed"), "the renewal")
    assert f.line.published(3) > f.serial


def test_what_is_damaged_is_not_carried_over(rig):
    """It is built anew from upstream instead."""
    f = Failing(rig)
    cannot_write(f, 3)
    f.damage(record([b"h7"], 1), at=20)
    f.page.mode(COUNT)
    f.seal.wait_zone(ZONE, lambda s: (s["damage"] or {}).get("kept_as") and not s["damage"]["open"] and not s["busy"], "a new generation")
    assert not f.said("event=renewed") and f.said("event=damaged")
    assert f.line.published(3) > f.serial
    f.line.verify()
    wait_for(lambda: "store" not in f.seal.alarms(ZONE), "the alarm to go")
    assert f.status()["renewal"] is None


def test_a_build_is_faster(rig):
    """It brings the next generation while the next try of the copy is minutes away: nothing waits for that any more."""
    f = Failing(rig, policy_options={"denial": "nsec"})
    f.page.aim(FAIL_FROM, 1)
    f.clock.skip(10 * DAY)
    f.seal.wait_alarm(ZONE, "store", "cannot be copied yet: ")
    while f.status()["renewal"]["tries"] < 6:
        f.clock.skip(5)
    f.clock.rate = 0.5
    f.page.mode(COUNT)
    f.seal.conf["policies"][0]["denial"] = "nsec3"
    f.seal.reload()
    f.seal.wait_zone(ZONE, lambda s: s["version"]["denial"] == "nsec3", "another generation")
    f.line.primary.change(ZONE, numbered(ZONE, 3, 42))
    assert f.line.published(3) > f.serial
    assert f.status()["renewal"] is None and not f.said("event=renewed")
