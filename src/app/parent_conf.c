/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent and its config: directories with their owners, sockets that need privileges, what a new engine
 * is sent, and reload. The state directory itself stays the parent's, so that the engine cannot replace the
 * keymap or a PIN latch.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <libgen.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "ipc.h"
#include "net/net.h"
#include "parent.h"
#include "sdnotify.h"

static int dir_for(const struct parent *p, const char *sub, const char *user, mode_t mode)
{
	struct child_user u;
	char *path = NULL;
	int err;

	if (asprintf(&path, "%s%s%s", p->conf->state_dir, sub ? "/" : "", sub ? sub : "") < 0)
		return ZS_ENOMEM;
	err = fs_mkdir_p(path, mode);
	if (!err && geteuid() == 0 && chmod(path, mode) != 0)
		err = zs_from_errno(errno);
	if (!err && user && !(err = child_user(user, &u)) && u.change && chown(path, u.uid, u.gid) != 0)
		err = zs_from_errno(errno);
	if (err)
		log_msg(LL_ERR, "parent", NULL, "directory %s (user %s): %s", path, user ? user : "-",
			zs_strerror(err));
	free(path);
	return err;
}

static int lock_file(const struct parent *p)
{
	struct child_user u;
	char *path = NULL;
	int fd, err = 0;

	if (asprintf(&path, "%s/lock", p->conf->state_dir) < 0)
		return ZS_ENOMEM;
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		err = zs_from_errno(errno);
	else if (!(err = child_user(p->conf->user, &u)) && u.change && fchown(fd, u.uid, u.gid) != 0)
		err = zs_from_errno(errno);
	if (fd >= 0)
		close(fd);
	free(path);
	return err;
}

/* One daemon a state directory: told here, before anything else of it is touched.
 * Held until the process ends. */
static int own_lock(struct parent *p)
{
	char *path = NULL;
	int err = 0;

	if (asprintf(&path, "%s/zoneseald.lock", p->conf->state_dir) < 0)
		return ZS_ENOMEM;
	p->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (p->lock_fd < 0)
		err = zs_from_errno(errno);
	else if (flock(p->lock_fd, LOCK_EX | LOCK_NB) != 0)
		err = errno == EWOULDBLOCK ? ZS_EEXIST : zs_from_errno(errno);
	if (err == ZS_EEXIST)
		log_msg(LL_ERR, "parent", NULL, "state-dir %s is in use by another zoneseald",
			p->conf->state_dir);
	free(path);
	return err;
}

/* The engine goes on writing to the file that the parent opened: it must be the engine's. Never by name, and
 * never a link: the directory may be the engine's already. */
static void own_log(const struct parent *p)
{
	struct child_user u;
	struct stat st;
	int fd;

	if (p->conf->log_target[0] != '/' || child_user(p->conf->user, &u) != 0 || !u.change)
		return;
	fd = open(p->conf->log_target, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0640);
	if (fd < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_nlink != 1 ||
	    fchown(fd, u.uid, u.gid) != 0)
		log_msg(LL_WARN, "parent", NULL, "log file %s cannot be handed to user %s",
			p->conf->log_target, p->conf->user);
	if (fd >= 0)
		close(fd);
}

/* A new file is made here and handed over, before the engine opens it. */
int parent_log_reopen(struct parent *p)
{
	own_log(p);
	return log_reopen();
}

/* Another target by reload. Vaults keep theirs until they are started anew. */
static void log_to(struct parent *p)
{
	const char *target = p->conf->log_target;

	if (getenv("ZONESEAL_FOREGROUND"))
		return;
	own_log(p);
	if (log_open(target, (enum log_level)p->conf->log_level, "parent") != 0)
		log_msg(LL_ERR, "parent", NULL, "log target %s cannot be opened", target);
	setenv("ZONESEAL_LOG", strcmp(target, "stderr") == 0 ? "stderr" : "syslog", 1);
}

int parent_prepare_dirs(struct parent *p)
{
	int err;

	if ((err = dir_for(p, NULL, NULL, 0755)) || (err = own_lock(p)) || (err = parent_restore(p)) ||
	    (err = dir_for(p, "zones", p->conf->user, 0750)) ||
	    (err = dir_for(p, "tmp", p->conf->user, 0700)) ||
	    (err = dir_for(p, "register", p->conf->user, 0700)) ||
	    (err = dir_for(p, "keys", p->conf->vault_user, 0700)))
		return err;
	own_log(p);
	return lock_file(p);
}

static int fd_push(int **fds, size_t *n, int fd)
{
	int *more = realloc(*fds, (*n + 1) * sizeof(int));

	if (!more)
		return ZS_ENOMEM;
	more[(*n)++] = fd;
	*fds = more;
	return 0;
}

static struct net_addr net_of(const struct conf_addr *a)
{
	struct net_addr n;

	memset(&n, 0, sizeof(n));
	n.v6 = a->v6;
	return n;
}

#define BIND_TRIES 60
#define BIND_PAUSE_MS 50

/* The engine of a parent that was killed may need a moment to end: its address is waited for,
 * within bounds. */
static int bind_patient(const struct net_addr *a, int fds[2])
{
	int err = 0;

	for (int i = 0; i < BIND_TRIES && (err = net_bind(a, fds)) != 0 && errno == EADDRINUSE; i++)
		poll(NULL, 0, BIND_PAUSE_MS);
	return err;
}

static int bind_dns(struct parent *p)
{
	for (size_t i = 0; i < p->conf->nlisten; i++) {
		struct net_addr a = net_of(&p->conf->listen[i]);
		char text[NET_ADDR_TEXT];
		int fds[2], err = bind_patient(&a, fds);

		if (err) {
			log_msg(LL_ERR, "parent", NULL, "cannot listen on %s: %s", net_addr_text(&a, text),
				strerror(errno));
			return err;
		}
		if ((err = fd_push(&p->dns_fd, &p->ndns, fds[0])) ||
		    (err = fd_push(&p->dns_fd, &p->ndns, fds[1])))
			return err;
	}
	return 0;
}

static int bind_stats(struct parent *p)
{
	for (size_t i = 0; i < p->conf->nstats_listen; i++) {
		struct net_addr a = net_of(&p->conf->stats_listen[i]);
		int fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
		socklen_t len = a.sa.sa_family == AF_INET6 ? sizeof(a.v6) : sizeof(a.v4);
		char text[NET_ADDR_TEXT];

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (fd < 0 || bind(fd, &a.sa, len) != 0 || listen(fd, 64) != 0) {
			log_msg(LL_ERR, "parent", NULL, "cannot listen on %s: %s", net_addr_text(&a, text),
				strerror(errno));
			if (fd >= 0)
				close(fd);
			return ZS_EIO;
		}
		if (fd_push(&p->stats_fd, &p->nstats, fd))
			return ZS_ENOMEM;
	}
	return 0;
}

static void control_owner(const struct parent *p)
{
	struct group *gr;

	if (geteuid() != 0 || !p->conf->control_group)
		return;
	gr = getgrnam(p->conf->control_group);
	if (!gr)
		log_msg(LL_WARN, "parent", NULL,
			"control-group %s does not exist: only root may use the control socket",
			p->conf->control_group);
	else if (chown(p->conf->control, (uid_t)-1, gr->gr_gid) != 0)
		log_msg(LL_WARN, "parent", NULL, "chown %s: %s", p->conf->control, strerror(errno));
}

static int bind_control(struct parent *p)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	char *dir = strdup(p->conf->control);
	int err = 0;

	if (!dir || strlen(p->conf->control) >= sizeof(un.sun_path)) {
		free(dir);
		return ZS_ELIMIT;
	}
	err = fs_mkdir_p(dirname(dir), 0755);
	free(dir);
	if (err)
		return err;
	strcpy(un.sun_path, p->conf->control);
	unlink(un.sun_path);
	p->control_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p->control_fd < 0 || bind(p->control_fd, (struct sockaddr *)&un, sizeof(un)) != 0 ||
	    chmod(un.sun_path, 0660) != 0 || listen(p->control_fd, 64) != 0) {
		log_msg(LL_ERR, "parent", NULL, "control socket %s: %s", un.sun_path, strerror(errno));
		return ZS_EIO;
	}
	control_owner(p);
	return 0;
}

int parent_bind(struct parent *p)
{
	int err;

	if ((err = bind_dns(p)) || (err = bind_stats(p)) || (err = bind_control(p)))
		return err;
	return 0;
}

static void send_bundle(struct parent *p)
{
	uint8_t *data = NULL;
	size_t len = 0;
	int err = conf_bundle_pack(p->bundle, &data, &len);

	if (err)
		log_msg(LL_ERR, "parent", NULL, "config cannot be sent: %s", zs_strerror(err));
	for (size_t at = 0; !err && at < len; at += IPC_PART_MAX)
		parent_tell(p, IPC_BUNDLE_PART, data + at, len - at < IPC_PART_MAX ? len - at : IPC_PART_MAX,
			    NULL, 0);
	if (!err)
		parent_tell(p, IPC_BUNDLE, NULL, 0, NULL, 0);
	fs_free_secret((char *)data, len);
}

void parent_send_all(struct parent *p)
{
	send_bundle(p);
	for (size_t i = 0; i < p->ndns; i += FRAME_FDS)
		parent_tell(p, IPC_DNS, NULL, 0, p->dns_fd + i,
			    (unsigned)(p->ndns - i > FRAME_FDS ? FRAME_FDS : p->ndns - i));
	parent_tell(p, IPC_CONTROL, NULL, 0, &p->control_fd, 1);
	for (size_t i = 0; i < p->nstats; i++)
		parent_tell(p, IPC_STATS, NULL, 0, &p->stats_fd[i], 1);
	parent_tell(p, IPC_START, NULL, 0, NULL, 0);
	for (size_t i = 0; i < p->nvault; i++)
		parent_vault_connect(p->vault[i]);
}

/* What a running daemon cannot change; NULL when nothing of it differs. */
static const char *needs_restart(const struct conf *a, const struct conf *b)
{
	if (strcmp(a->state_dir, b->state_dir) != 0)
		return "server: state-dir";
	if (strcmp(a->control, b->control) != 0)
		return "server: control";
	if (strcmp(a->user, b->user) != 0 || strcmp(a->vault_user, b->vault_user) != 0)
		return "server: user, vault-user";
	if (a->nlisten != b->nlisten || a->nstats_listen != b->nstats_listen ||
	    memcmp(a->listen, b->listen, a->nlisten * sizeof(*a->listen)) != 0 ||
	    memcmp(a->stats_listen, b->stats_listen, a->nstats_listen * sizeof(*a->stats_listen)) != 0)
		return "listen addresses";
	return NULL;
}

static bool role_fits(const struct policy *pol, const struct keymap_line *l)
{
	if (pol->unsigned_zone || strcmp(pol->keystore, l->keystore) != 0 || pol->algorithm != l->algorithm)
		return false;
	return pol->keys == KEYS_CSK ? l->role == ROLE_CSK : l->role != ROLE_CSK;
}

/* Key-relevant changes for a zone that has keys are refused until rollovers exist. */
static char *policy_refusal(const struct parent *p, const struct conf *next)
{
	char *text = NULL;

	for (size_t i = 0; i < p->keymap.n; i++) {
		const struct keymap_line *l = &p->keymap.line[i];
		const struct conf_zone *z = conf_zone(next, l->zone, l->zone_len);

		if (!z || !l->has_pub || role_fits(z->policy, l))
			continue;
		if (asprintf(&text,
			     "%s:%d: zone %s has keys (key store %s, algorithm %u): policy %s would change "
			     "algorithm, key store or key layout, which needs a rollover\n",
			     z->file, z->line, z->name, l->keystore, l->algorithm, z->policy->name) < 0)
			text = NULL;
		break;
	}
	return text;
}

static void reload_answer(struct parent *p, bool answer, uint64_t request, bool ok, const char *text)
{
	struct wr w = wr_growing(1 << 20);

	log_msg(ok ? LL_NOTICE : LL_ERR, "parent", NULL, "reload %s%s%.900s", ok ? "done" : "refused",
		*text ? ": " : "", text);
	sd_notify_state("READY=1");
	if (!answer)
		return;
	wr_u64(&w, request);
	wr_u8(&w, ok);
	wr_bytes(&w, text, strnlen(text, 256 << 10));
	if (!w.err)
		parent_tell(p, IPC_RELOADED, w.p, w.len, NULL, 0);
	wr_free(&w);
}

/* Everything is checked before anything is used; a failed reload keeps the running config. */
void parent_reload(struct parent *p, bool answer, uint64_t request)
{
	struct conf_bundle *bundle = NULL;
	struct conf *conf = NULL, *old;
	struct conf_errors errs = { 0 };
	char *text = NULL, *refused = NULL;
	const char *fixed = NULL;
	int err;

	sd_notify_state("RELOADING=1");
	err = conf_bundle_read(p->conf_path, &bundle, &errs);
	if (!err) {
		conf_errors_free(&errs);
		err = conf_load(p->conf_path, conf_bundle_source(bundle), 0, &conf, &errs);
	}
	text = conf_errors_text(&errs);
	if (!err && (fixed = needs_restart(p->conf, conf)))
		err = ZS_ECONFIG;
	if (!err && (refused = policy_refusal(p, conf)))
		err = ZS_ECONFIG;
	if (err) {
		char line[128] = "";

		if (fixed)
			snprintf(line, sizeof(line), "%s cannot change without a restart", fixed);
		reload_answer(p, answer, request, false,
			      fixed     ? line
			      : refused ? refused
			      : text    ? text
					: zs_strerror(err));
		conf_free(conf);
		conf_bundle_free(bundle);
		goto out;
	}
	old = p->conf;
	conf_bundle_free(p->bundle);
	p->conf = conf;
	p->bundle = bundle;
	if (strcmp(old->log_target, conf->log_target) != 0)
		log_to(p);
	log_set_level((enum log_level)conf->log_level);
	parent_keymap_limits(p); /* before the engine signs by the new times */
	send_bundle(p);
	parent_vaults_changed(p, old);
	parent_vaults_sync(p);
	conf_free(old);
	reload_answer(p, answer, request, true, text ? text : "");
out:
	conf_errors_free(&errs);
	free(text);
	free(refused);
}
