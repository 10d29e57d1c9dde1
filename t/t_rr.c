/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RDATA of every layout: good and bad examples, pointers, truncation at every octet, canonical form;
 * SOA, serials, tags.
 */
#include <stdlib.h>
#include <string.h>

#include <libknot/descriptor.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "dns/name.h"
#include "dns/rr.h"
#include "t_suite.h"

struct sample {
	uint16_t type;
	const char *hex;
	const char *canonical; /* NULL: the same */
};

/* Names: 0141 00 = "A.", 014201430 0 = "B.C." */
static const struct sample good[] = {
    {1, "c0000201", 0},
    {2, "0141014200", "0161016200"},
    {3, "014100", "016100"},
    {4, "014100", "016100"},
    {5, "014100", "016100"},
    {6,
     "014100014200"
     "4142434445464748494a4b4c4d4e4f5051525354",
     "016100016200"
     "4142434445464748494a4b4c4d4e4f5051525354"},
    {7, "014100", "016100"},
    {8, "014100", "016100"},
    {9, "014100", "016100"},
    {10, "", 0},
    {10, "4142", 0},
    {11, "c000020106ff", 0},
    {12, "014100", "016100"},
    {13,
     "03414243"
     "0144",
     0},
    {13, "0000", 0},
    {14, "014100014200", "016100016200"},
    {15, "4141014100", "4141016100"},
    {15, "000a00", 0},
    {16, "00", 0},
    {16, "03414243024445", 0},
    {17, "014100014200", "016100016200"},
    {18, "4142014100", "4142016100"},
    {19, "024142", 0},
    {20, "024142", 0},
    {20, "0241420143", 0},
    {21, "4142014100", "4142016100"},
    {24,
     "4142434445464748494a4b4c4d4e4f505152"
     "014100"
     "4142",
     "4142434445464748494a4b4c4d4e4f505152"
     "016100"
     "4142"},
    {25, "01020304", 0},
    {26, "4142014100014200", "4142016100016200"},
    {27, "014101420143", 0},
    {28, "4142434445464748494a4b4c4d4e4f50", 0},
    {29, "00", 0},
    {30, "0141004142", "0161004142"},
    {33, "414243444546014100", "414243444546016100"},
    {35,
     "41424344"
     "0141"
     "0142"
     "0143"
     "014400",
     "41424344"
     "0141"
     "0142"
     "0143"
     "016400"},
    {36, "4142014100", "4142016100"},
    {37, "0102030405", 0},
    {38,
     "00"
     "4142434445464748494a4b4c4d4e4f50",
     0},
    {38,
     "40"
     "4142434445464748"
     "014100",
     "40"
     "4142434445464748"
     "016100"},
    {38,
     "80"
     "014100",
     "80"
     "016100"},
    {39, "014100", "016100"},
    {43, "010208014142", 0},
    {44, "010141", 0},
    {45, "010001", 0},
    {45, "010102c000020141", 0},
    {45, "0102024142434445464748494a4b4c4d4e4f50", 0},
    {45,
     "010302014100"
     "4142",
     0},
    {46,
     "4142434445464748494a4b4c4d4e4f505152"
     "014100"
     "4142",
     "4142434445464748494a4b4c4d4e4f505152"
     "016100"
     "4142"},
    {47,
     "014100"
     "000141",
     0},
    {47, "014100", 0},
    {47,
     "014100"
     "00024141"
     "010141",
     0},
    {48, "0101030d4142", 0},
    {49, "41", 0},
    {50,
     "01000000"
     "00"
     "0141",
     0},
    {50,
     "01000000"
     "0241420141"
     "000141",
     0},
    {51, "0100000000", 0},
    {51, "01000000024142", 0},
    {52, "01020341", 0},
    {53, "010203", 0},
    {59, "0000000000", 0},
    {60, "0000030000", 0},
    {61, "41", 0},
    {62,
     "414243444546"
     "000141",
     0},
    {63, "41424344010141", 0},
    {64, "0001014100", 0},
    {65,
     "0001014100"
     "0001000102"
     "00030002abcd",
     0},
    {99, "0141", 0},
    {104, "41424344454647484950", 0},
    {105, "414243444546", 0},
    {106, "41424344454647484950", 0},
    {107, "4142014100", 0},
    {108, "414243444546", 0},
    {109, "4142434445464748", 0},
    {256, "4142434441", 0},
    {257, "0005697373756541", 0},
    {257, "000141", 0},
    {65280, "", 0},
    {65280, "c00c014100", 0},
    {55, "4142", 0},
};

static const struct sample bad[] = {
    {1, "c00002", 0},
    {1, "c000020101", 0},
    {1, "", 0},
    {2, "", 0},
    {2, "0141", 0},
    {2, "01410000", 0},
    {2, "c000", 0},
    {5, "0141c000", 0},
    {6,
     "014100014200"
     "4142434445464748494a4b4c4d4e4f50515253",
     0},
    {13, "0141", 0},
    {13, "014101420143", 0},
    {15, "00", 0},
    {15, "000a", 0},
    {16, "", 0},
    {16, "02", 0},
    {16, "0141024241ff", 0},
    {19, "01410142", 0},
    {28, "41", 0},
    {29, "", 0},
    {33, "414243444546", 0},
    {38, "81", 0},
    {38, "00", 0},
    {38,
     "40"
     "4142434445464748",
     0},
    {39, "01410041", 0},
    {43, "01020801", 0},
    {45, "010401", 0},
    {45, "010102c00002", 0},
    {45, "0103024142", 0},
    {46,
     "4142434445464748494a4b4c4d4e4f505152"
     "014100",
     0},
    {47,
     "014100"
     "0001",
     0},
    {47,
     "014100"
     "0000",
     0},
    {47,
     "014100"
     "000100",
     0},
    {47,
     "014100"
     "002141",
     0},
    {47,
     "014100"
     "0001410001"
     "41",
     0},
    {47,
     "014100"
     "010141"
     "000141",
     0},
    {47,
     "014100"
     "00024100",
     0},
    {48, "010103", 0},
    {49, "", 0},
    {50,
     "01000000"
     "00"
     "00",
     0},
    {50,
     "01000000"
     "0241",
     0},
    {51, "010000000041", 0},
    {51, "01000000", 0},
    {59, "00000000", 0},
    {63, "414243440101", 0},
    {64, "0001", 0},
    {64,
     "0001014100"
     "000100",
     0},
    {64,
     "0001014100"
     "00030000"
     "00030000",
     0},
    {64,
     "0001014100"
     "00030000"
     "00010000",
     0},
    {64,
     "0001014100"
     "0003000241",
     0},
    {105, "41424344454647", 0},
    {107, "4142", 0},
    {256, "41424344", 0},
    {257, "0000", 0},
    {257, "00", 0},
    {257, "000541", 0},
};

#define COUNT(a) (sizeof(a) / sizeof(*(a)))

static uint16_t octets(const char *hex, uint8_t *out)
{
	size_t n = strlen(hex) / 2;

	ck_assert_msg(text_unhex(out, n, hex) == 0, "%s", hex);
	return (uint16_t)n;
}

START_TEST(test_good_layouts)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t rdata[600], want[600], got[600];
		uint16_t n = octets(good[i].hex, rdata), type = good[i].type;
		const char *canon = good[i].canonical ? good[i].canonical : good[i].hex;

		ck_assert_msg(rdata_check(type, rdata, n) == 0, "%u %s", type, good[i].hex);
		ck_assert_uint_eq(octets(canon, want), n);
		rdata_canonical(type, rdata, n, got);
		ck_assert_msg(memcmp(got, want, n) == 0, "%u %s", type, good[i].hex);
		ck_assert(!good[i].canonical || rdata_folds_case(type));
		ck_assert_int_eq(rdata_cmp_canonical(type, rdata, n, want, n), 0);
		ck_assert_int_eq(rdata_cmp_canonical(type, want, n, rdata, n), 0);
		rdata_canonical(type, rdata, n, rdata);
		ck_assert_mem_eq(rdata, want, n);
	}
}
END_TEST

START_TEST(test_bad_layouts)
{
	uint8_t rdata[600], out[600];
	uint16_t len;

	for (size_t i = 0; i < COUNT(bad); i++) {
		uint16_t n = octets(bad[i].hex, rdata);

		ck_assert_msg(rdata_check(bad[i].type, rdata, n) < 0, "%u %s", bad[i].type, bad[i].hex);
		rdata_canonical(bad[i].type, rdata, n, out); /* must only be safe */
		if (strstr(bad[i].hex, "c000") == NULL) /* a pointer may be fine in a message */
			ck_assert_int_lt(rdata_unpack(rdata, n, 0, n, bad[i].type, out, &len), 0);
	}
}
END_TEST

/*
 * Types without room for anything: every proper beginning is malformed. Exactly sized heap copies for
 * ASan.
 */
START_TEST(test_cut_at_every_octet)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t rdata[600], out[600];
		uint16_t n = octets(good[i].hex, rdata), len;

		for (uint16_t k = 0; k < n; k++) {
			uint8_t *copy = malloc(k ? k : 1), *exact;
			int checked, unpacked;

			memcpy(copy, rdata, k);
			checked = rdata_check(good[i].type, copy, k);
			/* the message goes on behind the RDATA: fields must end with that, not with the
			 * message */
			exact = malloc(n);
			memcpy(exact, rdata, n);
			ck_assert_int_eq(rdata_unpack(exact, n, 0, k, good[i].type, out, &len) == 0,
					 checked == 0);
			free(exact);
			unpacked = rdata_unpack(copy, k, 0, k, good[i].type, out, &len);
			ck_assert(checked == 0 || unpacked != 0);
			ck_assert_int_eq(rdata_unpack(copy, k, 0, n, good[i].type, out, &len), ZS_ETRUNC);
			rdata_canonical(good[i].type, copy, k, copy);
			free(copy);
		}
	}
	for (uint16_t k = 0; k <= 4;
	     k++) { /* names that run over the RDATA to the message's very end, numbers missing */
		uint8_t *msg = malloc(4), out[600];
		uint16_t len;

		memcpy(msg, "\1A\0", 4);
		ck_assert_int_lt(rdata_unpack(msg, 4, 0, k, T_SOA, out, &len), 0);
		free(msg);
	}
}
END_TEST

START_TEST(test_unpack_plain)
{
	for (size_t i = 0; i < COUNT(good); i++) {
		uint8_t msg[700] = { 0 }, out[600];
		uint16_t n = octets(good[i].hex, msg + 12), len = 0;

		if (good[i].type == 65280)
			continue;
		ck_assert_msg(rdata_unpack(msg, sizeof(msg), 12, n, good[i].type, out, &len) == 0, "%u %s",
			      good[i].type, good[i].hex);
		ck_assert_uint_eq(len, n);
		ck_assert_mem_eq(out, msg + 12, n);
		ck_assert(n == 0 || rdata_unpack(msg, 11u + n, 12, n, good[i].type, out, &len) == ZS_ETRUNC);
		/* an octet too many, except where anything may stand */
		if (rdata_check(good[i].type, msg + 12, (uint16_t)(n + 1)) != 0)
			ck_assert_int_lt(
			    rdata_unpack(msg, sizeof(msg), 12, (uint16_t)(n + 1), good[i].type, out, &len),
			    0);
	}
}
END_TEST

/* Offset 0: "Foo.Bar."; RDATA at 16 with names compressed against it. */
START_TEST(test_unpack_pointers)
{
	static const struct { uint16_t type; const char *hex, *want;
	} rows[] = {
	    {2, "c000", "03466f6f0342617200"},
	    {2, "0161c004", "01610342617200"},
	    {6,
	     "c000c004"
	     "0000000100000002000000030000000400000005",
	     "03466f6f0342617200"
	     "0342617200"
	     "0000000100000002000000030000000400000005"},
	    {15, "000ac004", "000a0342617200"},
	    {33, "000100020003c000", "00010002000303466f6f0342617200"},
	    {35,
	     "0001000201410142"
	     "00"
	     "c004",
	     "0001000201410142"
	     "00"
	     "0342617200"},
	    {39, "c004", "0342617200"},
	    {17, "c000c004",
	     "03466f6f0342617200"
	     "0342617200"},
	    {24,
	     "4142434445464748494a4b4c4d4e4f505152"
	     "c004"
	     "ff",
	     "4142434445464748494a4b4c4d4e4f505152"
	     "0342617200"
	     "ff"},
	    /* never compressed */
	    {46,
	     "4142434445464748494a4b4c4d4e4f505152"
	     "c004"
	     "ff",
	     0},
	    {47,
	     "c004"
	     "000141",
	     0},
	    {64, "0001c004", 0},
	    {107, "0001c004", 0},
	    /* loops, forward, beyond, cut */
	    {2, "c010", 0},
	    {2, "0161c010", 0},
	    {2, "c012", 0},
	    {2, "c0ff", 0},
	    {2, "ffff", 0},
	    {2, "c0", 0},
	    {2, "0161", 0},
	    {15, "000ac012", 0},
	    /* octets behind a compressed name */
	    {2, "c00400", 0},
	    {15, "000ac000ff", 0},
	    {6,
	     "c000c000"
	     "000000010000000200000003000000040000000506",
	     0},
	    /* a name that runs out of its RDATA into what follows */
	    {2, "03616263", 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint8_t msg[64] = { 3, 'F', 'o', 'o', 3, 'B', 'a', 'r' }, want[64], out[64];
		uint16_t n = octets(rows[i].hex, msg + 16), len = 0;
		int err = rdata_unpack(msg, 16u + n + 4, 16, n, rows[i].type, out, &len);

		ck_assert_msg((err == 0) == (rows[i].want != NULL), "%u %s: %d", rows[i].type, rows[i].hex,
			      err);
		if (err == 0) {
			ck_assert_uint_eq(len, octets(rows[i].want, want));
			ck_assert_mem_eq(out, want, len);
		}
	}
}
END_TEST

/* Expansion over 65,535 octets; room for exactly that is enough. */
START_TEST(test_unpack_bounds)
{
	uint8_t *msg = calloc(1, 66000), *out = malloc(RDATA_MAX);
	uint16_t len = 0, rdlen = 2 + 65000;

	msg[0] = msg[64] = msg[128] = 63;
	msg[192] = 61;
	msg[254] = 0; /* a name of 255 octets at 0 */
	ck_assert_int_eq(name_check(msg, 255), 0);
	msg[300] = 0xc0;
	ck_assert_int_eq(rdata_unpack(msg, 66000, 300, rdlen, 30, out, &len), 0);
	ck_assert_uint_eq(len, 65255);
	ck_assert_int_eq(rdata_unpack(msg, 66000, 300, 2 + 65280, 30, out, &len), 0);
	ck_assert_uint_eq(len, 65535);
	ck_assert_int_eq(rdata_unpack(msg, 66000, 300, 2 + 65281, 30, out, &len), ZS_ELIMIT);
	free(out);
	free(msg);
}
END_TEST

/* The same types fold as in libknot, but for A6, which that does not know (RFC 4034 6.2 lists it). */
START_TEST(test_folding_types)
{
	for (unsigned t = 0; t <= 65535; t++) {
		bool knot = knot_rrtype_should_be_lowercased((uint16_t)t) || t == 38;

		/* obsolete RFC 1035 types and the other names of the list that libknot leaves out */
		if (t == 3 || t == 4 || t == 7 || t == 8 || t == 9 || t == 24 || t == 26 || t == 30)
			knot = true;
		ck_assert_msg(rdata_folds_case((uint16_t)t) == knot, "type %u", t);
	}
	ck_assert(!rdata_folds_case(T_NSEC));
	ck_assert(rdata_folds_case(T_RRSIG));
	ck_assert(!rdata_folds_case(64) && !rdata_folds_case(65));
}
END_TEST

/* rdata_cmp_canonical() against canonical copies. */
START_TEST(test_compare_random)
{
	static const uint16_t types[] = { 2, 6, 15, 16, 33, 35, 46, 47, 65 };
	static const uint8_t alphabet[] = { 0, 0, 1, 1, 2, 'a', 'A', 'b', 'B' };
	struct prng r = prng_seed(7);

	for (unsigned i = 0; i < 200000; i++) {
		uint16_t type = types[prng_upto(&r, COUNT(types) - 1)];
		uint8_t a[48], b[48], ca[48], cb[48];
		uint16_t n = (uint16_t)prng_upto(&r, sizeof(a)), m;
		int c;

		for (uint16_t k = 0; k < n; k++)
			a[k] = alphabet[prng_upto(&r, COUNT(alphabet) - 1)];
		if (rdata_check(type, a, n) != 0)
			continue;
		m = n;
		memcpy(b, a, n);
		for (uint64_t k = prng_upto(&r, 3); k > 0 && n > 0; k--) {
			uint16_t at = (uint16_t)prng_upto(&r, n - 1u);

			b[at] =
			    prng_upto(&r, 1) ? b[at] ^ 0x20 : alphabet[prng_upto(&r, COUNT(alphabet) - 1)];
		}
		if (rdata_check(type, b, m) != 0)
			continue;
		rdata_canonical(type, a, n, ca);
		rdata_canonical(type, b, m, cb);
		c = rdata_cmp(ca, n, cb, m);
		m = (uint16_t)rdata_cmp_canonical(type, a, n, b, m);
		ck_assert_int_eq((c > 0) - (c < 0), ((int16_t)m > 0) - ((int16_t)m < 0));
	}
}
END_TEST

START_TEST(test_types)
{
	char buf[RR_TYPE_TEXT];
	uint16_t t;

	ck_assert_str_eq(rr_type_text(1, buf), "A");
	ck_assert_str_eq(rr_type_text(65280, buf), "TYPE65280");
	ck_assert_str_eq(rr_type_text(65535, buf), "TYPE65535");
	ck_assert_str_eq(rr_type_text(51, buf), "NSEC3PARAM");
	ck_assert_int_eq(rr_type_from_text("NSEC3PARAM", &t), 0);
	ck_assert_uint_eq(t, 51);
	ck_assert_int_eq(rr_type_from_text("https", &t), 0);
	ck_assert_uint_eq(t, 65);
	ck_assert_int_eq(rr_type_from_text("TYPE65280", &t), 0);
	ck_assert_uint_eq(t, 65280);
	ck_assert_int_eq(rr_type_from_text("TYPE65536", &t), ZS_EFORMAT);
	ck_assert_int_eq(rr_type_from_text("TYPE1x", &t), ZS_EFORMAT);
	ck_assert_int_eq(rr_type_from_text("TYPE", &t), ZS_EFORMAT);
	ck_assert_int_eq(rr_type_from_text("NOSUCH", &t), ZS_EFORMAT);
	ck_assert_int_eq(rr_type_from_text("", &t), ZS_EFORMAT);
	for (unsigned i = 0; i <= 65535; i++) {
		bool meta = i == 0 || i == 41 || (i >= 128 && i < 256);

		ck_assert(rr_type_is_meta((uint16_t)i) == meta);
		ck_assert_int_eq(rr_type_from_text(rr_type_text((uint16_t)i, buf), &t), 0);
		ck_assert_uint_eq(t, i);
	}
}
END_TEST

START_TEST(test_presentation)
{
	static const struct { uint16_t type; const char *hex, *text;
	} rows[] = {
	    {1, "c0000201", "192.0.2.1"}, {15, "000a014100", "10 A."}, {65280, "0aff", "\\# 2 0aff"},
	    {65280, "", "\\# 0"},         {1, "c000", "\\# 2 c000"},   {16, "0141", "\"A\""},
	};
	uint8_t rdata[64];
	char buf[64];

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint16_t n = octets(rows[i].hex, rdata);
		size_t len = strlen(rows[i].text);

		ck_assert_int_eq(rdata_text(rows[i].type, rdata, n, buf, sizeof(buf)), (int)len);
		ck_assert_mem_eq(buf, rows[i].text, len); /* the case of hex digits is libknot's */
		for (size_t cap = 0; cap <= len; cap++)
			ck_assert_int_eq(rdata_text(rows[i].type, rdata, n, buf, cap), ZS_EFULL);
	}
	for (size_t i = 0; i < COUNT(good); i++) {
		uint16_t n = octets(good[i].hex, rdata);
		char text[4096];

		ck_assert_int_ge(rdata_text(good[i].type, rdata, n, text, sizeof(text)), 0);
	}
}
END_TEST

START_TEST(test_soa)
{
	uint8_t rdata[64];
	uint16_t n = octets("014100014200" "0102030411121314212223243132333441424344", rdata);
	struct soa s = { 0 };

	ck_assert_int_eq(soa_read(rdata, n, &s), 0);
	ck_assert_uint_eq(s.serial, 0x01020304);
	ck_assert_uint_eq(s.refresh, 0x11121314);
	ck_assert_uint_eq(s.retry, 0x21222324);
	ck_assert_uint_eq(s.expire, 0x31323334);
	ck_assert_uint_eq(s.minimum, 0x41424344);
	soa_set_serial(rdata, n, 0xffffffff);
	soa_set_expire(rdata, n, 7);
	ck_assert_int_eq(soa_read(rdata, n, &s), 0);
	ck_assert_uint_eq(s.serial, 0xffffffff);
	ck_assert_uint_eq(s.expire, 7);
	ck_assert_uint_eq(s.minimum, 0x41424344);
	ck_assert_uint_eq(s.retry, 0x21222324);
	ck_assert_int_lt(soa_read(rdata, (uint16_t)(n - 1), &s), 0);
	ck_assert_int_lt(soa_read(rdata, (uint16_t)(n + 1), &s), 0);
	ck_assert_int_lt(soa_read(rdata, 0, &s), 0);
}
END_TEST

START_TEST(test_serials)
{
	static const struct { uint32_t a, b; enum serial_order order;
	} rows[] = {
	    {0, 0, SERIAL_EQ},
	    {0, 1, SERIAL_LT},
	    {1, 0, SERIAL_GT},
	    {0, 0x7fffffff, SERIAL_LT},
	    {0, 0x80000000, SERIAL_UNDEF},
	    {0x80000000, 0, SERIAL_UNDEF},
	    {0, 0x80000001, SERIAL_GT},
	    {0xffffffff, 0, SERIAL_LT},
	    {0, 0xffffffff, SERIAL_GT},
	    {0xffffffff, 0x7ffffffe, SERIAL_LT},
	    {5, 0x80000005, SERIAL_UNDEF},
	    {0xc0000000, 0x10000000, SERIAL_LT},
	};

	for (size_t i = 0; i < COUNT(rows); i++)
		ck_assert_int_eq(serial_cmp(rows[i].a, rows[i].b), rows[i].order);
}
END_TEST

START_TEST(test_key_tags)
{
	/* RFC 4034 5.4: dskey.example.com., tag 60485 */
	static const char b64[] = "AQOeiiR0GOMYkDshWoSKz9XzfwJr1AYtsmx3TGkJaNXVbfi/2pHm822aJ5iI9BMzNXxeYCmZ"
				  "DRD99WYwYqUSdjMmmAphXdvxegXd/M5+X7OrzKBaMbCVdFLUUh6DhweJBjEVv5f2wwjM9Xzc"
				  "nOf+EPbtG9DMBmADjFDc2w/rljwvFw==";
	uint8_t rdata[200] = { 1, 0, 3, 5 };
	size_t n = sizeof(rdata) - 4;

	ck_assert_int_eq(text_unb64(rdata + 4, &n, b64, strlen(b64)), 0);
	ck_assert_uint_eq(dnskey_tag(rdata, (uint16_t)(n + 4)), 60485);
	rdata[3] = 1; /* RSA/MD5: two octets of the modulus */
	ck_assert_uint_eq(dnskey_tag(rdata, (uint16_t)(n + 4)), rdata[n + 1] << 8 | rdata[n + 2]);
	ck_assert_uint_eq(dnskey_tag(rdata, 3), 0);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_good_layouts, test_bad_layouts, test_cut_at_every_octet, test_unpack_plain,
		test_unpack_pointers, test_unpack_bounds, test_folding_types, test_compare_random,
		test_types, test_presentation, test_soa, test_serials, test_key_tags,
	};

	return RUN_SUITE("rr", tests);
}
