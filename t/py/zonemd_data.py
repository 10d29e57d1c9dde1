#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Zone file to what t_zonemd reads: one record a line, owner, TTL, type number and RDATA in hex, in the order and as
often as they stand in the file. Usage: zonemd_data.py ORIGIN ZONEFILE COMMENT > t/data/zonemd/NAME"""
import struct
import sys

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tokenizer


def records(text, origin):
	tok = dns.tokenizer.Tokenizer(text)
	owner = origin
	while True:
		token = tok.get(want_leading=True)
		if token.is_eof():
			return
		if token.is_eol() or token.is_comment():
			continue
		if token.is_whitespace():
			token = tok.get()
			if token.is_eol():
				continue
			tok.unget(token)
		else:
			owner = dns.name.from_text(token.value, origin)
		ttl = int(tok.get().value)
		assert tok.get().value.upper() == "IN"
		rdtype = dns.rdatatype.from_text(tok.get().value)
		if rdtype == dns.rdatatype.ZONEMD: # by hand: dnspython takes no digest of a length that it does not like
			head = struct.pack("!IBB", *(tok.get_int() for _ in range(3)))
			rdata = head + bytes.fromhex(tok.concatenate_remaining_identifiers())
			tok.get_eol()
		else:
			rdata = dns.rdata.from_text(dns.rdataclass.IN, rdtype, tok, origin=origin, relativize=False).to_wire(origin=origin)
		yield owner, ttl, rdtype, rdata


def main():
	origin = dns.name.from_text(sys.argv[1])
	print("# " + sys.argv[3])
	with open(sys.argv[2], encoding="ascii") as f:
		for owner, ttl, rdtype, rdata in records(f.read(), origin):
			print(owner.to_text(), ttl, int(rdtype), rdata.hex())


main()
