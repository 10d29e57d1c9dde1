/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One RRset: order and TTL of its records, its signatures, and its entry in the expiry index. The canonical
 * form is rebuilt from the stored octets in body, with room in front for the head of each RRSIG, so that what
 * was signed always stands in one piece. Called for every RRset of an owner and for every record of the
 * chain.
 */
#include <string.h>

#include "base/crc.h"
#include "base/rand.h"
#include "gate_impl.h"

#define CLASS_IN 1

/* RRSIG RDATA (RFC 4034 3.1). */
struct grrsig {
	const uint8_t *data;
	uint16_t covered, tag;
	uint8_t alg, labels;
	uint32_t ttl, expiration, inception;
	const uint8_t *signer, *sig;
	size_t signer_len, sig_len;
};

static int rrsig_parse(struct grrsig *s, const uint8_t *data, size_t len)
{
	if (len <= GSIG_FIXED)
		return ZS_EFORMAT;
	s->data = data;
	s->covered = be16(data);
	s->alg = data[2];
	s->labels = data[3];
	s->ttl = be32(data + 4);
	s->expiration = be32(data + 8);
	s->inception = be32(data + 12);
	s->tag = be16(data + 16);
	s->signer = data + GSIG_FIXED;
	s->signer_len = gwire_len(s->signer, data + len);
	if (!s->signer_len)
		return ZS_EFORMAT;
	s->sig = s->signer + s->signer_len;
	s->sig_len = len - GSIG_FIXED - s->signer_len;
	return 0;
}

/* Appends one record in canonical form; returns where its RDATA begins in body, 0 on error. */
static size_t body_add(struct gjob *j, const struct grrset *rs, uint32_t ttl, const struct grr *rr)
{
	uint8_t *p = wr_space(&j->body, rs->wire_len + 10 + rr->len);

	if (!p)
		return 0;
	memcpy(p, rs->wire, rs->wire_len);
	p += rs->wire_len;
	put_be16(p, rs->type);
	put_be16(p + 2, CLASS_IN);
	put_be32(p + 4, ttl);
	put_be16(p + 8, rr->len);
	if (rr->len)
		memcpy(p + 10, rr->data, rr->len);
	if (gcanon_rdata(rs->type, p + 10, rr->len))
		return 0;
	return (size_t)(p + 10 - j->body.p);
}

/* A record against the one before it: duplicates equal, others greater. */
static bool in_order(const struct wr *body, size_t prev, size_t prevlen, size_t at, const struct grr *rr)
{
	int c = gcmp(body->p + prev, prevlen, body->p + at, rr->len);

	return rr->flags & RF_DUP ? c == 0 : c < 0;
}

/* Builds body and checks the records on the way; *sound: what stands there can be verified. */
static int body_build(struct gjob *j, const struct grrset *rs, struct gval *v, bool *sound)
{
	uint32_t lowest = UINT32_MAX, highest = 0;
	size_t prev = 0, prevlen = 0;
	struct grr rr;

	*sound = false;
	j->body.len = 0;
	wr_space(&j->body, GSIG_ROOM);
	while (gval_rr(v, &rr)) {
		size_t before = j->body.len;
		size_t at = body_add(j, rs, v->ttl, &rr);

		if (j->body.err)
			return gjob_fail(j, j->body.err);
		if (!at || (prev && !in_order(&j->body, prev, prevlen, at, &rr))) {
			gnote(j, GATE_STORED, rs->key, rs->klen,
			      at ? "records out of canonical order" : "malformed RDATA");
			return 0;
		}
		lowest = rr.ttl < lowest ? rr.ttl : lowest;
		highest = rr.ttl > highest ? rr.ttl : highest;
		if (rr.flags & RF_DUP)
			j->body.len = before;
		else
			prev = at, prevlen = rr.len;
	}
	if (v->ttl != lowest)
		gnote(j, GATE_TTL, rs->key, rs->klen, "TTL %u is not the lowest of its records", v->ttl);
	if (!!(v->flags & VF_TTLS) != (lowest != highest))
		gnote(j, GATE_STORED, rs->key, rs->klen, "flags do not agree with the records' TTLs");
	*sound = true;
	return 0;
}

static bool is_key_type(uint16_t type)
{
	return type == TY_DNSKEY || type == TY_CDS || type == TY_CDNSKEY;
}

static void check_apex_ttl(struct gjob *j, const struct grrset *rs, const struct gval *v)
{
	uint32_t want = j->g->p.dnskey_ttl;

	if (rs->type == TY_NSEC3PARAM)
		want = 0;
	else if (!is_key_type(rs->type))
		return;
	if (v->ttl != want)
		gnote(j, GATE_TTL, rs->key, rs->klen, "TTL %u instead of %u", v->ttl, want);
}

/* Everything in an RRSIG but the signature itself. */
static bool sig_fields(struct gjob *j, const struct grrset *rs, const struct gval *v, const struct grrsig *s)
{
	const struct gate_params *p = &j->g->p;
	unsigned labels = rs->labels - (rs->wire[0] == 1 && rs->wire[1] == '*');
	bool ok = true;

	struct { bool wrong; enum gate_check check; const char *text; } fields[] = {
		{ s->covered != rs->type, GATE_COVERED, "covers another type" },
		{ !gsame(s->signer, s->signer_len, p->zone, p->zone_len), GATE_SIGNER, "has another signer" },
		{ s->labels != labels, GATE_LABELS, "has a wrong Labels field" },
		{ s->ttl != v->ttl, GATE_SIG_TTL, "has another original TTL" },
	};
	for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
		if (fields[i].wrong) {
			gnote_sig(j, fields[i].check, rs->key, rs->klen, s->tag, s->alg, fields[i].text);
			ok = false;
		}
	}
	return ok;
}

static void sig_times(struct gjob *j, const struct grrset *rs, const struct grrsig *s)
{
	int64_t now = j->g->p.now;
	int64_t from = gtime_near(now, s->inception), to = gtime_near(now, s->expiration);
	const char *text = NULL;

	if (from > now)
		text = "begins in the future";
	else if (to <= now)
		text = "has expired";
	else if (to - now < j->g->p.min_left)
		text = "expires too soon";
	if (text)
		gnote_sig(j, GATE_TIMES, rs->key, rs->klen, s->tag, s->alg, text);
}

/* Whether this one is verified under sampling. Those that everything hangs on always are. */
static bool sampled(struct gjob *j, const struct grrset *rs, struct gkey *k)
{
	const struct gate_params *p = &j->g->p;

	if (j->known)
		return prng_hash_upto(p->sample_seed ^ k->tag, rs->key, rs->klen, GATE_AGAIN - 1) == 0;
	if (p->one_in <= 1)
		return true;
	switch (rs->type) {
	case TY_SOA: case TY_DNSKEY: case TY_CDS: case TY_CDNSKEY: case TY_NS: case TY_NSEC3PARAM:
		return true;
	default:
		break;
	}
	if (atomic_load_explicit(&k->used, memory_order_relaxed) < GFIRST &&
	    atomic_fetch_add(&k->used, 1) < GFIRST)
		return true;
	return prng_hash_upto(p->sample_seed ^ k->tag, rs->key, rs->klen, p->one_in - 1) == 0;
}

/* Puts the head of the RRSIG in front of body. */
static const uint8_t *signed_octets(struct gjob *j, const struct grrsig *s, size_t *len)
{
	size_t head = GSIG_FIXED + s->signer_len;
	uint8_t *p = j->body.p + GSIG_ROOM - head;

	memcpy(p, s->data, head);
	*len = j->body.len - GSIG_ROOM + head;
	return p;
}

/*
 * Which key made it: of those with its tag and algorithm the one under which it verifies, as tags are not
 * unique. *key: that one, or the first candidate; ZS_ENOENT: no such key. *good: verified, or left out.
 */
static int find_key(struct gjob *j, const struct grrset *rs, const struct grrsig *s, bool verify, size_t *key,
		    bool *good)
{
	struct gate *g = j->g;
	size_t found = 0, first = 0, len;
	const uint8_t *msg = signed_octets(j, s, &len);

	for (size_t i = 0; i < g->nkeys; i++)
		found += g->key[i].tag == s->tag && g->key[i].alg == s->alg && g->key[i].pkey;
	for (size_t i = 0, n = 0; i < g->nkeys; i++) {
		struct gkey *k = &g->key[i];
		int rc = 1;

		if (k->tag != s->tag || k->alg != s->alg || !k->pkey)
			continue;
		if (n++ == 0 || j->seen[first])
			first = i;
		if (verify && (found > 1 || sampled(j, rs, k)))
			rc = gsig_verify(j, i, msg, len, s->sig, s->sig_len);
		if (rc < 0)
			return gjob_fail(j, rc);
		*good = rc == 1;
		if (*good) {
			*key = i;
			return 0;
		}
	}
	*key = first;
	*good = false;
	return found ? 0 : ZS_ENOENT;
}

static int check_sig(struct gjob *j, const struct grrset *rs, const struct gval *v, const struct grrsig *s,
		     bool sound)
{
	bool ok = sig_fields(j, rs, v, s), good = false;
	size_t i = 0;
	int rc;

	if (!rs->light)
		sig_times(j, rs, s);
	rc = find_key(j, rs, s, sound && ok && !rs->light, &i, &good);
	if (rc == ZS_ENOENT) {
		gnote_sig(j, GATE_UNKNOWN_KEY, rs->key, rs->klen, s->tag, s->alg, "is by no key of DNSKEY");
		return 0;
	}
	if (rc)
		return rc;
	if (!good)
		gnote_sig(j, GATE_BAD_SIG, rs->key, rs->klen, s->tag, s->alg, "does not verify");
	if (j->seen[i])
		gnote_sig(j, GATE_DUPLICATE_SIG, rs->key, rs->klen, s->tag, s->alg,
			  "is not the only one by this key");
	j->seen[i] = 1;
	return 0;
}

/* After all signatures were seen: who has not signed, who should not have. */
static void check_signers(struct gjob *j, const struct grrset *rs)
{
	struct gate *g = j->g;
	bool keys = is_key_type(rs->type), by_role = false;
	bool alg[256] = { false };

	for (size_t i = 0; i < g->nkeys; i++) {
		const struct gkey *k = &g->key[i];
		bool must = keys ? k->signs_keys : k->signs_zone;

		by_role |= must && j->seen[i];
		alg[k->alg] |= j->seen[i];
		if (must && !j->seen[i])
			gnote_sig(j, GATE_MISSING_SIG, rs->key, rs->klen, k->tag, k->alg, "is missing");
		/* One that has no role now may have signed while it had one. */
		if (!must && j->seen[i] && (k->signs_keys || k->signs_zone))
			gnote_sig(j, GATE_ROLE, rs->key, rs->klen, k->tag, k->alg,
				  "is by a key of the other role");
	}
	if (keys && !by_role)
		gnote(j, GATE_ROLE, rs->key, rs->klen, "not signed by any key with the SEP role");
	for (unsigned a = 0; a < 256; a++) {
		if (g->alg[a] && !alg[a])
			gnote(j, GATE_MISSING_ALG, rs->key, rs->klen, "no signature of algorithm %u", a);
	}
}

static int check_sigs(struct gjob *j, const struct grrset *rs, struct gval *v, bool sound)
{
	int64_t earliest = INT64_MAX, now = j->g->p.now;
	const uint8_t *data;
	uint16_t len;
	int rc = 0;

	memset(j->seen, 0, j->g->nkeys);
	while (!rc && gval_sig(v, &data, &len)) {
		struct grrsig s;

		if (rrsig_parse(&s, data, len)) {
			gnote(j, GATE_STORED, rs->key, rs->klen, "malformed signature");
			continue;
		}
		j->signatures++;
		if (gtime_near(now, s.expiration) < earliest)
			earliest = gtime_near(now, s.expiration);
		if (rs->must_sign)
			rc = check_sig(j, rs, v, &s, sound);
	}
	if (!rc && rs->must_sign)
		check_signers(j, rs);
	if (!rc && v->nsig && v->exp_time != (uint64_t)earliest)
		gnote(j, GATE_EXPIRY_INDEX, rs->key, rs->klen, "stored expiry is not that of its signatures");
	return rc;
}

size_t gkey_expiry(uint8_t out[static GKEY_MAX], uint64_t time, uint64_t seq)
{
	out[0] = IN_EXPIRY;
	put_be64(out + 1, time);
	put_be64(out + 9, seq);
	return 17;
}

/* A signed value's entry in the index: there, and pointing back. */
int gexpiry_check(struct gjob *j, const uint8_t *key, size_t klen, uint64_t time, uint64_t seq)
{
	uint8_t ekey[GKEY_MAX];
	size_t elen = gkey_expiry(ekey, time, seq), tlen = 0;
	struct kv_item it;
	const uint8_t *to;

	j->indexed++;
	if (!gjob_get(j, j->kv, ekey, elen, &it)) {
		if (!j->err)
			gnote(j, GATE_EXPIRY_INDEX, key, klen, "no entry in the expiry index");
	} else if (gval_expiry(it.val, it.vlen, &to, &tlen)) {
		gnote(j, GATE_STORED, ekey, elen, "expiry entry is damaged");
	} else if (!gsame(to, tlen, key, klen)) {
		gnote(j, GATE_EXPIRY_INDEX, key, klen, "its entry in the expiry index points elsewhere");
	} else {
		j->matched++;
	}
	return j->err;
}

/* Reverse: the value that an entry points to must name this entry. */
int gexpiry_extra(struct gjob *j, const uint8_t *ekey, size_t elen)
{
	uint8_t key[GKEY_MAX], back[GKEY_MAX];
	const uint8_t *to;
	size_t tlen;
	struct kv_item it;
	struct gval v;

	if (!gjob_get(j, j->kv, ekey, elen, &it))
		return j->err;
	if (gval_expiry(it.val, it.vlen, &to, &tlen) || tlen > GKEY_MAX) {
		gnote(j, GATE_STORED, ekey, elen, "expiry entry is damaged");
		return 0;
	}
	memcpy(key, to, tlen);
	if (gjob_get(j, j->kv, key, tlen, &it) && !gval_parse(&v, it.val, it.vlen) && v.nsig &&
	    gsame(back, gkey_expiry(back, v.exp_time, v.exp_seq), ekey, elen))
		return 0;
	if (!j->err)
		gnote(j, GATE_EXPIRY_INDEX, key, tlen, "an expiry entry that it does not know");
	return j->err;
}

/*
 * A number for the RRset in body with its signatures, under its key. Sums of them tell whether two sets of
 * values are one, whatever their order; it is against mistakes, so 32 bits of a CRC are enough.
 * A change looks the number up by itself; the key stands in it a second time for that.
 */
static void mark(struct gjob *j, const struct grrset *rs, const struct gval *v, bool verified)
{
	uint32_t key = crc32c(0, rs->key, rs->klen), crc = key;
	uint64_t m;

	j->known = false;
	if (!v->nsig || rs->type == TY_SOA)
		return;
	crc = crc32c(crc, j->body.p + GSIG_ROOM, j->body.len - GSIG_ROOM);
	crc = crc32c(crc, v->sigs.p, rd_left(&v->sigs));
	m = (crc | (uint64_t)rs->klen << 32) * 0x9E3779B97F4A7C15u;
	j->marks += m ^ m >> 29;
	j->marked++;
	m = (uint64_t)key << 32 | crc;
	if (verified && j->g->remembers)
		gate_know(j->g, m);
	else if (!verified && j->change)
		j->known = gate_knows(j->g, m);
}

int grrset_check(struct gjob *j, const struct grrset *rs, struct gval *v)
{
	bool sound;
	int rc = body_build(j, rs, v, &sound);

	j->rrsets++;
	if (rc)
		return rc;
	if (rs->apex && !j->g->p.unsigned_zone)
		check_apex_ttl(j, rs, v);
	if (j->g->p.unsigned_zone) {
		if (v->nsig)
			gnote(j, GATE_STRUCTURE, rs->key, rs->klen, "signatures in an unsigned version");
		return 0;
	}
	if (v->nsig && !rs->must_sign)
		gnote(j, GATE_SIGNED_MUST_NOT, rs->key, rs->klen, "has signatures");
	if (sound)
		mark(j, rs, v, false);
	rc = check_sigs(j, rs, v, sound);
	j->known = false;
	if (!rc && v->nsig)
		rc = gexpiry_check(j, rs->key, rs->klen, v->exp_time, v->exp_seq);
	return rc;
}

/* The signatures of a value that grrset_verify() is going to see. */
void grrset_ahead(struct gjob *j, struct gval *v)
{
	const uint8_t *data;
	uint16_t len;

	while (gval_sig(v, &data, &len)) {
		struct grrsig s;

		if (rrsig_parse(&s, data, len))
			continue;
		for (size_t i = 0; i < j->g->nkeys; i++) {
			const struct gkey *k = &j->g->key[i];

			if (k->table && k->tag == s.tag && k->alg == s.alg && s.sig_len == k->sig_len)
				gfast_ahead(k->table, &j->fast, s.sig);
		}
	}
}

/* Which of the signatures do not verify: bit i for the i-th.
 * What else is wrong shows when the version is checked. */
int grrset_verify(struct gjob *j, const struct grrset *rs, struct gval *v, uint16_t *bad)
{
	const struct gval whole = *v;
	const uint8_t *data;
	uint16_t len;
	unsigned n = 0;
	bool sound;
	int rc = body_build(j, rs, v, &sound);

	*bad = 0;
	if (!rc && !sound)
		rc = ZS_EFORMAT;
	memset(j->seen, 0, j->g->nkeys);
	for (; !rc && gval_sig(v, &data, &len); n++) {
		struct grrsig s;
		size_t key;
		bool good = false;

		if (rrsig_parse(&s, data, len) == 0)
			rc = find_key(j, rs, &s, true, &key, &good);
		if (rc == ZS_ENOENT)
			rc = 0;
		if (!good && n < 16)
			*bad |= (uint16_t)(1u << n);
	}
	if (!rc && !*bad)
		mark(j, rs, &whole, true);
	return rc;
}
