# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary that keeps every version it ever had and answers IXFR as it is told: step by step, condensed, not at all, or
with whatever a test makes up. Records are those of raw.py; versions are sets of lines."""

import struct

import dns.name

import zones
from raw import AXFR, IXFR, MAX, SOA, Raw, encode, record

RCODES = {"formerr": 1, "servfail": 2, "notimp": 4, "refused": 5}


def lines(text):
    return [x for x in text.splitlines() if x.strip()]


class Script(Raw):
    """how: steps | condensed | axfr | lone | torn | an rcode's name | a function of (self, asked serial) that gives records
    or None. `asked` notes each question for a transfer: (AXFR or IXFR, serial asked from)."""

    def __init__(self, rig, zone, text, peers=(), how="steps"):
        self.versions, self.how, self.asked, self.hang_up = [], how, [], how == "torn"
        super().__init__(rig, zone, text, peers=peers)

    def set(self, text):
        super().set(text)
        self.versions.append(list(self.rrs))

    def next(self, text, wait=True):
        self.set(text)
        if wait:
            self.notify()

    @staticmethod
    def serial_of(rrs):
        return struct.unpack("!I", rrs[0][4][-20:-16])[0]

    def serial(self):
        return self.serial_of(self.rrs)

    @staticmethod
    def step(old, new):
        """Records of one difference, SOAs included; TTL and case count as another record."""
        gone, came = set(old[1:]) - set(new[1:]), set(new[1:]) - set(old[1:])
        return [old[0], *[r for r in old[1:] if r in gone], new[0], *[r for r in new[1:] if r in came]]

    def since(self, serial):
        """The index of the version that has this serial, the last one of them."""
        for i in range(len(self.versions) - 1, -1, -1):
            if self.serial_of(self.versions[i]) == serial:
                return i
        return None

    def difference(self, serial, condensed=False):
        at = self.since(serial)
        if at is None:
            return None
        chain = [self.versions[at], self.versions[-1]] if condensed else self.versions[at:]
        out = [self.rrs[0]]
        for old, new in zip(chain, chain[1:]):
            out += self.step(old, new)
        return out + [self.rrs[0]]

    def _reply(self, qtype, serial):
        """(rcode, records)"""
        whole = self.rrs + [self.closing or self.rrs[0]]
        if qtype == AXFR:
            return 0, whole
        if callable(self.how):
            made = self.how(self, serial)
            return 0, whole if made is None else made
        if self.how in RCODES:
            return RCODES[self.how], []
        if self.how == "lone":
            return 0, [self.rrs[0]]
        if self.how == "axfr" or self.since(serial) is None:
            return 0, whole
        if serial == self.serial():
            return 0, [self.rrs[0]]
        out = self.difference(serial, self.how == "condensed")
        return 0, out[:-2] if self.how == "torn" else out

    def _messages(self, query):
        ident, = struct.unpack("!H", query[:2])
        end = 12
        while query[end]:
            end += query[end] + 1
        qtype, = struct.unpack("!H", query[end + 1:end + 3])
        if qtype not in (AXFR, IXFR) or dns.name.from_wire(query, 12)[0] != dns.name.from_text(self.zone):
            yield from super()._messages(query)
            return
        asked, serial = query[12:end + 5], None
        if qtype == IXFR:
            serial = dns.message.from_wire(query).authority[0][0].serial
        self.asked.append((qtype, serial))
        rcode, rrs = self._reply(qtype, serial)
        body, n, first = b"", 0, True
        for rr in map(encode, rrs):
            if n and (n == self.per_message or 12 + len(asked) + len(body) + len(rr) > MAX):
                yield struct.pack("!HHHHHH", ident, 0x8400, first, n, 0, 0) + (asked if first else b"") + body
                body, n, first = b"", 0, False
            body, n = body + rr, n + 1
        yield struct.pack("!HHHHHH", ident, 0x8400 | rcode, first, n, 0, 0) + (asked if first else b"") + body
        if self.hang_up and qtype == IXFR:
            raise ConnectionError


class Model:
    """Content that changes at random and is always fit to be signed: an owner is of one kind for ever (host, cut, alias,
    DNAME), but anything may come to stand below a cut or a DNAME, or to be free again."""

    def __init__(self, rng, zone, below_dname=True):
        self.rng, self.zone, self.sets = rng, zone, {}
        self.serial, self.ttl = 1, 3600
        hosts = ["h%d" % i for i in range(12)] + ["x.h1", "a.b.ent", "a.c.ent", "deep.er.ent2", "*.h3", "*", "*.d0", "*.c1"]
        hosts += ["x.%s" % n for n in ("c0", "c1", "d0", "d1")] + ["y.x.c0", "q.w.d1", "h\\000h", "A.Mixed"]
        if not below_dname:
            hosts = [n for n in hosts if n.split(".")[-1] not in ("d0", "d1")]
        self.hosts, self.cuts, self.dnames, self.aliases = hosts, ["c0", "c1", "c2.ent", "x2.c0", "c3"], ["d0", "d1", "d2"], ["al0", "al1"]
        for n in hosts[:8]:
            self.host(n)
        for n in self.cuts[:2]:
            self.cut(n)
        self.sets["big", "A"] = [3600, "big", ["192.0.2.%d" % i for i in range(1, 201)]]

    def name(self, label):
        return "%s.%s" % (label, self.zone)

    def put(self, label, rtype, rdata, ttl=None):
        self.sets[label, rtype] = [ttl or self.rng.choice((60, 300, 3600)), label, list(rdata)]

    def host(self, n=None):
        n = n or self.rng.choice(self.hosts)
        t = self.rng.choice(("A", "TXT", "MX", "SRV"))
        number = self.rng.randrange(1, 250)
        made = {"A": "192.0.2.%d" % number, "TXT": '"t%d"' % number, "MX": "%d Mail.Other.Example." % number,
                "SRV": "0 0 %d Host.Other.Example." % number}[t]
        have = self.sets.get((n, t))
        if have and made not in have[2]:
            have[2].append(made)
        elif not have:
            self.put(n, t, [made])

    def host_gone(self):
        mine = [k for k in self.sets if k[0] in self.hosts]
        if not mine:
            return
        k = self.rng.choice(mine)
        if self.rng.random() < 0.5 and len(self.sets[k][2]) > 1:
            self.sets[k][2].pop()
        else:
            del self.sets[k]

    def cut(self, n=None):
        n = n or self.rng.choice(self.cuts)
        if (n, "NS") in self.sets and self.rng.random() < 0.5:
            del self.sets[n, "NS"]
            self.sets.pop((n, "DS"), None)
        else:
            self.put(n, "NS", ["ns.%s" % self.name(n), "ns.other.example."][:self.rng.randrange(1, 3)])
            if self.rng.random() < 0.6:
                self.put("ns." + n, "A", ["192.0.2.%d" % self.rng.randrange(250)])

    def ds(self):
        have = [k[0] for k in self.sets if k[1] == "NS"]
        if not have:
            return
        n = self.rng.choice(have)
        if (n, "DS") in self.sets:
            del self.sets[n, "DS"]
        else:
            self.put(n, "DS", ["%d 13 2 %s" % (self.rng.randrange(65536), "%02x" % self.rng.randrange(256) * 32)])

    def glue(self):
        n = "ns." + self.rng.choice(self.cuts)
        if (n, "A") in self.sets:
            del self.sets[n, "A"]
        else:
            self.put(n, "A", ["192.0.2.7"])

    def dname(self):
        self.toggle(self.rng.choice(self.dnames), "DNAME", "target.example.")

    def alias(self):
        self.toggle(self.rng.choice(self.aliases), "CNAME", self.name("h1"))

    def toggle(self, n, rtype, rdata):
        if (n, rtype) in self.sets:
            del self.sets[n, rtype]
        else:
            self.put(n, rtype, [rdata])

    def some(self):
        """Not the big one: a difference larger than the zone goes out as the zone."""
        return self.sets[self.rng.choice(sorted(k for k in self.sets if k[0] != "big"))]

    def new_ttl(self):
        self.some()[0] = self.rng.choice((0, 30, 60, 300, 3600, 7200))

    def owner_case(self):
        s = self.some()
        s[1] = s[1].swapcase() if "\\" not in s[1] else s[1]

    def rdata_case(self):
        mine = [k for k in sorted(self.sets) if k[1] in ("MX", "SRV", "NS", "DNAME", "CNAME")]
        s = self.sets[self.rng.choice(mine)] if mine else [0, "", []]
        s[2] = [" ".join(w.swapcase() if w.endswith(".") else w for w in r.split()) for r in s[2]]

    def big(self):
        s = self.sets["big", "A"][2]
        s[self.rng.randrange(len(s))] = "198.51.100.%d" % self.rng.randrange(256)
        self.sets["big", "A"][2] = sorted(set(s))

    def soa(self):
        self.ttl = self.rng.choice((300, 600, 3600))

    def mutate(self, n):
        ops = [self.host] * 4 + [self.host_gone] * 3 + [self.cut, self.ds, self.glue, self.dname, self.alias, self.new_ttl,
                                                        self.owner_case, self.rdata_case, self.big] * 2 + [self.soa]
        for _ in range(n):
            self.rng.choice(ops)()
        self.serial += 1
        return self.text()

    def text(self):
        out = [zones.head(self.zone, self.serial).replace(zones.soa(self.zone, self.serial), zones.soa(self.zone, self.serial, self.ttl))]
        for (_, rtype), (ttl, label, rdata) in sorted(self.sets.items()):
            out += ["%s %d IN %s %s\n" % (self.name(label), ttl, rtype, r) for r in rdata]
        return "".join(out)
