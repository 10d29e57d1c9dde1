/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Resource records as values: types, RDATA on the wire, canonical RDATA (RFC 4034 6.2, RFC 6840 5.1). */
#ifndef ZONESEAL_DNS_RR_H
#define ZONESEAL_DNS_RR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	T_A = 1, T_NS = 2, T_CNAME = 5, T_SOA = 6, T_PTR = 12, T_MX = 15, T_TXT = 16, T_AAAA = 28, T_SRV = 33,
	T_DNAME = 39, T_OPT = 41, T_DS = 43, T_RRSIG = 46, T_NSEC = 47, T_DNSKEY = 48, T_NSEC3 = 50,
	T_NSEC3PARAM = 51, T_CDS = 59, T_CDNSKEY = 60, T_ZONEMD = 63, T_TKEY = 249, T_TSIG = 250,
	T_IXFR = 251, T_AXFR = 252, T_ANY = 255, T_PRIVATE_SIGNING = 65534,
};
#define CLASS_IN 1
#define RDATA_MAX 65535

/* One record; pointers are borrowed. owner: uncompressed wire, original case. */
struct rr {
	const uint8_t *owner;
	uint16_t type;
	uint16_t class;
	uint32_t ttl;
	const uint8_t *rdata;
	uint16_t rdlen;
};

/* OPT, TSIG, TKEY, and all of 128..255 (RFC 6895 3.1): never zone data. */
bool rr_type_is_meta(uint16_t type);
/* "A", "TYPE65280"; buf of RR_TYPE_TEXT octets; returns buf. */
#define RR_TYPE_TEXT 16
char *rr_type_text(uint16_t type, char buf[static RR_TYPE_TEXT]);
int rr_type_from_text(const char *text, uint16_t *out);

/*
 * RDATA out of a message: names of the types that may be compressed are expanded (RFC 3597 4), everything is
 * checked against the type's layout and rdlen must be used up exactly. out: room for RDATA_MAX.
 * ZS_EFORMAT, ZS_ETRUNC, ZS_ELIMIT (expands to more than 65,535).
 */
int rdata_unpack(const uint8_t *msg, size_t msglen, size_t pos, uint16_t rdlen, uint16_t type, uint8_t *out,
		 uint16_t *outlen);
/* Checks uncompressed RDATA against its type's layout. */
int rdata_check(uint16_t type, const uint8_t *rdata, uint16_t len);
/* Canonical form into out (same length, may be rdata itself). */
void rdata_canonical(uint16_t type, const uint8_t *rdata, uint16_t len, uint8_t *out);
/* True when the canonical form of this type folds case of names in RDATA. */
bool rdata_folds_case(uint16_t type);
/* memcmp order of canonical octets, shorter first (RFC 4034 6.3). */
int rdata_cmp(const uint8_t *a, uint16_t alen, const uint8_t *b, uint16_t blen);
/* The same order over RDATA as stored, without copies: 0 = a duplicate by canonical RDATA. */
int rdata_cmp_canonical(uint16_t type, const uint8_t *a, uint16_t alen, const uint8_t *b, uint16_t blen);
/* Presentation form of RDATA through libknot, RFC 3597 form when that fails.
 * dst of cap octets; length or ZS_EFULL. */
int rdata_text(uint16_t type, const uint8_t *rdata, uint16_t len, char *dst, size_t cap);

/* Fields of SOA RDATA (checked): offsets of the five numbers from the end. */
struct soa { uint32_t serial, refresh, retry, expire, minimum; };
int soa_read(const uint8_t *rdata, uint16_t len, struct soa *out);
void soa_set_serial(uint8_t *rdata, uint16_t len, uint32_t serial);
void soa_set_expire(uint8_t *rdata, uint16_t len, uint32_t expire);

/* RFC 1982. */
enum serial_order { SERIAL_LT, SERIAL_EQ, SERIAL_GT, SERIAL_UNDEF };
enum serial_order serial_cmp(uint32_t a, uint32_t b);

/* RFC 4034 appendix B over DNSKEY RDATA. */
uint16_t dnskey_tag(const uint8_t *rdata, uint16_t len);

#endif
