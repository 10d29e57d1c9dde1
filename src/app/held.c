/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads and writes the memory of a held input. A lost text costs one transfer,
 * no more: errors are logged and forgotten. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "held.h"
#include "policyprint.h"

#define HELD_MAX 4096

uint32_t held_conf(const struct conf_zone *c)
{
	char text[320], policy[160];

	policy_print(c->policy, policy, sizeof(policy));
	snprintf(text, sizeof(text), "%d %llu %llu %u %s", (int)c->upstream_dnssec,
		 (unsigned long long)c->max_records, (unsigned long long)c->max_bytes, c->max_rrset, policy);
	return crc32c(0, text, strlen(text));
}

static char *held_path(const struct store *s)
{
	const char *state = store_keystate_path(s), *slash = strrchr(state, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*s/held", (int)(slash ? slash - state : 0), state) < 0)
		return NULL;
	return path;
}

void held_read(const struct store *s, struct held *out)
{
	char *path = held_path(s), *text = NULL;
	size_t len = 0;

	memset(out, 0, sizeof(*out));
	if (path && fs_read_checked(path, HELD_MAX, &text, &len) == 0)
		out->set = sscanf(text, "serial: %u\nconf: %x\nreason: %511[^\n]", &out->serial, &out->conf,
				  out->reason) >= 2;
	free(text);
	free(path);
}

struct held_job { struct zone *zone; struct store *store; struct held held; int err; };

static void held_start(struct zone *z);

static void held_done(void *arg)
{
	struct held_job *j = arg;
	struct zone *z = j->zone;

	if (j->err)
		log_limited(LL_WARN, "store", z->name, "held", 2, "the held serial cannot be remembered: %s",
			    zs_strerror(j->err));
	free(j);
	z->held_busy = false;
	if (z->held_dirty)
		held_start(z);
	zone_job_end(z);
}

static void held_run(void *arg)
{
	struct held_job *j = arg;
	char text[1024], *path = held_path(j->store);

	if (!path)
		j->err = ZS_ENOMEM;
	else if (!j->held.set)
		j->err = fs_remove(path);
	else {
		int n = snprintf(text, sizeof(text), "serial: %u\nconf: %08x\nreason: %s\n", j->held.serial,
				 j->held.conf, j->held.reason);

		j->err = fs_replace_checked(path, text, (size_t)n, 0600);
	}
	free(path);
	mailbox_post(j->zone->e->home, held_done, j);
}

/* One at a time, so that the last word is the one on disk. */
static void held_start(struct zone *z)
{
	struct held_job *j = calloc(1, sizeof(*j));

	z->held_dirty = false;
	if (!j)
		return;
	j->zone = z;
	j->store = z->store;
	j->held = (struct held){ .set = z->held, .serial = z->held_serial, .conf = held_conf(z->conf) };
	snprintf(j->held.reason, sizeof(j->held.reason), "%s", z->held_reason);
	z->held_busy = true;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_LOW, held_run, j) != 0) {
		j->err = ZS_ENOMEM;
		held_done(j);
	}
}

void held_set(struct zone *z, const struct held *h)
{
	z->held = h->set;
	z->held_serial = h->serial;
	snprintf(z->held_reason, sizeof(z->held_reason), "%s", h->reason);
	for (char *p = z->held_reason; *p; p++)
		if (*p == '\n')
			*p = ' ';
	z->held_dirty = true;
	if (z->store && !z->held_busy)
		held_start(z);
}
