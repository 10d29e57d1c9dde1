/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The bound of a version in the tests, linked instead of src/store/view_bound.c: $ZONESEAL_TEST_PAGES
 * estimated pages. What is too large for a version is small then, and so is everything that is derived from
 * the bound. Without the variable it is the real one.
 */
#include "store/store.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

static size_t bound = VIEW_PAGES_MAX;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A test that asked for a bound and silently got another one would prove nothing. */
static void read_bound(void)
{
	const char *text = getenv("ZONESEAL_TEST_PAGES");
	char *end;

	if (!text)
		return;
	bound = strtoul(text, &end, 10);
	if (*end || bound == 0 || bound > VIEW_PAGES_MAX) {
		fprintf(stderr, "ZONESEAL_TEST_PAGES: not a bound: %s\n", text);
		abort();
	}
}

size_t view_pages_max(void)
{
	pthread_once(&once, read_bound);
	return bound;
}
