/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Blocking frames over the control socket. The daemon is trusted no further than its frames are bounded. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/err.h"
#include "ctlconn.h"
#include "ctlproto.h"

int conn_open(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd, saved;

	if (strlen(path) >= sizeof(un.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(un.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&un, sizeof(un)) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

#define ANSWER_S 15   /* the engine answers at once or streams */
#define SLOW_ANSWER_S 330 /* these wait for the parent and a key store */

/* A daemon that holds the socket without answering (its engine fails to start, say) must not keep an operator
 * waiting. */
static void bound_answer(int fd, const char *verb)
{
	bool slow = strncmp(verb, "hsm ", 4) == 0 || strncmp(verb, "conf ", 5) == 0;
	struct timeval tv = { .tv_sec = slow ? SLOW_ANSWER_S : ANSWER_S };

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
}

int conn_send(int fd, const char *verb, json_t *args)
{
	uint8_t *frame = NULL;
	size_t len, at = 0;
	int err = ctl_encode(json_pack("{s:i, s:s, s:o}", "v", CTL_VERSION, "verb", verb, "args", args),
			     &frame, &len);

	bound_answer(fd, verb);
	while (!err && at < len) {
		ssize_t n = send(fd, frame + at, len - at, MSG_NOSIGNAL);

		if (n > 0)
			at += (size_t)n;
		else if (n < 0 && errno != EINTR)
			err = ZS_ECLOSED;
	}
	free(frame);
	return err;
}

static int read_all(int fd, void *dst, size_t len)
{
	uint8_t *p = dst;

	while (len > 0) {
		ssize_t n = read(fd, p, len);

		if (n == 0 || (n < 0 && errno != EINTR))
			return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK) ? ZS_ETIMEOUT : ZS_ECLOSED;
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int conn_recv(int fd, json_t **out)
{
	uint8_t head[CTL_HEAD], *body;
	uint32_t len;
	int err = read_all(fd, head, sizeof(head));

	if (!err)
		err = ctl_head(head, &len);
	if (err)
		return err;
	body = malloc(len);
	if (!body)
		return ZS_ENOMEM;
	err = read_all(fd, body, len);
	if (!err) {
		json_t *msg = json_loadb((const char *)body, len, 0, NULL);

		if (json_is_object(msg)) {
			*out = msg;
		} else {
			json_decref(msg);
			err = ZS_EFORMAT;
		}
	}
	free(body);
	return err;
}
