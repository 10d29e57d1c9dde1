/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading ahead for a change: what a difference of many records is going to touch (RRsets of its owners,
 * their entries of the expiry index, their records of the chain) is read by other workers while one applies
 * it, so that pages that come from a disk come side by side.
 */
#ifndef ZONESEAL_SRC_APP_AHEAD_H
#define ZONESEAL_SRC_APP_AHEAD_H

#include "base/pool.h"
#include "dns/ixfr.h"
#include "seal/denial.h"
#include "store/store.h"

struct ahead;
/*
 * NULL: it is not worth it (few records, one worker), or there is no memory; the change reads for itself
 * then. signs: the zone is signed, and has the chain that dp says. Nothing is kept of the arguments; base
 * stays referenced by handles until the last name is read, or ahead_end().
 */
struct ahead *ahead_new(struct pool *workers, struct snap *base, const struct ixfr *x, bool signs,
			const struct denial_params *dp);
/* Nothing is read any more when it is over: it waits for what is being read, a few pages. NULL is legal. */
void ahead_end(struct ahead *a);

#endif
