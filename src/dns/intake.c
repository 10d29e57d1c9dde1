/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input table. intake_record() decides on each record by itself: keep it, drop it, or throw the
 * transfer away; intake_owner() sees whole owners in order and finds what makes a zone unfit. Findings keep
 * the first names and the full count, they never end anything here. What is occluded is not judged. Called
 * while a transfer is taken in.
 */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "dns/intake.h"
#include "dns/msg.h"

#define RECORD_FIXED 10 /* type, class, TTL, RDATA length */
#define RRSET_RECORDS 65535

static const char *const reasons[IR_REASONS] = {
	[IR_NONE] = "none",
	[IR_NO_SOA] = "no-soa",
	[IR_NO_NS] = "no-ns",
	[IR_APEX_DS] = "ds-at-apex",
	[IR_DS_WITHOUT_NS] = "ds-without-ns",
	[IR_CNAME_AND_OTHER] = "cname-and-other-data",
	[IR_TWO_CNAMES] = "two-cnames",
	[IR_DNAME_AND_CNAME] = "dname-and-cname",
	[IR_TWO_DNAMES] = "two-dnames",
	[IR_DNAME_AND_NS] = "dname-and-ns",
	[IR_RR_TOO_BIG] = "record-too-big",
	[IR_RRSET_TOO_BIG] = "rrset-too-big",
	[IR_MANY_TYPES] = "too-many-types",
	[IR_DNSSEC] = "dnssec-records",
	[IR_ZONEMD] = "zonemd-mismatch",
	[IR_SHRINK] = "shrink-guard",
	[IR_CHURN] = "churn-guard",
	[IR_TORN_SOA] = "torn-soa",
	[IR_CLASS] = "class",
	[IR_META] = "meta-type",
	[IR_RECORDS_LIMIT] = "limit-records",
	[IR_BYTES_LIMIT] = "limit-bytes",
	[IR_MALFORMED] = "malformed",
};

const char *intake_reason_text(enum intake_reason r)
{
	return (unsigned)r < IR_REASONS ? reasons[r] : "unknown";
}

void intake_init(struct intake *in, const uint8_t *zone, enum intake_mode mode)
{
	memset(in, 0, sizeof(*in));
	name_copy_lower(in->zone, zone);
	in->mode = mode;
	in->max_records = in->max_bytes = UINT64_MAX;
	in->max_rrset = INTAKE_RRSET_MAX;
}

void intake_hold(struct intake *in, enum intake_reason reason, const uint8_t *owner)
{
	struct intake_finding *f = &in->held[reason];

	f->reason = reason;
	f->count++;
	for (unsigned i = 0; i < f->nnames; i++)
		if (name_eq(f->names[i], owner))
			return;
	if (f->nnames < INTAKE_NAMES)
		memcpy(f->names[f->nnames++], owner, name_len(owner));
}

static enum intake_verdict discard(struct intake *in, enum intake_reason reason)
{
	if (in->discard == IR_NONE)
		in->discard = reason;
	return INTAKE_DISCARD;
}

/* Where DNSSEC of the upstream's own is counted; NULL when this record is none. */
static uint64_t *dnssec_counter(struct intake *in, uint16_t type, bool apex)
{
	switch (type) {
	case T_RRSIG:
		return &in->stripped_rrsig;
	case T_NSEC:
		return &in->stripped_nsec;
	case T_NSEC3:
		return &in->stripped_nsec3;
	case T_NSEC3PARAM:
		return apex ? &in->stripped_nsec3param : NULL;
	case T_DNSKEY:
		return apex ? &in->stripped_dnskey : NULL;
	case T_CDS:
		return apex ? &in->stripped_cds : NULL;
	case T_CDNSKEY:
		return apex ? &in->stripped_cdnskey : NULL;
	case T_PRIVATE_SIGNING:
		return apex ? &in->stripped_private : NULL;
	default:
		return NULL;
	}
}

/*
 * An apex SOA: the first one is remembered, any other content means that the zone changed under the
 * transfer.
 */
static enum intake_verdict take_soa(struct intake *in, const struct rr *rr)
{
	uint8_t canon[sizeof(in->soa)];

	if (rr->rdlen > sizeof(canon))
		return discard(in, IR_MALFORMED);
	rdata_canonical(T_SOA, rr->rdata, rr->rdlen, canon);
	if (in->soa_len == 0) {
		in->soa_len = rr->rdlen;
		memcpy(in->soa, canon, rr->rdlen);
		return INTAKE_KEEP;
	}
	if (rdata_cmp(in->soa, in->soa_len, canon, rr->rdlen) != 0)
		return discard(in, IR_TORN_SOA);
	in->duplicates++;
	return INTAKE_DROP;
}

/* DNSSEC records and ZONEMD, by mode. */
static enum intake_verdict take_dnssec(struct intake *in, const struct rr *rr, bool apex)
{
	uint64_t *counter = dnssec_counter(in, rr->type, apex);

	if (apex && rr->type == T_DNSKEY)
		in->had_dnskey = true;
	if (apex && rr->type == T_ZONEMD)
		in->had_zonemd = true;
	if (in->mode == INTAKE_PASS)
		return INTAKE_KEEP;
	if (apex && rr->type == T_ZONEMD && !in->keep_zonemd) {
		in->stripped_zonemd++;
		return INTAKE_ASIDE;
	}
	if (counter == NULL)
		return INTAKE_KEEP;
	if (in->mode == INTAKE_STRIP) {
		++*counter;
		return INTAKE_ASIDE;
	}
	intake_hold(in, IR_DNSSEC, rr->owner);
	return INTAKE_KEEP;
}

static enum intake_verdict count_kept(struct intake *in, const struct rr *rr, size_t owner_len)
{
	uint64_t octets = owner_len + RECORD_FIXED + rr->rdlen;

	if (in->records >= in->max_records)
		return discard(in, IR_RECORDS_LIMIT);
	if (octets > in->max_bytes || in->bytes > in->max_bytes - octets)
		return discard(in, IR_BYTES_LIMIT);
	in->records++;
	in->bytes += octets;
	if (MSG_HEADER + octets + INTAKE_TSIG_ROOM > MSG_MAX)
		intake_hold(in, IR_RR_TOO_BIG, rr->owner);
	return INTAKE_KEEP;
}

enum intake_verdict intake_record(struct intake *in, const struct rr *rr)
{
	enum intake_verdict v;
	bool apex;

	if (rr->class != CLASS_IN)
		return discard(in, IR_CLASS);
	if (rr_type_is_meta(rr->type))
		return discard(in, IR_META);
	if (rdata_check(rr->type, rr->rdata, rr->rdlen) != 0)
		return discard(in, IR_MALFORMED);
	if (!name_within(rr->owner, in->zone)) {
		in->dropped_out_of_zone++;
		return INTAKE_DROP;
	}
	apex = name_eq(rr->owner, in->zone);
	if (rr->type == T_SOA && !apex) {
		in->dropped_soa++;
		return INTAKE_ASIDE;
	}
	v = rr->type == T_SOA ? take_soa(in, rr) : take_dnssec(in, rr, apex);
	return v == INTAKE_KEEP ? count_kept(in, rr, name_len(rr->owner)) : v;
}

void intake_rrset(struct intake *in, const uint8_t *owner, uint32_t nrr, uint64_t octets, uint32_t duplicates,
		  bool ttls_differ)
{
	in->duplicates += duplicates;
	in->ttl_differs += ttls_differ;
	if (nrr > RRSET_RECORDS || octets + (uint64_t)nrr * RECORD_FIXED > in->max_rrset)
		intake_hold(in, IR_RRSET_TOO_BIG, owner);
	/* an answer: question, and each owner a pointer */
	else if (MSG_HEADER + name_len(owner) + 4 + octets + (uint64_t)nrr * (RECORD_FIXED + 2) > MSG_MAX)
		in->big_answers++;
}

uint32_t intake_set(struct intake *in, const struct rrset *s)
{
	uint64_t octets = 0;
	uint32_t dup = 0;

	for (uint32_t i = 0; i < s->nrr; i++) {
		octets += s->rr[i].len;
		dup += (s->rr[i].flags & RRI_DUP) != 0;
	}
	if (!(s->flags & RRV_OURS) && s->type != T_SOA)
		intake_rrset(in, s->owner, s->nrr, octets, dup, (s->flags & RRV_TTLS) != 0);
	return s->nrr - dup;
}

/* What stands at one owner. */
struct present {
	uint32_t soa, ns, ds, cname, dname;
	bool other; /* anything that may not stand beside a CNAME, but for DNAME */
};

static struct present look(const uint16_t *types, const uint32_t *counts, size_t ntypes)
{
	struct present p = { 0 };

	for (size_t i = 0; i < ntypes; i++) {
		switch (types[i]) {
		case T_CNAME:
			p.cname = counts[i];
			continue;
		case T_DNAME:
			p.dname = counts[i];
			continue;
		case T_RRSIG: /* RFC 4035 2.5 */
		case T_NSEC:
			continue;
		case T_SOA:
			p.soa = counts[i];
			break;
		case T_NS:
			p.ns = counts[i];
			break;
		case T_DS:
			p.ds = counts[i];
			break;
		default:
			break;
		}
		p.other = true;
	}
	return p;
}

/* The apex comes first; when something else does, there is none. */
static void judge_apex(struct intake *in, const struct present *p, const uint8_t *owner)
{
	in->seen_apex = true;
	if (p->soa == 0)
		intake_hold(in, IR_NO_SOA, owner);
	if (p->ns == 0)
		intake_hold(in, IR_NO_NS, owner);
	if (p->ds > 0)
		intake_hold(in, IR_APEX_DS, owner);
}

void intake_owner(struct intake *in, enum node_kind kind, const uint8_t *owner, const uint16_t *types,
		  const uint32_t *counts, size_t ntypes)
{
	static const struct present nothing = { 0 };
	struct present p = look(types, counts, ntypes);

	if (kind == NODE_APEX)
		judge_apex(in, &p, owner);
	else if (!in->seen_apex)
		judge_apex(in, &nothing, in->zone);
	if (kind == NODE_OCCLUDED)
		return;
	if (ntypes > INTAKE_TYPES_MAX && (kind == NODE_APEX || kind == NODE_AUTH))
		intake_hold(in, IR_MANY_TYPES, owner);
	if (kind != NODE_APEX && p.ds > 0 && p.ns == 0)
		intake_hold(in, IR_DS_WITHOUT_NS, owner);
	if (p.cname > 0 && p.other)
		intake_hold(in, IR_CNAME_AND_OTHER, owner);
	if (p.cname > 1)
		intake_hold(in, IR_TWO_CNAMES, owner);
	if (p.cname > 0 && p.dname > 0)
		intake_hold(in, IR_DNAME_AND_CNAME, owner);
	if (p.dname > 1)
		intake_hold(in, IR_TWO_DNAMES, owner);
	if (kind != NODE_APEX && p.dname > 0 && p.ns > 0)
		intake_hold(in, IR_DNAME_AND_NS, owner);
}

bool intake_is_altered(const struct intake *in)
{
	return in->dropped_soa + in->stripped_rrsig + in->stripped_nsec + in->stripped_nsec3 +
		       in->stripped_nsec3param + in->stripped_dnskey + in->stripped_cds +
		       in->stripped_cdnskey + in->stripped_private >
	       0;
}

bool intake_is_held(const struct intake *in)
{
	for (unsigned i = 0; i < IR_REASONS; i++)
		if (in->held[i].count > 0)
			return true;
	return !in->seen_apex;
}

/* Appends as much as there is room for. */
static void append(char *dst, size_t cap, const char *s)
{
	size_t have = strlen(dst), n = strlen(s);

	if (n >= cap - have)
		n = cap - have - 1;
	memcpy(dst + have, s, n);
	dst[have + n] = '\0';
}

static void describe(const struct intake_finding *f, char *dst, size_t cap)
{
	bool records = f->reason == IR_DNSSEC || f->reason == IR_RR_TOO_BIG;
	char text[NAME_MAX_TEXT + 64];

	snprintf(text, sizeof(text), "%s%s: %llu %s%s", dst[0] != '\0' ? "; " : "", reasons[f->reason],
		 (unsigned long long)f->count, records ? "record" : "name", f->count == 1 ? "" : "s");
	append(dst, cap, text);
	for (unsigned i = 0; i < f->nnames; i++) {
		append(dst, cap, i == 0 ? ": " : ", ");
		append(dst, cap, name_to_text(f->names[i], text));
	}
	if (f->nnames == INTAKE_NAMES && f->count > f->nnames)
		append(dst, cap, ", ...");
}

void intake_describe(const struct intake *in, char *dst, size_t cap)
{
	if (cap == 0)
		return;
	dst[0] = '\0';
	for (unsigned i = 0; i < IR_REASONS; i++)
		if (in->held[i].count > 0)
			describe(&in->held[i], dst, cap);
	if (dst[0] == '\0' && !in->seen_apex)
		append(dst, cap, "no-soa: no records");
}
