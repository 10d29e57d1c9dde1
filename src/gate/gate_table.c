/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * P-256 keys that verify often. OpenSSL has a table of multiples of the curve's generator, which makes that
 * half of a verification (FIPS 186-5 6.4.2: u1 G + u2 Q) cheap; here Q, the key's point, gets such a table as
 * well, as the generator of a group of its own. All arithmetic is OpenSSL's; ours are the range checks and
 * the order of the steps. The last step compares a number that depends on every octet that went in, so that a
 * fault on the way says "bad", which is never the last word: gate_sig.c asks EVP again, about all that is bad
 * and some that is good. A difference turns the table off for good.
 *
 * A table takes 25 ms and 150 KiB, so a key gets it after GTABLE_AFTER verifications, and the cache holds at
 * most GTABLES_MAX. Counted: a gate holds the entries of its keys; the others may be replaced, least used
 * first. Called by gate_sig.c, from any thread.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>

#include "gate_impl.h"

#define HALF 32        /* octets of a coordinate, of r, of s */
#define AHEAD_MAX 256  /* signatures whose 1/s are made together */
#define SELF_TESTS 8   /* multiples of the point that a new table must agree on */

enum { TABLE_NONE, TABLE_MAKING, TABLE_READY, TABLE_OFF };

struct gtable {
	struct gate_tables *all;
	uint8_t point[2 * HALF];
	unsigned refs;                 /* under the lock of all */
	atomic_uint_fast64_t used;
	atomic_int state;
	EC_GROUP *group;               /* Q is its generator */
};

struct gate_tables {
	pthread_mutex_t lock;
	EC_GROUP *curve;               /* NULL: no fast way on this machine */
	BN_MONT_CTX *mont;             /* of the order */
	BIGNUM *inverse;               /* order - 2: s to this power is 1/s, the order being prime */
	atomic_uint doubts;
	size_t n;
	struct gtable *entry[GTABLES_MAX];
};

/* Of one thread. */
struct gfast {
	BN_CTX *bn;
	BIGNUM *r, *s, *u1, *u2;
	EC_POINT *p1, *p2;
	/* gfast_ahead(): inv holds the products of all s up to this one until the first is wanted */
	struct ahead { BIGNUM *s, *inv; } ahead[AHEAD_MAX];
	size_t n, at;
	bool inverted;
};

struct gate_tables *gate_tables_new(void)
{
	struct gate_tables *t = calloc(1, sizeof *t);
	BN_CTX *bn = BN_CTX_new();

	if (!t || !bn)
		goto fail;
	pthread_mutex_init(&t->lock, NULL);
	t->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	t->mont = BN_MONT_CTX_new();
	t->inverse = t->curve ? BN_dup(EC_GROUP_get0_order(t->curve)) : NULL;
	if (!t->inverse || !t->mont || !BN_sub_word(t->inverse, 2) ||
	    !BN_MONT_CTX_set(t->mont, EC_GROUP_get0_order(t->curve), bn)) {
		EC_GROUP_free(t->curve);
		t->curve = NULL;
	}
	BN_CTX_free(bn);
	return t;
fail:
	BN_CTX_free(bn);
	free(t);
	return NULL;
}

static void entry_free(struct gtable *k)
{
	EC_GROUP_free(k->group);
	free(k);
}

void gate_tables_free(struct gate_tables *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		entry_free(t->entry[i]);
	EC_GROUP_free(t->curve);
	BN_MONT_CTX_free(t->mont);
	BN_free(t->inverse);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

unsigned gate_tables_doubts(const struct gate_tables *t)
{
	return t ? atomic_load(&t->doubts) : 0;
}

/* --- the cache ------------------------------------------------------------------------------------------ */

static struct gtable *entry_new(struct gate_tables *t, const uint8_t *point)
{
	struct gtable *k = calloc(1, sizeof *k);

	if (k) {
		k->all = t;
		memcpy(k->point, point, sizeof k->point);
	}
	return k;
}

/* Under the lock. The least used one that nobody holds; what was used long ago counts less each time. */
static struct gtable **victim(struct gate_tables *t)
{
	struct gtable **least = NULL;

	for (size_t i = 0; i < t->n; i++) {
		struct gtable *k = t->entry[i];
		uint64_t used = atomic_load(&k->used);

		if (!k->refs && (!least || used < atomic_load(&(*least)->used)))
			least = &t->entry[i];
		atomic_store(&k->used, used - used / 64);
	}
	return least;
}

struct gtable *gtable_ref(struct gate_tables *t, const uint8_t *point)
{
	struct gtable *k = NULL, **at;

	if (!t || !t->curve)
		return NULL;
	pthread_mutex_lock(&t->lock);
	for (size_t i = 0; i < t->n && !k; i++) {
		if (!memcmp(t->entry[i]->point, point, sizeof t->entry[i]->point))
			k = t->entry[i];
	}
	if (!k) {
		at = t->n < GTABLES_MAX ? &t->entry[t->n] : victim(t);
		k = at ? entry_new(t, point) : NULL;
		if (k && *at)
			entry_free(*at);
		else if (k)
			t->n++;
		if (k)
			*at = k;
	}
	if (k)
		k->refs++;
	pthread_mutex_unlock(&t->lock);
	return k;
}

void gtable_unref(struct gtable *k)
{
	if (!k)
		return;
	pthread_mutex_lock(&k->all->lock);
	k->refs--;
	pthread_mutex_unlock(&k->all->lock);
}

void gtable_doubt(struct gtable *k)
{
	atomic_store(&k->state, TABLE_OFF);
	atomic_fetch_add(&k->all->doubts, 1);
}

/* --- making one ----------------------------------------------------------------------------------------- */

/* Deprecated since OpenSSL 3.0 without a successor; the check before it says whether the curve's code uses
 * such tables at all: it does where the curve's own generator has one that was not asked for. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static bool precompute(const EC_GROUP *curve, EC_GROUP *own, BN_CTX *bn)
{
	return EC_GROUP_have_precompute_mult(curve) && EC_GROUP_precompute_mult(own, bn) == 1 &&
	       EC_GROUP_have_precompute_mult(own);
}
#pragma GCC diagnostic pop

/* Multiples of Q by powers of the order's half: with the table, and without. */
static bool self_test(const struct gtable *k, const EC_POINT *q, BN_CTX *bn)
{
	const EC_GROUP *curve = k->all->curve;
	EC_POINT *a = EC_POINT_new(k->group), *b = EC_POINT_new(curve);
	BIGNUM *m = BN_new();
	bool same = a && b && m && BN_rshift1(m, EC_GROUP_get0_order(curve));

	for (int i = 0; same && i < SELF_TESTS; i++)
		same = EC_POINT_mul(k->group, a, m, NULL, NULL, bn) &&
		       EC_POINT_mul(curve, b, NULL, q, m, bn) &&
		       EC_POINT_cmp(curve, a, b, bn) == 0 &&
		       BN_mod_sqr(m, m, EC_GROUP_get0_order(curve), bn);
	EC_POINT_free(a);
	EC_POINT_free(b);
	BN_free(m);
	return same;
}

static bool table_make(struct gtable *k)
{
	const EC_GROUP *curve = k->all->curve;
	uint8_t octets[1 + 2 * HALF] = { 0x04 };
	BN_CTX *bn = BN_CTX_new();
	EC_POINT *q = EC_POINT_new(curve);
	bool made;

	memcpy(octets + 1, k->point, sizeof k->point);
	k->group = EC_GROUP_dup(curve);
	made = bn && q && k->group && EC_POINT_oct2point(curve, q, octets, sizeof octets, bn) &&
	       EC_GROUP_set_generator(k->group, q, EC_GROUP_get0_order(curve), BN_value_one()) &&
	       precompute(curve, k->group, bn) && self_test(k, q, bn);
	EC_POINT_free(q);
	BN_CTX_free(bn);
	return made;
}

bool gtable_ready(struct gtable *k)
{
	int none = TABLE_NONE;

	if (!k)
		return false;
	if (atomic_fetch_add_explicit(&k->used, 1, memory_order_relaxed) >= GTABLE_AFTER &&
	    atomic_load(&k->state) == TABLE_NONE &&
	    atomic_compare_exchange_strong(&k->state, &none, TABLE_MAKING))
		atomic_store(&k->state, table_make(k) ? TABLE_READY : TABLE_OFF);
	return atomic_load(&k->state) == TABLE_READY;
}

/* --- verifying ------------------------------------------------------------------------------------------ */

void gfast_free(struct gfast *f)
{
	if (!f)
		return;
	BN_free(f->r);
	BN_free(f->s);
	BN_free(f->u1);
	BN_free(f->u2);
	EC_POINT_free(f->p1);
	EC_POINT_free(f->p2);
	for (size_t i = 0; i < AHEAD_MAX; i++) {
		BN_free(f->ahead[i].s);
		BN_free(f->ahead[i].inv);
	}
	BN_CTX_free(f->bn);
	free(f);
}

static struct gfast *gfast_new(const EC_GROUP *curve)
{
	struct gfast *f = calloc(1, sizeof *f);

	if (!f)
		return NULL;
	f->bn = BN_CTX_new();
	f->r = BN_new();
	f->s = BN_new();
	f->u1 = BN_new();
	f->u2 = BN_new();
	f->p1 = EC_POINT_new(curve);
	f->p2 = EC_POINT_new(curve);
	if (f->bn && f->r && f->s && f->u1 && f->u2 && f->p1 && f->p2)
		return f;
	gfast_free(f);
	return NULL;
}

static bool in_range(const BIGNUM *v, const BIGNUM *order)
{
	return !BN_is_zero(v) && BN_ucmp(v, order) < 0;
}

/* 1/s, as its power. */
static bool power_inverse(const struct gate_tables *t, struct gfast *f, BIGNUM *out, const BIGNUM *s)
{
	return BN_mod_exp_mont(out, s, t->inverse, EC_GROUP_get0_order(t->curve), f->bn, t->mont);
}

void gfast_ahead(struct gtable *k, struct gfast **mine, const uint8_t sig[static 2 * HALF])
{
	const struct gate_tables *t = k->all;
	const BIGNUM *order = t->curve ? EC_GROUP_get0_order(t->curve) : NULL;
	struct gfast *f = *mine ? *mine : gfast_new(t->curve);
	struct ahead *a;

	*mine = f;
	if (!f || atomic_load(&k->state) != TABLE_READY)
		return;
	if (f->inverted)
		f->n = f->at = f->inverted = 0;
	if (f->n == AHEAD_MAX)
		return;
	a = &f->ahead[f->n];
	if ((!a->s && !(a->s = BN_new())) || (!a->inv && !(a->inv = BN_new())) ||
	    !BN_bin2bn(sig + HALF, HALF, a->s) || !in_range(a->s, order))
		return;
	if (f->n ? BN_mod_mul(a->inv, a[-1].inv, a->s, order, f->bn) : BN_copy(a->inv, a->s) != NULL)
		f->n++;
}

/* One inverse of the product of all, and from it each by multiplications alone. */
static bool invert_all(const struct gate_tables *t, struct gfast *f)
{
	const BIGNUM *order = EC_GROUP_get0_order(t->curve);
	struct ahead *a = f->ahead;

	f->inverted = true;
	if (!power_inverse(t, f, f->u2, a[f->n - 1].inv))
		return false;
	for (size_t i = f->n - 1; i > 0; i--)
		if (!BN_mod_mul(a[i].inv, f->u2, a[i - 1].inv, order, f->bn) ||
		    !BN_mod_mul(f->u2, f->u2, a[i].s, order, f->bn))
			return false;
	return BN_copy(a[0].inv, f->u2) != NULL;
}

/* f->s becomes its inverse. What was made ahead is asked for in the same order, and is a hint: it has to be
 * one. */
static bool invert_s(const struct gate_tables *t, struct gfast *f)
{
	const BIGNUM *order = EC_GROUP_get0_order(t->curve);

	if (f->n && !f->inverted && !invert_all(t, f))
		f->n = 0;
	for (size_t i = 0; i < f->n; i++) {
		const struct ahead *a = &f->ahead[(f->at + i) % f->n];

		if (BN_ucmp(a->s, f->s))
			continue;
		f->at = (size_t)(a - f->ahead) + 1;
		if (BN_mod_mul(f->u2, a->s, a->inv, order, f->bn) && BN_is_one(f->u2))
			return BN_copy(f->s, a->inv) != NULL;
		break;
	}
	return power_inverse(t, f, f->s, f->s);
}

bool gtable_good(struct gtable *k, struct gfast **mine, const uint8_t digest[static HALF],
		 const uint8_t sig[static 2 * HALF])
{
	const struct gate_tables *t = k->all;
	const BIGNUM *order = EC_GROUP_get0_order(t->curve);
	struct gfast *f = *mine ? *mine : gfast_new(t->curve);

	*mine = f;
	if (!f || !BN_bin2bn(sig, HALF, f->r) || !BN_bin2bn(sig + HALF, HALF, f->s) ||
	    !BN_bin2bn(digest, HALF, f->u1))
		return false;
	if (!in_range(f->r, order) || !in_range(f->s, order))
		return false;
	return invert_s(t, f) &&
	       BN_mod_mul(f->u1, f->u1, f->s, order, f->bn) && BN_mod_mul(f->u2, f->r, f->s, order, f->bn) &&
	       EC_POINT_mul(t->curve, f->p1, f->u1, NULL, NULL, f->bn) &&
	       EC_POINT_mul(k->group, f->p2, f->u2, NULL, NULL, f->bn) &&
	       EC_POINT_add(t->curve, f->p1, f->p1, f->p2, f->bn) &&
	       EC_POINT_get_affine_coordinates(t->curve, f->p1, f->u1, NULL, f->bn) && /* not infinity */
	       BN_nnmod(f->u1, f->u1, order, f->bn) && BN_ucmp(f->u1, f->r) == 0;
}
