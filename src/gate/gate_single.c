/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Values one by one, before they are stored: their signatures only. What is verified here are the very octets
 * that are written; the checks of the whole version then need not verify them a second time. Called by
 * workers, each with its own checker.
 */
#include <stdlib.h>
#include <string.h>

#include "gate_impl.h"

struct gate_checker { struct gjob job; };

int gate_checker_new(struct gate *g, struct gate_checker **out)
{
	struct gate_checker *c = calloc(1, sizeof *c);
	int rc = c ? gjob_init(&c->job, g, NULL) : ZS_ENOMEM;

	if (rc) {
		gate_checker_free(c);
		return rc;
	}
	*out = c;
	return 0;
}

void gate_checker_free(struct gate_checker *c)
{
	if (!c)
		return;
	gjob_done(&c->job);
	free(c);
}

static int owner_of(struct gjob *j, const uint8_t *key, size_t klen, struct grrset *rs,
		    uint8_t wire[static GWIRE_MAX])
{
	size_t olen;
	int rc;

	if (klen < 2)
		return ZS_EFORMAT;
	if (key[0] == IN_DENIAL) {
		rs->type = j->g->p.nsec3 ? TY_NSEC3 : TY_NSEC;
		return gden_owner(j, key, klen, wire, &rs->wire_len);
	}
	rc = key[0] == IN_RECORDS ? gkey_split(key, klen, &olen, &rs->type) : ZS_EFORMAT;
	return rc ? rc : gname_to_wire(key + 1, olen, wire, &rs->wire_len);
}

void gate_check_ahead(struct gate_checker *c, const uint8_t *val, size_t vlen)
{
	struct gval v;

	if (gval_parse(&v, val, vlen) == 0)
		grrset_ahead(&c->job, &v);
}

int gate_check_value(struct gate_checker *c, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen,
		     uint16_t *bad)
{
	uint8_t wire[GWIRE_MAX];
	struct grrset rs = { .key = key, .klen = klen, .wire = wire, .must_sign = true };
	struct gval v;
	int rc = owner_of(&c->job, key, klen, &rs, wire);

	*bad = 0;
	if (!rc)
		rc = gval_parse(&v, val, vlen);
	return rc ? rc : grrset_verify(&c->job, &rs, &v, bad);
}
