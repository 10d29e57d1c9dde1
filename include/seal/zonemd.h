/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The digest of a whole zone at its apex, ZONEMD (RFC 8976): scheme SIMPLE with SHA-384 and SHA-512, checked
 * while the zone's RRsets pass once in canonical order. Nothing but the hash states is kept.
 */
#ifndef ZONESEAL_SEAL_ZONEMD_H
#define ZONESEAL_SEAL_ZONEMD_H

#include "dns/rrset.h"

/* In the order in which they are reported when several records fail in different ways: the last one. */
enum zonemd_result {
	ZONEMD_ABSENT,
	ZONEMD_VERIFIED,    /* one record of a known scheme and hash is right: enough (RFC 8976 4) */
	ZONEMD_UNSUPPORTED, /* none has a known scheme and hash: nothing is said about the zone */
	/* failures: */
	ZONEMD_LENGTH,      /* a digest of the wrong length */
	ZONEMD_SERIAL,      /* not for this serial */
	ZONEMD_MISMATCH,    /* the zone is another */
	ZONEMD_TWICE,       /* two records with the same scheme and hash: none counts */
	ZONEMD_RESULTS
};
const char *zonemd_result_text(enum zonemd_result r); /* for a sentence: "digest differs" */
static inline bool zonemd_failed(enum zonemd_result r) { return r >= ZONEMD_LENGTH; }

struct zonemd;
/* soa: the apex SOA as received; it takes its place in the digest by itself. All is copied.
 * NULL when out of memory. */
struct zonemd *zonemd_new(const struct rr *soa);
/*
 * The next RRset, normalised, of the zone as it was received: with all DNSSEC records, occluded data and
 * glue, records with their own TTLs. Owners in canonical order, types ascending. What the digest leaves out
 * (the apex ZONEMD RRset, its signatures, duplicates) is left out here; so is an apex SOA. ZS_ECRYPTO,
 * ZS_EFORMAT.
 */
int zonemd_add(struct zonemd *z, const struct rrset *set);
/* After the last one, once. */
int zonemd_end(struct zonemd *z, enum zonemd_result *out);
void zonemd_free(struct zonemd *z); /* NULL is legal */

#endif
