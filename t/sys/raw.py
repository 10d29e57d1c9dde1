# SPDX-License-Identifier: GPL-3.0-or-later
"""A primary that sends exactly what it is told: any octets, one record a message or packed, and transfers that break in
every way. Speaks just enough DNS: SOA, AXFR (also as the answer to IXFR), NOTIFY. One thread a connection."""

import socket
import struct
import threading

import dns.message
import dns.name
import dns.query
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer

from harness import PORT

SOA, AXFR, IXFR = 6, 252, 251
MAX = 65535


def record(line):
    """(owner wire, ttl, class, type, rdata wire) of `owner ttl IN type rdata`."""
    owner, ttl, klass, rtype, rdata = line.split(None, 4)
    t = dns.rdatatype.from_text(rtype)
    rd = dns.rdata.from_text(dns.rdataclass.IN, t, rdata)
    return dns.name.from_text(owner).to_wire(), int(ttl), dns.rdataclass.from_text(klass), int(t), rd.to_wire()


def encode(rr):
    owner, ttl, klass, rtype, rdata = rr
    return owner + struct.pack("!HHIH", rtype, klass, ttl, len(rdata)) + rdata


class Raw:
    tsig = None

    def __init__(self, rig, zone, text, per_message=0, peers=()):
        self.rig, self.name, self.addr = rig, rig.unique("raw-primary"), rig.address()
        self.zone, self.per_message, self.peers = zone, per_message, list(peers)
        self.process = None
        self.closing = None      # another record than the SOA at the end
        self.cut_after = None    # messages before the connection breaks
        self.transfers = 0
        self.set(text)
        self._stop = threading.Event()
        self._sockets = []
        rig.add(self)

    def set(self, text):
        """The SOA is the first record."""
        self.rrs = [record(x) for x in text.splitlines() if x.strip()]
        assert self.rrs[0][3] == SOA

    def start(self):
        tcp = socket.socket()
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind((self.addr, PORT))
        tcp.listen(16)
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind((self.addr, PORT))
        self._sockets = [tcp, udp]
        threading.Thread(target=self._udp, args=(udp,), daemon=True).start()
        threading.Thread(target=self._tcp, args=(tcp,), daemon=True).start()
        return self

    def notify(self):
        for p in self.peers:
            m = dns.message.make_query(self.zone, "SOA")
            m.set_opcode(4)
            m.flags = (m.flags & ~0x0100) | 0x0400
            try:
                dns.query.udp(m, p.addr, port=PORT, timeout=3, source=self.addr)
            except (OSError, dns.exception.Timeout):
                pass

    def change(self, text):
        self.set(text)
        self.notify()

    def close(self):
        self._stop.set()
        for s in self._sockets:
            try:
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            s.close()
        return []

    # --- answers --------------------------------------------------------------------------------------------------

    def _messages(self, query):
        """The wire of each message of the answer."""
        ident, = struct.unpack("!H", query[:2])
        end = 12
        while query[end]:
            end += query[end] + 1
        qtype, = struct.unpack("!H", query[end + 1:end + 3])
        asked = query[12:end + 5]
        if dns.name.from_wire(query, 12)[0] != dns.name.from_text(self.zone):
            yield struct.pack("!HHHHHH", ident, 0x8005, 1, 0, 0, 0) + asked
            return
        rrs = [self.rrs[0]]
        if qtype in (AXFR, IXFR):
            self.transfers += 1
            rrs = self.rrs + [self.closing or self.rrs[0]]
        body, n, first = b"", 0, True
        for rr in map(encode, rrs):
            if n and (n == self.per_message or 12 + len(asked) + len(body) + len(rr) > MAX):
                yield struct.pack("!HHHHHH", ident, 0x8400, first, n, 0, 0) + (asked if first else b"") + body
                body, n, first = b"", 0, False
            body, n = body + rr, n + 1
        yield struct.pack("!HHHHHH", ident, 0x8400, first, n, 0, 0) + (asked if first else b"") + body

    def _udp(self, s):
        while not self._stop.is_set():
            try:
                query, who = s.recvfrom(4096)
                if len(query) > 12:  # shutdown() wakes with nothing
                    s.sendto(next(self._messages(query)), who)
            except OSError:
                return

    def _tcp(self, s):
        while not self._stop.is_set():
            try:
                c, _ = s.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(c,), daemon=True).start()

    def _serve(self, c):
        with c, c.makefile("rb") as f:
            try:
                while True:
                    head = f.read(2)
                    if len(head) < 2:
                        return
                    for i, m in enumerate(self._messages(f.read(struct.unpack("!H", head)[0]))):
                        if self.cut_after is not None and i >= self.cut_after:
                            return
                        c.sendall(struct.pack("!H", len(m)) + m)
            except OSError:
                return
