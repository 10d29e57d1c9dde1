/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * History into the next generation: what the live one knows is copied, and one step is added that leads from
 * what it serves to what the build has. A build is no overlay, so the step is found by passing over RECORDS
 * and DENIAL of both in key order: octets that are equal are passed, keys of all others go to an external
 * sort, which is read once for each half of an entry. An entry is made twice: first to see how large it is
 * and whether all of it can be read, then to be written; so that nothing is ever written of one that is not
 * kept. Memory: the sort's, one RRset of each side, two chunks. Called once, before a build is published.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/extsort.h"
#include "history_priv.h"

#define SORT_MEMORY (16u << 20)
#define VALUE_HEAD 5   /* format, CRC */
#define EXPIRY_TAIL 16 /* of a signed value: its entry in EXPIRY */
#define TICK_KEYS 1024

struct carry {
	struct history_carry *c;
	struct extsort *keys;  /* of what differs */
	struct hset old, now;
	struct hwriter w;
	uint64_t stored_max, records_max; /* of the entry that is made */
	unsigned ticks;
	struct soa was, is;    /* served */
	struct hrec_copy soa[2];
	uint8_t zone[NAME_MAX_WIRE];
	uint8_t soa_key[KEY_MAX];
	size_t soa_klen;
};

static int tick(struct carry *k)
{
	if (!k->c->tick || ++k->ticks % TICK_KEYS)
		return 0;
	return k->c->tick(k->c->ctx);
}

/* --- what differs --------------------------------------------------------------------------------------- */

struct side {
	struct kv *kv;
	struct kv_item at;
	bool have;
};

static int side_took(struct side *s, int rc)
{
	s->have = rc == 0 && s->at.klen > 0 && s->at.key[0] <= TAB_DENIAL;
	return rc == ZS_ENOENT ? 0 : rc;
}

static int side_first(struct side *s, struct kv *kv)
{
	static const uint8_t first = TAB_RECORDS;

	s->kv = kv;
	return side_took(s, kv_seek(kv, &first, 1, &s->at));
}

static int side_next(struct side *s)
{
	return side_took(s, kv_next(s->kv, &s->at));
}

/* Each file numbers the entries of its expiry index: that is no difference of what is served. */
static bool is_same(const struct kv_item *a, const struct kv_item *b)
{
	size_t n = a->vlen - VALUE_HEAD;
	struct rrval v;

	if (a->vlen != b->vlen || a->vlen <= VALUE_HEAD || a->val[0] != b->val[0])
		return false;
	if (memcmp(a->val + VALUE_HEAD, b->val + VALUE_HEAD, n) == 0)
		return true;
	return n > EXPIRY_TAIL && memcmp(a->val + VALUE_HEAD, b->val + VALUE_HEAD, n - EXPIRY_TAIL) == 0 &&
	       rrval_open(&v, b->val, b->vlen) == 0 && v.nsig > 0;
}

static int compare_pair(struct carry *k, struct side *a, struct side *b)
{
	int cmp = !a->have ? 1 : !b->have ? -1 : okey_cmp(a->at.key, a->at.klen, b->at.key, b->at.klen);
	const struct kv_item *it = cmp <= 0 ? &a->at : &b->at;
	int rc = 0;

	if (cmp != 0 || !is_same(&a->at, &b->at))
		rc = extsort_add(k->keys, it->key, it->klen, NULL, 0);
	if (!rc && cmp <= 0)
		rc = side_next(a);
	if (!rc && cmp >= 0)
		rc = side_next(b);
	return rc;
}

static int compare(struct carry *k)
{
	struct side a, b;
	int rc = side_first(&a, k->c->from);

	if (!rc)
		rc = side_first(&b, k->c->to);
	while (!rc && (a.have || b.have)) {
		rc = tick(k);
		if (!rc)
			rc = compare_pair(k, &a, &b);
	}
	return rc ? rc : extsort_finish(k->keys);
}

/* --- the step ------------------------------------------------------------------------------------------- */

static int fill(struct kv *kv, enum history_table t, struct hset *set, const uint8_t *key, size_t klen)
{
	struct kv_item it = { 0 };
	int rc = kv_get(kv, key, klen, &it);

	if (rc == ZS_ENOENT)
		return hset_fill(set, t, key, klen, NULL, 0);
	return rc ? rc : hset_fill(set, t, key, klen, it.val, it.vlen);
}

static int write_key(struct carry *k, enum history_table t, const uint8_t *key, size_t klen, bool added)
{
	const struct history_head *h = &k->w.e.head;
	int rc = fill(k->c->from, t, &k->old, key, klen);

	if (!rc)
		rc = fill(k->c->to, t, &k->now, key, klen);
	if (!rc)
		rc = added ? hset_write(&k->w, &k->now, &k->old, true)
			   : hset_write(&k->w, &k->old, &k->now, false);
	if (!rc && (h->stored > k->stored_max || (uint64_t)h->removed + h->added > k->records_max))
		rc = ZS_EFULL;
	return rc;
}

static int write_half(struct carry *k, enum history_table t, bool added)
{
	const uint8_t *key, *val;
	size_t klen, vlen;
	int rc = extsort_rewind(k->keys);

	while (!rc && !(rc = extsort_next(k->keys, &key, &klen, &val, &vlen))) {
		if (t == HISTORY_UPSTREAM && key[0] != TAB_RECORDS)
			break; /* they come first */
		rc = tick(k);
		if (!rc)
			rc = write_key(k, t, key, klen, added);
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

/* NULL: no SOA in that half. */
static int write_halves(struct carry *k, enum history_table t, const struct hrec *from, const struct hrec *to)
{
	int rc = from ? hwriter_add(&k->w, from, false) : 0;

	if (!rc)
		rc = write_half(k, t, false);
	if (!rc && to)
		rc = hwriter_add(&k->w, to, true);
	return rc ? rc : write_half(k, t, true);
}

/* to: NULL: only *h is found out. */
static int write_entry(struct carry *k, enum history_table t, struct build *to, struct history_head *h)
{
	struct hrec was, is;
	bool same = false;
	int rc;

	if (t == HISTORY_UPSTREAM) {
		was = hsoa_upstream(k->soa_key, k->soa_klen, k->c->was);
		is = hsoa_upstream(k->soa_key, k->soa_klen, k->c->is);
		same = hrec_cmp(&was, &is) == 0;
	}
	hwriter_begin(&k->w, NULL, t, h, k->zone);
	k->w.build = to;
	if (t == HISTORY_SERVED)
		rc = write_halves(k, t, &k->soa[0].rec, &k->soa[1].rec);
	else
		rc = write_halves(k, t, same ? NULL : &was, same ? NULL : &is);
	return hwriter_end(&k->w, rc, h);
}

/* How large the entry would be; one that is too large is none. */
static int plan(struct carry *k, enum history_table t)
{
	struct history_carry *c = k->c;
	struct history_head *h = &c->step[t];
	int rc;

	k->stored_max = t == HISTORY_SERVED ? c->lim.bytes : c->lim.user_bytes;
	k->records_max = t == HISTORY_SERVED ? c->records_max : UINT64_MAX;
	rc = write_entry(k, t, NULL, h);
	c->gap[t] = rc == ZS_EFULL || (!rc && h->stored > k->stored_max);
	if (c->gap[t])
		h->chunks = 0;
	return c->gap[t] ? 0 : rc;
}

static int served_soa(struct carry *k, struct kv *kv, struct hrec_copy *keep, struct soa *fields)
{
	struct hrec r;
	int rc = hsoa_served(kv, k->soa_key, k->soa_klen, &r);

	if (!rc && soa_read(r.rdata, r.rdlen, fields))
		rc = ZS_EFORMAT;
	if (!rc)
		hrec_keep(keep, &r);
	return rc;
}

/* Both entries, as they are going to be. Upstream's tells what kind of a version it is. */
static int plan_both(struct carry *k)
{
	struct history_carry *c = k->c;
	struct history_head *user = &c->step[HISTORY_UPSTREAM], *served = &c->step[HISTORY_SERVED];
	int rc = hsoa_find(c->to, k->soa_key, &k->soa_klen, k->zone);

	if (!rc)
		rc = served_soa(k, c->from, &k->soa[0], &k->was);
	if (!rc)
		rc = served_soa(k, c->to, &k->soa[1], &k->is);
	if (!rc)
		rc = compare(k);
	if (rc)
		return rc;
	*user = (struct history_head){ .version = c->version + 1, .first = c->version + 1, .time = c->time,
				       .from_serial = k->was.serial, .to_serial = k->is.serial,
				       .from_upstream = c->from_upstream, .to_upstream = c->to_upstream,
				       .kind = HISTORY_USER };
	*served = *user;
	rc = plan(k, HISTORY_UPSTREAM);
	served->kind = user->chunks || c->gap[HISTORY_UPSTREAM] ? HISTORY_USER : HISTORY_ROUTINE;
	if (rc || c->same_chain)
		return rc ? rc : plan(k, HISTORY_SERVED);
	c->gap[HISTORY_SERVED] = true;
	return 0;
}

/* --- into the build ------------------------------------------------------------------------------------- */

static bool is_damage(int rc)
{
	return rc == ZS_ECRC || rc == ZS_EFORMAT || rc == ZS_EVERSION;
}

/* Makes room for the step: the oldest ones go. */
static int drop_front(struct carry *k, enum history_table t, struct history_total *tot)
{
	const struct history_carry *c = k->c;
	uint64_t bytes = t == HISTORY_SERVED ? c->lim.bytes : c->lim.user_bytes, version;
	const struct history_head *step = &c->step[t];
	uint8_t octet = table_octet(t);
	int rc = 0;

	while (tot->entries && (rc = hentry_from(c->from, octet, tot->oldest, &version)) == 0) {
		struct hentry e;

		rc = hentry_read(c->from, octet, version, &e);
		if (is_damage(rc)) {
			e.head.time = INT64_MIN;
			e.head.stored = hentry_stored(c->from, octet, version);
			rc = 0;
		}
		if (rc || (tot->entries + (step->chunks > 0) <= c->lim.versions &&
			   tot->octets + step->stored <= bytes && e.head.time >= c->time - c->lim.age_s))
			return rc;
		rc = totals_drop(c->from, octet, tot, version, e.head.stored);
		if (rc)
			return rc;
	}
	if (rc == ZS_ENOENT) /* counted, and not there */
		tot->entries = tot->octets = 0;
	return rc == ZS_ENOENT ? 0 : rc;
}

static int copy_chunks(struct carry *k, uint8_t octet, const struct history_total *tot)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	int rc = tot->entries ? kv_seek(k->c->from, key, key_chunk(key, octet, tot->oldest, 0), &it)
			      : ZS_ENOENT;

	while (!rc && it.key[0] == octet && (rc = tick(k)) == 0) {
		if (it.klen == 13)
			rc = build_append(k->c->build, it.key, it.klen, it.val, it.vlen);
		if (!rc)
			rc = kv_next(k->c->from, &it);
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

/* Does the step go on where the newest entry ends? */
static bool continues(const struct carry *k, enum history_table t, const struct history_total *tot)
{
	const struct history_head *h = &k->c->step[t];
	uint8_t octet = table_octet(t);
	struct hentry e;
	uint64_t at;

	if (!tot->entries || hentry_below(k->c->from, octet, UINT64_MAX, &at) || at < tot->oldest ||
	    hentry_read(k->c->from, octet, at, &e))
		return false;
	return t == HISTORY_SERVED ? e.head.to_serial == h->from_serial
				   : e.head.to_upstream == h->from_upstream;
}

static int carry_table(struct carry *k, enum history_table t, struct history_total *tot)
{
	struct history_head *h = &k->c->step[t];
	int rc = drop_front(k, t, tot);

	if (!rc)
		rc = copy_chunks(k, table_octet(t), tot);
	if (rc)
		return rc;
	if (k->c->gap[t])
		tot->since = h->version;
	if (!h->chunks)
		return 0;
	rc = write_entry(k, t, k->c->build, h);
	if (!continues(k, t, tot))
		tot->since = h->version - 1;
	if (!tot->entries)
		tot->oldest = h->version;
	tot->entries++;
	tot->octets += h->stored;
	tot->newest = h->version;
	return rc;
}

static int carry_both(struct carry *k)
{
	struct history_total t[2] = { 0 };
	uint8_t key[KEY_MAX], rec[TOTALS_MAX];
	int rc = history_totals(k->c->from, t);

	if (is_damage(rc)) /* begins anew */
		rc = 0;
	k->stored_max = k->records_max = UINT64_MAX; /* judged by now */
	if (!rc)
		rc = carry_table(k, HISTORY_SERVED, &t[HISTORY_SERVED]);
	if (!rc)
		rc = carry_table(k, HISTORY_UPSTREAM, &t[HISTORY_UPSTREAM]);
	return rc ? rc : build_put(k->c->build, key, key_meta(key, "history"), rec, totals_encode(t, rec));
}

int history_carry(struct history_carry *c)
{
	struct carry *k = calloc(1, sizeof *k);
	int rc = k ? extsort_new(c->tmp, SORT_MEMORY, 0, &k->keys) : ZS_ENOMEM;

	memset(c->step, 0, sizeof c->step);
	c->gap[HISTORY_SERVED] = c->gap[HISTORY_UPSTREAM] = false;
	if (!rc) {
		k->c = c;
		rc = plan_both(k);
	}
	c->damaged = is_damage(rc) || rc == ZS_ENOENT;
	if (!rc)
		rc = carry_both(k);
	if (k) {
		extsort_free(k->keys);
		hset_free(&k->old);
		hset_free(&k->now);
	}
	free(k);
	return rc;
}

int history_disown(struct build *b, uint64_t version)
{
	struct history_total t = { .since = version, .oldest = version + 1, .newest = version };
	struct history_total both[2] = { t, t };
	uint8_t key[KEY_MAX], rec[TOTALS_MAX];

	return build_put(b, key, key_meta(key, "history"), rec, totals_encode(both, rec));
}
