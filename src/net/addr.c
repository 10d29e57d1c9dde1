/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses: text, comparison, binding. A v4-mapped IPv6 address means the IPv4 one wherever addresses are
 * compared; our own sockets are v6only and never see one, a configuration may name one.
 */
#include "net/acl.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr_impl.h"
#include "base/err.h"

#define LISTEN_BACKLOG 512

unsigned addr_octets(const struct net_addr *a, const uint8_t **out)
{
	static const uint8_t mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };

	if (a->sa.sa_family == AF_INET) {
		*out = (const uint8_t *)&a->v4.sin_addr;
		return 4;
	}
	*out = a->v6.sin6_addr.s6_addr;
	if (memcmp(*out, mapped, sizeof(mapped)) != 0)
		return 16;
	*out += sizeof(mapped);
	return 4;
}

bool net_addr_same_host(const struct net_addr *a, const struct net_addr *b)
{
	const uint8_t *x, *y;
	unsigned n = addr_octets(a, &x);

	if (n != addr_octets(b, &y) || memcmp(x, y, n) != 0)
		return false;
	if (n == 16 && a->v6.sin6_scope_id != 0 && b->v6.sin6_scope_id != 0)
		return a->v6.sin6_scope_id == b->v6.sin6_scope_id;
	return true;
}

socklen_t net_addr_len(const struct net_addr *a)
{
	return a->sa.sa_family == AF_INET ? sizeof(a->v4) : sizeof(a->v6);
}

char *net_addr_text(const struct net_addr *a, char buf[static NET_ADDR_TEXT])
{
	char host[INET6_ADDRSTRLEN];
	uint16_t port = a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
	const void *in = a->sa.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;

	if ((a->sa.sa_family != AF_INET && a->sa.sa_family != AF_INET6) ||
	    !inet_ntop(a->sa.sa_family, in, host, sizeof(host)))
		snprintf(host, sizeof(host), "?");
	snprintf(buf, NET_ADDR_TEXT, "%s@%u", host, (unsigned)ntohs(port));
	return buf;
}

int addr_want_pktinfo(int fd, int family)
{
	int one = 1;

	if (family == AF_INET)
		return setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	return setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &one, sizeof(one));
}

static int bind_one(const struct net_addr *a, int type)
{
	int family = a->sa.sa_family, one = 1;
	int fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -1;
	/* On UDP, SO_REUSEADDR would let a second process take half of the queries: TCP alone needs it. */
	if (type == SOCK_STREAM && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) != 0)
		goto fail;
	if (family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one)) != 0)
		goto fail;
	if (type == SOCK_DGRAM && addr_want_pktinfo(fd, family) != 0)
		goto fail;
	if (bind(fd, &a->sa, net_addr_len(a)) != 0)
		goto fail;
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) != 0)
		goto fail;
	return fd;
fail:
	one = errno;
	close(fd);
	errno = one;
	return -1;
}

int net_bind(const struct net_addr *a, int fds[static 2])
{
	struct net_addr tcp = *a;
	socklen_t len = sizeof(tcp);
	int udp_fd = bind_one(a, SOCK_DGRAM), tcp_fd, err;

	if (udp_fd < 0)
		return zs_from_errno(errno);
	/* Port 0 (tests): TCP takes the port that UDP was given. */
	if (getsockname(udp_fd, &tcp.sa, &len) != 0) {
		err = zs_from_errno(errno);
		close(udp_fd);
		return err;
	}
	tcp_fd = bind_one(&tcp, SOCK_STREAM);
	if (tcp_fd < 0) {
		err = zs_from_errno(errno);
		close(udp_fd);
		return err;
	}
	fds[0] = udp_fd;
	fds[1] = tcp_fd;
	return 0;
}
