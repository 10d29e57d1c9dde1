/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the clients share: a socket towards a remote, a query with its id and TSIG, and whether an answer
 * belongs to it. */
#ifndef ZONESEAL_NET_ASK_H
#define ZONESEAL_NET_ASK_H

#include "net/query.h"

#define QMSG_MAX 2048

/* A fresh non-blocking socket from the remote's source address (any port) that is connected, or, for TCP,
 * being connected. ZS_ECLOSED when the network says no at once. */
int remote_socket(const struct net_remote *to, int type, int *fd);

struct qmsg {
	struct tsig *tsig; /* or NULL */
	uint16_t id, qtype;
	uint8_t opcode;
	uint8_t zone[NAME_MAX_WIRE];
	size_t len;                  /* of the message */
	uint8_t frame[2 + QMSG_MAX]; /* the length that TCP wants, then the message */
};
/*
 * A query with a random id. extra, in its section, may be NULL. The struct is written anew. 0, ZS_EIO (no
 * randomness), ZS_ENOMEM, ZS_EAUTH (signing failed).
 */
int qmsg_make(struct qmsg *q, const struct tsig_key *key, uint8_t opcode, uint16_t flags, const uint8_t *zone,
	      uint16_t qtype, int section, const struct rr *extra);
void qmsg_clear(struct qmsg *q);
/* Writes all of it to a connection that has just been made, which has room. ZS_ECLOSED. */
int qmsg_send_tcp(const struct qmsg *q, int fd);
int qmsg_send_udp(const struct qmsg *q, int fd);
/* Opens what came back and compares header and question. 0, or ZS_EPEER (not ours), ZS_EFORMAT. */
int qmsg_match(const struct qmsg *q, struct msgr *m, const uint8_t *wire, size_t len);
/* Verifies a single answer that matches and cuts its TSIG off; m is opened again. ZS_EAUTH. *verified:
 * with a key. */
int qmsg_verify(struct qmsg *q, struct msgr *m, uint8_t *wire, size_t len, bool *verified);

#endif
