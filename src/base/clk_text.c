/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Wall time as text. Pure: no clock is read here. Called by the logger and by whatever shows a time. The
 * calendar is computed here and not by gmtime_r(), which takes a lock of the time zone code.
 */
#include "base/clk.h"

#include <inttypes.h>
#include <stdio.h>

/* Years outside 0..9999 have no RFC 3339 form; such a time is shown as plain seconds. */
#define WALL_MIN (-62167219200)
#define WALL_MAX 253402300799

/* Gregorian date of a day counted from 1970-01-01; years begin in March, so that leap days are last. */
static void date_of_day(int64_t day, int *year, int *month, int *mday)
{
	int64_t z = day + 719468; /* from 0000-03-01 */
	int64_t era = (z >= 0 ? z : z - 146096) / 146097;
	int64_t doe = z - era * 146097;
	int64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
	int64_t mp = (5 * doy + 2) / 153;

	*mday = (int)(doy - (153 * mp + 2) / 5 + 1);
	*month = (int)(mp < 10 ? mp + 3 : mp - 9);
	*year = (int)(yoe + era * 400 + (*month <= 2));
}

char *wall_text(wall_t t, char buf[static WALL_TEXT])
{
	int year, month, mday;
	int64_t day, sec;

	if (t.s < WALL_MIN || t.s > WALL_MAX) {
		snprintf(buf, WALL_TEXT, "@%" PRId64, t.s);
		return buf;
	}
	day = t.s / 86400;
	sec = t.s % 86400;
	if (sec < 0) {
		sec += 86400;
		day--;
	}
	date_of_day(day, &year, &month, &mday);
	snprintf(buf, WALL_TEXT, "%04d-%02d-%02dT%02d:%02d:%02dZ", year % 10000, month % 100, mday % 100,
		 (int)(sec / 3600), (int)(sec / 60 % 60), (int)(sec % 60));
	return buf;
}
