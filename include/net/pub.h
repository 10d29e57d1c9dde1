/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is published of a zone: immutable, counted. Built by a worker, handed to the loop, lent to transfers.
 * The apex RRsets and the proof live in its arena. The loop answers from this alone and never touches the
 * store.
 */
#ifndef ZONESEAL_NET_PUB_H
#define ZONESEAL_NET_PUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/kv.h"
#include "dns/rrset.h"

struct diff;

/* From one served version to the next: rr[0..nremoved) go (the old SOA first), the nadded behind them come
 * (the new SOA first). */
struct pub_step {
	uint32_t from, to;
	const struct rr *rr;
	size_t nremoved, nadded;
};

struct pub {
	int refs; /* atomic */
	struct arena *mem;
	const uint8_t *zone; /* wire, lower case */
	uint32_t serial;
	uint64_t version; /* rises with every version, as serials do not */
	bool is_signed;
	const struct rrset *set; /* apex RRsets with signatures; SOA is set[0] */
	size_t nset;
	const struct rrset *denial; /* NSEC or NSEC3 at the apex: NODATA proof; NULL when unsigned */
	uint32_t soa_expire;
	int64_t earliest_expiry; /* wall; of any signature in the zone; INT64_MAX when unsigned */
	/* opens the version's records for a transfer (worker); ZS_EAGAIN: try again soon */
	int (*open)(void *source, struct kv **out);
	/* what leads from `serial` to this version (worker). ZS_ENOENT: what is kept does not reach so far;
	 * ZS_ELIMIT: larger than allowed; ZS_EAGAIN: try again soon. NULL: nothing is kept */
	int (*open_diff)(void *source, uint32_t serial, struct diff **out);
	void (*release)(void *source); /* called with the last reference (any thread) */
	void *source;
	uint64_t rrs_estimate;
	uint64_t store_octets;        /* of the file behind it, for the statistics */
	/* the newest steps, oldest first, the last one leads here: IXFR over UDP; records in mem */
	const struct pub_step *step;
	size_t nstep;
};
struct pub *pub_new(void); /* refs 1, own arena; NULL when out of memory */
struct pub *pub_ref(struct pub *p);
void pub_unref(struct pub *p); /* NULL is legal */

#endif
