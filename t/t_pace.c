/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Turns of many zones: bounded a second, at once where there are few, and all of them within their time. */
#include <check.h>
#include "../src/app/pace.h"
#include "t_suite.h"

START_TEST(a_few_go_at_once)
{
	struct pace p = { { 0 } };
	mono_t now = { .us = MONO_S(77) };

	for (int i = 0; i < PACE_ZONES; i++)
		ck_assert_int_eq(pace_take(&p, now, INT64_MAX), 0);
	ck_assert_int_gt(pace_take(&p, now, INT64_MAX), 0);
	now = mono_add(now, MONO_S(3600)); /* as many again, not more for the long rest */
	for (int i = 0; i < PACE_ZONES; i++)
		ck_assert_int_eq(pace_take(&p, now, INT64_MAX), 0);
	ck_assert_int_gt(pace_take(&p, now, INT64_MAX), 0);
}
END_TEST

START_TEST(many_are_bounded_a_second)
{
	struct pace p = { { 0 } };
	mono_t now = { .us = MONO_S(77) };
	int64_t last = 0, most = 0;
	unsigned in_second[600] = { 0 };

	for (int i = 0; i < 100000; i++) {
		int64_t wait = pace_take(&p, now, INT64_MAX);

		ck_assert_int_ge(wait, last);
		last = wait;
		ck_assert_int_lt(wait, MONO_S(600));
		in_second[wait / 1000000]++;
	}
	for (size_t i = 0; i < 600; i++)
		most = in_second[i] > most ? in_second[i] : most;
	ck_assert_int_le(most, PACE_ZONES + 1000000 / PACE_US);
	ck_assert_int_eq(last / 1000000, (100000 - PACE_ZONES) * (int64_t)PACE_US / 1000000);
}
END_TEST

/* One that waits for its turn keeps it however often it is told to look, and nobody waits for turns that it
 * does not need. */
START_TEST(a_turn_is_taken_once)
{
	struct pace p = { { 0 } };
	mono_t now = { .us = MONO_S(77) };
	int64_t due[1000], last;

	for (int i = 0; i < 1000; i++)
		due[i] = pace_take(&p, now, INT64_MAX);
	last = due[999];
	for (int again = 0; again < 100; again++) {
		now = mono_add(now, MONO_MS(10));
		for (int i = 0; i < 1000; i++) {
			due[i] -= due[i] < MONO_MS(10) ? due[i] : MONO_MS(10);
			ck_assert_int_eq(pace_take(&p, now, due[i]), due[i]);
		}
	}
	ck_assert_int_eq(pace_take(&p, now, INT64_MAX), last - MONO_MS(1000) + PACE_US);
	ck_assert_int_eq(pace_take(&p, now, -1), 0); /* overdue */
}
END_TEST

START_TEST(the_rest_is_spread_over_its_time)
{
	ck_assert_int_eq(pace_spread(0, 12345), 0);
	ck_assert_int_eq(pace_spread(PACE_ZONES, UINT64_MAX), 0);
	ck_assert_int_eq(pace_spread(1000, 1000 * (uint64_t)PACE_US), 0);
	ck_assert_int_eq(pace_spread(1000, 1000 * (uint64_t)PACE_US - 1), 1000 * (int64_t)PACE_US - 1);
	ck_assert_int_eq(pace_spread(100000, 499999999), 499999999);
	for (uint64_t r = 0; r < 1000; r++)
		ck_assert_int_lt(pace_spread(100000, r * 0x9e3779b97f4a7c15u), MONO_S(500));
}
END_TEST

int main(void)
{
	const TTest *tests[] = { a_few_go_at_once, many_are_bounded_a_second, a_turn_is_taken_once,
				 the_rest_is_spread_over_its_time };

	return RUN_SUITE("pace", tests);
}
