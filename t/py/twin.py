#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""A slow twin of what zoneseal computes about names and records, written to be obvious, over dnspython.

Usage: twin.py KIND COUNT SEED, one case a line on stdout, octets in hex ("-" for none):
  order NAME NAME -1|0|1     RFC 4034 6.1, by dnspython's own comparison
  okey NAME KEY              the order key of ARCHITECTURE "Names and order"
  canon TYPE RDATA RDATA     RFC 4034 6.2 / RFC 6840 5.1
  nsec3 NAME SALT ITERATIONS HASH   RFC 5155 5

KIND is names (order and okey), rdata (canon) or nsec3. Exit 77: dnspython is not there.
"""
import hashlib
import random
import sys

try:
    import dns.name
    import dns.rdata
    import dns.rdataclass
    import dns.rdatatype
except ImportError:
    sys.exit(77)

LETTERS = [0, 1, 2, 3, 0x2A, 0x2D, 0x2E, 0x41, 0x42, 0x5A, 0x61, 0x62, 0x7A, 0x7F, 0x80, 0xFF]


def random_name(rng, most=6):
    labels, room = [], 254
    for _ in range(rng.randint(0, most)):
        length = rng.choice([1, 1, 1, 2, 2, 3, rng.randint(1, 63)])
        if length + 1 > room:
            break
        labels.append(bytes(rng.choice(LETTERS) for _ in range(length)))
        room -= length + 1
    return dns.name.Name(labels + [b""])


def order_key(name):
    key = b""
    for label in reversed(name.labels[:-1]):
        for octet in label.lower():
            key += {0: b"\1\1", 1: b"\1\2"}.get(octet, bytes([octet]))
        key += b"\0"
    return key


def nsec3_hash(name, salt, iterations):
    digest = hashlib.sha1(name.canonicalize().to_wire() + salt).digest()
    for _ in range(iterations):
        digest = hashlib.sha1(digest + salt).digest()
    return digest


def octets(rng, length):
    return bytes(rng.randrange(256) for _ in range(length))


def string(rng):
    text = octets(rng, rng.randint(0, 9))
    return bytes([len(text)]) + text


def bitmap(rng):
    return bytes([0, 2]) + octets(rng, 1) + b"\1" + (bytes([1, 1]) + b"\x80" if rng.random() < 0.5 else b"")


# Per type its fields: a number of octets, n a name, s a string, b a bitmap, r a remainder.
LAYOUTS = {
    "A": [4], "NS": ["n"], "CNAME": ["n"], "SOA": ["n", "n", 20], "PTR": ["n"], "MX": [2, "n"], "TXT": ["s", "s"],
    "RP": ["n", "n"], "AFSDB": [2, "n"], "RT": [2, "n"], "PX": [2, "n", "n"], "AAAA": [16], "SRV": [6, "n"],
    "NAPTR": [4, "s", "s", "s", "n"], "KX": [2, "n"], "DNAME": ["n"], "DS": [4, "r"],
    "RRSIG": [18, "n", "r"], "NSEC": ["n", "b"], "DNSKEY": [4, "r"], "HTTPS": [2, "n"], "TYPE65280": ["r"],
}
# dnspython folds the next name of NSEC and the target of HTTPS nowhere; where it differs from the RFCs, say so here.
FOLDS = {"NS", "CNAME", "SOA", "PTR", "MX", "RP", "AFSDB", "RT", "PX", "SRV", "NAPTR", "KX", "DNAME", "RRSIG"}


def random_rdata(rng, layout):
    """The RDATA, and its canonical form should names be folded."""
    plain = folded = b""
    for field in layout:
        if field == "n":
            name = random_name(rng, 3)
            plain += name.to_wire()
            folded += name.canonicalize().to_wire()
            continue
        part = {"s": string, "b": bitmap, "r": lambda r: octets(r, r.randint(1, 40))}.get(field, lambda r: octets(r, field))(rng)
        plain += part
        folded += part
    return plain, folded


def check_with_dnspython(kind, plain, want):
    """dnspython's canonical form is a second opinion, where it parses these octets at all."""
    rdtype = dns.rdatatype.from_text(kind)
    try:
        rdata = dns.rdata.from_wire(dns.rdataclass.IN, rdtype, plain, 0, len(plain))
        got = rdata.to_digestable()
    except Exception:  # random octets that dnspython's stricter types refuse
        return
    if got != want:
        sys.exit("%s: dnspython says %s, not %s, of %s" % (kind, got.hex(), want.hex(), plain.hex()))


def hexed(data):
    return data.hex() or "-"


def print_names(rng, count):
    for _ in range(count):
        a, b = random_name(rng), random_name(rng)
        print("order", hexed(a.to_wire()), hexed(b.to_wire()), (a > b) - (a < b))
        print("okey", hexed(a.to_wire()), hexed(order_key(a)))


def print_rdata(rng, count):
    for _ in range(count):
        kind = rng.choice(sorted(LAYOUTS))
        plain, folded = random_rdata(rng, LAYOUTS[kind])
        want = folded if kind in FOLDS else plain
        check_with_dnspython(kind, plain, want)
        print("canon", int(dns.rdatatype.from_text(kind)), hexed(plain), hexed(want))


def print_nsec3(rng, count):
    for _ in range(count):
        name, salt, iterations = random_name(rng), octets(rng, rng.choice([0, 1, 8])), rng.choice([0, 0, 1, 10])
        print("nsec3", hexed(name.to_wire()), hexed(salt), iterations, hexed(nsec3_hash(name, salt, iterations)))


def main():
    kind, count, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    {"names": print_names, "rdata": print_rdata, "nsec3": print_nsec3}[kind](random.Random(seed), count)


main()
