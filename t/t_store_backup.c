/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Backups: the list of a directory's files, a zone's copy while versions go on, the register as a text. */
#include "t_store_util.h"

#include "base/fs.h"
#include "base/manifest.h"
#include "t_suite.h"

#define TIME WALL(1700000000)

static char *join(const char *dir, const char *name, char dst[static 512])
{
	snprintf(dst, 512, "%s/%s", dir, name);
	return dst;
}

static void put_file(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
}

/* --- the list ------------------------------------------------------------------------------------------- */

static void make_list(const char *dir)
{
	struct manifest *m = manifest_new(dir), *sub;
	char path[512];

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(manifest_mkdir(m, "part/deep"), 0);
	ck_assert_int_eq(manifest_mkdir(m, "part/deep"), 0);
	ck_assert_int_eq(manifest_write(m, "one", "first\n", 6), 0);
	ck_assert_int_eq(manifest_write(m, "one", "again\n", 6), ZS_EEXIST);
	ck_assert_int_eq(manifest_write_checked(m, "two", "text\n", 5), 0);
	ck_assert_int_eq(manifest_note(m, "a note\nof two lines"), 0);
	sub = manifest_new(join(dir, "part", path));
	put_file(join(dir, "part/deep/three", path), "3");
	ck_assert_int_eq(manifest_add(sub, "deep/three", NULL, NULL), 0);
	ck_assert_int_eq(manifest_save(sub, TIME), 0);
	manifest_free(sub);
	ck_assert_int_eq(manifest_add(m, "part/MANIFEST", NULL, NULL), 0);
	ck_assert_int_eq(manifest_save(m, TIME), 0);
	ck_assert_uint_eq(manifest_files(m), 3);
	manifest_free(m);
}

static void expect_wrong(const char *dir, int rc, const char *what)
{
	struct manifest_report rep;

	ck_assert_int_eq(manifest_check(dir, NULL, NULL, &rep), rc);
	ck_assert_msg(strstr(rep.what, what) != NULL, "%s", rep.what);
}

START_TEST(list_and_check)
{
	struct manifest_report rep;
	char dir[64], path[512], *text;
	size_t len;

	make_dir(dir);
	ck_assert_int_eq(manifest_check(dir, NULL, NULL, &rep), ZS_ENOENT);
	make_list(dir);
	ck_assert_int_eq(manifest_check(dir, NULL, NULL, &rep), 0);
	ck_assert_uint_eq(rep.files, 4);
	ck_assert_int_eq(rep.time, 1700000000);
	ck_assert_int_eq(fs_read_checked(join(dir, "two", path), 100, &text, &len), 0);
	ck_assert_str_eq(text, "text\n");
	free(text);
	put_file(join(dir, "one", path), "First\n");
	expect_wrong(dir, ZS_ECRC, "one: has other content");
	put_file(path, "first\n\n");
	expect_wrong(dir, ZS_ECRC, "one: is longer");
	put_file(path, "");
	expect_wrong(dir, ZS_ECRC, "one: is shorter");
	unlink(path);
	expect_wrong(dir, ZS_ECRC, "one: is missing");
	ck_assert_int_eq(symlink("two", path), 0);
	expect_wrong(dir, ZS_ECRC, "one: ");
	unlink(path);
	put_file(path, "first\n");
	put_file(join(dir, "part/deep/three", path), "4");
	expect_wrong(dir, ZS_ECRC, "deep/three: has other content");
	rm_tree(dir);
}
END_TEST

START_TEST(bad_lists)
{
	static const struct { const char *text; int rc; } cases[] = {
		{ "", ZS_ECRC }, { "something else 1\ntime 5\n", ZS_ECRC },
		{ "zoneseal-backup 1\n", ZS_ECRC }, { "zoneseal-backup 2\nnew\n", ZS_EVERSION },
		{ "zoneseal-backup 1\ntime 5\nfile 1 0\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\nwhat\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\nfile 0 00000000 ../x\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\nfile 0 00000000 /x\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\nfile 0 00000000 a/./x\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\nfile 0 00000000 a//x\n", ZS_ECRC },
		{ "zoneseal-backup 1\ntime 5\n", 0 },
	};
	struct manifest_report rep;
	char dir[64], path[512];

	make_dir(dir);
	join(dir, "MANIFEST", path);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(fs_replace_checked(path, cases[i].text, strlen(cases[i].text), 0600), 0);
		ck_assert_int_eq(manifest_check(dir, NULL, NULL, &rep), cases[i].rc);
	}
	ck_assert_int_eq(truncate(path, 20), 0);
	ck_assert_int_eq(manifest_check(dir, NULL, NULL, &rep), ZS_ECRC);
	rm_tree(dir);
}
END_TEST

/* --- a zone --------------------------------------------------------------------------------------------- */

#define NUMS 50000

static struct store_dir *dir_open(const char *state)
{
	struct store_dir *d = NULL;

	ck_assert_int_eq(store_dir_open(state, &(struct store_dir_opts){ .map_size = (uint64_t)64 << 20 },
					&d),
			 0);
	return d;
}

static struct manifest *target(const char *to, char path[static 512])
{
	ck_assert_int_eq(mkdir(to, 0700), 0);
	ck_assert_int_eq(mkdir(join(to, "zones", path), 0700), 0);
	return manifest_new(path);
}

/* A version has a bound: several of them. */
static void fill(struct store *s, uint32_t salt, uint64_t *version)
{
	for (uint32_t n = 0; n < NUMS; n += 5000)
		ck_assert_int_eq(commit_nums(s, n, n + 4999, salt, version), 0);
}

struct ticks { struct store *s; unsigned n, cancel_at; uint64_t version; };

/* Versions in the middle of the copy, of what it has not reached: they must not be seen in it. */
static int on_tick(void *ctx)
{
	struct ticks *t = ctx;

	if (++t->n == t->cancel_at)
		return ZS_ECANCEL;
	if (t->n <= 3)
		ck_assert_int_eq(commit_nums(t->s, NUMS - 4000, NUMS - 1, 7 + t->n, &t->version), 0);
	return 0;
}

static void expect_content(const char *state, uint32_t salt, uint64_t version)
{
	struct store_dir *d = dir_open(state);
	enum store_health health;
	struct store *s;
	struct snap *sn;
	struct kv_item it;
	struct kv *kv;
	uint32_t n = 0;
	uint64_t next;

	ck_assert_int_eq(store_open(d, ZONE, &s, &health), 0);
	ck_assert_int_eq(health, STORE_READY);
	ck_assert_uint_eq(store_version(s), version);
	ck_assert(store_is_restored(s));
	ck_assert_int_eq(store_snap(s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (uint32_t i = 0; i < NUMS; i++)
		ck_assert_int_eq(check_num(kv, i, salt), 0);
	for (int rc = kv_seek(kv, "\x10", 1, &it); !rc; rc = kv_next(kv, &it))
		n++;
	ck_assert_uint_eq(n, NUMS);
	kv_close(kv);
	snap_unref(sn);
	/* and it goes on from there */
	ck_assert_int_eq(commit_nums(s, 0, 3, 99, &next), 0);
	ck_assert_uint_eq(next, version + 1);
	ck_assert(store_is_restored(s));
	ck_assert_int_eq(store_restored_over(s), 0);
	ck_assert(!store_is_restored(s));
	store_close(s);
	store_dir_close(d);
}

START_TEST(a_zone_while_it_changes)
{
	char state[64], to[80], path[512];
	struct store_dir *d;
	enum store_health health;
	struct store_copied out;
	struct manifest_report rep;
	struct ticks t = { .cancel_at = 0 };
	struct store_copy_opts o = { .tick = on_tick, .ctx = &t };
	struct manifest *m;
	uint64_t version;

	make_dir(state);
	d = dir_open(state);
	ck_assert_int_eq(store_open(d, ZONE, &t.s, &health), 0);
	ck_assert(!store_is_restored(t.s));
	fill(t.s, 1, &version);
	fill(t.s, 5, &version);
	ck_assert_int_eq(fs_replace_checked(store_keystate_path(t.s), "keys\n", 5, 0600), 0);
	snprintf(to, sizeof to, "%s/to", state);
	m = target(to, path);
	ck_assert_int_eq(store_backup(t.s, m, &o, &out), 0);
	ck_assert_uint_eq(out.version, version);
	ck_assert_uint_eq(out.items, NUMS);
	ck_assert_uint_gt(t.n, 5);
	ck_assert_uint_eq(t.version, version + 3);
	ck_assert_int_eq(manifest_save(m, TIME), 0);
	ck_assert_uint_eq(manifest_files(m), 4); /* generation, CURRENT, keystate, RESTORED */
	manifest_free(m);
	ck_assert_int_eq(manifest_check(path, NULL, NULL, &rep), 0);
	expect_content(to, 5, version);
	store_close(t.s);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

START_TEST(a_zone_cancelled_and_an_empty_one)
{
	char state[64], to[80], path[512], file[512];
	struct store_dir *d;
	enum store_health health;
	struct store_copied out;
	struct ticks t = { .cancel_at = 2 };
	struct store_copy_opts o = { .tick = on_tick, .ctx = &t }, quiet = { .tick = NULL };
	struct manifest *m;
	uint64_t version;

	make_dir(state);
	d = dir_open(state);
	ck_assert_int_eq(store_open(d, ZONE, &t.s, &health), 0);
	ck_assert_int_eq(fs_replace_checked(store_keystate_path(t.s), "keys\n", 5, 0600), 0);
	snprintf(to, sizeof to, "%s/empty", state);
	m = target(to, path);
	ck_assert_int_eq(store_backup(t.s, m, &quiet, &out), 0);
	ck_assert_uint_eq(out.version, 0);
	ck_assert_uint_eq(manifest_files(m), 2);
	manifest_free(m);
	fill(t.s, 5, &version);
	snprintf(to, sizeof to, "%s/cut", state);
	m = target(to, path);
	ck_assert_int_eq(store_backup(t.s, m, &o, &out), ZS_ECANCEL);
	ck_assert_uint_eq(out.version, 0);
	ck_assert(!exists(zone_file(to, "CURRENT", file, sizeof file)));
	ck_assert(!exists(zone_file(to, "1.mdb", file, sizeof file)));
	/* a directory that takes nothing is the backup's trouble */
	ck_assert_int_eq(store_backup(t.s, m, &quiet, &out), ZS_EEXIST);
	ck_assert(out.target);
	manifest_free(m);
	store_close(t.s);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

/* --- the register --------------------------------------------------------------------------------------- */

static int count_entry(void *ctx, const struct keyreg_entry *e)
{
	unsigned *n = ctx;

	ck_assert_str_eq(e->keystore, "hsm");
	ck_assert_int_eq(e->created, 1234);
	ck_assert_uint_eq(e->role, 2);
	ck_assert_uint_eq(e->algorithm, 13);
	ck_assert_mem_eq(e->zone, ZONE, 13);
	++*n;
	return 0;
}

START_TEST(register_text)
{
	struct keyreg_entry e = { .keystore = "hsm", .zone_len = 13, .role = 2, .algorithm = 13,
				  .created = 1234 };
	char state[64], to[80], path[512];
	struct store_dir *d;
	struct keyreg *r;
	struct manifest *m;
	unsigned n = 0;

	make_dir(state);
	d = dir_open(state);
	memcpy(e.zone, ZONE, 13);
	ck_assert_int_eq(keyreg_open(d, &r), 0);
	for (uint8_t i = 0; i < 20; i++) {
		e.id[15] = i;
		ck_assert_int_eq(keyreg_put(r, &e), 0);
	}
	snprintf(to, sizeof to, "%s/to", state);
	ck_assert_int_eq(mkdir(to, 0700), 0);
	ck_assert_int_eq(mkdir(join(to, "register", path), 0700), 0);
	m = manifest_new(path);
	ck_assert_int_eq(keyreg_backup(r, m), 0);
	manifest_free(m);
	keyreg_close(r);
	store_dir_close(d);
	d = dir_open(to);
	ck_assert_int_eq(keyreg_open(d, &r), 0);
	ck_assert_int_eq(keyreg_each(r, count_entry, &n), 0);
	ck_assert_uint_eq(n, 20);
	ck_assert_int_eq(keyreg_has(r, e.id, ZONE, 13), 0);
	ck_assert(!exists(join(to, "register/keys.txt", path)));
	keyreg_close(r);
	/* a text that is none makes no register */
	unlink(join(to, "register/keys.mdb", path));
	join(to, "register/keys.txt", path);
	ck_assert_int_eq(fs_replace_checked(path, "zoneseal-register 1\nkey 00\n", 27, 0600), 0);
	ck_assert_int_eq(keyreg_open(d, &r), ZS_EFORMAT);
	put_file(path, "zoneseal-register 1\n");
	ck_assert_int_eq(keyreg_open(d, &r), ZS_EFORMAT);
	ck_assert(!exists(join(to, "register/keys.mdb", path)));
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		list_and_check, bad_lists, a_zone_while_it_changes, a_zone_cancelled_and_an_empty_one,
		register_text,
	};

	return RUN_SUITE("store backup", tests);
}
