/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Public keys as DNSKEY public key fields (RSA RFC 3110, ECDSA RFC 6605, EdDSA RFC 8080) and as OpenSSL keys,
 * and signatures in their DNSSEC wire form. Pure functions; any thread.
 */
#ifndef ZONESEAL_VAULT_PUB_H
#define ZONESEAL_VAULT_PUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <openssl/types.h>

bool pub_alg_known(uint8_t alg);
bool pub_alg_rsa(uint8_t alg);
bool pub_alg_ecdsa(uint8_t alg);
bool pub_alg_eddsa(uint8_t alg);
/* RSA, ECDSA: the digest's OpenSSL name; NULL for EdDSA. */
const char *pub_alg_digest(uint8_t alg);
/* ECDSA: octets of one coordinate; EdDSA: of the public key. 0 for RSA. */
size_t pub_alg_size(uint8_t alg);
/* Octets of a signature; 0 for RSA, where the modulus says it. */
size_t pub_alg_sig_len(uint8_t alg);

int pub_hash(const uint8_t *pub, size_t len, uint8_t sha256[32]);
uint16_t pub_tag(uint16_t flags, uint8_t alg, const uint8_t *pub, size_t len);
/* DS digests of owner | flags | 3 | alg | pub (RFC 4034 5.1.4). */
int pub_ds(const uint8_t *owner, size_t owner_len, uint16_t flags, uint8_t alg, const uint8_t *pub,
	   size_t len, uint8_t sha256[32], uint8_t sha384[48]);

/* *len: room, then octets. ZS_EKEY when the key does not fit the algorithm, ZS_EFULL. */
int pub_from_pkey(const EVP_PKEY *pkey, uint8_t alg, uint8_t *pub, size_t *len);
/* Modulus and exponent, big-endian; leading zeros are stripped (a token may give them). */
int pub_from_rsa(const uint8_t *n, size_t n_len, const uint8_t *e, size_t e_len, uint8_t *pub, size_t *len);
/* The point or key in one of the forms tokens use: raw, DER OCTET STRING or BIT STRING around it; EC points
 * also compressed. Checked to lie on the curve. */
int pub_from_point(uint8_t alg, const uint8_t *p, size_t p_len, uint8_t *pub, size_t *len);
int pub_to_pkey(uint8_t alg, const uint8_t *pub, size_t len, EVP_PKEY **out);
/* 0, ZS_EBADSIG, ZS_ECRYPTO. sig in DNSSEC wire form. */
int pub_verify(EVP_PKEY *pkey, uint8_t alg, const uint8_t *msg, size_t len, const uint8_t *sig,
	       size_t sig_len);

/* ECDSA-Sig-Value to r|s of 2 * size octets: 0 or ZS_EFORMAT. And back: octets written into der[144]. */
int pub_sig_from_der(const uint8_t *der, size_t len, size_t size, uint8_t *rs);
size_t pub_sig_to_der(const uint8_t *rs, size_t size, uint8_t der[144]);

#endif
