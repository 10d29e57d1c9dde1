# SPDX-License-Identifier: GPL-3.0-or-later
"""A change costs what changed: differences in, signatures that stay, the same zone as a full signing."""

import re

import pytest

import chain
import harness
import zones
from chain import ZONE, Chain

STEPS = [
    "a.new.deep.tree.{z} 300 IN A 192.0.2.1",
    "a.new.deep.tree.{z} 300 IN A 192.0.2.2\nb.new.deep.tree.{z} 300 IN TXT \"x\"",
    "cut.{z} 300 IN NS ns.cut.{z}\nns.cut.{z} 300 IN A 192.0.2.3",
    "cut.{z} 300 IN NS ns.cut.{z}\nns.cut.{z} 300 IN A 192.0.2.3\ncut.{z} 300 IN DS 1 13 2 " + "ab" * 32,
    "cut.{z} 300 IN NS ns.cut.{z}\nns.cut.{z} 300 IN A 192.0.2.3\nx.y.cut.{z} 300 IN TXT \"hidden\"",
    "ns.cut.{z} 300 IN A 192.0.2.3\nx.y.cut.{z} 300 IN TXT \"now seen\"",
    "dn.{z} 300 IN DNAME other.example.",
    "x.dn.{z} 300 IN TXT \"seen\"",
    "*.{z} 300 IN TXT \"wild\"",
    "www2.{z} 300 IN CNAME www.{z}",
    "",
]


def steps(c, options):
    c.primary.ixfr = options
    c.start()
    c.published(1)
    for n, step in enumerate(STEPS, 2):
        text = step.format(z=ZONE)
        c.primary.change(ZONE, zones.sample(ZONE, n, extra=text + "\n" if text else ""))
        c.published(n)
        c.verify()
        chain.same_data(c)


@pytest.mark.parametrize("denial", [{"denial": "nsec"}, {"denial": "nsec3"}, {"denial": "nsec3", "nsec3": {"opt-out": "yes"}}],
                         ids=["nsec", "nsec3", "opt-out"])
@pytest.mark.parametrize("primary,ixfr", [("knot", True), ("bind", True), ("nsd", False)])
def test_changes_follow_as_differences(rig, primary, ixfr, denial):
    c = Chain(rig, primary=primary, policy_options=denial)
    steps(c, ixfr)
    log = c.seal.log()
    assert len(re.findall(r"type=ixfr", log)) == (len(STEPS) if ixfr else 0)
    assert len(re.findall(r"event=started upstream", log)) == (1 if ixfr else 1 + len(STEPS))
    made = sum(int(x) for x in re.findall(r"event=published serial=\d+ upstream=\d+ rrsets=\d+ signatures=(\d+)", log))
    assert made < 12 * len(STEPS), log


def test_another_chain_is_one_version(rig):
    """NSEC to NSEC3 and back, between changes: zone-sized, one version each, and changes go on on top of it."""
    c = Chain(rig, primary="knot", policy_options={"denial": "nsec"})
    c.primary.ixfr = True
    c.start()
    serial, n = c.published(1), 1
    for denial in ("nsec3", "nsec"):
        n += 1
        c.primary.change(ZONE, zones.sample(ZONE, n, extra="n%d.%s 300 IN A 192.0.2.1\n" % (n, ZONE)))
        serial = c.published(n)
        c.seal.conf["policies"][0]["denial"] = denial
        c.seal.reload()
        c.seal.wait_zone(ZONE, lambda s: s["version"]["denial"] == denial and s["signed_serial"] > serial, "the other chain")
        now = c.published(n)
        assert now > serial
        assert ("NSEC3" in chain.types(c.verify())) == (denial == "nsec3")
        chain.same_data(c)


def test_too_much_for_one_commit_becomes_a_generation(rig):
    c = Chain(rig, primary="knot")
    c.primary.ixfr = True
    c.seal.pages = 1024  # of a version, instead of 32,768
    c.start()
    c.published(1)
    many = "".join("m%d.%s 300 IN A 192.0.2.1\n" % (i, ZONE) for i in range(300))
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra=many))
    c.published(2)
    assert "event=large" in c.seal.log()
    c.primary.change(ZONE, zones.sample(ZONE, 3, extra=many + "one.more.%s 300 IN A 192.0.2.1\n" % ZONE))
    c.published(3)
    c.verify()
    chain.same_data(c)
