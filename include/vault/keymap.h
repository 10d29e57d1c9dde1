/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The keymap: the parent's own file (state-dir/keymap, checksummed text, one line a key). A key without a
 * line does not sign. Lines are added by the parent before a key is generated, and changed by root only.
 * Vaults get the lines of their key store; from them come the key's zone, role, algorithm, longest validity
 * and the public keys that a zone's DNSKEY RRset may contain.
 */
#ifndef ZONESEAL_VAULT_KEYMAP_H
#define ZONESEAL_VAULT_KEYMAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "vault/client.h"

enum key_role { ROLE_KSK = 1, ROLE_ZSK = 2, ROLE_CSK = 3 };

#define PUBKEY_MAX 1032 /* DNSKEY public key field, RSA-8192 never comes near */

struct keymap_line {
	uint8_t id[KEY_ID_LEN];
	char keystore[64];
	uint8_t zone[255]; /* wire, lower case */
	uint8_t zone_len;
	enum key_role role;
	uint8_t algorithm;
	uint16_t bits;               /* RSA */
	int64_t max_validity;        /* seconds; RRSIG expiration - inception may not pass it */
	bool has_pub;                /* false between intent and generation; below: set by keymap_set_pub() */
	uint8_t pub_sha256[32];      /* of the DNSKEY public key field */
	uint16_t tag;                /* key tag of the DNSKEY with its role's flags */
	uint8_t ds_sha256[32];       /* DS digests (RFC 4509, RFC 6605): what a CDS may name */
	uint8_t ds_sha384[48];
};

/*
 * `line` and `n` may be read directly; only keymap_*() functions change them. All zero is an empty map. A map
 * without its index (made by hand) is searched line by line.
 */
struct keymap {
	struct keymap_line *line;
	size_t n;
	size_t cap;
	uint32_t *by_id, *by_zone; /* open hash tables of line numbers + 1 */
	size_t slots;              /* of each table, a power of two */
};

#define KEYMAP_LINES_MAX 1000000

/* ZS_ENOENT: empty map and 0 is the caller's choice */
int keymap_load(const char *path, struct keymap *out);
int keymap_save(const char *path, const struct keymap *m);  /* atomic, durable, checksummed */
void keymap_free(struct keymap *m);                         /* content */
const struct keymap_line *keymap_find(const struct keymap *m, const uint8_t id[KEY_ID_LEN]);
/* Adds or replaces the line with that id. */
int keymap_put(struct keymap *m, const struct keymap_line *line);
int keymap_remove(struct keymap *m, const uint8_t id[KEY_ID_LEN]);
/* Walks the lines of one zone: *at starts with 0; NULL at the end. */
const struct keymap_line *keymap_next_of_zone(const struct keymap *m, const uint8_t *zone, size_t zone_len,
					      size_t *at);
/* Fills in has_pub, the hash, the tag and the DS digests from a DNSKEY public key field.
 * ZS_EINVAL, ZS_ECRYPTO. */
int keymap_set_pub(struct keymap_line *l, const uint8_t *pub, size_t pub_len);
/* Wire name to text with a final dot, RFC 1035 escapes; ZS_EFULL. 1009 octets always do. And back,
 * lower-cased: ZS_EFORMAT. */
#define ZONE_TEXT_MAX 1009
int keymap_zone_text(const uint8_t *zone, size_t zone_len, char *dst, size_t cap);
int keymap_zone_parse(const char *text, uint8_t zone[255], uint8_t *zone_len);
/* One line of text (no newline) and back; ZS_EFORMAT. */
int keymap_line_text(const struct keymap_line *l, char *dst, size_t cap);
int keymap_line_parse(const char *text, struct keymap_line *out);

#endif
