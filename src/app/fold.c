/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * When recent changes go to their place (store/recent.c): a moment after a version was published, in small
 * portions with pauses, so that the next version never waits for more than one of them. Work on a change, or
 * a commit, is waited for a while. Called on the loop when something was published, and at the end of a
 * quarantine; each portion is a job on a worker. Nothing that anybody sees depends on it: until it is done
 * each look at the zone costs a little more, and when it cannot keep up, commits take longer.
 *
 * Of all zones that have something to move one at a time has a portion on its way, in turn, at the lowest
 * priority, and the engine pauses for as long as it took: of a thousand zones that are refreshed at once none
 * waits for others' portions, and the disk is free for half of the time.
 */
#include <stdlib.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "zone.h"

#define BEGIN_MS 200   /* after a version */
#define PORTION 128    /* changes */
#define PORTION_MS 20  /* in which they are read and moved; then it is committed */
#define PAUSE_TIMES 4  /* of the time that a portion took, for its zone; the engine: once */
#define PAUSE_MS 5
#define YIELD_MS 50    /* somebody works on the zone */
#define YIELDS_MAX 40
#define LATER_S 2      /* a transfer has its handle out and the map is full, or a commit was quicker */
#define AGAIN_S 10     /* after a failure */

struct fold_job {
	struct zone *zone;
	uint64_t had, left;
	bool begun;            /* it has what a commit would wait for, since: */
	mono_t since;
	int64_t us;
	int err;
};

static void folder_next(struct engine *e);

static void fold_timer(void *arg)
{
	struct zone *z = arg;

	turns_join(&z->e->folder.turns, &z->fold.turn, z);
	folder_next(z->e);
}

static void arm(struct zone *z, int64_t wait)
{
	timer_set(z->e->timers, &z->fold.timer, wait, fold_timer, z);
}

static void failed(struct zone *z, int err)
{
	if (damage_is(err)) {
		zone_damaged(z, err, "moving recent changes");
		return;
	}
	if (err == ZS_EAGAIN) {
		arm(z, MONO_S(LATER_S));
		return;
	}
	if (err == ZS_EIO)
		zone_work_failed(z, "moving recent changes", err);
	else
		log_limited(LL_WARN, "store", z->name, "fold", 2, "recent changes are not moved yet: %s",
			    zs_strerror(err));
	arm(z, MONO_S(AGAIN_S));
}

static void all_moved(struct zone *z)
{
	if (z->fold.moved)
		log_msg(LL_INFO, "store", z->name, "event=moved octets=%llu",
			(unsigned long long)z->fold.moved);
	z->fold.moved = 0;
}

static void fold_done(void *arg)
{
	struct fold_job *j = arg;
	struct zone *z = j->zone;
	struct engine *e = z->e;

	e->folder.running = z->fold.running = false;
	e->folder.free_at = mono_add(clk_mono(), j->us);
	z->fold.moved += j->had > j->left ? j->had - j->left : 0;
	if (z->state != ZONE_CLOSED) {
		if (j->err)
			failed(z, j->err);
		else if (j->left || z->fold.again)
			arm(z, MONO_MS(PAUSE_MS) + j->us * PAUSE_TIMES);
		else
			all_moved(z);
	}
	folder_next(e);
	zone_job_end(z);
	free(j);
}

/* Worker: a cold disk takes its time for each page. */
static bool is_enough(void *arg)
{
	struct fold_job *j = arg;
	mono_t now = clk_mono();

	if (!j->begun)
		j->since = now;
	j->begun = true;
	return mono_diff(now, j->since) >= MONO_MS(PORTION_MS) || atomic_load(&j->zone->fold.cancelled);
}

static void fold_run(void *arg)
{
	struct fold_job *j = arg;
	mono_t began = clk_mono();

	fault_zone(j->zone->wire);
	if (!atomic_load(&j->zone->fold.cancelled)) {
		j->had = store_recent(j->zone->store);
		j->err = store_fold(j->zone->store, PORTION, is_enough, j, &j->left);
	}
	j->us = mono_diff(clk_mono(), began);
	mailbox_post(j->zone->e->home, fold_done, j);
}

/* Is a version on its way that would have to wait? */
static bool is_busy(const struct zone *z)
{
	return z->committing || z->change_job || z->state != ZONE_IDLE;
}

static void start(struct zone *z)
{
	struct folder *w = &z->e->folder;
	struct fold_job *j = calloc(1, sizeof(*j));

	z->fold.yields = 0;
	z->fold.again = false;
	if (!j) {
		failed(z, ZS_ENOMEM);
		return;
	}
	j->zone = z;
	w->running = z->fold.running = true;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_LOW, fold_run, j) == 0)
		return;
	free(j);
	w->running = z->fold.running = false;
	failed(z, ZS_ENOMEM);
	zone_job_end(z);
}

static void folder_timer(void *arg)
{
	folder_next(arg);
}

static void folder_next(struct engine *e)
{
	struct folder *w = &e->folder;

	while (w->turns.first && !w->running && !e->quitting) {
		int64_t pause = mono_diff(w->free_at, clk_mono());
		struct zone *z;

		if (pause > 0) {
			if (!w->timer.slot)
				timer_set(e->timers, &w->timer, pause, folder_timer, e);
			return;
		}
		z = turns_take(&w->turns);
		if (z->quarantined || zone_is_retired(z))
			continue; /* what is copied into another generation stands in its place */
		if (is_busy(z) && z->fold.yields++ < YIELDS_MAX)
			arm(z, MONO_MS(YIELD_MS));
		else
			start(z);
	}
}

void fold_plan(struct zone *z)
{
	if (z->state == ZONE_CLOSED || !z->have_meta)
		return;
	if (z->fold.running)
		z->fold.again = true; /* the job may have looked before this version */
	else if (!z->fold.timer.slot && !z->fold.turn.zone)
		arm(z, MONO_MS(BEGIN_MS));
}

void fold_close(struct zone *z)
{
	atomic_store(&z->fold.cancelled, true);
	timer_stop(z->e->timers, &z->fold.timer);
	turns_leave(&z->e->folder.turns, &z->fold.turn);
}
