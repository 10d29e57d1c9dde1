/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bounded readers and writers. Invariants: a reader's p never passes end; a writer's len never passes cap;
 * the first error stays and nothing is read or written after it. Every parser and builder of outside octets
 * goes through these.
 */
#include "base/buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define WR_FIRST 256u /* octets of a growing writer's first block */

const uint8_t *rd_bytes(struct rd *r, size_t len)
{
	static const uint8_t empty[1];
	const uint8_t *p = r->p;

	if (r->err)
		return NULL;
	if (rd_left(r) < len) {
		r->err = ZS_ETRUNC;
		return NULL;
	}
	if (len == 0)
		return p ? p : empty;
	r->p += len;
	return p;
}

uint8_t rd_u8(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 1);

	return p ? *p : 0;
}

uint16_t rd_u16(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 2);

	return p ? be16(p) : 0;
}

uint32_t rd_u32(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 4);

	return p ? be32(p) : 0;
}

uint64_t rd_u64(struct rd *r)
{
	const uint8_t *p = rd_bytes(r, 8);

	return p ? be64(p) : 0;
}

int rd_done(const struct rd *r)
{
	if (r->err)
		return r->err;
	return rd_left(r) ? ZS_EFORMAT : 0;
}

void wr_free(struct wr *w)
{
	size_t max = w->max;

	free(w->p);
	*w = wr_growing(max);
}

static int grow(struct wr *w, size_t need)
{
	size_t cap = w->cap ? w->cap : WR_FIRST;
	uint8_t *p;

	if (w->max == 0)
		return ZS_EFULL;
	if (need > w->max)
		return ZS_ELIMIT;
	while (cap < need)
		cap = cap > w->max / 2 ? w->max : cap * 2;
	if (cap > w->max)
		cap = w->max;
	p = realloc(w->p, cap);
	if (!p)
		return ZS_ENOMEM;
	w->p = p;
	w->cap = cap;
	return 0;
}

uint8_t *wr_space(struct wr *w, size_t len)
{
	uint8_t *p;

	if (w->err)
		return NULL;
	if (w->cap - w->len < len || !w->p) {
		if (len > SIZE_MAX - w->len)
			w->err = w->max ? ZS_ELIMIT : ZS_EFULL;
		else
			w->err = grow(w, w->len + len);
		if (w->err)
			return NULL;
	}
	p = w->p + w->len;
	w->len += len;
	return p;
}

void wr_bytes(struct wr *w, const void *p, size_t len)
{
	uint8_t *d;

	if (len == 0)
		return;
	d = wr_space(w, len);
	if (d)
		memcpy(d, p, len);
}

void wr_u8(struct wr *w, uint8_t v)
{
	uint8_t *d = wr_space(w, 1);

	if (d)
		*d = v;
}

void wr_u16(struct wr *w, uint16_t v)
{
	uint8_t *d = wr_space(w, 2);

	if (d)
		put_be16(d, v);
}

void wr_u32(struct wr *w, uint32_t v)
{
	uint8_t *d = wr_space(w, 4);

	if (d)
		put_be32(d, v);
}

void wr_u64(struct wr *w, uint64_t v)
{
	uint8_t *d = wr_space(w, 8);

	if (d)
		put_be64(d, v);
}

/* After an error the place may never have been written: then there is nothing to overwrite. */
void wr_printf(struct wr *w, const char *fmt, ...)
{
	char text[WR_TEXT];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	if (n < 0 || (size_t)n >= sizeof text)
		w->err = w->err ? w->err : ZS_ELIMIT;
	else
		wr_bytes(w, text, (size_t)n);
}

void wr_put_u16(struct wr *w, size_t at, uint16_t v)
{
	if (w->err)
		return;
	assert(w->len >= 2 && at <= w->len - 2);
	put_be16(w->p + at, v);
}

void wr_put_u32(struct wr *w, size_t at, uint32_t v)
{
	if (w->err)
		return;
	assert(w->len >= 4 && at <= w->len - 4);
	put_be32(w->p + at, v);
}
