/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The message guard: every algorithm and role accepted, and each rule broken alone. */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "t_suite.h"
#include "vault/guard.h"

#define NOW 1800000000u
#define KEYS 4

/* A signing input, spelled out field by field so that a test changes one. */
struct input {
	uint16_t type, tag;
	uint8_t alg, labels;
	uint32_t ttl, expiration, inception;
	const char *signer, *owner; /* text; upper case is kept in `raw` tests only */
	uint16_t rr_type, rr_class;
	uint32_t rr_ttl;
	const char *rdata[4];
	size_t rdata_len[4];
	size_t n;
};

static struct keymap map;
static struct keymap_line ksk, zsk, csk, foreign;
static uint8_t pub[KEYS][64];

static void make_line(struct keymap_line *l, int i, enum key_role role, const char *zone)
{
	memset(l, 0, sizeof(*l));
	memset(l->id, 16 + i, KEY_ID_LEN);
	strcpy(l->keystore, "hsm");
	l->role = role;
	l->algorithm = 13;
	l->max_validity = 14 * 86400;
	memset(pub[i], 0x20 + i, sizeof(pub[i]));
	if (keymap_zone_parse(zone, l->zone, &l->zone_len) || keymap_set_pub(l, pub[i], sizeof(pub[i])) ||
	    keymap_put(&map, l))
		abort(); /* runs before the first test */
}

static void setup(void)
{
	memset(&map, 0, sizeof(map));
	make_line(&ksk, 0, ROLE_KSK, "example.");
	make_line(&zsk, 1, ROLE_ZSK, "example.");
	make_line(&csk, 2, ROLE_CSK, "example.");
	make_line(&foreign, 3, ROLE_KSK, "other.");
}

static void put_name(struct wr *w, const char *text)
{
	while (*text && strcmp(text, ".") != 0) {
		size_t n = strcspn(text, ".");

		wr_u8(w, (uint8_t)n);
		wr_bytes(w, text, n);
		text += n + (text[n] == '.');
	}
	wr_u8(w, 0);
}

static size_t encode(const struct input *in, uint8_t *dst, size_t cap)
{
	struct wr w = wr_fixed(dst, cap);

	wr_u16(&w, in->type);
	wr_u8(&w, in->alg);
	wr_u8(&w, in->labels);
	wr_u32(&w, in->ttl);
	wr_u32(&w, in->expiration);
	wr_u32(&w, in->inception);
	wr_u16(&w, in->tag);
	put_name(&w, in->signer);
	for (size_t i = 0; i < in->n; i++) {
		put_name(&w, in->owner);
		wr_u16(&w, in->rr_type);
		wr_u16(&w, in->rr_class);
		wr_u32(&w, in->rr_ttl);
		wr_u16(&w, (uint16_t)in->rdata_len[i]);
		wr_bytes(&w, in->rdata[i], in->rdata_len[i]);
	}
	ck_assert_int_eq(w.err, 0);
	return w.len;
}

#define R(i, text) in.rdata[i] = (text), in.rdata_len[i] = sizeof(text) - 1

static struct input good(const struct keymap_line *l, uint16_t type, const char *owner, uint8_t labels)
{
	struct input in = {
		.type = type, .tag = l->tag, .alg = 13, .labels = labels, .ttl = 300,
		.expiration = NOW + 86400 * 10, .inception = NOW - 3600, .signer = "example.", .owner = owner,
		.rr_type = type, .rr_class = 1, .rr_ttl = 300, .n = 1,
	};

	R(0, "\x0a\x00\x00\x01");
	return in;
}

static enum guard_reason check(const struct keymap_line *l, const struct input *in)
{
	uint8_t buf[4096], *exact;
	size_t n = encode(in, buf, sizeof(buf));
	enum guard_reason why;

	exact = malloc(n); /* so that a read past the end is seen */
	ck_assert_ptr_nonnull(exact);
	memcpy(exact, buf, n);
	why = guard_check(l, l ? l->tag : 0, &map, exact, n);
	free(exact);
	return why;
}

#define EXPECT(l, in, why) ck_assert_str_eq(guard_reason_text(check(l, &(in))), guard_reason_text(why))

START_TEST(accepts_what_a_signer_makes)
{
	static const uint8_t algorithms[] = { 8, 10, 13, 14, 15, 16 };
	struct input in = good(&zsk, 1, "www.example.", 2);
	struct keymap_line l = zsk;

	for (size_t i = 0; i < sizeof(algorithms); i++) {
		l.algorithm = in.alg = algorithms[i];
		EXPECT(&l, in, GUARD_OK);
	}
	in.alg = 13;
	R(1, "\x0a\x00\x00\x02");
	R(2, "\x0a\x00\x01\x01");
	in.n = 3;
	EXPECT(&zsk, in, GUARD_OK);
	in = good(&csk, 6, "example.", 1);
	R(0, "\0\0" "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1");
	EXPECT(&csk, in, GUARD_OK);
	in = good(&zsk, 16, "*.example.", 1); /* wildcard: not counted */
	EXPECT(&zsk, in, GUARD_OK);
	in = good(&zsk, 16, "*.*.example.", 2); /* only the leftmost */
	EXPECT(&zsk, in, GUARD_OK);
	in = good(&zsk, 65000, "x.example.", 2); /* unknown types are opaque: case and all */
	R(0, "ABC");
	EXPECT(&zsk, in, GUARD_OK);
	in = good(&zsk, 47, "x.example.", 2); /* NSEC: the next name keeps its case (RFC 6840 5.1) */
	R(0, "\1Y\7example\0\0\1\x40");
	EXPECT(&zsk, in, GUARD_OK);
	in = good(&zsk, 16, "x.example.", 2); /* an empty RDATA, then more: shorter sorts first */
	R(0, "\1a");
	R(1, "\1a\1b");
	in.n = 2;
	EXPECT(&zsk, in, GUARD_OK);
}
END_TEST

START_TEST(refuses_wrong_head)
{
	struct input in = good(&zsk, 1, "www.example.", 2), bad;

	EXPECT(NULL, in, GUARD_NO_LINE);
	bad = in, bad.alg = 8;
	EXPECT(&zsk, bad, GUARD_ALGORITHM);
	bad = in, bad.tag ^= 1;
	EXPECT(&zsk, bad, GUARD_TAG);
	bad = in, bad.signer = "other.";
	EXPECT(&zsk, bad, GUARD_ZONE);
	bad = in, bad.signer = "www.example.";
	EXPECT(&zsk, bad, GUARD_ZONE);
	bad = in, bad.signer = "EXAMPLE.";
	EXPECT(&zsk, bad, GUARD_ZONE);
	bad = in, bad.signer = ".";
	EXPECT(&zsk, bad, GUARD_ZONE);
	bad = in, bad.labels = 1;
	EXPECT(&zsk, bad, GUARD_LABELS);
	bad = in, bad.labels = 3;
	EXPECT(&zsk, bad, GUARD_LABELS);
	bad = in, bad.owner = "*.example.";
	EXPECT(&zsk, bad, GUARD_LABELS);
	bad = in, bad.ttl = bad.rr_ttl = 0x80000000u;
	EXPECT(&zsk, bad, GUARD_TTL);
}
END_TEST

START_TEST(refuses_wrong_validity)
{
	struct input in = good(&zsk, 1, "www.example.", 2), bad = in;
	uint8_t buf[512];
	size_t n;

	bad.expiration = bad.inception + 14 * 86400;
	EXPECT(&zsk, bad, GUARD_OK);
	bad.expiration++;
	EXPECT(&zsk, bad, GUARD_VALIDITY);
	bad.expiration = bad.inception;
	EXPECT(&zsk, bad, GUARD_VALIDITY);
	bad.expiration = bad.inception - 1;
	EXPECT(&zsk, bad, GUARD_VALIDITY);
	bad.expiration = bad.inception + 0x80000001u; /* half a circle on: before, not after */
	EXPECT(&zsk, bad, GUARD_VALIDITY);
	bad.inception = 0xfffffff0u; /* over the end of 32 bits */
	bad.expiration = 86400;
	EXPECT(&zsk, bad, GUARD_OK);
	n = encode(&in, buf, sizeof(buf));
	ck_assert_int_eq(guard_check_now(buf, n, WALL(NOW)), GUARD_OK);
	ck_assert_int_eq(guard_check_now(buf, n, WALL(NOW - 3600 - GUARD_AHEAD)), GUARD_OK);
	ck_assert_int_eq(guard_check_now(buf, n, WALL(NOW - 3600 - GUARD_AHEAD - 1)), GUARD_VALIDITY);
	ck_assert_int_eq(guard_check_now(buf, 15, WALL(NOW)), GUARD_SHORT);
}
END_TEST

START_TEST(refuses_wrong_role_and_type)
{
	static const uint16_t never[] = { 0, 24, 41, 46, 128, 249, 250, 251, 252, 253, 254, 255 };
	struct input in = good(&ksk, 1, "www.example.", 2);

	EXPECT(&ksk, in, GUARD_ROLE);
	for (uint16_t type = 48; type <= 60; type = type == 48 ? 59 : (uint16_t)(type + 1)) {
		in = good(&zsk, type, "example.", 1);
		EXPECT(&zsk, in, GUARD_ROLE);
	}
	for (size_t i = 0; i < sizeof(never) / sizeof(never[0]); i++) {
		in = good(&csk, never[i], "example.", 1);
		EXPECT(&csk, in, GUARD_TYPE);
	}
	in = good(&zsk, 1, "www.example.", 2);
	in.rr_type = 28;
	EXPECT(&zsk, in, GUARD_TYPE);
	in = good(&zsk, 1, "www.example.", 2);
	in.rr_class = 3;
	EXPECT(&zsk, in, GUARD_CLASS);
	in = good(&zsk, 6, "www.example.", 2); /* SOA off the apex, DS at it */
	R(0, "\0\0" "\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1");
	EXPECT(&zsk, in, GUARD_OWNER);
	in = good(&zsk, 43, "example.", 1);
	EXPECT(&zsk, in, GUARD_OWNER);
}
END_TEST

START_TEST(refuses_wrong_records)
{
	struct input in = good(&zsk, 1, "www.example.", 2), bad;
	uint8_t buf[1024];
	size_t n;

	bad = in, bad.rr_ttl++;
	EXPECT(&zsk, bad, GUARD_TTL);
	bad = in, bad.owner = "www.other.", bad.labels = 2;
	EXPECT(&zsk, bad, GUARD_OWNER);
	bad = in, bad.owner = "notexample.", bad.labels = 1; /* ends in the zone's octets, not at a label */
	EXPECT(&zsk, bad, GUARD_OWNER);
	bad = in, bad.owner = "wWw.example.";
	EXPECT(&zsk, bad, GUARD_CANONICAL);
	bad = in, bad.n = 0;
	EXPECT(&zsk, bad, GUARD_SHORT);
	bad = in, bad.n = 2, bad.rdata[1] = "\x0a\x00\x00\x01", bad.rdata_len[1] = 4; /* twice */
	EXPECT(&zsk, bad, GUARD_ORDER);
	bad.rdata[1] = "\x09\xff\xff\xff";
	EXPECT(&zsk, bad, GUARD_ORDER);
	bad.rdata_len[1] = 3, bad.rdata[1] = "\x0a\x00\x00"; /* a prefix sorts before */
	EXPECT(&zsk, bad, GUARD_ORDER);
	/* a second owner, trailing octets, every shorter message */
	n = encode(&in, buf, sizeof(buf));
	for (size_t cut = 0; cut < n; cut++)
		ck_assert_int_ne(guard_check(&zsk, zsk.tag, &map, buf, cut), GUARD_OK);
	for (size_t more = 1; more < 12; more++) {
		memset(buf + n, 0, more);
		ck_assert_int_ne(guard_check(&zsk, zsk.tag, &map, buf, n + more), GUARD_OK);
	}
	memcpy(buf + n, buf + 27, n - 27); /* the record again under another owner */
	buf[n + 1] = 'x';
	ck_assert_int_eq(guard_check(&zsk, zsk.tag, &map, buf, 2 * n - 27), GUARD_OWNER);
	buf[n] = 0xc0; /* compression */
	ck_assert_int_eq(guard_check(&zsk, zsk.tag, &map, buf, 2 * n - 27), GUARD_TRAILING);
}
END_TEST

/* Names in RDATA: lower case, whole, nothing behind them. */
START_TEST(refuses_rdata_not_canonical)
{
	static const struct { uint16_t type; const char *ok; size_t n; size_t upper; } cases[] = {
		{ 2, "\2ns\0", 4, 1 }, { 5, "\2ns\0", 4, 2 }, { 12, "\2ns\0", 4, 1 }, { 39, "\2ns\0", 4, 1 },
		{ 15, "\0\1\2ns\0", 6, 3 }, { 33, "\0\1\0\1\0\1\2ns\0", 10, 7 }, { 18, "\0\1\2ns\0", 6, 3 },
		{ 17, "\1a\0\1b\0", 6, 4 }, { 14, "\1a\0\1b\0", 6, 1 }, { 36, "\0\1\1a\0", 5, 3 },
		{ 35, "\0\1\0\1\1S\0\0\1a\0", 11, 9 },
		{ 6, "\1a\0\1b\0aaaabbbbccccddddeeee", 26, 4 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct input in = good(&csk, cases[i].type, cases[i].type == 6 ? "example." : "x.example.",
				       cases[i].type == 6 ? 1 : 2);
		char rdata[64];

		memcpy(rdata, cases[i].ok, cases[i].n);
		in.rdata[0] = rdata;
		in.rdata_len[0] = cases[i].n;
		EXPECT(&csk, in, GUARD_OK);
		rdata[cases[i].upper] = (char)(rdata[cases[i].upper] - 32);
		EXPECT(&csk, in, GUARD_CANONICAL);
		rdata[cases[i].upper] = (char)(rdata[cases[i].upper] + 32);
		in.rdata_len[0]--;
		EXPECT(&csk, in, GUARD_CANONICAL);
		in.rdata_len[0] += 2;
		rdata[cases[i].n] = 0;
		EXPECT(&csk, in, GUARD_CANONICAL);
	}
}
END_TEST

static size_t dnskey(char *dst, uint16_t flags, const uint8_t *key)
{
	put_be16((uint8_t *)dst, flags);
	dst[2] = 3;
	dst[3] = 13;
	memcpy(dst + 4, key, 64);
	return 68;
}

START_TEST(key_sets_hold_our_keys_only)
{
	struct input in = good(&ksk, 48, "example.", 1);
	char a[80], b[80];

	in.n = 2;
	in.rdata[0] = a;
	in.rdata[1] = b;
	in.rdata_len[0] = dnskey(a, 256, pub[1]);
	in.rdata_len[1] = dnskey(b, 257, pub[0]);
	EXPECT(&ksk, in, GUARD_OK);
	in.tag = zsk.tag;
	EXPECT(&zsk, in, GUARD_ROLE);
	in.tag = ksk.tag;
	dnskey(b, 257, pub[3]); /* ours, but another zone's */
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	dnskey(b, 257, pub[1]); /* a ZSK as a secure entry point */
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	dnskey(b, 257 | 0x80, pub[0]); /* revoked: the same key */
	EXPECT(&ksk, in, GUARD_OK);
	dnskey(b, 257, pub[0]);
	b[20] ^= 1;
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	dnskey(b, 257, pub[0]);
	b[2] = 4;
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	b[2] = 3;
	b[3] = 14;
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	/* CDNSKEY: no ZSK, no delete */
	in = good(&ksk, 60, "example.", 1);
	in.rdata[0] = a;
	in.rdata_len[0] = dnskey(a, 257, pub[2]);
	EXPECT(&ksk, in, GUARD_OK);
	in.rdata_len[0] = dnskey(a, 256, pub[1]);
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
	R(0, "\0\0\3\0\0");
	EXPECT(&ksk, in, GUARD_FOREIGN_DNSKEY);
}
END_TEST

START_TEST(cds_names_our_keys_only)
{
	struct input in = good(&csk, 59, "example.", 1);
	uint8_t ds[4 + 48];

	in.rdata[0] = (char *)ds;
	put_be16(ds, ksk.tag);
	ds[2] = 13;
	ds[3] = 2;
	memcpy(ds + 4, ksk.ds_sha256, 32);
	in.rdata_len[0] = 36;
	EXPECT(&csk, in, GUARD_OK);
	ds[35] ^= 1;
	EXPECT(&csk, in, GUARD_FOREIGN_DNSKEY);
	ds[3] = 4;
	memcpy(ds + 4, ksk.ds_sha384, 48);
	in.rdata_len[0] = 52;
	EXPECT(&csk, in, GUARD_OK);
	memcpy(ds + 4, foreign.ds_sha384, 48);
	EXPECT(&csk, in, GUARD_FOREIGN_DNSKEY);
	ds[3] = 1; /* SHA-1 */
	in.rdata_len[0] = 24;
	EXPECT(&csk, in, GUARD_FOREIGN_DNSKEY);
	R(0, "\0\0\0\0\0");
	EXPECT(&csk, in, GUARD_FOREIGN_DNSKEY);
}
END_TEST

/* No octet of a good input can be changed and still be accepted, but where it is data. */
START_TEST(single_octet_changes)
{
	struct input in = good(&zsk, 15, "mx.example.", 2);
	uint8_t buf[512];
	size_t n;

	R(0, "\0\1\1a\7example\0");
	n = encode(&in, buf, sizeof(buf));
	for (size_t i = 0; i < n; i++) {
		/* times within their bounds; the owner's first label;
		 * preference and the exchange's letters */
		bool data = (i >= 8 && i < 16) || i == 28 || i == 29 || i == 49 || i == 50 || i == 52 ||
			    (i >= 54 && i < 61);
		/* 1 'a' 7 "example" is a name, and so is the one label of all nine */
		unsigned also = i == 51 ? 9 : 256;

		for (unsigned v = 0; v < 256; v++) {
			uint8_t old = buf[i];

			if (v == old || v == also)
				continue;
			buf[i] = (uint8_t)v;
			ck_assert_msg(data || guard_check(&zsk, zsk.tag, &map, buf, n) != GUARD_OK,
				      "octet %zu to %u", i, v);
			buf[i] = old;
		}
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		accepts_what_a_signer_makes, refuses_wrong_head, refuses_wrong_validity,
		refuses_wrong_role_and_type, refuses_wrong_records, refuses_rdata_not_canonical,
		key_sets_hold_our_keys_only, cds_names_our_keys_only, single_octet_changes,
	};
	int rc;

	setup();
	rc = RUN_SUITE("guard", tests);
	keymap_free(&map);
	return rc;
}
