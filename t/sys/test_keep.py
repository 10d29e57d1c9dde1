# SPDX-License-Identifier: GPL-3.0-or-later
"""What stays: a zone that leaves the config and comes back, remotes that get other names, a daemon that is killed. Keys,
serials and history are the same afterwards, and nobody else notices."""

import dns.name
import dns.query
import dns.rdatatype
import pytest

import chain
import harness
import seal
import servers
import zones
from chain import ZONE
from harness import PORT
from script import Script

OTHER = "other.example."


def text(zone, serial, extra=""):
    return zones.sample(zone, serial, extra=extra)


def a(n, zone=ZONE):
    return "".join("a%d.%s 300 IN A 192.0.2.%d\n" % (i, zone, i) for i in range(1, n + 1))


def lines(messages):
    return ["%s %d %s %s" % (s.name.to_text().lower(), s.ttl, dns.rdatatype.to_text(s.rdtype), s[0].to_text().lower())
            for m in messages for s in m.answer]


def difference(s, zone, serial):
    """What we answer to IXFR, a record a line."""
    return lines(dns.query.xfr(s.addr, zone, rdtype="IXFR", serial=serial, port=PORT, relativize=False, timeout=20, source=s.addr))


def whole(s, zone):
    out = []
    for m in dns.query.xfr(s.addr, zone, port=PORT, relativize=False, timeout=20, source=s.addr):
        for rrset in m.answer:
            out += ["%s %d %s %s" % (rrset.name.to_text().lower(), rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), r.to_text().lower())
                    for r in rrset]
    return set(out)


def applied(content, ixfr):
    """The content after a difference, which must fit exactly."""
    content, adding, soas = set(content), True, 0
    assert " SOA " in ixfr[0] and " SOA " in ixfr[1] and ixfr[1] != ixfr[0] and ixfr[-1] == ixfr[0]
    for line in ixfr[1:-1]:
        if " SOA " in line:
            adding, soas = not adding, soas + 1
        if adding:
            assert line not in content, line
            content.add(line)
        else:
            content.remove(line)
    assert soas % 2 == 0
    return content


class Box:
    """Two zones of one scripted primary each, with a secondary for both."""

    def __init__(self, rig, secondary=None):
        self.seal = s = seal.Zoneseal(rig)
        self.primary = {z: Script(rig, z, text(z, 1), [chain._Peer(s)]) for z in (ZONE, OTHER)}
        self.secondary = servers.KINDS[secondary](rig, "secondary", None, [chain._Peer(s)]) if secondary else None
        s.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        s.policy("tested", denial="nsec3", serial="increment")
        for z in self.primary:
            s.zone(z, [self.primary[z]], [self.secondary] if secondary else [], "tested", transfer=["anyone"])
            if self.secondary:
                self.secondary.add_zone(z)
            self.primary[z].start()
        if self.secondary:
            self.secondary.start()
        s.start()
        self.zones = list(s.conf["zones"])

    def next(self, n, zone=ZONE):
        self.primary[zone].next(text(zone, n, a(n, zone)))
        return self.seal.wait_published(zone, n)

    def keys(self, zone=ZONE):
        return sorted(k["id"] for k in self.seal.status(zone)["keys"])

    def reload(self):
        said = self.seal.log().count("reloaded")
        self.seal.reload()
        harness.wait_for(lambda: self.seal.log().count("reloaded") > said, "the reload", alive=[self.seal.process])

    def still(self, zone):
        s = self.seal.status(zone)
        return s["signed_serial"], s["version"]["number"], len(self.primary[zone].asked)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["the-same", "newer-upstream"])
def test_a_zone_leaves_and_comes_back(rig, meanwhile):
    b = Box(rig)
    first = b.seal.wait_published(ZONE, 1)
    b.seal.wait_published(OTHER, 1)
    content = whole(b.seal, ZONE)
    second = b.next(2)
    keys, other = b.keys(), b.still(OTHER)
    asked = len(b.primary[ZONE].asked)
    b.seal.conf["zones"] = [z for z in b.zones if z["name"] != ZONE]
    b.seal.reload()
    harness.wait_for(lambda: b.seal.serial(ZONE) is None, "the zone to go")
    if meanwhile:
        for n in (3, 4):
            b.primary[ZONE].next(text(ZONE, n, a(n)))
    assert len(b.primary[ZONE].asked) == asked
    b.seal.conf["zones"] = b.zones
    b.seal.reload()
    serial = harness.wait_for(lambda: b.seal.serial(ZONE), "the zone to be served again")
    assert serial >= second and b.keys() == keys
    if not meanwhile:
        b.seal.wait_zone(ZONE, lambda s: not s["busy"], "rest")
        assert b.seal.serial(ZONE) == second and len(b.primary[ZONE].asked) == asked
    b.next(5)
    assert b.seal.serial(ZONE) > second and b.keys() == keys
    assert all(k == 251 for k, _ in b.primary[ZONE].asked[asked:])
    now = whole(b.seal, ZONE)
    assert applied(content, difference(b.seal, ZONE, first)) == now
    assert b.still(OTHER) == other
    seal.verify_zone(b.seal.axfr(ZONE, source=b.seal.addr), ZONE)


def test_remotes_get_other_names(rig):
    b = Box(rig, "nsd")
    for z in b.primary:
        b.secondary.wait_serial(z, b.seal.wait_published(z, 1))
        b.secondary.wait_serial(z, b.next(2, z))
    b.seal.wait_zone(ZONE, lambda s: all(x.get("current") or x.get("serial") for x in s.get("secondaries", [])), "what it has")
    before = {z: b.still(z) for z in b.primary}
    names = {}
    for r in b.seal.conf["remotes"]:
        names[r["name"]] = r["name"] = "new-" + r["name"] if r["name"] != b.primary[OTHER].name else r["name"]
        names[r["name"]] = r["name"]
    old = {b.secondary.name: "new-" + b.secondary.name, b.primary[ZONE].name: "new-" + b.primary[ZONE].name}
    for z in b.seal.conf["zones"]:
        for side in ("upstream", "downstream"):
            z[side] = [old.get(n, n) for n in z[side]]
    b.seal.reload()
    b.seal.wait_zone(ZONE, lambda s: "new-" + b.secondary.name in str(s), "the new name")
    for z in b.primary:
        b.seal.wait_zone(z, lambda s: not s["busy"], "rest")
        assert b.still(z) == before[z] and not b.seal.alarms(z), z
    assert b.seal.log().count("event=started upstream") == 2
    for z in b.primary:
        b.secondary.wait_serial(z, b.next(3, z))
        assert b.primary[z].asked[-1] == (251, 2)
    b.seal.wait_zone(ZONE, lambda s: not s["busy"], "rest")


def test_history_outlives_kills(rig):
    b = Box(rig, "bind")
    content, serials = {}, []
    for n in range(1, 9):
        serial = b.seal.wait_published(ZONE, 1) if n == 1 else b.next(n)
        serials.append(serial)
        content[serial] = whole(b.seal, ZONE)
        if n % 3 == 0:
            b.primary[ZONE].next(text(ZONE, n + 1, a(n + 1)))  # on its way when it ends
            b.seal.kill()
            b.seal.start()
            b.seal.wait_published(ZONE, n + 1)
            assert b.seal.serial(ZONE) > serial
    last = serials[-1]
    for serial in serials[:-1]:
        assert applied(content[serial], difference(b.seal, ZONE, serial)) == content[last], serial
    b.secondary.wait_serial(ZONE, last)
    assert [k for k, _ in b.primary[ZONE].asked].count(252) == 1
    assert open(b.secondary.process.log).read().count("AXFR-style") <= 1
    seal.verify_zone(b.secondary.axfr(ZONE), ZONE)
