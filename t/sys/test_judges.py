# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a verifier is left out of other tests (judges.py), it is wrong about zones that are not ours, too: here they are,
signed by the signers of BIND and ldns. The other verifiers agree with them. When one of these tests fails, Debian's
verifier was mended: take the entry out of judges.py."""

import os
import subprocess

import pytest

import harness
import judges
import seal
import zones

ZONE = "judged.example."
ALL = ("dnssec-verify", "kzonecheck", "ldns-verify-zone")


def sign_with_ldns(directory, zone, text):
    with open(os.path.join(directory, "plain"), "w") as f:
        f.write(text)
    keys = [subprocess.run(["ldns-keygen", "-a", "ECDSAP256SHA256", *flags, zone], cwd=directory, check=True, capture_output=True,
                           text=True).stdout.strip() for flags in (["-k"], [])]
    subprocess.run(["ldns-signzone", "-o", zone, "-f", "signed", "plain", *keys], cwd=directory, check=True, capture_output=True)
    return os.path.join(directory, "signed")


def lines(what):
    return {
        "nul": ["a\\000b.%s 300 IN A 192.0.2.1" % ZONE, "b.a.%s 300 IN A 192.0.2.1" % ZONE],
        "escaped-at": ["\\;.%s 300 IN A 192.0.2.1" % ZONE, "\\@.%s 300 IN A 192.0.2.1" % ZONE],
        "long-escaped": zones.long_names(ZONE, 16, [b"\xff"])[:1],
        "rrset-64k": zones.big_rrset(ZONE, 64800),
        "rrset-over-64k": zones.big_rrset(ZONE, 150000),
        "null": ["nul.%s 300 IN TYPE10 \\# 2 0000" % ZONE],
        "below-dname": ["dn.%s 300 IN DNAME target.example." % ZONE, "below.dn.%s 300 IN A 192.0.2.9" % ZONE],
        "wildcard-ns": ["*.wcut.%s 300 IN NS ns.elsewhere.example." % ZONE],
    }[what]


# BIND's signer takes no zone that BIND does not load. ldns signs an RRset over 64 KiB, but not all of it: the one case in
# which the others have nothing to agree with.
SIGNERS = [("nul", seal.sign_with_bind), ("nul", sign_with_ldns), ("escaped-at", seal.sign_with_bind), ("long-escaped", seal.sign_with_bind),
           ("rrset-64k", seal.sign_with_bind), ("rrset-over-64k", sign_with_ldns), ("null", seal.sign_with_bind), ("null", sign_with_ldns),
           ("below-dname", seal.sign_with_bind), ("below-dname", sign_with_ldns), ("wildcard-ns", sign_with_ldns)]


@pytest.mark.parametrize("what,sign", SIGNERS, ids=["%s-%s" % (w, s.__name__.rsplit("_", 1)[1]) for w, s in SIGNERS])
def test_a_verifier_is_wrong_about_a_zone_of_others(tmp_path, what, sign):
    path = sign(str(tmp_path), ZONE, zones.head(ZONE, 1) + "\n".join(lines(what)) + "\n")
    for judge in sorted(judges.CANNOT[what]):
        with pytest.raises(harness.Failure, match=judge):
            seal.verify_zone(path, ZONE, skip=set(ALL) - {judge})
    if what != "rrset-over-64k":
        seal.verify_zone(path, ZONE, skip=judges.CANNOT[what])


def test_every_entry_has_its_proof():
    assert {what for what, _ in SIGNERS} == set(judges.CANNOT)
