/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stats port's server: evhttp on a thread and an event base of its own. It shares nothing with the loop
 * but questions: one is posted to the loop's mailbox, the loop renders, and the thread waits for that,
 * ANSWER_MS at most (503 then; the loop drops a question nobody waits for). So a scrape never reads a
 * structure of the loop, and a stalled loop shows as such. GET and HEAD alone; who may ask is who may connect
 * and names us by an address of ours (http_host.c). evhttp counts no connections: we hold a reference to each
 * one's bufferevent and see by it when it was let go; listeners rest at the cap.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/http_struct.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>
#include "base/err.h"
#include "base/log.h"
#include "engine.h"
#include "http.h"
#include "http_priv.h"
#include "mtext.h"

#define CONNECTIONS_MAX 64
#define HEADERS_MAX 16384
#define IDLE_S 30              /* nothing read or written */
#define REQUEST_S 60           /* from connecting, or from the last answer, to the next whole request */
#define ANSWER_MS 2000
#define SLICE_MS 50

struct conn { struct bufferevent *bev; time_t since; struct conn *next; };

struct http {
	struct engine *e;
	struct net_addr *listen;
	size_t nlisten;
	int *fd;
	size_t nfd;
	/* the thread's */
	struct event_base *ev;
	struct evhttp *srv;
	struct event *stop_ev, *tick_ev, *reap_ev;
	struct evhttp_bound_socket **bound;
	struct ask *late;              /* given up, and the loop has not looked at it yet */
	struct conn *conns;
	unsigned nconn;
	bool resting;
	/* shared */
	pthread_t thread;
	bool started;
	int stop_fd;
	atomic_bool stopping;
};

/* A question to the loop; thread and loop have a reference each. */
struct ask {
	struct engine *e;
	struct http_query q;
	pthread_mutex_t lock;
	pthread_cond_t cond;
	int refs;
	bool done, abandoned;
	int status;
	struct wr out;
};

/* --- asking the loop ------------------------------------------------------------------------------------ */

static struct ask *ask_new(struct engine *e, const struct http_query *q)
{
	struct ask *a = calloc(1, sizeof(*a));
	pthread_condattr_t attr;

	if (!a)
		return NULL;
	a->e = e;
	a->q = *q;
	a->refs = 2;
	a->out = wr_growing(HTTP_BODY_MAX);
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->cond, &attr);
	pthread_condattr_destroy(&attr);
	return a;
}

static void ask_drop(struct ask *a)
{
	int left;

	if (!a)
		return;
	pthread_mutex_lock(&a->lock);
	left = --a->refs;
	pthread_mutex_unlock(&a->lock);
	if (left > 0)
		return;
	wr_free(&a->out);
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->cond);
	free(a);
}

/* Loop. */
static void ask_run(void *arg)
{
	struct ask *a = arg;
	bool drop;

	pthread_mutex_lock(&a->lock);
	drop = a->abandoned;
	pthread_mutex_unlock(&a->lock);
	if (!drop)
		a->status = http_collect(a->e, &a->q, &a->out);
	pthread_mutex_lock(&a->lock);
	a->done = true;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
	ask_drop(a);
}

static void deadline_ms(struct timespec *ts, int ms)
{
	clock_gettime(CLOCK_MONOTONIC, ts);
	ts->tv_sec += ms / 1000;
	ts->tv_nsec += (long)(ms % 1000) * 1000000;
	if (ts->tv_nsec >= 1000000000) {
		ts->tv_sec++;
		ts->tv_nsec -= 1000000000;
	}
}

/* Waits for the answer. False when it has not come: the loop then drops the question unanswered. */
static bool ask_wait(struct http *h, struct ask *a)
{
	bool done;

	pthread_mutex_lock(&a->lock);
	for (int waited = 0; !a->done && waited < ANSWER_MS && !atomic_load(&h->stopping);
	     waited += SLICE_MS) {
		struct timespec ts;

		deadline_ms(&ts, SLICE_MS); /* in slices, so that the end of the daemon is seen */
		pthread_cond_timedwait(&a->cond, &a->lock, &ts);
	}
	done = a->done;
	a->abandoned = !done;
	pthread_mutex_unlock(&a->lock);
	return done;
}

/* At most one question that the loop has not looked at: a stalled loop must not collect them. */
static bool still_late(struct http *h)
{
	bool late;

	if (!h->late)
		return false;
	pthread_mutex_lock(&h->late->lock);
	late = !h->late->done;
	pthread_mutex_unlock(&h->late->lock);
	if (late)
		return true;
	ask_drop(h->late);
	h->late = NULL;
	return false;
}

/* Thread: the answered question, or NULL when the loop did not answer in time. */
static struct ask *ask_loop(struct http *h, const struct http_query *q)
{
	struct ask *a = still_late(h) ? NULL : ask_new(h->e, q);

	if (!a)
		return NULL;
	if (mailbox_post(h->e->home, ask_run, a) != 0) {
		ask_drop(a);
		ask_drop(a);
		return NULL;
	}
	if (ask_wait(h, a))
		return a;
	h->late = a;
	return NULL;
}

/* --- connections ---------------------------------------------------------------------------------------- */

static void listeners_rest(struct http *h, bool rest)
{
	if (h->resting == rest || atomic_load(&h->stopping))
		return;
	h->resting = rest;
	for (size_t i = 0; i < h->nfd; i++) {
		struct evconnlistener *l = h->bound[i] ? evhttp_bound_socket_get_listener(h->bound[i]) : NULL;

		if (l && rest)
			evconnlistener_disable(l);
		else if (l)
			evconnlistener_enable(l);
	}
}

static time_t now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* Connections that evhttp has let go: bufferevent_free() leaves them without callbacks,
 * and with our reference alone. */
static void conns_reap(struct http *h, bool all)
{
	struct conn **p = &h->conns;

	while (*p) {
		struct conn *c = *p;
		void *arg = NULL;

		bufferevent_getcb(c->bev, NULL, NULL, NULL, &arg);
		if (arg && !all) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		h->nconn--;
		bufferevent_decref(c->bev);
		free(c);
	}
	if (h->nconn < CONNECTIONS_MAX)
		listeners_rest(h, false);
}

static struct bufferevent *conn_new(struct event_base *ev, void *arg)
{
	struct http *h = arg;
	struct conn *c = calloc(1, sizeof(*c));

	if (!c || !(c->bev = bufferevent_socket_new(ev, -1, BEV_OPT_CLOSE_ON_FREE))) {
		free(c);
		return NULL;
	}
	bufferevent_incref(c->bev);
	c->since = now_s();
	c->next = h->conns;
	h->conns = c;
	if (++h->nconn >= CONNECTIONS_MAX)
		listeners_rest(h, true);
	return c->bev;
}

static void on_reap(evutil_socket_t fd, short what, void *arg)
{
	conns_reap(arg, false);
}

/* Within evhttp's release: the reference goes in another turn. */
static void on_close(struct evhttp_connection *evcon, void *arg)
{
	event_active(((struct http *)arg)->reap_ev, EV_TIMEOUT, 0);
}

/* A request that trickles in must not hold a connection for ever. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct http *h = arg;
	time_t now = now_s();

	conns_reap(h, false);
	for (struct conn *c = h->conns; c; c = c->next)
		if (now - c->since > REQUEST_S)
			/* evhttp reads the end and releases it */
			shutdown(bufferevent_getfd(c->bev), SHUT_RDWR);
}

static void conn_answered(struct http *h, struct evhttp_request *req)
{
	struct evhttp_connection *evcon = evhttp_request_get_connection(req);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evcon);

	evhttp_connection_set_closecb(evcon, on_close, h);
	for (struct conn *c = h->conns; c; c = c->next)
		if (c->bev == bev)
			c->since = now_s();
}

/* --- requests ------------------------------------------------------------------------------------------- */

static void reply(struct evhttp_request *req, int status, const char *type, const void *body, size_t len)
{
	struct evkeyvalq *h = evhttp_request_get_output_headers(req);
	struct evbuffer *buf = evbuffer_new();
	char text[32];

	evhttp_add_header(h, "Content-Type", type);
	evhttp_add_header(h, "Cache-Control", "no-store");
	evhttp_add_header(h, "X-Content-Type-Options", "nosniff");
	evhttp_add_header(h, "Content-Security-Policy",
			  "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
	snprintf(text, sizeof(text), "%zu", len);
	evhttp_add_header(h, "Content-Length", text);
	if (buf && evhttp_request_get_command(req) != EVHTTP_REQ_HEAD)
		evbuffer_add(buf, body, len);
	evhttp_send_reply(req, status, NULL, buf);
	if (buf)
		evbuffer_free(buf);
}

static void reply_text(struct evhttp_request *req, int status, const char *text)
{
	reply(req, status, "text/plain; charset=utf-8", text, strlen(text));
}

static bool host_fits(const struct http *h, struct evhttp_request *req)
{
	struct sockaddr_storage local;
	socklen_t len = sizeof(local);
	struct bufferevent *bev = evhttp_connection_get_bufferevent(evhttp_request_get_connection(req));
	bool have = getsockname(bufferevent_getfd(bev), (struct sockaddr *)&local, &len) == 0;
	const struct sockaddr *sa = have ? (struct sockaddr *)&local : NULL;
	const char *in_uri = evhttp_uri_get_host(evhttp_request_get_evhttp_uri(req));
	struct evkeyval *kv;
	unsigned n = 0;

	TAILQ_FOREACH(kv, evhttp_request_get_input_headers(req), next)
		if (strcasecmp(kv->key, "Host") == 0) {
			n++;
			if (!http_host_ok(kv->value, h->listen, h->nlisten, sa))
				return false;
		}
	if (in_uri && *in_uri && !http_host_ok(in_uri, h->listen, h->nlisten, sa))
		return false;
	/* HTTP/1.0 knows no Host; browsers send one */
	return n == 1 || (n == 0 && req->major == 1 && req->minor == 0);
}

static bool wants_openmetrics(struct evhttp_request *req)
{
	const char *accept = evhttp_find_header(evhttp_request_get_input_headers(req), "Accept");

	return accept && strcasestr(accept, "application/openmetrics-text");
}

static bool is_strict(struct evhttp_request *req)
{
	const char *q = evhttp_uri_get_query(evhttp_request_get_evhttp_uri(req));

	return q && strcmp(q, "strict=1") == 0;
}

static int route(const char *path, enum http_what *what)
{
	static const struct { const char *path; enum http_what what; } routes[] = {
		{ "/metrics", HTTP_METRICS }, { "/stats", HTTP_STATS }, { "/healthz", HTTP_HEALTH },
		{ "/readyz", HTTP_READY }, { "/", HTTP_PAGE },
	};

	for (size_t i = 0; i < sizeof(routes) / sizeof(routes[0]); i++)
		if (path && strcmp(path, routes[i].path) == 0) {
			*what = routes[i].what;
			return 0;
		}
	return ZS_ENOENT;
}

static const char *type_of(const struct http_query *q)
{
	switch (q->what) {
	case HTTP_METRICS:
		return q->openmetrics ? "application/openmetrics-text; version=1.0.0; charset=utf-8"
				      : "text/plain; version=0.0.4; charset=utf-8";
	case HTTP_STATS:
		return "application/json";
	case HTTP_PAGE:
		return "text/html; charset=utf-8";
	default:
		return "text/plain; charset=utf-8";
	}
}

static void answer(struct http *h, struct evhttp_request *req, const struct http_query *q)
{
	struct ask *a = ask_loop(h, q);

	if (!a) {
		reply_text(req, 503, "the engine's loop does not answer\n");
		return;
	}
	if (q->what == HTTP_METRICS) {
		struct mtext m = { .w = a->out, .openmetrics = q->openmetrics };

		mtext_process(&m, h->e->started.s);
		mtext_end(&m);
		a->out = m.w;
	}
	if (a->out.err)
		reply_text(req, 503, "out of memory\n");
	else
		reply(req, a->status, type_of(q), a->out.p, a->out.len);
	ask_drop(a);
}

static void on_request(struct evhttp_request *req, void *arg)
{
	struct http *h = arg;
	struct http_query q = { .openmetrics = wants_openmetrics(req), .strict = is_strict(req) };
	enum evhttp_cmd_type method = evhttp_request_get_command(req);
	const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(req));

	conn_answered(h, req);
	if (!host_fits(h, req)) {
		log_limited(LL_WARN, "http", NULL, "host", 10,
			    "request refused: its Host header names none of our addresses");
		reply_text(req, 421, "the Host header names none of our addresses\n");
	} else if (method != EVHTTP_REQ_GET && method != EVHTTP_REQ_HEAD) {
		evhttp_add_header(evhttp_request_get_output_headers(req), "Allow", "GET, HEAD");
		reply_text(req, 405, "GET and HEAD only\n");
	} else if (route(path, &q.what) != 0) {
		reply_text(req, 404, "there are /, /metrics, /stats, /healthz and /readyz\n");
	} else {
		answer(h, req, &q);
	}
}

/* --- life ----------------------------------------------------------------------------------------------- */

static void on_stop(evutil_socket_t fd, short what, void *arg)
{
	event_base_loopbreak(((struct http *)arg)->ev);
}

static void *http_thread(void *arg)
{
	struct http *h = arg;

	pthread_setname_np(pthread_self(), "http");
	event_base_dispatch(h->ev);
	return NULL;
}

static int server_make(struct http *h)
{
	struct timeval tick = { .tv_sec = 1 };

	h->ev = event_base_new();
	h->srv = h->ev ? evhttp_new(h->ev) : NULL;
	h->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!h->srv || h->stop_fd < 0)
		return ZS_ENOMEM;
	h->stop_ev = event_new(h->ev, h->stop_fd, EV_READ, on_stop, h);
	h->tick_ev = event_new(h->ev, -1, EV_PERSIST, on_tick, h);
	h->reap_ev = event_new(h->ev, -1, 0, on_reap, h);
	if (!h->stop_ev || !h->tick_ev || !h->reap_ev || event_add(h->stop_ev, NULL) != 0 ||
	    event_add(h->tick_ev, &tick) != 0)
		return ZS_ENOMEM;
	evhttp_set_max_headers_size(h->srv, HEADERS_MAX);
	evhttp_set_max_body_size(h->srv, 0);
	evhttp_set_timeout(h->srv, IDLE_S);
	evhttp_set_allowed_methods(h->srv, 0xffff); /* 405 is ours, with what is allowed */
	evhttp_set_bevcb(h->srv, conn_new, h);
	evhttp_set_gencb(h->srv, on_request, h);
	for (size_t i = 0; i < h->nfd; i++) {
		evutil_make_socket_nonblocking(h->fd[i]);
		h->bound[i] = evhttp_accept_socket_with_handle(h->srv, h->fd[i]);
		if (!h->bound[i])
			return ZS_ENOMEM;
	}
	return 0;
}

static void listen_copy(struct http *h)
{
	const struct conf *c = h->e->setup ? h->e->setup->conf : NULL;

	h->listen = c && c->nstats_listen ? calloc(c->nstats_listen, sizeof(*h->listen)) : NULL;
	for (size_t i = 0; h->listen && i < c->nstats_listen; i++)
		h->listen[h->nlisten++] = net_from_conf(&c->stats_listen[i]);
}

struct http *http_new(struct engine *e, int *fds, size_t n)
{
	struct http *h = calloc(1, sizeof(*h));

	if (!h)
		return NULL;
	h->e = e;
	h->stop_fd = -1;
	h->fd = calloc(n + 1, sizeof(int));
	h->bound = calloc(n + 1, sizeof(struct evhttp_bound_socket *));
	if (!h->fd || !h->bound)
		goto fail;
	if (n == 0)
		return h; /* no stats port is configured */
	memcpy(h->fd, fds, n * sizeof(int));
	h->nfd = n;
	listen_copy(h);
	if (server_make(h) != 0 || pthread_create(&h->thread, NULL, http_thread, h) != 0)
		goto fail;
	h->started = true;
	return h;
fail:
	http_free(h);
	return NULL;
}

/* Listen addresses cannot change without a restart,
 * and everything else is read from the config when it is asked for. */
void http_reconf(struct http *h)
{
}

void http_free(struct http *h)
{
	if (!h)
		return;
	atomic_store(&h->stopping, true);
	if (h->started) {
		eventfd_write(h->stop_fd, 1);
		pthread_join(h->thread, NULL);
	}
	if (h->srv)
		evhttp_free(h->srv);
	conns_reap(h, true);
	if (h->reap_ev)
		event_free(h->reap_ev);
	if (h->stop_ev)
		event_free(h->stop_ev);
	if (h->tick_ev)
		event_free(h->tick_ev);
	if (h->ev)
		event_base_free(h->ev);
	if (h->stop_fd >= 0)
		close(h->stop_fd);
	ask_drop(h->late);
	free(h->listen);
	free(h->fd);
	free(h->bound);
	free(h);
}
