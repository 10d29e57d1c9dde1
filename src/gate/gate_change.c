/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a change touches, and nothing else. For each owner with a changed key: all its RRsets (only changed
 * ones to the full), its record in the chain, the empty names above, expiry entries that should be gone; and
 * the whole subtree when the owner began or ceased to occlude it. For each changed record of the chain:
 * itself, its name, and the links on both sides. For each changed entry of the expiry index: what it points
 * to, and what it pointed to. All of it is read anew from the candidate; the base only says what was.
 */
#include <stdlib.h>
#include <string.h>

#include "gate_impl.h"

/* The owner whose changed keys are being gathered. */
struct gather {
	struct gname name;
	bool open;
	uint16_t *type;
	size_t n, cap;
};

static int gather_add(struct gjob *j, struct gather *a, uint16_t type)
{
	if (a->n == a->cap) {
		size_t cap = a->cap ? 2 * a->cap : 32;
		uint16_t *t = realloc(a->type, cap * sizeof *t);

		if (!t)
			return gjob_fail(j, ZS_ENOMEM);
		a->type = t;
		a->cap = cap;
	}
	a->type[a->n++] = type;
	return 0;
}

/* What the base's value of a key stood under in the expiry index: now gone, or another's, or still right. */
static int check_stale(struct gjob *j, const uint8_t *key, size_t klen)
{
	uint8_t ekey[GKEY_MAX];
	size_t elen, tlen;
	const uint8_t *to;
	struct kv_item it;
	struct gval v;

	if (!gjob_base(j) || !gjob_get(j, j->base, key, klen, &it) || gval_parse(&v, it.val, it.vlen) ||
	    !v.nsig)
		return j->err;
	elen = gkey_expiry(ekey, v.exp_time, v.exp_seq);
	if (gjob_get(j, j->kv, ekey, elen, &it) && !gval_expiry(it.val, it.vlen, &to, &tlen) &&
	    gsame(to, tlen, key, klen))
		return gexpiry_extra(j, ekey, elen);
	return j->err;
}

/* What stood under an entry that changed may stand there still: nobody else will look for it in time. */
static int check_displaced(struct gjob *j, const uint8_t *ekey, size_t elen)
{
	uint8_t key[GKEY_MAX], own[GKEY_MAX];
	const uint8_t *to;
	size_t tlen;
	struct kv_item it;
	struct gval v;

	if (!gjob_base(j) || !gjob_get(j, j->base, ekey, elen, &it) ||
	    gval_expiry(it.val, it.vlen, &to, &tlen) || tlen > GKEY_MAX)
		return j->err;
	memcpy(key, to, tlen);
	if (!gjob_get(j, j->kv, key, tlen, &it) || gval_parse(&v, it.val, it.vlen) || !v.nsig ||
	    !gsame(own, gkey_expiry(own, v.exp_time, v.exp_seq), ekey, elen))
		return j->err;
	return gexpiry_check(j, key, tlen, v.exp_time, v.exp_seq);
}

static int change_entry(struct gjob *j, const uint8_t *key, size_t klen)
{
	int rc = gexpiry_extra(j, key, klen);

	return rc ? rc : check_displaced(j, key, klen);
}

/* The record of a name of that kind: there and right, or not there. */
static int check_record(struct gjob *j, const uint8_t *k, size_t len, const struct gowner *o, enum gkind kind)
{
	if (!j->g->chain)
		return 0;
	if (gden_wanted(j, kind, o && o->ds))
		return gden_expect(j, k, len, o, kind);
	return gden_absent(j, k, len);
}

/* Empty names between the apex and an owner; below `top`, if any, everything is occluded. */
static int check_above(struct gjob *j, const uint8_t *k, size_t len, bool occluded, size_t top)
{
	size_t at = gname_down(k, len, j->g->apex.len);
	int rc = 0;

	if (!j->g->chain || !j->g->p.nsec3)
		return 0;
	for (; at && at < len && !rc; at = gname_down(k, len, at)) {
		enum gkind kind = occluded && at > top ? KIND_OCCLUDED : gname_kind_open(j, k, at);

		if (kind != KIND_AUTH && kind != KIND_CUT)
			rc = check_record(j, k, at, NULL, kind);
	}
	return rc;
}

/* Everything below a name that began or ceased to be a cut or to have a DNAME. */
static int check_below(struct gjob *j, const uint8_t *k, size_t len)
{
	uint8_t from[GKEY_MAX + 1], to[GKEY_MAX];
	size_t flen = gkey_prefix(from, IN_RECORDS, k, len), tlen = gkey_prefix(to, IN_RECORDS, k, len);

	from[flen++] = 1; /* labels begin with 01 or higher; 00 are the types of the name itself */
	to[tlen - 1]++;
	return gwalk_records(j, from, flen, to, tlen);
}

static int check_owner(struct gjob *j, const struct gather *a)
{
	const uint8_t *k = a->name.k;
	size_t len = a->name.len, top = 0;
	struct gowner *o = &j->own[0];
	bool occluded = gname_occluder(j, j->kv, k, len, &top), is, was;
	enum gkind kind;
	int rc = gowner_read(j, o, k, len);

	if (rc)
		return rc;
	kind = occluded ? KIND_OCCLUDED : o->n ? gowner_kind(j, o) : gname_kind_open(j, k, len);
	is = gowner_occludes(j, o);
	was = gjob_base(j) && gname_occludes(j, j->base, k, len);
	rc = gowner_check(j, o, kind, a->type, a->n);
	if (!rc)
		rc = check_record(j, k, len, o, kind);
	if (!rc)
		rc = check_above(j, k, len, occluded, top);
	for (size_t i = 0; i < a->n && !rc; i++) {
		uint8_t key[GKEY_MAX];

		rc = check_stale(j, key, gkey_record(key, k, len, a->type[i]));
	}
	if (!rc && !occluded && is != was)
		rc = check_below(j, k, len);
	return rc;
}

static int flush(struct gjob *j, struct gather *a)
{
	int rc = 0;

	if (a->open)
		rc = check_owner(j, a);
	a->open = false;
	a->n = 0;
	return gjob_fail(j, rc);
}

static int change_record(struct gjob *j, struct gather *a, const uint8_t *key, size_t klen)
{
	uint8_t wire[GWIRE_MAX];
	size_t olen, wlen;
	struct kv_item it;
	uint16_t type;

	if (gkey_split(key, klen, &olen, &type) || gname_to_wire(key + 1, olen, wire, &wlen) ||
	    !gname_within(key + 1, olen, j->g->apex.k, j->g->apex.len)) {
		if (gjob_get(j, j->kv, key, klen, &it))
			gnote(j, GATE_STORED, key, klen, "not a key of a record of this zone");
		return j->err;
	}
	if (a->open && !gsame(a->name.k, a->name.len, key + 1, olen) && flush(j, a))
		return j->err;
	a->open = true;
	a->name.len = olen;
	if (olen)
		memcpy(a->name.k, key + 1, olen);
	return gather_add(j, a, type);
}

/* First record of our set at or behind a key, round to the first of all. */
static bool record_from(struct gjob *j, const uint8_t *key, size_t klen, struct gden *out)
{
	struct kv_item it;
	int rc = kv_seek(j->kv, key, klen, &it);

	if (gjob_fail(j, rc))
		return false;
	if (rc || !gden_ours(j->g, it.key, it.klen)) {
		if (!gden_first(j, &it))
			return false;
	}
	return !gden_copy(j, out, &it);
}

/* Last record of our set before a key, round to the last of all. */
static bool record_before(struct gjob *j, const uint8_t *key, size_t klen, struct gden *out)
{
	uint8_t end[2];
	struct kv_item it;
	int rc = kv_seek_lt(j->kv, key, klen, &it);

	if (gjob_fail(j, rc))
		return false;
	if (rc || !gden_ours(j->g, it.key, it.klen)) {
		put_be16(end, (uint16_t)(be16(key) + 1)); /* table and set */
		rc = kv_seek_lt(j->kv, end, sizeof end, &it);
		if (gjob_fail(j, rc) || rc || !gden_ours(j->g, it.key, it.klen))
			return false;
	}
	return !gden_copy(j, out, &it);
}

/* A record that was written: itself, and whether its name is as it says. */
static int check_written(struct gjob *j, struct gden *d, struct gden *next)
{
	uint8_t behind[GKEY_MAX + 1];
	const uint8_t *k;
	size_t len;
	int rc;

	memcpy(behind, d->key, d->klen);
	behind[d->klen] = 0;
	if (!record_from(j, behind, d->klen + 1, next))
		return j->err;
	rc = gden_check(j, d, next->key, next->klen);
	if (!rc)
		rc = gden_ghost(j, d);
	k = gden_source(d, &len);
	if (rc || !k || !gname_within(k, len, j->g->apex.k, j->g->apex.len))
		return rc;
	/* The bitmap, unless the name is none or the record a ghost. */
	if (gname_kind(j, k, len) > KIND_OCCLUDED) {
		struct gowner *o = &j->own[0];
		enum gkind kind;

		rc = gowner_read(j, o, k, len);
		kind = o->n ? gowner_kind(j, o) : KIND_ENT;
		if (!rc && gden_wanted(j, kind, o->ds))
			rc = gden_expect(j, k, len, o, kind);
	}
	return rc == ZS_EFORMAT ? 0 : rc;
}

/* A record that was removed: its name must not want it any more. */
static int check_removed(struct gjob *j, const uint8_t *key, size_t klen, struct gden *d)
{
	struct gowner *o = &j->own[0];
	struct kv_item it;
	const uint8_t *k;
	enum gkind kind;
	size_t len;
	int rc;

	if (!gjob_base(j) || !gjob_get(j, j->base, key, klen, &it) || gden_copy(j, d, &it))
		return j->err;
	k = gden_source(d, &len);
	if (!k)
		return 0;
	kind = gname_kind(j, k, len);
	rc = gowner_read(j, o, k, len);
	if (rc || kind <= KIND_OCCLUDED || !gden_wanted(j, kind, o->ds))
		return rc == ZS_EFORMAT ? 0 : rc;
	return gden_expect(j, k, len, o, kind);
}

static int change_denial(struct gjob *j, const uint8_t *key, size_t klen)
{
	struct gden *d = &j->den[0], *other = &j->den[1], to = { .val = wr_growing(SIZE_MAX) };
	struct kv_item it;
	bool there = gjob_get(j, j->kv, key, klen, &it);
	int rc = 0;

	if (!gden_ours(j->g, key, klen)) {
		if (there)
			gden_foreign(j, key, klen);
		return j->err;
	}
	if (!j->g->chain || j->err)
		return j->err;
	if (there && !gden_copy(j, d, &it))
		rc = check_written(j, d, other);
	else if (!there)
		rc = check_removed(j, key, klen, d);
	if (!rc)
		rc = check_stale(j, key, klen);
	if (!rc && record_before(j, key, klen, d) && record_from(j, key, klen, &to))
		rc = gden_link(j, d, to.key, to.klen);
	wr_free(&to.val);
	return gjob_fail(j, rc);
}

int gate_change(struct gate *g, struct kv *kv, int (*next)(void *ctx, const uint8_t **key, size_t *klen),
		void *ctx)
{
	struct gather a = { .open = false };
	struct gjob j;
	const uint8_t *borrowed;
	uint8_t key[GKEY_MAX];
	size_t klen;
	int rc = 0;

	gjob_init(&j, g, kv);
	j.change = true;
	while (!j.err && !(rc = next(ctx, &borrowed, &klen))) {
		if (!klen || klen > GKEY_MAX) {
			gjob_fail(&j, ZS_EINVAL);
			break;
		}
		memcpy(key, borrowed, klen);
		if (key[0] == IN_RECORDS)
			change_record(&j, &a, key, klen);
		else if (key[0] == IN_DENIAL && !flush(&j, &a))
			change_denial(&j, key, klen);
		else if (key[0] == IN_EXPIRY && !flush(&j, &a))
			change_entry(&j, key, klen);
	}
	gjob_fail(&j, rc);
	if (!j.err)
		flush(&j, &a);
	free(a.type);
	return gjob_done(&j);
}
