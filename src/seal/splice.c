/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The change of a version, spread to what it touches. In three steps: the owners of changed RRsets are
 * gathered, with the empty non-terminals above them; below each that began or ceased to hide what is below it
 * (delegation, DNAME) the names that it hides or uncovers are added; then each name is looked up in both
 * versions. Called by the recipe of a version; the chain's part is splice_chain.c's.
 *
 * Why this is enough: what a name is depends on its own types and on delegations and DNAMEs above it. An
 * empty name is in the chain of NSEC3 when it is not hidden and has an owner below; the first such owner in
 * canonical order is not hidden, because nothing stands between the two. So one seek answers it, and
 * upwards it is over at the first name with something at or below it in both versions. Names that begin or
 * cease to be hidden are those not hidden in the version in which the name above them does not hide: walked
 * there, over nested delegations and DNAMEs at a bound, since what is below them is hidden in both. No step
 * looks at more than that, whatever the zone's size: no case is O(n) in a zone of n names unless n names
 * are affected.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "splice_impl.h"

#define CHANGED_MAX (2u * 65536) /* octets of all types of an owner */

/* Adds a name, or gives one its changed types. */
static int name_add(struct splice *s, const uint8_t *okey, size_t klen, const uint8_t *types, size_t tlen)
{
	struct kv_item it;
	int ret = kv_get(s->names, okey, klen, &it);

	if (ret == 0 && tlen == 0)
		return 0;
	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	if (ret == ZS_ENOENT) {
		if (s->sums->names >= s->limit)
			return ZS_ELIMIT;
		s->sums->names++;
	}
	return kv_put(s->names, okey, klen, types, tlen);
}

/* Is there any record at or below the name? */
static int any_within(struct kv *kv, const uint8_t *okey, size_t klen, bool *out)
{
	uint8_t prefix[KEY_MAX];
	struct kv_item it;
	int ret;

	key_owner(prefix, okey, klen);
	ret = kv_seek(kv, prefix, 1 + klen, &it);
	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	*out = ret == 0 && it.klen > klen && memcmp(it.key, prefix, 1 + klen) == 0;
	return 0;
}

/* The names above a changed owner that may begin or cease to be empty non-terminals. */
static int add_above(struct splice *s, const uint8_t *okey, size_t klen)
{
	if (s->p->kind != DENIAL_NSEC3 || klen == s->apex_len)
		return 0;
	for (klen = okey_parent(okey, klen); klen > s->apex_len; klen = okey_parent(okey, klen)) {
		bool was = false, is = false;
		int ret = any_within(s->before, okey, klen, &was);

		if (ret == 0)
			ret = any_within(s->after, okey, klen, &is);
		if (ret != 0 || (was && is))
			return ret;
		ret = name_add(s, okey, klen, NULL, 0);
		if (ret != 0)
			return ret;
	}
	return 0;
}

/* Ends the gathering of an owner's types. */
static int gather_end(struct splice *s, const uint8_t *okey, size_t klen)
{
	int ret = s->changed.err;

	if (ret == 0)
		ret = name_add(s, okey, klen, s->changed.p, s->changed.len);
	if (ret == 0)
		ret = add_above(s, okey, klen);
	s->changed.len = 0;
	return ret;
}

static int gather(struct splice *s)
{
	uint8_t last[KEY_MAX];
	size_t last_len = 0;

	for (;;) {
		const uint8_t *key, *okey;
		size_t klen, olen;
		uint16_t type;
		int ret = s->ops->next_changed(s->ops->ctx, &key, &klen);

		if (ret == ZS_ENOENT)
			return last_len > 0 ? gather_end(s, last + 1, last_len - 4) : 0;
		if (ret != 0)
			return ret;
		if (key_record_split(key, klen, &okey, &olen, &type) != 0 ||
		    okey_cmp(key, klen, last, last_len) <= 0 ||
		    !okey_within(okey, olen, s->apex, s->apex_len))
			return ZS_EINVAL;
		if (last_len > 0 && okey_cmp(okey, olen, last + 1, last_len - 4) != 0)
			ret = gather_end(s, last + 1, last_len - 4);
		if (ret != 0)
			return ret;
		wr_u16(&s->changed, type);
		memcpy(last, key, klen);
		last_len = klen;
	}
}

static int has_record(struct kv *kv, const uint8_t *okey, size_t klen, uint16_t type, bool *out)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int ret = kv_get(kv, key, key_record(key, okey, klen, type), &it);

	*out = ret == 0;
	return ret == ZS_ENOENT ? 0 : ret;
}

/* Is what is below the name hidden, by itself or from above? */
static int hides(const struct splice *s, struct kv *kv, const uint8_t *okey, size_t klen, bool *out)
{
	for (;; klen = okey_parent(okey, klen)) {
		int ret = has_record(kv, okey, klen, T_DNAME, out);

		if (ret == 0 && !*out && klen > s->apex_len)
			ret = has_record(kv, okey, klen, T_NS, out);
		if (ret != 0 || *out || klen == s->apex_len)
			return ret;
	}
}

/* An owner found below `top`, and the empty names between the two. */
static int add_below(struct splice *s, const uint8_t *okey, size_t klen, size_t top)
{
	int ret = name_add(s, okey, klen, NULL, 0);

	if (s->p->kind != DENIAL_NSEC3)
		return ret;
	for (klen = okey_parent(okey, klen); ret == 0 && klen > top; klen = okey_parent(okey, klen))
		ret = name_add(s, okey, klen, NULL, 0);
	return ret;
}

/* All names below `okey` that are not hidden by something else below it, in the version where it hides
 * nothing. */
static int walk_below(struct splice *s, struct kv *kv, const uint8_t *okey, size_t klen)
{
	uint8_t key[KEY_MAX], owner[OKEY_MAX];
	size_t owner_len = klen;
	struct kv_item it;
	int ret;

	memcpy(owner, okey, klen);
	key[key_owner(key, okey, klen) - 1] =
		1; /* labels begin with 01 or more; 00 are the name's own types */
	ret = kv_seek(kv, key, klen + 2, &it);
	while (ret == 0 && it.klen > klen && memcmp(it.key, key, klen + 1) == 0) {
		const uint8_t *k;
		size_t n;
		uint16_t type;

		ret = key_record_split(it.key, it.klen, &k, &n, &type);
		if (ret == 0 && okey_cmp(k, n, owner, owner_len) != 0) {
			memcpy(owner, k, n);
			owner_len = n;
			ret = add_below(s, owner, owner_len, klen);
		}
		if (ret != 0)
			return ret;
		if (type == T_NS || type == T_DNAME) {
			uint8_t past[KEY_MAX]; /* behind everything below it: its last 00 becomes 01 */

			key_owner(past, owner, owner_len);
			past[owner_len] = 1;
			ret = kv_seek(kv, past, 1 + owner_len, &it);
		} else {
			ret = kv_next(kv, &it);
		}
	}
	return ret == ZS_ENOENT ? 0 : ret;
}

static bool lists_type(const uint8_t *types, size_t tlen, uint16_t type)
{
	for (size_t i = 0; i + 2 <= tlen; i += 2)
		if (be16(types + i) == type)
			return true;
	return false;
}

/* Below each changed owner whose hiding changed. One within another's walk needs none of its own: what it
 * would add is not hidden in the same version, and so was added. */
static int spread(struct splice *s)
{
	uint8_t okey[OKEY_MAX], top[OKEY_MAX];
	size_t top_len = SIZE_MAX;
	struct kv_item it;
	int ret = kv_seek(s->names, "", 0, &it);

	for (; ret == 0; ret = kv_next(s->names, &it)) {
		size_t klen = it.klen;
		bool was = false, is = false;

		if (!lists_type(it.val, it.vlen, T_NS) && !lists_type(it.val, it.vlen, T_DNAME))
			continue;
		if (top_len <= klen && okey_within(it.key, klen, top, top_len))
			continue;
		memcpy(okey, it.key, klen);
		ret = hides(s, s->before, okey, klen, &was);
		if (ret == 0)
			ret = hides(s, s->after, okey, klen, &is);
		if (ret == 0 && was != is) {
			memcpy(top, okey, klen);
			top_len = klen;
			ret = walk_below(s, was ? s->after : s->before, okey, klen);
		}
		if (ret != 0)
			return ret;
	}
	return ret == ZS_ENOENT ? 0 : ret;
}

/* The types that stand at an owner of `after`, into s->types. */
static int read_types(struct splice *s, const uint8_t *okey, size_t klen)
{
	uint8_t key[KEY_MAX];
	size_t plen = key_owner(key, okey, klen);
	struct kv_item it;
	int ret = kv_seek(s->after, key, plen, &it);

	s->types.len = 0;
	for (; ret == 0 && it.klen == plen + 2 && memcmp(it.key, key, plen) == 0;
	     ret = kv_next(s->after, &it))
		wr_u16(&s->types, be16(it.key + plen));
	return ret != 0 && ret != ZS_ENOENT ? ret : s->types.err;
}

/* The record() calls of a name: changed types, and those signed in one version only. */
static int tell_records(struct splice *s, bool there)
{
	const struct chain_name *n = &s->is;
	struct rd changed = rd_init(s->changed.p, s->changed.len);
	bool flips = there && node_signs(s->was.kind, T_TXT) != node_signs(n->kind, T_TXT);
	bool ds = there && node_signs(s->was.kind, T_DS) != node_signs(n->kind, T_DS);
	uint8_t key[KEY_MAX];
	int ret = 0;

	if (s->changed.len == 0 && !flips && !ds)
		return 0;
	ret = read_types(s, n->okey, n->klen);
	for (size_t i = 0; ret == 0 && i < s->types.len; i += 2) {
		uint16_t type = be16(s->types.p + i);
		bool signs = node_signs(n->kind, type), mine;

		while (rd_left(&changed) > 0 && be16(changed.p) < type)
			rd_u16(&changed);
		mine = rd_left(&changed) > 0 && be16(changed.p) == type;
		if (!mine && (!there || node_signs(s->was.kind, type) == signs))
			continue;
		s->sums->records++;
		s->sums->gained += !mine && signs;
		s->sums->lost += !mine && !signs;
		ret = s->ops->record(s->ops->ctx, key, key_record(key, n->okey, n->klen, type), n->kind,
				     signs);
	}
	return ret;
}

static bool is_cut(enum node_kind kind) { return kind == NODE_CUT_INSECURE || kind == NODE_CUT_SECURE; }

static void count_cuts(struct splice *s, bool was, bool is)
{
	was = was && is_cut(s->was.kind);
	is = is && is_cut(s->is.kind);
	s->sums->cuts_came += is && !was;
	s->sums->cuts_gone += was && !is;
	s->sums->cuts_changed += was && is && lists_type(s->changed.p, s->changed.len, T_NS);
}

/* Each name in both versions. */
static int judge(struct splice *s)
{
	struct kv_item it;
	int ret = kv_seek(s->names, "", 0, &it);

	for (; ret == 0; ret = kv_next(s->names, &it)) {
		int was = denial_name(s->before, s->p, it.key, it.klen, &s->was);
		int is = denial_name(s->after, s->p, it.key, it.klen, &s->is);

		if ((was != 0 && was != ZS_ENOENT) || (is != 0 && is != ZS_ENOENT))
			return was != 0 && was != ZS_ENOENT ? was : is;
		s->changed.len = 0;
		wr_bytes(&s->changed, it.val, it.vlen);
		if (s->changed.err)
			return s->changed.err;
		count_cuts(s, was == 0, is == 0);
		if (is == 0)
			ret = tell_records(s, was == 0);
		if (ret == 0)
			ret = splice_chain_name(s, &s->is, is == 0 && denial_in_chain(s->p, s->is.kind));
		if (ret != 0)
			return ret;
	}
	return ret == ZS_ENOENT ? 0 : ret;
}

static int open_all(struct splice *s)
{
	int ret;

	s->name_mem = kvmem_new(0);
	s->names = s->name_mem ? kvmem_open(s->name_mem) : NULL;
	ret = s->names ? splice_chain_open(s) : ZS_ENOMEM;
	if (ret == 0)
		ret = s->ops->open_before(s->ops->ctx, &s->before);
	if (ret == 0)
		ret = s->ops->open_after(s->ops->ctx, &s->after);
	return ret;
}

int splice_run(const struct denial_params *p, const struct splice_ops *ops, size_t limit,
	       struct splice_sums *sums)
{
	struct splice_sums own;
	struct splice *s = calloc(1, sizeof(*s));
	int ret;

	if (s == NULL)
		return ZS_ENOMEM;
	s->p = p;
	s->ops = ops;
	s->limit = limit;
	s->sums = sums ? sums : &own;
	*s->sums = (struct splice_sums){ 0 };
	s->apex_len = name_okey(p->zone, s->apex);
	s->changed = wr_growing(CHANGED_MAX);
	s->types = wr_growing(CHANGED_MAX);
	ret = open_all(s);
	if (ret == 0)
		ret = gather(s);
	if (ret == 0)
		ret = spread(s);
	if (ret == 0)
		ret = judge(s);
	if (ret == 0)
		ret = splice_chain_emit(s);
	kv_close(s->before);
	kv_close(s->after);
	splice_chain_close(s);
	kv_close(s->names);
	kvmem_free(s->name_mem);
	wr_free(&s->changed);
	wr_free(&s->types);
	free(s);
	return ret;
}
