/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Octets to text and back; what is not exactly right is refused and leaves the answer alone. */
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "t_suite.h"

START_TEST(test_hex)
{
	char t[16];
	uint8_t b[4] = { 0 };

	ck_assert_str_eq(text_hex(t, "\x00\x9f\xff", 3), "009fff");
	ck_assert_str_eq(text_hex(t, NULL, 0), "");
	ck_assert_int_eq(text_unhex(b, 3, "009fFF"), 0);
	ck_assert_mem_eq(b, "\x00\x9f\xff", 3);
	ck_assert_int_eq(text_unhex(b, 3, "009ff"), ZS_EFORMAT);
	ck_assert_int_eq(text_unhex(b, 3, "009ff0 "), ZS_EFORMAT);
	ck_assert_int_eq(text_unhex(b, 3, "009fg0"), ZS_EFORMAT);
	ck_assert_int_eq(text_unhex(b, 3, ""), ZS_EFORMAT);
	ck_assert_int_eq(text_unhex(b, 0, ""), 0);
	ck_assert_mem_eq(b, "\x00\x9f\xff", 3);
}
END_TEST

/* RFC 4648 section 10 */
START_TEST(test_b64_vectors)
{
	static const char *const text[] = { "", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy" };
	char t[TEXT_B64_LEN(6)];
	uint8_t b[6];

	for (size_t n = 0; n <= 6; n++) {
		size_t len = n;

		ck_assert_str_eq(text_b64(t, "foobar", n), text[n]);
		ck_assert_uint_eq(strlen(t) + 1, TEXT_B64_LEN(n));
		ck_assert_int_eq(text_unb64(b, &len, t, strlen(t)), 0);
		ck_assert_uint_eq(len, n);
		ck_assert_mem_eq(b, "foobar", n);
	}
}
END_TEST

static int unb64(const char *s, size_t room)
{
	uint8_t b[64];
	size_t len = room;
	int ret = text_unb64(b, &len, s, strlen(s));

	return ret ? ret : (int)len;
}

START_TEST(test_b64_strict)
{
	ck_assert_int_eq(unb64(" Zm9v\n\tYg = =\r\n", 4), 4);
	ck_assert_int_eq(unb64("Zm9v", 2), ZS_EFULL);
	ck_assert_int_eq(unb64("Zg", 9), ZS_EFORMAT); /* no padding */
	ck_assert_int_eq(unb64("Zg=", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Zg===", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Z===", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("=", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Zg=v", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Zg==Zm9v", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Zh==", 9), ZS_EFORMAT); /* bits left over are not zero */
	ck_assert_int_eq(unb64("Zm9=", 9), ZS_EFORMAT);
	ck_assert_int_eq(unb64("Zm-_", 9), ZS_EFORMAT); /* the other alphabet */
	ck_assert_int_eq(unb64("Zm9v*", 9), ZS_EFORMAT);
}
END_TEST

START_TEST(test_b64_random)
{
	struct prng r = prng_seed(3);

	for (int i = 0; i < 500; i++) {
		uint8_t a[50], b[50];
		char t[TEXT_B64_LEN(50)];
		size_t n = prng_upto(&r, 50), len = n;

		for (size_t j = 0; j < n; j++)
			a[j] = (uint8_t)prng_u64(&r);
		text_b64(t, a, n);
		ck_assert_int_eq(text_unb64(b, &len, t, strlen(t)), 0);
		ck_assert_uint_eq(len, n);
		ck_assert_mem_eq(a, b, n);
	}
}
END_TEST

START_TEST(test_b32hex)
{
	static const char *const text[] = { "", "co", "cpng", "cpnmu", "cpnmuog", "cpnmuoj1", "cpnmuoj1e8" };
	char t[33];

	for (size_t n = 0; n <= 6; n++)
		ck_assert_str_eq(text_b32hex(t, "foobar", n), text[n]);
	/* RFC 5155 appendix A: the hash of example. */
	ck_assert_str_eq(text_b32hex(t, "\x06\x53\x68\xab\xee\xd7\xec\x6e\x9f\xeb\xa9\x6b\x8c\x8b\xc3\xe8"
					"\xb7\x91\xf7\x16", 20), "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom");
}
END_TEST

START_TEST(test_duration)
{
	int64_t s = -7;

	ck_assert_int_eq(text_duration("90s", &s), 0);
	ck_assert_int_eq(s, 90);
	ck_assert_int_eq(text_duration("5m", &s), 0);
	ck_assert_int_eq(s, 300);
	ck_assert_int_eq(text_duration("12h", &s), 0);
	ck_assert_int_eq(s, 43200);
	ck_assert_int_eq(text_duration("14d", &s), 0);
	ck_assert_int_eq(s, 1209600);
	ck_assert_int_eq(text_duration("2w", &s), 0);
	ck_assert_int_eq(s, 1209600);
	ck_assert_int_eq(text_duration("3600", &s), 0);
	ck_assert_int_eq(s, 3600);
	ck_assert_int_eq(text_duration("9223372036854775807", &s), 0);
	ck_assert_int_eq(s, INT64_MAX);
	ck_assert_int_eq(text_duration("9223372036854775808", &s), ZS_ELIMIT);
	ck_assert_int_eq(text_duration("15250284452472w", &s), ZS_ELIMIT);
	ck_assert_int_eq(text_duration("99999999999999999999999w", &s), ZS_ELIMIT);
	ck_assert_int_eq(text_duration("", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("m", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("-5m", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration(" 5m", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("5 m", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("5ms", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("5M", &s), ZS_EFORMAT);
	ck_assert_int_eq(text_duration("1h30m", &s), ZS_EFORMAT);
	ck_assert_int_eq(s, INT64_MAX);
}
END_TEST

START_TEST(test_size_and_number)
{
	uint64_t v = 7;

	ck_assert_int_eq(text_size("64k", &v), 0);
	ck_assert_uint_eq(v, 65536);
	ck_assert_int_eq(text_size("100M", &v), 0);
	ck_assert_uint_eq(v, 104857600);
	ck_assert_int_eq(text_size("1G", &v), 0);
	ck_assert_uint_eq(v, 1073741824);
	ck_assert_int_eq(text_size("16777215T", &v), 0);
	ck_assert_int_eq(text_size("16777216T", &v), ZS_ELIMIT);
	ck_assert_int_eq(text_size("1m", &v), ZS_EFORMAT);
	ck_assert_int_eq(text_size("1GB", &v), ZS_EFORMAT);
	ck_assert_int_eq(text_u64("18446744073709551615", UINT64_MAX, &v), 0);
	ck_assert_uint_eq(v, UINT64_MAX);
	ck_assert_int_eq(text_u64("18446744073709551616", UINT64_MAX, &v), ZS_ELIMIT);
	ck_assert_int_eq(text_u64("65535", 65535, &v), 0);
	ck_assert_uint_eq(v, 65535);
	ck_assert_int_eq(text_u64("65536", 65535, &v), ZS_ELIMIT);
	ck_assert_int_eq(text_u64("0x10", 65535, &v), ZS_EFORMAT);
	ck_assert_int_eq(text_u64("+1", 65535, &v), ZS_EFORMAT);
	ck_assert_int_eq(text_u64("1k", 65535, &v), ZS_EFORMAT);
	ck_assert_int_eq(text_u64("", 65535, &v), ZS_EFORMAT);
	ck_assert_uint_eq(v, 65535);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_hex,
		test_b64_vectors,
		test_b64_strict,
		test_b64_random,
		test_b32hex,
		test_duration,
		test_size_and_number,
	};

	return RUN_SUITE("base_text", tests);
}
