/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files: bounded reads, and the one way in which small files are replaced: write beside, fsync, rename,
 * fsync of the directory. A failed fsync is never retried: the temporary file is removed and the error
 * returned; only when the last step fails is the new file in place, but perhaps not for good. Paths are
 * absolute or relative to the process; errors are zs_err, errno is left set.
 */
#ifndef ZONESEAL_BASE_FS_H
#define ZONESEAL_BASE_FS_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a whole file of at most max octets into a heap buffer with a NUL behind it. ZS_ENOENT, ZS_ELIMIT,
 * ZS_EIO, ZS_EPERM. */
int fs_read(const char *path, size_t max, char **out, size_t *len);
/* As fs_read; ZS_EPERM also when group or others have any right on the file, or when it is no regular file
 * (config secrets, PINs, keys). */
int fs_read_secret(const char *path, size_t max, char **out, size_t *len);
/* Atomic and durable replacement, mode as given. */
int fs_replace(const char *path, const void *data, size_t len, mode_t mode);
/* As fs_replace, with a line "crc32c XXXXXXXX" (lower case) appended to text, which ends with a newline
 * itself unless it is empty (else ZS_EINVAL); and its reader, which checks and cuts that line off: ZS_ECRC;
 * max is that of the text alone. For key state, keymap, register exports. */
int fs_replace_checked(const char *path, const char *text, size_t len, mode_t mode);
int fs_read_checked(const char *path, size_t max, char **out, size_t *len);
/* Removes what replacements that a crash cut short left in a directory (names ending in ".tmp-" and six
 * characters). For the owner of the directory, at start, before anything else works in it. */
int fs_sweep_tmp(const char *dir);
int fs_mkdir_p(const char *path, mode_t mode); /* every missing directory, each synced into its parent */
int fs_sync_dir(const char *path);
int fs_remove(const char *path); /* unlink and sync of the directory; a missing file is success */
int fs_free_bytes(const char *path, uint64_t *out); /* what an unprivileged user could still write */
/* True when the file system is a network one (NFS, CIFS, 9p, FUSE, ...), on which LMDB is unsafe. */
int fs_is_network(const char *path, int *out);
/* free() after the octets were cleared. NULL is legal. */
void fs_free_secret(char *p, size_t len);

#endif
