/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A line that says what of a policy shapes a stored version: another line means zone-sized work. as_received:
 * signed input is passed on, not stripped or refused. */
#ifndef ZONESEAL_SRC_APP_POLICYPRINT_H
#define ZONESEAL_SRC_APP_POLICYPRINT_H

#include <stdio.h>
#include "keys/policy.h"

static inline void policy_print(const struct policy *p, bool as_received, char *dst, size_t cap)
{
	if (p->unsigned_zone)
		snprintf(dst, cap, as_received ? "unsigned, as received" : "unsigned");
	else
		snprintf(dst, cap, "%s opt-out=%d iterations=%u salt=%u dnskey-ttl=%u",
			 p->denial == DENIAL_NSEC3 ? "nsec3" : "nsec",
			 p->denial == DENIAL_NSEC3 && p->opt_out, p->nsec3_iterations, p->nsec3_salt_length,
			 p->dnskey_ttl);
}

#endif
