/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Keys and signatures of the tests' own signer (gate_zone.h). */
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/text.h"
#include "gate_zone.h"

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

static unsigned labels_of(const uint8_t *wire)
{
	unsigned n = 0;

	for (; *wire; wire += *wire + 1)
		n++;
	return n;
}

static EVP_PKEY *key_make(uint8_t alg)
{
	switch (alg) {
	case 8: case 10: return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)1024);
	case 13: return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	case 14: return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	case 15: return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	default: return EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	}
}

static size_t public_octets(EVP_PKEY *p, uint8_t alg, uint8_t *out)
{
	size_t len = 500;
	BIGNUM *e = NULL, *n = NULL;

	if (alg >= 15) {
		MUST(EVP_PKEY_get_raw_public_key(p, out, &len) == 1);
	} else if (alg >= 13) {
		uint8_t point[200];

		MUST(EVP_PKEY_get_octet_string_param(p, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point, &len) ==
		     1);
		memcpy(out, point + 1, --len);
	} else {
		MUST(EVP_PKEY_get_bn_param(p, "e", &e) && EVP_PKEY_get_bn_param(p, "n", &n));
		out[0] = (uint8_t)BN_num_bytes(e);
		BN_bn2bin(e, out + 1);
		BN_bn2bin(n, out + 1 + out[0]);
		len = 1u + out[0] + (size_t)BN_num_bytes(n);
		BN_free(e);
		BN_free(n);
	}
	return len;
}

void tz_add_key(struct tz *z, uint8_t alg, uint16_t flags, bool signs_keys, bool signs_zone)
{
	struct tz_key *k = &z->key[z->nkeys++];
	uint32_t sum = 0;

	k->pkey = key_make(alg);
	MUST(k->pkey);
	put_be16(k->rdata, flags);
	k->rdata[2] = 3;
	k->rdata[3] = k->alg = alg;
	k->len = (uint16_t)(4 + public_octets(k->pkey, alg, k->rdata + 4));
	for (size_t i = 0; i < k->len; i++)
		sum += (uint32_t)k->rdata[i] << (i & 1 ? 0 : 8);
	k->tag = (uint16_t)(sum + (sum >> 16));
	k->signs_keys = signs_keys;
	k->signs_zone = signs_zone;
}

void tz_canon(uint16_t type, uint8_t *p, size_t len)
{
	size_t at = 0, names = 0;

	switch (type) {
	case 2: case 5: case 12: case 39: names = 1; break;
	case 6: names = 2; break;
	case 15: at = 2; names = 1; break;
	case 33: at = 6; names = 1; break;
	default: break;
	}
	while (names--) {
		for (; p[at]; at += p[at] + 1u) {
			for (unsigned i = 1; i <= p[at]; i++)
				p[at + i] = tz_lower(p[at + i]);
		}
		at++;
	}
	MUST(at <= len);
}

/* Owner of a value in lower case wire form. */
static size_t owner_of(struct tz *z, const struct tv *v, uint8_t *out)
{
	if (v->key[0] == 0x20)
		return tz_wire_of(v->key + 1, v->klen - 4, out);
	if (v->key[1] == 0)
		return tz_wire_of(v->key + 2, v->klen - 2, out);
	out[0] = 32;
	text_b32hex((char *)out + 1, v->key + 2, 20);
	memcpy(out + 33, z->zone, z->zone_len);
	return 33 + z->zone_len;
}

static size_t signature(struct tz_key *k, const uint8_t *msg, size_t len, uint8_t *out)
{
	static const char *const mds[] = {
		[8] = "SHA256", [10] = "SHA512", [13] = "SHA256", [14] = "SHA384", [15] = NULL, [16] = NULL
	};
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	uint8_t der[700];
	size_t n = sizeof der;

	MUST(EVP_DigestSignInit_ex(ctx, NULL, mds[k->alg], NULL, NULL, k->pkey, NULL) == 1);
	MUST(EVP_DigestSign(ctx, der, &n, msg, len) == 1);
	EVP_MD_CTX_free(ctx);
	if (k->alg == 13 || k->alg == 14) {
		const uint8_t *p = der;
		ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)n);
		int half = k->alg == 13 ? 32 : 48;

		BN_bn2binpad(ECDSA_SIG_get0_r(s), out, half);
		BN_bn2binpad(ECDSA_SIG_get0_s(s), out + half, half);
		ECDSA_SIG_free(s);
		return 2 * (size_t)half;
	}
	memcpy(out, der, n);
	return n;
}

void tv_sign_with(struct tz *z, struct tv *v, size_t key)
{
	struct tz_key *k = &z->key[key];
	uint8_t owner[300], *sig = v->sig[v->nsig].data, signer[256];
	size_t olen = owner_of(z, v, owner), slen = z->zone_len, head;
	struct wr w = wr_growing(4 << 20);
	int64_t inception = z->tweak.inception ? z->tweak.inception : TZ_NOW - 3600;
	int64_t expiration = z->tweak.expiration ? z->tweak.expiration
						 : TZ_NOW + 14 * 86400 - (int64_t)v->klen;
	unsigned labels = labels_of(owner) - (owner[0] == 1 && owner[1] == '*');

	memcpy(signer, z->zone, slen);
	if (z->tweak.signer)
		slen = tz_wire(z->tweak.signer, signer);
	wr_u16(&w, z->tweak.covered ? z->tweak.covered : v->type);
	wr_u8(&w, k->alg);
	wr_u8(&w, (uint8_t)((int)labels + z->tweak.labels));
	wr_u32(&w, z->tweak.ttl ? z->tweak.ttl : v->ttl);
	wr_u32(&w, (uint32_t)expiration);
	wr_u32(&w, (uint32_t)inception);
	wr_u16(&w, k->tag);
	wr_bytes(&w, signer, slen);
	head = w.len;
	for (size_t i = 0; i < v->nrr; i++) {
		uint8_t data[700];

		if (v->rr[i].flags & 1)
			continue;
		memcpy(data, v->rr[i].data, v->rr[i].len);
		tz_canon(v->type, data, v->rr[i].len);
		wr_bytes(&w, owner, olen);
		wr_u16(&w, v->type);
		wr_u16(&w, 1);
		wr_u32(&w, z->tweak.ttl ? z->tweak.ttl : v->ttl);
		wr_u16(&w, v->rr[i].len);
		wr_bytes(&w, data, v->rr[i].len);
	}
	MUST(!w.err);
	memcpy(sig, w.p, head);
	v->sig[v->nsig].len = (uint16_t)(head + signature(k, w.p, w.len, sig + head));
	if (!v->nsig || (uint64_t)expiration < v->exp_time)
		v->exp_time = (uint64_t)expiration;
	v->nsig++;
	wr_free(&w);
}

void tv_sign(struct tz *z, struct tv *v)
{
	bool keys = v->type == 48 || v->type == 59 || v->type == 60;

	v->nsig = 0;
	v->exp_time = 0;
	for (size_t i = 0; i < z->nkeys; i++) {
		if (keys ? z->key[i].signs_keys : z->key[i].signs_zone)
			tv_sign_with(z, v, i);
	}
}

