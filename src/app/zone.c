/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The state table of a zone. One setter changes the state and logs old state, event and new state; what has
 * to be done on a transition is named in the table and done after the new state holds, so an action may raise
 * the next event itself.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "held.h"
#include "policyprint.h"
#include "transfer.h"
#include "zone.h"

#define RELEASE_VALID_S 3600
#define LOCAL_RETRY_S 5
#define LOCAL_RETRY_STEPS 7 /* 5 s doubling to 320 s */

static const char *const state_names[] = {
#define X(name, text) text,
	ZONE_STATES(X)
#undef X
};
static const char *const event_names[] = {
#define X(name, text) text,
	ZONE_EVENTS(X)
#undef X
};
static const char *const alarm_names[] = {
#define X(name, text) text,
	ZONE_ALARMS(X)
#undef X
};

const char *zone_state_text(enum zone_state s)
{
	return s < ZONE_STATE_COUNT ? state_names[s] : "?";
}

const char *zone_alarm_name(enum zone_alarm a)
{
	return a < ALARM_COUNT ? alarm_names[a] : "?";
}

bool zone_is_signed_policy(const struct zone *z)
{
	return !z->conf->policy->unsigned_zone;
}

/* --- alarms --------------------------------------------------------------------------------------------- */

void zone_alarm_set(struct zone *z, enum zone_alarm a, const char *fmt, ...)
{
	char text[sizeof(z->alarm_text[a])];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (!z->alarm[a] || strcmp(text, z->alarm_text[a]) != 0)
		log_msg(LL_WARN, "zone", z->name, "event=alarm alarm=%s: %s", alarm_names[a], text);
	if (!z->alarm[a])
		z->alarm_since[a] = clk_wall();
	z->alarm[a] = true;
	memcpy(z->alarm_text[a], text, sizeof(text));
}

void zone_alarm_clear(struct zone *z, enum zone_alarm a)
{
	if (!z->alarm[a])
		return;
	z->alarm[a] = false;
	log_msg(LL_NOTICE, "zone", z->name, "event=cleared alarm=%s (%s)", alarm_names[a], z->alarm_text[a]);
	z->alarm_text[a][0] = 0;
}

/* --- actions of the table ------------------------------------------------------------------------------- */

/* A policy that shapes a version otherwise than the stored one: upstream is taken anew for it,
 * whatever its serial. */
void zone_compare_policy(struct zone *z)
{
	char want[sizeof(z->meta.content_policy)];

	policy_print(z->conf->policy, z->conf->upstream_dnssec == UPDNSSEC_PASS, want,
		     sizeof(want));
	z->reshape = z->have_meta && strcmp(want, z->meta.content_policy) != 0;
	if (!z->reshape)
		zone_alarm_clear(z, ALARM_BUILD);
}

/* One that failed is tried again after a while; what is wrong with the live generation waits for nothing. */
bool zone_wants_build(const struct zone *z)
{
	bool waits = z->next_due.us && mono_diff(z->next_due, clk_mono()) > 0;

	return !z->next && (z->rebuild || (z->reshape && !waits));
}

/* The store is read: what is stored is served already.
 * Now upstream, secondaries and signatures get their turn. */
static void act_opened(struct zone *z)
{
	z->opening = false;
	zone_compare_policy(z);
	downstream_conf(z);
	downstream_guard_start(z);
	upstream_expire_check(z);
	version_schedule(z);
	sweep_plan(z);
	upstream_look(z, false);
}

static void act_failed(struct zone *z)
{
	transfer_free(z->transfer);
	z->transfer = NULL;
	z->round_done = true;
	if (z->local_trouble) { /* key store or disk: upstream's SOA retry has nothing to say about them */
		z->local_trouble = false;
		if (z->local_fails < LOCAL_RETRY_STEPS)
			z->local_fails++;
		upstream_schedule(z, LOCAL_RETRY_S << (z->local_fails - 1));
		return;
	}
	z->check_fails++;
	upstream_schedule(z, -1);
}

/* Input that is held, or that the gate vetoed. An order to take whatever upstream has ends where its own
 * transfer is held (held_input()); it outlives a veto: the next try is that same order's. */
static void act_held(struct zone *z)
{
	transfer_free(z->transfer);
	z->transfer = NULL;
	z->check_fails = 0;
	z->round_done = true;
	upstream_schedule(z, z->held && z->held_vetoes && !z->quarantined ? -3 : -2);
}

/* The build goes on by itself; upstream is followed in the live generation. */
static void act_apart(struct zone *z)
{
	z->check_fails = z->local_fails = 0;
	z->round_done = true;
	zone_alarm_clear(z, ALARM_UPSTREAM);
	upstream_schedule(z, -2);
}

/* What the live generation cannot take waits for the one that is being built. */
static void act_later(struct zone *z)
{
	transfer_free(z->transfer);
	z->transfer = NULL;
	z->check_fails = 0;
	z->round_done = true;
	upstream_schedule(z, -2);
}

/* A difference goes out as a change; so does a whole transfer, once it has been judged (build.c). */
static void act_build(struct zone *z)
{
	struct transfer *t = z->transfer;

	z->transfer = NULL;
	if (!t->ixfr) {
		build_start(z, t);
	} else if (!version_change(z, t, NULL)) {
		transfer_free(t);
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
	}
}

/* A rollback: the content comes from history instead of a transfer. */
static void act_undo(struct zone *z)
{
	if (version_undo(z))
		return;
	z->local_trouble = true;
	zone_event(z, EV_FAILED);
}

static void act_published(struct zone *z)
{
	z->check_fails = 0;
	held_alarm(z);
	zone_alarm_clear(z, ALARM_VETO);
	zone_alarm_clear(z, ALARM_STORE);
	z->local_fails = 0;
	z->round_done = true;
	zone_alarm_clear(z, ALARM_UPSTREAM);
	zone_compare_policy(z);
	upstream_expire_check(z);
	upstream_schedule(z, zone_wants_build(z) || z->compare ? 0 : -2);
}

static uint64_t dropped_records(const struct intake *in)
{
	return in->dropped_out_of_zone + in->dropped_soa + in->stripped_rrsig + in->stripped_nsec +
	       in->stripped_nsec3 + in->stripped_nsec3param + in->stripped_dnskey + in->stripped_cds +
	       in->stripped_cdnskey + in->stripped_private + in->stripped_zonemd;
}

void zone_force_transfer(struct zone *z)
{
	if (++z->force_last == 0)
		z->force_last = 1;
	z->force_transfer = z->force_last;
}

void zone_input_taken(struct zone *z, const struct transfer *t)
{
	zone_release_used(z, t->soa_fields.serial);
	if (t->forced == z->force_transfer) /* another one may have been ordered meanwhile */
		z->force_transfer = 0;
	z->want_axfr = false;
	if (!t->ixfr)
		sweep_taken(z);
	if (z->held)
		held_set(z, &(struct held){ .set = false });
	atomic_fetch_add(&z->count.dropped, dropped_records(&t->intake));
	upstream_expire_check(z); /* before anybody is told to come and get it */
}

void zone_work_failed(struct zone *z, const char *what, int err)
{
	switch (err) {
	case ZS_ECANCEL:
	case ZS_ESTALE:
		log_msg(LL_INFO, "zone", z->name, "event=%s: %s",
			err == ZS_ESTALE ? "superseded" : "cancelled", what);
		break;
	case ZS_EREFUSED:
	case ZS_EKEY:
	case ZS_EVAULT:
	case ZS_EPOISON:
	case ZS_ECRYPTO:
		zone_alarm_set(z, ALARM_SIGNING, "%s: %s", what, zs_strerror(err));
		break;
	default:
		zone_alarm_set(z, ALARM_STORE, "%s: %s", what, zs_strerror(err));
		if (err == ZS_EIO)
			zone_renew(z);
	}
}

static void act_close(struct zone *z)
{
	z->net.pub = (pub_unref(z->net.pub), NULL);
	upstream_cancel(z);
	build_cancel(z);
	version_cancel(z);
	zone_renew_cancel(z);
	fold_close(z);
	warm_close(z);
	version_note_checked(z);
	downstream_cancel(z);
	sweep_close(z);
	orders_close(z);
	transfer_free(z->transfer);
	z->transfer = NULL;
	timer_stop(z->e->timers, &z->check_timer);
	timer_stop(z->e->timers, &z->expire_timer);
	timer_stop(z->e->timers, &z->sign_timer);
	timer_stop(z->e->timers, &z->watch_timer);
	timer_stop(z->e->timers, &z->guard_timer);
}

static void act_check_later(struct zone *z)
{
	z->check_again = true;
}

/* --- the table ------------------------------------------------------------------------------------------ */

struct transition { unsigned char used; unsigned char next; void (*act)(struct zone *z); };
#define GO(state, fn) { 1, ZONE_##state, fn }

static const struct transition table[ZONE_STATE_COUNT][ZONE_EVENT_COUNT] = {
	[ZONE_OPENING] = { [EV_OPENED] = GO(IDLE, act_opened), [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_IDLE] = { [EV_CHECK] = GO(CHECKING, upstream_check), [EV_UNDO] = GO(BUILD, act_undo),
			[EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_CHECKING] = { [EV_SAME] = GO(IDLE, upstream_refreshed), [EV_NEWER] = GO(KEYS, keying_run),
			    [EV_FAILED] = GO(IDLE, act_failed), [EV_HELD] = GO(IDLE, act_held),
			    [EV_LATER] = GO(IDLE, act_later), [EV_CHECK] = GO(CHECKING, act_check_later),
			    [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_KEYS] = { [EV_KEYS_DONE] = GO(QUEUED, upstream_queue), [EV_FAILED] = GO(IDLE, act_failed),
			[EV_CHECK] = GO(KEYS, act_check_later), [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_QUEUED] = { [EV_SLOT] = GO(TRANSFER, upstream_transfer), [EV_FAILED] = GO(IDLE, act_failed),
			  [EV_CHECK] = GO(QUEUED, act_check_later), [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_TRANSFER] = { [EV_RECEIVED] = GO(BUILD, act_build), [EV_REDO] = GO(QUEUED, upstream_queue),
			    [EV_SAME] = GO(IDLE, upstream_refreshed),
			    [EV_FAILED] = GO(IDLE, act_failed), [EV_HELD] = GO(IDLE, act_held),
			    [EV_CHECK] = GO(TRANSFER, act_check_later), [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_BUILD] = { [EV_PUBLISHED] = GO(IDLE, act_published), [EV_SAME] = GO(IDLE, upstream_refreshed),
			 [EV_REDO] = GO(QUEUED, upstream_queue),
			 [EV_BUILT] = GO(GUARD, build_publish_try), [EV_HELD] = GO(IDLE, act_held),
			 [EV_FAILED] = GO(IDLE, act_failed), [EV_CHECK] = GO(BUILD, act_check_later),
			 [EV_APART] = GO(IDLE, act_apart), [EV_LATER] = GO(IDLE, act_later),
			 [EV_CLOSE] = GO(CLOSED, act_close) },
	[ZONE_GUARD] = { [EV_REDO] = GO(BUILD, build_redo), [EV_HELD] = GO(IDLE, act_held),
		        [EV_PUBLISHED] = GO(IDLE, act_published), [EV_FAILED] = GO(IDLE, act_failed),
			 [EV_CHECK] = GO(GUARD, build_supersede), [EV_CLOSE] = GO(CLOSED, act_close) },
};

/* The one place where a zone's state changes. */
void zone_event(struct zone *z, enum zone_event ev)
{
	const struct transition *t;
	enum zone_state old = z->state;

	/* a rollback goes before whatever upstream has */
	if (old == ZONE_IDLE && ev == EV_CHECK && z->orders.rollback && z->have_meta && !z->quarantined)
		ev = EV_UNDO;
	t = &table[old][ev];
	if (!t->used) {
		log_msg(LL_DEBUG, "zone", z->name, "state=%s event=%s ignored", state_names[old],
			event_names[ev]);
		return;
	}
	if (t->next != old) {
		z->state = (enum zone_state)t->next;
		z->state_since = clk_wall();
		log_msg(LL_DEBUG, "zone", z->name, "state=%s event=%s new=%s", state_names[old],
			event_names[ev], state_names[t->next]);
	}
	if (t->act)
		t->act(z);
	if (z->state == ZONE_IDLE && z->check_again) {
		z->check_again = false;
		upstream_schedule(z, 0);
	}
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void zone_free(struct zone *z)
{
	if (z->closing)
		z->e->zombies--;
	pub_unref(z->net.pub);
	for (size_t i = 0; i < z->nsec; i++) {
		dnsq_cancel(z->sec[i].probe);
		notify_cancel(z->sec[i].notify);
	}
	free(z->sec);
	free(z->acl_mem);
	store_close(z->store);
	setup_unref(z->setup);
	free(z->name);
	free(z);
}

void zone_job_begin(struct zone *z)
{
	z->jobs++;
}

/* `zone release` passes the next input at that serial or newer, once, within an hour. */
bool zone_release_holds(const struct zone *z, uint32_t serial)
{
	enum serial_order o = z->release_any ? SERIAL_EQ : serial_cmp(serial, z->release_serial);

	return z->released && clk_wall().s - z->released_at.s <= RELEASE_VALID_S &&
	       (o == SERIAL_EQ || (o == SERIAL_GT && !z->release_only));
}

void zone_release_used(struct zone *z, uint32_t serial)
{
	if (zone_release_holds(z, serial))
		z->released = false;
}

void zone_release_keep(struct zone *z, uint32_t serial)
{
	if (!zone_release_holds(z, serial))
		return;
	z->release_any = false;
	z->release_only = true;
	z->release_serial = serial;
}

struct dispose { struct zone *zone; void (*fn)(void *); void *arg; };

static void dispose_done(void *arg)
{
	struct dispose *d = arg;
	struct zone *z = d->zone;

	free(d);
	zone_job_end(z);
}

static void dispose_run(void *arg)
{
	struct dispose *d = arg;

	d->fn(d->arg);
	mailbox_post(d->zone->e->home, dispose_done, d);
}

void zone_dispose(struct zone *z, void (*fn)(void *), void *arg)
{
	struct dispose *d = arg ? malloc(sizeof(*d)) : NULL;

	if (d) {
		*d = (struct dispose){ .zone = z, .fn = fn, .arg = arg };
		zone_job_begin(z);
		if (pool_post(z->e->workers, POOL_LOW, dispose_run, d) == 0)
			return;
		free(d);
		z->jobs--;
	}
	if (arg)
		fn(arg);
}

void zone_job_end(struct zone *z)
{
	if (--z->jobs == 0 && z->gone)
		zone_free(z);
}

static void zone_take_conf(struct zone *z, struct setup *s, const struct conf_zone *c)
{
	struct setup *old = z->setup;

	z->setup = setup_ref(s);
	z->conf = c;
	setup_unref(old);
}

static bool in_quarantine(const struct engine *e, const uint8_t *wire)
{
	uint64_t id = fault_id(wire);

	for (unsigned i = 0; i < e->nquarantine; i++)
		if (e->quarantine[i] == id)
			return true;
	return false;
}

void zone_unquarantine(struct zone *z, const char *why)
{
	if (!z->quarantined)
		return;
	z->quarantined = false;
	log_msg(LL_NOTICE, "zone", z->name, "event=unquarantined: %s", why);
	if (!z->damaged)
		zone_alarm_clear(z, ALARM_STORE);
	version_schedule(z);
	sweep_plan(z);
	fold_plan(z);
	warm_plan(z);
}

struct zone *zone_new(struct engine *e, struct setup *s, const struct conf_zone *c)
{
	struct zone *z = calloc(1, sizeof(*z));

	if (!z || !(z->name = strdup(c->name))) {
		free(z);
		log_msg(LL_ERR, "zone", c->name, "out of memory");
		return NULL;
	}
	z->e = e;
	memcpy(z->wire, c->wire, c->wire_len);
	z->wire_len = c->wire_len;
	z->net.name = z->wire;
	z->net.app = z;
	z->net.upstream_left = INT64_MAX;
	z->state_since = clk_wall();
	zone_take_conf(z, s, c);
	z->quarantined = in_quarantine(e, z->wire);
	if (z->quarantined)
		zone_alarm_set(z, ALARM_STORE,
			       "quarantined: work for this zone brought the engine down twice within an "
			       "hour; it is served as stored until a new upstream serial or `zone release`");
	return z;
}

void zone_start(struct zone *z)
{
	z->opening = true;
	zone_open_start(z);
}

/* A policy that signs differently than what is stored is zone-sized work: upstream is transferred anew for
 * it. A transfer goes on, and what is held stays held, where nothing of that changed. */
void zone_reconf(struct zone *z, struct setup *s, const struct conf_zone *c)
{
	bool other = !upstream_is_same(z->conf, c); /* what its upstream may have to say */
	bool goes_on = z->state == ZONE_TRANSFER && !other;
	bool look_again = z->held && held_conf(z->conf) != held_conf(c), tried = z->round_done, cut_short;

	if (!goes_on)
		upstream_cancel(z);
	downstream_cancel(z);
	zone_take_conf(z, s, c);
	if (z->state == ZONE_OPENING)
		return;
	downstream_conf(z);
	if (look_again) {
		held_set(z, &(struct held){ .set = false });
		held_alarm(z);
	}
	cut_short = z->state == ZONE_CHECKING || z->state == ZONE_QUEUED ||
		    (z->state == ZONE_TRANSFER && !goes_on);
	if (cut_short) {
		zone_event(z, EV_FAILED);
		timer_stop(z->e->timers, &z->check_timer); /* as many retries at one moment are no turns */
	}
	z->round_done = tried; /* nobody was asked to the end */
	z->check_fails = z->next_fails = 0;
	z->next_due = (mono_t){ 0 };
	zone_compare_policy(z);
	build_reconf(z);
	version_schedule(z);
	upstream_look(z, other || cut_short);
}

void zone_close(struct zone *z)
{
	log_msg(LL_NOTICE, "zone", z->name, "event=removed: files and keys are kept");
	z->closing = true;
	zone_event(z, EV_CLOSE);
	server_give_up(z->e->server, z->wire, UINT64_MAX); /* the published one is nobody's any more */
	z->gone = true;
	z->e->zombies++;
	zone_job_begin(z);
	zone_job_end(z);
}
