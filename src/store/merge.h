/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two ordered maps seen as one: a base, and an overlay whose values begin with a mark: OV_PUT and the value,
 * or OV_DEL alone for a key that the base has and the whole does not. Under a view (view.c: a snapshot and
 * what a version changes) and under a snapshot (snap.c: a generation and its recent changes).
 */
#ifndef ZONESEAL_STORE_MERGE_H
#define ZONESEAL_STORE_MERGE_H

#include <stdbool.h>
#include "base/kv.h"

#define KEY_OCTETS_MAX 511 /* LMDB's */

enum { OV_DEL, OV_PUT };
enum merge_dir { DIR_NONE, DIR_UP, DIR_DOWN };

struct merge_side {
	struct kv *kv; /* NULL: empty */
	struct kv_item item;
	bool have;
	bool used;
};

/* A position in both. All zero but for the handles: without a place. */
struct merge {
	struct merge_side base;
	struct merge_side over;
	enum merge_dir dir;
	bool placed;
	size_t klen;
	uint8_t key[KEY_OCTETS_MAX];
};

/* As the operations of base/kv.h. over_moved: the overlay was written to since the last call. */
int merge_step(struct merge *m, enum merge_dir dir, bool over_moved, struct kv_item *out);
int merge_jump(struct merge *m, const void *key, size_t klen, enum merge_dir dir, struct kv_item *out);
/* In the overlay alone: 0, *put false for a key that is deleted there. */
int merge_look(struct kv *over, const void *key, size_t klen, bool *put, struct kv_item *out);
/* The handle of the base is another one, or none: the next step finds its place again. */
void merge_base_lost(struct merge *m);
/* Where nothing is; kv_next and kv_prev answer ZS_ENOENT. */
void merge_unplace(struct merge *m);

#endif
