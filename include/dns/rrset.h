/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RRsets in memory, and their stored form (the value of the RECORDS and DENIAL tables; keys: dns/schema.h).
 *
 * Stored form, integers big-endian ("rrval 1"):
 *   u8  format = 1
 *   u32 CRC-32C of everything behind it
 *   u8  flags (RRV_*)
 *   u32 TTL of the RRset: the lowest of its records
 *   [u8 length + owner in wire form, original case]            with RRV_OWNER: it is not all lower case
 *   [u16 length + order key of the hashed name]                with RRV_SRC: NSEC3 in DENIAL
 *   u16 number of records, then each: u32 its own TTL, u8 flags (RRI_*), u16 length, RDATA (original case)
 *   u8  number of signatures, then each: u16 length, RRSIG RDATA
 *   [u64 expiry in seconds, u64 sequence]                      with signatures: its entry in EXPIRY
 * Records stand in canonical RDATA order; a duplicate by canonical RDATA follows its twin, marked RRI_DUP.
 */
#ifndef ZONESEAL_DNS_RRSET_H
#define ZONESEAL_DNS_RRSET_H

#include "base/arena.h"
#include "base/buf.h"
#include "dns/rr.h"

#define RRV_FORMAT 1
#define RRV_OWNER 0x01   /* owner present: original case differs from lower */
#define RRV_SRC 0x02
#define RRV_DUP 0x04     /* at least one record is RRI_DUP */
#define RRV_TTLS 0x08    /* the records' own TTLs differ */
#define RRV_OURS 0x10    /* made by zoneseal: DNSKEY, CDS, CDNSKEY, NSEC3PARAM, NSEC, NSEC3 */
#define RRI_DUP 0x01     /* equal to the one before by canonical RDATA: kept, neither signed nor served */

struct rr_item {
	uint32_t ttl;
	uint8_t flags;
	uint16_t len;
	const uint8_t *data;
};
struct sig_item { uint16_t len; const uint8_t *data; };

/* An RRset with arrays; everything is borrowed from an arena or a stored value. */
struct rrset {
	const uint8_t *owner;  /* wire, original case */
	uint16_t type;
	uint32_t ttl;
	uint8_t flags;         /* RRV_* */
	uint32_t nrr;
	struct rr_item *rr;
	uint8_t nsig;
	struct sig_item *sig;
	const uint8_t *src;    /* RRV_SRC */
	uint16_t src_len;
	uint64_t exp_time, exp_seq;
};

#define RRSET_RECORDS_MAX 65535
#define RRSET_SIGS_MAX 16

/*
 * Sorts rr[] canonically, marks duplicates, sets ttl, RRV_DUP and RRV_TTLS. Canonical copies are made in
 * scratch. ZS_ENOMEM, ZS_ELIMIT (too many records).
 */
int rrset_normalise(struct rrset *set, struct arena *scratch);
/* Appends the stored form. */
void rrset_encode(const struct rrset *set, struct wr *out);
/* Checks format, CRC and every length. owner is taken from the value, else from `owner_lower` (wire of the
 * key). Arrays come from mem; octets stay borrowed from val. ZS_ECRC, ZS_EFORMAT, ZS_EVERSION, ZS_ENOMEM. */
int rrset_decode(struct rrset *out, uint16_t type, const uint8_t *owner_lower, const uint8_t *val,
		 size_t vlen, struct arena *mem);
/* Same canonical content: TTL and records without duplicates, canonical RDATA.
 * Owner case and signatures do not count. */
bool rrset_same_content(const struct rrset *a, const struct rrset *b);

/* Reading without allocation, for rendering and scans. */
struct rrval {
	uint8_t flags;
	uint32_t ttl;
	const uint8_t *owner; /* or NULL */
	const uint8_t *src; uint16_t src_len;
	uint32_t nrr; struct rd rrs;
	uint8_t nsig; struct rd sigs;
	uint64_t exp_time, exp_seq;
};
int rrval_open(struct rrval *v, const uint8_t *val, size_t vlen); /* checks as rrset_decode */
bool rrval_rr(struct rrval *v, struct rr_item *out);   /* next record; false at the end */
bool rrval_sig(struct rrval *v, struct sig_item *out);

/* Canonical wire form of the whole RRset, duplicates left out, TTL = set->ttl, owner lower case: second part
 * of what is signed (RFC 4034 3.1.8.1). Streams of more than 64 KiB are fine. */
int rrset_canonical(const struct rrset *set, struct wr *out, struct arena *scratch);

#endif
