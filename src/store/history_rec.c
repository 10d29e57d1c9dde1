/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Records of history: what they are made from, in which order they stand, what a reader gets of them. A
 * record names its RRset by the key it has in the store, so that order is memcmp and NSEC3 owners take 20
 * octets.
 * Called by the rest of history.
 */
#include "history_priv.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/served.h"

#define HSET_MIN 16

/* Intake drops every SOA but the apex's, so the type alone tells. */
bool hrec_is_soa(const struct hrec *r)
{
	return !r->sig && r->klen >= 4 && r->key[0] == TAB_RECORDS && be16(r->key + r->klen - 2) == T_SOA;
}

static int owner_cmp(const uint8_t *a, const uint8_t *b)
{
	size_t n;

	if (!a || !b)
		return (a != NULL) - (b != NULL);
	n = name_len(a);
	if (n != name_len(b))
		return n < name_len(b) ? -1 : 1;
	return memcmp(a, b, n);
}

int hrec_cmp(const struct hrec *a, const struct hrec *b)
{
	int c = (int)hrec_is_soa(b) - (int)hrec_is_soa(a);

	if (c == 0)
		c = okey_cmp(a->key, a->klen, b->key, b->klen);
	if (c == 0)
		c = (int)a->sig - (int)b->sig;
	if (c == 0)
		c = owner_cmp(a->owner, b->owner);
	if (c == 0)
		c = (a->ttl > b->ttl) - (a->ttl < b->ttl);
	return c ? c : rdata_cmp(a->rdata, a->rdlen, b->rdata, b->rdlen);
}

static int hrec_cmp_void(const void *a, const void *b)
{
	return hrec_cmp(a, b);
}

void hset_free(struct hset *s)
{
	free(s->rec);
	*s = (struct hset){ 0 };
}

static int hset_push(struct hset *s, const struct hrec *r)
{
	size_t cap = s->cap ? s->cap * 2 : HSET_MIN;
	struct hrec *p;

	if (s->n == s->cap) {
		p = realloc(s->rec, cap * sizeof *p);
		if (!p)
			return ZS_ENOMEM;
		s->rec = p;
		s->cap = cap;
	}
	s->rec[s->n++] = *r;
	return 0;
}

/* As received: each with its own TTL, duplicates too; ours and signatures are not upstream's. */
static int fill_upstream(struct hset *s, struct rrval *v, struct hrec r)
{
	struct rr_item item;
	int rc = 0;

	if (v->flags & RRV_OURS || r.key[0] != TAB_RECORDS)
		return 0;
	while (!rc && rrval_rr(v, &item)) {
		r.ttl = item.ttl;
		r.rdata = item.data;
		r.rdlen = item.len;
		rc = hset_push(s, &r);
	}
	return rc;
}

static int fill_served(struct hset *s, struct rrval *v, uint16_t type, struct hrec r)
{
	struct rr rr;
	int rc = 0;

	while (!rc && served_next(v, type, &rr, &r.sig)) {
		if (type == T_SOA && !r.sig)
			continue;
		r.ttl = rr.ttl;
		r.rdata = rr.rdata;
		r.rdlen = rr.rdlen;
		rc = hset_push(s, &r);
	}
	return rc;
}

int hset_fill(struct hset *s, enum history_table table, const uint8_t *key, size_t klen, const uint8_t *val,
	      size_t vlen)
{
	struct hrec r = { .key = key, .klen = (uint16_t)klen };
	struct rrval v;
	uint16_t type;
	int rc;

	s->n = 0;
	if (!val)
		return 0;
	if (klen > KEY_MAX)
		return ZS_EFORMAT;
	rc = served_type(key, klen, &type);
	if (!rc)
		rc = rrval_open(&v, val, vlen);
	if (rc)
		return rc;
	r.owner = v.owner;
	if (table == HISTORY_SERVED)
		rc = fill_served(s, &v, type, r);
	else if (type != T_SOA)
		rc = fill_upstream(s, &v, r);
	if (!rc && s->n > 1)
		qsort(s->rec, s->n, sizeof *s->rec, hrec_cmp_void);
	return rc;
}

void hrec_keep(struct hrec_copy *c, const struct hrec *r)
{
	c->rec = *r;
	memcpy(c->key, r->key, r->klen);
	c->rec.key = c->key;
	if (r->owner) {
		memcpy(c->owner, r->owner, name_len(r->owner));
		c->rec.owner = c->owner;
	}
	if (r->rdlen)
		memcpy(c->rdata, r->rdata, r->rdlen);
	c->rec.rdata = c->rdata;
}

int hrec_rr(const struct hrec *r, const uint8_t *zone, uint8_t owner[static NAME_MAX_WIRE], struct rr *out)
{
	uint16_t type;
	int rc = r->owner ? served_type(r->key, r->klen, &type)
			  : served_key(zone, r->key, r->klen, owner, &type);

	if (rc)
		return rc;
	*out = (struct rr){ .owner = r->owner ? r->owner : owner, .type = r->sig ? T_RRSIG : type,
			    .class = CLASS_IN, .ttl = r->ttl, .rdata = r->rdata, .rdlen = r->rdlen };
	return 0;
}

int hrec_octets(const struct hrec *r, const uint8_t *zone, uint64_t *sum)
{
	uint8_t owner[NAME_MAX_WIRE];
	struct rr rr;
	int rc = hrec_rr(r, zone, owner, &rr);

	if (!rc)
		*sum += name_len(rr.owner) + 10u + rr.rdlen;
	return rc;
}
