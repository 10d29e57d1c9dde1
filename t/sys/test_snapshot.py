# SPDX-License-Identifier: GPL-3.0-or-later
"""Secondaries that take their time, while the zone moves on: what they hold of the store is bounded."""

import glob
import os
import socket

import chain
import dns.message
import dns.query
import harness
import zones
from chain import ZONE, Chain
from harness import wait_for


def large(serial, changed=12000):
    """More than all buffers between two ends of a connection hold; so many names of it differ from serial to serial."""
    def fill(i):
        return " ".join('"%s"' % (chr(97 + (serial if i < changed else 0)) * 250) for _ in range(4))
    return zones.sample(ZONE, serial) + "".join("n%d.%s 300 IN TXT %s\n" % (i, ZONE, fill(i)) for i in range(12000))


class Slow:
    """Asks for the zone and takes one message of it for now."""

    def __init__(self, line):
        self.s = socket.socket()
        self.s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.s.settimeout(60)
        self.s.bind((line.secondary.addr, 0))
        self.s.connect((line.seal.addr, harness.PORT))
        dns.query.send_tcp(self.s, dns.message.make_query(ZONE, "AXFR"))
        assert self.message().answer[0].rdtype == 6

    def message(self):
        return dns.query.receive_tcp(self.s, one_rr_per_rrset=True, ignore_trailing=False)[0]

    def rest(self):
        """True when the transfer comes to its end, False when it is cut."""
        try:
            while not any(r.rdtype == 6 for r in self.message().answer):
                pass
            return True
        except (EOFError, ConnectionError):
            return False
        finally:
            self.s.close()


def files(line):
    """Generations that the engine has open, those without a name too."""
    pid, = line.seal.child("engine")
    fds = [os.path.realpath(p) for p in glob.glob("/proc/%d/fd/*" % pid)]
    return {p.replace(" (deleted)", "") for p in fds if "/zones/" in p and ".mdb" in p and ".mdb-lock" not in p}


def given_up(line):
    return line.seal.metric("zoneseal_xfr_total", direction="out", type="axfr", result="given-up")


def test_a_transfer_in_the_way_of_the_store_is_cut_and_succeeds_on_retry(rig):
    """Two files are what a version that replaces all costs, whoever is slow; a third one is too much."""
    line = Chain(rig, text=large(1), policy="none", server={"tcp": {"idle": "60s"}, "snapshot": {"age": "1h", "growth": "1M"}}).start()
    line.published(1)
    first = Slow(line)
    line.primary.change(ZONE, large(2))
    line.published(2)
    second = Slow(line)
    wait_for(lambda: line.seal.metric("zoneseal_zone_pinned_bytes", zone=ZONE) > 1 << 20, "the first to be seen")
    assert given_up(line) == 0
    line.primary.change(ZONE, large(3))
    line.published(3)
    wait_for(lambda: given_up(line) == 1, "the first to be given up")
    assert "event=given-up" in line.seal.log()
    assert not first.rest()
    # Its file is gone with it; the other goes on as if nothing were.
    wait_for(lambda: len(files(line)) == 2, "the first one's file to go")
    assert second.rest()
    assert given_up(line) == 1
    third = Slow(line)
    assert third.rest()
    line.primary.change(ZONE, large(4))
    line.published(4)
    wait_for(lambda: len(files(line)) == 1, "the old files to go")
    chain.same_data(line)


def test_pages_in_the_way_of_the_store_come_back(rig):
    """Changes within one file: what they replace is pinned by whoever still reads it."""
    line = Chain(rig, text=large(1, 2000), policy="none", server={"tcp": {"idle": "60s"}, "snapshot": {"age": "1h", "growth": "1M"}}).start()
    line.published(1)
    slow = Slow(line)
    for serial in (2, 3, 4):  # what the last version replaced is free for nobody yet, and does not count
        line.primary.change(ZONE, large(serial, 2000))
        line.published(serial)
    assert len(files(line)) == 1
    wait_for(lambda: given_up(line) == 1, "the slow one to be given up")
    assert not slow.rest()
    line.primary.change(ZONE, large(5, 2000))
    line.published(5)
    wait_for(lambda: line.seal.metric("zoneseal_zone_pinned_bytes", zone=ZONE) < 1 << 20, "the pages to come back")
    again = Slow(line)
    assert again.rest()


def test_a_zone_may_go_while_it_is_transferred(rig):
    line = Chain(rig, text=large(1), policy="none").start()
    line.published(1)
    slow = Slow(line)
    conf = line.seal.conf["zones"].pop()
    line.seal.reload()
    wait_for(lambda: given_up(line) == 1, "its transfer to be cut")
    assert not slow.rest()
    line.seal.conf["zones"].append(conf)
    line.seal.reload()
    line.published(1)
