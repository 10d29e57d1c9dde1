/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zone-sized build: sorted input -> next generation. Private to src/app/build*.c.
 *
 *   build.c        the stages, on the loop: content, SOA, gate, publication
 *   build_input.c  the sorted input as owners and RRsets; the survey before anything is written
 *   build_undo.c   the input of a rollback that is too large for one version
 *   build_history.c  the step of history that leads to the build
 *   build_pipe.c   the pipeline: groups of RRsets are planned, signed (many in flight) and appended in order
 */
#ifndef ZONESEAL_SRC_APP_BUILD_H
#define ZONESEAL_SRC_APP_BUILD_H

#include <pthread.h>
#include "dns/change.h"
#include "gating.h"
#include "signing.h"
#include "transfer.h"

enum build_stage { STAGE_RECORDS, STAGE_DENIAL, STAGE_EXPIRY, STAGE_CONTENT_DONE, STAGE_SOA, STAGE_SOA_DONE };

struct build_job {
	struct zone *zone;
	struct engine *e;
	struct setup *setup;              /* referenced */
	struct transfer *in;
	const struct conf_zone *conf;     /* of setup */
	bool doubted;                     /* what is stored may not be what secondaries got */
	uint64_t undo;                    /* a rollback: the version whose content is wanted; 0: none */
	bool undone;                      /* the live version has it already */
	struct policy pol;                /* a copy; its texts are setup's */
	struct keyset keys;
	struct signer signer;
	struct denial_params dp;
	struct gating gating;
	struct gate *values;              /* verifies each value before it is written; NULL when unsigned */
	atomic_ullong next_seq;           /* of the expiry index */
	struct vclient *vault;
	uint8_t apex[OKEY_MAX]; size_t apex_len;
	wall_t now;
	struct zmeta meta;
	char fingerprint[128];
	uint32_t serial;

	struct build *out;
	bool no_base;                     /* the live generation is damaged: nothing of it is used */
	int base_err;                     /* damage that was met in it, for the loop */
	char aside[64];                   /* what a damaged one was kept as */
	struct snap *base;
	struct kv *base_kv, *donor_kv;    /* signatures to reuse */
	mono_t renewed;
	struct extsort *expiry, *nsec3;

	/* reader of the input: the pair that waits */
	bool have; const uint8_t *key, *val; size_t klen, vlen;
	struct walk walk;
	/* reader of the chain */
	struct kv *chain_kv; struct chain_iter *chain; bool chain_started, chain_ended;
	/* order key (NSEC) or hash (NSEC3) of the first name */
	uint8_t first[OKEY_MAX]; size_t first_len;
	struct chain_name *held_name; uint8_t held_hash[NSEC3_HASH_LEN]; bool have_held;

	/* pipeline */
	pthread_mutex_t lock;             /* guards running, again, inflight, group states */
	bool running, again;
	/* the stage has ended, build_stage_done() is on its way or was there */
	bool over;
	unsigned inflight;
	struct signing *head, **tail;
	size_t ngroups;
	bool source_ended, bad_signatures;
	atomic_int stage;                 /* enum build_stage */
	atomic_bool cancelled;
	int err;
	bool held;
	uint8_t shrink_pct, churn_pct;    /* guards against the stored version; 0: off */
	uint64_t old_records, old_cuts, same_cuts;
	bool clamp, pass;                 /* of the zone's config, which a reload may replace */
	bool chain_changes;               /* unsigned to signed, NSEC to NSEC3 or back */
	bool was_signed, released;        /* the stored version is signed; `zone release` was given */
	char reason[512], guard_text[96];
	uint64_t made[SIGN_REASONS], kept, written, bad; /* signatures */
	uint64_t sum_made, sum_kept;      /* of the whole build, for the log */

	/* on the loop */
	struct gate *gate;
	bool publishing, in_gate, waiting, ending;
	/* a difference against the live version is tried first; it is on its way */
	bool as_change, changing;
	/* it may go on beside the pipeline; it does (z->next) */
	bool parts, apart;
	struct version_job *taking;       /* what went out meanwhile, on its way into it */
	uint64_t changes;                 /* of the zone, that it contains */
	unsigned rounds;                  /* of taking in; the last one had little to do */
	bool small;
	atomic_ullong progress;           /* RRsets written */
	bool keep_donor;
	bool spoilt;                      /* what was built cannot be read back: nothing of it is kept */
	enum zone_event end_event;
	struct timer retry;
	struct pub *pub;
	struct zmeta pub_meta;
	int64_t earliest;
	uint64_t version;
	mono_t began;
};

enum group_state { GROUP_FILLED, GROUP_SENT, GROUP_BACK };

/* build_input.c (worker) */
/* adds our apex RRsets, ends the sort, survey, rewinds */
int build_input_open(struct build_job *b);
int build_input_rewind(struct build_job *b);
/* the judged input as a difference: what differs from stored RECORDS is written to after */
int build_input_merge(struct build_job *b, struct kv *stored, struct kv *after, struct change_sums *sums);
/* whole owners into the group; ZS_ENOENT at the end */
int build_input_group(struct build_job *b, struct signing *g);
int build_old(struct build_job *b, struct arena *mem, const uint8_t *key, size_t klen, uint16_t type,
	      const uint8_t *owner, struct rrset *out);
/* build_chain.c (worker) */
int build_chain_open(struct build_job *b);
int build_chain_group(struct build_job *b, struct signing *g);
void build_chain_close(struct build_job *b);
/* build_pipe.c: kicks the pipeline; build_stage_done comes on the loop when b->stage is through or b->err is
 * set */
void build_kick(struct build_job *b);
/* the pipeline itself: called once with b->running set, then only through kicks */
void build_advance(void *b);
void build_stage_done(void *b);
/* build.c, worker: another version of the live generation may be there */
void build_base_renew(struct build_job *b);
/* build.c, loop: a job of its own on this input, empty for a rollback; as_change: is a change tried first? */
void build_begin(struct zone *z, struct transfer *t, uint64_t undo, bool as_change);
/* build.c, loop: the input went out as a change of the live version (or failed to); it is too large for
 * one */
void build_changed(struct build_job *b, enum zone_event ev);
void build_go_on(struct build_job *b);
/* build.c, loop: it is out of the gate and has taken in all, z->committing is set for it: out with it */
void build_publish_now(struct build_job *b);
/* loop: one that has gone apart ends, and is tried again later; text: why */
void build_apart_failed(struct build_job *b, const char *text);
/* overtake.c, loop: a build that has gone apart is through the gate; its end is build_publish_now() or
 * build_apart_failed() */
void overtake_start(struct build_job *b);
void overtake_cancel(struct build_job *b);
/* the gate's parameters for what it writes */
void build_gating(const struct build_job *b, struct gating *g, const struct keyset *ks, wall_t now);
/* build_undo.c: the input of a rollback, from the base (worker); ZS_EHELD with b->reason: it cannot be */
int build_undo_input(struct build_job *b);
/* loop: a rollback that cannot be is over, and the hold stays. False: it is none, or is tried again. */
bool build_undo_failed(struct build_job *b);
/* build_history.c (worker): last before a build is published, once */
int build_history(struct build_job *b);
/* build_soa.c: the SOA with its serial, META records; one small change on top of the content (worker) */
int build_soa_group(struct build_job *b, struct signing *g);
int build_soa_write(struct build_job *b, struct signing *g);

#define EXPIRY_FORMAT 1
/* item -> view: record, expiry entry, the old entry's removal (shared with version.c) */
int item_write(struct kv *kv, struct signing_item *it, struct wr *scratch);
void expiry_value(struct wr *w, const uint8_t *key, size_t klen);

#endif
