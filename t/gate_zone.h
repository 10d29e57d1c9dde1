/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A small, slow signer for the tests of the gate: own names, own canonical form, own chain, all by looking
 * through everything each time. It makes whole signed versions in a kvmem, and single values can be taken
 * out, changed, signed again and put back. Errors abort: it is a test.
 */
#ifndef ZONESEAL_T_GATE_ZONE_H
#define ZONESEAL_T_GATE_ZONE_H

#include <openssl/evp.h>
#include <stdbool.h>
#include "base/kv.h"
#include "base/rand.h"

#define TZ_NOW 1800000000
#define TZ_KEYS 8
#define TZ_KEY_TTL 7200

struct tz_name { size_t len; uint8_t k[512]; };
struct tz_rr {
	struct tz_name name;
	uint8_t owner[256];
	size_t owner_len;
	uint16_t type;
	uint32_t ttl;
	size_t len;
	uint8_t *data;
};
struct tz_key {
	EVP_PKEY *pkey;
	uint8_t rdata[600];
	uint16_t len, tag;
	uint8_t alg;
	bool signs_keys, signs_zone, hidden; /* hidden: not in DNSKEY */
};
struct tz {
	uint8_t zone[256];
	size_t zone_len;
	struct tz_name apex;
	struct tz_rr *rr;
	size_t n;
	struct tz_key key[TZ_KEYS];
	size_t nkeys;
	bool nsec3, opt_out;
	uint8_t set, salt[4], salt_len;
	uint16_t iterations;
	uint64_t seq;
	/* What the next signatures look like, for faults. */
	struct {
		int labels;
		uint32_t ttl;
		int64_t inception, expiration;
		const char *signer;
		uint16_t covered;
	} tweak;
};

/* One stored value, open. */
#define TV_RR 300
#define TV_SIGS 20
struct tv {
	uint8_t key[512];
	size_t klen;
	uint16_t type;
	uint8_t flags;
	uint32_t ttl;
	size_t owner_len, src_len, nrr, nsig;
	uint8_t owner[256], src[512];
	struct { uint32_t ttl; uint8_t flags; uint16_t len; uint8_t data[700]; } rr[TV_RR];
	struct { uint16_t len; uint8_t data[700]; } sig[TV_SIGS];
	uint64_t exp_time, exp_seq;
};

void tz_init(struct tz *z, const char *zone);
void tz_free(struct tz *z);
void tz_add_key(struct tz *z, uint8_t alg, uint16_t flags, bool signs_keys, bool signs_zone);
/* data: pieces separated by spaces: `=00ff` octets, `'text` a character string, else a name. */
void tz_add(struct tz *z, const char *owner, uint16_t type, uint32_t ttl, const char *data);
size_t tz_del(struct tz *z, const char *owner, uint16_t type); /* type 0: all */
size_t tz_data(const char *text, uint8_t *out);
size_t tz_wire(const char *text, uint8_t *out);
struct tz_name tz_okey(const char *text);
uint8_t tz_lower(uint8_t c);
size_t tz_wire_of(const uint8_t *k, size_t len, uint8_t *out);
void tz_canon(uint16_t type, uint8_t *p, size_t len); /* RDATA, in place */
/* Builds a version. What is the same in base (may be NULL) is taken over with its signatures. */
struct kvmem *tz_build(struct tz *z, struct kvmem *base);
struct kvmem *tz_copy(struct kvmem *m);

size_t tz_key_record(const struct tz *z, const char *owner, uint16_t type, uint8_t *key);
size_t tz_key_denial(const struct tz *z, const char *owner, uint8_t *key); /* NSEC or NSEC3 */
size_t tz_key_denial_k(const struct tz *z, const uint8_t *k, size_t len, uint8_t *key);
bool tv_load(struct kvmem *m, const uint8_t *key, size_t klen, struct tv *v);
void tv_store(struct tz *z, struct kvmem *m, struct tv *v); /* with its expiry entry; the old one goes */
void tv_put(struct kvmem *m, struct tv *v);                 /* the value alone, as it is */
void tv_delete(struct kvmem *m, const uint8_t *key, size_t klen); /* with its expiry entry */
void tv_sign(struct tz *z, struct tv *v);                   /* all signatures anew, by role */
void tv_sign_with(struct tz *z, struct tv *v, size_t key);  /* adds one */
size_t tv_encode(const struct tv *v, uint8_t *out);

#endif
