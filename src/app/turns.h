/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Zones that take turns at background work of which the engine does one piece at a time: first in, first out.
 * Loop only; inline because there is nothing behind it.
 */
#ifndef ZONESEAL_SRC_APP_TURNS_H
#define ZONESEAL_SRC_APP_TURNS_H

#include <stdbool.h>
#include <stddef.h>

struct zone;

/* In the zone. All zero before. */
struct turn {
	struct zone *zone;     /* while it is queued; else NULL */
	struct turn *next;
};

struct turns { struct turn *first, *last; };

static inline void turns_join(struct turns *q, struct turn *t, struct zone *z)
{
	if (t->zone)
		return;
	*t = (struct turn){ .zone = z };
	if (q->first)
		q->last->next = t;
	else
		q->first = t;
	q->last = t;
}

static inline void turns_leave(struct turns *q, struct turn *t)
{
	struct turn *before = NULL, *at = q->first;

	for (; at && at != t; at = at->next)
		before = at;
	if (!at)
		return;
	*(before ? &before->next : &q->first) = t->next;
	if (q->last == t)
		q->last = before;
	*t = (struct turn){ .zone = NULL };
}

/* Whose turn it is; it leaves the queue. NULL: nobody waits. */
static inline struct zone *turns_take(struct turns *q)
{
	struct zone *z = q->first ? q->first->zone : NULL;

	if (z)
		turns_leave(q, q->first);
	return z;
}

#endif
