/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Messages: what is written is read back; compression, bounds, EDNS, malformed input. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/rand.h"
#include "dns/msg.h"
#include "t_suite.h"

static const uint8_t zone[] = "\7example\0";

static uint8_t *name_of(const char *text, uint8_t out[static NAME_MAX_WIRE])
{
	size_t n;

	ck_assert_msg(name_from_text(text, out, &n) == 0, "%s", text);
	return out;
}

static struct rr record(const uint8_t *owner, uint16_t type, const void *rdata, size_t len)
{
	return (struct rr){ .owner = owner, .type = type, .class = CLASS_IN, .ttl = 300, .rdata = rdata,
			    .rdlen = (uint16_t)len };
}

/* Reads a message whole; the number of records, or the error. */
static int read_all(const uint8_t *wire, size_t len)
{
	uint8_t owner[NAME_MAX_WIRE], *rdata = malloc(RDATA_MAX);
	uint8_t *copy = malloc(len ? len : 1);
	int section, n = 0, err;
	struct msgr m;
	struct rr rr;

	memcpy(copy, wire, len);
	err = msgr_open(&m, copy, len);
	while (err == 0) {
		err = msgr_rr(&m, &rr, &section, owner, rdata);
		n += err == 0;
	}
	free(copy);
	free(rdata);
	return err == ZS_ENOENT ? n : err;
}

START_TEST(test_round_trip)
{
	static const uint8_t soa[] = "\2Ns\7example\0"
				     "\4root\2ns\7example\0"
				     "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";
	static const uint8_t srv[] = "\0\1\0\2\0\3\3www\7example\0";
	uint8_t wire[512], a[NAME_MAX_WIRE], owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct { struct rr rr; int section; } rows[] = {
		{ record(zone, T_SOA, soa, sizeof(soa) - 1), SEC_ANSWER },
		{ record(name_of("www.example.", a), T_A, "\300\0\2\1", 4), SEC_ANSWER },
		{ record(a, T_A, "\300\0\2\2", 4), SEC_AUTHORITY },
		{ record(a, T_SRV, srv, sizeof(srv) - 1), SEC_ADDITIONAL },
		{ record((const uint8_t *)"", 65280, "", 0), SEC_ADDITIONAL },
	};
	struct msgw w;
	struct msgr m;
	struct rr rr;
	int section;

	msgw_init(&w, wire, sizeof(wire), 0x1234, msg_flags(OP_QUERY, F_QR | F_AA, RC_NOERROR));
	ck_assert_int_eq(msgw_question(&w, zone, T_AXFR, CLASS_IN), 0);
	for (size_t i = 0; i < 5; i++)
		ck_assert_int_eq(msgw_rr(&w, rows[i].section, &rows[i].rr), 0);
	ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rows[0].rr), ZS_EINVAL);
	ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
	ck_assert_uint_eq(m.id, 0x1234);
	ck_assert_uint_eq(m.flags, F_QR | F_AA);
	ck_assert_uint_eq(m.qtype, T_AXFR);
	ck_assert_uint_eq(m.qclass, CLASS_IN);
	ck_assert_uint_eq(m.qname_len, 9);
	ck_assert_mem_eq(m.qname, zone, 9);
	for (size_t i = 0; i < 5; i++) {
		ck_assert_int_eq(msgr_rr(&m, &rr, &section, owner, rdata), 0);
		ck_assert_int_eq(section, rows[i].section);
		ck_assert_mem_eq(rr.owner, rows[i].rr.owner, name_len(rows[i].rr.owner));
		ck_assert_uint_eq(rr.type, rows[i].rr.type);
		ck_assert_uint_eq(rr.class, CLASS_IN);
		ck_assert_uint_eq(rr.ttl, 300);
		ck_assert_uint_eq(rr.rdlen, rows[i].rr.rdlen);
		ck_assert_mem_eq(rr.rdata, rows[i].rr.rdata, rr.rdlen);
	}
	ck_assert_int_eq(msgr_rr(&m, &rr, &section, owner, rdata), ZS_ENOENT);
	ck_assert_int_eq(msgr_rr(&m, &rr, &section, owner, rdata), ZS_ENOENT);
	/* RFC 1035 RDATA is compressed (Ns is not ns), SRV is not; owners are pointers */
	ck_assert_uint_eq(w.len, 12 + 9 + 4 + /* SOA */ 2 + 10 + 5 + 10 + 20 + /* A */ 6 + 10 + 4 +
				     /* A */ 2 + 10 + 4 +
				     /* SRV */ 2 + 10 + 19 + /* empty */ 1 + 10);
}
END_TEST

/* "ns.example." with another case is another name to the compressor: octets are kept. */
START_TEST(test_case_is_kept)
{
	uint8_t wire[512], a[NAME_MAX_WIRE], b[NAME_MAX_WIRE], owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct rr one = record(name_of("a.EXAMPLE.", a), T_NS, "\2nS\7example\0", 12), two, got;
	struct msgw w;
	struct msgr m;
	int section;

	two = record(name_of("A.EXAMPLE.", b), T_NS, "\2NS\7Example\0", 12);
	msgw_init(&w, wire, sizeof(wire), 1, 0);
	ck_assert_int_eq(msgw_question(&w, zone, T_NS, CLASS_IN), 0);
	ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &one), 0);
	ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &two), 0);
	ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
	ck_assert_int_eq(msgr_rr(&m, &got, &section, owner, rdata), 0);
	ck_assert_mem_eq(owner, a, 11);
	ck_assert_mem_eq(rdata, one.rdata, 12);
	ck_assert_int_eq(msgr_rr(&m, &got, &section, owner, rdata), 0);
	ck_assert_mem_eq(owner, b, 11);
	ck_assert_mem_eq(rdata, two.rdata, 12);
}
END_TEST

/*
 * Fills messages of each size up to their end: never a byte beyond cap - reserve, and the last record
 * must not fit.
 */
START_TEST(test_filling)
{
	for (size_t cap = 20; cap < 400; cap++) {
		uint8_t *wire = malloc(cap), a[NAME_MAX_WIRE];
		size_t reserve = cap % 7;
		struct msgw w;
		int err = 0, n = 0;

		msgw_init(&w, wire, cap, 1, 0);
		w.reserve = reserve;
		while (err == 0) {
			char text[64];
			struct rr rr;
			size_t before = w.len;

			snprintf(text, sizeof(text), "n%d.b%d.example.", n / 2, n % 3);
			rr = n % 2 ? record(name_of(text, a), T_MX, "\0\12\2mx\2b1\7example\0", 17) :
				     record(name_of(text, a), T_A, "\300\0\2\1", 4);
			err = msgw_rr(&w, SEC_ANSWER, &rr);
			ck_assert_uint_le(w.len, cap - reserve);
			ck_assert(err == 0 ? w.len > before : w.len == before);
			n += err == 0;
		}
		ck_assert_int_eq(err, ZS_EFULL);
		ck_assert_int_eq(read_all(wire, w.len), n);
		free(wire);
	}
}
END_TEST

/* A record that fits only compressed is taken, for each number of octets missing. */
START_TEST(test_tight_fit)
{
	static const uint8_t ns[] = "\2ns\7example\0";
	uint8_t wire[512];
	struct msgw w;

	for (size_t cap = 25; cap < 60; cap++) {
		struct rr rr = record(zone, T_NS, ns, sizeof(ns) - 1);

		msgw_init(&w, wire, cap, 1, 0);
		ck_assert_int_eq(msgw_question(&w, zone, T_NS, CLASS_IN), 0);
		/* pointer + fixed part + "ns" and a pointer */
		ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rr), cap >= 25 + 2 + 10 + 5 ? 0 : ZS_EFULL);
	}
}
END_TEST

static size_t random_name(struct prng *r, uint8_t *out)
{
	size_t at = 0;

	for (uint64_t labels = prng_upto(r, 6); labels > 0; labels--) {
		uint64_t len = prng_upto(r, 40) == 0 ? 40 : 1 + prng_upto(r, 1);

		if (at + len + 2 > 255)
			break;
		out[at++] = (uint8_t)len;
		for (; len > 0; len--)
			out[at++] = (uint8_t)("aAb"[prng_upto(r, 2)]);
	}
	out[at++] = 0;
	return at;
}

/* Random names, repeated suffixes, over 16 KiB and the whole table: everything reads back as it was. */
START_TEST(test_random_compression)
{
	struct prng r = prng_seed(5);
	uint8_t *wire = malloc(MSG_MAX), (*owner)[NAME_MAX_WIRE] = malloc(6000 * sizeof(*owner)),
		got[NAME_MAX_WIRE];
	uint8_t (*target)[NAME_MAX_WIRE] = malloc(6000 * sizeof(*target)), *rdata = malloc(RDATA_MAX);

	for (unsigned round = 0; round < 20; round++) {
		unsigned n = 0;
		struct msgw w;
		struct msgr m;
		struct rr rr;
		int section;

		msgw_init(&w, wire, MSG_MAX, 1, 0);
		for (; n < 6000; n++) {
			size_t len;

			random_name(&r, owner[n]);
			if (n > 0 && prng_upto(&r, 2) == 0)
				memcpy(owner[n], owner[n - 1], NAME_MAX_WIRE);
			len = random_name(&r, target[n]);
			rr = record(owner[n], n % 5 ? T_NS : 65280, target[n], len);
			if (msgw_rr(&w, SEC_ANSWER, &rr) != 0)
				break;
		}
		ck_assert_uint_gt(n, 2000);
		ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
		for (unsigned i = 0; i < n; i++) {
			ck_assert_int_eq(msgr_rr(&m, &rr, &section, got, rdata), 0);
			ck_assert_mem_eq(got, owner[i], name_len(owner[i]));
			ck_assert_uint_eq(rr.rdlen, name_len(target[i]));
			ck_assert_mem_eq(rdata, target[i], rr.rdlen);
		}
		ck_assert_int_eq(msgr_rr(&m, &rr, &section, got, rdata), ZS_ENOENT);
	}
	free(rdata);
	free(target);
	free(owner);
	free(wire);
}
END_TEST

START_TEST(test_biggest_record)
{
	uint8_t *wire = malloc(MSG_MAX), *big = calloc(1, RDATA_MAX);
	struct rr rr = record((const uint8_t *)"", 65280, big, MSG_MAX - 12 - 11);
	struct msgw w;

	msgw_init(&w, wire, 1 << 20, 1, 0);
	ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rr), 0);
	ck_assert_uint_eq(w.len, MSG_MAX);
	ck_assert_int_eq(read_all(wire, w.len), 1);
	msgw_init(&w, wire, 1 << 20, 1, 0);
	rr.rdlen++;
	ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rr), ZS_EFULL);
	free(big);
	free(wire);
}
END_TEST

START_TEST(test_edns)
{
	struct edns e = {.present = true,
			 .dnssec_ok = true,
			 .udp_size = 1232,
			 .ext_rcode = 1,
			 .expire_set = true,
			 .expire = 0x01020304,
			 .cookie = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
			 .cookie_len = 16,
			 .ede = 21,
			 .ede_text = "no"};
	uint8_t wire[512];
	struct msgw w;
	struct msgr m;

	for (size_t cap = 12; cap <= 12 + 11 + 8 + 20 + 8; cap++) {
		msgw_init(&w, wire, cap, 1, 0);
		w.reserve = 30;
		ck_assert_int_eq(msgw_opt(&w, &e), cap == 59 ? 0 : ZS_EFULL);
		ck_assert_uint_eq(w.len, cap == 59 ? 59 : 12);
	}
	ck_assert_uint_eq(w.reserve, 0);
	ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
	ck_assert(m.edns.present && m.edns.dnssec_ok && m.edns.expire_set && !m.edns.expire_asked &&
		  !m.edns.cookie_bad);
	ck_assert_uint_eq(m.edns.udp_size, 1232);
	ck_assert_uint_eq(m.edns.ext_rcode, 1);
	ck_assert_uint_eq(m.edns.expire, 0x01020304);
	ck_assert_uint_eq(m.edns.cookie_len, 16);
	ck_assert_mem_eq(m.edns.cookie, e.cookie, 16);
	ck_assert_int_eq(m.edns.ede, 21);
	e = (struct edns){ .present = true, .expire_asked = true, .ede = -1, .version = 1 };
	msgw_init(&w, wire, sizeof(wire), 1, 0);
	ck_assert_int_eq(msgw_opt(&w, &e), 0);
	ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
	ck_assert(m.edns.expire_asked && !m.edns.expire_set);
	ck_assert_uint_eq(m.edns.version, 1);
	ck_assert_int_eq(m.edns.ede, -1);
	e.present = false;
	ck_assert_int_eq(msgw_opt(&w, &e), 0);
}
END_TEST

/* Names that begin behind what a pointer reaches are not pointed to. */
START_TEST(test_beyond_pointers)
{
	uint8_t *wire = malloc(MSG_MAX), *big = calloc(1, 17000), a[NAME_MAX_WIRE], owner[NAME_MAX_WIRE];
	uint8_t *rdata = malloc(RDATA_MAX);
	struct rr rr = record(zone, 65280, big, 17000);
	struct msgw w;
	struct msgr m;
	int section;

	for (unsigned at = 16300; at < 16420; at++) {
		rr = record(zone, 65280, big, at);
		msgw_init(&w, wire, MSG_MAX, 1, 0);
		ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rr), 0);
		for (unsigned i = 0; i < 6; i++) {
			rr = record(name_of(i % 2 ? "a.b.new." : "c.b.new.", a), T_NS, "\1x\1y\0", 5);
			ck_assert_int_eq(msgw_rr(&w, SEC_ANSWER, &rr), 0);
		}
		ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
		ck_assert_int_eq(msgr_rr(&m, &rr, &section, owner, rdata), 0);
		for (unsigned i = 0; i < 6; i++) {
			ck_assert_int_eq(msgr_rr(&m, &rr, &section, owner, rdata), 0);
			ck_assert_mem_eq(owner, name_of(i % 2 ? "a.b.new." : "c.b.new.", a), 9);
			ck_assert_mem_eq(rdata, "\1x\1y", 5);
		}
	}
	free(rdata);
	free(big);
	free(wire);
}
END_TEST

static int open_opt(const char *options, size_t len, struct msgr *m)
{
	uint8_t wire[256] = {0, 1, 0,  0, 0,   0, 0, 0, 0, 0, 0,           1,
			     0, 0, 41, 4, 208, 0, 0, 0, 0, 0, (uint8_t)len};

	memcpy(wire + 23, options, len);
	return msgr_open(m, wire, 23 + len);
}
#define OPEN_OPT(s) open_opt(s, sizeof(s) - 1, &m)

START_TEST(test_options)
{
	struct msgr m;

	ck_assert_int_eq(OPEN_OPT(""), 0);
	ck_assert_int_eq(OPEN_OPT("\0\3\0\0"), 0);
	ck_assert(m.edns.nsid_asked);
	ck_assert_int_eq(OPEN_OPT("\0\12\0\7abcdefg"), 0);
	ck_assert(m.edns.cookie_bad);
	ck_assert_int_eq(OPEN_OPT("\0\12\0\10abcdefgh"), 0);
	ck_assert(!m.edns.cookie_bad && m.edns.cookie_len == 8);
	ck_assert_int_eq(OPEN_OPT("\0\12\0\17abcdefghijklmno"), 0);
	ck_assert(m.edns.cookie_bad);
	ck_assert_int_eq(OPEN_OPT("\0\12\0\51abcdefghijabcdefghijabcdefghijabcdefghijk"), 0);
	ck_assert(m.edns.cookie_bad);
	ck_assert_int_eq(OPEN_OPT("\0\12\0\50abcdefghijabcdefghijabcdefghijabcdefghij"), 0);
	ck_assert_uint_eq(m.edns.cookie_len, 40);
	ck_assert_int_eq(OPEN_OPT("\377\376\0\1x"), 0);
	ck_assert_int_eq(OPEN_OPT("\0\11\0\1x"), ZS_EFORMAT);
	ck_assert_int_eq(OPEN_OPT("\0\17\0\1x"), ZS_EFORMAT);
	ck_assert_int_eq(OPEN_OPT("\0\3\0"), ZS_EFORMAT);
	ck_assert_int_eq(OPEN_OPT("\0\3\0\1"), ZS_EFORMAT);
	ck_assert_int_eq(OPEN_OPT("\0\3\0\0\0"), ZS_EFORMAT);
}
END_TEST

#define RR_OPT "\0" "\0\51" "\4\320" "\0\0\0\0" "\0\0"
#define RR_TSIG "\0" "\0\372" "\0\377" "\0\0\0\0" "\0\1x"
#define RR_A "\0" "\0\1" "\0\1" "\0\0\0\0" "\0\4\1\2\3\4"

START_TEST(test_special_places)
{
	static const struct { const char *wire; size_t len; int records; size_t tsig;
	} rows[] = {
#define MSG(counts, rest) "\0\1\0\0\0\0" counts rest, 12 + sizeof(rest) - 1
	    {MSG("\0\0\0\0\0\2", RR_OPT RR_TSIG), 0, 23},
	    {MSG("\0\0\0\0\0\2", RR_TSIG RR_OPT), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\0\0\2", RR_OPT RR_OPT), ZS_EFORMAT, 0},
	    {MSG("\0\1\0\0\0\0", RR_OPT), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\1\0\0", RR_TSIG), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\0\0\1", RR_TSIG "\0"), ZS_EFORMAT, 0},
	    {MSG("\0\1\0\1\0\4", RR_A RR_A RR_A RR_OPT RR_A RR_TSIG), 4, 12 + 15 + 15 + 15 + 11 + 15},
	    {MSG("\0\0\0\0\0\1", RR_A RR_A), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\0\0\3", RR_A RR_A), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\0\0\1", "\1x" RR_OPT), ZS_EFORMAT, 0},
	    {MSG("\0\0\0\0\0\1", "\0"
				 "\0\372"
				 "\0\1"
				 "\0\0\0\0"
				 "\0\1x"),
	     ZS_EFORMAT, 0},
	};
	struct msgr m;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_msg(read_all((const uint8_t *)rows[i].wire, rows[i].len) == rows[i].records,
			      "row %zu", i);
		if (msgr_open(&m, (const uint8_t *)rows[i].wire, rows[i].len) == 0 && rows[i].tsig != 0)
			ck_assert_uint_eq(m.tsig_pos, rows[i].tsig);
		ck_assert_uint_eq(m.id, 1);
	}
}
END_TEST

/*
 * Every beginning of a message, and every octet of it changed: an error or records, never a read
 * outside (ASan).
 */
START_TEST(test_damage)
{
	static const uint8_t soa[] = "\2ns\7example\0"
				     "\4root\2ns\7example\0"
				     "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";
	struct edns e = { .present = true, .ede = -1, .cookie_len = 8 };
	struct rr rr = record(zone, T_SOA, soa, sizeof(soa) - 1);
	uint8_t wire[512];
	struct msgw w;
	struct msgr m;

	msgw_init(&w, wire, sizeof(wire), 7, F_QR);
	msgw_question(&w, zone, T_SOA, CLASS_IN);
	msgw_rr(&w, SEC_ANSWER, &rr);
	msgw_opt(&w, &e);
	ck_assert_int_eq(read_all(wire, w.len), 1);
	for (size_t n = 0; n < w.len; n++)
		ck_assert_int_lt(read_all(wire, n), 0);
	ck_assert_int_eq(msgr_open(&m, wire, 11), ZS_ETRUNC);
	for (size_t i = 0; i < w.len; i++) {
		uint8_t was = wire[i];

		for (unsigned v = 0; v < 256; v++) {
			wire[i] = (uint8_t)v;
			read_all(wire, w.len);
		}
		wire[i] = was;
	}
}
END_TEST

START_TEST(test_flags)
{
	uint8_t wire[32];
	struct msgw w;
	struct msgr m;

	msgw_init(&w, wire, sizeof(wire), 7, msg_flags(OP_NOTIFY, F_QR | F_TC, RC_REFUSED));
	msgw_set_flags(&w, F_AA, F_TC);
	msgw_set_rcode(&w, RC_NOTAUTH);
	ck_assert_int_eq(msgr_open(&m, wire, w.len), 0);
	ck_assert_uint_eq(m.opcode, OP_NOTIFY);
	ck_assert_uint_eq(m.rcode, RC_NOTAUTH);
	ck_assert_uint_eq(m.flags & (F_QR | F_AA | F_TC), F_QR | F_AA);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_round_trip, test_case_is_kept, test_filling, test_tight_fit, test_random_compression,
		test_biggest_record, test_edns, test_beyond_pointers, test_options, test_special_places,
		test_damage, test_flags,
	};

	return RUN_SUITE("msg", tests);
}
