/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the network tests share: a zone in memory as the server sees it, a server on loopback in a thread of
 * its own, and a blocking client that knows nothing of the code under test but the message codec.
 */
#ifndef ZONESEAL_T_NET_RIG_H
#define ZONESEAL_T_NET_RIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/kv.h"
#include "dns/msg.h"
#include "dns/rrset.h"
#include "net/net.h"

/* --- a set of records, to compare zones with ------------------------------------------------------------ */
struct bag {
	char **line; /* owner, class, TTL, type and RDATA as text */
	size_t n, cap;
};
void bag_add(struct bag *b, const struct rr *rr);
void bag_free(struct bag *b);
/* Equal as multisets; says the first difference on stderr. */
bool bag_same(struct bag *a, struct bag *b);

/* --- a zone --------------------------------------------------------------------------------------------- */
enum { TZ_NSEC3 = 1, TZ_BIG = 2 /* a TXT record of 60,000 octets */, TZ_UNSIGNED = 4 };
struct tzone {
	struct kvmem *kv;
	struct pub *pub;
	struct bag all; /* every record that an AXFR has, the closing SOA left out */
	uint8_t name[NAME_MAX_WIRE];
	int eagain;     /* so many open() calls say ZS_EAGAIN */
	int opened, released;
	void *aside;    /* of the test: the source of the pub is the zone */
};
struct tzone *tz_new(const char *name, unsigned names, uint32_t serial, int flags);
void tz_free(struct tzone *z); /* waits for nothing: no transfer may be running */
/* SOA RDATA with this serial; returns its length. */
size_t tz_soa(uint8_t *out, uint32_t serial, uint32_t expire);

/* --- a server ------------------------------------------------------------------------------------------- */
struct rig {
	struct server *server;
	struct net_addr udp4, tcp4, udp6;
	struct net_zone zone;
	struct tzone *tz;
	struct tsig_key *key, *other_key; /* both known to the server; zone.transfer may name them */
	struct acl_entry transfer[4], notify[4], query[4];
	wall_t now;
	/* what the callbacks saw; under lock */
	unsigned notified, transferred, seen;
	bool hint;
	uint32_t hint_serial, seen_serial;
	int last_result;
	uint16_t last_type;
	uint64_t last_records, last_octets;
	struct rig_impl *impl;
};
/* Everybody on loopback may transfer, query and notify; change the lists with rig_call(). */
struct rig *rig_new(struct tzone *z, const struct server_limits *lim);
void rig_free(struct rig *r);
/* Runs fn(arg) on the server's thread and waits for it. */
void rig_call(struct rig *r, void (*fn)(void *), void *arg);
/* For rig_call(): the zone has a newer version than transfers under way; and as before. arg: the rig. */
void rig_publish_another(void *arg);
void rig_unpublish_another(void *arg);
/* Waits (bounded) until *counter, under the lock, is at least n. */
bool rig_await(struct rig *r, const unsigned *counter, unsigned n);

/* --- a client ------------------------------------------------------------------------------------------- */
int t_connect(const struct net_addr *to, int type);
bool t_send_tcp(int fd, const uint8_t *wire, size_t len);
/* One message into buf (MSG_MAX); its length, 0 at the end of the stream or after 10 s. */
size_t t_recv_tcp(int fd, uint8_t *buf);
size_t t_recv_udp(int fd, uint8_t *buf, size_t cap);
struct tq {
	uint8_t wire[2048];
	size_t len;
	uint16_t id, qtype;
};
/* A query; e and rr (in section) may be NULL. */
void tq_make(struct tq *q, const char *name, uint16_t qtype, unsigned opcode, const struct edns *e,
	     int section, const struct rr *rr);
/* Sends the query and reads one answer into buf; its length. */
size_t tq_ask(const struct net_addr *to, bool tcp, const struct tq *q, uint8_t *buf);
/* Reads a whole AXFR from fd; with t every message is verified. False: torn, refused or not verified. */
bool t_read_axfr(int fd, uint16_t id, const uint8_t *zone, struct tsig *t, struct bag *out,
		 unsigned *messages);

#endif
