/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A signing policy as plain, validated values: keys and times (RFC 6781, RFC 8624). Seconds throughout. */
#ifndef ZONESEAL_KEYS_POLICY_H
#define ZONESEAL_KEYS_POLICY_H

#include <stdbool.h>
#include <stdint.h>

enum denial { DENIAL_NSEC, DENIAL_NSEC3 };
enum key_layout { KEYS_KSK_ZSK, KEYS_CSK };
enum serial_policy { SERIAL_UPSTREAM, SERIAL_INCREMENT, SERIAL_UNIXTIME, SERIAL_DATE };

#define NSEC3_ITERATIONS_MAX 50
#define NSEC3_SALT_MAX 32

/* DNSSEC algorithm numbers that zoneseal signs with (IANA registry). */
enum dnssec_alg {
	ALG_RSASHA256 = 8,
	ALG_RSASHA512 = 10,
	ALG_ECDSAP256 = 13,
	ALG_ECDSAP384 = 14,
	ALG_ED25519 = 15,
	ALG_ED448 = 16,
};

struct policy {
	char *name;
	bool unsigned_zone; /* the policy `none` */
	char *keystore;
	uint8_t algorithm; /* enum dnssec_alg */
	uint16_t rsa_bits;
	enum key_layout keys;
	enum denial denial;
	bool opt_out;
	uint16_t nsec3_iterations;
	uint8_t nsec3_salt_length;
	int64_t validity;
	int64_t refresh;
	int64_t jitter;
	int64_t inception_offset;
	int64_t dnskey_validity;
	uint32_t dnskey_ttl;
	enum serial_policy serial;
	uint16_t verify_one_in; /* 1 = all */
};

#endif
