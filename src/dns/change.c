/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writes an RRset where it differs. The unsigned stored form of the new RRset is made in one buffer, used
 * again and again; behind the CRC it is, up to the signatures, octet for octet what an unchanged value holds,
 * so that comparing is one memcmp() and nothing is decoded. Records are only looked at one by one where
 * something changed, for the sums. Called by ixfr_apply.c and merge.c.
 */
#include <string.h>

#include "base/err.h"
#include "dns/change.h"
#include "dns/name.h"

#define VALUE_HEAD 5    /* format, CRC */
#define RECORD_FIXED 10 /* type, class, TTL, RDATA length */

void change_init(struct change *c, const uint8_t *zone, struct kv *after, struct intake *in)
{
	uint8_t okey[OKEY_MAX];

	*c = (struct change){ .after = after, .in = in, .enc = wr_growing(UINT32_MAX) };
	c->apex_ns_len = key_record(c->apex_ns, okey, name_okey(zone, okey), T_NS);
}

void change_end(struct change *c)
{
	wr_free(&c->enc);
}

/* The whole stored value but its signatures; they are the new value's last octet, a count of 0. */
static bool same_octets(const struct change *c, const struct kv_item *old, const struct rrval *v)
{
	const uint8_t *start = old->val + VALUE_HEAD;
	size_t len = (size_t)(v->rrs.end - start);

	return c->enc.len - VALUE_HEAD - 1 == len && memcmp(start, c->enc.p + VALUE_HEAD, len) == 0;
}

/* An RRset's old and new records side by side. */
struct sides {
	struct change *c;
	const struct rrset *set; /* NULL: none */
	uint16_t type;
	uint8_t owner[NAME_MAX_WIRE];
	size_t owner_len;
};

static int note_added(struct sides *s, const struct rr_item *it)
{
	struct change *c = s->c;
	struct rr rr = { .owner = s->set->owner, .type = s->type, .class = CLASS_IN, .ttl = it->ttl,
			 .rdata = it->data, .rdlen = it->len };

	c->sums.records_added++;
	c->sums.octets_added += s->owner_len + RECORD_FIXED + it->len;
	return c->in != NULL && intake_record(c->in, &rr) == INTAKE_DISCARD ? ZS_EPERM : 0;
}

static void note_deleted(struct sides *s, const struct rr_item *it)
{
	s->c->sums.records_deleted++;
	s->c->sums.octets_deleted += s->owner_len + RECORD_FIXED + it->len;
}

static bool item_same(const struct rr_item *a, const struct rr_item *b)
{
	return a->ttl == b->ttl && a->len == b->len && memcmp(a->data, b->data, a->len) == 0;
}

/* Both stand in canonical order. v: NULL when nothing was stored. */
static int count_records(struct sides *s, struct rrval *v)
{
	struct rr_item old;
	bool have = v != NULL && rrval_rr(v, &old);
	uint32_t i = 0, n = s->set != NULL ? s->set->nrr : 0;
	int err = 0;

	while (err == 0 && (have || i < n)) {
		const struct rr_item *it = i < n ? &s->set->rr[i] : NULL;
		int cmp = !have ? 1 : it == NULL ? -1 :
			  rdata_cmp_canonical(s->type, old.data, old.len, it->data, it->len);

		if (cmp < 0)
			note_deleted(s, &old);
		else if (cmp > 0)
			err = note_added(s, it);
		else if (!item_same(&old, it))
			s->c->sums.records_replaced++;
		if (cmp <= 0)
			have = rrval_rr(v, &old);
		if (cmp >= 0)
			i++;
	}
	return err;
}

static void count_rrset(struct change *c, const uint8_t *key, size_t klen, const struct rrset *set, bool old)
{
	bool cut = be16(key + klen - 2) == T_NS &&
		   !(klen == c->apex_ns_len && memcmp(key, c->apex_ns, klen) == 0);
	struct change_sums *s = &c->sums;

	if (set == NULL) {
		s->rrsets_deleted++;
		s->cuts_deleted += cut;
		return;
	}
	if (set->ttl > s->largest_ttl)
		s->largest_ttl = set->ttl;
	if (old) {
		s->rrsets_changed++;
		s->cuts_changed += cut;
	} else {
		s->rrsets_added++;
		s->cuts_added += cut;
	}
}

/* Before anything is written: afterwards old may be gone. */
static int count(struct change *c, const uint8_t *key, size_t klen, const struct rrset *set, struct rrval *v)
{
	struct sides s = { .c = c, .set = set };
	const uint8_t *okey;
	size_t olen;
	int err = key_record_split(key, klen, &okey, &olen, &s.type);

	if (err == 0)
		err = name_from_okey(okey, olen, s.owner, &s.owner_len);
	if (err != 0)
		return err;
	count_rrset(c, key, klen, set, v != NULL);
	return count_records(&s, v);
}

int change_set(struct change *c, const uint8_t *key, size_t klen, const struct rrset *set,
	       const struct kv_item *old)
{
	struct rrval v;
	int err = old != NULL ? rrval_open(&v, old->val, old->vlen) : 0;

	if (err != 0)
		return err;
	if (set != NULL && set->nrr == 0)
		set = NULL;
	if (set == NULL && old == NULL)
		return 0;
	if (set != NULL) {
		c->enc.len = 0;
		rrset_encode(set, &c->enc);
		if (c->enc.err != 0)
			return c->enc.err;
		if (old != NULL && same_octets(c, old, &v))
			return 0;
	}
	err = count(c, key, klen, set, old != NULL ? &v : NULL);
	if (err != 0)
		return err;
	return set != NULL ? kv_put(c->after, key, klen, c->enc.p, c->enc.len) : kv_del(c->after, key, klen);
}
