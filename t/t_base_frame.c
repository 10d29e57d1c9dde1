/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Frames: order, bounds, torn input, back-pressure; descriptors reach the frame they were sent with. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/frame.h"
#include "base/rand.h"
#include "t_suite.h"

static void make_pair(struct frame_conn *c[2], size_t out_max)
{
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv), 0);
	c[0] = frame_conn_new(sv[0], out_max);
	c[1] = frame_conn_new(sv[1], out_max);
	ck_assert_ptr_nonnull(c[0]);
	ck_assert_ptr_nonnull(c[1]);
}

/* One end as a connection, the other as a plain descriptor. */
static struct frame_conn *make_raw(int *raw)
{
	struct frame_conn *c;
	int sv[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
	c = frame_conn_new(sv[0], 1000);
	ck_assert_ptr_nonnull(c);
	*raw = sv[1];
	return c;
}

static void put(int fd, const char *p, size_t n)
{
	ck_assert_int_eq(write(fd, p, n), (ssize_t)n);
}

START_TEST(test_order_and_content)
{
	struct frame_conn *c[2];
	struct frame f;

	make_pair(c, 1u << 20);
	ck_assert_int_eq(frame_recv(c[1], &f), ZS_EAGAIN);
	for (unsigned i = 0; i < 200; i++) {
		uint8_t b[200];

		memset(b, (int)i, sizeof b);
		ck_assert_int_eq(frame_send(c[0], (uint8_t)i, b, i, NULL, 0), 0);
	}
	ck_assert_uint_eq(frame_pending(c[0]), 200 * 5 + 199 * 100);
	ck_assert_int_eq(frame_flush(c[0]), 0);
	ck_assert_uint_eq(frame_pending(c[0]), 0);
	for (unsigned i = 0; i < 200; i++) {
		ck_assert_int_eq(frame_recv(c[1], &f), 0);
		ck_assert_uint_eq(f.type, i);
		ck_assert_uint_eq(f.len, i);
		ck_assert_uint_eq(f.nfds, 0);
		for (size_t j = 0; j < f.len; j++)
			ck_assert_uint_eq(f.data[j], i);
	}
	ck_assert_int_eq(frame_recv(c[1], &f), ZS_EAGAIN);
	frame_conn_free(c[0]);
	ck_assert_int_eq(frame_recv(c[1], &f), ZS_ECLOSED);
	ck_assert_int_eq(frame_recv(c[1], &f), ZS_ECLOSED);
	ck_assert_int_eq(frame_send(c[1], 1, "x", 1, NULL, 0), 0);
	ck_assert_int_eq(frame_flush(c[1]), ZS_ECLOSED); /* and no SIGPIPE */
	frame_conn_free(c[1]);
	frame_conn_free(NULL);
}
END_TEST

/* Every cut of two frames gives the same two frames. */
START_TEST(test_torn_pieces)
{
	static const char two[] = "\0\0\0\4\1abc\0\0\0\1\2";
	size_t n = sizeof two - 1;

	for (size_t cut = 0; cut <= n; cut++) {
		struct frame f;
		unsigned got = 0;
		int raw;
		struct frame_conn *c = make_raw(&raw);

		put(raw, two, cut);
		while (frame_recv(c, &f) == 0)
			got++;
		ck_assert_uint_eq(got, cut < 8 ? 0 : cut < n ? 1 : 2);
		put(raw, two + cut, n - cut);
		while (frame_recv(c, &f) == 0) {
			ck_assert_uint_eq(f.type, ++got);
			if (got == 1)
				ck_assert_mem_eq(f.data, "abc", 3);
		}
		ck_assert_uint_eq(got, 2);
		close(raw);
		ck_assert_int_eq(frame_recv(c, &f), ZS_ECLOSED);
		frame_conn_free(c);
	}
}
END_TEST

START_TEST(test_malformed)
{
	static const struct {
		const char *octets;
		size_t n;
	} bad[] = {
		{ "\0\0\0\0", 4 },		/* no type */
		{ "\0\x80\0\1\1", 5 },		/* one over FRAME_MAX */
		{ "\xff\xff\xff\xff\1", 5 },
		{ "\0\0\0\5\1ab", 7 },		/* ends in the middle */
		{ "\0", 1 },			/* ends in the head */
		{ "\0\0\0\1\7\0\0\0\0", 9 },	/* a good one before it */
	};

	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		struct frame f;
		int raw, ret;
		struct frame_conn *c = make_raw(&raw);

		put(raw, bad[i].octets, bad[i].n);
		close(raw);
		while ((ret = frame_recv(c, &f)) == 0)
			;
		ck_assert_int_eq(ret, ZS_EFORMAT);
		ck_assert_int_eq(frame_recv(c, &f), ZS_EFORMAT);
		frame_conn_free(c);
	}
}
END_TEST

START_TEST(test_limits)
{
	struct frame_conn *c[2];
	uint8_t *big = calloc(1, FRAME_MAX);
	int fds[FRAME_FDS + 1] = { 0 };

	make_pair(c, 100);
	ck_assert_int_eq(frame_send(c[0], 1, big, FRAME_MAX, NULL, 0), ZS_ELIMIT);
	ck_assert_int_eq(frame_send(c[0], 1, big, SIZE_MAX, NULL, 0), ZS_ELIMIT);
	ck_assert_int_eq(frame_send(c[0], 1, NULL, 0, fds, FRAME_FDS + 1), ZS_ELIMIT);
	ck_assert_int_eq(frame_send(c[0], 1, big, 45, NULL, 0), 0);
	ck_assert_int_eq(frame_send(c[0], 1, big, 45, NULL, 0), 0); /* exactly 100 */
	ck_assert_int_eq(frame_send(c[0], 1, NULL, 0, NULL, 0), ZS_EAGAIN);
	ck_assert_int_eq(frame_flush(c[0]), 0);
	ck_assert_int_eq(frame_send(c[0], 1, big, 1000, NULL, 0), 0); /* alone: above the bound is taken */
	ck_assert_int_eq(frame_send(c[0], 1, NULL, 0, NULL, 0), ZS_EAGAIN);
	fds[0] = -1;
	ck_assert_int_eq(frame_flush(c[0]), 0);
	ck_assert_int_ne(frame_send(c[0], 1, NULL, 0, fds, 1), 0); /* a bad descriptor queues nothing */
	ck_assert_uint_eq(frame_pending(c[0]), 0);
	frame_conn_free(c[0]);
	frame_conn_free(c[1]);
	free(big);
}
END_TEST

/* The largest frame, through a socket that takes far less at once. */
START_TEST(test_largest)
{
	struct frame_conn *c[2];
	struct prng r = prng_seed(1);
	uint8_t *big = malloc(FRAME_MAX - 1);
	struct frame f = { 0 };
	int ret;

	for (size_t i = 0; i < FRAME_MAX - 1; i++)
		big[i] = (uint8_t)(prng_u64(&r) >> 7);
	make_pair(c, 100);
	ck_assert_int_eq(frame_send(c[0], 9, big, FRAME_MAX - 1, NULL, 0), 0);
	do {
		frame_flush(c[0]);
		ret = frame_recv(c[1], &f);
	} while (ret == ZS_EAGAIN);
	ck_assert_int_eq(ret, 0);
	ck_assert_uint_eq(f.len, FRAME_MAX - 1);
	ck_assert_mem_eq(f.data, big, f.len);
	ck_assert_int_eq(frame_send(c[0], 8, "z", 1, NULL, 0), 0); /* the large buffer is given back */
	ck_assert_int_eq(frame_flush(c[0]), 0);
	ck_assert_int_eq(frame_recv(c[1], &f), 0);
	ck_assert_mem_eq(f.data, "z", 1);
	frame_conn_free(c[0]);
	frame_conn_free(c[1]);
	free(big);
}
END_TEST

static int numbered_fd(uint32_t v)
{
	char name[] = "t_base_frame-XXXXXX";
	int fd = mkstemp(name);

	ck_assert_int_ge(fd, 0);
	unlink(name);
	ck_assert_int_eq(write(fd, &v, sizeof v), (ssize_t)sizeof v);
	return fd;
}

/* Reads back the number and closes. */
static void expect_fd(int fd, uint32_t want)
{
	uint32_t v = 0;

	ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
	ck_assert_int_eq(pread(fd, &v, sizeof v, 0), (ssize_t)sizeof v);
	ck_assert_uint_eq(v, want);
	close(fd);
}

static unsigned open_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Frames with and without descriptors, mixed at random, with sizes that split and that join writes. */
START_TEST(test_descriptors)
{
	unsigned before = open_fds(), sent = 0, got = 0;
	struct prng r = prng_seed(99);
	static uint8_t payload[300000];
	struct frame_conn *c[2];
	struct frame f;

	make_pair(c, 4u << 20);
	while (got < 400) {
		unsigned n = (unsigned)prng_upto(&r, 9);
		int ret;

		for (unsigned i = 0; i < n && sent < 400; i++, sent++) {
			size_t len = prng_upto(&r, 9) == 0 ? sizeof payload : prng_upto(&r, 40);
			unsigned nfds = prng_upto(&r, 2) ? 0 : (unsigned)prng_upto(&r, FRAME_FDS);
			int fds[FRAME_FDS];

			for (unsigned j = 0; j < nfds; j++)
				fds[j] = numbered_fd(sent * 100 + j);
			ck_assert_int_eq(frame_send(c[0], (uint8_t)nfds, payload, len, fds, nfds), 0);
			for (unsigned j = 0; j < nfds; j++)
				close(fds[j]);
		}
		do {
			frame_flush(c[0]);
			while ((ret = frame_recv(c[1], &f)) == 0) {
				ck_assert_uint_eq(f.nfds, f.type);
				for (unsigned j = 0; j < f.nfds; j++)
					expect_fd(f.fds[j], got * 100 + j);
				got++;
			}
			ck_assert_int_eq(ret, ZS_EAGAIN);
		} while (frame_pending(c[0]));
		ck_assert_uint_eq(got, sent);
	}
	frame_conn_free(c[0]);
	frame_conn_free(c[1]);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

/* Sends octets with descriptors past the library. */
static void send_raw(int sock, const void *p, size_t len, unsigned nfds)
{
	char space[CMSG_SPACE(100 * sizeof(int))] = { 0 };
	struct iovec iov = { (void *)(uintptr_t)p, len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cm;
	int fds[100] = { 0 };

	msg.msg_control = space;
	msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
	cm = CMSG_FIRSTHDR(&msg);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(nfds * sizeof(int));
	for (unsigned i = 0; i < nfds; i++)
		fds[i] = sock;
	memcpy(CMSG_DATA(cm), fds, nfds * sizeof(int));
	ck_assert_int_eq(sendmsg(sock, &msg, 0), (ssize_t)len);
}

/* A peer that sends too many: the frame is refused and nothing leaks. */
START_TEST(test_too_many_descriptors)
{
	static const char spread[] = "\0\0\0\x06" "abcdef";
	unsigned before = open_fds();
	struct frame f;
	int raw;
	struct frame_conn *c = make_raw(&raw);

	send_raw(raw, "\0\0\0\3\1ab", 7, FRAME_FDS + 1); /* in one message */
	ck_assert_int_eq(frame_recv(c, &f), ZS_EFORMAT);
	frame_conn_free(c);
	close(raw);
	ck_assert_uint_eq(open_fds(), before);

	c = make_raw(&raw);
	for (int i = 0; i < 3; i++) /* spread over one frame */
		send_raw(raw, &spread[i * 2], i < 2 ? 2 : 6, FRAME_FDS / 2 + 1);
	ck_assert_int_eq(frame_recv(c, &f), ZS_EFORMAT);
	frame_conn_free(c);
	close(raw);
	ck_assert_uint_eq(open_fds(), before);

	c = make_raw(&raw);
	put(raw, "\0\0\0\1\1", 5); /* unread descriptors are closed with the connection */
	send_raw(raw, "\0\0\0\x09zz", 6, 3);
	ck_assert_int_eq(frame_recv(c, &f), 0);
	ck_assert_uint_eq(f.nfds, 0);
	ck_assert_int_eq(frame_recv(c, &f), ZS_EAGAIN);
	frame_conn_free(c);
	close(raw);
	ck_assert_uint_eq(open_fds(), before);
}
END_TEST

static void *echo(void *arg)
{
	struct frame_conn *c = arg;
	struct frame f;

	while (frame_recv_wait(c, &f, -1) == 0)
		if (frame_send_wait(c, (uint8_t)(f.type + 1), f.data, f.len, f.fds, f.nfds, 30000) != 0)
			break;
	return NULL;
}

START_TEST(test_waiting)
{
	static uint8_t big[1u << 20];
	struct frame_conn *c[2];
	struct frame f;
	pthread_t t;

	make_pair(c, 100);
	ck_assert_int_eq(frame_recv_wait(c[0], &f, 0), ZS_ETIMEOUT);
	ck_assert_int_eq(frame_recv_wait(c[0], &f, 5), ZS_ETIMEOUT);
	/* nobody reads */
	ck_assert_int_eq(frame_send_wait(c[0], 1, big, sizeof big, NULL, 0, 5), ZS_ETIMEOUT);
	frame_conn_free(c[0]);
	frame_conn_free(c[1]);
	make_pair(c, 100);
	ck_assert_int_eq(pthread_create(&t, NULL, echo, c[1]), 0);
	for (unsigned i = 0; i < 20; i++) {
		ck_assert_int_eq(frame_send_wait(c[0], (uint8_t)i, big, sizeof big, NULL, 0, 30000), 0);
		ck_assert_int_eq(frame_recv_wait(c[0], &f, 30000), 0);
		ck_assert_uint_eq(f.type, i + 1);
		ck_assert_uint_eq(f.len, sizeof big);
	}
	ck_assert_int_eq(shutdown(frame_conn_fd(c[0]), SHUT_WR), 0);
	pthread_join(t, NULL);
	frame_conn_free(c[1]);
	ck_assert_int_eq(frame_recv_wait(c[0], &f, 30000), ZS_ECLOSED);
	frame_conn_free(c[0]);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_order_and_content,
		test_torn_pieces,
		test_malformed,
		test_limits,
		test_largest,
		test_descriptors,
		test_too_many_descriptors,
		test_waiting,
	};

	return RUN_SUITE("base_frame", tests);
}
