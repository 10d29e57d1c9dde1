/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The clients against a primary that does as it is told: transfers whole, torn at each octet, falsified in
 * each way we know of; questions and NOTIFY.
 */
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <event2/event.h>

#include "base/err.h"
#include "net_primary.h"
#include "t_suite.h"

/* --- the loop of the clients ---------------------------------------------------------------------------- */

struct loop {
	struct event_base *base;
	struct mailbox *home;
	struct event *ev;
	struct pool *pool;
	struct bag got;
	struct xfrin_result res;
	int fail_at; /* on_rr says ZS_EHELD at this record */
	unsigned done;
	struct dnsq_answer answer;
	struct soa soa;
	bool has_soa;
};

static void on_home(evutil_socket_t fd, short what, void *arg)
{
	mailbox_run(arg);
}

static struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));

	l->base = event_base_new();
	l->home = mailbox_new();
	l->pool = pool_new(2, "work");
	l->ev = event_new(l->base, mailbox_fd(l->home), EV_READ | EV_PERSIST, on_home, l->home);
	event_add(l->ev, NULL);
	return l;
}

static void loop_free(struct loop *l)
{
	event_free(l->ev);
	pool_free(l->pool);
	mailbox_free(l->home);
	event_base_free(l->base);
	bag_free(&l->got);
	free(l);
}

static void loop_run(struct loop *l)
{
	unsigned before = l->done;

	while (l->done == before)
		event_base_loop(l->base, EVLOOP_ONCE);
}

static int on_rr(void *ctx, const struct rr *rr)
{
	struct loop *l = ctx;

	if (l->fail_at > 0 && l->got.n + 1 == (size_t)l->fail_at)
		return ZS_EHELD;
	bag_add(&l->got, rr);
	return 0;
}

static void on_done(void *ctx, const struct xfrin_result *r)
{
	struct loop *l = ctx;

	l->res = *r;
	l->done++;
}

static const struct xfrin_ops xops = { on_rr, on_done };

static const uint8_t zone[] = "\007example";

/* --- a zone to send ------------------------------------------------------------------------------------- */

static uint8_t soa_new[64], soa_old[64], soa_other[64];
static const uint8_t a1[4] = { 192, 0, 2, 1 }, a2[4] = { 192, 0, 2, 2 };
static const uint8_t ns[] = "\002ns\007example", www[] = "\003wWw\007Example";

#define SOA_LEN 47
#define SOA_RR(d) { zone, T_SOA, CLASS_IN, 3600, d, SOA_LEN }
#define A_RR(o, a) { .owner = o, .type = T_A, .class = CLASS_IN, .ttl = 300, .rdata = a, .rdlen = 4 }
#define NS_RR { .owner = zone, .type = T_NS, .class = CLASS_IN, .ttl = 300, .rdata = ns, .rdlen = 12 }
static const struct rr axfr[] = { SOA_RR(soa_new), NS_RR, A_RR(ns, a1), A_RR(www, a2), SOA_RR(soa_new) };
static const struct rr axfr_torn[] = { SOA_RR(soa_new), NS_RR, A_RR(ns, a1), SOA_RR(soa_other) };
static const struct rr axfr_more[] = { SOA_RR(soa_new), NS_RR, SOA_RR(soa_new), A_RR(ns, a1) };
static const struct rr axfr_headless[] = { NS_RR, SOA_RR(soa_new), SOA_RR(soa_new) };
static const struct rr ixfr[] = {SOA_RR(soa_new), SOA_RR(soa_old), A_RR(ns, a1),
				 SOA_RR(soa_new), A_RR(ns, a2),    SOA_RR(soa_new)};
static const struct rr ixfr_gap[] = { SOA_RR(soa_new), SOA_RR(soa_other), SOA_RR(soa_new), SOA_RR(soa_new) };
static const struct rr single[] = { SOA_RR(soa_new) };
#define SEND(s, what) ((s).rr = (what), (s).nrr = sizeof(what) / sizeof((what)[0]))

static void make_zone(void)
{
	size_t n = tz_soa(soa_new, 200, 86400);

	ck_assert_uint_eq(n, SOA_LEN);
	tz_soa(soa_old, 199, 86400);
	tz_soa(soa_other, 201, 86400);
}

static struct tsig_key *test_key(void)
{
	static const uint8_t secret[32] = { 3, 1, 4 };
	struct tsig_key *k;

	ck_assert_int_eq(tsig_key_new("t.example.", "hmac-sha256", secret, sizeof(secret), &k), 0);
	return k;
}

static const struct xfrin_limits short_limits = {.connect_s = 2, .idle_s = 2, .total_s = 0, .max_octets = 0};

/* One transfer; returns its result, records in l->got. */
static int transfer(struct loop *l, struct script *s, const struct tsig_key *key, const uint8_t *have)
{
	struct net_remote from = { .addr = s->addr, .key = key };

	bag_free(&l->got);
	script_sync(s);
	ck_assert_ptr_nonnull(xfrin_start(l->base, l->pool, l->home, &from, zone, have, have ? SOA_LEN : 0,
					  &short_limits, &xops, l));
	loop_run(l);
	return l->res.result;
}

/* From where no script runs. */
static int transfer_from(struct loop *l, struct net_addr addr, const uint8_t *have)
{
	struct net_remote from = { .addr = addr };

	xfrin_start(l->base, l->pool, l->home, &from, zone, have, SOA_LEN, &short_limits, &xops, l);
	loop_run(l);
	return l->res.result;
}

START_TEST(axfr_in_each_packing)
{
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	for (int i = 0; i < 4; i++) {
		s.pack = i & 1 ? ONE_EACH : PACKED;
		s.question_always = i & 2;
		ck_assert_int_eq(transfer(l, &s, NULL, NULL), 0);
		ck_assert_int_eq(l->res.kind, XFR_AXFR);
		ck_assert_uint_eq(l->res.soa.serial, 200);
		ck_assert_uint_eq(l->res.records, 5);
		ck_assert_uint_eq(l->got.n, 5);
		ck_assert_uint_eq(l->res.messages, s.pack == PACKED ? 1 : 5);
		ck_assert_str_eq(l->got.line[3], "wWw.Example. 1 300 1 c0000202"); /* case as it came */
	}
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(torn_at_each_octet)
{
	struct script s = { .pack = ONE_EACH };
	struct loop *l = loop_new();
	size_t whole;

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), 0);
	whole = l->res.octets + 2 * l->res.messages;
	for (s.cut = 1; s.cut < whole; s.cut++)
		ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_ECLOSED);
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), 0);
	s.pack = PACKED;
	for (s.cut = 1; s.cut < 100; s.cut++)
		ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_ECLOSED);
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(falsified_streams)
{
	struct loop *l = loop_new();
	struct script s = { .pack = ONE_EACH };

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	for (unsigned i = 1; i <= 5; i++) {
		s.wrong_id = i;
		ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	}
	s.wrong_id = 0;
	s.tc = 2;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	s.tc = 0;
	s.qr0 = 1;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	s.qr0 = 0;
	s.wrong_question = true;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	s.wrong_question = false;
	s.no_question = true;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	s.rcode = RC_REFUSED;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EPEER);
	ck_assert_uint_eq(l->res.rcode, RC_REFUSED);
	s.rcode = 0;
	s.no_question = false;
	SEND(s, axfr_torn);
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EFORMAT);
	SEND(s, axfr_headless);
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EFORMAT);
	s.pack = PACKED;
	SEND(s, axfr_more);
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EFORMAT);
	SEND(s, axfr);
	l->fail_at = 3;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), ZS_EHELD); /* the consumer's own */
	ck_assert_uint_eq(l->got.n, 2);
	l->fail_at = 0;
	ck_assert_int_eq(transfer(l, &s, NULL, NULL), 0);
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(tsig_streams)
{
	struct tsig_key *key = test_key();
	struct script s = { .pack = ONE_EACH, .key = key, .sign_every = 1 };
	struct rr many[151];
	struct loop *l = loop_new();

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	ck_assert_int_eq(transfer(l, &s, key, NULL), 0);
	for (s.spoil = 1; s.spoil <= 5; s.spoil++)
		ck_assert_int_eq(transfer(l, &s, key, NULL), ZS_EAUTH);
	s.spoil = 0;
	s.signed_off_last = 1;
	ck_assert_int_eq(transfer(l, &s, key, NULL), ZS_EAUTH);
	s.signed_off_last = 0;
	s.sign_every = 0;
	ck_assert_int_eq(transfer(l, &s, key, NULL), ZS_EAUTH);
	s.rcode = RC_REFUSED;
	ck_assert_int_eq(transfer(l, &s, key, NULL), ZS_EPEER);
	s.rcode = 0;
	/* a hundred messages without a signature are one too many, whatever comes then */
	for (unsigned i = 1; i < 150; i++)
		many[i] = axfr[1 + i % 3];
	many[0] = many[150] = axfr[0];
	SEND(s, many);
	s.sign_every = 1000;
	ck_assert_int_eq(transfer(l, &s, key, NULL), ZS_EAUTH);
	ck_assert_uint_eq(l->res.messages, 101);
	s.sign_every = 1;
	ck_assert_int_eq(transfer(l, &s, key, NULL), 0);
	SEND(s, axfr);
	/* a query that must be signed is not */
	ck_assert_int_eq(transfer(l, &s, NULL, NULL),
			 ZS_ECLOSED); /* our primary does not answer unsigned queries */
	script_stop(&s);
	loop_free(l);
	tsig_key_free(key);
}
END_TEST

START_TEST(ixfr_kinds)
{
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_zone();
	script_start(&s);
	for (int i = 0; i < 2; i++) {
		s.pack = i ? ONE_EACH : PACKED;
		SEND(s, ixfr);
		ck_assert_int_eq(transfer(l, &s, NULL, soa_old), 0);
		ck_assert_int_eq(l->res.kind, XFR_IXFR);
		ck_assert_uint_eq(l->got.n, 6);
		SEND(s, axfr);
		ck_assert_int_eq(transfer(l, &s, NULL, soa_old), 0);
		ck_assert_int_eq(l->res.kind, XFR_AXFR);
		SEND(s, ixfr_gap);
		ck_assert_int_eq(transfer(l, &s, NULL, soa_old), ZS_EFORMAT);
	}
	SEND(s, single);
	ck_assert_int_eq(transfer(l, &s, NULL, soa_new), 0);
	ck_assert_int_eq(l->res.kind, XFR_UPTODATE);
	ck_assert_int_eq(transfer(l, &s, NULL, soa_other),
			 0); /* the primary went back: the caller sees the serial */
	ck_assert_int_eq(l->res.kind, XFR_UPTODATE);
	ck_assert_uint_eq(l->res.soa.serial, 200);
	script_stop(&s);
	loop_free(l);
}
END_TEST

/* Three steps as a history of them and as one; soa_n[i] has the serial 197 + i. */
static uint8_t soa_n[4][64];
#define SOA_N(i) SOA_RR(soa_n[i])
static const struct rr steps[] = {SOA_N(3), SOA_N(0), A_RR(ns, a1),  SOA_N(1), A_RR(ns, a2), SOA_N(1),
				  A_RR(ns, a2), SOA_N(2), A_RR(www, a1), SOA_N(2), SOA_N(3),     SOA_N(3)};
static const struct rr condensed[] = {SOA_N(3), SOA_N(0), A_RR(ns, a1), SOA_N(3), A_RR(www, a1), SOA_N(3)};
/* what is no sequence of differences */
static const struct rr astray[][12] = {
	{ SOA_N(3), SOA_N(0), SOA_N(2), SOA_N(1), SOA_N(3), SOA_N(3) }, /* a gap */
	{ SOA_N(3), SOA_N(1), SOA_N(3), SOA_N(3) },                      /* does not begin with ours */
	{ SOA_N(3), SOA_N(0), SOA_N(0), SOA_N(0), SOA_N(3), SOA_N(3) },  /* does not lead on */
	{ SOA_N(3), SOA_N(0), SOA_N(1), SOA_N(1), SOA_N(0), SOA_N(0), SOA_N(3), SOA_N(3) }, /* leads back */
	{ SOA_N(3), SOA_N(0), SOA_N(3), SOA_N(2) },                      /* another SOA at the end */
	{ SOA_N(3), SOA_N(0), SOA_N(3), SOA_N(3), SOA_N(3) },            /* one too many */
	{ SOA_N(3), SOA_N(0), SOA_N(3), A_RR(ns, a1), SOA_N(3), A_RR(ns, a2) }, /* more behind the end */
	{ SOA_N(3), SOA_N(0), SOA_N(3), A_RR(ns, a1), SOA_RR(soa_other) },
	{ SOA_N(3), SOA_N(0), SOA_RR(soa_other), SOA_N(3) },             /* serial of ours, not our SOA */
	{ SOA_N(3), A_RR(ns, a1), SOA_N(0), SOA_N(3) },                  /* as AXFR: torn */
	{ SOA_N(3), A_RR(ns, a1), SOA_RR(soa_other) },
};

static void make_steps(void)
{
	for (uint32_t i = 0; i < 4; i++)
		tz_soa(soa_n[i], 197 + i, 86400);
	tz_soa(soa_other, 200, 4711); /* the newest serial, other contents */
}

START_TEST(ixfr_in_streams)
{
	struct tsig_key *key = test_key();
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_steps();
	SEND(s, steps);
	script_start(&s);
	for (unsigned i = 0; i < 16; i++) {
		const struct tsig_key *k = i & 2 ? key : NULL;
		bool many = i & 4;

		s.pack = i & 1 ? ONE_EACH : PACKED;
		s.key = k;
		s.sign_every = k ? i & 8 ? 5 : 1 : 0; /* signed: each, or 4 messages without between */
		if (many)
			SEND(s, steps);
		else
			SEND(s, condensed);
		ck_assert_int_eq(transfer(l, &s, k, soa_n[0]), 0);
		ck_assert_int_eq(l->res.kind, XFR_IXFR);
		ck_assert(!l->res.try_axfr);
		ck_assert_uint_eq(l->res.soa.serial, 200);
		ck_assert_uint_eq(l->res.messages, s.pack == PACKED ? 1 : s.nrr);
		ck_assert_uint_eq(l->got.n, s.nrr); /* in order, SOAs included */
		ck_assert_str_eq(l->got.line[2], "ns.example. 1 300 1 c0000201");
	}
	/* a message without a signature is falsified: the next signature says so */
	s.pack = ONE_EACH;
	SEND(s, steps);
	for (s.spoil = 1; s.spoil <= s.nrr; s.spoil++)
		ck_assert_int_ne(transfer(l, &s, key, soa_n[0]), 0);
	s.spoil = 3;
	ck_assert_int_eq(transfer(l, &s, key, soa_n[0]), ZS_EAUTH);
	ck_assert(!l->res.try_axfr);
	s.spoil = 0;
	s.signed_off_last = 1;
	ck_assert_int_eq(transfer(l, &s, key, soa_n[0]), ZS_EAUTH);
	script_stop(&s);
	loop_free(l);
	tsig_key_free(key);
}
END_TEST

START_TEST(ixfr_astray)
{
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_steps();
	script_start(&s);
	for (unsigned i = 0; i < 2 * sizeof(astray) / sizeof(astray[0]); i++) {
		bool behind_end = i / 2 == 5 || i / 2 == 6;

		s.rr = astray[i / 2];
		for (s.nrr = 0; s.rr[s.nrr].owner; s.nrr++)
			;
		s.pack = i & 1 ? ONE_EACH : PACKED;
		if (behind_end && s.pack == ONE_EACH)
			continue; /* who closes at the end does not see it */
		ck_assert_int_eq(transfer(l, &s, NULL, soa_n[0]), ZS_EFORMAT);
		ck_assert_int_eq(l->res.kind, XFR_NONE);
		ck_assert(l->res.try_axfr);
	}
	script_stop(&s);
	loop_free(l);
}
END_TEST

/* Why AXFR from the same primary is worth a try, and why not. */
START_TEST(ixfr_that_is_refused)
{
	const unsigned rcode[] = { RC_FORMERR, RC_NOTIMP, RC_REFUSED, RC_SERVFAIL };
	struct tsig_key *key = test_key();
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_steps();
	script_start(&s);
	for (unsigned i = 0; i < 16; i++) {
		const struct tsig_key *k = i & 8 ? key : NULL;

		s.rcode = rcode[i % 4];
		s.no_question = i & 4; /* FORMERR may come without it */
		s.key = k;
		s.sign_every = k ? i & 1 : 0; /* errors come unsigned, too */
		ck_assert_int_eq(transfer(l, &s, k, soa_n[0]), ZS_EPEER);
		ck_assert_uint_eq(l->res.rcode, s.rcode);
		ck_assert(l->res.try_axfr);
		ck_assert_int_eq(transfer(l, &s, k, NULL), ZS_EPEER); /* AXFR itself: no */
		ck_assert(!l->res.try_axfr);
	}
	s = (struct script){ .pack = PACKED, .empty = true, .addr = s.addr, .run = s.run };
	ck_assert_int_eq(transfer(l, &s, NULL, soa_n[0]), ZS_ECLOSED);
	ck_assert(l->res.try_axfr);
	s.empty = false;
	SEND(s, steps);
	s.cut = 100; /* torn: the primary or the way to it is ill */
	for (unsigned i = 0; i < 2; i++) {
		s.pack = i ? ONE_EACH : PACKED;
		ck_assert_int_eq(transfer(l, &s, NULL, soa_n[0]), ZS_ECLOSED);
		ck_assert(!l->res.try_axfr);
	}
	script_stop(&s);
	ck_assert_int_eq(transfer_from(l, s.addr, soa_n[0]), ZS_ECLOSED); /* nobody there */
	ck_assert(!l->res.try_axfr);
	loop_free(l);
	tsig_key_free(key);
}
END_TEST

START_TEST(one_soa)
{
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_steps();
	SEND(s, single);
	make_zone();
	script_start(&s);
	for (int i = 0; i < 2; i++) {
		s.stays = i;
		ck_assert_int_eq(transfer(l, &s, NULL, soa_new), 0); /* no waiting */
		ck_assert_int_eq(l->res.kind, XFR_UPTODATE);
		ck_assert_int_eq(transfer(l, &s, NULL, soa_old), ZS_EPEER); /* newer, and then nothing */
		ck_assert_int_eq(l->res.kind, XFR_LONE_SOA);
		ck_assert_uint_eq(l->res.soa.serial, 200);
		ck_assert(l->res.try_axfr);
		/* an AXFR that breaks there is torn, whatever its second half would have been */
		ck_assert_int_eq(transfer(l, &s, NULL, NULL), i ? ZS_ETIMEOUT : ZS_ECLOSED);
		ck_assert_int_eq(l->res.kind, XFR_NONE);
		ck_assert(!l->res.try_axfr);
	}
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(limits_and_silence)
{
	const struct xfrin_limits small = { .connect_s = 5, .idle_s = 5, .max_octets = 3 << 20 };
	const struct xfrin_limits hasty = { .connect_s = 1, .idle_s = 1 };
	const struct xfrin_limits total = { .connect_s = 5, .idle_s = 5, .total_s = 1 };
	struct script s = { .pack = PACKED, .endless = true };
	struct net_remote from = { 0 };
	struct loop *l = loop_new();
	struct xfrin *x;

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	from.addr = s.addr;
	xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &small, &xops, l);
	loop_run(l);
	ck_assert_int_eq(l->res.result, ZS_ELIMIT);
	bag_free(&l->got);
	s.silent = true;
	script_sync(&s);
	xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &hasty, &xops, l);
	loop_run(l);
	ck_assert_int_eq(l->res.result, ZS_ETIMEOUT);
	xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &total, &xops, l);
	loop_run(l);
	ck_assert_int_eq(l->res.result, ZS_ETIMEOUT);
	x = xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &total, &xops, l);
	xfrin_cancel(x);
	ck_assert_uint_eq(l->done, 3); /* not from inside */
	loop_run(l);
	ck_assert_int_eq(l->res.result, ZS_ECANCEL);
	script_stop(&s);
	/* nobody there */
	xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &total, &xops, l);
	loop_run(l);
	ck_assert_int_eq(l->res.result, ZS_ECLOSED);
	loop_free(l);
}
END_TEST

static void cancel_soon(evutil_socket_t fd, short what, void *arg)
{
	xfrin_cancel(arg);
}

START_TEST(cancel_in_the_middle)
{
	struct script s = { .pack = ONE_EACH, .endless = true };
	struct net_remote from = { 0 };
	struct loop *l = loop_new();

	make_zone();
	SEND(s, axfr);
	script_start(&s);
	from.addr = s.addr;
	for (int i = 0; i < 10; i++) {
		struct timeval tv = { .tv_usec = i * 2000 };
		struct xfrin *x =
		    xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &short_limits, &xops, l);
		size_t n;

		event_base_once(l->base, -1, EV_TIMEOUT, cancel_soon, x, &tv);
		loop_run(l);
		ck_assert_int_eq(l->res.result, ZS_ECANCEL);
		n = l->got.n; /* no record comes after done() */
		event_base_loop(l->base, EVLOOP_NONBLOCK);
		ck_assert_uint_eq(l->got.n, n);
		bag_free(&l->got);
	}
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(from_our_own_server)
{
	struct tzone *z = tz_new("example.", 5000, 100, TZ_NSEC3 | TZ_BIG);
	struct rig *r = rig_new(z, NULL);
	struct loop *l = loop_new();
	struct net_remote from = { .addr = r->tcp4, .key = r->key };

	for (int i = 0; i < 2; i++) {
		struct xfrin *x =
		    xfrin_start(l->base, l->pool, l->home, &from, zone, NULL, 0, &short_limits, &xops, l);

		ck_assert_ptr_nonnull(x);
		loop_run(l);
		ck_assert_int_eq(l->res.result, 0);
		ck_assert_uint_eq(l->got.n, z->all.n + 1);
		free(l->got.line[--l->got.n]); /* the closing SOA */
		ck_assert(bag_same(&z->all, &l->got));
		bag_free(&l->got);
		from.key = NULL;
	}
	rig_free(r);
	loop_free(l);
	tz_free(z);
}
END_TEST

/* --- questions ------------------------------------------------------------------------------------------ */

static void on_answer(void *ctx, const struct dnsq_answer *a)
{
	struct loop *l = ctx;

	l->answer = *a;
	l->has_soa = dnsq_soa(a, zone, &l->soa);
	l->answer.msg = NULL;
	l->done++;
}

static int question(struct loop *l, struct script *s, const struct tsig_key *key, bool tcp)
{
	struct net_remote to = { .addr = s->addr, .key = key, .source = s->addr, .have_source = true };

	to.source.v4.sin_port = 0;
	if (s->run)
		script_sync(s);
	ck_assert_ptr_nonnull(dnsq_start(l->base, &to, zone, T_SOA, tcp, on_answer, l));
	loop_run(l);
	return l->answer.result;
}

START_TEST(questions)
{
	struct tsig_key *key = test_key();
	struct script s = { .pack = PACKED };
	struct loop *l = loop_new();

	make_zone();
	SEND(s, single);
	script_start(&s);
	ck_assert_int_eq(question(l, &s, NULL, false), 0);
	ck_assert(l->has_soa && !l->answer.over_tcp && l->answer.aa);
	ck_assert_uint_eq(l->soa.serial, 200);
	ck_assert_int_eq(question(l, &s, NULL, true), 0);
	ck_assert(l->has_soa && l->answer.over_tcp);
	s.udp_tc = true;
	ck_assert_int_eq(question(l, &s, NULL, false), 0);
	ck_assert(l->has_soa && l->answer.over_tcp);
	s.udp_tc = false;
	s.udp_ignore = script_datagrams(&s) + 1; /* the first one is lost */
	ck_assert_int_eq(question(l, &s, NULL, false), 0);
	ck_assert(l->has_soa && !l->answer.over_tcp);
	s.rcode = RC_REFUSED;
	ck_assert_int_eq(question(l, &s, NULL, false), 0);
	ck_assert_uint_eq(l->answer.rcode, RC_REFUSED);
	ck_assert(!l->has_soa);
	s.rcode = 0;
	s.wrong_id = 1;
	ck_assert_int_eq(question(l, &s, NULL, true), ZS_EPEER);
	s.wrong_id = 0;
	/* signed */
	s.key = key;
	s.sign_every = 1;
	ck_assert_int_eq(question(l, &s, key, false), 0);
	ck_assert(l->has_soa && l->answer.tsig_verified);
	s.udp_unsigned = true; /* whoever sent that: TCP has the word */
	ck_assert_int_eq(question(l, &s, key, false), 0);
	ck_assert(l->answer.tsig_verified && l->answer.over_tcp);
	s.sign_every = 0;
	ck_assert_int_eq(question(l, &s, key, false), ZS_EAUTH);
	script_stop(&s);
	ck_assert_int_eq(question(l, &s, NULL, false), ZS_ECLOSED); /* nobody: no waiting */
	loop_free(l);
	tsig_key_free(key);
}
END_TEST

START_TEST(question_answered_by_strangers)
{
	struct script s = { .pack = PACKED, .udp_bad_id = true };
	struct loop *l = loop_new();

	make_zone();
	SEND(s, single);
	script_start(&s);
	ck_assert_int_eq(question(l, &s, NULL, false), 0); /* seven seconds of UDP, then TCP */
	ck_assert(l->answer.over_tcp);
	ck_assert_uint_eq(script_datagrams(&s), 3);
	script_stop(&s);
	loop_free(l);
}
END_TEST

START_TEST(notify_out)
{
	struct tsig_key *key = test_key();
	struct script s = { .pack = PACKED };
	struct net_remote to = { 0 };
	struct rr soa = SOA_RR(soa_new);
	struct loop *l = loop_new();
	struct notify *n;

	make_zone();
	script_start(&s);
	to.addr = s.addr;
	script_sync(&s);
	ck_assert_ptr_nonnull(notify_start(l->base, &to, &soa, on_answer, l));
	loop_run(l);
	ck_assert_int_eq(l->answer.result, 0);
	s.rcode = RC_NOTIMP;
	s.udp_ignore = script_datagrams(&s) + 1;
	script_sync(&s);
	ck_assert_ptr_nonnull(notify_start(l->base, &to, &soa, on_answer, l));
	loop_run(l); /* any reply ends it */
	ck_assert_int_eq(l->answer.result, 0);
	ck_assert_uint_eq(l->answer.rcode, RC_NOTIMP);
	s.key = to.key = key;
	s.rcode = 0;
	script_sync(&s);
	ck_assert_ptr_nonnull(notify_start(l->base, &to, &soa, on_answer, l));
	loop_run(l);
	ck_assert(l->answer.result == 0 && l->answer.tsig_verified);
	s.udp_unsigned = true;
	script_sync(&s);
	ck_assert_ptr_nonnull(notify_start(l->base, &to, &soa, on_answer, l));
	loop_run(l);
	ck_assert_int_eq(l->answer.result, ZS_EAUTH);
	n = notify_start(l->base, &to, &soa, on_answer, l);
	notify_cancel(n);
	script_stop(&s);
	loop_free(l);
	tsig_key_free(key);
}
END_TEST

/* --- addresses and lists -------------------------------------------------------------------------------- */

static struct net_addr addr(const char *text)
{
	struct net_addr a = { .sa = { .sa_family = AF_INET } };

	if (inet_pton(AF_INET, text, &a.v4.sin_addr) != 1) {
		a.sa.sa_family = AF_INET6;
		ck_assert_int_eq(inet_pton(AF_INET6, text, &a.v6.sin6_addr), 1);
	}
	return a;
}

START_TEST(access_lists)
{
	struct tsig_key *key = test_key();
	struct acl_entry e[4] = {
		{ .name = "deny", .addr = addr("192.0.2.128"), .prefix_len = 25, .deny = true },
		{ .name = "net", .addr = addr("192.0.2.0"), .prefix_len = 24 },
		{ .name = "six", .addr = addr("2001:db8::"), .prefix_len = 33 },
		{ .name = "key", .any_addr = true, .key = key },
	};
	struct acl acl = { e, 4 };
	struct net_addr a;

	a = addr("192.0.2.200");
	ck_assert_ptr_null(acl_match(&acl, &a, key)); /* the first match wins */
	a = addr("192.0.2.100");
	ck_assert_str_eq(acl_match(&acl, &a, NULL)->name, "net");
	a = addr("::ffff:192.0.2.100");
	ck_assert_str_eq(acl_match(&acl, &a, NULL)->name, "net");
	a = addr("192.0.3.1");
	ck_assert_ptr_null(acl_match(&acl, &a, NULL));
	ck_assert_str_eq(acl_match(&acl, &a, key)->name, "key");
	a = addr("2001:db8:7fff::1");
	ck_assert_str_eq(acl_match(&acl, &a, NULL)->name, "six");
	a = addr("2001:db8:8000::1");
	ck_assert_ptr_null(acl_match(&acl, &a, NULL));
	e[1].addr = addr("::ffff:192.0.2.0");
	e[1].prefix_len = 120;
	a = addr("192.0.2.100");
	ck_assert_str_eq(acl_match(&acl, &a, NULL)->name, "net");
	tsig_key_free(key);
}
END_TEST

START_TEST(address_text)
{
	char buf[NET_ADDR_TEXT];
	struct net_addr a = addr("2001:db8::1"), b = addr("192.0.2.1"), c = addr("::ffff:192.0.2.1");

	a.v6.sin6_port = htons(53);
	ck_assert_str_eq(net_addr_text(&a, buf), "2001:db8::1@53");
	ck_assert_str_eq(net_addr_text(&b, buf), "192.0.2.1@0");
	ck_assert(net_addr_same_host(&b, &c));
	ck_assert(!net_addr_same_host(&a, &b));
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		axfr_in_each_packing, torn_at_each_octet, falsified_streams, tsig_streams,
		ixfr_kinds, ixfr_in_streams, ixfr_astray, ixfr_that_is_refused, one_soa,
		limits_and_silence, cancel_in_the_middle, from_our_own_server,
		questions, question_answered_by_strangers, notify_out, access_lists,
		address_text,
	};

	return RUN_SUITE("net client", tests);
}
