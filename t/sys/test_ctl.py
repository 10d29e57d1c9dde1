# SPDX-License-Identifier: GPL-3.0-or-later
"""The operators' side: zonesealctl's verbs and exit codes, the daemon's options, reload, and the stats port."""

import json
import os
import re
import subprocess

import pytest

import chain
import harness
import seal
import zones
from chain import ZONE, Chain

DONE, FAILED, USAGE, UNREACHABLE, PARTLY = 0, 1, 2, 3, 4
OTHER = "other.example."


@pytest.fixture
def line(rig):
    c = Chain(rig).start()
    c.published(1)
    return c


def test_not_reachable_and_usage(rig):
    z = seal.Zoneseal(rig)
    z.write_conf()
    assert z.ctl("status").returncode == UNREACHABLE
    assert z.ctl("zone", "list").returncode == UNREACHABLE
    for bad in ([], ["nonsense"], ["zone"], ["zone", "nonsense"], ["-x", "status"], ["zone", "status"]):
        assert z.ctl(*bad).returncode == USAGE, bad
    assert z.ctl("-h").returncode == DONE


def test_verbs_that_read(line):
    s = line.seal
    for verb in (["status"], ["zone", "list"], ["zone", "status", ZONE], ["zone", "status", "--all"], ["zone", "status", "*.example"],
                 ["key", "list"], ["key", "list", ZONE], ["hsm", "status"], ["conf", "dump"], ["zone", "list", "seal.example"]):
        r = s.ctl(*verb)
        assert r.returncode == DONE and r.stdout.strip(), (verb, r.stderr)
        docs = seal.documents(s.ctl("-j", *verb).stdout)
        assert docs and all(d["v"] == 1 for d in docs), verb
    st = s.status(ZONE)
    assert st["state"] == "idle" and st["served"] and st["upstream_serial"] == 1 and not st["alarms"]
    assert st["version"]["signed"] and st["version"]["denial"] == "nsec" and st["version"]["signatures"] > 10
    assert {k["role"] for k in st["keys"]} == {"ksk", "zsk"}
    assert [x["name"] for x in st["secondaries"]] == [line.secondary.name]


def test_errors_say_what_and_how(line):
    s = line.seal
    r = s.ctl("zone", "status", "nowhere.example")
    assert r.returncode == FAILED and "nowhere.example" in r.stderr
    r = s.ctl("-j", "zone", "status", "nowhere.example")
    assert r.returncode == FAILED
    error = seal.documents(r.stdout)[0]["error"]
    assert error["code"] == "no-such-zone" and "nowhere.example" in error["message"] and error["hint"]
    r = s.ctl("-j", "zone", "status", "nowhere.example", "*.nowhere.example")  # several: each of them
    assert r.returncode == FAILED and [e["zone"] for e in seal.merged(seal.documents(r.stdout))["errors"]] == ["nowhere.example", "*.nowhere.example"]
    r = s.ctl("conf", "diff")
    assert r.returncode == FAILED and "yet" in r.stderr
    error = seal.documents(s.ctl("-j", "conf", "diff").stdout)[0]["error"]
    assert error["code"] and error["message"] and error["hint"]


def test_zone_ds(line):
    s = line.seal
    tags = {k["tag"] for k in s.status(ZONE)["keys"] if k["role"] == "ksk"}
    r = s.ctl("zone", "ds", ZONE)
    records = [x for x in r.stdout.splitlines() if " DS " in x or "\tDS\t" in x]
    assert len(records) == 2
    for x in records:
        assert int(re.search(r"DS\s+(\d+)", x).group(1)) in tags
    assert r.returncode in (DONE, PARTLY)
    assert (r.returncode == PARTLY) == ("not before" in (r.stdout + r.stderr))
    # The digest is right: the parent's own tool makes the same of the DNSKEY that is served.
    dnskey = os.path.join(s.dir, "dnskey")
    with open(dnskey, "w") as f:
        f.write("".join("%s %d IN %s %s\n" % x for x in chain.records(s.axfr(ZONE)) if x[2] == "DNSKEY"))
    ours = {tuple(d.split()[-4:-1]) + (d.split()[-1].lower(),) for d in s.ds(ZONE)}
    theirs = {tuple(d.split()[3:6]) + ("".join(d.split()[6:]).lower(),)
              for d in harness.run(["dnssec-dsfromkey", "-2", "-f", dnskey, ZONE]).stdout.splitlines()}
    assert theirs and theirs <= ours


def test_export_is_what_is_served(line):
    s = line.seal
    exported = s.export(ZONE)
    seal.verify_zone(exported, ZONE)
    assert sorted(chain.records(exported)) == sorted(chain.records(s.axfr(ZONE)))


def test_orders(line):
    s = line.seal
    assert s.ctl("zone", "refresh", ZONE).returncode == DONE
    assert s.ctl("zone", "refresh", "--wait", ZONE).returncode == DONE
    before = s.status(ZONE)["counters"]["transfers_ok"]
    assert s.ctl("zone", "retransfer", "--wait", ZONE).returncode == DONE
    s.wait_zone(ZONE, lambda st: st["counters"]["transfers_ok"] == before + 1 and not st["busy"], "the transfer")
    assert s.ctl("zone", "refresh", ZONE, "nowhere.example").returncode in (FAILED, PARTLY)
    assert s.ctl("log", "level", "info").returncode == DONE
    assert s.ctl("log", "level", "loud").returncode in (FAILED, USAGE)
    assert s.ctl("log", "reopen").returncode == DONE


def test_check_is_a_monitoring_plugin(line):
    r = line.seal.ctl("check")
    assert r.returncode in (0, 1) and r.stdout.strip()
    line.primary.stop()
    line.seal.stop()
    assert line.seal.ctl("check").returncode in (2, 3)  # as monitoring plugins have it: critical or unknown


def test_stop_verb(line):
    assert line.seal.ctl("stop").returncode == DONE
    harness.wait_for(lambda: line.seal.process.poll() is not None, "the end")
    assert line.seal.process.poll() == 0


# --- config -----------------------------------------------------------------------------------------------------------


def daemon(*args):
    return harness.run([os.path.join(seal.build_dir(), "zoneseald"), *args])


def test_daemon_options(rig):
    z = seal.Zoneseal(rig)
    z.write_conf()
    assert daemon("-V").stdout.startswith("zoneseald ")
    assert daemon("-c", z.conf_path, "-t").returncode == 0
    z.conf["servers"] = z.conf.pop("server")
    z.write_conf()
    r = daemon("-c", z.conf_path, "-t")
    assert r.returncode == 1 and re.search(r"zoneseal\.yaml:\d+:\d+: .*servers", r.stderr)
    assert daemon("-c", z.conf_path, "-f").returncode == 1
    r = z.ctl("conf", "check", z.conf_path)
    assert r.returncode == FAILED and re.search(r"zoneseal\.yaml:\d+:\d+: ", r.stderr + r.stdout)


def test_dump_can_be_read_again_and_holds_no_secret(rig):
    key = harness.Tsig()
    c = Chain(rig, tsig=key).start()
    c.published(1)
    text = c.seal.ctl("conf", "dump").stdout
    assert key.secret not in text and ZONE.rstrip(".") in text
    path = os.path.join(c.seal.dir, "dumped.yaml")
    with open(path, "w") as f:
        f.write(text)
    r = daemon("-c", path, "-t")
    assert r.returncode == 0, r.stderr


def test_reload_adds_changes_and_removes(line):
    s = line.seal
    other = chain.servers.Nsd(line.rig, "primary").add_zone(OTHER, zones.sample(OTHER, 5)).start()
    s.zone(OTHER, [other], [line.secondary], "none")
    s.reload()
    s.wait_published(OTHER, 5)
    assert s.serial(ZONE) is not None
    s.conf["zones"] = s.conf["zones"][:1]
    s.write_conf()
    assert s.ctl("conf", "reload").returncode == DONE
    harness.wait_for(lambda: s.serial(OTHER) is None, "the zone to go")
    assert s.ctl("zone", "status", OTHER).returncode == FAILED
    s.zone(OTHER, [other], [line.secondary], "none")  # its files were kept
    s.reload()
    s.wait_published(OTHER, 5)


def test_a_bad_reload_changes_nothing(line):
    s = line.seal
    s.conf["zones"].append({"name": OTHER, "upstream": ["nobody"], "policy": "default"})
    s.write_conf()
    r = s.ctl("conf", "reload")
    assert r.returncode == FAILED and "nobody" in r.stderr + r.stdout
    assert s.ctl("zone", "status", OTHER).returncode == FAILED
    assert s.serial(ZONE) is not None
    line.primary.change(ZONE, zones.sample(ZONE, 2))
    line.published(2)


@pytest.mark.parametrize("change", [{"algorithm": "ed25519"}, {"keys": "csk"}, {"keystore": "elsewhere"}, "none"])
def test_reload_refuses_what_would_need_a_rollover(rig, change):
    c = Chain(rig, policy_options={}).start()
    serial = c.published(1)
    if change == "none":
        c.seal.conf["zones"][0]["policy"] = "none"
    else:
        if "keystore" in change:
            c.seal.keystore(chain.servers.SoftHsm(rig).keystore("elsewhere"))
        c.seal.conf["policies"][0].update(change)
    c.seal.write_conf()
    r = c.seal.ctl("conf", "reload")
    assert r.returncode == FAILED and ZONE.rstrip(".") in r.stdout + r.stderr
    assert c.seal.serial(ZONE) == serial
    c.primary.change(ZONE, zones.sample(ZONE, 2))
    c.published(2)
    assert chain.algorithms(c.verify()) == {13}


def test_log_files_of_both(rig):
    """Parent and engine write to one file; whoever rotates it says reopen, and a reload may name another one."""
    s = chain.Chain(rig).seal
    a, b = (os.path.join(s.dir, n) for n in ("log-a", "log-b"))
    s.conf["log"]["target"] = a
    s.write_conf()

    def writes(path, before):
        """A reload is told by the parent, its verb by the engine."""
        assert s.ctl("conf", "reload").returncode == DONE
        text = open(path).read()[before:]
        return re.search(r"parent\[\d+\] parent: reload done", text) and re.search(r"engine\[\d+\] control: verb=.conf reload", text)
    try:
        assert harness.run([os.path.join(seal.build_dir(), "zoneseald"), "-c", s.conf_path], capture_output=False,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0
        assert writes(a, 0)
        os.rename(a, a + ".1")
        rotated = os.path.getsize(a + ".1")
        assert s.ctl("log", "reopen").returncode == DONE
        assert writes(a, 0) and "reload" not in open(a + ".1").read()[rotated:]
        s.conf["log"]["target"] = b
        s.write_conf()
        assert s.ctl("conf", "reload").returncode == DONE and writes(b, 0)
        os.rename(b, b + ".1")
        os.mkdir(b)
        r = s.ctl("log", "reopen")
        assert r.returncode == FAILED and "log file" in r.stderr
    finally:
        assert s.ctl("stop").returncode == DONE
        harness.wait_for(lambda: s.ctl("status").returncode == UNREACHABLE and not os.path.exists(s.socket), "the end")


# --- stats port -------------------------------------------------------------------------------------------------------


def test_stats_port(line):
    s = line.seal
    for path, kind in (("/healthz", "text/plain"), ("/readyz", "text/plain"), ("/readyz?strict=1", "text/plain"), ("/", "text/html")):
        status, text, _ = s.http(path)
        assert status == 200 and text, (path, text)
    status, text, kind = s.http("/stats")
    assert status == 200 and kind.startswith("application/json") and ZONE in text
    json.loads(text)
    assert s.http("/nonsense")[0] == 404
    assert s.http("/metrics", {"Host": "evil.example"})[0] in (400, 403, 421)
    assert s.http("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})[1].rstrip().endswith("# EOF")


def test_metrics(line):
    s = line.seal
    status, text, kind = s.http("/metrics")
    assert status == 200 and "version=0.0.4" in kind
    missing = []
    for name in ("build_info", "zone_serial", "secondary_serial", "zone_state", "zone_rrsig_earliest_expiry_timestamp_seconds",
                 "zone_upstream_expire_timestamp_seconds", "zone_last_transfer_timestamp_seconds", "zone_last_sign_timestamp_seconds",
                 "zone_last_publish_timestamp_seconds", "zone_records", "zone_store_bytes", "zone_pinned_bytes", "signatures_total",
                 "signatures_kept_total", "xfr_total", "notify_total", "keystore_up", "keystore_sessions", "keystore_queue_length",
                 "keystore_operations_total", "sign_duration_seconds_bucket", "commit_duration_seconds_bucket"):
        if not re.search(r"^zoneseal_%s[{ ]" % name, text, re.M):
            missing.append(name)
    assert not missing
    assert re.search(r"^process_", text, re.M)
    assert all(re.match(r"(# (HELP|TYPE|UNIT|EOF)|[a-z_][a-z0-9_]*(\{.*\})? \S+$)", x) for x in text.splitlines() if x)
    assert s.metric("zoneseal_zone_serial", zone=ZONE, side="upstream") == 1
    assert s.metric("zoneseal_zone_serial", zone=ZONE, side="signed") == s.status(ZONE)["signed_serial"]
    assert s.metric("zoneseal_keystore_up", keystore="file") == 1
    made = s.metric("zoneseal_signatures_total", zone=ZONE)
    assert made == s.status(ZONE)["version"]["signatures"]
    assert s.metric("zoneseal_commit_duration_seconds_count") > 0
    assert s.metric("zoneseal_sign_duration_seconds_count", keystore="file") == made
    line.primary.change(ZONE, zones.sample(ZONE, 2))
    line.published(2)
    assert s.metric("zoneseal_signatures_total", zone=ZONE) > made


def test_ready_only_when_served(rig):
    z = Chain(rig).seal
    z.start()  # no primary, no secondary: nothing stored, so nothing is missing
    # before its store is opened nobody knows whether a zone has a version: not ready until then
    harness.wait_for(lambda: z.http("/readyz")[0] == 200, "to be ready", alive=[z.process])
    assert z.http("/readyz?strict=1")[0] == 503
    assert z.http("/healthz")[0] == 200
