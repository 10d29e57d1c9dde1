/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of the crew, shared by crew.c (queue, news), worker.c (signing threads) and steward.c. */
#ifndef ZONESEAL_VAULT_CREW_PRIV_H
#define ZONESEAL_VAULT_CREW_PRIV_H

#include <pthread.h>
#include "crew.h"

#define CREW_SESSIONS_MAX 1024u
#define CREW_STACK (1u << 20)     /* vendor libraries are not made for small stacks */
#define JOB_TRIES 2               /* sessions that may break under one request */
#define CREW_FAILS 4              /* broken sessions in a row, over all threads, before the steward heals */
#define CREW_IDLE_S 5
#define CREW_PIN_S 10             /* asks the parent again while the latch is set */
#define OPEN_TRIES 3

struct worker {
	struct crew *crew;
	pthread_t thread;
	struct session *session;
	uint16_t number;     /* of the session, from 1, fresh for each one */
	uint64_t epoch;
	struct call_mark mark;
};

struct queue {
	struct job *head, **tail;
};

/*
 * Everything but map is under `lock`. `busy` counts signing threads inside the back end; the steward opens
 * and heals only when up is false and busy is 0, and no signing thread enters the back end while up is false.
 */
struct crew {
	const struct proto_setup *setup;
	struct backend *backend;
	struct backend_host host;
	pthread_mutex_t lock;
	pthread_cond_t work;        /* signing threads wait */
	pthread_cond_t errands_cv;  /* the steward waits */
	int wake;
	bool quit;

	bool up;
	bool opened_once;
	unsigned busy, live;        /* threads in the back end; sessions open */
	uint64_t epoch;             /* sessions of an earlier one are dead */
	enum heal want;             /* what somebody asked for */
	enum heal last;             /* last healing without a signature since */
	unsigned fails, open_fails;
	int64_t next_open_us, next_tick_us;
	uint32_t sessions_max;
	uint16_t last_session;
	bool pin_held;              /* the store waits for the operator */

	struct queue queue[SIGN_PRIOS];
	size_t queued;
	struct job *done, **done_tail;
	struct errand *errands, **errands_tail, *finished, **finished_tail;
	bool need_pin, have_pin, login;
	enum pin_code pin_code;
	int pin_fd;
	enum login_code login_code;
	char login_text[96];
	bool changed;
	char text[96];
	int exit_status;

	pthread_rwlock_t map_lock;
	struct keymap map;

	pthread_t steward;
	struct call_mark steward_mark;
	unsigned n_workers;
	bool started;
	struct worker *workers;
};

void *worker_main(void *arg);
void *steward_main(void *arg);
void crew_wake(struct crew *c);
/* Under the lock. */
void crew_put_done(struct crew *c, struct job *j, enum proto_status status);
void crew_requeue(struct crew *c, struct job *j);
void crew_state(struct crew *c, const char *text);
void crew_bounce(struct crew *c);
/* Waits on cv for at most that long. */
void crew_wait(struct crew *c, pthread_cond_t *cv, int seconds);

#endif
