/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `check`: one line for a monitoring plugin, worst things first. Critical: what will make or makes answers
 * bogus or absent. Warning: what an operator has to look at while the last good version is served. Loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ctlproto.h"
#include "report.h"
#include "verbs.h"
#include "zone.h"

#define NAMED 5 /* zones that the line names */

enum health { HEALTH_OK, HEALTH_WARNING, HEALTH_CRITICAL, HEALTH_UNKNOWN };

static const enum health of_alarm[ALARM_COUNT] = {
	[ALARM_HELD] = HEALTH_WARNING, [ALARM_VETO] = HEALTH_CRITICAL, [ALARM_UPSTREAM] = HEALTH_WARNING,
	[ALARM_EXPIRED] = HEALTH_CRITICAL, [ALARM_SIGNING] = HEALTH_CRITICAL, [ALARM_STORE] = HEALTH_CRITICAL,
	[ALARM_PUBLICATION] = HEALTH_WARNING, [ALARM_CLOCK] = HEALTH_CRITICAL,
	[ALARM_SWEEP] = HEALTH_CRITICAL,
};

struct tally {
	size_t n[HEALTH_UNKNOWN];
	size_t zones;
	int64_t runway;         /* seconds to the earliest signature end; INT64_MAX: nothing signed */
	char text[2][1024];     /* [0] warnings, [1] critical ones */
};

static enum health worse(enum health a, enum health b)
{
	return a > b ? a : b;
}

/* A signature should have been replaced when `refresh` was left: half of that gone is a warning,
 * three quarters critical. */
static enum health of_runway(const struct zone *z, int64_t left)
{
	int64_t refresh = z->conf->policy->refresh;

	return left < refresh / 4 ? HEALTH_CRITICAL : left < refresh / 2 ? HEALTH_WARNING : HEALTH_OK;
}

static void name_it(struct tally *t, enum health h, const char *what, const char *why)
{
	char *text = t->text[h - HEALTH_WARNING];
	size_t n = strlen(text);

	if (t->n[h] <= NAMED && n < sizeof(t->text[0]) - 1)
		snprintf(text + n, sizeof(t->text[0]) - n, "%s%.255s %.40s", n ? ", " : "", what, why);
	else if (t->n[h] == NAMED + 1 && n < sizeof(t->text[0]) - 1)
		snprintf(text + n, sizeof(t->text[0]) - n, ", ...");
}

static void judge_zone(struct tally *t, const struct zone *z, int64_t now)
{
	int64_t end = zone_earliest_expiry(z);
	enum health h = HEALTH_OK, a;
	const char *why = "";

	for (int i = 0; i < ALARM_COUNT; i++)
		if (z->alarm[i] && (a = worse(h, of_alarm[i])) != h) {
			h = a;
			why = zone_alarm_name((enum zone_alarm)i);
		}
	if (end && (a = of_runway(z, end - now)) > h) {
		h = a;
		why = "signatures end soon";
	}
	if (!z->net.pub && z->state != ZONE_OPENING && h == HEALTH_OK) {
		h = HEALTH_WARNING;
		why = "has no version";
	}
	if (end && end - now < t->runway)
		t->runway = end - now;
	t->zones++;
	t->n[h]++;
	if (h != HEALTH_OK)
		name_it(t, h, z->name, why);
}

static void judge_keystores(struct tally *t, struct engine *e)
{
	for (size_t i = 0; i < e->nks; i++) {
		struct vclient_stats s;

		if (!e->ks[i].in_conf || !e->ks[i].client)
			continue;
		vclient_stats(e->ks[i].client, &s);
		if (s.up)
			continue;
		t->n[HEALTH_WARNING]++;
		name_it(t, HEALTH_WARNING, e->ks[i].name, "key store down");
	}
}

void verb_check(struct ctl *c)
{
	static const char *const word[] = { "OK", "WARNING", "CRITICAL", "UNKNOWN" };
	struct engine *e = ctl_engine(c);
	struct tally t = { .runway = INT64_MAX };
	enum health h;
	json_t *perf;

	for (size_t i = 0; i < e->nzone; i++)
		if (args_name_zone(ctl_args(c), e->zone[i]))
			judge_zone(&t, e->zone[i], clk_wall().s);
	judge_keystores(&t, e);
	h = t.n[HEALTH_CRITICAL] ? HEALTH_CRITICAL : t.n[HEALTH_WARNING] ? HEALTH_WARNING : HEALTH_OK;
	if (t.zones == 0 && json_array_size(json_object_get(ctl_args(c), "zones")) > 0)
		h = HEALTH_UNKNOWN;
	perf = json_pack("{s:I, s:I, s:I, s:o}", "zones", (json_int_t)t.zones, "critical",
			 (json_int_t)t.n[HEALTH_CRITICAL], "warning", (json_int_t)t.n[HEALTH_WARNING],
			 "runway", t.runway == INT64_MAX ? json_null() : json_integer(t.runway));
	ctl_data(c, json_pack("{s:s, s:i, s:o, s:o, s:o}", "status", word[h], "code", (int)h, "critical",
			      ctl_text(t.text[1]), "warning", ctl_text(t.text[0]), "perf", perf));
	ctl_end(c, (int)h);
}
