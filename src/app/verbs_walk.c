/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verbs over zones: names and patterns of the request, one row for each zone that fits, in frames of bounded
 * size. Between two frames zones may come and go: the walk goes on behind the last name it saw, never at a
 * position. Exact names are looked up, so that asking for one zone costs the same with 100,000 of them. Loop
 * only.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "ctlproto.h"
#include "engine.h"
#include "verbs_order.h"
#include "zone.h"

#define PATTERNS_MAX 100000
#define LOOK_MAX 500          /* zones looked at in one frame */

struct zwalk {
	const struct walk_spec *spec;
	json_t *names;        /* borrowed from the request; NULL: all zones */
	bool exact;           /* no name is a pattern */
	bool *hit;            /* which names fitted something */
	size_t at;            /* exact: next name */
	uint8_t last[NAME_MAX_WIRE];
	size_t last_len;      /* otherwise: the last zone seen; 0: none yet */
	unsigned good, bad;
	bool ended;           /* all rows are sent */
	struct engine *e;
	struct timer timer;
};

static void walk_free(void *arg)
{
	struct zwalk *w = arg;

	timer_stop(w->e->timers, &w->timer);
	free(w->hit);
	free(w);
}

static size_t fits(struct zwalk *w, const struct zone *z)
{
	size_t i, n = 0;
	json_t *name;

	if (!w->names)
		return 1;
	json_array_foreach(w->names, i, name)
		if (ctl_zone_match(json_string_value(name), z->name)) {
			w->hit[i] = true;
			n++;
		}
	return n;
}

/* The first zone behind the last one seen. */
static struct zone *after_last(const struct engine *e, const struct zwalk *w)
{
	size_t lo = 0, hi = e->nzone;

	while (w->last_len && lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct zone *z = e->zone[mid];
		size_t n = w->last_len < z->wire_len ? w->last_len : z->wire_len;
		int c = memcmp(z->wire, w->last, n);

		if (c < 0 || (c == 0 && z->wire_len <= w->last_len))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < e->nzone ? e->zone[lo] : NULL;
}

static struct zone *by_name(struct engine *e, const char *name)
{
	uint8_t wire[NAME_MAX_WIRE];
	size_t len;

	if (name_from_text(name, wire, &len) != 0)
		return NULL;
	name_lower(wire);
	return engine_zone(e, wire, len);
}

/* The next zone that fits; *end when there is none any more. NULL without end: this one does not fit. */
static struct zone *walk_next(struct engine *e, struct zwalk *w, bool *end)
{
	struct zone *z;

	if (w->exact) {
		if (w->at == json_array_size(w->names)) {
			*end = true;
			return NULL;
		}
		z = by_name(e, json_string_value(json_array_get(w->names, w->at)));
		w->hit[w->at++] = z != NULL;
		return z;
	}
	z = after_last(e, w);
	if (!z) {
		*end = true;
		return NULL;
	}
	memcpy(w->last, z->wire, z->wire_len);
	w->last_len = z->wire_len;
	return fits(w, z) ? z : NULL;
}

static json_t *misses(struct zwalk *w)
{
	json_t *list = json_array(), *name;
	size_t i;

	json_array_foreach(w->names, i, name) if (!w->hit[i] && json_array_size(list) < 1000)
		json_array_append_new(list, json_pack("{s:O, s:s}", "zone", name, "message",
						      "no such zone is configured"));
	return list;
}

/* The one name that was given fits nothing: that is no list with an error in it, but an error. */
static bool is_nothing(const struct zwalk *w)
{
	return json_array_size(w->names) == 1 && !w->hit[0];
}

static enum pump walk_end(struct ctl *c, struct zwalk *w)
{
	json_t *none;
	bool failed, some = w->good || (w->bad && w->spec->bad_is_partly);

	if (w->spec->settles && !verb_settled(c, &w->timer))
		return PUMP_WAIT;
	if (is_nothing(w)) {
		ctl_fail(c, "no-such-zone", "`zonesealctl zone list` shows what is configured",
			 "zone %.300s is not configured", json_string_value(json_array_get(w->names, 0)));
		return PUMP_END;
	}
	if (w->spec->settles && verb_unsaved(c))
		return PUMP_END;
	none = misses(w);
	failed = w->bad || json_array_size(none) > 0;
	if (json_array_size(none) > 0)
		ctl_data(c, json_pack("{s:o}", "errors", none));
	else
		json_decref(none);
	ctl_end(c, !failed ? CTL_DONE : some ? CTL_PARTLY : CTL_FAILED);
	return PUMP_END;
}

static enum pump walk_pump(struct ctl *c, void *arg)
{
	struct zwalk *w = arg;
	json_t *rows;
	bool end = false;

	if (w->ended)
		return walk_end(c, w);
	rows = json_array();
	for (unsigned i = 0; i < LOOK_MAX && !end && json_array_size(rows) < w->spec->rows; i++) {
		struct zone *z = walk_next(ctl_engine(c), w, &end);
		bool bad = false;
		json_t *row = z ? w->spec->row(z, ctl_args(c), &bad) : NULL;

		if (row)
			json_array_append_new(rows, row);
		w->bad += z && bad;
		w->good += z && !bad;
	}
	if (end && is_nothing(w))
		json_decref(rows);
	else
		ctl_data(c, json_pack("{s:o}", w->spec->key, rows));
	w->ended = end;
	return end ? walk_end(c, w) : PUMP_MORE;
}

/* The names of the request: an array of strings, or NULL for all. */
static int names_of(struct ctl *c, bool all_default, json_t **out)
{
	json_t *names = json_object_get(ctl_args(c), "zones"), *name;
	size_t i;

	*out = NULL;
	if (json_is_true(json_object_get(ctl_args(c), "all")))
		return 0;
	if (!names || json_array_size(names) == 0) {
		if (all_default && (!names || json_is_array(names)))
			return 0;
		ctl_fail(c, "bad-args", "name zones, patterns, or --all", "no zone is named");
		return ZS_EINVAL;
	}
	if (!json_is_array(names) || json_array_size(names) > PATTERNS_MAX) {
		ctl_fail(c, "bad-args", NULL, "`zones` is no list of names");
		return ZS_EINVAL;
	}
	json_array_foreach(names, i, name)
		if (!json_is_string(name) || strlen(json_string_value(name)) != json_string_length(name)) {
			ctl_fail(c, "bad-args", NULL, "`zones` is no list of names");
			return ZS_EINVAL;
		}
	*out = names;
	return 0;
}

void verb_walk(struct ctl *c, const struct walk_spec *spec)
{
	struct zwalk *w;
	json_t *names, *name;
	size_t i;

	if (names_of(c, spec->all_default, &names) != 0)
		return;
	w = calloc(1, sizeof(*w));
	if (w && !(w->hit = calloc(json_array_size(names) + 1, sizeof(bool)))) {
		free(w);
		w = NULL;
	}
	if (!w) {
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	w->spec = spec;
	w->e = ctl_engine(c);
	w->names = names;
	w->exact = names != NULL;
	json_array_foreach(names, i, name)
		if (ctl_is_pattern(json_string_value(name)))
			w->exact = false;
	ctl_pump(c, walk_pump, walk_free, w);
}

bool args_name_zone(json_t *args, const struct zone *z)
{
	json_t *names = json_object_get(args, "zones"), *name;
	size_t i;

	if (json_array_size(names) == 0)
		return true;
	json_array_foreach(names, i, name)
		if (json_is_string(name) && ctl_zone_match(json_string_value(name), z->name))
			return true;
	return false;
}

struct zone *verb_one_zone(struct ctl *c)
{
	json_t *names = json_object_get(ctl_args(c), "zones");
	const char *name = json_string_value(json_array_get(names, 0));
	struct zone *z;

	if (json_array_size(names) != 1 || !name) {
		ctl_fail(c, "bad-args", NULL, "exactly one zone has to be named");
		return NULL;
	}
	z = by_name(ctl_engine(c), name);
	if (!z)
		ctl_fail(c, "no-such-zone", "`zonesealctl zone list` shows what is configured",
			 "zone %.300s is not configured", name);
	return z;
}

/* --- text ----------------------------------------------------------------------------------------------- */

struct text { char *all; size_t len, at; };

static void text_free(void *arg)
{
	struct text *t = arg;

	free(t->all);
	free(t);
}

/* Pieces end at a line where one ends, and never within a character of UTF-8. */
static size_t piece(const char *p, size_t left)
{
	const char *nl;
	size_t n = CTL_TEXT_CHUNK;

	if (left <= n)
		return left;
	nl = memrchr(p, '\n', n);
	if (nl)
		return (size_t)(nl - p) + 1;
	while (n > CTL_TEXT_CHUNK - 4 && ((uint8_t)p[n] & 0xc0) == 0x80)
		n--;
	return n;
}

static enum pump text_pump(struct ctl *c, void *arg)
{
	struct text *t = arg;
	size_t n = piece(t->all + t->at, t->len - t->at);

	if (n == 0) {
		ctl_end(c, CTL_DONE);
		return PUMP_END;
	}
	ctl_data(c, json_pack("{s:s%}", "text", t->all + t->at, n));
	t->at += n;
	return PUMP_MORE;
}

void verb_text(struct ctl *c, char *text)
{
	struct text *t = text ? calloc(1, sizeof(*t)) : NULL;

	if (!t || ctl_gone(c)) {
		free(text);
		free(t);
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	t->all = text;
	t->len = strlen(text);
	ctl_pump(c, text_pump, text_free, t);
}
