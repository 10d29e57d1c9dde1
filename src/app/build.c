/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stages of a zone-sized build, as the loop sees them: content -> serial and SOA -> gate -> guard ->
 * publication. A failure at any point drops the candidate (its signatures stay behind as donor); the last
 * good version is served all the while.
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
#include "policyprint.h"
#include "version.h"

#define SORT_MEMORY (16u << 20)
#define SPREAD_MIN 1000
#define RENEW_S 30
#define APART_RETRY_S 5      /* doubling */
#define APART_RETRY_STEPS 9
/* Every value was verified octet by octet before it was written:
 * the run over the whole version samples on top of that. */
#define VERIFIED_ONE_IN 1000

/* Everything that touches the disk goes on a worker; the zone goes on when it is done. */
static void build_ended(void *arg);

static void build_dispose(void *arg)
{
	struct build_job *b = arg;

	build_chain_close(b);
	kv_close(b->base_kv);
	kv_close(b->donor_kv);
	snap_unref(b->base);
	if (b->keep_donor)
		build_keep(b->out);
	else
		build_free(b->out);
	extsort_free(b->expiry);
	transfer_free(b->in);
	mailbox_post(b->e->home, build_ended, b);
}

/* Nothing in the pipeline waits for it; but what waits for its end gets its turn. */
static void apart_over(struct build_job *b)
{
	struct zone *z = b->zone;
	bool out = b->end_event == EV_PUBLISHED;
	unsigned steps = z->next_fails < APART_RETRY_STEPS ? z->next_fails : APART_RETRY_STEPS;

	z->next = NULL;
	z->barred = z->large = false;
	if (z->state == ZONE_CLOSED)
		return;
	if (out) {
		z->next_fails = 0;
		zone_alarm_clear(z, ALARM_BUILD);
		zone_alarm_clear(z, ALARM_STORE);
		zone_compare_policy(z);
	} else if (!atomic_load(&b->cancelled)) {
		z->next_fails++;
		z->next_due = mono_add(clk_mono(), MONO_S((int64_t)APART_RETRY_S << steps));
	}
	upstream_schedule(z, 0);
}

static void build_ended(void *arg)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;
	enum zone_event ev = b->end_event;

	pthread_mutex_destroy(&b->lock);
	if (b->apart)
		apart_over(b);
	else
		z->build = NULL;
	if (!b->apart)
		zone_event(z, ev);
	free(b);
	version_wake(z);
	zone_job_end(z);
}

static void build_end(struct build_job *b, enum zone_event ev, bool keep_donor)
{
	b->waiting = false; /* until it is gone nobody publishes, supersedes or cancels it once more */
	b->ending = true;
	b->end_event = ev;
	b->keep_donor = keep_donor;
	timer_stop(b->e->timers, &b->retry);
	gate_free(b->gate);
	gate_free(b->values);
	setup_unref(b->setup);
	if (pool_post(b->e->workers, POOL_NORMAL, build_dispose, b) != 0)
		build_dispose(b);
}

static void build_failed(struct build_job *b)
{
	struct zone *z = b->zone;

	if (b->apart) {
		bool bad = b->err == ZS_EBADSIG;

		if (bad)
			atomic_fetch_add(&z->count.vetoes[GATE_BAD_SIG], 1);
		if (b->err == ZS_ECANCEL || b->err == ZS_ESTALE)
			zone_work_failed(z, "build failed", b->err);
		build_apart_failed(b, b->err == ZS_EHELD ? b->reason :
				   bad ? gating_bad_signature() : zs_strerror(b->err));
		return;
	}
	if (build_undo_failed(b)) {
		build_end(b, EV_HELD, b->err == ZS_EBADSIG);
		return;
	}
	if (b->err == ZS_EHELD) {
		held_input(z, b->in, b->reason);
		build_end(b, EV_HELD, false);
		return;
	}
	if (b->err == ZS_EBADSIG) { /* those that are right stay as donor: every try gets closer */
		atomic_fetch_add(&z->count.vetoes[GATE_BAD_SIG], 1);
		held_veto(z, b->in->soa_fields.serial, gating_bad_signature(), false);
		build_end(b, EV_HELD, true);
		return;
	}
	zone_work_failed(z, "build failed", b->err);
	z->local_trouble = true;
	build_end(b, EV_FAILED, !b->spoilt);
}

/* The live generation is as it was, and what is signed stays as donor where it is wanted still. */
void build_apart_failed(struct build_job *b, const char *text)
{
	struct zone *z = b->zone;
	bool ends = b->err == ZS_ECANCEL || b->err == ZS_ESTALE;

	if (!ends)
		zone_alarm_set(z, ALARM_BUILD,
			       "the next generation cannot be built, the live one is kept up: %s", text);
	build_end(b, EV_FAILED, !b->spoilt && (z->state == ZONE_CLOSED || z->reshape || z->rebuild));
}

/* --- gate ----------------------------------------------------------------------------------------------- */

/* The newest version: of an old one there may be no handles left. */
static int open_base(void *ctx, struct kv **out)
{
	struct build_job *b = ctx;
	struct snap *live = NULL;
	int err = b->no_base ? ZS_ENOENT : store_snap(b->zone->store, &live);

	if (!err)
		err = snap_kv(live, out);
	snap_unref(live);
	return err;
}

static uint64_t values_verified(const struct build_job *b)
{
	struct gate_sums sums = { 0 };

	if (b->values)
		gate_sums(b->values, &sums);
	return sums.verified;
}

static void gate_done(void *arg, int err)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;
	struct gate_sums sums;

	b->in_gate = false;
	if (z->state == ZONE_CLOSED || atomic_load(&b->cancelled))
		err = ZS_ECANCEL;
	gate_sums(b->gate, &sums);
	sums.verified += values_verified(b);
	if (!err && gate_total(b->gate) == 0) {
		log_msg(LL_INFO, "gate", z->name,
			"event=passed serial=%u rrsets=%llu signatures=%llu verified=%llu chain=%llu",
			b->serial, (unsigned long long)sums.rrsets, (unsigned long long)sums.signatures,
			(unsigned long long)sums.verified, (unsigned long long)sums.chain_records);
		zone_alarm_clear(z, ALARM_SIGNING);
		if (b->apart) {
			overtake_start(b);
			return;
		}
		zone_alarm_clear(z, ALARM_VETO);
		b->waiting = true;
		zone_event(z, EV_BUILT);
		return;
	}
	if (err) {
		b->err = err;
		build_failed(b);
		return;
	}
	gating_report(z, b->gate);
	gating_describe(b->gate, b->reason, sizeof(b->reason));
	if (b->apart) {
		b->err = ZS_EVETO;
		build_apart_failed(b, b->reason);
		return;
	}
	if (b->undo)
		orders_rolled_back(z, b->undo, b->reason);
	else
		held_veto(z, b->in->soa_fields.serial, b->reason, false);
	build_end(b, EV_HELD, false);
}

static void start_gate(struct build_job *b)
{
	b->gating.p.now = clk_wall().s;
	if (b->base) {
		b->gating.p.open_base = open_base;
		b->gating.p.base_ctx = b;
	}
	b->in_gate = true;
	gate_free(b->gate);
	b->gating.p.one_in = VERIFIED_ONE_IN;
	b->gate = gate_new(&b->gating.p);
	if (b->gate && b->values)
		gate_expect(b->gate, b->values);
	if (!b->gate || gating_whole(b->zone, b->gate, b->out, gate_done, b) != 0) {
		b->in_gate = false;
		b->err = ZS_ENOMEM;
		build_failed(b);
	}
}

/* --- stages --------------------------------------------------------------------------------------------- */

static void start_soa(struct build_job *b)
{
	/* a rollback's candidate is today's serial of upstream: the old one is behind it */
	b->serial = downstream_next_serial(b->zone, b->undo ? b->zone->meta.upstream_serial
							    : b->in->soa_fields.serial);
	if (b->pass)
		b->serial = b->in->soa_fields.serial;
	b->stage = STAGE_SOA;
	b->waiting = false;
	b->source_ended = false;
	b->over = false;
	build_kick(b);
}

void build_redo(struct zone *z)
{
	start_soa(z->build);
}

static void count_signatures(struct build_job *b)
{
	for (int i = 0; i < SIGN_REASONS; i++) {
		atomic_fetch_add(&b->zone->count.made[i], b->made[i]);
		b->sum_made += b->made[i];
		b->made[i] = 0;
	}
	atomic_fetch_add(&b->zone->count.kept, b->kept);
	atomic_fetch_add(&b->zone->count.bad_signatures, b->bad);
	b->bad = 0;
	b->sum_kept += b->kept;
	b->kept = 0;
}

static void kick_again(void *arg)
{
	((struct build_job *)arg)->over = false;
	build_kick(arg);
}

void build_stage_done(void *arg)
{
	struct build_job *b = arg;

	if (b->base_err)
		zone_damaged(b->zone, b->base_err, "a build");
	b->base_err = 0;
	count_signatures(b);
	if (!b->err && atomic_load(&b->cancelled))
		b->err = ZS_ECANCEL;
	if (b->err == ZS_EAGAIN) {
		b->err = 0;
		timer_set(b->e->timers, &b->retry, MONO_MS(20), kick_again, b);
	} else if (b->err) {
		build_failed(b);
	} else if (b->stage == STAGE_CONTENT_DONE) {
		start_soa(b);
	} else {
		start_gate(b);
	}
}

/* What cannot be read of the live version is made anew: the build goes on, with whatever is left. */
static int open_live(struct build_job *b)
{
	int err = b->no_base ? ZS_ENOENT : store_snap(b->zone->store, &b->base);

	if (!err)
		err = snap_kv(b->base, &b->base_kv);
	if (damage_is(err))
		b->base_err = err;
	return err == ZS_ENOENT || damage_is(err) ? 0 : err;
}

static void close_base(struct build_job *b)
{
	kv_close(b->base_kv);
	b->base_kv = NULL;
	snap_unref(b->base);
	b->base = NULL;
}

/* What is signed in the live generation meanwhile is kept, too, and old versions are not pinned for hours. */
void build_base_renew(struct build_job *b)
{
	struct snap *newer = NULL;
	struct kv *kv = NULL;

	if (!b->base || mono_diff(clk_mono(), b->renewed) < MONO_S(RENEW_S))
		return;
	b->renewed = clk_mono();
	if (store_snap(b->zone->store, &newer) == 0 && snap_version(newer) != snap_version(b->base) &&
	    snap_kv(newer, &kv) == 0) {
		close_base(b);
		b->base = newer;
		b->base_kv = kv;
		return;
	}
	snap_unref(newer);
}

static void as_change(void *arg)
{
	struct build_job *b = arg;

	if (atomic_load(&b->cancelled))
		b->err = ZS_ECANCEL;
	else if (version_change(b->zone, b->in, b))
		return;
	else
		b->err = ZS_ENOMEM;
	build_failed(b);
}

void build_changed(struct build_job *b, enum zone_event ev)
{
	b->changing = false;
	build_end(b, ev, false);
}

static void build_content(struct build_job *b);

/* One generation is built at a time: upstream's zone is transferred once more when that one is out. */
static void wait_for_next(struct zone *z)
{
	z->large = true;
	log_msg(LL_INFO, "build", z->name,
		"event=later: too much changed for one commit, it waits for the next generation's end");
}

/* On with it: the difference is too large for a change. */
static void content_run(void *arg)
{
	struct build_job *b = arg;

	fault_zone(b->zone->wire);
	b->err = open_live(b);
	if (!b->err)
		b->err = build_input_rewind(b);
	build_content(b);
}

void build_go_on(struct build_job *b)
{
	b->changing = false;
	if (b->zone->next) {
		wait_for_next(b->zone);
		build_end(b, EV_LATER, false);
		return;
	}
	log_msg(LL_INFO, "build", b->zone->name, "event=large: too much changed for one commit, a new "
						"generation is built");
	if (pool_post(b->e->workers, POOL_NORMAL, content_run, b) == 0)
		return;
	b->err = ZS_ENOMEM;
	build_failed(b);
}

/* Whoever has the job at this moment sees the mark and ends it;
 * only a build that waits in the guard is nobody's. */
static void cancel(struct build_job *b)
{
	if (!b || b->ending)
		return;
	atomic_store(&b->cancelled, true);
	if (b->waiting) {
		b->waiting = false;
		b->err = ZS_ECANCEL;
		build_failed(b);
	} else if (b->taking) {
		overtake_cancel(b);
	} else if (!b->publishing && !b->in_gate && !b->changing) {
		build_kick(b);
	}
}

static bool is_wanted(const struct build_job *b)
{
	char want[sizeof(b->fingerprint)];

	policy_print(b->zone->conf->policy, b->zone->conf->upstream_dnssec == UPDNSSEC_PASS, want,
		     sizeof(want));
	return strcmp(want, b->fingerprint) == 0;
}

/* The input is good: from here on the build needs nobody, and upstream is followed in the live generation. */
static void part(void *arg)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;

	z->build = NULL;
	z->next = b;
	b->apart = true;
	log_msg(LL_INFO, "build", z->name, "event=apart upstream=%u: changes go on in the live generation",
		b->in->soa_fields.serial);
	zone_event(z, EV_APART);
	if (b->in->soa_fields.serial != z->meta.upstream_serial) /* it is news for the live one, too */
		upstream_schedule(z, 0);
	build_reconf(z);
}

void build_reconf(struct zone *z)
{
	if (!z->next || is_wanted(z->next))
		return;
	log_msg(LL_INFO, "build", z->name, "event=outdated: the config wants another one by now");
	cancel(z->next);
}

static void build_prepare(void *arg)
{
	struct build_job *b = arg;

	fault_zone(b->zone->wire);
	b->err = open_live(b);
	if (!b->err && b->undo)
		b->err = build_undo_input(b);
	if (!b->err)
		b->err = build_input_open(b);
	if (!b->err && b->as_change) { /* a job that waits holds no snapshot */
		close_base(b);
		b->changing = true;
		mailbox_post(b->e->home, as_change, b);
		return;
	}
	if (!b->err && b->parts)
		mailbox_post(b->e->home, part, b);
	build_content(b);
}

static void build_content(struct build_job *b)
{
	struct store *s = b->zone->store;

	if (!b->err)
		b->err = build_new(s, &b->out);
	if (!b->err && (b->err = store_donor(s, &b->donor_kv)) == ZS_ENOENT)
		b->err = 0;
	if (!b->err)
		b->err = extsort_new(store_dir_tmp(b->e->dir), SORT_MEMORY, 0, &b->expiry);
	/* Everything at once, or a new chain: spread, that it does not fall due at once. How many signatures
	 * it takes shows at the end only: about one a record and one a name. */
	b->signer.spread = !b->donor_kv && (!b->base || !b->was_signed || b->chain_changes) &&
			   b->in->intake.records > SPREAD_MIN / 2;
	/* to the pipeline that would mean to go on a little later, and there is nothing to go on with */
	if (b->err == ZS_EAGAIN)
		b->err = ZS_ELIMIT;
	/* an error ends there too: from here on the pipeline is the one place where a stage ends */
	build_advance(b);
}

/* A version is made of the live one when that may be written and is shaped as the policy says. */
static bool build_may_change(const struct zone *z)
{
	return z->have_meta && z->version && !zone_wants_build(z) &&
	       z->meta.is_signed == zone_is_signed_policy(z);
}

/* Another chain for a version that is good: what upstream changes meanwhile goes out in that one. */
static bool build_may_part(const struct zone *z)
{
	return z->have_meta && z->version && !z->rebuild && z->reshape && !z->next && z->meta.is_signed &&
	       zone_is_signed_policy(z);
}

void build_gating(const struct build_job *b, struct gating *g, const struct keyset *ks, wall_t now)
{
	gating_init(g, b->zone, ks, &b->pol, now);
	memcpy(g->p.salt, b->dp.salt, b->dp.salt_len);
	g->p.salt_len = b->dp.salt_len;
}

static struct build_job *build_new_job(struct zone *z, struct transfer *t, uint64_t undo, bool as_change)
{
	struct build_job *b = calloc(1, sizeof(*b));
	uint64_t seed = 0;
	uint32_t ttl = t->soa_ttl < t->soa_fields.minimum ? t->soa_ttl : t->soa_fields.minimum;

	if (!b)
		return NULL;
	rand_bytes(&seed, sizeof(seed));
	b->zone = z;
	b->e = z->e;
	b->setup = setup_ref(z->setup);
	b->conf = z->conf;
	b->undo = undo;
	b->in = t;
	b->pol = *z->conf->policy;
	b->keys = z->keys;
	b->clamp = z->conf->soa_expire_clamp;
	b->shrink_pct = z->conf->shrink_pct;
	b->churn_pct = z->conf->churn_pct;
	b->no_base = z->damaged;
	b->old_records = z->meta.records;
	b->old_cuts = z->meta.cuts;
	b->pass = b->pol.unsigned_zone && z->conf->upstream_dnssec == UPDNSSEC_PASS;
	b->was_signed = z->have_meta && z->meta.is_signed;
	b->as_change = as_change && build_may_change(z);
	b->parts = !undo && !b->as_change && build_may_part(z);
	b->changes = z->changes;
	b->chain_changes = z->have_meta && (!z->meta.is_signed || z->meta.denial != (uint8_t)b->pol.denial);
	b->released = undo || zone_release_holds(z, t->soa_fields.serial);
	b->meta.upstream_checked = z->meta.upstream_checked; /* a rollback leaves them */
	b->meta.transferred = z->meta.transferred;
	b->now = clk_wall();
	b->began = clk_mono();
	b->tail = &b->head;
	b->next_seq = atomic_load(&z->next_seq) + 1; /* what is signed meanwhile knows its own by it */
	b->running = true; /* until build_prepare() hands over to the pipeline */
	b->apex_len = name_okey(z->wire, b->apex);
	policy_print(&b->pol, b->pass, b->fingerprint, sizeof(b->fingerprint));
	signer_init(&b->signer, z->wire, &b->keys, &b->pol, b->now, seed, false);
	denial_init(&b->dp, z->wire, &b->pol, ttl);
	if (b->dp.kind == DENIAL_NSEC3 && b->pol.nsec3_salt_length) {
		b->dp.salt_len = b->pol.nsec3_salt_length;
		if (z->have_meta && z->meta.is_signed && z->meta.salt_len == b->dp.salt_len)
			memcpy(b->dp.salt, z->meta.salt, b->dp.salt_len);
		else
			rand_bytes(b->dp.salt, b->dp.salt_len);
	}
	build_gating(b, &b->gating, &b->keys, b->now);
	if (!b->pol.unsigned_zone)
		b->values = gate_new(&b->gating.p);
	if (!b->pol.unsigned_zone)
		b->vault = keying_vault(z->e, &b->keys, &b->pol);
	pthread_mutex_init(&b->lock, NULL);
	if (!b->pol.unsigned_zone && !b->values) { /* nothing is written that was not verified */
		setup_unref(b->setup);
		free(b);
		return NULL;
	}
	return b;
}

void build_start(struct zone *z, struct transfer *t)
{
	build_begin(z, t, 0, true);
}

void build_begin(struct zone *z, struct transfer *t, uint64_t undo, bool as_change)
{
	struct build_job *b;
	const char *fault = engine_clock_fault(z->e, z->have_meta ? z->meta.last_inception : 0);

	if (fault && zone_is_signed_policy(z)) {
		zone_alarm_set(z, ALARM_CLOCK, "%s: nothing is signed", fault);
		transfer_free(t);
		zone_event(z, EV_FAILED);
		return;
	}
	zone_alarm_clear(z, ALARM_CLOCK);
	b = build_new_job(z, t, undo, as_change);
	if (!b) {
		transfer_free(t);
		zone_event(z, EV_FAILED);
		return;
	}
	if (z->next && !b->as_change) { /* its end is on its way */
		wait_for_next(z);
		setup_unref(b->setup);
		gate_free(b->values);
		free(b);
		transfer_free(t);
		zone_event(z, EV_LATER);
		return;
	}
	z->build = b;
	zone_job_begin(z);
	log_msg(LL_INFO, "build", z->name, "event=started upstream=%u records=%llu", t->soa_fields.serial,
		(unsigned long long)t->intake.records);
	if (pool_post(b->e->workers, POOL_NORMAL, build_prepare, b) != 0) {
		b->err = ZS_ENOMEM;
		build_failed(b);
	}
}

void build_cancel(struct zone *z)
{
	cancel(z->build);
	cancel(z->next);
}

#define SUPERSEDE_MIN_S 60

/* A candidate that waits for an order must not keep the zone from following upstream:
 * its signatures stay as donor. */
void build_supersede(struct zone *z)
{
	struct build_job *b = z->build;

	z->check_again = true;
	if (!b || !b->waiting || b->undo || mono_diff(clk_mono(), b->began) < MONO_S(SUPERSEDE_MIN_S)) {
		upstream_schedule(z, SUPERSEDE_MIN_S);
		return;
	}
	b->waiting = false;
	b->err = ZS_ESTALE;
	build_failed(b);
}

/* --- publication ---------------------------------------------------------------------------------------- */

static void published(void *arg)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;

	b->publishing = z->committing = false;
	if (b->version) {
		z->generations++;
		routine_drop(z);
	}
	if (!b->err && z->state == ZONE_CLOSED) {
		zone_dispose(z, (void (*)(void *))pub_unref, b->pub);
		b->err = ZS_ECANCEL;
	}
	if (b->err && b->version) { /* committed, but not readable just now */
		downstream_raise_floor(z, b->serial, "committed");
		downstream_keys(z, &b->keys);
		z->version = b->version;
		publish_again(z);
	}
	if (b->err) {
		build_failed(b);
		return;
	}
	z->version = b->version;
	zone_damage_over(z, b->aside);
	sweep_generation(z);
	publish_swap(z, b->pub, &b->pub_meta, b->earliest);
	zone_restored_over(z);
	downstream_keys(z, &b->keys);
	z->rebuild = false;
	z->publish_ordered = false;
	for (int i = VERSION_ROUTINE; i <= VERSION_CHANGE; i++) /* of tries over what is no more */
		atomic_store(&z->history_doubted[i], false);
	if (b->undo) {
		orders_rolled_back(z, b->undo, NULL);
	} else if (!b->apart) { /* else the orders and findings are those of a later input */
		zone_input_taken(z, b->in);
	} else if (z->held && z->held_serial == z->meta.upstream_serial) {
		held_set(z, &(struct held){ .set = false });
		held_alarm(z);
	}
	log_msg(LL_NOTICE, "zone", z->name,
		"event=published serial=%u upstream=%u records=%llu signatures=%llu made=%llu kept=%llu "
		"ms=%lld",
		b->serial, z->meta.upstream_serial, (unsigned long long)z->meta.records,
		(unsigned long long)z->meta.signatures, (unsigned long long)b->sum_made,
		(unsigned long long)b->sum_kept, (long long)(mono_diff(clk_mono(), b->began) / 1000));
	b->out = NULL;
	build_end(b, EV_PUBLISHED, false);
	if (z->state != ZONE_CLOSED)
		downstream_notify(z, true);
}

/* Text first, then the generation: nothing above the ceiling is ever published (ARCHITECTURE "Key state"). */
static void publish_run(void *arg)
{
	struct build_job *b = arg;
	struct zone *z = b->zone;
	mono_t began;

	fault_zone(z->wire);
	b->err = keystate_ceiling(z->store, &b->keys, b->serial);
	kv_close(b->base_kv);
	kv_close(b->donor_kv);
	b->base_kv = b->donor_kv = NULL;
	/* What the live generation got meanwhile are signatures alone, of which the build has its own; and
	 * content, which was taken in (overtake.c). From here on it gets nothing. */
	build_caught_up(b->out, store_version(z->store));
	if (!b->err)
		b->err = build_history(b);
	began = clk_mono();
	if (!b->err)
		b->err = build_publish(b->out, &b->version);
	publish_count_commit(b->e, mono_diff(clk_mono(), began));
	if (!b->err) {
		b->out = NULL;
		store_aside_name(z->store, b->aside, sizeof(b->aside));
		store_drop_donors(z->store);
		b->pub = publish_prepare(z->store, z->wire, &b->pub_meta, &b->earliest, &b->err);
	}
	mailbox_post(b->e->home, published, b);
}

void build_publish_now(struct build_job *b)
{
	struct zone *z = b->zone;

	b->publishing = z->committing = true;
	b->doubted |= z->damaged || z->compare || sweep_doubts(z);
	if (pool_post(b->e->workers, POOL_URGENT, publish_run, b) != 0) {
		b->publishing = z->committing = false;
		b->err = ZS_ENOMEM;
		build_failed(b);
	}
}

static bool serial_is_free(const struct build_job *b)
{
	const struct zone *z = b->zone;

	return !z->have_floor || serial_cmp(b->serial, z->floor) == SERIAL_GT;
}

void build_publish_try(struct zone *z)
{
	struct build_job *b = z->build;

	if (!b || !b->waiting || z->state != ZONE_GUARD)
		return;
	if (!z->check_timer.slot)
		upstream_schedule(z, -2);
	/* ordered meanwhile; what is signed stays as donor */
	if (b->undo ? z->orders.rollback != b->undo : z->orders.hold) {
		b->waiting = false;
		b->err = ZS_ECANCEL;
		build_failed(b);
		return;
	}
	if (z->committing)
		return; /* a refresh is in its transaction: its end asks again */
	if (!downstream_guard_passed(z))
		return; /* asked again when a secondary answers, by timer and by order */
	if (!serial_is_free(b)) {
		if (b->pass) {
			b->err = ZS_EHELD;
			snprintf(b->reason, sizeof(b->reason),
				 "serial %u is not above %u, which the secondaries have", b->serial,
				 z->floor);
			build_failed(b);
			return;
		}
		zone_event(z, EV_REDO); /* the SOA is made again with a serial above the floor */
		return;
	}
	if (!b->pol.unsigned_zone && clk_wall().s - b->gating.p.now > b->pol.refresh / 10) {
		/* it waited too long for what its gate saw: built again, with the signatures it has */
		b->waiting = false;
		b->err = ZS_ESTALE;
		build_failed(b);
		return;
	}
	b->waiting = false;
	build_publish_now(b);
}
