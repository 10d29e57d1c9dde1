/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a secondary sees of a stored RRset. Nothing is allocated: records point into the value. Called by the
 * renderer of transfers and by history.
 */
#include "dns/served.h"

#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "dns/schema.h"

int served_type(const uint8_t *key, size_t klen, uint16_t *type)
{
	const uint8_t *okey;
	size_t n;

	if (klen > 0 && key[0] == TAB_RECORDS)
		return key_record_split(key, klen, &okey, &n, type);
	if (klen < 2 || key[0] != TAB_DENIAL || (key[1] != 0 && klen != 2 + NSEC3_HASH_LEN))
		return ZS_EFORMAT;
	*type = key[1] == 0 ? T_NSEC : T_NSEC3;
	return 0;
}

int served_key(const uint8_t *zone, const uint8_t *key, size_t klen, uint8_t owner[static NAME_MAX_WIRE],
	       uint16_t *type)
{
	size_t zone_len, len;
	int err = served_type(key, klen, type);

	if (err != 0)
		return err;
	if (key[0] == TAB_RECORDS)
		return name_from_okey(key + 1, klen - 4, owner, &len);
	if (key[1] == 0)
		return name_from_okey(key + 2, klen - 2, owner, &len);
	zone_len = name_len(zone);
	if (zone_len > NAME_MAX_WIRE - 33)
		return ZS_EFORMAT;
	owner[0] = 32;
	text_b32hex((char *)owner + 1, key + 2, NSEC3_HASH_LEN); /* its NUL is overwritten */
	memcpy(owner + 33, zone, zone_len);
	return 0;
}

bool served_next(struct rrval *v, uint16_t type, struct rr *out, bool *sig)
{
	struct rr_item item;
	struct sig_item s;

	out->class = CLASS_IN;
	while (rrval_rr(v, &item)) {
		if (item.flags & RRI_DUP)
			continue;
		out->type = type;
		/* `pass`: what one owner has of RRSIGs are RRsets by type covered, not one */
		out->ttl = type == T_RRSIG ? item.ttl : v->ttl;
		out->rdata = item.data;
		out->rdlen = item.len;
		*sig = false;
		return true;
	}
	if (!rrval_sig(v, &s))
		return false;
	out->type = T_RRSIG;
	out->ttl = v->ttl;
	out->rdata = s.data;
	out->rdlen = s.len;
	*sig = true;
	return true;
}
