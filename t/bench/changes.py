# SPDX-License-Identifier: GPL-3.0-or-later
"""What a change costs: one A record replaced, one name added, 1,000 A records replaced in one IXFR, at zones of several
sizes, beside BIND and Knot as signing secondaries. They sign the zone one after the other, then all three are up at the same
time and get the same differences from the same primary, in turns. After that whole transfers with one changed record, in the
order of each primary, beside a knotd that signs nothing and has stored them when it shows them.
Usage: changes.py [--names N,N] [--rounds N] [--kinds TEXT] [--transfers N] [--only zoneseal,bind,knot] (`make bench-changes`)

The time runs from a NOTIFY to the first answer with another serial, asked by UDP in a tight loop, and to the NOTIFY that
the secondary gets. Processor time is taken in turns of their own, with few questions. What zoneseal does and the others do
not is in its figures: it has verified and synced what it shows."""

import argparse
import os
import re
import socket
import statistics
import struct
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "sys")]
import bench  # noqa: E402
import harness  # noqa: E402
import meter  # noqa: E402
import peers  # noqa: E402
import seal  # noqa: E402
import servers  # noqa: E402

ZONE = bench.ZONE
TIMERS = struct.pack("!4I", 7200, 1800, 1209600, 3600)
KINDS = ("one record", "one name", "1,000 records")
MANY = 1000
PAUSE = 0.0002  # between questions: without it the one who asks takes a processor of two, and the server's answers more
NOTIFY_ROUNDS = 7  # Knot takes a second for each
BEGIN = time.monotonic()


# --- the signers ------------------------------------------------------------------------------------------------


class Sealed(bench.Sealed):
    """Signs the whole zone with few checks, then is started again with all of them: what is measured is the change."""

    def __init__(self, rig, two):
        super().__init__(rig, two.primary, "zoneseal", "all", [two.secondary])

    def launch(self):
        self.conf["policies"][0]["verify"] = {"one-in": "1000"}
        self.start(wait=False)

    def settle(self):
        self.stop()
        self.conf["policies"][0]["verify"] = "all"
        self.start()
        harness.wait_for(lambda: harness.serial_at(self.addr, ZONE), "zoneseal to serve", 60, [self.process])


class Bind(servers.Bind):
    label = "BIND"
    quantum = 1000  # what it signs at once, before it makes a version and a piece of journal of it

    def __init__(self, rig, two):
        super().__init__(rig, "signer", listed=[two.primary])
        self.two = two
        self.add_zone(ZONE)

    def argv(self, conf):
        return [servers.program("named"), "-g", "-c", conf]

    def conf(self):
        return """options { directory "%s"; listen-on port %d { %s; }; listen-on-v6 { none; }; pid-file none; recursion no;
 session-keyfile none; dnssec-validation no; notify explicit; notify-delay 0; startup-notify-rate 1000; notify-rate 1000;
 serial-query-rate 1000; allow-transfer { 127.0.0.0/8; }; allow-query { any; }; notify-source %s; transfer-source %s;
 minimal-responses no; empty-zones-enable no; lock-file none; };
controls { };
dnssec-policy "bench" { keys { ksk lifetime unlimited algorithm ecdsap256sha256; zsk lifetime unlimited algorithm ecdsap256sha256; };
 nsec3param iterations 0 optout no salt-length 0; signatures-validity 14d; signatures-validity-dnskey 14d; };
zone "%s" { type secondary; file "z"; primaries { %s port %d; }; allow-notify { 127.0.0.0/8; }; notify explicit;
 also-notify { %s port %d; }; inline-signing yes; dnssec-policy bench; sig-signing-signatures %d; sig-signing-nodes %d; };
""" % (self.dir, harness.PORT, self.addr, self.addr, self.addr, ZONE, self.two.primary.addr, harness.PORT, self.two.secondary.addr, harness.PORT,
       self.quantum, self.quantum)

    def launch(self):
        bench.Knotd.launch(self)

    def settle(self):
        pass

    def roles(self):
        return {"daemon": [self.process.pid]}

    def stop(self):
        if self.process:
            self.process.stop(300)


class Knot(bench.Knotd):
    label = "Knot"

    def __init__(self, rig, two):
        servers.Knot.__init__(self, rig, "secondary", listed=[two.primary])
        self.two = two
        self.add_zone(ZONE)

    def conf(self):
        far = "remote:\n  - id: far\n    address: %s@%d\n    via: %s\n" % (self.two.secondary.addr, harness.PORT, self.addr)
        return super().conf().replace("remote:\n", far) + "    notify: far\n"

    def settle(self):
        pass


class KnotPlain(servers.Knot):
    """knotd as a secondary that signs nothing: what storing a transfer takes."""

    label = "knotd, plain"

    def __init__(self, rig, two):
        super().__init__(rig, "secondary", listed=[two.primary])
        self.add_zone(ZONE)

    def conf(self):
        return super().conf().replace("journal-db-max-size: 64M", "journal-db-max-size: 8G") + "    journal-content: all\n" + bench.JOURNAL

    launch = bench.Knotd.launch
    roles = bench.Knotd.roles
    stop = bench.Knotd.stop

    def settle(self):
        pass


MAKERS = {"zoneseal": Sealed, "bind": Bind, "knot": Knot}


# --- the primary's zone -----------------------------------------------------------------------------------------


class Content:
    """The zone as the primary has it, and differences between its versions."""

    def __init__(self, text):
        self.serial = int(re.search(r" SOA \S+ \S+ (\d+) ", text).group(1))
        found = re.findall(r"^([a-z]+\d+) (?:\d+ )?IN A (10\.\d+\.\d+\.\d+)\n", text, re.M)
        step = max(1, len(found) // 60000)
        self.hosts = found[::step]
        self.at, self.new = 0, 0

    def soa(self, serial=None):
        rdata = b"\x03ns1\xc0\x0c\x0ahostmaster\xc0\x0c" + struct.pack("!I", serial or self.serial) + TIMERS
        return b"\xc0\x0c" + struct.pack("!HHIH", peers.SOA, 1, 3600, len(rdata)) + rdata

    @staticmethod
    def a(host, address):
        return bytes([len(host)]) + host.encode() + b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 3600, 4) + socket.inet_aton(address)

    def step(self, kind):
        """The next version as a Source: IXFR from the one before."""
        before, removed, added = self.serial, [], []
        self.serial += 1
        if kind == "one name":
            self.new += 1
            added.append(self.a("new-%d" % self.new, "10.1.2.3"))
        for _ in range({"one record": 1, "one name": 0}.get(kind, MANY)):
            k = self.at * 7919 % len(self.hosts)  # all over the zone, each once in a while
            self.at += 1
            host, old = self.hosts[k]
            new = "10.%d.%d.%d" % (200 + self.at % 50, self.at >> 8 & 255, self.at & 255)
            self.hosts[k] = host, new
            removed.append(self.a(host, old))
            added.append(self.a(host, new))
        soa, old = self.soa(), self.soa(before)
        return peers.Source(soa, before, self.messages([soa, old, *removed, soa, *added, soa]))

    @staticmethod
    def messages(records):
        out = []
        question = peers.wire_name(ZONE) + struct.pack("!HH", peers.IXFR, 1)
        for i in range(0, len(records), 1000):
            part = records[i:i + 1000]
            out.append(b"\x84\0" + struct.pack("!4H", 1, len(part), 0, 0) + question + b"".join(part))
        return out


def record(addr, path):
    """The stream of one AXFR, with its length prefixes."""
    query = harness.question(ZONE, "AXFR", dnssec=False).to_wire()
    with socket.create_connection((addr, harness.PORT), timeout=600) as s, open(path, "wb") as f:
        s.sendall(struct.pack("!H", len(query)) + query)
        soas = 0
        for m in meter._frames(s):
            soas += m.count(TIMERS)
            f.write(struct.pack("!H", len(m)) + m)
            if soas == 2:
                return path
    raise harness.Failure("the transfer to record ended early")


def recorded(rig, kind, text, path):
    server = servers.KINDS[kind](rig, "primary").add_zone(ZONE, text)
    server.start()
    try:
        harness.wait_for(lambda: server.serial(ZONE), "%s to have the zone" % kind, 600, [server.process])
        return record(server.addr, path)
    finally:
        server.process.stop(120)
        say("the transfer as %s sends it is recorded" % kind)


# --- one change -------------------------------------------------------------------------------------------------


def soa_of(reply):
    """The last octets of the first answer's RDATA, without a parser: this is in the loop that measures."""
    if len(reply) < 12 or reply[3] & 15 or not reply[7]:
        return None
    at = reply.find(TIMERS)
    return struct.unpack_from("!I", reply, at - 4)[0] if at > 0 else None


class Asker:
    """SOA queries by UDP, one after the other."""

    def __init__(self, daemon):
        self.daemon = daemon
        self.s = socket.socket(type=socket.SOCK_DGRAM)
        self.s.settimeout(1)
        self.s.connect((daemon.addr, harness.PORT))
        self.query = harness.question(ZONE, "SOA").to_wire()

    def serial(self):
        try:
            self.s.send(self.query)
            return soa_of(self.s.recv(4096))
        except OSError:
            return None

    def until_other(self, serial, limit, pause=PAUSE):
        end = time.monotonic() + limit
        while True:
            got = self.serial()
            now = time.monotonic()
            if got is not None and got != serial:
                return now, got
            if now > end or self.daemon.process.poll() is not None:
                raise harness.Failure("%s: no new serial in %d s" % (self.daemon.label, limit))
            if pause:
                time.sleep(pause)


def cpu_ns(daemon):
    """Processor time of all threads of all its processes, to the nanosecond."""
    total = 0
    for pids in daemon.roles().values():
        for pid in pids:
            for t in os.listdir("/proc/%d/task" % pid):
                with open("/proc/%d/task/%s/schedstat" % (pid, t)) as f:
                    total += int(f.read().split()[0])
    return total


def ixfr(addr, serial):
    """(octets of the messages, RRSIGs added) of the difference from a serial; None: the answer is no difference."""
    import dns.message
    import dns.query
    import dns.rrset
    q = dns.message.make_query(ZONE, "IXFR", use_edns=-1)
    q.authority.append(dns.rrset.from_text(ZONE, 0, "IN", "SOA", ". . %d 0 0 0 0" % serial))
    wire = q.to_wire()
    octets, soas, last, sigs, second = 0, 0, None, 0, False
    with socket.create_connection((addr, harness.PORT), timeout=30) as s:
        s.sendall(struct.pack("!H", len(wire)) + wire)
        for m in meter._frames(s):
            octets += len(m)
            for rrset in dns.message.from_wire(bytes(m), one_rr_per_rrset=True, ignore_trailing=True).answer:
                if rrset.rdtype == 6:
                    soas += 1
                    last = last or rrset[0].serial
                    second = soas == 3
                elif soas < 2:
                    return octets, None
                elif rrset.rdtype == 46 and second:
                    sigs += 1
                if soas == 4:
                    return octets, sigs
    return octets, None


class Sync:
    """64 KiB written over and synced: what the file system takes for the least durable thing."""

    def __init__(self, where):
        self.f = os.open(os.path.join(where, "sync"), os.O_RDWR | os.O_CREAT, 0o600)
        self.data, self.took = os.urandom(65536), []
        for _ in range(2):
            self.once()
        self.took = []

    def once(self):
        start = time.monotonic()
        os.pwrite(self.f, self.data, 0)
        os.fdatasync(self.f)
        self.took.append((time.monotonic() - start) * 1000)


def private(d):
    """MB now; of zoneseal the engine, which has the zones."""
    roles = d.roles()
    return sum(map(meter.private_memory, roles.get("engine") or roles["daemon"]))


def say(text):
    """How far it is, for whoever waits."""
    print("%8.1f s  %s" % (time.monotonic() - BEGIN, text), file=sys.stderr, flush=True)


class Changes:
    def __init__(self, options, where):
        self.options, self.sync, self.rows, self.warming = options, Sync(where), {}, False

    def note(self, names, kind, label, what, value):
        if value is not None and not self.warming:
            self.rows.setdefault((names, kind, label, what), []).append(value)

    def change(self, names, kind, two, daemon, asker, quiet, wait):
        """The source is given already. quiet: for processor time."""
        was = asker.serial()
        used = cpu_ns(daemon) if quiet else 0
        start = two.notify(daemon.addr)
        try:
            at, serial = asker.until_other(was, 20 if self.warming else self.options.limit, 0.01 if quiet else PAUSE)
        except harness.Failure:
            if self.warming:  # a check of its own was faster than our NOTIFY
                return
            raise
        out = two.notified(start, 10) if wait else None
        if quiet:
            time.sleep(0.05)
            self.note(names, kind, daemon.label, "CPU ms", (cpu_ns(daemon) - used) / 1e6)
            return
        self.note(names, kind, daemon.label, "visible ms", (at - start) * 1000)
        self.note(names, kind, daemon.label, "NOTIFY out ms", (out - start) * 1000 if out else None)
        octets, sigs = ixfr(daemon.addr, was)
        self.note(names, kind, daemon.label, "IXFR octets", octets)
        self.note(names, kind, daemon.label, "signatures", sigs)

    def rounds(self, names, two, content, daemons):
        askers = [(d, Asker(d)) for d in daemons]
        for kind in (k for k in KINDS if self.options.kinds in k):
            total = self.options.rounds + self.options.cpu_rounds
            for n in range(-1, total):  # the first one is for warming up
                source = content.step(kind)
                two.give(source)
                for d, asker in askers[n % len(askers):] + askers[:n % len(askers)]:
                    self.sync.once()
                    two.give(source)  # forgets the NOTIFYs heard
                    self.warming = n < 0
                    self.change(names, kind, two, d, asker, n >= self.options.rounds, n < NOTIFY_ROUNDS)
                    time.sleep(self.options.rest)


def ready(daemon, limit):
    """Signed, all of it: the chain answers and the serial does not move any more."""
    start = time.monotonic()
    meter.wait_soa(daemon.addr, ZONE, lambda s: True, daemon.process, limit, 0.05)
    same, last = 0, None
    while same < 3 or not harness.has(harness.ask(daemon.addr, ZONE, "TYPE65280"), "NSEC3", "authority"):
        time.sleep(0.5)
        s = harness.serial_at(daemon.addr, ZONE)
        same, last = (same + 1 if s == last else 0), s
        if time.monotonic() - start > limit:
            raise harness.Failure("%s is not ready in %d s" % (daemon.label, limit))
    daemon.settle()
    return time.monotonic() - start


def measure(changes, names, tmp):
    options, rig = changes.options, harness.Rig(tempfile.mkdtemp(dir=tmp))
    two = None
    path = os.path.join(rig.tmp, "zone")
    bench.make_zone(names, path)
    with open(path) as f:
        text = f.read()
    try:
        content = Content(text)
        stream = recorded(rig, "knot", text, path + ".axfr")
        del text
        two = peers.Peers(rig, ZONE)
        two.give(peers.Source(content.soa(), stream=stream))
        daemons = []
        for name in options.only:
            d = MAKERS[name](rig, two)
            d.quantum = min(3000, max(1000, names // 10))  # what BIND signs at once it pays for by the square
            d.launch()
            say("%s has %d names signed in %.1f s" % (d.label, names, ready(d, options.limit)))
            daemons.append(d)
        changes.rounds(names, two, content, daemons)
        for d in daemons:
            changes.note(names, AFTER, d.label, "private MB", private(d))
    except BaseException:
        for name, log in rig.logs():
            print("--- %s\n%s" % (name, log[-3000:]), file=sys.stderr)
        raise
    finally:
        if two:
            two.close()
        problems = rig.close()
    if problems:
        raise harness.Failure("\n".join(problems))


# --- a whole transfer with one change in it --------------------------------------------------------------------


def changed_stream(path, content, source, out):
    """The stream with another serial, and with the addresses that differ by now. A host stands there with its label."""
    with open(source, "rb") as f:
        data = bytearray(f.read())
    at = data.find(TIMERS)
    while at > 0:
        data[at - 4:at] = struct.pack("!I", content.serial)
        at = data.find(TIMERS, at + 4)
    for host, was, new in content.moved:
        at = data.find(bytes([len(host)]) + host.encode())
        a = data.find(struct.pack("!HHIH", 1, 1, 3600, 4) + socket.inet_aton(was), at)
        if at < 0 or a < 0 or a - at > 200:
            raise harness.Failure("%s is not found in the stream" % host)
        data[a + 10:a + 14] = socket.inet_aton(new)
    with open(out, "wb") as f:
        f.write(data)
    return out


def transfers(changes, names, tmp):
    """An AXFR with one changed record, in the order in which each primary sends it; knotd that signs nothing beside it."""
    options, rig, two = changes.options, harness.Rig(tempfile.mkdtemp(dir=tmp)), None
    path = os.path.join(rig.tmp, "zone")
    bench.make_zone(names, path)
    with open(path) as f:
        text = f.read()
    try:
        content = Content(text)
        content.moved = []
        streams = {kind: recorded(rig, kind, text, "%s.%s" % (path, kind)) for kind in ("nsd", "bind", "knot")}
        del text
        two = peers.Peers(rig, ZONE)
        two.give(peers.Source(content.soa(), stream=streams["knot"]))
        daemons = [Sealed(rig, two), KnotPlain(rig, two)]
        for d in daemons:
            d.launch()
            if isinstance(d, Sealed):
                ready(d, options.limit)
            else:
                meter.wait_soa(d.addr, ZONE, lambda s: True, d.process, options.limit, 0.05, signed=False)
            say("%s has %d names" % (d.label, names))
        for turn in range(options.transfers):
            for kind, stream in streams.items():
                content.serial += 1
                host, was = content.hosts[turn * 3 + len(content.moved)]
                content.moved.append((host, was, "10.222.1.%d" % (len(content.moved) + 1)))
                two.give(peers.Source(content.soa(), stream=changed_stream(path, content, stream, path + ".now")))
                for d in daemons[::-1] if turn % 2 else daemons:
                    whole(changes, names, kind, two, d)
    except BaseException:
        for name, log in rig.logs():
            print("--- %s\n%s" % (name, log[-3000:]), file=sys.stderr)
        raise
    finally:
        if two:
            two.close()
        problems = rig.close()
    if problems:
        raise harness.Failure("\n".join(problems))


def whole(changes, names, kind, two, d):
    changes.sync.once()
    asker = Asker(d)
    was = asker.serial()
    with meter.Peak(d.roles) as peak:
        used, start = cpu_ns(d), two.notify(d.addr)
        at, _ = asker.until_other(was, changes.options.limit, 0.01)
    note = "AXFR as " + kind
    changes.note(names, note, d.label, "visible ms", (at - start) * 1000)
    changes.note(names, note, d.label, "CPU ms", (cpu_ns(d) - used) / 1e6)
    changes.note(names, note, d.label, "private MB", peak.peak.get("engine", sum(peak.peak.values())))
    say("%s of %d names: %s has it in %.1f s" % (note, names, d.label, at - start))
    if isinstance(d, Sealed):
        octets, sigs = ixfr(d.addr, was)
        changes.note(names, note, d.label, "signatures", sigs)
        changes.note(names, note, d.label, "IXFR octets", octets)


# --- the table --------------------------------------------------------------------------------------------------

UNITS = ("visible ms", "NOTIFY out ms", "signatures", "IXFR octets", "CPU ms", "private MB")
TRANSFERS = tuple("AXFR as " + kind for kind in ("nsd", "bind", "knot"))
AFTER = "after these"


def table(changes):
    sync = sorted(changes.sync.took or [0])
    yield "64 KiB written over + fdatasync: median %.2f ms (quarters %.2f to %.2f, n %d)" % (
        statistics.median(sync), sync[len(sync) // 4], sync[len(sync) * 3 // 4], len(sync))
    yield "%-10s%-16s%-14s" % ("names", "change", "signer") + "".join("%25s" % u for u in UNITS)
    for names in changes.options.names:
        for kind in KINDS + (AFTER, ) + TRANSFERS:
            for label in dict.fromkeys(k[2] for k in changes.rows if k[:2] == (names, kind)):
                cells = "".join("%25s" % spread(changes.rows.get((names, kind, label, u))) for u in UNITS)
                yield ("%-10d%-16s%-14s%s" % (names, kind, label, cells)).rstrip()
    yield ""
    yield from ratios(changes)


def ratios(changes):
    """Of medians, where there is another to compare with."""
    for names, kind, label, what in changes.rows:
        ours = changes.rows.get((names, kind, "zoneseal", what))
        if label != "zoneseal" and ours and what in ("visible ms", "CPU ms"):
            theirs = changes.rows[names, kind, label, what]
            yield "%-10d%-16s%-16s%-12s%6.2f" % (names, kind, "/ " + label, what, statistics.median(ours) / statistics.median(theirs))


def spread(values):
    """Median, and the least and the upper quarter: how much the machine was ours."""
    if not values:
        return "-"
    v = sorted(values)
    m = statistics.median(v)
    if v[0] == v[-1]:
        return "%.0f" % m if m >= 100 else "%.4g" % m
    form = "%.0f (%.0f..%.0f)" if m >= 100 else "%.2f (%.2f..%.2f)"
    return form % (m, v[0], v[len(v) * 3 // 4])


def main():
    p = argparse.ArgumentParser(description="the price of a change, beside BIND and Knot")
    p.add_argument("--names", default="10000,100000", help="sizes, with commas")
    p.add_argument("--rounds", type=int, default=21)
    p.add_argument("--cpu-rounds", type=int, default=5)
    p.add_argument("--transfers", type=int, default=3, help="AXFRs with one change, in each order")
    p.add_argument("--only", default="zoneseal,bind,knot")
    p.add_argument("--kinds", default="", help="only changes whose name has this in it")
    p.add_argument("--rest", type=float, default=0.05, help="seconds between changes")
    p.add_argument("--limit", type=int, default=3600, help="seconds that a step may take")
    p.add_argument("--slice", action="store_true", help="2,000 names, twice: that it works, not how fast")
    options = p.parse_args()
    options.names = [int(n) for n in options.names.split(",")]
    if options.slice:
        options.names, options.rounds, options.cpu_rounds, options.transfers = [2000], 2, 1, 1
    options.only = options.only.split(",")
    bench.enter_namespace()
    harness.WAIT = max(harness.WAIT, 600)  # a million names take others a while to load
    with tempfile.TemporaryDirectory(prefix="zoneseal-changes-") as tmp:
        changes = Changes(options, tmp)
        try:
            for names in options.names:
                if options.rounds + options.cpu_rounds:
                    measure(changes, names, tmp)
                if options.transfers:
                    transfers(changes, names, tmp)
        finally:  # what there is by then
            print("%d processors, load %s" % (os.cpu_count(), " ".join("%.2f" % v for v in os.getloadavg())))
            print("\n".join(table(changes)))


if __name__ == "__main__":
    try:
        main()
    except harness.Failure as e:
        sys.exit("changes: %s" % e)
