/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Candidates, their judge, and every way to spoil what one says of itself. See step_rig.h. */
#include "step_rig.h"

#include "base/crc.h"
#include "dns/served.h"
#include "gate/gate.h"
#include "t_suite.h"

/* --- a version that is not committed yet ---------------------------------------------------------------- */

int cand_base(void *ctx, struct kv **out)
{
	struct cand *c = ctx;

	return c->base ? view_kv(c->base, out) : snap_kv(c->sn, out);
}

struct changes { struct view *v; void *pos; };

static int next_change(void *ctx, const uint8_t **key, size_t *klen)
{
	struct changes *c = ctx;
	const uint8_t *val;
	size_t vlen;
	bool deleted;

	return view_next_change(c->v, &c->pos, key, klen, &val, &vlen, &deleted);
}

/* How many findings. */
uint64_t judge_any(struct cand *c, uint64_t *history)
{
	struct gate_params p = { .zone = ZONE, .zone_len = name_len(ZONE), .unsigned_zone = true,
				 .now = c->w->now };
	struct changes it = { .v = c->v };
	const struct gate_finding *f;
	struct gate *g;
	struct kv *kv, *walk;
	uint64_t n;

	if (c->sn) {
		p.open_base = cand_base;
		p.base_ctx = c;
	}
	g = gate_new(&p);
	ck_assert_ptr_nonnull(g);
	ck_assert_int_eq(view_kv(c->v, &kv), 0);
	ck_assert_int_eq(view_kv(c->v, &walk), 0);
	if (c->whole)
		ck_assert_int_eq(gate_step_build(g, kv, walk, c->version, c->gaps, NULL, NULL), 0);
	else
		ck_assert_int_eq(gate_step(g, kv, c->version, c->gaps, next_change, &it), 0);
	kv_close(walk);
	*history = gate_count(g, GATE_HISTORY);
	n = gate_total(g);
	c->spared = gate_spares_candidate(g);
	for (size_t i = 0; c->verbose && i < gate_findings(g, &f); i++)
		fprintf(stderr, "  [%s] %s\n", gate_check_label(f[i].check), f[i].text);
	kv_close(kv);
	gate_free(g);
	return n;
}

/* None of them has another name. */
uint64_t judge(struct cand *c)
{
	uint64_t history, n = judge_any(c, &history);

	ck_assert_uint_eq(n, history);
	return n;
}

unsigned judged;

void judge_view(struct world *w, struct view *v)
{
	struct cand c = { .w = w, .v = v, .version = view_base(v) + 1, .verbose = true };

	store_snap(w->s, &c.sn);
	ck_assert_uint_eq(judge(&c), 0);
	snap_unref(c.sn);
	judged++;
}

void shorten(struct world *w, struct view *v)
{
	struct history_limits lim = { 12, 1 << 20, 1 << 20, 20 * 600 };
	bool merged;

	ck_assert_int_eq(history_merge(v, w->now, 3600, &merged), 0);
	w->merges += merged;
	ck_assert_int_eq(history_trim(v, &lim, w->now), 0);
	judge_view(w, v);
}

/* --- entries, taken apart and put together again -------------------------------------------------------- */

static void half_load(struct entry *e, bool added)
{
	struct list *l = &e->half[added];
	struct hcur cur;

	l->a = arena_alloc(e->mem, ((added ? e->e.head.added : e->e.head.removed) + 8u) * sizeof *l->a);
	hcur_init(&cur, e->c->kv, table_octet(e->c->t), &e->e, added);
	while (hcur_next(&cur) == 0) {
		struct hrec *r = &l->a[l->n++];

		*r = cur.rec;
		r->key = arena_dup(e->mem, r->key, r->klen);
		r->rdata = arena_dup(e->mem, r->rdata, r->rdlen);
		if (r->owner)
			r->owner = arena_dup(e->mem, r->owner, name_len(r->owner));
	}
	hcur_free(&cur);
}

void entry_load(struct entry *e, struct cand *c)
{
	*e = (struct entry){ .c = c, .mem = arena_new(0) };
	ck_assert_int_eq(hentry_read(c->kv, table_octet(c->t), c->version, &e->e), 0);
	half_load(e, false);
	half_load(e, true);
	ck_assert_uint_gt(e->half[0].n, 2);
	ck_assert(e->half[1].n > 2 || (e->half[1].n == 0 && c->w->still)); /* SOA at least */
}

void entry_store(struct entry *e)
{
	struct history_head h = e->e.head;
	struct hwriter w;
	int rc = 0;

	ck_assert_int_eq(hentry_delete(e->c->kv, table_octet(e->c->t), e->c->version), 0);
	hwriter_begin(&w, e->c->kv, e->c->t, &h, ZONE);
	for (int half = 0; half < 2; half++)
		for (size_t i = 0; !rc && i < e->half[half].n; i++)
			rc = hwriter_add(&w, &e->half[half].a[i], half);
	ck_assert_int_eq(hwriter_end(&w, rc, &h), 0);
}

/* One in the middle: no SOA, a signature or not. */
static struct hrec *pick(struct entry *e, int half, bool sig)
{
	struct list *l = &e->half[half];

	for (size_t i = l->n / 3; i < l->n; i++)
		if (l->a[i].sig == sig && l->a[i].rdlen > 4)
			return &l->a[i];
	ck_abort_msg("no such record");
	return NULL;
}

static uint8_t *own(struct entry *e, const uint8_t *p, size_t len)
{
	return arena_dup(e->mem, p, len);
}

static int rec_cmp(const void *a, const void *b)
{
	return hrec_cmp(a, b);
}

static void list_sort(struct list *l)
{
	qsort(l->a, l->n, sizeof *l->a, rec_cmp);
}

void list_add(struct list *l, const struct hrec *r)
{
	struct hrec copy = *r;

	l->a[l->n++] = copy;
	list_sort(l);
}

static void list_del(struct list *l, struct hrec *r)
{
	memmove(r, r + 1, (size_t)(l->a + l->n - r - 1) * sizeof *r);
	l->n--;
}

void other_rdata(struct entry *e, struct hrec *r)
{
	uint8_t *p = own(e, r->rdata, r->rdlen);

	p[r->rdlen - 1] ^= 0x40;
	r->rdata = p;
}

/* --- faults --------------------------------------------------------------------------------------------- */

#define FAULT(name) static void f_##name(struct entry *e) /* a row of the table below calls it */
FAULT(none) { (void)e; }
FAULT(lost_gone) { list_del(&e->half[0], pick(e, 0, false)); }
FAULT(lost_came) { list_del(&e->half[1], pick(e, 1, false)); }
FAULT(lost_sig) { list_del(&e->half[1], pick(e, 1, true)); }
FAULT(lost_last) { e->half[1].n--; }
FAULT(lost_second) { list_del(&e->half[0], &e->half[0].a[1]); }
FAULT(more_gone) { struct hrec r = *pick(e, 0, false); other_rdata(e, &r); list_add(&e->half[0], &r); }
FAULT(more_came) { struct hrec r = *pick(e, 1, false); other_rdata(e, &r); list_add(&e->half[1], &r); }
FAULT(more_sig) { struct hrec r = *pick(e, 1, true); other_rdata(e, &r); list_add(&e->half[1], &r); }
FAULT(twice) { list_add(&e->half[1], pick(e, 1, false)); }
FAULT(rdata) { other_rdata(e, pick(e, 1, false)); list_sort(&e->half[1]); }
FAULT(sig_octet) { other_rdata(e, pick(e, 1, true)); list_sort(&e->half[1]); }
FAULT(short_rdata) { pick(e, 0, false)->rdlen--; list_sort(&e->half[0]); }
FAULT(ttl_gone) { pick(e, 0, false)->ttl++; }
FAULT(ttl_came) { pick(e, 1, false)->ttl--; }
FAULT(ttl_sig) { pick(e, 1, true)->ttl++; }
FAULT(side_came) { struct hrec *r = pick(e, 0, false); list_add(&e->half[1], r); list_del(&e->half[0], r); }
FAULT(side_gone) { struct hrec *r = pick(e, 1, true); list_add(&e->half[0], r); list_del(&e->half[1], r); }
FAULT(sides) { struct list l = e->half[0]; e->half[0] = e->half[1]; e->half[1] = l; }
FAULT(both) /* goes and comes: only what stays the same may not be in it */
{
	struct hrec r = *pick(e, 1, false);

	other_rdata(e, &r);
	list_add(&e->half[0], &r);
	list_add(&e->half[1], &r);
}
FAULT(sig_of_other) /* two RRsets with each other's signatures */
{
	struct hrec *a = pick(e, 1, true), *b = a + 1;
	const uint8_t *p = a->rdata;

	while (!b->sig || memcmp(a->rdata, b->rdata, a->rdlen) == 0)
		b++;
	a->rdata = b->rdata;
	b->rdata = p;
}
FAULT(sig_as_record) { pick(e, 1, true)->sig = false; list_sort(&e->half[1]); }
FAULT(record_as_sig) { pick(e, 1, false)->sig = true; list_sort(&e->half[1]); }
FAULT(soa_before) { other_rdata(e, &e->half[0].a[0]); }
FAULT(soa_after) { other_rdata(e, &e->half[1].a[0]); }
FAULT(soa_ttl) { e->half[1].a[0].ttl++; }
FAULT(soa_same) { e->half[1].a[0].rdata = e->half[0].a[0].rdata; }
FAULT(no_soa_before) { list_del(&e->half[0], e->half[0].a); }
FAULT(no_soa_after) { list_del(&e->half[1], e->half[1].a); }
FAULT(soa_twice) { list_add(&e->half[1], e->half[1].a); }
FAULT(other_key) /* of an RRset that did not change */
{
	struct hrec *r = pick(e, 1, false);
	uint8_t *key = own(e, r->key, r->klen);

	key[r->klen - 1] ^= 0x40;
	r->key = key;
	list_sort(&e->half[1]);
}
FAULT(behind) /* all that changed */
{
	struct hrec r = e->half[1].a[e->half[1].n - 1];
	uint8_t *key = own(e, r.key, r.klen);

	ck_assert(key[0] == TAB_DENIAL && key[1] == 1);
	key[1] = 2;
	r.key = key;
	list_add(&e->half[1], &r);
}
FAULT(owner_case)
{
	uint8_t owner[NAME_MAX_WIRE];
	struct hrec *r = pick(e, 1, false);
	uint16_t type;
	size_t len = 0;

	while (r->key[0] != TAB_RECORDS || r->sig)
		r--;
	if (r->owner)
		memcpy(owner, r->owner, len = name_len(r->owner));
	else if (served_key(ZONE, r->key, r->klen, owner, &type) == 0)
		len = name_len(owner);
	owner[1] ^= 0x20;
	r->owner = own(e, owner, len);
	list_sort(&e->half[1]);
}
FAULT(order)
{
	struct hrec *r = pick(e, 1, false), keep = *r;

	*r = r[1];
	r[1] = keep;
}
FAULT(order_keys)
{
	struct list *l = &e->half[1];
	struct hrec keep = l->a[l->n - 1];

	l->a[l->n - 1] = l->a[1];
	l->a[1] = keep;
}
FAULT(half_gone) { e->half[0].n = 1; }
FAULT(half_came) { e->half[1].n = 1; }
FAULT(serial_from) { e->e.head.from_serial++; }
FAULT(serial_to) { e->e.head.to_serial--; }
FAULT(upstream_from) { e->e.head.from_upstream++; }
FAULT(upstream_to) { e->e.head.to_upstream++; }
FAULT(merged) { e->e.head.kind |= HISTORY_MERGED; }
FAULT(older) { e->e.head.first--; }
FAULT(gone)
{
	ck_assert_int_eq(hentry_delete(e->c->kv, table_octet(e->c->t), e->c->version), 0);
	e->raw = true;
}
FAULT(gap) { e->c->gaps = GATE_SERVED | GATE_UPSTREAM; }
FAULT(other_version)
{
	f_gone(e);
	e->e.head.version++;
	e->raw = false;
}
FAULT(totals)
{
	struct history_total t[2];

	ck_assert_int_eq(history_totals(e->c->kv, t), 0);
	t[e->c->t].newest--;
	ck_assert_int_eq(totals_put(e->c->kv, t), 0);
}
FAULT(totals_none)
{
	struct history_total t[2];

	ck_assert_int_eq(history_totals(e->c->kv, t), 0);
	t[e->c->t].entries = 0;
	ck_assert_int_eq(totals_put(e->c->kv, t), 0);
}
FAULT(totals_bad)
{
	uint8_t key[KEY_MAX];

	ck_assert_int_eq(kv_put(e->c->kv, key, key_meta(key, "history"), "\1\0\0\0\0", 5), 0);
}

/* A chunk with `cut` octets less at its end, one octet of it changed, its CRC right if so wanted. */
static void poke(struct entry *e, uint32_t chunk, size_t cut, size_t at, uint8_t by, bool crc)
{
	uint8_t key[KEY_MAX], val[1 << 16];
	size_t klen = key_chunk(key, table_octet(e->c->t), e->c->version, chunk);
	struct kv_item it;

	ck_assert_int_eq(kv_get(e->c->kv, key, klen, &it), 0);
	ck_assert_uint_lt(at, it.vlen - cut);
	memcpy(val, it.val, it.vlen);
	val[at] ^= by;
	if (crc)
		put_be32(val + 1, crc32c(crc32c(crc32c(0, val, 1), key, klen), val + 5, it.vlen - cut - 5));
	ck_assert_int_eq(kv_put(e->c->kv, key, klen, val, it.vlen - cut), 0);
	e->raw = true;
}

static void lose(struct entry *e, uint32_t chunk)
{
	uint8_t key[KEY_MAX];
	size_t klen = key_chunk(key, table_octet(e->c->t), e->c->version, chunk);

	ck_assert_int_eq(kv_del(e->c->kv, key, klen), 0);
	e->raw = true;
}

static uint32_t last(const struct entry *e) { return e->e.head.chunks - 1; }
FAULT(cut) { poke(e, last(e), 3, 0, 0, true); }
FAULT(cut_middle) { poke(e, 1, 3, 0, 0, true); }
FAULT(cut_record) { poke(e, last(e), 1, 0, 0, false); }
FAULT(cut_away) { lose(e, last(e)); }
FAULT(lost_chunk) { lose(e, 1); }
FAULT(lost_head) { lose(e, 0); }
FAULT(crc) { poke(e, 1, 0, 40, 1, false); }
FAULT(format) { poke(e, 1, 0, 0, 3, true); }
FAULT(flags) { poke(e, 1, 0, 5, 0x80, true); }
FAULT(flag_side) { poke(e, 1, 0, 5, 1, true); }
FAULT(klen) { poke(e, 1, 0, 6, 0xff, true); }
/* of the head: u64 first, u32 x 4, u64 time, u8 kind, u64 octets, u32 removed, added, chunks, u64 stored and
 * two u32 */
FAULT(octets) { poke(e, 0, 0, 5 + 8 + 16 + 8 + 1 + 7, 1, true); }
FAULT(removed) { poke(e, 0, 0, 5 + 41 + 3, 1, true); }
FAULT(added) { poke(e, 0, 0, 5 + 45 + 3, 1, true); }
FAULT(chunks) { poke(e, 0, 0, 5 + 49 + 3, 1, true); }
FAULT(stored) { poke(e, 0, 0, 5 + 53 + 7, 1, true); }
FAULT(added_chunk) { poke(e, 0, 0, 5 + 61 + 3, 1, true); }
FAULT(added_at) { poke(e, 0, 0, 5 + 65 + 3, 1, true); }
FAULT(more_chunks)
{
	uint8_t key[KEY_MAX], val[] = { 1, 0, 0, 0, 0, 1 };
	size_t klen = key_chunk(key, table_octet(e->c->t), e->c->version, last(e) + 1);

	put_be32(val + 1, crc32c(crc32c(crc32c(0, val, 1), key, klen), val + 5, 1));
	ck_assert_int_eq(kv_put(e->c->kv, key, klen, val, sizeof val), 0);
	e->raw = true;
}

const struct fault faults[] = {
#define F(name) { #name, f_##name }
	F(none), F(lost_gone), F(lost_came), F(lost_sig), F(lost_last), F(lost_second),
	F(more_gone), F(more_came), F(more_sig), F(twice), F(rdata), F(sig_octet), F(short_rdata),
	F(ttl_gone), F(ttl_came), F(ttl_sig), F(side_came), F(side_gone), F(sides), F(both),
	F(sig_of_other), F(sig_as_record), F(record_as_sig), F(soa_before), F(soa_after),
	F(soa_ttl), F(soa_same), F(no_soa_before), F(no_soa_after), F(soa_twice), F(other_key),
	F(behind), F(owner_case), F(order), F(order_keys), F(half_gone), F(half_came),
	F(serial_from), F(serial_to), F(merged), F(older), F(gone), F(gap), F(other_version),
	F(totals), F(totals_none), F(totals_bad), F(cut), F(cut_middle), F(cut_record),
	F(cut_away), F(lost_chunk), F(lost_head), F(crc), F(format), F(flags), F(flag_side),
	F(klen), F(octets), F(removed), F(added), F(chunks), F(stored), F(added_chunk),
	F(added_at), F(more_chunks), F(upstream_from), F(upstream_to),
#undef F
};
const size_t nfaults = sizeof faults / sizeof faults[0];

static bool is_one_of(const struct fault *f, const char *const *names)
{
	while (*names && strcmp(f->name, *names) != 0)
		names++;
	return *names;
}

static bool applies(const struct fault *f, const struct entry *e)
{
	static const char *const served[] = { "lost_sig", "more_sig", "sig_octet", "ttl_sig", "side_gone",
					      "sig_of_other", "sig_as_record", "behind", NULL };
	static const char *const adding[] = { "lost_came", "lost_last", "more_came", "twice", "rdata",
					      "ttl_came", "both", "record_as_sig", "soa_after", "soa_ttl",
					      "soa_same", "no_soa_after", "soa_twice", "other_key",
					      "owner_case", "order", "order_keys", "half_came", "added_chunk",
					      "added_at", NULL };

	if (e->half[1].n == 0 && is_one_of(f, adding))
		return false;
	return e->c->t == HISTORY_UPSTREAM ? !is_one_of(f, served) : strncmp(f->name, "upstream_", 9) != 0;
}

void spoil_as(struct entry *e, const char *fault)
{
	size_t i = 0;

	while (i < nfaults && strcmp(faults[i].name, fault) != 0)
		i++;
	ck_assert_uint_lt(i, nfaults);
	faults[i].make(e);
}

void spoil_cand(struct cand *c, const struct fault *by)
{
	struct entry e;

	c->verbose = by == faults;
	ck_assert_int_eq(store_snap(c->w->s, &c->sn), 0);
	ck_assert_int_eq(view_kv(c->v, &c->kv), 0);
	entry_load(&e, c);
	ck_assert_uint_gt(e.e.head.chunks, 3);
	if (applies(by, &e)) {
		by->make(&e);
		if (!e.raw)
			entry_store(&e);
		ck_assert_msg((judge(c) != 0) == (by != faults), "fault %s in table %d", by->name, c->t);
	}
	kv_close(c->kv);
	snap_unref(c->sn);
	arena_free(e.mem);
}
