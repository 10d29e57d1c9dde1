/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate: an independent check of a candidate version, before anything of it is visible (ARCHITECTURE
 * "Gate"; RFC 4035 5, RFC 5155 8, RFC 6840 5.11, RFC 9077). It reads the candidate's own stored octets
 * through the raw iterator and shares no code with the signer: own parse of stored values, names, canonical
 * form, NSEC3 hash, delegation and empty non-terminal logic. The one sanctioned duplication of the program.
 *
 * Use: gate_new(), then either
 *   whole zone:  gate_split() into segments, gate_segment() for each (any thread, each with its own kv
 *                handle),
 *   a change:    gate_change() with the changed keys, and gate_step() for what it says of itself
 *                (gate_step_build() for what a build does),
 * then gate_finish() for what needs the sums, then read the findings. Pure: no clock, no I/O but the kv.
 */
#ifndef ZONESEAL_GATE_GATE_H
#define ZONESEAL_GATE_GATE_H

#include <stdbool.h>
#include "base/kv.h"

/* X(enum suffix, metric label, what it means) */
#define GATE_CHECK_MAP(X)                                                                   \
	X(STORED, "stored-value", "a stored value does not parse or its CRC is wrong")       \
	X(APEX, "apex", "SOA, NS or DNSKEY missing or doubled at the apex")                  \
	X(MISSING_SIG, "missing-signature", "an RRset lacks a signature of a key that must sign it") \
	X(MISSING_ALG, "missing-algorithm", "an algorithm of DNSKEY does not sign an RRset") \
	X(BAD_SIG, "bad-signature", "a signature does not verify")                           \
	X(UNKNOWN_KEY, "unknown-key", "a signature by a key that is not in DNSKEY")          \
	X(SIGNER, "signer", "signer name is not the apex in lower case")                     \
	X(LABELS, "labels", "wrong Labels field")                                            \
	X(SIG_TTL, "signature-ttl", "original TTL differs from the RRset's TTL")             \
	X(COVERED, "type-covered", "type covered differs from the RRset's type")             \
	X(TIMES, "signature-times", "inception in the future, expired, or expires too soon") \
	X(SIGNED_MUST_NOT, "signed-must-not", "a signature on glue, occluded data or a delegation's NS") \
	X(ROLE, "role", "DNSKEY, CDS or CDNSKEY not signed by a key with the SEP role")      \
	X(CHAIN_GAP, "chain-gap", "a name that has no NSEC or NSEC3 record")                 \
	X(CHAIN_LINK, "chain-link", "a next name or next hash that is not the next one")     \
	X(CHAIN_GHOST, "chain-ghost", "an NSEC or NSEC3 record for a name that is not there")\
	X(BITMAP, "bitmap", "a type bitmap that differs from the data")                      \
	X(OPT_OUT, "opt-out", "opt-out flag missing or wrong")                               \
	X(NSEC3_PARAM, "nsec3-param", "NSEC3PARAM and chain differ, or parameters are not allowed") \
	X(DENIAL_TTL, "denial-ttl", "NSEC or NSEC3 TTL is not min(SOA TTL, SOA MINIMUM)")    \
	X(MIXED_DENIAL, "mixed-denial", "NSEC and NSEC3 both, or leftovers of another chain")\
	X(DOWNGRADE, "downgrade", "fewer algorithms than before, or no DNSKEY any more (G9)")\
	X(EXPIRY_INDEX, "expiry-index",                                                      \
	  "a signed RRset without its entry in the expiry index, or the reverse")            \
	X(STRUCTURE, "structure", "an unsigned version holds signatures or a chain")         \
	X(TTL, "ttl", "an RRset TTL that is not the lowest of its records, or wrong for our apex types") \
	X(DUPLICATE_SIG, "duplicate-signature", "two signatures by the same key on one RRset")\
	X(CLOCK, "clock", "the clock is not plausible (G15)")                                \
	X(HISTORY, "history", "what the version says it changed is not what it changed")

enum gate_check {
#define X(name, label, text) GATE_##name,
	GATE_CHECK_MAP(X)
#undef X
	GATE_CHECKS
};
const char *gate_check_label(enum gate_check c);
const char *gate_check_text(enum gate_check c);

struct gate_params {
	const uint8_t *zone;       /* wire, lower case */
	size_t zone_len;
	int64_t now;               /* wall seconds */
	int64_t min_left;          /* a signature must be valid at least this long from now */
	bool unsigned_zone;        /* policy none: structure only */
	bool nsec3, opt_out;
	uint8_t nsec3_set;         /* set octet of the DENIAL table; NSEC: 0 */
	uint16_t nsec3_iterations;
	uint8_t salt[255]; uint8_t salt_len;
	uint32_t dnskey_ttl;       /* also for CDS, CDNSKEY */
	unsigned one_in;           /* 1: every signature is verified */
	uint64_t sample_seed;
	struct gate_tables *tables; /* outlives the gate; NULL: none */
	/* Keys by role, of the DNSKEY RRset about to be published: each must sign what its role says. */
	struct gate_key {
		const uint8_t *dnskey;
		uint16_t len; /* RDATA */
		bool signs_keys, signs_zone;
	} *key;
	size_t nkeys;
	/* The version before, to tell unchanged NSEC/NSEC3 TTLs and downgrades; NULL for the first. Opened
	 * per call by open_base(ctx): a fresh handle the gate closes. */
	int (*open_base)(void *ctx, struct kv **out);
	void *base_ctx;
};

/*
 * What makes verifying cheaper for P-256 keys that verify often: tables of multiples of their points, at most
 * GTABLES_MAX of 150 KiB, for gates of any zone and thread. They only ever say "good"; what they do not, and
 * 1 in GTABLE_SPOT of what they do, is put to EVP as without them. When EVP differs, the table is off for
 * good, and if it had said "good", the call fails with ZS_ECRYPTO.
 */
#define GTABLES_MAX 32
#define GTABLE_AFTER 1000
#define GTABLE_SPOT 64
struct gate_tables;
struct gate_tables *gate_tables_new(void); /* NULL when out of memory */
void gate_tables_free(struct gate_tables *t); /* NULL is legal; gates that use it are gone */
unsigned gate_tables_doubts(const struct gate_tables *t); /* how often EVP differed */

struct gate;
/* Copies params (keys too). NULL when out of memory. */
struct gate *gate_new(const struct gate_params *params);
void gate_free(struct gate *g);

/* A piece of work over a whole version: keys from (inclusive) to (exclusive, empty = to the end) of one
 * table. */
struct gate_part { uint8_t table; uint8_t from[511], to[511]; size_t from_len, to_len; };
/* Cuts the whole version into about `want` parts of like size; fills at most cap.
 * Returns how many or a zs_err. */
int gate_split(struct gate *g, struct kv *kv, unsigned want, struct gate_part *parts, size_t cap);
/* Checks one part. Thread-safe against other parts of the same gate.
 * 0 even with findings; ZS_EIO, ZS_ENOMEM... */
int gate_segment(struct gate *g, struct kv *kv, const struct gate_part *part);
/* Checks what a change touches: each changed key of RECORDS and DENIAL (as written or deleted), the names
 * around it, the chain links on both sides. next() yields the keys in order until ZS_ENOENT.
 * Needs a kv for itself. */
int gate_change(struct gate *g, struct kv *kv, int (*next)(void *ctx, const uint8_t **key, size_t *klen),
		void *ctx);
/*
 * Checks what a change says of itself, for those that follow by IXFR, and for who goes back: the entry of
 * that version in HISTORY must name the records and signatures, as served, that differ in the changed keys
 * between the base and the candidate, each on its side, and no others; that in USERDIFF upstream's records,
 * as received. gaps: the version leaves a gap in these tables instead, so there must be none. Older entries
 * that it merges must come to what they were. next() as above. Needs a kv for itself.
 */
enum { GATE_SERVED = 1, GATE_UPSTREAM = 2 };
int gate_step(struct gate *g, struct kv *kv, uint64_t version, unsigned gaps,
	      int (*next)(void *ctx, const uint8_t **key, size_t *klen), void *ctx);
/*
 * The same for a build, whose entries lead from the base to all of it: what differs is found by passing over
 * both. walk: another handle of the candidate. tick: now and then; non-zero ends it and is the answer.
 */
int gate_step_build(struct gate *g, struct kv *kv, struct kv *walk, uint64_t version, unsigned gaps,
		    int (*tick)(void *ctx), void *ctx);
/* Checks over the sums (whole zone: names against chain records) and the apex.
 * whole: after gate_segment()s. */
int gate_finish(struct gate *g, struct kv *kv, bool whole);

/*
 * One value about to be written: verifies its signatures, before anything of the version is stored, so that a
 * bad one can be made again on another session. A checker belongs to one thread at a time and must go before
 * its gate. Sampling (one_in) applies. *bad: bit i is set when the i-th signature does not verify. 0,
 * ZS_EFORMAT, ZS_ENOMEM, ZS_ECRYPTO.
 */
struct gate_checker;
int gate_checker_new(struct gate *g, struct gate_checker **out);
void gate_checker_free(struct gate_checker *c); /* NULL is legal */
/* Before a number of values is checked: each of them, in that order. It saves time, no more. */
void gate_check_ahead(struct gate_checker *c, const uint8_t *val, size_t vlen);
int gate_check_value(struct gate_checker *c, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen,
		     uint16_t *bad);

/*
 * Whole versions whose values were all checked by `values` before they were written: gate_finish() then
 * finds whether what is stored are those values under those keys, none less, none more. The SOA is left out,
 * since it may be made again; every run verifies it anyway.
 */
void gate_expect(struct gate *g, const struct gate *values);

/*
 * A change. gate_remember(values), before its first checker: it remembers each RRset with signatures that it
 * found good. gate_recall(g, values), before gate_change(): an RRset that is stored under its key, octet by
 * octet, as `values` verified it is verified again in 1 of GATE_AGAIN cases; the SOA always, and so is every
 * other RRset. Several `values` add up, and may go on verifying. Out of memory costs time, not checks.
 */
#define GATE_AGAIN 1000
void gate_remember(struct gate *values);
void gate_recall(struct gate *g, const struct gate *values);

/* Findings. At most GATE_FINDINGS_MAX are kept with their text, all are counted. */
#define GATE_FINDINGS_MAX 256
struct gate_finding {
	enum gate_check check;
	uint8_t key[511]; size_t key_len;   /* stored key of the RRset concerned */
	uint16_t type;
	uint8_t key_id_hint[4];             /* key tag (u16) and algorithm (u8) for signatures, else 0 */
	char text[320];                     /* "a.example. A: signature by 12345/13 does not verify" */
};
size_t gate_findings(const struct gate *g, const struct gate_finding **out);
uint64_t gate_count(const struct gate *g, enum gate_check c);
uint64_t gate_total(const struct gate *g); /* all findings */
/* Bad signatures alone can be made again: true when every finding is BAD_SIG. */
bool gate_repairable(const struct gate *g);
/* After gate_step(): true when what is wrong beside history itself, if anything, are values of the base:
 * the candidate is none the worse for it. */
bool gate_spares_candidate(const struct gate *g);
struct gate_sums { uint64_t rrsets, signatures, verified, chain_names, chain_records; };
void gate_sums(const struct gate *g, struct gate_sums *out);

#endif
