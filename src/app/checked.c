/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The time of the last good check of upstream, made durable without a version: a commit of META alone. */
#include <stdlib.h>
#include "base/err.h"
#include "base/log.h"
#include "zone.h"

struct checked_job { struct zone *zone; struct store *store; struct zmeta meta; int64_t checked; int err; };

static void checked_done(void *arg)
{
	struct checked_job *j = arg;
	struct zone *z = j->zone;

	if (damage_is(j->err))
		zone_damaged(z, j->err, "noting a check");
	if (j->err == ZS_EIO) /* no later version could be committed either */
		zone_work_failed(z, "the time of the last check is not stored", j->err);
	free(j);
	version_committed(z);
	zone_job_end(z);
}

/* A commit of META alone: no record changes, so there is no new serial. */
static void checked_run(void *arg)
{
	struct checked_job *j = arg;
	struct snap *snap = NULL;
	struct view *v = NULL;
	struct kv *kv = NULL;
	uint64_t version;
	int err = store_snap(j->store, &snap);

	if (!err)
		err = view_new(snap, &v);
	if (!err)
		err = view_kv(v, &kv);
	if (!err)
		err = zmeta_get(kv, &j->meta);
	j->meta.upstream_checked = j->checked;
	if (!err)
		err = zmeta_put(kv, &j->meta);
	kv_close(kv);
	if (!err)
		err = store_commit(j->store, v, &version);
	view_free(v);
	snap_unref(snap);
	if (err)
		log_limited(LL_WARN, "store", j->zone->name, "checked", 2,
			    "time of the last check is not stored: %s", zs_strerror(err));
	j->err = err;
	mailbox_post(j->zone->e->home, checked_done, j);
}

void version_note_checked(struct zone *z)
{
	struct checked_job *j;

	if (!z->have_meta || !z->store || z->committing || z->meta.upstream_checked <= z->stored_checked ||
	    z->build || z->change_job || zone_is_retired(z))
		return;
	j = calloc(1, sizeof(*j));
	if (!j)
		return;
	j->zone = z;
	j->store = z->store;
	j->checked = z->stored_checked = z->meta.upstream_checked;
	z->committing = true;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_NORMAL, checked_run, j) != 0)
		checked_done(j);
}
