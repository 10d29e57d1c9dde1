/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What history says of a build: everything that the live generation knows goes along, with one step from what
 * that serves to what the build serves, so that secondaries follow by IXFR, and with what it changes of
 * upstream's records, so that it can be gone back over. Another chain is a gap, as is a step larger than the
 * zone or than `history` allows; after damage or findings of the sweep, and on a full disk, history begins
 * anew. The gate compares the step with both generations; where it is wrong, there is a gap instead: the
 * build itself is right. So is one beside a live generation that cannot be read. But a build that cannot be
 * read itself is not published: it is read whole when it is not clear whose the damage is. Called once by
 * publish_run(), on a worker, while no version can be committed.
 */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "store/history.h"

#define TICK_KEYS 1024

static int cancelled(void *ctx)
{
	return atomic_load(&((struct build_job *)ctx)->cancelled) ? ZS_ECANCEL : 0;
}

static bool same_chain(const struct zmeta *a, const struct zmeta *b)
{
	return a->is_signed == b->is_signed && a->denial == b->denial && a->opt_out == b->opt_out &&
	       a->nsec3_set == b->nsec3_set && a->nsec3_iterations == b->nsec3_iterations &&
	       a->salt_len == b->salt_len && memcmp(a->salt, b->salt, a->salt_len) == 0;
}

static void tell(const struct build_job *b, const struct history_carry *c)
{
	const struct history_head *h = &c->step[HISTORY_SERVED], *u = &c->step[HISTORY_UPSTREAM];

	log_msg(LL_INFO, "store", b->zone->name,
		"event=history served=%s removed=%u added=%u upstream=%s removed=%u added=%u",
		c->gap[HISTORY_SERVED] ? "gap" : "step", h->removed, h->added,
		c->gap[HISTORY_UPSTREAM] ? "gap" : "step", u->removed, u->added);
}

/* ZS_ENOENT: nothing was written; *gaps: nor was a step in those tables; *damaged: one of the two is. */
static int carry(struct build_job *b, struct snap *live, struct kv *from, struct kv *to, unsigned *gaps,
		 bool *damaged)
{
	struct zmeta old, now;
	struct history_soa was = { old.upstream_soa, 0, 0 }, is = { now.upstream_soa, 0, 0 };
	const struct conf_zone *conf = b->conf;
	struct history_carry c = { .from = from, .to = to, .build = b->out,
				   .tmp = store_dir_tmp(b->e->dir),
				   .version = snap_version(live),
				   .was = &was, .is = &is,
				   .lim = { conf->history_versions, conf->history_bytes, conf->history_bytes,
					    conf->history_age },
				   .tick = cancelled, .ctx = b };
	int err = zmeta_get(from, &old);

	if (!err)
		err = zmeta_get(to, &now);
	if (err)
		return err;
	was.len = old.upstream_soa_len;
	was.ttl = old.upstream_soa_ttl;
	is.len = now.upstream_soa_len;
	is.ttl = now.upstream_soa_ttl;
	c.from_upstream = old.upstream_serial;
	c.to_upstream = now.upstream_serial;
	c.time = now.published;
	c.records_max = now.records + now.signatures;
	c.same_chain = same_chain(&old, &now);
	err = history_carry(&c);
	*damaged = c.damaged;
	if (!err)
		tell(b, &c);
	else if (c.damaged)
		log_msg(LL_WARN, "store", b->zone->name, "event=history-lost: %s", zs_strerror(err));
	*gaps = (c.gap[HISTORY_SERVED] ? GATE_SERVED : 0) | (c.gap[HISTORY_UPSTREAM] ? GATE_UPSTREAM : 0);
	return c.damaged ? ZS_ENOENT : err;
}

/* --- the gate ------------------------------------------------------------------------------------------- */

static int open_live(void *ctx, struct kv **out)
{
	return snap_kv(ctx, out);
}

static int judge(struct build_job *b, struct snap *live, unsigned gaps, struct gate *g)
{
	struct kv *kv = NULL, *walk = NULL;
	int err = build_checkpoint(b->out);

	if (!err)
		err = build_kv(b->out, &kv);
	if (!err)
		err = build_kv(b->out, &walk);
	if (!err)
		err = gate_step_build(g, kv, walk, snap_version(live) + 1, gaps, cancelled, b);
	kv_close(walk);
	kv_close(kv);
	return err;
}

/* Damage of the build itself is no matter of its history. */
static int check(struct build_job *b, struct snap *live, unsigned gaps)
{
	struct gate_params p = { .zone = b->gating.zone, .zone_len = b->gating.p.zone_len,
				 .now = b->gating.p.now, .open_base = open_live, .base_ctx = live };
	struct gate *g = gate_new(&p);
	int err = g ? judge(b, live, gaps, g) : ZS_ENOMEM;

	if (!err && gate_total(g))
		gating_report(b->zone, g);
	if (!err && !gate_spares_candidate(g)) {
		b->spoilt = true;
	} else if (!err && gate_total(g)) {
		log_msg(LL_WARN, "store", b->zone->name,
			"event=gap serial=%u: the history of this build was vetoed; secondaries get AXFR",
			b->serial);
		err = history_disown(b->out, snap_version(live) + 1);
	}
	gate_free(g);
	return err;
}

/* What stood there was spoilt, perhaps after secondaries had it as it was meant: a difference that takes it
 * away would leave theirs behind. */
static bool begins_anew(const struct build_job *b)
{
	bool lost = b->no_base || b->doubted || store_is_damaged(b->zone->store);

	if (lost)
		log_msg(LL_INFO, "store", b->zone->name,
			"event=gap serial=%u: history begins anew, secondaries get AXFR", b->serial);
	return lost || store_is_tight(b->zone->store);
}

/* What only history has trouble with does not hold up the build. */
static bool spares_build(int err)
{
	return err && err != ZS_ECANCEL && err != ZS_ENOMEM && err != ZS_EIO && err != ZS_ENOSPC;
}

/* Everything in it, as far as the store itself can tell. */
static int read_whole(struct build_job *b, struct kv *kv)
{
	static const uint8_t first = 0;
	struct kv_item it;
	struct zmeta meta;
	struct rrval v;
	unsigned n = 0;
	int err = zmeta_get(kv, &meta);

	if (err == ZS_ENOENT) /* META: every version has it */
		err = ZS_ECRC;
	if (!err)
		err = kv_seek(kv, &first, 1, &it);
	while (!err) {
		if (++n % TICK_KEYS == 0)
			err = cancelled(b);
		if (!err && (it.key[0] == TAB_RECORDS || it.key[0] == TAB_DENIAL))
			err = rrval_open(&v, it.val, it.vlen);
		if (!err)
			err = kv_next(kv, &it);
	}
	return err == ZS_ENOENT ? 0 : err;
}

/* Damage was met, in the build or in the live generation. An error: it is the build's, or nobody knows. */
static int look_through(struct build_job *b)
{
	struct kv *kv = NULL;
	int err = build_checkpoint(b->out);

	if (!err)
		err = build_kv(b->out, &kv);
	if (!err)
		err = read_whole(b, kv);
	kv_close(kv);
	b->spoilt |= damage_is(err);
	return err;
}

static int refuse(const struct build_job *b)
{
	log_msg(LL_ERR, "store", b->zone->name, "event=spoilt serial=%u: what was built cannot be read back",
		b->serial);
	return ZS_ECRC;
}

int build_history(struct build_job *b)
{
	struct store *s = b->zone->store;
	struct snap *live = NULL;
	struct kv *from = NULL, *to = NULL;
	unsigned gaps;
	bool damaged = false;
	int err = begins_anew(b) ? ZS_ENOENT : store_snap(s, &live), look = 0;

	if (!err)
		err = snap_kv(live, &from);
	if (!err)
		err = build_kv(b->out, &to);
	if (!err)
		err = carry(b, live, from, to, &gaps, &damaged);
	kv_close(to);
	kv_close(from);
	if (!err)
		err = check(b, live, gaps);
	snap_unref(live);
	if (damaged || damage_is(err))
		look = look_through(b);
	if (b->spoilt || look)
		return b->spoilt ? refuse(b) : look;
	if (err == ZS_ENOENT)
		return 0;
	if (spares_build(err)) { /* damage, say; or no handle of a retired generation, which has few */
		log_msg(LL_WARN, "store", b->zone->name, "event=history-lost: %s", zs_strerror(err));
		err = history_disown(b->out, store_version(s) + 1);
	}
	return err;
}
