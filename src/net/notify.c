/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * NOTIFY to one secondary (RFC 1996): sent again with growing pauses until any reply that matches the last
 * one sent comes, or the tries are used up. Pacing over many zones and superseding are the caller's. Loop
 * only.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "ask.h"
#include "base/err.h"

#define TRIES 10
#define PAUSE_FIRST_S 2
#define PAUSE_MAX_S 60
#define DATAGRAM_MAX 4096
#define STRANGERS_MAX 64

struct notify {
	struct event_base *base;
	struct net_remote to;
	uint8_t zone[NAME_MAX_WIRE];
	uint32_t ttl;
	uint16_t soa_len;
	uint8_t *soa;
	dnsq_cb cb;
	void *ctx;
	unsigned tries;
	int seen;
	int fd;
	struct event *io, *timer;
	struct qmsg q;
};

static void n_close(struct notify *n)
{
	if (n->io)
		event_free(n->io);
	n->io = NULL;
	if (n->fd >= 0)
		close(n->fd);
	n->fd = -1;
	qmsg_clear(&n->q);
}

void notify_cancel(struct notify *n)
{
	if (!n)
		return;
	n_close(n);
	if (n->timer)
		event_free(n->timer);
	free(n->soa);
	free(n);
}

static void finish(struct notify *n, int result, struct msgr *m, bool verified)
{
	struct dnsq_answer a = { .result = result, .tsig_verified = verified };
	dnsq_cb cb = n->cb;
	void *ctx = n->ctx;

	if (m) {
		a.rcode = m->rcode;
		a.aa = (m->flags & F_AA) != 0;
		a.msg = result == 0 ? m : NULL;
	}
	notify_cancel(n);
	cb(ctx, &a);
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
	struct notify *n = arg;
	uint8_t wire[DATAGRAM_MAX];

	for (unsigned i = 0; i < STRANGERS_MAX; i++) {
		ssize_t len = recv(fd, wire, sizeof(wire), 0);
		struct msgr m;
		bool verified;
		int err;

		if (len < 0) {
			/* Refused: nobody listens yet. The timer tries again. */
			if (errno != EAGAIN && errno != EINTR) {
				n->seen = ZS_ECLOSED;
				event_del(n->io);
			}
			return;
		}
		if (qmsg_match(&n->q, &m, wire, (size_t)len) != 0)
			continue;
		err = qmsg_verify(&n->q, &m, wire, (size_t)len, &verified);
		finish(n, err != 0 ? ZS_EAUTH : 0, &m, verified);
		return;
	}
}

static int send_one(struct notify *n)
{
	struct rr soa = { .owner = n->zone, .type = T_SOA, .class = CLASS_IN, .ttl = n->ttl, .rdata = n->soa,
			  .rdlen = n->soa_len };
	int err =
	    qmsg_make(&n->q, n->to.key, OP_NOTIFY, F_AA, n->zone, T_SOA, SEC_ANSWER, n->soa ? &soa : NULL);

	if (err == 0)
		err = remote_socket(&n->to, SOCK_DGRAM, &n->fd);
	if (err == 0)
		err = qmsg_send_udp(&n->q, n->fd);
	if (err != 0)
		return err;
	n->io = event_new(n->base, n->fd, EV_READ | EV_PERSIST, on_readable, n);
	return n->io && event_add(n->io, NULL) == 0 ? 0 : ZS_ENOMEM;
}

static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct notify *n = arg;
	struct timeval tv = { .tv_sec = PAUSE_FIRST_S };
	int err;

	n_close(n);
	if (n->tries == TRIES) {
		finish(n, n->seen != 0 ? n->seen : ZS_ETIMEOUT, NULL, false);
		return;
	}
	for (unsigned i = 0; i < n->tries && tv.tv_sec < PAUSE_MAX_S; i++)
		tv.tv_sec *= 2;
	if (tv.tv_sec > PAUSE_MAX_S)
		tv.tv_sec = PAUSE_MAX_S;
	n->tries++;
	err = send_one(n);
	n->seen = err;
	event_add(n->timer, &tv);
}

struct notify *notify_start(struct event_base *ev, const struct net_remote *to, const struct rr *soa,
			    dnsq_cb cb, void *ctx)
{
	struct notify *n = calloc(1, sizeof(*n));
	struct timeval now = { 0 };

	if (!n)
		return NULL;
	n->base = ev;
	n->to = *to;
	n->cb = cb;
	n->ctx = ctx;
	n->fd = -1;
	name_copy_lower(n->zone, soa->owner);
	n->ttl = soa->ttl;
	n->soa_len = soa->rdlen;
	n->soa = malloc(soa->rdlen > 0 ? soa->rdlen : 1);
	n->timer = evtimer_new(ev, on_timer, n);
	if (!n->soa || !n->timer || soa->rdlen > QMSG_MAX / 2) {
		notify_cancel(n);
		return NULL;
	}
	memcpy(n->soa, soa->rdata, soa->rdlen);
	event_add(n->timer, &now);
	return n;
}
