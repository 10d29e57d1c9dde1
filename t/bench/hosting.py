# SPDX-License-Identifier: GPL-3.0-or-later
"""A zone like those of a hosting company, the same for the same number of names: every name has A and AAAA, some have
mail, text, a service below, an alias or a wildcard. About 2.3 records a name. Usage: hosting.py NAMES FILE [ORIGIN]"""

import random
import sys


def records(names, origin):
    """Lines of a master file; the SOA is alone on its line."""
    r = random.Random(names)
    yield "$ORIGIN %s\n$TTL 3600\n" % origin
    yield "@ 3600 IN SOA ns1.%s hostmaster.%s 1000 7200 1800 1209600 3600\n" % (origin, origin)
    yield "@ IN NS ns1\n@ IN NS ns2\n@ IN MX 10 mail\n@ IN TXT \"v=spf1 mx -all\"\n"
    yield "ns1 IN A 192.0.2.1\nns2 IN A 192.0.2.2\nmail IN A 192.0.2.3\n"
    for i in range(names):
        host = "%s-%d" % ("".join(r.choices("abcdefghijklmnopqrstuvwxyz", k=3 + r.randrange(8))), i)
        yield "%s IN A 10.%d.%d.%d\n" % (host, r.randrange(256), r.randrange(256), r.randrange(256))
        yield "%s IN AAAA 2001:db8:%x::%x:%x\n" % (host, r.randrange(65536), (i + 1) >> 16, (i + 1) & 65535)
        kind = r.randrange(200)
        if kind < 20:
            yield "%s IN MX 10 mail\n%s IN MX 20 mail.example.net.\n" % (host, host)
        elif kind < 40:
            yield "%s IN TXT \"v=spf1 mx include:spf%d.example.net -all\"\n" % (host, r.randrange(1000))
        elif kind < 42:
            yield "*.%s IN A 10.0.0.%d\n" % (host, r.randrange(256))
        elif kind < 46:
            yield "_sip._tcp.%s IN SRV 0 5 5060 %s\n" % (host, host)
        elif kind < 47:
            yield "www.%s IN CNAME %s\n" % (host, host)


def write(names, path, origin="hosting.test."):
    with open(path, "w") as f:
        f.writelines(records(names, origin))


if __name__ == "__main__":
    write(int(sys.argv[1]), *sys.argv[2:4])
