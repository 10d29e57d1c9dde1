/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A transfer on its way in: records pass the intake and go to the external sort. Input of a change or a
 * build. */
#ifndef ZONESEAL_SRC_APP_TRANSFER_H
#define ZONESEAL_SRC_APP_TRANSFER_H

#include "dns/extsort.h"
#include "dns/intake.h"
#include "dns/ixfr.h"
#include "zone.h"

struct transfer {
	struct zone *zone;
	struct xfrin *xfr;
	struct primary_load *slot;
	struct extsort *sort;
	/* asked as IXFR; NULL from the moment it turns out to be the whole zone */
	struct ixfr *ixfr;
	unsigned forced;        /* the order (`zone retransfer`) that it carries out, 0: none */
	struct intake intake;
	bool have_soa; uint8_t soa[1024]; uint16_t soa_len; uint32_t soa_ttl; struct soa soa_fields;
	uint8_t soa_owner[NAME_MAX_WIRE];
	char from[NET_ADDR_TEXT];
	struct wr scratch;
};

/*
 * Stored in the sort: value = u8 flags, u32 TTL, u8 owner length (0: lower case), owner, RDATA. What the
 * intake sets aside is stored too: whether the zone has a ZONEMD, for whose digest it is needed, is known
 * only at the end. Readers skip it.
 */
#define TRANSFER_OURS 1   /* not of upstream */
#define TRANSFER_ASIDE 2  /* of upstream, not used */
int transfer_add(struct transfer *t, const struct rr *rr, uint8_t flags);
/*
 * A record that is no SOA of the zone, as the input table judges it. ZS_EHELD: nothing of the input can be
 * used, t->intake.discard says why.
 */
int transfer_take(struct transfer *t, const struct rr *rr);
/* The SOA that the input has. ZS_EFORMAT: it cannot be used. */
int transfer_take_soa(struct transfer *t, const struct rr *rr);
/*
 * The SOA RRset as it is published: upstream's with our serial; expire_most: 0, or the bound of its EXPIRE
 * (`soa-expire: clamp`). In mem.
 */
int transfer_soa(const struct transfer *t, uint32_t serial, int64_t expire_most, struct arena *mem,
		 struct rrset *set);
void transfer_free(struct transfer *t);

#endif
