/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside of the store layer: directory, store, generation, snapshot, view.
 *
 * Locks, in the order in which they are taken: store->commit_lock (writers of the live generation, held over
 * the disk), store->lock (what is live, snapshots, growth), dir->lock (which environments are open, the list
 * of stores).
 */
#ifndef ZONESEAL_STORE_PRIV_H
#define ZONESEAL_STORE_PRIV_H

#include <lmdb.h>
#include <pthread.h>

#include "base/buf.h"
#include "merge.h"
#include "store/store.h"

#define GEN_READERS 1024                    /* slots for read transactions in one generation */
#define GEN_MAP_MIN ((uint64_t)1 << 30)     /* address space, not disk: a map is sparse */
#define GEN_MAP_BUILD ((uint64_t)16 << 30)  /* a build does not know how large it becomes */
#define GEN_PAGE 4096                       /* for estimates; LMDB takes the system's page size */
#define BUILD_PAGES_MAX 8192                /* estimated dirty pages of one commit of a build */
#define SNAP_SPARE 2                        /* read transactions an old version is left with at least */
#define GROW_WAIT_MS 5000                   /* how long a full map waits for handles to come back */

/* First octet of the store's own records: handles neither show nor take keys below TAB_USER_MIN. */
#define TAB_STORE 0x01
#define TAB_RECENT 0x02 /* recent.c */
#define TAB_USER_MIN 0x03

struct store_dir {
	char *path;
	char *zones;
	char *tmp;
	int lock_fd;
	unsigned max_open;
	unsigned grow_wait_ms;
	unsigned recent_from;
	uint64_t min_free;
	uint64_t map_size; /* 0: GEN_MAP_MIN, GEN_MAP_BUILD */
	pthread_mutex_t lock;
	pthread_cond_t changed; /* some generation's state */
	struct gen *idle_first; /* open, without users; the one idle longest comes first */
	struct gen *idle_last;
	unsigned nopen;
	struct store *stores;
};

enum gen_state { GEN_CLOSED, GEN_OPENING, GEN_OPEN, GEN_CLOSING };

struct gen {
	struct store_dir *dir;
	struct store *store;
	uint64_t number;
	char *path;
	MDB_env *env;
	MDB_dbi dbi;
	uint64_t map;
	bool creating;        /* the next opening makes the file */
	/* warm.c, one thread at a time; forgotten while no handle is out */
	uint8_t *map_at;      /* NULL: not known */
	size_t warm;          /* octets from there that are mapped */
	/* dir->lock */
	enum gen_state state;
	unsigned users;       /* snapshots, builds, commits under way */
	bool owned;           /* the store still refers to it: not freed with the last user */
	bool cached;          /* stays open when idle */
	bool doomed;          /* file removed with the last user */
	bool in_idle;
	struct gen *idle_prev;
	struct gen *idle_next;
	/* store->lock */
	unsigned borrowed;    /* handles out */
	bool growing;
	bool retired;         /* a sync failed: no commit any more */
	uint64_t recent;      /* octets that recent changes take at most; writers: commit_lock, too */
	bool damaged;         /* has a damaged value: kept aside when it is replaced */
};

struct store {
	struct store_dir *dir;
	struct store *next;
	uint8_t zone[255];
	uint8_t zone_len;
	char *path;
	char *current;
	char *mark;           /* "DAMAGED": names a live generation that is (aside.c) */
	char *keystate;
	char aside[64];       /* what was set aside last since opening; "" */
	pthread_mutex_t commit_lock;
	pthread_mutex_t lock;
	pthread_cond_t returned; /* a handle came back, a growth ended */
	struct gen *live;
	uint64_t version;
	uint64_t since;       /* the version with which the live generation became that */
	struct snap *newest;  /* of the live version, not counted; NULL: nobody holds one */
	struct snap *kept;    /* counted: what a retired generation serves */
	struct gen *donor;
	uint64_t named;       /* CURRENT may name this one: its replacement failed half-way; 0: sure */
	uint64_t building;    /* number of the generation being built, 0: none */
	uint64_t renewing;    /* of the one that a retired one is copied into, 0: none */
	uint64_t next_number;
	struct snap *snaps;   /* all that live, newest first */
	bool closed;          /* freed with the last of snaps */
};

enum rec_state { REC_BUILDING = 1, REC_READY = 2 };

/* gen.c */
int zs_from_mdb(int rc);
struct gen *gen_new(struct store *s, uint64_t number);
int gen_use(struct gen *g);                     /* counted; opens the environment */
void gen_unuse(struct gen *g);                  /* may free g */
void gen_drop(struct gen *g, bool remove_file); /* ends `owned`; NULL is legal */
void gen_cache(struct gen *g);                  /* stays open when idle, from now on */
/*
 * Runs fill in one synced write transaction; a full map is grown and fill runs again. fill answers LMDB's
 * codes.
 */
typedef int (*gen_fill)(MDB_txn *txn, MDB_dbi dbi, void *ctx);
int gen_write(struct gen *g, gen_fill fill, void *ctx);
int gen_write_at_once(struct gen *g, gen_fill fill, void *ctx); /* waits for no handle, to grow: ZS_EAGAIN */
char *gen_path(const struct store *s, uint64_t number);
void gen_unlink(const char *path);

/* rec.c: the store's own records */
int rec_put_format(MDB_txn *txn, MDB_dbi dbi, const struct store *s, enum rec_state state);
int rec_put_version(MDB_txn *txn, MDB_dbi dbi, uint64_t version);
int rec_get_version(MDB_txn *txn, MDB_dbi dbi, uint64_t *version);
/* 0; ZS_ECRC damaged, ZS_EVERSION newer, ZS_EEXIST another zone's. */
int rec_check_format(MDB_txn *txn, MDB_dbi dbi, const struct store *s, enum rec_state *state);

/* snap.c */
int snap_new(struct gen *g, struct snap **out);  /* takes store->lock; of whatever is committed last */
struct gen *snap_gen(const struct snap *sn);
struct store *snap_store(const struct snap *sn);
size_t snap_txnid(const struct snap *sn);        /* of a build: what is live moves on with folds */
size_t snap_oldest(const struct snap *sn);       /* id that it pins, out handles too; store->lock held */
struct snap *snap_next(const struct snap *sn);   /* in store->snaps; store->lock held */
bool snap_is_out(const struct snap *sn);         /* the same; false: it is being freed */
void snap_hold(struct snap *sn);                 /* the same: snap_ref() */
void snap_refresh(struct snap *sn);              /* the same: after a fold */
void snap_top_up(struct snap *sn);               /* store->lock held: members for the time when it is old */

/* cursor.c */
struct cursor {
	struct kv kv; /* first; closed by cursor_end() */
	MDB_cursor *cur;
	MDB_cursor *look; /* for get, which moves no position */
	bool placed;
};
/* recent: of the recent changes, as an overlay (merge.h). All zero before. */
int cursor_open(struct cursor *c, MDB_txn *txn, MDB_dbi dbi, bool recent);
int cursor_renew(struct cursor *c, MDB_txn *txn);
void cursor_end(struct cursor *c);

extern const unsigned store_recent_from; /* recent_from.c */

/* recent.c; writers answer LMDB's codes */
bool recent_may_hold(const uint8_t *key, size_t klen);
bool recent_takes(const struct gen *g, const struct view *v); /* commit_lock is held */
int recent_put(MDB_txn *txn, MDB_dbi dbi, const struct kv_item *it, bool deleted);
int recent_forget(MDB_txn *txn, MDB_dbi dbi, const uint8_t *key, size_t klen);
uint64_t recent_size(size_t klen, size_t vlen);  /* that an entry takes, about */
int recent_open(struct kv_item *it);             /* as it is stored -> key, mark and value. ZS_ECRC */
int recent_is_empty(MDB_cursor *cur, bool *empty);
int recent_count(MDB_txn *txn, MDB_dbi dbi, uint64_t *octets);

/* view.c */
size_t view_octets(const struct view *v);        /* of what it changes */
void view_release_handles(struct view *v);       /* base members go back; handles find their place again */
struct snap *view_snap(const struct view *v);

/* commit.c */
int commit_ready(struct store *s, struct snap *sn);      /* is that what is live? ZS_ESTALE, ZS_EIO */
void commit_keep_last(struct store *s, struct snap *sn); /* a commit on top of it failed */
int commit_view(struct gen *g, struct view *v);          /* of a build: no version yet */

/* build.c */
int build_from_view(struct store *s, struct view *v, uint64_t *version); /* first version of an empty store */
int build_renewal(struct store *s, struct build **out); /* of the version that is live; renew.c */

/* copy.c: each item of a version, in order, until put answers non-zero */
typedef int (*copy_put)(void *ctx, const struct kv_item *it);
int copy_items(struct snap *sn, const struct store_copy_opts *o, copy_put put, void *ctx,
	       struct store_copied *out);

/* store.c */
void store_free(struct store *s);
/* "<n>.mdb" in a checked text */
int store_read_number(const char *path, uint64_t *number);
int store_write_number(const char *path, uint64_t number);
int store_read_current(const struct store *s, uint64_t *number);
int store_write_current(const struct store *s, uint64_t number);

/* aside.c */
int aside_file(struct store *s, const char *path);            /* a missing file is success */
int aside_generation(struct store *s, uint64_t number);
uint64_t aside_marked(const struct store *s);                 /* number, 0: none */
void aside_unmark(struct store *s);
void aside_replaced(struct store *s, struct gen *old);        /* a damaged one that is no longer live */

/* keyreg_text.c */
#define KEYREG_TEXT_MAX ((size_t)1 << 30)
/* Entries of a text without its checksum line, which is cut up. ZS_EFORMAT. */
int keyreg_text_each(char *text, int (*fn)(void *ctx, const struct keyreg_entry *e), void *ctx);

/* dir.c */
/* Numbers of the generation files of a zone, rising, heap. Names that are none (damaged-...) are left out. */
int dir_generations(const char *path, uint64_t **out, size_t *n);
void dir_remove_temporary(const char *path);
int dir_remove_tree(const char *path, bool self);
char *path_join(const char *a, const char *b);

#endif
