/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing an entry: two runs over the overlay, one for what goes and one for what comes, each comparing the
 * RRsets of base and overlay as sorted lists of records. Memory: one RRset of each side, one chunk, and chunk
 * 0, whose head is known last. Chunks go into the overlay while it is walked: their tables are none of those
 * that are looked at. Called by whoever prepares a version.
 */
#include <string.h>

#include "base/err.h"
#include "history_priv.h"

struct job {
	struct view *v;
	struct kv *base;
	struct kv *kv;         /* of the view: to write */
	enum history_table table;
	struct hset old, now;
	struct hwriter w;
	uint8_t zone[NAME_MAX_WIRE];
	uint8_t soa_key[KEY_MAX];
	size_t soa_klen;
};

/* The apex owns the first key of RECORDS: its order key is a prefix of all others. */
int hsoa_find(struct kv *kv, uint8_t key[static KEY_MAX], size_t *klen, uint8_t zone[static NAME_MAX_WIRE])
{
	uint8_t table = TAB_RECORDS;
	const uint8_t *okey;
	struct kv_item it;
	uint16_t type;
	size_t n, len;
	int rc = kv_seek(kv, &table, 1, &it);

	if (!rc && it.key[0] != TAB_RECORDS)
		rc = ZS_ENOENT;
	if (!rc)
		rc = key_record_split(it.key, it.klen, &okey, &n, &type);
	if (rc)
		return rc;
	*klen = key_record(key, okey, n, T_SOA);
	return name_from_okey(okey, n, zone, &len);
}

int hsoa_served(struct kv *kv, const uint8_t *key, size_t klen, struct hrec *out)
{
	struct kv_item it;
	struct rr_item item;
	struct rrval v;
	int rc = kv_get(kv, key, klen, &it);

	if (!rc)
		rc = rrval_open(&v, it.val, it.vlen);
	if (!rc && !rrval_rr(&v, &item))
		rc = ZS_EFORMAT;
	if (rc)
		return rc;
	*out = (struct hrec){ .key = key, .klen = (uint16_t)klen, .owner = v.owner, .ttl = v.ttl,
			      .rdlen = item.len, .rdata = item.data };
	return 0;
}

int hset_write(struct hwriter *w, const struct hset *x, const struct hset *y, bool added)
{
	size_t i = 0, k = 0;
	int rc = 0;

	while (!rc && i < x->n) {
		int c = k < y->n ? hrec_cmp(&x->rec[i], &y->rec[k]) : -1;

		if (c < 0)
			rc = hwriter_add(w, &x->rec[i], added);
		if (c <= 0)
			i++;
		if (c >= 0)
			k++;
	}
	return rc;
}

static int write_change(struct job *j, const struct kv_item *now, bool deleted, bool added)
{
	struct kv_item was = { 0 };
	int rc = j->base ? kv_get(j->base, now->key, now->klen, &was) : ZS_ENOENT;

	if (rc == ZS_ENOENT) {
		was.val = NULL;
		rc = 0;
	}
	if (!rc)
		rc = hset_fill(&j->old, j->table, now->key, now->klen, was.val, was.vlen);
	if (!rc)
		rc = hset_fill(&j->now, j->table, now->key, now->klen, deleted ? NULL : now->val, now->vlen);
	if (rc)
		return rc;
	return added ? hset_write(&j->w, &j->now, &j->old, true) : hset_write(&j->w, &j->old, &j->now, false);
}

static int write_half(struct job *j, bool added)
{
	void *pos = NULL;
	struct kv_item it;
	bool deleted;
	int rc = 0;

	while (!rc && view_next_change(j->v, &pos, &it.key, &it.klen, &it.val, &it.vlen, &deleted) == 0)
		if (it.key[0] == TAB_RECORDS || it.key[0] == TAB_DENIAL)
			rc = write_change(j, &it, deleted, added);
	return rc;
}

/* NULL: no SOA in that half. */
static int write_halves(struct job *j, const struct hrec *from, const struct hrec *to)
{
	int rc = from ? hwriter_add(&j->w, from, false) : 0;

	if (!rc)
		rc = write_half(j, false);
	if (!rc && to)
		rc = hwriter_add(&j->w, to, true);
	return rc ? rc : write_half(j, true);
}

/* --- totals --------------------------------------------------------------------------------------------- */

/* An entry of this version that an earlier attempt left in the overlay. */
static int forget(struct job *j, uint64_t version, struct history_total *t)
{
	uint8_t table = table_octet(j->table);
	uint64_t at;
	int rc = hentry_from(j->kv, table, version, &at);

	if (rc || at != version)
		return rc == ZS_ENOENT ? 0 : rc;
	if (t->entries) {
		uint64_t n = hentry_stored(j->kv, table, version);

		t->entries--;
		t->octets -= n < t->octets ? n : t->octets;
	}
	return hentry_delete(j->kv, table, version);
}

/*
 * Does the new entry go on where the last one ended? When not, nothing older leads here: `since` moves.
 */
static bool continues(struct job *j, const struct history_total *t, const struct history_head *h)
{
	uint8_t table = table_octet(j->table);
	struct hentry e;
	uint64_t at;

	if (t->entries == 0 || hentry_below(j->kv, table, h->version, &at) || at < t->oldest ||
	    hentry_read(j->kv, table, at, &e))
		return false;
	if (j->table == HISTORY_SERVED)
		return e.head.to_serial == h->from_serial;
	return e.head.to_upstream == h->from_upstream;
}

static void count(struct job *j, struct history_total *t, const struct history_head *h)
{
	if (!continues(j, t, h))
		t->since = view_base(j->v) ? view_base(j->v) : h->version - 1;
	if (t->entries == 0)
		t->oldest = h->version;
	t->entries++;
	t->octets += h->stored;
	t->newest = h->version;
}

/* --- both tables ---------------------------------------------------------------------------------------- */

static int job_begin(struct job *j, enum history_table table, struct view *v, struct kv *base,
		     struct history_head *h)
{
	int rc;

	memset(j, 0, sizeof *j);
	j->v = v;
	j->base = base;
	j->table = table;
	rc = view_kv(v, &j->kv);
	if (rc)
		return rc;
	if (h->version == 0)
		h->version = view_base(v) + 1;
	h->first = h->version;
	h->octets = h->stored = 0;
	h->removed = h->added = h->chunks = 0;
	return hsoa_find(j->kv, j->soa_key, &j->soa_klen, j->zone);
}

static void job_end(struct job *j)
{
	kv_close(j->kv);
	hset_free(&j->old);
	hset_free(&j->now);
}

static int job_write(struct job *j, struct history_head *h, const struct hrec *from, const struct hrec *to)
{
	struct history_total t[2], was[2];
	int rc = history_totals(j->kv, was), rc2 = 0;

	memcpy(t, was, sizeof t);
	if (!rc)
		rc = forget(j, h->version, &t[j->table]);
	if (rc)
		return rc;
	hwriter_begin(&j->w, j->kv, j->table, h, j->zone);
	rc = hwriter_end(&j->w, write_halves(j, from, to), h);
	if (!rc && h->chunks)
		count(j, &t[j->table], h);
	if (memcmp(t, was, sizeof t) != 0)
		rc2 = totals_put(j->kv, t);
	return rc ? rc : rc2;
}

int history_write(struct view *v, struct kv *base, struct history_head *h)
{
	struct hrec from, to;
	struct kv *other = NULL;
	struct soa was, is;
	struct job j;
	int rc = job_begin(&j, HISTORY_SERVED, v, base, h);

	if (rc || !base)
		goto out;
	rc = hsoa_served(base, j.soa_key, j.soa_klen, &from);
	if (!rc)
		rc = view_kv(v, &other);
	if (!rc)
		rc = hsoa_served(other, j.soa_key, j.soa_klen, &to);
	if (!rc && (soa_read(from.rdata, from.rdlen, &was) || soa_read(to.rdata, to.rdlen, &is)))
		rc = ZS_EFORMAT;
	if (rc || was.serial == is.serial)
		goto out;
	h->from_serial = was.serial;
	h->to_serial = is.serial;
	rc = job_write(&j, h, &from, &to);
out:
	kv_close(other);
	job_end(&j);
	return rc == ZS_ENOENT ? 0 : rc;
}

struct hrec hsoa_upstream(const uint8_t *key, size_t klen, const struct history_soa *s)
{
	return (struct hrec){ .key = key, .klen = (uint16_t)klen, .ttl = s->ttl, .rdlen = s->len,
			      .rdata = s->rdata };
}

int history_write_user(struct view *v, struct kv *base, const struct history_soa *from,
		       const struct history_soa *to, struct history_head *h)
{
	struct hrec a, b;
	struct soa was, is;
	struct job j;
	bool same;
	int rc = job_begin(&j, HISTORY_UPSTREAM, v, base, h);

	if (rc || !base)
		goto out;
	if (soa_read(from->rdata, from->len, &was) || soa_read(to->rdata, to->len, &is)) {
		rc = ZS_EFORMAT;
		goto out;
	}
	h->from_upstream = was.serial;
	h->to_upstream = is.serial;
	a = hsoa_upstream(j.soa_key, j.soa_klen, from);
	b = hsoa_upstream(j.soa_key, j.soa_klen, to);
	same = hrec_cmp(&a, &b) == 0;
	rc = job_write(&j, h, same ? NULL : &a, same ? NULL : &b);
out:
	job_end(&j);
	return rc == ZS_ENOENT ? 0 : rc;
}
