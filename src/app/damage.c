/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A generation that opens and has a damaged value. Where META or the apex cannot be read there is nothing to
 * serve: the store sets it aside when the zone is opened (open.c), and the zone goes on as after a damaged
 * file. Where a version is served already it stays, as far as it can be read, and the next one is built from
 * upstream without it, with the same keys and a higher serial; the store keeps the file then. Called on the
 * loop by whoever met the damage: refreshes, builds, transfers out, exports.
 *
 * A disk that damages what is built again and again is not answered by one build after the other: the
 * distance doubles.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "zone.h"

#define STREAK_S 86400 /* damage within this time of the last one is of the same origin */
#define AGAIN_S 60     /* first distance between two rebuilds, doubling */
#define AGAIN_STEPS 6

bool damage_is(int err)
{
	return err == ZS_ECRC || err == ZS_EFORMAT || err == ZS_ETRUNC || err == ZS_EVERSION;
}

struct mark_job { struct zone *zone; uint64_t version; int err; };

static void mark_done(void *arg)
{
	struct mark_job *j = arg;
	struct zone *z = j->zone;

	if (j->err && j->err != ZS_ESTALE) /* it is rebuilt all the same; only a restart forgets it */
		log_msg(LL_WARN, "store", z->name, "the mark of damage is not written: %s",
			zs_strerror(j->err));
	free(j);
	zone_job_end(z);
}

static void mark_run(void *arg)
{
	struct mark_job *j = arg;

	j->err = store_mark_damaged(j->zone->store, j->version);
	mailbox_post(j->zone->e->home, mark_done, j);
}

static void mark(struct zone *z)
{
	struct mark_job *j = calloc(1, sizeof(*j));

	if (!j)
		return;
	j->zone = z;
	j->version = z->version;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_URGENT, mark_run, j) != 0) {
		j->err = ZS_ENOMEM;
		mark_done(j);
	}
}

/* Seconds until the rebuild. */
static int64_t note(struct zone *z, int err, const char *where)
{
	struct zone_damage *d = &z->damage;
	int64_t now = clk_wall().s;

	if (d->at && now - d->at < STREAK_S)
		d->streak += d->streak < AGAIN_STEPS;
	else
		d->streak = 0;
	d->at = now;
	snprintf(d->text, sizeof(d->text), "%s: %s", where, zs_strerror(err));
	atomic_fetch_add(&z->count.damaged, 1);
	return d->streak ? AGAIN_S << (d->streak - 1) : 0;
}

void zone_damaged(struct zone *z, int err, const char *where)
{
	int64_t wait;

	if (z->damaged || !z->store || z->state == ZONE_CLOSED)
		return;
	wait = note(z, err, where);
	z->damaged = z->rebuild = true;
	log_msg(LL_ERR, "store", z->name, "event=damaged version=%llu found-by=%s: %s",
		(unsigned long long)z->version, where, zs_strerror(err));
	zone_alarm_set(z, ALARM_STORE,
		       "the stored generation is damaged (%s): served as far as it can be read, rebuilt from "
		       "upstream",
		       z->damage.text);
	mark(z);
	upstream_schedule(z, wait);
}

void zone_damaged_aside(struct zone *z, int err, const char *file)
{
	note(z, err, "opening");
	snprintf(z->damage.file, sizeof(z->damage.file), "%s", file);
	log_msg(LL_ERR, "store", z->name, "event=damaged found-by=opening file=%s: set aside: %s", file,
		zs_strerror(err));
	zone_alarm_set(z, ALARM_STORE,
		       "the stored generation is damaged (%s): set aside as %s, rebuilt from upstream",
		       z->damage.text, file);
}

void zone_damage_over(struct zone *z, const char *file)
{
	if (!z->damaged)
		return;
	z->damaged = false;
	snprintf(z->damage.file, sizeof(z->damage.file), "%s", file);
	log_msg(LL_NOTICE, "store", z->name, "event=set-aside file=%s: the damaged generation is replaced",
		file);
}
