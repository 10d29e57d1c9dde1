# SPDX-License-Identifier: GPL-3.0-or-later
"""Corners of the way of a change: orders that meet each other or what is under way, reloads in the middle of it, primaries
that do not agree, and content that changes under one serial."""

import datetime
import threading

import pytest

import chain
import harness
import seal
import zones
from chain import ZONE
from raw import AXFR, IXFR, Raw, record
from script import Script
from test_ixfr import A, B, Line, crowd, text

DONE = 0


def versions(s):
    """Upstream's versions in history, newest first: (number, upstream serial)."""
    rows = seal.documents(s.ctl("-j", "zone", "history", ZONE).stdout)[0]["versions"]
    return [(v["version"], v["upstream_serial"]) for v in rows]


def retransfer(x):
    r = x.seal.ctl("zone", "retransfer", "--wait", ZONE)
    assert r.returncode == DONE, r.stdout + r.stderr


# --- orders -----------------------------------------------------------------------------------------------------


def test_rollback_over_a_change_that_kept_the_soa(rig):
    """Upstream changed its zone and not its serial; and it may go back and forth."""
    x = Line(rig, text(5, A))
    x.published()
    x.primary.next(text(5, A + B), wait=False)
    retransfer(x)
    x.check()
    (now, _), (old, _) = versions(x.seal)[:2]
    r = x.seal.ctl("zone", "rollback", "--wait", ZONE, "v%d" % old)
    assert r.returncode == DONE, r.stdout + r.stderr
    x.primary.set(text(5, A))
    x.check()
    assert list(x.seal.alarms(ZONE)) == ["held"] and "failed" not in x.seal.alarms(ZONE)["held"]
    r = x.seal.ctl("zone", "rollback", "--wait", ZONE, "v%d" % now)
    assert r.returncode == DONE, r.stdout + r.stderr
    x.primary.set(text(5, A + B))
    x.check()
    assert list(x.seal.alarms(ZONE)) == ["held"]


def test_a_second_rollback_while_the_first_waits(rig):
    x = Line(rig, text(1))
    x.published()
    x.next(text(2, A))
    x.next(text(3, A + B))
    x.seal.stop()
    away = Raw(rig, ZONE, text(1))  # a secondary that is not there yet: nothing is published before it was heard
    x.seal.conf["zones"][0]["downstream"] = [x.seal.remote(away)]
    x.seal.start()
    x.seal.wait_zone(ZONE, lambda s: s["served"], "the stored version")
    assert x.seal.ctl("zone", "rollback", ZONE, "u2").returncode == DONE
    x.seal.wait_alarm(ZONE, "publication", "waiting for an answer")
    assert x.seal.ctl("zone", "rollback", ZONE, "u1").returncode == DONE
    away.start()
    x.seal.wait_zone(ZONE, lambda s: s["upstream_serial"] == 1 and not s["busy"], "the second one")
    x.primary.set(text(1))
    x.check()
