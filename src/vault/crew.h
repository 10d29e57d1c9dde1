/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The threads of a vault. Signing threads take jobs from a queue; the steward opens, heals and manages the
 * store; the process's loop (vault.c) only queues jobs and takes away what is done. The loop is woken through
 * an eventfd.
 *
 * CAVEAT: a thread may be inside a vendor call for ever. crew_free() joins; the process of a PKCS#11 store
 * leaves with _exit() instead.
 */
#ifndef ZONESEAL_VAULT_CREW_H
#define ZONESEAL_VAULT_CREW_H

#include "backend.h"

struct jobset;

struct job {
	struct job *next;
	struct jobset *set;
	struct proto_request q;
	uint8_t tries;        /* sessions that broke under it */
	struct proto_result result;
	uint8_t sig[SIG_MAX];
};

/* One SIGN frame. Freed by the loop when `open` comes down to 0. */
struct jobset {
	void *owner; /* the loop's */
	size_t open;
	size_t n;
	uint8_t *octets; /* copy of the frame, requests borrow from it */
	struct job job[];
};

enum errand_kind { ERRAND_GENERATE, ERRAND_DELETE, ERRAND_TEST, ERRAND_BACKUP };

/* Key management, done by the steward one after the other. */
struct errand {
	struct errand *next;
	enum errand_kind kind;
	uint64_t id;
	struct keymap_line line; /* DELETE: only the id */
	int dir;                 /* BACKUP: an open directory; closed by who frees the errand */
	int result;
	uint8_t pub[PUBKEY_MAX];
	size_t pub_len;
	char text[512];
};

/* What the loop takes away in one go. */
struct crew_news {
	struct job *done;
	struct errand *errands;
	bool need_pin;
	bool login;  /* with its code and text */
	enum login_code login_code;
	char login_text[96];
	bool changed; /* state differs from the one taken before */
	struct proto_state state;
	int exit_status; /* 0: goes on */
};

struct crew;
struct crew *crew_new(const struct proto_setup *setup);
/* Starts the threads. Only then are jobs taken. */
int crew_start(struct crew *c);
/* Ends and joins the threads; what is open is dropped without an answer. */
void crew_free(struct crew *c, void (*drop)(struct job *j));
int crew_fd(const struct crew *c);
/* Takes a set's jobs; all of them come back through the news, answered or to be sent again. */
void crew_submit(struct crew *c, struct jobset *set);
/* Takes the jobs of this owner off the queue; they come back as done at once. */
void crew_forget(struct crew *c, const void *owner);
void crew_errand(struct crew *c, struct errand *e);
/* The parent's answer to need_pin; the descriptor is taken. */
void crew_pin(struct crew *c, enum pin_code code, int fd);
void crew_retry(struct crew *c);
/* Takes over the content of m. */
void crew_keymap(struct crew *c, struct keymap *m);
int crew_keymap_put(struct crew *c, const struct keymap_line *l);
void crew_news(struct crew *c, struct crew_news *out);
/* The vendor call nearest to or furthest past its deadline: its kind, and how long it runs.
 * CALL_NONE: none. */
enum call_kind crew_call(struct crew *c, mono_t now, uint32_t *age_ms);
/* True while no vendor call runs, so that joining the threads cannot hang. */
bool crew_quiet(struct crew *c);

#endif
