/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Numbered calls that change files under one directory: kill the process at one of them, let one fail, or
 * record all of them. Linked into a test program, or preloaded and set up by the environment:
 *
 *   CRASHSHIM_ROOT=DIR CRASHSHIM=count:FILE | before:N | after:N | half:N | fail:N:ERRNO | trace:FILE
 *
 * or, for all processes of a daemon, ZONESEAL_CRASH=FILE, a page of crashpage.h, which counts what they send,
 * too.
 *
 * count writes the number of calls to FILE at exit. N starts at 1. half: a write does its first half, then
 * the kill.
 */
#ifndef ZONESEAL_T_CRASHSHIM_H
#define ZONESEAL_T_CRASHSHIM_H

#include <stdint.h>

/* CRASH_FAIL_FROM: that call and every later one, until the mode is set to another. */
enum crash_mode {
	CRASH_OFF, CRASH_COUNT, CRASH_BEFORE, CRASH_AFTER, CRASH_HALF, CRASH_FAIL, CRASH_TRACE,
	CRASH_FAIL_FROM
};

/* at: number of the call; err: errno of CRASH_FAIL; fd: where CRASH_TRACE writes. root must exist; copied. */
void crash_arm(enum crash_mode mode, const char *root, long at, int err, int fd);
long crash_count(void);
/* Puts a mark into the trace. */
void crash_note(uint64_t a, uint64_t b);

/* One record of a trace, in the machine's own layout; behind it text1 octets, text2 octets, data octets. */
enum crash_op {
	OP_CREATE, OP_WRITE, OP_SYNC, OP_SYNC_DIR, OP_SYNC_ALL, OP_RENAME, OP_UNLINK, OP_TRUNC, OP_MKDIR,
	OP_RMDIR, OP_NOTE, OP_SEND /* octets for the network */
};
struct crash_rec {
	uint32_t op;
	uint32_t file;   /* number of the file since its creation, 1.. */
	uint64_t off;    /* OP_WRITE; OP_TRUNC: size; OP_NOTE: a; OP_SEND: 1 for a stream */
	uint64_t len;    /* data octets; OP_NOTE: b */
	uint32_t text1;  /* path below root */
	uint32_t text2;  /* OP_RENAME: new path */
	uint32_t dsync;  /* the write was durable when it returned */
	uint32_t unused;
};

#endif
