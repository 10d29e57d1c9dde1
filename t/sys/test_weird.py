# SPDX-License-Identifier: GPL-3.0-or-later
"""Zones that nobody writes and anybody may send. A raw primary sends them, one record a message or packed; what comes out
of zoneseal must please the judges that can read it, lose no record and keep case and TTLs.

What a judge cannot read stands in judges.py, with the reason."""

import pytest

import chain
import harness
import judges
import seal
import servers
import zones
from raw import Raw, record

ZONE = "weird.example."


class Weird:
    def __init__(self, rig, zone, lines, secondary=None, per_message=0, **policy):
        text = lines if isinstance(lines, str) else zones.head(zone, 1) + "\n".join(lines) + "\n"
        self.zone = zone
        self.seal = seal.Zoneseal(rig)
        self.primary = Raw(rig, zone, text, per_message, [chain._Peer(self.seal)]).start()
        self.secondary = None
        if secondary:
            self.secondary = servers.KINDS[secondary](rig, "secondary", None, [chain._Peer(self.seal)]).add_zone(zone).start()
        name = self.seal.policy("weird", **policy) if policy else "default"
        self.seal.zone(zone, [self.primary], [self.secondary] if self.secondary else [], name, transfer=[self.anyone()])
        self.seal.start()

    def anyone(self):
        self.seal.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        return "anyone"

    def published(self, upstream=1):
        serial = self.seal.wait_published(self.zone, upstream)
        if self.secondary:
            self.secondary.wait_serial(self.zone, serial)
        return serial

    def check(self, skip=(), ttl=True):
        """Judges, and: the same records as the primary has, by owner (case kept), type and RDATA."""
        path = (self.secondary or self.seal).axfr(self.zone)
        seal.verify_zone(path, self.zone, skip=skip)
        sent = {(r[0], r[3], r[4]) + ((r[1],) if ttl else ()) for r in self.primary.rrs if r[3] != 6}
        got = set()
        for line in open(path):
            r = record(line)
            if r[3] not in (6, 46, 47, 50, 51, 48):
                got.add((r[0], r[3], r[4]) + ((r[1],) if ttl else ()))
        assert sent == got, "missing %s extra %s" % (sorted(sent - got)[:5], sorted(got - sent)[:5])
        return path


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_octets_in_labels(rig, denial):
    w = Weird(rig, ZONE, zones.octet_labels(ZONE), denial=denial)
    w.published()
    w.check(skip=judges.cannot("nul", "escaped-at") if denial == "nsec" else judges.cannot("nul"))


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
@pytest.mark.parametrize("fills,skip", [((b"a", b"Z", b"-"), ()), ((b"\x00", b"\x01", b"\xff"), judges.cannot("long-escaped"))])
def test_long_names(rig, denial, fills, skip):
    w = Weird(rig, ZONE, zones.long_names(ZONE, len(record("%s 1 IN A 192.0.2.1" % ZONE)[0]), fills), denial=denial)
    w.published()
    w.check(skip=skip)


def test_apex_so_long_that_an_nsec3_owner_has_no_room_is_held(rig):
    zone = ".".join(["a" * 63] * 3 + ["b" * 40]) + "."  # 233 octets: 32 more and a length octet go over 255
    w = Weird(rig, zone, zones.small(zone), denial="nsec3")
    alarms = harness.wait_for(lambda: w.seal.alarms(zone), "an alarm")
    assert set(alarms) & {"held", "signing", "vetoed"}, alarms
    assert w.seal.serial(zone) is None


@pytest.mark.parametrize("per_message", [0, 1])
@pytest.mark.parametrize("octets,skip", [(60000, ()), (64800, judges.cannot("rrset-64k")),
                                         (150000, judges.cannot("rrset-64k", "rrset-over-64k"))])
def test_big_rrsets(rig, octets, skip, per_message):
    w = Weird(rig, ZONE, zones.big_rrset(ZONE, octets), per_message=per_message)
    w.published()
    seal.verify_rrset(w.check(skip=skip), ZONE, "big." + ZONE, "TXT")


def test_case_is_kept_and_does_not_count(rig):
    w = Weird(rig, ZONE, zones.cases(ZONE), secondary="nsd")
    w.published()
    path = w.seal.axfr(ZONE)
    seal.verify_zone(path, ZONE)
    text = open(path).read()
    for there in ("CaSe.weird", "cAsE.weird", "MAIL.Seal.Example.", "UPPER.weird", "HOST.Example."):
        assert there in text or there.lower() in text.lower()
    seal.verify_zone(w.secondary.axfr(ZONE), ZONE)


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_strange_types(rig, denial):
    w = Weird(rig, ZONE, zones.strange_types(ZONE), denial=denial)
    w.published()
    w.check(skip=judges.cannot("null"))


@pytest.mark.parametrize("denial,opt_out", [("nsec", "no"), ("nsec3", "no"), ("nsec3", "yes")])
def test_cuts(rig, denial, opt_out):
    w = Weird(rig, ZONE, zones.cuts(ZONE), secondary="nsd", denial=denial, nsec3={"opt-out": opt_out})
    w.published()
    w.check()


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_data_below_a_dname(rig, denial):
    w = Weird(rig, ZONE, zones.below_dname(ZONE), secondary="nsd", denial=denial)
    w.published()
    path = w.check(skip=judges.cannot("below-dname"))
    assert not any("below" in r[0] and r[2] in chain.MADE for r in chain.records(path))


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_wildcard_cut(rig, denial):
    w = Weird(rig, ZONE, ["*.wcut.%s 300 IN NS ns.elsewhere.example." % ZONE, "a.*.wcut.%s 300 IN A 192.0.2.1" % ZONE], denial=denial)
    w.published()
    w.check(skip=judges.cannot("wildcard-ns"))


def test_ttls_that_differ(rig):
    w = Weird(rig, ZONE, zones.ttls(ZONE))
    w.published()
    path = w.check(ttl=False)
    assert {ttl for owner, ttl, t, _ in chain.records(path) if owner == "ttl." + ZONE and t == "A"} == {100}


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_soa_and_ns_only(rig, denial):
    w = Weird(rig, ZONE, zones.soa(ZONE, 1) + "%s 300 IN NS ns.elsewhere.example.\n" % ZONE, secondary="knot", denial=denial)
    w.published()
    w.check()


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
@pytest.mark.parametrize("zone", [".", "*.wild.example.", "no.", "a/b.example.", "\\000.example.", "MiXeD.Example.", "xn--bcher-kva.example.",
                                  "1.0-24.2.0.192.in-addr.arpa.", "\\$\\@\\\".example.", "a\\.b.example.", "-.", "true.example."])
def test_zone_names(rig, zone, denial):
    w = Weird(rig, zone, zones.small(zone), denial=denial)
    serial = w.published()
    w.check(skip=judges.cannot("wildcard-ns") if zone[0] == "*" else ())
    w.primary.change(zones.small(zone, 2))
    assert w.published(2) > serial
    w.seal.stop()
    w.seal.start()
    assert harness.wait_for(lambda: w.seal.serial(zone), "the stored version") > serial


def test_out_of_zone_records_are_dropped_and_counted(rig):
    w = Weird(rig, ZONE, ["x.other.example. 300 IN A 192.0.2.1", "www.%s 300 IN A 192.0.2.1" % ZONE])
    w.published()
    assert "other.example" not in open(w.seal.axfr(ZONE)).read()
    assert w.seal.status(ZONE)["counters"]["records_dropped"] == 1


# --- transfers that break -------------------------------------------------------------------------------------------


def broken(rig, spoil):
    """A good version, then one that arrives broken: nothing changes; then a good one again."""
    w = Weird(rig, ZONE, zones.sample(ZONE, 1), per_message=3)
    first = w.published(1)
    w.primary.set(zones.sample(ZONE, 2))
    spoil(w.primary)
    before = w.primary.transfers
    w.primary.notify()
    harness.wait_for(lambda: w.primary.transfers > before, "the broken transfer")
    w.seal.wait_zone(ZONE, lambda s: s["counters"]["transfers_failed"] >= 1 or s.get("held"), "a failed transfer")
    assert w.seal.serial(ZONE) == first
    w.primary.closing = w.primary.cut_after = None
    w.primary.change(zones.sample(ZONE, 3))
    assert w.published(3) > first
    w.check()


def test_cut_transfer(rig):
    def spoil(p):
        p.cut_after = 2
    broken(rig, spoil)


def test_closing_soa_differs(rig):
    def spoil(p):
        p.closing = record(zones.soa(ZONE, 99).strip())
    broken(rig, spoil)


def test_another_soa_inside(rig):
    def spoil(p):
        p.rrs.insert(5, record(zones.soa(ZONE, 99).strip()))
    broken(rig, spoil)


def test_class_differs(rig):
    def spoil(p):
        owner, ttl, _, rtype, rdata = p.rrs[5]
        p.rrs[5] = (owner, ttl, 3, rtype, rdata)
    broken(rig, spoil)


def test_meta_type(rig):
    def spoil(p):
        p.rrs.insert(5, (p.rrs[5][0], 300, 1, 41, b""))
    broken(rig, spoil)


def test_rdata_that_is_too_short(rig):
    def spoil(p):
        p.rrs.insert(5, (p.rrs[5][0], 300, 1, 1, b"\x01\x02\x03"))
    broken(rig, spoil)


HELD = {
    "no-ns": lambda t: "".join(x + "\n" for x in t.splitlines() if " IN NS ns1." + ZONE not in x and " IN NS ns2." + ZONE not in x),
    "apex-ds": lambda t: t + ZONE + " 300 IN DS 1 13 2 " + "01" * 32 + "\n",
    "ds-without-ns": lambda t: t + "d." + ZONE + " 300 IN DS 1 13 2 " + "01" * 32 + "\n",
    "cname-and-other-data": lambda t: t + "www." + ZONE + " 300 IN CNAME x.example.\n",
    "two-cnames": lambda t: t + "cc.{0} 300 IN CNAME a.example.\ncc.{0} 300 IN CNAME b.example.\n".format(ZONE),
    "two-dnames": lambda t: t + "dd.{0} 300 IN DNAME a.example.\ndd.{0} 300 IN DNAME b.example.\n".format(ZONE),
    "dname-and-cname": lambda t: t + "dc.{0} 300 IN DNAME a.example.\ndc.{0} 300 IN CNAME b.example.\n".format(ZONE),
    "dname-and-ns": lambda t: t + "dn.{0} 300 IN DNAME a.example.\ndn.{0} 300 IN NS b.example.\n".format(ZONE),
    "dnssec": lambda t: t + "n.%s 300 IN NSEC o.%s A\n" % (ZONE, ZONE),
    "dnssec-apex": lambda t: t + ZONE + " 300 IN CDS 1 13 2 " + "01" * 32 + "\n",
}


@pytest.mark.parametrize("what", sorted(HELD))
def test_held_inputs(rig, what):
    w = Weird(rig, ZONE, zones.sample(ZONE, 1))
    first = w.published(1)
    w.primary.change(HELD[what](zones.sample(ZONE, 2)))
    reason = w.seal.wait_alarm(ZONE, "held")
    word = what.replace("-apex", "")
    assert word.split("-")[0] in reason, reason
    assert w.seal.serial(ZONE) == first and w.seal.status(ZONE)["held"]["serial"] == 2
    # Remembered: asking again does not fetch it again, a restart does not either.
    fetched = w.primary.transfers
    w.seal.stop()
    w.seal.start()
    w.seal.wait_zone(ZONE, lambda s: s["upstream"]["last_check"] and not s["busy"], "a check")
    assert w.primary.transfers == fetched and w.seal.serial(ZONE) == first
    w.primary.change(zones.sample(ZONE, 3))
    assert w.published(3) > first
    assert not w.seal.alarms(ZONE)
