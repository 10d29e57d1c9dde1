/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The queue of (fn, arg) pairs that the pool and the mailbox are made of. The owner locks. */
#ifndef ZONESEAL_SRC_BASE_WORK_H
#define ZONESEAL_SRC_BASE_WORK_H

#include <stdlib.h>

#include "base/pool.h"

struct work {
	struct work *next;
	work_fn fn;
	void *arg;
};

/* First in, first out; all zero is an empty one. */
struct work_queue {
	struct work *head;
	struct work *tail;
};

/* NULL when out of memory; free() releases it. */
static inline struct work *work_new(work_fn fn, void *arg)
{
	struct work *w = malloc(sizeof *w);

	if (w)
		*w = (struct work){ .fn = fn, .arg = arg };
	return w;
}

static inline void work_append(struct work_queue *q, struct work *w)
{
	if (q->tail)
		q->tail->next = w;
	else
		q->head = w;
	q->tail = w;
}

/* The oldest one, taken off; NULL when there is none. */
static inline struct work *work_shift(struct work_queue *q)
{
	struct work *w = q->head;

	if (!w)
		return NULL;
	q->head = w->next;
	if (!q->head)
		q->tail = NULL;
	return w;
}

#endif
