/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The message guard. One pass over the input: RRSIG RDATA without the signature, then records that must all
 * be the same RRset in canonical form and order. What it cannot know (whether a name is authoritative,
 * whether the data is what the primary sent) is the gate's and the operator's business; what it can know is
 * that a key signs RRsets of its own zone and role only, for no longer than its keymap line says, and that no
 * DNSKEY, CDS or CDNSKEY RRset brings in a key that the parent did not write down. Pure; called by the
 * signing threads.
 */
#include "vault/guard.h"

#include <string.h>

#include "base/buf.h"
#include "pub.h"

#define TYPE_NS 2
#define TYPE_SOA 6
#define TYPE_SIG 24
#define TYPE_DS 43
#define TYPE_RRSIG 46
#define TYPE_DNSKEY 48
#define TYPE_CDS 59
#define TYPE_CDNSKEY 60
#define TTL_MAX 0x7fffffffu  /* RFC 2181 8 */
#define FLAG_REVOKE 0x0080   /* RFC 5011 2.1: another flag, the same key */

static const char *const reason_text[GUARD_REASONS] = {
	[GUARD_OK] = "ok",
	[GUARD_SHORT] = "message too short",
	[GUARD_TRAILING] = "octets after the last record",
	[GUARD_ZONE] = "signer is not the key's zone",
	[GUARD_ROLE] = "type is not for the key's role",
	[GUARD_TAG] = "key tag differs",
	[GUARD_ALGORITHM] = "algorithm differs",
	[GUARD_VALIDITY] = "validity too long, empty or in the future",
	[GUARD_LABELS] = "labels do not fit the owner",
	[GUARD_TTL] = "TTL differs from the original TTL",
	[GUARD_ORDER] = "records not in canonical order, or twice",
	[GUARD_CANONICAL] = "not in canonical form",
	[GUARD_OWNER] = "owner outside the zone, or not one owner",
	[GUARD_TYPE] = "type cannot be signed, or not one type",
	[GUARD_FOREIGN_DNSKEY] = "key set holds a key that is not in the keymap",
	[GUARD_NO_LINE] = "key has no keymap line",
	[GUARD_CLASS] = "class is not IN",
};

const char *guard_reason_text(enum guard_reason r)
{
	return (unsigned)r < GUARD_REASONS ? reason_text[r] : "unknown reason";
}

/*
 * RDATA with names that the canonical form folds (RFC 4034 6.2 less NSEC, RFC 6840 5.1): per type the fixed
 * octets before, then the names; strings are NAPTR's. SIG, NXT and A6 are left out: dead, and implementations
 * disagree on them.
 */
struct layout {
	uint16_t type;
	uint8_t fixed, strings, names, tail;
};
static const struct layout layouts[] = {
	{ 2, 0, 0, 1, 0 }, { 3, 0, 0, 1, 0 }, { 4, 0, 0, 1, 0 }, { 5, 0, 0, 1, 0 }, { 6, 0, 0, 2, 20 },
	{ 7, 0, 0, 1, 0 }, { 8, 0, 0, 1, 0 }, { 9, 0, 0, 1, 0 }, { 12, 0, 0, 1, 0 }, { 14, 0, 0, 2, 0 },
	{ 15, 2, 0, 1, 0 }, { 17, 0, 0, 2, 0 }, { 18, 2, 0, 1, 0 }, { 21, 2, 0, 1, 0 }, { 26, 2, 0, 2, 0 },
	{ 33, 6, 0, 1, 0 }, { 35, 4, 3, 1, 0 }, { 36, 2, 0, 1, 0 }, { 39, 0, 0, 1, 0 },
};

/* A whole uncompressed name. NULL when malformed. *upper: set when it has an upper-case letter. */
static const uint8_t *read_name(struct rd *r, size_t *len, unsigned *labels, bool *upper)
{
	const uint8_t *start = r->p;
	size_t n = 0;

	*labels = 0;
	while (r->p + n < r->end && start[n]) {
		size_t l = start[n];

		if (l > 63 || n + 1 + l > 254 || l >= rd_left(r) - n)
			return NULL;
		for (size_t i = 1; i <= l; i++)
			if (start[n + i] >= 'A' && start[n + i] <= 'Z')
				*upper = true;
		n += 1 + l;
		++*labels;
	}
	*len = n + 1;
	return rd_bytes(r, n + 1);
}

/* True when zone is name itself or ends it at a label. Both are lower case. */
static bool name_in_zone(const uint8_t *name, size_t len, const uint8_t *zone, size_t zone_len)
{
	size_t at = 0;

	if (len < zone_len)
		return false;
	while (at < len - zone_len)
		at += 1u + name[at];
	return at == len - zone_len && memcmp(name + at, zone, zone_len) == 0;
}

static bool rdata_canonical(uint16_t type, const uint8_t *rdata, size_t len)
{
	const struct layout *l = NULL;
	struct rd r = rd_init(rdata, len);
	size_t n;
	unsigned labels;
	bool upper = false;

	for (size_t i = 0; i < sizeof(layouts) / sizeof(layouts[0]) && !l; i++)
		if (layouts[i].type == type)
			l = &layouts[i];
	if (!l)
		return true;
	rd_bytes(&r, l->fixed);
	for (unsigned i = 0; i < l->strings; i++)
		rd_bytes(&r, rd_u8(&r));
	for (unsigned i = 0; i < l->names && !r.err; i++)
		if (!read_name(&r, &n, &labels, &upper))
			return false;
	rd_bytes(&r, l->tail);
	return rd_done(&r) == 0 && !upper;
}

static bool type_signable(uint16_t type)
{
	/* RRSIG and SIG are never signed (RFC 4035 2.2); 128-255 are query and meta types (RFC 6895 3.1) */
	return type && type != TYPE_RRSIG && type != TYPE_SIG && type != 41 && (type < 128 || type > 255);
}

/* KSK: the apex key sets; ZSK: all else. Off the apex those three types are data like any other, harmless to
 * sign with either key, because validators look for keys at an apex only. */
static bool role_fits(enum key_role role, uint16_t type, bool apex)
{
	bool key_type = type == TYPE_DNSKEY || type == TYPE_CDS || type == TYPE_CDNSKEY;

	if (role == ROLE_CSK || (key_type && !apex))
		return true;
	return key_type == (role == ROLE_KSK);
}

static bool dnskey_ours(const struct keymap_line *line, const struct keymap *map, uint16_t type,
			const uint8_t *rdata, size_t len)
{
	uint8_t hash[32];
	uint16_t flags;
	const struct keymap_line *l;
	size_t at = 0;

	if (len < 5 || len > 4 + PUBKEY_MAX || rdata[2] != 3 || pub_hash(rdata + 4, len - 4, hash))
		return false;
	flags = be16(rdata) & (uint16_t)~FLAG_REVOKE;
	while ((l = keymap_next_of_zone(map, line->zone, line->zone_len, &at)))
		if (l->has_pub && l->algorithm == rdata[3] && memcmp(l->pub_sha256, hash, 32) == 0)
			return flags == (l->role == ROLE_ZSK ? 256 : 257) &&
			       (type == TYPE_DNSKEY || flags == 257);
	return false;
}

/* The "delete" forms of RFC 8078 4 are refused as well:
 * unsigning a zone needs an order that the parent knows. */
static bool cds_ours(const struct keymap_line *line, const struct keymap *map, const uint8_t *rdata,
		     size_t len)
{
	const struct keymap_line *l;
	size_t at = 0;

	if (len < 5)
		return false;
	while ((l = keymap_next_of_zone(map, line->zone, line->zone_len, &at))) {
		if (!l->has_pub || l->role == ROLE_ZSK || l->tag != be16(rdata) || l->algorithm != rdata[2])
			continue;
		if (rdata[3] == 2 && len == 4 + 32 && memcmp(rdata + 4, l->ds_sha256, 32) == 0)
			return true;
		if (rdata[3] == 4 && len == 4 + 48 && memcmp(rdata + 4, l->ds_sha384, 48) == 0)
			return true;
	}
	return false;
}

static int rdata_cmp(const uint8_t *a, size_t a_len, const uint8_t *b, size_t b_len)
{
	int c = memcmp(a, b, a_len < b_len ? a_len : b_len);

	return c ? c : a_len < b_len ? -1 : a_len > b_len;
}

struct rrset {
	uint16_t type;
	uint32_t ttl;
	const uint8_t *owner;
	size_t owner_len;
	bool apex;
	const uint8_t *last; /* RDATA of the record before */
	size_t last_len;
};

/* One record after its owner. */
static enum guard_reason check_record(const struct keymap_line *line, const struct keymap *map,
				      struct rrset *s, struct rd *r)
{
	uint16_t type = rd_u16(r), class = rd_u16(r);
	uint32_t ttl = rd_u32(r);
	size_t len = rd_u16(r);
	const uint8_t *rdata = rd_bytes(r, len);

	if (!rdata || r->err)
		return GUARD_TRAILING;
	if (type != s->type)
		return GUARD_TYPE;
	if (class != 1)
		return GUARD_CLASS;
	if (ttl != s->ttl)
		return GUARD_TTL;
	if (!rdata_canonical(type, rdata, len))
		return GUARD_CANONICAL;
	if (s->last && rdata_cmp(s->last, s->last_len, rdata, len) >= 0)
		return GUARD_ORDER;
	if (s->apex && (type == TYPE_DNSKEY || type == TYPE_CDNSKEY) &&
	    !dnskey_ours(line, map, type, rdata, len))
		return GUARD_FOREIGN_DNSKEY;
	if (s->apex && type == TYPE_CDS && !cds_ours(line, map, rdata, len))
		return GUARD_FOREIGN_DNSKEY;
	s->last = rdata;
	s->last_len = len;
	return GUARD_OK;
}

static enum guard_reason check_owner(const struct keymap_line *line, const struct rrset *s, unsigned labels,
				     unsigned sig_labels)
{
	bool wildcard = s->owner[0] == 1 && s->owner[1] == '*';

	if (!name_in_zone(s->owner, s->owner_len, line->zone, line->zone_len))
		return GUARD_OWNER;
	if ((s->type == TYPE_SOA && !s->apex) || (s->type == TYPE_DS && s->apex))
		return GUARD_OWNER;
	/* RFC 4034 3.1.3: neither the root label nor one leftmost asterisk counts */
	if (sig_labels != labels - (wildcard ? 1 : 0))
		return GUARD_LABELS;
	return role_fits(line->role, s->type, s->apex) ? GUARD_OK : GUARD_ROLE;
}

static enum guard_reason check_records(const struct keymap_line *line, const struct keymap *map,
				       struct rrset *s, unsigned sig_labels, struct rd *r)
{
	enum guard_reason why = GUARD_OK;

	while (rd_left(r) && why == GUARD_OK) {
		bool upper = false;
		unsigned labels;
		size_t len;
		const uint8_t *owner = read_name(r, &len, &labels, &upper);

		if (!owner)
			return s->owner ? GUARD_TRAILING : GUARD_OWNER;
		if (upper)
			return GUARD_CANONICAL;
		if (!s->owner) {
			s->owner = owner;
			s->owner_len = len;
			s->apex = len == line->zone_len && memcmp(owner, line->zone, len) == 0;
			why = check_owner(line, s, labels, sig_labels);
		} else if (len != s->owner_len || memcmp(owner, s->owner, len) != 0) {
			return GUARD_OWNER;
		}
		if (why == GUARD_OK)
			why = check_record(line, map, s, r);
	}
	return why == GUARD_OK && !s->owner ? GUARD_SHORT : why;
}

enum guard_reason guard_check(const struct keymap_line *line, uint16_t tag, const struct keymap *map,
			      const uint8_t *tbs, size_t len)
{
	struct rd r = rd_init(tbs, len);
	struct rrset s = { 0 };
	uint8_t alg, sig_labels;
	uint32_t expiration, inception;
	uint16_t sig_tag;
	size_t signer_len;
	unsigned labels;
	bool upper = false;
	const uint8_t *signer;

	if (!line)
		return GUARD_NO_LINE;
	s.type = rd_u16(&r);
	alg = rd_u8(&r);
	sig_labels = rd_u8(&r);
	s.ttl = rd_u32(&r);
	expiration = rd_u32(&r);
	inception = rd_u32(&r);
	sig_tag = rd_u16(&r);
	if (r.err || !rd_left(&r))
		return GUARD_SHORT;
	if (!type_signable(s.type))
		return GUARD_TYPE;
	if (alg != line->algorithm)
		return GUARD_ALGORITHM;
	if (sig_tag != tag)
		return GUARD_TAG;
	if (s.ttl > TTL_MAX)
		return GUARD_TTL;
	/* RFC 4034 3.1.5: serial arithmetic */
	if ((int32_t)(expiration - inception) <= 0 || expiration - inception > (uint64_t)line->max_validity)
		return GUARD_VALIDITY;
	signer = read_name(&r, &signer_len, &labels, &upper);
	if (!signer || signer_len != line->zone_len || memcmp(signer, line->zone, signer_len) != 0)
		return GUARD_ZONE;
	return check_records(line, map, &s, sig_labels, &r);
}

enum guard_reason guard_check_now(const uint8_t *tbs, size_t len, wall_t now)
{
	if (len < 16)
		return GUARD_SHORT;
	/* serial arithmetic: up to 68 years in the past is past */
	return (int32_t)(be32(tbs + 12) - (uint32_t)now.s) > GUARD_AHEAD ? GUARD_VALIDITY : GUARD_OK;
}
