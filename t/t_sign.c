/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is signed and how. The octets to be signed are checked by verifying signatures that others made: the
 * examples of RFC 5702 6, RFC 6605 6 and RFC 8080 6 (as corrected by erratum 4935), with OpenSSL.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include "base/err.h"
#include "base/text.h"
#include "dns/name.h"
#include "seal/sign.h"

#define DAY 86400

static struct arena *mem;

static void setup(void)
{
	mem = arena_new(0);
	ck_assert_ptr_nonnull(mem);
}

static void teardown(void)
{
	arena_free(mem);
}

static uint8_t *wire(const char *text)
{
	uint8_t name[NAME_MAX_WIRE];
	size_t len;

	ck_assert_int_eq(name_from_text(text, name, &len), 0);
	return arena_dup(mem, name, len);
}

/* An RRset of n records, each given as length and octets. */
static struct rrset *rrset_of(const char *owner, uint16_t type, uint32_t ttl, unsigned n,
			      const struct rr_item *rr)
{
	struct rrset *set = arena_zalloc(mem, sizeof(*set));

	set->owner = wire(owner);
	set->type = type;
	set->rr = arena_dup(mem, rr, n * sizeof(*rr));
	set->nrr = n;
	for (unsigned i = 0; i < n; i++)
		set->rr[i].ttl = ttl;
	ck_assert_int_eq(rrset_normalise(set, mem), 0);
	return set;
}

static struct rrset *rrset_a(const char *owner, uint32_t ttl, uint8_t last)
{
	uint8_t *a = arena_dup(mem, "\300\0\2", 4);

	a[3] = last;
	return rrset_of(owner, T_A, ttl, 1, &(struct rr_item){ .len = 4, .data = a });
}

static struct rrset *rrset_name(const char *owner, uint16_t type, const char *target)
{
	uint8_t *t = wire(target);

	return rrset_of(owner, type, 3600, 1, &(struct rr_item){ .len = (uint16_t)name_len(t), .data = t });
}

/* --- signatures of others
 * ------------------------------------------------------------------------------------ */

static EVP_PKEY *from_params(const char *type, OSSL_PARAM_BLD *b)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(b);
	EVP_PKEY *key = NULL;

	ck_assert(EVP_PKEY_fromdata_init(ctx) == 1);
	ck_assert(EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) == 1);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	return key;
}

static EVP_PKEY *public_key(uint8_t alg, const uint8_t *pub, size_t len)
{
	OSSL_PARAM_BLD *b;
	EVP_PKEY *key;

	if (alg == ALG_ED25519 || alg == ALG_ED448)
		return EVP_PKEY_new_raw_public_key(alg == ALG_ED25519 ? EVP_PKEY_ED25519 : EVP_PKEY_ED448,
						   NULL, pub, len);
	b = OSSL_PARAM_BLD_new();
	if (alg == ALG_RSASHA256 || alg == ALG_RSASHA512) {
		BIGNUM *e = BN_bin2bn(pub + 1, pub[0], NULL);
		BIGNUM *n = BN_bin2bn(pub + 1 + pub[0], (int)len - 1 - pub[0], NULL);

		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_E, e);
		OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_RSA_N, n);
		key = from_params("RSA", b);
		BN_free(e);
		BN_free(n);
	} else {
		uint8_t point[97] = { 4 };

		memcpy(point + 1, pub, len);
		OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME,
						alg == ALG_ECDSAP256 ? "P-256" : "P-384", 0);
		OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, len + 1);
		key = from_params("EC", b);
	}
	return key;
}

static const char *digest_of(uint8_t alg)
{
	switch (alg) {
	case ALG_RSASHA256:
	case ALG_ECDSAP256:
		return "SHA256";
	case ALG_RSASHA512:
		return "SHA512";
	case ALG_ECDSAP384:
		return "SHA384";
	default:
		return NULL;
	}
}

static bool verifies(uint8_t alg, EVP_PKEY *key, const struct wr *tbs, const uint8_t *sig, size_t len)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t *der = NULL;
	bool ok;

	if (alg == ALG_ECDSAP256 || alg == ALG_ECDSAP384) {
		ECDSA_SIG *s = ECDSA_SIG_new();
		int half = (int)len / 2;

		ECDSA_SIG_set0(s, BN_bin2bn(sig, half, NULL), BN_bin2bn(sig + half, half, NULL));
		len = (size_t)i2d_ECDSA_SIG(s, &der);
		ECDSA_SIG_free(s);
	}
	ck_assert(EVP_DigestVerifyInit_ex(ctx, NULL, digest_of(alg), NULL, NULL, key, NULL) == 1);
	ok = EVP_DigestVerify(ctx, der != NULL ? der : sig, len, tbs->p, tbs->len) == 1;
	OPENSSL_free(der);
	EVP_MD_CTX_free(ctx);
	return ok;
}

static const struct example {
	uint8_t algorithm;
	uint16_t flags, tag;
	bool mx; /* RFC 8080: MX 10 mail.example.com. of the apex; else A of www */
	uint8_t address;
	const char *zone;
	int64_t expiry, inception;
	const char *pub, *sig;
} examples[] = {
	{ ALG_RSASHA256, 256, 9033, false, 91, "example.net.", 1893456000, 946684800,
	  "AwEAAcFcGsaxxdgiuuGmCkVImy4h99CqT7jwY3pexPGcnUFtR2Fh36BponcwtkZ4cAgtvd4Qs8PkxUdp6p/DlUmObdk=",
	  "kRCOH6u7l0QGy9qpC9l1sLncJcOKFLJ7GhiUOibu4teYp5VE9RncriShZNz85mwlMgNEacFYK/lPtPiVYP4bwg==" },
	{ ALG_RSASHA512, 256, 3740, false, 91, "example.net.", 1893456000, 946684800,
	  "AwEAAdHoNTOW+et86KuJOWRDp1pndvwb6Y83nSVXXyLA3DLroROUkN6X0O6pnWnjJQujX/AyhqFDxj13tOnD9u/"
	  "1kTg7cV6rklMrZDtJCQ5PCl/D"
	  "7QNPsgVsMu1J2Q8gpMpztNFLpPBz1bWXjDtaR7ZQBlZ3PFY12ZTSncorffcGmhOL",
	  "tsb4wnjRUDnB1BUi+t6TMTXThjVnG+eCkWqjvvjhzQL1d0YRoOe0CbxrVDYd0xDtsuJRaeUw1ep94PzEWzr0iGYgZBWm/"
	  "zpq+9fOuagYJRfDqfRe"
	  "KBzMweOLDiNa8iP5g9vMhpuv6OPlvpXwm9Sa9ZXIbNl1MBGk0fthPgxdDLw=" },
	{ ALG_ECDSAP256, 257, 55648, false, 1, "example.net.", 1284026679, 1281607479,
	  "GojIhhXUN/u4v54ZQqGSnyhWJwaubCvTmeexv7bR6edbkrSqQpF64cYbcB7wNcP+e+MAnLr+Wi9xMWyQLc8NAA==",
	  "qx6wLYqmh+l9oCKTN6qIc+bw6ya+KJ8oMz0YP107epXAyGmt+3SNruPFKG7tZoLBLlUzGGus7ZwmwWep666VCw==" },
	{ ALG_ECDSAP384, 257, 10771, false, 1, "example.net.", 1284027625, 1281608425,
	  "xKYaNhWdGOfJ+nPrL8/arkwf2EY3MDJ+SErKivBVSum1w/egsXvSADtNJhyem5RCOpgQ6K8X1DRSEkrbYQ+OB+v8/"
	  "uX45NBwY8rp65F6Glur8I/m"
	  "lVNgF6W/qTI37m40",
	  "/L5hDKIvGDyI1fcARX3z65qrmPsVz73QD1Mr5CEqOiLP95hxQouuroGCeZOvzFaxsT8Glr74hbavRKayJNuydCuzWTSSPdz7wn"
	  "qXL5bdcJzusdnI"
	  "0RSMROxxwGipWcJm" },
	{ ALG_ED25519, 257, 3613, true, 0, "example.com.", 1440021600, 1438207200,
	  "l02Woi0iS8Aa25FQkUd9RMzZHJpBoRQwAQEX1SxZJA4=",
	  "oL9krJun7xfBOIWcGHi7mag5/hdZrKWw15jPGrHpjQeRAvTdszaPD+QLs3fx8A4M3e23mRZ9VrbpMngwcrqNAg==" },
	{ ALG_ED25519, 257, 35217, true, 0, "example.com.", 1440021600, 1438207200,
	  "zPnZ/QwEe7S8C5SPz2OfS5RR40ATk2/rYnE9xHIEijs=",
	  "zXQ0bkYgQTEFyfLyi9QoiY6D8ZdYo4wyUhVioYZXFdT410QPRITQSqJSnzQoSm5poJ7gD7AQR0O7KuI5k2pcBg==" },
	{ ALG_ED448, 257, 9713, true, 0, "example.com.", 1440021600, 1438207200,
	  "3kgROaDjrh0H2iuixWBrc8g2EpBBLCdGzHmn+G2MpTPhpj/OiBVHHSfPodx1FYYUcJKm1MDpJtIA",
	  "3cPAHkmlnxcDHMyg7vFC34l0blBhuG1qpwLmjInI8w1CMB29FkEAIJUA0amxWndkmnBZ6SKiwZSAxGILn/"
	  "NBtOXft0+Gj7FSvOKxE/07+4RQvE58"
	  "1N3Aj/JtIyaiYVdnYtyMWbSNyGEY2213WKsJlwEA" },
	{ ALG_ED448, 257, 38353, true, 0, "example.com.", 1440021600, 1438207200,
	  "kkreGWoccSDmUBGAe7+zsbG6ZAFQp+syPmYUurBRQc3tDjeMCJcVMRDmgcNLp5HlHAMy12VoISsA",
	  "E1/oLjSGIbmLny/4fcgM1z4oL6aqo+izT3urCyHyvEp4Sp8Syg1eI+lJ57CSnZqjJP41O/"
	  "9l4m0AsQ4f7qI1gVnML8vWWiyW2KXhT9kuAICUSxv5"
	  "OWbf81Rq7Yu60npabODB0QFPb/rkW3kUZmQ0YQUA" },
};

static size_t unb64(const char *text, uint8_t *out, size_t cap)
{
	ck_assert_int_eq(text_unb64(out, &cap, text, strlen(text)), 0);
	return cap;
}

static struct rrset *example_set(const struct example *e)
{
	static const uint8_t mx[] = "\0\12\4mail\7Example\3COM"; /* its case does not count */

	if (!e->mx)
		return rrset_a("wWw.Example.Net.", 3600, e->address);
	return rrset_of(e->zone, T_MX, 3600, 1, &(struct rr_item){ .len = sizeof(mx), .data = mx });
}

START_TEST(rfc_signatures)
{
	const struct example *e = &examples[_i];
	uint8_t dnskey[300] = { (uint8_t)(e->flags >> 8), (uint8_t)e->flags, 3, e->algorithm }, sig[160];
	size_t plen = unb64(e->pub, dnskey + 4, sizeof(dnskey) - 4), slen = unb64(e->sig, sig, sizeof(sig));
	struct signer s = { .nkeys = 1, .now = e->inception, .validity = e->expiry - e->inception };
	struct rrset *set = example_set(e);
	struct wr canonical = wr_growing(4096), tbs = wr_growing(4096);
	EVP_PKEY *key = public_key(e->algorithm, dnskey + 4, plen);
	struct sign_plan plan;
	struct sig_item made;

	name_copy_lower(s.zone, wire(e->zone));
	s.zone_len = (uint8_t)name_len(s.zone);
	s.key[0] = (struct signer_key){ .algorithm = e->algorithm, .tag = e->tag, .signs_zone = true };
	ck_assert_uint_eq(dnskey_tag(dnskey, (uint16_t)(plen + 4)), e->tag);
	ck_assert_int_eq(sign_plan(&s, set, NULL, 0, mem, &plan), 0);
	ck_assert_uint_eq(plan.nwant, 1);
	ck_assert_int_eq(plan.reason, SIGN_NEW);
	ck_assert_int_eq(rrset_canonical(set, &canonical, mem), 0);
	ck_assert_int_eq(sign_tbs(&plan.want[0], canonical.p, canonical.len, &tbs), 0);
	ck_assert_ptr_nonnull(key);
	ck_assert(verifies(e->algorithm, key, &tbs, sig, slen));
	tbs.p[4] ^= 1;
	ck_assert(!verifies(e->algorithm, key, &tbs, sig, slen));

	/* put together and stored, it stays */
	ck_assert_int_eq(sign_assemble(&plan.want[0], sig, (uint16_t)slen, mem, &made), 0);
	ck_assert_uint_eq(made.len, plan.want[0].hdr_len + slen);
	ck_assert_mem_eq(made.data + plan.want[0].hdr_len, sig, slen);
	set->sig = &made;
	set->nsig = 1;
	ck_assert_int_eq(sign_plan(&s, set, set, e->expiry - e->inception, mem, &plan), 0);
	ck_assert_uint_eq(plan.nkeep, 1);
	ck_assert_uint_eq(plan.nwant, 0);
	EVP_PKEY_free(key);
	wr_free(&canonical);
	wr_free(&tbs);
}
END_TEST

/* --- what stays, what is made
 * -------------------------------------------------------------------------------- */

#define NOW 1700000000

/* Two algorithms, each with a KSK and a ZSK (tags 1, 2 and 3, 4). */
static struct signer two_algorithms(void)
{
	struct signer s = { .nkeys = 4,
			    .now = NOW,
			    .validity = 14 * DAY,
			    .dnskey_validity = 20 * DAY,
			    .refresh = 5 * DAY,
			    .jitter = DAY / 2,
			    .inception_offset = 3600,
			    .seed = 42 };

	for (unsigned i = 0; i < 4; i++)
		s.key[i] = (struct signer_key){ .algorithm = i < 2 ? 8 : 13,
						.tag = (uint16_t)(i + 1),
						.signs_keys = i % 2 == 0,
						.signs_zone = i % 2 == 1 };
	name_copy_lower(s.zone, wire("example."));
	s.zone_len = (uint8_t)name_len(s.zone);
	return s;
}

/* Signs as planned (with a made-up signature): the RRset as it would be stored. */
static struct rrset *signed_copy(const struct signer *s, const struct rrset *set)
{
	struct rrset *out = arena_dup(mem, set, sizeof(*set));
	struct sign_plan plan;

	ck_assert_int_eq(sign_plan(s, set, NULL, 0, mem, &plan), 0);
	out->sig = arena_alloc(mem, sizeof(*out->sig) * plan.nwant);
	out->nsig = (uint8_t)plan.nwant;
	for (unsigned i = 0; i < plan.nwant; i++)
		ck_assert_int_eq(
			sign_assemble(&plan.want[i], (const uint8_t *)"signature", 9, mem, &out->sig[i]), 0);
	return out;
}

static void check_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due,
		       unsigned nkeep, unsigned nwant, enum sign_reason reason)
{
	struct sign_plan plan;

	ck_assert_int_eq(sign_plan(s, set, old, due, mem, &plan), 0);
	ck_assert_uint_eq(plan.nkeep, nkeep);
	ck_assert_uint_eq(plan.nwant, nwant);
	if (nwant > 0)
		ck_assert_int_eq(plan.reason, reason);
}

START_TEST(roles)
{
	static const uint16_t key_types[] = { T_DNSKEY, T_CDS, T_CDNSKEY };
	struct signer s = two_algorithms();
	struct rrset *set = rrset_a("a.example.", 300, 1);
	struct sign_plan plan;

	ck_assert_int_eq(sign_plan(&s, set, NULL, 0, mem, &plan), 0);
	ck_assert_uint_eq(plan.nwant, 2);
	ck_assert_uint_eq(plan.want[0].key, 1);
	ck_assert_uint_eq(plan.want[1].key, 3);
	/* made in one version: the same times */
	ck_assert_mem_eq(plan.want[0].hdr + 8, plan.want[1].hdr + 8, 8);
	for (unsigned i = 0; i < 3; i++) {
		set->type = key_types[i];
		ck_assert_int_eq(sign_plan(&s, set, NULL, 0, mem, &plan), 0);
		ck_assert_uint_eq(plan.nwant, 2);
		ck_assert_uint_eq(plan.want[0].key, 0);
		ck_assert_uint_eq(plan.want[1].key, 2);
		ck_assert_uint_eq(be32(plan.want[0].hdr + 8), NOW + 20 * DAY);
	}
	set->type = T_A;
	s.nkeys = 1; /* a KSK alone */
	ck_assert_int_eq(sign_plan(&s, set, NULL, 0, mem, &plan), ZS_EKEY);
	set->type = T_RRSIG;
	ck_assert_int_eq(sign_plan(&s, set, NULL, 0, mem, &plan), ZS_EINVAL);
}
END_TEST

START_TEST(header)
{
	struct signer s = two_algorithms();
	struct sign_plan plan;
	static const struct {
		const char *owner;
		uint8_t labels;
	} c[] = { { "example.", 1 },     { "*.example.", 1 },   { "a.*.b.Example.", 4 },
		  { "*.*.example.", 2 }, { "\\*.example.", 1 }, { "\\000.example.", 2 },
		  { "**.example.", 2 } };

	for (unsigned i = 0; i < sizeof(c) / sizeof(c[0]); i++) {
		const uint8_t *h;

		ck_assert_int_eq(sign_plan(&s, rrset_a(c[i].owner, 300, 1), NULL, 0, mem, &plan), 0);
		h = plan.want[0].hdr;
		ck_assert_uint_eq(plan.want[0].hdr_len, 18 + 9);
		ck_assert_uint_eq(be16(h), T_A);
		ck_assert_uint_eq(h[2], 8);
		ck_assert_uint_eq(h[3], c[i].labels);
		ck_assert_uint_eq(be32(h + 4), 300);
		ck_assert_uint_eq(be32(h + 12), NOW - 3600);
		ck_assert_uint_eq(be16(h + 16), 2);
		ck_assert_mem_eq(h + 18, "\7example", 9);
	}
}
END_TEST

START_TEST(kept_or_made)
{
	struct signer s = two_algorithms();
	struct rrset *a = rrset_a("a.example.", 300, 1), *old = signed_copy(&s, a);
	struct rrset *ns = rrset_name("example.", T_NS, "NS.example."), *old_ns = signed_copy(&s, ns);

	check_plan(&s, a, NULL, 0, 0, 2, SIGN_NEW);
	check_plan(&s, a, a, 0, 0, 2, SIGN_NEW); /* stored, but not signed */
	check_plan(&s, a, old, 5 * DAY, 2, 0, 0);
	check_plan(&s, rrset_a("A.eXample.", 300, 1), old, 5 * DAY, 2, 0, 0); /* case of the owner */
	check_plan(&s, rrset_a("a.example.", 301, 1), old, 0, 0, 2, SIGN_CHANGED);
	check_plan(&s, rrset_a("a.example.", 300, 2), old, 0, 0, 2, SIGN_CHANGED);
	/* case in RDATA: folded in NS (RFC 4034 6.2), not in unknown types */
	check_plan(&s, rrset_name("example.", T_NS, "ns.eXAMPLE."), old_ns, 5 * DAY, 2, 0, 0);
	ns = rrset_name("example.", 65280, "NS.example.");
	check_plan(&s, rrset_name("example.", 65280, "ns.example."), signed_copy(&s, ns), 0, 0, 2,
		   SIGN_CHANGED);
	/* wrong labels: as if the owner had been another one */
	old->owner = wire("*.a.example.");
	check_plan(&s, rrset_a("*.a.example.", 300, 1), old, 0, 2, 0, 0);
	check_plan(&s, rrset_a("b.a.example.", 300, 1), old, 0, 0, 2, SIGN_REFRESH);
}
END_TEST

START_TEST(order_and_duplicates)
{
	struct signer s = two_algorithms();
	static const struct rr_item forth[] = { { .len = 4, .data = (const uint8_t *)"\1\1\1\1" },
						{ .len = 4, .data = (const uint8_t *)"\2\2\2\2" } };
	static const struct rr_item back[] = { { .len = 4, .data = (const uint8_t *)"\2\2\2\2" },
					       { .len = 4, .data = (const uint8_t *)"\1\1\1\1" },
					       { .len = 4, .data = (const uint8_t *)"\2\2\2\2" } };
	struct rrset *a = rrset_of("a.example.", T_A, 60, 2, forth);

	check_plan(&s, rrset_of("a.example.", T_A, 60, 3, back), signed_copy(&s, a), 0, 2, 0, 0);
	check_plan(&s, rrset_of("a.example.", T_A, 60, 1, back), signed_copy(&s, a), 0, 0, 2, SIGN_CHANGED);
}
END_TEST

START_TEST(refresh_and_keys)
{
	struct signer s = two_algorithms(), later = s;
	struct rrset *a = rrset_a("a.example.", 300, 1), *old = signed_copy(&s, a);
	struct sign_plan plan;
	int64_t end;

	ck_assert_int_eq(sign_earliest(old->sig, old->nsig, NOW, &end), 0);
	later.now = end - 5 * DAY;
	check_plan(&later, a, old, 5 * DAY, 2, 0, 0);
	later.now++;
	check_plan(&later, a, old, 5 * DAY, 0, 2, SIGN_REFRESH);
	later.now = NOW - 3601; /* inception in the future */
	check_plan(&later, a, old, 0, 0, 2, SIGN_REFRESH);
	later.now++;
	check_plan(&later, a, old, 0, 2, 0, 0);
	later = s;
	later.key[3].tag = 5; /* a new ZSK instead of the old */
	check_plan(&later, a, old, 0, 1, 1, SIGN_ROLL);
	ck_assert_int_eq(sign_plan(&later, a, old, 0, mem, &plan), 0);
	ck_assert_uint_eq(plan.keep[0], 0);
	ck_assert_uint_eq(plan.want[0].key, 3);
	later.key[3] = (struct signer_key){ 0 };
	later.nkeys = 2; /* a key is gone: its signature goes, nothing is made */
	check_plan(&later, a, old, 0, 1, 0, 0);
	later.key[0].signs_zone = true; /* role widened (CSK) */
	check_plan(&later, a, old, 0, 1, 1, SIGN_ROLL);
}
END_TEST

/* Signatures that do not fit are never kept, whatever is broken in them. */
START_TEST(broken_signatures)
{
	struct signer s = two_algorithms();
	struct rrset *a = rrset_a("a.example.", 300, 1), *old;
	static const uint8_t offsets[] = { 1, 2, 3, 7, 17, 18, 19, 26 };

	for (unsigned i = 0; i < sizeof(offsets); i++) {
		uint8_t *rdata;

		old = signed_copy(&s, a);
		rdata = arena_dup(mem, old->sig[0].data, old->sig[0].len);
		rdata[offsets[i]] ^= 0x20;
		old->sig[0].data = rdata;
		check_plan(&s, a, old, 0, 1, 1,
			   offsets[i] == 2 || offsets[i] == 17 ? SIGN_ROLL : SIGN_REFRESH);
	}
	old = signed_copy(&s, a);
	for (uint16_t len = 0; len <= 27; len++) { /* without a signature at its end too */
		old->sig[0].len = len;
		check_plan(&s, a, old, 0, 1, 1, len < 18 ? SIGN_ROLL : SIGN_REFRESH);
	}
}
END_TEST

/* Twice by one key: the one that lasts longer stays, alone. */
START_TEST(doubled_signature)
{
	struct signer s = two_algorithms(), later = s;
	struct rrset *a = rrset_a("a.example.", 300, 1), *old = signed_copy(&s, a);
	struct sign_plan plan;

	s.nkeys = later.nkeys = 2;
	later.now += 3600;
	for (unsigned i = 0; i < 2; i++) {
		old->sig[i] = signed_copy(&s, a)->sig[0];
		old->sig[1 - i] = signed_copy(&later, a)->sig[0];
		ck_assert_int_eq(sign_plan(&later, a, old, 0, mem, &plan), 0);
		ck_assert_uint_eq(plan.nkeep, 1);
		ck_assert_uint_eq(plan.nwant, 0);
		ck_assert_uint_eq(plan.keep[0], 1 - i);
	}
}
END_TEST

START_TEST(jitter)
{
	struct signer s = two_algorithms(), t = s;
	int64_t low = INT64_MAX, high = 0, low_spread = INT64_MAX;
	char owner[32];

	t.spread = true;
	for (unsigned i = 0; i < 2000; i++) {
		struct rrset *set;
		int64_t end, again;

		snprintf(owner, sizeof(owner), "n%u.example.", i);
		set = signed_copy(&s, rrset_a(owner, 300, 1));
		ck_assert_int_eq(sign_earliest(set->sig, set->nsig, NOW, &end), 0);
		low = end < low ? end : low;
		high = end > high ? end : high;
		snprintf(owner, sizeof(owner), "N%u.EXAMPLE.", i);
		set = signed_copy(&s, rrset_a(owner, 300, 1));
		ck_assert_int_eq(sign_earliest(set->sig, set->nsig, NOW, &again), 0);
		ck_assert_int_eq(end, again);
		set = signed_copy(&t, rrset_a(owner, 300, 1));
		ck_assert_int_eq(sign_earliest(set->sig, set->nsig, NOW, &end), 0);
		ck_assert(end <= NOW + s.validity);
		low_spread = end < low_spread ? end : low_spread;
	}
	ck_assert(high <= NOW + s.validity && high > NOW + s.validity - DAY / 48);
	ck_assert(low >= NOW + s.validity - s.jitter && low < NOW + s.validity - s.jitter + DAY / 48);
	ck_assert(low_spread >= NOW + s.validity - 9 * DAY * 3 / 4 &&
		  low_spread < NOW + s.validity - 6 * DAY);
	/* another seed, other times; no jitter, none */
	t = s;
	t.seed++;
	check_plan(&t, rrset_a("a.example.", 1, 1), NULL, 0, 0, 2, SIGN_NEW);
	t.jitter = 0;
	{
		struct rrset *set = signed_copy(&t, rrset_a("a.example.", 1, 1));
		int64_t end;

		ck_assert_int_eq(sign_earliest(set->sig, set->nsig, NOW, &end), 0);
		ck_assert_int_eq(end, NOW + s.validity);
		ck_assert_int_eq(sign_latest_inception(set->sig, set->nsig, NOW), NOW - 3600);
	}
}
END_TEST

START_TEST(times)
{
	const int64_t wrap = (int64_t)1 << 32; /* 2106-02-07 */
	struct signer s = two_algorithms();
	struct rrset *set;
	int64_t t;

	ck_assert_int_eq(sig_time(100, 100), 100);
	ck_assert_int_eq(sig_time(UINT32_MAX, wrap + 5), wrap - 1);
	ck_assert_int_eq(sig_time(7, wrap - 5), wrap + 7);
	ck_assert_int_eq(sig_time(UINT32_MAX, 5), -1);
	s.now = wrap - DAY;
	s.jitter = 0;
	set = signed_copy(&s, rrset_a("a.example.", 1, 1));
	ck_assert_int_eq(sign_earliest(set->sig, set->nsig, s.now, &t), 0);
	ck_assert_int_eq(t, wrap + 13 * DAY);
	s.now += 2 * DAY;
	check_plan(&s, set, set, 5 * DAY, 2, 0, 0);
	ck_assert_int_eq(sign_latest_inception(set->sig, set->nsig, s.now), wrap - DAY - 3600);
	ck_assert_int_eq(sign_earliest(NULL, 0, NOW, &t), ZS_ENOENT);
	set->sig[1].len = 17;
	ck_assert_int_eq(sign_earliest(set->sig, set->nsig, NOW, &t), ZS_EFORMAT);
	ck_assert_int_eq(sign_latest_inception(NULL, 0, NOW), 0);
}
END_TEST

START_TEST(signer_from_keys)
{
	struct policy p = {
		.validity = 1, .dnskey_validity = 2, .refresh = 3, .jitter = 4, .inception_offset = 5
	};
	struct keyset ks = { .n = 4 };
	struct signer s;

	for (unsigned i = 0; i < 4; i++) {
		ks.key[i].use = i % 2 ? KEY_ZSK : KEY_KSK;
		ks.key[i].state = i < 2 ? KEY_READY : KEY_ACTIVE;
		ks.key[i].tag = (uint16_t)(10 + i);
		ks.key[i].algorithm = 13;
		ks.key[i].id[0] = (uint8_t)i;
	}
	signer_init(&s, wire("EXAMPLE.Org."), &ks, &p, WALL(99), 6, true);
	ck_assert_uint_eq(s.nkeys, 2);
	ck_assert(s.key[0].signs_keys && !s.key[0].signs_zone && s.key[0].tag == 12 && s.key[0].id[0] == 2);
	ck_assert(!s.key[1].signs_keys && s.key[1].signs_zone && s.key[1].tag == 13);
	ck_assert_mem_eq(s.zone, "\7example\3org", 13);
	ck_assert_uint_eq(s.zone_len, 13);
	ck_assert(s.now == 99 && s.validity == 1 && s.dnskey_validity == 2 && s.refresh == 3 &&
		  s.jitter == 4 && s.inception_offset == 5 && s.seed == 6 && s.spread);
}
END_TEST

START_TEST(assemble_bounds)
{
	struct signer s = two_algorithms();
	struct sign_plan plan;
	struct sig_item out;
	uint8_t *big = arena_zalloc(mem, 65535);

	ck_assert_int_eq(sign_plan(&s, rrset_a("a.example.", 1, 1), NULL, 0, mem, &plan), 0);
	ck_assert_int_eq(sign_assemble(&plan.want[0], big, 0, mem, &out), ZS_EINVAL);
	ck_assert_int_eq(sign_assemble(&plan.want[0], big, 65535, mem, &out), ZS_ELIMIT);
	ck_assert_int_eq(sign_assemble(&plan.want[0], big, (uint16_t)(65535 - 27), mem, &out), 0);
	ck_assert_uint_eq(out.len, 65535);
}
END_TEST

/* --- serials
 * ------------------------------------------------------------------------------------------------- */

static const struct serial_case {
	enum serial_policy policy;
	uint32_t upstream, floor;
	bool have_floor;
	int64_t now;
	uint32_t want;
} serials[] = {
	{ SERIAL_UPSTREAM, 7, 0, false, 0, 7 },
	{ SERIAL_UPSTREAM, 7, 6, true, 0, 7 },
	{ SERIAL_UPSTREAM, 7, 7, true, 0, 8 },
	{ SERIAL_UPSTREAM, 7, 100, true, 0, 101 },
	{ SERIAL_UPSTREAM, 0, 0, false, 0, 0 },
	{ SERIAL_UPSTREAM, 0, UINT32_MAX, true, 0, 0 },
	{ SERIAL_UPSTREAM, 5, UINT32_MAX, true, 0, 5 },
	{ SERIAL_UPSTREAM, UINT32_MAX, UINT32_MAX, true, 0, 0 },
	{ SERIAL_UPSTREAM, 0x80000000, 0, true, 0, 1 }, /* not comparable, RFC 1982 3.2 */
	{ SERIAL_UPSTREAM, 0x7fffffff, 0, true, 0, 0x7fffffff },
	{ SERIAL_INCREMENT, 7, 0, false, 0, 7 },
	{ SERIAL_INCREMENT, 700, 9, true, 0, 10 },
	{ SERIAL_UNIXTIME, 7, 0, false, 1700000000, 1700000000 },
	{ SERIAL_UNIXTIME, 7, 1700000000, true, 1700000000, 1700000001 },
	{ SERIAL_UNIXTIME, 7, 2024010101, true, 1700000000, 2024010102 },
	{ SERIAL_UNIXTIME, 7, UINT32_MAX, true, (int64_t)1 << 32, 0 },
	{ SERIAL_DATE, 7, 0, false, 1700000000, 2023111400 },
	{ SERIAL_DATE, 7, 2023111305, true, 1700000000, 2023111400 },
	{ SERIAL_DATE, 7, 2023111400, true, 1700000000, 2023111401 },
	{ SERIAL_DATE, 7, 2023111499, true, 1700000000, 2023111500 },
	{ SERIAL_DATE, 7, 1, true, 1709251199, 2024022900 },
};

START_TEST(serial)
{
	const struct serial_case *c = &serials[_i];

	ck_assert_uint_eq(serial_next(c->policy, c->upstream, c->floor, c->have_floor, WALL(c->now)),
			  c->want);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sign");
	TCase *c = tcase_create("sign");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_loop_test(c, rfc_signatures, 0, sizeof(examples) / sizeof(examples[0]));
	tcase_add_test(c, roles);
	tcase_add_test(c, header);
	tcase_add_test(c, kept_or_made);
	tcase_add_test(c, order_and_duplicates);
	tcase_add_test(c, refresh_and_keys);
	tcase_add_test(c, broken_signatures);
	tcase_add_test(c, doubled_signature);
	tcase_add_test(c, jitter);
	tcase_add_test(c, times);
	tcase_add_test(c, signer_from_keys);
	tcase_add_test(c, assemble_bounds);
	tcase_add_loop_test(c, serial, 0, sizeof(serials) / sizeof(serials[0]));
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
