/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input table: what an upstream may send, record by record while a transfer arrives, and owner by
 * owner once it is sorted. Pure: counts and findings come back in struct intake, the caller decides and logs.
 * RFC 1034 3.6.2, RFC 2181 10.1, RFC 4035 2, RFC 5936 3, RFC 6672 2.3-2.4.
 */
#ifndef ZONESEAL_DNS_INTAKE_H
#define ZONESEAL_DNS_INTAKE_H

#include "dns/rr.h"
#include "dns/rrset.h"
#include "dns/walk.h"

enum intake_mode { INTAKE_REFUSE, INTAKE_STRIP, INTAKE_PASS };
/* INTAKE_ASIDE: in the zone but not to be used; of interest to a digest of the zone as it was received
 * (ZONEMD). */
enum intake_verdict { INTAKE_KEEP, INTAKE_DROP, INTAKE_ASIDE, INTAKE_DISCARD /* the transfer */ };

/* Why an input is held or discarded; text in intake_reason_text(). */
enum intake_reason {
	IR_NONE, IR_NO_SOA, IR_NO_NS, IR_APEX_DS, IR_DS_WITHOUT_NS, IR_CNAME_AND_OTHER, IR_TWO_CNAMES,
	IR_DNAME_AND_CNAME, IR_TWO_DNAMES, IR_DNAME_AND_NS, IR_RR_TOO_BIG, IR_RRSET_TOO_BIG, IR_MANY_TYPES,
	IR_DNSSEC, IR_ZONEMD,
	IR_SHRINK, IR_CHURN, /* against the stored version: found by the caller, intake_hold() */
	/* discard: */
	IR_TORN_SOA, IR_CLASS, IR_META, IR_RECORDS_LIMIT, IR_BYTES_LIMIT, IR_MALFORMED, IR_REASONS
};
/* short, stable: used as metric label, e.g. "cname-and-other-data" */
const char *intake_reason_text(enum intake_reason r);

#define INTAKE_NAMES 10
#define INTAKE_TYPES_MAX 1000 /* of a name that is signed: what its bitmap is made of is held in memory */
#define INTAKE_RRSET_MAX (1u << 20) /* octets of an RRset: default and most of `limits: rrset` */
/* A record fits no message when nothing is left of it for header, owner and the largest TSIG. */
#define INTAKE_TSIG_ROOM 364
struct intake_finding {
	enum intake_reason reason;
	uint64_t count;
	unsigned nnames;
	uint8_t names[INTAKE_NAMES][NAME_MAX_WIRE];
};

struct intake {
	/* set by the caller */
	uint8_t zone[NAME_MAX_WIRE];
	enum intake_mode mode;
	/* the zone is not signed here: apex ZONEMD is data like any other */
	bool keep_zonemd;
	uint64_t max_records, max_bytes;
	uint32_t max_rrset;
	/* results */
	uint64_t records, bytes;                     /* kept so far */
	uint64_t dropped_out_of_zone, dropped_soa;
	uint64_t stripped_rrsig, stripped_nsec, stripped_nsec3, stripped_nsec3param, stripped_dnskey,
		stripped_cds, stripped_cdnskey, stripped_private, stripped_zonemd;
	uint64_t ttl_differs, duplicates, big_answers;
	bool had_dnskey;                             /* an apex DNSKEY was seen: the parent may hold a DS */
	bool had_zonemd;                             /* an apex ZONEMD was seen */
	/* how that ended (0 or 1), set by who has verified it */
	uint64_t zonemd_verified, zonemd_unsupported;
	struct intake_finding held[IR_REASONS];      /* by reason; count 0 = none */
	enum intake_reason discard;                  /* IR_NONE, or why the transfer is thrown away */
	/* private */
	bool seen_apex;
	uint16_t soa_len;
	uint8_t soa[2 * NAME_MAX_WIRE + 20];         /* canonical RDATA of the first one */
};
/* No limits but those of the format; the caller sets its own afterwards. */
void intake_init(struct intake *in, const uint8_t *zone, enum intake_mode mode);
/* One record as received (not the closing SOA). Does not see order. */
enum intake_verdict intake_record(struct intake *in, const struct rr *rr);
/* One whole RRset, in any order: its records with duplicates and the sum of their RDATA lengths. */
void intake_rrset(struct intake *in, const uint8_t *owner, uint32_t nrr, uint64_t octets, uint32_t duplicates,
		  bool ttls_differ);
/* The same of an RRset as it is stored, unless it is ours or the apex SOA. How many of its records count. */
uint32_t intake_set(struct intake *in, const struct rrset *s);
/* One whole owner with its kind and types, in canonical order; ntypes counts[i] records (without duplicates)
 * of types[i]. Occluded owners are just kept. */
void intake_owner(struct intake *in, enum node_kind kind, const uint8_t *owner, const uint16_t *types,
		  const uint32_t *counts, size_t ntypes);
/* Something of the zone itself is set aside, apart from ZONEMD:
 * a digest over what is kept would be another. */
bool intake_is_altered(const struct intake *in);
/* After the last owner. True when something is held. */
bool intake_is_held(const struct intake *in);
/* A finding from elsewhere (ZONEMD, guards): counted and named like the others. */
void intake_hold(struct intake *in, enum intake_reason reason, const uint8_t *owner);
/* "cname-and-other-data: 156 names: a.example., b.example., ..." for each finding, into dst (cut at cap). */
void intake_describe(const struct intake *in, char *dst, size_t cap);

#endif
