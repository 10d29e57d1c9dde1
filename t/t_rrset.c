/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RRsets: order, duplicates, TTLs, the stored form and its damage, canonical wire form. */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/rand.h"
#include "dns/name.h"
#include "dns/rrset.h"
#include "t_suite.h"

static const uint8_t owner_mixed[] = "\3Www\7eXample\0", owner_lower[] = "\3www\7example\0";

static struct rr_item item(uint32_t ttl, const char *data, size_t len)
{
	return (struct rr_item){ .ttl = ttl, .len = (uint16_t)len, .data = (const uint8_t *)data };
}
#define ITEM(ttl, s) item(ttl, s, sizeof(s) - 1)

static void check_same(const struct rrset *a, const struct rrset *b)
{
	ck_assert(name_eq(a->owner, b->owner));
	ck_assert_uint_eq(a->type, b->type);
	ck_assert_uint_eq(a->ttl, b->ttl);
	ck_assert_uint_eq(a->nrr, b->nrr);
	ck_assert_uint_eq(a->nsig, b->nsig);
	for (uint32_t i = 0; i < a->nrr; i++) {
		ck_assert_uint_eq(a->rr[i].ttl, b->rr[i].ttl);
		ck_assert_uint_eq(a->rr[i].flags, b->rr[i].flags);
		ck_assert_uint_eq(a->rr[i].len, b->rr[i].len);
		ck_assert_mem_eq(a->rr[i].data, b->rr[i].data, a->rr[i].len);
	}
	for (unsigned i = 0; i < a->nsig; i++) {
		ck_assert_uint_eq(a->sig[i].len, b->sig[i].len);
		ck_assert_mem_eq(a->sig[i].data, b->sig[i].data, a->sig[i].len);
	}
	ck_assert_uint_eq(a->exp_time, b->exp_time);
	ck_assert_uint_eq(a->exp_seq, b->exp_seq);
	ck_assert_uint_eq(a->src_len, b->src_len);
	if (a->src_len > 0)
		ck_assert_mem_eq(a->src, b->src, a->src_len);
}

START_TEST(test_normalise)
{
	struct arena *a = arena_new(0);
	/* NS: B. and b. are one; the first of them by octets is the one served */
	struct rr_item rr[] = {ITEM(300, "\1c\0"),    ITEM(100, "\1b\0"), ITEM(200, "\1B\0"),
			       ITEM(300, "\1a\1a\0"), ITEM(300, "\1C\0"), ITEM(50, "\1C\0")};
	struct rrset set = { .owner = owner_lower, .type = T_NS, .nrr = 6, .rr = rr };

	ck_assert_int_eq(rrset_normalise(&set, a), 0);
	ck_assert_uint_eq(set.ttl, 50);
	ck_assert_uint_eq(set.flags, RRV_DUP | RRV_TTLS);
	ck_assert_mem_eq(rr[0].data, "\1a\1a", 5);
	ck_assert_mem_eq(rr[1].data, "\1B", 3);
	ck_assert_mem_eq(rr[2].data, "\1b", 3);
	ck_assert_mem_eq(rr[3].data, "\1C", 3);
	ck_assert_uint_eq(rr[3].ttl, 50);
	ck_assert_mem_eq(rr[5].data, "\1c", 3);
	for (unsigned i = 0; i < 6; i++)
		ck_assert_uint_eq(rr[i].flags, i == 2 || i > 3 ? RRI_DUP : 0);
	/* the same again, alone, and of a type that does not fold */
	ck_assert_int_eq(rrset_normalise(&set, a), 0);
	ck_assert_uint_eq(set.flags, RRV_DUP | RRV_TTLS);
	set.type = 65280;
	ck_assert_int_eq(rrset_normalise(&set, a), 0);
	for (unsigned i = 1; i < 6; i++)
		ck_assert_uint_eq(rr[i].flags, i == 2 ? RRI_DUP : 0); /* B C C a.a b c */
	set.nrr = 1;
	rr[0].flags = RRI_DUP;
	ck_assert_int_eq(rrset_normalise(&set, a), 0);
	ck_assert_uint_eq(set.flags, 0);
	ck_assert_uint_eq(rr[0].flags, 0);
	ck_assert_uint_eq(set.ttl, rr[0].ttl);
	set.nrr = 0;
	ck_assert_int_eq(rrset_normalise(&set, a), ZS_EINVAL);
	set.nrr = RRSET_RECORDS_MAX + 1;
	ck_assert_int_eq(rrset_normalise(&set, a), ZS_ELIMIT);
	arena_free(a);
}
END_TEST

/* Any order of arrival gives the same stored octets. */
START_TEST(test_order_of_arrival)
{
	struct arena *a = arena_new(0);
	struct prng r = prng_seed(3);
	struct wr first = wr_growing(1000);

	for (unsigned round = 0; round < 100; round++) {
		struct rr_item rr[] = { ITEM(3, "\0\1\1a\0"), ITEM(3, "\0\1\1A\0"), ITEM(4, "\0\1\1A\0"),
					ITEM(3, "\0\0\1z\0"), ITEM(3, "\0\0\0"), ITEM(3, "\0\0\0") };
		struct rrset set = { .owner = owner_mixed, .type = T_MX, .nrr = 6, .rr = rr };
		struct wr w = wr_growing(1000);

		for (unsigned i = 5; i > 0; i--) {
			uint64_t k = prng_upto(&r, i);
			struct rr_item t = rr[i];

			rr[i] = rr[k];
			rr[k] = t;
		}
		ck_assert_int_eq(rrset_normalise(&set, a), 0);
		rrset_encode(&set, &w);
		if (round == 0) {
			first = w;
			continue;
		}
		ck_assert_uint_eq(w.len, first.len);
		ck_assert_mem_eq(w.p, first.p, w.len);
		wr_free(&w);
	}
	wr_free(&first);
	arena_free(a);
}
END_TEST

static void round_trip(const struct rrset *set, const uint8_t *lower)
{
	struct arena *a = arena_new(0);
	struct wr w = wr_growing(8 << 20);
	struct rrset back = { 0 };
	struct rr_item rr;
	struct sig_item sig;
	struct rrval v;
	uint32_t n = 0;

	rrset_encode(set, &w);
	ck_assert_int_eq(w.err, 0);
	ck_assert_int_eq(rrset_decode(&back, set->type, lower, w.p, w.len, a), 0);
	check_same(set, &back);
	ck_assert_mem_eq(back.owner, set->owner, name_len(set->owner));
	ck_assert_int_eq(rrval_open(&v, w.p, w.len), 0);
	ck_assert_uint_eq(v.nrr, set->nrr);
	while (rrval_rr(&v, &rr)) {
		ck_assert_uint_eq(rr.len, set->rr[n].len);
		ck_assert_uint_eq(rr.ttl, set->rr[n].ttl);
		ck_assert_mem_eq(rr.data, set->rr[n].data, rr.len);
		n++;
	}
	ck_assert_uint_eq(n, set->nrr);
	for (n = 0; rrval_sig(&v, &sig); n++)
		ck_assert_mem_eq(sig.data, set->sig[n].data, sig.len);
	ck_assert_uint_eq(n, set->nsig);
	wr_free(&w);
	arena_free(a);
}

static struct rrset full_set(struct rr_item rr[static 3], struct sig_item sig[static 2])
{
	rr[0] = ITEM(60, "\4abcd");
	rr[1] = ITEM(60, "\4abce");
	rr[2] = ITEM(90, "");
	sig[0] = (struct sig_item){ 5, (const uint8_t *)"sig-1" };
	sig[1] = (struct sig_item){ 0, (const uint8_t *)"" };
	return (struct rrset){.owner = owner_mixed,
			      .type = T_TXT,
			      .ttl = 60,
			      .flags = RRV_SRC | RRV_OURS | RRV_TTLS,
			      .nrr = 3,
			      .rr = rr,
			      .nsig = 2,
			      .sig = sig,
			      .src = (const uint8_t *)"ex\0",
			      .src_len = 3,
			      .exp_time = UINT64_C(0x1122334455667788),
			      .exp_seq = 9};
}

START_TEST(test_stored_form)
{
	struct rr_item rr[3];
	struct sig_item sig[2];
	struct rrset set = full_set(rr, sig);
	struct wr w = wr_growing(1000);

	round_trip(&set, owner_lower);
	set.nsig = 0;
	set.exp_time = set.exp_seq = 0;
	round_trip(&set, owner_lower);
	set.flags = 0;
	set.src_len = 0;
	set.owner = owner_lower;
	set.nrr = 1;
	round_trip(&set, owner_lower);
	/* octet by octet, so that the format cannot change by accident */
	rr[0] = ITEM(0x01020304, "\300\0\2\1");
	set.ttl = 5;
	rrset_encode(&set, &w);
	ck_assert_uint_eq(w.len, 24);
	ck_assert_mem_eq(w.p + 5, "\0" "\0\0\0\5" "\0\1" "\1\2\3\4" "\0" "\0\4" "\300\0\2\1" "\0", 19);
	ck_assert_uint_eq(w.p[0], 1);
	ck_assert_uint_eq(be32(w.p + 1), crc32c(0, w.p + 5, 19));
	wr_free(&w);
}
END_TEST

START_TEST(test_encode_refuses)
{
	struct rr_item rr[3];
	struct sig_item sig[2];
	struct rrset set = full_set(rr, sig);
	struct wr w = wr_growing(20);

	rrset_encode(&set, &w);
	ck_assert_int_ne(w.err, 0);
	ck_assert_uint_eq(w.len, 0);
	wr_free(&w);
	w = wr_growing(1000);
	set.nrr = 0;
	rrset_encode(&set, &w);
	ck_assert_int_eq(w.err, ZS_EINVAL);
	wr_free(&w);
}
END_TEST

START_TEST(test_every_flip_is_seen)
{
	struct rr_item rr[3];
	struct sig_item sig[2];
	struct rrset set = full_set(rr, sig), out;
	struct arena *a = arena_new(0);
	struct wr w = wr_growing(1000);
	struct rrval v;

	rrset_encode(&set, &w);
	for (size_t i = 0; i < w.len; i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			uint8_t *copy = malloc(w.len);

			memcpy(copy, w.p, w.len);
			copy[i] ^= (uint8_t)(1u << bit);
			ck_assert_int_eq(rrval_open(&v, copy, w.len), i == 0 ? ZS_EVERSION : ZS_ECRC);
			ck_assert_int_lt(rrset_decode(&out, T_TXT, owner_lower, copy, w.len, a), 0);
			free(copy);
		}
	}
	for (size_t i = 0; i < w.len; i++) {
		uint8_t *copy = malloc(i ? i : 1);

		memcpy(copy, w.p, i);
		ck_assert_int_lt(rrval_open(&v, copy, i), 0);
		if (i >= 5) { /* cut, but with a fitting CRC: lengths must hold by themselves */
			put_be32(copy + 1, crc32c(0, copy + 5, i - 5));
			ck_assert_int_eq(rrval_open(&v, copy, i), ZS_EFORMAT);
		}
		free(copy);
	}
	wr_u8(&w, 0);
	put_be32(w.p + 1, crc32c(0, w.p + 5, w.len - 5));
	ck_assert_int_eq(rrval_open(&v, w.p, w.len), ZS_EFORMAT);
	wr_free(&w);
	arena_free(a);
}
END_TEST

/* Damage behind a CRC that fits: nothing may be read outside. */
START_TEST(test_damage_with_right_crc)
{
	struct rr_item rr[3];
	struct sig_item sig[2];
	struct rrset set = full_set(rr, sig), out;
	struct arena *a = arena_new(0);
	struct wr w = wr_growing(1000);
	struct prng r = prng_seed(11);

	rrset_encode(&set, &w);
	for (unsigned i = 0; i < 50000; i++) {
		size_t len = w.len - (i & 1 ? 0 : prng_upto(&r, w.len - 6));
		uint8_t *copy = malloc(len);

		memcpy(copy, w.p, len);
		for (uint64_t k = prng_upto(&r, 3); k > 0; k--)
			copy[5 + prng_upto(&r, len - 6)] = (uint8_t)prng_u64(&r);
		put_be32(copy + 1, crc32c(0, copy + 5, len - 5));
		if (rrset_decode(&out, T_TXT, NULL, copy, len, a) == 0) {
			struct wr again = wr_growing(1 << 20);

			ck_assert_uint_ge(out.nrr, 1);
			if (out.owner != NULL)
				rrset_encode(&out, &again);
			wr_free(&again);
		}
		arena_reset(a);
		free(copy);
	}
	wr_free(&w);
	arena_free(a);
}
END_TEST

START_TEST(test_foreign_owner)
{
	struct rr_item rr[3];
	struct sig_item sig[2];
	struct rrset set = full_set(rr, sig), out;
	struct arena *a = arena_new(0);
	struct wr w = wr_growing(1000);

	rrset_encode(&set, &w);
	ck_assert_int_eq(rrset_decode(&out, T_TXT, (const uint8_t *)"\3wwx\7example\0", w.p, w.len, a),
			 ZS_EFORMAT);
	wr_free(&w);
	arena_free(a);
}
END_TEST

#define MANY 3000

/* 3,000 records of 40 octets: over 64 KiB, in reversed order, each twice with another case. */
START_TEST(test_big_set)
{
	struct arena *a = arena_new(0);
	struct rr_item *rr = calloc(2 * MANY, sizeof(*rr));
	struct rrset set = { .owner = owner_mixed, .type = T_PTR, .nrr = 2 * MANY, .rr = rr };
	uint8_t *octets = calloc(2 * MANY, 40);
	struct wr w = wr_growing(4 << 20);
	const uint8_t *p, *before = NULL;

	for (unsigned i = 0; i < 2 * MANY; i++) {
		uint8_t *name = octets + 40 * i;
		unsigned v = MANY - 1 - i % MANY;

		name[0] = 38;
		for (unsigned k = 0; k < 38; k++)
			name[1 + k] =
			    (uint8_t)((i < MANY ? 'a' : 'A') + (k > 33 ? v >> 4 * (37 - k) & 15 : 0));
		rr[i] = (struct rr_item){ .ttl = 7, .len = 40, .data = name };
	}
	ck_assert_int_eq(rrset_normalise(&set, a), 0);
	ck_assert_uint_eq(set.flags, RRV_DUP);
	for (unsigned i = 0; i < 2 * MANY; i++)
		ck_assert_uint_eq(rr[i].flags, i & 1 ? RRI_DUP : 0);
	round_trip(&set, owner_lower);
	ck_assert_int_eq(rrset_canonical(&set, &w, a), 0);
	ck_assert_uint_eq(w.len, MANY * (13 + 8 + 2 + 40));
	for (p = w.p; p < w.p + w.len; p += 63) {
		ck_assert_mem_eq(p, "\3www\7example\0" "\0\14\0\1\0\0\0\7\0\50\46", 24);
		if (before != NULL)
			ck_assert_int_lt(memcmp(before, p, 63), 0);
		before = p;
	}
	wr_free(&w);
	w = wr_growing(100000);
	ck_assert_int_eq(rrset_canonical(&set, &w, a), ZS_ELIMIT);
	wr_free(&w);
	free(octets);
	free(rr);
	arena_free(a);
}
END_TEST

START_TEST(test_same_content)
{
	struct arena *a = arena_new(0);
	struct rr_item one[] = { ITEM(5, "\1a\0"), ITEM(5, "\1B\0") };
	struct rr_item two[] = { ITEM(5, "\1b\0"), ITEM(9, "\1A\0"), ITEM(9, "\1a\0") };
	struct rrset x = { .owner = owner_lower, .type = T_NS, .nrr = 2, .rr = one };
	struct rrset y = { .owner = owner_mixed, .type = T_NS, .nrr = 3, .rr = two };

	ck_assert_int_eq(rrset_normalise(&x, a), 0);
	ck_assert_int_eq(rrset_normalise(&y, a), 0);
	ck_assert(rrset_same_content(&x, &y));
	ck_assert(rrset_same_content(&y, &x));
	y.nrr = 1;
	ck_assert(!rrset_same_content(&x, &y));
	ck_assert(!rrset_same_content(&y, &x));
	y.nrr = 3;
	y.ttl = 4;
	ck_assert(!rrset_same_content(&x, &y));
	y.ttl = 5;
	ck_assert(rrset_same_content(&x, &y));
	x.type = y.type = 65280;
	ck_assert_int_eq(rrset_normalise(&x, a), 0);
	ck_assert_int_eq(rrset_normalise(&y, a), 0);
	ck_assert(!rrset_same_content(&x, &y));
	arena_free(a);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_normalise, test_order_of_arrival, test_stored_form, test_encode_refuses,
		test_every_flip_is_seen, test_damage_with_right_crc, test_foreign_owner, test_big_set,
		test_same_content,
	};

	return RUN_SUITE("rrset", tests);
}
