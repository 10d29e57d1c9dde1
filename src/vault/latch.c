/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The latch file: checksummed text with the key store, the identity (inode, mtime, size) of the PIN file, how
 * often that PIN was handed over without an answer, and whether it was refused. The order is everything: the
 * latch is on the disk before the PIN leaves this process, so that neither a crash nor a restart makes a
 * second attempt with a wrong PIN. Called by manage.c.
 *
 * A process that died between the latch and the answer says nothing about the PIN: such a latch is taken over
 * once. Twice in a row may be the login itself that kills, and three wrong PINs lock most tokens.
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

#define TRIES_MAX 2

/* The lines that name a PIN, without its fate; the length. */
static size_t latch_text(const char *keystore, const struct stat *st, char *dst, size_t cap)
{
	int n = snprintf(dst, cap,
			 "zoneseal-latch 2\nkeystore %s\ninode %llu\nmtime %lld.%09ld\nsize %lld\n", keystore,
			 (unsigned long long)st->st_ino, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
			 (long long)st->st_size);

	return (size_t)n < cap ? (size_t)n : cap - 1;
}

static int latch_write(const char *path, const char *head, size_t len, unsigned tries, bool refused)
{
	char text[LATCH_MAX];
	int n = snprintf(text, sizeof(text), "%.*stries %u\nrefused %s\n", (int)len, head, tries,
			 refused ? "yes" : "no");

	return fs_replace_checked(path, text, (size_t)n, 0600);
}

/* How often this PIN was handed over already without an answer; ZS_EPIN when its latch stands, or nobody can
 * tell. */
static int latch_open(const char *path, const char *head, size_t head_len, unsigned *tries)
{
	char *text = NULL, end = 0;
	size_t len = 0;
	int rc = fs_read_checked(path, LATCH_MAX, &text, &len);

	*tries = 0;
	if (rc == ZS_ENOENT)
		return 0;
	/* a latch that cannot be read stands: only `hsm retry` takes it away */
	if (rc)
		return ZS_EPIN;
	if (strncmp(text, "zoneseal-latch 2\n", 17) != 0)
		rc = ZS_EPIN;
	else if (strncmp(text, head, head_len) == 0 &&
		 (sscanf(text + head_len, "tries %1u\nrefused no%c", tries, &end) != 2 || end != '\n' ||
		  *tries >= TRIES_MAX))
		rc = ZS_EPIN;
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

int latch_arm(const char *latch_path, const char *keystore, const char *pin_file, char **pin, size_t *pin_len,
	      unsigned *taken_over)
{
	char head[512], *p = NULL;
	size_t len = 0, n;
	unsigned tries = 0;
	struct stat st;
	int rc;

	if (!pin_file || !*pin_file)
		return ZS_ENOENT;
	rc = read_pin(pin_file, &st, &p, &len);
	if (rc)
		return rc;
	n = latch_text(keystore, &st, head, sizeof(head));
	rc = latch_open(latch_path, head, n, &tries);
	if (!rc)
		rc = latch_write(latch_path, head, n, tries + 1, false);
	if (rc) {
		fs_free_secret(p, len);
		return rc;
	}
	*pin = p;
	*pin_len = len;
	*taken_over = tries;
	return 0;
}

int latch_refuse(const char *latch_path)
{
	char *text = NULL, *fate;
	size_t len = 0;
	int rc = fs_read_checked(latch_path, LATCH_MAX, &text, &len);

	if (!rc)
		rc = (fate = strstr(text, "\ntries "))
			     ? latch_write(latch_path, text, (size_t)(fate + 1 - text), TRIES_MAX, true)
			     : ZS_EFORMAT;
	free(text);
	return rc;
}

int latch_clear(const char *latch_path)
{
	return fs_remove(latch_path);
}
