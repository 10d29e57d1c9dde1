/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs keys_step(): intents become durable (key register, then key-state text) before the parent is asked to
 * have a key made, and a key counts only when its public half is durable too. Key stores that are away are
 * asked again with the zone's back-off; keys are never made because existing ones are not visible.
 */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/rand.h"
#include "dns/schema.h"
#include "ipc.h"
#include "zone.h"

#define COLLISIONS_MAX 8 /* in a row: one in 65,536 each */

/* Ordinary versions do not touch the text. */
#define CEILING_STEP 1000

struct keying_job {
	struct zone *zone;
	struct keyset next;
	bool register_keys;
	int err;
};

int keystate_save(struct store *s, const struct keyset *ks)
{
	char *text = NULL;
	size_t len = 0;
	int err = keyset_text(ks, &text, &len);

	if (!err)
		err = fs_replace_checked(store_keystate_path(s), text, len, 0600);
	free(text);
	return err;
}

int keystate_ceiling(struct store *s, struct keyset *ks, uint32_t serial)
{
	if (ks->have_ceiling && serial_cmp(serial, ks->serial_ceiling) != SERIAL_GT)
		return 0;
	ks->have_ceiling = true;
	ks->serial_ceiling = serial + CEILING_STEP;
	return keystate_save(s, ks);
}

/* META "keystate": u8 format, u32 CRC of the text, the text. */
#define KEYSTATE_FORMAT 1
#define KEYSTATE_HEAD 5

int keystate_put(struct kv *kv, const struct keyset *ks)
{
	struct wr w = wr_growing(1 << 20);
	uint8_t key[KEY_MAX];
	char *text = NULL;
	size_t len = 0;
	int err = keyset_text(ks, &text, &len);

	if (!err) {
		wr_u8(&w, KEYSTATE_FORMAT);
		wr_u32(&w, crc32c(0, text, len));
		wr_bytes(&w, text, len);
		err = w.err ? w.err : kv_put(kv, key, key_meta(key, "keystate"), w.p, w.len);
	}
	wr_free(&w);
	free(text);
	return err;
}

int keystate_get(struct kv *kv, struct keyset *ks)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int err = kv_get(kv, key, key_meta(key, "keystate"), &it);

	if (err)
		return err;
	if (it.vlen < KEYSTATE_HEAD || it.val[0] != KEYSTATE_FORMAT ||
	    be32(it.val + 1) != crc32c(0, it.val + KEYSTATE_HEAD, it.vlen - KEYSTATE_HEAD))
		return ZS_ECRC;
	return keyset_parse((const char *)it.val + KEYSTATE_HEAD, it.vlen - KEYSTATE_HEAD, ks);
}

static int register_key(struct keyreg *r, const struct zone *z, const struct zone_key *k)
{
	struct keyreg_entry en;

	memset(&en, 0, sizeof(en));
	memcpy(en.id, k->id, sizeof(en.id));
	memcpy(en.keystore, k->keystore, sizeof(en.keystore));
	memcpy(en.zone, z->wire, z->wire_len);
	en.zone_len = z->wire_len;
	en.role = (uint8_t)k->use;
	en.algorithm = k->algorithm;
	en.created = k->created;
	return keyreg_put(r, &en);
}

/*
 * A register that could not be opened, or that failed, is opened (again) when it is needed next: full disks
 * and bad writes pass, and after a failed meta write LMDB's environment is of no more use. A damaged one
 * stays an error.
 */
int keying_with_register(struct engine *e, int (*fn)(struct keyreg *r, void *ctx), void *ctx)
{
	int err;

	pthread_mutex_lock(&e->reg_lock);
	err = e->reg ? 0 : keyreg_open(e->dir, &e->reg);
	if (!err)
		err = fn(e->reg, ctx);
	if (err && e->reg) {
		keyreg_close(e->reg);
		e->reg = NULL;
	}
	pthread_mutex_unlock(&e->reg_lock);
	return err;
}

static int put_all(struct keyreg *r, void *ctx)
{
	const struct keying_job *j = ctx;
	int err = 0;

	for (unsigned i = 0; !err && i < j->next.n; i++)
		err = register_key(r, j->zone, &j->next.key[i]);
	return err;
}

struct put_back { const struct zone *zone; const struct keyset *keys; };

static int put_missing(struct keyreg *r, void *ctx)
{
	const struct put_back *p = ctx;
	int err = 0;

	for (unsigned i = 0; !err && i < p->keys->n; i++) {
		err = keyreg_has(r, p->keys->key[i].id, p->zone->wire, p->zone->wire_len);
		if (err == ZS_ENOENT || err == ZS_ECRC)
			err = register_key(r, p->zone, &p->keys->key[i]);
	}
	return err;
}

int keying_register(const struct zone *z, const struct keyset *ks)
{
	struct put_back p = { z, ks };

	return ks->n ? keying_with_register(z->e, put_missing, &p) : 0;
}

static void save_done(void *arg)
{
	struct keying_job *j = arg;
	struct zone *z = j->zone;

	if (j->err) {
		zone_alarm_set(z, ALARM_STORE, "key state cannot be written: %s", zs_strerror(j->err));
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
	} else {
		z->keys = j->next;
		if (z->state == ZONE_KEYS)
			keying_run(z);
	}
	free(j);
	zone_job_end(z);
}

static void save_run(void *arg)
{
	struct keying_job *j = arg;

	j->err = j->register_keys ? keying_with_register(j->zone->e, put_all, j) : 0;
	if (!j->err)
		j->err = keystate_save(j->zone->store, &j->next);
	mailbox_post(j->zone->e->home, save_done, j);
}

static void save(struct zone *z, const struct keyset *next, bool register_keys)
{
	struct keying_job *j = calloc(1, sizeof(*j));

	if (!j) {
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
		return;
	}
	j->zone = z;
	j->next = *next;
	j->register_keys = register_keys;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_URGENT, save_run, j) != 0) {
		j->err = ZS_ENOMEM;
		save_done(j);
	}
}

static void generated(void *ctx, int result, const uint8_t *pub, size_t len)
{
	struct zone *z = ctx;
	struct keyset next = z->keys;
	unsigned which = z->gen_wait - 1;
	bool collision = false;

	z->gen_wait = 0;
	if (!result) {
		result = len <= KEY_PUB_MAX ? key_set_public(&next, which, pub, (uint16_t)len) : ZS_EFORMAT;
		collision = result == ZS_EKEY && z->collisions++ < COLLISIONS_MAX;
	}
	if (collision && rand_bytes(next.key[which].id, sizeof(next.key[which].id)) == 0) {
		/* the tag of another key (G18): this object stays unused, another id gets another key */
		log_msg(LL_WARN, "keys", z->name, "event=tag-collision: another key is generated");
		save(z, &next, true);
	} else if (result) {
		zone_alarm_set(z, ALARM_SIGNING, "key %u in key store %s cannot be made: %s", which,
			       z->keys.key[which].keystore, zs_strerror(result));
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
	} else {
		log_msg(LL_NOTICE, "keys", z->name,
			"event=generated keytag=%u algorithm=%u role=%s keystore=%s", next.key[which].tag,
			next.key[which].algorithm,
			next.key[which].use == KEY_KSK ? "KSK"
			: next.key[which].use == KEY_ZSK ? "ZSK" : "CSK",
			next.key[which].keystore);
		z->collisions = 0;
		save(z, &next, false);
	}
	zone_job_end(z);
}

static void generate(struct zone *z, unsigned which)
{
	uint8_t data[16 + 1 + NAME_MAX_WIRE + 1];
	struct wr w = wr_fixed(data, sizeof(data));

	wr_bytes(&w, z->keys.key[which].id, 16);
	wr_u8(&w, z->wire_len);
	wr_bytes(&w, z->wire, z->wire_len);
	wr_u8(&w, (uint8_t)z->keys.key[which].use);
	z->gen_wait = which + 1;
	zone_job_begin(z);
	if (w.err || engine_ask(z->e, IPC_GENERATE, data, w.len, generated, z) != 0)
		generated(z, ZS_EVAULT, NULL, 0);
}

static const struct zone_key *any_active(const struct keyset *ks)
{
	for (unsigned i = 0; i < ks->n; i++)
		if (ks->key[i].state == KEY_ACTIVE)
			return &ks->key[i];
	return NULL;
}

struct vclient *keying_vault(struct engine *e, const struct keyset *ks, const struct policy *p)
{
	const struct zone_key *k = any_active(ks);

	return engine_keystore(e, k ? k->keystore : p->keystore);
}

void keying_run(struct zone *z)
{
	uint8_t ids[KEYSET_KEYS_MAX * 16];
	struct keyset next;
	struct keys_step step;
	const char *conflict;

	if (z->gen_wait)
		return;
	if (z->keys_lost) {
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
		return;
	}
	conflict = keyset_policy_conflict(&z->keys, z->conf->policy);
	if (conflict) {
		zone_alarm_set(z, ALARM_SIGNING, "the policy does not fit the zone's keys: %s", conflict);
		/* its stored key set goes on signing; going unsigned is a rollover of its own */
		zone_event(z, zone_is_signed_policy(z) && any_active(&z->keys) ? EV_KEYS_DONE : EV_FAILED);
		return;
	}
	if (!zone_is_signed_policy(z)) {
		zone_event(z, EV_KEYS_DONE);
		return;
	}
	if (rand_bytes(ids, sizeof(ids)) != 0 ||
	    keys_step(&z->keys, z->conf->policy, clk_wall(), ids, &next, &step) != 0) {
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
		return;
	}
	switch (step.action) {
	case KEYS_CREATE:
		save(z, &next, true);
		break;
	case KEYS_GENERATE:
		generate(z, step.which);
		break;
	case KEYS_ACTIVATE:
		save(z, &next, false);
		break;
	default:
		zone_alarm_clear(z, ALARM_SIGNING);
		zone_event(z, EV_KEYS_DONE);
	}
}
