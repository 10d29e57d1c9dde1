/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Metrics of the daemon as a whole: zones counted, transfers, NOTIFY, key stores, commits, the DNS server.
 * Single zones: metrics_zone.c. Counters never go back but with the process.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "gate/gate.h"
#include "metrics.h"
#include "mtext.h"
#include "report.h"
#include "zone.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

static uint64_t get(const atomic_ullong *c)
{
	return atomic_load_explicit(c, memory_order_relaxed);
}

static void zone_counts(const struct engine *e, struct mtext *m)
{
	uint64_t state[ZONE_STATE_COUNT] = { 0 }, alarm[ALARM_COUNT] = { 0 }, served = 0;

	for (size_t i = 0; i < e->nzone; i++) {
		state[e->zone[i]->state]++;
		served += zone_serves(e->zone[i]);
		for (int a = 0; a < ALARM_COUNT; a++)
			alarm[a] += e->zone[i]->alarm[a];
	}
	mtext_family(m, "zoneseal_zones", M_GAUGE, "Configured zones by the state of their pipeline.");
	for (int s = 0; s < ZONE_STATE_COUNT; s++)
		mtext_u64(m, LABELS({ "state", zone_state_text((enum zone_state)s) }), state[s]);
	mtext_family(m, "zoneseal_zones_served", M_GAUGE,
		     "Zones that are answered from a published version.");
	mtext_u64(m, NO_LABELS, served);
	mtext_family(m, "zoneseal_zones_alarmed", M_GAUGE, "Zones with an alarm, by alarm.");
	for (int a = 0; a < ALARM_COUNT; a++)
		mtext_u64(m, LABELS({ "alarm", zone_alarm_name((enum zone_alarm)a) }), alarm[a]);
}

static void transfers(const struct engine *e, struct mtext *m)
{
	const struct server_stats *s = e->server ? server_stats(e->server) : NULL;
	static const char *const way[] = { "in", "out" }, *const type[] = { "axfr", "ixfr", "uptodate" },
				 *const result[] = { "ok", "failed", "given-up" };
	/* what needed no stream: UDP, and "you have it" */
	const uint64_t at_once[3] = { 0, s ? s->ixfr_udp : 0, s ? s->ixfr_uptodate : 0 };

	mtext_family(m, "zoneseal_xfr_total", M_COUNTER,
		     "Zone transfers that ended; given up are those of old versions that kept the store from "
		     "reusing its file too long or too much of it.");
	for (int d = 0; d < 2; d++)
		for (int t = 0; t < 3; t++)
			for (int r = 0; r < (d ? 3 : 2); r++)
				mtext_u64(m,
					  LABELS({ "direction", way[d] }, { "type", type[t] },
						 { "result", result[r] }),
					  get(&e->count.xfr[d][t][r]) +
						  (d == 1 && r == 0 ? at_once[t] : 0));
	mtext_family(m, "zoneseal_transfers_damaged_total", M_COUNTER,
		     "Transfers out that were cut because a stored value was damaged.");
	mtext_u64(m, NO_LABELS, get(&e->count.xfr_damaged));
	mtext_family(m, "zoneseal_notify_total", M_COUNTER,
		     "NOTIFY messages received, and those sent that ended with or without a reply.");
	for (int d = 0; d < 2; d++)
		for (int r = 0; r < 2; r++)
			mtext_u64(m, LABELS({ "direction", way[d] }, { "result", result[r] }),
				  get(&e->count.notify[d][r]));
}

/* One family after the other over all key stores: samples of a family stand together. */
static void keystore_gauges(struct mtext *m, const struct engine *e, const struct vclient_stats *s)
{
	mtext_family(m, "zoneseal_keystore_up", M_GAUGE,
		     "1 when the key store's vault is attached and has usable sessions.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].up);
	mtext_family(m, "zoneseal_keystore_sessions", M_GAUGE, "Sessions that the vault has open.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].sessions);
	mtext_family(m, "zoneseal_keystore_sessions_max", M_GAUGE, "Sessions that the vault may open.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].sessions_max);
	mtext_family(m, "zoneseal_keystore_queue_length", M_GAUGE, "Sign requests that wait for a session.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].queued);
	mtext_family(m, "zoneseal_keystore_in_flight", M_GAUGE, "Sign requests that the vault has.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].in_flight);
}

static void keystore_counters(struct mtext *m, const struct engine *e, const struct vclient_stats *s)
{
	mtext_family(m, "zoneseal_keystore_operations_total", M_COUNTER,
		     "Key store operations by result; refused: by the message guard.");
	for (size_t i = 0; i < e->nks; i++) {
		const char *name = e->ks[i].name;

		mtext_u64(m, LABELS({ "keystore", name }, { "op", "sign" }, { "result", "ok" }),
			  s[i].signed_ok);
		mtext_u64(m, LABELS({ "keystore", name }, { "op", "sign" }, { "result", "failed" }),
			  s[i].failed);
		mtext_u64(m, LABELS({ "keystore", name }, { "op", "sign" }, { "result", "refused" }),
			  s[i].refused);
		mtext_u64(m, LABELS({ "keystore", name }, { "op", "sign" }, { "result", "poisoned" }),
			  s[i].poisoned);
	}
	mtext_family(m, "zoneseal_keystore_resent_total", M_COUNTER,
		     "Sign requests sent again because their vault died.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].resent);
	mtext_family(m, "zoneseal_keystore_restarts_total", M_COUNTER,
		     "Times that a vault died or was replaced.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_u64(m, LABELS({ "keystore", e->ks[i].name }), s[i].restarts);
	mtext_family(m, "zoneseal_sign_duration_seconds", M_HISTOGRAM,
		     "Time that one signature took in the key store.");
	for (size_t i = 0; i < e->nks; i++)
		mtext_histogram(m, LABELS({ "keystore", e->ks[i].name }), vclient_bucket_bounds, s[i].bucket,
				VCLIENT_BUCKETS, s[i].seconds_sum);
}

static void keystores(const struct engine *e, struct mtext *m)
{
	struct vclient_stats *s = calloc(e->nks + 1, sizeof(*s));

	if (!s)
		return;
	for (size_t i = 0; i < e->nks; i++)
		if (e->ks[i].client)
			vclient_stats(e->ks[i].client, &s[i]);
	keystore_gauges(m, e, s);
	keystore_counters(m, e, s);
	free(s);
}

static void commits(const struct engine *e, struct mtext *m)
{
	uint64_t n[VCLIENT_BUCKETS];

	for (int i = 0; i < VCLIENT_BUCKETS; i++)
		n[i] = get(&e->count.commit_bucket[i]);
	mtext_family(m, "zoneseal_commit_duration_seconds", M_HISTOGRAM,
		     "Time that a commit to the store took, disk included.");
	mtext_histogram(m, NO_LABELS, vclient_bucket_bounds, n, VCLIENT_BUCKETS,
			(double)get(&e->count.commit_us) / 1e6);
}

static void rcodes(struct mtext *m, const struct server_stats *s)
{
	static const char *const name[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN",
					    "NOTIMP",  "REFUSED", "YXDOMAIN", "YXRRSET",
					    "NXRRSET", "NOTAUTH", "NOTZONE" };
	char number[16];

	mtext_family(m, "zoneseal_responses_total", M_COUNTER, "DNS responses by RCODE.");
	for (unsigned i = 0; i < SERVER_RCODES; i++) {
		if (i > 5 && s->answers_rcode[i] == 0)
			continue;
		snprintf(number, sizeof(number), "RCODE%u", i);
		mtext_u64(m, LABELS({ "rcode", i < sizeof(name) / sizeof(name[0]) ? name[i] : number }),
			  s->answers_rcode[i]);
	}
}

static void server_part(const struct engine *e, struct mtext *m)
{
	const struct server_stats *s = e->server ? server_stats(e->server) : NULL;

	if (!s)
		return;
	mtext_family(m, "zoneseal_queries_total", M_COUNTER, "DNS messages received by transport.");
	mtext_u64(m, LABELS({ "transport", "udp" }), s->queries_udp);
	mtext_u64(m, LABELS({ "transport", "tcp" }), s->queries_tcp);
	rcodes(m, s);
	mtext_family(m, "zoneseal_notify_refused_total", M_COUNTER,
		     "NOTIFY messages refused by access list or TSIG.");
	mtext_u64(m, NO_LABELS, s->notify_in_refused);
	mtext_family(m, "zoneseal_tsig_failures_total", M_COUNTER, "Messages whose TSIG did not verify.");
	mtext_u64(m, NO_LABELS, s->tsig_bad);
	mtext_family(m, "zoneseal_malformed_total", M_COUNTER, "Messages that could not be parsed.");
	mtext_u64(m, NO_LABELS, s->malformed);
	mtext_family(m, "zoneseal_xfr_out_started_total", M_COUNTER,
		     "Transfers to secondaries that were started.");
	mtext_u64(m, NO_LABELS, s->xfr_started);
	mtext_family(m, "zoneseal_xfr_out_refused_total", M_COUNTER, "Transfers that were refused.");
	mtext_u64(m, NO_LABELS, s->xfr_refused);
	mtext_family(m, "zoneseal_ixfr_out_full_total", M_COUNTER,
		     "IXFR queries that were answered with the whole zone.");
	mtext_u64(m, NO_LABELS, s->ixfr_as_axfr);
	mtext_family(m, "zoneseal_xfr_out_running", M_GAUGE, "Transfers to secondaries under way.");
	mtext_u64(m, NO_LABELS, s->xfr_running);
	mtext_family(m, "zoneseal_tcp_connections", M_GAUGE, "Open TCP connections of the DNS server.");
	mtext_u64(m, NO_LABELS, s->tcp_open);
	mtext_family(m, "zoneseal_tcp_accepted_total", M_COUNTER, "TCP connections accepted.");
	mtext_u64(m, NO_LABELS, s->tcp_accepted);
	mtext_family(m, "zoneseal_tcp_refused_total", M_COUNTER, "TCP connections turned away by a limit.");
	mtext_u64(m, NO_LABELS, s->tcp_refused);
}

void metrics_render(struct engine *e, struct mtext *m)
{
	mtext_family(m, "zoneseal_build_info", M_INFO, "Version of zoneseal.");
	mtext_u64(m, LABELS({ "version", PACKAGE_VERSION }), 1);
	mtext_family(m, "zoneseal_clock_plausible", M_GAUGE,
		     "0 while the wall clock is not believed and nothing is signed.");
	mtext_u64(m, NO_LABELS, engine_clock_fault(e, 0) == NULL);
	mtext_family(m, "zoneseal_gate_table_doubts_total", M_COUNTER,
		     "Signatures about which a key's table and EVP disagreed: its table is off since.");
	mtext_u64(m, NO_LABELS, gate_tables_doubts(e->tables));
	zone_counts(e, m);
	transfers(e, m);
	keystores(e, m);
	commits(e, m);
	server_part(e, m);
	metrics_zones(e, m);
}
