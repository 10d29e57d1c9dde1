# SPDX-License-Identifier: GPL-3.0-or-later
"""The background sweep: a bad record that stands in the store with a good checksum is found, told, and healed."""

import base64
import glob
import os
import struct

import dns.dnssec
import dns.query
import dns.rdatatype
import pytest

import chain
import harness
import zones
from chain import ZONE
from test_damage import APEX, record
from test_time import DAY, HOUR, Timed, Watch, signatures

VALUE_HEAD = 5  # format octet, CRC-32C


def crc32c(data):
    crc = 0xffffffff
    for octet in data:
        crc ^= octet
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff


def leaves(t, prefix):
    """(file, offset, key, value) of every value whose key begins so, old pages included: octets of the value (low and high
    half), flags, octets of the key, key, value."""
    for path in glob.glob(os.path.join(t.seal.state_dir, "zones", "*", "*", "*.mdb")):
        data = open(path, "rb").read()
        place = data.find(prefix)
        while place >= 0:
            low, high, flags, klen = struct.unpack("<HHHH", data[place - 8:place])
            if not flags and len(prefix) <= klen <= 511:
                key = data[place:place + klen]
                at = place + klen
                yield path, at, key, data[at:at + (low | high << 16)]
            place = data.find(prefix, place + 1)


def spoil(t, prefix, change, want=lambda key, value: True):
    """change() what a value holds; its checksum is right afterwards."""
    hits = 0
    for path, at, key, value in list(leaves(t, prefix)):
        if len(value) <= VALUE_HEAD or crc32c(value[VALUE_HEAD:]) != struct.unpack(">I", value[1:5])[0] or not want(key, value):
            continue
        body = bytearray(value[VALUE_HEAD:])
        change(body)
        with open(path, "r+b") as f:
            f.seek(at + 1)
            f.write(struct.pack(">I", crc32c(body)) + bytes(body))
        hits += 1
    assert hits, prefix


def bad_signature(body):
    body[-17] ^= 1  # the last octet of the last signature; expiry time and sequence follow


@pytest.fixture(params=["nsec", "nsec3"])
def t(rig, request):
    t = Timed(rig, policy_options={"denial": request.param}, text=zones.sample(ZONE, 1).replace("3600 600 1209600", "864000 3600 9676800")).start()
    t.denial = request.param
    t.line.published(1)
    t.settle()
    return t


def sweep(t):
    return t.report()["sweep"]


def rounds(t, condition, what):
    """Time goes on until it is so."""
    def look():
        t.clock.advance(HOUR / 4)
        return condition()
    return harness.wait_for(look, what, alive=[t.seal.process])


def judge(t):
    """What the secondary serves now, by the judges that can be told the time."""
    w = Watch(t)
    w.look(True)
    w.judge()


def whole_round(t):
    before, begun = sweep(t)["last_round"], t.clock.wall
    return rounds(t, lambda: sweep(t)["last_round"] != before and sweep(t), "a round") and t.clock.wall - begun


def test_rounds_pass_and_find_nothing(t):
    for _ in range(3):
        assert whole_round(t) <= DAY + HOUR
    s = sweep(t)
    assert s["findings"] == 0 and s["values"] > 3 * 60 and s["finding"] is None
    assert not t.seal.alarms(ZONE)
    assert t.seal.metric("zoneseal_sweep_findings_total", zone=ZONE) == 0
    assert t.clock.wall - 2 * DAY < t.seal.metric("zoneseal_sweep_last_round_timestamp_seconds", zone=ZONE) <= t.clock.wall
    assert "sweep        last round " in t.seal.ctl("zone", "status", ZONE).stdout


@pytest.mark.parametrize("key,name", [(record([b"mail"], 15), "mail.%s MX" % ZONE), (record([], 6), "%s SOA" % ZONE), (b"\x30\0" + APEX, "%s NSEC" % ZONE)],
                         ids=["mx", "soa", "chain"])
def test_a_bad_signature_is_signed_anew_and_told(t, key, name):
    if t.denial == "nsec3" and key[0] == 0x30:
        hashed = dns.dnssec.nsec3_hash(ZONE, "", 0, 1)
        key, name = b"\x30\1" + base64.b32hexdecode(hashed), "%s.%s NSEC3" % (hashed.lower(), ZONE)
    whole_round(t)
    before = signatures(t.seal.axfr(ZONE))
    serial = t.seal.serial(ZONE)
    spoil(t, key, bad_signature, lambda k, v: k == key)
    rounds(t, lambda: t.seal.serial(ZONE) != serial and not t.seal.alarms(ZONE), "the version that heals it")
    log = t.seal.log()
    owner, covered = name.split()
    said = [line for line in log.splitlines() if "event=finding check=bad-signature" in line]
    assert len(said) == 1 and name in said[0] and "does not verify; session unknown" in said[0] and "inception" in said[0], said
    assert "event=alarm alarm=sweep" in log and "event=resigned rrsets=1 left=0" in log and "event=rebuild" not in log
    s = sweep(t)
    assert s["findings"] == 1 and name in s["finding"] and s["to_sign_anew"] == 0
    assert t.seal.metric("zoneseal_sweep_findings_total", zone=ZONE) == 1
    assert log.count("event=refreshed") == 1
    content = key[0] == 0x20
    assert ("event=compared serial=1: the stored content is upstream's" in log) == content and "event=differed" not in log
    # A difference would take from secondaries what they never had, and leave what they have.
    ixfr = next(iter(dns.query.xfr(t.seal.addr, ZONE, rdtype="IXFR", serial=serial, port=harness.PORT, relativize=False, source=t.seal.peer)))
    assert [r.rdtype for r in ixfr.answer[:2]].count(dns.rdatatype.SOA) == 1 and "event=gap" in log
    assert log.count("event=published serial=") == 1 and t.seal.status(ZONE)["counters"]["transfers_ok"] == 1 + content
    after = signatures(t.seal.axfr(ZONE))
    changed = {k for k in before if before[k] != after[k]}
    assert before.keys() == after.keys() and {k[1] for k in changed} == {covered, "SOA"} and any(k[:2] == (owner, covered) for k in changed)
    t.settle()
    judge(t)
    whole_round(t)
    assert sweep(t)["findings"] == 1 and not t.seal.alarms(ZONE)


@pytest.mark.parametrize("where", ["address", "soa"])
def test_data_that_changed_is_not_made_legitimate(t, where):
    """Under a right checksum it looks like a bad signature: signed anew at once, but then compared with upstream's."""
    def another(body):
        if where == "soa":
            body[body.index(b"\x0ahostmaster") + 1] ^= 1
        else:
            body[body.index(bytes([192, 0, 2])) + 3] ^= 0x40
    key = record([], 6) if where == "soa" else record([b"www"], 1)
    whole_round(t)
    serial = t.seal.serial(ZONE)
    spoil(t, key, another, lambda k, v: k == key)
    rounds(t, lambda: "event=differed" in t.seal.log() and not t.report()["busy"], "the comparison")
    said = [line for line in t.seal.log().splitlines() if "event=differed" in line]
    counts = "0 records added, 0 taken away, 0 replaced, another SOA" if where == "soa" else "1 records added, 1 taken away, 0 replaced"
    assert len(said) == 1 and said[0].endswith("serial=1: the stored content was not upstream's: " + counts), said
    assert t.seal.serial(ZONE) > serial and "is corrected" in t.seal.alarms(ZONE)["sweep"]
    chain.same_data(t.line)
    t.settle()
    judge(t)
    whole_round(t)
    whole_round(t)
    assert not t.seal.alarms(ZONE) and t.seal.log().count("event=compare:") == 1


def test_what_no_signature_heals_is_built_anew(t):
    """An entry of the expiry index that points elsewhere: that RRset would never be refreshed."""
    def elsewhere(body):
        body[-1] ^= 1
    key = record([b"mail"], 15)
    spoil(t, b"\x40", elsewhere, lambda k, v: v[VALUE_HEAD:] == key)
    serial = t.seal.serial(ZONE)
    rounds(t, lambda: t.seal.serial(ZONE) != serial and not t.seal.alarms(ZONE), "the generation that heals it")
    log = t.seal.log()
    assert "event=finding check=expiry-index" in log and log.count("event=rebuild") == 1 and "event=alarm alarm=sweep" in log
    t.settle()
    judge(t)
    found = sweep(t)["findings"]
    whole_round(t)
    whole_round(t)
    assert sweep(t)["findings"] == found and not t.seal.alarms(ZONE)


def test_a_damaged_value_goes_the_way_of_damage(t):
    for path, at, key, value in list(leaves(t, record([b"mail"], 15))):
        if key != record([b"mail"], 15) or len(value) < 20:
            continue
        with open(path, "r+b") as f:
            f.seek(at + 12)
            f.write(bytes([value[12] ^ 1]))
    serial = t.seal.serial(ZONE)
    rounds(t, lambda: t.seal.serial(ZONE) != serial and not t.seal.alarms(ZONE), "a new generation")
    assert "found-by=the sweep" in t.seal.log()
    t.settle()
    judge(t)
