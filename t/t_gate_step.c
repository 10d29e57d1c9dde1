/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What versions say of themselves (gate_step): silence on what the store writes over random versions, and the
 * name of the check on every fault that is put into such an entry, everything else of it made right again.
 */
#include "history_rig.h"

#include "base/crc.h"
#include "dns/served.h"
#include "gate/gate.h"
#include "t_suite.h"

/* --- a version that is not committed yet ---------------------------------------------------------------- */

struct cand {
	struct world *w;
	struct snap *sn;
	struct view *v;
	struct kv *kv;
	uint64_t version;
	bool gap;
	bool verbose;
};

static int open_base(void *ctx, struct kv **out)
{
	struct cand *c = ctx;

	return snap_kv(c->sn, out);
}

struct changes { struct view *v; void *pos; };

static int next_change(void *ctx, const uint8_t **key, size_t *klen)
{
	struct changes *c = ctx;
	const uint8_t *val;
	size_t vlen;
	bool deleted;

	return view_next_change(c->v, &c->pos, key, klen, &val, &vlen, &deleted);
}

/* How many findings; none has another name. */
static uint64_t judge(struct cand *c)
{
	struct gate_params p = { .zone = ZONE, .zone_len = name_len(ZONE), .unsigned_zone = true,
				 .now = c->w->now };
	struct changes it = { .v = c->v };
	const struct gate_finding *f;
	struct gate *g;
	struct kv *kv;
	uint64_t n;

	if (c->sn) {
		p.open_base = open_base;
		p.base_ctx = c;
	}
	g = gate_new(&p);
	ck_assert_ptr_nonnull(g);
	ck_assert_int_eq(view_kv(c->v, &kv), 0);
	ck_assert_int_eq(gate_step(g, kv, c->version, c->gap, next_change, &it), 0);
	n = gate_count(g, GATE_HISTORY);
	ck_assert_uint_eq(n, gate_total(g));
	for (size_t i = 0; c->verbose && i < gate_findings(g, &f); i++)
		fprintf(stderr, "  [%s] %s\n", gate_check_label(f[i].check), f[i].text);
	kv_close(kv);
	gate_free(g);
	return n;
}

static unsigned judged;

static void judge_view(struct world *w, struct view *v)
{
	struct cand c = { .w = w, .v = v, .version = view_base(v) + 1, .verbose = true };

	store_snap(w->s, &c.sn);
	ck_assert_uint_eq(judge(&c), 0);
	snap_unref(c.sn);
	judged++;
}

static void shorten(struct world *w, struct view *v)
{
	struct history_limits lim = { 12, 1 << 20, 1 << 20, 20 * 600 };
	bool merged;

	ck_assert_int_eq(history_merge(v, w->now, 3600, &merged), 0);
	w->merges += merged;
	ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
	judge_view(w, v);
}

START_TEST(good_versions)
{
	struct world *w = world_new(0x77 + (uint64_t)_i);

	for (int i = 0; i < VERSIONS; i++) {
		w->big = i == 20 ? 700 : 0;
		make_version(w, prng_upto(&w->rnd, 4) != 0, _i & 1 ? shorten : judge_view);
	}
	ck_assert_uint_ge(judged, VERSIONS);
	ck_assert(w->merges > 0 || !(_i & 1));
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
	struct history_head h = { .time = w->now, .kind = HISTORY_USER };
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
	ck_assert_int_eq(history_write(v, base, &h), 0);
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
	struct cand c = { .w = w, .gap = true, .verbose = true };
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
	c.gap = false;
	c.verbose = false;
	ck_assert_uint_ne(judge(&c), 0);
	view_free(c.v);
	snap_unref(c.sn);
	world_free(w);
}
END_TEST

/* --- entries, taken apart and put together again -------------------------------------------------------- */

struct list { struct hrec *a; size_t n; };
struct entry {
	struct cand *c;
	struct arena *mem;
	struct hentry e;
	struct list half[2]; /* what goes, what comes */
	bool raw;            /* stored by the fault itself */
};

static void half_load(struct entry *e, bool added)
{
	struct list *l = &e->half[added];
	struct hcur cur;

	l->a = arena_alloc(e->mem, ((added ? e->e.head.added : e->e.head.removed) + 8u) * sizeof *l->a);
	hcur_init(&cur, e->c->kv, TAB_HISTORY, &e->e, added);
	while (hcur_next(&cur) == 0) {
		struct hrec *r = &l->a[l->n++];

		*r = cur.rec;
		r->key = arena_dup(e->mem, r->key, r->klen);
		r->rdata = arena_dup(e->mem, r->rdata, r->rdlen);
		if (r->owner)
			r->owner = arena_dup(e->mem, r->owner, name_len(r->owner));
	}
	hcur_free(&cur);
}

static void entry_load(struct entry *e, struct cand *c)
{
	*e = (struct entry){ .c = c, .mem = arena_new(0) };
	ck_assert_int_eq(hentry_read(c->kv, TAB_HISTORY, c->version, &e->e), 0);
	half_load(e, false);
	half_load(e, true);
	ck_assert_uint_gt(e->half[0].n, 2);
	ck_assert_uint_gt(e->half[1].n, 2);
}

static void entry_store(struct entry *e)
{
	struct history_head h = e->e.head;
	struct hwriter w;
	int rc = 0;

	ck_assert_int_eq(hentry_delete(e->c->kv, TAB_HISTORY, e->c->version), 0);
	hwriter_begin(&w, e->c->kv, HISTORY_SERVED, &h, ZONE);
	for (int half = 0; half < 2; half++)
		for (size_t i = 0; !rc && i < e->half[half].n; i++)
			rc = hwriter_add(&w, &e->half[half].a[i], half);
	ck_assert_int_eq(hwriter_end(&w, rc, &h), 0);
}

/* One in the middle: no SOA, a signature or not. */
static struct hrec *pick(struct entry *e, int half, bool sig)
{
	struct list *l = &e->half[half];

	for (size_t i = l->n / 3; i < l->n; i++)
		if (l->a[i].sig == sig && l->a[i].rdlen > 4)
			return &l->a[i];
	ck_abort_msg("no such record");
	return NULL;
}

static uint8_t *own(struct entry *e, const uint8_t *p, size_t len)
{
	return arena_dup(e->mem, p, len);
}

static int rec_cmp(const void *a, const void *b)
{
	return hrec_cmp(a, b);
}

static void list_sort(struct list *l)
{
	qsort(l->a, l->n, sizeof *l->a, rec_cmp);
}

static void list_add(struct list *l, const struct hrec *r)
{
	struct hrec copy = *r;

	l->a[l->n++] = copy;
	list_sort(l);
}

static void list_del(struct list *l, struct hrec *r)
{
	memmove(r, r + 1, (size_t)(l->a + l->n - r - 1) * sizeof *r);
	l->n--;
}

static void other_rdata(struct entry *e, struct hrec *r)
{
	uint8_t *p = own(e, r->rdata, r->rdlen);

	p[r->rdlen - 1] ^= 0x40;
	r->rdata = p;
}

/* --- faults --------------------------------------------------------------------------------------------- */

#define MERGED(name) static void m_##name(struct entry *e)
#define FAULT(name) static void f_##name(struct entry *e) /* a row of the table below calls it */
FAULT(none) { (void)e; }
FAULT(lost_gone) { list_del(&e->half[0], pick(e, 0, false)); }
FAULT(lost_came) { list_del(&e->half[1], pick(e, 1, false)); }
FAULT(lost_sig) { list_del(&e->half[1], pick(e, 1, true)); }
FAULT(lost_last) { e->half[1].n--; }
FAULT(lost_second) { list_del(&e->half[0], &e->half[0].a[1]); }
FAULT(more_gone) { struct hrec r = *pick(e, 0, false); other_rdata(e, &r); list_add(&e->half[0], &r); }
FAULT(more_came) { struct hrec r = *pick(e, 1, false); other_rdata(e, &r); list_add(&e->half[1], &r); }
FAULT(more_sig) { struct hrec r = *pick(e, 1, true); other_rdata(e, &r); list_add(&e->half[1], &r); }
FAULT(twice) { list_add(&e->half[1], pick(e, 1, false)); }
FAULT(rdata) { other_rdata(e, pick(e, 1, false)); list_sort(&e->half[1]); }
FAULT(sig_octet) { other_rdata(e, pick(e, 1, true)); list_sort(&e->half[1]); }
FAULT(short_rdata) { pick(e, 0, false)->rdlen--; list_sort(&e->half[0]); }
FAULT(ttl_gone) { pick(e, 0, false)->ttl++; }
FAULT(ttl_came) { pick(e, 1, false)->ttl--; }
FAULT(ttl_sig) { pick(e, 1, true)->ttl++; }
FAULT(side_came) { struct hrec *r = pick(e, 0, false); list_add(&e->half[1], r); list_del(&e->half[0], r); }
FAULT(side_gone) { struct hrec *r = pick(e, 1, true); list_add(&e->half[0], r); list_del(&e->half[1], r); }
FAULT(sides) { struct list l = e->half[0]; e->half[0] = e->half[1]; e->half[1] = l; }
FAULT(both) /* goes and comes: only what stays the same may not be in it */
{
	struct hrec r = *pick(e, 1, false);

	other_rdata(e, &r);
	list_add(&e->half[0], &r);
	list_add(&e->half[1], &r);
}
FAULT(sig_of_other) /* two RRsets with each other's signatures */
{
	struct hrec *a = pick(e, 1, true), *b = a + 1;
	const uint8_t *p = a->rdata;

	while (!b->sig || memcmp(a->rdata, b->rdata, a->rdlen) == 0)
		b++;
	a->rdata = b->rdata;
	b->rdata = p;
}
FAULT(sig_as_record) { pick(e, 1, true)->sig = false; list_sort(&e->half[1]); }
FAULT(record_as_sig) { pick(e, 1, false)->sig = true; list_sort(&e->half[1]); }
FAULT(soa_before) { other_rdata(e, &e->half[0].a[0]); }
FAULT(soa_after) { other_rdata(e, &e->half[1].a[0]); }
FAULT(soa_ttl) { e->half[1].a[0].ttl++; }
FAULT(soa_same) { e->half[1].a[0].rdata = e->half[0].a[0].rdata; }
FAULT(no_soa_before) { list_del(&e->half[0], e->half[0].a); }
FAULT(no_soa_after) { list_del(&e->half[1], e->half[1].a); }
FAULT(soa_twice) { list_add(&e->half[1], e->half[1].a); }
FAULT(other_key) /* of an RRset that did not change */
{
	struct hrec *r = pick(e, 1, false);
	uint8_t *key = own(e, r->key, r->klen);

	key[r->klen - 1] ^= 0x40;
	r->key = key;
	list_sort(&e->half[1]);
}
FAULT(behind) /* all that changed */
{
	struct hrec r = e->half[1].a[e->half[1].n - 1];
	uint8_t *key = own(e, r.key, r.klen);

	ck_assert(key[0] == TAB_DENIAL && key[1] == 1);
	key[1] = 2;
	r.key = key;
	list_add(&e->half[1], &r);
}
FAULT(owner_case)
{
	uint8_t owner[NAME_MAX_WIRE];
	struct hrec *r = pick(e, 1, false);
	uint16_t type;
	size_t len = 0;

	while (r->key[0] != TAB_RECORDS || r->sig)
		r--;
	if (r->owner)
		memcpy(owner, r->owner, len = name_len(r->owner));
	else if (served_key(ZONE, r->key, r->klen, owner, &type) == 0)
		len = name_len(owner);
	owner[1] ^= 0x20;
	r->owner = own(e, owner, len);
	list_sort(&e->half[1]);
}
FAULT(order)
{
	struct hrec *r = pick(e, 1, false), keep = *r;

	*r = r[1];
	r[1] = keep;
}
FAULT(order_keys)
{
	struct list *l = &e->half[1];
	struct hrec keep = l->a[l->n - 1];

	l->a[l->n - 1] = l->a[1];
	l->a[1] = keep;
}
FAULT(half_gone) { e->half[0].n = 1; }
FAULT(half_came) { e->half[1].n = 1; }
FAULT(serial_from) { e->e.head.from_serial++; }
FAULT(serial_to) { e->e.head.to_serial--; }
FAULT(merged) { e->e.head.kind |= HISTORY_MERGED; }
FAULT(older) { e->e.head.first--; }
FAULT(gone) { ck_assert_int_eq(hentry_delete(e->c->kv, TAB_HISTORY, e->c->version), 0); e->raw = true; }
FAULT(gap) { e->c->gap = true; }
FAULT(other_version)
{
	f_gone(e);
	e->e.head.version++;
	e->raw = false;
}
FAULT(totals)
{
	struct history_total t[2];

	ck_assert_int_eq(history_totals(e->c->kv, t), 0);
	t[HISTORY_SERVED].newest--;
	ck_assert_int_eq(totals_put(e->c->kv, t), 0);
}
FAULT(totals_none)
{
	struct history_total t[2];

	ck_assert_int_eq(history_totals(e->c->kv, t), 0);
	t[HISTORY_SERVED].entries = 0;
	ck_assert_int_eq(totals_put(e->c->kv, t), 0);
}
FAULT(totals_bad)
{
	uint8_t key[KEY_MAX];

	ck_assert_int_eq(kv_put(e->c->kv, key, key_meta(key, "history"), "\1\0\0\0\0", 5), 0);
}

/* A chunk with `cut` octets less at its end, one octet of it changed, its CRC right if so wanted. */
static void poke(struct entry *e, uint32_t chunk, size_t cut, size_t at, uint8_t by, bool crc)
{
	uint8_t key[KEY_MAX], val[1 << 16];
	size_t klen = key_chunk(key, TAB_HISTORY, e->c->version, chunk);
	struct kv_item it;

	ck_assert_int_eq(kv_get(e->c->kv, key, klen, &it), 0);
	ck_assert_uint_lt(at, it.vlen - cut);
	memcpy(val, it.val, it.vlen);
	val[at] ^= by;
	if (crc)
		put_be32(val + 1, crc32c(crc32c(crc32c(0, val, 1), key, klen), val + 5, it.vlen - cut - 5));
	ck_assert_int_eq(kv_put(e->c->kv, key, klen, val, it.vlen - cut), 0);
	e->raw = true;
}

static void lose(struct entry *e, uint32_t chunk)
{
	uint8_t key[KEY_MAX];

	ck_assert_int_eq(kv_del(e->c->kv, key, key_chunk(key, TAB_HISTORY, e->c->version, chunk)), 0);
	e->raw = true;
}

static uint32_t last(const struct entry *e) { return e->e.head.chunks - 1; }
FAULT(cut) { poke(e, last(e), 3, 0, 0, true); }
FAULT(cut_middle) { poke(e, 1, 3, 0, 0, true); }
FAULT(cut_record) { poke(e, last(e), 1, 0, 0, false); }
FAULT(cut_away) { lose(e, last(e)); }
FAULT(lost_chunk) { lose(e, 1); }
FAULT(lost_head) { lose(e, 0); }
FAULT(crc) { poke(e, 1, 0, 40, 1, false); }
FAULT(format) { poke(e, 1, 0, 0, 3, true); }
FAULT(flags) { poke(e, 1, 0, 5, 0x80, true); }
FAULT(flag_side) { poke(e, 1, 0, 5, 1, true); }
FAULT(klen) { poke(e, 1, 0, 6, 0xff, true); }
/* of the head: u64 first, u32 x 4, u64 time, u8 kind, u64 octets, u32 removed, added, chunks, u64 stored and
 * two u32 */
FAULT(octets) { poke(e, 0, 0, 5 + 8 + 16 + 8 + 1 + 7, 1, true); }
FAULT(removed) { poke(e, 0, 0, 5 + 41 + 3, 1, true); }
FAULT(added) { poke(e, 0, 0, 5 + 45 + 3, 1, true); }
FAULT(chunks) { poke(e, 0, 0, 5 + 49 + 3, 1, true); }
FAULT(stored) { poke(e, 0, 0, 5 + 53 + 7, 1, true); }
FAULT(added_chunk) { poke(e, 0, 0, 5 + 61 + 3, 1, true); }
FAULT(added_at) { poke(e, 0, 0, 5 + 65 + 3, 1, true); }
FAULT(more_chunks)
{
	uint8_t key[KEY_MAX], val[] = { 1, 0, 0, 0, 0, 1 };
	size_t klen = key_chunk(key, TAB_HISTORY, e->c->version, last(e) + 1);

	put_be32(val + 1, crc32c(crc32c(crc32c(0, val, 1), key, klen), val + 5, 1));
	ck_assert_int_eq(kv_put(e->c->kv, key, klen, val, sizeof val), 0);
	e->raw = true;
}

static const struct fault {
	const char *name;
	void (*make)(struct entry *e);
} faults[] = {
#define F(name) { #name, f_##name }
	F(none), F(lost_gone), F(lost_came), F(lost_sig), F(lost_last), F(lost_second),
	F(more_gone), F(more_came), F(more_sig), F(twice), F(rdata), F(sig_octet), F(short_rdata),
	F(ttl_gone), F(ttl_came), F(ttl_sig), F(side_came), F(side_gone), F(sides), F(both),
	F(sig_of_other), F(sig_as_record), F(record_as_sig), F(soa_before), F(soa_after),
	F(soa_ttl), F(soa_same), F(no_soa_before), F(no_soa_after), F(soa_twice), F(other_key),
	F(behind), F(owner_case), F(order), F(order_keys), F(half_gone), F(half_came),
	F(serial_from), F(serial_to), F(merged), F(older), F(gone), F(gap), F(other_version),
	F(totals), F(totals_none), F(totals_bad), F(cut), F(cut_middle), F(cut_record),
	F(cut_away), F(lost_chunk), F(lost_head), F(crc), F(format), F(flags), F(flag_side),
	F(klen), F(octets), F(removed), F(added), F(chunks), F(stored), F(added_chunk),
	F(added_at), F(more_chunks),
#undef F
};

static const struct fault *spoilt_by;

static void spoil(struct world *w, struct view *v)
{
	struct cand c = { .w = w, .v = v, .version = view_base(v) + 1, .verbose = spoilt_by == faults };
	struct entry e;

	ck_assert_int_eq(store_snap(w->s, &c.sn), 0);
	ck_assert_int_eq(view_kv(v, &c.kv), 0);
	entry_load(&e, &c);
	ck_assert_uint_gt(e.e.head.chunks, 3);
	spoilt_by->make(&e);
	if (!e.raw)
		entry_store(&e);
	ck_assert_msg((judge(&c) != 0) == (spoilt_by != faults), "fault %s", spoilt_by->name);
	kv_close(c.kv);
	snap_unref(c.sn);
	arena_free(e.mem);
}

START_TEST(seeded_faults)
{
	spoilt_by = &faults[_i];
	for (uint64_t seed = 1; seed <= 2; seed++) {
		struct world *w = world_new(seed);

		w->big = 120;
		make_version(w, false, judge_view);
		make_version(w, false, judge_view);
		make_version(w, false, spoil);
		world_free(w);
	}
}
END_TEST

/* --- merged entries ------------------------------------------------------------------------------------- */

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
	struct changes it = { .v = c->v };
	const uint8_t *key, *val;
	size_t klen, vlen;
	bool deleted;

	while (view_next_change(it.v, &it.pos, &key, &klen, &val, &vlen, &deleted) == 0)
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
		put_rr(c.kv, T_TXT, ZONE, &(struct rr_item){ .len = 1, .data = (const uint8_t *)"x" }, 1);
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
	tcase_add_test(t, dropped_at_once);
	tcase_add_test(t, odd_versions);
	tcase_add_test(t, no_entry_wanted);
	tcase_add_test(t, a_gap_over_damaged_totals);
	tcase_add_test(t, merged_faults);
	tcase_add_loop_test(t, seeded_faults, 0, (int)(sizeof faults / sizeof faults[0]));
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
