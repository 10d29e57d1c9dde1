/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A zone in the engine. The struct belongs to the loop; workers get constant inputs and answer through the
 * mailbox. Three serials are kept apart everywhere: upstream's, ours (signed), and what each secondary was
 * seen to have.
 *
 * The pipeline of one zone is a table of states and events (src/app/zone.c) with one setter that logs old
 * state, event and new state. What is wrong with a zone (held, vetoed, expired, ...) is kept beside it as
 * alarms, because the last good version is served whatever the pipeline does.
 */
#ifndef ZONESEAL_SRC_APP_ZONE_H
#define ZONESEAL_SRC_APP_ZONE_H

#include <stdatomic.h>
#include "dns/intake.h"
#include "engine.h"
#include "fold.h"
#include "gate/gate.h"
#include "keys/keyset.h"
#include "orders.h"
#include "seal/sign.h"
#include "store/meta.h"
#include "sweep.h"
#include "warm.h"

#define ZONE_STATES(X)                                                             \
	X(OPENING, "opening")       /* reading the store */                         \
	X(IDLE, "idle")             /* nothing to do */                             \
	X(CHECKING, "checking")     /* asking primaries for their SOA */            \
	X(QUEUED, "queued")         /* waiting for a transfer slot */               \
	X(TRANSFER, "transfer")     /* AXFR is running */                           \
	X(KEYS, "keys")             /* keys are being made */                       \
	X(BUILD, "build")           /* signing: records, chain, gate */             \
	X(GUARD, "guard")           /* built; publication waits for secondaries or an order */ \
	X(CLOSED, "closed")

enum zone_state {
#define X(name, text) ZONE_##name,
	ZONE_STATES(X)
#undef X
	ZONE_STATE_COUNT
};

#define ZONE_EVENTS(X)                                                             \
	X(OPENED, "opened") X(CHECK, "check") X(SAME, "same-serial") X(NEWER, "newer-serial") \
	X(FAILED, "failed") X(SLOT, "slot") X(RECEIVED, "received") X(KEYS_DONE, "keys-done") \
	X(NONE, "none") X(UNDO, "undo") X(BUILT, "built") X(PUBLISHED, "published") X(REDO, "redo") \
	X(HELD, "held") X(APART, "apart") X(LATER, "later") X(CLOSE, "close")

enum zone_event {
#define X(name, text) EV_##name,
	ZONE_EVENTS(X)
#undef X
	ZONE_EVENT_COUNT
};

/* Alarms: each with a reason text; a metric and `zone status` show them. */
#define ZONE_ALARMS(X)                                                             \
	X(HELD, "held")             /* upstream's input is held */                  \
	X(VETO, "vetoed")           /* the gate said no */                          \
	X(UPSTREAM, "upstream")     /* no primary answers, or it went back */       \
	X(EXPIRED, "expired")       /* upstream past its SOA expire, or soon not served */ \
	X(SIGNING, "signing")       /* keys or key store do not work */             \
	X(STORE, "store")           /* disk trouble, a damaged generation */        \
	X(PUBLICATION, "publication") /* first-publication guard, secondaries silent */ \
	X(CLOCK, "clock")                                                           \
	X(BUILD, "build")           /* another chain is wanted and cannot be built */ \
	X(SWEEP, "sweep")           /* the published version has something wrong */

enum zone_alarm {
#define X(name, text) ALARM_##name,
	ZONE_ALARMS(X)
#undef X
	ALARM_COUNT
};

/* A listed secondary, or any party that gets NOTIFY. */
struct secondary {
	struct zone *zone;
	const struct conf_remote *remote;   /* of zone->setup */
	char name[64];
	struct dnsq *probe;
	struct notify *notify;
	bool seen, has_soa; uint32_t serial; wall_t seen_at;    /* last answer */
	bool notified_ok; uint32_t notified_serial;
	bool answered_soa, answered_dnskey; /* since start, any reply counts */
	bool asking_dnskey;
	unsigned probe_fails;
	unsigned ndnskey; struct { uint16_t tag; uint32_t crc; } dnskey[16]; /* that it serves */
	bool signed_seen;                   /* has served a signed version of ours */
};

struct build_job;
struct version_job;
struct transfer;

struct zone_counters {
	atomic_ullong made[SIGN_REASONS], kept, vetoes[GATE_CHECKS], held[IR_REASONS], dropped,
		bad_signatures, xfr_in_ok, xfr_in_failed, damaged;
};

/* The last damage of a stored generation that was found. */
struct zone_damage {
	int64_t at;                         /* wall; 0: none since the start */
	unsigned streak;
	char text[128];                     /* found by whom, what */
	char file[64];                      /* what it is kept as; "": it is still live */
};

/* renew.c: the live generation takes no commit any more, and a copy takes its place. */
struct zone_renewal {
	bool wanted;
	uint64_t generations;               /* of the zone, when that was so */
	uint64_t version;                   /* that was copied last */
	unsigned tries;                     /* for one version */
	atomic_bool cancelled;
	struct timer timer;
};

struct zone {
	struct engine *e;
	struct setup *setup;                /* referenced */
	const struct conf_zone *conf;       /* of setup */
	char *name;                         /* presentation */
	uint8_t wire[NAME_MAX_WIRE]; uint8_t wire_len;
	struct net_zone net;                /* what the server sees */
	struct acl_entry *acl_mem;
	enum zone_state state;
	wall_t state_since;
	bool alarm[ALARM_COUNT]; char alarm_text[ALARM_COUNT][512]; wall_t alarm_since[ALARM_COUNT];

	struct store *store;
	bool restored;                      /* from a backup, and nothing newer was published since */
	bool keys_lost;                     /* both homes of the key state are damaged */
	struct keyset keys;                 /* as made durable last */
	bool have_meta;
	struct zmeta meta;                  /* of the published version */
	uint64_t version;
	int64_t earliest_expiry;            /* wall; 0 = unsigned */

	/* upstream */
	struct timer check_timer, expire_timer, sign_timer, retry_timer, watch_timer, guard_timer;
	struct dnsq *query;
	unsigned primary, tried;            /* index into conf->upstream, how many failed in this round */
	/* faultmark.h: no jobs until a new serial or an order */
	bool quarantined; uint32_t quarantine_serial; bool have_quarantine_serial;
	/* the last failure was ours, not upstream's: it has a back-off of its own */
	bool local_trouble;
	unsigned local_fails;
	bool round_done;                    /* a round over the primaries has ended since the start */
	bool primary_failed;                /* its transfer failed: the next round begins behind it */
	/* a serial that is newer than ours was heard of, by NOTIFY or from a primary; one agreed with ours in
	 * this round; the next look is not an SOA refresh away */
	bool have_news; uint32_t news; bool agreed, look_soon;
	unsigned check_fails;
	bool check_again;                   /* a NOTIFY came meanwhile */
	/* `zone retransfer`, number of the order, 0: none: whatever upstream has is taken */
	unsigned force_transfer, force_last;
	bool want_axfr;                     /* the difference that upstream offers cannot be taken */
	bool compare;                       /* all of upstream's is compared with what is stored: sweep.h */
	bool rebuild;                       /* the live generation is damaged, or has something wrong */
	bool reshape;                       /* the policy shapes a version otherwise than the stored one */
	bool damaged;                       /* a value of the live generation: damage.c */
	struct zone_damage damage;
	struct zone_renewal renewal;
	struct zone_fold fold;
	struct zone_warm warm;
	wall_t check_due;
	int64_t stored_checked;             /* meta.upstream_checked as it is on disk */
	struct transfer *transfer;
	struct primary_load *slot;          /* transfer slot on its way to a transfer */
	bool queued; struct zone *queue_next;
	/* src/app/held.h */
	bool held, held_busy, held_dirty; uint32_t held_serial; char held_reason[512];
	unsigned held_vetoes; int64_t held_retry;
	bool released; uint32_t release_serial; wall_t released_at; /* `zone release` */
	bool release_any, release_only;     /* whatever serial; none but this one (else: newer ones, too) */

	/* what an operator ordered (orders.h); RRsets signed anew, of how many, and what the last round
	 * found */
	struct orders orders;
	bool orders_busy, orders_dirty, orders_unsaved;
	struct timer orders_timer;
	bool order_failed;                  /* the last rollback */
	uint64_t resign_done, resign_of, resign_last;

	/* work */
	struct build_job *build;            /* of the pipeline: ZONE_BUILD, ZONE_GUARD */
	struct build_job *next;             /* goes on by itself; changes go out in the live one */
	unsigned next_fails; mono_t next_due; /* tries of it that failed; no earlier than that again */
	bool large;                         /* a difference too large for the live generation waits for it */
	bool barred;                        /* it takes in the last of them: none begins */
	uint64_t changes;                   /* versions with other content, since the start */
	uint64_t generations;               /* and generations that were published */
	struct version_job *version_job, *change_job; /* a routine version; a change of content */
	struct version_job *routine;        /* signs what is due: routine.c */
	atomic_ullong next_seq;             /* of the expiry index */
	/* By version_kind: what the last try of that kind said it changed was vetoed: a gap instead. A
	 * version of the other kind that passes says nothing about it; a build takes the place of either. */
	atomic_bool history_doubted[2];
	mono_t routine_at;                  /* end of the last routine version; 0: none yet */
	/* a version is in its transaction: no generation may move meanwhile */
	bool committing;
	bool opening;
	unsigned collisions;                /* of key tags, in a row */
	unsigned gen_wait;                  /* GENERATE calls under way */
	unsigned sign_fails;
	struct sweep sweep;

	/* downstream */
	struct secondary *sec; size_t nsec;
	uint32_t floor; bool have_floor;    /* highest serial that must be exceeded */
	bool guard_open, signed_open;       /* the first new version, the first signed one may go out */
	bool signed_wait;                   /* the DNSKEY part has begun: guard_since is its beginning */
	wall_t guard_since;
	bool guard_alarmed;
	bool publish_ordered;               /* zone release for the first-publication guard */
	/* what old snapshots pin, and up to which version they are given up for it */
	bool sampling, sample_again; uint64_t pinned, given_up;
	/* worker jobs under way: zone is not freed before they are back */
	unsigned jobs;
	bool closing, gone;                 /* removed from the config */
	struct zone_counters count;
};

const char *zone_state_text(enum zone_state s);
const char *zone_alarm_name(enum zone_alarm a);

/* zone.c */
struct zone *zone_new(struct engine *e, struct setup *s, const struct conf_zone *c);
void zone_reconf(struct zone *z, struct setup *s, const struct conf_zone *c); /* after a reload */
void zone_close(struct zone *z);     /* frees when its jobs are back */
void zone_start(struct zone *z);     /* posts the opening job */
void zone_event(struct zone *z, enum zone_event ev);
void zone_alarm_set(struct zone *z, enum zone_alarm a, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void zone_alarm_clear(struct zone *z, enum zone_alarm a);
void zone_job_begin(struct zone *z);
void zone_job_end(struct zone *z);   /* loop; may free the zone: touch nothing after it */
bool zone_is_signed_policy(const struct zone *z);
/* `zone release` passes this serial: once, within an hour */
bool zone_release_holds(const struct zone *z, uint32_t serial);
/* An input of this serial is taken or held: a release for it is used up, one for a newer serial waits. */
void zone_release_used(struct zone *z, uint32_t serial);
/* The same input is tried again: a release for it holds once more, for no other one. */
void zone_release_keep(struct zone *z, uint32_t serial);
/* disk work on the way out: a worker calls fn(arg) */
void zone_dispose(struct zone *z, void (*fn)(void *), void *arg);
void zone_compare_policy(struct zone *z);
/* The next generation is called for, and is not on its way. */
bool zone_wants_build(const struct zone *z);
/* An order to take whatever upstream has: the next transfer's, not that of one that runs. */
void zone_force_transfer(struct zone *z);
/* what upstream sent is published: orders and alarms that were about it are done with */
void zone_input_taken(struct zone *z, const struct transfer *t);
/* signing or writing failed: the alarm that fits err */
void zone_work_failed(struct zone *z, const char *what, int err);
void zone_unquarantine(struct zone *z, const char *why);

/* damage.c */
bool damage_is(int err);             /* of reading stored values: they are what is wrong */
/* The live generation has a damaged value: served on, rebuilt without it. Ignored while that is under way. */
void zone_damaged(struct zone *z, int err, const char *where);
void zone_damaged_aside(struct zone *z, int err, const char *file); /* it could not be served at all */
void zone_damage_over(struct zone *z, const char *file);            /* a new generation is live */

/* renew.c */
/* ZS_EIO: should the store have retired the live generation, it is copied. Otherwise nothing comes of it. */
void zone_renew(struct zone *z);
void zone_renew_cancel(struct zone *z);
bool zone_is_retired(const struct zone *z); /* no version can be written over the live one until then */

/* open.c */
void zone_open_start(struct zone *z);
void zone_restored_over(struct zone *z); /* a new version is out: the mark of a restored zone goes */

/* upstream.c */
void upstream_schedule(struct zone *z, int64_t seconds);  /* next SOA check */
/* After a start or a reload, in its turn and no later than it was due; first: before those that can wait, as
 * zones go that have no version yet. */
void upstream_look(struct zone *z, bool first);
void upstream_check(struct zone *z);                      /* starts a round over the primaries */
void upstream_notified(struct zone *z, bool has_serial, uint32_t serial);
void upstream_queue(struct zone *z);                      /* asks for a transfer slot */
void upstream_transfer(struct zone *z);                   /* has the slot */
void upstream_cancel(struct zone *z);
/* Nothing changed between two configs that a transfer under way depends on. */
bool upstream_is_same(const struct conf_zone *a, const struct conf_zone *b);
struct transfer *transfer_new(struct zone *z);            /* empty, with the intake of the zone's config */
void upstream_expire_check(void *zone);                   /* timer: past SOA expire? */
/* wall second from which the zone is not served unless a primary agrees; 0: none */
int64_t upstream_serve_end(const struct zone *z);
void upstream_refreshed(struct zone *z);                  /* a primary agrees with the stored serial */

/* keying.c */
/* where the active keys are */
struct vclient *keying_vault(struct engine *e, const struct keyset *ks, const struct policy *p);
void keying_run(struct zone *z);     /* steps until keys are usable: EV_KEYS_DONE or EV_FAILED */
/* Worker: puts back what the key register lost. */
int keying_register(const struct zone *z, const struct keyset *ks);
/* Worker: with the register to itself. One that failed is opened anew when it is needed next. */
int keying_with_register(struct engine *e, int (*fn)(struct keyreg *r, void *ctx), void *ctx);
int keystate_save(struct store *s, const struct keyset *ks);  /* worker: durable text */
/* Worker, before a version is committed: nothing above the ceiling is ever published (text first). */
int keystate_ceiling(struct store *s, struct keyset *ks, uint32_t serial);
/* The generation's copy of the key state. ZS_ENOENT, ZS_ECRC. */
int keystate_put(struct kv *kv, const struct keyset *ks);
int keystate_get(struct kv *kv, struct keyset *ks);

/* build.c */
void build_start(struct zone *z, struct transfer *t);     /* takes the transfer's sorted input */
void build_publish_try(struct zone *z);                   /* GUARD: may it go out now? */
/* build_undo.c: in ZONE_BUILD, a rollback as zone-sized work; as_change: its difference may fit a version */
void build_undo(struct zone *z, bool as_change);
/* GUARD: something newer may be there, the candidate makes room */
void build_supersede(struct zone *z);
void build_redo(struct zone *z);                          /* another serial: SOA and gate once more */
void build_cancel(struct zone *z);
void build_reconf(struct zone *z);                        /* one that the new config does not want ends */

/* overtake.c */
void overtake_wake(struct zone *z);                       /* what it waits for may be over */

/* routine.c */
void version_schedule(struct zone *z);                    /* arms sign_timer from earliest_expiry */
void routine_check(struct zone *z);                       /* has every signed zone its next refresh? */
void routine_drop(struct zone *z);                        /* another generation: nothing collected is of it */

/* version.c */
/*
 * The input as a change of the live version; ends with an event in ZONE_BUILD. input: the reader of a whole
 * transfer, which becomes the change's. False: it could not begin, nothing was taken over.
 */
bool version_change(struct zone *z, struct transfer *t, struct build_job *input);
/* The content of an older version as a change of the live one, as ordered; ends as above. */
bool version_undo(struct zone *z);
void version_cancel(struct zone *z);
void version_committed(struct zone *z);                   /* z->committing is over */
void version_wake(struct zone *z);                        /* what waits looks again */
/* checked.c */
/* the time of the last good check becomes durable */
void version_note_checked(struct zone *z);

/* publish.c */
void publish_again(struct zone *z);  /* a committed version could not be read: tried until it can */
/* worker */
struct pub *publish_prepare(struct store *s, const uint8_t *zone, struct zmeta *meta, int64_t *earliest,
			    int *err);
/* how much of the store old versions pin: gives up those that pin more than `snapshot: growth` */
void publish_sample(struct zone *z);
void publish_count_commit(struct engine *e, int64_t us);      /* any thread */
/* Loop: swaps the pub in, schedules NOTIFY and timers. */
void publish_swap(struct zone *z, struct pub *pub, const struct zmeta *meta, int64_t earliest);

/* downstream.c */
void downstream_conf(struct zone *z);                     /* (re)makes the list of secondaries and the acls */
void downstream_notify(struct zone *z, bool all);
void downstream_watch(void *zone);                        /* timer: asks secondaries for their SOA */
void downstream_guard_start(struct zone *z);
bool downstream_guard_passed(struct zone *z);             /* may the first new version go out? sets alarms */
void downstream_seen(struct zone *z, const char *name, uint32_t serial);
/* what a version was published with becomes the zone's */
void downstream_keys(struct zone *z, const struct keyset *ks);
void downstream_cancel(struct zone *z);
uint32_t downstream_next_serial(struct zone *z, uint32_t upstream);
void downstream_raise_floor(struct zone *z, uint32_t serial, const char *why);

#endif
