/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone reports, and the values that several of them derive. The three serials (upstream's, ours, each
 * secondary's) stand apart. Everything comes from the loop's own structures: nothing here reads the disk.
 * Server-wide reports: report_server.c.
 */
#include <string.h>
#include "base/text.h"
#include "build.h"
#include "ctlproto.h"
#include "report.h"
#include "zone.h"

json_t *report_time(int64_t wall)
{
	char text[WALL_TEXT];

	if (wall <= 0 || wall == INT64_MAX)
		return json_null();
	return json_string(wall_text(WALL(wall), text));
}

const char *report_algorithm(unsigned number)
{
	switch (number) {
	case ALG_RSASHA256: return "RSASHA256";
	case ALG_RSASHA512: return "RSASHA512";
	case ALG_ECDSAP256: return "ECDSAP256SHA256";
	case ALG_ECDSAP384: return "ECDSAP384SHA384";
	case ALG_ED25519: return "ED25519";
	case ALG_ED448: return "ED448";
	default: return NULL;
	}
}

const char *report_role(unsigned use)
{
	return use == KEY_KSK ? "ksk" : use == KEY_ZSK ? "zsk" : use == KEY_CSK ? "csk" : "?";
}

/* --- derived -------------------------------------------------------------------------------------------- */

/* An order that something stands in the way of has an alarm instead. */
static bool order_runs(const struct zone *z)
{
	const struct orders *o = &z->orders;

	if (!z->have_meta || z->quarantined || z->alarm[ALARM_PUBLICATION] || z->alarm[ALARM_CLOCK])
		return false;
	return ((o->have_serial || o->resign_below) && !z->sign_fails) || (o->rollback && !z->local_fails);
}

bool zone_busy(const struct zone *z)
{
	if (z->state == ZONE_GUARD) /* with the alarm it waits for an order or for secondaries, and says so */
		return !z->alarm[ALARM_PUBLICATION];
	if (z->state == ZONE_CLOSED)
		return false;
	return z->state != ZONE_IDLE || z->check_again || order_runs(z) ||
	       (z->check_timer.slot && mono_diff(z->check_timer.at, clk_mono()) <= 0);
}

unsigned zone_alarms(const struct zone *z)
{
	unsigned n = 0;

	for (int a = 0; a < ALARM_COUNT; a++)
		n += z->alarm[a];
	return n;
}

bool zone_serves(const struct zone *z)
{
	return z->net.pub && !z->net.expired;
}

int64_t zone_upstream_expire(const struct zone *z)
{
	struct soa soa;

	if (!z->have_meta || !z->meta.have_upstream || !z->meta.upstream_checked ||
	    soa_read(z->meta.upstream_soa, z->meta.upstream_soa_len, &soa) != 0)
		return 0;
	return z->meta.upstream_checked + soa.expire;
}

int64_t zone_earliest_expiry(const struct zone *z)
{
	return z->earliest_expiry > 0 && z->earliest_expiry < INT64_MAX ? z->earliest_expiry : 0;
}

int64_t zone_ds_not_before(const struct zone *z)
{
	return z->keys.ds_not_before;
}

/* When a timer fires, by the wall clock; 0 = it is not set. */
static int64_t timer_wall(const struct timer *t)
{
	int64_t us;

	if (!t->slot)
		return 0;
	us = mono_diff(t->at, clk_mono());
	return clk_wall().s + (us > 0 ? us / 1000000 : 0);
}

/* --- parts of a zone ------------------------------------------------------------------------------------ */

static json_t *serial_of(bool have, uint32_t serial)
{
	return have ? json_integer(serial) : json_null();
}

static json_t *secondaries(const struct zone *z)
{
	json_t *list = json_array();

	for (size_t i = 0; i < z->nsec; i++) {
		const struct secondary *s = &z->sec[i];

		json_array_append_new(list, json_pack("{s:o, s:o, s:o, s:b, s:b, s:b, s:o}", "name",
						      ctl_text(s->remote->name), "serial",
						      serial_of(s->seen && s->has_soa, s->serial), "seen",
						      report_time(s->seen ? s->seen_at.s : 0), "watched",
						      s->remote->watch, "signed_seen", s->signed_seen,
						      "notify_open", s->notify != NULL, "notified_serial",
						      serial_of(s->notified_ok, s->notified_serial)));
	}
	return list;
}

static json_t *alarms(const struct zone *z)
{
	json_t *list = json_array();

	for (int a = 0; a < ALARM_COUNT; a++)
		if (z->alarm[a])
			json_array_append_new(list, json_pack("{s:s, s:o, s:o}", "alarm",
							      zone_alarm_name((enum zone_alarm)a), "since",
							      report_time(z->alarm_since[a].s), "reason",
							      ctl_text(z->alarm_text[a])));
	return list;
}

static json_t *alarm_names(const struct zone *z)
{
	json_t *list = json_array();

	for (int a = 0; a < ALARM_COUNT; a++)
		if (z->alarm[a])
			json_array_append_new(list, json_string(zone_alarm_name((enum zone_alarm)a)));
	return list;
}

json_t *report_key(const struct zone_key *k)
{
	char id[33];
	const char *alg = report_algorithm(k->algorithm);

	return json_pack("{s:o, s:s, s:i, s:s, s:i, s:s, s:s, s:s, s:o, s:o, s:o}", "tag",
			 k->pub_len ? json_integer(k->tag) : json_null(), "role", report_role(k->use),
			 "algorithm", (int)k->algorithm, "mnemonic", alg ? alg : "", "bits", (int)k->bits,
			 "state", key_state_text(k->state), "keystore", k->keystore, "id",
			 text_hex(id, k->id, sizeof(k->id)), "created", report_time(k->created), "published",
			 report_time(k->published), "active", report_time(k->active));
}

static json_t *keys(const struct zone *z)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < z->keys.n; i++)
		json_array_append_new(list, report_key(&z->keys.key[i]));
	return list;
}

/* What upstream offers and is not taken: serial, reason with names. */
static json_t *held(const struct zone *z)
{
	const char *why = z->alarm[ALARM_HELD] ? z->alarm_text[ALARM_HELD] : "";

	if (!z->alarm[ALARM_HELD] && (!z->held || z->held_vetoes))
		return json_null();
	return json_pack("{s:o, s:o, s:o}", "serial",
			 serial_of(z->held && !z->held_vetoes, z->held_serial), "reason", ctl_text(why),
			 "since",
			 report_time(z->alarm[ALARM_HELD] ? z->alarm_since[ALARM_HELD].s : 0));
}

/* What the gate made of it: the serial, how often, and when it is tried again. */
static json_t *vetoed(const struct zone *z)
{
	if (!z->held || !z->held_vetoes)
		return json_null();
	return json_pack("{s:o, s:o, s:i, s:o}", "serial", serial_of(true, z->held_serial), "reason",
			 ctl_text(z->held_reason), "times", (int)z->held_vetoes, "next_try",
			 report_time(z->held_retry));
}

static json_int_t counter(const atomic_ullong *c)
{
	return (json_int_t)atomic_load_explicit(c, memory_order_relaxed);
}

static json_t *counters(const struct zone *z)
{
	const struct zone_counters *c = &z->count;
	json_t *veto = json_object(), *hold = json_object();

	for (int i = 0; i < GATE_CHECKS; i++)
		if (counter(&c->vetoes[i]))
			json_object_set_new(veto, gate_check_label((enum gate_check)i),
					    json_integer(counter(&c->vetoes[i])));
	for (int i = 0; i < IR_REASONS; i++)
		if (counter(&c->held[i]))
			json_object_set_new(hold, intake_reason_text((enum intake_reason)i),
					    json_integer(counter(&c->held[i])));
	return json_pack("{s:{s:I, s:I, s:I, s:I}, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "signatures_made",
			 "new", counter(&c->made[SIGN_NEW]), "changed", counter(&c->made[SIGN_CHANGED]),
			 "refresh", counter(&c->made[SIGN_REFRESH]), "roll", counter(&c->made[SIGN_ROLL]),
			 "signatures_kept", counter(&c->kept), "bad_signatures", counter(&c->bad_signatures),
			 "records_dropped", counter(&c->dropped), "transfers_ok", counter(&c->xfr_in_ok),
			 "transfers_failed", counter(&c->xfr_in_failed), "vetoes", veto, "held", hold);
}

/* The last damage of what is stored. */
static json_t *damage(const struct zone *z)
{
	const struct zone_damage *d = &z->damage;

	if (!d->at)
		return json_null();
	return json_pack("{s:b, s:o, s:s, s:o, s:I}", "open", z->damaged, "found", report_time(d->at),
			 "reason", d->text, "kept_as", d->file[0] ? ctl_text(d->file) : json_null(), "count",
			 counter(&z->count.damaged));
}

/* The live generation takes no version any more: tries to copy it. */
static json_t *renewal(const struct zone *z)
{
	return zone_is_retired(z) ? json_pack("{s:I}", "tries", (json_int_t)z->renewal.tries) : json_null();
}

/* The round over what is published, and what was found last. */
static json_t *sweep_part(const struct zone *z)
{
	const struct sweep *s = &z->sweep;

	if (!z->net.pub || !z->net.pub->is_signed)
		return json_null();
	return json_pack("{s:o, s:o, s:i, s:I, s:I, s:i, s:o, s:o}", "last_round",
			 report_time(s->ended_wall), "round_began",
			 report_time(s->at.len ? s->began_wall : 0), "progress",
			 s->at.len ? (int)sweep_progress(z) : 0, "values", counter(&s->values), "findings",
			 counter(&s->findings), "to_sign_anew", (int)s->ndue, "found",
			 report_time(s->last_at), "finding", s->last[0] ? ctl_text(s->last) : json_null());
}

static const char *denial_of(const struct zone *z)
{
	if (!z->have_meta || !z->meta.is_signed)
		return "none";
	return z->meta.denial == DENIAL_NSEC3 ? z->meta.opt_out ? "nsec3-opt-out" : "nsec3" : "nsec";
}

static json_t *primaries(const struct zone *z)
{
	json_t *list = json_array();

	for (size_t i = 0; i < z->conf->nupstream; i++)
		json_array_append_new(list, ctl_text(z->conf->upstream[i]->name));
	return list;
}

/* --- zones ---------------------------------------------------------------------------------------------- */

/* How far signing anew has come. */
static json_t *resign(const struct zone *z)
{
	if (!z->orders.resign_below)
		return json_null();
	return json_pack("{s:I, s:I}", "done", (json_int_t)z->resign_done, "of",
			 (json_int_t)(z->resign_of > z->resign_done ? z->resign_of : z->resign_done));
}

/* A generation that is built while changes go out in the live one. */
static json_t *building(const struct zone *z)
{
	static const char *const stages[] = {
		[STAGE_RECORDS] = "records", [STAGE_DENIAL] = "chain", [STAGE_EXPIRY] = "chain",
		[STAGE_CONTENT_DONE] = "chain", [STAGE_SOA] = "gate", [STAGE_SOA_DONE] = "gate",
	};
	const struct build_job *b = z->next;

	if (!b)
		return json_null();
	return json_pack("{s:s, s:s, s:o, s:I, s:I, s:i, s:b}", "stage",
			 b->rounds ? "taking-in" : stages[b->stage], "denial",
			 b->pol.denial == DENIAL_NSEC3 ? b->pol.opt_out ? "nsec3-opt-out" : "nsec3" : "nsec",
			 "since", report_time(b->now.s), "upstream_serial",
			 (json_int_t)b->in->soa_fields.serial, "rrsets", counter(&b->progress), "rounds",
			 (int)b->rounds, "changes_wait", z->barred);
}

/* What was ordered and stands. */
static json_t *orders(const struct zone *z)
{
	const struct orders *o = &z->orders;
	json_t *hold = json_null();

	if (o->hold)
		hold = json_pack("{s:o, s:o, s:o, s:b}", "by", ctl_text(o->hold_who), "reason",
				 ctl_text(o->hold_why), "since", report_time(o->hold_since), "rollback",
				 o->rolled_back);
	return json_pack("{s:o, s:o, s:o}", "hold", hold, "serial", serial_of(o->have_serial, o->serial),
			 "rollback_to", o->rollback ? json_integer((json_int_t)o->rollback) : json_null());
}

json_t *report_zone_brief(struct zone *z)
{
	const struct zmeta *m = &z->meta;
	uint32_t ours = z->net.pub ? z->net.pub->serial : m->signed_serial;

	json_t *o;

	o = json_pack("{s:s, s:s, s:b, s:b, s:o, s:o, s:I, s:o, s:s, s:o}", "zone", z->name, "state",
			 zone_state_text(z->state), "busy", zone_busy(z), "served", zone_serves(z),
			 "upstream_serial", serial_of(z->have_meta && m->have_upstream, m->upstream_serial),
			 "signed_serial", serial_of(z->have_meta, ours), "records",
			 (json_int_t)(z->have_meta ? m->records : 0), "earliest_expiry",
			 report_time(zone_earliest_expiry(z)), "policy", z->conf->policy->name, "alarms",
			 alarm_names(z));
	json_object_set_new(o, "hold", json_boolean(z->orders.hold));
	json_object_set_new(o, "order_failed", json_boolean(z->order_failed));
	json_object_set_new(o, "resign", resign(z));
	json_object_set_new(o, "building", building(z));
	return o;
}

static json_t *version_part(const struct zone *z)
{
	const struct zmeta *m = &z->meta;

	if (!z->have_meta)
		return json_null();
	return json_pack("{s:I, s:b, s:s, s:I, s:I, s:I, s:I, s:I, s:o, s:o, s:o, s:o, s:o}", "number",
			 (json_int_t)z->version, "signed", m->is_signed, "denial", denial_of(z), "records",
			 (json_int_t)m->records, "rrsets", (json_int_t)m->rrsets, "signatures",
			 (json_int_t)m->signatures, "delegations", (json_int_t)m->cuts, "largest_ttl",
			 (json_int_t)m->largest_ttl, "transferred", report_time(m->transferred), "signed_at",
			 report_time(m->signed_at), "published", report_time(m->published), "earliest_expiry",
			 report_time(zone_earliest_expiry(z)), "next_refresh",
			 report_time(timer_wall(&z->sign_timer)));
}

static json_t *upstream_part(const struct zone *z)
{
	const struct zmeta *m = &z->meta;

	return json_pack("{s:o, s:s, s:o, s:o, s:o, s:o, s:i, s:b}", "primaries", primaries(z), "asking",
			 z->conf->nupstream ? z->conf->upstream[z->primary % z->conf->nupstream]->name : "",
			 "last_check", report_time(z->have_meta ? m->upstream_checked : 0), "next_check",
			 report_time(z->check_timer.slot ? z->check_due.s : 0), "expire",
			 report_time(zone_upstream_expire(z)), "serve_end",
			 report_time(upstream_serve_end(z)), "failed_rounds", (int)z->check_fails,
			 "expired", z->net.expired);
}

json_t *report_zone(struct zone *z)
{
	json_t *o = report_zone_brief(z);
	int64_t ds = zone_ds_not_before(z);

	json_object_set_new(o, "alarms", alarms(z));
	json_object_set_new(o, "since", report_time(z->state_since.s));
	json_object_set_new(o, "version", version_part(z));
	json_object_set_new(o, "upstream", upstream_part(z));
	json_object_set_new(o, "secondaries", secondaries(z));
	json_object_set_new(o, "keys", keys(z));
	json_object_set_new(o, "held", held(z));
	json_object_set_new(o, "orders", orders(z));
	json_object_set_new(o, "damage", damage(z));
	json_object_set_new(o, "renewal", renewal(z));
	json_object_set_new(o, "vetoed", vetoed(z));
	json_object_set_new(o, "sweep", sweep_part(z));
	json_object_set_new(o, "ds_not_before", report_time(ds));
	json_object_set_new(o, "verify",
			    z->conf->policy->verify_one_in > 1 ? json_string("partial") : json_string("all"));
	json_object_set_new(o, "counters", counters(z));
	return o;
}
