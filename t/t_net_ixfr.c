/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * IXFR out: a server over loopback whose zone comes with scripted differences (net_diff.h). What arrives is
 * compared with the script, and applied to the old content by a model.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/rand.h"
#include "net_diff.h"
#include "t_suite.h"

#define STAT(r, field) __atomic_load_n(&server_stats((r)->server)->field, __ATOMIC_RELAXED)

/* --- over TCP ------------------------------------------------------------------------------------------- */

START_TEST(differences_over_tcp)
{
	const unsigned records[] = { 0, 1, 300, 40000 };

	for (unsigned i = 0; i < 8; i++) {
		struct fix f;
		unsigned rcode;

		fix_begin(&f, records[i / 2]);
		f.s.open_err = i % 3 ? ZS_EAGAIN : 0;
		f.s.times = 3;
		ck_assert(transfer(f.r, NOW - 5, i & 1 ? f.r->key : NULL, &f.st, &rcode));
		is_script(&f.st, &f.s);
		ck_assert_int_eq(f.r->last_result, 0);
		ck_assert_uint_eq(f.r->last_type, T_IXFR);
		ck_assert_uint_eq(f.r->last_records, f.st.n);
		ck_assert_int_eq(f.z->opened, 0); /* the zone was not read */
		if (i >= 6) { /* packed */
			ck_assert_uint_gt(f.st.messages, 30);
			ck_assert_uint_gt(f.st.smallest, 16000);
			ck_assert_uint_le(f.st.largest, 16384);
		} else {
			ck_assert_uint_eq(f.st.messages, i < 4 ? 1 : f.st.messages);
		}
		fix_end(&f);
	}
}
END_TEST

/* A record that fits no ordinary message gets one of its own, in the middle of the stream. */
START_TEST(a_large_record)
{
	struct fix f;
	unsigned rcode;
	uint8_t *txt = malloc(60000);

	memset(txt, 'x', 60000);
	for (size_t i = 0; i < 60000; i += 200)
		txt[i] = 199;
	fix_begin(&f, 10);
	f.s.rr[5].type = f.s.rr[15].type = T_TXT;
	f.s.rr[5].rdata = f.s.rr[15].rdata = txt;
	f.s.rr[5].rdlen = f.s.rr[15].rdlen = 60000;
	ck_assert(transfer(f.r, NOW - 5, f.r->key, &f.st, &rcode));
	is_script(&f.st, &f.s);
	ck_assert_uint_eq(f.st.messages, 3); /* each begins one */
	fix_end(&f);
	free(txt);
}
END_TEST

static void must_be_axfr(struct fix *f, uint32_t serial)
{
	uint64_t before = STAT(f->r, ixfr_as_axfr);
	unsigned rcode;

	ck_assert(transfer(f->r, serial, f->r->key, &f->st, &rcode));
	is_zone(&f->st, f->z);
	ck_assert_uint_eq(f->r->last_type, T_AXFR);
	ck_assert_int_eq(f->r->last_result, 0);
	ck_assert_uint_eq(STAT(f->r, ixfr_as_axfr), before + 1);
}

static void forget_history(void *arg)
{
	struct fix *f = arg;

	f->z->pub->open_diff = NULL;
}

static void set_estimate(void *arg)
{
	struct fix *f = arg;

	f->z->pub->rrs_estimate = 201;
}

START_TEST(the_whole_zone_instead)
{
	const int err[] = { ZS_ENOENT, ZS_ELIMIT, ZS_ECRC, ZS_EIO, ZS_ENOMEM };
	struct fix f;

	fix_begin(&f, 100);
	for (unsigned i = 0; i < sizeof(err) / sizeof(err[0]); i++) {
		f.s.open_err = err[i];
		must_be_axfr(&f, NOW - 5);
	}
	f.s.open_err = 0;
	must_be_axfr(&f, NOW - 6); /* not kept */
	f.s.from = 0;              /* from here on it opens at any serial */
	f.s.opened = f.s.closed = 0;
	must_be_axfr(&f, NOW - 0x80000000u); /* no order: not even tried (RFC 1982 3.2) */
	ck_assert_int_eq(f.s.opened, 0);
	f.s.from = NOW - 5;
	rig_call(f.r, set_estimate, &f);
	must_be_axfr(&f, NOW - 5); /* 202 records, and the zone has 201 */
	ck_assert_int_eq(f.s.opened, 1);
	rig_call(f.r, forget_history, &f);
	must_be_axfr(&f, NOW - 5);
	fix_end(&f);
}
END_TEST

/* What the stream would not survive turns up before anything is sent. */
START_TEST(damaged_differences)
{
	struct fix f;
	struct rr soa, a;

	fix_begin(&f, 100);
	soa = f.s.rr[101];
	a = f.s.rr[1];
	f.s.fail_pass = 1;
	for (f.s.fail_at = 0; f.s.fail_at <= 202; f.s.fail_at += 101)
		must_be_axfr(&f, NOW - 5); /* the stream breaks */
	f.s.fail_pass = 0;
	f.s.rr[50] = soa; /* an SOA where none may be */
	must_be_axfr(&f, NOW - 5);
	f.s.rr[50] = a;
	f.s.rr[150] = soa;
	must_be_axfr(&f, NOW - 5);
	f.s.rr[150] = a;
	f.s.rr[101] = a; /* none where one must be */
	must_be_axfr(&f, NOW - 5);
	f.s.rr[101] = make_soa(f.a, NOW + 1); /* another than ours */
	must_be_axfr(&f, NOW - 5);
	f.s.rr[101] = soa;
	f.s.rr[0] = make_soa(f.a, NOW - 6);
	must_be_axfr(&f, NOW - 5);
	f.s.rr[0] = make_soa(f.a, NOW - 5);
	f.s.nadded = 0; /* nothing comes, not even the SOA */
	must_be_axfr(&f, NOW - 5);
	f.s.nadded = 101;
	f.s.to = NOW + 1;
	must_be_axfr(&f, NOW - 5);
	f.s.to = NOW;
	f.s.nremoved = 0; /* added before anything was removed */
	f.s.nadded = 202;
	must_be_axfr(&f, NOW - 5);
	fix_end(&f);
}
END_TEST

START_TEST(an_error_in_the_middle_cuts)
{
	struct fix f;
	unsigned rcode;

	fix_begin(&f, 40000);
	f.s.fail_pass = 2;
	f.s.fail_at = 70000;
	ck_assert(!transfer(f.r, NOW - 5, f.r->key, &f.st, &rcode));
	ck_assert_uint_gt(f.st.n, 0);
	ck_assert_int_eq(f.r->last_result, ZS_ECRC);
	ck_assert_uint_eq(f.r->last_type, T_IXFR);
	f.s.fail_at = 10; /* nothing was sent: an error is answered, and signed */
	ck_assert(transfer(f.r, NOW - 5, f.r->key, &f.st, &rcode));
	ck_assert_uint_eq(rcode, RC_SERVFAIL);
	ck_assert_uint_eq(f.st.n, 0);
	f.s.fail_pass = 0;
	ck_assert(transfer(f.r, NOW - 5, f.r->key, &f.st, &rcode));
	is_script(&f.st, &f.s);
	fix_end(&f);
}
END_TEST

static void expire_in_500(void *arg)
{
	struct rig *r = arg;

	r->zone.upstream_left = 500;
}

START_TEST(one_soa_says_up_to_date)
{
	const struct edns e = { .present = true, .udp_size = 1232, .expire_asked = true, .ede = -1 };
	const uint32_t serial[] = { NOW, NOW + 1, NOW + 0x7fffffff };
	struct fix f;
	struct tsig *t;
	unsigned rcode;
	struct tq q;

	fix_begin(&f, 3);
	rig_call(f.r, expire_in_500, f.r);
	for (unsigned i = 0; i < 3; i++) {
		stream_clear(&f.st);
		ixfr_query(&q, serial[i], &e, f.r->key, &t);
		ck_assert(fetch(f.r, &q, t, true, &f.st, &rcode));
		tsig_free(t);
		ck_assert_uint_eq(f.st.n, 1);
		ck_assert_uint_eq(serial_of(&f.st.rr[0]), NOW);
		ck_assert(f.st.edns.expire_set && f.st.edns.expire == 500);
		ck_assert_uint_eq(STAT(f.r, ixfr_uptodate), i + 1);
	}
	/* differences and the whole zone carry it, too (RFC 7314 3.2) */
	for (unsigned i = 0; i < 2; i++) {
		stream_clear(&f.st);
		ixfr_query(&q, NOW - 5 - i, &e, f.r->key, &t);
		ck_assert(fetch(f.r, &q, t, false, &f.st, &rcode));
		tsig_free(t);
		ck_assert(f.st.edns.expire_set && f.st.edns.expire == 500);
	}
	fix_end(&f);
}
END_TEST

static void without_soa(struct fix *f, struct tq *q, unsigned soas)
{
	uint8_t d[64];
	struct rr soa = { .owner = apex, .type = T_SOA, .class = CLASS_IN, .rdata = d };
	struct msgw w;

	soa.rdlen = (uint16_t)tz_soa(d, NOW - 5, 1);
	msgw_init(&w, q->wire, sizeof(q->wire), q->id, msg_flags(OP_QUERY, 0, 0));
	msgw_question(&w, apex, T_IXFR, CLASS_IN);
	for (unsigned i = 0; i < soas; i++)
		ck_assert_int_eq(msgw_rr(&w, SEC_AUTHORITY, &soa), 0);
	q->len = w.len;
}

START_TEST(queries_without_one_soa)
{
	static uint8_t buf[MSG_MAX];
	struct tq q = { .id = 77 };
	struct fix f;

	fix_begin(&f, 3);
	for (unsigned i = 0; i < 4; i++) {
		struct msgr m;
		size_t n;

		without_soa(&f, &q, i & 1 ? 2 : 0);
		n = tq_ask(i & 2 ? &f.r->tcp4 : &f.r->udp4, i & 2, &q, buf);
		ck_assert_int_eq(msgr_open(&m, buf, n), 0);
		ck_assert_uint_eq(m.rcode, RC_FORMERR);
		ck_assert_uint_eq(m.count[SEC_ANSWER], 0);
	}
	fix_end(&f);
}
END_TEST

/* --- over UDP ------------------------------------------------------------------------------------------- */

/* Steps of so many records each, the newest ends at NOW. */
static void set_steps(struct fix *f, size_t nstep, unsigned records)
{
	struct pub_step *p = arena_alloc(f->a, nstep * sizeof(*p));

	for (size_t i = 0; i < nstep; i++) {
		struct rr *rr = arena_alloc(f->a, (2 * records + 2) * sizeof(*rr));
		uint32_t to = NOW - (uint32_t)(nstep - 1 - i);

		p[i] = (struct pub_step){ .from = to - 1, .to = to, .rr = rr, .nremoved = records + 1,
					  .nadded = records + 1 };
		rr[0] = make_soa(f->a, to - 1);
		rr[records + 1] = make_soa(f->a, to);
		for (unsigned k = 0; k < records; k++) {
			rr[1 + k] = make_rr(f->a, 1000 * (unsigned)i + k);
			rr[records + 2 + k] = make_rr(f->a, 1000 * (unsigned)i + 500 + k);
		}
	}
	f->z->pub->step = p;
	f->z->pub->nstep = nstep;
}

/* One datagram; its length. */
static size_t ask_udp(struct fix *f, uint32_t serial, const struct edns *e, const struct tsig_key *key)
{
	static uint8_t buf[MSG_MAX];
	struct tsig *t;
	struct tq q;
	size_t n;

	stream_clear(&f->st);
	ixfr_query(&q, serial, e, key, &t);
	n = tq_ask(&f->r->udp4, false, &q, buf);
	ck_assert_uint_eq(take_message(&f->st, buf, n, q.id, t), RC_NOERROR);
	tsig_free(t);
	return n;
}

static void must_be_steps(struct fix *f, size_t first)
{
	const struct pub *p = f->z->pub;
	size_t at = 1;

	ck_assert_uint_gt(f->st.n, 1);
	for (size_t i = first; i < p->nstep; i++)
		for (size_t k = 0; k < p->step[i].nremoved + p->step[i].nadded; k++)
			same_rr(&f->st.rr[at++], &p->step[i].rr[k]);
	ck_assert_uint_eq(f->st.n, at + 1);
	ck_assert_uint_eq(serial_of(&f->st.rr[0]), NOW);
	ck_assert_uint_eq(serial_of(&f->st.rr[at]), NOW);
}

static void must_be_one_soa(struct fix *f)
{
	ck_assert_uint_eq(f->st.n, 1);
	ck_assert_uint_eq(serial_of(&f->st.rr[0]), NOW);
}

START_TEST(steps_over_udp)
{
	const struct edns e = { .present = true, .udp_size = 65535, .expire_asked = true, .ede = -1 };
	const struct edns small = { .present = true, .udp_size = 700, .ede = -1 };
	struct fix f;

	fix_begin(&f, 3);
	must_be_one_soa((ask_udp(&f, NOW - 1, &e, NULL), &f)); /* no steps kept */
	set_steps(&f, 4, 3);
	for (unsigned k = 0; k < 2; k++) {
		const struct tsig_key *key = k ? f.r->key : NULL;

		for (unsigned back = 1; back <= 4; back++) {
			ck_assert_uint_le(ask_udp(&f, NOW - back, &e, key), 1232);
			must_be_steps(&f, 4 - back);
			ck_assert(f.st.edns.expire_set);
		}
		ck_assert_uint_le(ask_udp(&f, NOW - 1, NULL, key), 512);
		must_be_steps(&f, 3);
		ck_assert_uint_le(ask_udp(&f, NOW - 4, NULL, key), 512); /* 4 steps do not fit */
		must_be_one_soa(&f);
		ck_assert_uint_le(ask_udp(&f, NOW - 3, &small, key), 700);
		ask_udp(&f, NOW - 5, &e, key); /* before the first */
		must_be_one_soa(&f);
		ask_udp(&f, NOW, &e, key);
		must_be_one_soa(&f);
		ask_udp(&f, NOW + 1, &e, key);
		must_be_one_soa(&f);
		ask_udp(&f, NOW + 0x80000000u, &e, key);
		must_be_one_soa(&f);
	}
	ck_assert_int_eq(f.s.opened + f.z->opened, 0); /* the store is never touched */
	ck_assert_uint_ge(STAT(f.r, ixfr_udp), 10);
	ck_assert_uint_eq(STAT(f.r, ixfr_uptodate), 4);
	fix_end(&f);
}
END_TEST

/* To the octet: with room for OPT and TSIG it fits, with one octet less it does not. */
START_TEST(the_edge_of_a_datagram)
{
	for (unsigned k = 0; k < 2; k++) {
		struct edns e = { .present = true, .udp_size = 1232, .ede = -1 };
		const struct tsig_key *key;
		unsigned least = 0;
		struct fix f;
		size_t n;

		fix_begin(&f, 3);
		key = k ? f.r->key : NULL;
		set_steps(&f, 1, 12);
		n = ask_udp(&f, NOW - 1, &e, key);
		ck_assert_uint_gt(n, 512);
		for (e.udp_size = 1232; e.udp_size > 512; e.udp_size--) {
			ck_assert_uint_le(ask_udp(&f, NOW - 1, &e, key), e.udp_size);
			if (f.st.n == 1)
				break;
			must_be_steps(&f, 0);
			least = e.udp_size;
		}
		/* tsig_key_room() is the most that a TSIG takes: a few octets may be wasted */
		ck_assert_uint_le(least, n + (k ? 16 : 0));
		fix_end(&f);
	}
}
END_TEST

START_TEST(steps_with_a_gap)
{
	const struct edns e = { .present = true, .udp_size = 1232, .ede = -1 };
	struct pub_step *p;
	struct fix f;

	fix_begin(&f, 3);
	set_steps(&f, 3, 2);
	p = (struct pub_step *)f.z->pub->step;
	p[1].from -= 10; /* nothing leads from the first to the second */
	ask_udp(&f, NOW - 3, &e, NULL);
	must_be_one_soa(&f);
	ask_udp(&f, NOW - 1, &e, NULL);
	must_be_steps(&f, 2);
	p[2].to--; /* the last does not lead here */
	ask_udp(&f, NOW - 1, &e, NULL);
	must_be_one_soa(&f);
	fix_end(&f);
}
END_TEST

/* --- a model -------------------------------------------------------------------------------------------- */

#define SET 4000

/* Applies what came to the content have[]; by RFC 1995 4 and nothing else. */
static void apply(const struct stream *st, uint32_t from, bool *have)
{
	uint32_t at = from;
	bool adding = true;

	ck_assert_uint_ge(st->n, 4);
	for (size_t i = 1; i + 1 < st->n; i++) {
		const struct rr *rr = &st->rr[i];
		uint32_t k;

		if (is_soa(rr)) {
			adding = !adding;
			if (adding)
				at = serial_of(rr);
			else
				ck_assert_uint_eq(serial_of(rr), at);
			continue;
		}
		k = be32(rr->rdata);
		ck_assert_uint_lt(k, SET);
		same_rr(rr, &(struct rr){ .owner = rr->owner, .type = T_A, .ttl = 300, .rdata = rr->rdata,
					  .rdlen = 4 });
		ck_assert_int_eq(have[k], !adding);
		have[k] = adding;
	}
	ck_assert(adding);
	ck_assert_uint_eq(at, NOW);
}

/* Records of the step between two contents; what it has. */
static size_t between(struct arena *a, const bool *from, const bool *to, uint32_t serial_from,
		      uint32_t serial_to, struct rr *out, size_t *nremoved)
{
	size_t n = 0;

	out[n++] = make_soa(a, serial_from);
	for (unsigned i = 0; i < SET; i++)
		if (from[i] && !to[i])
			out[n++] = make_rr(a, i);
	*nremoved = n;
	out[n++] = make_soa(a, serial_to);
	for (unsigned i = 0; i < SET; i++)
		if (to[i] && !from[i])
			out[n++] = make_rr(a, i);
	return n;
}

static void random_content(struct prng *p, bool *set, unsigned one_in)
{
	for (unsigned i = 0; i < SET; i++)
		if (prng_upto(p, one_in - 1) == 0)
			set[i] = !set[i];
}

START_TEST(random_differences)
{
	const struct edns e = { .present = true, .udp_size = 1232, .ede = -1 };
	struct prng p = prng_seed(26);
	static bool was[4][SET], have[SET];

	for (unsigned round = 0; round < 12; round++) {
		struct pub_step step[3];
		struct fix f;
		unsigned rcode;
		size_t n;

		fix_begin(&f, 0);
		random_content(&p, was[0], 2);
		for (unsigned i = 1; i < 4; i++) {
			struct rr *rr = arena_alloc(f.a, (SET + 2) * sizeof(*rr));

			memcpy(was[i], was[i - 1], sizeof(was[i]));
			random_content(&p, was[i], round & 1 ? 1000 : 10);
			n = between(f.a, was[i - 1], was[i], NOW - 4 + i, NOW - 3 + i, rr,
				    &step[i - 1].nremoved);
			step[i - 1].from = NOW - 4 + i;
			step[i - 1].to = NOW - 3 + i;
			step[i - 1].nadded = n - step[i - 1].nremoved;
			step[i - 1].rr = rr;
		}
		f.z->pub->step = step;
		f.z->pub->nstep = 3;
		f.s.rr = arena_alloc(f.a, (SET + 2) * sizeof(*f.s.rr));
		f.s.from = NOW - 3;
		n = between(f.a, was[0], was[3], NOW - 3, NOW, f.s.rr, &f.s.nremoved);
		f.s.nadded = n - f.s.nremoved;
		ck_assert(transfer(f.r, NOW - 3, round % 3 ? f.r->key : NULL, &f.st, &rcode));
		memcpy(have, was[0], sizeof(have));
		apply(&f.st, NOW - 3, have);
		ck_assert_mem_eq(have, was[3], sizeof(have));
		ask_udp(&f, NOW - 3, &e, round % 3 ? f.r->key : NULL);
		if (f.st.n > 1) {
			memcpy(have, was[0], sizeof(have));
			apply(&f.st, NOW - 3, have);
			ck_assert_mem_eq(have, was[3], sizeof(have));
		}
		ck_assert_int_eq(f.st.n > 1, round & 1);
		fix_end(&f);
	}
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		differences_over_tcp, a_large_record, the_whole_zone_instead, damaged_differences,
		an_error_in_the_middle_cuts, one_soa_says_up_to_date, queries_without_one_soa,
		steps_over_udp, the_edge_of_a_datagram, steps_with_a_gap, random_differences,
	};

	return RUN_SUITE("net ixfr out", tests);
}
