/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ways to compute a CRC-32C, each callable by name: crc.c chooses one, the tests compare them. */
#ifndef ZONESEAL_SRC_BASE_CRC_IMPL_H
#define ZONESEAL_SRC_BASE_CRC_IMPL_H

#include <stddef.h>
#include <stdint.h>

/* Both work on the inverted register: crc32c() inverts before and after. */
uint32_t crc32c_table(uint32_t reg, const uint8_t *p, size_t len);
/* Nonzero when the processor has the instruction; crc32c_hw() may be called only then. */
int crc32c_hw_present(void);
uint32_t crc32c_hw(uint32_t reg, const uint8_t *p, size_t len);

#endif
