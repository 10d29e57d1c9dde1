/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The largest real steps of public zone histories are below 5 %; small zones have a floor, because one change
 * is a large part of them. */
#include <stdio.h>
#include "inputguard.h"

#define SHRINK_FLOOR 50 /* records */
#define CHURN_FLOOR 10  /* delegations */

/* More than pct percent of old, and more than the floor. */
static bool passes(uint64_t changed, uint64_t old, uint8_t pct, uint64_t floor)
{
	return pct && changed > floor && changed > old * pct / 100;
}

void guard_content(struct intake *in, const struct guard_figures *f, char *text, size_t cap)
{
	text[0] = 0;
	if (f->records < f->old_records &&
	    passes(f->old_records - f->records, f->old_records, f->shrink_pct, SHRINK_FLOOR)) {
		intake_hold(in, IR_SHRINK, f->zone);
		snprintf(text, cap, "%llu records instead of %llu", (unsigned long long)f->records,
			 (unsigned long long)f->old_records);
	} else if (passes(f->churn, f->old_cuts, f->churn_pct, CHURN_FLOOR)) {
		intake_hold(in, IR_CHURN, f->zone);
		snprintf(text, cap, "%llu of %llu delegations came or went", (unsigned long long)f->churn,
			 (unsigned long long)f->old_cuts);
	}
}
