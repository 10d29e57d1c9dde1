/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Differences that come in: the order of SOAs, and each rule of applying them with its own case. */
#include <string.h>

#include "base/err.h"
#include "ixfr_rig.h"
#include "t_suite.h"

/* --- what the answer is, and the order of SOAs ---------------------------------------------------------- */

START_TEST(test_axfr)
{
	struct record soa;
	struct rig r;
	struct rr rr;

	rig_start(&r, INTAKE_REFUSE, 1);
	ck_assert_int_eq(ixfr_soa(r.x, &rr), ZS_ENOENT);
	ADD(soa_record(&soa, 5));
	ck_assert_int_eq(ixfr_kind(r.x), IXFR_UNKNOWN);
	ADD(RR("a.example.", T_A, 1, "\1\2\3\4"));
	ck_assert_int_eq(ixfr_kind(r.x), IXFR_AXFR);
	ADD(RR("a.example.", T_A, 1, "\1\2\3\5"));
	ADD(SOA(5));
	ADD(SOA(6)); /* the caller's business */
	ck_assert_int_eq(ixfr_soa(r.x, &rr), 0);
	ck_assert(rr.ttl == 900 && rr.rdlen == soa.rr.rdlen && memcmp(rr.rdata, soa.rdata, rr.rdlen) == 0);
	ck_assert_mem_eq(rr.owner, soa.owner, name_len(zone)); /* its case too */
	ck_assert_int_eq(apply(&r), ZS_EFORMAT);
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(5)); /* a zone of its SOA alone */
	ADD(SOA(5));
	ck_assert_int_eq(ixfr_kind(r.x), IXFR_AXFR);
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(5)); /* an SOA below the apex is no SOA of the zone */
	ADD(RR("x.example.", T_SOA, 1, "\0\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"));
	ck_assert_int_eq(ixfr_kind(r.x), IXFR_AXFR);
	rig_close(&r);
}
END_TEST

START_TEST(test_sequence)
{
	struct rig r;

	rig_start(&r, INTAKE_REFUSE, 0xfffffffe); /* over the end of numbers, in three steps */
	ADD(SOA(4));
	ADD(SOA(0xfffffffe));
	ck_assert_int_eq(ixfr_kind(r.x), IXFR_DIFFERENCE);
	ADD(RR("a.example.", T_A, 1, "\1\2\3\4"));
	ADD(SOA(0xffffffff));
	ADD(SOA(0xffffffff));
	ADD(SOA(3));
	ADD(SOA(3));
	ADD(SOA(4));
	ADD(RR("a.example.", T_A, 1, "\1\2\3\4"));
	ck_assert(!ixfr_is_complete(r.x));
	ADD(SOA(4));
	ck_assert(ixfr_is_complete(r.x));
	ck_assert_uint_eq(ixfr_steps(r.x), 3);
	ck_assert_uint_eq(ixfr_records(r.x), 10);
	BAD(SOA(4), "behind the closing");
	ck_assert(!ixfr_is_complete(r.x));
	rig_close(&r);
}
END_TEST

START_TEST(test_sequence_broken)
{
	static const struct { uint32_t serial[7]; unsigned n; const char *what; } bad[] = {
		{ { 5, 2 }, 2, "do not follow" },          /* not from ours */
		{ { 5, 1, 3, 4 }, 4, "do not follow" },    /* a gap */
		{ { 5, 1, 1 }, 3, "not newer" },
		{ { 5, 1, 3, 3, 2 }, 5, "not newer" },
		{ { 5, 1, 0x80000001 }, 3, "not newer" },  /* undefined (RFC 1982 3.2) */
		{ { 5, 1, 5, 6 }, 4, "torn" },
	};
	struct rig r;

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		rig_start(&r, INTAKE_REFUSE, 1);
		for (unsigned k = 0; k + 1 < bad[i].n; k++)
			ADD(SOA(bad[i].serial[k]));
		BAD(SOA(bad[i].serial[bad[i].n - 1]), bad[i].what);
		/* for good */
		ck_assert_int_eq(ixfr_add(r.x, RR("a.example.", T_A, 1, "\1\2\3\4")), ZS_EFORMAT);
		ck_assert_int_eq(apply(&r), ZS_EFORMAT);
		rig_close(&r);
	}
	rig_start(&r, INTAKE_REFUSE, 1);
	BAD(RR("a.example.", T_A, 1, "\1\2\3\4"), "does not begin");
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(2));
	ADD(SOA(1));
	BAD(RR("example.", T_SOA, 900, "\0\0" "\0\0\0\2\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"), "differ");
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(SOA(2));
	BAD(RR("example.", T_SOA, 900, "\0\0" "\0\0\0\2\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"), "torn");
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(2));
	ADD(SOA(1));
	BAD(RR("example.", T_SOA, 900, "\0\0"), "malformed");
	rig_close(&r);
	rig_start(&r, INTAKE_REFUSE, 1);
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(SOA(2));
	check_fault(&r, IXFR_SEQUENCE, "not complete");
	rig_close(&r);
}
END_TEST

START_TEST(test_gather_limits)
{
	struct ixfr_limits lim = { .records = 4 };
	struct rig r;
	int err = 0;

	rig_start(&r, INTAKE_REFUSE, 1);
	ixfr_free(r.x);
	ck_assert_int_eq(ixfr_new(zone, 1, &lim, &r.x), 0);
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(RR("a.example.", T_A, 1, "\1\2\3\4"));
	ADD(RR("a.example.", T_A, 1, "\1\2\3\4"));
	ck_assert_int_eq(ixfr_add(r.x, SOA(2)), ZS_ELIMIT);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_LIMIT);
	ixfr_free(r.x);
	lim = (struct ixfr_limits){ .octets = 2000, .records = 100 };
	ck_assert_int_eq(ixfr_new(zone, 1, &lim, &r.x), 0);
	ADD(SOA(2));
	ADD(SOA(1));
	for (int i = 0; err == 0 && i < 90; i++)
		err = ixfr_add(r.x, RR("a.example.", T_A, 1, "\1\2\3\4"));
	ck_assert_int_eq(err, ZS_ELIMIT);
	ixfr_free(r.x);
	ck_assert_int_eq(ixfr_new(zone, 1, &lim, &r.x), 0); /* a whole zone is not kept: no bound */
	for (int i = 0; i < 200; i++)
		ADD(i == 0 ? SOA(2) : RR("a.example.", T_A, 1, "\1\2\3\4"));
	rig_close(&r);
}
END_TEST

/* --- applying ------------------------------------------------------------------------------------------- */

START_TEST(test_add_and_delete)
{
	const struct rr *del = RR("A.example.", T_A, 77, "\1\1\1\1"); /* TTL and case do not count */
	const struct rr *add = RR("new.example.", T_A, 0x80000000, "\3\3\3\3");
	struct rig r;
	struct model now;
	struct rr rr = *add;

	rig_open(&r, INTAKE_REFUSE);
	feed_step(&r, del, add);
	now = model_copy(&r.zone);
	rr.ttl = 0; /* RFC 2181 8 */
	ck_assert(model_del(&now, del) && model_add(&now, &rr));
	ck_assert_int_eq(apply(&r), 0);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_OK);
	check_model(&r, &now);
	ck_assert_uint_eq(r.sums.records_added, 1);
	ck_assert_uint_eq(r.sums.records_deleted, 1);
	ck_assert_uint_eq(r.sums.octets_added, 13 + 10 + 4);
	ck_assert_uint_eq(r.sums.octets_deleted, 11 + 10 + 4);
	ck_assert_uint_eq(r.sums.rrsets_added, 1);
	ck_assert_uint_eq(r.sums.rrsets_changed, 1);
	ck_assert_uint_eq(r.in.records, 1);
	/* once more, over the same base */
	store_close(&r.after);
	r.after = store_open();
	map_copy(r.after.kv, r.base.kv);
	r.spy = (struct spy){ .kv = { &spy_ops }, .to = r.after.kv };
	ck_assert_int_eq(apply(&r), 0);
	check_model(&r, &now);
	model_free(&now);
	rig_close(&r);
}
END_TEST

/* What one addition to the zone of the cases leads to. */
static void one_addition(const struct rr *add, unsigned replaced, unsigned changed)
{
	struct model now;
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	feed_step(&r, NULL, add);
	now = model_copy(&r.zone);
	ck_assert(model_add(&now, add));
	ck_assert_msg(apply(&r) == 0, "%s", ixfr_text(r.x));
	check_model(&r, &now);
	ck_assert_uint_eq(r.sums.records_added + r.sums.records_deleted, 0);
	ck_assert_uint_eq(r.sums.records_replaced, replaced);
	ck_assert_uint_eq(r.sums.rrsets_changed, changed);
	model_free(&now);
	rig_close(&r);
}

START_TEST(test_replace)
{
	one_addition(RR("a.example.", T_A, 301, "\1\1\1\1"), 1, 1);         /* TTL */
	one_addition(RR("cut.example.", T_NS, 300, "\2nS\3cut\7example\0"), 1, 1); /* case in RDATA */
	one_addition(RR("A.example.", T_A, 300, "\1\1\1\1"), 0, 1);         /* case of the owner */
	one_addition(RR("b.example.", T_TXT, 300, "\1b"), 0, 1);            /* to lower case */
}
END_TEST

START_TEST(test_mismatch)
{
	static const struct { bool del; const char *owner; uint16_t type; const char *rdata; uint16_t len; }
	bad[] = {
		{ true, "a.example.", T_A, "\1\1\1\2", 4 },        /* no such record */
		{ true, "a.example.", T_TXT, "\1a", 2 },           /* no such RRset */
		{ true, "c.example.", T_A, "\1\1\1\1", 4 },        /* no such owner */
		{ true, "b.example.", T_TXT, "\1B", 2 },           /* case counts in TXT */
		{ false, "a.example.", T_A, "\1\1\1\1", 4 },
		{ false, "B.example.", T_TXT, "\1b", 2 },
		{ false, "b.example.", 65280, "", 0 },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct record rec;
		struct rig r;

		record(&rec, bad[i].owner, bad[i].type, 300, bad[i].rdata, bad[i].len);
		rig_open(&r, INTAKE_REFUSE);
		/* nothing of the rest is taken either */
		feed_step(&r, bad[i].del ? &rec.rr : RR("a.example.", T_A, 1, "\2\2\2\2"),
			  bad[i].del ? RR("new.example.", T_A, 1, "\2\2\2\2") : &rec.rr);
		check_fault(&r, IXFR_MISMATCH, bad[i].del ? "deleted and not there" : "there already");
		rig_close(&r);
	}
}
END_TEST

START_TEST(test_mismatch_within)
{
	struct rig r;

	rig_open(&r, INTAKE_REFUSE); /* the same twice in one step */
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(SOA(2));
	ADD(RR("new.example.", T_A, 1, "\2\2\2\2"));
	ADD(RR("new.example.", T_A, 1, "\2\2\2\2"));
	ADD(SOA(2));
	check_fault(&r, IXFR_MISMATCH, "1 to 2: new.example. A is added");
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE); /* deletions come first, so this one is too early */
	ADD(SOA(3));
	ADD(SOA(1));
	ADD(RR("new.example.", T_A, 1, "\2\2\2\2"));
	ADD(SOA(2));
	ADD(RR("new.example.", T_A, 1, "\2\2\2\2"));
	ADD(SOA(2));
	ADD(SOA(3));
	ADD(SOA(3));
	check_fault(&r, IXFR_MISMATCH, "1 to 2: new.example. A is deleted");
	rig_close(&r);
}
END_TEST

START_TEST(test_net_nothing)
{
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	ADD(SOA(3));
	ADD(SOA(1));
	ADD(RR("a.example.", T_A, 300, "\1\1\1\1"));
	ADD(RR("b.example.", T_TXT, 300, "\1b"));
	ADD(SOA(2));
	ADD(RR("new.example.", T_NS, 300, "\2\1b\0"));
	ADD(RR("a.example.", T_A, 5, "\2\2\2\2"));
	ADD(SOA(2));
	ADD(RR("new.example.", T_NS, 300, "\2\1b\0"));
	ADD(SOA(3));
	ADD(RR("B.example.", T_TXT, 300, "\1b"));
	ADD(RR("a.example.", T_A, 300, "\1\1\1\1"));
	ADD(RR("a.example.", T_A, 300, "\2\2\2\2"));
	ADD(SOA(3));
	ck_assert_msg(apply(&r) == 0, "%s", ixfr_text(r.x));
	check_untouched(&r); /* signatures and all */
	ck_assert_uint_eq(r.sums.rrsets_changed + r.sums.records_replaced + r.in.records, 0);
	rig_close(&r);
}
END_TEST

START_TEST(test_duplicates)
{
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	feed_step(&r, NULL, RR("dup.example.", T_NS, 300, "\1y\0"));
	check_fault(&r, IXFR_DUPLICATES, "dup.example. NS");
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE);
	feed_step(&r, RR("dup.example.", T_NS, 300, "\1x\0"), NULL);
	check_fault(&r, IXFR_DUPLICATES, "dup.example. NS");
	rig_close(&r);
}
END_TEST

/*
 * One step that adds two which differ in case or TTL alone: the primary has both. Over two steps the second
 * one replaces the first, and goes like any other.
 */
START_TEST(test_added_twice)
{
	static const struct { const char *rdata; uint32_t ttl; }
	second[] = { { "\1X\0", 300 }, { "\1x\0", 60 } };

	for (size_t i = 0; i < 2; i++) {
		struct record rec;
		struct model now;
		struct rig r;

		record(&rec, "new.example.", T_NS, second[i].ttl, second[i].rdata, 3);
		rig_open(&r, INTAKE_REFUSE);
		ADD(SOA(2));
		ADD(SOA(1));
		ADD(SOA(2));
		ADD(RR("new.example.", T_NS, 300, "\1x\0"));
		ADD(&rec.rr);
		ADD(SOA(2));
		check_fault(&r, IXFR_DUPLICATES, "new.example. NS is added twice");
		rig_close(&r);
		rig_open(&r, INTAKE_REFUSE);
		ADD(SOA(3));
		ADD(SOA(1));
		ADD(SOA(2));
		ADD(RR("new.example.", T_NS, 300, "\1x\0"));
		ADD(SOA(2));
		ADD(SOA(3));
		ADD(&rec.rr);
		ADD(SOA(3));
		now = model_copy(&r.zone);
		ck_assert(model_add(&now, &rec.rr));
		ck_assert_msg(apply(&r) == 0, "%s", ixfr_text(r.x));
		check_model(&r, &now);
		model_free(&now);
		rig_close(&r);
	}
}
END_TEST

/* A difference of our own making: a second one of a kind is no replacement. */
START_TEST(test_exact)
{
	struct ixfr_limits lim = { .exact = true };
	static const char *const second[] = { "\1X\0", "\1x\0" };

	for (size_t i = 0; i < 2; i++) {
		struct record rec;
		struct rig r;

		record(&rec, "new.example.", T_NS, 300, second[i], 3);
		rig_open(&r, INTAKE_REFUSE);
		ixfr_free(r.x);
		ck_assert_int_eq(ixfr_new(zone, 1, &lim, &r.x), 0);
		ADD(SOA(2));
		ADD(SOA(1));
		ADD(SOA(2));
		ADD(RR("new.example.", T_NS, 300, "\1x\0"));
		ADD(&rec.rr);
		ADD(SOA(2));
		check_fault(&r, IXFR_DUPLICATES, "new.example. NS is to stand beside");
		rig_close(&r);
	}
}
END_TEST

START_TEST(test_cuts)
{
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(RR("cut.example.", T_NS, 0, "\2ns\3cut\7example\0"));
	ADD(SOA(2));
	ADD(RR("x.example.", T_NS, 7200, "\1x\0"));
	ADD(RR("y.example.", T_NS, 0, "\1x\0"));
	ADD(RR("example.", T_NS, 300, "\1x\0")); /* no delegation */
	ADD(SOA(2));
	ck_assert_int_eq(apply(&r), 0);
	ck_assert_uint_eq(r.sums.cuts_deleted, 1);
	ck_assert_uint_eq(r.sums.cuts_added, 2);
	ck_assert_uint_eq(r.sums.cuts_changed, 0);
	ck_assert_uint_eq(r.sums.rrsets_changed, 1);
	ck_assert_uint_eq(r.sums.largest_ttl, 7200);
	rig_close(&r);
}
END_TEST

static int note_owner(void *ctx, const uint8_t *owner)
{
	char *text = ctx, name[NAME_MAX_TEXT];

	strcat(text, name_to_text(owner, name));
	strcat(text, " ");
	return strlen(text) > 60 ? ZS_ELIMIT : 0;
}

/* What apply meets last comes first, and what stands on both sides at one place once. */
START_TEST(test_owners)
{
	char text[400] = "";
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	ADD(SOA(3));
	ADD(SOA(1));
	ADD(RR("a.example.", T_A, 300, "\1\2\3\4"));
	ADD(RR("b.example.", T_A, 300, "\1\2\3\4"));
	ADD(SOA(2));
	ADD(RR("a.example.", T_A, 300, "\1\2\3\5"));
	ADD(RR("c.example.", T_A, 300, "\1\2\3\5"));
	ADD(SOA(2));
	ADD(RR("d.example.", T_A, 300, "\1\2\3\5"));
	ADD(SOA(3));
	ADD(SOA(3));
	ck_assert_int_eq(ixfr_owners(r.x, note_owner, text), 0);
	ck_assert_str_eq(text, "c.example. a.example. b.example. d.example. ");
	ck_assert_int_eq(ixfr_owners(r.x, note_owner, text), ZS_ELIMIT);
	rig_close(&r);
}
END_TEST

/* --- the filter ----------------------------------------------------------------------------------------- */

#define RRSIG "\0\1\15\1\0\0\0\1\0\0\0\1\0\0\0\1\0\1" "\7example\0" "sig"
#define DNSKEY "\1\1\3\15key"
#define CDS "\0\1\15\2e"

START_TEST(test_filter_strip)
{
	struct rig r;

	rig_open(&r, INTAKE_STRIP);
	ADD(SOA(2));
	ADD(SOA(1)); /* never taken, so not missed */
	ADD(RR("a.example.", T_RRSIG, 300, RRSIG));
	ADD(RR("a.example.", T_NSEC, 300, "\7example\0" "\0\1\100"));
	ADD(RR("example.", T_DNSKEY, 300, DNSKEY));
	ADD(RR("example.", T_ZONEMD, 300, "\0\0\0\1\1\1digest"));
	ADD(RR("example.", T_CDS, 300, "\0\1\15\2d")); /* as ours */
	ADD(RR("other.", T_A, 300, "\1\1\1\1"));
	ADD(RR("x.example.", T_SOA, 1, "\0\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"));
	ADD(SOA(2));
	ADD(RR("a.example.", T_RRSIG, 300, RRSIG));
	ADD(RR("a.example.", T_RRSIG, 300, RRSIG));
	ADD(RR("example.", T_DNSKEY, 300, DNSKEY));
	ADD(RR("example.", T_CDS, 300, CDS));
	ADD(RR("other.", T_A, 300, "\1\1\1\1"));
	ADD(RR("x.example.", T_SOA, 1, "\0\0" "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5"));
	ADD(SOA(2));
	ck_assert_msg(apply(&r) == 0, "%s", ixfr_text(r.x));
	check_untouched(&r);
	ck_assert_uint_eq(r.in.stripped_rrsig, 2);
	ck_assert_uint_eq(r.in.stripped_nsec, 0);
	ck_assert_uint_eq(r.in.stripped_dnskey, 1);
	ck_assert_uint_eq(r.in.stripped_cds, 1);
	ck_assert_uint_eq(r.in.dropped_out_of_zone, 1);
	ck_assert_uint_eq(r.in.dropped_soa, 1);
	ck_assert(r.in.had_dnskey);
	ck_assert_uint_eq(r.in.records, 0);
	rig_close(&r);
}
END_TEST

START_TEST(test_filter_refuse)
{
	struct rig r;

	rig_open(&r, INTAKE_REFUSE); /* found where it stays */
	feed_step(&r, NULL, RR("a.example.", T_RRSIG, 300, RRSIG));
	ck_assert_int_eq(apply(&r), 0);
	ck_assert_uint_eq(r.in.held[IR_DNSSEC].count, 1);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE); /* and where it would stand beside what is ours, which stays */
	feed_step(&r, RR("example.", T_CDS, 300, "\0\1\15\2d"), RR("example.", T_CDS, 300, CDS));
	ck_assert_int_eq(apply(&r), 0);
	check_untouched(&r);
	ck_assert_uint_eq(r.in.held[IR_DNSSEC].count, 1);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE); /* but not where it came and went */
	ADD(SOA(3));
	ADD(SOA(1));
	ADD(SOA(2));
	ADD(RR("a.example.", T_RRSIG, 300, RRSIG));
	ADD(SOA(2));
	ADD(RR("a.example.", T_RRSIG, 300, RRSIG));
	ADD(SOA(3));
	ADD(SOA(3));
	ck_assert_int_eq(apply(&r), 0);
	ck_assert_uint_eq(r.in.held[IR_DNSSEC].count, 0);
	check_untouched(&r);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE);
	feed_step(&r, RR("example.", T_DNSKEY, 300, DNSKEY), NULL);
	check_fault(&r, IXFR_MISMATCH, "DNSKEY");
	rig_close(&r);
}
END_TEST

START_TEST(test_filter_discard)
{
	struct rr chaos = *RR("a.example.", T_A, 300, "\1\1\1\1"), meta = chaos;
	struct rig r;

	chaos.class = 3;
	meta.type = T_ANY;
	for (int i = 0; i < 4; i++) {
		const struct rr *bad = i < 2 ? &chaos : &meta;

		rig_open(&r, INTAKE_REFUSE);
		feed_step(&r, i & 1 ? bad : NULL, i & 1 ? NULL : bad);
		check_fault(&r, IXFR_INPUT, i < 2 ? "class" : "meta-type");
		ck_assert_int_eq(r.in.discard, i < 2 ? IR_CLASS : IR_META);
		rig_close(&r);
	}
	rig_open(&r, INTAKE_REFUSE);
	r.in.max_records = 0;
	feed_step(&r, NULL, RR("a.example.", T_A, 300, "\1\1\1\3"));
	ck_assert_int_eq(apply(&r), ZS_ELIMIT);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_INPUT);
	ck_assert_int_eq(r.in.discard, IR_RECORDS_LIMIT);
	rig_close(&r);
}
END_TEST

/* --- bounds and damage ---------------------------------------------------------------------------------- */

START_TEST(test_apply_limits)
{
	struct ixfr_limits lim = { .work = 60 };
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	ixfr_free(r.x);
	ck_assert_int_eq(ixfr_new(zone, 1, &lim, &r.x), 0);
	feed_step(&r, NULL, RR("a.example.", T_A, 300, "\1\1\1\3"));
	ck_assert_int_eq(apply(&r), ZS_ELIMIT);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_LIMIT);
	check_untouched(&r);
	rig_close(&r);
	rig_open(&r, INTAKE_REFUSE);
	r.spy.most = 1;
	feed_step(&r, RR("b.example.", T_TXT, 300, "\1b"), RR("a.example.", T_A, 300, "\1\1\1\3"));
	ck_assert_int_eq(apply(&r), ZS_ELIMIT);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_LIMIT);
	rig_close(&r);
}
END_TEST

/* Turns one bit of the value of a.example. A. */
static void damage(struct kv *kv)
{
	uint8_t key[KEY_MAX], okey[OKEY_MAX], val[256];
	size_t klen = key_record(key, okey, name_okey((const uint8_t *)"\1a\7example", okey), T_A);
	struct kv_item it;

	ck_assert_int_eq(kv_get(kv, key, klen, &it), 0);
	ck_assert_uint_le(it.vlen, sizeof(val));
	memcpy(val, it.val, it.vlen);
	val[5] ^= RRV_OURS;
	ck_assert_int_eq(kv_put(kv, key, klen, val, it.vlen), 0);
}

START_TEST(test_damage)
{
	struct change_sums sums;
	struct merge *m;
	struct rig r;

	rig_open(&r, INTAKE_REFUSE);
	damage(r.after.kv);
	feed_step(&r, NULL, RR("a.example.", T_A, 300, "\1\1\1\3"));
	ck_assert_int_eq(apply(&r), ZS_ECRC);
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_LOCAL);
	damage(r.base.kv);
	ck_assert_int_eq(merge_new(zone, r.base.kv, &r.spy.kv, &m), 0);
	ck_assert_int_eq(merge_end(m, &sums), ZS_ECRC);
	merge_free(m);
	rig_close(&r);
}
END_TEST

static void put_n(struct record *r, unsigned i)
{
	put_be32(r->rdata, i);
}

START_TEST(test_too_many_records)
{
	struct rig r;
	struct record rec;

	record(&rec, "big.example.", T_A, 300, "\0\0\0\0", 4);
	rig_open(&r, INTAKE_REFUSE);
	ADD(SOA(2));
	ADD(SOA(1));
	ADD(SOA(2));
	for (unsigned i = 0; i <= RRSET_RECORDS_MAX; i++) {
		put_n(&rec, i);
		ADD(&rec.rr);
	}
	ADD(SOA(2));
	ck_assert_int_eq(apply(&r), ZS_EHELD);
	ck_assert_uint_eq(r.in.held[IR_RRSET_TOO_BIG].count, 1);
	check_untouched(&r);
	rig_close(&r);
}
END_TEST

/* 20,000 records, one of them replaced by another in each of 20,000 steps: the time limit of the suite is
 * passed by anything that takes an RRset apart in each step. */
START_TEST(test_big_rrset)
{
	const unsigned n = 20000;
	struct model now = { 0 };
	struct record rec;
	struct rig r;

	record(&rec, "big.example.", T_A, 300, "\0\0\0\0", 4);
	rig_start(&r, INTAKE_REFUSE, 1);
	for (unsigned i = 0; i < 2 * n; i++) {
		put_n(&rec, i);
		model_push(i < n ? &r.zone : &now, &rec.rr);
	}
	rig_store(&r);
	ADD(SOA(n + 1));
	for (unsigned i = 0; i < n; i++) {
		ADD(SOA(i + 1));
		put_n(&rec, n - 1 - i);
		ADD(&rec.rr);
		ADD(SOA(i + 2));
		put_n(&rec, n + i);
		ADD(&rec.rr);
	}
	ADD(SOA(n + 1));
	ck_assert_int_eq(apply(&r), 0);
	check_model(&r, &now);
	ck_assert_uint_eq(r.sums.records_added, n);
	ck_assert_uint_eq(r.sums.records_deleted, n);
	model_free(&now);
	rig_close(&r);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		test_axfr, test_sequence, test_sequence_broken, test_gather_limits, test_add_and_delete,
		test_replace, test_mismatch, test_mismatch_within, test_net_nothing, test_duplicates,
		test_added_twice, test_exact, test_cuts, test_owners,
		test_filter_strip, test_filter_refuse, test_filter_discard, test_apply_limits, test_damage,
		test_too_many_records, test_big_rrset,
	};

	return RUN_SUITE("ixfr", tests);
}
