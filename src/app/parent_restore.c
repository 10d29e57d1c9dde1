/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The first start on a directory that is a backup: it is checked against its list, file by file, before
 * anything of it is used, and its parts get their owners. Then the list goes: from here on it is an ordinary
 * state directory, except that each zone still carries its mark (store.h, STORE_RESTORED). Called once by the
 * parent, under the lock of the state directory, before there are children.
 */
#include <errno.h>
#include <fts.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/manifest.h"
#include "parent.h"
#include "sdnotify.h"

/* A large backup takes its time, and the service manager is told that there is some. */
static int still_there(void *ctx)
{
	unsigned *n = ctx;

	if (++*n % 256 == 1)
		sd_notify_state("EXTEND_TIMEOUT_USEC=60000000\nSTATUS=checking the restored state directory");
	return 0;
}

/* Links are not followed: they are given away themselves. */
static int give_tree(const char *dir, const char *sub, const char *user)
{
	char *path = NULL, *paths[2] = { NULL, NULL };
	struct child_user u;
	FTS *fts = NULL;
	FTSENT *e;
	int err = child_user(user, &u);

	if (err || !u.change)
		return err;
	if (asprintf(&path, "%s/%s", dir, sub) < 0)
		return ZS_ENOMEM;
	paths[0] = path;
	fts = fts_open(paths, FTS_PHYSICAL | FTS_NOCHDIR | FTS_XDEV, NULL);
	if (!fts)
		err = zs_from_errno(errno);
	while (!err && (e = fts_read(fts))) {
		if (e->fts_info == FTS_DP)
			continue;
		if (e->fts_info == FTS_ERR || e->fts_info == FTS_DNR || e->fts_info == FTS_NS)
			err = e->fts_errno == ENOENT ? 0 : zs_from_errno(e->fts_errno);
		else if (lchown(e->fts_accpath, u.uid, u.gid) != 0)
			err = zs_from_errno(errno);
		if (err)
			log_msg(LL_ERR, "parent", NULL, "%s cannot be given to user %s: %s", e->fts_path,
				user, zs_strerror(err));
	}
	if (fts)
		fts_close(fts);
	free(path);
	return err;
}

static int remove_file(const char *dir, const char *name)
{
	char path[MANIFEST_PATH_MAX];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return n >= (int)sizeof(path) ? ZS_ELIMIT : fs_remove(path);
}

/* The list of the whole goes first: without it the others mean nothing. */
static int lists_remove(const char *dir)
{
	int err = remove_file(dir, MANIFEST_NAME);

	if (!err)
		err = remove_file(dir, "zones/" MANIFEST_NAME);
	if (!err)
		err = remove_file(dir, "keys/" MANIFEST_NAME);
	return err;
}

static bool is_there(const char *dir, const char *name)
{
	char path[MANIFEST_PATH_MAX];
	struct stat st;

	return snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path) && lstat(path, &st) == 0;
}

int parent_restore(struct parent *p)
{
	const char *dir = p->conf->state_dir;
	struct manifest_report rep;
	unsigned blocks = 0;
	int err;

	if (is_there(dir, BACKUP_INCOMPLETE)) {
		log_msg(LL_ERR, "parent", NULL,
			"state-dir %s is a backup that was not finished (" BACKUP_INCOMPLETE
			"): it cannot be used",
			dir);
		return ZS_ETRUNC;
	}
	if (!is_there(dir, MANIFEST_NAME))
		return 0;
	log_msg(LL_NOTICE, "parent", NULL, "event=restore state-dir=%s: the backup is checked", dir);
	err = manifest_check(dir, still_there, &blocks, &rep);
	if (err) {
		log_msg(LL_ERR, "parent", NULL, "state-dir %s is a damaged backup: %s", dir,
			rep.what[0] ? rep.what : zs_strerror(err));
		return err;
	}
	if ((err = give_tree(dir, "zones", p->conf->user)) ||
	    (err = give_tree(dir, "register", p->conf->user)) ||
	    (err = give_tree(dir, "keys", p->conf->vault_user)) || (err = lists_remove(dir)))
		return err;
	log_msg(LL_NOTICE, "parent", NULL, "event=restored files=%llu octets=%llu: the backup is good",
		(unsigned long long)rep.files, (unsigned long long)rep.octets);
	return 0;
}
