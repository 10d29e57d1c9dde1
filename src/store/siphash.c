/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * SipHash-2-4-128 for directory names that get too long. Octets in, octets out: the same on every machine.
 * Called by dir.c.
 */
#include "siphash.h"

#include <string.h>

struct sip { uint64_t a, b, c, d; };

static uint64_t rol(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static uint64_t load_le(const uint8_t *p, size_t len)
{
	uint64_t v = 0;

	for (size_t i = 0; i < len; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void rounds(struct sip *s, unsigned n)
{
	while (n--) {
		s->a += s->b;
		s->c += s->d;
		s->b = rol(s->b, 13) ^ s->a;
		s->d = rol(s->d, 16) ^ s->c;
		s->a = rol(s->a, 32);
		s->c += s->b;
		s->a += s->d;
		s->b = rol(s->b, 17) ^ s->c;
		s->d = rol(s->d, 21) ^ s->a;
		s->c = rol(s->c, 32);
	}
}

static void absorb(struct sip *s, uint64_t m)
{
	s->d ^= m;
	rounds(s, 2);
	s->a ^= m;
}

static void squeeze(struct sip *s, uint8_t *out)
{
	uint64_t v;

	rounds(s, 4);
	v = s->a ^ s->b ^ s->c ^ s->d;
	for (unsigned i = 0; i < 8; i++)
		out[i] = (uint8_t)(v >> (8 * i));
}

void siphash128(const uint8_t key[static 16], const uint8_t *src, size_t len, uint8_t out[static 16])
{
	uint64_t k0 = load_le(key, 8), k1 = load_le(key + 8, 8), last = (uint64_t)(len & 0xff) << 56;
	struct sip s = { k0 ^ 0x736f6d6570736575, k1 ^ 0x646f72616e646f6d ^ 0xee, k0 ^ 0x6c7967656e657261,
			 k1 ^ 0x7465646279746573 };

	for (; len >= 8; src += 8, len -= 8)
		absorb(&s, load_le(src, 8));
	absorb(&s, last | load_le(src, len));
	s.c ^= 0xee;
	squeeze(&s, out);
	s.b ^= 0xdd;
	squeeze(&s, out + 8);
}
