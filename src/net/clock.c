/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The one clock of the net layer: how long something took, and whether a peer still moves. No decision
 * about zone data depends on it. */
#include <time.h>

#include "addr_impl.h"

int64_t net_mono_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}
