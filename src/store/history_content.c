/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * An older version's content, of any size: three streams in one order, RECORDS of the live version and the
 * two halves of the difference that leads back. What goes must be there, octet for octet: history that does
 * not fit what is stored is not applied. Called for a rollback that is too large for one version.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "history_priv.h"

/* One half of the difference; its record is borrowed until the next step. */
struct half {
	struct diff *d;
	bool added, have;
	const struct hrec *rec;
};

struct content {
	struct half gone, came;
	struct kv *kv;
	struct kv_item at;
	bool have;
	struct hset set;
	uint8_t key[KEY_MAX]; /* of the RRset in hand */
	size_t klen;
	uint8_t zone[NAME_MAX_WIRE];
	uint8_t owner[NAME_MAX_WIRE];
	history_rr_fn fn;
	void *ctx;
};

/* The next record of this half; what stands before it in the stream is passed. */
static int half_next(struct half *h)
{
	bool added;
	int rc;

	do
		rc = hdiff_next_rec(h->d, &h->rec, &added);
	while (!rc && h->added && !added);
	h->have = !rc && added == h->added;
	return rc == ZS_ENOENT ? 0 : rc;
}

static int half_open(struct half *h, bool added, int (*open)(void *ctx, struct kv **out), void *ctx,
		     uint64_t now, uint64_t version)
{
	struct kv *kv = NULL;
	int rc = open(ctx, &kv);

	if (rc)
		return rc;
	h->added = added;
	rc = userdiff_open(kv, now, version, UINT64_MAX, &h->d);
	if (rc)
		kv_close(kv);
	return rc ? rc : half_next(h);
}

static int took(struct content *c, int rc)
{
	c->have = rc == 0 && c->at.klen > 0 && c->at.key[0] == TAB_RECORDS;
	return rc == ZS_ENOENT ? 0 : rc;
}

static int give(struct content *c, const struct hrec *r)
{
	struct rr rr;
	int rc = hrec_rr(r, c->zone, c->owner, &rr);

	return rc ? rc : c->fn(c->ctx, &rr);
}

/* The SOA stands first in its half; the one that goes is not among what hset_fill() gives. */
static int pass_soa(struct content *c)
{
	int rc = 0;

	if (c->gone.have && hrec_is_soa(c->gone.rec))
		rc = half_next(&c->gone);
	if (!rc && c->came.have && hrec_is_soa(c->came.rec)) {
		rc = give(c, c->came.rec);
		if (!rc)
			rc = half_next(&c->came);
	}
	return rc;
}

static void lowest(struct content *c, const uint8_t *key, size_t klen)
{
	if (c->klen && okey_cmp(key, klen, c->key, c->klen) >= 0)
		return;
	memcpy(c->key, key, klen);
	c->klen = klen;
}

static bool is_here(const struct content *c, const struct half *h)
{
	return h->have && h->rec->klen == c->klen && memcmp(h->rec->key, c->key, c->klen) == 0;
}

/* Stored records without those that go: both stand in the same order. */
static int stored(struct content *c)
{
	int rc = 0;

	for (size_t i = 0; !rc && i < c->set.n; i++) {
		if (is_here(c, &c->gone) && hrec_cmp(&c->set.rec[i], c->gone.rec) == 0)
			rc = half_next(&c->gone);
		else
			rc = give(c, &c->set.rec[i]);
	}
	return !rc && is_here(c, &c->gone) ? ZS_EFORMAT : rc;
}

static int one_set(struct content *c)
{
	bool here = c->have && c->at.klen == c->klen && memcmp(c->at.key, c->key, c->klen) == 0;
	int rc = 0;

	c->set.n = 0;
	if (here)
		rc = hset_fill(&c->set, HISTORY_UPSTREAM, c->at.key, c->at.klen, c->at.val, c->at.vlen);
	if (!rc)
		rc = stored(c);
	while (!rc && is_here(c, &c->came)) {
		rc = give(c, c->came.rec);
		if (!rc)
			rc = half_next(&c->came);
	}
	return !rc && here ? took(c, kv_next(c->kv, &c->at)) : rc;
}

static int run(struct content *c)
{
	static const uint8_t first = TAB_RECORDS;
	int rc = pass_soa(c);

	if (!rc)
		rc = took(c, kv_seek(c->kv, &first, 1, &c->at));
	while (!rc && (c->have || c->gone.have || c->came.have)) {
		c->klen = 0;
		if (c->have)
			lowest(c, c->at.key, c->at.klen);
		if (c->gone.have)
			lowest(c, c->gone.rec->key, c->gone.rec->klen);
		if (c->came.have)
			lowest(c, c->came.rec->key, c->came.rec->klen);
		rc = one_set(c);
	}
	return rc;
}

int history_content(int (*open)(void *ctx, struct kv **out), void *open_ctx, uint64_t now, uint64_t version,
		    history_rr_fn fn, void *ctx)
{
	struct content *c = calloc(1, sizeof *c);
	uint8_t soa[KEY_MAX];
	size_t klen;
	int rc = c ? open(open_ctx, &c->kv) : ZS_ENOMEM;

	if (!rc) {
		c->fn = fn;
		c->ctx = ctx;
		rc = hsoa_find(c->kv, soa, &klen, c->zone);
	}
	if (!rc)
		rc = half_open(&c->gone, false, open, open_ctx, now, version);
	if (!rc)
		rc = half_open(&c->came, true, open, open_ctx, now, version);
	if (!rc && !c->gone.have && !c->came.have)
		rc = ZS_EEXIST;
	if (!rc)
		rc = run(c);
	if (c) {
		diff_close(c->gone.d);
		diff_close(c->came.d);
		kv_close(c->kv);
		hset_free(&c->set);
	}
	free(c);
	return rc;
}
