# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole daemon killed at each state of a zone's way, first build and change alike: what was published stays, no key is
lost, and after the restart the job is done as if nothing had been."""

import os

import pytest

import chain
import harness
import seal
import servers
import zones
from chain import ZONE, Chain


def large(serial):
    """Enough for every state to be seen by a control socket."""
    return zones.sample(ZONE, serial) + "".join("n%d.%s 300 IN A 192.0.2.%d\n" % (i, ZONE, (i + serial) % 250) for i in range(4000))


def kill_in(c, states):
    """Kills the daemon in one of these states. False when the version was there first."""
    def seen():
        s = c.seal.status(ZONE)
        return s["state"] if s["state"] in states else "done" if s["served"] and s["state"] == "idle" and s["upstream_serial"] == c.serial else None
    what = harness.wait_for(seen, "one of %s" % (states, ), alive=[c.seal.process])
    c.seal.kill()
    return what != "done"


@pytest.mark.parametrize("hsm", [False, True])
def test_killed_on_the_way(rig, hsm):
    token = servers.SoftHsm(rig) if hsm else None
    c = Chain(rig, text=large(1), policy_options={"denial": "nsec3"}, keystore=token.keystore() if token else None)
    c.serial = 1
    c.primary.start()
    c.secondary.start()
    for states in (("keys", ), ("queued", "transfer"), ("build", ), ("build", "guard")):
        c.seal.start()
        kill_in(c, states)
    c.seal.start()
    first = c.published(1)
    ids = sorted(k["id"] for k in c.seal.status(ZONE)["keys"])
    assert len(ids) == 2
    for n, states in enumerate((("transfer", ), ("build", ), ("guard", "build")), 2):
        c.serial = n
        c.primary.change(ZONE, large(n))
        kill_in(c, states)
        c.seal.start()
        assert harness.wait_for(lambda: c.seal.serial(ZONE), "the stored version") >= first
        serial = c.published(n)
        assert serial > first
        first = serial
    assert sorted(k["id"] for k in c.seal.status(ZONE)["keys"]) == ids
    c.verify()
    chain.same_data(c)


def test_damaged_generation_is_put_aside_and_built_anew(rig):
    c = Chain(rig).start()
    serial = c.published(1)
    ids = sorted(k["id"] for k in c.seal.status(ZONE)["keys"])
    c.seal.stop()
    files = [os.path.join(d, f) for d, _, fs in os.walk(os.path.join(c.seal.state_dir, "zones")) for f in fs if f.endswith(".mdb")]
    assert files
    for path in files:
        with open(path, "r+b") as f:
            f.truncate(5000)
    c.seal.start()
    newer = c.published(1)
    assert newer > serial  # other signatures under a used serial would never reach the secondaries
    assert sorted(k["id"] for k in c.seal.status(ZONE)["keys"]) == ids
    seal.verify_zone(c.secondary.axfr(ZONE), ZONE)
