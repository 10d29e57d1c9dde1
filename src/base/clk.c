/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The clocks of the running system. Called by the app layer, the mains and the logger only. Nothing but these
 * functions stands in this file: a test that links t/clk_fake.c replaces it as a whole.
 */
#include "base/clk.h"

#include "clk_real.h"

wall_t clk_wall(void)
{
	return WALL(clk_real_seconds(CLOCK_REALTIME));
}

mono_t clk_mono(void)
{
	return (mono_t){ .us = clk_real_micros(CLOCK_MONOTONIC) };
}

mono_t clk_mono_real(void)
{
	return clk_mono();
}

int64_t clk_boot(void)
{
	return clk_real_seconds(CLOCK_BOOTTIME);
}

int clk_poll_ms(void)
{
	return -1;
}
