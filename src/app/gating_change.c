/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate over a change in pieces: ranges of the changed keys, which workers that are free check side by
 * side with the one that commits, each with its own handle on the view. Nothing is written to the view
 * meanwhile. Called by version_commit.c.
 */
#include <string.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/share.h"
#include "faultmark.h"
#include "gating.h"

#define PIECE_KEYS 64   /* at least: a call of the gate has a price of its own */
#define KEYS_OCTETS (64u << 20)

struct pieces {
	struct gate *g;
	const uint8_t *wire;
	struct wr keys;              /* u16 length and octets each, in order */
	struct wr begin;             /* u32 each: where a piece begins in keys */
	const struct gating_says *says;
	struct kv *kv[1 + SHARE_HELPERS];
	atomic_int err;
};

/* --- the keys ------------------------------------------------------------------------------------------- */

/* Of one owner: all but the types are the same. */
static bool is_together(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	return a && alen == blen && alen > 2 && a[0] == TAB_RECORDS && memcmp(a, b, alen - 2) == 0;
}

static int collect(struct pieces *p, struct view *v)
{
	const uint8_t *key, *val;
	size_t klen, vlen, n = 0, last = 0, last_len = 0;
	bool deleted;
	void *pos = NULL;
	int err;

	while (!(err = view_next_change(v, &pos, &key, &klen, &val, &vlen, &deleted))) {
		if (n == 0 || (n >= PIECE_KEYS && !is_together(p->keys.p + last, last_len, key, klen))) {
			wr_u32(&p->begin, (uint32_t)p->keys.len);
			n = 0;
		}
		n++;
		last = p->keys.len + 2;
		last_len = klen;
		wr_u16(&p->keys, (uint16_t)klen);
		wr_bytes(&p->keys, key, klen);
		if (p->keys.err || p->begin.err)
			return ZS_ENOMEM;
	}
	return err == ZS_ENOENT ? 0 : err;
}

static int next_key(void *ctx, const uint8_t **key, size_t *klen)
{
	struct rd *r = ctx;

	if (!rd_left(r))
		return ZS_ENOENT;
	*klen = rd_u16(r);
	*key = rd_bytes(r, *klen);
	return r->err;
}

/* --- the pieces ----------------------------------------------------------------------------------------- */

static int check_range(struct pieces *p, struct kv *kv, size_t i)
{
	size_t from = be32(p->begin.p + 4 * i);
	size_t to = 4 * (i + 1) < p->begin.len ? be32(p->begin.p + 4 * (i + 1)) : p->keys.len;
	struct rd r = rd_init(p->keys.p + from, to - from);

	return gate_change(p->g, kv, next_key, &r);
}

static int check_says(struct pieces *p, struct kv *kv)
{
	struct rd r = rd_init(p->keys.p, p->keys.len);

	return gate_step(p->g, kv, p->says->version, p->says->gaps, next_key, &r);
}

/* What it says of itself is the longest one, and comes first. */
static void check_piece(void *arg, unsigned who, size_t i)
{
	struct pieces *p = arg;
	int err, none = 0;

	if (atomic_load(&p->err))
		return;
	fault_zone(p->wire);
	if (p->says && i == 0)
		err = check_says(p, p->kv[who]);
	else
		err = check_range(p, p->kv[who], i - (p->says != NULL));
	if (err)
		atomic_compare_exchange_strong(&p->err, &none, err);
}

/* Handles of a view are opened and closed by one thread. */
static int check_all(struct pieces *p, struct pool *workers, struct view *v)
{
	size_t ranges = p->begin.len / 4;
	struct share_work w = { .piece = check_piece, .arg = p, .pieces = ranges + (p->says != NULL),
				.prio = POOL_URGENT };
	unsigned most = ranges > 1 ? share_helpers(workers) : 0, n = 0;
	struct share *s = NULL;
	int err = view_kv(v, &p->kv[0]);

	while (!err && n < most && view_kv(v, &p->kv[n + 1]) == 0)
		n++;
	if (!err && !(s = share_start(workers, n, &w)))
		err = ZS_ENOMEM;
	if (!err)
		share_join(s);
	share_end(s);
	for (unsigned i = 0; i <= n; i++)
		kv_close(p->kv[i]);
	return err ? err : atomic_load(&p->err);
}

int gating_change(struct gate *g, const uint8_t *zone, struct pool *workers, struct view *v,
		  const struct gating_says *says)
{
	struct pieces p = { .g = g, .wire = zone, .says = says,
			    .keys = wr_growing(KEYS_OCTETS), .begin = wr_growing(KEYS_OCTETS) };
	int err = collect(&p, v);

	if (!err)
		err = check_all(&p, workers, v);
	wr_free(&p.keys);
	wr_free(&p.begin);
	return err;
}
