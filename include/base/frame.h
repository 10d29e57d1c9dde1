/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Framed messages over a stream socket between our own processes: 4-octet big-endian length of what follows,
 * 1-octet type, payload; up to FRAME_FDS descriptors may travel with a frame (SCM_RIGHTS). The receiver
 * trusts nothing: a frame over the bound or a torn one is ZS_EFORMAT and the connection is done for.
 */
#ifndef ZONESEAL_BASE_FRAME_H
#define ZONESEAL_BASE_FRAME_H

#include <stddef.h>
#include <stdint.h>

#define FRAME_MAX (8u << 20) /* octets of type and payload */
#define FRAME_FDS 32

struct frame {
	uint8_t type;
	const uint8_t *data; /* borrowed from the connection until the next call on it */
	size_t len;
	int fds[FRAME_FDS]; /* owned by the receiver once the frame is handed out */
	unsigned nfds;
};

/*
 * One end. The descriptor becomes non-blocking and belongs to the connection. out_max bounds the octets that
 * wait to be sent: frame_send() answers ZS_EAGAIN over it and the caller stops producing; a single larger
 * frame is taken while nothing waits.
 * A connection is used by one thread at a time.
 */
struct frame_conn;
struct frame_conn *frame_conn_new(int fd, size_t out_max); /* NULL: the descriptor is still the caller's */
void frame_conn_free(struct frame_conn *c); /* closes; NULL is legal */
int frame_conn_fd(const struct frame_conn *c);
/* Queues a frame; descriptors are duplicated. 0, ZS_EAGAIN, ZS_ENOMEM, ZS_ELIMIT (over FRAME_MAX). */
int frame_send(struct frame_conn *c, uint8_t type, const void *data, size_t len, const int *fds,
	       unsigned nfds);
/* Writes what the socket takes. 0 all gone, ZS_EAGAIN some is left (poll for writing), ZS_ECLOSED. */
int frame_flush(struct frame_conn *c);
size_t frame_pending(const struct frame_conn *c);
/* Next whole frame. 0, ZS_EAGAIN (poll for reading), ZS_ECLOSED (clean end), ZS_EFORMAT. */
int frame_recv(struct frame_conn *c, struct frame *out);
/*
 * Blocking versions with a deadline for simple request/answer phases: ZS_ETIMEOUT; a negative timeout never
 * ends. After ZS_ETIMEOUT of frame_send_wait() the frame may still be queued: the connection is done for.
 */
int frame_send_wait(struct frame_conn *c, uint8_t type, const void *data, size_t len, const int *fds,
		    unsigned nfds, int timeout_ms);
int frame_recv_wait(struct frame_conn *c, struct frame *out, int timeout_ms);

#endif
