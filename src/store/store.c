/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store of one zone: opening what CURRENT names, donors, purging. Damage: aside.c.
 * Called by workers when a zone is loaded, rebuilt or removed.
 *
 * Invariants: nothing is deleted that a person could want back from a damaged file; a file of a newer format
 * is not touched at all; what CURRENT names is never removed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/text.h"
#include "priv.h"

#define CURRENT_MAX 256

/* --- CURRENT -------------------------------------------------------------------------------------------- */

int store_read_number(const char *path, uint64_t *number)
{
	char *text, *dot;
	size_t len;
	int rc = fs_read_checked(path, CURRENT_MAX, &text, &len);

	if (rc)
		return rc == ZS_ELIMIT && errno == EFBIG ? ZS_ECRC : rc;
	dot = strchr(text, '.');
	if (!dot || strcmp(dot, ".mdb\n") != 0) {
		free(text);
		return ZS_ECRC;
	}
	*dot = '\0';
	rc = text_u64(text, UINT64_MAX - 1, number);
	free(text);
	return rc || *number == 0 ? ZS_ECRC : 0;
}

int store_write_number(const char *path, uint64_t number)
{
	char text[40];
	int n = snprintf(text, sizeof text, "%llu.mdb\n", (unsigned long long)number);

	return fs_replace_checked(path, text, (size_t)n, 0600);
}

int store_read_current(const struct store *s, uint64_t *number)
{
	return store_read_number(s->current, number);
}

int store_write_current(const struct store *s, uint64_t number)
{
	return store_write_number(s->current, number);
}

/* --- opening -------------------------------------------------------------------------------------------- */

/* The file is what is wrong, not our resources. */
static bool is_damage(int rc)
{
	return rc == ZS_ECRC || rc == ZS_EIO || rc == ZS_ENOENT || rc == ZS_EFORMAT || rc == ZS_ETRUNC;
}

/* version NULL: of one that is only read. */
static int check_record(struct gen *g, enum rec_state *state, uint64_t *version)
{
	MDB_txn *txn;
	int rc = zs_from_mdb(mdb_txn_begin(g->env, NULL, MDB_RDONLY, &txn));

	if (rc)
		return rc;
	rc = rec_check_format(txn, g->dbi, g->store, state);
	if (!rc && version)
		rc = rec_get_version(txn, g->dbi, version);
	if (!rc && version)
		rc = recent_count(txn, g->dbi, &g->recent);
	mdb_txn_abort(txn);
	return rc;
}

/* Opens the generation that CURRENT names and leaves it idle. */
static int open_live(struct store *s, uint64_t number)
{
	struct gen *g = gen_new(s, number);
	enum rec_state state = REC_BUILDING;
	int rc;

	if (!g)
		return ZS_ENOMEM;
	rc = gen_use(g);
	if (!rc) {
		rc = check_record(g, &state, &s->version);
		if (!rc && state != REC_READY)
			rc = ZS_ECRC;
		if (!rc)
			gen_cache(g);
		gen_unuse(g);
	}
	if (rc)
		gen_drop(g, false);
	else
		s->live = g;
	s->since = rc ? 0 : s->version;
	return rc;
}

/* Old generations whose removal a crash cut off, and the numbers given so far. */
static int tidy(struct store *s, uint64_t live)
{
	uint64_t *numbers, marked = aside_marked(s);
	size_t n;
	int rc = dir_generations(s->path, &numbers, &n);

	if (rc)
		return rc;
	dir_remove_temporary(s->path);
	s->next_number = n ? numbers[n - 1] + 1 : 1;
	if (live >= s->next_number)
		s->next_number = live + 1;
	for (size_t i = 0; i < n && s->live && numbers[i] < live; i++) {
		char *path = gen_path(s, numbers[i]);

		if (numbers[i] == marked)
			rc = aside_generation(s, marked);
		else if (path)
			gen_unlink(path);
		free(path);
	}
	free(numbers);
	if (s->live && marked == live)
		s->live->damaged = true;
	else if (!rc)
		aside_unmark(s);
	return 0;
}

static int open_current(struct store *s, enum store_health *health)
{
	uint64_t number = 0;
	int rc = store_read_current(s, &number);

	*health = STORE_READY;
	if (rc == ZS_ENOENT) {
		*health = STORE_EMPTY;
		return tidy(s, 0);
	}
	if (is_damage(rc)) {
		*health = STORE_DAMAGED;
		rc = aside_file(s, s->current);
		return rc ? rc : tidy(s, 0);
	}
	if (rc)
		return rc;
	rc = open_live(s, number);
	if (is_damage(rc)) {
		*health = STORE_DAMAGED;
		s->version = 0;
		rc = aside_generation(s, number);
		if (!rc)
			rc = aside_file(s, s->current);
	}
	return rc ? rc : tidy(s, number);
}

static int dir_link(struct store_dir *d, struct store *s)
{
	int rc = 0;

	pthread_mutex_lock(&d->lock);
	for (struct store *o = d->stores; o && !rc; o = o->next)
		if (strcmp(o->path, s->path) == 0)
			rc = ZS_EEXIST;
	if (!rc) {
		s->next = d->stores;
		d->stores = s;
	}
	pthread_mutex_unlock(&d->lock);
	return rc;
}

static void dir_unlink(struct store_dir *d, struct store *s)
{
	pthread_mutex_lock(&d->lock);
	for (struct store **p = &d->stores; *p; p = &(*p)->next) {
		if (*p == s) {
			*p = s->next;
			break;
		}
	}
	pthread_mutex_unlock(&d->lock);
}

void store_free(struct store *s)
{
	dir_unlink(s->dir, s);
	free(s->path);
	free(s->current);
	free(s->mark);
	free(s->keystate);
	pthread_mutex_destroy(&s->commit_lock);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->returned);
	free(s);
}

static size_t wire_len(const uint8_t *zone)
{
	size_t n = 0;

	while (zone[n] && n < 254)
		n += zone[n] + 1u;
	return n + 1;
}

static struct store *store_alloc(struct store_dir *d, const uint8_t *zone)
{
	struct store *s = calloc(1, sizeof *s);
	char rel[STORE_PATH_MAX];
	pthread_condattr_t attr;

	if (!s)
		return NULL;
	s->dir = d;
	s->zone_len = (uint8_t)wire_len(zone);
	memcpy(s->zone, zone, s->zone_len);
	s->path = store_zone_path(zone, rel, sizeof rel) ? NULL : path_join(d->zones, rel);
	s->current = s->path ? path_join(s->path, "CURRENT") : NULL;
	s->mark = s->path ? path_join(s->path, "DAMAGED") : NULL;
	s->keystate = s->path ? path_join(s->path, "keystate") : NULL;
	pthread_mutex_init(&s->commit_lock, NULL);
	pthread_mutex_init(&s->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->returned, &attr);
	pthread_condattr_destroy(&attr);
	if (!s->keystate || !s->mark || !s->current) {
		store_free(s);
		return NULL;
	}
	return s;
}

int store_open(struct store_dir *d, const uint8_t *zone, struct store **out, enum store_health *health)
{
	struct store *s;
	int rc;

	if (wire_len(zone) > 255)
		return ZS_EINVAL;
	s = store_alloc(d, zone);
	if (!s)
		return ZS_ENOMEM;
	rc = dir_link(d, s);
	if (rc) {
		store_free(s);
		return rc;
	}
	rc = fs_mkdir_p(s->path, 0700);
	if (!rc)
		rc = open_current(s, health);
	if (rc) {
		store_close(s);
		return rc;
	}
	*out = s;
	return 0;
}

void store_close(struct store *s)
{
	bool last;

	if (!s)
		return;
	snap_unref(s->kept);
	gen_drop(s->live, false);
	gen_drop(s->donor, false);
	pthread_mutex_lock(&s->lock);
	s->closed = true;
	last = !s->snaps;
	pthread_mutex_unlock(&s->lock);
	if (last)
		store_free(s);
}

const char *store_keystate_path(const struct store *s)
{
	return s->keystate;
}

uint64_t store_version(struct store *s)
{
	uint64_t version;

	pthread_mutex_lock(&s->lock);
	version = s->live ? s->version : 0;
	pthread_mutex_unlock(&s->lock);
	return version;
}

uint64_t store_bytes(struct store *s)
{
	struct stat st;
	uint64_t n = 0;

	pthread_mutex_lock(&s->lock);
	if (s->live && stat(s->live->path, &st) == 0)
		n = (uint64_t)st.st_size;
	pthread_mutex_unlock(&s->lock);
	return n;
}

/* --- donors --------------------------------------------------------------------------------------------- */

/*
 * A generation that is neither live nor being built. s->lock is not held: nobody else makes or drops donors.
 */
static bool is_left_over(struct store *s, uint64_t number)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = number != s->building && number != s->renewing && number != s->named &&
	      !(s->live && number == s->live->number);
	pthread_mutex_unlock(&s->lock);
	return yes;
}

static struct gen *open_donor(struct store *s, uint64_t number)
{
	struct gen *g = gen_new(s, number);
	enum rec_state state;
	int rc;

	if (!g)
		return NULL;
	rc = gen_use(g);
	if (!rc) {
		rc = check_record(g, &state, NULL);
		gen_unuse(g);
	}
	if (rc) {
		gen_drop(g, false);
		return NULL;
	}
	return g;
}

static int find_donor(struct store *s)
{
	uint64_t *numbers;
	size_t n;
	int rc;

	if (s->donor)
		return 0;
	rc = dir_generations(s->path, &numbers, &n);
	if (rc)
		return rc;
	/* One that is older than the live generation is on its way out. */
	while (n-- && !s->donor && !(s->live && numbers[n] < s->live->number))
		if (is_left_over(s, numbers[n]))
			s->donor = open_donor(s, numbers[n]);
	free(numbers);
	return s->donor ? 0 : ZS_ENOENT;
}

int store_donor(struct store *s, struct kv **out)
{
	struct snap *sn;
	int rc = find_donor(s);

	if (!rc)
		rc = snap_new(s->donor, &sn);
	if (rc)
		return rc;
	rc = snap_kv(sn, out);
	snap_unref(sn);
	return rc;
}

void store_drop_donors(struct store *s)
{
	uint64_t *numbers;
	size_t n;

	gen_drop(s->donor, true);
	s->donor = NULL;
	if (dir_generations(s->path, &numbers, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		char *path = is_left_over(s, numbers[i]) ? gen_path(s, numbers[i]) : NULL;

		if (path)
			gen_unlink(path);
		free(path);
	}
	free(numbers);
}

/* --- the end of a zone ---------------------------------------------------------------------------------- */

/* CURRENT goes first and durably: after a crash half-way the zone is empty, not damaged. */
int store_purge(struct store_dir *d, const uint8_t *zone)
{
	struct store *s = wire_len(zone) > 255 ? NULL : store_alloc(d, zone);
	struct stat st;
	char *slash;
	int rc;

	if (!s)
		return ZS_EINVAL;
	rc = dir_link(d, s);
	if (rc) {
		store_free(s);
		return rc;
	}
	if (stat(s->path, &st) == 0) {
		rc = fs_remove(s->current);
		if (!rc)
			rc = dir_remove_tree(s->path, true);
		slash = strrchr(s->path, '/');
		dir_unlink(d, s);
		*slash = '\0';
		if (!rc)
			rc = fs_sync_dir(s->path);
	} else {
		dir_unlink(d, s);
	}
	store_free(s);
	return rc;
}
