/* SPDX-License-Identifier: GPL-3.0-or-later */
/* RDATA layouts, private to the dns layer: what stands in the RDATA of a type, field by field. */
#ifndef ZONESEAL_DNS_LAYOUT_H
#define ZONESEAL_DNS_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positive: that many octets. */
enum layout_field {
	LF_END = 0,
	LF_CNAME = -1,   /* name of an RFC 1035 type: compressed in messages */
	LF_DNAME = -2,   /* name that is never sent compressed but taken so (RFC 3597 4) */
	LF_NAME = -3,    /* name that must not be compressed */
	LF_STRING = -4,  /* character-string */
	LF_STRINGS = -5, /* one or more of them, to the end */
	LF_REST = -6,    /* anything to the end */
	LF_REST1 = -7,   /* at least one octet to the end */
	LF_BITMAP = -8,  /* type bitmap to the end (RFC 4034 4.1.2) */
	LF_COUNTED = -9, /* u8 length and that many octets */
	LF_HASH = -10,   /* the same, at least one octet */
	LF_PARAMS = -11, /* SvcParams to the end (RFC 9460 2.2) */
	LF_A6 = -12,     /* prefix length, suffix, name if there is a prefix (RFC 2874) */
	LF_GATEWAY = -13 /* IPSECKEY: type, algorithm, gateway of that type (RFC 4025 2.1) */
};

#define LAYOUT_FIELDS 8
struct layout {
	int8_t field[LAYOUT_FIELDS];
	bool folds;      /* canonical form lowers the names (RFC 4034 6.2 as corrected by RFC 6840 5.1) */
	bool compresses; /* the names are LF_CNAME */
};

/* Never NULL: unknown types are LF_REST. */
const struct layout *layout_of(uint16_t type);

/* Names in RDATA whose case is folded; offsets of checked RDATA. How many (0..2). */
struct span { uint16_t at, len; };
#define LAYOUT_SPANS 2
unsigned layout_spans(uint16_t type, const uint8_t *rdata, uint16_t len,
		      struct span out[static LAYOUT_SPANS]);

#endif
