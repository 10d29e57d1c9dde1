/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History against plain sets: a real store takes random versions, the rig keeps what each version served and
 * what upstream had, and every difference that history gives must be exactly the difference of two such sets.
 */
#ifndef ZONESEAL_T_HISTORY_RIG_H
#define ZONESEAL_T_HISTORY_RIG_H

#include "t_store_util.h"

#include "base/arena.h"
#include "base/rand.h"
#include "base/text.h"
#include "dns/rrset.h"
#include "dns/schema.h"
#include "history_priv.h"

#define VERSIONS 48
#define NAMES 24
#define NO_LIMIT UINT64_MAX

/* A record as octets: owner, type, TTL, RDATA. */
struct plain {
	uint8_t *p;
	size_t len;
};

struct set {
	struct plain *a;
	size_t n, cap;
};

struct state {
	struct set served, user;
	uint32_t serial, upstream;
	uint64_t version;
};

struct world;
/* Called with what history_carry() wrote, before it is published. */
typedef void (*built_fn)(struct world *w, struct build *b, const struct history_carry *c);

struct world {
	struct prng rnd;
	char dir[64];
	struct store_dir *sd;
	struct store *s;
	struct state st[VERSIONS + 1];
	size_t n;              /* versions made */
	int64_t now;
	uint32_t upstream;
	bool still;            /* upstream's SOA stays */
	enum { MIXED, REMOVES, ADDS } does; /* to upstream's records */
	uint32_t big;          /* records that one change touches, 0: a few */
	unsigned merges;
	built_fn built;        /* NULL: none */
};

void set_add(struct set *s, const struct rr *rr);
void set_sort(struct set *s);
void set_free(struct set *s);
/* Is x, as a multiset, exactly a without b? All sorted. */
bool set_is_minus(const struct set *x, const struct set *a, const struct set *b);
/* What a store holds, read without history's code. */
void read_state(struct world *w, struct state *st);

struct world *world_new(uint64_t seed);
void world_free(struct world *w);
struct kv *open_kv(struct world *w);
void put_set(struct kv *kv, const uint8_t *key, size_t klen, struct rrset *set);
size_t soa_rdata(uint8_t *out, uint32_t serial);
void put_soa(struct world *w, struct kv *kv, uint32_t serial);
void fill_view(struct world *w, struct kv *kv, bool routine);
/* A view over what is live, and a handle of it. base: one of what is live, if anything is; may be NULL. */
struct view *open_view(struct world *w, struct kv **kv, struct kv **base);
typedef void (*extra_fn)(struct world *w, struct view *v);
void make_version(struct world *w, bool routine, extra_fn extra);

/* A build of the live content with changes; n: how much changes, 0: the SOA alone. Its expiry entries are
 * numbered anew, as those of a build are. */
struct build *build_content(struct world *w, unsigned n, bool routine, uint32_t serial);
struct history_carry carry_init(struct world *w, struct build *b, struct kv *live, struct kv *to);
typedef void (*vary_fn)(struct history_carry *c);
void make_build(struct world *w, unsigned n, bool routine, vary_fn vary, struct history_carry *c);

/* One run through d: SOAs first (left out when they are upstream's), halves in order, counts as promised. */
void read_diff(struct diff *d, struct set *removed, struct set *added, bool soas);
void check_diff(struct diff *d, const struct set *from, const struct set *to, bool soas);
/* Every serial that an entry starts from leads to the newest version; no other does. How many do. */
size_t check_served(struct world *w);
/* Upstream's difference between two versions, 1 if there is one. */
size_t check_user(struct world *w, size_t i, size_t k);

#endif
