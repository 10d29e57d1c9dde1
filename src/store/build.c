/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Builds: the next generation of a zone, written mostly in key order, published by moving CURRENT. Called by
 * zone-sized jobs, by one thread at a time, not always the same one.
 *
 * Items wait in a buffer until about BUILD_PAGES_MAX pages would be dirty; then one transaction takes them
 * all. So no LMDB transaction stays open between two calls (its lock belongs to a thread), and a full map is
 * grown and the same items written again. Invariants: what CURRENT names was committed, synced and marked
 * ready before, and its directory entry is durable; a build is published only over the version that it says
 * to contain.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fs.h"
#include "dns/schema.h"
#include "priv.h"

enum { ITEM_APPEND, ITEM_PUT };
#define ITEM_HEAD 7            /* u8 how, u16 key, u32 value */
#define NODE_OVERHEAD 10       /* header and index entry in a leaf */
#define NODE_INLINE_MAX 2038   /* larger ones get pages of their own */
#define PUT_PAGES 4            /* a put somewhere in the tree dirties a path */
#define BUFFER_MAX ((size_t)1 << 31)

struct build {
	struct store *s;
	struct gen *g;
	uint64_t base;       /* live version that it contains */
	struct wr items;
	size_t octets;       /* estimated to be dirtied by items */
	bool begun;          /* the format record is committed */
	bool renews;         /* the live version once more, in another file */
	size_t last_len;
	uint8_t last[KEY_OCTETS_MAX];
};

struct fill_build {
	struct build *b;
	enum rec_state state;
	uint64_t version; /* 0: none yet */
};

/* --- writing -------------------------------------------------------------------------------------------- */

static int put_item(MDB_cursor *cur, uint8_t how, MDB_val *k, MDB_val *v)
{
	int rc = mdb_cursor_put(cur, k, v, how == ITEM_APPEND ? MDB_APPEND : 0);

	/* Something put before stands behind this key. */
	return rc == MDB_KEYEXIST ? mdb_cursor_put(cur, k, v, 0) : rc;
}

static int fill_items(MDB_txn *txn, MDB_dbi dbi, void *ctx)
{
	struct fill_build *f = ctx;
	struct rd r = rd_init(f->b->items.p, f->b->items.len);
	MDB_cursor *cur;
	int rc = mdb_cursor_open(txn, dbi, &cur);

	if (rc)
		return rc;
	while (!rc && rd_left(&r)) {
		uint8_t how = rd_u8(&r);
		MDB_val k = { .mv_size = rd_u16(&r) };
		MDB_val v = { .mv_size = rd_u32(&r) };

		k.mv_data = (void *)(uintptr_t)rd_bytes(&r, k.mv_size);
		v.mv_data = (void *)(uintptr_t)rd_bytes(&r, v.mv_size);
		rc = put_item(cur, how, &k, &v);
	}
	mdb_cursor_close(cur);
	if (!rc && (!f->b->begun || f->state == REC_READY))
		rc = rec_put_format(txn, dbi, f->b->s, f->state);
	if (!rc && f->version)
		rc = rec_put_version(txn, dbi, f->version);
	return rc;
}

static int room_left(const struct store *s, uint64_t more)
{
	uint64_t room;
	int rc;

	if (!s->dir->min_free)
		return 0;
	rc = fs_free_bytes(s->path, &room);
	return !rc && room < s->dir->min_free + more ? ZS_ENOSPC : rc;
}

static int check_room(const struct build *b)
{
	/* without a renewal nothing could be refreshed, which may use the rest as well */
	return b->renews ? 0 : room_left(b->s, b->octets);
}

bool store_is_tight(const struct store *s)
{
	return room_left(s, 0) == ZS_ENOSPC;
}

static int flush(struct build *b, enum rec_state state, uint64_t version)
{
	struct fill_build f = { b, state, version };
	int rc = check_room(b);

	if (b->g->retired)
		return ZS_EIO;
	if (!rc)
		rc = gen_write(b->g, fill_items, &f);
	if (rc)
		return rc;
	b->begun = true;
	b->items.len = 0;
	b->octets = 0;
	return 0;
}

static int add_item(struct build *b, uint8_t how, const void *key, size_t klen, const void *val, size_t vlen)
{
	size_t node = klen + vlen + NODE_OVERHEAD, cost = node;

	if (vlen >= BUFFER_MAX / 2)
		return ZS_EINVAL;
	if (node > NODE_INLINE_MAX)
		cost = klen + NODE_OVERHEAD + (vlen / GEN_PAGE + 1) * GEN_PAGE;
	if (how == ITEM_PUT)
		cost += PUT_PAGES * GEN_PAGE;
	if (b->octets && b->octets + cost > (size_t)BUILD_PAGES_MAX * GEN_PAGE) {
		int rc = flush(b, REC_BUILDING, 0);

		if (rc)
			return rc;
	}
	wr_u8(&b->items, how);
	wr_u16(&b->items, (uint16_t)klen);
	wr_u32(&b->items, (uint32_t)vlen);
	wr_bytes(&b->items, key, klen);
	wr_bytes(&b->items, val, vlen);
	b->octets += cost;
	return b->items.err;
}

static int key_cmp(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	return c ? c : (alen > blen) - (alen < blen);
}

int build_append(struct build *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	int rc;

	if (klen == 0 || klen > KEY_OCTETS_MAX || *(const uint8_t *)key < TAB_RECORDS)
		return ZS_EINVAL;
	if (key_cmp(key, klen, b->last, b->last_len) <= 0)
		return ZS_EINVAL;
	rc = add_item(b, ITEM_APPEND, key, klen, val, vlen);
	if (rc)
		return rc;
	memcpy(b->last, key, klen);
	b->last_len = klen;
	return 0;
}

int build_put(struct build *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	if (klen == 0 || klen > KEY_OCTETS_MAX || *(const uint8_t *)key < TAB_USER_MIN)
		return ZS_EINVAL;
	return add_item(b, ITEM_PUT, key, klen, val, vlen);
}

int build_checkpoint(struct build *b)
{
	return b->items.len || !b->begun ? flush(b, REC_BUILDING, 0) : 0;
}

/* --- reading -------------------------------------------------------------------------------------------- */

int build_kv(struct build *b, struct kv **out)
{
	struct snap *sn;
	int rc = snap_new(b->g, &sn);

	if (rc)
		return rc;
	rc = snap_kv(sn, out);
	snap_unref(sn);
	return rc;
}

int build_view(struct build *b, struct view **out)
{
	struct snap *sn;
	int rc = build_checkpoint(b);

	if (!rc)
		rc = snap_new(b->g, &sn);
	if (rc)
		return rc;
	rc = view_new(sn, out);
	snap_unref(sn);
	return rc;
}

int build_commit_view(struct build *b, struct view *v)
{
	struct snap *sn = view_snap(v), *now;
	bool same;
	int rc;

	if (!sn || snap_gen(sn) != b->g)
		return ZS_EINVAL;
	if (b->g->retired)
		return ZS_EIO;
	rc = snap_new(b->g, &now);
	if (rc)
		return rc;
	same = snap_txnid(now) == snap_txnid(sn) && b->items.len == 0;
	snap_unref(now);
	return same ? commit_view(b->g, v) : ZS_ESTALE;
}

/* --- beginning and end ---------------------------------------------------------------------------------- */

/* Where the store notes what is being written. */
static uint64_t *place(struct build *b)
{
	return b->renews ? &b->s->renewing : &b->s->building;
}

/* One build at a time, and one renewal; the number is never given again. */
static int reserve(struct build *b, uint64_t *number)
{
	struct store *s = b->s;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (*place(b)) {
		rc = ZS_EEXIST;
	} else {
		*number = *place(b) = s->next_number++;
		b->base = s->version;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static void unreserve(struct build *b)
{
	pthread_mutex_lock(&b->s->lock);
	*place(b) = 0;
	pthread_mutex_unlock(&b->s->lock);
}

static int begin(struct store *s, bool renews, struct build **out)
{
	struct build *b = calloc(1, sizeof *b);
	uint64_t number;
	int rc;

	if (!b)
		return ZS_ENOMEM;
	b->s = s;
	b->renews = renews;
	rc = reserve(b, &number);
	if (rc) {
		free(b);
		return rc;
	}
	b->items = wr_growing(BUFFER_MAX);
	b->g = gen_new(s, number);
	rc = b->g ? check_room(b) : ZS_ENOMEM;
	if (!rc) {
		b->g->creating = true;
		rc = gen_use(b->g);
	}
	if (!rc) {
		rc = fs_sync_dir(s->path);
		if (rc)
			gen_unuse(b->g);
	}
	if (rc) {
		gen_drop(b->g, true);
		unreserve(b);
		free(b);
		return rc;
	}
	*out = b;
	return 0;
}

int build_new(struct store *s, struct build **out)
{
	return begin(s, false, out);
}

int build_renewal(struct store *s, struct build **out)
{
	return begin(s, true, out);
}

void build_caught_up(struct build *b, uint64_t version)
{
	b->base = version;
}

/*
 * A replacement that failed after the rename leaves open which generation a crash would bring back: then the
 * old one takes no commit any more (what it took might be lost with it), and publishing can be tried again.
 */
static int move_current(struct build *b)
{
	struct store *s = b->s;
	uint64_t now;
	int rc = store_write_current(s, b->g->number);

	if (!rc)
		return 0;
	if (store_read_current(s, &now) == 0 && now == b->g->number) {
		pthread_mutex_lock(&s->lock);
		s->named = now;
		if (s->live)
			s->live->retired = true;
		pthread_mutex_unlock(&s->lock);
	}
	return rc;
}

/* commit_lock is held: no version can come between the check and the move. */
static int publish(struct build *b, struct gen **old, struct snap **kept)
{
	struct store *s = b->s;
	uint64_t version = b->renews ? s->version : s->version + 1;
	int rc;

	if (s->version != b->base)
		return ZS_ESTALE;
	rc = flush(b, REC_READY, version);
	if (!rc)
		rc = move_current(b);
	if (rc)
		return rc;
	gen_cache(b->g);
	pthread_mutex_lock(&s->lock);
	*old = s->live;
	*kept = s->kept;
	s->live = b->g;
	s->version = s->since = version;
	s->newest = s->kept = NULL;
	*place(b) = s->named = 0;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int build_publish(struct build *b, uint64_t *version)
{
	struct store *s = b->s;
	struct gen *old = NULL;
	struct snap *kept = NULL;
	uint64_t v = 0;
	int rc;

	pthread_mutex_lock(&s->commit_lock);
	rc = publish(b, &old, &kept);
	v = s->version;
	pthread_mutex_unlock(&s->commit_lock);
	if (rc)
		return rc;
	if (old && old->damaged)
		aside_replaced(s, old);
	else
		gen_drop(old, true);
	snap_unref(kept);
	gen_unuse(b->g);
	wr_free(&b->items);
	free(b);
	*version = v;
	return 0;
}

void build_free(struct build *b)
{
	struct store *s;
	bool named;

	if (!b)
		return;
	s = b->s;
	pthread_mutex_lock(&s->lock);
	named = s->named == b->g->number;
	*place(b) = 0;
	pthread_mutex_unlock(&s->lock);
	gen_drop(b->g, !named);
	gen_unuse(b->g);
	wr_free(&b->items);
	free(b);
}

void build_keep(struct build *b)
{
	struct store *s;
	struct gen *old;

	if (!b)
		return;
	s = b->s;
	build_checkpoint(b); /* what does not get in is signed again */
	pthread_mutex_lock(&s->lock);
	old = s->donor;
	s->donor = b->g;
	s->building = 0;
	pthread_mutex_unlock(&s->lock);
	gen_drop(old, false);
	gen_unuse(b->g);
	wr_free(&b->items);
	free(b);
}

/* --- the first version of a small zone ------------------------------------------------------------------ */

static int append_change(struct build *b, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	if (key[0] < TAB_RECORDS)
		return build_put(b, key, klen, val, vlen);
	return build_append(b, key, klen, val, vlen);
}

int build_from_view(struct store *s, struct view *v, uint64_t *version)
{
	const uint8_t *key, *val;
	size_t klen, vlen;
	struct build *b;
	void *pos = NULL;
	bool deleted;
	int rc = build_new(s, &b);

	if (rc)
		return rc;
	if (b->base)
		rc = ZS_ESTALE;
	while (!rc && view_next_change(v, &pos, &key, &klen, &val, &vlen, &deleted) == 0)
		if (!deleted)
			rc = append_change(b, key, klen, val, vlen);
	if (!rc)
		rc = build_publish(b, version);
	if (rc)
		build_free(b);
	return rc;
}
