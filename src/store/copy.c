/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reads one committed version through its snapshot, key by key in order, for whoever writes it anew: a backup
 * (backup.c), a generation that takes the place of a retired one (renew.c). Called by their workers.
 *
 * Handles are given back every few thousand items, so that a full map can grow meanwhile, and the copier's
 * patience ends where it is told to.
 */
#include <string.h>
#include <time.h>

#include "base/err.h"
#include "priv.h"

#define TURN_ITEMS 4096    /* items between two looks at the caller and at who wants the map */
#define TURN_OCTETS ((size_t)4 << 20)
#define BUSY_TRIES 3000    /* of BUSY_MS: all members of an old version are borrowed */
#define BUSY_MS 10

struct copier {
	struct snap *snap;
	const struct store_copy_opts *o;
	copy_put put;
	void *ctx;
	struct store_copied *out;
	/* where the next turn goes on */
	uint8_t last[KEY_OCTETS_MAX];
	size_t last_len;
	bool end;
};

static int tick(struct copier *c)
{
	return c->o->tick ? c->o->tick(c->o->ctx) : 0;
}

/* An old version has a fixed number of handles: who has them gives them back. */
static int handle(struct copier *c, struct kv **out)
{
	struct timespec ts = { .tv_nsec = BUSY_MS * 1000000L };
	int rc = ZS_EAGAIN;

	for (unsigned i = 0; rc == ZS_EAGAIN && i < BUSY_TRIES; i++) {
		rc = snap_kv(c->snap, out);
		if (rc != ZS_EAGAIN)
			break;
		nanosleep(&ts, NULL);
		if (tick(c))
			rc = ZS_ECANCEL;
	}
	return rc;
}

static int place(struct copier *c, struct kv *kv, struct kv_item *it)
{
	static const uint8_t first = TAB_USER_MIN;
	int rc;

	if (!c->last_len)
		return kv_seek(kv, &first, 1, it);
	rc = kv_seek(kv, c->last, c->last_len, it);
	if (!rc && (it->klen != c->last_len || memcmp(it->key, c->last, it->klen) != 0))
		return ZS_ECRC; /* a snapshot does not lose keys */
	return rc ? rc : kv_next(kv, it);
}

static int take(struct copier *c, const struct kv_item *it)
{
	int rc = it->klen > KEY_OCTETS_MAX ? ZS_ECRC : 0;

	if (!rc && c->o->check)
		rc = c->o->check(it);
	return rc ? rc : c->put(c->ctx, it);
}

/* As many items as one turn may have. */
static int turn(struct copier *c)
{
	struct kv *kv = NULL;
	struct kv_item it;
	size_t octets = 0;
	int rc = handle(c, &kv), put = 0;

	if (rc)
		return rc;
	rc = place(c, kv, &it);
	for (unsigned n = 0; !rc && n < TURN_ITEMS && octets < TURN_OCTETS; n++) {
		rc = put = take(c, &it);
		if (rc)
			break;
		octets += it.klen + it.vlen;
		c->out->items++;
		memcpy(c->last, it.key, it.klen);
		c->last_len = it.klen;
		rc = kv_next(kv, &it);
	}
	kv_close(kv);
	c->out->octets += octets;
	c->end = rc == ZS_ENOENT && !put;
	if (c->end)
		rc = 0;
	return rc ? rc : tick(c);
}

int copy_items(struct snap *sn, const struct store_copy_opts *o, copy_put put, void *ctx,
	       struct store_copied *out)
{
	struct copier c = { .snap = sn, .o = o, .put = put, .ctx = ctx, .out = out };
	int rc = 0;

	while (!rc && !c.end)
		rc = turn(&c);
	return rc;
}
