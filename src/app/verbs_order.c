/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Orders that outlive a restart: `zone serial`, `zone hold`, `zone resign` (`zone rollback` is in
 * verbs_history.c, its end and that of a hold, `zone release`, in verbs_zone.c). They are in force at once,
 * and answered when they are on disk. And `zone purge`, which wants the opposite of a zone. Loop only, but
 * for purge_run().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "ctlproto.h"
#include "report.h"
#include "verbs_order.h"
#include "zone.h"

#define SETTLE_MS 5

static void resume(void *arg)
{
	ctl_resume(arg);
}

bool verb_settled(struct ctl *c, struct timer *t)
{
	struct engine *e = ctl_engine(c);

	return orders_writing(e) == 0 || timer_set(e->timers, t, MONO_MS(SETTLE_MS), resume, c) != 0;
}

bool verb_unsaved(struct ctl *c)
{
	struct engine *e = ctl_engine(c);
	const struct zone *first = NULL;
	size_t n = 0;

	for (size_t i = 0; i < e->nzone; i++)
		if (e->zone[i]->orders_unsaved && args_name_zone(ctl_args(c), e->zone[i])) {
			first = first ? first : e->zone[i];
			n++;
		}
	if (n)
		ctl_fail(c, "not-stored", "the log says why; writing is tried again until it succeeds",
			 "the order for zone %s%s is in force, but cannot be stored: it would not outlive a "
			 "restart",
			 first->name, n > 1 ? " and others" : "");
	return n > 0;
}

static bool is_passed_on(const struct zone *z)
{
	return z->conf->policy->unsigned_zone && z->conf->upstream_dnssec == UPDNSSEC_PASS;
}

const char *order_refused(const struct zone *z)
{
	if (z->state == ZONE_OPENING)
		return "its store is still being opened";
	if (z->state == ZONE_CLOSED || z->closing)
		return "it is being closed";
	if (z->quarantined)
		return "it is quarantined: see `zone status`";
	if (is_passed_on(z))
		return "it is passed on as upstream signs it, serials included";
	return NULL;
}

static json_t *order_row(struct zone *z, json_t *args, const char *refused, const char *done)
{
	if (!refused)
		log_msg(LL_NOTICE, "zone", z->name, "event=ordered by %s: %s",
			json_string_value(json_object_get(args, "who")), done);
	return json_pack("{s:s, s:b, s:s}", "zone", z->name, "accepted", refused == NULL, "message",
			 refused ? refused : done);
}

/* Who orders stands with the arguments: rows see nothing else of a request. */
static void order_walk(struct ctl *c, const struct walk_spec *spec)
{
	json_object_set_new(ctl_args(c), "who", json_string(ctl_who(c)));
	verb_walk(c, spec);
}

/* --- serial --------------------------------------------------------------------------------------------- */

static json_t *row_serial(struct zone *z, json_t *args, bool *bad)
{
	uint32_t serial = (uint32_t)json_integer_value(json_object_get(args, "serial"));
	const char *no = order_refused(z);
	char text[128], done[96];

	if (!no && z->have_floor && serial_cmp(serial, z->floor) != SERIAL_GT) {
		snprintf(text, sizeof(text),
			 "serial %u is not above %u (RFC 1982): from %u to %u can be ordered", serial,
			 z->floor, z->floor + 1, z->floor + INT32_MAX);
		no = text;
	}
	snprintf(done, sizeof(done), "the next version has serial %u%s", serial,
		 z->have_meta ? ", and is published now" : "");
	*bad = no != NULL;
	if (!no)
		orders_serial(z, serial);
	return order_row(z, args, no, done);
}

void verb_zone_serial(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .settles = true,
					       .row = row_serial };
	json_t *serial = json_object_get(ctl_args(c), "serial");

	if (!json_is_integer(serial) || json_integer_value(serial) < 0 ||
	    json_integer_value(serial) > UINT32_MAX)
		ctl_fail(c, "bad-args", NULL, "the serial is no number of 0 to 4294967295");
	else
		order_walk(c, &spec);
}

/* --- hold, resign --------------------------------------------------------------------------------------- */

static json_t *row_hold(struct zone *z, json_t *args, bool *bad)
{
	const char *why = json_string_value(json_object_get(args, "reason"));
	const char *no = z->state == ZONE_OPENING ? "its store is still being opened"
			 : z->closing		  ? "it is being closed"
						  : NULL;

	*bad = no != NULL;
	if (!no) {
		orders_hold(z, json_string_value(json_object_get(args, "who")), why ? why : "");
		build_publish_try(z);
	}
	return order_row(z, args, no, "on hold: nothing of upstream is taken until `zone release`");
}

void verb_zone_hold(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .settles = true,
					       .row = row_hold };

	order_walk(c, &spec);
}

static json_t *row_resign(struct zone *z, json_t *args, bool *bad)
{
	const char *no = order_refused(z);

	if (!no && (!z->have_meta || !z->meta.is_signed))
		no = "it has no signed version";
	*bad = no != NULL;
	if (!no)
		orders_resign(z);
	return order_row(z, args, no, "everything is signed anew");
}

void verb_zone_resign(struct ctl *c)
{
	static const struct walk_spec spec = { .key = "results", .rows = 500, .settles = true,
					       .row = row_resign };

	order_walk(c, &spec);
}

/* --- purge ---------------------------------------------------------------------------------------------- */

struct purge {
	struct engine *e;
	struct ctl *ctl;
	char *name, *dir;
	uint8_t wire[NAME_MAX_WIRE];
	size_t len;
	bool keys;              /* their entries in the register go, too */
	bool had_files;
	struct keyreg_entry *key;
	size_t nkey;
	int err;
};

static void purge_free(struct purge *p)
{
	if (!p)
		return;
	free(p->name);
	free(p->dir);
	free(p->key);
	free(p);
}

static int purge_key(void *ctx, const struct keyreg_entry *k)
{
	struct purge *p = ctx;
	struct keyreg_entry *more;

	if (k->zone_len != p->len || memcmp(k->zone, p->wire, p->len) != 0)
		return 0;
	more = realloc(p->key, (p->nkey + 1) * sizeof(*more));
	if (!more)
		return ZS_ENOMEM;
	p->key = more;
	p->key[p->nkey++] = *k;
	return 0;
}

static int purge_keys_find(struct keyreg *r, void *ctx)
{
	return keyreg_each(r, purge_key, ctx);
}

static int purge_keys_forget(struct keyreg *r, void *ctx)
{
	const struct purge *p = ctx;
	int err = 0;

	for (size_t i = 0; !err && i < p->nkey; i++)
		err = keyreg_remove(r, p->key[i].id, p->wire, p->len);
	return err;
}

static void purge_done(void *arg);

static void purge_run(void *arg)
{
	struct purge *p = arg;

	p->had_files = access(p->dir, F_OK) == 0;
	p->err = keying_with_register(p->e, purge_keys_find, p);
	if (!p->err && p->had_files)
		p->err = store_purge(p->e->dir, p->wire);
	if (!p->err && p->keys)
		p->err = keying_with_register(p->e, purge_keys_forget, p);
	mailbox_post(p->e->home, purge_done, p);
}

static json_t *purge_keys(const struct purge *p)
{
	json_t *list = json_array();
	char id[33];

	for (size_t i = 0; i < p->nkey; i++)
		json_array_append_new(list, json_pack("{s:s, s:s, s:s, s:i, s:o}", "id",
						      text_hex(id, p->key[i].id, sizeof(p->key[i].id)),
						      "keystore", p->key[i].keystore, "role",
						      report_role(p->key[i].role), "algorithm",
						      (int)p->key[i].algorithm, "created",
						      report_time(p->key[i].created)));
	return list;
}

static void purge_done(void *arg)
{
	struct purge *p = arg;

	p->e->purging--;
	if (p->err) {
		log_msg(LL_ERR, "zone", p->name, "event=purge-failed: %s", zs_strerror(p->err));
		ctl_fail(p->ctl, "failed", NULL, "zone %s cannot be purged: %s", p->name,
			 zs_strerror(p->err));
	} else if (!p->had_files && !p->nkey) {
		ctl_fail(p->ctl, "no-such-zone", NULL, "nothing is stored of zone %s", p->name);
	} else {
		log_msg(LL_NOTICE, "zone", p->name, "event=purged files=%d keys=%zu%s by %s", p->had_files,
			p->nkey, p->keys ? " (forgotten)" : "", ctl_who(p->ctl));
		ctl_data(p->ctl, json_pack("{s:s, s:b, s:b, s:o}", "zone", p->name, "files", p->had_files,
					   "forgotten", p->keys, "keys", purge_keys(p)));
		ctl_end(p->ctl, CTL_DONE);
	}
	ctl_drop(p->ctl);
	purge_free(p);
}

/* "": the zone may be purged. */
static const char *purge_refused(struct engine *e, const struct purge *p)
{
	if (engine_zone(e, p->wire, p->len))
		return "it is in the config: take it out and reload first";
	if (e->zombies) /* perhaps this very one: its files are in use until its jobs are back */
		return "a zone that was removed is still being closed: try again in a moment";
	return NULL;
}

static struct purge *purge_new(struct ctl *c)
{
	json_t *names = json_object_get(ctl_args(c), "zones");
	const char *name = json_string_value(json_array_get(names, 0));
	struct purge *p = calloc(1, sizeof(*p));
	char path[STORE_PATH_MAX], text[NAME_MAX_TEXT];

	if (!p || json_array_size(names) != 1 || !name || ctl_is_pattern(name) ||
	    name_from_text(name, p->wire, &p->len) != 0) {
		ctl_fail(c, p ? "bad-args" : "no-memory", NULL,
			 p ? "exactly one zone has to be named, without patterns" : "out of memory");
		free(p);
		return NULL;
	}
	name_lower(p->wire);
	p->e = ctl_engine(c);
	p->keys = json_is_true(json_object_get(ctl_args(c), "keys"));
	p->name = strdup(name_to_text(p->wire, text));
	if (!p->name || store_zone_path(p->wire, path, sizeof(path)) != 0 ||
	    asprintf(&p->dir, "%s/zones/%s", p->e->setup->conf->state_dir, path) < 0) {
		ctl_fail(c, "no-memory", NULL, "out of memory");
		purge_free(p);
		return NULL;
	}
	return p;
}

void verb_zone_purge(struct ctl *c)
{
	struct purge *p = purge_new(c);
	const char *no = p ? purge_refused(p->e, p) : NULL;

	if (no)
		ctl_fail(c, "refused", NULL, "zone %s is not purged: %s", p->name, no);
	if (!p || no) {
		purge_free(p);
		return;
	}
	p->ctl = ctl_hold(c);
	p->e->purging++; /* no zone is opened meanwhile (zone_open_start()) */
	if (pool_post(p->e->workers, POOL_NORMAL, purge_run, p) != 0) {
		p->err = ZS_ENOMEM;
		purge_done(p);
	}
}
