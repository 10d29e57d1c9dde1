# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes, addresses and questions for the system tests. A Rig belongs to one test: it hands out addresses of
127.0.0.0/8 (each daemon has its own, so that nothing depends on the order of tests), starts daemons and ends them by
their process id. Nothing here waits for a fixed time: wait_for() waits for a condition, bounded."""

import atexit
import base64
import ctypes
import hashlib
import os
import re
import signal
import subprocess
import threading
import time

import dns.flags
import dns.message
import dns.name
import dns.query
import dns.rcode
import dns.rdatatype
import dns.tsigkeyring

PORT = 5300
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SHARED_DATA = os.path.join(ROOT, os.pardir, "shared", "data")
OWN_DATA = os.path.join(ROOT, "t", "data")
WAIT = float(os.environ.get("ZS_WAIT", "40"))  # bound of every wait; a slow machine may raise it
LOG_TAIL = 12000
_tick = threading.Event()
_libc = ctypes.CDLL(None, use_errno=True)
_worker = int(re.sub(r"\D", "", os.environ.get("PYTEST_XDIST_WORKER", "0")) or "0")
_address = [0]


class Failure(AssertionError):
    pass


def wait_for(condition, what, timeout=None, alive=()):
    """The first true value of condition(). A process of `alive` that ends meanwhile ends the wait at once."""
    end = time.monotonic() + (timeout or WAIT)
    while True:
        value = condition()
        if value:
            return value
        for p in alive:
            if p.poll() is not None:
                raise Failure("%s ended (%s) while waiting for %s" % (p.name, p.poll(), what))
        if time.monotonic() > end:
            raise Failure("waited in vain for %s" % what)
        _tick.wait(0.05)


def run(argv, timeout=120, **kw):
    kw.setdefault("capture_output", True)
    kw.setdefault("text", True)
    return subprocess.run([str(a) for a in argv], timeout=timeout, errors="replace" if kw["text"] else None, **kw)


def _die_with_parent():
    _libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: nothing outlives a killed test run


class Process:
    """One daemon in the foreground, its output in a file."""

    def __init__(self, name, argv, log, env=None):
        self.name, self.log = name, log
        self.argv = [str(a) for a in argv]
        self.env = dict(os.environ, **(env or {}))
        self._p = None

    def start(self):
        with open(self.log, "ab") as out:
            self._p = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
                                       env=self.env, preexec_fn=_die_with_parent)
        atexit.register(self.kill)
        return self

    @property
    def pid(self):
        return self._p.pid

    def poll(self):
        return self._p.poll() if self._p else -1

    def signal(self, number):
        if self._p and self._p.poll() is None:
            self._p.send_signal(number)

    def kill(self):
        if self._p and self._p.poll() is None:
            self._p.kill()
            self._p.wait()

    def stop(self, timeout=15):
        """Exit status. A process that does not end in time is killed: that is a failure."""
        if not self._p or self._p.poll() is not None:
            return self.poll()
        self.signal(signal.SIGTERM)
        try:
            return self._p.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Failure("%s did not end %d s after SIGTERM" % (self.name, timeout)) from None

    def text(self):
        try:
            with open(self.log, errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""


class Tsig:
    """A key that both sides know."""

    def __init__(self, name="xfr.example.", algorithm="hmac-sha256"):
        self.name, self.algorithm = name, algorithm
        self.secret = base64.b64encode(hashlib.sha256(name.encode()).digest()).decode()

    def keyring(self):
        return dns.tsigkeyring.from_text({self.name: (self.algorithm, self.secret)})

    def dig(self):
        return ["-y", "%s:%s:%s" % (self.algorithm, self.name, self.secret)]


def private_network():
    """No way out of here, whatever a test does: nothing runs where there is more than loopback."""
    links = run(["ip", "-o", "link"], check=True).stdout.splitlines()
    return not any(": lo:" not in line and "UP" in line.split("<")[1].split(">")[0].split(",") for line in links)


class Rig:
    def __init__(self, tmp):
        if not private_network():
            raise Failure("not in a private network namespace")
        self.tmp = str(tmp)
        self.daemons = []
        self._names = set()

    def address(self):
        _address[0] += 1
        n = _address[0]
        addr = "127.%d.%d.%d" % (20 + _worker, n // 250, n % 250 + 1)
        # BIND listens on the addresses that an interface has, not on all that loopback takes.
        subprocess.run(["ip", "addr", "add", addr + "/32", "dev", "lo"], check=True)
        return addr

    def address6(self):
        _address[0] += 1
        addr = "fd00:5ea1::%x:%x" % (_worker + 1, _address[0])
        subprocess.run(["ip", "-6", "addr", "add", addr + "/128", "dev", "lo", "nodad"], check=True)
        return addr

    def dir(self, name):
        path = os.path.join(self.tmp, name)
        os.makedirs(path)
        return path

    def add(self, daemon):
        self.daemons.append(daemon)
        return daemon

    def unique(self, name):
        n, base = 1, name
        while name in self._names:
            n += 1
            name = "%s%d" % (base, n)
        self._names.add(name)
        return name

    def close(self):
        problems = []
        for d in reversed(self.daemons):
            try:
                problems += d.close() or []
            except Failure as e:
                problems.append(str(e))
        return problems

    def logs(self):
        for d in self.daemons:
            text = d.process.text() if d.process else ""
            text = "\n".join(line for line in text.splitlines() if " control: " not in line)
            yield d.name, text[-LOG_TAIL:]


# --- questions --------------------------------------------------------------------------------------------------


def question(name, rdtype, dnssec=True, tsig=None):
    q = dns.message.make_query(name, rdtype, want_dnssec=dnssec, use_edns=0 if dnssec else -1)
    q.flags &= ~dns.flags.RD
    if tsig:
        q.use_tsig(tsig.keyring(), keyname=tsig.name, algorithm=tsig.algorithm)
    return q


def ask(addr, name, rdtype="SOA", tcp=True, dnssec=True, tsig=None, timeout=5, port=PORT, source=None):
    """The answer, or None when there is none (yet)."""
    q = question(name, rdtype, dnssec, tsig)
    try:
        send = dns.query.tcp if tcp else dns.query.udp
        return send(q, addr, timeout=timeout, port=port, source=source)
    except (OSError, EOFError, dns.exception.Timeout):
        return None


def serial_at(addr, zone, tsig=None, port=PORT):
    """The serial that a server has for the zone, None when it has none."""
    r = ask(addr, zone, "SOA", tsig=tsig, port=port)
    if r is None or r.rcode() != dns.rcode.NOERROR:
        return None
    for rrset in r.answer:
        if rrset.rdtype == dns.rdatatype.SOA and rrset.name == dns.name.from_text(zone):
            return rrset[0].serial
    return None


def has(answer, rdtype, section="answer"):
    t = dns.rdatatype.from_text(rdtype)
    return any(s.rdtype == t for s in getattr(answer, section))


def axfr_lines(addr, zone, port, source):
    out, first = [], None
    for message in dns.query.xfr(addr, zone, port=port, source=source, relativize=False, timeout=60):
        for rrset in message.answer:
            for rdata in rrset:
                line = "%s %d IN %s %s" % (rrset.name, rrset.ttl, dns.rdatatype.to_text(rrset.rdtype), rdata.to_text())
                if line != first:
                    out.append(line)
                first = first or line
    return out


def axfr_file(addr, zone, path, tsig=None, port=PORT, source=None):
    """The zone as the server transfers it, as a master file with one SOA."""
    argv = ["dig", "@" + addr, "-p", str(port), "+onesoa", "+noall", "+answer", "+nosplit", "+nocookie", "+time=20", "+tries=1"]
    argv += (["-b", source] if source else []) + (tsig.dig() if tsig else []) + ["-t", "AXFR", "-q", zone]
    r = run(argv, timeout=300)
    lines = [line for line in r.stdout.splitlines() if line and not line.startswith(";")]
    if "Got bad packet" in r.stdout:
        lines = axfr_lines(addr, zone, port, source)  # dig itself refuses what it finds
    if r.returncode != 0 or not lines or "Transfer failed" in r.stdout:
        raise Failure("no transfer of %s from %s: %s" % (zone, addr, (r.stdout + r.stderr)[-600:]))
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")
    return path
