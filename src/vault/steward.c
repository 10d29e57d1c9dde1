/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The steward: the one thread that opens the store, heals it and runs errands (generate, delete, test). It
 * heals in degrees: login, finalize, end of the process; each degree is tried once until a signature has
 * succeeded again, so that a store that stays sick reaches the parent's back-off. Started by crew.c.
 */
#include "crew_priv.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"

#define EXIT_RESTART 3

static void leave(struct crew *c)
{
	c->exit_status = EXIT_RESTART;
	crew_bounce(c);
	crew_state(c, c->text);
}

/* Nobody enters the back end any more; waits for those inside. False when the process ends meanwhile. */
static bool stop_signing(struct crew *c)
{
	c->up = false;
	crew_bounce(c);
	while (c->busy && !c->quit)
		pthread_cond_wait(&c->errands_cv, &c->lock);
	return !c->quit;
}

static void opened(struct crew *c, uint32_t sessions)
{
	c->up = true;
	c->opened_once = true;
	c->pin_held = false;
	c->open_fails = 0;
	c->fails = 0;
	c->want = HEAL_SESSION;
	if (sessions && sessions < c->n_workers)
		c->sessions_max = sessions;
	crew_state(c, "ready");
	pthread_cond_broadcast(&c->work);
}

static void open_store(struct crew *c)
{
	char text[96] = "";
	uint32_t sessions = 0;
	enum heal from = c->last;
	int rc;

	c->epoch++;
	pthread_mutex_unlock(&c->lock);
	rc = c->backend->ops->open(c->backend, from, &sessions, text, sizeof(text));
	pthread_mutex_lock(&c->lock);
	if (!rc) {
		opened(c, sessions);
		return;
	}
	c->pin_held = rc == ZS_EPIN;
	crew_state(c, text);
	log_limited(LL_WARN, "vault", NULL, "open", 10, "key store %s: %s", c->setup->keystore, text);
	if (rc == ZS_EPIN) {
		c->next_open_us = clk_mono().us + MONO_S(CREW_PIN_S);
	} else if (rc == ZS_EINVAL || ++c->open_fails >= OPEN_TRIES) {
		leave(c);
	} else {
		c->last = HEAL_FINALIZE;
		c->next_open_us = clk_mono().us + MONO_S(c->open_fails);
	}
}

static void heal_store(struct crew *c)
{
	enum heal degree = c->want > c->last ? c->want : (enum heal)(c->last + 1);

	c->want = HEAL_SESSION;
	log_limited(LL_WARN, "vault", NULL, "heal", 10, "key store %s: healing, degree %d",
		    c->setup->keystore, (int)degree);
	crew_state(c, "healing");
	if (!stop_signing(c))
		return;
	c->last = degree;
	c->fails = 0;
	c->next_open_us = 0;
	if (degree >= HEAL_EXIT)
		leave(c);
}

static void run_errand(struct crew *c, struct errand *e)
{
	const struct backend_ops *ops = c->backend->ops;

	e->pub_len = sizeof(e->pub);
	switch (e->kind) {
	case ERRAND_GENERATE:
		e->result = ops->generate(c->backend, &e->line, e->pub, &e->pub_len);
		if (!e->result)
			e->result = keymap_set_pub(&e->line, e->pub, e->pub_len);
		if (!e->result)
			e->result = crew_keymap_put(c, &e->line);
		break;
	case ERRAND_DELETE:
		/* the line goes first: nothing signs with a key that is being destroyed */
		pthread_rwlock_wrlock(&c->map_lock);
		keymap_remove(&c->map, e->line.id);
		pthread_rwlock_unlock(&c->map_lock);
		e->result = ops->remove(c->backend, e->line.id);
		break;
	case ERRAND_TEST:
		e->result = ops->test(c->backend, e->text, sizeof(e->text));
		break;
	case ERRAND_BACKUP:
		e->result = ops->backup ? ops->backup(c->backend, e->dir, e->text, sizeof(e->text))
					: ZS_EINVAL;
		break;
	}
}

static void next_errand(struct crew *c)
{
	struct errand *e = c->errands;

	c->errands = e->next;
	if (!c->errands)
		c->errands_tail = &c->errands;
	if (c->up) {
		pthread_mutex_unlock(&c->lock);
		run_errand(c, e);
		pthread_mutex_lock(&c->lock);
	} else {
		e->result = c->pin_held ? ZS_EPIN : ZS_EVAULT;
		snprintf(e->text, sizeof(e->text), "%s", c->text);
	}
	e->next = NULL;
	*c->finished_tail = e;
	c->finished_tail = &e->next;
	crew_wake(c);
}

/* Under the lock, up and idle. */
static void tick(struct crew *c)
{
	enum heal degree;

	c->next_tick_us = clk_mono().us + MONO_S(CREW_IDLE_S);
	pthread_mutex_unlock(&c->lock);
	degree = c->backend->ops->tick(c->backend);
	pthread_mutex_lock(&c->lock);
	if (degree > c->want)
		c->want = degree;
}

static int seconds_to_open(const struct crew *c)
{
	int64_t us = c->next_open_us - clk_mono().us;

	return us <= 0 ? 0 : (int)(us / 1000000) + 1;
}

void *steward_main(void *arg)
{
	struct crew *c = arg;

	pthread_mutex_lock(&c->lock);
	while (!c->quit && !c->exit_status) {
		if (!c->up && c->busy == 0 && seconds_to_open(c) == 0)
			open_store(c);
		else if (c->up && c->want > HEAL_SESSION)
			heal_store(c);
		else if (c->errands)
			next_errand(c);
		else if (!c->up)
			crew_wait(c, &c->errands_cv, seconds_to_open(c) ? 1 : CREW_IDLE_S);
		else {
			crew_wait(c, &c->errands_cv, CREW_IDLE_S);
			if (c->up && !c->quit && !c->errands && c->want == HEAL_SESSION &&
			    clk_mono().us >= c->next_tick_us)
				tick(c);
		}
	}
	pthread_mutex_unlock(&c->lock);
	return NULL;
}
