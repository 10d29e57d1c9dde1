/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Opening a zone: what is stored is served at once, with no transfer, no signature and every key store
 * switched off. The key-state text counts only for what a damaged generation lost; it is read first because
 * it also holds keys of a zone that was never built.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "faultmark.h"
#include "dns/schema.h"
#include "held.h"
#include "zone.h"

#define KEYSTATE_MAX (1u << 20)

struct open_job {
	struct zone *zone;
	int err;
	struct store *store;
	enum store_health health;
	struct pub *pub;
	struct zmeta meta;
	int64_t earliest;
	uint64_t version;
	struct keyset keys;
	bool have_text, text_damaged;
	int damage;          /* why the generation is set aside */
	char aside[64];      /* and as what */
	int keys_damage;     /* its key state alone */
	bool restored;
	bool marked;         /* it was found damaged before the start */
	struct held held;
	struct orders orders; bool orders_lost;
};

static void read_keystate(struct open_job *j)
{
	char *text = NULL;
	size_t len = 0;
	int err = fs_read_checked(store_keystate_path(j->store), KEYSTATE_MAX, &text, &len);

	if (!err)
		err = keyset_parse(text, len, &j->keys);
	j->have_text = !err;
	j->text_damaged = err && err != ZS_ENOENT;
	free(text);
}

/* An intact generation alone counts: its copy of the key state replaces the text's. */
static void read_generation_keys(struct open_job *j)
{
	struct kv *kv = NULL;
	struct keyset ks;
	int err;

	if (!j->pub || j->pub->open(j->pub->source, &kv) != 0)
		return;
	err = keystate_get(kv, &ks);
	if (damage_is(err))
		j->keys_damage = err;
	/* a generation that was made unsigned knows no keys: those of the text are newer */
	if (!err && (ks.n > 0 || !j->have_text)) {
		if (j->have_text && j->keys.have_ceiling) {
			ks.have_ceiling = true;
			ks.serial_ceiling = j->keys.serial_ceiling;
		}
		j->keys = ks;
	}
	kv_close(kv);
}

/* META or the apex cannot be read: nothing of it can be served, and the zone goes on without it. */
static void read_version(struct open_job *j)
{
	uint8_t *wire = j->zone->wire;

	j->pub = publish_prepare(j->store, wire, &j->meta, &j->earliest, &j->err);
	if (!damage_is(j->err) || j->err == ZS_EVERSION) /* that is META's: a newer writer's, untouched */
		return;
	j->damage = j->err;
	j->err = store_set_aside(j->store);
	j->health = STORE_DAMAGED;
}

static void open_done(void *arg);

static void open_run(void *arg)
{
	struct open_job *j = arg;
	struct zone *z = j->zone;
	int err;

	fault_zone(z->wire);
	j->damage = ZS_ECRC;
	j->err = store_open(z->e->dir, z->wire, &j->store, &j->health);
	if (!j->err) {
		read_keystate(j);
		held_read(j->store, &j->held);
		j->orders_lost = orders_read(j->store, &j->orders) != 0;
		if (j->health == STORE_READY)
			read_version(j);
		read_generation_keys(j);
		store_aside_name(j->store, j->aside, sizeof(j->aside));
		j->marked = store_is_damaged(j->store);
		j->restored = store_is_restored(j->store);
		if (j->pub)
			j->version = snap_version(j->pub->source);
	}
	if (!j->err && (err = keying_register(z, &j->keys)))
		log_msg(LL_WARN, "keys", z->name, "the key register lacks keys of this zone: %s",
			zs_strerror(err));
	mailbox_post(z->e->home, open_done, j);
}

static void adopt(struct zone *z, struct open_job *j)
{
	z->store = j->store;
	z->keys = j->keys;
	z->restored = j->restored;
	if (z->restored)
		log_msg(LL_NOTICE, "zone", z->name,
			"event=restored: from a backup; secondaries may have newer versions");
	z->orders = j->orders;
	z->resign_last = UINT64_MAX;
	if (j->orders_lost)
		orders_hold(z, "zoneseald", "the text of its orders is damaged: look at what was ordered");
	if (j->held.set && j->held.conf == held_conf(z->conf)) {
		z->held = true;
		z->held_serial = j->held.serial;
		z->held_vetoes = j->held.vetoes;
		z->held_retry = j->held.retry;
		memcpy(z->held_reason, j->held.reason, sizeof(z->held_reason));
	}
	if (z->held || z->orders.hold)
		held_alarm(z);
	if (j->health == STORE_DAMAGED)
		zone_damaged_aside(z, j->damage, j->aside);
	if (j->text_damaged)
		zone_alarm_set(z, ALARM_STORE, "the key-state text is damaged%s",
			       j->pub ? ": rewritten with the next change" : "");
	/* with neither home of the key state nobody knows which keys the world holds: no new ones are made */
	z->keys_lost = !j->have_text && (j->pub ? j->meta.is_signed && !j->keys.n
						: j->health == STORE_DAMAGED || j->text_damaged);
	if (z->keys_lost)
		zone_alarm_set(z, ALARM_SIGNING,
			       "the key state is lost: the zone is held until its key state is restored or "
			       "the zone is purged");
	if (j->health != STORE_READY && j->have_text && j->keys.have_ceiling)
		downstream_raise_floor(z, j->keys.serial_ceiling, "key-state ceiling");
	if (z->state == ZONE_CLOSED) {
		zone_dispose(z, (void (*)(void *))pub_unref, j->pub);
	} else if (j->pub) {
		z->version = j->version;
		publish_swap(z, j->pub, &j->meta, j->earliest);
		log_msg(LL_INFO, "zone", z->name, "event=opened serial=%u upstream=%u: served from the store",
			j->pub->serial, j->meta.upstream_serial);
		if (j->keys_damage)
			zone_damaged(z, j->keys_damage, "the key state");
		else if (j->marked)
			zone_damaged(z, ZS_ECRC, "its mark");
	} else {
		log_msg(LL_INFO, "zone", z->name, "event=opened: nothing stored yet");
	}
}

static void over_done(void *arg)
{
	zone_job_end(arg);
}

static void over_run(void *arg)
{
	struct zone *z = arg;
	int err = store_restored_over(z->store);

	if (err) /* costs the same care at the next start */
		log_msg(LL_WARN, "zone", z->name, "the mark of a restored zone stays: %s", zs_strerror(err));
	mailbox_post(z->e->home, over_done, z);
}

void zone_restored_over(struct zone *z)
{
	if (!z->restored)
		return;
	z->restored = false;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_NORMAL, over_run, z) != 0)
		zone_job_end(z);
}

static void retry_open(void *arg)
{
	zone_open_start(arg);
}

static void open_done(void *arg)
{
	struct open_job *j = arg;
	struct zone *z = j->zone;

	if (j->err == ZS_EEXIST && z->e->zombies) { /* perhaps its own: it left the config just now */
		if (!z->gone && z->state == ZONE_OPENING)
			timer_set(z->e->timers, &z->retry_timer, MONO_MS(100), retry_open, z);
	} else if (j->err) {
		zone_alarm_set(z, ALARM_STORE, "cannot be opened: %s", zs_strerror(j->err));
		pub_unref(j->pub);
		store_close(j->store);
		if (!z->gone && z->state == ZONE_OPENING)
			timer_set(z->e->timers, &z->retry_timer, MONO_S(30), retry_open, z);
	} else {
		adopt(z, j);
		zone_event(z, EV_OPENED);
	}
	free(j);
	zone_job_end(z);
}

void zone_open_start(struct zone *z)
{
	struct open_job *j;

	if (z->e->purging) {
		timer_set(z->e->timers, &z->retry_timer, MONO_MS(50), retry_open, z);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (j)
		j->zone = z;
	zone_job_begin(z);
	if (!j || pool_post(z->e->workers, POOL_URGENT, open_run, j) != 0) {
		free(j);
		zone_alarm_set(z, ALARM_STORE, "out of memory");
		timer_set(z->e->timers, &z->retry_timer, MONO_S(5), retry_open, z);
		zone_job_end(z);
	}
}
