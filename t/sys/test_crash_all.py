# SPDX-License-Identifier: GPL-3.0-or-later
"""A slice of the crash campaign (t/crash_all.py); `make check-crash-all` runs the whole of it."""

import os
import re
import subprocess

import harness
import seal

SECONDS = "75"
SCENARIOS = "first-build,change-ixfr,history,refresh,reload,rollback,compaction"  # each takes some seconds before its first point


def test_slice():
    build = seal.build_dir()
    subprocess.run(["make", "-s", "-C", build, "zoneseald-crash", "crash_image"], check=True, capture_output=True, timeout=600)
    r = harness.run(["/usr/bin/python3", "-B", os.path.join(harness.ROOT, "t", "crash_all.py"), "--build", build,
                     "--seconds", SECONDS, "--scenario", SCENARIOS], timeout=900)
    print(r.stdout[-6000:], r.stderr[-2000:])
    assert r.returncode == 0
    assert int(re.search(r"^(\d+) points, 0 violations", r.stdout, re.M).group(1)) > 8
