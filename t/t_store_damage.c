/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Damaged generations: set aside at once, marked and kept when they are replaced, over restarts; how many. */
#include "t_store_fix.h"

#include <dirent.h>

#include "t_suite.h"

static void fix_commit(struct fix *f, uint32_t salt, uint64_t want)
{
	uint64_t version = 0;

	ck_assert_int_eq(commit_nums(f->s, 1, 100, salt, &version), 0);
	ck_assert_uint_eq(version, want);
	ck_assert_uint_eq(store_version(f->s), want);
}

static void now_has(struct fix *f, uint32_t salt, uint64_t version)
{
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_snap(f->s, &sn), 0);
	ck_assert_uint_eq(snap_version(sn), version);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (uint32_t n = 1; n <= 100; n++)
		ck_assert_int_eq(check_num(kv, n, salt), 0);
	kv_close(kv);
	snap_unref(sn);
}

static int has_file(const struct fix *f, const char *name)
{
	char path[512];

	return exists(zone_file(f->state, name, path, sizeof path));
}

/* A build with the same numbers over what is live. */
static struct build *build_all(struct fix *f, uint32_t salt)
{
	uint8_t key[8], val[128];
	struct build *b;

	ck_assert_int_eq(build_new(f->s, &b), 0);
	for (uint32_t n = 1; n <= 100; n++) {
		size_t klen = num_key(key, n);

		ck_assert_int_eq(build_append(b, key, klen, val, num_val(val, n, salt)), 0);
	}
	return b;
}

static void rebuild(struct fix *f, uint32_t salt, uint64_t want)
{
	struct build *b = build_all(f, salt);
	uint64_t version;

	build_caught_up(b, store_version(f->s));
	ck_assert_int_eq(build_publish(b, &version), 0);
	ck_assert_uint_eq(version, want);
}

/* Copies a file of the zone's directory under another name. */
static void copy_file(const struct fix *f, const char *from, const char *to)
{
	char a[512], b[512], buf[4096];
	FILE *in = fopen(zone_file(f->state, from, a, sizeof a), "rb");
	FILE *out = fopen(zone_file(f->state, to, b, sizeof b), "wb");
	size_t n;

	ck_assert(in && out);
	while ((n = fread(buf, 1, sizeof buf, in)) > 0)
		ck_assert_uint_eq(fwrite(buf, 1, n, out), n);
	fclose(in);
	fclose(out);
}

START_TEST(aside_at_once)
{
	struct fix f;
	struct snap *sn;
	struct kv *kv;
	char name[64];

	fix_new(&f, NULL);
	ck_assert_int_eq(store_set_aside(f.s), ZS_ENOENT);
	store_aside_name(f.s, name, sizeof name);
	ck_assert_str_eq(name, "");
	fix_commit(&f, 1, 1);
	ck_assert_int_eq(store_snap(f.s, &sn), 0);
	ck_assert_int_eq(store_set_aside(f.s), 0);
	store_aside_name(f.s, name, sizeof name);
	ck_assert_str_eq(name, "1.mdb.damaged-1");
	ck_assert(has_file(&f, name));
	ck_assert(has_file(&f, "CURRENT.damaged-1"));
	ck_assert(!has_file(&f, "CURRENT"));
	ck_assert(!has_file(&f, "1.mdb-lock"));
	ck_assert_uint_eq(store_version(f.s), 0);
	/* who reads, reads on */
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	ck_assert_int_eq(check_num(kv, 100, 1), 0);
	kv_close(kv);
	snap_unref(sn);
	ck_assert_int_eq(store_snap(f.s, &sn), ZS_ENOENT);
	/* the zone goes on, also after a restart */
	fix_commit(&f, 2, 1);
	ck_assert(has_file(&f, "2.mdb"));
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_READY);
	ck_assert(!store_is_damaged(f.s));
	now_has(&f, 2, 1);
	fix_end(&f);
}
END_TEST

/* Nothing was built before the next start: the zone is empty then, and the file is still there. */
START_TEST(aside_then_restart)
{
	struct fix f;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 1);
	ck_assert_int_eq(store_set_aside(f.s), 0);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_EMPTY);
	ck_assert(has_file(&f, "1.mdb.damaged-1"));
	fix_commit(&f, 2, 1);
	ck_assert_int_eq(store_set_aside(f.s), 0);
	ck_assert(has_file(&f, "1.mdb.damaged-1"));
	ck_assert(has_file(&f, "1.mdb.damaged-2"));
	fix_end(&f);
}
END_TEST

/* A build that was under way does not bring back what was set aside, and is not lost. */
START_TEST(aside_during_a_build)
{
	struct fix f;
	struct build *b;
	uint64_t version;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 1);
	b = build_all(&f, 2);
	ck_assert_int_eq(store_set_aside(f.s), 0);
	ck_assert_int_eq(build_publish(b, &version), ZS_ESTALE);
	build_caught_up(b, store_version(f.s));
	ck_assert_int_eq(build_publish(b, &version), 0);
	now_has(&f, 2, 1);
	fix_end(&f);
}
END_TEST

START_TEST(marked)
{
	struct fix f;
	struct snap *old;
	struct kv *kv;
	char name[64];

	fix_new(&f, NULL);
	ck_assert_int_eq(store_mark_damaged(f.s, 0), ZS_ESTALE);
	fix_commit(&f, 1, 1);
	ck_assert(!store_is_damaged(f.s));
	ck_assert_int_eq(store_mark_damaged(f.s, 1), 0);
	ck_assert_int_eq(store_mark_damaged(f.s, 1), 0);
	ck_assert(store_is_damaged(f.s));
	/* served and written as before, and the mark outlives a restart */
	fix_commit(&f, 2, 2);
	fix_close(&f);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_READY);
	ck_assert(store_is_damaged(f.s));
	now_has(&f, 2, 2);
	ck_assert_int_eq(store_snap(f.s, &old), 0);
	rebuild(&f, 3, 3);
	ck_assert(!store_is_damaged(f.s));
	store_aside_name(f.s, name, sizeof name);
	ck_assert_str_eq(name, "1.mdb.damaged-1");
	ck_assert(has_file(&f, name));
	ck_assert(!has_file(&f, "DAMAGED"));
	ck_assert_int_eq(snap_kv(old, &kv), 0);
	ck_assert_int_eq(check_num(kv, 50, 2), 0);
	kv_close(kv);
	snap_unref(old);
	ck_assert(has_file(&f, name)); /* not removed with its last reader, as an ordinary one is */
	now_has(&f, 3, 3);
	rebuild(&f, 4, 4);
	ck_assert(!has_file(&f, "2.mdb"));
	fix_end(&f);
}
END_TEST

/* A finding that comes late speaks of the former generation. */
START_TEST(marked_too_late)
{
	struct fix f;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 1);
	rebuild(&f, 2, 2);
	fix_commit(&f, 3, 3);
	ck_assert_int_eq(store_mark_damaged(f.s, 1), ZS_ESTALE);
	ck_assert(!store_is_damaged(f.s));
	ck_assert(!has_file(&f, "DAMAGED"));
	ck_assert_int_eq(store_mark_damaged(f.s, 2), 0);
	fix_end(&f);
}
END_TEST

/* The crash between the move of CURRENT and the rename of the damaged file; and a mark that is none. */
START_TEST(marked_then_crash)
{
	struct fix f;
	char path[512];
	FILE *out;

	fix_new(&f, NULL);
	fix_commit(&f, 1, 1);
	ck_assert_int_eq(store_mark_damaged(f.s, 1), 0);
	copy_file(&f, "1.mdb", "copy");
	copy_file(&f, "DAMAGED", "copy-of-mark");
	rebuild(&f, 2, 2);
	fix_close(&f);
	copy_file(&f, "copy", "1.mdb");
	copy_file(&f, "copy-of-mark", "DAMAGED");
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_READY);
	ck_assert(!store_is_damaged(f.s));
	ck_assert(!has_file(&f, "1.mdb"));
	ck_assert(!has_file(&f, "DAMAGED"));
	ck_assert(has_file(&f, "1.mdb.damaged-2"));
	now_has(&f, 2, 2);
	fix_close(&f);
	out = fopen(zone_file(f.state, "DAMAGED", path, sizeof path), "w");
	ck_assert_ptr_nonnull(out);
	fputs("2.mdb\n", out);
	fclose(out);
	fix_open(&f, NULL);
	ck_assert(!store_is_damaged(f.s));
	ck_assert(!has_file(&f, "DAMAGED"));
	fix_end(&f);
}
END_TEST

static unsigned count_aside(const struct fix *f, const char *prefix)
{
	char path[512];
	struct dirent *e;
	unsigned n = 0;
	DIR *dir = opendir(zone_file(f->state, "", path, sizeof path));

	ck_assert_ptr_nonnull(dir);
	while ((e = readdir(dir)))
		n += strncmp(e->d_name, prefix, strlen(prefix)) == 0 && strstr(e->d_name, ".damaged-");
	closedir(dir);
	return n;
}

/* What a disk damages again and again does not fill it, and opening goes on. */
START_TEST(bounded)
{
	struct fix f;
	char name[64];

	fix_new(&f, NULL);
	for (unsigned i = 0; i < 20; i++) {
		fix_commit(&f, i, 1);
		ck_assert_int_eq(store_set_aside(f.s), 0);
		store_aside_name(f.s, name, sizeof name);
		ck_assert(has_file(&f, name));
	}
	ck_assert_uint_eq(count_aside(&f, "CURRENT"), 8);
	ck_assert_uint_eq(count_aside(&f, ""), 16);
	ck_assert(has_file(&f, "20.mdb.damaged-1"));
	ck_assert(!has_file(&f, "1.mdb.damaged-1"));
	fix_end(&f);
}
END_TEST

/* The leaf that has number n is no leaf any more: LMDB sees it when it looks for the number. */
static void spoil_leaf(const struct fix *f, uint32_t n)
{
	static const uint8_t leaf = 2, none = 0; /* of the flags, which begin at octet 10 */
	uint8_t page[4096], key[8];
	size_t klen = num_key(key, n), spoilt = 0;
	char path[512];
	FILE *fp = fopen(zone_file(f->state, "1.mdb", path, sizeof path), "r+b");

	ck_assert_ptr_nonnull(fp);
	for (long at = 0; fread(page, 1, sizeof page, fp) == sizeof page; at += (long)sizeof page) {
		if (page[10] != leaf || !memmem(page, sizeof page, key, klen))
			continue;
		ck_assert(!fseek(fp, at + 10, SEEK_SET) && fwrite(&none, 1, 1, fp) == 1);
		ck_assert(!fseek(fp, at + (long)sizeof page, SEEK_SET));
		spoilt++;
	}
	fclose(fp);
	ck_assert_uint_eq(spoilt, 1);
}

/* A commit that meets damage to the tree is the last one: what is written on top of it is lost with it. */
START_TEST(a_tree_that_is_none)
{
	struct fix f;
	uint64_t version;

	fix_new(&f, NULL);
	ck_assert_int_eq(commit_nums(f.s, 1, 3000, 1, &version), 0);
	fix_close(&f);
	spoil_leaf(&f, 2000);
	fix_open(&f, NULL);
	ck_assert_int_eq(f.health, STORE_READY);
	ck_assert_int_eq(commit_nums(f.s, 1, 10, 2, &version), 0);
	ck_assert_int_eq(commit_nums(f.s, 1995, 2005, 3, &version), ZS_ECRC);
	ck_assert_int_eq(commit_nums(f.s, 1, 10, 3, &version), ZS_EIO);
	ck_assert_uint_eq(store_version(f.s), 2);
	fix_end(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		aside_at_once,
		aside_then_restart,
		aside_during_a_build,
		marked,
		marked_too_late,
		marked_then_crash,
		bounded,
		a_tree_that_is_none,
	};

	return RUN_SUITE("store_damage", tests);
}
