/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A version on top of the live one: the recipe. A difference of content (change.c) and what falls due
 * (routine.c) go the same way and differ only in where their RRsets come from.
 *
 *   start (loop) -> prepare (worker) -> vault -> SOA -> vault -> write, gate, commit (worker)
 *   -> publish (loop)
 *
 * At most one job of each kind is alive for a zone. Routine work is signed beforehand (routine.c) and begins
 * with its SOA. A change has the live version to itself from its preparation to its end: it takes along what
 * routine work has signed by then, and what is written of that is what then still fits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "base/rand.h"
#include "build.h"
#include "held.h"
#include "version.h"

#define GROUP_ITEMS 64             /* small: verified side by side, closed soon with a slow key store */
#define GROUPS_IN_FLIGHT 8

void version_free(void *arg)
{
	struct version_job *j = arg;

	gate_free(j->gate);
	signset_end(&j->sets);
	signset_end(&j->soa);
	signset_end(&j->along);
	gate_free(j->values);
	view_free(j->view);
	snap_unref(j->base);
	free(j->again);
	free(j);
}

/* --- to the vault and back ------------------------------------------------------------------------------ */

static void signed_home(void *arg);

/* Any thread: a set is through. */
static void sets_done(void *arg)
{
	struct version_job *j = arg;

	if (atomic_fetch_sub(&j->pending, 1) == 1)
		mailbox_post(j->e->home, j->onto ? overtake_signed : signed_home, j);
}

static void set_init(struct version_job *j, struct signset *s)
{
	signset_init(s);
	s->signer = &j->signer;
	s->pool = j->e->workers;
	s->zone_name = j->zone->name;
	s->next_seq = j->onto ? &j->onto->next_seq : &j->zone->next_seq;
	/* the SOA is what a version waits for last: it does not queue behind what comes after it */
	s->prio = j->kind == VERSION_CHANGE || s == &j->soa ? SIGN_USER : SIGN_ROUTINE;
	s->group_items = GROUP_ITEMS;
	s->group_most = GROUPS_IN_FLIGHT;
	s->done = sets_done;
	s->arg = j;
}

static void soa_run(void *arg)
{
	struct version_job *j = arg;

	j->err = version_soa(j);
	atomic_store(&j->pending, 1);
	if (j->err)
		sets_done(j);
	else
		signset_run(&j->soa);
}

void version_run(struct version_job *j, bool again)
{
	bool sets = !again || j->sets.err == ZS_EAGAIN, soa = !again || j->soa.err == ZS_EAGAIN;

	if (j->err || j->same) {
		atomic_store(&j->pending, 1);
		sets_done(j);
		return;
	}
	/* the first one may be through before the second begins: j is not over while it is pending */
	atomic_store(&j->pending, sets + soa);
	if (soa)
		signset_run(&j->soa);
	if (sets)
		signset_run(&j->sets);
}

static void run_again(void *arg)
{
	version_run(arg, true);
}

/* --- prepare -------------------------------------------------------------------------------------------- */

/* Worker, a change. A job that waits for the vault holds no snapshot. */
static void prepare(void *arg)
{
	struct version_job *j = arg;

	fault_zone(j->zone->wire);
	j->err = store_snap(j->zone->store, &j->base);
	if (!j->err)
		j->err = version_read_meta(j);
	if (!j->err)
		j->err = view_new(j->base, &j->view);
	if (!j->err && j->undo && !j->input)
		j->err = undo_prepare(j);
	if (!j->err)
		j->err = change_prepare(j);
	if (!j->err && !j->same)
		j->err = version_soa(j);
	if (!j->err)
		version_spread(j);
	if (j->err == ZS_ENOENT && j->base) /* META or the SOA: every version has them */
		j->err = ZS_ECRC;
	j->damaged = !j->misfit && damage_is(j->err);
	if (j->view)
		view_park(j->view);
	snap_unref(j->base);
	j->base = NULL;
	version_run(j, false);
}

static void version_done(void *arg);

static void commit(void *arg)
{
	struct version_job *j = arg;

	version_commit(j);
	mailbox_post(j->e->home, version_done, j);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */

/* Whoever waited for the live version has its turn. */
void version_committed(struct zone *z)
{
	z->committing = false;
	if (z->state == ZONE_GUARD)
		build_publish_try(z);
	version_wake(z);
}

static void version_end(struct version_job *j, bool ok, enum zone_event ev)
{
	struct zone *z = j->zone;
	struct build_job *b = j->input;
	bool change = j->kind == VERSION_CHANGE, closed = z->state == ZONE_CLOSED;

	timer_stop(z->e->timers, &j->retry);
	if (change)
		z->change_job = NULL;
	else
		z->version_job = NULL;
	if (closed)
		timer_stop(z->e->timers, &z->retry_timer);
	if (change && !b)
		zone_dispose(z, (void (*)(void *))transfer_free, j->in);
	setup_unref(j->setup);
	zone_dispose(z, version_free, j);
	if (!change)
		routine_ended(z, ok);
	version_schedule(z);
	if (b)
		build_changed(b, ev);
	else if (change)
		zone_event(z, ev);
	version_wake(z);
	zone_job_end(z);
}

/* The version itself was right. */
static bool history_alone(const struct version_job *j)
{
	return j->err == ZS_EVETO && gate_total(j->gate) == gate_count(j->gate, GATE_HISTORY);
}

/* The next try will pass, if that is all. */
static bool goes_as_gap(const struct version_job *j)
{
	return history_alone(j) && !j->gap;
}

void version_describe_veto(struct version_job *j, char *text, size_t cap)
{
	if (j->err == ZS_EBADSIG) {
		atomic_fetch_add(&j->zone->count.vetoes[GATE_BAD_SIG], 1);
		snprintf(text, cap, "%s", gating_bad_signature());
		return;
	}
	gating_report(j->zone, j->gate);
	gating_describe(j->gate, text, cap);
	if (history_alone(j))
		atomic_store(&j->zone->history_doubted[j->kind], true);
	/* a neighbour of the change: what the version writes itself was read back before */
	if (gate_count(j->gate, GATE_STORED) && !j->onto)
		zone_damaged(j->zone, ZS_ECRC, j->kind == VERSION_CHANGE ? "a change" : "a refresh");
}

/* This generation must not be read any more, and the next one is built; or it takes no commit any more, and
 * is copied. */
static void writing_failed(struct version_job *j, const char *who, const char *what)
{
	if (j->damaged) {
		zone_damaged(j->zone, j->err, who);
		return;
	}
	zone_work_failed(j->zone, what, j->err);
}

/* Zone-sized: the older content is built. Not while the zone goes. */
static void undo_whole(struct version_job *j)
{
	struct zone *z = j->zone;
	bool ungathered = j->ungathered, go = z->state == ZONE_BUILD && !z->e->quitting;

	zone_job_begin(z);
	version_end(j, true, go ? EV_NONE : EV_FAILED);
	if (go)
		build_undo(z, ungathered);
	zone_job_end(z);
}

/* A rollback that cannot be is over, and the hold stays; what may pass (the key store, the disk) is tried
 * again. */
static void undo_failed(struct version_job *j)
{
	struct zone *z = j->zone;
	bool again = false;
	char text[400];

	if (j->too_large) {
		undo_whole(j);
		return;
	}
	if (j->undone) {
		orders_rolled_back(z, j->undo, NULL);
	} else if (version_is_veto(j)) {
		version_describe_veto(j, text, sizeof(text));
		again = goes_as_gap(j);
		if (again)
			zone_alarm_set(z, ALARM_VETO, "rollback vetoed by the gate, tried again: %s", text);
		else
			orders_rolled_back(z, j->undo, text);
	} else if (j->err == ZS_EHELD || j->misfit) {
		orders_rolled_back(z, j->undo, j->reason);
	} else {
		writing_failed(j, "a rollback", "a rollback cannot be written");
		again = true;
	}
	z->local_trouble |= again;
	version_end(j, !again, again ? EV_FAILED : EV_HELD);
}

static void change_failed(struct version_job *j)
{
	struct zone *z = j->zone;
	char text[400];

	/* prepared, it seemed to fit: signatures and history make a change larger, the commit has the last
	 * word */
	j->too_large |= j->err == ZS_ELIMIT;
	if (j->undo && !(j->too_large && j->input)) {
		undo_failed(j);
	} else if (j->too_large && j->input) {
		build_go_on(j->input);
		j->input = NULL;
		j->in = NULL;
		version_end(j, true, EV_NONE);
	} else if (j->err == ZS_EHELD) {
		held_input(z, j->in, j->reason);
		version_end(j, true, EV_HELD);
	} else if (version_is_veto(j)) {
		version_describe_veto(j, text, sizeof(text));
		held_veto(z, j->in->soa_fields.serial, text, goes_as_gap(j));
		version_end(j, true, EV_HELD);
	} else if (!j->in_full && (j->too_large || j->misfit)) { /* the whole zone is asked for, at once */
		log_msg(LL_INFO, "xfr-in", z->name, "event=ixfr-discarded serial=%u: %s; asking for AXFR",
			j->in->soa_fields.serial, j->reason);
		atomic_fetch_add(&z->e->count.xfr[0][1][1], 1);
		z->want_axfr = true;
		version_end(j, true, EV_REDO);
	} else {
		writing_failed(j, "a change", "a change cannot be written");
		z->local_trouble = true;
		version_end(j, false, EV_FAILED);
	}
}

void version_routine_failed(struct version_job *j)
{
	struct zone *z = j->zone;
	char text[400];

	if (version_is_veto(j)) {
		version_describe_veto(j, text, sizeof(text));
		zone_alarm_set(z, ALARM_VETO, "refresh vetoed by the gate, the last good version stays: %s",
			       text);
	} else {
		writing_failed(j, "a refresh", "signatures cannot be refreshed");
	}
}

static void version_failed(struct version_job *j)
{
	if (j->kind == VERSION_CHANGE) {
		change_failed(j);
	} else {
		version_routine_failed(j);
		version_end(j, j->err == ZS_ESTALE, EV_NONE);
	}
}

static void count_set(struct zone *z, const struct signset *s, struct signset_sums *sum)
{
	struct signset_sums one;

	signset_sums(s, &one);
	for (int i = 0; i < SIGN_REASONS; i++) {
		atomic_fetch_add(&z->count.made[i], one.made[i]);
		sum->made[SIGN_NEW] += one.made[i];
	}
	atomic_fetch_add(&z->count.kept, one.kept);
	atomic_fetch_add(&z->count.bad_signatures, one.bad);
	sum->kept += one.kept;
	sum->spoilt += one.spoilt;
	sum->rrsets += one.rrsets;
}

struct signset_sums version_count(struct version_job *j)
{
	struct signset_sums sum = { .kept = 0 };

	count_set(j->zone, &j->sets, &sum);
	count_set(j->zone, &j->soa, &sum);
	count_set(j->zone, &j->along, &sum);
	return sum;
}

static void published(struct version_job *j)
{
	struct zone *z = j->zone;
	struct signset_sums sum = version_count(j);

	z->version = j->version;
	downstream_keys(z, &j->keys);
	zone_alarm_clear(z, ALARM_SIGNING);
	if (!z->damaged)
		zone_alarm_clear(z, ALARM_STORE);
	if (z->alarm[ALARM_VETO]) /* a version passed: what is vetoed still is an input or nothing */
		held_alarm(z);
	if (z->state == ZONE_CLOSED) {
		zone_dispose(z, (void (*)(void *))pub_unref, j->pub);
		return;
	}
	publish_swap(z, j->pub, &j->meta, j->earliest);
	zone_restored_over(z);
	z->routine_at = j->kind == VERSION_ROUTINE ? clk_mono() : z->routine_at;
	log_msg(LL_NOTICE, "zone", z->name,
		"event=%s serial=%u upstream=%u rrsets=%llu signatures=%llu kept=%llu us=%lld",
		j->kind == VERSION_CHANGE ? "published" : "refreshed", j->serial, z->meta.upstream_serial,
		(unsigned long long)sum.rrsets, (unsigned long long)sum.made[SIGN_NEW],
		(unsigned long long)sum.kept, (long long)mono_diff(clk_mono(), j->began));
	if (sum.spoilt && !j->in_full)
		sweep_compare(z);
	if (j->compare)
		sweep_compared(z, j->reason);
	if (j->undo)
		orders_rolled_back(z, j->undo, NULL);
	else if (j->kind == VERSION_CHANGE)
		zone_input_taken(z, j->in);
	else
		z->resign_done += z->orders.resign_below ? sum.rrsets : 0;
	downstream_notify(z, true);
}

static void version_done(void *arg)
{
	struct version_job *j = arg;
	struct zone *z = j->zone;

	z->committing = false;
	z->changes += j->version && j->kind == VERSION_CHANGE;
	if (j->err && j->version) { /* committed, but not readable just now */
		downstream_raise_floor(z, j->serial, "committed");
		publish_again(z);
	}
	if (!j->err)
		published(j);
	if (z->state == ZONE_GUARD)
		build_publish_try(z);
	if (j->err)
		version_failed(j);
	else
		version_end(j, true, EV_PUBLISHED);
}

/* A worker goes on with the job; without one it fails. */
static void go_worker(struct version_job *j, enum pool_prio prio, void (*fn)(void *))
{
	if (pool_post(j->e->workers, prio, fn, j) == 0)
		return;
	j->zone->committing = false;
	j->err = ZS_ENOMEM;
	version_failed(j);
}

/* A rollback's candidate is today's serial of upstream: the old one is behind it. */
static uint32_t next_serial(const struct version_job *j)
{
	struct zone *z = j->zone;

	return downstream_next_serial(z, j->kind == VERSION_CHANGE && !j->undo ? j->in->soa_fields.serial
									       : z->meta.upstream_serial);
}

/* The next version is the one for which a serial was ordered. */
static bool order_waits(const struct version_job *j)
{
	const struct zone *z = j->zone;

	return z->orders.have_serial && !j->pass && j->serial != z->orders.serial &&
	       (!z->have_floor || serial_cmp(z->orders.serial, z->floor) == SERIAL_GT);
}

bool version_serial_fits(const struct version_job *j)
{
	const struct zone *z = j->zone;

	return j->soa.head && (!z->have_floor || serial_cmp(j->serial, z->floor) == SERIAL_GT) &&
	       !order_waits(j);
}

/* Signed: the SOA gets its serial, then it is written, as soon as nobody else writes. */
static void go_on(struct version_job *j)
{
	struct zone *z = j->zone;

	j->waiting = z->committing || zone_is_retired(z) || (j->kind == VERSION_ROUTINE && z->change_job);
	if (j->waiting)
		return;
	if (z->orders.hold && j->kind == VERSION_CHANGE && !j->undo) /* ordered meanwhile */
		j->err = ZS_ECANCEL;
	else if (j->generation != z->generations) /* what is due is due in the new one; a change waited */
		j->err = ZS_ESTALE;
	if (j->err) {
		version_failed(j);
		return;
	}
	if (version_serial_fits(j)) {
		z->committing = true;
		if (j->kind == VERSION_CHANGE && z->routine) /* what is signed goes along */
			routine_give(z->routine, &j->along, j);
		go_worker(j, POOL_URGENT, commit);
		return;
	}
	if (j->pass) {
		j->err = ZS_EHELD;
		snprintf(j->reason, sizeof(j->reason),
			 "serial %u is not above %u, which the secondaries have", j->serial, z->floor);
		version_failed(j);
		return;
	}
	j->serial = next_serial(j);
	go_worker(j, POOL_URGENT, soa_run);
}

static void again_timer(void *arg)
{
	go_worker(arg, POOL_NORMAL, run_again);
}

/* Upstream was asked what it has, and it has what is stored: that is no version. */
static void compared(struct version_job *j)
{
	sweep_compared(j->zone, NULL);
	version_end(j, true, EV_SAME);
}

/* The vault has answered (or there was nothing to do). */
static void signed_home(void *arg)
{
	struct version_job *j = arg;
	struct zone *z = j->zone;
	bool full = j->sets.err == ZS_EAGAIN || j->soa.err == ZS_EAGAIN;

	if (!j->err && z->state == ZONE_CLOSED)
		j->err = ZS_ECANCEL;
	if (!j->err && j->sets.err != ZS_EAGAIN)
		j->err = j->sets.err;
	if (!j->err && j->soa.err != ZS_EAGAIN)
		j->err = j->soa.err;
	if (!j->err && atomic_load(&j->cancelled))
		j->err = ZS_ECANCEL;
	if (j->err)
		version_failed(j);
	else if (j->same)
		compared(j);
	else if (full)
		timer_set(z->e->timers, &j->retry, MONO_MS(20), again_timer, j);
	else
		go_on(j);
}

static int version_arm(struct version_job *j);

/* A change begins when nobody writes and secondaries were heard after the start. */
static void change_begin(void *arg)
{
	struct version_job *j = arg;
	struct zone *z = j->zone;

	j->waiting = z->committing || z->barred || zone_is_retired(z) || !downstream_guard_passed(z);
	if (z->state == ZONE_CLOSED)
		j->err = ZS_ECANCEL;
	else if (!j->waiting && j->generation != z->generations) /* it has waited for this one */
		j->err = version_arm(j);
	if (j->err) {
		version_failed(j);
	} else if (j->waiting) { /* asked again by timer and by who made it wait */
		timer_set(z->e->timers, &j->retry, MONO_S(1), change_begin, j);
	} else {
		timer_stop(z->e->timers, &j->retry);
		j->started = true;
		j->serial = j->pass ? j->in->soa_fields.serial
				    : next_serial(j);
		go_worker(j, POOL_NORMAL, prepare);
	}
}

void version_wake(struct zone *z)
{
	if (z->change_job && z->change_job->waiting) {
		if (z->change_job->started)
			go_on(z->change_job);
		else
			change_begin(z->change_job);
	}
	if (z->version_job && z->version_job->waiting)
		go_on(z->version_job);
	if (z->next)
		overtake_wake(z);
	routine_look(z);
}

bool version_routine(struct zone *z)
{
	struct version_job *j = version_new(z, VERSION_ROUTINE, NULL);

	if (!j)
		return false;
	j->old = z->meta;
	if (z->routine)
		routine_give(z->routine, &j->sets, j);
	z->version_job = j;
	zone_job_begin(z);
	go_on(j);
	return true;
}

/* Times, keys and gates are those of the generation that it is made over. */
static int version_arm(struct version_job *j)
{
	struct zone *z = j->zone;
	uint64_t seed = 0;

	rand_bytes(&seed, sizeof(seed));
	j->generation = z->generations;
	j->keys = z->keys;
	j->now = clk_wall();
	signer_init(&j->signer, z->wire, &j->keys, &j->pol, j->now, seed, false);
	if (j->onto)
		build_gating(j->onto, &j->gating, &j->keys, j->now);
	else
		gating_stored(&j->gating, z, &j->keys, &j->pol, j->now);
	if (!z->meta.is_signed)
		return 0;
	j->vault = keying_vault(z->e, &j->keys, &j->pol);
	gate_free(j->values);
	j->values = gate_new(&j->gating.p);
	if (!j->values) /* nothing is written that was not verified */
		return ZS_ENOMEM;
	gate_remember(j->values);
	j->sets.gate = j->soa.gate = j->values;
	j->sets.vault = j->soa.vault = j->vault;
	return 0;
}

struct version_job *version_new(struct zone *z, enum version_kind kind, struct build_job *onto)
{
	struct version_job *j = calloc(1, sizeof(*j));

	if (!j)
		return NULL;
	j->kind = kind;
	j->zone = z;
	j->e = z->e;
	j->onto = onto;
	j->pol = onto ? onto->pol : *z->conf->policy;
	j->began = clk_mono();
	set_init(j, &j->sets);
	set_init(j, &j->soa);
	signset_init(&j->along);
	if (version_arm(j)) {
		version_free(j);
		return NULL;
	}
	j->setup = setup_ref(z->setup);
	j->history.versions = z->conf->history_versions;
	j->history.bytes = z->conf->history_bytes;
	j->history.age = z->conf->history_age;
	return j;
}

static bool change_new(struct zone *z, struct transfer *t, struct build_job *input, uint64_t undo)
{
	const char *fault = z->meta.is_signed ? engine_clock_fault(z->e, z->meta.last_inception) : NULL;
	struct version_job *j = fault || z->e->quitting ? NULL : version_new(z, VERSION_CHANGE, NULL);

	if (fault)
		zone_alarm_set(z, ALARM_CLOCK, "%s: nothing is signed", fault);
	if (!j)
		return false;
	zone_alarm_clear(z, ALARM_CLOCK);
	j->in = t;
	j->input = input;
	j->in_full = input != NULL;
	j->compare = z->compare && input && t->soa_fields.serial == z->meta.upstream_serial;
	j->clamp = z->conf->soa_expire_clamp && z->meta.is_signed;
	j->pass = !z->meta.is_signed && z->conf->upstream_dnssec == UPDNSSEC_PASS;
	j->undo = undo;
	j->released = undo || zone_release_holds(z, t->soa_fields.serial);
	j->shrink_pct = z->conf->shrink_pct;
	j->churn_pct = z->conf->churn_pct;
	z->change_job = j;
	zone_job_begin(z);
	change_begin(j);
	return true;
}

bool version_change(struct zone *z, struct transfer *t, struct build_job *input)
{
	return change_new(z, t, input, input ? input->undo : 0);
}

bool version_undo(struct zone *z)
{
	struct transfer *t = transfer_new(z);

	if (!t)
		return false;
	if (change_new(z, t, NULL, z->orders.rollback))
		return true;
	transfer_free(t);
	return false;
}

static void cancel_job(struct version_job *j)
{
	struct zone *z = j->zone;

	if (z->committing && !j->waiting)
		return;
	atomic_store(&j->cancelled, true);
	if (j->waiting) {
		j->waiting = false;
		j->err = ZS_ECANCEL;
		version_failed(j);
		return;
	}
	signset_cancel(&j->sets);
	signset_cancel(&j->soa);
}

/* Comes again until the jobs are back: a set that begins at this very moment is not seen. */
static void cancel_timer(void *arg)
{
	version_cancel(arg);
}

void version_cancel(struct zone *z)
{
	if (!z->version_job && !z->change_job && !z->routine)
		return;
	zone_job_begin(z);
	if (z->routine)
		routine_cancel(z->routine);
	if (z->change_job)
		cancel_job(z->change_job);
	if (z->version_job)
		cancel_job(z->version_job);
	if (z->version_job || z->change_job || z->routine)
		timer_set(z->e->timers, &z->retry_timer, MONO_MS(50), cancel_timer, z);
	zone_job_end(z);
}
