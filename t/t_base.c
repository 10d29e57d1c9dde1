/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The small parts of base: errors, arenas, CRC, random numbers, the text of a time. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../src/base/crc_impl.h"
#include "base/arena.h"
#include "base/clk.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/rand.h"
#include "t_suite.h"

START_TEST(test_err_texts)
{
	for (int e = 0; e >= -31; e--)
		ck_assert_str_ne(zs_strerror(e), "unknown error");
	ck_assert_str_eq(zs_strerror(-32), "unknown error");
	ck_assert_str_eq(zs_strerror(1), "unknown error");
	ck_assert_str_eq(zs_strerror(ZS_ECRC), "checksum mismatch: stored data is damaged");
	ck_assert_int_eq(zs_from_errno(ENOSPC), ZS_ENOSPC);
	ck_assert_int_eq(zs_from_errno(EDQUOT), ZS_ENOSPC);
	ck_assert_int_eq(zs_from_errno(EACCES), ZS_EPERM);
	ck_assert_int_eq(zs_from_errno(EIO), ZS_EIO);
	ck_assert_int_eq(zs_from_errno(0), ZS_EIO);
}
END_TEST

START_TEST(test_arena_alignment_and_content)
{
	struct arena *a = arena_new(0);
	unsigned char *p[500];

	ck_assert_ptr_nonnull(a);
	for (size_t i = 0; i < 500; i++) {
		p[i] = arena_alloc(a, i * 7);
		ck_assert_ptr_nonnull(p[i]);
		ck_assert_uint_eq((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)(i & 0xff), i * 7);
	}
	for (size_t i = 0; i < 500; i++)
		for (size_t j = 0; j < i * 7; j++)
			ck_assert_uint_eq(p[i][j], i & 0xff);
	arena_reset(a);
	ck_assert_uint_eq(arena_used(a), 0);
	memset(arena_alloc(a, 64), 0xaa, 64);
	arena_reset(a);
	ck_assert_int_eq(((char *)arena_zalloc(a, 64))[63], 0);
	ck_assert_str_eq(arena_strdup(a, "zone"), "zone");
	ck_assert_str_eq(arena_printf(a, "%s/%d", "a", 42), "a/42");
	ck_assert_mem_eq(arena_dup(a, "a\0b", 3), "a\0b", 3);
	ck_assert_ptr_nonnull(arena_alloc(a, 3u << 20));
	arena_reset(a);
	ck_assert_ptr_nonnull(arena_alloc(a, 1));
	arena_free(a);
	arena_free(NULL);
}
END_TEST

START_TEST(test_arena_limit)
{
	struct arena *a = arena_new(256);
	unsigned n = 0;

	ck_assert_ptr_null(arena_alloc(a, 257));
	ck_assert_ptr_null(arena_alloc(a, SIZE_MAX));
	ck_assert_ptr_null(arena_alloc(a, SIZE_MAX - 15));
	ck_assert_ptr_nonnull(arena_alloc(a, 256));
	ck_assert_ptr_null(arena_alloc(a, 1));
	arena_reset(a);
	while (arena_alloc(a, 0))
		n++;
	ck_assert_uint_eq(n, 16); /* empty ones are counted too */
	ck_assert_uint_le(arena_used(a), 256);
	arena_free(a);
}
END_TEST

START_TEST(test_crc_vectors)
{
	uint8_t b[32];

	ck_assert_uint_eq(crc32c(0, "123456789", 9), 0xe3069283);
	ck_assert_uint_eq(crc32c(0, "", 0), 0);
	memset(b, 0, sizeof b); /* RFC 3720 B.4; its octets are listed low first */
	ck_assert_uint_eq(crc32c(0, b, 32), 0x8a9136aa);
	memset(b, 0xff, sizeof b);
	ck_assert_uint_eq(crc32c(0, b, 32), 0x62a8ab43);
	for (int i = 0; i < 32; i++)
		b[i] = (uint8_t)i;
	ck_assert_uint_eq(crc32c(0, b, 32), 0x46dd794e);
	ck_assert_uint_eq(crc32c(crc32c(0, "1234", 4), "56789", 5), 0xe3069283);
}
END_TEST

START_TEST(test_crc_table_is_hardware)
{
	struct prng r = prng_seed(7);
	uint8_t b[300];

	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (uint8_t)prng_u64(&r);
	ck_assert_uint_eq(~crc32c_table(~0u, (const uint8_t *)"123456789", 9), 0xe3069283);
	if (!crc32c_hw_present())
		return;
	for (size_t at = 0; at < 9; at++)
		for (size_t n = 0; n + at <= sizeof b; n++)
			ck_assert_uint_eq(crc32c_hw(~0u, b + at, n), crc32c_table(~0u, b + at, n));
}
END_TEST

START_TEST(test_prng)
{
	struct prng a = prng_seed(1), b = prng_seed(1), zero = prng_seed(0);
	unsigned seen[10] = { 0 };

	ck_assert_uint_eq(prng_u64(&zero), 0xe220a8397b1dcdaf); /* splitmix64, seed 0 */
	for (int i = 0; i < 1000; i++) {
		uint64_t v = prng_upto(&a, 9);

		ck_assert_uint_le(v, 9);
		ck_assert_uint_eq(v, prng_upto(&b, 9));
		seen[v]++;
	}
	for (int i = 0; i < 10; i++)
		ck_assert_uint_gt(seen[i], 60);
	ck_assert_uint_eq(prng_upto(&a, 0), 0);
	prng_upto(&a, UINT64_MAX);
	ck_assert_uint_eq(prng_hash_upto(5, "abc", 3, 1000000), prng_hash_upto(5, "abc", 3, 1000000));
	ck_assert_uint_ne(prng_hash_upto(5, "abc", 3, UINT64_MAX), prng_hash_upto(6, "abc", 3, UINT64_MAX));
	ck_assert_uint_ne(prng_hash_upto(5, "abc", 3, UINT64_MAX), prng_hash_upto(5, "abd", 3, UINT64_MAX));
	ck_assert_uint_eq(prng_hash_upto(5, NULL, 0, 0), 0);
}
END_TEST

START_TEST(test_rand_bytes)
{
	uint8_t a[64] = { 0 }, b[64] = { 0 };

	ck_assert_int_eq(rand_bytes(a, sizeof a), 0);
	ck_assert_int_eq(rand_bytes(b, sizeof b), 0);
	ck_assert_mem_ne(a, b, sizeof a);
	ck_assert_int_eq(rand_bytes(a, 0), 0);
}
END_TEST

START_TEST(test_wall_text)
{
	static const struct {
		int64_t s;
		const char *text;
	} cases[] = {
		{ 0, "1970-01-01T00:00:00Z" },
		{ -1, "1969-12-31T23:59:59Z" },
		{ 951782400, "2000-02-29T00:00:00Z" },
		{ 1778011020, "2026-05-05T19:57:00Z" },
		{ 4107542399, "2100-02-28T23:59:59Z" },
		{ 4107542400, "2100-03-01T00:00:00Z" },
		{ 253402300799, "9999-12-31T23:59:59Z" },
		{ 253402300800, "@253402300800" },
		{ -62167219200, "0000-01-01T00:00:00Z" },
		{ INT64_MIN, "@-9223372036854775808" },
		{ INT64_MAX, "@9223372036854775807" },
	};
	char buf[WALL_TEXT];

	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
		ck_assert_str_eq(wall_text(WALL(cases[i].s), buf), cases[i].text);
}
END_TEST

/* A day at a time through 400 years, against the calendar of the C library. */
START_TEST(test_wall_text_calendar)
{
	char buf[WALL_TEXT], want[WALL_TEXT];

	for (int64_t day = -40000; day < 110000; day++) {
		time_t t = day * 86400 + 3661;
		struct tm tm;

		gmtime_r(&t, &tm);
		ck_assert_uint_gt(strftime(want, sizeof want, "%Y-%m-%dT%H:%M:%SZ", &tm), 0);
		if (strcmp(wall_text(WALL(t), buf), want) != 0)
			ck_abort_msg("%s is not %s", buf, want);
	}
}
END_TEST

START_TEST(test_clocks)
{
	wall_t w = clk_wall();
	mono_t m = clk_mono();

	ck_assert_int_gt(w.s, 1600000000);
	ck_assert_int_ge(mono_diff(clk_mono(), m), 0);
	ck_assert_int_ge(clk_boot() + 1, m.us / 1000000);
	ck_assert_int_eq(wall_diff(wall_add(w, 5), w), 5);
	ck_assert_int_eq(mono_diff(mono_add(m, MONO_S(1)), m), MONO_MS(1000));
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_err_texts,
		test_arena_alignment_and_content,
		test_arena_limit,
		test_crc_vectors,
		test_crc_table_is_hardware,
		test_prng,
		test_rand_bytes,
		test_wall_text,
		test_wall_text_calendar,
		test_clocks,
	};

	return RUN_SUITE("base", tests);
}
