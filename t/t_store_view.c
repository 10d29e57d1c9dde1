/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Views against a slow model: a sorted array. Random puts, deletions and moves in both directions through
 * several handles at once, over a base that grows by commits, with parking in between; in every other run
 * with changes that are written aside and go to their place later.
 */
#include "t_store_util.h"

#include "base/rand.h"
#include "t_suite.h"

#define ROOM 4096
#define HANDLES 3
#define KEY_SPACE 3

struct pair {
	uint8_t key[8];
	size_t klen;
	uint32_t salt;
};

struct model {
	struct pair a[ROOM];
	size_t n;
};

struct pos {
	bool placed;
	struct pair at; /* key only */
};

struct world {
	struct prng rnd;
	struct store *s;
	struct view *v;
	struct model m;
	struct snap *held; /* an older version, and what it showed */
	struct model then;
	struct kv *kv[HANDLES];
	struct pos pos[HANDLES];
};

static int pair_cmp(const struct pair *a, const struct pair *b)
{
	int c = memcmp(a->key, b->key, a->klen < b->klen ? a->klen : b->klen);

	return c ? c : (a->klen > b->klen) - (a->klen < b->klen);
}

/* Index of the first key >= k. */
static size_t lower(const struct model *m, const struct pair *k)
{
	size_t lo = 0, hi = m->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (pair_cmp(&m->a[mid], k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool has(const struct model *m, size_t i, const struct pair *k)
{
	return i < m->n && pair_cmp(&m->a[i], k) == 0;
}

static struct pair random_key(struct world *w)
{
	struct pair k = { .klen = 1 + prng_upto(&w->rnd, 4) };

	k.key[0] = (uint8_t)(0x10 + 0x10 * prng_upto(&w->rnd, 2));
	for (size_t i = 1; i < k.klen; i++)
		k.key[i] = (uint8_t)(prng_upto(&w->rnd, KEY_SPACE) * 85);
	return k;
}

static size_t value_of(uint8_t *dst, const struct pair *k)
{
	size_t len = k->salt % 50;

	memset(dst, (int)(k->salt ^ k->key[k->klen - 1]), len);
	return len;
}

/* What a handle answered is item i of the model, or nothing when i is past it. */
static void expect(struct world *w, unsigned h, int rc, const struct kv_item *it, size_t i, bool moves)
{
	const struct pair *p = &w->m.a[i];
	uint8_t val[64];

	if (i >= w->m.n) {
		ck_assert_int_eq(rc, ZS_ENOENT);
		if (moves)
			w->pos[h].placed = false;
		return;
	}
	ck_assert_int_eq(rc, 0);
	ck_assert_uint_eq(it->klen, p->klen);
	ck_assert_mem_eq(it->key, p->key, p->klen);
	ck_assert_uint_eq(it->vlen, value_of(val, p));
	ck_assert_mem_eq(it->val, val, it->vlen);
	if (moves)
		w->pos[h] = (struct pos){ true, *p };
}

static void do_step(struct world *w, unsigned h)
{
	bool up = prng_upto(&w->rnd, 1);
	struct kv_item it;
	int rc = up ? kv_next(w->kv[h], &it) : kv_prev(w->kv[h], &it);
	size_t i;

	if (!w->pos[h].placed) {
		ck_assert_int_eq(rc, ZS_ENOENT);
		return;
	}
	i = lower(&w->m, &w->pos[h].at);
	if (up)
		i += has(&w->m, i, &w->pos[h].at);
	else
		i = i ? i - 1 : w->m.n;
	expect(w, h, rc, &it, i, true);
}

static void do_seek(struct world *w, unsigned h)
{
	struct pair k = random_key(w);
	struct kv_item it;
	size_t i;
	int rc;

	if (prng_upto(&w->rnd, 30) == 0)
		k.klen = 0;
	i = lower(&w->m, &k);
	if (prng_upto(&w->rnd, 1)) {
		rc = kv_seek(w->kv[h], k.key, k.klen, &it);
	} else {
		rc = kv_seek_lt(w->kv[h], k.key, k.klen, &it);
		i = i ? i - 1 : w->m.n;
	}
	expect(w, h, rc, &it, i, true);
}

static void do_get(struct world *w, unsigned h)
{
	struct pair k = random_key(w);
	struct kv_item it;
	size_t i = lower(&w->m, &k);
	int rc = kv_get(w->kv[h], k.key, k.klen, &it);

	expect(w, h, rc, &it, has(&w->m, i, &k) ? i : w->m.n, false);
}

static void do_put(struct world *w, unsigned h)
{
	struct pair k = random_key(w);
	size_t i = lower(&w->m, &k), len;
	uint8_t val[64];

	k.salt = (uint32_t)prng_upto(&w->rnd, 1u << 30);
	len = value_of(val, &k);
	ck_assert_int_eq(kv_put(w->kv[h], k.key, k.klen, val, len), 0);
	if (!has(&w->m, i, &k)) {
		ck_assert_uint_lt(w->m.n, ROOM);
		memmove(&w->m.a[i + 1], &w->m.a[i], (w->m.n++ - i) * sizeof k);
	}
	w->m.a[i] = k;
}

static void do_del(struct world *w, unsigned h)
{
	struct pair k = random_key(w);
	size_t i = lower(&w->m, &k);

	/* more often something that is there */
	if (w->m.n && prng_upto(&w->rnd, 1)) {
		i = prng_upto(&w->rnd, w->m.n - 1);
		k = w->m.a[i];
	}
	if (!has(&w->m, i, &k)) {
		ck_assert_int_eq(kv_del(w->kv[h], k.key, k.klen), ZS_ENOENT);
		return;
	}
	ck_assert_int_eq(kv_del(w->kv[h], k.key, k.klen), 0);
	memmove(&w->m.a[i], &w->m.a[i + 1], (--w->m.n - i) * sizeof k);
}

/* The whole map in both directions through a fresh handle. */
static void check_all(const struct model *m, struct kv *kv)
{
	struct kv_item it;
	size_t i = 0;
	int rc;

	for (rc = kv_seek(kv, "", 0, &it); rc == 0; rc = kv_next(kv, &it), i++)
		ck_assert(i < m->n && it.klen == m->a[i].klen && !memcmp(it.key, m->a[i].key, it.klen));
	ck_assert_int_eq(rc, ZS_ENOENT);
	ck_assert_uint_eq(i, m->n);
	for (rc = kv_seek_lt(kv, "\xff", 1, &it); rc == 0; rc = kv_prev(kv, &it)) {
		i--;
		ck_assert(it.klen == m->a[i].klen && !memcmp(it.key, m->a[i].key, it.klen));
	}
	ck_assert_uint_eq(i, 0);
}

static void open_view(struct world *w)
{
	struct snap *sn = NULL;

	store_snap(w->s, &sn);
	ck_assert_int_eq(view_new(sn, &w->v), 0);
	snap_unref(sn);
	for (unsigned h = 0; h < HANDLES; h++) {
		ck_assert_int_eq(view_kv(w->v, &w->kv[h]), 0);
		w->pos[h].placed = false;
	}
}

static void close_view(struct world *w)
{
	for (unsigned h = 0; h < HANDLES; h++)
		kv_close(w->kv[h]);
	view_free(w->v);
}

static bool is_enough(void *ctx)
{
	return prng_upto(ctx, 60) == 0;
}

/* Some of what was written aside goes to its place: nothing that is seen changes. */
static void do_fold(struct world *w)
{
	uint64_t left, had = store_recent(w->s);
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_fold(w->s, 1 + (unsigned)prng_upto(&w->rnd, 40), is_enough, &w->rnd, &left),
			 0);
	ck_assert(left == store_recent(w->s) && (left < had || !had));
	if (store_snap(w->s, &sn))
		return;
	ck_assert_uint_eq(snap_version(sn), view_base(w->v));
	snap_unref(sn);
	kv_close(w->kv[0]);
	ck_assert_int_eq(view_kv(w->v, &w->kv[0]), 0);
	w->pos[0].placed = false;
	check_all(&w->m, w->kv[0]);
	w->pos[0].placed = false;
	if (!w->held)
		return;
	ck_assert_int_eq(snap_kv(w->held, &kv), 0);
	check_all(&w->then, kv);
	kv_close(kv);
}

static void do_commit(struct world *w)
{
	uint64_t version, before = view_base(w->v);
	struct snap *sn;
	struct kv *kv;

	ck_assert_int_eq(store_commit(w->s, w->v, &version), 0);
	ck_assert_uint_eq(version, before + 1);
	close_view(w);
	ck_assert_int_eq(store_snap(w->s, &sn), 0);
	ck_assert_int_eq(snap_kv(sn, &kv), 0);
	check_all(&w->m, kv);
	kv_close(kv);
	if (!w->held || prng_upto(&w->rnd, 3) == 0) {
		snap_unref(w->held);
		w->held = snap_ref(sn);
		w->then = w->m;
	}
	snap_unref(sn);
	open_view(w);
}

static void one(struct world *w)
{
	unsigned what = (unsigned)prng_upto(&w->rnd, 999), h = (unsigned)prng_upto(&w->rnd, HANDLES - 1);

	if (what < 500) {
		do_step(w, h);
	} else if (what < 600) {
		do_seek(w, h);
	} else if (what < 700) {
		do_get(w, h);
	} else if (what < 850) {
		do_put(w, h);
	} else if (what < 990) {
		do_del(w, h);
	} else if (what < 994) {
		view_park(w->v);
		ck_assert_int_eq(view_resume(w->v, w->s), 0);
	} else if (what < 996) {
		do_fold(w);
	} else if (what < 998) {
		kv_close(w->kv[h]);
		ck_assert_int_eq(view_kv(w->v, &w->kv[h]), 0);
		w->pos[h].placed = false;
		check_all(&w->m, w->kv[h]);
		w->pos[h].placed = false;
	} else {
		do_commit(w);
	}
}

START_TEST(views_behave)
{
	struct world *w = calloc(1, sizeof *w);
	struct store_dir_opts opts = { .recent_from = _i % 2 ? 1 + 10 * (unsigned)_i : 0 };
	struct store_dir *d;
	enum store_health h;
	char state[64];

	w->rnd = prng_seed((uint64_t)_i + 1);
	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	ck_assert_int_eq(store_open(d, ZONE, &w->s, &h), 0);
	open_view(w);
	for (unsigned i = 0; i < 20000; i++)
		one(w);
	close_view(w);
	snap_unref(w->held);
	store_close(w->s);
	store_dir_close(d);
	rm_tree(state);
	free(w);
}
END_TEST

/* An overlay item stays as it was while its handle rests, whatever other handles do. */
START_TEST(borrowed_items)
{
	struct kv *a, *b;
	struct kv_item it;
	struct view *v;

	ck_assert_int_eq(view_new(NULL, &v), 0);
	ck_assert_int_eq(view_kv(v, &a), 0);
	ck_assert_int_eq(view_kv(v, &b), 0);
	ck_assert_int_eq(kv_put(a, "\x20k", 2, "one", 3), 0);
	ck_assert_int_eq(kv_seek(a, "\x20k", 2, &it), 0);
	ck_assert_int_eq(kv_put(b, "\x20k", 2, "two", 3), 0);
	ck_assert_mem_eq(it.val, "one", 3);
	ck_assert_int_eq(kv_del(b, "\x20k", 2), 0);
	ck_assert_mem_eq(it.val, "one", 3);
	ck_assert_int_eq(kv_put(a, "", 0, "x", 1), ZS_EINVAL);
	ck_assert_int_eq(kv_put(a, "\1format", 7, "x", 1), ZS_EINVAL);
	kv_close(a);
	kv_close(b);
	view_free(v);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("store view");
	TCase *t = tcase_create("store view");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, views_behave, 0, 12);
	tcase_add_test(t, borrowed_items);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
