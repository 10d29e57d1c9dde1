/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an owner is, told while owners pass in canonical order (RFC 4034 6.1): authoritative, delegation, or
 * occluded by a delegation or a DNAME above it (glue counts as occluded: not signed, not in the chain).
 * RFC 4035 2.2, RFC 5155 7.1, RFC 6672 2.4.
 */
#ifndef ZONESEAL_DNS_WALK_H
#define ZONESEAL_DNS_WALK_H

#include "dns/name.h"

enum node_kind { NODE_APEX, NODE_AUTH, NODE_CUT_INSECURE, NODE_CUT_SECURE, NODE_OCCLUDED };

struct walk {
	uint8_t apex[OKEY_MAX]; size_t apex_len;
	uint8_t top[OKEY_MAX]; size_t top_len; /* owner of the last cut or DNAME; top_len 0 = none */
	bool have_top;
};
void walk_init(struct walk *w, const uint8_t *apex_okey, size_t len);
/* The next owner, in ascending order, each once, with whether it has NS, DS, DNAME RRsets. */
enum node_kind walk_step(struct walk *w, const uint8_t *okey, size_t len, bool has_ns, bool has_ds,
			 bool has_dname);
/* Is this RRset signed? (apex and AUTH: all; cuts: DS only; occluded: none). */
bool node_signs(enum node_kind kind, uint16_t type);
/* Is this type in the NSEC/NSEC3 bitmap of such a node? (cuts: NS and DS only; NSEC and RRSIG are the chain's
 * own) */
bool node_lists(enum node_kind kind, uint16_t type);

#endif
