/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Two ascending streams beside each other. The stored side stands on the first item that was not passed yet
 * (`have`); its octets stay borrowed until it moves, and writes go through another handle. Called while the
 * sorted input of a full transfer is read.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/merge.h"

#define RRVAL_FLAGS 5 /* where a stored value has its flags */

struct merge {
	struct kv *stored;
	struct change c;
	struct kv_item at;   /* stored, with have */
	bool have;
	bool started;
	uint8_t soa[KEY_MAX]; size_t soa_len;
	uint8_t last[KEY_MAX]; size_t last_len; /* of the input */
};

int merge_new(const uint8_t *zone, struct kv *stored, struct kv *after, struct merge **out)
{
	struct merge *m = calloc(1, sizeof(*m));
	uint8_t okey[OKEY_MAX];

	if (m == NULL)
		return ZS_ENOMEM;
	m->stored = stored;
	m->soa_len = key_record(m->soa, okey, name_okey(zone, okey), T_SOA);
	change_init(&m->c, zone, after, NULL);
	*out = m;
	return 0;
}

void merge_free(struct merge *m)
{
	if (m == NULL)
		return;
	change_end(&m->c);
	free(m);
}

/* What a step of the stored side answered. */
static int took(struct merge *m, int err)
{
	m->have = err == 0 && m->at.klen > 0 && m->at.key[0] == TAB_RECORDS;
	return err == ZS_ENOENT ? 0 : err;
}

static int start(struct merge *m)
{
	static const uint8_t first = TAB_RECORDS;

	if (m->started)
		return 0;
	m->started = true;
	return took(m, kv_seek(m->stored, &first, 1, &m->at));
}

static int step(struct merge *m)
{
	return took(m, kv_next(m->stored, &m->at));
}

/* The apex SOA and what zoneseal made are not upstream's. The flag counts only under a CRC that is right. */
static int is_kept(const struct merge *m, const struct kv_item *it, bool *kept)
{
	struct rrval v;
	int err;

	*kept = it->klen == m->soa_len && memcmp(it->key, m->soa, m->soa_len) == 0;
	if (*kept || it->vlen <= RRVAL_FLAGS || !(it->val[RRVAL_FLAGS] & RRV_OURS))
		return 0;
	err = rrval_open(&v, it->val, it->vlen);
	*kept = err == 0;
	return err;
}

/* Deletes what is stored below the key; NULL: all the rest. */
static int drop_below(struct merge *m, const uint8_t *key, size_t klen)
{
	bool kept;
	int err = start(m);

	while (err == 0 && m->have && (key == NULL || okey_cmp(m->at.key, m->at.klen, key, klen) < 0)) {
		err = is_kept(m, &m->at, &kept);
		if (err == 0 && !kept)
			err = change_set(&m->c, m->at.key, m->at.klen, NULL, &m->at);
		if (err == 0)
			err = step(m);
	}
	return err;
}

int merge_set(struct merge *m, const uint8_t *key, size_t klen, const struct rrset *set)
{
	bool found, kept = false;
	int err;

	if (klen < 4 || klen > KEY_MAX || key[0] != TAB_RECORDS ||
	    (m->last_len > 0 && okey_cmp(m->last, m->last_len, key, klen) >= 0))
		return ZS_EINVAL;
	memcpy(m->last, key, klen);
	m->last_len = klen;
	if (set->flags & RRV_OURS || (klen == m->soa_len && memcmp(key, m->soa, klen) == 0))
		return 0;
	err = drop_below(m, key, klen);
	if (err != 0)
		return err;
	found = m->have && m->at.klen == klen && memcmp(m->at.key, key, klen) == 0;
	if (found)
		err = is_kept(m, &m->at, &kept);
	if (err == 0 && !kept)
		err = change_set(&m->c, key, klen, set, found ? &m->at : NULL);
	return err == 0 && found ? step(m) : err;
}

void merge_sums(const struct merge *m, struct change_sums *sums)
{
	*sums = m->c.sums;
}

int merge_end(struct merge *m, struct change_sums *sums)
{
	int err = drop_below(m, NULL, 0);

	if (err == 0)
		*sums = m->c.sums;
	return err;
}
