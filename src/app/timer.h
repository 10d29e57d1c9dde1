/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's timers: a heap on our own monotonic clock, driven by one libevent timer. Our own, so that a
 * test clock moves them (base/clk.h). Loop thread only. A timer belongs to its owner and must be stopped
 * before it goes.
 */
#ifndef ZONESEAL_SRC_APP_TIMER_H
#define ZONESEAL_SRC_APP_TIMER_H

#include <stddef.h>
#include "base/clk.h"

struct event_base;
struct timers;

struct timer {
	mono_t at;
	void (*fn)(void *arg);
	void *arg;
	size_t slot; /* position in the heap + 1; 0 = not set */
};

struct timers *timers_new(struct event_base *ev);
void timers_free(struct timers *t);
/* From now on the real clock drives them: what is left to do on the way out comes back on a test clock that
 * stands still, too. */
void timers_end(struct timers *t);
/* (Re)sets: fires once, at or after now + us. 0 or ZS_ENOMEM. */
int timer_set(struct timers *t, struct timer *tm, int64_t us, void (*fn)(void *), void *arg);
void timer_stop(struct timers *t, struct timer *tm);

#endif
