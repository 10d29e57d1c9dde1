# SPDX-License-Identifier: GPL-3.0-or-later
"""The daemon of the crash campaign and its world: a primary and a secondary on one loop, a clock that runs ahead while
something is waited for, the page of the numbered calls (crashpage.h), and the oracle: what went over the wire stays true
after any crash. One World belongs to one process and lives for all of its points."""

import ctypes
import errno
import glob
import json
import mmap
import os
import re
import select
import shutil
import signal
import socket
import struct
import subprocess
import time

import crash_zone
from crash_zone import Version, Wrong

PORT = 5300
PATIENCE = float(os.environ.get("CRASH_PATIENCE", "60"))  # seconds of ours
DAY = 86400
ANSWER_S = 20  # of the daemon's clock, for what a client asks
HURRY, HURRY_MORE, HURRY_MAX = 0.25, 1.3, 4.0  # seconds by which the clock jumps while nothing happens
OFF, COUNT, BEFORE, AFTER, HALF, FAIL, TRACE, FAIL_FROM = range(8)
CLASSES = ("none", "create", "write", "sync", "rename", "unlink", "truncate", "mkdir", "frame", "network")
SYNC, FRAME, NETWORK = 3, 8, 9
MAGIC = 0x63726173
HEAD = struct.Struct("=IIIiqqII256sII512s512s512s")
EVENTS = 65536
PAGE_SIZE = HEAD.size + EVENTS + 16 + 4096 * 24
SOA_TYPE, DNSKEY_TYPE, AXFR, IXFR = 6, 48, 252, 251
_libc = ctypes.CDLL(None, use_errno=True)


class Died(Exception):
    """The daemon, or its parent process, is gone."""


class Late(Exception):
    """What was waited for did not come."""


def subreaper():
    _libc.prctl(36, 1, 0, 0, 0)  # orphans of the daemon come to us, so that their end can be waited for


class Page:
    def __init__(self, path):
        self.path = path
        with open(path, "wb") as f:
            f.truncate(PAGE_SIZE)
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), PAGE_SIZE)

    def arm(self, mode, root, root2="", at=0, group=1, err=0, trace="", map_shift=0):
        self.map[:] = bytes(PAGE_SIZE)
        self.map[:HEAD.size] = HEAD.pack(MAGIC, mode, group, err, at, 0, 0, 0, b"", 1, map_shift, root.encode(), root2.encode(),
                                         trace.encode())

    def mode(self, mode):
        self.map[4:8] = struct.pack("=I", mode)

    def is_failing(self):
        return self.map[4:8] == struct.pack("=I", FAIL_FROM)

    def aim(self, mode, at):
        """From now on: the at-th call from here."""
        self.map[16:24] = struct.pack("=q", self.count() + at)
        self.mode(mode)

    def count(self):
        return struct.unpack_from("=q", self.map, 24)[0]

    def hit(self):
        """(class, process, what) of the call that was hit, or None."""
        cls, pid = struct.unpack_from("=II", self.map, 32)
        return (CLASSES[cls], pid, self.map[40:296].split(b"\0")[0].decode(errors="replace")) if cls else None

    def classes(self, upto):
        return list(self.map[HEAD.size + 1:HEAD.size + 1 + upto])


class Clock:
    def __init__(self, path, wall):
        with open(path, "wb") as f:
            f.write(bytes(16))
        with open(path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)
        self.path, self.then = path, time.monotonic()
        self.set(wall)

    def set(self, wall):
        self.us, self.offset = 1000 * 1000000, wall
        self._write()

    def _write(self):
        self.map[0:16] = struct.pack("=qq", self.wall(), self.us)

    def wall(self):
        return self.offset + self.us // 1000000

    def jump(self, seconds):
        self.us += int(seconds * 1000000)
        self._write()

    def tick(self):
        now = time.monotonic()
        self.us += int(min(now - self.then, 0.2) * 1000000)
        self.then = now
        self._write()


class Oracle:
    """What the world has seen of one zone."""

    def __init__(self):
        self.wire, self.content, self.keys = 0, {}, None
        self.signed = None  # the first serial with keys

    def copy(self):
        o = Oracle()
        o.wire, o.content, o.keys, o.signed = self.wire, dict(self.content), self.keys, self.signed
        return o

    def serial(self, serial):
        if serial > self.wire:
            self.wire = serial

    def version(self, v):
        self.serial(v.serial)
        if self.content.setdefault(v.serial, v.digest) != v.digest:
            raise Wrong("other content under serial %d" % v.serial)
        if self.keys and v.dnskeys() != self.keys:  # none: it was not signed yet
            raise Wrong("other keys than published before")
        self.keys = v.dnskeys()
        if self.keys and self.signed is None:
            self.signed = v.serial


class Zone:
    """One zone between primary and secondary."""

    def __init__(self, name, make=crash_zone.content):
        self.name, self.make = name, make
        self.upstream, self.oracle = 0, Oracle()
        self.stored = None     # Version that the secondary has
        self.notified, self.reply = False, None
        self.ixfr = False      # the primary can
        self._encoded = {}

    def encoded(self, serial):
        if serial not in self._encoded:
            self._encoded[serial] = crash_zone.encode(self.make(self.name, serial))
        return self._encoded[serial]


class World:
    def __init__(self, n, top, program):
        self.dir, self.program = os.path.join(top, "w%d" % n), program
        os.makedirs(self.dir)
        self.addr, self.primary, self.secondary = ("127.60.%d.%d" % (n + 1, i) for i in (1, 2, 3))
        self.root, self.token = os.path.join(self.dir, "r"), os.path.join(self.dir, "token")
        self.token_files = {}  # path -> content
        self.page = Page(os.path.join(self.dir, "page"))
        self.clock = Clock(os.path.join(self.dir, "clock"), 0)
        self.conf_path, self.log_path = os.path.join(self.dir, "conf"), os.path.join(self.dir, "log")
        self.zones, self.proc, self.upstream_down = {}, None, False
        self._next_poll, self.starts, self.last_hit = 0, 0, None
        self.deadline = None        # of the daemon's clock: until() gives up
        self._forget()
        self._sockets()

    def _forget(self):
        self.trace = None
        self.acked, self.acks = set(), []  # orders that were answered; with the length of the trace at that time
        self.marks = {}                    # what a scenario wants to remember of a point

    # --- the network ----------------------------------------------------------------------------------------------

    def _sockets(self):
        self.poller, self.handlers, self.buffers = select.epoll(), {}, {}
        for addr, handle in ((self.primary, self._ask_primary), (self.secondary, self._ask_secondary)):
            u = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            u.bind((addr, PORT))
            t = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            t.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            t.bind((addr, PORT))
            t.listen(64)
            self._watch(u, lambda s, h=handle: self._datagram(s, h))
            self._watch(t, lambda s, h=handle: self._accept(s, h))
        self.client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.client.bind((self.secondary, 0))
        self._watch(self.client, self._soa_answer)

    def _watch(self, s, handler):
        s.setblocking(False)
        self.handlers[s.fileno()] = (s, handler)
        self.poller.register(s.fileno(), select.EPOLLIN)

    def _drop(self, s):
        fd = s.fileno()
        self.poller.unregister(fd)
        del self.handlers[fd]
        self.buffers.pop(fd, None)
        s.close()

    def _datagram(self, s, handle):
        try:
            query, peer = s.recvfrom(4096)
        except BlockingIOError:
            return
        reply = handle(query, False)
        if reply:
            s.sendto(reply, peer)

    def _accept(self, s, handle):
        try:
            c, _ = s.accept()
        except BlockingIOError:
            return
        self._watch(c, lambda c, h=handle: self._stream(c, h))
        self.buffers[c.fileno()] = b""

    def _stream(self, c, handle):
        try:
            data = c.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._drop(c)
            return
        buf = self.buffers[c.fileno()] + data
        while len(buf) >= 2 and len(buf) >= 2 + (buf[0] << 8 | buf[1]):
            n = 2 + (buf[0] << 8 | buf[1])
            reply, buf = handle(buf[2:n], True), buf[n:]
            try:
                c.setblocking(True)
                c.settimeout(2)
                c.sendall(reply)
                c.setblocking(False)
            except OSError:
                self._drop(c)
                return
        self.buffers[c.fileno()] = buf

    def _zone_of(self, query):
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode().lower())
            at += 1 + query[at]
        return self.zones.get(".".join(labels) + "."), query[at + 1] << 8 | query[at + 2]

    def _ask_primary(self, query, tcp):
        zone, qtype = self._zone_of(query)
        if query[2] & 0x80:
            return None  # an answer to our NOTIFY
        if not zone or not zone.upstream or self.upstream_down:
            reply = crash_zone.answer(query, [], 2)
        elif qtype in (AXFR, IXFR) and tcp:
            rrs, old = zone.encoded(zone.upstream), crash_zone.serial_asked(query) if zone.ixfr and qtype == IXFR else None
            if old is not None and 0 < old < zone.upstream:
                return crash_zone.stream(query, crash_zone.difference(zone.encoded(old), rrs))
            return crash_zone.stream(query, rrs + rrs[:1])
        else:
            reply = crash_zone.answer(query, zone.encoded(zone.upstream)[:1] if qtype == SOA_TYPE else [])
        return struct.pack(">H", len(reply)) + reply if tcp else reply

    def _ask_secondary(self, query, tcp):
        zone, qtype = self._zone_of(query)
        if (query[2] >> 3) & 15 == 4 and zone:  # NOTIFY: its SOA is an answer on the wire, too
            self._seen_soa(zone, query)
            zone.notified = True
            reply = crash_zone.answer(query, [])
        elif zone and zone.stored and qtype in (SOA_TYPE, DNSKEY_TYPE):
            reply = crash_zone.answer(query, zone.stored.rrset_octets(qtype))
        else:
            reply = crash_zone.answer(query, [], 5)
        return struct.pack(">H", len(reply)) + reply if tcp else reply

    def _seen_soa(self, zone, message):
        """Notes the serial of a SOA in the answer section; None without one."""
        serial = soa_serial(message)
        if serial is not None:
            zone.oracle.serial(serial)
        return serial

    def _soa_answer(self, s):
        try:
            message, _ = s.recvfrom(4096)
        except BlockingIOError:
            return
        zone, _ = self._zone_of(message)
        if zone and message[:2] == struct.pack(">H", self.starts & 0xffff):  # of the daemon that runs now
            zone.reply = (message[3] & 15, self._seen_soa(zone, message))

    def poll(self, zone):
        """Asks the daemon for the SOA; the answer comes in zone.reply."""
        try:
            self.client.sendto(question(zone.name, SOA_TYPE, self.starts & 0xffff), (self.addr, PORT))
        except OSError:
            pass

    def notify(self, zone):
        """The primary tells of a change."""
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        s.bind((self.primary, 0))
        try:
            s.sendto(question(zone.name, SOA_TYPE, 2, 0x2400), (self.addr, PORT))
        except OSError:
            pass
        s.close()

    def fetch(self, zone):
        """AXFR as the secondary does it. None when the daemon does not give one now."""
        messages = self._transfer(question(zone.name, AXFR, 3))
        if messages is None:
            return None
        v, old = Version(messages), zone.stored
        zone.oracle.version(v)
        zone.stored = v
        if old is not None and old.serial != v.serial:
            messages = self._transfer(question(zone.name, IXFR, 4, soa=old.rrset_octets(SOA_TYPE)[0]))
            if messages:
                v.check_ixfr(messages, old)
        return v

    def _transfer(self, query):
        """The messages of an answer, None when it fails."""
        messages, buf, whole = [], bytearray(), [False]

        def take(data):
            buf.extend(data)
            while len(buf) >= 2 and len(buf) >= 2 + (buf[0] << 8 | buf[1]):
                m = bytes(buf[2:2 + (buf[0] << 8 | buf[1])])
                del buf[:2 + len(m)]
                if len(m) < 12 or m[3] & 15:
                    return True
                messages.append(m)
                # the last record is the SOA that was the first; an IXFR may have nothing to tell
                whole[0] = count_soas(messages) == 2 or (query[9] and len(messages) == 1 and len(list(answers(m))) == 1)
                if whole[0]:
                    return True
            return False
        self._exchange(socket.AF_INET, (self.addr, PORT), struct.pack(">H", len(query)) + query, take, (self.secondary, 0))
        return messages if whole[0] else None

    def _exchange(self, family, to, request, take, source=None):
        """One request on a connection of its own, until take() has enough of what comes, or the other side closes."""
        s, over = socket.socket(family, socket.SOCK_STREAM), []
        try:
            if source:
                s.bind(source)
            s.connect(to)
            s.sendall(request)
        except OSError:
            s.close()
            return

        def readable(c):
            try:
                data = c.recv(65536)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data or take(data):
                over.append(True)
        self._watch(s, readable)
        try:
            self.wait(lambda: over, ANSWER_S)
        finally:
            self._drop(s)

    def order(self, verb, key=None, **args):
        """What an operator says at the control socket: (exit or None, error code, data)."""
        buf, out = bytearray(), [None, None, {}]

        def take(data):
            buf.extend(data)
            while len(buf) >= 4 and len(buf) >= 4 + int.from_bytes(buf[:4], "big"):
                n = 4 + int.from_bytes(buf[:4], "big")
                frame = json.loads(buf[4:n])
                del buf[:n]
                out[2].update(frame.get("data", {}))
                if "end" in frame or "error" in frame:
                    out[0], out[1] = frame.get("end", {}).get("exit"), frame.get("error", {}).get("code")
                    return True
            return False
        request = json.dumps({"v": 1, "verb": verb, "args": args}).encode()
        self._exchange(socket.AF_UNIX, os.path.join(self.dir, "ctl"), struct.pack(">I", len(request)) + request, take)
        if key and out[0] == 0:
            self.acked.add(key)
            self.acks.append((key, os.path.getsize(self.trace) if self.trace else 0))
        return out

    def ordered(self, verb, key, fine=(), carried_out=None, **args):
        """For goals: the order was answered, once; or is given again, until it is, unless it was carried out all the same.
        fine: errors that will do."""
        def given():
            if key in self.acked or (carried_out and carried_out()):
                return True
            done, error, _ = self.order(verb, key, **args)
            return done == 0 or error in fine
        self.until(given, "the order %s to be taken" % verb)

    def status(self, zone):
        """The row of `zone list`, when the daemon gives one."""
        done, _, data = self.order("zone list", zones=[zone.name])
        return next(iter(data.get("zones", [])), None) if done == 0 else None

    # --- the loop -------------------------------------------------------------------------------------------------

    def step(self, timeout=0.01):
        """True: somebody but ourselves asked or told something."""
        busy = False
        for fd, _ in self.poller.poll(timeout):
            if fd in self.handlers:
                busy |= self.handlers[fd][0] is not self.client
                self.handlers[fd][1](self.handlers[fd][0])
        self.clock.tick()
        return busy

    def is_idle(self):
        """No thread of the daemon runs, or would like to: it waits for time to pass."""
        try:
            with open("/proc/%d/task/%d/children" % (self.proc.pid, self.proc.pid)) as f:
                pids = [str(self.proc.pid), *f.read().split()]
            for pid in pids:
                for task in os.listdir("/proc/%s/task" % pid):
                    with open("/proc/%s/task/%s/stat" % (pid, task)) as f:
                        if f.read().rpartition(")")[2].split()[0] in "RD":
                            return False
        except OSError:
            return False
        return True

    def wait(self, condition, seconds=None):
        """The first true value of condition(). None when so many seconds of the daemon's clock have passed, or our patience.
        Died as soon as the daemon is gone. While nothing happens the clock hurries, so that the length of a wait is a
        matter of what is done, and not of what the daemon's timers say."""
        end, hurry = time.monotonic() + PATIENCE, HURRY
        last = min(x for x in (self.deadline, self.clock.us + (seconds or DAY) * 1000000) if x is not None)
        while True:
            value = condition()
            if value:
                return value
            self.alive()
            if time.monotonic() > end or self.clock.us > last:
                return None
            if self.step() or not self.is_idle():
                hurry = HURRY
            else:
                self.clock.jump(hurry)
                hurry = min(hurry * HURRY_MORE, HURRY_MAX)

    def until(self, condition, what):
        value = self.wait(condition)
        if not value:
            raise Late(what)
        return value

    # --- the daemon -----------------------------------------------------------------------------------------------

    def mend_token(self):
        """An HSM that is cut off from us does not lose itself; SoftHSM, killed in C_Login, leaves its token's file empty."""
        for path in glob.glob(os.path.join(self.token, "*", "token.object")):
            with open(path, "rb") as f:
                now = f.read()
            whole = self.token_files.get(path, b"")
            if len(now) < len(whole):
                with open(path, "wb") as f:
                    f.write(whole)
            else:
                self.token_files[path] = now

    def start(self, mode=OFF, pages=None, **arm):
        """pages: the bound of a version, when it is not the real one."""
        self.mend_token()
        self.last_hit = self.hit()
        self.trace = arm.get("trace")
        self.page.arm(mode, self.root, **arm)  # a token is not ours: its module writes it without care
        self.clock.then = time.monotonic()
        self._next_poll = 0
        self.starts += 1
        for z in self.zones.values():
            z.reply = None
        env = dict(os.environ, ZONESEAL_CRASH=self.page.path, ZONESEAL_TEST_CLOCK=self.clock.path)
        if pages:
            env["ZONESEAL_TEST_PAGES"] = str(pages)
        with open(self.log_path, "ab") as log:
            log.write(b"--- start %s\n" % repr((mode, arm)).encode())
            log.flush()
            self.proc = subprocess.Popen([self.program, "-c", self.conf_path, "-f"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                         env=env, cwd=self.dir, start_new_session=True)

    def hit(self):
        """What was hit in the point that is on."""
        return self.page.hit() or self.last_hit

    def said(self, text):
        """Since its last start."""
        with open(self.log_path, errors="replace") as f:
            return text in f.read().rpartition("--- start ")[2]

    def has_said(self, text):
        """Else a scenario is not about what it is called after."""
        if text and not self.said(text):
            raise Wrong("the log has no `%s`" % text)

    def alive(self):
        if self.proc is None:
            raise Died("not running")
        if self.proc.poll() is not None:
            self.reap()
            raise Died("the daemon ended")
        while True:  # orphans
            try:
                if os.waitpid(-self.proc.pid, os.WNOHANG)[0] == 0:
                    return
            except ChildProcessError:
                return

    def reap(self):
        """Until nothing of the group is left."""
        pid, self.proc = self.proc.pid, None
        end = time.monotonic() + 20
        try:
            while time.monotonic() < end:
                if os.waitpid(-pid, os.WNOHANG)[0] == 0:
                    self.step(0.001)
        except ChildProcessError:
            return
        raise Late("processes that do not go")

    def kill(self):
        if self.proc is None:
            return
        try:
            os.killpg(self.proc.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.proc.returncode = -9
        self.reap()

    def stop(self):
        """SIGTERM. The status."""
        os.kill(self.proc.pid, signal.SIGTERM)
        end = time.monotonic() + 15
        while time.monotonic() < end:
            if self.proc.poll() is not None:
                status = self.proc.returncode
                self.reap()
                return status
            self.step(0.005)
        self.kill()
        raise Wrong("SIGTERM did not end it")

    def hangup(self):
        os.kill(self.proc.pid, signal.SIGHUP)

    # --- what the daemon is to do ---------------------------------------------------------------------------------

    def look(self, zone, every=0.25):
        """Takes a new version when there is one; polls now and then, for a NOTIFY may be lost with its sender."""
        now = time.monotonic()
        if zone.notified:
            zone.notified = False
            self.fetch(zone)
        elif now >= self._next_poll:
            self._next_poll = now + every
            self.poll(zone)
        reply, zone.reply = zone.reply, None
        if reply and reply[1] is not None and (zone.stored is None or reply[1] != zone.stored.serial):
            self.fetch(zone)
        return zone.stored

    def published(self, zone, good, what):
        """Until a version is served that `good` likes."""
        return self.until(lambda: good(self.look(zone)) if zone.stored or self.look(zone) else None, what)

    def in_step(self, zone):
        """A version with what upstream has now."""
        return lambda v: v is not None and v.upstream() == zone.upstream

    def served_as_before(self, zone):
        """After a start: what the world has seen is there, at least, and nothing else under that serial."""
        def there():
            reply, zone.reply = zone.reply, None
            if reply is None or reply[1] is None:
                if time.monotonic() >= self._next_poll:
                    self._next_poll = time.monotonic() + 0.02
                    self.poll(zone)
                return None
            return (reply[1], )
        seen = zone.oracle.wire
        serial = self.until(there, "the stored version (%d) to be served" % seen)[0]
        if serial < seen:
            raise Wrong("serves serial %d, %d was seen before" % (serial, seen))
        if not self.until(lambda: self.fetch(zone), "a transfer of the stored version"):
            raise Wrong("no transfer")

    # --- files ----------------------------------------------------------------------------------------------------

    def ids(self):
        """Key ids by where they stand."""
        state = os.path.join(self.root, "state")
        out = {"keymap": _ids(os.path.join(state, "keymap")), "keys": set(), "keystate": set()}
        for d, _, files in os.walk(state):
            for f in files:
                if f == "keystate":
                    out["keystate"] |= _ids(os.path.join(d, f))
                elif f.endswith(".pem"):
                    out["keys"].add(f[:-4])
        return out

    def leftovers(self):
        """Files that nobody needs any more."""
        out = []
        state = os.path.join(self.root, "state")
        for d, _, files in os.walk(state):
            out += [f for f in files if ".damaged" in f]
            if sum(f.endswith(".mdb") for f in files) > 2:
                out += files
        return out

    def load(self, base):
        """The state that a scenario begins with: a directory, clock, zones."""
        self.kill()
        for d in (self.root, self.token):
            shutil.rmtree(d, ignore_errors=True)
        if base.path:
            shutil.copytree(os.path.join(base.path, "r"), self.root)
            if os.path.exists(os.path.join(base.path, "token")):
                shutil.copytree(os.path.join(base.path, "token"), self.token)
        else:
            os.makedirs(self.root)
        self.clock.set(base.wall)
        self.zones, self.upstream_down = {}, False
        for name, (make, upstream, oracle, stored) in base.zones.items():
            z = Zone(name, make)
            z.upstream, z.oracle, z.stored = upstream, oracle.copy(), stored
            z._encoded = base.encoded.setdefault(name, {})
            self.zones[name] = z
        open(self.log_path, "w").close()
        self.page.arm(OFF, self.root)
        self._forget()
        self.last_hit = None

    def save(self, base, path):
        os.makedirs(path)
        shutil.copytree(self.root, os.path.join(path, "r"))
        if os.path.exists(self.token):
            shutil.copytree(self.token, os.path.join(path, "token"))
        base.path, base.wall = path, self.clock.wall() + 1
        base.zones = {z.name: (z.make, z.upstream, z.oracle, z.stored) for z in self.zones.values()}

    def write_conf(self, conf):
        with open(self.conf_path, "w") as f:
            json.dump(conf, f)


class Base:
    def __init__(self, wall):
        self.path, self.wall, self.zones, self.encoded = None, wall, {}, {}


def _ids(path):
    try:
        with open(path) as f:
            return set(re.findall(r"\b[0-9a-f]{32}\b", f.read()))
    except OSError as e:
        if e.errno != errno.ENOENT:
            raise
        return set()


def question(name, qtype, ident, flags=0, soa=b""):
    wire = b"".join(bytes([len(x)]) + x.encode() for x in name.rstrip(".").split(".")) + b"\0"
    return struct.pack(">HHHHHH", ident, flags, 1, 0, bool(soa), 0) + wire + struct.pack(">HH", qtype, 1) + soa


def skip_name(m, at):
    while m[at]:
        if m[at] & 0xc0:
            return at + 2
        at += 1 + m[at]
    return at + 1


def answers(m):
    """(type, rdata offset, rdata length) of the answer section."""
    at = 12
    for _ in range(m[4] << 8 | m[5]):
        at = skip_name(m, at) + 4
    for _ in range(m[6] << 8 | m[7]):
        at = skip_name(m, at)
        rtype, _, _, n = struct.unpack_from(">HHIH", m, at)
        yield rtype, at + 10, n
        at += 10 + n


def soa_serial(m):
    """The serial of the first record of an answer section, if that is a SOA."""
    try:
        for rtype, at, _ in answers(m):
            if rtype != SOA_TYPE:
                return None
            return struct.unpack_from(">I", m, skip_name(m, skip_name(m, at)))[0]
    except (IndexError, struct.error):
        pass
    return None


def count_soas(messages):
    """1: begun, 2: the last record is the SOA that the first one is."""
    first, last = list(answers(messages[0]))[:1], list(answers(messages[-1]))[-1:]
    if not first or first[0][0] != SOA_TYPE:
        return 0
    serials = [struct.unpack_from(">I", m, skip_name(m, skip_name(m, a[0][1])))[0] for m, a in
               ((messages[0], first), (messages[-1], last)) if a and a[0][0] == SOA_TYPE]
    one = len(messages) == 1 and last[0][1] == first[0][1]
    return 1 + (not one and len(serials) == 2 and serials[0] == serials[1])
