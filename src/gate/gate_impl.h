/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the files of the gate share. The constants of the stored form stand here a second time on purpose: the
 * gate has to notice when the writer of that form drifts from its description.
 */
#ifndef ZONESEAL_GATE_IMPL_H
#define ZONESEAL_GATE_IMPL_H

#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/buf.h"
#include "base/err.h"
#include "gate/gate.h"

#define GKEY_MAX 511     /* octets of a key */
#define GORD_MAX 504     /* octets of an order key */
#define GWIRE_MAX 255    /* octets of a name on the wire */
#define GHASH_LEN 20     /* SHA-1 */
#define GMAP_MAX 8704    /* type bitmap: 256 windows of 34 octets */
#define GSIG_FIXED 18    /* octets of RRSIG RDATA before the signer */
#define GSIG_ROOM 288    /* room in front of a canonical RRset: GSIG_FIXED + GWIRE_MAX, rounded up */
#define GITER_MAX 50     /* RFC 9276 3.1 wants 0; more than this is refused */
#define GFIRST 16        /* signatures per key that are verified under any sampling */

enum { IN_META = 0x10, IN_RECORDS = 0x20, IN_DENIAL = 0x30, IN_EXPIRY = 0x40, IN_HISTORY = 0x50,
       IN_USERDIFF = 0x60 };

enum {
	TY_NS = 2, TY_CNAME = 5, TY_SOA = 6, TY_DNAME = 39, TY_DS = 43, TY_RRSIG = 46, TY_NSEC = 47,
	TY_DNSKEY = 48, TY_NSEC3 = 50, TY_NSEC3PARAM = 51, TY_CDS = 59, TY_CDNSKEY = 60,
};

/* A stored value, taken apart (gate_value.c). Everything is borrowed from the value. */
enum { VF_OWNER = 0x01, VF_SRC = 0x02, VF_DUP = 0x04, VF_TTLS = 0x08, VF_OURS = 0x10, VF_ALL = 0x1f };
enum { RF_DUP = 0x01 };
struct gval {
	uint8_t flags;
	uint32_t ttl;
	const uint8_t *owner;
	size_t owner_len;
	const uint8_t *src;
	size_t src_len;
	uint16_t nrr;
	struct rd rrs;  /* for gval_rr() */
	uint8_t nsig;
	struct rd sigs; /* for gval_sig() */
	uint64_t exp_time, exp_seq;
};
struct grr {
	uint32_t ttl;
	uint8_t flags;
	uint16_t len;
	const uint8_t *data;
};
int gval_parse(struct gval *v, const uint8_t *val, size_t len); /* ZS_ECRC, ZS_EVERSION, ZS_EFORMAT */
bool gval_rr(struct gval *v, struct grr *out);
bool gval_sig(struct gval *v, const uint8_t **data, uint16_t *len);
/* The key that an EXPIRY value points to. */
int gval_expiry(const uint8_t *val, size_t len, const uint8_t **key, size_t *klen);

/* Names (gate_name.c). An order key is an octet string; its length says where the name ends. */
struct gname {
	size_t len;
	uint8_t k[GORD_MAX];
};
size_t gwire_len(const uint8_t *p, const uint8_t *end); /* 0: no whole name */
int gname_from_wire(const uint8_t *wire, size_t len, struct gname *out);
int gname_to_wire(const uint8_t *k, size_t len, uint8_t out[static GWIRE_MAX], size_t *wlen);
unsigned gname_labels(const uint8_t *k, size_t len);
size_t gname_down(const uint8_t *k, size_t len, size_t at); /* end of the label that begins at `at` */
size_t gname_common(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen); /* in whole labels */
bool gname_within(const uint8_t *k, size_t len, const uint8_t *top, size_t tlen);
void gwire_lower(uint8_t *p, size_t len);
void gwire_text(const uint8_t *wire, size_t len, char *buf, size_t cap);

/* Canonical form (gate_canon.c). */
int gcanon_rdata(uint16_t type, uint8_t *rdata, size_t len); /* in place; ZS_EFORMAT */

/* One key of the DNSKEY RRset (gate_sig.c). */
enum gkey_kind { GKEY_NONE, GKEY_EC, GKEY_RSA, GKEY_ED };
struct gkey {
	uint8_t *rdata;
	uint16_t len;
	uint16_t tag;
	uint8_t alg;
	bool signs_keys, signs_zone;
	enum gkey_kind kind;
	EVP_PKEY *pkey;  /* NULL: not usable */
	unsigned md;     /* index into gate.md[] */
	size_t sig_len;  /* 0: any */
	struct gtable *table; /* NULL: none for this key */
	atomic_uint used; /* how many were verified, up to GFIRST */
};
enum { MD_SHA1, MD_SHA256, MD_SHA384, MD_SHA512, MD_COUNT };

struct gate {
	struct gate_params p;
	struct gname apex;
	unsigned apex_labels;
	struct gkey *key;
	size_t nkeys;
	uint8_t alg[256]; /* 1: in DNSKEY */
	EVP_MD *md[MD_COUNT];
	bool chain;       /* the chain can be checked: signed, and the parameters are bearable */
	pthread_mutex_t lock; /* finding[], nfindings */
	struct gate_finding *finding;
	size_t nfindings;
	atomic_uint_fast64_t count[GATE_CHECKS];
	atomic_uint_fast64_t of_base; /* of these: about values of the base (gate_step.c) */
	/* Sums: what finish compares. */
	atomic_uint_fast64_t rrsets, signatures, verified, names, found, records, indexed, matched, entries;
	/* Of signed RRsets, SOA left out: how many, and the sum of their marks (grrset_mark). */
	atomic_uint_fast64_t marked, marks;
	/* Marks of what was verified, of what is known to be, sorted. Lost ones are verified again. */
	bool remembers;
	uint64_t *known;  /* with lock, while it remembers */
	size_t nknown, known_cap;
	bool expects;     /* gate_expect(): what both must be */
	uint64_t want_marked, want_marks;
};

/* All RRsets of one owner, copied. */
struct gset { uint16_t type; size_t off, len; };
struct gowner {
	struct gname name;
	uint8_t wire[GWIRE_MAX];
	size_t wire_len;
	struct gset *set;
	size_t n, cap;
	struct wr vals;
	bool ns, ds, dname;
};
/* One item of DENIAL, copied. */
struct gden {
	uint8_t key[GKEY_MAX];
	size_t klen;
	struct wr val;
};

/* The state of one call: handle, contexts of this thread, buffers that are used again. */
struct gjob {
	struct gate *g;
	struct kv *kv;
	struct kv *base;
	bool base_tried;
	int err; /* sticky: the work cannot go on */
	bool soa_known, has_soa;
	uint32_t denial_ttl;
	EVP_MD_CTX *digest, *hash;
	/* per key, at first use; EdDSA: in edctx, since OpenSSL verifies no bare digest there */
	EVP_PKEY_CTX **kctx;
	EVP_MD_CTX **edctx;
	struct gfast *fast; /* at first use */
	uint8_t *seen;     /* per key: it has signed this RRset */
	struct wr body;
	struct gowner own[2];
	unsigned cur;
	struct gden den[2];
	uint16_t *types;   /* scratch of bitmaps */
	size_t types_cap;
	bool change;
	uint64_t rrsets, signatures, verified;
	/* that want a record, of these those that have it, and records */
	uint64_t names, found, records;
	uint64_t marked, marks;
	bool known;                          /* the RRset at hand is as it was verified */
	uint64_t indexed, matched, entries;  /* signed values, of these those with their entry, and entries */
};
int gjob_init(struct gjob *j, struct gate *g, struct kv *kv);
/* Adds the sums, releases everything; returns the sticky error. */
int gjob_done(struct gjob *j);
struct kv *gjob_base(struct gjob *j); /* NULL: none, or error */
/* Get that keeps hard errors; true when the item is there. */
bool gjob_get(struct gjob *j, struct kv *kv, const uint8_t *key, size_t klen, struct kv_item *out);
void gate_know(struct gate *g, uint64_t mark);
bool gate_knows(const struct gate *g, uint64_t mark);
int gjob_fail(struct gjob *j, int rc); /* notes hard errors; ZS_ENOENT is none */

/* A finding about a stored key: "name TYPE: text". */
void gnote(struct gjob *j, enum gate_check c, const uint8_t *key, size_t klen, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void gnote_sig(struct gjob *j, enum gate_check c, const uint8_t *key, size_t klen, uint16_t tag, uint8_t alg,
	       const char *text);
const char *gtype_text(uint16_t type, char buf[static 12]);

int gkey_load(struct gate *g, struct gkey *k, const struct gate_key *from); /* ZS_ENOMEM only */
void gkey_clear(struct gkey *k);
/* 1 verifies, 0 does not, negative: library failure. */
int gsig_verify(struct gjob *j, size_t key, const uint8_t *msg, size_t len, const uint8_t *sig,
		size_t siglen);

/* Tables (gate_table.c). */
struct gtable *gtable_ref(struct gate_tables *t, const uint8_t *point); /* NULL: there is no room */
void gtable_unref(struct gtable *k);
/* Counts a verification; true when there is a table, which this call may have made. NULL is legal. */
bool gtable_ready(struct gtable *k);
void gtable_doubt(struct gtable *k); /* EVP says otherwise: never again */
/* Certainly good? False says nothing. *mine: of this thread, kept for the next time, NULL at first. */
bool gtable_good(struct gtable *k, struct gfast **mine, const uint8_t digest[static 32],
		 const uint8_t sig[static 64]);
/* A signature that is going to be asked about: what can be shared with others is made once. A hint. */
void gfast_ahead(struct gtable *k, struct gfast **mine, const uint8_t sig[static 64]);
void gfast_free(struct gfast *f);

int gsig_hash(struct gjob *j, const uint8_t *wire, size_t len, uint8_t out[static GHASH_LEN]); /* NSEC3 */

/* One RRset (gate_rrset.c). */
struct grrset {
	const uint8_t *key;
	size_t klen;
	const uint8_t *wire; /* owner, lower case */
	size_t wire_len;
	unsigned labels;
	uint16_t type;
	bool apex;
	bool must_sign;
	bool light;          /* unchanged: no times and no crypto */
};
int grrset_check(struct gjob *j, const struct grrset *rs, struct gval *v);
int grrset_verify(struct gjob *j, const struct grrset *rs, struct gval *v, uint16_t *bad);
void grrset_ahead(struct gjob *j, struct gval *v);
int gexpiry_check(struct gjob *j, const uint8_t *key, size_t klen, uint64_t time, uint64_t seq);
size_t gkey_expiry(uint8_t out[static GKEY_MAX], uint64_t time, uint64_t seq);

/* Owners and kinds (gate_owner.c). */
enum gkind { KIND_NONE, KIND_OCCLUDED, KIND_ENT, KIND_AUTH, KIND_CUT };
size_t gkey_record(uint8_t out[static GKEY_MAX], const uint8_t *k, size_t len, uint16_t type);
size_t gkey_prefix(uint8_t out[static GKEY_MAX], uint8_t table, const uint8_t *k, size_t len);
int gkey_split(const uint8_t *key, size_t klen, size_t *olen, uint16_t *type);
void gowner_clear(struct gowner *o);
int gowner_start(struct gjob *j, struct gowner *o, const uint8_t *k, size_t len);
int gowner_add(struct gjob *j, struct gowner *o, uint16_t type, const uint8_t *val, size_t vlen);
int gowner_read(struct gjob *j, struct gowner *o, const uint8_t *k, size_t len);
bool gowner_occludes(const struct gjob *j, const struct gowner *o);
enum gkind gowner_kind(const struct gjob *j, const struct gowner *o); /* of one that is not occluded */
/* The highest strict ancestor that is a cut or has a DNAME; false: none. */
bool gname_occluder(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len, size_t *olen);
bool gname_has(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len, uint16_t type);
bool gname_occludes(struct gjob *j, struct kv *kv, const uint8_t *k, size_t len);
enum gkind gname_kind(struct gjob *j, const uint8_t *k, size_t len);
enum gkind gname_kind_open(struct gjob *j, const uint8_t *k, size_t len); /* known not to be occluded */
/* Every RRset of the owner. changed: types that are to be checked in full; NULL: all. */
int gowner_check(struct gjob *j, const struct gowner *o, enum gkind kind, const uint16_t *changed,
		 size_t nchanged);

/* NSEC and NSEC3 (gate_denial.c). */
int gden_key(struct gjob *j, const uint8_t *k, size_t len, uint8_t out[static GKEY_MAX], size_t *klen);
/* Whether a name of that kind has a record of its own. */
bool gden_wanted(const struct gjob *j, enum gkind kind, bool has_ds);
/* Owner of a chain record on the wire: the name for NSEC, hash.apex for NSEC3. */
int gden_owner(struct gjob *j, const uint8_t *key, size_t klen, uint8_t wire[static GWIRE_MAX], size_t *len);
/* The record of a name that has one: there, with the bitmap that follows from the data. */
int gden_expect(struct gjob *j, const uint8_t *k, size_t len, const struct gowner *o, enum gkind kind);
/* A name that has none: not there. */
int gden_absent(struct gjob *j, const uint8_t *k, size_t len);
/* One record of the chain by itself, and that it points to the record whose key is `next`. */
int gden_check(struct gjob *j, const struct gden *d, const uint8_t *next, size_t nlen);
int gden_link(struct gjob *j, const struct gden *d, const uint8_t *next, size_t nlen);
/* A record of a set that is not ours, or of a chain where there must be none. */
void gden_foreign(struct gjob *j, const uint8_t *key, size_t klen);
/* Order key of the name that a record is for, borrowed; NULL when it does not say. */
const uint8_t *gden_source(const struct gden *d, size_t *len);
int gden_copy(struct gjob *j, struct gden *d, const struct kv_item *it);
static inline bool gden_ours(const struct gate *g, const uint8_t *key, size_t klen)
{
	return klen > 1 && key[0] == IN_DENIAL && !g->p.unsigned_zone &&
	       key[1] == (g->p.nsec3 ? g->p.nsec3_set : 0);
}
/* Notes a record whose name wants none. */
int gden_ghost(struct gjob *j, const struct gden *d);
/* First record of our set: the way round. Moves the position. */
bool gden_first(struct gjob *j, struct kv_item *out);

/* An entry of the expiry index that belongs to no value. ekey is not borrowed from kv. */
int gexpiry_extra(struct gjob *j, const uint8_t *ekey, size_t elen);

int gwalk_records(struct gjob *j, const uint8_t *from, size_t flen, const uint8_t *to, size_t tlen);

/* Entries of history (gate_entry.c). */
#define GCHUNK_KEY 13 /* octets of a chunk's key: table, version, number */
enum { GONE, CAME, HALVES };
enum { GKIND_USER = 1, GKIND_ROUTINE = 2, GKIND_MERGED = 0x80 };
/* One record as served; borrowed. */
struct gserved {
	bool sig;
	const uint8_t *owner; /* NULL: all lower case */
	size_t owner_len;
	uint32_t ttl;
	const uint8_t *data;
	size_t len;
};
int gserved_cmp(const struct gserved *a, const struct gserved *b); /* as within an RRset of an entry */
struct ghalf {
	uint8_t flag;                /* what its records carry */
	uint32_t left;               /* records behind the current one, as the head says */
	uint32_t chunk;
	size_t len;                  /* of the chunk's value */
	uint32_t end_chunk;          /* where the half must end */
	size_t end_at;
	struct wr buf;               /* the chunk */
	struct rd r;
	bool have, broken;           /* there is a current record; nothing more can be read */
	const uint8_t *key;          /* of its RRset, in buf */
	size_t klen;
	struct gserved rec;
	bool few, more;              /* said of the RRset at hand */
};
struct gentry {
	struct gjob *j;
	struct kv *kv;
	uint8_t table;               /* IN_HISTORY, IN_USERDIFF */
	uint64_t version;
	uint32_t chunks;             /* counted, as are the next two */
	uint64_t stored, octets;
	struct {
		uint64_t first, octets, stored;
		uint32_t from, to, from_upstream, to_upstream, removed, added, chunks, added_chunk, added_at;
		uint8_t kind;
	} head;
	struct ghalf half[HALVES];
	uint64_t faults;             /* found */
};
void gentry_init(struct gentry *e, struct gjob *j, struct kv *kv, uint8_t table, uint64_t version);
void gentry_free(struct gentry *e);
void gentry_say(struct gentry *e, const char *text); /* a finding about the entry as a whole */
int gentry_count(struct gentry *e);                  /* its chunks: sound, in a row; 0: there is none */
void gentry_open(struct gentry *e);                  /* the first record of each half is the current one */
bool gentry_next(struct gentry *e, int half);
bool gentry_names(const uint8_t *key, size_t klen);  /* of RRsets that entries speak of */
/* Fields of META (gate_meta.c). False: none, or damaged; of totals none are zeros. */
struct gtotals { uint64_t entries, oldest, newest; };
/* *data is borrowed. */
bool gmeta_soa(struct gjob *j, struct kv *kv, const uint8_t **data, size_t *len, uint32_t *ttl);
bool gmeta_totals(struct gjob *j, uint8_t table, struct gtotals *out);

/* Other entries that a version changes (gate_merge.c). */
struct gmerge {
	struct gjob *j;
	uint8_t table;
	uint64_t own;    /* the version's */
	uint64_t oldest; /* below it nothing is given out */
	bool anew;       /* the totals count no older one: history may have begun anew */
	uint64_t seen;   /* the last one that was looked at */
	uint64_t gone;   /* the first one that is not there any more, and in no other yet; 0: none */
};
void gmerge_see(struct gmerge *m, uint64_t version);
void gmerge_end(struct gmerge *m);

static inline int gcmp(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t min = alen < blen ? alen : blen;
	int c = min ? __builtin_memcmp(a, b, min) : 0;

	return c ? c : (alen > blen) - (alen < blen);
}
/* Serial arithmetic (RFC 4034 3.1.5): the moment nearest to now that a 32-bit time can mean. */
static inline int64_t gtime_near(int64_t now, uint32_t t)
{
	return now + (int32_t)(t - (uint32_t)now);
}
static inline bool gsame(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	return alen == blen && (!alen || !__builtin_memcmp(a, b, alen));
}

#endif
