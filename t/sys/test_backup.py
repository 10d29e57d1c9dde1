# SPDX-License-Identifier: GPL-3.0-or-later
"""Backups made while everything goes on, and what happens on a state directory that came back: from a backup, or as an old
plain copy. The signed serial never goes back, and no serial stands for two contents."""

import os
import pwd
import re
import shutil
import signal
import subprocess

import dns.message
import dns.name
import dns.query
import dns.rdatatype
import pytest

import chain
import clocked
import harness
import seal
import servers
import zones
from chain import ZONE, Chain


def change(c, serial, extra=""):
    c.primary.change(ZONE, zones.sample(ZONE, serial, extra=extra or "v%d.%s 300 IN TXT \"%d\"\n" % (serial, ZONE, serial)))


def backup(c, name="backup"):
    path = os.path.join(c.seal.dir, name)
    answer = c.seal.json("backup", path)
    assert "error" not in answer, answer
    return path, answer


def put_back(c, path):
    """What the manual says: stop, put the copy in the place of the state directory, start."""
    shutil.rmtree(c.seal.state_dir)
    subprocess.run(["cp", "-a", path, c.seal.state_dir], check=True)


def dnskeys(c):
    return sorted(r.to_text() for s in harness.ask(c.seal.addr, ZONE, "DNSKEY").answer if s.rdtype == dns.rdatatype.DNSKEY for r in s)


def ixfr(c, serial):
    """Records of the answer to IXFR over TCP, in order, asked as the secondary."""
    q = dns.message.make_query(ZONE, "IXFR")
    soa = dns.rrset.from_text(ZONE, 0, "IN", "SOA", ". . %d 0 0 0 0" % serial)
    q.authority.append(soa)
    r = dns.query.tcp(q, c.seal.addr, port=harness.PORT, source=c.seal.peer, timeout=20, one_rr_per_rrset=True)
    return [(s.rdtype, s[0].serial if s.rdtype == dns.rdatatype.SOA else None) for s in r.answer]


def is_whole_zone(answer):
    return len(answer) > 2 and answer[0][0] == dns.rdatatype.SOA and answer[1][0] != dns.rdatatype.SOA


def modes(path):
    return {os.path.relpath(os.path.join(d, f), path): os.lstat(os.path.join(d, f)).st_mode & 0o777
            for d, ds, fs in os.walk(path) for f in fs + ds}


@pytest.fixture(params=["file", "token"])
def line(rig, request):
    token = servers.SoftHsm(rig) if request.param == "token" else None
    c = Chain(rig, keystore=token.keystore() if token else None, policy_options={"denial": "nsec3"})
    c.primary.ixfr = True
    c.token = token
    return c


def test_backup_and_restore(line):
    c = line
    c.start()
    c.published(1)
    change(c, 2)
    at_backup = c.published(2)
    path, answer = backup(c)
    assert answer["zones"] == 1 and answer["failed"] == 0 and answer["keys"] == (0 if c.token else 2)
    assert {"MANIFEST", "keymap", "zones/MANIFEST", "keys/MANIFEST", "register/keys.txt"} <= set(modes(path))
    assert not any(m & 0o077 for m in modes(path).values()) and os.stat(path).st_mode & 0o777 == 0o700
    assert not any("latch" in f or "lock" in f or "tmp" in f or "INCOMPLETE" in f for f in modes(path))
    lost = []
    for n in (3, 4, 5):
        change(c, n)
        lost.append(c.published(n))
    keys = dnskeys(c)
    c.seal.stop()
    put_back(c, path)
    c.primary.stop()  # the stored version is served as it was, before anything else happens
    c.seal.start()
    assert harness.wait_for(lambda: c.seal.serial(ZONE), "the stored version") == at_backup
    assert dnskeys(c) == keys
    assert not os.path.exists(os.path.join(c.seal.state_dir, "MANIFEST"))
    assert "event=restored: from a backup" in c.seal.log()
    c.primary.start()
    c.seal.ctl("zone", "refresh", ZONE)
    serial = c.published(5)
    assert serial > lost[-1]
    c.verify()
    chain.same_data(c)
    assert dnskeys(c) == keys
    for gone in lost:  # history knows nothing of what was lost: whoever has it gets the whole zone
        assert is_whole_zone(ixfr(c, gone))
    known = ixfr(c, at_backup)
    assert known[1] == (dns.rdatatype.SOA, at_backup) and known[0][1] == serial
    change(c, 6)
    assert c.published(6) > serial
    c.verify()
    harness.wait_for(lambda: not [f for f in modes(c.seal.state_dir) if "RESTORED" in f], "the mark to go")
    register = os.path.join(c.seal.state_dir, "register")
    assert not os.path.exists(os.path.join(register, "keys.txt")) and os.path.exists(os.path.join(register, "keys.mdb"))
    c.seal.stop()
    c.seal.start()
    assert harness.wait_for(lambda: c.seal.serial(ZONE), "the version")
    assert c.seal.log().count("event=restored: from a backup") == 1


def test_old_plain_copy_put_back(rig):
    c = Chain(rig).start()
    c.published(1)
    c.seal.stop()
    old = os.path.join(c.seal.dir, "old")
    subprocess.run(["cp", "-a", c.seal.state_dir, old], check=True)
    c.seal.start()
    lost = []
    for n in (2, 3, 4):
        change(c, n)
        lost.append(c.published(n))
    keys = dnskeys(c)
    c.seal.stop()
    put_back(c, old)
    c.seal.start()
    serial = c.published(4)
    assert serial > lost[-1]
    c.verify()
    chain.same_data(c)
    assert dnskeys(c) == keys
    for gone in lost:
        assert is_whole_zone(ixfr(c, gone))


def restored(c, clock, secondaries_stop):
    """Lost versions, then restored with these secondaries away; upstream has something new."""
    env = {"env": clock.env(), "program": "zoneseald-clk"}
    c.primary.start()
    c.secondary.start()
    c.seal.start(**env)
    first = c.published(1)
    path, _ = backup(c)
    change(c, 2)
    c.published(2)
    for s in secondaries_stop:
        s.stop()
    c.seal.stop()
    put_back(c, path)
    change(c, 3)
    c.seal.start(**env)
    return first


def test_silent_secondaries_cost_a_skip(rig):
    clock = rig.add(clocked.Running(rig, 1))
    c = Chain(rig)
    first = restored(c, clock, [c.secondary])
    c.seal.wait_alarm(ZONE, "publication", "each listed secondary")
    assert c.seal.serial(ZONE) == first
    clock.rate = 60
    c.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == 3 and not s["busy"], "a version")
    assert c.seal.serial(ZONE) >= first + 10000
    assert "skip" in c.seal.alarms(ZONE)["publication"]


def test_one_silent_secondary_is_waited_for(rig):
    clock = rig.add(clocked.Running(rig, 1))
    c = Chain(rig)
    other = servers.KINDS["nsd"](rig, "secondary", None, [chain._Peer(c.seal)])
    other.add_zone(ZONE)
    c.seal.conf["zones"][0]["downstream"].append(c.seal.remote(other))
    other.start()
    first = restored(c, clock, [other])
    c.seal.wait_alarm(ZONE, "publication", "each listed secondary")
    assert c.seal.serial(ZONE) == first
    other.start()  # the guard asks again
    clock.rate = 10
    serial = c.published(3)
    assert first < serial < first + 10000


def test_without_secondaries_the_skip_comes_at_once(rig):
    clock = rig.add(clocked.Running(rig, 1))
    c = Chain(rig)
    c.seal.conf["zones"][0]["transfer"] = c.seal.conf["zones"][0]["downstream"]
    c.seal.conf["zones"][0]["downstream"] = []
    env = {"env": clock.env(), "program": "zoneseald-clk"}
    c.primary.start()
    c.seal.start(**env)
    first = c.seal.wait_published(ZONE, 1)
    path, _ = backup(c)
    c.seal.stop()
    put_back(c, path)
    change(c, 2)
    c.seal.start(**env)
    assert c.seal.wait_published(ZONE, 2) == first + 10001


def refuses(c, pattern):
    before = len(c.seal.log())
    c.seal.start(wait=False)
    harness.wait_for(lambda: c.seal.process.poll() is not None, "the daemon to refuse")
    assert c.seal.process.poll() == 1
    c.seal.killed = True
    assert re.search(pattern, c.seal.log()[before:]), c.seal.log()[before:]


def test_a_damaged_backup_is_refused(rig):
    c = Chain(rig).start()
    c.published(1)
    path, _ = backup(c)
    c.seal.stop()
    victims = [f for f in modes(path) if os.path.isfile(os.path.join(path, f)) and f != "MANIFEST"]
    assert len(victims) > 8
    for f in victims:
        put_back(c, path)
        name = os.path.join(c.seal.state_dir, f)
        size = os.path.getsize(name)
        with open(name, "r+b") as g:
            g.seek(size // 2)
            octet = g.read(1)
            g.seek(size // 2)
            g.write(bytes([octet[0] ^ 4]))
        refuses(c, r"damaged backup: .*%s: has other content" % re.escape(f))
    for how in (os.remove, lambda n: os.truncate(n, 10)):
        put_back(c, path)
        how(os.path.join(c.seal.state_dir, victims[0]))
        refuses(c, r"damaged backup: .*%s: is (missing|shorter)" % re.escape(victims[0]))
    put_back(c, path)
    os.truncate(os.path.join(c.seal.state_dir, "MANIFEST"), 100)
    refuses(c, "MANIFEST: is damaged")
    put_back(c, path)
    open(os.path.join(c.seal.state_dir, "BACKUP-INCOMPLETE"), "w").close()
    refuses(c, "not finished")
    put_back(c, path)
    c.seal.start()
    c.published(1)


def test_a_backup_that_is_cut_short_is_seen(rig):
    """The vault is stopped: the backup waits for its keys, another one is busy, and the engine is killed meanwhile."""
    c = Chain(rig).start()
    c.published(1)
    path = os.path.join(c.seal.dir, "cut")
    vaults = c.seal.child("vault")
    for pid in vaults:
        os.kill(pid, signal.SIGSTOP)
    argv = [os.path.join(seal.build_dir(), "zonesealctl"), "-s", c.seal.socket, "backup", path]
    client = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    harness.wait_for(lambda: os.path.exists(os.path.join(path, "zones", "MANIFEST")), "zones to be copied")
    assert os.path.exists(os.path.join(path, "BACKUP-INCOMPLETE")) and not os.path.exists(os.path.join(path, "MANIFEST"))
    assert c.seal.json("backup", path + "2")["error"]["code"] == "busy"
    assert not os.path.exists(path + "2")
    for pid in c.seal.child("engine"):
        os.kill(pid, signal.SIGKILL)
    assert client.wait(30) == 1
    for pid in vaults:
        os.kill(pid, signal.SIGCONT)
    harness.wait_for(lambda: c.seal.ctl("status").returncode == 0 and c.seal.serial(ZONE), "the engine to be back")
    assert os.path.exists(os.path.join(path, "BACKUP-INCOMPLETE")) and not os.path.exists(os.path.join(path, "MANIFEST"))
    assert "not be empty" in c.seal.ctl("backup", path).stderr or "is not empty" in c.seal.ctl("backup", path).stderr
    backup(c, "again")


def test_where_a_backup_may_go(rig):
    c = Chain(rig).start()
    c.published(1)
    top = c.seal.dir
    os.mkdir(os.path.join(top, "empty"))
    os.mkdir(os.path.join(top, "full"))
    open(os.path.join(top, "full", "x"), "w").close()
    os.symlink(os.path.join(top, "empty"), os.path.join(top, "link"))
    open(os.path.join(top, "file"), "w").close()
    os.mkdir(os.path.join(top, "open"), 0o755)
    os.chmod(os.path.join(top, "open"), 0o777)
    backup(c, "empty")
    for name, why in [("full", "is not empty"), ("link", "."), ("file", "."), ("no/where", "No such file"), ("..", ".")]:
        r = c.seal.ctl("backup", os.path.join(top, name))
        assert r.returncode in (1, 2) and re.search(why, r.stderr), (name, r.stderr)
    if os.geteuid() == 0:
        r = c.seal.ctl("backup", os.path.join(top, "open", "b"))
        assert r.returncode == 1 and "belong to root" in r.stderr
        assert not os.listdir(os.path.join(top, "open"))
    assert os.listdir(os.path.join(top, "full")) == ["x"]
    assert c.seal.ctl("backup").returncode == 2 and c.seal.ctl("backup", "a", "b").returncode == 2
    here = subprocess.run([os.path.join(seal.build_dir(), "zonesealctl"), "-s", c.seal.socket, "backup", "rel"], cwd=top,
                          capture_output=True, text=True)
    assert here.returncode == 0 and "1 zones" in here.stdout and os.path.exists(os.path.join(top, "rel", "MANIFEST"))


def test_backup_while_zones_change(rig):
    c = Chain(rig)
    others = ["z%d.example." % i for i in range(12)]
    for z in others:
        c.primary.add_zone(z, zones.sample(z, 1))
        c.seal.zone(z, [c.primary], [])
    c.start()
    for z in others:
        c.seal.wait_published(z, 1)
    c.published(1)
    n = 1
    for k in range(3):
        argv = [os.path.join(seal.build_dir(), "zonesealctl"), "-s", c.seal.socket, "-j", "backup", os.path.join(c.seal.dir, "b%d" % k)]
        client = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while True:
            n += 1
            change(c, n)
            c.published(n)
            if client.poll() is not None:
                break
        assert client.returncode == 0, client.stderr.read()
    lost = c.seal.serial(ZONE)
    c.seal.stop()
    put_back(c, os.path.join(c.seal.dir, "b2"))
    c.seal.start()
    c.published(n)  # the backup may have the last version, or one before
    change(c, n + 1)
    assert c.published(n + 1) > lost
    c.verify()
    chain.same_data(c)
    for z in others:
        c.seal.wait_published(z, 1)


@pytest.mark.skipif(os.geteuid() != 0, reason="users are separate only as root")
def test_each_part_belongs_to_its_process(rig):
    """Engine and vault write their part as their own users, into a directory that they cannot walk to; what was copied by
    root without owners gets them back at the start."""
    c = Chain(rig, server={"user": "nobody", "vault-user": "daemon"})
    top = c.seal.dir
    while os.stat(top).st_uid == os.geteuid() and top != "/":
        if os.stat(top).st_mode & 0o1000:
            break
        os.chmod(top, 0o755)
        top = os.path.dirname(top)
    c.start()
    c.published(1)
    path, answer = backup(c)
    assert answer["keys"] == 2

    def owners(root):
        out = {}
        for d, ds, fs in os.walk(root):
            for f in fs + ds:
                name = os.path.relpath(os.path.join(d, f), root)
                out.setdefault(name.split("/")[0], set()).add(pwd.getpwuid(os.lstat(os.path.join(d, f)).st_uid).pw_name)
        return out
    made = owners(path)
    assert made == {"zones": {"nobody"}, "register": {"nobody"}, "keys": {"daemon"}, "keymap": {"root"}, "MANIFEST": {"root"}}
    change(c, 2)
    lost = c.published(2)
    c.seal.stop()
    shutil.rmtree(c.seal.state_dir)
    subprocess.run(["cp", "-r", path, c.seal.state_dir], check=True)
    assert owners(c.seal.state_dir)["keys"] == {"root"}
    change(c, 3)
    c.seal.start()
    assert c.published(3) > lost
    c.verify()
    back = owners(c.seal.state_dir)
    assert back["zones"] == back["register"] == {"nobody"} and back["keys"] == {"daemon"}
