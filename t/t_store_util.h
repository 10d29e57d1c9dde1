/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by the tests of the store: a state directory of their own, and small keys. */
#ifndef ZONESEAL_T_STORE_UTIL_H
#define ZONESEAL_T_STORE_UTIL_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* nftw; include this header first */
#endif
#include <ftw.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/kv.h"
#include "store/store.h"

/* example.com */
#define ZONE ((const uint8_t *)"\7example\3com")

static inline int rm_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	return remove(path);
}

static inline void rm_tree(const char *path)
{
	nftw(path, rm_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* dst: 64 octets. */
static inline char *make_dir(char *dst)
{
	snprintf(dst, 64, "t_store.XXXXXX");
	if (!mkdtemp(dst))
		abort();
	return dst;
}

/* Path of a file of ZONE's directory. */
static inline char *zone_file(const char *state, const char *name, char *dst, size_t cap)
{
	char rel[STORE_PATH_MAX];

	if (store_zone_path(ZONE, rel, sizeof rel))
		abort();
	snprintf(dst, cap, "%s/zones/%s/%s", state, rel, name);
	return dst;
}

static inline int exists(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0;
}

/* A key of the records table and a value that follows from key and salt. */
static inline size_t num_key(uint8_t *dst, uint32_t n)
{
	dst[0] = 0x20;
	put_be32(dst + 1, n);
	return 5;
}

static inline size_t num_val(uint8_t *dst, uint32_t n, uint32_t salt)
{
	size_t len = 8 + (n * 7 + salt * 13) % 100;

	memset(dst, (int)(n + salt), len);
	put_be32(dst, n);
	put_be32(dst + 4, salt);
	return len;
}

static inline int put_num(struct kv *kv, uint32_t n, uint32_t salt)
{
	uint8_t key[8], val[128];
	size_t klen = num_key(key, n);

	return kv_put(kv, key, klen, val, num_val(val, n, salt));
}

/* 0 when n is there with that salt. */
static inline int check_num(struct kv *kv, uint32_t n, uint32_t salt)
{
	uint8_t key[8], val[128];
	size_t klen = num_key(key, n), vlen = num_val(val, n, salt);
	struct kv_item it;
	int rc = kv_get(kv, key, klen, &it);

	if (rc)
		return rc;
	return it.vlen == vlen && memcmp(it.val, val, vlen) == 0 ? 0 : 1;
}

/* One version: puts numbers from..to with a salt. */
static inline int commit_nums(struct store *s, uint32_t from, uint32_t to, uint32_t salt, uint64_t *version)
{
	struct snap *sn = NULL;
	struct view *v;
	struct kv *kv;
	int rc = store_snap(s, &sn);

	if (rc && rc != ZS_ENOENT)
		return rc;
	rc = view_new(sn, &v);
	snap_unref(sn);
	if (rc)
		return rc;
	rc = view_kv(v, &kv);
	for (uint32_t n = from; !rc && n <= to; n++)
		rc = put_num(kv, n, salt);
	if (!rc)
		rc = store_commit(s, v, version);
	view_free(v);
	return rc;
}

#endif
