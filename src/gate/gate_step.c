/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a version says it changed, against what it changed. Its entry of history is what IXFR is made of: a
 * record too few in it, and whoever follows by differences serves for good what no whole transfer gives. So
 * the entry is read again, as it will be stored, from the description of its form in
 * src/store/history_chunk.c, and compared with what the changed keys serve in the base and in the candidate:
 * records that are no duplicates, under the RRset's TTL, and signatures. The entry of USERDIFF, which is what
 * a rollback is made of, is compared in the same way with upstream's records as they were received. Entries
 * and keys have the same order: one pass, memory for one RRset of each side and one chunk of each half.
 * Called for each change and refresh, and for a build by way of gate_both.c.
 */
#include <stdlib.h>
#include <string.h>

#include "gate_impl.h"

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
	uint8_t table;
	bool compares;               /* there is an entry, or there must be none where nothing changed */
	struct gentry e;
	struct gmerge merge;
	uint8_t soa_key[GKEY_MAX];
	size_t soa_klen;
	struct gsoa soa[HALVES];     /* of the base, of the candidate: as they are served */
	struct gsoa user[HALVES];    /* as upstream has them */
	const struct gsoa *head;     /* of these the two that the entry speaks of; NULL: it has no SOA */
	struct glist set[HALVES];    /* of the key at hand: what was served, what is */
	struct wr val;               /* its value in the candidate: reading chunks moves on */
	uint64_t before;             /* findings when it began */
};

static const char *const does[HALVES] = { "takes away", "adds" };

static const char *what(const struct gstep *s)
{
	return s->table == IN_HISTORY ? "history" : "difference of upstream's content";
}

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
	if (e->head.first != e->version ||
	    (e->head.kind != GKIND_USER && (e->head.kind != GKIND_ROUTINE || s->table != IN_HISTORY)))
		gentry_say(e, "its head says that it is another kind of entry");
	if (s->table == IN_USERDIFF && (e->head.from_upstream != s->user[GONE].serial ||
					e->head.to_upstream != s->user[CAME].serial))
		gentry_say(e, "its serials are not those of upstream's SOA before and after");
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
		gnote(s->j, GATE_HISTORY, h->key, h->klen, "its %s %s %s that the version does not",
		      what(s), does[half], rec_text(&h->rec));
	h->more = true;
	gentry_next(&s->e, half);
}

static void too_few(struct gstep *s, int half, const uint8_t *key, size_t klen, const struct gserved *want)
{
	struct ghalf *h = &s->e.half[half];

	if (!h->few && !h->broken)
		gnote(s->j, GATE_HISTORY, key, klen, "the version %s %s that its %s does not",
		      does[half], rec_text(want), what(s));
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

/* As received: each with its own TTL, duplicates too; what we made at the apex is not upstream's. */
static int receive(struct glist *l, uint16_t type, struct gval *v)
{
	struct gserved s = { .owner = v->flags & VF_OWNER ? v->owner : NULL,
			     .owner_len = v->flags & VF_OWNER ? v->owner_len : 0 };
	struct grr rr;
	int rc = 0;

	if (type == TY_SOA || v->flags & VF_OURS)
		return 0;
	while (!rc && gval_rr(v, &rr)) {
		s.ttl = rr.ttl;
		s.data = rr.data;
		s.len = rr.len;
		rc = push(l, &s);
	}
	if (!rc)
		sort(l);
	return rc;
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
		return gjob_fail(s->j, s->table == IN_HISTORY ? serve(&s->set[half], type, &v)
							      : receive(&s->set[half], type, &v));
	gnote(s->j, GATE_STORED, key, klen, "stored value%s: %s", half == CAME ? "" : " of the base",
	      zs_strerror(rc));
	if (half == GONE)
		atomic_fetch_add(&s->j->g->of_base, 1);
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

	if (!s->head)
		return;
	if (is_at(h, s->soa_key, s->soa_klen) && gserved_cmp(&h->rec, &s->head[half].rec) == 0)
		gentry_next(&s->e, half);
	else if (!h->broken)
		gnote(s->j, GATE_HISTORY, s->soa_key, s->soa_klen,
		      "what its %s %s does not begin with the SOA %s the version", what(s), does[half],
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

/* Copied; ZS_ENOENT: it is none. */
static int keep_soa(struct gstep *s, struct gsoa *soa, const uint8_t *data, size_t len, uint32_t ttl)
{
	size_t m = gwire_len(data, data + len), r = m ? gwire_len(data + m, data + len) : 0;

	if (!r || len - m - r != 20)
		return ZS_ENOENT;
	wr_bytes(&soa->data, data, len);
	if (soa->data.err)
		return gjob_fail(s->j, soa->data.err);
	soa->serial = be32(soa->data.p + m + r);
	soa->rec = (struct gserved){ .ttl = ttl, .data = soa->data.p, .len = len };
	return 0;
}

static int read_soa(struct gstep *s, int half, struct kv *kv)
{
	struct gsoa *soa = &s->soa[half];
	struct kv_item it;
	struct gval v;
	struct grr rr;
	int rc;

	if (!kv || !gjob_get(s->j, kv, s->soa_key, s->soa_klen, &it))
		return s->j->err ? s->j->err : ZS_ENOENT;
	if (gval_parse(&v, it.val, it.vlen) || !gval_rr(&v, &rr))
		return ZS_ENOENT;
	rc = keep_soa(s, soa, rr.data, rr.len, v.ttl);
	if (!rc && v.flags & VF_OWNER) {
		memcpy(soa->owner, v.owner, v.owner_len);
		soa->rec.owner = soa->owner;
		soa->rec.owner_len = v.owner_len;
	}
	return rc;
}

static int read_user(struct gstep *s, int half, struct kv *kv)
{
	const uint8_t *data;
	uint32_t ttl;
	size_t len;

	if (!kv || !gmeta_soa(s->j, kv, &data, &len, &ttl))
		return s->j->err ? s->j->err : ZS_ENOENT;
	return keep_soa(s, &s->user[half], data, len, ttl);
}

/* May there be an entry? There is none of a first version, and in HISTORY of one that has the serial of the
 * one before; upstream's SOA is in it when it is another one. */
static bool may_say(struct gstep *s)
{
	struct kv *base = gjob_base(s->j);

	if (read_soa(s, GONE, base) || read_soa(s, CAME, s->j->kv))
		return false;
	if (s->table == IN_HISTORY) {
		s->head = s->soa;
		return s->soa[GONE].serial != s->soa[CAME].serial;
	}
	if (read_user(s, GONE, base) || read_user(s, CAME, s->j->kv))
		return false;
	s->head = gserved_cmp(&s->user[GONE].rec, &s->user[CAME].rec) ? s->user : NULL;
	return true;
}

/*
 * Is there an entry to be compared? There is none of a gap. What was dropped as soon as it was written,
 * because history may not be that large, is given to nobody. Where upstream changed nothing there is none in
 * USERDIFF: then nothing is compared with what changed.
 */
static bool find_entry(struct gstep *s, bool gap)
{
	struct gtotals t;
	bool wanted = !gap && may_say(s);

	if (s->j->err)
		return false;
	if (!gmeta_totals(s->j, s->table, &t)) {
		if (!gap && s->table == IN_HISTORY) /* damage: a gap meets none, whoever reads there does */
			gentry_say(&s->e, "the totals of history do not parse");
		return false;
	}
	s->merge.oldest = t.oldest;
	if (t.oldest > s->e.version || gentry_count(&s->e))
		return false;
	s->merge.anew = t.entries <= (s->e.chunks > 0);
	if (!wanted) {
		if (s->e.chunks)
			gentry_say(&s->e, "an entry of history where there must be none");
		return false;
	}
	if (!s->e.chunks && s->table == IN_HISTORY)
		gentry_say(&s->e, "no entry of history");
	else if (s->e.chunks && (!t.entries || t.newest != s->e.version))
		gentry_say(&s->e, "the totals of history do not count its entry");
	return !s->e.faults && (s->e.chunks || s->table == IN_USERDIFF);
}

static void see_key(struct gstep *s, const uint8_t *borrowed, size_t klen)
{
	uint8_t key[GKEY_MAX];

	if (borrowed[0] == IN_DENIAL && s->table == IN_USERDIFF)
		return;
	if (s->compares && gentry_names(borrowed, klen)) {
		memcpy(key, borrowed, klen);
		step_key(s, key, klen);
	} else if (klen == GCHUNK_KEY && borrowed[0] == s->table) {
		gmerge_see(&s->merge, be64(borrowed + 1));
	}
}

static void step_begin(struct gstep *s, bool gap)
{
	s->before = said(s);
	s->compares = find_entry(s, gap);
	if (s->j->err || !s->compares)
		return;
	if (s->e.chunks)
		open_entry(s);
	begin_half(s, GONE);
	begin_half(s, CAME);
}

static void step_end(struct gstep *s)
{
	gmerge_end(&s->merge);
	end_half(s, GONE);
	end_half(s, CAME);
	if (s->compares && !s->j->err && said(s) == s->before && s->e.octets != s->e.head.octets)
		gentry_say(&s->e, "its records are not as many octets as its head says");
}

static void step_init(struct gstep *s, struct gjob *j, uint8_t table, uint64_t version)
{
	*s = (struct gstep){ .j = j, .table = table, .val = wr_growing(VALUE_MAX),
			     .merge = { .j = j, .table = table, .own = version } };
	gentry_init(&s->e, j, j->kv, table, version);
	s->soa_klen = gkey_record(s->soa_key, j->g->apex.k, j->g->apex.len, TY_SOA);
	for (int i = 0; i < HALVES; i++)
		s->soa[i].data = s->user[i].data = wr_growing(UINT16_MAX);
}

static void step_free(struct gstep *s)
{
	for (int i = 0; i < HALVES; i++) {
		wr_free(&s->soa[i].data);
		wr_free(&s->user[i].data);
		free(s->set[i].rec);
	}
	gentry_free(&s->e);
	wr_free(&s->val);
}

int gate_step(struct gate *g, struct kv *kv, uint64_t version, unsigned gaps,
	      int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx)
{
	struct gjob j;
	struct gstep s[2];
	const uint8_t *key;
	size_t klen;
	int rc = 0;

	gjob_init(&j, g, kv);
	step_init(&s[0], &j, IN_HISTORY, version);
	step_init(&s[1], &j, IN_USERDIFF, version);
	if (!j.err)
		step_begin(&s[0], gaps & GATE_SERVED);
	if (!j.err)
		step_begin(&s[1], gaps & GATE_UPSTREAM);
	while (!j.err && !(rc = next(ctx, &key, &klen)))
		for (int i = 0; i < 2; i++)
			see_key(&s[i], key, klen);
	gjob_fail(&j, rc);
	for (int i = 0; i < 2; i++) {
		if (!j.err)
			step_end(&s[i]);
		step_free(&s[i]);
	}
	return gjob_done(&j);
}
