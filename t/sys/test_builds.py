# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone-sized work in the life of a zone: secondaries follow through it by IXFR, and content is gone back over it."""

import re
import signal

import pytest

import chain
import faults
import harness
import seal
import servers
import zones
from chain import ZONE, Chain
from script import Script
from test_follow import known, transfers

PAGES = 1024  # of a version, instead of 32,768
NAMES = 625
MANY = 312    # changed RRsets that no commit takes
DONE = 0
BUILT = r"event=large"
CARRIED = r"event=history served=(\w+) removed=(\d+) added=(\d+) upstream=(\w+) removed=(\d+) added=(\d+)"


class Content:
    """Many names, of which a version changes some."""

    def __init__(self):
        self.data, self.serial = [0] * NAMES, 1

    def change(self, some):
        self.serial += 1
        for i in some:
            self.data[i] = self.serial
        return self.text()

    def text(self, extra=""):
        return zones.sample(ZONE, self.serial) + extra + "".join(
            "n%d.%s 300 IN A 192.0.2.%d\n" % (i, ZONE, d) for i, d in enumerate(self.data))


class Followers:
    """NSD, Knot and BIND behind one zone."""

    def __init__(self, rig, text, **policy):
        self.seal = s = seal.Zoneseal(rig)
        s.pages = PAGES
        self.followers = [servers.KINDS[k](rig, "secondary", None, [chain._Peer(s)]).add_zone(ZONE) for k in ("nsd", "knot", "bind")]
        self.primary = Script(rig, ZONE, text, [chain._Peer(s)])
        s.zone(ZONE, [self.primary], self.followers, s.policy("tested", **policy), guard={"shrink": "0%", "churn": "0%"})
        s.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        s.conf["zones"][0]["transfer"] = ["anyone"]
        s.peer = s.addr
        for d in [self.primary, s, *self.followers]:
            d.start()

    def change(self, text):
        self.primary.next(text)
        return self.seal.wait_published(ZONE, self.primary.serial(), timeout=180)

    def compare(self, serial):
        want = known(self.seal.axfr(ZONE))
        for d in self.followers:
            d.wait_serial(ZONE, serial, 90)
            got = known(d.axfr(ZONE))
            missing, extra = set(want) - set(got), set(got) - set(want)
            assert not missing and not extra and len(got) == len(want), "%s at %d: missing %s, extra %s" % (
                d.name, serial, sorted(missing)[:6], sorted(extra)[:6])


@pytest.mark.parametrize("policy", [{"denial": "nsec"}, {"denial": "nsec3", "serial": "unixtime"}], ids=["nsec", "nsec3"])
def test_secondaries_follow_through_builds_by_ixfr(rig, policy):
    z = Content()
    f = Followers(rig, z.text(), **policy)
    f.compare(f.seal.wait_published(ZONE, 1, timeout=180))
    f.compare(f.change(z.change(range(3))))
    f.compare(f.change(z.change(range(MANY))))
    assert len(re.findall(BUILT, f.seal.log())) == 1
    # some are away meanwhile: versions before and behind a build in one difference
    for d in f.followers[:2]:
        d.process.signal(signal.SIGSTOP)
    f.change(z.change(range(2)))
    f.change(z.change(range(MANY, 2 * MANY)))
    now = f.change(z.change(range(NAMES - 3, NAMES)))
    for d in f.followers[:2]:
        d.process.signal(signal.SIGCONT)
    f.compare(now)
    assert len(re.findall(BUILT, f.seal.log())) == 2
    assert [m[0] for m in re.findall(CARRIED, f.seal.log())] == ["step", "step"]
    for d in f.followers:
        kinds = transfers(f.seal, d)
        assert kinds.count("AXFR") == 1 and kinds.count("IXFR") >= 3, (d.name, kinds)
    seal.verify_zone(f.followers[0].axfr(ZONE), ZONE)


def rolled_back(c, upstream):
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == upstream and s["hold"] and s["orders"]["rollback_to"] is None
                     and not s["busy"], "the rollback", timeout=180)
    serial = c.seal.status(ZONE)["signed_serial"]
    c.secondary.wait_serial(ZONE, serial, 60)
    return serial


def line(rig, **kw):
    """One AXFR changed everything, and there were small changes before and after."""
    z = Content()
    c = Chain(rig, zone_options={"guard": {"shrink": "10%", "churn": "30%"}}, text=z.text(), **kw)
    c.seal.pages = PAGES
    c.start()
    c.published(1, timeout=180)
    c.old = chain.unsigned(c.seal.axfr(ZONE, tsig=c.secondary.tsig))
    c.content = z
    for n, (some, extra) in enumerate(((range(3), ""), (range(NAMES), "new.%s 300 IN TXT \"x\"\n" % ZONE), ((5, ), "")), 2):
        z.change(some)
        c.primary.change(ZONE, z.text(extra))
        c.published(n, timeout=180)
    assert "event=large" in c.seal.log()
    return c


@pytest.mark.parametrize("denial", [{"denial": "nsec"}, {"denial": "nsec3"}], ids=["nsec", "nsec3"])
def test_rollback_over_a_build(rig, denial):
    c = line(rig, policy_options=denial)
    before = c.seal.status(ZONE)["signed_serial"]
    r = c.seal.ctl("zone", "rollback", ZONE, "u1")
    assert r.returncode == DONE, r.stdout + r.stderr
    assert rolled_back(c, 1) > before
    assert re.search(r"event=rollback version=", c.seal.log()) and re.search(r"event=rolled-back", c.seal.log())
    c.verify()
    assert chain.unsigned(c.seal.axfr(ZONE, tsig=c.secondary.tsig)) == c.old
    assert [a["alarm"] for a in c.seal.status(ZONE)["alarms"]] == ["held"]
    # forward again, over the build that the rollback was
    r = c.seal.ctl("zone", "rollback", ZONE, "u3")
    assert r.returncode == DONE, r.stdout + r.stderr
    rolled_back(c, 3)
    path = c.verify()
    assert any(r[0].lower() == "new." + ZONE for r in chain.records(path))
    # the end of the hold takes what upstream has
    assert c.seal.ctl("zone", "release", "--wait", ZONE).returncode == DONE
    c.published(4, timeout=180)
    chain.same_data(c)
    c.verify()
    assert not c.seal.status(ZONE)["alarms"]


def midway(rig, denial):
    """A large rollback that is being signed, by a key store that will not be through with it."""
    hsm = faults.FaultyHsm(rig)
    c = line(rig, policy_options={"denial": denial}, keystore=hsm.keystore(sessions=2))
    c.hsm, c.before = hsm, c.seal.status(ZONE)["signed_serial"]
    hsm.faults("latency_us 60000")  # of each call
    signed = len(hsm.calls("C_Sign"))
    assert c.seal.ctl("zone", "rollback", ZONE, "u1").returncode == DONE
    harness.wait_for(lambda: re.search(r"event=rollback version=", c.seal.log()), "the build", alive=[c.seal.process])
    harness.wait_for(lambda: len(hsm.calls("C_Sign")) > signed + 20, "signatures of it", alive=[c.seal.process])
    return c


def test_a_large_rollback_is_killed_midway(rig):
    """The order outlives it, the old version is served, and the restart carries it out."""
    c = midway(rig, "nsec3")
    before = c.before
    size = len(c.seal.log())
    c.seal.kill()
    assert "event=rolled-back" not in c.seal.log()
    c.hsm.faults()
    c.seal.start()
    assert harness.wait_for(lambda: c.seal.serial(ZONE), "the stored version") == before
    rolled_back(c, 1)
    assert "event=rolled-back" in c.seal.log()[size:]
    c.verify()
    assert chain.unsigned(c.seal.axfr(ZONE, tsig=c.secondary.tsig)) == c.old


def test_release_ends_a_large_rollback(rig):
    """`zone release` while it is under way: nothing of it goes out, and upstream's zone is taken."""
    c = midway(rig, "nsec")
    assert c.seal.ctl("zone", "release", ZONE).returncode == DONE
    c.hsm.faults()
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == 4 and not s["hold"] and not s["busy"], "the end", timeout=180)
    assert "event=rolled-back" not in c.seal.log()
    c.primary.change(ZONE, c.content.change((7, )))
    c.published(5, timeout=180)
    chain.same_data(c)
