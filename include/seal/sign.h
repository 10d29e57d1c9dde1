/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What to sign and how: decides per RRset which signatures stay and which are made, with which times, and
 * assembles RRSIG RDATA and the message to sign. Pure: no clock, no keys, no I/O. RFC 4034 3.1, RFC 4035 2.2,
 * RFC 6840 5.11.
 */
#ifndef ZONESEAL_SEAL_SIGN_H
#define ZONESEAL_SEAL_SIGN_H

#include "base/arena.h"
#include "dns/rrset.h"
#include "keys/keyset.h"

struct signer_key { uint8_t id[16]; uint8_t algorithm; uint16_t tag; bool signs_keys, signs_zone; };

struct signer {
	uint8_t zone[255]; uint8_t zone_len;     /* wire, lower case */
	struct signer_key key[KEYSET_KEYS_MAX]; unsigned nkeys;
	int64_t now, validity, dnskey_validity, refresh, jitter, inception_offset;
	uint64_t seed;                           /* jitter: hash of (seed, owner, type) */
	/* big version: U(0..(validity - refresh) * 3/4) instead of jitter */
	bool spread;
};
/* From the zone's active keys and policy. */
void signer_init(struct signer *s, const uint8_t *zone, const struct keyset *ks, const struct policy *p,
		 wall_t now, uint64_t seed, bool spread);

enum sign_reason { SIGN_NEW, SIGN_CHANGED, SIGN_REFRESH, SIGN_ROLL, SIGN_REASONS };

/* One signature to make. */
struct sign_want {
	unsigned key; /* index in signer */
	uint8_t *hdr;
	uint16_t hdr_len; /* RRSIG RDATA without signature */
};
/*
 * Compares set (content to publish; its sigs ignored) with old (the stored RRset it replaces, with its
 * signatures, or NULL). keep[]: indexes into old->sig that stay (canonical content, TTL and labels equal,
 * made by an active key of the right role, inception not in the future, remaining life at least
 * `due_within`). want[]: signatures to make, all with the same times. Arrays have room for RRSET_SIGS_MAX;
 * hdr octets come from mem. *reason: why, when nwant > 0. Both sets are normalised. The RRset is to be
 * written anew when nwant > 0 or nkeep < old->nsig (a key is gone). ZS_EKEY: no key of the role; ZS_EINVAL:
 * RRSIG or an empty set; ZS_ENOMEM.
 */
struct sign_plan {
	unsigned nkeep, keep[RRSET_SIGS_MAX];
	unsigned nwant;
	struct sign_want want[RRSET_SIGS_MAX];
	enum sign_reason reason;
};
int sign_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due_within,
	      struct arena *mem, struct sign_plan *out);
/* Other times for what is to be made: the signer was told to spread them after the plan. */
void sign_times_again(const struct signer *s, const struct rrset *set, struct sign_plan *plan);
/* hdr + canonical RRset into out (growing). The same for every algorithm. */
int sign_tbs(const struct sign_want *w, const uint8_t *canonical, size_t clen, struct wr *out);
/* RRSIG RDATA = header + signature, from mem. */
int sign_assemble(const struct sign_want *w, const uint8_t *sig, uint16_t len, struct arena *mem,
		  struct sig_item *out);
/* Expiry of an RRset's signatures: the earliest expiration as 64-bit seconds near now;
 * ZS_ENOENT without signatures. */
int sign_earliest(const struct sig_item *sig, unsigned n, int64_t now, int64_t *out);
/* Latest inception of them (guard G15); 0 without signatures. */
int64_t sign_latest_inception(const struct sig_item *sig, unsigned n, int64_t now);
/* 32-bit serial time to 64 bits near now (RFC 4034 3.1.5). */
int64_t sig_time(uint32_t t, int64_t now);

/* Signed serial of the next version: what the policy would like if that is above the floor (RFC 1982), else
 * floor + 1. For SERIAL_DATE YYYYMMDD of now is derived inside. */
uint32_t serial_next(enum serial_policy p, uint32_t upstream, uint32_t floor, bool have_floor, wall_t now);

#endif
