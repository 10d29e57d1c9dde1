/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Server cookies over libknot's SipHash (RFC 9018). Nothing is remembered of a client: a cookie proves
 * itself. Used by the answer code on the loop thread alone.
 */
#include "cookie.h"

#include <string.h>
#include <sys/socket.h>

#include <libknot/cookies.h>
#include <libknot/errcode.h>

#include "base/err.h"
#include "base/rand.h"

#define SECRET_LIFE_S 86400
#define COOKIE_PAST_S 3600  /* RFC 9018 4.3 */
#define COOKIE_FUTURE_S 300

int cookies_init(struct cookies *c, wall_t now)
{
	c->drawn = now.s;
	if (rand_bytes(c->now, sizeof(c->now)) != 0 || rand_bytes(c->before, sizeof(c->before)) != 0)
		return ZS_EIO;
	return 0;
}

/* A clock that was set back counts as due: a secret never outlives a day of either clock. */
static void rotate(struct cookies *c, wall_t now)
{
	uint8_t fresh[sizeof(c->now)];

	if (now.s >= c->drawn && now.s - c->drawn < SECRET_LIFE_S)
		return;
	if (rand_bytes(fresh, sizeof(fresh)) != 0)
		return;
	memcpy(c->before, c->now, sizeof(c->before));
	memcpy(c->now, fresh, sizeof(c->now));
	c->drawn = now.s;
}

static void params(knot_edns_cookie_params_t *p, struct sockaddr_storage *ss, const uint8_t secret[static 16],
		   const struct net_addr *from, wall_t now)
{
	memset(ss, 0, sizeof(*ss));
	memcpy(ss, &from->sa, net_addr_len(from));
	*p = (knot_edns_cookie_params_t){ .version = KNOT_EDNS_COOKIE_VERSION, .timestamp = (uint32_t)now.s,
					  .lifetime_before = COOKIE_PAST_S, .lifetime_after = COOKIE_FUTURE_S,
					  .client_addr = ss };
	memcpy(p->secret, secret, sizeof(p->secret));
}

bool cookie_valid(const struct cookies *c, const uint8_t *cookie, size_t len, const struct net_addr *from,
		  wall_t now)
{
	knot_edns_cookie_t cc = { .len = COOKIE_CLIENT }, sc;
	knot_edns_cookie_params_t p;
	struct sockaddr_storage ss;

	if (len != COOKIE_FULL)
		return false;
	memcpy(cc.data, cookie, COOKIE_CLIENT);
	sc.len = COOKIE_FULL - COOKIE_CLIENT;
	memcpy(sc.data, cookie + COOKIE_CLIENT, sc.len);
	params(&p, &ss, c->now, from, now);
	if (knot_edns_cookie_server_check(&sc, &cc, &p) == KNOT_EOK)
		return true;
	memcpy(p.secret, c->before, sizeof(p.secret));
	return knot_edns_cookie_server_check(&sc, &cc, &p) == KNOT_EOK;
}

size_t cookie_make(struct cookies *c, const uint8_t client[static COOKIE_CLIENT], const struct net_addr *from,
		   wall_t now, uint8_t out[static COOKIE_FULL])
{
	knot_edns_cookie_t cc = { .len = COOKIE_CLIENT }, sc = { .len = 0 };
	knot_edns_cookie_params_t p;
	struct sockaddr_storage ss;

	rotate(c, now);
	memcpy(cc.data, client, COOKIE_CLIENT);
	params(&p, &ss, c->now, from, now);
	if (knot_edns_cookie_server_generate(&sc, &cc, &p) != KNOT_EOK ||
	    sc.len != COOKIE_FULL - COOKIE_CLIENT)
		return 0;
	memcpy(out, client, COOKIE_CLIENT);
	memcpy(out + COOKIE_CLIENT, sc.data, sc.len);
	return COOKIE_FULL;
}
