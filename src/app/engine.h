/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine: one loop thread that owns every zone's state, timers, sockets and publication; workers that run
 * jobs on constant inputs; a pool that renders transfers; a thread for HTTP. The loop never waits and never
 * touches the store.
 */
#ifndef ZONESEAL_SRC_APP_ENGINE_H
#define ZONESEAL_SRC_APP_ENGINE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include "app/conf.h"
#include "base/buf.h"
#include "base/frame.h"
#include "base/pool.h"
#include "dns/tsig.h"
#include "fold.h"
#include "net/net.h"
#include "pace.h"
#include "store/store.h"
#include "sweep.h"
#include "timer.h"
#include "vault/client.h"
#include "warm.h"

struct event;
struct event_base;
struct zone;
struct control;
struct http;
struct backup;

#define KEYSTORE_REQUESTS_MAX 65536

struct keystore {
	char *name;
	struct vclient *client;
	bool in_conf;
	bool was_up;             /* when it was looked at last */
};

struct tsig_ent { char *name; struct tsig_key *key; };

/* The config in force with what is derived from it;
 * counted, because jobs and transfers outlive a reload. Loop only. */
struct setup {
	int refs;
	struct conf_bundle *bundle;
	struct conf *conf;
	struct tsig_ent *tsig;
	size_t ntsig;
};

/* A question to the parent that waits for its answer. */
struct parent_call {
	uint64_t id;
	uint8_t answer;                 /* type of the frame that answers it */
	mono_t since;
	void (*done)(void *ctx, int result, const uint8_t *data, size_t len);
	void *ctx;
	struct parent_call *next;
};

/* Counters that belong to no zone; loop writes, HTTP thread reads. */
struct engine_counters {
	atomic_ullong xfr[2][3][3];     /* [in, out][axfr, ixfr, uptodate][ok, failed, given up] */
	atomic_ullong xfr_damaged;      /* cut because a stored value was damaged */
	atomic_ullong notify[2][2];     /* [in, out][ok, failed] */
	atomic_ullong commits, commit_us;
	atomic_ullong commit_bucket[VCLIENT_BUCKETS];
};

struct engine {
	struct event_base *ev;
	struct event *parent_ev, *mail_ev;
	struct frame_conn *parent;
	struct mailbox *home;
	struct pool *workers, *render;
	struct gate_tables *tables;     /* of keys that verify often, of all zones */
	unsigned doubts_told;
	struct timers *timers;
	struct setup *setup;
	struct store_dir *dir;
	struct keyreg *reg;             /* NULL: not open; workers, under reg_lock */
	pthread_mutex_t reg_lock;
	struct server *server;
	struct zone **zone;             /* sorted by wire name */
	size_t nzone;
	struct keystore *ks;
	size_t nks, ks_cap;
	struct wr bundle;               /* parts of a config on its way */
	struct parent_call *calls;
	uint64_t next_call;
	uint64_t quarantine[64]; unsigned nquarantine; /* fault_id() of zones to be left alone */
	unsigned transfers_running;
	bool in_slots, slots_again;     /* engine_transfer_slot() is under way; slots came free meanwhile */
	unsigned zombies;               /* removed zones whose jobs are not back */
	unsigned orders_writing;        /* orders.h */
	unsigned purging;               /* stored zones being removed: none is opened meanwhile */
	struct primary_load *loads;     /* per primary */
	struct zone *queue, **queue_tail; /* zones that wait for a slot */
	int *dns_fd; size_t ndns;
	int control_fd;
	int *stats_fd; size_t nstats;
	struct control *control;
	struct http *http;
	struct backup *backup; int backup_fd[2]; /* being written; directories on their way to it */
	struct engine_counters count;
	wall_t started;
	bool clocks_parted; int64_t agree_since; /* boot clock */
	int64_t boot_offset;            /* CLOCK_REALTIME - CLOCK_BOOTTIME at start: guard G15 */
	bool running, quitting;
	struct timer quit_timer, keystore_timer;
	struct sweeper sweeper;          /* sweep.h */
	struct folder folder;            /* fold.h */
	struct warmer warmer;            /* warm.h */
	struct pace first;              /* zones that ask their primaries before others do */
};

/* Runs the engine on the parent's socket. Exit status. */
int engine_main(int fd);

struct zone *engine_zone(struct engine *e, const uint8_t *wire, size_t len);
/* Microseconds to wait before a zone asks anybody after a start or a reload (pace.h). 0 with few. */
int64_t engine_spread(const struct engine *e);
struct vclient *engine_keystore(struct engine *e, const char *name);  /* made when it is not there yet */
const struct tsig_key *setup_tsig(const struct setup *s, const char *name_text);
struct setup *setup_ref(struct setup *s);
void setup_unref(struct setup *s);
struct net_addr net_from_conf(const struct conf_addr *a);
/* Address, source, key of the i-th address of a remote. */
struct net_remote remote_target(const struct setup *s, const struct conf_remote *r, size_t i);

/* Asks the parent; done comes on the loop, once. 0 or zs_err (then done does not come). */
int engine_ask(struct engine *e, uint8_t type, const void *data, size_t len,
	       void (*done)(void *, int, const uint8_t *, size_t), void *ctx);
int engine_tell(struct engine *e, uint8_t type, const void *data, size_t len);
/* G15: NULL, or why the clock is not plausible. last_inception: of the zone, 0 none. */
const char *engine_clock_fault(struct engine *e, int64_t last_inception);
void engine_clock_accept(struct engine *e); /* by an operator's order */
/* The wall clock, or while it is not believed what the boot clock says since the start:
 * nothing expires by a jump. */
wall_t engine_now(const struct engine *e);
/* The work queue of transfers: starts those that wait while there is room. */
void engine_transfer_slot(struct engine *e);
/* Orderly end: jobs in hand finish their commit, then the loop ends. */
void engine_quit(struct engine *e);

/* backup.c */
void backup_cancel(struct engine *e);
void backup_take_fds(struct engine *e, struct frame *f); /* what the parent's answer brought */

#endif
