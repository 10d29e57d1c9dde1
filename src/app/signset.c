/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Groups in flight. One thread at a time sends (running); whoever finds it running leaves a mark (again). A
 * set that waits for its key store holds no thread.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "signset.h"

#define GROUP_OCTETS (1u << 20)

enum { GROUP_FILLED, GROUP_SENT, GROUP_BACK };

void signset_init(struct signset *s)
{
	pthread_mutex_init(&s->lock, NULL);
	s->tail = &s->head;
	s->ended = true;
}

void signset_clear(struct signset *s)
{
	while (s->head) {
		struct signing *g = s->head;

		s->head = g->link;
		signing_free(g);
	}
	s->tail = &s->head;
	s->unsent = NULL;
	s->fed = false;
	s->ready = s->ready_pages = 0;
	pthread_mutex_lock(&s->lock);
	s->err = 0;
	pthread_mutex_unlock(&s->lock);
}

void signset_end(struct signset *s)
{
	signset_clear(s);
	pthread_mutex_destroy(&s->lock);
}

static struct signing *new_group(struct signset *s)
{
	return signing_new(s->signer, s->gate, s->pool, s->zone_name, s->next_seq);
}

static void link_group(struct signset *s, struct signing *g)
{
	pthread_mutex_lock(&s->lock);
	*s->tail = g;
	s->tail = &g->link;
	if (!s->unsent)
		s->unsent = g;
	pthread_mutex_unlock(&s->lock);
}

struct signing *signset_room(struct signset *s)
{
	struct signing *last = s->tail == &s->head ? NULL
						   : (struct signing *)((char *)s->tail -
									offsetof(struct signing, link));

	if (last && last->items < s->group_items && arena_used(last->mem) < GROUP_OCTETS)
		return last;
	last = new_group(s);
	if (last)
		link_group(s, last);
	return last;
}

static void advance(void *arg);

/* Estimate of what the store will write for it. */
static size_t signset_pages(const struct signing *g)
{
	size_t n = 0;

	for (const struct signing_item *it = g->head; it; it = it->next)
		n += 4 + it->vlen / 4096;
	return n;
}

/* On a worker. State and kick under one lock: a run ends inside advance() only. */
static void group_back(struct signing *g, void *arg)
{
	struct signset *s = arg;
	bool mine;

	pthread_mutex_lock(&s->lock);
	g->state = GROUP_BACK;
	s->inflight--;
	if (g->err && !s->err)
		s->err = g->err;
	if (!g->err) {
		s->ready++;
		s->ready_pages += signset_pages(g);
		if (s->back)
			s->back(s->arg);
	}
	mine = !s->running;
	s->running = true;
	s->again = !mine;
	pthread_mutex_unlock(&s->lock); /* when another thread is running, s may be gone from here on */
	if (mine)
		advance(s);
}

static int send_group(struct signset *s, struct signing *g)
{
	int err;

	pthread_mutex_lock(&s->lock);
	g->state = GROUP_SENT;
	s->inflight++;
	pthread_mutex_unlock(&s->lock);
	err = signing_submit(g, s->vault, s->prio, group_back, s);
	if (!err)
		return 0;
	pthread_mutex_lock(&s->lock);
	g->state = GROUP_FILLED;
	s->inflight--;
	pthread_mutex_unlock(&s->lock);
	return err;
}

static int feed(struct signset *s)
{
	struct signing *g = new_group(s);
	int err = g ? s->feed(s->arg, g) : ZS_ENOMEM;

	if (!err) {
		link_group(s, g);
		return 0;
	}
	signing_free(g);
	s->fed = err == ZS_ENOENT;
	return err;
}

static int send_some(struct signset *s)
{
	int err = 0;

	while (!err) {
		struct signing *g = s->unsent, *after;
		bool room;

		pthread_mutex_lock(&s->lock);
		after = g ? g->link : NULL; /* once sent, g may be taken at any moment */
		room = s->inflight < s->group_most && !s->err &&
		       (!s->pages_most || s->ready_pages < s->pages_most);
		pthread_mutex_unlock(&s->lock);
		if (!room || (!g && (s->fed || !s->feed)))
			return 0;
		if (!g) {
			err = feed(s);
		} else if (!(err = send_group(s, g))) {
			s->unsent = after;
		}
	}
	return err == ZS_ENOENT ? 0 : err;
}

/* The client answers on its own thread, so that it may be asked under the lock. */
static void cancel_sent(struct signset *s)
{
	pthread_mutex_lock(&s->lock);
	for (struct signing *g = s->head; g; g = g->link)
		if (g->state == GROUP_SENT && s->vault)
			vclient_cancel(s->vault, &g->batch);
	pthread_mutex_unlock(&s->lock);
}

static void advance(void *arg)
{
	struct signset *s = arg;
	bool more = true, over = false;

	while (more) {
		int err = send_some(s);
		bool stop;

		pthread_mutex_lock(&s->lock);
		if (err && !s->err && !(err == ZS_EAGAIN && s->inflight))
			s->err = err; /* full: our own answers go on with it */
		stop = s->err && s->err != ZS_EAGAIN && s->inflight;
		pthread_mutex_unlock(&s->lock);
		if (stop)
			cancel_sent(s);
		pthread_mutex_lock(&s->lock);
		over = s->inflight == 0 && (s->err || (!s->unsent && (s->fed || !s->feed)));
		s->ended |= over;
		more = s->again && !over;
		s->again = false;
		if (!more)
			s->running = false;
		pthread_mutex_unlock(&s->lock);
	}
	if (over)
		s->done(s->arg);
}

void signset_run(struct signset *s)
{
	pthread_mutex_lock(&s->lock);
	if (s->err == ZS_EAGAIN)
		s->err = 0;
	s->running = true;
	s->ended = false;
	pthread_mutex_unlock(&s->lock);
	advance(s);
}

void signset_kick(void *arg)
{
	struct signset *s = arg;
	bool mine;

	pthread_mutex_lock(&s->lock);
	mine = !s->running && !s->ended;
	s->running |= mine;
	s->again |= !mine;
	pthread_mutex_unlock(&s->lock);
	if (mine)
		advance(s);
}

void signset_ready(struct signset *s, size_t *groups, size_t *pages)
{
	pthread_mutex_lock(&s->lock);
	*groups = s->ready;
	*pages = s->ready_pages;
	pthread_mutex_unlock(&s->lock);
}

void signset_take(struct signset *from, struct signset *to)
{
	pthread_mutex_lock(&from->lock);
	for (struct signing **at = &from->head; *at;) {
		struct signing *g = *at;

		if (g->state != GROUP_BACK || g->err) {
			at = &g->link;
			continue;
		}
		*at = g->link;
		if (from->tail == &g->link)
			from->tail = at;
		g->link = NULL;
		*to->tail = g;
		to->tail = &g->link;
	}
	from->ready = from->ready_pages = 0;
	pthread_mutex_unlock(&from->lock);
}

void signset_cancel(struct signset *s)
{
	pthread_mutex_lock(&s->lock);
	if (!s->err || s->err == ZS_EAGAIN)
		s->err = ZS_ECANCEL;
	pthread_mutex_unlock(&s->lock);
	signset_kick(s);
}

void signset_sums(const struct signset *s, struct signset_sums *out)
{
	memset(out, 0, sizeof(*out));
	for (const struct signing *g = s->head; g; g = g->link) {
		for (int i = 0; i < SIGN_REASONS; i++)
			out->made[i] += g->made[i];
		out->kept += g->kept;
		out->bad += g->bad;
		out->spoilt += g->spoilt;
		out->rrsets += g->items;
	}
}
