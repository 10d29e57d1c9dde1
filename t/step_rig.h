/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What versions and builds say of themselves, before the gate: a candidate that is not committed yet, and
 * faults that are put into its entry of history, everything else of it made right again.
 */
#ifndef ZONESEAL_T_STEP_RIG_H
#define ZONESEAL_T_STEP_RIG_H

#include "history_rig.h"

struct cand {
	struct world *w;
	struct snap *sn;
	struct view *v;
	struct kv *kv;
	uint64_t version;
	enum history_table t; /* that is spoilt */
	unsigned gaps;
	bool whole; /* it is a build's */
	struct view *base; /* over what it was made from; NULL: that itself */
	bool spared;       /* by the last judgement */
	bool verbose;
};

int cand_base(void *ctx, struct kv **out); /* what it was made from */
/* How many findings; *history: of these by that name. */
uint64_t judge_any(struct cand *c, uint64_t *history);
uint64_t judge(struct cand *c); /* none has another name */
extern unsigned judged;
void judge_view(struct world *w, struct view *v); /* it is right */
void shorten(struct world *w, struct view *v);    /* merged and trimmed, it is right */

struct list { struct hrec *a; size_t n; };
struct entry {
	struct cand *c;
	struct arena *mem;
	struct hentry e;
	struct list half[2]; /* what goes, what comes */
	bool raw;            /* stored by the fault itself */
};

void entry_load(struct entry *e, struct cand *c);
void entry_store(struct entry *e);
void other_rdata(struct entry *e, struct hrec *r);
void list_add(struct list *l, const struct hrec *r);

struct fault {
	const char *name;
	void (*make)(struct entry *e);
};
extern const struct fault faults[]; /* the first one is none */
extern const size_t nfaults;
#define FAULTS 68
void spoil_as(struct entry *e, const char *fault);
/* Spoilt by it, and found. */
void spoil_cand(struct cand *c, const struct fault *by);

#endif
