/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Merging routine versions that are old enough: a run of neighbours becomes one condensed entry under the
 * number of the newest. A run that may still grow is merged only when what is new in it is as much as what
 * was merged before, so that no octet is written more often than a logarithm says. The table is looked
 * through once: `looked` in the totals is where a run begins that may still grow. Called by whoever prepares
 * a version.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "history_priv.h"

#define MERGE_ENTRIES 64
#define MERGE_OCTETS (1u << 20) /* of one run */

struct run {
	struct hentry e[MERGE_ENTRIES]; /* oldest first */
	size_t n;
	uint64_t fresh, merged; /* octets of entries that are single, of merged ones */
};

static bool fits(const struct run *r, const struct hentry *e)
{
	if (r->n == 0)
		return true;
	return r->n < MERGE_ENTRIES && r->e[r->n - 1].head.to_serial == e->head.from_serial &&
	       r->fresh + r->merged + e->head.octets <= MERGE_OCTETS;
}

static void run_add(struct run *r, const struct hentry *e)
{
	r->e[r->n++] = *e;
	if (e->head.kind & HISTORY_MERGED)
		r->merged += e->head.octets;
	else
		r->fresh += e->head.octets;
}

/* Entries from `looked` on into r, until the run is closed, or there are no more that are old enough. */
static int run_collect(struct kv *kv, struct history_total *t, int64_t before, struct run *r, bool *closed)
{
	uint64_t at = t->looked > t->oldest ? t->looked : t->oldest;
	struct hentry e;
	int rc = 0;

	*closed = false;
	for (unsigned i = 0; i < 2 * MERGE_ENTRIES; i++) {
		bool routine;

		rc = hentry_from(kv, TAB_HISTORY, at, &at);
		if (!rc)
			rc = hentry_read(kv, TAB_HISTORY, at, &e);
		if (rc || e.head.time > before)
			break;
		routine = (e.head.kind & ~HISTORY_MERGED) == HISTORY_ROUTINE;
		if (!routine || !fits(r, &e)) {
			if (r->n > 1) {
				*closed = true;
				t->looked = at;
				return 0;
			}
			*r = (struct run){ .n = 0 };
		}
		t->looked = routine && r->n == 0 ? at : r->n ? t->looked : at + 1;
		if (routine)
			run_add(r, &e);
		at++;
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

/* The condensed entry, into a map of its own: its sources are still being read. */
static int condense(struct kv *kv, struct run *r, struct kv *to, struct history_head *h)
{
	size_t size = r->n * sizeof *r->e;
	struct hentry *e = malloc(size);
	struct diff *d = NULL;
	const struct hrec *rec;
	struct hwriter w;
	bool added;
	int rc = ZS_ENOMEM;

	if (e) {
		memcpy(e, r->e, size);
		rc = hdiff_new(kv, HISTORY_SERVED, e, r->n, false, &d);
		if (rc)
			free(e);
	}
	if (rc)
		return rc;
	hwriter_begin(&w, to, HISTORY_SERVED, h, hdiff_zone(d));
	while ((rc = hdiff_next_rec(d, &rec, &added)) == 0) {
		rc = hwriter_add(&w, rec, added);
		if (rc)
			break;
	}
	rc = hwriter_end(&w, rc == ZS_ENOENT ? 0 : rc, h);
	diff_close(d);
	return rc;
}

static int copy_all(struct kv *from, struct kv *to)
{
	struct kv_item it;
	int rc = kv_seek(from, "", 0, &it);

	while (!rc) {
		rc = kv_put(to, it.key, it.klen, it.val, it.vlen);
		if (!rc)
			rc = kv_next(from, &it);
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

static int replace(struct kv *kv, struct run *r, struct kv *with, const struct history_head *h,
		   struct history_total *t)
{
	uint64_t stored = 0;
	int rc = 0;

	for (size_t i = 0; !rc && i < r->n; i++) {
		stored += r->e[i].head.stored;
		rc = hentry_delete(kv, TAB_HISTORY, r->e[i].head.version);
	}
	if (!rc)
		rc = copy_all(with, kv);
	if (rc)
		return rc;
	t->entries -= r->n - 1 < t->entries ? r->n - 1 : t->entries;
	t->octets -= stored < t->octets ? stored : t->octets;
	t->octets += h->stored;
	if (t->oldest >= r->e[0].head.version)
		t->oldest = h->version;
	return 0;
}

static int merge_run(struct kv *kv, struct run *r, struct history_total *t)
{
	struct history_head h = r->e[r->n - 1].head;
	struct kvmem *mem = kvmem_new(0);
	struct kv *tmp = mem ? kvmem_open(mem) : NULL;
	int rc = tmp ? 0 : ZS_ENOMEM;

	h.first = r->e[0].head.first;
	h.from_serial = r->e[0].head.from_serial;
	h.from_upstream = r->e[0].head.from_upstream;
	h.kind = HISTORY_ROUTINE | HISTORY_MERGED;
	if (!rc)
		rc = condense(kv, r, tmp, &h);
	if (!rc)
		rc = replace(kv, r, tmp, &h, t);
	kv_close(tmp);
	kvmem_free(mem);
	return rc;
}

int history_merge(struct view *v, int64_t now, int64_t older_than_s, bool *merged)
{
	struct history_total was[2], t[2];
	struct run *r = calloc(1, sizeof *r);
	struct kv *kv = NULL;
	bool closed, did = false;
	int rc = r ? view_kv(v, &kv) : ZS_ENOMEM;

	if (!rc)
		rc = history_totals(kv, was);
	if (rc)
		goto out;
	memcpy(t, was, sizeof t);
	rc = run_collect(kv, &t[HISTORY_SERVED], now - older_than_s, r, &closed);
	if (!rc && r->n > 1 && (closed || r->n == MERGE_ENTRIES || r->fresh >= r->merged)) {
		rc = merge_run(kv, r, &t[HISTORY_SERVED]);
		did = !rc;
		if (did && !closed)
			t[HISTORY_SERVED].looked = r->e[r->n - 1].head.version;
	}
	if (!rc && memcmp(t, was, sizeof t) != 0)
		rc = totals_put(kv, t);
out:
	kv_close(kv);
	free(r);
	if (!rc)
		*merged = did;
	return rc;
}
