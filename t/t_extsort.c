/* SPDX-License-Identifier: GPL-3.0-or-later */
/* External sort: against a sorted array, in memory and over many runs; stability, bounds, damage. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* mkdtemp, RLIMIT */
#endif
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rand.h"
#include "dns/extsort.h"
#include "extsort_run.h"
#include "t_suite.h"

#define MIB ((size_t)1 << 20)

struct pair { uint8_t key[24]; uint8_t klen; uint32_t serial; uint32_t vlen; };

static char dir[64];

static void make_dir(void)
{
	snprintf(dir, sizeof(dir), "t_extsort.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(dir));
}

/* The files are unlinked: the directory must be empty, during and after. */
static void drop_dir(void)
{
	ck_assert_int_eq(rmdir(dir), 0);
}

static int pair_cmp(const void *x, const void *y)
{
	const struct pair *a = x, *b = y;
	int c = memcmp(a->key, b->key, a->klen < b->klen ? a->klen : b->klen);

	if (c == 0)
		c = (int)a->klen - (int)b->klen;
	return c != 0 ? c : (a->serial > b->serial) - (a->serial < b->serial);
}

static void fill_value(uint8_t *val, const struct pair *p)
{
	memset(val, (int)(p->serial & 0xff), p->vlen);
	memcpy(val, &p->serial, 4);
}

static void check_all(struct extsort *s, const struct pair *want, size_t n, uint8_t *scratch)
{
	const uint8_t *key, *val;
	size_t klen, vlen;

	for (size_t i = 0; i < n; i++) {
		int err = extsort_next(s, &key, &klen, &val, &vlen);

		/* no ck_assert in hot loops: each writes to a file */
		if (err != 0 || klen != want[i].klen || vlen != want[i].vlen)
			ck_abort_msg("pair %zu: %d", i, err);
		fill_value(scratch, &want[i]);
		if (memcmp(key, want[i].key, klen) != 0 || memcmp(val, scratch, vlen) != 0)
			ck_abort_msg("pair %zu differs", i);
	}
	ck_assert_int_eq(extsort_next(s, &key, &klen, &val, &vlen), ZS_ENOENT);
	ck_assert_int_eq(extsort_next(s, &key, &klen, &val, &vlen), ZS_ENOENT);
}

/* kinds: keys of how many octets, of how many letters; how large values are */
static void sort_random(size_t n, size_t memory, unsigned letters, unsigned prefix, uint32_t vmax,
			bool sorted)
{
	struct pair *p = calloc(n ? n : 1, sizeof(*p));
	uint8_t *val = malloc(vmax + 8);
	struct prng r = prng_seed(n + letters);
	struct extsort *s;

	for (size_t i = 0; i < n; i++) {
		p[i].klen = (uint8_t)(prefix + prng_upto(&r, sizeof(p[i].key) - prefix));
		for (unsigned k = 0; k < p[i].klen; k++)
			p[i].key[k] = k < prefix ? 0x20 : (uint8_t)prng_upto(&r, letters);
		p[i].serial = (uint32_t)i;
		p[i].vlen = 4 + (uint32_t)(prng_upto(&r, 999) == 0 ? prng_upto(&r, vmax)
								   : prng_upto(&r, vmax < 60 ? vmax : 60));
	}
	if (sorted)
		qsort(p, n, sizeof(*p), pair_cmp);
	make_dir();
	ck_assert_int_eq(extsort_new(dir, memory, 0, &s), 0);
	for (size_t i = 0; i < n; i++) {
		fill_value(val, &p[i]);
		if (extsort_add(s, p[i].key, p[i].klen, val, p[i].vlen) != 0)
			ck_abort_msg("pair %zu", i);
	}
	ck_assert_uint_eq(extsort_count(s), n);
	ck_assert_int_eq(extsort_finish(s), 0);
	ck_assert_int_eq(extsort_add(s, "x", 1, "", 0), ZS_EINVAL);
	qsort(p, n, sizeof(*p), pair_cmp);
	check_all(s, p, n, val);
	ck_assert_int_eq(extsort_rewind(s), 0);
	check_all(s, p, n, val);
	drop_dir();
	extsort_free(s);
	free(val);
	free(p);
}

START_TEST(test_in_memory)
{
	sort_random(0, MIB, 3, 0, 50, false);
	sort_random(1, MIB, 3, 0, 50, false);
	sort_random(2, MIB, 3, 0, 50, false);
	sort_random(17, MIB, 1, 0, 50, false);
	sort_random(1000, MIB, 1, 4, 50, false);
	sort_random(5000, 4 * MIB, 255, 9, 50, false);
	sort_random(5000, 4 * MIB, 255, 9, 50, true);
}
END_TEST

START_TEST(test_spilled)
{
	sort_random(60000, MIB, 255, 9, 300, false);
	sort_random(60000, MIB, 2, 2, 300, false);
	sort_random(60000, MIB, 255, 9, 300, true);
}
END_TEST

/* More runs than are merged at once (15 with 1 MiB): levels and the reduction at the end. */
START_TEST(test_many_runs)
{
	sort_random(450000, MIB, 255, 3, 40, false);
}
END_TEST

/* Values that cross blocks, and one over the whole budget. */
START_TEST(test_big_values)
{
	uint8_t *big = malloc(EXTSORT_VALUE_MAX + 1);
	const uint8_t *key, *val;
	size_t klen, vlen, sizes[] = { 3 * MIB, 10, 100000, 0, EXTSORT_VALUE_MAX, 70000, 1, 2 * MIB };
	struct extsort *s;

	sort_random(2000, MIB, 255, 0, 200000, false);
	make_dir();
	ck_assert_int_eq(extsort_new(dir, MIB, 0, &s), 0);
	for (size_t i = 0; i < 8; i++) {
		uint8_t k = (uint8_t)(i * 5 % 8);

		memset(big, k, sizes[k]);
		ck_assert_int_eq(extsort_add(s, &k, 1, big, sizes[k]), 0);
	}
	ck_assert_int_eq(extsort_add(s, "x", 1, big, EXTSORT_VALUE_MAX + 1), ZS_EINVAL);
	ck_assert_int_eq(extsort_add(s, big, 512, big, 1), ZS_EINVAL);
	ck_assert_int_eq(extsort_finish(s), 0);
	for (size_t i = 0; i < 8; i++) {
		ck_assert_int_eq(extsort_next(s, &key, &klen, &val, &vlen), 0);
		ck_assert_uint_eq(key[0], i);
		ck_assert_uint_eq(vlen, sizes[i]);
		memset(big, (int)i, vlen);
		ck_assert(memcmp(val, big, vlen) == 0);
	}
	ck_assert_int_eq(extsort_next(s, &key, &klen, &val, &vlen), ZS_ENOENT);
	extsort_free(s);
	free(big);
	drop_dir();
}
END_TEST

START_TEST(test_sorted_input_is_one_run)
{
	uint8_t key[4], val[100] = { 0 };
	struct runs r;

	make_dir();
	ck_assert_int_eq(runs_init(&r, dir, MIB, 0), 0);
	for (uint32_t run = 0; run < 5; run++) { /* the fourth begins below the end of the third */
		for (uint32_t i = 0; i < 1000; i++) {
			uint32_t v = (run < 3 ? run : run - 1) * 1000 + i;

			key[0] = key[1] = 0;
			key[2] = (uint8_t)(v >> 8);
			key[3] = (uint8_t)v;
			if (i == 0)
				ck_assert_int_eq(runs_begin(&r, key, 4), 0);
			ck_assert_int_eq(runs_write(&r, key, 4, val, sizeof(val)), 0);
		}
		ck_assert_uint_eq(runs_count(&r), run < 3 ? 1 : 2);
	}
	runs_free(&r);
	drop_dir();
}
END_TEST

static int add_many(struct extsort *s, unsigned n)
{
	uint8_t val[1000] = { 0 };
	struct prng r = prng_seed(1);
	int err = 0;

	for (unsigned i = 0; err == 0 && i < n; i++) {
		uint64_t k = prng_u64(&r);

		err = extsort_add(s, &k, sizeof(k), val, sizeof(val));
	}
	return err == 0 ? extsort_finish(s) : err;
}

START_TEST(test_disk_bound)
{
	struct extsort *s;

	make_dir();
	ck_assert_int_eq(extsort_new(dir, MIB, 3 * MIB, &s), 0);
	ck_assert_int_eq(add_many(s, 500), 0); /* fits in memory */
	extsort_free(s);
	ck_assert_int_eq(extsort_new(dir, MIB, 3 * MIB, &s), 0);
	ck_assert_int_eq(add_many(s, 20000), ZS_ELIMIT);
	ck_assert_int_eq(extsort_add(s, "k", 1, "v", 1), ZS_ELIMIT); /* sticks */
	ck_assert_int_eq(extsort_finish(s), ZS_ELIMIT);
	extsort_free(s);
	drop_dir();
	ck_assert_int_eq(extsort_new(dir, MIB, 0, &s), 0); /* the directory has gone */
	ck_assert_int_eq(add_many(s, 20000), ZS_ENOENT);
	extsort_free(s);
}
END_TEST

/* A file system error in the middle of writing: RLIMIT_FSIZE stands for a full disk. */
START_TEST(test_write_error)
{
	struct rlimit lim = { .rlim_cur = 100000, .rlim_max = RLIM_INFINITY };
	struct extsort *s;

	make_dir();
	signal(SIGXFSZ, SIG_IGN);
	ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &lim), 0);
	lim.rlim_cur = 100000;
	ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &lim), 0);
	ck_assert_int_eq(extsort_new(dir, MIB, 0, &s), 0);
	ck_assert_int_lt(add_many(s, 20000), 0);
	extsort_free(s);
	lim.rlim_cur = lim.rlim_max;
	setrlimit(RLIMIT_FSIZE, &lim);
	drop_dir();
}
END_TEST

/* Changes one octet of each of this process's sort files, found by its unlinked path. */
static unsigned damage_files(off_t at)
{
	unsigned n = 0;

	for (int fd = 3; fd < 100; fd++) {
		char path[64], to[256] = "";
		uint8_t c;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, to, sizeof(to) - 1) <= 0 || strstr(to, dir) == NULL ||
		    strstr(to, "deleted") == NULL)
			continue;
		if (pread(fd, &c, 1, at) != 1)
			continue;
		c ^= 0x10;
		ck_assert_int_eq(pwrite(fd, &c, 1, at), 1);
		n++;
	}
	return n;
}

START_TEST(test_damaged_block)
{
	static const off_t places[] = { 0, 5, 8, 1000, 64 * 1024 - 1, 64 * 1024 + 3, 300000 };

	for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
		const uint8_t *key, *val;
		size_t klen, vlen;
		struct extsort *s;
		int err;

		make_dir();
		ck_assert_int_eq(extsort_new(dir, MIB, 0, &s), 0);
		ck_assert_int_eq(add_many(s, 3000), 0);
		ck_assert_uint_gt(damage_files(places[i]), 0);
		err = extsort_rewind(s);
		while (err == 0)
			err = extsort_next(s, &key, &klen, &val, &vlen);
		ck_assert_int_eq(err, ZS_ECRC);
		extsort_free(s);
		drop_dir();
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_in_memory, test_spilled, test_many_runs, test_big_values,
		test_sorted_input_is_one_run, test_disk_bound, test_write_error, test_damaged_block,
	};

	return RUN_SUITE("extsort", tests);
}
