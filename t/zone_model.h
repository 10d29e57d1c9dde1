/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zone as a plain list of records, searched from its beginning each time: the slow and obvious model that
 * differences are tested against. The records of an RRset all have the case of the owner that came last.
 */
#ifndef ZONESEAL_T_ZONE_MODEL_H
#define ZONESEAL_T_ZONE_MODEL_H

#include "dns/ixfr.h"
#include "dns/merge.h"

struct model_rec {
	uint8_t owner[NAME_MAX_WIRE];
	uint16_t type, len;
	uint32_t ttl;
	uint8_t *data;
};
struct model { struct model_rec *rec; size_t n, cap; };

void model_free(struct model *m);
struct model model_copy(const struct model *m);
struct rr model_rr(const struct model *m, size_t i);
/* Index of the record of that owner, type and canonical RDATA; m->n: none. */
size_t model_find(const struct model *m, const struct rr *rr);
/* The same in every octet and TTL. */
bool model_has(const struct model *m, const struct rr *rr);
/* As a step of an IXFR: false when it does not fit. */
bool model_del(struct model *m, const struct rr *rr);
bool model_add(struct model *m, const struct rr *rr);
/* Adds a duplicate, too. */
void model_push(struct model *m, const struct rr *rr);
/* RRset by RRset in order of keys; nsig: with so many signatures of nothing. */
int model_each(const struct model *m, uint8_t nsig,
	       int (*f)(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set), void *ctx);
/* Puts all of it, with nsig signatures. */
void model_put(const struct model *m, struct kv *kv, uint8_t nsig);

/* Every item of `from` into `to`. */
void map_copy(struct kv *to, struct kv *from);
/* Same keys, same octets. */
bool map_equal(struct kv *a, struct kv *b);
/*
 * What must stand in a store after base became m: base's own octets where an RRset is what it was, else the
 * unsigned RRset of m. Items that are kept (the SOA, ours) are in both.
 */
void model_expect(const struct model *m, struct kv *base, struct kv *out, const uint8_t *zone);

#endif
