/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The rig of the vault tests: a real vault process, the parent's side on the test's thread, the engine's side
 * in a client of its own. The vault program is vault_test_main beside the test, or $ZONESEAL_TEST_VAULT.
 */
#ifndef ZONESEAL_T_VAULT_RIG_H
#define ZONESEAL_T_VAULT_RIG_H

#include <pthread.h>
#include <sys/types.h>
#include "vault/client.h"
#include "vault/keymap.h"
#include "vault/manage.h"

#define RIG_WAIT_S 50

struct rig {
	char dir[64];
	char key_dir[96], latch[96], pin_file[96], conf[96];
	struct vault_setup setup;
	struct keymap map;
	struct vmanage *manage;
	struct vclient *client;
	pid_t vault;
	/* what the callbacks saw */
	bool up;
	char state[128];
	unsigned states;
	uint64_t answered;
	int result;
	uint8_t pub[PUBKEY_MAX];
	size_t pub_len;
	char text[600];
	int event_error;
	/* batches */
	pthread_mutex_t lock;
	size_t batches_done;
};

struct rig_key {
	struct keymap_line line;
	uint8_t pub[PUBKEY_MAX];
	size_t pub_len;
};

void rig_init(struct rig *r, bool file);
void rig_free(struct rig *r);
/* A new process, or the next one after a death. */
void rig_start(struct rig *r);
void rig_stop(struct rig *r);               /* QUIT, then reaped */
void rig_kill(struct rig *r, int sig);      /* killed and reaped; parent's side dropped */
int rig_reap(struct rig *r);                /* waits for it to end by itself: status */
/* Runs the parent's side until the condition holds; fails the test after RIG_WAIT_S. */
#define RIG_UNTIL(r, cond)                                                    \
	do {                                                                  \
		int rig_n = 0;                                                \
		while (!(cond)) {                                             \
			rig_step(r);                                          \
			ck_assert_msg(++rig_n < RIG_WAIT_S * 100, "waited for: " #cond " (%s)", (r)->state); \
		}                                                             \
	} while (0)
void rig_step(struct rig *r);
bool rig_client_up(struct rig *r);
void rig_key(struct rig *r, uint8_t alg, enum key_role role, const char *zone, struct rig_key *out);
/* A proper signing input for the key: n-th owner, an A record, or the DNSKEY set for a KSK. Octets. */
size_t rig_tbs(const struct rig *r, const struct rig_key *k, unsigned n, uint8_t *dst);
bool rig_verify(const struct rig_key *k, const struct sign_req *q);

struct rig_batch {
	struct rig *rig;
	struct sign_batch b;
	bool done;
	uint8_t *octets;
};
struct rig_batch *rig_batch_new(struct rig *r, const struct rig_key *k, size_t n);
void rig_batch_free(struct rig_batch *b);
bool rig_batch_done(struct rig_batch *b);
size_t rig_batch_good(struct rig_batch *b, const struct rig_key *k); /* verified */

#endif
