/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input of a rollback: upstream's records that lead from the live version back to an older one, taken
 * from history and handed to the recipe as if a primary had sent them as a difference. Serials in that
 * difference are made up: the true SOA is the older one, and going back is what is ordered. Called on a
 * worker while a version is prepared.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "dns/ixfr.h"
#include "store/history.h"
#include "version.h"

struct undo {
	struct ixfr *x;
	uint8_t rdata[1024];
	struct rr soa;          /* with rdata */
};

/* 0: what stands now; 1: what is to be. */
static int add_soa(struct undo *u, uint32_t serial)
{
	soa_set_serial(u->rdata, u->soa.rdlen, serial);
	return ixfr_add(u->x, &u->soa);
}

/* The SOA that comes: the first of the added records, or the one that stands, where both contents have it. */
static int take_soa(struct version_job *j, struct diff *d, struct undo *u)
{
	const struct zmeta *m = &j->old;
	struct transfer *t = j->in;
	struct rr rr;
	bool added = false;
	int err;

	while (!(err = diff_next(d, &rr, &added)) && !added)
		;
	if (err && err != ZS_ENOENT)
		return err;
	if (err || rr.type != T_SOA)
		rr = (struct rr){ .owner = j->zone->wire, .type = T_SOA, .class = CLASS_IN,
				  .ttl = m->upstream_soa_ttl, .rdata = m->upstream_soa,
				  .rdlen = m->upstream_soa_len };
	if (rr.rdlen > sizeof(u->rdata))
		return ZS_EFORMAT;
	err = transfer_take_soa(t, &rr);
	if (err)
		return err;
	memcpy(u->rdata, rr.rdata, rr.rdlen);
	u->soa = (struct rr){ .owner = t->soa_owner, .type = T_SOA, .class = CLASS_IN, .ttl = rr.ttl,
			      .rdata = u->rdata, .rdlen = rr.rdlen };
	return 0;
}

static int feed(struct diff *d, struct undo *u)
{
	struct rr rr;
	bool added = false, was_added = false;
	int err = add_soa(u, 1);

	if (!err)
		err = add_soa(u, 0);
	while (!err && !(err = diff_next(d, &rr, &added))) {
		if (added && !was_added)
			err = add_soa(u, 1);
		was_added = added;
		if (!err && rr.type != T_SOA)
			err = ixfr_add(u->x, &rr);
	}
	if (err == ZS_ENOENT)
		err = was_added ? 0 : add_soa(u, 1);
	return err ? err : add_soa(u, 1);
}

static int take(struct version_job *j, struct diff *d)
{
	static const struct ixfr_limits lim = { .octets = IXFR_OCTETS, .work = IXFR_WORK, .exact = true };
	struct undo u = { .x = NULL };
	int err = take_soa(j, d, &u);

	if (!err)
		err = diff_rewind(d);
	if (!err)
		err = ixfr_new(j->zone->wire, 0, &lim, &u.x);
	if (!err)
		err = feed(d, &u);
	if (!err && !ixfr_is_complete(u.x))
		err = ZS_EFORMAT;
	if (err) {
		ixfr_free(u.x);
		return err;
	}
	ixfr_free(j->in->ixfr);
	j->in->ixfr = u.x;
	return 0;
}

/* Everything between the two versions cancels: after a crash between commit and the text of the orders, or
 * when it is ordered twice. */
static bool is_same(struct diff *d, int *err)
{
	struct rr rr;
	bool added;

	*err = diff_next(d, &rr, &added);
	if (*err && *err != ZS_ENOENT)
		return false;
	if (*err == ZS_ENOENT) {
		*err = 0;
		return true;
	}
	*err = diff_rewind(d);
	return false;
}

void undo_no_way(char *dst, size_t cap, uint64_t version)
{
	snprintf(dst, cap, "version %llu is not in the history, or upstream's content was the same",
		 (unsigned long long)version);
}

static int note_upstream(void *ctx, const struct history_head *h)
{
	*(uint32_t *)ctx = h->to_upstream;
	return 1;
}

/* A version that history was left out of (a full disk) may have changed what the differences speak of. */
int undo_is_sound(struct kv *kv)
{
	struct zmeta m;
	uint32_t last = 0;
	int err = zmeta_get(kv, &m);

	if (!err)
		err = history_each(kv, HISTORY_UPSTREAM, true, note_upstream, &last);
	if (err < 0)
		return err;
	return err == 1 && last == m.upstream_serial ? 0 : ZS_ENOENT;
}

int undo_prepare(struct version_job *j)
{
	struct diff *d = NULL;
	struct kv *kv = NULL;
	int err = snap_kv(j->base, &kv);

	if (err)
		return err;
	err = undo_is_sound(kv);
	if (!err)
		err = userdiff_open(kv, snap_version(j->base), j->undo, IXFR_OCTETS, &d);
	if (err)
		kv_close(kv);
	else
		j->undone = is_same(d, &err);
	if (!err && !j->undone)
		err = take(j, d);
	diff_close(d);
	if (j->undone)
		return ZS_EHELD;
	j->too_large = j->ungathered = err == ZS_ELIMIT;
	if (err != ZS_ENOENT)
		return err;
	undo_no_way(j->reason, sizeof(j->reason), j->undo);
	return ZS_EHELD;
}
