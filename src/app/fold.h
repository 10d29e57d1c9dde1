/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Recent changes go to their place (store/recent.c), when nobody works on the zone. Private to the zone
 * (struct zone_fold) and the engine (struct folder); the work is in fold.c.
 */
#ifndef ZONESEAL_SRC_APP_FOLD_H
#define ZONESEAL_SRC_APP_FOLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "timer.h"
#include "turns.h"

struct zone_fold {
	struct timer timer;                 /* of its next turn */
	struct turn turn;                   /* in the engine's queue */
	bool running;
	bool again;                         /* something was published meanwhile */
	atomic_bool cancelled;
	unsigned yields;                    /* to work on the zone, in a row */
	uint64_t moved;                     /* octets, since there was nothing */
};

/* One portion at a time in the whole engine, and a pause after it. */
struct folder {
	struct turns turns;
	bool running;
	mono_t free_at;
	struct timer timer;
};

/* Loop. Something was published, or the zone may be worked on again. */
void fold_plan(struct zone *z);
void fold_close(struct zone *z);

#endif
