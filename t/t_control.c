/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket with verbs of the test's own: frames torn and whole, bounds, one request after the
 * other, answers that come later, streams with back-pressure, clients that go away. And what zonesealctl
 * shares: patterns, tables.
 */
#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <event2/event.h>
#include "../src/app/control.h"
#include "../src/app/ctlproto.h"
#include "../src/app/ctltable.h"
#include "../src/app/engine.h"
#include "../src/app/orders.h"
#include "../src/app/verbs.h"
#include "base/err.h"
#include "t_suite.h"

/* --- verbs ---------------------------------------------------------------------------------------------- */

#define STREAM_FRAMES 200
#define STREAM_PIECE 50000

/* Reached through ctl_engine(): what the verbs of one test leave behind. */
struct bench {
	struct engine e;
	struct control *control;
	char dir[64], path[96];
	struct ctl *kept;
	unsigned made, freed;
};

static struct bench *bench_of(struct ctl *c)
{
	return (struct bench *)(void *)ctl_engine(c);
}

static void verb_echo(struct ctl *c)
{
	ctl_data(c, json_incref(ctl_args(c)));
	ctl_end(c, CTL_PARTLY);
	ctl_end(c, CTL_DONE); /* nothing any more */
	ctl_fail(c, "late", NULL, "nothing any more");
}

static void verb_later(struct ctl *c)
{
	bench_of(c)->kept = ctl_hold(c);
}

static enum pump stream_pump(struct ctl *c, void *arg)
{
	struct bench *b = arg;
	char *text;

	if (b->made == STREAM_FRAMES) {
		ctl_end(c, CTL_DONE);
		return PUMP_END;
	}
	text = malloc(STREAM_PIECE + 1);
	memset(text, 'x', STREAM_PIECE);
	text[STREAM_PIECE] = 0;
	ctl_data(c, json_pack("{s:s, s:i}", "text", text, "n", (int)b->made++));
	free(text);
	return PUMP_MORE;
}

static void stream_free(void *arg)
{
	((struct bench *)arg)->freed++;
}

static void verb_stream(struct ctl *c)
{
	ctl_pump(c, stream_pump, stream_free, bench_of(c));
}

const struct verb *verb_find(const char *name)
{
	static const struct verb table[] = { { "echo", false, verb_echo },
					     { "later", true, verb_later },
					     { "stream", false, verb_stream } };

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

/* --- bench ---------------------------------------------------------------------------------------------- */

static struct bench *bench_new(void)
{
	struct bench *b = calloc(1, sizeof(*b));
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	signal(SIGPIPE, SIG_IGN); /* as the engine does */
	strcpy(b->dir, "t_control.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/sock", b->dir);
	strcpy(un.sun_path, b->path);
	ck_assert(fd >= 0 && bind(fd, (struct sockaddr *)&un, sizeof(un)) == 0 && listen(fd, 100) == 0);
	b->e.ev = event_base_new();
	b->control = control_new(&b->e, fd);
	ck_assert_ptr_nonnull(b->control);
	return b;
}

static void bench_free(struct bench *b)
{
	control_free(b->control);
	event_base_free(b->e.ev);
	unlink(b->path);
	rmdir(b->dir);
	free(b);
}

static void turns(struct bench *b, int n)
{
	while (n-- > 0)
		event_base_loop(b->e.ev, EVLOOP_NONBLOCK);
}

static int dial(const struct bench *b)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	strcpy(un.sun_path, b->path);
	ck_assert(fd >= 0 && connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0);
	return fd;
}

static void send_all(struct bench *b, int fd, const void *data, size_t len)
{
	const char *p = data;

	while (len > 0) {
		ssize_t n = send(fd, p, len, MSG_NOSIGNAL);

		if (n > 0) {
			p += n;
			len -= (size_t)n;
		} else if (n < 0 && errno != EAGAIN) {
			return; /* it does not want more of this */
		}
		turns(b, 1);
	}
}

static void ask(struct bench *b, int fd, const char *verb, json_t *args)
{
	uint8_t *frame;
	size_t len;

	ck_assert_int_eq(ctl_encode(json_pack("{s:i, s:s, s:o}", "v", 1, "verb", verb, "args", args), &frame,
				    &len),
			 0);
	send_all(b, fd, frame, len);
	free(frame);
}

/* Reads len octets while the loop turns; false at the end of the connection. */
static bool read_all(struct bench *b, int fd, void *dst, size_t len)
{
	uint8_t *p = dst;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n == 0 || (n < 0 && errno != EAGAIN))
			return false;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
		turns(b, 1);
	}
	return true;
}

/* The next frame; NULL at the end of the connection. */
static json_t *frame(struct bench *b, int fd)
{
	uint8_t head[CTL_HEAD], *body;
	uint32_t len;
	json_t *msg;

	if (!read_all(b, fd, head, sizeof(head)))
		return NULL;
	ck_assert_int_eq(ctl_head(head, &len), 0);
	body = malloc(len);
	ck_assert(read_all(b, fd, body, len));
	msg = json_loadb((const char *)body, len, 0, NULL);
	ck_assert(json_is_object(msg));
	ck_assert_int_eq(json_integer_value(json_object_get(msg, "v")), 1);
	free(body);
	return msg;
}

static void expect_end(struct bench *b, int fd, int code)
{
	json_t *m = frame(b, fd);

	ck_assert_ptr_nonnull(m);
	ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(m, "end"), "exit")), code);
	json_decref(m);
}

static void expect_error(struct bench *b, int fd, const char *code)
{
	json_t *m = frame(b, fd);

	ck_assert_ptr_nonnull(m);
	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "error"), "code")), code);
	json_decref(m);
}

START_TEST(test_requests)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	for (int i = 0; i < 3; i++) { /* several on one connection, sent at once */
		ask(b, fd, "echo", json_pack("{s:i}", "n", i));
		ask(b, fd, "nonsense", json_object());
	}
	for (int i = 0; i < 3; i++) {
		json_t *m = frame(b, fd);

		ck_assert_int_eq(json_integer_value(json_object_get(json_object_get(m, "data"), "n")), i);
		json_decref(m);
		expect_end(b, fd, CTL_PARTLY);
		expect_error(b, fd, "unknown-verb");
	}
	close(fd);
	turns(b, 5);
	bench_free(b);
}
END_TEST

START_TEST(test_torn)
{
	struct bench *b = bench_new();
	int fd = dial(b);
	uint8_t *f;
	size_t len;

	ck_assert_int_eq(ctl_encode(json_pack("{s:i, s:s}", "v", 1, "verb", "echo"), &f, &len), 0);
	for (size_t i = 0; i < len; i++) {
		send_all(b, fd, f + i, 1);
		turns(b, 2);
	}
	free(f);
	json_decref(frame(b, fd));
	expect_end(b, fd, CTL_PARTLY);
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_malformed)
{
	static const struct { const char *octets; size_t len; const char *code; } bad[] = {
		{ "\0\0\0\0", 4, "bad-frame" },
		{ "\0\x10\0\1", 4, "bad-frame" },
		{ "\xff\xff\xff\xff{}", 6, "bad-frame" },
		{ "\0\0\0\2[]", 6, "bad-request" },
		{ "\0\0\0\2{}", 6, "bad-request" },
		{ "\0\0\0\1x", 5, "bad-request" },
		{ "\0\0\0\x17{\"v\":2,\"verb\":\"status\"}", 27, "version" },
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct bench *b = bench_new();
		int fd = dial(b);

		send_all(b, fd, bad[i].octets, bad[i].len);
		expect_error(b, fd, bad[i].code);
		ck_assert_ptr_null(frame(b, fd)); /* and the connection ends */
		close(fd);
		bench_free(b);
	}
}
END_TEST

START_TEST(test_later)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	ask(b, fd, "later", json_object());
	ask(b, fd, "echo", json_object()); /* waits its turn */
	turns(b, 10);
	ck_assert_ptr_nonnull(b->kept);
	ctl_data(b->kept, json_pack("{s:s}", "a", "b"));
	ctl_end(b->kept, 0);
	ctl_drop(b->kept);
	json_decref(frame(b, fd));
	expect_end(b, fd, 0);
	json_decref(frame(b, fd));
	expect_end(b, fd, CTL_PARTLY);
	close(fd);
	bench_free(b);
}
END_TEST

/* Nobody listens when the answer comes. */
START_TEST(test_gone)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	ask(b, fd, "later", json_object());
	turns(b, 10);
	ck_assert(!ctl_gone(b->kept));
	control_free(b->control);
	b->control = NULL;
	ck_assert(ctl_gone(b->kept));
	ctl_data(b->kept, json_object());
	ctl_end(b->kept, 0);
	ctl_drop(b->kept);
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_stream)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	ask(b, fd, "stream", json_object());
	turns(b, 200);
	ck_assert_uint_lt(b->made, STREAM_FRAMES / 4); /* the client reads nothing: little is made ahead */
	for (int i = 0; i < STREAM_FRAMES; i++) {
		json_t *m = frame(b, fd), *d = json_object_get(m, "data");

		ck_assert_int_eq(json_integer_value(json_object_get(d, "n")), i);
		ck_assert_uint_eq(json_string_length(json_object_get(d, "text")), STREAM_PIECE);
		json_decref(m);
	}
	expect_end(b, fd, 0);
	ck_assert_uint_eq(b->freed, 1);
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_stream_cut)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	ask(b, fd, "stream", json_object());
	turns(b, 20);
	close(fd);
	turns(b, 50);
	ck_assert_uint_eq(b->freed, 1);
	ck_assert_uint_lt(b->made, STREAM_FRAMES);
	bench_free(b);
}
END_TEST

/* The peer says that it sends no more, and still gets its whole answer. */
START_TEST(test_half_close)
{
	struct bench *b = bench_new();
	int fd = dial(b);

	ask(b, fd, "stream", json_object());
	shutdown(fd, SHUT_WR);
	for (int i = 0; i < STREAM_FRAMES; i++)
		json_decref(frame(b, fd));
	expect_end(b, fd, 0);
	ck_assert_ptr_null(frame(b, fd));
	close(fd);
	bench_free(b);
}
END_TEST

START_TEST(test_clients)
{
	struct bench *b = bench_new();
	int fd[64], more;

	for (int i = 0; i < 64; i++) {
		fd[i] = dial(b);
		turns(b, 2);
	}
	more = dial(b);
	expect_error(b, more, "busy");
	close(more);
	for (int i = 0; i < 64; i++)
		close(fd[i]);
	turns(b, 20);
	more = dial(b);
	ask(b, more, "echo", json_object());
	json_decref(frame(b, more));
	close(more);
	bench_free(b);
}
END_TEST

START_TEST(test_encode_bound)
{
	char *big = malloc(CTL_FRAME_MAX + 1);
	uint8_t *f;
	size_t len;

	memset(big, 'x', CTL_FRAME_MAX);
	big[CTL_FRAME_MAX] = 0;
	ck_assert_int_eq(ctl_encode(ctl_msg("data", json_string(big)), &f, &len), ZS_ELIMIT);
	big[CTL_FRAME_MAX - 100] = 0;
	ck_assert_int_eq(ctl_encode(ctl_msg("data", json_string(big)), &f, &len), 0);
	free(f);
	free(big);
}
END_TEST

START_TEST(test_text)
{
	json_t *m = ctl_error_msg("code", "bad \xff octet", NULL);

	ck_assert_str_eq(json_string_value(json_object_get(json_object_get(m, "error"), "message")),
			 "bad ? octet");
	json_decref(m);
	ck_assert(ctl_zone_match("example.com", "example.com."));
	ck_assert(ctl_zone_match("EXAMPLE.com.", "example.com."));
	ck_assert(ctl_zone_match("*", "."));
	ck_assert(ctl_zone_match("*.com", "a.b.com."));
	ck_assert(ctl_zone_match("*.Com", "a.b.com."));
	ck_assert(ctl_zone_match("a\\.b.com", "a\\.b.com."));
	ck_assert(!ctl_zone_match("example", "example.com."));
	ck_assert(!ctl_zone_match("*.com", "com."));
	ck_assert(!ctl_zone_match("", "."));
	ck_assert(ctl_zone_match(".", "."));
}
END_TEST

START_TEST(test_table)
{
	static const char *const heads[] = { "NAME", ">COUNT", "LAST", NULL };
	struct table *t = table_new(heads);
	char *out = NULL;
	size_t len;
	FILE *f = open_memstream(&out, &len);

	table_cell(t, "a");
	table_cell(t, "1");
	table_cell(t, "x\033[31m");
	table_cell(t, "longer.example.");
	table_cell(t, "1234567");
	table_cell(t, "");
	table_print(t, f);
	fclose(f);
	ck_assert_str_eq(out, "NAME               COUNT  LAST\n"
			      "a                      1  x?[31m\n"
			      "longer.example.  1234567  -\n");
	free(out);
	table_free(t);
}
END_TEST

START_TEST(test_points)
{
	struct ctl_point p;

	ck_assert_int_eq(ctl_point_parse("12", &p), 0);
	ck_assert(p.kind == 0 && p.number == 12);
	ck_assert_int_eq(ctl_point_parse("u4294967295", &p), 0);
	ck_assert(p.kind == 'u' && p.number == UINT32_MAX);
	ck_assert_int_eq(ctl_point_parse("v18446744073709551615", &p), 0);
	ck_assert(p.kind == 'v' && p.number == UINT64_MAX);
	for (const char *const *bad = (const char *const[]){ "", "s", "x1", "-1", "1 ", "uu1", "1.5",
							     NULL };
	     *bad; bad++)
		ck_assert_int_eq(ctl_point_parse(*bad, &p), ZS_EFORMAT);
}
END_TEST

START_TEST(test_orders_text)
{
	struct orders o = { .have_serial = true, .serial = 4000000000u, .hold = true,
			    .hold_since = 1700000000, .hold_who = "uid 0", .rolled_back = true,
			    .rollback = 17, .resign_below = 1u << 20 };
	struct orders back;
	char text[ORDERS_TEXT], again[ORDERS_TEXT];

	memset(o.hold_why, 'x', sizeof(o.hold_why) - 1);
	ck_assert_int_lt(orders_print(&o, text, sizeof(text)), ORDERS_TEXT);
	ck_assert_int_eq(orders_parse(text, &back), 0);
	ck_assert(back.have_serial && back.serial == o.serial && back.hold && back.rolled_back);
	ck_assert(back.hold_since == o.hold_since && back.rollback == 17 && back.resign_below == 1u << 20);
	ck_assert_str_eq(back.hold_who, "uid 0");
	ck_assert_str_eq(back.hold_why, o.hold_why);
	orders_print(&back, again, sizeof(again));
	ck_assert_str_eq(text, again);
	ck_assert_int_eq(orders_parse("orders: 1\nhold: 5 0 uid 1\nwhy: \n", &back), 0);
	ck_assert(back.hold && !back.hold_why[0] && !back.have_serial && !back.rollback &&
		  !back.resign_below);
	ck_assert_int_eq(orders_parse("orders: 1\n", &back), 0);
	ck_assert(!back.hold);
	ck_assert_int_eq(orders_parse("", &back), ZS_EFORMAT);
	ck_assert_int_eq(orders_parse("orders: 2\nserial: 5\n", &back), ZS_EFORMAT);
	ck_assert_int_eq(orders_parse("orders: 1\nnonsense: 5\n", &back), ZS_EFORMAT);
}
END_TEST

int main(void)
{
	const TTest *tests[] = { test_requests, test_torn,         test_malformed,  test_later,
				 test_gone,     test_stream,       test_stream_cut, test_half_close,
				 test_clients,  test_encode_bound, test_text,       test_table,
				 test_points,   test_orders_text };

	return RUN_SUITE("control", tests);
}
