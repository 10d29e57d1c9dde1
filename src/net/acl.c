/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Access lists: first match wins. Pure; called by the answer code for queries, transfers and NOTIFY. A query
 * whose TSIG did not verify never gets here.
 */
#include "net/acl.h"

#include <string.h>

#include "addr_impl.h"

static bool addr_in_prefix(const struct acl_entry *e, const struct net_addr *from)
{
	const uint8_t *want, *have;
	unsigned n = addr_octets(&e->addr, &want), bits = e->prefix_len, whole;

	if (n != addr_octets(from, &have))
		return false;
	/* A prefix given over a v4-mapped address counts from the IPv6 start. */
	if (n == 4 && e->addr.sa.sa_family == AF_INET6)
		bits = bits > 96 ? bits - 96 : 0;
	if (bits > n * 8)
		bits = n * 8;
	whole = bits / 8;
	if (memcmp(want, have, whole) != 0)
		return false;
	return bits % 8 == 0 || ((want[whole] ^ have[whole]) & (0xff00 >> bits % 8) & 0xff) == 0;
}

const struct acl_entry *acl_match(const struct acl *acl, const struct net_addr *from,
				  const struct tsig_key *verified)
{
	for (size_t i = 0; i < acl->n; i++) {
		const struct acl_entry *e = &acl->e[i];

		if (!e->any_addr && !addr_in_prefix(e, from))
			continue;
		if (e->key && e->key != verified)
			continue;
		return e->deny ? NULL : e;
	}
	return NULL;
}
