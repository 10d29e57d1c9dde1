/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The system's clocks, shared by clk.c and the clock of the tests (t/clk_fake.c). */
#ifndef ZONESEAL_SRC_BASE_CLK_REAL_H
#define ZONESEAL_SRC_BASE_CLK_REAL_H

#include <stdint.h>
#include <time.h>

static inline int64_t clk_real_seconds(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec;
}

static inline int64_t clk_real_micros(clockid_t id)
{
	struct timespec ts = { 0 };

	clock_gettime(id, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

#endif
