/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Verbs on the whole daemon. What only the parent can do (reload, key store tests, stop) is asked of it, and
 * the request is held until its answer comes. Loop only.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "ctlproto.h"
#include "ipc.h"
#include "report.h"
#include "verbs.h"
#include "zone.h"

#define PARENT_TEXT_MAX (64u << 10)

void verb_status(struct ctl *c)
{
	ctl_data(c, report_status(ctl_engine(c)));
	ctl_end(c, CTL_DONE);
}

/* --- key stores ----------------------------------------------------------------------------------------- */

void verb_hsm_status(struct ctl *c)
{
	ctl_data(c, json_pack("{s:o}", "keystores", report_keystores(ctl_engine(c))));
	ctl_end(c, CTL_DONE);
}

static json_t *parent_text(const uint8_t *data, size_t len)
{
	char *s = strndup((const char *)data, len < PARENT_TEXT_MAX ? len : PARENT_TEXT_MAX);
	json_t *j = ctl_text(s ? s : "");

	free(s);
	return j;
}

static void hsm_answer(void *ctx, int result, const uint8_t *data, size_t len)
{
	struct ctl *c = ctx;
	const char *name = ctl_arg_text(c, "keystore");

	if (result) {
		json_t *text = parent_text(data, len);

		ctl_fail(c, "keystore", "`zonesealctl hsm status` shows its state",
			 "key store %.100s: %.1500s", name,
			 json_string_length(text) ? json_string_value(text) : zs_strerror(result));
		json_decref(text);
	} else {
		ctl_data(c, json_pack("{s:s, s:b, s:o}", "keystore", name, "ok", 1, "message",
				      parent_text(data, len)));
		ctl_end(c, CTL_DONE);
	}
	ctl_drop(c);
}

static void hsm_ask(struct ctl *c, uint8_t type)
{
	struct engine *e = ctl_engine(c);
	const char *name = ctl_arg_text(c, "keystore");

	if (!name || !conf_keystore(e->setup->conf, name)) {
		ctl_fail(c, name ? "no-such-keystore" : "bad-args",
			 "`zonesealctl hsm status` lists the key stores",
			 "key store %.100s is not configured", name ? name : "(none named)");
		return;
	}
	ctl_hold(c);
	if (engine_ask(e, type, name, strlen(name), hsm_answer, c) != 0) {
		ctl_drop(c);
		ctl_fail(c, "failed", NULL, "the parent cannot be asked");
	}
}

void verb_hsm_test(struct ctl *c)
{
	hsm_ask(c, IPC_HSM_TEST);
}

void verb_hsm_retry(struct ctl *c)
{
	hsm_ask(c, IPC_HSM_RETRY);
}

/* --- config --------------------------------------------------------------------------------------------- */

struct dump { struct ctl *ctl; struct setup *setup; struct engine *e; char *text; int err; };

static void dump_back(void *arg)
{
	struct dump *d = arg;

	setup_unref(d->setup);
	if (d->err || ctl_gone(d->ctl)) {
		free(d->text);
		ctl_fail(d->ctl, "failed", NULL, "%s", zs_strerror(d->err));
	} else {
		verb_text(d->ctl, d->text);
	}
	ctl_drop(d->ctl);
	free(d);
}

/* A config is constant, and the one of 100,000 zones takes its time to print. */
static void dump_run(void *arg)
{
	struct dump *d = arg;

	d->err = conf_dump(d->setup->conf, &d->text);
	mailbox_post(d->e->home, dump_back, d);
}

void verb_conf_dump(struct ctl *c)
{
	struct engine *e = ctl_engine(c);
	struct dump *d = calloc(1, sizeof(*d));

	if (!d) {
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	d->e = e;
	d->ctl = ctl_hold(c);
	d->setup = setup_ref(e->setup);
	if (pool_post(e->workers, POOL_LOW, dump_run, d) != 0) {
		d->err = ZS_ENOMEM;
		dump_back(d);
	}
}

static void reload_answer(void *ctx, int result, const uint8_t *data, size_t len)
{
	struct ctl *c = ctx;
	json_t *text = parent_text(data, len);

	if (result)
		ctl_fail(c, "config", "the running config is kept", "%.2000s", json_string_value(text));
	else if (json_string_length(text) > 0)
		ctl_data(c, json_pack("{s:O}", "warnings", text));
	ctl_end(c, CTL_DONE); /* nothing after ctl_fail() */
	json_decref(text);
	ctl_drop(c);
}

void verb_conf_reload(struct ctl *c)
{
	ctl_hold(c);
	if (engine_ask(ctl_engine(c), IPC_RELOAD, NULL, 0, reload_answer, c) != 0) {
		ctl_drop(c);
		ctl_fail(c, "failed", NULL, "the parent cannot be asked");
	}
}

/* --- log, stop ------------------------------------------------------------------------------------------ */

void verb_log_level(struct ctl *c)
{
	const char *text = ctl_arg_text(c, "level");
	enum log_level level = log_get_level();

	if (text && log_level_from_text(text, &level) != 0) {
		ctl_fail(c, "bad-args", "error, warning, notice, info, debug", "no log level: %.100s", text);
		return;
	}
	if (text)
		log_set_level(level); /* until the next reload, which sets what the config says */
	ctl_data(c, json_pack("{s:s}", "level", log_level_text(level)));
	ctl_end(c, CTL_DONE);
}

/* The parent has made the file, and it is ours to write to. */
static void reopen_answer(void *ctx, int result, const uint8_t *data, size_t len)
{
	struct ctl *c = ctx;
	int err = result ? result : log_reopen();

	(void)data;
	(void)len;
	if (err)
		ctl_fail(c, "failed", NULL, "the log file cannot be opened anew: %s", zs_strerror(err));
	else
		ctl_end(c, CTL_DONE);
	ctl_drop(c);
}

void verb_log_reopen(struct ctl *c)
{
	ctl_hold(c);
	if (engine_ask(ctl_engine(c), IPC_LOG_REOPEN, NULL, 0, reopen_answer, c) != 0) {
		ctl_drop(c);
		ctl_fail(c, "failed", NULL, "the parent cannot be asked");
	}
}

void verb_stop(struct ctl *c)
{
	ctl_end(c, CTL_DONE);
	engine_tell(ctl_engine(c), IPC_STOP, NULL, 0);
}
