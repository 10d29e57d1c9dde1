/* SPDX-License-Identifier: GPL-3.0-or-later */
/* History of versions: differences against plain sets (history_rig.h), trimming, merging, damage, gaps. */
#include "history_rig.h"

#include "t_suite.h"

START_TEST(test_random_versions)
{
	struct world *w = world_new(0x51 + (uint64_t)_i);
	size_t reached = 0, user = 0;

	while (w->n < VERSIONS / 2) {
		make_version(w, prng_upto(&w->rnd, 2) == 0, NULL);
		reached += check_served(w);
	}
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->n; k++)
			user += check_user(w, i, k);
	ck_assert_uint_eq(reached, w->n * (w->n - 1) / 2);
	ck_assert_uint_gt(user, 0);
	world_free(w);
}
END_TEST

static void keep_short(struct world *w, struct view *v)
{
	struct history_limits lim = { 12, 1 << 20, 1 << 20, 20 * 600 };
	bool merged;

	ck_assert_int_eq(history_merge(v, w->now, 3600, &merged), 0);
	w->merges += merged;
	ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
}

START_TEST(test_trim_and_merge)
{
	struct world *w = world_new(0x99 + (uint64_t)_i);
	struct history_total t[2];
	size_t reached = 0;

	while (w->n < VERSIONS) {
		struct kv *kv;

		make_version(w, prng_upto(&w->rnd, 4) != 0, keep_short);
		reached += check_served(w);
		kv = open_kv(w);
		ck_assert_int_eq(history_totals(kv, t), 0);
		kv_close(kv);
		ck_assert_uint_le(t[0].entries, 12);
		ck_assert_uint_le(t[1].entries, 12);
		for (size_t i = 0; i < w->n; i++)
			check_user(w, i, w->n - 1);
	}
	ck_assert_uint_gt(reached, VERSIONS * 4);
	ck_assert_uint_gt(w->merges, 3);
	world_free(w);
}
END_TEST

/* Many chunks: more than one page of records, and one record that needs a chunk of its own. */
START_TEST(test_large_version)
{
	static uint8_t huge[60000];
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	struct rr_item rr = { .ttl = 60, .len = sizeof huge, .data = huge };
	struct rrset set = { .owner = ZONE, .type = 65290, .nrr = 1, .rr = &rr };
	struct world *w = world_new(5);
	struct history_head h = { 0 };
	struct view *v;
	struct kv *kv, *base;
	struct diff *d;

	make_version(w, false, NULL);
	w->big = 2000;
	make_version(w, false, NULL);
	make_version(w, false, NULL);
	ck_assert_uint_eq(check_served(w), 2);
	ck_assert_uint_eq(check_user(w, 0, 2), 1);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[2].serial, 5000, &d), ZS_ELIMIT);
	ck_assert_int_eq(history_open(kv, w->st[1].serial, w->st[2].serial, 5000, &d), ZS_ELIMIT);
	kv_close(kv);

	v = open_view(w, &kv, &base);
	put_set(kv, key, key_record(key, okey, name_okey(ZONE, okey), set.type), &set);
	put_soa(w, kv, w->st[2].serial + 1);
	ck_assert_int_eq(history_write(v, base, &h), 0);
	ck_assert_uint_eq(h.removed, 2);
	ck_assert_uint_eq(h.added, 3);
	kv_close(base);
	ck_assert_int_eq(view_kv(v, &base), 0);
	ck_assert_int_eq(history_open(base, h.from_serial, h.to_serial, NO_LIMIT, &d), 0);
	ck_assert_uint_gt(d->octets, sizeof huge);
	diff_close(d);
	view_free(v);
	world_free(w);
}
END_TEST

/* The same change in a store with full history: no more keys are touched than in a fresh one. */
START_TEST(test_steady_work)
{
	struct history_limits lim = { 20, 1 << 30, 1 << 30, 1 << 30 };
	struct world *w = world_new(6);
	uint32_t serial;
	size_t most = 0;

	make_version(w, false, NULL);
	serial = w->st[0].serial;
	for (unsigned i = 0; i < 200; i++) {
		struct history_head h = { .time = w->now, .kind = HISTORY_ROUTINE };
		struct view *v;
		struct kv *kv, *base;
		uint64_t version;
		bool merged;

		v = open_view(w, &kv, &base);
		put_soa(w, kv, ++serial);
		ck_assert_int_eq(history_write(v, base, &h), 0);
		ck_assert_int_eq(history_merge(v, w->now, i < 100 ? 1000000 : 3600, &merged), 0);
		ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
		kv_close(base);
		if (!merged && view_changes(v) > most)
			most = view_changes(v);
		ck_assert_int_eq(store_commit(w->s, v, &version), 0);
		view_free(v);
		w->now += 600;
	}
	ck_assert_uint_le(most, 4); /* SOA, entry, totals, one entry deleted */
	world_free(w);
}
END_TEST

/* --- damage --------------------------------------------------------------------------------------------- */

static void copy_history(struct kv *from, struct kv *to)
{
	struct kv_item it;

	for (int rc = kv_seek(from, "", 0, &it); rc == 0; rc = kv_next(from, &it))
		if (it.key[0] == TAB_HISTORY || it.key[0] == TAB_USERDIFF || it.key[0] == TAB_META)
			ck_assert_int_eq(kv_put(to, it.key, it.klen, it.val, it.vlen), 0);
}

/* Reads everything there is; the first error. */
static int read_all(struct kvmem *m, uint32_t from, uint32_t to)
{
	struct diff *d;
	struct rr rr;
	bool added;
	struct kv *kv = kvmem_open(m);
	int rc = history_open(kv, from, to, NO_LIMIT, &d);

	if (rc) {
		kv_close(kv);
		return rc;
	}
	while ((rc = diff_next(d, &rr, &added)) == 0)
		;
	diff_close(d);
	return rc == ZS_ENOENT ? 0 : rc;
}

START_TEST(test_damage)
{
	struct world *w = world_new(0x77);
	struct kvmem *m = kvmem_new(0);
	struct kv *to = kvmem_open(m), *it_kv = kvmem_open(m), *kv;
	struct kv_item it;
	uint32_t a, b;

	w->big = 60;
	for (unsigned i = 0; i < 4; i++)
		make_version(w, false, NULL);
	kv = open_kv(w);
	copy_history(kv, to);
	kv_close(kv);
	a = w->st[0].serial;
	b = w->st[3].serial;
	ck_assert_int_eq(read_all(m, a, b), 0);
	for (int rc = kv_seek(it_kv, "\x50", 1, &it); rc == 0 && it.key[0] == TAB_HISTORY;
	     rc = kv_next(it_kv, &it)) {
		uint8_t *val = malloc(it.vlen), key[KEY_MAX];
		size_t klen = it.klen, vlen = it.vlen;

		memcpy(val, it.val, vlen);
		memcpy(key, it.key, klen);
		for (unsigned i = 0; i < 20; i++) {
			size_t at = prng_upto(&w->rnd, vlen - 1);
			uint8_t was = val[at];

			val[at] ^= (uint8_t)(1 << prng_upto(&w->rnd, 7));
			kv_put(to, key, klen, val, vlen);
			ck_assert_int_eq(read_all(m, a, b), ZS_ECRC);
			val[at] = was;
		}
		kv_put(to, key, klen, val, prng_upto(&w->rnd, vlen - 1));
		ck_assert_int_eq(read_all(m, a, b), ZS_ECRC);
		kv_del(to, key, klen);
		ck_assert_int_eq(read_all(m, a, b), ZS_EFORMAT);
		kv_put(to, key, klen, val, vlen);
		free(val);
	}
	ck_assert_int_eq(read_all(m, a, b), 0);
	kv_close(it_kv);
	kv_close(to);
	kvmem_free(m);
	world_free(w);
}
END_TEST

/* A version without history is a gap: nothing before it leads further. */
static void no_entry(struct world *w, struct view *v)
{
	struct kv *kv;

	ck_assert_int_eq(view_kv(v, &kv), 0);
	hentry_delete(kv, TAB_HISTORY, view_base(v) + 1);
	kv_close(kv);
}

START_TEST(test_gap)
{
	struct world *w = world_new(3);
	struct kv *kv;
	struct diff *d;

	for (unsigned i = 0; i < 3; i++)
		make_version(w, false, NULL);
	make_version(w, false, no_entry);
	make_version(w, false, NULL);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[2].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[4].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[3].serial, w->st[4].serial, NO_LIMIT, &d), 0);
	diff_close(d);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[2].serial, NO_LIMIT, &d), 0);
	check_diff(d, &w->st[0].served, &w->st[2].served, true);
	diff_close(d);
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("history");
	TCase *t = tcase_create("history");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_random_versions, 0, 3);
	tcase_add_loop_test(t, test_trim_and_merge, 0, 3);
	tcase_add_test(t, test_large_version);
	tcase_add_test(t, test_steady_work);
	tcase_add_test(t, test_damage);
	tcase_add_test(t, test_gap);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
