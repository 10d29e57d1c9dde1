# SPDX-License-Identifier: GPL-3.0-or-later
"""A generation that opens and has a damaged value: one octet of it turned over in the file, with the daemon stopped and
while it runs. It is found, kept aside, reported and built anew from upstream, with the same keys and a higher serial, and
nothing wrong is ever transferred."""

import glob
import os
import struct

import dns.rdatatype
import pytest

import chain
import clocked
import harness
import seal
import zones
from chain import ZONE, Chain

DAY = 86400
APEX = b"example\0seal\0"
META = b"\x10zone"
KEYSTATE = b"\x10keystate"


def record(labels, rtype):
    """The key of a record: labels from the apex down."""
    return b"\x20" + APEX + b"".join(x + b"\0" for x in labels) + b"\0" + struct.pack(">H", rtype)


SOA, DNSKEY, NS = record([], 6), record([], 48), record([], 2)
MIDDLE = record([b"mail"], 15)
APEX_NSEC = b"\x30\0" + APEX
MIDDLE_NSEC = b"\x30\0" + APEX + b"mail\0"


class Damaged:
    def __init__(self, rig, **how):
        self.line = Chain(rig, **how)
        self.seal = self.line.seal

    def start(self):
        self.line.start()
        self.serial = self.line.published(1)
        self.keys = self.dnskeys()
        self.ids = sorted(k["id"] for k in self.seal.status(ZONE)["keys"])
        return self

    def directory(self):
        return os.path.dirname(glob.glob(os.path.join(self.seal.state_dir, "zones", "*", "*", "keystate"))[0])

    def damage(self, key, at=12, bit=1):
        """Turns over one bit of the value of this key, in every page that has it. A leaf's node: octets of the value (low and
        high half), flags, octets of the key, key, value."""
        hits = 0
        for path in glob.glob(os.path.join(self.directory(), "*.mdb")):
            with open(path, "r+b") as f:
                data = f.read()
                node = struct.pack("<HH", 0, len(key)) + key
                place = data.find(node)
                while place >= 0:
                    f.seek(place + len(node) + at)
                    octet = f.read(1)[0]
                    f.seek(-1, os.SEEK_CUR)
                    f.write(bytes([octet ^ bit]))
                    hits += 1
                    place = data.find(node, place + 1)
        assert hits, key

    def dnskeys(self):
        answer = harness.ask(self.seal.addr, ZONE, "DNSKEY")
        return sorted(r.to_text() for s in answer.answer if s.rdtype == dns.rdatatype.DNSKEY for r in s)

    def aside(self):
        return [os.path.basename(p) for p in glob.glob(os.path.join(self.directory(), "*.mdb.damaged-*"))]

    def transfer(self):
        """A whole transfer, or None when it was cut."""
        try:
            return self.seal.axfr(ZONE)
        except harness.Failure:
            return None

    def made_anew(self, upstream=1):
        """Kept, reported, rebuilt; the secondary has it and foreign verifiers like it."""
        newer = self.seal.wait_zone(ZONE, lambda s: s.get("served") and not s.get("busy") and (s.get("damage") or {}).get("kept_as")
                                    and s["signed_serial"] != self.serial and s["signed_serial"], "a new generation")
        assert self.line.published(upstream) == newer > self.serial
        status = self.seal.status(ZONE)
        assert status["damage"]["kept_as"] in self.aside() and not status["damage"]["open"]
        assert "event=damaged" in self.seal.log()
        assert self.seal.metric("zoneseal_store_damaged_total", zone=ZONE) == status["damage"]["count"] >= 1
        assert not status["alarms"], status["alarms"]
        assert sorted(k["id"] for k in status["keys"]) == self.ids and self.dnskeys() == self.keys
        assert "damage" in self.seal.ctl("zone", "status", ZONE).stdout
        seal.verify_zone(self.transfer(), ZONE)
        self.line.verify()
        chain.same_data(self.line)
        return newer


# --- with the daemon stopped -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("key,at", [(META, 30), (SOA, 40), (SOA, 0), (DNSKEY, 100), (NS, 2), (APEX_NSEC, 20)],
                         ids=["meta", "soa", "soa-format", "dnskey", "ns-crc", "nsec"])
def test_what_is_served_from_memory_cannot_be_read(rig, key, at):
    d = Damaged(rig).start()
    d.seal.stop()
    d.damage(key, at)
    d.seal.start()
    d.made_anew()


def test_it_is_said_and_not_served_while_upstream_is_away(rig):
    d = Damaged(rig).start()
    d.seal.stop()
    d.damage(META, 30)
    d.line.primary.stop()
    d.seal.start()
    kept = d.aside()
    assert d.seal.wait_alarm(ZONE, "store", "damaged.*set aside as") .endswith("%s, rebuilt from upstream" % kept[0]) and len(kept) == 1
    assert d.seal.serial(ZONE) is None
    assert d.line.secondary.serial(ZONE) == d.serial  # the public sees nothing of it
    d.line.primary.start()
    d.seal.ctl("zone", "refresh", ZONE)
    d.made_anew()


def test_key_state_of_the_generation(rig):
    """One bit of a key's id: the text beside the generation has the last word."""
    d = Damaged(rig).start()
    d.seal.stop()
    d.damage(KEYSTATE, 120)
    d.seal.start()
    d.made_anew()


def test_large_zone_in_the_middle(rig):
    """Nothing is noticed until it is read: then the transfer is cut, and what comes next is whole."""
    text = zones.sample(ZONE, 1) + "".join("n%d.%s 300 IN A 192.0.2.%d\n" % (i, ZONE, i % 250) for i in range(3000))
    d = Damaged(rig, text=text).start()
    d.seal.stop()
    d.damage(record([b"n1500"], 1))
    d.seal.start()
    d.seal.wait_zone(ZONE, lambda s: s["served"] and not s["busy"], "the stored version")
    assert d.seal.status(ZONE)["signed_serial"] == d.serial and not d.seal.alarms(ZONE)
    assert d.transfer() is None
    d.made_anew()
    assert d.seal.metric("zoneseal_transfers_damaged_total") >= 1


# --- while it runs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", [SOA, MIDDLE, MIDDLE_NSEC, APEX_NSEC], ids=["soa", "middle", "middle-nsec", "apex-nsec"])
def test_a_transfer_meets_it(rig, key):
    d = Damaged(rig).start()
    d.damage(key)
    assert d.transfer() is None
    d.made_anew()


def test_an_export_meets_it(rig):
    d = Damaged(rig).start()
    d.damage(MIDDLE)
    r = d.seal.ctl("zone", "export", ZONE)
    assert r.returncode != 0 and "incomplete" in r.stderr
    d.made_anew()


def test_a_build_meets_it(rig):
    d = Damaged(rig).start()
    d.damage(MIDDLE)
    d.line.primary.change(ZONE, zones.sample(ZONE, 2))
    d.line.published(2)
    d.made_anew(2)


def test_it_is_served_until_upstream_is_back_also_after_a_restart(rig):
    d = Damaged(rig).start()
    d.line.primary.stop()
    d.damage(MIDDLE)
    assert d.transfer() is None
    d.seal.wait_alarm(ZONE, "store", "damaged.*a transfer")
    assert d.seal.serial(ZONE) == d.serial and not d.aside()
    assert d.seal.status(ZONE)["damage"]["open"]
    d.seal.stop()
    d.seal.start()
    d.seal.wait_alarm(ZONE, "store", "damaged.*its mark")
    assert d.seal.serial(ZONE) == d.serial
    d.line.primary.start()
    d.seal.ctl("zone", "refresh", ZONE)
    d.made_anew()


@pytest.mark.parametrize("key", [META, MIDDLE, MIDDLE_NSEC], ids=["meta", "middle", "nsec"])
def test_a_refresh_meets_it(rig, key):
    """Days later, when signatures are to be made again."""
    d = Damaged(rig)
    clock = clocked.Clock(rig)
    d.line.primary.start()
    d.line.secondary.start()
    d.seal.start(env=clock.env(), program="zoneseald-clk")
    d.serial = d.line.published(1)
    d.keys, d.ids = d.dnskeys(), sorted(k["id"] for k in d.seal.status(ZONE)["keys"])
    d.damage(key)
    clock.advance(10 * DAY)

    def rebuilt():
        clock.advance(1)
        s = d.seal.status(ZONE)
        return s.get("signed_serial") != d.serial and (s.get("damage") or {}).get("kept_as") and not s["busy"] and not s["alarms"]
    harness.wait_for(rebuilt, "a new generation")
    found = d.seal.log().split("found-by=")[1]  # META is read when the time of a check is written, too
    assert found.startswith(("a refresh", "the sweep")) or (key == META and found.startswith("noting a check"))
    assert d.seal.status(ZONE)["signed_serial"] > d.serial and d.dnskeys() == d.keys
    assert sorted(k["id"] for k in d.seal.status(ZONE)["keys"]) == d.ids
    assert d.transfer()


# --- the key register ------------------------------------------------------------------------------------------------


def test_key_register_is_made_anew_from_the_zones(rig):
    d = Damaged(rig).start()
    d.seal.stop()
    register = os.path.join(d.seal.state_dir, "register")
    with open(os.path.join(register, "keys.mdb"), "r+b") as f:
        f.write(b"\xa5" * 8192)
    d.seal.start()
    assert d.line.published(1) == d.serial and not d.aside()
    assert "event=damaged file=keys.mdb.damaged-1" in d.seal.log() and "keys.mdb.damaged-1" in os.listdir(register)
    with open(os.path.join(register, "keys.mdb"), "rb") as f:
        data = f.read()
    assert all(bytes.fromhex(i) in data for i in d.ids)
