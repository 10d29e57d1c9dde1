/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The keys of a zone and what upstream cannot give back (ARCHITECTURE "Key state"): one value, kept as
 * text in two places, the generation's META table and a checksummed file beside it. Pure: time is an
 * argument.
 *
 * Text form: lines "name: value", "key:" lines with space-separated fields (src/keys/keyset.c).
 */
#ifndef ZONESEAL_KEYS_KEYSET_H
#define ZONESEAL_KEYS_KEYSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clk.h"
#include "keys/policy.h"

#define KEYSET_KEYS_MAX 16
#define KEY_PUB_MAX 1032

enum key_use { KEY_KSK = 1, KEY_ZSK = 2, KEY_CSK = 3 };
/* Where a key is in its life. Rollovers (later) add states; the order is stored, append only. */
enum key_state {
	KEY_INTENT,     /* id chosen and durable, not generated yet */
	KEY_READY,      /* generated, public key known, not published */
	KEY_ACTIVE,     /* in DNSKEY and signing */
	KEY_STATES
};
const char *key_state_text(enum key_state s);

struct zone_key {
	uint8_t id[16];              /* CKA_ID */
	char keystore[64];
	enum key_use use;
	uint8_t algorithm;
	uint16_t bits;
	enum key_state state;
	uint8_t pub[KEY_PUB_MAX]; uint16_t pub_len;
	uint16_t tag;
	int64_t created, published, active; /* wall seconds, 0 = not yet */
};

struct keyset {
	struct zone_key key[KEYSET_KEYS_MAX];
	unsigned n;
	/* nothing above it is published before it was raised (text first) */
	uint32_t serial_ceiling; bool have_ceiling;
	/* highest signed serial known to be published, informative */
	uint32_t last_serial; bool have_serial;
	bool first_published;                       /* the first-publication guard has been passed */
	int64_t ds_not_before;                      /* 0 = unknown yet */
};

/*
 * Text on the heap (NUL behind it) and back, exact inverses of each other: a text that keyset_text() would
 * not write is ZS_EFORMAT (the file is damaged), lines and states of a later version are ZS_EVERSION.
 * keyset_text() answers ZS_EINVAL for a keyset that could not be read again. Layout: src/keys/keyset.c.
 */
int keyset_text(const struct keyset *ks, char **out, size_t *len);
int keyset_parse(const char *text, size_t len, struct keyset *out);

/* What must happen next. The caller executes it, makes the outcome durable and steps again. */
enum keys_action {
	KEYS_NOTHING,
	KEYS_CREATE /* add intents in *next, make them durable */,
	KEYS_GENERATE /* key[which] */,
	KEYS_ACTIVATE /* publish and sign with what is ready */
};
struct keys_step { enum keys_action action; unsigned which; int64_t next_time; };
/*
 * (keyset, policy, now) -> keyset', action. new_ids: random octets for key ids (KEYSET_KEYS_MAX * 16), used
 * on KEYS_CREATE. Creates keys only when the keyset has none at all; never because existing ones are not
 * visible. After KEYS_GENERATE the caller does key_set_public() on next; KEYS_ACTIVATE has the new states in
 * next already. next_time: when to step again without an event, INT64_MAX = never. next may be ks.
 * ZS_ECONFIG: key store name.
 */
int keys_step(const struct keyset *ks, const struct policy *p, wall_t now, const uint8_t *new_ids,
	      struct keyset *next, struct keys_step *step);

/* DNSKEY RDATA of a key (flags 257 for KSK and CSK, 256 for ZSK); returns its length. */
uint16_t key_dnskey(const struct zone_key *k, uint8_t out[static KEY_PUB_MAX + 4]);
/*
 * The public key field of a generated key: fills pub and tag, KEY_INTENT becomes KEY_READY. ks is left alone
 * on error: ZS_EKEY when another key of the algorithm in ks has the tag (G18): delete, take another id,
 * generate again; ZS_EFORMAT when it is no public key of the algorithm; ZS_EINVAL when the key has one
 * already.
 */
int key_set_public(struct keyset *ks, unsigned which, const uint8_t *pub, uint16_t len);
bool key_signs_keys(const struct zone_key *k);  /* active and KSK or CSK */
bool key_signs_zone(const struct zone_key *k);
/* DS RDATA (SHA-256, digest type 2; also 4) of a key; RFC 4034 5.1.4. digest_type 2 or 4.
 * Returns length or zs_err. */
int key_ds(const struct zone_key *k, const uint8_t *zone, uint8_t digest_type, uint8_t *out, size_t cap);
/* A policy change that needs rollovers, against an existing keyset:
 * text of the reason or NULL when it is fine. */
const char *keyset_policy_conflict(const struct keyset *ks, const struct policy *p);

#endif
