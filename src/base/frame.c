/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Framed messages between our own processes. Descriptors travel with the first octets of their frame: such a
 * frame is begun by a sendmsg() of its own. The kernel never joins octets across descriptors, so the frame
 * that they belong to is the last one begun in what the same recvmsg() returned; each batch remembers the
 * place in the stream where that call ended, and goes to the frame in which this place lies. Whatever a peer
 * sends instead, each descriptor goes to exactly one frame or is closed.
 *
 * Invariants: the input holds less than one whole frame whenever the socket is read; an input error stays.
 * Called by the mains: parent, engine and vault.
 */
#include "base/frame.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"

#define FRAME_HEAD 4u  /* octets of the length field */
#define FRAME_IOV 16   /* frames joined in one write */
#define FRAME_READ (64u << 10) /* octets read at once; a longer frame gets the room it needs */
#define FRAME_KEEP (1u << 20)  /* a larger input buffer is given back when it is empty */

struct out_frame {
	struct out_frame *next;
	size_t len; /* with the head */
	size_t sent;
	int fds[FRAME_FDS];
	unsigned nfds;
	uint8_t octets[];
};

struct in_fd {
	int fd;
	uint64_t mark; /* stream offset at which the call that brought it ended */
};

struct frame_conn {
	int fd;
	size_t out_max;
	size_t out_len; /* octets not yet sent */
	struct out_frame *out_head;
	struct out_frame *out_tail;
	uint8_t *in;
	size_t in_cap;
	size_t in_start;
	size_t in_end;
	uint64_t in_offset; /* of in_end in the stream */
	struct in_fd in_fds[2 * FRAME_FDS]; /* those of the frame begun, and one call's worth */
	unsigned in_nfds;
	int in_err;
};

static void close_fds(int *fds, unsigned *n)
{
	while (*n > 0)
		close(fds[--*n]);
}

struct frame_conn *frame_conn_new(int fd, size_t out_max)
{
	int flags = fcntl(fd, F_GETFL);
	struct frame_conn *c;

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return NULL;
	c = calloc(1, sizeof *c);
	if (!c)
		return NULL;
	c->fd = fd;
	c->out_max = out_max;
	return c;
}

static void drop_out_head(struct frame_conn *c)
{
	struct out_frame *f = c->out_head;

	c->out_head = f->next;
	if (!c->out_head)
		c->out_tail = NULL;
	close_fds(f->fds, &f->nfds);
	free(f);
}

void frame_conn_free(struct frame_conn *c)
{
	if (!c)
		return;
	while (c->out_head)
		drop_out_head(c);
	while (c->in_nfds > 0)
		close(c->in_fds[--c->in_nfds].fd);
	free(c->in);
	close(c->fd);
	free(c);
}

int frame_conn_fd(const struct frame_conn *c)
{
	return c->fd;
}

size_t frame_pending(const struct frame_conn *c)
{
	return c->out_len;
}

int frame_send(struct frame_conn *c, uint8_t type, const void *data, size_t len, const int *fds,
	       unsigned nfds)
{
	size_t total = FRAME_HEAD + 1 + len;
	struct out_frame *f;
	int saved;

	if (len >= FRAME_MAX || nfds > FRAME_FDS)
		return ZS_ELIMIT;
	/* a frame above the bound goes alone, else it could never be sent */
	if (c->out_len > 0 && (c->out_len > c->out_max || total > c->out_max - c->out_len))
		return ZS_EAGAIN;
	f = malloc(sizeof *f + total);
	if (!f)
		return ZS_ENOMEM;
	*f = (struct out_frame){ .len = total };
	for (; f->nfds < nfds; f->nfds++) {
		f->fds[f->nfds] = fcntl(fds[f->nfds], F_DUPFD_CLOEXEC, 0);
		if (f->fds[f->nfds] < 0) {
			saved = errno;
			close_fds(f->fds, &f->nfds);
			free(f);
			errno = saved;
			return zs_from_errno(saved);
		}
	}
	put_be32(f->octets, (uint32_t)(len + 1));
	f->octets[FRAME_HEAD] = type;
	if (len)
		memcpy(f->octets + FRAME_HEAD + 1, data, len);
	if (c->out_tail)
		c->out_tail->next = f;
	else
		c->out_head = f;
	c->out_tail = f;
	c->out_len += total;
	return 0;
}

union fd_space {
	struct cmsghdr align;
	char octets[CMSG_SPACE(FRAME_FDS * sizeof(int))];
};

static void attach_fds(struct msghdr *msg, union fd_space *space, const struct out_frame *f)
{
	struct cmsghdr *cm;

	memset(space, 0, sizeof *space);
	msg->msg_control = space->octets;
	msg->msg_controllen = CMSG_SPACE(f->nfds * sizeof(int));
	cm = CMSG_FIRSTHDR(msg);
	cm->cmsg_level = SOL_SOCKET;
	cm->cmsg_type = SCM_RIGHTS;
	cm->cmsg_len = CMSG_LEN(f->nfds * sizeof(int));
	memcpy(CMSG_DATA(cm), f->fds, f->nfds * sizeof(int));
}

/* One write: the first frame alone when it has descriptors, else it and those behind it that have none. */
static ssize_t send_some(struct frame_conn *c)
{
	struct iovec iov[FRAME_IOV];
	union fd_space space;
	struct msghdr msg = { .msg_iov = iov };

	if (c->out_head->nfds)
		attach_fds(&msg, &space, c->out_head);
	for (struct out_frame *f = c->out_head; f && msg.msg_iovlen < FRAME_IOV; f = f->next) {
		if (msg.msg_iovlen > 0 && (f->nfds || c->out_head->nfds))
			break;
		iov[msg.msg_iovlen].iov_base = f->octets + f->sent;
		iov[msg.msg_iovlen++].iov_len = f->len - f->sent;
	}
	return sendmsg(c->fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void mark_sent(struct frame_conn *c, size_t n)
{
	c->out_len -= n;
	close_fds(c->out_head->fds, &c->out_head->nfds); /* they went with its first octets */
	while (n > 0) {
		struct out_frame *f = c->out_head;
		size_t step = n < f->len - f->sent ? n : f->len - f->sent;

		f->sent += step;
		n -= step;
		if (f->sent == f->len)
			drop_out_head(c);
	}
}

int frame_flush(struct frame_conn *c)
{
	while (c->out_head) {
		ssize_t n = send_some(c);

		if (n > 0)
			mark_sent(c, (size_t)n);
		else if (n < 0 && errno != EINTR)
			return errno == EWOULDBLOCK ? ZS_EAGAIN : zs_from_errno(errno);
	}
	return 0;
}

/* Keeps the descriptors of one message; those that do not fit are closed and make it malformed. */
static int keep_fds(struct frame_conn *c, struct msghdr *msg)
{
	int ret = 0;

	for (struct cmsghdr *cm = CMSG_FIRSTHDR(msg); cm; cm = CMSG_NXTHDR(msg, cm)) {
		size_t n = (cm->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (cm->cmsg_level != SOL_SOCKET || cm->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < n; i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(cm) + i * sizeof fd, sizeof fd);
			if (c->in_nfds == 2 * FRAME_FDS) {
				close(fd);
				ret = ZS_EFORMAT;
				continue;
			}
			c->in_fds[c->in_nfds++] = (struct in_fd){ fd, c->in_offset };
		}
	}
	/* some did not fit the space, or we are out of descriptors: what they were for is lost */
	if (msg->msg_flags & MSG_CTRUNC)
		ret = ZS_EFORMAT;
	return ret;
}

/* Room for the frame that is begun, at least for one read. */
static int make_room(struct frame_conn *c, size_t frame_len)
{
	size_t have = c->in_end - c->in_start;
	size_t need = frame_len > FRAME_READ ? frame_len : FRAME_READ;
	uint8_t *p;

	if (c->in_start > 0 && have > 0)
		memmove(c->in, c->in + c->in_start, have);
	c->in_start = 0;
	c->in_end = have;
	if (c->in_cap >= need && (have > 0 || c->in_cap <= FRAME_KEEP))
		return 0;
	p = realloc(c->in, need);
	if (!p)
		return ZS_ENOMEM;
	c->in = p;
	c->in_cap = need;
	return 0;
}

/* One read of the socket. */
static int recv_some(struct frame_conn *c, size_t frame_len)
{
	union fd_space space;
	struct iovec iov;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = space.octets,
		.msg_controllen = sizeof space.octets,
	};
	ssize_t n;
	int ret;

	ret = make_room(c, frame_len);
	if (ret)
		return ret;
	iov.iov_base = c->in + c->in_end;
	iov.iov_len = c->in_cap - c->in_end;
	do
		n = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n < 0 && errno == EINTR);
	if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return ZS_EAGAIN;
	if (n < 0 && errno != ECONNRESET)
		return zs_from_errno(errno);
	if (n <= 0) /* an end in the middle of a frame is a torn one */
		return c->in_err = c->in_end > c->in_start ? ZS_EFORMAT : ZS_ECLOSED;
	c->in_end += (size_t)n;
	c->in_offset += (size_t)n;
	ret = keep_fds(c, &msg);
	if (ret)
		c->in_err = ret;
	return ret;
}

/*
 * Hands the descriptors that came within the frame to it. It ends at stream offset `end`; marks only rise.
 * More than a frame may carry make it malformed: nothing is handed out, frame_conn_free() closes them.
 */
static int take_fds(struct frame_conn *c, struct frame *f, uint64_t end)
{
	unsigned n = 0;

	while (n < c->in_nfds && c->in_fds[n].mark <= end)
		n++;
	if (n > FRAME_FDS)
		return c->in_err = ZS_EFORMAT;
	for (unsigned i = 0; i < n; i++)
		f->fds[i] = c->in_fds[i].fd;
	f->nfds = n;
	c->in_nfds -= n;
	memmove(c->in_fds, c->in_fds + n, c->in_nfds * sizeof c->in_fds[0]);
	return 0;
}

/* A whole frame from what has been read; ZS_EAGAIN and *need, its octets so far as they are known. */
static int parse(struct frame_conn *c, struct frame *out, size_t *need)
{
	size_t have = c->in_end - c->in_start;
	struct frame f = { 0 };
	size_t len;
	int ret;

	*need = FRAME_HEAD;
	if (have < FRAME_HEAD)
		return ZS_EAGAIN;
	len = be32(c->in + c->in_start);
	if (len < 1 || len > FRAME_MAX)
		return c->in_err = ZS_EFORMAT;
	*need = FRAME_HEAD + len;
	if (have < *need)
		return ZS_EAGAIN;
	ret = take_fds(c, &f, c->in_offset - (have - *need));
	if (ret)
		return ret;
	f.type = c->in[c->in_start + FRAME_HEAD];
	f.data = c->in + c->in_start + FRAME_HEAD + 1;
	f.len = len - 1;
	c->in_start += *need;
	*out = f;
	return 0;
}

int frame_recv(struct frame_conn *c, struct frame *out)
{
	size_t need;
	int ret;

	if (c->in_err)
		return c->in_err;
	for (;;) {
		ret = parse(c, out, &need);
		if (ret != ZS_EAGAIN)
			return ret;
		ret = recv_some(c, need);
		if (ret)
			return ret;
	}
}

/* Real time, also under the clock of the tests: it bounds waiting for a process, not an event of a zone. */
static int64_t now_ms(void)
{
	struct timespec ts = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Waits for the events until the deadline; a negative one never comes. */
static int wait_for(int fd, short events, int64_t deadline)
{
	struct pollfd p = { .fd = fd, .events = events };

	for (;;) {
		int64_t left = deadline < 0 ? -1 : deadline - now_ms();
		int n;

		if (deadline >= 0 && left < 0)
			left = 0;
		n = poll(&p, 1, (int)left);
		if (n > 0)
			return 0;
		if (n == 0)
			return ZS_ETIMEOUT;
		if (errno != EINTR)
			return zs_from_errno(errno);
	}
}

int frame_send_wait(struct frame_conn *c, uint8_t type, const void *data, size_t len, const int *fds,
		    unsigned nfds, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int queued = 0, ret;

	for (;;) {
		ret = queued ? 0 : frame_send(c, type, data, len, fds, nfds);
		if (ret == 0)
			queued = 1;
		else if (ret != ZS_EAGAIN)
			return ret;
		ret = frame_flush(c);
		if (ret == 0 && queued)
			return 0;
		if (ret == ZS_EAGAIN)
			ret = wait_for(c->fd, POLLOUT, deadline);
		if (ret)
			return ret;
	}
}

int frame_recv_wait(struct frame_conn *c, struct frame *out, int timeout_ms)
{
	int64_t deadline = timeout_ms < 0 ? -1 : now_ms() + timeout_ms;
	int ret;

	while ((ret = frame_recv(c, out)) == ZS_EAGAIN) {
		ret = wait_for(c->fd, POLLIN, deadline);
		if (ret)
			break;
	}
	return ret;
}
