/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Fault marks: a process that dies of a fault leaves the name of its zone behind;
 * two within an hour quarantine it. */
#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include "../src/app/faultmark.h"
#include "t_suite.h"

static const uint8_t zone_a[] = "\1a\7example";
static const uint8_t zone_b[] = "\1b\7example";

/* A child that works for `zone` and dies of `sig`; the parent keeps the page. */
static struct fault_page *die(const uint8_t *zone, int sig)
{
	int fd, status;
	struct fault_page *page = fault_page_new(&fd);
	pid_t pid;

	ck_assert_ptr_nonnull(page);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		struct rlimit none = { 0, 0 };

		setrlimit(RLIMIT_CORE, &none);
		if (fault_attach(fd) != 0)
			_exit(1);
		fault_zone(zone);
		raise(sig);
		_exit(2);
	}
	close(fd);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	return page;
}

static bool mark(struct fault_log *log, const uint8_t *zone, int sig, int64_t at_s, uint64_t *id)
{
	struct fault_page *page = die(zone, sig);
	bool twice = fault_collect(page, log, (mono_t){ .us = MONO_S(at_s) }, id);

	ck_assert(!fault_collect(page, log, (mono_t){ .us = MONO_S(at_s) }, id)); /* read once */
	fault_page_free(page);
	return twice;
}

START_TEST(second_fault_within_an_hour)
{
	static const int sigs[] = { SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL };

	for (size_t i = 0; i < sizeof(sigs) / sizeof(sigs[0]); i++) {
		struct fault_log log = { .n = 0 };
		uint64_t id = 0;

		ck_assert(!mark(&log, zone_a, sigs[i], 1000, &id));
		ck_assert_uint_eq(id, fault_id(zone_a));
		ck_assert(!mark(&log, zone_b, sigs[i], 1001, &id));
		ck_assert(mark(&log, zone_a, sigs[i], 1000 + FAULT_WINDOW_S, &id));
		ck_assert_uint_eq(id, fault_id(zone_a));
	}
}
END_TEST

START_TEST(later_than_an_hour)
{
	struct fault_log log = { .n = 0 };
	uint64_t id;

	ck_assert(!mark(&log, zone_a, SIGSEGV, 1000, &id));
	ck_assert(!mark(&log, zone_a, SIGSEGV, 1001 + FAULT_WINDOW_S, &id));
}
END_TEST

START_TEST(no_zone_no_mark)
{
	struct fault_log log = { .n = 0 };
	struct fault_page *page = die(NULL, SIGSEGV);
	uint64_t id;

	ck_assert(!fault_collect(page, &log, (mono_t){ .us = 0 }, &id));
	ck_assert_uint_eq(log.n, 0);
	ck_assert_uint_ne(fault_id(zone_a), fault_id(zone_b));
	fault_page_free(page);
}
END_TEST

int main(void)
{
	const TTest *tests[] = { second_fault_within_an_hour, later_than_an_hour, no_zone_no_mark };

	return RUN_SUITE("fault", tests);
}
