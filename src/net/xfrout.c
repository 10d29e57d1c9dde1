/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Transfers out. A worker renders up to AHEAD blocks, hands each to the loop as it is made, and goes; the
 * next job is posted when the peer has taken most of them. So a slow peer holds a few blocks and no thread,
 * and a fast one never waits for the loop. Blocks come over through lists under the server's lock and an
 * eventfd; every change of a transfer's state is made by the loop in xfrout_collect(), never inside a
 * callback of a buffer. Life: waiting -> running -> done or cut; freed when no job and no block is out. The
 * version is given back by a worker (the last reference may close files), as soon as the last block is made
 * or the transfer was cut.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <event2/event.h>

#include "addr_impl.h"
#include "base/err.h"
#include "server_impl.h"

#define AHEAD 3                /* blocks made or on their way */
#define OPEN_TRIES 20          /* of a snapshot that says "soon" */
#define OPEN_RETRY_US 20000    /* first pause; doubles */
#define OPEN_RETRY_MAX_US 1000000
#define PATIENCE_S 15          /* of a transfer that waits for its turn */
#define WAITING_MIN 64

/* --- worker --------------------------------------------------------------------------------------------- */

/* Under the lock. */
static void make_ready(struct xfrout *x)
{
	if (!x->in_ready)
		TAILQ_INSERT_TAIL(&x->s->ready, x, ready);
	x->in_ready = true;
	eventfd_write(x->s->ready_fd, 1);
}

static bool hand_block(struct xfrout *x, struct render_block *b)
{
	bool cut;

	pthread_mutex_lock(&x->s->lock);
	*x->blocks_end = b;
	x->blocks_end = &b->next;
	make_ready(x);
	cut = x->cut;
	pthread_mutex_unlock(&x->s->lock);
	return !cut;
}

/* After this the worker touches neither x nor the server. */
static void end_job(struct xfrout *x, int err)
{
	struct server *s = x->s;

	pthread_mutex_lock(&s->lock);
	x->job_ended = true;
	x->job_err = err;
	make_ready(x);
	if (--s->jobs == 0)
		pthread_cond_broadcast(&s->idle);
	pthread_mutex_unlock(&s->lock);
}

static bool is_cut(struct xfrout *x)
{
	bool cut;

	pthread_mutex_lock(&x->s->lock);
	cut = x->cut;
	pthread_mutex_unlock(&x->s->lock);
	return cut;
}

static void render_job(void *arg)
{
	struct xfrout *x = arg;
	struct render_block *b;
	bool go = !is_cut(x), last = false;
	int err = 0;

	if (go && !render_is_open(x->r))
		err = render_open(x->r);
	for (unsigned i = 0; i < x->want && go && !last && err == 0; i++) {
		err = render_next(x->r, &b);
		if (err == 0) {
			last = b->last;
			go = hand_block(x, b);
		}
	}
	if (last)
		render_drop(x->r);
	else if (err != 0 || !go)
		render_close(x->r);
	end_job(x, err);
}

static void drop_job(void *arg)
{
	struct xfrout *x = arg;

	render_drop(x->r);
	end_job(x, 0);
}

/* --- loop ----------------------------------------------------------------------------------------------- */

static int post(struct xfrout *x, work_fn fn)
{
	struct server *s = x->s;
	int err;

	pthread_mutex_lock(&s->lock);
	s->jobs++;
	pthread_mutex_unlock(&s->lock);
	x->job = true;
	err = pool_post(s->pool, POOL_NORMAL, fn, x);
	if (err != 0) {
		x->job = false;
		pthread_mutex_lock(&s->lock);
		s->jobs--;
		pthread_mutex_unlock(&s->lock);
	}
	return err;
}

/* Frees x when nothing of it is out any more. */
static void release(struct xfrout *x)
{
	struct server *s = x->s;

	if (x->job || x->ahead > 0)
		return;
	if (render_request(x->r)->pub && !s->closing && post(x, drop_job) == 0)
		return;
	pthread_mutex_lock(&s->lock);
	if (x->in_ready)
		TAILQ_REMOVE(&s->ready, x, ready);
	pthread_mutex_unlock(&s->lock);
	while (x->blocks) {
		struct render_block *b = x->blocks;

		x->blocks = b->next;
		free(b);
	}
	s->nxfr--;
	if (x->timer)
		event_free(x->timer);
	render_free(x->r);
	free(x);
}

/* Takes the transfer out of the connection and the lists, and tells how it ended. */
static void detach(struct xfrout *x, int result)
{
	struct server *s = x->s;
	const struct xfr_request *rq = render_request(x->r);

	if (!x->conn)
		return;
	LIST_REMOVE(x, of_conn);
	x->conn->nxfr--;
	x->conn = NULL;
	if (x->timer)
		event_del(x->timer);
	if (x->is_running) {
		TAILQ_REMOVE(&s->running, x, link);
		s->nrunning--;
		STAT_DEC(&s->stats, xfr_running);
	} else {
		TAILQ_REMOVE(&s->waiting, x, link);
		s->nwaiting--;
	}
	pthread_mutex_lock(&s->lock);
	x->cut = true;
	pthread_mutex_unlock(&s->lock);
	if (s->env.ops->transfer)
		s->env.ops->transfer(s->env.ctx, x->zone, rq->secondary, &x->to, x->type, x->serial,
				     x->octets, x->records, net_mono_us() - x->start_us, result);
}

void xfrout_cut(struct xfrout *x, int err)
{
	detach(x, err);
	release(x);
}

/* Nothing was sent: SERVFAIL, and the connection stays. Else the stream is torn and only closing says so. */
static void fail(struct xfrout *x, int err, const char *text)
{
	struct server *s = x->s;
	struct tcp_conn *c = x->conn;
	struct answer out = { .buf = s->tcp_out + 2, .cap = MSG_MAX };

	if (x->octets > 0) {
		c->dead = true;
		c->why = err;
	} else if (answer_xfr_failed(&s->env, render_request(x->r), RC_SERVFAIL, EDE_NOT_READY, text, &out) !=
		       0 ||
		   conn_send_message(c, out.buf, out.len) != 0) {
		c->dead = true;
		c->why = err;
	} else {
		STAT_INC(&s->stats, xfr_refused);
		xfrout_cut(x, err);
	}
}

static void render_more(struct xfrout *x)
{
	int err;

	x->want = AHEAD - x->ahead;
	err = post(x, render_job);
	if (err != 0)
		fail(x, err, "out of memory");
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct xfrout *x = arg;
	struct tcp_conn *c = x->conn;

	if (x->is_running)
		render_more(x);
	else
		fail(x, ZS_ETIMEOUT, "too many transfers");
	conn_settle(c);
}

static void arm(struct xfrout *x, int64_t us)
{
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	event_add(x->timer, &tv);
}

static void begin(struct xfrout *x)
{
	struct server *s = x->s;

	x->is_running = true;
	TAILQ_INSERT_TAIL(&s->running, x, link);
	s->nrunning++;
	STAT_INC(&s->stats, xfr_started);
	STAT_INC(&s->stats, xfr_running);
	render_more(x);
}

static void enqueue(struct xfrout *x)
{
	struct server *s = x->s;

	TAILQ_INSERT_TAIL(&s->waiting, x, link);
	s->nwaiting++;
	arm(x, (int64_t)PATIENCE_S * 1000000);
	if (s->nwaiting > WAITING_MIN && s->nwaiting > s->lim.transfers_out)
		fail(x, ZS_ELIMIT, "too many transfers");
}

void xfrout_start_waiting(struct server *s)
{
	while (s->nwaiting > 0 && s->nrunning < s->lim.transfers_out) {
		struct xfrout *x = TAILQ_FIRST(&s->waiting);
		struct tcp_conn *c = x->conn;

		event_del(x->timer);
		TAILQ_REMOVE(&s->waiting, x, link);
		s->nwaiting--;
		begin(x);
		conn_settle(c);
	}
}

bool xfrout_start(struct tcp_conn *c, struct xfr_request *rq)
{
	struct server *s = c->s;
	const struct pub *pub = rq->pub;
	struct xfrout *x = calloc(1, sizeof(*x));

	if (!x)
		goto fail;
	x->timer = evtimer_new(s->base, on_timer, x);
	if (!x->timer || render_new(rq, &x->r) != 0)
		goto fail;
	x->s = s;
	x->conn = c;
	x->to = c->peer;
	x->type = render_request(x->r)->qtype;
	x->blocks_end = &x->blocks;
	x->start_us = net_mono_us();
	memcpy(x->zone, pub->zone, name_len(pub->zone));
	x->serial = pub->serial;
	x->version = pub->version;
	LIST_INSERT_HEAD(&c->xfrs, x, of_conn);
	c->nxfr++;
	s->nxfr++;
	if (s->nrunning < s->lim.transfers_out && s->nwaiting == 0)
		begin(x);
	else
		enqueue(x);
	return true;
fail:
	if (x && x->timer)
		event_free(x->timer);
	free(x);
	xfr_request_clear(rq);
	return false;
}

void xfrout_block_gone(struct render_block *b)
{
	struct xfrout *x = b->owner;

	if (x->conn)
		x->conn->block_octets -= b->len;
	x->ahead--;
	free(b);
	pthread_mutex_lock(&x->s->lock);
	make_ready(x);
	pthread_mutex_unlock(&x->s->lock);
}

/* The first block tells what an IXFR query gets. */
static void note_type(struct xfrout *x, const struct render_block *b)
{
	if (x->octets == 0 && b->type != x->type)
		STAT_INC(&x->s->stats, ixfr_as_axfr);
	x->type = b->type;
}

/* Blocks into the connection's buffer, or to nowhere when it is gone. */
static void deliver(struct xfrout *x, struct render_block *b)
{
	while (b) {
		struct render_block *next = b->next;

		b->owner = x;
		if (x->conn && !x->conn->dead && conn_send_block(x->conn, b) == 0) {
			note_type(x, b);
			x->ahead++;
			x->conn->block_octets += b->len;
			x->octets += b->len;
			x->records += b->records;
			x->done |= b->last;
		} else {
			if (x->conn)
				x->conn->dead = true;
			free(b);
		}
		b = next;
	}
}

/* An old snapshot is not held for a slow peer for ever: it comes again and gets the new version. */
static bool is_given_up(const struct xfrout *x)
{
	const struct answer_env *env = &x->s->env;
	int64_t age = x->s->lim.snapshot_age_s;
	const struct net_zone *z;

	if (!x->in_the_way && (!age || net_mono_us() - x->start_us < age * 1000000))
		return false;
	z = env->ops->find(env->ctx, x->zone);
	return !z || z->pub != render_request(x->r)->pub;
}

/* The first that is to be given up and that no worker is at. */
static struct xfrout *next_given_up(struct xfrout_list *list)
{
	struct xfrout *x;

	TAILQ_FOREACH(x, list, link)
		if (!x->job && !x->done && !x->conn->dead && is_given_up(x))
			return x;
	return NULL;
}

static void mark(struct xfrout_list *list, const uint8_t *zone, uint64_t version)
{
	struct xfrout *x;

	TAILQ_FOREACH(x, list, link)
		if (x->version <= version && name_eq(x->zone, zone))
			x->in_the_way = true;
}

/* One that a worker is at comes here when that job ends. Cutting may free others of its connection. */
void xfrout_give_up(struct server *s, const uint8_t *zone, uint64_t version)
{
	struct xfrout *x;

	if (zone) {
		mark(&s->running, zone, version);
		mark(&s->waiting, zone, version);
	}
	while ((x = next_given_up(&s->running)) != NULL || (x = next_given_up(&s->waiting)) != NULL) {
		struct tcp_conn *c = x->conn;

		fail(x, ZS_EGIVENUP, "a newer version is published");
		conn_settle(c);
	}
}

/* The peer has nothing to do with it: said apart from how the transfer ends. */
static void tell_unreadable(struct xfrout *x, int err)
{
	const struct answer_env *env = &x->s->env;

	if (err == ZS_ECRC || err == ZS_EFORMAT || err == ZS_ETRUNC || err == ZS_EVERSION)
		if (env->ops->unreadable)
			env->ops->unreadable(env->ctx, x->zone, x->serial, err);
}

/* What follows from the state that x is in now. */
static void proceed(struct xfrout *x, bool ended, int err)
{
	if (ended && err == ZS_EAGAIN && x->octets == 0 && x->tries < OPEN_TRIES) {
		int64_t us = (int64_t)OPEN_RETRY_US << (x->tries < 6 ? x->tries : 6);

		x->tries++;
		arm(x, us < OPEN_RETRY_MAX_US ? us : OPEN_RETRY_MAX_US);
	} else if (ended && err != 0) {
		tell_unreadable(x, err);
		fail(x, err, "the zone cannot be read");
	} else if (x->done) {
		if (!x->job && x->ahead == 0)
			xfrout_cut(x, 0);
	} else if (!x->job && x->ahead < AHEAD - 1 && !event_pending(x->timer, EV_TIMEOUT, NULL)) {
		if (is_given_up(x))
			fail(x, ZS_EGIVENUP, "a newer version is published");
		else
			render_more(x);
	}
}

static struct xfrout *next_ready(struct server *s, struct render_block **blocks, bool *ended, int *err)
{
	struct xfrout *x;

	pthread_mutex_lock(&s->lock);
	x = TAILQ_FIRST(&s->ready);
	if (x) {
		TAILQ_REMOVE(&s->ready, x, ready);
		x->in_ready = false;
		*blocks = x->blocks;
		x->blocks = NULL;
		x->blocks_end = &x->blocks;
		*ended = x->job_ended;
		*err = x->job_err;
		x->job_ended = false;
	}
	pthread_mutex_unlock(&s->lock);
	return x;
}

void xfrout_collect(struct server *s)
{
	struct render_block *blocks;
	struct xfrout *x;
	eventfd_t seen;
	bool ended;
	int err;

	eventfd_read(s->ready_fd, &seen);
	while ((x = next_ready(s, &blocks, &ended, &err)) != NULL) {
		struct tcp_conn *c = x->conn;

		if (ended)
			x->job = false;
		deliver(x, blocks);
		if (!c) {
			release(x);
			continue;
		}
		proceed(x, ended, err);
		conn_settle(c);
	}
	if (!s->closing)
		xfrout_start_waiting(s);
}
