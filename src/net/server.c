/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The server as a whole: its sockets, its limits, its end. Everything runs on the thread that runs the event
 * base. Ending: listeners, then connections (which cuts their transfers), then the jobs that still run are
 * awaited; only then the shared lists go.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "addr_impl.h"
#include "base/err.h"
#include "server_impl.h"

#define AGE_LOOK_S 2

static void on_ready(evutil_socket_t fd, short what, void *arg)
{
	xfrout_collect(arg);
}

static void on_udp(evutil_socket_t fd, short what, void *arg)
{
	udp_readable(arg);
}

static void on_tcp(evutil_socket_t fd, short what, void *arg)
{
	tcp_acceptable(arg);
}

static void on_pause_over(evutil_socket_t fd, short what, void *arg)
{
	struct listener *l = arg;

	event_add(l->ev, NULL);
}

/* A peer that takes nothing causes no event of its own. */
static void on_age(evutil_socket_t fd, short what, void *arg)
{
	xfrout_give_up(arg, NULL, 0);
}

static bool server_setup(struct server *s)
{
	s->batch = udp_batch_new();
	s->tcp_in = malloc(MSG_MAX);
	s->tcp_out = malloc(2 + MSG_MAX);
	s->ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (!s->batch || !s->tcp_in || !s->tcp_out || s->ready_fd < 0)
		return false;
	s->ready_ev = event_new(s->base, s->ready_fd, EV_READ | EV_PERSIST, on_ready, s);
	if (!s->ready_ev || event_add(s->ready_ev, NULL) != 0)
		return false;
	s->age_ev = event_new(s->base, -1, EV_PERSIST, on_age, s);
	if (!s->age_ev || event_add(s->age_ev, &(struct timeval){ .tv_sec = AGE_LOOK_S }) != 0)
		return false;
	return cookies_init(&s->env.cookies, s->env.ops->now(s->env.ctx)) == 0;
}

struct server *server_new(struct event_base *ev, struct pool *render, const struct server_ops *ops, void *ctx,
			  const struct server_limits *lim)
{
	struct server *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->base = ev;
	s->pool = render;
	s->env = (struct answer_env){ .ops = ops, .ctx = ctx, .stats = &s->stats };
	s->lim = *lim;
	s->ready_fd = -1;
	LIST_INIT(&s->listeners);
	TAILQ_INIT(&s->conns);
	TAILQ_INIT(&s->running);
	TAILQ_INIT(&s->waiting);
	TAILQ_INIT(&s->ready);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	if (!server_setup(s)) {
		server_free(s);
		return NULL;
	}
	return s;
}

int server_add_socket(struct server *s, int fd)
{
	struct listener *l = calloc(1, sizeof(*l));
	struct net_addr a;
	socklen_t len = sizeof(a);
	int type, err = ZS_ENOMEM;
	socklen_t tlen = sizeof(type);

	if (!l)
		return ZS_ENOMEM;
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &tlen) != 0 || getsockname(fd, &a.sa, &len) != 0 ||
	    evutil_make_socket_nonblocking(fd) != 0) {
		err = zs_from_errno(errno);
		goto fail;
	}
	l->s = s;
	l->fd = fd;
	l->stream = type == SOCK_STREAM;
	l->family = a.sa.sa_family;
	if (!l->stream && addr_want_pktinfo(fd, l->family) != 0) {
		err = zs_from_errno(errno);
		goto fail;
	}
	l->ev = event_new(s->base, fd, EV_READ | EV_PERSIST, l->stream ? on_tcp : on_udp, l);
	l->pause = evtimer_new(s->base, on_pause_over, l);
	if (!l->ev || !l->pause || event_add(l->ev, NULL) != 0)
		goto fail;
	LIST_INSERT_HEAD(&s->listeners, l, link);
	return 0;
fail:
	if (l->ev)
		event_free(l->ev);
	if (l->pause)
		event_free(l->pause);
	free(l);
	return err;
}

static void listener_free(struct listener *l)
{
	LIST_REMOVE(l, link);
	event_free(l->ev);
	event_free(l->pause);
	close(l->fd);
	free(l);
}

void server_remove_socket(struct server *s, int fd)
{
	struct listener *l;

	LIST_FOREACH(l, &s->listeners, link) {
		if (l->fd == fd) {
			listener_free(l);
			return;
		}
	}
}

void server_set_limits(struct server *s, const struct server_limits *lim)
{
	s->lim = *lim;
	xfrout_start_waiting(s);
}

void server_give_up(struct server *s, const uint8_t *zone, uint64_t version)
{
	xfrout_give_up(s, zone, version);
}

const struct server_stats *server_stats(const struct server *s)
{
	return &s->stats;
}

static void await_jobs(struct server *s)
{
	pthread_mutex_lock(&s->lock);
	while (s->jobs > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	pthread_mutex_unlock(&s->lock);
}

void server_free(struct server *s)
{
	if (!s)
		return;
	s->closing = true;
	while (!LIST_EMPTY(&s->listeners))
		listener_free(LIST_FIRST(&s->listeners));
	while (!TAILQ_EMPTY(&s->conns)) {
		TAILQ_FIRST(&s->conns)->why = ZS_ECANCEL;
		conn_free(TAILQ_FIRST(&s->conns));
	}
	await_jobs(s);
	if (s->ready_fd >= 0)
		xfrout_collect(s);
	if (s->ready_ev)
		event_free(s->ready_ev);
	if (s->age_ev)
		event_free(s->age_ev);
	if (s->ready_fd >= 0)
		close(s->ready_fd);
	udp_batch_free(s->batch);
	free(s->tcp_in);
	free(s->tcp_out);
	pthread_cond_destroy(&s->idle);
	pthread_mutex_destroy(&s->lock);
	free(s);
}
