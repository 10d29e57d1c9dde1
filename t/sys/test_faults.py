# SPDX-License-Identifier: GPL-3.0-or-later
"""Seeded faults between signing and gate, in whole daemons (t/faulty.c): whatever is wrong with a version is vetoed by
name, the last good version stays, and when the fault is gone the version goes out. One zone for each fault and denial,
all in one daemon, so that they wait together. The clock is faster than the sun, for the back-off."""

import glob
import os
import re
import signal

import pytest

import clocked
import harness
import seal
import servers
import zones
from harness import wait_for
from test_follow import transfers

RATE = 10
NSEC, NSEC3, OPTOUT = "nsec", "nsec3", "optout"
BOTH = (NSEC, NSEC3)

# Fault -> the gate's name for it, the denials that it makes sense with. REFUSED: the vault's message guard does not sign
# it, one layer before the gate. REPAIRED: what the gate's check of each value finds is signed anew, and the version is right.
REFUSED, REPAIRED = "refused by the message guard", "a stored signature does not verify, made anew"
SIGNED = {
    "glue": ("signed-must-not", BOTH), "delegation": ("signed-must-not", BOTH), "unsigned": ("missing-signature", BOTH),
    "expired": ("signature-times", BOTH), "soon": ("signature-times", BOTH), "future": (REFUSED, BOTH), "covered": (REFUSED, BOTH),
    "labels": (REFUSED, BOTH), "signature-ttl": (REFUSED, BOTH), "tag": (REFUSED, BOTH), "signer": (REFUSED, BOTH), "ksk": (REFUSED, BOTH),
}
CHAIN = {
    "gap": ("chain-gap", BOTH), "gap-delegation": ("chain-gap", BOTH), "gap-wildcard": ("chain-gap", BOTH),
    "gap-ent": ("chain-gap", (NSEC3, OPTOUT)), "ghost": ("chain-ghost", BOTH), "next": ("chain-link", BOTH),
    "bitmap-less": ("bitmap", BOTH), "bitmap-more": ("bitmap", BOTH), "opt-out": ("opt-out", (NSEC3, OPTOUT)),
    "iterations": ("nsec3-param", (NSEC3,)),
}
ENCODED = {
    "sig-bit": ("bad-signature", BOTH), "sig-lost": ("missing-signature", BOTH), "sig-short": ("bad-signature", BOTH),
    "sig-twice": ("duplicate-signature", BOTH), "rdata": ("bad-signature", BOTH), "record-lost": ("bad-signature", BOTH),
    "ttl": ("bad-signature", BOTH), "expiry-time": ("expiry-index", BOTH),
}
STORED = {
    "octet": ("stored-value", BOTH), "denial-octet": ("stored-value", BOTH), "stored-signature": ("stored-value|bad-signature", BOTH),
    "soa-octet": ("stored-value", BOTH), "soa-signature": ("bad-signature", BOTH), "swap": ("expiry-index", BOTH),
    "denial-lost": ("chain-gap", BOTH), "entry-lost": ("expiry-index", BOTH), "soa-lost": ("apex", BOTH), "ns-lost": ("apex", BOTH),
    "dnskey-lost": ("apex", BOTH), "param-lost": ("nsec3-param", (NSEC3,)), "rrset-lost": ("expiry-index", BOTH),
}
FAULTS = dict(SIGNED, **CHAIN, **ENCODED, **STORED)
# What a version says it changed; a first version says nothing. The veto's next try leaves a gap instead, and goes out.
HISTORY = "history"
SAID = {f: (HISTORY, BOTH) for f in ("history-record", "history-serial", "history-lost")}
# And what of upstream's content; a refresh says nothing of that.
USER = {f: (HISTORY, (NSEC,)) for f in ("user-record", "user-serial", "user-lost")}
# What a change does to others, and one thing of it forgotten (moving() says what changes).
LAPSES = {
    "name-new": ("chain-gap", BOTH), "wild-new": ("chain-gap", BOTH), "ent-new": ("chain-gap", (NSEC3, OPTOUT)),
    "name-gone": ("chain-ghost", BOTH), "ent-gone": ("chain-ghost", (NSEC3, OPTOUT)), "name-hidden": ("chain-ghost", BOTH),
    "ent-hidden": ("chain-ghost", (NSEC3, OPTOUT)), "name-seen": ("chain-gap", BOTH), "ent-seen": ("chain-gap", (NSEC3, OPTOUT)),
    "cut-came": ("bitmap|chain-ghost", BOTH + (OPTOUT,)), "cut-went": ("bitmap|chain-gap", BOTH + (OPTOUT,)),
    "ds-came": ("bitmap|chain-gap", BOTH + (OPTOUT,)), "ds-went": ("bitmap|chain-ghost", BOTH + (OPTOUT,)), "bitmap-old": ("bitmap", BOTH),
    "plan-changed": ("missing-signature", BOTH), "plan-new": ("missing-signature", (NSEC3,)), "plan-hidden": ("signed-must-not", BOTH),
    "plan-seen": ("missing-signature", BOTH), "plan-cut": ("signed-must-not", (NSEC,)), "plan-uncut": ("missing-signature", (NSEC3,)),
    "plan-ds": ("missing-signature", BOTH), "link": ("chain-link", BOTH), "chain-lost": ("chain-gap", BOTH),
    "chain-ttl": ("denial-ttl", BOTH), "gone-kept": ("chain-ghost", BOTH),
    "kept-signature": (REPAIRED, (NSEC,)), "entry-stale": ("expiry-index", (NSEC3,)), "entry-gone": ("expiry-index", (NSEC,)),
    "entry-other": ("expiry-index", (NSEC3,)),
}
# In a change they are on the same way as in a build, or what the index knows finds them first; with one kind of chain each.
CHANGED = {f: c for f, c in dict(SIGNED, **ENCODED, **STORED).items() if f not in ("ns-lost", "dnskey-lost", "param-lost")}
CHANGED.update({"denial-lost": ("bitmap", BOTH), "soa-lost": ("expiry-index", BOTH), "rrset-lost": ("missing-signature", BOTH)})
CHANGED = {f: (c[0], (c[1][n % len(c[1])],)) for n, (f, c) in enumerate(CHANGED.items())}
CHANGED.update({f: CHAIN[f] for f in ("next", "bitmap-less", "bitmap-more", "opt-out", "iterations")}, **LAPSES, **SAID, **USER)
# A refresh replaces what is there: what it loses shows where the index points. The chain is not made anew.
AGAIN = {f: c for f, c in dict(SIGNED, **ENCODED, **STORED).items() if f not in ("glue", "delegation", "swap")}
AGAIN.update({f: ("expiry-index", AGAIN[f][1]) for f in ("denial-lost", "soa-lost", "ns-lost", "dnskey-lost", "param-lost")})
AGAIN.update(SAID, **{"entry-stale": ("expiry-index", BOTH)})


DS = "DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"


def lines(zone, some):
    return "".join("%s\n" % line.replace("@@", zones.under(zone)) for line in some)


def text(zone, serial):
    """Small: all of it falls due together and is refreshed in one version."""
    return zones.head(zone, serial) + lines(zone, (
        "www.@@ 300 IN A 192.0.2.%d" % serial, "www.@@ 300 IN A 192.0.2.80", "www.@@ 300 IN AAAA 2001:db8::80",
        "www.@@ 300 IN TXT \"number %d\"" % serial, "www.@@ 300 IN TYPE%d \\# 1 00" % (65280 + serial),
        "swap.@@ 300 IN TXT \"serial %d\"" % serial, "x.www.@@ 300 IN A 192.0.2.94",
        "*.wild.@@ 300 IN TXT \"from the wildcard\"", "deep.in.an.ent.@@ 300 IN A 192.0.2.81",
        "ins.@@ 3600 IN NS ns.ins.@@", "ns.ins.@@ 3600 IN A 192.0.2.%d" % (90 + serial), "sec.@@ 3600 IN NS ns1.@@", "sec.@@ 3600 IN " + DS))


def moving(zone, serial):
    """With names, empty ones, delegations and DS that come or go with the second version."""
    once = ["gone.@@ 300 IN A 192.0.2.10", "a.goneent.@@ 300 IN A 192.0.2.11", "uncut.@@ 3600 IN NS ns1.@@", "nods.@@ 3600 IN " + DS]
    later = ["new.@@ 300 IN A 192.0.2.12", "*.nwild.@@ 300 IN TXT \"a new one\"", "a.newent.@@ 300 IN A 192.0.2.13", "cut.@@ 3600 IN NS ns1.@@",
             "ds.@@ 3600 IN " + DS, "ins.@@ 3600 IN NS ns%d.example.net." % serial]
    return text(zone, serial) + lines(zone, [
        "cut.@@ 300 IN TXT \"below\"", "x.cut.@@ 300 IN A 192.0.2.14", "a.ent.cut.@@ 300 IN A 192.0.2.15",
        "uncut.@@ 300 IN TXT \"above\"", "x.uncut.@@ 300 IN A 192.0.2.16", "a.ent.uncut.@@ 300 IN A 192.0.2.17",
        "ds.@@ 3600 IN NS ns1.@@", "nods.@@ 3600 IN NS ns1.@@"] + (once if serial == 1 else later))


class Faulty:
    def __init__(self, rig, table, text=text):
        self.rig, self.text = rig, text
        self.clock = rig.add(clocked.Running(rig, RATE))
        self.faults = rig.dir("faults")
        self.seal = seal.Zoneseal(rig)
        self.primary = servers.KINDS["nsd"](rig, "primary", None, [self.seal])
        self.secondary = servers.KINDS["nsd"](rig, "secondary", None, [self.seal])
        self.seal.peer = self.secondary.addr
        policy = {NSEC: {"denial": "nsec"}, NSEC3: {"denial": "nsec3"}, OPTOUT: {"denial": "nsec3", "nsec3": {"opt-out": True}}}
        for name, options in policy.items():
            self.seal.policy("with-" + name, **options)
        self.zones = {}
        for fault, (check, denials) in table.items():
            for denial in denials:
                zone = "%s.%s.example." % (fault, denial)
                self.zones[zone] = (fault, check)
                self.primary.add_zone(zone, self.text(zone, 1))
                self.secondary.add_zone(zone)
                self.seal.zone(zone, [self.primary], [self.secondary], "with-" + denial)

    def restart(self):
        self.seal.start(env=dict(self.clock.env(), ZONESEAL_TEST_FAULTS=self.faults), program="zoneseald-faulty")

    def start(self):
        self.primary.start()
        self.secondary.start()
        self.restart()

    def on(self, before=None):
        log = self.seal.log()
        self.vetoes = before if before is not None else self.counted()
        self.refused = {z: log.count("%s: event=alarm alarm=signing: " % z) for z in self.zones}
        for zone, (fault, _) in self.zones.items():
            with open(os.path.join(self.faults, zone[:-1]), "w") as f:
                f.write(fault)

    def off(self):
        for zone in self.zones:
            os.unlink(os.path.join(self.faults, zone[:-1]))

    def change(self, serial):
        for zone in self.zones:
            self.primary.write(zone, self.text(zone, serial))
        self.primary.process.signal(signal.SIGHUP)

    def counted(self):
        """(zone, check) -> vetoes so far."""
        found = re.findall(r'zoneseal_gate_vetoes_total\{(.*?)\} (\d+)', self.seal.http("/metrics")[1])
        return {tuple(re.search('%s="(.*?)"' % x, labels).group(1) for x in ("zone", "check")): int(n) for labels, n in found}

    def list(self):
        return {z["zone"]: z for z in self.seal.json("zone", "list")["zones"]}

    def missed(self):
        """The zones whose fault has no name yet."""
        now, zones_now, log = self.counted(), self.list(), self.seal.log()
        out = []
        for zone, (_, check) in self.zones.items():
            if check == REFUSED:  # this alarm goes and comes with each try
                named = log.count("%s: event=alarm alarm=signing: " % zone) > self.refused.get(zone, 0)
            elif check == REPAIRED:
                named = "%s: event=bad-signature: %s" % (zone, REPAIRED) in log
            elif check == HISTORY:
                named = now.get((zone, check), 0) > self.vetoes.get((zone, check), 0)
            else:
                named = "vetoed" in zones_now[zone]["alarms"] and any(now.get((zone, c), 0) > self.vetoes.get((zone, c), 0) for c in check.split("|"))
            if not named:
                out.append(zone)
        return out

    def named(self):
        """Until each zone is vetoed by the name of its fault, in metric, log and alarm."""
        left = []

        def done():
            left[:] = self.missed()
            return not left
        try:
            wait_for(done, "all faults to be named", alive=[self.seal.process])
        except harness.Failure:
            said = [(z, self.zones[z], self.seal.status(z)["counters"]["vetoes"], self.seal.alarms(z)) for z in left]
            raise harness.Failure("not named: %s" % said) from None
        log = self.seal.log()
        for zone, (_, check) in self.zones.items():
            if check == REFUSED:
                assert re.search(r"%s: event=alarm alarm=signing: .*%s" % (re.escape(zone), REFUSED), log), zone
            if check == HISTORY:
                assert re.search(r"%s: event=finding check=history" % re.escape(zone), log), zone
            if check in (REFUSED, REPAIRED, HISTORY):
                continue
            reason = self.seal.alarms(zone)
            assert any(c in reason.get("vetoed", "") for c in check.split("|")), (zone, reason)
            # what the vault's answers were made again for has lines of its own
            assert check == "bad-signature" or re.search(r"%s: event=finding check=(%s)" % (re.escape(zone), check), log), zone

    def healed(self, serials):
        """Until every zone has left this signed serial, at the secondary too, and no alarm is left."""
        left = []

        def done():
            left[:] = [(z, s["alarms"]) for z, s in self.list().items() if s["signed_serial"] in (None, serials.get(z)) or s["alarms"]]
            return not left
        try:
            wait_for(done, "all zones to heal", alive=[self.seal.process])
        except harness.Failure:
            raise harness.Failure("not healed: %s" % left) from None
        for zone, s in self.list().items():
            self.secondary.wait_serial(zone, s["signed_serial"])

    def serials(self):
        return {z: s["signed_serial"] for z, s in self.list().items() if self.zones[z][1] not in (REPAIRED, HISTORY)}

    def served(self):
        """What the public sees of each zone."""
        return {z: sorted(open(self.secondary.axfr(z))) for z in self.zones if self.zones[z][1] not in (REPAIRED, HISTORY)}

    def right(self, address="192.0.2.1"):
        for zone in self.zones:
            path = self.secondary.axfr(zone)
            assert re.search(r"^www\S*\s+\d+\s+IN\s+A\s+%s$" % re.escape(address), open(path).read(), re.M), zone
            argv = [servers.program("kzonecheck"), "-o", zone, "-d", "on", "-t", str(self.clock.wall), path]
            r = harness.run(argv)
            assert r.returncode == 0, (zone, r.stdout + r.stderr)


def test_no_fault_passes_the_gate(rig):
    """In a zone's first version, a zone-sized build."""
    t = Faulty(rig, FAULTS)
    t.on(before={})
    t.start()
    t.named()
    assert not any(z["served"] for z in t.list().values())
    assert all(t.secondary.serial(zone) is None for zone in t.zones)
    t.off()
    t.healed({})
    t.right()


def test_no_fault_passes_the_gate_in_a_change(rig):
    """In a small version after a change of upstream's."""
    t = Faulty(rig, CHANGED, moving)
    t.start()
    t.healed({})
    before, serials = t.served(), t.serials()
    t.on()
    t.change(2)
    t.named()
    assert t.served() == before and t.serials() == serials
    said = [z for z in t.zones if t.zones[z][1] == HISTORY]
    wait_for(lambda: all("%s: event=gap " % z in t.seal.log() for z in said), "versions without history")
    wait_for(lambda: all(s["signed_serial"] != 1 and not s["alarms"] for z, s in t.list().items() if z in said), "them to go out")
    t.off()
    t.healed(serials)
    small = set(re.findall(r"(\S+): event=published serial=\d+ upstream=2 rrsets=\d\d? ", t.seal.log()))
    assert all("stored-value" in t.zones[z][1] for z in set(t.zones) - small), "built zone-sized"  # unless the store seems damaged
    t.right("192.0.2.2")


def test_no_fault_passes_the_gate_in_a_refresh(rig):
    t = Faulty(rig, AGAIN)
    t.start()
    t.healed({})
    before, serials = t.served(), t.serials()
    t.on()
    t.clock.rate = 0.2  # a version is open for two seconds: all that is due goes into one, however slow the machine
    t.clock.skip(9 * 86400 + 3600)
    t.named()
    assert t.served() == before and t.serials() == serials
    t.clock.rate = RATE
    t.off()
    t.healed(serials)
    t.right()


SAYS = "history-record.nsec3.example."


def saying(rig, text=text):
    """One zone whose history is spoilt while the fault is on; nothing becomes due but by order of the test."""
    t = Faulty(rig, {"history-record": (HISTORY, (NSEC3,))}, text)
    t.start()
    t.healed({})
    t.clock.rate = 0.01
    return t


def vetoes(t):
    return t.counted().get((SAYS, HISTORY), 0)


def order(t, *argv):
    r = t.seal.ctl("zone", *argv)
    assert r.returncode == 0, r.stdout + r.stderr


def taken(t, upstream):
    t.seal.wait_zone(SAYS, lambda s: s["upstream_serial"] == upstream and not s["busy"], "upstream's %d" % upstream)


def test_a_refresh_is_no_word_about_the_history_of_a_change(rig):
    t = saying(rig)
    t.on()
    t.change(2)
    t.seal.wait_zone(SAYS, lambda s: s.get("vetoed") and not s["busy"], "the veto")
    t.off()
    order(t, "serial", SAYS, "5000")
    t.seal.wait_zone(SAYS, lambda s: s["signed_serial"] == 5000 and not s["busy"], "the refresh")
    assert not re.search("%s: event=gap" % SAYS, t.seal.log())
    t.on()
    t.clock.skip(60)
    taken(t, 2)
    assert vetoes(t) == 1 and not t.seal.alarms(SAYS)
    t.secondary.wait_serial(SAYS, t.list()[SAYS]["signed_serial"])
    t.right("192.0.2.2")


def test_a_rollback_whose_history_is_vetoed_stays_ordered(rig):
    t = saying(rig)
    t.change(2)
    taken(t, 2)
    t.on()
    order(t, "rollback", SAYS, "u1")
    t.seal.wait_alarm(SAYS, "vetoed", "rollback vetoed by the gate, tried again")
    t.clock.skip(60)
    taken(t, 1)
    assert vetoes(t) == 1 and list(t.seal.alarms(SAYS)) == ["held"] and "failed" not in t.seal.alarms(SAYS)["held"]
    t.secondary.wait_serial(SAYS, t.list()[SAYS]["signed_serial"])
    t.right("192.0.2.1")


def built(t, ttl):
    """The same chain in another generation."""
    for policy in t.seal.conf["policies"]:
        policy["dnskey-ttl"] = ttl
    before = t.list()[SAYS]["signed_serial"]
    t.seal.reload()
    t.seal.wait_zone(SAYS, lambda s: s["signed_serial"] != before and not s["busy"], "the build")
    t.secondary.wait_serial(SAYS, t.list()[SAYS]["signed_serial"])
    t.right("192.0.2.2")
    return re.findall("%s: event=history served=([a-z]+) " % SAYS, t.seal.log())


@pytest.mark.parametrize("fault", ["history-record", "user-record"])
def test_a_build_whose_history_is_vetoed_leaves_a_gap(rig, fault):
    t = saying(rig)
    t.zones[SAYS] = (fault, HISTORY)
    t.change(2)
    taken(t, 2)
    assert built(t, "2h") == ["step"]
    t.on()
    assert built(t, "3h") == ["step"] * 2
    assert vetoes(t) == 1 and not t.seal.alarms(SAYS)
    assert re.search("%s: event=gap serial=%d: .*vetoed" % (SAYS, t.list()[SAYS]["signed_serial"]), t.seal.log())
    t.off()
    assert built(t, "4h") == ["step"] * 3
    assert vetoes(t) == 1
    assert transfers(t.seal, t.secondary)[-2:] == ["AXFR", "IXFR"]


@pytest.mark.parametrize("fault", ["late-damage", "last-damage"])
def test_a_build_that_is_damaged_after_the_gate_is_not_published(rig, fault):
    """Whoever looks for its history comes upon it; the next one has nothing of its file."""
    t = saying(rig)
    t.zones[SAYS] = (fault, HISTORY)
    t.change(2)
    taken(t, 2)
    before = t.list()[SAYS]["signed_serial"]
    t.on()
    for policy in t.seal.conf["policies"]:
        policy["dnskey-ttl"] = "2h"
    t.seal.reload()
    wait_for(lambda: "%s: event=spoilt " % SAYS in t.seal.log(), "the damage to be found", alive=[t.seal.process])
    t.seal.wait_alarm(SAYS, "build")
    assert t.list()[SAYS]["signed_serial"] == before and "%s: event=gap" % SAYS not in t.seal.log()
    t.off()
    t.clock.rate = RATE
    t.seal.wait_zone(SAYS, lambda s: s["signed_serial"] != before and not s["busy"] and not s["alarms"], "the next build")
    t.secondary.wait_serial(SAYS, t.list()[SAYS]["signed_serial"])
    t.right("192.0.2.2")
    assert "%s: event=gap" % SAYS not in t.seal.log() and transfers(t.seal, t.secondary)[-1] == "IXFR"


def shrinking(zone, serial):
    """Each version has half of the names, which the guard holds."""
    return text(zone, serial) + lines(zone, ["h%d.@@ 300 IN A 192.0.2.%d" % (i, i % 250) for i in range(800 >> serial)])


def released_and_vetoed(rig):
    t = saying(rig, shrinking)
    t.change(2)
    t.seal.wait_alarm(SAYS, "held", "shrink-guard")
    t.on()
    order(t, "release", SAYS)
    t.seal.wait_zone(SAYS, lambda s: s.get("vetoed") and not s["busy"], "the veto")
    return t


def test_a_release_holds_for_the_try_without_history(rig):
    t = released_and_vetoed(rig)
    t.clock.skip(60)
    taken(t, 2)
    assert vetoes(t) == 1 and not t.seal.alarms(SAYS) and "%s: event=gap" % SAYS in t.seal.log()
    t.secondary.wait_serial(SAYS, t.list()[SAYS]["signed_serial"])
    t.right("192.0.2.2")
    t.change(3)  # once
    t.seal.wait_alarm(SAYS, "held", "shrink-guard")


def test_a_release_whose_history_was_vetoed_is_for_that_input(rig):
    t = released_and_vetoed(rig)
    t.change(3)
    t.seal.wait_alarm(SAYS, "held", "shrink-guard")
    assert t.seal.status(SAYS)["held"]["serial"] == 3 and vetoes(t) == 1


def test_a_veto_is_over_on_hold(rig):
    t = saying(rig)
    order(t, "hold", SAYS)
    t.on()
    order(t, "serial", SAYS, "5000")
    wait_for(lambda: vetoes(t) == 1, "the veto")
    t.clock.skip(60)
    t.seal.wait_zone(SAYS, lambda s: s["signed_serial"] == 5000 and not s["busy"], "the version")
    assert list(t.seal.alarms(SAYS)) == ["held"]


ONE = "bitmap-less.nsec3.example."


def held_checks(t):
    return len(re.findall(r"%s.*state=checking event=held" % re.escape(ONE[:-1]), t.seal.log()))


def tried(t, times, transfers):
    """So many vetoes of this serial in a row, of which so many cost a transfer since the start."""
    s = t.seal.wait_zone(ONE, lambda s: s.get("vetoed") and s["vetoed"]["times"] == times and not s["busy"], "veto %d" % times)
    s = t.seal.status(ONE)
    assert s["counters"]["transfers_ok"] == transfers, s["counters"]
    assert "bitmap" in s["vetoed"]["reason"] and "bitmap" in t.seal.alarms(ONE)["vetoed"]
    return s["vetoed"]


def remembered(t, veto):
    """After a start the alarm and the next try are what they were; upstream is asked, and nothing is fetched."""
    asked = held_checks(t)
    t.restart()
    wait_for(lambda: held_checks(t) > asked, "upstream to be asked")
    assert tried(t, veto["times"], 0) == veto


def test_a_veto_is_remembered_over_a_restart(rig):
    t = Faulty(rig, {"bitmap-less": ("bitmap", (NSEC3,))})
    t.start()
    t.healed({})
    t.clock.rate = 1  # nothing becomes due but by order of this test
    serials = t.serials()
    t.on()
    t.change(2)
    veto = tried(t, 1, 2)
    for n in range(2, 7):
        t.clock.skip(3600)
        veto = tried(t, n, n + 1)
    t.seal.stop()
    remembered(t, veto)
    t.seal.ctl("zone", "refresh", ONE)  # not an order to try again
    wait_for(lambda: held_checks(t) > 1, "upstream to be asked")
    assert tried(t, 6, 0) == veto and t.serials() == serials
    t.clock.skip(3600)  # back-off goes on where it was
    veto = tried(t, 7, 1)
    t.seal.ctl("zone", "release", ONE)
    veto = tried(t, 8, 2)
    text_of_it = glob.glob(os.path.join(t.seal.state_dir, "zones", "*", "*", "held"))
    wait_for(lambda: "vetoes: 8\n" in open(text_of_it[0]).read(), "the memory to be on disk")
    t.seal.kill()
    remembered(t, veto)
    t.seal.stop()
    t.seal.conf["zones"][0]["limits"] = {"records": 1000}  # judged by another config: tried at once
    t.restart()
    tried(t, 1, 1)
    t.change(3)  # another serial: tried at once, and counted anew
    t.seal.wait_zone(ONE, lambda s: s.get("vetoed") and s["vetoed"]["serial"] == 3, "the next serial to be vetoed")
    veto = tried(t, 1, 2)
    t.off()
    t.seal.ctl("zone", "retransfer", ONE)
    t.healed(serials)
    t.right("192.0.2.3")
    assert t.seal.status(ONE)["vetoed"] is None
    t.seal.stop()
    t.restart()
    wait_for(lambda: t.seal.status(ONE).get("served"), "the stored version")
    assert not t.seal.alarms(ONE) and t.seal.status(ONE)["vetoed"] is None
