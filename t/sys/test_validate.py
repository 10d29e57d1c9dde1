# SPDX-License-Identifier: GPL-3.0-or-later
"""Live answers: a secondary serves what we signed, Unbound believes our DS and nothing else, and every kind of answer
must come back authenticated. A child that we sign too hangs below by a DS that its parent's primary took over."""

import pytest

import servers
import zones
from chain import ZONE, Chain

CHILD = "child." + ZONE
INSECURE = "bare." + ZONE


@pytest.mark.parametrize("denial", ["nsec", "nsec3", "opt-out"])
@pytest.mark.parametrize("secondary", sorted(servers.KINDS))
def test_answers_validate(rig, denial, secondary):
    options = {"denial": "nsec" if denial == "nsec" else "nsec3", "nsec3": {"opt-out": "yes" if denial == "opt-out" else "no"}}
    cuts = "".join("%s 300 IN NS ns1.%s\n" % (z, ZONE) for z in (CHILD, INSECURE))
    c = Chain(rig, secondary=secondary, text=zones.sample(ZONE, 1, extra=cuts), policy_options=options)
    for z in (CHILD, INSECURE):
        c.primary.add_zone(z, zones.sample(z, 1))
        c.secondary.add_zone(z)
    c.seal.zone(CHILD, [c.primary], [c.secondary], "tested")
    c.seal.zone(INSECURE, [c.primary], [c.secondary], "none")
    c.start()
    c.published(1)
    c.secondary.wait_serial(CHILD, c.seal.wait_published(CHILD, 1))
    c.secondary.wait_serial(INSECURE, c.seal.wait_published(INSECURE, 1))
    ds = "".join(d + "\n" for d in c.seal.ds(CHILD)).replace(" IN DS", " 300 IN DS")
    assert ds.count("\n") == 2
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra=cuts + ds))
    c.published(2)
    u = servers.Unbound(rig, c.seal.anchors(ZONE), {z: c.secondary for z in (ZONE, CHILD, INSECURE)}).start()

    def answer(name, rdtype, zone=ZONE):
        rcode, ad, r = u.ask("%s.%s" % (name, zone) if name else zone, rdtype)
        return rcode, ad, bool(r.answer)

    assert answer("", "SOA") == ("NOERROR", True, True)
    assert answer("", "DNSKEY") == ("NOERROR", True, True)
    assert answer("www", "A") == ("NOERROR", True, True)
    assert answer("mixed", "A") == ("NOERROR", True, True)
    assert answer("unknown", "TYPE65280") == ("NOERROR", True, True)
    assert answer("alias", "AAAA") == ("NOERROR", True, True)
    assert answer("x.moved", "A") == ("NOERROR", True, True)
    # What says that a name is not there is proved, but not authenticated, where an insecure delegation may hide under
    # opt-out (RFC 5155 9.2).
    sure = denial != "opt-out"
    for wild in ("a.wild", "b.c.wild"):
        assert answer(wild, "TXT") == ("NOERROR", sure, True)
        assert answer(wild, "A") == ("NOERROR", sure, False)
    assert answer("nonsense", "A") == ("NXDOMAIN", sure, False)
    assert answer("x.nonsense", "A") == ("NXDOMAIN", sure, False)
    assert answer("www", "MX") == ("NOERROR", True, False)
    for ent in ("ent", "an.ent", "_udp"):
        assert answer(ent, "A") == ("NOERROR", True, False)
    assert answer("www", "A", CHILD) == ("NOERROR", True, True)
    assert answer("nonsense", "A", CHILD)[:2] == ("NXDOMAIN", sure)
    assert answer("www", "A", INSECURE) == ("NOERROR", False, True)
    assert answer("bare", "DS")[0] == "NOERROR"
