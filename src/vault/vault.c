/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The vault process: one poll loop over the parent, the engines and the crew's eventfd. The loop decodes
 * frames, queues work and sends answers; it never calls a back end, so that its heartbeat tells the parent
 * how long a vendor call has been running. A frame that does not decode ends its connection; the parent's
 * ends the process. Nothing but SETUP is taken before SETUP.
 */
#include "vault/vault.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/frame.h"
#include "base/log.h"
#include "crew.h"

#define ENGINES_MAX 16
#define PARENT_OUT (16u << 20)
#define ENGINE_OUT (64u << 20)      /* never reached: what an engine may have open bounds what it gets */
#define ENGINE_OPEN 8192u           /* requests of one engine; reading stops over it */
#define ENGINE_OPEN_OCTETS (64u << 20)
#define RESULT_FRAME (512u << 10)
#define EXIT_PROTOCOL 1
#define IDLE_BEAT_S 5

struct engine {
	struct frame_conn *conn; /* NULL: gone, waits for its open requests */
	size_t open, open_octets;
	struct wr out;           /* RESULT frame being filled */
	uint16_t out_n;
};

struct vault {
	struct frame_conn *parent;
	struct proto_setup setup;
	struct crew *crew;       /* NULL before SETUP */
	struct keymap filling;   /* KEYMAP frames until the last one */
	struct engine *engine[ENGINES_MAX];
	struct proto_state state;
	mono_t last_beat;
	bool call_runs;
	bool quit;
	int status;
};

/* Key material stays out of dumps, swap and other processes' reach; what the system does not grant is not. */
static void harden(void)
{
	struct rlimit none = { 0, 0 }, lock;

	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	setrlimit(RLIMIT_CORE, &none);
	/* under a limit later allocations would fail instead of staying unlocked */
	if (getrlimit(RLIMIT_MEMLOCK, &lock) == 0 && lock.rlim_cur == RLIM_INFINITY)
		mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT);
}

static void fail(struct vault *v, int status, const char *why)
{
	if (!v->quit)
		log_msg(LL_ERR, "vault", NULL, "ends: %s", why);
	v->quit = true;
	v->status = status;
}

/* A frame that the connection has no room for is as bad as a closed one: peers read or are restarted. */
static void to_parent(struct vault *v, uint8_t type, struct wr *w)
{
	if (w->err || frame_send(v->parent, type, w->p, w->len, NULL, 0) != 0)
		fail(v, EXIT_PROTOCOL, "no room for a frame to the parent");
	if (w->max)
		wr_free(w);
}

static void engine_close(struct vault *v, struct engine *e)
{
	if (!e->conn)
		return;
	frame_conn_free(e->conn);
	e->conn = NULL;
	if (v->crew)
		crew_forget(v->crew, e);
}

static void engine_send(struct vault *v, struct engine *e, uint8_t type, const void *p, size_t len)
{
	if (e->conn && frame_send(e->conn, type, p, len, NULL, 0) != 0)
		engine_close(v, e);
}

static void engine_free(struct engine *e)
{
	if (!e)
		return;
	frame_conn_free(e->conn);
	wr_free(&e->out);
	free(e);
}

static void send_status(struct vault *v, struct engine *e)
{
	uint8_t buf[256];
	struct wr w = wr_fixed(buf, sizeof(buf));
	struct proto_state s = v->state;

	/* enough to keep every session busy between two wake-ups,
	 * and no more: USER requests queue behind it */
	s.window = v->setup.file ? 512 * (v->setup.threads ? v->setup.threads : 1) : 2 * s.sessions_max + 14;
	if (s.window > ENGINE_OPEN / 2)
		s.window = ENGINE_OPEN / 2;
	proto_put_state(&w, &s, true);
	engine_send(v, e, PT_STATUS, w.p, w.len);
}

static void announce(struct vault *v, const struct proto_state *s)
{
	uint8_t buf[256];
	struct wr w = wr_fixed(buf, sizeof(buf));

	v->state = *s;
	proto_put_state(&w, s, false);
	to_parent(v, PT_STATE, &w);
	for (int i = 0; i < ENGINES_MAX; i++)
		if (v->engine[i])
			send_status(v, v->engine[i]);
}

static void on_setup(struct vault *v, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);

	if (proto_get_setup(&r, &v->setup)) {
		fail(v, EXIT_PROTOCOL, "bad SETUP");
		return;
	}
	v->crew = crew_new(&v->setup);
	if (!v->crew || crew_start(v->crew))
		fail(v, EXIT_PROTOCOL, "cannot start threads");
}

static void on_keymap(struct vault *v, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	uint8_t flags = rd_u8(&r);
	uint32_t n = rd_u32(&r);
	struct keymap_line line;
	int rc = 0;

	if (flags & 1)
		keymap_free(&v->filling);
	while (n-- && !r.err && !rc) {
		proto_get_line(&r, &line);
		if (!r.err)
			rc = keymap_put(&v->filling, &line);
	}
	if (rc || rd_done(&r))
		fail(v, EXIT_PROTOCOL, "bad KEYMAP");
	else if (flags & 2)
		crew_keymap(v->crew, &v->filling);
}

static void on_engine(struct vault *v, struct frame *f)
{
	struct engine *e = NULL;
	int slot = 0;

	while (slot < ENGINES_MAX && v->engine[slot])
		slot++;
	if (f->nfds != 1 || f->len) {
		fail(v, EXIT_PROTOCOL, "bad ENGINE");
		return;
	}
	if (slot < ENGINES_MAX)
		e = calloc(1, sizeof(*e));
	if (e)
		e->conn = frame_conn_new(f->fds[0], ENGINE_OUT);
	if (!e || !e->conn) {
		free(e);
		return; /* the descriptor is closed behind us: the engine sees that */
	}
	f->nfds = 0;
	e->out = wr_growing(RESULT_FRAME + SIG_MAX + 64);
	v->engine[slot] = e;
	send_status(v, e);
}

static void on_errand(struct vault *v, struct frame *f, enum errand_kind kind)
{
	struct rd r = rd_init(f->data, f->len);
	struct errand *e = calloc(1, sizeof(*e));
	const uint8_t *key;

	if (!e) {
		fail(v, EXIT_PROTOCOL, "out of memory");
		return;
	}
	e->kind = kind;
	e->id = rd_u64(&r);
	if (kind == ERRAND_GENERATE) {
		proto_get_line(&r, &e->line);
	} else if (kind == ERRAND_DELETE) {
		key = rd_bytes(&r, KEY_ID_LEN);
		if (key)
			memcpy(e->line.id, key, KEY_ID_LEN);
	}
	if (rd_done(&r)) {
		free(e);
		fail(v, EXIT_PROTOCOL, "bad frame");
		return;
	}
	crew_errand(v->crew, e);
}

/* The keys go where the descriptor points, and nowhere else: no name comes with it. */
static void on_backup(struct vault *v, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	struct errand *e;

	if (rd_done(&r) || f->nfds != 1) {
		fail(v, EXIT_PROTOCOL, "bad BACKUP");
		return;
	}
	e = calloc(1, sizeof(*e));
	if (!e) {
		fail(v, EXIT_PROTOCOL, "out of memory");
		return;
	}
	e->kind = ERRAND_BACKUP;
	e->id = id;
	e->dir = f->fds[0];
	f->nfds = 0;
	crew_errand(v->crew, e);
}

static void on_pin(struct vault *v, struct frame *f)
{
	int fd = -1;

	if (f->len != 1 || f->data[0] > PIN_ERROR || f->nfds != (f->data[0] == PIN_HERE ? 1u : 0u)) {
		fail(v, EXIT_PROTOCOL, "bad PIN frame");
		return;
	}
	if (f->nfds)
		fd = f->fds[0];
	f->nfds = 0;
	crew_pin(v->crew, (enum pin_code)f->data[0], fd);
}

static void on_parent_frame(struct vault *v, struct frame *f)
{
	if ((f->type == PT_SETUP) == (v->crew != NULL)) {
		fail(v, EXIT_PROTOCOL, "frame out of turn");
		return;
	}
	switch (f->type) {
	case PT_SETUP:
		on_setup(v, f);
		break;
	case PT_KEYMAP:
		on_keymap(v, f);
		break;
	case PT_ENGINE:
		on_engine(v, f);
		break;
	case PT_GENERATE:
		on_errand(v, f, ERRAND_GENERATE);
		break;
	case PT_DELETE:
		on_errand(v, f, ERRAND_DELETE);
		break;
	case PT_TEST:
		on_errand(v, f, ERRAND_TEST);
		break;
	case PT_BACKUP:
		on_backup(v, f);
		break;
	case PT_PIN:
		on_pin(v, f);
		break;
	case PT_RETRY:
		crew_retry(v->crew);
		break;
	case PT_QUIT:
		v->quit = true;
		break;
	default:
		fail(v, EXIT_PROTOCOL, "unknown frame");
	}
}

static void read_parent(struct vault *v)
{
	struct frame f;
	int rc;

	while (!v->quit && (rc = frame_recv(v->parent, &f)) != ZS_EAGAIN) {
		if (rc == ZS_ECLOSED) {
			v->quit = true; /* the parent is gone, so are we */
			return;
		}
		if (rc) {
			fail(v, EXIT_PROTOCOL, zs_strerror(rc));
			return;
		}
		on_parent_frame(v, &f);
		while (f.nfds)
			close(f.fds[--f.nfds]);
	}
}

/* One SIGN frame becomes a set of jobs. ZS_EFORMAT, ZS_ENOMEM: the connection is done for. */
static int on_sign(struct vault *v, struct engine *e, const struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	size_t n = rd_u16(&r);
	struct jobset *set;

	if (f->type != PT_SIGN || f->nfds || !n || n > SIGN_FRAME_REQUESTS || n * SIGN_REQUEST_HEAD > f->len)
		return ZS_EFORMAT;
	set = malloc(sizeof(*set) + n * sizeof(set->job[0]) + f->len);
	if (!set)
		return ZS_ENOMEM;
	*set = (struct jobset){ .owner = e, .open = n, .n = n, .octets = (uint8_t *)&set->job[n] };
	memcpy(set->octets, f->data, f->len);
	r = rd_init(set->octets + 2, f->len - 2);
	for (size_t i = 0; i < n; i++) {
		struct job *j = &set->job[i];

		proto_get_request(&r, &j->q);
		j->set = set;
		j->tries = 0;
		j->result = (struct proto_result){ 0 };
	}
	if (rd_done(&r)) {
		free(set);
		return ZS_EFORMAT;
	}
	e->open += n;
	for (size_t i = 0; i < n; i++)
		e->open_octets += set->job[i].q.tbs_len;
	crew_submit(v->crew, set);
	return 0;
}

static bool engine_full(const struct engine *e)
{
	return e->open >= ENGINE_OPEN || e->open_octets >= ENGINE_OPEN_OCTETS;
}

static void read_engine(struct vault *v, struct engine *e)
{
	struct frame f;
	int rc = 0;

	while (!rc && e->conn && !engine_full(e)) {
		rc = frame_recv(e->conn, &f);
		if (rc)
			break;
		rc = on_sign(v, e, &f);
		while (f.nfds)
			close(f.fds[--f.nfds]);
	}
	if (rc && rc != ZS_EAGAIN) {
		if (rc != ZS_ECLOSED)
			log_msg(LL_ERR, "vault", NULL, "engine connection dropped: %s", zs_strerror(rc));
		engine_close(v, e);
	}
}

static void flush_results(struct vault *v, struct engine *e)
{
	if (e->out_n) {
		wr_put_u16(&e->out, 0, e->out_n);
		if (e->out.err)
			engine_close(v, e);
		engine_send(v, e, PT_RESULT, e->out.p, e->out.len);
	}
	e->out.len = 0;
	e->out_n = 0;
}

static void put_result(struct vault *v, struct job *j)
{
	struct engine *e = j->set->owner;

	e->open--;
	e->open_octets -= j->q.tbs_len;
	if (e->conn) {
		if (!e->out_n)
			wr_u16(&e->out, 0);
		proto_put_result(&e->out, &j->result);
		if (++e->out_n == UINT16_MAX || e->out.len >= RESULT_FRAME)
			flush_results(v, e);
	}
	if (--j->set->open == 0)
		free(j->set);
}

static void put_results(struct vault *v, struct job *j)
{
	while (j) {
		struct job *next = j->next;

		put_result(v, j);
		j = next;
	}
	for (int i = 0; i < ENGINES_MAX; i++) {
		struct engine *e = v->engine[i];

		if (!e)
			continue;
		flush_results(v, e);
		if (e->conn)
			read_engine(v, e); /* it may have been full */
		if (!e->conn && !e->open) {
			engine_free(e);
			v->engine[i] = NULL;
		}
	}
}

static void drop_job(struct job *j)
{
	if (--j->set->open == 0)
		free(j->set);
}

static void put_errand(struct vault *v, const struct errand *e)
{
	static const uint8_t type[] = { PT_GENERATED, PT_DELETED, PT_TESTED, PT_BACKED_UP };
	struct wr w = wr_growing(4096);

	wr_u64(&w, e->id);
	wr_u8(&w, (uint8_t)proto_status(e->result));
	if (e->kind == ERRAND_GENERATE) {
		wr_u16(&w, (uint16_t)(e->result ? 0 : e->pub_len));
		wr_bytes(&w, e->pub, e->result ? 0 : e->pub_len);
	} else if (e->kind == ERRAND_TEST || e->kind == ERRAND_BACKUP) {
		proto_put_str(&w, e->text);
	}
	to_parent(v, type[e->kind], &w);
}

static void put_login(struct vault *v, const struct crew_news *n)
{
	uint8_t buf[128];
	struct wr w = wr_fixed(buf, sizeof(buf));

	wr_u8(&w, (uint8_t)n->login_code);
	proto_put_str(&w, n->login_text);
	to_parent(v, PT_LOGIN, &w);
}

static void say_bye(struct vault *v)
{
	for (int i = 0; i < ENGINES_MAX; i++)
		if (v->engine[i] && v->engine[i]->conn)
			engine_send(v, v->engine[i], PT_BYE, "", 0);
}

static void take_news(struct vault *v)
{
	struct crew_news n;
	struct wr empty = wr_fixed(NULL, 0);

	crew_news(v->crew, &n);
	if (n.login)
		put_login(v, &n);
	if (n.need_pin)
		to_parent(v, PT_NEED_PIN, &empty);
	/* the state before the results: who is told to send again must know first that we are down */
	if (n.changed)
		announce(v, &n.state);
	put_results(v, n.done);
	while (n.errands) {
		struct errand *e = n.errands;

		n.errands = e->next;
		put_errand(v, e);
		if (e->kind == ERRAND_BACKUP)
			close(e->dir);
		free(e);
	}
	if (n.exit_status)
		fail(v, n.exit_status, n.state.text);
}

static void beat(struct vault *v, mono_t now)
{
	uint8_t buf[8];
	struct wr w = wr_fixed(buf, sizeof(buf));
	uint32_t age = 0;
	enum call_kind kind = v->crew ? crew_call(v->crew, now, &age) : CALL_NONE;

	v->call_runs = kind != CALL_NONE;
	if (mono_diff(now, v->last_beat) < MONO_S(v->call_runs ? BEAT_SECONDS : IDLE_BEAT_S))
		return;
	v->last_beat = now;
	/* a parent that does not read needs no beats on top */
	if (frame_pending(v->parent) > PARENT_OUT / 2)
		return;
	wr_u8(&w, (uint8_t)kind);
	wr_u32(&w, age);
	to_parent(v, PT_BEAT, &w);
}

static unsigned poll_set(struct vault *v, struct pollfd *p, struct engine **of)
{
	unsigned n = 0;

	p[n++] = (struct pollfd){ .fd = frame_conn_fd(v->parent),
				  .events = frame_pending(v->parent) ? POLLIN | POLLOUT : POLLIN };
	p[n++] = (struct pollfd){ .fd = v->crew ? crew_fd(v->crew) : -1, .events = POLLIN };
	for (int i = 0; i < ENGINES_MAX; i++) {
		struct engine *e = v->engine[i];

		if (!e || !e->conn)
			continue;
		of[n] = e;
		p[n++] = (struct pollfd){ .fd = frame_conn_fd(e->conn),
					  .events = (short)((engine_full(e) ? 0 : POLLIN) |
							    (frame_pending(e->conn) ? POLLOUT : 0)) };
	}
	return n;
}

static void flush_all(struct vault *v)
{
	int rc = frame_flush(v->parent);

	if (rc && rc != ZS_EAGAIN)
		v->quit = true;
	for (int i = 0; i < ENGINES_MAX; i++) {
		struct engine *e = v->engine[i];

		if (!e || !e->conn)
			continue;
		rc = frame_flush(e->conn);
		if (rc && rc != ZS_EAGAIN)
			engine_close(v, e);
	}
}

static void loop(struct vault *v)
{
	struct pollfd p[ENGINES_MAX + 2];
	struct engine *of[ENGINES_MAX + 2];
	int wait = clk_poll_ms() > 0 ? clk_poll_ms() : BEAT_SECONDS * 1000;
	unsigned n;

	while (!v->quit) {
		flush_all(v);
		n = poll_set(v, p, of);
		if (poll(p, n, wait) < 0 && errno != EINTR) {
			fail(v, EXIT_PROTOCOL, "poll");
			return;
		}
		if (p[0].revents)
			read_parent(v);
		for (unsigned i = 2; i < n && !v->quit; i++)
			if (p[i].revents & (POLLHUP | POLLERR) && engine_full(of[i]))
				engine_close(v, of[i]);
			else if (p[i].revents & ~POLLOUT)
				read_engine(v, of[i]);
		if (v->crew)
			take_news(v);
		beat(v, clk_mono());
	}
}

int vault_main(int parent_fd)
{
	struct vault *v = calloc(1, sizeof(*v));
	int status;

	harden();
	if (!v || !(v->parent = frame_conn_new(parent_fd, PARENT_OUT))) {
		free(v);
		return EXIT_PROTOCOL;
	}
	loop(v);
	say_bye(v);
	flush_all(v);
	status = v->status;
	/* a vendor call that does not return must not keep the process: the main leaves with _exit() */
	if (v->crew && !v->setup.file && !crew_quiet(v->crew))
		return status;
	crew_free(v->crew, drop_job);
	for (int i = 0; i < ENGINES_MAX; i++)
		engine_free(v->engine[i]);
	keymap_free(&v->filling);
	frame_conn_free(v->parent);
	free(v);
	return status;
}
