/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which owners are authoritative. Owners pass in canonical order, so that everything below a cut or a DNAME
 * follows it directly: one remembered name is enough. A DNAME at the apex occludes the whole rest (RFC 6672
 * 2.3). Called by intake, seal and exports; the gate has its own.
 */
#include <string.h>

#include "dns/rr.h"
#include "dns/walk.h"

void walk_init(struct walk *w, const uint8_t *apex_okey, size_t len)
{
	*w = (struct walk){ .apex_len = len };
	memcpy(w->apex, apex_okey, len);
}

static void walk_mark(struct walk *w, const uint8_t *okey, size_t len)
{
	memcpy(w->top, okey, len);
	w->top_len = len;
	w->have_top = true;
}

enum node_kind walk_step(struct walk *w, const uint8_t *okey, size_t len, bool has_ns, bool has_ds,
			 bool has_dname)
{
	bool apex = okey_cmp(okey, len, w->apex, w->apex_len) == 0;

	if (!apex && w->have_top && len > w->top_len && okey_within(okey, len, w->top, w->top_len))
		return NODE_OCCLUDED;
	if (!okey_within(okey, len, w->apex, w->apex_len))
		return NODE_OCCLUDED; /* outside of the zone: never ours */
	w->have_top = false;
	if (has_dname || (has_ns && !apex))
		walk_mark(w, okey, len);
	if (apex)
		return NODE_APEX;
	if (!has_ns)
		return NODE_AUTH;
	return has_ds ? NODE_CUT_SECURE : NODE_CUT_INSECURE;
}

bool node_signs(enum node_kind kind, uint16_t type)
{
	if (type == T_RRSIG)
		return false; /* RFC 4035 2.2 */
	switch (kind) {
	case NODE_APEX:
	case NODE_AUTH:
		return true;
	case NODE_CUT_INSECURE:
	case NODE_CUT_SECURE:
		return type == T_DS || type == T_NSEC; /* the parent's side of the cut */
	case NODE_OCCLUDED:
		break;
	}
	return false;
}

bool node_lists(enum node_kind kind, uint16_t type)
{
	if (type == T_RRSIG || type == T_NSEC || type == T_NSEC3)
		return false;
	switch (kind) {
	case NODE_APEX:
	case NODE_AUTH:
		return true;
	case NODE_CUT_INSECURE:
	case NODE_CUT_SECURE:
		return type == T_NS || type == T_DS;
	case NODE_OCCLUDED:
		break;
	}
	return false;
}
