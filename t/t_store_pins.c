/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What snapshots of old versions keep from being reused, and what giving them back sets free. */
#include "t_store_fix.h"

#include "t_suite.h"

#define NUMBERS 2000
#define NO_LIMIT UINT64_MAX

static void commits(struct fix *f, unsigned n)
{
	while (n--)
		ck_assert_int_eq(commit_nums(f->s, 0, NUMBERS, (uint32_t)f->version + 1, &f->version), 0);
}

/* The next generation, of numbers 0..to. */
static void build(struct fix *f, uint32_t to)
{
	uint8_t key[8], val[128];
	struct build *b;

	ck_assert_int_eq(build_new(f->s, &b), 0);
	for (uint32_t n = 0; n <= to; n++) {
		size_t klen = num_key(key, n);

		ck_assert_int_eq(build_append(b, key, klen, val, num_val(val, n, 1)), 0);
	}
	ck_assert_int_eq(build_publish(b, &f->version), 0);
}

static struct snap *take(struct fix *f)
{
	struct snap *sn;

	ck_assert_int_eq(store_snap(f->s, &sn), 0);
	ck_assert_uint_eq(snap_version(sn), f->version);
	return sn;
}

static struct store_pins pins(struct fix *f, uint64_t limit)
{
	struct store_pins p;

	ck_assert_int_eq(store_pinned(f->s, limit, &p), 0);
	return p;
}

START_TEST(pages_of_the_live_file)
{
	struct snap *a, *b, *c;
	uint64_t octets_a, octets_b;
	struct fix f;

	fix_new(&f, NULL);
	ck_assert_uint_eq(pins(&f, 0).octets, 0); /* nothing is out */
	commits(&f, 2);
	a = take(&f);
	ck_assert_uint_eq(pins(&f, 0).octets, 0); /* the newest is in nobody's way */
	ck_assert_uint_eq(pins(&f, 0).past, 0);
	commits(&f, 4);
	b = take(&f);
	commits(&f, 4);
	c = take(&f);
	octets_a = snap_pinned(a);
	octets_b = snap_pinned(b);
	/* each version rewrites what has about 100 octets a number */
	ck_assert_uint_gt(octets_b, 3 * NUMBERS * 50);
	ck_assert_uint_gt(octets_a, octets_b + 3 * NUMBERS * 50);
	ck_assert_uint_lt(octets_a, 8 * NUMBERS * 1000);
	ck_assert_uint_eq(snap_pinned(c), 0);
	ck_assert_uint_eq(pins(&f, NO_LIMIT).octets, octets_a);
	ck_assert_uint_eq(pins(&f, NO_LIMIT).past, 0);
	ck_assert_uint_eq(pins(&f, octets_a).past, 0);
	ck_assert_uint_eq(pins(&f, octets_a - 1).past, snap_version(a));
	ck_assert_uint_eq(pins(&f, octets_b - 1).past, snap_version(b));
	snap_unref(a);
	ck_assert_uint_eq(pins(&f, NO_LIMIT).octets, octets_b);
	snap_unref(b);
	ck_assert_uint_eq(pins(&f, 0).octets, 0);
	snap_unref(c);
	fix_end(&f);
}
END_TEST

/* What was given up is used again: the file stops growing. */
START_TEST(pages_come_back)
{
	uint64_t size;
	struct fix f;
	struct snap *a;

	fix_new(&f, NULL);
	commits(&f, 2);
	a = take(&f);
	commits(&f, 20);
	size = store_bytes(f.s);
	commits(&f, 20);
	ck_assert_uint_gt(store_bytes(f.s), size + size / 2);
	snap_unref(a);
	commits(&f, 1);
	size = store_bytes(f.s);
	commits(&f, 30);
	ck_assert_uint_eq(store_bytes(f.s), size);
	fix_end(&f);
}
END_TEST

/*
 * Whatever the limit is, what is pinned of a file stays in proportion to what is in it: a small one may have
 * a few MiB, and a large one as much again. Readers that come one after the other are not allowed more and
 * more.
 */
START_TEST(a_file_stays_in_proportion)
{
	const uint64_t always = (uint64_t)8 << 20;
	uint64_t size, first = 0;
	struct fix f;
	struct snap *a;

	fix_new(&f, NULL);
	commits(&f, 2);
	size = store_bytes(f.s);
	for (unsigned reader = 0; reader < 4; reader++) {
		a = take(&f);
		for (unsigned n = 0; n < 200 && !pins(&f, NO_LIMIT).past; n++) {
			ck_assert_uint_le(snap_pinned(a), always);
			commits(&f, 1);
		}
		ck_assert_uint_eq(pins(&f, NO_LIMIT).past, snap_version(a));
		ck_assert_uint_gt(snap_pinned(a), always);
		snap_unref(a);
		first = first ? first : store_bytes(f.s);
		ck_assert_uint_le(store_bytes(f.s), first + 2 * size);
	}
	fix_end(&f);
}
END_TEST

/* As much as the content takes, where that is more. */
START_TEST(a_large_file_may_pin_as_much_as_is_in_it)
{
	const uint32_t large = 300000;
	uint64_t size;
	struct fix f;
	struct snap *a;

	fix_new(&f, NULL);
	build(&f, large);
	size = store_bytes(f.s);
	ck_assert_uint_gt(size, (uint64_t)16 << 20);
	a = take(&f);
	for (unsigned n = 0; n < 400 && !pins(&f, NO_LIMIT).past; n++)
		commits(&f, 1);
	ck_assert_uint_gt(snap_pinned(a), size / 5 * 4);
	ck_assert_uint_lt(snap_pinned(a), size / 5 * 6);
	ck_assert_uint_lt(store_bytes(f.s), size / 2 * 5);
	snap_unref(a);
	fix_end(&f);
}
END_TEST

START_TEST(files_of_replaced_generations)
{
	struct store_pins p;
	struct snap *a, *b, *c, *d;
	uint64_t one;
	struct fix f;

	fix_new(&f, NULL);
	build(&f, NUMBERS);
	a = take(&f);
	one = store_bytes(f.s);
	build(&f, NUMBERS);
	store_drop_donors(f.s); /* takes the name of what is on its way out */
	p = pins(&f, 0);
	ck_assert_uint_eq(p.octets, one);
	ck_assert_uint_eq(p.past, 0); /* two files are what a build costs */
	b = take(&f);
	commits(&f, 1);
	c = take(&f);
	build(&f, NUMBERS);
	d = take(&f);
	p = pins(&f, 0);
	ck_assert_uint_gt(p.octets, 2 * one);
	ck_assert_uint_eq(p.past, snap_version(a));
	ck_assert_uint_eq(pins(&f, one - 1).past, snap_version(a));
	ck_assert_uint_eq(pins(&f, one * 3).past, 0);
	snap_unref(a);
	ck_assert_uint_eq(pins(&f, 0).past, 0); /* b and c are of one file, the last that was replaced */
	snap_unref(b);
	snap_unref(c);
	ck_assert_uint_eq(pins(&f, 0).octets, 0);
	snap_unref(d);
	fix_end(&f);
}
END_TEST

/* A transfer may outlive its zone: what is behind a snapshot goes with it. */
START_TEST(a_snapshot_outlives_its_store)
{
	char path[512];
	enum store_health h;
	struct store *again;
	struct snap *a, *b;
	struct fix f;
	struct kv *kv;

	fix_new(&f, NULL);
	commits(&f, 1);
	a = take(&f);
	build(&f, NUMBERS);
	b = take(&f);
	store_close(f.s);
	ck_assert_int_eq(store_open(f.d, ZONE, &again, &h), ZS_EEXIST);
	ck_assert_int_eq(snap_kv(a, &kv), 0);
	ck_assert_int_eq(check_num(kv, 7, 1), 0);
	kv_close(kv);
	snap_unref(b);
	snap_unref(a);
	ck_assert(!exists(zone_file(f.state, "1.mdb", path, sizeof(path))));
	ck_assert_int_eq(store_open(f.d, ZONE, &f.s, &h), 0);
	ck_assert_int_eq(h, STORE_READY);
	fix_end(&f);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		pages_of_the_live_file,
		pages_come_back,
		a_file_stays_in_proportion,
		a_large_file_may_pin_as_much_as_is_in_it,
		files_of_replaced_generations,
		a_snapshot_outlives_its_store,
	};

	return RUN_SUITE("store pins", tests);
}
