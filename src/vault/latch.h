/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The PIN latch: a file of the parent that says "this PIN, as this file held it, was handed over and has not
 * been seen to be right". While it stands and the PIN file is the same, no login is tried.
 */
#ifndef ZONESEAL_VAULT_LATCH_H
#define ZONESEAL_VAULT_LATCH_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Reads the PIN and sets the latch for it, durably. 0 and *pin (fs_free_secret); ZS_EPIN when the latch
 * stands for this very file, or is damaged; else what went wrong with the files. pin_file may be NULL:
 * ZS_ENOENT. taken_over: how often it was handed over before and nothing was heard (once at most).
 */
int latch_arm(const char *latch_path, const char *keystore, const char *pin_file, char **pin, size_t *pin_len,
	      unsigned *taken_over);
/* The PIN was refused: this latch is taken over no more. An error leaves one that may be. */
int latch_refuse(const char *latch_path);
/* A missing latch is success. */
int latch_clear(const char *latch_path);

#endif
