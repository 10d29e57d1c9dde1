/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The message guard: reads what a key is asked to sign and refuses what is not a well-formed RRSIG input for
 * that very key (RFC 4034 3.1.8.1, 6.2; RFC 4035 2.2). Own wire parser, no DNS library: it runs in the vault.
 */
#ifndef ZONESEAL_VAULT_GUARD_H
#define ZONESEAL_VAULT_GUARD_H

#include "base/clk.h"
#include "vault/keymap.h"

enum guard_reason {
	GUARD_OK, GUARD_SHORT, GUARD_TRAILING, GUARD_ZONE, GUARD_ROLE, GUARD_TAG, GUARD_ALGORITHM,
	GUARD_VALIDITY, GUARD_LABELS, GUARD_TTL, GUARD_ORDER, GUARD_CANONICAL, GUARD_OWNER, GUARD_TYPE,
	GUARD_FOREIGN_DNSKEY, GUARD_NO_LINE, GUARD_CLASS, GUARD_REASONS
};
const char *guard_reason_text(enum guard_reason r);

/*
 * line: the key's. tag: key tag of the key's DNSKEY with its role's flags. map: every line of this key store
 * (DNSKEY RRsets may contain these public keys of that zone only). GUARD_OK or why not.
 */
enum guard_reason guard_check(const struct keymap_line *line, uint16_t tag, const struct keymap *map,
			      const uint8_t *tbs, size_t len);
/*
 * The second half of "too long a validity": a window of legal length that lies in the future would be a
 * signature put by for later. Inception at most GUARD_AHEAD seconds after now. For input that passed
 * guard_check().
 */
#define GUARD_AHEAD 3600
enum guard_reason guard_check_now(const uint8_t *tbs, size_t len, wall_t now);

#endif
