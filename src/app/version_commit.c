/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The end of the recipe (version.c), on a worker: what is signed is written into the view with META, key
 * state and history, the gate looks at the very octets that are going to be stored, and one transaction makes
 * them the version. Nothing in here waits for anybody but the disk.
 */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "faultmark.h"
#include "store/history.h"
#include "version.h"

#define HISTORY_MERGE_S 3600       /* older routine versions become one */

static int open_base(void *ctx, struct kv **out)
{
	return version_base(ctx, out);
}

int version_gate(struct version_job *j)
{
	struct gating_says says = { view_base(j->view) + 1, j->gap ? GATE_SERVED | GATE_UPSTREAM : 0 };
	struct kv *kv = NULL;
	int err;

	j->gating.p.now = clk_wall().s;
	j->gating.p.open_base = open_base;
	j->gating.p.base_ctx = j;
	gate_free(j->gate);
	j->gate = gate_new(&j->gating.p);
	if (j->gate && j->values)
		gate_recall(j->gate, j->values);
	if (j->gate && j->from && j->from->values)
		gate_recall(j->gate, j->from->values);
	/* over a build history is written when all of it stands */
	err = j->gate ? gating_change(j->gate, j->zone->wire, j->e->workers, j->view, j->onto ? NULL : &says)
		      : ZS_ENOMEM;
	if (!err)
		err = view_kv(j->view, &kv);
	if (!err)
		err = gate_finish(j->gate, kv, false);
	kv_close(kv);
	return err ? err : gate_total(j->gate) ? ZS_EVETO : 0;
}

static void meta_apply(struct version_job *j)
{
	struct zmeta *m = &j->meta;
	const struct meta_delta *d = &j->delta;

	m->signatures = (uint64_t)((int64_t)m->signatures + d->signatures);
	if (j->kind == VERSION_CHANGE) {
		m->records = (uint64_t)((int64_t)m->records + d->records);
		m->octets = (uint64_t)((int64_t)m->octets + d->octets);
		m->rrsets = (uint64_t)((int64_t)m->rrsets + d->rrsets);
		/* of an unsigned zone it is not exact: there occluded ones come and go uncounted */
		if (d->cuts < 0 && m->cuts < (uint64_t)-d->cuts)
			m->cuts = 0;
		else
			m->cuts = (uint64_t)((int64_t)m->cuts + d->cuts);
		if (d->largest_ttl > m->largest_ttl)
			m->largest_ttl = d->largest_ttl;
		m->have_upstream = true;
		m->upstream_serial = j->in->soa_fields.serial;
		memcpy(m->upstream_soa, j->in->soa, j->in->soa_len);
		m->upstream_soa_len = j->in->soa_len;
		m->upstream_soa_ttl = j->in->soa_ttl;
		if (!j->undo)
			m->upstream_checked = m->transferred = j->now.s;
		if (j->onto) {
			m->upstream_checked = j->checked;
			m->transferred = j->transferred;
			if (m->last_inception < j->inception)
				m->last_inception = j->inception;
		}
	}
	m->signed_serial = j->serial;
	m->next_seq = atomic_load(j->soa.next_seq);
	m->published = clk_wall().s;
	if (m->is_signed)
		m->signed_at = m->published;
}

static int write_item(struct version_job *j, struct kv *kv, struct signing_item *it, struct wr *w)
{
	int64_t inception = sign_latest_inception(it->set.sig, it->set.nsig, j->now.s);

	if (inception > j->meta.last_inception)
		j->meta.last_inception = inception;
	j->delta.signatures += (int64_t)it->set.nsig - it->old_nsig;
	return item_write(kv, it, w);
}

static int write_set(struct version_job *j, struct kv *kv, struct signset *s, struct wr *w)
{
	int err = 0;

	for (struct signing *g = s->head; !err && g; g = g->link)
		for (struct signing_item *it = g->head; !err && it; it = it->next)
			err = write_item(j, kv, it, w);
	return err;
}

/* Routine work: what still fits, and has room. The index knows what is left out. */
static int write_routine(struct version_job *j, struct kv *kv, struct signset *s, struct wr *w)
{
	int err = 0;

	for (struct signing *g = s->head; !err && g; g = g->link)
		for (struct signing_item *it = g->head; !err && it; it = it->next)
			if (view_pages(j->view) < view_pages_max() * 3 / 4 && routine_still_fits(kv, it))
				err = write_item(j, kv, it, w);
	return err;
}

int version_write(struct version_job *j)
{
	struct wr w = wr_growing(TBS_MAX * 2);
	struct kv *kv = NULL;
	int err = view_kv(j->view, &kv);

	if (!err)
		err = zmeta_get(kv, &j->meta);
	j->old = j->meta;
	if (!err)
		err = j->kind == VERSION_ROUTINE ? write_routine(j, kv, &j->sets, &w)
						 : write_set(j, kv, &j->sets, &w);
	if (!err)
		err = write_routine(j, kv, &j->along, &w);
	if (!err)
		err = write_set(j, kv, &j->soa, &w);
	meta_apply(j);
	if (!err)
		err = zmeta_put(kv, &j->meta);
	j->keys.have_serial = true;
	j->keys.last_serial = j->serial;
	if (!err)
		err = keystate_put(kv, &j->keys);
	kv_close(kv);
	wr_free(&w);
	return err;
}

/* What stood there was spoilt, perhaps after secondaries had it as it was meant: a difference that takes it
 * away would leave theirs behind. */
static bool heals(const struct version_job *j)
{
	const struct signset *const sets[] = { &j->sets, &j->soa, &j->along };

	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		for (const struct signing *g = sets[i]->head; g; g = g->link)
			if (g->heals || g->spoilt)
				return true;
	return j->compare;
}

/* What secondaries see of it, and what upstream changed; both bounded as the config says. */
static int write_history(struct version_job *j)
{
	struct history_limits lim = { j->history.versions, j->history.bytes, j->history.bytes,
				      j->history.age };
	struct history_head h = { .from_upstream = j->old.upstream_serial,
				  .to_upstream = j->meta.upstream_serial,
				  .time = j->meta.published,
				  .kind = j->kind == VERSION_CHANGE ? HISTORY_USER : HISTORY_ROUTINE };
	struct history_head user = h;
	struct history_soa from = { j->old.upstream_soa, j->old.upstream_soa_len, j->old.upstream_soa_ttl };
	struct history_soa to = { j->meta.upstream_soa, j->meta.upstream_soa_len, j->meta.upstream_soa_ttl };
	struct kv *base = NULL;
	bool merged;
	int err;

	/* history is the first thing to go without; its serials show the gap */
	j->gap = true;
	if (store_is_tight(j->zone->store)) {
		log_limited(LL_WARN, "store", j->zone->name, "tight", 2,
			    "disk nearly full: no history is kept, secondaries get AXFR");
		return 0;
	}
	if (heals(j)) {
		log_msg(LL_INFO, "store", j->zone->name,
			"event=gap serial=%u: history begins anew, secondaries get AXFR", j->serial);
		return 0;
	}
	/* the version itself was right, and signatures must not expire over its history */
	if (atomic_load(&j->zone->history_doubted[j->kind])) {
		log_msg(LL_WARN, "store", j->zone->name,
			"event=gap serial=%u: the history of the last try was vetoed; secondaries get AXFR",
			j->serial);
		return 0;
	}
	j->gap = false;
	err = snap_kv(j->base, &base);

	if (!err)
		err = history_write(j->view, base, &h);
	user.from_serial = j->old.signed_serial;
	user.to_serial = j->serial;
	if (!err && j->kind == VERSION_CHANGE)
		err = history_write_user(j->view, base, &from, &to, &user);
	if (!err && j->kind == VERSION_ROUTINE)
		err = history_merge(j->view, h.time, HISTORY_MERGE_S, &merged);
	if (!err)
		err = history_trim(j->view, &lim, h.time);
	kv_close(base);
	return err;
}

/* Routine work is written on whatever stands now; a change on what it was prepared on. What was there before
 * tells the gate what a change left behind. */
static int open_view(struct version_job *j)
{
	int err = store_snap(j->zone->store, &j->base);

	if (!err && j->view && snap_version(j->base) != view_base(j->view))
		err = ZS_ESTALE;
	if (err)
		return err;
	return j->view ? view_resume(j->view, j->zone->store) : view_new(j->base, &j->view);
}

void version_commit(struct version_job *j)
{
	mono_t began;

	fault_zone(j->zone->wire);
	j->err = open_view(j);
	if (!j->err)
		j->err = keystate_ceiling(j->zone->store, &j->keys, j->serial);
	if (!j->err)
		j->err = version_write(j);
	if (!j->err)
		j->err = write_history(j);
	if (!j->err)
		j->err = version_gate(j);
	began = clk_mono();
	if (!j->err)
		j->err = store_commit(j->zone->store, j->view, &j->version);
	j->damaged = j->err == ZS_ECRC;
	if (!j->err) {
		publish_count_commit(j->e, mono_diff(clk_mono(), began));
		atomic_store(&j->zone->history_doubted[j->kind], false);
		j->pub = publish_prepare(j->zone->store, j->zone->wire, &j->meta, &j->earliest, &j->err);
		j->damaged = damage_is(j->err);
	}
	snap_unref(j->base);
	j->base = NULL;
}
