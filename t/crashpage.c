/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Numbers, deaths and records of the interposed calls (crashpage.h). The order of one call: enter() counts
 * it, dies before it or has it fail; record() writes it down; leave() dies after it. While a trace is
 * written, everything between enter and leave is under one lock of all processes: the records stand in the
 * order in which things were done. $ZONESEAL_CRASH names the shared page; a daemon hands the variable to its
 * children.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "crashpage.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

static struct crash_page own = { .magic = CRASH_MAGIC };
static struct crash_page *page = &own;
static int trace_fd = -1;
static char *count_file;
static _Thread_local bool locked;
static _Thread_local bool mine; /* the call that this thread is in was hit */

struct crash_page *crash_page(void)
{
	return page;
}

bool crash_active(void)
{
	return __atomic_load_n(&page->mode, __ATOMIC_ACQUIRE) != CRASH_OFF;
}

static void spin_lock(uint32_t *l)
{
	while (__atomic_exchange_n(l, 1, __ATOMIC_ACQUIRE))
		sched_yield();
}

static void spin_unlock(uint32_t *l)
{
	__atomic_store_n(l, 0, __ATOMIC_RELEASE);
}

static void die(void)
{
	kill(page->group ? 0 : getpid(), SIGKILL);
	for (;;)
		pause();
}

static void note_hit(enum crash_class c, const char *what)
{
	snprintf(page->hit_what, sizeof page->hit_what, "%s", what);
	page->hit_pid = (uint32_t)getpid();
	mine = true;
	__atomic_store_n(&page->hit, c, __ATOMIC_RELEASE);
}

static bool is_hit(long n, enum crash_mode mode)
{
	return n == page->at || (mode == CRASH_FAIL_FROM && n > page->at && page->at > 0);
}

bool crash_enter(enum crash_class c, const char *what, bool *half)
{
	enum crash_mode mode = (enum crash_mode)__atomic_load_n(&page->mode, __ATOMIC_ACQUIRE);
	int64_t n;

	*half = false;
	if (mode == CRASH_OFF)
		return false;
	if (mode == CRASH_TRACE) {
		spin_lock(&page->trace_lock);
		locked = true;
	}
	n = __atomic_add_fetch(&page->count, 1, __ATOMIC_RELAXED);
	if (n < CRASH_EVENTS)
		page->classes[n] = (uint8_t)c;
	if (!is_hit(n, mode))
		return false;
	if (!page->hit)
		note_hit(c, what);
	if (mode == CRASH_BEFORE)
		die();
	*half = mode == CRASH_HALF;
	if ((mode != CRASH_FAIL && mode != CRASH_FAIL_FROM) || c >= CC_FRAME)
		return false;
	errno = page->err;
	return true;
}

void crash_leave(void)
{
	if (locked) {
		locked = false;
		spin_unlock(&page->trace_lock);
	}
	if (mine && (page->mode == CRASH_AFTER || page->mode == CRASH_HALF))
		die();
}

/* --- the trace ------------------------------------------------------------------------------------------ */

static void put(const void *p, size_t len)
{
	static ssize_t (*real)(int, const void *, size_t);
	const char *c = p;

	if (!real)
		*(void **)&real = dlsym(RTLD_NEXT, "write");
	while (len) {
		ssize_t n = real(trace_fd, c, len);

		if (n <= 0)
			abort();
		c += n;
		len -= (size_t)n;
	}
}

void crash_record(struct crash_rec r, const char *a, const char *b, const void *data)
{
	int saved = errno;

	if (page->mode != CRASH_TRACE)
		return;
	r.text1 = a ? (uint32_t)strlen(a) : 0;
	r.text2 = b ? (uint32_t)strlen(b) : 0;
	put(&r, sizeof r);
	put(a, r.text1);
	put(b, r.text2);
	if (r.op == OP_WRITE || r.op == OP_SEND)
		put(data, r.len);
	errno = saved;
}

uint32_t crash_file_number(uint64_t dev, uint64_t ino, bool created)
{
	uint32_t i, file;

	spin_lock(&page->inode_lock);
	for (i = 0; i < page->ninodes; i++)
		if (page->inodes[i].dev == dev && page->inodes[i].ino == ino)
			break;
	if (i == CRASH_INODES)
		abort();
	if (i == page->ninodes) {
		page->ninodes++;
		created = true;
	}
	if (created) {
		page->inodes[i].dev = dev;
		page->inodes[i].ino = ino;
		page->inodes[i].file = ++page->files;
	}
	file = page->inodes[i].file;
	spin_unlock(&page->inode_lock);
	return file;
}

void crash_note(uint64_t a, uint64_t b)
{
	if (page->mode != CRASH_TRACE)
		return;
	spin_lock(&page->trace_lock);
	crash_record((struct crash_rec){ .op = OP_NOTE, .off = a, .len = b }, NULL, NULL, NULL);
	spin_unlock(&page->trace_lock);
}

/* --- setting up ----------------------------------------------------------------------------------------- */

void crash_arm(enum crash_mode mode, const char *root, long at, int err, int fd)
{
	char path[PATH_MAX];

	page->mode = CRASH_OFF;
	if (mode != CRASH_OFF) {
		if (!realpath(root, path) || strlen(path) >= CRASH_PATH)
			abort();
		strcpy(page->root[0], path);
	}
	page->at = at;
	page->err = err;
	trace_fd = fd;
	page->count = 0;
	page->hit = 0;
	page->mode = mode;
}

long crash_count(void)
{
	return (long)__atomic_load_n(&page->count, __ATOMIC_RELAXED);
}

/* What is there before the first call stands in the trace as durable. */
static int note_there(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	const char *rel = path + strlen(page->root[0]);
	uint32_t file;
	uint8_t *data;
	FILE *fp;

	if (at->level == 0)
		return 0;
	rel++;
	if (kind == FTW_D) {
		crash_record((struct crash_rec){ .op = OP_MKDIR }, rel, NULL, NULL);
		return 0;
	}
	file = crash_file_number(st->st_dev, st->st_ino, true);
	crash_record((struct crash_rec){ .op = OP_CREATE, .file = file }, rel, NULL, NULL);
	data = malloc((size_t)st->st_size + 1);
	fp = fopen(path, "rbe");
	if (!data || !fp || fread(data, 1, (size_t)st->st_size, fp) != (size_t)st->st_size)
		abort();
	crash_record((struct crash_rec){ .op = OP_WRITE, .file = file, .len = (uint64_t)st->st_size }, NULL,
		     NULL, data);
	fclose(fp);
	free(data);
	return 0;
}

static void trace_begin(void)
{
	trace_fd = open(page->trace, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	if (trace_fd < 0)
		abort();
	if (lseek(trace_fd, 0, SEEK_END) > 0)
		return; /* a child, or started again */
	nftw(page->root[0], note_there, 16, FTW_PHYS);
	crash_record((struct crash_rec){ .op = OP_SYNC_ALL }, NULL, NULL, NULL);
}

static void shared_page(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED || ((struct crash_page *)p)->magic != CRASH_MAGIC) {
		fprintf(stderr, "ZONESEAL_CRASH: cannot map %s\n", path);
		abort();
	}
	close(fd);
	page = p;
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* nothing is left when the driver dies */
	if (page->mode == CRASH_TRACE)
		trace_begin();
}

static void from_words(const char *what, const char *root)
{
	static const char *const words[] = { "off", "count", "before", "after", "half", "fail", "trace" };
	const char *arg = strchr(what, ':'), *arg2;
	int mode = CRASH_OFF, fd = -1;

	if (!arg || !root)
		return;
	for (int i = 0; i < (int)(sizeof words / sizeof words[0]); i++)
		if (strncmp(what, words[i], (size_t)(arg - what)) == 0 && words[i][arg - what] == '\0')
			mode = i;
	arg++;
	arg2 = strchr(arg, ':');
	if (mode == CRASH_COUNT)
		count_file = strdup(arg);
	if (mode == CRASH_TRACE)
		fd = open(arg, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
	crash_arm((enum crash_mode)mode, root, atol(arg), arg2 ? atoi(arg2 + 1) : EIO, fd);
}

static void __attribute__((constructor)) from_environment(void)
{
	const char *shared = getenv("ZONESEAL_CRASH"), *what = getenv("CRASHSHIM");

	if (shared)
		shared_page(shared);
	else if (what)
		from_words(what, getenv("CRASHSHIM_ROOT"));
}

static void __attribute__((destructor)) report_count(void)
{
	FILE *fp = count_file ? fopen(count_file, "w") : NULL;

	if (!fp)
		return;
	fprintf(fp, "%ld\n", crash_count());
	fclose(fp);
}
