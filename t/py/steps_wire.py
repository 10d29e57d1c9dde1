# SPDX-License-Identifier: GPL-3.0-or-later
"""The two servers between which steps.py puts zoneseal, in one asyncio loop: a primary that keeps each zone in memory and
gives it as IXFR or AXFR, and a secondary that hears NOTIFY and asks for transfers. Just enough DNS for that."""

import asyncio
import struct

import dns.message
import dns.name

PORT = 5300
SOA, IXFR, AXFR = 6, 251, 252
NAMES = {2: 0, 5: 0, 12: 0, 15: 2, 6: 0}  # RFC 3597 4: types whose names may come compressed, and where they begin
MESSAGE = 60000


def encode(owner, rdtype, ttl, rdata):
    return owner + struct.pack("!HHIH", rdtype, 1, ttl, len(rdata)) + rdata


def messages(ident, asked, records, rng):
    """DNS messages of an answer, with random cuts between records."""
    body, n, first = b"", 0, True
    for rr in records:
        if n and (len(body) + len(rr) > MESSAGE or rng.random() < 0.02):
            yield struct.pack("!HHHHHH", ident, 0x8400, first, n, 0, 0) + (asked if first else b"") + body
            body, n, first = b"", 0, False
        body, n = body + rr, n + 1
    yield struct.pack("!HHHHHH", ident, 0x8400, first, n, 0, 0) + (asked if first else b"") + body


def read_name(wire, at):
    """(name, where it ends)"""
    out, end = b"", None
    while True:
        octet = wire[at]
        if octet >= 0xc0:
            end = end or at + 2
            at = (octet & 0x3f) << 8 | wire[at + 1]
        elif octet:
            out += wire[at:at + 1 + octet]
            at += 1 + octet
        else:
            return out + b"\0", end or at + 1


def read_records(wire):
    """(RCODE, [(owner in lower case, type, ttl, rdata)]) of the answer section."""
    _, flags, questions, answers, _, _ = struct.unpack("!HHHHHH", wire[:12])
    at, out = 12, []
    for _ in range(questions):
        at = read_name(wire, at)[1] + 4
    for _ in range(answers):
        owner, at = read_name(wire, at)
        rdtype, _, ttl, length = struct.unpack("!HHIH", wire[at:at + 10])
        at += 10
        rdata = wire[at:at + length]
        if rdtype in NAMES:
            name, end = read_name(wire, at + NAMES[rdtype])
            rdata = wire[at:at + NAMES[rdtype]] + name
            if rdtype == SOA:
                name, end = read_name(wire, end)
                rdata += name + wire[end:at + length]
        at += length
        out.append((owner.lower(), rdtype, ttl, rdata))
    return flags & 15, out


def serial_of(rdata):
    return int.from_bytes(rdata[-20:-16], "big")


class Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer):
        self.answer = answer

    def connection_made(self, transport):
        self.transport = transport

    def datagram_received(self, data, addr):
        reply = self.answer(data)
        if reply:
            self.transport.sendto(reply, addr)


class Servers:
    """zones: wire apex -> an object with soa() -> (ttl, rdata), answer(qtype, serial) -> [encoded records] and
    heard(serial) for the NOTIFY of the secondary's side."""

    def __init__(self, daemon, primary, secondary, rng):
        self.daemon, self.primary, self.secondary, self.rng, self.zones = daemon, primary, secondary, rng, {}
        self.asked = {IXFR: 0, AXFR: 0}

    async def start(self):
        loop = asyncio.get_running_loop()
        self.udp, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self.datagram), (self.primary, PORT))
        self.tcp = await asyncio.start_server(self.stream, self.primary, PORT)
        self.ear, _ = await loop.create_datagram_endpoint(lambda: Datagrams(self.notified), (self.secondary, PORT))

    def notify(self, apex):
        ttl, rdata = self.zones[apex].soa()
        wire = struct.pack("!HHHHHH", self.rng.randrange(65536), 0x2400, 1, 1, 0, 0) + apex + b"\0\6\0\1"
        self.udp.sendto(wire + encode(apex, SOA, ttl, rdata), (self.daemon, PORT))

    def datagram(self, query):
        return None if query[2] & 0x80 else next(self.answers(query, udp=True))

    def notified(self, query):
        apex, end = read_name(query, 12)
        zone = self.zones.get(apex.lower())
        _, records = read_records(query)
        if zone and records:
            zone.heard(serial_of(records[0][3]))
        return query[:2] + b"\xa4\0\0\1\0\0\0\0\0\0" + query[12:end + 4]

    def answers(self, query, udp=False):
        ident, = struct.unpack("!H", query[:2])
        apex, end = read_name(query, 12)
        qtype, = struct.unpack("!H", query[end:end + 2])
        asked, zone = query[12:end + 4], self.zones.get(apex.lower())
        if zone is None:
            return iter([struct.pack("!HHHHHH", ident, 0x8405, 1, 0, 0, 0) + asked])
        if udp or qtype not in (IXFR, AXFR):
            ttl, rdata = zone.soa()
            return messages(ident, asked, [encode(apex, SOA, ttl, rdata)] if qtype in (SOA, IXFR) else [], self.rng)
        serial = dns.message.from_wire(query).authority[0][0].serial if qtype == IXFR else None
        self.asked[qtype] += 1
        return messages(ident, asked, zone.answer(qtype, serial), self.rng)

    async def stream(self, reader, writer):
        try:
            while True:
                length, = struct.unpack("!H", await reader.readexactly(2))
                for m in self.answers(await reader.readexactly(length)):
                    writer.write(struct.pack("!H", len(m)) + m)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def transfer(self, apex, serial=None):
        """All records of the daemon's answer to AXFR, or with a serial to IXFR."""
        query = struct.pack("!HHHHHH", self.rng.randrange(65536), 0, 1, 0, serial is not None, 0) + apex
        query += struct.pack("!HH", AXFR if serial is None else IXFR, 1)
        if serial is not None:
            query += encode(apex, SOA, 0, b"\0\0" + struct.pack("!IIIII", serial, 0, 0, 0, 0))
        reader, writer = await asyncio.open_connection(self.daemon, PORT, local_addr=(self.secondary, 0))
        try:
            writer.write(struct.pack("!H", len(query)) + query)
            out = []
            while not complete(out):
                length, = struct.unpack("!H", await reader.readexactly(2))
                rcode, records = read_records(await reader.readexactly(length))
                if rcode or not records:
                    raise ConnectionError("transfer of %s refused: %d" % (dns.name.from_wire(apex, 0)[0], rcode))
                out += records
                if len(out) == 1 and serial_of(out[0][3]) == serial:
                    break
            return out
        finally:
            writer.close()


def complete(rrs):
    """The first SOA again: as the second of an AXFR, as the third of an IXFR (it opens the last additions, too)."""
    if len(rrs) < 2 or rrs[-1][1] != SOA:
        return False
    seen = sum(1 for r in rrs if r[1] == SOA and r[3] == rrs[0][3])
    return seen == (3 if rrs[1][1] == SOA and rrs[1][3] != rrs[0][3] else 2)
