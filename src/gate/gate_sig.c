/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * DNSKEY RDATA to OpenSSL keys, one signature verification, and the NSEC3 hash. Keys are made once and only
 * read afterwards; contexts belong to a job, one per key, and are used again for every signature: what is
 * left per signature is the digest, the decoding inside OpenSSL and the curve or modulus arithmetic.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/rand.h"
#include "gate_impl.h"

#define KEY_FIXED 4     /* flags, protocol, algorithm */
#define FLAG_ZONE 0x0100
#define RSA_BITS_MAX 4096
#define EC_HALF_MAX 48
#define ALG_P256 13

/* RFC 5702, RFC 6605, RFC 8080. */
static const struct alg {
	uint8_t number;
	enum gkey_kind kind;
	unsigned md;
	size_t sig_len, key_len;
	const char *name;
} algs[] = {
	{ 8, GKEY_RSA, MD_SHA256, 0, 0, NULL },
	{ 10, GKEY_RSA, MD_SHA512, 0, 0, NULL },
	{ 13, GKEY_EC, MD_SHA256, 64, 64, "P-256" },
	{ 14, GKEY_EC, MD_SHA384, 96, 96, "P-384" },
	{ 15, GKEY_ED, 0, 64, 32, "ED25519" },
	{ 16, GKEY_ED, 0, 114, 57, "ED448" },
};

/* RFC 4034 Appendix B. */
static uint16_t key_tag(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i++)
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}

static EVP_PKEY *from_params(const char *type, OSSL_PARAM *params)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *out = NULL;

	if (!ctx || EVP_PKEY_fromdata_init(ctx) <= 0 ||
	    EVP_PKEY_fromdata(ctx, &out, EVP_PKEY_PUBLIC_KEY, params) <= 0)
		out = NULL;
	EVP_PKEY_CTX_free(ctx);
	return out;
}

static EVP_PKEY *load_ec(const struct alg *a, const uint8_t *pub, size_t len)
{
	uint8_t point[1 + 2 * EC_HALF_MAX] = { 0x04 }; /* uncompressed */
	OSSL_PARAM params[3];

	memcpy(point + 1, pub, len);
	params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)a->name,
						     0);
	params[1] = OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, len + 1);
	params[2] = OSSL_PARAM_construct_end();
	return from_params("EC", params);
}

/* RFC 3110 2: exponent length in one octet, or in two behind a zero. */
static EVP_PKEY *load_rsa(const uint8_t *pub, size_t len, size_t *sig_len)
{
	struct rd r = rd_init(pub, len);
	size_t elen = rd_u8(&r), nlen;
	const uint8_t *e, *n;
	OSSL_PARAM_BLD *bld = NULL;
	OSSL_PARAM *params = NULL;
	BIGNUM *be = NULL, *bn = NULL;
	EVP_PKEY *out = NULL;

	if (!elen)
		elen = rd_u16(&r);
	e = rd_bytes(&r, elen);
	nlen = rd_left(&r);
	n = rd_bytes(&r, nlen);
	if (r.err || !elen || elen > 8 || !nlen || nlen > RSA_BITS_MAX / 8)
		return NULL;
	be = BN_bin2bn(e, (int)elen, NULL);
	bn = BN_bin2bn(n, (int)nlen, NULL);
	bld = OSSL_PARAM_BLD_new();
	if (!be || !bn || !bld || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, be))
		goto out;
	params = OSSL_PARAM_BLD_to_param(bld);
	if (params)
		out = from_params("RSA", params);
	*sig_len = (size_t)BN_num_bytes(bn);
out:
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(be);
	BN_free(bn);
	return out;
}

static void key_make(struct gkey *k)
{
	const uint8_t *pub = k->rdata + KEY_FIXED;
	size_t len = (size_t)k->len - KEY_FIXED;
	const struct alg *a = NULL;

	for (size_t i = 0; i < sizeof algs / sizeof algs[0]; i++) {
		if (algs[i].number == k->alg)
			a = &algs[i];
	}
	if (!a || (a->key_len && a->key_len != len) || !(be16(k->rdata) & FLAG_ZONE) || k->rdata[2] != 3)
		return;
	k->kind = a->kind;
	k->md = a->md;
	k->sig_len = a->sig_len;
	if (a->kind == GKEY_EC)
		k->pkey = load_ec(a, pub, len);
	else if (a->kind == GKEY_RSA)
		k->pkey = load_rsa(pub, len, &k->sig_len);
	else
		k->pkey = EVP_PKEY_new_raw_public_key_ex(NULL, a->name, NULL, pub, len);
	ERR_clear_error();
}

int gkey_load(struct gate *g, struct gkey *k, const struct gate_key *from)
{
	k->rdata = malloc(from->len ? from->len : 1u);
	if (!k->rdata)
		return ZS_ENOMEM;
	if (from->len)
		memcpy(k->rdata, from->dnskey, from->len);
	k->len = from->len;
	k->signs_keys = from->signs_keys;
	k->signs_zone = from->signs_zone;
	if (k->len <= KEY_FIXED)
		return 0;
	k->alg = k->rdata[3];
	k->tag = key_tag(k->rdata, k->len);
	g->alg[k->alg] = 1;
	key_make(k);
	if (k->pkey && k->alg == ALG_P256)
		k->table = gtable_ref(g->p.tables, k->rdata + KEY_FIXED);
	return 0;
}

void gkey_clear(struct gkey *k)
{
	gtable_unref(k->table);
	EVP_PKEY_free(k->pkey);
	free(k->rdata);
}

/* The context of a key in this job, made at first use. */
static EVP_PKEY_CTX *key_ctx(struct gjob *j, size_t i)
{
	struct gkey *k = &j->g->key[i];
	EVP_PKEY_CTX *ctx;

	if (j->kctx[i])
		return j->kctx[i];
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	if (!ctx || EVP_PKEY_verify_init(ctx) <= 0 ||
	    (k->kind == GKEY_RSA && EVP_PKEY_CTX_set_rsa_padding(ctx, RSA_PKCS1_PADDING) <= 0) ||
	    EVP_PKEY_CTX_set_signature_md(ctx, j->g->md[k->md]) <= 0) {
		EVP_PKEY_CTX_free(ctx);
		return NULL;
	}
	return j->kctx[i] = ctx;
}

/* One unsigned number in DER; returns its length. */
static size_t der_number(uint8_t *out, const uint8_t *p, size_t len)
{
	size_t pad;

	while (len > 1 && !*p) {
		p++;
		len--;
	}
	pad = *p >> 7;
	out[0] = 0x02;
	out[1] = (uint8_t)(len + pad);
	out[2] = 0;
	memcpy(out + 2 + pad, p, len);
	return 2 + pad + len;
}

/* r | s as the SEQUENCE that OpenSSL wants; 104 octets at most, so that one length octet does. */
static size_t der_ecdsa(uint8_t out[static 2 * (EC_HALF_MAX + 3) + 2], const uint8_t *sig, size_t len)
{
	size_t n = der_number(out + 2, sig, len / 2);

	n += der_number(out + 2 + n, sig + len / 2, len / 2);
	out[0] = 0x30;
	out[1] = (uint8_t)n;
	return n + 2;
}

/* A context keeps the key of its first init whatever a later one names: so one per key. */
static int verify_ed(struct gjob *j, size_t key, const uint8_t *msg, size_t len, const uint8_t *sig,
		     size_t siglen)
{
	EVP_MD_CTX **ctx = &j->edctx[key];

	if (!*ctx)
		*ctx = EVP_MD_CTX_new();
	if (!*ctx || EVP_DigestVerifyInit_ex(*ctx, NULL, NULL, NULL, NULL, j->g->key[key].pkey, NULL) <= 0)
		return ZS_ECRYPTO;
	return EVP_DigestVerify(*ctx, sig, siglen, msg, len) == 1;
}

static int verify_digest(struct gjob *j, size_t key, const uint8_t *md, unsigned mdlen, const uint8_t *sig,
			 size_t siglen)
{
	uint8_t der[2 * (EC_HALF_MAX + 3) + 2];
	EVP_PKEY_CTX *ctx = key_ctx(j, key);

	if (!ctx)
		return ZS_ECRYPTO;
	if (j->g->key[key].kind == GKEY_EC) {
		siglen = der_ecdsa(der, sig, siglen);
		sig = der;
	}
	return EVP_PKEY_verify(ctx, sig, siglen, md, mdlen) == 1;
}

/* The table's word where it has one; EVP's in all other cases, and some of these too. */
static int verify_table(struct gjob *j, size_t key, const uint8_t *md, unsigned mdlen, const uint8_t *sig,
			size_t siglen)
{
	struct gkey *k = &j->g->key[key];
	bool good = gtable_good(k->table, &j->fast, md, sig);
	int rc;

	if (good && prng_hash_upto(j->g->p.sample_seed, sig, siglen, GTABLE_SPOT - 1) != 0)
		return 1;
	ERR_clear_error();
	rc = verify_digest(j, key, md, mdlen, sig, siglen);
	if (rc < 0 || good == (rc == 1))
		return rc;
	gtable_doubt(k->table);
	return good ? ZS_ECRYPTO : rc;
}

int gsig_verify(struct gjob *j, size_t key, const uint8_t *msg, size_t len, const uint8_t *sig, size_t siglen)
{
	struct gkey *k = &j->g->key[key];
	uint8_t md[EVP_MAX_MD_SIZE];
	unsigned mdlen;
	int rc;

	j->verified++;
	if (siglen != k->sig_len)
		return 0;
	if (k->kind == GKEY_ED) {
		rc = verify_ed(j, key, msg, len, sig, siglen);
		goto out;
	}
	if (!j->digest)
		j->digest = EVP_MD_CTX_new();
	if (!j->digest || EVP_DigestInit_ex(j->digest, j->g->md[k->md], NULL) <= 0 ||
	    EVP_DigestUpdate(j->digest, msg, len) <= 0 || EVP_DigestFinal_ex(j->digest, md, &mdlen) <= 0)
		return ZS_ECRYPTO;
	rc = gtable_ready(k->table) ? verify_table(j, key, md, mdlen, sig, siglen)
				    : verify_digest(j, key, md, mdlen, sig, siglen);
out:
	if (rc != 1)
		ERR_clear_error();
	return rc;
}

int gsig_hash(struct gjob *j, const uint8_t *wire, size_t len, uint8_t out[static GHASH_LEN])
{
	const struct gate_params *p = &j->g->p;
	const uint8_t *in = wire;
	uint8_t md[EVP_MAX_MD_SIZE];

	if (!j->hash)
		j->hash = EVP_MD_CTX_new();
	if (!j->hash)
		return ZS_ENOMEM;
	for (unsigned i = 0; i <= p->nsec3_iterations; i++) { /* RFC 5155 5 */
		if (EVP_DigestInit_ex(j->hash, j->g->md[MD_SHA1], NULL) <= 0 ||
		    EVP_DigestUpdate(j->hash, in, len) <= 0 ||
		    EVP_DigestUpdate(j->hash, p->salt, p->salt_len) <= 0 ||
		    EVP_DigestFinal_ex(j->hash, md, NULL) <= 0)
			return ZS_ECRYPTO;
		in = md;
		len = GHASH_LEN;
	}
	memcpy(out, md, GHASH_LEN);
	return 0;
}
