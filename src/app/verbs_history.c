/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What history knows, for people: `zone history`, `zone diff`, and the version that `zone rollback` names.
 * All of it is read on workers (verbs_stream.c). A point is a version by its number, or by its signed or
 * upstream's serial; what an operator wrote without saying which is looked for in this order: signed serial,
 * upstream's serial, version.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "ctlproto.h"
#include "dns/diff.h"
#include "report.h"
#include "store/history.h"
#include "verbs.h"
#include "verbs_order.h"
#include "zone.h"

#define ROWS 200
#define HISTORY_ROWS_MAX 100000
#define DIFF_OCTETS ((uint64_t)1 << 40)

/* --- points --------------------------------------------------------------------------------------------- */

struct find {
	struct ctl_point want;
	struct point best[3];    /* by signed serial, by upstream's, by version */
	bool have[3];
};

static void offer(struct find *f, uint64_t version, uint32_t serial, uint32_t upstream, int64_t time)
{
	const uint64_t is[3] = { serial, upstream, version };

	for (int i = 0; i < 3; i++)
		if (!f->have[i] && is[i] == f->want.number) {
			f->have[i] = true;
			f->best[i] = (struct point){ version, serial, upstream, time };
		}
}

/* Where an entry leads to and where it comes from. What is within a merged one is known by number alone. */
static int offer_head(void *ctx, const struct history_head *h)
{
	struct find *f = ctx;

	offer(f, h->version, h->to_serial, h->to_upstream, h->time);
	if (f->want.number >= h->first && f->want.number < h->version && !f->have[2]) {
		f->have[2] = true;
		f->best[2] = (struct point){ f->want.number, h->from_serial, h->from_upstream, h->time };
	}
	offer(f, h->first - 1, h->from_serial, h->from_upstream, 0);
	return 0;
}

static int find_current(struct stream *s, struct point *out)
{
	struct zmeta m;
	int err = zmeta_get(s->kv, &m);

	if (!err)
		*out = (struct point){ s->pub->version, m.signed_serial, m.upstream_serial,
				       m.published };
	return err;
}

static int point_find(struct stream *s, const char *text, struct point *out)
{
	struct find f = { .have = { false } };
	struct point now;
	int err = find_current(s, &now);

	if (!err && ctl_point_parse(text, &f.want) != 0)
		return stream_fail(s, "bad-args", NULL, "%.60s is no serial and no version", text);
	if (!err) {
		offer(&f, now.version, now.serial, now.upstream, now.time);
		err = history_each(s->kv, HISTORY_SERVED, true, offer_head, &f);
	}
	if (!err)
		err = history_each(s->kv, HISTORY_UPSTREAM, true, offer_head, &f);
	if (err)
		return err;
	for (int i = 0; i < 3; i++)
		if (f.have[i] && (!f.want.kind || f.want.kind == ctl_point_kinds[i])) {
			*out = f.best[i];
			return 0;
		}
	return stream_fail(s, "no-such-version", "`zonesealctl zone history` lists what is known",
			   "%.60s is not in the history of %.300s", text, s->zone->name);
}

static json_t *point_json(const struct point *p)
{
	return json_pack("{s:I, s:I, s:I}", "version", (json_int_t)p->version, "signed_serial",
			 (json_int_t)p->serial, "upstream_serial", (json_int_t)p->upstream);
}

/* --- zone history --------------------------------------------------------------------------------------- */

struct hrow { struct history_head h; bool user; };
struct hlist { struct hrow *row; size_t n, cap, at; bool user; struct point now; };

static int add_row(void *ctx, const struct history_head *h)
{
	struct hlist *l = ctx;

	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 256;
		struct hrow *more = realloc(l->row, cap * sizeof(*more));

		if (!more)
			return ZS_ENOMEM;
		l->row = more;
		l->cap = cap;
	}
	l->row[l->n++] = (struct hrow){ *h, l->user };
	return l->n >= HISTORY_ROWS_MAX ? 1 : 0;
}

/* Newest first; of one version what is served stands before what upstream changed. */
static int row_order(const void *a, const void *b)
{
	const struct hrow *x = a, *y = b;

	if (x->h.version != y->h.version)
		return x->h.version < y->h.version ? 1 : -1;
	return (int)x->user - (int)y->user;
}

static int history_begin(struct stream *s)
{
	struct hlist *l = s->arg;
	int err = find_current(s, &l->now);

	if (!err)
		err = history_each(s->kv, HISTORY_SERVED, true, add_row, l);
	l->user = true;
	if (!err)
		err = history_each(s->kv, HISTORY_UPSTREAM, true, add_row, l);
	if (err < 0)
		return err;
	if (l->n)
		qsort(l->row, l->n, sizeof(*l->row), row_order);
	return 0;
}

static json_t *row_base(const struct point *p)
{
	json_t *o = point_json(p);

	json_object_set_new(o, "time", report_time(p->time));
	json_object_set_new(o, "kind", json_string("base"));
	return o;
}

/* The next version; its entries of both tables are one row. */
static json_t *row_next(struct hlist *l)
{
	const struct hrow *r = &l->row[l->at++], *u = r->user ? r : NULL;
	const struct history_head *h = &r->h;
	json_t *o = point_json(&(struct point){ h->version, h->to_serial, h->to_upstream, 0 });

	if (!u && l->at < l->n && l->row[l->at].h.version == h->version)
		u = &l->row[l->at++];
	json_object_set_new(o, "time", report_time(h->time));
	json_object_set_new(o, "kind", json_string((h->kind & ~HISTORY_MERGED) == HISTORY_USER ? "change"
											  : "refresh"));
	json_object_set_new(o, "versions", json_integer((json_int_t)(h->version - h->first + 1)));
	if (!r->user) {
		json_object_set_new(o, "removed", json_integer(h->removed));
		json_object_set_new(o, "added", json_integer(h->added));
		json_object_set_new(o, "octets", json_integer((json_int_t)h->octets));
	}
	if (u) {
		json_object_set_new(o, "upstream_removed", json_integer(u->h.removed));
		json_object_set_new(o, "upstream_added", json_integer(u->h.added));
	}
	return o;
}

/* Behind the oldest entry: what it starts from can be gone back to as well. */
static json_t *row_last(const struct hlist *l)
{
	const struct history_head *h = l->n ? &l->row[l->n - 1].h : NULL;

	return row_base(h ? &(struct point){ h->first - 1, h->from_serial, h->from_upstream, 0 } : &l->now);
}

static int history_next(struct stream *s)
{
	struct hlist *l = s->arg;
	json_t *rows = json_array();

	while (l->at < l->n && json_array_size(rows) < ROWS)
		json_array_append_new(rows, row_next(l));
	s->done = l->at == l->n;
	if (s->done)
		json_array_append_new(rows, row_last(l));
	return stream_data(s, json_pack("{s:s, s:o}", "zone", s->zone->name, "versions", rows));
}

static void history_end(struct stream *s)
{
	struct hlist *l = s->arg;

	free(l->row);
	free(l);
}

void verb_zone_history(struct ctl *c)
{
	static const struct stream_ops ops = { .what = "the history", .begin = history_begin,
					       .next = history_next, .end = history_end };
	struct hlist *l = calloc(1, sizeof(*l));

	if (!l)
		ctl_fail(c, "no-memory", NULL, "out of memory");
	else if (!stream_new(c, &ops, l))
		free(l);
}

/* --- zone diff ------------------------------------------------------------------------------------------ */

struct differ {
	char from[32], to[32];   /* "" : not named */
	bool rows;               /* JSON records instead of lines */
	struct point a, b;
	struct diff *diff;
	bool head_sent;
	char *line;
	struct wr text;
};

static int newest(void *ctx, const struct history_head *h)
{
	struct differ *d = ctx;

	d->a = (struct point){ h->first - 1, h->from_serial, h->from_upstream, 0 };
	d->b = (struct point){ h->version, h->to_serial, h->to_upstream, h->time };
	return 1;
}

/* Without points: what upstream changed last. With one: from there until now. */
static int diff_points(struct stream *s, struct differ *d)
{
	int err;

	if (!d->from[0]) {
		err = history_each(s->kv, HISTORY_UPSTREAM, true, newest, d);
		return err == 0 ? stream_fail(s, "no-history", NULL, "no change of %.300s is kept",
					      s->zone->name)
				: err > 0 ? 0 : err;
	}
	err = point_find(s, d->from, &d->a);
	if (!err)
		err = d->to[0] ? point_find(s, d->to, &d->b) : find_current(s, &d->b);
	return err;
}

static int diff_begin(struct stream *s)
{
	struct differ *d = s->arg;
	struct history_total t[2];
	int err = diff_points(s, d);

	if (!err)
		err = history_totals(s->kv, t);
	if (err)
		return err;
	d->line = malloc(STREAM_RDATA_TEXT);
	d->text = wr_growing(4u << 20);
	err = d->line ? userdiff_open(s->kv, d->a.version, d->b.version, DIFF_OCTETS, &d->diff) : ZS_ENOMEM;
	if (err == 0)
		s->kv = NULL; /* the difference's by now */
	else if (err == ZS_ENOENT && d->a.version >= t[HISTORY_UPSTREAM].since &&
		 d->b.version >= t[HISTORY_UPSTREAM].since)
		err = 0; /* no difference */
	else if (err == ZS_ENOENT)
		err = stream_fail(s, "no-history", "`history:` of the zone says how much is kept",
				  "what is kept does not reach back to version %llu",
				  (unsigned long long)(d->a.version < d->b.version ? d->a.version
										   : d->b.version));
	return err;
}

static int diff_head(struct stream *s, struct differ *d)
{
	char text[2 * NAME_MAX_TEXT];

	d->head_sent = true;
	s->done = !d->diff;
	if (d->rows)
		return stream_data(s, json_pack("{s:s, s:o, s:o, s:I, s:I}", "zone", s->zone->name, "from",
						point_json(&d->a), "to", point_json(&d->b), "removed",
						(json_int_t)(d->diff ? d->diff->removed : 0), "added",
						(json_int_t)(d->diff ? d->diff->added : 0)));
	snprintf(text, sizeof(text),
		 "; %s from version %llu (serial %u, upstream %u) to version %llu (serial %u, upstream %u)\n",
		 s->zone->name, (unsigned long long)d->a.version, d->a.serial, d->a.upstream,
		 (unsigned long long)d->b.version, d->b.serial, d->b.upstream);
	return stream_data(s, json_pack("{s:s}", "text", text));
}

static json_t *record_json(struct differ *d, const struct rr *rr, bool added)
{
	char name[NAME_MAX_TEXT], type[RR_TYPE_TEXT];
	int n = rdata_text(rr->type, rr->rdata, rr->rdlen, d->line, STREAM_RDATA_TEXT);

	if (n < 0)
		return NULL;
	return json_pack("{s:s, s:s, s:I, s:s, s:s%}", "op", added ? "+" : "-", "name",
			 name_to_text(rr->owner, name), "ttl", (json_int_t)rr->ttl, "type",
			 rr_type_text(rr->type, type), "rdata", d->line, (size_t)n);
}

static int diff_next_frame(struct stream *s)
{
	struct differ *d = s->arg;
	json_t *rows = d->rows && d->head_sent ? json_array() : NULL;
	struct rr rr;
	bool added;
	size_t octets = 0;
	int err = 0;

	if (!d->head_sent)
		return diff_head(s, d);
	while (octets < CTL_TEXT_CHUNK && !(err = diff_next(d->diff, &rr, &added))) {
		size_t had = d->text.len;

		octets += NAME_MAX_WIRE + 3u * rr.rdlen;
		if (rows)
			err = json_array_append_new(rows, record_json(d, &rr, added)) ? ZS_EFORMAT : 0;
		else
			err = stream_record(&d->text, d->line, added ? "+ " : "- ", rr.owner, rr.ttl, rr.type,
					    rr.rdata, rr.rdlen);
		if (err)
			break;
		octets += d->text.len - had;
	}
	s->done = err == ZS_ENOENT;
	err = s->done ? 0 : err;
	if (!err && rows && json_array_size(rows))
		err = stream_data(s, json_pack("{s:O}", "records", rows));
	else if (!err && d->text.len)
		err = stream_data(s, json_pack("{s:s%}", "text", (const char *)d->text.p, d->text.len));
	d->text.len = 0;
	json_decref(rows);
	return err;
}

static void diff_end(struct stream *s)
{
	struct differ *d = s->arg;

	diff_close(d->diff);
	wr_free(&d->text);
	free(d->line);
	free(d);
}

void verb_zone_diff(struct ctl *c)
{
	static const struct stream_ops ops = { .what = "the difference", .begin = diff_begin,
					       .next = diff_next_frame, .end = diff_end };
	struct differ *d = calloc(1, sizeof(*d));
	const char *from = ctl_arg_text(c, "from"), *to = ctl_arg_text(c, "to");

	if (!d) {
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	snprintf(d->from, sizeof(d->from), "%s", from ? from : "");
	snprintf(d->to, sizeof(d->to), "%s", to ? to : "");
	d->rows = json_is_true(json_object_get(ctl_args(c), "records"));
	if (!stream_new(c, &ops, d))
		free(d);
}

/* --- zone rollback -------------------------------------------------------------------------------------- */

struct undo_order { char to[32]; char who[ORDER_WHO]; struct point now, point; bool given; };

static int undo_begin(struct stream *s)
{
	struct undo_order *u = s->arg;
	struct diff *d = NULL;
	int err = find_current(s, &u->now);

	if (!err)
		err = point_find(s, u->to, &u->point);
	if (err)
		return err;
	err = userdiff_open(s->kv, u->now.version, u->point.version, DIFF_OCTETS, &d);
	if (!err)
		s->kv = NULL;
	diff_close(d);
	s->done = !err;
	if (err == ZS_ENOENT)
		return stream_fail(s, "no-history", "`zonesealctl zone history` lists what is known",
				   "version %llu cannot be gone back to: upstream's content was the same, or "
				   "the history does not reach",
				   (unsigned long long)u->point.version);
	return err;
}

static int undo_next(struct stream *s)
{
	s->done = true;
	return 0;
}

static enum pump undo_home(struct ctl *c, struct stream *s)
{
	struct undo_order *u = s->arg;
	char to[ORDER_WHY], message[ORDER_WHY + 64];

	snprintf(to, sizeof(to), "rollback to version %llu (serial %u, upstream %u)",
		 (unsigned long long)u->point.version, u->point.serial, u->point.upstream);
	if (!u->given) {
		const char *no = order_refused(s->zone);

		if (no) {
			ctl_fail(c, "refused", NULL, "zone %s: %s", s->zone->name, no);
			return PUMP_END;
		}
		u->given = true;
		log_msg(LL_NOTICE, "zone", s->zone->name, "event=ordered by %s: %s", u->who, to);
		orders_rollback(s->zone, u->point.version, u->who, to);
		zone_event(s->zone, EV_CHECK);
	}
	if (!verb_settled(c, &s->timer))
		return PUMP_WAIT;
	if (verb_unsaved(c))
		return PUMP_END;
	snprintf(message, sizeof(message), "%s, on hold until `zone release`", to);
	ctl_data(c, json_pack("{s:[{s:s, s:b, s:s, s:o}]}", "results", "zone", s->zone->name, "accepted", 1,
			      "message", message, "to", point_json(&u->point)));
	ctl_end(c, CTL_DONE);
	return PUMP_END;
}

static void undo_end(struct stream *s)
{
	free(s->arg);
}

void verb_zone_rollback(struct ctl *c)
{
	static const struct stream_ops ops = { .what = "the rollback", .begin = undo_begin, .next = undo_next,
					       .home = undo_home, .end = undo_end };
	const char *to = ctl_arg_text(c, "to");
	struct undo_order *u;

	if (!to || !*to) {
		ctl_fail(c, "bad-args", "`zonesealctl zone history` lists what is known",
			 "name the serial or version to go back to");
		return;
	}
	u = calloc(1, sizeof(*u));
	if (!u) {
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	snprintf(u->to, sizeof(u->to), "%s", to);
	snprintf(u->who, sizeof(u->who), "%s", ctl_who(c));
	if (!stream_new(c, &ops, u))
		free(u);
}
