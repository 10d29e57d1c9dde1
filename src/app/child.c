/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Children are executed anew, never just forked: no heap, secret or descriptor of the parent is inherited,
 * and a PKCS#11 module is initialised in a clean process.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "app/conf.h"
#include "base/err.h"
#include "child.h"

#define CHILD_FD 3

int child_user(const char *name, struct child_user *user)
{
	struct passwd *pw;

	memset(user, 0, sizeof(*user));
	if (geteuid() != 0)
		return 0;
	pw = getpwnam(name);
	if (!pw)
		return ZS_ENOENT;
	user->uid = pw->pw_uid;
	user->gid = pw->pw_gid;
	snprintf(user->name, sizeof(user->name), "%s", name);
	user->change = pw->pw_uid != 0;
	return 0;
}

/* What a role may inherit: time zone, journald's mark, and what sanitizers and test clocks are told. */
static bool env_passes(const char *var)
{
	static const char *const prefix[] = { "TZ=",    "JOURNAL_STREAM=", "ZONESEAL_", "ASAN_",
					      "UBSAN_", "TSAN_",           "LSAN_" };

	for (size_t i = 0; i < sizeof(prefix) / sizeof(prefix[0]); i++)
		if (strncmp(var, prefix[i], strlen(prefix[i])) == 0)
			return true;
	return false;
}

static char **child_env(const struct conf_env *env, size_t nenv)
{
	size_t own = 0, n = 0;
	char **out;

	while (environ[own])
		own++;
	out = calloc(own + nenv + 2, sizeof(*out));
	if (!out)
		return NULL;
	out[n++] = strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin");
	for (size_t i = 0; i < own; i++)
		if (env_passes(environ[i]))
			out[n++] = strdup(environ[i]);
	for (size_t i = 0; i < nenv; i++)
		if (asprintf(&out[n], "%s=%s", env[i].name, env[i].value) > 0)
			n++;
	return out;
}

static void child_run(const char *self, const char *role, const char *ident, const struct child_user *user,
		      char **env, int fd)
{
	char *argv[] = { (char *)(uintptr_t)ident, (char *)(uintptr_t) "--role", (char *)(uintptr_t)role,
			 NULL };
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (dup2(fd, CHILD_FD) < 0)
		_exit(126);
	if (fd == CHILD_FD)
		fcntl(fd, F_SETFD, 0);
	if (syscall(SYS_close_range, CHILD_FD + 1, ~0U, 0) != 0)
		_exit(126);
	if (user->change &&
	    (initgroups(user->name, user->gid) != 0 || setresgid(user->gid, user->gid, user->gid) != 0 ||
	     setresuid(user->uid, user->uid, user->uid) != 0))
		_exit(126);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	/* a change of uid clears the death signal */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	execve(self, argv, env);
	_exit(127);
}

int child_start(const char *self, const char *role, const char *ident, const struct child_user *user,
		const struct conf_env *env, size_t nenv, pid_t *pid, int *fd)
{
	int sv[2] = { -1, -1 }, err = 0;
	char **envp = child_env(env, nenv);
	pid_t p;

	if (!envp)
		return ZS_ENOMEM;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		err = zs_from_errno(errno);
		goto out;
	}
	p = fork();
	if (p < 0) {
		err = zs_from_errno(errno);
		close(sv[0]);
		close(sv[1]);
		goto out;
	}
	if (p == 0)
		child_run(self, role, ident, user, envp, sv[1]);
	close(sv[1]);
	*pid = p;
	*fd = sv[0];
out:
	for (char **e = envp; *e; e++)
		free(*e);
	free(envp);
	return err;
}

int64_t backoff_next(struct backoff *b, mono_t now)
{
	if (mono_diff(now, b->started) > MONO_S(60))
		b->step = 0;
	if (b->step < 6)
		b->step++;
	return MONO_S(b->step == 1 ? 1 : (1 << b->step) > 60 ? 60 : 1 << b->step);
}
