/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A difference of content, prepared on a worker: an IXFR applied, or an AXFR merged, into the view's overlay;
 * judged by the input table and the guards; then everything that it changes in signatures and chain (seal
 * splice) is planned against what stands. Nothing here waits.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "ahead.h"
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "dns/ixfr.h"
#include "dns/merge.h"
#include "inputguard.h"
#include "seal/splice.h"
#include "version.h"

#define SPLICE_NAMES (view_pages_max() / 4)

/* One change being prepared; handles are open while it lasts. */
struct preparing {
	struct version_job *j;
	struct kv *before, *after;
	struct kv *live;            /* where a build takes in what went out since it began */
	struct change_sums sums;
	struct splice_sums spliced;
	struct denial_params dp;
	struct intake *in;
	void *pos;                  /* of the iteration over the overlay */
	/* the owner whose RRsets are judged together */
	uint8_t owner[KEY_MAX]; size_t owner_len;
	uint8_t apex[KEY_MAX]; size_t apex_len;
};

static int open_before(void *ctx, struct kv **out)
{
	return version_base(((struct preparing *)ctx)->j, out);
}

static int open_after(void *ctx, struct kv **out)
{
	return view_kv(((struct preparing *)ctx)->j->view, out);
}

/* --- the difference ------------------------------------------------------------------------------------- */

static int apply(struct preparing *p)
{
	struct version_job *j = p->j;
	int err;

	if (j->onto)
		return overtake_merge(j, p->before, p->after, &p->sums);
	if (j->input)
		return build_input_merge(j->input, p->before, p->after, &p->sums);
	err = ixfr_apply(j->in->ixfr, p->after, p->in, &p->sums);
	if (err) {
		enum ixfr_fault f = ixfr_fault(j->in->ixfr);

		j->too_large = err == ZS_ELIMIT;
		if (j->undo && f == IXFR_DUPLICATES) /* older content as a whole keeps them apart */
			j->too_large = j->ungathered = true;
		j->misfit = f != IXFR_OK && f != IXFR_LOCAL;
		if (err != ZS_EHELD) /* that is described with its names */
			snprintf(j->reason, sizeof(j->reason), "%s: %s", ixfr_fault_text(f),
				 ixfr_text(j->in->ixfr));
	}
	return err;
}

/* --- judged --------------------------------------------------------------------------------------------- */

/* The types that stand at an owner, and how many records of each; in an arena. */
struct types { uint16_t *type; uint32_t *count; size_t n, cap; };

static int types_push(struct types *t, struct arena *mem, uint16_t type, uint32_t count)
{
	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 16;
		uint16_t *type_more = arena_alloc(mem, cap * sizeof(*type_more));
		uint32_t *count_more = arena_alloc(mem, cap * sizeof(*count_more));

		if (!type_more || !count_more)
			return ZS_ENOMEM;
		if (t->n) {
			memcpy(type_more, t->type, t->n * sizeof(*type_more));
			memcpy(count_more, t->count, t->n * sizeof(*count_more));
		}
		*t = (struct types){ type_more, count_more, t->n, cap };
	}
	t->type[t->n] = type;
	t->count[t->n++] = count;
	return 0;
}

/* All RRsets of an owner with their counts; what of them is upstream's is judged one by one. */
static int owner_types(struct preparing *p, struct kv *kv, struct arena *mem, struct types *t)
{
	struct arena *one = arena_new(0);
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int err = one ? kv_seek(kv, p->owner, p->owner_len, &it) : ZS_ENOMEM;

	while (!err && it.klen == p->owner_len + 2 && memcmp(it.key, p->owner, p->owner_len) == 0) {
		struct rrset set;

		arena_reset(one);
		memcpy(key, it.key, it.klen);
		err = version_load(p->after, p->j->zone->wire, key, it.klen, one, &set);
		if (err == ZS_ENOENT) /* it was there a moment ago */
			err = ZS_ECRC;
		if (!err)
			err = types_push(t, mem, set.type, intake_set(p->in, &set));
		if (!err)
			err = kv_next(kv, &it);
	}
	arena_free(one);
	return err == ZS_ENOENT ? 0 : err;
}

/* The input table over one owner as it is now (a whole transfer was judged in its survey). */
static int judge_owner(struct preparing *p)
{
	struct types t = { .n = 0 };
	struct arena *mem = arena_new(0);
	struct chain_name *name = calloc(1, sizeof(*name));
	uint8_t wire[NAME_MAX_WIRE];
	const uint8_t *okey = p->owner + 1;
	size_t olen = p->owner_len - 2, wlen;
	struct kv *kv = NULL;
	int err = mem && name ? open_after(p, &kv) : ZS_ENOMEM;

	if (!err)
		err = name_from_okey(okey, olen, wire, &wlen);
	if (!err)
		err = owner_types(p, kv, mem, &t);
	if (!err && t.n && (err = denial_owner(kv, &p->dp, okey, olen, name)) == ZS_ENOENT)
		err = 0;
	if (!err && t.n)
		intake_owner(p->in, name->kind, wire, t.type, t.count, t.n);
	kv_close(kv);
	arena_free(mem);
	free(name);
	return err;
}

/* By the survey of a whole transfer; what is live was judged when it came. */
static bool is_judged(const struct preparing *p)
{
	return p->j->input || p->j->onto;
}

/* Called with keys in order: an owner is judged when the next one begins, and once at the end. */
static int judge_key(struct preparing *p, const uint8_t *key, size_t klen)
{
	size_t len = klen ? klen - 2 : 0;
	int err = 0;

	if (is_judged(p) || (len == p->apex_len && memcmp(key, p->apex, len) == 0) ||
	    (len && len == p->owner_len && memcmp(key, p->owner, len) == 0))
		return 0;
	if (p->owner_len)
		err = judge_owner(p);
	if (len)
		memcpy(p->owner, key, len);
	p->owner_len = len;
	return err;
}

/* The intake wants the apex first, whether it changed or not. */
static int judge_apex(struct preparing *p)
{
	int err;

	if (is_judged(p))
		return 0;
	memcpy(p->owner, p->apex, p->apex_len);
	p->owner_len = p->apex_len;
	err = judge_owner(p);
	p->owner_len = 0;
	return err;
}

static int judge(struct preparing *p)
{
	struct version_job *j = p->j;
	uint64_t was = j->old.records, now = was + p->sums.records_added - p->sums.records_deleted;
	char figures[96];
	size_t n;

	if (is_judged(p))
		return 0;
	if (now > p->in->max_records)
		intake_hold(p->in, IR_RECORDS_LIMIT, j->zone->wire);
	if (j->old.octets + p->sums.octets_added > p->in->max_bytes + p->sums.octets_deleted)
		intake_hold(p->in, IR_BYTES_LIMIT, j->zone->wire);
	guard_content(p->in, &(struct guard_figures){ .zone = j->zone->wire,
						      .records = now,
						      .old_records = was,
						      .old_cuts = j->old.cuts,
						      .churn = p->spliced.cuts_came + p->spliced.cuts_gone,
						      .shrink_pct = j->released ? 0 : j->shrink_pct,
						      .churn_pct = j->released ? 0 : j->churn_pct },
		      figures, sizeof(figures));
	if (!intake_is_held(p->in))
		return 0;
	intake_describe(p->in, j->reason, sizeof(j->reason));
	n = strlen(j->reason);
	if (figures[0])
		snprintf(j->reason + n, sizeof(j->reason) - n, "; %s", figures);
	return ZS_EHELD;
}

/* --- what it changes ------------------------------------------------------------------------------------ */

static int changed_key(void *ctx, const uint8_t **key, size_t *klen)
{
	struct preparing *p = ctx;
	const uint8_t *val;
	size_t vlen;
	bool deleted;
	int err;

	do
		err = view_next_change(p->j->view, &p->pos, key, klen, &val, &vlen, &deleted);
	while (!err && (*key)[0] != TAB_RECORDS);
	return err;
}

/* What is taken in has signatures in the live generation; what they replace is the build's. */
static int plan_live(struct preparing *p, const uint8_t *key, size_t klen, const struct rrset *set,
		     struct signing *g, const struct rrset *old)
{
	struct rrset live;
	struct signing_item *it;
	int err = version_load(p->live, p->j->zone->wire, key, klen, g->mem, &live);

	if (err || !live.nsig)
		return err && err != ZS_ENOENT
			       ? err
			       : signing_add(g, key, klen, set, old, true, p->j->pol.refresh);
	live.exp_time = old ? old->exp_time : 0;
	live.exp_seq = old ? old->exp_seq : 0;
	err = signing_add(g, key, klen, set, &live, true, p->j->pol.refresh);
	if (err)
		return err;
	it = (struct signing_item *)((char *)g->tail - offsetof(struct signing_item, next));
	it->old_nsig = old ? old->nsig : 0;
	return 0;
}

static int plan(struct preparing *p, const uint8_t *key, size_t klen, const struct rrset *set,
		struct signing *g, bool signs)
{
	struct rrset old;
	int err = version_load(p->before, p->j->zone->wire, key, klen, g->mem, &old);

	if (err && err != ZS_ENOENT)
		return err;
	if (p->live && signs && key[0] == TAB_RECORDS)
		return plan_live(p, key, klen, set, g, err ? NULL : &old);
	return signing_add(g, key, klen, set, err ? NULL : &old, signs, p->j->pol.refresh);
}

static int on_record(void *ctx, const uint8_t *key, size_t klen, enum node_kind kind, bool signs)
{
	struct preparing *p = ctx;
	struct signing *g = signset_room(&p->j->sets);
	struct rrset set;
	int err = g ? judge_key(p, key, klen) : ZS_ENOMEM;

	(void)kind;
	if (!err)
		err = version_load(p->after, p->j->zone->wire, key, klen, g->mem, &set);
	if (!err && (set.flags & RRV_OURS || set.type == T_SOA))
		return 0;
	return err ? err : plan(p, key, klen, &set, g, signs);
}

/* The set is lent: what the group keeps is its own copy. */
static int copy_set(struct arena *mem, const struct rrset *from, struct rrset *to)
{
	*to = *from;
	to->owner = arena_dup(mem, from->owner, name_len(from->owner));
	to->rr = arena_dup(mem, from->rr, from->nrr * sizeof(*from->rr));
	if (!to->owner || !to->rr)
		return ZS_ENOMEM;
	for (uint32_t i = 0; i < to->nrr; i++)
		if (!(to->rr[i].data = arena_dup(mem, from->rr[i].data, from->rr[i].len)))
			return ZS_ENOMEM;
	if (from->src && !(to->src = arena_dup(mem, from->src, from->src_len)))
		return ZS_ENOMEM;
	return 0;
}

static int on_chain(void *ctx, const uint8_t *key, size_t klen, const struct rrset *lent)
{
	struct preparing *p = ctx;
	struct signing *g = signset_room(&p->j->sets);
	struct rrset set;
	int err = g ? copy_set(g->mem, lent, &set) : ZS_ENOMEM;

	return err ? err : plan(p, key, klen, &set, g, true);
}

/* What is deleted takes its entry of the expiry index with it. */
static int forget(struct preparing *p, const uint8_t *key, size_t klen)
{
	uint8_t xkey[KEY_MAX];
	struct kv_item it;
	struct rrval v;
	int err = kv_get(p->before, key, klen, &it);

	if (err)
		return err == ZS_ENOENT ? 0 : err;
	if ((err = rrval_open(&v, it.val, it.vlen)) || !v.nsig)
		return err;
	p->j->delta.signatures -= v.nsig;
	err = kv_del(p->after, xkey, key_expiry(xkey, v.exp_time, v.exp_seq));
	return err == ZS_ENOENT ? 0 : err;
}

static int on_chain_gone(void *ctx, const uint8_t *key, size_t klen)
{
	struct preparing *p = ctx;
	int err = forget(p, key, klen);

	return err ? err : kv_del(p->after, key, klen);
}

/* The keys are collected first: the overlay must not change while it is walked. */
static int forget_deleted(struct preparing *p)
{
	struct wr keys = wr_growing(64u << 20);
	const uint8_t *key, *val;
	size_t klen, vlen;
	bool deleted;
	void *pos = NULL;
	int err = 0;

	while (!err && !(err = view_next_change(p->j->view, &pos, &key, &klen, &val, &vlen, &deleted))) {
		if (key[0] != TAB_RECORDS || !deleted)
			continue;
		wr_u16(&keys, (uint16_t)klen);
		wr_bytes(&keys, key, klen);
		err = keys.err;
	}
	if (err == ZS_ENOENT)
		err = 0;
	for (struct rd r = rd_init(keys.p, keys.len); !err && rd_left(&r);) {
		klen = rd_u16(&r);
		key = rd_bytes(&r, klen);
		err = forget(p, key, klen);
		if (!err)
			err = judge_key(p, key, klen);
	}
	if (!err)
		err = judge_key(p, NULL, 0);
	wr_free(&keys);
	return err;
}

/* RFC 5155 7.1: with another salt it may pass; it is for the operator to say. */
static void describe_clash(struct preparing *p)
{
	char a[NAME_MAX_TEXT], b[NAME_MAX_TEXT];

	snprintf(p->j->reason, sizeof(p->j->reason), "%.200s and %.200s have the same NSEC3 hash",
		 name_to_text(p->spliced.clash[0], a), name_to_text(p->spliced.clash[1], b));
}

static int splice(struct preparing *p)
{
	struct splice_ops ops = { .open_before = open_before, .open_after = open_after,
				  .next_changed = changed_key, .record = on_record, .chain = on_chain,
				  .chain_gone = on_chain_gone, .ctx = p };
	int err = splice_run(&p->dp, &ops, SPLICE_NAMES, &p->spliced);

	if (err == ZS_EHELD)
		describe_clash(p);
	return err ? err : judge_key(p, NULL, 0);
}

/* An unsigned zone has content alone. */
static int plain(struct preparing *p)
{
	const uint8_t *key, *val;
	size_t klen, vlen;
	bool deleted;
	void *pos = NULL;
	int err;

	while (!(err = view_next_change(p->j->view, &pos, &key, &klen, &val, &vlen, &deleted))) {
		if (key[0] != TAB_RECORDS || deleted)
			continue;
		err = on_record(p, key, klen, NODE_AUTH, false);
		if (err)
			return err;
	}
	p->spliced.cuts_came = p->sums.cuts_added;
	p->spliced.cuts_gone = p->sums.cuts_deleted;
	return err == ZS_ENOENT ? judge_key(p, NULL, 0) : err;
}

static void figures(struct preparing *p)
{
	struct meta_delta *d = &p->j->delta;
	const struct change_sums *s = &p->sums;

	d->records = (int64_t)s->records_added - (int64_t)s->records_deleted;
	d->octets = (int64_t)s->octets_added - (int64_t)s->octets_deleted;
	d->rrsets = (int64_t)s->rrsets_added - (int64_t)s->rrsets_deleted;
	d->cuts = (int64_t)p->spliced.cuts_came - (int64_t)p->spliced.cuts_gone;
	d->largest_ttl = s->largest_ttl;
}

/* The SOA as it stands is upstream's, but for the serial. */
static int same_soa(struct preparing *p, bool *same)
{
	struct version_job *j = p->j;
	struct arena *mem = arena_new(0);
	uint8_t key[KEY_MAX], okey[OKEY_MAX];
	size_t klen = key_record(key, okey, name_okey(j->zone->wire, okey), T_SOA);
	struct rrset old, now;
	int err = mem ? version_load(p->before, j->zone->wire, key, klen, mem, &old) : ZS_ENOMEM;

	if (!err)
		err = transfer_soa(j->in, j->old.signed_serial, j->clamp ? j->pol.refresh : 0, mem, &now);
	if (!err)
		*same = old.ttl == now.ttl && old.rr[0].len == now.rr[0].len &&
			memcmp(old.rr[0].data, now.rr[0].data, now.rr[0].len) == 0;
	arena_free(mem);
	return err;
}

/* Upstream's zone of the serial that is stored, taken because something stored was bad (sweep.h). */
static int compare(struct preparing *p)
{
	struct version_job *j = p->j;
	const struct change_sums *s = &p->sums;
	bool soa = false;
	int err = same_soa(p, &soa);

	j->same = !err && soa && !s->rrsets_added && !s->rrsets_deleted && !s->rrsets_changed;
	snprintf(j->reason, sizeof(j->reason), "%llu records added, %llu taken away, %llu replaced%s",
		 (unsigned long long)s->records_added, (unsigned long long)s->records_deleted,
		 (unsigned long long)s->records_replaced, soa ? "" : ", another SOA");
	return err;
}

static void params(struct preparing *p)
{
	struct version_job *j = p->j;
	const struct transfer *t = j->in;
	uint8_t okey[OKEY_MAX];

	p->dp = (struct denial_params){ .kind = (enum denial)j->old.denial,
					.opt_out = j->old.opt_out,
					.set = j->old.nsec3_set,
					.iterations = j->old.nsec3_iterations,
					.salt_len = j->old.salt_len,
					.zone = j->zone->wire };
	memcpy(p->dp.salt, j->old.salt, j->old.salt_len);
	p->dp.ttl = t->soa_ttl < t->soa_fields.minimum ? t->soa_ttl : t->soa_fields.minimum;
	p->in = &j->in->intake;
	p->apex_len = key_owner(p->apex, okey, name_okey(j->zone->wire, okey));
}

int change_prepare(struct version_job *j)
{
	struct preparing p = { .j = j };
	struct ahead *ahead = NULL;
	int err = open_before(&p, &p.before);

	params(&p);
	if (!err)
		err = open_after(&p, &p.after);
	if (!err && j->onto)
		err = snap_kv(j->base, &p.live);
	if (!err && !j->onto && !j->input)
		ahead = ahead_new(j->e->workers, j->base, j->in->ixfr, j->old.is_signed, &p.dp);
	if (!err)
		err = apply(&p);
	if (!err)
		err = judge_apex(&p);
	if (!err)
		err = j->old.is_signed ? splice(&p) : plain(&p);
	if (!err)
		err = forget_deleted(&p);
	if (!err)
		err = judge(&p);
	if (!err && j->compare)
		err = compare(&p);
	figures(&p);
	ahead_end(ahead); /* a job that waits for the vault holds no snapshot */
	kv_close(p.live);
	kv_close(p.after);
	kv_close(p.before);
	if (err == ZS_ELIMIT)
		j->too_large = true;
	if (err == ZS_EHELD && !j->reason[0])
		intake_describe(&j->in->intake, j->reason, sizeof(j->reason));
	return err;
}
