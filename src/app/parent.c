/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent's loop: signals, deaths, frames of the engine, sockets of the vaults. A lost engine costs a
 * restart that serves at once from the store; a lost vault costs a delay. Neither ends the parent.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "ipc.h"
#include "parent.h"
#include "sdnotify.h"

#define HOUSEKEEPING_MS 200
#define STOP_GRACE_MS 4000 /* SIGTERM ends within 5 s */

void parent_tell(struct parent *p, uint8_t type, const void *data, size_t len, const int *fds, unsigned nfds)
{
	int err;

	if (!p->engine)
		return;
	err = frame_send(p->engine, type, data, len, fds, nfds);
	if (err)
		log_msg(LL_ERR, "parent", NULL, "engine does not take messages: %s", zs_strerror(err));
	else
		frame_flush(p->engine);
}

static void send_page(struct parent *p)
{
	int fd = -1;

	fault_page_free(p->page);
	p->page = fault_page_new(&fd);
	if (!p->page)
		return;
	parent_tell(p, IPC_PAGE, NULL, 0, &fd, 1);
	close(fd);
}

static void send_quarantine(struct parent *p)
{
	for (unsigned i = 0; i < p->nquarantine; i++) {
		uint8_t id[8];

		put_be64(id, p->quarantine[i]);
		parent_tell(p, IPC_QUARANTINE, id, sizeof(id), NULL, 0);
	}
	p->nquarantine = 0; /* lifted by a new serial or an order: a later engine starts without */
}

/* The zone that faulted twice within an hour is left alone by the next engine. */
static void note_fault(struct parent *p)
{
	uint64_t zone;

	if (!fault_collect(p->page, &p->faults, clk_mono(), &zone) || p->nquarantine == FAULT_MARKS)
		return;
	log_msg(LL_ERR, "parent", NULL,
		"event=quarantine: the same zone brought the engine down twice within an hour");
	p->quarantine[p->nquarantine++] = zone;
}

static void engine_start(struct parent *p)
{
	struct child_user user;
	int fd, err;

	p->engine_restart_at.us = 0;
	p->engine_backoff.started = clk_mono();
	err = child_user(p->conf->user, &user);
	if (!err)
		err = child_start(p->self, "engine", "zoneseald: engine", &user, NULL, 0, &p->engine_pid,
				  &fd);
	if (err) {
		log_msg(LL_ERR, "parent", NULL, "cannot start the engine: %s", zs_strerror(err));
		p->engine_restart_at = mono_add(clk_mono(), backoff_next(&p->engine_backoff, clk_mono()));
		return;
	}
	p->engine = frame_conn_new(fd, IPC_OUT_MAX);
	if (!p->engine) {
		close(fd);
		kill(p->engine_pid, SIGKILL);
		return;
	}
	send_page(p);
	send_quarantine(p);
	parent_send_all(p);
}

static void engine_died(struct parent *p, int status)
{
	int64_t wait = backoff_next(&p->engine_backoff, clk_mono());

	frame_conn_free(p->engine);
	p->engine = NULL;
	p->engine_pid = 0;
	p->engine_ready = false;
	parent_pending_forget(p);
	parent_backup_drop(p);
	if (WIFSIGNALED(status))
		note_fault(p);
	if (p->stopping)
		return;
	log_msg(LL_ERR, "parent", NULL, "engine ended (%s %d), restart in %lld s",
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)(wait / 1000000));
	p->engine_restart_at = mono_add(clk_mono(), wait);
}

static void engine_is_ready(struct parent *p)
{
	p->engine_ready = true;
	log_msg(LL_NOTICE, "parent", NULL, "ready: zones=%zu", p->conf->nzones);
	sd_notify_state("READY=1");
	if (p->ready_fd >= 0) {
		(void)!write(p->ready_fd, "", 1);
		close(p->ready_fd);
		p->ready_fd = -1;
	}
}

static void stop_begin(struct parent *p)
{
	if (p->stopping)
		return;
	log_msg(LL_NOTICE, "parent", NULL, "stopping");
	sd_notify_state("STOPPING=1");
	p->stopping = true;
	p->stop_deadline = mono_add(clk_mono_real(), MONO_MS(STOP_GRACE_MS));
	parent_tell(p, IPC_QUIT, NULL, 0, NULL, 0);
}

static void reopen_for(struct parent *p, uint64_t request)
{
	uint8_t answer[12];

	put_be64(answer, request);
	put_be32(answer + 8, (uint32_t)-parent_log_reopen(p));
	parent_tell(p, IPC_REOPENED, answer, sizeof(answer), NULL, 0);
}

static void engine_frame(struct parent *p, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);

	for (unsigned i = 0; i < f->nfds; i++)
		close(f->fds[i]);
	switch (f->type) {
	case IPC_READY:
		engine_is_ready(p);
		break;
	case IPC_GENERATE:
		parent_generate(p, f);
		break;
	case IPC_RELOAD:
		parent_reload(p, true, rd_u64(&r));
		break;
	case IPC_HSM_TEST:
		parent_hsm_request(p, f, false);
		break;
	case IPC_HSM_RETRY:
		parent_hsm_request(p, f, true);
		break;
	case IPC_BACKUP:
		parent_backup_begin(p, f);
		break;
	case IPC_BACKUP_END:
		parent_backup_end(p, f);
		break;
	case IPC_LOG_REOPEN:
		reopen_for(p, rd_u64(&r));
		break;
	case IPC_STOP:
		stop_begin(p);
		break;
	default:
		log_msg(LL_ERR, "parent", NULL, "unknown message %u of the engine is ignored", f->type);
	}
}

/* Frames until none is left; a broken connection means a broken engine: it is killed and restarted. */
static void engine_event(struct parent *p)
{
	struct frame f;
	int err;

	frame_flush(p->engine);
	while (p->engine && (err = frame_recv(p->engine, &f)) != ZS_EAGAIN) {
		if (err) {
			if (p->engine_pid > 0)
				kill(p->engine_pid, SIGKILL);
			frame_conn_free(p->engine);
			p->engine = NULL;
			return;
		}
		engine_frame(p, &f);
	}
}

static void reap(struct parent *p)
{
	int status;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		if (pid == p->engine_pid)
			engine_died(p, status);
		for (size_t i = 0; i < p->nvault; i++)
			if (p->vault[i]->pid == pid)
				parent_vault_died(p->vault[i], status);
	}
}

static void signals(struct parent *p)
{
	struct signalfd_siginfo si;

	while (read(p->signal_fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT)
			stop_begin(p);
		else if (si.ssi_signo == SIGHUP)
			parent_reload(p, false, 0);
		else if (si.ssi_signo == SIGUSR1) {
			parent_log_reopen(p);
			parent_tell(p, IPC_REOPEN, NULL, 0, NULL, 0);
		} else if (si.ssi_signo == SIGCHLD)
			reap(p);
	}
}

/* Restarts that are due, vaults whose vendor call hangs, the end of the stop's grace. */
static void housekeeping(struct parent *p)
{
	mono_t now = clk_mono();

	if (!p->stopping && !p->engine_pid && p->engine_restart_at.us &&
	    mono_diff(now, p->engine_restart_at) >= 0)
		engine_start(p);
	for (size_t i = 0; i < p->nvault; i++) {
		struct pvault *v = p->vault[i];

		if (v->pid && v->manage && vmanage_overdue(v->manage, now)) {
			log_limited(LL_ERR, "vault", NULL, v->name, 1,
				    "keystore=%s a vendor call hangs: vault killed", v->name);
			kill(v->pid, SIGKILL);
		}
		if (!p->stopping && !v->gone && !v->pid && v->restart_at.us &&
		    mono_diff(now, v->restart_at) >= 0)
			parent_vault_start(v);
	}
	if (p->stopping && p->engine_pid && mono_diff(clk_mono_real(), p->stop_deadline) >= 0) {
		log_limited(LL_WARN, "parent", NULL, "stop", 1, "the engine did not end in time: killed");
		kill(p->engine_pid, SIGKILL);
	}
}

static void poll_once(struct parent *p)
{
	struct pollfd *pfd = calloc(p->nvault + 2, sizeof(*pfd));
	struct pvault **owner = calloc(p->nvault + 2, sizeof(struct pvault *));
	size_t n = 0;

	if (!pfd || !owner)
		abort();
	pfd[n++] = (struct pollfd){ .fd = p->signal_fd, .events = POLLIN };
	if (p->engine)
		pfd[n++] = (struct pollfd){ .fd = frame_conn_fd(p->engine),
					    .events = (short)(POLLIN |
							      (frame_pending(p->engine) ? POLLOUT : 0)) };
	for (size_t i = 0; i < p->nvault; i++) {
		if (!p->vault[i]->manage)
			continue;
		owner[n] = p->vault[i];
		pfd[n++] = (struct pollfd){
			.fd = vmanage_fd(p->vault[i]->manage),
			.events = (short)(POLLIN | (vmanage_wants_write(p->vault[i]->manage) ? POLLOUT : 0))
		};
	}
	if (poll(pfd, n, clk_poll_ms() > 0 ? clk_poll_ms() : HOUSEKEEPING_MS) > 0) {
		for (size_t i = 1; i < n; i++) {
			if (!pfd[i].revents)
				continue;
			if (owner[i] && owner[i]->manage)
				parent_vault_event(owner[i]);
			else if (!owner[i] && p->engine)
				engine_event(p);
		}
		if (pfd[0].revents)
			signals(p);
	}
	free(pfd);
	free(owner);
}

static int signals_open(struct parent *p)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return p->signal_fd < 0 ? zs_from_errno(errno) : 0;
}

static void parent_close(struct parent *p)
{
	parent_backup_drop(p);
	for (size_t i = 0; i < p->nvault; i++)
		parent_vault_free(p->vault[i]);
	free(p->vault);
	frame_conn_free(p->engine);
	if (p->control_fd >= 0) {
		close(p->control_fd);
		unlink(p->conf->control);
	}
	for (size_t i = 0; i < p->ndns; i++)
		close(p->dns_fd[i]);
	for (size_t i = 0; i < p->nstats; i++)
		close(p->stats_fd[i]);
	if (p->lock_fd >= 0)
		close(p->lock_fd);
	free(p->dns_fd);
	free(p->stats_fd);
	fault_page_free(p->page);
	keymap_free(&p->keymap);
	free(p->keymap_path);
	conf_free(p->conf);
	conf_bundle_free(p->bundle);
}

static bool stopped(struct parent *p)
{
	bool vaults = false;

	if (!p->stopping || p->engine_pid)
		return false;
	for (size_t i = 0; i < p->nvault; i++) {
		if (!p->vaults_told && p->vault[i]->manage)
			vmanage_quit(p->vault[i]->manage); /* logs out and finalizes */
		vaults |= p->vault[i]->pid != 0;
	}
	p->vaults_told = true;
	return !vaults || mono_diff(clk_mono_real(), p->stop_deadline) >= 0;
}

int parent_main(const char *self, const char *conf_path, struct conf_bundle *bundle, struct conf *conf,
		int ready_fd)
{
	struct parent p = { .conf_path = conf_path,
			    .conf = conf,
			    .bundle = bundle,
			    .control_fd = -1,
			    .signal_fd = -1,
			    .lock_fd = -1,
			    .ready_fd = ready_fd };
	int err;

	p.self = strdup(self);
	if (geteuid() != 0)
		log_msg(LL_WARN, "parent", NULL,
			"started without root: engine and vaults run as the same user, PINs are not "
			"separated");
	if ((err = signals_open(&p)) || (err = parent_prepare_dirs(&p)) || (err = parent_keymap_load(&p)) ||
	    (err = parent_bind(&p)) || (err = parent_vaults_sync(&p))) {
		log_msg(LL_ERR, "parent", NULL, "cannot start: %s", zs_strerror(err));
		goto out;
	}
	engine_start(&p);
	while (!stopped(&p)) {
		poll_once(&p);
		housekeeping(&p);
	}
	log_msg(LL_NOTICE, "parent", NULL, "stopped");
out:
	parent_close(&p);
	free(p.self);
	return err ? 1 : 0;
}
