# SPDX-License-Identifier: GPL-3.0-or-later
"""Trouble while the service goes on: HSMs that fail in every way, processes that die, a disk that is full. In each test of
an HSM the SOA of both zones is asked for all the time, a zone on the other key store keeps being signed, and what was wrong
heals by itself when the fault ends. Back-offs run on a clock that is faster than the sun (clocked.py)."""

import os
import random
import shutil
import signal
import subprocess
import threading

import dns.rcode
import pytest

import chain
import clocked
import faults
import harness
import seal
import servers
import zones
from chain import ZONE, Chain
from harness import wait_for

FILES = "files.example."
RATE = 6


def numbered(zone, serial, names, extra=""):
    """Every RRset differs from one serial to the next."""
    body = "".join("h%d.%s 300 IN A 192.0.%d.%d\n" % (n, zone, serial % 250, n % 250 + 1) for n in range(names))
    text = zones.sample(zone, serial, extra=body + extra)
    return text.replace(" 3600 600 1209600 300\n", " 3600 10 1209600 300\n", 1)  # what failed is tried again by SOA retry


class Pulse:
    """Asks for the SOA of each zone, over and over, and remembers what was not answered and what went back."""

    def __init__(self, addr, names):
        self.addr, self.names = addr, names
        self.top, self.bad, self.asked = {}, [], 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        while not self._stop.wait(0.03):
            for z in self.names:
                r = harness.ask(self.addr, z, "SOA", tcp=False, dnssec=False, timeout=3)
                self.asked += 1
                if r is None or r.rcode() != dns.rcode.NOERROR or not r.answer:
                    self.bad.append((z, None if r is None else dns.rcode.to_text(r.rcode())))
                    continue
                serial = r.answer[0][0].serial
                if z in self.top and (serial - self.top[z]) % 2**32 > 2**31:
                    self.bad.append((z, "%d after %d" % (serial, self.top[z])))
                self.top[z] = serial

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *failed):
        self._stop.set()
        self._thread.join()
        if not failed[0]:
            assert self.asked > 3 and not self.bad, self.bad[:5]


class Two:
    """ZONE is signed by the HSM, FILES by the other key store."""

    def __init__(self, rig, names=40, **policy):
        self.rig, self.names = rig, names
        self.clock = rig.add(clocked.Running(rig, RATE))
        self.hsm = faults.FaultyHsm(rig)
        self.line = Chain(rig, text=numbered(ZONE, 1, names), policy_options=policy,
                          keystore=self.hsm.keystore())
        self.seal = self.line.seal
        for server, text in ((self.line.primary, zones.sample(FILES, 1)), (self.line.secondary, None)):
            server.add_zone(FILES, text)
        self.seal.zone(FILES, [self.line.primary], [self.line.secondary], self.seal.policy("in-files"))
        self.at, self.files_at = 1, 1

    def start(self, published=True):
        self.line.primary.start()
        self.line.secondary.start()
        self.restart()
        if published:
            self.line.published(1)
            self.seal.wait_published(FILES, 1)
        return self

    def restart(self):
        self.seal.start(env=self.clock.env(), program="zoneseald-clk")

    def pulse(self):
        return Pulse(self.seal.addr, [ZONE, FILES])

    def change(self, extra=""):
        self.at += 1
        self.line.primary.change(ZONE, numbered(ZONE, self.at, self.names, extra))

    def signed(self):
        """The last change is there, and right."""
        self.line.published(self.at)
        self.line.verify()
        wait_for(lambda: not self.seal.alarms(ZONE), "the alarms of %s to go" % ZONE)

    def files_are_signed(self):
        """The other key store has nothing to do with it."""
        self.files_at += 1
        self.line.primary.change(FILES, zones.sample(FILES, self.files_at))
        self.seal.wait_published(FILES, self.files_at, timeout=10)
        assert not self.seal.alarms(FILES)

    def ops(self, zone=ZONE):
        return self.seal.status(zone)["counters"]

    def signs(self, more):
        """The HSM has made so many more signatures."""
        n = len(self.hsm.calls("C_Sign"))
        return lambda: len(self.hsm.calls("C_Sign")) >= n + more


# --- the vault process ----------------------------------------------------------------------------------------------


def test_vault_killed_in_the_middle_of_a_batch(rig):
    t = Two(rig, names=150).start()
    with t.pulse():
        for _ in range(2):
            t.hsm.faults("latency_us 2000")
            under_way = t.signs(30)
            t.change()
            wait_for(under_way, "a batch")
            assert faults.kill_vaults(t.seal, "hsm")
            t.files_are_signed()
            t.hsm.faults()
            t.signed()
    assert t.seal.metric("zoneseal_keystore_restarts_total", keystore="hsm") >= 2


def test_vault_stopped_in_the_middle_of_a_batch(rig):
    t = Two(rig, names=150).start()
    with t.pulse():
        t.hsm.faults("latency_us 2000")
        under_way = t.signs(30)
        t.change()
        wait_for(under_way, "a batch")
        stopped = faults.kill_vaults(t.seal, "hsm", signal.SIGSTOP)
        t.files_are_signed()
        t.hsm.faults()
        wait_for(lambda: not set(stopped) & set(faults.vaults(t.seal, "hsm")), "the vault that is silent to be replaced")
        t.signed()


@pytest.mark.parametrize("fault", ["C_Sign 20 hang", "C_Sign hang", "C_SignInit 5 hang"])
def test_a_call_that_never_returns(rig, fault):
    t = Two(rig).start()
    with t.pulse():
        t.hsm.faults(fault)
        faults.kill_vaults(t.seal, "hsm")  # calls are counted by process
        t.change()
        wait_for(lambda: "a vendor call hangs" in t.seal.log(), "the vault that hangs to be killed")
        t.files_are_signed()
        t.hsm.faults()
        t.signed()


def test_daemon_ends_in_time_while_a_call_hangs(rig):
    """SIGTERM: five seconds, status 0. In real time."""
    t = Two(rig).start()
    t.clock.rate = 1
    t.hsm.faults("C_Sign hang")
    begun = t.signs(1)
    t.change()
    wait_for(begun, "a call that hangs")
    t.seal.process.stop(timeout=6)
    assert t.seal.process.poll() == 0
    t.hsm.faults()
    t.restart()
    t.signed()


# --- the token ----------------------------------------------------------------------------------------------------


def test_sessions_are_lost(rig):
    t = Two(rig).start()
    with t.pulse():
        for _ in range(2):
            t.hsm.faults("C_Sign every 17 lose")
            t.change()
            wait_for(t.signs(20), "signatures")
            t.files_are_signed()
            t.hsm.faults()
            t.signed()


def test_wrong_pin_is_tried_exactly_once(rig):
    t = Two(rig).start()
    t.seal.stop()
    t.hsm.write_pin("00000000")
    before = len(t.hsm.calls("C_Login"))
    refused = [0xa0]
    t.restart()
    with t.pulse():
        t.change()
        wait_for(lambda: t.hsm.calls("C_Login")[before:] == refused, "one attempt")
        wait_for(lambda: "pin" in t.seal.ctl("-j", "hsm", "status").stdout.lower(), "the latch to show")
        faults.kill_vaults(t.seal, "hsm")
        t.clock.skip(25)
        t.clock.skip(25)
        wait_for(lambda: faults.vaults(t.seal, "hsm"), "a new vault")
        os.kill(t.seal.child("engine")[0], signal.SIGSTOP)
        os.kill(t.seal.child("engine")[0], signal.SIGCONT)
        t.files_are_signed()
    for _ in range(3):
        t.seal.stop()
        t.restart()
        assert wait_for(lambda: t.seal.serial(ZONE), "the stored version")
        wait_for(lambda: "pin" in t.seal.ctl("-j", "hsm", "status").stdout.lower(), "the latch to show")
    assert t.hsm.calls("C_Login")[before:] == refused
    t.hsm.write_pin(t.hsm.pin)  # another file: no order is needed
    t.signed()
    assert [x for x in t.hsm.calls("C_Login")[before:] if x] == refused


def test_a_death_in_the_login_needs_no_order(rig):
    """It says nothing about the PIN: an OOM kill or a power cut must not stop signing until somebody comes."""
    t = Two(rig).start()
    before = len(t.hsm.calls("C_Login"))
    t.hsm.faults("C_Login hang")
    faults.kill_vaults(t.seal, "hsm")
    wait_for(lambda: len(t.hsm.calls("C_Login")) > before, "a login under way")
    t.hsm.faults()
    faults.kill_vaults(t.seal, "hsm")
    with t.pulse():
        t.change()
        t.signed()
    assert len(t.hsm.calls("C_Login")) == before + 2 and "it is tried once more" in t.seal.log()


def test_token_absent_at_the_start(rig):
    """What is stored is served; keys that are not visible are not made anew; nobody has to order anything."""
    t = Two(rig).start()
    made, keys = len(t.hsm.calls("C_GenerateKeyPair")), t.seal.status(ZONE)["keys"]
    serial = t.seal.serial(ZONE)
    t.seal.stop()
    t.hsm.hide()
    t.restart()
    assert wait_for(lambda: t.seal.serial(ZONE), "the stored version") == serial
    with t.pulse():
        t.change()
        t.files_are_signed()
        wait_for(lambda: t.seal.metric("zoneseal_keystore_up", keystore="hsm") == 0, "the key store to be down")
        t.seal.wait_alarm(ZONE, "signing")
        assert t.seal.serial(ZONE) == serial
        t.hsm.show()
        t.signed()
    assert len(t.hsm.calls("C_GenerateKeyPair")) == made
    assert [k["id"] for k in t.seal.status(ZONE)["keys"]] == [k["id"] for k in keys]


def test_token_absent_before_there_are_keys(rig):
    t = Two(rig)
    t.hsm.hide()
    t.start(published=False)
    t.seal.wait_published(FILES, 1)
    t.seal.wait_alarm(ZONE, "signing")
    t.files_are_signed()
    t.hsm.show()
    t.signed()
    assert len(t.hsm.calls("C_GenerateKeyPair")) == 2


def test_another_key_under_the_id(rig):
    """The challenge finds it: nothing that it signs gets near a zone."""
    t = Two(rig).start()
    serial, ids = t.seal.serial(ZONE), [k["id"] for k in t.seal.status(ZONE)["keys"]]
    t.seal.stop()
    t.hsm.hide()
    env = dict(os.environ, SOFTHSM2_CONF=t.hsm.conf)
    util = servers.program("softhsm2-util")
    subprocess.run([util, "--init-token", "--free", "--label", t.hsm.label, "--so-pin", "12345678", "--pin", t.hsm.pin], env=env, check=True,
                   capture_output=True)
    pem = os.path.join(t.hsm.dir, "other.pem")
    for key in ids:
        subprocess.run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", pem], check=True,
                       capture_output=True)
        subprocess.run([util, "--import", pem, "--token", t.hsm.label, "--label", "other", "--id", key, "--pin", t.hsm.pin], env=env, check=True,
                       capture_output=True)
    t.restart()
    wait_for(lambda: t.seal.serial(ZONE), "the stored version")
    with t.pulse():
        t.change()
        t.seal.wait_alarm(ZONE, "signing")
        t.files_are_signed()
        assert t.seal.serial(ZONE) == serial
        shutil.rmtree(t.hsm.tokens)
        os.mkdir(t.hsm.tokens)
        t.hsm.show()
        faults.kill_vaults(t.seal, "hsm")
        t.signed()


# --- wrong signatures -----------------------------------------------------------------------------------------------


def test_one_signature_in_three_is_wrong(rig):
    """Repaired, counted, and what is published is right, from the first version on."""
    t = Two(rig, names=0)
    t.hsm.faults("C_Sign every 3 corrupt")
    t.start(published=False)
    t.line.published(1, timeout=60)  # what is wrong four times over costs another attempt
    t.line.verify()
    assert t.ops()["bad_signatures"] > 5
    t.names = 5
    with t.pulse():
        t.change()
        t.line.published(t.at, timeout=60)
        t.line.verify()
    assert t.seal.metric("zoneseal_bad_signatures_total", zone=ZONE) > 5
    t.seal.wait_published(FILES, 1)
    t.files_are_signed()


def test_ecdsa_signatures_as_der_are_understood(rig):
    t = Two(rig).start()
    t.hsm.faults("C_Sign der")
    t.change()
    t.signed()


def test_every_signature_is_wrong(rig):
    t = Two(rig).start()
    serial = t.seal.serial(ZONE)
    with t.pulse():
        t.hsm.faults("C_Sign corrupt")
        t.change()
        assert "bad-signature" in t.seal.wait_alarm(ZONE, "vetoed")
        t.files_are_signed()
        assert t.seal.serial(ZONE) == serial
        t.line.verify()
        t.hsm.faults()
        t.signed()
    assert t.ops()["vetoes"]["bad-signature"] > 0


def test_a_request_that_kills_the_module(rig):
    """One RRset cannot be signed: its zone keeps its last version, and the others of the same HSM go on."""
    t = Two(rig, algorithm="ed25519")
    other = "other.example."
    t.line.primary.add_zone(other, zones.sample(other, 1))
    t.line.secondary.add_zone(other)
    t.seal.zone(other, [t.line.primary], [t.line.secondary], "tested")
    t.start()
    t.seal.wait_published(other, 1)
    serial = t.seal.serial(ZONE)
    with t.pulse():
        t.hsm.faults("C_Sign data poison crash")
        t.change("pill.%s 300 IN TXT \"poison\"\n" % ZONE)
        t.seal.wait_alarm(ZONE, "signing")
        assert t.seal.serial(ZONE) == serial
        t.line.primary.change(other, zones.sample(other, 2))
        t.seal.wait_published(other, 2)
        t.files_are_signed()
        t.hsm.faults()
        t.signed()
    assert t.seal.metric("zoneseal_keystore_operations_total", keystore="hsm", op="sign", result="poisoned") >= 1


# --- processes ----------------------------------------------------------------------------------------------------


def test_engine_killed_is_back_in_seconds(rig):
    """In real time: the zone is answered again from the store within five seconds."""
    t = Two(rig).start()
    t.clock.rate = 1
    top = t.seal.serial(ZONE)
    os.kill(t.seal.child("engine")[0], signal.SIGKILL)
    assert wait_for(lambda: t.seal.serial(ZONE), "the engine to be back", timeout=5) == top
    t.files_are_signed()
    t.change()
    t.signed()


def test_engine_stopped_by_its_parent_only(rig):
    """A parent that dies takes all its children along, whatever they do."""
    t = Two(rig).start()
    t.hsm.faults("C_Sign hang")
    begun = t.signs(1)
    t.change()
    wait_for(begun, "a call that hangs")
    children = t.seal.children()
    assert len(children) == 3
    t.seal.kill()
    assert not any(os.path.exists("/proc/%d" % pid) and seal._alive(pid) for pid in children)
    t.hsm.faults()
    t.restart()
    t.signed()


class Wire:
    """What was answered on the wire: the highest serial, and for each serial one content."""

    def __init__(self, t):
        self.t, self.top, self.content = t, None, {}

    def see(self):
        serial = self.t.seal.serial(ZONE)
        if serial is None:
            return None
        assert self.top is None or (serial - self.top) % 2**32 < 2**31, "serial %d after %d" % (serial, self.top)
        self.top = serial
        path = self.t.seal.axfr(ZONE, os.path.join(self.t.seal.dir, "wire"))
        now = sorted(chain.records(path))
        served = next(int(r[3].split()[2]) for r in now if r[2] == "SOA")
        assert self.content.setdefault(served, now) == now, "two contents of serial %d" % served
        return path

    def judge(self):
        path = wait_for(self.see, "a version")
        seal.verify_zone(path, ZONE)


def kill_everything(t):
    """No process gets a chance to say good-bye."""
    everything = t.seal.children() + [t.seal.process.pid]
    for pid in everything:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    t.seal.kill()
    wait_for(lambda: not any(seal._alive(pid) for pid in everything), "all processes to go")


def test_killed_at_any_point(rig):
    """First build, changes and refreshes, each cut off at random points of their work: what was answered stays true."""
    t = Two(rig, names=60)
    t.hsm.faults("latency_us 300")
    t.line.primary.start()
    t.line.secondary.start()
    rng, wire = random.Random(7), Wire(t)
    tick = threading.Event()

    def idle():
        return not t.seal.status(ZONE).get("busy", True)

    def refreshed():
        return t.seal.metric("zoneseal_zone_rrsig_earliest_expiry_timestamp_seconds", zone=ZONE) > t.clock.wall + 5 * 86400

    def run_and_kill(limit, begin=None, done=idle):
        n = rng.randint(0, limit)
        before = len(t.hsm.calls("C_Sign"))
        t.seal.start(env=t.clock.env(), program="zoneseald-clk", wait=False)
        wait_for(lambda: t.seal.serial(ZONE) or harness.ask(t.seal.addr, ZONE, "SOA", timeout=1), "the daemon")
        assert wire.top is None or wait_for(wire.see, "the stored version")
        if begin:
            begin()
        # so many signatures, or the work is done; then a moment more, for what is not signing
        wait_for(lambda: len(t.hsm.calls("C_Sign")) - before >= n or done(), "its work")
        tick.wait(rng.random() * 0.05)
        if t.seal.serial(ZONE):
            wire.see()
        kill_everything(t)

    def finish():
        t.restart()
        t.line.published(t.at)
        wire.judge()
        t.line.verify()
        t.seal.kill()

    for _ in range(10):
        run_and_kill(60)
    finish()
    for _ in range(10):
        run_and_kill(230, t.change)
    finish()

    for _ in range(2):
        t.clock.skip(10 * 86400)
        for _ in range(5):
            run_and_kill(230, done=refreshed)
        t.restart()
        wait_for(refreshed, "a refreshed version")
        t.line.published(t.at)
        wire.see()
        path = t.line.secondary.axfr(ZONE)
        r = harness.run(["kzonecheck", "-o", ZONE, "-d", "on", "-t", str(t.clock.wall), path])
        assert r.returncode == 0, r.stdout + r.stderr
        t.seal.kill()
    t.restart()
    wait_for(wire.see, "the stored version")
    assert len(t.hsm.calls("C_GenerateKeyPair")) <= 6


# --- the disk -----------------------------------------------------------------------------------------------------


class SmallDisk(seal.Zoneseal):
    """Its state directory is a file system of its own, seen by the daemon alone."""

    def start(self, wait=True, env=None, program="zoneseald", size="24M"):
        self.write_conf()
        os.makedirs(self.state_dir, exist_ok=True)
        argv = ["unshare", "-m", "--propagation", "private", "sh", "-c", 'mount -t tmpfs -o size=%s,mode=700 tmpfs "$0" && exec "$@"' % size,
                self.state_dir, os.path.join(seal.build_dir(), program), "-c", self.conf_path, "-f"]
        self.process = harness.Process(self.name, argv, os.path.join(self.dir, "log"), env=env).start()
        self.killed = False
        if wait:
            wait_for(lambda: self.ctl("status").returncode == 0, "zoneseald to be ready", alive=[self.process])
        return self

    def disk(self):
        return "/proc/%d/root%s" % (self.process.pid, self.state_dir)

    def fill(self, leave):
        """Until so many octets are left."""
        st = os.statvfs(self.disk())
        with open(self.disk() + "/ballast", "wb") as f:
            left = st.f_bavail * st.f_bsize - leave
            while left > 0:
                f.write(b"\0" * min(left, 1 << 16))
                left -= 1 << 16

    def empty(self):
        os.unlink(self.disk() + "/ballast")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
@pytest.mark.parametrize("min_free,room,records", [("0", (0, 96 << 10), 700), ("4M", (1 << 20, ), 9000)], ids=["all", "min-free"])
def test_disk_is_full(rig, min_free, room, records, monkeypatch):
    """min-free stops zone-sized work: a change that is too large for one commit."""
    monkeypatch.setattr(seal, "Zoneseal", SmallDisk)
    clock = rig.add(clocked.Running(rig, RATE))
    c = Chain(rig, text=numbered(ZONE, 1, 40), server={"min-free": min_free})
    c.primary.start()
    c.secondary.start()
    c.seal.start(env=clock.env(), program="zoneseald-clk")
    serial = c.published(1)
    with Pulse(c.seal.addr, [ZONE]):
        for at, leave in enumerate(room, 2):
            c.seal.fill(leave)
            c.primary.change(ZONE, numbered(ZONE, at, records))  # larger than what is left
            c.seal.wait_alarm(ZONE, "store")
            assert c.seal.serial(ZONE) == serial
            c.verify()
            c.seal.empty()
            serial = c.published(at)  # by itself
            c.verify()
            wait_for(lambda: not c.seal.alarms(ZONE), "the alarm to go")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a file system")
def test_disk_is_full_when_signatures_are_due(rig, monkeypatch):
    monkeypatch.setattr(seal, "Zoneseal", SmallDisk)
    clock = rig.add(clocked.Running(rig, RATE))
    c = Chain(rig, text=numbered(ZONE, 1, 300))
    c.primary.start()
    c.secondary.start()
    c.seal.start(env=clock.env(), program="zoneseald-clk")
    serial = c.published(1)
    with Pulse(c.seal.addr, [ZONE]):
        c.seal.fill(0)
        clock.skip(10 * 86400)
        c.seal.wait_alarm(ZONE, "store")
        assert c.seal.serial(ZONE) == serial
        c.seal.empty()
        wait_for(lambda: (c.seal.serial(ZONE) or serial) > serial, "the refreshed version")
        wait_for(lambda: c.seal.metric("zoneseal_zone_rrsig_earliest_expiry_timestamp_seconds", zone=ZONE) > clock.wall + 5 * 86400, "all of it")
        wait_for(lambda: not c.seal.alarms(ZONE), "the alarm to go")
