/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Octets to text and back, and the numbers of the config. Pure. Decoders take exactly one spelling apart from
 * letter case and white space where the header says so: a key file that was cut off or edited by accident is
 * refused, not guessed at. Called by the config, the key files, the keymap and the control channel.
 */
#include "base/text.h"

#include <string.h>

#include "base/err.h"

char *text_hex(char *dst, const void *src, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	const uint8_t *s = src;

	for (size_t i = 0; i < len; i++) {
		dst[2 * i] = digits[s[i] >> 4];
		dst[2 * i + 1] = digits[s[i] & 15];
	}
	dst[2 * len] = '\0';
	return dst;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int text_unhex(uint8_t *dst, size_t len, const char *src)
{
	for (size_t i = 0; i < 2 * len; i++)
		if (hex_value(src[i]) < 0) /* stops at the NUL of a short text */
			return ZS_EFORMAT;
	if (src[2 * len] != '\0')
		return ZS_EFORMAT;
	for (size_t i = 0; i < len; i++)
		dst[i] = (uint8_t)(hex_value(src[2 * i]) << 4 | hex_value(src[2 * i + 1]));
	return 0;
}

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *text_b64(char *dst, const void *src, size_t len)
{
	const uint8_t *s = src;
	char *d = dst;

	for (; len > 0; s += 3) {
		size_t n = len < 3 ? len : 3;
		uint32_t v = (uint32_t)s[0] << 16 | (n > 1 ? (uint32_t)s[1] << 8 : 0) | (n > 2 ? s[2] : 0u);

		*d++ = b64_digits[v >> 18];
		*d++ = b64_digits[v >> 12 & 63];
		*d++ = n > 1 ? b64_digits[v >> 6 & 63] : '=';
		*d++ = n > 2 ? b64_digits[v & 63] : '=';
		len -= n;
	}
	*d = '\0';
	return dst;
}

static int b64_value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static int is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

/*
 * One group of four digits, of which the last `pad` were '='. The bits that padding leaves over must be zero
 * (RFC 4648 section 3.5), else two texts would stand for the same octets.
 */
static int b64_group(uint8_t *dst, size_t room, size_t *out, uint32_t v, unsigned pad)
{
	unsigned n = 3 - pad;

	if (v & ((1u << 8 * pad) - 1))
		return ZS_EFORMAT;
	if (room - *out < n)
		return ZS_EFULL;
	for (unsigned i = 0; i < n; i++)
		dst[(*out)++] = (uint8_t)(v >> (16 - 8 * i));
	return 0;
}

int text_unb64(uint8_t *dst, size_t *len, const char *src, size_t srclen)
{
	unsigned digits = 0, pad = 0;
	uint32_t v = 0;
	size_t out = 0;
	int ret;

	for (size_t i = 0; i < srclen; i++) {
		int d;

		if (is_space(src[i]))
			continue;
		d = src[i] == '=' ? -2 : b64_value(src[i]);
		/* a digit after padding, padding in the first half of a group or after the last one */
		if (d == -1 || (d >= 0 && pad) || (d == -2 && digits < 2))
			return ZS_EFORMAT;
		pad += d == -2;
		v = v << 6 | (d >= 0 ? (uint32_t)d : 0);
		if (++digits < 4)
			continue;
		ret = b64_group(dst, *len, &out, v, pad);
		if (ret)
			return ret;
		digits = 0;
		v = 0;
	}
	if (digits)
		return ZS_EFORMAT;
	*len = out;
	return 0;
}

char *text_b32hex(char *dst, const void *src, size_t len)
{
	static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
	const uint8_t *s = src;
	char *d = dst;
	uint32_t acc = 0;
	unsigned bits = 0;

	for (size_t i = 0; i < len; i++) {
		acc = (acc << 8 | s[i]) & 0xfff; /* at most 4 bits wait */
		for (bits += 8; bits >= 5; bits -= 5)
			*d++ = digits[acc >> (bits - 5) & 31];
	}
	if (bits)
		*d++ = digits[acc << (5 - bits) & 31];
	*d = '\0';
	return dst;
}

/* Reads digits up to the first other character. ZS_EFORMAT without any, ZS_ELIMIT when it overflows. */
static int read_digits(const char **s, uint64_t *out)
{
	const char *p = *s;
	uint64_t v = 0;

	if (*p < '0' || *p > '9')
		return ZS_EFORMAT;
	for (; *p >= '0' && *p <= '9'; p++) {
		unsigned d = (unsigned)(*p - '0');

		if (v > (UINT64_MAX - d) / 10)
			return ZS_ELIMIT;
		v = v * 10 + d;
	}
	*s = p;
	*out = v;
	return 0;
}

struct unit {
	char letter;
	uint64_t factor;
};

/* A number with at most one unit letter behind it. */
static int read_united(const char *s, const struct unit *units, uint64_t max, uint64_t *out)
{
	uint64_t v, factor = 1;
	int ret;

	ret = read_digits(&s, &v);
	if (ret)
		return ret;
	if (*s) {
		while (units->letter && units->letter != *s)
			units++;
		if (!units->letter || s[1])
			return ZS_EFORMAT;
		factor = units->factor;
	}
	if (v > max / factor)
		return ZS_ELIMIT;
	*out = v * factor;
	return 0;
}

int text_duration(const char *s, int64_t *seconds)
{
	static const struct unit units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 }, { 0, 0 },
	};
	uint64_t v;
	int ret = read_united(s, units, INT64_MAX, &v);

	if (ret == 0)
		*seconds = (int64_t)v;
	return ret;
}

int text_size(const char *s, uint64_t *octets)
{
	static const struct unit units[] = {
		{ 'k', 1u << 10 }, { 'K', 1u << 10 }, { 'M', 1u << 20 }, { 'G', 1u << 30 },
		{ 'T', UINT64_C(1) << 40 }, { 0, 0 },
	};

	return read_united(s, units, UINT64_MAX, octets);
}

int text_u64(const char *s, uint64_t max, uint64_t *out)
{
	static const struct unit none[] = { { 0, 0 } };

	return read_united(s, none, max, out);
}
