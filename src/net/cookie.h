/* SPDX-License-Identifier: GPL-3.0-or-later */
/* DNS server cookies (RFC 7873, RFC 9018): a secret drawn at start, replaced daily, the one before still
 * taken. */
#ifndef ZONESEAL_NET_COOKIE_H
#define ZONESEAL_NET_COOKIE_H

#include <stdbool.h>

#include "base/clk.h"
#include "net/acl.h"

#define COOKIE_CLIENT 8
#define COOKIE_FULL 24 /* client cookie and the 16 octets of RFC 9018 */

struct cookies {
	uint8_t now[16], before[16];
	int64_t drawn; /* wall seconds */
};
int cookies_init(struct cookies *c, wall_t now); /* 0 or ZS_EIO (no randomness) */
/* Is the cookie (client and server part, len octets) one that we gave to this address? */
bool cookie_valid(const struct cookies *c, const uint8_t *cookie, size_t len, const struct net_addr *from,
		  wall_t now);
/* Client cookie plus a fresh server cookie into out; returns the length, 0 on failure. Draws a new secret
 * when due. */
size_t cookie_make(struct cookies *c, const uint8_t client[static COOKIE_CLIENT], const struct net_addr *from,
		   wall_t now, uint8_t out[static COOKIE_FULL]);

#endif
