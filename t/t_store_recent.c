/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Changes that are written aside: what decides, that a start finds them, that builds, copies and backups have
 * them in their place, that damage is seen, and that the pages from before are let go.
 */
#include "t_store_util.h"

#include <lmdb.h>

#include "base/manifest.h"
#include "t_suite.h"

#define MANY 2000

struct fix { char state[64]; struct store_dir *d; struct store *s; };

static void fix_open(struct fix *f)
{
	struct store_dir_opts opts = { .recent_from = 100 };
	enum store_health h;

	ck_assert_int_eq(store_dir_open(f->state, &opts, &f->d), 0);
	ck_assert_int_eq(store_open(f->d, ZONE, &f->s, &h), 0);
}

/* Version 1: the even numbers. */
static void fix_new(struct fix *f)
{
	uint8_t key[8], val[128];
	uint64_t version;
	struct build *b;

	make_dir(f->state);
	fix_open(f);
	ck_assert_int_eq(build_new(f->s, &b), 0);
	for (uint32_t n = 0; n < MANY; n += 2) {
		size_t klen = num_key(key, n);

		ck_assert_int_eq(build_append(b, key, klen, val, num_val(val, n, 1)), 0);
	}
	ck_assert_int_eq(build_publish(b, &version), 0);
}

static void fix_close(struct fix *f)
{
	store_close(f->s);
	store_dir_close(f->d);
}

static void fix_end(struct fix *f)
{
	fix_close(f);
	rm_tree(f->state);
}

/* One version: every step-th number from `from` gets the salt, or goes (salt 0); and a key of history. */
static void change(struct store *s, uint32_t from, uint32_t to, uint32_t step, uint32_t salt)
{
	uint8_t key[8];
	uint64_t version;
	struct snap *sn;
	struct view *v;
	struct kv *kv;

	ck_assert_int_eq(store_snap(s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	snap_unref(sn);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	for (uint32_t n = from; n <= to; n += step) {
		if (salt)
			ck_assert_int_eq(put_num(kv, n, salt), 0);
		else
			ck_assert_int_eq(kv_del(kv, key, num_key(key, n)), 0);
	}
	ck_assert_int_eq(kv_put(kv, "\x50h", 2, &salt, sizeof(salt)), 0);
	ck_assert_int_eq(store_commit(s, v, &version), 0);
	view_free(v);
}

static struct kv *open_newest(struct store *s)
{
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_snap(s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	snap_unref(sn);
	return kv;
}

/* As after change(0, MANY - 1, 4, 7) and change(2, MANY - 1, 4, 0): multiples of 4 have salt 7, nothing else
 * is there. */
static void check_changed(struct kv *kv)
{
	struct kv_item it;
	uint32_t n = 0;
	int rc;

	for (rc = kv_seek(kv, "\x20", 1, &it); !rc && it.key[0] == 0x20; rc = kv_next(kv, &it), n += 4)
		ck_assert(it.klen == 5 && be32(it.key + 1) == n && be32(it.val + 4) == 7);
	ck_assert_uint_eq(n, MANY);
	for (n = 0; n < MANY; n += 2)
		ck_assert_int_eq(check_num(kv, n, 7), n % 4 ? ZS_ENOENT : 0);
}

static void check_now(struct store *s)
{
	struct kv *kv = open_newest(s);

	check_changed(kv);
	kv_close(kv);
}

static void make_changes(struct store *s)
{
	change(s, 0, MANY - 1, 4, 7);
	change(s, 2, MANY - 1, 4, 0);
}

START_TEST(many_changes_go_aside)
{
	struct fix f;
	uint64_t left, before;
	unsigned steps = 0;

	fix_new(&f);
	ck_assert_uint_eq(store_recent(f.s), 0);
	change(f.s, 0, 2 * 97, 2, 3); /* 98 and history: to their place */
	ck_assert_uint_eq(store_recent(f.s), 0);
	ck_assert_int_eq(store_fold(f.s, 10, NULL, NULL, &left), 0);
	ck_assert_uint_eq(left, 0);
	make_changes(f.s);
	before = store_recent(f.s);
	ck_assert_uint_gt(before, MANY / 2 * 10);
	check_now(f.s);
	change(f.s, 0, 0, 1, 7); /* one that is there already */
	do {
		ck_assert_int_eq(store_fold(f.s, 100, NULL, NULL, &left), 0);
		check_now(f.s);
		ck_assert_uint_lt(left, before);
		before = left;
		steps++;
	} while (left);
	ck_assert_uint_eq(steps, MANY / 2 / 100);
	ck_assert_uint_eq(store_version(f.s), 5);
	fix_end(&f);
}
END_TEST

static bool no_more(void *ctx)
{
	unsigned *asked = ctx;

	return *asked == 0 || --*asked == 0;
}

/*
 * Whoever is asked is asked after each one that is read but the last, and after each one that is moved. What
 * is moved by then is what a fold of so many moves.
 */
START_TEST(a_fold_ends_when_it_is_told)
{
	static const struct { unsigned most, asked, moved; } step[] = {
		{ MANY, 0, 1 },  /* or it would never come to an end */
		{ MANY, 10, 1 },
		{ 20, 19 + 11, 11 },
		{ 20, 19 + 20, 20 },
	};
	struct fix f, g;
	uint64_t left, want;
	unsigned asked;

	fix_new(&f);
	fix_new(&g);
	make_changes(f.s);
	make_changes(g.s);
	for (size_t i = 0; i < sizeof(step) / sizeof(*step); i++) {
		asked = step[i].asked;
		ck_assert_int_eq(store_fold(f.s, step[i].most, no_more, &asked, &left), 0);
		ck_assert_int_eq(store_fold(g.s, step[i].moved, NULL, NULL, &want), 0);
		ck_assert_uint_eq(left, want);
		check_now(f.s);
	}
	fix_close(&f);
	fix_open(&f);
	ck_assert_uint_eq(store_recent(f.s), left);
	do {
		asked = 99 + 51;
		ck_assert_int_eq(store_fold(f.s, 100, no_more, &asked, &left), 0);
		check_now(f.s);
	} while (left);
	fix_close(&f);
	fix_open(&f);
	ck_assert_uint_eq(store_recent(f.s), 0);
	check_now(f.s);
	fix_end(&f);
	fix_end(&g);
}
END_TEST

START_TEST(a_start_finds_them)
{
	struct fix f;
	uint64_t left, before;

	fix_new(&f);
	make_changes(f.s);
	before = store_recent(f.s);
	fix_close(&f);
	fix_open(&f);
	ck_assert_uint_eq(store_recent(f.s), before);
	check_now(f.s);
	ck_assert_int_eq(store_fold(f.s, MANY, NULL, NULL, &left), 0);
	ck_assert_uint_eq(left, 0);
	check_now(f.s);
	fix_close(&f);
	fix_open(&f);
	ck_assert_uint_eq(store_recent(f.s), 0);
	check_now(f.s);
	fix_end(&f);
}
END_TEST

/*
 * An old snapshot keeps what it showed; the newest one lets the pages from before a fold go, but for those of
 * handles that are out: a transfer has one from its beginning to its end.
 */
START_TEST(snapshots_over_folds)
{
	struct fix f;
	struct snap *old, *now;
	struct kv *kv, *a, *b;
	struct store_pins pins;
	uint64_t left, pinned;

	fix_new(&f);
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	make_changes(f.s);
	ck_assert_int_eq(store_snap(f.s, &now), 0);
	ck_assert_int_eq(snap_kv(now, &a), 0);
	ck_assert_int_eq(store_fold(f.s, MANY / 4, NULL, NULL, &left), 0);
	pinned = snap_pinned(now);
	ck_assert_int_eq(store_fold(f.s, MANY / 8, NULL, NULL, &left), 0);
	ck_assert_int_eq(store_fold(f.s, MANY, NULL, NULL, &left), 0);
	ck_assert_uint_eq(left, 0);
	ck_assert_uint_gt(snap_pinned(now), pinned);
	pinned = snap_pinned(now);
	ck_assert_uint_gt(snap_pinned(old), pinned);
	for (unsigned i = 0; i < 20; i++) { /* more than it had: opened now */
		ck_assert_int_eq(snap_kv(now, &b), 0);
		check_changed(b);
		kv_close(b);
	}
	ck_assert_uint_ge(snap_pinned(now), pinned);
	check_changed(a);
	kv_close(a);
	ck_assert_uint_eq(snap_pinned(now), 0);
	ck_assert_int_eq(store_pinned(f.s, UINT64_MAX, &pins), 0);
	ck_assert_uint_eq(pins.octets, snap_pinned(old));
	ck_assert_int_eq(snap_kv(now, &a), 0);
	ck_assert_int_eq(snap_kv(now, &b), 0);
	check_changed(a);
	check_changed(b);
	kv_close(a);
	kv_close(b);
	ck_assert_int_eq(snap_kv(old, &kv), 0);
	for (uint32_t n = 0; n < MANY; n += 2)
		ck_assert_int_eq(check_num(kv, n, 1), 0);
	kv_close(kv);
	snap_unref(now);
	snap_unref(old);
	fix_end(&f);
}
END_TEST

/* A view that was made before a fold is committed after it. */
START_TEST(a_view_over_a_fold)
{
	struct fix f;
	struct snap *sn;
	struct view *v;
	struct kv *kv;
	uint64_t left, version;

	fix_new(&f);
	make_changes(f.s);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	snap_unref(sn);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	ck_assert_int_eq(put_num(kv, 1, 9), 0);
	ck_assert_int_eq(put_num(kv, 4, 9), 0);
	ck_assert_int_eq(store_fold(f.s, MANY / 8, NULL, NULL, &left), 0);
	ck_assert_int_eq(check_num(kv, 8, 7), 0);
	ck_assert_int_eq(store_commit(f.s, v, &version), 0);
	view_free(v);
	for (left = 1; left;) {
		kv = open_newest(f.s);
		ck_assert_int_eq(check_num(kv, 1, 9), 0);
		ck_assert_int_eq(check_num(kv, 4, 9), 0);
		ck_assert_int_eq(check_num(kv, 8, 7), 0);
		ck_assert_int_eq(check_num(kv, 2, 1), ZS_ENOENT);
		kv_close(kv);
		ck_assert_int_eq(store_fold(f.s, 50, NULL, NULL, &left), 0);
	}
	fix_end(&f);
}
END_TEST

/*
 * Over the bound, which is in proportion to the content, commits go to the place of what they change, and
 * nothing older covers it.
 */
START_TEST(over_the_bound)
{
	struct fix f;
	uint64_t most = 0;
	uint32_t round;
	struct kv *kv;

	fix_new(&f);
	for (round = 0; round < 400; round++) {
		for (uint32_t n = 0; n < 4; n++)
			change(f.s, n * 500, n * 500 + 499, 1, 1 + (round * 4 + n) % 1000);
		if (store_recent(f.s) == most)
			break;
		most = store_recent(f.s);
	}
	ck_assert_uint_gt(most, 1 << 20);
	ck_assert_uint_le(most, 2 << 20);
	kv = open_newest(f.s);
	for (uint32_t n = 0; n < MANY; n++)
		ck_assert_int_eq(check_num(kv, n, 1 + (round * 4 + n / 500) % 1000), 0);
	kv_close(kv);
	change(f.s, 100, 100, 1, 4242);
	kv = open_newest(f.s);
	ck_assert_int_eq(check_num(kv, 100, 4242), 0);
	kv_close(kv);
	change(f.s, 100, 100, 1, 0);
	kv = open_newest(f.s);
	ck_assert_int_eq(check_num(kv, 100, 4242), ZS_ENOENT);
	kv_close(kv);
	fix_end(&f);
}
END_TEST

START_TEST(copies_have_them_in_their_place)
{
	struct store_copy_opts o = { 0 };
	struct store_copied out;
	struct manifest *m;
	struct fix f, g;
	char dir[512];

	fix_new(&f);
	make_changes(f.s);
	make_dir(g.state);
	snprintf(dir, sizeof(dir), "%s/zones", g.state);
	ck_assert_int_eq(mkdir(dir, 0700), 0);
	m = manifest_new(dir);
	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(store_backup(f.s, m, &o, &out), 0);
	ck_assert_uint_eq(out.items, MANY / 4 + 1);
	manifest_free(m);
	fix_open(&g);
	ck_assert_uint_eq(store_recent(g.s), 0);
	check_now(g.s);
	fix_end(&g);
	fix_end(&f);
}
END_TEST

/* One octet of the head of an entry, in the file. */
static void spoil(struct fix *f)
{
	char path[512];
	uint8_t key[8] = { 2 };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_val k = { .mv_size = 1 + num_key(key + 1, 400), .mv_data = key }, v;
	uint8_t copy[256];

	fix_close(f);
	ck_assert_int_eq(mdb_env_create(&env), 0);
	zone_file(f->state, "1.mdb", path, sizeof path);
	ck_assert_int_eq(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	ck_assert_int_eq(mdb_get(txn, dbi, &k, &v), 0);
	ck_assert_uint_le(v.mv_size, sizeof copy);
	memcpy(copy, v.mv_data, v.mv_size);
	copy[5] ^= 1; /* deleted, not put */
	v.mv_data = copy;
	ck_assert_int_eq(mdb_put(txn, dbi, &k, &v, 0), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
	fix_open(f);
}

/* A fold cannot pass it; versions can, or nothing would be refreshed until upstream gave the whole zone. */
START_TEST(damage_is_seen)
{
	uint8_t key[8];
	struct kv_item it;
	uint64_t left;
	struct fix f;
	struct kv *kv;
	int rc;

	fix_new(&f);
	make_changes(f.s);
	spoil(&f);
	kv = open_newest(f.s);
	ck_assert_int_eq(check_num(kv, 400, 7), ZS_ECRC);
	ck_assert_int_eq(check_num(kv, 404, 7), 0);
	ck_assert_int_eq(kv_seek(kv, key, num_key(key, 400), &it), ZS_ECRC);
	for (rc = kv_seek(kv, "\x20", 1, &it); !rc; rc = kv_next(kv, &it))
		;
	ck_assert_int_eq(rc, ZS_ECRC);
	kv_close(kv);
	ck_assert_int_eq(store_fold(f.s, MANY, NULL, NULL, &left), ZS_ECRC);
	change(f.s, 404, 404, 1, 8);
	ck_assert_int_eq(store_fold(f.s, MANY, NULL, NULL, &left), ZS_ECRC);
	change(f.s, 400, 404, 4, 7);
	ck_assert_int_eq(store_fold(f.s, MANY, NULL, NULL, &left), 0);
	ck_assert_uint_eq(left, 0);
	check_now(f.s);
	fix_end(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { many_changes_go_aside, a_fold_ends_when_it_is_told, a_start_finds_them,
				       snapshots_over_folds, a_view_over_a_fold, over_the_bound,
				       copies_have_them_in_their_place, damage_is_seen };

	return RUN_SUITE("store recent", tests);
}
