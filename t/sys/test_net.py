# SPDX-License-Identifier: GPL-3.0-or-later
"""The network face: who may do what, EDNS and its options, truncation, several secondaries, limits, odd queries."""

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.query
import dns.rcode
import dns.rdatatype

import pytest

import chain
import harness
import raw
import seal
import servers
import zones
from chain import ZONE, Chain

EXPIRE, COOKIE = 9, 10


def edns(addr, rdtype, options, tcp=True, zone=ZONE, payload=1232):
    q = dns.message.make_query(zone, rdtype, use_edns=0, options=options, payload=payload, want_dnssec=True)
    q.flags &= ~dns.flags.RD
    return (dns.query.tcp if tcp else dns.query.udp)(q, addr, port=harness.PORT, timeout=5)


def notify(addr, source, zone=ZONE, tsig=None):
    q = dns.message.make_query(zone, "SOA")
    q.set_opcode(dns.opcode.NOTIFY)
    q.flags = (q.flags & ~dns.flags.RD) | dns.flags.AA
    if tsig:
        q.use_tsig(tsig.keyring(), keyname=tsig.name, algorithm=tsig.algorithm)
    return dns.query.udp(q, addr, port=harness.PORT, timeout=5, source=source).rcode()


def test_edns_expire(rig):
    c = Chain(rig).start()
    c.published(1)
    r = edns(c.seal.addr, "SOA", [dns.edns.GenericOption(EXPIRE, b"")])
    values = [o.data for o in r.options if o.otype == EXPIRE]
    assert len(values) == 1 and len(values[0]) == 4
    left = int.from_bytes(values[0], "big")
    assert 0 < left <= 1209600  # never more than SOA EXPIRE, nor than the signatures live
    assert not [o for o in edns(c.seal.addr, "SOA", []).options if o.otype == EXPIRE]


def test_cookies(rig):
    c = Chain(rig).start()
    c.published(1)
    client = bytes(range(8))
    r = edns(c.seal.addr, "SOA", [dns.edns.GenericOption(COOKIE, client)], tcp=False)
    cookie = [o.data for o in r.options if o.otype == COOKIE]
    assert len(cookie) == 1 and cookie[0][:8] == client and 16 <= len(cookie[0]) <= 40
    r = edns(c.seal.addr, "SOA", [dns.edns.GenericOption(COOKIE, cookie[0])], tcp=False)
    assert r.rcode() == 0 and harness.has(r, "SOA")
    assert edns(c.seal.addr, "SOA", [dns.edns.GenericOption(COOKIE, b"\x01\x02\x03")], tcp=False).rcode() == dns.rcode.FORMERR


def test_truncation_and_size(rig):
    c = Chain(rig, policy_options={"algorithm": "rsasha256"}).start()
    c.published(1)
    small = edns(c.seal.addr, "DNSKEY", [], tcp=False, payload=512)
    assert small.flags & dns.flags.TC and len(small.to_wire()) <= 512
    assert not edns(c.seal.addr, "DNSKEY", [], tcp=True).flags & dns.flags.TC
    assert edns(c.seal.addr, "SOA", [], tcp=False).edns == 0


def test_edns_version_and_odd_queries(rig):
    c = Chain(rig).start()
    c.published(1)
    q = dns.message.make_query(ZONE, "SOA")
    q.use_edns(2)  # a version that is not there yet
    assert dns.query.udp(q, c.seal.addr, port=harness.PORT, timeout=5).rcode() == dns.rcode.BADVERS
    q = dns.message.make_query(ZONE, "SOA")
    q.set_opcode(dns.opcode.UPDATE)
    assert dns.query.tcp(q, c.seal.addr, port=harness.PORT, timeout=5).rcode() == dns.rcode.NOTIMP
    assert dns.query.udp(dns.message.make_query(ZONE, "SOA", rdclass="CH"), c.seal.addr, port=harness.PORT, timeout=5).rcode() == 5
    r = harness.ask(c.seal.addr, ZONE, "ANY", tcp=False)
    assert r.rcode() == 0
    assert harness.ask(c.seal.addr, ZONE, "AXFR", tcp=False, source=c.secondary.addr).rcode() == 5
    assert harness.serial_at(c.seal.addr, ZONE.swapcase()) is not None


def test_notify_only_from_upstream(rig):
    key = harness.Tsig()
    c = Chain(rig, tsig=key).start()
    c.published(1)
    assert notify(c.seal.addr, c.primary.addr, tsig=key) == 0
    assert notify(c.seal.addr, c.primary.addr) == 5  # the key is required
    assert notify(c.seal.addr, c.secondary.addr, tsig=key) == 5
    assert notify(c.seal.addr, c.primary.addr, zone="elsewhere.example.", tsig=key) == dns.rcode.NOTAUTH


def test_acls(rig):
    c = Chain(rig)
    friend, foe = rig.address(), rig.address()
    c.seal.conf["acls"] = [{"name": "foes", "prefix": [foe + "/32"], "deny": "yes"}, {"name": "all", "prefix": ["127.0.0.0/8"]}]
    c.seal.conf["zones"][0]["transfer"] = ["foes", "all"]
    c.start()
    c.published(1)
    c.seal.axfr(ZONE, source=friend)
    with pytest.raises(harness.Failure):
        c.seal.axfr(ZONE, source=foe)


def test_many_secondaries_at_once(rig):
    c = Chain(rig)
    more = [servers.KINDS[k](rig, "secondary", None, [chain._Peer(c.seal)]).add_zone(ZONE) for k in ("knot", "bind", "nsd", "knot")]
    for s in more:
        c.seal.conf["zones"][0]["downstream"].append(c.seal.remote(s))
        s.start()
    c.start()
    for n in (1, 2, 3):
        if n > 1:
            c.primary.change(ZONE, zones.sample(ZONE, n))
        serial = c.published(n)
        for s in more:
            s.wait_serial(ZONE, serial)
    seen = c.seal.wait_zone(ZONE, lambda st: all(x["serial"] == serial for x in st["secondaries"]) and st["secondaries"], "all seen")
    assert len(seen) == 5
    assert c.seal.metric("zoneseal_secondary_serial", zone=ZONE, secondary=more[0].name) == serial


def test_several_queries_on_a_connection(rig):
    import socket
    import struct
    c = Chain(rig).start()
    serial = c.published(1)
    with socket.create_connection((c.seal.addr, harness.PORT), source_address=(c.secondary.addr, 0), timeout=10) as s:
        queries = [dns.message.make_query(ZONE, t) for t in ("SOA", "AXFR", "NS", "AXFR", "SOA")]
        for q in queries:
            wire = q.to_wire()
            s.sendall(struct.pack("!H", len(wire)) + wire)
        wanted, soas = {q.id: 1 for q in queries}, {q.id: 0 for q in queries}
        for q in queries:
            wanted[q.id] = {dns.rdatatype.SOA: 1, dns.rdatatype.AXFR: 2, dns.rdatatype.NS: 0}[q.question[0].rdtype]
        f, open_ids = s.makefile("rb"), {q.id for q in queries}
        while open_ids:
            head = f.read(2)
            assert len(head) == 2, "closed with %d answers open" % len(open_ids)
            m = dns.message.from_wire(f.read(struct.unpack("!H", head)[0]), one_rr_per_rrset=True)
            soas[m.id] += sum(rr.rdtype == dns.rdatatype.SOA and rr[0].serial == serial for rr in m.answer)
            if soas[m.id] >= wanted[m.id]:
                open_ids.discard(m.id)


@pytest.mark.parametrize("limit", [{"records": "20"}, {"bytes": "1k"}])
def test_limits_discard_the_transfer(rig, limit):
    c = Chain(rig, zone_options={"limits": limit}, text=zones.sample(ZONE, 1, "".join("n%d.%s 300 IN A 192.0.2.1\n" % (i, ZONE) for i in range(60))))
    c.start()
    c.seal.wait_zone(ZONE, lambda s: s["alarms"], "an alarm")
    assert c.seal.serial(ZONE) is None
    c.seal.conf["zones"][0]["limits"] = {"records": "1000", "bytes": "1M"}
    c.seal.reload()
    c.published(1)


def test_rrset_limit_holds(rig):
    s = seal.Zoneseal(rig)
    text = zones.head(ZONE, 1) + "\n".join(zones.big_rrset(ZONE, 30000)) + "\n"
    s.zone(ZONE, [raw.Raw(rig, ZONE, text).start()], limits={"rrset": "16k"})
    s.start()
    assert "big." + ZONE in s.wait_alarm(ZONE, "held")


def test_a_hundred_zones(rig):
    names = ["z%03d.example." % i for i in range(100)]
    c = Chain(rig, zone=names[0], text=zones.small(names[0], 1))
    for n in names[1:]:
        c.primary.add_zone(n, zones.small(n, 1))
        c.secondary.add_zone(n)
        c.seal.zone(n, [c.primary], [c.secondary])
    c.start()
    harness.wait_for(lambda: all(z["served"] and not z["busy"] for z in c.seal.json("zone", "list")["zones"]), "all zones", 120)
    for n in names:
        c.secondary.wait_serial(n, 1)
    seal.verify_zone(c.secondary.axfr(names[50]), names[50])
    tags = {k["id"] for z in c.seal.json("key", "list")["zones"] for k in z["keys"]}
    assert len(tags) == 200
