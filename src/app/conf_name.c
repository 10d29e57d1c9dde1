/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Domain names of the configuration: presentation form (RFC 1035 section 5.1, with or without the final dot)
 * to lower-case wire and normal text, by the functions of the dns layer. Text beyond ASCII is never guessed
 * at: it is refused, and the message carries the A-label form to copy (RFC 5890, RFC 3492). Called by
 * conf_type.c.
 */
#include <stdio.h>
#include <string.h>
#include "conf_priv.h"

/* Parameters of RFC 3492 section 5. */
enum {
	PUNY_BASE = 36, PUNY_TMIN = 1, PUNY_TMAX = 26, PUNY_SKEW = 38, PUNY_DAMP = 700,
	PUNY_BIAS = 72, PUNY_N = 128,
};

static uint32_t puny_adapt(uint32_t delta, uint32_t points, bool first)
{
	uint32_t k = 0;

	delta = first ? delta / PUNY_DAMP : delta / 2;
	delta += delta / points;
	for (; delta > (PUNY_BASE - PUNY_TMIN) * PUNY_TMAX / 2; k += PUNY_BASE)
		delta /= PUNY_BASE - PUNY_TMIN;
	return k + (PUNY_BASE - PUNY_TMIN + 1) * delta / (delta + PUNY_SKEW);
}

static char puny_digit(uint32_t d)
{
	return (char)(d < 26 ? 'a' + d : '0' + (d - 26));
}

/* One delta as a variable-length integer (section 3.3). */
static size_t puny_put(char *out, uint32_t q, uint32_t bias)
{
	size_t n = 0;

	for (uint32_t k = PUNY_BASE;; k += PUNY_BASE) {
		uint32_t t = k <= bias ? PUNY_TMIN : k >= bias + PUNY_TMAX ? PUNY_TMAX : k - bias;

		if (q < t)
			break;
		out[n++] = puny_digit(t + (q - t) % (PUNY_BASE - t));
		q = (q - t) / (PUNY_BASE - t);
	}
	out[n++] = puny_digit(q);
	return n;
}

static uint32_t lowest_from(const uint32_t *in, size_t n, uint32_t from)
{
	uint32_t m = UINT32_MAX;

	for (size_t i = 0; i < n; i++)
		if (in[i] >= from && in[i] < m)
			m = in[i];
	return m;
}

/* At most 63 points, so nothing here overflows 32 bits. out takes 63 * 8 octets. */
static size_t puny_encode(const uint32_t *in, size_t n, char *out)
{
	uint32_t next = PUNY_N, delta = 0, bias = PUNY_BIAS;
	size_t len = 0, done, basic;

	for (size_t i = 0; i < n; i++)
		if (in[i] < PUNY_N)
			out[len++] = (char)in[i];
	basic = done = len;
	if (basic)
		out[len++] = '-';
	while (done < n) {
		uint32_t m = lowest_from(in, n, next);

		delta += (m - next) * (uint32_t)(done + 1);
		next = m;
		for (size_t i = 0; i < n; i++) {
			if (in[i] < next)
				delta++;
			if (in[i] != next)
				continue;
			len += puny_put(out + len, delta, bias);
			bias = puny_adapt(delta, (uint32_t)(done + 1), done == basic);
			delta = 0;
			done++;
		}
		delta++;
		next++;
	}
	return len;
}

/* Lower case where it is regular: ASCII, Latin-1, Greek, Cyrillic. For a suggestion that is enough. */
static uint32_t fold(uint32_t c)
{
	if ((c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0xde && c != 0xd7) || (c >= 0x391 && c <= 0x3a9) ||
	    (c >= 0x410 && c <= 0x42f))
		return c + 0x20;
	return c >= 0x400 && c <= 0x40f ? c + 0x50 : c;
}

/* The text is valid UTF-8 already: libyaml checked it. */
static const char *utf8_next(const char *s, uint32_t *c)
{
	uint8_t b = (uint8_t)*s++;
	unsigned more = b < 0x80 ? 0 : b < 0xe0 ? 1 : b < 0xf0 ? 2 : 3;

	*c = more ? b & (0x3fu >> more) : b;
	for (; more && ((uint8_t)*s & 0xc0) == 0x80; more--)
		*c = *c << 6 | ((uint8_t)*s++ & 0x3f);
	return s;
}

static bool is_dot(uint32_t c)
{
	return c == '.' || c == 0x3002 || c == 0xff0e || c == 0xff61; /* RFC 3490 section 3.1 */
}

/* The name with every U-label as A-label; false when it does not fit. */
static bool to_alabels(const char *s, char *out, size_t cap)
{
	uint32_t label[63];
	char puny[63 * 8];
	size_t at = 0;

	while (*s) {
		size_t n = 0, len;
		bool ascii = true;
		uint32_t c = 0;

		while (*s && (s = utf8_next(s, &c), !is_dot(c))) {
			if (n == 63)
				return false;
			label[n++] = fold(c);
			ascii = ascii && c < 0x80;
			c = 0;
		}
		len = puny_encode(label, n, puny);
		len -= ascii && n; /* all basic: drop the delimiter */
		if (len + 6 > cap - at)
			return false;
		at += (size_t)snprintf(out + at, cap - at, "%s%.*s%s", ascii ? "" : "xn--", (int)len, puny,
				       is_dot(c) ? "." : "");
	}
	return at > 0;
}

bool conf_name_parse(const char *text, struct conf_name *out, char *why, size_t whylen)
{
	char alabels[1024];
	size_t len;

	for (const char *s = text; *s; s++) {
		if (!((uint8_t)*s & 0x80))
			continue;
		if (to_alabels(text, alabels, sizeof(alabels)))
			snprintf(why, whylen, "must be written in ASCII: \"%s\"", alabels);
		else
			snprintf(why, whylen, "must be written in ASCII (A-labels, xn--...)");
		return false;
	}
	if (!*text || name_from_text(text, out->wire, &len) < 0) {
		snprintf(why, whylen, "is no domain name: labels have 1 to 63 octets, a name at most 255, "
				      "and escapes are \\DDD or \\ and a character");
		return false;
	}
	out->len = (uint8_t)len;
	name_lower(out->wire);
	name_to_text(out->wire, out->text);
	return true;
}
