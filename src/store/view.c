/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Views: a snapshot and an overlay, seen as one ordered map. The overlay is a kvmem whose values begin with a
 * mark: OV_PUT and the value, or OV_DEL alone for a key that the base has and the view does not. Called by
 * jobs (one thread at a time) and by commit.c.
 *
 * How a handle merges: it keeps one candidate of each side, both on the same side of the position (`dir`),
 * and gives out the nearer one; where keys are equal the overlay wins. A candidate that was given out (or
 * covered) is `used` and replaced at the next step, not before: items are borrowed until then. Puts through
 * any handle raise view->mods; a handle that is behind looks its overlay candidate up again from the key of
 * its position, and a handle that turns round or lost its base member does so on both sides.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "priv.h"

enum { OV_DEL, OV_PUT };
enum dir { DIR_NONE, DIR_UP, DIR_DOWN };

struct view {
	struct snap *snap;  /* NULL: empty base, or parked */
	bool parked;
	uint64_t base;
	struct kvmem *over;
	struct kv *write;   /* the one overlay handle that puts */
	struct kv *iter;    /* of view_next_change */
	uint64_t mods;
	struct wr scratch;
	struct handle *handles;
};

struct side {
	struct kv *kv;
	struct kv_item item;
	bool have;
	bool used;
};

struct handle {
	struct kv kv; /* first: handles are passed around as struct kv */
	struct view *v;
	struct handle *next;
	struct handle **link;
	struct side base;
	struct side over;
	struct kv *look;    /* overlay, for get */
	uint64_t mods;
	enum dir dir;
	bool placed;
	size_t klen;
	uint8_t key[KEY_OCTETS_MAX];
};

/* --- reading -------------------------------------------------------------------------------------------- */

static int side_take(struct side *s, int rc)
{
	s->have = rc == 0;
	s->used = false;
	return rc == ZS_ENOENT ? 0 : rc;
}

/* The base member comes with the first use and again after it was released. */
static int base_ready(struct handle *h)
{
	int rc;

	if (h->base.kv || !h->v->snap)
		return h->v->parked ? ZS_ESTALE : 0;
	rc = snap_kv(h->v->snap, &h->base.kv);
	h->base.have = false;
	h->dir = DIR_NONE;
	return rc;
}

/* The item of one side next to the position, in direction dir, without it. */
static int side_resync(struct handle *h, struct side *s, enum dir dir)
{
	int rc;

	s->have = false;
	if (!s->kv)
		return 0;
	if (dir == DIR_DOWN)
		return side_take(s, kv_seek_lt(s->kv, h->key, h->klen, &s->item));
	rc = kv_seek(s->kv, h->key, h->klen, &s->item);
	if (rc == 0 && s->item.klen == h->klen && memcmp(s->item.key, h->key, h->klen) == 0)
		rc = kv_next(s->kv, &s->item);
	return side_take(s, rc);
}

static int side_advance(struct side *s, enum dir dir)
{
	if (!s->have || !s->used)
		return 0;
	return side_take(s, dir == DIR_UP ? kv_next(s->kv, &s->item) : kv_prev(s->kv, &s->item));
}

static int item_cmp(const struct kv_item *a, const struct kv_item *b)
{
	int c = memcmp(a->key, b->key, a->klen < b->klen ? a->klen : b->klen);

	return c ? c : (a->klen > b->klen) - (a->klen < b->klen);
}

/* Which candidate comes first: < 0 base, > 0 overlay, 0 both. */
static int nearer(const struct handle *h)
{
	int c;

	if (!h->over.have)
		return -1;
	if (!h->base.have)
		return 1;
	c = item_cmp(&h->base.item, &h->over.item);
	return h->dir == DIR_UP ? c : -c;
}

static int give(struct handle *h, const struct kv_item *it, struct kv_item *out)
{
	memcpy(h->key, it->key, it->klen);
	h->klen = it->klen;
	h->placed = true;
	*out = *it;
	return 0;
}

/* Gives out the nearer of two fresh candidates, passing over what is deleted. */
static int pick(struct handle *h, struct kv_item *out)
{
	int c, rc = 0;

	while (!rc && (h->base.have || h->over.have)) {
		c = nearer(h);
		h->base.used = c <= 0;
		h->over.used = c >= 0;
		if (c < 0)
			return give(h, &h->base.item, out);
		if (h->over.item.val[0] == OV_PUT) {
			struct kv_item it = h->over.item;

			it.val++;
			it.vlen--;
			return give(h, &it, out);
		}
		rc = side_advance(&h->base, h->dir);
		if (!rc)
			rc = side_advance(&h->over, h->dir);
	}
	h->placed = false;
	h->dir = DIR_NONE;
	return rc ? rc : ZS_ENOENT;
}

static int step(struct handle *h, enum dir dir, struct kv_item *out)
{
	struct view *v = h->v;
	int rc;

	if (!h->placed)
		return ZS_ENOENT;
	rc = base_ready(h);
	if (rc)
		return rc;
	if (h->dir != dir)
		rc = side_resync(h, &h->base, dir);
	else
		rc = side_advance(&h->base, dir);
	if (rc)
		return rc;
	if (h->dir != dir || h->mods != v->mods)
		rc = side_resync(h, &h->over, dir);
	else
		rc = side_advance(&h->over, dir);
	h->dir = rc ? DIR_NONE : dir;
	h->mods = v->mods;
	return rc ? rc : pick(h, out);
}

static int view_step_up(struct kv *kv, struct kv_item *out)
{
	return step((struct handle *)kv, DIR_UP, out);
}

static int view_step_down(struct kv *kv, struct kv_item *out)
{
	return step((struct handle *)kv, DIR_DOWN, out);
}

static int view_jump(struct kv *kv, const void *key, size_t klen, enum dir dir, struct kv_item *out)
{
	int (*seek)(struct kv *, const void *, size_t, struct kv_item *) = kv_seek;
	struct handle *h = (struct handle *)kv;
	int rc = base_ready(h);

	if (dir == DIR_DOWN)
		seek = kv_seek_lt;
	h->placed = false;
	h->dir = DIR_NONE;
	if (!rc && h->base.kv)
		rc = side_take(&h->base, seek(h->base.kv, key, klen, &h->base.item));
	if (!rc)
		rc = side_take(&h->over, seek(h->over.kv, key, klen, &h->over.item));
	if (rc)
		return rc;
	h->dir = dir;
	h->mods = h->v->mods;
	return pick(h, out);
}

static int view_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return view_jump(kv, key, klen, DIR_UP, out);
}

static int view_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return view_jump(kv, key, klen, DIR_DOWN, out);
}

static int view_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	struct kv_item it;
	int rc = kv_get(h->look, key, klen, &it);

	if (rc == 0) {
		if (it.val[0] != OV_PUT)
			return ZS_ENOENT;
		*out = (struct kv_item){ it.key, it.klen, it.val + 1, it.vlen - 1 };
		return 0;
	}
	rc = base_ready(h);
	if (rc)
		return rc;
	return h->base.kv ? kv_get(h->base.kv, key, klen, out) : ZS_ENOENT;
}

/* --- writing -------------------------------------------------------------------------------------------- */

/*
 * Estimated dirty pages: a leaf of its own for every changed key, a share of the branch pages above, and the
 * octets. An owner whose RRset is signed again counts about four: record, two entries of the expiry index,
 * denial record.
 */
static size_t pages_of(size_t count, size_t octets)
{
	return count + count / 32 + octets / GEN_PAGE;
}

static int over_put(struct view *v, const void *key, size_t klen, uint8_t mark, const void *val, size_t vlen)
{
	int rc;

	if (pages_of(kvmem_count(v->over) + 1, kvmem_octets(v->over) + klen + vlen + 1) > VIEW_PAGES_MAX)
		return ZS_ELIMIT;
	v->scratch.len = 0;
	wr_u8(&v->scratch, mark);
	wr_bytes(&v->scratch, val, vlen);
	rc = v->scratch.err ? v->scratch.err : kv_put(v->write, key, klen, v->scratch.p, v->scratch.len);
	v->scratch.err = 0;
	v->mods++;
	return rc;
}

static int view_put(struct kv *kv, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct handle *h = (struct handle *)kv;

	if (klen == 0 || klen > KEY_OCTETS_MAX || *(const uint8_t *)key < TAB_USER_MIN || vlen >= UINT32_MAX)
		return ZS_EINVAL;
	return over_put(h->v, key, klen, OV_PUT, val, vlen);
}

/* A key that only the overlay has leaves no mark behind. */
static int view_del(struct kv *kv, const void *key, size_t klen)
{
	struct handle *h = (struct handle *)kv;
	struct kv_item it;
	int in_over = kv_get(h->look, key, klen, &it), in_base;
	int rc = base_ready(h);

	if (rc)
		return rc;
	if (in_over == 0 && it.val[0] != OV_PUT)
		return ZS_ENOENT;
	in_base = h->base.kv ? kv_get(h->base.kv, key, klen, &it) : ZS_ENOENT;
	if (in_base == 0)
		return over_put(h->v, key, klen, OV_DEL, NULL, 0);
	if (in_base != ZS_ENOENT || in_over)
		return in_base;
	h->v->mods++;
	return kv_del(h->v->write, key, klen);
}

static void view_close(struct kv *kv)
{
	struct handle *h = (struct handle *)kv;

	*h->link = h->next;
	if (h->next)
		h->next->link = h->link;
	kv_close(h->base.kv);
	kv_close(h->over.kv);
	kv_close(h->look);
	free(h);
}

static const struct kv_ops view_ops = {
	.get = view_get,
	.seek = view_seek,
	.seek_lt = view_seek_lt,
	.next = view_step_up,
	.prev = view_step_down,
	.put = view_put,
	.del = view_del,
	.close = view_close,
};

/* --- the view ------------------------------------------------------------------------------------------- */

int view_new(struct snap *snap, struct view **out)
{
	struct view *v = calloc(1, sizeof *v);

	if (!v)
		return ZS_ENOMEM;
	v->scratch = wr_growing(UINT32_MAX);
	v->over = kvmem_new(0);
	v->write = v->over ? kvmem_open(v->over) : NULL;
	v->iter = v->over ? kvmem_open(v->over) : NULL;
	if (!v->write || !v->iter) {
		view_free(v);
		return ZS_ENOMEM;
	}
	if (snap) {
		v->snap = snap_ref(snap);
		v->base = snap_version(snap);
	}
	*out = v;
	return 0;
}

void view_free(struct view *v)
{
	if (!v)
		return;
	while (v->handles)
		kv_close(&v->handles->kv);
	kv_close(v->write);
	kv_close(v->iter);
	kvmem_free(v->over);
	wr_free(&v->scratch);
	snap_unref(v->snap);
	free(v);
}

int view_kv(struct view *v, struct kv **out)
{
	struct handle *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return ZS_ENOMEM;
	h->kv.ops = &view_ops;
	h->v = v;
	h->link = &v->handles;
	h->next = v->handles;
	if (h->next)
		h->next->link = &h->next;
	v->handles = h;
	h->over.kv = kvmem_open(v->over);
	h->look = kvmem_open(v->over);
	rc = h->over.kv && h->look ? base_ready(h) : ZS_ENOMEM;
	if (rc) {
		kv_close(&h->kv);
		return rc;
	}
	*out = &h->kv;
	return 0;
}

void view_release_handles(struct view *v)
{
	for (struct handle *h = v->handles; h; h = h->next) {
		kv_close(h->base.kv);
		h->base.kv = NULL;
		h->base.have = false;
		h->dir = DIR_NONE;
	}
}

void view_park(struct view *v)
{
	view_release_handles(v);
	if (!v->snap || v->base == 0) /* nothing below, or a build's content: there is no way back to that */
		return;
	v->parked = true;
	snap_unref(v->snap);
	v->snap = NULL;
}

int view_resume(struct view *v, struct store *s)
{
	struct snap *sn;
	int rc;

	if (!v->parked)
		return 0;
	rc = store_snap(s, &sn);
	if (rc)
		return rc == ZS_ENOENT ? ZS_ESTALE : rc;
	if (snap_version(sn) != v->base) {
		snap_unref(sn);
		return ZS_ESTALE;
	}
	v->snap = sn;
	v->parked = false;
	return 0;
}

size_t view_pages(const struct view *v)
{
	return pages_of(kvmem_count(v->over), kvmem_octets(v->over));
}

size_t view_changes(const struct view *v)
{
	return kvmem_count(v->over);
}

int view_next_change(struct view *v, void **pos, const uint8_t **key, size_t *klen, const uint8_t **val,
		     size_t *vlen, bool *deleted)
{
	struct kv_item it;
	int rc = *pos ? kv_next(v->iter, &it) : kv_seek(v->iter, "", 0, &it);

	*pos = v->iter;
	if (rc)
		return rc;
	*key = it.key;
	*klen = it.klen;
	*val = it.val + 1;
	*vlen = it.vlen - 1;
	*deleted = it.val[0] == OV_DEL;
	return 0;
}

uint64_t view_base(const struct view *v)
{
	return v->base;
}

struct snap *view_snap(const struct view *v)
{
	return v->snap;
}
