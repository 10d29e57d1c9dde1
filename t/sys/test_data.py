# SPDX-License-Identifier: GPL-3.0-or-later
"""Real zones. The large ones are not ours to pass on and lie beside the project (../shared/data); where they are absent
each is skipped by name. A small extract with a free licence lies in t/data, so that this never tests nothing."""

import lzma
import os
import re

import pytest

import chain
import harness
import raw
import seal
import zones
from chain import Chain

NEO = {"neo.": "neonetwork", "127.10.in-addr.arpa.": "db.10.127", "7.2.1.0.0.1.d.f.ip6.arpa.": "db.fd10.127"}


def data(name):
    path = chain.shared(name)
    if not path:
        pytest.skip("test data %s is not beside this checkout" % name)
    opener = lzma.open if name.endswith(".xz") else open
    with opener(path, "rt") as f:
        return f.read()


def serial_of(text):
    return int(re.search(r"\bSOA\s+\S+\s+\S+\s+\(?\s*(\d+)", text).group(1))


def sign_real(rig, zone, text, secondary="nsd", denial="nsec3", skip=(), **more):
    c = Chain(rig, secondary=secondary, zone=zone, text=text, policy_options={"denial": denial}, **more).start()
    c.published(serial_of(text), timeout=240)
    c.verify(skip=skip)
    chain.same_data(c)
    return c


def test_root(rig):
    """With TSIG: NSD signs one message in a hundred of the many that this takes."""
    sign_real(rig, ".", data("root/base.zone.xz"), denial="nsec", tsig=harness.Tsig())


def test_is_a_dev(rig):
    sign_real(rig, "is-a.dev.", data("is-a-dev/base.zone.xz"), primary="bind", secondary="knot", tsig=harness.Tsig(algorithm="hmac-sha512"))


@pytest.mark.parametrize("zone", sorted(NEO))
def test_neonetwork(rig, zone):
    sign_real(rig, zone, data("neonetwork/" + NEO[zone]))


def test_extract_of_our_own(rig):
    """t/data: from the is-a.dev registry (MIT), see the licence beside it."""
    with open(os.path.join(harness.OWN_DATA, "is-a-dev.zone")) as f:
        sign_real(rig, "is-a.dev.", f.read())


def test_invalid_is_held_and_every_name_counted(rig):
    text = data("is-a-dev/invalid.zone.xz")
    s = seal.Zoneseal(rig)
    s.zone("is-a.dev.", [raw.Raw(rig, "is-a.dev.", text).start()])  # no name server loads such a zone
    s.start()
    reason = s.wait_alarm("is-a.dev.", "held", timeout=120)
    assert re.search(r"cname-and-other-data: 156 names", reason), reason
    assert reason.count(".is-a.dev.") == 10, reason
    assert s.serial("is-a.dev.") is None
    assert s.status("is-a.dev.")["held"]["serial"] == serial_of(text)


def without_comments(text):
    return "".join(line + "\n" for line in text.splitlines() if line.strip() and not line.startswith(";"))


def one_soa(text):
    """dig's transfers end with the SOA again."""
    lines = without_comments(text).splitlines()
    first = next(i for i, line in enumerate(lines) if re.search(r"\sSOA\s+[^\d\s]\S*\.\s", line))
    return "".join(line + "\n" for i, line in enumerate(lines) if i <= first or line != lines[first])


@pytest.mark.parametrize("zone,name", [("arpa.", "signed/arpa-2024.zone.xz"), (".", "signed/root-2017.zone.xz")])
def test_signed_input_is_refused(rig, zone, name):
    c = Chain(rig, zone=zone, text=one_soa(data(name)), policy_options={}).start()
    c.seal.wait_alarm(zone, "held", "dnssec", timeout=120)
    assert c.seal.serial(zone) is None


@pytest.mark.parametrize("zone,name", [("arpa.", "signed/arpa-2024.zone.xz"), (".", "signed/root-2017.zone.xz")])
def test_signed_input_is_stripped_released_and_signed(rig, zone, name):
    text = one_soa(data(name))
    c = Chain(rig, zone=zone, text=text, policy_options={"denial": "nsec"}, zone_options={"upstream-dnssec": "strip"}).start()
    reasons = harness.wait_for(lambda: c.seal.alarms(zone), "the strip guard", 120)
    assert "publication" in reasons or "held" in reasons, reasons
    assert c.seal.serial(zone) is None
    assert c.seal.ctl("zone", "release", zone).returncode == 0
    c.published(serial_of(text), timeout=240)
    path = c.verify()
    assert chain.algorithms(path) == {13}


def test_signed_input_passes_under_policy_none(rig):
    path = seal.sign_with_bind(rig.dir("signed"), chain.ZONE, zones.sample(chain.ZONE, 3))
    c = Chain(rig, text=open(path).read(), policy="none", zone_options={"upstream-dnssec": "pass"}).start()
    assert c.published(3) == 3
    c.verify()
    ours, theirs = (set(chain.records(x.axfr(chain.ZONE))) for x in (c.seal, c.primary))
    assert ours == theirs, "extra %s missing %s" % (sorted(ours - theirs)[:5], sorted(theirs - ours)[:5])


def test_what_must_be_held_is_held_and_the_last_good_version_stays(rig):
    bad = {
        "cname-and-other": "both.{z} 300 IN CNAME www.{z}\nboth.{z} 300 IN A 192.0.2.1\n",
        "ds-without-ns": "nons.{z} 300 IN DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\n",
        "dnssec": "x.{z} 300 IN NSEC y.{z} A\n",
    }
    c = Chain(rig, primary="bind").start()
    serial = c.published(1)
    n = 1
    for reason, lines in bad.items():
        n += 1
        text = zones.sample(chain.ZONE, n, extra=lines.format(z=chain.ZONE))
        if reason == "cname-and-other":  # BIND loads no such zone, NSD does
            continue
        c.primary.change(chain.ZONE, text)
        c.seal.wait_zone(chain.ZONE, lambda s, n=n: (s.get("held") or {}).get("serial") == n, "held %s" % reason)
        assert c.secondary.serial(chain.ZONE) == serial
    n += 1
    c.primary.change(chain.ZONE, zones.sample(chain.ZONE, n))
    assert c.published(n) > serial
    assert "held" not in c.seal.alarms(chain.ZONE)
