/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Entries of history as stored. An entry is a run of chunks under table + u64 version + u32 chunk:
 *
 *   u8  format = 1
 *   u32 CRC-32C of the format octet, the key and everything behind the CRC
 *   chunk 0: the head: u64 first version, u32 signed serial from, to, u32 upstream serial from, to,
 *       u64 time, u8 kind, u64 octets, u32 removed, u32 added, u32 chunks, u64 stored,
 *       u32 chunk and u32 offset in its value where the added records begin
 *   records: u8 flags (REC_*), [u16 length + key of the RRset, [u8 length + owner]], u32 TTL,
 *       u16 length, RDATA
 *
 * Removed records stand before added ones, each half in the order of hrec_cmp(): a reader streams, and
 * several entries merge as sorted runs. A chunk is read alone: its first record names its key. Called by the
 * rest of history; what is read is trusted for nothing.
 */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "history_priv.h"

#define CHUNK_FORMAT 1
#define CHUNK_HEAD 5
#define HEAD_LEN 69

#define REC_ADDED 0x01
#define REC_SIG 0x02
#define REC_OWNER 0x04 /* the owner is not all lower case */
#define REC_SAME 0x08  /* key and owner are those of the record before */
#define REC_KNOWN 0x0f

uint8_t table_octet(enum history_table t)
{
	return t == HISTORY_SERVED ? TAB_HISTORY : TAB_USERDIFF;
}

static uint32_t chunk_crc(const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	uint32_t crc = crc32c(crc32c(0, val, 1), key, klen);

	return crc32c(crc, val + CHUNK_HEAD, vlen - CHUNK_HEAD);
}

/* --- the head ------------------------------------------------------------------------------------------- */

static void head_write(struct wr *w, const struct hentry *e)
{
	const struct history_head *h = &e->head;

	wr_u64(w, h->first);
	wr_u32(w, h->from_serial);
	wr_u32(w, h->to_serial);
	wr_u32(w, h->from_upstream);
	wr_u32(w, h->to_upstream);
	wr_u64(w, (uint64_t)h->time);
	wr_u8(w, h->kind);
	wr_u64(w, h->octets);
	wr_u32(w, h->removed);
	wr_u32(w, h->added);
	wr_u32(w, h->chunks);
	wr_u64(w, h->stored);
	wr_u32(w, e->added_chunk);
	wr_u32(w, e->added_at);
}

static int head_read(struct rd *r, uint64_t version, struct hentry *e)
{
	struct hentry got = { .head.version = version };
	struct history_head *h = &got.head;

	h->first = rd_u64(r);
	h->from_serial = rd_u32(r);
	h->to_serial = rd_u32(r);
	h->from_upstream = rd_u32(r);
	h->to_upstream = rd_u32(r);
	h->time = (int64_t)rd_u64(r);
	h->kind = rd_u8(r);
	h->octets = rd_u64(r);
	h->removed = rd_u32(r);
	h->added = rd_u32(r);
	h->chunks = rd_u32(r);
	h->stored = rd_u64(r);
	got.added_chunk = rd_u32(r);
	got.added_at = rd_u32(r);
	if (r->err || h->chunks == 0 || h->first > version || (h->added && got.added_chunk >= h->chunks))
		return ZS_EFORMAT;
	*e = got;
	return 0;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static void chunk_begin(struct hwriter *w)
{
	w->cur = wr_growing(CHUNK_MAX);
	w->have_last = false;
	wr_u8(&w->cur, CHUNK_FORMAT);
	wr_u32(&w->cur, 0);
	if (w->e.head.chunks == 0)
		head_write(&w->cur, &w->e);
}

static int chunk_put(struct hwriter *w, struct wr *c, uint32_t chunk)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_chunk(key, w->table, w->e.head.version, chunk);

	if (c->err)
		return c->err;
	wr_put_u32(c, 1, chunk_crc(key, klen, c->p, c->len));
	if (w->kv)
		return kv_put(w->kv, key, klen, c->p, c->len);
	if (!w->build)
		return 0;
	return chunk ? build_append(w->build, key, klen, c->p, c->len)
		     : build_put(w->build, key, klen, c->p, c->len); /* comes last */
}

/* The current chunk is full: the first one stays in memory until its head is known. */
static int chunk_end(struct hwriter *w)
{
	uint32_t n = w->e.head.chunks++;
	int rc = 0;

	w->e.head.stored += 13 + w->cur.len;
	if (n == 0) {
		w->first = w->cur;
		w->cur = wr_growing(0);
		return w->first.err;
	}
	rc = chunk_put(w, &w->cur, n);
	wr_free(&w->cur);
	return rc;
}

void hwriter_begin(struct hwriter *w, struct kv *kv, enum history_table t, const struct history_head *h,
		   const uint8_t *zone)
{
	memset(w, 0, sizeof *w);
	w->kv = kv;
	w->table = table_octet(t);
	w->e.head = *h;
	w->e.head.octets = w->e.head.stored = 0;
	w->e.head.removed = w->e.head.added = w->e.head.chunks = 0;
	w->zone = zone;
	chunk_begin(w);
}

static bool same_place(const struct hwriter *w, const struct hrec *r)
{
	const struct hrec *l = &w->last;

	if (!w->have_last || l->klen != r->klen || memcmp(l->key, r->key, r->klen) != 0)
		return false;
	if (!l->owner || !r->owner)
		return !l->owner && !r->owner;
	return name_len(l->owner) == name_len(r->owner) &&
	       memcmp(l->owner, r->owner, name_len(r->owner)) == 0;
}

static void keep_place(struct hwriter *w, const struct hrec *r)
{
	memcpy(w->key, r->key, r->klen);
	w->last = (struct hrec){ .key = w->key, .klen = r->klen };
	if (r->owner) {
		memcpy(w->owner, r->owner, name_len(r->owner));
		w->last.owner = w->owner;
	}
	w->have_last = true;
}

static void put_record(struct hwriter *w, const struct hrec *r, bool added, bool same)
{
	struct wr *c = &w->cur;
	size_t olen = r->owner ? name_len(r->owner) : 0;

	wr_u8(c, (uint8_t)((added ? REC_ADDED : 0) | (r->sig ? REC_SIG : 0) | (same ? REC_SAME : 0) |
			   (!same && olen ? REC_OWNER : 0)));
	if (!same) {
		wr_u16(c, r->klen);
		wr_bytes(c, r->key, r->klen);
		if (olen) {
			wr_u8(c, (uint8_t)olen);
			wr_bytes(c, r->owner, olen);
		}
		keep_place(w, r);
	}
	wr_u32(c, r->ttl);
	wr_u16(c, r->rdlen);
	wr_bytes(c, r->rdata, r->rdlen);
}

int hwriter_add(struct hwriter *w, const struct hrec *r, bool added)
{
	struct history_head *h = &w->e.head;
	bool same = same_place(w, r);
	size_t room = 7u + r->rdlen + (same ? 0 : 2u + r->klen + (r->owner ? 1 + name_len(r->owner) : 0));
	int rc;

	if ((added ? h->added : h->removed) == UINT32_MAX)
		return ZS_ELIMIT;
	if (w->have_last && w->cur.len + room > CHUNK_FILL) {
		rc = chunk_end(w);
		if (rc)
			return rc;
		chunk_begin(w);
		same = false;
	}
	if (added && !w->any_added) {
		w->any_added = true;
		w->e.added_chunk = h->chunks;
		w->e.added_at = (uint32_t)w->cur.len;
		same = false; /* where a reader may begin */
	}
	put_record(w, r, added, same);
	if (added)
		h->added++;
	else
		h->removed++;
	rc = hrec_octets(r, w->zone, &h->octets);
	return rc ? rc : w->cur.err;
}

static int write_first(struct hwriter *w)
{
	struct wr head;

	head = wr_fixed(w->first.p + CHUNK_HEAD, HEAD_LEN);
	head_write(&head, &w->e);
	return head.err ? ZS_EINVAL : chunk_put(w, &w->first, 0);
}

int hwriter_end(struct hwriter *w, int err, struct history_head *h)
{
	bool any = w->e.head.removed || w->e.head.added;
	int rc = err;

	if (!rc && any)
		rc = chunk_end(w);
	if (!rc && any)
		rc = write_first(w);
	if (rc && w->kv && w->e.head.chunks > 0)
		hentry_delete(w->kv, w->table, w->e.head.version);
	wr_free(&w->first);
	wr_free(&w->cur);
	if (!rc && h)
		*h = w->e.head;
	return rc;
}

/* --- entries -------------------------------------------------------------------------------------------- */

/* ZS_ENOENT for another table, ZS_EFORMAT for what is no key of a chunk. */
static int split_key(const struct kv_item *it, uint8_t table, uint64_t *version)
{
	if (it->klen == 0 || it->key[0] != table)
		return ZS_ENOENT;
	if (it->klen != 13)
		return ZS_EFORMAT;
	*version = be64(it->key + 1);
	return 0;
}

int hentry_below(struct kv *kv, uint8_t table, uint64_t below, uint64_t *version)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int rc = kv_seek_lt(kv, key, key_chunk(key, table, below, 0), &it);

	return rc ? rc : split_key(&it, table, version);
}

int hentry_from(struct kv *kv, uint8_t table, uint64_t from, uint64_t *version)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int rc = kv_seek(kv, key, key_chunk(key, table, from, 0), &it);

	return rc ? rc : split_key(&it, table, version);
}

int hentry_delete(struct kv *kv, uint8_t table, uint64_t version)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_chunk(key, table, version, 0);
	struct kv_item it;
	uint64_t at;
	int rc = kv_seek(kv, key, klen, &it);

	while (!rc) {
		rc = split_key(&it, table, &at);
		if (rc || at != version)
			break;
		memcpy(key, it.key, klen);
		rc = kv_del(kv, key, klen);
		if (!rc)
			rc = kv_seek(kv, key, klen, &it);
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

uint64_t hentry_stored(struct kv *kv, uint8_t table, uint64_t version)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	uint64_t sum = 0, at;
	int rc = kv_seek(kv, key, key_chunk(key, table, version, 0), &it);

	while (!rc && split_key(&it, table, &at) == 0 && at == version) {
		sum += it.klen + it.vlen;
		rc = kv_next(kv, &it);
	}
	return sum;
}

/* A chunk, checked; *r stands behind its format and CRC. A missing one is damage. */
static int chunk_get(struct kv *kv, uint8_t table, uint64_t version, uint32_t chunk, struct rd *r)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_chunk(key, table, version, chunk);
	struct kv_item it;
	int rc = kv_get(kv, key, klen, &it);

	if (rc)
		return rc == ZS_ENOENT ? ZS_EFORMAT : rc;
	if (it.vlen < CHUNK_HEAD || be32(it.val + 1) != chunk_crc(key, klen, it.val, it.vlen))
		return ZS_ECRC;
	if (it.val[0] != CHUNK_FORMAT)
		return ZS_EVERSION;
	*r = rd_init(it.val, it.vlen);
	rd_bytes(r, CHUNK_HEAD);
	return 0;
}

int hentry_read(struct kv *kv, uint8_t table, uint64_t version, struct hentry *e)
{
	struct rd r;
	int rc = chunk_get(kv, table, version, 0, &r);

	return rc ? rc : head_read(&r, version, e);
}

/* --- reading records ------------------------------------------------------------------------------------ */

void hcur_init(struct hcur *c, struct kv *kv, uint8_t table, const struct hentry *e, bool added)
{
	*c = (struct hcur){ .kv = kv, .table = table, .added = added, .version = e->head.version,
			    .chunks = e->head.chunks, .left = added ? e->head.added : e->head.removed };
	c->chunk = added ? e->added_chunk : 0;
	c->at = added ? e->added_at : CHUNK_HEAD + HEAD_LEN;
}

void hcur_free(struct hcur *c)
{
	free(c->buf);
	c->buf = NULL;
}

/* Chunk c->chunk into memory: other calls on kv may come before the record is used up. */
static int cur_load(struct hcur *c, size_t at)
{
	struct rd r;
	size_t len;
	int rc;

	if (c->chunk >= c->chunks)
		return ZS_EFORMAT;
	rc = chunk_get(c->kv, c->table, c->version, c->chunk, &r);
	if (rc)
		return rc;
	len = rd_left(&r) + CHUNK_HEAD;
	if (at >= len)
		return ZS_EFORMAT;
	free(c->buf);
	c->buf = malloc(len);
	if (!c->buf)
		return ZS_ENOMEM;
	memcpy(c->buf, r.p - CHUNK_HEAD, len);
	c->rd = rd_init(c->buf + at, len - at);
	c->rec = (struct hrec){ 0 };
	return 0;
}

static int read_place(struct rd *r, bool owner, struct hrec *rec)
{
	uint8_t olen;

	rec->klen = rd_u16(r);
	rec->key = rd_bytes(r, rec->klen);
	rec->owner = NULL;
	if (!rec->key || rec->klen > KEY_MAX)
		return ZS_EFORMAT;
	if (!owner)
		return 0;
	olen = rd_u8(r);
	rec->owner = rd_bytes(r, olen);
	return rec->owner ? name_check(rec->owner, olen) : ZS_EFORMAT;
}

static int read_record(struct hcur *c)
{
	struct rd *r = &c->rd;
	struct hrec rec = c->rec;
	uint8_t flags = rd_u8(r);
	int rc = 0;

	if (flags & ~REC_KNOWN || !!(flags & REC_ADDED) != c->added)
		return ZS_EFORMAT;
	if (!(flags & REC_SAME))
		rc = read_place(r, flags & REC_OWNER, &rec);
	else if (!rec.key || flags & REC_OWNER)
		rc = ZS_EFORMAT;
	if (rc)
		return ZS_EFORMAT;
	rec.sig = flags & REC_SIG;
	rec.ttl = rd_u32(r);
	rec.rdlen = rd_u16(r);
	rec.rdata = rd_bytes(r, rec.rdlen);
	if (r->err)
		return ZS_EFORMAT;
	c->rec = rec;
	return 0;
}

int hcur_next(struct hcur *c)
{
	int rc = 0;

	if (c->left == 0)
		return ZS_ENOENT;
	if (!c->buf) {
		rc = cur_load(c, c->at);
	} else if (rd_left(&c->rd) == 0) {
		c->chunk++;
		rc = cur_load(c, CHUNK_HEAD);
	}
	if (!rc)
		rc = read_record(c);
	if (!rc)
		c->left--;
	return rc;
}
