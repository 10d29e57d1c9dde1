/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The input table, row by row: records, then whole owners through the walk that tells their kind. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/intake.h"
#include "t_suite.h"

static const uint8_t zone[] = "\7example\0";
static const uint8_t soa1[] = "\2ns\7example\0" "\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";

/* One record: text owner, any type with RDATA that fits it. */
static enum intake_verdict feed(struct intake *in, const char *owner, uint16_t type, const void *rdata,
				size_t len)
{
	uint8_t wire[NAME_MAX_WIRE];
	size_t n;
	struct rr rr = {
	    .owner = wire, .type = type, .class = CLASS_IN, .ttl = 1, .rdata = rdata, .rdlen = (uint16_t)len};

	ck_assert_int_eq(name_from_text(owner, wire, &n), 0);
	return intake_record(in, &rr);
}
#define FEED(owner, type, s) feed(&in, owner, type, s, sizeof(s) - 1)

#define RRSIG "\0\1\15\1\0\0\0\1\0\0\0\1\0\0\0\1\0\1" "\7example\0" "sig"
#define NSEC "\7example\0" "\0\1\100"
#define NSEC3 "\1\0\0\0\0\1x"
#define NSEC3PARAM "\1\0\0\0\0"
#define DNSKEY "\1\1\3\15key"
#define DS "\0\1\15\2digest"
#define ZONEMD "\0\0\0\1\1\1digest"

START_TEST(test_plain_records)
{
	struct intake in;

	intake_init(&in, (const uint8_t *)"\7EXAMPLE\0", INTAKE_REFUSE);
	ck_assert_int_eq(FEED("example.", T_SOA, soa1), INTAKE_KEEP);
	ck_assert_int_eq(FEED("WWW.example.", T_A, "\1\2\3\4"), INTAKE_KEEP);
	ck_assert_int_eq(FEED("x.example.", 65280, ""), INTAKE_KEEP);
	ck_assert_uint_eq(in.records, 3);
	ck_assert_uint_eq(in.bytes, (9 + 10 + sizeof(soa1) - 1) + (13 + 10 + 4) + (11 + 10));
	ck_assert_int_eq(in.discard, IR_NONE);
}
END_TEST

START_TEST(test_out_of_zone)
{
	struct intake in;

	intake_init(&in, zone, INTAKE_STRIP);
	ck_assert_int_eq(FEED("com.", T_A, "\1\2\3\4"), INTAKE_DROP);
	ck_assert_int_eq(FEED("xexample.", T_A, "\1\2\3\4"), INTAKE_DROP);
	ck_assert_int_eq(FEED(".", T_A, "\1\2\3\4"), INTAKE_DROP);
	ck_assert_uint_eq(in.dropped_out_of_zone, 3);
	ck_assert_int_eq(FEED("a.example.", T_SOA, soa1), INTAKE_ASIDE);
	ck_assert_uint_eq(in.dropped_soa, 1);
	ck_assert_uint_eq(in.records, 0);
	ck_assert_uint_eq(in.bytes, 0);
}
END_TEST

START_TEST(test_torn)
{
	uint8_t other[sizeof(soa1)];
	struct intake in;

	intake_init(&in, zone, INTAKE_REFUSE);
	ck_assert_int_eq(FEED("example.", T_SOA, soa1), INTAKE_KEEP);
	memcpy(other, soa1, sizeof(other));
	other[1] = 'N'; /* the same by canonical RDATA */
	ck_assert_int_eq(feed(&in, "example.", T_SOA, other, sizeof(soa1) - 1), INTAKE_DROP);
	ck_assert_int_eq(in.discard, IR_NONE);
	soa_set_serial(other, sizeof(soa1) - 1, 2);
	ck_assert_int_eq(feed(&in, "example.", T_SOA, other, sizeof(soa1) - 1), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_TORN_SOA);
}
END_TEST

START_TEST(test_discarded)
{
	struct rr rr = {
	    .owner = zone, .type = T_A, .class = 3, .rdata = (const uint8_t *)"\1\2\3\4", .rdlen = 4};
	static const uint16_t meta[] = { 0, T_OPT, T_TSIG, T_TKEY, T_AXFR, T_ANY, 128, 200 };
	struct intake in;

	intake_init(&in, zone, INTAKE_PASS);
	ck_assert_int_eq(intake_record(&in, &rr), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_CLASS);
	for (size_t i = 0; i < sizeof(meta) / sizeof(*meta); i++) {
		intake_init(&in, zone, INTAKE_PASS);
		ck_assert_int_eq(feed(&in, "example.", meta[i], "", 0), INTAKE_DISCARD);
		ck_assert_int_eq(in.discard, IR_META);
	}
	intake_init(&in, zone, INTAKE_PASS);
	ck_assert_int_eq(FEED("example.", T_A, "\1\2\3"), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_MALFORMED);
	/* the first reason stays */
	ck_assert_int_eq(feed(&in, "example.", T_ANY, "", 0), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_MALFORMED);
}
END_TEST

START_TEST(test_limits)
{
	struct intake in;

	intake_init(&in, zone, INTAKE_REFUSE);
	in.max_records = 2;
	ck_assert_int_eq(FEED("a.example.", T_A, "\1\2\3\4"), INTAKE_KEEP);
	ck_assert_int_eq(FEED("b.example.", T_A, "\1\2\3\4"), INTAKE_KEEP);
	ck_assert_int_eq(FEED("com.", T_A, "\1\2\3\4"), INTAKE_DROP);
	ck_assert_int_eq(FEED("c.example.", T_A, "\1\2\3\4"), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_RECORDS_LIMIT);
	intake_init(&in, zone, INTAKE_REFUSE);
	in.max_bytes = 50;
	ck_assert_int_eq(FEED("a.example.", T_A, "\1\2\3\4"), INTAKE_KEEP); /* 25 octets each */
	ck_assert_int_eq(FEED("a.example.", T_A, "\1\2\3\4"), INTAKE_KEEP);
	ck_assert_int_eq(FEED("a.example.", 65280, ""), INTAKE_DISCARD);
	ck_assert_int_eq(in.discard, IR_BYTES_LIMIT);
	ck_assert_uint_eq(in.bytes, 50);
}
END_TEST

/* Each DNSSEC type at the apex and below, in each mode: kept, or not, and what is counted. */
START_TEST(test_dnssec)
{
	static const struct { uint16_t type; const char *rdata; size_t len; bool everywhere; } rows[] = {
#define ROW(type, s, everywhere) { type, s, sizeof(s) - 1, everywhere }
		ROW(T_RRSIG, RRSIG, true), ROW(T_NSEC, NSEC, true), ROW(T_NSEC3, NSEC3, true),
		ROW(T_NSEC3PARAM, NSEC3PARAM, false), ROW(T_DNSKEY, DNSKEY, false), ROW(T_CDS, DS, false),
		ROW(T_CDNSKEY, DNSKEY, false), ROW(T_PRIVATE_SIGNING, "x", false), ROW(T_DS, DS, false),
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		bool ds = rows[i].type == T_DS;

		for (unsigned apex = 0; apex < 2; apex++) {
			const char *owner = apex ? "EXAMPLE." : "a.example.";
			bool matters = !ds && (apex || rows[i].everywhere);
			struct intake in;
			const uint64_t *c;
			uint64_t sum = 0;

			intake_init(&in, zone, INTAKE_REFUSE);
			ck_assert_int_eq(feed(&in, owner, rows[i].type, rows[i].rdata, rows[i].len),
					 INTAKE_KEEP);
			ck_assert_uint_eq(in.held[IR_DNSSEC].count, matters);
			ck_assert(in.had_dnskey == (rows[i].type == T_DNSKEY && apex));
			intake_init(&in, zone, INTAKE_STRIP);
			ck_assert_int_eq(feed(&in, owner, rows[i].type, rows[i].rdata, rows[i].len),
					 matters ? INTAKE_ASIDE : INTAKE_KEEP);
			for (c = &in.stripped_rrsig; c <= &in.stripped_zonemd; c++)
				sum += *c;
			ck_assert_uint_eq(sum, matters);
			ck_assert(intake_is_altered(&in) == matters);
			ck_assert_uint_eq((&in.stripped_rrsig)[i < 8 ? i : 0], matters);
			ck_assert_uint_eq(in.held[IR_DNSSEC].count, 0);
			ck_assert(in.had_dnskey == (rows[i].type == T_DNSKEY && apex));
			intake_init(&in, zone, INTAKE_PASS);
			ck_assert_int_eq(feed(&in, owner, rows[i].type, rows[i].rdata, rows[i].len),
					 INTAKE_KEEP);
			ck_assert_uint_eq(in.held[IR_DNSSEC].count, 0);
			ck_assert(in.had_dnskey == (rows[i].type == T_DNSKEY && apex));
		}
	}
}
END_TEST

START_TEST(test_zonemd)
{
	for (unsigned i = 0; i < 6; i++) {
		enum intake_mode mode = (enum intake_mode)(i / 2);
		bool kept = i % 2 || mode == INTAKE_PASS;
		struct intake in;

		intake_init(&in, zone, mode);
		in.keep_zonemd = i % 2;
		ck_assert_int_eq(FEED("a.example.", T_ZONEMD, ZONEMD), INTAKE_KEEP);
		ck_assert(!in.had_zonemd);
		ck_assert_int_eq(FEED("EXAMPLE.", T_ZONEMD, ZONEMD), kept ? INTAKE_KEEP : INTAKE_ASIDE);
		ck_assert(in.had_zonemd && !intake_is_altered(&in));
		ck_assert_uint_eq(in.stripped_zonemd, !kept);
		for (unsigned k = 0; k < IR_REASONS; k++)
			ck_assert_uint_eq(in.held[k].count, 0);
	}
}
END_TEST

START_TEST(test_sizes)
{
	uint8_t *big = calloc(1, 65535);
	struct intake in;

	intake_init(&in, zone, INTAKE_REFUSE);
	ck_assert_int_eq(feed(&in, "example.", 65280, big, 65535 - 12 - 9 - 10 - INTAKE_TSIG_ROOM),
			 INTAKE_KEEP);
	ck_assert_uint_eq(in.held[IR_RR_TOO_BIG].count, 0);
	ck_assert_int_eq(feed(&in, "example.", 65280, big, 65535 - 12 - 9 - 10 - INTAKE_TSIG_ROOM + 1),
			 INTAKE_KEEP);
	ck_assert_uint_eq(in.held[IR_RR_TOO_BIG].count, 1);
	free(big);
	/* RRsets: 12 + 9 + 4 octets of an answer go to header and question, 12 to each record's head */
	intake_rrset(&in, zone, 10, 65535 - 25 - 120, 0, false);
	ck_assert_uint_eq(in.big_answers, 0);
	intake_rrset(&in, zone, 10, 65535 - 25 - 120 + 1, 2, true);
	ck_assert_uint_eq(in.big_answers, 1);
	ck_assert_uint_eq(in.duplicates, 2);
	ck_assert_uint_eq(in.ttl_differs, 1);
	intake_rrset(&in, zone, 100, (1 << 20) - 1000, 0, false);
	ck_assert_uint_eq(in.held[IR_RRSET_TOO_BIG].count, 0);
	intake_rrset(&in, zone, 100, (1 << 20) - 1000 + 1, 0, false);
	ck_assert_uint_eq(in.held[IR_RRSET_TOO_BIG].count, 1);
	in.max_rrset = UINT32_MAX;
	intake_rrset(&in, zone, 65535, 65535, 0, false);
	ck_assert_uint_eq(in.held[IR_RRSET_TOO_BIG].count, 1);
	intake_rrset(&in, zone, 65536, 65536, 0, false);
	ck_assert_uint_eq(in.held[IR_RRSET_TOO_BIG].count, 2);
	for (uint32_t n = INTAKE_TYPES_MAX; n <= INTAKE_TYPES_MAX + 1; n++) {
		uint16_t *types = calloc(n, sizeof(*types));
		uint32_t *counts = calloc(n, sizeof(*counts));

		intake_owner(&in, NODE_OCCLUDED, zone, types, counts, n);
		intake_owner(&in, NODE_AUTH, zone, types, counts, n);
		ck_assert_uint_eq(in.held[IR_MANY_TYPES].count, n - INTAKE_TYPES_MAX);
		free(types);
		free(counts);
	}
}
END_TEST

struct owner { const char *name; uint16_t types[6]; uint32_t counts[6]; };

/* Owners in canonical order through the walk; the findings as a set of bits. */
static unsigned judge(const struct owner *o, size_t n, struct intake *in)
{
	uint8_t wire[NAME_MAX_WIRE], okey[OKEY_MAX];
	struct walk w;
	unsigned bits = 0;
	size_t len;

	intake_init(in, zone, INTAKE_REFUSE);
	walk_init(&w, okey, name_okey(zone, okey));
	for (size_t i = 0; i < n; i++) {
		bool ns = false, ds = false, dname = false;
		uint32_t counts[6];
		enum node_kind kind;
		size_t k = 0;

		ck_assert_int_eq(name_from_text(o[i].name, wire, &len), 0);
		for (; k < 6 && o[i].types[k] != 0; k++) {
			ns |= o[i].types[k] == T_NS;
			ds |= o[i].types[k] == T_DS;
			dname |= o[i].types[k] == T_DNAME;
			counts[k] = o[i].counts[k] ? o[i].counts[k] : 1;
		}
		kind = walk_step(&w, okey, name_okey(wire, okey), ns, ds, dname);
		intake_owner(in, kind, wire, o[i].types, counts, k);
	}
	for (unsigned i = 0; i < IR_REASONS; i++)
		bits |= in->held[i].count > 0 ? 1u << i : 0;
	ck_assert(intake_is_held(in) == (bits != 0 || n == 0));
	return bits;
}

#define APEX { "example.", { T_SOA, T_NS }, { 0 } }
#define B(r) (1u << (r))

START_TEST(test_owners)
{
	static const struct { struct owner o[4]; size_t n; unsigned want;
	} rows[] = {
	    {{APEX}, 1, 0},
	    {{{"example.", {T_NS}, {0}}}, 1, B(IR_NO_SOA)},
	    {{{"example.", {T_SOA}, {0}}}, 1, B(IR_NO_NS)},
	    {{{"a.example.", {T_A}, {0}}}, 1, B(IR_NO_SOA) | B(IR_NO_NS)},
	    {{{"example.", {T_SOA, T_NS, T_DS}, {0}}}, 1, B(IR_APEX_DS)},
	    {{APEX, {"a.example.", {T_DS}, {0}}}, 2, B(IR_DS_WITHOUT_NS)},
	    {{APEX, {"a.example.", {T_NS, T_DS}, {0}}}, 2, 0},
	    {{APEX, {"a.example.", {T_CNAME}, {0}}}, 2, 0},
	    {{APEX, {"a.example.", {T_CNAME, T_RRSIG, T_NSEC}, {0}}}, 2, 0},
	    {{APEX, {"a.example.", {T_CNAME, T_A}, {0}}}, 2, B(IR_CNAME_AND_OTHER)},
	    {{APEX, {"a.example.", {T_NS, T_CNAME}, {0}}}, 2, B(IR_CNAME_AND_OTHER)},
	    {{{"example.", {T_SOA, T_NS, T_CNAME}, {0}}}, 1, B(IR_CNAME_AND_OTHER)},
	    {{APEX, {"a.example.", {T_CNAME}, {2}}}, 2, B(IR_TWO_CNAMES)},
	    {{APEX, {"a.example.", {T_CNAME, T_DNAME}, {0}}}, 2, B(IR_DNAME_AND_CNAME)},
	    {{APEX, {"a.example.", {T_DNAME}, {2}}}, 2, B(IR_TWO_DNAMES)},
	    {{APEX, {"a.example.", {T_DNAME, T_A}, {0}}}, 2, 0},
	    {{APEX, {"a.example.", {T_NS, T_DNAME}, {0}}}, 2, B(IR_DNAME_AND_NS)},
	    {{{"example.", {T_SOA, T_NS, T_DNAME}, {0}}}, 1, 0},
	    /* occluded: below a cut, below a DNAME, below a DNAME at the apex */
	    {{APEX, {"a.example.", {T_NS}, {0}}, {"b.a.example.", {T_CNAME, T_A, T_DS}, {3}}}, 3, 0},
	    {{APEX, {"a.example.", {T_DNAME}, {0}}, {"b.a.example.", {T_CNAME, T_A, T_NS}, {3}}}, 3, 0},
	    {{{"example.", {T_SOA, T_NS, T_DNAME}, {0}}, {"a.example.", {T_DS}, {0}}}, 2, 0},
	    /* behind what is occluded, the zone goes on */
	    {{APEX, {"a.example.", {T_NS}, {0}}, {"x.a.example.", {T_NS}, {0}}, {"b.example.", {T_DS}, {0}}},
	     4,
	     B(IR_DS_WITHOUT_NS)},
	    {{APEX, {"a.example.", {T_NS}, {0}}, {"ab.example.", {T_DS}, {0}}}, 3, B(IR_DS_WITHOUT_NS)},
	    {{APEX}, 0, 0},
	};
	static struct intake in;

	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++)
		ck_assert_msg(judge(rows[i].o, rows[i].n, &in) == rows[i].want, "row %zu", i);
}
END_TEST

START_TEST(test_description)
{
	static struct intake in;
	char text[4096], small[40];
	uint8_t wire[NAME_MAX_WIRE];
	size_t n;

	intake_init(&in, zone, INTAKE_REFUSE);
	intake_describe(&in, text, sizeof(text));
	ck_assert_str_eq(text, "no-soa: no records");
	intake_hold(&in, IR_ZONEMD, zone);
	for (unsigned i = 0; i < 156; i++) {
		snprintf(text, sizeof(text), "n%u.example.", i);
		ck_assert_int_eq(name_from_text(text, wire, &n), 0);
		intake_hold(&in, IR_CNAME_AND_OTHER, wire);
	}
	intake_describe(&in, text, sizeof(text));
	ck_assert_str_eq(text, "cname-and-other-data: 156 names: n0.example., n1.example., n2.example., "
			       "n3.example., n4.example., "
			       "n5.example., n6.example., n7.example., n8.example., n9.example., ...; "
			       "zonemd-mismatch: 1 name: example.");
	intake_describe(&in, small, sizeof(small));
	ck_assert_uint_eq(strlen(small), sizeof(small) - 1);
	ck_assert_int_eq(strncmp(text, small, sizeof(small) - 1), 0);
	for (unsigned i = 0; i < IR_REASONS; i++)
		ck_assert_ptr_nonnull(intake_reason_text((enum intake_reason)i));
}
END_TEST

/* The walk itself: kinds, what is signed, what is listed. */
START_TEST(test_kinds)
{
	static const struct { const char *name; bool ns, ds, dname; enum node_kind kind;
	} rows[] = {
	    {"example.", true, false, false, NODE_APEX},
	    {"a.example.", false, false, false, NODE_AUTH},
	    {"b.example.", true, false, false, NODE_CUT_INSECURE},
	    {"a.b.example.", true, true, true, NODE_OCCLUDED},
	    {"b.b.example.", false, false, false, NODE_OCCLUDED},
	    {"ba.example.", false, false, true, NODE_AUTH},
	    {"x.ba.example.", true, false, false, NODE_OCCLUDED},
	    {"c.example.", true, true, false, NODE_CUT_SECURE},
	    {"c\\000.example.", false, false, false, NODE_AUTH},
	    {"d.example.", false, false, false, NODE_AUTH},
	    {"other.", false, false, false, NODE_OCCLUDED},
	};
	uint8_t wire[NAME_MAX_WIRE], okey[OKEY_MAX];
	struct walk w;
	size_t n;

	walk_init(&w, okey, name_okey(zone, okey));
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		ck_assert_int_eq(name_from_text(rows[i].name, wire, &n), 0);
		ck_assert_msg(walk_step(&w, okey, name_okey(wire, okey), rows[i].ns, rows[i].ds,
					rows[i].dname) == rows[i].kind,
			      "%s", rows[i].name);
	}
	ck_assert(node_signs(NODE_APEX, T_NS) && node_signs(NODE_AUTH, T_A) &&
		  !node_signs(NODE_APEX, T_RRSIG));
	ck_assert(!node_signs(NODE_CUT_SECURE, T_NS) && node_signs(NODE_CUT_SECURE, T_DS) &&
		  node_signs(NODE_CUT_INSECURE, T_NSEC));
	ck_assert(!node_signs(NODE_CUT_INSECURE, T_A) && !node_signs(NODE_OCCLUDED, T_DS) &&
		  !node_signs(NODE_OCCLUDED, T_A));
	ck_assert(node_lists(NODE_APEX, T_SOA) && node_lists(NODE_CUT_SECURE, T_NS) &&
		  node_lists(NODE_CUT_SECURE, T_DS));
	ck_assert(!node_lists(NODE_CUT_SECURE, T_A) && !node_lists(NODE_AUTH, T_RRSIG) &&
		  !node_lists(NODE_OCCLUDED, T_A));
	ck_assert(!node_lists(NODE_AUTH, T_NSEC));
	/* the root zone with a DNAME at its apex */
	walk_init(&w, okey, 0);
	ck_assert_int_eq(walk_step(&w, okey, 0, true, false, true), NODE_APEX);
	ck_assert_int_eq(walk_step(&w, (const uint8_t *)"a\0", 2, false, false, false), NODE_OCCLUDED);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_plain_records, test_out_of_zone, test_torn, test_discarded, test_limits, test_dnssec,
		test_zonemd, test_sizes, test_owners, test_description, test_kinds,
	};

	return RUN_SUITE("intake", tests);
}
