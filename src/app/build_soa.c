/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What is written last: the SOA with its serial, and META. A small change on top of the content, so that it
 * can be made again when the serial has to move on before publication. item_write() is the way of every
 * changed RRset into a view.
 */
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "build.h"

void expiry_value(struct wr *w, const uint8_t *key, size_t klen)
{
	wr_u8(w, EXPIRY_FORMAT);
	wr_u32(w, crc32c(0, key, klen));
	wr_bytes(w, key, klen);
}

int item_write(struct kv *kv, struct signing_item *it, struct wr *w)
{
	uint8_t xkey[KEY_MAX];
	int err = 0;

	if (it->old_seq || it->old_time)
		err = kv_del(kv, xkey, key_expiry(xkey, it->old_time, it->old_seq));
	if (err && err != ZS_ENOENT)
		return err;
	err = kv_put(kv, it->key, it->klen, it->val, it->vlen);
	if (err || !it->set.nsig)
		return err;
	w->len = 0;
	expiry_value(w, it->key, it->klen);
	return w->err ? w->err
		      : kv_put(kv, xkey, key_expiry(xkey, it->set.exp_time, it->set.exp_seq), w->p, w->len);
}

/* The stored SOA of an earlier round has an expiry entry that must go. */
static void old_soa(struct build_job *b, struct signing *g, const uint8_t *key, size_t klen,
		    struct rrset *old, bool *have)
{
	struct kv *kv = NULL;
	struct kv_item it;
	const uint8_t *copy;

	*have = false;
	if (build_kv(b->out, &kv) == 0 && kv_get(kv, key, klen, &it) == 0 &&
	    (copy = arena_dup(g->mem, it.val, it.vlen)) != NULL)
		*have = rrset_decode(old, T_SOA, b->zone->wire, copy, it.vlen, g->mem) == 0;
	kv_close(kv);
}

int build_soa_group(struct build_job *b, struct signing *g)
{
	struct rrset set, old;
	uint8_t key[KEY_MAX];
	size_t klen = key_record(key, b->apex, b->apex_len, T_SOA);
	bool have;
	int err = transfer_soa(b->in, b->serial, b->clamp && !b->pol.unsigned_zone ? b->pol.refresh : 0,
			       g->mem, &set);

	if (err)
		return err;
	old_soa(b, g, key, klen, &old, &have);
	return signing_add(g, key, klen, &set, have ? &old : NULL, !b->pol.unsigned_zone, INT64_MAX / 4);
}

static void meta_fill(struct build_job *b)
{
	struct zmeta *m = &b->meta;
	struct transfer *t = b->in;

	memcpy(m->zone, b->zone->wire, b->zone->wire_len);
	m->zone_len = b->zone->wire_len;
	m->signed_serial = b->serial;
	m->have_upstream = true;
	m->upstream_serial = t->soa_fields.serial;
	memcpy(m->upstream_soa, t->soa, t->soa_len);
	m->upstream_soa_len = t->soa_len;
	m->upstream_soa_ttl = t->soa_ttl;
	if (!b->undo)
		m->upstream_checked = m->transferred = b->now.s;
	m->signed_at = m->published = clk_wall().s;
	m->signatures = b->written + (b->pol.unsigned_zone ? 0 : 1);
	m->is_signed = !b->pol.unsigned_zone;
	m->denial = (uint8_t)b->dp.kind;
	m->opt_out = b->dp.opt_out;
	m->nsec3_set = b->dp.set;
	m->nsec3_iterations = b->dp.iterations;
	memcpy(m->salt, b->dp.salt, b->dp.salt_len);
	m->salt_len = b->dp.salt_len;
	m->records = t->intake.records;
	m->octets = t->intake.bytes;
	m->next_seq = atomic_load(&b->next_seq);
	m->held = false;
	memcpy(m->content_policy, b->fingerprint, sizeof(m->content_policy));
}

int build_soa_write(struct build_job *b, struct signing *g)
{
	struct view *v = NULL;
	struct kv *kv = NULL;
	struct wr w = wr_growing(1 << 20);
	int err = build_view(b->out, &v);

	if (!err)
		err = view_kv(v, &kv);
	if (!err)
		err = item_write(kv, g->head, &w);
	meta_fill(b);
	if (!err)
		err = zmeta_put(kv, &b->meta);
	b->keys.first_published |= !b->pol.unsigned_zone;
	b->keys.have_serial = true;
	b->keys.last_serial = b->serial;
	if (!err)
		err = keystate_put(kv, &b->keys);
	kv_close(kv);
	if (!err)
		err = build_commit_view(b->out, v);
	view_free(v);
	wr_free(&w);
	return err;
}
