/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads entries of history as they are stored, from the description of their form in
 * src/store/history_chunk.c: whether the chunks of a version are sound and in a row, the head, and both
 * halves record by record, with a copy of one chunk each. An entry with an empty half is legal: where
 * upstream's SOA stays there is none in either. What does not parse is a finding, once, and ends that half.
 * Called for what a version says of itself (gate_step.c) and for what it merges (gate_merge.c).
 */
#include <string.h>

#include "base/crc.h"
#include "gate_impl.h"

#define CHUNK_FORMAT 1
#define CHUNK_HEAD 5 /* format, CRC */
#define HEAD_LEN 69
#define CHUNK_MAX (128u << 20)

enum { EF_ADDED = 0x01, EF_SIG = 0x02, EF_OWNER = 0x04, EF_SAME = 0x08, EF_ALL = 0x0f };

void gentry_init(struct gentry *e, struct gjob *j, struct kv *kv, uint8_t table, uint64_t version)
{
	*e = (struct gentry){ .j = j, .kv = kv, .table = table, .version = version };
	for (int i = 0; i < HALVES; i++)
		e->half[i].buf = wr_growing(CHUNK_MAX);
}

void gentry_free(struct gentry *e)
{
	for (int i = 0; i < HALVES; i++)
		wr_free(&e->half[i].buf);
}

static size_t gentry_key(const struct gentry *e, uint32_t n, uint8_t key[static GCHUNK_KEY])
{
	key[0] = e->table;
	put_be64(key + 1, e->version);
	put_be32(key + 9, n);
	return GCHUNK_KEY;
}

void gentry_say(struct gentry *e, const char *text)
{
	uint8_t key[GCHUNK_KEY];

	gnote(e->j, GATE_HISTORY, key, gentry_key(e, 0, key), "%s", text);
	e->faults++;
}

/* The order within one RRset. */
int gserved_cmp(const struct gserved *a, const struct gserved *b)
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

/* Every chunk of the version: sound, in a row, counted. */
int gentry_count(struct gentry *e)
{
	uint8_t key[GCHUNK_KEY];
	struct kv_item it;
	int rc = kv_seek(e->kv, key, gentry_key(e, 0, key), &it);

	for (; !rc && it.klen >= 9 && !memcmp(it.key, key, 9); rc = kv_next(e->kv, &it)) {
		uint32_t crc = it.vlen > CHUNK_HEAD ? crc32c(crc32c(0, it.val, 1), it.key, it.klen) : 0;

		if (!gsame(it.key, it.klen, key, gentry_key(e, e->chunks, key)))
			gentry_say(e, "its chunks are not in a row");
		else if (it.vlen <= CHUNK_HEAD || it.val[0] != CHUNK_FORMAT ||
			 crc32c(crc, it.val + CHUNK_HEAD, it.vlen - CHUNK_HEAD) != be32(it.val + 1))
			gentry_say(e, "a chunk that does not parse or whose CRC is wrong");
		e->chunks++;
		e->stored += it.klen + it.vlen;
	}
	return gjob_fail(e->j, rc);
}

static void half_break(struct gentry *e, struct ghalf *h)
{
	h->have = false;
	h->broken = true;
	gentry_say(e, "its records do not parse");
}

/* The chunk into memory, to be read from `at` on. */
static int half_load(struct gentry *e, struct ghalf *h, uint32_t chunk, size_t at)
{
	uint8_t key[GCHUNK_KEY];
	struct kv_item it;

	if (!gjob_get(e->j, e->kv, key, gentry_key(e, chunk, key), &it))
		return e->j->err ? e->j->err : ZS_EFORMAT;
	if (at >= it.vlen)
		return ZS_EFORMAT;
	h->buf.len = 0;
	wr_bytes(&h->buf, it.val, it.vlen);
	if (h->buf.err)
		return gjob_fail(e->j, h->buf.err);
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

static size_t owner_octets(const struct gentry *e, const struct ghalf *h)
{
	if (h->rec.owner)
		return h->rec.owner_len;
	if (h->key[0] == IN_DENIAL)
		return h->key[1] ? 33 + e->j->g->p.zone_len : wire_octets(h->key + 2, h->klen - 2);
	return wire_octets(h->key + 1, h->klen - 4);
}

bool gentry_names(const uint8_t *key, size_t klen)
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
	if (!h->key || !gentry_names(h->key, h->klen))
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

bool gentry_next(struct gentry *e, int half)
{
	struct ghalf *h = &e->half[half];

	h->have = false;
	if (h->broken || e->j->err)
		return false;
	if (!h->left) {
		if (!at_end(h))
			half_break(e, h);
		return false;
	}
	if ((!rd_left(&h->r) && half_load(e, h, h->chunk + 1, CHUNK_HEAD)) || !read_record(h)) {
		half_break(e, h);
		return false;
	}
	h->left--;
	h->have = true;
	e->octets += owner_octets(e, h) + 10 + h->rec.len;
	return true;
}

static void half_begin(struct gentry *e, int half, uint32_t n, uint32_t chunk, size_t at)
{
	struct ghalf *h = &e->half[half];

	h->flag = half == CAME ? EF_ADDED : 0;
	h->left = n;
	if (half_load(e, h, chunk, at))
		half_break(e, h);
	else
		gentry_next(e, half);
}

static bool read_head(struct gentry *e)
{
	uint8_t key[GCHUNK_KEY];
	struct kv_item it;
	struct rd r;

	if (!gjob_get(e->j, e->kv, key, gentry_key(e, 0, key), &it))
		return false;
	r = rd_init(it.val, it.vlen);
	rd_bytes(&r, CHUNK_HEAD);
	e->head.first = rd_u64(&r);
	e->head.from = rd_u32(&r);
	e->head.to = rd_u32(&r);
	e->head.from_upstream = rd_u32(&r);
	e->head.to_upstream = rd_u32(&r);
	rd_u64(&r); /* time */
	e->head.kind = rd_u8(&r);
	e->head.octets = rd_u64(&r);
	e->head.removed = rd_u32(&r);
	e->head.added = rd_u32(&r);
	e->head.chunks = rd_u32(&r);
	e->head.stored = rd_u64(&r);
	e->head.added_chunk = rd_u32(&r);
	e->head.added_at = rd_u32(&r);
	return !r.err;
}

static size_t last_end(struct gentry *e)
{
	uint8_t key[GCHUNK_KEY];
	struct kv_item it;

	return gjob_get(e->j, e->kv, key, gentry_key(e, e->chunks - 1, key), &it) ? it.vlen : 0;
}

/* Where nothing was added, the head has no place where that begins: what was removed goes on to the end. */
void gentry_open(struct gentry *e)
{
	uint32_t end_chunk = e->chunks - 1;
	size_t end_at = last_end(e);
	bool adds;

	if (!read_head(e)) {
		gentry_say(e, "its head does not parse");
		e->half[GONE].broken = e->half[CAME].broken = true;
		return;
	}
	if (e->head.chunks != e->chunks || e->head.stored != e->stored)
		gentry_say(e, "its size is not what its head says");
	adds = e->head.added;
	e->half[GONE].end_chunk = adds ? e->head.added_chunk : end_chunk;
	e->half[GONE].end_at = adds ? e->head.added_at : end_at;
	e->half[CAME].end_chunk = end_chunk;
	e->half[CAME].end_at = end_at;
	half_begin(e, GONE, e->head.removed, 0, CHUNK_HEAD + HEAD_LEN);
	if (adds)
		half_begin(e, CAME, e->head.added, e->head.added_chunk, e->head.added_at);
}
