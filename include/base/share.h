/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Work in pieces that the workers of a pool do side by side with whoever has it, as far as they are free:
 * nobody ever waits for a worker that has not begun, and a helper leaves when something more urgent waits for
 * a worker. Pieces 0 to n - 1 go out in order, each once.
 */
#ifndef ZONESEAL_BASE_SHARE_H
#define ZONESEAL_BASE_SHARE_H

#include "base/pool.h"

#define SHARE_HELPERS 3 /* most that one piece of work gets */

struct share_work {
	/* who: 0 the owner, 1 to helpers the others, each on one thread from its first piece to its last */
	void (*piece)(void *arg, unsigned who, size_t i);
	/* a helper takes no more pieces; NULL: it has nothing to do then */
	void (*leave)(void *arg, unsigned who);
	void *arg;
	size_t pieces;
	enum pool_prio prio; /* of the helpers */
};

/* How many helpers there may be: one thread is the owner's. */
unsigned share_helpers(const struct pool *p);

struct share;
/* Calls the helpers; the work is copied. NULL when out of memory. */
struct share *share_start(struct pool *p, unsigned helpers, const struct share_work *w);
/* The owner takes part until no piece is left to begin. */
void share_join(struct share *s);
/*
 * No piece begins any more; waits for those under way, and frees. A helper that had not begun by then never
 * does, nor leaves. NULL is legal.
 */
void share_end(struct share *s);

#endif
