# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones of the crash campaign, as octets: what the tiny primary serves, and a judge that is quick enough to look at every
version: each RRset signed by the right key, NSEC chain closed, bitmaps right. Signatures that it has seen are not
verified again; the three verifiers of the system tests look at a sample."""

import base64
import functools
import hashlib
import struct

import dns.dnssec
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rrset

IN = dns.rdataclass.IN
SOA, NS, DS, RRSIG, NSEC, DNSKEY, TXT, NSEC3, NSEC3PARAM = (
    dns.rdatatype.from_text(t) for t in ("SOA", "NS", "DS", "RRSIG", "NSEC", "DNSKEY", "TXT", "NSEC3", "NSEC3PARAM"))
MESSAGE_FILL = 12000

_rdata_cache = {}
_verified = set()
_judged = {}        # digest of a version -> the time in which its signatures are good


class Wrong(Exception):
    """A version that must not be."""


def _rdata(rtype, text):
    key = (rtype, text)
    if key not in _rdata_cache:
        _rdata_cache[key] = dns.rdata.from_text("IN", rtype, text, relativize=False).to_wire()
    return _rdata_cache[key]


def soa(zone, serial):
    return (zone, "SOA", 300, "ns1.%s host.%s %d 300 10 1209600 60" % (zone, zone, serial))


def content(zone, serial, names=0, every=0):
    """The zone at one upstream serial. names: how many more owners; every: that many of them change with the serial."""
    z = zone
    out = [soa(z, serial), (z, "NS", 300, "ns1.%s" % z), (z, "NS", 300, "ns2.%s" % z), ("ns1." + z, "A", 300, "192.0.2.1"),
           ("ns2." + z, "A", 300, "192.0.2.2"), ("www." + z, "TXT", 60, '"upstream %d"' % serial),
           ("n%d.%s" % (serial, z), "A", 60, "192.0.2.3"), ("*.wild." + z, "TXT", 60, '"w"'),
           ("sub." + z, "NS", 300, "ns.sub." + z), ("ns.sub." + z, "A", 300, "192.0.2.4"),
           ("sec." + z, "NS", 300, "ns1." + z), ("sec." + z, "DS", 300, "12345 13 2 " + "ab" * 32)]
    for i in range(names):
        out.append(("m%d.%s" % (i, z), "A", 60, "192.0.2.%d" % ((serial if i < every else 0) % 250 + 1)))
    return out


def encode(records):
    """(owner, type, ttl, rdata) of text as octets on the wire, uncompressed."""
    out = []
    for owner, rtype, ttl, rdata in records:
        rd = _rdata(rtype, rdata)
        out.append(dns.name.from_text(owner).to_wire() +
                   struct.pack(">HHIH", dns.rdatatype.from_text(rtype), IN, ttl, len(rd)) + rd)
    return out


def stream(query, records):
    """Messages that answer `query` with these encoded records, each with its length in front."""
    q = dns.message.from_wire(query)
    head = q.question[0].name.to_wire() + struct.pack(">HH", q.question[0].rdtype, IN)
    out, body, n = [], b"", 0

    def close():
        m = query[:2] + struct.pack(">HHHHH", 0x8400, 1, n, 0, 0) + head + body
        out.append(struct.pack(">H", len(m)) + m)
    for r in records:
        if len(body) + len(r) > MESSAGE_FILL:
            close()
            body, n = b"", 0
        body += r
        n += 1
    close()
    return b"".join(out)


def answer(query, records, rcode=0):
    """One message."""
    q = dns.message.from_wire(query)
    head = q.question[0].name.to_wire() + struct.pack(">HH", q.question[0].rdtype, IN)
    opcode = query[2] & 0x78
    return query[:2] + struct.pack(">HHHHH", 0x8400 | opcode << 8 | rcode, 1, len(records), 0, 0) + head + b"".join(records)


def difference(old, new):
    """What an IXFR answer holds: these encoded zones, each with its SOA first."""
    gone, come = [r for r in old[1:] if r not in new], [r for r in new[1:] if r not in old]
    return [new[0], old[0], *gone, new[0], *come, new[0]]


def serial_asked(query):
    """The serial in the authority section of an IXFR query, None without one."""
    for rrset in dns.message.from_wire(query).authority:
        if rrset.rdtype == SOA:
            return rrset[0].serial
    return None


class Version:
    """A zone as it came over the wire."""

    def __init__(self, messages):
        self.rrs, first = [], None
        for m in messages:
            for rrset in dns.message.from_wire(m, one_rr_per_rrset=True).answer:
                rr = (rrset.name, rrset.rdtype, rrset.ttl, rrset[0])
                if rrset.rdtype == SOA:
                    if first is not None:
                        continue
                    first = rr
                self.rrs.append(rr)
        if first is None:
            raise Wrong("a transfer without SOA")
        self.zone, self.serial = first[0], first[3].serial
        self.flat = frozenset((n.to_wire(), t, ttl, r.to_wire()) for n, t, ttl, r in self.rrs)
        self.digest = hashlib.sha256(repr(sorted(self.flat)).encode()).hexdigest()

    def check_ixfr(self, messages, old):
        """The answer to an IXFR from `old`: applied to it, it is this version."""
        rrs = [(s.name.to_wire(), s.rdtype, s.ttl, s[0].to_wire(), s[0]) for m in messages
               for s in dns.message.from_wire(m, one_rr_per_rrset=True).answer]
        if rrs[0][4].serial != self.serial or len(rrs) == 1 or rrs[1][1] != SOA:
            return  # a newer version meanwhile, nothing new, or the whole zone
        flat, adding = set(old.flat), True
        for rr in rrs[1:-1]:
            if rr[1] == SOA:
                adding = not adding
            if adding:
                flat.add(rr[:4])
            elif rr[:4] in flat:
                flat.discard(rr[:4])
            else:
                raise Wrong("an IXFR from %d to %d takes away what is not there" % (old.serial, self.serial))
        if flat != self.flat:
            raise Wrong("an IXFR from %d to %d gives something else than AXFR" % (old.serial, self.serial))

    def rrset_octets(self, rtype):
        """The apex RRset of one type, for a secondary's answers."""
        out = []
        for n, t, ttl, r in self.rrs:
            if t == rtype and n == self.zone:
                rd = r.to_wire()
                out.append(n.to_wire() + struct.pack(">HHIH", t, IN, ttl, len(rd)) + rd)
        return out

    def dnskeys(self):
        return frozenset(r.to_wire() for n, t, _, r in self.rrs if t == DNSKEY and n == self.zone)

    def upstream(self):
        """The upstream serial that the content tells."""
        for n, t, _, r in self.rrs:
            if t == TXT and n.labels[0] == b"www":
                return int(r.strings[0].split()[1])
        return None

    def earliest(self):
        return min((r.expiration for _, t, _, r in self.rrs if t == RRSIG), default=0)

    def text(self):
        return "".join("%s %d IN %s %s\n" % (n, ttl, dns.rdatatype.to_text(t), r.to_text()) for n, t, ttl, r in self.rrs)

    # --- the judge ------------------------------------------------------------------------------------------------

    def salt(self):
        """Of the NSEC3 chain; None without one."""
        return next((r.salt for n, t, _, r in self.rrs if t == NSEC3PARAM), None)

    def first_inception(self):
        return min((r.inception for _, t, _, r in self.rrs if t == RRSIG), default=0)

    def verify(self, now):
        """Raises Wrong. One content is looked at once."""
        if self.digest not in _judged:
            self._verify(now)
            _judged[self.digest] = (max(r.inception for _, t, _, r in self.rrs if t == RRSIG), self.earliest())
        begin, end = _judged[self.digest]
        if not begin <= now <= end:
            raise Wrong("a signature is not valid at %d (%d to %d)" % (now, begin, end))

    def _verify(self, now):
        sets, sigs, ttls = {}, {}, {}
        for n, t, ttl, r in self.rrs:
            if t == RRSIG:
                sigs.setdefault((n, r.type_covered), []).append(r)
            else:
                sets.setdefault((n, t), []).append(r)
                ttls[n, t] = ttl
        keys = sets.get((self.zone, DNSKEY), [])
        if not keys:
            raise Wrong("no DNSKEY")
        cuts = {n for n, t in sets if t == NS and n != self.zone}
        hashed = self.salt() is not None
        chain = {n for n, t in sets if t == NSEC3}
        hidden = {n for n, _ in sets if any(n != c and n.is_subdomain(c) for c in cuts)}
        authoritative = {}
        for (n, t), rdatas in sets.items():
            signed = n not in hidden and (n not in cuts or t in (DS, NSEC))
            if n not in hidden and n not in chain:
                authoritative.setdefault(n, set()).add(t)
            if not signed:
                if (n, t) in sigs:
                    raise Wrong("%s %s is signed" % (n, dns.rdatatype.to_text(t)))
                continue
            self._verify_set(n, t, ttls[n, t], rdatas, sigs.get((n, t), []), keys, now)
        if hashed != bool(chain) or hashed == any(t == NSEC for _, t in sets):
            raise Wrong("two chains, or none")
        if hashed:
            self._verify_hashed(sets, authoritative, cuts)
        else:
            self._verify_chain(sets, authoritative)

    def _verify_set(self, n, t, ttl, rdatas, sigs, keys, now):
        what = "%s %s" % (n, dns.rdatatype.to_text(t))
        if len(sigs) != 1:
            raise Wrong("%s has %d signatures" % (what, len(sigs)))
        sig = sigs[0]
        if not sig.inception <= now <= sig.expiration:
            raise Wrong("%s: signature is not valid at %d (%d to %d)" % (what, now, sig.inception, sig.expiration))
        key = [k for k in keys if dns.dnssec.key_id(k) == sig.key_tag]
        if len(key) != 1 or (key[0].flags & 1) != (t == DNSKEY):
            raise Wrong("%s: signed by the wrong key" % what)
        seen = hashlib.sha256(b"".join([n.to_wire(), sig.to_wire(), key[0].to_wire()] + sorted(r.to_wire() for r in rdatas))).digest()
        if seen in _verified:
            return
        rrset = dns.rrset.from_rdata_list(n, ttl, rdatas)
        try:
            dns.dnssec.validate_rrsig(rrset, sig, {self.zone: dns.rrset.from_rdata_list(self.zone, 1, key)}, now=now)
        except dns.dnssec.ValidationFailure as e:
            raise Wrong("%s: %s" % (what, e)) from None
        _verified.add(seen)

    def _verify_chain(self, sets, authoritative):
        owners = sorted(authoritative)
        for i, n in enumerate(owners):
            nsec = sets.get((n, NSEC), [])
            if len(nsec) != 1 or nsec[0].next != owners[(i + 1) % len(owners)]:
                raise Wrong("NSEC of %s is missing or does not lead to the next name" % n)
            if _bitmap(nsec[0]) != authoritative[n] | {RRSIG}:
                raise Wrong("bitmap of %s" % n)

    def _verify_hashed(self, sets, authoritative, cuts):
        owners = dict(authoritative)
        for n in authoritative:
            while n != self.zone:  # empty non-terminals
                n = n.parent()
                owners.setdefault(n, set())
        salt, want, have = self.salt(), {}, {}
        for n, types in owners.items():
            signed = types and (n not in cuts or DS in types)
            want[_nsec3_hash(n, salt)] = types | {RRSIG} if signed else types
        for (n, t), rdatas in sets.items():
            if t == NSEC3:
                have[n.labels[0].decode().upper()] = rdatas
        if set(have) != set(want):
            raise Wrong("NSEC3 records of other names than there are")
        order = sorted(want)
        for i, h in enumerate(order):
            r = have[h][0]
            if len(have[h]) != 1 or r.salt != salt or r.flags or _base32(r.next) != order[(i + 1) % len(order)]:
                raise Wrong("NSEC3 %s does not lead to the next hash" % h)
            if _bitmap(r) != want[h]:
                raise Wrong("bitmap of NSEC3 %s" % h)


def _bitmap(r):
    return {w * 256 + i * 8 + b for w, bits in r.windows for i, octet in enumerate(bits) for b in range(8) if octet & (0x80 >> b)}


def _base32(octets):
    return base64.b32hexencode(octets).decode()


@functools.lru_cache(100000)
def _nsec3_hash(name, salt):
    return dns.dnssec.nsec3_hash(name, salt.hex(), 0, 1)
