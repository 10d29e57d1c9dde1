/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The crew's queue and its way back to the loop. Every job that was submitted comes back exactly once, as
 * done, through crew_news(); a job is always on one list only: a queue, a signing thread's hand, or `done`.
 * The steward (steward.c) and the signing threads (worker.c) share the structure in crew_priv.h.
 */
#include "crew_priv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "vault/guard.h"

void crew_wake(struct crew *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->wake, &one, sizeof(one));

	(void)n; /* a full counter is awake as well */
}

void crew_wait(struct crew *c, pthread_cond_t *cv, int seconds)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	ts.tv_sec += seconds;
	pthread_cond_timedwait(cv, &c->lock, &ts);
}

static int host_need_pin(void *ctx, enum pin_code *code, int *fd)
{
	struct crew *c = ctx;
	int rc = ZS_ECANCEL;

	pthread_mutex_lock(&c->lock);
	c->need_pin = true;
	c->have_pin = false;
	crew_wake(c);
	while (!c->have_pin && !c->quit)
		pthread_cond_wait(&c->errands_cv, &c->lock);
	if (c->have_pin) {
		*code = c->pin_code;
		*fd = c->pin_fd;
		c->pin_fd = -1;
		c->have_pin = false;
		rc = 0;
	}
	pthread_mutex_unlock(&c->lock);
	return rc;
}

static void host_login(void *ctx, enum login_code code, const char *text)
{
	struct crew *c = ctx;

	pthread_mutex_lock(&c->lock);
	c->login = true;
	c->login_code = code;
	strncpy(c->login_text, text, sizeof(c->login_text) - 1);
	crew_wake(c);
	pthread_mutex_unlock(&c->lock);
}

static void host_sick(void *ctx, enum heal degree)
{
	struct crew *c = ctx;

	pthread_mutex_lock(&c->lock);
	if (degree > c->want)
		c->want = degree;
	pthread_cond_broadcast(&c->errands_cv);
	pthread_mutex_unlock(&c->lock);
}

static int crew_init_sync(struct crew *c)
{
	pthread_condattr_t attr;

	c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (c->wake < 0)
		return zs_from_errno(errno);
	pthread_mutex_init(&c->lock, NULL);
	pthread_rwlock_init(&c->map_lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&c->work, &attr);
	pthread_cond_init(&c->errands_cv, &attr);
	pthread_condattr_destroy(&attr);
	return 0;
}

struct crew *crew_new(const struct proto_setup *setup)
{
	struct crew *c = calloc(1, sizeof(*c));
	uint32_t n = setup->file ? setup->threads : setup->sessions;

	if (!c)
		return NULL;
	c->setup = setup;
	c->pin_fd = -1;
	c->n_workers = n < 1 ? 1 : n > CREW_SESSIONS_MAX ? CREW_SESSIONS_MAX : n;
	c->sessions_max = c->n_workers;
	for (int p = 0; p < SIGN_PRIOS; p++)
		c->queue[p].tail = &c->queue[p].head;
	c->done_tail = &c->done;
	c->errands_tail = &c->errands;
	c->finished_tail = &c->finished;
	if (crew_init_sync(c)) {
		free(c);
		return NULL;
	}
	c->host = (struct backend_host){ c, host_need_pin, host_login, host_sick };
	c->backend = setup->file ? backend_file_new(setup, &c->host)
				 : backend_p11_new(setup, &c->host, &c->steward_mark);
	c->workers = calloc(c->n_workers, sizeof(*c->workers));
	if (!c->backend || !c->workers) {
		crew_free(c, NULL);
		return NULL;
	}
	return c;
}

int crew_start(struct crew *c)
{
	pthread_attr_t attr;
	unsigned i = 0;
	int err;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, CREW_STACK);
	crew_state(c, "opening");
	err = pthread_create(&c->steward, &attr, steward_main, c);
	c->started = err == 0;
	for (; i < c->n_workers && !err; i++) {
		c->workers[i].crew = c;
		err = pthread_create(&c->workers[i].thread, &attr, worker_main, &c->workers[i]);
		if (err)
			break;
	}
	if (i < c->n_workers) {
		c->n_workers = i;
		err = i && c->started ? 0 : err; /* fewer threads than wished for sign as well */
	}
	pthread_attr_destroy(&attr);
	return err ? ZS_ENOMEM : 0;
}

static void free_errands(struct errand *e)
{
	while (e) {
		struct errand *next = e->next;

		if (e->kind == ERRAND_BACKUP)
			close(e->dir);
		free(e);
		e = next;
	}
}

static void drop_jobs(struct job *j, void (*drop)(struct job *j))
{
	while (j) {
		struct job *next = j->next;

		if (drop)
			drop(j);
		j = next;
	}
}

void crew_free(struct crew *c, void (*drop)(struct job *j))
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->quit = true;
	pthread_cond_broadcast(&c->work);
	pthread_cond_broadcast(&c->errands_cv);
	pthread_mutex_unlock(&c->lock);
	if (c->started) {
		for (unsigned i = 0; i < c->n_workers; i++)
			pthread_join(c->workers[i].thread, NULL);
		pthread_join(c->steward, NULL);
	}
	if (c->backend)
		c->backend->ops->free(c->backend);
	for (int p = 0; p < SIGN_PRIOS; p++)
		drop_jobs(c->queue[p].head, drop);
	drop_jobs(c->done, drop);
	free_errands(c->errands);
	free_errands(c->finished);
	if (c->pin_fd >= 0)
		close(c->pin_fd);
	keymap_free(&c->map);
	close(c->wake);
	pthread_cond_destroy(&c->work);
	pthread_cond_destroy(&c->errands_cv);
	pthread_mutex_destroy(&c->lock);
	pthread_rwlock_destroy(&c->map_lock);
	free(c->workers);
	free(c);
}

int crew_fd(const struct crew *c)
{
	return c->wake;
}

void crew_put_done(struct crew *c, struct job *j, enum proto_status status)
{
	j->result.id = j->q.id;
	j->result.status = (uint8_t)status;
	j->result.sig = j->sig;
	if (status != PS_OK)
		j->result.sig_len = 0;
	j->next = NULL;
	*c->done_tail = j;
	c->done_tail = &j->next;
}

/* Back to where it came from, at the front: it has waited already. */
void crew_requeue(struct crew *c, struct job *j)
{
	struct queue *q = &c->queue[j->q.prio];

	j->next = q->head;
	if (!q->head)
		q->tail = &j->next;
	q->head = j;
	c->queued++;
}

void crew_state(struct crew *c, const char *text)
{
	if (text != c->text) {
		memset(c->text, 0, sizeof(c->text));
		strncpy(c->text, text, sizeof(c->text) - 1);
	}
	c->changed = true;
	crew_wake(c);
}

/* The store is going down: what nobody has begun goes back to the engine,
 * which waits for us or our successor. */
void crew_bounce(struct crew *c)
{
	for (int p = 0; p < SIGN_PRIOS; p++) {
		struct queue *q = &c->queue[p];
		struct job *j;

		while ((j = q->head)) {
			q->head = j->next;
			crew_put_done(c, j, j->tries ? PS_TOUCHED : PS_RETRY);
		}
		q->tail = &q->head;
	}
	c->queued = 0;
	crew_wake(c);
}

void crew_submit(struct crew *c, struct jobset *set)
{
	pthread_mutex_lock(&c->lock);
	for (size_t i = 0; i < set->n; i++) {
		struct job *j = &set->job[i];
		struct queue *q = &c->queue[j->q.prio];

		j->next = NULL;
		*q->tail = j;
		q->tail = &j->next;
	}
	c->queued += set->n;
	if (!c->up)
		crew_bounce(c);
	else if (set->n == 1)
		pthread_cond_signal(&c->work);
	else
		pthread_cond_broadcast(&c->work);
	pthread_mutex_unlock(&c->lock);
}

void crew_forget(struct crew *c, const void *owner)
{
	pthread_mutex_lock(&c->lock);
	for (int p = 0; p < SIGN_PRIOS; p++) {
		struct job **at = &c->queue[p].head, *j;

		while ((j = *at)) {
			if (j->set->owner != owner) {
				at = &j->next;
				continue;
			}
			*at = j->next;
			c->queued--;
			crew_put_done(c, j, PS_RETRY);
		}
		c->queue[p].tail = at;
	}
	crew_wake(c);
	pthread_mutex_unlock(&c->lock);
}

void crew_errand(struct crew *c, struct errand *e)
{
	pthread_mutex_lock(&c->lock);
	e->next = NULL;
	*c->errands_tail = e;
	c->errands_tail = &e->next;
	pthread_cond_broadcast(&c->errands_cv);
	pthread_mutex_unlock(&c->lock);
}

void crew_pin(struct crew *c, enum pin_code code, int fd)
{
	pthread_mutex_lock(&c->lock);
	if (c->pin_fd >= 0)
		close(c->pin_fd);
	c->pin_code = code;
	c->pin_fd = fd;
	c->have_pin = true;
	pthread_cond_broadcast(&c->errands_cv);
	pthread_mutex_unlock(&c->lock);
}

void crew_retry(struct crew *c)
{
	pthread_mutex_lock(&c->lock);
	c->next_open_us = 0;
	pthread_cond_broadcast(&c->errands_cv);
	pthread_mutex_unlock(&c->lock);
}

void crew_keymap(struct crew *c, struct keymap *m)
{
	pthread_rwlock_wrlock(&c->map_lock);
	keymap_free(&c->map);
	c->map = *m;
	memset(m, 0, sizeof(*m));
	pthread_rwlock_unlock(&c->map_lock);
}

int crew_keymap_put(struct crew *c, const struct keymap_line *l)
{
	int rc;

	pthread_rwlock_wrlock(&c->map_lock);
	rc = keymap_put(&c->map, l);
	pthread_rwlock_unlock(&c->map_lock);
	return rc;
}

void crew_news(struct crew *c, struct crew_news *out)
{
	uint64_t n;
	ssize_t got = read(c->wake, &n, sizeof(n));

	(void)got;
	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&c->lock);
	out->done = c->done;
	c->done = NULL;
	c->done_tail = &c->done;
	out->errands = c->finished;
	c->finished = NULL;
	c->finished_tail = &c->finished;
	out->need_pin = c->need_pin;
	out->login = c->login;
	out->login_code = c->login_code;
	memcpy(out->login_text, c->login_text, sizeof(out->login_text));
	out->changed = c->changed;
	out->state.up = c->up && c->live > 0;
	out->state.sessions = c->live;
	out->state.sessions_max = c->sessions_max;
	memcpy(out->state.text, c->text, sizeof(out->state.text));
	out->exit_status = c->exit_status;
	c->need_pin = c->login = c->changed = false;
	pthread_mutex_unlock(&c->lock);
}

static void worse_call(struct call_mark *m, mono_t now, int64_t *slack, enum call_kind *kind,
		       uint32_t *age_ms)
{
	int k = atomic_load_explicit(&m->kind, memory_order_acquire);
	int64_t age = now.us - atomic_load_explicit(&m->since, memory_order_relaxed);
	int64_t left = MONO_S(call_deadline((uint8_t)k)) - age;

	if (k == CALL_NONE || (*kind != CALL_NONE && left >= *slack))
		return;
	*slack = left;
	*kind = (enum call_kind)k;
	*age_ms = age < 0 ? 0 : (uint32_t)(age / 1000);
}

enum call_kind crew_call(struct crew *c, mono_t now, uint32_t *age_ms)
{
	enum call_kind kind = CALL_NONE;
	int64_t slack = 0;

	*age_ms = 0;
	worse_call(&c->steward_mark, now, &slack, &kind, age_ms);
	for (unsigned i = 0; i < c->n_workers; i++)
		worse_call(&c->workers[i].mark, now, &slack, &kind, age_ms);
	return kind;
}

bool crew_quiet(struct crew *c)
{
	uint32_t age;
	bool quiet;

	pthread_mutex_lock(&c->lock);
	quiet = c->busy == 0 && crew_call(c, (mono_t){ 0 }, &age) == CALL_NONE;
	pthread_mutex_unlock(&c->lock);
	return quiet;
}
