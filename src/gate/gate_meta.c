/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads of META what the gate needs, from the descriptions in src/store/meta.c and src/store/history.c: the
 * SOA as upstream has it, and the totals of history. Called for what a version says of itself.
 */
#include "base/crc.h"
#include "gate_impl.h"

#define META_FORMAT 1
#define TOTALS_FORMAT 1
#define TOTALS_LEN 48

enum { TAG_SOA = 5, TAG_SOA_TTL = 6 };

/* Behind format and CRC; false: none, or damaged. */
static bool read_meta(struct gjob *j, struct kv *kv, const uint8_t *key, size_t klen, uint8_t format,
		      struct rd *r)
{
	struct kv_item it;
	uint32_t crc;

	if (!gjob_get(j, kv, key, klen, &it))
		return false;
	*r = rd_init(it.val, it.vlen);
	if (rd_u8(r) != format)
		return false;
	crc = rd_u32(r);
	return !r->err && crc32c(crc32c(0, it.val, 1), r->p, rd_left(r)) == crc;
}

bool gmeta_soa(struct gjob *j, struct kv *kv, const uint8_t **data, size_t *len, uint32_t *ttl)
{
	static const uint8_t key[] = { IN_META, 'z', 'o', 'n', 'e' };
	struct rd r;

	*data = NULL;
	*len = 0;
	*ttl = 0;
	if (!read_meta(j, kv, key, sizeof key, META_FORMAT, &r))
		return false;
	while (!r.err && rd_left(&r)) {
		uint8_t tag = rd_u8(&r);
		uint16_t n = rd_u16(&r);
		const uint8_t *p = rd_bytes(&r, n);

		if (p && tag == TAG_SOA) {
			*data = p;
			*len = n;
		}
		if (p && tag == TAG_SOA_TTL && n == 4)
			*ttl = be32(p);
	}
	return !r.err && *len;
}

bool gmeta_totals(struct gjob *j, uint8_t table, struct gtotals *out)
{
	static const uint8_t key[] = { IN_META, 'h', 'i', 's', 't', 'o', 'r', 'y' };
	struct kv_item it;
	struct rd r;

	*out = (struct gtotals){ 0 };
	if (!gjob_get(j, j->kv, key, sizeof key, &it))
		return j->err == 0;
	if (!read_meta(j, j->kv, key, sizeof key, TOTALS_FORMAT, &r))
		return false;
	for (uint8_t t = IN_HISTORY; !r.err && t <= table; t += IN_USERDIFF - IN_HISTORY) {
		if (rd_u8(&r) != (t == IN_HISTORY ? 1 : 2) || rd_u16(&r) != TOTALS_LEN)
			return false;
		out->entries = rd_u64(&r);
		rd_u64(&r); /* octets */
		rd_u64(&r); /* since */
		out->oldest = rd_u64(&r);
		out->newest = rd_u64(&r);
		rd_u64(&r); /* looked */
	}
	return !r.err;
}
