# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the whole of pytest in a private network namespace with nothing but a loopback interface, and gives each test a
`rig`: a temporary directory, addresses of its own, and an end for every process that it started."""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import harness  # noqa: E402

INSIDE = "ZS_PRIVATE_NET"


def pytest_configure(config):
    config.addinivalue_line("markers", "slow: takes more than a few seconds")
    if os.environ.get(INSIDE) == "1":
        return
    os.environ[INSIDE] = "1"
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.stop_global_capturing()
    argv = [sys.executable, "-B", "-m", "pytest", *map(str, config.invocation_params.args)]
    kind = ["-n"] if os.geteuid() == 0 else ["-r", "-n"]
    os.execvp("unshare", ["unshare", *kind, "--", "sh", "-c", 'ip link set lo up && exec "$@"', "sh", *argv])


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    result = yield
    report = result.get_result()
    if report.when == "call" and report.failed:
        item.zs_failed = True


@pytest.fixture
def rig(request, tmp_path):
    r = harness.Rig(tmp_path)
    yield r
    problems = r.close()
    if getattr(request.node, "zs_failed", False):
        for name, text in r.logs():
            print("--- %s\n%s" % (name, text))
    assert not problems, "\n".join(problems)
