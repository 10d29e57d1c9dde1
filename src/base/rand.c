/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Repeatable numbers (splitmix64) and the system's random octets. prng_*() are pure functions of their
 * arguments; the pure layers and the tests use them. rand_bytes() is for the mains, vault and net.
 */
#include "base/rand.h"

#include <errno.h>
#include <sys/random.h>

#include "base/err.h"

static uint64_t mix64(uint64_t z)
{
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

uint64_t prng_u64(struct prng *p)
{
	p->s += 0x9e3779b97f4a7c15u;
	return mix64(p->s);
}

uint64_t prng_upto(struct prng *p, uint64_t max)
{
	uint64_t n = max + 1;
	uint64_t skip, v;

	if (n == 0)
		return prng_u64(p);
	skip = (0 - n) % n; /* 2^64 mod n: values below it would favour the small results */
	do
		v = prng_u64(p);
	while (v < skip);
	return v % n;
}

uint64_t prng_hash_upto(uint64_t seed, const void *data, size_t len, uint64_t max)
{
	const uint8_t *d = data;
	uint64_t h = 0xcbf29ce484222325u ^ mix64(seed + 0x9e3779b97f4a7c15u); /* FNV-1a from a seeded start */
	struct prng p;

	for (size_t i = 0; i < len; i++)
		h = (h ^ d[i]) * 0x100000001b3u;
	p = prng_seed(mix64(h ^ len));
	return prng_upto(&p, max);
}

int rand_bytes(void *dst, size_t len)
{
	uint8_t *d = dst;

	while (len > 0) {
		ssize_t n = getrandom(d, len, 0);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return zs_from_errno(errno);
		}
		d += n;
		len -= (size_t)n;
	}
	return 0;
}
