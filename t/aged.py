# SPDX-License-Identifier: GPL-3.0-or-later
"""A store that has aged: thousands of versions of one record each, history at its bound, and readers that do not come to
an end all the while. Beside it a store of the same content that has just been built, in the same run and in turns: what a
change costs at each, and how large each file is. Usage: aged.py [--names N] [--versions N] [--slice] (`make check-aged`)

What is asserted are counts of work and of octets: octets that a change writes, the size of the file, that history is full,
that readers are cut when they pin too much, and that the file does not grow from then on, although they come again.
Processor time and seconds are printed, and asserted by nobody."""

import argparse
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, "bench"), os.path.join(HERE, "sys")]
import bench  # noqa: E402
import changes  # noqa: E402
import harness  # noqa: E402
import peers  # noqa: E402
import seal  # noqa: E402

ZONE = bench.ZONE
COST, SIZE = 1.5, 2.5  # the marks: aged to fresh
FREE_LIST = 32 << 10   # octets: LMDB writes the part of its list of free pages that it has read with each commit


class Sealed(changes.Sealed):
    """A daemon with a primary and a zone of its own, so that its neighbour's versions are not its own."""

    def __init__(self, rig, text, stream, label, history, growth):
        self.content, self.two = changes.Content(text), peers.Peers(rig, ZONE)
        self.two.give(peers.Source(self.content.soa(), stream=stream))
        super().__init__(rig, self.two)
        self.label = label
        self.conf["server"]["snapshot"] = {"age": "1d", "growth": str(growth)}
        self.conf["server"]["tcp"] = {"idle": "1h"}
        self.conf["log"]["level"] = "warning"
        self.conf["zones"][0]["history"] = {"versions": "1000000", "bytes": str(history), "age": "30d"}

    def ready(self, limit):
        self.launch()
        changes.ready(self, limit)
        self.asker = changes.Asker(self)
        return self

    def engine(self):
        return self.roles()["engine"][0]

    def file(self):
        return int(self.metric("zoneseal_zone_store_bytes", zone=ZONE))

    def pinned(self):
        return self.metric("zoneseal_zone_pinned_bytes", zone=ZONE) or 0

    def given_up(self):
        """How often readers were cut."""
        return self.log().count("event=given-up")

    def wrote(self):
        """Octets that the engine gave to write(), pwrite() and the like: its transactions and little else."""
        with open("/proc/%d/io" % self.engine()) as f:
            return dict(line.split(": ") for line in f.read().splitlines())["wchar"]

    def change(self, kind="one record"):
        """Seconds until it is seen."""
        self.two.give(self.content.step(kind))
        was, start = self.asker.serial(), self.two.notify(self.addr)
        at, _ = self.asker.until_other(was, 60)
        return at - start

    def rest(self):
        """Until what comes behind the answer is done: NOTIFY, a look at what is pinned."""
        looks = []

        def still():
            looks.append(changes.cpu_ns(self))
            return looks[-1:] == looks[-2:-1]
        harness.wait_for(still, "the daemon to rest", 10)

    def measured(self):
        """(milliseconds until seen, processor milliseconds, octets written) of one change."""
        used, wrote = changes.cpu_ns(self), int(self.wrote())
        seen = self.change()
        self.rest()
        return seen * 1000, (changes.cpu_ns(self) - used) / 1e6, int(self.wrote()) - wrote

    def close(self):
        self.two.close()
        return super().close()


class Readers:
    """A secondary that asks for the zone and an export, which take nothing of it but what buffers hold. Those of one version
    are cut together; then they come again."""

    def __init__(self, daemon):
        self.daemon, self.cuts = daemon, 0
        self.ask()

    def ask(self):
        query = harness.question(ZONE, "AXFR", dnssec=False).to_wire()
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.s.bind((self.daemon.two.secondary.addr, 0))
        self.s.connect((self.daemon.addr, harness.PORT))
        self.s.sendall(struct.pack("!H", len(query)) + query)
        self.s.settimeout(60)
        self.s.recv(2)
        argv = [os.path.join(seal.build_dir(), "zonesealctl"), "-s", self.daemon.socket, "zone", "export", ZONE]
        self.export = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.export.stdout.read(1)

    def look(self):
        if self.daemon.given_up() > self.cuts:
            self.cuts = self.daemon.given_up()
            self.close()
            self.ask()

    def close(self):
        self.s.close()
        self.export.kill()
        self.export.stdout.close()
        self.export.wait()


class Report:
    def __init__(self):
        self.bad = []

    def judge(self, good, text):
        print("%s  %s" % ("ok  " if good else "FAIL", text), flush=True)
        if not good:
            self.bad.append(text)


def mb(octets):
    return "%.1f MB" % (octets / 1e6)


def beside(report, aged, fresh, rounds, when):
    """Changes in turns at both."""
    got = {aged: [], fresh: []}
    for _ in range(2):  # for warming up
        aged.change(), fresh.change()
    for n in range(rounds):
        for d in ((aged, fresh), (fresh, aged))[n % 2]:
            got[d].append(d.measured())
    medians = {d: [statistics.median(v) for v in zip(*rows)] for d, rows in got.items()}
    for i, what in enumerate(("visible, ms", "processor, ms", "written, KiB")):
        a, f = medians[aged][i], medians[fresh][i]
        scale = 1024 if i == 2 else 1
        text = "%s: %s: aged %.2f, fresh %.2f, ratio %.2f" % (when, what, a / scale, f / scale, a / f)
        if i == 2:
            report.judge(a <= COST * f + FREE_LIST, text)
        else:
            print("      " + text, flush=True)


def age(daemon, versions, steps, readers=None):
    """That many versions; prints how the file grows. Returns its size at each step."""
    sizes, start = [], time.monotonic()
    for n in range(1, versions + 1):
        daemon.change()
        if readers and n % 10 == 0:
            readers.look()
        if n % (versions // steps) == 0:
            sizes.append(daemon.file())
            print("      %d versions, %.0f s: file %s, pinned %s, readers cut %d" % (
                n, time.monotonic() - start, mb(sizes[-1]), mb(daemon.pinned()), daemon.given_up()), flush=True)
    return sizes


def judge_history(report, daemon, made):
    kept = len(daemon.json("zone", "history", ZONE)["versions"])
    report.judge(0 < kept < made, "history is at its bound: %d of %d versions" % (kept, made))


def pinned(report, options, aged, fresh):
    """Somebody reads, all the while."""
    size = fresh.file()
    readers = Readers(aged)
    sizes = age(aged, options.versions, options.steps, readers)
    beside(report, aged, fresh, options.rounds, "aged, pinned")
    judge_history(report, aged, options.versions)
    report.judge(readers.cuts >= 2, "readers were cut %d times, each time for what they pinned" % readers.cuts)
    half = sizes[len(sizes) // 2]
    report.judge(sizes[-1] <= half * 1.05, "the file does not grow any more: %s after half of the versions, %s after all" % (mb(half), mb(sizes[-1])))
    report.judge(max(sizes) <= SIZE * size, "file: aged %s, fresh %s, ratio %.2f" % (mb(max(sizes)), mb(size), max(sizes) / size))
    readers.close()


def free_again(report, options, aged, fresh):
    size = aged.file()
    harness.wait_for(lambda: aged.change() and aged.pinned() < 1 << 20, "the pages to come back")
    beside(report, aged, fresh, options.rounds, "free again")
    age(aged, options.versions // 5, 2)
    beside(report, aged, fresh, options.rounds, "later")
    report.judge(aged.file() <= size, "the file does not grow without readers: %s, then %s" % (mb(size), mb(aged.file())))


def run(options, tmp):
    report, rig = Report(), harness.Rig(tmp)
    path = os.path.join(tmp, "zone")
    bench.make_zone(options.names, path)
    with open(path) as f:
        text = f.read()
    try:
        stream = changes.recorded(rig, "knot", text, path + ".axfr")
        aged, fresh = (Sealed(rig, text, stream, label, options.history, options.growth).ready(options.limit) for label in ("aged", "fresh"))
        print("      %d names, file %s" % (options.names, mb(fresh.file())), flush=True)
        beside(report, aged, fresh, options.rounds, "both fresh")
        pinned(report, options, aged, fresh)
        free_again(report, options, aged, fresh)
    except BaseException:
        for name, log in rig.logs():
            print("--- %s\n%s" % (name, log[-3000:]), file=sys.stderr)
        raise
    finally:
        report.bad += rig.close()
    return report.bad


def main():
    p = argparse.ArgumentParser(description="what a change costs in an aged store, and how large that gets")
    p.add_argument("--names", type=int, default=100000)
    p.add_argument("--versions", type=int, default=10000)
    p.add_argument("--rounds", type=int, default=50, help="changes in each comparison")
    p.add_argument("--steps", type=int, default=10, help="lines about growth")
    p.add_argument("--history", type=int, default=2 << 20, help="its bound, octets")
    p.add_argument("--growth", type=int, default=1 << 30, help="snapshot: growth")
    p.add_argument("--limit", type=int, default=1800, help="seconds that the first signing may take")
    p.add_argument("--slice", action="store_true", help="a few hundred versions of a small zone")
    options = p.parse_args()
    if options.slice:  # a small zone may always pin some MiB: that is too much for its ratio
        options.names, options.versions, options.rounds, options.steps = 5000, 400, 9, 4
        options.history, options.growth = 64 << 10, 4 << 20
    bench.enter_namespace()
    with tempfile.TemporaryDirectory(prefix="zoneseal-aged-") as tmp:
        bad = run(options, tmp)
    print("%d processors, load %s" % (os.cpu_count(), " ".join("%.2f" % v for v in os.getloadavg())))
    return bad


if __name__ == "__main__":
    try:
        sys.exit(1 if main() else 0)
    except harness.Failure as e:
        sys.exit("aged: %s" % e)
