/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files: bounds and modes of reading; of replacing, the order of fsync and rename and every way it can fail.
 * fsync(), rename() and fchmod() are defined here, before those of the C library: they write down what was
 * called and fail on order.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "t_suite.h"

static char calls[64]; /* f: fsync of a file, d: of a directory, r: rename, m: fchmod */
static char fail_at;   /* the call that fails, with EIO */

static int note(char c)
{
	size_t n = strlen(calls);

	if (n < sizeof calls - 1)
		calls[n] = c;
	if (c != fail_at)
		return 0;
	errno = EIO;
	return -1;
}

int fsync(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || note(S_ISDIR(st.st_mode) ? 'd' : 'f') < 0)
		return -1;
	return (int)syscall(SYS_fsync, fd);
}

int rename(const char *from, const char *to)
{
	if (note('r') < 0)
		return -1;
	return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int fchmod(int fd, mode_t mode)
{
	if (note('m') < 0)
		return -1;
	return (int)syscall(SYS_fchmod, fd, mode);
}

static void record(char fail)
{
	memset(calls, 0, sizeof calls);
	fail_at = fail;
}

static unsigned entries(const char *dir)
{
	unsigned n = 0;
	DIR *d = opendir(dir);

	ck_assert_ptr_nonnull(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

/* Every test works in a fresh directory. */
static void enter(void)
{
	char dir[] = "t_base_fs-XXXXXX";

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	record(0);
}

static void leave(void)
{
	char dir[4096];
	const char *name;

	ck_assert_ptr_nonnull(getcwd(dir, sizeof dir));
	name = strrchr(dir, '/') + 1;
	ck_assert_uint_eq(entries("."), 0);
	ck_assert_int_eq(chdir(".."), 0);
	ck_assert_int_eq(rmdir(name), 0);
}

static void content_is(const char *path, const char *want)
{
	char *p = NULL;
	size_t len;

	ck_assert_int_eq(fs_read(path, 1000, &p, &len), 0);
	ck_assert_str_eq(p, want);
	ck_assert_uint_eq(len, strlen(want));
	free(p);
}

START_TEST(test_read_bounds)
{
	char *p = NULL, big[10000];
	size_t len = 77;

	enter();
	ck_assert_int_eq(fs_read("none", 10, &p, &len), ZS_ENOENT);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_eq(fs_replace("f", "0123456789", 10, 0644), 0);
	ck_assert_int_eq(fs_read("f", 9, &p, &len), ZS_ELIMIT);
	ck_assert_ptr_null(p);
	ck_assert_uint_eq(len, 77);
	ck_assert_int_eq(fs_read("f", 10, &p, &len), 0);
	ck_assert_uint_eq(len, 10);
	ck_assert_int_eq(p[10], 0);
	fs_free_secret(p, len);
	fs_free_secret(NULL, 0);
	ck_assert_int_eq(fs_replace("f", "", 0, 0644), 0);
	content_is("f", "");
	memset(big, 'x', sizeof big);
	ck_assert_int_eq(fs_replace("f", big, sizeof big, 0644), 0);
	ck_assert_int_eq(fs_read("f", SIZE_MAX, &p, &len), 0);
	ck_assert_uint_eq(len, sizeof big);
	ck_assert_mem_eq(p, big, len);
	free(p);
	p = NULL;
	ck_assert_int_ne(fs_read(".", 10, &p, &len), 0);
	ck_assert_int_eq(fs_remove("f"), 0);
	leave();
}
END_TEST

/* A file that says size 0 and has octets: read to its end, and the bound holds there too. */
START_TEST(test_read_unknown_size)
{
	char *p = NULL;
	size_t len, full;

	enter();
	ck_assert_int_eq(fs_read("/proc/self/smaps", 100u << 20, &p, &full), 0);
	ck_assert_uint_gt(full, 8192); /* it took more than one step of growth */
	ck_assert_uint_eq(strlen(p), full);
	free(p);
	p = NULL;
	ck_assert_int_eq(fs_read("/proc/self/smaps", 5000, &p, &len), ZS_ELIMIT);
	ck_assert_int_eq(fs_read("/proc/self/smaps", 100, &p, &len), ZS_ELIMIT);
	ck_assert_ptr_null(p);
	leave();
}
END_TEST

START_TEST(test_read_secret)
{
	static const mode_t bad[] = { 0640, 0604, 0620, 0602, 0644, 0610 };
	char *p = NULL;
	size_t len;

	enter();
	ck_assert_int_eq(fs_replace("pin", "1234\n", 5, 0600), 0);
	ck_assert_int_eq(fs_read_secret("pin", 100, &p, &len), 0);
	ck_assert_str_eq(p, "1234\n");
	fs_free_secret(p, len);
	p = NULL;
	ck_assert_int_eq(chmod("pin", 0400), 0);
	ck_assert_int_eq(fs_read_secret("pin", 100, &p, &len), 0);
	fs_free_secret(p, len);
	p = NULL;
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		ck_assert_int_eq(chmod("pin", bad[i]), 0);
		ck_assert_int_eq(fs_read_secret("pin", 100, &p, &len), ZS_EPERM);
	}
	ck_assert_int_eq(mkfifo("fifo", 0600), 0);
	ck_assert_int_eq(fs_read_secret("fifo", 100, &p, &len), ZS_EPERM); /* and does not hang */
	ck_assert_ptr_null(p);
	ck_assert_int_eq(fs_remove("pin"), 0);
	ck_assert_int_eq(fs_remove("fifo"), 0);
	leave();
}
END_TEST

START_TEST(test_replace_order_and_mode)
{
	struct stat st;

	enter();
	umask(077);
	ck_assert_int_eq(fs_replace("f", "one", 3, 0640), 0);
	ck_assert_str_eq(calls, "mfrd");
	ck_assert_int_eq(stat("f", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0640);
	ck_assert_int_eq(fs_replace("./f", "two", 3, 0600), 0);
	ck_assert_int_eq(stat("f", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	content_is("f", "two");
	ck_assert_uint_eq(entries("."), 1);
	ck_assert_int_eq(fs_replace("no/f", "x", 1, 0600), ZS_ENOENT);
	ck_assert_int_eq(fs_remove("f"), 0);
	leave();
}
END_TEST

/* Whatever fails, the old file stands, no temporary one is left and no descriptor either. */
START_TEST(test_replace_failures)
{
	unsigned fds;

	enter();
	ck_assert_int_eq(fs_replace("f", "old", 3, 0600), 0);
	fds = entries("/proc/self/fd");
	for (const char *c = "mfr"; *c; c++) {
		record(*c);
		ck_assert_int_eq(fs_replace("f", "new", 3, 0600), ZS_EIO);
		ck_assert_int_eq(errno, EIO);
		ck_assert_int_eq(calls[strlen(calls) - 1], *c); /* nothing after it, no second try */
		content_is("f", "old");
		ck_assert_uint_eq(entries("."), 1);
		ck_assert_uint_eq(entries("/proc/self/fd"), fds);
	}
	record('d'); /* the last step: the file is in place, but the caller hears of it */
	ck_assert_int_eq(fs_replace("f", "new", 3, 0600), ZS_EIO);
	ck_assert_str_eq(calls, "mfrd");
	content_is("f", "new");
	record(0);
	ck_assert_int_eq(mkdir("dir", 0700), 0); /* a real failure: rename over a directory */
	ck_assert_int_ne(fs_replace("dir", "x", 1, 0600), 0);
	ck_assert_uint_eq(entries("."), 2);
	ck_assert_uint_eq(entries("/proc/self/fd"), fds);
	ck_assert_int_eq(rmdir("dir"), 0);
	ck_assert_int_eq(fs_remove("f"), 0);
	leave();
}
END_TEST

START_TEST(test_sweep)
{
	enter();
	ck_assert_int_eq(fs_replace("CURRENT.tmp-ab12Cd", "x", 1, 0600), 0);
	ck_assert_int_eq(fs_replace("CURRENT", "x", 1, 0600), 0);
	ck_assert_int_eq(fs_replace("a.tmp-short", "x", 1, 0600), 0);
	ck_assert_int_eq(fs_sweep_tmp("."), 0);
	ck_assert_uint_eq(entries("."), 2);
	content_is("CURRENT", "x");
	ck_assert_int_eq(fs_sweep_tmp("none"), ZS_ENOENT);
	ck_assert_int_eq(fs_remove("CURRENT"), 0);
	ck_assert_int_eq(fs_remove("a.tmp-short"), 0);
	leave();
}
END_TEST

START_TEST(test_checked)
{
	char *p = NULL, *raw = NULL;
	size_t len, n;

	enter();
	ck_assert_int_eq(fs_replace_checked("c", "123456789", 9, 0600), ZS_EINVAL); /* no final newline */
	ck_assert_int_eq(fs_replace_checked("c", "a\nb\n", 4, 0600), 0);
	ck_assert_str_eq(calls, "mfrd");
	ck_assert_int_eq(fs_read("c", 100, &raw, &n), 0);
	ck_assert_uint_eq(n, 20);
	ck_assert_mem_eq(raw + 4, "crc32c ", 7);
	ck_assert_int_eq(fs_read_checked("c", 4, &p, &len), 0); /* max is that of the text */
	ck_assert_str_eq(p, "a\nb\n");
	ck_assert_uint_eq(len, 4);
	free(p);
	p = NULL;
	ck_assert_int_eq(fs_read_checked("c", 3, &p, &len), ZS_ELIMIT);
	for (size_t i = 0; i < n; i++) { /* any octet changed */
		raw[i] ^= 1;
		ck_assert_int_eq(fs_replace("c", raw, n, 0600), 0);
		ck_assert_int_eq(fs_read_checked("c", 100, &p, &len), ZS_ECRC);
		raw[i] ^= 1;
	}
	for (size_t i = 0; i < n; i++) { /* cut off anywhere */
		ck_assert_int_eq(fs_replace("c", raw, i, 0600), 0);
		ck_assert_int_eq(fs_read_checked("c", 100, &p, &len), ZS_ECRC);
	}
	ck_assert_ptr_null(p);
	free(raw);
	ck_assert_int_eq(fs_replace_checked("c", "", 0, 0600), 0);
	ck_assert_int_eq(fs_read_checked("c", 0, &p, &len), 0);
	ck_assert_uint_eq(len, 0);
	free(p);
	ck_assert_int_eq(fs_remove("c"), 0);
	ck_assert_int_eq(fs_read_checked("c", 0, &p, &len), ZS_ENOENT);
	leave();
}
END_TEST

START_TEST(test_mkdir_p)
{
	struct stat st;

	enter();
	umask(077);
	ck_assert_int_eq(fs_mkdir_p("a/b//c/", 0750), 0);
	ck_assert_str_eq(calls, "ddd");
	ck_assert_int_eq(stat("a/b/c", &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0750);
	record(0);
	ck_assert_int_eq(fs_mkdir_p("a/b/c/d", 0700), 0);
	ck_assert_str_eq(calls, "d");
	ck_assert_int_eq(fs_mkdir_p("a/b/c/d", 0700), 0);
	ck_assert_str_eq(calls, "d");
	ck_assert_int_eq(fs_mkdir_p("/", 0700), 0);
	ck_assert_int_eq(fs_mkdir_p("", 0700), ZS_ENOENT);
	ck_assert_int_eq(fs_replace("a/f", "", 0, 0600), 0);
	ck_assert_int_eq(fs_mkdir_p("a/f", 0700), ZS_EEXIST);
	ck_assert_int_eq(fs_mkdir_p("a/f/g", 0700), ZS_EEXIST);
	record('d');
	ck_assert_int_eq(fs_mkdir_p("x", 0700), ZS_EIO);
	record(0);
	ck_assert_int_eq(rmdir("x"), 0);
	ck_assert_int_eq(fs_remove("a/f"), 0);
	ck_assert_int_eq(rmdir("a/b/c/d"), 0);
	ck_assert_int_eq(rmdir("a/b/c"), 0);
	ck_assert_int_eq(rmdir("a/b"), 0);
	ck_assert_int_eq(rmdir("a"), 0);
	leave();
}
END_TEST

START_TEST(test_remove_and_sync)
{
	enter();
	ck_assert_int_eq(fs_replace("f", "x", 1, 0600), 0);
	record(0);
	ck_assert_int_eq(fs_remove("f"), 0);
	ck_assert_str_eq(calls, "d");
	ck_assert_int_eq(access("f", F_OK), -1);
	ck_assert_int_eq(fs_remove("f"), 0);
	ck_assert_str_eq(calls, "dd");
	ck_assert_int_eq(fs_remove("no/f"), 0);
	ck_assert_int_eq(fs_sync_dir("."), 0);
	ck_assert_int_eq(fs_sync_dir("none"), ZS_ENOENT);
	record('d');
	ck_assert_int_eq(fs_remove("f"), ZS_EIO);
	ck_assert_int_eq(fs_sync_dir("."), ZS_EIO);
	leave();
}
END_TEST

START_TEST(test_space)
{
	uint64_t n = 0;
	int net = 7;

	ck_assert_int_eq(fs_free_bytes(".", &n), 0);
	ck_assert_int_eq(fs_free_bytes("none", &n), ZS_ENOENT);
	ck_assert_int_eq(fs_is_network("/proc", &net), 0);
	ck_assert_int_eq(net, 0);
	ck_assert_int_eq(fs_is_network("none", &net), ZS_ENOENT);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_read_bounds,
		test_read_unknown_size,
		test_read_secret,
		test_replace_order_and_mode,
		test_replace_failures,
		test_sweep,
		test_checked,
		test_mkdir_p,
		test_remove_and_sync,
		test_space,
	};

	return RUN_SUITE("base_fs", tests);
}
