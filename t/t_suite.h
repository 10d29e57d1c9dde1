/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The main() of a test program: a table of tests, run as one suite. */
#ifndef ZONESEAL_T_SUITE_H
#define ZONESEAL_T_SUITE_H

#include <check.h>
#include <stddef.h>

/* Runs them; the value for main() to return. */
static inline int run_suite(const char *name, const TTest *const *tests, size_t n)
{
	Suite *s = suite_create(name);
	TCase *t = tcase_create(name);
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60); /* under sanitizers on a slow machine */
	for (size_t i = 0; i < n; i++)
		tcase_add_test(t, tests[i]);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}

#define RUN_SUITE(name, tests) run_suite(name, tests, sizeof(tests) / sizeof((tests)[0]))

#endif
