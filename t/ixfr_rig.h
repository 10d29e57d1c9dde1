/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the tests of incoming differences share: records from text, a store with the zone of the cases and a
 * copy of it that the difference goes to, through a handle that counts what is written and may be full.
 */
#ifndef ZONESEAL_T_IXFR_RIG_H
#define ZONESEAL_T_IXFR_RIG_H

#include "zone_model.h"

extern const uint8_t zone[10];

struct record { uint8_t owner[NAME_MAX_WIRE], rdata[64]; struct rr rr; };
const struct rr *record(struct record *r, const char *owner, uint16_t type, uint32_t ttl, const void *rdata,
			size_t len);
#define RR(owner, type, ttl, s) record(&(struct record){ 0 }, owner, type, ttl, s, sizeof(s) - 1)
const struct rr *soa_record(struct record *r, uint32_t serial);
#define SOA(serial) soa_record(&(struct record){ 0 }, serial)

/* most: how many writes are taken, 0 = all. */
struct spy { struct kv kv; struct kv *to; unsigned puts, dels, most; };
extern const struct kv_ops spy_ops;

struct store { struct kvmem *m; struct kv *kv; };
struct store store_open(void);
void store_close(struct store *s);

struct rig {
	struct model zone;       /* what upstream had */
	struct store base, after;
	struct spy spy;          /* on after */
	struct intake in;
	struct ixfr *x;
	struct change_sums sums;
};
/* Empty, upstream at that serial. */
void rig_start(struct rig *r, enum intake_mode mode, uint32_t serial);
/* Stores r->zone, an SOA, something of ours and of other tables. */
void rig_store(struct rig *r);
/* With the zone of the cases, at serial 1. */
void rig_open(struct rig *r, enum intake_mode mode);
void rig_close(struct rig *r);
int apply(struct rig *r);
/* after is what the model became, and only as many keys were written as differ. */
void check_model(struct rig *r, const struct model *now);
void check_untouched(struct rig *r);
/* The difference does not fit, and nothing of it is taken. */
void check_fault(struct rig *r, enum ixfr_fault fault, const char *what);
/* Feeds one step of one deletion and one addition, either NULL. */
void feed_step(struct rig *r, const struct rr *del, const struct rr *add);
#define ADD(rr) ck_assert_int_eq(ixfr_add(r.x, rr), 0)
#define BAD(rr, what) do { \
	ck_assert_int_eq(ixfr_add(r.x, rr), ZS_EFORMAT); \
	ck_assert_int_eq(ixfr_fault(r.x), IXFR_SEQUENCE); \
	ck_assert_msg(strstr(ixfr_text(r.x), what) != NULL, "%s", ixfr_text(r.x)); \
	} while (0)

#endif
