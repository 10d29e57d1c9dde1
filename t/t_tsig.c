/* SPDX-License-Identifier: GPL-3.0-or-later */
/* TSIG: a client and a server of ours against each other; tampering, streams, error answers, the clock. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/msg.h"
#include "dns/tsig.h"
#include "t_suite.h"

static time_t fake_now = 1700000000;

/* libknot reads the clock itself: this one is linked in front of it. */
time_t time(time_t *t)
{
	if (t != NULL)
		*t = fake_now;
	return fake_now;
}

static const uint8_t zone[] = "\7example\0", secret[] = "0123456789abcdef0123456789abcdef";
static const char *const algorithms[] = {"hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384",
					 "hmac-sha512"};

struct message { uint8_t wire[2048]; size_t len; };

static struct tsig_key *key_of(const char *name, const char *alg, const char *sec)
{
	struct tsig_key *k = NULL;

	ck_assert_int_eq(tsig_key_new(name, alg, (const uint8_t *)sec, strlen(sec), &k), 0);
	return k;
}

static struct tsig_key *key(void)
{
	return key_of("Key.Example.", "hmac-sha256", (const char *)secret);
}

static struct message message(uint16_t flags, unsigned records)
{
	struct message m = { .len = 0 };
	struct msgw w;
	struct rr rr = {.owner = zone,
			.type = T_A,
			.class = CLASS_IN,
			.ttl = 1,
			.rdata = (const uint8_t *)"\1\2\3\4",
			.rdlen = 4};

	msgw_init(&w, m.wire, sizeof(m.wire), 0x4711, flags);
	msgw_question(&w, zone, T_AXFR, CLASS_IN);
	for (unsigned i = 0; i < records; i++)
		msgw_rr(&w, SEC_ANSWER, &rr);
	m.len = w.len;
	return m;
}

static size_t tsig_at(const struct message *m)
{
	struct msgr r;

	ck_assert_int_eq(msgr_open(&r, m->wire, m->len), 0);
	return r.tsig_pos;
}

/* A query signed by c and taken by s. */
static void greet(struct tsig *c, struct tsig *s, const struct tsig_key *k)
{
	struct message q = message(0, 0), plain = q;
	uint16_t rcode = 99;
	uint8_t name[255];
	size_t at;

	ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, sizeof(q.wire)), 0);
	ck_assert_uint_le(q.len, plain.len + tsig_key_room(k));
	at = tsig_at(&q);
	ck_assert_uint_eq(at, plain.len);
	ck_assert_int_eq(tsig_query_key(q.wire, q.len, at, name), 0);
	ck_assert_mem_eq(name, tsig_key_name(k), name_len(name));
	ck_assert_int_eq(tsig_verify_query(s, q.wire, &q.len, at, &rcode), 0);
	ck_assert_uint_eq(rcode, 0);
	ck_assert_uint_eq(q.len, plain.len);
	ck_assert_mem_eq(q.wire, plain.wire, q.len);
}

static int verify(struct tsig *c, struct message m, bool *verified)
{
	return tsig_verify_answer(c, m.wire, &m.len, tsig_at(&m), verified);
}

START_TEST(test_every_algorithm)
{
	for (size_t i = 0; i < sizeof(algorithms) / sizeof(*algorithms); i++) {
		struct tsig_key *k = key_of("k.", algorithms[i], (const char *)secret);
		struct tsig *c = tsig_new(k), *s = tsig_new(k);

		greet(c, s, k);
		for (unsigned n = 0; n < 5; n++) {
			struct message a = message(F_QR, n), plain = a;
			bool verified = false;

			ck_assert_int_eq(tsig_sign_answer(s, a.wire, &a.len, sizeof(a.wire)), 0);
			ck_assert_int_eq(tsig_verify_answer(c, a.wire, &a.len, tsig_at(&a), &verified), 0);
			ck_assert(verified);
			ck_assert_uint_eq(a.len, plain.len);
			ck_assert_mem_eq(a.wire, plain.wire, a.len);
		}
		tsig_free(c);
		tsig_free(s);
		tsig_key_free(k);
	}
}
END_TEST

START_TEST(test_keys)
{
	struct tsig_key *k = NULL;

	ck_assert_int_eq(tsig_key_new("a..b", "hmac-sha256", secret, 8, &k), ZS_EINVAL);
	ck_assert_int_eq(tsig_key_new("a.", "hmac-md5", secret, 8, &k), ZS_EINVAL);
	ck_assert_int_eq(tsig_key_new("a.", "sha256", secret, 8, &k), ZS_EINVAL);
	ck_assert_int_eq(tsig_key_new("a.", "hmac-sha256", secret, 0, &k), ZS_EINVAL);
	ck_assert_ptr_null(k);
	tsig_key_free(NULL);
	tsig_free(NULL);
	k = key();
	ck_assert_mem_eq(tsig_key_name(k), "\3key\7example", 13);
	tsig_key_free(k);
}
END_TEST

/* Every octet of a signed query changed: never accepted, but for the key name's case and the message ID. */
START_TEST(test_tampered_query)
{
	struct tsig_key *k = key();
	struct message q = message(0, 0);
	struct tsig *c = tsig_new(k);
	size_t at;

	ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, sizeof(q.wire)), 0);
	at = tsig_at(&q);
	for (size_t i = 0; i < q.len; i++) {
		struct message m = q;
		struct tsig *s = tsig_new(k);
		uint16_t rcode = 0;
		struct msgr r;
		int err = ZS_EFORMAT;

		m.wire[i] ^= 0x01;
		if (msgr_open(&r, m.wire, m.len) == 0 && r.tsig_pos != 0)
			err = tsig_verify_query(s, m.wire, &m.len, r.tsig_pos, &rcode);
		if (i < 2 ||
		    (i >= at + 13 + 4 && i < at + 13 + 8)) /* ID; TTL of the record is not looked at */
			ck_assert_int_eq(err, 0);
		else
			ck_assert_msg(err == ZS_EFORMAT || (err == ZS_EAUTH && rcode >= 16), "octet %zu: %d",
				      i, err);
		tsig_free(s);
	}
	/* cut records */
	for (size_t n = at; n < q.len; n++) {
		struct tsig *s = tsig_new(k);
		uint16_t rcode;
		struct message m = q;

		m.len = n;
		ck_assert_int_eq(tsig_verify_query(s, m.wire, &m.len, at, &rcode), ZS_EFORMAT);
		tsig_free(s);
	}
	tsig_free(c);
	tsig_key_free(k);
}
END_TEST

START_TEST(test_mixed_case_names)
{
	struct tsig_key *k = key();
	struct message q = message(0, 0);
	struct tsig *c = tsig_new(k), *s = tsig_new(k);
	uint16_t rcode;
	size_t at;

	ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, sizeof(q.wire)), 0);
	at = tsig_at(&q);
	q.wire[at + 1] ^= 0x20;               /* key name */
	q.wire[at + 13 + 10 + 1] ^= 0x20;     /* algorithm */
	ck_assert_int_eq(tsig_verify_query(s, q.wire, &q.len, at, &rcode), 0);
	tsig_free(c);
	tsig_free(s);
	tsig_key_free(k);
}
END_TEST

START_TEST(test_wrong_keys)
{
	static const struct { const char *name, *alg, *secret; uint16_t rcode; } rows[] = {
		{ "key.example.", "hmac-sha256", "another secret", RC_BADSIG },
		{ "other.example.", "hmac-sha256", (const char *)secret, RC_BADKEY },
		{ "key.example.", "hmac-sha512", (const char *)secret, RC_BADKEY },
		{ "key\\000.example.", "hmac-sha256", (const char *)secret, RC_BADKEY },
	};
	struct tsig_key *k = key();

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct tsig_key *other = key_of(rows[i].name, rows[i].alg, rows[i].secret);
		struct tsig *c = tsig_new(other), *s = tsig_new(k);
		struct message q = message(0, 0), a = message(F_QR, 0);
		struct message asked;
		bool verified = true;
		uint16_t rcode = 0;
		size_t at;

		ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, sizeof(q.wire)), 0);
		asked = q;
		at = tsig_at(&q);
		ck_assert_int_eq(tsig_verify_query(s, q.wire, &q.len, at, &rcode), ZS_EAUTH);
		ck_assert_uint_eq(rcode, rows[i].rcode);
		ck_assert_int_eq(
		    tsig_add_error(asked.wire, asked.len, at, rcode, a.wire, &a.len, sizeof(a.wire)), 0);
		ck_assert_uint_ne(tsig_at(&a), 0);
		ck_assert_int_eq(verify(c, a, &verified), ZS_EAUTH);
		ck_assert(!verified);
		ck_assert_int_eq(
		    tsig_add_error(asked.wire, asked.len, at, RC_BADTIME, a.wire, &a.len, sizeof(a.wire)),
		    ZS_EINVAL);
		a = message(F_QR, 0);
		ck_assert_int_eq(tsig_add_error(asked.wire, asked.len, at, rcode, a.wire, &a.len, a.len + 20),
				 ZS_EFULL);
		tsig_free(c);
		tsig_free(s);
		tsig_key_free(other);
	}
	tsig_key_free(k);
}
END_TEST

START_TEST(test_bad_time)
{
	struct tsig_key *k = key();

	for (int skew = -301; skew <= 301; skew += 301) {
		struct tsig *c = tsig_new(k), *s = tsig_new(k);
		struct message q = message(0, 0), a = message(F_QR, 0);
		uint16_t rcode = 0;
		bool verified;
		int err;

		ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, sizeof(q.wire)), 0);
		fake_now += skew;
		err = tsig_verify_query(s, q.wire, &q.len, tsig_at(&q), &rcode);
		fake_now -= skew;
		ck_assert_int_eq(err, skew == 0 ? 0 : ZS_EAUTH);
		ck_assert_uint_eq(rcode, skew == 0 ? 0 : RC_BADTIME);
		/* the answer says so, signed, with the server's time: longer than any other TSIG */
		ck_assert_int_eq(tsig_sign_answer(s, a.wire, &a.len, a.len + tsig_key_room(k)), 0);
		ck_assert_int_eq(verify(c, a, &verified), skew == 0 ? 0 : ZS_EAUTH);
		tsig_free(c);
		tsig_free(s);
	}
	tsig_key_free(k);
}
END_TEST

/*
 * A server that signs only some messages: made here from the pieces of the API, MACs over the
 * concatenation.
 */
START_TEST(test_unsigned_in_the_middle)
{
	struct tsig_key *k = key();
	struct tsig *c = tsig_new(k), *s = tsig_new(k);
	struct message m = message(F_QR, 3);
	bool verified = true;

	greet(c, s, k);
	/* the first one must be signed */
	ck_assert_int_eq(verify(c, m, &verified), ZS_EAUTH);
	ck_assert(!verified);
	ck_assert_int_eq(tsig_sign_answer(s, m.wire, &m.len, sizeof(m.wire)), 0);
	ck_assert_int_eq(verify(c, m, &verified), 0);
	ck_assert(verified);
	for (unsigned i = 0; i < TSIG_UNSIGNED_MAX; i++) {
		m = message(F_QR, i % 4);
		ck_assert_int_eq(verify(c, m, &verified), 0);
		ck_assert(!verified);
	}
	m = message(F_QR, 1);
	ck_assert_int_eq(verify(c, m, &verified), ZS_ELIMIT);
	tsig_free(c);
	tsig_free(s);
	tsig_key_free(k);
}
END_TEST

/*
 * 99 unsigned messages and a signed one over all of them. tsig_sign_answer() signs each message, so the
 * stream is signed as one long buffer whose last part is the last message.
 */
static void stream(unsigned gap, bool tamper)
{
	struct tsig_key *k = key();
	struct tsig *c = tsig_new(k), *s = tsig_new(k);
	uint8_t *all = calloc(gap + 2, sizeof(struct message));
	size_t len = 0, last = 0;
	struct message m = message(F_QR, 2);
	bool verified;

	greet(c, s, k);
	ck_assert_int_eq(tsig_sign_answer(s, m.wire, &m.len, sizeof(m.wire)), 0);
	ck_assert_int_eq(verify(c, m, &verified), 0);
	for (unsigned i = 0; i <= gap; i++) {
		m = message(F_QR, i % 5);
		if (i < gap) {
			struct message sent = m;

			if (tamper && i == gap / 2)
				sent.wire[sent.len - 1] ^= 1;
			ck_assert_int_eq(verify(c, sent, &verified), 0);
			ck_assert(!verified);
		}
		last = len;
		memcpy(all + len, m.wire, m.len);
		len += m.len;
	}
	/* the record is appended behind the buffer; its original ID and the count are those of the first
	 * message, which has the same header as the last one but for the number of records */
	ck_assert_int_eq(tsig_sign_answer(s, all, &len, len + 200), 0);
	memcpy(m.wire, all + last, len - last);
	m.len = len - last;
	put_be16(m.wire + 10, 1);
	ck_assert_int_eq(verify(c, m, &verified), tamper ? ZS_EAUTH : 0);
	ck_assert(verified == !tamper);
	free(all);
	tsig_free(c);
	tsig_free(s);
	tsig_key_free(k);
}

START_TEST(test_streams)
{
	stream(1, false);
	stream(7, false);
	stream(TSIG_UNSIGNED_MAX, false);
	stream(1, true);
	stream(50, true);
}
END_TEST

START_TEST(test_tampered_answers)
{
	struct tsig_key *k = key();

	for (unsigned which = 0; which < 3; which++) {
		struct tsig *c = tsig_new(k), *s = tsig_new(k);
		bool verified = true;

		greet(c, s, k);
		for (unsigned n = 0; n <= which; n++) {
			struct message a = message(F_QR, 1);

			ck_assert_int_eq(tsig_sign_answer(s, a.wire, &a.len, sizeof(a.wire)), 0);
			if (n == which)
				a.wire[30] ^= 1;
			ck_assert_int_eq(verify(c, a, &verified), n == which ? ZS_EAUTH : 0);
			ck_assert(verified == (n != which));
		}
		tsig_free(c);
		tsig_free(s);
	}
	tsig_key_free(k);
}
END_TEST

START_TEST(test_no_room)
{
	struct tsig_key *k = key();
	struct tsig *c = tsig_new(k), *s = tsig_new(k);
	struct message q = message(0, 0), a;

	ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, q.len), ZS_EFULL);
	ck_assert_int_eq(tsig_sign_query(c, q.wire, &q.len, q.len + 30), ZS_EFULL);
	greet(c, s, k);
	for (unsigned i = 0; i < 2; i++) {
		a = message(F_QR, 0);
		ck_assert_int_eq(tsig_sign_answer(s, a.wire, &a.len, a.len + 30), ZS_EFULL);
		ck_assert_int_eq(tsig_sign_answer(s, a.wire, &a.len, a.len + tsig_key_room(k)), 0);
	}
	tsig_free(c);
	tsig_free(s);
	tsig_key_free(k);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_every_algorithm, test_keys, test_tampered_query, test_mixed_case_names,
		test_wrong_keys, test_bad_time, test_unsigned_in_the_middle, test_streams,
		test_tampered_answers, test_no_room,
	};

	return RUN_SUITE("tsig", tests);
}
