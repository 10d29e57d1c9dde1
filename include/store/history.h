/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History: what each version removed and added, written in the very commit that makes the version.
 *
 * Two tables. HISTORY is what a secondary sees, signatures and denial records included: for IXFR. USERDIFF is
 * what upstream changed, as received: for `zone diff` and `zone rollback`. An entry is a head and a run of
 * chunks (byte layout: src/store/history_chunk.c); totals of both tables stand in META "history", so that
 * nothing is ever scanned. Work per commit is bounded by what the commit changed, plus constants.
 *
 * Caveats: as for views, one thread at a time; workers only.
 */
#ifndef ZONESEAL_STORE_HISTORY_H
#define ZONESEAL_STORE_HISTORY_H

#include "base/kv.h"
#include "dns/diff.h"
#include "store/store.h"

enum history_table { HISTORY_SERVED, HISTORY_UPSTREAM };

#define HISTORY_USER 1        /* kind: upstream's change, or an operator's */
#define HISTORY_ROUTINE 2     /* refreshed signatures and the like */
#define HISTORY_MERGED 0x80   /* flag: several versions in one */
#define HISTORY_SPAN_MAX 4096 /* entries that one difference may run over */

struct history_head {
	uint64_t version;     /* the one it leads to */
	uint64_t first;       /* the oldest version in it: less than `version` when merged */
	uint32_t from_serial, to_serial;     /* signed */
	uint32_t from_upstream, to_upstream;
	int64_t time;         /* wall, seconds */
	uint8_t kind;
	uint64_t octets;      /* uncompressed wire size of its records */
	uint32_t removed, added;
	uint32_t chunks;
	uint64_t stored;      /* keys and values */
};

/* SOA as upstream sent it: the stored one has our serial. */
struct history_soa {
	const uint8_t *rdata;
	uint16_t len;
	uint32_t ttl;
};

/* --- writing -------------------------------------------------------------------------------------------- */
/*
 * What this view's overlay changes of the served content, compared with base (a handle of the view's own
 * snapshot; NULL: empty). Caller fills upstream serials, time and kind; version 0 means view_base() + 1. The
 * rest is filled in. Nothing is written, chunks is 0, when the base has no SOA or the SOA did not change.
 * Called again for the same version it replaces the entry. Fails as kv_put; then no entry is left behind.
 */
int history_write(struct view *v, struct kv *base, struct history_head *h);
/* Upstream's side of it. Caller fills signed serials, time and kind; nothing is written when upstream's
 * records and SOA are the same. */
int history_write_user(struct view *v, struct kv *base, const struct history_soa *from,
		       const struct history_soa *to, struct history_head *h);

struct history_limits {
	uint64_t versions;   /* entries in each table */
	uint64_t bytes;      /* of HISTORY: stored keys and values */
	uint64_t user_bytes; /* of USERDIFF */
	int64_t age_s;
};
/*
 * Drops entries from the front until every bound holds, of both tables, at most 64 entries a call. Their
 * chunks are deleted behind that, 256 a call plus twice what the newest entry has. A full overlay ends it
 * early, without error: the next version goes on.
 */
int history_trim(struct view *v, const struct history_limits *lim, int64_t now);
/*
 * Replaces neighbours of kind HISTORY_ROUTINE that are older than that by one condensed entry, at most
 * about 1 MiB and 64 entries a call. Versions in between are no starting points any more.
 */
int history_merge(struct view *v, int64_t now, int64_t older_than_s, bool *merged);

/*
 * Both tables into a build, after everything else of it was appended: what the live version knows, as far as
 * the bounds say, and one entry in each table for what the build changes, found by comparing the two. Where
 * there is a gap, nothing older leads any further: that entry would be too large, or the chain is another.
 * Once for a build: what is taken into it afterwards is in no entry. When it fails the build must not be
 * published, unless `damaged` says that nothing was written because the live version cannot be read.
 */
struct history_carry {
	struct kv *from, *to;        /* the live version, the build as committed so far */
	struct build *build;
	const char *tmp;             /* directory for the sort */
	uint64_t version;            /* the live one; the build becomes the next */
	uint32_t from_upstream, to_upstream;
	int64_t time;
	const struct history_soa *was, *is;  /* upstream's */
	bool same_chain;             /* false: a gap in HISTORY */
	uint64_t records_max;        /* of an entry in HISTORY: a larger one is of no use */
	struct history_limits lim;
	int (*tick)(void *ctx);      /* now and then; non-zero ends it and is the answer. NULL: none */
	void *ctx;
	/* the answer, by table; chunks 0: no entry */
	struct history_head step[2];
	bool gap[2], damaged;
};
int history_carry(struct history_carry *c);
/*
 * What history_carry() wrote for the build that becomes this version is wrong: a gap in both tables instead.
 * Everything is dropped; chunks are deleted by the trimming of later versions.
 */
int history_disown(struct build *b, uint64_t version);

/* --- reading -------------------------------------------------------------------------------------------- */
/*
 * What leads from one served serial to a later one, condensed: what several versions take and give back
 * cancels, octet for octet. On success the difference owns kv and closes it. ZS_ENOENT: history does not
 * reach; ZS_ELIMIT: over max_octets (wire size of the condensed stream; raw entries may be four times that),
 * or over HISTORY_SPAN_MAX entries; ZS_ECRC, ZS_EFORMAT.
 */
int history_open(struct kv *kv, uint32_t from_serial, uint32_t to_serial, uint64_t max_octets,
		 struct diff **out);
/*
 * Upstream's records: from the content of one version to that of another, which may be the older one (the
 * inverse: what a rollback applies). Its serials are upstream's. A version that changed nothing of
 * upstream's stands for the one before. ZS_ENOENT: does not reach, or no difference. Otherwise as above.
 */
int userdiff_open(struct kv *kv, uint64_t from_version, uint64_t to_version, uint64_t max_octets,
		  struct diff **out);

/*
 * All of upstream's records as they were in an older version: those of the live one, without what came since,
 * with what went since; RRset by RRset in the order of their keys, the SOA before all (none when it was
 * the same). Memory is bounded as for a difference. open: a handle of the snapshot of `now`, closed here.
 * fn: non-zero ends it and is the answer. ZS_ENOENT: history does not reach, or the content was the same;
 * ZS_EEXIST: all that came and went since has cancelled; ZS_ELIMIT: over HISTORY_SPAN_MAX entries;
 * ZS_EFORMAT: what is stored and what history says do not fit.
 */
struct rr;
typedef int (*history_rr_fn)(void *ctx, const struct rr *rr);
int history_content(int (*open)(void *ctx, struct kv **out), void *open_ctx, uint64_t now, uint64_t version,
		    history_rr_fn fn, void *ctx);

/* fn: non-zero ends it and is the answer. */
typedef int (*history_fn)(void *ctx, const struct history_head *h);
int history_each(struct kv *kv, enum history_table table, bool newest_first, history_fn fn, void *ctx);

struct history_total {
	uint64_t entries;
	uint64_t octets;         /* stored */
	uint64_t since;          /* content from this version on can be reached */
	uint64_t oldest, newest; /* entries; oldest > newest: none */
	uint64_t looked;         /* merging goes on here */
};
/* Both tables; zeros when there is no history. */
int history_totals(struct kv *kv, struct history_total out[static 2]);

#endif
