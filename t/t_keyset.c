/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The keys layer: text form, state machine, DNSKEY and DS, against the examples of RFC 6605 6 and RFC 8080 6.
 */
#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "dns/name.h"
#include "keys/keyset.h"

static const char p256_pub[] =
	"GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==";
static const char p384_pub[] =
	"xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8"
	"/uX45NBwY8rp65F6Glur8I/mlVNgF6W/qTI37m40";
static const char ed25519_pub[] = "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=";
static const char ed448_pub[] =
	"3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2MpTPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA";

static uint8_t ids[KEYSET_KEYS_MAX * 16];

static void setup(void)
{
	for (size_t i = 0; i < sizeof(ids); i++)
		ids[i] = (uint8_t)(i * 7 + 1);
}

static struct policy policy_of(uint8_t alg, enum key_layout layout)
{
	return (struct policy){
		.keystore = (char *)"hsm", .algorithm = alg, .rsa_bits = 2048, .keys = layout
	};
}

static uint16_t unb64(const char *text, uint8_t *out, size_t cap)
{
	size_t len = cap;

	ck_assert_int_eq(text_unb64(out, &len, text, strlen(text)), 0);
	return (uint16_t)len;
}

static void give_pub(struct keyset *ks, unsigned which, const char *b64)
{
	uint8_t pub[KEY_PUB_MAX];
	uint16_t len = unb64(b64, pub, sizeof(pub));

	ck_assert_int_eq(key_set_public(ks, which, pub, len), 0);
}

/* Text and back gives the same text; keysets have padding, so that texts are what is compared. */
static void check_text(const struct keyset *ks, const char *want)
{
	struct keyset *back = malloc(sizeof(*back));
	char *text, *again;
	size_t len, again_len;

	ck_assert_int_eq(keyset_text(ks, &text, &len), 0);
	ck_assert_uint_eq(strlen(text), len);
	if (want != NULL)
		ck_assert_str_eq(text, want);
	ck_assert_int_eq(keyset_parse(text, len, back), 0);
	ck_assert_int_eq(keyset_text(back, &again, &again_len), 0);
	ck_assert_str_eq(text, again);
	ck_assert_uint_eq(ks->n, back->n);
	for (unsigned i = 0; i < ks->n; i++) {
		ck_assert_mem_eq(ks->key[i].id, back->key[i].id, 16);
		ck_assert_str_eq(ks->key[i].keystore, back->key[i].keystore);
		ck_assert_int_eq(ks->key[i].use, back->key[i].use);
		ck_assert_int_eq(ks->key[i].state, back->key[i].state);
		ck_assert_uint_eq(ks->key[i].bits, back->key[i].bits);
		ck_assert_uint_eq(ks->key[i].tag, back->key[i].tag);
		ck_assert_int_eq(ks->key[i].created, back->key[i].created);
		ck_assert_int_eq(ks->key[i].published, back->key[i].published);
		ck_assert_int_eq(ks->key[i].active, back->key[i].active);
		ck_assert_uint_eq(ks->key[i].pub_len, back->key[i].pub_len);
		ck_assert_mem_eq(ks->key[i].pub, back->key[i].pub, ks->key[i].pub_len);
	}
	ck_assert_int_eq(ks->have_ceiling, back->have_ceiling);
	ck_assert_int_eq(ks->have_serial, back->have_serial);
	ck_assert_int_eq(ks->first_published, back->first_published);
	ck_assert_int_eq(ks->ds_not_before, back->ds_not_before);
	free(text);
	free(again);
	free(back);
}

START_TEST(life_of_ksk_zsk)
{
	struct policy p = policy_of(ALG_ECDSAP256, KEYS_KSK_ZSK);
	struct keyset ks = { 0 };
	struct keys_step s;

	ck_assert_int_eq(keys_step(&ks, &p, WALL(100), ids, &ks, &s), 0);
	ck_assert_int_eq(s.action, KEYS_CREATE);
	ck_assert_uint_eq(ks.n, 2);
	ck_assert_int_eq(ks.key[0].use, KEY_KSK);
	ck_assert_int_eq(ks.key[1].use, KEY_ZSK);
	ck_assert_mem_eq(ks.key[0].id, ids, 16);
	ck_assert_mem_eq(ks.key[1].id, ids + 16, 16);
	ck_assert_int_eq(ks.key[1].created, 100);
	ck_assert_uint_eq(ks.key[1].bits, 256);
	check_text(&ks, NULL);
	for (unsigned i = 0; i < 2; i++) {
		/* asked again, it says the same: a crash in between repeats the request by its id */
		for (int twice = 0; twice < 2; twice++) {
			ck_assert_int_eq(keys_step(&ks, &p, WALL(200), NULL, &ks, &s), 0);
			ck_assert_int_eq(s.action, KEYS_GENERATE);
			ck_assert_uint_eq(s.which, i);
			ck_assert_uint_eq(ks.n, 2);
		}
		ck_assert(!key_signs_keys(&ks.key[i]) && !key_signs_zone(&ks.key[i]));
		if (i == 0) {
			give_pub(&ks, i, p256_pub);
		} else {
			uint8_t pub[64];

			memset(pub, 0x5a, sizeof(pub));
			ck_assert_int_eq(key_set_public(&ks, i, pub, 64), 0);
		}
		ck_assert_int_eq(ks.key[i].state, KEY_READY);
		check_text(&ks, NULL);
	}
	ck_assert_int_eq(keys_step(&ks, &p, WALL(300), NULL, &ks, &s), 0);
	ck_assert_int_eq(s.action, KEYS_ACTIVATE);
	ck_assert_int_eq(ks.key[0].active, 300);
	ck_assert_int_eq(ks.key[1].published, 300);
	ck_assert(key_signs_keys(&ks.key[0]) && !key_signs_zone(&ks.key[0]));
	ck_assert(!key_signs_keys(&ks.key[1]) && key_signs_zone(&ks.key[1]));
	check_text(&ks, NULL);
	ck_assert_int_eq(keys_step(&ks, &p, WALL(400), NULL, &ks, &s), 0);
	ck_assert_int_eq(s.action, KEYS_NOTHING);
	ck_assert(s.next_time == INT64_MAX);
	ck_assert_int_eq(ks.key[0].active, 300);
}
END_TEST

START_TEST(csk_and_unsigned)
{
	struct policy p = policy_of(ALG_RSASHA512, KEYS_CSK);
	struct keyset ks = { 0 };
	struct keys_step s;

	p.unsigned_zone = true;
	ck_assert_int_eq(keys_step(&ks, &p, WALL(1), ids, &ks, &s), 0);
	ck_assert_int_eq(s.action, KEYS_NOTHING);
	ck_assert_uint_eq(ks.n, 0);
	p.unsigned_zone = false;
	ck_assert_int_eq(keys_step(&ks, &p, WALL(1), ids, &ks, &s), 0);
	ck_assert_int_eq(s.action, KEYS_CREATE);
	ck_assert_uint_eq(ks.n, 1);
	ck_assert_int_eq(ks.key[0].use, KEY_CSK);
	ck_assert_uint_eq(ks.key[0].bits, 2048);
	ks.key[0].state = KEY_ACTIVE;
	ck_assert(key_signs_keys(&ks.key[0]) && key_signs_zone(&ks.key[0]));
	ks.n = 0;
	p.keystore = (char *)"a-name-of-a-key-store-that-is-too-long-for-its-place-in-the-struct-zone-key";
	ck_assert_int_eq(keys_step(&ks, &p, WALL(1), ids, &ks, &s), ZS_ECONFIG);
	ck_assert_uint_eq(ks.n, 0);
}
END_TEST

START_TEST(public_keys)
{
	struct keyset ks = { .n = 2 };
	uint8_t pub[KEY_PUB_MAX] = { 3, 1, 0, 1 };
	uint8_t ec[64];

	ks.key[0].algorithm = ALG_RSASHA256;
	ks.key[1].algorithm = ALG_RSASHA256;
	memset(pub + 4, 0xc5, 256);
	ck_assert_int_eq(key_set_public(&ks, 2, pub, 260), ZS_EINVAL);
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 100), ZS_EFORMAT); /* under 1024 bits */
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 0), ZS_EFORMAT);
	pub[4] = 0;
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 260), ZS_EFORMAT); /* RFC 3110 2: no leading zeros */
	pub[4] = 0xc5;
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 260), 0);
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 260), ZS_EINVAL); /* never replaced */
	/* the same key once more has the same tag */
	ks.key[0].use = ks.key[1].use = KEY_ZSK;
	ks.key[0].state = KEY_INTENT;
	ck_assert_int_eq(key_set_public(&ks, 0, pub, 260), 0);
	ck_assert_int_eq(key_set_public(&ks, 1, pub, 260), ZS_EKEY);
	ck_assert_int_eq(ks.key[1].state, KEY_INTENT);
	ck_assert_uint_eq(ks.key[1].pub_len, 0);
	/* swapping two 16-bit words keeps the sum of RFC 4034 appendix B */
	pub[4] = 0xc4;
	pub[6] = 0xc6;
	ck_assert_int_eq(key_set_public(&ks, 1, pub, 260), ZS_EKEY);
	pub[6] = 0xc7;
	ck_assert_int_eq(key_set_public(&ks, 1, pub, 260), 0);
	ks.n = 3;
	ks.key[2].algorithm = ALG_ECDSAP256;
	memset(ec, 1, sizeof(ec));
	ck_assert_int_eq(key_set_public(&ks, 2, ec, 63), ZS_EFORMAT);
	ck_assert_int_eq(key_set_public(&ks, 2, ec, 64), 0);
}
END_TEST

static const struct ds_case {
	uint8_t algorithm;
	const char *pub, *zone;
	uint16_t tag;
	uint8_t digest_type;
	const char *digest;
} ds_cases[] = {
	{ ALG_ECDSAP256, p256_pub, "Example.NET.", 55648, 2,
	  "b4c8c1fe2e7477127b27115656ad6256f424625bf5c1e2770ce6d6e37df61d17" },
	{ ALG_ECDSAP384, p384_pub, "example.net.", 10771, 4,
	  "72d7b62976ce06438e9c0bf319013cf801f09ecc84b8d7e9495f27e305c6a9b0563a9b5f4d288405c3008a946df983d"
	  "6" },
	{ ALG_ED25519, ed25519_pub, "example.com.", 3613, 2,
	  "3aa5ab37efce57f737fc1627013fee07bdf241bd10f3b1964ab55c78e79a304b" },
	{ ALG_ED448, ed448_pub, "example.com.", 9713, 2,
	  "6ccf18d5bc5d7fc2fceb1d59d17321402f2aa8d368048db93dd811f5cb2b19c7" },
};

START_TEST(ds_examples)
{
	const struct ds_case *c = &ds_cases[_i];
	struct keyset ks = { .n = 1, .key = { { .use = KEY_KSK, .algorithm = c->algorithm } } };
	uint8_t zone[NAME_MAX_WIRE], ds[64];
	char hex[2 * 48 + 1];
	size_t len;
	int n;

	ck_assert_int_eq(name_from_text(c->zone, zone, &len), 0);
	ck_assert_int_eq(key_ds(&ks.key[0], zone, c->digest_type, ds, sizeof(ds)), ZS_EKEY);
	give_pub(&ks, 0, c->pub);
	ck_assert_uint_eq(ks.key[0].tag, c->tag);
	n = key_ds(&ks.key[0], zone, c->digest_type, ds, sizeof(ds));
	ck_assert_int_eq(n, 4 + (int)strlen(c->digest) / 2);
	ck_assert_uint_eq(ds[0] << 8 | ds[1], c->tag);
	ck_assert_uint_eq(ds[2], c->algorithm);
	ck_assert_uint_eq(ds[3], c->digest_type);
	ck_assert_str_eq(text_hex(hex, ds + 4, (size_t)n - 4), c->digest);
	ck_assert_int_eq(key_ds(&ks.key[0], zone, c->digest_type, ds, (size_t)n - 1), ZS_EFULL);
	ck_assert_int_eq(key_ds(&ks.key[0], zone, 1, ds, sizeof(ds)), ZS_EINVAL);
}
END_TEST

static void example(struct keyset *ks)
{
	memset(ks, 0, sizeof(*ks));
	ks->n = 2;
	ks->key[0] =
		(struct zone_key){ .use = KEY_CSK, .algorithm = ALG_ED25519, .bits = 256, .created = 10 };
	strcpy(ks->key[0].keystore, "the hsm/1%");
	memset(ks->key[0].id, 0xab, 16);
	give_pub(ks, 0, ed25519_pub);
	ks->key[0].state = KEY_ACTIVE;
	ks->key[0].published = 11;
	ks->key[0].active = 12;
	ks->key[1] = (struct zone_key){
		.use = KEY_ZSK, .algorithm = ALG_RSASHA256, .bits = 2048, .created = INT64_MAX
	};
	strcpy(ks->key[1].keystore, "file");
	ks->have_ceiling = true;
	ks->serial_ceiling = UINT32_MAX;
	ks->have_serial = true;
	ks->first_published = true;
	ks->ds_not_before = 77;
}

#define EXAMPLE_HEAD \
	"keyset: 1\nserial-ceiling: 4294967295\nlast-serial: 0\nfirst-published: yes\nds-not-before: 77\n"
#define EXAMPLE_KEY1                                                                              \
	"key: abababababababababababababababab csk 15 256 active 3613 10 11 12 the%20hsm%2f1%25 " \
	"l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n"
#define EXAMPLE_KEY2 \
	"key: 00000000000000000000000000000000 zsk 8 2048 intent 0 9223372036854775807 0 0 file -\n"

START_TEST(text_form)
{
	struct keyset ks;

	example(&ks);
	check_text(&ks, EXAMPLE_HEAD EXAMPLE_KEY1 EXAMPLE_KEY2);
	memset(&ks, 0, sizeof(ks));
	check_text(&ks, "keyset: 1\nfirst-published: no\nds-not-before: 0\n");
}
END_TEST

START_TEST(text_full)
{
	struct keyset *ks = calloc(1, sizeof(*ks));

	ks->n = KEYSET_KEYS_MAX;
	for (unsigned i = 0; i < ks->n; i++) {
		uint8_t pub[KEY_PUB_MAX] = { 3, 1, 0, 1 };
		struct zone_key *k = &ks->key[i];

		k->use = KEY_ZSK;
		k->algorithm = ALG_RSASHA256;
		k->bits = 8192;
		memset(k->keystore, '/', sizeof(k->keystore) - 1); /* every octet is escaped */
		memset(k->id, (int)i + 1, 16);
		memset(pub + 4, 0x80 + (int)i, sizeof(pub) - 4);
		ck_assert_int_eq(key_set_public(ks, i, pub, sizeof(pub)), 0);
		k->created = k->published = k->active = INT64_MAX;
	}
	check_text(ks, NULL);
	free(ks);
}
END_TEST

static const struct bad {
	const char *text;
	int err;
} bad_texts[] = {
	{ "", ZS_EFORMAT },
	{ "\n", ZS_EFORMAT },
	{ "keyset: 1", ZS_EFORMAT },
	{ "keyset: 2\nfirst-published: no\nds-not-before: 0\n", ZS_EVERSION },
	{ "keyset: 01\nfirst-published: no\nds-not-before: 0\n", ZS_EFORMAT },
	{ "first-published: no\nds-not-before: 0\n", ZS_EFORMAT },
	{ "keyset: 1\nds-not-before: 0\n", ZS_EFORMAT },
	{ "keyset: 1\nds-not-before: 0\nfirst-published: no\n", ZS_EFORMAT },
	{ "keyset: 1\nfirst-published: no\nds-not-before: 0\n\n", ZS_EVERSION },
	{ "keyset: 1\nfirst-published: no\nds-not-before: 0\nrollover: ksk\n", ZS_EVERSION },
	{ "keyset: 1\nfirst-published: maybe\nds-not-before: 0\n", ZS_EFORMAT },
	{ "keyset: 1\nfirst-published: no\nds-not-before: -1\n", ZS_EFORMAT },
	{ "keyset: 1\nfirst-published: no\nds-not-before: 007\n", ZS_EFORMAT },
	{ "keyset: 1\nfirst-published: no\nds-not-before: 0", ZS_EFORMAT },
	{ "keyset: 1\nserial-ceiling: 4294967296\nfirst-published: no\nds-not-before: 0\n", ZS_EFORMAT },
	{ "keyset: 1\nlast-serial: 1\nlast-serial: 1\nfirst-published: no\nds-not-before: 0\n", ZS_EFORMAT },
	{ EXAMPLE_HEAD EXAMPLE_KEY1 EXAMPLE_KEY1, ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 retired 0 0 0 0 file -\n",
	  ZS_EVERSION },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 ready 0 0 0 0 file -\n",
	  ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 1 0 0 0 file -\n",
	  ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 0 0 0 0 file - \n",
	  ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 0 0 0 0  -\n", ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 0 0 0 0 %66ile -\n",
	  ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 0 0 0 0 x%00 -\n",
	  ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: 00000000000000000000000000000000 zsk 8 2048 intent 0 0 0 0 x% -\n", ZS_EFORMAT },
	{ EXAMPLE_HEAD "key: ABababababababababababababababab zsk 8 2048 intent 0 0 0 0 file -\n",
	  ZS_EFORMAT },
	/* a tag that is not the key's */
	{ EXAMPLE_HEAD "key: abababababababababababababababab csk 15 256 active 3614 10 11 12 hsm "
		       "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=\n",
	  ZS_EFORMAT },
};

START_TEST(text_refused)
{
	const struct bad *b = &bad_texts[_i];
	struct keyset ks = { .n = 7 };

	ck_assert_int_eq(keyset_parse(b->text, strlen(b->text), &ks), b->err);
	ck_assert_uint_eq(ks.n, 7); /* left alone */
}
END_TEST

/* Cut anywhere or with any octet changed, it is refused or still an exact inverse. */
START_TEST(text_damaged)
{
	static const char good[] = EXAMPLE_HEAD EXAMPLE_KEY1 EXAMPLE_KEY2;
	struct keyset ks;
	char text[sizeof(good)];

	for (size_t i = 0; i + 1 < sizeof(good); i++) {
		for (unsigned bit = 0; bit < 8; bit++) {
			memcpy(text, good, sizeof(good));
			text[i] = (char)(text[i] ^ 1 << bit);
			if (keyset_parse(text, sizeof(good) - 1, &ks) == 0)
				check_text(&ks, text);
		}
		memcpy(text, good, sizeof(good));
		if (keyset_parse(text, i, &ks) == 0) {
			text[i] = '\0';
			check_text(&ks, text);
		}
	}
}
END_TEST

START_TEST(text_not_written)
{
	struct keyset ks;
	char *text = NULL;
	size_t len;

	example(&ks);
	ks.key[0].tag++;
	ck_assert_int_eq(keyset_text(&ks, &text, &len), ZS_EINVAL);
	example(&ks);
	ks.key[1].keystore[0] = '\0';
	ck_assert_int_eq(keyset_text(&ks, &text, &len), ZS_EINVAL);
	example(&ks);
	memcpy(ks.key[1].id, ks.key[0].id, 16);
	ck_assert_int_eq(keyset_text(&ks, &text, &len), ZS_EINVAL);
	example(&ks);
	ks.n = KEYSET_KEYS_MAX + 1;
	ck_assert_int_eq(keyset_text(&ks, &text, &len), ZS_EINVAL);
	ck_assert_ptr_null(text);
}
END_TEST

START_TEST(policy_conflicts)
{
	struct policy p = policy_of(ALG_ED25519, KEYS_CSK);
	struct keyset ks = { 0 };

	p.unsigned_zone = true;
	ck_assert_ptr_null(keyset_policy_conflict(&ks, &p));
	example(&ks);
	ks.n = 1;
	strcpy(ks.key[0].keystore, "hsm");
	ck_assert_ptr_nonnull(keyset_policy_conflict(&ks, &p));
	p.unsigned_zone = false;
	ck_assert_ptr_null(keyset_policy_conflict(&ks, &p));
	p.keys = KEYS_KSK_ZSK;
	ck_assert_ptr_nonnull(keyset_policy_conflict(&ks, &p));
	p.keys = KEYS_CSK;
	p.algorithm = ALG_ED448;
	ck_assert_ptr_nonnull(keyset_policy_conflict(&ks, &p));
	p.algorithm = ALG_ED25519;
	p.keystore = (char *)"file";
	ck_assert_ptr_nonnull(keyset_policy_conflict(&ks, &p));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("keyset");
	TCase *c = tcase_create("keys");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, NULL);
	tcase_add_test(c, life_of_ksk_zsk);
	tcase_add_test(c, csk_and_unsigned);
	tcase_add_test(c, public_keys);
	tcase_add_loop_test(c, ds_examples, 0, sizeof(ds_cases) / sizeof(ds_cases[0]));
	tcase_add_test(c, policy_conflicts);
	suite_add_tcase(s, c);
	c = tcase_create("text");
	tcase_add_test(c, text_form);
	tcase_add_test(c, text_full);
	tcase_add_loop_test(c, text_refused, 0, sizeof(bad_texts) / sizeof(bad_texts[0]));
	tcase_add_test(c, text_damaged);
	tcase_add_test(c, text_not_written);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
