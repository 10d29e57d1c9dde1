# SPDX-License-Identifier: GPL-3.0-or-later
"""Corners of the way of a change: orders that meet each other or what is under way, reloads in the middle of it, primaries
that do not agree, and content that changes under one serial."""

import datetime
import threading

import dns.flags
import dns.message
import dns.query
import dns.rrset
import pytest

import chain
import harness
import seal
import zones
from chain import ZONE
from raw import AXFR, IXFR, Raw, record
from script import Script
from test_ixfr import A, B, Line, crowd, kids, text

DONE = 0


class Slow:
    """`how` of a Script: the difference comes when it is let go."""

    def __init__(self):
        self.asked, self.go = threading.Event(), threading.Event()

    def __call__(self, primary, serial):
        self.asked.set()
        self.go.wait(60)
        return primary.difference(serial)


def versions(s):
    """Upstream's versions in history, newest first: (number, upstream serial)."""
    rows = seal.documents(s.ctl("-j", "zone", "history", ZONE).stdout)[0]["versions"]
    return [(v["version"], v["upstream_serial"]) for v in rows]


def rest(x):
    x.seal.wait_zone(ZONE, lambda s: not s["busy"], "rest")


def retransfer(x):
    r = x.seal.ctl("zone", "retransfer", "--wait", ZONE)
    assert r.returncode == DONE, r.stdout + r.stderr


def reload(x):
    said = x.seal.log().count("reload done")
    x.seal.reload()
    harness.wait_for(lambda: x.seal.log().count("reload done") > said, "the reload", alive=[x.seal.process])


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
    assert "event=finding" not in x.seal.log() and "event=gap" not in x.seal.log()


def test_records_go_and_the_soa_stays(rig):
    """What upstream changed is records that go, and nothing else."""
    x = Line(rig, text(5, A + B))
    first = x.published()
    x.primary.next(text(5, A), wait=False)
    retransfer(x)
    assert x.seal.serial(ZONE) > first
    x.check()
    assert not x.seal.alarms(ZONE) and "event=finding" not in x.seal.log() and "event=gap" not in x.seal.log()


def test_rollback_over_duplicates(rig):
    """They are stored as received, and a difference cannot tell them apart: in what stands, in what is to be, in both."""
    def mx(*names):
        return "".join("dup.%s %d IN MX 10 %s\n" % (ZONE, 300 + 60 * i, n) for i, n in enumerate(names))
    contents = [mx("a.Example.", "A.example."), mx("a.Example."), mx("a.example.", "A.example.", "A.EXAMPLE.") + A, B,
                mx("A.EXAMPLE.") + A, mx("A.EXAMPLE.", "a.EXAMPLE.", "z.example.")]
    x = Line(rig, text(1, contents[0]), how="axfr")
    x.published()
    for n, extra in enumerate(contents[1:], 2):
        x.next(text(n, extra))
    was = {upstream: number for number, upstream in reversed(versions(x.seal))}
    for n in (3, 1, 2, 6, 4, 3, 5, 1):
        r = x.seal.ctl("zone", "rollback", "--wait", ZONE, "v%d" % was[n])
        assert r.returncode == DONE, r.stdout + r.stderr
        s = x.seal.status(ZONE)
        assert s["upstream_serial"] == n and not s["order_failed"] and list(x.seal.alarms(ZONE)) == ["held"], (n, s)
        assert s["records"] == len(text(n, contents[n - 1]).splitlines())
        seal.verify_zone(x.seal.axfr(ZONE), ZONE)
        # octet for octet: what history notes of both comes to nothing
        diff = x.seal.ctl("zone", "diff", ZONE, "v%d" % was[n], "v%d" % versions(x.seal)[0][0])
        assert diff.returncode == DONE and [y for y in diff.stdout.splitlines() if y[0] != ";"] == [], diff.stdout


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


def test_release_is_for_its_serial(rig):
    """What is older, taken or held meanwhile, does not use it up."""
    x = Line(rig, text(1, crowd(400)))
    x.published()
    assert x.seal.ctl("zone", "release", ZONE, "4").returncode == DONE
    x.next(text(2, crowd(399)))
    x.primary.next(text(3, crowd(100)))
    x.seal.wait_alarm(ZONE, "held", "serial 3 is held: shrink-guard")
    x.next(text(4, crowd(90)))
    x.check()
    assert not x.seal.alarms(ZONE)
    x.primary.next(text(5))  # once
    x.seal.wait_alarm(ZONE, "held", "serial 5 is held: shrink-guard")


def test_retransfer_follows_a_transfer_under_way(rig):
    x = Line(rig)
    x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, A))
    assert slow.asked.wait(20)
    r = x.seal.ctl("zone", "retransfer", ZONE)
    assert r.returncode == DONE and "follows what is under way" in r.stdout
    slow.go.set()
    harness.wait_for(lambda: x.kinds() == [AXFR, IXFR, AXFR], "the whole zone")
    rest(x)
    x.check()


def test_retransfer_follows_a_transfer_that_is_held(rig):
    """And it is carried out when what it brought is held, too: nothing is fetched again for it."""
    x = Line(rig, text(1, crowd(400)))
    first = x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, crowd(100)))
    assert slow.asked.wait(20)
    assert x.seal.ctl("zone", "retransfer", ZONE).returncode == DONE
    slow.go.set()
    harness.wait_for(lambda: x.kinds() == [AXFR, IXFR, AXFR], "the whole zone")
    x.seal.wait_alarm(ZONE, "held", "serial 2 is held: shrink-guard")
    rest(x)
    x.seal.ctl("zone", "refresh", "--wait", ZONE)
    assert x.kinds() == [AXFR, IXFR, AXFR] and x.seal.serial(ZONE) == first
    # a hold that was ordered meanwhile is no end of it either
    x.primary.how = slow = Slow()
    x.primary.next(text(3, crowd(401)))
    assert slow.asked.wait(20)
    assert x.seal.ctl("zone", "retransfer", ZONE).returncode == DONE and x.seal.ctl("zone", "hold", ZONE).returncode == DONE
    slow.go.set()
    rest(x)
    assert x.seal.ctl("zone", "release", ZONE).returncode == DONE
    x.published(3)
    rest(x)
    x.check()
    assert x.kinds()[3:] == [IXFR, AXFR]


def test_retransfer_follows_one_that_was_ordered(rig):
    """What that one brings may be older than the order."""
    x = Line(rig, text(1))
    x.published()
    slow, reply = Slow(), x.primary._reply

    def late(qtype, serial):
        made = reply(qtype, serial)
        slow.asked.set()
        slow.go.wait(60)
        return made
    x.primary._reply = late
    assert x.seal.ctl("zone", "retransfer", ZONE).returncode == DONE
    assert slow.asked.wait(20)
    x.primary.set(text(1, A))
    r = x.seal.ctl("zone", "retransfer", ZONE)
    assert r.returncode == DONE and "follows what is under way" in r.stdout
    slow.go.set()
    harness.wait_for(lambda: x.kinds() == [AXFR] * 3, "the second one")
    rest(x)
    x.check()


def test_an_order_is_no_excuse_for_the_transfer_before_it(rig):
    """A primary told of a new serial and sends an old zone, and `zone retransfer` comes in between."""
    x = Line(rig, text(5))
    x.published()
    x.next(text(6, A))
    slow = Slow()

    def stale(primary, serial):
        slow(primary, serial)
        return primary.versions[0] + primary.versions[0][:1]
    x.primary.how = stale
    x.primary.next(text(7, A + B))
    assert slow.asked.wait(20)
    assert x.seal.ctl("zone", "retransfer", ZONE).returncode == DONE
    slow.go.set()
    x.published()
    rest(x)
    x.check()
    assert x.seal.log().count(" upstream=5 ") == 2  # build and publication of the first version


# --- reload and restart in the middle ---------------------------------------------------------------------------


def test_what_is_held_is_not_fetched_again_for_a_reload(rig):
    x = Line(rig, text(1, crowd(400)))
    x.published()
    x.primary.next(text(2))
    x.seal.wait_alarm(ZONE, "held", "shrink-guard")
    rest(x)
    asked = len(x.primary.asked)
    x.seal.conf["server"]["transfers-in"] = "31"
    reload(x)
    x.seal.ctl("zone", "refresh", "--wait", ZONE)
    rest(x)
    assert len(x.primary.asked) == asked and "held" in x.seal.alarms(ZONE)


@pytest.mark.parametrize("how", ["reload", "restart"])
def test_another_guard_looks_again_at_what_is_held(rig, how):
    x = Line(rig, text(1, crowd(400)))
    x.published()
    x.primary.next(text(2))
    x.seal.wait_alarm(ZONE, "held", "shrink-guard")
    x.seal.conf["zones"][0]["guard"] = {"shrink": "0%"}
    if how == "reload":
        reload(x)
    else:
        x.seal.stop()
        x.seal.start()
    x.published()
    x.check()
    assert not x.seal.alarms(ZONE)


def test_another_primary_may_have_something_else(rig):
    """Under the serial that is held: it is asked, and not taken at the other one's word."""
    x = Line(rig, text(1, crowd(400)))
    x.published()
    x.primary.next(text(2))
    x.seal.wait_alarm(ZONE, "held", "shrink-guard")
    rest(x)
    x.primary = Script(rig, ZONE, text(2, crowd(399))).start()
    x.seal.conf["zones"][0]["upstream"] = [x.seal.remote(x.primary)]
    reload(x)
    x.published()
    x.check()


def test_a_transfer_outlives_a_reload_that_is_not_for_it(rig):
    x = Line(rig)
    x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, A))
    assert slow.asked.wait(20)
    x.seal.conf["server"]["transfers-in"] = "31"
    reload(x)
    slow.go.set()
    x.published()
    x.check()
    assert x.kinds() == [AXFR, IXFR] and not x.seal.alarms(ZONE)


def test_the_primary_gets_another_name_while_it_sends(rig):
    x = Line(rig)
    x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, A))
    assert slow.asked.wait(20)
    x.seal.conf["remotes"][0]["name"] = "renamed"
    x.seal.conf["zones"][0]["upstream"] = ["renamed"]
    reload(x)
    slow.go.set()
    x.published()
    x.check()
    assert not x.seal.alarms(ZONE)


def test_a_zone_leaves_and_comes_back_during_a_transfer(rig):
    x = Line(rig)
    first = x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, A))
    assert slow.asked.wait(20)
    kept = x.seal.conf["zones"]
    for _ in range(3):
        x.seal.conf["zones"] = []
        reload(x)
        x.seal.conf["zones"] = kept
        reload(x)
    slow.go.set()
    assert x.published() > first
    x.check()
    assert not x.seal.alarms(ZONE)


def test_another_policy_while_a_change_is_under_way(rig):
    x = Line(rig)
    x.published()
    x.primary.how = slow = Slow()
    x.primary.next(text(2, A))
    assert slow.asked.wait(20)
    x.seal.conf["policies"][0]["denial"] = "nsec"
    x.seal.reload()
    slow.go.set()
    x.seal.wait_zone(ZONE, lambda s: s["version"]["denial"] == "nsec" and not s["busy"], "NSEC")
    path = x.check()
    assert " NSEC " in open(path).read().replace("\t", " ")


# --- primaries --------------------------------------------------------------------------------------------------


class Two:
    """Two primaries of one zone, in order."""

    def __init__(self, rig, first=None):
        self.seal = s = seal.Zoneseal(rig)
        self.a, self.b = (Script(rig, ZONE, first or text(1), [chain._Peer(s)]).start() for _ in range(2))
        s.conf["acls"] = [{"name": "anyone", "prefix": ["127.0.0.0/8"]}]
        s.zone(ZONE, [self.a, self.b], [], s.policy("tested", denial="nsec"), transfer=["anyone"])
        s.start()
        s.wait_published(ZONE, 1)


def test_the_first_primary_is_behind(rig):
    """It agrees with what we have, and the other one says that there is news."""
    t = Two(rig)
    t.b.next(text(2, A))
    t.seal.wait_published(ZONE, 2)
    assert not t.seal.alarms(ZONE)
    t.b.next(text(3, B))  # the first is now older than what we have
    t.seal.wait_published(ZONE, 3)
    assert not t.seal.alarms(ZONE) and t.a.asked == [(AXFR, None)]
    t.a.next(text(4, A + B))
    t.seal.wait_published(ZONE, 4)
    assert t.a.asked[-1] == (IXFR, 3)


def test_one_primary_is_torn_and_the_other_behind(rig):
    """After SOA retry the other one has its turn, and is not the end of it."""
    def soon(serial, extra=""):
        return text(serial, extra).replace(" 3600 600 ", " 3600 2 ")
    t = Two(rig, soon(1))
    t.a.how, t.a.hang_up = "torn", True
    t.a.next(soon(2, A))
    harness.wait_for(lambda: len(t.a.asked) == 2, "the torn one")
    t.a.how, t.a.hang_up = "steps", False
    t.seal.wait_published(ZONE, 2)


def test_a_new_soa_and_an_old_zone(rig):
    """A primary behind which others stand: the next look is not an SOA refresh away."""
    x = Line(rig)
    x.published()
    x.primary.how = lambda p, serial: [record(zones.soa(ZONE, 1))]
    x.primary.next(text(2, A))
    harness.wait_for(lambda: len(x.primary.asked) > 1, "the question")
    rest(x)
    s = x.seal.status(ZONE)
    assert s["upstream_serial"] == 1
    at = [datetime.datetime.strptime(s["upstream"][k], "%Y-%m-%dT%H:%M:%SZ") for k in ("last_check", "next_check")]
    assert (at[1] - at[0]).total_seconds() <= 601, at


# --- what upstream sends ----------------------------------------------------------------------------------------


def soa_line(serial, ttl=3600, fields="3600 600 1209600 300", mname="ns1"):
    return "%s %d IN SOA %s.%s hostmaster.%s %d %s\n" % (ZONE, ttl, mname, ZONE, ZONE, serial, fields)


def with_soa(serial, extra="", **kw):
    return text(serial, extra).replace(zones.soa(ZONE, serial), soa_line(serial, **kw))


@pytest.mark.parametrize("denial", ["nsec", "nsec3"])
def test_every_field_of_the_soa_changes(rig, denial):
    x = Line(rig, with_soa(1), policy={"denial": denial})
    x.published()
    n = 1
    for kw in ({"fields": "3600 600 1209600 60"}, {"fields": "3600 600 1209600 7200"}, {"ttl": 60}, {"ttl": 0}, {"mname": "NS2"},
               {"fields": "60 30 604800 0"}, {"fields": "4294967295 4294967295 4294967295 4294967295"}, {}):
        n += 1
        x.next(with_soa(n, A * (n % 2), **kw))
        path = x.check(judge=False)
        ours = [r for r in map(record, open(path)) if r[3] == 6][0]
        want = record(soa_line(n, **kw))
        assert (ours[1], ours[4]) == (want[1], want[4]), kw
    x.check()
    assert set(x.kinds()[1:]) == {IXFR} and not x.seal.alarms(ZONE)


@pytest.mark.parametrize("how", ["steps", "axfr"])
def test_ttls_with_the_first_bit_are_zero(rig, how):
    """RFC 2181 8."""
    x = Line(rig, with_soa(1), how=how)
    x.published()
    big = 2**31 + 5
    x.next(with_soa(2, "a.%s %d IN A 192.0.2.1\n" % (ZONE, big), ttl=big))
    path = x.seal.axfr(ZONE)
    seal.verify_zone(path, ZONE)
    got = {(r[0], r[3]): r[1] for r in map(record, open(path))}
    assert got[record(A)[0], 1] == 0 and got[record(soa_line(2))[0], 6] == 0
    x.next(with_soa(3, A))
    x.check()


def test_records_of_dnssec_at_the_apex_come_by_ixfr_and_are_stripped(rig):
    """Ours of the same types stand there: they stay as they are."""
    def theirs(n):
        key = "%s 3600 IN DNSKEY 257 3 13 %s==\n" % (ZONE, "AB%02d" % n + "C" * 82)
        return (key + "%s 300 IN NSEC www.%s A NS SOA RRSIG NSEC DNSKEY\n" % (ZONE, ZONE) + "%s 0 IN NSEC3PARAM 1 0 %d AB\n" % (ZONE, n) +
                "%s 300 IN TYPE65534 \\# 5 0d0001%02x01\n" % (ZONE, n) +
                "%s.%s 300 IN NSEC3 1 0 %d - %s A RRSIG\n" % ("0" * 31 + "%d" % n, ZONE, n, "1" * 32) +
                "%s 300 IN RRSIG DNSKEY 13 2 300 20300101000000 20200101000000 %d %s %s\n" % (ZONE, n, ZONE, "AA" * 43 + "=="))
    x = Line(rig, text(1), upstream_dnssec="strip")
    x.published()
    ours = sorted(r[4] for r in map(record, open(x.seal.axfr(ZONE))) if r[3] in (48, 51))
    for n, extra in ((2, theirs(2)), (3, theirs(3) + A), (4, A), (5, theirs(5)), (6, "")):
        x.next(text(n, extra))
        path = x.seal.axfr(ZONE)
        assert sorted(r[4] for r in map(record, open(path)) if r[3] in (48, 51)) == ours
    x.check()
    assert set(x.kinds()[1:]) == {IXFR} and x.count("ixfr", "failed") == 0


def test_records_of_others_come_by_ixfr(rig):
    """Out of the zone, and an SOA inside of it: dropped when they come, not missed when they go."""
    others = "www.other.example. 300 IN A 192.0.2.1\nexample. 300 IN NS ns.example.\nsub.%s\n" % zones.soa(ZONE, 9).strip()
    x = Line(rig)
    x.published()
    x.next(text(2, others))
    x.next(text(3, others + A))
    before = x.seal.status(ZONE)["counters"]
    x.next(text(4, A))
    x.check()
    assert set(x.kinds()[1:]) == {IXFR} and x.count("ixfr", "failed") == 0 and "3" in str(before)


def test_what_passed_does_not_stay_when_it_is_stripped(rig):
    """Other rules for signed input, on an unsigned zone: what stands was taken by the rules of before."""
    signed = "www.%s 300 IN RRSIG A 13 3 300 20300101000000 20200101000000 1 %s %s\n" % (ZONE, ZONE, "AA" * 43 + "==")
    x = Line(rig, text(1, signed), policy="none", upstream_dnssec="pass")

    def rrsigs():
        return [r for r in chain.records(x.seal.axfr(ZONE)) if r[2] == "RRSIG"]
    x.published()
    assert rrsigs()
    x.seal.conf["zones"][0]["upstream-dnssec"] = "strip"
    reload(x)
    harness.wait_for(lambda: not rrsigs(), "the stripped zone", alive=[x.seal.process])
    x.seal.conf["zones"][0]["upstream-dnssec"] = "pass"
    x.seal.stop()
    x.seal.start()
    x.next(text(7, signed))
    assert rrsigs()


@pytest.mark.parametrize("how", ["steps", "axfr"])
def test_the_edges_of_the_guards(rig, how):
    """What is just allowed passes, one more is held: 10 % of the records but never 50, 30 % of the delegations but never
    10."""
    few = kids("c%d" % i for i in range(30))  # and 3 of the sample
    own = len(text(1, few).splitlines())
    x = Line(rig, text(1, few + crowd(600 - own)), how=how)
    x.published()
    n, have = 1, 600

    def step(content, held):
        nonlocal n
        n += 1
        x.primary.next(text(n, content))
        if held:
            x.seal.wait_alarm(ZONE, "held", "serial %d is held: %s-guard" % (n, held))
        else:
            x.published(n)
            assert not x.seal.alarms(ZONE)

    for fewer in (60, 54, 50, 50):  # of 600, 540, 486, 436
        step(few + crowd(have - fewer - 1 - own), "shrink")
        have -= fewer
        step(few + crowd(have - own), None)
    more = [kids("d%d" % i for i in range(k)) + few + crowd(have - own) for k in range(24)]
    for was, most in ((0, 10), (10, 12)):  # of 33, 43
        step(more[was + most + 1], "churn")
        step(more[was + most], None)
    step(more[5], "churn")  # 17 of 55 go
    step(more[6], None)


# --- IXFR out ---------------------------------------------------------------------------------------------------


def ixfr(x, serial, size=None):
    """Records of the answer over TCP, or over UDP in so many octets (0: no EDNS)."""
    q = dns.message.make_query(ZONE, "IXFR")
    if size:
        q.use_edns(0, payload=size)
    q.authority.append(dns.rrset.from_text(ZONE, 0, "IN", "SOA", ". . %d 0 0 0 0" % serial))
    ask = dns.query.tcp if size is None else dns.query.udp
    r = ask(q, x.seal.addr, port=harness.PORT, timeout=10, source=x.seal.addr, one_rr_per_rrset=True)
    assert r.rcode() == 0 and not r.flags & dns.flags.TC, r.to_text()
    assert size is None or len(r.to_wire(max_size=65535)) <= max(512, size)
    return [line for s in r.answer for line in s.to_text().splitlines()]


def dns_lines(path):
    return {dns.rrset.from_text(o, int(t), "IN", k, r).to_text() for o, t, _, k, r in
            (line.strip().split(None, 4) for line in open(path)) if k != "SOA"}


def is_soa(line):
    return line.split()[3] == "SOA"


def fits(answer, old, new):
    """Every difference applied in turn; what does not fit fails."""
    have, adding = set(old), True
    assert is_soa(answer[0]) and answer[0] == answer[-1]
    for line in answer[1:-1]:
        if is_soa(line):
            adding = not adding
        elif adding:
            assert line not in have, line
            have.add(line)
        else:
            have.remove(line)
    assert have == new, (sorted(have - new)[:3], sorted(new - have)[:3])


def test_every_serial_that_a_secondary_may_ask_from(rig):
    x = Line(rig, policy={"denial": "nsec3", "serial": "increment"})
    ttl = "a.%s 900 IN A 192.0.2.1\n" % ZONE
    case = "A.%s 900 IN A 192.0.2.1\n" % ZONE
    have = {x.published(): dns_lines(x.seal.axfr(ZONE))}
    for n, extra in enumerate((A, A + B, A, ttl, case, "", A, ""), 2):  # taken and given back; TTL alone; case alone
        serial = x.next(text(n, extra))
        have[serial] = dns_lines(x.seal.axfr(ZONE))
    assert x.seal.ctl("zone", "rollback", "--wait", ZONE, "u3").returncode == DONE
    have[x.seal.serial(ZONE)] = dns_lines(x.seal.axfr(ZONE))
    assert x.seal.ctl("zone", "serial", "--wait", ZONE, "5000").returncode == DONE
    have[x.seal.serial(ZONE)] = dns_lines(x.seal.axfr(ZONE))
    for again in range(2):
        now = x.seal.serial(ZONE)
        assert now == max(have)
        for serial, old in have.items():
            if serial == now:
                continue
            fits(ixfr(x, serial), old, have[now])
            for size in (0, 100, 512, 700, 1232, 4096):
                answer = ixfr(x, serial, size)
                if len(answer) > 1:
                    fits(answer, old, have[now])
        for size in (None, 0, 4096):
            assert len(ixfr(x, now, size)) == len(ixfr(x, now + 1, size)) == len(ixfr(x, now + 2**31 - 1, size)) == 1
        for serial in (now - 1 if now - 1 not in have else now - 7, now - 2**31 + 1, now + 2**31, 4000):
            assert len(ixfr(x, serial % 2**32, 4096)) == 1
            whole = ixfr(x, serial % 2**32)
            assert set(line for line in whole if not is_soa(line)) == have[now]
        if not again:
            x.seal.kill()
            x.seal.start()
            x.seal.wait_zone(ZONE, lambda s: s["served"], "the stored version")
