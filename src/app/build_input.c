/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sorted input, owner by owner. Read twice: the survey applies the input table before anything is
 * written, then groups are filled. An owner is always read whole, because its NS, DS and DNAME decide what
 * its other RRsets are.
 *
 * A key of the sort holds up to three kinds of records: those of upstream that are taken, those that the
 * intake has set aside, and ours. What is stored is the first and the last; an apex ZONEMD speaks of the
 * first two.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "build.h"
#include "dns/merge.h"
#include "inputguard.h"
#include "seal/zonemd.h"

#define GROUP_ITEMS 512
#define GROUP_OCTETS (1u << 20)
#define OWNER_SETS_MAX 4096
#define NSEC3_LABEL 33 /* octets that a hash takes in front of the apex */

static int next_pair(struct build_job *b)
{
	int err = extsort_next(b->in->sort, &b->key, &b->klen, &b->val, &b->vlen);

	b->have = !err;
	return err;
}

/* --- our apex RRsets ------------------------------------------------------------------------------------ */

static int add_ours(struct build_job *b)
{
	uint8_t rdata[KEY_PUB_MAX + 4];
	struct rr rr = { .owner = b->zone->wire,
			 .type = T_DNSKEY,
			 .class = CLASS_IN,
			 .ttl = b->pol.dnskey_ttl,
			 .rdata = rdata };
	int err = 0;

	for (unsigned i = 0; !err && i < b->keys.n; i++) {
		if (b->keys.key[i].state != KEY_ACTIVE)
			continue;
		rr.rdlen = key_dnskey(&b->keys.key[i], rdata);
		err = transfer_add(b->in, &rr, TRANSFER_OURS);
	}
	if (!err && b->pol.denial == DENIAL_NSEC3) {
		rr.type = T_NSEC3PARAM;
		rr.ttl = 0;
		rr.rdlen = (uint16_t)nsec3param_rdata(rdata, &b->dp);
		err = transfer_add(b->in, &rr, TRANSFER_OURS);
	}
	return err;
}

/* --- one RRset, one owner ------------------------------------------------------------------------------- */

struct item_list { struct rr_item *rr; size_t n, cap; };

static int item_push(struct item_list *l, const struct rr_item *it)
{
	if (l->n == l->cap) {
		size_t cap = l->cap ? l->cap * 2 : 16;
		struct rr_item *more = realloc(l->rr, cap * sizeof(*more));

		if (!more)
			return ZS_ENOMEM;
		l->rr = more;
		l->cap = cap;
	}
	l->rr[l->n++] = *it;
	return 0;
}

/* Only an unsigned zone has a ZONEMD, and only while it speaks of the zone as it is served. */
static bool keeps_zonemd(const struct build_job *b)
{
	return b->pol.unsigned_zone && !intake_is_altered(&b->in->intake);
}

/* An RRset on its way from the sort. */
struct reading {
	struct build_job *b;
	struct arena *mem;
	struct zonemd *digest;        /* NULL: records that are set aside are passed over */
	bool zonemd_aside;
	struct item_list taken, received;
};

static int take_pair(struct reading *rd, struct rrset *set)
{
	struct rd r = rd_init(rd->b->val, rd->b->vlen);
	uint8_t flags = rd_u8(&r), olen;
	struct rr_item it = { .ttl = rd_u32(&r) };
	const uint8_t *owner;
	bool aside = flags & TRANSFER_ASIDE || (rd->zonemd_aside && set->type == T_ZONEMD);
	int err = 0;

	olen = rd_u8(&r);
	owner = rd_bytes(&r, olen);
	it.len = (uint16_t)rd_left(&r);
	if (r.err || (aside && !rd->digest))
		return r.err;
	it.data = arena_dup(rd->mem, r.p, it.len);
	if (!it.data)
		return ZS_ENOMEM;
	if (rd->digest && !(flags & TRANSFER_OURS))
		err = item_push(&rd->received, &it);
	if (err || aside)
		return err;
	if (flags & TRANSFER_OURS)
		set->flags |= RRV_OURS;
	if (olen) {
		set->flags |= RRV_OWNER;
		set->owner = arena_dup(rd->mem, owner, olen); /* the last record's case counts */
	}
	return set->owner ? item_push(&rd->taken, &it) : ZS_ENOMEM;
}

/* Sorts a copy of the list into the set. A set of too many records is a finding (dns/intake.h). */
static int finish_set(struct reading *rd, const struct item_list *l, struct rrset *set)
{
	if (l->n == 0)
		return 0;
	if (l->n > RRSET_RECORDS_MAX) {
		intake_hold(&rd->b->in->intake, IR_RRSET_TOO_BIG, set->owner);
		return ZS_EHELD;
	}
	set->nrr = (uint32_t)l->n;
	set->rr = arena_dup(rd->mem, l->rr, l->n * sizeof(*l->rr));
	return set->rr ? rrset_normalise(set, rd->mem) : ZS_ENOMEM;
}

/*
 * The RRset at the input's position, empty when nothing of it is taken; owner_lower: its name from the key.
 * The digest gets it as it was received.
 */
static int read_set(struct build_job *b, struct arena *mem, struct zonemd *digest, const uint8_t *owner_lower,
		    uint16_t type, struct rrset *set)
{
	struct reading rd = { .b = b, .mem = mem, .digest = digest };
	struct rrset received = { .owner = owner_lower, .type = type };
	uint8_t key[KEY_MAX];
	size_t klen = b->klen;
	int err = 0;

	rd.zonemd_aside = type == T_ZONEMD && name_eq(owner_lower, b->zone->wire) && !keeps_zonemd(b);
	memset(set, 0, sizeof(*set));
	set->owner = owner_lower;
	set->type = type;
	memcpy(key, b->key, klen);
	while (!err && b->have && b->klen == klen && memcmp(b->key, key, klen) == 0) {
		err = take_pair(&rd, set);
		if (!err && (err = next_pair(b)) == ZS_ENOENT)
			err = 0;
	}
	if (!err)
		err = finish_set(&rd, &rd.taken, set);
	if (!err && digest)
		err = finish_set(&rd, &rd.received, &received);
	if (!err && received.nrr)
		err = zonemd_add(digest, &received);
	free(rd.taken.rr);
	free(rd.received.rr);
	return err;
}

struct owner {
	uint8_t okey[OKEY_MAX]; size_t klen;
	uint8_t name[NAME_MAX_WIRE];
	struct rrset *set; size_t n, cap;
	enum node_kind kind;
};

static int owner_push(struct owner *o, const struct rrset *set)
{
	if (o->n == o->cap) {
		size_t cap = o->cap ? o->cap * 2 : 16;
		struct rrset *more = o->n < OWNER_SETS_MAX * 16 ? realloc(o->set, cap * sizeof(*more)) : NULL;

		if (!more)
			return ZS_ENOMEM;
		o->set = more;
		o->cap = cap;
	}
	o->set[o->n++] = *set;
	return 0;
}

static void owner_kind(struct build_job *b, struct owner *o)
{
	bool ns = false, ds = false, dname = false;

	for (size_t i = 0; i < o->n; i++) {
		ns |= o->set[i].type == T_NS;
		ds |= o->set[i].type == T_DS;
		dname |= o->set[i].type == T_DNAME;
	}
	o->kind = walk_step(&b->walk, o->okey, o->klen, ns, ds, dname);
}

/*
 * The next owner with all its RRsets in mem, none when all of it is set aside; ZS_ENOENT at the end. o->set
 * is reused from call to call.
 */
static int read_owner(struct build_job *b, struct arena *mem, struct zonemd *digest, struct owner *o)
{
	const uint8_t *okey;
	size_t klen, nlen;
	uint16_t type;
	const uint8_t *name = NULL;
	int err;

	if (!b->have)
		return ZS_ENOENT;
	if ((err = key_record_split(b->key, b->klen, &okey, &klen, &type)))
		return err;
	memcpy(o->okey, okey, klen);
	o->klen = klen;
	o->n = 0;
	if ((err = name_from_okey(okey, klen, o->name, &nlen)))
		return err;
	while (b->have && (err = key_record_split(b->key, b->klen, &okey, &klen, &type)) == 0 &&
	       klen == o->klen && memcmp(okey, o->okey, klen) == 0) {
		struct rrset set;

		err = read_set(b, mem, digest, o->name, type, &set);
		if (err)
			return err;
		if (set.nrr == 0)
			continue;
		if (!name && !(name = arena_dup(mem, o->name, nlen)))
			return ZS_ENOMEM;
		if (set.owner == o->name)
			set.owner = name;
		if ((err = owner_push(o, &set)))
			return err;
	}
	if (!err && o->n)
		owner_kind(b, o);
	return err;
}

/* --- survey --------------------------------------------------------------------------------------------- */

static bool was_cut(const struct build_job *b, const struct owner *o)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;

	return b->base_kv && kv_get(b->base_kv, key, key_record(key, o->okey, o->klen, T_NS), &it) == 0;
}

static int survey_owner(struct build_job *b, const struct owner *o)
{
	uint16_t *types = calloc(o->n + 1, sizeof(*types));
	uint32_t *counts = calloc(o->n + 1, sizeof(*counts));
	size_t n = 0;

	if (!types || !counts) {
		free(types);
		free(counts);
		return ZS_ENOMEM;
	}
	if (o->kind == NODE_APEX) { /* kept aside by the transfer */
		types[n] = T_SOA;
		counts[n++] = 1;
	}
	for (size_t i = 0; i < o->n; i++) {
		const struct rrset *s = &o->set[i];

		types[n] = s->type;
		counts[n++] = intake_set(&b->in->intake, s);
		if (s->ttl > b->meta.largest_ttl)
			b->meta.largest_ttl = s->ttl;
		b->meta.signatures += node_signs(o->kind, s->type);
	}
	b->meta.rrsets += o->n;
	if (o->kind == NODE_CUT_INSECURE || o->kind == NODE_CUT_SECURE) {
		b->meta.cuts++;
		b->same_cuts += was_cut(b, o);
	}
	intake_owner(&b->in->intake, o->kind, o->name, types, counts, n);
	free(types);
	free(counts);
	return 0;
}

static int survey_owners(struct build_job *b, struct zonemd *digest)
{
	struct arena *mem = arena_new(0);
	struct owner *o = calloc(1, sizeof(*o));
	int err = mem && o ? 0 : ZS_ENOMEM;

	walk_init(&b->walk, b->apex, b->apex_len);
	while (!err) {
		arena_reset(mem);
		err = atomic_load(&b->cancelled) ? ZS_ECANCEL : read_owner(b, mem, digest, o);
		if (!err && o->n)
			err = survey_owner(b, o);
	}
	if (o)
		free(o->set);
	free(o);
	arena_free(mem);
	return err == ZS_ENOENT ? 0 : err;
}

/* What the zone says of itself; a wrong digest holds it unless it was released (RFC 8976 4). */
static int judge_zonemd(struct build_job *b, struct zonemd *digest, enum zonemd_result *result)
{
	struct intake *in = &b->in->intake;
	bool failed;
	int err = zonemd_end(digest, result);

	if (err)
		return err;
	failed = zonemd_failed(*result);
	in->zonemd_verified = *result == ZONEMD_VERIFIED;
	in->zonemd_unsupported = *result == ZONEMD_UNSUPPORTED;
	log_msg(failed ? LL_WARN : LL_INFO, "zonemd", b->zone->name, "event=%s serial=%u: %s",
		failed		     ? b->released ? "failed-released" : "failed" :
		in->zonemd_verified  ? "verified" : "unverified",
		b->in->soa_fields.serial, zonemd_result_text(*result));
	if (failed && !b->released)
		intake_hold(in, IR_ZONEMD, b->zone->wire);
	return 0;
}

static int survey(struct build_job *b, enum zonemd_result *result)
{
	const struct transfer *t = b->in;
	struct rr soa = { .owner = t->soa_owner, .type = T_SOA, .class = CLASS_IN, .ttl = t->soa_ttl,
			  .rdata = t->soa, .rdlen = t->soa_len };
	struct zonemd *digest = t->intake.had_zonemd ? zonemd_new(&soa) : NULL;
	int err = t->intake.had_zonemd && !digest ? ZS_ENOMEM : survey_owners(b, digest);

	if (!err && digest)
		err = judge_zonemd(b, digest, result);
	zonemd_free(digest);
	return err;
}

static int start_reading(struct build_job *b)
{
	int err = extsort_rewind(b->in->sort);

	if (!err && (err = next_pair(b)) == ZS_ENOENT)
		err = 0;
	return err;
}

static void add_reason(struct build_job *b, const char *what, const char *text)
{
	size_t n = strlen(b->reason);

	snprintf(b->reason + n, sizeof(b->reason) - n, "; %s%s", what, text);
}

/* A truncated zone, or one whose names are all others. */
static void guards(struct build_job *b)
{
	bool on = !b->released;
	struct guard_figures f = { .zone = b->zone->wire,
				   .records = b->in->intake.records,
				   .old_records = b->old_records,
				   .old_cuts = b->old_cuts,
				   .shrink_pct = on ? b->shrink_pct : 0,
				   .churn_pct = on ? b->churn_pct : 0 };

	if (b->base_kv) {
		uint64_t gone = b->old_cuts > b->same_cuts ? b->old_cuts - b->same_cuts : 0;

		f.churn = b->meta.cuts - b->same_cuts + gone;
	}
	guard_content(&b->in->intake, &f, b->guard_text, sizeof(b->guard_text));
}

int build_input_open(struct build_job *b)
{
	enum zonemd_result zonemd = ZONEMD_ABSENT;
	int err = b->pol.unsigned_zone ? 0 : add_ours(b);

	if (!b->pol.unsigned_zone && b->pol.denial == DENIAL_NSEC3 &&
	    b->zone->wire_len + NSEC3_LABEL > NAME_MAX_WIRE) {
		b->held = true;
		snprintf(b->reason, sizeof(b->reason),
			 "the zone's name has %u octets: an NSEC3 owner would pass 255, the zone can only be "
			 "signed with NSEC",
			 b->zone->wire_len);
		return ZS_EHELD;
	}

	if (!err)
		err = extsort_finish(b->in->sort);
	if (!err)
		err = start_reading(b);
	if (!err)
		err = survey(b, &zonemd);
	if (err && err != ZS_EHELD)
		return err;
	guards(b);
	if (b->in->intake.had_dnskey && b->in->intake.mode == INTAKE_STRIP && !b->pol.unsigned_zone &&
	    !b->was_signed && !b->released) {
		b->held = true;
		snprintf(b->reason, sizeof(b->reason),
			 "upstream has DNSKEY records, so the parent may hold a DS for them: the first "
			 "signing waits for `zone release`");
		if (zonemd_failed(zonemd))
			add_reason(b, "ZONEMD: ", zonemd_result_text(zonemd));
		return ZS_EHELD;
	}
	if (intake_is_held(&b->in->intake)) {
		b->held = true;
		intake_describe(&b->in->intake, b->reason, sizeof(b->reason));
		if (b->guard_text[0])
			add_reason(b, "", b->guard_text);
		if (zonemd_failed(zonemd))
			add_reason(b, "ZONEMD: ", zonemd_result_text(zonemd));
		return ZS_EHELD;
	}
	return build_input_rewind(b);
}

int build_input_rewind(struct build_job *b)
{
	walk_init(&b->walk, b->apex, b->apex_len);
	return start_reading(b);
}

static int merge_owner(struct merge *m, const struct owner *o)
{
	uint8_t key[KEY_MAX];
	int err = 0;

	for (size_t i = 0; !err && i < o->n; i++)
		err = merge_set(m, key, key_record(key, o->okey, o->klen, o->set[i].type), &o->set[i]);
	return err;
}

int build_input_merge(struct build_job *b, struct kv *stored, struct kv *after, struct change_sums *sums)
{
	struct arena *mem = arena_new(0);
	struct owner *o = calloc(1, sizeof(*o));
	struct merge *m = NULL;
	int err = mem && o ? merge_new(b->zone->wire, stored, after, &m) : ZS_ENOMEM;

	if (!err)
		err = build_input_rewind(b);
	while (!err) {
		arena_reset(mem);
		err = atomic_load(&b->cancelled) ? ZS_ECANCEL : read_owner(b, mem, NULL, o);
		if (!err)
			err = merge_owner(m, o);
	}
	if (err == ZS_ENOENT)
		err = merge_end(m, sums);
	merge_free(m);
	if (o)
		free(o->set);
	free(o);
	arena_free(mem);
	return err;
}

/* --- groups --------------------------------------------------------------------------------------------- */

static int old_from(struct kv *kv, struct arena *mem, const uint8_t *key, size_t klen, uint16_t type,
		    const uint8_t *owner, struct rrset *out)
{
	struct kv_item it;
	const uint8_t *copy;
	int err = kv ? kv_get(kv, key, klen, &it) : ZS_ENOENT;

	if (err)
		return err;
	copy = arena_dup(mem, it.val, it.vlen);
	return copy ? rrset_decode(out, type, owner, copy, it.vlen, mem) : ZS_ENOMEM;
}

/* The stored RRset whose signatures may be kept: of the live version, else of an interrupted build. */
int build_old(struct build_job *b, struct arena *mem, const uint8_t *key, size_t klen, uint16_t type,
	      const uint8_t *owner, struct rrset *out)
{
	int err = old_from(b->base_kv, mem, key, klen, type, owner, out);

	if (damage_is(err))
		b->base_err = err;
	if (err || out->nsig == 0)
		err = old_from(b->donor_kv, mem, key, klen, type, owner, out);
	return err;
}

static int group_owner(struct build_job *b, struct signing *g, const struct owner *o)
{
	for (size_t i = 0; i < o->n; i++) {
		uint8_t key[KEY_MAX];
		size_t klen = key_record(key, o->okey, o->klen, o->set[i].type);
		bool sign = !b->pol.unsigned_zone && node_signs(o->kind, o->set[i].type);
		struct rrset old;
		bool have = sign &&
			    build_old(b, g->mem, key, klen, o->set[i].type, o->set[i].owner, &old) == 0;
		int err;

		if (have)
			old.exp_time = old.exp_seq = 0; /* a new file: nothing to remove */
		err = signing_add(g, key, klen, &o->set[i], have ? &old : NULL, sign, b->pol.refresh);
		if (err)
			return err;
	}
	return 0;
}

int build_input_group(struct build_job *b, struct signing *g)
{
	struct owner *o = calloc(1, sizeof(*o));
	int err = o ? 0 : ZS_ENOMEM;

	while (!err && g->items < GROUP_ITEMS && arena_used(g->mem) < GROUP_OCTETS) {
		err = read_owner(b, g->mem, NULL, o);
		if (!err)
			err = group_owner(b, g, o);
	}
	if (o)
		free(o->set);
	free(o);
	return err == ZS_ENOENT && g->items ? 0 : err;
}
