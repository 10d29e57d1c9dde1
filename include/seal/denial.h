/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Denial of existence: which names are in the chain, their type bitmaps, NSEC and NSEC3 RDATA, and the whole
 * chain as a stream. RFC 4034 4, RFC 5155 7.1, RFC 4592, RFC 6672. Pure over the raw iterator.
 */
#ifndef ZONESEAL_SEAL_DENIAL_H
#define ZONESEAL_SEAL_DENIAL_H

#include "base/arena.h"
#include "base/kv.h"
#include "dns/rrset.h"
#include "dns/schema.h"
#include "dns/walk.h"
#include "keys/policy.h"

struct denial_params {
	enum denial kind; bool opt_out; uint8_t set; /* DENIAL set octet: 0 for NSEC */
	uint16_t iterations; uint8_t salt[NSEC3_SALT_MAX]; uint8_t salt_len;
	uint32_t ttl;                                /* min(SOA TTL, SOA MINIMUM) */
	const uint8_t *zone;                         /* wire, lower case */
};

#define BITMAP_MAX 8704 /* 256 windows of 34 octets */

/* Iterated SHA-1 (RFC 5155 5) of the lower-cased wire name. ctx: reusable, from nsec3_ctx_new(). */
struct nsec3_ctx;
struct nsec3_ctx *nsec3_ctx_new(void);
void nsec3_ctx_free(struct nsec3_ctx *c);
int nsec3_hash(struct nsec3_ctx *c, const struct denial_params *p, const uint8_t *name,
	       uint8_t out[static NSEC3_HASH_LEN]);
/* Window blocks of sorted types into out; returns the length (RFC 4034 4.1.2). */
size_t bitmap_build(uint8_t out[static BITMAP_MAX], const uint16_t *types, size_t n);

/* One name of the chain. kind NODE_OCCLUDED never appears; ent: empty non-terminal (no types). */
struct chain_name {
	uint8_t okey[OKEY_MAX]; size_t klen;
	enum node_kind kind; bool ent;
	/* sorted; with NSEC in NSEC chains alone, and with RRSIG where something is signed (RFC 4034 4.1.2,
	 * RFC 5155 7.1) */
	uint16_t types[1024];
	size_t ntypes;
	/* types of an owner over 1,024: ZS_ELIMIT */
};
/*
 * All chain names of a version's RECORDS, in canonical order; for NSEC3 with empty non-terminals, and without
 * insecure delegations under opt-out. extra: at most 16 types that the apex will have though they are not
 * stored yet (for example SOA); with extra the apex comes even if nothing of it is stored.
 * The kv handle is used up to the end and stays the caller's; p is copied but for p->zone, which is used here
 * only.
 */
struct chain_iter;
int chain_iter_new(struct kv *kv, const struct denial_params *p, const uint16_t *extra, size_t nextra,
		   struct chain_iter **out);
int chain_iter_next(struct chain_iter *it, const struct chain_name **out); /* ZS_ENOENT at the end */
void chain_iter_free(struct chain_iter *it);

/* RDATA into out (NAME + BITMAP room: 255 + BITMAP_MAX); return the length. next names are lower case. */
size_t nsec_rdata(uint8_t *out, const uint8_t *next_name, const uint16_t *types, size_t n);
size_t nsec3_rdata(uint8_t *out, const struct denial_params *p, const uint8_t next[static NSEC3_HASH_LEN],
		   const uint16_t *types, size_t n);
/* NSEC3PARAM RDATA (flags 0). Returns the length (5 + salt). */
size_t nsec3param_rdata(uint8_t out[static 5 + NSEC3_SALT_MAX], const struct denial_params *p);
/* base32hex(hash).zone, lower case; ZS_ELIMIT when over 255 octets. */
int nsec3_owner(const uint8_t hash[static NSEC3_HASH_LEN], const uint8_t *zone,
		uint8_t out[static NAME_MAX_WIRE]);

/* Is a node of this kind in the chain? (an insecure delegation is not under NSEC3 opt-out) */
bool denial_in_chain(const struct denial_params *p, enum node_kind kind);
/*
 * The types of one owner and what it is, looked up (for refreshes and, later, splicing): ancestors are
 * searched for cuts and DNAMEs. An occluded owner is NODE_OCCLUDED, without types. ZS_ENOENT: no records at
 * this owner.
 */
int denial_owner(struct kv *kv, const struct denial_params *p, const uint8_t *okey, size_t klen,
		 struct chain_name *out);
/*
 * The same for any name: with NSEC3 also one without records that has an owner below it, which nothing hides
 * (an empty non-terminal, as the stream tells it: ent). The first owner below a name without records is never
 * occluded by another below it: one seek is enough. ZS_ENOENT: none of that; the name stands in out all the
 * same if it is within the zone.
 */
int denial_name(struct kv *kv, const struct denial_params *p, const uint8_t *okey, size_t klen,
		struct chain_name *out);

#endif
