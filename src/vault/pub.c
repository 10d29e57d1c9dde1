/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Conversions between the three shapes of a public key (DNSKEY field, token attributes, OpenSSL key) and
 * between the shapes of a signature. Nothing here knows where a key lives. Called by both back ends, by the
 * keymap and by the challenge.
 */
#include "pub.h"

#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "base/buf.h"
#include "base/err.h"

#define RSA_MODULUS_MIN 128 /* octets: RFC 5702 2.1 allows 512 bits for some; nobody should */
#define RSA_MODULUS_MAX 512

struct alg {
	uint8_t number;
	const char *digest;  /* RSA, ECDSA */
	const char *group;   /* ECDSA: OpenSSL's name */
	int nid;             /* ECDSA: curve; EdDSA: key type */
	size_t size;         /* coordinate or public key */
	size_t sig;
};

static const struct alg algs[] = {
	{ 8, "SHA256", NULL, 0, 0, 0 },
	{ 10, "SHA512", NULL, 0, 0, 0 },
	{ 13, "SHA256", "P-256", NID_X9_62_prime256v1, 32, 64 },
	{ 14, "SHA384", "P-384", NID_secp384r1, 48, 96 },
	{ 15, NULL, NULL, NID_ED25519, 32, 64 },
	{ 16, NULL, NULL, NID_ED448, 57, 114 },
};

static const struct alg *alg_find(uint8_t number)
{
	for (size_t i = 0; i < sizeof(algs) / sizeof(algs[0]); i++)
		if (algs[i].number == number)
			return &algs[i];
	return NULL;
}

bool pub_alg_known(uint8_t alg) { return alg_find(alg) != NULL; }
bool pub_alg_rsa(uint8_t alg) { return alg == 8 || alg == 10; }
bool pub_alg_ecdsa(uint8_t alg) { return alg == 13 || alg == 14; }
bool pub_alg_eddsa(uint8_t alg) { return alg == 15 || alg == 16; }

const char *pub_alg_digest(uint8_t alg)
{
	const struct alg *a = alg_find(alg);

	return a ? a->digest : NULL;
}

size_t pub_alg_size(uint8_t alg)
{
	const struct alg *a = alg_find(alg);

	return a ? a->size : 0;
}

size_t pub_alg_sig_len(uint8_t alg)
{
	const struct alg *a = alg_find(alg);

	return a ? a->sig : 0;
}

int pub_hash(const uint8_t *pub, size_t len, uint8_t sha256[32])
{
	return EVP_Q_digest(NULL, "SHA256", NULL, pub, len, sha256, NULL) == 1 ? 0 : ZS_ECRYPTO;
}

uint16_t pub_tag(uint16_t flags, uint8_t alg, const uint8_t *pub, size_t len)
{
	/* RFC 4034 appendix B over flags, protocol 3, algorithm,
	 * public key: the key starts at an even octet */
	uint32_t ac = (uint32_t)flags + (3u << 8) + alg;

	for (size_t i = 0; i < len; i++)
		ac += i & 1 ? pub[i] : (uint32_t)pub[i] << 8;
	ac += ac >> 16 & 0xffff;
	return (uint16_t)ac;
}

int pub_ds(const uint8_t *owner, size_t owner_len, uint16_t flags, uint8_t alg, const uint8_t *pub,
	   size_t len, uint8_t sha256[32], uint8_t sha384[48])
{
	uint8_t buf[255 + 4 + 1032];
	struct wr w = wr_fixed(buf, sizeof(buf));

	wr_bytes(&w, owner, owner_len);
	wr_u16(&w, flags);
	wr_u8(&w, 3);
	wr_u8(&w, alg);
	wr_bytes(&w, pub, len);
	if (w.err)
		return ZS_EINVAL;
	if (EVP_Q_digest(NULL, "SHA256", NULL, buf, w.len, sha256, NULL) != 1 ||
	    EVP_Q_digest(NULL, "SHA384", NULL, buf, w.len, sha384, NULL) != 1)
		return ZS_ECRYPTO;
	return 0;
}

int pub_from_rsa(const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len, uint8_t *pub, size_t *len)
{
	struct wr w = wr_fixed(pub, *len);

	while (n_len && !*n)
		n++, n_len--;
	while (e_len && !*e)
		e++, e_len--;
	if (n_len < RSA_MODULUS_MIN || n_len > RSA_MODULUS_MAX || !e_len || e_len > n_len)
		return ZS_EKEY;
	/* RFC 3110 2: one length octet, or 0 and two */
	if (e_len < 256) {
		wr_u8(&w, (uint8_t)e_len);
	} else {
		wr_u8(&w, 0);
		wr_u16(&w, (uint16_t)e_len);
	}
	wr_bytes(&w, e, e_len);
	wr_bytes(&w, n, n_len);
	if (w.err)
		return ZS_EFULL;
	*len = w.len;
	return 0;
}

static int rsa_from_pkey(const EVP_PKEY *pkey, uint8_t *pub, size_t *len)
{
	BIGNUM *n = NULL, *e = NULL;
	uint8_t nb[RSA_MODULUS_MAX], eb[RSA_MODULUS_MAX];
	int rc = ZS_EKEY;

	if (EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
	    BN_num_bytes(n) <= RSA_MODULUS_MAX && BN_num_bytes(e) <= RSA_MODULUS_MAX)
		rc = pub_from_rsa(nb, (size_t)BN_bn2bin(n, nb), eb, (size_t)BN_bn2bin(e, eb), pub, len);
	BN_free(n);
	BN_free(e);
	return rc;
}

static int ec_from_pkey(const EVP_PKEY *pkey, const struct alg *a, uint8_t *pub, size_t *len)
{
	BIGNUM *x = NULL, *y = NULL;
	char group[64] = "";
	int rc = ZS_EKEY;

	if (*len < 2 * a->size)
		return ZS_EFULL;
	if (EVP_PKEY_get_utf8_string_param(pkey, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL) ==
		    1 &&
	    (EC_curve_nist2nid(group) == a->nid || OBJ_sn2nid(group) == a->nid) &&
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_X, &x) == 1 &&
	    EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, &y) == 1 &&
	    BN_bn2binpad(x, pub, (int)a->size) >= 0 && BN_bn2binpad(y, pub + a->size, (int)a->size) >= 0) {
		*len = 2 * a->size;
		rc = 0;
	}
	BN_free(x);
	BN_free(y);
	return rc;
}

int pub_from_pkey(const EVP_PKEY *pkey, uint8_t alg, uint8_t *pub, size_t *len)
{
	const struct alg *a = alg_find(alg);
	size_t n;

	if (!a)
		return ZS_EKEY;
	if (pub_alg_rsa(alg))
		return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_RSA ? rsa_from_pkey(pkey, pub, len) : ZS_EKEY;
	if (pub_alg_ecdsa(alg))
		return EVP_PKEY_get_base_id(pkey) == EVP_PKEY_EC ? ec_from_pkey(pkey, a, pub, len) : ZS_EKEY;
	n = *len;
	if (EVP_PKEY_get_base_id(pkey) != a->nid || EVP_PKEY_get_raw_public_key(pkey, pub, &n) != 1 ||
	    n != a->size)
		return ZS_EKEY;
	*len = n;
	return 0;
}

static int pkey_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **out)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	int rc = ZS_EKEY;

	if (ctx && params && EVP_PKEY_fromdata_init(ctx) == 1 &&
	    EVP_PKEY_fromdata(ctx, out, EVP_PKEY_PUBLIC_KEY, params) == 1)
		rc = 0;
	EVP_PKEY_CTX_free(ctx);
	return rc;
}

static int rsa_to_pkey(const uint8_t *pub, size_t len, EVP_PKEY **out)
{
	struct rd r = rd_init(pub, len);
	size_t e_len = rd_u8(&r);
	const uint8_t *eb;
	BIGNUM *n = NULL, *e = NULL;
	OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	OSSL_PARAM *params = NULL;
	int rc = ZS_EKEY;

	if (!e_len)
		e_len = rd_u16(&r);
	eb = rd_bytes(&r, e_len);
	if (!bld || r.err || !e_len || rd_left(&r) < RSA_MODULUS_MIN || rd_left(&r) > RSA_MODULUS_MAX)
		goto out;
	e = BN_bin2bn(eb, (int)e_len, NULL);
	n = BN_bin2bn(r.p, (int)rd_left(&r), NULL);
	if (!e || !n || !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, n) ||
	    !OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, e))
		goto out;
	params = OSSL_PARAM_BLD_to_param(bld);
	rc = pkey_from_params("RSA", params, out);
out:
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(bld);
	BN_free(n);
	BN_free(e);
	return rc;
}

/* point: 04|x|y, 02|x or 03|x. OpenSSL decodes compressed points and checks that they lie on the curve. */
static int ec_point_to_pkey(const struct alg *a, const uint8_t *point, size_t len, EVP_PKEY **out)
{
	OSSL_PARAM params[3] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)a->group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, len),
		OSSL_PARAM_construct_end(),
	};

	return pkey_from_params("EC", params, out);
}

int pub_to_pkey(uint8_t alg, const uint8_t *pub, size_t len, EVP_PKEY **out)
{
	const struct alg *a = alg_find(alg);
	uint8_t point[1 + 2 * 48];

	if (!a)
		return ZS_EKEY;
	if (pub_alg_rsa(alg))
		return rsa_to_pkey(pub, len, out);
	if (pub_alg_ecdsa(alg)) {
		if (len != 2 * a->size)
			return ZS_EKEY;
		point[0] = 4;
		memcpy(point + 1, pub, len);
		return ec_point_to_pkey(a, point, len + 1, out);
	}
	if (len != a->size)
		return ZS_EKEY;
	*out = EVP_PKEY_new_raw_public_key(a->nid, NULL, pub, len);
	return *out ? 0 : ZS_EKEY;
}

/* Takes a DER OCTET STRING or BIT STRING off that holds exactly `want` octets. */
static const uint8_t *der_unwrap(const uint8_t *p, size_t len, size_t want)
{
	size_t head = want < 128 ? 2 : 3;

	if (len == want)
		return p;
	if (len == want + head && p[0] == 0x04 && p[head - 1] == want && (head == 2 || p[1] == 0x81))
		return p + head;
	head = want + 1 < 128 ? 2 : 3;
	if (len == want + head + 1 && p[0] == 0x03 && p[head - 1] == want + 1 &&
	    (head == 2 || p[1] == 0x81) && p[head] == 0)
		return p + head + 1;
	return NULL;
}

int pub_from_point(uint8_t alg, const uint8_t *p, size_t p_len, uint8_t *pub, size_t *len)
{
	const struct alg *a = alg_find(alg);
	const uint8_t *point;
	EVP_PKEY *pkey = NULL;
	int rc;

	if (!a || !a->size)
		return ZS_EKEY;
	if (pub_alg_eddsa(alg)) {
		point = der_unwrap(p, p_len, a->size);
		if (!point || *len < a->size)
			return point ? ZS_EFULL : ZS_EKEY;
		rc = pub_to_pkey(alg, point, a->size, &pkey);
	} else if ((point = der_unwrap(p, p_len, 1 + 2 * a->size)) && point[0] == 4) {
		rc = ec_point_to_pkey(a, point, 1 + 2 * a->size, &pkey);
	} else if ((point = der_unwrap(p, p_len, 1 + a->size)) && (point[0] == 2 || point[0] == 3)) {
		rc = ec_point_to_pkey(a, point, 1 + a->size, &pkey);
	} else {
		return ZS_EKEY;
	}
	if (!rc)
		rc = pub_from_pkey(pkey, alg, pub, len);
	EVP_PKEY_free(pkey);
	return rc;
}

/* One DER INTEGER of a signature into size octets, zero-padded on the left. Octets used, 0 on error. */
static size_t der_integer(const uint8_t *p, size_t len, size_t size, uint8_t *out)
{
	size_t n, used;

	if (len < 3 || p[0] != 0x02 || p[1] > 127 || (n = p[1]) == 0 || n + 2 > len)
		return 0;
	used = n + 2;
	p += 2;
	if (p[0] & 0x80)
		return 0;
	while (n > 1 && !*p)
		p++, n--;
	if (n > size)
		return 0;
	memset(out, 0, size - n);
	memcpy(out + size - n, p, n);
	return used;
}

int pub_sig_from_der(const uint8_t *der, size_t len, size_t size, uint8_t *rs)
{
	size_t a, b;

	/* both curves stay below 128 octets of content: 2 * (48 + 3) */
	if (len < 8 || der[0] != 0x30 || der[1] > 127 || (size_t)der[1] + 2 != len)
		return ZS_EFORMAT;
	a = der_integer(der + 2, len - 2, size, rs);
	b = a ? der_integer(der + 2 + a, len - 2 - a, size, rs + size) : 0;
	return b && a + b + 2 == len ? 0 : ZS_EFORMAT;
}

static size_t der_put(uint8_t *dst, const uint8_t *v, size_t n)
{
	size_t pad;

	while (n > 1 && !*v)
		v++, n--;
	pad = *v & 0x80 ? 1 : 0;
	dst[0] = 0x02;
	dst[1] = (uint8_t)(n + pad);
	dst[2] = 0;
	memcpy(dst + 2 + pad, v, n);
	return 2 + pad + n;
}

size_t pub_sig_to_der(const uint8_t *rs, size_t size, uint8_t der[144])
{
	size_t n = der_put(der + 2, rs, size);

	n += der_put(der + 2 + n, rs + size, size);
	der[0] = 0x30;
	der[1] = (uint8_t)n;
	return n + 2;
}

int pub_verify(EVP_PKEY *pkey, uint8_t alg, const uint8_t *msg, size_t len, const uint8_t *sig,
	       size_t sig_len)
{
	const struct alg *a = alg_find(alg);
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[144];
	int v = -1;

	if (ctx && a && EVP_DigestVerifyInit_ex(ctx, NULL, a->digest, NULL, NULL, pkey, NULL) == 1) {
		if (a->sig && sig_len != a->sig) {
			v = 0;
		} else {
			if (pub_alg_ecdsa(alg)) {
				sig_len = pub_sig_to_der(sig, a->size, der);
				sig = der;
			}
			v = EVP_DigestVerify(ctx, sig, sig_len, msg, len);
		}
	}
	EVP_MD_CTX_free(ctx);
	return v == 1 ? 0 : v < 0 && !a ? ZS_ECRYPTO : ZS_EBADSIG;
}
