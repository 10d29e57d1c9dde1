/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Domain names in uncompressed wire form (RFC 1035 3.1) and their order keys.
 *
 * Order key (ARCHITECTURE "Names and order"): labels from the root down, lower-cased, octet 00 -> 01 01,
 * 01 -> 01 02, each label ended by 00; the root has the empty key. Keys compare with memcmp (shorter first)
 * in RFC 4034 6.1 canonical order, are injective and are prefixes of their descendants' keys. libknot's
 * knot_dname_cmp()/knot_dname_lf() confuse NUL octets in labels with label ends and are never used.
 */
#ifndef ZONESEAL_DNS_NAME_H
#define ZONESEAL_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NAME_MAX_WIRE 255
#define NAME_MAX_TEXT 1025 /* every octet as \DDD, dots, final NUL */
#define OKEY_MAX 504       /* order key of the worst 255-octet name */

/* Length of a well-formed uncompressed name at wire (final root label included). */
size_t name_len(const uint8_t *wire);
/* 0 when exactly len octets are one well-formed uncompressed name; ZS_EFORMAT, ZS_ETRUNC. */
int name_check(const uint8_t *wire, size_t len);
/* Labels without the root. */
unsigned name_labels(const uint8_t *wire);
/* Lower-cases ASCII in place / into dst (room: name_len). */
void name_lower(uint8_t *wire);
void name_copy_lower(uint8_t *dst, const uint8_t *wire);
bool name_eq(const uint8_t *a, const uint8_t *b); /* ASCII case-insensitive */
/* name equals zone or is below it. */
bool name_within(const uint8_t *name, const uint8_t *zone);
bool name_is_wildcard(const uint8_t *name); /* leftmost label is `*` */

/* Presentation form to wire; relative names are absolute here. RFC 1035 5.1 escapes. ZS_EFORMAT. */
int name_from_text(const char *text, uint8_t out[static NAME_MAX_WIRE], size_t *len);
/* Absolute presentation form with final dot; returns buf. */
char *name_to_text(const uint8_t *wire, char buf[static NAME_MAX_TEXT]);

/* Returns the length of the order key written to out. */
size_t name_okey(const uint8_t *wire, uint8_t out[static OKEY_MAX]);
/* Lower-case name of an order key; ZS_EFORMAT when it is none. *len: wire length. */
int name_from_okey(const uint8_t *okey, size_t klen, uint8_t out[static NAME_MAX_WIRE], size_t *len);
/* Length of the order key of the parent name (one label less); okey must not be the root's. */
size_t okey_parent(const uint8_t *okey, size_t klen);
unsigned okey_labels(const uint8_t *okey, size_t klen);
/* a's name equals b's or is below it. */
static inline bool okey_within(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	return alen >= blen && __builtin_memcmp(a, b, blen) == 0;
}
int okey_cmp(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen);

/* Reads a possibly compressed name of a message at *pos, advances *pos behind it. Pointers must go backwards;
 * bounded. ZS_EFORMAT, ZS_ETRUNC. */
int name_unpack(const uint8_t *msg, size_t msglen, size_t *pos, uint8_t out[static NAME_MAX_WIRE],
		size_t *len);

#endif
