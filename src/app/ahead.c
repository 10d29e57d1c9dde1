/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading ahead (ahead.h). The names go out one by one, the last first: who applies the difference begins at
 * its other end, and in the middle there is nothing left to do. Each reader has a handle of its own, and
 * gives it back when there are no more names. Where nothing had to come from a disk for a while, it is over:
 * what is in memory the change reads as fast. What cannot be read is nothing to say here: the change meets
 * it, and knows what to do. Called by change.c.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* RUSAGE_THREAD */
#endif
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include "ahead.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/share.h"
#include "dns/name.h"
#include "dns/rrset.h"
#include "dns/schema.h"
#include "faultmark.h"

#define LEAST_RECORDS 128        /* fewer are read faster than a worker wakes */
#define OCTETS_MAX (4u << 20)    /* of names; a change of more is not read ahead */

#define LOOK_NAMES 64            /* so often it is looked whether anything comes from a disk */

struct reader {
	struct kv *kv;
	struct nsec3_ctx *hash;  /* from its first name on */
	unsigned names;
	long faults;             /* of its thread by then */
};

struct ahead {
	struct share *share;
	struct denial_params dp;
	bool signs;
	atomic_bool in_memory;
	uint8_t zone[NAME_MAX_WIRE];
	struct wr names, at;     /* u32 each: where a name begins */
	struct reader reader[SHARE_HELPERS];
};

/* --- what there is to read ------------------------------------------------------------------------------ */

static int note_owner(void *ctx, const uint8_t *owner)
{
	struct ahead *a = ctx;
	size_t len = name_len(owner), last = a->at.len ? be32(a->at.p + a->at.len - 4) : 0;

	if (a->names.len - last == len && memcmp(a->names.p + last, owner, len) == 0)
		return 0;
	wr_u32(&a->at, (uint32_t)a->names.len);
	wr_bytes(&a->names, owner, len);
	return a->names.err ? a->names.err : a->at.err;
}

/* --- reading -------------------------------------------------------------------------------------------- */

/* The entry of the expiry index, which is taken away when the RRset is signed again. */
static void read_expiry(struct kv *kv, const struct kv_item *rrset)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	struct rrval v;

	if (rrval_open(&v, rrset->val, rrset->vlen) == 0 && v.nsig)
		kv_get(kv, key, key_expiry(key, v.exp_time, v.exp_seq), &it);
}

/* Whether it is in the chain or not: its place is looked at. */
static void read_denial(const struct ahead *a, struct reader *r, const uint8_t *name, const uint8_t *okey,
			size_t olen)
{
	uint8_t key[KEY_MAX], hash[NSEC3_HASH_LEN];
	size_t klen = 0;
	struct kv_item it;

	if (a->dp.kind == DENIAL_NSEC)
		klen = key_nsec(key, okey, olen);
	else if ((r->hash || (r->hash = nsec3_ctx_new())) && nsec3_hash(r->hash, &a->dp, name, hash) == 0)
		klen = key_nsec3(key, a->dp.set, hash);
	if (klen && kv_get(r->kv, key, klen, &it) == 0)
		read_expiry(r->kv, &it);
}

/* Pages that its thread had to wait for, between one look and the next. */
static void look(struct ahead *a, struct reader *r)
{
	struct rusage u = { .ru_majflt = 0 };

	if (r->names++ % LOOK_NAMES != 0)
		return;
	getrusage(RUSAGE_THREAD, &u);
	if (r->names > 1 && u.ru_majflt == r->faults)
		atomic_store(&a->in_memory, true);
	r->faults = u.ru_majflt;
}

static void read_name(struct ahead *a, struct reader *r, const uint8_t *owner)
{
	uint8_t name[NAME_MAX_WIRE], key[KEY_MAX], okey[OKEY_MAX];
	struct kv_item it;
	size_t olen, plen;
	int rc;

	name_copy_lower(name, owner);
	olen = name_okey(name, okey);
	plen = key_owner(key, okey, olen);
	rc = kv_seek(r->kv, key, plen, &it);
	for (; rc == 0 && it.klen == plen + 2 && memcmp(it.key, key, plen) == 0; rc = kv_next(r->kv, &it))
		if (a->signs)
			read_expiry(r->kv, &it);
	if (a->signs)
		read_denial(a, r, name, okey, olen);
}

static void reader_piece(void *arg, unsigned who, size_t i)
{
	struct ahead *a = arg;
	struct reader *r = &a->reader[who - 1];
	size_t last = a->at.len / 4 - 1 - i;

	fault_zone(a->zone);
	look(a, r);
	if (!atomic_load(&a->in_memory))
		read_name(a, r, a->names.p + be32(a->at.p + 4 * last));
}

static void reader_leave(void *arg, unsigned who)
{
	struct reader *r = &((struct ahead *)arg)->reader[who - 1];

	kv_close(r->kv);
	r->kv = NULL;
	nsec3_ctx_free(r->hash);
	r->hash = NULL;
}

/* As many as get a handle. */
static unsigned open_readers(struct ahead *a, const struct pool *workers, struct snap *base)
{
	unsigned n = 0;

	while (n < share_helpers(workers) && snap_kv(base, &a->reader[n].kv) == 0)
		n++;
	return n;
}

struct ahead *ahead_new(struct pool *workers, struct snap *base, const struct ixfr *x, bool signs,
			const struct denial_params *dp)
{
	bool worth = ixfr_records(x) >= LEAST_RECORDS && share_helpers(workers) > 0;
	struct ahead *a = worth ? calloc(1, sizeof(*a)) : NULL;
	struct share_work w = { .piece = reader_piece, .leave = reader_leave, .arg = a,
				.prio = POOL_LOW };
	unsigned n;

	if (!a)
		return NULL;
	a->signs = signs;
	a->dp = *dp;
	name_copy_lower(a->zone, dp->zone);
	a->dp.zone = a->zone;
	a->names = wr_growing(OCTETS_MAX);
	a->at = wr_growing(OCTETS_MAX);
	if (ixfr_owners(x, note_owner, a) == 0) {
		w.pieces = a->at.len / 4;
		n = open_readers(a, workers, base);
		a->share = share_start(workers, n, &w);
	}
	return a;
}

void ahead_end(struct ahead *a)
{
	if (!a)
		return;
	share_end(a->share);
	for (unsigned i = 0; i < SHARE_HELPERS; i++)
		reader_leave(a, i + 1);
	wr_free(&a->names);
	wr_free(&a->at);
	free(a);
}
