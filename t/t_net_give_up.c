/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Transfers of old versions to peers that take their time: cut for their age, or for being in the
 * way; and those that wait for their turn. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "net_rig.h"
#include "t_suite.h"

#define OLD 7

static uint8_t buf[MSG_MAX];

struct give_up { struct rig *r; uint64_t version; };

static void give_up(void *arg)
{
	struct give_up *g = arg;

	server_give_up(g->r->server, g->r->tz->name, g->version);
}

static void give_up_of_another_zone(void *arg)
{
	struct give_up *g = arg;

	server_give_up(g->r->server, (const uint8_t *)"\5other", g->version);
}

/* Asks for a transfer and takes nothing. */
static int start_axfr(struct rig *r, struct tq *q)
{
	int fd = t_connect(&r->tcp4, SOCK_STREAM);

	tq_make(q, "example.", T_AXFR, OP_QUERY, NULL, 0, NULL);
	ck_assert(t_send_tcp(fd, q->wire, q->len));
	return fd;
}

/* The server has answered, so that it has seen what was sent before. */
static void settle(struct rig *r)
{
	struct tq q;

	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	ck_assert_uint_gt(tq_ask(&r->tcp4, true, &q, buf), 0);
}

static void expect_whole(struct rig *r, int fd, const struct tq *q)
{
	struct bag got = { 0 };
	unsigned messages;

	ck_assert(t_read_axfr(fd, q->id, r->tz->name, NULL, &got, &messages));
	bag_free(&got);
}

static void expect_cut(int fd)
{
	while (t_recv_tcp(fd, buf) > 0)
		;
	close(fd);
}

static void end(struct rig *r, struct tzone *z)
{
	rig_call(r, rig_unpublish_another, r);
	rig_free(r);
	tz_free(z); /* says whether everything was given back */
}

START_TEST(what_is_old_is_cut)
{
	const struct server_limits lim = { 4, 50, 50, .tcp_idle_s = 30, .snapshot_age_s = -1 };
	struct tzone *z = tz_new("example.", 40000, 100, 0);
	struct rig *r = rig_new(z, &lim);
	struct tq q;
	int fd = start_axfr(r, &q);

	/* the published version may take as long as it takes */
	expect_whole(r, fd, &q);
	close(fd);
	fd = start_axfr(r, &q);
	ck_assert_uint_gt(t_recv_tcp(fd, buf), 0); /* it runs, and stops for us */
	rig_call(r, rig_publish_another, r);
	/* although we take nothing: what makes no event is looked after too */
	ck_assert(rig_await(r, &r->transferred, 2));
	ck_assert_int_eq(r->last_result, ZS_EGIVENUP);
	expect_cut(fd);
	end(r, z);
}
END_TEST

START_TEST(what_is_in_the_way_is_cut)
{
	const struct server_limits lim = { 4, 50, 50, .tcp_idle_s = 30, .snapshot_age_s = 3600 };
	struct tzone *z = tz_new("example.", 40000, 100, 0);
	struct rig *r;
	struct tq q;
	int fd;

	z->pub->version = OLD;
	r = rig_new(z, &lim);
	fd = start_axfr(r, &q);
	ck_assert_uint_gt(t_recv_tcp(fd, buf), 0);
	rig_call(r, rig_publish_another, r);
	rig_call(r, give_up, &(struct give_up){ r, OLD });
	ck_assert(rig_await(r, &r->transferred, 1));
	ck_assert_int_eq(r->last_result, ZS_EGIVENUP);
	expect_cut(fd);
	end(r, z);
}
END_TEST

START_TEST(what_is_not_in_the_way_goes_on)
{
	const struct server_limits lim = { 4, 50, 50, .tcp_idle_s = 30, .snapshot_age_s = 3600 };
	struct tzone *z = tz_new("example.", 40000, 100, 0);
	struct rig *r;
	struct tq q;
	int fd;

	z->pub->version = OLD;
	r = rig_new(z, &lim);
	/* the published version, whatever it pins */
	fd = start_axfr(r, &q);
	settle(r);
	rig_call(r, give_up, &(struct give_up){ r, OLD });
	expect_whole(r, fd, &q);
	close(fd);
	/* a later one than those that are, and one of another zone */
	fd = start_axfr(r, &q);
	settle(r);
	rig_call(r, rig_publish_another, r);
	rig_call(r, give_up, &(struct give_up){ r, OLD - 1 });
	rig_call(r, give_up_of_another_zone, &(struct give_up){ r, OLD });
	expect_whole(r, fd, &q);
	close(fd);
	ck_assert(rig_await(r, &r->transferred, 2));
	ck_assert_int_eq(r->last_result, 0);
	end(r, z);
}
END_TEST

/* It has had nothing yet: it is told, and may ask again on the same connection. */
START_TEST(what_waits_is_told)
{
	const struct server_limits lim = { 1, 50, 50, .tcp_idle_s = 30, .snapshot_age_s = 3600 };
	struct tzone *z = tz_new("example.", 40000, 100, 0);
	int running, waiting;
	struct rig *r;
	struct tq q;

	z->pub->version = OLD;
	r = rig_new(z, &lim);
	running = start_axfr(r, &q);
	ck_assert_uint_gt(t_recv_tcp(running, buf), 0);
	waiting = start_axfr(r, &q);
	settle(r);
	rig_call(r, rig_publish_another, r);
	rig_call(r, give_up, &(struct give_up){ r, OLD });
	ck_assert(rig_await(r, &r->transferred, 2));
	ck_assert_int_eq(r->last_result, ZS_EGIVENUP);
	ck_assert_uint_gt(t_recv_tcp(waiting, buf), 0);
	ck_assert_uint_eq(buf[3] & 15, RC_SERVFAIL);
	tq_make(&q, "example.", T_SOA, OP_QUERY, NULL, 0, NULL);
	ck_assert(t_send_tcp(waiting, q.wire, q.len));
	ck_assert_uint_gt(t_recv_tcp(waiting, buf), 0);
	close(waiting);
	expect_cut(running);
	end(r, z);
}
END_TEST

/* All is rendered and stands in buffers: nothing is held any more that could be given up. */
START_TEST(what_is_rendered_holds_nothing)
{
	const struct server_limits lim = { 4, 50, 50, .tcp_idle_s = 30, .snapshot_age_s = 3600 };
	struct tzone *z = tz_new("example.", 3000, 100, 0);
	struct rig *r;
	struct tq q;
	int fd;

	z->pub->version = OLD;
	r = rig_new(z, &lim);
	fd = start_axfr(r, &q);
	ck_assert_uint_gt(t_recv_tcp(fd, buf), 0);
	ck_assert(rig_await(r, &r->transferred, 1));
	ck_assert_int_eq(__atomic_load_n(&z->pub->refs, __ATOMIC_ACQUIRE), 1);
	close(fd);
	rig_call(r, rig_publish_another, r);
	end(r, z);
}
END_TEST

/* 64, or as many as may run: the next one is told at once, and not when its patience ends. */
START_TEST(only_so_many_wait)
{
	enum { MOST = 64 };
	const struct server_limits lim = { 1, 2 * MOST, 2 * MOST, .tcp_idle_s = 30 };
	struct tzone *z = tz_new("example.", 40000, 100, 0);
	struct rig *r = rig_new(z, &lim);
	const uint64_t *refused = &server_stats(r->server)->xfr_refused;
	int fd[2 + MOST];
	struct tq q;

	fd[0] = start_axfr(r, &q);
	ck_assert_uint_gt(t_recv_tcp(fd[0], buf), 0); /* it runs, and stops for us */
	for (int i = 1; i <= MOST; i++)
		fd[i] = start_axfr(r, &q);
	settle(r);
	ck_assert_uint_eq(__atomic_load_n(refused, __ATOMIC_RELAXED), 0);
	fd[1 + MOST] = start_axfr(r, &q);
	ck_assert(rig_await(r, &r->transferred, 1));
	ck_assert_int_eq(r->last_result, ZS_ELIMIT);
	for (int i = 1; i < 2 + MOST; i++)
		close(fd[i]);
	ck_assert(rig_await(r, &r->transferred, 1 + MOST));
	close(fd[0]);
	ck_assert(rig_await(r, &r->transferred, 2 + MOST));
	rig_free(r);
	tz_free(z);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		what_is_old_is_cut,
		what_is_in_the_way_is_cut,
		what_is_not_in_the_way_goes_on,
		what_waits_is_told,
		what_is_rendered_holds_nothing,
		only_so_many_wait,
	};

	return RUN_SUITE("net give-up", tests);
}
