/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zone's copy into a backup, and the mark of a zone that came back from one. The snapshot is read by copy.c
 * and appended to a new environment: full pages in key order, no empty ones. Called by a worker of the
 * engine; the files belong to nobody else yet.
 *
 * Invariants: what is copied is one committed version, whatever is committed meanwhile; texts are copied
 * after it, so that a key of the generation stands in the text too; the mark RESTORED stands in every copy
 * and in no other directory of a zone, so that whoever is started on the copy knows what it is.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/manifest.h"
#include "priv.h"

#define TEXT_MAX ((size_t)1 << 20)
#define MARK_TEXT \
	"this zone came back from a backup; the next version is published above what secondaries have\n"

struct copy {
	struct store *store;
	struct snap *snap;
	const struct store_copy_opts *o;
	struct store_copied *out;
	/* the target */
	MDB_env *env;
	MDB_txn *txn;
	MDB_dbi dbi;
	MDB_cursor *cur;
	size_t pages;
};

/* --- the target ----------------------------------------------------------------------------------------- */

/* What goes wrong on this side is the backup's trouble, not the zone's. */
static int of_target(struct copy *c, int rc)
{
	if (rc)
		c->out->target = true;
	return rc;
}

static int target_commit(struct copy *c)
{
	int rc = 0;

	if (c->cur)
		mdb_cursor_close(c->cur);
	c->cur = NULL;
	if (c->txn)
		rc = zs_from_mdb(mdb_txn_commit(c->txn));
	c->txn = NULL;
	c->pages = 0;
	return of_target(c, rc);
}

static int target_begin(struct copy *c)
{
	int rc = mdb_txn_begin(c->env, NULL, 0, &c->txn);

	if (!rc)
		rc = mdb_dbi_open(c->txn, NULL, 0, &c->dbi);
	if (!rc)
		rc = mdb_cursor_open(c->txn, c->dbi, &c->cur);
	return of_target(c, zs_from_mdb(rc));
}

static uint64_t target_map(const struct copy *c)
{
	struct stat st;
	uint64_t size = stat(snap_gen(c->snap)->path, &st) ? 0 : (uint64_t)st.st_size;

	return GEN_MAP_MIN + 2 * size;
}

static int target_open(struct copy *c, const char *path)
{
	int rc;

	if (mdb_env_create(&c->env))
		return ZS_ENOMEM;
	rc = mdb_env_set_mapsize(c->env, target_map(c));
	if (!rc) /* nobody else opens it: it needs no lock file */
		rc = mdb_env_open(c->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NOLOCK | MDB_NORDAHEAD, 0600);
	rc = of_target(c, zs_from_mdb(rc));
	if (!rc)
		rc = target_begin(c);
	if (!rc)
		rc = of_target(c, zs_from_mdb(rec_put_format(c->txn, c->dbi, c->store, REC_READY)));
	if (!rc)
		rc = of_target(c, zs_from_mdb(rec_put_version(c->txn, c->dbi, snap_version(c->snap))));
	return rc;
}

static int target_put(void *ctx, const struct kv_item *it)
{
	struct copy *c = ctx;
	MDB_val k = { .mv_size = it->klen, .mv_data = (void *)(uintptr_t)it->key };
	MDB_val v = { .mv_size = it->vlen, .mv_data = (void *)(uintptr_t)it->val };
	int rc;

	if (c->pages >= BUILD_PAGES_MAX) {
		rc = target_commit(c);
		if (!rc)
			rc = target_begin(c);
		if (rc)
			return rc;
	}
	c->pages += 1 + it->vlen / GEN_PAGE;
	rc = mdb_cursor_put(c->cur, &k, &v, MDB_APPEND);
	/* keys of a good file rise */
	return rc == MDB_KEYEXIST ? ZS_ECRC : of_target(c, zs_from_mdb(rc));
}

static void target_close(struct copy *c)
{
	if (c->cur)
		mdb_cursor_close(c->cur);
	if (c->txn)
		mdb_txn_abort(c->txn);
	if (c->env)
		mdb_env_close(c->env);
}

static int copy_generation(struct copy *c, const char *path)
{
	int rc = target_open(c, path);

	if (!rc)
		rc = copy_items(c->snap, c->o, target_put, c, c->out);
	if (!rc)
		rc = target_commit(c);
	target_close(c);
	return rc;
}

/* --- the files of a zone -------------------------------------------------------------------------------- */

static int write_number(struct manifest *m, const char *rel, const char *file, uint64_t number)
{
	char name[STORE_PATH_MAX + 32], text[40];
	int n = snprintf(text, sizeof text, "%llu.mdb\n", (unsigned long long)number);

	snprintf(name, sizeof name, "%s/%s", rel, file);
	return manifest_write_checked(m, name, text, (size_t)n);
}

static bool gen_is_damaged(struct store *s, const struct gen *g)
{
	bool yes;

	pthread_mutex_lock(&s->lock);
	yes = g->damaged;
	pthread_mutex_unlock(&s->lock);
	return yes;
}

/* CURRENT last: without it what stands there is no generation of the zone. */
static int backup_generation(struct copy *c, struct manifest *m, const char *rel)
{
	const struct gen *g = snap_gen(c->snap);
	char name[STORE_PATH_MAX + 32], *path;
	int rc;

	snprintf(name, sizeof name, "%s/%llu.mdb", rel, (unsigned long long)g->number);
	path = path_join(manifest_dir(m), name);
	if (!path)
		return ZS_ENOMEM;
	rc = copy_generation(c, path);
	if (rc)
		unlink(path);
	free(path);
	if (!rc)
		rc = of_target(c, manifest_add(m, name, c->o->tick, c->o->ctx));
	if (!rc && gen_is_damaged(c->store, g))
		rc = of_target(c, write_number(m, rel, "DAMAGED", g->number));
	if (!rc)
		rc = of_target(c, write_number(m, rel, "CURRENT", g->number));
	if (!rc)
		c->out->version = snap_version(c->snap);
	return rc;
}

/* As it stands, checksum and all: a rename makes it, so that it is whole. */
static int backup_text(struct copy *c, struct manifest *m, const char *rel, const char *file)
{
	char name[STORE_PATH_MAX + 32], *path = path_join(c->store->path, file), *text = NULL;
	size_t len = 0;
	int rc = path ? fs_read(path, TEXT_MAX, &text, &len) : ZS_ENOMEM;

	free(path);
	if (rc)
		return rc == ZS_ENOENT ? 0 : rc;
	snprintf(name, sizeof name, "%s/%s", rel, file);
	rc = of_target(c, manifest_write(m, name, text, len));
	free(text);
	return rc;
}

static int write_mark(struct copy *c, struct manifest *m, const char *rel)
{
	char name[STORE_PATH_MAX + 32];

	snprintf(name, sizeof name, "%s/" STORE_RESTORED, rel);
	return of_target(c, manifest_write_checked(m, name, MARK_TEXT, strlen(MARK_TEXT)));
}

int store_backup(struct store *s, struct manifest *m, const struct store_copy_opts *o,
		 struct store_copied *out)
{
	struct copy c = { .store = s, .o = o, .out = out };
	char rel[STORE_PATH_MAX];
	int rc = store_zone_path(s->zone, rel, sizeof rel), text;

	memset(out, 0, sizeof(*out));
	if (rc)
		return rc;
	rc = of_target(&c, manifest_mkdir(m, rel));
	if (!rc)
		rc = write_mark(&c, m, rel); /* first: a copy without it would be taken for the original */
	if (rc)
		return rc;
	rc = store_snap(s, &c.snap);
	if (!rc)
		rc = backup_generation(&c, m, rel);
	else if (rc == ZS_ENOENT)
		rc = 0; /* nothing is stored yet; perhaps it has keys */
	snap_unref(c.snap);
	text = out->target ? 0 : backup_text(&c, m, rel, "keystate");
	if (!text && !out->target)
		text = backup_text(&c, m, rel, "held");
	if (!text && !out->target)
		text = backup_text(&c, m, rel, "orders");
	return rc ? rc : text;
}

/* --- coming back ---------------------------------------------------------------------------------------- */

bool store_is_restored(const struct store *s)
{
	char *path = path_join(s->path, STORE_RESTORED);
	struct stat st;
	bool yes = !path || lstat(path, &st) == 0;

	free(path);
	return yes;
}

int store_restored_over(const struct store *s)
{
	char *path = path_join(s->path, STORE_RESTORED);
	int rc = path ? fs_remove(path) : ZS_ENOMEM;

	free(path);
	return rc;
}
