/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A directory with a list of its files: what a backup consists of. The list is written last, when everything
 * else is on the disk; so a directory without it is a torn one. Each part of a backup is written and listed
 * by the process that owns it; the list of the whole names the lists of the parts.
 *
 *   MANIFEST   "zoneseal-backup 1", "time SECONDS", any number of "note TEXT" and
 *              "file OCTETS CRC-32C NAME", and the line "crc32c XXXXXXXX" of base/fs.h
 *
 * Names are relative to the directory, without "." and "..", of printable characters. A file named
 * .../MANIFEST is the list of its own directory. One thread at a time.
 */
#ifndef ZONESEAL_BASE_MANIFEST_H
#define ZONESEAL_BASE_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/clk.h"

#define MANIFEST_NAME "MANIFEST"
#define MANIFEST_PATH_MAX 4096
/* Stands beside the list's place until that is written: a copy that was cut short is seen for what it is. */
#define BACKUP_INCOMPLETE "BACKUP-INCOMPLETE"
/* Path of a directory that is open: descriptors are handed over, names may not be walked by the receiver. */
#define MANIFEST_FD_PATH "/proc/self/fd/%d"

struct manifest;
/* dir: an existing directory. NULL when out of memory. */
struct manifest *manifest_new(const char *dir);
void manifest_free(struct manifest *m); /* NULL is legal; an unsaved list is nowhere */
const char *manifest_dir(const struct manifest *m);
uint64_t manifest_octets(const struct manifest *m);
uint64_t manifest_files(const struct manifest *m);
/* Makes a directory and those above it, 0700; those that are there are left as they are. */
int manifest_mkdir(struct manifest *m, const char *name);
/* A new file of these octets, 0600; not synced by itself. ZS_EEXIST. */
int manifest_write(struct manifest *m, const char *name, const void *data, size_t len);
/* As manifest_write, with the line "crc32c XXXXXXXX" behind the text. */
int manifest_write_checked(struct manifest *m, const char *name, const char *text, size_t len);
/* A file that stands there already: read once for its checksum. tick: non-zero ends it and is the answer. */
typedef int (*manifest_tick)(void *ctx);
int manifest_add(struct manifest *m, const char *name, manifest_tick tick, void *ctx);
int manifest_note(struct manifest *m, const char *text); /* what does not fit in a line is cut */
/* Everything of the file system becomes durable, then the list is written, durable too. */
int manifest_save(struct manifest *m, wall_t now);

struct manifest_report {
	uint64_t files, octets;
	int64_t time;        /* of the list of the whole */
	char what[512];      /* of an error: which file, and what is wrong with it */
};
/*
 * Reads all files of the list, and of the lists that it names. ZS_ENOENT: there is no list. ZS_EVERSION: of a
 * newer format. ZS_ECRC: something is missing, of another size or content.
 */
int manifest_check(const char *dir, manifest_tick tick, void *ctx, struct manifest_report *out);

#endif
