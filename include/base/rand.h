/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small seeded generator for jitter and tests (splitmix64/xorshift family): repeatable, not for secrets.
 * Layers that must be pure take a struct prng from their caller. rand_bytes() is the system's, for the mains,
 * vault and net only.
 */
#ifndef ZONESEAL_BASE_RAND_H
#define ZONESEAL_BASE_RAND_H

#include <stddef.h>
#include <stdint.h>

struct prng { uint64_t s; };
static inline struct prng prng_seed(uint64_t seed) { return (struct prng){ .s = seed }; }
uint64_t prng_u64(struct prng *p);
/* Uniform in 0..max, both ends included. */
uint64_t prng_upto(struct prng *p, uint64_t max);
/* Uniform in 0..max from a hash of the octets and seed: the same input gives the same answer. */
uint64_t prng_hash_upto(uint64_t seed, const void *data, size_t len, uint64_t max);

int rand_bytes(void *dst, size_t len);

#endif
