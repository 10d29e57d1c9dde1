/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The chain's part of a splice. Names that enter the chain, leave it or change their bitmap are marks, by
 * their DENIAL key; when all are known, the records of before's chain next to them are noted too, and the
 * first and the last of all. The marks then hold everything that can change or be pointed to: the record
 * that follows a mark in the new chain is a mark or was put beside it, and so is the one that precedes it,
 * whose next name changes with it. One pass in key order gives each its next, the last the first of all
 * (RFC 4034 4.1.1, RFC 5155 7.1). Called by splice.c alone.
 */
#include <string.h>

#include "base/err.h"
#include "splice_impl.h"

#define HEAD_MAX (5 + NSEC3_SALT_MAX + 1 + NSEC3_HASH_LEN)

/* First octet of a mark's value. */
enum mark {
	MARK_GONE,
	MARK_WANT, /* then u16 length, order key of the name, bitmap */
	MARK_KEEP, /* of before, stays as it is: something points to it */
	MARK_POINT, /* of before, stays, but what it points to may have changed */
};

int splice_chain_open(struct splice *s)
{
	s->mark_mem = kvmem_new(0);
	if (s->mark_mem == NULL)
		return ZS_ENOMEM;
	s->marks = kvmem_open(s->mark_mem);
	s->look = kvmem_open(s->mark_mem);
	if (s->p->kind == DENIAL_NSEC3)
		s->hash = nsec3_ctx_new();
	return s->marks && s->look && (s->hash || s->p->kind == DENIAL_NSEC) ? 0 : ZS_ENOMEM;
}

void splice_chain_close(struct splice *s)
{
	kv_close(s->marks);
	kv_close(s->look);
	kvmem_free(s->mark_mem);
	nsec3_ctx_free(s->hash);
}

/* Octets in front of the next name: none, or algorithm to hash length; flags are those of p. */
static size_t head_of(const struct denial_params *p, uint8_t out[static HEAD_MAX])
{
	static const uint8_t none[NSEC3_HASH_LEN];

	if (p->kind == DENIAL_NSEC)
		return 0;
	return nsec3_rdata(out, p, none, NULL, 0) - NSEC3_HASH_LEN;
}

/* Takes RDATA of before's chain apart; it must be of the same parameters, but for opt-out. */
static int old_parse(struct splice *s)
{
	struct splice_old *o = &s->old;
	uint8_t head[HEAD_MAX];

	o->head = head_of(s->p, head);
	if (s->p->kind == DENIAL_NSEC) {
		uint8_t *end = o->rdata, *stop = o->rdata + o->len;

		while (end < stop && *end != 0)
			end += *end + 1;
		o->map = (size_t)(end - o->rdata) + 1;
		return o->map <= o->len ? 0 : ZS_EFORMAT;
	}
	o->map = o->head + NSEC3_HASH_LEN;
	if (o->len < o->map)
		return ZS_EFORMAT;
	head[1] = o->rdata[1];
	return memcmp(head, o->rdata, o->head) == 0 ? 0 : ZS_EINVAL;
}

/* The record of before's chain under a key, into s->old. ZS_ENOENT. */
static int old_read(struct splice *s, const uint8_t *key, size_t klen)
{
	struct splice_old *o = &s->old;
	const uint8_t *src;
	struct kv_item it;
	struct rr_item rr;
	struct rrval v;
	int ret = kv_get(s->before, key, klen, &it);

	if (ret == 0)
		ret = rrval_open(&v, it.val, it.vlen);
	if (ret != 0)
		return ret;
	src = s->p->kind == DENIAL_NSEC3 ? v.src : key + 2;
	o->src_len = s->p->kind == DENIAL_NSEC3 ? v.src_len : klen - 2;
	if (v.nrr != 1 || !rrval_rr(&v, &rr) || rr.len > sizeof(o->rdata) || src == NULL ||
	    o->src_len > OKEY_MAX)
		return ZS_EFORMAT;
	memcpy(o->src, src, o->src_len);
	memcpy(o->rdata, rr.data, rr.len);
	o->len = rr.len;
	return old_parse(s);
}

static int chain_key(struct splice *s, const uint8_t *okey, size_t klen, uint8_t key[static KEY_MAX],
		     size_t *len)
{
	uint8_t name[NAME_MAX_WIRE], hash[NSEC3_HASH_LEN];
	size_t n;
	int ret;

	if (s->p->kind == DENIAL_NSEC) {
		*len = key_nsec(key, okey, klen);
		return 0;
	}
	ret = name_from_okey(okey, klen, name, &n);
	if (ret == 0)
		ret = nsec3_hash(s->hash, s->p, name, hash);
	if (ret == 0)
		*len = key_nsec3(key, s->p->set, hash);
	return ret;
}

/* Two names have one hash: RFC 5155 7.1 wants another salt then. */
static int clash(struct splice *s, const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t n;
	int ret = name_from_okey(a, alen, s->sums->clash[0], &n);

	if (ret == 0)
		ret = name_from_okey(b, blen, s->sums->clash[1], &n);
	return ret ? ret : ZS_EHELD;
}

/* Is the key free for the name n, now that before's record there is another's (`taken`)? */
static int check_free(struct splice *s, const struct chain_name *n, const uint8_t *key, size_t klen,
		      bool taken)
{
	struct kv_item it;
	int ret;

	if (taken) {
		ret = denial_name(s->after, s->p, s->old.src, s->old.src_len, &s->other);
		if (ret == 0 && denial_in_chain(s->p, s->other.kind))
			return clash(s, s->old.src, s->old.src_len, n->okey, n->klen);
		if (ret != 0 && ret != ZS_ENOENT)
			return ret;
	}
	ret = kv_get(s->look, key, klen, &it);
	if (ret == 0 && it.val[0] == MARK_WANT)
		return clash(s, it.val + 3, be16(it.val + 1), n->okey, n->klen);
	return ret == ZS_ENOENT ? 0 : ret;
}

static int put_mark(struct splice *s, const uint8_t *key, size_t klen, enum mark m)
{
	uint8_t octet = (uint8_t)m;

	return kv_put(s->look, key, klen, &octet, 1);
}

static int put_want(struct splice *s, const uint8_t *key, size_t klen, const struct chain_name *n,
		    size_t mlen)
{
	uint8_t val[3 + OKEY_MAX + BITMAP_MAX];

	val[0] = MARK_WANT;
	put_be16(val + 1, (uint16_t)n->klen);
	memcpy(val + 3, n->okey, n->klen);
	memcpy(val + 3 + n->klen, s->bitmap, mlen);
	return kv_put(s->look, key, klen, val, 3 + n->klen + mlen);
}

/* Would the record be that of before, next name aside? */
static bool old_same(const struct splice *s, size_t mlen)
{
	const struct splice_old *o = &s->old;
	uint8_t head[HEAD_MAX];

	return memcmp(o->rdata, head, head_of(s->p, head)) == 0 && o->len - o->map == mlen &&
	       memcmp(o->rdata + o->map, s->bitmap, mlen) == 0;
}

int splice_chain_name(struct splice *s, const struct chain_name *n, bool wanted)
{
	uint8_t key[KEY_MAX];
	size_t klen = 0, mlen;
	struct kv_item it;
	bool had, taken;
	int ret = chain_key(s, n->okey, n->klen, key, &klen);

	if (ret == 0)
		ret = old_read(s, key, klen);
	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	had = ret == 0;
	taken = had && okey_cmp(s->old.src, s->old.src_len, n->okey, n->klen) != 0;
	if (!wanted) {
		if (!had || taken || kv_get(s->look, key, klen, &it) == 0)
			return 0;
		return put_mark(s, key, klen, MARK_GONE);
	}
	ret = check_free(s, n, key, klen, taken);
	if (ret != 0)
		return ret;
	mlen = bitmap_build(s->bitmap, n->types, n->ntypes);
	if (had && !taken && old_same(s, mlen))
		return 0;
	return put_want(s, key, klen, n, mlen);
}

/* A record of before beside a mark; it is not one itself. */
static int put_beside(struct splice *s, const struct kv_item *old, enum mark m)
{
	struct kv_item it;
	int ret;

	if (old->klen < 2 || be16(old->key) != (TAB_DENIAL << 8 | s->p->set))
		return 0;
	if (old->klen > KEY_MAX)
		return ZS_EFORMAT;
	ret = kv_get(s->look, old->key, old->klen, &it);
	if (ret == 0 && !(it.val[0] == MARK_KEEP && m == MARK_POINT))
		return 0;
	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	return put_mark(s, old->key, old->klen, m);
}

static int beside(struct splice *s, int ret, const struct kv_item *old, enum mark m)
{
	return ret == 0 ? put_beside(s, old, m) : ret == ZS_ENOENT ? 0 : ret;
}

/* Before's records next to the marks, its first and its last. */
static int add_neighbours(struct splice *s)
{
	uint8_t key[KEY_MAX + 1], ends[2];
	struct kv_item it, old;
	int ret, got = kv_seek(s->marks, "", 0, &it);

	if (got == ZS_ENOENT)
		return 0;
	put_be16(ends, (uint16_t)(TAB_DENIAL << 8 | s->p->set));
	ret = beside(s, kv_seek(s->before, ends, 2, &old), &old, MARK_KEEP);
	put_be16(ends, (uint16_t)(be16(ends) + 1));
	if (ret == 0)
		ret = beside(s, kv_seek_lt(s->before, ends, 2, &old), &old, MARK_POINT);
	for (; ret == 0 && got == 0; got = kv_next(s->marks, &it)) {
		if (it.val[0] == MARK_KEEP || it.val[0] == MARK_POINT)
			continue;
		memcpy(key, it.key, it.klen);
		key[it.klen] = 0; /* the least key behind it */
		ret = beside(s, kv_seek_lt(s->before, key, it.klen, &old), &old, MARK_POINT);
		if (ret == 0)
			ret = beside(s, kv_seek(s->before, key, it.klen + 1, &old), &old, MARK_KEEP);
	}
	return ret ? ret : got == ZS_ENOENT ? 0 : got;
}

/* The first record of the new chain that is not before `key`. */
static int find_present(struct splice *s, const uint8_t *key, size_t klen, struct kv_item *out)
{
	int ret = kv_seek(s->look, key, klen, out);

	while (ret == 0 && out->val[0] == MARK_GONE)
		ret = kv_next(s->look, out);
	return ret;
}

/* RDATA with that next and bitmap into s->rdata. */
static int make_rdata(struct splice *s, const struct kv_item *next, const uint8_t *map, size_t mlen,
		      uint16_t *len)
{
	uint8_t name[NAME_MAX_WIRE];
	size_t n;

	if (s->p->kind == DENIAL_NSEC3) {
		n = nsec3_rdata(s->rdata, s->p, next->key + 2, NULL, 0);
	} else {
		int ret = name_from_okey(next->key + 2, next->klen - 2, name, &n);

		if (ret != 0)
			return ret;
		n = nsec_rdata(s->rdata, name, NULL, 0);
	}
	if (mlen > sizeof(s->rdata) - n)
		return ZS_EFORMAT;
	memcpy(s->rdata + n, map, mlen);
	*len = (uint16_t)(n + mlen);
	return 0;
}

static int tell_chain(struct splice *s, const struct kv_item *mark, const uint8_t *src, size_t src_len,
		      uint16_t len)
{
	bool nsec3 = s->p->kind == DENIAL_NSEC3;
	uint8_t owner[NAME_MAX_WIRE];
	struct rr_item rr = { .ttl = s->p->ttl, .len = len, .data = s->rdata };
	struct rrset set = { .owner = owner, .ttl = s->p->ttl, .flags = RRV_OURS, .nrr = 1, .rr = &rr };
	size_t n;
	int ret;

	set.type = nsec3 ? T_NSEC3 : T_NSEC;
	if (nsec3) {
		set.flags |= RRV_SRC;
		set.src = src;
		set.src_len = (uint16_t)src_len;
		ret = nsec3_owner(mark->key + 2, s->p->zone, owner);
	} else {
		ret = name_from_okey(src, src_len, owner, &n);
	}
	return ret ? ret : s->ops->chain(s->ops->ctx, mark->key, mark->klen, &set);
}

/* A record of the new chain, told if it is not that of before. */
static int emit(struct splice *s, const struct kv_item *mark, const struct kv_item *next)
{
	struct splice_old *o = &s->old;
	int ret = old_read(s, mark->key, mark->klen);
	const uint8_t *src = o->src, *map = o->rdata + o->map;
	size_t src_len = o->src_len, mlen = o->len - o->map;
	bool had = ret == 0;
	uint16_t len = 0;

	if (ret != 0 && (ret != ZS_ENOENT || mark->val[0] != MARK_WANT))
		return ret == ZS_ENOENT ? ZS_EFORMAT : ret;
	if (mark->val[0] == MARK_WANT) {
		src_len = be16(mark->val + 1);
		src = mark->val + 3;
		map = src + src_len;
		mlen = mark->vlen - 3 - src_len;
	}
	ret = make_rdata(s, next, map, mlen, &len);
	if (ret != 0)
		return ret;
	if (had && len == o->len && memcmp(s->rdata, o->rdata, len) == 0 &&
	    okey_cmp(src, src_len, o->src, o->src_len) == 0)
		return 0;
	s->sums->chain_changed += had;
	s->sums->chain_new += !had;
	return tell_chain(s, mark, src, src_len, len);
}

int splice_chain_emit(struct splice *s)
{
	uint8_t behind[KEY_MAX + 1];
	struct kv_item it, next;
	int ret = add_neighbours(s), got = ret ? ret : kv_seek(s->marks, "", 0, &it);

	for (; got == 0; got = kv_next(s->marks, &it)) {
		if (it.val[0] == MARK_GONE) {
			s->sums->chain_gone++;
			ret = s->ops->chain_gone(s->ops->ctx, it.key, it.klen);
		} else if (it.val[0] != MARK_KEEP) {
			memcpy(behind, it.key, it.klen);
			behind[it.klen] = 0;
			ret = find_present(s, behind, it.klen + 1, &next);
			if (ret == ZS_ENOENT)
				ret = find_present(s, (const uint8_t *)"", 0, &next);
			if (ret == 0)
				ret = emit(s, &it, &next);
		}
		if (ret != 0)
			return ret;
	}
	return got == ZS_ENOENT ? 0 : got;
}
