/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The splice against the slow and obvious (splice_rig.c): random small zones with random changes, and
 * single cases. A case that fails is made smaller while it fails, and printed. SPLICE_SEED and SPLICE_STEPS
 * (for each kind of denial) set the run.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/rand.h"
#include "splice_rig.h"

/* --- random cases
 * ----------------------------------------------------------------------------------------- */

static struct name apex_name(const struct denial_params *p)
{
	struct name n;

	n.len = name_okey(p->zone, n.k);
	return n;
}

/* Labels of few kinds, among them a wildcard and octets that order keys escape. */
static void add_label(struct prng *r, struct name *n)
{
	static const char *const label[] = { "a", "b", "c", "*", "\1\1", "\1\2", "a\1\1", "ab", "B" };
	const char *l = label[prng_upto(r, 8) % 8];
	size_t len = strlen(l) + 1;

	memcpy(n->k + n->len, l, len);
	n->len += len;
}

static struct name some_name(struct prng *r, const struct zcase *c)
{
	struct name n = apex_name(&c->p);
	size_t apex = n.len;

	if (c->nrr > 0 && prng_upto(r, 9) < 5) { /* at, above or below one that is there */
		n = c->rr[prng_upto(r, c->nrr - 1)].n;
		while (n.len > apex && prng_upto(r, 3) == 0)
			n.len = okey_parent(n.k, n.len);
		if (prng_upto(r, 3) != 0)
			return n;
	}
	for (uint64_t depth = prng_upto(r, 4); depth > 0; depth--)
		if (okey_labels(n.k, n.len) < 7)
			add_label(r, &n);
	return n;
}

static struct rrkey some_rr(struct prng *r, const struct zcase *c)
{
	static const uint16_t type[] = { T_A,  T_A,  T_TXT,   T_NS,    T_NS,  T_NS,
					 T_DS, T_DS, T_DNAME, T_CNAME, 65280, T_AAAA };
	struct rrkey rr = { some_name(r, c), type[prng_upto(r, 11)] };
	struct name apex = apex_name(&c->p);

	/* a DNAME at the apex hides all the rest: seldom */
	if (rr.n.len == apex.len && rr.type == T_DNAME && prng_upto(r, 5) != 0)
		rr.type = T_TXT;
	return rr;
}

static size_t find_rr(const struct zcase *c, const struct rrkey *r)
{
	size_t i = 0;

	while (i < c->nrr && rr_cmp(&c->rr[i], r) != 0)
		i++;
	return i;
}

static void zone_set(struct zcase *c, const struct change *ch)
{
	size_t i = find_rr(c, &ch->rr);

	if (ch->del && i < c->nrr)
		c->rr[i] = c->rr[--c->nrr];
	else if (!ch->del && i == c->nrr)
		c->rr[c->nrr++] = ch->rr;
}

static bool same_zone_rr(const struct zcase *c, const struct rrkey *r)
{
	return r->n.len == apex_name(&c->p).len && (r->type == T_SOA || r->type == T_NS);
}

static void new_changes(struct prng *r, struct zcase *c)
{
	size_t n = prng_upto(r, 2) ? 1 + prng_upto(r, 2) : 1 + prng_upto(r, CHANGES_MAX - 1), room;

	room = RRSETS_MAX - c->nrr;
	for (c->nch = 0; c->nch < n;) {
		struct change ch = { .rr = some_rr(r, c) };
		bool twice = false;

		/* leave or alter what is there as often as add, and keep the zone small */
		if (prng_upto(r, 39) < c->nrr) {
			ch.rr = c->rr[prng_upto(r, c->nrr - 1)];
			ch.del = prng_upto(r, 4) != 0;
		}
		for (size_t i = 0; i < c->nch; i++)
			twice |= rr_cmp(&c->ch[i].rr, &ch.rr) == 0;
		if (same_zone_rr(c, &ch.rr))
			ch.del = false;
		if (twice || (!ch.del && room == 0)) {
			n--;
			continue;
		}
		room -= !ch.del;
		c->ch[c->nch++] = ch;
	}
}

static void new_zone(struct prng *r, struct zcase *c, int mode)
{
	static const uint8_t zone[] = "\1z", root[] = "";
	struct change soa = { .rr = { .type = T_SOA } }, ns = { .rr = { .type = T_NS } };
	size_t n = prng_upto(r, 30);

	memset(c, 0, sizeof(*c));
	c->p = (struct denial_params){
		.kind = mode ? DENIAL_NSEC3 : DENIAL_NSEC,
		.opt_out = mode == 2,
		.set = mode ? (prng_upto(r, 1) ? 255 : 1) : 0,
		.ttl = TTL,
		.zone = prng_upto(r, 3) ? zone : root,
	};
	c->p.salt_len = (uint8_t)prng_upto(r, 2);
	soa.rr.n = ns.rr.n = apex_name(&c->p);
	zone_set(c, &soa);
	zone_set(c, &ns);
	for (size_t i = 0; i < n; i++) {
		struct change ch = { .rr = some_rr(r, c) };

		zone_set(c, &ch);
	}
}

static unsigned long long setting(const char *name, unsigned long long other)
{
	const char *s = getenv(name);

	return s ? strtoull(s, NULL, 0) : other;
}

START_TEST(property)
{
	unsigned long long seed = setting("SPLICE_SEED", 24), steps = setting("SPLICE_STEPS", 8000);
	struct prng r = prng_seed(seed * 3 + (unsigned)_i);
	static struct zcase c;
	char why[WHY_MAX];

	for (unsigned long long i = 0; i < steps; i++) {
		if (i % 20 == 0)
			new_zone(&r, &c, _i);
		new_changes(&r, &c);
		if (!case_ok(&c, why)) {
			fprintf(stderr, "SPLICE_SEED=%llu, step %llu: %s\n", seed, i, why);
			shrink(&c);
			ck_abort_msg("see above");
		}
		for (size_t j = 0; j < c.nch; j++)
			zone_set(&c, &c.ch[j]);
	}
}
END_TEST

/* --- single cases
 * ----------------------------------------------------------------------------------------- */

static struct zcase one;
static struct world w;
static struct splice_sums sums;
static uint8_t zone_wire[NAME_MAX_WIRE];

static struct rrkey rr_of(const char *owner, const char *type)
{
	uint8_t wire[NAME_MAX_WIRE];
	struct rrkey r;
	size_t len;

	MUST(name_from_text(owner, wire, &len) == 0);
	r.n.len = name_okey(wire, r.n.k);
	MUST(rr_type_from_text(type, &r.type) == 0);
	return r;
}

/* "owner TYPE" lines; those with + or - in front are the change. */
static void set_case(int mode, const char *zone, const char *const *line)
{
	size_t len;

	memset(&one, 0, sizeof(one));
	ck_assert_int_eq(name_from_text(zone, zone_wire, &len), 0);
	one.p = (struct denial_params){
		.kind = mode ? DENIAL_NSEC3 : DENIAL_NSEC,
		.opt_out = mode == 2,
		.set = mode ? 1 : 0,
		.ttl = TTL,
		.zone = zone_wire,
	};
	for (; *line; line++) {
		char owner[400], type[20];
		bool change = **line == '+' || **line == '-';

		ck_assert_int_eq(sscanf(*line + change, "%399s %19s", owner, type), 2);
		if (change)
			one.ch[one.nch++] = (struct change){ rr_of(owner, type), **line == '-' };
		else
			one.rr[one.nrr++] = rr_of(owner, type);
	}
}
#define SET(mode, zone, ...) set_case(mode, zone, (const char *const[]){ __VA_ARGS__, NULL })

static void good(void)
{
	char why[WHY_MAX];

	if (!case_ok(&one, why)) {
		shrink(&one);
		ck_abort_msg("%s", why);
	}
	world_open(&w, &one);
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
	world_close(&w);
}

START_TEST(nothing)
{
	SET(_i, "z.", "z. SOA", "z. NS", "a.z. A");
	good();
	ck_assert_uint_eq(sums.names + sums.records + sums.chain_new + sums.chain_changed + sums.chain_gone,
			  0);
	SET(_i, "z.", "z. SOA", "z. NS", "a.z. A", "+a.z. A"); /* other RDATA: the chain stays */
	good();
	ck_assert_uint_eq(sums.records, 1);
	ck_assert_uint_eq(sums.chain_new + sums.chain_changed + sums.chain_gone, 0);
}
END_TEST

START_TEST(one_record)
{
	SET(_i, "z.", "z. SOA", "z. NS", "a.z. A", "-a.z. A");
	good();
	ck_assert_uint_eq(sums.chain_gone, 1);
	ck_assert_uint_eq(sums.chain_changed, 1); /* the apex points to itself */
	SET(_i, "z.", "z. SOA", "z. NS", "+a.z. A");
	good();
	ck_assert_uint_eq(sums.chain_new, 1);
	ck_assert_uint_eq(sums.chain_changed, 1);
}
END_TEST

START_TEST(cut_comes)
{
	SET(_i, "z.", "z. SOA", "z. NS", "c.z. TXT", "x.y.c.z. A", "y.d.z. TXT", "*.c.z. MX", "n.c.z. NS",
	    "n.c.z. DS", "a.n.c.z. A", "+c.z. NS");
	good();
	ck_assert_uint_eq(sums.cuts_came, 1);
	ck_assert_uint_eq(sums.cuts_gone, 1); /* n.c.z. is hidden now */
	ck_assert_uint_eq(sums.lost, 4); /* TXT at the delegation, A, MX, DS */
	ck_assert_uint_eq(sums.records, 5);
	ck_assert_uint_eq(sums.chain_gone, _i == 0 ? 3u : _i == 1 ? 4u : 5u); /* y.c.z.; with opt-out c.z. */
}
END_TEST

START_TEST(cut_goes)
{
	SET(_i, "z.", "z. SOA", "z. NS", "c.z. NS", "c.z. TXT", "x.y.c.z. A", "-c.z. NS");
	good();
	ck_assert_uint_eq(sums.cuts_gone, 1);
	ck_assert_uint_eq(sums.gained, 2);
	ck_assert_uint_eq(sums.chain_new, _i == 0 ? 1 : _i == 1 ? 2 : 3);
}
END_TEST

START_TEST(dname_for_cut)
{
	SET(_i, "z.", "z. SOA", "z. NS", "c.z. NS", "x.y.c.z. A", "-c.z. NS", "+c.z. DNAME");
	good();
	ck_assert_uint_eq(sums.names, 1); /* hidden before and after: not looked at */
	ck_assert_uint_eq(sums.records, 1);
}
END_TEST

START_TEST(nested_bound)
{
	SET(_i, "z.", "z. SOA", "z. NS", "c.z. NS", "d.c.z. DNAME", "x.d.c.z. A", "y.x.d.c.z. NS",
	    "n.c.z. NS", "g.n.c.z. A", "n.c.z. DNAME", "-c.z. NS");
	good();
	ck_assert_uint_eq(sums.names, 3); /* what is hidden by d.c.z. and n.c.z. still is */
	ck_assert_uint_eq(sums.gained, 1); /* at n.c.z. nothing is signed */
	ck_assert_uint_eq(sums.cuts_came, 1);
	ck_assert_uint_eq(sums.cuts_gone, 1);
}
END_TEST

START_TEST(opt_out_secure)
{
	SET(2, "z.", "z. SOA", "z. NS", "c.e.z. NS", "+c.e.z. DS");
	good();
	ck_assert_uint_eq(sums.chain_new, 1);
	ck_assert_uint_eq(sums.cuts_changed, 0);
	SET(2, "z.", "z. SOA", "z. NS", "c.e.z. NS", "-c.e.z. NS"); /* the empty e.z. goes with it */
	good();
	ck_assert_uint_eq(sums.chain_gone, 1);
	ck_assert_uint_eq(sums.names, 2);
}
END_TEST

START_TEST(limits)
{
	SET(_i, "z.", "z. SOA", "z. NS", "a.c.z. A", "b.c.z. A", "c.d.e.f.z. A", "+c.z. NS", "-c.d.e.f.z. A");
	good();
	for (size_t limit = 0; limit <= sums.names + 1; limit++) {
		struct splice_sums s;

		world_open(&w, &one);
		ck_assert_int_eq(world_run(&w, limit, &s), limit < sums.names ? ZS_ELIMIT : 0);
		ck_assert_uint_le(s.names, limit);
		world_close(&w);
	}
}
END_TEST

/* Whatever fails, the run says so and leaves nothing open (leaks are the sanitizer's). */
START_TEST(failures)
{
	unsigned calls;
	uint64_t kv_calls;

	SET(_i, "z.", "z. SOA", "z. NS", "a.c.z. A", "b.c.z. A", "d.e.z. A", "+c.z. NS", "-d.e.z. A",
	    "+g.z. A");
	world_open(&w, &one);
	ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), 0);
	calls = w.calls;
	kv_calls = w.kv_calls;
	world_close(&w);
	for (unsigned i = 1; i <= calls; i++) {
		world_open(&w, &one);
		w.fail_call = i;
		ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), ZS_ECANCEL);
		world_close(&w);
	}
	for (uint64_t i = 1; i <= kv_calls; i++) {
		world_open(&w, &one);
		w.fail_kv = i;
		ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), ZS_EIO);
		world_close(&w);
	}
	for (int i = 1; i <= 2; i++) {
		world_open(&w, &one);
		w.fail_open = i;
		ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), ZS_EIO);
		world_close(&w);
	}
}
END_TEST

START_TEST(bad_keys)
{
	static const struct {
		const char *key;
		size_t len;
	} bad[] = {
		{ "\x10wo", 3 },     { "\x20z\0\0", 4 }, { "\x20y\0\0\0\1", 6 },
		{ "\x20\0\0\1", 4 }, { "\x30\0z\0", 4 }, { "", 0 },
	};

	SET(0, "z.", "z. SOA", "z. NS", "+a.z. A", "+b.z. A");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		world_open(&w, &one);
		memcpy(w.key[0], bad[i].key, bad[i].len);
		w.klen[0] = bad[i].len;
		ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), ZS_EINVAL);
		world_close(&w);
	}
	world_open(&w, &one); /* twice the same */
	memcpy(w.key[1], w.key[0], w.klen[0]);
	w.klen[1] = w.klen[0];
	ck_assert_int_eq(world_run(&w, NAMES_MAX, NULL), ZS_EINVAL);
	world_close(&w);
}
END_TEST

/* The record of `from` is said to be of another name: as if both had the same hash. */
static void forge(const char *from, const char *src)
{
	uint8_t name[NAME_MAX_WIRE], hash[NSEC3_HASH_LEN], key[KEY_MAX];
	struct nsec3_ctx *ctx = nsec3_ctx_new();
	struct arena *mem = arena_new(0);
	struct rrkey r = rr_of(src, "A");
	struct wr out = wr_growing(65536);
	struct kv_item it;
	struct rrset set;
	size_t len;

	ck_assert_int_eq(name_from_text(from, name, &len), 0);
	ck_assert_int_eq(nsec3_hash(ctx, &one.p, name, hash), 0);
	ck_assert_int_eq(kv_get(w.kv[0], key, key_nsec3(key, 1, hash), &it), 0);
	ck_assert_int_eq(rrset_decode(&set, T_NSEC3, name, it.val, it.vlen, mem), 0);
	set.src = r.n.k;
	set.src_len = (uint16_t)r.n.len;
	rrset_encode(&set, &out);
	ck_assert_int_eq(kv_put(w.kv[0], key, key_nsec3(key, 1, hash), out.p, out.len), 0);
	wr_free(&out);
	arena_free(mem);
	nsec3_ctx_free(ctx);
}

START_TEST(hash_clash)
{
	char text[2][NAME_MAX_TEXT];

	SET(1, "z.", "z. SOA", "z. NS", "a.z. A", "b.z. A", "+a.z. TXT");
	world_open(&w, &one);
	forge("a.z.", "b.z.");
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), ZS_EHELD);
	ck_assert_str_eq(name_to_text(sums.clash[0], text[0]), "b.z.");
	ck_assert_str_eq(name_to_text(sums.clash[1], text[1]), "a.z.");
	world_close(&w);
	/* the other one is not in the chain any more: the record is taken over */
	world_open(&w, &one);
	forge("a.z.", "q.z.");
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
	ck_assert_int_eq(check_chain(&w), 0);
	ck_assert_uint_eq(sums.chain_changed, 1);
	world_close(&w);
	/* so it is when nothing else differs */
	SET(1, "z.", "z. SOA", "z. NS", "a.z. A", "b.z. A", "+a.z. A");
	world_open(&w, &one);
	forge("a.z.", "q.z.");
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
	ck_assert_int_eq(check_chain(&w), 0);
	ck_assert_uint_eq(sums.chain_changed, 1);
	world_close(&w);
	/* a name that goes does not take another's record along */
	SET(1, "z.", "z. SOA", "z. NS", "a.z. A", "b.z. A", "-a.z. A");
	world_open(&w, &one);
	forge("a.z.", "b.z.");
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
	ck_assert_uint_eq(sums.chain_gone, 0);
	world_close(&w);
}
END_TEST

START_TEST(other_parameters)
{
	SET(1, "z.", "z. SOA", "z. NS", "a.z. A", "+a.z. TXT");
	world_open(&w, &one);
	one.p.opt_out = true; /* the flag follows where something is written */
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
	ck_assert_uint_eq(sums.chain_changed, 2);
	ck_assert_uint_eq(sums.chain_new + sums.chain_gone, 0);
	world_close(&w);
	world_open(&w, &one);
	one.p.salt_len = 1; /* another chain: the records beside would be wrong */
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), ZS_EINVAL);
	one.p.salt_len = NSEC3_SALT_MAX + 1;
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), ZS_ELIMIT);
	world_close(&w);
}
END_TEST

START_TEST(damage)
{
	uint8_t val[1000];
	struct kv_item it;

	SET(_i, "z.", "z. SOA", "z. NS", "a.z. A", "+b.z. A");
	world_open(&w, &one);
	ck_assert_int_eq(kv_seek(w.kv[0], "\x30", 1, &it), 0);
	ck_assert_uint_le(it.vlen, sizeof(val));
	memcpy(val, it.val, it.vlen);
	val[it.vlen - 1] ^= 1;
	ck_assert_int_eq(kv_put(w.kv[0], it.key, it.klen, val, it.vlen), 0);
	ck_assert_int_eq(kv_seek(w.kv[0], "\x31", 1, &it), ZS_ENOENT);
	ck_assert_int_eq(kv_seek_lt(w.kv[0], "\x31", 1, &it), 0);
	memcpy(val, it.val, it.vlen);
	val[it.vlen - 1] ^= 1;
	ck_assert_int_eq(kv_put(w.kv[0], it.key, it.klen, val, it.vlen), 0);
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), ZS_ECRC);
	world_close(&w);
}
END_TEST

START_TEST(long_zone)
{
	char zone[256];

	memset(zone, 'a', sizeof(zone));
	zone[63] = zone[127] = zone[191] = zone[221] = '.'; /* 223 octets: 33 more do not fit */
	zone[222] = '\0';
	memset(&one, 0, sizeof(one));
	SET(1, zone, "+a. A");
	one.ch[0].rr = rr_of(zone, "SOA");
	memset(&w, 0, sizeof(w));
	world_open(&w, &one);
	ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), ZS_ELIMIT);
	world_close(&w);
}
END_TEST

/*
 * The work does not follow the size of the zone: reads are counted. An empty name above very many insecure
 * delegations, delegations with very many names below, long runs without a chain record.
 */
#define MANY 5000

static void many(struct kv *kv, char first, const char *zone, const char *type)
{
	for (int i = 0; i < MANY; i++) {
		char owner[100];
		struct rrkey r;

		snprintf(owner, sizeof(owner), "%c%d.%s", first, i, zone);
		r = rr_of(owner, type);
		put_rr(kv, &r);
	}
}

START_TEST(work)
{
	static const struct {
		const char *rr, *type;
		bool del;
		unsigned names;
	} change[] = {
		{ "x.ent.z.", "NS", false, 1 }, { "c77.ent.z.", "NS", true, 1 },
		{ "ent.z.", "A", false, 1 },    { "a.b.c.d.z.", "A", false, 4 },
		{ "cut.z.", "DS", false, 1 },   { "g1.cut.z.", "TXT", false, 1 },
		{ "z.", "TXT", false, 1 },      { "x.g1.cut.z.", "NS", false, 1 },
	};

	for (size_t i = 0; i < sizeof(change) / sizeof(change[0]); i++) {
		SET(2, "z.", "z. SOA", "z. NS", "cut.z. NS");
		one.nch = 1;
		one.ch[0] = (struct change){ rr_of(change[i].rr, change[i].type), change[i].del };
		world_open(&w, &one);
		for (int j = 0; j < 2; j++) {
			many(w.kv[j], 'c', "ent.z.", "NS");
			many(w.kv[j], 'g', "cut.z.", "A");
		}
		whole_chain(w.mem[0], w.kv[0], &one.p);
		if (one.ch[0].del)
			kv_del(w.kv[1], w.key[0], w.klen[0]);
		ck_assert_int_eq(world_run(&w, NAMES_MAX, &sums), 0);
		ck_assert_uint_le(sums.names, change[i].names + 1);
		ck_assert_uint_lt(w.kv_calls, 150);
		world_close(&w);
	}
}
END_TEST

/* A delegation that hides many names, to the limit exactly. */
START_TEST(wide)
{
	static const int n = MANY / 2;

	SET(_i, "z.", "z. SOA", "z. NS", "+c.z. NS");
	world_open(&w, &one);
	for (int j = 0; j < 2; j++)
		for (int i = 0; i < n; i++) {
			char owner[100];
			struct rrkey r;

			snprintf(owner, sizeof(owner), "n%d.c.z.", i);
			r = rr_of(owner, "NS");
			put_rr(w.kv[j], &r);
			snprintf(owner, sizeof(owner), "g.n%d.c.z.", i);
			r = rr_of(owner, "A");
			put_rr(w.kv[j], &r);
		}
	ck_assert_int_eq(world_run(&w, (size_t)n, &sums), ZS_ELIMIT);
	ck_assert_int_eq(world_run(&w, (size_t)n + 1, &sums), 0);
	ck_assert_uint_eq(sums.cuts_gone, (uint64_t)n);
	ck_assert_uint_eq(sums.records, 1); /* insecure delegations have nothing signed, hidden or not */
	world_close(&w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("splice");
	TCase *c = tcase_create("cases");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 60);
	tcase_add_loop_test(c, nothing, 0, 3);
	tcase_add_loop_test(c, one_record, 0, 3);
	tcase_add_loop_test(c, cut_comes, 0, 3);
	tcase_add_loop_test(c, cut_goes, 0, 3);
	tcase_add_loop_test(c, dname_for_cut, 0, 3);
	tcase_add_loop_test(c, nested_bound, 0, 3);
	tcase_add_test(c, opt_out_secure);
	tcase_add_loop_test(c, limits, 0, 3);
	tcase_add_loop_test(c, failures, 0, 3);
	tcase_add_test(c, bad_keys);
	tcase_add_test(c, hash_clash);
	tcase_add_test(c, other_parameters);
	tcase_add_loop_test(c, damage, 0, 3);
	tcase_add_test(c, long_zone);
	tcase_add_test(c, work);
	tcase_add_loop_test(c, wide, 0, 3);
	suite_add_tcase(s, c);
	c = tcase_create("random");
	tcase_set_timeout(c, 0);
	tcase_add_loop_test(c, property, 0, 3);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
