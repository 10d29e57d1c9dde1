/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The signed serial of the next version: what the policy would like if that is newer than the floor
 * by RFC 1982, else the floor plus one. Pure; the recipe brings the floor.
 */
#include <time.h>

#include "dns/rr.h"
#include "seal/sign.h"

/* YYYYMMDD00 of a day in UTC; fits 32 bits until the year 4294. */
static uint32_t date_serial(int64_t now)
{
	time_t t = (time_t)now;
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL)
		return 0;
	return (uint32_t)((((int64_t)tm.tm_year + 1900) * 100 + tm.tm_mon + 1) * 100 + tm.tm_mday) * 100u;
}

static uint32_t candidate(enum serial_policy p, uint32_t upstream, uint32_t floor, bool have_floor,
			  int64_t now)
{
	switch (p) {
	case SERIAL_UPSTREAM:
		break;
	case SERIAL_INCREMENT:
		return have_floor ? floor + 1 : upstream;
	case SERIAL_UNIXTIME:
		return (uint32_t)now;
	case SERIAL_DATE:
		return date_serial(now);
	}
	return upstream;
}

uint32_t serial_next(enum serial_policy p, uint32_t upstream, uint32_t floor, bool have_floor, wall_t now)
{
	uint32_t want = candidate(p, upstream, floor, have_floor, now.s);

	if (!have_floor || serial_cmp(want, floor) == SERIAL_GT)
		return want;
	return floor + 1;
}
