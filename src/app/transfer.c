/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Records of a transfer on their way into the sort, and its SOA as we publish it. Workers. */
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

int transfer_take(struct transfer *t, const struct rr *rr)
{
	switch (intake_record(&t->intake, rr)) {
	case INTAKE_KEEP:
		return transfer_add(t, rr, 0);
	case INTAKE_ASIDE:
		return transfer_add(t, rr, TRANSFER_ASIDE);
	case INTAKE_DROP:
		return 0;
	default:
		return ZS_EHELD;
	}
}

int transfer_take_soa(struct transfer *t, const struct rr *rr)
{
	int err = soa_read(rr->rdata, rr->rdlen, &t->soa_fields);

	if (err || rr->rdlen > sizeof(t->soa))
		return ZS_EFORMAT;
	t->have_soa = true;
	memcpy(t->soa, rr->rdata, rr->rdlen);
	t->soa_len = rr->rdlen;
	t->soa_ttl = rr->ttl;
	memcpy(t->soa_owner, rr->owner, name_len(rr->owner));
	return intake_record(&t->intake, rr) == INTAKE_DISCARD ? ZS_EFORMAT : 0;
}

int transfer_soa(const struct transfer *t, uint32_t serial, int64_t expire_most, struct arena *mem,
		 struct rrset *set)
{
	uint8_t *rdata = arena_dup(mem, t->soa, t->soa_len), lower[NAME_MAX_WIRE];

	memset(set, 0, sizeof(*set));
	set->type = T_SOA;
	set->ttl = t->soa_ttl;
	set->nrr = 1;
	set->rr = arena_zalloc(mem, sizeof(*set->rr));
	set->owner = arena_dup(mem, t->soa_owner, name_len(t->soa_owner));
	if (!set->rr || !rdata || !set->owner)
		return ZS_ENOMEM;
	name_copy_lower(lower, t->soa_owner);
	if (memcmp(lower, t->soa_owner, name_len(lower)) != 0)
		set->flags |= RRV_OWNER;
	soa_set_serial(rdata, t->soa_len, serial);
	if (expire_most && t->soa_fields.expire > expire_most)
		soa_set_expire(rdata, t->soa_len, (uint32_t)expire_most);
	*set->rr = (struct rr_item){ .ttl = t->soa_ttl, .len = t->soa_len, .data = rdata };
	return 0;
}

void transfer_free(struct transfer *t)
{
	if (!t)
		return;
	extsort_free(t->sort);
	ixfr_free(t->ixfr);
	wr_free(&t->scratch);
	free(t);
}
