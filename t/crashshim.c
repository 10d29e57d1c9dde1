/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Interposed calls (crashshim.h): each asks crashpage.c whether it is to die or fail, does its work and has
 * it recorded. What a descriptor is, is known from its opening, and of sockets from the first use;
 * descriptors of files outside the roots are left alone. Streams of stdio, which key-store modules use, are
 * seen as a whole when they are flushed.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "crashshim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "crashpage.h"

#define FDS 4096

enum fd_kind { FD_UNKNOWN, FD_OTHER, FD_FILE, FD_DIR, FD_FRAMES, FD_DGRAM, FD_STREAM };

struct fdinfo {
	enum fd_kind kind;
	uint32_t file; /* in a trace */
	bool dsync;
};

static struct fdinfo fds[FDS];

#define REAL(ret, name, args) \
	static ret (*real) args; \
	if (!real) \
		*(void **)&real = dlsym(RTLD_NEXT, #name)

/* --- which files ---------------------------------------------------------------------------------------- */

static bool is_tracing(void)
{
	return crash_page()->mode == CRASH_TRACE;
}

/* A path that begins at a descriptor's link (a backup's do), like one relative to the descriptor. */
static const char *from_link(int *dirfd, const char *path)
{
	int at = 0;

	if (sscanf(path, "/proc/self/fd/%d%n", dirfd, &at) != 1 || (path[at] && path[at] != '/'))
		return path;
	return path[at] ? path + at + 1 : ".";
}

/* Path below a root, or NULL. buf holds PATH_MAX. */
static const char *below(int dirfd, const char *path, char *buf)
{
	char link[64];
	ssize_t n = 0;

	if (!crash_active())
		return NULL;
	path = from_link(&dirfd, path);
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
	for (int i = 0; i < (is_tracing() ? 1 : CRASH_ROOTS); i++) {
		const char *root = crash_page()->root[i];
		size_t len = strlen(root);

		if (len && strncmp(buf, root, len) == 0 && (buf[len] == '/' || !buf[len]))
			return buf[len] ? buf + len + 1 : "";
	}
	return NULL;
}

/* What a descriptor is, for people. */
static const char *fd_path(int fd, char buf[PATH_MAX])
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	n = readlink(link, buf, PATH_MAX - 1);
	buf[n < 0 ? 0 : n] = '\0';
	return buf;
}

static enum fd_kind look_at(int fd)
{
	int domain = 0, type = 0;
	socklen_t len = sizeof domain, len2 = sizeof type;

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len2))
		return FD_OTHER;
	if (domain == AF_UNIX)
		return FD_FRAMES;
	return type == SOCK_DGRAM ? FD_DGRAM : FD_STREAM;
}

static struct fdinfo fd_of(int fd)
{
	struct fdinfo none = { FD_OTHER, 0, false };

	if (!crash_active() || fd < 0 || fd >= FDS)
		return none;
	if (fds[fd].kind == FD_UNKNOWN)
		fds[fd].kind = look_at(fd);
	return fds[fd];
}

static bool is_ours(const struct fdinfo *f)
{
	return f->kind == FD_FILE || f->kind == FD_DIR;
}

static bool is_sent(const struct fdinfo *f)
{
	return f->kind >= FD_FRAMES && crash_page()->sends;
}

/* --- opening -------------------------------------------------------------------------------------------- */

static void opened(int fd, const char *rel, bool created, int flags)
{
	struct stat st;

	if (fd < 0 || fd >= FDS)
		return;
	memset(&fds[fd], 0, sizeof fds[fd]);
	if (!rel || fstat(fd, &st)) {
		fds[fd].kind = FD_OTHER;
		return;
	}
	fds[fd].kind = S_ISDIR(st.st_mode) ? FD_DIR : FD_FILE;
	fds[fd].dsync = (flags & O_DSYNC) != 0;
	if (is_tracing())
		fds[fd].file = crash_file_number(st.st_dev, st.st_ino, created);
	if (created)
		crash_record((struct crash_rec){ .op = OP_CREATE, .file = fds[fd].file }, rel, NULL, NULL);
}

static int do_open(int dirfd, const char *path, int flags, mode_t mode)
{
	REAL(int, openat, (int, const char *, int, ...));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	struct stat st;
	bool creates = rel && (flags & O_CREAT) && fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) != 0, half;
	int fd;

	if (creates && crash_enter(CC_CREATE, rel, &half)) {
		crash_leave();
		return -1;
	}
	fd = real(dirfd, path, flags, mode);
	opened(fd, rel, creates && fd >= 0, flags);
	if (creates)
		crash_leave();
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
	const char *rel = below(AT_FDCWD, template, buf);
	bool half;
	int fd;

	if (rel && crash_enter(CC_CREATE, rel, &half)) {
		crash_leave();
		return -1;
	}
	fd = real(template, flags);
	opened(fd, rel ? below(AT_FDCWD, template, buf) : NULL, fd >= 0, flags);
	if (rel)
		crash_leave();
	return fd;
}

int close(int fd)
{
	REAL(int, close, (int));

	if (fd >= 0 && fd < FDS)
		memset(&fds[fd], 0, sizeof fds[fd]);
	return real(fd);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static ssize_t do_pwrite(int fd, const void *p, size_t len, off_t at)
{
	REAL(ssize_t, pwrite, (int, const void *, size_t, off_t));

	return real(fd, p, len, at);
}

static ssize_t traced_write(int fd, const struct fdinfo *f, const void *p, size_t len, off_t at)
{
	struct crash_rec r = { .op = OP_WRITE, .file = f->file, .off = (uint64_t)at, .dsync = f->dsync };
	char path[PATH_MAX];
	ssize_t n = -1;
	bool half;

	if (!crash_enter(CC_WRITE, fd_path(fd, path), &half)) {
		n = do_pwrite(fd, p, half ? len / 2 : len, at);
		if (n > 0) {
			r.len = (uint64_t)n;
			crash_record(r, NULL, NULL, p);
		}
	}
	crash_leave();
	return n;
}

ssize_t pwrite(int fd, const void *p, size_t len, off_t at)
{
	struct fdinfo f = fd_of(fd);

	return is_ours(&f) ? traced_write(fd, &f, p, len, at) : do_pwrite(fd, p, len, at);
}

/* Something that leaves the process: what it is stands in the trace, if the network sees it. */
static void before_send(const struct fdinfo *f)
{
	bool half;

	if (f->kind == FD_FRAMES)
		crash_enter(CC_FRAME, "frame", &half);
	else
		crash_enter(CC_DNS, "network", &half);
}

static void after_send(const struct fdinfo *f, ssize_t n, const void *p)
{
	int saved = errno;

	if (n > 0 && f->kind != FD_FRAMES)
		crash_record((struct crash_rec){ .op = OP_SEND, .off = f->kind == FD_STREAM,
						 .len = (uint64_t)n }, NULL, NULL, p);
	crash_leave();
	errno = saved;
}

ssize_t write(int fd, const void *p, size_t len)
{
	REAL(ssize_t, write, (int, const void *, size_t));
	struct fdinfo f = fd_of(fd);
	off_t at;
	ssize_t n;

	if (is_sent(&f)) {
		before_send(&f);
		n = real(fd, p, len);
		after_send(&f, n, p);
		return n;
	}
	if (!is_ours(&f))
		return real(fd, p, len);
	at = lseek(fd, 0, SEEK_CUR);
	n = traced_write(fd, &f, p, len, at);
	if (n > 0)
		lseek(fd, at + n, SEEK_SET);
	return n;
}

/* One call to the program, one record a piece: a power cut may keep some of them. */
static ssize_t file_writev(int fd, const struct fdinfo *f, const struct iovec *iov, int n)
{
	ssize_t done = 0;
	char path[PATH_MAX];
	bool half;
	off_t at = lseek(fd, 0, SEEK_CUR);

	if (crash_enter(CC_WRITE, fd_path(fd, path), &half)) {
		crash_leave();
		return -1;
	}
	for (int i = 0; i < (half ? (n + 1) / 2 : n); i++) {
		struct crash_rec r = { .op = OP_WRITE, .file = f->file, .off = (uint64_t)(at + done) };
		ssize_t w = do_pwrite(fd, iov[i].iov_base, iov[i].iov_len, at + done);

		if (w != (ssize_t)iov[i].iov_len) {
			done = -1;
			break;
		}
		r.len = (uint64_t)w;
		r.dsync = f->dsync;
		crash_record(r, NULL, NULL, iov[i].iov_base);
		done += w;
	}
	if (done >= 0)
		lseek(fd, at + done, SEEK_SET);
	crash_leave();
	return done;
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
	REAL(ssize_t, writev, (int, const struct iovec *, int));
	struct fdinfo f = fd_of(fd);
	ssize_t done;

	if (is_ours(&f))
		return file_writev(fd, &f, iov, n);
	if (!is_sent(&f))
		return real(fd, iov, n);
	before_send(&f);
	done = real(fd, iov, n);
	/* the first piece is enough to say what it is */
	after_send(&f, done > (ssize_t)iov[0].iov_len ? (ssize_t)iov[0].iov_len : done, iov[0].iov_base);
	return done;
}

int ftruncate(int fd, off_t size)
{
	REAL(int, ftruncate, (int, off_t));
	struct fdinfo f = fd_of(fd);
	char path[PATH_MAX];
	bool half;
	int rc = -1;

	if (!is_ours(&f))
		return real(fd, size);
	if (!crash_enter(CC_TRUNC, fd_path(fd, path), &half))
		rc = real(fd, size);
	if (!rc)
		crash_record((struct crash_rec){ .op = OP_TRUNC, .file = f.file, .off = (uint64_t)size },
			     NULL, NULL, NULL);
	crash_leave();
	return rc;
}

int posix_fallocate(int fd, off_t at, off_t len)
{
	REAL(int, posix_fallocate, (int, off_t, off_t));
	struct fdinfo f = fd_of(fd);
	char path[PATH_MAX];
	struct stat st;
	bool half;
	int rc;

	if (!is_ours(&f))
		return real(fd, at, len);
	rc = crash_enter(CC_TRUNC, fd_path(fd, path), &half) ? errno : 0;
	if (!rc && fstat(fd, &st) == 0 && st.st_size < at + len) {
		rc = real(fd, at, len);
		if (!rc)
			crash_record((struct crash_rec){ .op = OP_TRUNC, .file = f.file,
							 .off = (uint64_t)(at + len) }, NULL, NULL, NULL);
	}
	crash_leave();
	return rc;
}

static int do_sync(int fd, int (*real)(int))
{
	struct fdinfo f = fd_of(fd);
	size_t root = strlen(crash_page()->root[0]);
	char path[PATH_MAX];
	bool half;
	int rc = -1;

	if (!is_ours(&f))
		return real(fd);
	fd_path(fd, path);
	if (!crash_enter(CC_SYNC, path, &half))
		rc = real(fd);
	if (!rc && f.kind == FD_DIR)
		crash_record((struct crash_rec){ .op = OP_SYNC_DIR },
			     strlen(path) > root ? path + root + 1 : "", NULL, NULL);
	else if (!rc)
		crash_record((struct crash_rec){ .op = OP_SYNC, .file = f.file }, NULL, NULL, NULL);
	crash_leave();
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
	struct fdinfo f = fd_of(fd);
	bool half;
	int rc = -1;

	if (!is_ours(&f))
		return real(fd);
	if (!crash_enter(CC_SYNC, "file system", &half))
		rc = real(fd);
	if (!rc)
		crash_record((struct crash_rec){ .op = OP_SYNC_ALL }, NULL, NULL, NULL);
	crash_leave();
	return rc;
}

/* --- streams -------------------------------------------------------------------------------------------- */

int fflush(FILE *fp)
{
	REAL(int, fflush, (FILE *));
	struct fdinfo f = fd_of(fp ? fileno(fp) : -1);
	char path[PATH_MAX];
	bool half;
	int rc = EOF;

	if (!is_ours(&f))
		return real(fp);
	if (!crash_enter(CC_WRITE, fd_path(fileno(fp), path), &half))
		rc = real(fp);
	crash_leave();
	return rc;
}

int fclose(FILE *fp)
{
	REAL(int, fclose, (FILE *));
	int fd = fileno(fp);

	if (fd >= 0 && fd < FDS)
		memset(&fds[fd], 0, sizeof fds[fd]);
	return real(fp);
}

/* --- names ---------------------------------------------------------------------------------------------- */

int rename(const char *from, const char *to)
{
	REAL(int, rename, (const char *, const char *));
	char buf[PATH_MAX], buf2[PATH_MAX];
	const char *a = below(AT_FDCWD, from, buf), *b = below(AT_FDCWD, to, buf2);
	bool half;
	int rc = -1;

	if (!a || !b)
		return real(from, to);
	if (!crash_enter(CC_RENAME, b, &half))
		rc = real(from, to);
	if (!rc)
		crash_record((struct crash_rec){ .op = OP_RENAME }, a, b, NULL);
	crash_leave();
	return rc;
}

int unlinkat(int dirfd, const char *path, int flags)
{
	REAL(int, unlinkat, (int, const char *, int));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	bool half;
	int rc = -1;

	if (!rel)
		return real(dirfd, path, flags);
	if (!crash_enter(CC_UNLINK, rel, &half))
		rc = real(dirfd, path, flags);
	if (!rc)
		crash_record((struct crash_rec){ .op = flags & AT_REMOVEDIR ? OP_RMDIR : OP_UNLINK }, rel,
			     NULL, NULL);
	crash_leave();
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

int remove(const char *path)
{
	struct stat st;

	return lstat(path, &st) == 0 && S_ISDIR(st.st_mode) ? rmdir(path) : unlink(path);
}

int mkdirat(int dirfd, const char *path, mode_t mode)
{
	REAL(int, mkdirat, (int, const char *, mode_t));
	char buf[PATH_MAX];
	const char *rel = below(dirfd, path, buf);
	struct stat st;
	bool half;
	int rc = -1;

	if (!rel || fstatat(dirfd, path, &st, 0) == 0)
		return real(dirfd, path, mode);
	if (!crash_enter(CC_MKDIR, rel, &half))
		rc = real(dirfd, path, mode);
	if (!rc)
		crash_record((struct crash_rec){ .op = OP_MKDIR }, rel, NULL, NULL);
	crash_leave();
	return rc;
}

int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

/* --- sending -------------------------------------------------------------------------------------------- */

ssize_t send(int fd, const void *p, size_t len, int flags)
{
	REAL(ssize_t, send, (int, const void *, size_t, int));
	struct fdinfo f = fd_of(fd);
	ssize_t n;

	if (!is_sent(&f))
		return real(fd, p, len, flags);
	before_send(&f);
	n = real(fd, p, len, flags);
	after_send(&f, n, p);
	return n;
}

ssize_t sendto(int fd, const void *p, size_t len, int flags, const struct sockaddr *to, socklen_t tolen)
{
	REAL(ssize_t, sendto, (int, const void *, size_t, int, const struct sockaddr *, socklen_t));
	struct fdinfo f = fd_of(fd);
	ssize_t n;

	if (!is_sent(&f))
		return real(fd, p, len, flags, to, tolen);
	before_send(&f);
	n = real(fd, p, len, flags, to, tolen);
	after_send(&f, n, p);
	return n;
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags)
{
	REAL(ssize_t, sendmsg, (int, const struct msghdr *, int));
	struct fdinfo f = fd_of(fd);
	ssize_t n, first;

	if (!is_sent(&f))
		return real(fd, m, flags);
	before_send(&f);
	n = real(fd, m, flags);
	first = m->msg_iovlen ? (ssize_t)m->msg_iov[0].iov_len : 0;
	after_send(&f, n > first ? first : n, m->msg_iovlen ? m->msg_iov[0].iov_base : NULL);
	return n;
}

int sendmmsg(int fd, struct mmsghdr *m, unsigned n, int flags)
{
	REAL(int, sendmmsg, (int, struct mmsghdr *, unsigned, int));
	struct fdinfo f = fd_of(fd);
	int sent;

	if (!is_sent(&f))
		return real(fd, m, n, flags);
	before_send(&f);
	sent = real(fd, m, n, flags);
	for (int i = 0; i < sent; i++) {
		const struct iovec *v = m[i].msg_hdr.msg_iov;

		crash_record((struct crash_rec){ .op = OP_SEND, .len = v->iov_len }, NULL, NULL, v->iov_base);
	}
	after_send(&f, 0, NULL);
	return sent;
}

/* --- LMDB ----------------------------------------------------------------------------------------------- */

/* Small maps, so that they have to grow. */
int mdb_env_set_mapsize(void *env, size_t size);
int mdb_env_set_mapsize(void *env, size_t size)
{
	REAL(int, mdb_env_set_mapsize, (void *, size_t));

	return real(env, size >> crash_page()->map_shift);
}
