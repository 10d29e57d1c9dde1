/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One generation = one LMDB environment: opened on demand, closed when the directory has too many open,
 * written in synced transactions, its map grown. Called by the other files of this layer.
 *
 * Invariants: an environment is open while it has users and never opened twice at a time in this process; one
 * that has users is never closed. Every commit is an ordinary synced one. After a failed sync or meta write
 * the generation is retired: what the page cache then holds is not known, so that nothing is written on top
 * of it.
 *
 * Growing the map: mdb_env_set_mapsize() moves it, so that no octet of it may be in use. A read transaction
 * without a positioned cursor holds no address of the map in LMDB 0.9 (only page numbers, and its slot in the
 * lock file); therefore it is enough that all handles have come back, and snapshots of old versions survive.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "priv.h"

int zs_from_mdb(int rc)
{
	switch (rc) {
	case 0:
		return 0;
	case MDB_NOTFOUND:
		return ZS_ENOENT;
	case MDB_READERS_FULL:
		return ZS_EAGAIN;
	case MDB_MAP_FULL:
		return ZS_ENOSPC;
	case MDB_TXN_FULL:
		return ZS_ELIMIT;
	case MDB_BAD_VALSIZE:
		return ZS_EINVAL;
	case MDB_VERSION_MISMATCH:
		return ZS_EVERSION;
	case MDB_INVALID:
	case MDB_CORRUPTED:
	case MDB_PAGE_NOTFOUND:
	case MDB_INCOMPATIBLE:
		return ZS_ECRC;
	default:
		return rc > 0 ? zs_from_errno(rc) : ZS_EIO;
	}
}

char *gen_path(const struct store *s, uint64_t number)
{
	char name[32];

	snprintf(name, sizeof name, "%llu.mdb", (unsigned long long)number);
	return path_join(s->path, name);
}

void gen_unlink(const char *path)
{
	char *lock = malloc(strlen(path) + sizeof "-lock");

	if (lock) {
		snprintf(lock, strlen(path) + sizeof "-lock", "%s-lock", path);
		unlink(lock);
	}
	unlink(path);
	free(lock);
}

struct gen *gen_new(struct store *s, uint64_t number)
{
	struct gen *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	g->dir = s->dir;
	g->store = s;
	g->number = number;
	g->owned = true;
	g->path = gen_path(s, number);
	if (!g->path) {
		free(g);
		return NULL;
	}
	return g;
}

/* --- opening -------------------------------------------------------------------------------------------- */

/* Where LMDB's assertions go while a suspicious file is read through. One thread, one file at a time. */
static _Thread_local jmp_buf *assert_exit;

static void assert_hit(MDB_env *env, const char *msg)
{
	if (assert_exit)
		longjmp(*assert_exit, 1);
}

static int scan_all(MDB_cursor *cur)
{
	MDB_val k, v;
	int rc;

	while ((rc = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) == 0)
		if (v.mv_size)
			(void)((const volatile uint8_t *)v.mv_data)[v.mv_size - 1];
	return rc == MDB_NOTFOUND ? 0 : zs_from_mdb(rc);
}

/*
 * The file is shorter than the pages that were allocated. That happens in good order (the last ones were
 * freed by the transaction that took them) and when the file was cut. Missing pages become zeros, which
 * cannot raise SIGBUS, and then every page in use is looked at.
 */
static int gen_check_short(struct gen *g, MDB_txn *txn, off_t want)
{
	MDB_cursor *cur;
	jmp_buf env;
	int fd, rc;

	if (mdb_env_get_fd(g->env, &fd) || ftruncate(fd, want))
		return zs_from_errno(errno);
	rc = mdb_cursor_open(txn, g->dbi, &cur);
	if (rc)
		return zs_from_mdb(rc);
	assert_exit = &env;
	rc = setjmp(env) ? ZS_ECRC : scan_all(cur);
	assert_exit = NULL;
	mdb_cursor_close(cur);
	return rc;
}

static int gen_check(struct gen *g)
{
	MDB_envinfo info;
	struct stat st;
	MDB_stat ms;
	MDB_txn *txn;
	off_t want;
	int dead, rc;

	mdb_reader_check(g->env, &dead);
	rc = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn);
	if (rc)
		return zs_from_mdb(rc);
	rc = zs_from_mdb(mdb_dbi_open(txn, NULL, 0, &g->dbi));
	if (!rc)
		rc = zs_from_mdb(mdb_env_info(g->env, &info));
	if (!rc)
		rc = zs_from_mdb(mdb_env_stat(g->env, &ms));
	if (!rc && stat(g->path, &st))
		rc = zs_from_errno(errno);
	if (!rc && !g->creating) {
		want = (off_t)((info.me_last_pgno + 1) * ms.ms_psize);
		if (st.st_size < want)
			rc = gen_check_short(g, txn, want);
	}
	mdb_txn_abort(txn);
	return rc;
}

static uint64_t map_for(const struct gen *g, uint64_t size)
{
	uint64_t map = g->dir->map_size;

	if (!map)
		map = g->creating ? GEN_MAP_BUILD : GEN_MAP_MIN;
	while (map / 8 < size && !g->dir->map_size)
		map *= 2;
	return map;
}

/*
 * LMDB sizes its lock file by ftruncate() and writes it through the map: on a full disk that is SIGBUS. With
 * its blocks taken beforehand it is ENOSPC, here. Two pages: its head and some hundred of readers, 64 octets
 * each; there is one such file a generation, and more readers at a time than that are rare.
 */
static int lock_file_room(const struct gen *g)
{
	char path[PATH_MAX];
	int fd, rc;

	if (snprintf(path, sizeof(path), "%s-lock", g->path) >= (int)sizeof(path))
		return ZS_ELIMIT;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	rc = fd < 0 ? errno : posix_fallocate(fd, 0, 2 * GEN_PAGE);
	if (fd >= 0)
		close(fd);
	/* EIO is no word about the generation itself, which ZS_EIO would have set aside */
	return rc == EIO ? ZS_EAGAIN : rc ? zs_from_errno(rc) : 0;
}

/*
 * LMDB has opened data and lock file and says EIO. Of the lock file that is no word about the generation:
 * only when its own meta pages cannot be read is the generation what is wrong.
 */
static int whose_eio(const struct gen *g)
{
	uint8_t meta[2 * GEN_PAGE];
	int fd = open(g->path, O_RDONLY | O_CLOEXEC);
	bool readable = fd < 0 || pread(fd, meta, sizeof(meta), 0) == (ssize_t)sizeof(meta);

	if (fd >= 0)
		close(fd);
	return readable ? ZS_EAGAIN : ZS_EIO;
}

static int env_open(struct gen *g)
{
	struct stat st = { .st_size = 0 };
	int rc;

	if (!g->creating && stat(g->path, &st))
		return zs_from_errno(errno);
	/* A shorter one has no two meta pages; LMDB would take an empty file for a new one. */
	if (!g->creating && st.st_size < 2 * GEN_PAGE)
		return ZS_ECRC;
	rc = lock_file_room(g);
	if (rc)
		return rc;
	rc = mdb_env_create(&g->env);
	if (rc)
		return ZS_ENOMEM;
	g->map = map_for(g, (uint64_t)st.st_size);
	g->map_at = NULL;
	g->warm = 0;
	rc = mdb_env_set_mapsize(g->env, g->map);
	if (!rc)
		rc = mdb_env_set_maxreaders(g->env, GEN_READERS);
	if (!rc)
		rc = mdb_env_set_assert(g->env, assert_hit);
	if (!rc)
		rc = mdb_env_open(g->env, g->path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
	if (rc)
		rc = rc == EIO && !g->creating ? whose_eio(g) : zs_from_mdb(rc);
	else
		rc = gen_check(g);
	if (rc) {
		mdb_env_close(g->env);
		g->env = NULL;
		return rc;
	}
	g->creating = false;
	return 0;
}

/* --- users and the bounded set of open environments ----------------------------------------------------- */

static void idle_unlink(struct gen *g)
{
	struct store_dir *d = g->dir;

	if (!g->in_idle)
		return;
	*(g->idle_prev ? &g->idle_prev->idle_next : &d->idle_first) = g->idle_next;
	*(g->idle_next ? &g->idle_next->idle_prev : &d->idle_last) = g->idle_prev;
	g->idle_prev = g->idle_next = NULL;
	g->in_idle = false;
}

static void idle_append(struct gen *g)
{
	struct store_dir *d = g->dir;

	g->idle_prev = d->idle_last;
	*(d->idle_last ? &d->idle_last->idle_next : &d->idle_first) = g;
	d->idle_last = g;
	g->in_idle = true;
}

/* dir->lock is held; let go while the environment closes. */
static void gen_close_env(struct gen *g)
{
	struct store_dir *d = g->dir;

	idle_unlink(g);
	g->state = GEN_CLOSING;
	pthread_mutex_unlock(&d->lock);
	mdb_env_close(g->env);
	pthread_mutex_lock(&d->lock);
	g->env = NULL;
	g->state = GEN_CLOSED;
	d->nopen--;
	pthread_cond_broadcast(&d->changed);
}

/* dir->lock is held. */
static void evict(struct store_dir *d)
{
	while (d->nopen > d->max_open && d->idle_first)
		gen_close_env(d->idle_first);
}

int gen_use(struct gen *g)
{
	struct store_dir *d = g->dir;
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	g->users++;
	while (g->state == GEN_OPENING || g->state == GEN_CLOSING)
		pthread_cond_wait(&d->changed, &d->lock);
	idle_unlink(g);
	if (g->state == GEN_CLOSED) {
		g->state = GEN_OPENING;
		pthread_mutex_unlock(&d->lock);
		rc = env_open(g);
		pthread_mutex_lock(&d->lock);
		g->state = rc ? GEN_CLOSED : GEN_OPEN;
		if (!rc)
			d->nopen++;
		else
			g->users--;
		pthread_cond_broadcast(&d->changed);
		evict(d);
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void gen_free(struct gen *g)
{
	if (g->doomed)
		gen_unlink(g->path);
	free(g->path);
	free(g);
}

/* dir->lock is held; true: nobody can reach g any more, the caller frees it. */
static bool gen_settle(struct gen *g)
{
	if (g->users || g->state == GEN_OPENING || g->state == GEN_CLOSING)
		return false;
	if (g->state == GEN_OPEN && g->owned && g->cached) {
		if (!g->in_idle)
			idle_append(g);
		return false;
	}
	if (g->state == GEN_OPEN)
		gen_close_env(g);
	/* The lock was let go: somebody may have come back to one that is owned. */
	return !g->owned && !g->users;
}

void gen_unuse(struct gen *g)
{
	struct store_dir *d = g->dir;
	bool gone;

	pthread_mutex_lock(&d->lock);
	g->users--;
	gone = gen_settle(g);
	evict(d);
	pthread_mutex_unlock(&d->lock);
	if (gone)
		gen_free(g);
}

void gen_drop(struct gen *g, bool remove_file)
{
	struct store_dir *d;
	bool gone;

	if (!g)
		return;
	d = g->dir;
	pthread_mutex_lock(&d->lock);
	while (g->state == GEN_OPENING || g->state == GEN_CLOSING)
		pthread_cond_wait(&d->changed, &d->lock);
	g->owned = false;
	g->doomed = remove_file;
	gone = gen_settle(g);
	pthread_mutex_unlock(&d->lock);
	if (gone)
		gen_free(g);
}

void gen_cache(struct gen *g)
{
	pthread_mutex_lock(&g->dir->lock);
	g->cached = true;
	pthread_mutex_unlock(&g->dir->lock);
}

/* --- writing -------------------------------------------------------------------------------------------- */

static struct timespec in_ms(unsigned ms)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += ms / 1000;
	ts.tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts.tv_nsec >= 1000000000) {
		ts.tv_nsec -= 1000000000;
		ts.tv_sec++;
	}
	return ts;
}

/* LMDB is lost when it cannot map again: see first whether the room is there. */
static int map_larger(struct gen *g)
{
	uint64_t map = g->map * 2;
	void *probe = mmap(NULL, map, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	int rc;

	if (probe == MAP_FAILED)
		return ZS_ENOMEM;
	munmap(probe, map);
	rc = mdb_env_set_mapsize(g->env, map);
	if (rc) {
		g->retired = true;
		return ZS_EIO;
	}
	g->map = map;
	g->map_at = NULL;
	g->warm = 0;
	return 0;
}

static int gen_grow(struct gen *g, unsigned wait_ms)
{
	struct store *s = g->store;
	struct timespec until = in_ms(wait_ms);
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	g->growing = true;
	while (g->borrowed && rc == 0)
		rc = pthread_cond_timedwait(&s->returned, &s->lock, &until);
	rc = g->borrowed ? ZS_EAGAIN : map_larger(g);
	g->growing = false;
	pthread_cond_broadcast(&s->returned);
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/*
 * What a failed transaction means. The environment answers MDB_PANIC from then on when its meta page is
 * unsure.
 */
static int gen_failed(struct gen *g, int mdb_rc)
{
	MDB_txn *txn;
	int rc = zs_from_mdb(mdb_rc), probe = mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn);

	if (!probe)
		mdb_txn_abort(txn);
	if (probe == MDB_PANIC)
		rc = ZS_EIO;
	if (rc == ZS_EIO || rc == ZS_ECRC) {
		pthread_mutex_lock(&g->store->lock);
		g->retired = true;
		pthread_mutex_unlock(&g->store->lock);
	}
	return rc;
}

static int write_waiting(struct gen *g, gen_fill fill, void *ctx, unsigned wait_ms)
{
	MDB_txn *txn;
	int rc;

	for (;;) {
		rc = mdb_txn_begin(g->env, NULL, 0, &txn);
		if (rc)
			return gen_failed(g, rc);
		rc = fill(txn, g->dbi, ctx);
		if (rc)
			mdb_txn_abort(txn);
		else
			rc = mdb_txn_commit(txn);
		if (rc != MDB_MAP_FULL)
			return rc ? gen_failed(g, rc) : 0;
		rc = gen_grow(g, wait_ms);
		if (rc)
			return rc;
	}
}

int gen_write(struct gen *g, gen_fill fill, void *ctx)
{
	return write_waiting(g, fill, ctx, g->dir->grow_wait_ms);
}

int gen_write_at_once(struct gen *g, gen_fill fill, void *ctx)
{
	return write_waiting(g, fill, ctx, 0);
}
