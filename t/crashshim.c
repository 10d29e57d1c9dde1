/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Interposed file calls (crashshim.h). The order inside one numbered call: count, die before or fail, do it,
 * record it, die after. A file gets its number when it is opened; descriptors of files outside the root are
 * left alone.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "crashshim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define FDS 4096
#define INODES 4096

struct fdinfo {
	uint32_t file; /* 0: not ours */
	bool dsync;
	bool dir;
};

static struct {
	enum crash_mode mode;
	char root[PATH_MAX];
	size_t root_len;
	long at;
	int err;
	int fd;
	long count;
	uint32_t files;
	struct fdinfo fds[FDS];
	struct { dev_t dev; ino_t ino; uint32_t file; } inodes[INODES];
	unsigned ninodes;
	pthread_mutex_t lock;
	char *count_file;
} sh = { .lock = PTHREAD_MUTEX_INITIALIZER };

#define REAL(ret, name, args) \
	static ret (*real) args; \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, #name)

/* --- which files ---------------------------------------------------------------------------------------- */

/* Path below the root, or NULL. buf holds PATH_MAX. */
static const char *below(int dirfd, const char *path, char *buf)
{
	char link[64];
	ssize_t n = 0;

	if (sh.mode == CRASH_OFF)
		return NULL;
	if (path[0] != '/') {
		if (dirfd == AT_FDCWD) {
			if (!getcwd(buf, PATH_MAX))
				return NULL;
			n = (ssize_t)strlen(buf);
		} else {
			snprintf(link, sizeof link, "/proc/self/fd/%d", dirfd);
			n = readlink(link, buf, PATH_MAX - 1);
			if (n < 0)
				return NULL;
		}
		buf[n++] = '/';
	}
	if ((size_t)n + strlen(path) >= PATH_MAX)
		return NULL;
	memcpy(buf + n, path, strlen(path) + 1);
	if (strncmp(buf, sh.root, sh.root_len) != 0 || (buf[sh.root_len] != '/' && buf[sh.root_len]))
		return NULL;
	return buf[sh.root_len] ? buf + sh.root_len + 1 : "";
}

static uint32_t file_number(const struct stat *st, bool created)
{
	unsigned i;

	for (i = 0; i < sh.ninodes; i++)
		if (sh.inodes[i].dev == st->st_dev && sh.inodes[i].ino == st->st_ino)
			break;
	if (i == INODES)
		abort();
	if (i == sh.ninodes) {
		sh.ninodes++;
		created = true;
	}
	if (created) {
		sh.inodes[i].dev = st->st_dev;
		sh.inodes[i].ino = st->st_ino;
		sh.inodes[i].file = ++sh.files;
	}
	return sh.inodes[i].file;
}

static struct fdinfo fd_of(int fd)
{
	struct fdinfo none = { 0, false, false };

	return sh.mode == CRASH_OFF || fd < 0 || fd >= FDS ? none : sh.fds[fd];
}

/* --- numbered calls ------------------------------------------------------------------------------------- */

static void die(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		pause();
}

/* True: the call is to fail, errno is set. *half: do half of it and die. */
static bool enter(bool *half)
{
	long n = __atomic_add_fetch(&sh.count, 1, __ATOMIC_RELAXED);

	*half = false;
	if (n != sh.at)
		return false;
	if (sh.mode == CRASH_BEFORE)
		die();
	*half = sh.mode == CRASH_HALF;
	if (sh.mode != CRASH_FAIL)
		return false;
	errno = sh.err;
	return true;
}

static void leave(void)
{
	if (sh.mode != CRASH_AFTER && sh.mode != CRASH_HALF)
		return;
	if (__atomic_load_n(&sh.count, __ATOMIC_RELAXED) == sh.at)
		die();
}

static void put(const void *p, size_t len)
{
	REAL(ssize_t, write, (int, const void *, size_t));
	const char *c = p;

	while (len) {
		ssize_t n = real(sh.fd, c, len);

		if (n <= 0)
			abort();
		c += n;
		len -= (size_t)n;
	}
}

static void record(struct crash_rec r, const char *a, const char *b, const void *data)
{
	int saved = errno;

	if (sh.mode != CRASH_TRACE)
		return;
	r.text1 = a ? (uint32_t)strlen(a) : 0;
	r.text2 = b ? (uint32_t)strlen(b) : 0;
	pthread_mutex_lock(&sh.lock);
	put(&r, sizeof r);
	put(a, r.text1);
	put(b, r.text2);
	if (r.op == OP_WRITE)
		put(data, r.len);
	pthread_mutex_unlock(&sh.lock);
	errno = saved;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static void opened(int fd, const char *rel, bool created, int flags)
{
	struct stat st;

	if (fd < 0 || fd >= FDS)
		return;
	memset(&sh.fds[fd], 0, sizeof sh.fds[fd]);
	if (!rel || fstat(fd, &st))
		return;
	pthread_mutex_lock(&sh.lock);
	sh.fds[fd].dir = S_ISDIR(st.st_mode);
	sh.fds[fd].file = file_number(&st, created);
	sh.fds[fd].dsync = (flags & O_DSYNC) != 0;
	pthread_mutex_unlock(&sh.lock);
	if (created)
		record((struct crash_rec){ .op = OP_CREATE, .file = sh.fds[fd].file }, rel, NULL, NULL);
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	REAL(int, openat, (int, const char *, int, ...));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	struct stat st;
	bool creates = rel && (flags & O_CREAT) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0, half;
	int fd;

	if (creates && enter(&half))
		return -1;
	fd = real(dirfd, path, flags, mode);
	opened(fd, rel, creates && fd >= 0, flags);
	if (creates)
		leave();
	return fd;
}

int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(AT_FDCWD, path, flags, mode);
}

int openat(int dirfd, const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode = 0;

	va_start(ap, flags);
	if (flags & (O_CREAT | __O_TMPFILE))
		mode = va_arg(ap, mode_t);
	va_end(ap);
	return do_open(dirfd, path, flags, mode);
}

int mkostemp(char *template, int flags)
{
	REAL(int, mkostemp, (char *, int));
	char buf[PATH_MAX];
	bool ours = below(AT_FDCWD, template, buf) != NULL, half;
	int fd;

	if (ours && enter(&half))
		return -1;
	fd = real(template, flags);
	opened(fd, ours ? below(AT_FDCWD, template, buf) : NULL, fd >= 0, flags);
	if (ours)
		leave();
	return fd;
}

int close(int fd)
{
	REAL(int, close, (int));

	if (fd >= 0 && fd < FDS)
		memset(&sh.fds[fd], 0, sizeof sh.fds[fd]);
	return real(fd);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static ssize_t do_pwrite(int fd, const void *p, size_t len, off_t at)
{
	REAL(ssize_t, pwrite, (int, const void *, size_t, off_t));

	return real(fd, p, len, at);
}

static ssize_t traced_write(int fd, const void *p, size_t len, off_t at)
{
	struct fdinfo f = fd_of(fd);
	struct crash_rec r = { .op = OP_WRITE, .file = f.file, .off = (uint64_t)at, .dsync = f.dsync };
	bool half;
	ssize_t n;

	if (!f.file)
		return do_pwrite(fd, p, len, at);
	if (enter(&half))
		return -1;
	n = do_pwrite(fd, p, half ? len / 2 : len, at);
	if (n > 0) {
		r.len = (uint64_t)n;
		record(r, NULL, NULL, p);
	}
	leave();
	return n;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
	return traced_write(fd, p, len, at);
}

ssize_t write(int fd, const void *p, size_t len)
{
	REAL(ssize_t, write, (int, const void *, size_t));
	off_t at;
	ssize_t n;

	if (!fd_of(fd).file)
		return real(fd, p, len);
	at = lseek(fd, 0, SEEK_CUR);
	n = traced_write(fd, p, len, at);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

/* One call to the program, one record a piece: a power cut may keep some of them. */
ssize_t writev(int fd, const struct iovec *iov, int n)
{
	REAL(ssize_t, writev, (int, const struct iovec *, int));
	struct fdinfo f = fd_of(fd);
	ssize_t done = 0;
	off_t at;
	bool half;

	if (!f.file)
		return real(fd, iov, n);
	if (enter(&half))
		return -1;
	at = lseek(fd, 0, SEEK_CUR);
	for (int i = 0; i < (half ? (n + 1) / 2 : n); i++) {
		struct crash_rec r = { .op = OP_WRITE, .file = f.file, .off = (uint64_t)(at + done) };
		ssize_t w = do_pwrite(fd, iov[i].iov_base, iov[i].iov_len, at + done);

		if (w != (ssize_t)iov[i].iov_len)
			return -1;
		r.len = (uint64_t)w;
		r.dsync = f.dsync;
		record(r, NULL, NULL, iov[i].iov_base);
		done += w;
	}
	lseek(fd, at + done, SEEK_SET);
	leave();
	return done;
}

int ftruncate(int fd, off_t size)
{
	REAL(int, ftruncate, (int, off_t));
	struct fdinfo f = fd_of(fd);
	bool half;
	int rc;

	if (!f.file)
		return real(fd, size);
	if (enter(&half))
		return -1;
	rc = real(fd, size);
	if (!rc)
		record((struct crash_rec){ .op = OP_TRUNC, .file = f.file, .off = (uint64_t)size }, NULL,
		       NULL, NULL);
	leave();
	return rc;
}

static int do_sync(int fd, int (*real)(int))
{
	struct fdinfo f = fd_of(fd);
	char link[64], buf[PATH_MAX];
	ssize_t n;
	bool half;
	int rc;

	if (!f.file)
		return real(fd);
	if (enter(&half))
		return -1;
	rc = real(fd);
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = f.dir ? readlink(link, buf, sizeof buf - 1) : 0;
	buf[n < 0 ? 0 : n] = '\0';
	if (!rc && f.dir)
		record((struct crash_rec){ .op = OP_SYNC_DIR },
		       (size_t)n > sh.root_len ? buf + sh.root_len + 1 : "", NULL, NULL);
	else if (!rc)
		record((struct crash_rec){ .op = OP_SYNC, .file = f.file }, NULL, NULL, NULL);
	leave();
	return rc;
}

int fsync(int fd)
{
	REAL(int, fsync, (int));

	return do_sync(fd, real);
}

int fdatasync(int fd)
{
	REAL(int, fdatasync, (int));

	return do_sync(fd, real);
}

int syncfs(int fd)
{
	REAL(int, syncfs, (int));
	bool half;
	int rc;

	if (!fd_of(fd).file)
		return real(fd);
	if (enter(&half))
		return -1;
	rc = real(fd);
	if (!rc)
		record((struct crash_rec){ .op = OP_SYNC_ALL }, NULL, NULL, NULL);
	leave();
	return rc;
}

/* --- names ---------------------------------------------------------------------------------------------- */

int rename(const char *from, const char *to)
{
	REAL(int, rename, (const char *, const char *));
	char buf[PATH_MAX], buf2[PATH_MAX];
	const char *a = below(AT_FDCWD, from, buf), *b = below(AT_FDCWD, to, buf2);
	bool half;
	int rc;

	if (!a || !b)
		return real(from, to);
	if (enter(&half))
		return -1;
	rc = real(from, to);
	if (!rc)
		record((struct crash_rec){ .op = OP_RENAME }, a, b, NULL);
	leave();
	return rc;
}

int unlinkat(int dirfd, const char *path, int flags)
{
	REAL(int, unlinkat, (int, const char *, int));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	bool half;
	int rc;

	if (!rel)
		return real(dirfd, path, flags);
	if (enter(&half))
		return -1;
	rc = real(dirfd, path, flags);
	if (!rc)
		record((struct crash_rec){ .op = flags & AT_REMOVEDIR ? OP_RMDIR : OP_UNLINK }, rel, NULL,
		       NULL);
	leave();
	return rc;
}

int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}

int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	REAL(int, mkdirat, (int, const char *, mode_t));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	struct stat st;
	bool half;
	int rc;

	if (!rel || fstatat(dirfd, path, &st, 0) == 0)
		return real(dirfd, path, mode);
	if (enter(&half))
		return -1;
	rc = real(dirfd, path, mode);
	if (!rc)
		record((struct crash_rec){ .op = OP_MKDIR }, rel, NULL, NULL);
	leave();
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* --- setting up ----------------------------------------------------------------------------------------- */

void crash_arm(enum crash_mode mode, const char *root, long at, int err, int fd)
{
	sh.mode = CRASH_OFF;
	if (mode != CRASH_OFF && !realpath(root, sh.root))
		abort();
	sh.root_len = strlen(sh.root);
	sh.at = at;
	sh.err = err;
	sh.fd = fd;
	sh.count = 0;
	sh.mode = mode;
}

long crash_count(void)
{
	return __atomic_load_n(&sh.count, __ATOMIC_RELAXED);
}

void crash_note(uint64_t a, uint64_t b)
{
	record((struct crash_rec){ .op = OP_NOTE, .off = a, .len = b }, NULL, NULL, NULL);
}

static void __attribute__((constructor)) from_environment(void)
{
	static const char *const words[] = { "off", "count", "before", "after", "half", "fail", "trace" };
	const char *what = getenv("CRASHSHIM"), *root = getenv("CRASHSHIM_ROOT"), *arg, *arg2;
	int mode = CRASH_OFF, fd = -1;

	arg = what ? strchr(what, ':') : NULL;
	if (!arg || !root)
		return;
	for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++)
		if (strncmp(what, words[i], (size_t)(arg - what)) == 0 && words[i][arg - what] == '\0')
			mode = i;
	arg++;
	arg2 = strchr(arg, ':');
	if (mode == CRASH_COUNT)
		sh.count_file = strdup(arg);
	if (mode == CRASH_TRACE)
		fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	crash_arm((enum crash_mode)mode, root, atol(arg), arg2 ? atoi(arg2 + 1) : EIO, fd);
}

static void __attribute__((destructor)) report_count(void)
{
	FILE *fp = sh.count_file ? fopen(sh.count_file, "w") : NULL;

	if (!fp)
		return;
	fprintf(fp, "%ld\n", sh.count);
	fclose(fp);
}
