/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Queries over UDP, in batches: what waits is read with one call and answered with one call. An answer leaves
 * from the address that was asked, also on a wildcard socket (RFC 2181 4). The number of batches in a row is
 * bounded, so that a flood does not starve TCP. Called by the loop through server.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* recvmmsg, in6_pktinfo */
#endif
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "server_impl.h"

#define BATCH 32
#define BATCHES_AT_ONCE 8
#define CONTROL 128

struct udp_batch {
	struct mmsghdr in[BATCH], out[BATCH];
	struct iovec in_iov[BATCH], out_iov[BATCH];
	struct net_addr from[BATCH];
	union {
		struct cmsghdr align;
		uint8_t octets[CONTROL];
	} in_ctl[BATCH], out_ctl[BATCH];
	uint8_t query[BATCH][UDP_BUF], answer[BATCH][UDP_BUF];
};

struct udp_batch *udp_batch_new(void)
{
	return calloc(1, sizeof(struct udp_batch));
}

void udp_batch_free(struct udp_batch *b)
{
	free(b);
}

static int batch_read(struct udp_batch *b, int fd)
{
	for (int i = 0; i < BATCH; i++) {
		b->in_iov[i] = (struct iovec){ .iov_base = b->query[i], .iov_len = UDP_BUF };
		b->in[i].msg_hdr = (struct msghdr){.msg_name = &b->from[i],
						   .msg_namelen = sizeof(b->from[i]),
						   .msg_iov = &b->in_iov[i],
						   .msg_iovlen = 1,
						   .msg_control = &b->in_ctl[i],
						   .msg_controllen = CONTROL};
	}
	return recvmmsg(fd, b->in, BATCH, MSG_DONTWAIT, NULL);
}

static size_t put_cmsg(uint8_t *to, int level, int type, const void *data, size_t len)
{
	struct cmsghdr *c = (struct cmsghdr *)to;

	memset(to, 0, CMSG_SPACE(len));
	c->cmsg_level = level;
	c->cmsg_type = type;
	c->cmsg_len = CMSG_LEN(len);
	memcpy(CMSG_DATA(c), data, len);
	return CMSG_SPACE(len);
}

/* The source of the answer from the destination of the query; returns the octets of control data. */
static size_t answer_source(struct msghdr *in, uint8_t *to)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(in); c; c = CMSG_NXTHDR(in, c)) {
		if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
			struct in_pktinfo pi, src = { .ipi_ifindex = 0 };

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			src.ipi_spec_dst = pi.ipi_spec_dst;
			return put_cmsg(to, IPPROTO_IP, IP_PKTINFO, &src, sizeof(src));
		}
		if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
			struct in6_pktinfo pi;

			memcpy(&pi, CMSG_DATA(c), sizeof(pi));
			if (!IN6_IS_ADDR_LINKLOCAL(&pi.ipi6_addr))
				pi.ipi6_ifindex = 0; /* routing decides */
			return put_cmsg(to, IPPROTO_IPV6, IPV6_PKTINFO, &pi, sizeof(pi));
		}
	}
	return 0;
}

static bool port_is_zero(const struct net_addr *a)
{
	return (a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port) == 0;
}

/* Answers datagram i into slot n; false when nothing is to be sent. */
static bool answer_one(struct server *s, unsigned i, unsigned n)
{
	struct udp_batch *b = s->batch;
	struct answer_peer peer = { .from = b->from[i], .tcp = false };
	struct answer out = { .buf = b->answer[n], .cap = UDP_BUF };
	struct msghdr *in = &b->in[i].msg_hdr, *to = &b->out[n].msg_hdr;

	STAT_INC(&s->stats, queries_udp);
	if (port_is_zero(&peer.from))
		return false;
	if (answer_query(&s->env, &peer, b->query[i], b->in[i].msg_len, &out) != ANSWER_SEND)
		return false;
	b->out_iov[n] = (struct iovec){ .iov_base = out.buf, .iov_len = out.len };
	*to = (struct msghdr){.msg_name = &b->from[i],
			      .msg_namelen = in->msg_namelen,
			      .msg_iov = &b->out_iov[n],
			      .msg_iovlen = 1};
	to->msg_controllen = answer_source(in, b->out_ctl[n].octets);
	to->msg_control = to->msg_controllen > 0 ? &b->out_ctl[n] : NULL;
	return true;
}

/* A datagram that cannot be sent is skipped; a full socket drops the rest: clients ask again. */
static void batch_send(struct udp_batch *b, int fd, unsigned n)
{
	unsigned done = 0;

	while (done < n) {
		int sent = sendmmsg(fd, b->out + done, n - done, MSG_DONTWAIT);

		if (sent > 0)
			done += (unsigned)sent;
		else if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS)
			return;
		else if (errno != EINTR)
			done++;
	}
}

void udp_readable(struct listener *l)
{
	struct server *s = l->s;

	for (unsigned turn = 0; turn < BATCHES_AT_ONCE; turn++) {
		int got = batch_read(s->batch, l->fd);
		unsigned n = 0;

		if (got <= 0)
			return;
		for (unsigned i = 0; i < (unsigned)got; i++)
			n += answer_one(s, i, n);
		batch_send(s->batch, l->fd, n);
		if (got < BATCH)
			return;
	}
}
