/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Seeded faults between signing and gate, in a whole daemon: zoneseald-faulty is the daemon on the tests'
 * clock with these functions in between (ld --wrap). $ZONESEAL_TEST_FAULTS names a directory; a file there,
 * named like a zone without its last dot, holds the one fault that this zone suffers, until the file is gone.
 * t/sys/test_faults.py has the table of what each must be called. Most faults sit on one name (www), so that
 * whoever looks around a change finds the rest in order.
 *
 * Three depths: what is signed is wrong and its signatures are right (signing_add, sign_plan; in a build
 * nsec_rdata and chain_iter_next; in a change splice_run and splice_chain_name, which forget what it does to
 * one name or RRset); what is encoded is not what was signed (rrset_encode); what is stored is not what was
 * verified (build_append, and the handles of view_kv, the way of every change and refresh into the store),
 * or what a version says it changed is not what it changed; and a build that the gate has passed is damaged
 * (history_carry).
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "dns/schema.h"
#include "seal/splice.h"
#include "store/history.h"
#include "store/store.h"
#include "../src/app/signing.h"

void __real_fault_zone(const uint8_t *zone);
void __wrap_fault_zone(const uint8_t *zone);
int __real_signing_add(struct signing *g, const uint8_t *key, size_t klen, const struct rrset *set,
		       const struct rrset *old, bool sign, int64_t due);
int __wrap_signing_add(struct signing *g, const uint8_t *key, size_t klen, const struct rrset *set,
		       const struct rrset *old, bool sign, int64_t due);
int __real_sign_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due,
		     struct arena *mem, struct sign_plan *out);
int __wrap_sign_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due,
		     struct arena *mem, struct sign_plan *out);
void __real_rrset_encode(const struct rrset *set, struct wr *out);
void __wrap_rrset_encode(const struct rrset *set, struct wr *out);
size_t __real_nsec_rdata(uint8_t *out, const uint8_t *next, const uint16_t *types, size_t n);
size_t __wrap_nsec_rdata(uint8_t *out, const uint8_t *next, const uint16_t *types, size_t n);
size_t __real_nsec3_rdata(uint8_t *out, const struct denial_params *p, const uint8_t *next,
			  const uint16_t *types, size_t n);
size_t __wrap_nsec3_rdata(uint8_t *out, const struct denial_params *p, const uint8_t *next,
			  const uint16_t *types, size_t n);
int __real_chain_iter_next(struct chain_iter *it, const struct chain_name **out);
int __wrap_chain_iter_next(struct chain_iter *it, const struct chain_name **out);
struct splice;
int __real_splice_run(const struct denial_params *p, const struct splice_ops *ops, size_t limit,
		      struct splice_sums *sums);
int __wrap_splice_run(const struct denial_params *p, const struct splice_ops *ops, size_t limit,
		      struct splice_sums *sums);
int __real_splice_chain_name(struct splice *s, const struct chain_name *n, bool wanted);
int __wrap_splice_chain_name(struct splice *s, const struct chain_name *n, bool wanted);
int __real_build_append(struct build *b, const void *key, size_t klen, const void *val, size_t vlen);
int __wrap_build_append(struct build *b, const void *key, size_t klen, const void *val, size_t vlen);
int __real_history_carry(struct history_carry *c);
int __wrap_history_carry(struct history_carry *c);
int __real_view_kv(struct view *v, struct kv **out);
int __wrap_view_kv(struct view *v, struct kv **out);

#define ENDS(p, n, s) ((n) >= sizeof(s) - 1 && memcmp((p) + (n) - (sizeof(s) - 1), s, sizeof(s) - 1) == 0)

/* --- which fault ------------------------------------------------------------------------------------- */

static __thread char now[64];     /* of the zone that this thread works for */
static __thread uint8_t apex[NAME_MAX_WIRE];

static bool is(const char *kind)
{
	return strcmp(now, kind) == 0;
}

/* Every job of the engine says first for which zone it works. */
void __wrap_fault_zone(const uint8_t *zone)
{
	const char *dir = getenv("ZONESEAL_TEST_FAULTS");
	char path[512];
	size_t n, at = 0;
	FILE *f;

	__real_fault_zone(zone);
	now[0] = 0;
	if (!dir || !zone)
		return;
	memcpy(apex, zone, name_len(zone));
	n = (size_t)snprintf(path, sizeof(path), "%s/", dir);
	for (const uint8_t *l = zone; *l; l += *l + 1)
		at += (size_t)snprintf(path + n + at, sizeof(path) - n - at, "%s%.*s", at ? "." : "", *l,
				       l + 1);
	f = fopen(path, "re");
	if (!f)
		return;
	if (fscanf(f, "%63s", now) != 1)
		now[0] = 0;
	fclose(f);
}

/* www.<zone>, or another label right below the apex */
static bool owner_is(const uint8_t *owner, const char *label)
{
	size_t n = strlen(label);

	return owner[0] == n && memcmp(owner + 1, label, n) == 0 && name_eq(owner + 1 + n, apex);
}

static bool is_www(const struct rrset *set, uint16_t type)
{
	return set->type == type && owner_is(set->owner, "www");
}

static void *copy(const void *p, size_t n)
{
	void *c = malloc(n);

	if (!c)
		abort();
	return memcpy(c, p, n);
}

static void put32(uint8_t *p, uint32_t v)
{
	for (int i = 3; i >= 0; i--, v >>= 8)
		p[i] = (uint8_t)v;
}

/* --- signed, and wrong ------------------------------------------------------------------------------- */

int __wrap_signing_add(struct signing *g, const uint8_t *key, size_t klen, const struct rrset *set,
		       const struct rrset *old, bool sign, int64_t due)
{
	if (set->type == T_A && memcmp(set->owner, "\2ns\3ins", 7) == 0 && is("glue"))
		sign = true;
	if (set->type == T_NS && owner_is(set->owner, "ins") && is("delegation"))
		sign = true;
	if (is_www(set, T_A) && is("unsigned"))
		sign = false;
	return __real_signing_add(g, key, klen, set, old, sign, due);
}

/* RRSIG RDATA: covered 0, algorithm 2, labels 3, TTL 4, expiration 8, inception 12, tag 16, signer 18. */
static void wrong_head(uint8_t *h, int64_t t)
{
	if (is("covered"))
		h[1] ^= 4;
	else if (is("labels"))
		h[3]--;
	else if (is("signature-ttl"))
		put32(h + 4, 1);
	else if (is("expired"))
		put32(h + 8, (uint32_t)(t - 60));
	else if (is("soon"))
		put32(h + 8, (uint32_t)(t + 600));
	else if (is("future"))
		put32(h + 12, (uint32_t)(t + 7200));
	else if (is("tag"))
		h[17] ^= 1;
	else if (is("signer"))
		h[19] ^= 0x20;
}

int __wrap_sign_plan(const struct signer *s, const struct rrset *set, const struct rrset *old, int64_t due,
		     struct arena *mem, struct sign_plan *out)
{
	int err = __real_sign_plan(s, set, old, due, mem, out);

	if (err || !is_www(set, T_A))
		return err;
	if (is("ksk")) /* a key signs what its role does not cover */
		for (unsigned k = 0; k < s->nkeys && out->nwant; k++)
			if (s->key[k].signs_keys && !s->key[k].signs_zone) {
				out->want[0].key = k;
				out->want[0].hdr[16] = (uint8_t)(s->key[k].tag >> 8);
				out->want[0].hdr[17] = (uint8_t)s->key[k].tag;
			}
	if (old && old->nsig && is("kept-signature")) {
		out->nwant = 0;
		out->keep[0] = 0;
		out->nkeep = 1;
	}
	for (unsigned i = 0; i < out->nwant; i++)
		wrong_head(out->want[i].hdr, s->now);
	return 0;
}

/* www is known by its types: A, TXT, AAAA. */
static bool www_types(const uint16_t *t, size_t n)
{
	return n >= 3 && t[0] == T_A && t[1] == T_TXT && t[2] == T_AAAA;
}

static size_t spoil_types(uint16_t *out, const uint16_t *types, size_t n)
{
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		bool hit = www_types(types, n) && types[i] == T_TXT;

		if (hit && is("bitmap-more"))
			out[k++] = 15;
		if (!hit || !is("bitmap-less"))
			out[k++] = types[i];
	}
	return k;
}

size_t __wrap_nsec_rdata(uint8_t *out, const uint8_t *next, const uint16_t *types, size_t n)
{
	uint16_t t[1025];
	bool www = www_types(types, n);

	if (www && is("next"))
		next = apex;
	n = spoil_types(t, types, n);
	return __real_nsec_rdata(out, next, t, n);
}

size_t __wrap_nsec3_rdata(uint8_t *out, const struct denial_params *p, const uint8_t *next,
			  const uint16_t *types, size_t n)
{
	struct denial_params q = *p;
	uint8_t hash[NSEC3_HASH_LEN];
	uint16_t t[1025];
	bool www = www_types(types, n);

	memcpy(hash, next, sizeof(hash));
	if (www && is("next"))
		hash[NSEC3_HASH_LEN - 1] ^= 1;
	if (www && is("opt-out"))
		q.opt_out = !q.opt_out;
	if (www && is("iterations"))
		q.iterations++;
	n = spoil_types(t, types, n);
	return __real_nsec3_rdata(out, &q, hash, t, n);
}

/* What a chain that has one name too many holds back. */
static struct pending { struct chain_iter *it; struct chain_name ghost, real; bool waits; } pending[64];
static pthread_mutex_t pending_lock = PTHREAD_MUTEX_INITIALIZER;

static struct pending *pending_of(struct chain_iter *it, bool make)
{
	struct pending *found = NULL;

	pthread_mutex_lock(&pending_lock);
	for (size_t i = 0; !found && i < 64; i++)
		if (pending[i].waits && pending[i].it == it)
			found = &pending[i];
	for (size_t i = 0; !found && make && i < 64; i++)
		if (!pending[i].waits)
			found = &pending[i];
	if (found && make)
		*found = (struct pending){ .it = it, .waits = true };
	pthread_mutex_unlock(&pending_lock);
	return found;
}

static bool skipped(const struct chain_name *n)
{
	return (is("gap") && ENDS(n->okey, n->klen, "\0www\0")) ||
	       (is("gap-delegation") && ENDS(n->okey, n->klen, "\0sec\0")) ||
	       (is("gap-wildcard") && ENDS(n->okey, n->klen, "\0wild\0*\0")) || (is("gap-ent") && n->ent);
}

int __wrap_chain_iter_next(struct chain_iter *it, const struct chain_name **out)
{
	struct pending *p = pending_of(it, false);
	int err;

	if (p) {
		*out = &p->real;
		p->waits = false;
		return 0;
	}
	do
		err = __real_chain_iter_next(it, out);
	while (!err && skipped(*out));
	if (err || !is("ghost") || !ENDS((*out)->okey, (*out)->klen, "\0www\0"))
		return err;
	p = pending_of(it, true);
	if (!p)
		return 0;
	p->real = p->ghost = **out;
	p->ghost.okey[p->ghost.klen - 2] = 'v'; /* wwv: the name right before it */
	*out = &p->ghost;
	return 0;
}

/* --- what a change does, and one thing of it forgotten ------------------------------------------------- */

enum part { OF_CHAIN, OF_PLAN };

/* The end of the owner's order key, and the type to be planned; what these names are, see moving() of the
 * test. */
static const struct lapse {
	const char *kind;
	enum part part;
	uint16_t type;
	const char *end;
	size_t len;
} lapses[] = {
#define CHAIN(kind, end) { kind, OF_CHAIN, 0, end, sizeof(end) - 1 }
#define PLAN(kind, type, end) { kind, OF_PLAN, type, end, sizeof(end) - 1 }
	CHAIN("name-new", "\0new\0"), CHAIN("wild-new", "\0nwild\0*\0"), CHAIN("ent-new", "\0newent\0"),
	CHAIN("name-gone", "\0gone\0"), CHAIN("ent-gone", "\0goneent\0"),
	CHAIN("name-hidden", "\0cut\0x\0"), CHAIN("ent-hidden", "\0cut\0ent\0"),
	CHAIN("name-seen", "\0uncut\0x\0"), CHAIN("ent-seen", "\0uncut\0ent\0"),
	CHAIN("cut-came", "\0cut\0"), CHAIN("cut-went", "\0uncut\0"), CHAIN("ds-came", "\0ds\0"),
	CHAIN("ds-went", "\0nods\0"), CHAIN("bitmap-old", "\0www\0"),
	PLAN("plan-changed", T_A, "\0www\0"), PLAN("plan-new", T_A, "\0new\0"),
	PLAN("plan-hidden", T_A, "\0cut\0x\0"), PLAN("plan-seen", T_A, "\0uncut\0x\0"),
	PLAN("plan-cut", T_TXT, "\0cut\0"), PLAN("plan-uncut", T_TXT, "\0uncut\0"),
	PLAN("plan-ds", T_DS, "\0ds\0"),
#undef CHAIN
#undef PLAN
};

static bool lapsed(enum part part, const uint8_t *okey, size_t klen, uint16_t type)
{
	for (size_t i = 0; i < sizeof(lapses) / sizeof(*lapses); i++) {
		const struct lapse *l = &lapses[i];

		if (l->part == part && l->type == type && is(l->kind) && klen >= l->len &&
		    memcmp(okey + klen - l->len, l->end, l->len) == 0)
			return true;
	}
	return false;
}

int __wrap_splice_chain_name(struct splice *s, const struct chain_name *n, bool wanted)
{
	struct chain_name c = *n;

	if (lapsed(OF_CHAIN, n->okey, n->klen, 0))
		return 0;
	c.ntypes = spoil_types(c.types, n->types, n->ntypes);
	return __real_splice_chain_name(s, &c, wanted);
}

/* The splice's caller, with something in between. */
struct between { const struct splice_ops *ops; struct kv *before; };

static int between_before(void *ctx, struct kv **out)
{
	struct between *b = ctx;

	return b->ops->open_before(b->ops->ctx, out);
}

static int between_after(void *ctx, struct kv **out)
{
	struct between *b = ctx;

	return b->ops->open_after(b->ops->ctx, out);
}

static int between_changed(void *ctx, const uint8_t **key, size_t *klen)
{
	struct between *b = ctx;

	return b->ops->next_changed(b->ops->ctx, key, klen);
}

static int between_record(void *ctx, const uint8_t *key, size_t klen, enum node_kind kind, bool signs)
{
	struct between *b = ctx;
	const uint8_t *okey;
	size_t olen;
	uint16_t type;

	if (key_record_split(key, klen, &okey, &olen, &type) == 0 && lapsed(OF_PLAN, okey, olen, type))
		return 0;
	return b->ops->record(b->ops->ctx, key, klen, kind, signs);
}

/* Where the bitmap begins. */
static size_t map_at(const uint8_t *rdata, bool nsec3)
{
	return nsec3 ? 5u + rdata[4] + 1 + NSEC3_HASH_LEN : name_len(rdata);
}

/* Is it there in the version before, and differs in the next name alone? */
static bool link_only(struct between *b, const uint8_t *key, size_t klen, const struct rr_item *rr,
		      bool nsec3)
{
	struct kv_item it;
	struct rrval v;
	struct rr_item old;
	size_t was, at = map_at(rr->data, nsec3);

	if (kv_get(b->before, key, klen, &it) != 0 || rrval_open(&v, it.val, it.vlen) != 0 ||
	    !rrval_rr(&v, &old))
		return false;
	was = map_at(old.data, nsec3);
	return old.len - was == rr->len - at && memcmp(old.data + was, rr->data + at, old.len - was) == 0;
}

/* RDATA of www's record; returns its new length. */
static uint16_t spoil_chain(uint8_t *rdata, uint16_t len, bool nsec3)
{
	size_t at = map_at(rdata, nsec3), n = name_len(apex);

	if (is("next") && nsec3)
		rdata[at - 1] ^= 1;
	if (is("next") && !nsec3) {
		memmove(rdata + n, rdata + at, len - at);
		memcpy(rdata, apex, n);
		return (uint16_t)(n + len - at);
	}
	if (nsec3 && is("opt-out"))
		rdata[1] ^= 1;
	if (nsec3 && is("iterations"))
		rdata[3]++;
	return len;
}

static int between_chain(void *ctx, const uint8_t *key, size_t klen, const struct rrset *lent)
{
	struct between *b = ctx;
	bool nsec3 = lent->type == T_NSEC3;
	const uint8_t *okey = nsec3 ? lent->src : key + 2;
	size_t olen = nsec3 ? lent->src_len : klen - 2;
	uint8_t rdata[2 * NAME_MAX_WIRE + BITMAP_MAX];
	struct rr_item rr = lent->rr[0];
	struct rrset set = *lent;

	if ((is("link") && link_only(b, key, klen, &rr, nsec3)) ||
	    (is("chain-lost") && ENDS(okey, olen, "\0new\0")))
		return 0;
	if (ENDS(okey, olen, "\0www\0")) {
		memcpy(rdata, rr.data, rr.len);
		rr.len = spoil_chain(rdata, rr.len, nsec3);
		rr.data = rdata;
		set.rr = &rr;
		if (is("chain-ttl"))
			set.ttl = ++rr.ttl;
	}
	return b->ops->chain(b->ops->ctx, key, klen, &set);
}

static int between_gone(void *ctx, const uint8_t *key, size_t klen)
{
	struct between *b = ctx;

	return is("gone-kept") ? 0 : b->ops->chain_gone(b->ops->ctx, key, klen);
}

int __wrap_splice_run(const struct denial_params *p, const struct splice_ops *ops, size_t limit,
		      struct splice_sums *sums)
{
	struct between b = { .ops = ops };
	struct splice_ops mine = { between_before, between_after, between_changed, between_record,
				   between_chain,  between_gone,  &b };
	int err = between_before(&b, &b.before);

	if (!err)
		err = __real_splice_run(p, &mine, limit, sums);
	kv_close(b.before);
	return err;
}

/* --- encoded, and not what was signed ----------------------------------------------------------------- */

static void encode_spoilt(struct rrset *s, struct wr *out)
{
	struct sig_item *sig = copy(s->sig, s->nsig * sizeof(*sig));
	struct rr_item *rr = copy(s->rr, s->nrr * sizeof(*rr));
	uint8_t *octets = copy(sig[0].data, sig[0].len), *rdata = copy(rr[0].data, rr[0].len);
	struct sig_item two[2];

	s->sig = sig;
	s->rr = rr;
	sig[0].data = octets;
	rr[0].data = rdata;
	if (is("sig-bit"))
		octets[sig[0].len - 1] ^= 1;
	else if (is("sig-lost"))
		s->nsig = 0;
	else if (is("sig-short"))
		sig[0].len--;
	else if (is("sig-twice"))
		two[0] = two[1] = sig[0], s->sig = two, s->nsig = 2; /* both are right */
	else if (is("rdata"))
		rdata[rr[0].len - 1] ^= 1;
	else if (is("record-lost"))
		s->nrr--;
	else if (is("ttl"))
		s->ttl++;
	else if (is("expiry-time"))
		s->exp_time += 60;
	__real_rrset_encode(s, out);
	free(sig);
	free(rr);
	free(octets);
	free(rdata);
}

void __wrap_rrset_encode(const struct rrset *set, struct wr *out)
{
	struct rrset s = *set;

	if (now[0] && is_www(set, T_A) && set->nsig == 1 && set->nrr > 1)
		encode_spoilt(&s, out);
	else
		__real_rrset_encode(set, out);
}

/* --- stored, and not what was verified --------------------------------------------------------------- */

enum target { OTHER, WWW_A, WWW_TXT, X_TXT, X_A, GONE_A, WWW_DENIAL, ENTRY, APEX_SOA,
	      APEX_NS, APEX_DNSKEY, APEX_PARAM };

static enum target record_target(const uint8_t *key, size_t klen)
{
	const uint8_t *okey;
	size_t olen, alen;
	uint8_t akey[OKEY_MAX];
	uint16_t type;

	if (key_record_split(key, klen, &okey, &olen, &type) != 0)
		return OTHER;
	alen = name_okey(apex, akey);
	if (olen == alen && memcmp(okey, akey, alen) == 0)
		return type == T_SOA	      ? APEX_SOA
		       : type == T_NS	      ? APEX_NS
		       : type == T_DNSKEY     ? APEX_DNSKEY
		       : type == T_NSEC3PARAM ? APEX_PARAM
					      : OTHER;
	if (ENDS(okey, olen, "\0swap\0") && type == T_TXT)
		return X_TXT;
	if (ENDS(okey, olen, "\0www\0x\0") && type == T_A)
		return X_A;
	if (ENDS(okey, olen, "\0gone\0") && type == T_A)
		return GONE_A;
	if (!ENDS(okey, olen, "\0www\0"))
		return OTHER;
	return type == T_A ? WWW_A : type == T_TXT ? WWW_TXT : OTHER;
}

/* What an entry of the expiry index points to. */
static enum target entry_target(const uint8_t *val, size_t vlen)
{
	return vlen > 5 && val[5] == TAB_RECORDS ? record_target(val + 5, vlen - 5) : OTHER;
}

/* Of records those with signatures: a change puts its content without them first. */
static enum target target_of(const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	struct rrval v;

	if (key[0] == TAB_RECORDS)
		return rrval_open(&v, val, vlen) == 0 && v.nsig ? record_target(key, klen) : OTHER;
	if (key[0] == TAB_EXPIRY)
		return entry_target(val, vlen) == WWW_A ? ENTRY : OTHER;
	if (key[0] != TAB_DENIAL)
		return OTHER;
	if (key[1] == 0)
		return ENDS(key, klen, "\0www\0") ? WWW_DENIAL : OTHER;
	if (rrval_open(&v, val, vlen) != 0 || !v.src)
		return OTHER;
	return ENDS(v.src, v.src_len, "\0www\0") ? WWW_DENIAL : OTHER;
}

static bool is_lost(enum target t)
{
	return (t == WWW_DENIAL && is("denial-lost")) || (t == ENTRY && is("entry-lost")) ||
	       (t == APEX_SOA && is("soa-lost")) || (t == APEX_NS && is("ns-lost")) ||
	       (t == APEX_DNSKEY && is("dnskey-lost")) || (t == APEX_PARAM && is("param-lost")) ||
	       (t == WWW_A && is("rrset-lost"));
}

static void checksum(uint8_t *val, size_t len)
{
	put32(val + 1, crc32c(0, val + 5, len - 5));
}

/* A changed copy of the value, or NULL. */
static uint8_t *spoilt(enum target t, const uint8_t *val, size_t vlen)
{
	static __thread uint8_t txt[512];
	static __thread size_t txt_len;
	uint8_t *c = NULL;

	if (t == X_TXT && vlen <= sizeof(txt))
		memcpy(txt, val, txt_len = vlen);
	if ((t == WWW_A && is("octet")) || (t == WWW_DENIAL && is("denial-octet")) ||
	    (t == APEX_SOA && is("soa-octet"))) {
		c = copy(val, vlen);
		c[vlen / 2] ^= 0x10;
	}
	if ((t == WWW_A && is("stored-signature")) || (t == APEX_SOA && is("soa-signature"))) {
		c = copy(val, vlen);
		c[vlen - 17] ^= 1; /* the last octet of the last signature */
		checksum(c, vlen);
	}
	if (t == WWW_TXT && is("swap") && txt_len == vlen)
		c = copy(txt, vlen);
	return c;
}

/* A chunk of what the version says it changed; changed, or NULL: it is lost. */
static uint8_t *spoilt_history(const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	uint8_t *c = copy(val, vlen);
	bool user = key[0] == TAB_USERDIFF;

	if (is(user ? "user-record" : "history-record"))
		c[vlen - 1] ^= 1; /* the last octet of the last record */
	if (is(user ? "user-serial" : "history-serial") && be32(key + 9) == 0)
		c[5 + 8 + (user ? 8 : 0) + 4 + 3] ^= 1;
	put32(c + 1, crc32c(crc32c(crc32c(0, c, 1), key, klen), c + 5, vlen - 5));
	if (is(user ? "user-lost" : "history-lost")) {
		free(c);
		c = NULL;
	}
	return c;
}

static int append_history(struct build *b, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	uint8_t *c = spoilt_history(key, klen, val, vlen);
	int err = c ? __real_build_append(b, key, klen, c, vlen) : 0;

	free(c);
	return err;
}

int __wrap_build_append(struct build *b, const void *key, size_t klen, const void *val, size_t vlen)
{
	bool says = now[0] && *(const uint8_t *)key >= TAB_HISTORY;
	enum target t = now[0] ? target_of(key, klen, val, vlen) : OTHER;
	uint8_t *c = t == OTHER ? NULL : spoilt(t, val, vlen);
	int err = says ? append_history(b, key, klen, val, vlen)
		  : t != OTHER && is_lost(t) ? 0
		  : __real_build_append(b, key, klen, c ? c : val, vlen);

	free(c);
	return err;
}

/* What the gate has passed is damaged in its file. */
static void damage_build(const struct history_carry *c)
{
	uint8_t table = TAB_RECORDS;
	struct kv_item it;
	int err;

	for (err = kv_seek(c->to, &table, 1, &it); !err && it.key[0] == table; err = kv_next(c->to, &it))
		if (target_of(it.key, it.klen, it.val, it.vlen) == WWW_A) {
			uint8_t key[KEY_MAX], *val = copy(it.val, it.vlen);
			size_t klen = it.klen, vlen = it.vlen;

			memcpy(key, it.key, klen);
			val[vlen / 2] ^= 0x10;
			if (build_put(c->build, key, klen, val, vlen) != 0)
				abort();
			free(val);
			return;
		}
}

int __wrap_history_carry(struct history_carry *c)
{
	struct kv *to = NULL, *was = c->to;
	int err;

	if (is("late-damage")) {
		damage_build(c);
		if (build_checkpoint(c->build) != 0 || build_kv(c->build, &to) != 0)
			abort();
		c->to = to;
	}
	err = __real_history_carry(c);
	c->to = was;
	kv_close(to);
	if (is("last-damage"))
		damage_build(c);
	return err;
}

/* A handle in front of the view's own. */
struct front { struct kv kv; struct kv *back; };

#define BACK(kv) (((struct front *)(kv))->back)

static int front_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return kv_get(BACK(kv), key, klen, out);
}

static int front_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return kv_seek(BACK(kv), key, klen, out);
}

static int front_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return kv_seek_lt(BACK(kv), key, klen, out);
}

static int front_next(struct kv *kv, struct kv_item *out)
{
	return kv_next(BACK(kv), out);
}

static int front_prev(struct kv *kv, struct kv_item *out)
{
	return kv_prev(BACK(kv), out);
}

/* The entry of an RRset that the change does not touch. */
static void lose_another(struct kv *kv)
{
	uint8_t key[KEY_MAX], table = TAB_EXPIRY;
	struct kv_item it;
	int err;

	for (err = kv_seek(kv, &table, 1, &it); !err && it.key[0] == table; err = kv_next(kv, &it))
		if (entry_target(it.val, it.vlen) == X_A) {
			memcpy(key, it.key, it.klen);
			if (kv_del(kv, key, it.klen) != 0)
				abort();
			return;
		}
}

static int put_history(struct kv *kv, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	uint8_t *c = spoilt_history(key, klen, val, vlen);
	int err = c ? kv_put(BACK(kv), key, klen, c, vlen) : 0;

	free(c);
	return err;
}

static int front_put(struct kv *kv, const void *key, size_t klen, const void *val, size_t vlen)
{
	bool says = now[0] && *(const uint8_t *)key >= TAB_HISTORY;
	enum target t = now[0] ? target_of(key, klen, val, vlen) : OTHER;
	uint8_t *c = t == OTHER ? NULL : spoilt(t, val, vlen);
	int err = says ? put_history(kv, key, klen, val, vlen)
		  : t != OTHER && is_lost(t) ? 0
		  : kv_put(BACK(kv), key, klen, c ? c : val, vlen);

	free(c);
	if (!err && t == ENTRY && is("entry-other"))
		lose_another(BACK(kv));
	return err;
}

static int front_del(struct kv *kv, const void *key, size_t klen)
{
	struct kv_item it;

	if (*(const uint8_t *)key == TAB_EXPIRY &&
	    (is("entry-stale") || (is("entry-gone") && kv_get(BACK(kv), key, klen, &it) == 0 &&
				   entry_target(it.val, it.vlen) == GONE_A)))
		return 0;
	return kv_del(BACK(kv), key, klen);
}

static void front_close(struct kv *kv)
{
	kv_close(BACK(kv));
	free(kv);
}

int __wrap_view_kv(struct view *v, struct kv **out)
{
	static const struct kv_ops ops = { front_get, front_seek, front_seek_lt, front_next, front_prev,
					   front_put, front_del,  front_close };
	struct front *f = calloc(1, sizeof(*f));
	int err = f ? __real_view_kv(v, &f->back) : 0;

	if (!f || err) {
		free(f);
		return f ? err : -1;
	}
	f->kv.ops = &ops;
	*out = &f->kv;
	return 0;
}
