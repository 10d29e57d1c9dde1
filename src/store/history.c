/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The totals of history, the list of entries, and trimming. META "history":
 *
 *   u8 format = 1, u32 CRC-32C over the format octet and what follows the CRC, then for HISTORY (tag 1) and
 *   USERDIFF (tag 2): u8 tag, u16 length, u64 entries, octets, since, oldest, newest, looked
 *
 * Entries below `oldest` are gone, though their chunks may not be deleted yet: dropping is a number, deleting
 * comes behind it in bounded portions. Called by whoever prepares a version, and for `zone history`.
 */
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "history_priv.h"

#define TOTALS_FORMAT 1
#define TOTALS_HEAD 5
#define TOTALS_FIELDS 6
#define TRIM_ENTRIES 64 /* a call */
#define TRIM_CHUNKS 256

static const uint8_t totals_key[] = { TAB_META, 'h', 'i', 's', 't', 'o', 'r', 'y' };

/* --- totals --------------------------------------------------------------------------------------------- */

static uint32_t totals_crc(const uint8_t *rec, size_t len)
{
	return crc32c(crc32c(0, rec, 1), rec + TOTALS_HEAD, len - TOTALS_HEAD);
}

static void table_read(struct rd *r, struct history_total *t)
{
	t->entries = rd_u64(r);
	t->octets = rd_u64(r);
	t->since = rd_u64(r);
	t->oldest = rd_u64(r);
	t->newest = rd_u64(r);
	t->looked = rd_u64(r);
}

int history_totals(struct kv *kv, struct history_total out[static 2])
{
	struct history_total got[2] = { 0 };
	struct kv_item it;
	struct rd r;
	int rc = kv_get(kv, totals_key, sizeof totals_key, &it);

	if (rc && rc != ZS_ENOENT)
		return rc;
	if (!rc) {
		if (it.vlen < TOTALS_HEAD || be32(it.val + 1) != totals_crc(it.val, it.vlen))
			return ZS_ECRC;
		if (it.val[0] != TOTALS_FORMAT)
			return ZS_EVERSION;
		r = rd_init(it.val + TOTALS_HEAD, it.vlen - TOTALS_HEAD);
		for (unsigned i = 0; i < 2; i++) {
			if (rd_u8(&r) != i + 1 || rd_u16(&r) != TOTALS_FIELDS * 8)
				return r.err ? ZS_EFORMAT : ZS_EVERSION;
			table_read(&r, &got[i]);
		}
		if (rd_done(&r))
			return ZS_EFORMAT;
	}
	memcpy(out, got, sizeof got);
	return 0;
}

size_t totals_encode(const struct history_total t[static 2], uint8_t out[static TOTALS_MAX])
{
	struct wr w = wr_fixed(out, TOTALS_MAX);

	wr_u8(&w, TOTALS_FORMAT);
	wr_u32(&w, 0);
	for (unsigned i = 0; i < 2; i++) {
		wr_u8(&w, (uint8_t)(i + 1));
		wr_u16(&w, TOTALS_FIELDS * 8);
		wr_u64(&w, t[i].entries);
		wr_u64(&w, t[i].octets);
		wr_u64(&w, t[i].since);
		wr_u64(&w, t[i].oldest);
		wr_u64(&w, t[i].newest);
		wr_u64(&w, t[i].looked);
	}
	wr_put_u32(&w, 1, totals_crc(out, w.len));
	return w.len;
}

int totals_put(struct kv *kv, const struct history_total t[static 2])
{
	uint8_t rec[TOTALS_MAX];

	return kv_put(kv, totals_key, sizeof totals_key, rec, totals_encode(t, rec));
}

/* --- the list ------------------------------------------------------------------------------------------- */

int history_each(struct kv *kv, enum history_table table, bool newest_first, history_fn fn, void *ctx)
{
	uint8_t octet = table_octet(table);
	struct history_total t[2];
	uint64_t at;
	struct hentry e;
	int rc = history_totals(kv, t);

	if (rc)
		return rc;
	at = newest_first ? UINT64_MAX : t[table].oldest;
	for (;;) {
		rc = newest_first ? hentry_below(kv, octet, at, &at) : hentry_from(kv, octet, at, &at);
		if (rc || at < t[table].oldest)
			break;
		rc = hentry_read(kv, octet, at, &e);
		if (!rc)
			rc = fn(ctx, &e.head);
		if (rc)
			return rc;
		at += newest_first ? 0 : 1;
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

/* --- trimming ------------------------------------------------------------------------------------------- */

struct bounds {
	uint64_t versions, bytes;
	int64_t before; /* older than this goes */
};

static bool over(const struct history_total *t, const struct bounds *b, int64_t time)
{
	return t->entries > b->versions || t->octets > b->bytes || time < b->before;
}

int totals_drop(struct kv *kv, uint8_t table, struct history_total *t, uint64_t version, uint64_t stored)
{
	uint64_t next;
	int rc = hentry_from(kv, table, version + 1, &next);

	if (rc && rc != ZS_ENOENT)
		return rc;
	if (rc == ZS_ENOENT) { /* none is left, whatever the counts say */
		next = version + 1;
		t->entries = 1;
		t->octets = stored;
	}
	t->entries -= t->entries > 0;
	t->octets -= stored < t->octets ? stored : t->octets;
	t->oldest = next;
	t->since = version > t->since ? version : t->since;
	return 0;
}

static int drop_entries(struct kv *kv, uint8_t table, struct history_total *t, const struct bounds *b)
{
	struct hentry e;
	uint64_t version;
	int rc = 0;

	for (unsigned i = 0; i < TRIM_ENTRIES && t->entries && !rc; i++) {
		rc = hentry_from(kv, table, t->oldest, &version);
		if (rc)
			break;
		rc = hentry_read(kv, table, version, &e);
		/* damage must not hold up the rest */
		if (rc == ZS_ECRC || rc == ZS_EFORMAT || rc == ZS_EVERSION) {
			e = (struct hentry){ .head.time = INT64_MIN };
			e.head.stored = hentry_stored(kv, table, version);
			rc = 0;
		}
		if (rc || !over(t, b, e.head.time))
			break;
		rc = totals_drop(kv, table, t, version, e.head.stored);
	}
	if (rc == ZS_ENOENT) { /* counted, and not there */
		t->entries = t->octets = 0;
		rc = 0;
	}
	return rc;
}

/* Chunks of entries that are gone stand at the front of their table. */
static int delete_chunks(struct kv *kv, uint8_t table, uint64_t oldest, uint64_t budget)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_chunk(key, table, 0, 0);
	struct kv_item it;
	int rc = kv_seek(kv, key, klen, &it);

	while (!rc && budget-- && it.key[0] == table && it.klen == 13 && be64(it.key + 1) < oldest) {
		memcpy(key, it.key, klen);
		rc = kv_del(kv, key, klen);
		if (!rc)
			rc = kv_seek(kv, key, klen, &it);
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

static uint64_t budget_of(struct kv *kv, uint8_t table, const struct history_total *t)
{
	struct hentry e;

	if (t->entries == 0 || hentry_read(kv, table, t->newest, &e))
		return TRIM_CHUNKS;
	return TRIM_CHUNKS + 2 * (uint64_t)e.head.chunks;
}

static int trim_table(struct kv *kv, enum history_table table, struct history_total *t,
		      const struct bounds *b)
{
	uint8_t octet = table_octet(table);
	int rc = drop_entries(kv, octet, t, b);

	return rc ? rc : delete_chunks(kv, octet, t->oldest, budget_of(kv, octet, t));
}

int history_trim(struct view *v, const struct history_limits *lim, int64_t now)
{
	struct bounds served = { lim->versions, lim->bytes, now - lim->age_s };
	struct bounds user = { lim->versions, lim->user_bytes, now - lim->age_s };
	struct history_total was[2], t[2];
	struct kv *kv;
	int rc = view_kv(v, &kv);

	if (rc)
		return rc;
	rc = history_totals(kv, was);
	memcpy(t, was, sizeof t);
	if (!rc)
		rc = trim_table(kv, HISTORY_SERVED, &t[HISTORY_SERVED], &served);
	if (!rc || rc == ZS_ELIMIT) {
		int rc2 = trim_table(kv, HISTORY_UPSTREAM, &t[HISTORY_UPSTREAM], &user);

		rc = rc2 ? rc2 : rc;
	}
	if ((!rc || rc == ZS_ELIMIT) && memcmp(t, was, sizeof t) != 0)
		rc = totals_put(kv, t);
	kv_close(kv);
	return rc == ZS_ELIMIT ? 0 : rc;
}
