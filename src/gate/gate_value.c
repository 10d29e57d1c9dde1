/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Takes stored values apart: the form "rrval 1" and the values of EXPIRY, from their description and not from
 * the code that writes them. A value that parsed is sound in every length: gval_rr() and gval_sig() only fail
 * at the end. Pure. Called by everything in the gate that looks at a value.
 */
#include <string.h>

#include "base/crc.h"
#include "gate_impl.h"

#define VALUE_FORMAT 1
#define EXPIRY_FORMAT 1
#define SIGS_MAX 16

static bool rr_read(struct rd *r, struct grr *out)
{
	out->ttl = rd_u32(r);
	out->flags = rd_u8(r);
	out->len = rd_u16(r);
	out->data = rd_bytes(r, out->len);
	return !r->err;
}

bool gval_rr(struct gval *v, struct grr *out)
{
	return rd_left(&v->rrs) && rr_read(&v->rrs, out);
}

bool gval_sig(struct gval *v, const uint8_t **data, uint16_t *len)
{
	if (!rd_left(&v->sigs))
		return false;
	*len = rd_u16(&v->sigs);
	*data = rd_bytes(&v->sigs, *len);
	return !v->sigs.err;
}

static int read_owner(struct gval *v, struct rd *r)
{
	v->owner_len = rd_u8(r);
	v->owner = rd_bytes(r, v->owner_len);
	if (r->err || gwire_len(v->owner, v->owner + v->owner_len) != v->owner_len || !v->owner_len)
		return ZS_EFORMAT;
	return 0;
}

/* Steps over the records; the flags of the value must agree with theirs. */
static int read_records(struct gval *v, struct rd *r)
{
	const uint8_t *start;
	bool dup = false;

	v->nrr = rd_u16(r);
	start = r->p;
	for (unsigned i = 0; i < v->nrr; i++) {
		struct grr rr;

		if (!rr_read(r, &rr) || rr.flags & ~RF_DUP || (i == 0 && rr.flags & RF_DUP))
			return ZS_EFORMAT;
		dup |= rr.flags & RF_DUP;
	}
	if (r->err || !v->nrr || dup != !!(v->flags & VF_DUP))
		return ZS_EFORMAT;
	v->rrs = rd_init(start, (size_t)(r->p - start));
	return 0;
}

static int read_sigs(struct gval *v, struct rd *r)
{
	const uint8_t *start;

	v->nsig = rd_u8(r);
	start = r->p;
	for (unsigned i = 0; i < v->nsig; i++)
		rd_bytes(r, rd_u16(r));
	if (r->err || v->nsig > SIGS_MAX)
		return ZS_EFORMAT;
	v->sigs = rd_init(start, (size_t)(r->p - start));
	if (v->nsig) {
		v->exp_time = rd_u64(r);
		v->exp_seq = rd_u64(r);
	}
	return 0;
}

int gval_parse(struct gval *v, const uint8_t *val, size_t len)
{
	struct rd r = rd_init(val, len);
	uint8_t format = rd_u8(&r);
	uint32_t crc = rd_u32(&r);

	memset(v, 0, sizeof *v);
	if (r.err)
		return ZS_EFORMAT;
	if (format != VALUE_FORMAT)
		return ZS_EVERSION;
	if (crc32c(0, r.p, rd_left(&r)) != crc)
		return ZS_ECRC;
	v->flags = rd_u8(&r);
	v->ttl = rd_u32(&r);
	if (v->flags & ~VF_ALL)
		return ZS_EFORMAT;
	if (v->flags & VF_OWNER && read_owner(v, &r))
		return ZS_EFORMAT;
	if (v->flags & VF_SRC) {
		v->src_len = rd_u16(&r);
		v->src = rd_bytes(&r, v->src_len);
	}
	if (r.err || read_records(v, &r) || read_sigs(v, &r))
		return ZS_EFORMAT;
	return rd_done(&r) ? ZS_EFORMAT : 0;
}

int gval_expiry(const uint8_t *val, size_t len, const uint8_t **key, size_t *klen)
{
	struct rd r = rd_init(val, len);
	uint8_t format = rd_u8(&r);
	uint32_t crc = rd_u32(&r);

	if (r.err)
		return ZS_EFORMAT;
	if (format != EXPIRY_FORMAT)
		return ZS_EVERSION;
	*klen = rd_left(&r);
	*key = rd_bytes(&r, *klen);
	return crc32c(0, *key, *klen) == crc ? 0 : ZS_ECRC;
}
