/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See net_diff.h. */
#include "net_diff.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "dns/diff.h"

const uint8_t apex[] = "\007example";

/* --- content: a set of numbers, each a record ----------------------------------------------------------- */

struct rr make_soa(struct arena *a, uint32_t serial)
{
	uint8_t d[64];
	size_t n = tz_soa(d, serial, 86400);

	return (struct rr){ .owner = apex, .type = T_SOA, .class = CLASS_IN, .ttl = 3600,
			    .rdata = arena_dup(a, d, n), .rdlen = (uint16_t)n };
}

/* Four of one owner, so that pointers in messages are of use. */
struct rr make_rr(struct arena *a, unsigned i)
{
	uint8_t d[4], *owner;
	char text[40];
	size_t n;

	put_be32(d, i);
	owner = arena_alloc(a, NAME_MAX_WIRE);
	snprintf(text, sizeof(text), "h%07u.example.", i / 4);
	ck_assert_int_eq(name_from_text(text, owner, &n), 0);
	return (struct rr){ .owner = owner, .type = T_A, .class = CLASS_IN, .ttl = 300,
			    .rdata = arena_dup(a, d, 4), .rdlen = 4 };
}

/* --- a difference by script ----------------------------------------------------------------------------- */

struct sdiff {
	struct diff d;
	struct script *s;
	size_t at;
	unsigned pass;
};

static int s_next(struct diff *d, struct rr *out, bool *added)
{
	struct sdiff *x = (struct sdiff *)d;

	if (x->pass == x->s->fail_pass && x->at == x->s->fail_at)
		return ZS_ECRC;
	if (x->at == x->s->nremoved + x->s->nadded)
		return ZS_ENOENT;
	*added = x->at >= x->s->nremoved;
	*out = x->s->rr[x->at++];
	return 0;
}

static int s_rewind(struct diff *d)
{
	struct sdiff *x = (struct sdiff *)d;

	x->at = 0;
	x->pass++;
	return 0;
}

static void s_close(struct diff *d)
{
	struct sdiff *x = (struct sdiff *)d;

	__atomic_add_fetch(&x->s->closed, 1, __ATOMIC_RELAXED);
	free(x);
}

static const struct diff_ops s_ops = { s_next, s_rewind, s_close };

static int open_diff(void *source, uint32_t serial, struct diff **out)
{
	struct tzone *z = source;
	struct script *s = z->aside;
	struct sdiff *x;

	if (s->open_err && (s->times == 0 || s->times-- > 1))
		return s->open_err;
	if (serial != s->from && s->from != 0)
		return ZS_ENOENT;
	x = calloc(1, sizeof(*x));
	ck_assert_ptr_nonnull(x);
	x->d = (struct diff){ .ops = &s_ops, .from = s->from ? s->from : serial, .to = s->to,
			      .octets = s->octets, .removed = s->nremoved, .added = s->nadded };
	x->s = s;
	x->pass = 1;
	__atomic_add_fetch(&s->opened, 1, __ATOMIC_RELAXED);
	*out = &x->d;
	return 0;
}

/* n records go, n others come. */
struct script make_script(struct arena *a, uint32_t from, unsigned n)
{
	struct script s = { .from = from, .to = NOW, .nremoved = n + 1, .nadded = n + 1 };

	s.rr = arena_alloc(a, 2 * (n + 1) * sizeof(*s.rr));
	s.rr[0] = make_soa(a, from);
	s.rr[n + 1] = make_soa(a, NOW);
	for (unsigned i = 0; i < n; i++) {
		s.rr[1 + i] = make_rr(a, 2 * i);
		s.rr[n + 2 + i] = make_rr(a, 2 * i + 1);
	}
	return s;
}

/* --- what came ------------------------------------------------------------------------------------------ */

static void keep(struct stream *st, const struct rr *rr)
{
	if (st->n == st->cap) {
		st->cap = st->cap ? st->cap * 2 : 256;
		st->rr = realloc(st->rr, st->cap * sizeof(*st->rr));
		ck_assert_ptr_nonnull(st->rr);
	}
	st->rr[st->n] = *rr;
	st->rr[st->n].owner = arena_dup(st->a, rr->owner, name_len(rr->owner));
	st->rr[st->n++].rdata = arena_dup(st->a, rr->rdata, rr->rdlen);
}

void stream_clear(struct stream *st)
{
	free(st->rr);
	arena_free(st->a);
	*st = (struct stream){ .a = arena_new(0) };
}

bool is_soa(const struct rr *rr)
{
	return rr->type == T_SOA && name_eq(rr->owner, apex);
}

uint32_t serial_of(const struct rr *rr)
{
	struct soa soa;

	ck_assert_int_eq(soa_read(rr->rdata, rr->rdlen, &soa), 0);
	return soa.serial;
}

/* One message: header, question in the first alone, signature, records; its rcode. */
unsigned take_message(struct stream *st, uint8_t *wire, size_t len, uint16_t id, struct tsig *t)
{
	static uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr m;
	struct rr rr;
	bool verified = false;
	int section;

	ck_assert_int_eq(msgr_open(&m, wire, len), 0);
	ck_assert_uint_eq(m.id, id);
	ck_assert_uint_eq(m.flags & (F_QR | F_TC), F_QR);
	ck_assert_uint_eq(m.count[0], st->messages == 0);
	ck_assert(m.count[0] == 0 || m.qtype == T_IXFR);
	ck_assert_int_eq(m.tsig_pos != 0, t != NULL);
	ck_assert_int_eq(m.edns.present && st->messages > 0, 0);
	if (st->messages == 0)
		st->edns = m.edns;
	if (t) {
		ck_assert_int_eq(tsig_verify_answer(t, wire, &len, m.tsig_pos, &verified), 0);
		ck_assert(verified); /* each one is signed */
		ck_assert_int_eq(msgr_open(&m, wire, len), 0);
	}
	while (msgr_rr(&m, &rr, &section, owner, rdata) == 0) {
		ck_assert_int_eq(section, SEC_ANSWER);
		keep(st, &rr);
	}
	st->messages++;
	return m.rcode;
}

/* The end by RFC 1995 4: the opening SOA again, behind what has come so far. */
static bool is_whole(const struct stream *st)
{
	unsigned ours = 0, others = 0;

	for (size_t i = 0; i < st->n; i++) {
		if (is_soa(&st->rr[i]) && serial_of(&st->rr[i]) == serial_of(&st->rr[0]))
			ours++;
		else if (is_soa(&st->rr[i]))
			others++;
	}
	return ours == (others > 0 ? 3u : 2u) && is_soa(&st->rr[st->n - 1]);
}

/* Asks by TCP and reads to the end, or one message (lone). False: the connection was cut. */
bool fetch(struct rig *r, const struct tq *q, struct tsig *t, bool lone, struct stream *st,
		  unsigned *rcode)
{
	static uint8_t buf[MSG_MAX];
	int fd = t_connect(&r->tcp4, SOCK_STREAM);
	bool whole = false;
	size_t len;

	ck_assert(t_send_tcp(fd, q->wire, q->len));
	*rcode = RC_NOERROR;
	while (!whole && (len = t_recv_tcp(fd, buf)) > 0) {
		*rcode = take_message(st, buf, len, q->id, t);
		whole = lone || *rcode != RC_NOERROR || is_whole(st);
		if (whole)
			break;
		if (st->smallest == 0 || len < st->smallest)
			st->smallest = (unsigned)len;
		if (len > st->largest)
			st->largest = (unsigned)len;
	}
	close(fd);
	return whole;
}

void ixfr_query(struct tq *q, uint32_t serial, const struct edns *e, const struct tsig_key *key,
		       struct tsig **t)
{
	uint8_t d[64];
	struct rr soa = { .owner = apex, .type = T_SOA, .class = CLASS_IN, .rdata = d };

	soa.rdlen = (uint16_t)tz_soa(d, serial, 1);
	tq_make(q, "example.", T_IXFR, OP_QUERY, e, SEC_AUTHORITY, &soa);
	*t = key ? tsig_new(key) : NULL;
	if (key)
		ck_assert_int_eq(tsig_sign_query(*t, q->wire, &q->len, sizeof(q->wire)), 0);
}

/* Asks, reads, and waits until the server has told of it. */
bool transfer(struct rig *r, uint32_t serial, const struct tsig_key *key, struct stream *st,
		     unsigned *rcode)
{
	unsigned before = r->transferred;
	struct tsig *t;
	struct tq q;
	bool ok;

	stream_clear(st);
	ixfr_query(&q, serial, NULL, key, &t);
	ok = fetch(r, &q, t, false, st, rcode);
	ck_assert(rig_await(r, &r->transferred, before + 1));
	tsig_free(t);
	return ok;
}

void same_rr(const struct rr *a, const struct rr *b)
{
	ck_assert(name_eq(a->owner, b->owner));
	ck_assert_uint_eq(a->type, b->type);
	ck_assert_uint_eq(a->ttl, b->ttl);
	ck_assert_uint_eq(a->rdlen, b->rdlen);
	ck_assert_mem_eq(a->rdata, b->rdata, a->rdlen);
}

/* Exactly: our SOA, the script, our SOA. */
void is_script(const struct stream *st, const struct script *s)
{
	size_t n = s->nremoved + s->nadded;

	ck_assert_uint_eq(st->n, n + 2);
	for (size_t i = 0; i < n; i++)
		same_rr(&st->rr[1 + i], &s->rr[i]);
	same_rr(&st->rr[0], &s->rr[s->nremoved]);
	same_rr(&st->rr[n + 1], &s->rr[s->nremoved]);
}

void is_zone(const struct stream *st, struct tzone *z)
{
	struct bag got = { 0 };

	for (size_t i = 0; i + 1 < st->n; i++)
		bag_add(&got, &st->rr[i]);
	ck_assert(bag_same(&z->all, &got));
	bag_free(&got);
}

void fix_begin(struct fix *f, unsigned records)
{
	*f = (struct fix){ .a = arena_new(0), .z = tz_new("example.", 30, NOW, TZ_NSEC3) };
	f->s = make_script(f->a, NOW - 5, records);
	f->z->aside = &f->s;
	f->z->pub->open_diff = open_diff;
	f->r = rig_new(f->z, NULL);
}

void fix_end(struct fix *f)
{
	rig_free(f->r);
	tz_free(f->z);
	ck_assert_int_eq(f->s.opened, f->s.closed); /* each difference is given back */
	arena_free(f->a);
	arena_free(f->st.a);
	free(f->st.rr);
}
