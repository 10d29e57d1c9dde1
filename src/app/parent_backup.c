/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent's part of a backup: it makes the directory, hands each of its parts to the process that owns it
 * (as an open descriptor: no name is walked by anybody else), and when zones, register and file keys are
 * written, in this order, it adds the keymap and the list of the whole. A key is made in the order keymap,
 * key, key state; copied the other way round, every key that a zone's copy knows is in the copy.
 *
 * Invariants: the directory is ours and nobody else's to replace, whatever the engine says; BACKUP-INCOMPLETE
 * stands in it from the first moment to the end, and no daemon starts on a directory that has it. One backup
 * at a time, forgotten when the engine that asked dies.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/manifest.h"
#include "ipc.h"
#include "parent.h"

#define DIR_MAX 3000
#define KEYMAP_MAX ((size_t)1 << 30)
#define LIST_BLOCKS 2048 /* MiB that the engine's list may have */

struct pbackup {
	char *dir;
	int fd, above;            /* the directory, and the one it is in */
	int zones, reg, keys;
	uint64_t request;         /* that waits for the keys */
	const struct pvault *vault;
	char why[512];
};

/* The first reason counts. */
__attribute__((format(printf, 3, 4))) static int because(struct pbackup *b, int err, const char *fmt, ...)
{
	va_list ap;

	if (b->why[0])
		return err;
	va_start(ap, fmt);
	vsnprintf(b->why, sizeof(b->why), fmt, ap);
	va_end(ap);
	return err;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void parent_backup_drop(struct parent *p)
{
	struct pbackup *b = p->backup;

	if (!b)
		return;
	close_fd(&b->zones);
	close_fd(&b->reg);
	close_fd(&b->keys);
	close_fd(&b->fd);
	close_fd(&b->above);
	free(b->dir);
	free(b);
	p->backup = NULL;
}

static void answer(struct parent *p, uint8_t type, uint64_t id, int err, const char *text, const int *fds,
		   unsigned nfds)
{
	struct wr w = wr_growing(1 << 16);

	wr_u64(&w, id);
	wr_u32(&w, (uint32_t)-err);
	wr_bytes(&w, text, strlen(text));
	if (!w.err)
		parent_tell(p, type, w.p, w.len, fds, nfds);
	wr_free(&w);
}

/* --- the directory -------------------------------------------------------------------------------------- */

/* Started as root, somebody else's directory is no place: its owner could put another one in our one's stead.
 * A sticky one (/tmp) protects what is ours. */
static int check_above(struct pbackup *b, const char *above)
{
	struct stat st;

	b->above = open(above, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (b->above < 0 || fstat(b->above, &st) != 0) {
		int err = zs_from_errno(errno);

		return because(b, err, "%.300s: %s", above, strerror(errno));
	}
	if (geteuid() == 0 && (st.st_uid != 0 || ((st.st_mode & 022) && !(st.st_mode & S_ISVTX))))
		return because(b, ZS_EPERM,
			       "%.300s: must belong to root, and nobody else may be able to write there",
			       above);
	return 0;
}

static int check_empty(struct pbackup *b)
{
	int fd = openat(b->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	struct stat st;
	int err = 0;

	if (!d) {
		close_fd(&fd);
		return because(b, ZS_EIO, "%.300s: %s", b->dir, strerror(errno));
	}
	while (!err && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			err = because(b, ZS_EEXIST, "%.300s: is not empty", b->dir);
	closedir(d);
	if (!err && (fstat(b->fd, &st) != 0 || st.st_uid != geteuid()))
		err = because(b, ZS_EPERM, "%.300s: exists and belongs to another user", b->dir);
	if (!err && fchmod(b->fd, 0700) != 0)
		err = because(b, zs_from_errno(errno), "%.300s: %s", b->dir, strerror(errno));
	return err;
}

static int make_top(struct pbackup *b)
{
	char *slash = strrchr(b->dir, '/'), *name = slash + 1;
	int err;

	*slash = '\0';
	err = check_above(b, *b->dir ? b->dir : "/");
	*slash = '/';
	if (err)
		return err;
	if (mkdirat(b->above, name, 0700) != 0 && errno != EEXIST)
		return because(b, zs_from_errno(errno), "%.300s: %s", b->dir, strerror(errno));
	b->fd = openat(b->above, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (b->fd < 0)
		return because(b, zs_from_errno(errno), "%.300s: %s", b->dir, strerror(errno));
	return check_empty(b);
}

static int make_sub(struct pbackup *b, const char *name, const char *user, int *fd)
{
	struct child_user u;
	int err = child_user(user, &u);

	if (!err && mkdirat(b->fd, name, 0700) != 0)
		err = zs_from_errno(errno);
	if (!err) {
		*fd = openat(b->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (*fd < 0 || (u.change && fchown(*fd, u.uid, u.gid) != 0))
			err = zs_from_errno(errno);
	}
	return err ? because(b, err, "%.300s/%s: %s", b->dir, name, zs_strerror(err)) : 0;
}

static const char *at_fd(const struct pbackup *b, const char *name, char dst[static 96])
{
	int n = snprintf(dst, 96, MANIFEST_FD_PATH, b->fd);

	snprintf(dst + n, 96 - (size_t)n, "%s%s", name ? "/" : "", name ? name : "");
	return dst;
}

static int make_all(struct parent *p, struct pbackup *b)
{
	static const char text[] = "this backup was not finished: it is of no use\n";
	char path[96];
	int err = make_top(b);

	if (!err && (err = fs_replace(at_fd(b, BACKUP_INCOMPLETE, path), text, strlen(text), 0600)))
		because(b, err, "%.300s/" BACKUP_INCOMPLETE ": %s", b->dir, zs_strerror(err));
	if (!err)
		err = make_sub(b, "zones", p->conf->user, &b->zones);
	if (!err)
		err = make_sub(b, "register", p->conf->user, &b->reg);
	if (!err)
		err = make_sub(b, "keys", p->conf->vault_user, &b->keys);
	return err;
}

/* An absolute name without a final slash, not more. */
static int take_dir(struct pbackup *b, const uint8_t *text, size_t len)
{
	if (len < 2 || len > DIR_MAX || text[0] != '/' || memchr(text, 0, len))
		return because(b, ZS_EINVAL, "the directory must be named by an absolute path");
	while (len > 1 && text[len - 1] == '/')
		len--;
	b->dir = strndup((const char *)text, len);
	if (!b->dir)
		return ZS_ENOMEM;
	if (len < 2 || strcmp(strrchr(b->dir, '/'), "/..") == 0 || strcmp(strrchr(b->dir, '/'), "/.") == 0)
		return because(b, ZS_EINVAL, "%.300s: is no name for a new directory", b->dir);
	return 0;
}

static int begin(struct parent *p, struct pbackup *b, struct rd *r)
{
	int err = take_dir(b, r->p, rd_left(r));

	return err ? err : make_all(p, b);
}

void parent_backup_begin(struct parent *p, const struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	struct pbackup *b;
	int fds[2], err;

	if (p->backup) {
		answer(p, IPC_BACKUP_DIR, id, ZS_EEXIST, "another backup is being written", NULL, 0);
		return;
	}
	b = calloc(1, sizeof(*b));
	if (!b || r.err) {
		free(b);
		answer(p, IPC_BACKUP_DIR, id, ZS_ENOMEM, "", NULL, 0);
		return;
	}
	b->fd = b->above = b->zones = b->reg = b->keys = -1;
	p->backup = b;
	err = begin(p, b, &r);
	if (err) {
		log_msg(LL_ERR, "parent", NULL, "event=backup-refused: %s",
			b->why[0] ? b->why : zs_strerror(err));
		answer(p, IPC_BACKUP_DIR, id, err, b->why, NULL, 0);
		parent_backup_drop(p);
		return;
	}
	log_msg(LL_NOTICE, "parent", NULL, "event=backup-started directory=%s", b->dir);
	fds[0] = b->zones;
	fds[1] = b->reg;
	answer(p, IPC_BACKUP_DIR, id, 0, "", fds, 2);
	close_fd(&b->zones);
	close_fd(&b->reg);
}

/* --- the end -------------------------------------------------------------------------------------------- */

static int count_block(void *ctx)
{
	unsigned *n = ctx;

	return ++*n > LIST_BLOCKS ? ZS_ELIMIT : 0;
}

/* A part's own list, or text; absent when there was nothing to write. */
static int add_part(struct pbackup *b, struct manifest *m, const char *name, bool needed)
{
	unsigned blocks = 0;
	int err = manifest_add(m, name, count_block, &blocks);

	if (err == ZS_ENOENT && !needed)
		return 0;
	return err ? because(b, err, "%.300s/%s: %s", b->dir, name, zs_strerror(err)) : 0;
}

static int add_keymap(struct parent *p, struct pbackup *b, struct manifest *m)
{
	char *text = NULL;
	size_t len = 0;
	int err = fs_read(p->keymap_path, KEYMAP_MAX, &text, &len);

	if (err == ZS_ENOENT)
		return 0; /* no key was ever made */
	if (!err)
		err = manifest_write(m, "keymap", text, len);
	free(text);
	return err ? because(b, err, "%.300s/keymap: %s", b->dir, zs_strerror(err)) : 0;
}

static int write_list(struct parent *p, struct pbackup *b)
{
	char path[96];
	struct manifest *m = manifest_new(at_fd(b, NULL, path));
	int err = m ? add_keymap(p, b, m) : ZS_ENOMEM;

	if (!err)
		err = add_part(b, m, "zones/" MANIFEST_NAME, true);
	if (!err)
		err = add_part(b, m, "register/keys.txt", false);
	if (!err)
		err = add_part(b, m, "keys/" MANIFEST_NAME, true);
	if (!err && (err = manifest_save(m, clk_wall())))
		because(b, err, "%.300s/" MANIFEST_NAME ": %s", b->dir, zs_strerror(err));
	manifest_free(m);
	if (!err && ((err = fs_remove(at_fd(b, BACKUP_INCOMPLETE, path))) || fsync(b->above) != 0))
		err = because(b, err ? err : ZS_EIO, "%.300s: %s", b->dir, strerror(errno));
	return err;
}

static void finish(struct parent *p, int err, const char *text)
{
	struct pbackup *b = p->backup;

	if (!err)
		err = write_list(p, b);
	if (err)
		log_msg(LL_ERR, "parent", NULL, "event=backup-failed directory=%s: %s", b->dir,
			b->why[0] ? b->why : zs_strerror(err));
	else
		log_msg(LL_NOTICE, "parent", NULL, "event=backup-done directory=%s keys=%s", b->dir, text);
	answer(p, IPC_BACKED_UP, b->request, err, err ? b->why : text, NULL, 0);
	parent_backup_drop(p);
}

void parent_backup_keys(struct parent *p, uint64_t id, int result, const char *text)
{
	struct pbackup *b = p->backup;

	if (!b || !b->vault || b->request != id)
		return;
	b->vault = NULL;
	if (result)
		because(b, result, "file keys: %.400s", *text ? text : zs_strerror(result));
	finish(p, result, text);
}

void parent_backup_vault_died(struct parent *p, const struct pvault *v)
{
	if (p->backup && p->backup->vault == v)
		parent_backup_keys(p, p->backup->request, ZS_EVAULT, "the vault process ended");
}

/* All stores of this back end keep their keys in one directory: any vault of theirs can read it. */
static struct pvault *file_vault(struct parent *p)
{
	struct pvault *v = NULL;

	for (size_t i = 0; i < p->conf->nkeystores; i++) {
		if (!p->conf->keystores[i].file)
			continue;
		v = parent_vault_find(p, p->conf->keystores[i].name);
		if (v && v->manage)
			return v;
	}
	return v;
}

void parent_backup_end(struct parent *p, const struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	bool go = rd_u8(&r) == 1;
	struct pbackup *b = p->backup;
	struct pvault *v;
	int err;

	if (rd_done(&r) || !b || b->vault) {
		answer(p, IPC_BACKED_UP, id, ZS_ENOENT, "no backup is being written", NULL, 0);
		return;
	}
	if (!go) {
		log_msg(LL_WARN, "parent", NULL, "event=backup-given-up directory=%s: it is incomplete",
			b->dir);
		answer(p, IPC_BACKED_UP, id, ZS_ECANCEL, "", NULL, 0);
		parent_backup_drop(p);
		return;
	}
	b->request = id;
	v = file_vault(p);
	err = v && v->manage ? vmanage_backup(v->manage, id, b->keys) : ZS_EVAULT;
	if (err) {
		because(b, err, "file keys: %s", v && *v->state ? v->state : zs_strerror(err));
		finish(p, err, "");
	} else {
		b->vault = v;
	}
}
