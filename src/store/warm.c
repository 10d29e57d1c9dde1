/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The live generation is read into memory before it is asked for, a piece at a time, and its pages are
 * mapped: a change of a large zone touches pages all over the file, and each that had to come from the disk
 * would cost more than everything else that is done for its record. They stay what they are, pages of a file:
 * the kernel takes them when it needs the room. Called by workers (app/warm.c).
 */
#include <errno.h>
#include <stdio.h>
#include <sys/mman.h>

#include "base/err.h"
#include "priv.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* LMDB does not say where its map is: it is the mapping that this address is in. NULL: who knows. */
static uint8_t *map_of(const void *within)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned long from, to, offset, at = (unsigned long)(uintptr_t)within;
	uint8_t *found = NULL;
	char line[4096 + 128]; /* a path and what stands in front of it */

	while (f && !found && fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %*s %lx", &from, &to, &offset) == 3 && from <= at && at < to &&
		    offset == 0)
			found = (uint8_t *)(uintptr_t)from;
	if (f)
		fclose(f);
	return found;
}

/* A handle is out: the map stays where it is. */
static int warm_piece(struct gen *g, struct kv *kv, size_t most, struct store_warmth *out)
{
	MDB_envinfo info;
	MDB_stat ms;
	struct kv_item it;
	size_t len;
	int rc = zs_from_mdb(mdb_env_info(g->env, &info));

	if (!rc)
		rc = zs_from_mdb(mdb_env_stat(g->env, &ms));
	if (!rc && !g->map_at && !(rc = kv_seek(kv, "", 0, &it)))
		g->map_at = map_of(it.val);
	if (rc)
		return rc;
	if (!g->map_at)
		return ZS_ENOENT;
	out->all = (info.me_last_pgno + 1) * ms.ms_psize;
	len = out->all - g->warm < most ? out->all - g->warm : most;
	if (len && madvise(g->map_at + g->warm, len, MADV_POPULATE_READ) && errno != EFAULT)
		return zs_from_errno(errno);
	g->warm += len; /* EFAULT: a page that cannot be read; who needs it will say so */
	out->warm = g->warm;
	return 0;
}

int store_warm(struct store *s, size_t most, struct store_warmth *out)
{
	struct snap *snap;
	struct kv *kv;
	int rc = store_snap(s, &snap);

	if (rc)
		return rc;
	rc = snap_kv(snap, &kv);
	if (!rc) {
		rc = warm_piece(snap_gen(snap), kv, most, out);
		kv_close(kv);
	}
	snap_unref(snap);
	return rc;
}
