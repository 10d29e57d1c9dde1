# SPDX-License-Identifier: GPL-3.0-or-later
"""More zones than may ask at one moment: who goes first after a start and a reload, and that the others have their turn. The
clock is the tests' and stands still, so that what is asked is what was due at once."""

import struct
import threading

import dns.name

import clocked
import harness
import zones
from raw import AXFR, SOA, Raw, encode, record
from seal import Zoneseal

ZONES, AT_ONCE, A_SECOND = 150, 100, 200


class Primary(Raw):
    """Of any zone; the serial is that of all of them. `asked`: zones in the order in which their SOA was asked for. hang:
    transfers wait for it."""

    def __init__(self, rig, peers=()):
        self.serial, self.asked, self.hang = 1, [], None
        super().__init__(rig, ".", zones.soa("any.", 1), peers=peers)

    def _messages(self, query):
        name = dns.name.from_wire(query, 12)[0].to_text()
        ident, = struct.unpack("!H", query[:2])
        end = 12 + len(dns.name.from_text(name).to_wire())
        qtype, = struct.unpack("!H", query[end:end + 2])
        if qtype == SOA:
            self.asked.append(name)
        elif self.hang:
            self.hang.wait(60)
        rrs = [record(line) for line in zones.small(name, self.serial).splitlines() if line.strip()]
        rrs = rrs + [rrs[0]] if qtype == AXFR else rrs[:1]
        yield struct.pack("!HHHHHH", ident, 0x8400, 1, len(rrs), 0, 0) + query[12:end + 4] + b"".join(map(encode, rrs))


def reload(s):
    said = s.log().count("reload done")
    s.reload()
    harness.wait_for(lambda: s.log().count("reload done") > said, "the reload", alive=[s.process])


def test_zones_that_can_wait(rig):
    clock = clocked.Clock(rig)
    s = Zoneseal(rig)
    p = Primary(rig, [s]).start()
    for n in range(ZONES):
        s.zone("z%d.example." % n, [p], policy="none")
    s.start(env=clock.env(), program="zoneseald-clk")

    def asked(what, n):
        harness.wait_for(lambda: len(set(p.asked)) >= n, what, alive=[s.process])

    def opened(n):
        harness.wait_for(lambda: s.log().count("state=opening event=opened") == n, "what is stored", alive=[s.process])
    opened(ZONES)
    asked("those that go at once", AT_ONCE)
    assert len(p.asked) == AT_ONCE  # none has a version: one behind the other
    clock.advance((ZONES - AT_ONCE) / A_SECOND)
    asked("the others", ZONES)
    harness.wait_for(lambda: s.log().count("event=published serial=") >= ZONES, "versions", 60, alive=[s.process])
    clock.advance(AT_ONCE / A_SECOND)
    # nothing that concerns upstream is different but for one, and one is new
    del p.asked[:]
    s.conf["zones"][7]["upstream-dnssec"] = "strip"
    s.zone("new.example.", [p], policy="none")
    reload(s)
    harness.wait_for(lambda: s.log().count("event=published serial=") > ZONES, "the new one", alive=[s.process])
    asked("both", 2)
    assert set(p.asked) == {"z7.example.", "new.example."}
    p.zone = "z9.example."
    p.notify()
    asked("the one with a NOTIFY", 3)
    clock.advance(ZONES / A_SECOND / 2)
    asked("some", ZONES // 10)
    reload(s)  # nobody waits longer for it
    clock.advance(ZONES / A_SECOND / 2 + 0.01)
    asked("the others", ZONES + 1)
    # the same at a start, where all have a version
    s.stop()
    del p.asked[:]
    s.start(env=clock.env(), program="zoneseald-clk")
    opened(2 * (ZONES + 1))
    assert not p.asked
    clock.advance((ZONES + 1) / A_SECOND)
    asked("the others", ZONES + 1)


def test_zones_that_a_reload_cuts_short(rig):
    """They have turns as at the start, however soon a failed check would have been tried again."""
    clock = clocked.Clock(rig)
    s = Zoneseal(rig)
    p = Primary(rig, [s]).start()
    p.hang = threading.Event()
    n = 600
    for i in range(n):
        s.zone("z%d.example." % i, [p], policy="none")
    s.start(env=clock.env(), program="zoneseald-clk")

    def idle(most):
        """Of one moment; the others wait for a transfer."""
        left = []
        harness.wait_for(lambda: left.append([z["state"] for z in s.json("zone", "list")["zones"]].count("idle")) or left[-1] <= most,
                         "%d to be asked" % (n - most), alive=[s.process])
        return left[-1]
    harness.wait_for(lambda: s.log().count("state=opening event=opened") == n, "what is stored", alive=[s.process])
    clock.advance((n - AT_ONCE) / A_SECOND + 0.01)
    idle(0)
    reload(s)
    cut = n - 40  # a few are being transferred and go on
    harness.wait_for(lambda: s.log().count("event=failed new=idle") >= cut, "the reload", alive=[s.process])
    clock.advance(2)
    assert idle(n - 2 * A_SECOND) >= cut - AT_ONCE - 2 * A_SECOND
    p.hang.set()
