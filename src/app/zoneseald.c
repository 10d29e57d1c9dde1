/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * zoneseald: options, the config check, going to the background, and the roles. `--role` is how the parent
 * starts its own children; descriptor 3 is then their socket.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "base/err.h"
#include "base/log.h"
#include "engine.h"
#include "parent.h"
#include "vault/vault.h"
#include "config.h"

#define CHILD_FD 3

static void usage(FILE *f)
{
	fprintf(f, "usage: zoneseald [-c FILE] [-t] [-f] [-V]\n"
		   "  -c FILE  config, default %s\n"
		   "  -t       check the config and exit\n"
		   "  -f       stay in the foreground, log to stderr\n"
		   "  -V       print the version and exit\n", CONF_DEFAULT_FILE);
}

static int load(const char *path, struct conf_bundle **bundle, struct conf **conf)
{
	struct conf_errors errs = { 0 };
	char *text;
	int err = conf_bundle_read(path, bundle, &errs);

	if (!err) {
		conf_errors_free(&errs);
		memset(&errs, 0, sizeof(errs));
		err = conf_load(path, conf_bundle_source(*bundle), 0, conf, &errs);
	}
	text = conf_errors_text(&errs);
	if (text)
		fputs(text, stderr);
	else if (err)
		fprintf(stderr, "%s: %s\n", path, zs_strerror(err));
	free(text);
	conf_errors_free(&errs);
	return err;
}

/*
 * The first process waits until the daemon is ready (or has failed), so that a start script knows. Standard
 * error stays open only for a log that goes there: whoever reads it to its end would wait for the daemon's.
 */
static int background(int *ready_fd, bool keep_stderr)
{
	int p[2], null;
	char c;
	pid_t pid;

	if (pipe2(p, O_CLOEXEC) != 0 || (pid = fork()) < 0)
		return ZS_EIO;
	if (pid > 0) {
		close(p[1]);
		_exit(read(p[0], &c, 1) == 1 ? 0 : 1);
	}
	close(p[0]);
	setsid();
	if (chdir("/") != 0)
		return ZS_EIO;
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, 0);
		dup2(null, 1);
		if (!keep_stderr)
			dup2(null, 2);
		if (null > 2)
			close(null);
	}
	*ready_fd = p[1];
	return 0;
}

static int run_role(const char *role)
{
	const char *target = getenv("ZONESEAL_LOG");

	log_open(target ? target : "stderr", LL_INFO, role);
	if (strcmp(role, "engine") == 0)
		return engine_main(CHILD_FD);
	if (strcmp(role, "vault") == 0)
		_exit(vault_main(CHILD_FD)); /* a thread may hang in a vendor call for ever */
	return 2;
}

static char *own_path(void)
{
	char path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 1);

	if (n <= 0)
		return NULL;
	path[n] = 0;
	return strdup(path);
}

static int run_parent(const char *path, bool foreground)
{
	struct conf_bundle *bundle = NULL;
	struct conf *conf = NULL;
	char full[PATH_MAX], *self = own_path();
	bool on_stderr;
	int ready = -1, err = load(path, &bundle, &conf);

	if (err || !self || !realpath(path, full)) {
		free(self);
		conf_free(conf);
		conf_bundle_free(bundle);
		return 1;
	}
	on_stderr = foreground || strcmp(conf->log_target, "stderr") == 0;
	if (!on_stderr && log_open(conf->log_target, (enum log_level)conf->log_level, "parent") != 0)
		on_stderr = true;
	if (on_stderr)
		log_open("stderr", (enum log_level)conf->log_level, "parent");
	/* what the roles log to before (engine) or instead of (vaults) the config: never a file,
	 * its owner is another */
	setenv("ZONESEAL_LOG", foreground || strcmp(conf->log_target, "stderr") == 0 ? "stderr" : "syslog",
	       1);
	if (foreground)
		setenv("ZONESEAL_FOREGROUND", "1", 1);
	if (!foreground && background(&ready, on_stderr) != 0)
		return 1;
	err = parent_main(self, full, bundle, conf, ready);
	free(self);
	return err;
}

int main(int argc, char **argv)
{
	static const struct option opts[] = { { "role", required_argument, NULL, 'r' },
					      { "help", no_argument, NULL, 'h' },
					      { "version", no_argument, NULL, 'V' },
					      { NULL, 0, NULL, 0 } };
	const char *path = CONF_DEFAULT_FILE, *role = NULL;
	bool check = false, foreground = false;
	int c;

	while ((c = getopt_long(argc, argv, "c:tfVh", opts, NULL)) != -1) {
		switch (c) {
		case 'c':
			path = optarg;
			break;
		case 't':
			check = true;
			break;
		case 'f':
			foreground = true;
			break;
		case 'V':
			printf("zoneseald %s\n", PACKAGE_VERSION);
			return 0;
		case 'r':
			role = optarg;
			break;
		case 'h':
			usage(stdout);
			return 0;
		default:
			usage(stderr);
			return 2;
		}
	}
	if (optind < argc) {
		usage(stderr);
		return 2;
	}
	if (role)
		return run_role(role);
	if (check) {
		struct conf_bundle *bundle = NULL;
		struct conf *conf = NULL;
		int err = load(path, &bundle, &conf);

		conf_free(conf);
		conf_bundle_free(bundle);
		return err ? 1 : 0;
	}
	return run_parent(path, foreground);
}
