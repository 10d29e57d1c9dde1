# SPDX-License-Identifier: GPL-3.0-or-later
"""Results of the crash campaign: counted, kept in a file for a run that goes on later, and told."""

import collections
import json
import os
import time

EVERY_S = 30        # a line of progress
COLUMNS = (("kill before", ("before", "before-self")), ("kill after", ("after", "after-self")), ("half", ("half", "half-self")),
           ("EIO", ("eio", )), ("fsync", ("fsync", )), ("ENOSPC", ("enospc", "full")), ("cut", ("lose", "keep", "names", "data")),
           ("torn 512", ("torn512", )), ("torn 4K", ("torn4096", )))


class Tally:
    """done: (scenario, kind, k, seed) of every point that was good, or not reached."""

    def __init__(self, names, path, planned):
        self.names, self.planned, self.began, self.told = names, planned, time.monotonic(), time.monotonic()
        self.done, self.points, self.missed, self.bad = set(), collections.Counter(), collections.Counter(), []
        self.judged = self.spent = self.taken = 0
        self.file = None
        if not path:
            return
        if os.path.exists(path):
            with open(path) as f:
                for line in f:
                    try:
                        self._count(json.loads(line))
                    except ValueError:
                        break  # torn by what ended the run
        self.file = open(path, "w" if not self.done else "r+")
        self.file.seek(0, os.SEEK_END)
        print("%d points were done before" % sum(self.points.values()), flush=True)

    def _count(self, r):
        """False: a violation, which is not done with."""
        if r.get("bad"):
            return False
        at = (r["scenario"], r["kind"], r["k"], r["seed"])
        if at in self.done:
            return True
        self.done.add(at)
        self.spent += r["s"]
        self.judged += r.get("judged", 0)
        if r["hit"] is None:
            self.missed[r["scenario"]] += 1
        else:
            self.points[r["scenario"], r["kind"]] += 1
        return True

    def take(self, r, slow):
        self.taken += 1
        if not self._count(r):
            self.bad.append(r)
            self.points[r["scenario"], r["kind"]] += 1
            print("VIOLATION %s:%s:%d:%d at %s: %s" % (r["scenario"], r["kind"], r["k"], r["seed"], r["hit"], r["bad"]), flush=True)
        if self.file:
            self.file.write(json.dumps(r) + "\n")
            self.file.flush()
        if slow and r["s"] > slow:
            print("slow %s:%s:%d:%d %.1f s %s" % (r["scenario"], r["kind"], r["k"], r["seed"], r["s"], r["hit"]), flush=True)
        now = time.monotonic()
        if now > self.told + EVERY_S:
            self.told = now
            print("%d of %d points, %d violations, %.0f s, %.1f points a second" %
                  (sum(self.points.values()), self.planned, len(self.bad), now - self.began, self.taken / (now - self.began)),
                  flush=True)

    def of(self, name, kinds=None):
        return sum(n for (s, kind), n in self.points.items() if s == name and (kinds is None or kind in kinds))

    def short(self, least):
        return [name for name in self.names if self.of(name) < least]

    def report(self, least, least_all):
        """The table, and the status of the program."""
        row = "%-16s" + "".join("%%%ds" % (len(head) + 2) for head, _ in COLUMNS) + "%8s%13s%12s"
        print("\n" + row % ("scenario", *(head for head, _ in COLUMNS), "points", "not reached", "violations"))
        for name in self.names:
            print(row % (name, *(self.of(name, kinds) for _, kinds in COLUMNS), self.of(name), self.missed[name],
                         sum(r["scenario"] == name for r in self.bad)))
        total = sum(self.of(name) for name in self.names)
        print(row % ("all", *(sum(self.of(name, kinds) for name in self.names) for _, kinds in COLUMNS), total,
                     sum(self.missed.values()), len(self.bad)))
        print("%d points, %d violations, %d versions to the three verifiers; %.0f s (%.2f s a point)" %
              (total, len(self.bad), self.judged, time.monotonic() - self.began, self.spent / max(total, 1)))
        few = self.short(least)
        if few:
            print("FAILED: fewer than %d points: %s" % (least, ", ".join(few)))
        if total < least_all:
            print("FAILED: fewer than %d points in all" % least_all)
        return 1 if self.bad or few or not total or total < least_all else 0
