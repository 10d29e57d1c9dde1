/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * AXFR and IXFR client. Messages are read on the loop into a bounded queue (reading stops when it is full)
 * and consumed by one worker at a time: TSIG, parsing, then on_rr for each record in order (opening and
 * closing SOA included). An IXFR stream is handed on as it is; the result's kind says what it was. RFC 1995,
 * 5936, 8945.
 */
#ifndef ZONESEAL_NET_XFRIN_H
#define ZONESEAL_NET_XFRIN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pool.h"
#include "dns/rr.h"
#include "net/query.h"

/*
 * What came. XFR_UPTODATE: one SOA that is not newer than ours; it may be older, which the caller sees in
 * `soa`. XFR_LONE_SOA goes with ZS_EPEER: a newer SOA in answer to IXFR, and then nothing, which says "ask
 * for it all" (RFC 1995 2, meant for UDP).
 */
enum xfr_kind { XFR_NONE, XFR_AXFR, XFR_IXFR, XFR_UPTODATE, XFR_LONE_SOA };
struct xfrin_limits {
	int64_t connect_s, idle_s, total_s; /* 0: defaults of 10 s, 60 s, none */
	uint64_t max_octets;                /* of messages; 0: no bound */
};
struct xfrin_result {
	/* 0; ZS_EFORMAT (SOAs differ, malformed ...), ZS_ECLOSED (torn, refused), ZS_EPEER (rcode, id),
	 * ZS_EAUTH, ZS_ETIMEOUT, ZS_ELIMIT, ZS_ECANCEL; or what on_rr returned */
	int result;
	unsigned rcode;
	enum xfr_kind kind; /* XFR_NONE after a failure, but for XFR_LONE_SOA */
	/* IXFR failed in a way that says nothing against AXFR from the same primary: it was refused with some
	 * rcode, closed before anything came, malformed, or a lone SOA */
	bool try_axfr;
	struct soa soa; /* the opening SOA, when one came */
	uint64_t records, messages, octets;
	int64_t us;
	char text[160]; /* human reason */
};
struct xfrin_ops {
	/* worker; not 0 ends the transfer. Records arrive before the signature over them was checked:
	 * nothing counts until done() says 0. */
	int (*on_rr)(void *ctx, const struct rr *rr);
	/* loop, once, no on_rr afterwards; the handle is gone then */
	void (*done)(void *ctx, const struct xfrin_result *r);
};
struct xfrin;
/*
 * home: the mailbox that the loop runs. ixfr_soa: our SOA RDATA for an IXFR query, NULL for AXFR. NULL when
 * out of memory or without randomness; done() is never called from inside.
 */
struct xfrin *xfrin_start(struct event_base *ev, struct pool *workers, struct mailbox *home,
			  const struct net_remote *from, const uint8_t *zone, const uint8_t *ixfr_soa,
			  uint16_t ixfr_soa_len, const struct xfrin_limits *lim, const struct xfrin_ops *ops,
			  void *ctx);
/* done() comes later, with ZS_ECANCEL unless the transfer had ended already. NULL is legal. */
void xfrin_cancel(struct xfrin *x);

#endif
