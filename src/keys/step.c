/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The key state machine: (keyset, policy, now) -> keyset', action. It reads no clock and touches no key
 * store; the app executes one action, makes the new keyset durable and steps again, until nothing is left to
 * do:
 *
 *   no keys at all  --CREATE-->  INTENT  --GENERATE, key_set_public()-->  READY  --ACTIVATE-->  ACTIVE
 *
 * The identifiers are durable before anything is generated, so that a crash in between finds the key again by
 * its CKA_ID. Keys are created only for a zone that has none: not being able to see one is no reason to make
 * another.
 */
#include <string.h>

#include "base/err.h"
#include "keys/keyset.h"

#define NEVER INT64_MAX

static uint16_t algorithm_bits(const struct policy *p)
{
	switch (p->algorithm) {
	case ALG_RSASHA256:
	case ALG_RSASHA512:
		return p->rsa_bits;
	case ALG_ECDSAP384:
		return 384;
	case ALG_ED448:
		return 456;
	default:
		return 256;
	}
}

static int add_intent(struct keyset *ks, const struct policy *p, enum key_use use, wall_t now,
		      const uint8_t *new_ids)
{
	struct zone_key *k = &ks->key[ks->n];

	*k = (struct zone_key){
		.use = use,
		.algorithm = p->algorithm,
		.bits = algorithm_bits(p),
		.state = KEY_INTENT,
		.created = now.s,
	};
	if (p->keystore == NULL || p->keystore[0] == '\0' || strlen(p->keystore) >= sizeof(k->keystore))
		return ZS_ECONFIG;
	memcpy(k->id, new_ids + sizeof(k->id) * ks->n, sizeof(k->id));
	strcpy(k->keystore, p->keystore);
	ks->n++;
	return 0;
}

static int create(struct keyset *ks, const struct policy *p, wall_t now, const uint8_t *new_ids)
{
	int ret;

	if (p->keys == KEYS_CSK)
		return add_intent(ks, p, KEY_CSK, now, new_ids);
	ret = add_intent(ks, p, KEY_KSK, now, new_ids);
	return ret == 0 ? add_intent(ks, p, KEY_ZSK, now, new_ids) : ret;
}

/* Index of the first key in that state, or ks->n. */
static unsigned find_state(const struct keyset *ks, enum key_state s)
{
	unsigned i = 0;

	while (i < ks->n && ks->key[i].state != s)
		i++;
	return i;
}

static void activate(struct keyset *ks, wall_t now)
{
	for (unsigned i = 0; i < ks->n; i++) {
		if (ks->key[i].state != KEY_READY)
			continue;
		ks->key[i].state = KEY_ACTIVE;
		ks->key[i].published = now.s;
		ks->key[i].active = now.s;
	}
}

int keys_step(const struct keyset *ks, const struct policy *p, wall_t now, const uint8_t *new_ids,
	      struct keyset *next, struct keys_step *step)
{
	struct keys_step s = { .action = KEYS_NOTHING, .which = 0, .next_time = NEVER };
	struct keyset k = *ks;
	int ret = 0;

	if (p->unsigned_zone) {
		/* nothing is made, and nothing is taken away: going insecure is a rollover */
	} else if (k.n == 0) {
		ret = create(&k, p, now, new_ids);
		s.action = KEYS_CREATE;
	} else if (find_state(&k, KEY_INTENT) < k.n) {
		s.action = KEYS_GENERATE;
		s.which = find_state(&k, KEY_INTENT);
	} else if (find_state(&k, KEY_READY) < k.n) {
		activate(&k, now);
		s.action = KEYS_ACTIVATE;
	}
	if (ret != 0)
		return ret;
	*next = k;
	*step = s;
	return 0;
}

const char *keyset_policy_conflict(const struct keyset *ks, const struct policy *p)
{
	if (ks->n == 0)
		return NULL;
	if (p->unsigned_zone)
		return "the zone has keys: going insecure is not supported yet";
	for (unsigned i = 0; i < ks->n; i++) {
		const struct zone_key *k = &ks->key[i];

		if (k->algorithm != p->algorithm)
			return "the zone has keys of another algorithm: algorithm rollovers are not "
			       "supported yet";
		if (p->keystore == NULL || strcmp(k->keystore, p->keystore) != 0)
			return "the zone has keys in another key store: moving keys is not supported yet";
		if ((k->use == KEY_CSK) != (p->keys == KEYS_CSK))
			return "the zone has keys in another layout (csk, ksk-zsk): changing it is not "
			       "supported yet";
	}
	return NULL;
}
