/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a build says it changed, against what it changed: a build has no overlay, so both generations are
 * passed over in the order of their keys, RECORDS, DENIAL and history, and gate_step() is given each key
 * under which they differ. Values are compared as they were parsed, because each file numbers its expiry
 * index anew; what does not parse differs, and is said there. Memory: none of its own. Called once, before a
 * build is published.
 */
#include "gate_impl.h"

#define TICK_KEYS 1024

struct side {
	struct kv *kv;
	struct kv_item at;
	bool have;
};

struct both {
	struct side side[HALVES];
	bool passes[HALVES]; /* its item was given out or is done with */
	uint8_t first;       /* table to begin with; 0: both have begun */
	unsigned keys;
	int (*tick)(void *ctx);
	void *ctx;
};

static int side_took(struct side *s, int rc)
{
	static const uint8_t behind = IN_HISTORY;

	if (!rc && s->at.klen && s->at.key[0] == IN_EXPIRY)
		rc = kv_seek(s->kv, &behind, 1, &s->at);
	s->have = !rc && s->at.klen && s->at.klen <= GKEY_MAX && s->at.key[0] <= IN_USERDIFF;
	return rc == ZS_ENOENT ? 0 : rc;
}

static int side_move(struct both *b, int half)
{
	struct side *s = &b->side[half];

	if (b->first)
		return side_took(s, kv_seek(s->kv, &b->first, 1, &s->at));
	return b->passes[half] ? side_took(s, kv_next(s->kv, &s->at)) : 0;
}

static bool same_rest(const struct rd *a, const struct rd *b)
{
	return gsame(a->p, rd_left(a), b->p, rd_left(b));
}

static bool same_value(const struct kv_item *a, const struct kv_item *b)
{
	struct gval x, y;

	if (gsame(a->val, a->vlen, b->val, b->vlen))
		return true;
	if (a->key[0] >= IN_HISTORY || gval_parse(&x, a->val, a->vlen) || gval_parse(&y, b->val, b->vlen))
		return false;
	return x.flags == y.flags && x.ttl == y.ttl && gsame(x.owner, x.owner_len, y.owner, y.owner_len) &&
	       same_rest(&x.rrs, &y.rrs) && same_rest(&x.sigs, &y.sigs);
}

/* The next key of either side into passes[]; true when there is a difference under it. */
static bool differs(struct both *b)
{
	const struct side *x = &b->side[GONE], *y = &b->side[CAME];
	int c = !x->have ? 1 : !y->have ? -1 : gcmp(x->at.key, x->at.klen, y->at.key, y->at.klen);

	b->passes[GONE] = c <= 0;
	b->passes[CAME] = c >= 0;
	return c != 0 || !same_value(&x->at, &y->at);
}

static int both_next(void *ctx, const uint8_t **key, size_t *klen)
{
	struct both *b = ctx;
	const struct side *s;
	int rc = 0;

	while (!rc) {
		for (int i = 0; !rc && i < HALVES; i++)
			rc = side_move(b, i);
		b->first = 0;
		if (!rc && b->tick && ++b->keys % TICK_KEYS == 0)
			rc = b->tick(b->ctx);
		if (!rc && !b->side[GONE].have && !b->side[CAME].have)
			rc = ZS_ENOENT;
		if (!rc && differs(b))
			break;
	}
	if (rc)
		return rc;
	s = &b->side[b->passes[GONE] ? GONE : CAME];
	*key = s->at.key;
	*klen = s->at.klen;
	return 0;
}

int gate_step_build(struct gate *g, struct kv *kv, struct kv *walk, uint64_t version, unsigned gaps,
		    int (*tick)(void *ctx), void *ctx)
{
	struct both b = { .first = gaps == (GATE_SERVED | GATE_UPSTREAM) ? IN_HISTORY : IN_RECORDS,
			   .tick = tick, .ctx = ctx };
	int rc = g->p.open_base ? g->p.open_base(g->p.base_ctx, &b.side[GONE].kv) : ZS_EINVAL;

	if (rc)
		return rc;
	b.side[CAME].kv = walk;
	rc = gate_step(g, kv, version, gaps, both_next, &b);
	kv_close(b.side[GONE].kv);
	return rc;
}
