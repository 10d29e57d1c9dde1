/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The gate decides, this file only feeds it: the engine's one place that knows both the signer's and the
 * gate's words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "gating.h"

#define PARTS_MAX 256

void denial_init(struct denial_params *p, const uint8_t *zone, const struct policy *pol, uint32_t ttl)
{
	memset(p, 0, sizeof(*p));
	p->kind = pol->denial;
	p->opt_out = pol->opt_out;
	p->set = pol->denial == DENIAL_NSEC3 ? NSEC3_SET : 0;
	p->iterations = pol->nsec3_iterations;
	p->ttl = ttl;
	p->zone = zone;
}

void gating_init(struct gating *g, const struct zone *z, const struct keyset *ks, const struct policy *pol,
		 wall_t now)
{
	memset(g, 0, sizeof(*g));
	memcpy(g->zone, z->wire, z->wire_len);
	g->p.zone = g->zone;
	g->p.zone_len = z->wire_len;
	g->p.now = now.s;
	g->p.min_left = pol->refresh / 2 < 3600 ? pol->refresh / 2 : 3600;
	g->p.unsigned_zone = pol->unsigned_zone;
	g->p.nsec3 = pol->denial == DENIAL_NSEC3;
	g->p.opt_out = pol->opt_out;
	g->p.nsec3_set = g->p.nsec3 ? NSEC3_SET : 0;
	g->p.nsec3_iterations = pol->nsec3_iterations;
	g->p.dnskey_ttl = pol->dnskey_ttl;
	g->p.one_in = pol->verify_one_in ? pol->verify_one_in : 1;
	g->p.sample_seed = (uint64_t)now.s;
	g->p.tables = z->e->tables;
	g->p.key = g->key;
	for (unsigned i = 0; i < ks->n; i++) {
		const struct zone_key *k = &ks->key[i];
		struct gate_key *gk = &g->key[g->p.nkeys];

		if (k->state != KEY_ACTIVE)
			continue;
		gk->len = key_dnskey(k, g->dnskey[g->p.nkeys]);
		gk->dnskey = g->dnskey[g->p.nkeys];
		gk->signs_keys = key_signs_keys(k);
		gk->signs_zone = key_signs_zone(k);
		g->p.nkeys++;
	}
}

void gating_stored(struct gating *g, const struct zone *z, const struct keyset *ks, const struct policy *pol,
		   wall_t now)
{
	struct gate_params *p = &g->p;

	gating_init(g, z, ks, pol, now);
	p->unsigned_zone = !z->meta.is_signed;
	for (size_t i = 0; z->net.pub && i < z->net.pub->nset; i++)
		if (z->net.pub->set[i].type == T_DNSKEY)
			p->dnskey_ttl = z->net.pub->set[i].ttl;
	p->nsec3 = z->meta.denial == DENIAL_NSEC3;
	p->opt_out = z->meta.opt_out;
	p->nsec3_set = z->meta.nsec3_set;
	p->nsec3_iterations = z->meta.nsec3_iterations;
	memcpy(p->salt, z->meta.salt, z->meta.salt_len);
	p->salt_len = z->meta.salt_len;
}

void gating_describe(const struct gate *g, char *dst, size_t cap)
{
	const struct gate_finding *f;
	size_t n = gate_findings(g, &f), at = 0;

	dst[0] = 0;
	for (size_t i = 0; i < n && i < 3 && at < cap; i++)
		at += (size_t)snprintf(dst + at, cap - at, "%s%s: %s", i ? "; " : "",
				       gate_check_label(f[i].check), f[i].text);
	if (gate_total(g) > 3 && at < cap)
		snprintf(dst + at, cap - at, "; %llu findings in all", (unsigned long long)gate_total(g));
}

void gating_report(struct zone *z, const struct gate *g)
{
	const struct gate_finding *f;
	size_t n = gate_findings(g, &f);

	for (int c = 0; c < GATE_CHECKS; c++)
		if (gate_count(g, (enum gate_check)c))
			atomic_fetch_add(&z->count.vetoes[c], 1);
	for (size_t i = 0; i < n && i < 10; i++)
		log_msg(LL_ERR, "gate", z->name, "event=finding check=%s: %s", gate_check_label(f[i].check),
			f[i].text);
}


/* Made again on other sessions and still wrong: that is the key store's word against the published key. */
const char *gating_bad_signature(void)
{
	return "bad-signature: the key store makes signatures that its own key does not verify";
}

struct gating_run {
	struct engine *e;
	const uint8_t *wire;
	struct gate *g;
	struct build *b;
	struct gate_part part[PARTS_MAX];
	atomic_int left, err, next;
	void (*done)(void *arg, int err);
	void *arg;
};

static void run_home(void *arg)
{
	struct gating_run *r = arg;

	r->done(r->arg, r->err);
	free(r);
}

static void run_part(void *arg)
{
	struct gating_run *r = arg;
	struct kv *kv = NULL;
	int i = atomic_fetch_add(&r->next, 1), err = build_kv(r->b, &kv), none = 0;

	fault_zone(r->wire);
	if (!err)
		err = gate_segment(r->g, kv, &r->part[i]);
	kv_close(kv);
	if (err)
		atomic_compare_exchange_strong(&r->err, &none, err);
	if (atomic_fetch_sub(&r->left, 1) != 1)
		return;
	kv = NULL;
	if (!r->err && !(err = build_kv(r->b, &kv)) && (err = gate_finish(r->g, kv, true)))
		r->err = err;
	kv_close(kv);
	mailbox_post(r->e->home, run_home, r);
}

static void run_split(void *arg)
{
	struct gating_run *r = arg;
	struct kv *kv = NULL;
	int n = build_kv(r->b, &kv);

	if (!n)
		n = gate_split(r->g, kv, pool_threads(r->e->workers) * 8, r->part, PARTS_MAX);
	kv_close(kv);
	if (n <= 0) {
		r->err = n ? n : ZS_EFORMAT;
		mailbox_post(r->e->home, run_home, r);
		return;
	}
	atomic_store(&r->left, n);
	for (int i = 0; i < n; i++)
		if (pool_post(r->e->workers, POOL_NORMAL, run_part, r) != 0)
			run_part(r);
}

int gating_whole(struct zone *z, struct gate *g, struct build *b, void (*done)(void *, int), void *arg)
{
	struct gating_run *r = calloc(1, sizeof(*r));

	if (!r)
		return ZS_ENOMEM;
	r->e = z->e;
	r->wire = z->wire;
	r->g = g;
	r->b = b;
	r->done = done;
	r->arg = arg;
	if (pool_post(z->e->workers, POOL_NORMAL, run_split, r) != 0) {
		free(r);
		return ZS_ENOMEM;
	}
	return 0;
}
