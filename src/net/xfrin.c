/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Transfers in. The loop connects, asks, and cuts what it reads into runs of whole messages; a worker
 * consumes them one run after the other (xfrparse.c). Between both stands a queue under a lock, bounded in
 * octets: over the bound the loop stops reading until the worker has come down to half of it, so that a fast
 * primary waits for us and not the other way round. Ending has one way: end() notes why, on_fin() calls
 * done() once no job is out. The job hands itself back through the home mailbox, behind whatever on_rr has
 * posted there.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "addr_impl.h"
#include "ask.h"
#include "base/buf.h"
#include "base/err.h"
#include "xfrparse.h"

#define QUEUE_MAX (4u << 20)
#define READ_BUF (128u << 10) /* more than one message with its length */
#define READS_AT_ONCE 8
#define CONNECT_S 10
#define IDLE_S 60
#define LONE_SOA_S 5 /* until we believe that nothing follows an SOA */

/* Whole messages, each behind its length. */
struct run {
	struct run *next;
	size_t len;
	uint8_t data[];
};

struct xfrin {
	struct event_base *base;
	struct pool *pool;
	struct mailbox *home;
	struct net_remote from;
	struct xfrin_limits lim;
	struct xfrin_ops ops;
	void *ctx;
	struct qmsg q;
	int fd;
	struct event *io, *idle, *total, *fin;
	int64_t start_us;
	size_t have; /* octets in buf */
	uint8_t *buf;
	bool reading, connected, eof;
	bool job;            /* the parser is the worker's */
	bool ending;
	int why;             /* with ending: how, unless the parser knows better */
	const char *why_text;
	struct xfrp p;       /* the job's; the loop's while there is none */
	int parse_err;
	/* lock: */
	pthread_mutex_t lock;
	struct run *runs, **runs_end;
	size_t queued; /* octets in runs and in the job's hands */
	bool stop;
};

/* --- worker --------------------------------------------------------------------------------------------- */

static void on_home(void *arg);

static int consume(struct xfrin *x, struct run *r)
{
	size_t at = 0;
	int err = 0;

	while (at < r->len && err == 0) {
		size_t len = be16(r->data + at);

		err = xfrp_message(&x->p, r->data + at + 2, len);
		at += 2 + len;
	}
	return err;
}

/* What is queued now; nothing more, so that transfers take turns on the pool. */
static void parse_job(void *arg)
{
	struct xfrin *x = arg;
	struct run *r, *next;
	bool stop;

	pthread_mutex_lock(&x->lock);
	r = x->runs;
	x->runs = NULL;
	x->runs_end = &x->runs;
	stop = x->stop;
	pthread_mutex_unlock(&x->lock);
	for (; r; r = next) {
		next = r->next;
		if (!stop && x->parse_err == 0)
			x->parse_err = consume(x, r);
		pthread_mutex_lock(&x->lock);
		x->queued -= r->len;
		stop = x->stop;
		pthread_mutex_unlock(&x->lock);
		free(r);
	}
	/* Only memory can be short here, and without this call the transfer would never end. */
	while (mailbox_post(x->home, on_home, x) != 0)
		usleep(1000);
}

/* --- loop ----------------------------------------------------------------------------------------------- */

static void arm(struct event *ev, int64_t s)
{
	struct timeval tv = { .tv_sec = s };

	event_add(ev, &tv);
}

static void stop_reading(struct xfrin *x)
{
	if (x->io)
		event_del(x->io);
	event_del(x->idle);
	x->reading = false;
}

/* The transfer is over: done() follows from on_fin(), when the job is home. The first reason counts. */
static void end(struct xfrin *x, int why, const char *text)
{
	if (x->ending)
		return;
	x->ending = true;
	x->why = why;
	x->why_text = text;
	stop_reading(x);
	event_del(x->total);
	pthread_mutex_lock(&x->lock);
	x->stop = true;
	pthread_mutex_unlock(&x->lock);
	if (!x->job)
		arm(x->fin, 0);
}

static void xfrin_free(struct xfrin *x)
{
	struct event *ev[] = { x->io, x->idle, x->total, x->fin };

	for (unsigned i = 0; i < sizeof(ev) / sizeof(ev[0]); i++)
		if (ev[i])
			event_free(ev[i]);
	while (x->runs) {
		struct run *r = x->runs;

		x->runs = r->next;
		free(r);
	}
	if (x->fd >= 0)
		close(x->fd);
	qmsg_clear(&x->q);
	pthread_mutex_destroy(&x->lock);
	free(x->buf);
	free(x);
}

static bool is_axfr_worth_a_try(const struct xfrin *x, const struct xfrin_result *res)
{
	if (x->p.qtype != T_IXFR)
		return false;
	return res->result == ZS_EPEER || res->result == ZS_EFORMAT ||
	       (res->result == ZS_ECLOSED && x->connected && res->messages == 0 && x->have == 0);
}

/* A lone SOA, and not the first message of a stream that was torn. */
static bool is_lone_soa(const struct xfrin *x)
{
	return xfrp_is_lone_soa(&x->p) && x->have == 0 && (x->why == ZS_ECLOSED || x->why == ZS_ETIMEOUT);
}

static void judge(struct xfrin *x, struct xfrin_result *res)
{
	bool ended = xfrp_ended(&x->p);

	if (x->parse_err != 0) {
		res->result = x->parse_err;
	} else if (!ended && is_lone_soa(x)) {
		res->result = ZS_EPEER;
		snprintf(res->text, sizeof(res->text), "one newer SOA in answer to IXFR, and nothing more");
		res->kind = XFR_LONE_SOA;
	} else if (!ended) {
		res->result = x->why;
		snprintf(res->text, sizeof(res->text), "%s", x->why_text);
	}
	if (res->result != 0 && res->kind != XFR_LONE_SOA)
		res->kind = XFR_NONE;
	res->try_axfr = is_axfr_worth_a_try(x, res);
	res->us = net_mono_us() - x->start_us;
}

static void on_fin(evutil_socket_t fd, short what, void *arg)
{
	struct xfrin *x = arg;
	struct xfrin_result res = x->p.res;
	struct xfrin_ops ops = x->ops;
	void *ctx = x->ctx;

	judge(x, &res);
	xfrin_free(x);
	ops.done(ctx, &res);
}

static bool queue_is_empty(struct xfrin *x, size_t *octets)
{
	bool empty;

	pthread_mutex_lock(&x->lock);
	empty = x->runs == NULL;
	*octets = x->queued;
	pthread_mutex_unlock(&x->lock);
	return empty;
}

/* What comes next, whenever something has changed: a job, more reading, the end. */
static void proceed(struct xfrin *x)
{
	size_t octets;
	bool empty = queue_is_empty(x, &octets);

	if (x->ending || x->job)
		return;
	if (x->parse_err != 0 || xfrp_ended(&x->p)) {
		end(x, 0, "");
		return;
	}
	if (!empty) {
		x->job = true;
		if (pool_post(x->pool, POOL_NORMAL, parse_job, x) != 0) {
			x->job = false;
			end(x, ZS_ENOMEM, "out of memory");
		}
		return;
	}
	if (x->eof)
		end(x, ZS_ECLOSED, "connection closed before the end");
}

static void resume(struct xfrin *x)
{
	size_t octets;

	queue_is_empty(x, &octets);
	if (x->ending || x->reading || x->eof || !x->connected || octets > QUEUE_MAX / 2)
		return;
	x->reading = true;
	event_add(x->io, NULL);
	arm(x->idle, x->lim.idle_s);
}

/* The job is over. */
static void on_home(void *arg)
{
	struct xfrin *x = arg;

	x->job = false;
	if (x->ending) {
		arm(x->fin, 0);
		return;
	}
	proceed(x);
	resume(x);
	if (!x->ending && x->reading && !x->job && x->have == 0 && xfrp_is_lone_soa(&x->p))
		arm(x->idle, x->lim.idle_s < LONE_SOA_S ? x->lim.idle_s : LONE_SOA_S);
}

/* Whole messages at the start of buf become a run. False: out of memory. */
static bool cut_run(struct xfrin *x)
{
	struct run *r;
	size_t n = 0;

	while (x->have - n >= 2 && x->have - n >= 2 + (size_t)be16(x->buf + n))
		n += 2 + (size_t)be16(x->buf + n);
	if (n == 0)
		return true;
	r = malloc(sizeof(*r) + n);
	if (!r)
		return false;
	r->next = NULL;
	r->len = n;
	memcpy(r->data, x->buf, n);
	x->have -= n;
	memmove(x->buf, x->buf + n, x->have);
	pthread_mutex_lock(&x->lock);
	*x->runs_end = r;
	x->runs_end = &r->next;
	x->queued += n;
	if (x->queued >= QUEUE_MAX)
		x->reading = false;
	pthread_mutex_unlock(&x->lock);
	return true;
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct xfrin *x = arg;

	for (unsigned i = 0; i < READS_AT_ONCE && x->reading && !x->eof; i++) {
		ssize_t n = recv(fd, x->buf + x->have, READ_BUF - x->have, 0);

		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			break;
		if (n <= 0) {
			x->eof = true;
			break;
		}
		x->have += (size_t)n;
		arm(x->idle, x->lim.idle_s);
		if (!cut_run(x)) {
			end(x, ZS_ENOMEM, "out of memory");
			return;
		}
	}
	if (x->eof || !x->reading)
		stop_reading(x);
	proceed(x);
}

static void on_connected(evutil_socket_t fd, short what, void *arg)
{
	struct xfrin *x = arg;

	if (qmsg_send_tcp(&x->q, fd) != 0) {
		end(x, ZS_ECLOSED, "cannot connect");
		return;
	}
	event_free(x->io);
	x->io = event_new(x->base, fd, EV_READ | EV_PERSIST, on_readable, x);
	if (!x->io) {
		end(x, ZS_ENOMEM, "out of memory");
		return;
	}
	x->connected = true;
	resume(x);
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct xfrin *x = arg;
	size_t octets;

	/* Silence counts while we wait for the primary, not while it waits for us. */
	if (x->job || !queue_is_empty(x, &octets))
		arm(x->idle, x->lim.idle_s);
	else
		end(x, ZS_ETIMEOUT,
		    x->connected ? "nothing comes from the primary" : "no connection to the primary");
}

static void on_total(evutil_socket_t fd, short what, void *arg)
{
	end(arg, ZS_ETIMEOUT, "the transfer takes too long");
}

void xfrin_cancel(struct xfrin *x)
{
	if (x)
		end(x, ZS_ECANCEL, "cancelled");
}

static int make_query(struct xfrin *x, const uint8_t *zone, const uint8_t *soa, uint16_t soa_len)
{
	struct rr rr = { .owner = x->p.zone, .type = T_SOA, .class = CLASS_IN, .ttl = 0, .rdata = soa,
			 .rdlen = soa_len };
	struct soa s = { .serial = 0 };
	int err;

	xfrp_init(&x->p);
	name_copy_lower(x->p.zone, zone);
	if (soa && soa_read(soa, soa_len, &s) != 0)
		return ZS_EINVAL;
	x->p.qtype = soa ? T_IXFR : T_AXFR;
	x->p.ixfr_serial = s.serial;
	x->p.max_octets = x->lim.max_octets;
	x->p.on_rr = x->ops.on_rr;
	x->p.ctx = x->ctx;
	err = qmsg_make(&x->q, x->from.key, OP_QUERY, 0, zone, x->p.qtype, SEC_AUTHORITY, soa ? &rr : NULL);
	x->p.id = x->q.id;
	x->p.tsig = x->q.tsig;
	return err;
}

static bool make_events(struct xfrin *x)
{
	x->idle = evtimer_new(x->base, on_idle, x);
	x->total = evtimer_new(x->base, on_total, x);
	x->fin = evtimer_new(x->base, on_fin, x);
	return x->idle && x->total && x->fin;
}

static void start_connecting(struct xfrin *x)
{
	if (remote_socket(&x->from, SOCK_STREAM, &x->fd) != 0) {
		end(x, ZS_ECLOSED, "cannot connect");
		return;
	}
	x->io = event_new(x->base, x->fd, EV_WRITE, on_connected, x);
	if (!x->io || event_add(x->io, NULL) != 0) {
		end(x, ZS_ENOMEM, "out of memory");
		return;
	}
	arm(x->idle, x->lim.connect_s);
	if (x->lim.total_s > 0)
		arm(x->total, x->lim.total_s);
}

struct xfrin *xfrin_start(struct event_base *ev, struct pool *workers, struct mailbox *home,
			  const struct net_remote *from, const uint8_t *zone, const uint8_t *ixfr_soa,
			  uint16_t ixfr_soa_len, const struct xfrin_limits *lim, const struct xfrin_ops *ops,
			  void *ctx)
{
	struct xfrin *x = calloc(1, sizeof(*x));

	if (!x)
		return NULL;
	x->base = ev;
	x->pool = workers;
	x->home = home;
	x->from = *from;
	x->lim = *lim;
	if (x->lim.connect_s <= 0)
		x->lim.connect_s = CONNECT_S;
	if (x->lim.idle_s <= 0)
		x->lim.idle_s = IDLE_S;
	x->ops = *ops;
	x->ctx = ctx;
	x->fd = -1;
	x->runs_end = &x->runs;
	x->start_us = net_mono_us();
	pthread_mutex_init(&x->lock, NULL);
	x->buf = malloc(READ_BUF);
	if (!x->buf || !make_events(x) || make_query(x, zone, ixfr_soa, ixfr_soa_len) != 0) {
		xfrin_free(x);
		return NULL;
	}
	start_connecting(x);
	return x;
}
