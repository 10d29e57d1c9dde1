/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Differences out of history. One entry is streamed chunk by chunk. Several are merged: both halves of each
 * are sorted runs, a heap brings equal records together, and what was added as often as removed has
 * cancelled. So memory is a chunk for each run, whatever the size, and the stream is the set difference of
 * its two ends. Each run is read once to count (the size must be known before the first record) and once for
 * each half. Called by transfers, `diff`, `rollback` and by merging.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "history_priv.h"

struct hdiff {
	struct diff d;         /* first: passed around as struct diff */
	struct kv *kv;
	bool own_kv;
	bool invert;
	enum history_table table;
	struct hentry *e;      /* oldest first */
	size_t n;
	struct hcur *cur;      /* two for each entry: removed, added */
	struct hcur **heap;
	size_t nheap;
	bool added;            /* half in hand */
	bool started;          /* the runs of this half are open */
	bool first;            /* no record of this half was given out */
	bool done;
	unsigned repeat;       /* the kept record comes that often more */
	struct hrec_copy keep;
	uint8_t zone[NAME_MAX_WIRE];
	uint8_t owner[NAME_MAX_WIRE];
};

/* --- the heap of runs ----------------------------------------------------------------------------------- */

static void sift_down(struct hdiff *h, size_t i)
{
	for (;;) {
		size_t kid = 2 * i + 1;
		struct hcur *c = h->heap[i];

		if (kid >= h->nheap)
			return;
		if (kid + 1 < h->nheap && hrec_cmp(&h->heap[kid + 1]->rec, &h->heap[kid]->rec) < 0)
			kid++;
		if (hrec_cmp(&c->rec, &h->heap[kid]->rec) <= 0)
			return;
		h->heap[i] = h->heap[kid];
		h->heap[kid] = c;
		i = kid;
	}
}

/* The top run's next record; a run that ends leaves the heap. */
static int heap_advance(struct hdiff *h)
{
	int rc = hcur_next(h->heap[0]);

	if (rc == ZS_ENOENT) {
		hcur_free(h->heap[0]);
		h->heap[0] = h->heap[--h->nheap];
		rc = 0;
	}
	if (!rc && h->nheap)
		sift_down(h, 0);
	return rc;
}

static void runs_close(struct hdiff *h)
{
	for (size_t i = 0; i < 2 * h->n; i++)
		hcur_free(&h->cur[i]);
	h->nheap = 0;
	h->started = false;
}

/* The run of a half as the caller sees it: of an inverse, what was added goes. */
static bool run_adds(const struct hdiff *h, bool added)
{
	return added != h->invert;
}

static int runs_open(struct hdiff *h)
{
	uint8_t table = table_octet(h->table);

	runs_close(h);
	for (size_t i = 0; i < 2 * h->n; i++) {
		struct hcur *c = &h->cur[i];
		int rc;

		hcur_init(c, h->kv, table, &h->e[i / 2], i & 1);
		if (h->n == 1 && c->added != run_adds(h, h->added))
			continue; /* nothing to cancel with */
		rc = hcur_next(c);
		if (rc == 0)
			h->heap[h->nheap++] = c;
		else if (rc != ZS_ENOENT)
			return rc;
	}
	for (size_t i = h->nheap / 2; i-- > 0;)
		sift_down(h, i);
	h->started = true;
	return 0;
}

/* --- records -------------------------------------------------------------------------------------------- */

/* The smallest record of all runs into keep, and how often it is added, net. ZS_ENOENT at the end. */
static int merge_step(struct hdiff *h, int *net)
{
	int rc = 0;

	if (h->nheap == 0)
		return ZS_ENOENT;
	hrec_keep(&h->keep, &h->heap[0]->rec);
	*net = 0;
	while (!rc && h->nheap && hrec_cmp(&h->heap[0]->rec, &h->keep.rec) == 0) {
		*net += run_adds(h, h->heap[0]->added) ? 1 : -1;
		rc = heap_advance(h);
	}
	/* A served record is there once or not at all. */
	if (!rc && h->table == HISTORY_SERVED && (*net > 1 || *net < -1))
		rc = ZS_EFORMAT;
	return rc;
}

/* The next record of this half into keep; ZS_ENOENT: it has no more. */
static int half_next(struct hdiff *h)
{
	int net, rc;

	if (h->repeat) {
		h->repeat--;
		return 0;
	}
	if (!h->started) {
		rc = runs_open(h);
		if (rc)
			return rc;
	}
	do {
		rc = merge_step(h, &net);
	} while (!rc && (h->added ? net <= 0 : net >= 0));
	if (!rc)
		h->repeat = (unsigned)(net < 0 ? -net : net) - 1;
	return rc;
}

/* Each half of what is served begins with its SOA, and has no other. */
static int check_soa(const struct hdiff *h)
{
	if (h->table == HISTORY_SERVED && hrec_is_soa(&h->keep.rec) != h->first)
		return ZS_EFORMAT;
	return 0;
}

int hdiff_next_rec(struct diff *d, const struct hrec **out, bool *added)
{
	struct hdiff *h = (struct hdiff *)d;
	int rc = h->done ? ZS_ENOENT : half_next(h);

	while (rc == ZS_ENOENT && !h->done) {
		if (h->first && h->table == HISTORY_SERVED)
			return ZS_EFORMAT; /* not even an SOA */
		h->done = h->added;
		h->added = true;
		h->first = true;
		h->started = false;
		if (!h->done)
			rc = half_next(h);
	}
	if (!rc)
		rc = check_soa(h);
	if (rc)
		return rc;
	h->first = false;
	*out = &h->keep.rec;
	*added = h->added;
	return 0;
}

const uint8_t *hdiff_zone(const struct diff *d)
{
	return ((const struct hdiff *)d)->zone;
}

static int hdiff_next(struct diff *d, struct rr *out, bool *added)
{
	struct hdiff *h = (struct hdiff *)d;
	const struct hrec *rec;
	int rc = hdiff_next_rec(d, &rec, added);

	return rc ? rc : hrec_rr(rec, h->zone, h->owner, out);
}

static int hdiff_rewind(struct diff *d)
{
	struct hdiff *h = (struct hdiff *)d;

	runs_close(h);
	h->added = h->done = false;
	h->first = true;
	h->repeat = 0;
	return 0;
}

static void hdiff_close(struct diff *d)
{
	struct hdiff *h = (struct hdiff *)d;

	if (h->cur)
		runs_close(h);
	if (h->own_kv)
		kv_close(h->kv);
	free(h->cur);
	free(h->heap);
	free(h->e);
	free(h);
}

static const struct diff_ops hdiff_ops = { .next = hdiff_next, .rewind = hdiff_rewind, .close = hdiff_close };

/* --- making one ----------------------------------------------------------------------------------------- */

/* The zone's name, for owners of NSEC3: of the SOA, which every entry of HISTORY begins with. */
static int read_zone(struct hdiff *h)
{
	const uint8_t *okey;
	struct hcur c;
	uint16_t type;
	size_t n, len;
	int rc;

	hcur_init(&c, h->kv, table_octet(h->table), &h->e[0], false);
	rc = h->table == HISTORY_SERVED ? hcur_next(&c) : ZS_ENOENT;
	if (!rc && !hrec_is_soa(&c.rec))
		rc = ZS_EFORMAT;
	if (!rc)
		rc = key_record_split(c.rec.key, c.rec.klen, &okey, &n, &type);
	if (!rc)
		rc = name_from_okey(okey, n, h->zone, &len);
	hcur_free(&c);
	return rc == ZS_ENOENT && h->table == HISTORY_UPSTREAM ? 0 : rc;
}

static void set_serials(struct hdiff *h)
{
	const struct history_head *a = &h->e[0].head, *b = &h->e[h->n - 1].head;
	bool served = h->table == HISTORY_SERVED;
	uint32_t from = served ? a->from_serial : a->from_upstream;
	uint32_t to = served ? b->to_serial : b->to_upstream;

	h->d.from = h->invert ? to : from;
	h->d.to = h->invert ? from : to;
}

/* What several entries come to is known by merging them once. */
static int count_all(struct hdiff *h)
{
	const struct hrec *rec;
	bool added;
	int rc;

	while ((rc = hdiff_next_rec(&h->d, &rec, &added)) == 0) {
		if (added)
			h->d.added++;
		else
			h->d.removed++;
		rc = hrec_octets(rec, h->zone, &h->d.octets);
		if (rc)
			return rc;
	}
	return rc == ZS_ENOENT ? hdiff_rewind(&h->d) : rc;
}

static int count_one(struct hdiff *h)
{
	const struct history_head *head = &h->e[0].head;

	h->d.octets = head->octets;
	h->d.removed = h->invert ? head->added : head->removed;
	h->d.added = h->invert ? head->removed : head->added;
	return 0;
}

int hdiff_new(struct kv *kv, enum history_table t, struct hentry *e, size_t n, bool invert,
	      struct diff **out)
{
	struct hdiff *h = calloc(1, sizeof *h);
	int rc;

	if (!h)
		return ZS_ENOMEM;
	h->d.ops = &hdiff_ops;
	h->kv = kv;
	h->table = t;
	h->invert = invert;
	h->first = true;
	h->e = e;
	h->n = n;
	h->cur = calloc(2 * n, sizeof *h->cur);
	h->heap = calloc(2 * n, sizeof *h->heap);
	rc = h->cur && h->heap ? read_zone(h) : ZS_ENOMEM;
	if (!rc) {
		set_serials(h);
		rc = n == 1 ? count_one(h) : count_all(h);
	}
	if (rc) {
		h->e = NULL; /* still the caller's */
		hdiff_close(&h->d);
		return rc;
	}
	*out = &h->d;
	return 0;
}

/* --- which entries -------------------------------------------------------------------------------------- */

struct span {
	struct hentry *e;      /* newest first while it is collected */
	size_t n, cap;
	uint64_t raw, raw_max;
};

static int span_push(struct span *s, const struct hentry *e)
{
	if (s->n == HISTORY_SPAN_MAX || e->head.octets > s->raw_max - s->raw)
		return ZS_ELIMIT;
	s->raw += e->head.octets;
	if (s->n == s->cap) {
		size_t cap = s->cap ? s->cap * 2 : 16;
		struct hentry *p = realloc(s->e, cap * sizeof *p);

		if (!p)
			return ZS_ENOMEM;
		s->e = p;
		s->cap = cap;
	}
	s->e[s->n++] = *e;
	return 0;
}

static void span_reverse(struct span *s)
{
	for (size_t i = 0; i < s->n / 2; i++) {
		struct hentry e = s->e[i];

		s->e[i] = s->e[s->n - 1 - i];
		s->e[s->n - 1 - i] = e;
	}
}

static int span_open(struct kv *kv, enum history_table t, struct span *s, bool invert, uint64_t max,
		     struct diff **out)
{
	struct diff *d;
	int rc;

	span_reverse(s);
	rc = hdiff_new(kv, t, s->e, s->n, invert, &d);
	if (rc)
		return rc;
	s->e = NULL;
	if (d->octets > max) {
		diff_close(d);
		return ZS_ELIMIT;
	}
	((struct hdiff *)d)->own_kv = true;
	*out = d;
	return 0;
}

/* The entry before, if it is not trimmed. */
static int walk_back(struct kv *kv, uint8_t table, uint64_t oldest, uint64_t below, struct hentry *e)
{
	uint64_t version;
	int rc = hentry_below(kv, table, below, &version);

	if (!rc && version < oldest)
		rc = ZS_ENOENT;
	return rc ? rc : hentry_read(kv, table, version, e);
}

static uint64_t raw_bound(uint64_t max)
{
	return max > UINT64_MAX / 4 ? UINT64_MAX : max * 4;
}

int history_open(struct kv *kv, uint32_t from_serial, uint32_t to_serial, uint64_t max_octets,
		 struct diff **out)
{
	struct span s = { .raw_max = raw_bound(max_octets) };
	struct history_total t[2];
	struct hentry e = { .head.version = UINT64_MAX };
	uint32_t want = to_serial;
	int rc = from_serial == to_serial ? ZS_ENOENT : history_totals(kv, t);

	for (unsigned i = 0; !rc && want != from_serial; i++) {
		rc = walk_back(kv, TAB_HISTORY, t[HISTORY_SERVED].oldest, e.head.version, &e);
		if (!rc && i > 2 * HISTORY_SPAN_MAX)
			rc = ZS_ELIMIT;
		if (rc || (s.n == 0 && e.head.to_serial != want))
			continue; /* newer than what is asked for */
		if (e.head.to_serial != want)
			rc = ZS_ENOENT; /* a gap */
		else
			rc = span_push(&s, &e);
		want = e.head.from_serial;
	}
	if (!rc)
		rc = span_open(kv, HISTORY_SERVED, &s, false, max_octets, out);
	free(s.e);
	return rc;
}

int userdiff_open(struct kv *kv, uint64_t from_version, uint64_t to_version, uint64_t max_octets,
		  struct diff **out)
{
	bool invert = from_version > to_version;
	uint64_t low = invert ? to_version : from_version, high = invert ? from_version : to_version;
	struct span s = { .raw_max = raw_bound(max_octets) };
	struct history_total t[2];
	struct hentry e = { .head.version = high == UINT64_MAX ? high : high + 1 };
	int rc = history_totals(kv, t);

	if (!rc && low < t[HISTORY_UPSTREAM].since)
		rc = ZS_ENOENT;
	while (!rc) {
		rc = walk_back(kv, TAB_USERDIFF, t[HISTORY_UPSTREAM].oldest, e.head.version, &e);
		if (rc || e.head.version <= low)
			break;
		rc = span_push(&s, &e);
	}
	if (rc == ZS_ENOENT && s.n && low >= t[HISTORY_UPSTREAM].since)
		rc = 0;
	if (!rc && s.n == 0)
		rc = ZS_ENOENT;
	if (!rc)
		rc = span_open(kv, HISTORY_UPSTREAM, &s, invert, max_octets, out);
	free(s.e);
	return rc;
}
