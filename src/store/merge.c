/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How two maps are seen as one: a position keeps one candidate of each side, both on the same side of it
 * (`dir`), and gives out the nearer one; where keys are equal the overlay wins. A candidate that was given
 * out (or covered) is `used` and replaced at the next step, not before: items are borrowed until then. After
 * writes to the overlay its candidate is looked up again from the key of the position; who turns round, or
 * lost the base's handle, does so on both sides. Called by view.c and snap.c.
 */
#include <string.h>

#include "base/err.h"
#include "merge.h"

static int side_take(struct merge_side *s, int rc)
{
	s->have = rc == 0;
	s->used = false;
	return rc == ZS_ENOENT ? 0 : rc;
}

/* The item of one side next to the position, in direction dir, without it. */
static int side_resync(const struct merge *m, struct merge_side *s, enum merge_dir dir)
{
	int rc;

	s->have = false;
	if (!s->kv)
		return 0;
	if (dir == DIR_DOWN)
		return side_take(s, kv_seek_lt(s->kv, m->key, m->klen, &s->item));
	rc = kv_seek(s->kv, m->key, m->klen, &s->item);
	if (rc == 0 && s->item.klen == m->klen && memcmp(s->item.key, m->key, m->klen) == 0)
		rc = kv_next(s->kv, &s->item);
	return side_take(s, rc);
}

static int side_advance(struct merge_side *s, enum merge_dir dir)
{
	if (!s->have || !s->used)
		return 0;
	return side_take(s, dir == DIR_UP ? kv_next(s->kv, &s->item) : kv_prev(s->kv, &s->item));
}

static int side_jump(struct merge_side *s, const void *key, size_t klen, enum merge_dir dir)
{
	s->have = false;
	if (!s->kv)
		return 0;
	return side_take(s, dir == DIR_DOWN ? kv_seek_lt(s->kv, key, klen, &s->item)
					    : kv_seek(s->kv, key, klen, &s->item));
}

static int item_cmp(const struct kv_item *a, const struct kv_item *b)
{
	int c = memcmp(a->key, b->key, a->klen < b->klen ? a->klen : b->klen);

	return c ? c : (a->klen > b->klen) - (a->klen < b->klen);
}

/* Which candidate comes first: < 0 base, > 0 overlay, 0 both. */
static int nearer(const struct merge *m)
{
	int c;

	if (!m->over.have)
		return -1;
	if (!m->base.have)
		return 1;
	c = item_cmp(&m->base.item, &m->over.item);
	return m->dir == DIR_UP ? c : -c;
}

static int give(struct merge *m, const struct kv_item *it, struct kv_item *out)
{
	if (it->klen > sizeof(m->key))
		return ZS_ECRC;
	memcpy(m->key, it->key, it->klen);
	m->klen = it->klen;
	m->placed = true;
	*out = *it;
	return 0;
}

/* Gives out the nearer of two fresh candidates, passing over what is deleted. */
static int pick(struct merge *m, struct kv_item *out)
{
	int c, rc = 0;

	while (!rc && (m->base.have || m->over.have)) {
		c = nearer(m);
		m->base.used = c <= 0;
		m->over.used = c >= 0;
		if (c < 0)
			return give(m, &m->base.item, out);
		if (m->over.item.val[0] == OV_PUT) {
			struct kv_item it = m->over.item;

			it.val++;
			it.vlen--;
			return give(m, &it, out);
		}
		rc = side_advance(&m->base, m->dir);
		if (!rc)
			rc = side_advance(&m->over, m->dir);
	}
	merge_unplace(m);
	return rc ? rc : ZS_ENOENT;
}

int merge_step(struct merge *m, enum merge_dir dir, bool over_moved, struct kv_item *out)
{
	bool turned = m->dir != dir;
	int rc;

	if (!m->placed)
		return ZS_ENOENT;
	rc = turned ? side_resync(m, &m->base, dir) : side_advance(&m->base, dir);
	if (!rc)
		rc = turned || over_moved ? side_resync(m, &m->over, dir) : side_advance(&m->over, dir);
	m->dir = rc ? DIR_NONE : dir;
	return rc ? rc : pick(m, out);
}

int merge_jump(struct merge *m, const void *key, size_t klen, enum merge_dir dir, struct kv_item *out)
{
	int rc;

	merge_unplace(m);
	rc = side_jump(&m->base, key, klen, dir);
	if (!rc)
		rc = side_jump(&m->over, key, klen, dir);
	if (rc)
		return rc;
	m->dir = dir;
	return pick(m, out);
}

int merge_look(struct kv *over, const void *key, size_t klen, bool *put, struct kv_item *out)
{
	int rc = kv_get(over, key, klen, out);

	if (rc)
		return rc;
	*put = out->val[0] == OV_PUT;
	*out = (struct kv_item){ out->key, out->klen, out->val + 1, out->vlen - 1 };
	return 0;
}

void merge_base_lost(struct merge *m)
{
	m->base.have = false;
	m->dir = DIR_NONE;
}

void merge_unplace(struct merge *m)
{
	m->placed = false;
	m->dir = DIR_NONE;
}
