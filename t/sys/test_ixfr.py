# SPDX-License-Identifier: GPL-3.0-or-later
"""What primaries send for an IXFR, and what becomes of it: taken where it fits, otherwise thrown away and counted, and the
whole zone asked for at the same primary. A scripted primary has every version and says what it is told."""

import pytest

import chain
import harness
import seal
import zones
from chain import ZONE
from raw import AXFR, IXFR, record
from script import Script

A = "a.%s 300 IN A 192.0.2.1\n" % ZONE
B = "b.%s 300 IN A 192.0.2.2\n" % ZONE


def text(serial, extra=""):
    return zones.sample(ZONE, serial, extra=extra)


def crowd(n, start=0):
    return "".join("h%d.%s 300 IN A 192.0.2.%d\n" % (i, ZONE, i % 250 + 1) for i in range(start, start + n))


class Line:
    """A scripted primary and us; nobody downstream."""

    def __init__(self, rig, first=None, how="steps", policy=None, **zone):
        self.seal = s = seal.Zoneseal(rig)
        self.primary = Script(rig, ZONE, first or text(1), [chain._Peer(s)], how)
        s.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        name = policy if isinstance(policy, str) else s.policy("tested", **(policy or {"denial": "nsec3"}))
        s.zone(ZONE, [self.primary], [], name, transfer=["anyone"], **zone)
        self.primary.start()
        s.start()
        self.signed = name != "none"

    def published(self, upstream=None):
        return self.seal.wait_published(ZONE, self.primary.serial() if upstream is None else upstream)

    def next(self, content):
        self.primary.next(content)
        return self.published()

    def count(self, kind, result="ok"):
        return int(self.seal.metric("zoneseal_xfr_total", direction="in", type=kind, result=result))

    def check(self, strip=(), judge=True):
        """Judged, and upstream's records with their TTLs and case, nothing else; their number is known."""
        path = self.seal.axfr(ZONE)
        if not strip:
            assert self.seal.status(ZONE)["records"] == len(self.primary.rrs)
        if self.signed and judge:
            seal.verify_zone(path, ZONE)
        sent = {(r[0], r[1], r[3], r[4]) for r in self.primary.rrs if r[3] != 6 and r[3] not in strip}
        got = {(r[0], r[1], r[3], r[4]) for r in map(record, open(path)) if r[3] not in (6, 46, 47, 48, 50, 51)}
        assert sent == got, "missing %s extra %s" % (sorted(sent - got)[:5], sorted(got - sent)[:5])
        return path

    def kinds(self):
        return [k for k, _ in self.primary.asked]


@pytest.mark.parametrize("how,per_message", [("steps", 1), ("condensed", 0)])
def test_many_steps_at_once(rig, how, per_message):
    x = Line(rig, how=how)
    x.primary.per_message = per_message
    x.published()
    for n, extra in enumerate((A, A + B, B, B + "b.%s 600 IN A 192.0.2.3\n" % ZONE, A + "B.%s 60 IN A 192.0.2.2\n" % ZONE), 2):
        x.primary.next(text(n, extra), wait=False)
    x.primary.notify()
    x.published()
    x.check()
    assert x.primary.asked == [(AXFR, None), (IXFR, 1)] and x.count("ixfr") == 1 and x.count("ixfr", "failed") == 0


def test_an_owner_of_many_types(rig):
    def many(n, of=1):
        return "".join("many.%s 300 IN TYPE%d \\# 1 %02x\n" % (ZONE, 61000 + i, of) for i in range(n))
    x = Line(rig, first=text(1, many(700)))
    x.published()
    x.next(text(2, many(1000)))
    serial = x.next(text(3, many(999, 2)))
    x.check()
    for n, how in ((4, "steps"), (5, "axfr")):  # the bitmap of a name has its bound, and says so
        x.primary.how = how
        x.primary.next(text(n, many(1001 + 200 * (n - 4))))
        x.seal.wait_zone(ZONE, lambda s: any("too-many-types: 1 name: many.%s" % ZONE in a["reason"] for a in s["alarms"])
                         and "serial %d" % n in str(s["alarms"]), "the alarm")
    assert x.seal.serial(ZONE) == serial
    x.next(text(6, many(990)))
    x.check()


def test_no_difference_is_to_be_had(rig):
    x, n = Line(rig, how="axfr"), 1
    x.published()
    for how in ("axfr", "refused", "notimp", "formerr", "servfail"):
        for extra in (A, ""):
            n += 1
            x.primary.how = how
            del x.primary.asked[:]
            x.next(text(n, extra))
            assert x.kinds() == ([IXFR] if how == "axfr" else [IXFR, AXFR]) and not x.seal.alarms(ZONE), how
            x.check(judge=False)
    assert x.count("axfr") == n and x.count("ixfr", "failed") == 8 and x.count("ixfr") == 0
    x.check()


def test_a_torn_difference_is_fetched_again(rig):
    """That is the line's doing: no reason for the whole zone."""
    x = Line(rig, how="torn")
    first = x.published()
    x.primary.next(text(2, A))
    x.seal.wait_alarm(ZONE, "upstream", "nothing of it is taken: connection closed")
    assert x.seal.serial(ZONE) == first
    x.primary.how, x.primary.hang_up = "steps", False
    x.next(text(3, B))
    x.check()
    assert x.kinds() == [AXFR, IXFR, IXFR] and not x.seal.alarms(ZONE)


def test_a_lone_soa_that_is_newer(rig):
    """It may be the first of many messages: only silence tells, a short one."""
    x = Line(rig, how="lone")
    x.published()
    x.next(text(2, A))
    x.check()
    assert x.kinds() == [AXFR, IXFR, AXFR]


def odd(drop=(), delete=(), add=(), instead=None):
    """The right difference with records taken out of it and put into it."""
    def made(primary, serial):
        out = primary.difference(serial)
        if out is None or len(out) < 4:
            return out
        soas = [i for i, r in enumerate(out) if r[3] == 6]
        out = [r for i, r in enumerate(out) if i in soas or r not in drop]
        soas = [i for i, r in enumerate(out) if r[3] == 6]
        out[soas[2] + 1:soas[2] + 1] = list(add)
        out[soas[1] + 1:soas[1] + 1] = list(delete)
        return instead(out) if instead else out
    return made


def old_soa(serial):
    return record(zones.soa(ZONE, serial))


MISFITS = {
    "deleted and not there": odd(delete=[record("nobody.%s 300 IN A 192.0.2.9" % ZONE)]),
    "deleted twice": odd(delete=[record("www.%s 300 IN A 192.0.2.80" % ZONE)] * 2, add=[record("www.%s 300 IN A 192.0.2.80" % ZONE)]),
    "added and there": odd(add=[record("www.%s 300 IN A 192.0.2.80" % ZONE)]),
    "added twice": odd(add=[record(A)]),
    "another class": odd(add=[(record(A)[0], 300, 3, 1, b"\xc0\0\2\1")]),
    "a meta type": odd(add=[(record(A)[0], 300, 1, 250, b"")]),
    "malformed": odd(add=[(record(A)[0], 300, 1, 1, b"\xc0\0\2")]),
    "the wrong beginning": odd(instead=lambda out: [out[0], old_soa(77), *out[2:]]),
    "a gap": odd(instead=lambda out: [*out[:-1], old_soa(50), old_soa(out and 51), out[-1]]),
    "backwards": odd(instead=lambda out: [out[0], out[1], old_soa(0), *out[3:]]),
    "behind the end": odd(instead=lambda out: out + [record(B)]),
    "another SOA at the end": odd(instead=lambda out: out[:-1] + [(*out[0][:4], out[0][4][:-4] + b"\0\0\0\1")]),
}


def test_a_difference_that_does_not_fit(rig):
    x, n = Line(rig), 1
    x.published()
    for done, (case, how) in enumerate(MISFITS.items(), 1):
        x.primary.how = how
        del x.primary.asked[:]
        x.next(text(n + 1, A))
        assert x.kinds() == [IXFR, AXFR] and x.count("ixfr", "failed") == done and not x.seal.alarms(ZONE), case
        x.check(judge=False)
        x.primary.how = "steps"
        x.next(text(n + 2))
        assert x.kinds()[2:] == [IXFR], case
        n += 2
    x.check()


def test_records_that_replace(rig):
    """A difference may add what is there with another TTL or case, without deleting it; and it may be wrong about the TTL
    and the case of what it deletes."""
    extra = "mx.%s 300 IN MX 10 mail.Other.example.\n" % ZONE
    x = Line(rig, text(1, A + extra + B))
    x.published()
    x.primary.how = odd(drop=[record(A), record(extra), record(B)], delete=[record("B.%s 77 IN A 192.0.2.2" % ZONE)])
    x.next(text(2, "a.%s 900 IN A 192.0.2.1\nMX.%s 300 IN MX 10 MAIL.other.example.\n" % (ZONE, ZONE)))
    x.check()
    assert x.kinds() == [AXFR, IXFR] and x.count("ixfr", "failed") == 0


def test_what_a_primary_has_twice_comes_whole(rig):
    """Two that differ in case alone, added in one step: with one of them here, the other could be lost when one goes."""
    def mx(*names):
        return "".join("dup.%s 300 IN MX 10 %s\n" % (ZONE, n) for n in names)
    x = Line(rig)
    x.published()
    for n, names in enumerate((("a.Example.", "A.example."), ("a.Example.", ), ("a.Example.", "b.example."), ("b.example.", )), 2):
        x.next(text(n, mx(*names)))
        assert x.seal.status(ZONE)["records"] == len(x.primary.rrs)
        if n > 2:
            x.check()
    assert x.kinds() == [AXFR, IXFR, AXFR, IXFR, AXFR, IXFR, IXFR]


def test_an_rrset_with_duplicates_is_not_touched_by_a_difference(rig):
    twice = "dup.%s 300 IN MX 10 a.Example.\ndup.%s 300 IN MX 10 A.example.\n" % (ZONE, ZONE)
    x = Line(rig, text(1, twice))
    x.published()
    x.next(text(2, twice + A))
    assert x.kinds() == [AXFR, IXFR]
    x.next(text(3, twice + A + "dup.%s 300 IN MX 20 b.example.\n" % ZONE))
    assert x.kinds() == [AXFR, IXFR, IXFR, AXFR] and x.count("ixfr", "failed") == 1
    x.next(text(4, "dup.%s 300 IN MX 20 b.example.\n" % ZONE))
    x.next(text(5, A))
    x.check()
    assert x.kinds()[4:] == [IXFR, AXFR, IXFR]


def test_what_is_stripped_is_not_missed(rig):
    def signed(n):
        return ("www.%s 300 IN RRSIG A 13 3 300 20300101000000 20200101000000 %d %s %s\n" % (ZONE, n, ZONE, "AA" * 43 + "==") +
                "%s 300 IN NSEC a.%s A RRSIG NSEC\n" % (ZONE, ZONE) + "%s 0 IN NSEC3PARAM 1 0 %d -\n" % (ZONE, n) +
                "%s 300 IN CDS %d 13 2 %s\n" % (ZONE, n, "ab" * 32))
    x = Line(rig, text(1, signed(1)), upstream_dnssec="strip")
    x.published()
    for n in (2, 3):
        x.next(text(n, signed(n) + A * (n == 3)))
        x.check(strip=(46, 47, 51, 59))
    assert x.kinds() == [AXFR, IXFR, IXFR] and x.count("ixfr", "failed") == 0


def test_signed_input_by_ixfr_is_held(rig):
    x = Line(rig)
    first = x.published()
    x.primary.next(text(2, "%s 300 IN CDS 1 13 2 %s\n" % (ZONE, "ab" * 32)))
    x.seal.wait_alarm(ZONE, "held", "dnssec-records: 1 record: " + ZONE)
    assert x.seal.serial(ZONE) == first
    assert x.next(text(3, A)) > first
    x.check()
    assert x.kinds() == [AXFR, IXFR, IXFR] and not x.seal.alarms(ZONE)


def test_zonemd_comes_and_goes_by_ixfr(rig):
    def digest(serial):  # wrong, and not looked at: a difference says nothing about the whole
        return "%s 300 IN ZONEMD %d 1 1 %s\n" % (ZONE, serial, "ab" * 48)
    x = Line(rig)
    x.published()
    x.next(text(2, digest(2)))
    x.next(text(3, digest(3) + A))
    x.next(text(4, A))
    assert "ZONEMD" not in open(x.check(strip=(63, ))).read()
    assert x.kinds() == [AXFR, IXFR, IXFR, IXFR] and x.count("ixfr", "failed") == 0


def test_serials_jump_and_wrap(rig):
    x = Line(rig, text(1), policy={"serial": "increment"})
    first = x.published()
    for n in (2, 2**31 + 1, 2**32 - 1, 0, 1, 2**31, 2**32 - 2, 3):
        serial = x.next(text(n, A * (n % 2)))
        assert (serial - first) % 2**32 in range(1, 10)
        x.check(judge=False)
        first = serial
    x.check()
    assert set(x.kinds()[1:]) == {IXFR} and x.count("ixfr", "failed") == 0


def test_a_primary_that_went_back(rig):
    x = Line(rig, text(10, A))
    first = x.published()
    x.primary.next(text(9, B))
    x.seal.wait_alarm(ZONE, "upstream", "went back")
    assert x.seal.serial(ZONE) == first and x.seal.status(ZONE)["upstream_serial"] == 10 and x.kinds() == [AXFR]
    x.seal.ctl("zone", "retransfer", ZONE)
    assert x.published(9) > first
    x.check()
    assert x.kinds() == [AXFR, AXFR] and not x.seal.alarms(ZONE)
    x.next(text(10, A))  # the number is in history with other content
    x.check()
    assert x.kinds() == [AXFR, AXFR, IXFR]


def test_a_new_serial_with_the_same_content(rig):
    x = Line(rig, text(1, A))
    first = x.published()
    for n in (2, 3):
        assert x.next(text(n, A)) == first + n - 1
    x.check()
    made = x.seal.log().split("event=published serial=")[-1].splitlines()[0]
    assert "signatures=1 " in made, made
    assert x.kinds() == [AXFR, IXFR, IXFR]


def test_a_difference_that_is_not_newer(rig):
    """The SOA says 2, what comes leads to something older than what we have."""
    x = Line(rig, text(5))
    first = x.published()
    x.primary.how = lambda p, serial: [old_soa(4), old_soa(3), old_soa(4), old_soa(4)]
    assert x.next(text(6, A)) > first
    x.check()
    x.primary.how = lambda p, serial: [old_soa(6)]  # "you have it", which is not what the SOA said
    x.primary.next(text(7, B))
    harness.wait_for(lambda: x.kinds()[-1] == IXFR and len(x.kinds()) == 4, "the IXFR")
    x.seal.wait_zone(ZONE, lambda s: not s["busy"], "the end")
    assert x.seal.status(ZONE)["upstream_serial"] == 6
    x.primary.how = "steps"
    x.next(text(8, B))
    x.check()


VIOLATIONS = {
    "cname-and-other-data": ("www.%s 300 IN CNAME a.%s" % (ZONE, ZONE), "www." + ZONE),
    "two-cnames": ("alias.%s 300 IN CNAME a.%s" % (ZONE, ZONE), "alias." + ZONE),
    "ds-without-ns": ("www.%s 300 IN DS 1 13 2 %s" % (ZONE, "ab" * 32), "www." + ZONE),
    "ds-at-apex": ("%s 300 IN DS 1 13 2 %s" % (ZONE, "ab" * 32), ZONE),
    "two-dnames": ("moved.%s 300 IN DNAME other.example." % ZONE, "moved." + ZONE),
    "dname-and-cname": ("alias.%s 300 IN DNAME other.example." % ZONE, "alias." + ZONE),
    "dname-and-ns": ("ins.%s 300 IN DNAME other.example." % ZONE, "ins." + ZONE),
}


@pytest.mark.parametrize("policy", [{"denial": "nsec3"}, "none"], ids=["signed", "none"])
def test_violations_by_ixfr_are_held_with_their_names(rig, policy):
    x = Line(rig, policy=policy)
    first, n = x.published(), 1
    for reason, (line, name) in VIOLATIONS.items():
        n += 1
        x.primary.next(text(n, line + "\n"))
        assert name in x.seal.wait_alarm(ZONE, "held", "serial %d is held: .*%s" % (n, reason)), reason
        assert x.seal.serial(ZONE) == first
    for reason, gone in (("no-ns", ZONE + " 3600 IN NS "), ("ds-without-ns", "sec.%s 3600 IN NS " % ZONE)):
        n += 1
        x.primary.next("\n".join(line for line in text(n).splitlines() if not line.startswith(gone)))
        x.seal.wait_alarm(ZONE, "held", "serial %d is held: .*%s" % (n, reason))
        assert x.seal.serial(ZONE) == first
    assert x.next(text(n + 1, A)) > first
    x.check()
    assert set(x.kinds()[1:]) == {IXFR} and x.count("ixfr", "failed") == 0 and not x.seal.alarms(ZONE)


def test_a_violation_that_a_cut_hid(rig):
    """What is occluded is not judged; when the cut goes it is, though nothing at that name changed."""
    hidden = "x.c.%s 300 IN CNAME a.%s\nx.c.%s 300 IN A 192.0.2.1\n" % (ZONE, ZONE, ZONE)
    cut = "c.%s 300 IN NS ns.other.example.\n" % ZONE
    x = Line(rig, text(1, cut + hidden))
    first = x.published()
    x.primary.next(text(2, hidden))
    assert "x.c." + ZONE in x.seal.wait_alarm(ZONE, "held", "cname-and-other-data")
    assert x.seal.serial(ZONE) == first
    x.next(text(3, cut + hidden + A))
    x.check(judge=False)  # dnssec-verify loads no such zone
    assert set(x.kinds()[1:]) == {IXFR}


def kids(names):
    return "".join("%s.%s 300 IN NS ns.other.example.\n" % (n, ZONE) for n in names)


@pytest.mark.parametrize("policy", [{"denial": "nsec"}, "none"], ids=["signed", "none"])
def test_guards_by_ixfr(rig, policy):
    few, many = kids("c%d" % i for i in range(60)), crowd(400)
    x = Line(rig, text(1, many + few), policy=policy)
    x.published()
    for n, content, reason in ((2, crowd(200) + few, "shrink-guard.*records instead of"),
                               (5, crowd(200) + kids("d%d" % i for i in range(60)), "churn-guard.*delegations came or went")):
        first = x.seal.serial(ZONE)
        x.primary.next(text(n, content))
        x.seal.wait_alarm(ZONE, "held", reason)
        assert x.seal.serial(ZONE) == first
        x.primary.next(text(n + 1, content))  # another serial, as bad
        x.seal.wait_alarm(ZONE, "held", "serial %d is held: %s" % (n + 1, reason))
        x.seal.ctl("zone", "release", ZONE)
        assert x.published(n + 1) > first
        x.check()
        assert not x.seal.alarms(ZONE)
    assert set(x.kinds()[1:]) == {IXFR}


@pytest.mark.parametrize("limits,extra", [({"records": "120"}, crowd(60, 60)), ({"bytes": "4000"}, crowd(60, 60))], ids=["records", "bytes"])
def test_limits_are_of_the_zone_whatever_way_it_grows(rig, limits, extra):
    """By differences each of which is small the zone must not outgrow its limit."""
    x = Line(rig, text(1, crowd(60)), limits=limits)
    first = x.published()
    x.primary.next(text(2, crowd(60) + extra))
    x.seal.wait_alarm(ZONE, "held", "limit")
    assert x.seal.serial(ZONE) == first
    x.next(text(3, crowd(55)))
    x.check()


def test_the_limit_of_an_rrset_by_ixfr(rig):
    big = zones.big_rrset(ZONE, 15000)
    x = Line(rig, text(1, "\n".join(big[:10]) + "\n"), limits={"rrset": "4k"})
    first = x.published()
    x.primary.next(text(2, "\n".join(big) + "\n"))
    assert "big." + ZONE in x.seal.wait_alarm(ZONE, "held", "rrset-too-big")
    assert x.seal.serial(ZONE) == first
    x.next(text(3, "\n".join(big[:11]) + "\n"))
    x.check()
