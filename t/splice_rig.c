/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Runs a splice over two versions in memory. Its reads are counted and fail on order, and so do its calls;
 * what it tells is written into `after`, as its caller does. The result is compared with a whole chain,
 * made from the stream of chain names, and with a walk over all RRsets of both versions.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "splice_rig.h"

#define TYPES_MAX 20 /* of an owner, with RRSIG and NSEC */

static const char *const mode_text[] = { "NSEC", "NSEC3", "NSEC3 opt-out" };

/* --- a kv that counts, and fails on order
 * ----------------------------------------------------------------- */

struct probe {
	struct kv kv;
	struct kv *in;
	struct world *w;
};

static bool probe_fails(struct kv *kv)
{
	struct world *w = ((struct probe *)kv)->w;

	return ++w->kv_calls == w->fail_kv;
}

static struct kv *inner(struct kv *kv) { return ((struct probe *)kv)->in; }

static int probe_get(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return probe_fails(kv) ? ZS_EIO : kv_get(inner(kv), key, klen, out);
}

static int probe_seek(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return probe_fails(kv) ? ZS_EIO : kv_seek(inner(kv), key, klen, out);
}

static int probe_seek_lt(struct kv *kv, const void *key, size_t klen, struct kv_item *out)
{
	return probe_fails(kv) ? ZS_EIO : kv_seek_lt(inner(kv), key, klen, out);
}

static int probe_next(struct kv *kv, struct kv_item *out)
{
	return probe_fails(kv) ? ZS_EIO : kv_next(inner(kv), out);
}

static int probe_prev(struct kv *kv, struct kv_item *out)
{
	return probe_fails(kv) ? ZS_EIO : kv_prev(inner(kv), out);
}

static void probe_close(struct kv *kv)
{
	((struct probe *)kv)->w->opens--;
	kv_close(inner(kv));
	free(kv);
}

static const struct kv_ops probe_ops = {
	.get = probe_get,
	.seek = probe_seek,
	.seek_lt = probe_seek_lt,
	.next = probe_next,
	.prev = probe_prev,
	.close = probe_close,
};

static int probe_open(struct world *w, struct kvmem *m, struct kv **out)
{
	struct probe *p;

	if (--w->fail_open == 0)
		return ZS_EIO;
	p = calloc(1, sizeof(*p));
	p->kv.ops = &probe_ops;
	p->in = kvmem_open(m);
	p->w = w;
	w->opens++;
	*out = &p->kv;
	return 0;
}

/* --- the slow and obvious
 * --------------------------------------------------------------------------------- */

int rr_cmp(const struct rrkey *a, const struct rrkey *b)
{
	int c = okey_cmp(a->n.k, a->n.len, b->n.k, b->n.len);

	return c ? c : (int)a->type - (int)b->type;
}

void put_rr(struct kv *kv, const struct rrkey *r)
{
	uint8_t key[KEY_MAX];

	MUST(kv_put(kv, key, key_record(key, r->n.k, r->n.len, r->type), "", 0) == 0);
}

/* One name of the chain, with its types. */
struct link {
	uint8_t key[KEY_MAX];
	size_t klen;
	struct name n;
	uint16_t types[TYPES_MAX];
	size_t ntypes;
};

static int link_cmp(const void *a, const void *b)
{
	const struct link *x = *(const struct link *const *)a, *y = *(const struct link *const *)b;

	return okey_cmp(x->key, x->klen, y->key, y->klen);
}

static struct rrset chain_set(const struct denial_params *p, const struct link *l, const struct link *next,
			      uint8_t owner[static NAME_MAX_WIRE], uint8_t *rdata, struct rr_item *rr)
{
	struct rrset set = {
		.owner = owner, .type = T_NSEC, .ttl = TTL, .flags = RRV_OURS, .nrr = 1, .rr = rr
	};
	uint8_t name[NAME_MAX_WIRE];
	size_t n;

	*rr = (struct rr_item){ .ttl = TTL, .data = rdata };
	if (p->kind == DENIAL_NSEC) {
		MUST(name_from_okey(next->key + 2, next->klen - 2, name, &n) == 0);
		MUST(name_from_okey(l->key + 2, l->klen - 2, owner, &n) == 0);
		rr->len = (uint16_t)nsec_rdata(rdata, name, l->types, l->ntypes);
		return set;
	}
	set.type = T_NSEC3;
	set.flags |= RRV_SRC;
	set.src = l->n.k;
	set.src_len = (uint16_t)l->n.len;
	MUST(nsec3_owner(l->key + 2, p->zone, owner) == 0);
	rr->len = (uint16_t)nsec3_rdata(rdata, p, next->key + 2, l->types, l->ntypes);
	return set;
}

/* The whole chain of `from`'s records, written as DENIAL of `to`; each name has an owner in the walk. */
void whole_chain(struct kvmem *from, struct kv *to, const struct denial_params *p)
{
	static struct link link[NAMES_MAX], *sorted[NAMES_MAX];
	struct nsec3_ctx *ctx = nsec3_ctx_new();
	struct kv *kv = kvmem_open(from);
	uint8_t owner[NAME_MAX_WIRE], rdata[NAME_MAX_WIRE + 512], name[NAME_MAX_WIRE], hash[NSEC3_HASH_LEN];
	const struct chain_name *n;
	struct chain_iter *it;
	struct rr_item rr;
	size_t count = 0, len;

	MUST(chain_iter_new(kv, p, NULL, 0, &it) == 0);
	for (; chain_iter_next(it, &n) == 0; count++) {
		struct link *l = sorted[count] = &link[count];

		MUST(count < NAMES_MAX && n->ntypes <= TYPES_MAX);
		memcpy(l->n.k, n->okey, n->klen);
		l->n.len = n->klen;
		memcpy(l->types, n->types, n->ntypes * sizeof(n->types[0]));
		l->ntypes = n->ntypes;
		MUST(name_from_okey(n->okey, n->klen, name, &len) == 0);
		MUST(nsec3_hash(ctx, p, name, hash) == 0);
		l->klen = p->kind == DENIAL_NSEC ? key_nsec(l->key, n->okey, n->klen)
						 : key_nsec3(l->key, p->set, hash);
	}
	qsort(sorted, count, sizeof(sorted[0]), link_cmp);
	for (size_t i = 0; i < count; i++) {
		struct rrset set = chain_set(p, sorted[i], sorted[(i + 1) % count], owner, rdata, &rr);
		struct wr w = wr_growing(65536);

		rrset_encode(&set, &w);
		MUST(w.err == 0);
		MUST(kv_put(to, sorted[i]->key, sorted[i]->klen, w.p, w.len) == 0);
		wr_free(&w);
	}
	chain_iter_free(it);
	kv_close(kv);
	nsec3_ctx_free(ctx);
}

/* What each RRset of a version is: in order, by a walk over all of them. Returns how many. */
static size_t whole_walk(struct kvmem *m, const struct denial_params *p, struct told out[static RRSETS_MAX])
{
	struct kv *kv = kvmem_open(m);
	struct kv_item it;
	struct walk walk;
	uint8_t apex[OKEY_MAX];
	size_t n = 0;
	int ret = kv_seek(kv, "\x20", 1, &it);

	walk_init(&walk, apex, name_okey(p->zone, apex));
	for (; ret == 0 && it.key[0] == TAB_RECORDS; ret = kv_next(kv, &it)) {
		MUST(n < RRSETS_MAX);
		memcpy(out[n].key, it.key, it.klen);
		out[n++].klen = it.klen;
	}
	for (size_t i = 0, end; i < n; i = end) {
		size_t olen = out[i].klen - 2;
		bool ns = false, ds = false, dname = false;
		enum node_kind kind;

		for (end = i; end < n && out[end].klen == olen + 2 && !memcmp(out[end].key, out[i].key, olen);
		     end++) {
			uint16_t type = be16(out[end].key + olen);

			ns |= type == T_NS;
			ds |= type == T_DS;
			dname |= type == T_DNAME;
		}
		kind = walk_step(&walk, out[i].key + 1, olen - 2, ns, ds, dname);
		for (size_t j = i; j < end; j++) {
			out[j].kind = kind;
			out[j].signs = node_signs(kind, be16(out[j].key + olen));
		}
	}
	kv_close(kv);
	return n;
}

/* --- the splice's calls
 * ----------------------------------------------------------------------------------- */

static int wrong(struct world *w, const char *why, const uint8_t *key, size_t klen)
{
	size_t used = (size_t)snprintf(w->why, sizeof(w->why), "%s:", why);

	for (size_t i = 0; i < klen && used + 4 < sizeof(w->why); i++)
		used += (size_t)snprintf(w->why + used, sizeof(w->why) - used, " %02x", key[i]);
	return ZS_EVETO;
}

static int due(struct world *w) { return ++w->calls == w->fail_call ? ZS_ECANCEL : 0; }

static int open_before(void *ctx, struct kv **out)
{
	return probe_open(ctx, ((struct world *)ctx)->mem[0], out);
}

static int open_after(void *ctx, struct kv **out)
{
	return probe_open(ctx, ((struct world *)ctx)->mem[1], out);
}

static int next_changed(void *ctx, const uint8_t **key, size_t *klen)
{
	struct world *w = ctx;

	if (due(w))
		return ZS_ECANCEL;
	if (w->at == w->nkeys)
		return ZS_ENOENT;
	*key = w->key[w->at];
	*klen = w->klen[w->at++];
	return 0;
}

static int on_record(void *ctx, const uint8_t *key, size_t klen, enum node_kind kind, bool signs)
{
	struct world *w = ctx;
	struct told *t;

	if (due(w))
		return ZS_ECANCEL;
	if (w->chain_began)
		return wrong(w, "record behind the chain", key, klen);
	if (w->ntold == RRSETS_MAX)
		return wrong(w, "too many records", key, klen);
	t = &w->told[w->ntold++];
	memcpy(t->key, key, klen);
	t->klen = klen;
	t->kind = kind;
	t->signs = signs;
	return kv_put(w->kv[1], t->key, klen, "new", 3); /* as the caller does when it is signed */
}

static int ascends(struct world *w, const uint8_t *key, size_t klen)
{
	w->chain_began = true;
	if (okey_cmp(key, klen, w->last, w->last_len) <= 0)
		return wrong(w, "not ascending", key, klen);
	memcpy(w->last, key, klen);
	w->last_len = klen;
	return 0;
}

/* Told values go into `after` at once, as the caller does. */
static int on_chain(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set)
{
	struct world *w = ctx;
	struct wr val = wr_growing(65536);
	uint8_t owner[NAME_MAX_WIRE];
	struct kv_item it;
	size_t n;
	int ret = due(w) ? ZS_ECANCEL : ascends(w, key, klen);

	if (ret != 0)
		return ret;
	if (w->c->p.kind == DENIAL_NSEC)
		ret = name_from_okey(key + 2, klen - 2, owner, &n);
	else
		ret = nsec3_owner(key + 2, w->c->p.zone, owner);
	if (ret != 0 || memcmp(owner, set->owner, name_len(owner)) != 0)
		return wrong(w, "owner", key, klen);
	if (set->type != (w->c->p.kind == DENIAL_NSEC ? T_NSEC : T_NSEC3))
		return wrong(w, "type", key, klen);
	rrset_encode(set, &val);
	if (kv_get(w->kv[0], key, klen, &it) == 0 && it.vlen == val.len && !memcmp(it.val, val.p, val.len))
		ret = wrong(w, "told though nothing differs", key, klen);
	else
		ret = kv_put(w->kv[1], key, klen, val.p, val.len);
	wr_free(&val);
	return ret;
}

static int on_gone(void *ctx, const uint8_t *key, size_t klen)
{
	struct world *w = ctx;
	int ret = due(w) ? ZS_ECANCEL : ascends(w, key, klen);

	if (ret == 0 && kv_del(w->kv[1], key, klen) != 0)
		ret = wrong(w, "gone, but was not there", key, klen);
	return ret;
}

/* --- one case
 * --------------------------------------------------------------------------------------------- */

static int key_cmp(const void *a, const void *b)
{
	const struct rrkey *x = &((const struct change *)a)->rr, *y = &((const struct change *)b)->rr;

	return rr_cmp(x, y);
}

void world_open(struct world *w, const struct zcase *c)
{
	struct change ch[CHANGES_MAX];
	struct kv_item it;

	memset(w, 0, sizeof(*w));
	w->c = c;
	for (int i = 0; i < 2; i++) {
		w->mem[i] = kvmem_new(0);
		w->kv[i] = kvmem_open(w->mem[i]);
		for (size_t j = 0; j < c->nrr; j++)
			put_rr(w->kv[i], &c->rr[j]);
	}
	whole_chain(w->mem[0], w->kv[0], &c->p);
	for (int ret = kv_seek(w->kv[0], "\x30", 1, &it); ret == 0; ret = kv_next(w->kv[0], &it))
		MUST(kv_put(w->kv[1], it.key, it.klen, it.val, it.vlen) == 0);
	for (size_t i = 0; i < c->nch; i++) {
		uint8_t key[KEY_MAX];
		const struct rrkey *r = &c->ch[i].rr;

		if (c->ch[i].del)
			kv_del(w->kv[1], key, key_record(key, r->n.k, r->n.len, r->type));
		else
			put_rr(w->kv[1], r);
	}
	if (c->nch)
		memcpy(ch, c->ch, c->nch * sizeof(ch[0]));
	qsort(ch, c->nch, sizeof(ch[0]), key_cmp);
	for (size_t i = 0; i < c->nch; i++) {
		if (i > 0 && rr_cmp(&ch[i].rr, &ch[i - 1].rr) == 0)
			continue;
		w->klen[w->nkeys] = key_record(w->key[w->nkeys], ch[i].rr.n.k, ch[i].rr.n.len, ch[i].rr.type);
		w->nkeys++;
	}
}

void world_close(struct world *w)
{
	for (int i = 0; i < 2; i++) {
		kv_close(w->kv[i]);
		kvmem_free(w->mem[i]);
	}
}

int world_run(struct world *w, size_t limit, struct splice_sums *sums)
{
	const struct splice_ops ops = {
		.open_before = open_before,
		.open_after = open_after,
		.next_changed = next_changed,
		.record = on_record,
		.chain = on_chain,
		.chain_gone = on_gone,
		.ctx = w,
	};
	int ret;

	w->at = w->ntold = w->last_len = 0;
	w->calls = 0;
	w->kv_calls = 0;
	w->chain_began = false;
	ret = splice_run(&w->c->p, &ops, limit, sums);
	if (w->opens != 0)
		return wrong(w, "handles left open", NULL, 0);
	return ret;
}

/* DENIAL of `after` against a whole chain of its records. */
int check_chain(struct world *w)
{
	struct kvmem *m = kvmem_new(0);
	struct kv *want = kvmem_open(m), *got = kvmem_open(w->mem[1]);
	struct kv_item a, b;
	int ret = 0, ra, rb;

	whole_chain(w->mem[1], want, &w->c->p);
	ra = kv_seek(want, "\x30", 1, &a);
	rb = kv_seek(got, "\x30", 1, &b);
	while (ret == 0 && (ra == 0 || rb == 0)) {
		if (ra != 0)
			ret = wrong(w, "too much in the chain", b.key, b.klen);
		else if (rb != 0 || okey_cmp(a.key, a.klen, b.key, b.klen) < 0)
			ret = wrong(w, "not in the chain", a.key, a.klen);
		else if (okey_cmp(a.key, a.klen, b.key, b.klen) > 0)
			ret = wrong(w, "too much in the chain", b.key, b.klen);
		else if (a.vlen != b.vlen || memcmp(a.val, b.val, a.vlen) != 0)
			ret = wrong(w, "value in the chain", a.key, a.klen);
		if (ret == 0) {
			ra = kv_next(want, &a);
			rb = kv_next(got, &b);
		}
	}
	kv_close(want);
	kv_close(got);
	kvmem_free(m);
	return ret;
}

static bool is_changed(const struct world *w, const struct told *t)
{
	for (size_t i = 0; i < w->nkeys; i++)
		if (w->klen[i] == t->klen && memcmp(w->key[i], t->key, t->klen) == 0)
			return true;
	return false;
}

static const struct told *find(const struct told *t, size_t n, const uint8_t *key, size_t klen)
{
	for (size_t i = 0; i < n; i++)
		if (t[i].klen == klen && memcmp(t[i].key, key, klen) == 0)
			return &t[i];
	return NULL;
}

static bool cut_at(const struct told *t)
{
	return t && be16(t->key + t->klen - 2) == T_NS &&
	       (t->kind == NODE_CUT_INSECURE || t->kind == NODE_CUT_SECURE);
}

static int check_cuts(struct world *w, const struct splice_sums *s, const struct told *a, size_t na,
		      const struct told *b, size_t nb)
{
	uint64_t came = 0, gone = 0, changed = 0;

	for (size_t i = 0; i < nb; i++) {
		const struct told *was = find(a, na, b[i].key, b[i].klen);

		came += cut_at(&b[i]) && !cut_at(was);
		changed += cut_at(&b[i]) && cut_at(was) && is_changed(w, &b[i]);
	}
	for (size_t i = 0; i < na; i++)
		gone += cut_at(&a[i]) && !cut_at(find(b, nb, a[i].key, a[i].klen));
	if (came != s->cuts_came || gone != s->cuts_gone || changed != s->cuts_changed)
		return wrong(w, "counts of cuts", NULL, 0);
	return 0;
}

/* The record() calls against a walk over both versions. */
static int check_records(struct world *w, const struct splice_sums *sums)
{
	static struct told a[RRSETS_MAX], b[RRSETS_MAX];
	size_t na = whole_walk(w->mem[0], &w->c->p, a), nb = whole_walk(w->mem[1], &w->c->p, b), at = 0;

	for (size_t i = 0; i < nb; i++) {
		const struct told *was = find(a, na, b[i].key, b[i].klen), *t = &w->told[at];

		if (!is_changed(w, &b[i]) && was->signs == b[i].signs)
			continue;
		if (at == w->ntold)
			return wrong(w, "record not told", b[i].key, b[i].klen);
		if (t->klen != b[i].klen || memcmp(t->key, b[i].key, t->klen) != 0)
			return wrong(w, "another record told", t->key, t->klen);
		if (t->kind != b[i].kind || t->signs != b[i].signs)
			return wrong(w, "kind or signs", t->key, t->klen);
		at++;
	}
	if (at < w->ntold)
		return wrong(w, "record told", w->told[at].key, w->told[at].klen);
	return sums->records == at ? check_cuts(w, sums, a, na, b, nb) : wrong(w, "sum of records", NULL, 0);
}

bool case_ok(const struct zcase *c, char why[static WHY_MAX])
{
	struct splice_sums sums;
	struct world w;
	int ret;

	world_open(&w, c);
	ret = world_run(&w, NAMES_MAX, &sums);
	if (ret != 0 && w.why[0] == '\0')
		wrong(&w, zs_strerror(ret), NULL, 0);
	if (ret == 0)
		ret = check_chain(&w);
	if (ret == 0)
		ret = check_records(&w, &sums);
	memcpy(why, w.why, sizeof(w.why));
	world_close(&w);
	return ret == 0;
}

static void print_rr(const char *what, const struct rrkey *r)
{
	uint8_t wire[NAME_MAX_WIRE];
	char text[NAME_MAX_TEXT], type[RR_TYPE_TEXT];
	size_t len;

	MUST(name_from_okey(r->n.k, r->n.len, wire, &len) == 0);
	fprintf(stderr, "  %s %s %s\n", what, name_to_text(wire, text), rr_type_text(r->type, type));
}

/* Leaves out changes and RRsets while it still fails, and prints the rest. */
void shrink(struct zcase *c)
{
	char why[WHY_MAX];
	bool less = true;

	while (less) {
		less = false;
		for (size_t i = c->nch; i-- > 0;) {
			struct zcase t = *c;

			memmove(&t.ch[i], &t.ch[i + 1], (--t.nch - i) * sizeof(t.ch[0]));
			if (!case_ok(&t, why)) {
				*c = t;
				less = true;
			}
		}
		for (size_t i = c->nrr; i-- > 0;) {
			struct zcase t = *c;

			memmove(&t.rr[i], &t.rr[i + 1], (--t.nrr - i) * sizeof(t.rr[0]));
			if (!case_ok(&t, why)) {
				*c = t;
				less = true;
			}
		}
	}
	case_ok(c, why);
	fprintf(stderr, "%s\n  %s\n", why, mode_text[c->p.kind == DENIAL_NSEC ? 0 : 1 + c->p.opt_out]);
	for (size_t i = 0; i < c->nrr; i++)
		print_rr("zone  ", &c->rr[i]);
	for (size_t i = 0; i < c->nch; i++)
		print_rr(c->ch[i].del ? "delete" : "put   ", &c->ch[i].rr);
}
