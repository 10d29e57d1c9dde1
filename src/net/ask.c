/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Queries of our own. No EDNS: everything that is asked fits a plain message, and primaries that choke on OPT
 * exist. An answer belongs to a query when id, opcode, QR and question fit (RFC 5452 9.1); only an error may
 * leave the question out. Called by dnsq.c, notify.c and xfrin.c on the loop.
 */
#include "ask.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rand.h"

static int bind_source(int fd, const struct net_remote *to)
{
	struct net_addr src = to->source;

	if (!to->have_source || src.sa.sa_family != to->addr.sa.sa_family)
		return 0;
	return bind(fd, &src.sa, net_addr_len(&src));
}

int remote_socket(const struct net_remote *to, int type, int *fd)
{
	int s = socket(to->addr.sa.sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (s < 0)
		return ZS_EIO;
	if (bind_source(s, to) != 0 ||
	    (connect(s, &to->addr.sa, net_addr_len(&to->addr)) != 0 && errno != EINPROGRESS)) {
		close(s);
		return ZS_ECLOSED;
	}
	*fd = s;
	return 0;
}

int qmsg_make(struct qmsg *q, const struct tsig_key *key, uint8_t opcode, uint16_t flags, const uint8_t *zone,
	      uint16_t qtype, int section, const struct rr *extra)
{
	struct msgw w;
	int err;

	memset(q, 0, sizeof(*q));
	q->opcode = opcode;
	q->qtype = qtype;
	name_copy_lower(q->zone, zone);
	if (rand_bytes(&q->id, sizeof(q->id)) != 0)
		return ZS_EIO;
	msgw_init(&w, q->frame + 2, QMSG_MAX, q->id, msg_flags(opcode, flags, RC_NOERROR));
	err = msgw_question(&w, q->zone, qtype, CLASS_IN);
	if (err == 0 && extra)
		err = msgw_rr(&w, section, extra);
	q->len = w.len;
	if (err == 0 && key) {
		q->tsig = tsig_new(key);
		err = q->tsig ? tsig_sign_query(q->tsig, q->frame + 2, &q->len, QMSG_MAX) : ZS_ENOMEM;
	}
	put_be16(q->frame, (uint16_t)q->len);
	if (err != 0)
		qmsg_clear(q);
	return err;
}

void qmsg_clear(struct qmsg *q)
{
	tsig_free(q->tsig);
	q->tsig = NULL;
}

int qmsg_send_tcp(const struct qmsg *q, int fd)
{
	int err = 0;
	socklen_t len = sizeof(err);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &len) != 0 || err != 0)
		return ZS_ECLOSED;
	return send(fd, q->frame, 2 + q->len, MSG_NOSIGNAL) == (ssize_t)(2 + q->len) ? 0 : ZS_ECLOSED;
}

int qmsg_send_udp(const struct qmsg *q, int fd)
{
	return send(fd, q->frame + 2, q->len, MSG_NOSIGNAL) == (ssize_t)q->len ? 0 : ZS_ECLOSED;
}

int qmsg_match(const struct qmsg *q, struct msgr *m, const uint8_t *wire, size_t len)
{
	int err = msgr_open(m, wire, len);

	if (err != 0)
		return ZS_EFORMAT;
	if (m->id != q->id || !(m->flags & F_QR) || m->opcode != q->opcode)
		return ZS_EPEER;
	if (m->count[0] == 0)
		return m->rcode != RC_NOERROR || q->opcode == OP_NOTIFY ? 0 : ZS_EPEER;
	if (m->count[0] != 1 || m->qtype != q->qtype || m->qclass != CLASS_IN || !name_eq(m->qname, q->zone))
		return ZS_EPEER;
	return 0;
}

int qmsg_verify(struct qmsg *q, struct msgr *m, uint8_t *wire, size_t len, bool *verified)
{
	*verified = false;
	if (!q->tsig)
		return 0;
	if (m->tsig_pos == 0)
		return ZS_EAUTH;
	if (tsig_verify_answer(q->tsig, wire, &len, m->tsig_pos, verified) != 0 || !*verified)
		return ZS_EAUTH;
	return msgr_open(m, wire, len);
}
