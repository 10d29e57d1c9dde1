# SPDX-License-Identifier: GPL-3.0-or-later
"""Both neighbours of a signer, in a process of their own: a primary that has its answers ready (a recorded AXFR stream, a
difference), and a secondary that notes when a NOTIFY comes. Nothing here takes a part of the time that is measured which
another primary would not take as well: one recv, one send. Times are CLOCK_MONOTONIC, one for all processes."""

import mmap
import multiprocessing
import select
import socket
import struct
import time

import harness

SOA, AXFR, IXFR = 6, 252, 251
NOTIFY = 4


def wire_name(name):
    return b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".")) + b"\0"


class Source:
    """What the primary has: `soa` (one record, owner compressed), and messages without their first two octets."""

    def __init__(self, soa, since=None, ixfr=(), stream=None):
        self.soa, self.since, self.ixfr, self.stream = soa, since, list(ixfr), stream


class Peers:
    """Addresses and the line to the process. A Source is served from give() on."""

    def __init__(self, rig, zone):
        self.zone = zone
        self.primary, self.secondary = Peer(rig, "peer-primary"), Peer(rig, "peer-secondary")
        self.line, far = multiprocessing.Pipe()
        self.worker = multiprocessing.Process(target=serve, args=(zone, self.primary.addr, self.secondary.addr, far), daemon=True)
        self.worker.start()
        self.line.recv()

    def give(self, source):
        self.line.send(source)
        self.line.recv()

    def notified(self, since, timeout=3):
        """When the first NOTIFY after that moment came in from a signer; None: not in time."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            self.line.send(since)
            at = self.line.recv()
            if at:
                return at
            time.sleep(0.002)
        return None

    def notify(self, addr):
        """The moment it was sent."""
        if not hasattr(self, "udp"):
            self.udp = socket.socket(type=socket.SOCK_DGRAM)
            self.udp.bind((self.primary.addr, 0))
            self.udp.setblocking(False)
        try:
            while True:
                self.udp.recv(4096)
        except OSError:
            pass
        m = struct.pack("!6H", 4711, NOTIFY << 11 | 0x0400, 1, 0, 0, 0) + wire_name(self.zone) + struct.pack("!2H", SOA, 1)
        now = time.monotonic()
        self.udp.sendto(m, (addr, harness.PORT))
        return now

    def close(self):
        self.worker.terminate()
        self.worker.join()
        return []


class Peer:
    """The face of a server that configs are made of."""

    tsig = None

    def __init__(self, rig, name):
        self.name, self.addr = rig.unique(name), rig.address()


def serve(zone, primary, secondary, line):
    Serving(zone, primary, secondary, line).run()


class Serving:
    def __init__(self, zone, primary, secondary, line):
        self.question_len = 12 + len(wire_name(zone)) + 4
        self.line, self.source, self.heard, self.have = line, None, [], {}
        self.secondary = secondary
        self.udp, self.far = socket.socket(type=socket.SOCK_DGRAM), socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind((primary, harness.PORT))
        self.far.bind((secondary, harness.PORT))
        self.tcp, self.far_tcp = (self.listening(a) for a in (primary, secondary))
        line.send("ready")

    @staticmethod
    def listening(address):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((address, harness.PORT))
        s.listen(16)
        return s

    def run(self):
        while True:
            for s in select.select([self.line, self.udp, self.far, self.tcp, self.far_tcp, *self.have], [], [])[0]:
                if s is self.line:
                    self.order(self.line.recv())
                elif s is self.udp:
                    self.on_udp()
                elif s is self.far:
                    self.on_far()
                elif s in (self.tcp, self.far_tcp):
                    c = s.accept()[0]
                    c.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.have[c] = b""
                else:
                    self.on_tcp(s)

    def order(self, what):
        if isinstance(what, float):
            self.line.send(next((at for at in self.heard if at >= what), None))
        else:
            self.source = what
            self.heard = []
            self.line.send("given")

    def on_udp(self):
        q, who = self.udp.recvfrom(4096)
        if len(q) >= self.question_len and not q[2] & 0x80:
            self.udp.sendto(self.soa(q), who)

    def on_far(self):
        q, who = self.far.recvfrom(4096)
        if len(q) >= self.question_len and not q[2] & 0x80:
            self.far.sendto(self.plain(q), who)

    def plain(self, q):
        """The secondary has no zone yet, as far as anybody asks."""
        rcode = 5
        if q[2] >> 3 & 15 == NOTIFY:
            rcode = 0
            self.heard.append(time.monotonic())
        return q[:2] + bytes([q[2] | 0x80, rcode]) + struct.pack("!4H", 1, 0, 0, 0) + q[12:self.question_len]

    def on_tcp(self, c):
        try:
            got = c.recv(65536)
        except OSError:
            got = b""
        if not got:
            del self.have[c]
            c.close()
            return
        data = self.have[c] + got
        while len(data) >= 2 and len(data) >= 2 + (data[0] << 8 | data[1]):
            n = data[0] << 8 | data[1]
            try:
                self.answer(c, data[2:2 + n])
            except OSError:
                del self.have[c]
                c.close()
                return
            data = data[2 + n:]
        self.have[c] = data

    def soa(self, q):
        return q[:2] + b"\x84\0" + struct.pack("!4H", 1, 1, 0, 0) + q[12:self.question_len] + self.source.soa

    def answer(self, c, q):
        kind = struct.unpack("!H", q[self.question_len - 4:self.question_len - 2])[0]
        if c.getsockname()[0] == self.secondary:
            m = self.plain(q)
            c.sendall(struct.pack("!H", len(m)) + m)
        elif kind == IXFR and self.source.since is not None and struct.pack("!I", self.source.since) in q:
            c.sendall(b"".join(struct.pack("!H", len(m) + 2) + q[:2] + m for m in self.source.ixfr))
        elif kind in (IXFR, AXFR) and self.source.stream:
            self.replay(c, q)
        else:
            m = self.soa(q)
            c.sendall(struct.pack("!H", len(m)) + m)

    def replay(self, c, q):
        """The recorded stream under this query's id. The question in it stays AXFR: only what asked IXFR is told so."""
        with open(self.source.stream, "rb") as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
            at, out = 0, bytearray()
            while at < len(m):
                n = 2 + (m[at] << 8 | m[at + 1])
                out += m[at:at + 2] + q[:2] + m[at + 4:at + n]
                if struct.unpack_from("!H", m, at + 6)[0]:
                    k = len(out) - n + self.question_len + 2 - 4
                    out[k:k + 2] = q[self.question_len - 4:self.question_len - 2]
                at += n
                if len(out) > 1 << 20:
                    c.sendall(out)
                    del out[:]
            c.sendall(out)
