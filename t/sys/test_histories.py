# SPDX-License-Identifier: GPL-3.0-or-later
"""Real histories of real zones, step by step through a real primary, once with differences and once with whole transfers
alone. Each version passes the gate; a secondary follows by IXFR alone; each 25th version and the last go to the judges.

$ZS_HISTORY_STEPS: how many steps of each (0: all of them, `make check-histories`)."""

import lzma
import os
import re

import pytest

import chain
import harness
import seal
from chain import Chain

STEPS = int(os.environ.get("ZS_HISTORY_STEPS", "12"))
JUDGED = 25
HISTORIES = {"root": (".", "root"), "is-a-dev": ("is-a.dev.", "is-a-dev")}


def lines_of(name):
    path = chain.shared(name)
    if not path:
        pytest.skip("test data %s is not beside this checkout" % name)
    with lzma.open(path, "rt") as f:
        return f.read().splitlines()


def steps(lines):
    """(from, to, removed, added) of a journal."""
    at = None
    for line in lines:
        if line[0] == "=":
            if at:
                yield at
            old, new = line[1:].split()[:2]
            at = (int(old), int(new), [], [])
        else:
            at[2 if line[0] == "-" else 3].append(line[1:])
    if at:
        yield at


def apply(content, step):
    for line in step[2]:
        content.remove(line)
    content.update(step[3])
    soa = [x for x in content if " IN SOA " in x]
    assert len(soa) == 1
    return "\n".join(soa + sorted(content - set(soa))) + "\n"


def busy_steps(journal, most):
    """A slice takes the steps in which something changed."""
    for n, step in enumerate(steps(journal), 1):
        if most == 0 or n <= most:
            yield n, step


@pytest.mark.parametrize("ixfr", [True, False], ids=["ixfr", "axfr"])
@pytest.mark.parametrize("name", sorted(HISTORIES))
def test_history(rig, name, ixfr):
    zone, where = HISTORIES[name]
    base, journal = lines_of(where + "/base.zone.xz"), lines_of(where + "/journal.txt.xz")
    content = set(x for x in base if x.strip())
    first = [x for x in base if " IN SOA " in x][0]
    c = Chain(rig, primary="knot", zone=zone, text="\n".join(base) + "\n",
              policy_options={"denial": "nsec" if zone == "." else "nsec3"})
    c.primary.ixfr = ixfr
    c.start()
    c.published(int(first.split()[6]), timeout=240)
    count, changed = 0, 0
    for count, step in busy_steps(journal, STEPS):
        c.primary.change(zone, apply(content, step))
        c.published(step[1], timeout=120)
        changed += len(step[2]) + len(step[3]) > 2
        if count % JUDGED == 0:
            seal.verify_zone(c.secondary.axfr(zone), zone)
    seal.verify_zone(c.secondary.axfr(zone), zone)
    chain.same_data(c)
    log = c.seal.log()
    made = [int(x) for x in re.findall(r"event=published serial=\d+ upstream=\d+ rrsets=\d+ signatures=(\d+)", log)]
    assert len(made) == count and not c.seal.alarms(zone)
    assert len(re.findall(r"event=received type=ixfr", log)) == (count if ixfr else 0)
    # the secondary got the first version whole and nothing else, but for the transfers of this test
    whole = [x for x in re.findall(r"AXFR to \S+ \((\S+)\) done: serial=(\d+)", log) if x[0].startswith("nsd-secondary")]
    assert len(set(whole)) <= 2, whole
    report = "%s by %s: %d versions, %d with changes, signatures a version: median %d, most %d, sum %d" % (
        name, "IXFR" if ixfr else "AXFR", count, changed, sorted(made)[len(made) // 2], max(made), sum(made))
    print(report)
    with open(os.path.join(os.environ.get("ZS_REPORTS", rig.dir("report")), "histories"), "a") as f:
        f.write(report + "\n")
