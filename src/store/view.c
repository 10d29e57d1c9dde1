/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Views: a snapshot and an overlay, seen as one ordered map. The overlay is a kvmem whose values begin with a
 * mark: OV_PUT and the value, or OV_DEL alone for a key that the base has and the view does not. Called by
 * jobs (one thread at a time) and by commit.c.
 *
 * Puts through any handle raise view->mods: a handle that is behind looks its overlay candidate up again
 * (merge.c).
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "priv.h"

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

struct handle {
	struct kv kv; /* first: handles are passed around as struct kv */
	struct view *v;
	struct handle *next;
	struct handle **link;
	struct merge m;     /* of the snapshot's member and the overlay */
	struct kv *look;    /* overlay, for get */
	uint64_t mods;
};

/* --- reading -------------------------------------------------------------------------------------------- */

/* The base member comes with the first use and again after it was released. */
static int base_ready(struct handle *h)
{
	if (h->m.base.kv || !h->v->snap)
		return h->v->parked ? ZS_ESTALE : 0;
	merge_base_lost(&h->m);
	return snap_kv(h->v->snap, &h->m.base.kv);
}

static int step(struct kv *kv, enum merge_dir dir, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	bool moved = h->mods != h->v->mods;
	int rc = h->m.placed ? base_ready(h) : ZS_ENOENT;

	if (rc)
		return rc;
	h->mods = h->v->mods;
	return merge_step(&h->m, dir, moved, out);
}

static int view_step_up(struct kv *kv, struct kv_item *out)
{
	return step(kv, DIR_UP, out);
}

static int view_step_down(struct kv *kv, struct kv_item *out)
{
	return step(kv, DIR_DOWN, out);
}

static int jump(struct kv *kv, const void *key, size_t klen, enum merge_dir dir, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	int rc = base_ready(h);

	if (rc) {
		merge_unplace(&h->m);
		return rc;
	}
	h->mods = h->v->mods;
	return merge_jump(&h->m, key, klen, dir, out);
}

static int view_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return jump(kv, key, klen, DIR_UP, out);
}

static int view_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return jump(kv, key, klen, DIR_DOWN, out);
}

static int view_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	bool put;
	int rc = merge_look(h->look, key, klen, &put, out);

	if (rc == 0)
		return put ? 0 : ZS_ENOENT;
	rc = base_ready(h);
	if (rc)
		return rc;
	return h->m.base.kv ? kv_get(h->m.base.kv, key, klen, out) : ZS_ENOENT;
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

	if (pages_of(kvmem_count(v->over) + 1, kvmem_octets(v->over) + klen + vlen + 1) > view_pages_max())
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
	in_base = h->m.base.kv ? kv_get(h->m.base.kv, key, klen, &it) : ZS_ENOENT;
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
	kv_close(h->m.base.kv);
	kv_close(h->m.over.kv);
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
	h->m.over.kv = kvmem_open(v->over);
	h->look = kvmem_open(v->over);
	rc = h->m.over.kv && h->look ? base_ready(h) : ZS_ENOMEM;
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
		kv_close(h->m.base.kv);
		h->m.base.kv = NULL;
		merge_base_lost(&h->m);
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

size_t view_octets(const struct view *v)
{
	return kvmem_octets(v->over);
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
