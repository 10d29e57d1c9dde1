/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone's META record: u8 format, u32 CRC-32C over the format octet and everything behind the CRC, then
 * fields of u8 tag, u16 length, value, tags rising. One table drives both directions, so that a field cannot
 * be written and not read. A missing field keeps its default, zero. Called by seal, gate and app through a kv
 * handle.
 */
#include "store/meta.h"

#include <stddef.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "dns/schema.h"

#define META_FORMAT 1
#define META_HEAD 5
#define META_MAX 4096

static const uint8_t meta_key[] = { TAB_META, 'z', 'o', 'n', 'e' };

/* OCTETS: an array with its length field, u8 or u16; TEXT: NUL-terminated inside its array. */
enum kind { FLAG, U8, U16, U32, U64, I64, OCTETS8, OCTETS16, TEXT };

struct field {
	uint8_t tag;
	enum kind kind;
	uint16_t at;
	uint16_t size;
	uint16_t len_at;
};

#define SIZE(member) sizeof(((struct zmeta *)0)->member)
#define F(tag, kind, member) { tag, kind, offsetof(struct zmeta, member), SIZE(member), 0 }
#define FO(tag, kind, member, len) \
	{ tag, kind, offsetof(struct zmeta, member), SIZE(member), offsetof(struct zmeta, len) }

/* Tags are on disk: never reused, rising. */
static const struct field fields[] = {
	FO(1, OCTETS8, zone, zone_len),
	F(2, U32, signed_serial),
	F(3, FLAG, have_upstream),
	F(4, U32, upstream_serial),
	FO(5, OCTETS16, upstream_soa, upstream_soa_len),
	F(6, U32, upstream_soa_ttl),
	F(7, I64, upstream_checked),
	F(8, I64, transferred),
	F(9, I64, signed_at),
	F(10, I64, published),
	F(11, FLAG, is_signed),
	F(12, U8, denial),
	F(13, FLAG, opt_out),
	F(14, U8, nsec3_set),
	F(15, U16, nsec3_iterations),
	FO(16, OCTETS8, salt, salt_len),
	F(17, U64, records),
	F(18, U64, rrsets),
	F(19, U64, signatures),
	F(20, U64, cuts),
	F(21, U64, next_seq),
	F(22, I64, last_inception),
	F(23, U32, largest_ttl),
	F(24, U32, held_serial),
	F(25, U8, held_reason),
	F(26, FLAG, held),
	F(27, TEXT, content_policy),
	F(28, U64, octets),
};
#define FIELDS (sizeof fields / sizeof fields[0])

static uint32_t meta_crc(const uint8_t *rec, size_t len)
{
	return crc32c(crc32c(0, rec, 1), rec + META_HEAD, len - META_HEAD);
}

/* --- numbers of the struct, by size --------------------------------------------------------------------- */

static uint64_t load(const void *at, size_t size)
{
	uint64_t v64;
	uint32_t v32;
	uint16_t v16;

	switch (size) {
	case 1:
		return *(const uint8_t *)at;
	case 2:
		memcpy(&v16, at, 2);
		return v16;
	case 4:
		memcpy(&v32, at, 4);
		return v32;
	default:
		memcpy(&v64, at, 8);
		return v64;
	}
}

static void keep(void *at, size_t size, uint64_t v)
{
	uint32_t v32 = (uint32_t)v;
	uint16_t v16 = (uint16_t)v;
	uint8_t v8 = (uint8_t)v;

	memcpy(at, size == 1 ? &v8 : size == 2 ? (void *)&v16 : size == 4 ? (void *)&v32 : (void *)&v, size);
}

/* --- one field ------------------------------------------------------------------------------------------ */

static size_t field_len(const struct field *f, const uint8_t *m)
{
	switch (f->kind) {
	case OCTETS8:
		return load(m + f->len_at, 1);
	case OCTETS16:
		return load(m + f->len_at, 2);
	case TEXT:
		return strnlen((const char *)m + f->at, f->size - 1u);
	default:
		return f->size;
	}
}

static void put_field(const struct field *f, const uint8_t *m, struct wr *w)
{
	size_t len = field_len(f, m);
	uint64_t v;

	if (len > f->size) {
		w->err = ZS_EINVAL;
		return;
	}
	wr_u8(w, f->tag);
	wr_u16(w, (uint16_t)len);
	if (f->kind >= OCTETS8) {
		wr_bytes(w, m + f->at, len);
		return;
	}
	v = f->kind == FLAG ? *(const bool *)(m + f->at) : load(m + f->at, len);
	for (size_t i = len; i--;)
		wr_u8(w, (uint8_t)(v >> (8 * i)));
}

static int get_field(const struct field *f, const uint8_t *val, size_t len, uint8_t *m)
{
	uint64_t v = 0;

	if (len > f->size || (f->kind < OCTETS8 && len != f->size))
		return ZS_EFORMAT;
	if (f->kind >= OCTETS8) {
		if (f->kind == TEXT && (len == f->size || memchr(val, 0, len)))
			return ZS_EFORMAT;
		memcpy(m + f->at, val, len);
		if (f->kind != TEXT)
			keep(m + f->len_at, f->kind == OCTETS8 ? 1 : 2, len);
		return 0;
	}
	for (size_t i = 0; i < len; i++)
		v = v << 8 | val[i];
	if (f->kind == FLAG && v > 1)
		return ZS_EFORMAT;
	keep(m + f->at, len, v);
	return 0;
}

/* --- the record ----------------------------------------------------------------------------------------- */

void zmeta_encode(const struct zmeta *m, struct wr *out)
{
	size_t at = out->len;

	wr_u8(out, META_FORMAT);
	wr_u32(out, 0);
	for (size_t i = 0; i < FIELDS; i++)
		put_field(&fields[i], (const uint8_t *)m, out);
	if (!out->err)
		wr_put_u32(out, at + 1, meta_crc(out->p + at, out->len - at));
}

static const struct field *field_of(uint8_t tag)
{
	for (size_t i = 0; i < FIELDS; i++)
		if (fields[i].tag == tag)
			return &fields[i];
	return NULL;
}

int zmeta_decode(struct zmeta *m, const uint8_t *val, size_t vlen)
{
	struct zmeta got;
	struct rd r = rd_init(val, vlen);
	int last = 0, rc = 0;

	if (vlen < META_HEAD || be32(val + 1) != meta_crc(val, vlen))
		return ZS_ECRC;
	if (rd_u8(&r) != META_FORMAT)
		return ZS_EVERSION;
	rd_u32(&r);
	memset(&got, 0, sizeof got);
	while (!rc && rd_left(&r)) {
		uint8_t tag = rd_u8(&r);
		uint16_t len = rd_u16(&r);
		const uint8_t *p = rd_bytes(&r, len);
		const struct field *f = field_of(tag);

		if (r.err)
			rc = ZS_EFORMAT;
		else if (!f)
			rc = ZS_EVERSION;
		else
			rc = tag <= last ? ZS_EFORMAT : get_field(f, p, len, (uint8_t *)&got);
		last = tag;
	}
	if (!rc)
		*m = got;
	return rc;
}

int zmeta_get(struct kv *kv, struct zmeta *m)
{
	struct kv_item it;
	int rc = kv_get(kv, meta_key, sizeof meta_key, &it);

	return rc ? rc : zmeta_decode(m, it.val, it.vlen);
}

int zmeta_put(struct kv *kv, const struct zmeta *m)
{
	uint8_t rec[META_MAX];
	struct wr w = wr_fixed(rec, sizeof rec);

	if (!kv->ops->put)
		return ZS_EPERM;
	zmeta_encode(m, &w);
	return w.err ? w.err : kv_put(kv, meta_key, sizeof meta_key, rec, w.len);
}
