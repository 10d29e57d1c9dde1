/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate against zones that a signer of the test's own made: silence on good ones, whole and by change; the
 * named check on every seeded fault; and, on random changes, the same verdict from both ways of looking.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "gate_fault.h"

static struct kvmem *build(struct tz *z, enum variant v)
{
	zone_fill(z, v);
	return tz_build(z, NULL);
}

static void assert_silent(struct gate *g, const char *what, int variant)
{
	if (gate_total(g)) {
		fprintf(stderr, "variant %d, %s:\n", variant, what);
		run_print(g);
	}
	ck_assert_uint_eq(gate_total(g), 0);
	ck_assert(!gate_repairable(g));
	gate_free(g);
}

START_TEST(good_zones)
{
	static const unsigned parts[] = { 1, 3, 17, 200 };
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z, .unsigned_zone = _i == V_UNSIGNED };

	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
		assert_silent(run_whole(&r, m, parts[i]), "whole", _i);
	assert_silent(run_change(&r, m), "change from nothing", _i);
	r.base = m;
	assert_silent(run_change(&r, m), "no change", _i);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* Every owner and every record of the chain a part of its own. */
START_TEST(part_edges)
{
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z, .unsigned_zone = _i == V_UNSIGNED };
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate_sums sums, whole;
	struct gate *g;
	struct kv *kv = kvmem_open(m), *walk = kvmem_open(m);
	struct kv_item it;
	struct gate_part part = { .table = 0x20, .from = { 0x20 }, .from_len = 1 };

	run_params(&r, &p, keys);
	g = gate_new(&p);
	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc; rc = kv_next(walk, &it)) {
		size_t len = it.key[0] == 0x20 ? it.klen - 2 : it.klen;

		if (part.from_len == len && !memcmp(part.from, it.key, len))
			continue;
		memcpy(part.to, it.key, len);
		part.to_len = len;
		ck_assert_int_eq(gate_segment(g, kv, &part), 0);
		memcpy(part.from, it.key, len);
		part.from_len = len;
		part.table = it.key[0];
	}
	part.to_len = 0;
	ck_assert_int_eq(gate_segment(g, kv, &part), 0);
	ck_assert_int_eq(gate_finish(g, kv, true), 0);
	gate_sums(g, &sums);
	assert_silent(g, "smallest parts", _i);
	g = run_whole(&r, m, 1);
	gate_sums(g, &whole);
	gate_free(g);
	ck_assert_uint_eq(sums.rrsets, whole.rrsets);
	ck_assert_uint_eq(sums.signatures, whole.signatures);
	ck_assert_uint_eq(sums.chain_names, whole.chain_names);
	ck_assert_uint_eq(sums.chain_records, whole.chain_records);
	kv_close(kv);
	kv_close(walk);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* A version of which a part was left out does not pass. */
START_TEST(part_forgotten)
{
	struct tz z;
	struct kvmem *m = build(&z, V_NSEC3);
	struct run r = { .z = &z };
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate_part part[16];
	struct kv *kv = kvmem_open(m);
	int n = 1;

	for (int skip = 0; skip < n; skip++) {
		struct gate *g;

		run_params(&r, &p, keys);
		g = gate_new(&p);
		n = gate_split(g, kv, 6, part, 16);
		ck_assert_int_ge(n, 5);
		for (int i = 0; i < n; i++) {
			if (i != skip)
				ck_assert_int_eq(gate_segment(g, kv, &part[i]), 0);
		}
		ck_assert_int_eq(gate_finish(g, kv, true), 0);
		ck_assert_uint_gt(gate_total(g), 0);
		gate_free(g);
	}
	kv_close(kv);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* --- seeded faults --- */

static bool found(struct gate *g, const struct fault *ft, const char *how, int variant)
{
	bool ok = gate_count(g, ft->check) > 0;

	if (!ok) {
		fprintf(stderr, "SURVIVED: %s (%s), variant %d, %s; findings instead:\n", ft->name,
			gate_check_label(ft->check), variant, how);
		run_print(g);
	}
	gate_free(g);
	return ok;
}

static unsigned try_fault(const struct fault *ft, int variant, unsigned *runs)
{
	struct tz z;
	struct kvmem *base = build(&z, (enum variant)variant);
	struct run r = { .z = &z, .base = base, .unsigned_zone = variant == V_UNSIGNED };
	struct fx f = {
		.z = &z, .base = base, .m = tz_copy(base), .v = calloc(1, sizeof(struct tv)), .run = &r
	};
	unsigned missed = 0;

	ft->make(&f);
	if (ft->how != CHANGE_ONLY) {
		missed += !found(run_whole(&r, f.m, *runs & 1 ? 17 : 1), ft, "whole", variant);
		++*runs;
	}
	if (ft->how != WHOLE_ONLY) {
		missed += !found(run_change(&r, f.m), ft, "change", variant);
		++*runs;
	}
	free(f.v);
	kvmem_free(f.m);
	kvmem_free(base);
	tz_free(&z);
	return missed;
}

START_TEST(seeded_faults)
{
	unsigned runs = 0, missed = 0;

	for (size_t i = 0; i < fault_count; i++) {
		for (int v = 0; v < VARIANTS; v++) {
			if (fault_table[i].variants & 1u << v)
				missed += try_fault(&fault_table[i], v, &runs);
		}
	}
	printf("t_gate: %zu seeded faults, %u runs, %u survivors\n", fault_count, runs, missed);
	ck_assert_uint_eq(missed, 0);
}
END_TEST

/* Each signature of the zone spoiled in turn: found as that and as nothing else. */
START_TEST(every_signature)
{
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z, .base = m };
	struct kv *walk = kvmem_open(m);
	struct tv *v = calloc(1, sizeof *v);
	struct prng rng = prng_seed(11);
	struct kv_item it;
	unsigned n = 0;

	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc && it.key[0] < 0x40; rc = kv_next(walk, &it)) {
		ck_assert(tv_load(m, it.key, it.klen, v));
		for (size_t i = 0; i < v->nsig; i++, n++) {
			struct kvmem *bad = tz_copy(m);
			size_t sig = v->sig[i].len - (v->sig[i].data[2] == 8 ? 128u : 64u);
			size_t at = sig + prng_upto(&rng, v->sig[i].len - sig - 1);
			uint8_t bit = (uint8_t)(1u << prng_upto(&rng, 7));
			struct gate *whole, *change;

			v->sig[i].data[at] ^= bit;
			tv_put(bad, v);
			v->sig[i].data[at] ^= bit;
			change = run_change(&r, bad);
			ck_assert_uint_eq(gate_count(change, GATE_BAD_SIG), 1);
			ck_assert(gate_repairable(change));
			gate_free(change);
			whole = n % 4 ? NULL : run_whole(&r, bad, 3); /* a quarter: each costs a zone */
			ck_assert(!whole || (gate_count(whole, GATE_BAD_SIG) == 1 && gate_repairable(whole)));
			gate_free(whole);
			kvmem_free(bad);
		}
	}
	printf("t_gate: %u signatures spoiled one by one, variant %d\n", n, _i);
	ck_assert_uint_gt(n, 100);
	kv_close(walk);
	free(v);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* --- random changes --- */

static void random_name(struct prng *rng, char *out)
{
	static const char *const tops[] = { "",     "sub.",    "dn.",  "hosts.", "ent1.ent2.",
					    "c.d.", "secure.", "zzz.", "r.",     "x.sub." };
	static const char *const subs[] = { "", "a.", "b.", "\\000.", "a.b.", "*.", "h3.", "ns." };

	snprintf(out, 200, "%s%szone.example.", subs[prng_upto(rng, 7)], tops[prng_upto(rng, 9)]);
}

static void random_edit(struct tz *z, struct prng *rng)
{
	static const struct { uint16_t type; const char *data; } kinds[] = {
		{ 1, "=c0000207" }, { 16, "'random" }, { 2, "ns.other.test." }, { 2, "NS.Other2.test." },
		{ 43, "=00010d02 =0011" }, { 39, "d.test." }, { 15, "=0001 M.test." },
	};
	size_t kind = prng_upto(rng, 6);
	char name[256];

	random_name(rng, name);
	if (prng_upto(rng, 2) == 0) {
		/* SOA and NS of the apex stay. */
		if (!strcmp(name, "zone.example."))
			tz_del(z, name, 39);
		else
			tz_del(z, name, prng_upto(rng, 1) ? kinds[kind].type : 0);
	} else if (strcmp(name, "zone.example.") || kinds[kind].type == 16 || prng_upto(rng, 9) == 0) {
		if (kinds[kind].type != 43 || strcmp(name, "zone.example."))
			tz_add(z, name, kinds[kind].type, (uint32_t)(100 + prng_upto(rng, 3)),
			       kinds[kind].data);
	}
}

/* Puts one of the keys that differ, if any, back to what it was in base; true when it did. */
static bool forget_one(struct kvmem *base, struct kvmem *m, struct prng *rng)
{
	struct kv *a = kvmem_open(base), *b = kvmem_open(m), *w;
	struct kv_item x, y;
	uint8_t key[512] = { 0 };
	size_t klen = 0, seen = 0;

	for (int side = 0; side < 2; side++) {
		w = kvmem_open(side ? base : m);
		for (int rc = kv_seek(w, "\x20", 1, &x); !rc && x.key[0] < 0x40; rc = kv_next(w, &x)) {
			bool there = !kv_get(side ? b : a, x.key, x.klen, &y);

			if (there && (side || (x.vlen == y.vlen && !memcmp(x.val, y.val, x.vlen))))
				continue;
			if (prng_upto(rng, seen++) == 0)
				memcpy(key, x.key, klen = x.klen);
		}
		kv_close(w);
	}
	kv_close(a);
	kv_close(b);
	if (klen) {
		struct tv *v = calloc(1, sizeof *v);

		tv_delete(m, key, klen);
		if (tv_load(base, key, klen, v)) {
			struct tz z = { .seq = v->exp_seq };

			tv_store(&z, m, v);
		}
		free(v);
	}
	return klen;
}

/* By change and as a whole the verdict must be the same, whatever was forgotten. */
START_TEST(random_changes)
{
	struct prng rng = prng_seed(4711 + (uint64_t)_i);
	struct tz z;
	struct kvmem *base = build(&z, (enum variant)_i);
	unsigned bad = 0, harmless = 0;

	for (int round = 0; round < 40; round++) {
		struct kvmem *m, *spoiled;
		struct run r = { .z = &z, .base = base };

		for (uint64_t n = prng_upto(&rng, 6); n < 7; n++)
			random_edit(&z, &rng);
		m = tz_build(&z, base);
		assert_silent(run_whole(&r, m, 5), "random, whole", _i);
		assert_silent(run_change(&r, m), "random, change", _i);
		for (int k = 0; k < 3; k++) {
			spoiled = tz_copy(m);
			if (forget_one(base, spoiled, &rng)) {
				struct gate *w = run_whole(&r, spoiled, 3), *c = run_change(&r, spoiled);

				if (!gate_total(w) != !gate_total(c)) {
					fprintf(stderr, "variant %d, round %d; whole:\n", _i, round);
					run_print(w);
					fprintf(stderr, "change:\n");
					run_print(c);
				}
				ck_assert_int_eq(!gate_total(w), !gate_total(c));
				gate_total(w) ? bad++ : harmless++;
				gate_free(w);
				gate_free(c);
			}
			kvmem_free(spoiled);
		}
		kvmem_free(base);
		base = m;
	}
	printf("t_gate: random changes, variant %d: %u forgotten steps found, %u harmless\n", _i, bad,
	       harmless);
	ck_assert_uint_gt(bad, 25);
	kvmem_free(base);
	tz_free(&z);
}
END_TEST

/* One bit of its last octet, in both versions: that is no change. */
static void damage_both(struct kvmem *m[2], const uint8_t *key, size_t klen)
{
	for (int i = 0; i < 2; i++) {
		struct kv *kv = kvmem_open(m[i]);
		struct kv_item it;
		uint8_t val[4096];
		size_t len;

		ck_assert_int_eq(kv_get(kv, key, klen, &it), 0);
		ck_assert_uint_le(len = it.vlen, sizeof val);
		memcpy(val, it.val, len);
		val[len - 1] ^= 1;
		ck_assert_int_eq(kv_put(kv, key, klen, val, len), 0);
		kv_close(kv);
	}
}

/* The record of the chain before a changed one did not change itself, and who points there cannot be read. */
START_TEST(damaged_neighbours)
{
	unsigned found = 0, others = 0;
	struct kvmem *base, *m;
	struct kv_item it, now;
	struct kv *kv, *after;
	struct tz z;

	base = build(&z, (enum variant)_i);
	tz_add(&z, "h3.zone.example.", 99, 300, "'of another type");
	m = tz_build(&z, base);
	kv = kvmem_open(base);
	after = kvmem_open(m);
	for (int rc = kv_seek(kv, "\x30", 1, &it); !rc && it.key[0] == 0x30; rc = kv_next(kv, &it)) {
		struct kvmem *both[2] = { tz_copy(base), tz_copy(m) };
		struct run r = { .z = &z, .base = both[0] };
		struct gate *g;

		if (kv_get(after, it.key, it.klen, &now) == 0 && now.vlen == it.vlen &&
		    !memcmp(now.val, it.val, it.vlen)) {
			damage_both(both, it.key, it.klen);
			g = run_change(&r, both[1]);
			found += gate_count(g, GATE_STORED) > 0;
			others += !gate_total(g);
			gate_free(g);
		}
		kvmem_free(both[0]);
		kvmem_free(both[1]);
	}
	kv_close(after);
	kv_close(kv);
	ck_assert_uint_eq(found, 1);
	ck_assert_uint_gt(others, 5);
	kvmem_free(m);
	kvmem_free(base);
	tz_free(&z);
}
END_TEST

/* After a change of the SOA's MINIMUM the rest of the chain may keep its TTL. */
START_TEST(soa_minimum)
{
	struct tz z;
	struct kvmem *base = build(&z, V_NSEC3), *m = tz_copy(base);
	struct run r = { .z = &z, .base = base };
	struct tv *v = calloc(1, sizeof *v);
	struct gate *g;
	uint8_t key[512];

	ck_assert(tv_load(m, key, tz_key_record(&z, "zone.example.", 6, key), v));
	v->rr[0].data[v->rr[0].len - 1] ^= 1;
	tv_sign(&z, v);
	tv_store(&z, m, v);
	assert_silent(run_change(&r, m), "SOA minimum, change", 0);
	assert_silent(run_whole(&r, m, 3), "SOA minimum, whole", 0);
	r.base = NULL;
	g = run_whole(&r, m, 3);
	ck_assert_uint_gt(gate_count(g, GATE_DENIAL_TTL), 100);
	gate_free(g);
	free(v);
	kvmem_free(m);
	kvmem_free(base);
	tz_free(&z);
}
END_TEST

/* One in N: what hangs on most and the first 16 of each key are verified, of the rest about one in N. */
START_TEST(sampling)
{
	struct tz z;
	struct kvmem *m = build(&z, V_NSEC3);
	struct run r = { .z = &z, .one_in = 1000 };
	struct gate *g = run_whole(&r, m, 1);
	struct gate_sums s;

	gate_sums(g, &s);
	ck_assert_uint_ge(s.verified, 16 + 5);
	ck_assert_uint_lt(s.verified, 40);
	ck_assert_uint_gt(s.signatures, 150);
	assert_silent(g, "sampling", V_NSEC3);
	r.one_in = 3;
	g = run_whole(&r, m, 1);
	gate_sums(g, &s);
	ck_assert_uint_gt(s.verified, 50);
	ck_assert_uint_lt(s.verified, 120);
	gate_free(g);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

START_TEST(sampling_apex)
{
	static const uint16_t types[] = { 2, 6, 48, 51, 59, 60 };
	struct tz z;
	struct kvmem *m = build(&z, V_NSEC3);
	struct run r = { .z = &z, .one_in = 1000 };
	struct tv *v = calloc(1, sizeof *v);
	uint8_t key[512];

	for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
		struct kvmem *bad = tz_copy(m);
		struct gate *g;

		ck_assert(tv_load(bad, key, tz_key_record(&z, "zone.example.", types[i], key), v));
		v->sig[0].data[v->sig[0].len - 1] ^= 1;
		tv_put(bad, v);
		g = run_whole(&r, bad, 3);
		ck_assert_uint_eq(gate_count(g, GATE_BAD_SIG), 1);
		gate_free(g);
		kvmem_free(bad);
	}
	free(v);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* All six algorithms, and two keys with one tag. */
START_TEST(algorithms)
{
	static const uint8_t algs[] = { 8, 10, 13, 14, 15, 16 };
	struct tz z;
	struct kvmem *m;
	struct run r = { .z = &z };

	zone_fill(&z, V_UNSIGNED);
	for (size_t i = 0; i < sizeof algs; i++)
		tz_add_key(&z, algs[i], 257, true, true);
	m = tz_build(&z, NULL);
	assert_silent(run_whole(&r, m, 2), "six algorithms", 0);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

START_TEST(same_tag_keys)
{
	struct tz z;
	struct kvmem *m;
	struct run r = { .z = &z, .one_in = 1 };

	zone_fill(&z, V_CSK);
	do { /* a second Ed25519 key with the same tag: about 65,536 tries */
		if (z.nkeys == 2)
			EVP_PKEY_free(z.key[--z.nkeys].pkey);
		tz_add_key(&z, 15, 257, true, true);
	} while (z.key[1].tag != z.key[0].tag);
	m = tz_build(&z, NULL);
	assert_silent(run_whole(&r, m, 2), "two keys with one tag", 0);
	r.one_in = 1000;
	assert_silent(run_whole(&r, m, 2), "two keys with one tag, sampled", 0);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* Times near the end of 32 bits. */
START_TEST(late_times)
{
	struct tz z;
	struct kvmem *m = build(&z, V_NSEC);
	struct run r = { .z = &z };
	struct tv *v = calloc(1, sizeof *v);
	struct kv *walk = kvmem_open(m);
	struct kvmem *late = tz_copy(m);
	struct kv_item it;

	r.now = 4294967296 - 7 * 86400; /* signatures end behind the turn */
	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc && it.key[0] < 0x40; rc = kv_next(walk, &it)) {
		ck_assert(tv_load(m, it.key, it.klen, v));
		if (!v->nsig)
			continue;
		z.tweak.inception = r.now - 3600;
		z.tweak.expiration = r.now + 14 * 86400;
		tv_sign(&z, v);
		tv_store(&z, late, v);
	}
	assert_silent(run_whole(&r, late, 3), "late times", 0);
	kv_close(walk);
	kvmem_free(late);
	free(v);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* A gate that has seen every value but the skipped one. */
static struct gate *seen(const struct run *r, struct kvmem *m, unsigned skip)
{
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate *g;
	struct gate_checker *c = NULL;
	struct kv *walk = kvmem_open(m);
	struct tv *v = calloc(1, sizeof *v);
	struct kv_item it;
	uint16_t bad;
	unsigned n = 0;

	run_params(r, &p, keys);
	g = gate_new(&p);
	gate_remember(g);
	ck_assert_int_eq(gate_checker_new(g, &c), 0);
	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc && it.key[0] < 0x40; rc = kv_next(walk, &it)) {
		ck_assert(tv_load(m, it.key, it.klen, v));
		if (v->nsig && n++ != skip)
			ck_assert_int_eq(gate_check_value(c, it.key, it.klen, it.val, it.vlen, &bad), 0);
	}
	gate_checker_free(c);
	kv_close(walk);
	free(v);
	return g;
}

/* Each value with one wrong bit in its signature, and mended again. */
static void each_spoilt(const struct run *r, struct kvmem *m,
			void (*look)(const struct run *r, struct kvmem *m))
{
	struct kv *walk = kvmem_open(m);
	struct tv *v = calloc(1, sizeof *v);
	struct kv_item it;

	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc && it.key[0] < 0x40; rc = kv_next(walk, &it)) {
		uint8_t key[512];
		size_t klen = it.klen;

		memcpy(key, it.key, klen);
		ck_assert(tv_load(m, key, klen, v));
		for (int spoilt = 1; v->nsig && spoilt >= 0; spoilt--) {
			v->sig[0].data[v->sig[0].len - 1] ^= 1;
			tv_put(m, v);
			if (spoilt)
				look(r, m);
		}
		ck_assert_int_eq(kv_seek(walk, key, klen, &it), 0);
	}
	kv_close(walk);
	free(v);
}

static void spoilt_in_whole(const struct run *r, struct kvmem *m)
{
	struct gate *g = run_whole(r, m, 3);

	ck_assert_uint_gt(gate_total(g), 0);
	gate_free(g);
}

static void spoilt_in_change(const struct run *r, struct kvmem *m)
{
	struct gate *g = run_change(r, m);

	ck_assert_uint_eq(gate_count(g, GATE_BAD_SIG), 1);
	gate_free(g);
}

/* A signature that changed after it was verified is found by a run that samples, too. */
START_TEST(stored_is_what_was_verified)
{
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z, .one_in = 1000 };
	struct gate *all = seen(&r, m, UINT32_MAX), *less = seen(&r, m, 30), *g;

	r.values = less;
	g = run_whole(&r, m, 3);
	ck_assert_uint_eq(gate_total(g), 1);
	ck_assert_uint_eq(gate_count(g, GATE_STORED), 1);
	gate_free(g);
	r.values = all;
	g = run_whole(&r, m, 3);
	ck_assert_uint_eq(gate_total(g), 0);
	gate_free(g);
	each_spoilt(&r, m, spoilt_in_whole);
	gate_free(all);
	gate_free(less);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

static uint64_t verified(const struct run *r, struct kvmem *m)
{
	struct gate *g = run_change(r, m);
	struct gate_sums sums;

	ck_assert_uint_eq(gate_total(g), 0);
	gate_sums(g, &sums);
	gate_free(g);
	return sums.verified;
}

/* A change: what was verified is not verified again as long as it is stored like that; one bit, and it is. */
START_TEST(change_of_what_was_verified)
{
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z };
	struct gate *all = seen(&r, m, UINT32_MAX), *less = seen(&r, m, 30);
	uint64_t plain = verified(&r, m), some, few;

	r.values = less;
	some = verified(&r, m);
	r.values = all;
	few = verified(&r, m);
	ck_assert_uint_gt(plain, 40);
	ck_assert_uint_lt(few, 6); /* the SOA's, and hardly any other */
	ck_assert_uint_gt(some, few);
	each_spoilt(&r, m, spoilt_in_change);
	gate_free(all);
	gate_free(less);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

/* Values one by one: good ones have no bad signature, a spoiled one has exactly that bit. */
START_TEST(single_values)
{
	struct tz z;
	struct kvmem *m = build(&z, (enum variant)_i);
	struct run r = { .z = &z };
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate *g;
	struct gate_checker *c = NULL;
	struct kv *walk = kvmem_open(m);
	struct tv *v = calloc(1, sizeof *v);
	uint8_t *val = malloc(1 << 18);
	struct kv_item it;
	uint16_t bad;

	run_params(&r, &p, keys);
	g = gate_new(&p);
	ck_assert_int_eq(gate_checker_new(g, &c), 0);
	for (int rc = kv_seek(walk, "\x20", 1, &it); !rc && it.key[0] < 0x40; rc = kv_next(walk, &it)) {
		ck_assert_int_eq(gate_check_value(c, it.key, it.klen, it.val, it.vlen, &bad), 0);
		ck_assert_uint_eq(bad, 0);
		ck_assert(tv_load(m, it.key, it.klen, v));
		for (size_t i = 0; i < v->nsig; i++) {
			v->sig[i].data[v->sig[i].len - 1] ^= 1;
			ck_assert_int_eq(gate_check_value(c, it.key, it.klen, val, tv_encode(v, val), &bad),
					 0);
			ck_assert_uint_eq(bad, 1u << i);
			v->sig[i].data[v->sig[i].len - 1] ^= 1;
		}
	}
	ck_assert_int_eq(gate_check_value(c, (const uint8_t *)"x", 1, val, 10, &bad), ZS_EFORMAT);
	ck_assert_uint_eq(gate_total(g), 0);
	gate_checker_free(c);
	gate_checker_free(NULL);
	gate_free(g);
	kv_close(walk);
	free(val);
	free(v);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

START_TEST(findings_bounded)
{
	struct tz z;
	struct kvmem *m = build(&z, V_TWO_ALGS);
	struct run r = { .z = &z, .now = TZ_NOW + 400 * 86400 };
	struct gate *g = run_whole(&r, m, 3);
	const struct gate_finding *f;

	ck_assert_uint_eq(gate_findings(g, &f), GATE_FINDINGS_MAX);
	ck_assert_uint_gt(gate_total(g), GATE_FINDINGS_MAX);
	ck_assert(strstr(f[0].text, "signature by") && strstr(f[0].text, "zone.example."));
	ck_assert(!gate_repairable(g));
	for (int i = 0; i < GATE_CHECKS; i++)
		ck_assert(*gate_check_label((enum gate_check)i) && *gate_check_text((enum gate_check)i));
	gate_free(g);
	gate_free(NULL);
	kvmem_free(m);
	tz_free(&z);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gate");
	TCase *tc = tcase_create("gate");
	SRunner *sr;
	int failed;

	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, good_zones, 0, VARIANTS);
	tcase_add_loop_test(tc, part_edges, 0, VARIANTS);
	tcase_add_test(tc, part_forgotten);
	tcase_add_test(tc, seeded_faults);
	tcase_add_loop_test(tc, every_signature, V_NSEC, V_CSK);
	tcase_add_loop_test(tc, random_changes, V_NSEC, V_OPTOUT + 1);
	tcase_add_loop_test(tc, damaged_neighbours, V_NSEC, V_OPTOUT + 1);
	tcase_add_test(tc, soa_minimum);
	tcase_add_test(tc, sampling);
	tcase_add_test(tc, sampling_apex);
	tcase_add_test(tc, algorithms);
	tcase_add_test(tc, same_tag_keys);
	tcase_add_test(tc, late_times);
	tcase_add_loop_test(tc, single_values, V_NSEC, V_CSK);
	tcase_add_loop_test(tc, stored_is_what_was_verified, V_NSEC, V_TWO_ALGS);
	tcase_add_loop_test(tc, change_of_what_was_verified, V_NSEC, V_TWO_ALGS);
	tcase_add_test(tc, findings_bounded);
	suite_add_tcase(s, tc);
	sr = srunner_create(s);
	srunner_run_all(sr, CK_NORMAL);
	failed = srunner_ntests_failed(sr);
	srunner_free(sr);
	return failed != 0;
}
