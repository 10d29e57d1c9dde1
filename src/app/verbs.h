/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a verb sees of its request (struct ctl), and the table of verbs. A verb answers at once, later (it
 * holds the ctl and answers from a callback), or as a stream: its pump is called whenever the client has room
 * for one more frame. All on the loop. A client that went away makes every answer a no-op.
 */
#ifndef ZONESEAL_SRC_APP_VERBS_H
#define ZONESEAL_SRC_APP_VERBS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>
#include "base/buf.h"
#include "base/clk.h"
#include "timer.h"

struct ctl;
struct engine;
struct zone;

enum ctl_exit { CTL_DONE = 0, CTL_FAILED = 1, CTL_PARTLY = 4 };

struct engine *ctl_engine(const struct ctl *c);
json_t *ctl_args(const struct ctl *c);                 /* borrowed, an object */
const char *ctl_arg_text(const struct ctl *c, const char *name); /* NULL: not there or no string */
const char *ctl_who(const struct ctl *c);              /* who asks, for logs and alarms */
bool ctl_gone(const struct ctl *c);                    /* nobody listens any more */
/* A verb that answers later keeps the request with hold, and drops it once it has answered. */
struct ctl *ctl_hold(struct ctl *c);
void ctl_drop(struct ctl *c);

void ctl_data(struct ctl *c, json_t *data);            /* steals; one data frame */
void ctl_progress(struct ctl *c, json_t *data);        /* steals; one progress frame */
void ctl_frame(struct ctl *c, uint8_t *frame, size_t len); /* takes a frame of ctl_encode() */
void ctl_end(struct ctl *c, int exit_code);            /* the request is done */
/* The request is done, without success. hint may be NULL. */
void ctl_fail(struct ctl *c, const char *code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Streams. The pump sends at most one frame a call. PUMP_WAIT: not called again before ctl_resume().
 * PUMP_END: it has ended the request. free comes exactly once, when the request is over or the client is
 * gone: CAVEAT, from within ctl_end() and ctl_fail(), so that a pump touches its arg no more after them.
 */
enum pump { PUMP_MORE, PUMP_WAIT, PUMP_END };
void ctl_pump(struct ctl *c, enum pump (*pump)(struct ctl *, void *), void (*free_arg)(void *), void *arg);
void ctl_resume(struct ctl *c);

/*
 * Streams that a worker reads from the published version of the one zone that is named (verbs_stream.c).
 * begin and next run there, with s->kv; each makes at most one frame, next until it sets done. end frees the
 * arg, on any thread. home, on the loop: instead of the plain end, when all went well.
 */
struct stream;
struct stream_ops {
	const char *what;        /* "the export" */
	int (*begin)(struct stream *s);
	int (*next)(struct stream *s);
	void (*end)(struct stream *s);
	enum pump (*home)(struct ctl *c, struct stream *s);
};
struct stream {
	const struct stream_ops *ops;
	void *arg;
	struct ctl *ctl;
	struct zone *zone;
	struct pub *pub;
	mono_t give_up;
	struct timer timer;      /* home's */
	bool orphan, running;    /* loop: the request is over; a frame is being made */
	/* the worker's, while running */
	bool started, done;
	struct kv *kv;
	uint8_t *frame; size_t frame_len;
	unsigned tries;
	int err;
	const char *code, *hint; /* set by stream_fail() */
	char text[512];
};
/* Takes the arg; NULL after ctl_fail(): then it is still the caller's. */
struct stream *stream_new(struct ctl *c, const struct stream_ops *ops, void *arg);
int stream_data(struct stream *s, json_t *data);        /* the frame; steals */
/* The request's error; answers what begin and next return then. */
int stream_fail(struct stream *s, const char *code, const char *hint, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define STREAM_RDATA_TEXT (5u * 65535) /* every octet as \DDD, with room */
/* One record as a line of a master file, `before` in front of it. line: STREAM_RDATA_TEXT octets of room. */
int stream_record(struct wr *text, char *line, const char *before, const uint8_t *owner, uint32_t ttl,
		  uint16_t type, const uint8_t *rdata, uint16_t len);

struct verb {
	const char *name;
	bool changes;            /* logged at notice, not at debug */
	void (*run)(struct ctl *c);
};
const struct verb *verb_find(const char *name);

/* verbs_walk.c: verbs over zones */
struct walk_spec {
	const char *key;         /* of the array in the data frames */
	unsigned rows;           /* most rows in a frame */
	bool all_default;        /* no zone named: all of them */
	bool settles;            /* ends when the orders it gave are on disk */
	bool bad_is_partly;      /* a bad row is a warning: exit 4, never 1 */
	/* One row, or NULL for none; *bad: it did not work for this zone. */
	json_t *(*row)(struct zone *z, json_t *args, bool *bad);
};
void verb_walk(struct ctl *c, const struct walk_spec *spec);
/* The zones that args name, in turn: *at starts at 0. For small answers that need all of them at once. */
bool args_name_zone(json_t *args, const struct zone *z);
/* The one zone that args name exactly; NULL after ctl_fail(). */
struct zone *verb_one_zone(struct ctl *c);
/* Text in pieces of a frame each, as "text"; takes it (heap). Ends the request. */
void verb_text(struct ctl *c, char *text);

/* verbs_zone.c, verbs_order.c, verbs_history.c, verbs_export.c, verbs_server.c, verbs_check.c */
void verb_zone_list(struct ctl *c);
void verb_zone_status(struct ctl *c);
void verb_zone_refresh(struct ctl *c);
void verb_zone_retransfer(struct ctl *c);
void verb_zone_release(struct ctl *c);
void verb_zone_ds(struct ctl *c);
void verb_zone_export(struct ctl *c);
void verb_zone_serial(struct ctl *c);
void verb_zone_hold(struct ctl *c);
void verb_zone_resign(struct ctl *c);
void verb_zone_rollback(struct ctl *c);
void verb_zone_history(struct ctl *c);
void verb_zone_diff(struct ctl *c);
void verb_zone_purge(struct ctl *c);
void verb_key_list(struct ctl *c);
void verb_status(struct ctl *c);
void verb_hsm_status(struct ctl *c);
void verb_hsm_test(struct ctl *c);
void verb_hsm_retry(struct ctl *c);
void verb_conf_dump(struct ctl *c);
void verb_conf_reload(struct ctl *c);
void verb_backup(struct ctl *c); /* backup.c */
void verb_log_level(struct ctl *c);
void verb_log_reopen(struct ctl *c);
void verb_stop(struct ctl *c);
void verb_check(struct ctl *c);
void verb_not_yet(struct ctl *c);

#endif
