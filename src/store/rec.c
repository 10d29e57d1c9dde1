/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store's own records in a generation, in the table TAB_STORE that no handle shows:
 *
 *   01 "format"   u8 format, u32 CRC, u8 state, u8 length, zone in wire form
 *   01 "version"  u8 format, u32 CRC, u64 version
 *
 * The CRC covers the format octet and what follows the CRC. Format octet and CRC stand there in every format,
 * past and to come, so that a newer file is told from a damaged one. Called by gen.c, commit.c and build.c.
 */
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "priv.h"

#define REC_HEAD 5

static const uint8_t key_format[] = { TAB_STORE, 'f', 'o', 'r', 'm', 'a', 't' };
static const uint8_t key_version[] = { TAB_STORE, 'v', 'e', 'r', 's', 'i', 'o', 'n' };

static uint32_t rec_crc(const uint8_t *rec, size_t len)
{
	return crc32c(crc32c(0, rec, 1), rec + REC_HEAD, len - REC_HEAD);
}

static int rec_put(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen, uint8_t *rec, size_t len)
{
	MDB_val k = { .mv_size = klen, .mv_data = (void *)(uintptr_t)key };
	MDB_val v = { .mv_size = len, .mv_data = rec };

	rec[0] = STORE_FORMAT;
	put_be32(rec + 1, rec_crc(rec, len));
	return mdb_put(txn, dbi, &k, &v, 0);
}

/* The record behind its head. ZS_ECRC also for a missing one: every generation has both. */
static int rec_get(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen, struct rd *out)
{
	MDB_val k = { .mv_size = klen, .mv_data = (void *)(uintptr_t)key };
	MDB_val v;
	const uint8_t *p;
	int rc = mdb_get(txn, dbi, &k, &v);

	if (rc)
		return rc == MDB_NOTFOUND ? ZS_ECRC : zs_from_mdb(rc);
	p = v.mv_data;
	if (v.mv_size < REC_HEAD || be32(p + 1) != rec_crc(p, v.mv_size) || p[0] == 0)
		return ZS_ECRC;
	if (p[0] > STORE_FORMAT)
		return ZS_EVERSION;
	*out = rd_init(p + REC_HEAD, v.mv_size - REC_HEAD);
	return 0;
}

int rec_put_format(MDB_txn *txn, MDB_dbi dbi, const struct store *s, enum rec_state state)
{
	uint8_t rec[REC_HEAD + 2 + 255];

	rec[REC_HEAD] = (uint8_t)state;
	rec[REC_HEAD + 1] = s->zone_len;
	memcpy(rec + REC_HEAD + 2, s->zone, s->zone_len);
	return rec_put(txn, dbi, key_format, sizeof key_format, rec, REC_HEAD + 2u + s->zone_len);
}

int rec_put_version(MDB_txn *txn, MDB_dbi dbi, uint64_t version)
{
	uint8_t rec[REC_HEAD + 8];

	put_be64(rec + REC_HEAD, version);
	return rec_put(txn, dbi, key_version, sizeof key_version, rec, sizeof rec);
}

int rec_get_version(MDB_txn *txn, MDB_dbi dbi, uint64_t *version)
{
	struct rd r;
	uint64_t v;
	int rc = rec_get(txn, dbi, key_version, sizeof key_version, &r);

	if (rc)
		return rc;
	v = rd_u64(&r);
	if (rd_done(&r))
		return ZS_ECRC;
	*version = v;
	return 0;
}

int rec_check_format(MDB_txn *txn, MDB_dbi dbi, const struct store *s, enum rec_state *state)
{
	struct rd r;
	const uint8_t *zone;
	uint8_t st, len;
	int rc = rec_get(txn, dbi, key_format, sizeof key_format, &r);

	if (rc)
		return rc;
	st = rd_u8(&r);
	len = rd_u8(&r);
	zone = rd_bytes(&r, len);
	if (rd_done(&r) || (st != REC_BUILDING && st != REC_READY))
		return ZS_ECRC;
	if (len != s->zone_len || memcmp(zone, s->zone, len) != 0)
		return ZS_EEXIST;
	*state = st;
	return 0;
}
