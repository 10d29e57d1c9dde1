# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the crash campaign: what the daemon is doing when it is killed. A scenario is a row of SCENARIOS. prepare()
brings the world to where it begins (once; the files are copied for each point), begin() changes something before the
daemon starts, act() something while it runs, and goal() waits for what must come of it, after any crash, too."""

import errno
import os
import subprocess

import crash_zone
from crash_world import PORT

DAY = 86400
ZONE = "seal.example."
SECOND = "other.example."
PIN = "24681357"
MODULE = "/usr/lib/softhsm/libsofthsm2.so"


def conf(w, zones=(ZONE, ), watch=True, hsm=False, **policy):
    """A config for these zones."""
    c = {"version": "1",
         "server": {"listen": ["%s@%d" % (w.addr, PORT)], "state-dir": os.path.join(w.root, "state"), "control": os.path.join(w.dir, "ctl"),
                    "control-group": "root", "user": "root", "vault-user": "root", "min-free": "1M", "workers": "2"},
         "stats": {"listen": ["%s@9353" % w.addr]},
         "log": {"target": "stderr", "level": "debug"},
         "policies": [dict({"name": "tested"}, **policy)],
         "remotes": [{"name": "primary", "address": ["%s@%d" % (w.primary, PORT)]},
                     {"name": "secondary", "address": ["%s@%d" % (w.secondary, PORT)], "watch": "yes" if watch else "no"}],
         "zones": [{"name": z, "upstream": ["primary"], "downstream": ["secondary"], "policy": "tested"} for z in zones]}
    if hsm:
        pin = os.path.join(w.dir, "pin")
        with open(os.open(pin, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as f:
            f.write(PIN + "\n")
        with open(os.path.join(w.dir, "softhsm2.conf"), "w") as f:
            f.write("directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n" % w.token)
        c["policies"][0]["keystore"] = "hsm"
        c["keystores"] = [{"name": "hsm", "backend": "pkcs11", "module": MODULE, "uri": "pkcs11:token=crash", "pin-file": pin,
                           "sessions": "2", "environment": {"SOFTHSM2_CONF": os.path.join(w.dir, "softhsm2.conf")}}]
    return c


def make_token(w):
    os.makedirs(w.token, exist_ok=True)
    conf(w, hsm=True)
    subprocess.run(["softhsm2-util", "--init-token", "--free", "--label", "crash", "--so-pin", "12345678", "--pin", PIN], check=True,
                   env=dict(os.environ, SOFTHSM2_CONF=os.path.join(w.dir, "softhsm2.conf")), capture_output=True)


class Scenario:
    """The first build, with its keys. Others override what differs."""

    name = "first-build"
    zones = (ZONE, )
    hsm = False
    map_shift = 0
    policy = {}
    from_start = True   # events are numbered from the start of the daemon, not from act()
    cuts = True         # power cuts: every file is ours
    make = staticmethod(crash_zone.content)

    def conf(self, w, zones=None, **more):
        return conf(w, zones or self.zones, hsm=self.hsm, **dict(self.policy, **more))

    def prepare(self, w):
        w.add_zone(ZONE, self.make, 1)
        if self.hsm:
            make_token(w)

    def published_once(self, w):
        """For prepare(): the zone is published, the daemon was ended."""
        Scenario.prepare(self, w)
        w.write_conf(self.conf(w))
        w.start(map_shift=self.map_shift)
        Scenario.goal(self, w)
        w.stop()

    def begin(self, w, watch):
        w.write_conf(self.conf(w, watch=watch))

    def act(self, w, watch):
        pass

    def act_files(self, w, watch):
        """What act() changes outside of the daemon."""

    def goal(self, w):
        for z in w.zones.values():
            w.published(z, w.in_step(z), "upstream's %d of %s to be served" % (z.upstream, z.name))

    def change(self, w):
        """After everything: one more change goes through."""
        for z in w.zones.values():
            z.upstream += 1
            w.notify(z)
        Scenario.goal(self, w)


class FirstBuildHsm(Scenario):
    name = "first-build-hsm"
    hsm = True
    cuts = False


class Change(Scenario):
    """Another version of upstream's, taken by AXFR."""

    name = "change"

    def prepare(self, w):
        self.published_once(w)

    def begin(self, w, watch):
        super().begin(w, watch)
        w.zones[ZONE].upstream = 2


class ChangeIxfr(Change):
    """The same by IXFR, in several steps, one of which the daemon has not seen."""

    name = "change-ixfr"

    def begin(self, w, watch):
        super().begin(w, watch)
        w.zones[ZONE].ixfr = True
        w.zones[ZONE].upstream = 3


class History(Change):
    """A change for which an old one has to leave the history."""

    name = "history"

    def conf(self, w, zones=None, **more):
        c = super().conf(w, zones, **more)
        for z in c["zones"]:
            z["history"] = {"versions": "2"}
        return c

    def prepare(self, w):
        Scenario.prepare(self, w)
        w.write_conf(self.conf(w))
        w.start()
        Scenario.goal(self, w)
        for _ in range(3):
            self.change(w)
        w.stop()

    def begin(self, w, watch):
        super().begin(w, watch)
        w.zones[ZONE].upstream = 5


class ChangeHsm(Change):
    name = "change-hsm"
    hsm = True
    cuts = False


class Refresh(Scenario):
    """Signatures near their end are replaced in one small version."""

    name = "refresh"
    away = 10 * DAY

    def prepare(self, w):
        self.published_once(w)

    def begin(self, w, watch):
        super().begin(w, watch)
        w.clock.jump(self.away)

    def goal(self, w):
        z = w.zones[ZONE]
        w.published(z, lambda v: v is not None and v.earliest() > w.clock.wall() + 7 * DAY, "fresh signatures")


class RefreshHsm(Refresh):
    name = "refresh-hsm"
    hsm = True
    cuts = False


class MapGrowth(Refresh):
    """A refresh that does not fit into the map of the store."""

    name = "map-growth"
    map_shift = 13   # 128 KiB instead of 1 GiB

    @staticmethod
    def make(zone, serial):
        return crash_zone.content(zone, serial, names=60)


class Reload(Scenario):
    """A second zone comes with a reload."""

    name = "reload"
    from_start = False

    def prepare(self, w):
        self.published_once(w)

    def begin(self, w, watch):
        w.write_conf(self.conf(w, zones=(ZONE, ), watch=watch))

    def act_files(self, w, watch):
        w.add_zone(SECOND, crash_zone.content, 1)
        w.write_conf(self.conf(w, zones=(ZONE, SECOND), watch=watch))

    def act(self, w, watch):
        self.act_files(w, watch)
        w.hangup()


SCENARIOS = [Scenario(), FirstBuildHsm(), Change(), ChangeIxfr(), History(), ChangeHsm(), Refresh(), RefreshHsm(), Reload(), MapGrowth()]

FAILURES = {"eio": errno.EIO, "enospc": errno.ENOSPC, "full": errno.ENOSPC}
