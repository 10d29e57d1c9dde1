/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The end of a build that went on beside the pipeline (z->next). It is written, and the gate has passed over
 * the whole of it; what the live generation got meanwhile is taken in now, in rounds. A round is a version
 * (version.h) made over the build's generation instead of the live one: what differs between their records,
 * its chain, its signatures, the SOA; then the gate over that, and a commit. The first rounds leave the live
 * generation alone; when little is left to do the bar comes down (z->barred): no change begins until the
 * round is through. A round that has seen all is the last one. z->committing stays set from its commit until
 * CURRENT has moved, so that its serial is above every other. A round that finds nothing has its SOA alone.
 *
 * A crash leaves the live generation, and the file of the build as donor.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "dns/merge.h"
#include "faultmark.h"
#include "version.h"

#define ROUND_PAGES (view_pages_max() / 16) /* of records; chain and signatures come on top */
#define ROUNDS_FREE 32                    /* at most so many without the bar */
#define BAR_SIGNATURES 256                /* the bar comes down when the last round made no more */

/* --- on a worker ---------------------------------------------------------------------------------------- */

static bool same_owner(const struct kv_item *it, const uint8_t *key, size_t klen)
{
	return it->klen == klen && memcmp(it->key, key, klen - 2) == 0;
}

/* RRset by RRset, as the merge of a whole transfer. A round ends between two owners. */
static int feed(struct version_job *j, struct kv *live, struct merge *m)
{
	static const uint8_t first = TAB_RECORDS;
	struct arena *mem = arena_new(0);
	uint8_t key[KEY_MAX], owner[NAME_MAX_WIRE];
	size_t klen = 0, olen, nlen;
	const uint8_t *okey;
	struct rrset set;
	struct kv_item it;
	uint16_t type;
	int err = mem ? kv_seek(live, &first, 1, &it) : ZS_ENOMEM;

	while (!err && it.klen && it.key[0] == TAB_RECORDS) {
		j->partial = view_pages(j->view) > ROUND_PAGES && !same_owner(&it, key, klen);
		if (j->partial)
			break;
		if (atomic_load(&j->cancelled))
			err = ZS_ECANCEL;
		arena_reset(mem);
		klen = it.klen;
		memcpy(key, it.key, klen);
		if (err || (err = key_record_split(key, klen, &okey, &olen, &type)) ||
		    (err = name_from_okey(okey, olen, owner, &nlen)) ||
		    (err = rrset_decode(&set, type, owner, it.val, it.vlen, mem)))
			break;
		set.nsig = 0;
		err = merge_set(m, key, klen, &set);
		if (!err)
			err = kv_next(live, &it);
	}
	arena_free(mem);
	return err == ZS_ENOENT ? 0 : err;
}

int overtake_merge(struct version_job *j, struct kv *before, struct kv *after, struct change_sums *sums)
{
	struct merge *m = NULL;
	struct kv *live = NULL;
	int err = snap_kv(j->base, &live);

	if (!err)
		err = merge_new(j->zone->wire, before, after, &m);
	if (!err)
		err = feed(j, live, m);
	if (!err && j->partial)
		merge_sums(m, sums);
	else if (!err)
		err = merge_end(m, sums);
	merge_free(m);
	kv_close(live);
	return err;
}

/* The live content has a SOA of upstream. */
static int take_soa(struct version_job *j)
{
	uint8_t key[KEY_MAX], okey[OKEY_MAX];
	size_t klen = key_record(key, okey, name_okey(j->zone->wire, okey), T_SOA);
	struct arena *mem = arena_new(0);
	struct kv *kv = NULL;
	struct zmeta live;
	struct rrset soa;
	struct rr rr = { .type = T_SOA, .class = CLASS_IN };
	int err = mem ? snap_kv(j->base, &kv) : ZS_ENOMEM;

	if (!err)
		err = zmeta_get(kv, &live);
	if (!err)
		err = version_load(kv, j->zone->wire, key, klen, mem, &soa);
	if (!err) {
		rr.owner = soa.owner;
		rr.ttl = live.upstream_soa_ttl;
		rr.rdata = live.upstream_soa;
		rr.rdlen = live.upstream_soa_len;
		err = transfer_take_soa(j->in, &rr);
	}
	kv_close(kv);
	arena_free(mem);
	return err;
}

static void prepare(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	j->err = build_view(j->onto->out, &j->view);
	if (!j->err)
		j->err = version_read_meta(j);
	if (!j->err && j->differs)
		j->err = store_snap(j->zone->store, &j->base);
	if (!j->err && j->differs)
		j->err = take_soa(j);
	if (!j->err && j->differs)
		j->err = change_prepare(j);
	if (!j->err)
		j->err = version_soa(j);
	if (!j->err)
		version_spread(j);
	if (j->view)
		view_park(j->view);
	snap_unref(j->base);
	j->base = NULL;
	version_run(j, false);
}

static void soa_again(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	j->err = version_soa(j);
	version_run(j, false);
}

static void written(void *arg);

static void commit(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	j->err = version_write(j);
	if (!j->err)
		j->err = version_gate(j);
	if (!j->err)
		j->err = build_commit_view(j->onto->out, j->view);
	mailbox_post(j->e->home, written, j);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */

static void round_end(struct version_job *j)
{
	struct build_job *b = j->onto;
	struct zone *z = j->zone;

	timer_stop(z->e->timers, &j->retry);
	b->taking = NULL;
	if (j->in != b->in)
		zone_dispose(z, (void (*)(void *))transfer_free, j->in);
	setup_unref(j->setup);
	zone_dispose(z, version_free, j);
}

static void failed(struct version_job *j)
{
	struct build_job *b = j->onto;
	struct zone *z = j->zone;
	char text[sizeof(j->reason)];

	if (j->last)
		z->committing = false;
	b->err = j->err;
	if (version_is_veto(j))
		version_describe_veto(j, text, sizeof(text));
	else
		snprintf(text, sizeof(text), "%s", j->err == ZS_EHELD ? j->reason : zs_strerror(j->err));
	round_end(j);
	z->barred = false;
	build_apart_failed(b, text);
	version_wake(z);
}

static void next_round(void *arg);

static void written(void *arg)
{
	struct version_job *j = arg;
	struct build_job *b = j->onto;
	struct signset_sums sum;
	bool last = j->last;

	if (!j->err && atomic_load(&j->cancelled))
		j->err = ZS_ECANCEL;
	if (j->err) {
		failed(j);
		return;
	}
	sum = version_count(j);
	b->sum_made += sum.made[SIGN_NEW];
	b->sum_kept += sum.kept;
	b->meta = j->meta;
	b->serial = j->serial;
	b->keys = j->keys;
	b->small = sum.made[SIGN_NEW] <= BAR_SIGNATURES;
	if (!j->partial)
		b->changes = j->seen;
	log_msg(LL_INFO, "build", j->zone->name, "event=taken-in round=%u rrsets=%llu signatures=%llu%s",
		b->rounds, (unsigned long long)sum.rrsets, (unsigned long long)sum.made[SIGN_NEW],
		last ? " last" : j->partial ? " partial" : "");
	round_end(j);
	if (last)
		build_publish_now(b);
	else
		next_round(b);
}

static void post(struct version_job *j, void (*fn)(void *))
{
	if (pool_post(j->e->workers, POOL_NORMAL, fn, j) == 0)
		return;
	j->err = ZS_ENOMEM;
	failed(j);
}

static uint32_t next_serial(const struct version_job *j)
{
	return downstream_next_serial(j->zone, j->differs ? j->zone->meta.upstream_serial
							  : j->onto->in->soa_fields.serial);
}

/* A change that has begun is over the generation that is live now. */
static bool change_runs(const struct zone *z)
{
	return z->change_job && z->change_job->started;
}

static void go_on(struct version_job *j)
{
	struct zone *z = j->zone;

	j->waiting = z->committing;
	if (j->waiting)
		return;
	if (!version_serial_fits(j)) {
		j->serial = next_serial(j);
		post(j, soa_again);
		return;
	}
	j->last = !j->partial && j->seen == z->changes && !change_runs(z);
	z->committing = j->last;
	post(j, commit);
}

static void run_again(void *arg)
{
	version_run(arg, true);
}

static void again_timer(void *arg)
{
	post(arg, run_again);
}

void overtake_signed(void *arg)
{
	struct version_job *j = arg;
	struct build_job *b = j->onto;
	bool full = j->sets.err == ZS_EAGAIN || j->soa.err == ZS_EAGAIN;

	if (atomic_load(&j->cancelled))
		j->err = ZS_ECANCEL;
	if (!j->err && j->sets.err != ZS_EAGAIN)
		j->err = j->sets.err;
	if (!j->err && j->soa.err != ZS_EAGAIN)
		j->err = j->soa.err;
	if (j->err == ZS_EAGAIN) { /* the live version moved on: the next one has handles */
		round_end(j);
		timer_set(b->e->timers, &b->retry, MONO_MS(50), next_round, b);
	} else if (j->err) {
		failed(j);
	} else if (full) {
		timer_set(b->e->timers, &j->retry, MONO_MS(20), again_timer, j);
	} else {
		go_on(j);
	}
}

/* What is live is the truth from the moment that it differs from what was transferred for the build; and
 * under a hold whatever that was. */
static bool differs(const struct build_job *b)
{
	const struct zone *z = b->zone;

	return z->changes != b->changes ||
	       (z->orders.hold && z->meta.upstream_serial != b->meta.upstream_serial);
}

static void begin(void *arg)
{
	struct version_job *j = arg;
	struct build_job *b = j->onto;
	struct zone *z = j->zone;
	const char *fault = engine_clock_fault(z->e, z->meta.last_inception);

	if (fault)
		zone_alarm_set(z, ALARM_CLOCK, "%s: nothing is signed", fault);
	j->waiting = fault || !downstream_guard_passed(z) || (z->barred && change_runs(z));
	if (j->waiting) { /* asked again by timer and by who made it wait */
		timer_set(z->e->timers, &j->retry, MONO_S(1), begin, j);
		return;
	}
	timer_stop(z->e->timers, &j->retry);
	j->started = true;
	j->seen = z->changes;
	j->differs = differs(b);
	j->checked = z->meta.upstream_checked;
	if (!j->differs && j->checked < b->meta.upstream_checked)
		j->checked = b->meta.upstream_checked;
	j->transferred = j->differs ? z->meta.transferred : b->meta.transferred;
	j->inception = z->meta.last_inception;
	j->clamp = b->clamp;
	j->in = j->differs ? transfer_new(z) : b->in;
	j->serial = next_serial(j);
	if (j->differs && z->rebuild) /* there is something wrong with what it has */
		j->err = ZS_ESTALE;
	else if (!j->in)
		j->err = ZS_ENOMEM;
	if (j->err)
		failed(j);
	else
		post(j, prepare);
}

static void next_round(void *arg)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;
	struct version_job *j;

	if (atomic_load(&b->cancelled))
		b->err = ZS_ECANCEL;
	else if (clk_wall().s - b->gating.p.now > b->pol.refresh / 10) /* too long for what its gate saw */
		b->err = ZS_ESTALE;
	j = b->err ? NULL : version_new(z, VERSION_CHANGE, b);
	if (!j) {
		b->err = b->err ? b->err : ZS_ENOMEM;
		z->barred = false;
		build_apart_failed(b, zs_strerror(b->err));
		version_wake(z);
		return;
	}
	z->barred = b->rounds >= ROUNDS_FREE || (b->rounds && b->small);
	b->rounds++;
	b->taking = j;
	begin(j);
}

void overtake_start(struct build_job *b)
{
	b->rounds = 0;
	next_round(b);
}

void overtake_wake(struct zone *z)
{
	struct version_job *j = z->next->taking;

	if (!j || !j->waiting)
		return;
	if (j->started)
		go_on(j);
	else
		begin(j);
}

/* Comes again until the job is back: a set that begins at this very moment is not seen. */
static void cancel_timer(void *arg)
{
	overtake_cancel(arg);
}

void overtake_cancel(struct build_job *b)
{
	struct version_job *j = b->taking;

	if (!j)
		return;
	atomic_store(&j->cancelled, true);
	if (j->waiting) {
		j->waiting = false;
		j->err = ZS_ECANCEL;
		failed(j);
		return;
	}
	signset_cancel(&j->sets);
	signset_cancel(&j->soa);
	timer_set(b->e->timers, &b->retry, MONO_MS(50), cancel_timer, b);
}
