# SPDX-License-Identifier: GPL-3.0-or-later
"""Orders of operators: a serial, a hold, signatures anew, history, differences, rollback, purge."""

import glob
import os
import re

import pytest

import chain
import harness
import seal
import zones
from chain import ZONE, Chain

DONE, FAILED, USAGE, PARTLY = 0, 1, 2, 4
TEXT = 'verbs.%s 300 IN TXT "version %d"\n'


def content(n):
    return zones.sample(ZONE, n, extra=TEXT % (ZONE, n))


def line(rig, versions=1, **kw):
    c = Chain(rig, text=content(1), **kw).start()
    c.published(1)
    for n in range(2, versions + 1):
        c.primary.change(ZONE, content(n))
        c.published(n)
    return c


def again(c):
    c.seal.stop()
    c.seal.start()
    c.seal.wait_zone(ZONE, lambda st: st["served"] and not st["busy"], "the zone after the restart")


def follows(c):
    """The secondary has what we publish; the signed serial."""
    serial = c.seal.status(ZONE)["signed_serial"]
    c.secondary.wait_serial(ZONE, serial)
    return serial


def texts(path):
    return [r[3] for r in chain.records(path) if r[0].lower() == "verbs." + ZONE and r[2] == "TXT"]


def refused(r, word):
    assert r.returncode == FAILED and word in r.stdout + r.stderr, (r.stdout, r.stderr)


def test_serial(rig):
    c = line(rig)
    r = c.seal.ctl("zone", "serial", "--wait", ZONE, "5000")
    assert r.returncode == DONE, r.stderr
    assert follows(c) == 5000
    before = c.seal.status(ZONE)["version"]["signatures"]
    c.verify()
    refused(c.seal.ctl("zone", "serial", ZONE, "5000"), "not above 5000")
    refused(c.seal.ctl("zone", "serial", ZONE, "4999"), "not above 5000")
    assert c.seal.ctl("zone", "serial", ZONE, "nonsense").returncode == USAGE
    assert c.seal.ctl("zone", "serial", ZONE).returncode == USAGE
    again(c)
    refused(c.seal.ctl("zone", "serial", ZONE, "5000"), "not above 5000")
    c.primary.change(ZONE, content(2))
    assert c.published(2) == 5001
    assert c.seal.status(ZONE)["version"]["signatures"] == before
    # far up, and round: RFC 1982
    assert c.seal.ctl("zone", "serial", "--wait", ZONE, str(5001 + 2**31 - 1)).returncode == DONE
    assert c.seal.ctl("zone", "serial", "--wait", ZONE, "7").returncode == DONE
    assert c.seal.status(ZONE)["signed_serial"] == 7


def test_serial_waits_for_the_key_store_over_a_restart(rig):
    store = chain.servers.SoftHsm(rig).keystore("hsm")
    c = line(rig, keystore=store, policy_options={})
    away = store["module"] + ".away"
    c.seal.stop()
    good = c.seal.conf["keystores"][0]["module"]
    c.seal.conf["keystores"][0]["module"] = away
    c.seal.write_conf()
    c.seal.start()
    c.seal.wait_zone(ZONE, lambda st: st["served"], "the stored version")
    assert c.seal.ctl("zone", "serial", ZONE, "9000").returncode == DONE
    c.seal.stop()
    c.seal.conf["keystores"][0]["module"] = good
    c.seal.write_conf()
    c.seal.start()
    c.secondary.wait_serial(ZONE, 9000)
    c.verify()


def test_hold_and_release(rig):
    c = line(rig)
    serial = c.seal.status(ZONE)["signed_serial"]
    r = c.seal.ctl("zone", "hold", ZONE, "moving", "house")
    assert r.returncode == DONE, r.stderr
    c.primary.change(ZONE, content(2))
    c.seal.ctl("zone", "refresh", "--wait", ZONE)
    refused(c.seal.ctl("zone", "retransfer", ZONE), "on hold")
    again(c)
    c.seal.ctl("zone", "refresh", "--wait", ZONE)
    st = c.seal.status(ZONE)
    assert st["upstream_serial"] == 1 and st["signed_serial"] == serial
    assert [a["alarm"] for a in st["alarms"]] == ["held"]
    assert re.search(r"on hold by uid \d+ at 20.*: moving house:", st["alarms"][0]["reason"])
    assert st["orders"]["hold"]["reason"] == "moving house" and st["orders"]["hold"]["by"].startswith("uid ")
    assert c.seal.ctl("zone", "serial", "--wait", ZONE, "300").returncode == DONE  # signing goes on
    follows(c)
    assert c.seal.ctl("zone", "release", "--wait", ZONE).returncode == DONE
    c.published(2)
    st = c.seal.status(ZONE)
    assert not st["alarms"] and not st["hold"]
    c.verify()
    again(c)
    assert not c.seal.status(ZONE)["hold"]


def test_an_order_that_cannot_be_stored(rig):
    """It is in force and the answer says that it would not outlive a restart, until it is stored."""
    c = line(rig)
    path, = glob.glob(os.path.join(c.seal.state_dir, "zones", "*", "*", "CURRENT"))
    path = os.path.join(os.path.dirname(path), "orders")
    os.makedirs(os.path.join(path, "in-the-way"))
    refused(c.seal.ctl("zone", "hold", ZONE), "would not outlive a restart")
    c.primary.change(ZONE, content(2))
    c.seal.ctl("zone", "refresh", "--wait", ZONE)
    assert c.seal.status(ZONE)["upstream_serial"] == 1 and c.seal.status(ZONE)["hold"]
    c.seal.wait_alarm(ZONE, "store", "cannot be remembered")
    os.rmdir(os.path.join(path, "in-the-way"))
    os.rmdir(path)
    harness.wait_for(lambda: os.path.isfile(path), "the order on disk", 60)
    c.seal.wait_zone(ZONE, lambda st: [a["alarm"] for a in st["alarms"]] == ["held"], "the end of the alarm")
    again(c)
    assert c.seal.status(ZONE)["hold"]
    assert c.seal.ctl("zone", "release", "--wait", ZONE).returncode == DONE
    c.published(2)


def test_hold_stops_what_is_under_way(rig):
    """No input is published from the moment on at which the hold was answered."""
    c = line(rig)
    for n in range(2, 12):
        serial = c.seal.status(ZONE)["upstream_serial"]
        c.primary.change(ZONE, content(n))
        assert c.seal.ctl("zone", "hold", ZONE).returncode == DONE
        c.seal.wait_zone(ZONE, lambda st: not st["busy"], "the end of the work")
        held = c.seal.status(ZONE)["upstream_serial"]
        assert held in (serial, n)
        c.seal.ctl("zone", "refresh", "--wait", ZONE)
        assert c.seal.status(ZONE)["upstream_serial"] == held
        assert c.seal.ctl("zone", "release", ZONE).returncode == DONE
        c.published(n)
    c.verify()


def made(c):
    """(owner, covered type) -> the set of signatures."""
    out = {}
    for owner, _, rtype, rdata in chain.records(c.seal.axfr(ZONE, tsig=c.secondary.tsig)):
        if rtype == "RRSIG":
            out.setdefault((owner, rdata.split()[0]), set()).add(rdata)
    return out


@pytest.mark.parametrize("names", [0, 6000])
def test_resign(rig, names):
    extra = "".join("n%d.%s 300 IN A 192.0.2.1\n" % (i, ZONE) for i in range(names))
    c = Chain(rig, text=zones.sample(ZONE, 1, extra=extra)).start()
    c.published(1)
    before = made(c)
    harness.wait_for(lambda: c.seal.ctl("zone", "resign", "--wait", ZONE).returncode == DONE, "the order")
    follows(c)
    after = made(c)
    assert before.keys() == after.keys()
    same = [k for k in before if before[k] & after[k]]
    assert not same, same[:10]
    c.verify()
    chain.same_data(c)
    st = c.seal.status(ZONE)
    assert st["resign"] is None and not st["alarms"]
    # done is done, over a restart too
    serial = st["signed_serial"]
    again(c)
    assert c.seal.status(ZONE)["signed_serial"] == serial


def test_resign_goes_on_after_a_restart(rig):
    extra = "".join("n%d.%s 300 IN A 192.0.2.1\n" % (i, ZONE) for i in range(6000))
    c = Chain(rig, text=zones.sample(ZONE, 1, extra=extra)).start()
    c.published(1)
    before = made(c)
    assert c.seal.ctl("zone", "resign", ZONE).returncode == DONE
    c.seal.stop()
    c.seal.start()
    c.seal.wait_zone(ZONE, lambda st: st["served"] and not st["busy"] and st["resign"] is None, "all signed anew")
    follows(c)
    after = made(c)
    assert not [k for k in before if before[k] & after[k]]
    c.verify()


def rows(c):
    return seal.documents(c.seal.ctl("-j", "zone", "history", ZONE).stdout)[0]["versions"]


def test_history_and_diff(rig):
    c = line(rig, 4)
    all_rows = rows(c)
    assert [v["upstream_serial"] for v in all_rows] == [4, 3, 2, 1]
    assert [v["kind"] for v in all_rows] == ["change"] * 3 + ["base"]
    assert all(v["upstream_removed"] == 2 and v["upstream_added"] == 2 for v in all_rows[:-1]), all_rows
    assert c.seal.ctl("zone", "history", ZONE).stdout.count("\n") == 5
    r = c.seal.ctl("zone", "diff", ZONE)
    assert r.returncode == DONE, r.stderr
    lines = [x for x in r.stdout.splitlines() if not x.startswith(";")]
    assert [x[0] for x in lines] == ["-", "-", "+", "+"]
    assert '"version 3"' in "".join(x for x in lines if x[0] == "-")
    assert '"version 4"' in "".join(x for x in lines if x[0] == "+")
    first = all_rows[-1]
    for point in ("u1", "s%d" % first["signed_serial"], "v%d" % first["version"]):
        docs = seal.documents(c.seal.ctl("-j", "zone", "diff", ZONE, point, "u3").stdout)
        assert docs[0]["from"] == {k: first[k] for k in docs[0]["from"]}
        assert docs[0]["to"]["upstream_serial"] == 3 and docs[0]["removed"] == docs[0]["added"] == 2
        records = [r for d in docs[1:] for r in d["records"]]
        assert [r["op"] for r in records] == ["-", "-", "+", "+"]
        assert {(r["op"], r["rdata"]) for r in records if r["type"] == "TXT"} == {("-", '"version 1"'), ("+", '"version 3"')}
    back = c.seal.ctl("zone", "diff", ZONE, "u3", "u1").stdout
    assert '+ verbs.' in back and back.index('"version 3"') < back.index('"version 1"')
    assert [x for x in c.seal.ctl("zone", "diff", ZONE, "u3", "u3").stdout.splitlines() if x[0] != ";"] == []
    refused(c.seal.ctl("zone", "diff", ZONE, "u77"), "not in the history")
    assert c.seal.ctl("zone", "diff", ZONE, "nonsense").returncode == USAGE
    assert c.seal.ctl("zone", "diff").returncode == USAGE


@pytest.mark.parametrize("denial", [{"denial": "nsec"}, {"denial": "nsec3"}, {"denial": "nsec3", "nsec3": {"opt-out": "yes"}}],
                         ids=["nsec", "nsec3", "opt-out"])
def test_rollback(rig, denial):
    c = Chain(rig, text=content(1), policy_options=denial).start()
    c.published(1)
    old = chain.unsigned(c.seal.axfr(ZONE, tsig=c.secondary.tsig))
    extra = "cut.{z} 300 IN NS ns.cut.{z}\nns.cut.{z} 300 IN A 192.0.2.3\n*.w.{z} 600 IN A 192.0.2.4\nx.y.{z} 60 IN TXT \"e\"\n"
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra=extra.format(z=ZONE)))
    c.published(2)
    c.primary.change(ZONE, content(3))
    now = c.published(3)
    r = c.seal.ctl("zone", "rollback", "--wait", ZONE, "u2")
    assert r.returncode == DONE, r.stdout + r.stderr
    serial = follows(c)
    assert serial == now + 1
    st = c.seal.status(ZONE)
    assert st["upstream_serial"] == 2 and st["hold"] and st["orders"]["hold"]["rollback"]
    assert [a["alarm"] for a in st["alarms"]] == ["held"] and "rollback to version" in st["alarms"][0]["reason"]
    path = c.verify()
    assert not texts(path) and any(r[0].lower() == "x.y." + ZONE for r in chain.records(path))
    # further back; the hold lasts over restarts and changes
    again(c)
    assert c.seal.ctl("zone", "rollback", "--wait", ZONE, "v%d" % rows(c)[-1]["version"]).returncode == DONE
    follows(c)
    c.verify()
    assert chain.unsigned(c.seal.axfr(ZONE, tsig=c.secondary.tsig)) == old
    # ordered again, or a crash before the order was taken from its file: there is nothing to do
    assert c.seal.ctl("zone", "rollback", "--wait", ZONE, "v%d" % rows(c)[-1]["version"]).returncode == DONE
    st = c.seal.status(ZONE)
    assert [a["alarm"] for a in st["alarms"]] == ["held"] and not st["order_failed"] and st["orders"]["rollback_to"] is None
    c.primary.change(ZONE, content(4))
    again(c)
    c.seal.ctl("zone", "refresh", "--wait", ZONE)
    assert c.seal.status(ZONE)["upstream_serial"] == 1
    refused(c.seal.ctl("zone", "rollback", ZONE, "u1"), "cannot be gone back to")
    refused(c.seal.ctl("zone", "rollback", ZONE, "u99"), "not in the history")
    # the end of the hold takes the whole zone
    assert c.seal.ctl("zone", "release", "--wait", ZONE).returncode == DONE
    c.published(4)
    assert texts(c.verify()) == ['"version 4"']
    chain.same_data(c)
    assert re.search(r"event=received type=axfr .* serial=4 ", c.seal.log())
    assert not c.seal.status(ZONE)["alarms"]


def test_rollback_passes_the_guards(rig):
    """Most of the zone goes and the old comes back: the guards are for upstream, not for orders."""
    c = line(rig)
    extra = "".join("n%d.%s 300 IN A 192.0.2.1\n" % (i, ZONE) for i in range(500))
    c.primary.change(ZONE, zones.sample(ZONE, 2, extra=extra))
    c.published(2)
    assert c.seal.ctl("zone", "rollback", "--wait", ZONE, "u1").returncode == DONE
    follows(c)
    assert texts(c.verify()) == ['"version 1"']


def test_purge(rig):
    c = line(rig)
    refused(c.seal.ctl("zone", "purge", ZONE), "in the config")
    keys = {k["id"] for k in c.seal.status(ZONE)["keys"]}
    files = os.path.join(c.seal.state_dir, "zones")
    kept = c.seal.conf["zones"]
    c.seal.conf["zones"] = []
    c.seal.write_conf()
    assert c.seal.ctl("conf", "reload").returncode == DONE

    def stored():
        return [f for _, _, names in os.walk(files) for f in names]

    assert stored()
    harness.wait_for(lambda: c.seal.ctl("zone", "purge", ZONE).returncode == DONE, "the purge")
    assert not stored()
    r = c.seal.ctl("-j", "zone", "purge", "--keys", ZONE)
    doc = seal.documents(r.stdout)[0]
    assert r.returncode == DONE and {k["id"] for k in doc["keys"]} == keys and doc["forgotten"] and not doc["files"]
    refused(c.seal.ctl("zone", "purge", "--keys", ZONE), "nothing is stored")
    assert c.seal.ctl("zone", "purge", "*").returncode in (FAILED, USAGE)
    c.seal.conf["zones"] = kept
    c.seal.reload()
    c.seal.wait_alarm(ZONE, "publication", "none of them ours")  # the world still has the keys of before
    assert c.seal.ctl("zone", "release", "--wait", ZONE).returncode == DONE
    c.seal.wait_published(ZONE, 1)
    assert not keys & {k["id"] for k in c.seal.status(ZONE)["keys"]}
