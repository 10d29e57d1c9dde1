/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Questions to remotes: one query (SOA, DNSKEY) and NOTIFY. Each UDP query has its own connected socket, with
 * an id from the system's generator and a port of the kernel's choice; id, opcode and question of what comes
 * back are checked (RFC 5452 9.1). All on the loop thread.
 */
#ifndef ZONESEAL_NET_QUERY_H
#define ZONESEAL_NET_QUERY_H

#include <stdbool.h>
#include <stdint.h>

#include "dns/msg.h"
#include "dns/rr.h"
#include "net/acl.h"

struct event_base;

struct net_remote {
	struct net_addr addr;
	struct net_addr source;
	bool have_source;
	const struct tsig_key *key; /* lives until the callback came or the question was cancelled */
};

/*
 * One question: UDP three times (1, 2, 4 s), TCP on truncation, silence or an answer that does not verify.
 * The callback comes exactly once, on the loop and never from inside dnsq_start(), unless cancelled; the
 * handle is gone when the callback is called.
 */
struct dnsq_answer {
	/* 0: an answer came (rcode may be anything); ZS_ETIMEOUT, ZS_EAUTH, ZS_EPEER, ZS_ECLOSED */
	int result;
	unsigned rcode;
	bool aa, over_tcp, tsig_verified;
	struct msgr *msg; /* opened, TSIG cut; borrowed during the callback; NULL unless result 0 */
};
struct dnsq;
typedef void (*dnsq_cb)(void *ctx, const struct dnsq_answer *a);
/* NULL when out of memory or without randomness. */
struct dnsq *dnsq_start(struct event_base *ev, const struct net_remote *to, const uint8_t *zone,
			uint16_t qtype, bool tcp_only, dnsq_cb cb, void *ctx);
void dnsq_cancel(struct dnsq *q); /* NULL is legal */
/* SOA of this zone in the answer section, when there is one. */
bool dnsq_soa(const struct dnsq_answer *a, const uint8_t *zone, struct soa *out);

/*
 * NOTIFY with its retries: 2 s doubling to 60 s, at most 10; ended by any matching reply (RFC 1996 3.6). With
 * a key, a reply that does not verify ends it too, with ZS_EAUTH. The callback comes as for dnsq.
 */
struct notify;
struct notify *notify_start(struct event_base *ev, const struct net_remote *to, const struct rr *soa,
			    dnsq_cb cb, void *ctx);
void notify_cancel(struct notify *n); /* NULL is legal */

#endif
