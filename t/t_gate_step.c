/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What versions say of themselves (gate_step): silence on what the store writes over random versions, and the
 * name of the check on every fault that is put into such an entry, everything else of it made right again.
 */
#include "step_rig.h"

#include "gate/gate.h"
#include "t_suite.h"

START_TEST(good_versions)
{
	struct world *w = world_new(0x77 + (uint64_t)_i);

	for (int i = 0; i < VERSIONS; i++) {
		w->big = i == 20 ? 700 : 0;
		w->still = prng_upto(&w->rnd, 2) == 0;
		w->does = prng_upto(&w->rnd, 2);
		make_version(w, prng_upto(&w->rnd, 4) != 0, _i & 1 ? shorten : judge_view);
	}
	ck_assert_uint_ge(judged, VERSIONS);
	ck_assert(w->merges > 0 || !(_i & 1));
	world_free(w);
}
END_TEST

static size_t chunks[2];

static void one_sided(struct world *w, struct view *v)
{
	struct hentry e;
	struct kv *kv;
	bool adds = w->does == ADDS;

	judge_view(w, v);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	ck_assert_int_eq(hentry_read(kv, TAB_USERDIFF, view_base(v) + 1, &e), 0);
	kv_close(kv);
	ck_assert((e.head.added > 0) == adds && (e.head.removed > 0) == !adds);
	chunks[adds] = e.head.chunks;
}

/* Where upstream's SOA stays, nothing must be in both halves. */
START_TEST(one_half_alone)
{
	struct world *w = world_new(6);

	w->big = _i ? 1500 : 40;
	make_version(w, false, judge_view);
	w->still = true;
	for (int i = 0; i < 4; i++) {
		w->does = i & 1 ? ADDS : REMOVES;
		make_version(w, false, one_sided);
		ck_assert((chunks[i & 1] > 3) == _i);
	}
	world_free(w);
}
END_TEST

/* What is larger than history may be is dropped in the version that wrote it, its last chunks later. */
static void drop_all(struct world *w, struct view *v)
{
	struct history_limits lim = { 12, 100, 100, 20 * 600 };

	ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
	judge_view(w, v);
}

START_TEST(dropped_at_once)
{
	struct world *w = world_new(3);

	make_version(w, false, judge_view);
	w->big = 900;
	make_version(w, false, drop_all);
	w->big = 0;
	make_version(w, false, judge_view);
	ck_assert_uint_eq(check_served(w), 1);
	world_free(w);
}
END_TEST

static void put_rr(struct kv *kv, uint16_t type, const uint8_t *owner, struct rr_item *rr, uint32_t n)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	struct rrset set = { .owner = owner, .type = type, .nrr = n, .rr = rr };

	put_set(kv, key, key_record(key, okey, name_okey(owner, okey), type), &set);
}

/* What is served otherwise than it is stored. */
static void odd_records(struct world *w, struct view *v)
{
	uint8_t owner[NAME_MAX_WIRE], zone[] = "\7EXAMPLE\3com", serial[22];
	uint8_t a[30] = { 0, 1 }, b[30] = { 0, 2 };
	struct rr_item sig[] = { { .ttl = 60, .len = 30, .data = a }, { .ttl = 90, .len = 30, .data = b } };
	struct rr_item mx[] = { { .ttl = 60, .len = 5, .data = (const uint8_t *)"\0\1\1A" },
				{ .ttl = 30, .len = 5, .data = (const uint8_t *)"\0\1\1a" } };
	struct rr_item soa = { .ttl = 60, .data = serial };
	struct history_head h = { .time = w->now, .kind = HISTORY_USER }, u;
	uint8_t was[22], is[22];
	struct history_soa up = { was, 0, 3600 }, to = { is, 0, 3600 };
	struct snap *sn;
	struct kv *kv, *base;
	size_t len;

	ck_assert_int_eq(view_kv(v, &kv), 0);
	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &base), 0);
	snap_unref(sn);
	ck_assert_int_eq(name_from_text("a\\000\\001.Case.example.com.", owner, &len), 0);
	sig[w->n & 1].ttl += (uint32_t)w->n;
	mx[0].ttl += (uint32_t)w->n;
	mx[1].ttl += (uint32_t)w->n & 2;
	put_rr(kv, T_RRSIG, owner, sig, 2);
	owner[5] ^= (uint8_t)((w->n & 1) << 5);
	put_rr(kv, T_MX, owner, mx, 2);
	soa.len = (uint16_t)soa_rdata(serial, w->st[w->n - 1].serial + 1);
	put_rr(kv, T_SOA, zone, &soa, 1);
	u = h;
	ck_assert_int_eq(history_write(v, base, &h), 0);
	u.from_serial = h.from_serial;
	u.to_serial = h.to_serial;
	up.len = (uint16_t)soa_rdata(was, w->upstream - 1);
	to.len = (uint16_t)soa_rdata(is, w->upstream);
	ck_assert_int_eq(history_write_user(v, base, &up, &to, &u), 0);
	kv_close(kv);
	kv_close(base);
	judge_view(w, v);
}

START_TEST(odd_versions)
{
	struct world *w = world_new(4);

	make_version(w, false, judge_view);
	for (int i = 0; i < 8; i++)
		make_version(w, false, odd_records);
	ck_assert_uint_eq(judged, 9);
	world_free(w);
}
END_TEST

/* A gap is legal whatever older history looks like: what cannot be read there must not hold up refreshes. */
START_TEST(a_gap_over_damaged_totals)
{
	struct world *w = world_new(5);
	struct cand c = { .w = w, .gaps = GATE_SERVED | GATE_UPSTREAM, .verbose = true };
	uint8_t key[KEY_MAX], serial[22];
	struct rr_item soa = { .ttl = 60, .data = serial };
	struct kv *kv;

	make_version(w, false, judge_view);
	ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
	ck_assert_int_eq(view_new(c.sn, &c.v), 0);
	c.version = view_base(c.v) + 1;
	ck_assert_int_eq(view_kv(c.v, &kv), 0);
	soa.len = (uint16_t)soa_rdata(serial, w->st[w->n - 1].serial + 1);
	put_rr(kv, T_SOA, ZONE, &soa, 1);
	ck_assert_int_eq(kv_put(kv, key, key_meta(key, "history"), "\1\0\0\0\0", 5), 0);
	kv_close(kv);
	ck_assert_uint_eq(judge(&c), 0);
	c.gaps = 0;
	c.verbose = false;
	ck_assert_uint_ne(judge(&c), 0);
	view_free(c.v);
	snap_unref(c.sn);
	world_free(w);
}
END_TEST

/* --- faults --------------------------------------------------------------------------------------------- */

static const struct fault *spoilt_by;
static enum history_table spoilt_table;

static void spoil(struct world *w, struct view *v)
{
	struct cand c = { .w = w, .v = v, .version = view_base(v) + 1, .t = spoilt_table };

	spoil_cand(&c, spoilt_by);
}

START_TEST(seeded_faults)
{
	ck_assert_uint_eq(nfaults, FAULTS);
	spoilt_by = &faults[_i];
	for (unsigned n = 0; n < 4; n++) {
		struct world *w = world_new(n + 1);

		spoilt_table = n >= 2 ? HISTORY_UPSTREAM : HISTORY_SERVED;
		w->big = n == 3 ? 1200 : n == 2 ? 400 : 120;
		make_version(w, false, judge_view);
		if (n < 3)
			make_version(w, false, judge_view);
		w->still = n == 3;
		w->does = w->still ? REMOVES : MIXED;
		make_version(w, false, spoil);
		world_free(w);
	}
}
END_TEST

/* --- merged entries ------------------------------------------------------------------------------------- */

#define MERGED(name) static void m_##name(struct entry *e)
static struct hrec *end_of(struct entry *e, int half)
{
	return &e->half[half].a[e->half[half].n - 1];
}

MERGED(none) { (void)e; }
MERGED(lost_came) { e->half[1].n--; }
MERGED(lost_gone) { e->half[0].n--; }
MERGED(side) { list_add(&e->half[0], end_of(e, 1)); e->half[1].n--; }
MERGED(ttl) { end_of(e, 1)->ttl++; }
MERGED(rdata) { other_rdata(e, end_of(e, 0)); }
MERGED(sig) { end_of(e, 1)->sig ^= 1; }
MERGED(soa) { end_of(e, 0)->rdata = e->half[1].a[0].rdata; }
MERGED(order)
{
	struct hrec keep = *end_of(e, 1);

	*end_of(e, 1) = e->half[1].a[1];
	e->half[1].a[1] = keep;
}
MERGED(serial_from) { e->e.head.from_serial++; }
MERGED(serial_to) { e->e.head.to_serial++; }
MERGED(first) { e->e.head.first++; }
MERGED(first_less) { e->e.head.first--; }
MERGED(kind) { e->e.head.kind = HISTORY_ROUTINE; }
MERGED(gone) { e->raw = true; }

static const struct fault merge_faults[] = {
#define F(name) { #name, m_##name }
	F(none), F(lost_came), F(lost_gone), F(side), F(ttl), F(rdata), F(sig), F(soa), F(order),
	F(serial_from), F(serial_to), F(first), F(first_less), F(kind), F(gone),
#undef F
};

/* The entry beside its own that the version writes; 0: none. */
static uint64_t merged_entry(const struct cand *c)
{
	void *pos = NULL;
	const uint8_t *key, *val;
	size_t klen, vlen;
	bool deleted;

	while (view_next_change(c->v, &pos, &key, &klen, &val, &vlen, &deleted) == 0)
		if (key[0] == TAB_HISTORY && !deleted && be64(key + 1) != c->version)
			return be64(key + 1);
	return 0;
}

static void spoil_merged(struct world *w, struct view *v)
{
	struct cand c = { .w = w, .v = v, .version = view_base(v) + 1 }, m = c;
	bool merged;

	ck_assert_int_eq(history_merge(v, w->now, 3600, &merged), 0);
	m.version = merged_entry(&c);
	ck_assert(merged == (m.version != 0));
	if (!merged)
		return;
	w->merges++;
	ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
	ck_assert_int_eq(view_kv(v, &m.kv), 0);
	for (size_t i = 0; i <= sizeof merge_faults / sizeof *merge_faults; i++) {
		const struct fault *f = &merge_faults[i % (sizeof merge_faults / sizeof *merge_faults)];
		struct entry e, good;

		entry_load(&e, &m);
		entry_load(&good, &m);
		f->make(&e);
		if (e.raw)
			ck_assert_int_eq(hentry_delete(m.kv, TAB_HISTORY, m.version), 0);
		else
			entry_store(&e);
		ck_assert_msg((judge(&c) != 0) == (f != merge_faults), "fault %s", f->name);
		entry_store(&good);
		arena_free(e.mem);
		arena_free(good.mem);
	}
	kv_close(m.kv);
	snap_unref(c.sn);
}

START_TEST(merged_faults)
{
	struct world *w = world_new(21);

	w->big = 12;
	for (int i = 0; i < VERSIONS / 2; i++)
		make_version(w, i % 8 != 0, spoil_merged);
	ck_assert_uint_gt(w->merges, 3);
	world_free(w);
}
END_TEST

/* What is no content of upstream's. */
static void put_ours(struct kv *kv)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	struct rr_item rr = { .len = 1, .data = (const uint8_t *)"x" };
	struct rrset set = { .owner = ZONE, .type = T_TXT, .flags = RRV_OURS, .nrr = 1, .rr = &rr };

	put_set(kv, key, key_record(key, okey, name_okey(ZONE, okey), T_TXT), &set);
}

/* An entry where the serial stayed, and of a first version. */
START_TEST(no_entry_wanted)
{
	struct world *w = world_new(9);
	struct cand c = { .w = w };
	struct history_head h = { .from_serial = 1, .to_serial = 2, .kind = HISTORY_USER };
	struct hwriter hw;
	struct hrec r = { .rdlen = 1, .rdata = (const uint8_t *)"x" };
	uint8_t key[KEY_MAX], okey[OKEY_MAX];

	r.key = key;
	r.klen = (uint16_t)key_record(key, okey, name_okey(ZONE, okey), T_TXT);
	for (int i = 0; i < 2; i++) {
		if (i) {
			make_version(w, false, judge_view);
			ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
		}
		ck_assert_int_eq(view_new(c.sn, &c.v), 0);
		ck_assert_int_eq(view_kv(c.v, &c.kv), 0);
		put_ours(c.kv);
		h.version = c.version = view_base(c.v) + 1;
		ck_assert_uint_eq(judge(&c), 0);
		hwriter_begin(&hw, c.kv, HISTORY_SERVED, &h, ZONE);
		ck_assert_int_eq(hwriter_end(&hw, hwriter_add(&hw, &r, true), &h), 0);
		ck_assert_uint_eq(judge(&c), 1);
		kv_close(c.kv);
		view_free(c.v);
		snap_unref(c.sn);
	}
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gate_step");
	TCase *t = tcase_create("gate_step");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, good_versions, 0, 6);
	tcase_add_loop_test(t, one_half_alone, 0, 2);
	tcase_add_test(t, dropped_at_once);
	tcase_add_test(t, odd_versions);
	tcase_add_test(t, no_entry_wanted);
	tcase_add_test(t, a_gap_over_damaged_totals);
	tcase_add_test(t, merged_faults);
	tcase_add_loop_test(t, seeded_faults, 0, FAULTS);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
