/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone's META record ("zone"): everything of a version that is not a record. Encoded as u8 format, u32
 * CRC, then tagged fields (u8 tag, u16 length, value): unknown tags of a newer minor writer are an error,
 * missing ones take their default.
 */
#ifndef ZONESEAL_STORE_META_H
#define ZONESEAL_STORE_META_H

#include <stdbool.h>
#include "base/buf.h"
#include "base/kv.h"

struct zmeta {
	uint8_t zone[255]; uint8_t zone_len;
	uint32_t signed_serial;
	bool have_upstream;
	uint32_t upstream_serial;
	/* RDATA as received */
	uint8_t upstream_soa[1024]; uint16_t upstream_soa_len; uint32_t upstream_soa_ttl;
	int64_t upstream_checked;     /* wall: last good check with a primary that agrees */
	int64_t transferred, signed_at, published; /* wall */
	bool is_signed;               /* false: policy none */
	uint8_t denial;               /* enum denial */
	bool opt_out; uint8_t nsec3_set; uint16_t nsec3_iterations; uint8_t salt[32]; uint8_t salt_len;
	uint64_t records;             /* upstream's, as received */
	uint64_t octets;              /* of those, as `limits: bytes` counts them */
	uint64_t rrsets, signatures, cuts;
	uint64_t next_seq;            /* of the expiry index */
	int64_t last_inception;       /* guard G15 */
	uint32_t largest_ttl;
	/* remembered upstream serial that is not fetched again */
	uint32_t held_serial; uint8_t held_reason; bool held;
	/* fingerprint of what policy made this generation: "nsec3 1 0 - optout=0 ..." */
	char content_policy[128];
};
void zmeta_encode(const struct zmeta *m, struct wr *out);
int zmeta_decode(struct zmeta *m, const uint8_t *val, size_t vlen);
/* Reads and writes the record through a handle. */
int zmeta_get(struct kv *kv, struct zmeta *m);   /* ZS_ENOENT */
int zmeta_put(struct kv *kv, const struct zmeta *m);

#endif
