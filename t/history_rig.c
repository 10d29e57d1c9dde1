/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Random versions in a real store, and what they are as plain sets. See history_rig.h. */
#include "history_rig.h"

#include "base/crc.h"
#include "store/meta.h"
#include "t_suite.h"

/* --- plain sets ----------------------------------------------------------------------------------------- */

static int plain_cmp(const void *x, const void *y)
{
	const struct plain *a = x, *b = y;
	int c = memcmp(a->p, b->p, a->len < b->len ? a->len : b->len);

	return c ? c : (a->len > b->len) - (a->len < b->len);
}

void set_add(struct set *s, const struct rr *rr)
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

void set_sort(struct set *s)
{
	if (s->n)
		qsort(s->a, s->n, sizeof *s->a, plain_cmp);
}

void set_free(struct set *s)
{
	for (size_t i = 0; i < s->n; i++)
		free(s->a[i].p);
	free(s->a);
	*s = (struct set){ 0 };
}

/* Is x, as a multiset, exactly a without b? All sorted. */
bool set_is_minus(const struct set *x, const struct set *a, const struct set *b)
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

void read_state(struct world *w, struct state *st)
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

void put_set(struct kv *kv, const uint8_t *key, size_t klen, struct rrset *set)
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
	struct kv_item it;
	size_t klen;

	name_of(owner, i, prng_upto(&w->rnd, 3) == 0);
	klen = key_record(key, okey, name_okey(owner, okey), type);
	if (w->does == ADDS && kv_get(kv, key, klen, &it) == 0)
		return;
	if (w->does == REMOVES || (w->does == MIXED && prng_upto(&w->rnd, 3) == 0))
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

size_t soa_rdata(uint8_t *out, uint32_t serial)
{
	memset(out, 0, 22);
	soa_set_serial(out, 22, serial);
	return 22;
}

void put_soa(struct world *w, struct kv *kv, uint32_t serial)
{
	uint8_t rdata[22], sig[40], okey[OKEY_MAX], key[KEY_MAX];
	struct rr_item rr = { .ttl = 3600, .len = (uint16_t)soa_rdata(rdata, serial), .data = rdata };
	struct sig_item si = { sizeof sig, sig };
	struct rrset set = { .owner = ZONE, .type = T_SOA, .nrr = 1, .rr = &rr, .nsig = 1, .sig = &si };

	memset(sig, 0, sizeof sig);
	put_be32(sig, serial);
	put_set(kv, key, key_record(key, okey, name_okey(ZONE, okey), T_SOA), &set);
}

static void meta_of(struct world *w, struct zmeta *m)
{
	*m = (struct zmeta){ .upstream_serial = w->upstream, .upstream_soa_ttl = 3600 };
	m->upstream_soa_len = (uint16_t)soa_rdata(m->upstream_soa, w->upstream);
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

void fill_view(struct world *w, struct kv *kv, bool routine)
{
	uint32_t n = w->big ? w->big : 1 + (uint32_t)prng_upto(&w->rnd, 6);

	for (uint32_t i = 0; i < n; i++) {
		if (!routine)
			change_records(w, kv, w->big ? i : (uint32_t)prng_upto(&w->rnd, NAMES - 1));
		if (routine || i & 1)
			change_denial(w, kv, w->big ? i : (uint32_t)prng_upto(&w->rnd, NAMES - 1));
	}
}

struct view *open_view(struct world *w, struct kv **kv, struct kv **base)
{
	struct snap *sn = NULL;
	struct view *v;

	if (store_snap(w->s, &sn) != 0)
		ck_assert_uint_eq(w->n, 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	if (base) {
		*base = NULL;
		if (sn)
			ck_assert_int_eq(snap_kv(sn, base), 0);
	}
	ck_assert_int_eq(view_kv(v, kv), 0);
	snap_unref(sn);
	return v;
}

void make_version(struct world *w, bool routine, extra_fn extra)
{
	struct state *st = &w->st[w->n];
	uint32_t serial = w->n ? w->st[w->n - 1].serial + 1 : 0xfffffff0;
	uint32_t from = w->upstream;
	struct kv *kv, *base;
	struct view *v = open_view(w, &kv, &base);
	struct zmeta meta;

	fill_view(w, kv, routine);
	put_soa(w, kv, serial);
	w->upstream += !routine && !w->still;
	meta_of(w, &meta);
	ck_assert_int_eq(zmeta_put(kv, &meta), 0);
	write_entries(w, v, base, from, routine ? HISTORY_ROUTINE : HISTORY_USER);
	if (extra)
		extra(w, v);
	kv_close(base);
	ck_assert_int_eq(store_commit(w->s, v, &st->version), 0);
	view_free(v);
	st->serial = serial;
	st->upstream = w->upstream;
	read_state(w, st);
	w->n++;
	w->now += 600;
}

/* --- builds --------------------------------------------------------------------------------------------- */

/* The value with another entry in the expiry index: what differs is not served. */
static void append_renumbered(struct world *w, struct build *b, const struct kv_item *it)
{
	uint8_t *val = malloc(it->vlen);
	struct rrval v;

	memcpy(val, it->val, it->vlen);
	ck_assert_int_eq(rrval_open(&v, val, it->vlen), 0);
	if (v.nsig) {
		put_be64(val + it->vlen - 8, prng_upto(&w->rnd, 1u << 30));
		put_be32(val + 1, crc32c(0, val + 5, it->vlen - 5));
	}
	ck_assert_int_eq(build_append(b, it->key, it->klen, val, it->vlen), 0);
	free(val);
}

struct build *build_content(struct world *w, unsigned n, bool routine, uint32_t serial)
{
	uint8_t first = TAB_RECORDS;
	struct build *b;
	struct view *v;
	struct kv *kv;
	struct kv_item it;
	int rc;

	v = open_view(w, &kv, NULL);
	for (unsigned i = 0; i < n; i++)
		fill_view(w, kv, routine);
	put_soa(w, kv, serial);
	ck_assert_int_eq(build_new(w->s, &b), 0);
	for (rc = kv_seek(kv, &first, 1, &it); rc == 0 && it.key[0] <= TAB_DENIAL; rc = kv_next(kv, &it))
		append_renumbered(w, b, &it);
	kv_close(kv);
	view_free(v);
	ck_assert_int_eq(build_checkpoint(b), 0);
	return b;
}

struct history_carry carry_init(struct world *w, struct build *b, struct kv *live, struct kv *to)
{
	return (struct history_carry){ .from = live, .to = to, .build = b, .tmp = store_dir_tmp(w->sd),
				       .version = store_version(w->s), .time = w->now, .same_chain = true,
				       .records_max = UINT64_MAX,
				       .lim = { 1000, 1 << 30, 1 << 30, 1 << 30 } };
}

void make_build(struct world *w, unsigned n, bool routine, vary_fn vary, struct history_carry *c)
{
	struct state *st = &w->st[w->n];
	uint32_t serial = w->st[w->n - 1].serial + 1, from = w->upstream;
	struct build *b = build_content(w, n, routine, serial);
	struct kv *live = open_kv(w), *to;
	uint8_t x[22], y[22], key[KEY_MAX];
	struct history_soa was = { x, (uint16_t)soa_rdata(x, from), 3600 }, is = { y, 22, 3600 };
	struct wr rec = wr_growing(4096);
	struct zmeta meta;

	w->upstream += !routine && !w->still;
	soa_rdata(y, w->upstream);
	meta_of(w, &meta);
	zmeta_encode(&meta, &rec);
	ck_assert_int_eq(build_put(b, key, key_meta(key, "zone"), rec.p, rec.len), 0);
	ck_assert_int_eq(build_checkpoint(b), 0);
	wr_free(&rec);
	ck_assert_int_eq(build_kv(b, &to), 0);
	*c = carry_init(w, b, live, to);
	c->from_upstream = from;
	c->to_upstream = w->upstream;
	c->was = &was;
	c->is = &is;
	if (vary)
		vary(c);
	ck_assert_int_eq(history_carry(c), 0);
	kv_close(to);
	kv_close(live);
	if (w->built)
		w->built(w, b, c);
	ck_assert_int_eq(build_publish(b, &st->version), 0);
	st->serial = serial;
	st->upstream = w->upstream;
	read_state(w, st);
	w->n++;
	w->now += 600;
}

struct world *world_new(uint64_t seed)
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

void world_free(struct world *w)
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

struct kv *open_kv(struct world *w)
{
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	snap_unref(sn);
	return kv;
}

/* One run through d: SOAs first (left out when they are upstream's), halves in order, counts as promised. */
void read_diff(struct diff *d, struct set *removed, struct set *added, bool soas)
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

void check_diff(struct diff *d, const struct set *from, const struct set *to, bool soas)
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
size_t check_served(struct world *w)
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

size_t check_user(struct world *w, size_t i, size_t k)
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
