/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The server: UDP and TCP on the loop thread, transfers rendered by a pool into bounded blocks ahead of each
 * peer. Answers what stands at a zone's apex (other names are refused), AXFR, IXFR, NOTIFY. RFC
 * 1034/1035, 1982, 1995, 1996, 5936, 6891, 7314, 7766, 7873/9018, 8482, 8914, 8945, 9210.
 */
#ifndef ZONESEAL_NET_SERVER_H
#define ZONESEAL_NET_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/clk.h"
#include "base/pool.h"
#include "net/acl.h"
#include "net/pub.h"

struct event_base;

/*
 * The app's zone as the server sees it; owned by the app, valid during the callback. A transfer keeps a
 * reference to the pub and a copy of the secondary's name; the TSIG key of a transfer must live until
 * `transfer` was called for it.
 */
struct net_zone {
	const uint8_t *name; /* wire, lower case */
	struct pub *pub;     /* NULL: nothing to serve (SERVFAIL) */
	bool expired;        /* SERVFAIL to queries and transfers */
	/* seconds left upstream under `stop`, INT64_MAX otherwise: bound of EDNS EXPIRE */
	int64_t upstream_left;
	struct acl transfer, notify, query; /* whoever may transfer may query */
	void *app;
};

struct server_ops {
	struct net_zone *(*find)(void *ctx, const uint8_t *qname_lower); /* exact zone name; NULL */
	/* some zone of ours is above: tells which EDE goes with REFUSED */
	bool (*below_zone)(void *ctx, const uint8_t *qname_lower);
	const struct tsig_key *(*key)(void *ctx, const uint8_t *name_lower);
	wall_t (*now)(void *ctx);
	/* a transfer or NOTIFY that no acl entry (or key) allows: for the log; may be NULL */
	void (*refused)(void *ctx, const uint8_t *zone, const struct net_addr *from, const char *what,
			bool has_key);
	/* a NOTIFY that passed acl and TSIG; serial_hint when has_serial */
	void (*notify)(void *ctx, struct net_zone *z, const struct net_addr *from, const char *acl_name,
		       bool has_serial, uint32_t serial_hint);
	/* a transfer out over TCP ended; type: what was sent, T_AXFR also in answer to IXFR (what was asked
	 * for when nothing was sent); result 0 or zs_err (ZS_EGIVENUP: too old or in the way);
	 * secondary: acl entry name */
	void (*transfer)(void *ctx, const uint8_t *zone, const char *secondary, const struct net_addr *to,
			 uint16_t type, uint32_t serial, uint64_t octets, uint64_t records, int64_t us,
			 int result);
	/* a transfer out is cut because its version cannot be read: what its source answered; may be NULL */
	void (*unreadable)(void *ctx, const uint8_t *zone, uint32_t serial, int err);
	/* who may transfer has been given an SOA; TCP or a verified TSIG tells that it is really them */
	void (*soa_seen)(void *ctx, struct net_zone *z, const char *secondary, uint32_t serial);
};

struct server_limits {
	unsigned transfers_out, tcp_connections, tcp_per_peer;
	int64_t tcp_idle_s;
	/* a transfer of a version that is no longer the published one is cut after this long, because its
	 * snapshot keeps the file from being reused; 0: never, negative: as soon as there is a newer one */
	int64_t snapshot_age_s;
};

/* Counters and two gauges; written by the loop, read by anybody with relaxed atomic loads. */
#define SERVER_RCODES 24
struct server_stats {
	uint64_t queries_udp, queries_tcp, answers_rcode[SERVER_RCODES], notify_in_ok, notify_in_refused,
	    tsig_bad, xfr_started, xfr_refused, tcp_accepted, tcp_refused, malformed, xfr_running, tcp_open;
	/* IXFR queries answered with the whole zone, with "you have it", and with differences over UDP */
	uint64_t ixfr_as_axfr, ixfr_uptodate, ixfr_udp;
};

struct server;
/* NULL when out of memory or without randomness. The pool must outlive the server. */
struct server *server_new(struct event_base *ev, struct pool *render, const struct server_ops *ops, void *ctx,
			  const struct server_limits *lim);
/* Takes a bound UDP or listening TCP socket (told apart by SO_TYPE). The descriptor is the server's on
 * success only. */
int server_add_socket(struct server *s, int fd);
/* Stops listening on that socket and closes it; connections that came through it go on. */
void server_remove_socket(struct server *s, int fd);
void server_set_limits(struct server *s, const struct server_limits *lim);
/*
 * Cuts the transfers of this zone that hold versions up to this one (pub.version), but for the published
 * one. Their references are given back by workers soon after.
 */
void server_give_up(struct server *s, const uint8_t *zone, uint64_t version);
const struct server_stats *server_stats(const struct server *s);
/* Stops listening, cuts transfers, waits for the blocks in hand. NULL is legal. */
void server_free(struct server *s);

#endif
