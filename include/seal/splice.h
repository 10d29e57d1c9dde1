/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a change of RRsets does to everything else that is signed: which RRsets must be planned anew, and
 * which records of the denial chain come, go or change. The result is that of the whole chain
 * (seal/denial.h) and of a walk over all of both versions; the work follows the change: O(log n) for each
 * affected name and label of it. RFC 4034 4, RFC 4035 2.2, RFC 5155 7.1, RFC 6672 2.4. Pure over the raw
 * iterator.
 */
#ifndef ZONESEAL_SEAL_SPLICE_H
#define ZONESEAL_SEAL_SPLICE_H

#include "seal/denial.h"

/*
 * All record() calls come first, then chain() and chain_gone() calls; each of the two in ascending order of
 * keys. Anything but 0 from a call ends the run and is its result (for next_changed: but 0 and ZS_ENOENT).
 * Keys and sets are borrowed during the call. The calls may write to `after` through handles of their own:
 * new values under the RECORDS keys told, and DENIAL.
 */
struct splice_ops {
	/* A fresh read handle on the version that stands; the splice closes it. */
	int (*open_before)(void *ctx, struct kv **out);
	/* The same with the changed RRsets put or deleted in RECORDS. Only before's DENIAL is ever read. */
	int (*open_after)(void *ctx, struct kv **out);
	/* RECORDS keys of the changed RRsets (put or deleted), ascending, borrowed until the next call;
	 * ZS_ENOENT at the end. All of them are asked for before any other call but the two opens. */
	int (*next_changed)(void *ctx, const uint8_t **key, size_t *klen);
	/*
	 * An RRset of `after` to be planned anew: each changed one that exists, and each whose being signed
	 * changes because a delegation or a DNAME came or went at its owner (a delegation's own TXT) or
	 * above. Each once. signs: it carries signatures in `after`. kind: what its owner is there.
	 */
	int (*record)(void *ctx, const uint8_t *key, size_t klen, enum node_kind kind, bool signs);
	/* A chain record that is new, or differs from before's in RDATA (next name, bitmap, flags): complete
	 * but for signatures; owner lower case, TTL p->ttl, RRV_OURS, for NSEC3 RRV_SRC and src. */
	int (*chain)(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set);
	int (*chain_gone)(void *ctx, const uint8_t *key, size_t klen);
	void *ctx;
};

struct splice_sums {
	uint64_t names; /* affected, as limit counts them */
	/* Delegations; a hidden one is none. changed: in both, and its NS RRset is among the changed. */
	uint64_t cuts_came, cuts_gone, cuts_changed;
	uint64_t records; /* record() calls, */
	uint64_t gained, lost; /* of them not changed themselves, but signed in one version only */
	uint64_t chain_new, chain_changed, chain_gone;
	uint8_t clash[2][NAME_MAX_WIRE]; /* ZS_EHELD: the two names */
};

/*
 * limit: most affected names: owners of changed RRsets; with NSEC3 the empty non-terminals above them that
 * may come or go; names that a delegation or DNAME above them hides or uncovers, those empty included.
 *
 * Errors: ZS_ELIMIT (more than limit names, and as denial_owner() and nsec3_owner() say it: zone-sized work
 * comes to the same or tells the cause), ZS_EHELD (two names with one NSEC3 hash: sums->clash), ZS_EINVAL (a
 * changed key that is no RECORDS key of the zone or not above the last one; before's NSEC3 have other
 * parameters than p, opt-out aside), ZS_EFORMAT and ZS_ECRC (before's DENIAL), ZS_ENOMEM, what kv and calls
 * answer. sums may be NULL; it is filled in on errors too, as far as things got.
 */
int splice_run(const struct denial_params *p, const struct splice_ops *ops, size_t limit,
	       struct splice_sums *sums);

#endif
