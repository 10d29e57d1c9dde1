/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Plans, messages and answers of a group of RRsets. Everything lives in the group's arena; a group that fails
 * is dropped whole, nothing of it was written.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "signing.h"

struct signing *signing_new(const struct signer *signer, struct gate *gate, struct pool *pool,
			    const char *zone_name, atomic_ullong *next_seq)
{
	struct signing *g = calloc(1, sizeof(*g));

	if (g && !(g->mem = arena_new(0))) {
		free(g);
		g = NULL;
	}
	if (!g)
		return NULL;
	g->signer = signer;
	g->gate = gate;
	g->pool = pool;
	g->zone_name = zone_name;
	g->next_seq = next_seq;
	g->tail = &g->head;
	g->canon = wr_growing(TBS_MAX);
	return g;
}

void signing_free(struct signing *g)
{
	if (!g)
		return;
	free(g->req);
	free(g->again);
	free(g->again_of);
	wr_free(&g->canon);
	arena_free(g->mem);
	free(g);
}

static struct sign_req *req_new(struct signing *g)
{
	if (g->nreq == g->cap) {
		size_t cap = g->cap ? g->cap * 2 : 256;
		struct sign_req *more = realloc(g->req, cap * sizeof(*more));

		if (!more)
			return NULL;
		g->req = more;
		g->cap = cap;
	}
	memset(&g->req[g->nreq], 0, sizeof(*g->req));
	return &g->req[g->nreq++];
}

static uint16_t sig_room(uint8_t algorithm)
{
	switch (algorithm) {
	case ALG_ECDSAP256:
	case ALG_ED25519:
		return 64;
	case ALG_ECDSAP384:
		return 96;
	case ALG_ED448:
		return 114;
	default:
		return SIG_MAX;
	}
}

static int add_request(struct signing *g, const struct sign_want *w, const uint8_t *canon, size_t clen)
{
	const struct signer_key *k = &g->signer->key[w->key];
	struct sign_req *r = req_new(g);
	size_t len = w->hdr_len + clen;
	uint8_t *tbs = r ? arena_alloc(g->mem, len) : NULL;

	if (!tbs)
		return ZS_ENOMEM;
	if (len > TBS_MAX)
		return ZS_ELIMIT;
	memcpy(tbs, w->hdr, w->hdr_len);
	memcpy(tbs + w->hdr_len, canon, clen);
	memcpy(r->key, k->id, KEY_ID_LEN);
	r->tbs = tbs;
	r->tbs_len = (uint32_t)len;
	r->sig_cap = sig_room(k->algorithm);
	r->sig = arena_alloc(g->mem, r->sig_cap);
	g->octets += len;
	return r->sig ? 0 : ZS_ENOMEM;
}

static int add_wants(struct signing *g, struct signing_item *it)
{
	int err;

	g->canon.len = 0;
	err = rrset_canonical(&it->set, &g->canon, g->mem);
	if (!err)
		err = g->canon.err;
	for (unsigned i = 0; !err && i < it->plan.nwant; i++)
		err = add_request(g, &it->plan.want[i], g->canon.p, g->canon.len);
	return err;
}

/* Kept signatures go to the set at once; their room in the arena is the old RRset's. */
static int take_kept(struct signing *g, struct signing_item *it, const struct rrset *old)
{
	struct sign_plan *p = &it->plan;

	it->set.sig = arena_alloc(g->mem, (p->nkeep + p->nwant + 1) * sizeof(struct sig_item));
	if (!it->set.sig)
		return ZS_ENOMEM;
	it->set.nsig = (uint8_t)p->nkeep;
	for (unsigned i = 0; i < p->nkeep; i++)
		it->set.sig[i] = old->sig[p->keep[i]];
	return 0;
}

int signing_add(struct signing *g, const uint8_t *key, size_t klen, const struct rrset *set,
		const struct rrset *old, bool sign, int64_t due_within)
{
	struct signing_item *it = arena_zalloc(g->mem, sizeof(*it));
	int err = 0;

	if (!it)
		return ZS_ENOMEM;
	memcpy(it->key, key, klen);
	it->klen = klen;
	it->set = *set;
	it->set.nsig = 0;
	it->first_req = g->nreq;
	if (old) {
		it->old_time = old->exp_time;
		it->old_seq = old->exp_seq;
		it->old_nsig = old->nsig;
	}
	if (sign)
		err = sign_plan(g->signer, set, old, due_within, g->mem, &it->plan);
	if (!err)
		err = take_kept(g, it, old);
	if (!err && it->plan.nwant)
		err = add_wants(g, it);
	if (err)
		return err;
	g->kept += it->plan.nkeep;
	g->made[it->plan.reason] += it->plan.nwant;
	g->items++;
	*g->tail = it;
	g->tail = &it->next;
	return 0;
}

void signing_spread(struct signing *g)
{
	for (struct signing_item *it = g->head; it; it = it->next) {
		sign_times_again(g->signer, &it->set, &it->plan);
		for (unsigned i = 0; i < it->plan.nwant; i++) {
			struct sign_req *r = &g->req[it->first_req + i];

			memcpy((uint8_t *)(uintptr_t)r->tbs, it->plan.want[i].hdr, it->plan.want[i].hdr_len);
		}
	}
}

/* --- back from the vault -------------------------------------------------------------------------------- */

static int item_assemble(struct signing *g, struct signing_item *it)
{
	for (unsigned i = 0; i < it->plan.nwant; i++) {
		const struct sign_req *r = &g->req[it->first_req + i];
		int err = r->result ? r->result
				    : sign_assemble(&it->plan.want[i], r->sig, r->sig_len, g->mem,
						    &it->set.sig[it->plan.nkeep + i]);

		if (err)
			return err;
	}
	it->set.nsig = (uint8_t)(it->plan.nkeep + it->plan.nwant);
	if (it->set.nsig) {
		int64_t t = 0;
		int err = sign_earliest(it->set.sig, it->set.nsig, g->signer->now, &t);

		if (err)
			return err;
		it->set.exp_time = (uint64_t)t;
		it->set.exp_seq = atomic_fetch_add(g->next_seq, 1);
	}
	return 0;
}

static int item_encode(struct signing *g, struct signing_item *it, struct wr *w)
{
	w->len = 0;
	rrset_encode(&it->set, w);
	if (w->err)
		return w->err;
	it->vlen = w->len;
	it->val = arena_dup(g->mem, w->p, w->len);
	return it->val ? 0 : ZS_ENOMEM;
}

static int again_push(struct signing *g, size_t at)
{
	size_t *more = realloc(g->again_of, (g->nagain + 1) * sizeof(*more));

	if (!more)
		return ZS_ENOMEM;
	g->again_of = more;
	g->again_of[g->nagain++] = at;
	return 0;
}

/* A stored signature that does not verify lives on in no new version:
 * everything of that RRset is signed anew. */
static int replan(struct signing *g, struct signing_item *it)
{
	int err;

	log_limited(LL_ERR, "gate", g->zone_name, "stored-signature", 20,
		    "event=bad-signature: a stored signature does not verify, made anew");
	g->bad++;
	g->spoilt++;
	it->first_req = g->nreq;
	err = sign_plan(g->signer, &it->set, NULL, 0, g->mem, &it->plan);
	if (!err)
		err = add_wants(g, it);
	for (unsigned i = 0; !err && i < it->plan.nwant; i++)
		err = again_push(g, it->first_req + i);
	return err;
}

/* Notes which requests must be made again. */
static int note_again(struct signing *g, struct signing_item *it, uint16_t bad)
{
	int err = 0;

	if (bad & ((1u << it->plan.nkeep) - 1))
		return replan(g, it);
	for (unsigned i = 0; !err && i < it->plan.nwant; i++) {
		size_t at = it->first_req + i;

		if (!(bad >> (it->plan.nkeep + i) & 1))
			continue;
		log_limited(LL_ERR, "vault", g->zone_name, "bad-signature", 20,
			    "event=bad-signature session=%u: does not verify, made again",
			    g->req[at].session);
		err = again_push(g, at);
		g->bad++;
	}
	return err;
}

/* Stored forms of those that have none yet; the checker learns what is going to come. */
static int encode_items(struct signing *g, struct gate_checker *c)
{
	struct wr w = wr_growing(TBS_MAX * 4);
	int err = 0;

	for (struct signing_item *it = g->head; !err && it; it = it->next) {
		if (it->verified)
			continue;
		err = item_assemble(g, it);
		if (!err)
			err = item_encode(g, it, &w);
		if (!err && c && it->set.nsig)
			gate_check_ahead(c, it->val, it->vlen);
	}
	wr_free(&w);
	return err;
}

static int verify_item(struct signing *g, struct gate_checker *c, struct signing_item *it)
{
	uint16_t bad = 0;
	int err = c && it->set.nsig ? gate_check_value(c, it->key, it->klen, it->val, it->vlen, &bad) : 0;

	it->verified = !err && !bad;
	return !err && bad ? note_again(g, it, bad) : err;
}

static int verify_items(struct signing *g)
{
	struct gate_checker *c = NULL;
	int err = g->gate ? gate_checker_new(g->gate, &c) : 0;

	g->nagain = 0;
	if (!err)
		err = encode_items(g, c);
	for (struct signing_item *it = g->head; !err && it; it = it->next)
		if (!it->verified)
			err = verify_item(g, c, it);
	for (struct signing_item *it = g->head; it; it = it->next)
		if (!it->verified) /* nobody shall take it for a good one */
			it->val = NULL;
	gate_checker_free(c);
	return err;
}

static void verify_run(void *arg);

/* On the client's thread: do little. */
static void batch_done(struct sign_batch *b, void *arg)
{
	struct signing *g = arg;

	if (b->req != g->req)
		for (size_t i = 0; i < g->nagain; i++)
			g->req[g->again_of[i]] = g->again[i];
	if (pool_post(g->pool, POOL_NORMAL, verify_run, g) != 0)
		verify_run(g);
}

/* Another session makes what did not verify. */
static int resubmit(struct signing *g)
{
	enum sign_prio prio = g->batch.prio;

	free(g->again);
	g->again = calloc(g->nagain, sizeof(*g->again));
	if (!g->again)
		return ZS_ENOMEM;
	for (size_t i = 0; i < g->nagain; i++) {
		g->again[i] = g->req[g->again_of[i]];
		g->again[i].avoid_session = g->again[i].session;
	}
	g->batch = (struct sign_batch){
		.req = g->again, .n = g->nagain, .prio = prio, .done = batch_done, .arg = g
	};
	return vclient_submit(g->vault, &g->batch);
}

static void verify_run(void *arg)
{
	struct signing *g = arg;

	fault_zone(g->signer->zone);
	g->err = verify_items(g);
	if (!g->err && g->nagain) {
		int err = ++g->tries < SIGNING_TRIES ? resubmit(g) : ZS_EBADSIG;

		if (!err)
			return; /* the answer may be there already: g is the client's */
		g->err = err == ZS_EAGAIN ? ZS_EVAULT : err; /* a full client is no state to retry in */
	}
	g->done(g, g->arg);
}

int signing_submit(struct signing *g, struct vclient *c, enum sign_prio prio,
		   void (*done)(struct signing *, void *), void *arg)
{
	int err = 0;

	g->done = done;
	g->arg = arg;
	g->vault = c;
	g->batch = (struct sign_batch){
		.req = g->req, .n = g->nreq, .prio = prio, .done = batch_done, .arg = g
	};
	if (!g->nreq)
		return pool_post(g->pool, POOL_NORMAL, verify_run, g);
	err = c ? vclient_submit(c, &g->batch) : ZS_EVAULT;
	return err;
}
