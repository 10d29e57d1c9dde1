/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Inside of history: records, chunks, entries. */
#ifndef ZONESEAL_STORE_HISTORY_PRIV_H
#define ZONESEAL_STORE_HISTORY_PRIV_H

#include "base/buf.h"
#include "dns/rrset.h"
#include "dns/schema.h"
#include "store/history.h"

/*
 * Octets of a chunk that holds more than one record: one LMDB overflow page. Runs of pages would have to be
 * looked for in the free list, which gets slow as a store ages.
 */
#define CHUNK_FILL 4080
#define CHUNK_MAX (1u << 18)
#define TOTALS_MAX 128

/* One record of an entry. key: of its RRset. owner: original case, NULL when it is all lower case. */
struct hrec {
	const uint8_t *key;
	uint16_t klen;
	const uint8_t *owner;
	bool sig;              /* an RRSIG over the set */
	uint32_t ttl;
	uint16_t rdlen;
	const uint8_t *rdata;
};

/* history_rec.c */
bool hrec_is_soa(const struct hrec *r);
/* SOA, then keys, records before signatures, owner, TTL, RDATA: the order in a stream; 0: the same octets. */
int hrec_cmp(const struct hrec *a, const struct hrec *b);
struct hset {
	struct hrec *rec;
	size_t n, cap;
};
void hset_free(struct hset *s);
/* Records of a stored value (NULL: none), sorted. The SOA itself is left out: the caller has it. */
int hset_fill(struct hset *s, enum history_table table, const uint8_t *key, size_t klen, const uint8_t *val,
	      size_t vlen);
struct hrec_copy {
	struct hrec rec;
	uint8_t key[KEY_MAX];
	uint8_t owner[255];
	uint8_t rdata[RDATA_MAX];
};
void hrec_keep(struct hrec_copy *c, const struct hrec *r);
/* As a record; owner[] is used where the record has none of its own. */
int hrec_rr(const struct hrec *r, const uint8_t *zone, uint8_t owner[static NAME_MAX_WIRE], struct rr *out);
/* Uncompressed size on the wire. */
int hrec_octets(const struct hrec *r, const uint8_t *zone, uint64_t *sum);

/* history_chunk.c */
struct hentry {
	struct history_head head;
	uint32_t added_chunk, added_at; /* where the added records begin */
};
struct hwriter {
	struct kv *kv;         /* where chunks go */
	struct build *build;   /* or here, kv being NULL; neither: they are only counted */
	uint8_t table;
	struct hentry e;
	struct wr first, cur; /* chunk 0 waits for the head */
	const uint8_t *zone;
	bool any_added, have_last;
	struct hrec last;      /* key and owner of the record before, in the two arrays */
	uint8_t key[KEY_MAX];
	uint8_t owner[NAME_MAX_WIRE];
};
uint8_t table_octet(enum history_table t);
/* h: what the head will say; version is set. */
void hwriter_begin(struct hwriter *w, struct kv *kv, enum history_table t, const struct history_head *h,
		   const uint8_t *zone);
int hwriter_add(struct hwriter *w, const struct hrec *r, bool added);
/* Writes what is left; *h gets the counts. On error, and on an entry without records, nothing is left (but in
 * a build, which is not published then). */
int hwriter_end(struct hwriter *w, int err, struct history_head *h);
/* Deletes its chunks, if there are any. */
int hentry_delete(struct kv *kv, uint8_t table, uint64_t version);

int hentry_read(struct kv *kv, uint8_t table, uint64_t version, struct hentry *e);
/* Version of the newest entry below / of the oldest at or above a version; ZS_ENOENT. */
int hentry_below(struct kv *kv, uint8_t table, uint64_t below, uint64_t *version);
int hentry_from(struct kv *kv, uint8_t table, uint64_t from, uint64_t *version);
/* Sum of keys and values of an entry whose head cannot be read. */
uint64_t hentry_stored(struct kv *kv, uint8_t table, uint64_t version);

/* One half of an entry, read record by record. */
struct hcur {
	struct kv *kv;
	uint8_t table;
	bool added;
	uint64_t version;
	uint32_t chunk, chunks, at;
	uint32_t left;         /* records that the head promised */
	uint8_t *buf;
	struct rd rd;
	struct hrec rec;       /* of the last hcur_next */
};
void hcur_init(struct hcur *c, struct kv *kv, uint8_t table, const struct hentry *e, bool added);
int hcur_next(struct hcur *c); /* ZS_ENOENT at the end */
void hcur_free(struct hcur *c);

/* history_diff.c: entries oldest first; kv is not owned. Takes the entries on success. */
int hdiff_new(struct kv *kv, enum history_table t, struct hentry *e, size_t n, bool invert,
	      struct diff **out);
int hdiff_next_rec(struct diff *d, const struct hrec **out, bool *added);
const uint8_t *hdiff_zone(const struct diff *d);

/* history_write.c */
/* The apex's SOA key and the zone's name. ZS_ENOENT: no records. */
int hsoa_find(struct kv *kv, uint8_t key[static KEY_MAX], size_t *klen, uint8_t zone[static NAME_MAX_WIRE]);
/* The served SOA as a record; borrowed from kv. */
int hsoa_served(struct kv *kv, const uint8_t *key, size_t klen, struct hrec *out);
struct hrec hsoa_upstream(const uint8_t *key, size_t klen, const struct history_soa *s);
/* Records that x has and y has not. Both lists are sorted; the same octets cancel one by one. */
int hset_write(struct hwriter *w, const struct hset *x, const struct hset *y, bool added);

/* history.c */
size_t totals_encode(const struct history_total t[static 2], uint8_t out[static TOTALS_MAX]);
/* The oldest entry goes: a number moves. */
int totals_drop(struct kv *kv, uint8_t table, struct history_total *t, uint64_t version, uint64_t stored);
int totals_put(struct kv *kv, const struct history_total t[static 2]);

#endif
