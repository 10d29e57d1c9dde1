/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Addresses as text: `192.0.2.1@53`, `::1@53`, prefixes `198.51.100.0/24`. Numbers only, no names: nothing
 * here asks a resolver. An IPv4 address in IPv6 clothes is refused, so that one peer has one form. Called by
 * conf_type_list.c.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "base/text.h"
#include "conf_priv.h"

static const char *parse_ip(const char *s, size_t len, struct conf_addr *out)
{
	char host[INET6_ADDRSTRLEN];

	if (len >= sizeof(host))
		return "is no IPv4 or IPv6 address";
	memcpy(host, s, len);
	host[len] = 0;
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1) {
		out->v4.sin_family = AF_INET;
		out->prefix_len = 32;
		return NULL;
	}
	memset(out, 0, sizeof(*out));
	if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) != 1)
		return "is no IPv4 or IPv6 address";
	if (IN6_IS_ADDR_V4MAPPED(&out->v6.sin6_addr))
		return "is an IPv4 address inside an IPv6 one; write it as IPv4";
	out->v6.sin6_family = AF_INET6;
	out->prefix_len = 128;
	return NULL;
}

const char *conf_host_parse(const char *s, struct conf_addr *out)
{
	return strchr(s, '@') ? "must not have a port" : parse_ip(s, strlen(s), out);
}

const char *conf_addr_parse(const char *s, uint16_t port, struct conf_addr *out)
{
	const char *at = strchr(s, '@');
	const char *fault = parse_ip(s, at ? (size_t)(at - s) : strlen(s), out);
	uint64_t v = port;

	if (fault)
		return fault;
	if (at && (text_u64(at + 1, 65535, &v) < 0 || v == 0))
		return "has no port from 1 to 65535 after the @";
	if (out->sa.sa_family == AF_INET)
		out->v4.sin_port = htons((uint16_t)v);
	else
		out->v6.sin6_port = htons((uint16_t)v);
	return NULL;
}

static bool host_bits_set(const uint8_t *p, unsigned octets, unsigned prefix)
{
	for (unsigned i = 0; i < octets; i++) {
		unsigned keep = prefix <= i * 8 ? 0 : prefix - i * 8;
		uint8_t mask = keep >= 8 ? 0 : (uint8_t)(0xff >> keep);

		if (p[i] & mask)
			return true;
	}
	return false;
}

const char *conf_prefix_parse(const char *s, struct conf_addr *out)
{
	const char *slash = strchr(s, '/');
	const char *fault = parse_ip(s, slash ? (size_t)(slash - s) : strlen(s), out);
	uint64_t v;
	bool v4;

	if (fault || !slash)
		return fault;
	v4 = out->sa.sa_family == AF_INET;
	if (text_u64(slash + 1, v4 ? 32 : 128, &v) < 0)
		return v4 ? "has no prefix length from 0 to 32 after the /"
			  : "has no prefix length from 0 to 128 after the /";
	out->prefix_len = (uint8_t)v;
	if (host_bits_set(v4 ? (const uint8_t *)&out->v4.sin_addr : out->v6.sin6_addr.s6_addr, v4 ? 4 : 16,
			  (unsigned)v))
		return "has bits set after the prefix";
	return NULL;
}

bool conf_addr_is_any(const struct conf_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

char *conf_host_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT])
{
	const void *ip = a->sa.sa_family == AF_INET ? (const void *)&a->v4.sin_addr : &a->v6.sin6_addr;

	if (!inet_ntop(a->sa.sa_family, ip, buf, CONF_ADDR_TEXT))
		buf[0] = 0;
	return buf;
}

char *conf_addr_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT])
{
	in_port_t port = a->sa.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
	size_t n;

	conf_host_text(a, buf);
	n = strlen(buf);
	snprintf(buf + n, CONF_ADDR_TEXT - n, "@%u", ntohs(port));
	return buf;
}

char *conf_prefix_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT])
{
	size_t n;

	conf_host_text(a, buf);
	n = strlen(buf);
	snprintf(buf + n, CONF_ADDR_TEXT - n, "/%u", a->prefix_len);
	return buf;
}
