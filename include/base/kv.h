/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The raw iterator: an ordered map of octet strings, seen through a small vtable. A view of the store, a
 * generation that is being built and the in-memory map of the tests all look the same through it; the seal
 * and gate layers know nothing else of the store. One handle has one position: nested loops take two handles.
 * Keys compare as memcmp, shorter first. ZS_ENOENT of seek, seek_lt, next and prev leaves the handle without
 * a position, as it is when new: next and prev then answer ZS_ENOENT until the next seek.
 *
 * CAVEAT: key and value of an item are borrowed. They stay valid until the next call on the same handle, or
 * until the snapshot behind it is given back, whichever comes first.
 */
#ifndef ZONESEAL_BASE_KV_H
#define ZONESEAL_BASE_KV_H

#include <stddef.h>
#include <stdint.h>

struct kv_item {
	const uint8_t *key;
	size_t klen;
	const uint8_t *val;
	size_t vlen;
};

struct kv;

struct kv_ops {
	/* exact match, does not move the position; 0, ZS_ENOENT, ZS_EIO, ZS_ECRC */
	int (*get)(struct kv *kv, const void *key, size_t klen, struct kv_item *out);
	/* first item with key >= the given one; moves there */
	int (*seek)(struct kv *kv, const void *key, size_t klen, struct kv_item *out);
	/* last item with key < the given one; moves there */
	int (*seek_lt)(struct kv *kv, const void *key, size_t klen, struct kv_item *out);
	int (*next)(struct kv *kv, struct kv_item *out);
	int (*prev)(struct kv *kv, struct kv_item *out);
	/* optional: NULL on read-only handles. Octets are copied. Moves no position of this handle. */
	int (*put)(struct kv *kv, const void *key, size_t klen, const void *val, size_t vlen);
	int (*del)(struct kv *kv, const void *key, size_t klen); /* ZS_ENOENT when it is not there */
	void (*close)(struct kv *kv);
};

struct kv {
	const struct kv_ops *ops;
};

static inline int kv_get(struct kv *kv, const void *k, size_t n, struct kv_item *out)
{
	return kv->ops->get(kv, k, n, out);
}
static inline int kv_seek(struct kv *kv, const void *k, size_t n, struct kv_item *out)
{
	return kv->ops->seek(kv, k, n, out);
}
static inline int kv_seek_lt(struct kv *kv, const void *k, size_t n, struct kv_item *out)
{
	return kv->ops->seek_lt(kv, k, n, out);
}
static inline int kv_next(struct kv *kv, struct kv_item *out)
{
	return kv->ops->next(kv, out);
}
static inline int kv_prev(struct kv *kv, struct kv_item *out)
{
	return kv->ops->prev(kv, out);
}
static inline int kv_put(struct kv *kv, const void *k, size_t n, const void *v, size_t m)
{
	return kv->ops->put(kv, k, n, v, m);
}
static inline int kv_del(struct kv *kv, const void *k, size_t n)
{
	return kv->ops->del(kv, k, n);
}
/* Releases the handle; NULL is legal. */
static inline void kv_close(struct kv *kv) { if (kv) kv->ops->close(kv); }

/*
 * An ordered map in memory (a balanced tree): overlay of views, and the store of unit tests.
 * limit: most octets of keys and values held, 0 = no bound; kv_put answers ZS_ENOMEM over it. Not thread-safe
 * for writers; any number of handles may read while nobody writes.
 */
struct kvmem;
struct kvmem *kvmem_new(size_t limit);
void kvmem_free(struct kvmem *m);
size_t kvmem_count(const struct kvmem *m);
size_t kvmem_octets(const struct kvmem *m);
/* A handle that can read and write; the map must outlive it. NULL when out of memory. */
struct kv *kvmem_open(struct kvmem *m);

#endif
