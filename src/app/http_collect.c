/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The loop's part of the stats port: bodies of /metrics, /stats, /healthz, /readyz and of the page for
 * people, rendered from memory into one buffer. Asked by http.c through the mailbox.
 */
#include <stdlib.h>
#include <string.h>
#include <jansson.h>
#include "http_priv.h"
#include "metrics.h"
#include "mtext.h"
#include "report.h"
#include "zone.h"

#define READY_NAMES 20
#define PAGE_ZONES 500

/* --- health --------------------------------------------------------------------------------------------- */

/* That this runs says that the loop ticks. Vaults that are down cost a delay,
 * not health: /readyz?strict=1 tells. */
static int health(const struct engine *e, struct wr *w)
{
	bool ok = e->parent && !e->quitting;

	wr_printf(w, "%s\n", ok ? "ok" : "stopping");
	return ok ? 200 : 503;
}

/* NULL, or why this zone makes us not ready. */
static const char *zone_unready(const struct zone *z, bool strict)
{
	if (z->state == ZONE_OPENING)
		return "its store is being opened";
	if (z->have_meta && !zone_serves(z))
		return z->net.expired ? "expired" : "its version is not served";
	if (strict && !z->net.pub)
		return "has no version";
	for (int a = 0; strict && a < ALARM_COUNT; a++)
		if (z->alarm[a])
			return zone_alarm_name((enum zone_alarm)a);
	return NULL;
}

static int ready(const struct engine *e, bool strict, struct wr *w)
{
	size_t bad = 0, served = 0;
	bool base = e->setup && e->running && e->server && !e->quitting;

	wr_printf(w, "config %s\nsockets %s\n", e->setup ? "loaded" : "missing",
		  e->server && e->running ? "bound" : "not bound");
	for (size_t i = 0; i < e->nzone; i++) {
		const char *why = zone_unready(e->zone[i], strict);

		served += zone_serves(e->zone[i]);
		if (why && bad++ < READY_NAMES)
			wr_printf(w, "zone %.1030s %s\n", e->zone[i]->name, why);
	}
	for (size_t i = 0; strict && i < e->nks; i++) {
		struct vclient_stats s = { .up = true };

		if (e->ks[i].in_conf && e->ks[i].client)
			vclient_stats(e->ks[i].client, &s);
		if (!s.up) {
			bad++;
			wr_printf(w, "keystore %.200s down\n", e->ks[i].name);
		}
	}
	wr_printf(w, "zones %zu served %zu findings %zu\n%s\n", e->nzone, served, bad,
		  base && !bad ? "ready" : "not ready");
	return base && !bad ? 200 : 503;
}

/* --- JSON ----------------------------------------------------------------------------------------------- */

static int dump_part(const char *p, size_t len, void *arg)
{
	wr_bytes(arg, p, len);
	return ((struct wr *)arg)->err ? -1 : 0;
}

static int stats(struct engine *e, struct wr *w)
{
	json_t *o = report_stats(e, report_per_zone(e));

	if (!o || json_dump_callback(o, dump_part, w, JSON_COMPACT) != 0)
		w->err = w->err ? w->err : -1;
	wr_u8(w, '\n');
	json_decref(o);
	return 200;
}

/* --- the page ------------------------------------------------------------------------------------------- */

static void html(struct wr *w, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '&':
			wr_bytes(w, "&amp;", 5);
			break;
		case '<':
			wr_bytes(w, "&lt;", 4);
			break;
		case '>':
			wr_bytes(w, "&gt;", 4);
			break;
		case '"':
			wr_bytes(w, "&quot;", 6);
			break;
		default:
			wr_u8(w, (uint8_t)*s);
		}
}

static void cell_serial(struct wr *w, bool have, uint32_t serial)
{
	if (have)
		wr_printf(w, "<td class=n>%u</td>", serial);
	else
		wr_printf(w, "<td class=n>&ndash;</td>");
}

static void page_zone(struct wr *w, const struct zone *z)
{
	char text[WALL_TEXT];
	int64_t end = zone_earliest_expiry(z);

	wr_printf(w, "<tr%s><td>", zone_alarms(z) ? " class=a" : "");
	html(w, z->name);
	wr_printf(w, "</td><td>%s</td>", zone_state_text(z->state));
	cell_serial(w, z->have_meta && z->meta.have_upstream, z->meta.upstream_serial);
	cell_serial(w, z->net.pub != NULL, z->net.pub ? z->net.pub->serial : 0);
	wr_printf(w, "<td>%s</td><td>", end ? wall_text(WALL(end), text) : "&ndash;");
	for (int a = 0; a < ALARM_COUNT; a++)
		if (z->alarm[a]) {
			wr_printf(w, "<b>%s</b> ", zone_alarm_name((enum zone_alarm)a));
			html(w, z->alarm_text[a]);
			wr_printf(w, "<br>");
		}
	wr_printf(w, "</td></tr>\n");
}

static void page_zones(const struct engine *e, struct wr *w)
{
	size_t shown = 0;

	wr_printf(w, "<table><tr><th>zone<th>state<th>upstream<th>signed<th>signatures until<th>alarms"
		     "</tr>\n");
	for (int pass = 0; pass < 2; pass++) /* zones with alarms first */
		for (size_t i = 0; i < e->nzone && shown < PAGE_ZONES; i++)
			if ((zone_alarms(e->zone[i]) == 0) == pass) {
				page_zone(w, e->zone[i]);
				shown++;
			}
	wr_printf(w, "</table>\n");
	if (shown < e->nzone)
		wr_printf(w, "<p>%zu more zones are not shown.</p>\n", e->nzone - shown);
}

static void page_keystores(const struct engine *e, struct wr *w)
{
	wr_printf(w, "<table><tr><th>key store<th>state<th>sessions<th>queued<th>signatures</tr>\n");
	for (size_t i = 0; i < e->nks; i++) {
		struct vclient_stats s;

		memset(&s, 0, sizeof(s));
		if (e->ks[i].client)
			vclient_stats(e->ks[i].client, &s);
		wr_printf(w, "<tr%s><td>", s.up ? "" : " class=a");
		html(w, e->ks[i].name);
		wr_printf(w, "</td><td>%s ", s.up ? "up" : "down");
		html(w, s.state);
		wr_printf(w, "</td><td class=n>%u</td><td class=n>%zu</td><td class=n>%llu</td></tr>\n",
			  s.sessions, s.queued + s.in_flight, (unsigned long long)s.signed_ok);
	}
	wr_printf(w, "</table>\n");
}

static int page(const struct engine *e, struct wr *w)
{
	char now[WALL_TEXT], since[WALL_TEXT];

	wr_printf(w, "<!DOCTYPE html><html lang=en><meta charset=utf-8><title>zoneseal</title><style>"
		     "body{font:14px sans-serif;margin:2em}table{border-collapse:collapse;"
		     "margin:1em 0}td,th{padding:.2em .8em;border-bottom:1px solid #ccc;text-align:left}"
		     ".n{text-align:right}.a{background:#fee}</style>\n");
	wr_printf(w,
		  "<h1>zoneseal</h1><p>%s, up since %s. See <a href=/metrics>metrics</a>, "
		  "<a href=/stats>stats</a>, <a href=/readyz?strict=1>readiness</a>.</p>\n",
		  wall_text(clk_wall(), now), wall_text(e->started, since));
	page_keystores(e, w);
	page_zones(e, w);
	return 200;
}

int http_collect(struct engine *e, const struct http_query *q, struct wr *out)
{
	struct mtext m = { .openmetrics = q->openmetrics };

	switch (q->what) {
	case HTTP_METRICS:
		m.w = *out;
		metrics_render(e, &m);
		*out = m.w;
		return 200;
	case HTTP_STATS:
		return stats(e, out);
	case HTTP_HEALTH:
		return health(e, out);
	case HTTP_READY:
		return ready(e, q->strict, out);
	default:
		return page(e, out);
	}
}
