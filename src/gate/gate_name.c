/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names: the wire form, order keys and text. An order key holds the labels from the root down, lower case,
 * octet 00 as 01 01 and 01 as 01 02, each label ended by 00; so a 00 is always the end of a label, and a name
 * is below another when that one's key is a prefix of its own. Pure. Called all over the gate.
 */
#include <stdio.h>
#include <string.h>

#include "gate_impl.h"

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

size_t gwire_len(const uint8_t *p, const uint8_t *end)
{
	const uint8_t *q = p;

	while (q < end && *q) {
		if (*q > 63 || q - p + *q + 1 > GWIRE_MAX - 1)
			return 0;
		q += *q + 1;
	}
	return q < end ? (size_t)(q - p + 1) : 0;
}

/* Over label lengths too: they are below 64 and so never letters. */
void gwire_lower(uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		p[i] = lower(p[i]);
}

int gname_from_wire(const uint8_t *wire, size_t len, struct gname *out)
{
	uint8_t start[128];
	size_t n = 0, at = 0;

	if (!len || gwire_len(wire, wire + len) != len)
		return ZS_EFORMAT;
	for (; wire[at]; at += wire[at] + 1u)
		start[n++] = (uint8_t)at;
	out->len = 0;
	while (n) {
		const uint8_t *label = wire + start[--n];

		for (unsigned i = 1; i <= label[0]; i++) {
			if (label[i] < 2) {
				out->k[out->len++] = 1;
				out->k[out->len++] = (uint8_t)(label[i] + 1);
			} else {
				out->k[out->len++] = lower(label[i]);
			}
		}
		out->k[out->len++] = 0;
	}
	return 0;
}

/* Decodes one label of an order key; returns its length, 0 when it is none. */
static size_t label_decode(const uint8_t *p, const uint8_t *end, uint8_t out[static 63])
{
	size_t n = 0;

	for (; p < end; p++) {
		uint8_t c = *p;

		if (c == 1) {
			if (++p == end || *p < 1 || *p > 2)
				return 0;
			c = (uint8_t)(*p - 1);
		} else if (c == 0 || lower(c) != c) {
			return 0;
		}
		if (n == 63)
			return 0;
		out[n++] = c;
	}
	return n;
}

int gname_to_wire(const uint8_t *k, size_t len, uint8_t out[static GWIRE_MAX], size_t *wlen)
{
	uint8_t buf[GWIRE_MAX];
	size_t at = GWIRE_MAX; /* filled from the end: the root label comes first */

	if (len > GORD_MAX)
		return ZS_EFORMAT;
	buf[--at] = 0;
	for (size_t i = 0; i < len;) {
		uint8_t label[63];
		size_t end = gname_down(k, len, i);
		size_t n = end ? label_decode(k + i, k + end - 1, label) : 0;

		if (!n || at < n + 1)
			return ZS_EFORMAT;
		at -= n + 1;
		buf[at] = (uint8_t)n;
		memcpy(buf + at + 1, label, n);
		i = end;
	}
	*wlen = GWIRE_MAX - at;
	memcpy(out, buf + at, *wlen);
	return 0;
}

unsigned gname_labels(const uint8_t *k, size_t len)
{
	unsigned n = 0;

	for (size_t i = 0; i < len; i++)
		n += k[i] == 0;
	return n;
}

size_t gname_down(const uint8_t *k, size_t len, size_t at)
{
	const uint8_t *z = at < len ? memchr(k + at, 0, len - at) : NULL;

	return z ? (size_t)(z - k) + 1 : 0;
}

size_t gname_common(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t ends = 0;

	for (size_t i = 0; i < alen && i < blen && a[i] == b[i]; i++) {
		if (a[i] == 0)
			ends = i + 1;
	}
	return ends;
}

bool gname_within(const uint8_t *k, size_t len, const uint8_t *top, size_t tlen)
{
	return len >= tlen && (!tlen || !memcmp(k, top, tlen));
}

/* RFC 1035 5.1 escapes; cut off silently where buf ends. */
void gwire_text(const uint8_t *wire, size_t len, char *buf, size_t cap)
{
	size_t n = 0;

	if (len == 1)
		snprintf(buf, cap, ".");
	for (size_t at = 0; at < len && wire[at] && n + 6 < cap; at += wire[at] + 1u) {
		for (unsigned i = 1; i <= wire[at] && n + 6 < cap; i++) {
			uint8_t c = wire[at + i];

			if (c <= 0x20 || c >= 0x7f)
				n += (size_t)snprintf(buf + n, cap - n, "\\%03u", c);
			else if (strchr(".\\\"();@$", c))
				n += (size_t)snprintf(buf + n, cap - n, "\\%c", c);
			else
				buf[n++] = (char)c;
		}
		buf[n++] = '.';
		buf[n] = '\0';
	}
}
