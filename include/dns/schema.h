/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keys of a generation's one unnamed database. First octet = table; tables stand in the order in which a
 * zone-sized build appends them. Every key stays under LMDB's 511 octets.
 *
 *   META    10 + short ASCII name                        zone meta, key states (values: store/meta.h)
 *   RECORDS 20 + order key + 00 + u16 type               rrval: what upstream sent, and our own at the apex
 *   DENIAL  30 + u8 set + (set 0: order key)             rrval: NSEC of that owner
 *           30 + u8 set + (set 1..255: 20-octet hash)    rrval with SRC: NSEC3 of that hash
 *   EXPIRY  40 + u64 seconds + u64 sequence              u8 format, u32 CRC, then the RECORDS or DENIAL key
 *   HISTORY 50 + u64 version + u32 chunk                 what a version removed and added, with RRSIGs (IXFR)
 *   USERDIFF 60 + u64 version + u32 chunk                upstream's changes, without RRSIGs (diff, rollback)
 */
#ifndef ZONESEAL_DNS_SCHEMA_H
#define ZONESEAL_DNS_SCHEMA_H

#include "dns/name.h"

enum {
	TAB_META = 0x10, TAB_RECORDS = 0x20, TAB_DENIAL = 0x30, TAB_EXPIRY = 0x40, TAB_HISTORY = 0x50,
	TAB_USERDIFF = 0x60
};

#define KEY_MAX 511
#define NSEC3_HASH_LEN 20

/* Each writes a key to out and returns its length. */
size_t key_record(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen, uint16_t type);
/* prefix before all types: table + okey + 00 */
size_t key_owner(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen);
size_t key_nsec(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen);
size_t key_nsec3(uint8_t out[static KEY_MAX], uint8_t set, const uint8_t hash[static NSEC3_HASH_LEN]);
size_t key_expiry(uint8_t out[static KEY_MAX], uint64_t seconds, uint64_t seq);
size_t key_chunk(uint8_t out[static KEY_MAX], uint8_t table, uint64_t version, uint32_t chunk);
size_t key_meta(uint8_t out[static KEY_MAX], const char *name);

/* Parts of a RECORDS key, borrowed; ZS_EFORMAT. */
int key_record_split(const uint8_t *key, size_t klen, const uint8_t **okey, size_t *olen, uint16_t *type);

#endif
