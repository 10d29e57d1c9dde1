/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sweep: what is published is verified again and again, in the background, from what is stored (guards
 * G2, G17). Private to the zone (struct sweep) and the engine (struct sweeper); the work is in sweep.c.
 */
#ifndef ZONESEAL_SRC_APP_SWEEP_H
#define ZONESEAL_SRC_APP_SWEEP_H

#include <stdatomic.h>
#include <stdbool.h>
#include "dns/schema.h"
#include "timer.h"
#include "turns.h"

struct engine;
struct zone;

struct sweep_key { uint8_t key[KEY_MAX]; size_t len; };

struct sweep_pause { mono_t after; unsigned streak; };

struct sweep {
	struct timer timer;
	struct turn turn;                  /* in the engine's queue */
	bool running;
	struct sweep_key at;               /* where the next piece begins; empty: a new round */
	mono_t began;
	int64_t began_wall, ended_wall;    /* of this round, of the last one; 0: none yet */
	uint64_t keys, last_keys;          /* of this round so far, of the last one */
	uint64_t found;                    /* in this round */
	unsigned again;                    /* the piece was superseded so often */
	atomic_ullong values, findings;    /* since the start */
	/* RRsets whose signatures are to be made anew at once, whatever their times */
	struct sweep_key *due; size_t ndue, due_cap;
	bool trouble;                      /* something that new signatures do not heal */
	bool doubt;                        /* content is to be compared with upstream's */
	struct sweep_pause rebuilds, compares; /* that it asked for */
	int64_t last_at; char last[320];   /* the last finding */
};

/* One piece at a time in the whole engine, and a pause after it. */
struct sweeper {
	struct turns turns;
	bool running;
	mono_t free_at;
	struct timer timer;
};

/* Loop. A version is published: it has its turn, unless one is planned already. */
void sweep_plan(struct zone *z);
void sweep_close(struct zone *z);
/* These were signed anew, or are not there any more, in a version that is published. */
void sweep_resigned(struct zone *z, const struct sweep_key *key, size_t n);
void sweep_generation(struct zone *z);     /* one that passed the whole gate is live */
/*
 * A stored signature did not verify: was it the signature, or what it signs? It is made anew at once; whether
 * the records are upstream's shows when the whole zone is taken from there and compared (z->compare). The
 * same content is no new version. difference: what was found and is corrected; NULL: nothing.
 */
void sweep_compare(struct zone *z);
void sweep_compared(struct zone *z, const char *difference);
bool sweep_doubts(const struct zone *z);   /* it found what is not healed yet */
void sweep_taken(struct zone *z);          /* a whole zone of upstream is published: no doubt is left */
/* For people: how far the round is, in percent. */
unsigned sweep_progress(const struct zone *z);

#endif
