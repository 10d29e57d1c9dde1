# SPDX-License-Identifier: GPL-3.0-or-later
"""The table of the crash campaign: what the daemon is doing when it is killed. A scenario is a row of SCENARIOS. prepare()
brings the world to where it begins (once; the files are copied for each point), begin() changes something before the
daemon starts, act() something while it runs, and goal() waits for what must come of it, after any crash, too; after() is
what is looked at once when that has come. An order that was answered is not given again after a crash, any other one is."""

import errno
import os
import shutil
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
    map_shift, pages = 0, None
    says = None         # in its log, when nothing happens to it
    policy = {}
    unneeded = ()       # where key ids may vanish
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
        self.start(w)
        Scenario.goal(self, w)
        w.stop()

    def start(self, w, *mode, **arm):
        w.start(*mode, map_shift=self.map_shift, pages=self.pages, **arm)

    def begin(self, w, watch):
        w.write_conf(self.conf(w, watch=watch))

    def act(self, w, watch):
        pass

    def act_files(self, w, watch):
        """What act() changes outside of the daemon."""

    def goal(self, w):
        for z in w.zones.values():
            w.published(z, w.in_step(z), "upstream's %d of %s to be served" % (z.upstream, z.name))

    def after(self, w):
        pass

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


class Aside(Change):
    """What a change wrote aside goes to its place (store/recent.c)."""

    name = "aside"
    says = "event=moved"

    def goal(self, w):
        super().goal(w)
        if w.zones[ZONE].upstream == 2:
            w.wait(lambda: w.said(self.says), 5)  # after a restart there may be nothing left


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


class LargeChange(Change):
    """A change by IXFR that is too large for one commit: the whole zone is asked for, and the next generation built."""

    name = "large-change"
    pages = 16  # instead of 32,768
    says = "event=large"

    @staticmethod
    def make(zone, serial):
        return crash_zone.content(zone, serial, names=12, every=12)

    def begin(self, w, watch):
        super().begin(w, watch)
        w.zones[ZONE].ixfr = True
        w.zones[ZONE].upstream = 2


class Chain(Change):
    """From NSEC to NSEC3 at a start."""

    name = "nsec-nsec3"
    policy = {"denial": "nsec3"}

    def prepare(self, w):
        Scenario.prepare(self, w)
        w.write_conf(conf(w))
        self.start(w)
        Scenario.goal(self, w)
        self.change(w)
        w.stop()

    def goal(self, w):
        z = w.zones[ZONE]
        w.published(z, lambda v: v is not None and v.salt() is not None and v.upstream() == z.upstream, "a version with NSEC3")


class Compaction(Chain):
    """A new salt, by a reload: the third generation replaces the second, which has grown, and the first one's file goes."""

    name = "compaction"
    from_start = False
    policy = {"denial": "nsec3", "nsec3": {"salt-length": "8"}}

    def prepare(self, w):
        super().prepare(w)
        w.write_conf(conf(w, denial="nsec3"))
        self.start(w)
        super().goal(w)
        self.change(w)
        w.stop()

    def begin(self, w, watch):
        w.write_conf(conf(w, watch=watch, denial="nsec3"))

    def act_files(self, w, watch):
        w.write_conf(self.conf(w, watch=watch))

    def act(self, w, watch):
        self.act_files(w, watch)
        w.hangup()

    def goal(self, w):
        z = w.zones[ZONE]
        w.published(z, lambda v: v is not None and len(v.salt() or b"") == 8 and v.upstream() == z.upstream, "a new salt")


class KeyGeneration(Scenario):
    """A zone that was served as it came is signed from a reload on: its keys are made, and all of it is signed."""

    name = "key-generation"
    from_start = False

    def unsigned(self, w, watch):
        c = self.conf(w, watch=watch)
        c["zones"][0]["policy"] = "none"
        w.write_conf(c)

    def prepare(self, w):
        Scenario.prepare(self, w)
        self.unsigned(w, True)
        self.start(w)
        Scenario.goal(self, w)
        w.stop()

    def begin(self, w, watch):
        self.unsigned(w, watch)

    def act_files(self, w, watch):
        w.write_conf(self.conf(w, watch=watch))

    def act(self, w, watch):
        self.act_files(w, watch)
        w.hangup()

    def goal(self, w):
        w.published(w.zones[ZONE], lambda v: v is not None and v.dnskeys() and w.in_step(w.zones[ZONE])(v), "a signed version")


class Rollback(Scenario):
    """An operator goes back to an older version. The hold that comes of it ends with `zone release`."""

    name = "rollback"
    from_start = False

    def prepare(self, w):
        self.published_once(w)
        self.start(w)
        w.served_as_before(w.zones[ZONE])
        self.change(w, released=True)
        w.stop()

    def act(self, w, watch):
        w.order("zone rollback", self.name, zones=[ZONE], to="u1")

    def goal(self, w):
        z = w.zones[ZONE]
        # done, but not answered: there is nothing to go back to
        w.ordered("zone rollback", self.name, ("no-history", ), zones=[ZONE], to="u1")
        w.published(z, lambda v: v is not None and v.upstream() == 1, "the older version")

    def after(self, w):
        w.until(lambda: (w.status(w.zones[ZONE]) or {}).get("hold"), "the hold after a rollback")

    def change(self, w, released=False):
        if not released:
            w.ordered("zone release", "release", zones=[ZONE])
        super().change(w)


class RollbackBuild(Rollback):
    """A rollback that is too large for one commit: the older content is gathered from the store and its history, and built
    like a transfer."""

    name = "rollback-build"
    pages = LargeChange.pages
    make = staticmethod(LargeChange.make)
    says = "event=rollback version="


class Orders(Scenario):
    """A serial, signing anew, a hold: each is answered when it outlives a crash."""

    name = "orders"
    from_start = False
    jump = 500

    def prepare(self, w):
        self.published_once(w)
        w.clock.jump(DAY)

    def give(self, w):
        z = w.zones[ZONE]
        base = w.marks.setdefault("serial", z.oracle.wire)
        yield "serial", "zone serial", {"serial": base + self.jump}, lambda v: v.serial >= base + self.jump
        since = w.marks.setdefault("since", w.clock.wall() - 3600 - 600)
        yield "resign", "zone resign", {}, lambda v: v.first_inception() >= since
        yield "hold", "zone hold", {"reason": "crash"}, lambda v: (w.status(z) or {}).get("hold")

    def act(self, w, watch):
        for key, verb, args, _ in self.give(w):
            w.order(verb, key, zones=[ZONE], **args)

    def goal(self, w):
        z = w.zones[ZONE]
        for key, verb, args, good in self.give(w):
            w.ordered(verb, key, (), lambda good=good: w.look(z) and good(z.stored), zones=[ZONE], **args)
            w.published(z, lambda v, good=good: v is not None and good(v), "what `%s` orders" % verb)

    def change(self, w):
        w.ordered("zone release", "release", zones=[ZONE])
        super().change(w)


class Backup(Scenario):
    """A backup is made. What was answered is whole: the daemon goes on with it."""

    name = "backup"
    from_start = False

    def prepare(self, w):
        self.published_once(w)

    def copy(self, w):
        return os.path.join(w.root, "backup%d" % w.marks.setdefault("tries", 1))

    def act(self, w, watch):
        w.order("backup", self.name, directory=self.copy(w))

    def goal(self, w):
        def made():
            if self.name in w.acked or w.order("backup", self.name, directory=self.copy(w))[0] == 0:
                return True
            w.marks["tries"] += 1  # into a directory of its own
            return False
        w.until(made, "a backup")

    def after(self, w):
        w.kill()
        state = os.path.join(w.root, "state")
        shutil.rmtree(state)
        os.rename(self.copy(w), state)
        w.start()
        w.upstream_down = True
        w.served_as_before(w.zones[ZONE])
        w.upstream_down = False


class Restore(Backup):
    """The first start on a backup, and the first change after it."""

    name = "restore"
    from_start = True

    def prepare(self, w):
        self.published_once(w)
        self.start(w)
        w.served_as_before(w.zones[ZONE])
        Scenario.change(self, w)
        Backup.goal(self, w)
        w.kill()
        shutil.rmtree(os.path.join(w.root, "state"))
        os.rename(self.copy(w), os.path.join(w.root, "state"))

    def begin(self, w, watch):
        super().begin(w, watch)
        w.zones[ZONE].upstream = 3

    def act(self, w, watch):
        pass

    def goal(self, w):
        Scenario.goal(self, w)

    def after(self, w):
        pass


class Purge(Scenario):
    """What is stored of a zone that left the config is thrown away."""

    name = "purge"
    from_start = False
    unneeded = ("keystate", )

    def prepare(self, w):
        w.add_zone(SECOND, crash_zone.content, 1)
        Scenario.prepare(self, w)
        w.write_conf(self.conf(w, zones=(ZONE, SECOND)))
        self.start(w)
        Scenario.goal(self, w)
        w.kill()
        del w.zones[SECOND]

    def act(self, w, watch):
        w.order("zone purge", self.name, zones=[SECOND], keys=True)

    def goal(self, w):
        w.ordered("zone purge", self.name, ("no-such-zone", ), zones=[SECOND], keys=True)

    def after(self, w):
        left = [d for d, _, _ in os.walk(os.path.join(w.root, "state", "zones")) if "other" in d]
        if left:
            raise crash_zone.Wrong("left of a purged zone: %s" % left)


SCENARIOS = [Scenario(), FirstBuildHsm(), Change(), ChangeIxfr(), LargeChange(), Aside(), History(), ChangeHsm(), Refresh(), RefreshHsm(),
             Reload(), MapGrowth(), KeyGeneration(), Chain(), Compaction(), Rollback(), RollbackBuild(), Orders(), Backup(), Restore(), Purge()]

FAILURES = {"eio": errno.EIO, "fsync": errno.EIO, "enospc": errno.ENOSPC, "full": errno.ENOSPC}
