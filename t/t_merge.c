/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The merge of whole zones; then random zones and random differences of many steps, which the model of
 * zone_model.h, the difference step by step, condensed, and the merge all lead to the same.
 */
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "ixfr_rig.h"
#include "t_suite.h"

/* --- merge ---------------------------------------------------------------------------------------------- */

static int give_merge(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set)
{
	return merge_set(ctx, key, klen, set);
}

/* Merges the model with the base into after. */
static int merge_model(struct rig *r, const struct model *now)
{
	struct merge *m;
	int err;

	ck_assert_int_eq(merge_new(zone, r->base.kv, &r->spy.kv, &m), 0);
	err = model_each(now, 0, give_merge, m);
	if (err == 0)
		err = merge_end(m, &r->sums);
	merge_free(m);
	return err;
}

START_TEST(test_merge)
{
	struct model now;
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	ck_assert_int_eq(merge_model(&r, &r.zone), 0);
	check_untouched(&r);
	now = model_copy(&r.zone);
	ck_assert(model_del(&now, RR("a.example.", T_A, 0, "\1\1\1\1")));
	ck_assert(model_del(&now, RR("b.example.", 65280, 0, "")));
	ck_assert(model_add(&now, RR("zz.example.", T_A, 0, "\1\1\1\1")));
	ck_assert(model_add(&now, RR("b.example.", T_TXT, 300, "\1b")));  /* case of its owner */
	model_push(&now, RR("dup.example.", T_NS, 1, "\1x\0"));           /* one more */
	model_push(&now, RR("cut.example.", T_NS, 1, "\2nS\3cut\7example\0"));
	model_push(&now, SOA(99));                                        /* ours is another */
	ck_assert_int_eq(merge_model(&r, &now), 0);
	ck_assert(model_del(&now, SOA(99)));
	check_model(&r, &now);
	ck_assert_uint_eq(r.sums.records_added, 3);
	ck_assert_uint_eq(r.sums.records_deleted, 2);
	ck_assert_uint_eq(r.sums.rrsets_deleted, 1);
	ck_assert_uint_eq(r.sums.rrsets_added, 1);
	ck_assert_uint_eq(r.sums.rrsets_changed, 4);
	ck_assert_uint_eq(r.sums.cuts_changed, 2);
	model_free(&now);
	rig_close(&r);
}
END_TEST

START_TEST(test_merge_ends)
{
	struct model none = { 0 };
	struct change_sums sums;
	struct merge *m;
	struct rig r;
	uint8_t key[KEY_MAX], okey[OKEY_MAX];
	size_t klen = key_record(key, okey, name_okey(zone, okey), T_CDS);
	struct rr_item it = { .ttl = 60, .len = 5, .data = (const uint8_t *)"\0\1\15\2e" };
	struct rrset set = { .owner = zone, .type = T_CDS, .ttl = 60, .nrr = 1, .rr = &it };

	rig_open(&r, INTAKE_REFUSE); /* everything goes but what is kept */
	ck_assert_int_eq(merge_model(&r, &none), 0);
	check_model(&r, &none);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE); /* onto nothing */
	ck_assert_int_eq(merge_new(zone, r.base.kv, &r.spy.kv, &m), 0);
	ck_assert_int_eq(merge_set(m, key, klen, &set), 0);           /* ours stays */
	ck_assert_int_eq(merge_set(m, key, klen, &set), ZS_EINVAL);   /* not ascending */
	key[0] = TAB_DENIAL;
	ck_assert_int_eq(merge_set(m, key, klen, &set), ZS_EINVAL);
	merge_free(m);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE);
	r.spy.most = 2;
	ck_assert_int_eq(merge_model(&r, &none), ZS_ELIMIT);
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1); /* an empty store */
	ck_assert_int_eq(merge_new(zone, r.base.kv, &r.spy.kv, &m), 0);
	set.flags = RRV_OURS;
	key[0] = TAB_RECORDS;
	ck_assert_int_eq(merge_set(m, key, klen, &set), 0);
	ck_assert_int_eq(merge_end(m, &sums), 0);
	ck_assert_uint_eq(r.spy.puts, 0);
	merge_free(m);
	rig_close(&r);
}
END_TEST

/* --- random zones and differences ----------------------------------------------------------------------- */

#define STEPS_MAX 6
struct random_diff {
	struct prng rnd;
	struct model now;               /* what the zone became */
	struct model list[STEPS_MAX][2];
	unsigned nsteps;
};

static unsigned upto(struct random_diff *d, unsigned max)
{
	return (unsigned)prng_upto(&d->rnd, max);
}

static const struct rr *random_record(struct random_diff *d, struct record *r)
{
	static const char *const owner[] = { "example.", "a.example.", "A.example.", "x.a.example.",
					     "b.example.", "\\000.example.", "cut.example.",
					     "CUT.example.", "Zz.example." };
	static const uint16_t type[] = { T_A, T_NS, T_TXT, T_MX, 65280 };
	const char *o = owner[upto(d, sizeof(owner) / sizeof(owner[0]) - 1)];
	uint16_t t = type[upto(d, 4)];
	uint32_t ttl = 100 + upto(d, 3) / 3;
	char c = "abAB"[upto(d, 3)];
	uint8_t rdata[8] = { 0 };

	switch (t) {
	case T_A:
		rdata[3] = (uint8_t)upto(d, 9);
		return record(r, o, t, ttl, rdata, 4);
	case T_NS:
		memcpy(rdata, (uint8_t[]){ 1, (uint8_t)c, 1, 'x', 0 }, 5);
		return record(r, o, t, ttl, rdata, 5);
	case T_MX:
		memcpy(rdata, (uint8_t[]){ 0, (uint8_t)upto(d, 1), 1, (uint8_t)c, 0 }, 5);
		return record(r, o, t, ttl, rdata, 5);
	case T_TXT:
		memcpy(rdata, (uint8_t[]){ 1, (uint8_t)c }, 2);
		return record(r, o, t, ttl, rdata, 2);
	default:
		rdata[0] = (uint8_t)c;
		return record(r, o, t, ttl, rdata, upto(d, 2));
	}
}

/* Are there duplicates in the RRset of rr? */
static bool has_dup(const struct model *m, const struct rr *rr)
{
	for (size_t i = 0; i < m->n; i++) {
		struct rr x = model_rr(m, i);

		if (x.type == rr->type && name_eq(x.owner, rr->owner) && model_find(m, &x) != i)
			return true;
	}
	return false;
}

static void random_deletions(struct random_diff *d, const struct model *base, struct model *list)
{
	for (unsigned i = upto(d, 5); i > 0 && d->now.n > 0; i--) {
		struct rr rr = model_rr(&d->now, upto(d, (unsigned)d->now.n - 1));

		if (has_dup(base, &rr))
			continue;
		rr.ttl = upto(d, 1) ? rr.ttl : 7;
		model_push(list, &rr);
		rr = model_rr(list, list->n - 1);
		ck_assert(model_del(&d->now, &rr));
	}
}

/* New ones, others in TTL or case, and what the base had or this step has deleted. */
static void random_additions(struct random_diff *d, const struct model *base, const struct model *gone,
			     struct model *list)
{
	for (unsigned i = upto(d, 6); i > 0; i--) {
		const struct model *from = upto(d, 1) ? base : gone;
		struct record rec;
		struct rr rr;

		if (from->n > 0 && upto(d, 1))
			rr = model_rr(from, upto(d, (unsigned)from->n - 1));
		else
			rr = *random_record(d, &rec);
		if (has_dup(base, &rr) || model_has(&d->now, &rr))
			continue;
		if (model_find(list, &rr) < list->n) /* two of a kind in one step are asked for as AXFR */
			continue;
		ck_assert(model_add(&d->now, &rr));
		model_push(list, &rr);
	}
}

static void random_diff(struct random_diff *d, struct model *base, uint64_t seed)
{
	struct record rec;

	memset(d, 0, sizeof(*d));
	d->rnd = prng_seed(seed);
	for (unsigned i = upto(d, 30); i > 0; i--) {
		const struct rr *rr = random_record(d, &rec);

		if (!model_has(base, rr))
			model_add(base, rr);
	}
	if (base->n > 0 && upto(d, 2) == 0) { /* a duplicate */
		struct rr rr = model_rr(base, upto(d, (unsigned)base->n - 1));

		rr.ttl++;
		model_push(base, &rr);
	}
	d->now = model_copy(base);
	d->nsteps = 1 + upto(d, STEPS_MAX - 1);
	for (unsigned s = 0; s < d->nsteps; s++) {
		random_deletions(d, base, &d->list[s][0]);
		random_additions(d, base, &d->list[s][0], &d->list[s][1]);
	}
}

static void random_free(struct random_diff *d)
{
	model_free(&d->now);
	for (unsigned s = 0; s < d->nsteps; s++) {
		model_free(&d->list[s][0]);
		model_free(&d->list[s][1]);
	}
}

static void feed_model(struct ixfr *x, const struct model *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct rr rr = model_rr(m, i);

		ck_assert_int_eq(ixfr_add(x, &rr), 0);
	}
}

static void feed_steps(struct ixfr *x, const struct random_diff *d)
{
	ck_assert_int_eq(ixfr_add(x, SOA(d->nsteps + 1)), 0);
	for (unsigned s = 0; s < d->nsteps; s++) {
		ck_assert_int_eq(ixfr_add(x, SOA(s + 1)), 0);
		feed_model(x, &d->list[s][0]);
		ck_assert_int_eq(ixfr_add(x, SOA(s + 2)), 0);
		feed_model(x, &d->list[s][1]);
	}
	ck_assert_int_eq(ixfr_add(x, SOA(d->nsteps + 1)), 0);
}

/* What is in a and not in b. */
static struct model without(const struct model *a, const struct model *b, const struct model *base)
{
	struct model m = { 0 };

	for (size_t i = 0; i < a->n; i++) {
		struct rr rr = model_rr(a, i);

		if (!model_has(b, &rr) && !has_dup(base, &rr))
			model_push(&m, &rr);
	}
	return m;
}

/* Into one step (RFC 1995 5). */
static void feed_condensed(struct ixfr *x, const struct random_diff *d, const struct model *base)
{
	struct model del = without(base, &d->now, base), add = without(&d->now, base, base);

	ck_assert_int_eq(ixfr_add(x, SOA(d->nsteps + 1)), 0);
	ck_assert_int_eq(ixfr_add(x, SOA(1)), 0);
	feed_model(x, &del);
	ck_assert_int_eq(ixfr_add(x, SOA(d->nsteps + 1)), 0);
	feed_model(x, &add);
	ck_assert_int_eq(ixfr_add(x, SOA(d->nsteps + 1)), 0);
	model_free(&del);
	model_free(&add);
}

enum way { WAY_STEPS, WAY_CONDENSED, WAY_MERGE, WAY_WRONG, WAYS };

/* Appends what does not fit to some step. */
static enum ixfr_fault spoil(struct random_diff *d, const struct model *base)
{
	unsigned last = d->nsteps - 1;
	struct rr rr = *RR("never.example.", T_A, 1, "\1\1\1\1");
	unsigned what = upto(d, 2);

	if (what == 0)
		model_push(&d->list[upto(d, last)][0], &rr);
	if (what == 1 && d->now.n > 0)
		rr = model_rr(&d->now, upto(d, (unsigned)d->now.n - 1));
	if (what == 1)
		model_push(&d->list[last][1], &rr);
	if (what == 1 && d->now.n == 0)
		model_push(&d->list[last][1], &rr);
	if (what == 2) {
		size_t i = 0;

		while (i < base->n && !has_dup(base, &(struct rr){ .owner = base->rec[i].owner,
								   .type = base->rec[i].type }))
			i++;
		rr = i < base->n ? model_rr(base, i) : rr;
		model_push(&d->list[0][0], &rr); /* a duplicate is touched, or nothing is there */
	}
	return has_dup(base, &rr) ? IXFR_DUPLICATES : IXFR_MISMATCH;
}

static void one_way(uint64_t seed, enum way way, struct change_sums *sums)
{
	struct random_diff d;
	struct rig r;

	rig_start(&r, INTAKE_REFUSE, 1);
	random_diff(&d, &r.zone, seed);
	rig_store(&r);
	if (way == WAY_WRONG) {
		enum ixfr_fault fault = spoil(&d, &r.zone);

		feed_steps(r.x, &d);
		ck_assert_int_eq(apply(&r), ZS_EFORMAT);
		ck_assert_int_eq(ixfr_fault(r.x), fault);
		check_untouched(&r);
	} else {
		if (way == WAY_STEPS)
			feed_steps(r.x, &d);
		if (way == WAY_CONDENSED)
			feed_condensed(r.x, &d, &r.zone);
		ck_assert_msg((way == WAY_MERGE ? merge_model(&r, &d.now) : apply(&r)) == 0, "%s",
			      ixfr_text(r.x));
		check_model(&r, &d.now);
		*sums = r.sums;
	}
	random_free(&d);
	rig_close(&r);
}

/* Up to the last field, without padding. */
#define SUMS_LEN (offsetof(struct change_sums, largest_ttl) + sizeof(uint32_t))

START_TEST(test_random)
{
	for (uint64_t seed = 1; seed <= 1500; seed++) {
		struct change_sums sums[WAYS];

		memset(sums, 0, sizeof(sums));
		for (unsigned way = 0; way < WAYS; way++)
			one_way(seed, way, &sums[way]);
		ck_assert_mem_eq(&sums[WAY_STEPS], &sums[WAY_CONDENSED], SUMS_LEN);
		ck_assert_mem_eq(&sums[WAY_STEPS], &sums[WAY_MERGE], SUMS_LEN);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { test_merge, test_merge_ends, test_random };

	return RUN_SUITE("merge", tests);
}
