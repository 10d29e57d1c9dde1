/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * External merge sort: memory, spilling, and the interface. Pairs are laid down from the front of one
 * mapped region, their index from its end; when the two meet, the index is sorted and the pairs go out as a
 * run. Input that never fills the region never touches the disk. A run that continues the one before
 * (sorted input) is appended to it. Runs and their merging are in extsort_run.c. Used by builds and full
 * transfers, one thread at a time.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/buf.h"
#include "base/err.h"
#include "extsort_run.h"

#define MEMORY_MIN ((size_t)1 << 20)
#define PAIR_HEAD 6 /* u16 key length, u32 value length */

/* One pair in the region. cache: eight octets of its key behind what all keys have in common. */
struct entry {
	uint64_t cache;
	uint64_t off;
};

struct extsort {
	struct runs runs;
	uint8_t *mem;
	size_t memory, cap;          /* the budget; what is mapped */
	size_t used;                 /* octets of pairs */
	size_t n;                    /* entries at the region's end */
	size_t common;               /* octets that all keys in the region share */
	bool sorted;                 /* they came in order so far */
	bool finished;
	int err;                     /* of a spill: pairs are lost, nothing works any more */
	size_t next;                 /* without runs: next entry to hand out */
	uint64_t count;
};

static inline struct entry *entries(const struct extsort *s)
{
	return (struct entry *)(void *)(s->mem + s->cap) - s->n;
}

static inline const uint8_t *pair_key(const struct extsort *s, uint64_t off, size_t *klen)
{
	const uint8_t *p = s->mem + off;

	*klen = be16(p);
	return p + PAIR_HEAD;
}

static int region_map(struct extsort *s, size_t cap)
{
	void *p;

	cap = (cap + 4095) & ~(size_t)4095;
	p = mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (p == MAP_FAILED)
		return ZS_ENOMEM;
	if (s->mem != NULL)
		munmap(s->mem, s->cap);
	s->mem = p;
	s->cap = cap;
	return 0;
}

int extsort_new(const char *dir, size_t memory, uint64_t disk_max, struct extsort **out)
{
	struct extsort *s = calloc(1, sizeof(*s));
	int err;

	if (s == NULL)
		return ZS_ENOMEM;
	s->memory = memory > MEMORY_MIN ? memory : MEMORY_MIN;
	err = runs_init(&s->runs, dir, s->memory, disk_max);
	if (err == 0)
		err = region_map(s, s->memory - s->runs.block);
	if (err != 0) {
		extsort_free(s);
		return err;
	}
	s->sorted = true;
	*out = s;
	return 0;
}

void extsort_free(struct extsort *s)
{
	if (s == NULL)
		return;
	runs_free(&s->runs);
	if (s->mem != NULL)
		munmap(s->mem, s->cap);
	free(s);
}

/* Order of two entries; equal keys by arrival. */
static int entry_cmp(const struct extsort *s, const struct entry *a, const struct entry *b)
{
	const uint8_t *ka, *kb;
	size_t alen, blen;
	int c;

	if (a->cache != b->cache)
		return a->cache < b->cache ? -1 : 1;
	ka = pair_key(s, a->off, &alen);
	kb = pair_key(s, b->off, &blen);
	c = memcmp(ka + s->common, kb + s->common, (alen < blen ? alen : blen) - s->common);
	if (c == 0)
		c = (alen > blen) - (alen < blen);
	if (c == 0)
		c = (a->off > b->off) - (a->off < b->off);
	return c;
}

static void sift(const struct extsort *s, struct entry *e, size_t i, size_t n)
{
	for (;;) {
		size_t big = 2 * i + 1;
		struct entry t;

		if (big >= n)
			return;
		if (big + 1 < n && entry_cmp(s, &e[big], &e[big + 1]) < 0)
			big++;
		if (entry_cmp(s, &e[i], &e[big]) >= 0)
			return;
		t = e[i];
		e[i] = e[big];
		e[big] = t;
		i = big;
	}
}

static void sort_heap(const struct extsort *s, struct entry *e, size_t n)
{
	for (size_t i = n / 2; i-- > 0;)
		sift(s, e, i, n);
	while (n-- > 1) {
		struct entry t = e[0];

		e[0] = e[n];
		e[n] = t;
		sift(s, e, 0, n);
	}
}

static void sort_insertion(const struct extsort *s, struct entry *e, size_t n)
{
	for (size_t i = 1; i < n; i++) {
		struct entry t = e[i];
		size_t k = i;

		for (; k > 0 && entry_cmp(s, &t, &e[k - 1]) < 0; k--)
			e[k] = e[k - 1];
		e[k] = t;
	}
}

/* Moves the median of three to the front. */
static void pivot_first(const struct extsort *s, struct entry *e, size_t n)
{
	size_t a = n / 4, b = n / 2, c = n / 4 * 3, m;
	struct entry t;

	if (entry_cmp(s, &e[a], &e[b]) < 0)
		m = entry_cmp(s, &e[b], &e[c]) < 0 ? b : entry_cmp(s, &e[a], &e[c]) < 0 ? c : a;
	else
		m = entry_cmp(s, &e[a], &e[c]) < 0 ? a : entry_cmp(s, &e[b], &e[c]) < 0 ? c : b;
	t = e[0];
	e[0] = e[m];
	e[m] = t;
}

/* Quicksort in place (no two entries are equal); a bad run of pivots falls back to a heap. */
static void sort_entries(const struct extsort *s, struct entry *e, size_t n, unsigned depth)
{
	while (n > 16) {
		struct entry pivot, t;
		size_t i = 0, k = n;

		if (depth-- == 0) {
			sort_heap(s, e, n);
			return;
		}
		pivot_first(s, e, n);
		pivot = e[0];
		for (;;) {
			do
				i++;
			while (i < n && entry_cmp(s, &e[i], &pivot) < 0);
			do
				k--;
			while (entry_cmp(s, &pivot, &e[k]) < 0);
			if (i >= k)
				break;
			t = e[i];
			e[i] = e[k];
			e[k] = t;
		}
		e[0] = e[k];
		e[k] = pivot;
		if (k < n - k - 1) { /* the smaller part first: depth of the stack is bounded */
			sort_entries(s, e, k, depth);
			e += k + 1;
			n -= k + 1;
		} else {
			sort_entries(s, e + k + 1, n - k - 1, depth);
			n = k;
		}
	}
	sort_insertion(s, e, n);
}

static uint64_t key_cache(const uint8_t *key, size_t klen, size_t from)
{
	uint8_t b[8] = { 0 };

	if (klen > from)
		memcpy(b, key + from, klen - from < 8 ? klen - from : 8);
	return be64(b);
}

static void sort_region(struct extsort *s)
{
	struct entry *e = entries(s);
	unsigned depth = 0;

	/* The index grows downwards: the last pair to arrive stands first. */
	for (size_t i = 0; i < s->n / 2; i++) {
		struct entry t = e[i];

		e[i] = e[s->n - 1 - i];
		e[s->n - 1 - i] = t;
	}
	if (s->sorted)
		return;
	for (size_t i = 0; i < s->n; i++) {
		size_t klen;
		const uint8_t *key = pair_key(s, e[i].off, &klen);

		e[i].cache = key_cache(key, klen, s->common);
	}
	for (size_t n = s->n; n > 0; n >>= 1)
		depth += 2;
	sort_entries(s, e, s->n, depth);
}

/* Writes the region out as a run and empties it. */
static int spill(struct extsort *s)
{
	struct entry *e = entries(s);
	int err = 0;

	if (s->n == 0)
		return 0;
	sort_region(s);
	for (size_t i = 0; err == 0 && i < s->n; i++) {
		const uint8_t *p = s->mem + e[i].off;
		size_t klen = be16(p), vlen = be32(p + 2);

		if (i == 0)
			err = runs_begin(&s->runs, p + PAIR_HEAD, klen);
		if (err == 0)
			err = runs_write(&s->runs, p + PAIR_HEAD, klen, p + PAIR_HEAD + klen, vlen);
	}
	s->n = s->used = 0;
	s->sorted = true;
	if (err != 0)
		return err;
	if (s->cap > s->memory) /* an oversized pair has gone */
		err = region_map(s, s->memory - s->runs.block);
	if (err == 0 && runs_are_many(&s->runs)) {
		madvise(s->mem, s->cap, MADV_DONTNEED); /* the merge takes over the budget */
		err = runs_reduce(&s->runs);
	}
	return err;
}

/* Keeps `common` and `sorted` up to date with a key that arrives. */
static void note_key(struct extsort *s, const uint8_t *key, size_t klen)
{
	const uint8_t *prev;
	size_t plen, n, i = 0;

	if (s->n == 0) {
		s->common = klen;
		return;
	}
	prev = pair_key(s, entries(s)->off, &plen);
	n = plen < klen ? plen : klen;
	while (i < n && prev[i] == key[i])
		i++;
	if (i < s->common)
		s->common = i;
	if (i < n ? prev[i] > key[i] : plen > klen)
		s->sorted = false;
}

int extsort_add(struct extsort *s, const void *key, size_t klen, const void *val, size_t vlen)
{
	size_t need = PAIR_HEAD + klen + vlen;
	uint8_t *p;
	int err;

	if (s->err != 0)
		return s->err;
	if (s->finished || klen > EXTSORT_KEY_MAX || vlen > EXTSORT_VALUE_MAX)
		return ZS_EINVAL;
	if (need + sizeof(struct entry) > s->cap - s->used - s->n * sizeof(struct entry)) {
		err = spill(s);
		if (err == 0 && need + sizeof(struct entry) > s->cap)
			err = region_map(s, s->memory + need + 4096);
		if (err != 0)
			return s->err = err;
	}
	note_key(s, key, klen);
	p = s->mem + s->used;
	put_be16(p, (uint16_t)klen);
	put_be32(p + 2, (uint32_t)vlen);
	if (klen > 0)
		memcpy(p + PAIR_HEAD, key, klen);
	if (vlen > 0)
		memcpy(p + PAIR_HEAD + klen, val, vlen);
	s->n++;
	*entries(s) = (struct entry){ .cache = 0, .off = s->used };
	s->used += need;
	s->count++;
	return 0;
}

int extsort_finish(struct extsort *s)
{
	int err = s->err;

	if (s->finished)
		return ZS_EINVAL;
	if (err != 0)
		return err;
	if (runs_count(&s->runs) == 0) {
		sort_region(s);
	} else {
		err = spill(s);
		if (err == 0) { /* the readers take over the memory */
			munmap(s->mem, s->cap);
			s->mem = NULL;
			err = runs_open(&s->runs);
		}
	}
	s->finished = err == 0;
	return s->err = err;
}

int extsort_next(struct extsort *s, const uint8_t **key, size_t *klen, const uint8_t **val, size_t *vlen)
{
	const uint8_t *p;

	if (!s->finished)
		return ZS_EINVAL;
	if (runs_count(&s->runs) > 0)
		return runs_next(&s->runs, key, klen, val, vlen);
	if (s->next == s->n)
		return ZS_ENOENT;
	p = s->mem + entries(s)[s->next++].off;
	*klen = be16(p);
	*vlen = be32(p + 2);
	*key = p + PAIR_HEAD;
	*val = *key + *klen;
	return 0;
}

int extsort_rewind(struct extsort *s)
{
	if (!s->finished)
		return ZS_EINVAL;
	s->next = 0;
	return runs_count(&s->runs) > 0 ? runs_open(&s->runs) : 0;
}

uint64_t extsort_count(const struct extsort *s)
{
	return s->count;
}
