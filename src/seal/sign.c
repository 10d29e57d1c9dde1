/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which signatures of an RRset stay and which are made, and what they look like (RFC 4034 3.1, RFC 4035 2.2,
 * RFC 6840 5.11). A signature stays only when the octets that it covers would be the same if
 * it were made today: canonical RRset, TTL, labels, signer. Pure: time, keys and the seed of the jitter come
 * with struct signer, so that the same version is planned twice alike. Called by the recipe; nothing here
 * waits or signs.
 */
#include <string.h>

#include "base/err.h"
#include "base/rand.h"
#include "dns/name.h"
#include "seal/sign.h"

#define SIG_FIXED 18 /* octets of RRSIG RDATA before the signer's name */

/* RRSIG RDATA taken apart; pointers are borrowed. */
struct sig_view {
	uint16_t type;
	uint8_t algorithm, labels;
	uint32_t ttl, expiry, inception;
	uint16_t tag;
	const uint8_t *rest; /* signer and signature */
	size_t rest_len;
};

struct times {
	uint32_t inception, expiry;
};

void signer_init(struct signer *s, const uint8_t *zone, const struct keyset *ks, const struct policy *p,
		 wall_t now, uint64_t seed, bool spread)
{
	memset(s, 0, sizeof(*s));
	name_copy_lower(s->zone, zone);
	s->zone_len = (uint8_t)name_len(zone);
	for (unsigned i = 0; i < ks->n; i++) {
		const struct zone_key *k = &ks->key[i];
		struct signer_key *sk = &s->key[s->nkeys];

		if (!key_signs_keys(k) && !key_signs_zone(k))
			continue;
		memcpy(sk->id, k->id, sizeof(sk->id));
		sk->algorithm = k->algorithm;
		sk->tag = k->tag;
		sk->signs_keys = key_signs_keys(k);
		sk->signs_zone = key_signs_zone(k);
		s->nkeys++;
	}
	s->now = now.s;
	s->validity = p->validity;
	s->dnskey_validity = p->dnskey_validity;
	s->refresh = p->refresh;
	s->jitter = p->jitter;
	s->inception_offset = p->inception_offset;
	s->seed = seed;
	s->spread = spread;
}

/* The RRsets of the key role (RFC 4035 2.2, RFC 7344 4.1). */
static bool type_is_keys(uint16_t type)
{
	return type == T_DNSKEY || type == T_CDS || type == T_CDNSKEY;
}

static bool key_has_role(const struct signer_key *k, uint16_t type)
{
	return type_is_keys(type) ? k->signs_keys : k->signs_zone;
}

/* RFC 4034 3.1.3: neither the root nor a leftmost `*` counts. */
static uint8_t sig_labels(const uint8_t *owner)
{
	return (uint8_t)(name_labels(owner) - (name_is_wildcard(owner) ? 1 : 0));
}

int64_t sig_time(uint32_t t, int64_t now)
{
	return now + (int32_t)(t - (uint32_t)now);
}

static int sig_read(const struct sig_item *item, struct sig_view *v)
{
	struct rd r = rd_init(item->data, item->len);

	v->type = rd_u16(&r);
	v->algorithm = rd_u8(&r);
	v->labels = rd_u8(&r);
	v->ttl = rd_u32(&r);
	v->expiry = rd_u32(&r);
	v->inception = rd_u32(&r);
	v->tag = rd_u16(&r);
	v->rest = r.p;
	v->rest_len = rd_left(&r);
	return r.err;
}

/* By this key? Two keys of one algorithm never share a tag (keys layer, G18). */
static bool sig_is_by(const struct sig_view *v, const struct signer_key *k)
{
	return v->algorithm == k->algorithm && v->tag == k->tag;
}

/* Everything but key and content that decides whether it may stay. */
static bool sig_stays(const struct signer *s, const struct sig_view *v, const struct rrset *set,
		      int64_t due_within)
{
	return v->type == set->type && v->labels == sig_labels(set->owner) && v->ttl == set->ttl &&
	       v->rest_len > s->zone_len && memcmp(v->rest, s->zone, s->zone_len) == 0 &&
	       sig_time(v->inception, s->now) <= s->now && sig_time(v->expiry, s->now) - s->now >= due_within;
}

/*
 * The signature of key k on old that stays longest: its index, or -1. *known: the key has signed the RRset
 * before, be it too long ago.
 */
static int find_kept(const struct signer *s, const struct signer_key *k, const struct rrset *set,
		     const struct rrset *old, int64_t due_within, bool *known)
{
	int64_t best_end = 0;
	int best = -1;

	*known = false;
	for (unsigned i = 0; i < old->nsig; i++) {
		struct sig_view v;
		int64_t end;

		if (sig_read(&old->sig[i], &v) != 0 || !sig_is_by(&v, k))
			continue;
		*known = true;
		if (!sig_stays(s, &v, set, due_within))
			continue;
		end = sig_time(v.expiry, s->now);
		if (best < 0 || end > best_end) {
			best = (int)i;
			best_end = end;
		}
	}
	return best;
}

/* Uniform in 0..max by (seed, owner, type): a version that is planned again gets the same times. */
static int64_t jitter_for(const struct signer *s, const struct rrset *set, int64_t max)
{
	uint8_t what[NAME_MAX_WIRE + 2];
	size_t n = name_len(set->owner);

	if (max <= 0)
		return 0;
	name_copy_lower(what, set->owner);
	put_be16(what + n, set->type);
	return (int64_t)prng_hash_upto(s->seed, what, n + 2, (uint64_t)max);
}

static struct times sig_times(const struct signer *s, const struct rrset *set)
{
	int64_t validity = s->validity;

	if (type_is_keys(set->type))
		validity = s->dnskey_validity;
	else
		validity -= jitter_for(s, set, s->spread ? (s->validity - s->refresh) * 3 / 4 : s->jitter);
	return (struct times){
		.inception = (uint32_t)(s->now - s->inception_offset),
		.expiry = (uint32_t)(s->now + validity),
	};
}

static int add_want(const struct signer *s, unsigned key, const struct rrset *set, struct times t,
		    struct arena *mem, struct sign_plan *plan)
{
	const struct signer_key *k = &s->key[key];
	uint16_t len = (uint16_t)(SIG_FIXED + s->zone_len);
	uint8_t *hdr = arena_alloc(mem, len);

	if (hdr == NULL)
		return ZS_ENOMEM;
	put_be16(hdr, set->type);
	hdr[2] = k->algorithm;
	hdr[3] = sig_labels(set->owner);
	put_be32(hdr + 4, set->ttl);
	put_be32(hdr + 8, t.expiry);
	put_be32(hdr + 12, t.inception);
	put_be16(hdr + 16, k->tag);
	memcpy(hdr + SIG_FIXED, s->zone, s->zone_len);
	plan->want[plan->nwant++] = (struct sign_want){ .key = key, .hdr = hdr, .hdr_len = len };
	return 0;
}

int sign_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due_within,
	      struct arena *mem, struct sign_plan *out)
{
	bool fresh = old == NULL || old->nsig == 0;
	bool same = !fresh && old->type == set->type && rrset_same_content(set, old);
	bool refresh = false;
	struct times t;
	unsigned role = 0;

	out->nkeep = 0;
	out->nwant = 0;
	if (set->type == T_RRSIG || set->nrr == 0)
		return ZS_EINVAL;
	t = sig_times(s, set);
	for (unsigned i = 0; i < s->nkeys; i++) {
		bool known = false;
		int kept = -1, ret;

		if (!key_has_role(&s->key[i], set->type))
			continue;
		role++;
		if (same)
			kept = find_kept(s, &s->key[i], set, old, due_within, &known);
		if (kept >= 0) {
			out->keep[out->nkeep++] = (unsigned)kept;
			continue;
		}
		refresh = refresh || known;
		ret = add_want(s, i, set, t, mem, out);
		if (ret != 0)
			return ret;
	}
	out->reason = fresh ? SIGN_NEW : !same ? SIGN_CHANGED : refresh ? SIGN_REFRESH : SIGN_ROLL;
	return role > 0 ? 0 : ZS_EKEY; /* nobody may sign this: never publish it bare */
}

void sign_times_again(const struct signer *s, const struct rrset *set, struct sign_plan *plan)
{
	struct times t = sig_times(s, set);

	for (unsigned i = 0; i < plan->nwant; i++) {
		put_be32(plan->want[i].hdr + 8, t.expiry);
		put_be32(plan->want[i].hdr + 12, t.inception);
	}
}

int sign_tbs(const struct sign_want *w, const uint8_t *canonical, size_t clen, struct wr *out)
{
	wr_bytes(out, w->hdr, w->hdr_len);
	wr_bytes(out, canonical, clen);
	return out->err;
}

int sign_assemble(const struct sign_want *w, const uint8_t *sig, uint16_t len, struct arena *mem,
		  struct sig_item *out)
{
	uint8_t *rdata;

	if (len == 0)
		return ZS_EINVAL;
	if ((size_t)w->hdr_len + len > RDATA_MAX)
		return ZS_ELIMIT;
	rdata = arena_alloc(mem, (size_t)w->hdr_len + len);
	if (rdata == NULL)
		return ZS_ENOMEM;
	memcpy(rdata, w->hdr, w->hdr_len);
	memcpy(rdata + w->hdr_len, sig, len);
	*out = (struct sig_item){ .len = (uint16_t)(w->hdr_len + len), .data = rdata };
	return 0;
}

int sign_earliest(const struct sig_item *sig, unsigned n, int64_t now, int64_t *out)
{
	int64_t earliest = INT64_MAX;

	if (n == 0)
		return ZS_ENOENT;
	for (unsigned i = 0; i < n; i++) {
		struct sig_view v;
		int64_t end;

		if (sig_read(&sig[i], &v) != 0)
			return ZS_EFORMAT;
		end = sig_time(v.expiry, now);
		if (end < earliest)
			earliest = end;
	}
	*out = earliest;
	return 0;
}

int64_t sign_latest_inception(const struct sig_item *sig, unsigned n, int64_t now)
{
	int64_t latest = 0;

	for (unsigned i = 0; i < n; i++) {
		struct sig_view v;
		int64_t start;

		if (sig_read(&sig[i], &v) != 0)
			continue;
		start = sig_time(v.inception, now);
		if (start > latest)
			latest = start;
	}
	return latest;
}
