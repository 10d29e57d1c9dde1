/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Applies a gathered IXFR. Every RRset that is touched is taken apart once, into one ordered map that holds
 * all of them, so that a step of one record costs one search, however large its RRset; steps work on the
 * map alone. At the end each RRset is put together again and written where it differs. Called by a worker.
 *
 * The map: RECORDS key + 00 -> an RRset: u8 flags (RRV_*), owner as it will be stored
 *          RECORDS key + 01 + canonical RDATA -> a record of it: u32 number of the step that added it
 *          (0: stored), u32 TTL, RDATA
 * No RECORDS key is a prefix of another, so an RRset and its records stand together, in canonical order.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ixfr_impl.h"

enum { MAP_SET, MAP_RECORD };
#define MAP_RECORD_TTL 4
#define MAP_RECORD_HEAD 8 /* in front of RDATA */

struct applying {
	struct ixfr *x;
	struct kv *after;
	struct intake *in;
	struct intake *filter;  /* of its kind, but its counts and findings are nobody's */
	struct kvmem *map;
	struct kv *kv;
	const struct ixfr_step *step;
	uint32_t step_no;       /* from 1 */
	struct wr key, val;     /* scratch */
	struct arena *mem;
	struct change c;
	/* the RRset in hand */
	uint8_t set[KEY_MAX]; size_t set_len;
	uint8_t flags;
	uint8_t owner[NAME_MAX_WIRE];
};

/* --- the map -------------------------------------------------------------------------------------------- */

/* Of the RRset in hand; NULL RDATA: its own entry. */
static int map_key(struct applying *a, const uint8_t *rdata, uint16_t len)
{
	uint8_t *p;

	a->key.len = 0;
	wr_bytes(&a->key, a->set, a->set_len);
	wr_u8(&a->key, rdata != NULL ? MAP_RECORD : MAP_SET);
	p = wr_space(&a->key, rdata != NULL ? len : 0);
	if (p != NULL && rdata != NULL)
		rdata_canonical(be16(a->set + a->set_len - 2), rdata, len, p);
	return a->key.err;
}

/* The value in a->val under the key in a->key. */
static int map_put(struct applying *a)
{
	size_t need = a->key.len + a->val.len;
	int err = a->key.err != 0 ? a->key.err : a->val.err;

	if (err != 0)
		return err;
	if (a->x->lim.work > 0 && kvmem_octets(a->map) + need > a->x->lim.work)
		return ixfr_fail(a->x, IXFR_LIMIT, ZS_ELIMIT,
				 "the RRsets that the difference touches are larger than what is kept in "
				 "memory");
	return kv_put(a->kv, a->key.p, a->key.len, a->val.p, a->val.len);
}

static int map_put_set(struct applying *a)
{
	int err = map_key(a, NULL, 0);

	a->val.len = 0;
	wr_u8(&a->val, a->flags);
	wr_bytes(&a->val, a->owner, name_len(a->owner));
	return err != 0 ? err : map_put(a);
}

static int map_put_record(struct applying *a, uint32_t step_no, uint32_t ttl, const uint8_t *rdata,
			  uint16_t len)
{
	int err = map_key(a, rdata, len);

	a->val.len = 0;
	wr_u32(&a->val, step_no);
	wr_u32(&a->val, ttl);
	wr_bytes(&a->val, rdata, len);
	return err != 0 ? err : map_put(a);
}

/* --- one record of a step ------------------------------------------------------------------------------- */

static int misfit(struct applying *a, enum ixfr_fault fault, const struct rr *rr, const char *what)
{
	char type[RR_TYPE_TEXT], name[NAME_MAX_TEXT];

	return ixfr_fail(a->x, fault, ZS_EFORMAT, "%u to %u: %s %s %s", a->step->from, a->step->to,
			 name_to_text(rr->owner, name), rr_type_text(rr->type, type), what);
}

/* Takes the stored RRset in hand apart; one that is not stored is empty, in the case of rr's owner. */
static int load_set(struct applying *a, const struct rr *rr)
{
	struct kv_item it, got;
	struct rr_item item;
	struct rrval v;
	int err = kv_get(a->after, a->set, a->set_len, &it);

	a->flags = 0;
	memcpy(a->owner, rr->owner, name_len(rr->owner));
	if (err == ZS_ENOENT)
		return map_put_set(a);
	got = it;
	if (err == 0)
		err = rrval_open(&v, got.val, got.vlen);
	if (err != 0)
		return err;
	if (v.flags & RRV_DUP && !(v.flags & RRV_OURS))
		return misfit(a, IXFR_DUPLICATES, rr, "has duplicates and is touched");
	a->flags = v.flags;
	if (v.owner != NULL)
		memcpy(a->owner, v.owner, name_len(v.owner));
	else
		name_lower(a->owner);
	err = map_put_set(a);
	while (err == 0 && !(v.flags & RRV_OURS) && rrval_rr(&v, &item))
		err = map_put_record(a, 0, item.ttl, item.data, item.len);
	return err;
}

/* Makes rr's RRset the one in hand. */
static int open_set(struct applying *a, const struct rr *rr)
{
	uint8_t okey[OKEY_MAX];
	struct kv_item it;
	int err;

	a->set_len = key_record(a->set, okey, name_okey(rr->owner, okey), rr->type);
	err = map_key(a, NULL, 0);
	if (err == 0)
		err = kv_get(a->kv, a->key.p, a->key.len, &it);
	if (err == ZS_ENOENT)
		return load_set(a, rr);
	if (err != 0)
		return err;
	a->flags = it.val[0];
	memcpy(a->owner, it.val + 1, it.vlen - 1);
	return 0;
}

static int delete_record(struct applying *a, const struct rr *rr)
{
	int err = map_key(a, rr->rdata, rr->rdlen);

	if (err == 0)
		err = kv_del(a->kv, a->key.p, a->key.len);
	return err == ZS_ENOENT ? misfit(a, IXFR_MISMATCH, rr, "is deleted and not there") : err;
}

/*
 * One that is stored must differ in TTL or case, and is replaced: there is but one of each (RFC 2181 5). A
 * primary that adds two in one step has both, and may take away either later: the whole zone says which.
 */
static int add_record(struct applying *a, const struct rr *rr)
{
	bool same_case = memcmp(a->owner, rr->owner, name_len(rr->owner)) == 0;
	struct kv_item it;
	int err = map_key(a, rr->rdata, rr->rdlen);

	if (err == 0)
		err = kv_get(a->kv, a->key.p, a->key.len, &it);
	if (err == 0 && a->x->lim.exact)
		return misfit(a, IXFR_DUPLICATES, rr, "is to stand beside one that is the same but for case");
	if (err == 0 && same_case && be32(it.val + MAP_RECORD_TTL) == rr->ttl &&
	    memcmp(it.val + MAP_RECORD_HEAD, rr->rdata, rr->rdlen) == 0)
		return misfit(a, IXFR_MISMATCH, rr, "is added and there already");
	if (err == 0 && be32(it.val) == a->step_no)
		return misfit(a, IXFR_DUPLICATES, rr, "is added twice in different ways");
	if (err == 0 || err == ZS_ENOENT)
		err = map_put_record(a, a->step_no, rr->ttl, rr->rdata, rr->rdlen);
	if (err != 0 || same_case)
		return err;
	memcpy(a->owner, rr->owner, name_len(rr->owner)); /* the last record's case counts */
	return map_put_set(a);
}

static int discarded(struct applying *a, enum intake_reason why)
{
	bool limit = why == IR_RECORDS_LIMIT || why == IR_BYTES_LIMIT;

	a->in->discard = why;
	return ixfr_fail(a->x, IXFR_INPUT, limit ? ZS_ELIMIT : ZS_EFORMAT, "%s", intake_reason_text(why));
}

/*
 * Both sides pass the same filter: what was not taken when it came is not missed when it goes. Of what is
 * added the caller's intake counts at once what it does not keep; what it keeps it sees at the end, in net.
 */
static int apply_record(struct applying *a, const struct rr *rr, int side)
{
	enum intake_verdict v = intake_record(a->filter, rr);
	int err;

	if (v == INTAKE_DISCARD)
		return discarded(a, a->filter->discard);
	if (v == INTAKE_KEEP) {
		err = open_set(a, rr);
		if (err != 0)
			return err;
		if (!(a->flags & RRV_OURS))
			return side == IXFR_DEL ? delete_record(a, rr) : add_record(a, rr);
	}
	if (side == IXFR_ADD && intake_record(a->in, rr) == INTAKE_DISCARD)
		return discarded(a, a->in->discard);
	return 0;
}

static int apply_side(struct applying *a, int side)
{
	int err = 0;

	for (const struct ixfr_rec *r = a->step->list[side]; err == 0 && r != NULL; r = r->next) {
		struct rr rr = ixfr_rr(r);

		err = apply_record(a, &rr, side);
	}
	return err;
}

static int apply_steps(struct applying *a)
{
	int err = 0;

	for (a->step = a->x->first; err == 0 && a->step != NULL; a->step = a->step->next) {
		a->step_no++;
		err = apply_side(a, IXFR_DEL);
		if (err == 0)
			err = apply_side(a, IXFR_ADD);
	}
	return err;
}

/* --- the end -------------------------------------------------------------------------------------------- */

/* An RRset that is put together again. Everything is copied: items of the map are borrowed. */
struct whole {
	struct rrset set;
	uint32_t cap;
	uint8_t key[KEY_MAX]; size_t klen;
	bool ours;
};

static int whole_open(struct applying *a, struct whole *w, const struct kv_item *it)
{
	w->klen = it->klen - 1;
	memcpy(w->key, it->key, w->klen);
	w->ours = it->val[0] & RRV_OURS;
	w->cap = 0;
	w->set = (struct rrset){ .type = be16(w->key + w->klen - 2),
				 .owner = arena_dup(a->mem, it->val + 1, it->vlen - 1) };
	return w->set.owner != NULL ? 0 : ZS_ENOMEM;
}

static int whole_add(struct applying *a, struct whole *w, const struct kv_item *it)
{
	struct rr_item *rr;

	if (w->set.nrr == w->cap) {
		uint32_t cap = w->cap > 0 ? w->cap * 2 : 4;

		rr = arena_alloc(a->mem, cap * sizeof(*rr));
		if (rr == NULL)
			return ZS_ENOMEM;
		if (w->set.nrr > 0)
			memcpy(rr, w->set.rr, w->set.nrr * sizeof(*rr));
		w->set.rr = rr;
		w->cap = cap;
	}
	rr = &w->set.rr[w->set.nrr];
	*rr = (struct rr_item){ .ttl = be32(it->val + MAP_RECORD_TTL),
				.len = (uint16_t)(it->vlen - MAP_RECORD_HEAD) };
	rr->data = arena_dup(a->mem, it->val + MAP_RECORD_HEAD, rr->len);
	if (rr->data == NULL)
		return ZS_ENOMEM;
	w->set.nrr++;
	return 0;
}

static int whole_write(struct applying *a, struct whole *w)
{
	struct kv_item old;
	int err, have;

	if (w->ours)
		return 0;
	if (w->set.nrr > RRSET_RECORDS_MAX) {
		intake_hold(a->in, IR_RRSET_TOO_BIG, w->set.owner);
		return ZS_EHELD;
	}
	err = w->set.nrr > 0 ? rrset_normalise(&w->set, a->mem) : 0;
	if (err != 0)
		return err;
	have = kv_get(a->after, w->key, w->klen, &old);
	if (have != 0 && have != ZS_ENOENT)
		return have;
	err = change_set(&a->c, w->key, w->klen, &w->set, have == 0 ? &old : NULL);
	return err == ZS_EPERM ? discarded(a, a->in->discard) : err;
}

/* Every RRset of the map, in order of keys. */
static int write_sets(struct applying *a)
{
	struct whole w = { .ours = true };
	struct kv_item it;
	int err = kv_seek(a->kv, "", 0, &it);

	while (err == 0) {
		/* what goes on behind the key of the RRset in hand is a record of it */
		if (w.klen > 0 && it.klen > w.klen && memcmp(it.key, w.key, w.klen) == 0) {
			err = whole_add(a, &w, &it);
		} else {
			err = w.klen > 0 ? whole_write(a, &w) : 0;
			arena_reset(a->mem);
			if (err == 0)
				err = whole_open(a, &w, &it);
		}
		if (err == 0)
			err = kv_next(a->kv, &it);
	}
	if (err != ZS_ENOENT)
		return err;
	return w.klen > 0 ? whole_write(a, &w) : 0;
}

static int apply_open(struct applying *a)
{
	a->key = wr_growing(UINT32_MAX);
	a->val = wr_growing(UINT32_MAX);
	a->filter = malloc(sizeof(*a->filter));
	a->map = kvmem_new(0);
	a->kv = a->map != NULL ? kvmem_open(a->map) : NULL;
	a->mem = arena_new(0);
	change_init(&a->c, a->x->zone, a->after, a->in);
	if (a->filter == NULL || a->kv == NULL || a->mem == NULL)
		return ZS_ENOMEM;
	intake_init(a->filter, a->x->zone, a->in->mode);
	a->filter->keep_zonemd = a->in->keep_zonemd;
	return 0;
}

static void apply_close(struct applying *a)
{
	change_end(&a->c);
	arena_free(a->mem);
	kv_close(a->kv);
	kvmem_free(a->map);
	free(a->filter);
	wr_free(&a->key);
	wr_free(&a->val);
}

int ixfr_apply(struct ixfr *x, struct kv *after, struct intake *in, struct change_sums *sums)
{
	struct applying a = { .x = x, .after = after, .in = in };
	int err;

	x->fault = IXFR_OK;
	x->text[0] = '\0';
	if (x->state != IXS_END)
		return ixfr_fail(x, IXFR_SEQUENCE, ZS_EFORMAT, "the difference is not complete");
	err = apply_open(&a);
	if (err == 0)
		err = apply_steps(&a);
	if (err == 0)
		err = write_sets(&a);
	if (err == 0)
		*sums = a.c.sums;
	apply_close(&a);
	if (err != 0 && x->fault == IXFR_OK)
		return ixfr_fail(x, err == ZS_ELIMIT ? IXFR_LIMIT : err == ZS_EHELD ? IXFR_INPUT : IXFR_LOCAL,
				 err, "%s", zs_strerror(err));
	return err;
}
