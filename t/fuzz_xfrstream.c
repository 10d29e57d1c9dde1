/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a primary may send: first octet: 1 = the answer to an IXFR query, 2 = to a signed one; then messages
 * behind their two-octet lengths. Whatever it is, the parser ends, and says "whole" only to a stream with the
 * same SOA first and last.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"
#include "net_rig.h"
#include "xfrparse.h"

struct seen {
	unsigned soas, records;
	bool ended;
};

static int on_rr(void *ctx, const struct rr *rr)
{
	struct seen *s = ctx;

	if (s->ended || name_len(rr->owner) > NAME_MAX_WIRE)
		abort();
	s->records++;
	s->soas += rr->type == T_SOA;
	return 0;
}

static void feed(struct xfrp *p, const uint8_t *data, size_t len, struct seen *s)
{
	struct rd r = rd_init(data, len);

	while (rd_left(&r) >= 2) {
		uint16_t n = rd_u16(&r);
		const uint8_t *m = rd_bytes(&r, n);
		uint8_t *copy;
		int err;

		if (!m)
			return;
		copy = malloc(n > 0 ? n : 1); /* exact, and it is changed */
		if (!copy)
			return;
		memcpy(copy, m, n);
		err = xfrp_message(p, copy, n);
		free(copy);
		s->ended = xfrp_ended(p);
		if (err != 0)
			return;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t secret[] = "0123456789abcdef", zone[] = "\007example";
	static struct tsig_key *key;
	struct xfrp *p = calloc(1, sizeof(*p));
	struct seen s = { 0 };
	uint8_t query[512] = { 0 };
	size_t qlen = MSG_HEADER;

	if (!p || (!key && tsig_key_new("k.", "hmac-sha256", secret, 16, &key) != 0))
		abort();
	if (len == 0)
		goto out;
	memcpy(p->zone, zone, sizeof(zone));
	p->id = 0x1234;
	p->qtype = data[0] & 1 ? T_IXFR : T_AXFR;
	p->ixfr_serial = 99;
	p->max_octets = 1 << 20;
	p->on_rr = on_rr;
	p->ctx = &s;
	if (data[0] & 2) {
		p->tsig = tsig_new(key);
		if (!p->tsig || tsig_sign_query(p->tsig, query, &qlen, sizeof(query)) != 0)
			abort();
	}
	xfrp_init(p);
	feed(p, data + 1, len - 1, &s);
	if (xfrp_ended(p) && (s.records == 0 || (p->res.kind != XFR_UPTODATE && s.soas < 2)))
		abort();
out:
	tsig_free(p->tsig);
	free(p);
	return 0;
}
