/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The latch file: checksummed text with the key store and the identity (inode, mtime, size) of the PIN file.
 * The order is everything: the latch is on the disk before the PIN leaves this process, so that neither a
 * crash nor a restart makes a second attempt with a wrong PIN. Called by manage.c.
 */
#include "latch.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"

#define PIN_MAX 256
#define LATCH_MAX 4096

static void latch_text(const char *keystore, const struct stat *st, char *dst, size_t cap)
{
	snprintf(dst, cap, "zoneseal-latch 1\nkeystore %s\ninode %llu\nmtime %lld.%09ld\nsize %lld\n",
		 keystore, (unsigned long long)st->st_ino, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
		 (long long)st->st_size);
}

/* 0 when no latch stands for this text; ZS_EPIN when one does or nobody can tell. */
static int latch_open(const char *path, const char *want)
{
	char *text = NULL;
	size_t len = 0;
	int rc = fs_read_checked(path, LATCH_MAX, &text, &len);

	if (rc == ZS_ENOENT)
		return 0;
	/* a latch that cannot be read stands: only `hsm retry` takes it away */
	if (rc)
		return ZS_EPIN;
	rc = strcmp(text, want) == 0 || strncmp(text, "zoneseal-latch 1\n", 17) != 0 ? ZS_EPIN : 0;
	free(text);
	return rc;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_size == b->st_size && a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
	       a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* The PIN is what the file holds, less one end of line. */
static int read_pin(const char *pin_file, struct stat *st, char **pin, size_t *len)
{
	struct stat after;
	int rc;

	if (stat(pin_file, st) != 0)
		return zs_from_errno(errno);
	rc = fs_read_secret(pin_file, PIN_MAX, pin, len);
	if (rc)
		return rc;
	/* replaced meanwhile: the latch would be for another file than the one that was read */
	if (stat(pin_file, &after) != 0 || !same_file(st, &after))
		rc = ZS_EAGAIN;
	while (*len && ((*pin)[*len - 1] == '\n' || (*pin)[*len - 1] == '\r'))
		(*pin)[--*len] = 0;
	if (!rc && (!*len || memchr(*pin, 0, *len)))
		rc = ZS_EFORMAT;
	if (rc) {
		fs_free_secret(*pin, *len);
		*pin = NULL;
	}
	return rc;
}

int latch_arm(const char *latch_path, const char *keystore, const char *pin_file, char **pin, size_t *pin_len)
{
	char text[512], *p = NULL;
	size_t len = 0;
	struct stat st;
	int rc;

	if (!pin_file || !*pin_file)
		return ZS_ENOENT;
	rc = read_pin(pin_file, &st, &p, &len);
	if (rc)
		return rc;
	latch_text(keystore, &st, text, sizeof(text));
	rc = latch_open(latch_path, text);
	if (!rc)
		rc = fs_replace_checked(latch_path, text, strlen(text), 0600);
	if (rc) {
		fs_free_secret(p, len);
		return rc;
	}
	*pin = p;
	*pin_len = len;
	return 0;
}

int latch_clear(const char *latch_path)
{
	return fs_remove(latch_path);
}
