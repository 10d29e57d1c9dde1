/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The way out of a retired generation: its last version, which is served on, is copied into the next one,
 * with its number and everything that belongs to it. No upstream and no key store has a part in it. Called
 * by a worker; a build of the next version may be under way beside it.
 *
 * Invariants: the new file becomes the live one as that of a build does (build.c), and only over the version
 * that was copied; values that do not pass the caller's check are not copied into a file that counts as good.
 */
#include <string.h>

#include "base/err.h"
#include "dns/schema.h"
#include "priv.h"

struct renewal { struct build *b; struct store_copied *out; };

static int renewal_put(void *ctx, const struct kv_item *it)
{
	struct renewal *r = ctx;
	int rc;

	if (it->key[0] < TAB_RECORDS)
		rc = build_put(r->b, it->key, it->klen, it->val, it->vlen);
	else /* keys of a good file rise */
		rc = build_append(r->b, it->key, it->klen, it->val, it->vlen);
	if (rc == ZS_EINVAL)
		return ZS_ECRC;
	r->out->target = rc != 0;
	return rc;
}

/* What there is to copy. */
static int retired_snap(struct store *s, struct snap **out)
{
	int rc;

	pthread_mutex_lock(&s->lock);
	if (!s->live || !s->live->retired)
		rc = ZS_ENOENT;
	else
		rc = s->live->damaged ? ZS_ECRC : 0;
	pthread_mutex_unlock(&s->lock);
	return rc ? rc : store_snap(s, out);
}

int store_renew(struct store *s, const struct store_copy_opts *o, struct store_copied *out)
{
	struct renewal r = { .out = out };
	struct snap *sn = NULL;
	uint64_t version;
	int rc;

	memset(out, 0, sizeof(*out));
	rc = retired_snap(s, &sn);
	if (rc)
		return rc;
	rc = build_renewal(s, &r.b);
	if (rc) {
		out->target = true;
		snap_unref(sn);
		return rc;
	}
	rc = copy_items(sn, o, renewal_put, &r, out);
	if (!rc) {
		version = snap_version(sn);
		build_caught_up(r.b, version);
		rc = build_publish(r.b, &out->version);
		out->target = rc != 0;
	}
	if (rc)
		build_free(r.b);
	snap_unref(sn);
	return rc;
}
