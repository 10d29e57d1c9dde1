/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One changed RRset on its way into a version: written at its RECORDS key only when it differs from what
 * stands there, and counted. What an IXFR (dns/ixfr.h) and the merge of an AXFR (dns/merge.h) have in common,
 * so that both leave the same behind.
 */
#ifndef ZONESEAL_DNS_CHANGE_H
#define ZONESEAL_DNS_CHANGE_H

#include "base/kv.h"
#include "dns/intake.h"
#include "dns/rrset.h"
#include "dns/schema.h"

/*
 * Net, against what was stored; records match by owner, type and canonical RDATA, duplicates one by one.
 * Octets are counted as the intake does: owner, ten, RDATA. The apex SOA and what is ours are never in it.
 */
struct change_sums {
	uint64_t records_added, records_deleted;
	uint64_t records_replaced;   /* other TTL or case */
	uint64_t octets_added, octets_deleted;
	uint64_t rrsets_added, rrsets_deleted, rrsets_changed; /* together: RRsets touched */
	/* of those: NS off the apex, occluded ones too */
	uint64_t cuts_added, cuts_deleted, cuts_changed;
	uint32_t largest_ttl;        /* of RRsets added or changed */
};

struct change {
	struct kv *after;            /* can write */
	struct intake *in;           /* NULL, or sees each record that is new */
	struct change_sums sums;
	/* private */
	uint8_t apex_ns[KEY_MAX];
	size_t apex_ns_len;
	struct wr enc;
};
/* Borrows both; change_end() gives back what it made itself. */
void change_init(struct change *c, const uint8_t *zone, struct kv *after, struct intake *in);
void change_end(struct change *c);
/*
 * set: the RRset as it is to be, normalised, without signatures; NULL or empty: it goes. old: the item that
 * is stored at this key, NULL: none. The value put is unsigned; nothing is put when all but the signatures
 * is the same octets. 0; ZS_ECRC, ZS_EFORMAT, ZS_EVERSION: the stored value is damaged; ZS_EPERM: in->discard
 * says why; or what kv_put() and kv_del() answer.
 */
int change_set(struct change *c, const uint8_t *key, size_t klen, const struct rrset *set,
	       const struct kv_item *old);

#endif
