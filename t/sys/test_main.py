# SPDX-License-Identifier: GPL-3.0-or-later
"""The main job: an unsigned zone in, a signed zone out, and what stays true when parts of the line are away."""

import os
import re
import select
import subprocess

import pytest

import chain
import harness
import seal
import servers
import zones
from chain import ZONE, Chain


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(p) for p in f.read().split()]


def test_unsigned_zone_is_signed_and_changes_follow(rig):
    c = Chain(rig).start()
    first = c.published(1)
    path = c.verify()
    assert {"DNSKEY", "NSEC", "RRSIG"} <= chain.types(path) and "NSEC3" not in chain.types(path)
    assert chain.algorithms(path) == {13}
    chain.same_data(c)

    c.primary.change(ZONE, zones.sample(ZONE, 2, extra="new.%s 300 IN A 192.0.2.99\n" % ZONE))
    second = c.published(2)
    assert second > first
    path = c.verify()
    assert any(o == "new." + ZONE for o, _, _, _ in chain.records(path))
    chain.same_data(c)

    c.primary.change(ZONE, zones.sample(ZONE, 3))
    assert c.published(3) > second
    assert "new." + ZONE not in open(c.verify()).read()


def test_nothing_glue_or_occluded_is_signed(rig):
    c = Chain(rig).start()
    c.published(1)
    signed = {(o.lower(), d.split()[0]) for o, _, t, d in chain.records(c.verify()) if t == "RRSIG"}
    assert ("sec." + ZONE, "DS") in signed and ("*.wild." + ZONE, "TXT") in signed
    for owner, rtype in (("ns.ins", "A"), ("x.hidden.ins", "A"), ("ins", "NS"), ("sec", "NS"), ("ns.only.glue.ent.ins2", "A")):
        assert (owner + "." + ZONE, rtype) not in signed


def test_policy_none_serves_unsigned(rig):
    c = Chain(rig, policy="none").start()
    assert c.published(1) == 1
    assert not chain.types(c.secondary.axfr(ZONE)) & chain.MADE
    chain.same_data(c)
    c.primary.change(ZONE, zones.sample(ZONE, 7))
    assert c.published(7) == 7


def test_restart_serves_the_stored_version_at_once(rig):
    """No primary, no HSM: what is stored is served, with no transfer and no signature."""
    token = servers.SoftHsm(rig)
    c = Chain(rig, policy_options={"denial": "nsec3"}, keystore=token.keystore()).start()
    serial = c.published(1)
    before = sorted(chain.records(c.seal.axfr(ZONE)))
    c.seal.stop()
    c.primary.stop()
    token.hide()
    c.seal.start()
    assert harness.wait_for(lambda: c.seal.serial(ZONE), "the stored version") == serial
    assert sorted(chain.records(c.seal.axfr(ZONE))) == before
    made = c.seal.status(ZONE)["counters"]
    assert sum(made["signatures_made"].values()) == 0 and made["transfers_ok"] == 0
    token.show()


@pytest.mark.parametrize("hsm", [False, True])
def test_crash_and_restart(rig, hsm):
    token = servers.SoftHsm(rig) if hsm else None
    c = Chain(rig, policy_options={}, keystore=token.keystore() if hsm else None).start()
    serial = c.published(1)
    tags = sorted(k["tag"] for k in c.seal.status(ZONE)["keys"])
    c.seal.kill()
    c.seal.start()
    assert c.seal.wait_published(ZONE, 1) >= serial
    assert sorted(k["tag"] for k in c.seal.status(ZONE)["keys"]) == tags
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    assert c.published(2) > serial
    c.verify()


def test_answers_of_the_secondary_validate_from_our_ds(rig):
    c = Chain(rig).start()
    c.published(1)
    u = servers.Unbound(rig, c.seal.anchors(ZONE), {ZONE: c.secondary}).start()
    rcode, ad, _ = u.ask("www." + ZONE, "A")
    assert (rcode, ad) == ("NOERROR", True)


def test_tsig_on_both_sides(rig):
    c = Chain(rig, tsig=harness.Tsig()).start()
    serial = c.published(1)
    assert c.seal.serial(ZONE) is not None  # loopback may ask for the apex
    with pytest.raises(harness.Failure):
        c.seal.axfr(ZONE)  # the right address without the key
    wrong = harness.Tsig()
    wrong.secret = harness.Tsig("other.").secret
    with pytest.raises(harness.Failure):
        c.seal.axfr(ZONE, tsig=wrong)
    c.seal.axfr(ZONE, tsig=c.secondary.tsig)
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    assert c.published(2) > serial


def test_wrong_key_at_the_primary_changes_nothing(rig):
    c = Chain(rig, tsig=harness.Tsig())
    c.primary.tsig = harness.Tsig()
    c.primary.tsig.secret = harness.Tsig("other.").secret
    c.start()
    c.seal.wait_alarm(ZONE, "upstream")
    assert c.seal.serial(ZONE) is None


def test_primaries_are_tried_in_order(rig):
    c = Chain(rig)
    second = servers.Knot(rig, "primary").add_zone(ZONE, zones.sample(ZONE, 5)).start()
    c.seal.conf["zones"][0]["upstream"].append(c.seal.remote(second))
    c.secondary.start()
    c.seal.start()  # the first primary does not run
    serial = c.published(5)
    c.primary.write(ZONE, zones.sample(ZONE, 9))
    c.primary.start()
    c.seal.ctl("zone", "refresh", ZONE)
    assert c.published(9) > serial


def test_upstream_went_back_is_not_taken_but_on_order(rig):
    c = Chain(rig, text=zones.sample(ZONE, 10)).start()
    serial = c.published(10)
    c.primary.stop()
    c.primary.write(ZONE, zones.sample(ZONE, 4, extra="old.%s 300 IN A 192.0.2.44\n" % ZONE))
    c.primary.start()
    c.seal.ctl("zone", "refresh", ZONE)
    c.seal.wait_alarm(ZONE, "upstream", "back")
    assert c.secondary.serial(ZONE) == serial
    assert c.seal.ctl("zone", "retransfer", ZONE).returncode == 0
    newer = c.published(4)
    assert newer > serial
    assert "old." + ZONE in open(c.verify()).read()


def test_ipv6_on_both_sides(rig):
    c = Chain(rig)
    addr = {d: rig.address6() for d in (c.primary, c.secondary, c.seal)}
    for server in (c.primary, c.secondary):
        server.more_addresses = [addr[server]]
    for remote, server in zip(c.seal.conf["remotes"], (c.primary, c.secondary)):
        remote.update(address=["%s@%d" % (addr[server], harness.PORT)], source=[addr[c.seal]])
    c.seal.conf["server"]["listen"] = ["%s@%d" % (addr[c.seal], harness.PORT)]
    c.secondary.peers[0].addr = c.primary.peers[0].addr = addr[c.seal]
    c.start()
    serial = c.published(1)
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    assert c.published(2) > serial
    c.verify()


@pytest.mark.parametrize("serial,check", [("increment", lambda s: s < 1000), ("unixtime", lambda s: s > 1600000000),
                                          ("date", lambda s: 2020000000 < s < 2120000000)])
def test_serial_policies(rig, serial, check):
    c = Chain(rig, policy_options={"serial": serial}).start()
    first = c.published(1)
    assert check(first)
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    assert c.published(2) > first


def test_csk(rig):
    c = Chain(rig, policy_options={"keys": "csk"}).start()
    c.published(1)
    path = c.verify(csk=True)
    assert sum(t == "DNSKEY" for _, _, t, _ in chain.records(path)) == 1


@pytest.mark.parametrize("name", ["www." + ZONE, "nonsense." + ZONE])
def test_only_the_apex_is_answered(rig, name):
    c = Chain(rig).start()
    c.published(1)
    r = harness.ask(c.seal.addr, name, "A")
    assert r.rcode() == 5
    assert harness.ask(c.seal.addr, "elsewhere.example.", "SOA").rcode() == 5


def test_apex_answers(rig):
    c = Chain(rig).start()
    serial = c.published(1)
    for rdtype in ("SOA", "NS", "DNSKEY"):
        for tcp in (False, True):
            r = harness.ask(c.seal.addr, ZONE, rdtype, tcp=tcp)
            assert r.rcode() == 0 and harness.has(r, rdtype) and harness.has(r, "RRSIG"), (rdtype, tcp)
        assert not harness.has(harness.ask(c.seal.addr, ZONE, rdtype, dnssec=False), "RRSIG")
    r = harness.ask(c.seal.addr, ZONE, "TXT")
    assert r.rcode() == 0 and not r.answer and harness.has(r, "NSEC", "authority") and harness.has(r, "SOA", "authority")
    r = harness.ask(c.seal.addr, ZONE, "IXFR")
    assert r is None or r.rcode() in (0, 1, 5, 9)
    assert harness.serial_at(c.seal.addr, ZONE) == serial


def test_an_already_signed_zone_in_the_world_is_not_overrun(rig):
    """First-publication guard: a secondary that serves another DNSKEY holds us until `zone release`."""
    path = seal.sign_with_bind(rig.dir("world"), ZONE, zones.sample(ZONE, 50))
    old = re.findall(r"RRSIG\s+DNSKEY (?:\S+\s+){5}(\d+)", open(path).read())
    c = Chain(rig, text=zones.sample(ZONE, 1))
    c.secondary.write(ZONE, open(path).read())
    c.start()
    reason = c.seal.wait_alarm(ZONE, "publication")
    assert old and any(re.search(r"\b%s\b" % t, reason) for t in old), reason
    assert c.seal.serial(ZONE) is None
    assert c.seal.ctl("zone", "release", ZONE).returncode == 0
    assert c.published(1) > 50
    c.verify()


@pytest.mark.parametrize("target", ["file", "stderr"])
def test_in_the_background(rig, target):
    """Who started it can read its standard error to the end, unless the log goes there."""
    c = Chain(rig)
    s, log = c.seal, os.path.join(c.seal.dir, "log")
    s.conf["log"]["target"] = log if target == "file" else "stderr"
    s.write_conf()
    c.primary.start()
    c.secondary.start()
    r, w = os.pipe()
    out = os.open(log, os.O_WRONLY | os.O_CREAT) if target == "stderr" else w
    first = subprocess.Popen([os.path.join(seal.build_dir(), "zoneseald"), "-c", s.conf_path], stderr=out, stdin=subprocess.DEVNULL,
                             stdout=w)
    os.close(w)
    assert first.wait(60) == 0 and os.path.exists(s.socket)
    pid = int(re.search(r"parent\[(\d+)\] parent: ready", s.log()).group(1))
    try:
        assert select.select([r], [], [], 20)[0] and os.read(r, 1) == b""  # its end
        fds = {f: os.readlink("/proc/%d/fd/%d" % (p, f)) for p in (pid, *children(pid)) for f in (1, 2)}
        assert fds == {1: "/dev/null", 2: "/dev/null" if target == "file" else log}
        harness.wait_for(lambda: s.serial(ZONE), "a version")
    finally:
        s.ctl("stop")
        harness.wait_for(lambda: not os.path.exists("/proc/%d" % pid), "the end")
        os.close(r)


def test_state_directory_has_one_daemon(rig):
    c = Chain(rig).start()
    c.published(1)
    second = seal.Zoneseal(rig, **{"state-dir": c.seal.state_dir})
    second.zone(ZONE, [c.primary])
    second.start(wait=False)
    harness.wait_for(lambda: second.process.poll() is not None or re.search(r"lock|another|in use", second.log()), "the second to refuse")
    assert second.ctl("zone", "list").returncode != 0 or second.serial(ZONE) is None
    second.process.kill()
    second.killed = True
    assert c.seal.serial(ZONE) is not None


def test_files_of_the_state_directory_are_private(rig):
    c = Chain(rig).start()
    c.published(1)
    keys = [os.path.join(d, f) for d, _, fs in os.walk(os.path.join(c.seal.state_dir, "keys")) for f in fs]
    assert keys
    assert all(os.stat(k).st_mode & 0o077 == 0 for k in keys)
