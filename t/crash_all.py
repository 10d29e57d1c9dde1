#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Crashes of the whole daemon at every call that touches state. zoneseald-crash numbers each write, sync, rename, unlink,
creation and send of its processes (crashshim.c); here it is killed before, after and in the middle of the k-th, all
processes at once or the one alone; the k-th call fails; the disk is full from the k-th on; and power cuts leave every kind
of image of what was not synced. Then it is started again, and the world must not notice: see World.served_as_before(),
Oracle and check(). k counts events: threads may bring them in another order in another run, which is no fault.

  crash_all.py --build DIR [--seconds N] [--jobs N] [--seed N] [--scenario NAME,...] [--least N] [--least-all N]
               [--most N] [--resume FILE] [--list]
  crash_all.py --build DIR --point SCENARIO:KIND:K[:SEED]     one point again, with the daemon's log
"""

import argparse
import ctypes
import json
import os
import random
import re
import selectors
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import crash_world
from crash_cut import Trace, distinct_cuts
from crash_report import Tally
from crash_scenarios import DAY, FAILURES, SCENARIOS
from crash_world import AFTER, BEFORE, COUNT, FAIL, FAIL_FROM, FRAME, HALF, OFF, SYNC, Base, Died, Late, World
from crash_zone import Wrong

A_WHILE = 5         # seconds of the daemon's clock for which the disk is full
KILLS = {"before": (BEFORE, 1), "after": (AFTER, 1), "half": (HALF, 1), "before-self": (BEFORE, 0), "after-self": (AFTER, 0),
         "half-self": (HALF, 0)}
WRITE, CREATE, RENAME, TRUNCATE, MKDIR = 2, 1, 4, 6, 7
SEEDS_MAX = 40      # how often one call may be hit, for a scenario with few of them
POINTS_PER_S = 8    # and job, on an idle machine
JUDGES_EVERY = 100  # one version in so many goes to the three verifiers
BORN = 12 * DAY     # the world begins so long ago, and no scenario takes it past today


# --- one point -------------------------------------------------------------------------------------------------------


def check(w, before, unneeded=()):
    """What must hold whenever the daemon has come to rest."""
    for z in w.zones.values():
        z.stored.verify(w.clock.wall())
    now = w.ids()
    for where, ids in before.items():
        if where not in unneeded and ids - now[where]:
            raise Wrong("key ids lost from %s: %s" % (where, sorted(ids - now[where])))
    if now["keys"] - now["keymap"] or now["keystate"] - now["keymap"]:
        raise Wrong("keys without a line in the keymap")
    if len(now["keystate"]) != 2 * len(w.zones):
        raise Wrong("%d keys for %d zones" % (len(now["keystate"]), len(w.zones)))
    if w.leftovers():
        raise Wrong("left over: %s" % w.leftovers())


def killed_again(w, seed, start, act):
    """Seeds from 2 on: the start after the crash is killed as well, behind its (seed / 2)-th call, which makes them points of
    their own. False: it had not so many."""
    if seed < 2:
        return True
    try:
        start(AFTER, at=seed // 2)
        act()
    except Died:
        pass
    hit = w.page.hit()
    w.kill()
    return bool(hit)


def recover(w, sc, before, seed=0):
    """The daemon starts on what a crash left. False: as killed_again()."""
    def resume():
        served_alone(w)
        for z in w.zones.values():
            w.notify(z)
        sc.goal(w)
    if not killed_again(w, seed, lambda *mode, **arm: sc.start(w, *mode, **arm), resume):
        return False
    sc.start(w)
    resume()
    finish(w, sc, before)
    return True


def served_alone(w):
    """What is stored is served with nobody's help."""
    seen = [z for z in w.zones.values() if z.oracle.wire]
    w.upstream_down = bool(seen)
    try:
        for z in seen:
            w.served_as_before(z)
    finally:
        w.upstream_down = False


def finish(w, sc, before):
    sc.goal(w)
    for z in w.zones.values():
        z.stored.verify(w.clock.wall())
    sc.after(w)
    sc.change(w)
    check(w, before, sc.unneeded)


def again(w, seed):
    """One more start: what is served is what is stored. False: as killed_again()."""
    w.kill()
    if not killed_again(w, seed, w.start, lambda: served_alone(w)):
        return False
    w.start()
    served_alone(w)
    return True


def begin(w, sc, base, seed):
    """seed: odd ones have a secondary that is not watched, so that nothing but the store knows which serials were used."""
    w.load(base)
    sc.begin(w, seed % 2 == 0)


def run_armed(w, sc, k, seed, mode, **arm):
    """Starts and acts, until the goal or the death. True: reached the goal."""
    if sc.from_start:
        sc.start(w, mode, at=k, **arm)
        sc.act(w, seed % 2 == 0)
    else:
        sc.start(w, COUNT, **arm)
        for z in list(w.zones.values()):
            w.served_as_before(z)
        w.page.aim(mode, k)
        sc.act(w, seed % 2 == 0)
    sc.goal(w)
    return True


def point_kill(w, sc, base, kind, k, seed):
    mode, group = KILLS[kind]
    begin(w, sc, base, seed)
    try:
        reached = run_armed(w, sc, k, seed, mode, group=group)
    except Died:
        reached = False
    hit = w.page.hit()
    if not hit:
        return None
    if reached and not group:
        finish(w, sc, w.ids())
        return hit if again(w, seed) else None
    w.kill()  # what a goal in sight had overtaken
    return hit if recover(w, sc, w.ids(), seed) else None


def point_fail(w, sc, base, kind, k, seed):
    begin(w, sc, base, seed)
    before = {}
    try:
        if kind == "full":
            full(w, sc, k, seed)
        run_armed(w, sc, k, seed, FAIL, err=FAILURES[kind]) if kind != "full" else sc.goal(w)
        hit, before = w.hit(), w.ids()
        if not hit:
            return None
        finish(w, sc, before)
    except Died:  # it may refuse to start, or to go on: the next start heals
        hit, before = w.hit(), w.ids()
        if not hit:
            raise Wrong("the daemon ended by itself") from None
        w.kill()
        recover(w, sc, before)
    return hit if again(w, seed) else None


def full(w, sc, k, seed):
    """From the k-th call on nothing can be written, for a while."""
    try:
        w.deadline = w.clock.us + A_WHILE * 1000000
        run_armed(w, sc, k, seed, FAIL_FROM, err=FAILURES["full"])
    except Late:
        pass
    finally:
        w.deadline = None
        w.page.mode(OFF)


def point_cut(w, sc, base, trace, how, k, seed):
    begin(w, sc, base, seed)
    sc.act_files(w, seed % 2 == 0)
    for z in w.zones.values():
        z.oracle = trace.oracle(k, z.name) or z.oracle
    w.acked, w.marks = trace.acked(k), dict(trace.marks)
    shutil.rmtree(w.root)
    trace.image(k, how, seed, w.root)
    if trace.end_wall:
        w.clock.set(trace.end_wall)
    recover(w, sc, w.ids())
    return ("cut", 0, how)


def run_point(w, sc, base, trace, kind, k, seed):
    """What was hit, or None when the run had not so many events. Raises on a violation."""
    try:
        if kind in KILLS:
            return point_kill(w, sc, base, kind, k, seed)
        if kind in FAILURES:
            return point_fail(w, sc, base, kind, k, seed)
        return point_cut(w, sc, base, trace, kind, k, seed)
    finally:
        w.kill()


def own_deaths(w):
    """Processes that died of something else than our kill, and what sanitizers say."""
    with open(w.log_path, errors="replace") as f:
        for line in f:
            if re.search(r"ended \(signal (?!9\b)|ERROR: \w+Sanitizer|runtime error:|[Aa]ssertion", line):
                raise Wrong(line.strip())


# --- the campaign ----------------------------------------------------------------------------------------------------


def call_points(classes, seeds):
    """(kind, k, seed) for the calls of a counted run, given by their classes."""
    for k, c in enumerate(classes, 1):
        kinds = ["before", "after", "before-self", "after-self"]
        if c == WRITE:
            kinds += ["half", "half-self"]
        if c < FRAME:
            kinds += ["fsync" if c == SYNC else "eio", "full"]
        if c in (WRITE, CREATE, RENAME, TRUNCATE, MKDIR):
            kinds.append("enospc")
        yield from ((kind, k, seed) for kind in kinds for seed in seeds)


class Campaign:
    def __init__(self, args):
        self.args, self.bases, self.traces, self.plans, self.calls, self.seeds = args, {}, {}, {}, {}, {}
        shm = "/dev/shm"
        self.top = tempfile.mkdtemp(prefix="zoneseal-crash-", dir=shm if os.access(shm, os.W_OK) else None)
        self.program = os.path.join(args.build, "zoneseald-crash")
        self.out = os.path.join(args.build, "crash-out")
        shutil.rmtree(self.out, ignore_errors=True)

    def prepare(self, w, sc, want):
        """Base, count, trace. want: about how many points, None: all."""
        base = Base(int(time.time()) - BORN)
        w.load(base)
        sc.prepare(w)
        w.kill()
        w.save(base, os.path.join(self.top, "base-" + sc.name))
        self.bases[sc.name] = base
        begin(w, sc, base, 0)
        sc.start(w, COUNT)
        start = 0
        if not sc.from_start:
            for z in list(w.zones.values()):
                w.served_as_before(z)
            start = w.page.count()
        sc.act(w, True)
        sc.goal(w)
        w.has_said(sc.says)
        count = w.page.count()
        w.kill()
        self.calls[sc.name] = classes = w.page.classes(count)[start:]
        plan, cuts = [], 0
        if sc.cuts:
            self.traces[sc.name] = trace = Trace(w, sc, base, os.path.join(self.top, "trace-" + sc.name),
                                                 os.path.join(self.args.build, "crash_image"))
            plan = distinct_cuts(trace, self.args.seed, self.top, want and want // 3)
            cuts = len(plan)
            trace.close()
        seeds = 2
        while cuts + len(list(call_points(classes, range(seeds)))) < self.args.least and seeds < SEEDS_MAX:
            seeds += 1
        self.seeds[sc.name] = seeds
        plan += call_points(classes, range(seeds))
        if want and want < len(plan):
            plan = random.Random(self.args.seed).sample(plan, want)
        self.plans[sc.name] = plan
        print("%-16s %4d calls, %5d points, %d of them power cuts" % (sc.name, len(classes), len(plan), cuts), flush=True)

    def work(self, n, tasks, fd, deadline):
        """A process of its own. Results go to fd, a line each."""
        crash_world.subreaper()
        w = make_world(n + 1, tempfile.mkdtemp(dir=self.top), self.program)
        judged = 0
        with os.fdopen(fd, "w") as out:
            for sc_name, kind, k, seed in tasks:
                if deadline and time.monotonic() > deadline:
                    break
                sc = by_name(sc_name)
                result = self.one(w, sc, kind, k, seed)
                judged += 1
                if not result.get("bad") and judged % self.args.judges == 0:
                    result["bad"] = judges(w)
                    result["judged"] = 1
                out.write(json.dumps(dict(result, scenario=sc_name, kind=kind, k=k, seed=seed)) + "\n")
                out.flush()
        w.kill()

    def one(self, w, sc, kind, k, seed):
        start = time.monotonic()
        try:
            hit = run_point(w, sc, self.bases[sc.name], self.traces.get(sc.name), kind, k, seed)
            own_deaths(w)
            return {"hit": hit, "s": time.monotonic() - start}
        except (Wrong, Late, Died) as e:
            self.keep(w, sc, kind, k)
            return {"hit": w.hit() or [kind, 0, ""], "bad": "%s: %s" % (type(e).__name__, e), "s": time.monotonic() - start}
        except Exception:
            self.keep(w, sc, kind, k)
            return {"hit": w.hit() or [kind, 0, ""], "bad": traceback.format_exc(), "s": time.monotonic() - start}

    def keep(self, w, sc, kind, k):
        """What a person needs to see."""
        d = os.path.join(self.out, "%s.%s.%d" % (sc.name, kind, k))
        shutil.rmtree(d, ignore_errors=True)
        os.makedirs(d)
        shutil.copy(w.log_path, d)
        if os.path.exists(w.root):
            shutil.copytree(w.root, os.path.join(d, "r"))

    def run(self, scenarios):
        w = make_world(0, self.top, self.program)
        began = time.monotonic()
        want = self.args.most
        if self.args.seconds:  # what is too much is cut off by time
            fits = int(self.args.seconds * self.args.jobs * POINTS_PER_S / len(scenarios)) + 1
            want = min(fits, want or fits)
        for sc in scenarios:
            self.prepare(w, sc, want)
        tally = Tally(list(self.plans), self.args.resume, sum(len(p) for p in self.plans.values()))
        self.spread([(name, *p) for name, plan in self.plans.items() for p in plan], tally,
                    began + self.args.seconds if self.args.seconds else None)
        for _ in range(SEEDS_MAX if not self.args.seconds else 0):
            # calls that were not reached, because threads took them in another order, or starts that had fewer: others instead
            short = tally.short(self.args.least)
            self.spread([(name, *p) for name in short for p in call_points(self.calls[name], [self.seeds[name]])], tally, None)
            for name in short:
                self.seeds[name] += 1
        return tally.report(self.args.least, self.args.least_all)

    def spread(self, tasks, tally, deadline):
        """Over processes of our own, in an order that shows a bit of everything soon."""
        tasks = [t for t in tasks if t not in tally.done]
        random.Random(self.args.seed).shuffle(tasks)
        sel = selectors.DefaultSelector()
        for n in range(self.args.jobs):
            r, wr = os.pipe()
            pid = os.fork()
            if pid == 0:
                os.close(r)
                try:
                    self.work(n, tasks[n::self.args.jobs], wr, deadline)
                finally:
                    os._exit(0)
            os.close(wr)
            sel.register(os.fdopen(r), selectors.EVENT_READ, pid)
        try:
            while sel.get_map():
                for key, _ in sel.select():
                    line = key.fileobj.readline()
                    if line:
                        tally.take(json.loads(line), self.args.slow)
                        continue
                    sel.unregister(key.fileobj)
                    key.fileobj.close()
                    os.waitpid(key.data, 0)
        finally:
            for key in list(sel.get_map().values()):
                os.kill(key.data, signal.SIGTERM)
                os.waitpid(key.data, 0)


def judges(w):
    """The three verifiers of the system tests on what is served now. What they say, None when they like it."""
    for z in w.zones.values():
        path = os.path.join(w.dir, "judged")
        with open(path, "w") as f:
            f.write(z.stored.text())
        for argv in (["dnssec-verify", "-q", "-o", z.name, path], ["kzonecheck", "-o", z.name, "-d", "on", path],
                     ["ldns-verify-zone", "-V2", path]):
            r = subprocess.run(argv, capture_output=True, text=True)
            if r.returncode:
                return "%s: %s" % (argv[0], (r.stdout + r.stderr)[-500:])
    return None


class CampaignWorld(World):
    """With an operator: a vault that was killed while it logged in leaves the PIN latch set, because nobody knows whether the
    PIN was refused; a person has to say that it was not."""

    latched = 0

    def until(self, condition, what):
        latch, looked = os.path.join(self.root, "state", "latch-hsm"), [time.monotonic() + 1]

        def operated():
            if time.monotonic() > looked[0] and os.path.exists(latch):
                looked[0] += 1
                self.latched += 1
                subprocess.run([os.path.join(os.path.dirname(self.program), "zonesealctl"), "-s", os.path.join(self.dir, "ctl"), "hsm",
                                "retry", "hsm"], capture_output=True, timeout=20)
            return condition()
        return super().until(operated, what)

    def add_zone(self, name, make, upstream):
        if name not in self.zones:
            self.zones[name] = crash_world.Zone(name, make)
        self.zones[name].upstream = upstream


def make_world(n, top, program):
    return CampaignWorld(n, top, program)


def by_name(name):
    return next(s for s in SCENARIOS if s.name == name)


def private_network():
    """Nothing but loopback from here on."""
    if ctypes.CDLL(None, use_errno=True).unshare(0x40000000):  # CLONE_NEWNET
        sys.exit("no private network: this wants root")
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def arguments():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--build", default=os.environ.get("ZS_BUILD", "."), help="where zoneseald-crash and crash_image are")
    p.add_argument("--seconds", type=float, help="a slice, chosen by the seed; without it: all points")
    p.add_argument("--jobs", type=int, default=2 * os.cpu_count(), help="each waits about half of its time")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--scenario", help="these alone")
    p.add_argument("--least", type=int, default=0, help="fail when a scenario has fewer points")
    p.add_argument("--least-all", type=int, default=0, help="fail when all of them have fewer points")
    p.add_argument("--most", type=int, help="no more points of a scenario, chosen by the seed")
    p.add_argument("--resume", metavar="FILE", help="keep results there, and do not repeat the good ones that it has")
    p.add_argument("--judges", type=int, default=JUDGES_EVERY)
    p.add_argument("--point", help="SCENARIO:KIND:K[:SEED], as a violation is named")
    p.add_argument("--slow", type=float, default=0, help="name points that take longer")
    p.add_argument("--list", action="store_true")
    return p.parse_args()


def single(c, text):
    name, kind, k, *seed = text.split(":")
    sc = by_name(name)
    w = make_world(0, c.top, c.program)
    c.prepare(w, sc, 1)
    result = c.one(w, sc, kind, int(k), int(seed[0]) if seed else 0)
    with open(w.log_path, errors="replace") as f:
        sys.stdout.write(f.read())
    print(result)
    return 1 if result.get("bad") else 0


def interrupted(*_):
    """Once: what is on is put away."""
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, signal.SIG_IGN)
    raise KeyboardInterrupt


def main():
    args = arguments()
    args.build = os.path.abspath(args.build)
    scenarios = [s for s in SCENARIOS if not args.scenario or s.name in args.scenario.split(",")]
    if args.list:
        print("\n".join(s.name for s in scenarios))
        return 0
    private_network()
    crash_world.subreaper()
    for s in (signal.SIGINT, signal.SIGTERM):
        signal.signal(s, interrupted)
    c = Campaign(args)
    try:
        return single(c, args.point) if args.point else c.run(scenarios)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        return 130
    finally:
        shutil.rmtree(c.top, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
