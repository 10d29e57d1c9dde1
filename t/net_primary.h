/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A primary on loopback that does as it is told: it answers every query with the records of its script,
 * whole or spoiled. */
#ifndef ZONESEAL_T_NET_PRIMARY_H
#define ZONESEAL_T_NET_PRIMARY_H

#include "net_rig.h"

enum pack { PACKED, ONE_EACH };
struct script {
	struct net_addr addr;
	struct primary *run;
	/* what it sends over TCP, in this order */
	const struct rr *rr;
	size_t nrr;
	bool empty; /* closes without a word */
	enum pack pack;
	const struct tsig_key *key; /* signs */
	unsigned sign_every;        /* 1: each message; n: each n-th and the last; 0: none */
	unsigned spoil;             /* the MAC of this message (from 1) is wrong, or its last TTL */
	unsigned wrong_id, tc, qr0; /* in this message (from 1) */
	bool wrong_question, question_always, no_question;
	unsigned rcode;
	size_t cut;      /* octets, then the connection is closed; 0: none */
	bool endless;    /* the second record again and again */
	bool silent;     /* reads the query and says nothing */
	bool stays;      /* does not close the connection when all is sent */
	unsigned signed_off_last; /* the last message is not signed */
	/* UDP */
	unsigned udp_ignore; /* so many datagrams */
	bool udp_tc, udp_bad_id, udp_unsigned;
};
/* Listens and serves in a thread of its own, until stopped. */
void script_start(struct script *s);
/* From now on it does what s says; what is in hand goes on as it was begun. */
void script_sync(struct script *s);
unsigned script_datagrams(struct script *s); /* that have come */
void script_stop(struct script *s);

#endif
