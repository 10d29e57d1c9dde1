/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The app's use of the gate: its parameters from policy and keys, whole-zone runs over the worker pool,
 * and its verdict. */
#ifndef ZONESEAL_SRC_APP_GATING_H
#define ZONESEAL_SRC_APP_GATING_H

#include "gate/gate.h"
#include "seal/denial.h"
#include "zone.h"

#define NSEC3_SET 1 /* a generation holds one chain: every change of parameters makes a new generation */

/* Everything gate_params points to. Fixed in place: do not copy after gating_init(). */
struct gating {
	struct gate_params p;
	struct gate_key key[KEYSET_KEYS_MAX];
	uint8_t dnskey[KEYSET_KEYS_MAX][KEY_PUB_MAX + 4];
	uint8_t zone[NAME_MAX_WIRE];
};

void gating_init(struct gating *g, const struct zone *z, const struct keyset *ks, const struct policy *pol,
		 wall_t now);
void denial_init(struct denial_params *p, const uint8_t *zone, const struct policy *pol, uint32_t ttl);
/* As gating_init(), but chain and DNSKEY are those of what is published, whatever the policy says by
 * now. Loop. */
void gating_stored(struct gating *g, const struct zone *z, const struct keyset *ks, const struct policy *pol,
		   wall_t now);
/* "check: text; ..." of the first findings. */
void gating_describe(const struct gate *g, char *dst, size_t cap);
/* Any thread: counts findings in metrics and logs the first ten. */
void gating_report(struct zone *z, const struct gate *g);

/* The finding when a signature was made again and again and never verified; counted as GATE_BAD_SIG. */
const char *gating_bad_signature(void);

/* A whole-zone run, cut into parts that workers check side by side; done is called on the loop. */
struct gating_run;
int gating_whole(struct zone *z, struct gate *g, struct build *b, void (*done)(void *arg, int err),
		 void *arg);

/*
 * A change: all keys of the view, in pieces that workers check side by side; says: with what it says of
 * itself in history (gate_step()), NULL: nothing. 0 even with findings.
 */
struct gating_says { uint64_t version; unsigned gaps; };
int gating_change(struct gate *g, const uint8_t *zone, struct pool *workers, struct view *v,
		  const struct gating_says *says);

#endif
