# SPDX-License-Identifier: GPL-3.0-or-later
"""Secondaries of three makes that follow by IXFR alone hold, after each version, record for record what a full transfer
from us gives, whatever changed and however many versions they missed."""

import os
import random
import re
import signal

import pytest

import chain
import harness
import seal
import servers
from chain import ZONE
from script import Model, Script

SEED = int(os.environ.get("ZS_SEED", "28"))
ROUNDS = int(os.environ.get("ZS_ROUNDS", "7"))


def followers(rig, s, validate, below_dname):
    out = []
    for kind in ("nsd", "bind") if below_dname else ("nsd", "knot", "bind"):  # Knot takes no zone with data below a DNAME
        d = servers.KINDS[kind](rig, "secondary", None, [chain._Peer(s)]).add_zone(ZONE)
        d.validate = validate
        out.append(d)
    return out


def known(path):
    """As a secondary may show it: NSD and Knot do not keep case."""
    return sorted((o.lower(), ttl, t, rdata.lower()) for o, ttl, t, rdata in chain.records(path))


def transfers(s, server):
    """Kinds of the transfers that this secondary took from us."""
    return re.findall(r"([AI]XFR) to %s@\d+ .* done:" % re.escape(server.addr), s.log())


class Follow:
    def __init__(self, rig, denial, serial, below_dname):
        self.model = Model(random.Random(SEED), ZONE, below_dname)
        self.seal = s = seal.Zoneseal(rig)
        signed = denial is not None
        self.followers = followers(rig, s, signed, below_dname)
        self.primary = Script(rig, ZONE, self.model.text(), [chain._Peer(s)])
        policy = s.policy("tested", serial=serial, **denial) if signed else "none"
        s.zone(ZONE, [self.primary], self.followers, policy, guard={"shrink": "0%", "churn": "0%"})
        s.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        s.conf["zones"][0]["transfer"] = ["anyone"]
        s.peer = s.addr  # our own full transfers come from nobody's address
        self.signed = signed
        for d in [self.primary, s, *self.followers]:
            d.start()

    def change(self, n, wait=True):
        self.primary.next(self.model.mutate(n), wait)
        return self.seal.wait_published(ZONE, self.model.serial)

    def compare(self, serial):
        want = known(self.seal.axfr(ZONE))
        for d in self.followers:
            d.wait_serial(ZONE, serial)
            got = known(d.axfr(ZONE))
            missing, extra = set(want) - set(got), set(got) - set(want)
            assert not missing and not extra and len(got) == len(want), "%s at %d: missing %s, extra %s" % (
                d.name, serial, sorted(missing)[:6], sorted(extra)[:6])

    def upstream(self):
        """What we serve is what upstream has, but for TTLs in an RRset and what signing adds."""
        ours = {(o, t, r) for o, _, t, r in chain.unsigned(self.seal.axfr(ZONE))}
        theirs = {(o, t, r) for o, _, t, r in chain.unsigned(harness.axfr_file(self.primary.addr, ZONE, self.seal.dir + "/up"))}
        assert ours == theirs, "missing %s, extra %s" % (sorted(theirs - ours)[:6], sorted(ours - theirs)[:6])


POLICIES = {"nsec": ({"denial": "nsec"}, "upstream", False), "nsec3": ({"denial": "nsec3"}, "increment", True),
            "opt-out": ({"denial": "nsec3", "nsec3": {"opt-out": "yes"}}, "unixtime", False),
            "nsec-date": ({"denial": "nsec"}, "date", True), "none": (None, "upstream", False)}


@pytest.mark.parametrize("denial,serial,below_dname", POLICIES.values(), ids=list(POLICIES))
def test_secondaries_follow_by_ixfr_alone(rig, denial, serial, below_dname):
    f = Follow(rig, denial, serial, below_dname)
    now = f.seal.wait_published(ZONE, 1)
    f.compare(now)
    for n in range(ROUNDS):
        f.compare(f.change(f.model.rng.choice((1, 2, 4, 10))))
        f.upstream()
        if f.signed and n % 3 == 2:
            seal.verify_zone(f.followers[0].axfr(ZONE), ZONE, skip={"kzonecheck"})
    for d in f.followers:  # one is away for a while: several versions in one difference
        d.process.signal(signal.SIGSTOP)
        for _ in range(3):
            now = f.change(3)
        d.process.signal(signal.SIGCONT)
        f.compare(now)
    f.upstream()
    if f.signed:
        seal.verify_zone(f.followers[0].axfr(ZONE), ZONE, skip={"kzonecheck"})
    for d in f.followers:
        kinds = transfers(f.seal, d)
        assert kinds.count("AXFR") == 1 and kinds.count("IXFR") >= ROUNDS, (d.name, kinds)
    assert f.seal.metric("zoneseal_xfr_total", direction="in", type="axfr", result="ok") == 1
    assert f.seal.metric("zoneseal_xfr_total", direction="in", type="ixfr", result="failed") == 0
