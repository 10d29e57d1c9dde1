/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verbs on zones that answer from memory, and the orders of a moment: refresh, retransfer, release. An order
 * sets what the state table looks at and raises EV_CHECK; it answers when it is accepted, and `--wait` of
 * zonesealctl watches the zone. Loop only.
 */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "ctlproto.h"
#include "held.h"
#include "report.h"
#include "verbs.h"
#include "zone.h"

/* --- reading -------------------------------------------------------------------------------------------- */

static json_t *row_list(struct zone *z, json_t *args, bool *bad)
{
	if (json_is_true(json_object_get(args, "alarmed")) && zone_alarms(z) == 0)
		return NULL;
	return report_zone_brief(z);
}

void verb_zone_list(struct ctl *c)
{
	static const struct walk_spec spec = {
		.key = "zones", .rows = 500, .all_default = true, .row = row_list
	};

	verb_walk(c, &spec);
}

static json_t *row_status(struct zone *z, json_t *args, bool *bad)
{
	return report_zone(z);
}

void verb_zone_status(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "zones", .rows = 20, .row = row_status };

	verb_walk(c, &spec);
}

static json_t *row_keys(struct zone *z, json_t *args, bool *bad)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < z->keys.n; i++)
		json_array_append_new(list, report_key(&z->keys.key[i]));
	return json_pack("{s:s, s:o}", "zone", z->name, "keys", list);
}

void verb_key_list(struct ctl *c)
{
	static const struct walk_spec spec = {
		.key = "zones", .rows = 100, .all_default = true, .row = row_keys
	};

	verb_walk(c, &spec);
}

/* --- DS ------------------------------------------------------------------------------------------------- */

static const uint8_t ds_digests[] = { 2, 4 }; /* SHA-256, SHA-384: RFC 8624 3.3 */

static json_t *ds_row(const struct zone *z, const struct zone_key *k, uint8_t digest)
{
	uint8_t rdata[128];
	char text[512], hex[2 * sizeof(rdata) + 1];
	int len = key_ds(k, z->wire, digest, rdata, sizeof(rdata));
	json_t *row;
	int n;

	if (len < 4)
		return NULL;
	text_hex(hex, rdata + 4, (size_t)len - 4);
	n = rdata_text(T_DS, rdata, (uint16_t)len, text, sizeof(text));
	row = json_pack("{s:i, s:i, s:i, s:s, s:s}", "tag", (int)k->tag, "algorithm", (int)k->algorithm,
			"digest_type", (int)digest, "digest", hex, "state", key_state_text(k->state));
	if (n > 0)
		json_object_set_new(row, "record", json_sprintf("%s IN DS %.*s", z->name, n, text));
	return row;
}

static const char *ds_warning(const struct zone *z, int64_t now)
{
	int64_t at = zone_ds_not_before(z);

	if (at == 0)
		return "not before: unknown yet. Not every listed secondary was seen with a signed version";
	if (now < at)
		return "not before the time shown: caches may still hold unsigned data";
	return NULL;
}

static json_t *row_ds(struct zone *z, json_t *args, bool *bad)
{
	json_t *list = json_array(), *row, *o;
	const char *warning = ds_warning(z, clk_wall().s);

	for (unsigned i = 0; i < z->keys.n; i++)
		for (size_t d = 0; z->keys.key[i].use != KEY_ZSK && d < sizeof(ds_digests); d++)
			if ((row = ds_row(z, &z->keys.key[i], ds_digests[d])) != NULL)
				json_array_append_new(list, row);
	if (json_array_size(list) == 0)
		warning = zone_is_signed_policy(z) ? "the zone has no key yet"
						   : "the zone's policy does not sign";
	o = json_pack("{s:s, s:o, s:o}", "zone", z->name, "not_before", report_time(zone_ds_not_before(z)),
		      "ds", list);
	if (warning)
		json_object_set_new(o, "warning", json_string(warning));
	json_object_set_new(o, "ready", json_boolean(!warning));
	*bad = warning != NULL;
	return o;
}

void verb_zone_ds(struct ctl *c)
{
	static const struct walk_spec spec = {
		.key = "zones", .rows = 100, .row = row_ds, .bad_is_partly = true
	};

	verb_walk(c, &spec);
}

/* --- orders --------------------------------------------------------------------------------------------- */

static json_t *order_row(const struct zone *z, const char *refused, const char *done)
{
	return json_pack("{s:s, s:b, s:s}", "zone", z->name, "accepted", refused == NULL, "message",
			 refused ? refused : done);
}

/* NULL, or why an order on this zone leads nowhere now. */
static const char *not_ready(const struct zone *z)
{
	if (z->state == ZONE_OPENING)
		return "its store is still being opened";
	return z->state == ZONE_CLOSED || z->closing ? "it is being closed" : NULL;
}

static json_t *row_refresh(struct zone *z, json_t *args, bool *bad)
{
	const char *no = not_ready(z);
	bool later = z->state != ZONE_IDLE;

	*bad = no != NULL;
	if (!no)
		zone_event(z, EV_CHECK);
	return order_row(z, no, later ? "upstream is asked after what is under way" : "upstream is asked");
}

void verb_zone_refresh(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .row = row_refresh };

	verb_walk(c, &spec);
}

static json_t *row_retransfer(struct zone *z, json_t *args, bool *bad)
{
	const char *no = z->orders.hold ? "it is on hold: `zone release` ends that" : not_ready(z);
	bool later = z->state != ZONE_IDLE;

	*bad = no != NULL;
	if (!no) {
		zone_force_transfer(z);
		held_ordered(z);
		zone_event(z, EV_CHECK);
	}
	return order_row(z, no,
			 later ? "the transfer follows what is under way" : "the whole zone is transferred");
}

void verb_zone_retransfer(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .row = row_retransfer };

	verb_walk(c, &spec);
}

/* The next input at that serial or newer, once, within an hour.
 * In GUARD it is the publication that is ordered. */
static void release(struct zone *z, json_t *serial, const char *who)
{
	engine_clock_accept(z->e);
	zone_unquarantine(z, "released by order");
	if (orders_release(z)) {
		log_msg(LL_NOTICE, "zone", z->name, "event=hold-ended by %s", who);
		zone_event(z, EV_CHECK);
		return;
	}
	z->released = true;
	z->release_any = serial == NULL;
	z->release_only = false;
	z->release_serial = (uint32_t)json_integer_value(serial);
	z->released_at = clk_wall();
	if (z->held_vetoes)
		held_ordered(z);
	else
		z->held = false;
	if (serial)
		log_msg(LL_NOTICE, "zone", z->name, "event=released from-serial=%u by %s", z->release_serial,
			who);
	else
		log_msg(LL_NOTICE, "zone", z->name, "event=released by %s", who);
	if (z->state == ZONE_GUARD) {
		z->publish_ordered = true;
		build_publish_try(z);
	} else {
		zone_event(z, EV_CHECK);
	}
}

static json_t *row_release(struct zone *z, json_t *args, bool *bad)
{
	const char *no = not_ready(z), *done = z->orders.rolled_back
						       ? "the hold is over: the whole zone is transferred"
					       : z->orders.hold ? "the hold is over"
					       : z->state == ZONE_GUARD
						       ? "publication is ordered"
						       : "the next input is taken, for an hour";

	*bad = no != NULL;
	if (!no)
		release(z, json_object_get(args, "serial"), json_string_value(json_object_get(args, "who")));
	return order_row(z, no, done);
}

void verb_zone_release(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .settles = true,
					       .row = row_release };
	json_t *serial = json_object_get(ctl_args(c), "serial");

	if (serial && (!json_is_integer(serial) || json_integer_value(serial) < 0 ||
		       json_integer_value(serial) > UINT32_MAX))
		ctl_fail(c, "bad-args", NULL, "the serial is no number of 0 to 4294967295");
	else {
		json_object_set_new(ctl_args(c), "who", json_string(ctl_who(c)));
		verb_walk(c, &spec);
	}
}
