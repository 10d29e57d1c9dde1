/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's side of a key store. One client per key store; it outlives its vault process. Batches of sign
 * requests go in from any thread; each batch comes back exactly once through its `done`, called on the
 * client's own I/O thread (post elsewhere, do little). A client without a live vault keeps what was
 * submitted, within its bounds, until a vault is attached or the batch is cancelled.
 *
 * Requests open when a vault died are sent again one at a time; one that was open at two deaths comes back
 * with ZS_EPOISON.
 *
 * CAVEAT: requests, their tbs and sig buffers belong to the caller but stay lent from submit to done.
 */
#ifndef ZONESEAL_VAULT_CLIENT_H
#define ZONESEAL_VAULT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clk.h"

#define KEY_ID_LEN 16
#define TBS_MAX (2u << 20)      /* octets of one message to sign: an RRset of 1 MiB plus headers */
#define SIG_MAX 512             /* RSA-4096 */

struct sign_req {
	uint8_t key[KEY_ID_LEN];   /* CKA_ID */
	/* RRSIG RDATA without the signature, then the canonical RRset (RFC 4034 3.1.8.1) */
	const uint8_t *tbs;
	uint32_t tbs_len;
	/* do not use this session (0: any): set when its last answer did not verify */
	uint16_t avoid_session;
	uint8_t *sig;              /* room for sig_cap octets: DNSSEC wire form of the signature */
	uint16_t sig_cap;
	/* filled in: */
	uint16_t sig_len;
	uint16_t session;          /* which session made it, from 1 */
	uint8_t guard_reason;      /* enum guard_reason, with ZS_EREFUSED */
	/* 0, ZS_EREFUSED, ZS_EKEY, ZS_EVAULT, ZS_EPOISON, ZS_ECANCEL, ZS_ELIMIT, ZS_ECRYPTO */
	int result;
};

enum sign_prio { SIGN_USER, SIGN_ROUTINE, SIGN_PRIOS };

struct sign_batch {
	struct sign_req *req;
	size_t n;
	enum sign_prio prio;
	void (*done)(struct sign_batch *b, void *arg);
	void *arg;
	void *priv; /* the client's */
};

struct vclient;
/* max_requests: most open requests; submit answers ZS_EAGAIN over it (but always takes one batch when
 * idle). */
struct vclient *vclient_new(const char *keystore, size_t max_requests);
/* Cancels what is open (done is called with ZS_ECANCEL), joins the thread. NULL is legal. */
void vclient_free(struct vclient *c);
/* A (re)started vault's socket; taken over. The former connection counts as dead. */
int vclient_attach(struct vclient *c, int fd);
/* 0 (lent until done), ZS_EAGAIN, ZS_ENOMEM. */
int vclient_submit(struct vclient *c, struct sign_batch *b);
/* Asks for the batch back soon: done comes with ZS_ECANCEL on what was not yet answered. */
void vclient_cancel(struct vclient *c, struct sign_batch *b);

/* Copied out under the client's lock; any thread. */
#define VCLIENT_BUCKETS 14
extern const double vclient_bucket_bounds[VCLIENT_BUCKETS]; /* seconds, last +Inf */
struct vclient_stats {
	bool up;                    /* attached and the vault reports usable sessions */
	char state[96];             /* as the vault says: "ready", "no token", "PIN latch set", ... */
	uint32_t sessions, sessions_max;
	size_t queued, in_flight;   /* requests */
	uint64_t signed_ok, failed, refused, resent, poisoned, restarts;
	uint64_t bucket[VCLIENT_BUCKETS]; /* duration of C_Sign as the vault measured, not cumulative */
	double seconds_sum;
};
void vclient_stats(struct vclient *c, struct vclient_stats *out);

#endif
