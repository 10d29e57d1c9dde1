/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names and order keys: RFC 4034 6.1 order, worst cases, text, pointers; random names against an
 * obvious comparison.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "dns/name.h"
#include "dns/schema.h"
#include "t_suite.h"

static size_t name_of(const char *text, uint8_t out[static NAME_MAX_WIRE])
{
	size_t n = 0;

	ck_assert_msg(name_from_text(text, out, &n) == 0, "%s", text);
	ck_assert_int_eq(name_check(out, n), 0);
	ck_assert_uint_eq(name_len(out), n);
	return n;
}

static int fold(int c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

/* RFC 4034 6.1 word by word: labels from the right, octets as unsigned, absence sorts first. */
static int slow_cmp(const uint8_t *a, const uint8_t *b)
{
	unsigned na = name_labels(a), nb = name_labels(b);

	for (unsigned i = 1; i <= na && i <= nb; i++) {
		const uint8_t *la = a, *lb = b;

		for (unsigned k = 0; k < na - i; k++)
			la += 1 + *la;
		for (unsigned k = 0; k < nb - i; k++)
			lb += 1 + *lb;
		for (unsigned k = 1; k <= la[0] && k <= lb[0]; k++)
			if (fold(la[k]) != fold(lb[k]))
				return fold(la[k]) - fold(lb[k]);
		if (la[0] != lb[0])
			return (int)la[0] - (int)lb[0];
	}
	return (int)na - (int)nb;
}

static int okey_order(const uint8_t *a, const uint8_t *b)
{
	uint8_t ka[OKEY_MAX], kb[OKEY_MAX];

	return okey_cmp(ka, name_okey(a, ka), kb, name_okey(b, kb));
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

START_TEST(test_rfc4034_order)
{
	static const char *const sorted[] = {
		".", "example.", "a.example.", "yljkjljk.a.example.", "Z.a.example.", "zABC.a.EXAMPLE.",
		"z.example.", "\\001.z.example.", "*.z.example.", "\\200.z.example.",
	};
	size_t n = sizeof(sorted) / sizeof(*sorted);
	uint8_t a[NAME_MAX_WIRE], b[NAME_MAX_WIRE];

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			name_of(sorted[i], a);
			name_of(sorted[k], b);
			ck_assert_msg(sign(okey_order(a, b)) == (i > k) - (i < k), "%s %s", sorted[i],
				      sorted[k]);
		}
	}
}
END_TEST

START_TEST(test_nul_octets_are_no_label_ends)
{
	static const char *const sorted[] = {
	    "a.example.",           "b.a.example.",         "\\000.a.b.example.", "a\\000.example.",
	    "a\\000\\000.example.", "a\\000\\001.example.", "a\\000b.example.",   "a\\001.example.",
	    "a\\002.example.",      "a\\003.example.",      "aa.example.",
	};
	uint8_t a[NAME_MAX_WIRE], b[NAME_MAX_WIRE];
	size_t n = sizeof(sorted) / sizeof(*sorted);

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < n; k++) {
			name_of(sorted[i], a);
			name_of(sorted[k], b);
			ck_assert_int_eq(sign(okey_order(a, b)), sign(slow_cmp(a, b)));
			ck_assert_int_eq(okey_order(a, b) == 0, i == k);
		}
	}
}
END_TEST

START_TEST(test_worst_name)
{
	uint8_t wire[NAME_MAX_WIRE], back[NAME_MAX_WIRE], key[OKEY_MAX + 16], full[KEY_MAX];
	static const uint8_t len[] = { 63, 63, 63, 61 };
	const uint8_t *okey;
	size_t at = 0, n, klen, olen;
	char text[NAME_MAX_TEXT];
	uint16_t type;

	for (unsigned i = 0; i < 4; i++) {
		wire[at++] = len[i];
		memset(wire + at, i & 1, len[i]);
		at += len[i];
	}
	wire[at++] = 0;
	ck_assert_uint_eq(at, NAME_MAX_WIRE);
	ck_assert_int_eq(name_check(wire, at), 0);
	memset(key, 0xee, sizeof(key));
	klen = name_okey(wire, key);
	ck_assert_uint_eq(klen, OKEY_MAX);
	ck_assert_uint_eq(key[OKEY_MAX], 0xee);
	ck_assert_int_eq(name_from_okey(key, klen, back, &n), 0);
	ck_assert_uint_eq(n, at);
	ck_assert_mem_eq(back, wire, n);
	ck_assert_uint_eq(strlen(name_to_text(wire, text)), 250 * 4 + 4);
	ck_assert_int_eq(name_from_text(text, back, &n), 0);
	ck_assert_mem_eq(back, wire, at);
	n = key_record(full, key, klen, 65535);
	ck_assert_uint_le(n, KEY_MAX);
	ck_assert_int_eq(key_record_split(full, n, &okey, &olen, &type), 0);
	ck_assert_uint_eq(olen, klen);
	ck_assert_uint_eq(type, 65535);
	ck_assert_mem_eq(okey, key, klen);
	ck_assert_uint_le(key_nsec(full, key, klen), KEY_MAX);
}
END_TEST

START_TEST(test_many_labels)
{
	uint8_t wire[NAME_MAX_WIRE], key[OKEY_MAX], back[NAME_MAX_WIRE];
	size_t n, klen;

	for (unsigned i = 0; i < 127; i++) {
		wire[2 * i] = 1;
		wire[2 * i + 1] = (uint8_t)(i * 2);
	}
	wire[254] = 0;
	ck_assert_uint_eq(name_labels(wire), 127);
	klen = name_okey(wire, key);
	ck_assert_uint_eq(okey_labels(key, klen), 127);
	ck_assert_int_eq(name_from_okey(key, klen, back, &n), 0);
	name_lower(wire);
	ck_assert_mem_eq(wire, back, 255);
	for (unsigned i = 127; i > 0; i--) {
		ck_assert_uint_eq(okey_labels(key, klen), i);
		klen = okey_parent(key, klen);
	}
	ck_assert_uint_eq(klen, 0);
}
END_TEST

static const struct { const char *in, *out;
} texts[] = {
    {".", "."},
    {"example", "example."},
    {"Example.COM.", "Example.COM."},
    {"a\\.b.c", "a\\.b.c."},
    {"a\\046b", "a\\.b."},
    {"\\000\\255", "\\000\\255."},
    {"\\@.\\\\", "\\@.\\\\."},
    {"x\\ y", "x\\032y."},
    {"*.a", "*.a."},
    {"_a-b.c", "_a-b.c."},
    {"\\101", "e."},
    {"a;b(c)\"$", "a\\;b\\(c\\)\\\"\\$."},
    {"xn--a", "xn--a."},
    {"0/26.2.0.192", "0/26.2.0.192."},
};
static const char *const bad_texts[] = {
    "",
    "..",
    ".a",
    "a..",
    "a..b",
    "\\",
    "a\\",
    "\\1",
    "\\12",
    "\\256",
    "\\999",
    "\\1a2",
    "a b",
    "a\tb",
    "\x80",
    "a\xc3\xa4",
    "\\00",
    "a\n",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", /* 64 */
};

START_TEST(test_text)
{
	uint8_t wire[NAME_MAX_WIRE], same[NAME_MAX_WIRE];
	char buf[NAME_MAX_TEXT], big[400];
	size_t n;

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		name_of(texts[i].in, wire);
		ck_assert_str_eq(name_to_text(wire, buf), texts[i].out);
		name_of(buf, same);
		ck_assert_mem_eq(wire, same, name_len(wire));
	}
	for (size_t i = 0; i < sizeof(bad_texts) / sizeof(*bad_texts); i++)
		ck_assert_msg(name_from_text(bad_texts[i], wire, &n) == ZS_EFORMAT, "%zu %s", i,
			      bad_texts[i]);
	/* 253 characters are 255 octets: as long as a name may be; with and without the final dot */
	for (unsigned len = 250; len < 258; len++) {
		for (unsigned dot = 0; dot < 2; dot++) {
			memset(big, 'a', sizeof(big));
			for (unsigned i = 63; i < len; i += 64)
				big[i] = '.';
			big[len] = dot ? '.' : '\0';
			big[len + dot] = '\0';
			if (big[len - 1] == '.')
				continue;
			ck_assert_msg((name_from_text(big, wire, &n) == 0) == (len <= 253), "%u %u", len,
				      dot);
		}
	}
}
END_TEST

START_TEST(test_check_refuses)
{
	static const uint8_t pointer[] = {1, 'a', 0xc0, 0}, open_end[] = {1, 'a'}, label64[66] = {64},
			     two[] = {0, 0};
	static const uint8_t cut[] = { 3, 'a', 'b' };
	uint8_t big[300];

	ck_assert_int_eq(name_check(pointer, 4), ZS_EFORMAT);
	ck_assert_int_eq(name_check(open_end, 2), ZS_ETRUNC);
	ck_assert_int_eq(name_check(label64, 66), ZS_EFORMAT);
	ck_assert_int_eq(name_check(two, 2), ZS_EFORMAT);
	ck_assert_int_eq(name_check(two, 1), 0);
	ck_assert_int_eq(name_check(two, 0), ZS_ETRUNC);
	ck_assert_int_eq(name_check(cut, 3), ZS_ETRUNC);
	for (unsigned i = 0; i < 300; i += 2) {
		big[i] = 1;
		big[i + 1] = 'x';
	}
	big[254] = 0;
	ck_assert_int_eq(name_check(big, 255), 0);
	big[254] = 1;
	big[256] = 0;
	ck_assert_int_eq(name_check(big, 257), ZS_EFORMAT);
}
END_TEST

START_TEST(test_relations)
{
	uint8_t a[NAME_MAX_WIRE], b[NAME_MAX_WIRE], ka[OKEY_MAX], kb[OKEY_MAX];
	static const struct { const char *name, *zone; bool within;
	} rows[] = {
	    {"example.", "example.", true},
	    {"a.EXAMPLE.", "example.", true},
	    {"aexample.", "example.", false},
	    {"example.", "a.example.", false},
	    {"x.", ".", true},
	    {".", ".", true},
	    {".", "x.", false},
	    {"a\\.example.", "example.", false},
	    {"b.a.x.", "a.x.", true},
	    {"b.a.x.", "c.x.", false},
	    {"b.a\\000x.", "x.", false},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		name_of(rows[i].name, a);
		name_of(rows[i].zone, b);
		ck_assert_msg(name_within(a, b) == rows[i].within, "%s %s", rows[i].name, rows[i].zone);
		ck_assert(okey_within(ka, name_okey(a, ka), kb, name_okey(b, kb)) == rows[i].within);
	}
	name_of("*.x.", a);
	ck_assert(name_is_wildcard(a));
	name_of("*a.x.", a);
	ck_assert(!name_is_wildcard(a));
	name_of("x.*.", a);
	ck_assert(!name_is_wildcard(a));
	name_of("[A@Z{.", a); /* around the letters: nothing else folds */
	name_of("{a`z[.", b);
	ck_assert(!name_eq(a, b));
}
END_TEST

START_TEST(test_okey_refuses)
{
	static const struct { uint8_t key[8]; size_t len;
	} bad[] = {
	    {{'a'}, 1},  {{0}, 1},       {{'a', 0, 0}, 3},   {{'A', 0}, 2},
	    {{1, 0}, 2}, {{1, 3, 0}, 3}, {{'a', 0, 'b'}, 3}, {{1}, 1},
	};
	uint8_t name[NAME_MAX_WIRE], big[OKEY_MAX + 8];
	size_t n;

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_int_eq(name_from_okey(bad[i].key, bad[i].len, name, &n), ZS_EFORMAT);
	memset(big, 'a', sizeof(big));
	big[64] = 0;
	ck_assert_int_eq(name_from_okey(big, 65, name, &n), ZS_EFORMAT);
	for (size_t i = 0; i < sizeof(big); i++)
		big[i] = i & 1 ? 0 : 'a';
	ck_assert_int_eq(name_from_okey(big, 254, name, &n), 0);
	ck_assert_int_eq(name_from_okey(big, 256, name, &n), ZS_EFORMAT);
	ck_assert_int_eq(name_from_okey(big, 0, name, &n), 0);
	ck_assert_uint_eq(n, 1);
}
END_TEST

/* Few letters, so that names are often related: NUL, 1, 2, letters of both cases, high octets. */
static size_t random_name(struct prng *r, uint8_t *out)
{
	static const uint8_t alphabet[] = { 0, 1, 2, 3, 'a', 'A', 'b', 'Z', 'z', '*', '-', '.', 0x7f, 0xff };
	size_t at = 0;

	for (uint64_t labels = prng_upto(r, 5); labels > 0; labels--) {
		uint64_t len = prng_upto(r, 20) == 0 ? 1 + prng_upto(r, 62) : 1 + prng_upto(r, 2);

		if (at + 1 + len + 1 > NAME_MAX_WIRE)
			break;
		out[at++] = (uint8_t)len;
		for (; len > 0; len--)
			out[at++] = alphabet[prng_upto(r, sizeof(alphabet) - 1)];
	}
	out[at++] = 0;
	return at;
}

START_TEST(test_random_names)
{
	struct prng r = prng_seed(4034);

	for (unsigned i = 0; i < 10000; i++) {
		uint8_t a[NAME_MAX_WIRE], b[NAME_MAX_WIRE], c[NAME_MAX_WIRE], key[OKEY_MAX], pkey[OKEY_MAX];
		size_t n = random_name(&r, a), klen, len;
		char text[NAME_MAX_TEXT];

		random_name(&r, b);
		ck_assert_int_eq(name_check(a, n), 0);
		ck_assert_int_eq(sign(okey_order(a, b)), sign(slow_cmp(a, b)));
		ck_assert(name_eq(a, b) == (slow_cmp(a, b) == 0));
		klen = name_okey(a, key);
		ck_assert(name_within(a, b) == okey_within(key, klen, pkey, name_okey(b, pkey)));
		ck_assert_int_eq(name_from_okey(key, klen, c, &len), 0);
		ck_assert_uint_eq(len, n);
		ck_assert(name_eq(a, c));
		name_copy_lower(b, a);
		ck_assert_mem_eq(b, c, n);
		name_of(name_to_text(a, text), c);
		ck_assert_mem_eq(a, c, n);
		if (n > 1) {
			len = name_okey(a + 1 + a[0], pkey);
			ck_assert_uint_eq(okey_parent(key, klen), len);
			ck_assert_mem_eq(key, pkey, len);
		}
	}
}
END_TEST

START_TEST(test_unpack)
{
	/* 0: a.b.   5: c -> 0   9: -> 5   11: -> itself   13: -> 15 (forward)  15: root  16: -> 15 */
	static const uint8_t msg[] = {1,    'a', 1,    'b', 0, 1,    'c', 0xc0, 0,    0xc0, 5,
				      0xc0, 11,  0xc0, 15,  0, 0xc0, 15,  0x40, 0x80, 3};
	static const struct { size_t at; int err; size_t pos; const char *text; } rows[] = {
		{ 0, 0, 5, "a.b." }, { 5, 0, 9, "c.a.b." }, { 9, 0, 11, "c.a.b." }, { 11, ZS_EFORMAT, 0, 0 },
		{ 13, ZS_EFORMAT, 0, 0 }, { 15, 0, 16, "." }, { 16, 0, 18, "." }, { 18, ZS_EFORMAT, 0, 0 },
		{ 19, ZS_EFORMAT, 0, 0 }, { 20, ZS_ETRUNC, 0, 0 }, { 21, ZS_ETRUNC, 0, 0 },
	};
	uint8_t out[NAME_MAX_WIRE], want[NAME_MAX_WIRE];

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		size_t pos = rows[i].at, len = 0;
		int err = name_unpack(msg, sizeof(msg), &pos, out, &len);

		ck_assert_msg(err == rows[i].err, "row %zu: %d", i, err);
		if (err != 0) {
			ck_assert_uint_eq(pos, rows[i].at);
			continue;
		}
		ck_assert_uint_eq(pos, rows[i].pos);
		ck_assert_uint_eq(len, name_of(rows[i].text, want));
		ck_assert_mem_eq(out, want, len);
	}
}
END_TEST

/* A chain of pointers, each with a label: over 255 octets in the end. */
START_TEST(test_unpack_long_chain)
{
	uint8_t msg[1000], out[NAME_MAX_WIRE];
	size_t n = 1, prev = 0, starts[200], k = 0;

	msg[0] = 0;
	for (; k < 200; k++) {
		starts[k] = n;
		msg[n++] = 1;
		msg[n++] = 'x';
		msg[n++] = (uint8_t)(0xc0 | prev >> 8);
		msg[n++] = (uint8_t)prev;
		prev = starts[k];
	}
	for (k = 0; k < 200; k++) {
		size_t pos = starts[k], len;
		int err = name_unpack(msg, n, &pos, out, &len);

		ck_assert_int_eq(err, k < 127 ? 0 : ZS_EFORMAT);
		if (err == 0) {
			ck_assert_uint_eq(len, 2 * k + 3);
			ck_assert_uint_eq(pos, starts[k] + 4);
		}
	}
}
END_TEST

START_TEST(test_keys)
{
	uint8_t a[KEY_MAX], b[KEY_MAX], okey[OKEY_MAX], name[NAME_MAX_WIRE];
	const uint8_t *p;
	size_t n, m, olen;
	uint16_t type;

	/* an owner's types stand before its descendants, and types in order */
	name_of("a.", name);
	n = key_record(a, okey, name_okey(name, okey), 65535);
	name_of("\\000.a.", name);
	m = key_record(b, okey, name_okey(name, okey), 1);
	ck_assert_int_lt(okey_cmp(a, n, b, m), 0);
	ck_assert_int_eq(key_record_split(a, n, &p, &olen, &type), 0);
	ck_assert_int_eq(key_record_split(a, n - 1, &p, &olen, &type), ZS_EFORMAT);
	ck_assert_int_eq(key_record_split(a, 3, &p, &olen, &type), ZS_EFORMAT);
	n = key_record(a, okey, 0, 1);
	ck_assert_uint_eq(n, 4);
	ck_assert_int_eq(key_record_split(a, n, &p, &olen, &type), 0);
	ck_assert_uint_eq(olen, 0);
	a[0] = TAB_META;
	ck_assert_int_eq(key_record_split(a, n, &p, &olen, &type), ZS_EFORMAT);
	ck_assert_uint_eq(key_expiry(a, 0x0102030405060708, 9), 17);
	ck_assert_mem_eq(a, "\x40\1\2\3\4\5\6\7\x8\0\0\0\0\0\0\0\x9", 17);
	ck_assert_uint_eq(key_chunk(a, TAB_HISTORY, 1, 2), 13);
	ck_assert_mem_eq(a, "\x50\0\0\0\0\0\0\0\1\0\0\0\2", 13);
	ck_assert_uint_eq(key_meta(a, "zone"), 5);
	ck_assert_mem_eq(a, "\x10zone", 5);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_rfc4034_order, test_nul_octets_are_no_label_ends, test_worst_name, test_many_labels,
		test_text, test_check_refuses, test_relations, test_okey_refuses, test_random_names,
		test_unpack, test_unpack_long_chain, test_keys,
	};

	return RUN_SUITE("name", tests);
}
