/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A version on top of the live one. Private to src/app/version.c (the recipe), change.c (a difference of
 * content) and routine.c (what is due).
 */
#ifndef ZONESEAL_SRC_APP_VERSION_H
#define ZONESEAL_SRC_APP_VERSION_H

#include "base/err.h"
#include "dns/change.h"
#include "gating.h"
#include "signset.h"
#include "transfer.h"

/* What META of the base needs to become META of the version. */
struct meta_delta {
	int64_t records, octets, rrsets, cuts, signatures;
	uint32_t largest_ttl;
};

enum version_kind { VERSION_ROUTINE, VERSION_CHANGE };

struct version_job {
	enum version_kind kind;
	struct zone *zone;
	struct engine *e;
	struct setup *setup;              /* referenced */
	struct policy pol;
	struct keyset keys;
	struct signer signer;
	struct gating gating;
	struct gate *gate, *values;
	struct vclient *vault;
	wall_t now;
	mono_t began;
	uint32_t serial;

	/* a change: where the difference comes from, and what it comes to */
	struct transfer *in;
	struct snap *base;
	struct view *view;
	struct meta_delta delta;
	bool released, clamp, pass;
	uint8_t shrink_pct, churn_pct;
	char reason[512];                 /* why the input is held */
	struct build_job *input;          /* an AXFR: its reader; NULL: an IXFR */
	bool in_full;                     /* the input is a whole zone */
	bool compare, same;               /* of the stored serial: does content differ? it does not */
	bool too_large;                   /* zone-sized work instead */
	bool misfit;                      /* the IXFR does not fit what is stored */
	uint64_t undo;                    /* the version whose content is wanted again; 0: not a rollback */
	bool undone;                      /* the live version has that content already */
	uint64_t generation;              /* of the zone, for which the gates were made */
	/* a build that takes in what went out since it began: the version is made over its generation
	 * (overtake.c); NULL: over the live one */
	struct build_job *onto;
	bool differs;                     /* the live content is not the build's any more */
	bool partial;                     /* there was more of it than one round takes */
	uint64_t seen;                    /* z->changes when the live content was looked at */
	bool last;                        /* it has seen all of it: the build goes out behind its commit */
	int64_t checked, transferred, inception; /* of the live META */
	/* of a rollback: the difference cannot be read or applied, whatever it comes to */
	bool ungathered;
	bool started;
	bool damaged;                     /* err was met in what is stored */
	bool gap;                         /* history goes without this version */

	/* routine: the one that collects (routine.c) */
	int64_t cursor_time; uint64_t cursor_seq; /* behind what was taken from the expiry index */
	size_t taken;
	/* to be signed anew whatever their times (sweep.h) */
	struct sweep_key *again; size_t nagain, again_at;
	mono_t opened;                    /* the last version was made of it, or it began */
	bool counted;                     /* how much is due */
	bool dropped;                     /* what it signed does not pass: nothing of it is taken any more */
	unsigned kicks;                   /* on their way to a worker or back */
	bool over;                        /* nothing more comes; err says why if that is too early */
	struct timer tick;
	uint64_t resign_below;            /* an order: all older signatures are due; 0: none */
	bool exhausted;                   /* the index was read to its end */

	struct version_job *from;         /* signed the routine work that is in it; outlives its commit */
	struct signset sets, soa, along;  /* along: of routine work, with a change */
	struct { uint64_t versions, bytes; int64_t age; } history; /* as the config bounds it */
	struct zmeta old, meta;           /* of the base, of the new version */
	struct pub *pub;
	int64_t earliest;
	uint64_t version;
	bool waiting;                     /* for another version on its way, or for the secondaries */
	struct timer retry;
	atomic_uint pending;              /* signsets under way */
	atomic_bool cancelled;
	int err;
};

/* overtake.c, worker: what differs from the live content into the view over the build. loop: it is signed. */
int overtake_merge(struct version_job *j, struct kv *before, struct kv *after, struct change_sums *sums);
void overtake_signed(void *job);
/* change.c, worker: the difference into the view, then everything it changes into j->sets. ZS_EHELD with
 * j->reason; ZS_ELIMIT: zone-sized */
int change_prepare(struct version_job *j);
/* undo.c, worker: the input of a rollback, from the base's history. ZS_EHELD: there is nothing to do
 * (undone), or no way, and j->reason says why. */
int undo_prepare(struct version_job *j);
int undo_is_sound(struct kv *kv);                  /* ZS_ENOENT: history does not end at what is stored */
void undo_no_way(char *dst, size_t cap, uint64_t version);
/* routine.c, loop: what is signed goes into a version on its way */
void routine_give(struct version_job *from, struct signset *to, struct version_job *whose);
void routine_look(struct zone *z);                 /* is it time for a version, or for the end? */
void routine_ended(struct zone *z, bool ok);       /* a routine version is published, or is not */
void routine_cancel(struct version_job *j);
/* Is what the item replaces still what the version has? */
bool routine_still_fits(struct kv *kv, const struct signing_item *it);

/* version.c */
/* onto: see above */
struct version_job *version_new(struct zone *z, enum version_kind kind, struct build_job *onto);
void version_free(void *job);
/* what the collecting job has signed becomes a version; nothing but the SOA when there is no such job */
bool version_routine(struct zone *z);
void version_routine_failed(struct version_job *j); /* alarms, counts */
/* worker: those sets that met a full client, once more; else both, for the first time */
void version_run(struct version_job *j, bool again);
/* loop: j->serial is above the floor, and none other is ordered */
bool version_serial_fits(const struct version_job *j);
struct signset_sums version_count(struct version_job *j); /* signatures, for the metrics; made: the sum */
/* What the gate or the verifier found, counted and described. */
void version_describe_veto(struct version_job *j, char *text, size_t cap);
static inline bool version_is_veto(const struct version_job *j)
{
	return j->err == ZS_EVETO || j->err == ZS_EBADSIG;
}

/* version_base.c: what it takes from the version below */
#define SPREAD_SIGNATURES 1000
bool version_spreads(uint64_t made, uint64_t all);
/* a stored RRset of RECORDS or DENIAL, copied into mem */
int version_load(struct kv *kv, const uint8_t *zone, const uint8_t *key, size_t klen, struct arena *mem,
		 struct rrset *out);
/* worker: a handle on what the version is made over */
int version_base(struct version_job *j, struct kv **out);
int version_read_meta(struct version_job *j); /* worker: its META into j->old */
int version_soa(struct version_job *j);  /* worker: the SOA with j->serial into j->soa */
void version_spread(struct version_job *j);

/* version_commit.c, worker: j->version and j->pub, or j->err */
void version_commit(struct version_job *j);
/* parts of it: what is signed into the view, with META and key state; the gate over that */
int version_write(struct version_job *j);
int version_gate(struct version_job *j);

#endif
