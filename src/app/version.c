/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A version on top of the live one: what is due is read from the expiry index, signed, checked by the gate
 * and committed in one short transaction. The recipe for refreshes; changes of content join it when transfers
 * become differences.
 *
 *   start (loop) -> collect (worker) -> vault -> assemble, gate, commit (worker) -> publish (loop)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "base/rand.h"
#include "build.h"
#include "held.h"

#define VERSION_SETS_MAX 4096      /* RRsets of one routine version */
#define RETRY_S 10
#define RETRY_MAX_S 600

struct version_job {
	struct zone *zone;
	struct engine *e;
	struct setup *setup;
	struct policy pol;
	struct keyset keys;
	struct signer signer;
	struct gating gating;
	struct zmeta meta;
	uint32_t serial;
	wall_t now;
	struct snap *base;
	struct view *view;
	struct signing *group;
	struct vclient *vault;
	struct gate *gate, *values;
	atomic_ullong next_seq;
	struct pub *pub;
	int64_t earliest;
	uint64_t version;
	bool nothing_due;
	bool damaged;              /* err was met in what is stored */
	atomic_bool cancelled, submitted;
	int err;
};

static void version_sent(void *arg);

static void version_free(struct version_job *j)
{
	gate_free(j->gate);
	gate_free(j->values);
	signing_free(j->group);
	view_free(j->view);
	snap_unref(j->base);
	setup_unref(j->setup);
	free(j);
}

static void version_timer(void *arg)
{
	version_start(arg);
}

/* Signatures are replaced when their remaining life falls below refresh;
 * every signed zone has a next time. */
void version_schedule(struct zone *z)
{
	int64_t due;

	if (z->state == ZONE_CLOSED || z->quarantined || z->version_job || !z->have_meta ||
	    !z->meta.is_signed)
		return;
	due = z->earliest_expiry - z->conf->policy->refresh - clk_wall().s;
	if (z->sign_fails) {
		int64_t wait = RETRY_S << (z->sign_fails > 6 ? 6 : z->sign_fails - 1);

		wait = wait > RETRY_MAX_S ? RETRY_MAX_S : wait;
		due = due > wait ? due : wait;
	}
	/* looked at once an hour at least: the wall clock may step */
	timer_set(z->e->timers, &z->sign_timer, MONO_S(due < 0 ? 0 : due > 3600 ? 3600 : due), version_timer,
		  z);
}

/* --- collect -------------------------------------------------------------------------------------------- */

static int load(struct version_job *j, struct kv *kv, const uint8_t *key, size_t klen, struct rrset *set)
{
	uint8_t *owner = arena_alloc(j->group->mem, NAME_MAX_WIRE);
	const uint8_t *okey, *copy;
	size_t olen, nlen;
	uint16_t type;
	struct kv_item it;
	int err = owner ? kv_get(kv, key, klen, &it) : ZS_ENOMEM;

	if (err)
		return err;
	copy = arena_dup(j->group->mem, it.val, it.vlen);
	if (!copy)
		return ZS_ENOMEM;
	if (key[0] == TAB_RECORDS) {
		if ((err = key_record_split(key, klen, &okey, &olen, &type)) ||
		    (err = name_from_okey(okey, olen, owner, &nlen)))
			return err;
	} else if (key[1] == 0) {
		type = T_NSEC;
		if ((err = name_from_okey(key + 2, klen - 2, owner, &nlen)))
			return err;
	} else {
		type = T_NSEC3;
		if ((err = nsec3_owner(key + 2, j->zone->wire, owner)))
			return err;
	}
	return rrset_decode(set, type, owner, copy, it.vlen, j->group->mem);
}

static int add_due(struct version_job *j, struct kv *kv, const uint8_t *key, size_t klen)
{
	struct rrset old;
	int err = load(j, kv, key, klen, &old);

	if (!err && old.type == T_SOA)
		return 0; /* signed anyway, with its new serial */
	return err ? err
		   : signing_add(j->group, key, klen, &old, &old, true, j->pol.refresh + j->pol.refresh / 10);
}

/* The value of an index entry covers its key's octets. */
static bool is_intact(const struct kv_item *it)
{
	return it->vlen >= 5 && it->val[0] == EXPIRY_FORMAT &&
	       be32(it->val + 1) == crc32c(0, it->val + 5, it->vlen - 5);
}

/* What falls due within the next refresh/10 goes along when anything is due at all: fewer versions. */
static int collect_due(struct version_job *j, struct kv *kv, struct kv *reader)
{
	int64_t due = j->now.s + j->pol.refresh, along = due + j->pol.refresh / 10;
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int err;

	for (err = kv_seek(kv, key, key_expiry(key, 0, 0), &it); !err; err = kv_next(kv, &it)) {
		if (it.klen != 17 || it.key[0] != TAB_EXPIRY)
			break;
		if ((int64_t)be64(it.key + 1) > (j->group->items ? along : due) ||
		    j->group->items >= VERSION_SETS_MAX)
			break;
		err = is_intact(&it) ? add_due(j, reader, it.val + 5, it.vlen - 5) : ZS_ECRC;
		if (err)
			return err == ZS_ENOENT ? ZS_ECRC : err;
		j->nothing_due = false;
	}
	return err == ZS_ENOENT ? 0 : err;
}

static int add_soa(struct version_job *j, struct kv *kv)
{
	uint8_t key[KEY_MAX], okey[OKEY_MAX], *rdata;
	size_t klen = key_record(key, okey, name_okey(j->zone->wire, okey), T_SOA);
	struct rrset old, set;
	int err = load(j, kv, key, klen, &old);

	if (err)
		return err;
	set = old;
	set.rr = arena_dup(j->group->mem, old.rr, sizeof(*old.rr));
	rdata = arena_dup(j->group->mem, old.rr[0].data, old.rr[0].len);
	if (!set.rr || !rdata)
		return ZS_ENOMEM;
	soa_set_serial(rdata, set.rr[0].len, j->serial);
	set.rr[0].data = rdata;
	return signing_add(j->group, key, klen, &set, &old, true, j->pol.refresh);
}

static void sent(struct signing *g, void *arg)
{
	struct version_job *j = arg;

	(void)g;
	mailbox_post(j->e->home, version_sent, j);
}

static int submit(struct version_job *j)
{
	/* from here on a cancel finds the batch, or the mark is seen before */
	atomic_store(&j->submitted, true);
	return signing_submit(j->group, j->vault, SIGN_ROUTINE, sent, j);
}

/* Worker. Leaves the view parked: a job that waits for the vault holds no snapshot. */
static void collect(void *arg)
{
	struct version_job *j = arg;
	struct kv *kv = NULL, *reader = NULL;

	fault_zone(j->zone->wire);
	j->nothing_due = true;
	j->values = gate_new(&j->gating.p);
	j->group = signing_new(&j->signer, j->values, j->e->workers, j->zone->name, &j->next_seq);
	j->err = j->group && j->values ? store_snap(j->zone->store, &j->base) : ZS_ENOMEM;
	if (!j->err)
		j->err = view_new(j->base, &j->view);
	if (!j->err && !(j->err = view_kv(j->view, &kv)))
		j->err = view_kv(j->view, &reader);
	if (!j->err)
		j->err = zmeta_get(kv, &j->meta);
	j->next_seq = j->meta.next_seq;
	if (!j->err)
		j->err = collect_due(j, kv, reader);
	if (!j->err && !j->nothing_due)
		j->err = add_soa(j, kv);
	if (j->err == ZS_ENOENT && j->base) /* META or the SOA: every version has them */
		j->err = ZS_ECRC;
	j->damaged = damage_is(j->err);
	kv_close(kv);
	kv_close(reader);
	if (j->view)
		view_park(j->view);
	snap_unref(j->base);
	j->base = NULL;
	if (!j->err && !j->nothing_due && atomic_load(&j->cancelled))
		j->err = ZS_ECANCEL;
	if (!j->err && !j->nothing_due) {
		int err = submit(j);

		if (!err)
			return; /* j is others' from here on */
		j->err = err;
	}
	mailbox_post(j->e->home, version_sent, j);
}

/* --- commit --------------------------------------------------------------------------------------------- */

struct change_iter { struct view *view; void *pos; };

static int next_change(void *ctx, const uint8_t **key, size_t *klen)
{
	struct change_iter *it = ctx;
	const uint8_t *val;
	size_t vlen;
	bool deleted;

	return view_next_change(it->view, &it->pos, key, klen, &val, &vlen, &deleted);
}

static int open_base(void *ctx, struct kv **out)
{
	return snap_kv(((struct version_job *)ctx)->base, out);
}

/* The version below the view: what was there before tells what a change left behind. */
static int take_base(struct version_job *j)
{
	int err = store_snap(j->zone->store, &j->base);

	if (!err && snap_version(j->base) != view_base(j->view))
		err = ZS_ESTALE;
	j->gating.p.open_base = open_base;
	j->gating.p.base_ctx = j;
	return err;
}

static int run_gate(struct version_job *j)
{
	struct change_iter it = { .view = j->view };
	struct kv *kv = NULL;
	int err = take_base(j);

	j->gating.p.now = clk_wall().s;
	gate_free(j->gate);
	j->gate = err ? NULL : gate_new(&j->gating.p);
	if (!err)
		err = j->gate ? view_kv(j->view, &kv) : ZS_ENOMEM;
	if (!err)
		err = gate_change(j->gate, kv, next_change, &it);
	if (!err)
		err = gate_finish(j->gate, kv, false);
	kv_close(kv);
	snap_unref(j->base);
	j->base = NULL;
	return err ? err : gate_total(j->gate) ? ZS_EVETO : 0;
}

static int write_all(struct version_job *j)
{
	struct wr w = wr_growing(TBS_MAX * 2);
	struct kv *kv = NULL;
	int err = view_kv(j->view, &kv);

	for (struct signing_item *it = j->group->head; !err && it; it = it->next) {
		int64_t inception = sign_latest_inception(it->set.sig, it->set.nsig, j->now.s);

		if (inception > j->meta.last_inception)
			j->meta.last_inception = inception;
		err = item_write(kv, it, &w);
	}
	j->meta.signed_serial = j->serial;
	j->meta.next_seq = atomic_load(&j->next_seq);
	j->meta.signed_at = j->meta.published = clk_wall().s;
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

static void version_done(void *arg);

static void commit(void *arg)
{
	struct version_job *j = arg;
	mono_t began;

	fault_zone(j->zone->wire);
	j->err = view_resume(j->view, j->zone->store);
	if (!j->err)
		j->err = keystate_ceiling(j->zone->store, &j->keys, j->serial);
	if (!j->err)
		j->err = write_all(j);
	if (!j->err)
		j->err = run_gate(j);
	began = clk_mono();
	if (!j->err)
		j->err = store_commit(j->zone->store, j->view, &j->version);
	j->damaged = j->err == ZS_ECRC;
	if (!j->err) {
		publish_count_commit(j->e, mono_diff(clk_mono(), began));
		j->pub = publish_prepare(j->zone->store, j->zone->wire, &j->meta, &j->earliest, &j->err);
		j->damaged = damage_is(j->err);
	}
	mailbox_post(j->e->home, version_done, j);
}

/* --- on the loop ---------------------------------------------------------------------------------------- */

static void version_end(struct version_job *j, bool ok)
{
	struct zone *z = j->zone;

	z->version_job = NULL;
	if (z->state == ZONE_CLOSED)
		timer_stop(z->e->timers, &z->retry_timer);
	z->sign_fails = ok ? 0 : z->sign_fails + 1;
	version_free(j);
	version_schedule(z);
	if (z->state == ZONE_GUARD)
		build_publish_try(z);
	zone_job_end(z);
}

static void version_failed(struct version_job *j)
{
	struct zone *z = j->zone;

	if (j->err == ZS_EVETO || j->err == ZS_EBADSIG) {
		char text[400];

		if (j->err == ZS_EVETO)
			gating_report(z, j->gate);
		else
			atomic_fetch_add(&z->count.vetoes[GATE_BAD_SIG], 1);
		if (j->err == ZS_EVETO)
			gating_describe(j->gate, text, sizeof(text));
		else
			snprintf(text, sizeof(text), "%s", gating_bad_signature());
		zone_alarm_set(z, ALARM_VETO, "refresh vetoed by the gate, the last good version stays: %s",
			       text);
		/* a neighbour of the change: what the version writes itself was read back before */
		if (j->err == ZS_EVETO && gate_count(j->gate, GATE_STORED))
			zone_damaged(z, ZS_ECRC, "a refresh");
	} else if (j->damaged) {
		zone_damaged(z, j->err, "a refresh");
	} else if (j->err != ZS_ESTALE && j->err != ZS_ECANCEL) {
		bool disk = j->err == ZS_EIO || j->err == ZS_ENOSPC;

		zone_alarm_set(z, disk ? ALARM_STORE : ALARM_SIGNING, "signatures cannot be refreshed: %s",
			       zs_strerror(j->err));
		/* this generation takes no commit any more: the next one is built */
		if (j->err == ZS_EIO) {
			z->rebuild = true;
			upstream_schedule(z, 0);
		}
	}
	version_end(j, j->err == ZS_ESTALE);
}

static void version_done(void *arg)
{
	struct version_job *j = arg;
	struct zone *z = j->zone;

	z->committing = false;
	if (j->err && j->version) { /* committed, but not readable just now */
		downstream_raise_floor(z, j->serial, "committed");
		publish_again(z);
	}
	if (j->err) {
		version_failed(j);
		return;
	}
	for (int i = 0; i < SIGN_REASONS; i++)
		atomic_fetch_add(&z->count.made[i], j->group->made[i]);
	atomic_fetch_add(&z->count.kept, j->group->kept);
	atomic_fetch_add(&z->count.bad_signatures, j->group->bad);
	z->version = j->version;
	downstream_keys(z, &j->keys);
	zone_alarm_clear(z, ALARM_SIGNING);
	if (!z->damaged)
		zone_alarm_clear(z, ALARM_STORE);
	if (z->alarm[ALARM_VETO]) /* a refresh passed: what is vetoed still is an input or nothing */
		held_alarm(z);
	if (z->state != ZONE_CLOSED) {
		publish_swap(z, j->pub, &j->meta, j->earliest);
		log_msg(LL_NOTICE, "zone", z->name, "event=refreshed serial=%u rrsets=%zu signatures=%zu",
			j->serial, j->group->items, j->group->nreq);
	} else {
		pub_unref(j->pub);
	}
	version_end(j, true);
	if (z->state != ZONE_CLOSED)
		downstream_notify(z, true);
}

/* The vault has answered (or there was nothing to do). */
static void version_sent(void *arg)
{
	struct version_job *j = arg;
	struct zone *z = j->zone;

	if (!j->err && j->nothing_due) {
		version_end(j, true);
		return;
	}
	if (!j->err)
		j->err = z->state == ZONE_CLOSED ? ZS_ECANCEL : j->group->err;
	if (!j->err && z->have_floor && serial_cmp(j->serial, z->floor) != SERIAL_GT)
		j->err = ZS_ESTALE;
	if (!j->err && z->committing)
		j->err = ZS_ESTALE; /* a new generation is taking over */
	if (!j->err) {
		z->committing = true;
		if (pool_post(j->e->workers, POOL_URGENT, commit, j) == 0)
			return; /* j is the worker's from here on, its err too */
		z->committing = false;
		j->err = ZS_ENOMEM;
	}
	version_failed(j);
}

static struct version_job *version_new(struct zone *z)
{
	struct version_job *j = calloc(1, sizeof(*j));
	uint64_t seed = 0;

	if (!j)
		return NULL;
	rand_bytes(&seed, sizeof(seed));
	j->zone = z;
	j->e = z->e;
	j->setup = setup_ref(z->setup);
	j->pol = *z->conf->policy;
	j->keys = z->keys;
	j->now = clk_wall();
	j->serial = downstream_next_serial(z, z->meta.upstream_serial);
	j->vault = keying_vault(z->e, &j->keys, &j->pol);
	signer_init(&j->signer, z->wire, &j->keys, &j->pol, j->now, seed, false);
	gating_init(&j->gating, z, &j->keys, &j->pol, j->now);
	/* chain and DNSKEY are the stored ones, whatever the policy says by now */
	j->gating.p.unsigned_zone = false;
	for (size_t i = 0; z->net.pub && i < z->net.pub->nset; i++)
		if (z->net.pub->set[i].type == T_DNSKEY)
			j->gating.p.dnskey_ttl = z->net.pub->set[i].ttl;
	j->gating.p.nsec3 = z->meta.denial == DENIAL_NSEC3;
	j->gating.p.opt_out = z->meta.opt_out;
	j->gating.p.nsec3_set = z->meta.nsec3_set;
	j->gating.p.nsec3_iterations = z->meta.nsec3_iterations;
	memcpy(j->gating.p.salt, z->meta.salt, z->meta.salt_len);
	j->gating.p.salt_len = z->meta.salt_len;
	return j;
}

void version_start(struct zone *z)
{
	const char *fault = engine_clock_fault(z->e, z->meta.last_inception);
	struct version_job *j;

	if (z->version_job || z->quarantined || z->state == ZONE_CLOSED || z->e->quitting)
		return;
	if (fault) {
		zone_alarm_set(z, ALARM_CLOCK, "%s: nothing is signed", fault);
		z->sign_fails++;
		version_schedule(z);
		return;
	}
	zone_alarm_clear(z, ALARM_CLOCK);
	if (z->earliest_expiry - z->conf->policy->refresh > clk_wall().s) {
		version_schedule(z);
		return;
	}
	if (!downstream_guard_passed(z) || !(j = version_new(z))) {
		timer_set(z->e->timers, &z->sign_timer, MONO_S(2), version_timer, z);
		return;
	}
	z->version_job = j;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_NORMAL, collect, j) != 0) {
		j->err = ZS_ENOMEM;
		version_failed(j);
	}
}

/* Comes again until the job is back: between the mark and the submission there is a moment in which neither
 * is seen. */
static void cancel_timer(void *arg)
{
	version_cancel(arg);
}

void version_cancel(struct zone *z)
{
	struct version_job *j = z->version_job;

	if (!j || z->committing)
		return;
	atomic_store(&j->cancelled, true);
	if (atomic_load(&j->submitted) && j->vault)
		vclient_cancel(j->vault, &j->group->batch);
	timer_set(z->e->timers, &z->retry_timer, MONO_MS(50), cancel_timer, z);
}

/* --- the time of the last good check -------------------------------------------------------------------- */

struct checked_job { struct zone *zone; struct store *store; struct zmeta meta; int64_t checked; int err; };

static void checked_done(void *arg)
{
	struct checked_job *j = arg;
	struct zone *z = j->zone;

	z->committing = false;
	if (damage_is(j->err))
		zone_damaged(z, j->err, "noting a check");
	free(j);
	if (z->state == ZONE_GUARD)
		build_publish_try(z);
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
	    z->build)
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
