/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Entries of history that a version changes beside its own: several older ones are merged into one under the
 * number of the last. (Of those that a build takes along it changes none.) What comes of them must be what
 * they come to: the sum over all records of the sources, added less removed, is that of the merged entry, as
 * sums of numbers that stand for records (against mistakes, so a CRC does). It begins where the first one
 * began and ends where the last one ended, its records are in order, and no entry is gone that is in none.
 * Called by gate_step() with each changed chunk, in order.
 */
#include <string.h>

#include "base/crc.h"
#include "gate_impl.h"

#define KEEP_MAX (1u << 20)

/* The record before, to see the order of a half. */
struct before {
	bool have;
	struct wr key, data, owner;
	struct gserved rec;
};

static bool is_soa(const struct ghalf *h)
{
	return !h->rec.sig && h->klen >= 4 && h->key[0] == IN_RECORDS && be16(h->key + h->klen - 2) == TY_SOA;
}

static uint64_t mark(const struct ghalf *h)
{
	uint8_t head[5] = { h->rec.sig };
	uint32_t crc;

	put_be32(head + 1, h->rec.ttl);
	crc = crc32c(crc32c(0, head, sizeof head), h->key, h->klen);
	if (h->rec.owner)
		crc = crc32c(crc, h->rec.owner, h->rec.owner_len);
	crc = crc32c(crc, h->rec.data, h->rec.len);
	return (crc | (uint64_t)h->rec.len << 32) * 0x9E3779B97F4A7C15u;
}

static void copy(struct wr *w, const uint8_t *p, size_t len)
{
	w->len = 0;
	if (len)
		wr_bytes(w, p, len);
}

/* SOA first, then by key, then as gserved_cmp(). */
static bool in_order(struct before *b, const struct ghalf *h)
{
	bool first = !b->have, ok = first == is_soa(h);
	int c = 0;

	if (!first && b->key.len)
		c = gcmp(b->key.p, b->key.len, h->key, h->klen);
	if (!first && b->key.len && c == 0)
		c = gserved_cmp(&b->rec, &h->rec);
	if (!first) { /* the SOA has no part in the order of the others */
		copy(&b->key, h->key, h->klen);
		copy(&b->data, h->rec.data, h->rec.len);
		copy(&b->owner, h->rec.owner, h->rec.owner_len);
		b->rec = h->rec;
		b->rec.data = b->data.p;
		b->rec.owner = h->rec.owner ? b->owner.p : NULL;
	}
	b->have = true;
	return ok && c <= 0 && !b->key.err && !b->data.err && !b->owner.err;
}

/* Added less removed. ordered: is looked at, when it is the merged one. */
static uint64_t sum_half(struct gentry *e, int half, bool ordered)
{
	struct before b = { .key = wr_growing(KEEP_MAX), .data = wr_growing(KEEP_MAX),
			    .owner = wr_growing(KEEP_MAX) };
	struct ghalf *h = &e->half[half];
	uint64_t sum = 0;
	bool ok = true;

	for (; h->have; gentry_next(e, half)) {
		sum += mark(h);
		ok = ok && (!ordered || in_order(&b, h));
	}
	if (!ok)
		gentry_say(e, "the records of a merged entry are not in order");
	wr_free(&b.key);
	wr_free(&b.data);
	wr_free(&b.owner);
	return half == CAME ? sum : -sum;
}

/* Version of the first entry of the base at or above; false: none. */
static bool base_from(struct gjob *j, uint64_t at, uint64_t *version)
{
	uint8_t key[GCHUNK_KEY] = { IN_HISTORY };
	struct kv_item it;
	int rc;

	put_be64(key + 1, at);
	rc = kv_seek(j->base, key, sizeof key, &it);
	if (gjob_fail(j, rc) || rc || it.klen != GCHUNK_KEY || it.key[0] != IN_HISTORY)
		return false;
	*version = be64(it.key + 1);
	return true;
}

/* The entries of the base that it is made of, into *sum. */
static void sum_sources(struct gentry *e, uint64_t *sum)
{
	uint64_t at = e->head.first, version = 0, n = 0;
	uint32_t serial = e->head.from;
	bool joins = true;

	*sum = 0;
	while (at <= e->version && base_from(e->j, at, &version) && version <= e->version) {
		struct gentry src;

		gentry_init(&src, e->j, e->j->base, e->table, version);
		if (!gentry_count(&src)) {
			gentry_open(&src);
			*sum += sum_half(&src, GONE, false) + sum_half(&src, CAME, false);
			joins &= src.head.from == serial && (n || src.head.first == e->head.first);
			serial = src.head.to;
		}
		gentry_free(&src);
		n++;
		at = version + 1;
	}
	if (!joins || !n || serial != e->head.to || version < e->version)
		gentry_say(e, "a merged entry does not begin and end where its sources do");
}

static void check_merged(struct gmerge *m, struct gentry *e)
{
	uint64_t sum, sources;

	gentry_open(e);
	if (e->head.kind != (GKIND_ROUTINE | GKIND_MERGED) || e->table != IN_HISTORY)
		gentry_say(e, "an older entry is another one");
	sum = sum_half(e, GONE, true) + sum_half(e, CAME, true);
	sum_sources(e, &sources);
	if (!e->faults && (sum != sources || e->octets != e->head.octets))
		gentry_say(e, "a merged entry is not what its sources come to");
	if (m->gone && e->head.first <= m->gone)
		m->gone = 0;
}

void gmerge_see(struct gmerge *m, uint64_t version)
{
	struct gentry e;

	if (version == m->own || version == m->seen || version < m->oldest || !gjob_base(m->j))
		return;
	m->seen = version;
	gentry_init(&e, m->j, m->j->kv, m->table, version);
	if (!gentry_count(&e) && e.chunks)
		check_merged(m, &e);
	else if (!m->gone && !m->anew)
		m->gone = version;
	gentry_free(&e);
}

void gmerge_end(struct gmerge *m)
{
	struct gentry e;

	gentry_init(&e, m->j, m->j->kv, m->table, m->gone);
	if (m->gone)
		gentry_say(&e, "an older entry of history is gone");
	gentry_free(&e);
}
