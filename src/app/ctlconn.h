/* SPDX-License-Identifier: GPL-3.0-or-later */
/* zonesealctl's end of the control socket: blocking, one request at a time. */
#ifndef ZONESEAL_SRC_APP_CTLCONN_H
#define ZONESEAL_SRC_APP_CTLCONN_H

#include <jansson.h>

/* Connected socket, or -1 with errno. */
int conn_open(const char *path);
/* 0 or ZS_ECLOSED, ZS_ELIMIT (over 1 MiB). Steals args. */
int conn_send(int fd, const char *verb, json_t *args);
/* The next answer frame, an object. ZS_ECLOSED, ZS_EFORMAT. */
int conn_recv(int fd, json_t **out);

#endif
