/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket (PROTOCOL.control): JSON frames with a 4-octet length, peer credentials checked and
 * logged, answers data | progress | error | end. Loop only; long answers stream with back-pressure from
 * workers.
 */
#ifndef ZONESEAL_SRC_APP_CONTROL_H
#define ZONESEAL_SRC_APP_CONTROL_H

struct engine;
struct control;

/* fd: listening Unix socket, taken. */
struct control *control_new(struct engine *e, int fd);
void control_free(struct control *c); /* NULL is legal */

#endif
