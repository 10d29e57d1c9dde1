/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History against plain sets: a real store takes random versions, the test keeps what each version served and
 * what upstream had, and every difference that history gives must be exactly the difference of two such sets.
 */
#include "t_store_util.h"

#include "base/arena.h"
#include "base/rand.h"
#include "base/text.h"
#include "dns/rrset.h"
#include "dns/schema.h"
#include "history_priv.h"
#include "t_suite.h"

#define VERSIONS 48
#define NAMES 24
#define NO_LIMIT UINT64_MAX

/* A record as octets: owner, type, TTL, RDATA. */
struct plain {
	uint8_t *p;
	size_t len;
};

struct set {
	struct plain *a;
	size_t n, cap;
};

struct state {
	struct set served, user;
	uint32_t serial, upstream;
	uint64_t version;
};

struct world {
	struct prng rnd;
	char dir[64];
	struct store_dir *sd;
	struct store *s;
	struct state st[VERSIONS + 1];
	size_t n;              /* versions made */
	int64_t now;
	uint32_t upstream;
	uint32_t big;          /* records that one change touches, 0: a few */
	unsigned merges;
};

/* --- plain sets ----------------------------------------------------------------------------------------- */

static int plain_cmp(const void *x, const void *y)
{
	const struct plain *a = x, *b = y;
	int c = memcmp(a->p, b->p, a->len < b->len ? a->len : b->len);

	return c ? c : (a->len > b->len) - (a->len < b->len);
}

static void set_add(struct set *s, const struct rr *rr)
{
	size_t n = name_len(rr->owner), len = n + 6 + rr->rdlen;
	uint8_t *p = malloc(len);

	memcpy(p, rr->owner, n);
	put_be16(p + n, rr->type);
	put_be32(p + n + 2, rr->ttl);
	if (rr->rdlen)
		memcpy(p + n + 6, rr->rdata, rr->rdlen);
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->a = realloc(s->a, s->cap * sizeof *s->a);
	}
	s->a[s->n++] = (struct plain){ p, len };
}

static void set_sort(struct set *s)
{
	if (s->n)
		qsort(s->a, s->n, sizeof *s->a, plain_cmp);
}

static void set_free(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->a[i].p);
	free(s->a);
	*s = (struct set){ 0 };
}

/* Is x, as a multiset, exactly a without b? All sorted. */
static bool set_is_minus(const struct set *x, const struct set *a, const struct set *b)
{
	size_t i = 0, k = 0, m = 0;

	while (i < a->n) {
		int c = k < b->n ? plain_cmp(&a->a[i], &b->a[k]) : -1;

		if (c < 0 && (m == x->n || plain_cmp(&x->a[m++], &a->a[i]) != 0))
			return false;
		if (c <= 0)
			i++;
		if (c >= 0)
			k++;
	}
	return m == x->n;
}

/* --- what a store holds, read without history's code ---------------------------------------------------- */

static void add_set(struct state *st, const struct rrset *set, bool denial)
{
	struct rr rr = { .owner = set->owner, .type = set->type };

	for (uint32_t i = 0; i < set->nrr; i++) {
		rr.rdata = set->rr[i].data;
		rr.rdlen = set->rr[i].len;
		rr.ttl = set->rr[i].ttl;
		if (!denial && !(set->flags & RRV_OURS) && set->type != T_SOA)
			set_add(&st->user, &rr);
		rr.ttl = set->ttl;
		if (!(set->rr[i].flags & RRI_DUP))
			set_add(&st->served, &rr);
	}
	rr.type = T_RRSIG;
	for (unsigned i = 0; i < set->nsig; i++) {
		rr.rdata = set->sig[i].data;
		rr.rdlen = set->sig[i].len;
		set_add(&st->served, &rr);
	}
}

static void read_state(struct world *w, struct state *st)
{
	uint8_t owner[NAME_MAX_WIRE], first = TAB_RECORDS;
	struct arena *mem = arena_new(0);
	struct snap *sn;
	struct kv *kv;
	struct kv_item it;
	const uint8_t *okey;
	size_t n, len;
	int rc;

	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	for (rc = kv_seek(kv, &first, 1, &it); rc == 0 && it.key[0] <= TAB_DENIAL; rc = kv_next(kv, &it)) {
		uint16_t type = T_NSEC;
		struct rrset set;

		if (it.key[0] == TAB_RECORDS) {
			ck_assert_int_eq(key_record_split(it.key, it.klen, &okey, &n, &type), 0);
			ck_assert_int_eq(name_from_okey(okey, n, owner, &len), 0);
		} else if (it.key[1] == 0) {
			ck_assert_int_eq(name_from_okey(it.key + 2, it.klen - 2, owner, &len), 0);
		} else {
			type = T_NSEC3;
			owner[0] = 32;
			text_b32hex((char *)owner + 1, it.key + 2, 20);
			memcpy(owner + 33, ZONE, 13);
		}
		ck_assert_int_eq(rrset_decode(&set, type, owner, it.val, it.vlen, mem), 0);
		add_set(st, &set, it.key[0] == TAB_DENIAL);
	}
	set_sort(&st->served);
	set_sort(&st->user);
	kv_close(kv);
	snap_unref(sn);
	arena_free(mem);
}

/* --- random versions ------------------------------------------------------------------------------------ */

static size_t name_of(uint8_t *out, uint32_t i, bool capital)
{
	char text[64];
	size_t len;

	snprintf(text, sizeof text, i % 5 == 4 ? "%c.sub%u.example.com." : "%c%u.example.com.",
		 (capital ? 'A' : 'a') + (int)(i % 26), i);
	ck_assert_int_eq(name_from_text(text, out, &len), 0);
	return len;
}

static void put_set(struct kv *kv, const uint8_t *key, size_t klen, struct rrset *set)
{
	struct arena *mem = arena_new(0);
	struct wr w = wr_growing(1 << 21);

	ck_assert_int_eq(rrset_normalise(set, mem), 0);
	rrset_encode(set, &w);
	ck_assert_int_eq(w.err, 0);
	ck_assert_int_eq(kv_put(kv, key, klen, w.p, w.len), 0);
	wr_free(&w);
	arena_free(mem);
}

/* A few records and signatures out of few possible ones, so that the same octets come back. */
static void put_random(struct world *w, struct kv *kv, const uint8_t *key, size_t klen, const uint8_t *owner,
		       uint16_t type, uint8_t flags)
{
	uint8_t data[8][40], sig[3][60];
	struct rr_item rr[8];
	struct sig_item si[3];
	struct rrset set = { .owner = owner, .type = type, .flags = flags, .rr = rr, .sig = si };

	set.nrr = 1 + (uint32_t)prng_upto(&w->rnd, 5);
	for (uint32_t i = 0; i < set.nrr; i++) {
		size_t len = 4 + prng_upto(&w->rnd, 2);

		memset(data[i], (int)(prng_upto(&w->rnd, 4)), sizeof data[i]);
		rr[i] = (struct rr_item){ .ttl = 300 + 60 * (uint32_t)prng_upto(&w->rnd, 2),
					  .len = (uint16_t)len, .data = data[i] };
	}
	set.nsig = (uint8_t)prng_upto(&w->rnd, 2);
	for (unsigned i = 0; i < set.nsig; i++) {
		memset(sig[i], (int)prng_upto(&w->rnd, 3), sizeof sig[i]);
		put_be16(sig[i], type); /* what it covers: it belongs to one RRset only */
		sig[i][2] = (uint8_t)i;
		si[i] = (struct sig_item){ sizeof sig[i], sig[i] };
	}
	put_set(kv, key, klen, &set);
}

static void change_records(struct world *w, struct kv *kv, uint32_t i)
{
	static const uint16_t types[] = { 65280, 65281, T_DNSKEY };
	uint8_t owner[NAME_MAX_WIRE], okey[OKEY_MAX], key[KEY_MAX];
	uint16_t type = types[prng_upto(&w->rnd, 2)];
	size_t klen;

	name_of(owner, i, prng_upto(&w->rnd, 3) == 0);
	klen = key_record(key, okey, name_okey(owner, okey), type);
	if (prng_upto(&w->rnd, 3) == 0)
		kv_del(kv, key, klen);
	else
		put_random(w, kv, key, klen, owner, type, type == T_DNSKEY ? RRV_OURS : 0);
}

static void change_denial(struct world *w, struct kv *kv, uint32_t i)
{
	uint8_t owner[NAME_MAX_WIRE], okey[OKEY_MAX], key[KEY_MAX], hash[NSEC3_HASH_LEN];
	bool hashed = i & 1;
	size_t klen;

	name_of(owner, i, false);
	memset(hash, (int)i * 7, sizeof hash);
	klen = hashed ? key_nsec3(key, 1, hash) : key_nsec(key, okey, name_okey(owner, okey));
	if (prng_upto(&w->rnd, 3) == 0)
		kv_del(kv, key, klen);
	else
		put_random(w, kv, key, klen, hashed ? NULL : owner, hashed ? T_NSEC3 : T_NSEC, RRV_OURS);
}

static size_t soa_rdata(uint8_t *out, uint32_t serial)
{
	memset(out, 0, 22);
	soa_set_serial(out, 22, serial);
	return 22;
}

static void put_soa(struct world *w, struct kv *kv, uint32_t serial)
{
	uint8_t rdata[22], sig[40], okey[OKEY_MAX], key[KEY_MAX];
	struct rr_item rr = { .ttl = 3600, .len = (uint16_t)soa_rdata(rdata, serial), .data = rdata };
	struct sig_item si = { sizeof sig, sig };
	struct rrset set = { .owner = ZONE, .type = T_SOA, .nrr = 1, .rr = &rr, .nsig = 1, .sig = &si };

	memset(sig, 0, sizeof sig);
	put_be32(sig, serial);
	put_set(kv, key, key_record(key, okey, name_okey(ZONE, okey), T_SOA), &set);
}

/* Writes the view's two entries. */
static void write_entries(struct world *w, struct view *v, struct kv *base, uint32_t from, uint8_t kind)
{
	uint8_t a[22], b[22];
	struct history_soa was = { a, (uint16_t)soa_rdata(a, from), 3600 };
	struct history_soa is = { b, (uint16_t)soa_rdata(b, w->upstream), 3600 };
	struct history_head h = { .time = w->now, .kind = kind, .from_upstream = from,
				  .to_upstream = w->upstream };
	struct history_head u = h;

	ck_assert_int_eq(history_write(v, base, &h), 0);
	if (prng_upto(&w->rnd, 3) == 0) { /* again: replaced, not counted twice */
		h = u;
		ck_assert_int_eq(history_write(v, base, &h), 0);
	}
	u.from_serial = h.from_serial;
	u.to_serial = h.to_serial;
	if (kind == HISTORY_USER)
		ck_assert_int_eq(history_write_user(v, base, &was, &is, &u), 0);
}

static void fill_view(struct world *w, struct kv *kv, bool routine)
{
	uint32_t n = w->big ? w->big : 1 + (uint32_t)prng_upto(&w->rnd, 6);

	for (uint32_t i = 0; i < n; i++) {
		if (!routine)
			change_records(w, kv, w->big ? i : (uint32_t)prng_upto(&w->rnd, NAMES - 1));
		if (routine || i & 1)
			change_denial(w, kv, w->big ? i : (uint32_t)prng_upto(&w->rnd, NAMES - 1));
	}
}

typedef void (*extra_fn)(struct world *w, struct view *v);

static void make_version(struct world *w, bool routine, extra_fn extra)
{
	struct state *st = &w->st[w->n];
	uint32_t serial = w->n ? w->st[w->n - 1].serial + 1 : 0xfffffff0;
	uint32_t from = w->upstream;
	struct snap *sn = NULL;
	struct view *v;
	struct kv *kv, *base = NULL;

	store_snap(w->s, &sn);
	ck_assert_int_eq(view_new(sn, &v), 0);
	if (sn)
		ck_assert_int_eq(snap_kv(sn, &base), 0);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	fill_view(w, kv, routine);
	put_soa(w, kv, serial);
	w->upstream += !routine;
	write_entries(w, v, base, from, routine ? HISTORY_ROUTINE : HISTORY_USER);
	if (extra)
		extra(w, v);
	kv_close(base);
	ck_assert_int_eq(store_commit(w->s, v, &st->version), 0);
	view_free(v);
	snap_unref(sn);
	st->serial = serial;
	st->upstream = w->upstream;
	read_state(w, st);
	w->n++;
	w->now += 600;
}

static struct world *world_new(uint64_t seed)
{
	struct world *w = calloc(1, sizeof *w);
	struct store_dir_opts opts = { .map_size = 64 << 20 };
	enum store_health health;

	w->rnd = prng_seed(seed);
	w->now = 1000000;
	w->upstream = 7;
	make_dir(w->dir);
	ck_assert_int_eq(store_dir_open(w->dir, &opts, &w->sd), 0);
	ck_assert_int_eq(store_open(w->sd, ZONE, &w->s, &health), 0);
	return w;
}

static void world_free(struct world *w)
{
	for (size_t i = 0; i < w->n; i++) {
		set_free(&w->st[i].served);
		set_free(&w->st[i].user);
	}
	store_close(w->s);
	store_dir_close(w->sd);
	rm_tree(w->dir);
	free(w);
}

/* --- checks --------------------------------------------------------------------------------------------- */

static struct kv *open_kv(struct world *w)
{
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	snap_unref(sn);
	return kv;
}

/* One run through d: SOAs first (left out when they are upstream's), halves in order, counts as promised. */
static void read_diff(struct diff *d, struct set *removed, struct set *added, bool soas)
{
	uint64_t octets = 0, n[2] = { 0 };
	bool add = false, was = false, first = true;
	struct rr rr;
	int rc;

	while ((rc = diff_next(d, &rr, &add)) == 0) {
		ck_assert(add || !was);
		first = first || add != was;
		was = add;
		ck_assert(!soas || first == (rr.type == T_SOA));
		first = false;
		octets += name_len(rr.owner) + 10u + rr.rdlen;
		n[add]++;
		if (soas || rr.type != T_SOA)
			set_add(add ? added : removed, &rr);
	}
	ck_assert_int_eq(rc, ZS_ENOENT);
	ck_assert_int_eq(diff_next(d, &rr, &add), ZS_ENOENT);
	ck_assert_uint_eq(octets, d->octets);
	ck_assert_uint_eq(n[0], d->removed);
	ck_assert_uint_eq(n[1], d->added);
	set_sort(removed);
	set_sort(added);
}

static void check_diff(struct diff *d, const struct set *from, const struct set *to, bool soas)
{
	for (int i = 0; i < 2; i++) {
		struct set removed = { 0 }, added = { 0 };

		read_diff(d, &removed, &added, soas);
		ck_assert(set_is_minus(&removed, from, to));
		ck_assert(set_is_minus(&added, to, from));
		set_free(&removed);
		set_free(&added);
		ck_assert_int_eq(diff_rewind(d), 0);
	}
}

struct starts {
	uint32_t serial[VERSIONS];
	size_t n;
	uint64_t entries, octets;
};

static int note_start(void *ctx, const struct history_head *h)
{
	struct starts *s = ctx;

	s->serial[s->n++] = h->from_serial;
	s->entries++;
	s->octets += h->stored;
	return 0;
}

/* Every serial that an entry starts from leads to the newest version; no other does. */
static size_t check_served(struct world *w)
{
	const struct state *to = &w->st[w->n - 1];
	struct starts s = { .n = 0 };
	struct history_total t[2];
	struct kv *kv = open_kv(w);
	size_t reached = 0;

	ck_assert_int_eq(history_each(kv, HISTORY_SERVED, w->n & 1, note_start, &s), 0);
	ck_assert_int_eq(history_totals(kv, t), 0);
	ck_assert_uint_eq(t[0].entries, s.entries);
	ck_assert_uint_eq(t[0].octets, s.octets);
	kv_close(kv);
	for (size_t i = 0; i + 1 < w->n; i++) {
		struct diff *d;
		bool known = false;
		int rc;

		for (size_t k = 0; k < s.n; k++)
			known = known || s.serial[k] == w->st[i].serial;
		kv = open_kv(w);
		rc = history_open(kv, w->st[i].serial, to->serial, NO_LIMIT, &d);
		ck_assert_int_eq(rc, known ? 0 : ZS_ENOENT);
		if (rc) {
			kv_close(kv);
			continue;
		}
		ck_assert_uint_eq(d->from, w->st[i].serial);
		ck_assert_uint_eq(d->to, to->serial);
		check_diff(d, &w->st[i].served, &to->served, true);
		diff_close(d);
		reached++;
	}
	return reached;
}

static size_t check_user(struct world *w, size_t i, size_t k)
{
	struct set removed = { 0 }, added = { 0 };
	struct kv *kv = open_kv(w);
	struct history_total t[2];
	struct diff *d;
	uint64_t low = w->st[i < k ? i : k].version;
	int rc;

	ck_assert_int_eq(history_totals(kv, t), 0);
	rc = userdiff_open(kv, w->st[i].version, w->st[k].version, NO_LIMIT, &d);
	if (low < t[1].since || w->st[i].upstream == w->st[k].upstream) {
		ck_assert_int_eq(rc, ZS_ENOENT);
		kv_close(kv);
		return 0;
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(d->from, w->st[i].upstream);
	ck_assert_uint_eq(d->to, w->st[k].upstream);
	read_diff(d, &removed, &added, false);
	ck_assert(set_is_minus(&removed, &w->st[i].user, &w->st[k].user));
	ck_assert(set_is_minus(&added, &w->st[k].user, &w->st[i].user));
	set_free(&removed);
	set_free(&added);
	diff_close(d);
	return 1;
}

START_TEST(test_random_versions)
{
	struct world *w = world_new(0x51 + (uint64_t)_i);
	size_t reached = 0, user = 0;

	while (w->n < VERSIONS / 2) {
		make_version(w, prng_upto(&w->rnd, 2) == 0, NULL);
		reached += check_served(w);
	}
	for (size_t i = 0; i < w->n; i++)
		for (size_t k = 0; k < w->n; k++)
			user += check_user(w, i, k);
	ck_assert_uint_eq(reached, w->n * (w->n - 1) / 2);
	ck_assert_uint_gt(user, 0);
	world_free(w);
}
END_TEST

static void keep_short(struct world *w, struct view *v)
{
	struct history_limits lim = { 12, 1 << 20, 1 << 20, 20 * 600 };
	bool merged;

	ck_assert_int_eq(history_merge(v, w->now, 3600, &merged), 0);
	w->merges += merged;
	ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
}

START_TEST(test_trim_and_merge)
{
	struct world *w = world_new(0x99 + (uint64_t)_i);
	struct history_total t[2];
	size_t reached = 0;

	while (w->n < VERSIONS) {
		struct kv *kv;

		make_version(w, prng_upto(&w->rnd, 4) != 0, keep_short);
		reached += check_served(w);
		kv = open_kv(w);
		ck_assert_int_eq(history_totals(kv, t), 0);
		kv_close(kv);
		ck_assert_uint_le(t[0].entries, 12);
		ck_assert_uint_le(t[1].entries, 12);
		for (size_t i = 0; i < w->n; i++)
			check_user(w, i, w->n - 1);
	}
	ck_assert_uint_gt(reached, VERSIONS * 4);
	ck_assert_uint_gt(w->merges, 3);
	world_free(w);
}
END_TEST

/* Many chunks: more than one page of records, and one record that needs a chunk of its own. */
START_TEST(test_large_version)
{
	static uint8_t huge[60000];
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	struct rr_item rr = { .ttl = 60, .len = sizeof huge, .data = huge };
	struct rrset set = { .owner = ZONE, .type = 65290, .nrr = 1, .rr = &rr };
	struct world *w = world_new(5);
	struct history_head h = { 0 };
	struct snap *sn;
	struct view *v;
	struct kv *kv, *base;
	struct diff *d;

	make_version(w, false, NULL);
	w->big = 2000;
	make_version(w, false, NULL);
	make_version(w, false, NULL);
	ck_assert_uint_eq(check_served(w), 2);
	ck_assert_uint_eq(check_user(w, 0, 2), 1);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[2].serial, 5000, &d), ZS_ELIMIT);
	ck_assert_int_eq(history_open(kv, w->st[1].serial, w->st[2].serial, 5000, &d), ZS_ELIMIT);
	kv_close(kv);

	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	ck_assert_int_eq(snap_kv(sn, &base), 0);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	put_set(kv, key, key_record(key, okey, name_okey(ZONE, okey), set.type), &set);
	put_soa(w, kv, w->st[2].serial + 1);
	ck_assert_int_eq(history_write(v, base, &h), 0);
	ck_assert_uint_eq(h.removed, 2);
	ck_assert_uint_eq(h.added, 3);
	kv_close(base);
	ck_assert_int_eq(view_kv(v, &base), 0);
	ck_assert_int_eq(history_open(base, h.from_serial, h.to_serial, NO_LIMIT, &d), 0);
	ck_assert_uint_gt(d->octets, sizeof huge);
	diff_close(d);
	view_free(v);
	snap_unref(sn);
	world_free(w);
}
END_TEST

/* The same change in a store with full history: no more keys are touched than in a fresh one. */
START_TEST(test_steady_work)
{
	struct history_limits lim = { 20, 1 << 30, 1 << 30, 1 << 30 };
	struct world *w = world_new(6);
	uint32_t serial;
	size_t most = 0;

	make_version(w, false, NULL);
	serial = w->st[0].serial;
	for (unsigned i = 0; i < 200; i++) {
		struct history_head h = { .time = w->now, .kind = HISTORY_ROUTINE };
		struct snap *sn;
		struct view *v;
		struct kv *kv, *base;
		uint64_t version;
		bool merged;

		ck_assert_int_eq(store_snap(w->s, &sn), 0);
		ck_assert_int_eq(view_new(sn, &v), 0);
		ck_assert_int_eq(snap_kv(sn, &base), 0);
		ck_assert_int_eq(view_kv(v, &kv), 0);
		put_soa(w, kv, ++serial);
		ck_assert_int_eq(history_write(v, base, &h), 0);
		ck_assert_int_eq(history_merge(v, w->now, i < 100 ? 1000000 : 3600, &merged), 0);
		ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
		kv_close(base);
		if (!merged && view_changes(v) > most)
			most = view_changes(v);
		ck_assert_int_eq(store_commit(w->s, v, &version), 0);
		view_free(v);
		snap_unref(sn);
		w->now += 600;
	}
	ck_assert_uint_le(most, 4); /* SOA, entry, totals, one entry deleted */
	world_free(w);
}
END_TEST

/* --- damage --------------------------------------------------------------------------------------------- */

static void copy_history(struct kv *from, struct kv *to)
{
	struct kv_item it;

	for (int rc = kv_seek(from, "", 0, &it); rc == 0; rc = kv_next(from, &it))
		if (it.key[0] == TAB_HISTORY || it.key[0] == TAB_USERDIFF || it.key[0] == TAB_META)
			ck_assert_int_eq(kv_put(to, it.key, it.klen, it.val, it.vlen), 0);
}

/* Reads everything there is; the first error. */
static int read_all(struct kvmem *m, uint32_t from, uint32_t to)
{
	struct diff *d;
	struct rr rr;
	bool added;
	struct kv *kv = kvmem_open(m);
	int rc = history_open(kv, from, to, NO_LIMIT, &d);

	if (rc) {
		kv_close(kv);
		return rc;
	}
	while ((rc = diff_next(d, &rr, &added)) == 0)
		;
	diff_close(d);
	return rc == ZS_ENOENT ? 0 : rc;
}

START_TEST(test_damage)
{
	struct world *w = world_new(0x77);
	struct kvmem *m = kvmem_new(0);
	struct kv *to = kvmem_open(m), *it_kv = kvmem_open(m), *kv;
	struct kv_item it;
	uint32_t a, b;

	w->big = 60;
	for (unsigned i = 0; i < 4; i++)
		make_version(w, false, NULL);
	kv = open_kv(w);
	copy_history(kv, to);
	kv_close(kv);
	a = w->st[0].serial;
	b = w->st[3].serial;
	ck_assert_int_eq(read_all(m, a, b), 0);
	for (int rc = kv_seek(it_kv, "\x50", 1, &it); rc == 0 && it.key[0] == TAB_HISTORY;
	     rc = kv_next(it_kv, &it)) {
		uint8_t *val = malloc(it.vlen), key[KEY_MAX];
		size_t klen = it.klen, vlen = it.vlen;

		memcpy(val, it.val, vlen);
		memcpy(key, it.key, klen);
		for (unsigned i = 0; i < 20; i++) {
			size_t at = prng_upto(&w->rnd, vlen - 1);
			uint8_t was = val[at];

			val[at] ^= (uint8_t)(1 << prng_upto(&w->rnd, 7));
			kv_put(to, key, klen, val, vlen);
			ck_assert_int_eq(read_all(m, a, b), ZS_ECRC);
			val[at] = was;
		}
		kv_put(to, key, klen, val, prng_upto(&w->rnd, vlen - 1));
		ck_assert_int_eq(read_all(m, a, b), ZS_ECRC);
		kv_del(to, key, klen);
		ck_assert_int_eq(read_all(m, a, b), ZS_EFORMAT);
		kv_put(to, key, klen, val, vlen);
		free(val);
	}
	ck_assert_int_eq(read_all(m, a, b), 0);
	kv_close(it_kv);
	kv_close(to);
	kvmem_free(m);
	world_free(w);
}
END_TEST

/* A version without history is a gap: nothing before it leads further. */
static void no_entry(struct world *w, struct view *v)
{
	struct kv *kv;

	ck_assert_int_eq(view_kv(v, &kv), 0);
	hentry_delete(kv, TAB_HISTORY, view_base(v) + 1);
	kv_close(kv);
}

START_TEST(test_gap)
{
	struct world *w = world_new(3);
	struct kv *kv;
	struct diff *d;

	for (unsigned i = 0; i < 3; i++)
		make_version(w, false, NULL);
	make_version(w, false, no_entry);
	make_version(w, false, NULL);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[2].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[4].serial, w->st[4].serial, NO_LIMIT, &d), ZS_ENOENT);
	ck_assert_int_eq(history_open(kv, w->st[3].serial, w->st[4].serial, NO_LIMIT, &d), 0);
	diff_close(d);
	kv = open_kv(w);
	ck_assert_int_eq(history_open(kv, w->st[0].serial, w->st[2].serial, NO_LIMIT, &d), 0);
	check_diff(d, &w->st[0].served, &w->st[2].served, true);
	diff_close(d);
	world_free(w);
}
END_TEST

/* A build takes history along. */
START_TEST(test_copy)
{
	struct world *w = world_new(4);
	struct kv *kv, *built;
	struct build *b;
	struct kv_item x, y;
	int rc;

	for (unsigned i = 0; i < 4; i++)
		make_version(w, false, NULL);
	kv = open_kv(w);
	ck_assert_int_eq(build_new(w->s, &b), 0);
	ck_assert_int_eq(history_copy(kv, b), 0);
	ck_assert_int_eq(build_checkpoint(b), 0);
	ck_assert_int_eq(build_kv(b, &built), 0);
	for (rc = kv_seek(kv, "\x50", 1, &x); rc == 0; rc = kv_next(kv, &x)) {
		ck_assert_int_eq(kv_get(built, x.key, x.klen, &y), 0);
		ck_assert(x.vlen == y.vlen && memcmp(x.val, y.val, x.vlen) == 0);
	}
	kv_close(built);
	build_free(b);
	kv_close(kv);
	world_free(w);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("history");
	TCase *t = tcase_create("history");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, test_random_versions, 0, 3);
	tcase_add_loop_test(t, test_trim_and_merge, 0, 3);
	tcase_add_test(t, test_large_version);
	tcase_add_test(t, test_steady_work);
	tcase_add_test(t, test_damage);
	tcase_add_test(t, test_gap);
	tcase_add_test(t, test_copy);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
