/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The vault: the only process that loads a PKCS#11 module, sees a PIN or holds key material; one per key
 * store. It has two kinds of peers: the parent (socket given at start: setup, keymap, PIN, key management)
 * and the engine (sockets passed by the parent: sign requests). It signs messages, never hashes, after the
 * guard (vault/guard.h) has read them.
 *
 * Frames (base/frame.h) are described byte by byte in PROTOCOL.vault; the codecs stand in vault/proto.h.
 */
#ifndef ZONESEAL_VAULT_VAULT_H
#define ZONESEAL_VAULT_VAULT_H

/* Runs the vault on the parent's socket until told to quit or the parent is gone.
 * Exit status of the process. */
int vault_main(int parent_fd);

#endif
