# SPDX-License-Identifier: GPL-3.0-or-later
"""The denial chain over random small zones: ours (chain_dump) against slow_chain.py. The seed is printed; to repeat
a run, set ZS_SEED. CHAIN_DUMP names the program when it is not in the current directory."""

import os
import random
import shutil
import subprocess
import sys
import time

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataset

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "py"))
import slow_chain  # noqa: E402

ZONES = 600
PROGRAM = os.environ.get("CHAIN_DUMP", "./chain_dump")
LABELS = [b"a", b"b", b"c", b"d", b"*", b"\x00", b"\x01", b"a\x00b", b"a.b", b"\xff", b"A", b"aa", b"-", b"[", b"{"]
DATA = [1, 15, 16, 28, 33, 257, 1234, 65280]
APEXES = [b"\x00", b"\x07example\x00", b"\x01*\x01B\x03Org\x00", b"\x02a\x00\x03com\x00"]


def mixed_case(rng, wire):
    """Letters of labels in random case; length octets are no letters (labels here are short)."""
    return bytes(o ^ 0x20 if chr(o).isalpha() and o < 128 and rng.random() < 0.3 else o for o in wire)


def random_types(rng):
    types = set(rng.sample(DATA, rng.randint(1, 3)))
    what = rng.random()
    if what < 0.25:
        types.add(2)
        if rng.random() < 0.5:
            types.add(43)
    elif what < 0.35:
        types.add(39)
    elif what < 0.4:
        types = {5}
    if what < 0.25 and rng.random() < 0.5:
        types -= set(DATA)  # most delegations have NS and DS alone
    return types


def random_zone(rng):
    """(header line, [(wire, types)])"""
    apex = rng.choice(APEXES)
    nsec3 = rng.random() < 0.7
    salt = rng.choice(["-", "-", "aabbccdd", "00"]) if nsec3 else "-"
    header = "zone %s %s %d %d %s" % (mixed_case(rng, apex).hex(), "nsec3" if nsec3 else "nsec", rng.random() < 0.5,
                                      rng.choice([0, 0, 1, 5]) if nsec3 else 0, salt)
    labels = rng.sample(LABELS, rng.randint(2, len(LABELS)))
    depth = rng.randint(1, 5)
    owners = {slow_chain.name_from_wire(apex): (apex, {2, 6} | ({39} if rng.random() < 0.03 else set()))}
    for _ in range(rng.choice([0, 1, 3, 10, 40])):
        wire = b"".join(bytes([len(l)]) + l for l in rng.choices(labels, k=rng.randint(1, depth))) + apex
        owners.setdefault(slow_chain.name_from_wire(wire), (mixed_case(rng, wire), random_types(rng)))
    listed = list(owners.values())
    rng.shuffle(listed)
    return header, listed


def as_text(header, owners):
    lines = [header] + ["%s %s" % (wire.hex(), ",".join(map(str, sorted(types)))) for wire, types in owners]
    return "\n".join(lines + ["end", ""])


def theirs(header, owners):
    word = header.split()
    salt = b"" if word[5] == "-" else bytes.fromhex(word[5])
    zone = slow_chain.Zone(slow_chain.name_from_wire(bytes.fromhex(word[1])), word[2] == "nsec3", word[3] == "1",
                           int(word[4]), salt)
    given = [slow_chain.name_from_wire(wire) for wire, _ in owners]
    for name, (_, types) in zip(given, owners):
        zone.add(name, types)
    return zone.dump(given)


def ours(text):
    done = subprocess.run([PROGRAM], input=text, capture_output=True, text=True, check=True, timeout=300)
    return done.stdout.splitlines()


def split(lines):
    """The answers to several zones, each up to its `end`."""
    answers = [[]]
    for line in lines:
        answers[-1].append(line)
        if line == "end":
            answers.append([])
    return answers[:-1]


def test_random_zones():
    seed = int(os.environ.get("ZS_SEED", random.SystemRandom().randrange(1 << 32)))
    print("ZS_SEED=%d" % seed)
    rng = random.Random(seed)
    zones = [random_zone(rng) for _ in range(ZONES)]
    answers = split(ours("".join(as_text(*zone) for zone in zones)))
    assert len(answers) == ZONES
    seen = set()
    for zone, answer in zip(zones, answers):
        want = theirs(*zone)
        assert answer == want, "ZS_SEED=%d\n%s" % (seed, as_text(*zone))
        seen.update(line.split()[2] for line in want if line.startswith(("name", "look")))
    assert seen == {"apex", "auth", "secure", "insecure", "ent", "occluded"}  # the zones had everything


def test_order_is_dnspythons():
    """The second implementation's own ground: RFC 4034 6.1's example."""
    names = ["example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.", "z.example.",
             "\\001.z.example.", "*.z.example.", "\\200.z.example."]
    names = [dns.name.from_text(n) for n in names]
    assert sorted(reversed(names)) == names


# --- what validators say -----------------------------------------------------------------------------------

ZONE = """
example. SOA ns1 hostmaster 1 3600 600 86400 300
example. NS ns1
example. MX 1 mail
ns1 A 192.0.2.1
a\\000b A 192.0.2.1
\\000.a A 192.0.2.1
a A 192.0.2.1
cut.deep.er NS ns.cut.deep.er
ns.cut.deep.er A 192.0.2.1
x.y.cut.deep.er A 192.0.2.1
d DNAME other.example.
d TXT "authoritative"
sec NS ns.only.sec
sec DS 1 8 2 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f
ns.only.sec A 192.0.2.1
a.* A 192.0.2.1
*.wild A 192.0.2.1
*.wild TYPE65280 \\# 1 00
1.2.3.4 PTR ns1
9.9.3.4 PTR ns1
"""
APEX = dns.name.from_text("example.")
VERIFIERS = [["dnssec-verify", "-q", "-z", "-o", "example."], ["ldns-verify-zone"], ["kzonecheck", "-o", "example."]]


def parse_zone(nsec3):
    """{(name, type): rdataset} of ZONE with a key and, with NSEC3, its parameters."""
    private = ed25519.Ed25519PrivateKey.generate()
    dnskey = dns.dnssec.make_dnskey(private.public_key(), dns.dnssec.Algorithm.ED25519, flags=257)
    lines = ZONE.strip().splitlines() + ["example. DNSKEY " + dnskey.to_text()]
    if nsec3:
        lines.append("example. NSEC3PARAM 1 0 0 -")
    sets = {}
    for line in lines:
        owner, rdtype, rdata = line.split(" ", 2)
        name = dns.name.from_text(owner, None if owner.endswith(".") else APEX)
        value = dns.rdata.from_text("IN", rdtype, rdata, origin=APEX, relativize=False)
        ttl = 0 if rdtype == "NSEC3PARAM" else 300
        sets.setdefault((name, value.rdtype), dns.rdataset.Rdataset(value.rdclass, value.rdtype, ttl=ttl)).add(value)
    return private, dnskey, sets


def is_signed(zone, name, rdtype):
    kind = zone.kind(name) if name in zone.owners else "auth"
    return kind in ("apex", "auth") or (kind != "occluded" and rdtype in (43, 47))


def signed_zone(nsec3, opt_out):
    """The text of the zone: the chain is ours, the signatures are dnspython's."""
    private, dnskey, sets = parse_zone(nsec3)
    zone = slow_chain.Zone(APEX, nsec3, opt_out)
    for name, rdtype in sets:
        zone.add(name, {int(rdtype)})
    owners = [(name.to_wire(), types) for name, types in zone.owners.items()]
    header = "zone %s %s %d 0 -" % (APEX.to_wire().hex(), "nsec3" if nsec3 else "nsec", opt_out)
    for line in ours(as_text(header, owners)):
        if line.startswith("rr "):
            name, rdata = (bytes.fromhex(w) for w in line.split()[1:])
            value = dns.rdata.from_wire(1, 50 if nsec3 else 47, rdata, 0, len(rdata))
            rdataset = dns.rdataset.Rdataset(1, value.rdtype, ttl=300)
            rdataset.add(value)
            sets[dns.name.from_wire(name, 0)[0], value.rdtype] = rdataset
    text = []
    inception = int(time.time()) - 3600  # the judges know no grace, and the clock goes on
    for (name, rdtype), rdataset in sorted(sets.items(), key=lambda item: (item[0][0], item[0][1] != 6, item[0][1])):
        text.append(rdataset.to_text(name))
        if is_signed(zone, name, rdtype):
            sig = dns.dnssec.sign((name, rdataset), private, APEX, dnskey, inception=inception, lifetime=86400)
            text.append("%s %d IN RRSIG %s" % (name, rdataset.ttl, sig.to_text()))
    return "\n".join(text) + "\n"


@pytest.mark.parametrize("verifier", VERIFIERS, ids=lambda v: v[0])
@pytest.mark.parametrize("nsec3,opt_out", [(False, False), (True, False), (True, True)])
def test_verifiers(tmp_path, verifier, nsec3, opt_out):
    if shutil.which(verifier[0]) is None:
        pytest.skip(verifier[0] + " is not installed")
    path = tmp_path / "example.zone"
    path.write_text(signed_zone(nsec3, opt_out))
    done = subprocess.run(verifier + [str(path)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr + path.read_text()
