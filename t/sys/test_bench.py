# SPDX-License-Identifier: GPL-3.0-or-later
"""`make bench` in small: that it measures, and that what it measured is right. No time is asserted."""

import os
import subprocess
import sys

import pytest

import harness
import seal

BENCH = os.path.join(harness.ROOT, "t", "bench")


@pytest.mark.slow
def test_bench_slice():
    """First signings, transfers, a change and restarts, of zoneseal and of knotd; the judges like all of the zones."""
    env = dict(os.environ, ZS_BUILD=seal.build_dir())
    env.pop("PYTEST_XDIST_WORKER", None)
    r = subprocess.run([sys.executable, "-B", os.path.join(BENCH, "bench.py"), "--slice"], env=env, capture_output=True, text=True, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
    for word in ("first signing", "AXFR out", "one record", "restart", "openssl speed", "signatures"):
        assert word in r.stdout


@pytest.mark.slow
def test_changes_slice():
    """A few changes of each kind at zoneseal, BIND and Knot: all of them see and pass on what changed, and nothing more."""
    env = dict(os.environ, ZS_BUILD=seal.build_dir())
    env.pop("PYTEST_XDIST_WORKER", None)
    r = subprocess.run([sys.executable, "-B", os.path.join(BENCH, "changes.py"), "--slice"], env=env, capture_output=True, text=True, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
    made = [("one record", 2), ("one name", 4), ("1,000 records", 1001)] + [("AXFR as " + k, 2) for k in ("nsd", "bind", "knot")]
    for kind, signatures in made:
        line = [v for v in r.stdout.splitlines() if kind in v and "zoneseal" in v]
        assert line and line[0][40 + 2 * 25:40 + 3 * 25].strip() == str(signatures), r.stdout


def test_own_generator(tmp_path):
    """Without the shared generator: the same zone twice, 2.2 to 2.5 records a name, one that the judges read."""
    files = [str(tmp_path / name) for name in ("a", "b")]
    for f in files:
        subprocess.run([sys.executable, "-B", os.path.join(BENCH, "hosting.py"), "1000", f], check=True)
    text = open(files[0]).read()
    assert text == open(files[1]).read()
    records = [line for line in text.splitlines() if " IN " in line]
    assert 2200 < len(records) < 2500
    r = harness.run(["kzonecheck", "-o", "hosting.test.", files[0]])
    assert r.returncode == 0, r.stdout + r.stderr
