/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `backup`: the engine's part. The parent makes the directory and hands over two descriptors; a worker copies
 * zone after zone from its newest version while everything goes on; the register follows, then the parent is
 * told to add what is not ours (file keys, keymap, the list of the whole). One at a time. Whoever ordered it
 * is told how far it is; without somebody to tell, it is given up, and what stands there is marked as
 * incomplete.
 *
 * All on the loop but the functions under "worker"; struct backup belongs to the worker while a job of it
 * runs, except for the two atomics and what only the loop uses.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "base/manifest.h"
#include "ctlproto.h"
#include "faultmark.h"
#include "ipc.h"
#include "verbs.h"
#include "zone.h"

#define LOOK_MS 500
#define PROGRESS_LOOKS 4   /* looks between two progress frames */
#define ERROR_ROWS 100     /* zones that are named; the rest is counted */

struct backup {
	struct engine *e;
	struct ctl *ctl;
	struct timer timer;
	unsigned looks;
	char *dir;
	int zones_fd, reg_fd;
	struct manifest *zones, *reg;
	atomic_bool cancel;
	atomic_ullong octets;       /* of records, as they are copied */
	/* loop */
	const char *phase;
	uint8_t last[NAME_MAX_WIRE];
	size_t last_len;            /* 0: none yet */
	size_t done, copied, failed;
	json_t *errors;
	/* the job under way */
	struct zone *zone;
	struct store_copied one;
	uint64_t before;            /* octets of the zones that are done */
	int err;
};

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void backup_free(struct backup *b)
{
	struct engine *e = b->e;

	timer_stop(e->timers, &b->timer);
	manifest_free(b->zones);
	manifest_free(b->reg);
	close_fd(&b->zones_fd);
	close_fd(&b->reg_fd);
	json_decref(b->errors);
	ctl_drop(b->ctl);
	free(b->dir);
	free(b);
	e->backup = NULL;
}

/* --- worker --------------------------------------------------------------------------------------------- */

static int look(void *ctx)
{
	struct backup *b = ctx;

	atomic_store(&b->octets, b->before + b->one.octets);
	return atomic_load(&b->cancel) ? ZS_ECANCEL : 0;
}

static void zone_done(void *arg);

static void zone_run(void *arg)
{
	struct backup *b = arg;
	struct store_copy_opts opts = { .tick = look, .ctx = b };

	fault_zone(b->zone->wire);
	b->err = store_backup(b->zone->store, b->zones, &opts, &b->one);
	fault_zone(NULL);
	mailbox_post(b->e->home, zone_done, b);
}

static void rest_done(void *arg);

static void rest_run(void *arg)
{
	struct backup *b = arg;

	pthread_mutex_lock(&b->e->reg_lock); /* one that fails is closed and opened anew */
	b->err = b->e->reg ? keyreg_backup(b->e->reg, b->reg) : 0;
	pthread_mutex_unlock(&b->e->reg_lock);
	if (!b->err)
		b->err = manifest_save(b->zones, clk_wall());
	mailbox_post(b->e->home, rest_done, b);
}

/* --- loop ----------------------------------------------------------------------------------------------- */

/* Ends it without success. The parent forgets its part; what was written stays, marked as incomplete. */
static void give_up(struct backup *b, int err, const char *why)
{
	struct engine *e = b->e;
	uint8_t data[9] = { 0 }; /* request 0: nobody waits for the answer; 0: given up */

	if (!e->quitting)
		engine_tell(e, IPC_BACKUP_END, data, sizeof(data));
	log_msg(LL_WARN, "backup", NULL, "event=backup-failed directory=%s: %s", b->dir, why);
	ctl_fail(b->ctl, err == ZS_ECANCEL ? "cancelled" : "failed",
		 "the directory is incomplete: remove it, a backup wants a new or an empty one", "%s", why);
	backup_free(b);
}

static void note_failed(struct backup *b, const char *zone, const char *why)
{
	char text[1200];

	b->failed++;
	if (b->failed <= ERROR_ROWS)
		json_array_append_new(b->errors,
				      json_pack("{s:s, s:o}", "zone", zone, "message", ctl_text(why)));
	snprintf(text, sizeof(text), "without %.1000s %.100s", zone, why);
	manifest_note(b->zones, text);
	log_msg(LL_ERR, "backup", zone, "event=backup-without: %s", why);
}

/* The first zone behind a name, in the order of the engine's list. */
static struct zone *zone_after(struct engine *e, const uint8_t *wire, size_t len)
{
	size_t lo = 0, hi = e->nzone;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct zone *z = e->zone[mid];
		size_t n = len < z->wire_len ? len : z->wire_len;
		int c = memcmp(z->wire, wire, n);

		if (c > 0 || (c == 0 && z->wire_len > len))
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo < e->nzone ? e->zone[lo] : NULL;
}

static void next_zone(struct backup *b)
{
	struct engine *e = b->e;
	struct zone *z;

	if (atomic_load(&b->cancel)) {
		give_up(b, ZS_ECANCEL, "cancelled");
		return;
	}
	while ((z = zone_after(e, b->last, b->last_len)) && !z->store) {
		memcpy(b->last, z->wire, z->wire_len);
		b->last_len = z->wire_len;
		b->done++;
		note_failed(b, z->name, "its files are not open");
	}
	b->zone = z;
	if (z) {
		memcpy(b->last, z->wire, z->wire_len);
		b->last_len = z->wire_len;
		zone_job_begin(z);
	} else {
		b->phase = "list";
	}
	if (pool_post(e->workers, POOL_LOW, z ? zone_run : rest_run, b) == 0)
		return;
	if (z)
		zone_job_end(z);
	give_up(b, ZS_ENOMEM, zs_strerror(ZS_ENOMEM));
}

static void zone_done(void *arg)
{
	struct backup *b = arg;
	struct zone *z = b->zone;
	char why[512];

	b->before += b->one.octets;
	b->done++;
	b->copied += b->one.version > 0;
	if (b->err && (b->one.target || atomic_load(&b->cancel))) {
		snprintf(why, sizeof(why), "zone %.255s cannot be written to %.200s: %s", z->name, b->dir,
			 zs_strerror(b->err));
		if (atomic_load(&b->cancel))
			snprintf(why, sizeof(why), "cancelled");
		zone_job_end(z);
		give_up(b, b->err, why);
		return;
	}
	if (b->err) {
		note_failed(b, z->name, zs_strerror(b->err));
		if (damage_is(b->err) && z->state != ZONE_CLOSED)
			zone_damaged(z, b->err, "a backup");
	}
	zone_job_end(z);
	next_zone(b);
}

/* The parent has the last word. */
static void ended(void *ctx, int result, const uint8_t *data, size_t len)
{
	struct backup *b = ctx;
	char text[600];

	snprintf(text, sizeof(text), "%.*s", (int)(len < 500 ? len : 500), (const char *)data);
	if (result) {
		give_up(b, result, len ? text : zs_strerror(result));
		return;
	}
	log_msg(LL_NOTICE, "backup", NULL, "event=backup-done directory=%s zones=%zu failed=%zu octets=%llu",
		b->dir, b->copied, b->failed, (unsigned long long)manifest_octets(b->zones));
	ctl_data(b->ctl, json_pack("{s:o, s:I, s:I, s:I, s:I, s:I}", "directory", ctl_text(b->dir), "zones",
				   (json_int_t)b->copied, "empty",
				   (json_int_t)(b->done - b->copied - b->failed), "failed",
				   (json_int_t)b->failed, "octets", (json_int_t)manifest_octets(b->zones),
				   "keys", (json_int_t)strtoll(text, NULL, 10)));
	if (b->failed)
		ctl_data(b->ctl, json_pack("{s:O}", "errors", b->errors));
	ctl_end(b->ctl, b->failed ? CTL_PARTLY : CTL_DONE);
	backup_free(b);
}

static void rest_done(void *arg)
{
	struct backup *b = arg;
	uint8_t go = 1;
	char why[512];

	if (b->err || atomic_load(&b->cancel)) {
		snprintf(why, sizeof(why), "%s",
			 b->err ? "key register or list cannot be written: " : "cancelled");
		if (b->err)
			snprintf(why + strlen(why), sizeof(why) - strlen(why), "%s", zs_strerror(b->err));
		give_up(b, b->err ? b->err : ZS_ECANCEL, why);
		return;
	}
	b->phase = "keys";
	if (engine_ask(b->e, IPC_BACKUP_END, &go, 1, ended, b) != 0)
		give_up(b, ZS_EIO, "the parent cannot be asked");
}

/* Says how far it is, and sees whether anybody listens. */
static void on_look(void *arg)
{
	struct backup *b = arg;

	if (ctl_gone(b->ctl) || b->e->quitting)
		atomic_store(&b->cancel, true);
	if (++b->looks % PROGRESS_LOOKS == 0)
		ctl_progress(b->ctl, json_pack("{s:s, s:I, s:I, s:I}", "phase", b->phase, "zones",
					       (json_int_t)b->done, "of", (json_int_t)b->e->nzone, "octets",
					       (json_int_t)atomic_load(&b->octets)));
	timer_set(b->e->timers, &b->timer, MONO_MS(LOOK_MS), on_look, b);
}

static int manifests_make(struct backup *b)
{
	char path[64];

	snprintf(path, sizeof(path), MANIFEST_FD_PATH, b->zones_fd);
	b->zones = manifest_new(path);
	snprintf(path, sizeof(path), MANIFEST_FD_PATH, b->reg_fd);
	b->reg = manifest_new(path);
	return b->zones && b->reg ? 0 : ZS_ENOMEM;
}

static void dir_made(void *ctx, int result, const uint8_t *data, size_t len)
{
	struct backup *b = ctx;
	struct engine *e = b->e;

	if (!result && (e->backup_fd[0] < 0 || e->backup_fd[1] < 0))
		result = ZS_EIO;
	if (result) {
		ctl_fail(b->ctl, result == ZS_EEXIST ? "bad-args" : "failed",
			 "the directory must not exist yet, or be empty", "%.*s",
			 (int)(len < 500 ? len : 500), len ? (const char *)data : zs_strerror(result));
		backup_free(b);
		return;
	}
	b->zones_fd = e->backup_fd[0];
	b->reg_fd = e->backup_fd[1];
	e->backup_fd[0] = e->backup_fd[1] = -1;
	if (manifests_make(b)) {
		give_up(b, ZS_ENOMEM, zs_strerror(ZS_ENOMEM));
		return;
	}
	log_msg(LL_NOTICE, "backup", NULL, "event=backup-started directory=%s zones=%zu", b->dir, e->nzone);
	next_zone(b);
}

void backup_cancel(struct engine *e)
{
	if (e->backup)
		atomic_store(&e->backup->cancel, true);
}

void backup_take_fds(struct engine *e, struct frame *f)
{
	if (f->nfds != 2 || !e->backup)
		return;
	for (int i = 0; i < 2; i++) {
		close_fd(&e->backup_fd[i]);
		e->backup_fd[i] = f->fds[i];
	}
	f->nfds = 0;
}

void verb_backup(struct ctl *c)
{
	struct engine *e = ctl_engine(c);
	const char *dir = ctl_arg_text(c, "directory");
	struct backup *b;

	if (!dir || dir[0] != '/') {
		ctl_fail(c, "bad-args", "zonesealctl backup DIR", "name a directory by an absolute path");
		return;
	}
	if (e->backup) {
		ctl_fail(c, "busy", "one at a time", "a backup to %.500s is being written", e->backup->dir);
		return;
	}
	b = calloc(1, sizeof(*b));
	if (!b || !(b->dir = strdup(dir)) || !(b->errors = json_array())) {
		if (b)
			free(b->dir);
		free(b);
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	b->e = e;
	b->ctl = ctl_hold(c);
	b->zones_fd = b->reg_fd = -1;
	b->phase = "zones";
	e->backup = b;
	timer_set(e->timers, &b->timer, MONO_MS(LOOK_MS), on_look, b);
	if (engine_ask(e, IPC_BACKUP, dir, strlen(dir), dir_made, b) != 0) {
		ctl_fail(c, "failed", NULL, "the parent cannot be asked");
		backup_free(b);
	}
}
