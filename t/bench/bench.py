# SPDX-License-Identifier: GPL-3.0-or-later
"""How fast zoneseal is, beside a knotd that signs as a secondary and beside what OpenSSL can do, all in one run and in a
network namespace of its own. Usage: bench.py [--names N] [--runs N] [--slice] (`make bench N=100000`)

Compare within one run, and compare processor seconds: a machine of two processors that also runs the primary and this
program says little in absolute times. What knotd does not do and zoneseal does is in the figures: verifying what it signed
and syncing it to the disk."""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(os.path.dirname(HERE), "sys")]
import dns.message  # noqa: E402
import dns.query  # noqa: E402
import harness  # noqa: E402
import hosting  # noqa: E402
import meter  # noqa: E402
import seal  # noqa: E402
import servers  # noqa: E402

ZONE = "hosting.test."
INSIDE = "ZS_BENCH_NET"
JOURNAL = "    journal-max-usage: 4G\n"  # a million names do not fit into the 100 MiB that a zone may have
LONG = 40  # seconds of one run after which it is not repeated


def enter_namespace():
    if os.environ.get(INSIDE) == "1":
        return
    os.environ[INSIDE] = "1"
    kind = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    os.execvp("unshare", ["unshare", *kind, "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-B", *sys.argv])


# --- the three sides --------------------------------------------------------------------------------------------


class Primary:
    """An NSD that notifies nobody: when the clock starts is ours to say."""

    def __init__(self, rig, path):
        self.text = open(path).read()
        self.serial = int(re.search(r" SOA \S+ \S+ (\d+) ", self.text).group(1))
        self.nsd = servers.Nsd(rig, "primary").add_zone(ZONE, self.text)
        self.nsd.start()

    def change(self):
        """Another A record and the next serial; returns when the primary itself serves it."""
        self.serial += 1
        text = re.sub(r"( SOA \S+ \S+ )\d+ ", r"\g<1>%d " % self.serial, self.text, count=1)
        text = re.sub(r" IN A 10\.\d+\.\d+\.\d+\n", " IN A 10.255.%d.%d\n" % divmod(self.serial & 65535, 256), text, count=1)
        self.nsd.change(ZONE, text)
        self.nsd.wait_serial(ZONE, self.serial, 120)

    def notify(self, addr):
        m = dns.message.make_query(ZONE, "SOA")
        m.set_opcode(4)
        m.flags = m.flags & ~0x0100 | 0x0400
        dns.query.udp(m, addr, port=harness.PORT, timeout=5, source=self.nsd.addr)


class Knotd(servers.Knot):
    """knotd between the same two sides: AXFR in, signing on, journal on the disk."""

    kind = "knotd-signer"
    label = "knotd"

    def __init__(self, rig, primary):
        super().__init__(rig, "secondary", listed=[primary.nsd])
        self.add_zone(ZONE)

    def conf(self):
        cores = os.cpu_count()
        text = super().conf().replace("journal-db-max-size: 64M", "journal-db-max-size: 8G")
        text = text.replace("background-workers: 1", "background-workers: %d" % cores)
        policy = ["policy:", "  - id: bench", "    algorithm: ecdsap256sha256", "    nsec3: on", "    nsec3-iterations: 0",
                  "    nsec3-salt-length: 0", "    rrsig-lifetime: 14d", "    signing-threads: %d" % cores, "zone:"]
        text = text.replace("\nzone:", "\n" + "\n".join(policy))
        return text + "    dnssec-signing: on\n    dnssec-policy: bench\n    journal-content: all\n" + JOURNAL

    def launch(self):
        conf = os.path.join(self.dir, "conf")
        with open(conf, "w") as f:
            f.write(self.conf())
        self.process = harness.Process(self.name, self.argv(conf), os.path.join(self.dir, "log")).start()

    def roles(self):
        return {"daemon": [self.process.pid]}

    def signatures(self):
        return None

    def stop(self):
        if self.process:
            self.process.stop(120)


class Sealed(seal.Zoneseal):
    """zoneseal with a file key store."""

    def __init__(self, rig, primary, label, verify, secondaries=()):
        super().__init__(rig)
        self.label = label
        self.conf["log"]["level"] = "info"
        self.conf["acls"] = [{"name": "bench", "prefix": ["127.0.0.0/8"]}]
        self.policy("bench", algorithm="ecdsap256sha256", denial="nsec3", verify=verify)
        self.zone(ZONE, [primary], list(secondaries), policy="bench", transfer=["bench"])

    def launch(self):
        self.start(wait=False)

    def roles(self):
        found = {}
        try:
            for pid in self.children():
                with open("/proc/%d/cmdline" % pid, "rb") as f:
                    words = f.read()
                for role in ("engine", "vault"):
                    if b"--role\0" + role.encode() in words or b"--role " + role.encode() in words:
                        found.setdefault(role, []).append(pid)
        except OSError:
            pass  # one ended while we looked
        return found

    def signatures(self):
        return (self.status(ZONE).get("version") or {}).get("signatures")


# --- measurements -----------------------------------------------------------------------------------------------


class Bench:
    def __init__(self, options):
        self.options = options
        self.rows = {}    # (measure, label) -> values
        self.others = {}  # the same -> busy processors of others
        self.labels = []

    def note(self, measure, label, value, others=None):
        if label not in self.labels:
            self.labels.append(label)
        self.rows.setdefault((measure, label), []).append(value)
        if others is not None:
            self.others.setdefault((measure, label), []).append(others)

    def value(self, measure, label):
        got = self.rows.get((measure, label))
        return statistics.median(got) if got else None

    def first(self, daemon):
        """One first signing, from nothing. Returns its seconds."""
        others = meter.Others()
        with meter.Peak(lambda: daemon.roles() if daemon.process else {}) as peak:
            start = time.monotonic()
            daemon.launch()
            at, daemon.last = meter.wait_soa(daemon.addr, ZONE, lambda s: True, daemon.process, self.options.limit, 0.01)
        quiet = others.cores()
        self.note("first signing, s", daemon.label, at - start, quiet)
        used = {role: meter.cpu(pids) for role, pids in daemon.roles().items()}
        self.note("  CPU of all, s", daemon.label, sum(used.values()))
        for role in set(used) & {"engine", "vault"}:
            self.note("  CPU of %s, s" % role, daemon.label, used[role])
        self.note("  peak private memory of all, MB", daemon.label, sum(peak.peak.values()))
        for role in set(used) & {"engine", "vault"}:
            self.note("  peak private memory of %s, MB" % role, daemon.label, peak.peak.get(role, 0))
        made = daemon.signatures()
        if made:
            self.note("  signatures", daemon.label, made)
            self.note("  signatures, 1000/s", daemon.label, made / (at - start) / 1000)
        return at - start

    def restart(self, daemon):
        daemon.stop()
        others, start = meter.Others(), time.monotonic()
        daemon.launch()
        at, _ = meter.wait_soa(daemon.addr, ZONE, lambda s: s == daemon.last, daemon.process, self.options.limit, 0.002)
        self.note("restart to the right SOA, s", daemon.label, at - start, others.cores())
        return at - start

    def axfr(self, daemon):
        others = meter.Others()
        octets, _, seconds = meter.transfer(daemon.addr, ZONE)
        self.note("AXFR out, MB/s", daemon.label, octets / 1e6 / seconds, others.cores())
        self.note("  size, MB", daemon.label, octets / 1e6)
        return seconds

    def change(self, daemon, primary):
        primary.change()
        others, start = meter.Others(), time.monotonic()
        before = daemon.roles().items()
        used = {role: meter.cpu(pids) for role, pids in before}
        primary.notify(daemon.addr)
        at, daemon.last = meter.wait_soa(daemon.addr, ZONE, lambda s: s != daemon.last, daemon.process, self.options.limit, 0.001)
        self.note("one record, NOTIFY to SOA, s", daemon.label, at - start, others.cores())
        self.note("  CPU, s", daemon.label, sum(meter.cpu(pids) - used[role] for role, pids in before))
        return at - start

    def repeat(self, what, *args):
        for _ in range(self.options.runs):
            if what(*args) > LONG:
                break


def openssl(bench):
    for _ in range(1 if bench.options.slice else 2):
        others = meter.Others()
        seconds = "1" if bench.options.slice else "2"
        r = harness.run(["openssl", "speed", "-seconds", seconds, "ecdsap256"], timeout=60)
        m = re.search(r"nistp256\)\s+\S+\s+\S+\s+([\d.]+)\s+([\d.]+)", r.stdout)
        if r.returncode != 0 or not m:
            raise harness.Failure("openssl speed: %s" % (r.stdout + r.stderr)[-400:])
        bench.note("ECDSA P-256 sign, one core, 1000/s", "openssl", float(m.group(1)) / 1000, others.cores())
        bench.note("ECDSA P-256 verify, one core, 1000/s", "openssl", float(m.group(2)) / 1000, others.cores())


def make_zone(names, path):
    """Which generator made it."""
    shared = os.path.join(harness.SHARED_DATA, "gen_zone.py")
    if os.path.exists(shared):
        harness.run([sys.executable, shared, "hosting", names, path, ZONE], check=True, timeout=600)
        return "the shared generator, hosting"
    hosting.write(names, path, ZONE)
    return "t/bench/hosting.py"


def measure(bench, tmp, path, make):
    """All about one signer: first signings each from nothing, then the rest with the last one."""
    left = bench.options.runs
    while left:
        left -= 1
        work = tempfile.mkdtemp(dir=tmp)
        rig = harness.Rig(work)
        try:
            primary = Primary(rig, path)
            daemon = make(rig, primary)
            if bench.first(daemon) > LONG:
                left = 0
            if left == 0:
                bench.repeat(bench.axfr, daemon)
                bench.repeat(bench.change, daemon, primary)
                bench.repeat(bench.restart, daemon)
                judge(bench, daemon)
        except (harness.Failure, OSError, subprocess.SubprocessError):
            for name, text in rig.logs():
                print("--- %s\n%s" % (name, text[-3000:]), file=sys.stderr)
            raise
        finally:
            problems = rig.close()
        if problems:
            raise harness.Failure("\n".join(problems))
        shutil.rmtree(work)


def judge(bench, daemon):
    """A fast wrong answer is none; beyond some size the judges take longer than the signers."""
    if bench.options.names <= 10000:
        path = harness.axfr_file(daemon.addr, ZONE, os.path.join(daemon.dir, "judged"))
        seal.verify_zone(path, ZONE)


# --- the table --------------------------------------------------------------------------------------------------


def first_line(argv):
    r = harness.run(argv)
    return (r.stdout + r.stderr).strip().splitlines()[0]


def conditions(options, generator):
    with open("/proc/cpuinfo") as f:
        model = re.search(r"model name\s*: (.*)", f.read())
    yield "%d names of %s, ECDSA P-256, NSEC3 without salt, file keys" % (options.names, generator)
    yield "%d processors, %s, load %s" % (os.cpu_count(), model.group(1) if model else "?", " ".join("%.2f" % v for v in os.getloadavg()))
    yield "; ".join((first_line([os.path.join(seal.build_dir(), "zoneseald"), "-V"]), first_line([servers.program("knotd"), "--version"]),
                     first_line(["openssl", "version"]), "Linux " + os.uname().release))
    yield "state on %s; medians of up to %d runs (one when it takes more than %d s)" % (
        harness.run(["stat", "-f", "-c", "%T", tempfile.gettempdir()]).stdout.strip(), options.runs, LONG)
    yield "the primary is NSD, changes come by AXFR; in brackets: processors that others kept busy meanwhile, median"


def cell(bench, measure, label):
    v, others = bench.value(measure, label), bench.others.get((measure, label))
    text = "-" if v is None else "%.*f" % (0 if v >= 1000 else 2 if v >= 0.1 else 3, v)
    return text + (" [%.1f]" % statistics.median(others) if others else "      ")


def ratio(bench, measure, label):
    ours, theirs = bench.value(measure, label), bench.value(measure, "knotd")
    return "%14.2f" % (ours / theirs) if ours is not None and theirs else "%14s" % "-"


def table(bench):
    labels = [label for label in bench.labels if label != "openssl"]
    ours = [label for label in labels if label != "knotd"]
    with_knotd = ours if len(ours) < len(labels) else []
    yield "%-36s" % "" + "".join("%24s" % label for label in labels) + "".join("%14s" % ("%d / knotd" % n) for n in range(1, len(with_knotd) + 1))
    for name in dict.fromkeys(m for m, label in bench.rows if label != "openssl"):
        yield ("%-36s" % name + "".join("%24s" % cell(bench, name, label) for label in labels) +
               "".join(ratio(bench, name, label) for label in with_knotd)).rstrip()
    yield ""
    yield from bound(bench, labels)


def bound(bench, labels):
    """What OpenSSL alone would need for the same signatures."""
    sign, verify = (bench.value("ECDSA P-256 %s, one core, 1000/s" % w, "openssl") for w in ("sign", "verify"))
    yield "openssl speed, one core: %.1fk sign/s, %.1fk verify/s [%.1f]" % (
        sign, verify, statistics.median(bench.others[("ECDSA P-256 sign, one core, 1000/s", "openssl")]))
    made = [bench.value("  signatures", label) for label in labels]
    n = next((v for v in made if v), None)
    if n:
        yield "OpenSSL's bound for %d signatures: %.2f CPU s to sign, %.2f to verify all" % (n, n / sign / 1e3, n / verify / 1e3)


def main():
    p = argparse.ArgumentParser(description="zoneseal beside knotd and OpenSSL")
    p.add_argument("--names", type=int, default=10000)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--limit", type=int, default=1800, help="seconds that a step may take")
    p.add_argument("--slice", action="store_true", help="2,000 names, once: that it works, not how fast")
    p.add_argument("--without-knotd", action="store_true")
    options = p.parse_args()
    if options.slice:
        options.names, options.runs = 2000, 1
    enter_namespace()
    bench = Bench(options)
    makers = [lambda rig, primary: Sealed(rig, primary.nsd, "zoneseal", "all"),
              lambda rig, primary: Sealed(rig, primary.nsd, "zoneseal, one in 100", {"one-in": "100"})]
    makers += [] if options.without_knotd else [Knotd]
    with tempfile.TemporaryDirectory(prefix="zoneseal-bench-") as tmp:
        path = os.path.join(tmp, "zone")
        generator = make_zone(options.names, path)
        head = list(conditions(options, generator))
        openssl(bench)
        for make in makers:
            measure(bench, tmp, path, make)
    print("\n".join(head), "", *table(bench), sep="\n")


if __name__ == "__main__":
    try:
        main()
    except harness.Failure as e:
        sys.exit("bench: %s" % e)
