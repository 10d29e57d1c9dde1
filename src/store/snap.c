/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Snapshots: one committed version of a generation, counted, with a set of read transactions. A member of the
 * set is the kv handle itself: borrowed by one thread, given back by kv_close(). Called by workers through
 * the public functions, by view.c and build.c.
 *
 * Invariants: every member has the version of its snapshot, or, of a build, which has none, its transaction
 * id; between transactions of one version recent changes were moved to their place (recent.c), which no
 * handle shows. Members are opened while nothing newer is committed, later only the existing ones are handed
 * round; the generation cannot close or go while a snapshot of it lives. Everything here is guarded by
 * store->lock, except that a borrowed member belongs to its borrower.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "priv.h"

struct member {
	struct kv kv; /* first: handles are passed around as struct kv */
	struct snap *snap;
	struct member *next, **link; /* of idle or of out */
	MDB_txn *txn;
	struct cursor main;
	struct cursor recent;
	bool merges;      /* there are recent changes in this transaction */
	struct merge m;   /* if so */
};

struct snap {
	struct store *store;
	struct gen *gen;
	size_t txnid;
	uint64_t version;
	struct snap *next, **link; /* of store->snaps */
	unsigned refs;    /* holders and borrowed members */
	unsigned idle_count;
	struct member *idle;
	struct member *out; /* borrowed */
};

/* --- the handle ----------------------------------------------------------------------------------------- */

static int member_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct member *m = (struct member *)kv;
	bool put;
	int rc = m->merges ? merge_look(&m->recent.kv, key, klen, &put, out) : ZS_ENOENT;

	if (rc == 0)
		return put ? 0 : ZS_ENOENT;
	return rc == ZS_ENOENT ? kv_get(&m->main.kv, key, klen, out) : rc;
}

static int member_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct member *m = (struct member *)kv;

	return m->merges ? merge_jump(&m->m, key, klen, DIR_UP, out) : kv_seek(&m->main.kv, key, klen, out);
}

static int member_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct member *m = (struct member *)kv;

	return m->merges ? merge_jump(&m->m, key, klen, DIR_DOWN, out)
			 : kv_seek_lt(&m->main.kv, key, klen, out);
}

static int member_next(struct kv *kv, struct kv_item *out)
{
	struct member *m = (struct member *)kv;

	return m->merges ? merge_step(&m->m, DIR_UP, false, out) : kv_next(&m->main.kv, out);
}

static int member_prev(struct kv *kv, struct kv_item *out)
{
	struct member *m = (struct member *)kv;

	return m->merges ? merge_step(&m->m, DIR_DOWN, false, out) : kv_prev(&m->main.kv, out);
}

static void snap_put_locked(struct snap *sn);
static void member_free(struct member *m);

static void member_link(struct member **list, struct member *m)
{
	m->link = list;
	m->next = *list;
	if (m->next)
		m->next->link = &m->next;
	*list = m;
}

static void member_unlink(struct member *m)
{
	*m->link = m->next;
	if (m->next)
		m->next->link = m->link;
}

/* store->lock is held. */
static void member_idle(struct snap *sn, struct member *m)
{
	m->snap = sn;
	member_link(&sn->idle, m);
	sn->idle_count++;
}

static void member_close(struct kv *kv)
{
	struct member *m = (struct member *)kv;
	struct snap *sn = m->snap;
	struct store *s = sn->store;

	pthread_mutex_lock(&s->lock);
	m->main.placed = false;
	merge_unplace(&m->m);
	member_unlink(m);
	if (mdb_txn_id(m->txn) < sn->txnid && sn->idle) /* from before a fold: it has a successor */
		member_free(m);
	else
		member_idle(sn, m);
	if (--sn->gen->borrowed == 0)
		pthread_cond_broadcast(&s->returned);
	snap_put_locked(sn); /* unlocks */
}

static const struct kv_ops member_ops = {
	.get = member_get,
	.seek = member_seek,
	.seek_lt = member_seek_lt,
	.next = member_next,
	.prev = member_prev,
	.close = member_close,
};

/* --- members -------------------------------------------------------------------------------------------- */

static void member_free(struct member *m)
{
	cursor_end(&m->main);
	cursor_end(&m->recent);
	mdb_txn_abort(m->txn);
	free(m);
}

static int member_open(struct gen *g, struct member *m)
{
	bool empty;
	int rc = cursor_open(&m->main, m->txn, g->dbi, false);

	if (!rc)
		rc = recent_is_empty(m->main.cur, &empty);
	if (rc || empty)
		return rc;
	m->merges = true;
	m->m.base.kv = &m->main.kv;
	m->m.over.kv = &m->recent.kv;
	return cursor_open(&m->recent, m->txn, g->dbi, true);
}

static int member_new(struct gen *g, struct member **out)
{
	struct member *m = calloc(1, sizeof *m);
	int rc;

	if (!m)
		return ZS_ENOMEM;
	m->kv.ops = &member_ops;
	rc = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &m->txn);
	if (rc) {
		free(m);
		return zs_from_mdb(rc);
	}
	rc = member_open(g, m);
	if (rc) {
		member_free(m);
		return rc;
	}
	*out = m;
	return 0;
}

/* The map may have moved since the cursors were used last: they forget their pages. */
static int member_renew(struct member *m)
{
	int rc = cursor_renew(&m->main, m->txn);

	return rc || !m->merges ? rc : cursor_renew(&m->recent, m->txn);
}

/* Does it show what its snapshot shows? */
static bool is_same(const struct snap *sn, const struct member *m)
{
	uint64_t version;

	if (mdb_txn_id(m->txn) == sn->txnid)
		return true;
	return sn->version && rec_get_version(m->txn, sn->gen->dbi, &version) == 0 && version == sn->version;
}

/* One more for the snapshot; ZS_EAGAIN when something newer was committed meanwhile. */
static int snap_add(struct snap *sn)
{
	struct member *m;
	int rc = member_new(sn->gen, &m);

	if (rc)
		return rc == ZS_EIO ? ZS_EAGAIN : rc; /* a retired one opens none: those there are go round */
	if (!is_same(sn, m)) {
		member_free(m);
		return ZS_EAGAIN;
	}
	member_idle(sn, m);
	return 0;
}

void snap_top_up(struct snap *sn)
{
	while (sn->idle_count < SNAP_SPARE && snap_add(sn) == 0)
		;
}

/*
 * After a fold: what the snapshot shows is the same, and the pages from before it are let go as far as nobody
 * has a handle out. When that fails, it keeps them.
 */
void snap_refresh(struct snap *sn)
{
	struct member *old = sn->idle, *m;

	if (member_new(sn->gen, &m))
		return;
	if (!is_same(sn, m)) {
		member_free(m);
		return;
	}
	sn->txnid = mdb_txn_id(m->txn);
	sn->idle = NULL;
	sn->idle_count = 0;
	member_idle(sn, m);
	while (old) {
		m = old;
		old = m->next;
		member_free(m);
	}
	snap_top_up(sn);
}

/* --- snapshots ------------------------------------------------------------------------------------------ */

/* store->lock is held, the generation in use. A build has no version yet: 0. */
static int snap_open(struct gen *g, struct snap **out)
{
	struct snap *sn = calloc(1, sizeof *sn);
	struct member *m = NULL;
	int rc = sn ? member_new(g, &m) : ZS_ENOMEM;

	if (rc) {
		free(sn);
		return rc;
	}
	*sn = (struct snap){ .store = g->store, .gen = g, .txnid = mdb_txn_id(m->txn), .refs = 1 };
	member_idle(sn, m);
	if (g == g->store->live)
		rc = rec_get_version(m->txn, g->dbi, &sn->version);
	if (rc) {
		member_free(m);
		free(sn);
		return rc;
	}
	sn->link = &g->store->snaps;
	sn->next = *sn->link;
	if (sn->next)
		sn->next->link = &sn->next;
	*sn->link = sn;
	*out = sn;
	return 0;
}

int snap_new(struct gen *g, struct snap **out)
{
	struct store *s = g->store;
	int rc = gen_use(g);

	if (rc)
		return rc;
	pthread_mutex_lock(&s->lock);
	rc = snap_open(g, out);
	pthread_mutex_unlock(&s->lock);
	if (rc)
		gen_unuse(g);
	return rc;
}

/*
 * What is `newest` may have been overtaken by a commit that has not returned yet: that version is a good
 * answer.
 */
int store_snap(struct store *s, struct snap **out)
{
	struct gen *g;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	g = s->live;
	if (s->newest) {
		s->newest->refs++;
	} else if (!g) {
		rc = ZS_ENOENT;
	} else {
		rc = gen_use(g);
		if (!rc) {
			rc = snap_open(g, &s->newest);
			if (rc)
				gen_unuse(g);
		}
	}
	if (!rc)
		*out = s->newest;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

struct snap *snap_ref(struct snap *sn)
{
	pthread_mutex_lock(&sn->store->lock);
	sn->refs++;
	pthread_mutex_unlock(&sn->store->lock);
	return sn;
}

/* What is left of it was in nobody's way: the generation is given back before it leaves the list. */
static void snap_free(struct snap *sn)
{
	struct store *s = sn->store;
	bool last;

	while (sn->idle) {
		struct member *m = sn->idle;

		sn->idle = m->next;
		member_free(m);
	}
	gen_unuse(sn->gen);
	pthread_mutex_lock(&s->lock);
	*sn->link = sn->next;
	if (sn->next)
		sn->next->link = sn->link;
	last = s->closed && !s->snaps;
	pthread_mutex_unlock(&s->lock);
	free(sn);
	if (last)
		store_free(s);
}

/* store->lock is held and given back here. */
static void snap_put_locked(struct snap *sn)
{
	struct store *s = sn->store;
	bool last = --sn->refs == 0;

	if (last && s->newest == sn)
		s->newest = NULL;
	pthread_mutex_unlock(&s->lock);
	if (last)
		snap_free(sn);
}

void snap_unref(struct snap *sn)
{
	if (!sn)
		return;
	pthread_mutex_lock(&sn->store->lock);
	snap_put_locked(sn);
}

uint64_t snap_version(const struct snap *sn)
{
	return sn->version;
}

int snap_kv(struct snap *sn, struct kv **out)
{
	struct store *s = sn->store;
	struct gen *g = sn->gen;
	struct member *m;
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	while (g->growing)
		pthread_cond_wait(&s->returned, &s->lock);
	if (!sn->idle)
		rc = snap_add(sn);
	if (!rc) {
		m = sn->idle;
		rc = member_renew(m);
	}
	if (!rc) {
		member_unlink(m);
		member_link(&sn->out, m);
		sn->idle_count--;
		sn->refs++;
		g->borrowed++;
		*out = &m->kv;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

struct gen *snap_gen(const struct snap *sn)
{
	return sn->gen;
}

struct store *snap_store(const struct snap *sn)
{
	return sn->store;
}

size_t snap_txnid(const struct snap *sn)
{
	return sn->txnid;
}

static size_t oldest_of(const struct member *m, size_t id)
{
	for (; m; m = m->next)
		if (mdb_txn_id(m->txn) < id)
			id = mdb_txn_id(m->txn);
	return id;
}

size_t snap_oldest(const struct snap *sn)
{
	return oldest_of(sn->out, oldest_of(sn->idle, sn->txnid));
}

struct snap *snap_next(const struct snap *sn)
{
	return sn->next;
}

bool snap_is_out(const struct snap *sn)
{
	return sn->refs > 0;
}

void snap_hold(struct snap *sn)
{
	sn->refs++;
}
