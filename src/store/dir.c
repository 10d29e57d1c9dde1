/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state directory: its lock, zones/ and tmp/, and the directory names of zones. Called once at start, and
 * for every zone that opens.
 *
 * Directory names: the labels in presentation order with dots between them, a-z 0-9 - and _ as they are,
 * every other octet as %xx; the root is "@". What gets longer than PLAIN_MAX is cut and ends in "~" and a
 * SipHash-2-4-128 of the whole name. "@" and "~" never stand for themselves, a dot only between labels: the
 * encoding is injective except for the hash, and the name that stands in the file is compared as well. In
 * front stands a fan-out of 256 directories.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syncfs */
#endif
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/text.h"
#include "priv.h"
#include "siphash.h"

#define PLAIN_MAX 200          /* octets of an encoded name without hash */
#define CUT_AT 150
#define MAX_OPEN_DEFAULT 256
#define TREE_DEPTH 8

char *path_join(const char *a, const char *b)
{
	size_t len = strlen(a) + strlen(b) + 2;
	char *p = malloc(len);

	if (p)
		snprintf(p, len, "%s/%s", a, b);
	return p;
}

/* --- names ---------------------------------------------------------------------------------------------- */

static bool is_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static char *put_octet(char *dst, uint8_t c)
{
	if (!is_plain(c))
		return dst + snprintf(dst, 4, "%%%02x", c);
	*dst++ = (char)c;
	return dst;
}

/* dst holds three octets for each of the name. */
static size_t encode(const uint8_t *zone, char *dst)
{
	char *p = dst;

	if (!zone[0])
		*p++ = '@';
	for (const uint8_t *l = zone; *l; l += *l + 1) {
		if (l != zone)
			*p++ = '.';
		for (unsigned i = 1; i <= *l; i++)
			p = put_octet(p, l[i]);
	}
	*p = '\0';
	return (size_t)(p - dst);
}

int store_zone_path(const uint8_t *zone, char *dst, size_t cap)
{
	static const uint8_t key[16] = "zoneseal zones";
	char plain[3 * 255 + 1], hex[33];
	uint8_t hash[16];
	size_t len = encode(zone, plain), wire = 1;
	int n;

	for (const uint8_t *l = zone; *l; l += *l + 1)
		wire += *l + 1u;
	siphash128(key, zone, wire, hash);
	text_hex(hex, hash, sizeof hash);
	if (len <= PLAIN_MAX)
		n = snprintf(dst, cap, "%.2s/%s", hex, plain);
	else
		n = snprintf(dst, cap, "%.2s/%.*s~%s", hex, CUT_AT, plain, hex);
	return n < 0 || (size_t)n >= cap ? ZS_EFULL : 0;
}

/* --- directories ---------------------------------------------------------------------------------------- */

static int remove_in(int parent, const char *name, bool self, unsigned depth)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	int rc = 0;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return zs_from_errno(errno);
	}
	while (!rc && (e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (unlinkat(fd, e->d_name, 0) == 0)
			continue;
		rc = zs_from_errno(errno);
		if (errno == EISDIR && depth)
			rc = remove_in(fd, e->d_name, true, depth - 1);
	}
	closedir(dir);
	if (!rc && self && unlinkat(parent, name, AT_REMOVEDIR))
		rc = zs_from_errno(errno);
	return rc;
}

int dir_remove_tree(const char *path, bool self)
{
	return remove_in(AT_FDCWD, path, self, TREE_DEPTH);
}

/* What replacements that a crash cut off left behind (fs_replace: NAME.tmp-XXXXXX). */
void dir_remove_temporary(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	if (!dir)
		return;
	while ((e = readdir(dir)))
		if (strstr(e->d_name, ".tmp-"))
			unlinkat(dirfd(dir), e->d_name, 0);
	closedir(dir);
}

/* "<n>.mdb", n without leading zeros; 0 otherwise. */
static uint64_t number_of(const char *name)
{
	char digits[24];
	uint64_t n;
	size_t len = strlen(name);

	if (len < 5 || len - 4 >= sizeof digits || strcmp(name + len - 4, ".mdb") != 0 || name[0] == '0')
		return 0;
	memcpy(digits, name, len - 4);
	digits[len - 4] = '\0';
	return text_u64(digits, UINT64_MAX - 2, &n) ? 0 : n;
}

static int cmp_u64(const void *a, const void *b)
{
	uint64_t x, y;

	memcpy(&x, a, sizeof x);
	memcpy(&y, b, sizeof y);
	return (x > y) - (x < y);
}

int dir_generations(const char *path, uint64_t **out, size_t *n)
{
	DIR *dir = opendir(path);
	struct wr w = wr_growing((size_t)1 << 24);
	struct dirent *e;
	uint64_t v;
	int rc;

	if (!dir)
		return zs_from_errno(errno);
	while ((e = readdir(dir))) {
		v = number_of(e->d_name);
		if (v)
			wr_bytes(&w, &v, sizeof v);
	}
	closedir(dir);
	rc = w.err;
	if (rc) {
		wr_free(&w);
		return rc;
	}
	*n = w.len / sizeof v;
	if (*n)
		qsort(w.p, *n, sizeof v, cmp_u64);
	*out = (uint64_t *)(void *)w.p;
	return 0;
}

static int take_lock(struct store_dir *d)
{
	char *path = path_join(d->path, "lock");
	int rc = 0;

	if (!path)
		return ZS_ENOMEM;
	d->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (d->lock_fd < 0)
		rc = zs_from_errno(errno);
	else if (flock(d->lock_fd, LOCK_EX | LOCK_NB))
		rc = errno == EWOULDBLOCK ? ZS_EEXIST : zs_from_errno(errno);
	free(path);
	return rc;
}

/*
 * What a killed process wrote may be seen here and still be lost with the power: a meta page, a renamed
 * CURRENT. It becomes durable before anything is served from it.
 */
static int settle(const struct store_dir *d)
{
	return syncfs(d->lock_fd) ? zs_from_errno(errno) : 0;
}

static int prepare(struct store_dir *d)
{
	int network = 0;
	int rc = fs_mkdir_p(d->path, 0750);

	if (!rc)
		rc = fs_is_network(d->path, &network);
	if (!rc && network)
		rc = ZS_EPERM;
	if (!rc)
		rc = take_lock(d);
	if (!rc)
		rc = settle(d);
	if (!rc)
		rc = fs_mkdir_p(d->zones, 0700);
	if (!rc)
		rc = fs_mkdir_p(d->tmp, 0700);
	return rc ? rc : dir_remove_tree(d->tmp, false);
}

int store_dir_open(const char *state_dir, const struct store_dir_opts *opts, struct store_dir **out)
{
	struct store_dir *d = calloc(1, sizeof *d);
	int rc;

	if (!d)
		return ZS_ENOMEM;
	d->lock_fd = -1;
	d->max_open = opts->max_open ? opts->max_open : MAX_OPEN_DEFAULT;
	d->min_free = opts->min_free;
	d->map_size = opts->map_size;
	d->recent_from = opts->recent_from ? opts->recent_from : store_recent_from;
	d->grow_wait_ms = opts->grow_wait_ms ? opts->grow_wait_ms : GROW_WAIT_MS;
	pthread_mutex_init(&d->lock, NULL);
	pthread_cond_init(&d->changed, NULL);
	d->path = strdup(state_dir);
	d->zones = path_join(state_dir, "zones");
	d->tmp = path_join(state_dir, "tmp");
	rc = d->path && d->zones && d->tmp ? prepare(d) : ZS_ENOMEM;
	if (rc) {
		store_dir_close(d);
		return rc;
	}
	*out = d;
	return 0;
}

void store_dir_close(struct store_dir *d)
{
	if (!d)
		return;
	if (d->lock_fd >= 0)
		close(d->lock_fd);
	pthread_mutex_destroy(&d->lock);
	pthread_cond_destroy(&d->changed);
	free(d->path);
	free(d->zones);
	free(d->tmp);
	free(d);
}

const char *store_dir_tmp(const struct store_dir *d)
{
	return d->tmp;
}
