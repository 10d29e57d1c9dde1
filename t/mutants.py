#!/usr/bin/python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Mutants of denial, signing, difference and build code, one by one: does a test find each? The list is mutants/list. Works on a
copy of the sources in build-mutants/ of the current directory, which is kept, so that only what differs is built again.

  mutants.py [--only TEXT] [--slice N]    names the test that found each; survivors are failures. --slice: N of them only,
                                          others every day"""

import argparse
import os
import shutil
import subprocess
import sys
import time

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WORK = os.path.abspath("build-mutants")
SOURCES, BUILD = os.path.join(WORK, "sources"), os.path.join(WORK, "build")
# What may find a mutant of a file, the cheapest first; at the end the whole daemon.
TESTS = {"src/seal/splice": ["t_splice"], "src/seal/chain.c": ["t_denial", "t_splice"], "src/seal/denial.c": ["t_denial"],
         "src/seal/sign.c": ["t_sign"], "src/dns/": ["t_ixfr", "t_merge"], "src/gate/gate_denial.c": ["t_gate"],
         "src/gate/gate_both.c": ["t_gate_both"], "src/gate/gate_": ["t_gate_step", "t_gate_both"],
         "src/store/history_build.c": ["t_history_build", "t_gate_both"],
         "src/store/history_merge.c": ["t_gate_step"], "src/store/history_write.c": ["t_gate_step", "t_history"],
         "src/store/history": ["t_history", "t_history_build", "t_gate_step"],
         "src/store/snap.c": ["t_store_recent", "t_store_renew", "t_store_threads"],
         "src/store/gen.c": ["t_store", "t_store_damage"],
         "src/net/xfrout.c": ["t_net_give_up", "t_net_ixfr", "t_net_server"],
         "src/store/": ["t_store_recent", "t_store_view"],
         "src/app/overtake.c": ["sys/test_live.py"], "src/app/build.c": ["sys/test_live.py"],
         "src/app/version_commit.c": ["sys/test_live.py"], "src/app/downstream.c": ["sys/test_downstream.py"],
         "src/app/held.c": ["sys/test_corner.py"], "src/app/renew.c": ["sys/test_renew.py"],
         "src/app/fold.c": ["t_fold"], "src/app/": []}
STEPS = ["--steps", "2500", "--seed", "1", "--seconds", "60", "--no-shrink", "--judge", "0"]
PROGRAMS = ["zoneseald-clk", "zonesealctl"]
TESTED = ["zoneseald", "zoneseald-crash", "p11fault.so"] + PROGRAMS  # by the system tests


class Mutant:
    def __init__(self, head):
        self.file, self.says = head.split(": ", 1)
        self.old, self.new = [], []

    def apply(self, text):
        old, new = "\n".join(self.old), "\n".join(self.new)
        if text.count(old) != 1:
            sys.exit("%s: %s: its text is there %d times" % (self.file, self.says, text.count(old)))
        return text.replace(old, new)

    def tests(self):
        return next(tests for prefix, tests in TESTS.items() if self.file.startswith(prefix))


def read_list(path):
    out = []
    for line in open(path).read().splitlines():
        if line.startswith("#") or not line:
            continue
        if line[0] in "-+":
            (out[-1].old if line[0] == "-" else out[-1].new).append(line[1:])
        else:
            out.append(Mutant(line))
    for m in out:
        m.apply(read(os.path.join(TOP, m.file)))
    return out


def read(path, how="r"):
    with open(path, how) as f:
        return f.read()


def write(path, text):
    with open(path, "w") as f:
        f.write(text)


def run(argv, timeout=900, **kw):
    try:
        return subprocess.run(argv, cwd=BUILD, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              text=True, errors="replace", timeout=timeout, **kw)
    except subprocess.TimeoutExpired as e:
        return subprocess.CompletedProcess(argv, 124, (e.stdout or b"").decode(errors="replace"))


def copy_sources():
    """Files that differ alone, with their times where they are not sources, so that make builds what is new."""
    for at, dirs, files in os.walk(TOP):
        dirs[:] = [d for d in dirs if not d.startswith(("build", ".", "autom4te", "corpus", "__pycache__")) or d == "build-aux"]
        to = os.path.join(SOURCES, os.path.relpath(at, TOP))
        os.makedirs(to, exist_ok=True)
        for name in files:
            source, target = os.path.join(at, name), os.path.join(to, name)
            if os.path.exists(target) and read(source, "rb") == read(target, "rb"):
                continue
            shutil.copy(source, target)
            if not name.endswith((".c", ".h")):
                shutil.copystat(source, target)


def prepare():
    copy_sources()
    os.makedirs(BUILD, exist_ok=True)
    if not os.path.exists(os.path.join(BUILD, "Makefile")):
        done = run([os.path.join(SOURCES, "configure"), "-q", "--enable-silent-rules",
                    "CFLAGS=-O1 -g"])
        if done.returncode:
            sys.exit(done.stdout[-3000:])


def make(*targets):
    return run(["make", "-j2", *targets])


def programs(test):
    return PROGRAMS if test == "steps" else TESTED if test.startswith("sys/") else [test]


def run_test(test):
    """What it says when it fails, None when it passes."""
    if test == "steps":
        env = dict(os.environ, ZS_BUILD=BUILD, ZS_WAIT="10")
        done = run([sys.executable, "-B", os.path.join(TOP, "t", "steps.py"), *STEPS], env=env, timeout=180)
    elif test.startswith("sys/"):
        env = dict(os.environ, ZS_BUILD=BUILD, ZS_WAIT="20")
        done = run([sys.executable, "-B", "-m", "pytest", "-q", "-x", "--tb=line", "-p", "no:cacheprovider", os.path.join(TOP, "t", test)],
                   env=env, timeout=400)
    else:
        done = run(["./" + test], env=dict(os.environ, srcdir=TOP), timeout=120)
    lines = [x for x in done.stdout.splitlines() if ": Wrong: " in x or ":F:" in x or ":E:" in x or x.startswith("FAILED ")] or done.stdout.splitlines()
    return None if done.returncode == 0 else (lines or ["exit %d" % done.returncode])[0][-110:]


def find(mutant):
    """(test, what it says), or None: it survives."""
    path = os.path.join(SOURCES, mutant.file)
    before = read(path)
    try:
        write(path, mutant.apply(before))
        for test in mutant.tests() + ["steps"]:
            done = make(*programs(test))
            if done.returncode:
                sys.exit("%s: %s: does not build\n%s" % (mutant.file, mutant.says, done.stdout[-3000:]))
            said = run_test(test)
            if said:
                return test, said
        return None
    finally:
        write(path, before)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="those whose file or text has this in it")
    parser.add_argument("--slice", type=int)
    args = parser.parse_args()
    mutants = read_list(os.path.join(TOP, "t", "mutants", "list"))
    if args.only:
        mutants = [m for m in mutants if args.only in m.file + ": " + m.says]
    if args.slice:
        day = int(time.time()) // 86400
        mutants = [mutants[(day * args.slice + i) % len(mutants)] for i in range(args.slice)]
    prepare()
    tests = sorted({t for m in mutants for t in m.tests()})
    done = make(*{p for t in tests + ["steps"] for p in programs(t)})
    if done.returncode:
        sys.exit(done.stdout[-3000:])
    for test in tests + ["steps"] * (not args.slice):
        said = run_test(test)
        if said:
            sys.exit("%s fails without a mutant: %s" % (test, said))
    survived = 0
    for m in mutants:
        began = time.monotonic()
        found = find(m)
        survived += found is None
        print("%-8s %s: %s (%.0f s)%s" % (found[0] if found else "SURVIVES", m.file, m.says, time.monotonic() - began,
                                          "\n         " + found[1] if found else ""), flush=True)
    print("%d mutants, %d survive" % (len(mutants), survived))
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
