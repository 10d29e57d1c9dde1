/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ZONEMD, RFC 8976 3.3 and 4: the digest over the canonical form of all records of a zone. The apex comes
 * first, so both hashes run until its ZONEMD RRset has been seen; from then on only those that somebody
 * claims. A zone without ZONEMD costs nothing behind its apex. Called by the survey of an input, before
 * anything of it is stored.
 */
#include <stdlib.h>
#include <string.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include "base/buf.h"
#include "base/err.h"
#include "dns/name.h"
#include "seal/zonemd.h"

#define SCHEME_SIMPLE 1
#define HASHES 2             /* 1: SHA-384, 2: SHA-512 (RFC 8976 5.3) */
#define RDATA_DIGEST 6       /* serial, scheme, hash; then the digest */
#define RR_FIXED 10          /* type, class, TTL, RDATA length */

/* A hash and what the zone's ZONEMD says that it is. */
struct claim {
	EVP_MD_CTX *ctx;         /* NULL: not wanted */
	bool claimed;
	enum zonemd_result wrong; /* already before the digest is known; ZONEMD_VERIFIED: nothing */
	uint8_t digest[EVP_MAX_MD_SIZE];
};

struct zonemd {
	struct claim claim[HASHES];
	bool apex_passed, soa_done, have_rrset, twice;
	uint8_t zone[NAME_MAX_WIRE];
	uint32_t serial, soa_ttl;
	uint16_t soa_len;
	uint8_t soa[2 * NAME_MAX_WIRE + 20];
	uint8_t seen[65536 / 8]; /* bit per scheme and hash */
	uint8_t wire[NAME_MAX_WIRE + RR_FIXED + RDATA_MAX];
};

static const char *const texts[ZONEMD_RESULTS] = {
	[ZONEMD_ABSENT] = "no ZONEMD",
	[ZONEMD_VERIFIED] = "verified",
	[ZONEMD_UNSUPPORTED] = "no supported scheme and hash algorithm",
	[ZONEMD_LENGTH] = "digest of the wrong length",
	[ZONEMD_SERIAL] = "serial is not that of the SOA",
	[ZONEMD_MISMATCH] = "digest differs",
	[ZONEMD_TWICE] = "scheme and hash algorithm given twice",
};

const char *zonemd_result_text(enum zonemd_result r)
{
	return (unsigned)r < ZONEMD_RESULTS ? texts[r] : "unknown";
}

static const EVP_MD *hash_of(unsigned i)
{
	return i == 0 ? EVP_sha384() : EVP_sha512();
}

static void drop_hash(struct claim *c)
{
	EVP_MD_CTX_free(c->ctx);
	c->ctx = NULL;
}

struct zonemd *zonemd_new(const struct rr *soa)
{
	struct zonemd *z = calloc(1, sizeof(*z));
	struct soa fields;

	if (z == NULL)
		return NULL;
	if (soa->rdlen > sizeof(z->soa) || soa_read(soa->rdata, soa->rdlen, &fields) != 0)
		goto fail;
	name_copy_lower(z->zone, soa->owner);
	z->serial = fields.serial;
	z->soa_ttl = soa->ttl;
	z->soa_len = soa->rdlen;
	memcpy(z->soa, soa->rdata, soa->rdlen);
	for (unsigned i = 0; i < HASHES; i++) {
		z->claim[i].ctx = EVP_MD_CTX_new();
		if (z->claim[i].ctx == NULL || EVP_DigestInit_ex(z->claim[i].ctx, hash_of(i), NULL) != 1)
			goto fail;
	}
	return z;
fail:
	zonemd_free(z);
	return NULL;
}

void zonemd_free(struct zonemd *z)
{
	if (z == NULL)
		return;
	for (unsigned i = 0; i < HASHES; i++)
		drop_hash(&z->claim[i]);
	free(z);
}

static bool is_wanted(const struct zonemd *z)
{
	for (unsigned i = 0; i < HASHES; i++)
		if (z->claim[i].ctx != NULL)
			return true;
	return false;
}

/* One record in canonical form: RFC 4034 6.2 with the record's own TTL. z->wire begins with its owner. */
static int feed(struct zonemd *z, size_t owner_len, uint16_t type, uint32_t ttl, const uint8_t *rdata,
		uint16_t len)
{
	uint8_t *p = z->wire + owner_len;

	put_be16(p, type);
	put_be16(p + 2, CLASS_IN);
	put_be32(p + 4, ttl);
	put_be16(p + 8, len);
	rdata_canonical(type, rdata, len, p + RR_FIXED);
	for (unsigned i = 0; i < HASHES; i++)
		if (z->claim[i].ctx != NULL &&
		    EVP_DigestUpdate(z->claim[i].ctx, z->wire, owner_len + RR_FIXED + len) != 1)
			return ZS_ECRYPTO;
	return 0;
}

static size_t put_owner(struct zonemd *z, const uint8_t *owner)
{
	name_copy_lower(z->wire, owner);
	return name_len(owner);
}

static int feed_soa(struct zonemd *z)
{
	if (z->soa_done)
		return 0;
	z->soa_done = true;
	return feed(z, put_owner(z, z->zone), T_SOA, z->soa_ttl, z->soa, z->soa_len);
}

static int take_claim(struct zonemd *z, const struct rr_item *rr)
{
	struct claim *c;
	unsigned pair;

	if (rr->len < RDATA_DIGEST)
		return ZS_EFORMAT;
	pair = be16(rr->data + 4);
	z->twice |= (z->seen[pair / 8] >> pair % 8) & 1;
	z->seen[pair / 8] |= (uint8_t)(1u << pair % 8);
	if (rr->data[4] != SCHEME_SIMPLE || rr->data[5] < 1 || rr->data[5] > HASHES)
		return 0;
	c = &z->claim[rr->data[5] - 1];
	c->claimed = true;
	c->wrong = ZONEMD_VERIFIED;
	if (be32(rr->data) != z->serial)
		c->wrong = ZONEMD_SERIAL;
	else if (rr->len - RDATA_DIGEST != EVP_MD_get_size(hash_of(rr->data[5] - 1u)))
		c->wrong = ZONEMD_LENGTH;
	else
		memcpy(c->digest, rr->data + RDATA_DIGEST, rr->len - RDATA_DIGEST);
	return 0;
}

/* Hashes that can decide nothing are not carried on. */
static void drop_unclaimed(struct zonemd *z)
{
	for (unsigned i = 0; i < HASHES; i++)
		if (z->twice || !z->claim[i].claimed || z->claim[i].wrong != ZONEMD_VERIFIED)
			drop_hash(&z->claim[i]);
}

static int take_rrset(struct zonemd *z, const struct rrset *set)
{
	int err = 0;

	z->have_rrset = true;
	for (uint32_t i = 0; err == 0 && i < set->nrr; i++)
		if (!(set->rr[i].flags & RRI_DUP))
			err = take_claim(z, &set->rr[i]);
	drop_unclaimed(z);
	return err;
}

int zonemd_add(struct zonemd *z, const struct rrset *set)
{
	bool apex = !z->apex_passed && name_eq(set->owner, z->zone);
	size_t n;
	int err = 0;

	if (!apex && !z->apex_passed) {
		z->apex_passed = true;
		err = feed_soa(z);
		drop_unclaimed(z);
	}
	if (apex && set->type >= T_SOA)
		err = feed_soa(z);
	if (err != 0 || (apex && set->type == T_SOA))
		return err;
	if (apex && set->type == T_ZONEMD)
		return take_rrset(z, set);
	if (!is_wanted(z))
		return 0;
	n = put_owner(z, set->owner);
	for (uint32_t i = 0; err == 0 && i < set->nrr; i++) {
		const struct rr_item *rr = &set->rr[i];

		if (rr->flags & RRI_DUP)
			continue;
		if (apex && set->type == T_RRSIG && rr->len >= 2 && be16(rr->data) == T_ZONEMD)
			continue;
		err = feed(z, n, set->type, rr->ttl, rr->data, rr->len);
	}
	return err;
}

static int judge(struct claim *c, enum zonemd_result *out)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len;

	*out = c->wrong;
	if (c->wrong != ZONEMD_VERIFIED)
		return 0;
	if (EVP_DigestFinal_ex(c->ctx, digest, &len) != 1)
		return ZS_ECRYPTO;
	if (CRYPTO_memcmp(digest, c->digest, len) != 0)
		*out = ZONEMD_MISMATCH;
	return 0;
}

int zonemd_end(struct zonemd *z, enum zonemd_result *out)
{
	enum zonemd_result worst = ZONEMD_UNSUPPORTED, r;
	int err = feed_soa(z); /* an apex with nothing behind the SOA's place */

	if (err == 0 && (!z->have_rrset || z->twice)) {
		*out = z->have_rrset ? ZONEMD_TWICE : ZONEMD_ABSENT;
		return 0;
	}
	for (unsigned i = 0; err == 0 && i < HASHES; i++) {
		if (!z->claim[i].claimed)
			continue;
		err = judge(&z->claim[i], &r);
		if (err == 0 && r == ZONEMD_VERIFIED) {
			*out = r;
			return 0;
		}
		if (err == 0 && r > worst)
			worst = r;
	}
	if (err == 0)
		*out = worst;
	return err;
}
