/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared work: each piece once, helpers that come too late, the end while a piece is under way. To be run
 * under ThreadSanitizer as well. */
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "base/share.h"
#include "t_suite.h"

#define PIECES 1000

struct work {
	atomic_uint done[PIECES];
	atomic_uint by[1 + SHARE_HELPERS], left[1 + SHARE_HELPERS];
	sem_t entered;
	atomic_bool finished;
	struct pool *pool;
};

static void piece(void *arg, unsigned who, size_t i)
{
	struct work *w = arg;

	atomic_fetch_add(&w->done[i], 1);
	atomic_fetch_add(&w->by[who], 1);
	sched_yield();
}

static void leave(void *arg, unsigned who)
{
	atomic_fetch_add(&((struct work *)arg)->left[who], 1);
}

static void hold(void *arg)
{
	struct work *w = arg;

	sem_wait(&w->entered);
}

START_TEST(each_piece_once)
{
	struct pool *p = pool_new(4, "share");
	struct work w;
	struct share_work s = { .piece = piece, .leave = leave, .arg = &w, .pieces = PIECES };
	struct share *share;

	for (unsigned helpers = 0; helpers <= SHARE_HELPERS; helpers++) {
		unsigned sum = 0;

		memset(&w, 0, sizeof(w));
		ck_assert_ptr_nonnull(share = share_start(p, helpers, &s));
		share_join(share);
		share_end(share);
		for (unsigned i = 0; i < PIECES; i++)
			ck_assert_uint_eq(w.done[i], 1);
		for (unsigned who = 0; who <= SHARE_HELPERS; who++) {
			sum += w.by[who];
			ck_assert_uint_le(w.left[who], who > 0 && who <= helpers);
			ck_assert(w.by[who] == 0 || who == 0 || w.left[who] == 1);
		}
		ck_assert_uint_eq(sum, PIECES);
	}
	pool_free(p);
}
END_TEST

/* All workers have other things to do: the owner does it alone, and waits for nobody. */
START_TEST(nobody_comes)
{
	struct pool *p = pool_new(1, "share");
	struct work w = { .finished = false };
	struct share_work s = { .piece = piece, .leave = leave, .arg = &w, .pieces = PIECES };
	struct share *share;

	sem_init(&w.entered, 0, 0);
	ck_assert_int_eq(pool_post(p, POOL_URGENT, hold, &w), 0);
	ck_assert_ptr_nonnull(share = share_start(p, 2, &s));
	share_join(share);
	share_end(share);
	ck_assert_uint_eq(w.by[0], PIECES);
	ck_assert_ptr_nonnull(share = share_start(p, 1, &s));
	share_end(share); /* before anybody began */
	sem_post(&w.entered);
	pool_free(p); /* the late ones run now */
	ck_assert_uint_eq(w.by[0], PIECES);
	for (unsigned who = 1; who <= SHARE_HELPERS; who++)
		ck_assert_uint_eq(w.by[who] + w.left[who], 0);
	share_end(NULL);
}
END_TEST

static void done(void *arg)
{
	struct work *w = arg;

	sem_post(&w->entered);
}

static void slow(void *arg, unsigned who, size_t i)
{
	struct work *w = arg;

	sem_post(&w->entered);
	for (unsigned n = 0; n < 1000; n++)
		sched_yield();
	atomic_store(&w->finished, true);
}

START_TEST(the_end_waits_for_a_piece)
{
	struct pool *p = pool_new(1, "share");
	struct work w = { .finished = false };
	struct share_work s = { .piece = slow, .leave = leave, .arg = &w, .pieces = PIECES };
	struct share *share;

	sem_init(&w.entered, 0, 0);
	ck_assert_ptr_nonnull(share = share_start(p, 1, &s));
	sem_wait(&w.entered);
	share_end(share);
	ck_assert(w.finished);
	ck_assert_uint_eq(w.left[1], 1);
	pool_free(p);
}
END_TEST

static void wanted(void *arg, unsigned who, size_t i)
{
	struct work *w = arg;

	atomic_fetch_add(&w->by[who], 1);
	if (i == 2)
		ck_assert_int_eq(pool_post(w->pool, POOL_NORMAL, done, w), 0);
}

/* A helper of low priority makes room for what is more urgent. */
START_TEST(a_helper_leaves_when_wanted)
{
	struct pool *p = pool_new(1, "share");
	struct work w = { .pool = p };
	struct share_work s = { .piece = wanted, .leave = leave, .arg = &w, .pieces = PIECES,
				.prio = POOL_LOW };
	struct share *share;

	sem_init(&w.entered, 0, 0);
	ck_assert_ptr_nonnull(share = share_start(p, 1, &s));
	sem_wait(&w.entered);
	share_end(share);
	ck_assert_uint_eq(w.by[1], 3);
	ck_assert_uint_eq(w.left[1], 1);
	pool_free(p);
}
END_TEST

START_TEST(how_many)
{
	static const unsigned threads[] = { 1, 2, 4, 9 }, want[] = { 0, 1, 3, SHARE_HELPERS };

	for (unsigned i = 0; i < 4; i++) {
		struct pool *p = pool_new(threads[i], "share");

		ck_assert_uint_eq(share_helpers(p), want[i]);
		pool_free(p);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = { each_piece_once, nobody_comes, the_end_waits_for_a_piece,
					a_helper_leaves_when_wanted, how_many };

	return RUN_SUITE("share", tests);
}
