/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * From a query's octets to an answer's octets, without a socket: UDP, TCP, tests and the fuzzer all come
 * through answer_query(). A transfer is not answered here: it comes back as a request for the renderer.
 */
#ifndef ZONESEAL_NET_ANSWER_H
#define ZONESEAL_NET_ANSWER_H

#include "cookie.h"
#include "dns/msg.h"
#include "dns/tsig.h"
#include "net/server.h"

#define UDP_ANSWER_MAX 1232
#define UDP_BUF 4096 /* room for an answer over UDP, TSIG included, and for a query */
#define ACL_NAME_MAX 128

#define STAT_ADD(s, field, n) __atomic_add_fetch(&(s)->field, (n), __ATOMIC_RELAXED)
#define STAT_INC(s, field) STAT_ADD(s, field, 1)
#define STAT_DEC(s, field) __atomic_sub_fetch(&(s)->field, 1, __ATOMIC_RELAXED)

struct answer_env {
	const struct server_ops *ops;
	void *ctx;
	struct server_stats *stats;
	struct cookies cookies;
};

struct answer_peer {
	struct net_addr from;
	bool tcp;
};

/* A transfer to be rendered; pub (a reference) and tsig belong to it: xfr_request_clear(). */
struct xfr_request {
	struct pub *pub;
	struct tsig *tsig; /* or NULL */
	const struct tsig_key *key;
	char secondary[ACL_NAME_MAX];
	uint16_t id, flags, qtype;
	bool incremental;             /* differences from `serial` will do */
	uint32_t serial;
	uint8_t qname[NAME_MAX_WIRE]; /* as asked */
	struct edns edns;             /* for the first message */
};
void xfr_request_clear(struct xfr_request *x);

enum answer_act { ANSWER_DROP, ANSWER_SEND, ANSWER_XFR };
struct answer {
	uint8_t *buf; /* set by the caller: UDP_BUF octets for UDP, MSG_MAX for TCP */
	size_t cap, len;
	struct xfr_request xfr; /* after ANSWER_XFR */
};
/* wire is changed (TSIG is cut off). */
enum answer_act answer_query(struct answer_env *env, const struct answer_peer *peer, uint8_t *wire,
			     size_t len, struct answer *out);
/* An answer with this rcode to a transfer that could not be started. 0 or the error of signing. */
int answer_xfr_failed(struct answer_env *env, struct xfr_request *x, unsigned rcode, int ede,
		      const char *text, struct answer *out);
/* Octets that OPT takes. */
size_t answer_opt_room(const struct edns *e);

/* Extended DNS Errors (RFC 8914 4). */
enum {
	EDE_NONE = -1, EDE_OTHER = 0, EDE_NOT_READY = 14, EDE_PROHIBITED = 18, EDE_NOT_AUTH = 20,
	EDE_NOT_SUPPORTED = 21, EDE_INVALID_DATA = 24
};

/* --- between answer.c and answer_zone.c ----------------------------------------------------------------- */
struct ask {
	struct answer_env *env;
	const struct answer_peer *peer;
	struct msgr m;
	struct tsig *tsig;
	const struct tsig_key *key; /* verified */
	uint8_t qname[NAME_MAX_WIRE]; /* lower case */
	wall_t now;
	struct edns reply;
	struct answer *out;
	struct msgw w;
};
/* Header, question and reserve of an answer into a->w. */
void ask_begin(struct ask *a, uint16_t flags, unsigned rcode);
/* OPT, TSIG, counting; ANSWER_SEND, or ANSWER_DROP when it cannot be signed. */
enum answer_act ask_end(struct ask *a, unsigned rcode);
/* begin and end of an answer without records. */
enum answer_act ask_error(struct ask *a, unsigned rcode, int ede, const char *text);
/* QUERY, class IN, one question. */
enum answer_act ask_zone(struct ask *a);

#endif
