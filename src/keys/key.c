/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One key as DNS data: its DNSKEY and DS RDATA, its tag, what it signs. A public key is taken as the octets
 * of the DNSKEY public key field (RFC 3110 2, RFC 6605 4, RFC 8080 3) and never changes afterwards. Called by
 * the app, the signer and the recipe; pure but for the digest.
 */
#include <string.h>

#include <openssl/evp.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/rr.h"
#include "keys/keyset.h"

#define DNSKEY_ZONE 0x0100 /* RFC 4034 2.1.1 */
#define DNSKEY_SEP 0x0001
#define DNSKEY_PROTOCOL 3
#define RSA_BITS_MIN 1024

uint16_t key_dnskey(const struct zone_key *k, uint8_t out[static KEY_PUB_MAX + 4])
{
	put_be16(out, k->use == KEY_ZSK ? DNSKEY_ZONE : DNSKEY_ZONE | DNSKEY_SEP);
	out[2] = DNSKEY_PROTOCOL;
	out[3] = k->algorithm;
	memcpy(out + 4, k->pub, k->pub_len);
	return (uint16_t)(k->pub_len + 4);
}

/* RFC 3110 2: exponent length in one octet, or in two behind a 0; no leading zeros in either number. */
static bool rsa_field_fits(const uint8_t *pub, uint16_t len)
{
	struct rd r = rd_init(pub, len);
	const uint8_t *exponent;
	size_t elen = rd_u8(&r);

	if (elen == 0) {
		elen = rd_u16(&r);
		if (elen < 256)
			return false;
	}
	exponent = rd_bytes(&r, elen);
	if (r.err != 0 || elen == 0 || exponent[0] == 0)
		return false;
	return rd_left(&r) >= RSA_BITS_MIN / 8 && r.p[0] != 0;
}

static bool pub_fits(uint8_t algorithm, const uint8_t *pub, uint16_t len)
{
	switch (algorithm) {
	case ALG_RSASHA256:
	case ALG_RSASHA512:
		return rsa_field_fits(pub, len);
	case ALG_ECDSAP256:
		return len == 64;
	case ALG_ECDSAP384:
		return len == 96;
	case ALG_ED25519:
		return len == 32;
	case ALG_ED448:
		return len == 57;
	default:
		return false;
	}
}

int key_set_public(struct keyset *ks, unsigned which, const uint8_t *pub, uint16_t len)
{
	uint8_t rdata[KEY_PUB_MAX + 4];
	struct zone_key k;

	if (which >= ks->n || ks->key[which].state != KEY_INTENT)
		return ZS_EINVAL;
	if (len > KEY_PUB_MAX || !pub_fits(ks->key[which].algorithm, pub, len))
		return ZS_EFORMAT;
	k = ks->key[which];
	memcpy(k.pub, pub, len);
	k.pub_len = len;
	k.tag = dnskey_tag(rdata, key_dnskey(&k, rdata));
	for (unsigned i = 0; i < ks->n; i++)
		if (i != which && ks->key[i].pub_len > 0 && ks->key[i].algorithm == k.algorithm &&
		    ks->key[i].tag == k.tag)
			return ZS_EKEY;
	k.state = KEY_READY;
	ks->key[which] = k;
	return 0;
}

bool key_signs_keys(const struct zone_key *k)
{
	return k->state == KEY_ACTIVE && (k->use == KEY_KSK || k->use == KEY_CSK);
}

bool key_signs_zone(const struct zone_key *k)
{
	return k->state == KEY_ACTIVE && (k->use == KEY_ZSK || k->use == KEY_CSK);
}

/* RFC 4034 5.1.4: digest over the owner in canonical form and the DNSKEY RDATA. */
int key_ds(const struct zone_key *k, const uint8_t *zone, uint8_t digest_type, uint8_t *out, size_t cap)
{
	uint8_t input[NAME_MAX_WIRE + KEY_PUB_MAX + 4];
	size_t nlen = name_len(zone), dlen;
	const char *digest;

	if (k->pub_len == 0)
		return ZS_EKEY;
	switch (digest_type) {
	case 2:
		digest = "SHA256";
		dlen = 32;
		break;
	case 4:
		digest = "SHA384";
		dlen = 48;
		break;
	default:
		return ZS_EINVAL;
	}
	if (cap < 4 + dlen)
		return ZS_EFULL;
	name_copy_lower(input, zone);
	if (!EVP_Q_digest(NULL, digest, NULL, input, nlen + key_dnskey(k, input + nlen), out + 4, NULL))
		return ZS_ECRYPTO;
	put_be16(out, k->tag);
	out[2] = k->algorithm;
	out[3] = digest_type;
	return (int)(4 + dlen);
}
