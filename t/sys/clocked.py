# SPDX-License-Identifier: GPL-3.0-or-later
"""The clock of zoneseald-clk in the hands of a test: moved by steps, or running at another speed."""

import mmap
import os
import struct
import threading
import time


class Clock:
    """Wall seconds and monotonic microseconds, both in one write: no reader sees one moved without the other."""

    def __init__(self, rig):
        self.path = os.path.join(rig.dir(rig.unique("clock")), "clock")
        self.wall, self.mono = int(time.time()), 1000 * 1000000
        with open(self.path, "wb") as f:
            f.write(struct.pack("=qq", self.wall, self.mono))
        with open(self.path, "r+b") as f:
            self.map = mmap.mmap(f.fileno(), 16)

    def advance(self, seconds, wall=None):
        self.wall += int(seconds) if wall is None else wall
        self.mono += int(seconds * 1000000)
        self.map[0:16] = struct.pack("=qq", self.wall, self.mono)

    def jump(self, by, seconds=0):
        """The wall clock alone, after which some time passes for both."""
        self.advance(seconds, wall=by + seconds)

    def env(self):
        return {"ZONESEAL_TEST_CLOCK": self.path}


class Running(Clock):
    """Goes by itself, `rate` times as fast as the sun; back-offs and deadlines of half a minute pass in a second or two."""

    def __init__(self, rig, rate):
        super().__init__(rig)
        self.rate, self._whole = rate, 0.0
        self.name, self.process = "clock", None
        self._stop, self._lock = threading.Event(), threading.Lock()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        then = time.monotonic()
        while not self._stop.wait(0.01):
            now = time.monotonic()
            self.skip((now - then) * self.rate)
            then = now

    def skip(self, seconds):
        """Forward at once, for both clocks."""
        with self._lock:
            self._whole += seconds
            whole = int(self._whole)
            self._whole -= whole
            self.advance(seconds, wall=whole)

    def close(self):
        self._stop.set()
        self._thread.join()
        return []
