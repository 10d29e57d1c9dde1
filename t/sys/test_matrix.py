# SPDX-License-Identifier: GPL-3.0-or-later
"""Who talks to whom, and what is signed with what: every primary with every secondary, and on one pair every key store,
denial and algorithm. What is served must please the three judges, and must be upstream's data."""

import pytest

import chain
import harness
import servers
import zones
from chain import ALGORITHMS, ZONE, Chain

KINDS = sorted(servers.KINDS)


@pytest.mark.parametrize("secondary", KINDS)
@pytest.mark.parametrize("primary", KINDS)
def test_pair(rig, primary, secondary):
    c = Chain(rig, primary, secondary, tsig=harness.Tsig(), policy_options={"denial": "nsec3"})
    c.secondary.validate = True  # a Knot secondary checks by itself
    c.start()
    first = c.published(1)
    chain.same_data(c)
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra="new.%s 300 IN A 192.0.2.99\n" % ZONE))
    assert c.published(2) > first
    c.verify()
    chain.same_data(c)


def sign_and_judge(rig, keystore, denial, algorithm):
    token = servers.SoftHsm(rig) if keystore == "hsm" else None
    options = {"denial": "nsec" if denial == "nsec" else "nsec3", "algorithm": algorithm}
    if denial == "opt-out":
        options["nsec3"] = {"opt-out": "yes"}
    c = Chain(rig, policy_options=options, keystore=token.keystore() if token else None).start()
    first = c.published(1)
    path = c.verify()
    assert chain.algorithms(path) == {ALGORITHMS[algorithm]}
    types = chain.types(path)
    assert ("NSEC" in types, "NSEC3" in types) == (denial == "nsec", denial != "nsec")
    if denial != "nsec":
        flags = {rdata.split()[1] for _, _, t, rdata in chain.records(path) if t == "NSEC3"}
        assert flags == {"1" if denial == "opt-out" else "0"}
        assert [r[3].split()[:2] for r in chain.records(path) if r[2] == "NSEC3PARAM"] == [["1", "0"]]
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra="new.%s 300 IN A 192.0.2.99\n" % ZONE))
    assert c.published(2) > first
    c.verify()
    chain.same_data(c)


@pytest.mark.parametrize("algorithm", ["rsasha256", "ecdsap256sha256", "ed25519"])
@pytest.mark.parametrize("denial", ["nsec", "nsec3", "opt-out"])
@pytest.mark.parametrize("keystore", ["file", "hsm"])
def test_signing(rig, keystore, denial, algorithm):
    sign_and_judge(rig, keystore, denial, algorithm)


@pytest.mark.parametrize("algorithm", ["rsasha512", "ecdsap384sha384", "ed448"])
def test_other_algorithms_once(rig, algorithm):
    sign_and_judge(rig, "file", "nsec3", algorithm)


@pytest.mark.parametrize("algorithm", ["rsasha512", "ecdsap384sha384"])
def test_other_algorithms_on_a_token(rig, algorithm):
    sign_and_judge(rig, "hsm", "nsec", algorithm)


def test_nsec3_salt_and_iterations(rig):
    c = Chain(rig, policy_options={"denial": "nsec3", "nsec3": {"iterations": "5", "salt-length": "8"}}).start()
    c.published(1)
    params = [r[3].split() for r in chain.records(c.verify()) if r[2] == "NSEC3PARAM"]
    assert len(params) == 1 and params[0][2] == "5" and len(params[0][3]) == 16
