/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The RRsets of one version on their way through the vault: groups of bounded size (signing.h), a few of
 * them in flight at a time, filled beforehand or fed while others are signed. done() comes once for each
 * run, on a worker, when nothing is in flight any more.
 */
#ifndef ZONESEAL_SRC_APP_SIGNSET_H
#define ZONESEAL_SRC_APP_SIGNSET_H

#include <pthread.h>
#include "signing.h"

struct signset {
	/* set by the owner */
	const struct signer *signer;
	struct gate *gate;                  /* NULL: unsigned zone */
	struct pool *pool;
	const char *zone_name;
	atomic_ullong *next_seq;
	struct vclient *vault;
	enum sign_prio prio;
	size_t group_items;                 /* RRsets of a group */
	unsigned group_most;                /* groups in flight */
	/* worker: fills a new group; ZS_ENOENT: there is nothing more. NULL: all was added beforehand */
	int (*feed)(void *arg, struct signing *g);
	/* any thread, under the lock: a group is back, all of it signed. NULL: nobody waits for single
	 * ones */
	void (*back)(void *arg);
	/* nothing is fed while so many pages wait to be taken; 0: no bound */
	size_t pages_most;
	void (*done)(void *arg);
	void *arg;
	/* results, stable after done(): ZS_EAGAIN: the key store's client is full, run again later */
	int err;
	struct signing *head;
	/* private */
	struct signing **tail, *unsent;
	pthread_mutex_t lock;
	unsigned inflight;
	size_t ready, ready_pages;          /* groups that are back and not taken */
	bool running, again, fed, ended;
};

void signset_init(struct signset *s);
void signset_clear(struct signset *s); /* drops what is in it, for another run */
void signset_end(struct signset *s);
/* Before the run: an RRset for the last group, or for a new one when that is full (signing_add()). */
struct signing *signset_room(struct signset *s); /* NULL when out of memory */
void signset_run(struct signset *s);
/* What is back moves over, while the rest is signed on; to: initialised, not run. Then signset_kick(). */
void signset_take(struct signset *from, struct signset *to);
void signset_ready(struct signset *s, size_t *groups, size_t *pages);
void signset_kick(void *signset);      /* worker: there may be room again; nothing when it is through */
/* Any thread: ends early, with ZS_ECANCEL. */
void signset_cancel(struct signset *s);
struct signset_sums { uint64_t made[SIGN_REASONS], kept, bad, spoilt, rrsets; };
void signset_sums(const struct signset *s, struct signset_sums *out);

#endif
