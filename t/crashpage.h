/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the interposed calls of crashshim.c count in. A test program has a page of its own; the processes of a
 * daemon share one, a mapped file that the driver (crash_all.py) reads and writes: its first fields, up to
 * `classes`, are laid out there, too.
 */
#ifndef ZONESEAL_T_CRASHPAGE_H
#define ZONESEAL_T_CRASHPAGE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "crashshim.h"

#define CRASH_MAGIC 0x63726173u
#define CRASH_EVENTS 65536
#define CRASH_INODES 4096
#define CRASH_ROOTS 2
#define CRASH_PATH 512

/* What a numbered call does. The sends (from CC_FRAME on) are killed at, but never fail. */
enum crash_class {
	CC_NONE, CC_CREATE, CC_WRITE, CC_SYNC, CC_RENAME, CC_UNLINK, CC_TRUNC, CC_MKDIR, CC_FRAME, CC_DNS
};

struct crash_page {
	uint32_t magic;
	uint32_t mode;      /* enum crash_mode */
	uint32_t group;     /* a kill takes the whole process group */
	int32_t err;
	int64_t at;
	int64_t count;
	uint32_t hit;       /* enum crash_class of the call that was hit, 0: none yet */
	uint32_t hit_pid;
	char hit_what[256];
	uint32_t sends;     /* sends are numbered, too */
	uint32_t map_shift; /* maps of LMDB are that many bits smaller */
	char root[CRASH_ROOTS][CRASH_PATH]; /* the second is never traced */
	char trace[CRASH_PATH];
	uint8_t classes[CRASH_EVENTS];
	/* of the processes alone */
	uint32_t trace_lock;
	uint32_t inode_lock;
	uint32_t files;
	uint32_t ninodes;
	struct { uint64_t dev; uint64_t ino; uint32_t file; uint32_t unused; } inodes[CRASH_INODES];
};

/* The page in use; never NULL. */
struct crash_page *crash_page(void);
bool crash_active(void);
/* True: the call is to fail, errno is set. *half: do half of it and die. `what` is for people. */
bool crash_enter(enum crash_class c, const char *what, bool *half);
void crash_leave(void);
/* Between enter and leave. */
void crash_record(struct crash_rec r, const char *a, const char *b, const void *data);
uint32_t crash_file_number(uint64_t dev, uint64_t ino, bool created);

#endif
