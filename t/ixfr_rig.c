/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A zone and a store that holds it, for the tests of differences that come in. */
#include "ixfr_rig.h"

#include <string.h>

#include "base/err.h"
#include "t_suite.h"

const uint8_t zone[] = "\7example\0";

/* --- records -------------------------------------------------------------------------------------------- */

const struct rr *record(struct record *r, const char *owner, uint16_t type, uint32_t ttl,
			const void *rdata, size_t len)
{
	size_t n;

	ck_assert_int_eq(name_from_text(owner, r->owner, &n), 0);
	memcpy(r->rdata, rdata, len);
	r->rr = (struct rr){ .owner = r->owner, .type = type, .class = CLASS_IN, .ttl = ttl,
			     .rdata = r->rdata, .rdlen = (uint16_t)len };
	return &r->rr;
}

const struct rr *soa_record(struct record *r, uint32_t serial)
{
	static const uint8_t rdata[] = "\2ns\7Example\0" "\0" "\0\0\0\0" "\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\5";

	record(r, "Example.", T_SOA, 900, rdata, sizeof(rdata) - 1);
	soa_set_serial(r->rdata, r->rr.rdlen, serial);
	return &r->rr;
}

/* --- a handle that counts and may be full --------------------------------------------------------------- */

static int spy_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return kv_get(((struct spy *)kv)->to, key, klen, out);
}
static int spy_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return kv_seek(((struct spy *)kv)->to, key, klen, out);
}
static int spy_next(struct kv *kv, struct kv_item *out)
{
	return kv_next(((struct spy *)kv)->to, out);
}
static int spy_put(struct kv *kv, const void *key, size_t klen, const void *val, size_t vlen)
{
	struct spy *s = (struct spy *)kv;

	s->puts++;
	return s->most > 0 && s->puts + s->dels > s->most ? ZS_ELIMIT : kv_put(s->to, key, klen, val, vlen);
}
static int spy_del(struct kv *kv, const void *key, size_t klen)
{
	struct spy *s = (struct spy *)kv;

	s->dels++;
	return s->most > 0 && s->puts + s->dels > s->most ? ZS_ELIMIT : kv_del(s->to, key, klen);
}
const struct kv_ops spy_ops = { .get = spy_get, .seek = spy_seek, .next = spy_next, .put = spy_put,
				.del = spy_del };

/* --- rig ------------------------------------------------------------------------------------------------ */

struct store store_open(void)
{
	struct store s = { .m = kvmem_new(0) };

	s.kv = kvmem_open(s.m);
	ck_assert_ptr_nonnull(s.kv);
	return s;
}

void store_close(struct store *s)
{
	kv_close(s->kv);
	kvmem_free(s->m);
}

void rig_start(struct rig *r, enum intake_mode mode, uint32_t serial)
{
	memset(r, 0, sizeof(*r));
	r->base = store_open();
	r->after = store_open();
	r->spy = (struct spy){ .kv = { &spy_ops }, .to = r->after.kv };
	intake_init(&r->in, zone, mode);
	ck_assert_int_eq(ixfr_new(zone, serial, NULL, &r->x), 0);
}

/* Other tables, the SOA, an RRset of ours. */
static void put_kept(struct kv *kv)
{
	struct model m = { 0 };
	uint8_t key[KEY_MAX], okey[OKEY_MAX];
	size_t klen = key_record(key, okey, name_okey(zone, okey), T_CDS);
	struct rr_item it[2] = { { .ttl = 60, .len = 5, .data = (const uint8_t *)"\0\1\15\2d" } };
	struct rrset set = { .owner = zone, .type = T_CDS, .ttl = 60, .flags = RRV_OURS | RRV_DUP, .nrr = 2,
			     .rr = it };
	struct wr w = wr_growing(4096);

	it[1] = it[0];
	it[1].flags = RRI_DUP;
	model_push(&m, SOA(77));
	model_put(&m, kv, 1);
	model_free(&m);
	rrset_encode(&set, &w);
	ck_assert_int_eq(kv_put(kv, key, klen, w.p, w.len), 0);
	wr_free(&w);
	ck_assert_int_eq(kv_put(kv, "\20zone", 5, "x", 1), 0);
	ck_assert_int_eq(kv_put(kv, "\60\0\1", 3, "x", 1), 0);
}

/* The zone of the cases. */
static void rig_fill(struct rig *r)
{
	model_push(&r->zone, RR("example.", T_NS, 300, "\2ns\7example\0"));
	model_push(&r->zone, RR("a.example.", T_A, 300, "\1\1\1\1"));
	model_push(&r->zone, RR("a.example.", T_A, 300, "\2\2\2\2"));
	model_push(&r->zone, RR("B.example.", T_TXT, 300, "\1b"));
	model_push(&r->zone, RR("b.example.", 65280, 300, ""));
	model_push(&r->zone, RR("cut.example.", T_NS, 300, "\2Ns\3cut\7example\0"));
	model_push(&r->zone, RR("dup.example.", T_NS, 300, "\1X\0"));
	model_push(&r->zone, RR("dup.example.", T_NS, 200, "\1x\0"));
}

void rig_store(struct rig *r)
{
	model_put(&r->zone, r->base.kv, 1);
	put_kept(r->base.kv);
	map_copy(r->after.kv, r->base.kv);
}

void rig_open(struct rig *r, enum intake_mode mode)
{
	rig_start(r, mode, 1);
	rig_fill(r);
	rig_store(r);
}

void rig_close(struct rig *r)
{
	ixfr_free(r->x);
	model_free(&r->zone);
	store_close(&r->base);
	store_close(&r->after);
}

int apply(struct rig *r)
{
	return ixfr_apply(r->x, &r->spy.kv, &r->in, &r->sums);
}

/* after is what the model became, and only as many keys were written as differ. */
void check_model(struct rig *r, const struct model *now)
{
	struct store want = store_open();
	struct change_sums *s = &r->sums;

	model_expect(now, r->base.kv, want.kv, zone);
	ck_assert(map_equal(want.kv, r->after.kv));
	ck_assert_uint_eq(r->spy.puts, s->rrsets_added + s->rrsets_changed);
	ck_assert_uint_eq(r->spy.dels, s->rrsets_deleted);
	ck_assert_int_eq((int64_t)(s->records_added - s->records_deleted), (int64_t)(now->n - r->zone.n));
	store_close(&want);
}

/* One step of one deletion and one addition, either NULL. */
void feed_step(struct rig *r, const struct rr *del, const struct rr *add)
{
	ck_assert_int_eq(ixfr_add(r->x, SOA(2)), 0);
	ck_assert_int_eq(ixfr_add(r->x, SOA(1)), 0);
	if (del != NULL)
		ck_assert_int_eq(ixfr_add(r->x, del), 0);
	ck_assert_int_eq(ixfr_add(r->x, SOA(2)), 0);
	if (add != NULL)
		ck_assert_int_eq(ixfr_add(r->x, add), 0);
	ck_assert_int_eq(ixfr_add(r->x, SOA(2)), 0);
	ck_assert(ixfr_is_complete(r->x));
}

void check_untouched(struct rig *r)
{
	ck_assert_uint_eq(r->spy.puts + r->spy.dels, 0);
	ck_assert(map_equal(r->base.kv, r->after.kv));
}

void check_fault(struct rig *r, enum ixfr_fault fault, const char *what)
{
	ck_assert_int_eq(apply(r), ZS_EFORMAT);
	ck_assert_int_eq(ixfr_fault(r->x), fault);
	ck_assert_msg(strstr(ixfr_text(r->x), what) != NULL, "%s", ixfr_text(r->x));
	check_untouched(r);
}
