/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is due: the expiry index is read from its beginning, group by group, while earlier groups are with the
 * vault. A routine version takes along what falls due within the next refresh/10, and closes when a minute
 * has passed since the last one, when its estimate of pages is full, or at once when an expiry is near.
 */
#include <string.h>
#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "build.h"
#include "version.h"

#define PAGES_AN_OWNER 4
#define ROUTINE_SETS (VIEW_PAGES_MAX / PAGES_AN_OWNER / 2) /* RRsets of one version */

/* From today on a record of the chain has today's TTL (RFC 9077 4). */
static void chain_ttl(struct version_job *j, struct rrset *set)
{
	struct soa soa;
	uint32_t ttl = j->old.upstream_soa_ttl;

	if (soa_read(j->old.upstream_soa, j->old.upstream_soa_len, &soa) != 0)
		return;
	if (soa.minimum < ttl)
		ttl = soa.minimum;
	set->ttl = ttl;
	for (uint32_t i = 0; i < set->nrr; i++)
		set->rr[i].ttl = ttl;
}

static int add_due(struct version_job *j, struct kv *kv, struct signing *g, const uint8_t *key, size_t klen,
		   int64_t within)
{
	struct rrset old, set;
	int err = version_load(kv, j->zone->wire, key, klen, g->mem, &old);

	if (err || old.type == T_SOA) /* that one is signed anyway, with its new serial */
		return err;
	set = old;
	set.rr = arena_dup(g->mem, old.rr, old.nrr * sizeof(*old.rr));
	if (!set.rr)
		return ZS_ENOMEM;
	if (key[0] == TAB_DENIAL)
		chain_ttl(j, &set);
	return signing_add(g, key, klen, &set, &old, true, within);
}

/* What the sweep found: nothing of its signatures is kept. */
static int fill_again(struct version_job *j, struct kv *reader, struct signing *g)
{
	int err = 0;

	for (; !err && j->again_at < j->nagain && g->items < j->sets.group_items; j->again_at++) {
		const struct sweep_key *k = &j->again[j->again_at];

		err = add_due(j, reader, g, k->key, k->len, INT64_MAX / 4);
		if (err == ZS_ENOENT) /* gone meanwhile */
			err = 0;
		j->taken++;
	}
	return err;
}

/* May this one still come into this version? */
static bool is_open(const struct version_job *j, int64_t expires)
{
	int64_t left = expires - j->now.s;

	if (j->taken >= ROUTINE_SETS || left > j->pol.refresh + j->pol.refresh / 10)
		return false;
	if (j->taken == 0)
		return left <= j->pol.refresh;
	/* nearly late: what is signed goes out at once, the rest with the next version */
	if (left <= j->pol.refresh / 4)
		return j->taken < j->sets.group_items * j->sets.group_most;
	return mono_diff(clk_mono(), j->close_at) < 0;
}

/* The value of an index entry covers its key's octets. */
static bool is_intact(const struct kv_item *it)
{
	return it->vlen >= 5 && it->vlen - 5 <= KEY_MAX && it->val[0] == EXPIRY_FORMAT &&
	       be32(it->val + 1) == crc32c(0, it->val + 5, it->vlen - 5);
}

static int fill(struct version_job *j, struct kv *index, struct kv *reader, struct signing *g)
{
	uint8_t key[KEY_MAX], due[KEY_MAX];
	struct kv_item it;
	size_t klen = key_expiry(key, (uint64_t)j->cursor_time, j->cursor_seq);
	int err;

	for (err = kv_seek(index, key, klen, &it); !err && g->items < j->sets.group_items;
	     err = kv_next(index, &it)) {
		size_t dlen;

		if (it.klen != klen || it.key[0] != TAB_EXPIRY || !is_open(j, (int64_t)be64(it.key + 1)))
			break;
		if (!is_intact(&it))
			return ZS_ECRC;
		dlen = it.vlen - 5;
		j->cursor_time = (int64_t)be64(it.key + 1);
		j->cursor_seq = be64(it.key + 9) + 1;
		memcpy(due, it.val + 5, dlen);
		if ((err = add_due(j, reader, g, due, dlen, j->pol.refresh + j->pol.refresh / 10)))
			return err == ZS_ENOENT ? ZS_ECRC : err;
		j->taken++;
	}
	return err == ZS_ENOENT ? 0 : err;
}

int routine_feed(void *arg, struct signing *g)
{
	struct version_job *j = arg;
	struct snap *snap = NULL;
	struct kv *index = NULL, *reader = NULL;
	size_t before = j->taken;
	int err = atomic_load(&j->cancelled) ? ZS_ECANCEL : store_snap(j->zone->store, &snap);

	if (!err)
		err = snap_kv(snap, &index);
	if (!err)
		err = snap_kv(snap, &reader);
	if (!err)
		err = fill_again(j, reader, g);
	if (!err)
		err = fill(j, index, reader, g);
	kv_close(index);
	kv_close(reader);
	snap_unref(snap);
	j->damaged |= damage_is(err);
	return err ? err : j->taken == before ? ZS_ENOENT : 0;
}

bool routine_still_fits(struct kv *kv, const struct signing_item *it)
{
	struct kv_item now;
	struct rrval v;

	return kv_get(kv, it->key, it->klen, &now) == 0 && rrval_open(&v, now.val, now.vlen) == 0 &&
	       v.nsig && v.exp_time == it->old_time && v.exp_seq == it->old_seq;
}
