/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The worker pool: one lock, one condition, a FIFO for each priority. Invariant: a thread ends only when the
 * pool is stopping and all queues are empty, so a job that posts another one while the pool ends still has it
 * run. Called by the app layer (zone jobs), the transfer renderer and the vault (sessions).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pthread_setname_np */
#endif
#include "base/pool.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "work.h"

#define POOL_NAME 12 /* characters of the name; a thread name has 15 and "/NN" follows */

struct pool {
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct work_queue queues[POOL_PRIOS];
	size_t queued;
	int stop;
	unsigned started;
	char name[POOL_NAME + 1];
	pthread_t threads[];
};

/* The next item by priority, or NULL once the pool has ended. */
static struct work *next_work(struct pool *p)
{
	struct work *w = NULL;

	pthread_mutex_lock(&p->lock);
	while (p->queued == 0 && !p->stop)
		pthread_cond_wait(&p->wake, &p->lock);
	for (int i = 0; i < POOL_PRIOS && !w; i++)
		w = work_shift(&p->queues[i]);
	if (w)
		p->queued--;
	pthread_mutex_unlock(&p->lock);
	return w;
}

static void *worker(void *arg)
{
	struct pool *p = arg;
	struct work *w;

	while ((w = next_work(p)) != NULL) {
		work_fn fn = w->fn;
		void *fn_arg = w->arg;

		free(w);
		fn(fn_arg);
	}
	return NULL;
}

/* Signals belong to the thread of the loop, but those that a fault raises must reach the fault handler. */
static void block_signals(sigset_t *old)
{
	static const int faults[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS };
	sigset_t set;

	sigfillset(&set);
	for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++)
		sigdelset(&set, faults[i]);
	pthread_sigmask(SIG_BLOCK, &set, old);
}

static int start_threads(struct pool *p, unsigned threads)
{
	sigset_t old;
	int err = 0;

	block_signals(&old);
	while (p->started < threads && err == 0) {
		char name[POOL_NAME + 16];

		err = pthread_create(&p->threads[p->started], NULL, worker, p);
		if (err)
			break;
		snprintf(name, sizeof name, "%s/%u", p->name, p->started % 100);
		pthread_setname_np(p->threads[p->started], name);
		p->started++;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	return err;
}

struct pool *pool_new(unsigned threads, const char *name)
{
	struct pool *p;

	if (threads == 0)
		threads = 1;
	p = calloc(1, sizeof *p + threads * sizeof p->threads[0]);
	if (!p)
		return NULL;
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->wake, NULL);
	snprintf(p->name, sizeof p->name, "%s", name);
	if (start_threads(p, threads) != 0) {
		pool_free(p);
		return NULL;
	}
	return p;
}

int pool_post(struct pool *p, enum pool_prio prio, work_fn fn, void *arg)
{
	struct work *w = work_new(fn, arg);

	if (!w)
		return ZS_ENOMEM;
	pthread_mutex_lock(&p->lock);
	work_append(&p->queues[prio], w);
	p->queued++;
	pthread_mutex_unlock(&p->lock);
	pthread_cond_signal(&p->wake); /* outside: who wakes up finds the lock free */
	return 0;
}

unsigned pool_threads(const struct pool *p)
{
	return p->started;
}

size_t pool_queued(struct pool *p)
{
	size_t n;

	pthread_mutex_lock(&p->lock);
	n = p->queued;
	pthread_mutex_unlock(&p->lock);
	return n;
}

bool pool_is_wanted(struct pool *p, enum pool_prio prio)
{
	bool wanted = false;

	pthread_mutex_lock(&p->lock);
	for (int i = 0; i < (int)prio; i++)
		wanted |= p->queues[i].head != NULL;
	pthread_mutex_unlock(&p->lock);
	return wanted;
}

void pool_free(struct pool *p)
{
	if (!p)
		return;
	pthread_mutex_lock(&p->lock);
	p->stop = 1;
	pthread_cond_broadcast(&p->wake);
	pthread_mutex_unlock(&p->lock);
	for (unsigned i = 0; i < p->started; i++)
		pthread_join(p->threads[i], NULL);
	pthread_cond_destroy(&p->wake);
	pthread_mutex_destroy(&p->lock);
	free(p);
}
