/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Sorted runs on disk, private to the external sort. Each run is an unlinked file of blocks: u32 length and
 * u32 CRC-32C of what follows, then a piece of the stream of pairs (u16 key length, u32 value length, key,
 * value). All blocks of a run but its last are full. Runs stand in order of arrival: equal keys come from
 * the earlier one first.
 */
#ifndef ZONESEAL_DNS_EXTSORT_RUN_H
#define ZONESEAL_DNS_EXTSORT_RUN_H

#include <stdbool.h>

#include "dns/extsort.h"

#define EXTSORT_KEY_MAX 511
#define EXTSORT_VALUE_MAX ((size_t)16 << 20)

struct run;

struct runs {
	char *dir;
	size_t block;              /* octets of a block with its head */
	unsigned fan;              /* runs that are merged at once */
	uint64_t disk, disk_max;   /* octets in files now; bound or 0 */
	struct run **run;
	unsigned n, cap;
	uint8_t *wbuf;             /* block that is being filled */
	size_t wlen;
	struct run *writing;
	struct run **heap;         /* readers, the smallest key first */
	unsigned heaped;
	struct run *handed;        /* its pair was handed out last: moves on at the next call */
};

int runs_init(struct runs *r, const char *dir, size_t memory, uint64_t disk_max);
void runs_free(struct runs *r);
unsigned runs_count(const struct runs *r);
/* A run that begins with this key: a new one, or the last one goes on, when it ends at or below the key. */
int runs_begin(struct runs *r, const uint8_t *key, size_t klen);
int runs_write(struct runs *r, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen);
/* More runs of one level than are merged at once? Then merges those. */
bool runs_are_many(const struct runs *r);
int runs_reduce(struct runs *r);
/* Readers at the start of all runs, which are merged first until there are few enough. */
int runs_open(struct runs *r);
int runs_next(struct runs *r, const uint8_t **key, size_t *klen, const uint8_t **val, size_t *vlen);

#endif
