/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keymap: lines, text, file; and the conversions of public keys and signatures behind it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf */
#endif
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "../src/vault/pub.h"
#include "base/err.h"
#include "base/fs.h"
#include "t_suite.h"
#include "vault/keymap.h"

static struct keymap_line line(unsigned i)
{
	struct keymap_line l = { .role = ROLE_ZSK, .algorithm = 13, .max_validity = 1209600 + i };
	char zone[32];
	uint8_t pub[64];

	snprintf(zone, sizeof(zone), "z%u.example.", i / 2);
	ck_assert_int_eq(keymap_zone_parse(zone, l.zone, &l.zone_len), 0);
	strcpy(l.keystore, i & 1 ? "hsm" : "file");
	for (int k = 0; k < KEY_ID_LEN; k++)
		l.id[k] = (uint8_t)(i >> (k % 4 * 8));
	if (i % 3) {
		memset(pub, (int)i, sizeof(pub));
		ck_assert_int_eq(keymap_set_pub(&l, pub, sizeof(pub)), 0);
	}
	return l;
}

START_TEST(put_find_remove)
{
	struct keymap m = { 0 };
	struct keymap_line l;
	const struct keymap_line *f;
	size_t at = 0, n = 0;

	for (unsigned i = 0; i < 3000; i++) {
		l = line(i);
		ck_assert_int_eq(keymap_put(&m, &l), 0);
	}
	ck_assert_uint_eq(m.n, 3000);
	for (unsigned i = 0; i < 3000; i++) {
		l = line(i);
		f = keymap_find(&m, l.id);
		ck_assert_ptr_nonnull(f);
		ck_assert_int_eq(f->max_validity, l.max_validity);
	}
	l = line(7);
	while ((f = keymap_next_of_zone(&m, l.zone, l.zone_len, &at)))
		n += f->zone_len == l.zone_len && memcmp(f->zone, l.zone, l.zone_len) == 0;
	ck_assert_uint_eq(n, 2);
	/* replaced, also when its zone changes */
	ck_assert_int_eq(keymap_zone_parse("moved.", l.zone, &l.zone_len), 0);
	ck_assert_int_eq(keymap_put(&m, &l), 0);
	ck_assert_uint_eq(m.n, 3000);
	at = 0;
	ck_assert_ptr_eq(keymap_next_of_zone(&m, l.zone, l.zone_len, &at), keymap_find(&m, l.id));
	ck_assert_ptr_null(keymap_next_of_zone(&m, l.zone, l.zone_len, &at));
	ck_assert_int_eq(keymap_remove(&m, l.id), 0);
	ck_assert_int_eq(keymap_remove(&m, l.id), ZS_ENOENT);
	ck_assert_ptr_null(keymap_find(&m, l.id));
	l = line(2999);
	ck_assert_ptr_nonnull(keymap_find(&m, l.id));
	keymap_free(&m);
}
END_TEST

START_TEST(file_round_trip)
{
	char dir[] = "/tmp/zs-keymap-XXXXXX", path[64], one[2048], *text;
	struct keymap m = { 0 }, back = { 0 };
	struct keymap_line l;
	size_t len;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/keymap", dir);
	ck_assert_int_eq(keymap_load(path, &back), ZS_ENOENT);
	for (unsigned i = 0; i < 50; i++) {
		l = line(i);
		ck_assert_int_eq(keymap_put(&m, &l), 0);
	}
	ck_assert_int_eq(keymap_save(path, &m), 0);
	ck_assert_int_eq(keymap_load(path, &back), 0);
	ck_assert_uint_eq(back.n, m.n);
	ck_assert_mem_eq(back.line, m.line, m.n * sizeof(*m.line));
	keymap_free(&back);
	/* one octet changed by hand is seen */
	ck_assert_int_eq(fs_read(path, 1 << 20, &text, &len), 0);
	text[len / 2] ^= 1;
	ck_assert_int_eq(fs_replace(path, text, len, 0600), 0);
	ck_assert_int_eq(keymap_load(path, &back), ZS_ECRC);
	free(text);
	/* two lines for one key; another version */
	ck_assert_int_eq(keymap_line_text(&m.line[0], one, sizeof(one)), 0);
	ck_assert_int_ge(asprintf(&text, "zoneseal-keymap 1\n%s\n%s\n", one, one), 0);
	ck_assert_int_eq(fs_replace_checked(path, text, strlen(text), 0600), 0);
	ck_assert_int_eq(keymap_load(path, &back), ZS_EFORMAT);
	ck_assert_int_eq(fs_replace_checked(path, "zoneseal-keymap 2\n", 18, 0600), 0);
	ck_assert_int_eq(keymap_load(path, &back), ZS_EVERSION);
	free(text);
	keymap_free(&m);
	unlink(path);
	rmdir(dir);
}
END_TEST

START_TEST(lines_are_strict)
{
	static const char head[] =
		"key 000102030405060708090a0b0c0d0e0f keystore hsm zone example. role ksk algorithm 13 ";
	static const char *const bad[] = {
		"", "bits 0", "bits 0 validity 5 pub", "bits 0 validity 5 pub - more",
		"bits 65536 validity 5 pub -", "bits 0 validity -5 pub -", "bits 0 validity 5 pub 00",
		"validity 5 bits 0 pub -",
	};
	struct keymap_line l;
	char text[1024];

	snprintf(text, sizeof(text), "%sbits 0 validity 5 pub -", head);
	ck_assert_int_eq(keymap_line_parse(text, &l), 0);
	ck_assert_int_eq(l.role, ROLE_KSK);
	ck_assert(!l.has_pub);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(text, sizeof(text), "%s%s", head, bad[i]);
		ck_assert_msg(keymap_line_parse(text, &l) == ZS_EFORMAT, "%s", bad[i]);
	}
	snprintf(text, sizeof(text), "%sbits 0 validity 5 pub -", head);
	text[strlen(head) - 3] = '9'; /* algorithm 93 */
	ck_assert_int_eq(keymap_line_parse(text, &l), ZS_EFORMAT);
}
END_TEST

START_TEST(zone_names)
{
	uint8_t zone[255], len;
	char text[ZONE_TEXT_MAX], label[300];

	ck_assert_int_eq(keymap_zone_parse("A\\000b.\\.x.EXAMPLE", zone, &len), 0);
	ck_assert_mem_eq(zone, "\3a\0b\2.x\7example", 16);
	ck_assert_int_eq(keymap_zone_text(zone, len, text, sizeof(text)), 0);
	ck_assert_str_eq(text, "a\\000b.\\046x.example.");
	ck_assert_int_eq(keymap_zone_parse(".", zone, &len), 0);
	ck_assert_uint_eq(len, 1);
	ck_assert_int_eq(keymap_zone_text(zone, len, text, sizeof(text)), 0);
	ck_assert_str_eq(text, ".");
	ck_assert_int_eq(keymap_zone_parse("a..b.", zone, &len), ZS_EFORMAT);
	ck_assert_int_eq(keymap_zone_parse("a\\256.", zone, &len), ZS_EFORMAT);
	ck_assert_int_eq(keymap_zone_parse("a b.", zone, &len), ZS_EFORMAT);
	memset(label, 'x', 64);
	label[64] = 0;
	ck_assert_int_eq(keymap_zone_parse(label, zone, &len), ZS_EFORMAT);
	label[63] = 0;
	ck_assert_int_eq(keymap_zone_parse(label, zone, &len), 0);
	for (size_t i = 0; i < 254; i++)
		label[i] = i & 1 ? '.' : 'x';
	label[254] = 0; /* 127 labels: 255 octets, the most there are */
	ck_assert_int_eq(keymap_zone_parse(label, zone, &len), 0);
	ck_assert_uint_eq(len, 255);
	strcpy(label + 254, "x");
	ck_assert_int_eq(keymap_zone_parse(label, zone, &len), ZS_EFORMAT);
}
END_TEST

/* The DNSKEY and DS of RFC 6605 6.1 (P-256), and its tag. */
START_TEST(tag_and_ds_of_rfc6605)
{
	static const char b64[] =
		"GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
	uint8_t pub[66];
	struct keymap_line l = { .role = ROLE_KSK, .algorithm = 13 };

	ck_assert_int_eq(EVP_DecodeBlock(pub, (const uint8_t *)b64, (int)strlen(b64)), 66);
	ck_assert_int_eq(keymap_zone_parse("example.net.", l.zone, &l.zone_len), 0);
	ck_assert_int_eq(keymap_set_pub(&l, pub, 64), 0);
	ck_assert_uint_eq(l.tag, 55648);
	ck_assert_mem_eq(l.ds_sha256, "\xb4\xc8\xc1\xfe\x2e\x74\x77\x12\x7b\x27\x11\x56\x56\xad\x62\x56", 16);
}
END_TEST

START_TEST(points_in_their_encodings)
{
	static const uint8_t algorithms[] = { 13, 14, 15, 16 };

	for (size_t a = 0; a < sizeof(algorithms); a++) {
		uint8_t alg = algorithms[a], pub[128], got[128], raw[160];
		size_t size = pub_alg_size(alg), len = sizeof(pub), n, got_len;
		EVP_PKEY *k = alg == 13 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256")
			    : alg == 14 ? EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384")
			    : EVP_PKEY_Q_keygen(NULL, NULL, alg == 15 ? "ED25519" : "ED448");
		bool ec = pub_alg_ecdsa(alg);

		ck_assert_int_eq(pub_from_pkey(k, alg, pub, &len), 0);
		n = ec ? 1 + 2 * size : size;
		for (int form = 0; form < (ec ? 4 : 3); form++) {
			size_t head = 0, plain = form == 3 ? 1 + size : n;

			if (form == 1 || form == 3)
				raw[head++] = 4, raw[head++] = (uint8_t)plain;
			else if (form == 2)
				raw[head++] = 3, raw[head++] = (uint8_t)(plain + 1), raw[head++] = 0;
			if (ec)
				raw[head++] = form == 3 ? (uint8_t)(2 + (pub[2 * size - 1] & 1)) : 4;
			memcpy(raw + head, pub, form == 3 ? size : len);
			head += form == 3 ? size : len;
			got_len = sizeof(got);
			ck_assert_msg(pub_from_point(alg, raw, head, got, &got_len) == 0,
				      "algorithm %u form %d", alg, form);
			ck_assert_uint_eq(got_len, len);
			ck_assert_mem_eq(got, pub, len);
			got_len = sizeof(got);
			ck_assert_int_eq(pub_from_point(alg, raw, head - 1, got, &got_len), ZS_EKEY);
			if (ec && form != 3) { /* off the curve */
				raw[head - 1] ^= 1;
				ck_assert_int_eq(pub_from_point(alg, raw, head, got, &got_len), ZS_EKEY);
			}
		}
		EVP_PKEY_free(k);
	}
}
END_TEST

START_TEST(rsa_leading_zeros)
{
	uint8_t n[260] = { 0 }, e[] = { 0, 0, 1, 0, 1 }, pub[PUBKEY_MAX];
	size_t len = sizeof(pub);

	memset(n + 4, 0xab, 256);
	ck_assert_int_eq(pub_from_rsa(n, sizeof(n), e, sizeof(e), pub, &len), 0);
	ck_assert_uint_eq(len, 1 + 3 + 256);
	ck_assert_mem_eq(pub, "\3\1\0\1\xab", 5);
	ck_assert_int_eq(pub_from_rsa(n, 4 + 100, e, sizeof(e), pub, &len), ZS_EKEY);
}
END_TEST

START_TEST(der_signatures)
{
	uint8_t rs[96], back[96], der[144];
	size_t n;

	for (int size = 32; size <= 48; size += 16)
		for (int i = 0; i < 256; i++) {
			memset(rs, i, sizeof(rs));
			rs[0] = (uint8_t)(i & 1 ? 0 : 0x80);
			rs[1] = 0;
			n = pub_sig_to_der(rs, (size_t)size, der);
			ck_assert_int_eq(pub_sig_from_der(der, n, (size_t)size, back), 0);
			ck_assert_mem_eq(rs, back, 2 * (size_t)size);
			for (size_t cut = 0; cut < n; cut++)
				ck_assert_int_eq(pub_sig_from_der(der, cut, (size_t)size, back), ZS_EFORMAT);
			ck_assert_int_eq(pub_sig_from_der(der, n + 1, (size_t)size, back), ZS_EFORMAT);
		}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		put_find_remove, file_round_trip, lines_are_strict, zone_names, tag_and_ds_of_rfc6605,
		points_in_their_encodings, rsa_leading_zeros, der_signatures,
	};

	return RUN_SUITE("keymap", tests);
}
