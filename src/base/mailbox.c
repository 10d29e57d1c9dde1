/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The mailbox: any thread posts, one thread runs. Invariant, under the lock: the eventfd is readable exactly
 * when something waits. What is posted during a run waits for the next one, so a run ends. Called by the
 * loops of engine and vault.
 */
#include "base/pool.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "work.h"

struct mailbox {
	pthread_mutex_t lock;
	struct work_queue queue;
	int fd;
};

struct mailbox *mailbox_new(void)
{
	struct mailbox *m = calloc(1, sizeof *m);

	if (!m)
		return NULL;
	m->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (m->fd < 0) {
		free(m);
		return NULL;
	}
	pthread_mutex_init(&m->lock, NULL);
	return m;
}

int mailbox_fd(const struct mailbox *m)
{
	return m->fd;
}

int mailbox_post(struct mailbox *m, work_fn fn, void *arg)
{
	struct work *w = work_new(fn, arg);

	if (!w)
		return ZS_ENOMEM;
	pthread_mutex_lock(&m->lock);
	if (!m->queue.head)
		eventfd_write(m->fd, 1); /* cannot block: the counter was 0 */
	work_append(&m->queue, w);
	pthread_mutex_unlock(&m->lock);
	return 0;
}

size_t mailbox_run(struct mailbox *m)
{
	struct work_queue batch;
	struct work *w;
	eventfd_t seen;
	size_t n = 0;

	pthread_mutex_lock(&m->lock);
	batch = m->queue;
	m->queue = (struct work_queue){ 0 };
	if (batch.head)
		eventfd_read(m->fd, &seen);
	pthread_mutex_unlock(&m->lock);
	while ((w = work_shift(&batch)) != NULL) {
		work_fn fn = w->fn;
		void *arg = w->arg;

		free(w);
		fn(arg);
		n++;
	}
	return n;
}

void mailbox_free(struct mailbox *m)
{
	struct work *w;

	if (!m)
		return;
	while ((w = work_shift(&m->queue)) != NULL)
		free(w);
	close(m->fd);
	pthread_mutex_destroy(&m->lock);
	free(m);
}
