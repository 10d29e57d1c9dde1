/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which names are in the denial chain, and with which types: all of a version as a stream in canonical order,
 * or one owner looked up (RFC 4035 2.3, RFC 5155 7.1). The stream reads each key of RECORDS once and
 * remembers no more than three names: the last delegation or DNAME (struct walk), the owner in hand, and the
 * last relevant owner before it. An ancestor of the owner in hand is an empty non-terminal that was not seen
 * yet exactly when that last relevant owner is neither it nor below it: everything between an ancestor and
 * its descendant lies below the ancestor. Relevant = authoritative or a delegation, also one that opt-out
 * leaves out; glue and occluded names make no ENTs.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "seal/denial.h"

#define EXTRA_MAX 16
#define TYPES_MAX (sizeof(((struct chain_name *)0)->types) / sizeof(uint16_t))

struct chain_iter {
	struct kv *kv;
	struct denial_params p;
	struct walk walk;
	uint8_t apex[OKEY_MAX];
	size_t apex_len;
	uint16_t extra[EXTRA_MAX];
	size_t nextra;
	bool started, at_end;
	uint8_t ahead[OKEY_MAX]; /* first owner not taken yet, and its first type */
	size_t ahead_len;
	uint16_t ahead_type;
	uint8_t last[OKEY_MAX]; /* last relevant owner */
	size_t last_len;
	struct chain_name owner; /* in hand: waits while its ENTs go out */
	bool have_owner;
	size_t ent_from; /* ENTs above the owner that are still to go out are longer than this */
	struct chain_name ent;
};

/* Records a type in ascending order; a repetition is nothing new. */
static int add_type(struct chain_name *n, uint16_t type)
{
	size_t i = n->ntypes;

	while (i > 0 && n->types[i - 1] > type)
		i--;
	if (i > 0 && n->types[i - 1] == type)
		return 0;
	if (n->ntypes == TYPES_MAX)
		return ZS_ELIMIT;
	memmove(&n->types[i + 1], &n->types[i], (n->ntypes - i) * sizeof(n->types[0]));
	n->types[i] = type;
	n->ntypes++;
	return 0;
}

static bool has_type(const struct chain_name *n, uint16_t type)
{
	for (size_t i = 0; i < n->ntypes && n->types[i] <= type; i++)
		if (n->types[i] == type)
			return true;
	return false;
}

/*
 * From the types that an owner has to those that its bitmap shows: RFC 4034 4.1.2 (delegations: only what is
 * the parent's), RFC 5155 7.1. RRSIG stands where something is signed: at every authoritative owner, at a
 * delegation only with DS (or by its NSEC itself).
 */
static int finish_types(struct chain_name *n, const struct denial_params *p)
{
	size_t kept = 0;
	bool nsec = p->kind == DENIAL_NSEC;
	int ret = 0;

	for (size_t i = 0; i < n->ntypes; i++)
		if (node_lists(n->kind, n->types[i]))
			n->types[kept++] = n->types[i];
	n->ntypes = kept;
	if (n->kind == NODE_OCCLUDED)
		return 0;
	if (nsec || n->kind != NODE_CUT_INSECURE)
		ret = add_type(n, T_RRSIG);
	if (ret == 0 && nsec)
		ret = add_type(n, T_NSEC);
	return ret;
}

bool denial_in_chain(const struct denial_params *p, enum node_kind kind)
{
	return kind != NODE_OCCLUDED && !(kind == NODE_CUT_INSECURE && p->kind == DENIAL_NSEC3 && p->opt_out);
}

int chain_iter_new(struct kv *kv, const struct denial_params *p, const uint16_t *extra, size_t nextra,
		   struct chain_iter **out)
{
	struct chain_iter *it;

	if (nextra > EXTRA_MAX)
		return ZS_ELIMIT;
	it = calloc(1, sizeof(*it));
	if (it == NULL)
		return ZS_ENOMEM;
	it->kv = kv;
	it->p = *p;
	it->apex_len = name_okey(p->zone, it->apex);
	if (nextra > 0)
		memcpy(it->extra, extra, nextra * sizeof(extra[0]));
	it->nextra = nextra;
	walk_init(&it->walk, it->apex, it->apex_len);
	*out = it;
	return 0;
}

void chain_iter_free(struct chain_iter *it)
{
	free(it);
}

/* Takes apart what the handle found; the end of the table or of the zone is the end of the stream. */
static int take_ahead(struct chain_iter *it, int ret, const struct kv_item *item)
{
	const uint8_t *okey;

	if (ret == ZS_ENOENT || (ret == 0 && item->key[0] != TAB_RECORDS)) {
		it->at_end = true;
		return 0;
	}
	if (ret == 0)
		ret = key_record_split(item->key, item->klen, &okey, &it->ahead_len, &it->ahead_type);
	if (ret != 0)
		return ret;
	if (!okey_within(okey, it->ahead_len, it->apex, it->apex_len)) {
		it->at_end = true;
		return 0;
	}
	memcpy(it->ahead, okey, it->ahead_len);
	return 0;
}

static int start(struct chain_iter *it)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_owner(key, it->apex, it->apex_len);
	struct kv_item item = { 0 };

	it->started = true;
	return take_ahead(it, kv_seek(it->kv, key, klen, &item), &item);
}

/* All types of the owner ahead go to it->owner; *over: there were more than fit. */
static int read_types(struct chain_iter *it, bool *over)
{
	struct chain_name *n = &it->owner;

	memcpy(n->okey, it->ahead, it->ahead_len);
	n->klen = it->ahead_len;
	do {
		struct kv_item item = { 0 };
		int ret = add_type(n, it->ahead_type);

		if (ret != 0)
			*over = true;
		ret = take_ahead(it, kv_next(it->kv, &item), &item);
		if (ret != 0)
			return ret;
	} while (!it->at_end && okey_cmp(it->ahead, it->ahead_len, n->okey, n->klen) == 0);
	return 0;
}

/* Octets that two order keys share; rounded up to a whole label, that is where their common ancestor ends. */
static size_t common_octets(const uint8_t *a, size_t alen, const uint8_t *b, size_t blen)
{
	size_t max = alen < blen ? alen : blen, n = 0;

	while (n < max && a[n] == b[n])
		n++;
	return n;
}

/* What the owner in hand is, and from that its bitmap; over: it has more types than fit. */
static int classify(struct chain_iter *it, bool over)
{
	struct chain_name *n = &it->owner;
	int ret;

	n->ent = false;
	for (size_t i = 0; n->klen == it->apex_len && i < it->nextra; i++)
		if (add_type(n, it->extra[i]) != 0)
			over = true;
	/* NS, DNAME and DS are low numbers: no overflow loses them */
	n->kind = walk_step(&it->walk, n->okey, n->klen, has_type(n, T_NS), has_type(n, T_DS),
			    has_type(n, T_DNAME));
	ret = finish_types(n, &it->p);
	if (ret == 0 && over && (n->kind == NODE_APEX || n->kind == NODE_AUTH))
		ret = ZS_ELIMIT;
	return ret;
}

/* The next owner into it->owner: first the apex, though nothing of it may be stored yet. ZS_ENOENT at the
 * end. */
static int next_owner(struct chain_iter *it)
{
	struct chain_name *n = &it->owner;
	bool apex_due = !it->started && it->nextra > 0;
	bool over = false;
	int ret = it->started ? 0 : start(it);

	if (ret != 0)
		return ret;
	n->ntypes = 0;
	if (apex_due && (it->at_end || it->ahead_len != it->apex_len)) {
		memcpy(n->okey, it->apex, it->apex_len);
		n->klen = it->apex_len;
	} else if (it->at_end) {
		return ZS_ENOENT;
	} else {
		ret = read_types(it, &over);
	}
	return ret == 0 ? classify(it, over) : ret;
}

/* Moves on to the next relevant owner. */
static int advance(struct chain_iter *it)
{
	struct chain_name *n = &it->owner;
	int ret;

	do {
		ret = next_owner(it);
		if (ret != 0)
			return ret;
	} while (n->kind == NODE_OCCLUDED);
	it->ent_from = n->klen;
	if (it->p.kind == DENIAL_NSEC3 && n->kind != NODE_APEX) {
		it->ent_from = common_octets(it->last, it->last_len, n->okey, n->klen);
		if (it->ent_from < it->apex_len)
			it->ent_from = it->apex_len;
	}
	memcpy(it->last, n->okey, n->klen);
	it->last_len = n->klen;
	it->have_owner = true;
	return 0;
}

/* The next ENT above the owner in hand; false when the owner itself is due. */
static bool next_ent(struct chain_iter *it)
{
	const struct chain_name *n = &it->owner;
	const uint8_t *end;

	if (it->ent_from >= n->klen)
		return false;
	end = memchr(n->okey + it->ent_from, 0, n->klen - it->ent_from);
	if (end == NULL || (size_t)(end - n->okey) + 1 >= n->klen)
		return false;
	it->ent_from = (size_t)(end - n->okey) + 1;
	memcpy(it->ent.okey, n->okey, it->ent_from);
	it->ent.klen = it->ent_from;
	it->ent.kind = NODE_AUTH;
	it->ent.ent = true;
	it->ent.ntypes = 0;
	return true;
}

int chain_iter_next(struct chain_iter *it, const struct chain_name **out)
{
	int ret = 0;

	while (ret == 0) {
		if (!it->have_owner) {
			ret = advance(it);
			continue;
		}
		if (next_ent(it)) {
			*out = &it->ent;
			return 0;
		}
		it->have_owner = false;
		if (denial_in_chain(&it->p, it->owner.kind)) {
			*out = &it->owner;
			return 0;
		}
	}
	return ret;
}

static int has_record(struct kv *kv, const uint8_t *okey, size_t klen, uint16_t type, bool *out)
{
	uint8_t key[KEY_MAX];
	struct kv_item item;
	int ret = kv_get(kv, key, key_record(key, okey, klen, type), &item);

	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	*out = ret == 0;
	return 0;
}

/* Is the owner strictly below a delegation or a DNAME? Looks at each ancestor within the zone. */
static int is_occluded(struct kv *kv, size_t apex_len, const uint8_t *okey, size_t klen, bool *out)
{
	*out = false;
	while (klen > apex_len && !*out) {
		int ret;

		klen = okey_parent(okey, klen);
		ret = has_record(kv, okey, klen, T_DNAME, out);
		if (ret == 0 && !*out && klen > apex_len)
			ret = has_record(kv, okey, klen, T_NS, out);
		if (ret != 0)
			return ret;
	}
	return 0;
}

static int read_owner(struct kv *kv, struct chain_name *n, bool *over)
{
	uint8_t prefix[KEY_MAX];
	size_t plen = key_owner(prefix, n->okey, n->klen);
	struct kv_item item;
	int ret = kv_seek(kv, prefix, plen, &item);

	for (; ret == 0; ret = kv_next(kv, &item)) {
		if (item.klen != plen + 2 || memcmp(item.key, prefix, plen) != 0)
			break;
		if (add_type(n, be16(item.key + plen)) != 0)
			*over = true;
	}
	if (ret != 0 && ret != ZS_ENOENT)
		return ret;
	return n->ntypes > 0 ? 0 : ZS_ENOENT;
}

int denial_owner(struct kv *kv, const struct denial_params *p, const uint8_t *okey, size_t klen,
		 struct chain_name *out)
{
	uint8_t apex[OKEY_MAX];
	size_t apex_len = name_okey(p->zone, apex);
	bool over = false, occluded;
	int ret;

	if (!okey_within(okey, klen, apex, apex_len))
		return ZS_ENOENT;
	memcpy(out->okey, okey, klen);
	out->klen = klen;
	out->ent = false;
	out->ntypes = 0;
	ret = read_owner(kv, out, &over);
	if (ret == 0)
		ret = is_occluded(kv, apex_len, okey, klen, &occluded);
	if (ret != 0)
		return ret;
	if (occluded)
		out->kind = NODE_OCCLUDED;
	else if (klen == apex_len)
		out->kind = NODE_APEX;
	else if (!has_type(out, T_NS))
		out->kind = NODE_AUTH;
	else
		out->kind = has_type(out, T_DS) ? NODE_CUT_SECURE : NODE_CUT_INSECURE;
	ret = finish_types(out, p);
	if (ret == 0 && over && (out->kind == NODE_APEX || out->kind == NODE_AUTH))
		ret = ZS_ELIMIT;
	return ret;
}

int denial_name(struct kv *kv, const struct denial_params *p, const uint8_t *okey, size_t klen,
		struct chain_name *out)
{
	uint8_t apex[OKEY_MAX], prefix[KEY_MAX];
	size_t apex_len = name_okey(p->zone, apex);
	struct kv_item item;
	bool occluded;
	int ret = denial_owner(kv, p, okey, klen, out);

	if (ret != ZS_ENOENT || p->kind != DENIAL_NSEC3 || klen <= apex_len ||
	    !okey_within(okey, klen, apex, apex_len))
		return ret;
	key_owner(prefix, okey, klen);
	ret = kv_seek(kv, prefix, 1 + klen, &item);
	if (ret == 0 && (item.klen <= klen || memcmp(item.key, prefix, 1 + klen) != 0))
		ret = ZS_ENOENT;
	if (ret == 0)
		ret = is_occluded(kv, apex_len, okey, klen, &occluded);
	if (ret != 0)
		return ret;
	out->kind = NODE_AUTH;
	out->ent = true;
	return occluded ? ZS_ENOENT : 0;
}
