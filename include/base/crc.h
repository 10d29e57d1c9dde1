/* SPDX-License-Identifier: GPL-3.0-or-later */
/* CRC-32C (Castagnoli, RFC 3720 B.4), hardware where there is some. Start with 0 and chain. */
#ifndef ZONESEAL_BASE_CRC_H
#define ZONESEAL_BASE_CRC_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
