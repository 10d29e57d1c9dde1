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
	bool to_recent;   /* what may stand there is written there */
	bool leaves;      /* something may stand there that must not any more */
	uint64_t recent;  /* octets written there */
};

static int put_change(MDB_txn *txn, MDB_dbi dbi, struct fill_view *f, const struct kv_item *it, bool deleted)
{
	MDB_val k = { .mv_size = it->klen, .mv_data = (void *)(uintptr_t)it->key };
	MDB_val v = { .mv_size = it->vlen, .mv_data = (void *)(uintptr_t)it->val };
	bool may = recent_may_hold(it->key, it->klen);
	int rc = 0;

	if (may && f->to_recent) {
		f->recent += recent_size(it->klen, deleted ? 0 : it->vlen);
		return recent_put(txn, dbi, it, deleted);
	}
	if (may && f->leaves)
		rc = recent_forget(txn, dbi, it->key, it->klen);
	if (!rc && !deleted)
		return mdb_put(txn, dbi, &k, &v, 0);
	if (!rc)
		rc = mdb_del(txn, dbi, &k, NULL);
	return rc == MDB_NOTFOUND ? 0 : rc;
}

static int commit_fill(MDB_txn *txn, MDB_dbi dbi, void *ctx)
{
	struct fill_view *f = ctx;
	struct kv_item it;
	void *pos = NULL;
	bool deleted;
	int rc = 0;

	f->recent = 0;
	while (!rc && view_next_change(f->v, &pos, &it.key, &it.klen, &it.val, &it.vlen, &deleted) == 0)
		rc = put_change(txn, dbi, f, &it, deleted);
	if (!rc && f->version)
		rc = rec_put_version(txn, dbi, f->version);
	return rc;
}

/* Into a build everything goes to its place. */
int commit_view(struct gen *g, struct view *v)
{
	struct fill_view f = { .v = v };

	view_release_handles(v);
	return gen_write(g, commit_fill, &f);
}

void commit_keep_last(struct store *s, struct snap *sn)
{
	if (!s->kept && snap_gen(sn)->retired)
		s->kept = snap_ref(sn);
}

int commit_ready(struct store *s, struct snap *sn)
{
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	if (snap_gen(sn) != s->live || snap_version(sn) != s->version)
		rc = ZS_ESTALE;
	else if (s->live->retired)
		rc = ZS_EIO;
	else
		snap_top_up(sn);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

static int commit_on_base(struct store *s, struct view *v, uint64_t *version)
{
	struct snap *sn = view_snap(v);
	struct gen *g = snap_gen(sn);
	struct fill_view f = { .v = v };
	int rc = commit_ready(s, sn);

	if (rc)
		return rc;
	f.version = s->version + 1;
	f.to_recent = recent_takes(g, v);
	f.leaves = g->recent > 0;
	rc = gen_write(g, commit_fill, &f);
	if (rc) {
		commit_keep_last(s, sn);
		return rc;
	}
	pthread_mutex_lock(&s->lock);
	s->newest = NULL;
	g->recent += f.recent;
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
	view_release_handles(v); /* before the lock: its holder may wait for them, to grow */
	pthread_mutex_lock(&s->commit_lock);
	rc = commit_on_base(s, v, version);
	pthread_mutex_unlock(&s->commit_lock);
	return rc;
}
