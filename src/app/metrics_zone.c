/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Metrics of single zones: up to `stats: per-zone` auto's bound, or as ordered. Without them the counters
 * stand once, summed over all zones and without the zone label. Labels of checks and reasons that never
 * happened are left out: 40 of them for each zone would be most of the page.
 */
#include <string.h>
#include "metrics.h"
#include "mtext.h"
#include "report.h"
#include "zone.h"

static uint64_t get(const atomic_ullong *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

#define EACH(e, z)                                 \
	for (size_t i_ = 0; i_ < (e)->nzone; i_++) \
		for (const struct zone *z = (e)->zone[i_]; z; z = NULL)

/* A gauge that some zones have: one value of a zone, 0 = none. */
static void times(const struct engine *e, struct mtext *m, const char *name, const char *help,
		  int64_t (*of)(const struct zone *))
{
	mtext_family(m, name, M_GAUGE, help);
	EACH(e, z) {
		int64_t t = of(z);

		if (t)
			mtext_i64(m, LABELS({ "zone", z->name }), t);
	}
}

static int64_t transferred(const struct zone *z) { return z->have_meta ? z->meta.transferred : 0; }
static int64_t signed_at(const struct zone *z) { return z->have_meta ? z->meta.signed_at : 0; }
static int64_t published(const struct zone *z) { return z->have_meta ? z->meta.published : 0; }
static int64_t checked(const struct zone *z) { return z->have_meta ? z->meta.upstream_checked : 0; }

static int64_t swept(const struct zone *z) { return z->sweep.ended_wall; }

static void serials(const struct engine *e, struct mtext *m)
{
	mtext_family(m, "zoneseal_zone_serial", M_GAUGE,
		     "SOA serial: upstream's as taken last, and ours as published.");
	EACH(e, z) {
		if (z->have_meta && z->meta.have_upstream)
			mtext_u64(m, LABELS({ "zone", z->name }, { "side", "upstream" }),
				  z->meta.upstream_serial);
		if (z->net.pub)
			mtext_u64(m, LABELS({ "zone", z->name }, { "side", "signed" }), z->net.pub->serial);
	}
	mtext_family(m, "zoneseal_secondary_serial", M_GAUGE,
		     "SOA serial that a secondary was seen with last.");
	EACH(e, z)
		for (size_t i = 0; i < z->nsec; i++)
			if (z->sec[i].seen && z->sec[i].has_soa)
				mtext_u64(m,
					  LABELS({ "zone", z->name },
						 { "secondary", z->sec[i].remote->name }),
					  z->sec[i].serial);
}

static void states(const struct engine *e, struct mtext *m)
{
	mtext_family(m, "zoneseal_zone_state", M_GAUGE, "1 for the state that the zone's pipeline is in.");
	EACH(e, z)
		for (int s = 0; s < ZONE_STATE_COUNT; s++)
			mtext_u64(m,
				  LABELS({ "zone", z->name },
					 { "state", zone_state_text((enum zone_state)s) }),
				  z->state == (enum zone_state)s);
	mtext_family(m, "zoneseal_zone_alarm", M_GAUGE, "1 while the alarm is set.");
	EACH(e, z)
		for (int a = 0; a < ALARM_COUNT; a++)
			mtext_u64(m,
				  LABELS({ "zone", z->name },
					 { "alarm", zone_alarm_name((enum zone_alarm)a) }),
				  z->alarm[a]);
	mtext_family(m, "zoneseal_zone_building", M_GAUGE,
		     "1 while another chain is built and changes go out in the live one.");
	EACH(e, z)
		mtext_u64(m, LABELS({ "zone", z->name }), z->next != NULL);
	mtext_family(m, "zoneseal_zone_served", M_GAUGE,
		     "1 when the zone is answered from a published version.");
	EACH(e, z)
		mtext_u64(m, LABELS({ "zone", z->name }), zone_serves(z));
}

static void sizes(const struct engine *e, struct mtext *m)
{
	mtext_family(m, "zoneseal_zone_records", M_GAUGE,
		     "Records of the published version as upstream sent them.");
	EACH(e, z)
		if (z->have_meta)
			mtext_u64(m, LABELS({ "zone", z->name }), z->meta.records);
	mtext_family(m, "zoneseal_zone_store_bytes", M_GAUGE, "Octets of the live generation's file.");
	EACH(e, z)
		if (z->net.pub)
			mtext_u64(m, LABELS({ "zone", z->name }), z->net.pub->store_octets);
	mtext_family(m, "zoneseal_zone_pinned_bytes", M_GAUGE,
		     "Octets of the store that snapshots of old versions keep from reuse.");
	EACH(e, z)
		if (z->net.pub)
			mtext_u64(m, LABELS({ "zone", z->name }), z->pinned);
	mtext_family(m, "zoneseal_zone_signatures", M_GAUGE, "Signatures in the published version.");
	EACH(e, z)
		if (z->have_meta)
			mtext_u64(m, LABELS({ "zone", z->name }), z->meta.signatures);
}

static void all_times(const struct engine *e, struct mtext *m)
{
	times(e, m, "zoneseal_zone_rrsig_earliest_expiry_timestamp_seconds",
	      "End of the signature that ends first.", zone_earliest_expiry);
	times(e, m, "zoneseal_zone_upstream_expire_timestamp_seconds",
	      "When upstream's SOA expire passes unless a primary answers.", zone_upstream_expire);
	times(e, m, "zoneseal_zone_upstream_checked_timestamp_seconds",
	      "Last time that a primary agreed or a transfer was taken.", checked);
	times(e, m, "zoneseal_zone_last_transfer_timestamp_seconds",
	      "When the published content was transferred.", transferred);
	times(e, m, "zoneseal_zone_last_sign_timestamp_seconds", "When the published version was signed.",
	      signed_at);
	times(e, m, "zoneseal_zone_last_publish_timestamp_seconds",
	      "When the published version was published.", published);
	times(e, m, "zoneseal_sweep_last_round_timestamp_seconds",
	      "When the background verification had last seen all of the published zone.", swept);
}

/* --- counters: of each zone, or summed ------------------------------------------------------------------ */

/* The pick-th counter of a zone. */
typedef uint64_t (*pick_fn)(const struct zone *z, int which);
typedef const char *(*label_fn)(int which);

static uint64_t made(const struct zone *z, int i) { return get(&z->count.made[i]); }
static uint64_t kept(const struct zone *z, int i) { return get(&z->count.kept); }
static uint64_t vetoes(const struct zone *z, int i) { return get(&z->count.vetoes[i]); }
static uint64_t holds(const struct zone *z, int i) { return get(&z->count.held[i]); }
static uint64_t dropped(const struct zone *z, int i) { return get(&z->count.dropped); }
static uint64_t bad_sigs(const struct zone *z, int i) { return get(&z->count.bad_signatures); }

static uint64_t swept_values(const struct zone *z, int i) { return get(&z->sweep.values); }
static uint64_t swept_found(const struct zone *z, int i) { return get(&z->sweep.findings); }
static uint64_t damaged(const struct zone *z, int i) { return get(&z->count.damaged); }

static const char *made_label(int i)
{
	static const char *const text[SIGN_REASONS] = { [SIGN_NEW] = "new",
							[SIGN_CHANGED] = "changed",
							[SIGN_REFRESH] = "refresh",
							[SIGN_ROLL] = "roll" };
	return text[i];
}

static const char *veto_label(int i) { return gate_check_label((enum gate_check)i); }
static const char *hold_label(int i) { return intake_reason_text((enum intake_reason)i); }

struct counter { const char *name, *help, *label; int n; pick_fn pick; label_fn text; bool sparse; };

static const struct counter counters[] = {
	{ "zoneseal_signatures_total", "Signatures made by reason.", "reason", SIGN_REASONS, made, made_label,
	  false },
	{ "zoneseal_signatures_kept_total", "Signatures that could stay when a new version was made.", NULL,
	  1, kept, NULL, false },
	{ "zoneseal_gate_vetoes_total", "Candidates that the gate vetoed, by the check that found it.",
	  "check", GATE_CHECKS, vetoes, veto_label, true },
	{ "zoneseal_held_total", "Inputs that were held, by reason.", "reason", IR_REASONS, holds, hold_label,
	  true },
	{ "zoneseal_records_dropped_total", "Records of upstream that were dropped or stripped.", NULL, 1,
	  dropped, NULL, false },
	{ "zoneseal_bad_signatures_total",
	  "Signatures of a key store that did not verify and were made again.", NULL, 1, bad_sigs, NULL,
	  false },
	{ "zoneseal_sweep_values_total", "Stored values that the background verification has looked at.",
	  NULL, 1, swept_values, NULL, false },
	{ "zoneseal_sweep_findings_total", "What the background verification found wrong in published zones.",
	  NULL, 1, swept_found, NULL, false },
	{ "zoneseal_store_damaged_total", "Stored generations in which damage was found.", NULL, 1, damaged,
	  NULL, false },
};

static void counter_zone(const struct counter *c, struct mtext *m, const struct zone *z)
{
	for (int i = 0; i < c->n; i++) {
		uint64_t v = c->pick(z, i);

		if (c->sparse && v == 0)
			continue;
		if (c->label)
			mtext_u64(m, LABELS({ "zone", z->name }, { c->label, c->text(i) }), v);
		else
			mtext_u64(m, LABELS({ "zone", z->name }), v);
	}
}

static void counter_sum(const struct counter *c, struct mtext *m, const struct engine *e)
{
	for (int i = 0; i < c->n; i++) {
		uint64_t v = 0;

		EACH(e, z)
			v += c->pick(z, i);
		if (c->label)
			mtext_u64(m, LABELS({ c->label, c->text(i) }), v);
		else
			mtext_u64(m, NO_LABELS, v);
	}
}

void metrics_zones(struct engine *e, struct mtext *m)
{
	bool each = report_per_zone(e);

	if (each) {
		serials(e, m);
		states(e, m);
		sizes(e, m);
		all_times(e, m);
	}
	for (size_t k = 0; k < sizeof(counters) / sizeof(counters[0]); k++) {
		mtext_family(m, counters[k].name, M_COUNTER, counters[k].help);
		if (!each)
			counter_sum(&counters[k], m, e);
		else
			EACH(e, z)
				counter_zone(&counters[k], m, z);
	}
}
