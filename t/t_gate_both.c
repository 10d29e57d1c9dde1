/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What builds say of themselves (gate_step_build): silence on what the store takes along over random versions
 * and builds, the name of the check on every fault in the step, in what it leads to and in what is older; and
 * the gap that is left instead.
 */
#include "step_rig.h"

#include "base/crc.h"
#include "gate/gate.h"
#include "t_suite.h"

static void spoil_build(struct world *w, struct build *b, const struct history_carry *carried)
{
	for (size_t i = 0; i < 2 * nfaults; i++) {
		struct cand c = { .w = w, .version = carried->version + 1, .whole = true, .t = i & 1 };

		if (w->still && c.t == HISTORY_SERVED)
			continue;
		ck_assert_int_eq(build_view(b, &c.v), 0);
		spoil_cand(&c, &faults[i / 2]);
		view_free(c.v);
	}
}

START_TEST(seeded_faults_of_builds)
{
	struct world *w = world_new(3);
	struct history_carry c;

	w->big = _i ? 1200 : 400;
	make_version(w, false, judge_view);
	make_version(w, false, judge_view);
	w->still = _i; /* removes, and adds nothing */
	w->does = _i ? REMOVES : MIXED;
	w->built = spoil_build;
	make_build(w, 1, false, NULL, &c);
	world_free(w);
}
END_TEST

static void judge_build(struct world *w, struct build *b, const struct history_carry *carried)
{
	struct cand c = { .w = w, .version = carried->version + 1, .whole = true, .verbose = true,
			  .gaps = (carried->gap[HISTORY_SERVED] ? GATE_SERVED : 0) |
				  (carried->gap[HISTORY_UPSTREAM] ? GATE_UPSTREAM : 0) };

	ck_assert_int_eq(build_view(b, &c.v), 0);
	ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
	ck_assert_uint_eq(judge(&c), 0);
	snap_unref(c.sn);
	view_free(c.v);
	judged++;
}

static void other_chain(struct history_carry *c) { c->same_chain = false; }
static void no_octets(struct history_carry *c) { c->lim.bytes = c->lim.user_bytes = 100; }
static void few(struct history_carry *c) { c->lim.versions = 2; }
static void one(struct history_carry *c) { c->lim.versions = 1; }

/* Versions, merged ones too, and builds in any order, some of which leave a gap or drop what is old. */
START_TEST(good_builds)
{
	static const vary_fn vary[] = { NULL, NULL, NULL, other_chain, no_octets, few, one };
	struct world *w = world_new(0x90 + (uint64_t)_i);
	struct history_carry c;

	w->built = judge_build;
	make_version(w, false, judge_view);
	while (w->n < 30) {
		bool routine = prng_upto(&w->rnd, 2) == 0;

		w->big = w->n == 10 ? 500 : 0;
		w->still = prng_upto(&w->rnd, 2) == 0;
		w->does = prng_upto(&w->rnd, 2);
		if (prng_upto(&w->rnd, 2))
			make_version(w, routine, _i & 1 ? shorten : judge_view);
		else
			make_build(w, (unsigned)prng_upto(&w->rnd, 4), routine,
				   vary[prng_upto(&w->rnd, 6)], &c);
	}
	ck_assert_uint_ge(judged, 30);
	world_free(w);
}
END_TEST

/* What stands in a table of the build otherwise than it was taken into the step. */
static void at_last(struct cand *c, uint8_t table, int how)
{
	uint8_t key[KEY_MAX], val[4096], behind = (uint8_t)(table + 1);
	struct kv_item it;

	ck_assert_int_eq(kv_seek_lt(c->kv, &behind, 1, &it), 0);
	ck_assert(it.key[0] == table && it.vlen <= sizeof val);
	memcpy(key, it.key, it.klen);
	memcpy(val, it.val, it.vlen);
	if (how == 0)
		ck_assert_int_eq(kv_del(c->kv, key, it.klen), 0);
	if (how == 2) /* it does not parse any more */
		val[it.vlen / 2] ^= 1;
	else
		key[it.klen - 1]++;
	if (how)
		ck_assert_int_eq(kv_put(c->kv, key, it.klen, val, it.vlen), 0);
}

/* Another signature over the last RRset of the table that has one. */
static void at_signature(struct cand *c, uint8_t table)
{
	uint8_t key[KEY_MAX], val[4096], behind = (uint8_t)(table + 1);
	struct kv_item it;
	struct rrval v;

	ck_assert_int_eq(kv_seek_lt(c->kv, &behind, 1, &it), 0);
	while (rrval_open(&v, it.val, it.vlen) || !v.nsig)
		ck_assert_int_eq(kv_prev(c->kv, &it), 0);
	ck_assert_uint_eq(it.key[0], table);
	memcpy(key, it.key, it.klen);
	memcpy(val, it.val, it.vlen);
	val[it.vlen - 17] ^= 1;
	put_be32(val + 1, crc32c(0, val + 5, it.vlen - 5));
	ck_assert_int_eq(kv_put(c->kv, key, it.klen, val, it.vlen), 0);
}

/* An older entry of history. */
static void at_older(struct cand *c, enum history_table table, int how)
{
	static const char *const by[] = { NULL, "rdata", "serial_from", "merged" };
	struct cand old = *c;
	struct entry e;

	old.version = c->version - 2;
	old.t = table;
	entry_load(&e, &old);
	if (how == 0)
		ck_assert_int_eq(hentry_delete(c->kv, table_octet(table), old.version), 0);
	if (how) {
		spoil_as(&e, by[how]);
		entry_store(&e);
	}
	arena_free(e.mem);
}

static void spoil_content(struct world *w, struct build *b, const struct history_carry *carried)
{
	for (int fault = 0; fault < 16; fault++) {
		struct cand c = { .w = w, .version = carried->version + 1, .whole = true };
		uint64_t said;

		ck_assert_int_eq(build_view(b, &c.v), 0);
		ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
		ck_assert_int_eq(view_kv(c.v, &c.kv), 0);
		if (fault < 6)
			at_last(&c, fault & 1 ? TAB_DENIAL : TAB_RECORDS, fault / 2);
		else if (fault < 8)
			at_signature(&c, fault & 1 ? TAB_DENIAL : TAB_RECORDS);
		else
			at_older(&c, fault & 1, (fault - 8) / 2);
		ck_assert_msg(judge_any(&c, &said) != 0, "fault %d", fault);
		ck_assert_msg(c.spared == (fault / 2 != 2), "fault %d", fault); /* it does not parse */
		kv_close(c.kv);
		snap_unref(c.sn);
		view_free(c.v);
	}
}

/* A value of the live generation that does not parse; and one of the build, too. */
static void spoil_base(struct world *w, struct build *b, const struct history_carry *carried)
{
	for (int fault = 0; fault < 4; fault++) {
		struct cand c = { .w = w, .version = carried->version + 1, .whole = true }, base = c;
		uint64_t said;

		ck_assert_int_eq(build_view(b, &c.v), 0);
		ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
		ck_assert_int_eq(view_new(c.sn, &c.base), 0);
		ck_assert_int_eq(view_kv(c.base, &base.kv), 0);
		at_last(&base, fault & 1 ? TAB_DENIAL : TAB_RECORDS, 2);
		kv_close(base.kv);
		ck_assert_int_eq(view_kv(c.v, &c.kv), 0);
		if (fault & 2)
			at_last(&c, TAB_RECORDS, 2);
		kv_close(c.kv);
		ck_assert(judge_any(&c, &said) > said);
		ck_assert(c.spared == !(fault & 2));
		view_free(c.base);
		snap_unref(c.sn);
		view_free(c.v);
	}
}

START_TEST(faults_of_what_was_before)
{
	struct world *w = world_new(0xa1);
	struct history_carry c;

	w->big = 60;
	make_version(w, false, judge_view);
	w->built = spoil_base;
	make_build(w, 1, false, NULL, &c);
	world_free(w);
}
END_TEST

START_TEST(content_faults_of_builds)
{
	struct world *w = world_new(0xa0);
	struct history_carry c;

	w->big = 60;
	for (int i = 0; i < 4; i++)
		make_version(w, false, judge_view);
	w->built = spoil_content;
	make_build(w, 1, false, NULL, &c);
	make_build(w, 0, true, NULL, &c);
	world_free(w);
}
END_TEST

static void disown(struct world *w, struct build *b, const struct history_carry *c)
{
	(void)w;
	ck_assert_int_eq(history_disown(b, c->version + 1), 0);
}

/* A gap in place of a wrong step: nothing older leads on, and what comes after it is as ever. */
START_TEST(disowned)
{
	struct world *w = world_new(0xb0);
	struct history_total t[2];
	struct history_carry c;
	struct kv *kv;

	w->big = 40;
	for (int i = 0; i < 3; i++)
		make_version(w, false, judge_view);
	w->built = disown;
	make_build(w, 1, false, NULL, &c);
	ck_assert_uint_eq(check_served(w), 0);
	ck_assert_uint_eq(check_user(w, 0, 3) + check_user(w, 2, 3) + check_user(w, 0, 1), 0);
	w->built = judge_build;
	for (int i = 0; i < 3; i++)
		make_version(w, false, shorten);
	make_build(w, 1, false, NULL, &c);
	ck_assert_uint_eq(check_served(w), 4);
	ck_assert_uint_eq(check_user(w, 3, 7) + check_user(w, 7, 3) + check_user(w, 2, 7), 2);
	kv = open_kv(w);
	ck_assert_int_eq(history_totals(kv, t), 0);
	ck_assert_uint_eq(t[HISTORY_SERVED].entries, 4);
	ck_assert_uint_eq(t[HISTORY_UPSTREAM].since, w->st[3].version);
	kv_close(kv);
	world_free(w);
}
END_TEST

static int ticks_left;
static int stop(void *ctx) { (void)ctx; return --ticks_left < 0 ? ZS_ECANCEL : 0; }

static void stopped(struct world *w, struct build *b, const struct history_carry *carried)
{
	struct cand c = { .w = w };
	struct gate_params p = { .zone = ZONE, .zone_len = name_len(ZONE), .unsigned_zone = true,
				 .open_base = cand_base, .base_ctx = &c };
	struct gate *g = gate_new(&p);
	struct kv *kv, *walk;

	ck_assert_int_eq(build_checkpoint(b), 0);
	ck_assert_int_eq(build_kv(b, &kv), 0);
	ck_assert_int_eq(build_kv(b, &walk), 0);
	ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
	ticks_left = 1;
	ck_assert_int_eq(gate_step_build(g, kv, walk, carried->version + 1, false, stop, NULL), ZS_ECANCEL);
	ck_assert_uint_eq(gate_total(g), 0);
	snap_unref(c.sn);
	kv_close(walk);
	kv_close(kv);
	gate_free(g);
}

START_TEST(cancelled)
{
	struct world *w = world_new(0xc0);
	struct history_carry c;

	w->big = 4000;
	make_version(w, false, NULL);
	w->built = stopped;
	make_build(w, 1, false, NULL, &c);
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gate_both");
	TCase *t = tcase_create("gate_both");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, good_builds, 0, 6);
	tcase_add_loop_test(t, seeded_faults_of_builds, 0, 2);
	tcase_add_test(t, content_faults_of_builds);
	tcase_add_test(t, faults_of_what_was_before);
	tcase_add_test(t, disowned);
	tcase_add_test(t, cancelled);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
