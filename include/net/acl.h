/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses and access lists: who asks, and what a list says to that. Pure, apart from net_bind().
 */
#ifndef ZONESEAL_NET_ACL_H
#define ZONESEAL_NET_ACL_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "dns/tsig.h"

struct net_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	};
};
/* "192.0.2.1@53"; returns buf. */
#define NET_ADDR_TEXT 64
char *net_addr_text(const struct net_addr *a, char buf[static NET_ADDR_TEXT]);
/* Port ignored; an IPv4-mapped address equals the IPv4 one. */
bool net_addr_same_host(const struct net_addr *a, const struct net_addr *b);
socklen_t net_addr_len(const struct net_addr *a);

struct acl_entry {
	const char *name; /* of the remote or acl, for logs */
	struct net_addr addr;
	uint8_t prefix_len;
	bool any_addr;              /* no address was given */
	const struct tsig_key *key; /* required when not NULL */
	bool deny;
};
struct acl {
	const struct acl_entry *e;
	size_t n;
};
/*
 * The first entry whose address matches and whose key is the one that verified (or that asks for none); NULL
 * when there is none or when it says deny. Everything that is given must match. Keys are compared by
 * identity: list and lookup come from the same configuration.
 */
const struct acl_entry *acl_match(const struct acl *acl, const struct net_addr *from,
				  const struct tsig_key *verified);

/*
 * Binds one address, UDP and TCP, with the options set (v6only, reuseaddr, pktinfo, non-blocking,
 * close-on-exec): the parent does this. fds[0] UDP, fds[1] TCP, listening. ZS_EPERM, ZS_EIO, ...
 */
int net_bind(const struct net_addr *a, int fds[static 2]);

#endif
