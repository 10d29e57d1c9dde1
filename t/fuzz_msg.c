/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Any message: read it; what was read is written again, and that must read back as the same records. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/msg.h"
#include "dns/tsig.h"
#include "fuzz.h"

struct buffers {
	uint8_t owner[2][NAME_MAX_WIRE], rdata[2][RDATA_MAX], wire[MSG_MAX];
	uint8_t canon[2][RDATA_MAX];
	struct msgw w;
};

static void check(int good)
{
	if (!good)
		abort();
}

static void same_record(struct buffers *b, const struct rr *x, const struct rr *y)
{
	check(x->type == y->type && x->class == y->class && x->ttl == y->ttl && x->rdlen == y->rdlen);
	check(memcmp(x->owner, y->owner, name_len(x->owner)) == 0);
	check(memcmp(x->rdata, y->rdata, x->rdlen) == 0);
	check(rdata_check(x->type, x->rdata, x->rdlen) == 0);
	rdata_canonical(x->type, x->rdata, x->rdlen, b->canon[0]);
	check(rdata_check(x->type, b->canon[0], x->rdlen) == 0);
	rdata_canonical(x->type, b->canon[0], x->rdlen, b->canon[1]);
	check(memcmp(b->canon[0], b->canon[1], x->rdlen) == 0);
	check(rdata_cmp_canonical(x->type, x->rdata, x->rdlen, b->canon[0], x->rdlen) == 0);
}

/* Writes the records of m until one does not fit. How many were written. */
static unsigned rewrite(struct buffers *b, struct msgr m)
{
	unsigned n = 0;
	struct rr rr;
	int section;

	msgw_init(&b->w, b->wire, sizeof(b->wire), m.id, m.flags);
	while (msgr_rr(&m, &rr, &section, b->owner[0], b->rdata[0]) == 0) {
		if (msgw_rr(&b->w, section, &rr) != 0)
			break;
		n++;
	}
	return n;
}

static void try_tsig(const struct msgr *m, uint8_t *copy, size_t len)
{
	static const uint8_t secret[] = "secret";
	uint8_t name[NAME_MAX_WIRE];
	struct tsig_key *key = NULL;
	struct tsig *t;
	uint16_t rcode;

	if (m->tsig_pos == 0 || tsig_query_key(copy, len, m->tsig_pos, name) != 0)
		return;
	if (tsig_key_new("k.", "hmac-sha256", secret, sizeof(secret), &key) != 0)
		return;
	t = tsig_new(key);
	check(t != NULL && tsig_verify_query(t, copy, &len, m->tsig_pos, &rcode) != 0);
	tsig_free(t);
	tsig_key_free(key);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct buffers *b = malloc(sizeof(*b));
	struct msgr m, again;
	struct rr x, y;
	int section[2];
	uint8_t *copy;

	if (b == NULL || msgr_open(&m, data, len) != 0)
		goto out;
	copy = malloc(len);
	if (copy != NULL) {
		memcpy(copy, data, len);
		try_tsig(&m, copy, len);
	}
	free(copy);
	unsigned n = rewrite(b, m);
	check(msgr_open(&again, b->wire, b->w.len) == 0);
	for (; n > 0; n--) {
		check(msgr_rr(&m, &x, &section[0], b->owner[0], b->rdata[0]) == 0);
		check(msgr_rr(&again, &y, &section[1], b->owner[1], b->rdata[1]) == 0);
		check(section[0] == section[1]);
		same_record(b, &x, &y);
	}
	check(msgr_rr(&again, &y, &section[1], b->owner[1], b->rdata[1]) == ZS_ENOENT);
out:
	free(b);
	return 0;
}
