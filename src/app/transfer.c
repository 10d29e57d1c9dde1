/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records of a transfer on their way into the sort. Runs on a worker while the transfer runs. */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "dns/schema.h"
#include "transfer.h"

int transfer_add(struct transfer *t, const struct rr *rr, uint8_t flags)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX], lower[NAME_MAX_WIRE];
	size_t n = name_len(rr->owner), klen = key_record(key, okey, name_okey(rr->owner, okey), rr->type);
	struct wr *w = &t->scratch;

	name_copy_lower(lower, rr->owner);
	w->len = 0;
	wr_u8(w, flags);
	wr_u32(w, rr->ttl > INT32_MAX ? 0 : rr->ttl); /* RFC 2181 8 */
	if (memcmp(lower, rr->owner, n) == 0) {
		wr_u8(w, 0);
	} else {
		wr_u8(w, (uint8_t)n);
		wr_bytes(w, rr->owner, n);
	}
	wr_bytes(w, rr->rdata, rr->rdlen);
	if (w->err)
		return w->err;
	return extsort_add(t->sort, key, klen, w->p, w->len);
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	extsort_free(t->sort);
	wr_free(&t->scratch);
	free(t);
}
