/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A large zone is read into memory before a change asks for it (store/warm.c). Private to the zone (struct
 * zone_warm) and the engine (struct warmer); the work is in warm.c.
 */
#ifndef ZONESEAL_SRC_APP_WARM_H
#define ZONESEAL_SRC_APP_WARM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include "timer.h"
#include "turns.h"

struct zone_warm {
	struct timer timer;                 /* of its next turn */
	struct turn turn;                   /* in the engine's queue */
	bool armed, running;
	bool again;                         /* something was published meanwhile */
	atomic_bool cancelled;
	unsigned pieces;                    /* since all of it was read */
	uint64_t octets;                    /* of its file, as they count in the engine */
};

/* One piece at a time in the whole engine. */
struct warmer {
	struct turns turns;
	bool running;
	uint64_t octets;                    /* of all files that are read, or going to be */
};

/* Loop. Something was published. */
void warm_plan(struct zone *z);
void warm_close(struct zone *z);

#endif
