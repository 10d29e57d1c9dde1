/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Second source of a build: the chain over the records just written. NSEC follows the same order; NSEC3 goes
 * through a sort by hash. Either way a record can be made only when the next name is known, so one name is
 * held back, and the first one closes the circle (RFC 4034 4.1.1, RFC 5155 7.1).
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "build.h"

#define GROUP_ITEMS 512
#define SORT_MEMORY (32u << 20)

static int hash_all(struct build_job *b)
{
	struct nsec3_ctx *c = nsec3_ctx_new();
	struct wr w = wr_growing(OKEY_MAX + 8192);
	int err = c ? 0 : ZS_ENOMEM;

	while (!err) {
		const struct chain_name *n;
		uint8_t name[NAME_MAX_WIRE], hash[NSEC3_HASH_LEN];
		size_t len;

		if (atomic_load(&b->cancelled))
			err = ZS_ECANCEL;
		if (err || (err = chain_iter_next(b->chain, &n)) ||
		    (err = name_from_okey(n->okey, n->klen, name, &len)) ||
		    (err = nsec3_hash(c, &b->dp, name, hash)))
			break;
		w.len = 0;
		wr_u16(&w, (uint16_t)n->klen);
		wr_bytes(&w, n->okey, n->klen);
		for (size_t i = 0; i < n->ntypes; i++)
			wr_u16(&w, n->types[i]);
		err = w.err ? w.err : extsort_add(b->nsec3, hash, sizeof(hash), w.p, w.len);
	}
	wr_free(&w);
	nsec3_ctx_free(c);
	return err == ZS_ENOENT ? extsort_finish(b->nsec3) : err;
}

int build_chain_open(struct build_job *b)
{
	static const uint16_t soa[] = { T_SOA }; /* comes last, with its serial */
	int err;

	b->held_name = calloc(1, sizeof(*b->held_name));
	b->have_held = b->chain_started = b->chain_ended = false;
	err = b->held_name ? build_kv(b->out, &b->chain_kv) : ZS_ENOMEM;
	if (!err)
		err = chain_iter_new(b->chain_kv, &b->dp, soa, 1, &b->chain);
	if (!err && b->dp.kind == DENIAL_NSEC3)
		err = extsort_new(store_dir_tmp(b->e->dir), SORT_MEMORY, 0, &b->nsec3);
	if (!err && b->dp.kind == DENIAL_NSEC3)
		err = hash_all(b);
	return err;
}

void build_chain_close(struct build_job *b)
{
	chain_iter_free(b->chain);
	b->chain = NULL;
	kv_close(b->chain_kv);
	b->chain_kv = NULL;
	extsort_free(b->nsec3);
	b->nsec3 = NULL;
	free(b->held_name);
	b->held_name = NULL;
}

/* The next name in chain order, with its hash for NSEC3. ZS_EHELD: two names with one hash. */
static int next_name(struct build_job *b, struct chain_name *out, uint8_t hash[NSEC3_HASH_LEN])
{
	const struct chain_name *n;
	const uint8_t *k, *v;
	size_t kn, vn;
	struct rd r;
	int err;

	if (b->dp.kind == DENIAL_NSEC) {
		if ((err = chain_iter_next(b->chain, &n)) == 0)
			memcpy(out, n, sizeof(*out));
		return err;
	}
	if ((err = extsort_next(b->nsec3, &k, &kn, &v, &vn)))
		return err;
	if (b->have_held && memcmp(k, b->held_hash, NSEC3_HASH_LEN) == 0)
		return ZS_EHELD;
	memcpy(hash, k, NSEC3_HASH_LEN);
	r = rd_init(v, vn);
	out->klen = rd_u16(&r);
	memcpy(out->okey, rd_bytes(&r, out->klen), out->klen);
	for (out->ntypes = 0; rd_left(&r) >= 2;)
		out->types[out->ntypes++] = rd_u16(&r);
	return r.err;
}

struct made { uint8_t key[KEY_MAX]; size_t klen; struct rrset set; };

/* The record of the held name, whose next is known now. */
static int make_record(struct build_job *b, struct arena *mem, const uint8_t *next, size_t next_len,
		       struct made *m)
{
	struct rrset *set = &m->set;
	bool nsec3 = b->dp.kind == DENIAL_NSEC3;
	uint8_t *owner = arena_alloc(mem, NAME_MAX_WIRE),
		*rdata = arena_alloc(mem, NAME_MAX_WIRE + BITMAP_MAX), name[NAME_MAX_WIRE];
	size_t len;
	int err;

	memset(set, 0, sizeof(*set));
	set->rr = arena_zalloc(mem, sizeof(*set->rr));
	if (!owner || !rdata || !set->rr)
		return ZS_ENOMEM;
	set->owner = owner;
	set->ttl = set->rr->ttl = b->dp.ttl;
	set->flags = RRV_OURS;
	set->nrr = 1;
	set->rr->data = rdata;
	if (nsec3) {
		set->type = T_NSEC3;
		set->flags |= RRV_SRC;
		set->src = arena_dup(mem, b->held_name->okey, b->held_name->klen);
		set->src_len = (uint16_t)b->held_name->klen;
		set->rr->len = (uint16_t)nsec3_rdata(rdata, &b->dp, next, b->held_name->types,
						     b->held_name->ntypes);
		m->klen = key_nsec3(m->key, b->dp.set, b->held_hash);
		return set->src ? nsec3_owner(b->held_hash, b->zone->wire, owner) : ZS_ENOMEM;
	}
	set->type = T_NSEC;
	if ((err = name_from_okey(next, next_len, name, &len)) ||
	    (err = name_from_okey(b->held_name->okey, b->held_name->klen, owner, &len)))
		return err;
	set->rr->len = (uint16_t)nsec_rdata(rdata, name, b->held_name->types, b->held_name->ntypes);
	m->klen = key_nsec(m->key, b->held_name->okey, b->held_name->klen);
	return 0;
}

static int add_record(struct build_job *b, struct signing *g, const uint8_t *next, size_t next_len)
{
	struct made m;
	struct rrset old;
	int err = make_record(b, g->mem, next, next_len, &m);
	bool have = !err && build_old(b, g->mem, m.key, m.klen, m.set.type, m.set.owner, &old) == 0;

	if (have)
		old.exp_time = old.exp_seq = 0;
	return err ? err : signing_add(g, m.key, m.klen, &m.set, have ? &old : NULL, true, b->pol.refresh);
}

static int step(struct build_job *b, struct signing *g, struct chain_name *n)
{
	uint8_t hash[NSEC3_HASH_LEN];
	bool nsec3 = b->dp.kind == DENIAL_NSEC3;
	int err = next_name(b, n, hash);

	if (err == ZS_ENOENT) { /* back to the first */
		b->chain_ended = true;
		return b->have_held ? add_record(b, g, b->first, b->first_len) : ZS_EFORMAT;
	}
	if (err)
		return err;
	if (!b->have_held) {
		b->first_len = nsec3 ? NSEC3_HASH_LEN : n->klen;
		memcpy(b->first, nsec3 ? hash : n->okey, b->first_len);
	} else if ((err = add_record(b, g, nsec3 ? hash : n->okey, nsec3 ? NSEC3_HASH_LEN : n->klen))) {
		return err;
	}
	memcpy(b->held_name, n, sizeof(*n));
	memcpy(b->held_hash, hash, sizeof(hash));
	b->have_held = true;
	return 0;
}

int build_chain_group(struct build_job *b, struct signing *g)
{
	struct chain_name *n = calloc(1, sizeof(*n));
	int err = n ? 0 : ZS_ENOMEM;

	if (b->chain_ended) {
		free(n);
		return ZS_ENOENT;
	}
	while (!err && !b->chain_ended && g->items < GROUP_ITEMS)
		err = step(b, g, n);
	free(n);
	if (err == ZS_EHELD) {
		b->held = true;
		strcpy(b->reason, "two names have the same NSEC3 hash: change the salt length of the policy");
	}
	return err;
}
