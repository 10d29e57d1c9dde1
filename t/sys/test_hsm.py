# SPDX-License-Identifier: GPL-3.0-or-later
"""Trouble with key stores: the service goes on, nothing is signed with the wrong key, and it heals by itself."""

import os
import signal

import chain
import harness
import servers
import zones
from chain import ZONE, Chain


def on_token(rig, **more):
    token = servers.SoftHsm(rig)
    return token, Chain(rig, policy_options={"denial": "nsec3"}, keystore=token.keystore(), **more)


def change(c, serial):
    c.primary.change(c.zone_name, zones.sample(c.zone_name, serial))


def test_token_absent_at_the_start_then_there(rig):
    token, c = on_token(rig)
    token.hide()
    c.start()
    c.seal.wait_alarm(ZONE, "signing")
    assert c.seal.serial(ZONE) is None and not any(k["active"] for k in c.seal.status(ZONE)["keys"])
    assert c.seal.metric("zoneseal_keystore_up", keystore="hsm") == 0
    token.show()
    c.seal.ctl("hsm", "retry", "hsm")
    c.published(1)
    c.verify()
    assert not c.seal.alarms(ZONE)


def test_token_away_for_a_change_then_back(rig):
    token, c = on_token(rig)
    c.start()
    serial = c.published(1)
    tags = sorted(k["tag"] for k in c.seal.status(ZONE)["keys"])
    c.seal.stop()
    token.hide()
    c.seal.start()
    change(c, 2)
    c.seal.wait_alarm(ZONE, "signing")
    assert c.seal.serial(ZONE) == serial
    token.show()
    c.seal.ctl("hsm", "retry", "hsm")
    c.published(2)
    assert sorted(k["tag"] for k in c.seal.status(ZONE)["keys"]) == tags  # no new keys because the old ones were away
    c.verify()


def test_wrong_pin_is_tried_once_restarts_included(rig):
    token, c = on_token(rig)
    token.write_pin("00000000")
    c.start()
    c.seal.wait_alarm(ZONE, "signing")
    harness.wait_for(lambda: "pin" in c.seal.ctl("-j", "hsm", "status").stdout.lower(), "the latch to show")
    c.seal.stop()
    c.seal.start()
    c.seal.wait_alarm(ZONE, "signing")
    token.write_pin(token.pin)  # another file: the latch opens by itself, or on order
    c.seal.ctl("hsm", "retry", "hsm")
    c.published(1)
    c.verify()


def test_vault_killed_again_and_again(rig):
    token, c = on_token(rig)
    c.start()
    serial = c.published(1)
    for n in range(2, 5):
        for pid in c.seal.child("vault"):
            os.kill(pid, signal.SIGKILL)
        change(c, n)
        newer = c.published(n)
        assert newer > serial
        serial = newer
    c.verify()


def test_engine_killed(rig):
    token, c = on_token(rig)
    c.start()
    serial = c.published(1)
    for pid in c.seal.child("engine"):
        os.kill(pid, signal.SIGKILL)
    harness.wait_for(lambda: c.seal.serial(ZONE), "the engine to be back")
    change(c, 2)
    assert c.published(2) > serial


def test_file_store_works_while_a_token_is_away(rig):
    token, c = on_token(rig)
    token.hide()
    other = "files.example."
    c.primary.add_zone(other, zones.sample(other, 1))
    c.secondary.add_zone(other)
    c.seal.zone(other, [c.primary], [c.secondary], c.seal.policy("in-files"))
    c.start()
    c.seal.wait_alarm(ZONE, "signing")
    c.seal.wait_published(other, 1)
    change_serial = c.seal.status(other)["signed_serial"]
    c.primary.change(other, zones.sample(other, 2))
    assert c.seal.wait_published(other, 2) > change_serial
    token.show()


def test_hsm_verbs(rig):
    token, c = on_token(rig)
    c.start()
    c.published(1)
    assert c.seal.ctl("hsm", "test", "hsm").returncode == 0
    assert c.seal.ctl("hsm", "test", "nonsense").returncode == 1
    assert c.seal.ctl("hsm", "status").returncode == 0
    text = c.seal.log() + c.seal.ctl("conf", "dump").stdout
    assert token.pin not in text
    for pid in [c.seal.process.pid] + c.seal.children():
        with open("/proc/%d/cmdline" % pid, "rb") as f, open("/proc/%d/environ" % pid, "rb") as g:
            assert token.pin.encode() not in f.read() + g.read()
