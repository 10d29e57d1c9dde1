/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What is gathered of an IXFR, shared by ixfr.c (in) and ixfr_apply.c (out). */
#ifndef ZONESEAL_SRC_DNS_IXFR_IMPL_H
#define ZONESEAL_SRC_DNS_IXFR_IMPL_H

#include "base/arena.h"
#include "dns/ixfr.h"

/* A record: owner, then RDATA. */
struct ixfr_rec {
	struct ixfr_rec *next;
	uint32_t ttl;
	uint16_t type, class, rdlen;
	uint8_t olen;
	uint8_t octets[];
};

enum { IXFR_DEL, IXFR_ADD };
struct ixfr_step {
	struct ixfr_step *next;
	uint32_t from, to;
	struct ixfr_rec *list[2]; /* IXFR_DEL, IXFR_ADD; in the order in which they came */
};

enum ixfr_state {
	IXS_START,  /* nothing yet */
	IXS_SECOND, /* behind the opening SOA */
	IXS_DEL,    /* behind an old SOA */
	IXS_ADD,    /* behind a new SOA */
	IXS_END,    /* behind the closing SOA */
	IXS_AXFR,
	IXS_BROKEN
};

struct ixfr {
	uint8_t zone[NAME_MAX_WIRE];
	uint32_t serial;          /* ours */
	struct ixfr_limits lim;
	struct arena *mem;
	enum ixfr_state state;
	enum ixfr_kind kind;
	struct ixfr_rec *soa;     /* the opening one */
	uint32_t soa_serial;
	struct ixfr_step *first, *last;
	struct ixfr_rec **tail;   /* where the next record of the list in hand goes */
	uint64_t records;
	size_t steps;
	int err;                  /* with IXS_BROKEN */
	enum ixfr_fault fault;
	char text[NAME_MAX_TEXT + 160];
};

/* Notes why, and returns err. */
int ixfr_fail(struct ixfr *x, enum ixfr_fault fault, int err, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

static inline struct rr ixfr_rr(const struct ixfr_rec *r)
{
	return (struct rr){ .owner = r->octets, .type = r->type, .class = r->class, .ttl = r->ttl,
			    .rdata = r->octets + r->olen, .rdlen = r->rdlen };
}

#endif
