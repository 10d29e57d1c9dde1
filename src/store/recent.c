/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Recent changes. A version that changes many RRsets of a large zone would dirty a page or two for each of
 * them, and as many again for the entries of the expiry index: the commit of 1,000 records writes 16 MB into
 * a zone of a million names. So what such a version changes is written side by side, in key order, into the
 * table TAB_RECENT, and handles of snapshots show it over what stands in the tables (snap.c, merge.c). Later,
 * when nobody waits, it is moved to its place in bounded portions (store_fold()). Called by commit.c, by
 * snap.c and by the zone's job.
 *
 *   02 + key of RECORDS, DENIAL or EXPIRY -> u8 format 1, u32 CRC-32C, u8 mark, the value
 *
 * mark: OV_PUT, or OV_DEL for a key that is gone (no value). The CRC covers format, key and mark; the value
 * has its own. Invariants: a key stands here only while what stands here is newer than what stands in its
 * place; whoever writes to the place takes it from here, in the same transaction; a fold changes nothing that
 * a handle shows, so that its version stays the same.
 */
#include <errno.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "dns/schema.h"
#include "priv.h"

#define RECENT_FORMAT 1
#define RECENT_HEAD 6      /* u8 format, u32 CRC, u8 mark */
#define RECENT_MARK 5
#define RECENT_OCTETS_MAX ((uint64_t)32 << 20)
#define RECENT_ALWAYS ((uint64_t)2 << 20)
#define ENTRY_OVERHEAD 16  /* of a leaf, and what this one adds */
#define FOLD_OCTETS ((size_t)1 << 20)

static MDB_val val_of(const void *p, size_t len)
{
	return (MDB_val){ .mv_size = len, .mv_data = (void *)(uintptr_t)p };
}

static uint32_t head_crc(const uint8_t head[static RECENT_HEAD], const uint8_t *key, size_t klen)
{
	return crc32c(crc32c(crc32c(0, head, 1), key, klen), head + RECENT_MARK, 1);
}

bool recent_may_hold(const uint8_t *key, size_t klen)
{
	return klen && klen < KEY_OCTETS_MAX &&
	       (key[0] == TAB_RECORDS || key[0] == TAB_DENIAL || key[0] == TAB_EXPIRY);
}

int recent_open(struct kv_item *it)
{
	it->key++;
	it->klen--;
	if (it->vlen < RECENT_HEAD || it->val[0] != RECENT_FORMAT ||
	    be32(it->val + 1) != head_crc(it->val, it->key, it->klen))
		return ZS_ECRC;
	it->val += RECENT_MARK;
	it->vlen -= RECENT_MARK;
	return 0;
}

uint64_t recent_size(size_t klen, size_t vlen)
{
	return klen + vlen + RECENT_HEAD + ENTRY_OVERHEAD;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void recent_key(uint8_t buf[static KEY_OCTETS_MAX], const uint8_t *key, size_t klen)
{
	buf[0] = TAB_RECENT;
	memcpy(buf + 1, key, klen);
}

int recent_put(MDB_txn *txn, MDB_dbi dbi, const struct kv_item *it, bool deleted)
{
	uint8_t buf[KEY_OCTETS_MAX], head[RECENT_HEAD] = { RECENT_FORMAT };
	size_t vlen = deleted ? 0 : it->vlen;
	MDB_val k, v;
	int rc;

	head[RECENT_MARK] = deleted ? OV_DEL : OV_PUT;
	put_be32(head + 1, head_crc(head, it->key, it->klen));
	recent_key(buf, it->key, it->klen);
	k = val_of(buf, it->klen + 1);
	v = val_of(NULL, RECENT_HEAD + vlen);
	rc = mdb_put(txn, dbi, &k, &v, MDB_RESERVE);
	if (rc)
		return rc;
	memcpy(v.mv_data, head, RECENT_HEAD);
	if (vlen)
		memcpy((uint8_t *)v.mv_data + RECENT_HEAD, it->val, vlen);
	return 0;
}

int recent_forget(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen)
{
	uint8_t buf[KEY_OCTETS_MAX];
	MDB_val k;
	int rc;

	recent_key(buf, key, klen);
	k = val_of(buf, klen + 1);
	rc = mdb_del(txn, dbi, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/*
 * A file never shrinks: where versions come faster than they are moved, it would hold what is aside at its
 * most for good. So that is in proportion to its content; in a small zone little is gained, besides.
 */
static uint64_t most_aside(const struct gen *g)
{
	uint64_t part;
	MDB_stat st;

	if (mdb_env_stat(g->env, &st))
		return RECENT_ALWAYS;
	part = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize / 4;
	if (part < RECENT_ALWAYS)
		return RECENT_ALWAYS;
	return part < RECENT_OCTETS_MAX ? part : RECENT_OCTETS_MAX;
}

bool recent_takes(const struct gen *g, const struct view *v)
{
	/* what little a version changes costs least where others stand already */
	return (g->recent || view_changes(v) >= g->dir->recent_from) &&
	       g->recent + view_octets(v) + view_changes(v) * recent_size(0, 0) <= most_aside(g);
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* As recent_size() of what was put. */
static uint64_t entry_size(const MDB_val *k, const MDB_val *v)
{
	return v->mv_size < RECENT_HEAD ? 0 : recent_size(k->mv_size - 1, v->mv_size - RECENT_HEAD);
}

/* Onto the first entry. MDB_NOTFOUND */
static int first(MDB_cursor *cur, MDB_val *k, MDB_val *v)
{
	static const uint8_t table = TAB_RECENT;
	int rc;

	*k = val_of(&table, 1);
	rc = mdb_cursor_get(cur, k, v, MDB_SET_RANGE);
	return rc ? rc : *(const uint8_t *)k->mv_data == TAB_RECENT ? 0 : MDB_NOTFOUND;
}

int recent_is_empty(MDB_cursor *cur, bool *empty)
{
	MDB_val k, v;
	int rc = first(cur, &k, &v);

	*empty = rc == MDB_NOTFOUND;
	return *empty ? 0 : zs_from_mdb(rc);
}

int recent_count(MDB_txn *txn, MDB_dbi dbi, uint64_t *octets)
{
	MDB_cursor *cur;
	MDB_val k, v;
	int rc = mdb_cursor_open(txn, dbi, &cur);

	if (rc)
		return zs_from_mdb(rc);
	*octets = 0;
	for (rc = first(cur, &k, &v); !rc && *(const uint8_t *)k.mv_data == TAB_RECENT;
	     rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT))
		*octets += entry_size(&k, &v);
	mdb_cursor_close(cur);
	return rc == MDB_NOTFOUND ? 0 : zs_from_mdb(rc);
}

/* --- folding -------------------------------------------------------------------------------------------- */

struct fold {
	unsigned most;
	store_stop stop;
	void *ctx;
	struct wr items;  /* u16 key, u32 value, then both; values with their mark */
	uint64_t octets;  /* that the moved ones took */
	bool empty;       /* nothing is left */
	bool damaged;     /* what comes next cannot be read */
};

static bool is_enough(const struct fold *f)
{
	return f->stop && f->stop(f->ctx);
}

/* Copies what is to be moved: writes to the tree move what its values point to. */
static int gather(struct fold *f, MDB_cursor *cur)
{
	MDB_val k, v;
	int rc = first(cur, &k, &v);

	f->items.len = 0;
	f->empty = false;
	for (unsigned n = 0; !rc && *(const uint8_t *)k.mv_data == TAB_RECENT; n++) {
		struct kv_item it = { k.mv_data, k.mv_size, v.mv_data, v.mv_size };

		if (n == f->most || (n && (f->items.len > FOLD_OCTETS || is_enough(f))))
			return 0;
		f->damaged = recent_open(&it) || !recent_may_hold(it.key, it.klen);
		if (f->damaged) /* the file itself is sound: that is no reason to retire it */
			return MDB_NOTFOUND;
		wr_u16(&f->items, (uint16_t)it.klen);
		wr_u32(&f->items, (uint32_t)it.vlen);
		wr_bytes(&f->items, it.key, it.klen);
		wr_bytes(&f->items, it.val, it.vlen);
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	f->empty = rc == MDB_NOTFOUND || rc == 0;
	return f->empty ? 0 : rc;
}

static int move(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	MDB_val k = val_of(key, klen), v = val_of(val + 1, vlen - 1);
	int rc = recent_forget(txn, dbi, key, klen);

	if (rc)
		return rc;
	if (val[0] == OV_PUT)
		return mdb_put(txn, dbi, &k, &v, 0);
	rc = mdb_del(txn, dbi, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

/* On a disk that is slow to find the pages that is what takes time. */
static int move_all(struct fold *f, MDB_txn *txn, MDB_dbi dbi)
{
	struct rd r = rd_init(f->items.p, f->items.len);
	int rc = 0;

	for (f->octets = 0; !rc && rd_left(&r);) {
		size_t klen = rd_u16(&r), vlen = rd_u32(&r);
		const uint8_t *key = rd_bytes(&r, klen), *val = rd_bytes(&r, vlen);

		rc = r.err ? ENOMEM : move(txn, dbi, key, klen, val, vlen);
		f->octets += recent_size(klen, vlen - 1);
		if (!rc && rd_left(&r) && is_enough(f)) {
			f->empty = false;
			break;
		}
	}
	return rc;
}

static int fold_fill(MDB_txn *txn, MDB_dbi dbi, void *ctx)
{
	struct fold *f = ctx;
	MDB_cursor *cur;
	int rc = mdb_cursor_open(txn, dbi, &cur);

	if (rc)
		return rc;
	rc = gather(f, cur);
	mdb_cursor_close(cur);
	if (!rc && f->items.err)
		rc = ENOMEM;
	return rc ? rc : move_all(f, txn, dbi);
}

/* commit_lock is held. */
static int fold(struct store *s, struct snap *sn, unsigned most, store_stop stop, void *ctx)
{
	struct fold f = { .most = most, .stop = stop, .ctx = ctx, .items = wr_growing((size_t)1 << 31) };
	struct gen *g = snap_gen(sn);
	int rc = commit_ready(s, sn);

	if (rc)
		return rc;
	rc = gen_write_at_once(g, fold_fill, &f); /* commits would wait, too, for what is never urgent */
	wr_free(&f.items);
	if (rc) {
		commit_keep_last(s, sn);
		return f.damaged ? ZS_ECRC : rc;
	}
	pthread_mutex_lock(&s->lock);
	snap_refresh(sn);
	g->recent = f.empty || g->recent < f.octets ? 0 : g->recent - f.octets;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_fold(struct store *s, unsigned most, store_stop stop, void *ctx, uint64_t *left)
{
	struct snap *sn;
	int rc;

	*left = store_recent(s);
	if (!*left)
		return 0;
	rc = store_snap(s, &sn);
	if (rc)
		return rc;
	if (pthread_mutex_trylock(&s->commit_lock)) { /* a commit, which may wait itself */
		snap_unref(sn);
		return ZS_EAGAIN;
	}
	rc = snap_gen(sn)->recent ? fold(s, sn, most, stop, ctx) : 0;
	if (rc == ZS_ESTALE) /* something newer is live: the next call takes that */
		rc = 0;
	*left = snap_gen(sn)->recent;
	pthread_mutex_unlock(&s->commit_lock);
	snap_unref(sn);
	return rc;
}

uint64_t store_recent(struct store *s)
{
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	n = s->live ? s->live->recent : 0;
	pthread_mutex_unlock(&s->lock);
	return n;
}
