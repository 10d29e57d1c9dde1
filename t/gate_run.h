/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Zones for the tests of the gate, and running it over one version or over the difference of two. */
#ifndef ZONESEAL_T_GATE_RUN_H
#define ZONESEAL_T_GATE_RUN_H

#include "gate/gate.h"
#include "gate_zone.h"

enum variant { V_NSEC, V_NSEC3, V_OPTOUT, V_TWO_ALGS, V_CSK, V_APEX_DNAME, V_ROOT, V_UNSIGNED, VARIANTS };
/* The zone with everything odd in it. */
void zone_fill(struct tz *z, enum variant variant);

struct run {
	struct tz *z;
	struct kvmem *base;     /* or NULL */
	int64_t now, min_left;  /* 0: TZ_NOW, a day */
	unsigned one_in;
	bool unsigned_zone;
	bool verbose;
	/* Keys and parameters as given to the gate, when they are to differ from the zone's. */
	const struct gate_params *override;
	const struct gate *values; /* for gate_expect() or gate_recall(), or NULL */
};
struct gate *run_whole(const struct run *r, struct kvmem *m, unsigned parts);
struct gate *run_change(const struct run *r, struct kvmem *m);
void run_params(const struct run *r, struct gate_params *p, struct gate_key keys[TZ_KEYS]);
void run_print(struct gate *g);

#endif
