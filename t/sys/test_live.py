# SPDX-License-Identifier: GPL-3.0-or-later
"""Another chain with a slow key store: while the next generation is built, changes go out in the live one, and the
finished build takes them in."""

import glob
import os
import re
import threading

import pytest

import chain
import faults
import harness
import zones
from chain import ZONE, Chain

pytestmark = pytest.mark.slow
NAMES = 400


def hosts(gone=()):
    return "".join("h%d.%s 300 IN A 192.0.2.%d\n" % (n, ZONE, n % 250 + 1) for n in range(NAMES) if n not in gone)


class Slow(Chain):
    """A key store that takes its time for each signature while it is told to; upstream gives differences."""

    def __init__(self, rig, secondary="nsd", denial="nsec", pages=None, **more):
        self.hsm = faults.FaultyHsm(rig)
        self.extra, self.gone, self.n = [], set(), 1
        super().__init__(rig, primary="knot", secondary=secondary, text=self.text(), keystore=self.hsm.keystore(sessions=2),
                         policy_options={"denial": denial}, **more)
        self.primary.ixfr = True
        self.seal.pages = pages

    def text(self):
        return zones.sample(ZONE, self.n, extra=hosts(self.gone) + "".join(line.format(z=ZONE) + "\n" for line in self.extra))

    def slow(self, us=60000):
        self.hsm.faults("latency_us %d" % us)  # of each call, and signing is two of them

    def change(self, *lines, gone=()):
        self.n += 1
        self.extra, self.gone = list(lines), set(gone)
        self.primary.change(ZONE, self.text())
        return self.n

    def reshape(self, **options):
        self.seal.conf["policies"][0].update(options)
        self.seal.reload()

    def building(self):
        return self.seal.status(ZONE)["building"]

    def begins(self, denial="nsec3"):
        """The next generation is on its way, for a while."""
        self.slow()
        self.reshape(denial=denial)
        self.seal.wait_zone(ZONE, lambda s: s["building"] and s["building"]["denial"] == denial, "a build")

    def follows(self, n):
        """The change is out, and the build goes on."""
        s = {}

        def out():
            s.update(self.seal.status(ZONE))
            return s["upstream_serial"] == n and s["state"] == "idle"
        harness.wait_for(out, "a live version of upstream's %d" % n, 60)
        assert s["building"], "the build is over already: %s" % s
        self.secondary.wait_serial(ZONE, s["signed_serial"])
        return s

    def ends(self, denial="nsec3", timeout=120):
        self.hsm.faults()
        self.seal.wait_zone(ZONE, lambda s: s["version"]["denial"] == denial and not s["building"] and not s["busy"], "the other chain", timeout)
        serial = self.seal.serial(ZONE)
        self.secondary.wait_serial(ZONE, serial)
        return serial

    def judged(self, denial="nsec3"):
        assert ("NSEC3" in chain.types(self.verify())) == (denial == "nsec3")
        chain.same_data(self)
        assert not self.seal.alarms(ZONE)
        taken = [int(n) for n in re.findall(r"event=published serial=\d+ upstream=(\d+)", self.seal.log())]
        assert taken == sorted(taken) or "event=rolled-back" in self.seal.log(), "content went back: %s" % taken


CHANGES = [
    (["new.a.{z} 300 IN A 192.0.2.7"], ()),
    (["new.a.{z} 300 IN A 192.0.2.7", "cut.{z} 300 IN NS ns.cut.{z}", "ns.cut.{z} 300 IN A 192.0.2.3"], (3, 4)),
    (["cut.{z} 300 IN NS ns.cut.{z}", "ns.cut.{z} 300 IN A 192.0.2.3", "cut.{z} 300 IN DS 1 13 2 " + "ab" * 32,
      "x.y.cut.{z} 300 IN TXT \"hidden\""], (3, 5)),
]


@pytest.mark.parametrize("secondary", ["nsd", "knot"])
def test_changes_go_out_while_another_chain_is_built(rig, secondary):
    c = Slow(rig, secondary).start()
    serial = c.published(1)
    c.begins()
    numbers, contents = [], []
    for lines, gone in CHANGES:
        s = c.follows(c.change(*lines, gone=gone))
        numbers.append(s["version"]["number"])
        contents.append(chain.unsigned(c.seal.axfr(ZONE)))
        assert s["version"]["denial"] == "nsec" and s["signed_serial"] > serial
        serial = s["signed_serial"]
        c.verify()
        chain.same_data(c)
    assert c.ends() > serial
    c.judged()
    log = c.seal.log()
    assert len(re.findall(r"type=ixfr", log)) == len(CHANGES)
    assert len(re.findall(r"event=taken-in", log)) > 0
    serial = c.seal.serial(ZONE)
    c.change("after.{z} 300 IN A 192.0.2.9")
    assert c.published(c.n) > serial
    c.judged()
    # what went out meanwhile is history of the new generation, too
    assert c.seal.ctl("zone", "rollback", ZONE, str(numbers[1])).returncode == 0
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == 3 and s["state"] == "idle", "the rollback")
    assert chain.unsigned(c.seal.axfr(ZONE)) == contents[1] != contents[2]
    c.secondary.wait_serial(ZONE, c.seal.serial(ZONE))
    c.verify()


def in_round(c, n):
    """The n-th round is on, and will be for a while."""
    c.slow(1500)
    c.change(*["m%d.{z} 300 IN A 192.0.2.1" % k for k in range(200)])
    c.follows(c.n)
    c.slow(6000)
    harness.wait_for(lambda: (c.building() or {}).get("rounds") == n, "round %d" % n, 60)
    c.slow(20000)


def test_a_change_during_a_round_is_taken_in_by_the_next(rig):
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    in_round(c, 1)
    s = c.follows(c.change(*c.extra, "late.{z} 300 IN A 192.0.2.9"))
    assert c.ends() > s["signed_serial"]
    c.judged()


def test_changes_without_end_do_not_keep_it_from_its_end(rig):
    """While little is left to do no change begins."""
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    in_round(c, 1)
    many, over = list(c.extra), threading.Event()

    def push():
        while not over.wait(0.1):
            c.change(*many, "late%d.{z} 300 IN A 192.0.2.9" % c.n)
    pusher = threading.Thread(target=push)
    pusher.start()
    try:
        c.seal.wait_zone(ZONE, lambda s: s["version"]["denial"] == "nsec3", "the other chain", 60)
    finally:
        over.set()
        pusher.join()
    assert len(re.findall("event=taken-in", c.seal.log())) <= 3
    c.hsm.faults()
    c.published(c.n)
    c.judged()


def ceiling(c):
    with open(glob.glob(os.path.join(c.seal.state_dir, "zones", "*", "*", "keystate"))[0]) as f:
        return int(re.search(r"serial-ceiling: (\d+)", f.read()).group(1))


def test_its_serial_is_below_the_ceiling(rig):
    """Of the key state: the live generation is at it already. So is that of any other version."""
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    top = ceiling(c)
    assert c.seal.ctl("zone", "serial", ZONE, str(top)).returncode == 0
    harness.wait_for(lambda: c.seal.serial(ZONE) == top, "the ordered serial")
    assert c.building() and ceiling(c) == top
    assert top < c.ends() <= ceiling(c)
    c.judged()
    above = ceiling(c) + 1
    assert c.seal.ctl("zone", "serial", ZONE, str(above)).returncode == 0
    harness.wait_for(lambda: c.seal.serial(ZONE) == above, "the ordered serial")
    assert ceiling(c) > above


def test_a_hold_keeps_out_what_the_build_has_already(rig):
    """It was made of what upstream had when it began, which the live generation does not have."""
    c = Slow(rig).start()
    c.published(1)
    before = chain.unsigned(c.primary.axfr(ZONE))
    c.seal.stop()
    c.change("new.{z} 300 IN A 192.0.2.9")
    harness.wait_for(lambda: c.primary.serial(ZONE) == c.n, "the primary to have it")
    c.slow()
    c.seal.conf["policies"][0]["denial"] = "nsec3"
    c.seal.start()
    c.seal.wait_zone(ZONE, lambda s: s["building"] and s["building"]["upstream_serial"] == c.n, "a build of it")
    assert c.seal.ctl("zone", "hold", ZONE, "not yet").returncode == 0
    assert c.seal.status(ZONE)["upstream_serial"] == 1
    c.ends()
    assert c.seal.status(ZONE)["upstream_serial"] == 1 and chain.unsigned(c.seal.axfr(ZONE)) == before
    c.verify()
    assert c.seal.ctl("zone", "release", ZONE).returncode == 0
    c.published(c.n)
    c.judged()


def test_a_crash_leaves_the_live_generation(rig):
    """And what was signed for the next one is its donor: it is built again, with the content of by then."""
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    s = c.follows(c.change("one.{z} 300 IN A 192.0.2.9"))
    c.seal.kill()
    c.seal.start()
    back = c.seal.wait_zone(ZONE, lambda s: s["served"], "the stored version") and c.seal.status(ZONE)
    assert back["signed_serial"] == s["signed_serial"] and back["version"]["denial"] == "nsec"
    c.seal.wait_zone(ZONE, lambda s: s["building"], "the build once more")
    s = c.follows(c.change("one.{z} 300 IN A 192.0.2.10"))
    assert c.ends() > s["signed_serial"]
    c.judged()


def test_a_stop_does_not_wait_for_it(rig):
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    c.seal.stop()
    c.seal.start()
    c.seal.wait_zone(ZONE, lambda s: s["building"], "the build once more")
    c.ends()
    c.judged()


def test_a_reload_makes_it_void(rig):
    """Back to the chain that is live: nothing is left to do. Yet another one: it is begun anew."""
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    c.follows(c.change("one.{z} 300 IN A 192.0.2.9"))
    c.reshape(denial="nsec")
    c.seal.wait_zone(ZONE, lambda s: not s["building"] and not s["busy"], "the end of the build")
    version = c.seal.status(ZONE)["version"]
    assert version["denial"] == "nsec"
    c.hsm.faults()
    c.change("one.{z} 300 IN A 192.0.2.10")
    c.published(c.n)
    c.judged("nsec")
    c.begins()
    c.reshape(nsec3={"opt-out": "yes"})
    c.seal.wait_zone(ZONE, lambda s: s["building"] and s["building"]["denial"] == "nsec3-opt-out", "another build")
    c.follows(c.change("two.{z} 300 IN A 192.0.2.10"))
    c.ends("nsec3-opt-out")
    c.judged()
    assert len(re.findall(r"event=outdated", c.seal.log())) == 2


def test_a_zone_is_removed_meanwhile(rig):
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    kept = list(c.seal.conf["zones"])
    c.seal.conf["zones"] = []
    c.seal.reload()
    harness.wait_for(lambda: not c.seal.json("zone", "list").get("zones"), "the zone to go")
    c.seal.conf["zones"] = kept
    c.seal.reload()
    c.seal.wait_zone(ZONE, lambda s: s.get("building"), "a build anew")
    c.ends()
    c.judged()


def test_orders_meanwhile(rig):
    """Hold, rollback and a serial are carried out in the live generation, and hold in the next one."""
    c = Slow(rig).start()
    c.published(1)
    first = c.seal.status(ZONE)["version"]["number"]
    before = chain.unsigned(c.primary.axfr(ZONE))
    c.begins()
    c.follows(c.change("one.{z} 300 IN A 192.0.2.9", gone=(1, 2)))
    assert c.seal.ctl("zone", "rollback", ZONE, str(first)).returncode == 0
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == 1 and s["state"] == "idle", "the rollback")
    s = c.seal.status(ZONE)
    assert s["building"] and s["hold"]
    assert c.seal.ctl("zone", "serial", ZONE, str(s["signed_serial"] + 5000)).returncode == 0
    harness.wait_for(lambda: c.seal.serial(ZONE) == s["signed_serial"] + 5000, "the ordered serial")
    c.change("two.{z} 300 IN A 192.0.2.9")
    assert c.ends() > s["signed_serial"] + 5000
    assert chain.unsigned(c.seal.axfr(ZONE)) == before
    c.verify()
    assert c.seal.ctl("zone", "release", ZONE).returncode == 0
    c.published(c.n)
    c.judged()


def test_what_is_too_large_for_the_live_generation_waits(rig):
    c = Slow(rig, pages=1024).start()
    c.published(1)
    c.begins()
    c.slow(20000)
    many = ["m%d.{z} 300 IN A 192.0.2.1" % i for i in range(300)]
    c.change(*many)
    harness.wait_for(lambda: "event=later" in c.seal.log(), "a look at it", 60)
    s = c.seal.status(ZONE)
    assert s["upstream_serial"] == 1 and s["building"], s
    c.hsm.faults()
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == c.n and not s["building"] and not s["busy"], "all of it", 180)
    assert c.seal.status(ZONE)["version"]["denial"] == "nsec3"
    c.secondary.wait_serial(ZONE, c.seal.serial(ZONE))
    c.judged()


def test_much_is_taken_in_by_rounds(rig):
    """More than one round takes went out meanwhile, change by change. A round has more to do than what brings the bar down."""
    c = Slow(rig, pages=4096).start()
    c.published(1)
    c.begins()
    lines = []
    for i in range(4):
        lines += ["m%d-%d.{z} 300 IN A 192.0.2.1" % (i, k) for k in range(190)]
        c.slow(2000)
        c.change(*lines)
        harness.wait_for(lambda: c.seal.status(ZONE)["upstream_serial"] == c.n, "the change", 120)
        c.slow()
        if not c.building():
            pytest.skip("the build was faster than the changes")
    c.ends()
    c.judged()
    log = c.seal.log()
    assert log.count("event=taken-in") > 1
    if log.find("event=taken-in") > log.find("upstream=%d " % c.n):  # all of it was there when the first round began
        assert re.search(r"event=taken-in .* partial", log)


def test_a_key_store_that_fails_is_an_alarm(rig):
    """The live generation goes on all the same, and the build is tried again."""
    c = Slow(rig).start()
    c.published(1)
    c.begins()
    c.hsm.faults("C_Sign return 0x30")
    # the build has failed, or waits for a vault that ends and comes back with every signature
    c.seal.wait_zone(ZONE, lambda s: {a["alarm"] for a in s["alarms"]} & {"build", "signing"}, "an alarm", 60)
    c.hsm.faults()
    c.change("one.{z} 300 IN A 192.0.2.9")
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == c.n and s["version"]["denial"] == "nsec3" and not s["busy"], "the other chain", 60)
    c.secondary.wait_serial(ZONE, c.seal.serial(ZONE))
    c.judged()
