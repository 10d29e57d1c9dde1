/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A commit that is not synced retires the generation; a copy of what is served takes its place, with the same
 * number, and versions go on. What that meets: readers of the old file, a build that is under way, a full
 * disk, a caller who has enough, a value that does not pass.
 */
#include "t_store_fix.h"

#include <errno.h>

#include "crashshim.h"
#include "dns/schema.h"
#include "t_suite.h"

#define NUMBERS 6000 /* more than one turn of the copier */
#define SNAP_SPARE 2   /* handles of a snapshot at least */

static const struct store_copy_opts plain = { 0 };

/* Builds find no room: a renewal needs none of what is set aside. */
static const struct store_dir_opts no_room = { .min_free = (uint64_t)1 << 60 };

/* The shim knows files that were opened while it looked. */
static void idle(const struct fix *f)
{
	crash_arm(CRASH_COUNT, f->state, 0, 0, -1);
}

/* Version 1, made where there is room, and version 2 over it. */
static void begin(struct fix *f)
{
	uint64_t version;

	make_dir(f->state);
	idle(f);
	fix_open(f, NULL);
	ck_assert_int_eq(commit_nums(f->s, 1, NUMBERS, 1, &version), 0);
	fix_close(f);
	fix_open(f, &no_room);
	ck_assert_int_eq(commit_nums(f->s, 10, 20, 2, &version), 0);
	ck_assert_uint_eq(version, 2);
}

static void end(struct fix *f)
{
	crash_arm(CRASH_OFF, f->state, 0, 0, -1);
	fix_end(f);
}

/* The calls of a commit: how many there are, counted over one that goes well. */
static long calls(struct fix *f, uint32_t salt)
{
	uint64_t version;
	long n;

	idle(f);
	ck_assert_int_eq(commit_nums(f->s, 10, 20, salt, &version), 0);
	n = crash_count();
	return n;
}

/* Call `at` of the next commit fails. */
static int failing(struct fix *f, long at, uint32_t salt)
{
	uint64_t version;
	int rc;

	crash_arm(CRASH_FAIL, f->state, at, EIO, -1);
	rc = commit_nums(f->s, 10, 20, salt, &version);
	idle(f);
	return rc;
}

static void now_has(struct fix *f, uint32_t salt, uint64_t version)
{
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_snap(f->s, &sn), 0);
	ck_assert_uint_eq(snap_version(sn), version);
	ck_assert_uint_eq(store_version(f->s), version);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (uint32_t n = 1; n <= NUMBERS; n++)
		ck_assert_int_eq(check_num(kv, n, n >= 10 && n <= 20 ? salt : 1), 0);
	kv_close(kv);
	snap_unref(sn);
}

static int has_file(const struct fix *f, const char *name)
{
	char path[512];

	return exists(zone_file(f->state, name, path, sizeof path));
}

/*
 * A generation whose meta page is unsure opens no more handles. Who wants one is told to come again, when one
 * of those that are out is back: it is no error of what is read. True: there were no more.
 */
static bool handles_go_round(struct snap *sn)
{
	struct kv *kv[2 * SNAP_SPARE];
	unsigned n = 0;
	int rc = 0;

	while (n < 2 * SNAP_SPARE && !(rc = snap_kv(sn, &kv[n])))
		n++;
	ck_assert(n && (!rc || rc == ZS_EAGAIN));
	while (n)
		kv_close(kv[--n]);
	return rc != 0;
}

START_TEST(versions_go_on)
{
	struct store_copied out;
	struct fix f;
	uint64_t version;
	unsigned few = 0;
	long n;

	begin(&f);
	ck_assert_int_eq(store_renew(f.s, &plain, &out), ZS_ENOENT);
	n = calls(&f, 3); /* version 3 */
	ck_assert_int_ge(n, 2);
	version = 3;
	/* each call of a commit, one after the other: pages, their sync, the meta page */
	for (long at = 1; at <= n; at++) {
		struct snap *held;
		struct kv *kv;

		ck_assert_int_eq(store_snap(f.s, &held), 0);
		ck_assert_int_eq(failing(&f, at, 9), ZS_EIO);
		ck_assert_int_eq(failing(&f, 1000, 9), ZS_EIO); /* and stays so */
		now_has(&f, (uint32_t)version, version);
		few += handles_go_round(held);
		ck_assert_int_eq(store_renew(f.s, &plain, &out), 0);
		ck_assert_uint_eq(out.version, version);
		ck_assert_uint_eq(out.items, NUMBERS);
		now_has(&f, (uint32_t)version, version);
		ck_assert_int_eq(store_renew(f.s, &plain, &out), ZS_ENOENT);
		/* who read, reads on */
		ck_assert_int_eq(snap_kv(held, &kv), 0);
		ck_assert_int_eq(check_num(kv, 10, (uint32_t)version), 0);
		kv_close(kv);
		snap_unref(held);
		ck_assert_int_eq(failing(&f, 1000, (uint32_t)version + 1), 0);
		now_has(&f, (uint32_t)version + 1, version + 1);
		version++;
	}
	ck_assert_uint_gt(few, 0);
	ck_assert(!has_file(&f, "1.mdb"));
	fix_close(&f);
	fix_open(&f, &no_room);
	now_has(&f, (uint32_t)version, version);
	end(&f);
}
END_TEST

static int enough(void *ctx)
{
	int *turns = ctx;

	return ++*turns == 2 ? ZS_ECANCEL : 0;
}

static int no_fifteen(const struct kv_item *it)
{
	return it->key[0] == TAB_RECORDS && be32(it->key + 1) == 15 ? ZS_ECRC : 0;
}

START_TEST(what_may_go_wrong)
{
	int turns = 0;
	struct store_copy_opts cancelled = { .tick = enough, .ctx = &turns };
	struct store_copy_opts strict = { .check = no_fifteen };
	struct store_copied out;
	struct fix f;
	long n;

	begin(&f);
	ck_assert_int_eq(failing(&f, calls(&f, 3), 9), ZS_EIO);
	ck_assert_int_eq(store_renew(f.s, &cancelled, &out), ZS_ECANCEL);
	ck_assert(!out.target);
	ck_assert_int_eq(store_renew(f.s, &strict, &out), ZS_ECRC);
	ck_assert(!out.target);
	/* every call of it */
	for (n = 1;; n++) {
		int rc;

		crash_arm(CRASH_FAIL, f.state, n, n % 2 ? EIO : ENOSPC, -1);
		rc = store_renew(f.s, &plain, &out);
		idle(&f);
		now_has(&f, 3, 3);
		if (!rc)
			break;
		ck_assert(out.target);
		ck_assert_uint_eq(out.version, 0);
	}
	ck_assert_int_ge(n, 5);
	ck_assert_int_eq(failing(&f, 1000, 4), 0);
	fix_close(&f);
	fix_open(&f, &no_room);
	now_has(&f, 4, 4);
	end(&f);
}
END_TEST

START_TEST(beside_a_build)
{
	static const struct store_dir_opts none = { 0 };
	struct store_copied out;
	uint8_t key[8], val[128];
	struct build *b;
	struct fix f;
	uint64_t version;

	begin(&f);
	fix_close(&f);
	ck_assert_int_eq(store_dir_open(f.state, &none, &f.d), 0);
	ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &f.health), 0);
	ck_assert_int_eq(build_new(f.s, &b), 0);
	for (uint32_t n = 1; n <= NUMBERS; n++) {
		size_t klen = num_key(key, n), vlen = num_val(val, n, n >= 10 && n <= 20 ? 7 : 1);

		ck_assert_int_eq(build_append(b, key, klen, val, vlen), 0);
	}
	ck_assert_int_eq(build_checkpoint(b), 0);
	ck_assert_int_eq(failing(&f, calls(&f, 3), 9), ZS_EIO);
	ck_assert_int_eq(store_renew(f.s, &plain, &out), 0);
	store_drop_donors(f.s);
	now_has(&f, 3, 3);
	build_caught_up(b, 3);
	ck_assert_int_eq(build_publish(b, &version), 0);
	ck_assert_uint_eq(version, 4);
	now_has(&f, 7, 4);
	fix_close(&f);
	fix_open(&f, &no_room);
	now_has(&f, 7, 4);
	end(&f);
}
END_TEST

/* Two files of one version: what is newest is given up to nobody. */
START_TEST(the_newest_is_not_given_up)
{
	struct snap *held[3];
	struct store_copied out;
	struct store_pins pins;
	struct fix f;

	begin(&f);
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(store_snap(f.s, &held[i]), 0);
		ck_assert_int_eq(failing(&f, 1, 9), ZS_EIO);
		ck_assert_int_eq(store_renew(f.s, &plain, &out), 0);
	}
	ck_assert_int_eq(store_pinned(f.s, 1, &pins), 0);
	ck_assert_uint_gt(pins.octets, 0);
	ck_assert_uint_lt(pins.past, 2);
	for (int i = 0; i < 3; i++)
		snap_unref(held[i]);
	now_has(&f, 2, 2);
	end(&f);
}
END_TEST

/* What makes files, sizes or writes them fails while the store is opened: no word about the generation. */
START_TEST(what_fails_beside_it_damages_nothing)
{
	struct fix f;
	int rc = ZS_EIO;

	begin(&f);
	for (long at = 1; rc; at++) {
		char lock[512];

		fix_close(&f);
		unlink(zone_file(f.state, "1.mdb-lock", lock, sizeof(lock)));
		ck_assert_int_eq(store_dir_open(f.state, &(struct store_dir_opts){ 0 }, &f.d), 0);
		crash_arm(CRASH_FAIL, f.state, at, EIO, -1);
		rc = store_open(f.d, ZONE, &f.s, &f.health);
		idle(&f);
		ck_assert_int_le(at, 20);
		ck_assert(!has_file(&f, "1.mdb.damaged-1") && !has_file(&f, "CURRENT.damaged-1"));
		if (rc) {
			ck_assert_int_eq(rc, ZS_EAGAIN);
			ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &f.health), 0);
		} else {
			ck_assert_int_eq(f.health, STORE_READY);
			ck_assert_int_ge(at, 3);
		}
		now_has(&f, 2, 2);
	}
	end(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { versions_go_on, what_may_go_wrong, beside_a_build,
				       the_newest_is_not_given_up, what_fails_beside_it_damages_nothing };

	return RUN_SUITE("store_renew", tests);
}
