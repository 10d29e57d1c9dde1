#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""The denial chain of a zone, made the slow and obvious way from the definitions (RFC 4035 2.3, RFC 5155 7.1,
RFC 6672 2.4): every owner is judged by looking at all owners above it, names are compared by dnspython. It shares no
method with the C code (no order keys, no walk, no stream), but its reading of the RFCs is the same: what others read
in them is asked in test_verifiers. Reads and prints what t/chain_dump.c does.
"""

import hashlib
import sys

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

NS, SOA, DNAME, DS, RRSIG, NSEC, NSEC3 = 2, 6, 39, 43, 46, 47, 50
BASE32HEX = "0123456789abcdefghijklmnopqrstuv"


def name_from_wire(octets):
    name, used = dns.name.from_wire(octets, 0)
    assert used == len(octets)
    return dns.name.Name([label.lower() for label in name.labels])


def bitmap(types):
    out = b""
    for window in range(256):
        here = [t - 256 * window for t in types if t // 256 == window]
        if here:
            octets = bytearray(max(here) // 8 + 1)
            for low in here:
                octets[low // 8] |= 128 >> (low % 8)
            out += bytes([window, len(octets)]) + bytes(octets)
    return out


def base32hex(octets):
    number = int.from_bytes(octets, "big")
    return "".join(BASE32HEX[number >> 5 * i & 31] for i in reversed(range(len(octets) * 8 // 5)))


class Zone:
    def __init__(self, apex, nsec3, opt_out, iterations=0, salt=b""):
        self.apex = apex
        self.nsec3 = nsec3
        self.opt_out = opt_out
        self.iterations = iterations
        self.salt = salt
        self.owners = {}

    def add(self, owner, types):
        self.owners.setdefault(owner, set()).update(types)

    def above(self, name):
        """Names strictly above, up to the apex."""
        while name != self.apex:
            name = name.parent()
            yield name

    def kind(self, owner):
        for top in self.above(owner):
            types = self.owners.get(top, set())
            if DNAME in types or (NS in types and top != self.apex):
                return "occluded"
        if owner == self.apex:
            return "apex"
        if NS in self.owners[owner]:
            return "secure" if DS in self.owners[owner] else "insecure"
        return "auth"

    def types(self, owner):
        kind = self.kind(owner)
        types = set(self.owners[owner])
        if kind == "occluded":
            return set()
        if kind in ("secure", "insecure"):
            types &= {NS, DS}
        if self.nsec3:
            return types if kind == "insecure" else types | {RRSIG}
        return types | {RRSIG, NSEC}

    def chain(self):
        """[(name, kind, types)] in canonical order."""
        relevant = {o: self.kind(o) for o in self.owners if self.kind(o) != "occluded"}
        out = []
        for owner, kind in relevant.items():
            if not (self.nsec3 and self.opt_out and kind == "insecure"):
                out.append((owner, kind, self.types(owner)))
        if self.nsec3:
            empty = {top for owner in relevant for top in self.above(owner)} - set(relevant)
            out += [(name, "ent", set()) for name in empty]
        return sorted(out, key=lambda entry: entry[0])

    def hash(self, name):
        digest = hashlib.sha1(name.to_wire() + self.salt).digest()
        for _ in range(self.iterations):
            digest = hashlib.sha1(digest + self.salt).digest()
        return digest

    def records(self):
        """[(owner, RDATA)] of the whole chain, in its order."""
        chain = self.chain()
        if not self.nsec3:
            return [(name, chain[(i + 1) % len(chain)][0].to_wire() + bitmap(types))
                    for i, (name, _, types) in enumerate(chain)]
        hashed = sorted((self.hash(name), types) for name, _, types in chain)
        head = bytes([1, 1 if self.opt_out else 0]) + self.iterations.to_bytes(2, "big")
        head += bytes([len(self.salt)]) + self.salt + bytes([20])
        return [(dns.name.from_text(base32hex(digest), self.apex),
                 head + hashed[(i + 1) % len(hashed)][0] + bitmap(types))
                for i, (digest, types) in enumerate(hashed)]

    def dump(self, given):
        """The lines that t/chain_dump.c prints; given: the owners in the order of the input."""
        def line(word, name, kind, types):
            return "%s %s %s %s" % (word, name.to_wire().hex(), kind, bitmap(types).hex() or "-")

        lines = [line("name", *entry) for entry in self.chain()]
        lines += [line("look", owner, self.kind(owner), self.types(owner)) for owner in given]
        for owner, rdata in self.records():
            rdtype = NSEC3 if self.nsec3 else NSEC
            parsed = dns.rdata.from_wire(dns.rdataclass.IN, rdtype, rdata, 0, len(rdata))
            assert parsed.to_wire() == rdata
            lines.append("rr %s %s" % (owner.to_wire().hex(), rdata.hex()))
        return lines + ["end"]


def main():
    zone, given = None, []
    for line in sys.stdin:
        word = line.split()
        if word[0] == "zone":
            salt = b"" if word[5] == "-" else bytes.fromhex(word[5])
            apex = name_from_wire(bytes.fromhex(word[1]))
            zone, given = Zone(apex, word[2] == "nsec3", word[3] == "1", int(word[4]), salt), []
        elif word[0] == "end":
            print("\n".join(zone.dump(given)))
        else:
            given.append(name_from_wire(bytes.fromhex(word[0])))
            zone.add(given[-1], {int(t) for t in word[1].split(",")})


if __name__ == "__main__":
    main()
