/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Tables of the gate against EVP: on random signatures, good ones and spoiled ones; on the edges of ECDSA,
 * made here with known keys or keys that follow from the wanted point; what happens when the two differ; and
 * the bounds of the cache, from several threads.
 */
#include <check.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rand.h"
#include "../src/gate/gate_impl.h"
#include "t_suite.h"

#define HALF 32

/* A key of the test: the point, perhaps the number behind it, and EVP's form of it. */
struct tkey {
	uint8_t point[2 * HALF];
	BIGNUM *d;
	EVP_PKEY *pkey;
	struct gtable *table;
};

struct rig {
	struct gate_tables *all;
	struct gfast *fast;
	EC_GROUP *curve;
	const BIGNUM *order;
	BN_CTX *bn;
	struct prng rnd;
	uint64_t good, bad;
};

static void rig_init(struct rig *r)
{
	memset(r, 0, sizeof *r);
	r->all = gate_tables_new();
	r->curve = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	r->order = EC_GROUP_get0_order(r->curve);
	r->bn = BN_CTX_new();
	r->rnd = prng_seed(20261122);
	ck_assert(r->all && r->curve && r->bn);
}

static void rig_free(struct rig *r)
{
	gfast_free(r->fast);
	gate_tables_free(r->all);
	EC_GROUP_free(r->curve);
	BN_CTX_free(r->bn);
}

static void octets(struct rig *r, uint8_t *out, size_t n)
{
	for (size_t i = 0; i < n; i++)
		out[i] = (uint8_t)prng_u64(&r->rnd);
}

/* Uniform enough in 1..order-1. */
static BIGNUM *number(struct rig *r)
{
	uint8_t b[HALF];
	BIGNUM *n = BN_new();

	do {
		octets(r, b, sizeof b);
		BN_bin2bn(b, sizeof b, n);
	} while (BN_is_zero(n) || BN_cmp(n, r->order) >= 0);
	return n;
}

static void evp_key(struct tkey *k)
{
	uint8_t point[1 + 2 * HALF] = { 0x04 };
	char name[] = "P-256";
	OSSL_PARAM params[3];
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);

	memcpy(point + 1, k->point, sizeof k->point);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, name, 0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point);
	params[2] = OSSL_PARAM_construct_end();
	ck_assert_int_eq(EVP_PKEY_fromdata_init(ctx), 1);
	ck_assert_int_eq(EVP_PKEY_fromdata(ctx, &k->pkey, EVP_PKEY_PUBLIC_KEY, params), 1);
	EVP_PKEY_CTX_free(ctx);
}

/* The key whose point that is, with its table. */
static void key_of_point(struct rig *r, struct tkey *k, const EC_POINT *q)
{
	uint8_t out[1 + 2 * HALF];

	EC_POINT_point2oct(r->curve, q, POINT_CONVERSION_UNCOMPRESSED, out, sizeof out, r->bn);
	memcpy(k->point, out + 1, sizeof k->point);
	evp_key(k);
	k->table = gtable_ref(r->all, k->point);
	ck_assert(k->table);
	for (unsigned i = 0; i < GTABLE_AFTER; i++)
		ck_assert(!gtable_ready(k->table));
	ck_assert(gtable_ready(k->table));
}

static void key_init(struct rig *r, struct tkey *k, BIGNUM *d)
{
	EC_POINT *q = EC_POINT_new(r->curve);

	memset(k, 0, sizeof *k);
	k->d = d;
	ck_assert_int_eq(EC_POINT_mul(r->curve, q, d, NULL, NULL, r->bn), 1);
	key_of_point(r, k, q);
	EC_POINT_free(q);
}

static void key_free(struct tkey *k)
{
	gtable_unref(k->table);
	EVP_PKEY_free(k->pkey);
	BN_free(k->d);
}

static void put(uint8_t *out, const BIGNUM *n)
{
	ck_assert_int_eq(BN_bn2binpad(n, out, HALF), HALF);
}

/* FIPS 186-5 6.4.1 in plain steps, with the k that is wanted; NULL: any. */
static void sign(struct rig *r, const struct tkey *k, const BIGNUM *nonce, const uint8_t digest[HALF],
		 uint8_t sig[2 * HALF])
{
	BIGNUM *kk = nonce ? BN_dup(nonce) : number(r), *e = BN_bin2bn(digest, HALF, NULL), *x = BN_new(),
	       *s = BN_new();
	EC_POINT *p = EC_POINT_new(r->curve);

	EC_POINT_mul(r->curve, p, kk, NULL, NULL, r->bn);
	EC_POINT_get_affine_coordinates(r->curve, p, x, NULL, r->bn);
	BN_nnmod(x, x, r->order, r->bn);
	BN_mod_mul(s, x, k->d, r->order, r->bn);
	BN_mod_add(s, s, e, r->order, r->bn);
	BN_mod_inverse(kk, kk, r->order, r->bn);
	BN_mod_mul(s, s, kk, r->order, r->bn);
	put(sig, x);
	put(sig + HALF, s);
	BN_free(kk);
	BN_free(e);
	BN_free(x);
	BN_free(s);
	EC_POINT_free(p);
}

static bool evp_good(const struct tkey *k, const uint8_t digest[HALF], const uint8_t sig[2 * HALF])
{
	ECDSA_SIG *s = ECDSA_SIG_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	uint8_t *der = NULL;
	int n, rc;

	ECDSA_SIG_set0(s, BN_bin2bn(sig, HALF, NULL), BN_bin2bn(sig + HALF, HALF, NULL));
	n = i2d_ECDSA_SIG(s, &der);
	ck_assert_int_gt(n, 0);
	ck_assert_int_eq(EVP_PKEY_verify_init(ctx), 1);
	rc = EVP_PKEY_verify(ctx, der, (size_t)n, digest, HALF);
	ERR_clear_error();
	OPENSSL_free(der);
	EVP_PKEY_CTX_free(ctx);
	ECDSA_SIG_free(s);
	return rc == 1;
}

/* Both say the same; returns it. */
static bool both(struct rig *r, const struct tkey *k, const uint8_t digest[HALF], const uint8_t sig[2 * HALF])
{
	bool fast = gtable_good(k->table, &r->fast, digest, sig), evp = evp_good(k, digest, sig);

	ERR_clear_error();
	ck_assert_int_eq(fast, evp);
	r->good += fast;
	r->bad += !fast;
	return fast;
}

/* --- random --- */

static void spoil(struct rig *r, unsigned how, uint8_t digest[HALF], uint8_t sig[2 * HALF])
{
	uint8_t half[HALF], *at = sig + HALF * (how & 1);
	BIGNUM *n = BN_new();
	uint64_t bit = prng_upto(&r->rnd, 8 * 2 * HALF - 1);

	switch (how) {
	case 0: case 1: /* as it is */
		break;
	case 2: case 3: case 4: case 5: case 6:
		sig[bit / 8] ^= (uint8_t)(1 << bit % 8);
		break;
	case 7: case 8:
		digest[bit / 16] ^= (uint8_t)(1 << bit % 8);
		break;
	case 9: /* also good: ECDSA knows no sign of s */
		BN_bin2bn(sig + HALF, HALF, n);
		BN_sub(n, r->order, n);
		put(sig + HALF, n);
		break;
	case 10:
		memcpy(half, sig, HALF);
		memcpy(sig, sig + HALF, HALF);
		memcpy(sig + HALF, half, HALF);
		break;
	case 11: case 12:
		octets(r, at, HALF);
		break;
	case 13: case 14: /* s or r shifted by an octet */
		memmove(at + 1, at, HALF - 1);
		at[0] = 0;
		break;
	default:
		octets(r, digest, HALF);
	}
	BN_free(n);
}

/* TABLE_CASES=100000: what was run once, takes half a minute. */
START_TEST(random_signatures)
{
	const char *want = getenv("TABLE_CASES");
	unsigned long cases = want ? strtoul(want, NULL, 10) : 4000;
	struct rig r;
	struct tkey k[4];

	rig_init(&r);
	for (size_t i = 0; i < 4; i++)
		key_init(&r, &k[i], number(&r));
	for (unsigned long i = 0; i < cases; i++) {
		uint8_t digest[HALF], sig[2 * HALF];

		octets(&r, digest, sizeof digest);
		sign(&r, &k[i % 4], NULL, digest, sig);
		spoil(&r, i / 4 % 16, digest, sig);
		/* now and then by another key */
		both(&r, &k[i / 64 % 16 ? i % 4 : (i + 1) % 4], digest, sig);
	}
	ck_assert_uint_gt(r.good, cases / 8);
	ck_assert_uint_gt(r.bad, cases / 2);
	if (want)
		fprintf(stderr, "%llu good, %llu bad\n", (unsigned long long)r.good,
			(unsigned long long)r.bad);
	for (size_t i = 0; i < 4; i++)
		key_free(&k[i]);
	rig_free(&r);
}
END_TEST

/* What is made for many at once changes no answer: announced in order, in another order, more than there is
 * room for, spoiled after that, with s that have no inverse, and for nobody. */
START_TEST(made_ahead)
{
	struct rig r;
	struct tkey k;
	static uint8_t digest[300][HALF], sig[300][2 * HALF];

	rig_init(&r);
	key_init(&r, &k, number(&r));
	for (size_t turn = 0; turn < 12; turn++) {
		size_t n = turn < 2 ? turn : turn == 2 ? 300 : prng_upto(&r.rnd, 80);

		for (size_t i = 0; i < n; i++) {
			octets(&r, digest[i], HALF);
			sign(&r, &k, NULL, digest[i], sig[i]);
			if (turn % 3 == 1)
				spoil(&r, (unsigned)(i % 16), digest[i], sig[i]);
			if (turn % 4 == 3 && i % 7 == 2)
				memset(sig[i] + HALF, i % 2 ? 0 : 0xff, HALF);
			gfast_ahead(k.table, &r.fast, sig[i]);
		}
		if (turn % 5 == 4)
			continue;
		for (size_t i = 0; i < n; i++) {
			size_t at = turn % 3 ? i : (i * 7919 + 3) % n;

			if (turn % 4 == 2 && i % 5 == 0)
				sig[at][HALF + 7] ^= 1;
			both(&r, &k, digest[at], sig[at]);
			if (i % 3 == 0)
				both(&r, &k, digest[at], sig[at]);
		}
	}
	ck_assert_uint_gt(r.good, 300);
	ck_assert_uint_gt(r.bad, 50);
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* --- edges --- */

/* Every pair of r and s at the ends of their ranges is bad for any digest, or as EVP says. */
START_TEST(ends_of_ranges)
{
	struct rig r;
	struct tkey k;
	BIGNUM *v[8];
	uint8_t digest[3][HALF] = { { 0 } }, sig[2 * HALF];
	int n = 0;

	rig_init(&r);
	key_init(&r, &k, number(&r));
	for (int add = -1; add <= 1; add++) { /* 0, 1; n-1, n, n+1 */
		v[n] = BN_dup(r.order);
		add < 0 ? BN_sub_word(v[n], 1) : BN_add_word(v[n], (BN_ULONG)add);
		n++;
	}
	BN_zero(v[n++] = BN_new());
	BN_one(v[n++] = BN_new());
	BN_set_word(v[n++] = BN_new(), 2);
	v[n] = BN_new();
	BN_set_bit(v[n], 256);
	BN_sub_word(v[n++], 1); /* all ones */
	v[n++] = number(&r);
	memset(digest[1], 0xff, HALF);
	octets(&r, digest[2], HALF);
	for (int i = 0; i < n; i++)
		for (int j = 0; j < n; j++)
			for (int d = 0; d < 3; d++) {
				put(sig, v[i]);
				put(sig + HALF, v[j]);
				ck_assert(!both(&r, &k, digest[d], sig));
			}
	for (int i = 0; i < n; i++)
		BN_free(v[i]);
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* s so small that s + order has room in its octets: the same modulo the order, and out of range. */
START_TEST(small_s)
{
	struct rig r;
	struct tkey k;

	rig_init(&r);
	key_init(&r, &k, number(&r));
	for (BN_ULONG small = 1; small < 20; small++) {
		uint8_t digest[HALF], sig[2 * HALF];
		BIGNUM *nonce = number(&r), *x = BN_new(), *e = BN_new(), *s = BN_new();
		EC_POINT *p = EC_POINT_new(r.curve);

		EC_POINT_mul(r.curve, p, nonce, NULL, NULL, r.bn);
		EC_POINT_get_affine_coordinates(r.curve, p, x, NULL, r.bn);
		BN_nnmod(x, x, r.order, r.bn);
		BN_set_word(s, small);
		BN_mod_mul(e, x, k.d, r.order, r.bn);
		BN_mod_mul(nonce, nonce, s, r.order, r.bn);
		BN_mod_sub(e, nonce, e, r.order, r.bn); /* e = s k - r d */
		put(digest, e);
		put(sig, x);
		put(sig + HALF, s);
		ck_assert(both(&r, &k, digest, sig));
		BN_add(s, s, r.order);
		put(sig + HALF, s);
		gfast_ahead(k.table, &r.fast, sig);
		ck_assert(!both(&r, &k, digest, sig));
		BN_free(nonce);
		BN_free(x);
		BN_free(e);
		BN_free(s);
		EC_POINT_free(p);
	}
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* u1 = 0; digests at and over the order, which count modulo it. */
START_TEST(digests)
{
	struct rig r;
	struct tkey k;
	uint8_t digest[HALF] = { 0 }, sig[2 * HALF];
	BIGNUM *e = BN_new();

	rig_init(&r);
	key_init(&r, &k, number(&r));
	sign(&r, &k, NULL, digest, sig);
	ck_assert(both(&r, &k, digest, sig));
	put(digest, r.order); /* the same modulo the order */
	ck_assert(both(&r, &k, digest, sig));
	digest[HALF - 1] ^= 1;
	ck_assert(!both(&r, &k, digest, sig));
	for (BN_ULONG add = 1; add < 4; add++) {
		BN_copy(e, r.order);
		BN_add_word(e, add);
		put(digest, e);
		sign(&r, &k, NULL, digest, sig);
		ck_assert(both(&r, &k, digest, sig));
		memset(digest, 0, HALF);
		digest[HALF - 1] = (uint8_t)add;
		ck_assert(both(&r, &k, digest, sig));
	}
	memset(digest, 0xff, HALF);
	sign(&r, &k, NULL, digest, sig);
	ck_assert(both(&r, &k, digest, sig));
	BN_free(e);
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* u1 G + u2 Q is the point at infinity for e = -r d, whatever s; a doubling for e = r d. */
START_TEST(special_sums)
{
	struct rig r;
	struct tkey k;

	rig_init(&r);
	key_init(&r, &k, number(&r));
	for (int i = 0; i < 50; i++) {
		uint8_t digest[HALF], sig[2 * HALF];
		BIGNUM *nonce = number(&r), *x = BN_new(), *e = BN_new();
		EC_POINT *p = EC_POINT_new(r.curve);

		EC_POINT_mul(r.curve, p, nonce, NULL, NULL, r.bn);
		EC_POINT_get_affine_coordinates(r.curve, p, x, NULL, r.bn);
		BN_nnmod(x, x, r.order, r.bn);
		BN_mod_mul(e, x, k.d, r.order, r.bn);
		put(digest, e);
		sign(&r, &k, nonce, digest, sig);
		ck_assert(both(&r, &k, digest, sig));
		BN_sub(e, r.order, e);
		put(digest, e);
		ck_assert(!both(&r, &k, digest, sig));
		octets(&r, sig + HALF, HALF);
		sig[HALF] &= 0x7f;
		ck_assert(!both(&r, &k, digest, sig));
		BN_free(nonce);
		BN_free(x);
		BN_free(e);
		EC_POINT_free(p);
	}
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* x of the point is the order or above: r is what is left of it. The key follows from the wanted point R:
 * Q = (R - u1 G) / u2. */
START_TEST(large_x)
{
	struct rig r;
	BIGNUM *x = BN_new();
	int found = 0;

	rig_init(&r);
	BN_copy(x, r.order);
	for (int i = 0; found < 6 && i < 64; i++, BN_add_word(x, 1)) {
		struct tkey k = { .d = NULL };
		uint8_t digest[HALF], sig[2 * HALF];
		BIGNUM *small = BN_new(), *u1 = number(&r), *u2 = number(&r), *s = BN_new(), *e = BN_new();
		EC_POINT *p = EC_POINT_new(r.curve), *g = EC_POINT_new(r.curve);

		BN_sub(small, x, r.order);
		if (!BN_is_zero(small) && EC_POINT_set_compressed_coordinates(r.curve, p, x, i & 1, r.bn)) {
			found++;
			EC_POINT_mul(r.curve, g, u1, NULL, NULL, r.bn);
			EC_POINT_invert(r.curve, g, r.bn);
			EC_POINT_add(r.curve, p, p, g, r.bn);
			BN_mod_inverse(e, u2, r.order, r.bn);
			EC_POINT_mul(r.curve, p, NULL, p, e, r.bn);
			BN_mod_mul(s, small, e, r.order, r.bn);
			BN_mod_mul(e, u1, s, r.order, r.bn);
			put(digest, e);
			put(sig, small);
			put(sig + HALF, s);
			key_of_point(&r, &k, p);
			ck_assert(both(&r, &k, digest, sig));
			put(sig, x); /* the same number modulo the order, and out of range */
			ck_assert(!both(&r, &k, digest, sig));
			key_free(&k);
		}
		ERR_clear_error();
		BN_free(small);
		BN_free(u1);
		BN_free(u2);
		BN_free(s);
		BN_free(e);
		EC_POINT_free(p);
		EC_POINT_free(g);
	}
	ck_assert_int_eq(found, 6);
	BN_free(x);
	rig_free(&r);
}
END_TEST

/* The generator itself, its inverse, and small multiples as keys. */
START_TEST(special_keys)
{
	struct rig r;

	rig_init(&r);
	for (int i = 0; i < 6; i++) {
		struct tkey k;
		BIGNUM *d = BN_new();

		BN_set_word(d, (BN_ULONG)(i / 2 + 1));
		if (i & 1)
			BN_sub(d, r.order, d);
		key_init(&r, &k, d);
		for (int n = 0; n < 100; n++) {
			uint8_t digest[HALF], sig[2 * HALF];
			BIGNUM *nonce = BN_new();

			BN_set_word(nonce, (BN_ULONG)n / 2 + 1);
			octets(&r, digest, HALF);
			sign(&r, &k, n & 1 ? NULL : nonce, digest, sig);
			ck_assert(both(&r, &k, digest, sig));
			sig[2 * HALF - 1] ^= 1;
			ck_assert(!both(&r, &k, digest, sig));
			BN_free(nonce);
		}
		key_free(&k);
	}
	rig_free(&r);
}
END_TEST

/* Octets that are no point never get a table. */
START_TEST(no_point)
{
	struct rig r;
	uint8_t point[2 * HALF] = { 1, 2, 3 };
	struct gtable *t;

	rig_init(&r);
	t = gtable_ref(r.all, point);
	ck_assert(t);
	for (unsigned i = 0; i < 2 * GTABLE_AFTER; i++)
		ck_assert(!gtable_ready(t));
	gtable_unref(t);
	rig_free(&r);
}
END_TEST

/* --- through the gate --- */

#define MSG "what is signed"

static struct gate *gate_of(struct rig *r, const struct tkey *k)
{
	static const uint8_t zone[] = "\1z";
	uint8_t rdata[4 + 2 * HALF] = { 1, 0, 3, 13 };
	struct gate_key gk = { rdata, sizeof rdata, false, true };
	struct gate_params p = { .zone = zone, .zone_len = 3, .now = 1000, .key = &gk, .nkeys = 1,
				 .tables = r->all };

	memcpy(rdata + 4, k->point, sizeof k->point);
	return gate_new(&p);
}

static void sign_text(struct rig *r, const struct tkey *k, uint8_t sig[2 * HALF])
{
	uint8_t digest[HALF];

	EVP_Digest(MSG, sizeof MSG, digest, NULL, EVP_sha256(), NULL);
	sign(r, k, NULL, digest, sig);
}

static int gate_asks(struct gate *g, const uint8_t *sig, size_t len)
{
	struct gjob j;
	int rc;

	ck_assert_int_eq(gjob_init(&j, g, NULL), 0);
	rc = gsig_verify(&j, 0, (const uint8_t *)MSG, sizeof MSG, sig, len);
	ck_assert_int_eq(gjob_done(&j), 0);
	return rc;
}

START_TEST(through_the_gate)
{
	struct rig r;
	struct tkey k;
	struct gate *g;
	uint8_t sig[2 * HALF + 1] = { 0 };

	rig_init(&r);
	key_init(&r, &k, number(&r));
	g = gate_of(&r, &k);
	ck_assert_ptr_eq(g->key[0].table, k.table);
	for (int i = 0; i < 200; i++) {
		sign_text(&r, &k, sig);
		ck_assert_int_eq(gate_asks(g, sig, 2 * HALF), 1);
		ck_assert_int_eq(gate_asks(g, sig, 2 * HALF - 1), 0);
		ck_assert_int_eq(gate_asks(g, sig, 2 * HALF + 1), 0);
		sig[i % (2 * HALF)] ^= 4;
		ck_assert_int_eq(gate_asks(g, sig, 2 * HALF), 0);
	}
	ck_assert_uint_eq(gate_tables_doubts(r.all), 0);
	gate_free(g);
	key_free(&k);
	rig_free(&r);
}
END_TEST

/* A table of another key: what EVP says counts, and the table is off. */
START_TEST(says_bad_wrongly)
{
	struct rig r;
	struct tkey k, other;
	struct gate *g;
	struct gtable *own;
	uint8_t sig[2 * HALF];

	rig_init(&r);
	key_init(&r, &k, number(&r));
	key_init(&r, &other, number(&r));
	g = gate_of(&r, &k);
	own = g->key[0].table;
	g->key[0].table = other.table;
	sign_text(&r, &k, sig);
	ck_assert_int_eq(gate_asks(g, sig, sizeof sig), 1);
	ck_assert_uint_eq(gate_tables_doubts(r.all), 1);
	ck_assert(!gtable_ready(other.table));
	ck_assert(gtable_ready(own));
	ck_assert_int_eq(gate_asks(g, sig, sizeof sig), 1);
	ck_assert_uint_eq(gate_tables_doubts(r.all), 1);
	g->key[0].table = own;
	gate_free(g);
	key_free(&k);
	key_free(&other);
	rig_free(&r);
}
END_TEST

/* It says good where EVP does not: found by one in GTABLE_SPOT, and then nothing passes. */
START_TEST(says_good_wrongly)
{
	struct rig r;
	struct tkey k, other;
	struct gate *g;
	EVP_PKEY *own;
	int rc = 1, n = 0;

	rig_init(&r);
	key_init(&r, &k, number(&r));
	key_init(&r, &other, number(&r));
	g = gate_of(&r, &k);
	own = g->key[0].pkey;
	g->key[0].pkey = other.pkey;
	for (; rc == 1 && n < 40 * GTABLE_SPOT; n++) {
		uint8_t sig[2 * HALF];

		sign_text(&r, &k, sig);
		rc = gate_asks(g, sig, sizeof sig);
		if (rc != 1) {
			ck_assert_int_eq(rc, ZS_ECRYPTO);
			ck_assert_int_eq(gate_asks(g, sig, sizeof sig), 0);
		}
	}
	ck_assert_int_gt(n, 1);
	ck_assert_int_lt(n, 40 * GTABLE_SPOT);
	ck_assert_uint_eq(gate_tables_doubts(r.all), 1);
	ck_assert(!gtable_ready(k.table));
	g->key[0].pkey = own;
	gate_free(g);
	key_free(&k);
	key_free(&other);
	rig_free(&r);
}
END_TEST

/* --- the cache --- */

START_TEST(bounded)
{
	struct rig r;
	struct gtable *held[GTABLES_MAX], *t, *often;
	uint8_t point[2 * HALF] = { 0 };

	rig_init(&r);
	often = gtable_ref(r.all, point);
	for (int i = 0; i < 100; i++)
		ck_assert(!gtable_ready(often));
	gtable_unref(often);
	for (unsigned i = 1; i < 200; i++) { /* others come and go, the one that is used stays */
		put_be16(point, (uint16_t)i);
		t = gtable_ref(r.all, point);
		ck_assert(t);
		ck_assert_ptr_eq(t, gtable_ref(r.all, point));
		gtable_unref(t);
		gtable_unref(t);
	}
	put_be16(point, 0);
	ck_assert_ptr_eq(gtable_ref(r.all, point), often);
	gtable_unref(often);
	for (unsigned i = 0; i < GTABLES_MAX; i++) {
		put_be16(point, (uint16_t)(1000 + i));
		held[i] = gtable_ref(r.all, point);
		ck_assert(held[i]);
	}
	put_be16(point, 2000);
	ck_assert_ptr_eq(gtable_ref(r.all, point), NULL);
	gtable_unref(held[3]);
	held[3] = gtable_ref(r.all, point);
	ck_assert(held[3]);
	for (unsigned i = 0; i < GTABLES_MAX; i++)
		gtable_unref(held[i]);
	ck_assert_ptr_eq(gtable_ref(NULL, point), NULL);
	gtable_unref(NULL);
	rig_free(&r);
}
END_TEST

struct side {
	struct gate *g;
	uint8_t sig[16][2 * HALF];
};

static void *verify_side(void *arg)
{
	struct side *s = arg;
	struct gjob j;
	size_t wrong = 0;

	gjob_init(&j, s->g, NULL);
	for (int i = 0; i < 800; i++)
		wrong += gsig_verify(&j, 0, (const uint8_t *)MSG, sizeof MSG, s->sig[i % 16], 2 * HALF) != 1;
	gjob_done(&j);
	return (void *)wrong;
}

/* One of them makes the table while the others verify. */
START_TEST(from_threads)
{
	struct rig r;
	struct tkey k = { .d = NULL };
	EC_POINT *q;
	struct side s;
	pthread_t t[4];
	uint8_t out[1 + 2 * HALF];

	rig_init(&r);
	q = EC_POINT_new(r.curve);
	k.d = number(&r);
	EC_POINT_mul(r.curve, q, k.d, NULL, NULL, r.bn);
	EC_POINT_point2oct(r.curve, q, POINT_CONVERSION_UNCOMPRESSED, out, sizeof out, r.bn);
	memcpy(k.point, out + 1, sizeof k.point);
	s.g = gate_of(&r, &k);
	for (int i = 0; i < 16; i++)
		sign_text(&r, &k, s.sig[i]);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, verify_side, &s), 0);
	for (int i = 0; i < 4; i++) {
		void *wrong;

		pthread_join(t[i], &wrong);
		ck_assert_ptr_eq(wrong, NULL);
	}
	ck_assert(gtable_ready(s.g->key[0].table));
	gate_free(s.g);
	EC_POINT_free(q);
	key_free(&k);
	rig_free(&r);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { random_signatures, made_ahead, ends_of_ranges, small_s, digests,
				       special_sums, large_x, special_keys, no_point, through_the_gate,
				       says_bad_wrongly, says_good_wrongly, bounded, from_threads };

	return RUN_SUITE("gate_table", tests);
}
