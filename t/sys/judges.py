# SPDX-License-Identifier: GPL-3.0-or-later
"""What the verifiers of Debian 12 cannot judge. Each entry is proved by test_judges.py on a zone that others signed; when a
verifier learns it, that test fails and the entry goes, and with it the `skip` of whoever uses it."""

CANNOT = {
    # RFC 2181 11: a label holds any octets; RFC 4034 6.1: the shorter label sorts first. libknot ends a label at NUL.
    "nul": {"kzonecheck"},
    # RFC 1035 5.1: \X is X, whatever X is; ldns reads `\@` as something else.
    "escaped-at": {"ldns-verify-zone"},
    # RFC 1035 2.3.4 and 5.1: 255 octets are 1,000 characters when each is \DDD; ldns calls that a syntax error.
    "long-escaped": {"ldns-verify-zone"},
    # RFC 4034 3.1.8.1: what is signed is all of the RRset, however large. These two put no more than 64 KiB together
    # with the names.
    "rrset-64k": {"kzonecheck", "ldns-verify-zone"},
    # RFC 2181 5 bounds no RRset; BIND loads none over 64 KiB.
    "rrset-over-64k": {"dnssec-verify"},
    # RFC 3597 5: \# may be used for every type. libknot's reader takes no NULL in it.
    "null": {"kzonecheck"},
    # RFC 6672 2.4: a server may refuse such data, or load and occlude it; then it has no NSEC, which kzonecheck wants.
    "below-dname": {"kzonecheck"},
    # RFC 4592 4.2 discourages NS at a wildcard and does not forbid it; BIND loads none.
    "wildcard-ns": {"dnssec-verify"},
}


def cannot(*what):
    return set().union(*(CANNOT[w] for w in what))
