/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The seeded faults: each makes one thing wrong in a good version, signed again where that hides it best. */
#ifndef ZONESEAL_T_GATE_FAULT_H
#define ZONESEAL_T_GATE_FAULT_H

#include "gate_run.h"

/* A good version (base) and the candidate to spoil. */
struct fx {
	struct tz *z;
	struct kvmem *base;
	struct kvmem *m;
	struct tv *v;       /* scratch */
	struct run *run;    /* how the gate is called */
	struct gate_params params;  /* for run->override */
	struct gate_key keys[TZ_KEYS];
};

enum { ON_NSEC = 1 << V_NSEC, ON_NSEC3 = 1 << V_NSEC3, ON_OPTOUT = 1 << V_OPTOUT, ON_TWO = 1 << V_TWO_ALGS,
       ON_CSK = 1 << V_CSK, ON_UNSIGNED = 1 << V_UNSIGNED, ON_HASHED = ON_NSEC3 | ON_OPTOUT,
       ON_ALL = ON_NSEC | ON_NSEC3 | ON_OPTOUT };
enum { WHOLE_ONLY = 1, CHANGE_ONLY };
struct fault {
	const char *name;
	enum gate_check check;
	unsigned variants;
	int how;
	void (*make)(struct fx *f);
};
extern const struct fault fault_table[];
extern const size_t fault_count;

#endif
