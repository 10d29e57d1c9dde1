/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Parts of a whole version, one table each, in key order. RECORDS: a walk down the tree that carries one
 * thing, the last name that was not occluded; whether the next one is occluded and which empty non-terminals
 * lie between follows from that alone, and at the edge of a part it is found by looking back. DENIAL: each
 * record against its follower. EXPIRY: counted. gate_finish() compares the sums of the three.
 */
#include <string.h>

#include "gate_impl.h"

/* Position among the owners of a part. */
struct owners {
	struct gjob *j;
	const uint8_t *to;
	size_t to_len;
};
struct walk {
	struct gname prev;  /* last name that is not occluded */
	bool has_prev;
	bool occludes;      /* it is a cut or has a DNAME */
};

static bool before(const struct kv_item *it, uint8_t table, const uint8_t *to, size_t tlen)
{
	return it->klen && it->key[0] == table && (!tlen || gcmp(it->key, it->klen, to, tlen) < 0);
}

/*
 * Puts an item where it belongs: with cur when the owner is the same, else as the beginning of next.
 * Returns true when next was begun.
 */
static bool take_item(struct gjob *j, struct gowner *cur, struct gowner *next, const struct kv_item *it)
{
	struct gowner *o = cur;
	size_t olen;
	uint16_t type;

	if (gkey_split(it->key, it->klen, &olen, &type)) {
		gnote(j, GATE_STORED, it->key, it->klen, "not a key of a record");
		return false;
	}
	if (!cur->n || !gsame(cur->name.k, cur->name.len, it->key + 1, olen)) {
		o = cur->n ? next : cur;
		if (gowner_start(j, o, it->key + 1, olen)) {
			gnote(j, GATE_STORED, it->key, it->klen, "a name that is not in the zone");
			gowner_clear(o);
			return false;
		}
	}
	gowner_add(j, o, type, it->val, it->vlen);
	return o == next;
}

/* The next owner of the part; NULL at the end. What was read of the one behind it waits in the other slot. */
static struct gowner *owners_next(struct owners *w)
{
	struct gjob *j = w->j;
	struct gowner *cur = &j->own[j->cur ^= 1], *next = &j->own[j->cur ^ 1];
	struct kv_item it;
	int rc;

	gowner_clear(next);
	while (!(rc = kv_next(j->kv, &it)) && before(&it, IN_RECORDS, w->to, w->to_len)) {
		if (take_item(j, cur, next, &it) || j->err)
			break;
	}
	gjob_fail(j, rc);
	return cur->n && !j->err ? cur : NULL;
}

/* Moves to the part and reads the first item into the slot that owners_next() turns to. */
static bool owners_begin(struct owners *w, struct gjob *j, const uint8_t *from, size_t flen)
{
	struct gowner *first = &j->own[j->cur ^ 1];
	struct kv_item it;
	int rc = kv_seek(j->kv, from, flen, &it);

	gowner_clear(&j->own[0]);
	gowner_clear(&j->own[1]);
	if (rc || !before(&it, IN_RECORDS, w->to, w->to_len)) {
		gjob_fail(j, rc);
		return false;
	}
	take_item(j, first, &j->own[j->cur], &it);
	return true;
}

/* The last name before the part that is not occluded: the last one, or what occludes it. */
static void look_back(struct gjob *j, struct walk *w, const uint8_t *from, size_t flen)
{
	struct kv_item it;
	size_t olen;
	uint16_t type;
	int rc = kv_seek_lt(j->kv, from, flen, &it);

	memset(w, 0, sizeof *w);
	if (rc || gkey_split(it.key, it.klen, &olen, &type) || olen > GORD_MAX ||
	    !gname_within(it.key + 1, olen, j->g->apex.k, j->g->apex.len)) {
		gjob_fail(j, rc);
		return;
	}
	w->has_prev = true;
	w->prev.len = olen;
	memcpy(w->prev.k, it.key + 1, olen);
	w->occludes = gname_occluder(j, j->kv, w->prev.k, olen, &w->prev.len) ||
		      gname_occludes(j, j->kv, w->prev.k, olen);
}

/* The empty names above o that prev does not share. */
static int check_ents(struct gjob *j, const struct walk *w, const struct gowner *o)
{
	const struct gname *n = &o->name;
	size_t at = j->g->apex.len;
	int rc = 0;

	if (w->has_prev) {
		size_t common = gname_common(w->prev.k, w->prev.len, n->k, n->len);

		at = common > at ? common : at;
	}
	for (at = gname_down(n->k, n->len, at); at && at < n->len && !rc; at = gname_down(n->k, n->len, at))
		rc = gden_expect(j, n->k, at, NULL, KIND_ENT);
	return rc;
}

/* A change can make names occluded: then they and the empty ones above them have no records any more. */
static int check_occluded(struct gjob *j, const struct walk *w, const struct gowner *o)
{
	const struct gname *n = &o->name;
	int rc = 0;

	if (!j->change || !j->g->chain)
		return 0;
	for (size_t at = w->prev.len; at < n->len && !rc;) {
		at = gname_down(n->k, n->len, at);
		if (!at)
			break;
		if (at == n->len || j->g->p.nsec3)
			rc = gden_absent(j, n->k, at);
	}
	return rc;
}

static int walk_owner(struct gjob *j, struct walk *w, const struct gowner *o)
{
	enum gkind kind = gowner_kind(j, o);
	int rc;

	if (w->has_prev && w->occludes && gname_within(o->name.k, o->name.len, w->prev.k, w->prev.len)) {
		rc = gowner_check(j, o, KIND_OCCLUDED, NULL, 0);
		return rc ? rc : check_occluded(j, w, o);
	}
	rc = gowner_check(j, o, kind, NULL, 0);
	if (!rc && j->g->chain && j->g->p.nsec3)
		rc = check_ents(j, w, o);
	if (!rc && j->g->chain) {
		if (gden_wanted(j, kind, o->ds))
			rc = gden_expect(j, o->name.k, o->name.len, o, kind);
		else if (j->change)
			rc = gden_absent(j, o->name.k, o->name.len);
	}
	w->has_prev = true;
	w->prev = o->name;
	w->occludes = gowner_occludes(j, o);
	return rc;
}

int gwalk_records(struct gjob *j, const uint8_t *from, size_t flen, const uint8_t *to, size_t tlen)
{
	struct owners w = { j, to, tlen };
	struct walk state;
	struct gowner *o;
	int rc = 0;

	look_back(j, &state, from, flen);
	if (!j->err && owners_begin(&w, j, from, flen)) {
		while (!rc && (o = owners_next(&w)))
			rc = walk_owner(j, &state, o);
	}
	return rc ? rc : j->err;
}

/* One record, with the item behind it in the table if there is one. The way round moves the position. */
static int walk_record(struct gjob *j, const struct gden *d, const struct gden *behind, struct gden *first)
{
	struct kv_item it;
	int rc = 0;

	if (!gden_ours(j->g, d->key, d->klen)) {
		gden_foreign(j, d->key, d->klen);
		return 0;
	}
	if (!j->g->chain)
		return 0;
	j->records++;
	if (behind && gden_ours(j->g, behind->key, behind->klen))
		return gden_check(j, d, behind->key, behind->klen);
	if (gden_first(j, &it) && !gden_copy(j, first, &it))
		rc = gden_check(j, d, first->key, first->klen);
	if (behind && !rc)
		rc = gjob_fail(j, kv_seek(j->kv, behind->key, behind->klen, &it));
	return rc ? rc : j->err;
}

static int walk_denial(struct gjob *j, const uint8_t *from, size_t flen, const uint8_t *to, size_t tlen)
{
	struct gden *cur = &j->den[0], *next = &j->den[1], *swap, first = { .val = wr_growing(SIZE_MAX) };
	struct kv_item it;
	int rc = kv_seek(j->kv, from, flen, &it);
	bool inside = !rc && before(&it, IN_DENIAL, to, tlen);

	gjob_fail(j, rc);
	if (inside)
		gden_copy(j, cur, &it);
	while (inside && !j->err) {
		bool more;

		rc = kv_next(j->kv, &it);
		more = !rc && before(&it, IN_DENIAL, NULL, 0);
		inside = more && before(&it, IN_DENIAL, to, tlen);
		if (gjob_fail(j, rc) || (more && gden_copy(j, next, &it)))
			break;
		gjob_fail(j, walk_record(j, cur, more ? next : NULL, &first));
		swap = cur;
		cur = next;
		next = swap;
	}
	wr_free(&first.val);
	return j->err;
}

static int walk_expiry(struct gjob *j, const uint8_t *from, size_t flen, const uint8_t *to, size_t tlen)
{
	struct kv_item it;
	const uint8_t *key;
	size_t klen;
	int rc;

	for (rc = kv_seek(j->kv, from, flen, &it); !rc && before(&it, IN_EXPIRY, to, tlen);
	     rc = kv_next(j->kv, &it)) {
		j->entries++;
		if (j->g->p.unsigned_zone)
			gnote(j, GATE_STRUCTURE, it.key, it.klen, "an expiry entry in an unsigned version");
		else if (gval_expiry(it.val, it.vlen, &key, &klen))
			gnote(j, GATE_STORED, it.key, it.klen, "expiry entry is damaged");
	}
	return gjob_fail(j, rc);
}

int gate_segment(struct gate *g, struct kv *kv, const struct gate_part *part)
{
	struct gjob j;

	if (!gjob_init(&j, g, kv)) {
		if (part->table == IN_RECORDS)
			gwalk_records(&j, part->from, part->from_len, part->to, part->to_len);
		else if (part->table == IN_DENIAL)
			walk_denial(&j, part->from, part->from_len, part->to, part->to_len);
		else if (part->table == IN_EXPIRY)
			walk_expiry(&j, part->from, part->from_len, part->to, part->to_len);
		else
			j.err = ZS_EINVAL;
	}
	return gjob_done(&j);
}
