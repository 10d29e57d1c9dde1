/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An answer to an IXFR query: gathered record by record, then applied to the stored RECORDS (RFC 1995 4).
 * Pure over the raw iterator; one thread at a time. Whatever goes wrong, the way on is an AXFR: nothing of a
 * difference that does not fit is taken, and what was written into `after` by then is the caller's to drop.
 */
#ifndef ZONESEAL_DNS_IXFR_H
#define ZONESEAL_DNS_IXFR_H

#include "dns/change.h"

enum ixfr_kind {
	IXFR_UNKNOWN,    /* no more than the opening SOA yet */
	IXFR_AXFR,       /* it is the whole zone: records are not kept here */
	IXFR_DIFFERENCE
};

/* Why it cannot be taken. */
enum ixfr_fault {
	IXFR_OK,
	IXFR_SEQUENCE,   /* SOAs out of order, not closed */
	IXFR_LIMIT,      /* over a bound */
	IXFR_INPUT,      /* the intake discards it: its reason is in the intake */
	IXFR_MISMATCH,   /* what is deleted is not there, what is added is */
	IXFR_DUPLICATES, /* touches an RRset that has duplicates by canonical RDATA */
	IXFR_LOCAL       /* memory, the store: not the primary's doing */
};

struct ixfr_limits {
	size_t octets;    /* most memory that the gathered records take */
	uint64_t records; /* most of them, SOAs included */
	size_t work;      /* most octets of touched RRsets while it is applied */
	bool exact;       /* it is of our own making: nothing that stands is replaced, IXFR_DUPLICATES */
};
#define IXFR_OCTETS ((size_t)64 << 20)
#define IXFR_WORK ((size_t)256 << 20)

struct ixfr;
/* serial: of upstream, as we have it. lim: a 0 is no bound; NULL: the values above. */
int ixfr_new(const uint8_t *zone, uint32_t serial, const struct ixfr_limits *lim, struct ixfr **out);
void ixfr_free(struct ixfr *x);

/*
 * The next record, opening and closing SOA included; copied. After each one ixfr_kind() may have changed:
 * with IXFR_AXFR this and all later records are the caller's to use (the opening one: ixfr_soa()), and they
 * are passed over here. ZS_EFORMAT, ZS_ELIMIT, ZS_ENOMEM: for good, ixfr_text() says why.
 */
int ixfr_add(struct ixfr *x, const struct rr *rr);
enum ixfr_kind ixfr_kind(const struct ixfr *x);
/* The closing SOA of a difference came. */
bool ixfr_is_complete(const struct ixfr *x);
/* The opening SOA, which is the new one: owner, TTL and RDATA as received, borrowed. ZS_ENOENT. */
int ixfr_soa(const struct ixfr *x, struct rr *out);
uint64_t ixfr_records(const struct ixfr *x);
size_t ixfr_steps(const struct ixfr *x);
/* The owners of what is added, and then of what is deleted, which apply meets first; some come twice. Ends
 * early, with its answer, when the function's is not 0. */
int ixfr_owners(const struct ixfr *x, int (*fn)(void *ctx, const uint8_t *owner), void *ctx);

/*
 * Applies a complete difference to the RECORDS of `after`, step by step, deletions before additions. Both
 * sides pass the filter of `in` (its zone, mode and keep_zonemd); counts of what is dropped or stripped are
 * those of additions, findings those of records that stay. records and bytes go up by what is new in net, and
 * what is deleted is not taken off: set them to the zone's for limits of the whole. Whole RRsets and owners
 * are not judged here (intake_rrset(), intake_owner()).
 * RRsets marked RRV_OURS and the SOA are left alone. Nothing is written before all of it has been found to
 * fit. Can be called again, over another base.
 * 0; ZS_EFORMAT, ZS_ELIMIT; ZS_EHELD: an RRset of over 65,535 records, a finding in `in`; what the handle
 * answers. ixfr_fault() and ixfr_text() tell more. sums is set on success.
 */
int ixfr_apply(struct ixfr *x, struct kv *after, struct intake *in, struct change_sums *sums);
enum ixfr_fault ixfr_fault(const struct ixfr *x);
/* "mismatch", ...: stable, for metrics. */
const char *ixfr_fault_text(enum ixfr_fault f);
/* For people, "" while nothing is wrong. */
const char *ixfr_text(const struct ixfr *x);

#endif
