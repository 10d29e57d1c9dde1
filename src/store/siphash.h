/* SPDX-License-Identifier: GPL-3.0-or-later */
/* SipHash-2-4 with 128 bits of output (Aumasson, Bernstein 2012). */
#ifndef ZONESEAL_STORE_SIPHASH_H
#define ZONESEAL_STORE_SIPHASH_H

#include <stddef.h>
#include <stdint.h>

void siphash128(const uint8_t key[static 16], const uint8_t *src, size_t len, uint8_t out[static 16]);

#endif
