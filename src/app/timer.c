/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A binary heap of deadlines. The libevent timer underneath is armed for the earliest one; with a clock that
 * can be moved (clk_poll_ms() not negative) it also ticks at that period, because nobody tells us of a jump.
 */
#include <stdbool.h>
#include <stdlib.h>
#include <event2/event.h>
#include "base/err.h"
#include "timer.h"

struct timers {
	struct event *ev;
	struct timer **heap;
	size_t n, cap;
	bool real; /* timers_end() */
};

static mono_t now(const struct timers *t)
{
	return t->real ? clk_mono_real() : clk_mono();
}

static void place(struct timers *t, size_t i, struct timer *tm)
{
	t->heap[i] = tm;
	tm->slot = i + 1;
}

static void sift_up(struct timers *t, size_t i)
{
	struct timer *tm = t->heap[i];

	while (i > 0 && mono_diff(tm->at, t->heap[(i - 1) / 2]->at) < 0) {
		place(t, i, t->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(t, i, tm);
}

static void sift_down(struct timers *t, size_t i)
{
	struct timer *tm = t->heap[i];

	for (;;) {
		size_t kid = 2 * i + 1;

		if (kid >= t->n)
			break;
		if (kid + 1 < t->n && mono_diff(t->heap[kid + 1]->at, t->heap[kid]->at) < 0)
			kid++;
		if (mono_diff(t->heap[kid]->at, tm->at) >= 0)
			break;
		place(t, i, t->heap[kid]);
		i = kid;
	}
	place(t, i, tm);
}

static void arm(struct timers *t)
{
	int64_t us = INT64_MAX;
	int poll_ms = clk_poll_ms();
	struct timeval tv;

	if (t->n > 0)
		us = mono_diff(t->heap[0]->at, now(t));
	if (us < 0)
		us = 0;
	if (poll_ms >= 0 && us > (int64_t)poll_ms * 1000)
		us = (int64_t)poll_ms * 1000;
	if (us == INT64_MAX) {
		evtimer_del(t->ev);
		return;
	}
	tv.tv_sec = us / 1000000;
	tv.tv_usec = us % 1000000;
	evtimer_add(t->ev, &tv);
}

static void fire(evutil_socket_t fd, short what, void *arg)
{
	struct timers *t = arg;
	mono_t until = now(t);

	(void)fd;
	(void)what;
	while (t->n > 0 && mono_diff(t->heap[0]->at, until) <= 0) {
		struct timer *tm = t->heap[0];

		timer_stop(t, tm);
		tm->fn(tm->arg);
	}
	arm(t);
}

struct timers *timers_new(struct event_base *ev)
{
	struct timers *t = calloc(1, sizeof(*t));

	if (t && !(t->ev = evtimer_new(ev, fire, t))) {
		free(t);
		t = NULL;
	}
	if (t)
		arm(t);
	return t;
}

void timers_free(struct timers *t)
{
	if (!t)
		return;
	event_free(t->ev);
	free(t->heap);
	free(t);
}

void timers_end(struct timers *t)
{
	int64_t by = mono_diff(clk_mono_real(), clk_mono());

	if (t->real)
		return;
	t->real = true;
	for (size_t i = 0; i < t->n; i++)
		t->heap[i]->at = mono_add(t->heap[i]->at, by);
	arm(t);
}

int timer_set(struct timers *t, struct timer *tm, int64_t us, void (*fn)(void *), void *arg)
{
	timer_stop(t, tm);
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		struct timer **h = realloc(t->heap, cap * sizeof(*h));

		if (!h)
			return ZS_ENOMEM;
		t->heap = h;
		t->cap = cap;
	}
	tm->at = mono_add(now(t), us > 0 ? us : 0);
	tm->fn = fn;
	tm->arg = arg;
	t->heap[t->n] = tm;
	sift_up(t, t->n++);
	if (tm->slot == 1)
		arm(t);
	return 0;
}

void timer_stop(struct timers *t, struct timer *tm)
{
	size_t i;
	struct timer *last;

	if (!tm->slot)
		return;
	i = tm->slot - 1;
	tm->slot = 0;
	last = t->heap[--t->n];
	if (last == tm)
		return;
	place(t, i, last);
	sift_up(t, i);
	sift_down(t, last->slot - 1);
}
