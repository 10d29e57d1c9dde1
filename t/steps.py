#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random steps of random small zones through a whole daemon. After each, what the daemon serves as a difference (and now
and then as a whole) must be what a full signing of the same content is, by the second implementation of py/steps_zone.py,
and nothing that stayed may be signed anew. The daemon's own gate sees each version, too: it must have found nothing.

  ZS_BUILD=build steps.py [--steps N] [--zones N] [--seed N] [--seconds N] [--no-shrink]

The seed is printed. A failing case is made smaller and printed as a program text: `steps.py --replay FILE` runs it."""

import argparse
import asyncio
import os
import pprint
import random
import shutil
import sys
import tempfile
import time

TOP = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(TOP, "py"), os.path.join(TOP, "sys")]
import dns.dnssec  # noqa: E402
import dns.name  # noqa: E402
import dns.rdata  # noqa: E402
import dns.rdataset  # noqa: E402
import dns.rrset  # noqa: E402
import harness  # noqa: E402
import seal  # noqa: E402
import steps_wire as wire  # noqa: E402
import steps_zone as zones  # noqa: E402
from steps_zone import DNSKEY, NSEC3PARAM, RRSIG, SOA, Wrong  # noqa: E402

PATIENCE = float(os.environ.get("ZS_WAIT", "40"))
SHORT = 4  # where the history is kept short
PAST = 6  # versions that are remembered, to ask for a difference from


def newer(serial, rng):
    jump = rng.randint(1, 3) if rng.random() < 0.98 else rng.randint(1 << 30, (1 << 31) - 1)
    return (serial + jump) & 0xffffffff


def records_of(content, serial):
    """{(owner, type, RDATA, ttl, owner as sent)}"""
    out = set()
    for (owner, rdtype), value in content.items():
        for ttl, sent, rdata in value:
            if rdtype == SOA:
                rdata = rdata[:-20] + serial.to_bytes(4, "big") + rdata[-16:]
            out.add((owner, rdtype, rdata, ttl, sent))
    return out


def doubles(records):
    """Records of RRsets with one that comes twice, but for case."""
    seen, twice = {}, set()
    for owner, rdtype, rdata, _, _ in records:
        first = seen.setdefault((owner, rdtype, zones.canonical(rdtype, rdata)), rdata)
        if first != rdata:
            twice.add((owner, rdtype))
    return {r for r in records if r[:2] in twice}


class Step:
    """versions: [(serial, change)]; how: how the primary answers IXFR."""

    def __init__(self, versions, how):
        self.versions, self.how = versions, how

    def __repr__(self):
        return "Step(%s, %r)" % (pprint.pformat(self.versions, width=110), self.how)


class Case:
    """A zone with all that it goes through."""

    def __init__(self, policy, serial, content, steps):
        self.policy, self.serial, self.content, self.steps = policy, serial, content, steps

    def __repr__(self):
        return "Case(%r, %d, %s, [\n%s])" % (self.policy, self.serial, pprint.pformat(self.content, width=110),
                                             ",\n".join(map(repr, self.steps)))


def covers(record):
    """The type of a record, or that which a signature signs."""
    _, rdtype, rdata = record
    return int.from_bytes(rdata[:2], "big") if rdtype == dns.rdatatype.RRSIG else rdtype


class Zone:
    """One zone at the primary, and the same as the secondary has it from zoneseal."""

    def __init__(self, servers, apex, policy, rng, case=None):
        self.servers, self.apex, self.policy, self.rng = servers, apex, policy, rng
        self.maker = zones.Maker(rng, apex)
        self.given = case
        self.content = dict(case.content) if case else self.maker.start()
        self.serial = case.serial if case else rng.choice([1, 7, 0x7fffffff, 0xffffffff, rng.randrange(1 << 32)])
        self.begun = self.serial, dict(self.content)
        self.steps, self.chain, self.how = [], [], "axfr"  # chain: [(serial, records)], what IXFR can tell
        self.event, self.served = asyncio.Event(), None
        self.past, self.flat, self.grouped = [], None, None
        self.known = None
        servers.zones[apex] = self

    def case(self, back=None):
        return Case(self.policy.name, *self.begun, self.steps)

    # --- the primary's side -----------------------------------------------------------------------------------------

    def soa(self):
        (ttl, _, rdata), = self.content[self.apex, SOA]
        return ttl, rdata[:-20] + self.serial.to_bytes(4, "big") + rdata[-16:]

    def answer(self, qtype, serial):
        here = [i for i, (s, _) in enumerate(self.chain) if s == serial]
        ttl, rdata = self.soa()
        soa = wire.encode(self.apex, SOA, ttl, rdata)
        if qtype == wire.IXFR and serial == self.serial:
            return [soa]
        if qtype == wire.AXFR or self.how == "axfr" or not here:
            rest = [wire.encode(sent, t, ttl, rd) for _, t, rd, ttl, sent in records_of(self.content, self.serial) if t != SOA]
            self.rng.shuffle(rest)
            return [soa] + rest + [soa]
        path = self.chain[here[0]:]
        if any(doubles(new) - doubles(path[0][1]) for _, new in path[1:]):
            return self.answer(wire.AXFR, None)  # twice the same but for case: no difference can tell the two apart
        if self.how == "condensed":
            path = [path[0], path[-1]]
        out = [soa]
        for (_, old), (_, new) in zip(path, path[1:]):
            out += self.difference(old, new)
        return out + [soa]

    def difference(self, old, new):
        """Deletions and additions, each with its SOA first. A deletion's TTL means nothing; a record that only gets another
        TTL or case may just be added."""
        def key(r):
            return r[0], r[1], zones.canonical(r[1], r[2])
        gone, come = sorted(old - new), sorted(new - old)
        replaced = {key(r) for r in come}
        if self.rng.random() < 0.2:
            gone = [r for r in gone if key(r) not in replaced or r[1] == SOA]
        if self.rng.random() < 0.1:
            gone = [r[:3] + (1, ) + r[4:] for r in gone]
        out = []
        for part in (gone, come):
            soas = [r for r in part if r[1] == SOA]
            rest = [r for r in part if r[1] != SOA]
            self.rng.shuffle(rest)
            out += [wire.encode(r[4], r[1], r[3], r[2]) for r in soas + rest]
        return out

    def next_step(self):
        if self.given:
            return self.given.steps[len(self.steps)]
        versions, content, serial = [], dict(self.content), self.serial
        for _ in range(self.rng.choice([1, 1, 1, 2, 3])):
            change = []
            for _ in range(self.rng.choice([1, 1, 2, 4])):
                one = self.maker.change(content)
                zones.apply(content, one)
                change += one
            serial = newer(serial, self.rng)
            versions.append((serial, change))
            if serial - self.serial & 0xffffffff >= 1 << 30:
                break  # one such jump a step: the sum stays newer
        return Step(versions, self.rng.choice(["steps", "steps", "condensed", "axfr"]))

    def heard(self, serial):
        if self.served != serial:
            self.served = serial
            self.event.set()

    # --- the secondary's side ---------------------------------------------------------------------------------------

    async def published(self, status):
        """Until we were told of this serial, or the daemon says why not."""
        end = time.monotonic() + PATIENCE
        while self.served != self.serial:
            self.servers.notify(self.apex)
            self.event.clear()
            try:
                await asyncio.wait_for(self.event.wait(), 3)
            except asyncio.TimeoutError:
                wrong = await status(self.apex)
                if wrong or time.monotonic() > end:
                    raise Wrong("serial %d is not published: %s" % (self.serial, wrong or "waited in vain")) from None

    def take(self, rrs, flat):
        """A transfer applied to what the secondary had; strictly: each deletion was there, no addition was."""
        if len(rrs) > 1 and not (rrs[1][1] == SOA and rrs[1][3] != rrs[0][3]):
            whole = {(o, t, rd): ttl for o, t, ttl, rd in rrs[:-1]}
            if len(whole) != len(rrs) - 1:
                raise Wrong("a record comes twice in AXFR")
            return whole
        flat, adding, soa = dict(flat), True, None
        for owner, rdtype, ttl, rdata in rrs[1:-1]:
            if rdtype == SOA:
                adding, soa = not adding, rdata
            key = owner, rdtype, rdata
            if adding:
                if key in flat:
                    raise Wrong("IXFR adds what is there: %s" % zones.say(key))
                flat[key] = ttl
            elif flat.pop(key, None) != ttl:
                raise Wrong("IXFR deletes what is not there: %s %d %s" % (zones.say(key), ttl, rdata.hex()))
        if adding is False or soa != rrs[0][3]:
            raise Wrong("IXFR does not end in the newest SOA")
        return flat

    def at_most(self, had, flat):
        """Records of a difference from the last version: those that we see, and owners in another case, each with an RRSIG."""
        return len(set(had.items()) ^ set(flat.items())) + 2 * len(self.chain[0][1] ^ self.chain[-1][1]) + 4

    async def fetch(self, counts):
        if self.flat is None:
            return self.take(await self.servers.transfer(self.apex), None)
        back = len(self.past) - 1 if self.rng.random() < 0.8 else self.rng.randrange(len(self.past))
        serial, flat = self.past[back]
        if not 0 < self.serial - serial & 0xffffffff < 1 << 31:
            serial, flat = self.past[-1]
        rrs = await self.servers.transfer(self.apex, serial)
        had, flat = flat, self.take(rrs, flat)
        if len(rrs) > 1 and rrs[1][1] != SOA:
            counts["axfr-style"] += 1
            if 2 * self.at_most(had, flat) < len(flat) and serial == self.past[-1][0]:
                raise Wrong("IXFR from %d is answered with the zone, the difference is small" % serial)
        if self.rng.random() < 0.1:
            counts["axfr"] += 1
            whole = self.take(await self.servers.transfer(self.apex), None)
            if whole != flat:
                odd = sorted(set(whole.items()) ^ set(flat.items()))[0]
                raise Wrong("AXFR and IXFR make different zones, as in %s" % zones.say(odd[0]))
        return flat

    async def check(self, counts):
        flat = await self.fetch(counts)
        if self.known is None:
            keys = [(ttl, rd) for (o, t, rd), ttl in flat.items() if t == DNSKEY and o == self.apex]
            salts = [rd[5:] for o, t, rd in flat if t == NSEC3PARAM and o == self.apex]
            if not keys:
                raise Wrong("no DNSKEY")
            self.known = (keys[0][0], frozenset(rd for _, rd in keys)), salts[0] if salts else b""
        want = zones.Signed(self.content, self.apex, self.policy, self.serial, *self.known)
        before, self.flat = self.grouped, flat
        self.grouped = zones.compare(flat, before, self.content, self.apex, want, time.time())
        if self.rng.random() < 0.02:
            counts["verified"] += self.verify(self.grouped, before)
        if self.rng.random() < counts["judge"]:
            counts["judged"] += 1
            await asyncio.to_thread(self.judge, flat)
        self.past = self.past[-PAST:] + [(self.serial, flat)]

    def verify(self, grouped, before):
        """Signatures that are new, by dnspython."""
        sets, sigs = grouped
        keys = {zones.parsed(self.apex): rdataset(DNSKEY, *sets[self.apex, DNSKEY])}
        new = [k for k in sigs if not before or before[1].get(k) != sigs[k]]
        for key in new:
            try:
                dns.dnssec.validate((zones.parsed(key[0]), rdataset(key[1], *sets[key])),
                                    (zones.parsed(key[0]), rdataset(RRSIG, *sigs[key])), keys)
            except dns.dnssec.ValidationFailure as e:
                raise Wrong("%s: signature: %s" % (zones.say(key), e)) from None
        return len(new)

    def judge(self, flat):
        """By the tools of three others."""
        name = dns.name.from_wire(self.apex, 0)[0].to_text()
        above = [o for o, t, _ in flat if t == zones.DNAME]  # kzonecheck takes nothing below a DNAME
        # but for the hashed owners, which are below a DNAME at the apex
        flat = {k: ttl for k, ttl in flat.items()
                if covers(k) == zones.NSEC3 or not any(k[0] != o and zones.within(k[0], o) for o in above)}
        with tempfile.NamedTemporaryFile("w", suffix=".zone") as f:
            for (owner, rdtype, rdata), ttl in sorted(flat.items(), key=lambda r: r[0][1] != SOA):
                one = dns.rdata.from_wire(1, rdtype, rdata, 0, len(rdata))
                f.write("%s %d IN %s %s\n" % (dns.name.from_wire(owner, 0)[0], ttl, dns.rdatatype.to_text(rdtype), one.to_text()))
            f.flush()
            try:
                wild = any(t == zones.NS and o.startswith(b"\x01*") for o, t, _ in flat)  # BIND reads no such zone
                seal.verify_zone(f.name, name, csk=self.policy.name == "csk", skip=["dnssec-verify"] if wild else ())
            except harness.Failure as e:
                raise Wrong(str(e)) from None

    async def run(self, steps, counts, status):
        await self.published(status)
        await self.check(counts)
        while counts["left"] > 0 if steps is None else steps > 0 and counts["left"] >= 0:
            if steps is None:
                counts["left"] -= 1
            else:
                steps -= 1
            step = self.next_step()
            self.steps.append(step)
            self.chain = [(self.serial, records_of(self.content, self.serial))]
            self.how = step.how
            for self.serial, change in step.versions:
                zones.apply(self.content, change)
                self.chain.append((self.serial, records_of(self.content, self.serial)))
            await self.published(status)
            await self.check(counts)
            counts["done"] += 1


def rdataset(rdtype, ttls, rdatas):
    out = dns.rdataset.Rdataset(1, rdtype, ttl=min(ttls))
    for rdata in rdatas:
        out.add(dns.rdata.from_wire(1, rdtype, rdata, 0, len(rdata)))
    return out


class Stage:
    """A daemon of its own with the zones between both servers."""

    def __init__(self, tmp, policies, log):
        self.rig = harness.Rig(tmp)
        self.daemon = seal.Zoneseal(self.rig)
        for n, addr in (("primary", self.rig.address()), ("secondary", self.rig.address())):
            self.daemon.conf["remotes"].append({"name": n, "address": ["%s@%d" % (addr, wire.PORT)], "source": [self.daemon.addr],
                                                "watch": "no"})
        self.daemon.conf["log"]["level"] = log
        self.daemon.conf["policies"] = [dict(p.options, name=p.name) for p in zones.POLICIES]
        self.names = ["%s%d.steps.example" % (p.name, i) for i, p in enumerate(policies)]
        self.apexes = {dns.name.from_text(n).to_wire(): n for n in self.names}
        self.daemon.conf["zones"] = [
            {"name": n, "upstream": ["primary"], "downstream": ["secondary"], "policy": p.name,
             "guard": {"shrink": "100%", "churn": "100%"}, "history": {"versions": str(SHORT)} if i % 4 == 3 else {}}
            for i, (n, p) in enumerate(zip(self.names, policies))]
        self.addresses = [r["address"][0].split("@")[0] for r in self.daemon.conf["remotes"]]

    async def status(self, apex):
        """What keeps the zone from being published, None when nothing is known."""
        def ask():
            return self.daemon.process.poll(), self.daemon.alarms(self.apexes[apex]) if self.daemon.process.poll() is None else {}
        ended, alarms = await asyncio.to_thread(ask)
        return "the daemon ended: %s" % ended if ended is not None else "; ".join("%s: %s" % a for a in alarms.items())

    def findings(self):
        out = list(seal.sanitizer_reports(self.daemon.log()))
        vetoes = self.daemon.metric("zoneseal_gate_vetoes_total")
        return out + (["%d vetoes" % vetoes] if vetoes else [])


async def play(stage, policies, seed, steps, judge, cases=None, seconds=None):
    """Runs all zones side by side; (counts, zone that failed or None, why)."""
    servers = wire.Servers(stage.daemon.addr, *stage.addresses, random.Random(seed))
    counts = {"left": steps, "done": 0, "axfr": 0, "axfr-style": 0, "verified": 0, "judged": 0, "judge": judge}
    made = [Zone(servers, apex, policy, random.Random("%d/%d" % (seed, i)), cases[i] if cases else None)
            for i, (apex, policy) in enumerate(zip(stage.apexes, policies))]
    await servers.start()
    stage.daemon.start(program="zoneseald-clk")  # from this thread: it dies with the thread that started it
    began = time.monotonic()
    tasks = {asyncio.ensure_future(z.run(len(cases[i].steps) if cases else None, counts, stage.status)): z
             for i, z in enumerate(made)}
    told, wrong = began, None
    while tasks and not wrong:
        done, _ = await asyncio.wait(tasks, timeout=1, return_when=asyncio.FIRST_EXCEPTION)
        if time.monotonic() - told > 30:
            told = time.monotonic()
            print("%d steps, %.1f a second" % (counts["done"], counts["done"] / (told - began)), flush=True)
        if seconds and time.monotonic() - began > seconds:
            counts["left"] = 0
        for task in done:
            zone = tasks.pop(task)
            if task.exception():
                wrong = zone, task.exception()
    counts["left"] = -1  # wait_for() may swallow what cancel() throws
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    servers.tcp.close()
    servers.udp.close()
    servers.ear.close()
    counts["seconds"] = time.monotonic() - began
    counts["asked"] = dict(servers.asked)
    return counts, *(wrong or (None, None))


def run(policies, seed, steps, judge=0.0, cases=None, seconds=None, log="notice"):
    """(counts, zone, what is wrong or None)"""
    tmp = tempfile.mkdtemp(prefix="zoneseal-steps-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None)
    try:
        stage = Stage(tmp, policies, log)
        try:
            counts, zone, wrong = asyncio.run(play(stage, policies, seed, steps, judge, cases, seconds))
            try:
                findings = stage.findings()
            except OSError as e:
                findings = ["no metrics: %s" % e]
            text = stage.daemon.log()
        finally:
            problems = stage.rig.close()
        if not zone and (findings or problems):
            wrong = Wrong("\n".join(findings + problems))
        if wrong and not isinstance(wrong, (Wrong, ConnectionError, OSError, EOFError)):
            raise wrong
        if wrong:
            name = stage.apexes[zone.apex] if zone else ""
            wrong = "%s: %s\n%s\n%s" % (type(wrong).__name__, wrong, "\n".join(findings + problems),
                                        "\n".join([x for x in text.splitlines() if name in x][-20:]))
        return counts, zone, wrong
    finally:
        shutil.rmtree(tmp)


# --- smaller ------------------------------------------------------------------------------------------------------


def policy_named(name):
    return next(p for p in zones.POLICIES if p.name == name)


def sound(case, apex):
    """Does every version of it keep its owners in order?"""
    content = dict(case.content)
    owners = {o for o, _ in content}
    for change in [[]] + [c for s in case.steps for _, c in s.versions]:
        zones.apply(content, change)
        if not zones.in_order(content, apex, owners | {k[0] for k, _ in change}):
            return False
    return True


def replay(case, seed=1, log="notice"):
    _, _, wrong = run([policy_named(case.policy)], seed, 0, cases=[case], log=log)
    return wrong


def moved(case, old, new):
    """The same under another apex: names end in the apex, wherever they stand."""
    def one(octets):
        return octets.replace(old, new)

    def values(value):
        return value and tuple((ttl, one(sent), one(rdata)) for ttl, sent, rdata in value)
    content = {(one(o), t): values(v) for (o, t), v in case.content.items()}
    steps = [Step([(s, [((one(o), t), values(v)) for (o, t), v in c]) for s, c in x.versions], x.how) for x in case.steps]
    return Case(case.policy, case.serial, content, steps)


def content_at(case, n):
    content, serial = dict(case.content), case.serial
    for step in case.steps[:n]:
        for serial, change in step.versions:
            zones.apply(content, change)
    return content, serial


def smaller(case, apex):
    """Candidates, the boldest first."""
    n = len(case.steps)
    for keep in sorted({1, 2, 4, 8, n // 2, n - 1}):
        if 0 < keep < n:
            content, serial = content_at(case, n - keep)
            yield Case(case.policy, serial, content, case.steps[n - keep:])
    for i, step in enumerate(case.steps):
        if n > 1 and n <= 8:
            yield Case(case.policy, case.serial, case.content, case.steps[:i] + case.steps[i + 1:])
        for j, (serial, change) in enumerate(step.versions):
            def but(new):
                versions = step.versions[:j] + new + step.versions[j + 1:]
                return Case(case.policy, case.serial, case.content, case.steps[:i] + [Step(versions, step.how)] + case.steps[i + 1:])
            if len(step.versions) > 1:
                yield but([])
            for k in range(len(change)):
                yield but([(serial, change[:k] + change[k + 1:])])
    keys = sorted(k for k in case.content if k not in ((apex, SOA), (apex, zones.NS)))
    size = len(keys)
    while size > 1:
        size = (size + 1) // 2
        for i in range(0, len(keys), size):
            yield Case(case.policy, case.serial, {k: v for k, v in case.content.items() if k not in keys[i:i + size]}, case.steps)


def shrink(case, apex, seconds):
    """The smallest case found that fails; the random choices of how it is sent are made anew each time."""
    own = dns.name.from_text("%s0.steps.example" % case.policy).to_wire()
    case, end, tries = moved(case, apex, own), time.monotonic() + seconds, 0
    wrong = replay(case)
    if not wrong:
        return case, "it does not fail alone"
    better = True
    while better and time.monotonic() < end:
        better = False
        for candidate in smaller(case, own):
            if time.monotonic() > end:
                break
            if sound(candidate, own) and any(candidate.steps):
                tries += 1
                again = replay(candidate)
                if again:
                    case, wrong, better = candidate, again, True
                    break
    print("%d tries" % tries)
    return case, wrong


def inside():
    """Into a network of our own, with loopback alone."""
    if os.environ.get("ZS_PRIVATE_NET") == "1":
        return
    os.environ["ZS_PRIVATE_NET"] = "1"
    kind = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    os.execvp("unshare", ["unshare", *kind, "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", sys.executable, "-B", *sys.argv])


def main():
    inside()
    sys.stdout.reconfigure(line_buffering=True)
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--zones", type=int, default=30)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--seconds", type=float, help="go no further after so many")
    parser.add_argument("--judge", type=float, default=0.002, help="part of the versions shown to the tools of others")
    parser.add_argument("--no-shrink", action="store_true")
    parser.add_argument("--shrink-seconds", type=float, default=240)
    parser.add_argument("--replay", help="a file with a Case as it is printed")
    parser.add_argument("--log", default="notice")
    args = parser.parse_args()
    if args.replay:
        case = eval(open(args.replay).read(), {"Case": Case, "Step": Step})
        wrong = replay(case, args.seed, args.log)
        print(wrong or "ok")
        return 1 if wrong else 0
    print("--seed %d" % args.seed, flush=True)
    policies = [zones.POLICIES[i % len(zones.POLICIES)] for i in range(args.zones)]
    counts, zone, wrong = run(policies, args.seed, args.steps, args.judge, seconds=args.seconds, log=args.log)
    print("%(done)d steps in %(seconds).0f s; upstream asked %(asked)s; ours: %(axfr)d AXFR compared, %(axfr-style)d AXFR instead of "
          "IXFR, %(verified)d signatures verified, %(judged)d versions judged by tools" % counts)
    if not wrong:
        return 0
    print("--seed %d --zones %d, step %d of %s: %s" % (args.seed, args.zones, len(zone.steps) if zone else 0, zone and zone.policy.name, wrong))
    if zone and not args.no_shrink:
        case, wrong = shrink(zone.case(), zone.apex, args.shrink_seconds)
        print("smallest: %r\n%s" % (case, wrong))
    return 1


if __name__ == "__main__":
    sys.exit(main())
