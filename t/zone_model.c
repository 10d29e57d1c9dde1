/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The model of zones: everything by linear search over a list. Anything unexpected aborts. */
#include "zone_model.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

static void must(int good)
{
	if (!good)
		abort();
}

static void set_data(struct model_rec *r, const struct rr *rr)
{
	uint8_t *data = malloc(rr->rdlen + 1u);

	must(data != NULL);
	memcpy(data, rr->rdata, rr->rdlen);
	free(r->data);
	r->data = data;
	r->len = rr->rdlen;
	r->ttl = rr->ttl;
}

void model_free(struct model *m)
{
	for (size_t i = 0; i < m->n; i++)
		free(m->rec[i].data);
	free(m->rec);
	*m = (struct model){ 0 };
}

void model_push(struct model *m, const struct rr *rr)
{
	struct model_rec r = { .type = rr->type }; /* rr may be of m itself */

	memcpy(r.owner, rr->owner, name_len(rr->owner));
	set_data(&r, rr);
	if (m->n == m->cap) {
		m->cap = m->cap > 0 ? m->cap * 2 : 16;
		m->rec = realloc(m->rec, m->cap * sizeof(r));
		must(m->rec != NULL);
	}
	m->rec[m->n++] = r;
}

struct rr model_rr(const struct model *m, size_t i)
{
	const struct model_rec *r = &m->rec[i];

	return (struct rr){ .owner = r->owner, .type = r->type, .class = CLASS_IN, .ttl = r->ttl,
			    .rdata = r->data, .rdlen = r->len };
}

struct model model_copy(const struct model *m)
{
	struct model c = { 0 };

	for (size_t i = 0; i < m->n; i++) {
		struct rr rr = model_rr(m, i);

		model_push(&c, &rr);
	}
	return c;
}

static bool same_set(const struct model_rec *r, const struct rr *rr)
{
	return r->type == rr->type && name_eq(r->owner, rr->owner);
}

size_t model_find(const struct model *m, const struct rr *rr)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (same_set(&m->rec[i], rr) &&
		    rdata_cmp_canonical(rr->type, m->rec[i].data, m->rec[i].len, rr->rdata, rr->rdlen) == 0)
			break;
	return i;
}

bool model_has(const struct model *m, const struct rr *rr)
{
	size_t i = model_find(m, rr);
	const struct model_rec *r = &m->rec[i];

	return i < m->n && r->ttl == rr->ttl && memcmp(r->data, rr->rdata, rr->rdlen) == 0 &&
	       memcmp(r->owner, rr->owner, name_len(rr->owner)) == 0;
}

bool model_del(struct model *m, const struct rr *rr)
{
	size_t i = model_find(m, rr);

	if (i == m->n)
		return false;
	free(m->rec[i].data);
	memmove(&m->rec[i], &m->rec[i + 1], (m->n - i - 1) * sizeof(m->rec[0]));
	m->n--;
	return true;
}

bool model_add(struct model *m, const struct rr *rr)
{
	size_t i = model_find(m, rr);

	if (i < m->n && model_has(m, rr))
		return false;
	if (i < m->n)
		set_data(&m->rec[i], rr);
	else
		model_push(m, rr);
	for (i = 0; i < m->n; i++)
		if (same_set(&m->rec[i], rr))
			memcpy(m->rec[i].owner, rr->owner, name_len(rr->owner));
	return true;
}

/* --- in order ------------------------------------------------------------------------------------------- */

struct placed { uint8_t key[KEY_MAX]; size_t klen; const struct model_rec *rec; };

static int placed_cmp(const void *x, const void *y)
{
	const struct placed *a = x, *b = y;
	int c = okey_cmp(a->key, a->klen, b->key, b->klen);

	return c != 0 ? c : (a->rec > b->rec) - (a->rec < b->rec);
}

static int give_set(const struct placed *p, size_t n, uint8_t nsig,
		    int (*f)(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set), void *ctx)
{
	static const struct sig_item sig = { .len = 3, .data = (const uint8_t *)"sig" };
	struct arena *mem = arena_new(0);
	struct rrset set = { .owner = p[n - 1].rec->owner, .type = p->rec->type, .nrr = (uint32_t)n };
	struct sig_item sigs[RRSET_SIGS_MAX];
	int err;

	set.rr = arena_alloc(mem, n * sizeof(*set.rr));
	must(set.rr != NULL);
	for (size_t i = 0; i < n; i++)
		set.rr[i] = (struct rr_item){ .ttl = p[i].rec->ttl, .len = p[i].rec->len,
					      .data = p[i].rec->data };
	for (unsigned i = 0; i < nsig; i++)
		sigs[i] = sig;
	must(rrset_normalise(&set, mem) == 0);
	set.nsig = nsig;
	set.sig = sigs;
	err = f(ctx, p->key, p->klen, &set);
	arena_free(mem);
	return err;
}

int model_each(const struct model *m, uint8_t nsig,
	       int (*f)(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set), void *ctx)
{
	struct placed *p = calloc(m->n + 1, sizeof(*p));
	size_t first = 0;
	int err = 0;

	must(p != NULL);
	for (size_t i = 0; i < m->n; i++) {
		uint8_t okey[OKEY_MAX];

		p[i].rec = &m->rec[i];
		p[i].klen = key_record(p[i].key, okey, name_okey(m->rec[i].owner, okey), m->rec[i].type);
	}
	qsort(p, m->n, sizeof(*p), placed_cmp);
	for (size_t i = 1; err == 0 && i <= m->n; i++) {
		if (i < m->n && okey_cmp(p[i].key, p[i].klen, p[first].key, p[first].klen) == 0)
			continue;
		err = give_set(p + first, i - first, nsig, f, ctx);
		first = i;
	}
	free(p);
	return err;
}

static int put_set(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set)
{
	struct wr w = wr_growing(64 << 20);
	int err;

	rrset_encode(set, &w);
	must(w.err == 0);
	err = kv_put(ctx, key, klen, w.p, w.len);
	wr_free(&w);
	return err;
}

void model_put(const struct model *m, struct kv *kv, uint8_t nsig)
{
	must(model_each(m, nsig, put_set, kv) == 0);
}

/* --- maps ----------------------------------------------------------------------------------------------- */

void map_copy(struct kv *to, struct kv *from)
{
	struct kv_item it;
	int err;

	for (err = kv_seek(from, "", 0, &it); err == 0; err = kv_next(from, &it))
		must(kv_put(to, it.key, it.klen, it.val, it.vlen) == 0);
	must(err == ZS_ENOENT);
}

bool map_equal(struct kv *a, struct kv *b)
{
	struct kv_item x, y;
	int ea = kv_seek(a, "", 0, &x), eb = kv_seek(b, "", 0, &y);

	while (ea == 0 && eb == 0) {
		if (okey_cmp(x.key, x.klen, y.key, y.klen) != 0 ||
		    okey_cmp(x.val, x.vlen, y.val, y.vlen) != 0)
			return false;
		ea = kv_next(a, &x);
		eb = kv_next(b, &y);
	}
	return ea == ZS_ENOENT && eb == ZS_ENOENT;
}

struct expecting { struct kv *base, *out; };

/* Equal content is told apart by decoding, not by octets: this is not how the code under test does it. */
static bool is_same(const struct kv_item *it, const struct rrset *set)
{
	struct arena *mem = arena_new(0);
	uint8_t lower[NAME_MAX_WIRE];
	struct rrset old;
	bool same;

	name_copy_lower(lower, set->owner);
	must(rrset_decode(&old, set->type, lower, it->val, it->vlen, mem) == 0);
	same = old.ttl == set->ttl && old.nrr == set->nrr &&
	       memcmp(old.owner, set->owner, name_len(set->owner)) == 0;
	for (uint32_t i = 0; same && i < set->nrr; i++)
		same = old.rr[i].ttl == set->rr[i].ttl && old.rr[i].len == set->rr[i].len &&
		       memcmp(old.rr[i].data, set->rr[i].data, set->rr[i].len) == 0;
	arena_free(mem);
	return same;
}

static int expect_set(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set)
{
	struct expecting *e = ctx;
	struct kv_item it;

	if (kv_get(e->base, key, klen, &it) == 0 && is_same(&it, set))
		return kv_put(e->out, key, klen, it.val, it.vlen);
	return put_set(e->out, key, klen, set);
}

void model_expect(const struct model *m, struct kv *base, struct kv *out, const uint8_t *zone)
{
	struct expecting e = { base, out };
	uint8_t okey[OKEY_MAX], soa[KEY_MAX];
	size_t soa_len = key_record(soa, okey, name_okey(zone, okey), T_SOA);
	struct kv_item it;

	must(model_each(m, 0, expect_set, &e) == 0);
	for (int err = kv_seek(base, "", 0, &it); err == 0; err = kv_next(base, &it)) {
		bool ours = it.key[0] == TAB_RECORDS && it.vlen > 5 && it.val[5] & RRV_OURS;

		if (it.key[0] != TAB_RECORDS || ours ||
		    (it.klen == soa_len && memcmp(it.key, soa, soa_len) == 0))
			must(kv_put(out, it.key, it.klen, it.val, it.vlen) == 0);
	}
}
