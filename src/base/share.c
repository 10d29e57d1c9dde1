/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Shared work. A helper is a job of the pool with the share as its argument; what the owner lends it is used
 * only between its beginning and its leaving, which share_end() waits for. The share itself goes with the
 * last that knows it, which may be a helper that came too late. Called by jobs of the app layer.
 */
#include "base/share.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>

struct share {
	struct pool *pool;
	struct share_work w;
	pthread_mutex_t lock;
	pthread_cond_t idle;  /* no helper is under way */
	size_t next;
	unsigned refs;        /* the owner, and jobs that the pool has */
	unsigned begun, busy; /* helpers */
	bool over;
};

unsigned share_helpers(const struct pool *p)
{
	unsigned n = pool_threads(p) - 1;

	return n < SHARE_HELPERS ? n : SHARE_HELPERS;
}

static bool take(struct share *s, size_t *i)
{
	bool got;

	pthread_mutex_lock(&s->lock);
	got = !s->over && s->next < s->w.pieces;
	*i = s->next;
	s->next += got;
	pthread_mutex_unlock(&s->lock);
	return got;
}

static void take_part(struct share *s, unsigned who)
{
	size_t i;

	while (!(who && pool_is_wanted(s->pool, s->w.prio)) && take(s, &i))
		s->w.piece(s->w.arg, who, i);
}

/* The lock is held, and given back. */
static void put(struct share *s)
{
	bool last = --s->refs == 0;

	pthread_mutex_unlock(&s->lock);
	if (!last)
		return;
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

static void help(void *arg)
{
	struct share *s = arg;
	unsigned who = 0;

	pthread_mutex_lock(&s->lock);
	if (!s->over) {
		who = ++s->begun;
		s->busy++;
	}
	pthread_mutex_unlock(&s->lock);
	if (who) {
		take_part(s, who);
		if (s->w.leave)
			s->w.leave(s->w.arg, who);
	}
	pthread_mutex_lock(&s->lock);
	s->busy -= who > 0;
	if (s->busy == 0)
		pthread_cond_signal(&s->idle);
	put(s);
}

struct share *share_start(struct pool *p, unsigned helpers, const struct share_work *w)
{
	struct share *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->pool = p;
	s->w = *w;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	s->refs = 1 + helpers;
	for (unsigned i = 0; i < helpers; i++) {
		if (pool_post(p, w->prio, help, s) == 0)
			continue;
		pthread_mutex_lock(&s->lock);
		put(s);
	}
	return s;
}

void share_join(struct share *s)
{
	take_part(s, 0);
}

void share_end(struct share *s)
{
	if (!s)
		return;
	pthread_mutex_lock(&s->lock);
	s->over = true;
	while (s->busy)
		pthread_cond_wait(&s->idle, &s->lock);
	put(s);
}
