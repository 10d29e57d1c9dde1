# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark reads: processor time and memory of processes, what the rest of the machine did meanwhile, when a
server says what it should, and how fast a transfer comes."""

import os
import socket
import struct
import threading
import time

import dns.exception
import dns.message
import dns.rdatatype
import harness

TICK = os.sysconf("SC_CLK_TCK")
CHUNK = 1 << 20


def _stat(pid):
    with open("/proc/%d/stat" % pid) as f:
        return f.read().rsplit(")", 1)[1].split()


def cpu(pids):
    """Seconds of user and system time of live processes, all their threads."""
    return sum(int(s[11]) + int(s[12]) for s in map(_stat, pids)) / TICK


def private_memory(pid):
    """RssAnon + RssShmem in MB: what it holds itself, not what it maps of files."""
    kb = 0
    try:
        with open("/proc/%d/status" % pid) as f:
            kb = sum(int(line.split()[1]) for line in f if line.startswith(("RssAnon", "RssShmem")))
    except OSError:
        pass  # it ended
    return kb / 1024


class Peak:
    """The peak of private_memory() of each process that find() names, sampled while the `with` lasts."""

    def __init__(self, find):
        self.find, self.peak, self.end = find, {}, threading.Event()

    def __enter__(self):
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self):
        while not self.end.wait(0.05):
            for role, pids in self.find().items():
                self.peak[role] = max(self.peak.get(role, 0), sum(map(private_memory, pids)))

    def __exit__(self, *_):
        self.end.set()
        self.thread.join()


class Others:
    """Processors kept busy by anything but us and what we started, from here until cores()."""

    def __init__(self):
        self.at = self._now()

    @staticmethod
    def _ours():
        parents, used = {}, {}
        for p in filter(str.isdigit, os.listdir("/proc")):
            try:
                s = _stat(int(p))
            except OSError:
                continue
            parents[int(p)], used[int(p)] = int(s[1]), sum(map(int, s[11:15]))  # with those of reaped children
        total, family = 0, {os.getpid()}
        for p in sorted(parents):
            if parents[p] in family or p in family:
                family.add(p)
        for p in family:
            total += used.get(p, 0)
        return total

    def _now(self):
        with open("/proc/stat") as f:
            v = list(map(int, f.readline().split()[1:]))
        return time.monotonic(), sum(v[:3]) + v[5] + v[6] - self._ours()

    def cores(self):
        (t0, b0), (t1, b1) = self.at, self._now()
        return max(0, b1 - b0) / TICK / max(t1 - t0, 0.01)


def wait_soa(addr, zone, good, process, timeout, pause, signed=True):
    """The time at which the server's SOA, signed, has a serial that is good; and that serial."""
    query = harness.question(zone, "SOA").to_wire()
    end = time.monotonic() + timeout
    with socket.socket(type=socket.SOCK_DGRAM) as s:
        s.settimeout(0.5)
        s.connect((addr, harness.PORT))
        while time.monotonic() < end:
            try:
                s.send(query)
                reply = s.recv(4096)
            except OSError:
                reply = b""
            now = time.monotonic()
            serial = signed_serial(reply, signed)
            if serial is not None and good(serial):
                return now, serial
            if process.poll() is not None:
                raise harness.Failure("%s ended with %s" % (process.name, process.poll()))
            time.sleep(pause)
    raise harness.Failure("%s: no signed SOA of %s in %d s" % (process.name, zone, timeout))


def signed_serial(reply, signed=True):
    if len(reply) < 12 or reply[3] & 15 or struct.unpack("!H", reply[6:8])[0] < 1 + signed:
        return None
    try:
        answer = dns.message.from_wire(reply).answer
    except dns.exception.DNSException:
        return None
    soa = [s for s in answer if s.rdtype == dns.rdatatype.SOA]
    return soa[0][0].serial if soa and (not signed or any(s.rdtype == dns.rdatatype.RRSIG for s in answer)) else None


def _frames(s):
    """Messages of a TCP stream; few copies, because this must be faster than what it measures."""
    have = bytearray()
    room = bytearray(CHUNK)
    view = memoryview(room)
    while True:
        n = s.recv_into(room)
        if not n:
            return
        have += view[:n]
        at = 0
        while len(have) - at >= 2:
            size = have[at] << 8 | have[at + 1]
            if len(have) - at < 2 + size:
                break
            yield have[at + 2:at + 2 + size]
            at += 2 + size
        del have[:at]


def transfer(addr, zone):
    """(octets, messages, seconds) of one AXFR, read from the socket and thrown away. Without EDNS and TSIG the last octets
    of the stream are the numbers of the closing SOA, as in the first record."""
    query = harness.question(zone, "AXFR", dnssec=False).to_wire()
    start, octets, messages, tail = time.monotonic(), 0, 0, None
    with socket.create_connection((addr, harness.PORT), timeout=60) as s:
        s.sendall(struct.pack("!H", len(query)) + query)
        for m in _frames(s):
            octets, messages = octets + 2 + len(m), messages + 1
            if tail is None:
                if m[3] & 15:
                    raise harness.Failure("transfer of %s from %s refused: rcode %d" % (zone, addr, m[3] & 15))
                tail, last = _soa_numbers(m), struct.unpack("!H", m[6:8])[0] > 1 and m
            else:
                last = m
            if last and last.endswith(tail):
                return octets, messages, time.monotonic() - start
    raise harness.Failure("transfer of %s from %s ends early" % (zone, addr))


def _soa_numbers(m):
    """The five numbers of the SOA that opens the first message."""
    at = 12
    while m[at]:
        at += 1 + m[at]
    at += 5  # root, type, class
    while m[at] and m[at] < 0xc0:
        at += 1 + m[at]
    at += 2 if m[at] >= 0xc0 else 1
    end = at + 10 + struct.unpack("!H", m[at + 8:at + 10])[0]
    return bytes(m[end - 20:end])
