/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Guards over whole contents (G7, G8): a zone that shrinks or whose delegations are all others is not
 * published by itself.
 */
#ifndef ZONESEAL_SRC_APP_INPUTGUARD_H
#define ZONESEAL_SRC_APP_INPUTGUARD_H

#include "dns/intake.h"

struct guard_figures {
	const uint8_t *zone;
	uint64_t records, old_records;
	uint64_t old_cuts, churn;          /* delegations: how many there were, how many came or went */
	uint8_t shrink_pct, churn_pct;     /* 0: off */
};
/* What is found is held in `in`; text (cut at cap) says the figures, "" when nothing is found. */
void guard_content(struct intake *in, const struct guard_figures *f, char *text, size_t cap);

#endif
