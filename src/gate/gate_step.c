/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a version says it changed, against what it changed. Its entry of history is what IXFR is made of: a
 * record too few in it, and whoever follows by differences serves for good what no whole transfer gives. So
 * the entry is read again, as it will be stored, from the description of its form in
 * src/store/history_chunk.c, and compared with what the changed keys serve in the base and in the candidate:
 * records that are no duplicates, under the RRset's TTL, and signatures. Entry and keys have the same order:
 * one pass, memory for one RRset of each side and one chunk of each half. Called for each change and refresh,
 * and for a build by way of gate_both.c.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "gate_impl.h"

#define TOTALS_FORMAT 1
#define VALUE_MAX (128u << 20)

struct glist {
	struct gserved *rec;
	size_t n, cap;
};

struct gsoa {
	struct wr data;
	struct gserved rec;
	uint8_t owner[GWIRE_MAX];
	uint32_t serial;
};

struct gstep {
	struct gjob *j;
	struct gentry e;
	struct gmerge merge;
	uint8_t soa_key[GKEY_MAX];
	size_t soa_klen;
	struct gsoa soa[HALVES];     /* of the base, of the candidate */
	struct glist set[HALVES];    /* of the key at hand: what was served, what is */
	struct wr val;               /* its value in the candidate: reading chunks moves on */
	uint64_t before;             /* findings when it began */
};

static const char *const does[HALVES] = { "takes away", "adds" };

static uint64_t said(const struct gstep *s)
{
	return gate_count(s->j->g, GATE_HISTORY);
}

/* --- what is served ------------------------------------------------------------------------------------- */

static int served_cmp_void(const void *a, const void *b)
{
	return gserved_cmp(a, b);
}

static int push(struct glist *l, const struct gserved *rec)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? 2 * l->cap : 32;
		struct gserved *more = realloc(l->rec, cap * sizeof *more);

		if (!more)
			return ZS_ENOMEM;
		l->rec = more;
		l->cap = cap;
	}
	l->rec[l->n++] = *rec;
	return 0;
}

static void sort(struct glist *l)
{
	size_t i = 1;

	while (i < l->n && gserved_cmp(&l->rec[i - 1], &l->rec[i]) <= 0)
		i++;
	if (i < l->n)
		qsort(l->rec, l->n, sizeof *l->rec, served_cmp_void);
}

/* The SOA itself stands at the head of each half, and not here. Data of type RRSIG (`pass`) are RRsets by
 * type covered, each with its own TTL. */
static int serve(struct glist *l, uint16_t type, struct gval *v)
{
	struct gserved s = { .owner = v->flags & VF_OWNER ? v->owner : NULL,
			     .owner_len = v->flags & VF_OWNER ? v->owner_len : 0 };
	struct grr rr;
	uint16_t len;
	int rc = 0;

	while (!rc && gval_rr(v, &rr)) {
		if (rr.flags & RF_DUP || type == TY_SOA)
			continue;
		s.ttl = type == TY_RRSIG ? rr.ttl : v->ttl;
		s.data = rr.data;
		s.len = rr.len;
		rc = push(l, &s);
	}
	s.sig = true;
	s.ttl = v->ttl;
	while (!rc && gval_sig(v, &s.data, &len)) {
		s.len = len;
		rc = push(l, &s);
	}
	if (!rc)
		sort(l);
	return rc;
}

/* --- the comparison ------------------------------------------------------------------------------------- */

static void open_entry(struct gstep *s)
{
	struct gentry *e = &s->e;

	gentry_open(e);
	if (e->head.first != e->version || (e->head.kind != GKIND_USER && e->head.kind != GKIND_ROUTINE))
		gentry_say(e, "its head says that it is another kind of entry");
	if (e->head.from != s->soa[GONE].serial || e->head.to != s->soa[CAME].serial)
		gentry_say(e, "its serials are not those of the SOA before and after");
}

static const char *rec_text(const struct gserved *r)
{
	return r->sig ? "a signature" : "a record";
}

/* The current record is one too many. */
static void too_many(struct gstep *s, int half)
{
	struct ghalf *h = &s->e.half[half];

	if (!h->more)
		gnote(s->j, GATE_HISTORY, h->key, h->klen, "its history %s %s that the version does not",
		      does[half], rec_text(&h->rec));
	h->more = true;
	gentry_next(&s->e, half);
}

static void too_few(struct gstep *s, int half, const uint8_t *key, size_t klen, const struct gserved *want)
{
	struct ghalf *h = &s->e.half[half];

	if (!h->few && !h->broken)
		gnote(s->j, GATE_HISTORY, key, klen, "the version %s %s that its history does not",
		      does[half], rec_text(want));
	h->few = true;
}

static bool is_at(const struct ghalf *h, const uint8_t *key, size_t klen)
{
	return h->have && gsame(h->key, h->klen, key, klen);
}

/* A record of the version: next in the entry, or missing there. */
static void expect(struct gstep *s, int half, const uint8_t *key, size_t klen, const struct gserved *want)
{
	struct ghalf *h = &s->e.half[half];
	int c = -1;

	while (is_at(h, key, klen) && (c = gserved_cmp(&h->rec, want)) < 0)
		too_many(s, half);
	if (is_at(h, key, klen) && c == 0)
		gentry_next(&s->e, half);
	else
		too_few(s, half, key, klen, want);
}

/* What x has and y has not, against the records of this key in one half. */
static void compare(struct gstep *s, int half, const uint8_t *key, size_t klen)
{
	const struct glist *x = &s->set[half], *y = &s->set[!half];
	struct ghalf *h = &s->e.half[half];
	size_t i = 0, k = 0;

	while (h->have && gcmp(h->key, h->klen, key, klen) < 0) {
		h->more = false; /* of other RRsets, which did not change */
		too_many(s, half);
	}
	h->few = h->more = false;
	while (i < x->n) {
		int c = k < y->n ? gserved_cmp(&x->rec[i], &y->rec[k]) : -1;

		if (c < 0)
			expect(s, half, key, klen, &x->rec[i]);
		i += c <= 0;
		k += c >= 0;
	}
	while (is_at(h, key, klen))
		too_many(s, half);
}

static int fill(struct gstep *s, int half, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	uint16_t type = key[1] ? TY_NSEC3 : TY_NSEC;
	size_t olen;
	struct gval v;
	int rc = key[0] == IN_RECORDS ? gkey_split(key, klen, &olen, &type) : 0;

	if (!rc)
		rc = gval_parse(&v, val, vlen);
	if (!rc)
		return gjob_fail(s->j, serve(&s->set[half], type, &v));
	gnote(s->j, GATE_STORED, key, klen, "stored value%s: %s", half == CAME ? "" : " of the base",
	      zs_strerror(rc));
	return 0;
}

static int step_key(struct gstep *s, const uint8_t *key, size_t klen)
{
	struct gjob *j = s->j;
	struct kv_item it;

	s->set[GONE].n = s->set[CAME].n = 0;
	if (gjob_get(j, j->kv, key, klen, &it)) {
		s->val.len = 0;
		wr_bytes(&s->val, it.val, it.vlen);
		if (gjob_fail(j, s->val.err) || fill(s, CAME, key, klen, s->val.p, s->val.len))
			return j->err;
	}
	if (!j->err && gjob_get(j, j->base, key, klen, &it) && fill(s, GONE, key, klen, it.val, it.vlen))
		return j->err;
	if (j->err)
		return j->err;
	compare(s, GONE, key, klen);
	compare(s, CAME, key, klen);
	return j->err;
}

static void begin_half(struct gstep *s, int half)
{
	struct ghalf *h = &s->e.half[half];

	if (is_at(h, s->soa_key, s->soa_klen) && gserved_cmp(&h->rec, &s->soa[half].rec) == 0)
		gentry_next(&s->e, half);
	else if (!h->broken)
		gnote(s->j, GATE_HISTORY, s->soa_key, s->soa_klen,
		      "what history %s does not begin with the SOA %s the version", does[half],
		      half == CAME ? "of" : "before");
}

static void end_half(struct gstep *s, int half)
{
	struct ghalf *h = &s->e.half[half];

	while (h->have) {
		h->more = false;
		too_many(s, half);
	}
}

/* --- whether there is one ------------------------------------------------------------------------------- */

/* Copied; ZS_ENOENT: none. */
static int read_soa(struct gstep *s, int half, struct kv *kv)
{
	struct gsoa *soa = &s->soa[half];
	struct kv_item it;
	struct gval v;
	struct grr rr;
	size_t m, r;

	if (!kv || !gjob_get(s->j, kv, s->soa_key, s->soa_klen, &it))
		return s->j->err ? s->j->err : ZS_ENOENT;
	if (gval_parse(&v, it.val, it.vlen) || !gval_rr(&v, &rr))
		return ZS_ENOENT;
	m = gwire_len(rr.data, rr.data + rr.len);
	r = m ? gwire_len(rr.data + m, rr.data + rr.len) : 0;
	if (!r || rr.len - m - r != 20)
		return ZS_ENOENT;
	wr_bytes(&soa->data, rr.data, rr.len);
	if (soa->data.err)
		return gjob_fail(s->j, soa->data.err);
	soa->serial = be32(soa->data.p + m + r);
	soa->rec = (struct gserved){ .ttl = v.ttl, .data = soa->data.p, .len = rr.len };
	if (v.flags & VF_OWNER) {
		memcpy(soa->owner, v.owner, v.owner_len);
		soa->rec.owner = soa->owner;
		soa->rec.owner_len = v.owner_len;
	}
	return 0;
}

/* The totals of history (META "history", src/store/history.c): below `oldest` nothing is given out. */
static bool read_totals(struct gstep *s, uint64_t *entries, uint64_t *oldest, uint64_t *newest)
{
	static const uint8_t key[] = { IN_META, 'h', 'i', 's', 't', 'o', 'r', 'y' };
	struct kv_item it;
	struct rd r;
	uint32_t crc;

	*entries = *oldest = *newest = 0;
	if (!gjob_get(s->j, s->j->kv, key, sizeof key, &it))
		return s->j->err == 0;
	r = rd_init(it.val, it.vlen);
	if (rd_u8(&r) != TOTALS_FORMAT)
		return false;
	crc = rd_u32(&r);
	if (r.err || crc32c(crc32c(0, it.val, 1), r.p, rd_left(&r)) != crc)
		return false;
	if (rd_u8(&r) != 1 || rd_u16(&r) != 48)
		return false;
	*entries = rd_u64(&r);
	rd_u64(&r); /* octets */
	rd_u64(&r); /* since */
	*oldest = rd_u64(&r);
	*newest = rd_u64(&r);
	return !r.err;
}

/*
 * Is there an entry to be compared? There is none of a gap, of a first version, and of one that has the
 * serial of the one before. What was dropped as soon as it was written, because history may not be that
 * large, is given to nobody.
 */
static bool find_entry(struct gstep *s, bool gap)
{
	uint64_t entries, newest;
	int rc = read_soa(s, GONE, gjob_base(s->j)), rc2 = read_soa(s, CAME, s->j->kv);
	bool wanted = !gap && !rc && !rc2 && s->soa[GONE].serial != s->soa[CAME].serial;

	if (s->j->err)
		return false;
	if (!read_totals(s, &entries, &s->merge.oldest, &newest)) {
		if (!gap) /* damage: whoever reads or writes there meets it, and a gap does not */
			gentry_say(&s->e, "the totals of history do not parse");
		return false;
	}
	if (s->merge.oldest > s->e.version || gentry_count(&s->e))
		return false;
	s->merge.anew = entries <= (s->e.chunks > 0);
	if (!wanted) {
		if (s->e.chunks)
			gentry_say(&s->e, "an entry of history where there must be none");
		return false;
	}
	if (!s->e.chunks)
		gentry_say(&s->e, "no entry of history");
	else if (!entries || newest != s->e.version)
		gentry_say(&s->e, "the totals of history do not count its entry");
	return s->e.chunks && !s->e.faults;
}

static void see_key(struct gstep *s, bool compares, const uint8_t *borrowed, size_t klen)
{
	uint8_t key[GKEY_MAX];

	if (compares && gentry_names(borrowed, klen)) {
		memcpy(key, borrowed, klen);
		step_key(s, key, klen);
	} else if (klen == GCHUNK_KEY && borrowed[0] == IN_HISTORY) {
		gmerge_see(&s->merge, be64(borrowed + 1));
	}
}

static void step_all(struct gstep *s, bool compares,
		     int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx)
{
	const uint8_t *key;
	size_t klen;
	int rc = 0;

	if (compares) {
		open_entry(s);
		begin_half(s, GONE);
		begin_half(s, CAME);
	}
	while (!s->j->err && !(rc = next(ctx, &key, &klen)))
		see_key(s, compares, key, klen);
	if (gjob_fail(s->j, rc))
		return;
	gmerge_end(&s->merge);
	end_half(s, GONE);
	end_half(s, CAME);
	if (compares && !s->j->err && said(s) == s->before && s->e.octets != s->e.head.octets)
		gentry_say(&s->e, "its records are not as many octets as its head says");
}

int gate_step(struct gate *g, struct kv *kv, uint64_t version, bool gap,
	      int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx)
{
	struct gjob j;
	struct gstep s = { .j = &j, .merge = { .j = &j, .own = version }, .val = wr_growing(VALUE_MAX) };

	gjob_init(&j, g, kv);
	gentry_init(&s.e, &j, kv, version);
	s.before = said(&s);
	s.soa_klen = gkey_record(s.soa_key, g->apex.k, g->apex.len, TY_SOA);
	for (int i = 0; i < HALVES; i++)
		s.soa[i].data = wr_growing(UINT16_MAX);
	if (!j.err) {
		bool compares = find_entry(&s, gap);

		if (!j.err)
			step_all(&s, compares, next, ctx);
	}
	for (int i = 0; i < HALVES; i++) {
		wr_free(&s.soa[i].data);
		free(s.set[i].rec);
	}
	gentry_free(&s.e);
	wr_free(&s.val);
	return gjob_done(&j);
}
