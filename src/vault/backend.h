/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One header, two back ends: PEM files and PKCS#11. A back end is used by the steward thread (open, close,
 * generate, delete, test) and by signing threads, each through a session of its own. `open` and `close` are
 * called only while no session is in use.
 *
 * Results of a session: 0; ZS_EKEY, ZS_ECRYPTO and ZS_EREFUSED are the request's own misfortune; ZS_EVAULT
 * means that the session must be closed and the request may be tried on another one.
 */
#ifndef ZONESEAL_VAULT_BACKEND_H
#define ZONESEAL_VAULT_BACKEND_H

#include <stdatomic.h>
#include "proto.h"
#include "pub.h"

/* What a thread's vendor call is doing, read by the loop for the heartbeat. since: monotonic us. */
struct call_mark {
	_Atomic int64_t since;
	_Atomic int kind; /* enum call_kind */
};

/* How far healing goes: a new session is made by the signing thread itself, the rest by the steward. */
enum heal { HEAL_SESSION, HEAL_LOGIN, HEAL_FINALIZE, HEAL_EXIT };

/* What a back end may ask of its process. Any thread. */
struct backend_host {
	void *ctx;
	/* Waits for the parent's word on the PIN. *fd: a pipe to read it from with PIN_HERE, else -1. */
	int (*need_pin)(void *ctx, enum pin_code *code, int *fd);
	void (*login)(void *ctx, enum login_code code, const char *text);
	/* The store needs healing of that degree, soon. */
	void (*sick)(void *ctx, enum heal degree);
};

struct key_view { /* borrowed from a session until the next call on it */
	const uint8_t *pub;
	size_t pub_len;
};

struct backend;
struct session;

struct backend_ops {
	const char *name;
	/* Makes the store usable from where `from` says. ZS_EPIN: waits for the operator; ZS_EVAULT: try
	 * again; ZS_EINVAL: never with this setup. text says why. *sessions: how many there may be. */
	int (*open)(struct backend *b, enum heal from, uint32_t *sessions, char *text, size_t cap);
	/* The steward while it has nothing to do, every few seconds: HEAL_SESSION when all is well. */
	enum heal (*tick)(struct backend *b);
	int (*generate)(struct backend *b, const struct keymap_line *l, uint8_t *pub, size_t *pub_len);
	int (*remove)(struct backend *b, const uint8_t id[KEY_ID_LEN]);
	int (*test)(struct backend *b, char *text, size_t cap);
	/* Copies all keys into a directory that is open, and lists them there. NULL: they cannot leave. */
	int (*backup)(struct backend *b, int dir, char *text, size_t cap);
	void (*free)(struct backend *b);

	int (*session_open)(struct backend *b, struct call_mark *mark, struct session **out);
	/* dead: the store has forgotten it already. */
	void (*session_close)(struct session *s, bool dead);
	/* Finds, checks against the line and remembers a key; challenges it at first use. */
	int (*key)(struct session *s, const struct keymap_line *l, struct key_view *out);
	/* Signs with the key of the last key(). *sig_len: room, then octets.
	 * *usec: duration of the signature. */
	int (*sign)(struct session *s, const uint8_t *tbs, size_t len, uint8_t *sig, size_t *sig_len,
		    uint32_t *usec);
	unsigned chunk;   /* most requests a signing thread takes at once */
};

struct backend {
	const struct backend_ops *ops;
};
struct session {
	struct backend *backend;
};

/* NULL when out of memory. setup and host outlive the back end. */
struct backend *backend_file_new(const struct proto_setup *setup, const struct backend_host *host);
struct backend *backend_p11_new(const struct proto_setup *setup, const struct backend_host *host,
				struct call_mark *steward);

/* The vault's own challenge: never an RRSIG, because no RRset has type 0. Fresh random octets at the end. */
#define CHALLENGE_LEN 64
int backend_challenge_make(uint8_t msg[CHALLENGE_LEN]);

#endif
