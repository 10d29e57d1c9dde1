/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Answers that are read from the store. A worker makes one frame, the loop hands it on, and only when the
 * client has taken most of what waits is the next one made: never more than two in memory. The reference to
 * the published version keeps the snapshot; one that grows too old, or pins too much of the store, ends
 * the answer. The maker (struct stream_ops) runs on workers alone, one call at a time.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "ctlproto.h"
#include "verbs.h"
#include "zone.h"

#define OPEN_TRIES 100

/* --- worker --------------------------------------------------------------------------------------------- */

static void stream_free(struct stream *s)
{
	if (s->ops->end)
		s->ops->end(s);
	kv_close(s->kv);
	pub_unref(s->pub);
	free(s->frame);
	free(s);
}

int stream_data(struct stream *s, json_t *data)
{
	free(s->frame);
	s->frame = NULL;
	return ctl_encode(ctl_msg("data", data), &s->frame, &s->frame_len);
}

int stream_fail(struct stream *s, const char *code, const char *hint, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(s->text, sizeof(s->text), fmt, ap);
	va_end(ap);
	s->code = code;
	s->hint = hint;
	return ZS_EINVAL;
}

static void frame_back(void *arg);

static void frame_make(void *arg)
{
	struct stream *s = arg;

	if (!s->started) {
		s->err = s->pub->open(s->pub->source, &s->kv);
		if (s->err)
			s->kv = NULL;
		else
			s->started = true;
		if (!s->err)
			s->err = s->ops->begin(s);
	}
	if (!s->err && !s->done && !s->frame)
		s->err = s->ops->next(s);
	if (s->err || s->done) { /* readers give the snapshot back as early as they can */
		kv_close(s->kv);
		s->kv = NULL;
	}
	mailbox_post(s->zone->e->home, frame_back, s);
}

static void disposed(void *arg)
{
	zone_job_end(arg);
}

static void dispose_run(void *arg)
{
	struct stream *s = arg;
	struct zone *z = s->zone;

	stream_free(s);
	mailbox_post(z->e->home, disposed, z);
}

/* --- loop ----------------------------------------------------------------------------------------------- */

/* The last reference to a snapshot may close files: that is a worker's work. Ends the zone's job. */
static void stream_dispose(struct stream *s)
{
	struct zone *z = s->zone;

	if (pool_post(z->e->workers, POOL_NORMAL, dispose_run, s) == 0)
		return;
	stream_free(s);
	zone_job_end(z);
}

/* The frame is back: handed on by the pump, or dropped when nobody wants it any more. */
static void frame_back(void *arg)
{
	struct stream *s = arg;
	struct zone *z = s->zone;
	struct ctl *c = s->ctl;

	s->running = false;
	if (s->orphan)
		stream_dispose(s);
	else
		ctl_resume(c);
	zone_job_end(z);
	ctl_drop(c);
}

static enum pump frame_order(struct stream *s)
{
	s->running = true;
	zone_job_begin(s->zone);
	ctl_hold(s->ctl);
	if (pool_post(s->zone->e->workers, POOL_LOW, frame_make, s) == 0)
		return PUMP_WAIT;
	s->running = false;
	zone_job_end(s->zone);
	ctl_drop(s->ctl);
	ctl_fail(s->ctl, "no-memory", NULL, "out of memory");
	return PUMP_END;
}

static bool is_in_the_way(const struct stream *s)
{
	return s->pub != s->zone->net.pub && s->pub->version <= s->zone->given_up;
}

static enum pump stream_broken(struct ctl *c, struct stream *s)
{
	if (s->code) {
		ctl_fail(c, s->code, s->hint, "%s", s->text);
		return PUMP_END;
	}
	if (s->err == ZS_ECRC && s->zone->net.pub == s->pub)
		zone_damaged(s->zone, s->err, s->ops->what);
	ctl_fail(c, "failed", NULL, "%s ends here, incomplete: %s", s->ops->what, zs_strerror(s->err));
	return PUMP_END;
}

static enum pump stream_pump(struct ctl *c, void *arg)
{
	struct stream *s = arg;

	if (s->frame) {
		ctl_frame(c, s->frame, s->frame_len);
		s->frame = NULL;
		return PUMP_MORE;
	}
	if (s->err == ZS_EAGAIN && !s->started && ++s->tries < OPEN_TRIES) {
		s->err = 0;
		return frame_order(s);
	}
	if (s->err)
		return stream_broken(c, s);
	if (s->done) {
		if (s->ops->home)
			return s->ops->home(c, s);
		ctl_end(c, CTL_DONE);
		return PUMP_END;
	}
	if (mono_diff(clk_mono(), s->give_up) > 0 || s->zone->closing || is_in_the_way(s)) {
		ctl_fail(c, "too-slow",
			 "the snapshot behind an answer is given up after `server: snapshot: age`, or when "
			 "it keeps more than `growth` of the store from being reused",
			 "%s ends here, incomplete: its snapshot was given up", s->ops->what);
		return PUMP_END;
	}
	return frame_order(s);
}

/* The request is over; the worker may still be at it, then frame_back() disposes. */
static void stream_over(void *arg)
{
	struct stream *s = arg;

	timer_stop(s->zone->e->timers, &s->timer);
	if (s->running)
		s->orphan = true;
	else
		stream_dispose(s);
}

struct stream *stream_new(struct ctl *c, const struct stream_ops *ops, void *arg)
{
	struct zone *z = verb_one_zone(c);
	struct stream *s = NULL;

	if (z && !z->net.pub) {
		ctl_fail(c, "no-version", "`zonesealctl zone status` says what it waits for",
			 "zone %s has no published version", z->name);
		return NULL;
	}
	if (z && !(s = calloc(1, sizeof(*s))))
		ctl_fail(c, "no-memory", NULL, "out of memory");
	if (!s)
		return NULL;
	s->ctl = c;
	s->ops = ops;
	s->arg = arg;
	s->zone = z;
	s->pub = pub_ref(z->net.pub);
	s->give_up = mono_add(clk_mono(), MONO_S(z->e->setup->conf->snapshot_age));
	zone_job_begin(z); /* the zone and its store stay until the stream is disposed of */
	ctl_pump(c, stream_pump, stream_over, s);
	return s;
}

/* --- records as text ------------------------------------------------------------------------------------ */

int stream_record(struct wr *text, char *line, const char *before, const uint8_t *owner, uint32_t ttl,
		  uint16_t type, const uint8_t *rdata, uint16_t len)
{
	char name[NAME_MAX_TEXT], type_text[RR_TYPE_TEXT], head[NAME_MAX_TEXT + 64];
	int n = rdata_text(type, rdata, len, line, STREAM_RDATA_TEXT), h;

	if (n < 0)
		return n;
	h = snprintf(head, sizeof(head), "%s%s\t%u\tIN\t%s\t", before, name_to_text(owner, name), ttl,
		     rr_type_text(type, type_text));
	wr_bytes(text, head, (size_t)h);
	wr_bytes(text, line, (size_t)n);
	wr_u8(text, '\n');
	return text->err;
}
