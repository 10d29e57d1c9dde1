/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Connections (RFC 7766): queries may be pipelined, answers and transfers share the way out, message by
 * message. What a peer does not take stays in `out`; over a bound we stop reading what it sends, so that a
 * slow peer costs a bounded buffer and nobody else waits. A connection is closed when it has been idle, when
 * it is the least recently used one and another peer needs the place, or when both sides are done. Invariant:
 * a connection is freed only by conn_settle() or the server's end, never in the middle of its own callbacks.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* accept4 */
#endif
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#include "addr_impl.h"
#include "base/err.h"
#include "server_impl.h"

#define ACCEPT_AT_ONCE 64
#define ACCEPT_PAUSE_US 100000
#define READ_AT_ONCE 65536
#define WRITE_AT_ONCE (1 << 20)
#define OUT_BOUND (128u << 10) /* octets of answers that wait */
#define XFRS_AT_ONCE 8         /* transfers on one connection */

static unsigned peer_bucket(const struct net_addr *a)
{
	const uint8_t *p;
	unsigned n = addr_octets(a, &p), h = 0;

	for (unsigned i = 0; i < n; i++)
		h = h * 31 + p[i];
	return (h ^ h >> 8) % PEER_BUCKETS;
}

static unsigned peer_count(const struct server *s, const struct net_addr *a)
{
	const struct tcp_conn *c;
	unsigned n = 0;

	LIST_FOREACH(c, &s->peers[peer_bucket(a)], bucket)
		n += net_addr_same_host(&c->peer, a);
	return n;
}

/* For another query: answers that wait are bounded, and so are transfers, whose blocks are bounded by
 * themselves. */
static bool conn_has_room(const struct tcp_conn *c)
{
	return c->nxfr < XFRS_AT_ONCE && evbuffer_get_length(c->out) < OUT_BOUND + c->block_octets;
}

static void conn_touch(struct tcp_conn *c)
{
	c->active_us = net_mono_us();
	TAILQ_REMOVE(&c->s->conns, c, lru);
	TAILQ_INSERT_TAIL(&c->s->conns, c, lru);
}

static void arm_idle(struct tcp_conn *c, int64_t us)
{
	struct timeval tv = { .tv_sec = us / 1000000, .tv_usec = us % 1000000 };

	event_add(c->idle, &tv);
}

/* Nothing is in hand for this peer: no answer on its way, no transfer being made. */
static bool conn_is_idle(const struct tcp_conn *c)
{
	return c->nxfr == 0 && evbuffer_get_length(c->out) == 0;
}

static void on_idle(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_conn *c = arg;
	int64_t bound = c->s->lim.tcp_idle_s * 1000000, quiet = net_mono_us() - c->active_us;

	/* Blocks still being made are not the peer's fault. */
	if (c->nxfr > 0 && evbuffer_get_length(c->out) == 0)
		quiet = 0;
	if (quiet < bound) {
		arm_idle(c, bound - quiet);
		return;
	}
	c->dead = true;
	c->why = ZS_ETIMEOUT;
	conn_settle(c);
}

/* One whole message of the peer. */
static void conn_message(struct tcp_conn *c, size_t len)
{
	struct server *s = c->s;
	struct answer_peer peer = { .from = c->peer, .tcp = true };
	struct answer out = { .buf = s->tcp_out + 2, .cap = MSG_MAX };

	STAT_INC(&s->stats, queries_tcp);
	switch (answer_query(&s->env, &peer, s->tcp_in, len, &out)) {
	case ANSWER_SEND:
		if (conn_send_message(c, out.buf, out.len) != 0)
			c->dead = true;
		break;
	case ANSWER_XFR:
		if (!xfrout_start(c, &out.xfr))
			c->dead = true;
		break;
	case ANSWER_DROP:
		break;
	}
}

/* Whole messages that stand in the input buffer, as long as there is room for answers. */
static void conn_process(struct tcp_conn *c)
{
	while (!c->dead && conn_has_room(c)) {
		size_t have = evbuffer_get_length(c->in), len;
		uint8_t head[2];

		if (have < 2)
			break;
		evbuffer_copyout(c->in, head, 2);
		len = be16(head);
		if (have < 2 + len)
			break;
		evbuffer_drain(c->in, 2);
		evbuffer_remove(c->in, c->s->tcp_in, len);
		conn_touch(c);
		if (len < MSG_HEADER) {
			STAT_INC(&c->s->stats, malformed);
			c->dead = true; /* no DNS is spoken here */
			break;
		}
		conn_message(c, len);
	}
}

static void conn_write(struct tcp_conn *c)
{
	int n;

	if (c->dead || evbuffer_get_length(c->out) == 0)
		return;
	n = evbuffer_write_atmost(c->out, c->fd, WRITE_AT_ONCE);
	if (n > 0)
		conn_touch(c);
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->dead = true;
}

void conn_settle(struct tcp_conn *c)
{
	bool read;

	if (c->busy)
		return;
	c->busy = true;
	conn_write(c);
	conn_process(c);
	conn_write(c);
	c->busy = false;
	if (c->eof && conn_is_idle(c))
		c->dead = true;
	if (c->dead) {
		conn_free(c);
		return;
	}
	read = !c->eof && conn_has_room(c);
	if (read && !c->reading)
		event_add(c->rd, NULL);
	else if (!read && c->reading)
		event_del(c->rd);
	c->reading = read;
	if (evbuffer_get_length(c->out) > 0)
		event_add(c->wr, NULL);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct tcp_conn *c = arg;
	int n = evbuffer_read(c->in, fd, READ_AT_ONCE);

	if (n == 0)
		c->eof = true;
	else if (n < 0 && errno != EAGAIN && errno != EINTR)
		c->dead = true;
	conn_settle(c);
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
	conn_settle(arg);
}

int conn_send_message(struct tcp_conn *c, const uint8_t *wire, size_t len)
{
	uint8_t head[2];

	put_be16(head, (uint16_t)len);
	if (evbuffer_add(c->out, head, 2) != 0 || evbuffer_add(c->out, wire, len) != 0)
		return ZS_ENOMEM;
	return 0;
}

static void block_written(const void *data, size_t len, void *arg)
{
	xfrout_block_gone(arg);
}

int conn_send_block(struct tcp_conn *c, struct render_block *b)
{
	return evbuffer_add_reference(c->out, b->data, b->len, block_written, b) == 0 ? 0 : ZS_ENOMEM;
}

void conn_free(struct tcp_conn *c)
{
	struct server *s = c->s;

	c->busy = true; /* nothing below comes back here */
	while (!LIST_EMPTY(&c->xfrs))
		xfrout_cut(LIST_FIRST(&c->xfrs), c->why != 0 ? c->why : ZS_ECLOSED);
	TAILQ_REMOVE(&s->conns, c, lru);
	LIST_REMOVE(c, bucket);
	s->nconn--;
	STAT_DEC(&s->stats, tcp_open);
	if (c->rd)
		event_free(c->rd);
	if (c->wr)
		event_free(c->wr);
	if (c->idle)
		event_free(c->idle);
	if (c->in)
		evbuffer_free(c->in);
	if (c->out)
		evbuffer_free(c->out);
	close(c->fd);
	free(c);
	if (s->nwaiting > 0)
		eventfd_write(s->ready_fd, 1); /* the places that became free are given away from there */
}

/* Makes place for one more by ending the connection that has been quiet longest, if there is one. */
static bool evict_idle(struct server *s)
{
	struct tcp_conn *c;

	TAILQ_FOREACH(c, &s->conns, lru) {
		if (conn_is_idle(c) && !c->busy) {
			conn_free(c);
			return true;
		}
	}
	return false;
}

static bool conn_setup(struct tcp_conn *c)
{
	struct event_base *base = c->s->base;

	c->in = evbuffer_new();
	c->out = evbuffer_new();
	c->rd = event_new(base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
	c->wr = event_new(base, c->fd, EV_WRITE, on_writable, c);
	c->idle = evtimer_new(base, on_idle, c);
	return c->in && c->out && c->rd && c->wr && c->idle && event_add(c->rd, NULL) == 0;
}

static void conn_new(struct server *s, int fd, const struct net_addr *peer)
{
	struct tcp_conn *c = calloc(1, sizeof(*c));
	int one = 1;

	if (!c) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->s = s;
	c->fd = fd;
	c->peer = *peer;
	LIST_INIT(&c->xfrs);
	TAILQ_INSERT_TAIL(&s->conns, c, lru);
	LIST_INSERT_HEAD(&s->peers[peer_bucket(peer)], c, bucket);
	s->nconn++;
	STAT_INC(&s->stats, tcp_accepted);
	STAT_INC(&s->stats, tcp_open);
	c->active_us = net_mono_us();
	if (!conn_setup(c)) {
		conn_free(c);
		return;
	}
	c->reading = true;
	arm_idle(c, s->lim.tcp_idle_s * 1000000);
}

/* Out of descriptors or memory: a listening socket stays readable, so it is left alone for a moment. */
static void pause_accept(struct listener *l)
{
	struct timeval tv = { .tv_usec = ACCEPT_PAUSE_US };

	event_del(l->ev);
	event_add(l->pause, &tv);
}

void tcp_acceptable(struct listener *l)
{
	struct server *s = l->s;

	for (unsigned i = 0; i < ACCEPT_AT_ONCE; i++) {
		struct net_addr peer;
		socklen_t len = sizeof(peer);
		int fd = accept4(l->fd, &peer.sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd < 0) {
			if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)
				pause_accept(l);
			else if (errno == ECONNABORTED || errno == EINTR)
				continue;
			return;
		}
		if (peer_count(s, &peer) >= s->lim.tcp_per_peer ||
		    (s->nconn >= s->lim.tcp_connections && !evict_idle(s))) {
			STAT_INC(&s->stats, tcp_refused);
			close(fd);
			continue;
		}
		conn_new(s, fd, &peer);
	}
}
