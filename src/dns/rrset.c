/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RRsets and their stored form. A stored value is trusted for nothing: its CRC comes first, then every
 * length; what rrval_open() has walked once, rrval_rr() and rrval_sig() read without looking again.
 * Encoding writes into space of known size. Order of records: canonical RDATA, then octets as stored, then
 * TTL, so that the same content has the same stored form in whatever order it came.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/rrset.h"

#define RRV_KNOWN (RRV_OWNER | RRV_SRC | RRV_DUP | RRV_TTLS | RRV_OURS)
#define RRVAL_HEAD 5    /* format, CRC */
#define RRVAL_ITEM 7    /* in front of each record's RDATA */

/* A record while it is sorted. */
struct sorting {
	const uint8_t *canon;
	struct rr_item item;
};

static int sorting_cmp(const void *x, const void *y)
{
	const struct sorting *a = x, *b = y;
	int c = rdata_cmp(a->canon, a->item.len, b->canon, b->item.len);

	if (c == 0)
		c = rdata_cmp(a->item.data, a->item.len, b->item.data, b->item.len);
	if (c == 0)
		c = (a->item.ttl > b->item.ttl) - (a->item.ttl < b->item.ttl);
	return c;
}

/* Canonical RDATA of each record: the record's own octets, where folding changes nothing of them. */
static int sorting_fill(struct sorting *s, const struct rrset *set, struct arena *scratch)
{
	bool folds = rdata_folds_case(set->type);

	for (uint32_t i = 0; i < set->nrr; i++) {
		s[i].item = set->rr[i];
		s[i].canon = set->rr[i].data;
		if (folds) {
			uint8_t *copy = arena_alloc(scratch, set->rr[i].len);

			if (copy == NULL)
				return ZS_ENOMEM;
			rdata_canonical(set->type, set->rr[i].data, set->rr[i].len, copy);
			s[i].canon = copy;
		}
	}
	return 0;
}

static bool sorting_is_sorted(const struct sorting *s, uint32_t n)
{
	for (uint32_t i = 1; i < n; i++)
		if (sorting_cmp(&s[i - 1], &s[i]) > 0)
			return false;
	return true;
}

int rrset_normalise(struct rrset *set, struct arena *scratch)
{
	struct sorting *s;
	int err;

	if (set->nrr > RRSET_RECORDS_MAX)
		return ZS_ELIMIT;
	set->flags &= (uint8_t)~(RRV_DUP | RRV_TTLS);
	if (set->nrr == 0)
		return ZS_EINVAL;
	if (set->nrr == 1) {
		set->rr[0].flags &= (uint8_t)~RRI_DUP;
		set->ttl = set->rr[0].ttl;
		return 0;
	}
	s = arena_alloc(scratch, set->nrr * sizeof(*s));
	if (s == NULL)
		return ZS_ENOMEM;
	err = sorting_fill(s, set, scratch);
	if (err != 0)
		return err;
	if (!sorting_is_sorted(s, set->nrr))
		qsort(s, set->nrr, sizeof(*s), sorting_cmp);
	set->ttl = s[0].item.ttl;
	for (uint32_t i = 0; i < set->nrr; i++) {
		struct rr_item *rr = &set->rr[i];

		*rr = s[i].item;
		rr->flags &= (uint8_t)~RRI_DUP;
		if (i > 0 && rdata_cmp(s[i - 1].canon, s[i - 1].item.len, s[i].canon, s[i].item.len) == 0) {
			rr->flags |= RRI_DUP;
			set->flags |= RRV_DUP;
		}
		if (rr->ttl != s[0].item.ttl)
			set->flags |= RRV_TTLS;
		if (rr->ttl < set->ttl)
			set->ttl = rr->ttl;
	}
	return 0;
}

static size_t encoded_size(const struct rrset *set, size_t owner_len)
{
	size_t n = RRVAL_HEAD + 1 + 4 + 2 + 1;

	if (owner_len > 0)
		n += 1 + owner_len;
	if (set->flags & RRV_SRC)
		n += 2 + (size_t)set->src_len;
	for (uint32_t i = 0; i < set->nrr; i++)
		n += RRVAL_ITEM + (size_t)set->rr[i].len;
	for (unsigned i = 0; i < set->nsig; i++)
		n += 2 + (size_t)set->sig[i].len;
	return set->nsig > 0 ? n + 16 : n;
}

static inline uint8_t *put_octets(uint8_t *p, const uint8_t *src, size_t len)
{
	if (len > 0)
		memcpy(p, src, len);
	return p + len;
}

static uint8_t *encode_records(uint8_t *p, const struct rrset *set)
{
	put_be16(p, (uint16_t)set->nrr);
	p += 2;
	for (uint32_t i = 0; i < set->nrr; i++) {
		const struct rr_item *rr = &set->rr[i];

		put_be32(p, rr->ttl);
		p[4] = rr->flags;
		put_be16(p + 5, rr->len);
		p = put_octets(p + RRVAL_ITEM, rr->data, rr->len);
	}
	return p;
}

static uint8_t *encode_signatures(uint8_t *p, const struct rrset *set)
{
	*p++ = set->nsig;
	for (unsigned i = 0; i < set->nsig; i++) {
		put_be16(p, set->sig[i].len);
		p = put_octets(p + 2, set->sig[i].data, set->sig[i].len);
	}
	if (set->nsig > 0) {
		put_be64(p, set->exp_time);
		put_be64(p + 8, set->exp_seq);
		p += 16;
	}
	return p;
}

/* Length of an owner that has to be stored: it holds a capital. 0 otherwise. */
static size_t owner_to_store(const uint8_t *owner)
{
	size_t n = owner != NULL ? name_len(owner) : 0;

	for (size_t i = 0; i < n; i++)
		if ((uint8_t)(owner[i] - 'A') < 26)
			return n;
	return 0;
}

void rrset_encode(const struct rrset *set, struct wr *out)
{
	size_t owner_len = owner_to_store(set->owner);
	size_t size = encoded_size(set, owner_len);
	uint8_t flags = set->flags & (uint8_t)~RRV_OWNER;
	uint8_t *start, *p;

	if (set->nrr == 0 || set->nrr > RRSET_RECORDS_MAX || set->nsig > RRSET_SIGS_MAX) {
		if (out->err == 0)
			out->err = ZS_EINVAL;
		return;
	}
	start = wr_space(out, size);
	if (start == NULL)
		return;
	start[0] = RRV_FORMAT;
	p = start + RRVAL_HEAD;
	*p++ = owner_len > 0 ? flags | RRV_OWNER : flags;
	put_be32(p, set->ttl);
	p += 4;
	if (owner_len > 0) {
		*p++ = (uint8_t)owner_len;
		p = put_octets(p, set->owner, owner_len);
	}
	if (flags & RRV_SRC) {
		put_be16(p, set->src_len);
		p = put_octets(p + 2, set->src, set->src_len);
	}
	p = encode_records(p, set);
	p = encode_signatures(p, set);
	put_be32(start + 1, crc32c(0, start + RRVAL_HEAD, (size_t)(p - start) - RRVAL_HEAD));
}

/* The optional fields between TTL and records. */
static int open_head(struct rrval *v, struct rd *r)
{
	v->flags = rd_u8(r);
	v->ttl = rd_u32(r);
	if (v->flags & ~RRV_KNOWN)
		return ZS_EFORMAT;
	if (v->flags & RRV_OWNER) {
		uint8_t n = rd_u8(r);

		v->owner = rd_bytes(r, n);
		if (v->owner == NULL || name_check(v->owner, n) != 0)
			return ZS_EFORMAT;
	}
	if (v->flags & RRV_SRC) {
		v->src_len = rd_u16(r);
		v->src = rd_bytes(r, v->src_len);
		if (v->src == NULL || v->src_len > OKEY_MAX)
			return ZS_EFORMAT;
	}
	return r->err != 0 ? ZS_EFORMAT : 0;
}

static int open_records(struct rrval *v, struct rd *r)
{
	const uint8_t *p;

	v->nrr = rd_u16(r);
	if (v->nrr == 0)
		return ZS_EFORMAT;
	v->rrs = rd_init(r->p, 0);
	p = r->p;
	for (uint32_t i = 0; i < v->nrr; i++) {
		size_t left = (size_t)(r->end - p);

		if (left < RRVAL_ITEM || left - RRVAL_ITEM < be16(p + 5))
			return ZS_EFORMAT;
		p += RRVAL_ITEM + be16(p + 5);
	}
	v->rrs.end = r->p = p;
	return 0;
}

static int open_signatures(struct rrval *v, struct rd *r)
{
	v->nsig = rd_u8(r);
	if (v->nsig > RRSET_SIGS_MAX)
		return ZS_EFORMAT;
	v->sigs = rd_init(r->p, 0);
	for (unsigned i = 0; i < v->nsig; i++)
		rd_bytes(r, rd_u16(r));
	v->sigs.end = r->p;
	if (v->nsig > 0) {
		v->exp_time = rd_u64(r);
		v->exp_seq = rd_u64(r);
	}
	return rd_done(r) != 0 ? ZS_EFORMAT : 0;
}

int rrval_open(struct rrval *v, const uint8_t *val, size_t vlen)
{
	struct rrval got = { 0 };
	struct rd r;
	int err;

	if (vlen < RRVAL_HEAD)
		return ZS_EFORMAT;
	if (val[0] != RRV_FORMAT)
		return ZS_EVERSION;
	if (crc32c(0, val + RRVAL_HEAD, vlen - RRVAL_HEAD) != be32(val + 1))
		return ZS_ECRC;
	r = rd_init(val + RRVAL_HEAD, vlen - RRVAL_HEAD);
	err = open_head(&got, &r);
	if (err == 0)
		err = open_records(&got, &r);
	if (err == 0)
		err = open_signatures(&got, &r);
	if (err == 0)
		*v = got;
	return err;
}

bool rrval_rr(struct rrval *v, struct rr_item *out)
{
	const uint8_t *p = v->rrs.p;

	if (p == v->rrs.end)
		return false;
	*out = (struct rr_item){ .ttl = be32(p), .flags = p[4], .len = be16(p + 5), .data = p + RRVAL_ITEM };
	v->rrs.p = p + RRVAL_ITEM + out->len;
	return true;
}

bool rrval_sig(struct rrval *v, struct sig_item *out)
{
	const uint8_t *p = v->sigs.p;

	if (p == v->sigs.end)
		return false;
	*out = (struct sig_item){ .len = be16(p), .data = p + 2 };
	v->sigs.p = p + 2 + out->len;
	return true;
}

int rrset_decode(struct rrset *out, uint16_t type, const uint8_t *owner_lower, const uint8_t *val,
		 size_t vlen, struct arena *mem)
{
	struct rrset set = { .type = type, .owner = owner_lower };
	struct rrval v;
	int err = rrval_open(&v, val, vlen);

	if (err != 0)
		return err;
	if (v.owner != NULL) {
		if (owner_lower != NULL && !name_eq(v.owner, owner_lower))
			return ZS_EFORMAT; /* a value under another owner's key */
		set.owner = v.owner;
	}
	set.ttl = v.ttl;
	set.flags = v.flags;
	set.nrr = v.nrr;
	set.nsig = v.nsig;
	set.src = v.src;
	set.src_len = v.src_len;
	set.exp_time = v.exp_time;
	set.exp_seq = v.exp_seq;
	set.rr = arena_alloc(mem, v.nrr * sizeof(*set.rr));
	set.sig = arena_alloc(mem, v.nsig * sizeof(*set.sig));
	if (set.rr == NULL || set.sig == NULL)
		return ZS_ENOMEM;
	for (uint32_t i = 0; i < v.nrr; i++)
		rrval_rr(&v, &set.rr[i]);
	for (unsigned i = 0; i < v.nsig; i++)
		rrval_sig(&v, &set.sig[i]);
	*out = set;
	return 0;
}

/* Index of the first record at or behind i that is no duplicate; nrr at the end. */
static uint32_t skip_duplicates(const struct rrset *set, uint32_t i)
{
	while (i < set->nrr && (set->rr[i].flags & RRI_DUP))
		i++;
	return i;
}

bool rrset_same_content(const struct rrset *a, const struct rrset *b)
{
	const struct rr_item *x, *y;
	uint32_t i = 0, k = 0;

	if (a->type != b->type || a->ttl != b->ttl)
		return false;
	for (;;) {
		i = skip_duplicates(a, i);
		k = skip_duplicates(b, k);
		if (i == a->nrr || k == b->nrr)
			return i == a->nrr && k == b->nrr;
		x = &a->rr[i++];
		y = &b->rr[k++];
		if (rdata_cmp_canonical(a->type, x->data, x->len, y->data, y->len) != 0)
			return false;
	}
}

int rrset_canonical(const struct rrset *set, struct wr *out, struct arena *scratch)
{
	uint8_t head[NAME_MAX_WIRE + 8];
	size_t n = name_len(set->owner);

	(void)scratch; /* the canonical RDATA is made where it goes */
	name_copy_lower(head, set->owner);
	put_be16(head + n, set->type);
	put_be16(head + n + 2, CLASS_IN);
	put_be32(head + n + 4, set->ttl);
	n += 8;
	for (uint32_t i = 0; i < set->nrr; i++) {
		const struct rr_item *rr = &set->rr[i];
		uint8_t *p;

		if (rr->flags & RRI_DUP)
			continue;
		p = wr_space(out, n + 2 + rr->len);
		if (p == NULL)
			break;
		memcpy(p, head, n);
		put_be16(p + n, rr->len);
		rdata_canonical(set->type, rr->data, rr->len, p + n + 2);
	}
	return out->err;
}
