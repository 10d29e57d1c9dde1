/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The Host header of the stats port: a guard against DNS rebinding.
 * Pure; called by http.c for every request. */
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>
#include "http_priv.h"

#define HOST_MAX 256

/* "host", "host:port", "[v6]:port" -> host. False when it is none of them. */
static bool split(const char *text, char host[static HOST_MAX])
{
	const char *end;
	size_t n;

	if (*text == '[') {
		end = strchr(++text, ']');
		if (!end || (end[1] && end[1] != ':'))
			return false;
		n = (size_t)(end - text);
		end++;
	} else {
		n = strcspn(text, ":");
		end = text + n;
	}
	if (n == 0 || n >= HOST_MAX || (*end == ':' && strspn(end + 1, "0123456789") != strlen(end + 1)))
		return false;
	memcpy(host, text, n);
	host[n] = 0;
	return true;
}

static bool address(const char *host, struct net_addr *out)
{
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1)
		out->sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1)
		out->sa.sa_family = AF_INET6;
	else
		return false;
	return true;
}

static bool is_loopback(const struct net_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && a->v6.sin6_addr.s6_addr[12] == 127);
}

static bool same(const struct net_addr *a, const struct sockaddr *b)
{
	const struct net_addr *o = (const struct net_addr *)(const void *)b;

	if (a->sa.sa_family != b->sa_family)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == o->v4.sin_addr.s_addr;
	return IN6_ARE_ADDR_EQUAL(&a->v6.sin6_addr, &o->v6.sin6_addr);
}

bool http_host_ok(const char *text, const struct net_addr *listen, size_t n, const struct sockaddr *local)
{
	char host[HOST_MAX];
	struct net_addr a;

	if (!split(text, host))
		return false;
	if (strcasecmp(host, "localhost") == 0 || strcasecmp(host, "localhost.") == 0)
		return true;
	if (!address(host, &a))
		return false;
	if (is_loopback(&a) || (local && same(&a, local)))
		return true;
	for (size_t i = 0; i < n; i++)
		if (same(&a, &listen[i].sa))
			return true;
	return false;
}
