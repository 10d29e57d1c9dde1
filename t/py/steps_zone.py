# SPDX-License-Identifier: GPL-3.0-or-later
"""Small random zones for steps.py: their content, random changes of it, and what a full signing of a content serves,
made the slow way with slow_chain.py.

A content is {(owner, type): ((ttl, owner as sent, rdata), ...)}, all wire, the key's owner in lower case. A change is a
list of ((owner, type), value or None): an assignment, so that it applies to whatever other changes left, which is what
shrinking wants."""

import functools

import dns.name

import slow_chain

A, NS, CNAME, SOA, PTR, MX, TXT, AAAA, SRV, DNAME, DS = 1, 2, 5, 6, 12, 15, 16, 28, 33, 39, 43
RRSIG, NSEC, DNSKEY, NSEC3, NSEC3PARAM = 46, 47, 48, 50, 51
DATA = [A, A, AAAA, TXT, TXT, MX, SRV, PTR, 257, 1234, 65280]
FOLDS = {NS, CNAME, PTR, MX, SRV, DNAME, SOA}  # RFC 4034 6.2: names in their RDATA count in lower case
LABELS = [b"a", b"b", b"c", b"*", b"\x00", b"a.b", b"Z", b"\xff", b"aa", b"d"]
MOST = 50  # RRsets


def canonical(rdtype, rdata):
    """Only good for RDATA made here: length octets and numbers in it are no letters."""
    return rdata.lower() if rdtype in FOLDS else rdata


@functools.lru_cache(maxsize=1 << 16)
def parsed(wire):
    return slow_chain.name_from_wire(wire)


def wire_parent(wire):
    return wire[1 + wire[0]:]


def within(wire, top):
    """At or below."""
    while len(wire) > len(top):
        wire = wire_parent(wire)
    return wire == top


def mixed_case(rng, wire):
    return bytes(o ^ 0x20 if chr(o).isalpha() and o < 128 and rng.random() < 0.5 else o for o in wire)


class Policy:
    def __init__(self, name, **options):
        self.name, self.options = name, options
        nsec3 = options.get("nsec3", {})
        self.nsec3 = options["denial"] == "nsec3"
        self.opt_out = nsec3.get("opt-out") == "yes"
        self.iterations = int(nsec3.get("iterations", 0))


POLICIES = [
    Policy("nsec", denial="nsec", algorithm="ecdsap256sha256"),
    Policy("nsec3", denial="nsec3", algorithm="ed25519"),
    Policy("optout", denial="nsec3", algorithm="ecdsap256sha256", nsec3={"opt-out": "yes"}),
    Policy("csk", denial="nsec", algorithm="ed25519", keys="csk"),
    Policy("salted", denial="nsec3", algorithm="ecdsap256sha256", nsec3={"opt-out": "yes", "iterations": "2", "salt-length": "4"}),
]


# --- random content -----------------------------------------------------------------------------------------------


class Maker:
    """Random names, RDATA and changes of the zone at `apex`."""

    def __init__(self, rng, apex):
        self.rng, self.apex = rng, apex

    def name(self, content):
        rng = self.rng
        top = self.apex
        if content and rng.random() < 0.6:  # at, above or below something that is there
            top = rng.choice(sorted(content))[0]
            while len(top) > len(self.apex) and rng.random() < 0.3:
                top = wire_parent(top)
            if rng.random() < 0.4:
                return top
        for _ in range(rng.choice([1, 1, 1, 2, 3])):
            label = rng.choice(LABELS)
            top = bytes([len(label)]) + label.lower() + top
        return top

    def target(self, content):
        return mixed_case(self.rng, self.name(content)) if self.rng.random() < 0.8 else b"\x05other\x00"

    def rdata(self, rdtype, content):
        rng = self.rng
        if rdtype == NS:  # elsewhere: kzonecheck wants glue, which says nothing about signing
            return mixed_case(rng, b"\x02n" + bytes([97 + rng.randrange(4)]) + b"\x05other\x00")
        if rdtype in (CNAME, PTR, DNAME):
            return self.target(content)
        if rdtype == MX:
            return bytes([0, rng.randrange(3)]) + self.target(content)
        if rdtype == SRV:
            return bytes([0, 1, 0, 2, 0, rng.randrange(3)]) + self.target(content)
        if rdtype in (A, AAAA):
            return (b"\xc0\0\2" if rdtype == A else b"\x20\1\x0d\xb8" + bytes(11)) + bytes([rng.randrange(4)])
        if rdtype == DS:
            return bytes([0, rng.randrange(3), 13, 2]) + bytes([rng.randrange(4)]) * 32
        if rdtype == 257:
            return b"\0\5issue" + bytes([65 + rng.randrange(4)])
        text = bytes(rng.choice(b"abAB") for _ in range(rng.choice([0, 1, 1, 2, 200])))
        return bytes([len(text)]) + text

    def rrset(self, owner, rdtype, content, most=3):
        rng = self.rng
        sent = mixed_case(rng, owner) if rng.random() < 0.3 else owner
        ttl = rng.choice([0, 60, 300, 3600])
        made, n = {}, 1 if rdtype in (CNAME, DNAME) else rng.randint(1, most)
        for _ in range(n):
            rdata = self.rdata(rdtype, content)
            made[canonical(rdtype, rdata)] = (ttl if rng.random() < 0.97 else ttl + 7, sent, rdata)
        if rdtype in (NS, MX) and rng.random() < 0.02:  # the same record twice, but for case
            ttl, sent, rdata = next(iter(made.values()))
            made[None] = (ttl, sent, rdata.swapcase())
        return tuple(sorted(set(made.values())))

    def soa(self, serial=1):
        rng = self.rng
        names = b"\x02ns" + self.apex + b"\x01h" + self.apex
        numbers = (serial, 86400, 600, 1209600, rng.choice([0, 60, 300, 900]))
        return ((rng.choice([60, 300, 3600]), self.apex, names + b"".join(n.to_bytes(4, "big") for n in numbers)),)

    def start(self):
        content = {(self.apex, SOA): self.soa(), (self.apex, NS): self.rrset(self.apex, NS, {})}
        for _ in range(self.rng.choice([0, 1, 4, 12])):
            apply(content, self.change(content))
        return content

    # --- changes: each returns assignments ------------------------------------------------------------------------

    def put(self, content):
        owner, rdtype = self.name(content), self.rng.choice(DATA)
        return [((owner, rdtype), self.rrset(owner, rdtype, content))]

    def deep(self, content):
        """Empty non-terminals above; perhaps below what hides it."""
        owner = self.name(content)
        for _ in range(self.rng.randint(1, 4)):
            label = self.rng.choice(LABELS)
            owner = bytes([len(label)]) + label.lower() + owner
        return [((owner, TXT), self.rrset(owner, TXT, content))]

    def wildcard(self, content):
        owner = b"\x01*" + self.name(content)
        return [((owner, TXT), self.rrset(owner, TXT, content))]

    def cut(self, content):
        owner = self.name(content)
        if owner == self.apex:
            return self.put(content)
        out = [((owner, NS), self.rrset(owner, NS, content))]
        if self.rng.random() < 0.4:
            out.append(((owner, DS), self.rrset(owner, DS, content)))
        if self.rng.random() < 0.4:
            out.append(((b"\x02ns" + owner, A), self.rrset(b"\x02ns" + owner, A, content)))
        if self.rng.random() < 0.2:
            out.append(((b"\x01a\x02ns" + owner, TXT), self.rrset(b"\x01a\x02ns" + owner, TXT, content)))
        return out

    def some(self, content, *types):
        found = sorted(k for k in content if (k[1] in types if types else k[1] != SOA) and k != (self.apex, NS))
        return self.rng.choice(found) if found else None

    def uncut(self, content):
        key = self.some(content, NS)
        return [(key, None), ((key[0], DS), None)] if key else self.cut(content)

    def ds(self, content):
        key = self.some(content, NS)
        if not key:
            return self.cut(content)
        value = None if self.rng.random() < 0.5 and (key[0], DS) in content else self.rrset(key[0], DS, content)
        return [((key[0], DS), value)]

    def dname(self, content):
        key = self.some(content, DNAME)
        if key and self.rng.random() < 0.6:
            return [(key, None)]
        owner = self.name(content)
        if owner == self.apex and self.rng.random() < 0.7:
            return self.put(content)
        return [((owner, DNAME), self.rrset(owner, DNAME, content))]

    def cname(self, content):
        owner = self.name(content)
        gone = [(k, None) for k in content if k[0] == owner and self.rng.random() < 0.5]
        return gone + [((owner, CNAME), self.rrset(owner, CNAME, content))]

    def drop(self, content):
        key = self.some(content)
        return [(key, None)] if key else self.put(content)

    def drop_owner(self, content):
        key = self.some(content)
        return [(k, None) for k in content if key and k[0] == key[0] and k[1] != SOA]

    def drop_tree(self, content):
        top = self.name(content)
        return [(k, None) for k in content if within(k[0], top) and k[0] != self.apex]

    def records(self, content):
        """One more record, or one less."""
        key = self.some(content)
        if not key or key[1] in (CNAME, DNAME):
            return self.put(content)
        value = content[key]
        if len(value) > 1 and self.rng.random() < 0.5:
            return [(key, value[:-1])]
        have = {canonical(key[1], v[2]) for v in value}
        more = self.rrset(*key, content, most=1)
        return [(key, tuple(sorted(value + tuple(v for v in more if canonical(key[1], v[2]) not in have))))]

    def ttl(self, content):
        key = self.some(content)
        ttl = self.rng.choice([0, 60, 300, 3600])
        return [(key, tuple((ttl, v[1], v[2]) for v in content[key]))] if key else []

    def case(self, content):
        key = self.some(content, *FOLDS) if self.rng.random() < 0.5 else self.some(content)
        if not key:
            return []
        sent, fold = mixed_case(self.rng, key[0]), key[1] in FOLDS
        return [(key, tuple(sorted((v[0], sent, mixed_case(self.rng, v[2]) if fold else v[2]) for v in content[key])))]

    def apex_ns(self, content):
        return [((self.apex, NS), self.rrset(self.apex, NS, content))]

    def new_soa(self, content):
        return [((self.apex, SOA), self.soa())]

    def nothing(self, content):
        return []

    KINDS = [(put, 8), (deep, 6), (wildcard, 4), (cut, 7), (uncut, 5), (ds, 6), (dname, 5), (cname, 3), (drop, 8),
             (drop_owner, 4), (drop_tree, 2), (records, 6), (ttl, 3), (case, 3), (apex_ns, 1), (new_soa, 2), (nothing, 1)]

    def change(self, content):
        """One that leaves every owner in order; and in a zone that grew, one that takes something away."""
        kinds, weights = zip(*self.KINDS)
        for _ in range(20):
            kind = self.rng.choice([Maker.drop, Maker.drop_owner, Maker.drop_tree]) if len(content) > MOST else \
                self.rng.choices(kinds, weights)[0]
            change = kind(self, content)
            after = dict(content)
            apply(after, change)
            if in_order(after, self.apex, {k[0] for k, _ in change}):
                return change
        return []


def apply(content, change):
    for key, value in change:
        if value is None:
            content.pop(key, None)
        else:
            content[key] = value


def in_order(content, apex, owners):
    """What the input table of the daemon would hold is not tried here (only authoritative names count there)."""
    for owner in owners:
        types = {t for o, t in content if o == owner}
        if len(owner) > 200 or DS in types and (NS not in types or owner == apex) or CNAME in types and len(types) > 1:
            return False
        if DNAME in types and NS in types and owner != apex or owner == apex and not {SOA, NS} <= types:
            return False
    return True


# --- what a full signing makes of it ------------------------------------------------------------------------------


class Signed:
    """sets: {(owner, type): (ttl, {rdata})}, SOA serial included; signed: the keys of it that carry signatures."""

    def __init__(self, content, apex, policy, serial, dnskey, salt):
        self.sets = {}
        for key, value in content.items():
            ttl = min(v[0] for v in value)
            self.sets[key] = (ttl, frozenset(v[2] for v in value))
        ttl, (rdata,) = self.sets[apex, SOA]
        rdata = rdata[:-20] + serial.to_bytes(4, "big") + rdata[-16:]
        self.sets[apex, SOA] = ttl, frozenset([rdata])
        self.sets[apex, DNSKEY] = dnskey
        self.chain_ttl = min(ttl, int.from_bytes(rdata[-4:], "big"))
        if policy.nsec3:
            head = bytes([1, 0]) + policy.iterations.to_bytes(2, "big") + bytes([len(salt)]) + salt
            self.sets[apex, NSEC3PARAM] = 0, frozenset([head])
        zone = slow_chain.Zone(parsed(apex), policy.nsec3, policy.opt_out, policy.iterations, salt)
        for owner, rdtype in self.sets:
            zone.add(parsed(owner), {rdtype})
        kinds = {owner: zone.kind(parsed(owner)) for owner, _ in self.sets}
        self.signed = {k for k in self.sets if kinds[k[0]] in ("apex", "auth") or kinds[k[0]] == "secure" and k[1] == DS}
        self.chain = set()
        for name, rdata in zone.records():
            key = name.to_wire(), NSEC3 if policy.nsec3 else NSEC
            self.sets[key] = self.chain_ttl, frozenset([rdata])
            self.chain.add(key)
        self.signed |= self.chain


def labels_of(owner):
    """RRSIG's Labels: without the root, without a leftmost `*` (RFC 4034 3.1.3)."""
    n = len(parsed(owner).labels) - 1
    return n - owner.startswith(b"\x01*")


def key_tag(rdata):
    """RFC 4034 B."""
    total = sum(octet << 8 if i % 2 == 0 else octet for i, octet in enumerate(rdata))
    return (total + (total >> 16)) & 0xffff


class Wrong(Exception):
    """The zone that is served is not that of a full signing."""


def say(key):
    return "%s type %d" % (dns.name.from_wire(key[0], 0)[0], key[1])


def grouped(flat):
    """{(owner, type): ({ttl}, {rdata})}, and the same of RRSIG by the type that they cover."""
    sets, sigs = {}, {}
    for (owner, rdtype, rdata), ttl in flat.items():
        if rdtype == RRSIG:
            to = sigs.setdefault((owner, int.from_bytes(rdata[:2], "big")), (set(), set()))
        else:
            to = sets.setdefault((owner, rdtype), (set(), set()))
        to[0].add(ttl)
        to[1].add(rdata)
    return sets, sigs


def compare_set(key, got, want, content):
    if want[1] == got[1]:
        return
    plain = {canonical(key[1], r) for r in want[1]}
    if key in content and len(plain) < len(want[1]) and got[1] < want[1] and len(got[1]) == len(plain) and \
            {canonical(key[1], r) for r in got[1]} == plain:
        return  # duplicates, merged
    raise Wrong("%s: served %s, not %s" % (say(key), sorted(x.hex() for x in got[1]), sorted(x.hex() for x in want[1])))


def compare(flat, before, content, apex, want, now):
    """flat: what is served, {(owner, type, rdata): ttl}. before: the version before it, grouped, or None."""
    sets, sigs = grouped(flat)
    for key in sorted(set(sets) ^ set(want.sets)):
        raise Wrong("%s is served, a full signing has none" % say(key) if key in sets else "%s is missing" % say(key))
    for key in sorted(want.signed ^ set(sigs)):
        raise Wrong("%s must %sbe signed" % (say(key), "" if key in want.signed else "not "))
    tags = {flags: {key_tag(r) for r in want.sets[apex, DNSKEY][1] if r[0:2] == flags} for flags in (b"\1\1", b"\1\0")}
    for key, (ttl, rdatas) in want.sets.items():
        compare_set(key, sets[key], (ttl, rdatas), content)
        kept = before and key in before[0] and before[0][key][1] == sets[key][1] and before[1].get(key) == sigs.get(key)
        if sets[key][0] != {ttl} and not (key in want.chain and kept and before[0][key] == sets[key]):
            raise Wrong("%s: TTL %s, not %d" % (say(key), sets[key][0], ttl))
        if key in sigs:
            compare_sigs(key, sigs[key], sets[key][0], apex, tags, now)
            must_keep(key, before, sets, sigs)
    return sets, sigs


def compare_sigs(key, sigs, ttl, apex, tags, now):
    ksk, zsk = tags[b"\1\1"], tags[b"\1\0"]
    got = set()
    for rdata in sigs[1]:
        original, end, begin = (int.from_bytes(rdata[i:i + 4], "big") for i in (4, 8, 12))
        got.add(int.from_bytes(rdata[16:18], "big"))
        if {original} != ttl or sigs[0] != ttl or rdata[3] != labels_of(key[0]) or not rdata[18:].startswith(apex) or \
                not begin <= now + 1 < end:
            raise Wrong("%s: RRSIG %s, its TTL %s, the RRset's %s" % (say(key), rdata.hex(), sigs[0], ttl))
    if got != (ksk if key[1] == DNSKEY or not zsk else zsk) or len(sigs[1]) != len(got):
        raise Wrong("%s: signed by %s" % (say(key), sorted(got)))


def must_keep(key, before, sets, sigs):
    """Nothing that stayed is signed anew. The chain may be: its TTL follows the SOA."""
    if before and key in before[1] and before[0].get(key) and before[0][key][0] == sets[key][0] and \
            {canonical(key[1], r) for r in before[0][key][1]} == {canonical(key[1], r) for r in sets[key][1]} and \
            before[1][key] != sigs[key]:
        raise Wrong("%s did not change and is signed anew" % say(key))
