/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone's META record: any octets, as they are and with a CRC made good; what decodes must come out the
 * same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "fuzz.h"
#include "store/meta.h"

#define HEAD 5

static void try_one(const uint8_t *rec, size_t len)
{
	static uint8_t again[8192];
	struct zmeta m, back;
	struct wr w = wr_fixed(again, sizeof again);

	if (zmeta_decode(&m, rec, len))
		return;
	zmeta_encode(&m, &w);
	if (w.err || zmeta_decode(&back, again, w.len) || memcmp(&m, &back, sizeof m))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *rec;

	try_one(data, len);
	if (len < HEAD)
		return 0;
	rec = malloc(len);
	if (!rec)
		return 0;
	memcpy(rec, data, len);
	put_be32(rec + 1, crc32c(crc32c(0, rec, 1), rec + HEAD, len - HEAD));
	try_one(rec, len);
	free(rec);
	return 0;
}
