/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The server over loopback: each kind of query, over UDP and TCP, with and without TSIG, transfers and
 * NOTIFY. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net_rig.h"
#include "t_suite.h"

#define STAT(r, field) __atomic_load_n(&server_stats((r)->server)->field, __ATOMIC_RELAXED)

static uint8_t buf[MSG_MAX];
static struct msgr m;

static const struct edns plain_edns = { .present = true, .udp_size = 1232, .ede = -1 };
static const struct edns do_edns = { .present = true, .udp_size = 1232, .dnssec_ok = true, .ede = -1 };

/* Asks and opens the answer. */
static void ask(struct rig *r, bool tcp, const struct tq *q)
{
	size_t n = tq_ask(tcp ? &r->tcp4 : &r->udp4, tcp, q, buf);

	ck_assert_uint_gt(n, 0);
	ck_assert_int_eq(msgr_open(&m, buf, n), 0);
	ck_assert_uint_eq(m.id, q->id);
	ck_assert(m.flags & F_QR);
}

static void ask_type(struct rig *r, bool tcp, const char *name, uint16_t type, const struct edns *e)
{
	struct tq q;

	tq_make(&q, name, type, OP_QUERY, e, 0, NULL);
	ask(r, tcp, &q);
}

/* Records of a type in a section of the answer. */
static unsigned count(int section, uint16_t type)
{
	static uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr c = m;
	struct rr rr;
	unsigned n = 0;
	int s;

	while (msgr_rr(&c, &rr, &s, owner, rdata) == 0)
		n += s == section && rr.type == type;
	return n;
}

static void expect(unsigned rcode, int aa, int ede)
{
	ck_assert_uint_eq(m.rcode, rcode);
	ck_assert_int_eq((m.flags & F_AA) != 0, aa);
	ck_assert_int_eq(m.edns.ede, ede);
}

START_TEST(apex_data)
{
	struct tzone *z = tz_new("Example.", 3, 100, TZ_NSEC3);
	struct rig *r = rig_new(z, NULL);

	for (int tcp = 0; tcp < 2; tcp++) {
		ask_type(r, tcp, "example.", T_SOA, NULL);
		expect(RC_NOERROR, 1, -1);
		ck_assert_uint_eq(count(SEC_ANSWER, T_SOA), 1);
		ck_assert_uint_eq(m.count[1] + m.count[2] + m.count[3], 1);
		ck_assert(!m.edns.present);
		ask_type(r, tcp, "eXAMple.", T_SOA, &do_edns);
		expect(RC_NOERROR, 1, -1);
		ck_assert_uint_eq(count(SEC_ANSWER, T_SOA), 1);
		ck_assert_uint_eq(count(SEC_ANSWER, T_RRSIG), 1);
		ck_assert(m.edns.present && m.edns.dnssec_ok);
		ask_type(r, tcp, "example.", T_NS, &plain_edns);
		ck_assert_uint_eq(count(SEC_ANSWER, T_NS), 2); /* the duplicate is not served */
		ck_assert_uint_eq(count(SEC_ANSWER, T_RRSIG), 0);
		ask_type(r, tcp, "example.", T_DNSKEY, &do_edns);
		ck_assert_uint_eq(count(SEC_ANSWER, T_DNSKEY), 1);
		ck_assert_uint_eq(count(SEC_ANSWER, T_RRSIG), 1);
	}
	ck_assert_uint_eq(STAT(r, queries_udp), 4);
	ck_assert_uint_eq(STAT(r, queries_tcp), 4);
	ck_assert_uint_eq(STAT(r, answers_rcode[0]), 8);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(nodata_has_its_proof)
{
	const int kind[] = { 0, TZ_NSEC3, TZ_UNSIGNED };

	for (unsigned i = 0; i < 3; i++) {
		struct tzone *z = tz_new("example.", 3, 100, kind[i]);
		struct rig *r = rig_new(z, NULL);
		unsigned proof = kind[i] != TZ_UNSIGNED, nsec3 = kind[i] == TZ_NSEC3;
		static uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
		struct rr rr;
		int s;

		ask_type(r, false, "example.", T_MX, &plain_edns);
		expect(RC_NOERROR, 1, -1);
		ck_assert_uint_eq(m.count[SEC_ANSWER], 0);
		ck_assert_uint_eq(m.count[SEC_AUTHORITY], 1);
		ck_assert_int_eq(msgr_rr(&m, &rr, &s, owner, rdata), 0);
		ck_assert_uint_eq(rr.type, T_SOA);
		ck_assert_uint_eq(rr.ttl, 300); /* RFC 2308 3: min(TTL 3600, MINIMUM 300) */
		ask_type(r, false, "example.", T_MX, &do_edns);
		ck_assert_uint_eq(count(SEC_AUTHORITY, T_SOA), 1);
		ck_assert_uint_eq(count(SEC_AUTHORITY, T_RRSIG), proof ? 2 : 0);
		ck_assert_uint_eq(count(SEC_AUTHORITY, nsec3 ? T_NSEC3 : T_NSEC), proof);
		/* the type itself */
		ask_type(r, false, "example.", T_NSEC, &do_edns);
		ck_assert_uint_eq(count(SEC_ANSWER, T_NSEC), proof && !nsec3);
		ask_type(r, false, "example.", T_NSEC3, &do_edns);
		ck_assert_uint_eq(m.count[SEC_ANSWER], 0);
		rig_free(r);
		tz_free(z);
	}
}
END_TEST

START_TEST(any_and_rrsig_are_one_rrset)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);

	ask_type(r, false, "example.", T_ANY, &do_edns);
	expect(RC_NOERROR, 1, -1);
	ck_assert_uint_eq(m.count[SEC_ANSWER], 2);
	ask_type(r, false, "example.", T_RRSIG, &plain_edns);
	expect(RC_NOERROR, 1, -1);
	ck_assert_uint_eq(m.count[SEC_ANSWER], 1);
	ck_assert_uint_eq(count(SEC_ANSWER, T_RRSIG), 1);
	ask_type(r, false, "example.", 253, &plain_edns); /* MAILB */
	expect(RC_NOTIMP, 0, 21);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(truncation)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct edns e = { .present = true, .udp_size = 65535, .ede = -1 };

	ask_type(r, false, "example.", T_TXT, &e);
	ck_assert(m.flags & F_TC);
	ck_assert_uint_eq(m.count[SEC_ANSWER], 0);
	ck_assert(m.edns.present);
	ck_assert_uint_le(m.len, 512);
	ask_type(r, true, "example.", T_TXT, NULL);
	ck_assert(!(m.flags & F_TC));
	ck_assert_uint_eq(count(SEC_ANSWER, T_TXT), 1);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(refusals)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct tq q;

	ask_type(r, false, "www.example.", T_A, &plain_edns);
	expect(RC_REFUSED, 0, 21);
	ask_type(r, false, "other.", T_SOA, &plain_edns);
	expect(RC_REFUSED, 0, 20);
	ask_type(r, false, "example.", T_AXFR, &plain_edns);
	expect(RC_REFUSED, 0, 21);
	ask_type(r, true, "other.", T_AXFR, &plain_edns);
	expect(RC_NOTAUTH, 0, 20);
	tq_make(&q, "example.", T_SOA, 5, &plain_edns, 0, NULL);
	ask(r, false, &q);
	expect(RC_NOTIMP, 0, -1);
	ck_assert_uint_eq(m.opcode, 5);
	tq_make(&q, "example.", T_SOA, OP_QUERY, &plain_edns, 0, NULL);
	q.wire[12 + 9 + 3] = 3; /* class CH */
	ask(r, false, &q);
	expect(RC_REFUSED, 0, 20);
	rig_free(r);
	tz_free(z);
}
END_TEST

static void clear_query_acl(void *arg)
{
	struct rig *r = arg;

	r->zone.query.n = 0;
}

static void clear_transfer_acl(void *arg)
{
	struct rig *r = arg;

	r->zone.transfer.n = 0;
}

static void zone_expired(void *arg)
{
	struct rig *r = arg;

	r->zone.expired = true;
}

static void zone_unpublished(void *arg)
{
	struct rig *r = arg;

	r->zone.expired = false;
	r->zone.pub = NULL;
}

START_TEST(access_and_state)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);

	rig_call(r, clear_query_acl, r);
	ask_type(r, false, "example.", T_SOA, &plain_edns); /* who may transfer may query */
	expect(RC_NOERROR, 1, -1);
	rig_call(r, zone_expired, r);
	ask_type(r, false, "example.", T_SOA, &plain_edns);
	expect(RC_SERVFAIL, 0, 24);
	ask_type(r, true, "example.", T_AXFR, &plain_edns);
	expect(RC_SERVFAIL, 0, 24);
	rig_call(r, zone_unpublished, r);
	ask_type(r, false, "example.", T_SOA, &plain_edns);
	expect(RC_SERVFAIL, 0, 14);
	rig_call(r, clear_transfer_acl, r);
	ask_type(r, false, "example.", T_SOA, &plain_edns);
	expect(RC_REFUSED, 0, 18);
	ask_type(r, true, "example.", T_AXFR, &plain_edns);
	expect(RC_REFUSED, 0, 18);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(malformed_queries)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct tq q;
	int fd;

	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	q.len -= 2;
	ask(r, false, &q);
	expect(RC_FORMERR, 0, -1);
	ck_assert_uint_eq(m.len, 12);
	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	q.wire[5] = 2; /* two questions, one there */
	ask(r, false, &q);
	expect(RC_FORMERR, 0, -1);
	q.len = 12;
	q.wire[5] = 0; /* none, and no cookie asked for */
	ask(r, false, &q);
	expect(RC_FORMERR, 0, -1);
	/* what is an answer, or too short, is ignored: the next answer is the next query's */
	fd = t_connect(&r->udp4, SOCK_DGRAM);
	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	q.wire[2] |= 0x80;
	send(fd, q.wire, q.len, 0);
	send(fd, q.wire, 11, 0);
	q.wire[2] &= 0x7f;
	q.wire[0] = 0x77;
	send(fd, q.wire, q.len, 0);
	ck_assert_uint_gt(t_recv_udp(fd, buf, sizeof(buf)), 0);
	ck_assert_uint_eq(buf[0], 0x77);
	close(fd);
	ck_assert_uint_eq(STAT(r, malformed), 4);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(edns_versions_and_cookies)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct edns e = { .present = true, .udp_size = 1232, .version = 1, .ede = -1 };
	struct tq q;

	tq_make(&q, "example.", T_SOA, OP_QUERY, &e, 0, NULL);
	q.wire[q.len - 5] = 1; /* the writer knows version 0 only */
	ask(r, false, &q);
	ck_assert_uint_eq(m.edns.ext_rcode << 4 | m.rcode, RC_BADVERS);
	ck_assert_uint_eq(m.edns.version, 0);
	e.version = 0;
	e.cookie_len = 8;
	memcpy(e.cookie, "clientCC", 8);
	tq_make(&q, "example.", T_SOA, OP_QUERY, &e, 0, NULL);
	ask(r, false, &q);
	expect(RC_NOERROR, 1, -1);
	ck_assert_uint_eq(m.edns.cookie_len, 24);
	ck_assert_int_eq(memcmp(m.edns.cookie, "clientCC", 8), 0);
	/* the whole cookie is good for a query without a question (RFC 7873 5.4), a false one is not */
	memcpy(e.cookie, m.edns.cookie, 24);
	e.cookie_len = 24;
	for (int bad = 0; bad < 2; bad++) {
		struct msgw w;

		e.cookie[23] ^= (uint8_t)bad;
		msgw_init(&w, q.wire, sizeof(q.wire), q.id, 0);
		ck_assert_int_eq(msgw_opt(&w, &e), 0);
		q.len = w.len;
		ask(r, false, &q);
		ck_assert_uint_eq(m.edns.ext_rcode << 4 | m.rcode, bad ? RC_BADCOOKIE : RC_NOERROR);
		ck_assert_uint_eq(m.edns.cookie_len, 24);
	}
	rig_free(r);
	tz_free(z);
}
END_TEST

static uint32_t asked_expire(struct rig *r)
{
	struct edns e = { .present = true, .udp_size = 1232, .expire_asked = true, .ede = -1 };

	ask_type(r, false, "example.", T_SOA, &e);
	ck_assert(m.edns.expire_set);
	return m.edns.expire;
}

static void expire_by_signature(void *arg)
{
	struct rig *r = arg;

	r->tz->pub->earliest_expiry = r->now.s + 3600 + 1000;
}

static void expire_by_upstream(void *arg)
{
	struct rig *r = arg;

	r->zone.upstream_left = 500;
}

static void expire_past(void *arg)
{
	struct rig *r = arg;

	r->tz->pub->earliest_expiry = r->now.s - 5;
}

START_TEST(edns_expire)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);

	ask_type(r, false, "example.", T_SOA, &plain_edns);
	ck_assert(!m.edns.expire_set);
	ck_assert_uint_eq(asked_expire(r), 86400);
	rig_call(r, expire_by_signature, r);
	ck_assert_uint_eq(asked_expire(r), 1000);
	rig_call(r, expire_by_upstream, r);
	ck_assert_uint_eq(asked_expire(r), 500);
	rig_call(r, expire_past, r);
	ck_assert_uint_eq(asked_expire(r), 0);
	rig_free(r);
	tz_free(z);
}
END_TEST

/* --- TSIG ----------------------------------------------------------------------------------------------- */

static void need_key(void *arg)
{
	struct rig *r = arg;

	r->transfer[0].key = r->key;
	r->notify[0].key = r->key;
	r->zone.query.n = 0;
}

static size_t signed_ask(struct rig *r, const struct tsig_key *key, struct tsig **t, uint16_t type)
{
	struct tq q;

	tq_make(&q, "example.", type, OP_QUERY, &plain_edns, 0, NULL);
	*t = tsig_new(key);
	ck_assert_int_eq(tsig_sign_query(*t, q.wire, &q.len, sizeof(q.wire)), 0);
	ask(r, false, &q);
	return m.len;
}

START_TEST(tsig_queries)
{
	static const uint8_t secret[32] = { 1 };
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct tsig_key *wrong, *unknown;
	struct tsig *t;
	bool verified;
	size_t n;

	ck_assert_int_eq(tsig_key_new("xfr.example.", "hmac-sha256", secret, 32, &wrong), 0);
	ck_assert_int_eq(tsig_key_new("nobody.example.", "hmac-sha256", secret, 32, &unknown), 0);
	rig_call(r, need_key, r);
	ask_type(r, false, "example.", T_SOA, &plain_edns);
	expect(RC_REFUSED, 0, 18);
	n = signed_ask(r, r->key, &t, T_SOA);
	expect(RC_NOERROR, 1, -1);
	ck_assert_int_eq(tsig_verify_answer(t, buf, &n, m.tsig_pos, &verified), 0);
	ck_assert(verified);
	tsig_free(t);
	ck_assert(rig_await(r, &r->seen, 1)); /* a verified SOA query tells what the secondary knows */
	ck_assert_uint_eq(r->seen_serial, 100);
	/* a good key that the list does not name: refused, and the refusal is signed */
	n = signed_ask(r, r->other_key, &t, T_SOA);
	expect(RC_REFUSED, 0, 18);
	ck_assert_int_eq(tsig_verify_answer(t, buf, &n, m.tsig_pos, &verified), 0);
	tsig_free(t);
	/* errors of the key: NOTAUTH and a TSIG without MAC */
	signed_ask(r, wrong, &t, T_SOA);
	expect(RC_NOTAUTH, 0, -1);
	ck_assert_uint_ne(m.tsig_pos, 0);
	tsig_free(t);
	signed_ask(r, unknown, &t, T_SOA);
	expect(RC_NOTAUTH, 0, -1);
	ck_assert_uint_ne(m.tsig_pos, 0);
	tsig_free(t);
	ck_assert_uint_eq(STAT(r, tsig_bad), 2);
	tsig_key_free(wrong);
	tsig_key_free(unknown);
	rig_free(r);
	tz_free(z);
}
END_TEST

/* --- NOTIFY --------------------------------------------------------------------------------------------- */

START_TEST(notify_in)
{
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, NULL);
	uint8_t rdata[64];
	struct rr soa = { .owner = z->name, .type = T_SOA, .class = CLASS_IN, .rdata = rdata };
	struct tsig *t;
	struct tq q;
	bool verified;
	size_t n;

	soa.rdlen = (uint16_t)tz_soa(rdata, 4711, 1);
	tq_make(&q, "example.", T_SOA, OP_NOTIFY, NULL, SEC_ANSWER, &soa);
	ask(r, false, &q);
	expect(RC_NOERROR, 1, -1);
	ck_assert_uint_eq(m.opcode, OP_NOTIFY);
	ck_assert(rig_await(r, &r->notified, 1));
	ck_assert(r->hint);
	ck_assert_uint_eq(r->hint_serial, 4711);
	tq_make(&q, "example.", T_SOA, OP_NOTIFY, NULL, 0, NULL);
	ask(r, true, &q);
	ck_assert(rig_await(r, &r->notified, 2));
	ck_assert(!r->hint);
	tq_make(&q, "other.", T_SOA, OP_NOTIFY, NULL, 0, NULL);
	ask(r, false, &q);
	expect(RC_NOTAUTH, 0, -1);
	tq_make(&q, "example.", T_MX, OP_NOTIFY, NULL, 0, NULL);
	ask(r, false, &q);
	expect(RC_NOTIMP, 0, -1);
	rig_call(r, need_key, r);
	tq_make(&q, "example.", T_SOA, OP_NOTIFY, NULL, 0, NULL);
	ask(r, false, &q);
	expect(RC_REFUSED, 0, -1);
	t = tsig_new(r->key);
	tsig_sign_query(t, q.wire, &q.len, sizeof(q.wire));
	ask(r, false, &q);
	expect(RC_NOERROR, 1, -1);
	n = m.len;
	ck_assert_int_eq(tsig_verify_answer(t, buf, &n, m.tsig_pos, &verified), 0);
	tsig_free(t);
	ck_assert_uint_eq(r->notified, 3);
	rig_free(r);
	tz_free(z);
}
END_TEST

/* --- transfers ------------------------------------------------------------------------------------------ */

/* Opens a connection and asks for a transfer; key may be NULL. */
static int start_axfr(struct rig *r, const struct tsig_key *key, struct tsig **t, struct tq *q)
{
	int fd = t_connect(&r->tcp4, SOCK_STREAM);

	tq_make(q, "example.", T_AXFR, OP_QUERY, &plain_edns, 0, NULL);
	*t = key ? tsig_new(key) : NULL;
	if (key)
		ck_assert_int_eq(tsig_sign_query(*t, q->wire, &q->len, sizeof(q->wire)), 0);
	ck_assert(t_send_tcp(fd, q->wire, q->len));
	return fd;
}

START_TEST(axfr_is_the_zone)
{
	const int kind[] = { 0, TZ_NSEC3 | TZ_BIG, TZ_UNSIGNED, TZ_NSEC3 };
	const unsigned names[] = { 50, 3000, 400, 0 };

	for (unsigned i = 0; i < 8; i++) {
		struct tzone *z = tz_new("example.", names[i % 4], 100, kind[i % 4]);
		struct rig *r = rig_new(z, NULL);
		struct bag got = { 0 };
		unsigned messages;
		struct tsig *t;
		struct tq q;
		int fd;

		z->eagain = i % 3;
		fd = start_axfr(r, i >= 4 ? r->key : NULL, &t, &q);
		ck_assert(t_read_axfr(fd, q.id, z->name, t, &got, &messages));
		ck_assert(bag_same(&z->all, &got));
		ck_assert(rig_await(r, &r->transferred, 1));
		ck_assert_int_eq(r->last_result, 0);
		ck_assert_uint_eq(r->last_records, z->all.n + 1);
		/* the connection goes on */
		tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
		ck_assert(t_send_tcp(fd, q.wire, q.len));
		ck_assert_uint_gt(t_recv_tcp(fd, buf), 0);
		close(fd);
		bag_free(&got);
		tsig_free(t);
		rig_free(r);
		tz_free(z);
	}
}
END_TEST

START_TEST(axfr_over_ipv6)
{
	struct tzone *z = tz_new("example.", 10, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct tq q;

	if (r->udp6.sa.sa_family == AF_INET6) {
		tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
		ck_assert_uint_gt(tq_ask(&r->udp6, false, &q, buf), 0);
		ck_assert_uint_gt(tq_ask(&r->udp6, true, &q, buf), 0);
	}
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(ixfr_answers)
{
	struct tzone *z = tz_new("example.", 20, 100, 0);
	struct rig *r = rig_new(z, NULL);
	uint8_t rdata[64];
	struct rr soa = { .owner = z->name, .type = T_SOA, .class = CLASS_IN, .rdata = rdata };
	const uint32_t serial[] = { 100, 101, 99 };
	struct bag got = { 0 };
	unsigned messages;
	struct tq q;
	int fd;

	for (unsigned i = 0; i < 3; i++) {
		soa.rdlen = (uint16_t)tz_soa(rdata, serial[i], 1);
		tq_make(&q, "example.", T_IXFR, OP_QUERY, NULL, SEC_AUTHORITY, &soa);
		ask(r, false, &q); /* UDP: one SOA, always */
		expect(RC_NOERROR, 1, -1);
		ck_assert_uint_eq(m.count[SEC_ANSWER], 1);
		if (i == 2)
			break;
		ask(r, true, &q);
		ck_assert_uint_eq(m.count[SEC_ANSWER], 1);
		ck_assert_uint_eq(count(SEC_ANSWER, T_SOA), 1);
	}
	fd = t_connect(&r->tcp4, SOCK_STREAM);
	ck_assert(t_send_tcp(fd, q.wire, q.len));
	ck_assert(t_read_axfr(fd, q.id, z->name, NULL, &got, &messages));
	ck_assert(bag_same(&z->all, &got));
	close(fd);
	bag_free(&got);
	tq_make(&q, "example.", T_IXFR, OP_QUERY, NULL, 0, NULL); /* no SOA of the client's */
	ask(r, true, &q);
	expect(RC_FORMERR, 0, -1);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(pipelined_queries)
{
	struct tzone *z = tz_new("example.", 500, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct bag got = { 0 };
	uint8_t *all = malloc(2000 * 64);
	size_t len = 0, sent = 0;
	unsigned messages;
	struct tq q;
	int fd;

	/* 2,000 queries, cut at odd places, then a transfer on the same connection, then the end of our
	 * side */
	tq_make(&q, "example.", T_NS, OP_QUERY, NULL, 0, NULL);
	for (unsigned i = 0; i < 2000; i++) {
		put_be16(all + len, (uint16_t)q.len);
		memcpy(all + len + 2, q.wire, q.len);
		put_be16(all + len + 2, (uint16_t)i);
		len += 2 + q.len;
	}
	fd = t_connect(&r->tcp4, SOCK_STREAM);
	for (size_t step = 1; sent < len; sent += step, step = step * 3 % 4001 + 1)
		send(fd, all + sent, step < len - sent ? step : len - sent, 0);
	for (unsigned i = 0; i < 2000; i++) {
		ck_assert_uint_gt(t_recv_tcp(fd, buf), 0);
		ck_assert_uint_eq(be16(buf), i);
	}
	tq_make(&q, "example.", T_AXFR, OP_QUERY, NULL, 0, NULL);
	t_send_tcp(fd, q.wire, q.len);
	shutdown(fd, SHUT_WR);
	ck_assert(t_read_axfr(fd, q.id, z->name, NULL, &got, &messages));
	ck_assert(bag_same(&z->all, &got));
	ck_assert_uint_eq(t_recv_tcp(fd, buf), 0); /* both sides are done */
	close(fd);
	bag_free(&got);
	free(all);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(many_transfers_and_slow_readers)
{
	const struct server_limits lim = {
	    .transfers_out = 40, .tcp_connections = 200, .tcp_per_peer = 200, .tcp_idle_s = 30};
	struct tzone *z = tz_new("example.", 8000, 100, TZ_NSEC3);
	struct rig *r = rig_new(z, &lim);
	struct tq q, slow_q[8];
	int slow[8], fd[24];
	struct tsig *t;
	struct bag got;
	unsigned messages;

	for (int i = 0; i < 8; i++) /* these read nothing for now */
		slow[i] = start_axfr(r, NULL, &t, &slow_q[i]);
	for (int i = 0; i < 24; i++)
		fd[i] = start_axfr(r, NULL, &t, &q);
	/* nobody waits for a slow one: queries and the other transfers go through */
	ask_type(r, false, "example.", T_SOA, NULL);
	ask_type(r, true, "example.", T_SOA, NULL);
	for (int i = 0; i < 24; i++) {
		got = (struct bag){ 0 };
		ck_assert(t_read_axfr(fd[i], q.id, z->name, NULL, &got, &messages));
		ck_assert_uint_eq(got.n, z->all.n);
		bag_free(&got);
		close(fd[i]);
	}
	ck_assert(rig_await(r, &r->transferred, 24));
	/* half of the slow ones go away, half read on */
	for (int i = 0; i < 4; i++)
		close(slow[i]);
	for (int i = 4; i < 8; i++) {
		got = (struct bag){ 0 };
		ck_assert(t_read_axfr(slow[i], slow_q[i].id, z->name, NULL, &got, &messages));
		ck_assert(bag_same(&z->all, &got));
		bag_free(&got);
		close(slow[i]);
	}
	ck_assert(rig_await(r, &r->transferred, 32));
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(transfers_wait_their_turn)
{
	const struct server_limits lim = { 1, 50, 50, .tcp_idle_s = 30 };
	struct tzone *z = tz_new("example.", 30000, 100, 0);
	struct rig *r = rig_new(z, &lim);
	struct bag got = { 0 };
	unsigned messages;
	struct tsig *t;
	struct tq q;
	int first = start_axfr(r, NULL, &t, &q), second;

	ck_assert_uint_gt(t_recv_tcp(first, buf), 0); /* it runs, and stops for us */
	second = start_axfr(r, NULL, &t, &q);
	ask_type(r, true, "example.", T_SOA, NULL);
	ck_assert_uint_eq(STAT(r, xfr_running), 1);
	close(first);
	ck_assert(t_read_axfr(second, q.id, z->name, NULL, &got, &messages));
	ck_assert(bag_same(&z->all, &got));
	ck_assert(rig_await(r, &r->transferred, 2));
	close(second);
	bag_free(&got);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(a_version_that_moved_is_servfail)
{
	struct tzone *z = tz_new("example.", 30, 100, 0);
	struct rig *r = rig_new(z, NULL);

	z->pub->serial = 101; /* the snapshot says 100 */
	ask_type(r, true, "example.", T_AXFR, &plain_edns);
	expect(RC_SERVFAIL, 0, 14);
	ck_assert(rig_await(r, &r->transferred, 1));
	ck_assert_int_eq(r->last_result, ZS_ESTALE);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(connection_limits)
{
	const struct server_limits lim = { 4, 6, 4, .tcp_idle_s = 1 };
	struct tzone *z = tz_new("example.", 3, 100, 0);
	struct rig *r = rig_new(z, &lim);
	struct tq q;
	int fd[5];

	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	for (int i = 0; i < 5; i++) {
		fd[i] = t_connect(&r->tcp4, SOCK_STREAM);
		t_send_tcp(fd[i], q.wire, q.len);
		ck_assert_int_eq(t_recv_tcp(fd[i], buf) > 0, i < 4); /* the fifth of one peer is closed */
	}
	/* a frame that never becomes whole does not keep a connection: it is idle after a second */
	send(fd[0], "\000\100\001", 3, 0);
	for (int i = 0; i < 4; i++)
		ck_assert_uint_eq(t_recv_tcp(fd[i], buf), 0);
	for (int i = 0; i < 5; i++)
		close(fd[i]);
	rig_free(r);
	tz_free(z);
}
END_TEST

START_TEST(end_in_the_middle)
{
	struct tzone *z = tz_new("example.", 20000, 100, 0);
	struct rig *r = rig_new(z, NULL);
	struct tsig *t;
	struct tq q;
	int fd[10];

	for (int i = 0; i < 10; i++)
		fd[i] = start_axfr(r, NULL, &t, &q);
	for (int i = 0; i < 5; i++)
		ck_assert_uint_gt(t_recv_tcp(fd[i], buf), 0);
	rig_free(r); /* transfers at all stages */
	for (int i = 0; i < 10; i++)
		close(fd[i]);
	tz_free(z); /* says whether everything was given back */
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		apex_data, nodata_has_its_proof, any_and_rrsig_are_one_rrset, truncation,
		refusals, access_and_state, malformed_queries, edns_versions_and_cookies,
		edns_expire, tsig_queries, notify_in, axfr_is_the_zone, axfr_over_ipv6,
		ixfr_answers, pipelined_queries, many_transfers_and_slow_readers,
		transfers_wait_their_turn, a_version_that_moved_is_servfail,
		connection_limits, end_in_the_middle,
	};

	return RUN_SUITE("net server", tests);
}
