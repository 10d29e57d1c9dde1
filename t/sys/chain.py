# SPDX-License-Identifier: GPL-3.0-or-later
"""The line that most tests stand up: a primary, zoneseal, a secondary, and a zone through all three."""

import os

import harness
import seal
import servers
import zones

ZONE = "seal.example."

# Config name, DNSSEC number.
ALGORITHMS = {"rsasha256": 8, "rsasha512": 10, "ecdsap256sha256": 13, "ecdsap384sha384": 14, "ed25519": 15, "ed448": 16}


class Chain:
    def __init__(self, rig, primary="nsd", secondary="nsd", tsig=None, zone=ZONE, text=None, policy="default", policy_options=None,
                 keystore=None, zone_options=None, server=None):
        self.rig, self.zone_name = rig, zone
        self.seal = seal.Zoneseal(rig, **(server or {}))
        self.primary = servers.KINDS[primary](rig, "primary", tsig, [_Peer(self.seal)])
        self.secondary = servers.KINDS[secondary](rig, "secondary", tsig, [_Peer(self.seal)])
        self.seal.peer = self.secondary.addr
        self.primary.add_zone(zone, text if text is not None else zones.sample(zone, 1))
        self.secondary.add_zone(zone)
        if keystore:
            self.seal.keystore(keystore)
        if policy_options is not None:
            options = dict(policy_options)
            if keystore:
                options["keystore"] = keystore["name"]
            policy = self.seal.policy(policy if policy != "default" else "tested", **options)
        self.seal.zone(zone, [self.primary], [self.secondary], policy, **(zone_options or {}))

    def start(self):
        self.primary.start()
        self.secondary.start()
        self.seal.start()
        return self

    def published(self, upstream=1, timeout=None):
        """Until the secondary serves what we sign for this upstream serial; the signed serial."""
        serial = self.seal.wait_published(self.zone_name, upstream, timeout)
        self.secondary.wait_serial(self.zone_name, serial, timeout)
        return serial

    def verify(self, **how):
        """The three judges on what the secondary serves, and on our own export; the secondary's file."""
        path = self.secondary.axfr(self.zone_name)
        seal.verify_zone(path, self.zone_name, **how)
        return path


class _Peer:
    def __init__(self, daemon):
        self.addr, self.name = daemon.addr, daemon.name


def records(path):
    """(owner, ttl, type, rdata) of a file with a record a line."""
    out = []
    for line in open(path, errors="surrogateescape"):
        if line.strip() and not line.startswith(";"):
            owner, ttl, _, rtype, rdata = (line.strip().split(None, 4) + [""])[:5]
            if rtype in ("RRSIG", "DNSKEY"):  # base64 may come in pieces
                head = rdata.split(None, 8 if rtype == "RRSIG" else 3)
                rdata = " ".join(head[:-1] + ["".join(head[-1].split())])
            out.append((owner, int(ttl), rtype, rdata.lower() if rdata.startswith("\\#") else rdata))
    return out


MADE = {"RRSIG", "NSEC", "NSEC3", "NSEC3PARAM", "DNSKEY", "CDS", "CDNSKEY"}


def unsigned(path):
    """What upstream gave: the records without those that signing adds, the SOA's serial taken out."""
    out = []
    for owner, ttl, rtype, rdata in records(path):
        if rtype == "SOA":
            rdata = " ".join("S" if i == 2 else x for i, x in enumerate(rdata.split()))
        if rtype not in MADE:
            out.append((owner, ttl, rtype, rdata))
    return sorted(out)


def same_data(chain):
    """We serve upstream's data, nothing lost, nothing added, case and TTLs kept; so does the secondary, but for case,
    which NSD and Knot do not keep."""
    theirs = unsigned(chain.primary.axfr(chain.zone_name))
    ours = unsigned(chain.seal.axfr(chain.zone_name, tsig=chain.secondary.tsig))
    missing, extra = set(theirs) - set(ours), set(ours) - set(theirs)
    assert not missing and not extra, "missing %s, extra %s" % (sorted(missing)[:10], sorted(extra)[:10])
    public = unsigned(chain.secondary.axfr(chain.zone_name))
    missing = {str(x).lower() for x in theirs} ^ {str(x).lower() for x in public}
    assert not missing, sorted(missing)[:10]


def algorithms(path):
    return {int(rdata.split()[1]) for _, _, rtype, rdata in records(path) if rtype == "RRSIG"}


def types(path):
    return {r[2] for r in records(path)}


def shared(name):
    """A file of the shared test data, None without it."""
    path = os.path.join(harness.SHARED_DATA, name)
    return path if os.path.exists(path) else None
