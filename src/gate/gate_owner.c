/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Owners: reading all RRsets of a name, and what kind of name it is (RFC 4035 2, RFC 6672 2.4). A name is
 * occluded when an ancestor other than the apex has NS, or any ancestor has DNAME; it is a cut when it has NS
 * itself; else it is authoritative when it has data, and an empty non-terminal when names below it do. The
 * first thing below an empty name is never occluded by anything under that name, so one look decides.
 */
#include <stdlib.h>
#include <string.h>

#include "gate_impl.h"

size_t gkey_prefix(uint8_t out[static GKEY_MAX], uint8_t table, const uint8_t *k, size_t len)
{
	out[0] = table;
	if (len)
		memcpy(out + 1, k, len);
	return len + 1;
}

size_t gkey_record(uint8_t out[static GKEY_MAX], const uint8_t *k, size_t len, uint16_t type)
{
	size_t n = gkey_prefix(out, IN_RECORDS, k, len);

	out[n] = 0;
	put_be16(out + n + 1, type);
	return n + 3;
}

/* Length of the order key, which begins at key + 1, and the type. */
int gkey_split(const uint8_t *key, size_t klen, size_t *olen, uint16_t *type)
{
	if (klen < 4 || klen > GORD_MAX + 4 || key[0] != IN_RECORDS || key[klen - 3] != 0)
		return ZS_EFORMAT;
	if (klen > 4 && key[klen - 4] != 0)
		return ZS_EFORMAT;
	*olen = klen - 4;
	*type = be16(key + klen - 2);
	return 0;
}

void gowner_clear(struct gowner *o)
{
	o->n = 0;
	o->vals.len = 0;
	o->ns = o->ds = o->dname = false;
}

/* Takes a name; ZS_EFORMAT when the order key is none or not in the zone. */
int gowner_start(struct gjob *j, struct gowner *o, const uint8_t *k, size_t len)
{
	gowner_clear(o);
	if (gname_to_wire(k, len, o->wire, &o->wire_len) ||
	    !gname_within(k, len, j->g->apex.k, j->g->apex.len))
		return ZS_EFORMAT;
	o->name.len = len;
	if (len)
		memcpy(o->name.k, k, len);
	return 0;
}

int gowner_add(struct gjob *j, struct gowner *o, uint16_t type, const uint8_t *val, size_t vlen)
{
	if (o->n == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 16;
		struct gset *set = realloc(o->set, cap * sizeof *set);

		if (!set)
			return gjob_fail(j, ZS_ENOMEM);
		o->set = set;
		o->cap = cap;
	}
	o->set[o->n] = (struct gset){ type, o->vals.len, vlen };
	wr_bytes(&o->vals, val, vlen);
	if (o->vals.err)
		return gjob_fail(j, o->vals.err);
	o->n++;
	o->ns |= type == TY_NS;
	o->ds |= type == TY_DS;
	o->dname |= type == TY_DNAME;
	return 0;
}

/* By itself, position moves. n stays 0 when there is no such owner. */
int gowner_read(struct gjob *j, struct gowner *o, const uint8_t *k, size_t len)
{
	uint8_t key[GKEY_MAX];
	size_t plen = gkey_prefix(key, IN_RECORDS, k, len);
	struct kv_item it;
	int rc = gowner_start(j, o, k, len);

	if (rc)
		return rc;
	key[plen++] = 0;
	for (rc = kv_seek(j->kv, key, plen, &it); !rc; rc = kv_next(j->kv, &it)) {
		if (it.klen < plen || memcmp(it.key, key, plen))
			break;
		if (it.klen == plen + 2 && gowner_add(j, o, be16(it.key + plen), it.val, it.vlen))
			break;
	}
	return gjob_fail(j, rc);
}

static bool is_apex(const struct gjob *j, size_t len)
{
	return len == j->g->apex.len;
}

bool gowner_occludes(const struct gjob *j, const struct gowner *o)
{
	return o->dname || (o->ns && !is_apex(j, o->name.len));
}

enum gkind gowner_kind(const struct gjob *j, const struct gowner *o)
{
	if (!o->n)
		return KIND_NONE;
	return o->ns && !is_apex(j, o->name.len) ? KIND_CUT : KIND_AUTH;
}

bool gname_has(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len, uint16_t type)
{
	uint8_t key[GKEY_MAX];
	struct kv_item it;

	return gjob_get(j, kv, key, gkey_record(key, k, len, type), &it);
}

bool gname_occludes(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len)
{
	return (!is_apex(j, len) && gname_has(j, kv, k, len, TY_NS)) || gname_has(j, kv, k, len, TY_DNAME);
}

bool gname_occluder(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len, size_t *olen)
{
	size_t at = j->g->apex.len, next;

	for (; at < len; at = next) {
		if (gname_occludes(j, kv, k, at)) {
			*olen = at;
			return true;
		}
		next = gname_down(k, len, at);
		if (!next) /* a key that is no name: it has no label that ends here */
			break;
	}
	return false;
}

enum gkind gname_kind_open(struct gjob *j, const uint8_t *k, size_t len)
{
	uint8_t key[GKEY_MAX];
	size_t plen = gkey_prefix(key, IN_RECORDS, k, len);
	struct kv_item it;
	int rc = kv_seek(j->kv, key, plen, &it);

	if (rc || it.klen <= plen || memcmp(it.key, key, plen)) {
		gjob_fail(j, rc);
		return KIND_NONE;
	}
	if (it.key[plen] != 0)
		return KIND_ENT;
	return !is_apex(j, len) && gname_has(j, j->kv, k, len, TY_NS) ? KIND_CUT : KIND_AUTH;
}

enum gkind gname_kind(struct gjob *j, const uint8_t *k, size_t len)
{
	size_t olen;

	if (!gname_within(k, len, j->g->apex.k, j->g->apex.len))
		return KIND_NONE;
	if (gname_occluder(j, j->kv, k, len, &olen))
		return KIND_OCCLUDED;
	return gname_kind_open(j, k, len);
}

/* Types that never stand as data of their own in a signed version. */
static void check_type(struct gjob *j, const uint8_t *key, size_t klen, uint16_t type, bool apex)
{
	bool is_signed = !j->g->p.unsigned_zone;

	if (type == TY_SOA && !apex)
		gnote(j, GATE_APEX, key, klen, "not at the apex");
	if (is_signed && (type == TY_NSEC || type == TY_NSEC3))
		gnote(j, GATE_MIXED_DENIAL, key, klen, "stands among the records");
	if (is_signed && type == TY_RRSIG)
		gnote(j, GATE_STORED, key, klen, "signatures apart from their RRset");
	if (is_signed && type == TY_NSEC3PARAM && apex && !j->g->p.nsec3)
		gnote(j, GATE_NSEC3_PARAM, key, klen, "there is no NSEC3 chain");
}

static bool owner_matches(const struct gowner *o, const struct gval *v)
{
	uint8_t low[GWIRE_MAX];

	if (!v->owner)
		return true;
	memcpy(low, v->owner, v->owner_len);
	gwire_lower(low, v->owner_len);
	return gsame(low, v->owner_len, o->wire, o->wire_len);
}

static int check_set(struct gjob *j, const struct gowner *o, const struct gset *set, struct grrset *rs)
{
	const uint8_t *val = set->len ? o->vals.p + set->off : NULL;
	struct gval v;
	int rc = gval_parse(&v, val, set->len);

	if (rc) {
		gnote(j, GATE_STORED, rs->key, rs->klen, "%s", zs_strerror(rc));
		return 0;
	}
	if (!owner_matches(o, &v))
		gnote(j, GATE_STORED, rs->key, rs->klen, "the stored owner is another name");
	return grrset_check(j, rs, &v);
}

static bool is_in(const uint16_t *types, size_t n, uint16_t type)
{
	for (size_t i = 0; i < n; i++) {
		if (types[i] == type)
			return true;
	}
	return false;
}

int gowner_check(struct gjob *j, const struct gowner *o, enum gkind kind, const uint16_t *changed,
		 size_t nchanged)
{
	uint8_t key[GKEY_MAX];
	int rc = 0;

	for (size_t i = 0; i < o->n && !rc; i++) {
		uint16_t type = o->set[i].type;
		struct grrset rs = {
			.key = key,
			.klen = gkey_record(key, o->name.k, o->name.len, type),
			.wire = o->wire,
			.wire_len = o->wire_len,
			.labels = gname_labels(o->name.k, o->name.len),
			.type = type,
			.apex = is_apex(j, o->name.len),
			.must_sign = !j->g->p.unsigned_zone &&
				     (kind == KIND_AUTH || (kind == KIND_CUT && type == TY_DS)),
			.light = changed && !is_in(changed, nchanged, type),
		};

		check_type(j, key, rs.klen, type, rs.apex);
		rc = check_set(j, o, &o->set[i], &rs);
	}
	return rc;
}
