/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Damaged generations. What cannot be opened, or has a META or apex that cannot be read, is set aside at
 * once: the file gets the name <n>.mdb.damaged-<k>, and the zone goes on as if it had none. A generation
 * that is served and in which a damaged value is met later stays live until the next one replaces it; the
 * mark DAMAGED (a small text like CURRENT) says over a restart that it is one, and when it is replaced its
 * file is kept under the same kind of name. Called by store.c and build.c, and by jobs that met the damage.
 *
 * Invariants: no damaged file is removed before ASIDE_KEEP newer ones are kept; a file is renamed while its
 * environment is open only when nobody will open it again by its old name.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/text.h"
#include "priv.h"

#define ASIDE_MAX 1000
#define ASIDE_KEEP 8 /* generations, and as many damaged CURRENTs */
#define ASIDE_MARK ".damaged-"

/* --- names ---------------------------------------------------------------------------------------------- */

/* Which of two files of the same kind was set aside later: the one with the higher number. */
struct aside { bool is_current; uint64_t gen, k; };

static bool aside_parse(const char *name, struct aside *a)
{
	const char *mark = strstr(name, ASIDE_MARK);
	char gen[24];
	size_t len = mark ? (size_t)(mark - name) : 0;

	if (!mark || text_u64(mark + strlen(ASIDE_MARK), ASIDE_MAX, &a->k) || a->k == 0)
		return false;
	a->gen = 0;
	a->is_current = len == 7 && memcmp(name, "CURRENT", 7) == 0;
	if (a->is_current)
		return true;
	if (len < 5 || len - 4 >= sizeof gen || memcmp(name + len - 4, ".mdb", 4) != 0)
		return false;
	memcpy(gen, name, len - 4);
	gen[len - 4] = '\0';
	return text_u64(gen, UINT64_MAX - 2, &a->gen) == 0;
}

/* How many of its kind are kept, and the oldest of them by its last change; oldest: NAME_MAX + 1. */
static unsigned aside_count(const struct store *s, bool is_current, char *oldest)
{
	DIR *dir = opendir(s->path);
	struct timespec least = { 0 };
	struct dirent *e;
	unsigned n = 0;

	while (dir && (e = readdir(dir))) {
		struct aside a;
		struct stat st;

		if (!aside_parse(e->d_name, &a) || a.is_current != is_current ||
		    fstatat(dirfd(dir), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			continue;
		if (n++ == 0 || st.st_ctim.tv_sec < least.tv_sec ||
		    (st.st_ctim.tv_sec == least.tv_sec && st.st_ctim.tv_nsec < least.tv_nsec)) {
			least = st.st_ctim;
			snprintf(oldest, NAME_MAX + 1, "%s", e->d_name);
		}
	}
	if (dir)
		closedir(dir);
	return n;
}

/* A disk that damages generation after generation must not be filled by them. */
static void aside_prune(const struct store *s, bool is_current)
{
	char oldest[NAME_MAX + 1];

	for (unsigned i = 0; i < ASIDE_MAX && aside_count(s, is_current, oldest) > ASIDE_KEEP; i++) {
		char *path = path_join(s->path, oldest);
		int rc = path ? unlink(path) : -1;

		free(path);
		if (rc)
			break;
	}
}

int aside_file(struct store *s, const char *path)
{
	size_t cap = strlen(path) + 32;
	char *to = malloc(cap);
	struct stat st;
	int rc = 0;

	if (!to)
		return ZS_ENOMEM;
	for (unsigned k = 1; k <= ASIDE_MAX; k++) {
		snprintf(to, cap, "%s" ASIDE_MARK "%u", path, k);
		if (lstat(to, &st) && errno == ENOENT)
			break;
		if (k == ASIDE_MAX)
			rc = ZS_ELIMIT;
	}
	if (!rc && rename(path, to) == 0) {
		pthread_mutex_lock(&s->lock);
		if (strcmp(path, s->current) != 0 || !s->aside[0]) /* the generation is what has to be said */
			snprintf(s->aside, sizeof s->aside, "%s", strrchr(to, '/') + 1);
		pthread_mutex_unlock(&s->lock);
		aside_prune(s, strcmp(path, s->current) == 0);
	} else if (!rc && errno != ENOENT) {
		rc = zs_from_errno(errno);
	}
	free(to);
	return rc ? rc : fs_sync_dir(s->path);
}

int aside_generation(struct store *s, uint64_t number)
{
	char *path = gen_path(s, number);
	int rc = path ? aside_file(s, path) : ZS_ENOMEM;

	if (!rc)
		gen_unlink(path); /* its lock file is left; the file itself is gone from this name */
	free(path);
	return rc;
}

void store_aside_name(struct store *s, char *dst, size_t cap)
{
	pthread_mutex_lock(&s->lock);
	snprintf(dst, cap, "%s", s->aside);
	pthread_mutex_unlock(&s->lock);
}

/* --- the mark ------------------------------------------------------------------------------------------- */

uint64_t aside_marked(const struct store *s)
{
	uint64_t number;

	return store_read_number(s->mark, &number) ? 0 : number;
}

void aside_unmark(struct store *s)
{
	struct stat st;

	if (lstat(s->mark, &st) == 0)
		fs_remove(s->mark);
}

int store_mark_damaged(struct store *s, uint64_t version)
{
	uint64_t number = 0;
	int rc = 0;

	pthread_mutex_lock(&s->commit_lock); /* no other generation becomes live meanwhile */
	pthread_mutex_lock(&s->lock);
	if (s->live && version >= s->since && !s->live->damaged)
		number = s->live->number;
	else if (!s->live || version < s->since)
		rc = ZS_ESTALE;
	if (number)
		s->live->damaged = true;
	pthread_mutex_unlock(&s->lock);
	if (number)
		rc = store_write_number(s->mark, number);
	pthread_mutex_unlock(&s->commit_lock);
	return rc;
}

bool store_is_damaged(struct store *s)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = s->live && s->live->damaged;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

/* The mark goes last: after a crash in between, opening the store finds it and does the rest. */
void aside_replaced(struct store *s, struct gen *old)
{
	if (aside_generation(s, old->number) == 0)
		aside_unmark(s);
	gen_drop(old, false);
}

/* --- at once -------------------------------------------------------------------------------------------- */

int store_set_aside(struct store *s)
{
	struct snap *kept = NULL;
	struct gen *g;
	int rc;

	pthread_mutex_lock(&s->commit_lock);
	g = s->live; /* changed by holders of commit_lock alone */
	rc = g ? aside_generation(s, g->number) : ZS_ENOENT;
	if (!rc)
		rc = aside_file(s, s->current);
	if (!rc) {
		pthread_mutex_lock(&s->lock);
		kept = s->kept;
		s->live = NULL;
		s->newest = s->kept = NULL;
		s->version = s->since = 0;
		pthread_mutex_unlock(&s->lock);
		aside_unmark(s);
	}
	pthread_mutex_unlock(&s->commit_lock);
	if (rc)
		return rc;
	snap_unref(kept);
	gen_drop(g, false);
	return 0;
}
