/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * zonesealctl: an operator's words to the daemon. It opens no file of the store; `conf check` alone is done
 * here. Words are looked up in one table, so that wrong usage is found before anything is sent. Waiting:
 * ctlwait.c.
 */
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "app/conf.h"
#include "base/err.h"
#include "base/text.h"
#include "ctlconn.h"
#include "ctlproto.h"
#include "ctlshow.h"
#include "zonesealctl.h"

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif
#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "unknown"
#endif
#define DEFAULT_SOCKET "/run/zoneseal/control.sock"

enum params { P_NONE, P_ZONES, P_ZONES_OR_ALL, P_ONE_ZONE, P_SERIAL, P_HOLD, P_POINT, P_POINTS, P_PURGE,
	      P_RELEASE, P_KEYSTORE, P_LEVEL, P_FILE, P_DIRECTORY, P_ANY };

struct command {
	const char *name;
	enum params params;
	void (*show)(json_t *answer);
	const char *help;
};

static const struct command commands[] = {
	{ "status", P_NONE, show_status, "the daemon, its zones and key stores in numbers" },
	{ "check", P_ZONES_OR_ALL, show_check, "one line and an exit code for monitoring" },
	{ "zone list", P_ZONES_OR_ALL, show_zone_list, "zones with their serials; --alarmed" },
	{ "zone status", P_ZONES, show_zone_status, "everything about zones" },
	{ "zone refresh", P_ZONES, show_results, "ask upstream now; --wait" },
	{ "zone retransfer", P_ZONES, show_results, "transfer the whole zone, whatever its serial; --wait" },
	{ "zone release", P_RELEASE, show_results,
	  "take a held input, or publish what waits; a SERIAL may follow" },
	{ "zone ds", P_ZONES, show_ds, "DS records for the parent; exit 4 while it is too early" },
	{ "zone export", P_ONE_ZONE, NULL, "the published version as a master file" },
	{ "zone hold", P_HOLD, show_results,
	  "take nothing of upstream until release; words of a reason may follow" },
	{ "zone resign", P_ZONES, show_results, "sign everything anew; --wait" },
	{ "zone serial", P_SERIAL, show_results, "publish now, with this SERIAL; --wait" },
	{ "zone history", P_ONE_ZONE, show_history, "versions, newest first" },
	{ "zone diff", P_POINTS, NULL, "what upstream changed last, or FROM one version [TO another]" },
	{ "zone rollback", P_POINT, show_results,
	  "publish upstream's content of a SERIAL or version again; --wait" },
	{ "zone purge", P_PURGE, show_purge,
	  "remove what is stored of a zone that is not configured; --keys" },
	{ "key list", P_ZONES_OR_ALL, show_keys, "keys of zones" },
	{ "hsm status", P_NONE, show_keystores, "key stores" },
	{ "hsm test", P_KEYSTORE, show_message, "a signature and its check by the named key store" },
	{ "hsm retry", P_KEYSTORE, show_message, "try a login again that was refused for its PIN" },
	{ "conf check", P_FILE, NULL, "check a config file here, without the daemon" },
	{ "conf dump", P_NONE, NULL, "the config in force" },
	{ "conf reload", P_NONE, show_warnings, "read the config anew" },
	{ "conf diff", P_ANY, NULL, NULL },
	{ "backup", P_DIRECTORY, show_backup,
	  "a copy of the state directory, made while everything goes on" },
	{ "log level", P_LEVEL, show_level, "show or set the level until the next reload" },
	{ "log reopen", P_NONE, NULL, "open the log file anew" },
	{ "stop", P_NONE, NULL, "end the daemon; --wait" },
};
#define NCOMMANDS (sizeof(commands) / sizeof(commands[0]))

static const struct { const char *alias, *name; } aliases[] = {
	{ "zones", "zone list" }, { "zone ls", "zone list" }, { "zone show", "zone status" },
	{ "keys", "key list" }, { "key ls", "key list" }, { "hsm list", "hsm status" },
	{ "reload", "conf reload" }, { "version", "status" },
};

static void usage(FILE *f)
{
	fprintf(f, "usage: zonesealctl [-jhV] [-s SOCKET] VERB [ARGUMENT ...]\n"
		   "  -s, --socket SOCKET  control socket\n"
		   "  -j, --json           JSON\n"
		   "      --all            all zones\n"
		   "      --alarmed        zone list: only zones with alarms\n"
		   "      --keys           zone purge: its keys are forgotten, too\n"
		   "      --wait           until it is done\n\nverbs:\n");
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (commands[i].help)
			fprintf(f, "  %-16s %s\n", commands[i].name, commands[i].help);
	fprintf(f, "\nZone arguments take patterns. The manual is zonesealctl(8).\n");
}

/* --- words ---------------------------------------------------------------------------------------------- */

static const struct command *lookup(const char *name)
{
	for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
		if (strcmp(aliases[i].alias, name) == 0)
			name = aliases[i].name;
	for (size_t i = 0; i < NCOMMANDS; i++)
		if (strcmp(commands[i].name, name) == 0)
			return &commands[i];
	return NULL;
}

/* Two words when they are a verb together, else one. */
static const struct command *find(char **argv, int argc, int *used)
{
	const struct command *c = NULL;
	char two[128];

	if (argc > 1) {
		snprintf(two, sizeof(two), "%.60s %.60s", argv[0], argv[1]);
		c = lookup(two);
		*used = 2;
	}
	if (!c) {
		c = lookup(argv[0]);
		*used = 1;
	}
	return c;
}

static bool all_digits(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static int put_zones(const struct options *o, json_t *args, char **argv, int n, bool required)
{
	json_t *list = json_array();

	for (int i = 0; i < n; i++)
		json_array_append_new(list, ctl_text(argv[i]));
	json_object_set_new(args, "zones", list);
	if (o->all)
		json_object_set_new(args, "all", json_true());
	if (o->alarmed)
		json_object_set_new(args, "alarmed", json_true());
	if (o->all && n > 0) {
		fprintf(stderr, "zonesealctl: either zones or --all\n");
		return ZS_EINVAL;
	}
	if (required && n == 0 && !o->all) {
		fprintf(stderr, "zonesealctl: name zones, patterns, or --all\n");
		return ZS_EINVAL;
	}
	return 0;
}

/* A last word of digits is the serial; a zone of that name is written with its final dot. */
static int put_release(const struct options *o, json_t *args, char **argv, int n)
{
	uint64_t serial;

	if (n > 0 && (n > 1 || o->all) && all_digits(argv[n - 1])) {
		if (text_u64(argv[n - 1], UINT32_MAX, &serial) != 0) {
			fprintf(stderr, "zonesealctl: %s is no serial\n", argv[n - 1]);
			return ZS_EINVAL;
		}
		json_object_set_new(args, "serial", json_integer((json_int_t)serial));
		n--;
	}
	return put_zones(o, args, argv, n, true);
}

static int put_text(json_t *args, const char *key, const char *text)
{
	json_object_set_new(args, key, ctl_text(text));
	return 0;
}

/* ZONE ... SERIAL */
static int put_serial(const struct options *o, json_t *args, char **argv, int n)
{
	uint64_t serial;

	if (n < 1 || (n < 2 && !o->all) || text_u64(argv[n - 1], UINT32_MAX, &serial) != 0) {
		fprintf(stderr, "zonesealctl: name zones, and the serial behind them\n");
		return ZS_EINVAL;
	}
	json_object_set_new(args, "serial", json_integer((json_int_t)serial));
	return put_zones(o, args, argv, n - 1, true);
}

/* ZONE [REASON ...]: one zone or pattern, because every other word may be of the reason. */
static int put_hold(const struct options *o, json_t *args, char **argv, int n)
{
	int zones = o->all || n == 0 ? 0 : 1;
	char why[256] = "";

	for (int i = zones; i < n; i++) {
		size_t at = strlen(why);

		snprintf(why + at, sizeof(why) - at, "%s%s", at ? " " : "", argv[i]);
	}
	if (why[0])
		put_text(args, "reason", why);
	return put_zones(o, args, argv, zones, true);
}

/* ZONE and its versions: from least to most of them. */
static int put_points(const struct options *o, json_t *args, char **argv, int n, bool one)
{
	if (o->all || n < 1 + one || n > (one ? 2 : 3)) {
		fprintf(stderr, "zonesealctl: name one zone%s\n",
			one ? ", and the serial or version to go back to"
			    : ", and two serials or versions at most");
		return ZS_EINVAL;
	}
	if (n > 1)
		put_text(args, one ? "to" : "from", argv[1]);
	if (n > 2)
		put_text(args, "to", argv[2]);
	if (o->json && !one)
		json_object_set_new(args, "records", json_true());
	return put_zones(o, args, argv, 1, true);
}

static int put_word(json_t *args, const char *key, char **argv, int n, bool required)
{
	if (n > 1 || (n == 0 && required)) {
		fprintf(stderr, "zonesealctl: %s %s\n", n > 1 ? "at most one" : "name a", key);
		return ZS_EINVAL;
	}
	if (n == 1)
		json_object_set_new(args, key, ctl_text(argv[0]));
	return 0;
}

/* The daemon stands elsewhere: it is told the whole path. */
static int put_directory(json_t *args, char **argv, int n)
{
	char *here, *path = NULL;

	if (n != 1 || !*argv[0]) {
		fprintf(stderr, "zonesealctl: name one directory\n");
		return ZS_EINVAL;
	}
	if (argv[0][0] == '/') {
		json_object_set_new(args, "directory", ctl_text(argv[0]));
		return 0;
	}
	here = getcwd(NULL, 0);
	if (!here || asprintf(&path, "%s/%s", here, argv[0]) < 0) {
		fprintf(stderr, "zonesealctl: %s\n", strerror(errno));
		free(here);
		return ZS_EINVAL;
	}
	json_object_set_new(args, "directory", ctl_text(path));
	free(path);
	free(here);
	return 0;
}

static int put_args(const struct options *o, const struct command *c, json_t *args, char **argv, int n)
{
	switch (c->params) {
	case P_ZONES:
	case P_ZONES_OR_ALL:
		return put_zones(o, args, argv, n, c->params == P_ZONES);
	case P_ONE_ZONE:
		if (n == 1)
			return put_zones(o, args, argv, n, true);
		fprintf(stderr, "zonesealctl: name one zone\n");
		return ZS_EINVAL;
	case P_PURGE:
		if (o->keys)
			json_object_set_new(args, "keys", json_true());
		if (n == 1 && !o->all)
			return put_zones(o, args, argv, n, true);
		fprintf(stderr, "zonesealctl: name one zone\n");
		return ZS_EINVAL;
	case P_SERIAL:
		return put_serial(o, args, argv, n);
	case P_HOLD:
		return put_hold(o, args, argv, n);
	case P_POINT:
	case P_POINTS:
		return put_points(o, args, argv, n, c->params == P_POINT);
	case P_RELEASE:
		return put_release(o, args, argv, n);
	case P_KEYSTORE:
		return put_word(args, "keystore", argv, n, true);
	case P_LEVEL:
		return put_word(args, "level", argv, n, false);
	case P_DIRECTORY:
		return put_directory(args, argv, n);
	case P_NONE:
		if (n > 0)
			fprintf(stderr, "zonesealctl: %s takes no argument\n", c->name);
		return n > 0 ? ZS_EINVAL : 0;
	default:
		return 0;
	}
}

/* --- talking -------------------------------------------------------------------------------------------- */

/* Lists are joined, texts too: several frames are one answer. */
static void merge(json_t *all, json_t *data)
{
	const char *key;
	json_t *v;

	json_object_foreach(data, key, v) {
		json_t *had = json_object_get(all, key);

		if (json_is_array(had) && json_is_array(v))
			json_array_extend(had, v);
		else if (json_is_string(had) && json_is_string(v) && strcmp(key, "text") == 0)
			json_object_set_new(all, key,
					    json_sprintf("%s%s", json_string_value(had),
							 json_string_value(v)));
		else
			json_object_set(all, key, v);
	}
}

static void print_json(json_t *o)
{
	json_dumpf(o, stdout, JSON_COMPACT);
	putchar('\n');
}

/* Text goes on as it comes: an export may be larger than memory. */
static int take_data(const struct options *o, struct answer *a, json_t *data)
{
	const char *text = json_string_value(json_object_get(data, "text"));

	if (!text && !(o->json && o->streams)) {
		merge(a->data, data);
		return 0;
	}
	a->streamed = true;
	if (!text) { /* each frame is a document of its own */
		json_object_set_new(data, "v", json_integer(CTL_VERSION));
		json_dumpf(data, stdout, JSON_COMPACT);
		putchar('\n');
	} else if (o->json) {
		printf("{\"v\":%d,\"text\":", CTL_VERSION);
		json_dumpf(json_object_get(data, "text"), stdout, JSON_ENCODE_ANY);
		puts("}");
	} else {
		fputs(text, stdout);
	}
	return ferror(stdout) ? ZS_EIO : 0;
}

json_t *answer_data(void)
{
	return json_pack("{s:i}", "v", CTL_VERSION);
}

int answer_read(const struct options *o, int fd, struct answer *a)
{
	json_t *msg, *v;
	int err = 0;

	while (!err && (err = conn_recv(fd, &msg)) == 0) {
		if ((v = json_object_get(msg, "data")))
			err = take_data(o, a, v);
		if ((v = json_object_get(msg, "progress")))
			show_progress(v);
		if ((v = json_object_get(msg, "error")))
			a->error = json_incref(v);
		v = json_object_get(msg, "end");
		if (v)
			a->exit = (int)json_integer_value(json_object_get(v, "exit"));
		json_decref(msg);
		if (v || a->error) {
			show_progress(NULL);
			return 0;
		}
	}
	return err;
}

void answer_clear(struct answer *a)
{
	json_decref(a->data);
	json_decref(a->error);
	*a = (struct answer){ .exit = 0 };
}

static int unreachable(const struct options *o, bool is_check)
{
	int saved = errno;
	bool dead = saved == ENOENT || saved == ECONNREFUSED;

	if (o->json) {
		json_t *msg = ctl_error_msg("not-reachable", strerror(saved), o->socket);

		print_json(msg);
		json_decref(msg);
	} else if (is_check) {
		printf("ZONESEAL %s - daemon not reachable at %s: %s\n", dead ? "CRITICAL" : "UNKNOWN",
		       o->socket, strerror(saved));
	} else {
		fprintf(stderr, "zonesealctl: daemon not reachable at %s: %s\n", o->socket, strerror(saved));
	}
	return is_check && dead ? 2 : EXIT_UNREACHABLE;
}

static int show_error(const struct options *o, json_t *error, bool is_check)
{
	const char *hint = show_text(error, "hint"), *code = show_text(error, "code");

	if (o->json) {
		json_t *msg = json_pack("{s:i, s:O}", "v", CTL_VERSION, "error", error);

		print_json(msg);
		json_decref(msg);
	} else {
		fprintf(stderr, "zonesealctl: %s\n", show_text(error, "message"));
		if (*hint)
			fprintf(stderr, "  %s\n", hint);
	}
	if (is_check)
		return 3;
	return strcmp(code, "bad-args") == 0 || strcmp(code, "unknown-verb") == 0 ? EXIT_USAGE : EXIT_FAILED;
}

static void show_answer(const struct options *o, const struct command *c, struct answer *a)
{
	if (o->json && !a->streamed) {
		print_json(a->data);
	} else if (!o->json) {
		if (c->show && json_object_size(a->data) > 1)
			c->show(a->data);
		show_errors(a->data);
	}
}

/* One request and its whole answer, shown. Exit code. */
static int run(const struct options *o, const struct command *c, json_t *args)
{
	struct answer a = { .data = answer_data() };
	bool is_check = strcmp(c->name, "check") == 0,
	     waits = o->wait && c->params != P_HOLD &&
		     (c->show == show_results || strcmp(c->name, "stop") == 0);
	int fd = conn_open(o->socket), err, code;

	if (fd < 0) {
		answer_clear(&a);
		return unreachable(o, is_check);
	}
	err = conn_send(fd, c->name, json_incref(args));
	if (!err || err == ZS_ECLOSED) /* who is turned away is told why */
		err = answer_read(o, fd, &a);
	if (err) {
		fprintf(stderr, "zonesealctl: the answer is incomplete: %s\n", zs_strerror(err));
		code = EXIT_FAILED;
	} else if (a.error) {
		code = show_error(o, a.error, is_check);
	} else {
		if (!waits || !o->json)
			show_answer(o, c, &a);
		code = a.exit;
	}
	if (!err && !a.error && waits)
		code = c->show == show_results ? wait_zones(o, fd, args, code) : wait_gone(o);
	close(fd);
	answer_clear(&a);
	if (fflush(stdout) != 0 && code == 0) {
		fprintf(stderr, "zonesealctl: %s\n", strerror(errno));
		code = EXIT_FAILED;
	}
	return code;
}

/* --- what is done here ---------------------------------------------------------------------------------- */

static int conf_check(const struct options *o, char **argv, int n)
{
	const char *path = n > 0 ? argv[0] : CONF_DEFAULT_FILE;
	struct conf_errors errs = { 0 };
	struct conf *conf = NULL;
	char *text;
	int err;

	if (n > 1) {
		fprintf(stderr, "zonesealctl: at most one file\n");
		return EXIT_USAGE;
	}
	err = conf_load(path, &conf_source_files, 0, &conf, &errs);
	text = conf_errors_text(&errs);
	if (o->json) {
		json_t *msg = err ? ctl_error_msg("config", text ? text : zs_strerror(err), NULL)
				  : json_pack("{s:i, s:s, s:o}", "v", CTL_VERSION, "file", path, "warnings",
					      ctl_text(text ? text : ""));

		print_json(msg);
		json_decref(msg);
	} else {
		fputs(text ? text : "", stderr);
		if (err && errs.n == 0)
			fprintf(stderr, "%s: %s\n", path, zs_strerror(err));
	}
	free(text);
	conf_errors_free(&errs);
	conf_free(conf);
	return err ? EXIT_FAILED : 0;
}

/* -s, the environment, `control:` of the default config when we may read it, what it would be by default. */
static char *find_socket(void)
{
	const char *env = getenv("ZONESEAL_SOCKET");
	struct conf_errors errs = { 0 };
	struct conf *conf = NULL;
	char *path = NULL;

	if (env && *env)
		return strdup(env);
	if (access(CONF_DEFAULT_FILE, R_OK) == 0 &&
	    conf_load(CONF_DEFAULT_FILE, &conf_source_files, CONF_NO_SECRETS, &conf, &errs) == 0)
		path = strdup(conf->control);
	conf_errors_free(&errs);
	conf_free(conf);
	return path ? path : strdup(DEFAULT_SOCKET);
}

/* --- main ----------------------------------------------------------------------------------------------- */

enum { OPT_ALL = 256, OPT_ALARMED, OPT_WAIT, OPT_KEYS };

/* 0: go on; else *code is the exit code. */
static int options_read(int argc, char **argv, struct options *o, int *code)
{
	static const struct option longs[] = {
		{ "socket", required_argument, NULL, 's' }, { "json", no_argument, NULL, 'j' },
		{ "help", no_argument, NULL, 'h' }, { "version", no_argument, NULL, 'V' },
		{ "all", no_argument, NULL, OPT_ALL }, { "alarmed", no_argument, NULL, OPT_ALARMED },
		{ "wait", no_argument, NULL, OPT_WAIT }, { "keys", no_argument, NULL, OPT_KEYS },
		{ NULL, 0, NULL, 0 },
	};
	int opt;

	*code = 0;
	while ((opt = getopt_long(argc, argv, "s:jhV", longs, NULL)) != -1) {
		switch (opt) {
		case 's':
			free(o->socket);
			o->socket = strdup(optarg);
			break;
		case 'j':
			o->json = true;
			break;
		case 'h':
			usage(stdout);
			return 1;
		case 'V':
			printf("zonesealctl %s\n", PACKAGE_VERSION);
			return 1;
		case OPT_ALL:
			o->all = true;
			break;
		case OPT_ALARMED:
			o->alarmed = true;
			break;
		case OPT_KEYS:
			o->keys = true;
			break;
		case OPT_WAIT:
			o->wait = true;
			break;
		default:
			*code = EXIT_USAGE;
			return 1;
		}
	}
	if (optind == argc) {
		usage(stderr);
		*code = EXIT_USAGE;
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = { .socket = NULL };
	const struct command *c = NULL;
	json_t *args = json_object();
	int code, used = 0;

	if (options_read(argc, argv, &o, &code) != 0)
		goto out;
	c = find(argv + optind, argc - optind, &used);
	o.streams = c && c->params == P_POINTS;
	argv += optind + used;
	argc -= optind + used;
	if (!c) {
		fprintf(stderr, "zonesealctl: no such verb; `zonesealctl -h` lists them\n");
		code = EXIT_USAGE;
	} else if (c->params == P_FILE) {
		code = conf_check(&o, argv, argc);
	} else if (put_args(&o, c, args, argv, argc) != 0) {
		code = EXIT_USAGE;
	} else {
		if (!o.socket)
			o.socket = find_socket();
		code = run(&o, c, args);
	}
out:
	json_decref(args);
	free(o.socket);
	return code;
}
