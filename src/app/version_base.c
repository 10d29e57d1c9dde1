/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a version takes from the one below it: a stored RRset, the SOA that gets another serial, and how many
 * signatures are so many that their ends are spread. Called by version.c, change.c, routine.c and overtake.c,
 * on workers.
 */
#include "base/err.h"
#include "build.h"
#include "version.h"

int version_load(struct kv *kv, const uint8_t *zone, const uint8_t *key, size_t klen, struct arena *mem,
		 struct rrset *set)
{
	uint8_t *owner = arena_alloc(mem, NAME_MAX_WIRE);
	const uint8_t *okey, *copy;
	size_t olen, nlen;
	uint16_t type;
	struct kv_item it;
	int err = owner ? kv_get(kv, key, klen, &it) : ZS_ENOMEM;

	if (err)
		return err;
	copy = arena_dup(mem, it.val, it.vlen);
	if (!copy)
		return ZS_ENOMEM;
	if (key[0] == TAB_RECORDS) {
		if ((err = key_record_split(key, klen, &okey, &olen, &type)) ||
		    (err = name_from_okey(okey, olen, owner, &nlen)))
			return err;
	} else if (key[1] == 0) {
		type = T_NSEC;
		if ((err = name_from_okey(key + 2, klen - 2, owner, &nlen)))
			return err;
	} else {
		type = T_NSEC3;
		if ((err = nsec3_owner(key + 2, zone, owner)))
			return err;
	}
	return rrset_decode(set, type, owner, copy, it.vlen, mem);
}

/* The stored SOA with another serial. */
static int soa_stored(struct version_job *j, const struct rrset *old, struct arena *mem, struct rrset *set)
{
	uint8_t *rdata = arena_dup(mem, old->rr[0].data, old->rr[0].len);

	*set = *old;
	set->rr = arena_dup(mem, old->rr, sizeof(*old->rr));
	if (!set->rr || !rdata)
		return ZS_ENOMEM;
	soa_set_serial(rdata, set->rr[0].len, j->serial);
	set->rr[0].data = rdata;
	return 0;
}

/* A job that waits holds no snapshot: then it is the newest version that is read. */
int version_base(struct version_job *j, struct kv **out)
{
	struct snap *snap = NULL;
	int err;

	if (j->onto)
		return build_kv(j->onto->out, out);
	if (j->base)
		return snap_kv(j->base, out);
	err = store_snap(j->zone->store, &snap);
	if (!err)
		err = snap_kv(snap, out);
	snap_unref(snap);
	return err;
}

int version_read_meta(struct version_job *j)
{
	struct kv *kv = NULL;
	int err = version_base(j, &kv);

	if (!err)
		err = zmeta_get(kv, &j->old);
	kv_close(kv);
	return err;
}

/* The SOA in a set of its own: it is made again when the serial has to move on. */
int version_soa(struct version_job *j)
{
	uint8_t key[KEY_MAX], okey[OKEY_MAX];
	size_t klen = key_record(key, okey, name_okey(j->zone->wire, okey), T_SOA);
	struct signing *g;
	struct kv *kv = NULL;
	struct rrset old, set;
	int err;

	signset_clear(&j->soa);
	g = signset_room(&j->soa);
	err = g ? version_base(j, &kv) : ZS_ENOMEM;
	if (!err)
		err = version_load(kv, j->zone->wire, key, klen, g->mem, &old);
	kv_close(kv);
	if (!err)
		err = j->kind == VERSION_CHANGE
			      ? transfer_soa(j->in, j->serial, j->clamp ? j->pol.refresh : 0, g->mem, &set)
			      : soa_stored(j, &old, g->mem, &set);
	return err ? err : signing_add(g, key, klen, &set, &old, j->old.is_signed, INT64_MAX / 4);
}

/* More than so many signatures, and than a tenth of the zone: their ends are spread (RFC 6781 4.4.2.2). */
bool version_spreads(uint64_t made, uint64_t all)
{
	return made > SPREAD_SIGNATURES && made > all / 10;
}

void version_spread(struct version_job *j)
{
	uint64_t made = 0;

	for (const struct signing *g = j->sets.head; g; g = g->link)
		made += g->nreq;
	if (!version_spreads(made, j->old.signatures))
		return;
	j->signer.spread = true;
	for (struct signing *g = j->sets.head; g; g = g->link)
		signing_spread(g);
}
