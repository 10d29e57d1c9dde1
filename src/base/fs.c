/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading and replacing small files. The order of a replacement is: open the directory, write and fsync the
 * temporary file, rename it, fsync the directory. So the name stands for the old octets or the new ones at
 * any moment, and when 0 is returned the new ones survive a power cut. After a failed fsync the kernel may
 * have thrown the pages away: nothing is retried, the temporary file is removed and the error returned. Only
 * the last step can fail with the new file already in place. Called by the mains, the store (CURRENT), the
 * key state files, the keymap and the file keys.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* asprintf, mkostemp */
#endif
#include "base/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/text.h"

#define FS_CHUNK 4096u /* room for a first read when the size is not known */
#define TMP_SUFFIX ".tmp-XXXXXX"
#define CRC_PREFIX "crc32c "
#define CRC_LINE 16u /* "crc32c ", eight digits, newline */

/* Closes without losing errno; for the way out. */
static void close_quietly(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

void fs_free_secret(char *p, size_t len)
{
	if (!p)
		return;
	explicit_bzero(p, len);
	free(p);
}

/* Twice the room; the old copy is cleared, for it may hold a secret. */
static int grow(char **p, size_t used, size_t *cap, size_t max)
{
	size_t ncap = *cap > max / 2 ? max : *cap * 2;
	char *q = malloc(ncap + 1);

	if (!q)
		return ZS_ENOMEM;
	memcpy(q, *p, used);
	fs_free_secret(*p, used);
	*p = q;
	*cap = ncap;
	return 0;
}

/* Reads fd to its end. hint: the size where it is known (files of /proc say 0). */
static int read_all(int fd, size_t hint, size_t max, char **out, size_t *len)
{
	size_t cap = hint ? hint : FS_CHUNK, used = 0;
	char probe, *p;
	ssize_t n;
	int ret = 0;

	if (cap > max)
		cap = max;
	p = malloc(cap + 1);
	if (!p)
		return ZS_ENOMEM;
	for (;;) {
		/* with no room left, one octet more tells an end from a file that is too long */
		n = used < cap ? read(fd, p + used, cap - used) : read(fd, &probe, 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			ret = zs_from_errno(errno);
		if (n <= 0)
			break;
		if (used < cap) {
			used += (size_t)n;
			continue;
		}
		ret = cap >= max ? ZS_ELIMIT : grow(&p, used, &cap, max);
		if (ret)
			break;
		p[used++] = probe;
	}
	explicit_bzero(&probe, 1);
	if (ret) {
		fs_free_secret(p, used);
		return ret;
	}
	p[used] = '\0';
	*out = p;
	*len = used;
	return 0;
}

static int check_secret(const struct stat *st)
{
	if (!S_ISREG(st->st_mode)) {
		errno = EINVAL;
		return ZS_EPERM;
	}
	if (st->st_mode & (S_IRWXG | S_IRWXO)) {
		errno = EPERM;
		return ZS_EPERM;
	}
	return 0;
}

static int read_file(const char *path, size_t max, int secret, char **out, size_t *len)
{
	struct stat st;
	int fd, ret;

	if (max >= SSIZE_MAX)
		max = SSIZE_MAX - 1;
	/* a secret must be a regular file: without O_NONBLOCK a FIFO in its place would hang the open */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | (secret ? O_NONBLOCK : 0));
	if (fd < 0)
		return zs_from_errno(errno);
	if (fstat(fd, &st) < 0) {
		ret = zs_from_errno(errno);
		goto out;
	}
	if (secret) {
		ret = check_secret(&st);
		if (ret)
			goto out;
	}
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > max) {
		errno = EFBIG;
		ret = ZS_ELIMIT;
		goto out;
	}
	ret = read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size : 0, max, out, len);
out:
	close_quietly(fd);
	return ret;
}

int fs_read(const char *path, size_t max, char **out, size_t *len)
{
	return read_file(path, max, 0, out, len);
}

int fs_read_secret(const char *path, size_t max, char **out, size_t *len)
{
	return read_file(path, max, 1, out, len);
}

/* Opens the directory that holds path, or path itself when `self`. The descriptor or an error. */
static int open_dir(const char *path, int self)
{
	const char *slash = self ? NULL : strrchr(path, '/');
	char *dir = NULL;
	int fd;

	if (self)
		dir = strdup(path);
	else if (!slash)
		dir = strdup(".");
	else
		dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!dir)
		return ZS_ENOMEM;
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	free(dir);
	return fd < 0 ? zs_from_errno(errno) : fd;
}

int fs_sync_dir(const char *path)
{
	int ret = 0, fd = open_dir(path, 1);

	if (fd < 0)
		return fd;
	if (fsync(fd) < 0)
		ret = zs_from_errno(errno);
	close_quietly(fd);
	return ret;
}

static int write_all(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0) {
			if (errno == EINTR)
				continue;
			return zs_from_errno(errno);
		}
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

/* The parts of a file, written one after the other. */
struct part {
	const void *p;
	size_t len;
};

/* Makes the temporary file whole and durable. It is closed in any case. */
static int fill_tmp(int fd, const struct part *parts, unsigned n, mode_t mode)
{
	int ret = 0;

	for (unsigned i = 0; i < n && ret == 0; i++)
		ret = write_all(fd, parts[i].p, parts[i].len);
	if (ret == 0 && fchmod(fd, mode) < 0)
		ret = zs_from_errno(errno);
	if (ret == 0 && fsync(fd) < 0)
		ret = zs_from_errno(errno);
	if (ret) {
		close_quietly(fd);
		return ret;
	}
	return close(fd) < 0 ? zs_from_errno(errno) : 0;
}

static int replace_parts(const char *path, const struct part *parts, unsigned n, mode_t mode)
{
	char *tmp = NULL;
	int dfd, fd, ret, saved;

	dfd = open_dir(path, 0);
	if (dfd < 0)
		return dfd;
	if (asprintf(&tmp, "%s%s", path, TMP_SUFFIX) < 0) {
		tmp = NULL;
		ret = ZS_ENOMEM;
		goto out;
	}
	fd = mkostemp(tmp, O_CLOEXEC); /* mode 0600: nobody else reads it half-written */
	if (fd < 0) {
		ret = zs_from_errno(errno);
		goto out;
	}
	ret = fill_tmp(fd, parts, n, mode);
	if (ret == 0 && rename(tmp, path) < 0)
		ret = zs_from_errno(errno);
	if (ret) {
		saved = errno;
		unlink(tmp);
		errno = saved;
		goto out;
	}
	if (fsync(dfd) < 0)
		ret = zs_from_errno(errno);
out:
	free(tmp);
	close_quietly(dfd);
	return ret;
}

int fs_replace(const char *path, const void *data, size_t len, mode_t mode)
{
	const struct part part = { data, len };

	return replace_parts(path, &part, 1, mode);
}

/* "crc32c XXXXXXXX\n" and a NUL over the text before it. */
static void make_crc_line(char line[static CRC_LINE + 1], const void *text, size_t len)
{
	snprintf(line, CRC_LINE + 1, CRC_PREFIX "%08x\n", crc32c(0, text, len));
}

int fs_replace_checked(const char *path, const char *text, size_t len, mode_t mode)
{
	char line[CRC_LINE + 1];
	const struct part parts[] = { { text, len }, { line, CRC_LINE } };

	if (len && text[len - 1] != '\n') {
		errno = EINVAL;
		return ZS_EINVAL;
	}
	make_crc_line(line, text, len);
	return replace_parts(path, parts, 2, mode);
}

int fs_read_checked(const char *path, size_t max, char **out, size_t *len)
{
	char line[CRC_LINE + 1];
	char *p = NULL;
	size_t n = 0;
	int ret;

	ret = fs_read(path, max > SIZE_MAX - CRC_LINE ? SIZE_MAX : max + CRC_LINE, &p, &n);
	if (ret)
		return ret;
	ret = ZS_ECRC;
	if (n < CRC_LINE)
		goto out;
	n -= CRC_LINE;
	make_crc_line(line, p, n);
	if (memcmp(line, p + n, CRC_LINE) != 0 || (n && p[n - 1] != '\n'))
		goto out;
	p[n] = '\0';
	*out = p;
	*len = n;
	return 0;
out:
	free(p);
	return ret;
}

/* One directory. It gets its mode whatever the umask is; one that is there already is left as it is. */
static int make_dir(const char *path, mode_t mode)
{
	struct stat st;
	int dfd, ret = 0;

	if (mkdir(path, mode & 0700) < 0) {
		int saved = errno;

		if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			return 0;
		errno = saved;
		return zs_from_errno(saved);
	}
	if (chmod(path, mode) < 0)
		return zs_from_errno(errno);
	dfd = open_dir(path, 0);
	if (dfd < 0)
		return dfd;
	if (fsync(dfd) < 0)
		ret = zs_from_errno(errno);
	close_quietly(dfd);
	return ret;
}

int fs_mkdir_p(const char *path, mode_t mode)
{
	char *p = strdup(path);
	size_t len, i;
	int ret = 0;

	if (!p)
		return ZS_ENOMEM;
	len = strlen(p);
	while (len > 1 && p[len - 1] == '/')
		p[--len] = '\0';
	if (len == 0) {
		errno = ENOENT;
		ret = ZS_ENOENT;
	}
	for (i = 1; i < len && ret == 0; i++) {
		if (p[i] != '/' || p[i - 1] == '/')
			continue;
		p[i] = '\0';
		ret = make_dir(p, mode);
		p[i] = '/';
	}
	if (ret == 0)
		ret = make_dir(p, mode);
	free(p);
	return ret;
}

int fs_remove(const char *path)
{
	int ret = 0, dfd = open_dir(path, 0);

	if (dfd < 0)
		return dfd == ZS_ENOENT ? 0 : dfd; /* no directory, no file */
	if (unlink(path) < 0 && errno != ENOENT)
		ret = zs_from_errno(errno);
	/* also when it was missing: an earlier removal may not have reached the disk */
	else if (fsync(dfd) < 0)
		ret = zs_from_errno(errno);
	close_quietly(dfd);
	return ret;
}

static int is_tmp_name(const char *name)
{
	size_t n = strlen(name), tail = sizeof TMP_SUFFIX - 1, fixed = tail - 6;

	return n > tail && memcmp(name + n - tail, TMP_SUFFIX, fixed) == 0;
}

int fs_sweep_tmp(const char *dir)
{
	struct dirent *e;
	int ret = 0;
	DIR *d;

	d = opendir(dir);
	if (!d)
		return zs_from_errno(errno);
	while ((e = readdir(d)) != NULL)
		if (is_tmp_name(e->d_name) && unlinkat(dirfd(d), e->d_name, 0) < 0 && errno != ENOENT)
			ret = zs_from_errno(errno);
	/* not synced: a name that comes back after a crash is swept again */
	closedir(d);
	return ret;
}
