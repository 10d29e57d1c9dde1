/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * LMDB cursors of one read transaction as a raw iterator: over the tables of a generation, or over its recent
 * changes (recent.c), whose items are shown as merge.h wants an overlay. Called by snap.c.
 */
#include <string.h>

#include "base/err.h"
#include "priv.h"

/* --- the tables ----------------------------------------------------------------------------------------- */

/* The store's own records stand before all others: reaching them is reaching the end. */
static int answer(struct cursor *c, int rc, const MDB_val *k, const MDB_val *v, struct kv_item *out)
{
	c->placed = rc == 0 && k->mv_size && *(const uint8_t *)k->mv_data >= TAB_USER_MIN;
	if (!c->placed)
		return rc ? zs_from_mdb(rc) : ZS_ENOENT;
	*out = (struct kv_item){ k->mv_data, k->mv_size, v->mv_data, v->mv_size };
	return 0;
}

static MDB_val to_val(const void *p, size_t len)
{
	return (MDB_val){ .mv_size = len, .mv_data = (void *)(uintptr_t)p };
}

/* Keys before the first table that is shown. */
static bool is_low(const void *key, size_t klen)
{
	return klen == 0 || *(const uint8_t *)key < TAB_USER_MIN;
}

static int main_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	MDB_val k = to_val(key, klen), v;
	int rc;

	if (is_low(key, klen))
		return ZS_ENOENT;
	rc = mdb_cursor_get(c->look, &k, &v, MDB_SET_KEY);
	if (rc)
		return zs_from_mdb(rc);
	*out = (struct kv_item){ k.mv_data, k.mv_size, v.mv_data, v.mv_size };
	return 0;
}

static int main_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	static const uint8_t first = TAB_USER_MIN;
	struct cursor *c = (struct cursor *)kv;
	MDB_val k = is_low(key, klen) ? to_val(&first, 1) : to_val(key, klen), v;

	return answer(c, mdb_cursor_get(c->cur, &k, &v, MDB_SET_RANGE), &k, &v, out);
}

/* The last item before k. */
static int before(MDB_cursor *cur, MDB_val *k, MDB_val *v)
{
	int rc = mdb_cursor_get(cur, k, v, MDB_SET_RANGE);

	if (rc == 0)
		return mdb_cursor_get(cur, k, v, MDB_PREV);
	return rc == MDB_NOTFOUND ? mdb_cursor_get(cur, k, v, MDB_LAST) : rc;
}

static int main_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	MDB_val k = to_val(key, klen), v;

	if (is_low(key, klen)) {
		c->placed = false;
		return ZS_ENOENT;
	}
	return answer(c, before(c->cur, &k, &v), &k, &v, out);
}

static int main_step(struct kv *kv, MDB_cursor_op op, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	MDB_val k, v;

	if (!c->placed)
		return ZS_ENOENT;
	return answer(c, mdb_cursor_get(c->cur, &k, &v, op), &k, &v, out);
}

static int main_next(struct kv *kv, struct kv_item *out)
{
	return main_step(kv, MDB_NEXT, out);
}

static int main_prev(struct kv *kv, struct kv_item *out)
{
	return main_step(kv, MDB_PREV, out);
}

static const struct kv_ops main_ops = {
	.get = main_get,
	.seek = main_seek,
	.seek_lt = main_seek_lt,
	.next = main_next,
	.prev = main_prev,
};

/* --- recent changes ------------------------------------------------------------------------------------- */

static int show(const MDB_val *k, const MDB_val *v, struct kv_item *out)
{
	*out = (struct kv_item){ k->mv_data, k->mv_size, v->mv_data, v->mv_size };
	return recent_open(out);
}

/* Another table is the end. */
static int recent_answer(struct cursor *c, int rc, const MDB_val *k, const MDB_val *v, struct kv_item *out)
{
	c->placed = rc == 0 && k->mv_size && *(const uint8_t *)k->mv_data == TAB_RECENT;
	if (!c->placed)
		return rc ? zs_from_mdb(rc) : ZS_ENOENT;
	return show(k, v, out);
}

/* ZS_EINVAL: too long to stand there. */
static int recent_key(uint8_t buf[static KEY_OCTETS_MAX], const void *key, size_t klen, MDB_val *k)
{
	if (klen >= KEY_OCTETS_MAX)
		return ZS_EINVAL;
	buf[0] = TAB_RECENT;
	if (klen)
		memcpy(buf + 1, key, klen);
	*k = to_val(buf, klen + 1);
	return 0;
}

static int recent_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	uint8_t buf[KEY_OCTETS_MAX];
	MDB_val k, v;
	int rc;

	if (recent_key(buf, key, klen, &k))
		return ZS_ENOENT;
	rc = mdb_cursor_get(c->look, &k, &v, MDB_SET_KEY);
	return rc ? zs_from_mdb(rc) : show(&k, &v, out);
}

static int recent_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	uint8_t buf[KEY_OCTETS_MAX];
	MDB_val k, v;
	int rc = recent_key(buf, key, klen, &k);

	return rc ? rc : recent_answer(c, mdb_cursor_get(c->cur, &k, &v, MDB_SET_RANGE), &k, &v, out);
}

static int recent_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	uint8_t buf[KEY_OCTETS_MAX];
	MDB_val k, v;
	int rc = recent_key(buf, key, klen, &k);

	return rc ? rc : recent_answer(c, before(c->cur, &k, &v), &k, &v, out);
}

static int recent_step(struct kv *kv, MDB_cursor_op op, struct kv_item *out)
{
	struct cursor *c = (struct cursor *)kv;
	MDB_val k, v;

	if (!c->placed)
		return ZS_ENOENT;
	return recent_answer(c, mdb_cursor_get(c->cur, &k, &v, op), &k, &v, out);
}

static int recent_next(struct kv *kv, struct kv_item *out)
{
	return recent_step(kv, MDB_NEXT, out);
}

static int recent_prev(struct kv *kv, struct kv_item *out)
{
	return recent_step(kv, MDB_PREV, out);
}

static const struct kv_ops recent_ops = {
	.get = recent_get,
	.seek = recent_seek,
	.seek_lt = recent_seek_lt,
	.next = recent_next,
	.prev = recent_prev,
};

/* --- beginning and end ---------------------------------------------------------------------------------- */

int cursor_open(struct cursor *c, MDB_txn *txn, MDB_dbi dbi, bool recent)
{
	int rc = mdb_cursor_open(txn, dbi, &c->cur);

	if (!rc)
		rc = mdb_cursor_open(txn, dbi, &c->look);
	c->kv.ops = recent ? &recent_ops : &main_ops;
	c->placed = false;
	return zs_from_mdb(rc);
}

int cursor_renew(struct cursor *c, MDB_txn *txn)
{
	int rc = mdb_cursor_renew(txn, c->cur);

	return zs_from_mdb(rc ? rc : mdb_cursor_renew(txn, c->look));
}

void cursor_end(struct cursor *c)
{
	if (c->cur)
		mdb_cursor_close(c->cur);
	if (c->look)
		mdb_cursor_close(c->look);
	c->cur = c->look = NULL;
}
