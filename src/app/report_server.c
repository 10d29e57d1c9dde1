/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reports of the whole daemon: status, key stores, and what /stats shows. Loop only, from memory. */
#include <string.h>
#include <unistd.h>
#include "base/log.h"
#include "ctlproto.h"
#include "report.h"
#include "zone.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif

bool report_per_zone(const struct engine *e)
{
	int how = e->setup ? e->setup->conf->stats_per_zone : 0;

	return how > 0 || (how < 0 && e->nzone <= PER_ZONE_AUTO);
}

static json_t *zone_sums(const struct engine *e)
{
	size_t state[ZONE_STATE_COUNT] = { 0 }, alarm[ALARM_COUNT] = { 0 }, served = 0, alarmed = 0;
	json_t *states = json_object(), *alarms = json_object();

	for (size_t i = 0; i < e->nzone; i++) {
		const struct zone *z = e->zone[i];

		state[z->state]++;
		served += zone_serves(z);
		alarmed += zone_alarms(z) > 0;
		for (int a = 0; a < ALARM_COUNT; a++)
			alarm[a] += z->alarm[a];
	}
	for (int s = 0; s < ZONE_STATE_COUNT; s++)
		json_object_set_new(states, zone_state_text((enum zone_state)s),
				    json_integer((json_int_t)state[s]));
	for (int a = 0; a < ALARM_COUNT; a++)
		json_object_set_new(alarms, zone_alarm_name((enum zone_alarm)a),
				    json_integer((json_int_t)alarm[a]));
	return json_pack("{s:I, s:I, s:I, s:o, s:o}", "configured", (json_int_t)e->nzone, "served",
			 (json_int_t)served, "alarmed", (json_int_t)alarmed, "states", states, "alarms",
			 alarms);
}

static json_t *server_sums(const struct engine *e)
{
	const struct server_stats *s = e->server ? server_stats(e->server) : NULL;

	if (!s)
		return json_null();
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "queries_udp", (json_int_t)s->queries_udp,
			 "queries_tcp", (json_int_t)s->queries_tcp, "tcp_connections",
			 (json_int_t)s->tcp_open, "transfers_out_running", (json_int_t)s->xfr_running,
			 "transfers_out_refused", (json_int_t)s->xfr_refused, "tsig_bad",
			 (json_int_t)s->tsig_bad, "malformed", (json_int_t)s->malformed);
}

static size_t transfers_in(const struct engine *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->nzone; i++)
		n += e->zone[i]->state == ZONE_TRANSFER;
	return n;
}

json_t *report_status(struct engine *e)
{
	const char *clock = engine_clock_fault(e, 0);

	return json_pack("{s:s, s:i, s:o, s:I, s:s, s:o, s:b, s:I, s:o, s:o, s:o}", "version",
			 PACKAGE_VERSION, "pid", (int)getpid(), "started", report_time(e->started.s),
			 "uptime", (json_int_t)(clk_wall().s - e->started.s), "log_level",
			 log_level_text(log_get_level()), "clock_fault",
			 clock ? json_string(clock) : json_null(), "stopping", e->quitting,
			 "transfers_in_running", (json_int_t)transfers_in(e), "zones", zone_sums(e), "server",
			 server_sums(e), "keystores", report_keystores(e));
}

json_t *report_keystore(struct engine *e, struct keystore *k)
{
	const struct conf_keystore *c = conf_keystore(e->setup->conf, k->name);
	struct vclient_stats s;

	memset(&s, 0, sizeof(s));
	if (k->client)
		vclient_stats(k->client, &s);
	return json_pack("{s:s, s:s, s:b, s:b, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f}",
			 "keystore", k->name, "backend", c ? c->file ? "file" : "pkcs11" : "", "configured",
			 k->in_conf, "up", s.up, "state", ctl_text(s.state), "sessions",
			 (json_int_t)s.sessions, "sessions_max", (json_int_t)s.sessions_max, "queued",
			 (json_int_t)s.queued, "in_flight", (json_int_t)s.in_flight, "signed",
			 (json_int_t)s.signed_ok, "failed", (json_int_t)s.failed, "refused",
			 (json_int_t)s.refused, "resent", (json_int_t)s.resent, "poisoned",
			 (json_int_t)s.poisoned, "restarts", (json_int_t)s.restarts, "seconds",
			 s.seconds_sum);
}

json_t *report_keystores(struct engine *e)
{
	json_t *list = json_array();

	for (size_t i = 0; i < e->nks; i++)
		json_array_append_new(list, report_keystore(e, &e->ks[i]));
	return list;
}

json_t *report_stats(struct engine *e, bool zones)
{
	json_t *o = json_pack("{s:i, s:o}", "v", CTL_VERSION, "status", report_status(e)), *list;

	if (!zones)
		return o;
	list = json_array();
	for (size_t i = 0; i < e->nzone; i++)
		json_array_append_new(list, report_zone(e->zone[i]));
	json_object_set_new(o, "zones", list);
	return o;
}
