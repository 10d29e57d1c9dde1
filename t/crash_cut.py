# SPDX-License-Identifier: GPL-3.0-or-later
"""Power cuts of the crash campaign: a trace of what one undisturbed run of a scenario did to its files, and the images of
them that a cut behind any of its records may leave (powercut.h, by way of the program crash_image)."""

import hashlib
import os
import random
import shutil
import struct
import subprocess

import crash_world
from crash_world import TRACE

TEARS = 4           # ways in which one cut tears
CUTS = ("lose", "keep", "names", "data", "torn512", "torn4096")
REC = struct.Struct("=IIQQIIII")
OP_WRITE, OP_SYNC_ALL, OP_SEND = 1, 4, 11


class Trace:
    """All that one undisturbed run did to its files, and what it sent and answered."""

    def __init__(self, w, sc, base, path, program):
        w.load(base)
        sc.begin(w, True)
        sc.start(w, TRACE, trace=path)
        if not sc.from_start:
            for z in list(w.zones.values()):
                w.served_as_before(z)
        sc.act(w, True)
        sc.goal(w)
        self.end_wall, self.marks = w.clock.wall(), dict(w.marks)
        w.kill()
        self.oracles = {z.name: z.oracle for z in w.zones.values()}
        self.base_wire = {name: o.wire for name, (_, _, o, _) in base.zones.items()}
        self.path, self.program, self.proc = path, program, None
        self._read(w)

    def _read(self, w):
        self.sent, self.touching = [], []  # (record, zone, serial); records after which something is different
        with open(self.path, "rb") as f:
            data = f.read()
        at = n = first = 0
        acks = list(w.acks)
        self.acks = []  # (record, order): by then it had been answered
        while at + REC.size <= len(data):
            op, _, _, length, t1, t2, _, _ = REC.unpack_from(data, at)
            at += REC.size + t1 + t2
            n += 1
            if op in (OP_WRITE, OP_SEND):
                body = data[at:at + length]
                at += length
            while acks and acks[0][1] < at:
                self.acks.append((n, acks.pop(0)[0]))
            if op == OP_SYNC_ALL:
                first = n  # until here it lists what was there before
            elif op == OP_SEND:
                self._note_send(w, n, body)
            elif first:
                self.touching.append(n)
        self.acks += [(n, key) for key, _ in acks]
        self.records = n

    def _note_send(self, w, n, body):
        for m in (body, body[2:]):  # a stream begins with its length
            serial = crash_world.soa_serial(m) if len(m) > 12 else None
            zone = w._zone_of(m)[0] if serial is not None else None
            # our own questions carry no SOA in their answer section, but a NOTIFY does, and every answer
            if zone:
                self.sent.append((n, zone.name, serial))
                return

    def wire(self, upto, name):
        return max([s for n, z, s in self.sent if n <= upto and z == name] + [self.base_wire.get(name, 0)])

    def oracle(self, upto, name):
        """What the world had seen by then; None: nothing."""
        wire, whole = self.wire(upto, name), self.oracles[name]
        if not wire:
            return None
        o = whole.copy()
        o.wire, o.content = wire, {s: d for s, d in whole.content.items() if s <= wire}
        if o.signed is None or o.signed > wire:
            o.keys = o.signed = None
        return o

    def acked(self, upto):
        return {key for n, key in self.acks if n <= upto}

    def image(self, upto, how, seed, out):
        if self.proc is None:
            self.proc = subprocess.Popen([self.program, self.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            if int(self.proc.stdout.readline()) != self.records:
                raise RuntimeError("the trace is torn")
        self.proc.stdin.write("%d %d %d %s\n" % (upto, CUTS.index(how), seed, out))
        self.proc.stdin.flush()
        if self.proc.stdout.readline() != "ok\n":
            raise RuntimeError("no image")

    def close(self):
        if self.proc:
            self.proc.stdin.close()
            self.proc.wait()
            self.proc = None


def tree_hash(path):
    h = hashlib.sha256()
    for d, dirs, files in os.walk(path):
        dirs.sort()
        h.update(os.path.relpath(d, path).encode() + b"\0")
        for f in sorted(files):
            with open(os.path.join(d, f), "rb") as fp:
                h.update(f.encode() + b"\0" + hashlib.sha256(fp.read()).digest())
    return h.digest()


def distinct_cuts(trace, seed, top, limit):
    """(kind, k, seed) of images that differ; the order is that of the records, or random when there is a limit."""
    todo = [(k, how, n) for k in trace.touching for how in CUTS for n in range(TEARS if how.startswith("torn") else 1)]
    if limit and limit < len(todo):
        todo = random.Random(seed).sample(todo, limit)
    out, seen, tmp = [], set(), os.path.join(top, "image")
    for k, how, n in todo:
        s = (seed * 1000003 + k * 61 + n) & 0xffffffff
        trace.image(k, how, s, tmp)
        key = (tree_hash(tmp), tuple(trace.wire(k, z) for z in sorted(trace.oracles)))
        shutil.rmtree(tmp)
        if key not in seen:
            seen.add(key)
            out.append((how, k, s))
    return out
