# SPDX-License-Identifier: GPL-3.0-or-later
"""Input that differs too much from what is served is held until it is released: a zone that shrank (a torn file at the
primary), delegations that are all others (a generator gone wrong)."""

import pytest

import zones
from chain import ZONE, Chain


def crowd(n, start=0):
    return "".join("h%d.%s 300 IN A 192.0.2.%d\n" % (i, ZONE, i % 250 + 1) for i in range(start, start + n))


def children(names):
    return "".join("%s.%s 300 IN NS ns.%s.%s\nns.%s.%s 300 IN A 192.0.2.7\n" % (n, ZONE, n, ZONE, n, ZONE) for n in names)


@pytest.mark.parametrize("case, before, after, reason", [
    ("shrunk", crowd(600), crowd(300), "shrink-guard: 1 name: .*300 records|shrink-guard"),
    ("other delegations", children("c%d" % i for i in range(60)), children("d%d" % i for i in range(60)), "churn-guard"),
], ids=["shrunk", "other-delegations"])
def test_guard_holds_until_released(rig, case, before, after, reason):
    c = Chain(rig, text=zones.sample(ZONE, 1, extra=before)).start()
    first = c.published(1)
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra=after))
    c.seal.wait_alarm(ZONE, "held", reason)
    assert c.seal.serial(ZONE) == first and c.seal.status(ZONE)["held"]["serial"] == 2
    c.seal.ctl("zone", "release", ZONE)
    assert c.published(2) > first
    c.verify()
    assert "held" not in c.seal.alarms(ZONE)


def test_guard_lets_ordinary_changes_pass(rig):
    c = Chain(rig, text=zones.sample(ZONE, 1, extra=crowd(600) + children("c%d" % i for i in range(60)))).start()
    c.published(1)
    for serial, hosts, kids in ((2, crowd(570), range(5, 65)), (3, crowd(900), range(10, 70)), (4, crowd(880, 20), range(10, 60))):
        c.primary.change(ZONE, zones.sample(ZONE, serial, extra=hosts + children("c%d" % i for i in kids)))
        c.published(serial)
    c.verify()


def test_guard_off(rig):
    c = Chain(rig, text=zones.sample(ZONE, 1, extra=crowd(600)), zone_options={"guard": {"shrink": "0%", "churn": "0%"}}).start()
    c.published(1)
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    c.published(2)
