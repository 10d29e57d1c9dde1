/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stats port over loopback with a loop that is the test itself: methods, Host, formats, HEAD, a loop that
 * does not answer, the cap on connections. And the metric text by itself.
 */
#include <arpa/inet.h>
#include <check.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <event2/thread.h>
#include "../src/app/engine.h"
#include "../src/app/http.h"
#include "../src/app/http_priv.h"
#include "../src/app/mtext.h"
#include "t_suite.h"

/* --- what the engine would give ------------------------------------------------------------------------- */

int http_collect(struct engine *e, const struct http_query *q, struct wr *out)
{
	const char *text = q->what == HTTP_METRICS ? "# HELP x y\n# TYPE x gauge\nx 1\n"
			   : q->what == HTTP_READY ? q->strict ? "strict\n" : "lax\n" : "ok\n";

	ck_assert(e->running);
	wr_bytes(out, text, strlen(text));
	return q->what == HTTP_READY && q->strict ? 503 : 200;
}

struct net_addr net_from_conf(const struct conf_addr *a)
{
	struct net_addr n;

	memset(&n, 0, sizeof(n));
	n.v6 = a->v6;
	return n;
}

/* A loop: drains the mailbox until told to end, or stalls. */
struct fixture {
	struct engine e;
	struct http *http;
	pthread_t loop;
	atomic_bool end, stall;
	uint16_t port;
};

static void *loop_run(void *arg)
{
	struct fixture *f = arg;
	struct pollfd p = { .fd = mailbox_fd(f->e.home), .events = POLLIN };

	while (!atomic_load(&f->end)) {
		poll(&p, 1, 10);
		if (!atomic_load(&f->stall))
			mailbox_run(f->e.home);
	}
	return NULL;
}

static struct fixture *fixture_new(void)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	signal(SIGPIPE, SIG_IGN);
	evthread_use_pthreads();
	ck_assert(fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof(a)) == 0 && listen(fd, 64) == 0);
	ck_assert(getsockname(fd, (struct sockaddr *)&a, &len) == 0);
	f->port = ntohs(a.sin_port);
	f->e.home = mailbox_new();
	f->e.running = true;
	f->http = http_new(&f->e, &fd, 1);
	ck_assert_ptr_nonnull(f->http);
	ck_assert_int_eq(pthread_create(&f->loop, NULL, loop_run, f), 0);
	return f;
}

static void fixture_free(struct fixture *f)
{
	http_free(f->http);
	atomic_store(&f->end, true);
	pthread_join(f->loop, NULL);
	mailbox_run(f->e.home);
	mailbox_free(f->e.home);
	free(f);
}

static int dial(const struct fixture *f)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				 .sin_port = htons(f->port) };
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	ck_assert(fd >= 0 && connect(fd, (struct sockaddr *)&a, sizeof(a)) == 0);
	return fd;
}

/* Sends a request, reads to the end of the connection. */
static int ask(const struct fixture *f, const char *request, char *out, size_t cap)
{
	int fd = dial(f), status = 0;
	size_t n = 0;
	ssize_t got;

	ck_assert_int_eq(write(fd, request, strlen(request)), (ssize_t)strlen(request));
	while (n < cap - 1 && (got = read(fd, out + n, cap - 1 - n)) > 0)
		n += (size_t)got;
	out[n] = 0;
	close(fd);
	sscanf(out, "HTTP/%*d.%*d %d", &status);
	return status;
}

#define END "Connection: close\r\n\r\n"

START_TEST(test_http_routes)
{
	struct fixture *f = fixture_new();
	char out[65536];

	ck_assert_int_eq(ask(f, "GET /metrics HTTP/1.1\r\nHost: localhost:9353\r\n" END, out, sizeof(out)),
			 200);
	ck_assert_ptr_nonnull(strstr(out, "text/plain; version=0.0.4"));
	ck_assert_ptr_nonnull(strstr(out, "\nx 1\n"));
	ck_assert_ptr_nonnull(strstr(out, "\nprocess_open_fds "));
	ck_assert_ptr_nonnull(strstr(out, "# TYPE process_cpu_seconds_total counter"));
	ck_assert_ptr_null(strstr(out, "# EOF"));
	ck_assert_int_eq(ask(f,
			     "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: "
			     "application/openmetrics-text;version=1.0.0\r\n" END,
			     out, sizeof(out)),
			 200);
	ck_assert_ptr_nonnull(strstr(out, "application/openmetrics-text; version=1.0.0"));
	ck_assert_ptr_nonnull(strstr(out, "# TYPE process_cpu_seconds counter"));
	ck_assert_str_eq(out + strlen(out) - 6, "# EOF\n");
	ck_assert_int_eq(ask(f, "GET /readyz HTTP/1.1\r\nHost: [::1]\r\n" END, out, sizeof(out)), 200);
	ck_assert_int_eq(ask(f, "GET /readyz?strict=1 HTTP/1.1\r\nHost: [::1]:80\r\n" END, out, sizeof(out)),
			 503);
	ck_assert_int_eq(ask(f, "GET /etc HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)), 404);
	ck_assert_int_eq(ask(f, "GET /healthz HTTP/1.0\r\n\r\n", out, sizeof(out)), 200);
	fixture_free(f);
}
END_TEST

START_TEST(test_http_refuses)
{
	struct fixture *f = fixture_new();
	char out[65536], *big = malloc(40000);

	ck_assert_int_eq(ask(f, "GET /metrics HTTP/1.1\r\nHost: evil.example\r\n" END, out, sizeof(out)),
			 421);
	ck_assert_int_eq(ask(f, "GET /metrics HTTP/1.1\r\n" END, out, sizeof(out)), 421);
	ck_assert_int_eq(ask(f, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n" END, out,
			     sizeof(out)),
			 421);
	ck_assert_int_eq(ask(f, "GET http://evil.example/metrics HTTP/1.1\r\nHost: localhost\r\n" END, out,
			     sizeof(out)),
			 421);
	ck_assert_int_eq(ask(f, "DELETE /metrics HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)),
			 405);
	ck_assert_ptr_nonnull(strstr(out, "Allow: GET, HEAD"));
	ck_assert_int_ne(ask(f, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n" END "123456789",
			     out, sizeof(out)),
			 200);
	strcpy(big, "GET / HTTP/1.1\r\nHost: localhost\r\nX: ");
	memset(big + strlen(big), 'a', 30000);
	strcpy(big + 30036, "\r\n" END);
	ck_assert_int_ne(ask(f, big, out, sizeof(out)), 200);
	free(big);
	fixture_free(f);
}
END_TEST

START_TEST(test_http_head)
{
	struct fixture *f = fixture_new();
	char out[65536];

	ck_assert_int_eq(ask(f, "HEAD /healthz HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)), 200);
	ck_assert_ptr_nonnull(strstr(out, "Content-Length: 3\r\n"));
	ck_assert_ptr_null(strstr(strstr(out, "Content-Length: 3\r\n") + 5, "Content-Length"));
	ck_assert_str_eq(strstr(out, "\r\n\r\n"), "\r\n\r\n");
	fixture_free(f);
}
END_TEST

/* A loop that is busy costs a 503, and the scrapes after it find it working again. */
START_TEST(test_http_stalled)
{
	struct fixture *f = fixture_new();
	char out[65536];

	atomic_store(&f->stall, true);
	ck_assert_int_eq(ask(f, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)), 503);
	ck_assert_int_eq(ask(f, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)), 503);
	atomic_store(&f->stall, false);
	while (ask(f, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)) != 200)
		usleep(1000);
	fixture_free(f);
}
END_TEST

/* More connections than the cap: none beyond it is served, all are once others have gone. */
START_TEST(test_http_cap)
{
	struct fixture *f = fixture_new();
	int fd[100];
	char out[4096];

	for (int i = 0; i < 100; i++)
		fd[i] = dial(f);
	for (int i = 0; i < 64; i++) { /* these are accepted: each gets its answer */
		const char *q = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

		ck_assert_int_eq(write(fd[i], q, strlen(q)), (ssize_t)strlen(q));
		ck_assert_int_gt(read(fd[i], out, sizeof(out)), 0);
	}
	for (int i = 0; i < 100; i++)
		close(fd[i]);
	ck_assert_int_eq(ask(f, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n" END, out, sizeof(out)), 200);
	fixture_free(f);
}
END_TEST

START_TEST(test_http_none)
{
	struct engine e = { .running = true };
	struct http *h = http_new(&e, NULL, 0);

	ck_assert_ptr_nonnull(h);
	http_reconf(h);
	http_free(h);
	http_free(NULL);
}
END_TEST

START_TEST(test_host)
{
	struct net_addr listen[2] = { 0 };
	struct sockaddr_in local = { .sin_family = AF_INET };

	listen[0].v4 = (struct sockaddr_in){ .sin_family = AF_INET,
					     .sin_addr.s_addr = inet_addr("192.0.2.1") };
	listen[1].v6.sin6_family = AF_INET6;
	inet_pton(AF_INET6, "2001:db8::1", &listen[1].v6.sin6_addr);
	local.sin_addr.s_addr = inet_addr("192.0.2.9");
	ck_assert(http_host_ok("localhost", NULL, 0, NULL));
	ck_assert(http_host_ok("LocalHost:80", NULL, 0, NULL));
	ck_assert(http_host_ok("127.1.2.3:9", NULL, 0, NULL));
	ck_assert(http_host_ok("[::1]:9", NULL, 0, NULL));
	ck_assert(http_host_ok("192.0.2.1:9353", listen, 2, NULL));
	ck_assert(http_host_ok("[2001:db8::1]", listen, 2, NULL));
	ck_assert(http_host_ok("192.0.2.9", listen, 2, (struct sockaddr *)&local));
	ck_assert(!http_host_ok("192.0.2.2", listen, 2, (struct sockaddr *)&local));
	ck_assert(!http_host_ok("localhost.evil.example", NULL, 0, NULL));
	ck_assert(!http_host_ok("", NULL, 0, NULL));
	ck_assert(!http_host_ok("[::1", NULL, 0, NULL));
	ck_assert(!http_host_ok("[::1]x", NULL, 0, NULL));
	ck_assert(!http_host_ok("localhost:80@evil", NULL, 0, NULL));
	ck_assert(!http_host_ok("127.0.0.1.evil.example", NULL, 0, NULL));
}
END_TEST

/* --- metric text ---------------------------------------------------------------------------------------- */

static char *written(struct mtext *m)
{
	wr_u8(&m->w, 0);
	ck_assert_int_eq(m->w.err, 0);
	return (char *)m->w.p;
}

START_TEST(test_mtext_names)
{
	struct mtext a = { .w = wr_growing(4096) }, b = { .w = wr_growing(4096), .openmetrics = true };

	for (int i = 0; i < 2; i++) {
		struct mtext *m = i ? &b : &a;

		mtext_family(m, "x_total", M_COUNTER, "What.");
		mtext_u64(m, LABELS({ "zone", "a\\\"b\nc." }), UINT64_MAX);
		mtext_family(m, "y_info", M_INFO, "Which.");
		mtext_i64(m, NO_LABELS, -1);
		mtext_end(m);
	}
	ck_assert_str_eq(written(&a), "# HELP x_total What.\n# TYPE x_total counter\n"
				      "x_total{zone=\"a\\\\\\\"b\\nc.\"} 18446744073709551615\n"
				      "# HELP y_info Which.\n# TYPE y_info gauge\ny_info -1\n");
	ck_assert_str_eq(written(&b), "# HELP x What.\n# TYPE x counter\n"
				      "x_total{zone=\"a\\\\\\\"b\\nc.\"} 18446744073709551615\n"
				      "# HELP y Which.\n# TYPE y info\ny_info -1\n# EOF\n");
	wr_free(&a.w);
	wr_free(&b.w);
}
END_TEST

START_TEST(test_mtext_histogram)
{
	static const double bound[] = { 0.001, 1, INFINITY };
	static const uint64_t n[] = { 1, 2, 3 };
	struct mtext m = { .w = wr_growing(4096) };

	mtext_family(&m, "h_seconds", M_HISTOGRAM, "How long.");
	mtext_histogram(&m, LABELS({ "k", "v" }), bound, n, 3, 2.5);
	ck_assert_str_eq(written(&m),
			 "# HELP h_seconds How long.\n# TYPE h_seconds histogram\n"
			 "h_seconds_bucket{k=\"v\",le=\"0.001\"} 1\nh_seconds_bucket{k=\"v\",le=\"1.0\"} 3\n"
			 "h_seconds_bucket{k=\"v\",le=\"+Inf\"} 6\n"
			 "h_seconds_sum{k=\"v\"} 2.5\nh_seconds_count{k=\"v\"} 6\n");
	wr_free(&m.w);
}
END_TEST

int main(void)
{
	const TTest *tests[] = { test_http_routes,  test_http_refuses, test_http_head,
				 test_http_stalled, test_http_cap,     test_http_none,
				 test_host,         test_mtext_names,  test_mtext_histogram };

	return RUN_SUITE("http", tests);
}
