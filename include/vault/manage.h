/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent's side of one vault process: setup, keymap, PIN with its latch, key management. The parent's
 * loop owns it and calls vmanage_event() when the socket is readable or writable. Nothing here blocks.
 */
#ifndef ZONESEAL_VAULT_MANAGE_H
#define ZONESEAL_VAULT_MANAGE_H

#include "vault/keymap.h"

struct vault_setup {
	const char *keystore;
	bool file;                   /* backend `file`: key_dir; else PKCS#11 */
	const char *key_dir;         /* state-dir/keys */
	const char *module, *uri;
	const char *pin_file;        /* read by the parent only */
	const char *latch_path;      /* state-dir/latch-<keystore> */
	uint32_t sessions;
	unsigned threads;            /* backend file: signing threads */
};

struct vmanage;
struct vmanage_ops {
	/* answer to vmanage_generate: result, public key field of the DNSKEY */
	void (*generated)(void *ctx, uint64_t id, int result, const uint8_t *pub, size_t pub_len);
	void (*deleted)(void *ctx, uint64_t id, int result);
	void (*tested)(void *ctx, uint64_t id, int result, const char *text);   /* hsm test */
	/* state changed: "ready", "login", "no token: ...", "PIN latch set: ..." */
	void (*state)(void *ctx, bool up, const char *text);
	void (*backed_up)(void *ctx, uint64_t id, int result, const char *text);
};

/* fd: the parent's end; taken. Sends setup at once. Strings of setup are copied. */
struct vmanage *vmanage_new(int fd, const struct vault_setup *setup, const struct vmanage_ops *ops,
			    void *ctx);
void vmanage_free(struct vmanage *m);
int vmanage_fd(const struct vmanage *m);
bool vmanage_wants_write(const struct vmanage *m);
/* Does what can be done now. 0, or ZS_ECLOSED/ZS_EFORMAT: the vault is to be restarted. */
int vmanage_event(struct vmanage *m);
int vmanage_keymap(struct vmanage *m, const struct keymap *all);  /* sends the lines of this key store */
/* passes an engine socket; fd stays the caller's */
int vmanage_engine(struct vmanage *m, int fd);
int vmanage_generate(struct vmanage *m, uint64_t id, const struct keymap_line *line);
int vmanage_delete(struct vmanage *m, uint64_t id, const uint8_t key[KEY_ID_LEN]);
int vmanage_test(struct vmanage *m, uint64_t id);
/* File keys only: all of them go into this open directory, listed in its MANIFEST. dir stays the caller's. */
int vmanage_backup(struct vmanage *m, uint64_t id, int dir);
int vmanage_retry(struct vmanage *m);  /* clears the latch and tries the login again (`hsm retry`) */
/* Seconds (monotonic) of a vendor call that has passed its deadline, 0 none: the parent kills the process. */
int vmanage_overdue(const struct vmanage *m, mono_t now);
int vmanage_quit(struct vmanage *m);

#endif
