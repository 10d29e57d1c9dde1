/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What old snapshots keep from being reused. LMDB enters the pages that a transaction freed under its id in a
 * table and takes from it only what is older than every reader: the entries from a snapshot's id on are what
 * it pins, to the page. The file of a replaced generation is pinned whole. Called by workers, after each
 * version: the loop learns from it which transfers are in the way.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "priv.h"

#define FREE_DBI 0 /* LMDB's own: transaction id -> number of pages, pages */
/*
 * A version of one record replaces 20 pages. However small the zone, a few hundred of them may go out while
 * somebody reads.
 */
#define PIN_ALWAYS ((uint64_t)8 << 20)

/* One version that is held. */
struct pin {
	uint64_t version;
	size_t txnid;
	uint64_t octets; /* of the file of a replaced generation; 0: a version before names the same one */
	bool live;
};

/* Freed by the transactions from this one on, but for the last: what that freed nothing can take yet. */
static uint64_t octets_freed_since(struct gen *g, size_t from)
{
	MDB_val k = { sizeof(from), &from }, v;
	MDB_cursor *cur = NULL;
	uint64_t pages = 0;
	MDB_stat st;
	MDB_txn *txn;
	int rc;

	if (mdb_env_stat(g->env, &st) || mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn))
		return 0; /* a retired generation grows no more */
	rc = mdb_cursor_open(txn, FREE_DBI, &cur);
	if (!rc)
		rc = mdb_cursor_get(cur, &k, &v, MDB_SET_RANGE);
	while (!rc && k.mv_size == sizeof(size_t) && v.mv_size >= sizeof(size_t)) {
		size_t id, n;

		memcpy(&id, k.mv_data, sizeof(id));
		memcpy(&n, v.mv_data, sizeof(n));
		if (id >= mdb_txn_id(txn))
			break;
		pages += n;
		rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT);
	}
	if (cur)
		mdb_cursor_close(cur);
	mdb_txn_abort(txn);
	return pages * st.ms_psize;
}

/* Handles that are out keep the map where it is: an octet of it is about to be read, or was. */
static void give_back(struct store *s, struct gen *g)
{
	pthread_mutex_lock(&s->lock);
	if (--g->borrowed == 0)
		pthread_cond_broadcast(&s->returned);
	pthread_mutex_unlock(&s->lock);
}

/* Of a generation in use; its name may be gone already. */
static uint64_t file_octets(const struct gen *g)
{
	struct stat st;
	int fd;

	return mdb_env_get_fd(g->env, &fd) || fstat(fd, &st) ? 0 : (uint64_t)st.st_size;
}

uint64_t snap_pinned(struct snap *sn)
{
	struct store *s = snap_store(sn);
	struct gen *g = snap_gen(sn);
	size_t from;
	uint64_t n;

	pthread_mutex_lock(&s->lock);
	if (g != s->live) {
		pthread_mutex_unlock(&s->lock);
		return file_octets(g);
	}
	while (g->growing)
		pthread_cond_wait(&s->returned, &s->lock);
	g->borrowed++;
	from = snap_oldest(sn);
	pthread_mutex_unlock(&s->lock);
	n = octets_freed_since(g, from);
	give_back(s, g);
	return n;
}

/*
 * store->lock is held. The versions that are out, newest first; *hold keeps the live generation open and its
 * map in place, NULL when nothing of it is out. Snapshots of builds and donors have no version.
 */
static int list_pins(struct store *s, struct pin **out, size_t *n, struct snap **hold)
{
	const struct gen *last = NULL;
	struct pin *pins;
	size_t cap = 0;

	*n = 0;
	while (s->live && s->live->growing)
		pthread_cond_wait(&s->returned, &s->lock);
	for (struct snap *sn = s->snaps; sn; sn = snap_next(sn))
		cap++;
	pins = calloc(cap + 1, sizeof(*pins));
	if (!pins)
		return ZS_ENOMEM;
	for (struct snap *sn = s->snaps; sn; sn = snap_next(sn)) {
		struct gen *g = snap_gen(sn);

		if (!snap_version(sn) || !snap_is_out(sn))
			continue;
		pins[(*n)++] = (struct pin){ .version = snap_version(sn), .txnid = snap_oldest(sn),
					     .octets = g != s->live && g != last ? file_octets(g) : 0,
					     .live = g == s->live };
		last = g;
		if (g == s->live && !*hold) {
			snap_hold(sn);
			g->borrowed++;
			*hold = sn;
		}
	}
	*out = pins;
	return 0;
}

/*
 * Readers may keep as much of a file as its content takes: the largest that it becomes is twice that, and
 * some. The size of the file itself is no measure, it never shrinks: each reader would be allowed more than
 * the one before.
 */
static uint64_t limit_of_live(struct gen *g, uint64_t limit)
{
	uint64_t most = PIN_ALWAYS, used;
	MDB_stat st;

	if (mdb_env_stat(g->env, &st) == 0) {
		used = (st.ms_branch_pages + st.ms_leaf_pages + st.ms_overflow_pages) * (uint64_t)st.ms_psize;
		most = used > most ? used : most;
	}
	return most < limit ? most : limit;
}

/* The older the version, the more it pins. */
static void pins_of_live(struct gen *g, const struct pin *pins, size_t n, uint64_t limit,
			 struct store_pins *out)
{
	limit = limit_of_live(g, limit);
	for (size_t i = 0; i < n && pins[i].live; i++) {
		out->octets = octets_freed_since(g, pins[i].txnid);
		if (out->octets > limit && !out->past)
			out->past = pins[i].version;
	}
}

static void pins_of_replaced(const struct pin *pins, size_t n, uint64_t limit, struct store_pins *out)
{
	uint64_t last = 0, sum = 0;

	for (size_t i = 0; i < n; i++) {
		if (pins[i].live)
			continue;
		if (!last)
			last = pins[i].octets;
		sum += pins[i].octets;
		if (sum - last > limit && !out->past)
			out->past = pins[i].version;
	}
	out->octets += sum;
}

int store_pinned(struct store *s, uint64_t limit, struct store_pins *out)
{
	struct store_pins got = { 0 };
	uint64_t version;
	struct snap *hold = NULL;
	struct pin *pins = NULL;
	size_t n;
	int rc;

	pthread_mutex_lock(&s->lock);
	rc = list_pins(s, &pins, &n, &hold);
	version = s->version;
	pthread_mutex_unlock(&s->lock);
	if (rc)
		return rc;
	if (hold) {
		pins_of_live(snap_gen(hold), pins, n, limit, &got);
		give_back(s, snap_gen(hold));
		snap_unref(hold);
	}
	pins_of_replaced(pins, n, limit, &got);
	if (got.past && got.past == version) /* of a file that was renewed: what is newest is not given up */
		got.past--;
	free(pins);
	*out = got;
	return 0;
}
