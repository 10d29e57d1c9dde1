/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History through a zone-sized build, and whole older contents, against plain sets (history_rig.h). The
 * build's content is random, and its expiry entries are numbered anew, as those of a build are.
 */
#include "history_rig.h"

#include "t_suite.h"

/* --- steps ---------------------------------------------------------------------------------------------- */

/* Versions and builds in any order: whoever missed any of them gets exactly what he has not. */
START_TEST(test_random_builds)
{
	struct world *w = world_new(0x1b + (uint64_t)_i);
	struct history_carry c;
	size_t reached = 0;

	make_version(w, false, NULL);
	while (w->n < 20) {
		bool routine = prng_upto(&w->rnd, 2) == 0;

		if (prng_upto(&w->rnd, 1))
			make_version(w, routine, NULL);
		else
			make_build(w, (unsigned)prng_upto(&w->rnd, 4), routine, NULL, &c);
		reached += check_served(w);
	}
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->n; k++)
			check_user(w, i, k);
	ck_assert_uint_eq(reached, w->n * (w->n - 1) / 2);
	world_free(w);
}
END_TEST

/* A build that changes nothing is its SOA. */
START_TEST(test_soa_alone)
{
	struct world *w = world_new(2);
	struct history_carry c;

	w->big = 300;
	make_version(w, false, NULL);
	make_build(w, 0, true, NULL, &c);
	ck_assert_uint_eq(c.step[HISTORY_SERVED].removed, 2);
	ck_assert_uint_eq(c.step[HISTORY_SERVED].added, 2);
	ck_assert_int_eq(c.step[HISTORY_SERVED].kind, HISTORY_ROUTINE);
	ck_assert_uint_eq(c.step[HISTORY_UPSTREAM].chunks, 0);
	ck_assert(!c.gap[HISTORY_SERVED] && !c.gap[HISTORY_UPSTREAM]);
	ck_assert_uint_eq(check_served(w), 1);
	world_free(w);
}
END_TEST

/* Many chunks, and records on both sides of a checkpoint. */
START_TEST(test_large_build)
{
	struct world *w = world_new(9);
	struct history_carry c;

	w->big = 4000;
	make_version(w, false, NULL);
	make_build(w, 1, false, NULL, &c);
	make_build(w, 1, false, NULL, &c);
	ck_assert_uint_gt(c.step[HISTORY_SERVED].chunks, 20);
	ck_assert_int_eq(c.step[HISTORY_SERVED].kind, HISTORY_USER);
	ck_assert_uint_eq(check_served(w), 2);
	ck_assert_uint_eq(check_user(w, 0, 2) + check_user(w, 2, 0) + check_user(w, 2, 1), 3);
	w->big = 0;
	make_version(w, false, NULL);
	ck_assert_uint_eq(check_served(w), 3);
	world_free(w);
}
END_TEST

/* --- gaps and bounds ------------------------------------------------------------------------------------ */

static int reaches(struct world *w, size_t from)
{
	struct kv *kv = open_kv(w);
	struct diff *d;
	int rc = history_open(kv, w->st[from].serial, w->st[w->n - 1].serial, NO_LIMIT, &d);

	if (rc)
		kv_close(kv);
	else
		diff_close(d);
	return rc;
}

static void other_chain(struct history_carry *c)
{
	c->same_chain = false;
}

static void no_room(struct history_carry *c)
{
	c->records_max = 3;
}

static void no_octets(struct history_carry *c)
{
	c->lim.bytes = c->lim.user_bytes = 100;
}

/* Nothing older leads over it, and what comes after it is as ever. */
START_TEST(test_gaps)
{
	static const vary_fn vary[] = { other_chain, no_room, no_octets };
	struct world *w = world_new(0x30 + (uint64_t)_i);
	struct history_carry c;
	bool user = _i == 2;

	w->big = 20;
	for (unsigned i = 0; i < 3; i++)
		make_version(w, false, NULL);
	make_build(w, 1, false, vary[_i], &c);
	ck_assert(c.gap[HISTORY_SERVED] && c.gap[HISTORY_UPSTREAM] == user);
	ck_assert_int_eq(reaches(w, 0), ZS_ENOENT);
	ck_assert_int_eq(reaches(w, 2), ZS_ENOENT);
	ck_assert_uint_eq(check_user(w, 0, 3), !user);
	ck_assert_uint_eq(check_user(w, 3, 2), !user);
	make_version(w, false, NULL);
	ck_assert_int_eq(reaches(w, 2), ZS_ENOENT);
	ck_assert_int_eq(reaches(w, 3), 0);
	ck_assert_uint_eq(check_user(w, 4, 2), !user);
	ck_assert_uint_eq(check_user(w, 4, 3), 1);
	world_free(w);
}
END_TEST

static void three(struct history_carry *c)
{
	c->lim.versions = 3;
}

static void young(struct history_carry *c)
{
	c->lim.age_s = 600 * 2;
}

static int add_octets(void *ctx, const struct history_head *h)
{
	*(uint64_t *)ctx += h->stored;
	return 0;
}

static uint64_t octets_allowed;

static void few_octets(struct history_carry *c)
{
	c->lim.bytes = octets_allowed;
}

/* The oldest entries go for the step: by number, age and octets. */
START_TEST(test_bounds)
{
	static const vary_fn vary[] = { three, young, few_octets };
	struct world *w = world_new(0x40 + (uint64_t)_i);
	struct history_total t[2];
	struct history_carry c;
	struct kv *kv;
	uint64_t sum = 0;

	for (unsigned i = 0; i < 8; i++)
		make_version(w, false, NULL);
	kv = open_kv(w);
	ck_assert_int_eq(history_each(kv, HISTORY_SERVED, true, add_octets, &sum), 0);
	kv_close(kv);
	octets_allowed = sum * 3 / 4;
	make_build(w, 1, false, vary[_i], &c);
	ck_assert(!c.gap[HISTORY_SERVED]);
	kv = open_kv(w);
	ck_assert_int_eq(history_totals(kv, t), 0);
	kv_close(kv);
	if (_i < 2)
		ck_assert_uint_eq(t[HISTORY_SERVED].entries, 3);
	else
		ck_assert_uint_le(t[HISTORY_SERVED].octets, octets_allowed);
	ck_assert_uint_lt(t[HISTORY_SERVED].entries, 8);
	ck_assert_uint_eq(check_served(w), t[HISTORY_SERVED].entries);
	for (size_t i = 0; i < w->n; i++)
		check_user(w, i, w->n - 1);
	world_free(w);
}
END_TEST

static void no_entry(struct world *w, struct view *v)
{
	struct kv *kv;

	ck_assert_int_eq(view_kv(v, &kv), 0);
	hentry_delete(kv, TAB_HISTORY, view_base(v) + 1);
	hentry_delete(kv, TAB_USERDIFF, view_base(v) + 1);
	kv_close(kv);
}

/* A version that left no history: the step begins behind it. */
START_TEST(test_after_a_gap)
{
	struct world *w = world_new(0x51);
	struct history_carry c;

	make_version(w, false, NULL);
	make_version(w, false, NULL);
	make_version(w, false, no_entry);
	make_build(w, 2, false, NULL, &c);
	ck_assert_int_eq(reaches(w, 1), ZS_ENOENT);
	ck_assert_int_eq(reaches(w, 2), 0);
	ck_assert_uint_eq(check_user(w, 1, 3), 0);
	ck_assert_uint_eq(check_user(w, 2, 3), 1);
	world_free(w);
}
END_TEST

static int stop(void *ctx)
{
	return ++*(unsigned *)ctx == 3 ? ZS_ECANCEL : 0;
}

START_TEST(test_cancelled)
{
	struct world *w = world_new(0x52);
	unsigned ticks = 0;
	struct history_carry c;
	struct build *b;
	struct kv *live, *to;
	uint8_t x[22];
	struct history_soa soa = { x, (uint16_t)soa_rdata(x, 1), 3600 };

	w->big = 4000;
	make_version(w, false, NULL);
	b = build_content(w, 1, false, 7);
	live = open_kv(w);
	ck_assert_int_eq(build_kv(b, &to), 0);
	c = carry_init(w, b, live, to);
	c.was = c.is = &soa;
	c.tick = stop;
	c.ctx = &ticks;
	ck_assert_int_eq(history_carry(&c), ZS_ECANCEL);
	ck_assert(!c.damaged);
	kv_close(to);
	kv_close(live);
	build_free(b);
	world_free(w);
}
END_TEST

/* --- older contents ------------------------------------------------------------------------------------- */

static int open_live(void *ctx, struct kv **out)
{
	*out = open_kv(ctx);
	return 0;
}

struct got { struct set set; bool soa, other; };

static int take(void *ctx, const struct rr *rr)
{
	struct got *g = ctx;

	if (rr->type == T_SOA) {
		ck_assert(!g->soa && !g->other);
		g->soa = true;
	} else {
		g->other = true;
		set_add(&g->set, rr);
	}
	return 0;
}

static size_t check_content(struct world *w, size_t i)
{
	static const struct set none;
	struct got g = { .soa = false };
	const struct state *now = &w->st[w->n - 1], *st = &w->st[i];
	struct history_total t[2];
	struct kv *kv;
	int rc = history_content(open_live, w, now->version, st->version, take, &g);

	set_sort(&g.set);
	kv = open_kv(w);
	ck_assert_int_eq(history_totals(kv, t), 0);
	kv_close(kv);
	if (st->upstream == now->upstream || st->version < t[HISTORY_UPSTREAM].since) {
		ck_assert_int_eq(rc, ZS_ENOENT);
	} else {
		ck_assert_int_eq(rc, 0);
		ck_assert(g.soa);
		ck_assert_uint_eq(g.set.n, st->user.n);
		ck_assert(set_is_minus(&g.set, &st->user, &none));
	}
	set_free(&g.set);
	return rc == 0;
}

START_TEST(test_content)
{
	struct world *w = world_new(0x60 + (uint64_t)_i);
	struct history_carry c;
	size_t n = 0;

	w->big = _i == 0 ? 600 : 0;
	make_version(w, false, NULL);
	while (w->n < 14) {
		if (prng_upto(&w->rnd, 2))
			make_version(w, prng_upto(&w->rnd, 2) == 0, NULL);
		else
			make_build(w, 1, false, NULL, &c);
		for (size_t i = 0; i < w->n; i++)
			n += check_content(w, i);
	}
	ck_assert_uint_gt(n, 20);
	world_free(w);
}
END_TEST

/* History of another content is not applied to this one. */
START_TEST(test_content_does_not_fit)
{
	struct world *w = world_new(0x70);
	struct got g = { .soa = false };
	struct view *v;
	struct kv *kv;
	uint64_t version;
	struct kv_item it;
	uint8_t from = TAB_RECORDS, key[KEY_MAX];
	size_t klen;

	w->big = 30;
	make_version(w, false, NULL);
	make_version(w, false, NULL);
	v = open_view(w, &kv, NULL);
	for (int rc = kv_seek(kv, &from, 1, &it); rc == 0 && it.key[0] == TAB_RECORDS;
	     rc = kv_seek(kv, key, klen + 1, &it)) {
		klen = it.klen;
		memcpy(key, it.key, klen);
		key[klen] = 0;
		if (be16(key + klen - 2) != T_SOA)
			ck_assert_int_eq(kv_del(kv, key, klen), 0);
	}
	kv_close(kv);
	ck_assert_int_eq(store_commit(w->s, v, &version), 0);
	view_free(v);
	ck_assert_int_eq(history_content(open_live, w, version, w->st[0].version, take, &g), ZS_EFORMAT);
	set_free(&g.set);
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("history_build");
	TCase *t = tcase_create("history_build");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_random_builds, 0, 4);
	tcase_add_test(t, test_soa_alone);
	tcase_add_test(t, test_large_build);
	tcase_add_loop_test(t, test_gaps, 0, 3);
	tcase_add_loop_test(t, test_bounds, 0, 3);
	tcase_add_test(t, test_after_a_gap);
	tcase_add_test(t, test_cancelled);
	tcase_add_loop_test(t, test_content, 0, 4);
	tcase_add_test(t, test_content_does_not_fit);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
