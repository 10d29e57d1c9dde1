/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs of the external sort: written and read in blocks with sequential input/output only, merged through a
 * heap. The last run stays open for writing, its last block in memory, until another run begins or reading
 * starts, so that sorted input ends up as one run. Runs are merged `fan` at a time, by level like the
 * digits of a counter: every pair is written about log_fan(runs) times. A block that fails its CRC ends the
 * sort.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* O_TMPFILE, mkostemp */
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "extsort_run.h"

#define BLOCK_HEAD 8
#define BLOCK_MIN ((size_t)64 << 10)
#define BLOCK_MAX ((size_t)1 << 20)
#define FAN_MAX 64
#define PAIR_HEAD 6

struct run {
	int fd;
	unsigned level;
	unsigned order;           /* among those that are merged: ties go to the lower one */
	uint64_t size;
	uint8_t last[EXTSORT_KEY_MAX];
	size_t last_len;
	/* reading */
	uint8_t *buf;
	uint64_t pos;
	size_t at, have;          /* in buf: next octet, end of the payload */
	uint8_t *big;             /* a pair that crosses blocks */
	size_t big_cap;
	const uint8_t *key, *val;
	size_t klen, vlen;
};

int runs_init(struct runs *r, const char *dir, size_t memory, uint64_t disk_max)
{
	size_t block = memory / 32, fan;

	block = block < BLOCK_MIN ? BLOCK_MIN : block > BLOCK_MAX ? BLOCK_MAX : block;
	fan = memory / block - 1;
	*r = (struct runs){ .block = block, .disk_max = disk_max };
	r->fan = fan > FAN_MAX ? FAN_MAX : (unsigned)fan;
	r->dir = strdup(dir);
	r->heap = calloc(r->fan, sizeof(struct run *));
	return r->dir != NULL && r->heap != NULL ? 0 : ZS_ENOMEM;
}

static void run_close_reader(struct run *run)
{
	free(run->buf);
	free(run->big);
	run->buf = run->big = NULL;
	run->big_cap = 0;
}

static void run_free(struct run *run)
{
	if (run == NULL)
		return;
	run_close_reader(run);
	if (run->fd >= 0)
		close(run->fd);
	free(run);
}

void runs_free(struct runs *r)
{
	for (unsigned i = 0; i < r->n; i++)
		run_free(r->run[i]);
	free(r->run);
	free(r->heap);
	free(r->wbuf);
	free(r->dir);
	*r = (struct runs){ 0 };
}

unsigned runs_count(const struct runs *r)
{
	return r->n;
}

static int file_open(const char *dir)
{
	char path[4096];
	int fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
		return fd;
	if (snprintf(path, sizeof(path), "%s/sort.XXXXXX", dir) >= (int)sizeof(path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = mkostemp(path, O_CLOEXEC);
	if (fd >= 0)
		unlink(path);
	return fd;
}

static int run_new(struct runs *r, unsigned level, struct run **out)
{
	struct run *run;

	if (r->n == r->cap) {
		unsigned cap = r->cap > 0 ? 2 * r->cap : 16;
		struct run **grown = realloc(r->run, cap * sizeof(struct run *));

		if (grown == NULL)
			return ZS_ENOMEM;
		r->run = grown;
		r->cap = cap;
	}
	if (r->wbuf == NULL && (r->wbuf = malloc(r->block)) == NULL)
		return ZS_ENOMEM;
	run = calloc(1, sizeof(*run));
	if (run == NULL)
		return ZS_ENOMEM;
	run->level = level;
	run->fd = file_open(r->dir);
	if (run->fd < 0) {
		free(run);
		return zs_from_errno(errno);
	}
	r->run[r->n++] = *out = run;
	return 0;
}

static int write_block(struct runs *r)
{
	struct run *run = r->writing;
	size_t len = BLOCK_HEAD + r->wlen, done = 0;

	if (r->disk_max != 0 && r->disk + len > r->disk_max)
		return ZS_ELIMIT;
	put_be32(r->wbuf, (uint32_t)r->wlen);
	put_be32(r->wbuf + 4, crc32c(0, r->wbuf + BLOCK_HEAD, r->wlen));
	while (done < len) {
		ssize_t n = write(run->fd, r->wbuf + done, len - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? zs_from_errno(errno) : ZS_EIO;
		done += (size_t)n;
	}
	run->size += len;
	r->disk += len;
	r->wlen = 0;
	return 0;
}

/* Ends the run that is open for writing. */
static int close_writer(struct runs *r)
{
	int err = r->writing != NULL && r->wlen > 0 ? write_block(r) : 0;

	r->writing = NULL;
	r->wlen = 0;
	return err;
}

static int key_cmp(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	int c = memcmp(a, b, alen < blen ? alen : blen);

	return c != 0 ? c : (alen > blen) - (alen < blen);
}

static int begin_level(struct runs *r, unsigned level)
{
	struct run *run = NULL;
	int err = close_writer(r);

	if (err == 0)
		err = run_new(r, level, &run);
	if (err == 0)
		r->writing = run;
	return err;
}

int runs_begin(struct runs *r, const uint8_t *key, size_t klen)
{
	if (r->writing != NULL && key_cmp(r->writing->last, r->writing->last_len, key, klen) <= 0)
		return 0;
	return begin_level(r, 0);
}

static int write_octets(struct runs *r, const uint8_t *p, size_t len)
{
	size_t room = r->block - BLOCK_HEAD;

	while (len > 0) {
		size_t n = room - r->wlen < len ? room - r->wlen : len;

		memcpy(r->wbuf + BLOCK_HEAD + r->wlen, p, n);
		r->wlen += n;
		p += n;
		len -= n;
		if (r->wlen == room) {
			int err = write_block(r);

			if (err != 0)
				return err;
		}
	}
	return 0;
}

int runs_write(struct runs *r, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	struct run *run = r->writing;
	uint8_t head[PAIR_HEAD];
	int err;

	put_be16(head, (uint16_t)klen);
	put_be32(head + 2, (uint32_t)vlen);
	err = write_octets(r, head, sizeof(head));
	if (err == 0)
		err = write_octets(r, key, klen);
	if (err == 0)
		err = write_octets(r, val, vlen);
	if (klen > 0)
		memcpy(run->last, key, klen);
	run->last_len = klen;
	return err;
}

static int read_block(const struct runs *r, struct run *run)
{
	uint64_t left = run->size - run->pos;
	size_t want = left < r->block ? (size_t)left : r->block, got = 0;

	if (left == 0)
		return ZS_ENOENT;
	while (got < want) {
		ssize_t n = pread(run->fd, run->buf + got, want - got, (off_t)(run->pos + got));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return zs_from_errno(errno);
		if (n == 0)
			return ZS_ECRC; /* the file was cut */
		got += (size_t)n;
	}
	if (want < BLOCK_HEAD || be32(run->buf) != want - BLOCK_HEAD ||
	    crc32c(0, run->buf + BLOCK_HEAD, want - BLOCK_HEAD) != be32(run->buf + 4))
		return ZS_ECRC;
	run->pos += want;
	run->at = BLOCK_HEAD;
	run->have = want;
	return 0;
}

/* Copies len octets across blocks. ZS_ENOENT only when the run ends before the first of them. */
static int run_copy(const struct runs *r, struct run *run, uint8_t *dst, size_t len)
{
	size_t done = 0;

	while (done < len) {
		size_t n = run->have - run->at;

		if (n == 0) {
			int err = read_block(r, run);

			if (err != 0)
				return err == ZS_ENOENT && done > 0 ? ZS_ECRC : err;
			continue;
		}
		n = n < len - done ? n : len - done;
		memcpy(dst + done, run->buf + run->at, n);
		run->at += n;
		done += n;
	}
	return 0;
}

static int run_room(struct run *run, size_t len)
{
	uint8_t *grown;

	if (len <= run->big_cap)
		return 0;
	len = len > 2 * run->big_cap ? len : 2 * run->big_cap;
	grown = realloc(run->big, len);
	if (grown == NULL)
		return ZS_ENOMEM;
	run->big = grown;
	run->big_cap = len;
	return 0;
}

/* The next pair of a run; borrowed from its buffers until the next call for it. */
static int run_step(const struct runs *r, struct run *run)
{
	const uint8_t *p = run->buf + run->at;
	size_t left = run->have - run->at, len;
	uint8_t head[PAIR_HEAD];
	int err;

	if (left >= PAIR_HEAD && left - PAIR_HEAD >= (size_t)be16(p) + be32(p + 2)) {
		run->klen = be16(p);
		run->vlen = be32(p + 2);
		run->key = p + PAIR_HEAD;
		run->val = run->key + run->klen;
		run->at += PAIR_HEAD + run->klen + run->vlen;
		return 0;
	}
	err = run_copy(r, run, head, sizeof(head));
	if (err != 0)
		return err;
	run->klen = be16(head);
	run->vlen = be32(head + 2);
	if (run->klen > EXTSORT_KEY_MAX || run->vlen > EXTSORT_VALUE_MAX)
		return ZS_ECRC;
	len = run->klen + run->vlen;
	err = run_room(run, len > 0 ? len : 1);
	if (err == 0)
		err = run_copy(r, run, run->big, len);
	run->key = run->big;
	run->val = run->big + run->klen;
	return err == ZS_ENOENT ? ZS_ECRC : err;
}

static int run_open(const struct runs *r, struct run *run, unsigned order)
{
	if (run->buf == NULL && (run->buf = malloc(r->block)) == NULL)
		return ZS_ENOMEM;
	run->order = order;
	run->pos = 0;
	run->at = run->have = 0;
	return 0;
}

static bool run_before(const struct run *a, const struct run *b)
{
	int c = key_cmp(a->key, a->klen, b->key, b->klen);

	return c != 0 ? c < 0 : a->order < b->order;
}

static void heap_sift(struct runs *r, unsigned i)
{
	struct run *run = r->heap[i];

	for (;;) {
		unsigned k = 2 * i + 1;

		if (k >= r->heaped)
			break;
		if (k + 1 < r->heaped && run_before(r->heap[k + 1], r->heap[k]))
			k++;
		if (!run_before(r->heap[k], run))
			break;
		r->heap[i] = r->heap[k];
		i = k;
	}
	r->heap[i] = run;
}

/* Readers over run[from..from + n), each at its first pair. */
static int heap_open(struct runs *r, unsigned from, unsigned n)
{
	r->heaped = 0;
	r->handed = NULL;
	for (unsigned i = 0; i < n; i++) {
		struct run *run = r->run[from + i];
		int err = run_open(r, run, i);

		if (err == 0)
			err = run_step(r, run);
		if (err == 0)
			r->heap[r->heaped++] = run;
		else if (err != ZS_ENOENT)
			return err;
	}
	for (unsigned i = r->heaped / 2; i-- > 0;)
		heap_sift(r, i);
	return 0;
}

int runs_next(struct runs *r, const uint8_t **key, size_t *klen, const uint8_t **val, size_t *vlen)
{
	if (r->handed != NULL) {
		int err = run_step(r, r->handed);

		if (err != 0 && err != ZS_ENOENT)
			return err;
		if (err == ZS_ENOENT)
			r->heap[0] = r->heap[--r->heaped];
		r->handed = NULL;
		if (r->heaped > 0)
			heap_sift(r, 0);
	}
	if (r->heaped == 0)
		return ZS_ENOENT;
	r->handed = r->heap[0];
	*key = r->handed->key;
	*klen = r->handed->klen;
	*val = r->handed->val;
	*vlen = r->handed->vlen;
	return 0;
}

/* Replaces run[from..from + n) by one run of the given level, in the same place. */
static int merge(struct runs *r, unsigned from, unsigned n, unsigned level)
{
	const uint8_t *key, *val;
	size_t klen, vlen;
	struct run *made;
	int err = begin_level(r, level);

	if (err == 0)
		err = heap_open(r, from, n);
	while (err == 0) {
		err = runs_next(r, &key, &klen, &val, &vlen);
		if (err == 0)
			err = runs_write(r, key, klen, val, vlen);
	}
	if (err != ZS_ENOENT)
		return err;
	made = r->run[--r->n];
	for (unsigned i = from; i < from + n; i++) {
		r->disk -= r->run[i]->size;
		run_free(r->run[i]);
	}
	r->run[from] = made;
	memmove(r->run + from + 1, r->run + from + n, (r->n - from - n) * sizeof(struct run *));
	r->n -= n - 1;
	return 0;
}

bool runs_are_many(const struct runs *r)
{
	unsigned level;

	if (r->n < r->fan)
		return false;
	level = r->run[r->n - 1]->level;
	return r->run[r->n - r->fan]->level == level;
}

int runs_reduce(struct runs *r)
{
	int err = 0;

	while (err == 0 && runs_are_many(r))
		err = merge(r, r->n - r->fan, r->fan, r->run[r->n - 1]->level + 1);
	return err;
}

int runs_open(struct runs *r)
{
	int err = close_writer(r);

	while (err == 0 && r->n > r->fan) {
		unsigned n = r->n - r->fan + 1;

		n = n < r->fan ? n : r->fan;
		err = merge(r, r->n - n, n, 0);
		if (err == 0)
			err = close_writer(r);
	}
	free(r->wbuf);
	r->wbuf = NULL;
	return err == 0 ? heap_open(r, 0, r->n) : err;
}
