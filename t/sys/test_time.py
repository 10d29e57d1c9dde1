# SPDX-License-Identifier: GPL-3.0-or-later
"""Months in seconds: zoneseald on a clock that the test moves. Primary and secondary are real and live in real time; only
zoneseald's day passes. After each step the test waits until the daemon has nothing left to do at that time, then looks."""

import calendar
import json
import os
import random
import re
import signal
import struct
import time

import dns.edns
import dns.message
import dns.query
import dns.rcode
import pytest

import chain
import clocked
import faults
import harness
import zones
from chain import ZONE, Chain
from harness import wait_for

MINUTE, HOUR, DAY = 60, 3600, 86400
VALIDITY, REFRESH, JITTER = 14 * DAY, 5 * DAY, 12 * HOUR  # the defaults
ALONG = REFRESH // 10


def seconds(text):
    """A time of a report."""
    return calendar.timegm(time.strptime(text, "%Y-%m-%dT%H:%M:%SZ")) if text else None


class Timed:
    """A line whose zoneseald lives by a clock of ours."""

    def __init__(self, rig, text=None, zone=ZONE, **how):
        self.clock = clocked.Clock(rig)
        self.line = Chain(rig, text=text, zone=zone, **how)
        self.seal, self.zone = self.line.seal, zone

    def start(self):
        self.line.primary.start()
        self.line.secondary.start()
        return self.restart()

    def restart(self):
        self.seal.start(env=self.clock.env(), program="zoneseald-clk")
        return self

    def stop(self):
        self.seal.stop()

    def report(self, zone=None):
        everything = json.loads(self.seal.http("/stats")[1])
        return next(z for z in everything["zones"] if z["zone"] == (zone or self.zone))

    def calm(self, zone=None, signing=True, behind=True):
        """Nothing under way and nothing due: every timer of the zone that this time has reached has had its turn."""
        z = self.report(zone)
        due = seconds((z.get("version") or {}).get("next_refresh"))
        if z["busy"] or (signing and (due is None or due <= self.clock.wall)):
            return None
        if behind and z["served"] and self.line.secondary.process.poll() is None and any(s["serial"] != z["signed_serial"] for s in z["secondaries"]):
            self.clock.advance(0.25)  # it was asked before it had the version: it is asked again in a while
            return None
        return z

    def settle(self, zone=None, **how):
        try:
            return wait_for(lambda: self.calm(zone, **how), "calm", alive=[self.seal.process])
        except harness.Failure as e:
            raise harness.Failure("%s; %s" % (e, json.dumps(self.report(zone))[:3000])) from None

    def step(self, by, zone=None, **how):
        self.clock.advance(by)
        return self.settle(zone, **how)


def big_zone(serial, names, refresh=DAY, retry=HOUR, expire=90 * DAY):
    """No timer of upstream is short; several hundred RRsets."""
    soa = "%s 3600 IN SOA ns1.%s hostmaster.%s %d %d %d %d 300\n" % (ZONE, ZONE, ZONE, serial, refresh, retry, expire)
    body = zones.sample(ZONE, serial).split("\n", 1)[1]
    for n in range(names):
        body += "h%d.%s 300 IN A 192.0.2.%d\nh%d.%s 300 IN TXT \"host %d\"\n" % (n, ZONE, n % 250 + 1, n, ZONE, n)
    return soa + body


def signatures(path):
    """(owner, type covered, tag) -> (inception, expiry)"""
    out = {}
    for owner, _, rtype, rdata in chain.records(path):
        if rtype != "RRSIG":
            continue
        f = rdata.split()
        expiry, inception = (calendar.timegm(time.strptime(t, "%Y%m%d%H%M%S")) for t in f[4:6])
        out[owner.lower(), f[0], f[6]] = (inception, expiry)
    return out


class Watch:
    """Looks at the served zone after each step: what has expired, what was replaced, whether the serial goes up only."""

    def __init__(self, timed, on_secondary=True):
        self.t, self.serial, self.sigs = timed, None, {}
        self.replaced, self.versions, self.early = {}, 0, []

    def look(self, hsm_up):
        now, serial = self.t.clock.wall, self.t.seal.serial(self.t.zone)
        assert serial is not None
        if serial != self.serial:
            assert self.serial is None or 0 < (serial - self.serial) % 2**32 < 2**31, (self.serial, serial)
            self.take(now, serial)
        for what, (inception, expiry) in self.sigs.items():
            assert inception <= now, "%s: inception %d is %d s ahead" % (what, inception, inception - now)
            assert expiry > now, "%s: expired %d s ago" % (what, now - expiry)
            assert not hsm_up or expiry - now >= REFRESH, "%s: %d s left, not replaced" % (what, expiry - now)

    def take(self, now, serial):
        self.t.line.secondary.wait_serial(self.t.zone, serial)
        path = self.t.line.secondary.axfr(self.t.zone, os.path.join(self.t.line.secondary.dir, "axfr-now"))
        new = signatures(path)
        assert not self.sigs or new.keys() == self.sigs.keys(), "signatures of %s" % (new.keys() ^ self.sigs.keys())
        for what, times in new.items():
            old = self.sigs.get(what)
            if old in (None, times):
                continue
            self.replaced[what] = self.replaced.get(what, 0) + 1
            if what[1] != "SOA" and old[1] - now > REFRESH + ALONG:
                self.early.append((what, old[1] - now))
        self.serial, self.sigs, self.path = serial, new, path
        self.versions += 1

    def judge(self):
        """The judges that can be told the time."""
        now = self.t.clock.wall
        at = {"kzonecheck": ["kzonecheck", "-o", self.t.zone, "-d", "on", "-t", str(now), self.path],
              "ldns-verify-zone": ["ldns-verify-zone", "-V2", "-t", time.strftime("%Y%m%d%H%M%S", time.gmtime(now)), self.path]}
        for name, argv in at.items():
            r = harness.run(argv, timeout=120)
            assert r.returncode == 0, "%s at %d: %s" % (name, now, (r.stdout + r.stderr)[-1500:])


def made(timed):
    return timed.report()["counters"]["signatures_made"]


def test_sixty_days_with_the_hsm_away_for_three(rig):
    """Days 20 to 23 without the HSM, a restart in the middle of them and one later; nothing changes upstream."""
    hsm = faults.FaultyHsm(rig)
    t = Timed(rig, text=big_zone(1, 400), policy_options={"denial": "nsec3"}, keystore=hsm.keystore()).start()
    t.line.published(1)
    t.settle()
    w, rng = Watch(t), random.Random(60)
    w.look(True)
    w.judge()
    n = len(w.sigs)
    assert n > 1000
    # a version of more than 1,000 signatures spreads their ends over three quarters of validity - refresh
    ends = [e for _, e in w.sigs.values()]
    assert max(ends) - min(ends) > (VALIDITY - REFRESH) * 3 // 4 * 9 // 10
    begin, tests, away, was_away = t.clock.wall, set(), False, 0
    total = made(t)["refresh"]
    while t.clock.wall - begin < 60 * DAY:
        day = (t.clock.wall - begin) / DAY
        gone = 20 <= day < 23
        if gone and not away:
            hsm.leave(t.seal)
        elif away and not gone:
            hsm.come_back(t.seal)
        away = gone
        was_away += gone
        if (gone and day > 21.5 and "away" not in tests) or (day > 40 and "later" not in tests):
            tests.add("away" if gone else "later")
            total += made(t)["refresh"]
            t.stop()
            t.restart()
            assert wait_for(lambda: t.seal.serial(ZONE), "the stored version") == w.serial
            if not gone:  # a clock that jumps in the middle of its opening makes that a call that hangs
                wait_for(lambda: t.seal.metric("zoneseal_keystore_up", keystore="hsm") == 1, "the key store")
        t.step(rng.randint(1, 6) * HOUR, signing=not gone)
        if gone:
            assert t.seal.metric("zoneseal_keystore_up", keystore="hsm") == 0
        w.look(not gone)
        for mark in (1, 19, 22.9, 23.5, 33, 47, 59):
            if day > mark and mark not in tests:
                tests.add(mark)
                w.judge()
    total += made(t)["refresh"]
    w.judge()
    assert was_away > 10 and {"away", "later"} <= tests
    # each RRset about 60 / (14 - 5 - some hours) times, the SOA in every version, nothing for another reason
    plain = {k: c for k, c in w.replaced.items() if k[1] != "SOA"}
    assert len(plain) == n - 1 and all(5 <= c <= 8 for c in plain.values()), sorted(plain.items(), key=lambda x: x[1])[::len(plain) - 1]
    assert not w.early, w.early[:5]
    assert w.versions < 60 * DAY / ALONG + 30
    assert sum(plain.values()) <= total <= sum(plain.values()) + 2 * n
    counters = t.report()["counters"]
    assert not counters["vetoes"] and counters["signatures_made"]["new"] == 0 and not t.seal.alarms(ZONE)


# --- upstream-expire ----------------------------------------------------------------------------------------------


def rcode(addr, zone, **how):
    r = harness.ask(addr, zone, "SOA", **how)
    return None if r is None else dns.rcode.to_text(r.rcode())


def edns_expire(addr, zone):
    """RFC 7314."""
    q = dns.message.make_query(zone, "SOA", use_edns=0, options=[dns.edns.GenericOption(9, b"")])
    for o in dns.query.tcp(q, addr, timeout=5, port=harness.PORT).options:
        if o.otype == 9:
            return struct.unpack("!I", o.to_wire() if hasattr(o, "to_wire") else o.data)[0]
    return None


MODES = {"stop.example.": "stop", "some.example.": "serve:30d", "ever.example.": "serve"}


def expiring(serial, zone):
    """SOA expire of a week, asked twice a day."""
    soa = "%s 3600 IN SOA ns1.%s h.%s %d %d %d %d 300\n" % (zone, zone, zone, serial, 12 * HOUR, HOUR, 7 * DAY)
    return soa + zones.small(zone, serial).split("\n", 1)[1]


def tried(t, zone):
    """A round over the primaries has failed at this very time."""
    z = t.report(zone)
    return z["upstream"]["failed_rounds"] and not z["busy"]


def test_primary_away_past_soa_expire(rig):
    t = Timed(rig, zone="stop.example.", text=expiring(1, "stop.example."), zone_options={"upstream-expire": "stop"})
    for z in list(MODES)[1:]:
        t.line.primary.add_zone(z, expiring(1, z))
        t.line.secondary.add_zone(z)
        t.seal.zone(z, [t.line.primary], [t.line.secondary], **{"upstream-expire": MODES[z]})
    t.start()
    serial = {}
    for z in MODES:
        t.seal.wait_published(z, 1)
        serial[z] = t.settle(z)["signed_serial"]
    for _ in range(8):  # a primary that agrees resets the clock
        for z in MODES:
            t.step(4 * HOUR, z)
    t.line.primary.stop()
    gone = min(seconds(t.report(z)["upstream"]["last_check"]) for z in MODES)

    def go(to):
        """Until day `to` of the absence, served zones calm."""
        while t.clock.wall - gone < to * DAY:
            t.clock.advance(min(6 * HOUR, int(to * DAY) - (t.clock.wall - gone)))
            for z in MODES:
                t.settle(z)
        for z in MODES:
            wait_for(lambda: tried(t, z), "a failed round")

    def states():
        t.clock.advance(MINUTE + 1)  # expiry is looked at once a minute
        return {z: rcode(t.seal.addr, z) for z in MODES}

    all_served = {z: "NOERROR" for z in MODES}
    go(6.9)
    assert states() == all_served
    assert [z for z in MODES if "expired" in t.seal.alarms(z)] == ["stop.example."]  # soon
    assert t.seal.alarms("stop.example.")["expired"].startswith("not served from 20")
    assert 0 < edns_expire(t.seal.addr, "stop.example.") <= 0.2 * DAY
    go(7.6)  # all were checked within half a day
    stopped = dict(all_served, **{"stop.example.": "SERVFAIL"})
    wait_for(lambda: states() == stopped, "`stop` to stop")
    assert all("expired" in wait_for(lambda: t.seal.alarms(z), "an alarm") for z in MODES)
    assert not t.report("stop.example.")["served"] and t.report("ever.example.")["served"]
    assert t.seal.http("/stats")[0] == 200
    refused = harness.run(["dig", "@" + t.seal.addr, "-p", str(harness.PORT), "-b", t.line.secondary.addr, "-t", "AXFR", "-q", "stop.example."])
    assert "RRSIG" not in refused.stdout
    t.stop()  # survives a restart; the first checks are made before anything counts as expired
    t.restart()
    wait_for(lambda: states() == stopped, "the same after a restart")
    go(20)
    assert states() == stopped
    for z in ("some.example.", "ever.example."):  # re-signed although upstream is away
        assert t.report(z)["signed_serial"] > serial[z]
        assert seconds(t.report(z)["earliest_expiry"]) - t.clock.wall > REFRESH - HOUR
    assert re.search("still served and re-signed, until 20.*Z$", t.seal.alarms("some.example.")["expired"])
    go(36.4)
    assert states() == stopped
    t.stop()
    t.restart()
    wait_for(lambda: states() == stopped, "the same after another restart")
    go(37.6)  # 7 + 30 days
    wait_for(lambda: states() == dict(stopped, **{"some.example.": "SERVFAIL"}), "`serve:30d` to end")
    t.line.primary.start()
    for z in MODES:
        t.seal.ctl("zone", "refresh", z)
    wait_for(lambda: {z: rcode(t.seal.addr, z) for z in MODES} == all_served, "all to be served again")
    wait_for(lambda: not any("expired" in t.seal.alarms(z) for z in MODES), "the alarms to go")


def test_a_hold_does_not_stop_the_clock(rig):
    """Upstream answers, but has another serial than what is held back: that the zone will not be served shows before."""
    t = Timed(rig, policy_options={}, text=expiring(1, ZONE), zone_options={"upstream-expire": "stop"}).start()
    t.line.published(1)
    t.settle()
    end = t.report()["upstream"]["serve_end"]
    assert seconds(end) == seconds(t.report()["upstream"]["last_check"]) + 7 * DAY
    t.seal.ctl("zone", "hold", ZONE)
    t.line.primary.change(ZONE, expiring(2, ZONE))

    def to(day):
        while (left := seconds(end) - (7 - day) * DAY - t.clock.wall) > 0:
            t.clock.advance(min(6 * HOUR, left))
            t.settle()
            end_now = t.report()["upstream"]["serve_end"]
            assert end_now == end, end_now
        t.clock.advance(MINUTE + 1)
        t.settle()
        return t.seal.alarms(ZONE)
    assert list(to(5.2)) == ["held"]
    wait_for(lambda: to(5.3).get("expired") == "not served from %s on, unless a primary agrees with the stored serial; it is on hold until "
             "`zone release`" % end, "the alarm")
    assert "served until " + end in re.sub(" +", " ", t.seal.ctl("zone", "status", ZONE).stdout)
    assert rcode(t.seal.addr, ZONE) == "NOERROR" and t.seal.ctl("check", ZONE).returncode == 2
    t.seal.ctl("zone", "release", ZONE)
    t.seal.wait_published(ZONE, 2)
    wait_for(lambda: not t.seal.alarms(ZONE), "the alarms to go")


def test_soa_expire_below_refresh(rig):
    """Such a zone is asked for before it expires, and often enough when its primary is away for a while."""
    soa = "%s 3600 IN SOA ns1.%s h.%s 1 %d %d 600 300\n" % (ZONE, ZONE, ZONE, DAY, DAY)
    text = soa + zones.small(ZONE, 1).split("\n", 1)[1]
    t = Timed(rig, policy_options={}, text=text, zone_options={"upstream-expire": "stop"}).start()
    t.line.published(1)

    def due():
        """At the time of the next look at upstream, and it has been taken."""
        before = t.report()["upstream"]["next_check"]
        t.clock.advance(max(1, seconds(before) - t.clock.wall + 1))
        wait_for(lambda: t.report()["upstream"]["next_check"] not in (None, before) and not t.report()["busy"], "a look at upstream",
                 alive=[t.seal.process])
        return t.report()["upstream"]
    for _ in range(6):
        assert t.clock.wall - seconds(due()["last_check"]) <= 1
        assert seconds(t.report()["upstream"]["next_check"]) <= t.clock.wall + 300
    t.line.primary.stop()
    away = due()
    assert away["failed_rounds"] == 1 and t.clock.wall < seconds(away["next_check"]) <= t.clock.wall + 150
    t.line.primary.start()
    assert due()["failed_rounds"] == 0
    assert rcode(t.seal.addr, ZONE) == "NOERROR" and "past its SOA expire" not in t.seal.log()


# --- the clock itself (G15) ----------------------------------------------------------------------------------------


def test_wall_clock_that_jumps_stops_signing_not_serving(rig):
    t = Timed(rig, policy_options={}).start()
    serial = t.line.published(1)
    t.settle()
    for jump in (365 * DAY, -400 * DAY):
        before = made(t)
        t.clock.jump(jump, 5)
        wait_for(lambda: t.seal.metric("zoneseal_clock_plausible") == 0, "the clock fault")
        t.line.primary.change(ZONE, zones.sample(ZONE, serial + 1))
        t.seal.wait_alarm(ZONE, "clock")
        for _ in range(7):  # under the ten minutes after which clocks that agree again are believed
            t.clock.advance(MINUTE)
            t.settle(signing=False, behind=False)
            assert t.seal.serial(ZONE) == serial and made(t) == before
        t.seal.wait_alarm(ZONE, "clock")
        assert rcode(t.seal.addr, ZONE) == "NOERROR" and len(chain.records(t.seal.axfr(ZONE))) > 30
        t.clock.jump(-jump)
        for _ in range(12):
            t.clock.advance(2 * MINUTE)
            t.settle(signing=False, behind=False)
        t.seal.ctl("zone", "refresh", ZONE)
        newer = t.line.published(serial + 1)
        t.settle()
        assert newer > serial and not t.seal.alarms(ZONE)
        sigs = signatures(t.seal.axfr(ZONE)).values()
        assert max(i for i, _ in sigs) <= t.clock.wall and max(e for _, e in sigs) <= t.clock.wall + VALIDITY
        serial = newer


def test_another_distance_is_taken_on_order_only(rig):
    """A machine that started with a wrong clock, put right later: nobody but the operator can tell that from the opposite."""
    t = Timed(rig, policy_options={}).start()
    serial = t.line.published(1)
    t.settle()
    t.clock.jump(2 * DAY, 5)
    t.line.primary.change(ZONE, zones.sample(ZONE, 2))
    t.seal.wait_alarm(ZONE, "clock")
    for _ in range(14):
        t.clock.advance(MINUTE)
        t.settle(signing=False, behind=False)
    t.seal.wait_alarm(ZONE, "clock")
    assert t.seal.serial(ZONE) == serial
    assert t.seal.ctl("zone", "release", ZONE).returncode == 0
    t.seal.ctl("zone", "refresh", ZONE)
    assert t.line.published(2) > serial
    assert not t.seal.alarms(ZONE)


def test_wall_clock_that_jumps_expires_nothing(rig):
    """A wrong clock is no reason to believe that upstream has been away for a year, nor that it answered in a year's time."""
    t = Timed(rig, policy_options={}, text=expiring(1, ZONE), zone_options={"upstream-expire": "stop"}).start()
    t.line.published(1)
    t.settle()
    t.line.primary.stop()
    t.clock.jump(365 * DAY, 5)
    t.seal.ctl("zone", "refresh", ZONE)
    wait_for(lambda: tried(t, ZONE), "a failed round")
    for _ in range(3):
        t.clock.advance(MINUTE + 1)
        t.settle(signing=False, behind=False)
    assert rcode(t.seal.addr, ZONE) == "NOERROR"
    t.line.primary.start()
    t.seal.ctl("zone", "refresh", ZONE)
    wait_for(lambda: t.report()["upstream"]["failed_rounds"] == 0, "the primary to answer")
    t.clock.jump(-365 * DAY, 5)
    t.settle(signing=False, behind=False)
    assert seconds(t.report()["upstream"]["expire"]) <= t.clock.wall + 7 * DAY


# --- the end ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stage", ["signing", "refresh"])
def test_the_end_needs_no_clock(rig, stage):
    """SIGTERM in the midst of a change or a refresh, while the clock of the tests stands still: the engine ends by itself,
    though the vault has stopped and answers nobody; the parent waits for the vault by the sun's clock."""
    t = Timed(rig, text=big_zone(1, 300), policy_options={}).start()
    serial = t.line.published(1)
    t.settle()
    vault = t.seal.child("vault")[0]
    os.kill(vault, signal.SIGSTOP)
    try:
        if stage == "signing":
            t.line.primary.change(ZONE, big_zone(2, 310))
            t.seal.ctl("zone", "refresh", ZONE)
            t.seal.wait_zone(ZONE, lambda s: s["state"] == "build", "a change on its way")
        else:
            t.clock.advance(4 * DAY)  # their ends are spread
            t.seal.wait_zone(ZONE, lambda s: not s["version"]["next_refresh"], "a refresh on its way")
        t.stop()
        assert "killed" not in t.seal.log().split("stopping")[1]
    finally:
        if os.path.exists("/proc/%d" % vault):
            os.kill(vault, signal.SIGCONT)
    t.restart()

    def goes_on():
        t.clock.advance(1)
        return (harness.serial_at(t.line.secondary.addr, ZONE) or serial) != serial
    wait_for(goes_on, "a new version", alive=[t.seal.process])


def test_clock_before_the_last_inception_after_a_restart(rig):
    """The boot clock says nothing about the time before a start: the stored inceptions do."""
    t = Timed(rig, policy_options={}).start()
    serial = t.line.published(1)
    t.settle()
    t.stop()
    t.clock.jump(-30 * DAY, 5)
    t.restart()
    wait_for(lambda: t.seal.serial(ZONE), "the stored version")
    t.line.primary.change(ZONE, zones.sample(ZONE, 2))
    t.seal.wait_alarm(ZONE, "clock")
    assert t.seal.serial(ZONE) == serial
    t.clock.jump(30 * DAY, 5)
    t.stop()  # the distance of this start was taken from the wrong time
    t.restart()
    assert t.line.published(2) > serial
