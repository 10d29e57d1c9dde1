/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See net_primary.h. One connection at a time, blocking. */
#include "net_primary.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct primary {
	pthread_mutex_t lock;
	struct script now;
	unsigned datagrams;
	int udp, tcp, stop[2];
	pthread_t thread;
};

struct out {
	struct script *s;
	int fd;
	size_t sent;
	struct tsig *t;
	uint16_t id, qtype;
	uint8_t qname[NAME_MAX_WIRE];
	unsigned n;
	struct msgw w;
	uint8_t wire[MSG_MAX];
	uint8_t *held; /* messages since the last MAC, one behind the other */
	size_t held_len;
};

/* False: the connection is over. */
static bool out_octets(struct out *o, const uint8_t *p, size_t len)
{
	bool cut = o->s->cut > 0 && o->sent + len > o->s->cut;

	if (cut)
		len = o->s->cut - o->sent;
	o->sent += len;
	return (len == 0 || send(o->fd, p, len, MSG_NOSIGNAL) == (ssize_t)len) && !cut;
}

static void out_begin(struct out *o)
{
	struct script *s = o->s;
	uint16_t flags = F_QR | F_AA;

	o->n++;
	if (s->tc == o->n)
		flags |= F_TC;
	if (s->qr0 == o->n)
		flags &= (uint16_t)~F_QR;
	msgw_init(&o->w, o->wire, 16384, (uint16_t)(o->id + (s->wrong_id == o->n)),
		  msg_flags(OP_QUERY, flags, s->rcode));
	o->w.reserve = 512;
	if (s->wrong_question)
		o->qname[1] = 'X';
	if ((o->n == 1 && !s->no_question) || s->question_always)
		msgw_question(&o->w, o->qname, o->qtype, CLASS_IN);
}

static void hold(struct out *o)
{
	o->held = realloc(o->held, o->held_len + o->w.len + 512);
	if (!o->held)
		abort();
	memcpy(o->held + o->held_len, o->wire, o->w.len);
	o->held_len += o->w.len;
}

/* One MAC over all that is held (RFC 8945 5.3.1); the record goes behind the last message. libknot counts it
 * in the header at the front, which is another message's. */
static size_t sign_held(struct out *o)
{
	size_t before = o->held_len - o->w.len, all = o->held_len, len;
	uint16_t count = be16(o->wire + 10);

	if (tsig_sign_answer(o->t, o->held, &all, o->held_len + 512) != 0)
		abort();
	len = all - before;
	memcpy(o->wire, o->held + before, len);
	put_be16(o->wire + 10, (uint16_t)(count + 1));
	o->held_len = 0;
	return len;
}

static bool out_message(struct out *o, bool last)
{
	struct script *s = o->s;
	uint8_t head[2];
	size_t len = o->w.len;
	bool sign = s->sign_every > 0 && (o->n == 1 || last || (o->n - 1) % s->sign_every == 0);

	if (s->sign_every > 0)
		hold(o);
	if (sign && !(last && s->signed_off_last))
		len = sign_held(o);
	if (s->spoil == o->n)
		o->wire[len - 10] ^= 1;
	put_be16(head, (uint16_t)len);
	return out_octets(o, head, 2) && out_octets(o, o->wire, len);
}

static void serve_stream(struct out *o)
{
	struct script *s = o->s;
	size_t i = 0;

	out_begin(o);
	while (i < s->nrr) {
		if (msgw_rr(&o->w, SEC_ANSWER, &s->rr[i]) != 0)
			abort();
		i += s->endless && i == 1 ? 0 : 1;
		if (s->pack == ONE_EACH && i < s->nrr) {
			if (!out_message(o, false))
				return;
			out_begin(o);
		} else if (o->w.len > 15000) {
			if (!out_message(o, false))
				return;
			out_begin(o);
		}
	}
	out_message(o, true);
}

/* Takes the query apart; false: not one. */
static bool open_query(struct out *o, uint8_t *wire, size_t len)
{
	struct msgr m;
	uint16_t rcode;

	if (msgr_open(&m, wire, len) != 0)
		return false;
	o->id = m.id;
	o->qtype = m.qtype;
	memcpy(o->qname, m.qname, m.qname_len);
	o->t = o->s->key ? tsig_new(o->s->key) : NULL;
	if (o->t && (m.tsig_pos == 0 || tsig_verify_query(o->t, wire, &len, m.tsig_pos, &rcode) != 0)) {
		tsig_free(o->t);
		return false;
	}
	return true;
}

static void serve_tcp(struct script *s, int fd)
{
	struct out *o = calloc(1, sizeof(*o));
	struct timeval tv = { .tv_sec = 10 };
	static uint8_t query[MSG_MAX];
	char c;
	size_t n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	n = t_recv_tcp(fd, query);
	o->s = s;
	o->fd = fd;
	if (n > 0 && s->silent) {
		while (recv(fd, &c, 1, 0) > 0) /* until the client goes */
			;
	} else if (n > 0 && !s->empty && open_query(o, query, n)) {
		serve_stream(o);
		tsig_free(o->t);
		while (s->stays && recv(fd, &c, 1, 0) > 0)
			;
	}
	free(o->held);
	free(o);
	close(fd);
}

static void serve_udp(struct script *s, int fd, unsigned nth)
{
	struct out *o = calloc(1, sizeof(*o));
	struct sockaddr_storage from;
	socklen_t flen = sizeof(from);
	uint8_t query[2048];
	ssize_t n = recvfrom(fd, query, sizeof(query), 0, (struct sockaddr *)&from, &flen);
	struct msgr m;
	size_t len;

	o->s = s;
	if (n > 0 && nth > s->udp_ignore && open_query(o, query, (size_t)n)) {
		msgr_open(&m, query, (size_t)n);
		msgw_init(&o->w, o->wire, 4096, (uint16_t)(o->id + s->udp_bad_id),
			  msg_flags(m.opcode, F_QR | F_AA | (s->udp_tc ? F_TC : 0), s->rcode));
		msgw_question(&o->w, o->qname, o->qtype, CLASS_IN);
		for (size_t i = 0; i < s->nrr && !s->udp_tc && m.opcode == OP_QUERY; i++)
			msgw_rr(&o->w, SEC_ANSWER, &s->rr[i]);
		len = o->w.len;
		if (o->t && !s->udp_unsigned)
			tsig_sign_answer(o->t, o->wire, &len, sizeof(o->wire));
		sendto(fd, o->wire, len, 0, (struct sockaddr *)&from, flen);
		tsig_free(o->t);
	}
	free(o);
}

static void *primary(void *arg)
{
	struct primary *r = arg;
	struct pollfd p[3] = { { r->udp, POLLIN, 0 }, { r->tcp, POLLIN, 0 }, { r->stop[0], POLLIN, 0 } };

	while (poll(p, 3, -1) > 0 && !p[2].revents) {
		struct script s;
		unsigned nth;
		int fd;

		pthread_mutex_lock(&r->lock);
		s = r->now;
		nth = r->datagrams += p[0].revents != 0;
		pthread_mutex_unlock(&r->lock);
		if (p[0].revents)
			serve_udp(&s, r->udp, nth);
		fd = p[1].revents ? accept(r->tcp, NULL, NULL) : -1;
		if (fd >= 0)
			serve_tcp(&s, fd);
	}
	return NULL;
}

void script_sync(struct script *s)
{
	pthread_mutex_lock(&s->run->lock);
	s->run->now = *s;
	pthread_mutex_unlock(&s->run->lock);
}

unsigned script_datagrams(struct script *s)
{
	unsigned n;

	pthread_mutex_lock(&s->run->lock);
	n = s->run->datagrams;
	pthread_mutex_unlock(&s->run->lock);
	return n;
}

void script_start(struct script *s)
{
	struct net_addr a = { .v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) } };
	struct primary *r = calloc(1, sizeof(*r));
	socklen_t len = sizeof(a);
	int fds[2];

	if (!r || net_bind(&a, fds) != 0 || pipe(r->stop) != 0 || getsockname(fds[0], &a.sa, &len) != 0)
		abort();
	r->udp = fds[0];
	r->tcp = fds[1];
	s->addr = a;
	s->run = r;
	pthread_mutex_init(&r->lock, NULL);
	script_sync(s);
	if (pthread_create(&r->thread, NULL, primary, r) != 0)
		abort();
}

void script_stop(struct script *s)
{
	struct primary *r = s->run;

	close(r->stop[1]);
	pthread_join(r->thread, NULL);
	close(r->stop[0]);
	close(r->udp);
	close(r->tcp);
	pthread_mutex_destroy(&r->lock);
	free(r);
	s->run = NULL;
}
