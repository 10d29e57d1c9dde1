/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing messages. The table holds every suffix of every name written below offset 16384, by a hash that
 * is built label by label from the root: a suffix is looked up only after its own parent was found at a
 * known offset, so that comparing one label (and where the name goes on behind it) compares the whole
 * suffix. Whatever is in the table has its parent in the table. Hot: a transfer is made of little else than
 * msgw_rr().
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/msg.h"
#include "layout.h"

#define POINTER_END 0x4000 /* first offset that no pointer reaches */
#define OPT_FIXED 11
#define EDE_TEXT_MAX 200 /* octets of EXTRA-TEXT that we send */

enum { OPT_EXPIRE = 9, OPT_COOKIE = 10, OPT_EDE = 15 };

void msgw_init(struct msgw *w, uint8_t *wire, size_t cap, uint16_t id, uint16_t flags_opcode_rcode)
{
	w->wire = wire;
	w->cap = cap < MSG_MAX ? cap : MSG_MAX;
	w->len = MSG_HEADER;
	w->reserve = 0;
	w->last_off = w->last_len = w->names = 0;
	memset(w->slot, 0, sizeof(w->slot));
	memset(wire, 0, MSG_HEADER);
	put_be16(wire, id);
	put_be16(wire + 2, flags_opcode_rcode);
}

static inline uint32_t hash_label(uint32_t parent, const uint8_t *label)
{
	uint64_t h = parent + UINT64_C(0x9e3779b97f4a7c15), v;
	size_t n = 1 + (size_t)label[0];

	for (; n >= 8; n -= 8, label += 8) {
		memcpy(&v, label, 8);
		h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
		h ^= h >> 32;
	}
	v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | label[i];
	h = (h ^ v) * UINT64_C(0xff51afd7ed558ccd);
	return (uint32_t)(h >> 32) ^ (uint32_t)h;
}

/* Is the suffix at `off` this label followed by the suffix at `parent` (0: the root)? */
static bool slot_is(const struct msgw *w, uint16_t off, const uint8_t *label, uint16_t parent)
{
	size_t n = 1 + (size_t)label[0], next = off + n;
	const uint8_t *p = w->wire + next;

	if (next >= w->len || memcmp(w->wire + off, label, n) != 0)
		return false;
	if (parent == 0)
		return *p == 0;
	return next == parent || (*p >= 0xc0 && (be16(p) & 0x3fff) == parent);
}

/* Slot of a suffix: the one that holds it, or the free one where it belongs. */
static struct msgw_slot *slot_find(struct msgw *w, uint32_t hash, const uint8_t *label, uint16_t parent)
{
	uint32_t i = hash & (MSGW_SLOTS - 1);
	uint16_t tag = (uint16_t)(hash >> 16);

	for (;; i = (i + 1) & (MSGW_SLOTS - 1)) {
		struct msgw_slot *s = &w->slot[i];

		if (s->off == 0 || (s->tag == tag && slot_is(w, s->off, label, parent)))
			return s;
	}
}

/*
 * Writes a name of `n` octets, for which there is room, and enters its new suffixes into the table.
 */
static void put_name(struct msgw *w, const uint8_t *name, size_t n)
{
	uint8_t at[128];
	unsigned labels = 0, new;
	uint16_t parent = 0;
	uint32_t hash = 0;
	size_t base = w->len;

	for (size_t i = 0; name[i] != 0; i += 1 + (size_t)name[i])
		at[labels++] = (uint8_t)i;
	for (new = labels; new > 0; new--) {
		const uint8_t *label = name + at[new - 1];
		uint32_t h = hash_label(hash, label);
		struct msgw_slot *s = slot_find(w, h, label, parent);

		if (s->off == 0)
			break;
		parent = s->off;
		hash = h;
	}
	if (parent == 0) {
		memcpy(w->wire + base, name, n);
		w->len = base + n;
	} else {
		n = new < labels ? at[new] : 0;
		memcpy(w->wire + base, name, n);
		put_be16(w->wire + base + n, 0xc000 | parent);
		w->len = base + n + 2;
	}
	for (; new > 0 && w->names < MSGW_NAMES; new--) {
		const uint8_t *label = name + at[new - 1];
		size_t off = base + at[new - 1];
		struct msgw_slot *s;

		if (off >= POINTER_END)
			break;
		hash = hash_label(hash, label);
		s = slot_find(w, hash, label, parent);
		*s = (struct msgw_slot){ .off = (uint16_t)off, .tag = (uint16_t)(hash >> 16) };
		parent = (uint16_t)off;
		w->names++;
	}
}

/* An owner: the pointer to the one before when it is the same. */
static void put_owner(struct msgw *w, const uint8_t *owner, size_t n)
{
	size_t off = w->len, to;

	if (n == w->last_len && n > 2 && memcmp(owner, w->last, n) == 0) {
		put_be16(w->wire + w->len, 0xc000 | w->last_off);
		w->len += 2;
		return;
	}
	put_name(w, owner, n);
	/* A name that is a pointer alone is remembered by where that leads: no chains of pointers. */
	to = w->wire[off] >= 0xc0 ? be16(w->wire + off) & 0x3fff : off;
	w->last_len = 0;
	if (to >= POINTER_END)
		return;
	w->last_off = (uint16_t)to;
	w->last_len = (uint16_t)n;
	memcpy(w->last, owner, n);
}

/* Length of the uncompressed name at p, 0 when there is none within len octets. */
static size_t wire_name_len(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len && n < NAME_MAX_WIRE && p[n] <= 63) {
		if (p[n] == 0)
			return n + 1;
		n += 1 + (size_t)p[n];
	}
	return 0;
}

/* RDATA of an RFC 1035 type: names compressed, the rest as it is. Malformed octets go out as they are. */
static void put_compressed(struct msgw *w, const struct layout *l, const uint8_t *rdata, size_t len)
{
	size_t at = 0;

	for (unsigned i = 0; i < LAYOUT_FIELDS && l->field[i] != LF_END && at < len; i++) {
		size_t n = (size_t)l->field[i];

		if (l->field[i] == LF_CNAME) {
			n = wire_name_len(rdata + at, len - at);
			if (n == 0)
				break;
			put_name(w, rdata + at, n);
			at += n;
			continue;
		}
		if (n > len - at)
			break;
		memcpy(w->wire + w->len, rdata + at, n);
		w->len += n;
		at += n;
	}
	if (at < len)
		memcpy(w->wire + w->len, rdata + at, len - at);
	w->len += len - at;
}

int msgw_question(struct msgw *w, const uint8_t *qname, uint16_t qtype, uint16_t qclass)
{
	size_t n = name_len(qname);

	if (be16(w->wire + 6) != 0 || be16(w->wire + 8) != 0 || be16(w->wire + 10) != 0)
		return ZS_EINVAL;
	if (w->cap < w->reserve || w->len + n + 4 > w->cap - w->reserve)
		return ZS_EFULL;
	put_owner(w, qname, n);
	put_be16(w->wire + w->len, qtype);
	put_be16(w->wire + w->len + 2, qclass);
	w->len += 4;
	put_be16(w->wire + 4, (uint16_t)(be16(w->wire + 4) + 1));
	return 0;
}

/* Writes a record for which there is room at w->len; counts are not touched. */
static void put_record(struct msgw *w, const struct rr *rr, size_t owner_len)
{
	const struct layout *l = layout_of(rr->type);
	uint8_t *p;
	size_t start;

	put_owner(w, rr->owner, owner_len);
	p = w->wire + w->len;
	put_be16(p, rr->type);
	put_be16(p + 2, rr->class);
	put_be32(p + 4, rr->ttl);
	start = w->len += 10;
	if (l->compresses) {
		put_compressed(w, l, rr->rdata, rr->rdlen);
	} else if (rr->rdlen > 0) {
		memcpy(w->wire + start, rr->rdata, rr->rdlen);
		w->len = start + rr->rdlen;
	}
	put_be16(p + 8, (uint16_t)(w->len - start));
}

/* Octets of a name as it would be written now. */
static size_t name_cost(struct msgw *w, const uint8_t *name, size_t n)
{
	uint8_t at[128];
	unsigned labels = 0, new;
	uint16_t parent = 0;
	uint32_t hash = 0;

	for (size_t i = 0; name[i] != 0; i += 1 + (size_t)name[i])
		at[labels++] = (uint8_t)i;
	for (new = labels; new > 0; new--) {
		hash = hash_label(hash, name + at[new - 1]);
		parent = slot_find(w, hash, name + at[new - 1], parent)->off;
		if (parent == 0)
			break;
	}
	if (new == labels)
		return n;
	return new > 0 ? (size_t)at[new] + 2 : 2;
}

/*
 * Upper bound of a record's size in this message, for one that does not fit uncompressed. What RDATA gains by
 * its own owner does not count.
 */
static size_t record_cost(struct msgw *w, const struct rr *rr, size_t owner_len)
{
	const struct layout *l = layout_of(rr->type);
	size_t cost = 10 + rr->rdlen + name_cost(w, rr->owner, owner_len), at = 0;

	for (unsigned i = 0; l->compresses && l->field[i] != LF_END; i++) {
		size_t n = (size_t)l->field[i];

		if (l->field[i] == LF_CNAME) {
			n = wire_name_len(rr->rdata + at, rr->rdlen - at);
			if (n == 0)
				break;
			cost -= n - name_cost(w, rr->rdata + at, n);
		}
		at += n;
		if (at >= rr->rdlen)
			break;
	}
	return cost;
}

int msgw_rr(struct msgw *w, int section, const struct rr *rr)
{
	size_t owner_len = name_len(rr->owner);
	size_t end = w->cap > w->reserve ? w->cap - w->reserve : 0;
	uint8_t *count = w->wire + 4 + 2 * section;

	for (int later = section + 1; later <= SEC_ADDITIONAL; later++)
		if (be16(w->wire + 4 + 2 * later) != 0)
			return ZS_EINVAL;
	if (w->len + owner_len + 10 + rr->rdlen > end && w->len + record_cost(w, rr, owner_len) > end)
		return ZS_EFULL;
	if (be16(count) == UINT16_MAX)
		return ZS_EFULL;
	put_record(w, rr, owner_len);
	put_be16(count, (uint16_t)(be16(count) + 1));
	return 0;
}

static void put_option(struct msgw *w, uint16_t code, const void *data, size_t len)
{
	put_be16(w->wire + w->len, code);
	put_be16(w->wire + w->len + 2, (uint16_t)len);
	if (len > 0)
		memcpy(w->wire + w->len + 4, data, len);
	w->len += 4 + len;
}

static void put_options(struct msgw *w, const struct edns *e, size_t text_len)
{
	uint8_t four[4], ede[2 + EDE_TEXT_MAX];

	if (e->expire_asked) {
		put_option(w, OPT_EXPIRE, NULL, 0);
	} else if (e->expire_set) {
		put_be32(four, e->expire);
		put_option(w, OPT_EXPIRE, four, sizeof(four));
	}
	if (e->cookie_len > 0)
		put_option(w, OPT_COOKIE, e->cookie, e->cookie_len);
	if (e->ede >= 0) {
		put_be16(ede, (uint16_t)e->ede);
		if (text_len > 0)
			memcpy(ede + 2, e->ede_text, text_len);
		put_option(w, OPT_EDE, ede, 2 + text_len);
	}
}

int msgw_opt(struct msgw *w, const struct edns *e)
{
	size_t text_len = e->ede >= 0 && e->ede_text != NULL ? strnlen(e->ede_text, EDE_TEXT_MAX) : 0;
	size_t size = OPT_FIXED;
	uint8_t *p = w->wire + w->len;

	if (!e->present)
		return 0;
	size += e->expire_asked ? 4 : e->expire_set ? 8 : 0;
	size += e->cookie_len > 0 ? 4 + (size_t)e->cookie_len : 0;
	size += e->ede >= 0 ? 6 + text_len : 0;
	if (w->len + size > w->cap)
		return ZS_EFULL;
	p[0] = 0;
	put_be16(p + 1, T_OPT);
	put_be16(p + 3, e->udp_size);
	p[5] = e->ext_rcode;
	p[6] = e->version;
	put_be16(p + 7, e->dnssec_ok ? 0x8000 : 0);
	put_be16(p + 9, (uint16_t)(size - OPT_FIXED));
	w->len += OPT_FIXED;
	put_options(w, e, text_len);
	put_be16(w->wire + 10, (uint16_t)(be16(w->wire + 10) + 1));
	w->reserve -= size < w->reserve ? size : w->reserve;
	return 0;
}

void msgw_set_flags(struct msgw *w, uint16_t set, uint16_t clear)
{
	put_be16(w->wire + 2, (uint16_t)((be16(w->wire + 2) & ~clear) | set));
}

void msgw_set_rcode(struct msgw *w, unsigned rcode)
{
	put_be16(w->wire + 2, (uint16_t)((be16(w->wire + 2) & 0xfff0) | (rcode & 15)));
}
