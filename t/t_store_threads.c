/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Threads with snapshots while versions are committed and generations replaced, with one environment more
 * open than allowed most of the time. In version v every number has salt v: a reader that sees a mixture, or
 * another version than its snapshot says, is a failure. To be run under ThreadSanitizer as well.
 */
#include "t_store_util.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <time.h>

#include "base/rand.h"
#include "t_suite.h"

#define ZONES 3
#define NUMBERS 300
#define VERSIONS 60
#define READERS 4

struct shared {
	struct store *s[ZONES];
	atomic_uint running;
	atomic_uint bad;
	atomic_uint reads;
};

struct job {
	struct shared *sh;
	unsigned zone;
	uint64_t seed;
	pthread_t id;
};

static int read_version(struct snap *sn)
{
	struct kv *kv;
	struct kv_item it;
	uint64_t version = snap_version(sn);
	unsigned n = 0;
	int rc = snap_kv(sn, &kv), bad = 0;

	if (rc == ZS_EAGAIN) /* an old version, all its members are borrowed */
		return 0;
	if (rc)
		return 1;
	for (rc = kv_seek(kv, "\x20", 1, &it); rc == 0; rc = kv_next(kv, &it), n++)
		bad |= it.vlen < 8 || be32(it.val + 4) != version;
	kv_close(kv);
	return bad || n != NUMBERS;
}

static void *reader(void *arg)
{
	struct job *j = arg;
	struct prng rnd = prng_seed(j->seed);
	struct snap *held = NULL, *sn;
	struct store_pins pins;

	while (atomic_load(&j->sh->running)) {
		struct store *s = j->sh->s[prng_upto(&rnd, ZONES - 1)];

		if (store_snap(s, &sn)) {
			atomic_fetch_add(&j->sh->bad, 1);
			break;
		}
		atomic_fetch_add(&j->sh->bad, (unsigned)read_version(sn));
		snap_pinned(sn);
		store_pinned(s, 0, &pins);
		store_bytes(s);
		if (prng_upto(&rnd, 3) == 0) {
			snap_unref(held);
			held = snap_ref(sn);
		}
		if (held)
			atomic_fetch_add(&j->sh->bad, (unsigned)read_version(held));
		snap_unref(sn);
		atomic_fetch_add(&j->sh->reads, 1);
	}
	snap_unref(held);
	return NULL;
}

static int publish_build(struct store *s, uint32_t salt, uint64_t *version)
{
	uint8_t key[8], val[128];
	struct build *b;
	int rc = build_new(s, &b);

	for (uint32_t n = 0; !rc && n < NUMBERS; n++) {
		size_t klen = num_key(key, n);

		rc = build_append(b, key, klen, val, num_val(val, n, salt));
	}
	if (!rc)
		rc = build_publish(b, version);
	return rc;
}

static void *writer(void *arg)
{
	struct job *j = arg;
	struct store *s = j->sh->s[j->zone];
	uint64_t version = 0, left;
	int rc = 0;

	for (uint32_t v = 2; !rc && v < VERSIONS; v++) {
		if (v % 5 == j->zone)
			rc = publish_build(s, v, &version);
		else
			rc = commit_nums(s, 0, NUMBERS - 1, v, &version);
		if (!rc && v % 3) {
			rc = store_fold(s, NUMBERS / 2, NULL, NULL, &left);
			rc = rc == ZS_EAGAIN ? 0 : rc; /* the map is full, and readers have handles */
		}
		if (rc || version != v)
			atomic_fetch_add(&j->sh->bad, 1);
	}
	atomic_fetch_sub(&j->sh->running, 1);
	return NULL;
}

START_TEST(readers_and_writers)
{
	/* small maps, so that growth is under way too */
	struct store_dir_opts opts = { .max_open = 1, .map_size = 64 << 10, .recent_from = NUMBERS / 2 };
	struct job w[ZONES], r[READERS];
	struct shared sh = { .running = ZONES };
	struct store_dir *d;
	enum store_health h;
	uint8_t zone[4] = "\1a";
	char state[64];
	uint64_t version;

	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	for (unsigned i = 0; i < ZONES; i++) {
		zone[1] = (uint8_t)('a' + i);
		ck_assert_int_eq(store_open(d, zone, &sh.s[i], &h), 0);
		ck_assert_int_eq(commit_nums(sh.s[i], 0, NUMBERS - 1, 1, &version), 0);
	}
	for (unsigned i = 0; i < READERS; i++) {
		r[i] = (struct job){ .sh = &sh, .seed = i };
		ck_assert_int_eq(pthread_create(&r[i].id, NULL, reader, &r[i]), 0);
	}
	for (unsigned i = 0; i < ZONES; i++) {
		w[i] = (struct job){ .sh = &sh, .zone = i };
		ck_assert_int_eq(pthread_create(&w[i].id, NULL, writer, &w[i]), 0);
	}
	for (unsigned i = 0; i < ZONES; i++)
		pthread_join(w[i].id, NULL);
	for (unsigned i = 0; i < READERS; i++)
		pthread_join(r[i].id, NULL);
	ck_assert_uint_eq(sh.bad, 0);
	ck_assert_uint_gt(sh.reads, 0);
	for (unsigned i = 0; i < ZONES; i++)
		store_close(sh.s[i]);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

struct committer { pthread_t id; struct store *s; struct view *v; int rc; atomic_bool done; };

static void *commit_one(void *arg)
{
	struct committer *c = arg;
	uint64_t version;

	c->rc = store_commit(c->s, c->v, &version);
	atomic_store(&c->done, true);
	return NULL;
}

/* Where it does not end it waits for handles: most of the time that is what this sees. */
static void give_it_time(struct committer *c)
{
	struct timespec ms = { .tv_nsec = 1000000 };

	for (unsigned i = 0; i < 100 && !atomic_load(&c->done); i++)
		nanosleep(&ms, NULL);
}

/* A version with a handle out, made over what stands aside. */
static struct view *next_version(struct store *s, uint32_t wide, uint32_t salt)
{
	struct snap *sn;
	struct view *v;
	struct kv *kv;

	ck_assert_int_eq(store_snap(s, &sn), 0);
	ck_assert_int_eq(view_new(sn, &v), 0);
	snap_unref(sn);
	ck_assert_int_eq(view_kv(v, &kv), 0);
	for (uint32_t n = 0; n < wide; n++)
		ck_assert_int_eq(put_num(kv, n, salt), 0);
	return v;
}

/* One more of what a fold may answer while others are at work. */
static unsigned fold_gives_up(struct store *s)
{
	uint64_t left, had = store_recent(s);
	int rc = store_fold(s, 10 * NUMBERS, NULL, NULL, &left);

	ck_assert(rc == 0 || rc == ZS_EAGAIN);
	ck_assert(rc == 0 || left == had);
	return rc != 0;
}

/*
 * The map is full again and again, and a transfer has a handle out. A commit waits for it; a fold for neither
 * of them, nor does a commit wait for a fold.
 */
START_TEST(a_fold_waits_for_nobody)
{
	struct store_dir_opts opts = { .map_size = 64 << 10, .recent_from = 1, .grow_wait_ms = 600000 };
	enum { ROUNDS = 20, WIDE = 2500 };
	unsigned full = 0, committing = 0;
	struct committer c = { .rc = 0 };
	struct store_dir *d;
	enum store_health h;
	struct snap *old, *now;
	struct kv *transfer;
	char state[64];
	uint64_t version, left;

	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	ck_assert_int_eq(store_open(d, ZONE, &c.s, &h), 0);
	ck_assert_int_eq(commit_nums(c.s, 0, WIDE, 1, &version), 0);
	ck_assert_int_eq(store_snap(c.s, &old), 0); /* no page comes back */
	for (uint32_t round = 2; round < ROUNDS; round++) {
		ck_assert_int_eq(commit_nums(c.s, round, WIDE, round, &version), 0);
		c.v = next_version(c.s, round % 2 ? 1 : WIDE, round);
		full += fold_gives_up(c.s); /* for the handle of the version */
		ck_assert_int_eq(store_snap(c.s, &now), 0);
		ck_assert_int_eq(snap_kv(now, &transfer), 0);
		atomic_store(&c.done, false);
		ck_assert_int_eq(pthread_create(&c.id, NULL, commit_one, &c), 0);
		give_it_time(&c);
		committing += !atomic_load(&c.done);
		full += fold_gives_up(c.s);
		kv_close(transfer);
		snap_unref(now);
		pthread_join(c.id, NULL);
		ck_assert_int_eq(c.rc, 0);
		view_free(c.v);
		ck_assert_int_eq(store_fold(c.s, 10 * NUMBERS, NULL, NULL, &left), 0);
		ck_assert_uint_eq(left, 0);
	}
	ck_assert_uint_gt(full, 0);
	ck_assert_uint_gt(committing, 0);
	snap_unref(old);
	store_close(c.s);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

/* Has a handle nearly all of the time; with others like it, so that there is always one out. */
static void *holder(void *arg)
{
	struct timespec ms = { .tv_nsec = 1000000 };
	struct job *j = arg;
	struct snap *sn;
	struct kv *kv;

	while (atomic_load(&j->sh->running)) {
		if (store_snap(j->sh->s[0], &sn))
			break;
		if (snap_kv(sn, &kv) == 0) {
			nanosleep(&ms, NULL);
			kv_close(kv);
			atomic_fetch_add(&j->sh->reads, 1);
		}
		snap_unref(sn);
	}
	return NULL;
}

/* A full map waits for handles to come back, and no new ones go out meanwhile. */
START_TEST(readers_do_not_keep_the_map_from_growing)
{
	struct store_dir_opts opts = { .map_size = 64 << 10, .grow_wait_ms = 3000 };
	enum { HOLDERS = 12 };
	struct shared sh = { .running = 1 };
	struct job r[HOLDERS];
	struct store_dir *d;
	enum store_health h;
	char state[64];
	uint64_t version;

	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &opts, &d), 0);
	ck_assert_int_eq(store_open(d, ZONE, &sh.s[0], &h), 0);
	ck_assert_int_eq(commit_nums(sh.s[0], 0, 10, 1, &version), 0);
	for (unsigned i = 0; i < HOLDERS; i++) {
		r[i] = (struct job){ .sh = &sh };
		ck_assert_int_eq(pthread_create(&r[i].id, NULL, holder, &r[i]), 0);
	}
	while (atomic_load(&sh.reads) < 4 * HOLDERS)
		sched_yield();
	ck_assert_int_eq(commit_nums(sh.s[0], 0, 8000, 2, &version), 0);
	atomic_store(&sh.running, 0);
	for (unsigned i = 0; i < HOLDERS; i++)
		pthread_join(r[i].id, NULL);
	store_close(sh.s[0]);
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		readers_and_writers,
		a_fold_waits_for_nobody,
		readers_do_not_keep_the_map_from_growing,
	};

	return RUN_SUITE("store threads", tests);
}
