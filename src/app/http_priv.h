/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The halves of the stats port: the server on its own thread (http.c),
 * what the loop renders for it (http_collect.c). */
#ifndef ZONESEAL_SRC_APP_HTTP_PRIV_H
#define ZONESEAL_SRC_APP_HTTP_PRIV_H

#include <stdbool.h>
#include <stddef.h>
#include "base/buf.h"
#include "net/acl.h"

struct engine;

#define HTTP_BODY_MAX (256u << 20)

enum http_what { HTTP_METRICS, HTTP_STATS, HTTP_HEALTH, HTTP_READY, HTTP_PAGE };
struct http_query { enum http_what what; bool openmetrics, strict; };

/* Loop: renders the body; HTTP status. */
int http_collect(struct engine *e, const struct http_query *q, struct wr *out);

/*
 * May a request with this Host be answered (RFC 9110 7.2)? Names of loopback, loopback addresses, listen[]
 * and the address that the connection came to (local, may be NULL): a web page that was rebound to our
 * address carries its own name.
 */
bool http_host_ok(const char *host, const struct net_addr *listen, size_t n, const struct sockaddr *local);

#endif
