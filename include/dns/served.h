/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a secondary sees of a stored RRset: owner and type that follow from its key (dns/schema.h), its
 * records without duplicates and its signatures as records (dns/rrset.h). Transfers and history share it.
 */
#ifndef ZONESEAL_DNS_SERVED_H
#define ZONESEAL_DNS_SERVED_H

#include "dns/name.h"
#include "dns/rrset.h"

/*
 * Type and lower-case owner of a RECORDS or DENIAL key. zone: lower case, needed for NSEC3 (base32hex of the
 * hash below the apex, RFC 5155 3). ZS_EFORMAT.
 */
int served_key(const uint8_t *zone, const uint8_t *key, size_t klen, uint8_t owner[static NAME_MAX_WIRE],
	       uint16_t *type);
/* Only the type: the cheap half. ZS_EFORMAT. */
int served_type(const uint8_t *key, size_t klen, uint16_t *type);
/*
 * The next served record of an opened value: type, class, TTL and RDATA of *out are set, its owner is left
 * alone. *sig: an RRSIG over the set. False at the end.
 */
bool served_next(struct rrval *v, uint16_t type, struct rr *out, bool *sig);

#endif
