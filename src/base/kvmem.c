/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The ordered map in memory behind the kv vtable: a treap, whose priorities come from a generator of its own,
 * so that no order of keys unbalances it. Beside it, once it is worth it, a hash table of the same nodes for
 * single keys, which are most of what is asked; without memory for it the treap answers these too. Called by
 * views (overlay) and by the tests of everything over kv.
 *
 * Invariants: in-order keys rise; no node has a higher priority than its parent. A node holds one key and one
 * value for good: kv_put on a present key puts a new node in the place of the old one. Nodes are counted: the
 * tree holds one count, a handle one for its position and one for the item that it handed out last. So items
 * stay valid as the header promises even when another handle overwrites or deletes them, and a position on a
 * dead node is found again by its key. Only counts change while handles merely read, and those are atomic.
 */
#include "base/kv.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/rand.h"

#define HASH_FROM 64 /* nodes from which on there is a hash table */
/* Names are other people's, and the sum has no secret: a longer chain was made by somebody. */
#define CHAIN_MAX 16

enum { LEFT, RIGHT };

struct node {
	struct node *up;
	struct node *kid[2];
	struct node *chain; /* next in its bucket */
	uint32_t hash;
	atomic_uint refs;
	uint32_t prio;
	uint32_t klen;
	uint32_t vlen;
	int dead; /* no longer in the tree */
	uint8_t octets[]; /* key, value */
};

struct kvmem {
	struct node *root;
	struct node **bucket; /* NULL: few nodes, or no memory */
	size_t buckets;       /* a power of two */
	size_t count;
	size_t octets;
	size_t limit;
	struct prng prng;
};

struct handle {
	struct kv kv; /* first: handles are passed around as struct kv */
	struct kvmem *m;
	struct node *pos; /* counted; NULL: no position */
	struct node *got; /* counted; answer of the last get */
};

static struct node *node_new(const void *key, size_t klen, const void *val, size_t vlen, uint32_t prio)
{
	struct node *n = malloc(sizeof *n + klen + vlen);

	if (!n)
		return NULL;
	*n = (struct node){ .prio = prio, .klen = (uint32_t)klen, .vlen = (uint32_t)vlen };
	atomic_init(&n->refs, 1);
	if (klen)
		memcpy(n->octets, key, klen);
	if (vlen)
		memcpy(n->octets + klen, val, vlen);
	return n;
}

static void node_unref(struct node *n)
{
	if (n && atomic_fetch_sub_explicit(&n->refs, 1, memory_order_acq_rel) == 1)
		free(n);
}

static void node_hold(struct node **slot, struct node *n)
{
	if (*slot == n)
		return;
	if (n)
		atomic_fetch_add_explicit(&n->refs, 1, memory_order_relaxed);
	node_unref(*slot);
	*slot = n;
}

static int key_cmp(const void *key, size_t klen, const struct node *n)
{
	size_t min = klen < n->klen ? klen : n->klen;
	int c = min ? memcmp(key, n->octets, min) : 0;

	if (c)
		return c;
	return klen < n->klen ? -1 : klen > n->klen;
}

/* The link that points to n: in its parent or the root. */
static struct node **link_of(struct kvmem *m, struct node *n)
{
	return n->up ? &n->up->kid[n->up->kid[RIGHT] == n] : &m->root;
}

/* Lifts n over its parent; the order of keys stays. */
static void rotate_up(struct kvmem *m, struct node *n)
{
	struct node *p = n->up;
	int side = p->kid[RIGHT] == n;
	struct node *inner = n->kid[!side];

	*link_of(m, p) = n;
	n->up = p->up;
	p->kid[side] = inner;
	if (inner)
		inner->up = p;
	n->kid[!side] = p;
	p->up = n;
}

static struct node *tree_find(const struct kvmem *m, const void *key, size_t klen)
{
	struct node *n = m->root;

	while (n) {
		int c = key_cmp(key, klen, n);

		if (c == 0)
			break;
		n = n->kid[c > 0];
	}
	return n;
}

/* First node with key >= the given one; > when `after`. */
static struct node *tree_first(const struct kvmem *m, const void *key, size_t klen, int after)
{
	struct node *n = m->root, *best = NULL;

	while (n) {
		int c = key_cmp(key, klen, n);

		if (c < 0 || (c == 0 && !after)) {
			best = n;
			n = n->kid[LEFT];
		} else {
			n = n->kid[RIGHT];
		}
	}
	return best;
}

static struct node *tree_last_lt(const struct kvmem *m, const void *key, size_t klen)
{
	struct node *n = m->root, *best = NULL;

	while (n) {
		if (key_cmp(key, klen, n) > 0) {
			best = n;
			n = n->kid[RIGHT];
		} else {
			n = n->kid[LEFT];
		}
	}
	return best;
}

/* The neighbour in key order on that side. */
static struct node *tree_step(struct node *n, int side)
{
	if (n->kid[side]) {
		n = n->kid[side];
		while (n->kid[!side])
			n = n->kid[!side];
		return n;
	}
	while (n->up && n->up->kid[side] == n)
		n = n->up;
	return n->up;
}

/* --- the hash table --- */

static void hash_add(struct kvmem *m, struct node *n)
{
	struct node **at;

	if (!m->bucket)
		return;
	n->hash = crc32c(0, n->octets, n->klen);
	at = &m->bucket[n->hash & (m->buckets - 1)];
	n->chain = *at;
	*at = n;
}

static void hash_remove(struct kvmem *m, const struct node *n)
{
	struct node **at;

	if (!m->bucket)
		return;
	for (at = &m->bucket[n->hash & (m->buckets - 1)]; *at != n; at = &(*at)->chain)
		;
	*at = n->chain;
}

static struct node *leftmost(struct node *n)
{
	while (n && n->kid[LEFT])
		n = n->kid[LEFT];
	return n;
}

/* Room for twice the nodes; all of them go in anew. */
static void hash_grow(struct kvmem *m)
{
	size_t want = m->buckets ? 2 * m->buckets : HASH_FROM;
	struct node **bucket;

	if (m->count < want)
		return;
	bucket = calloc(2 * want, sizeof *bucket);
	if (!bucket) /* longer chains */
		return;
	free(m->bucket);
	m->bucket = bucket;
	m->buckets = 2 * want;
	for (struct node *n = leftmost(m->root); n; n = tree_step(n, RIGHT))
		hash_add(m, n);
}

static struct node *find(const struct kvmem *m, const void *key, size_t klen)
{
	struct node *n;
	uint32_t hash;
	unsigned steps = 0;

	if (!m->bucket)
		return tree_find(m, key, klen);
	hash = crc32c(0, key, klen);
	for (n = m->bucket[hash & (m->buckets - 1)]; n && steps < CHAIN_MAX; n = n->chain, steps++)
		if (n->hash == hash && key_cmp(key, klen, n) == 0)
			return n;
	return n ? tree_find(m, key, klen) : NULL;
}

/* --- changes --- */

static void tree_insert(struct kvmem *m, struct node *n)
{
	struct node **link = &m->root;

	while (*link) {
		n->up = *link;
		link = &n->up->kid[key_cmp(n->octets, n->klen, n->up) > 0];
	}
	*link = n;
	while (n->up && n->up->prio < n->prio)
		rotate_up(m, n);
}

static void tree_replace(struct kvmem *m, struct node *old, struct node *n)
{
	*link_of(m, old) = n;
	n->up = old->up;
	for (int i = LEFT; i <= RIGHT; i++) {
		n->kid[i] = old->kid[i];
		if (n->kid[i])
			n->kid[i]->up = n;
	}
}

static void tree_remove(struct kvmem *m, struct node *n)
{
	while (n->kid[LEFT] || n->kid[RIGHT]) {
		struct node *l = n->kid[LEFT], *r = n->kid[RIGHT];

		rotate_up(m, !l || (r && r->prio > l->prio) ? r : l);
	}
	*link_of(m, n) = NULL;
}

/* Out of the tree: handles may still hold it. */
static void node_retire(struct node *n)
{
	n->dead = 1;
	n->up = n->kid[LEFT] = n->kid[RIGHT] = NULL;
	node_unref(n);
}

static int answer(struct node *n, struct kv_item *out)
{
	if (!n)
		return ZS_ENOENT;
	*out = (struct kv_item){ n->octets, n->klen, n->octets + n->klen, n->vlen };
	return 0;
}

/* Moves the handle to n, or nowhere, and answers with it. */
static int move_to(struct handle *h, struct node *n, struct kv_item *out)
{
	node_hold(&h->got, NULL);
	node_hold(&h->pos, n);
	return answer(n, out);
}

static int mem_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	struct node *n = find(h->m, key, klen);

	node_hold(&h->got, n);
	return answer(n, out);
}

static int mem_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;

	return move_to(h, tree_first(h->m, key, klen, 0), out);
}

static int mem_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;

	return move_to(h, tree_last_lt(h->m, key, klen), out);
}

static int mem_next(struct kv *kv, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	struct node *n = h->pos;

	if (!n)
		return ZS_ENOENT;
	return move_to(h, n->dead ? tree_first(h->m, n->octets, n->klen, 1) : tree_step(n, RIGHT), out);
}

static int mem_prev(struct kv *kv, struct kv_item *out)
{
	struct handle *h = (struct handle *)kv;
	struct node *n = h->pos;

	if (!n)
		return ZS_ENOENT;
	return move_to(h, n->dead ? tree_last_lt(h->m, n->octets, n->klen) : tree_step(n, LEFT), out);
}

static int mem_put(struct kv *kv, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct handle *h = (struct handle *)kv;
	struct kvmem *m = h->m;
	struct node *old = find(m, key, klen);
	size_t rest = m->octets - (old ? (size_t)old->klen + old->vlen : 0);
	struct node *n;

	if (klen > UINT32_MAX || vlen > UINT32_MAX)
		return ZS_EINVAL;
	if (m->limit && (rest > m->limit || klen + vlen > m->limit - rest))
		return ZS_ENOMEM;
	n = node_new(key, klen, val, vlen, old ? old->prio : (uint32_t)(prng_u64(&m->prng) >> 32));
	if (!n)
		return ZS_ENOMEM;
	if (old) {
		tree_replace(m, old, n);
		hash_remove(m, old);
		hash_add(m, n);
		node_retire(old);
	} else {
		tree_insert(m, n);
		hash_add(m, n);
		m->count++;
		hash_grow(m);
	}
	m->octets = rest + klen + vlen;
	node_hold(&h->got, NULL); /* last: key and val may be borrowed from it */
	return 0;
}

static int mem_del(struct kv *kv, const void *key, size_t klen)
{
	struct handle *h = (struct handle *)kv;
	struct kvmem *m = h->m;
	struct node *n = find(m, key, klen);

	if (!n)
		return ZS_ENOENT;
	tree_remove(m, n);
	hash_remove(m, n);
	m->octets -= (size_t)n->klen + n->vlen;
	m->count--;
	node_retire(n);
	node_hold(&h->got, NULL);
	return 0;
}

static void mem_close(struct kv *kv)
{
	struct handle *h = (struct handle *)kv;

	node_unref(h->pos);
	node_unref(h->got);
	free(h);
}

static const struct kv_ops mem_ops = {
	.get = mem_get,
	.seek = mem_seek,
	.seek_lt = mem_seek_lt,
	.next = mem_next,
	.prev = mem_prev,
	.put = mem_put,
	.del = mem_del,
	.close = mem_close,
};

struct kvmem *kvmem_new(size_t limit)
{
	struct kvmem *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->limit = limit;
	m->prng = prng_seed(0x7a6f6e657365616c);
	return m;
}

/* Post-order without recursion: leaves are cut off until nothing is left. */
void kvmem_free(struct kvmem *m)
{
	struct node *n;

	if (!m)
		return;
	n = m->root;
	while (n) {
		struct node *up;

		if (n->kid[LEFT] || n->kid[RIGHT]) {
			n = n->kid[n->kid[LEFT] == NULL];
			continue;
		}
		up = n->up;
		*link_of(m, n) = NULL;
		node_retire(n);
		n = up;
	}
	free(m->bucket);
	free(m);
}

size_t kvmem_count(const struct kvmem *m)
{
	return m->count;
}

size_t kvmem_octets(const struct kvmem *m)
{
	return m->octets;
}

struct kv *kvmem_open(struct kvmem *m)
{
	struct handle *h = calloc(1, sizeof *h);

	if (!h)
		return NULL;
	h->kv.ops = &mem_ops;
	h->m = m;
	return &h->kv;
}
