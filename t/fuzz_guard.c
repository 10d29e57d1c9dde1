/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The guard on any octets: first octet: role and algorithm, second and third: the tag, then the message. */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "fuzz.h"
#include "vault/guard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t algorithms[] = { 8, 10, 13, 14, 15, 16 };
	struct keymap_line l = {
		.zone = "\7example", .zone_len = 9, .max_validity = 14 * 86400, .has_pub = true
	};
	struct keymap map = { .line = &l, .n = 1 }; /* without its index */
	enum guard_reason why;

	if (len < 3)
		return 0;
	l.role = (enum key_role)(data[0] % 3 + ROLE_KSK);
	l.algorithm = algorithms[data[0] / 3 % sizeof(algorithms)];
	why = guard_check(&l, be16(data + 1), &map, data + 3, len - 3);
	if (why >= GUARD_REASONS || !*guard_reason_text(why))
		abort();
	/* what is accepted can be read back: head, signer, at least one record of the zone */
	if (why == GUARD_OK && (len < 3 + 18 + 9 + 9 + 10 || memcmp(data + 3 + 18, l.zone, l.zone_len) != 0))
		abort();
	guard_check_now(data + 3, len - 3, WALL(1800000000));
	return 0;
}
