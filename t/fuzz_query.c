/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Queries as a stranger may send them, into the answer code: first octet: 1 = TCP, then the message. What is
 * answered must be a message that can be read; nothing may be answered to an answer.
 */
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "fuzz.h"
#include "net_rig.h"

struct state {
	struct tzone *tz;
	struct tsig_key *key;
	struct acl_entry all;
	struct net_zone zone;
	struct server_stats stats;
	struct answer_env env;
};

static struct net_zone *op_find(void *ctx, const uint8_t *q)
{
	struct state *s = ctx;

	return name_eq(q, s->zone.name) ? &s->zone : NULL;
}

static bool op_below(void *ctx, const uint8_t *q)
{
	struct state *s = ctx;

	return name_within(q, s->zone.name);
}

static const struct tsig_key *op_key(void *ctx, const uint8_t *name)
{
	struct state *s = ctx;

	return name_eq(name, tsig_key_name(s->key)) ? s->key : NULL;
}

static wall_t op_now(void *ctx)
{
	return WALL(1700000000);
}

static const struct server_ops ops = {.find = op_find, .below_zone = op_below, .key = op_key, .now = op_now};

/* Differences in memory: one fits each datagram, both fit those of clients with EDNS. */
static void give_steps(struct pub *p)
{
	static uint8_t soa[3][64], a[2][4];
	static struct rr rr[2][16];
	static struct pub_step step[2];
	uint16_t len = 0;

	for (uint32_t i = 0; i < 3; i++)
		len = (uint16_t)tz_soa(soa[i], p->serial - 2 + i, 1);
	for (uint32_t i = 0; i < 2; i++) {
		for (unsigned k = 0; k < 16; k++)
			rr[i][k] = (struct rr){ .owner = p->zone, .type = T_A, .class = CLASS_IN,
						.rdata = a[i], .rdlen = 4 };
		for (uint32_t k = 0; k < 2; k++)
			rr[i][8 * k] = (struct rr){ .owner = p->zone, .type = T_SOA, .class = CLASS_IN,
						    .rdata = soa[i + k], .rdlen = len };
		step[i] = (struct pub_step){ .from = p->serial - 2 + i, .to = p->serial - 1 + i,
					     .rr = rr[i], .nremoved = 8, .nadded = 8 };
	}
	p->step = step;
	p->nstep = 2;
}

static struct state *setup(void)
{
	static const uint8_t secret[] = "0123456789abcdef";
	struct state *s = calloc(1, sizeof(*s));

	if (!s)
		abort();
	s->tz = tz_new("example.", 2, 100, 0);
	give_steps(s->tz->pub);
	if (tsig_key_new("k.", "hmac-sha256", secret, 16, &s->key) != 0)
		abort();
	s->all = (struct acl_entry){ .name = "all", .any_addr = true };
	s->zone = (struct net_zone){ .name = s->tz->name, .pub = s->tz->pub, .upstream_left = INT64_MAX,
				     .transfer = { &s->all, 1 }, .notify = { &s->all, 1 } };
	s->env = (struct answer_env){ .ops = &ops, .ctx = s, .stats = &s->stats };
	if (cookies_init(&s->env.cookies, op_now(NULL)) != 0)
		abort();
	return s;
}

static void check_answer(const struct answer *out, bool tcp)
{
	struct msgr m;

	if (msgr_open(&m, out->buf, out->len) != 0 || !(m.flags & F_QR))
		abort();
	if (!tcp && out->len > UDP_ANSWER_MAX)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct state *s;
	static uint8_t buf[MSG_MAX];
	struct answer_peer peer = { .from = { .sa = { .sa_family = AF_INET } } };
	struct answer out = { .buf = buf };
	uint8_t *wire;

	if (!s)
		s = setup();
	if (len < 1 || len - 1 > MSG_MAX)
		return 0;
	wire = malloc(len); /* exact, and it is changed */
	if (!wire)
		return 0;
	memcpy(wire, data + 1, len - 1);
	peer.tcp = data[0] & 1;
	out.cap = peer.tcp ? MSG_MAX : UDP_BUF;
	switch (answer_query(&s->env, &peer, wire, len - 1, &out)) {
	case ANSWER_SEND:
		if (len < 4 || data[3] & 0x80)
			abort();
		check_answer(&out, peer.tcp);
		break;
	case ANSWER_XFR:
		xfr_request_clear(&out.xfr);
		break;
	case ANSWER_DROP:
		break;
	}
	free(wire);
	return 0;
}
