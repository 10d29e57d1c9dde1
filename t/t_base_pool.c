/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Pool and mailbox: order, priority, draining at the end. Meant to run under TSan as well. */
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/pool.h"
#include "t_suite.h"

static sem_t gate, entered;
static int order[64];
static atomic_uint count;

static void hold(void *arg)
{
	sem_post(&entered);
	sem_wait(&gate);
}

static void add(void *arg)
{
	order[atomic_fetch_add(&count, 1)] = *(int *)arg;
}

static void bump(void *arg)
{
	atomic_fetch_add((atomic_uint *)arg, 1);
}

/* One thread that is held while jobs of all priorities are posted: then their order is known. */
START_TEST(test_priorities)
{
	static int id[] = { 20, 10, 0, 21, 11, 1 };
	static const enum pool_prio prio[] = {
		POOL_LOW, POOL_NORMAL, POOL_URGENT, POOL_LOW, POOL_NORMAL, POOL_URGENT,
	};
	static const int want[] = { 0, 1, 10, 11, 20, 21 };
	struct pool *p = pool_new(1, "a-name-that-is-too-long");

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(pool_threads(p), 1);
	sem_init(&gate, 0, 0);
	sem_init(&entered, 0, 0);
	ck_assert_int_eq(pool_post(p, POOL_LOW, hold, NULL), 0);
	sem_wait(&entered);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(pool_post(p, prio[i], add, &id[i]), 0);
	ck_assert_uint_eq(pool_queued(p), 6);
	sem_post(&gate);
	pool_free(p); /* runs what is queued */
	ck_assert_uint_eq(count, 6);
	for (int i = 0; i < 6; i++)
		ck_assert_int_eq(order[i], want[i]);
	pool_free(NULL);
}
END_TEST

struct chain {
	struct pool *pool;
	int left;
	atomic_uint *runs;
};

static void next_link(void *arg)
{
	struct chain *c = arg;

	atomic_fetch_add(c->runs, 1);
	if (--c->left > 0)
		pool_post(c->pool, POOL_NORMAL, next_link, c);
}

/* Jobs that post jobs while the pool ends are run too. */
START_TEST(test_drain)
{
	static atomic_uint runs;
	struct pool *p = pool_new(4, "drain");
	struct chain c[8];

	ck_assert_uint_eq(pool_threads(p), 4);
	for (int i = 0; i < 8; i++) {
		c[i] = (struct chain){ p, 1000, &runs };
		ck_assert_int_eq(pool_post(p, POOL_NORMAL, next_link, &c[i]), 0);
	}
	pool_free(p);
	ck_assert_uint_eq(runs, 8000);
}
END_TEST

static int readable(const struct mailbox *m)
{
	struct pollfd p = { .fd = mailbox_fd(m), .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

static void post_again(void *arg)
{
	mailbox_post(arg, bump, &count);
}

START_TEST(test_mailbox)
{
	static int id[] = { 1, 2, 3 };
	struct mailbox *m = mailbox_new();

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(readable(m), 0);
	ck_assert_uint_eq(mailbox_run(m), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(mailbox_post(m, add, &id[i]), 0);
	ck_assert_int_eq(readable(m), 1);
	ck_assert_uint_eq(mailbox_run(m), 3);
	ck_assert_int_eq(readable(m), 0);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(order[i], id[i]);
	mailbox_post(m, post_again, m); /* what is posted in a run waits for the next one */
	ck_assert_uint_eq(mailbox_run(m), 1);
	ck_assert_int_eq(readable(m), 1);
	ck_assert_uint_eq(mailbox_run(m), 1);
	mailbox_post(m, bump, &count);
	mailbox_free(m);
	mailbox_free(NULL);
	ck_assert_uint_eq(count, 4);
}
END_TEST

static void to_mailbox(void *arg)
{
	static atomic_uint unused;

	mailbox_post(arg, bump, &unused);
	mailbox_post(arg, bump, &count);
}

/* Many threads post, one runs; it sleeps in poll() whenever the descriptor says that nothing waits. */
START_TEST(test_mailbox_threads)
{
	struct mailbox *m = mailbox_new();
	struct pool *p = pool_new(4, "post");
	size_t n = 0;

	for (int i = 0; i < 5000; i++)
		ck_assert_int_eq(pool_post(p, POOL_NORMAL, to_mailbox, m), 0);
	while (n < 10000) {
		struct pollfd pf = { .fd = mailbox_fd(m), .events = POLLIN };

		ck_assert_int_eq(poll(&pf, 1, 50000), 1);
		n += mailbox_run(m);
	}
	pool_free(p);
	ck_assert_uint_eq(n, 10000);
	ck_assert_uint_eq(count, 5000);
	ck_assert_int_eq(readable(m), 0);
	mailbox_free(m);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_priorities,
		test_drain,
		test_mailbox,
		test_mailbox_threads,
	};

	return RUN_SUITE("base_pool", tests);
}
