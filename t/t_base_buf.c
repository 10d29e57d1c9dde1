/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Readers and writers: round trips, the sticky error, bounds. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "t_suite.h"

START_TEST(test_round_trip)
{
	struct wr w = wr_growing(1000);
	struct rd r;

	wr_u8(&w, 0x12);
	wr_u16(&w, 0x3456);
	wr_u32(&w, 0x789abcde);
	wr_u64(&w, UINT64_C(0xf0e1d2c3b4a59687));
	wr_bytes(&w, "abc", 3);
	wr_bytes(&w, NULL, 0);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.len, 18);
	ck_assert_mem_eq(w.p, "\x12\x34\x56\x78\x9a\xbc\xde\xf0\xe1\xd2\xc3\xb4\xa5\x96\x87" "abc", 18);
	wr_put_u16(&w, 1, 0xffee);
	wr_put_u32(&w, 3, 0x01020304);
	r = rd_init(w.p, w.len);
	ck_assert_uint_eq(rd_u8(&r), 0x12);
	ck_assert_uint_eq(rd_u16(&r), 0xffee);
	ck_assert_uint_eq(rd_u32(&r), 0x01020304);
	ck_assert_uint_eq(rd_u64(&r), UINT64_C(0xf0e1d2c3b4a59687));
	ck_assert_int_eq(rd_done(&r), ZS_EFORMAT);
	ck_assert_mem_eq(rd_bytes(&r, 3), "abc", 3);
	ck_assert_ptr_nonnull(rd_bytes(&r, 0));
	ck_assert_int_eq(rd_done(&r), 0);
	wr_free(&w);
	wr_u8(&w, 1);
	ck_assert_uint_eq(w.len, 1);
	wr_free(&w);
}
END_TEST

START_TEST(test_read_past_end)
{
	uint8_t b[3] = { 1, 2, 3 };
	struct rd r = rd_init(b, 3);

	ck_assert_uint_eq(rd_u32(&r), 0);
	ck_assert_int_eq(r.err, ZS_ETRUNC);
	ck_assert_uint_eq(rd_u8(&r), 0); /* sticks although there are octets */
	ck_assert_ptr_null(rd_bytes(&r, 0));
	ck_assert_int_eq(rd_done(&r), ZS_ETRUNC);
	r = rd_init(b, 3);
	ck_assert_ptr_null(rd_bytes(&r, SIZE_MAX));
	r = rd_init(b, 3);
	ck_assert_uint_eq(rd_u64(&r), 0);
	r = rd_init(NULL, 0);
	ck_assert_ptr_nonnull(rd_bytes(&r, 0));
	ck_assert_int_eq(rd_done(&r), 0);
	ck_assert_uint_eq(rd_u16(&r), 0);
	ck_assert_int_eq(rd_done(&r), ZS_ETRUNC);
}
END_TEST

START_TEST(test_fixed_bound)
{
	uint8_t b[5] = { 9, 9, 9, 9, 9 };
	struct wr w = wr_fixed(b, 4);

	wr_u16(&w, 0x0102);
	wr_u32(&w, 0xffffffff);
	ck_assert_int_eq(w.err, ZS_EFULL);
	ck_assert_uint_eq(w.len, 2);
	wr_u8(&w, 1); /* sticks although there is room */
	ck_assert_uint_eq(w.len, 2);
	wr_put_u32(&w, 0, 5); /* nothing to overwrite after an error */
	ck_assert_mem_eq(b, "\1\2\11\11\11", 5);
	w = wr_fixed(b, 4);
	wr_u32(&w, 1);
	ck_assert_int_eq(w.err, 0);
	ck_assert_ptr_nonnull(wr_space(&w, 0));
	ck_assert_ptr_null(wr_space(&w, SIZE_MAX));
	w = wr_fixed(NULL, 0);
	wr_bytes(&w, "", 0);
	ck_assert_int_eq(w.err, 0);
	wr_u8(&w, 1);
	ck_assert_int_eq(w.err, ZS_EFULL);
}
END_TEST

START_TEST(test_growing_bound)
{
	struct wr w = wr_growing(1000);

	ck_assert_ptr_nonnull(wr_space(&w, 0));
	for (int i = 0; i < 1000; i++)
		wr_u8(&w, (uint8_t)i);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.len, 1000);
	ck_assert_uint_le(w.cap, 1000);
	wr_u8(&w, 0);
	ck_assert_int_eq(w.err, ZS_ELIMIT);
	ck_assert_uint_eq(w.p[999], 999 & 0xff);
	wr_free(&w);
	ck_assert_int_eq(w.err, 0);
	ck_assert_ptr_null(wr_space(&w, SIZE_MAX));
	ck_assert_int_eq(w.err, ZS_ELIMIT);
	wr_free(&w);
	w = wr_growing(10);
	wr_bytes(&w, "0123456789", 10);
	ck_assert_int_eq(w.err, 0);
	wr_free(&w);
}
END_TEST

START_TEST(test_text)
{
	char octets[WR_TEXT + 8], many[WR_TEXT + 1];
	struct wr w = wr_fixed(octets, sizeof octets);

	memset(many, 'x', sizeof many);
	wr_printf(&w, "%s %d", "seven", 7);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.len, 7);
	ck_assert_mem_eq(octets, "seven 7", 7);
	wr_printf(&w, "%.*s", WR_TEXT - 1, many);
	ck_assert_int_eq(w.err, 0);
	ck_assert_uint_eq(w.len, 7 + WR_TEXT - 1);
	wr_printf(&w, "%s", "the room");
	ck_assert_int_eq(w.err, ZS_EFULL);
	w = wr_fixed(octets, sizeof octets);
	wr_printf(&w, "%.*s", WR_TEXT, many);
	ck_assert_int_eq(w.err, ZS_ELIMIT);
	ck_assert_uint_eq(w.len, 0);
	wr_printf(&w, "behind an error");
	ck_assert_uint_eq(w.len, 0);
}
END_TEST

START_TEST(test_plain_loads)
{
	uint8_t b[8];

	put_be64(b, UINT64_C(0x8182838485868788));
	ck_assert_uint_eq(be16(b), 0x8182);
	ck_assert_uint_eq(be32(b), 0x81828384);
	ck_assert_uint_eq(be64(b), UINT64_C(0x8182838485868788));
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_round_trip,
		test_read_past_end,
		test_fixed_bound,
		test_growing_bound,
		test_text,
		test_plain_loads,
	};

	return RUN_SUITE("base_buf", tests);
}
