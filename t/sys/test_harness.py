# SPDX-License-Identifier: GPL-3.0-or-later
"""The tools of the other tests, without zoneseal: servers transfer to each other, and each judge can say no."""

import os

import pytest

import harness
import seal
import servers
import zones

ZONE = "seal.example."


@pytest.mark.parametrize("tsig", [False, True])
def test_pairs_without_us(rig, tsig):
    key = harness.Tsig() if tsig else None
    firsts = [servers.KINDS[k](rig, "primary", key).add_zone(ZONE, zones.sample(ZONE, 1)) for k in servers.KINDS]
    pairs = []
    for first, kind in zip(firsts, ("knot", "bind", "nsd")):
        second = servers.KINDS[kind](rig, "secondary", key, [first]).add_zone(ZONE)
        first.peers.append(second)
        pairs.append((first, second))
    for s in (s for pair in pairs for s in pair):
        s.start()
    for first, second in pairs:
        second.wait_serial(ZONE, 1)
        first.change(ZONE, zones.sample(ZONE, 2))
        second.wait_serial(ZONE, 2)
        assert "it's here" in open(second.axfr(ZONE)).read()


@pytest.fixture(scope="module")
def signed(tmp_path_factory):
    return seal.sign_with_bind(str(tmp_path_factory.mktemp("signed")), ZONE, zones.sample(ZONE, 1))


def test_judges_say_yes(signed):
    seal.verify_zone(signed, ZONE)


@pytest.mark.parametrize("judge", ["dnssec-verify", "kzonecheck", "ldns-verify-zone"])
def test_judges_say_no(signed, judge, tmp_path):
    lines = [line.split(None, 12) for line in open(signed) if not line.startswith(";")]
    at = next(i for i, f in enumerate(lines) if f[3] == "RRSIG" and f[4] == "MX")
    sig = list(lines[at][12])
    sig[5] = "A" if sig[5] != "A" else "B"
    lines[at][12] = "".join(sig)
    bad = os.path.join(str(tmp_path), "bad")
    with open(bad, "w") as f:
        f.write("\n".join(" ".join(x) for x in lines) + "\n")
    with pytest.raises(harness.Failure, match=judge):
        seal.verify_zone(bad, ZONE, skip={"dnssec-verify", "kzonecheck", "ldns-verify-zone"} - {judge})

