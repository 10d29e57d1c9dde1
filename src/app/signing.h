/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A group of RRsets on their way through the vault: plans what each needs, holds the messages to sign, takes
 * the answers, and gives RRsets with signatures back in the order they were added. Used by versions (one
 * group) and builds (a pipeline of groups). Filled and finished on workers; the vault client's thread only
 * calls `done`.
 */
#ifndef ZONESEAL_SRC_APP_SIGNING_H
#define ZONESEAL_SRC_APP_SIGNING_H

#include <stdatomic.h>
#include "base/arena.h"
#include "base/pool.h"
#include "dns/schema.h"
#include "gate/gate.h"
#include "seal/sign.h"
#include "vault/client.h"

struct signing_item {
	uint8_t key[KEY_MAX]; size_t klen;  /* stored key */
	struct rrset set;                   /* arrays and octets in the group's arena */
	struct sign_plan plan;
	size_t first_req;
	uint64_t old_time, old_seq;         /* expiry entry of what it replaces; 0 none */
	uint8_t old_nsig;                   /* its signatures */
	/* stored form, made when the signatures are in: what is verified is what is written */
	uint8_t *val; size_t vlen;
	bool verified;                      /* in this round or an earlier one */
	struct signing_item *next;
};

#define SIGNING_TRIES 4 /* a signature that does not verify is made again at most 3 times */

struct signing {
	struct arena *mem;
	const struct signer *signer;
	/* verifies each value before it is handed back; NULL: unsigned zone */
	struct gate *gate;
	struct pool *pool;
	const char *zone_name;              /* for the log */
	atomic_ullong *next_seq;            /* of the expiry index */
	struct vclient *vault;
	struct signing_item *head, **tail;
	size_t items;
	struct sign_req *req;
	size_t nreq, cap;
	struct wr canon;                    /* scratch: canonical form of the RRset being added */
	size_t octets;                      /* of messages and records: closes a group of a build */
	struct sign_batch batch;
	/* requests being made again, and which ones they are */
	struct sign_req *again; size_t *again_of; size_t nagain;
	unsigned tries;
	void (*done)(struct signing *g, void *arg);
	void *arg;
	int err;                            /* why done() has nothing to give back */
	uint64_t made[SIGN_REASONS], kept, bad, spoilt; /* spoilt: stored ones that do not verify */
	bool heals; /* replaces what was found to be bad */
	int state;                          /* the owner's */
	struct signing *link;               /* the owner's */
};

/* gate, pool, zone_name, next_seq are borrowed. */
struct signing *signing_new(const struct signer *signer, struct gate *gate, struct pool *pool,
			    const char *zone_name, atomic_ullong *next_seq);
void signing_free(struct signing *g); /* NULL is legal */
/*
 * Adds an RRset whose memory is already g->mem's. sign: whether it is to be signed at all. old: stored RRset
 * with signatures to keep, or NULL (its signature octets must be g->mem's too).
 */
int signing_add(struct signing *g, const uint8_t *key, size_t klen, const struct rrset *set,
		const struct rrset *old, bool sign, int64_t due_within);
/* Before it is submitted: all that is to be signed gets its times anew, as the signer says by now. */
void signing_spread(struct signing *g);
/*
 * To the vault, back, verified. 0: done() comes later, on a worker, with g->err; then every item has its
 * stored form. ZS_EAGAIN: the client is full, nothing happened.
 */
int signing_submit(struct signing *g, struct vclient *c, enum sign_prio prio,
		   void (*done)(struct signing *, void *), void *arg);

#endif
