# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone-sized work in the life of a zone: secondaries follow through it by IXFR."""

import os
import re
import signal

import pytest

import chain
import seal
import servers
import zones
from chain import ZONE
from script import Script
from test_follow import known, transfers

NAMES = int(os.environ.get("ZS_NAMES", "20000"))
MANY = 10000  # changed RRsets that no commit takes
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
