/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A rollback that is too large for one version, or touches RRsets with duplicates by canonical RDATA, which
 * a difference cannot tell apart: the older content as a whole, made from what is stored and
 * from history, goes into the sort as a transfer's records do, and from there on the way of any transfer
 * (build.c). Shrink and churn guards are off. The difference that is read may be large and come to little: so
 * a change is tried first when nothing but reading it was too much (undo.c). A failure that may pass leaves
 * the order where it is; it is carried out by the next try, after a restart too.
 */
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "store/history.h"
#include "version.h"

static int open_base(void *ctx, struct kv **out)
{
	return snap_kv(((struct build_job *)ctx)->base, out);
}

/* A record as it was received once; the input table judges it as it is today. */
static int on_record(void *ctx, const struct rr *rr)
{
	struct build_job *b = ctx;
	int err;

	if (atomic_load(&b->cancelled))
		return ZS_ECANCEL;
	if (rr->type == T_SOA)
		return transfer_take_soa(b->in, rr);
	err = transfer_take(b->in, rr);
	if (err == ZS_EHELD)
		snprintf(b->reason, sizeof(b->reason), "%s", intake_reason_text(b->in->intake.discard));
	return err;
}

/* Both have the same SOA. */
static int soa_of_today(struct build_job *b)
{
	struct zmeta m;
	struct rr soa = { .owner = b->zone->wire, .type = T_SOA, .class = CLASS_IN };
	int err = zmeta_get(b->base_kv, &m);

	if (err)
		return err;
	soa.ttl = m.upstream_soa_ttl;
	soa.rdata = m.upstream_soa;
	soa.rdlen = m.upstream_soa_len;
	return transfer_take_soa(b->in, &soa);
}

static void explain(struct build_job *b, int err)
{
	if (err == ZS_ENOENT)
		undo_no_way(b->reason, sizeof(b->reason), b->undo);
	else if (err == ZS_ELIMIT)
		snprintf(b->reason, sizeof(b->reason),
			 "a limit is passed: over %u versions, or `limits: bytes`", HISTORY_SPAN_MAX);
	else
		snprintf(b->reason, sizeof(b->reason), "what is stored and its history do not fit");
}

int build_undo_input(struct build_job *b)
{
	struct transfer *t = b->in;
	int err = b->base_kv ? undo_is_sound(b->base_kv) : ZS_ENOENT;

	if (!err)
		err = history_content(open_base, b, snap_version(b->base), b->undo, on_record, b);
	if (!err && !t->have_soa)
		err = soa_of_today(b);
	b->undone = err == ZS_EEXIST; /* a crash between the publication and the text of the orders */
	if (b->undone)
		return ZS_EHELD;
	if (err == ZS_ENOENT || err == ZS_ELIMIT || err == ZS_EFORMAT) {
		explain(b, err);
		err = ZS_EHELD;
	}
	b->dp.ttl = t->soa_ttl < t->soa_fields.minimum ? t->soa_ttl : t->soa_fields.minimum;
	return err;
}

/* --- on the loop ---------------------------------------------------------------------------------------- */

void build_undo(struct zone *z, bool as_change)
{
	struct transfer *t;

	if (zone_is_signed_policy(z) && !z->meta.is_signed) { /* keys are made for a transfer only */
		orders_rolled_back(z, z->orders.rollback,
				   "the zone is to be signed, and has no signed version yet");
		zone_event(z, EV_HELD);
		return;
	}
	t = transfer_new(z);
	if (!t) {
		z->local_trouble = true;
		zone_event(z, EV_FAILED);
		return;
	}
	ixfr_free(t->ixfr);
	t->ixfr = NULL;
	log_msg(LL_INFO, "build", z->name, "event=rollback version=%llu: the zone as it was is gathered",
		(unsigned long long)z->orders.rollback);
	build_begin(z, t, z->orders.rollback, as_change);
}

bool build_undo_failed(struct build_job *b)
{
	if (!b->undo || (b->err != ZS_EHELD && b->err != ZS_EBADSIG))
		return false;
	orders_rolled_back(b->zone, b->undo, b->undone ? NULL :
			   b->err == ZS_EHELD ? b->reason : gating_bad_signature());
	return true;
}
