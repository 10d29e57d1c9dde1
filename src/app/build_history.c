/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What history says of a build: everything that the live generation knows goes along, with one step from what
 * that serves to what the build serves, so that secondaries follow by IXFR, and with what it changes of
 * upstream's records, so that it can be gone back over. Another chain is a gap, as is a step larger than the
 * zone or than `history` allows; after damage or findings of the sweep, and on a full disk, history begins
 * anew. Called once by publish_run(), on a worker, while no version can be committed.
 */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "store/history.h"

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

static int carry(struct build_job *b, struct snap *live, struct kv *from, struct kv *to)
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
	if (!err)
		tell(b, &c);
	else if (c.damaged)
		log_msg(LL_WARN, "store", b->zone->name, "event=history-lost: %s", zs_strerror(err));
	return c.damaged ? 0 : err;
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

int build_history(struct build_job *b)
{
	struct store *s = b->zone->store;
	struct snap *live = NULL;
	struct kv *from = NULL, *to = NULL;
	int err = begins_anew(b) ? ZS_ENOENT : store_snap(s, &live);

	if (!err)
		err = snap_kv(live, &from);
	if (!err)
		err = build_kv(b->out, &to);
	if (!err)
		err = carry(b, live, from, to);
	kv_close(to);
	kv_close(from);
	snap_unref(live);
	if (err == ZS_EAGAIN || damage_is(err)) { /* a retired generation has few handles */
		log_msg(LL_WARN, "store", b->zone->name, "event=history-lost: %s", zs_strerror(err));
		return 0;
	}
	return err == ZS_ENOENT ? 0 : err;
}
