# SPDX-License-Identifier: GPL-3.0-or-later
"""What secondaries say that they have: which word raises a serial, and when the parent may get DS."""

import datetime
import struct
import time

import zones
from chain import ZONE, Chain
from harness import wait_for
from raw import Raw, record

SAYS = ZONE + " 300 IN SOA ns.other.example. h.other.example. %d 1 1 1 1"


class Told(Raw):
    """A secondary that says it has this or that, over UDP and over TCP."""

    def __init__(self, rig, udp=1, tcp=1):
        super().__init__(rig, ZONE, SAYS % 1)
        self.udp, self.tcp = udp, tcp

    def says(self, query, serial):
        asked = query[12:query.index(b"\0", 12) + 5]
        owner, ttl, klass, rtype, rdata = record(SAYS % serial)
        return (query[:2] + struct.pack("!HHHHH", 0x8400, 1, 1, 0, 0) + asked + owner +
                struct.pack("!HHIH", rtype, klass, ttl, len(rdata)) + rdata)

    def _messages(self, query):
        yield self.says(query, self.tcp)

    def _udp(self, s):
        while not self._stop.is_set():
            try:
                query, who = s.recvfrom(4096)
                if len(query) > 12:
                    s.sendto(self.says(query, self.udp), who)
            except OSError:
                return


def line(rig, **more):
    c = Chain(rig, **more)
    c.told = Told(rig).start()
    c.seal.conf["zones"][0]["downstream"].append(c.seal.remote(c.told))
    c.start()
    c.serial = c.published(1)
    return c


def heard(c, serial):
    def known():
        return [s["serial"] for s in c.seal.status(ZONE)["secondaries"] if s["name"] == c.told.name]
    wait_for(lambda: known() == [serial], "the secondary to be heard", 30)


def change(c, upstream):
    c.primary.change(ZONE, zones.sample(ZONE, upstream))
    return c.published(upstream)


def test_anybody_can_say_so_over_udp(rig):
    """A serial that came over UDP without a signature raises nothing, one over TCP does."""
    c = line(rig)
    c.told.udp = c.serial + 5000
    heard(c, c.told.udp)
    serial = change(c, 2)
    assert c.serial < serial < c.serial + 5000
    c.seal.stop()
    c.told.udp = c.told.tcp = serial + 5000
    c.seal.start()
    heard(c, c.told.tcp)
    assert change(c, 3) > serial + 5000


def test_too_far_above_is_not_followed(rig):
    """A secondary that came to a serial of others would take the zone with it."""
    c = line(rig)
    c.seal.stop()
    c.told.udp = c.told.tcp = c.serial + (1 << 30)
    c.seal.start()
    assert str(c.told.tcp) in c.seal.wait_alarm(ZONE, "publication", "too far above")
    assert c.serial < change(c, 2) < c.serial + 5000


def test_ds_waits_for_each_secondary(rig):
    """While one may serve the unsigned zone a DS breaks it; what it gave out stays a TTL (RFC 6781 4.1.1)."""
    c = line(rig)
    heard(c, c.told.udp)
    assert c.seal.status(ZONE)["ds_not_before"] is None
    assert "not before" in c.seal.ctl("zone", "ds", ZONE).stderr
    began = time.time()
    c.told.udp = c.told.tcp = c.serial
    s = {}
    wait_for(lambda: s.update(c.seal.status(ZONE)) or s["ds_not_before"], "the time of DS", 30)
    at = datetime.datetime.fromisoformat(s["ds_not_before"].replace("Z", "+00:00")).timestamp()
    assert began - 1 <= at - s["version"]["largest_ttl"] <= time.time()
    change(c, 2)
    c.seal.stop()
    c.seal.start()
    wait_for(lambda: c.seal.status(ZONE).get("ds_not_before") == s["ds_not_before"], "the same after a start")
