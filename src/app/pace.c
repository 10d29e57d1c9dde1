/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Turns of zones, for engine.c (those that can wait) and upstream.c (those that go first). Pure: a queue
 * would be another list of zones to keep right, and a random moment spreads the zones of one primary as well.
 */
#include "pace.h"

int64_t pace_take(struct pace *p, mono_t now, int64_t due)
{
	mono_t earliest = mono_add(now, -(int64_t)PACE_ZONES * PACE_US), at = p->next;
	int64_t wait;

	if (mono_diff(earliest, at) > 0)
		at = earliest;
	at = mono_add(at, PACE_US);
	wait = mono_diff(at, now);
	if (due <= 0 || due <= wait)
		return due > 0 ? due : 0;
	p->next = at;
	return wait > 0 ? wait : 0;
}

int64_t pace_spread(size_t zones, uint64_t r)
{
	return zones <= PACE_ZONES ? 0 : (int64_t)(r % ((uint64_t)zones * PACE_US));
}
