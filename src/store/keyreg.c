/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The key register: which zone uses which key object, in an environment of its own. Called by workers of the
 * engine before a key is generated and after one is deleted.
 *
 *   01                        u8 format, u32 CRC: the file's format
 *   16-octet id + zone (wire) u8 format, u32 CRC, u8 role, u8 algorithm, u64 created, u8 length, key store
 *
 * The CRC covers the key too, so that a record cannot stand for another one, and everything but itself.
 * A damaged register is set aside, kept, and filled again from the zones' key states as zones are opened.
 * Entries of zones that are not configured any more are in the kept file only.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/fs.h"
#include "priv.h"

#define REG_FORMAT 1
#define REG_HEAD 5
#define REG_MAP ((size_t)1 << 30) /* about two million entries */
#define REG_MAX 128

struct keyreg {
	MDB_env *env;
	MDB_dbi dbi;
	char *path;
};

static const uint8_t key_format[] = { 0x01 };

static uint32_t reg_crc(const uint8_t *key, size_t klen, const uint8_t *rec, size_t len)
{
	return crc32c(crc32c(crc32c(0, key, klen), rec, 1), rec + REG_HEAD, len - REG_HEAD);
}

static size_t make_key(uint8_t *out, const uint8_t *id, const uint8_t *zone, size_t zone_len)
{
	memcpy(out, id, 16);
	memcpy(out + 16, zone, zone_len);
	return 16 + zone_len;
}

static MDB_val to_val(const void *p, size_t len)
{
	return (MDB_val){ .mv_size = len, .mv_data = (void *)(uintptr_t)p };
}

static int put_rec(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen, uint8_t *rec, size_t len)
{
	MDB_val k = to_val(key, klen), v = to_val(rec, len);

	rec[0] = REG_FORMAT;
	put_be32(rec + 1, reg_crc(key, klen, rec, len));
	return mdb_put(txn, dbi, &k, &v, 0);
}

/* One record, or its removal (len 0), synced. */
static int reg_write(struct keyreg *r, const uint8_t *key, size_t klen, uint8_t *rec, size_t len)
{
	MDB_val k = to_val(key, klen);
	MDB_txn *txn;
	int rc = mdb_txn_begin(r->env, NULL, 0, &txn);

	if (rc)
		return zs_from_mdb(rc);
	rc = len ? put_rec(txn, r->dbi, key, klen, rec, len) : mdb_del(txn, r->dbi, &k, NULL);
	if (rc)
		mdb_txn_abort(txn);
	else
		rc = mdb_txn_commit(txn);
	return zs_from_mdb(rc);
}

static int check_rec(const uint8_t *key, size_t klen, const uint8_t *rec, size_t len)
{
	if (len < REG_HEAD || be32(rec + 1) != reg_crc(key, klen, rec, len) || rec[0] == 0)
		return ZS_ECRC;
	return rec[0] == REG_FORMAT ? 0 : ZS_EVERSION;
}

/* Checks the format record; in a register that is being made there is none yet, and it is written. */
static int reg_check(struct keyreg *r, bool fresh)
{
	uint8_t rec[REG_HEAD];
	MDB_val k = to_val(key_format, sizeof key_format), v;
	MDB_txn *txn;
	int rc = zs_from_mdb(mdb_txn_begin(r->env, NULL, MDB_RDONLY, &txn));

	if (rc)
		return rc;
	rc = zs_from_mdb(mdb_dbi_open(txn, NULL, 0, &r->dbi));
	if (!rc && !fresh) {
		rc = zs_from_mdb(mdb_get(txn, r->dbi, &k, &v));
		rc = rc ? rc : check_rec(key_format, sizeof key_format, v.mv_data, v.mv_size);
		if (rc == ZS_ENOENT)
			rc = ZS_ECRC;
	}
	mdb_txn_abort(txn);
	return rc || !fresh ? rc : reg_write(r, key_format, sizeof key_format, rec, sizeof rec);
}

static int reg_open(struct keyreg *r, const char *path, bool fresh)
{
	struct stat st;
	int rc;

	/* LMDB would take an empty file for a new one. */
	if (!fresh && (stat(path, &st) || st.st_size < 2 * GEN_PAGE))
		return ZS_ECRC;
	if (mdb_env_create(&r->env))
		return ZS_ENOMEM;
	rc = mdb_env_set_mapsize(r->env, REG_MAP);
	if (!rc)
		rc = mdb_env_open(r->env, path, MDB_NOSUBDIR | MDB_NOTLS | MDB_NORDAHEAD, 0600);
	return rc ? zs_from_mdb(rc) : reg_check(r, fresh);
}

static int reg_sync(struct store_dir *d)
{
	char *dir = path_join(d->path, "register");
	int rc = dir ? fs_sync_dir(dir) : ZS_ENOMEM;

	free(dir);
	return rc;
}

/* --- what a backup brought back ------------------------------------------------------------------------- */

static int encode(const struct keyreg_entry *e, uint8_t rec[static REG_MAX], size_t *len)
{
	struct wr w = wr_fixed(rec, REG_MAX);
	size_t name = strnlen(e->keystore, sizeof e->keystore);

	if (name == sizeof e->keystore || e->zone_len == 0)
		return ZS_EINVAL;
	wr_space(&w, REG_HEAD);
	wr_u8(&w, e->role);
	wr_u8(&w, e->algorithm);
	wr_u64(&w, (uint64_t)e->created);
	wr_u8(&w, (uint8_t)name);
	wr_bytes(&w, e->keystore, name);
	*len = w.len;
	return w.err;
}

struct fill { MDB_txn *txn; MDB_dbi dbi; };

static int fill_one(void *ctx, const struct keyreg_entry *e)
{
	uint8_t key[16 + 255], rec[REG_MAX];
	struct fill *f = ctx;
	size_t len;
	int rc = encode(e, rec, &len);

	return rc ? rc
		  : zs_from_mdb(put_rec(f->txn, f->dbi, key, make_key(key, e->id, e->zone, e->zone_len), rec,
					len));
}

/* All entries of the text in one transaction. Without a text there are none. */
static int reg_fill(struct keyreg *r, const char *path)
{
	struct fill f = { .dbi = r->dbi };
	char *text = NULL;
	size_t len = 0;
	int rc = fs_read_checked(path, KEYREG_TEXT_MAX, &text, &len);

	if (rc)
		return rc == ZS_ENOENT ? 0 : rc == ZS_ECRC ? ZS_EFORMAT : rc;
	rc = zs_from_mdb(mdb_txn_begin(r->env, NULL, 0, &f.txn));
	if (!rc) {
		rc = keyreg_text_each(text, fill_one, &f);
		if (rc)
			mdb_txn_abort(f.txn);
		else
			rc = zs_from_mdb(mdb_txn_commit(f.txn));
	}
	free(text);
	return rc;
}

/*
 * Made under another name, closed and renamed when it is whole: half a register is never found under its
 * name.
 */
static int reg_make(struct keyreg *r, struct store_dir *d)
{
	char *tmp = path_join(d->path, "register/new"), *text = path_join(d->path, "register/keys.txt");
	int rc;

	if (!tmp || !text) {
		free(tmp);
		free(text);
		return ZS_ENOMEM;
	}
	gen_unlink(tmp);
	rc = reg_open(r, tmp, true);
	if (!rc)
		rc = reg_fill(r, text);
	if (r->env)
		mdb_env_close(r->env);
	r->env = NULL;
	if (!rc && rename(tmp, r->path))
		rc = zs_from_errno(errno);
	gen_unlink(tmp); /* its lock file, or all of it */
	if (!rc)
		unlink(text); /* one that comes back after a crash is not looked at any more */
	free(tmp);
	free(text);
	return rc;
}

/* A directory of its own: the state directory itself belongs to the parent, not to us. */
static int reg_dir(struct store_dir *d)
{
	char *dir = path_join(d->path, "register");
	int rc = dir ? fs_mkdir_p(dir, 0700) : ZS_ENOMEM;

	free(dir);
	return rc;
}

int keyreg_open(struct store_dir *d, struct keyreg **out)
{
	struct keyreg *r = calloc(1, sizeof *r);
	struct stat st;
	int rc = 0;

	if (!r)
		return ZS_ENOMEM;
	r->path = path_join(d->path, "register/keys.mdb");
	rc = r->path ? reg_dir(d) : ZS_ENOMEM;
	if (!rc && stat(r->path, &st))
		rc = errno == ENOENT ? reg_make(r, d) : zs_from_errno(errno);
	if (!rc)
		rc = reg_sync(d); /* each time: an earlier one may have failed */
	if (!rc)
		rc = reg_open(r, r->path, false);
	if (rc) {
		keyreg_close(r);
		return rc;
	}
	*out = r;
	return 0;
}

#define ASIDE_MAX 1000

int keyreg_set_aside(struct store_dir *d, char *name)
{
	char *from = path_join(d->path, "register/keys.mdb"), *to = NULL, rel[96];
	struct stat st;
	int rc = from ? 0 : ZS_ENOMEM;

	for (unsigned k = 1; !rc; k++) {
		snprintf(name, 64, "keys.mdb.damaged-%u", k);
		snprintf(rel, sizeof rel, "register/%s", name);
		free(to);
		to = path_join(d->path, rel);
		if (!to)
			rc = ZS_ENOMEM;
		else if (k > ASIDE_MAX)
			rc = ZS_ELIMIT;
		else if (lstat(to, &st) && errno == ENOENT)
			break;
	}
	if (!rc && rename(from, to))
		rc = zs_from_errno(errno);
	if (!rc) {
		gen_unlink(from); /* its lock file */
		rc = reg_sync(d);
	}
	free(from);
	free(to);
	return rc;
}

void keyreg_close(struct keyreg *r)
{
	if (!r)
		return;
	if (r->env)
		mdb_env_close(r->env);
	free(r->path);
	free(r);
}

int keyreg_put(struct keyreg *r, const struct keyreg_entry *e)
{
	uint8_t key[16 + 255], rec[REG_MAX];
	size_t len;
	int rc = encode(e, rec, &len);

	return rc ? rc : reg_write(r, key, make_key(key, e->id, e->zone, e->zone_len), rec, len);
}

int keyreg_has(struct keyreg *r, const uint8_t id[16], const uint8_t *zone, size_t zone_len)
{
	uint8_t key[16 + 255];
	MDB_txn *txn;
	MDB_val k, v;
	int rc;

	if (zone_len == 0 || zone_len > 255)
		return ZS_EINVAL;
	k = to_val(key, make_key(key, id, zone, zone_len));
	rc = zs_from_mdb(mdb_txn_begin(r->env, NULL, MDB_RDONLY, &txn));
	if (rc)
		return rc;
	rc = zs_from_mdb(mdb_get(txn, r->dbi, &k, &v));
	if (!rc)
		rc = check_rec(key, k.mv_size, v.mv_data, v.mv_size);
	mdb_txn_abort(txn);
	return rc;
}

int keyreg_remove(struct keyreg *r, const uint8_t id[16], const uint8_t *zone, size_t zone_len)
{
	uint8_t key[16 + 255];

	if (zone_len == 0 || zone_len > 255)
		return ZS_EINVAL;
	return reg_write(r, key, make_key(key, id, zone, zone_len), NULL, 0);
}

static int decode(const uint8_t *key, size_t klen, const uint8_t *rec, size_t len, struct keyreg_entry *e)
{
	struct rd r;
	const uint8_t *name;
	size_t n;
	int rc = check_rec(key, klen, rec, len);

	if (rc)
		return rc;
	if (klen <= 16 || klen > 16 + 255)
		return ZS_EFORMAT;
	*e = (struct keyreg_entry){ .zone_len = (uint8_t)(klen - 16) };
	memcpy(e->id, key, 16);
	memcpy(e->zone, key + 16, e->zone_len);
	r = rd_init(rec + REG_HEAD, len - REG_HEAD);
	e->role = rd_u8(&r);
	e->algorithm = rd_u8(&r);
	e->created = (int64_t)rd_u64(&r);
	n = rd_u8(&r);
	name = rd_bytes(&r, n);
	if (rd_done(&r) || n >= sizeof e->keystore)
		return ZS_EFORMAT;
	memcpy(e->keystore, name, n);
	return 0;
}

int keyreg_each(struct keyreg *r, int (*fn)(void *ctx, const struct keyreg_entry *e), void *ctx)
{
	struct keyreg_entry e;
	MDB_cursor *cur;
	MDB_txn *txn;
	MDB_val k, v;
	int rc = mdb_txn_begin(r->env, NULL, MDB_RDONLY, &txn), at;

	if (rc)
		return zs_from_mdb(rc);
	rc = zs_from_mdb(mdb_cursor_open(txn, r->dbi, &cur));
	if (rc) {
		mdb_txn_abort(txn);
		return rc;
	}
	while (!rc && (at = mdb_cursor_get(cur, &k, &v, MDB_NEXT)) != MDB_NOTFOUND) {
		rc = zs_from_mdb(at);
		if (rc || k.mv_size == sizeof key_format)
			continue;
		rc = decode(k.mv_data, k.mv_size, v.mv_data, v.mv_size, &e);
		if (!rc)
			rc = fn(ctx, &e);
	}
	mdb_cursor_close(cur);
	mdb_txn_abort(txn);
	return rc;
}
