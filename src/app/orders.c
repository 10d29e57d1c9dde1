/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Orders of a zone: taken, written behind the scenes, one text at a time, and given back when they are
 * carried out. A text that cannot be read is taken for a hold (open.c): whatever was ordered, nothing is
 * published against it. Called by the verbs and by what carries an order out.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "held.h"
#include "zone.h"

static bool is_empty(const struct orders *o)
{
	return !o->have_serial && !o->hold && !o->rollback && !o->resign_below;
}

static char *orders_path(const struct store *s)
{
	const char *state = store_keystate_path(s), *slash = strrchr(state, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*s/orders", (int)(slash ? slash - state : 0), state) < 0)
		return NULL;
	return path;
}

int orders_read(const struct store *s, struct orders *out)
{
	char *path = orders_path(s), *text = NULL;
	size_t len = 0;
	int err = path ? fs_read_checked(path, 4096, &text, &len) : ZS_ENOMEM;

	memset(out, 0, sizeof(*out));
	if (!err)
		err = orders_parse(text, out);
	free(text);
	free(path);
	return err == ZS_ENOENT ? 0 : err;
}

/* --- writing -------------------------------------------------------------------------------------------- */

struct orders_job { struct zone *zone; struct orders orders; int err; };

#define AGAIN_S 10
#define UNSAVED "an order cannot be remembered over a restart"

static void write_start(struct zone *z);

static void write_again(void *arg)
{
	write_start(arg);
}

static void unsaved(struct zone *z, int err)
{
	z->orders_unsaved = true;
	zone_alarm_set(z, ALARM_STORE, UNSAVED ": %s", zs_strerror(err));
	if (!z->closing)
		timer_set(z->e->timers, &z->orders_timer, MONO_S(AGAIN_S), write_again, z);
}

static void write_done(void *arg)
{
	struct orders_job *j = arg;
	struct zone *z = j->zone;

	z->orders_busy = false;
	z->e->orders_writing--;
	if (j->err) {
		unsaved(z, j->err);
	} else if (z->orders_unsaved) {
		z->orders_unsaved = false;
		log_msg(LL_NOTICE, "zone", z->name, "event=orders-stored");
		if (strncmp(z->alarm_text[ALARM_STORE], UNSAVED, strlen(UNSAVED)) == 0)
			zone_alarm_clear(z, ALARM_STORE);
	}
	free(j);
	if (z->orders_dirty)
		write_start(z);
	zone_job_end(z);
}

static void write_run(void *arg)
{
	struct orders_job *j = arg;
	char text[ORDERS_TEXT], *path = orders_path(j->zone->store);

	if (!path) {
		j->err = ZS_ENOMEM;
	} else if (is_empty(&j->orders)) {
		j->err = fs_remove(path);
		j->err = j->err == ZS_ENOENT ? 0 : j->err;
	} else {
		int n = orders_print(&j->orders, text, sizeof(text));

		j->err = fs_replace_checked(path, text, (size_t)n, 0600);
	}
	free(path);
	mailbox_post(j->zone->e->home, write_done, j);
}

/* One at a time, so that the last word is the one on disk. */
static void write_start(struct zone *z)
{
	struct orders_job *j;

	timer_stop(z->e->timers, &z->orders_timer);
	if (z->orders_busy)
		return;
	z->orders_dirty = false;
	j = calloc(1, sizeof(*j));
	if (!j) {
		unsaved(z, ZS_ENOMEM);
		return;
	}
	j->zone = z;
	j->orders = z->orders;
	z->orders_busy = true;
	z->e->orders_writing++;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_URGENT, write_run, j) != 0) {
		j->err = ZS_ENOMEM;
		write_done(j);
	}
}

static void keep(struct zone *z)
{
	z->orders_dirty = true;
	if (z->store)
		write_start(z);
}

void orders_close(struct zone *z)
{
	timer_stop(z->e->timers, &z->orders_timer);
}

unsigned orders_writing(const struct engine *e)
{
	return e->orders_writing;
}

/* --- orders --------------------------------------------------------------------------------------------- */

/* One line, as the text wants it. */
static void take_text(char *dst, size_t cap, const char *src)
{
	snprintf(dst, cap, "%s", src);
	for (char *p = dst; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = ' ';
}

void orders_serial(struct zone *z, uint32_t serial)
{
	z->orders.have_serial = true;
	z->orders.serial = serial;
	keep(z);
	version_schedule(z);
	version_wake(z);
}

void orders_hold(struct zone *z, const char *who, const char *why)
{
	struct orders *o = &z->orders;

	if (!o->hold)
		o->hold_since = clk_wall().s;
	o->hold = true;
	take_text(o->hold_who, sizeof(o->hold_who), who);
	take_text(o->hold_why, sizeof(o->hold_why), why);
	keep(z);
	held_alarm(z);
}

bool orders_release(struct zone *z)
{
	bool was = z->orders.hold, undone = z->orders.rolled_back;

	if (!was)
		return false;
	z->orders.hold = z->orders.rolled_back = false;
	z->orders.rollback = 0;
	z->order_failed = false;
	if (undone)
		zone_force_transfer(z);
	keep(z);
	held_alarm(z);
	return true;
}

void orders_resign(struct zone *z)
{
	z->orders.resign_below = atomic_load(&z->next_seq);
	z->resign_done = 0;
	z->resign_last = UINT64_MAX;
	z->resign_of = z->meta.rrsets;
	keep(z);
	version_schedule(z);
}

/* What a round has signed is not found by the next one. An entry of the index that stays all the same must
 * not keep us at it for ever. */
void orders_resign_round(struct zone *z, uint64_t below, uint64_t found)
{
	if (z->orders.resign_below != below) /* ordered once more meanwhile */
		return;
	if (found && z->resign_last > found) {
		z->resign_last = found;
		return;
	}
	log_msg(found ? LL_WARN : LL_NOTICE, "zone", z->name, "event=resigned rrsets=%llu left=%llu",
		(unsigned long long)z->resign_done, (unsigned long long)found);
	z->orders.resign_below = 0;
	keep(z);
}

void orders_rollback(struct zone *z, uint64_t version, const char *who, const char *to)
{
	z->order_failed = false;
	z->orders.rollback = version;
	z->orders.rolled_back = true;
	orders_hold(z, who, to);
}

void orders_rolled_back(struct zone *z, uint64_t version, const char *failed)
{
	struct orders *o = &z->orders;
	char why[ORDER_WHY];

	if (failed)
		log_msg(LL_ERR, "zone", z->name, "event=rollback-failed: %s", failed);
	else
		log_msg(LL_NOTICE, "zone", z->name, "event=rolled-back version=%llu by %s",
			(unsigned long long)version, o->hold_who);
	if (o->rollback != version) /* ordered elsewhere meanwhile, or released */
		return;
	o->rollback = 0;
	z->order_failed = failed != NULL;
	if (failed) {
		snprintf(why, sizeof(why), "%.100s failed: %.140s", o->hold_why, failed);
		take_text(o->hold_why, sizeof(o->hold_why), why);
	}
	keep(z);
	held_alarm(z);
}

void orders_published(struct zone *z, uint32_t serial)
{
	if (!z->orders.have_serial || serial_cmp(z->orders.serial, serial) == SERIAL_GT)
		return;
	log_msg(LL_NOTICE, "serial", z->name, "event=serial-ordered serial=%u is passed by %u",
		z->orders.serial, serial);
	z->orders.have_serial = false;
	keep(z);
}
