/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One question to a remote, until there is one answer: UDP with growing patience, then TCP. What does not
 * belong to the question is ignored over UDP (anybody can send it) and ends the try over TCP. Life: start ->
 * tries -> finish; the handle is freed before the callback's work can start anything new with it. Called by
 * the app: serial checks, watching secondaries.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#include "ask.h"
#include "base/buf.h"
#include "base/err.h"

#define UDP_TRIES 3
#define TCP_PATIENCE_S 10
#define DATAGRAM_MAX 4096
#define STRANGERS_MAX 64 /* datagrams that do not belong to us, in one go */

struct dnsq {
	struct event_base *base;
	struct net_remote to;
	uint8_t zone[NAME_MAX_WIRE];
	uint16_t qtype;
	dnsq_cb cb;
	void *ctx;
	unsigned tries;
	bool tcp;
	int seen; /* the error to tell when nothing better comes */
	int fd;
	struct event *io, *timer;
	struct qmsg q;
	size_t sent, have; /* TCP: octets written, read */
	uint8_t *in;       /* TCP: 2 + MSG_MAX */
};

static void q_close(struct dnsq *q)
{
	if (q->io)
		event_free(q->io);
	q->io = NULL;
	if (q->fd >= 0)
		close(q->fd);
	q->fd = -1;
	qmsg_clear(&q->q);
}

void dnsq_cancel(struct dnsq *q)
{
	if (!q)
		return;
	q_close(q);
	if (q->timer)
		event_free(q->timer);
	free(q->in);
	free(q);
}

static void finish(struct dnsq *q, int result, struct msgr *m, bool verified)
{
	struct dnsq_answer a = { .result = result, .over_tcp = q->tcp, .tsig_verified = verified };
	dnsq_cb cb = q->cb;
	void *ctx = q->ctx;
	uint8_t *in = q->in; /* m may point into it */

	if (m && result == 0) {
		a.msg = m;
		a.rcode = m->rcode;
		a.aa = (m->flags & F_AA) != 0;
	}
	q->in = NULL;
	dnsq_cancel(q);
	cb(ctx, &a);
	free(in);
}

static void arm(struct dnsq *q, time_t s)
{
	struct timeval tv = { .tv_sec = s };

	event_add(q->timer, &tv);
}

/* --- TCP ------------------------------------------------------------------------------------------------ */

static void tcp_failed(struct dnsq *q, int err)
{
	finish(q, q->seen != 0 ? q->seen : err, NULL, false);
}

static void tcp_answer(struct dnsq *q)
{
	struct msgr m;
	uint8_t *wire = q->in + 2;
	size_t len = be16(q->in);
	bool verified = false;
	int err = qmsg_match(&q->q, &m, wire, len);

	if (err == 0 && m.flags & F_TC)
		err = ZS_EPEER;
	if (err != 0) {
		tcp_failed(q, ZS_EPEER);
		return;
	}
	err = qmsg_verify(&q->q, &m, wire, len, &verified);
	finish(q, err != 0 ? ZS_EAUTH : 0, &m, verified);
}

static void on_tcp_readable(evutil_socket_t fd, short what, void *arg)
{
	struct dnsq *q = arg;
	size_t want = q->have < 2 ? 2 : 2 + (size_t)be16(q->in);
	ssize_t n = recv(fd, q->in + q->have, want - q->have, 0);

	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		tcp_failed(q, ZS_ECLOSED);
		return;
	}
	q->have += n > 0 ? (size_t)n : 0;
	if (q->have >= 2 && q->have == 2 + (size_t)be16(q->in))
		tcp_answer(q);
}

static void on_tcp_connected(evutil_socket_t fd, short what, void *arg)
{
	struct dnsq *q = arg;
	int err = qmsg_send_tcp(&q->q, fd);

	event_free(q->io);
	q->io = err == 0 ? event_new(q->base, fd, EV_READ | EV_PERSIST, on_tcp_readable, q) : NULL;
	if (!q->io || event_add(q->io, NULL) != 0)
		tcp_failed(q, err != 0 ? err : ZS_ENOMEM);
}

static void start_tcp(struct dnsq *q)
{
	int err;

	q_close(q);
	q->tcp = true;
	if (!q->in)
		q->in = malloc(2 + MSG_MAX);
	err = q->in ? qmsg_make(&q->q, q->to.key, OP_QUERY, 0, q->zone, q->qtype, 0, NULL) : ZS_ENOMEM;
	if (err == 0)
		err = remote_socket(&q->to, SOCK_STREAM, &q->fd);
	if (err == 0) {
		q->io = event_new(q->base, q->fd, EV_WRITE, on_tcp_connected, q);
		err = q->io && event_add(q->io, NULL) == 0 ? 0 : ZS_ENOMEM;
	}
	if (err != 0)
		tcp_failed(q, err);
	else
		arm(q, TCP_PATIENCE_S);
}

/* --- UDP ------------------------------------------------------------------------------------------------ */

/* One datagram. True: the handle is gone or has gone on to TCP. */
static bool udp_datagram(struct dnsq *q, uint8_t *wire, size_t len)
{
	struct msgr m;
	bool verified;

	if (qmsg_match(&q->q, &m, wire, len) != 0)
		return false;
	if (m.flags & F_TC) {
		start_tcp(q);
		return true;
	}
	if (qmsg_verify(&q->q, &m, wire, len, &verified) != 0) {
		/* Forged, or the keys differ: a connection tells which (RFC 8945 5.3.2 would wait on). */
		q->seen = ZS_EAUTH;
		start_tcp(q);
		return true;
	}
	finish(q, 0, &m, verified);
	return true;
}

static void on_udp_readable(evutil_socket_t fd, short what, void *arg)
{
	struct dnsq *q = arg;
	uint8_t wire[DATAGRAM_MAX];

	for (unsigned i = 0; i < STRANGERS_MAX; i++) {
		ssize_t n = recv(fd, wire, sizeof(wire), 0);

		if (n < 0) {
			/* Nobody listens there (ICMP): TCP says so for certain. */
			if (errno != EAGAIN && errno != EINTR)
				start_tcp(q);
			return;
		}
		if (udp_datagram(q, wire, (size_t)n))
			return;
	}
}

static void start_udp(struct dnsq *q)
{
	int err;

	q_close(q);
	err = qmsg_make(&q->q, q->to.key, OP_QUERY, 0, q->zone, q->qtype, 0, NULL);
	if (err == 0)
		err = remote_socket(&q->to, SOCK_DGRAM, &q->fd);
	if (err == 0)
		err = qmsg_send_udp(&q->q, q->fd);
	if (err == 0) {
		q->io = event_new(q->base, q->fd, EV_READ | EV_PERSIST, on_udp_readable, q);
		err = q->io && event_add(q->io, NULL) == 0 ? 0 : ZS_ENOMEM;
	}
	if (err != 0)
		start_tcp(q);
	else
		arm(q, (time_t)1 << q->tries++);
}

/* The first turn, and the end of patience with each try. */
static void on_timer(evutil_socket_t fd, short what, void *arg)
{
	struct dnsq *q = arg;

	if (q->fd >= 0 && q->tcp)
		tcp_failed(q, ZS_ETIMEOUT);
	else if (q->tcp || q->tries == UDP_TRIES)
		start_tcp(q);
	else
		start_udp(q);
}

struct dnsq *dnsq_start(struct event_base *ev, const struct net_remote *to, const uint8_t *zone,
			uint16_t qtype, bool tcp_only, dnsq_cb cb, void *ctx)
{
	struct dnsq *q = calloc(1, sizeof(*q));

	if (!q)
		return NULL;
	q->base = ev;
	q->to = *to;
	name_copy_lower(q->zone, zone);
	q->qtype = qtype;
	q->tcp = tcp_only;
	q->cb = cb;
	q->ctx = ctx;
	q->fd = -1;
	q->timer = evtimer_new(ev, on_timer, q);
	if (!q->timer) {
		dnsq_cancel(q);
		return NULL;
	}
	arm(q, 0);
	return q;
}

bool dnsq_soa(const struct dnsq_answer *a, const uint8_t *zone, struct soa *out)
{
	uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr m;
	struct rr rr;
	int section;

	if (a->result != 0 || !a->msg || a->rcode != RC_NOERROR)
		return false;
	m = *a->msg;
	while (msgr_rr(&m, &rr, &section, owner, rdata) == 0 && section == SEC_ANSWER)
		if (rr.type == T_SOA && rr.class == CLASS_IN && name_eq(rr.owner, zone))
			return soa_read(rr.rdata, rr.rdlen, out) == 0;
	return false;
}
