/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any octets as a stored RRset, as they are and with the CRC made right (the first two octets of the input
 * are a type): what decodes is encoded again, and that must decode to the same.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/rrset.h"
#include "fuzz.h"

static void check(int good)
{
	if (!good)
		abort();
}

static void try_value(uint16_t type, const uint8_t *val, size_t len)
{
	static const uint8_t root[] = "";
	struct arena *a = arena_new(0);
	struct wr w = wr_growing(32 << 20), again = wr_growing(32 << 20);
	struct rrset x, y;
	struct rrval v;

	if (a == NULL || rrset_decode(&x, type, NULL, val, len, a) != 0)
		goto out;
	check(rrval_open(&v, val, len) == 0 && v.nrr == x.nrr && v.nsig == x.nsig);
	if (x.owner == NULL)
		x.owner = root;
	rrset_encode(&x, &w);
	check(w.err == 0);
	check(rrset_decode(&y, type, NULL, w.p, w.len, a) == 0);
	if (y.owner == NULL)
		y.owner = x.owner;
	check(name_eq(x.owner, y.owner) && rrset_same_content(&x, &y) && x.nsig == y.nsig);
	rrset_encode(&y, &again);
	check(again.len == w.len && memcmp(again.p, w.p, w.len) == 0);
	wr_free(&again);
	check(rrset_normalise(&y, a) == 0);
	check(rrset_canonical(&y, &again, a) == 0);
out:
	wr_free(&w);
	wr_free(&again);
	arena_free(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t *copy;
	uint16_t type;

	if (len < 8)
		return 0;
	type = be16(data);
	try_value(type, data + 2, len - 2);
	copy = malloc(len - 2);
	if (copy != NULL) {
		memcpy(copy, data + 2, len - 2);
		put_be32(copy + 1, crc32c(0, copy + 5, len - 7));
		try_value(type, copy, len - 2);
	}
	free(copy);
	return 0;
}
