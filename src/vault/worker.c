/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A signing thread: one session, one request after the other. The guard reads a request before the back end
 * sees it. A session that failed is closed and made anew here (the first degree of healing); when sessions
 * break one after the other, the steward is called. Started by crew.c.
 */
#include "crew_priv.h"

#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "vault/guard.h"

/* Under the lock. The steward waits for the last one only when it has stopped the signing. */
static void leave_backend(struct crew *c)
{
	if (--c->busy == 0 && !c->up)
		pthread_cond_broadcast(&c->errands_cv);
}

/* Under the lock. The session is closed with the lock given up. */
static void drop_session(struct worker *w)
{
	struct crew *c = w->crew;
	struct session *s = w->session;
	bool dead = w->epoch != c->epoch || !c->up;

	if (!s)
		return;
	w->session = NULL;
	c->live--;
	crew_state(c, c->text);
	if (!dead)
		c->busy++;
	pthread_mutex_unlock(&c->lock);
	c->backend->ops->session_close(s, dead);
	pthread_mutex_lock(&c->lock);
	if (!dead)
		leave_backend(c);
}

static void note_failure(struct crew *c)
{
	if (!c->up)
		return; /* the steward is at it */
	if (++c->fails >= CREW_FAILS && c->want < HEAL_LOGIN)
		c->want = HEAL_LOGIN;
	if (c->want > HEAL_SESSION)
		pthread_cond_broadcast(&c->errands_cv);
}

/* Under the lock. Waits a while when the store gives no session. */
static void open_session(struct worker *w)
{
	struct crew *c = w->crew;
	struct session *s = NULL;
	uint64_t epoch = c->epoch;
	int rc;

	c->busy++;
	pthread_mutex_unlock(&c->lock);
	rc = c->backend->ops->session_open(c->backend, &w->mark, &s);
	pthread_mutex_lock(&c->lock);
	leave_backend(c);
	if (!rc) {
		w->session = s;
		w->epoch = epoch;
		if (++c->last_session == 0)
			c->last_session = 1;
		w->number = c->last_session;
		c->live++;
		crew_state(c, c->text);
		return;
	}
	/* no more sessions to be had is no failure while others sign */
	if (rc != ZS_ELIMIT || !c->live)
		note_failure(c);
	if (!c->quit)
		crew_wait(c, &c->work, rc == ZS_ELIMIT ? CREW_PIN_S : 1);
}

/* Next request for this session: user changes first; one that must avoid it is left to another. */
static struct job *take_one(struct worker *w)
{
	struct crew *c = w->crew;

	for (int p = 0; p < SIGN_PRIOS; p++) {
		struct queue *q = &c->queue[p];

		for (struct job **at = &q->head, *j; (j = *at); at = &j->next) {
			if (j->q.avoid == w->number && c->live > 1) {
				pthread_cond_broadcast(&c->work);
				continue;
			}
			*at = j->next;
			if (!*at)
				q->tail = at;
			c->queued--;
			return j;
		}
	}
	return NULL;
}

static struct job *take_chunk(struct worker *w)
{
	struct crew *c = w->crew;
	struct job *list = NULL, **tail = &list;
	size_t want = c->queued / (2 * c->n_workers) + 1;

	if (want > c->backend->ops->chunk)
		want = c->backend->ops->chunk;
	while (want--) {
		*tail = take_one(w);
		if (!*tail)
			break;
		tail = &(*tail)->next;
	}
	*tail = NULL;
	return list;
}

/* The keymap's word on a request. ZS_EREFUSED and the reason, or 0 and a copy of the line. */
static int guard_job(struct crew *c, struct job *j, struct keymap_line *line)
{
	enum guard_reason why = GUARD_NO_LINE;
	const struct keymap_line *l;

	pthread_rwlock_rdlock(&c->map_lock);
	l = keymap_find(&c->map, j->q.key);
	if (l && l->has_pub && strcmp(l->keystore, c->setup->keystore) == 0) {
		*line = *l;
		why = guard_check(l, l->tag, &c->map, j->q.tbs, j->q.tbs_len);
	}
	pthread_rwlock_unlock(&c->map_lock);
	if (why == GUARD_OK)
		why = guard_check_now(j->q.tbs, j->q.tbs_len, clk_wall());
	j->result.detail = (uint8_t)why;
	if (why == GUARD_OK)
		return 0;
	log_limited(LL_WARN, "vault", NULL, guard_reason_text(why), 10, "refused a signing request: %s",
		    guard_reason_text(why));
	return ZS_EREFUSED;
}

static int sign_job(struct worker *w, struct job *j)
{
	struct crew *c = w->crew;
	struct keymap_line line;
	struct key_view key;
	size_t len = sizeof(j->sig);
	int rc = guard_job(c, j, &line);

	j->result.session = w->number;
	if (!rc)
		rc = c->backend->ops->key(w->session, &line, &key);
	if (!rc)
		rc = c->backend->ops->sign(w->session, j->q.tbs, j->q.tbs_len, j->sig, &len, &j->result.usec);
	if (!rc)
		j->result.sig_len = (uint16_t)len;
	return rc;
}

/* Under the lock: a request under which the session broke. */
static void job_broke(struct crew *c, struct job *j)
{
	if (++j->tries >= JOB_TRIES)
		crew_put_done(c, j, PS_VAULT);
	else if (c->up)
		crew_requeue(c, j);
	else
		crew_put_done(c, j, PS_TOUCHED);
}

/* Under the lock. Gives it up while signing. */
static void work_chunk(struct worker *w, struct job *list)
{
	struct crew *c = w->crew;
	struct job *j, *broke = NULL, *ok = NULL, **ok_tail = &ok;
	bool signed_one = false, idle;
	int rc;

	c->busy++;
	pthread_mutex_unlock(&c->lock);
	while ((j = list) && !broke) {
		list = j->next;
		rc = sign_job(w, j);
		signed_one = signed_one || rc == 0;
		if (rc == ZS_EVAULT) {
			broke = j;
			break;
		}
		j->result.status = (uint8_t)proto_status(rc);
		*ok_tail = j;
		ok_tail = &j->next;
	}
	*ok_tail = NULL;
	pthread_mutex_lock(&c->lock);
	leave_backend(c);
	if (signed_one) {
		c->fails = 0;
		c->last = HEAL_SESSION;
	}
	idle = c->done == NULL;
	while ((j = ok)) {
		ok = j->next;
		crew_put_done(c, j, (enum proto_status)j->result.status);
	}
	while ((j = list)) { /* behind a broken one: not begun */
		list = j->next;
		if (c->up)
			crew_requeue(c, j);
		else
			crew_put_done(c, j, j->tries ? PS_TOUCHED : PS_RETRY);
	}
	if (broke) {
		job_broke(c, broke);
		note_failure(c);
		drop_session(w);
	}
	if (idle && c->done)
		crew_wake(c);
}

void *worker_main(void *arg)
{
	struct worker *w = arg;
	struct crew *c = w->crew;
	struct job *list;

	pthread_mutex_lock(&c->lock);
	while (!c->quit) {
		if (w->session && (w->epoch != c->epoch || !c->up))
			drop_session(w);
		else if (!c->up || c->want > HEAL_SESSION || (size_t)(w - c->workers) >= c->sessions_max)
			pthread_cond_wait(&c->work, &c->lock);
		else if (!w->session)
			open_session(w);
		else if ((list = take_chunk(w)))
			work_chunk(w, list);
		else
			pthread_cond_wait(&c->work, &c->lock);
	}
	drop_session(w);
	pthread_mutex_unlock(&c->lock);
	return NULL;
}
