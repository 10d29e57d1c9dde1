/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The chain, from both sides. From a name: its record is there and its bitmap says what the name has
 * (gden_expect), or it is not there (gden_absent). From a record: TTL, parameters, flags, signatures, and
 * that it points to the next one in the table (gden_check). When every name has its record, no record is left
 * over and each points to the next, the chain is closed (RFC 4035 2.3, RFC 5155 7.1, 8).
 */
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gate_impl.h"

#define NSEC3_SHA1 1
#define NSEC3_OPT_OUT 1
#define HASH_TEXT 32 /* SHA-1 in base32hex */

/* NSEC or NSEC3 RDATA. */
struct chain {
	uint8_t alg, flags;
	uint16_t iterations;
	const uint8_t *salt, *next, *map;
	size_t salt_len, next_len, map_len;
};

static int chain_parse(struct chain *c, bool nsec3, const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data, len);

	memset(c, 0, sizeof *c);
	if (nsec3) {
		c->alg = rd_u8(&r);
		c->flags = rd_u8(&r);
		c->iterations = rd_u16(&r);
		c->salt_len = rd_u8(&r);
		c->salt = rd_bytes(&r, c->salt_len);
		c->next_len = rd_u8(&r);
	} else {
		c->next_len = gwire_len(r.p, r.end);
		if (!c->next_len)
			return ZS_EFORMAT;
	}
	c->next = rd_bytes(&r, c->next_len);
	c->map_len = rd_left(&r);
	c->map = r.p;
	return r.err ? ZS_EFORMAT : 0;
}

/* Value and its one record. */
static int record_parse(bool nsec3, const uint8_t *val, size_t vlen, struct gval *v, struct chain *c)
{
	struct gval copy;
	struct grr rr;
	int rc = gval_parse(v, val, vlen);

	if (rc)
		return rc;
	copy = *v;
	if (v->nrr != 1 || !gval_rr(&copy, &rr))
		return ZS_EFORMAT;
	return chain_parse(c, nsec3, rr.data, rr.len);
}

int gden_copy(struct gjob *j, struct gden *d, const struct kv_item *it)
{
	d->klen = it->klen < GKEY_MAX ? it->klen : GKEY_MAX;
	memcpy(d->key, it->key, d->klen);
	d->val.len = 0;
	wr_bytes(&d->val, it->val, it->vlen);
	return gjob_fail(j, d->val.err);
}

bool gden_first(struct gjob *j, struct kv_item *out)
{
	uint8_t key[2] = { IN_DENIAL, j->g->p.nsec3 ? j->g->p.nsec3_set : 0 };
	int rc = kv_seek(j->kv, key, sizeof key, out);

	gjob_fail(j, rc);
	return !rc && gden_ours(j->g, out->key, out->klen);
}

void gden_foreign(struct gjob *j, const uint8_t *key, size_t klen)
{
	if (j->g->p.unsigned_zone)
		gnote(j, GATE_STRUCTURE, key, klen, "a chain in an unsigned version");
	else
		gnote(j, GATE_MIXED_DENIAL, key, klen, "not of the chain of this version");
}

const uint8_t *gden_source(const struct gden *d, size_t *len)
{
	struct gval v;

	if (d->key[1] == 0) {
		*len = d->klen - 2;
		return d->key + 2;
	}
	if (gval_parse(&v, d->val.p, d->val.len) || !v.src)
		return NULL;
	*len = v.src_len;
	return v.src;
}

/* --- from the name --- */

int gden_key(struct gjob *j, const uint8_t *k, size_t len, uint8_t out[static GKEY_MAX], size_t *klen)
{
	uint8_t wire[GWIRE_MAX];
	size_t wlen;

	out[0] = IN_DENIAL;
	out[1] = 0;
	if (!j->g->p.nsec3) {
		memcpy(out + 2, k, len);
		*klen = len + 2;
		return 0;
	}
	out[1] = j->g->p.nsec3_set;
	*klen = 2 + GHASH_LEN;
	if (gname_to_wire(k, len, wire, &wlen))
		return ZS_EFORMAT;
	return gjob_fail(j, gsig_hash(j, wire, wlen, out + 2));
}

bool gden_wanted(const struct gjob *j, enum gkind kind, bool has_ds)
{
	switch (kind) {
	case KIND_AUTH:
		return true;
	case KIND_CUT:
		return !j->g->p.nsec3 || has_ds || !j->g->p.opt_out;
	case KIND_ENT:
		return j->g->p.nsec3;
	default:
		return false;
	}
}

/* Sorted insertion; those of a name arrive in order, so that only NSEC and RRSIG move anything. */
static size_t type_add(uint16_t *types, size_t n, uint16_t type)
{
	size_t i = n;

	while (i && types[i - 1] > type)
		i--;
	if (i && types[i - 1] == type)
		return n;
	memmove(types + i + 1, types + i, (n - i) * sizeof *types);
	types[i] = type;
	return n + 1;
}

/* What the bitmap of a name must say (RFC 4035 2.3, RFC 5155 7.1). */
static size_t types_of(struct gjob *j, const struct gowner *o, enum gkind kind)
{
	bool nsec3 = j->g->p.nsec3;
	size_t n = 0;

	if (kind == KIND_ENT)
		return 0;
	for (size_t i = 0; i < o->n; i++) {
		uint16_t type = o->set[i].type;

		if (kind == KIND_AUTH || type == TY_NS || type == TY_DS)
			n = type_add(j->types, n, type);
	}
	if (!nsec3)
		n = type_add(j->types, n, TY_NSEC);
	if (!nsec3 || kind == KIND_AUTH || o->ds)
		n = type_add(j->types, n, TY_RRSIG);
	return n;
}

/* RFC 4034 4.1.2. */
static size_t bitmap_make(const uint16_t *types, size_t n, uint8_t out[static GMAP_MAX])
{
	size_t at = 0;

	for (size_t i = 0; i < n;) {
		unsigned window = types[i] >> 8, len = 0;

		memset(out + at, 0, 34);
		for (; i < n && types[i] >> 8 == window; i++) {
			unsigned low = types[i] & 0xff;

			out[at + 2 + low / 8] |= (uint8_t)(0x80 >> low % 8);
			len = low / 8 + 1;
		}
		out[at] = (uint8_t)window;
		out[at + 1] = (uint8_t)len;
		at += 2 + len;
	}
	return at;
}

static int types_room(struct gjob *j, size_t n)
{
	uint16_t *types;

	if (n <= j->types_cap)
		return 0;
	types = realloc(j->types, 2 * n * sizeof *types);
	if (!types)
		return gjob_fail(j, ZS_ENOMEM);
	j->types = types;
	j->types_cap = 2 * n;
	return 0;
}

int gden_expect(struct gjob *j, const uint8_t *k, size_t len, const struct gowner *o, enum gkind kind)
{
	uint8_t key[GKEY_MAX], map[GMAP_MAX + 34];
	size_t klen, mlen;
	struct kv_item it;
	struct gval v;
	struct chain c;

	if (gden_key(j, k, len, key, &klen) || types_room(j, (o ? o->n : 0) + 8))
		return j->err;
	j->names++;
	if (!gjob_get(j, j->kv, key, klen, &it)) {
		if (!j->err)
			gnote(j, GATE_CHAIN_GAP, key, klen,
			      kind == KIND_ENT ? "no record for an empty non-terminal" : "no record");
		return j->err;
	}
	j->found++;
	if (record_parse(j->g->p.nsec3, it.val, it.vlen, &v, &c))
		return 0; /* the record's own check says so */
	mlen = bitmap_make(j->types, types_of(j, o, kind), map);
	if (!gsame(c.map, c.map_len, map, mlen))
		gnote(j, GATE_BITMAP, key, klen, "the type bitmap differs from the data");
	if (j->g->p.nsec3 && !gsame(v.src, v.src_len, k, len))
		gnote(j, GATE_STORED, key, klen, "its source is another name");
	return 0;
}

int gden_absent(struct gjob *j, const uint8_t *k, size_t len)
{
	uint8_t key[GKEY_MAX];
	size_t klen;
	struct kv_item it;

	if (gden_key(j, k, len, key, &klen))
		return j->err;
	if (gjob_get(j, j->kv, key, klen, &it))
		gnote(j, GATE_CHAIN_GHOST, key, klen, "a record for a name that has none");
	return j->err;
}

int gden_ghost(struct gjob *j, const struct gden *d)
{
	uint8_t key[GKEY_MAX];
	size_t len, klen;
	const uint8_t *k = gden_source(d, &len);
	enum gkind kind;

	if (!k)
		return 0; /* damaged: its own check says so */
	kind = gname_kind(j, k, len);
	if (!gden_wanted(j, kind, kind == KIND_CUT && gname_has(j, j->kv, k, len, TY_DS)))
		gnote(j, GATE_CHAIN_GHOST, d->key, d->klen, "a record for a name that has none");
	else if (!gden_key(j, k, len, key, &klen) && !gsame(key, klen, d->key, d->klen))
		gnote(j, GATE_CHAIN_GHOST, d->key, d->klen, "its hash is not that of its source");
	return j->err;
}

/* --- from the record --- */

int gden_owner(struct gjob *j, const uint8_t *key, size_t klen, uint8_t wire[static GWIRE_MAX], size_t *wlen)
{
	const struct gate_params *p = &j->g->p;
	char text[HASH_TEXT + 1];

	if (!p->nsec3) {
		if (!gname_within(key + 2, klen - 2, j->g->apex.k, j->g->apex.len))
			return ZS_EFORMAT;
		return gname_to_wire(key + 2, klen - 2, wire, wlen);
	}
	if (klen != 2 + GHASH_LEN || 1 + HASH_TEXT + p->zone_len > GWIRE_MAX)
		return ZS_EFORMAT;
	text_b32hex(text, key + 2, GHASH_LEN);
	wire[0] = HASH_TEXT;
	memcpy(wire + 1, text, HASH_TEXT);
	memcpy(wire + 1 + HASH_TEXT, p->zone, p->zone_len);
	*wlen = 1 + HASH_TEXT + p->zone_len;
	return 0;
}

/* What today's SOA asks of the chain: min(its TTL, MINIMUM) (RFC 9077). */
static bool soa_ttl(struct gjob *j, uint32_t *ttl)
{
	uint8_t key[GKEY_MAX];
	struct kv_item it;
	struct gval v;
	struct grr rr;

	if (!j->soa_known) {
		j->soa_known = true;
		if (gjob_get(j, j->kv, key, gkey_record(key, j->g->apex.k, j->g->apex.len, TY_SOA), &it) &&
		    !gval_parse(&v, it.val, it.vlen) && gval_rr(&v, &rr) && rr.len >= 4) {
			uint32_t minimum = be32(rr.data + rr.len - 4);

			j->has_soa = true;
			j->denial_ttl = minimum < v.ttl ? minimum : v.ttl;
		}
	}
	*ttl = j->denial_ttl;
	return j->has_soa;
}

/* A record that this version did not touch keeps the TTL of an older SOA. */
static void check_ttl(struct gjob *j, const struct gden *d, const struct gval *v)
{
	struct kv_item it;
	uint32_t want;

	if (!soa_ttl(j, &want) || v->ttl == want)
		return;
	if (gjob_base(j) && gjob_get(j, j->base, d->key, d->klen, &it) &&
	    gsame(it.val, it.vlen, d->val.p, d->val.len))
		return;
	gnote(j, GATE_DENIAL_TTL, d->key, d->klen, "TTL %u instead of %u", v->ttl, want);
}

static void check_params(struct gjob *j, const struct gden *d, const struct chain *c)
{
	const struct gate_params *p = &j->g->p;

	if (c->alg != NSEC3_SHA1 || c->iterations != p->nsec3_iterations ||
	    !gsame(c->salt, c->salt_len, p->salt, p->salt_len))
		gnote(j, GATE_NSEC3_PARAM, d->key, d->klen, "its parameters are not those of the zone");
	if (c->flags != (p->opt_out ? NSEC3_OPT_OUT : 0))
		gnote(j, GATE_OPT_OUT, d->key, d->klen, "flags %u instead of %u", c->flags,
		      p->opt_out ? NSEC3_OPT_OUT : 0);
}

static bool links_to(struct gjob *j, const struct chain *c, const uint8_t *next, size_t nlen)
{
	uint8_t wire[GWIRE_MAX];
	size_t wlen;

	if (j->g->p.nsec3)
		return gsame(c->next, c->next_len, next + 2, nlen - 2);
	/* We make next names, so lower case it is. */
	return !gname_to_wire(next + 2, nlen - 2, wire, &wlen) && gsame(c->next, c->next_len, wire, wlen);
}

static void check_link(struct gjob *j, const struct gden *d, const struct chain *c, const uint8_t *next,
		       size_t nlen)
{
	if (!links_to(j, c, next, nlen))
		gnote(j, GATE_CHAIN_LINK, d->key, d->klen, "does not point to the next record");
}

int gden_link(struct gjob *j, const struct gden *d, const uint8_t *next, size_t nlen)
{
	struct gval v;
	struct chain c;
	int rc = record_parse(j->g->p.nsec3, d->val.p, d->val.len, &v, &c);

	if (rc)
		gnote(j, GATE_STORED, d->key, d->klen, "%s", zs_strerror(rc));
	else
		check_link(j, d, &c, next, nlen);
	return 0;
}

int gden_check(struct gjob *j, const struct gden *d, const uint8_t *next, size_t nlen)
{
	bool nsec3 = j->g->p.nsec3;
	uint8_t wire[GWIRE_MAX];
	struct grrset rs = { .key = d->key, .klen = d->klen, .wire = wire, .must_sign = true };
	struct gval v;
	struct chain c;
	int rc = gden_owner(j, d->key, d->klen, wire, &rs.wire_len);

	if (!rc)
		rc = record_parse(nsec3, d->val.p, d->val.len, &v, &c);
	if (!rc && nsec3 != !!v.src)
		rc = ZS_EFORMAT;
	if (rc) {
		gnote(j, GATE_STORED, d->key, d->klen, "%s", zs_strerror(rc));
		return 0;
	}
	rs.type = nsec3 ? TY_NSEC3 : TY_NSEC;
	rs.labels = nsec3 ? j->g->apex_labels + 1 : gname_labels(d->key + 2, d->klen - 2);
	check_ttl(j, d, &v);
	if (nsec3)
		check_params(j, d, &c);
	check_link(j, d, &c, next, nlen);
	return grrset_check(j, &rs, &v);
}
