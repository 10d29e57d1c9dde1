# SPDX-License-Identifier: GPL-3.0-or-later
"""zoneseald and zonesealctl as the tests use them: a config made of Python values (JSON is YAML in flow style), start
until ready, the verbs, and the three judges of a signed zone."""

import json
import os
import re
import signal
import subprocess

import harness
from harness import PORT, Failure, Process, run, wait_for

STATS = 9353


def build_dir():
    named = os.environ.get("ZS_BUILD")
    if named:
        return named
    for d in ("build-check", "build"):
        if os.path.exists(os.path.join(harness.ROOT, d, "zoneseald")):
            return os.path.join(harness.ROOT, d)
    raise Failure("zoneseald is not built: name the build directory in ZS_BUILD")


def documents(text):
    """JSON values one after the other."""
    decoder, at, out = json.JSONDecoder(), 0, []
    while at < len(text):
        if text[at].isspace():
            at += 1
            continue
        value, at = decoder.raw_decode(text, at)
        out.append(value)
    return out


def merged(docs):
    """Several answers of one verb as one: lists join, texts join, the rest is the last one's."""
    out = {}
    for d in docs:
        d = d.get("data", d) if isinstance(d.get("data"), dict) else d
        for k, v in d.items():
            if isinstance(v, list) and isinstance(out.get(k), list):
                out[k] = out[k] + v
            elif k == "text" and isinstance(out.get(k), str):
                out[k] += v
            else:
                out[k] = v
    return out


class Zoneseal:
    """One daemon. primary() and secondary() make a remote of a server; zone() names the zone's sides and policy."""

    def __init__(self, rig, **server):
        self.rig, self.name = rig, rig.unique("zoneseal")
        self.dir, self.addr = rig.dir(self.name), rig.address()
        self.process, self.killed, self.peer = None, False, None  # peer: an address that may transfer
        self.pages = None  # the bound of a version, where a test has a lower one than the daemon's
        self.socket = os.path.join(self.dir, "ctl")
        self.state_dir = os.path.join(self.dir, "state")
        self.conf_path = os.path.join(self.dir, "zoneseal.yaml")
        self.conf = {"version": "1",
                     "server": dict({"listen": ["%s@%d" % (self.addr, PORT)], "state-dir": self.state_dir, "control": self.socket,
                                     "control-group": "root", "user": "root", "vault-user": "root", "min-free": "16M"}, **server),
                     "stats": {"listen": ["%s@%d" % (self.addr, STATS)]}, "log": {"target": "stderr", "level": "debug"},
                     "tsig": [], "keystores": [], "policies": [], "remotes": [], "zones": []}
        rig.add(self)

    # --- config ---------------------------------------------------------------------------------------------------

    def remote(self, server, **more):
        """The name of the remote for this server, made at first use. It is asked from our own address."""
        entry = {"name": server.name, "address": ["%s@%d" % (server.addr, PORT)], "source": [self.addr]}
        if server.tsig:
            self.tsig(server.tsig)
            entry["tsig"] = server.tsig.name
        entry.update(more)
        if all(r["name"] != server.name for r in self.conf["remotes"]):
            self.conf["remotes"].append(entry)
        return server.name

    def tsig(self, key):
        if any(t["name"] == key.name for t in self.conf["tsig"]):
            return
        path = os.path.join(self.dir, "key-%d" % len(self.conf["tsig"]))
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
            f.write(key.secret + "\n")
        self.conf["tsig"].append({"name": key.name, "algorithm": key.algorithm, "secret-file": path})

    def keystore(self, entry):
        self.conf["keystores"].append(entry)
        return entry["name"]

    def policy(self, name, **options):
        self.conf["policies"].append(dict({"name": name}, **{k.replace("_", "-"): v for k, v in options.items()}))
        return name

    def zone(self, name, primaries, secondaries=(), policy="default", **more):
        z = {"name": name, "upstream": [self.remote(p) for p in primaries],
             "downstream": [self.remote(s) for s in secondaries], "policy": policy}
        z.update({k.replace("_", "-"): v for k, v in more.items()})
        self.conf["zones"].append(z)
        return self

    def write_conf(self):
        with open(self.conf_path, "w") as f:
            json.dump({k: v for k, v in self.conf.items() if v}, f, indent=1)

    # --- life -----------------------------------------------------------------------------------------------------

    def start(self, wait=True, env=None, program="zoneseald"):
        self.write_conf()
        if self.pages:
            program, env = "zoneseald-clk", dict(env or {}, ZONESEAL_TEST_PAGES=str(self.pages))
        argv = [os.path.join(build_dir(), program), "-c", self.conf_path, "-f"]
        self.process = Process(self.name, argv, os.path.join(self.dir, "log"), env=env).start()
        self.killed = False
        if wait:
            wait_for(lambda: self.ctl("status").returncode == 0, "zoneseald to be ready", alive=[self.process])
        return self

    def stop(self):
        """SIGTERM ends it within 5 s, with status 0."""
        if not self.process or self.killed:
            return
        status = self.process.stop(timeout=20)
        if status != 0:
            raise Failure("%s ended with %s" % (self.name, status))

    def kill(self):
        """As a crash: the parent goes at once, and the others with it."""
        children = self.children()
        self.process.kill()
        self.killed = True
        wait_for(lambda: not any(_alive(pid) for pid in children), "its children to go")

    def children(self):
        with open("/proc/%d/task/%d/children" % (self.process.pid, self.process.pid)) as f:
            return [int(p) for p in f.read().split()]

    def child(self, role):
        """Process ids of a role: engine or vault."""
        out = []
        for pid in self.children():
            with open("/proc/%d/cmdline" % pid, "rb") as f:
                if role.encode() in f.read():
                    out.append(pid)
        return out

    def reload(self):
        self.write_conf()
        self.process.signal(signal.SIGHUP)

    def log(self):
        return Process(self.name, [], os.path.join(self.dir, "log")).text()

    def close(self):
        self.stop()
        return sanitizer_reports(self.log())

    # --- verbs ----------------------------------------------------------------------------------------------------

    def ctl(self, *args, timeout=60):
        return run([os.path.join(build_dir(), "zonesealctl"), "-s", self.socket, *args], timeout=timeout)

    def json(self, *args):
        r = self.ctl("-j", *args)
        try:
            return merged(documents(r.stdout))
        except ValueError:
            raise Failure("no JSON of %s (exit %d): %s %s" % (args, r.returncode, r.stdout[-300:], r.stderr[-600:])) from None

    def status(self, zone):
        zones = self.json("zone", "status", "--", zone).get("zones") or [{}]
        return zones[0]

    def alarms(self, zone):
        return {a["alarm"]: a["reason"] for a in self.status(zone).get("alarms", [])}

    def wait_zone(self, zone, condition, what, timeout=None):
        last = {}

        def there():
            last.clear()
            last.update(self.status(zone))
            return condition(last)
        try:
            return wait_for(there, "%s of %s" % (what, zone), timeout, alive=[self.process])
        except Failure as e:
            raise Failure("%s; last status: %s" % (e, json.dumps(last)[:3000])) from None

    def wait_published(self, zone, upstream=None, timeout=None):
        """Until a version is served (of this upstream serial); its signed serial."""
        def good(s):
            return s.get("served") and not s.get("busy") and (upstream is None or s.get("upstream_serial") == upstream)
        self.wait_zone(zone, good, "a version of upstream's %s" % upstream, timeout)
        return self.status(zone)["signed_serial"]

    def wait_alarm(self, zone, alarm, pattern=".", timeout=None):
        self.wait_zone(zone, lambda s: any(a["alarm"] == alarm and re.search(pattern, a["reason"]) for a in s.get("alarms", [])),
                       "alarm %s (%s)" % (alarm, pattern), timeout)
        return self.alarms(zone)[alarm]

    def ds(self, zone):
        """Trust anchors: the DS records of the zone as text."""
        zones = self.json("zone", "ds", zone).get("zones") or [{}]
        return [d["record"] for d in zones[0].get("ds", [])]

    def anchors(self, zone):
        return [d for d in self.ds(zone) if d.split()[-2] == "2" or " 2 " in d]

    def export(self, zone, path=None):
        path = path or os.path.join(self.dir, "export-%d" % len(os.listdir(self.dir)))
        r = self.ctl("zone", "export", zone, timeout=300)
        if r.returncode != 0:
            raise Failure("export of %s: %s" % (zone, r.stderr[-600:]))
        with open(path, "w") as f:
            f.write(r.stdout)
        return path

    def serial(self, zone):
        return harness.serial_at(self.addr, zone)

    def axfr(self, zone, path=None, tsig=None, source=None):
        path = path or os.path.join(self.dir, "axfr-%d" % len(os.listdir(self.dir)))
        return harness.axfr_file(self.addr, zone, path, tsig, source=source or self.peer)

    def http(self, path, headers=None):
        """(status, text, content type)"""
        import urllib.error
        import urllib.request
        req = urllib.request.Request("http://%s:%d%s" % (self.addr, STATS, path), headers=headers or {})
        try:
            with urllib.request.urlopen(req, timeout=10) as r:
                return r.status, r.read().decode(), r.headers.get("Content-Type", "")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(), e.headers.get("Content-Type", "")

    def metric(self, name, **labels):
        """The sum of the samples of this name with these labels, None when there is none."""
        total = None
        for line in self.http("/metrics")[1].splitlines():
            m = re.match(r"([a-z_:0-9]+)(?:\{(.*)\})? (\S+)", line)
            if m and m.group(1) == name and all('%s="%s"' % kv in (m.group(2) or "") for kv in labels.items()):
                total = (total or 0) + float(m.group(3))
        return total


def _alive(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def sanitizer_reports(text):
    """Whatever ASan, UBSan or TSan said is a failure of the test in which they said it."""
    marks = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:", "WARNING: ThreadSanitizer")
    lines = text.splitlines()
    hits = [i for i, line in enumerate(lines) if any(m in line for m in marks)]
    return ["\n".join(lines[i:i + 40]) for i in hits[:2]]


def sign_with_bind(directory, zone, text):
    """The path of the zone as BIND's tools sign it, with keys of their own, a record a line."""
    with open(directory + "/plain", "w") as f:
        f.write(text)
    for flags in (["-f", "KSK"], []):
        subprocess.run(["dnssec-keygen", "-q", "-a", "13", *flags, "-K", directory, zone], check=True, capture_output=True)
    subprocess.run(["dnssec-signzone", "-S", "-K", directory, "-d", directory, "-O", "full", "-o", zone, "-f", directory + "/signed",
                    "-s", "now-1h", "-e", "now+14d", directory + "/plain"], check=True, capture_output=True)
    return directory + "/signed"


# --- judges -----------------------------------------------------------------------------------------------------

# What each judge cannot see stands in the table of tests below; together they see all but: a wildcard RRSIG whose Labels
# counts `*`, an algorithm that signs nothing, TTLs of NSEC and RRSIG. The gate's own tests and live validators see those.


def verify_zone(path, zone, csk=False, skip=()):
    """Each of dnssec-verify, kzonecheck and ldns-verify-zone must like the file. skip: those whose own limits rule them
    out for this zone (the caller says why)."""
    judges = {
        "dnssec-verify": ["dnssec-verify", "-q", *(["-z"] if csk else []), "-o", zone, path],
        "kzonecheck": ["kzonecheck", "-o", zone, "-d", "on", path],
        "ldns-verify-zone": ["ldns-verify-zone", "-V2", path],
    }
    for name, argv in judges.items():
        if name in skip:
            continue
        r = run(argv, timeout=300)
        if r.returncode != 0:
            raise Failure("%s refuses %s: %s" % (name, path, (r.stdout + r.stderr)[-1500:]))


def verify_rrset(path, zone, owner, rtype):
    """One RRset by dnspython, which has no bound on its size."""
    import dns.dnssec
    import dns.name
    import dns.rrset
    got = {"DNSKEY": [], rtype: [], "RRSIG": []}
    for line in open(path):
        o, ttl, _, t, rdata = line.split(None, 4)
        if (t == "DNSKEY" and o == zone) or (t == rtype and o == owner) or (t == "RRSIG" and o == owner and rdata.split()[0] == rtype):
            got[t].append(rdata.strip())
    name = dns.name.from_text(owner)
    keys = {dns.name.from_text(zone): dns.rrset.from_text_list(zone, 300, "IN", "DNSKEY", got["DNSKEY"])}
    data, sigs = (dns.rrset.from_text_list(name, 300, "IN", t, got[t]) for t in (rtype, "RRSIG"))
    dns.dnssec.validate(data, sigs, keys)
