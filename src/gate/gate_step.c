/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a version says it changed, against what it changed. Its entry of history is what IXFR is made of: a
 * record too few in it, and whoever follows by differences serves for good what no whole transfer gives. So
 * the entry is read again, as it will be stored, from the description of its form in
 * src/store/history_chunk.c, and compared with what the changed keys serve in the base and in the candidate:
 * records that are no duplicates, under the RRset's TTL, and signatures. Entry and keys have the same order:
 * one pass, memory for one RRset of each side and one chunk of each half. Called for each change and refresh.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "gate_impl.h"

#define CHUNK_FORMAT 1
#define CHUNK_HEAD 5     /* format, CRC */
#define CHUNK_KEY 13     /* table, version, number */
#define HEAD_LEN 69
#define TOTALS_FORMAT 1
#define KIND_USER 1
#define KIND_ROUTINE 2
#define VALUE_MAX (128u << 20)

enum { EF_ADDED = 0x01, EF_SIG = 0x02, EF_OWNER = 0x04, EF_SAME = 0x08, EF_ALL = 0x0f };
enum { GONE, CAME, HALVES };

/* One record as served; borrowed. */
struct gserved {
	bool sig;
	const uint8_t *owner; /* NULL: all lower case */
	size_t owner_len;
	uint32_t ttl;
	const uint8_t *data;
	size_t len;
};
struct glist {
	struct gserved *rec;
	size_t n, cap;
};

/* One half of the entry, record by record. */
struct ghalf {
	uint8_t flag;                /* EF_ADDED or 0: what its records carry */
	uint32_t left;               /* records behind the current one, as the head says */
	uint32_t chunk;
	size_t len;                  /* of the chunk's value */
	uint32_t end_chunk;          /* where the half must end */
	size_t end_at;
	struct wr buf;               /* the chunk */
	struct rd r;
	bool have, broken;           /* there is a current record; nothing more can be read */
	const uint8_t *key;          /* of its RRset, in buf */
	size_t klen;
	struct gserved rec;
	bool few, more;              /* said of the RRset at hand */
};

struct gsoa {
	struct wr data;
	struct gserved rec;
	uint8_t owner[GWIRE_MAX];
	uint32_t serial;
};

struct gstep {
	struct gjob *j;
	uint64_t version;
	uint8_t soa_key[GKEY_MAX];
	size_t soa_klen;
	struct gsoa soa[HALVES];     /* of the base, of the candidate */
	uint32_t chunks;
	uint64_t stored, octets;     /* counted */
	struct {
		uint64_t first, octets, stored;
		uint32_t from, to, removed, added, chunks, added_chunk, added_at;
		uint8_t kind;
	} head;
	struct ghalf half[HALVES];
	struct glist set[HALVES];    /* of the key at hand: what was served, what is */
	struct wr val;               /* its value in the candidate: reading chunks moves on */
	uint64_t before;             /* findings when it began */
};

static const char *const does[HALVES] = { "takes away", "adds" };

static size_t chunk_key(const struct gstep *s, uint32_t n, uint8_t key[static CHUNK_KEY])
{
	key[0] = IN_HISTORY;
	put_be64(key + 1, s->version);
	put_be32(key + 9, n);
	return CHUNK_KEY;
}

/* About the entry as a whole. */
static void say(struct gstep *s, const char *text)
{
	uint8_t key[CHUNK_KEY];

	gnote(s->j, GATE_HISTORY, key, chunk_key(s, 0, key), "%s", text);
}

static uint64_t said(const struct gstep *s)
{
	return gate_count(s->j->g, GATE_HISTORY);
}

/* --- what is served ------------------------------------------------------------------------------------- */

/* The order of an entry within one RRset. */
static int served_cmp(const struct gserved *a, const struct gserved *b)
{
	int c = (int)a->sig - (int)b->sig;

	if (!c)
		c = (a->owner_len > b->owner_len) - (a->owner_len < b->owner_len);
	if (!c)
		c = gcmp(a->owner, a->owner_len, b->owner, b->owner_len);
	if (!c)
		c = (a->ttl > b->ttl) - (a->ttl < b->ttl);
	return c ? c : gcmp(a->data, a->len, b->data, b->len);
}

static int served_cmp_void(const void *a, const void *b)
{
	return served_cmp(a, b);
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

	while (i < l->n && served_cmp(&l->rec[i - 1], &l->rec[i]) <= 0)
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

/* --- the entry ------------------------------------------------------------------------------------------ */

/* Every chunk of the version: sound, in a row, counted. */
static int count_chunks(struct gstep *s)
{
	uint8_t key[CHUNK_KEY];
	struct kv_item it;
	int rc = kv_seek(s->j->kv, key, chunk_key(s, 0, key), &it);

	for (; !rc && it.klen >= 9 && !memcmp(it.key, key, 9); rc = kv_next(s->j->kv, &it)) {
		uint32_t crc = it.vlen > CHUNK_HEAD ? crc32c(crc32c(0, it.val, 1), it.key, it.klen) : 0;

		if (!gsame(it.key, it.klen, key, chunk_key(s, s->chunks, key)))
			say(s, "its chunks are not in a row");
		else if (it.vlen <= CHUNK_HEAD || it.val[0] != CHUNK_FORMAT ||
			 crc32c(crc, it.val + CHUNK_HEAD, it.vlen - CHUNK_HEAD) != be32(it.val + 1))
			say(s, "a chunk that does not parse or whose CRC is wrong");
		s->chunks++;
		s->stored += it.klen + it.vlen;
	}
	return gjob_fail(s->j, rc);
}

static void half_break(struct gstep *s, struct ghalf *h)
{
	h->have = false;
	h->broken = true;
	say(s, "its records do not parse");
}

/* The chunk into memory, to be read from `at` on. */
static int half_load(struct gstep *s, struct ghalf *h, uint32_t chunk, size_t at)
{
	uint8_t key[CHUNK_KEY];
	struct kv_item it;

	if (!gjob_get(s->j, s->j->kv, key, chunk_key(s, chunk, key), &it))
		return s->j->err ? s->j->err : ZS_EFORMAT;
	if (at >= it.vlen)
		return ZS_EFORMAT;
	h->buf.len = 0;
	wr_bytes(&h->buf, it.val, it.vlen);
	if (h->buf.err)
		return gjob_fail(s->j, h->buf.err);
	h->r = rd_init(h->buf.p + at, it.vlen - at);
	h->len = it.vlen;
	h->chunk = chunk;
	h->key = NULL;
	return 0;
}

/* Octets of a name that has this order key. */
static size_t wire_octets(const uint8_t *k, size_t len)
{
	size_t n = 1;

	for (size_t i = 0; i < len; i++, n++)
		i += k[i] == 1;
	return n;
}

static size_t owner_octets(const struct gstep *s, const struct ghalf *h)
{
	if (h->rec.owner)
		return h->rec.owner_len;
	if (h->key[0] == IN_DENIAL)
		return h->key[1] ? 33 + s->j->g->p.zone_len : wire_octets(h->key + 2, h->klen - 2);
	return wire_octets(h->key + 1, h->klen - 4);
}

static bool is_key(const uint8_t *key, size_t klen)
{
	uint16_t type;
	size_t olen;

	return klen >= 2 && klen <= GKEY_MAX &&
	       (key[0] == IN_DENIAL || (key[0] == IN_RECORDS && !gkey_split(key, klen, &olen, &type)));
}

static bool read_place(struct ghalf *h, bool owner)
{
	h->klen = rd_u16(&h->r);
	h->key = rd_bytes(&h->r, h->klen);
	h->rec.owner = NULL;
	h->rec.owner_len = 0;
	if (!h->key || !is_key(h->key, h->klen))
		return false;
	if (!owner)
		return true;
	h->rec.owner_len = rd_u8(&h->r);
	h->rec.owner = rd_bytes(&h->r, h->rec.owner_len);
	return h->rec.owner && h->rec.owner_len &&
	       gwire_len(h->rec.owner, h->rec.owner + h->rec.owner_len) == h->rec.owner_len;
}

static bool read_record(struct ghalf *h)
{
	uint8_t flags = rd_u8(&h->r);
	size_t len;

	if (flags & ~EF_ALL || (flags & EF_ADDED) != h->flag ||
	    (flags & EF_SAME && (!h->key || flags & EF_OWNER)) ||
	    (!(flags & EF_SAME) && !read_place(h, flags & EF_OWNER)))
		return false;
	h->rec.sig = flags & EF_SIG;
	h->rec.ttl = rd_u32(&h->r);
	len = rd_u16(&h->r);
	h->rec.data = rd_bytes(&h->r, len);
	h->rec.len = len;
	return !h->r.err;
}

static bool at_end(const struct ghalf *h)
{
	size_t at = h->len - rd_left(&h->r);

	if (h->chunk == h->end_chunk)
		return at == h->end_at;
	return !rd_left(&h->r) && h->chunk + 1 == h->end_chunk && h->end_at == CHUNK_HEAD;
}

static bool half_next(struct gstep *s, struct ghalf *h)
{
	h->have = false;
	if (h->broken || s->j->err)
		return false;
	if (!h->left) {
		if (!at_end(h))
			half_break(s, h);
		return false;
	}
	if ((!rd_left(&h->r) && half_load(s, h, h->chunk + 1, CHUNK_HEAD)) || !read_record(h)) {
		half_break(s, h);
		return false;
	}
	h->left--;
	h->have = true;
	s->octets += owner_octets(s, h) + 10 + h->rec.len;
	return true;
}

static void half_begin(struct gstep *s, int half, uint32_t n, uint32_t chunk, size_t at)
{
	struct ghalf *h = &s->half[half];

	h->flag = half == CAME ? EF_ADDED : 0;
	h->left = n;
	if (half_load(s, h, chunk, at))
		half_break(s, h);
	else
		half_next(s, h);
}

static bool read_head(struct gstep *s)
{
	uint8_t key[CHUNK_KEY];
	struct kv_item it;
	struct rd r;

	if (!gjob_get(s->j, s->j->kv, key, chunk_key(s, 0, key), &it))
		return false;
	r = rd_init(it.val, it.vlen);
	rd_bytes(&r, CHUNK_HEAD);
	s->head.first = rd_u64(&r);
	s->head.from = rd_u32(&r);
	s->head.to = rd_u32(&r);
	rd_u64(&r); /* upstream's serials */
	rd_u64(&r); /* time */
	s->head.kind = rd_u8(&r);
	s->head.octets = rd_u64(&r);
	s->head.removed = rd_u32(&r);
	s->head.added = rd_u32(&r);
	s->head.chunks = rd_u32(&r);
	s->head.stored = rd_u64(&r);
	s->head.added_chunk = rd_u32(&r);
	s->head.added_at = rd_u32(&r);
	return !r.err;
}

static size_t last_end(struct gstep *s)
{
	uint8_t key[CHUNK_KEY];
	struct kv_item it;

	return gjob_get(s->j, s->j->kv, key, chunk_key(s, s->chunks - 1, key), &it) ? it.vlen : 0;
}

static void open_entry(struct gstep *s)
{
	if (!read_head(s)) {
		say(s, "its head does not parse");
		s->half[GONE].broken = s->half[CAME].broken = true;
		return;
	}
	if (s->head.first != s->version || (s->head.kind != KIND_USER && s->head.kind != KIND_ROUTINE))
		say(s, "its head says that it is another kind of entry");
	if (s->head.from != s->soa[GONE].serial || s->head.to != s->soa[CAME].serial)
		say(s, "its serials are not those of the SOA before and after");
	if (s->head.chunks != s->chunks || s->head.stored != s->stored)
		say(s, "its size is not what its head says");
	s->half[GONE].end_chunk = s->head.added_chunk;
	s->half[GONE].end_at = s->head.added_at;
	s->half[CAME].end_chunk = s->chunks - 1;
	s->half[CAME].end_at = last_end(s);
	half_begin(s, GONE, s->head.removed, 0, CHUNK_HEAD + HEAD_LEN);
	half_begin(s, CAME, s->head.added, s->head.added_chunk, s->head.added_at);
}

/* --- the comparison ------------------------------------------------------------------------------------- */

static const char *rec_text(const struct gserved *r)
{
	return r->sig ? "a signature" : "a record";
}

/* The current record is one too many. */
static void too_many(struct gstep *s, int half)
{
	struct ghalf *h = &s->half[half];

	if (!h->more)
		gnote(s->j, GATE_HISTORY, h->key, h->klen, "its history %s %s that the version does not",
		      does[half], rec_text(&h->rec));
	h->more = true;
	half_next(s, h);
}

static void too_few(struct gstep *s, int half, const uint8_t *key, size_t klen, const struct gserved *want)
{
	struct ghalf *h = &s->half[half];

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
	struct ghalf *h = &s->half[half];
	int c = -1;

	while (is_at(h, key, klen) && (c = served_cmp(&h->rec, want)) < 0)
		too_many(s, half);
	if (is_at(h, key, klen) && c == 0)
		half_next(s, h);
	else
		too_few(s, half, key, klen, want);
}

/* What x has and y has not, against the records of this key in one half. */
static void compare(struct gstep *s, int half, const uint8_t *key, size_t klen)
{
	const struct glist *x = &s->set[half], *y = &s->set[!half];
	struct ghalf *h = &s->half[half];
	size_t i = 0, k = 0;

	while (h->have && gcmp(h->key, h->klen, key, klen) < 0) {
		h->more = false; /* of other RRsets, which did not change */
		too_many(s, half);
	}
	h->few = h->more = false;
	while (i < x->n) {
		int c = k < y->n ? served_cmp(&x->rec[i], &y->rec[k]) : -1;

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
	struct ghalf *h = &s->half[half];

	if (is_at(h, s->soa_key, s->soa_klen) && served_cmp(&h->rec, &s->soa[half].rec) == 0)
		half_next(s, h);
	else if (!h->broken)
		gnote(s->j, GATE_HISTORY, s->soa_key, s->soa_klen,
		      "what history %s does not begin with the SOA %s the version", does[half],
		      half == CAME ? "of" : "before");
}

static void end_half(struct gstep *s, int half)
{
	struct ghalf *h = &s->half[half];

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

/* Is there an entry to be compared? There is none of a gap, of a first version, and of one that has the
 * serial of the one before. What was dropped as soon as it was written, because history may not be that large, is
 * given to nobody. */
static bool find_entry(struct gstep *s, bool gap)
{
	uint64_t entries, oldest, newest;
	int rc = read_soa(s, GONE, gjob_base(s->j)), rc2 = read_soa(s, CAME, s->j->kv);
	bool wanted = !gap && !rc && !rc2 && s->soa[GONE].serial != s->soa[CAME].serial;

	if (s->j->err)
		return false;
	if (!read_totals(s, &entries, &oldest, &newest)) {
		say(s, "the totals of history do not parse");
		return false;
	}
	if (oldest > s->version || count_chunks(s))
		return false;
	if (!wanted) {
		if (s->chunks)
			say(s, "an entry of history where there must be none");
		return false;
	}
	if (!s->chunks)
		say(s, "no entry of history");
	else if (!entries || newest != s->version)
		say(s, "the totals of history do not count its entry");
	return s->chunks && said(s) == s->before;
}

static void compare_all(struct gstep *s, int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx)
{
	struct gjob *j = s->j;
	const uint8_t *borrowed;
	uint8_t key[GKEY_MAX];
	size_t klen;
	int rc = 0;

	open_entry(s);
	begin_half(s, GONE);
	begin_half(s, CAME);
	while (!j->err && !(rc = next(ctx, &borrowed, &klen))) {
		if (!is_key(borrowed, klen))
			continue;
		memcpy(key, borrowed, klen);
		step_key(s, key, klen);
	}
	gjob_fail(j, rc);
	end_half(s, GONE);
	end_half(s, CAME);
	if (!j->err && said(s) == s->before && s->octets != s->head.octets)
		say(s, "its records are not as many octets as its head says");
}

int gate_step(struct gate *g, struct kv *kv, uint64_t version, bool gap,
	      int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx)
{
	struct gjob j;
	struct gstep s = { .j = &j, .version = version, .val = wr_growing(VALUE_MAX) };

	gjob_init(&j, g, kv);
	s.before = said(&s);
	s.soa_klen = gkey_record(s.soa_key, g->apex.k, g->apex.len, TY_SOA);
	for (int i = 0; i < HALVES; i++) {
		s.half[i].buf = wr_growing(VALUE_MAX);
		s.soa[i].data = wr_growing(UINT16_MAX);
	}
	if (!j.err && find_entry(&s, gap))
		compare_all(&s, next, ctx);
	for (int i = 0; i < HALVES; i++) {
		wr_free(&s.half[i].buf);
		wr_free(&s.soa[i].data);
		free(s.set[i].rec);
	}
	wr_free(&s.val);
	return gjob_done(&j);
}
