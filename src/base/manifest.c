/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing and checking the list of a directory's files. Files are written without a sync of their own: one
 * syncfs() before the list makes all of them durable, so that a backup of many small zones does not wait for
 * the disk file by file. Used by engine and vault for their part of a backup, by the parent for the whole and
 * for the check of a restored state directory.
 *
 * Invariants: the list is written after everything that it names is durable; a name never leads out of the
 * directory; links are not followed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* syncfs */
#endif
#include "base/manifest.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/text.h"

#define HEAD "zoneseal-backup "
#define FORMAT 1
#define LIST_MAX ((size_t)1 << 30)
#define BLOCK ((size_t)1 << 20)
#define DEPTH 2 /* the whole, and its parts */

struct manifest {
	char *dir;
	struct wr list; /* its lines so far */
	uint64_t octets, files;
};

struct manifest *manifest_new(const char *dir)
{
	struct manifest *m = calloc(1, sizeof(*m));

	if (!m || !(m->dir = strdup(dir))) {
		free(m);
		return NULL;
	}
	m->list = wr_growing(LIST_MAX);
	return m;
}

void manifest_free(struct manifest *m)
{
	if (!m)
		return;
	wr_free(&m->list);
	free(m->dir);
	free(m);
}

const char *manifest_dir(const struct manifest *m)
{
	return m->dir;
}

uint64_t manifest_octets(const struct manifest *m)
{
	return m->octets;
}

uint64_t manifest_files(const struct manifest *m)
{
	return m->files;
}

/* Inside of the directory, and a line of its own. */
static bool name_ok(const char *name)
{
	if (!*name || *name == '/' || strlen(name) > 1024)
		return false;
	for (const char *p = name; *p; p++) {
		if ((unsigned char)*p <= ' ' || (unsigned char)*p > '~')
			return false;
		if ((p == name || p[-1] == '/') &&
		    (*p == '/' || (*p == '.' && (p[1] == '/' || !p[1])) ||
		     (*p == '.' && p[1] == '.' && (p[2] == '/' || !p[2]))))
			return false;
	}
	return name[strlen(name) - 1] != '/';
}

static int path_of(const char *dir, const char *name, char dst[static MANIFEST_PATH_MAX])
{
	int n = snprintf(dst, MANIFEST_PATH_MAX, "%s/%s", dir, name);

	if (!name_ok(name))
		return ZS_EINVAL;
	return n < 0 || n >= MANIFEST_PATH_MAX ? ZS_ELIMIT : 0;
}

/* --- writing -------------------------------------------------------------------------------------------- */

int manifest_mkdir(struct manifest *m, const char *name)
{
	char path[MANIFEST_PATH_MAX];
	int rc = path_of(m->dir, name, path);
	char *p = path + strlen(m->dir) + 1;

	while (!rc && p) {
		p = strchr(p, '/');
		if (p)
			*p = '\0';
		if (mkdir(path, 0700) && errno != EEXIST)
			rc = zs_from_errno(errno);
		if (p)
			*p++ = '/';
	}
	return rc;
}

static int note_file(struct manifest *m, const char *name, uint64_t octets, uint32_t crc)
{
	char line[1200];
	int n = snprintf(line, sizeof(line), "file %llu %08x %s\n", (unsigned long long)octets, crc, name);

	wr_bytes(&m->list, line, (size_t)n);
	m->octets += octets;
	m->files++;
	return m->list.err;
}

static int put_all(int fd, const char *p, size_t len)
{
	while (len) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return zs_from_errno(errno);
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_two(struct manifest *m, const char *name, const void *data, size_t len, const char *tail)
{
	char path[MANIFEST_PATH_MAX];
	int rc = path_of(m->dir, name, path), fd;
	uint32_t crc;

	if (rc)
		return rc;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return zs_from_errno(errno);
	rc = put_all(fd, data, len);
	if (!rc)
		rc = put_all(fd, tail, strlen(tail));
	if (close(fd) && !rc)
		rc = zs_from_errno(errno);
	if (rc)
		return rc;
	crc = crc32c(crc32c(0, data, len), tail, strlen(tail));
	return note_file(m, name, len + strlen(tail), crc);
}

int manifest_write(struct manifest *m, const char *name, const void *data, size_t len)
{
	return write_two(m, name, data, len, "");
}

int manifest_write_checked(struct manifest *m, const char *name, const char *text, size_t len)
{
	char tail[32];

	snprintf(tail, sizeof(tail), "crc32c %08x\n", crc32c(0, text, len));
	return write_two(m, name, text, len, tail);
}

/* Size and checksum of what stands there now. */
static int sum_file(const char *path, manifest_tick tick, void *ctx, uint64_t *octets, uint32_t *crc)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC), rc = 0;
	char *block = malloc(BLOCK);
	struct stat st;
	ssize_t n = 1;

	*octets = 0;
	*crc = 0;
	if (fd < 0)
		rc = zs_from_errno(errno);
	else if (!block)
		rc = ZS_ENOMEM;
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		rc = ZS_EINVAL;
	while (!rc && n) {
		n = read(fd, block, BLOCK);
		if (n < 0 && errno != EINTR)
			rc = zs_from_errno(errno);
		if (n > 0) {
			*crc = crc32c(*crc, block, (size_t)n);
			*octets += (uint64_t)n;
		}
		if (!rc && tick)
			rc = tick(ctx);
	}
	if (fd >= 0)
		close(fd);
	if (block)
		explicit_bzero(block, BLOCK); /* key files are listed too */
	free(block);
	return rc;
}

int manifest_add(struct manifest *m, const char *name, manifest_tick tick, void *ctx)
{
	char path[MANIFEST_PATH_MAX];
	uint64_t octets;
	uint32_t crc;
	int rc = path_of(m->dir, name, path);

	if (!rc)
		rc = sum_file(path, tick, ctx, &octets, &crc);
	return rc ? rc : note_file(m, name, octets, crc);
}

int manifest_note(struct manifest *m, const char *text)
{
	char line[512];
	int n = snprintf(line, sizeof(line) - 1, "note %s", text);

	if (n < 0)
		return ZS_EINVAL;
	if ((size_t)n > sizeof(line) - 2)
		n = (int)sizeof(line) - 2;
	for (int i = 0; i < n; i++)
		if ((unsigned char)line[i] < ' ')
			line[i] = ' ';
	line[n++] = '\n';
	wr_bytes(&m->list, line, (size_t)n);
	return m->list.err;
}

static int sync_all(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;

	if (fd < 0)
		return zs_from_errno(errno);
	if (syncfs(fd))
		rc = zs_from_errno(errno);
	close(fd);
	return rc;
}

int manifest_save(struct manifest *m, wall_t now)
{
	char path[MANIFEST_PATH_MAX], head[96];
	struct wr w = wr_growing(LIST_MAX + sizeof(head));
	int n = snprintf(head, sizeof(head), HEAD "%d\ntime %lld\n", FORMAT, (long long)now.s);
	int rc = m->list.err ? m->list.err : path_of(m->dir, MANIFEST_NAME, path);

	if (!rc)
		rc = sync_all(m->dir);
	wr_bytes(&w, head, (size_t)n);
	wr_bytes(&w, m->list.p, m->list.len);
	if (!rc)
		rc = w.err ? w.err : fs_replace_checked(path, (const char *)w.p, w.len, 0600);
	wr_free(&w);
	return rc;
}

/* --- checking ------------------------------------------------------------------------------------------- */

struct check {
	manifest_tick tick;
	void *ctx;
	struct manifest_report *out;
};

static int wrong(struct check *c, const char *dir, const char *name, const char *why)
{
	snprintf(c->out->what, sizeof(c->out->what), "%.300s/%.120s: %.60s", dir, name, why);
	return ZS_ECRC;
}

static int check_list(struct check *c, const char *dir, unsigned depth);

static int check_file(struct check *c, const char *dir, const char *name, uint64_t octets, uint32_t crc,
		      unsigned depth)
{
	size_t n = strlen(name), tail = strlen("/" MANIFEST_NAME);
	char path[MANIFEST_PATH_MAX];
	uint64_t is;
	uint32_t sum;
	int rc = path_of(dir, name, path);

	if (rc)
		return wrong(c, dir, MANIFEST_NAME, "names a file that cannot be");
	rc = sum_file(path, c->tick, c->ctx, &is, &sum);
	if (rc == ZS_ENOENT)
		return wrong(c, dir, name, "is missing");
	if (rc == ZS_ECANCEL || rc == ZS_ENOMEM)
		return rc;
	if (rc)
		return wrong(c, dir, name, zs_strerror(rc));
	if (is != octets)
		return wrong(c, dir, name, is < octets ? "is shorter than it was" : "is longer than it was");
	if (sum != crc)
		return wrong(c, dir, name, "has other content than it had");
	c->out->files++;
	c->out->octets += is;
	if (depth < DEPTH && n > tail && strcmp(name + n - tail, "/" MANIFEST_NAME) == 0) {
		path[strlen(path) - tail] = '\0';
		return check_list(c, path, depth + 1);
	}
	return 0;
}

/* One line, cut off by its newline. Lines of a later minor writer would have a format of their own. */
static int check_line(struct check *c, const char *dir, char *line, unsigned depth)
{
	unsigned long long octets;
	unsigned crc;
	int at = 0;

	if (strncmp(line, "note ", 5) == 0)
		return 0;
	if (sscanf(line, "file %20llu %8x %n", &octets, &crc, &at) != 2 || !at)
		return wrong(c, dir, MANIFEST_NAME, "has a line that is none");
	return check_file(c, dir, line + at, octets, crc, depth);
}

static int check_head(struct check *c, const char *dir, char *text, unsigned depth, char **rest)
{
	unsigned format;
	long long time;
	int at = 0;

	if (sscanf(text, HEAD "%9u\n", &format) != 1)
		return wrong(c, dir, MANIFEST_NAME, "is no list of a backup");
	if (format > FORMAT) {
		wrong(c, dir, MANIFEST_NAME, "is of a newer format");
		return ZS_EVERSION;
	}
	if (sscanf(text, HEAD "%9u\ntime %20lld\n%n", &format, &time, &at) != 2 || !at)
		return wrong(c, dir, MANIFEST_NAME, "is no list of a backup");
	if (depth == 1)
		c->out->time = time;
	*rest = text + at;
	return 0;
}

static int check_list(struct check *c, const char *dir, unsigned depth)
{
	char path[MANIFEST_PATH_MAX], *text = NULL, *p, *end;
	size_t len = 0;
	int rc = path_of(dir, MANIFEST_NAME, path);

	if (!rc)
		rc = fs_read_checked(path, LIST_MAX, &text, &len);
	if (rc == ZS_ECRC)
		wrong(c, dir, MANIFEST_NAME, "is damaged");
	if (!rc)
		rc = check_head(c, dir, text, depth, &p);
	while (!rc && (end = strchr(p, '\n'))) {
		*end = '\0';
		rc = check_line(c, dir, p, depth);
		p = end + 1;
	}
	free(text);
	return rc;
}

int manifest_check(const char *dir, manifest_tick tick, void *ctx, struct manifest_report *out)
{
	struct check c = { tick, ctx, out };

	memset(out, 0, sizeof(*out));
	return check_list(&c, dir, 1);
}
