/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Denial records as octets: type bitmaps, NSEC, NSEC3 and NSEC3PARAM RDATA, the hash of a name and the owner
 * made of it (RFC 4034 4.1, RFC 5155 3 to 5). Which names have one is chain.c's. Called by the recipe; the
 * gate has its own.
 */
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "seal/denial.h"

#define NSEC3_SHA1 1
#define NSEC3_OPT_OUT 0x01
#define HASH_TEXT 32 /* 20 octets in base32hex */

struct nsec3_ctx {
	EVP_MD *sha1;
	EVP_MD_CTX *md;
};

struct nsec3_ctx *nsec3_ctx_new(void)
{
	struct nsec3_ctx *c = calloc(1, sizeof(*c));

	if (c == NULL)
		return NULL;
	c->sha1 = EVP_MD_fetch(NULL, "SHA1", NULL);
	c->md = EVP_MD_CTX_new();
	if (c->sha1 == NULL || c->md == NULL) {
		nsec3_ctx_free(c);
		return NULL;
	}
	return c;
}

void nsec3_ctx_free(struct nsec3_ctx *c)
{
	if (c == NULL)
		return;
	EVP_MD_CTX_free(c->md);
	EVP_MD_free(c->sha1);
	free(c);
}

static bool hash_round(struct nsec3_ctx *c, const struct denial_params *p, const uint8_t *in, size_t len,
		       uint8_t out[static NSEC3_HASH_LEN])
{
	return EVP_DigestInit_ex2(c->md, c->sha1, NULL) == 1 && EVP_DigestUpdate(c->md, in, len) == 1 &&
	       EVP_DigestUpdate(c->md, p->salt, p->salt_len) == 1 &&
	       EVP_DigestFinal_ex(c->md, out, NULL) == 1;
}

/* RFC 5155 5: IH(salt, x, 0) = H(x || salt), IH(salt, x, k) = H(IH(salt, x, k - 1) || salt). */
int nsec3_hash(struct nsec3_ctx *c, const struct denial_params *p, const uint8_t *name,
	       uint8_t out[static NSEC3_HASH_LEN])
{
	uint8_t lower[NAME_MAX_WIRE];
	uint8_t h[NSEC3_HASH_LEN];

	if (p->iterations > NSEC3_ITERATIONS_MAX || p->salt_len > NSEC3_SALT_MAX)
		return ZS_ELIMIT;
	name_copy_lower(lower, name);
	if (!hash_round(c, p, lower, name_len(name), h))
		return ZS_ECRYPTO;
	for (unsigned i = 0; i < p->iterations; i++)
		if (!hash_round(c, p, h, sizeof(h), h))
			return ZS_ECRYPTO;
	memcpy(out, h, sizeof(h));
	return 0;
}

/* RFC 4034 4.1.2: a window for each 256 types with a type in use, without trailing zero octets. */
size_t bitmap_build(uint8_t out[static BITMAP_MAX], const uint16_t *types, size_t n)
{
	size_t len = 0;

	for (size_t i = 0; i < n;) {
		uint8_t window = (uint8_t)(types[i] >> 8);
		uint8_t *block = out + len;

		memset(block, 0, 34);
		block[0] = window;
		for (; i < n && types[i] >> 8 == window; i++) {
			uint8_t low = (uint8_t)types[i];

			block[2 + low / 8] |= (uint8_t)(0x80 >> low % 8);
			block[1] = (uint8_t)(low / 8 + 1); /* types ascend */
		}
		len += 2u + block[1];
	}
	return len;
}

size_t nsec_rdata(uint8_t *out, const uint8_t *next_name, const uint16_t *types, size_t n)
{
	size_t len = name_len(next_name);

	name_copy_lower(out, next_name);
	return len + bitmap_build(out + len, types, n);
}

static size_t put_params(uint8_t *out, const struct denial_params *p, uint8_t flags)
{
	out[0] = NSEC3_SHA1;
	out[1] = flags;
	put_be16(out + 2, p->iterations);
	out[4] = p->salt_len;
	memcpy(out + 5, p->salt, p->salt_len);
	return 5u + p->salt_len;
}

size_t nsec3_rdata(uint8_t *out, const struct denial_params *p, const uint8_t next[static NSEC3_HASH_LEN],
		   const uint16_t *types, size_t n)
{
	size_t len = put_params(out, p, p->opt_out ? NSEC3_OPT_OUT : 0);

	out[len++] = NSEC3_HASH_LEN;
	memcpy(out + len, next, NSEC3_HASH_LEN);
	len += NSEC3_HASH_LEN;
	return len + bitmap_build(out + len, types, n);
}

size_t nsec3param_rdata(uint8_t out[static 5 + NSEC3_SALT_MAX], const struct denial_params *p)
{
	return put_params(out, p, 0); /* RFC 5155 4.1.2: the opt-out flag is not used here */
}

int nsec3_owner(const uint8_t hash[static NSEC3_HASH_LEN], const uint8_t *zone,
		uint8_t out[static NAME_MAX_WIRE])
{
	char text[HASH_TEXT + 1];

	if (1 + HASH_TEXT + name_len(zone) > NAME_MAX_WIRE)
		return ZS_ELIMIT;
	text_b32hex(text, hash, NSEC3_HASH_LEN);
	out[0] = HASH_TEXT;
	memcpy(out + 1, text, HASH_TEXT);
	name_copy_lower(out + 1 + HASH_TEXT, zone);
	return 0;
}
