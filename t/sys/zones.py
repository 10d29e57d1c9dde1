# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone contents for the tests."""

import random

SOA = "{zone} {ttl} IN SOA ns1.{dot} hostmaster.{dot} {serial} 3600 600 1209600 300\n"


def under(zone):
    """What follows a label: the zone with its dots, empty for the root."""
    return "" if zone == "." else zone


def soa(zone, serial, ttl=3600):
    return SOA.format(zone=zone, dot=under(zone), serial=serial, ttl=ttl)


def head(zone, serial, ttl=3600):
    z = under(zone)
    return soa(zone, serial, ttl) + "".join((
        "%s %d IN NS ns1.%s\n" % (zone, ttl, z), "%s %d IN NS ns2.%s\n" % (zone, ttl, z),
        "ns1.%s 3600 IN A 192.0.2.1\n" % z, "ns1.%s 3600 IN AAAA 2001:db8::1\n" % z, "ns2.%s 3600 IN A 192.0.2.2\n" % z))


def sample(zone="seal.example.", serial=1, extra="", ds=""):
    """Something of everything that answers can prove: wildcard, ENT, both kinds of delegation, CNAME, DNAME."""
    z = under(zone)
    return head(zone, serial) + "".join("%s\n" % line.replace("@@", z) for line in (
        "www.@@ 300 IN A 192.0.2.80", "www.@@ 300 IN AAAA 2001:db8::80", "www.@@ 600 IN TXT \"it's here\"",
        "alias.@@ 300 IN CNAME www.@@", "*.wild.@@ 300 IN TXT \"from the wildcard\"", "*.wild.@@ 300 IN MX 10 www.@@",
        "deep.in.an.ent.@@ 300 IN A 192.0.2.81", "_sip._udp.@@ 300 IN SRV 0 0 5060 www.@@",
        "mail.@@ 300 IN MX 10 www.@@", "ins.@@ 3600 IN NS ns.ins.@@", "ns.ins.@@ 3600 IN A 192.0.2.90",
        "x.hidden.ins.@@ 300 IN A 192.0.2.91", "sec.@@ 3600 IN NS ns1.@@", ds or
        "sec.@@ 3600 IN DS 12345 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
        "only.glue.ent.ins2.@@ 3600 IN NS ns.only.glue.ent.ins2.@@", "ns.only.glue.ent.ins2.@@ 3600 IN A 192.0.2.92",
        "moved.@@ 300 IN DNAME www.@@", "x.www.@@ 300 IN A 192.0.2.94", "MiXed.@@ 300 IN A 192.0.2.93", "caa.@@ 300 IN CAA 0 issue \"ca.example\"",
        "unknown.@@ 300 IN TYPE65280 \\# 4 0A000001")) + extra


def small(zone, serial=1):
    return head(zone, serial) + "www.%s 300 IN A 192.0.2.80\n" % under(zone)


def escaped(octets):
    """A label in presentation form, every octet that is no letter, digit or hyphen as \\DDD."""
    return "".join(chr(o) if chr(o) in "-_" or (o < 128 and chr(o).isalnum()) else "\\%03d" % o for o in octets)


# --- odd things, each by itself ---------------------------------------------------------------------------------


def octet_labels(z):
    """Labels with NUL, dots, 8-bit octets and neighbours in canonical order that compare badly as C strings."""
    labels = [b"\x00", b"\x00\x00", b"a\x00b", b"a\x00", b"a.b", b"b.a", b"\xff", b"\xfe\xff", b"a\x01", b"\x01", b"\x80z", b" ", b"\"", b"\\",
              b"$ORIGIN", b"@", b";", b"(", b"[", b"{", b"`", b"A\xc0"]
    out = ["%s.%s 300 IN A 192.0.2.%d" % (escaped(label), z, i + 1) for i, label in enumerate(labels)]
    out.append("b.%s.%s 300 IN TXT \"child of a NUL\"" % (escaped(b"a\x00"), z))
    out.append("ent.%s.%s 300 IN TXT \"below an ENT with a NUL\"" % (escaped(b"\x00ent\x00"), z))
    return out


def long_names(z, zone_octets, fills):
    """63-octet labels and names of 255 octets, with NUL the worst order keys: every octet doubled."""
    out, room = [], 255 - zone_octets
    for fill in fills:
        labels, left = [], room
        while left > 1:
            n = min(63, left - 1)
            labels.append(fill * n)
            left -= n + 1
        out.append("%s.%s 300 IN A 192.0.2.7" % (".".join(escaped(x) for x in labels), z))
    ones, left = [], room  # as many labels as fit
    while left > 1:
        ones.append("%x" % (len(ones) % 16))
        left -= 2
    out.append("%s.%s 300 IN A 192.0.2.8" % (".".join(ones), z))
    return out


def big_rrset(z, octets):
    """An RRset of records that together are about so many octets as they stand in a message."""
    rng = random.Random(1)
    texts = ("".join(rng.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(216)) + "%08d" % i for i in range(octets // 240))
    return ["big.%s 300 IN TXT \"%s\"" % (z, text) for text in texts]


def cases(z):
    """Case in owners and RDATA; duplicates that differ in case only."""
    return ["CaSe.%s 300 IN MX 10 MAIL.Seal.Example." % z, "cAsE.%s 300 IN MX 20 mail.seal.EXAMPLE." % z,
            "dup.%s 300 IN CNAME Target.Example." % z, "DUPMX.%s 300 IN MX 10 a.Example." % z, "dupmx.%s 300 IN MX 10 A.example." % z,
            "UPPER.%s 300 IN SRV 1 2 3 HOST.Example." % z, "rp.%s 300 IN RP Mbox.Example. TXT.Example." % z]


def strange_types(z):
    return ["empty.%s 300 IN TYPE65280 \\# 0" % z, "t1234.%s 300 IN TYPE1234 \\# 3 000102" % z, "t1234.%s 300 IN TYPE65534 \\# 1 ff" % z,
            "naptr.%s 300 IN NAPTR 1 2 \"U\" \"E2U+sip\" \"!^.*$!sip:a@b!\" ." % z, "loc.%s 300 IN LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m" % z,
            "https.%s 300 IN TYPE65 \\# 3 000100" % z, "nul.%s 300 IN TYPE10 \\# 2 0000" % z, "hip.%s 300 IN TYPE55 \\# 9 040100014142434445" % z,
            "sshfp.%s 300 IN SSHFP 1 1 0123456789abcdef0123456789abcdef01234567" % z]


def cuts(z):
    """A cut under an ENT, ENTs that exist through glue only, glue below a secure cut."""
    return ["cut.ent.under.%s 300 IN NS ns.cut.ent.under.%s" % (z, z),
            "ns.cut.ent.under.%s 300 IN A 192.0.2.5" % z, "g.%s 300 IN NS x.y.z.g.%s" % (z, z), "x.y.z.g.%s 300 IN A 192.0.2.6" % z,
            "sg.%s 300 IN NS ns.sg.%s" % (z, z), "ns.sg.%s 300 IN AAAA 2001:db8::5" % z,
            "sg.%s 300 IN DS 1 13 2 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef" % z,
            "txt.g.%s 300 IN TXT \"occluded by the cut\"" % z, "deeper.sub.g.%s 300 IN NS ns.example." % z]


def below_dname(z):
    return ["dn.%s 300 IN DNAME target.example." % z, "below.dn.%s 300 IN A 192.0.2.9" % z, "a.b.below.dn.%s 300 IN TXT \"occluded\"" % z,
            "dn.%s 300 IN TXT \"at the DNAME itself\"" % z, "dnx.%s 300 IN A 192.0.2.10" % z]


def ttls(z):
    return ["ttl.%s 300 IN A 192.0.2.1" % z, "ttl.%s 100 IN A 192.0.2.2" % z, "ttl.%s 200 IN A 192.0.2.3" % z, "ttl0.%s 0 IN A 192.0.2.4" % z]
