/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Crashes of the store at every numbered file call of a scenario: first build, small versions, key register,
 * a generation published under a snapshot, donors, reopening. The process is killed before, after and in the
 * middle of each call; each call fails once with EIO and with ENOSPC; and power cuts leave every kind of
 * image (powercut.h). Afterwards the store opens with the last version that was acknowledged or the one that
 * was being made, whole, and takes another one.
 *
 * Usage: t_store_crash [full | STRIDE]. Without an argument a slice that fits into `make check`.
 */
#include "t_store_util.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "crashshim.h"
#include "powercut.h"

#define NUMBERS 400
#define LAST 9

enum { NOTE_TRYING = 1, NOTE_ACKED, NOTE_KEYS };

/* What each version does: numbers from..to get its salt, or go away. A build starts from nothing. */
static const struct step {
	enum { COMMIT, REMOVE, BUILD } what;
	uint32_t from, to;
} plan[LAST + 2] = {
	[1] = { BUILD, 1, NUMBERS }, [2] = { COMMIT, 10, 20 }, [3] = { COMMIT, 1, 300 },
	[4] = { REMOVE, 100, 150 },  [5] = { COMMIT, 1, 3 },   [6] = { BUILD, 1, 300 },
	[7] = { COMMIT, 50, 60 },    [8] = { COMMIT, 5, 5 },   [9] = { BUILD, 2, 200 },
	[10] = { COMMIT, 7, 9 },
};

struct progress {
	uint64_t trying;
	uint64_t acked;
	uint64_t keys;
};

static struct progress *prog; /* shared with the children */

/* The salt of number n in version v, 0: not there. */
static uint32_t salt_of(uint64_t v, uint32_t n)
{
	uint32_t salt = 0;

	for (uint32_t i = 1; i <= v; i++) {
		if (plan[i].what == BUILD)
			salt = 0;
		if (n >= plan[i].from && n <= plan[i].to)
			salt = plan[i].what == REMOVE ? 0 : i;
	}
	return salt;
}

static int bad(const char *what, long n)
{
	fprintf(stderr, "  %s (%ld)\n", what, n);
	return 1;
}

static int check_content(struct kv *kv, uint64_t v)
{
	for (uint32_t n = 0; n <= NUMBERS + 1; n++) {
		uint32_t salt = salt_of(v, n);
		int rc = check_num(kv, n, salt);

		if (rc != (salt ? 0 : ZS_ENOENT))
			return bad("content", n);
	}
	return 0;
}

/* The newest snapshot is one of from..to, whole. */
static int check_newest(struct store *s, uint64_t from, uint64_t to, uint64_t *version)
{
	struct snap *sn;
	struct kv *kv;
	int rc = store_snap(s, &sn);

	*version = 0;
	if (rc == ZS_ENOENT && from == 0)
		return 0;
	if (rc)
		return bad("no snapshot", rc);
	*version = snap_version(sn);
	rc = snap_kv(sn, &kv);
	if (!rc) {
		rc = check_content(kv, *version);
		if (*version < from || *version > to)
			rc = bad("version", (long)*version);
		kv_close(kv);
	}
	snap_unref(sn);
	return rc;
}

/* --- the scenario --------------------------------------------------------------------------------------- */

static void acked(uint64_t v)
{
	prog->acked = v;
	crash_note(NOTE_ACKED, v);
}

/* What was written aside goes to its place, a part of it or all, under a held snapshot. */
static int do_fold(struct store *s, uint64_t v)
{
	struct snap *held;
	uint64_t left, now;
	int rc = store_snap(s, &held);

	if (rc)
		return rc;
	for (unsigned i = 0; !rc && i < 1 + v % 3; i++)
		rc = store_fold(s, NUMBERS / 2, NULL, NULL, &left);
	if (!rc)
		rc = check_newest(s, v, v, &now);
	snap_unref(held);
	return rc;
}

static int do_commit(struct store *s, uint64_t v)
{
	struct snap *sn;
	struct view *view;
	struct kv *kv;
	uint64_t version = 0;
	uint8_t key[8];
	int rc = store_snap(s, &sn);

	if (rc)
		return rc;
	rc = view_new(sn, &view);
	snap_unref(sn);
	if (rc)
		return rc;
	rc = view_kv(view, &kv);
	for (uint32_t n = plan[v].from; !rc && n <= plan[v].to; n++) {
		if (plan[v].what == COMMIT)
			rc = put_num(kv, n, (uint32_t)v);
		else
			rc = kv_del(kv, key, num_key(key, n));
	}
	if (!rc)
		rc = store_commit(s, view, &version);
	view_free(view);
	return !rc && version != v ? bad("commit made version", (long)version) : rc;
}

static int append_all(struct build *b, uint64_t v)
{
	uint8_t key[8], val[128];
	int rc = 0;

	for (uint32_t n = 0; !rc && n <= NUMBERS; n++) {
		uint32_t salt = salt_of(v, n);
		size_t klen = num_key(key, n);

		if (salt)
			rc = build_append(b, key, klen, val, num_val(val, n, salt));
		if (!rc && n == NUMBERS / 2)
			rc = build_checkpoint(b);
	}
	return rc;
}

/* The whole of version v, under the old snapshot: over a retired generation, too. */
static int do_build(struct store *s, uint64_t v)
{
	struct snap *held = NULL;
	struct build *b = NULL;
	uint64_t version = 0, now;
	int rc = store_snap(s, &held);

	if (rc == ZS_ENOENT && v == 1)
		rc = 0;
	if (!rc)
		rc = build_new(s, &b);
	if (!rc)
		rc = append_all(b, v);
	for (int i = 0; !rc && i < 3; i++) {
		rc = build_publish(b, &version);
		if (rc != ZS_EIO)
			break;
		rc = i < 2 ? 0 : rc;
	}
	if (rc)
		build_free(b);
	else
		rc = check_newest(s, v, v, &now);
	snap_unref(held);
	return !rc && version != v ? bad("build made version", (long)version) : rc;
}

/* The way out of a retired generation: the same version in the next one, under the old snapshot. */
static int do_renew(struct store *s, uint64_t v)
{
	struct store_copy_opts o = { 0 };
	struct store_copied out;
	struct snap *held = NULL;
	uint64_t now;
	int rc = store_snap(s, &held);

	if (!rc)
		rc = store_renew(s, &o, &out);
	if (!rc && out.version != v)
		rc = bad("renewal of version", (long)out.version);
	if (!rc)
		rc = check_newest(s, v, v, &now);
	snap_unref(held);
	return rc == ZS_ENOENT ? 0 : rc;
}

/* A step may fail where calls fail; then the version before is served whole, and the step is done again. */
static int do_version(struct store *s, uint64_t v, bool failing)
{
	uint64_t now;
	int rc = ZS_EIO;

	prog->trying = v;
	crash_note(NOTE_TRYING, v);
	for (int tries = 0; rc && tries < 4; tries++) {
		rc = tries && rc == ZS_EIO ? do_renew(s, v - 1) : 0;
		if (!rc)
			rc = plan[v].what == BUILD ? do_build(s, v) : do_commit(s, v);
		if (rc > 0 || (rc && !failing))
			return rc;
		if (rc && check_newest(s, v - 1, v - 1, &now))
			return bad("not served after a failure in version", (long)v);
	}
	if (rc)
		return rc;
	acked(v);
	rc = do_fold(s, v);
	if (rc < 0 && failing) /* the next version finds a retired generation, or moves what is left */
		rc = check_newest(s, v, v, &now);
	return rc;
}

static int do_key(struct keyreg *r, uint8_t id, bool failing)
{
	struct keyreg_entry e = { .id = { id }, .keystore = "file", .zone_len = 13, .role = 1 };
	int rc;

	memcpy(e.zone, ZONE, 13);
	rc = keyreg_put(r, &e);
	if (rc)
		return failing ? 0 : rc; /* a register that failed is closed and opened again; here it ends */
	prog->keys = id;
	crash_note(NOTE_KEYS, id);
	return 0;
}

static int open_all(const char *dir, struct store_dir **d, struct store **s, bool failing)
{
	struct store_dir_opts opts = { .recent_from = 5 };
	enum store_health health;
	int rc = ZS_EIO;

	*d = NULL;
	for (int tries = 0; rc && tries < 2 + failing; tries++)
		rc = store_dir_open(dir, &opts, d);
	if (rc)
		return bad("directory", rc);
	rc = ZS_EIO;
	for (int tries = 0; rc && tries < 1 + failing; tries++)
		rc = store_open(*d, ZONE, s, &health);
	if (rc) {
		store_dir_close(*d);
		return bad("store", rc);
	}
	if (health == STORE_DAMAGED || (health == STORE_EMPTY) != (prog->acked == 0))
		return bad("health", health);
	return 0;
}

static int keep_a_donor(struct store *s)
{
	struct build *b;
	int rc = build_new(s, &b);

	if (rc)
		return rc;
	rc = append_all(b, 3);
	build_keep(b);
	return rc;
}

static int first_half(const char *dir, bool failing)
{
	struct store_dir *d;
	struct store *s;
	struct keyreg *r = NULL;
	int rc = open_all(dir, &d, &s, failing);

	if (rc)
		return rc;
	rc = keyreg_open(d, &r);
	if (rc && failing)
		rc = 0;
	if (!rc && r)
		rc = do_key(r, 1, failing);
	for (uint64_t v = 1; !rc && v <= 7; v++)
		rc = do_version(s, v, failing);
	if (!rc && r && prog->keys == 1)
		rc = do_key(r, 2, failing);
	if (!rc)
		rc = keep_a_donor(s);
	if (rc < 0 && failing)
		rc = 0;
	keyreg_close(r);
	store_close(s);
	store_dir_close(d);
	return rc;
}

static int second_half(const char *dir, bool failing)
{
	struct store_dir *d;
	struct store *s;
	struct kv *kv;
	int rc = open_all(dir, &d, &s, failing);

	if (rc)
		return rc;
	rc = store_donor(s, &kv);
	if (!rc) {
		/* where a call failed, the donor may be a part */
		rc = failing ? 0 : check_content(kv, 3);
		kv_close(kv);
	} else if (failing) {
		rc = 0;
	}
	for (uint64_t v = 8; !rc && v <= LAST; v++)
		rc = do_version(s, v, failing);
	store_drop_donors(s);
	store_close(s);
	store_dir_close(d);
	return rc;
}

static int scenario(const char *dir, bool failing)
{
	int rc = first_half(dir, failing);

	return rc ? rc : second_half(dir, failing);
}

/* --- looking at what is left ---------------------------------------------------------------------------- */

static int count_keys(void *ctx, const struct keyreg_entry *e)
{
	unsigned *seen = ctx;

	*seen |= 1u << e->id[0];
	return 0;
}

static int check_keys(struct store_dir *d, uint64_t keys)
{
	struct keyreg *r;
	unsigned seen = 0;
	int rc = keyreg_open(d, &r);

	if (rc)
		return bad("key register", rc);
	rc = keyreg_each(r, count_keys, &seen);
	keyreg_close(r);
	for (uint64_t k = 1; k <= keys; k++)
		if (!(seen & 1u << k))
			return bad("key is lost", (long)k);
	return rc;
}

static int look(const char *dir, struct progress p)
{
	struct store_dir_opts opts = { 0 };
	enum store_health health;
	struct store_dir *d;
	struct store *s;
	uint64_t v;
	int rc = store_dir_open(dir, &opts, &d);

	if (rc)
		return bad("directory", rc);
	rc = store_open(d, ZONE, &s, &health);
	if (rc)
		return bad("store", rc);
	if (health == STORE_DAMAGED)
		return bad("damaged", 0);
	rc = check_newest(s, p.acked, p.trying, &v);
	if (!rc)
		rc = check_keys(d, p.keys);
	prog->trying = v + 1;
	if (!rc)
		rc = plan[v + 1].what == BUILD ? do_build(s, v + 1) : do_commit(s, v + 1);
	if (!rc)
		rc = do_fold(s, v + 1);
	store_drop_donors(s);
	store_close(s);
	store_dir_close(d);
	return rc;
}

/* --- children ------------------------------------------------------------------------------------------- */

static int wait_for(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			abort();
	if (WIFSIGNALED(status))
		return 128 + WTERMSIG(status);
	return WEXITSTATUS(status);
}

/* The number of calls, or minus what the child ended with. */
static long run(enum crash_mode mode, const char *dir, long at, int err, int fd)
{
	static long *count;
	pid_t pid;
	int rc;

	if (!count)
		count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	*prog = (struct progress){ 0, 0, 0 };
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		crash_arm(mode, dir, at, err, fd);
		rc = scenario(dir, mode == CRASH_FAIL);
		*count = crash_count();
		_exit(rc ? 1 : 0);
	}
	rc = wait_for(pid);
	if (rc && rc != 128 + SIGKILL)
		return -rc;
	return *count;
}

static int look_in_child(const char *dir, struct progress p)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(look(dir, p) ? 1 : 0);
	return wait_for(pid);
}

struct tally {
	unsigned long points;
	unsigned long failures;
};

static void judge(struct tally *t, bool good, const char *what, long n, int detail)
{
	t->points++;
	if (good)
		return;
	t->failures++;
	fprintf(stderr, "FAIL: %s, call %ld, %d\n", what, n, detail);
}

static void kills(struct tally *t, const char *base, enum crash_mode mode, long calls, long stride)
{
	static const char *const how[] = {
		[CRASH_BEFORE] = "killed before", [CRASH_AFTER] = "killed after", [CRASH_HALF] = "killed in",
	};
	char dir[128];
	long got;
	int rc;

	for (long n = 1; n <= calls; n += stride) {
		snprintf(dir, sizeof dir, "%s/k", base);
		if (mkdir(dir, 0700))
			abort();
		got = run(mode, dir, n, 0, -1);
		rc = got < 0 ? (int)got : look_in_child(dir, *prog);
		judge(t, rc == 0, how[mode], n, rc);
		rm_tree(dir);
	}
}

static void failures(struct tally *t, const char *base, int err, long calls, long stride)
{
	struct progress all = { LAST, LAST, 0 };
	char dir[128];
	long got;
	int rc;

	for (long n = 1; n <= calls; n += stride) {
		snprintf(dir, sizeof dir, "%s/f", base);
		if (mkdir(dir, 0700))
			abort();
		got = run(CRASH_FAIL, dir, n, err, -1);
		all.keys = prog->keys;
		rc = got < 0 ? (int)got : look_in_child(dir, all);
		judge(t, rc == 0, err == EIO ? "EIO" : "ENOSPC", n, rc);
		rm_tree(dir);
	}
}

static void power_cuts(struct tally *t, const char *base, const char *trace, size_t stride, unsigned seeds)
{
	struct powercut *p = powercut_load(trace);
	char dir[128];

	snprintf(dir, sizeof dir, "%s/p", base);
	for (size_t n = 1; n <= powercut_records(p); n += stride) {
		struct progress at = { powercut_note(p, n, NOTE_TRYING), powercut_note(p, n, NOTE_ACKED),
				       powercut_note(p, n, NOTE_KEYS) };

		for (unsigned how = 0; how < CUTS; how++) {
			for (unsigned seed = 0; seed < (how < CUT_TORN_512 ? 1 : seeds); seed++) {
				int rc;

				powercut_image(p, n, how, seed * 1000003 + n, dir);
				rc = look_in_child(dir, at);
				judge(t, rc == 0, "power cut", (long)n, (int)(how * 1000 + seed));
				rm_tree(dir);
			}
		}
	}
	powercut_free(p);
}

/* In memory when there is such a place: nothing here depends on a real disk. */
static void make_base(char *base, size_t cap)
{
	snprintf(base, cap, "/dev/shm/t_store_crash.XXXXXX");
	if (mkdtemp(base))
		return;
	snprintf(base, cap, "t_store_crash.XXXXXX");
	if (!mkdtemp(base))
		abort();
}

static long trace_once(const char *base, char *trace, size_t cap)
{
	char dir[128];
	FILE *fp;
	long calls;

	snprintf(dir, sizeof dir, "%s/t", base);
	snprintf(trace, cap, "%s/trace", base);
	fp = fopen(trace, "w");
	if (!fp || mkdir(dir, 0700))
		abort();
	calls = run(CRASH_TRACE, dir, 0, 0, fileno(fp));
	fclose(fp);
	if (calls <= 0 || look_in_child(dir, *prog))
		calls = -1;
	rm_tree(dir);
	return calls;
}

int main(int argc, char **argv)
{
	bool full = argc > 1 && strcmp(argv[1], "full") == 0;
	long stride = full ? 1 : argc > 1 ? atol(argv[1]) : 5, calls;
	struct tally t = { 0, 0 };
	char base[64], trace[128];

	if (stride < 1)
		return 2;
	prog = mmap(NULL, sizeof *prog, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (prog == MAP_FAILED)
		return 2;
	make_base(base, sizeof base);
	calls = trace_once(base, trace, sizeof trace);
	if (calls < 0) {
		fprintf(stderr, "the scenario fails by itself\n");
		return 1;
	}
	kills(&t, base, CRASH_BEFORE, calls, stride);
	kills(&t, base, CRASH_AFTER, calls, stride);
	kills(&t, base, CRASH_HALF, calls, stride);
	failures(&t, base, EIO, calls, stride);
	failures(&t, base, ENOSPC, calls, stride);
	power_cuts(&t, base, trace, (size_t)stride, full ? 20 : 2);
	rm_tree(base);
	printf("%ld calls, %lu points, %lu failures\n", calls, t.points, t.failures);
	return t.failures != 0;
}
