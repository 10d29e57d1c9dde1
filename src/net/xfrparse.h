/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stream of an incoming transfer, message by message, without sockets or threads: header and question,
 * TSIG, the order of SOAs, the end. Driven by xfrin.c's worker, by tests and by the fuzzer.
 */
#ifndef ZONESEAL_NET_XFRPARSE_H
#define ZONESEAL_NET_XFRPARSE_H

#include "net/xfrin.h"

enum xfrp_state {
	XFRP_START,    /* nothing yet */
	XFRP_SECOND,   /* the opening SOA was read; what follows tells the kind */
	XFRP_AXFR,     /* records, until the SOA comes again */
	XFRP_IXFR_DEL, /* behind an old SOA */
	XFRP_IXFR_ADD, /* behind a new SOA */
	XFRP_END
};

struct xfrp {
	/* set by the caller */
	uint8_t zone[NAME_MAX_WIRE];
	uint16_t id, qtype;
	uint32_t ixfr_serial; /* ours, for an IXFR query */
	struct tsig *tsig;    /* that signed the query, borrowed; NULL: none */
	uint64_t max_octets;
	int (*on_rr)(void *ctx, const struct rr *rr);
	void *ctx;
	/* state */
	enum xfrp_state state;
	uint8_t soa[NAME_MAX_WIRE * 2 + 20]; /* of the opening SOA, canonical */
	uint16_t soa_len;
	uint32_t at_serial; /* IXFR: the new serial of the difference in hand */
	uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	/* result so far; result and us are the caller's */
	struct xfrin_result res;
};
void xfrp_init(struct xfrp *p);
/* The next message; wire is changed. 0, or what ends the transfer, with res.text. */
int xfrp_message(struct xfrp *p, uint8_t *wire, size_t len);
/* True when the transfer is complete (and, with a key, verified to its end). */
static inline bool xfrp_ended(const struct xfrp *p)
{
	return p->state == XFRP_END;
}
/* True when all that came is one SOA, newer than ours: the stream may go on, or this was all. */
static inline bool xfrp_is_lone_soa(const struct xfrp *p)
{
	return p->state == XFRP_SECOND && p->res.messages == 1;
}

#endif
