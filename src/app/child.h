/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Starting a role of our own program, with one socket and a user of its own; back-off between restarts. */
#ifndef ZONESEAL_SRC_APP_CHILD_H
#define ZONESEAL_SRC_APP_CHILD_H

#include <sys/types.h>
#include "base/clk.h"

struct conf_env;

struct child_user { uid_t uid; gid_t gid; int change; /* 0: stay as we are */ char name[64]; };

/* Fills user from a name; ZS_ENOENT. change is 0 when we are not root or it is ourselves. */
int child_user(const char *name, struct child_user *user);

/*
 * Forks and executes ourselves as `zoneseald --role <role>` with fd 3 = the child's end of a new socket pair.
 * *fd: our end. env: additions to a clean environment (may be NULL). ident: shown in ps. Every other
 * descriptor is closed in the child.
 */
int child_start(const char *self, const char *role, const char *ident, const struct child_user *user,
		const struct conf_env *env, size_t nenv, pid_t *pid, int *fd);

/* 1 s doubling to 60 s; falls back to 1 s when the child had lived for a minute.
 * Returns microseconds to wait. */
struct backoff { unsigned step; mono_t started; };
int64_t backoff_next(struct backoff *b, mono_t now);

#endif
