/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A query comes in, an answer goes out. The order of checks is fixed: what is no query is ignored; malformed
 * is FORMERR; TSIG before anything else is believed (RFC 8945 5.2); EDNS version and cookie; opcode;
 * question; then the zone (answer_zone.c). Once a TSIG has verified, every answer is signed, errors included.
 * Runs on the loop, touches no store and never waits. Called by udp.c, tcp.c and the fuzzer.
 */
#include "answer.h"

#include <string.h>

#include "base/err.h"

size_t answer_opt_room(const struct edns *e)
{
	size_t n = 11;

	if (!e->present)
		return 0;
	if (e->cookie_len > 0)
		n += 4 + (size_t)e->cookie_len;
	if (e->expire_set)
		n += 8;
	if (e->ede >= 0)
		n += 6 + (e->ede_text ? strlen(e->ede_text) : 0);
	return n;
}

void xfr_request_clear(struct xfr_request *x)
{
	pub_unref(x->pub);
	tsig_free(x->tsig);
	x->pub = NULL;
	x->tsig = NULL;
}

/* Most octets of the answer: what the client takes (RFC 6891 6.2.3), never less than its frame needs. */
static size_t answer_limit(const struct ask *a, size_t frame)
{
	size_t limit = 512;

	if (a->peer->tcp)
		return MSG_MAX < a->out->cap ? MSG_MAX : a->out->cap;
	if (a->m.edns.present && a->m.edns.udp_size > limit)
		limit = a->m.edns.udp_size < UDP_ANSWER_MAX ? a->m.edns.udp_size : UDP_ANSWER_MAX;
	return limit > frame ? limit : frame;
}

void ask_begin(struct ask *a, uint16_t flags, unsigned rcode)
{
	bool question = a->m.count[0] == 1 && a->m.qname_len > 0;
	size_t reserve = answer_opt_room(&a->reply) + (a->key ? tsig_key_room(a->key) : 0);
	size_t frame = MSG_HEADER + (question ? a->m.qname_len + 4 : 0) + reserve;

	flags |= F_QR | (a->m.flags & F_RD);
	msgw_init(&a->w, a->out->buf, answer_limit(a, frame), a->m.id, msg_flags(a->m.opcode, flags, rcode));
	a->w.reserve = reserve;
	if (question)
		msgw_question(&a->w, a->m.qname, a->m.qtype, a->m.qclass);
}

enum answer_act ask_end(struct ask *a, unsigned rcode)
{
	size_t len;

	if (a->reply.present && msgw_opt(&a->w, &a->reply) != 0)
		return ANSWER_DROP;
	len = a->w.len;
	if (a->tsig && tsig_sign_answer(a->tsig, a->out->buf, &len, a->out->cap) != 0)
		return ANSWER_DROP;
	a->out->len = len;
	if (rcode < SERVER_RCODES)
		STAT_INC(a->env->stats, answers_rcode[rcode]);
	return ANSWER_SEND;
}

enum answer_act ask_error(struct ask *a, unsigned rcode, int ede, const char *text)
{
	if (a->reply.present) {
		a->reply.ede = ede;
		a->reply.ede_text = text;
		a->reply.ext_rcode = (uint8_t)(rcode >> 4);
	}
	ask_begin(a, 0, rcode & 15);
	return ask_end(a, rcode);
}

/*
 * A TSIG that does not verify: NOTAUTH, without a MAC for BADKEY and BADSIG, signed for BADTIME with our time
 * in it (RFC 8945 5.2).
 */
static enum answer_act refuse_tsig(struct ask *a, const uint8_t *wire, size_t len, uint16_t error)
{
	size_t n;

	STAT_INC(a->env->stats, tsig_bad);
	a->reply.present = false;
	ask_begin(a, 0, RC_NOTAUTH);
	n = a->w.len;
	if (error == RC_BADTIME && a->tsig) {
		if (tsig_sign_answer(a->tsig, a->out->buf, &n, a->out->cap) != 0)
			return ANSWER_DROP;
	} else if (tsig_add_error(wire, len, a->m.tsig_pos, error, a->out->buf, &n, a->out->cap) != 0) {
		return ANSWER_DROP;
	}
	a->out->len = n;
	STAT_INC(a->env->stats, answers_rcode[RC_NOTAUTH]);
	return ANSWER_SEND;
}

/* True: go on (a->key set when there was a TSIG that verifies). */
static bool check_tsig(struct ask *a, uint8_t *wire, size_t len, enum answer_act *act)
{
	const struct tsig_key *key;
	uint8_t name[NAME_MAX_WIRE];
	uint16_t error = RC_BADSIG;
	size_t cut = len;
	int err;

	if (a->m.tsig_pos == 0)
		return true;
	if (tsig_query_key(wire, len, a->m.tsig_pos, name) != 0) {
		*act = ask_error(a, RC_FORMERR, EDE_NONE, NULL);
		return false;
	}
	key = a->env->ops->key(a->env->ctx, name);
	if (!key) {
		*act = refuse_tsig(a, wire, len, RC_BADKEY);
		return false;
	}
	a->tsig = tsig_new(key);
	if (!a->tsig) {
		*act = ANSWER_DROP;
		return false;
	}
	err = tsig_verify_query(a->tsig, wire, &cut, a->m.tsig_pos, &error);
	if (err == 0) {
		a->key = key;
		return true;
	}
	if (err == ZS_EAUTH) {
		*act = refuse_tsig(a, wire, len, error);
	} else {
		tsig_free(a->tsig);
		a->tsig = NULL;
		*act = ask_error(a, RC_FORMERR, EDE_NONE, NULL);
	}
	return false;
}

/* What goes back in OPT; the cookie before anything that may answer. */
static void reply_edns(struct ask *a)
{
	struct edns *e = &a->reply, *q = &a->m.edns;

	*e = (struct edns){ .present = q->present, .dnssec_ok = q->dnssec_ok, .udp_size = UDP_ANSWER_MAX,
			    .ede = EDE_NONE };
	if (q->present && q->version == 0 && !q->cookie_bad && q->cookie_len >= COOKIE_CLIENT)
		e->cookie_len =
		    (uint8_t)cookie_make(&a->env->cookies, q->cookie, &a->peer->from, a->now, e->cookie);
}

/*
 * No question is legal for a client that only wants a cookie (RFC 7873 5.4); everything else but one question
 * is FORMERR (RFC 9619).
 */
static enum answer_act ask_without_question(struct ask *a)
{
	const struct edns *q = &a->m.edns;
	bool cookie_only =
	    a->m.count[0] == 0 && a->m.count[1] == 0 && a->m.count[2] == 0 && a->reply.cookie_len > 0;

	if (a->m.opcode != OP_QUERY || !cookie_only)
		return ask_error(a, RC_FORMERR, EDE_NONE, NULL);
	if (q->cookie_len > COOKIE_CLIENT &&
	    !cookie_valid(&a->env->cookies, q->cookie, q->cookie_len, &a->peer->from, a->now))
		return ask_error(a, RC_BADCOOKIE, EDE_NONE, NULL);
	return ask_error(a, RC_NOERROR, EDE_NONE, NULL);
}

/* The SOA in the answer section of a NOTIFY is a hint (RFC 1996 3.7). */
static bool notify_hint(struct ask *a, uint32_t *serial)
{
	uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr m = a->m;
	struct soa soa;
	struct rr rr;
	int section;

	if (m.count[SEC_ANSWER] != 1)
		return false;
	if (msgr_rr(&m, &rr, &section, owner, rdata) != 0 || section != SEC_ANSWER || rr.type != T_SOA ||
	    rr.class != CLASS_IN || !name_eq(rr.owner, a->qname) || soa_read(rr.rdata, rr.rdlen, &soa) != 0)
		return false;
	*serial = soa.serial;
	return true;
}

static enum answer_act ask_notify(struct ask *a)
{
	struct answer_env *env = a->env;
	const struct acl_entry *who;
	struct net_zone *z;
	uint32_t serial = 0;
	bool hint;

	if (a->m.qtype != T_SOA || a->m.qclass != CLASS_IN)
		return ask_error(a, RC_NOTIMP, EDE_NONE, NULL);
	z = env->ops->find(env->ctx, a->qname);
	if (!z) {
		STAT_INC(env->stats, notify_in_refused);
		return ask_error(a, RC_NOTAUTH, EDE_NOT_AUTH, NULL);
	}
	who = acl_match(&z->notify, &a->peer->from, a->key);
	if (!who) {
		STAT_INC(env->stats, notify_in_refused);
		if (env->ops->refused)
			env->ops->refused(env->ctx, z->name, &a->peer->from, "NOTIFY", a->key != NULL);
		return ask_error(a, RC_REFUSED, EDE_PROHIBITED, NULL);
	}
	hint = notify_hint(a, &serial);
	STAT_INC(env->stats, notify_in_ok);
	ask_begin(a, F_AA, RC_NOERROR);
	if (env->ops->notify)
		env->ops->notify(env->ctx, z, &a->peer->from, who->name, hint, serial);
	return ask_end(a, RC_NOERROR);
}

static enum answer_act ask_dispatch(struct ask *a)
{
	const struct edns *q = &a->m.edns;

	if (q->present && q->version != 0)
		return ask_error(a, RC_BADVERS, EDE_NONE, NULL); /* RFC 6891 6.1.3 */
	if (q->cookie_bad)
		return ask_error(a, RC_FORMERR, EDE_NONE, NULL);
	if (a->m.opcode != OP_QUERY && a->m.opcode != OP_NOTIFY)
		return ask_error(a, RC_NOTIMP, EDE_NONE, NULL);
	if (a->m.count[0] != 1)
		return ask_without_question(a);
	name_copy_lower(a->qname, a->m.qname);
	if (a->m.opcode == OP_NOTIFY)
		return ask_notify(a);
	if (a->m.qclass != CLASS_IN)
		return ask_error(a, RC_REFUSED, EDE_NOT_AUTH, NULL);
	return ask_zone(a);
}

enum answer_act answer_query(struct answer_env *env, const struct answer_peer *peer, uint8_t *wire,
			     size_t len, struct answer *out)
{
	struct ask a = { .env = env, .peer = peer, .out = out, .reply = { .ede = EDE_NONE } };
	enum answer_act act = ANSWER_DROP;
	int err = msgr_open(&a.m, wire, len);

	if (len < MSG_HEADER || a.m.flags & F_QR) {
		STAT_INC(env->stats, malformed);
		return ANSWER_DROP;
	}
	if (err != 0) {
		STAT_INC(env->stats, malformed);
		a.m.count[0] = 0; /* nothing of it is echoed */
		a.m.edns.present = false;
		return ask_error(&a, RC_FORMERR, EDE_NONE, NULL);
	}
	a.now = env->ops->now(env->ctx);
	reply_edns(&a);
	if (check_tsig(&a, wire, len, &act))
		act = ask_dispatch(&a);
	tsig_free(a.tsig);
	return act;
}

int answer_xfr_failed(struct answer_env *env, struct xfr_request *x, unsigned rcode, int ede,
		      const char *text, struct answer *out)
{
	struct msgw w;
	size_t len;
	int err;

	if (x->edns.present) {
		x->edns.ede = ede;
		x->edns.ede_text = text;
	}
	msgw_init(&w, out->buf, out->cap, x->id, msg_flags(OP_QUERY, (x->flags & F_RD) | F_QR, rcode));
	w.reserve = answer_opt_room(&x->edns) + (x->key ? tsig_key_room(x->key) : 0);
	msgw_question(&w, x->qname, x->qtype, CLASS_IN);
	err = msgw_opt(&w, &x->edns);
	len = w.len;
	if (err == 0 && x->tsig)
		err = tsig_sign_answer(x->tsig, out->buf, &len, out->cap);
	if (err == 0) {
		out->len = len;
		STAT_INC(env->stats, answers_rcode[rcode & 15]);
	}
	return err;
}
