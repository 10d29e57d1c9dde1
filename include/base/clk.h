/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Typed clocks. wall_t is UTC seconds since 1970, mono_t microseconds of a clock that never steps. Wrapped
 * in structs so that mixing them does not compile. Only the app layer and the mains call the clk_*()
 * functions; everything below takes `now` as an argument. Tests link another implementation (t/clk_fake.c).
 */
#ifndef ZONESEAL_BASE_CLK_H
#define ZONESEAL_BASE_CLK_H

#include <stdint.h>

typedef struct { int64_t s; } wall_t;
typedef struct { int64_t us; } mono_t;

#define WALL(sec) ((wall_t){ .s = (sec) })
#define MONO_MS(ms) ((int64_t)(ms) * 1000)
#define MONO_S(sec) ((int64_t)(sec) * 1000000)

wall_t clk_wall(void);
mono_t clk_mono(void);
/* CLOCK_BOOTTIME in whole seconds: counts through suspend, is not stepped; for guard G15. */
int64_t clk_boot(void);
/* The monotonic clock even where tests move the others: the end of a process must not wait for them. */
mono_t clk_mono_real(void);
/* How often somebody who waits for a time must look again, in milliseconds; -1: clocks do not jump by
 * themselves. */
int clk_poll_ms(void);

static inline wall_t wall_add(wall_t t, int64_t s) { return WALL(t.s + s); }
static inline int64_t wall_diff(wall_t a, wall_t b) { return a.s - b.s; }
static inline mono_t mono_add(mono_t t, int64_t us) { return (mono_t){ .us = t.us + us }; }
static inline int64_t mono_diff(mono_t a, mono_t b) { return a.us - b.us; }

/* RFC 3339 UTC, for example 2026-05-05T19:57:00Z. buf holds at least WALL_TEXT octets; returns buf. */
#define WALL_TEXT 32
char *wall_text(wall_t t, char buf[static WALL_TEXT]);

#endif
