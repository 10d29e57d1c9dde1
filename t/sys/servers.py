# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemons of others: NSD, Knot DNS and BIND, each as a primary or as a secondary, and Unbound as a validator. One
class each, with the same face: add zones, start(), serial(), change() (primaries), axfr(). All run in the foreground."""

import os
import shutil
import signal
import subprocess

import harness
from harness import PORT, Process, wait_for

SBIN = "/usr/sbin:/usr/bin:/sbin:/bin"


def program(name):
    path = shutil.which(name, path=SBIN)
    if not path:
        raise harness.Failure("%s is not installed; ./check installs what the tests need" % name)
    return path


class Server:
    """What the three name servers share. `zones` is name -> list of servers on the other side."""

    kind = ""

    def __init__(self, rig, role, tsig=None, listed=()):
        self.rig, self.role, self.tsig = rig, role, tsig
        self.name = rig.unique("%s-%s" % (self.kind, role))
        self.dir = rig.dir(self.name)
        self.addr = rig.address()
        self.zones, self.peers, self.process = {}, list(listed), None
        self.more_addresses = []  # NSD only
        rig.add(self)

    def zone_path(self, zone):
        clean = "".join(c if c.isalnum() or c in "-_." else "%%%02x" % ord(c) for c in zone)
        return os.path.join(self.dir, "z-%s" % (clean.strip(".") or "root"))

    def add_zone(self, zone, text=None):
        self.zones[zone] = self.zone_path(zone)
        if text is not None:
            self.write(zone, text)
        return self

    def write(self, zone, text):
        path = self.zones[zone]
        with open(path + ".new", "w") as f:
            f.write(text)
        os.replace(path + ".new", path)

    def change(self, zone, text):
        """New content at a primary: it reads the file again and sends NOTIFY."""
        self.write(zone, text)
        self.process.signal(signal.SIGHUP)

    def start(self):
        conf = os.path.join(self.dir, "conf")
        with open(conf, "w") as f:
            f.write(self.conf())
        self.process = Process(self.name, self.argv(conf), os.path.join(self.dir, "log"), env=self.env()).start()
        wait_for(self.answers, "%s to answer" % self.name, alive=[self.process])
        return self

    def answers(self):
        zone = next(iter(self.zones), ".")
        if self.role == "primary":
            return self.serial(zone) is not None
        return harness.ask(self.addr, zone, "SOA") is not None

    def env(self):
        return {}

    def serial(self, zone):
        return harness.serial_at(self.addr, zone)

    def wait_serial(self, zone, serial, timeout=None):
        """Until it serves this serial, or with a function, one that it says yes to."""
        def there():
            s = self.serial(zone)
            good = s is not None and (serial(s) if callable(serial) else s == serial)
            return (s, ) if good else None
        what = "a good serial" if callable(serial) else "serial %d" % serial
        return wait_for(there, "%s of %s at %s" % (what, zone, self.name), timeout, alive=[self.process])[0]

    def axfr(self, zone, path=None):
        path = path or os.path.join(self.dir, "axfr-%d" % len(os.listdir(self.dir)))
        return harness.axfr_file(self.addr, zone, path, self.tsig)

    def stop(self):
        if self.process:
            self.process.stop()

    def close(self):
        self.stop()
        return []


class Nsd(Server):
    kind = "nsd"

    def argv(self, conf):
        return [program("nsd"), "-d", "-c", conf]

    def conf(self):
        key = self.tsig.name if self.tsig else "NOKEY"
        out = ['server:', ' ip-address: %s@%d' % (self.addr, PORT), ' username: ""', ' chroot: ""', ' zonesdir: "%s"' % self.dir,
               ' database: ""', ' pidfile: "%s/pid"' % self.dir, ' xfrdfile: "%s/xfrd"' % self.dir, ' zonelistfile: "%s/zl"' % self.dir,
               ' xfrdir: "%s"' % self.dir, ' server-count: 1', ' xfrd-reload-timeout: 0', ' zonefiles-write: 0', ' verbosity: 2',
               ' zonefiles-check: yes', 'remote-control:', ' control-enable: no']
        if self.tsig:
            out += ['key:', ' name: "%s"' % key, ' algorithm: %s' % self.tsig.algorithm, ' secret: "%s"' % self.tsig.secret]
        out[1:1] = [' ip-address: %s@%d' % (a, PORT) for a in self.more_addresses]
        prefixes, own = ["127.0.0.0/8"] + ["fd00::/8"] * bool(self.more_addresses), [self.addr] + self.more_addresses
        for zone, path in self.zones.items():
            out += ['zone:', ' name: "%s"' % zone, ' zonefile: "%s"' % path, ' provide-xfr: 127.0.0.0/8 %s' % key]
            out += [' provide-xfr: %s %s' % (prefix, key) for prefix in prefixes[1:]]
            if self.tsig:  # the tests look at it without a key, too
                out.append(' provide-xfr: 127.0.0.0/8 NOKEY')
            for p in self.peers:
                at = "%s@%d" % (p.addr, PORT)
                if self.role == "primary":
                    out += [' notify: %s %s' % (at, key), ' notify-retry: 3']
                else:
                    out += [' allow-notify: %s %s' % (prefix, key) for prefix in prefixes]
                    out += [' request-xfr: %s %s' % (at, key), ' min-retry-time: 1']
                out += [' outgoing-interface: %s' % a for a in own]
        return "\n".join(out) + "\n"


class Knot(Server):
    kind = "knot"
    validate = False  # a secondary that checks each version before it takes it
    ixfr = False      # a primary that gives differences

    def argv(self, conf):
        return [program("knotd"), "-c", conf]

    def answers(self):
        return super().answers()

    def conf(self):
        out = ["server:", "  listen: %s@%d" % (self.addr, PORT), "  rundir: %s" % self.dir, "  udp-workers: 1", "  tcp-workers: 2",
               "  background-workers: 1", "database:", "  storage: %s" % self.dir, "  journal-db-max-size: 64M", "  kasp-db-max-size: 8M",
               "  timer-db-max-size: 8M", "log:",
               "  - target: stderr", "    any: info"]
        if self.tsig:
            out += ["key:", "  - id: %s" % self.tsig.name, "    algorithm: %s" % self.tsig.algorithm, "    secret: %s" % self.tsig.secret]
        if self.peers:
            out.append("remote:")
        for i, p in enumerate(self.peers):
            out += ["  - id: r%d" % i, "    address: %s@%d" % (p.addr, PORT), "    via: %s" % self.addr]
            out += ["    key: %s" % self.tsig.name] if self.tsig else []
        out += ["acl:", "  - id: x", "    address: 127.0.0.0/8", "    action: [transfer]"]
        out += ["  - id: n", "    address: 127.0.0.0/8", "    action: [notify, transfer]"]
        out += ["    key: %s" % self.tsig.name] if self.tsig else []
        out.append("zone:")
        for zone, path in self.zones.items():
            out += ['  - domain: "%s"' % zone.replace("\\", "\\\\"), '    file: "%s"' % path, "    acl: [x, n]", "    semantic-checks: off"]
            if not self.peers:
                continue
            ids = ", ".join("r%d" % i for i in range(len(self.peers)))
            if self.role == "primary":
                out += ["    notify: [%s]" % ids, "    zonefile-sync: -1"]
                out += (["    zonefile-load: difference-no-serial", "    journal-content: all"] if self.ixfr == "serial" else
                        ["    zonefile-load: difference", "    journal-content: changes"] if self.ixfr else
                        ["    zonefile-load: whole", "    journal-content: none"])
            else:
                out += ["    master: [%s]" % ids, "    zonefile-sync: -1", "    zonefile-load: none", "    retry-max-interval: 2"]
                out += ["    dnssec-validation: on"] if self.validate else []
        return "\n".join(out) + "\n"


class Bind(Server):
    kind = "bind"
    ixfr = False  # a primary that gives differences

    def argv(self, conf):
        return [program("named"), "-g", "-c", conf, "-n", "1"]

    def conf(self):
        key = self.tsig.name.rstrip(".") if self.tsig else None
        out = ["options { directory \"%s\"; listen-on port %d { %s; }; listen-on-v6 { none; }; pid-file none; recursion no;" %
               (self.dir, PORT, self.addr), "session-keyfile none; dnssec-validation no; notify explicit; notify-delay 0; startup-notify-rate 100;",
               "use-alt-transfer-source no; allow-transfer { 127.0.0.0/8; }; allow-query { any; }; notify-source %s; transfer-source %s; minimal-responses no;" %
               (self.addr, self.addr), "check-names primary ignore; check-names secondary ignore; check-integrity no; masterfile-format text;",
               "check-wildcard no; check-mx ignore; check-srv-cname ignore; max-journal-size 1m; min-retry-time 1; empty-zones-enable no;",
               "max-records-per-type 0; max-types-per-name 0;",
               "geoip-directory none; lock-file none; };", "controls { };"]
        if self.tsig:
            out.append('key "%s" { algorithm %s; secret "%s"; };' % (key, self.tsig.algorithm, self.tsig.secret))
        peers = " ".join("%s port %d%s;" % (p.addr, PORT, ' key "%s"' % key if key else "") for p in self.peers)
        for zone, path in self.zones.items():
            name = zone.replace("\\", "\\\\").replace('"', '\\"')
            if self.role == "primary":
                extra = "notify explicit; also-notify { %s };" % peers if peers else "notify no;"
                extra += " ixfr-from-differences %s;" % ("yes" if self.ixfr else "no")
                out.append('zone "%s" { type primary; file "%s"; %s };' % (name, path, extra))
            else:
                out.append('zone "%s" { type secondary; file "%s"; primaries { %s }; notify no; allow-notify { 127.0.0.0/8; }; };' %
                           (name, path, peers))
        return "\n".join(out).replace("geoip-directory none; ", "") + "\n"


KINDS = {"nsd": Nsd, "knot": Knot, "bind": Bind}


class Unbound:
    """A validator whose only trust anchors are given; each zone is asked at a given server, nothing else anywhere."""

    def __init__(self, rig, anchors, stubs):
        self.rig, self.name = rig, rig.unique("unbound")
        self.dir, self.addr = rig.dir(self.name), rig.address()
        self.process = None
        out = ["server:", " directory: \"%s\"" % self.dir, " interface: %s@%d" % (self.addr, PORT), " username: \"\"", " chroot: \"\"",
               " pidfile: \"\"", " use-syslog: no", " do-daemonize: no", " access-control: 127.0.0.0/8 allow", " do-not-query-localhost: no",
               " module-config: \"validator iterator\"", " num-threads: 1", " val-log-level: 2", " verbosity: 1", " do-ip6: no", " target-fetch-policy: \"0 0 0 0 0\"",
               " outgoing-interface: %s" % self.addr, " aggressive-nsec: no", " qname-minimisation: no", " trust-anchor-signaling: no"]
        out += [' trust-anchor: "%s"' % a for a in anchors]
        out += ["remote-control:", " control-enable: no"]
        for zone, server in stubs.items():
            out += ["stub-zone:", ' name: "%s"' % zone, " stub-addr: %s@%d" % (server.addr, PORT), " stub-prime: no"]
        self.conf_path = os.path.join(self.dir, "conf")
        with open(self.conf_path, "w") as f:
            f.write("\n".join(out) + "\n")
        rig.add(self)

    def start(self):
        self.process = Process(self.name, [program("unbound"), "-d", "-d", "-c", self.conf_path], os.path.join(self.dir, "log")).start()
        wait_for(lambda: harness.ask(self.addr, "version.server.", "TXT", tcp=False, timeout=1) is not None, "unbound to answer",
                 alive=[self.process])
        return self

    def ask(self, name, rdtype):
        """(rcode, ad, answer)"""
        import dns.flags
        import dns.message
        import dns.query
        import dns.rcode
        q = dns.message.make_query(name, rdtype, want_dnssec=True)
        r = dns.query.tcp(q, self.addr, timeout=20, port=PORT)
        return dns.rcode.to_text(r.rcode()), bool(r.flags & dns.flags.AD), r

    def close(self):
        if self.process:
            self.process.stop()
        return []


class SoftHsm:
    """A token of its own in a directory of its own."""

    module = "/usr/lib/softhsm/libsofthsm2.so"
    pin = "24681357"

    def __init__(self, rig, label="zoneseal"):
        self.rig, self.label = rig, label
        self.dir = rig.dir(rig.unique("token"))
        self.conf = os.path.join(self.dir, "softhsm2.conf")
        self.pin_file = os.path.join(self.dir, "pin")
        self.tokens = os.path.join(self.dir, "tokens")
        os.mkdir(self.tokens)
        with open(self.conf, "w") as f:
            f.write("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n" % self.tokens)
        self.write_pin(self.pin)
        subprocess.run([program("softhsm2-util"), "--init-token", "--free", "--label", label, "--so-pin", "12345678", "--pin", self.pin],
                       env=dict(os.environ, SOFTHSM2_CONF=self.conf), check=True, capture_output=True)

    def write_pin(self, pin):
        with open(os.open(self.pin_file + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(pin + "\n")
        os.replace(self.pin_file + ".new", self.pin_file)

    def keystore(self, name="hsm", sessions=4, module=None, env=None):
        return {"name": name, "backend": "pkcs11", "module": module or self.module, "uri": "pkcs11:token=%s" % self.label,
                "pin-file": self.pin_file, "sessions": str(sessions),
                "environment": dict({"SOFTHSM2_CONF": self.conf}, **(env or {}))}

    def hide(self):
        """The token is gone: an HSM that is switched off."""
        os.rename(self.tokens, self.tokens + ".away")
        os.mkdir(self.tokens)

    def show(self):
        os.rmdir(self.tokens)
        os.rename(self.tokens + ".away", self.tokens)
