/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zone on a loopback server that has a scripted difference, and a client that takes the answer apart as
 * RFC 1995 4 says, without the one under test. What is wrong fails the test.
 */
#ifndef ZONESEAL_T_NET_DIFF_H
#define ZONESEAL_T_NET_DIFF_H

#include "net_rig.h"

#define NOW 1000u /* serial of the zone */
extern const uint8_t apex[];

struct rr make_soa(struct arena *a, uint32_t serial);
/* Record i: an A; four of one owner, so that pointers in messages are of use. */
struct rr make_rr(struct arena *a, unsigned i);

struct script {
	uint32_t from, to;
	struct rr *rr;
	size_t nremoved, nadded;
	uint64_t octets;
	/* how it goes wrong */
	int open_err;       /* open_diff() says so, */
	int times;          /* so often; 0: always */
	unsigned fail_pass; /* the next() of this reading (from 1) fails at record fail_at */
	size_t fail_at;
	int opened, closed; /* atomic */
};
/* n records go, n others come. */
struct script make_script(struct arena *a, uint32_t from, unsigned n);

/* What came. */
struct stream {
	struct arena *a;
	struct rr *rr;
	size_t n, cap;
	unsigned messages, smallest, largest; /* but for the last message, which may be short */
	struct edns edns;
};
void stream_clear(struct stream *st);
bool is_soa(const struct rr *rr);
uint32_t serial_of(const struct rr *rr);
/* One message: header, question in the first alone, signature, records; its rcode. */
unsigned take_message(struct stream *st, uint8_t *wire, size_t len, uint16_t id, struct tsig *t);
void same_rr(const struct rr *a, const struct rr *b);

void ixfr_query(struct tq *q, uint32_t serial, const struct edns *e, const struct tsig_key *key,
		struct tsig **t);
/* Asks by TCP and reads to the end, or one message (lone). False: the connection was cut. */
bool fetch(struct rig *r, const struct tq *q, struct tsig *t, bool lone, struct stream *st, unsigned *rcode);
/* Asks, reads, and waits until the server has told of it. */
bool transfer(struct rig *r, uint32_t serial, const struct tsig_key *key, struct stream *st, unsigned *rcode);
/* Exactly: our SOA, the script, our SOA. */
void is_script(const struct stream *st, const struct script *s);
void is_zone(const struct stream *st, struct tzone *z);

struct fix {
	struct arena *a;
	struct tzone *z;
	struct script s;
	struct stream st;
	struct rig *r;
};
/* The script leads from NOW - 5 to NOW. */
void fix_begin(struct fix *f, unsigned records);
void fix_end(struct fix *f); /* each difference was given back */

#endif
