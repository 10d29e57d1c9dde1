/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input is what a peer writes to the socket, in two pieces so that frames are torn at a place the input
 * chooses: its first octet says where. Every frame handed out must lie within the bound.
 */
#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/frame.h"
#include "fuzz.h"

#define INPUT_MAX (32u << 10) /* fits a socket buffer in one write */

static int drain(struct frame_conn *c)
{
	volatile uint8_t sum = 0;
	struct frame f;
	int ret;

	while ((ret = frame_recv(c, &f)) == 0) {
		assert(f.len < FRAME_MAX && f.nfds == 0);
		for (size_t i = 0; i < f.len; i++)
			sum ^= f.data[i];
	}
	(void)sum; /* what counts is that every octet was read */
	return ret;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct frame_conn *c;
	size_t cut;
	int sv[2];

	if (len < 1 || len > INPUT_MAX || socketpair(AF_UNIX, SOCK_STREAM, 0, sv) < 0)
		return 0;
	cut = data[0] < len - 1 ? data[0] : len - 1;
	c = frame_conn_new(sv[0], 0);
	assert(c);
	if (write(sv[1], data + 1, cut) == (ssize_t)cut)
		drain(c);
	if (write(sv[1], data + 1 + cut, len - 1 - cut) == (ssize_t)(len - 1 - cut))
		drain(c);
	close(sv[1]);
	assert(drain(c) != ZS_EAGAIN);
	frame_conn_free(c);
	return 0;
}
