/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * When a large zone is read into memory: after a start, after a build, after its map has grown; in small
 * pieces, one at a time in the engine, behind all other work. A change may come at any time meanwhile, and
 * reads what it needs itself (ahead.h). Called on the loop when something was published. Nothing depends on
 * it but the time that a change takes, so that what goes wrong is the end of it and no alarm.
 */
#include <stdlib.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "zone.h"

#define LEAST_OCTETS (256u << 10) /* of a zone's content: what a change of a smaller one touches is little */
#define PIECE (2u << 20)
#define BEGIN_MS 1000             /* after a version: those that follow each other are one occasion */
#define SHARE 2                   /* of the machine's memory: one half */

struct warm_job {
	struct zone *zone;
	struct store_warmth is;
	int err;
};

static void next(struct engine *e);

static void warm_timer(void *arg)
{
	struct zone *z = arg;

	z->warm.armed = false;
	turns_join(&z->e->warmer.turns, &z->warm.turn, z);
	next(z->e);
}

static uint64_t room(void)
{
	return (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / SHARE;
}

/* A file counts as a whole. */
static bool has_room(struct zone *z, uint64_t all)
{
	struct warmer *w = &z->e->warmer;

	if (w->octets - z->warm.octets + all > room())
		return false;
	w->octets += all - z->warm.octets;
	z->warm.octets = all;
	return true;
}

static void all_read(struct zone *z, uint64_t octets)
{
	if (z->warm.pieces)
		log_msg(LL_INFO, "store", z->name, "event=warm octets=%llu: read into memory",
			(unsigned long long)octets);
	z->warm.pieces = 0;
}

static void piece_read(struct zone *z, const struct store_warmth *is)
{
	if (is->warm >= is->all) {
		all_read(z, is->all);
	} else if (has_room(z, is->all)) {
		z->warm.pieces++;
		turns_join(&z->e->warmer.turns, &z->warm.turn, z);
	} else {
		log_limited(LL_INFO, "store", z->name, "warm", 1,
			    "%llu octets are too many to be read into memory beside the other zones",
			    (unsigned long long)is->all);
	}
}

static void warm_done(void *arg)
{
	struct warm_job *j = arg;
	struct zone *z = j->zone;
	struct engine *e = z->e;

	e->warmer.running = z->warm.running = false;
	if (z->state != ZONE_CLOSED) {
		if (!j->err)
			piece_read(z, &j->is);
		if (z->warm.again)
			warm_plan(z);
	}
	zone_job_end(z);
	free(j);
	next(e);
}

static void warm_run(void *arg)
{
	struct warm_job *j = arg;

	fault_zone(j->zone->wire);
	j->err = atomic_load(&j->zone->warm.cancelled) ? ZS_ECANCEL
						       : store_warm(j->zone->store, PIECE, &j->is);
	mailbox_post(j->zone->e->home, warm_done, j);
}

static bool start(struct zone *z)
{
	struct warm_job *j = z->quarantined ? NULL : calloc(1, sizeof(*j));

	if (!j)
		return false;
	j->zone = z;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_LOW, warm_run, j) == 0)
		return true;
	zone_job_end(z);
	free(j);
	return false;
}

static void next(struct engine *e)
{
	struct warmer *w = &e->warmer;
	struct zone *z;

	while (!w->running && !e->quitting && (z = turns_take(&w->turns)) != NULL)
		if (start(z)) {
			w->running = z->warm.running = true;
			z->warm.again = false;
		}
}

void warm_plan(struct zone *z)
{
	if (z->state == ZONE_CLOSED || z->meta.octets < LEAST_OCTETS)
		return;
	if (z->warm.running || z->warm.turn.zone) /* a piece may be all there was before this version */
		z->warm.again = true;
	else if (!z->warm.armed)
		z->warm.armed = timer_set(z->e->timers, &z->warm.timer, MONO_MS(BEGIN_MS), warm_timer,
					  z) == 0;
}

void warm_close(struct zone *z)
{
	atomic_store(&z->warm.cancelled, true);
	timer_stop(z->e->timers, &z->warm.timer);
	turns_leave(&z->e->warmer.turns, &z->warm.turn);
	z->e->warmer.octets -= z->warm.octets;
	z->warm.octets = 0;
}
