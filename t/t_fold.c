/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Turns of many zones whose recent changes go to their place: src/app/fold.c with nothing around it. The
 * clock, the timers, the pool and the store are played here, so that each step is seen and none takes time.
 */
#include <check.h>
#include <stdlib.h>

#include "../src/app/faultmark.h"
#include "../src/app/zone.h"
#include "base/err.h"
#include "base/log.h"
#include "t_suite.h"

#define ZONES 1000
#define PORTION_MS 7

/* The zone's store, as far as a fold sees it. */
struct store { uint64_t left; unsigned portions, most; int64_t us_each; int err; };

static struct world {
	struct engine e;
	struct zone zone[ZONES];
	struct store store[ZONES];
	mono_t now;
	struct timer *timer[2 * ZONES];
	size_t ntimer;
	work_fn fn;              /* the job on its way; NULL: none */
	void *arg;
	work_fn back;            /* its answer */
	void *back_arg;
	unsigned jobs;           /* of all zones */
	unsigned troubles;
} w;

/* --- what fold.c calls ---------------------------------------------------------------------------------- */

wall_t clk_wall(void)
{
	return WALL(1);
}

mono_t clk_mono(void)
{
	return w.now;
}

mono_t clk_mono_real(void)
{
	return w.now;
}

int64_t clk_boot(void)
{
	return 1;
}

int clk_poll_ms(void)
{
	return -1;
}

void timer_stop(struct timers *t, struct timer *tm)
{
	if (!tm->slot)
		return;
	w.timer[tm->slot - 1] = w.timer[--w.ntimer];
	w.timer[tm->slot - 1]->slot = tm->slot;
	tm->slot = 0;
}

int timer_set(struct timers *t, struct timer *tm, int64_t us, void (*fn)(void *), void *arg)
{
	timer_stop(t, tm);
	ck_assert_uint_lt(w.ntimer, 2 * ZONES);
	tm->at = mono_add(w.now, us);
	tm->fn = fn;
	tm->arg = arg;
	w.timer[w.ntimer++] = tm;
	tm->slot = w.ntimer;
	return 0;
}

/* One at a time, and after whatever anybody waits for. */
int pool_post(struct pool *p, enum pool_prio prio, work_fn fn, void *arg)
{
	ck_assert_ptr_null(w.fn);
	ck_assert_int_eq(prio, POOL_LOW);
	w.fn = fn;
	w.arg = arg;
	return 0;
}

int mailbox_post(struct mailbox *m, work_fn fn, void *arg)
{
	w.back = fn;
	w.back_arg = arg;
	return 0;
}

void zone_job_begin(struct zone *z)
{
	z->jobs++;
	w.jobs++;
}

void zone_job_end(struct zone *z)
{
	z->jobs--;
	w.jobs--;
}

bool zone_is_retired(const struct zone *z)
{
	return false;
}

bool damage_is(int err)
{
	return err == ZS_ECRC;
}

void zone_damaged(struct zone *z, int err, const char *who)
{
	w.troubles++;
}

void zone_work_failed(struct zone *z, const char *what, int err)
{
	w.troubles++;
}

void fault_zone(const uint8_t *zone)
{
}

uint64_t store_recent(struct store *s)
{
	return s->left;
}

int store_fold(struct store *s, unsigned most, store_stop stop, void *ctx, uint64_t *left)
{
	uint64_t had = s->left;

	if (!s->us_each)
		w.now = mono_add(w.now, MONO_MS(PORTION_MS));
	s->portions++;
	while (!s->err && s->left && had - s->left < most) {
		w.now = mono_add(w.now, s->us_each);
		s->left--;
		if (!s->us_each || stop(ctx)) /* where it takes no time: one change each time */
			break;
	}
	s->most = had - s->left > s->most ? (unsigned)(had - s->left) : s->most;
	*left = s->left;
	return s->err;
}

/* --- the loop ------------------------------------------------------------------------------------------- */

static void setup(void)
{
	log_set_level(LL_ERR);
	memset(&w, 0, sizeof(w));
	w.now.us = MONO_S(1000);
	for (size_t i = 0; i < ZONES; i++) {
		struct zone *z = &w.zone[i];

		z->e = &w.e;
		z->name = (char *)(uintptr_t)"example.";
		z->store = &w.store[i];
		z->state = ZONE_IDLE;
		z->have_meta = true;
	}
}

/* The job runs, and what it has to say comes home. */
static void run_job(void)
{
	work_fn fn = w.fn;

	fn(w.arg);
	w.fn = NULL;
	w.back(w.back_arg);
}

static struct timer *earliest(void)
{
	struct timer *t = w.timer[0];

	for (size_t i = 1; i < w.ntimer; i++)
		if (mono_diff(w.timer[i]->at, t->at) < 0)
			t = w.timer[i];
	return t;
}

static void fire(struct timer *t)
{
	if (mono_diff(t->at, w.now) > 0)
		w.now = t->at;
	timer_stop(NULL, t);
	t->fn(t->arg);
}

/* Until nothing waits. Jobs take longest: the timers that are due meanwhile come first. */
static void run_all(void)
{
	while (w.fn || w.ntimer) {
		if (w.ntimer && (!w.fn || mono_diff(earliest()->at, w.now) <= 0))
			fire(earliest());
		else
			run_job();
	}
	ck_assert_uint_eq(w.jobs, 0);
}

START_TEST(one_portion_at_a_time)
{
	mono_t began;

	setup();
	for (size_t i = 0; i < ZONES; i++) {
		w.store[i].left = i % 3;
		fold_plan(&w.zone[i]);
	}
	began = w.now;
	run_all(); /* pool_post() has looked */
	for (size_t i = 0; i < ZONES; i++) {
		ck_assert_uint_eq(w.store[i].left, 0);
		ck_assert_uint_eq(w.store[i].portions, i % 3 > 1 ? i % 3 : 1);
	}
	/* and the disk was free as long as it was worked on */
	ck_assert_int_ge(mono_diff(w.now, began), MONO_MS(2 * (ZONES + ZONES / 3 - 1) * PORTION_MS));
}
END_TEST

/* One zone with much to move does not keep the others waiting. */
START_TEST(they_take_turns)
{
	setup();
	w.store[0].left = 100;
	for (size_t i = 0; i < 10; i++) {
		w.store[i].left += 2;
		fold_plan(&w.zone[i]);
	}
	while (w.store[9].left) {
		if (w.ntimer && (!w.fn || mono_diff(earliest()->at, w.now) <= 0))
			fire(earliest());
		else
			run_job();
	}
	ck_assert_uint_le(w.store[0].portions, 4);
	run_all();
	ck_assert_uint_eq(w.store[0].portions, 102);
}
END_TEST

/* Who is worked on is passed by, and comes again; but not for ever. */
START_TEST(a_zone_that_is_worked_on)
{
	setup();
	w.store[0].left = w.store[1].left = 1;
	w.zone[0].committing = true;
	fold_plan(&w.zone[0]);
	fold_plan(&w.zone[1]);
	while (w.store[1].left) {
		if (w.fn)
			run_job();
		else
			fire(earliest());
	}
	ck_assert_uint_eq(w.store[0].portions, 0);
	run_all();
	ck_assert_uint_eq(w.store[0].portions, 1);
}
END_TEST

/* Zones that go while they wait, and one whose portion is on its way; published again meanwhile. */
START_TEST(zones_that_go)
{
	setup();
	for (size_t i = 0; i < 6; i++) {
		w.store[i].left = 1;
		fold_plan(&w.zone[i]);
	}
	while (!w.fn || w.ntimer)
		fire(earliest());
	for (size_t i = 0; i < 6; i += i == 2 ? 3 : 1) { /* the first ones, one of them at work; the last */
		w.zone[i].state = ZONE_CLOSED;
		fold_close(&w.zone[i]);
		fold_plan(&w.zone[i]);
		ck_assert(!w.zone[i].fold.turn.zone && !w.zone[i].fold.timer.slot);
	}
	fold_plan(&w.zone[3]);
	fold_plan(&w.zone[3]);
	run_all();
	for (size_t i = 0; i < 6; i++)
		ck_assert_uint_eq(w.store[i].portions, i == 3 || i == 4);
	fold_plan(&w.zone[3]);
	while (!w.fn)
		fire(earliest());
	fold_plan(&w.zone[3]); /* it may have looked before this version */
	run_all();
	ck_assert_uint_eq(w.store[3].portions, 3);
}
END_TEST

/* A failure is tried again later, and holds nobody up. */
START_TEST(a_zone_that_fails)
{
	mono_t began;

	setup();
	w.store[0] = (struct store){ .left = 1, .err = ZS_ENOSPC };
	w.store[1].left = 1;
	fold_plan(&w.zone[0]);
	fold_plan(&w.zone[1]);
	began = w.now;
	while (w.store[1].left) {
		if (w.fn)
			run_job();
		else
			fire(earliest());
	}
	ck_assert_int_lt(mono_diff(w.now, began), MONO_S(1));
	ck_assert_uint_eq(w.store[0].portions, 1);
	w.store[0].err = ZS_EAGAIN; /* a full map: nothing is wrong */
	while (w.store[0].portions < 5) {
		if (w.fn)
			run_job();
		else
			fire(earliest());
	}
	ck_assert_uint_eq(w.troubles, 0);
	ck_assert_int_lt(mono_diff(w.now, began), MONO_S(20));
	w.store[0].err = 0;
	run_all();
	ck_assert_uint_eq(w.store[0].left, 0);
}
END_TEST

/* Where each change is slow, a portion has few of them. */
START_TEST(a_portion_is_short)
{
	setup();
	w.store[0] = (struct store){ .left = 1000, .us_each = 3000 };
	w.store[1] = (struct store){ .left = 1000, .us_each = 20 };
	w.store[2] = (struct store){ .left = 5, .us_each = MONO_S(3) };
	for (size_t i = 0; i < 3; i++)
		fold_plan(&w.zone[i]);
	run_all();
	ck_assert_uint_eq(w.store[0].most, 8); /* over 20 ms behind the first one */
	ck_assert_uint_eq(w.store[1].most, 128);
	ck_assert_uint_eq(w.store[2].most, 2);
	for (size_t i = 0; i < 3; i++)
		ck_assert_uint_eq(w.store[i].left, 0);
}
END_TEST

/* On its way out the engine begins none. */
START_TEST(the_engine_ends)
{
	setup();
	for (size_t i = 0; i < 3; i++) {
		w.store[i].left = 1;
		fold_plan(&w.zone[i]);
	}
	while (!w.fn)
		fire(earliest());
	w.e.quitting = true;
	run_all();
	ck_assert_uint_eq(w.store[0].portions + w.store[1].portions + w.store[2].portions, 1);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { one_portion_at_a_time, they_take_turns, a_zone_that_is_worked_on,
				       zones_that_go, a_zone_that_fails, a_portion_is_short,
				       the_engine_ends };

	return RUN_SUITE("fold", tests);
}
