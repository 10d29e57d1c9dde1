/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent: reads the config, binds sockets, starts and restarts engine and vaults, keeps the keymap and
 * the PIN latch. It parses no packet and holds no zone and no key. One thread, one poll loop, nothing blocks
 * but small file writes.
 */
#ifndef ZONESEAL_SRC_APP_PARENT_H
#define ZONESEAL_SRC_APP_PARENT_H

#include <stdbool.h>
#include <sys/types.h>
#include "app/conf.h"
#include "base/frame.h"
#include "child.h"
#include "faultmark.h"
#include "vault/keymap.h"
#include "vault/manage.h"

struct parent;
struct pbackup;

/* A key generation that the engine waits for. */
#define PENDING_KEYS 64
struct pending_key { bool used; uint64_t id; uint8_t key[KEY_ID_LEN]; };

/* One key store's vault process. */
struct pvault {
	struct parent *parent;
	char *name;
	pid_t pid;              /* 0: not running */
	struct vmanage *manage; /* NULL: not running */
	struct backoff backoff;
	mono_t restart_at;
	bool up;
	char state[128];
	struct pending_key pending[PENDING_KEYS];
	bool gone;              /* no longer in the config: not restarted */
};

struct parent {
	char *self;             /* path of our own executable */
	const char *conf_path;
	struct conf *conf;
	struct conf_bundle *bundle;
	struct keymap keymap;
	char *keymap_path;
	pid_t engine_pid;
	struct frame_conn *engine;
	struct backoff engine_backoff;
	mono_t engine_restart_at;
	bool engine_ready;
	struct fault_page *page;
	struct fault_log faults;
	uint64_t quarantine[FAULT_MARKS]; unsigned nquarantine; /* told to every new engine */
	struct pvault **vault;  /* each on its own: vmanage holds a pointer to it */
	size_t nvault;
	int *dns_fd;
	size_t ndns;
	int *stats_fd;
	size_t nstats;
	int control_fd;
	int signal_fd;
	int lock_fd;            /* flock on state-dir/zoneseald.lock */
	int ready_fd;           /* told when the engine is ready for the first time; -1 */
	struct pbackup *backup; /* being written; NULL: none */
	bool stopping, vaults_told;
	mono_t stop_deadline;   /* on the real clock */
};

/* Runs until told to stop; exit status of the program. ready_fd: gets one octet when ready, -1 for none. */
int parent_main(const char *self, const char *conf_path, struct conf_bundle *bundle, struct conf *conf,
		int ready_fd);

/* parent_conf.c */
int parent_bind(struct parent *p);      /* DNS, stats and control sockets of the config; logs, zs_err */
int parent_prepare_dirs(struct parent *p);
int parent_log_reopen(struct parent *p);
void parent_send_all(struct parent *p); /* bundle, sockets, vault sockets: everything a new engine needs */
void parent_reload(struct parent *p, bool answer, uint64_t request);

/* parent_vault.c */
int parent_vaults_sync(struct parent *p);  /* starts what the config has, stops what it has no more */
void parent_vaults_changed(struct parent *p, const struct conf *old); /* after a reload */
void parent_vault_start(struct pvault *v);
void parent_vault_connect(struct pvault *v); /* a fresh socket between this vault and the engine */
void parent_pending_forget(struct parent *p);    /* the engine that asked is gone */
void parent_vault_event(struct pvault *v);
void parent_vault_died(struct pvault *v, int status);
struct pvault *parent_vault_find(struct parent *p, const char *name);
void parent_vault_free(struct pvault *v);
int parent_keymap_load(struct parent *p);
void parent_keymap_limits(struct parent *p);    /* longest validity of each line follows its zone's policy */
void parent_generate(struct parent *p, const struct frame *f);
void parent_hsm_request(struct parent *p, const struct frame *f, bool retry);

/* parent_backup.c */
void parent_backup_begin(struct parent *p, const struct frame *f);
void parent_backup_end(struct parent *p, const struct frame *f);
void parent_backup_keys(struct parent *p, uint64_t id, int result, const char *text); /* of the vault */
void parent_backup_vault_died(struct parent *p, const struct pvault *v);
void parent_backup_drop(struct parent *p); /* whoever asked is gone; what was written stays, incomplete */

/* parent_restore.c: before anything else of the state directory is touched, its lock held */
int parent_restore(struct parent *p);

/* parent.c */
void parent_tell(struct parent *p, uint8_t type, const void *data, size_t len, const int *fds, unsigned nfds);

#endif
