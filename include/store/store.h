/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The store of one zone: a directory of generations (LMDB files, ARCHITECTURE "Store") and CURRENT, the name
 * of the live one. The only code that includes lmdb.h. Every call may touch the disk: workers only, never the
 * loop.
 *
 * Caveats: a struct store may be used by several threads (it locks itself); a view, a kv handle and a build
 * belong to one thread at a time. Items of a kv handle are borrowed (base/kv.h). Nothing else may open these
 * files.
 */
#ifndef ZONESEAL_STORE_STORE_H
#define ZONESEAL_STORE_STORE_H

#include <stdbool.h>
#include "base/clk.h"
#include "base/kv.h"

#define STORE_FORMAT 2

/* --- the state directory -------------------------------------------------------------------------------- */
struct store_dir;    /* state-dir: lock, zones/, tmp/, bounded LRU of open environments */
struct store_dir_opts {
	unsigned max_open;     /* environments kept open; 0: 256 */
	uint64_t min_free;     /* builds answer ZS_ENOSPC below this; ordinary commits may use the rest */
	uint64_t map_size;     /* for tests: first map size of every generation; 0: chosen */
	unsigned recent_from;  /* for tests: so many changes of a version go aside; 0: chosen */
	unsigned grow_wait_ms; /* how long a full map waits for borrowed handles; 0: 5 s */
};
/*
 * Creates what is missing; takes the flock (ZS_EEXIST: another daemon has it); refuses network file systems
 * (ZS_EPERM).
 */
int store_dir_open(const char *state_dir, const struct store_dir_opts *opts, struct store_dir **out);
void store_dir_close(struct store_dir *d);
const char *store_dir_tmp(const struct store_dir *d);  /* for extsort and spool files; emptied at open */
/* Injective, bounded, safe directory name ("ab/example.com") of a zone, relative to zones/. */
#define STORE_PATH_MAX 256
int store_zone_path(const uint8_t *zone, char *dst, size_t cap);

/* --- one zone ------------------------------------------------------------------------------------------- */
struct store;
enum store_health { STORE_EMPTY, STORE_READY, STORE_DAMAGED /* set aside, must be rebuilt */ };
/* zone: wire, lower case. Opens CURRENT if there is one: 0 with health READY, EMPTY, or DAMAGED (the damaged
 * generation was renamed aside to <n>.mdb.damaged-<k>, store_aside_name()). ZS_EVERSION: a newer format,
 * untouched. Left-over generations of interrupted builds become donors (store_donor). */
int store_open(struct store_dir *d, const uint8_t *zone, struct store **out, enum store_health *health);
/* NULL is legal. Views and builds must be gone; snapshots may be out, what is behind them goes with them. */
void store_close(struct store *s);
/* Path for the key-state text beside the generations ("<dir>/keystate"). */
const char *store_keystate_path(const struct store *s);
uint64_t store_version(struct store *s);          /* committed last; 0: none */
uint64_t store_bytes(struct store *s);            /* file size of the live generation */
/* Less than min_free is left: what can be left out should be. */
bool store_is_tight(const struct store *s);
/*
 * The live generation opens, but nothing can be served from it: as if store_open() had answered DAMAGED. Open
 * snapshots stay readable. Of the files that were set aside the newest eight are kept. ZS_ENOENT: nothing is
 * live.
 */
int store_set_aside(struct store *s);
/*
 * The generation that this version is of has a damaged value and is served all the same: durable, and its
 * file is set aside instead of removed when a build replaces it. ZS_ESTALE: it was replaced already.
 */
int store_mark_damaged(struct store *s, uint64_t version);
bool store_is_damaged(struct store *s);           /* the live generation was marked */
/* File name of what was set aside last since the store was opened, "" if nothing was. */
void store_aside_name(struct store *s, char *dst, size_t cap);
/* Removes everything of the zone, durable. The store must be closed. */
int store_purge(struct store_dir *d, const uint8_t *zone);

/* --- snapshots ------------------------------------------------------------------------------------------ */
/* One committed version, counted. Behind it: read transactions of one transaction id, opened on demand while
 * that version is the newest. */
struct snap;
int store_snap(struct store *s, struct snap **out);          /* ZS_ENOENT: no version yet */
struct snap *snap_ref(struct snap *s);
void snap_unref(struct snap *s);                             /* NULL is legal */
uint64_t snap_version(const struct snap *s);
/*
 * A read-only kv handle for one thread. ZS_EAGAIN: an old version whose read transactions are all borrowed:
 * try later.
 */
int snap_kv(struct snap *s, struct kv **out);
/* Octets that this snapshot keeps from being reused: pages, or the file of a replaced generation. Its age
 * is its holder's to know. */
uint64_t snap_pinned(struct snap *s);
struct store_pins {
	uint64_t octets; /* that old snapshots keep from being reused, all together */
	uint64_t past;   /* the newest version with a snapshot that pins more than the limit; 0: none */
};
/*
 * What the snapshots that are out pin. Against the limit counts, for one of the live generation, what it pins
 * of the file, which may not be more than the content of that generation takes either (8 MiB are always
 * allowed), so that a file stays in proportion to its zone; for one of a replaced generation that file and
 * those of the replaced ones after it, but for the last of them: two files while transfers of the old one end
 * are what a build costs, however large the zone.
 */
int store_pinned(struct store *s, uint64_t limit, struct store_pins *out); /* ZS_ENOMEM */

/* --- views: a snapshot and an overlay ------------------------------------------------------------------- */
struct view;
/*
 * snap is referenced (NULL: empty base). Overlay bounded by view_pages_max() estimated dirty pages: kv_put
 * answers ZS_ELIMIT.
 */
#define VIEW_PAGES_MAX 32768
size_t view_pages_max(void);                                 /* VIEW_PAGES_MAX; tests link a lower one */
int view_new(struct snap *snap, struct view **out);
void view_free(struct view *v);
/* A handle over both; several may be open; puts of one are seen by all (same thread). A view whose snapshot
 * member was released (view_park) opens it again on demand. */
int view_kv(struct view *v, struct kv **out);
/* Gives the snapshot back while a job waits; handles may stay, but answer ZS_ESTALE meanwhile:
 * view_resume() takes a newer one if the base has not moved, else ZS_ESTALE. */
void view_park(struct view *v);
int view_resume(struct view *v, struct store *s);
size_t view_pages(const struct view *v);                     /* estimated dirty pages */
size_t view_changes(const struct view *v);
/* Iterates the overlay's keys in order: *deleted tells. ZS_ENOENT at the end. pos starts as NULL. One
 * iteration of a view at a time; store_commit() makes one too. */
int view_next_change(struct view *v, void **pos, const uint8_t **key, size_t *klen, const uint8_t **val,
		     size_t *vlen, bool *deleted);
uint64_t view_base(const struct view *v);                    /* version, 0 = empty */

/* Writes the overlay in one synced transaction on top of its base. The META record of the version number is
 * the store's own. *version: the new one. ZS_ESTALE (base moved), ZS_ENOSPC, ZS_EIO (generation retired:
 * store_renew()), ZS_ELIMIT. A full map is grown here and the commit done again;
 * ZS_EAGAIN when handles of others did not come back in time for that (nothing was written). Items that this
 * view's handles gave out end here. An empty base on an empty store makes the first generation. */
int store_commit(struct store *s, struct view *v, uint64_t *version);
/*
 * What versions of many changes wrote aside, so that their commit is short: octets; and moving up to `most`
 * changes of it to their place, in one synced transaction, which no handle shows. *left: octets of what is
 * still there. ZS_ENOSPC, ZS_EIO (generation retired); ZS_ECRC: an entry is damaged, versions are taken all
 * the same; ZS_EAGAIN, at once: a commit is under way, or the map is full and handles are out.
 * stop is asked after each change that was read or moved, while a commit would have to wait: true ends it
 * with what is moved by then, one at least. NULL: nobody is asked.
 */
typedef bool (*store_stop)(void *ctx);
uint64_t store_recent(struct store *s);
int store_fold(struct store *s, unsigned most, store_stop stop, void *ctx, uint64_t *left);
/*
 * Reads the next octets of the live generation's file, `most` of them, into the map; a new generation, and a
 * map that has grown, begin anew. One thread at a time. 0 and how far it is; ZS_ENOENT: no version, or it
 * cannot be done here; what the handle answers.
 */
struct store_warmth { uint64_t warm, all; };
int store_warm(struct store *s, size_t most, struct store_warmth *out);

/* --- generations ---------------------------------------------------------------------------------------- */
/* A zone-sized build: the next generation, written in key order. One per zone at a time (ZS_EEXIST). */
struct build;
int build_new(struct store *s, struct build **out);
/* key greater than every key appended before (TAB_RECORDS and up). Commits on its own at 8,192 estimated
 * dirty pages: those commits are the checkpoints. */
int build_append(struct build *b, const void *key, size_t klen, const void *val, size_t vlen);
/* any order; small things only */
int build_put(struct build *b, const void *key, size_t klen, const void *val, size_t vlen);
int build_checkpoint(struct build *b);                       /* commit now, synced */
/* Reads what is committed so far (second passes, the gate). Any number, any thread, one thread each. */
int build_kv(struct build *b, struct kv **out);
/* A view on the committed content, for a last small change (SOA, serial): commit with build_commit_view. */
int build_view(struct build *b, struct view **out);
int build_commit_view(struct build *b, struct view *v);
/*
 * The build contains everything up to this version of the live generation (at first: the version at
 * build_new).
 */
void build_caught_up(struct build *b, uint64_t version);
/* ZS_ESTALE when the live version is not the one the build has caught up with. ZS_EIO: may be tried again;
 * until then the live generation takes no commit. Marks it ready, moves CURRENT (write, fsync, rename, fsync
 * of the directory); from now on store_snap() gives the new version, numbered one above the old. Old
 * snapshots live on until they are given back, then the old file is removed. */
int build_publish(struct build *b, uint64_t *version);       /* frees b on success */
void build_free(struct build *b);                            /* abandons: file removed, NULL is legal */
/* As build_free, but keeps the file as donor of signatures for the next build. */
void build_keep(struct build *b);
/* Newest left-over of an interrupted build, read-only: signatures to reuse. ZS_ENOENT. Handles must be closed
 * before store_drop_donors(), which removes them all. */
int store_donor(struct store *s, struct kv **out);
void store_drop_donors(struct store *s);

/* --- copies --------------------------------------------------------------------------------------------- */
struct store_copy_opts {
	int (*tick)(void *ctx); /* now and then; non-zero ends the copy and is the answer. NULL: none */
	void *ctx;
	int (*check)(const struct kv_item *it); /* of each item; non-zero as above. NULL: none */
};
struct store_copied {
	uint64_t version;       /* copied; 0: nothing was stored yet, or the copy failed */
	uint64_t items, octets;
	bool target;            /* what failed is where it is written to, not the zone */
};
/*
 * After ZS_EIO of a commit: the live generation takes none any more. Its version, history and all, is copied
 * into the next generation, which becomes the live one as that of a build does; the version keeps its number,
 * and snapshots of it stay. A build may be under way meanwhile. min_free does not count. ZS_ENOENT: nothing
 * is retired; ZS_ECRC: it was marked damaged; ZS_ESTALE: another version came first.
 */
int store_renew(struct store *s, const struct store_copy_opts *o, struct store_copied *out);

/* --- backup --------------------------------------------------------------------------------------------- */
struct manifest;
#define STORE_RESTORED "RESTORED" /* file in a zone's directory: the mark of a copy */
/*
 * Copies the newest committed version and the zone's small texts to where m's directory is, as the zone's
 * part of a state directory, and lists them in m. Commits may go on meanwhile. When it fails with `target`
 * unset, what m lists is good all the same, without a generation of this zone. Not synced: manifest_save().
 */
int store_backup(struct store *s, struct manifest *m, const struct store_copy_opts *o,
		 struct store_copied *out);
/*
 * This directory is a copy: newer versions than its own may be in the world. Stays so over restarts until
 * store_restored_over(), which comes after a new version was committed above all of them.
 */
bool store_is_restored(const struct store *s);
int store_restored_over(const struct store *s);

/* --- key register: who uses which key object (own small environment, state-dir/register) ---------------- */
struct keyreg;
struct keyreg_entry {
	uint8_t id[16];
	char keystore[64];
	uint8_t zone[255];
	uint8_t zone_len;
	uint8_t role;
	uint8_t algorithm;
	int64_t created;
};
/* ZS_ECRC: damaged, see keyreg_set_aside(). */
int keyreg_open(struct store_dir *d, struct keyreg **out);
/* A damaged register, closed: kept as keys.mdb.damaged-<k>; name: 64 octets. The next keyreg_open() makes one
 * without entries: zones put theirs back. */
int keyreg_set_aside(struct store_dir *d, char *name);
void keyreg_close(struct keyreg *r);
int keyreg_put(struct keyreg *r, const struct keyreg_entry *e);   /* durable before it returns */
/* Is this key registered for this zone? ZS_ENOENT; ZS_ECRC: damaged, to be put again. */
int keyreg_has(struct keyreg *r, const uint8_t id[16], const uint8_t *zone, size_t zone_len);
int keyreg_remove(struct keyreg *r, const uint8_t id[16], const uint8_t *zone, size_t zone_len);
/*
 * The register as a text, listed in m as "keys.txt". keyreg_open() takes such a text
 * (state-dir/register/keys.txt) into a register that it makes anew, and removes it; ZS_EFORMAT: the text is
 * none, nothing is made.
 */
int keyreg_backup(struct keyreg *r, struct manifest *m);
int keyreg_each(struct keyreg *r, int (*fn)(void *ctx, const struct keyreg_entry *e), void *ctx);

#endif
