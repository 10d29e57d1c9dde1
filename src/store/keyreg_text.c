/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The key register as a text, for a backup, and back:
 *
 *   zoneseal-register 1
 *   key ID keystore NAME zone HEX role N algorithm N created N
 *   crc32c XXXXXXXX
 *
 * ID and zone (wire form) are in hex. Called for a backup and, by keyreg.c, when a register is made where
 * such a text stands. Pure but for the list of the backup.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/manifest.h"
#include "base/text.h"
#include "priv.h"

#define HEAD "zoneseal-register 1\n"
#define TEXT_FILE "keys.txt"
#define NAME_HEX (2 * 255)

static int put_line(void *ctx, const struct keyreg_entry *e)
{
	char id[33], zone[NAME_HEX + 1], line[NAME_HEX + 256];
	struct wr *w = ctx;
	int n;

	text_hex(id, e->id, sizeof e->id);
	text_hex(zone, e->zone, e->zone_len);
	n = snprintf(line, sizeof line, "key %s keystore %s zone %s role %u algorithm %u created %lld\n", id,
		     e->keystore, zone, e->role, e->algorithm, (long long)e->created);
	wr_bytes(w, line, (size_t)n);
	return w->err;
}

int keyreg_backup(struct keyreg *r, struct manifest *m)
{
	struct wr w = wr_growing(KEYREG_TEXT_MAX);
	int rc;

	wr_bytes(&w, HEAD, strlen(HEAD));
	rc = keyreg_each(r, put_line, &w);
	if (!rc)
		rc = w.err ? w.err : manifest_write_checked(m, TEXT_FILE, (const char *)w.p, w.len);
	wr_free(&w);
	return rc;
}

static int line_parse(const char *line, struct keyreg_entry *e)
{
	char id[34], zone[NAME_HEX + 2];
	unsigned role, alg;
	long long created;
	size_t len;
	int at = 0;

	memset(e, 0, sizeof(*e));
	if (sscanf(line, "key %33s keystore %63s zone %511s role %3u algorithm %3u created %20lld%n", id,
		   e->keystore, zone, &role, &alg, &created, &at) != 6 || line[at])
		return ZS_EFORMAT;
	len = strlen(zone) / 2;
	if (role > 255 || alg > 255 || len == 0 || len > 255 || text_unhex(e->id, sizeof e->id, id) ||
	    text_unhex(e->zone, len, zone))
		return ZS_EFORMAT;
	e->zone_len = (uint8_t)len;
	e->role = (uint8_t)role;
	e->algorithm = (uint8_t)alg;
	e->created = created;
	return 0;
}

int keyreg_text_each(char *text, int (*fn)(void *ctx, const struct keyreg_entry *e), void *ctx)
{
	struct keyreg_entry e;
	char *p = text + strlen(HEAD), *end;
	int rc = strncmp(text, HEAD, strlen(HEAD)) == 0 ? 0 : ZS_EFORMAT;

	while (!rc && (end = strchr(p, '\n'))) {
		*end = '\0';
		rc = line_parse(p, &e);
		if (!rc)
			rc = fn(ctx, &e);
		p = end + 1;
	}
	return rc;
}
