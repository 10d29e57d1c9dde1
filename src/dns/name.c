/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names and order keys. A name is uncompressed wire octets; every function but name_check(),
 * name_from_text(), name_from_okey() and name_unpack() takes it as well-formed. Length octets are at most
 * 63, below 'A', so that folding case over a whole name leaves them alone. Order keys hold 00 only as label
 * ends: 00 -> 01 01 and 01 -> 01 02 keep the order, since every other octet is above 01. Everything that
 * orders or keys names is here.
 */
#include <string.h>

#include "base/err.h"
#include "dns/name.h"

#define LABEL_MAX 63
#define LABELS_MAX 127

static inline uint8_t lower(uint8_t c)
{
	return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

size_t name_len(const uint8_t *wire)
{
	const uint8_t *p = wire;

	while (*p != 0)
		p += 1 + *p;
	return (size_t)(p - wire) + 1;
}

int name_check(const uint8_t *wire, size_t len)
{
	size_t at = 0;

	while (at < len) {
		uint8_t n = wire[at];

		if (n > LABEL_MAX)
			return ZS_EFORMAT;
		at += 1 + (size_t)n;
		if (at > NAME_MAX_WIRE)
			return ZS_EFORMAT;
		if (n == 0)
			return at == len ? 0 : ZS_EFORMAT;
	}
	return ZS_ETRUNC;
}

unsigned name_labels(const uint8_t *wire)
{
	unsigned n = 0;

	for (; *wire != 0; wire += 1 + *wire)
		n++;
	return n;
}

void name_lower(uint8_t *wire)
{
	name_copy_lower(wire, wire);
}

void name_copy_lower(uint8_t *dst, const uint8_t *wire)
{
	size_t n = name_len(wire);

	for (size_t i = 0; i < n; i++)
		dst[i] = lower(wire[i]);
}

bool name_eq(const uint8_t *a, const uint8_t *b)
{
	size_t n = name_len(a);

	if (name_len(b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (a[i] != b[i] && lower(a[i]) != lower(b[i]))
			return false;
	return true;
}

bool name_within(const uint8_t *name, const uint8_t *zone)
{
	unsigned have = name_labels(name), want = name_labels(zone);

	if (have < want)
		return false;
	for (; have > want; have--)
		name += 1 + *name;
	return name_eq(name, zone);
}

bool name_is_wildcard(const uint8_t *name)
{
	return name[0] == 1 && name[1] == '*';
}

/* One octet of presentation form at *s, escapes undone; 1, or 0 when the escape is malformed. */
static int text_octet(const char **s, uint8_t *out)
{
	const uint8_t *p = (const uint8_t *)*s;
	unsigned v;

	if (*p <= 0x20 || *p >= 0x7f)
		return 0;
	if (*p != '\\') {
		*out = *p;
		*s += 1;
		return 1;
	}
	p++;
	if (*p < '0' || *p > '9') {
		if (*p < 0x20 || *p >= 0x7f)
			return 0;
		*out = *p;
		*s += 2;
		return 1;
	}
	if (p[1] < '0' || p[1] > '9' || p[2] < '0' || p[2] > '9')
		return 0;
	v = (unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
	if (v > 255)
		return 0;
	*out = (uint8_t)v;
	*s += 4;
	return 1;
}

int name_from_text(const char *text, uint8_t out[static NAME_MAX_WIRE], size_t *len)
{
	uint8_t wire[NAME_MAX_WIRE];
	size_t label = 0, at = 1; /* where the length octet of this label is; where its next octet goes */
	uint8_t c;

	if (*text == '\0')
		return ZS_EFORMAT;
	if (strcmp(text, ".") == 0) {
		out[0] = 0;
		*len = 1;
		return 0;
	}
	while (*text != '\0') {
		if (*text == '.') {
			if (at == label + 1 || at >= NAME_MAX_WIRE)
				return ZS_EFORMAT;
			wire[label] = (uint8_t)(at - label - 1);
			label = at++;
			text++;
			continue;
		}
		if (!text_octet(&text, &c) || at - label > LABEL_MAX || at >= NAME_MAX_WIRE)
			return ZS_EFORMAT;
		wire[at++] = c;
	}
	if (at > label + 1) { /* no final dot */
		if (at >= NAME_MAX_WIRE)
			return ZS_EFORMAT;
		wire[label] = (uint8_t)(at - label - 1);
		label = at++;
	}
	wire[label] = 0;
	memcpy(out, wire, at);
	*len = at;
	return 0;
}

static char *text_put(char *dst, uint8_t c)
{
	if (c <= 0x20 || c >= 0x7f) {
		*dst++ = '\\';
		*dst++ = (char)('0' + c / 100);
		*dst++ = (char)('0' + c / 10 % 10);
		*dst++ = (char)('0' + c % 10);
		return dst;
	}
	if (strchr(".\\\";()@$", c) != NULL)
		*dst++ = '\\';
	*dst++ = (char)c;
	return dst;
}

char *name_to_text(const uint8_t *wire, char buf[static NAME_MAX_TEXT])
{
	char *dst = buf;

	if (*wire == 0)
		*dst++ = '.';
	while (*wire != 0) {
		for (uint8_t n = *wire++; n > 0; n--)
			dst = text_put(dst, *wire++);
		*dst++ = '.';
	}
	*dst = '\0';
	return buf;
}

size_t name_okey(const uint8_t *wire, uint8_t out[static OKEY_MAX])
{
	uint8_t at[LABELS_MAX];
	unsigned n = 0;
	uint8_t *dst = out;

	for (size_t i = 0; wire[i] != 0 && n < LABELS_MAX; i += 1 + (size_t)wire[i])
		at[n++] = (uint8_t)i;
	while (n > 0) {
		const uint8_t *p = wire + at[--n];

		for (uint8_t left = *p++; left > 0; left--) {
			uint8_t c = lower(*p++);

			if (c <= 1) {
				*dst++ = 1;
				c++;
			}
			*dst++ = c;
		}
		*dst++ = 0;
	}
	return (size_t)(dst - out);
}

/*
 * Undoes one label's escapes into out[1..], length into out[0]; how many octets were written, 0 if
 * malformed.
 */
static size_t okey_label(const uint8_t *p, size_t len, uint8_t *out)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = p[i];

		if (c == 1) {
			if (++i == len || (p[i] != 1 && p[i] != 2))
				return 0;
			c = (uint8_t)(p[i] - 1);
		} else if (lower(c) != c) {
			return 0;
		}
		if (n == LABEL_MAX)
			return 0;
		out[1 + n++] = c;
	}
	out[0] = (uint8_t)n;
	return n > 0 ? n + 1 : 0;
}

int name_from_okey(const uint8_t *okey, size_t klen, uint8_t out[static NAME_MAX_WIRE], size_t *len)
{
	uint8_t wire[NAME_MAX_WIRE], label[LABEL_MAX + 1];
	size_t at = NAME_MAX_WIRE;

	wire[--at] = 0;
	for (size_t i = 0; i < klen;) {
		const uint8_t *end = memchr(okey + i, 0, klen - i);
		size_t n = end ? okey_label(okey + i, (size_t)(end - okey) - i, label) : 0;

		if (n == 0 || n > at)
			return ZS_EFORMAT;
		at -= n;
		memcpy(wire + at, label, n);
		i = (size_t)(end - okey) + 1;
	}
	*len = NAME_MAX_WIRE - at;
	memcpy(out, wire + at, *len);
	return 0;
}

size_t okey_parent(const uint8_t *okey, size_t klen)
{
	if (klen > 0)
		klen--;
	while (klen > 0 && okey[klen - 1] != 0)
		klen--;
	return klen;
}

unsigned okey_labels(const uint8_t *okey, size_t klen)
{
	unsigned n = 0;

	for (size_t i = 0; i < klen; i++)
		n += okey[i] == 0;
	return n;
}

int okey_cmp(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	if (c != 0)
		return c;
	return (alen > blen) - (alen < blen);
}

/*
 * Every pointer must lead in front of the octets that were read so far in this name: it cannot loop, and
 * there are at most 128 hops since each hop of a name within 255 octets either adds a label or is refused.
 */
int name_unpack(const uint8_t *msg, size_t msglen, size_t *pos, uint8_t out[static NAME_MAX_WIRE],
		size_t *len)
{
	uint8_t wire[NAME_MAX_WIRE];
	size_t at = *pos, floor = *pos, behind = 0, n = 0;
	unsigned hops = 0;

	for (;;) {
		uint8_t c;

		if (at >= msglen)
			return ZS_ETRUNC;
		c = msg[at];
		if (c >= 0xc0) {
			size_t to;

			if (at + 1 >= msglen)
				return ZS_ETRUNC;
			to = (size_t)(c & 0x3f) << 8 | msg[at + 1];
			if (behind == 0)
				behind = at + 2;
			if (to >= floor || ++hops > LABELS_MAX + 1)
				return ZS_EFORMAT;
			floor = at = to;
			continue;
		}
		if (c > LABEL_MAX || n + 1 + c > NAME_MAX_WIRE)
			return ZS_EFORMAT;
		if (c >= msglen - at)
			return ZS_ETRUNC;
		memcpy(wire + n, msg + at, 1 + (size_t)c);
		n += 1 + (size_t)c;
		at += 1 + (size_t)c;
		if (c == 0)
			break;
	}
	memcpy(out, wire, n);
	*len = n;
	*pos = behind != 0 ? behind : at;
	return 0;
}
