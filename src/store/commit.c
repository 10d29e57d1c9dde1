/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Committing a view: its overlay and the new version number in one synced transaction on top of its base.
 * Called by the job that prepared the version. CPU and disk only: nothing in here waits for anybody, except
 * for borrowed handles when the map is full.
 */
#include "base/err.h"
#include "priv.h"

struct fill_view {
	struct view *v;
	uint64_t version; /* 0: none is written */
};

static int put_change(MDB_txn *txn, MDB_dbi dbi, MDB_val *k, MDB_val *v, bool deleted)
{
	int rc;

	if (!deleted)
		return mdb_put(txn, dbi, k, v, 0);
	rc = mdb_del(txn, dbi, k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int commit_fill(MDB_txn *txn, MDB_dbi dbi, void *ctx)
{
	struct fill_view *f = ctx;
	const uint8_t *key, *val;
	size_t klen, vlen;
	void *pos = NULL;
	bool deleted;
	int rc = 0;

	while (!rc && view_next_change(f->v, &pos, &key, &klen, &val, &vlen, &deleted) == 0) {
		MDB_val k = { .mv_size = klen, .mv_data = (void *)(uintptr_t)key };
		MDB_val v = { .mv_size = vlen, .mv_data = (void *)(uintptr_t)val };

		rc = put_change(txn, dbi, &k, &v, deleted);
	}
	if (!rc && f->version)
		rc = rec_put_version(txn, dbi, f->version);
	return rc;
}

int commit_view(struct gen *g, struct view *v, uint64_t version)
{
	struct fill_view f = { v, version };

	view_release_handles(v);
	return gen_write(g, commit_fill, &f);
}

/*
 * What a retired generation still serves: the snapshot that the failed commit stood on. commit_lock is held.
 */
static void keep_last(struct store *s, struct view *v)
{
	struct snap *sn = view_snap(v);

	if (!s->kept && snap_gen(sn)->retired)
		s->kept = snap_ref(sn);
}

/* store->lock and commit_lock are held. */
static int check_base(struct store *s, struct view *v)
{
	struct snap *sn = view_snap(v);

	if (snap_gen(sn) != s->live || snap_version(sn) != s->version)
		return ZS_ESTALE;
	if (s->live->retired)
		return ZS_EIO;
	snap_top_up(sn);
	return 0;
}

static int commit_on_base(struct store *s, struct view *v, uint64_t *version)
{
	struct snap *sn = view_snap(v);
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = check_base(s, v);
	pthread_mutex_unlock(&s->lock);
	if (rc)
		return rc;
	rc = commit_view(snap_gen(sn), v, s->version + 1);
	if (rc) {
		keep_last(s, v);
		return rc;
	}
	pthread_mutex_lock(&s->lock);
	s->newest = NULL;
	*version = ++s->version;
	pthread_mutex_unlock(&s->lock);
	return 0;
}

int store_commit(struct store *s, struct view *v, uint64_t *version)
{
	int rc;

	if (!view_snap(v))
		return view_base(v) ? ZS_ESTALE : build_from_view(s, v, version);
	if (snap_store(view_snap(v)) != s)
		return ZS_EINVAL;
	pthread_mutex_lock(&s->commit_lock);
	rc = commit_on_base(s, v, version);
	pthread_mutex_unlock(&s->commit_lock);
	return rc;
}
