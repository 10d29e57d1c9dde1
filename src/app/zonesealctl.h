/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the files of zonesealctl share. */
#ifndef ZONESEAL_SRC_APP_ZONESEALCTL_H
#define ZONESEAL_SRC_APP_ZONESEALCTL_H

#include <stdbool.h>
#include <jansson.h>

enum { EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_PARTLY = 4 };

struct options {
	char *socket;
	bool json, keys, streams, all, alarmed, wait;
};

/* Everything that came back for one request. */
struct answer {
	json_t *data, *error; /* merged; error NULL when there was none */
	bool streamed;        /* text was printed as it came */
	int exit;
};

/* What `data` begins as: {"v":1}. */
json_t *answer_data(void);
/* Reads frames to the end of the answer. zs_err when the connection broke before. */
int answer_read(const struct options *o, int fd, struct answer *a);
void answer_clear(struct answer *a);

/* ctlwait.c: until the zones of args are idle again or need somebody; until the daemon is gone. Exit code. */
int wait_zones(const struct options *o, int fd, json_t *args, int code);
int wait_gone(const struct options *o);

#endif
