/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Worker threads and the way back. pool_post() runs fn(arg) on one of the pool's threads; a mailbox carries
 * (fn, arg) pairs to the thread that drains it (the loop). Both queues are bounded by their callers: a zone
 * has at most a few jobs posted at any time. All functions may be called from any thread, except as noted.
 */
#ifndef ZONESEAL_BASE_POOL_H
#define ZONESEAL_BASE_POOL_H

#include <stdbool.h>
#include <stddef.h>

typedef void (*work_fn)(void *arg);

enum pool_prio { POOL_URGENT, POOL_NORMAL, POOL_LOW, POOL_PRIOS };

struct pool;
/* name: at most 12 characters, shown in thread names. NULL when threads cannot be started. */
struct pool *pool_new(unsigned threads, const char *name);
/* Urgent before normal before low; first in, first out in each. 0 or ZS_ENOMEM. */
int pool_post(struct pool *p, enum pool_prio prio, work_fn fn, void *arg);
unsigned pool_threads(const struct pool *p);
size_t pool_queued(struct pool *p);
/* Does anything wait for a thread that goes before jobs of that priority? */
bool pool_is_wanted(struct pool *p, enum pool_prio prio);
/* Runs what is queued to its end, joins the threads, frees. Not from a pool thread. NULL is legal. */
void pool_free(struct pool *p);

struct mailbox;
struct mailbox *mailbox_new(void);
/* Readable when something waits: an eventfd for the loop to watch. */
int mailbox_fd(const struct mailbox *m);
int mailbox_post(struct mailbox *m, work_fn fn, void *arg);
/* Runs everything that waits now, in order, on the calling thread; returns how many. */
size_t mailbox_run(struct mailbox *m);
void mailbox_free(struct mailbox *m); /* drops what waits; NULL is legal */

#endif
