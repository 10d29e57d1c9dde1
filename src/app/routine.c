/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is due. One job for each zone (z->routine, a version_job that never commits) reads the expiry index
 * from its beginning and keeps the key store busy while anything is due; what it has signed is taken from it,
 * by a routine version when a minute has passed since the last one, when the estimate of pages is full, when
 * nothing more is due, or after a moment when an expiry is near - or by a change of content that is on its
 * way out (version.c). Signing goes on meanwhile. What is taken and then not written is found in the index by
 * the next job. When signing anew is ordered, all that is older than the order is due; it is over when a job
 * finds none of it any more.
 */
#include <stdlib.h>
#include <string.h>
#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "faultmark.h"
#include "version.h"

#define ROUTINE_PAGES (view_pages_max() / 2) /* of one version */
#define CLOSE_S 60       /* a routine version closes so long after the last one */
#define OPEN_S 2         /* but is open for a moment */
#define LIFE_S 600       /* a job's times are those of its beginning: then the next one goes on */
#define RETRY_S 10
#define RETRY_MAX_S 600

/* From today on a record of the chain has today's TTL (RFC 9077 4). */
static void chain_ttl(struct version_job *j, struct rrset *set)
{
	struct soa soa;
	uint32_t ttl = j->old.upstream_soa_ttl;

	if (soa_read(j->old.upstream_soa, j->old.upstream_soa_len, &soa) != 0)
		return;
	if (soa.minimum < ttl)
		ttl = soa.minimum;
	set->ttl = ttl;
	for (uint32_t i = 0; i < set->nrr; i++)
		set->rr[i].ttl = ttl;
}

static int add_due(struct version_job *j, struct kv *kv, struct signing *g, const uint8_t *key, size_t klen,
		   int64_t within)
{
	struct rrset old, set;
	int err = version_load(kv, j->zone->wire, key, klen, g->mem, &old);

	if (err || old.type == T_SOA) /* that one is signed anyway, with its new serial */
		return err;
	set = old;
	set.rr = arena_dup(g->mem, old.rr, old.nrr * sizeof(*old.rr));
	if (!set.rr)
		return ZS_ENOMEM;
	if (key[0] == TAB_DENIAL)
		chain_ttl(j, &set);
	return signing_add(g, key, klen, &set, &old, true, within);
}

/* What the sweep found: nothing of its signatures is kept. */
static int fill_again(struct version_job *j, struct kv *reader, struct signing *g)
{
	int err = 0;

	for (; !err && j->again_at < j->nagain && g->items < j->sets.group_items; j->again_at++) {
		const struct sweep_key *k = &j->again[j->again_at];

		err = add_due(j, reader, g, k->key, k->len, INT64_MAX / 4);
		if (err == ZS_ENOENT) /* gone meanwhile */
			err = 0;
		g->heals = true;
		j->taken++;
	}
	return err;
}

/* May this one still come into this job? */
static bool is_open(const struct version_job *j, int64_t expires)
{
	int64_t left = expires - j->now.s;

	if (mono_diff(clk_mono(), j->began) > MONO_S(LIFE_S))
		return false;
	if (j->resign_below)
		return true;
	if (left > j->pol.refresh + j->pol.refresh / 10)
		return false;
	return j->taken > 0 || left <= j->pol.refresh;
}

/* The value of an index entry covers its key's octets. */
static bool is_intact(const struct kv_item *it)
{
	return it->vlen >= 5 && it->vlen - 5 <= KEY_MAX && it->val[0] == EXPIRY_FORMAT &&
	       be32(it->val + 1) == crc32c(0, it->val + 5, it->vlen - 5);
}

static int fill(struct version_job *j, struct kv *index, struct kv *reader, struct signing *g)
{
	uint8_t key[KEY_MAX], due[KEY_MAX];
	struct kv_item it;
	size_t klen = key_expiry(key, (uint64_t)j->cursor_time, j->cursor_seq);
	int64_t within = j->resign_below ? INT64_MAX / 4 : j->pol.refresh + j->pol.refresh / 10;
	int err;

	for (err = kv_seek(index, key, klen, &it); !err && g->items < j->sets.group_items;
	     err = kv_next(index, &it)) {
		size_t dlen;

		j->exhausted = it.klen != klen || it.key[0] != TAB_EXPIRY;
		if (j->exhausted || !is_open(j, (int64_t)be64(it.key + 1)))
			break;
		if (!is_intact(&it))
			return ZS_ECRC;
		dlen = it.vlen - 5;
		j->cursor_time = (int64_t)be64(it.key + 1);
		j->cursor_seq = be64(it.key + 9) + 1;
		if (j->resign_below && j->cursor_seq > j->resign_below) /* made since the order */
			continue;
		memcpy(due, it.val + 5, dlen);
		if ((err = add_due(j, reader, g, due, dlen, within)))
			return err == ZS_ENOENT ? ZS_ECRC : err;
		j->taken++;
	}
	j->exhausted |= err == ZS_ENOENT;
	return err == ZS_ENOENT ? 0 : err;
}

static int feed(void *arg, struct signing *g)
{
	struct version_job *j = arg;
	struct snap *snap = NULL;
	struct kv *index = NULL, *reader = NULL;
	size_t before = j->taken;
	int err = atomic_load(&j->cancelled) ? ZS_ECANCEL : store_snap(j->zone->store, &snap);

	if (!err)
		err = snap_kv(snap, &index);
	if (!err)
		err = snap_kv(snap, &reader);
	if (!err)
		err = fill_again(j, reader, g);
	if (!err)
		err = fill(j, index, reader, g);
	kv_close(index);
	kv_close(reader);
	snap_unref(snap);
	j->damaged |= damage_is(err);
	return err ? err : j->taken == before ? ZS_ENOENT : 0;
}

bool routine_still_fits(struct kv *kv, const struct signing_item *it)
{
	struct kv_item now;
	struct rrval v;

	return kv_get(kv, it->key, it->klen, &now) == 0 && rrval_open(&v, now.val, now.vlen) == 0 &&
	       v.nsig && v.exp_time == it->old_time && v.exp_seq == it->old_seq;
}

/* --- the job -------------------------------------------------------------------------------------------- */

/* Is so much due that the ends of what is made are to be spread? */
static int count_due(struct version_job *j)
{
	int64_t until = j->now.s + j->pol.refresh + j->pol.refresh / 10;
	struct snap *snap = NULL;
	struct kv *kv = NULL;
	struct kv_item it;
	uint8_t key[KEY_MAX];
	size_t klen = key_expiry(key, 0, 0);
	uint64_t n = 0;
	int err = store_snap(j->zone->store, &snap);

	if (!err)
		err = snap_kv(snap, &kv);
	if (!err)
		for (err = kv_seek(kv, key, klen, &it); !err && !j->signer.spread; err = kv_next(kv, &it)) {
			if (it.klen != klen || it.key[0] != TAB_EXPIRY || (int64_t)be64(it.key + 1) > until)
				break;
			j->signer.spread = version_spreads(++n, j->old.signatures);
		}
	kv_close(kv);
	snap_unref(snap);
	return err == ZS_ENOENT ? 0 : err;
}

static void over_home(void *arg);

static void over(void *arg)
{
	struct version_job *j = arg;

	mailbox_post(j->e->home, over_home, j);
}

static void run(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	if (!j->counted && !j->resign_below)
		j->err = count_due(j);
	j->counted = true;
	if (j->err)
		over(j);
	else
		signset_run(&j->sets);
}

static void kick_home(void *arg)
{
	struct version_job *j = arg;

	j->kicks--;
	routine_look(j->zone);
}

static void kick(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	signset_kick(&j->sets);
	mailbox_post(j->e->home, kick_home, j);
}

/* Under the set's lock. */
static void back(void *arg);

static void back_home(void *arg)
{
	struct version_job *j = arg;

	routine_look(j->zone);
}

static void back(void *arg)
{
	struct version_job *j = arg;

	mailbox_post(j->e->home, back_home, j);
}

void routine_give(struct version_job *j, struct signset *to, struct version_job *whose)
{
	whose->from = j;
	signset_take(&j->sets, to);
	j->opened = clk_mono();
	if (j->over)
		return;
	j->kicks++;
	if (pool_post(j->e->workers, POOL_NORMAL, kick, j) != 0)
		j->kicks--; /* what comes back from the vault goes on with it */
}

static void end(struct version_job *j)
{
	struct zone *z = j->zone;

	timer_stop(z->e->timers, &j->tick);
	z->routine = NULL;
	if (j->err) {
		if (!j->dropped)
			z->sign_fails++;
		version_routine_failed(j);
	} else if (j->again_at) {
		sweep_resigned(z, j->again, j->again_at);
	}
	if (!j->err && j->resign_below && j->exhausted)
		orders_resign_round(z, j->resign_below, j->taken);
	setup_unref(j->setup);
	zone_dispose(z, version_free, j);
	version_schedule(z);
	zone_job_end(z);
}

static void run_again(void *arg)
{
	struct version_job *j = arg;

	if (pool_post(j->e->workers, POOL_NORMAL, run, j) != 0) {
		j->err = ZS_ENOMEM;
		over_home(j);
	}
}

static void over_home(void *arg)
{
	struct version_job *j = arg;

	if (!j->err && j->sets.err == ZS_EAGAIN && !atomic_load(&j->cancelled)) {
		timer_set(j->e->timers, &j->retry, MONO_MS(20), run_again, j);
		return;
	}
	j->over = true;
	if (!j->err)
		j->err = atomic_load(&j->cancelled) ? ZS_ECANCEL : j->sets.err;
	routine_look(j->zone);
}

static void look_timer(void *arg)
{
	routine_look(arg);
}

/* Microseconds until what is signed becomes a version. */
static int64_t closes_in(const struct version_job *j, size_t pages)
{
	struct zone *z = j->zone;
	mono_t now = clk_mono(), at = mono_add(j->opened, MONO_S(OPEN_S)), next;
	bool near = z->earliest_expiry - clk_wall().s <= j->pol.refresh / 4;

	if (j->over || pages >= ROUTINE_PAGES || z->orders.have_serial)
		return 0;
	next = mono_add(z->routine_at, MONO_S(near ? OPEN_S : CLOSE_S));
	if (z->routine_at.us && mono_diff(next, at) > 0)
		at = next;
	return mono_diff(at, now);
}

void routine_look(struct zone *z)
{
	struct version_job *j = z->routine;
	size_t groups, pages;
	int64_t wait;

	/* what commits remembers what we verified */
	if (!j || z->version_job || z->committing || zone_is_retired(z))
		return;
	signset_ready(&j->sets, &groups, &pages);
	if (j->over && !j->kicks && (!groups || j->dropped || z->state == ZONE_CLOSED)) {
		end(j);
		return;
	}
	if ((!groups && !z->orders.have_serial) || z->change_job || j->dropped || z->state == ZONE_CLOSED)
		return; /* a change takes it along, or wakes us when it is over */
	wait = closes_in(j, pages);
	if (wait > 0 || !version_routine(z))
		timer_set(z->e->timers, &j->tick, wait > 0 ? wait : MONO_S(1), look_timer, z);
}

void routine_ended(struct zone *z, bool ok)
{
	struct version_job *j = z->routine;

	if (!ok) {
		z->sign_fails++;
		if (j) { /* it would make more of the same */
			j->dropped = true;
			routine_cancel(j);
		}
	} else if (!j || !j->err) {
		z->sign_fails = 0;
	}
	routine_look(z);
}

void routine_cancel(struct version_job *j)
{
	atomic_store(&j->cancelled, true);
	if (!j->over)
		signset_cancel(&j->sets);
}

void routine_drop(struct zone *z)
{
	if (!z->routine)
		return;
	z->routine->dropped = true;
	routine_cancel(z->routine);
}

/* --- when ----------------------------------------------------------------------------------------------- */

static void start(struct zone *z);

static void start_timer(void *arg)
{
	start(arg);
}

static bool is_due(const struct zone *z)
{
	return z->sweep.ndue || z->orders.have_serial || z->orders.resign_below ||
	       z->earliest_expiry - z->conf->policy->refresh <= clk_wall().s;
}

/* Signatures are replaced when their remaining life falls below refresh; every signed zone has a next
 * time. */
void version_schedule(struct zone *z)
{
	int64_t due;

	if (z->state == ZONE_CLOSED || z->quarantined || z->version_job || z->routine || !z->have_meta ||
	    (!z->meta.is_signed && !z->orders.have_serial))
		return;
	due = is_due(z) ? 0 : z->earliest_expiry - z->conf->policy->refresh - clk_wall().s;
	if (z->sign_fails) {
		int64_t wait = RETRY_S << (z->sign_fails > 6 ? 6 : z->sign_fails - 1);

		wait = wait > RETRY_MAX_S ? RETRY_MAX_S : wait;
		due = due > wait ? due : wait;
	}
	/* looked at once an hour at least: the wall clock may step */
	timer_set(z->e->timers, &z->sign_timer, MONO_S(due > 3600 ? 3600 : due), start_timer, z);
}

void routine_check(struct zone *z)
{
	bool none;

	if (z->state == ZONE_CLOSED || z->state == ZONE_OPENING || z->quarantined || !z->have_meta ||
	    !z->meta.is_signed || z->version_job || z->routine)
		return;
	none = z->earliest_expiry == INT64_MAX; /* of a signed zone: its index is lost */
	if (!none && z->sign_timer.slot)
		return;
	zone_alarm_set(z, ALARM_SIGNING, "%s",
		       none ? "no signature of the published version has a refresh time; it is built anew"
			    : "no next refresh was planned; it is now");
	if (none && !z->rebuild) {
		z->rebuild = true;
		upstream_schedule(z, 0);
	}
	version_schedule(z);
}

static void start(struct zone *z)
{
	const char *fault = engine_clock_fault(z->e, z->meta.last_inception);
	struct version_job *j;

	if (z->version_job || z->routine || z->quarantined || z->state == ZONE_CLOSED || z->e->quitting)
		return;
	if (fault) {
		zone_alarm_set(z, ALARM_CLOCK, "%s: nothing is signed", fault);
		z->sign_fails++;
		version_schedule(z);
		return;
	}
	zone_alarm_clear(z, ALARM_CLOCK);
	if (!is_due(z) || (!z->meta.is_signed && !z->orders.have_serial)) {
		version_schedule(z);
		return;
	}
	if (z->orders.have_serial && !z->change_job && downstream_guard_passed(z) && version_routine(z))
		return;
	if (z->orders.have_serial || !downstream_guard_passed(z) ||
	    !(j = version_new(z, VERSION_ROUTINE, NULL))) {
		timer_set(z->e->timers, &z->sign_timer, MONO_S(2), start_timer, z);
		return;
	}
	if (z->sweep.ndue && (j->again = malloc(z->sweep.ndue * sizeof(*j->again)))) {
		memcpy(j->again, z->sweep.due, z->sweep.ndue * sizeof(*j->again));
		j->nagain = z->sweep.ndue;
	}
	j->old = z->meta;
	j->resign_below = z->orders.resign_below;
	if (j->resign_below)
		j->signer.spread = version_spreads(z->meta.signatures, z->meta.signatures);
	j->opened = j->began;
	j->sets.feed = feed;
	j->sets.done = over;
	j->sets.back = back;
	j->sets.pages_most = ROUTINE_PAGES;
	z->routine = j;
	zone_job_begin(z);
	run_again(j);
}
