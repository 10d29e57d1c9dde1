/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The stats port: evhttp on a thread of its own, read-only. It never reads the loop's structures: the loop
 * renders what is asked for (http_collect()) on request of the thread, bounded by a deadline.
 */
#ifndef ZONESEAL_SRC_APP_HTTP_H
#define ZONESEAL_SRC_APP_HTTP_H

#include <stddef.h>

struct engine;
struct http;

/* fds: listening TCP sockets, taken. */
struct http *http_new(struct engine *e, int *fds, size_t n);
void http_reconf(struct http *h);   /* after a reload */
void http_free(struct http *h);     /* NULL is legal */

#endif
