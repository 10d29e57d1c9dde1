/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The store of one zone: versions, snapshots, builds, damage, the bounded set of open environments. */
#include "t_store_fix.h"

#include <fcntl.h>
#include <lmdb.h>

#include "base/crc.h"
#include "t_suite.h"

static void fix_commit(struct fix *f, uint32_t from, uint32_t to, uint32_t salt, uint64_t want)
{
	uint64_t version = 0;

	ck_assert_int_eq(commit_nums(f->s, from, to, salt, &version), 0);
	ck_assert_uint_eq(version, want);
}

/* Every number from..to has that salt in this snapshot. */
static void snap_has(struct snap *sn, uint32_t from, uint32_t to, uint32_t salt)
{
	struct kv *kv;

	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (uint32_t n = from; n <= to; n++)
		ck_assert_int_eq(check_num(kv, n, salt), 0);
	kv_close(kv);
}

static void now_has(struct fix *f, uint32_t from, uint32_t to, uint32_t salt, uint64_t version)
{
	struct snap *sn;

	ck_assert_int_eq(store_snap(f->s, &sn), 0);
	ck_assert_uint_eq(snap_version(sn), version);
	snap_has(sn, from, to, salt);
	snap_unref(sn);
}

START_TEST(empty_commit_reopen)
{
	struct fix f;
	struct snap *sn;
	struct store *twice;
	struct store_dir *other;
	enum store_health h;

	fix_new(&f, NULL);
	ck_assert_int_eq(store_snap(f.s, &sn), ZS_ENOENT);
	ck_assert_int_eq(store_open(f.d, ZONE, &twice, &h), ZS_EEXIST);
	ck_assert_int_eq(store_dir_open(f.state, &(struct store_dir_opts){ 0 }, &other), ZS_EEXIST);
	fix_commit(&f, 1, 50, 1, 1);
	fix_commit(&f, 10, 20, 2, 2);
	now_has(&f, 10, 20, 2, 2);
	ck_assert_uint_gt(store_bytes(f.s), 0);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_READY);
	now_has(&f, 1, 9, 1, 2);
	now_has(&f, 10, 20, 2, 2);
	fix_commit(&f, 60, 60, 3, 3);
	fix_end(&f);
}
END_TEST

START_TEST(old_snapshot_stays)
{
	struct fix f;
	struct snap *old, *now;
	struct kv *held[4], *more;
	unsigned n = 0;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 1000, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	fix_commit(&f, 1, 1000, 2, 2);
	fix_commit(&f, 1, 1000, 3, 3);
	ck_assert_uint_eq(snap_version(old), 1);
	snap_has(old, 1, 1000, 1);
	ck_assert_uint_gt(snap_pinned(old), 0);
	now_has(&f, 1, 1000, 3, 3);
	/* an old version's read transactions are bounded, and come round */
	while (n < 4 && snap_kv(old, &held[n]) == 0)
		n++;
	ck_assert_uint_ge(n, 2);
	ck_assert_uint_lt(n, 4);
	ck_assert_int_eq(snap_kv(old, &more), ZS_EAGAIN);
	kv_close(held[--n]);
	ck_assert_int_eq(snap_kv(old, &held[n]), 0);
	n++;
	/* the newest opens as many as are asked for */
	ck_assert_int_eq(store_snap(f.s, &now), 0);
	ck_assert_ptr_ne(now, old);
	while (n)
		kv_close(held[--n]);
	for (n = 0; n < 4; n++)
		ck_assert_int_eq(snap_kv(now, &held[n]), 0);
	while (n)
		kv_close(held[--n]);
	snap_unref(snap_ref(now));
	snap_unref(now);
	snap_unref(old);
	fix_end(&f);
}
END_TEST

START_TEST(stale_base_and_parking)
{
	struct fix f;
	struct snap *sn;
	struct view *a, *b;
	struct kv *kv;
	uint64_t v;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 10, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &a), 0);
	ck_assert_int_eq(view_new(sn, &b), 0);
	snap_unref(sn);
	ck_assert_uint_eq(view_base(a), 1);
	ck_assert_int_eq(view_kv(a, &kv), 0);
	ck_assert_int_eq(put_num(kv, 5, 7), 0);
	/* parked and resumed on the same base: handle and overlay go on */
	view_park(a);
	ck_assert_int_eq(store_commit(f.s, a, &v), ZS_ESTALE);
	ck_assert_int_eq(view_resume(a, f.s), 0);
	ck_assert_int_eq(check_num(kv, 5, 7), 0);
	ck_assert_int_eq(check_num(kv, 6, 1), 0);
	kv_close(kv);
	view_park(b);
	ck_assert_int_eq(store_commit(f.s, a, &v), 0);
	ck_assert_uint_eq(v, 2);
	ck_assert_int_eq(store_commit(f.s, a, &v), ZS_ESTALE);
	ck_assert_int_eq(view_resume(b, f.s), ZS_ESTALE);
	view_free(a);
	view_free(b);
	ck_assert_int_eq(view_new(NULL, &a), 0);
	ck_assert_int_eq(store_commit(f.s, a, &v), ZS_ESTALE);
	view_free(a);
	now_has(&f, 5, 5, 7, 2);
	fix_end(&f);
}
END_TEST

static void build_nums(struct build *b, uint32_t from, uint32_t to, uint32_t salt)
{
	uint8_t key[8], val[128];

	for (uint32_t n = from; n <= to; n++) {
		size_t klen = num_key(key, n);

		ck_assert_int_eq(build_append(b, key, klen, val, num_val(val, n, salt)), 0);
	}
}

START_TEST(build_and_publish)
{
	struct fix f;
	struct build *b, *second;
	struct snap *old;
	struct view *v;
	struct kv *kv, *low;
	uint8_t key[8];
	char path[512];
	uint64_t version;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 100, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	ck_assert_int_eq(build_new(f.s, &second), ZS_EEXIST);
	build_nums(b, 1, 500, 2);
	ck_assert_int_eq(build_append(b, key, num_key(key, 500), "x", 1), ZS_EINVAL);
	ck_assert_int_eq(build_append(b, "\x10meta", 5, "x", 1), ZS_EINVAL);
	ck_assert_int_eq(build_put(b, "\x10meta", 5, "x", 1), 0);
	ck_assert_int_eq(build_checkpoint(b), 0);
	build_nums(b, 501, 1000, 2);
	/* a reader sees what is committed */
	ck_assert_int_eq(build_kv(b, &kv), 0);
	ck_assert_int_eq(check_num(kv, 500, 2), 0);
	ck_assert_int_eq(check_num(kv, 501, 2), ZS_ENOENT);
	kv_close(kv);
	ck_assert_int_eq(build_view(b, &v), 0);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	ck_assert_int_eq(check_num(kv, 1000, 2), 0);
	ck_assert_int_eq(put_num(kv, 7, 9), 0);
	kv_close(kv);
	ck_assert_int_eq(build_commit_view(b, v), 0);
	ck_assert_int_eq(build_commit_view(b, v), ZS_ESTALE);
	view_free(v);
	/* the live generation moves on: the build has to catch up first */
	fix_commit(&f, 1, 1, 5, 2);
	ck_assert_int_eq(build_publish(b, &version), ZS_ESTALE);
	build_caught_up(b, 2);
	ck_assert_int_eq(build_publish(b, &version), 0);
	ck_assert_uint_eq(version, 3);
	now_has(&f, 8, 1000, 2, 3);
	now_has(&f, 7, 7, 9, 3);
	/* the old one lives as long as its snapshot */
	ck_assert(exists(zone_file(f.state, "1.mdb", path, sizeof path)));
	snap_has(old, 1, 100, 1);
	ck_assert_uint_gt(snap_pinned(old), 0);
	snap_unref(old);
	ck_assert(!exists(path));
	ck_assert(!exists(zone_file(f.state, "1.mdb-lock", path, sizeof path)));
	fix_commit(&f, 3, 3, 4, 4);
	fix_close(&f);
	fix_open(&f, NULL);
	now_has(&f, 8, 1000, 2, 4);
	now_has(&f, 3, 3, 4, 4);
	/* the store's own records are not seen */
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	ck_assert_int_eq(snap_kv(old, &low), 0);
	struct kv_item it;
	ck_assert_int_eq(kv_seek(low, "", 0, &it), 0);
	ck_assert_uint_eq(it.key[0], 0x10);
	ck_assert_int_eq(kv_prev(low, &it), ZS_ENOENT);
	ck_assert_int_eq(kv_seek(low, "\1", 1, &it), 0);
	ck_assert_uint_eq(it.key[0], 0x10);
	ck_assert_int_eq(kv_get(low, "\1format", 7, &it), ZS_ENOENT);
	ck_assert_int_eq(kv_seek_lt(low, "\x10", 1, &it), ZS_ENOENT);
	kv_close(low);
	snap_unref(old);
	fix_end(&f);
}
END_TEST

static size_t large_len(uint32_t n)
{
	return n * 7919 % (n % 10 ? 200 : 70000);
}

/* More than one commit's worth, with values of every size class, and puts that stand behind later appends. */
START_TEST(build_large)
{
	struct fix f;
	struct build *b;
	struct snap *sn;
	struct kv *kv;
	struct kv_item it;
	uint8_t key[8], *val = malloc(70000);
	uint32_t n = 0, total = 6000;
	uint64_t version;

	memset(val, 0x55, 70000);
	fix_new(&f, NULL);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	ck_assert_int_eq(build_put(b, "\x40index", 6, "i", 1), 0);
	for (; n < total; n++)
		ck_assert_int_eq(build_append(b, key, num_key(key, n), val, large_len(n)), 0);
	ck_assert_int_eq(build_publish(b, &version), 0);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	n = 0;
	for (int rc = kv_seek(kv, "\x20", 1, &it); rc == 0 && it.key[0] == 0x20; rc = kv_next(kv, &it), n++) {
		ck_assert_uint_eq(be32(it.key + 1), n);
		ck_assert_uint_eq(it.vlen, large_len(n));
	}
	ck_assert_uint_eq(n, total);
	ck_assert_int_eq(kv_get(kv, "\x40index", 6, &it), 0);
	kv_close(kv);
	snap_unref(sn);
	free(val);
	fix_end(&f);
}
END_TEST

START_TEST(donors)
{
	struct fix f;
	struct build *b;
	struct kv *kv, *kv2;
	uint64_t version;
	char path[512];

	fix_new(&f, NULL);
	ck_assert_int_eq(store_donor(f.s, &kv), ZS_ENOENT);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_nums(b, 1, 10, 1);
	build_keep(b);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_nums(b, 1, 10, 2);
	build_keep(b);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_EMPTY);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_nums(b, 1, 10, 3);
	ck_assert_int_eq(build_checkpoint(b), 0);
	/* the newest, and never the one under way */
	ck_assert_int_eq(store_donor(f.s, &kv), 0);
	ck_assert_int_eq(store_donor(f.s, &kv2), 0);
	ck_assert_int_eq(check_num(kv, 10, 2), 0);
	ck_assert_int_eq(check_num(kv2, 1, 2), 0);
	kv_close(kv);
	kv_close(kv2);
	store_drop_donors(f.s);
	ck_assert_int_eq(store_donor(f.s, &kv), ZS_ENOENT);
	ck_assert(!exists(zone_file(f.state, "1.mdb", path, sizeof path)));
	ck_assert(!exists(zone_file(f.state, "2.mdb", path, sizeof path)));
	ck_assert_int_eq(build_publish(b, &version), 0);
	store_drop_donors(f.s);
	now_has(&f, 1, 10, 3, 1);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_free(b);
	ck_assert(!exists(zone_file(f.state, "4.mdb", path, sizeof path)));
	fix_end(&f);
}
END_TEST

/* --- damage --------------------------------------------------------------------------------------------- */

static void poke(const char *path, off_t at, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, p, len, at), (ssize_t)len);
	close(fd);
}

/* After what was done to the file: set aside, readable by nobody, and a new version can be made. */
static void expect_damaged(struct fix *f, const char *aside)
{
	char path[512];

	fix_open(f, NULL);
	ck_assert_int_eq(f->health, STORE_DAMAGED);
	ck_assert(exists(zone_file(f->state, aside, path, sizeof path)));
	ck_assert(!exists(zone_file(f->state, "CURRENT", path, sizeof path)));
	fix_commit(f, 1, 5, 9, 1);
	fix_close(f);
	fix_open(f, NULL);
	ck_assert_int_eq(f->health, STORE_READY);
	now_has(f, 1, 5, 9, 1);
	fix_end(f);
}

static void fix_written(struct fix *f, char *path, size_t cap)
{
	fix_new(f, NULL);
	fix_commit(f, 1, 1000, 1, 1);
	fix_close(f);
	zone_file(f->state, "1.mdb", path, cap);
}

START_TEST(damaged_cut)
{
	struct fix f;
	char path[512];
	struct stat st;

	fix_written(&f, path, sizeof path);
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_int_eq(truncate(path, st.st_size / 2 & ~4095), 0);
	expect_damaged(&f, "1.mdb.damaged-1");
}
END_TEST

START_TEST(damaged_empty_or_gone)
{
	struct fix f;
	char path[512];

	fix_written(&f, path, sizeof path);
	ck_assert_int_eq(truncate(path, 0), 0);
	expect_damaged(&f, "1.mdb.damaged-1");
	fix_written(&f, path, sizeof path);
	ck_assert_int_eq(unlink(path), 0);
	expect_damaged(&f, "CURRENT.damaged-1");
}
END_TEST

START_TEST(damaged_meta_pages)
{
	struct fix f;
	char path[512];
	char junk[8192];

	memset(junk, 0xa5, sizeof junk);
	fix_written(&f, path, sizeof path);
	poke(path, 0, junk, sizeof junk);
	expect_damaged(&f, "1.mdb.damaged-1");
}
END_TEST

START_TEST(damaged_current)
{
	struct fix f;
	char path[512];
	struct kv *kv;

	fix_written(&f, path, sizeof path);
	zone_file(f.state, "CURRENT", path, sizeof path);
	poke(path, 0, "2", 1);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_DAMAGED);
	/* nothing is lost: the generation is a donor */
	ck_assert_int_eq(store_donor(f.s, &kv), 0);
	ck_assert_int_eq(check_num(kv, 1000, 1), 0);
	kv_close(kv);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_EMPTY);
	fix_end(&f);
}
END_TEST

/* Rewrites the format record of a closed generation with another format octet or zone. */
static void write_format(const char *path, uint8_t format, const uint8_t *zone, uint8_t zlen, bool good_crc)
{
	uint8_t rec[300] = { format, 0, 0, 0, 0, 2, zlen };
	MDB_val k = { 7, (void *)(uintptr_t)"\1format" }, v = { 7u + zlen, rec };
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;

	memcpy(rec + 7, zone, zlen);
	put_be32(rec + 1, crc32c(crc32c(0, rec, 1), rec + 5, 2u + zlen) ^ !good_crc);
	ck_assert_int_eq(mdb_env_create(&env), 0);
	ck_assert_int_eq(mdb_env_open(env, path, MDB_NOSUBDIR, 0600), 0);
	ck_assert_int_eq(mdb_txn_begin(env, NULL, 0, &txn), 0);
	ck_assert_int_eq(mdb_dbi_open(txn, NULL, 0, &dbi), 0);
	ck_assert_int_eq(mdb_put(txn, dbi, &k, &v, 0), 0);
	ck_assert_int_eq(mdb_txn_commit(txn), 0);
	mdb_env_close(env);
}

static uint32_t file_crc(const char *path)
{
	static uint8_t buf[1 << 20];
	FILE *fp = fopen(path, "r");
	size_t n;

	ck_assert_ptr_nonnull(fp);
	n = fread(buf, 1, sizeof buf, fp);
	fclose(fp);
	return crc32c(0, buf, n);
}

START_TEST(other_formats)
{
	struct fix f;
	char path[512];
	uint32_t before;

	fix_written(&f, path, sizeof path);
	write_format(path, STORE_FORMAT + 1, ZONE, 13, true);
	before = file_crc(path);
	ck_assert_int_eq(store_dir_open(f.state, &(struct store_dir_opts){ 0 }, &f.d), 0);
	ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &f.health), ZS_EVERSION);
	ck_assert(exists(path));
	ck_assert_uint_eq(file_crc(path), before);
	store_dir_close(f.d);
	write_format(path, STORE_FORMAT, (const uint8_t *)"\7example\3net", 13, true);
	ck_assert_int_eq(store_dir_open(f.state, &(struct store_dir_opts){ 0 }, &f.d), 0);
	ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &f.health), ZS_EEXIST);
	store_dir_close(f.d);
	write_format(path, STORE_FORMAT, ZONE, 13, true);
	fix_open(&f, NULL);
	now_has(&f, 1, 1000, 1, 1);
	fix_close(&f);
	write_format(path, STORE_FORMAT + 1, ZONE, 13, false);
	expect_damaged(&f, "1.mdb.damaged-1");
}
END_TEST

/* --- resources ------------------------------------------------------------------------------------------ */

START_TEST(map_grows)
{
	struct store_dir_opts opts = { .map_size = 256 << 10, .grow_wait_ms = 20 };
	struct fix f;
	struct snap *old, *now;
	struct kv *kv;
	uint64_t v;

	fix_new(&f, &opts);
	fix_commit(&f, 1, 500, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	fix_commit(&f, 1, 20, 2, 2);
	/* a handle that is out keeps the map where it is */
	ck_assert_int_eq(store_snap(f.s, &now), 0);
	ck_assert_int_eq(snap_kv(now, &kv), 0);
	ck_assert_int_eq(commit_nums(f.s, 1, 20000, 3, &v), ZS_EAGAIN);
	ck_assert_int_eq(check_num(kv, 20, 2), 0);
	kv_close(kv);
	/* snapshots do not, not even old ones */
	fix_commit(&f, 1, 20000, 3, 3);
	snap_has(old, 1, 500, 1);
	snap_has(now, 1, 20, 2);
	snap_has(now, 21, 500, 1);
	now_has(&f, 1, 20000, 3, 3);
	snap_unref(old);
	snap_unref(now);
	fix_close(&f);
	fix_open(&f, &opts);
	now_has(&f, 1, 20000, 3, 3);
	fix_end(&f);
}
END_TEST

/* Piece by piece to the end of what the file has; from the beginning when the map is another one. */
START_TEST(read_into_memory)
{
	struct store_dir_opts opts = { .map_size = 256 << 10 };
	struct store_warmth is = { 0 }, before;
	struct store_dir *d;
	enum store_health h;
	struct store *s;
	char state[64];
	uint64_t version;

	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	ck_assert_int_eq(store_open(d, ZONE, &s, &h), 0);
	ck_assert_int_eq(store_warm(s, 4096, &is), ZS_ENOENT);
	ck_assert_int_eq(commit_nums(s, 0, 200, 1, &version), 0);
	do {
		before = is;
		ck_assert_int_eq(store_warm(s, 16384, &is), 0);
		ck_assert_uint_gt(is.warm, before.warm);
		ck_assert_uint_le(is.warm, before.warm + 16384);
		ck_assert_uint_eq(is.all % 4096, 0);
	} while (is.warm < is.all);
	before = is;
	ck_assert_int_eq(store_warm(s, 16384, &is), 0);
	ck_assert_uint_eq(is.warm, before.all);
	ck_assert_int_eq(commit_nums(s, 0, 8000, 2, &version), 0); /* the map grows */
	ck_assert_int_eq(store_warm(s, 16384, &is), 0);
	ck_assert_uint_eq(is.warm, 16384);
	ck_assert_uint_gt(is.all, before.all);
	ck_assert_int_eq(store_warm(s, 1 << 30, &is), 0);
	ck_assert_uint_eq(is.warm, is.all);
	store_close(s);
	ck_assert_int_eq(store_open(d, ZONE, &s, &h), 0);
	ck_assert_int_eq(store_warm(s, 4096, &is), 0);
	ck_assert_uint_eq(is.warm, 4096);
	store_close(s);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

START_TEST(build_map_grows)
{
	struct store_dir_opts opts = { .map_size = 128 << 10, .grow_wait_ms = 20 };
	struct fix f;
	struct build *b;
	uint64_t v;

	fix_new(&f, &opts);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_nums(b, 1, 30000, 1);
	ck_assert_int_eq(build_publish(b, &v), 0);
	now_has(&f, 1, 30000, 1, 1);
	fix_end(&f);
}
END_TEST

START_TEST(view_limit)
{
	struct fix f;
	struct snap *sn;
	struct view *v;
	struct kv *kv;
	uint64_t version;
	uint32_t n = 0;
	int rc = 0;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 100, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	snap_unref(sn);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	while (!rc)
		rc = put_num(kv, n++ * 2654435761u, 5);
	ck_assert_int_eq(rc, ZS_ELIMIT);
	ck_assert_uint_le(view_pages(v), VIEW_PAGES_MAX);
	ck_assert_uint_eq(view_changes(v), n - 1);
	kv_close(kv);
	ck_assert_int_eq(store_commit(f.s, v, &version), 0);
	view_free(v);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (uint32_t i = 0; i + 1 < n; i++)
		ck_assert_int_eq(check_num(kv, i * 2654435761u, 5), 0);
	kv_close(kv);
	snap_unref(sn);
	fix_end(&f);
}
END_TEST

static unsigned open_files(void)
{
	unsigned n = 0;

	for (int fd = 3; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Many zones, few open environments; one with a snapshot stays open. */
START_TEST(bounded_open)
{
	struct store_dir_opts opts = { .max_open = 4 };
	struct store *s[40];
	struct snap *held, *sn;
	struct store_dir *d;
	enum store_health h;
	uint8_t zone[8] = "\2z0\0";
	char state[64];
	uint64_t v;
	unsigned before;

	make_dir(state);
	before = open_files();
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	for (unsigned i = 0; i < 40; i++) {
		zone[2] = (uint8_t)(0x80 + i);
		ck_assert_int_eq(store_open(d, zone, &s[i], &h), 0);
		ck_assert_int_eq(commit_nums(s[i], 1, 5, i, &v), 0);
	}
	ck_assert_int_eq(store_snap(s[0], &held), 0);
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 40; i++) {
			ck_assert_int_eq(store_snap(s[i], &sn), 0);
			snap_has(sn, 1, 5, i);
			snap_unref(sn);
		}
		ck_assert_uint_le(open_files() - before, 1 + 3 * 5);
	}
	snap_has(held, 1, 5, 0);
	snap_unref(held);
	for (unsigned i = 0; i < 40; i++)
		store_close(s[i]);
	store_dir_close(d);
	ck_assert_uint_eq(open_files(), before);
	rm_tree(state);
}
END_TEST

START_TEST(no_room)
{
	struct store_dir_opts opts = { .min_free = UINT64_MAX / 2 };
	struct fix f;
	struct build *b;

	fix_new(&f, &opts);
	ck_assert_int_eq(build_new(f.s, &b), ZS_ENOSPC);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_EMPTY);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	build_free(b);
	fix_end(&f);
}
END_TEST

START_TEST(purge)
{
	struct fix f;
	char path[512];

	fix_new(&f, NULL);
	fix_commit(&f, 1, 5, 1, 1);
	ck_assert_int_eq(store_purge(f.d, ZONE), ZS_EEXIST);
	store_close(f.s);
	ck_assert_int_eq(store_purge(f.d, ZONE), 0);
	ck_assert(!exists(zone_file(f.state, "", path, sizeof path)));
	ck_assert_int_eq(store_purge(f.d, ZONE), 0);
	ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &f.health), 0);
	ck_assert_int_eq(f.health, STORE_EMPTY);
	fix_end(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		empty_commit_reopen, old_snapshot_stays, stale_base_and_parking, build_and_publish,
		build_large, donors, damaged_cut, damaged_empty_or_gone, damaged_meta_pages, damaged_current,
		other_formats, map_grows, read_into_memory, build_map_grows, view_limit, bounded_open,
		no_room, purge,
	};

	return RUN_SUITE("store", tests);
}
