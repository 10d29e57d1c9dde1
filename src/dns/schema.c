/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keys of a generation's database: the one place that builds or splits them. An order key never holds 00
 * but as a label end, so that "order key + 00" sorts an owner's types before its descendants: 00 is below
 * every first octet of a label. Store, seal and app call it; the gate splits keys by itself.
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/schema.h"

size_t key_owner(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen)
{
	out[0] = TAB_RECORDS;
	memcpy(out + 1, okey, klen);
	out[1 + klen] = 0;
	return klen + 2;
}

size_t key_record(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen, uint16_t type)
{
	size_t n = key_owner(out, okey, klen);

	put_be16(out + n, type);
	return n + 2;
}

size_t key_nsec(uint8_t out[static KEY_MAX], const uint8_t *okey, size_t klen)
{
	out[0] = TAB_DENIAL;
	out[1] = 0;
	memcpy(out + 2, okey, klen);
	return klen + 2;
}

size_t key_nsec3(uint8_t out[static KEY_MAX], uint8_t set, const uint8_t hash[static NSEC3_HASH_LEN])
{
	out[0] = TAB_DENIAL;
	out[1] = set;
	memcpy(out + 2, hash, NSEC3_HASH_LEN);
	return 2 + NSEC3_HASH_LEN;
}

size_t key_expiry(uint8_t out[static KEY_MAX], uint64_t seconds, uint64_t seq)
{
	out[0] = TAB_EXPIRY;
	put_be64(out + 1, seconds);
	put_be64(out + 9, seq);
	return 17;
}

size_t key_chunk(uint8_t out[static KEY_MAX], uint8_t table, uint64_t version, uint32_t chunk)
{
	out[0] = table;
	put_be64(out + 1, version);
	put_be32(out + 9, chunk);
	return 13;
}

size_t key_meta(uint8_t out[static KEY_MAX], const char *name)
{
	size_t n = strlen(name);

	if (n > KEY_MAX - 1)
		n = KEY_MAX - 1;
	out[0] = TAB_META;
	memcpy(out + 1, name, n);
	return n + 1;
}

int key_record_split(const uint8_t *key, size_t klen, const uint8_t **okey, size_t *olen, uint16_t *type)
{
	/* table, order key (empty or ended by 00), 00, type */
	if (klen < 4 || klen > OKEY_MAX + 4 || key[0] != TAB_RECORDS || key[klen - 3] != 0)
		return ZS_EFORMAT;
	if (klen > 4 && key[klen - 4] != 0)
		return ZS_EFORMAT;
	*okey = key + 1;
	*olen = klen - 4;
	*type = be16(key + klen - 2);
	return 0;
}
