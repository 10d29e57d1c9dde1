/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tests' own signer (gate_zone.h). Clarity over speed:
 * everything is O(n^2) over a few hundred records. */
#include "gate_zone.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/text.h"

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)

uint8_t tz_lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

/* --- names --- */

size_t tz_wire(const char *text, uint8_t *out)
{
	size_t n = 0;

	while (*text && strcmp(text, ".")) {
		size_t head = n++;

		while (*text && *text != '.') {
			if (*text == '\\') {
				unsigned v = 0;

				sscanf(text + 1, "%3u", &v);
				out[n++] = (uint8_t)v;
				text += 4;
			} else {
				out[n++] = (uint8_t)*text++;
			}
		}
		out[head] = (uint8_t)(n - head - 1);
		if (*text == '.')
			text++;
	}
	out[n++] = 0;
	return n;
}

static struct tz_name okey_of(const uint8_t *wire)
{
	struct tz_name out = { .len = 0 };
	size_t ends[130], n = 0, at = 0;

	for (; wire[at]; at += wire[at] + 1u)
		ends[n++] = at;
	for (size_t i = n; i-- > 0;) {
		for (size_t c = 1; c <= wire[ends[i]]; c++) {
			uint8_t o = tz_lower(wire[ends[i] + c]);

			if (o <= 1) {
				out.k[out.len++] = 1;
				o++;
			}
			out.k[out.len++] = o;
		}
		out.k[out.len++] = 0;
	}
	return out;
}

struct tz_name tz_okey(const char *text)
{
	uint8_t wire[256];

	tz_wire(text, wire);
	return okey_of(wire);
}

size_t tz_wire_of(const uint8_t *k, size_t len, uint8_t *out)
{
	size_t starts[130], n = 0, w = 0;

	for (size_t i = 0; i < len; i++) {
		if (i == 0 || k[i - 1] == 0)
			starts[n++] = i;
	}
	while (n--) {
		size_t head = w++;

		for (size_t i = starts[n]; k[i]; i++)
			out[w++] = k[i] == 1 ? (uint8_t)(k[++i] - 1) : k[i];
		out[head] = (uint8_t)(w - head - 1);
	}
	out[w++] = 0;
	return w;
}

static bool below(const struct tz_name *a, const struct tz_name *top)
{
	return a->len > top->len && !memcmp(a->k, top->k, top->len);
}

static bool same(const struct tz_name *a, const struct tz_name *b)
{
	return a->len == b->len && !memcmp(a->k, b->k, a->len);
}

/* --- records --- */

size_t tz_data(const char *text, uint8_t *out)
{
	char buf[2048], *save = NULL;
	size_t n = 0;

	snprintf(buf, sizeof buf, "%s", text);
	for (char *p = strtok_r(buf, " ", &save); p; p = strtok_r(NULL, " ", &save)) {
		if (*p == '=') {
			MUST(!text_unhex(out + n, strlen(p + 1) / 2, p + 1));
			n += strlen(p + 1) / 2;
		} else if (*p == '\'') {
			out[n++] = (uint8_t)strlen(p + 1);
			memcpy(out + n, p + 1, strlen(p + 1));
			n += strlen(p + 1);
		} else {
			n += tz_wire(p, out + n);
		}
	}
	return n;
}

static void add_raw(struct tz *z, const uint8_t *owner, size_t olen, uint16_t type, uint32_t ttl,
		    const uint8_t *data, size_t len)
{
	struct tz_rr *r;

	z->rr = realloc(z->rr, (z->n + 1) * sizeof *z->rr);
	MUST(z->rr);
	r = &z->rr[z->n++];
	memset(r, 0, sizeof *r);
	memcpy(r->owner, owner, olen);
	r->owner_len = olen;
	r->name = okey_of(owner);
	r->type = type;
	r->ttl = ttl;
	r->len = len;
	r->data = malloc(len + 1);
	memcpy(r->data, data, len);
}

void tz_add(struct tz *z, const char *owner, uint16_t type, uint32_t ttl, const char *data)
{
	uint8_t wire[256], rdata[2048];
	size_t wlen = tz_wire(owner, wire);

	add_raw(z, wire, wlen, type, ttl, rdata, tz_data(data, rdata));
}

static void drop(struct tz *z, size_t i)
{
	free(z->rr[i].data);
	memmove(z->rr + i, z->rr + i + 1, (--z->n - i) * sizeof *z->rr);
}

size_t tz_del(struct tz *z, const char *owner, uint16_t type)
{
	struct tz_name name = tz_okey(owner);
	size_t gone = 0;

	for (size_t i = z->n; i-- > 0;) {
		if (same(&z->rr[i].name, &name) && (!type || type == z->rr[i].type)) {
			drop(z, i);
			gone++;
		}
	}
	return gone;
}

void tz_init(struct tz *z, const char *zone)
{
	memset(z, 0, sizeof *z);
	z->zone_len = tz_wire(zone, z->zone);
	for (size_t i = 0; i < z->zone_len; i++)
		z->zone[i] = tz_lower(z->zone[i]);
	z->apex = okey_of(z->zone);
	z->set = 1;
	z->seq = 1;
}

void tz_free(struct tz *z)
{
	while (z->n)
		drop(z, z->n - 1);
	free(z->rr);
	for (size_t i = 0; i < z->nkeys; i++)
		EVP_PKEY_free(z->key[i].pkey);
	memset(z, 0, sizeof *z);
}

/* --- stored values --- */

size_t tv_encode(const struct tv *v, uint8_t *out)
{
	struct wr w = wr_fixed(out, 1 << 18);

	wr_u8(&w, 1);
	wr_u32(&w, 0);
	wr_u8(&w, v->flags);
	wr_u32(&w, v->ttl);
	if (v->flags & 1) {
		wr_u8(&w, (uint8_t)v->owner_len);
		wr_bytes(&w, v->owner, v->owner_len);
	}
	if (v->flags & 2) {
		wr_u16(&w, (uint16_t)v->src_len);
		wr_bytes(&w, v->src, v->src_len);
	}
	wr_u16(&w, (uint16_t)v->nrr);
	for (size_t i = 0; i < v->nrr; i++) {
		wr_u32(&w, v->rr[i].ttl);
		wr_u8(&w, v->rr[i].flags);
		wr_u16(&w, v->rr[i].len);
		wr_bytes(&w, v->rr[i].data, v->rr[i].len);
	}
	wr_u8(&w, (uint8_t)v->nsig);
	for (size_t i = 0; i < v->nsig; i++) {
		wr_u16(&w, v->sig[i].len);
		wr_bytes(&w, v->sig[i].data, v->sig[i].len);
	}
	if (v->nsig) {
		wr_u64(&w, v->exp_time);
		wr_u64(&w, v->exp_seq);
	}
	wr_put_u32(&w, 1, crc32c(0, out + 5, w.len - 5));
	MUST(!w.err);
	return w.len;
}

static void decode(const uint8_t *val, size_t len, struct tv *v)
{
	struct rd r = rd_init(val, len);

	rd_u8(&r);
	rd_u32(&r);
	v->flags = rd_u8(&r);
	v->ttl = rd_u32(&r);
	v->owner_len = v->flags & 1 ? rd_u8(&r) : 0;
	memcpy(v->owner, rd_bytes(&r, v->owner_len), v->owner_len);
	v->src_len = v->flags & 2 ? rd_u16(&r) : 0;
	memcpy(v->src, rd_bytes(&r, v->src_len), v->src_len);
	v->nrr = rd_u16(&r);
	for (size_t i = 0; i < v->nrr; i++) {
		v->rr[i].ttl = rd_u32(&r);
		v->rr[i].flags = rd_u8(&r);
		v->rr[i].len = rd_u16(&r);
		memcpy(v->rr[i].data, rd_bytes(&r, v->rr[i].len), v->rr[i].len);
	}
	v->nsig = rd_u8(&r);
	for (size_t i = 0; i < v->nsig; i++) {
		v->sig[i].len = rd_u16(&r);
		memcpy(v->sig[i].data, rd_bytes(&r, v->sig[i].len), v->sig[i].len);
	}
	v->exp_time = v->nsig ? rd_u64(&r) : 0;
	v->exp_seq = v->nsig ? rd_u64(&r) : 0;
	MUST(!rd_done(&r));
}

bool tv_load(struct kvmem *m, const uint8_t *key, size_t klen, struct tv *v)
{
	struct kv *kv = kvmem_open(m);
	struct kv_item it;
	bool there = !kv_get(kv, key, klen, &it);

	if (there) {
		memcpy(v->key, key, klen);
		v->klen = klen;
		v->type = key[0] == 0x20 ? be16(key + klen - 2) : key[1] ? 50 : 47;
		decode(it.val, it.vlen, v);
	}
	kv_close(kv);
	return there;
}

static size_t expiry_key(const struct tv *v, uint8_t *out)
{
	out[0] = 0x40;
	put_be64(out + 1, v->exp_time);
	put_be64(out + 9, v->exp_seq);
	return 17;
}

static void drop_expiry(struct kvmem *m, const uint8_t *key, size_t klen)
{
	struct tv *old = malloc(sizeof *old);
	struct kv *kv = kvmem_open(m);
	uint8_t ekey[17];

	if (tv_load(m, key, klen, old) && old->nsig)
		kv_del(kv, ekey, expiry_key(old, ekey));
	kv_close(kv);
	free(old);
}

void tv_put(struct kvmem *m, struct tv *v)
{
	uint8_t *val = malloc(1 << 18);
	struct kv *kv = kvmem_open(m);

	MUST(!kv_put(kv, v->key, v->klen, val, tv_encode(v, val)));
	kv_close(kv);
	free(val);
}

static void put_expiry(struct kvmem *m, const struct tv *v)
{
	struct kv *kv = kvmem_open(m);
	uint8_t ekey[17], val[600] = { 1 };

	memcpy(val + 5, v->key, v->klen);
	put_be32(val + 1, crc32c(0, v->key, v->klen));
	if (v->nsig)
		MUST(!kv_put(kv, ekey, expiry_key(v, ekey), val, 5 + v->klen));
	kv_close(kv);
}

void tv_store(struct tz *z, struct kvmem *m, struct tv *v)
{
	drop_expiry(m, v->key, v->klen);
	v->exp_seq = z->seq++;
	put_expiry(m, v);
	tv_put(m, v);
}

void tv_delete(struct kvmem *m, const uint8_t *key, size_t klen)
{
	struct kv *kv = kvmem_open(m);

	drop_expiry(m, key, klen);
	kv_del(kv, key, klen);
	kv_close(kv);
}

struct kvmem *tz_copy(struct kvmem *m)
{
	struct kvmem *out = kvmem_new(0);
	struct kv *from = kvmem_open(m), *to = kvmem_open(out);
	struct kv_item it;

	for (int rc = kv_seek(from, "", 0, &it); !rc; rc = kv_next(from, &it))
		MUST(!kv_put(to, it.key, it.klen, it.val, it.vlen));
	kv_close(from);
	kv_close(to);
	return out;
}

/* --- a version --- */

size_t tz_key_record(const struct tz *z, const char *owner, uint16_t type, uint8_t *key)
{
	struct tz_name n = tz_okey(owner);

	key[0] = 0x20;
	memcpy(key + 1, n.k, n.len);
	key[n.len + 1] = 0;
	put_be16(key + n.len + 2, type);
	return n.len + 4;
}

static void hash_name(const struct tz *z, const uint8_t *k, size_t len, uint8_t *out)
{
	uint8_t in[300];
	size_t n = tz_wire_of(k, len, in), mdlen;

	for (unsigned i = 0; i <= z->iterations; i++) {
		memcpy(in + n, z->salt, z->salt_len);
		MUST(EVP_Q_digest(NULL, "SHA1", NULL, in, n + z->salt_len, out, &mdlen));
		memcpy(in, out, 20);
		n = 20;
	}
}

size_t tz_key_denial_k(const struct tz *z, const uint8_t *k, size_t len, uint8_t *key)
{
	key[0] = 0x30;
	key[1] = z->nsec3 ? z->set : 0;
	if (z->nsec3) {
		hash_name(z, k, len, key + 2);
		return 22;
	}
	memcpy(key + 2, k, len);
	return len + 2;
}

size_t tz_key_denial(const struct tz *z, const char *owner, uint8_t *key)
{
	struct tz_name n = tz_okey(owner);

	return tz_key_denial_k(z, n.k, n.len, key);
}

/* Takes signatures and expiry of the same content from base. */
static bool reuse(struct kvmem *base, struct tv *v)
{
	struct tv *old = malloc(sizeof *old);
	uint8_t *a = malloc(1 << 18), *b = malloc(1 << 18);
	bool hit = base && tv_load(base, v->key, v->klen, old);
	size_t nsig = 0;

	if (hit) {
		nsig = old->nsig;
		old->nsig = 0;
		hit = nsig && tv_encode(old, a) == tv_encode(v, b) && !memcmp(a, b, tv_encode(v, b));
	}
	if (hit) {
		memcpy(v->sig, old->sig, sizeof v->sig);
		v->nsig = nsig;
		v->exp_time = old->exp_time;
		v->exp_seq = old->exp_seq;
	}
	free(old);
	free(a);
	free(b);
	return hit;
}

static void finish_value(struct tz *z, struct kvmem *out, struct kvmem *base, struct tv *v, bool sign)
{
	v->nsig = 0;
	if (sign && reuse(base, v)) {
		put_expiry(out, v);
		tv_put(out, v);
		return;
	}
	if (sign)
		tv_sign(z, v);
	tv_store(z, out, v);
}

static bool has(const struct tz *z, const struct tz_name *n, uint16_t type)
{
	for (size_t i = 0; i < z->n; i++) {
		if (z->rr[i].type == type && same(&z->rr[i].name, n))
			return true;
	}
	return false;
}

static bool occluded(const struct tz *z, const struct tz_name *n)
{
	for (size_t i = 0; i < z->n; i++) {
		const struct tz_rr *r = &z->rr[i];

		if (below(n, &r->name) && (r->type == 39 || (r->type == 2 && !same(&r->name, &z->apex))))
			return true;
	}
	return false;
}

static bool is_cut(const struct tz *z, const struct tz_name *n)
{
	return has(z, n, 2) && !same(n, &z->apex);
}

static int rr_cmp(const void *a, const void *b)
{
	const struct tz_rr *x = *(const struct tz_rr *const *)a, *y = *(const struct tz_rr *const *)b;
	uint8_t p[2048], q[2048];
	size_t min = x->len < y->len ? x->len : y->len;
	int c;

	memcpy(p, x->data, x->len);
	memcpy(q, y->data, y->len);
	tz_canon(x->type, p, x->len);
	tz_canon(y->type, q, y->len);
	c = memcmp(p, q, min);
	return c ? c : (x->len > y->len) - (x->len < y->len);
}

/* The RRset that record i begins; false when an earlier record has. */
static bool rrset_of(struct tz *z, size_t i, struct tv *v)
{
	struct tz_rr **set = malloc(z->n * sizeof *set), *r = &z->rr[i];
	bool first = true, upper = false;
	size_t n = 0;

	for (size_t j = 0; j < z->n; j++) {
		if (z->rr[j].type == r->type && same(&z->rr[j].name, &r->name)) {
			first &= j >= i;
			set[n++] = &z->rr[j];
		}
	}
	qsort(set, n, sizeof(struct tz_rr *), rr_cmp);
	memset(v, 0, offsetof(struct tv, rr));
	v->key[0] = 0x20;
	memcpy(v->key + 1, r->name.k, r->name.len);
	v->key[r->name.len + 1] = 0;
	put_be16(v->key + r->name.len + 2, r->type);
	v->klen = r->name.len + 4;
	v->type = r->type;
	v->ttl = UINT32_MAX;
	v->nrr = n;
	for (size_t j = 0; j < n; j++) {
		v->rr[j].ttl = set[j]->ttl;
		v->rr[j].flags = j && !rr_cmp(&set[j - 1], &set[j]);
		v->rr[j].len = (uint16_t)set[j]->len;
		memcpy(v->rr[j].data, set[j]->data, set[j]->len);
		v->ttl = set[j]->ttl < v->ttl ? set[j]->ttl : v->ttl;
		v->flags |= v->rr[j].flags ? 4 : 0;
		v->flags |= set[j]->ttl != set[0]->ttl ? 8 : 0;
	}
	for (size_t c = 0; c < r->owner_len; c++)
		upper |= tz_lower(r->owner[c]) != r->owner[c];
	v->flags |= upper;
	v->owner_len = r->owner_len;
	memcpy(v->owner, r->owner, r->owner_len);
	free(set);
	return first;
}

static size_t bitmap(const bool *types, uint8_t *out)
{
	size_t n = 0;

	for (unsigned w = 0; w < 256; w++) {
		uint8_t map[32] = { 0 }, len = 0;

		for (unsigned t = 0; t < 256; t++) {
			if (types[w * 256 + t]) {
				map[t / 8] |= (uint8_t)(128 >> t % 8);
				len = (uint8_t)(t / 8 + 1);
			}
		}
		if (len) {
			out[n++] = (uint8_t)w;
			out[n++] = len;
			memcpy(out + n, map, len);
			n += len;
		}
	}
	return n;
}

struct link { struct tz_name name; uint8_t key[512]; size_t klen; bool ent; };

static int link_cmp(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	size_t min = x->klen < y->klen ? x->klen : y->klen;
	int c = memcmp(x->key, y->key, min);

	return c ? c : (x->klen > y->klen) - (x->klen < y->klen);
}

static void link_add(struct tz *z, struct link *l, size_t *n, const struct tz_name *name, bool ent)
{
	for (size_t i = 0; i < *n; i++) {
		if (same(&l[i].name, name)) {
			l[i].ent &= ent;
			return;
		}
	}
	l[*n].name = *name;
	l[*n].ent = ent;
	l[*n].klen = tz_key_denial_k(z, name->k, name->len, l[*n].key);
	++*n;
}

/* Names of the chain: every record's, and for NSEC3 the empty ones above it. */
static size_t links_of(struct tz *z, struct link *l)
{
	size_t n = 0;

	for (size_t i = 0; i < z->n; i++) {
		struct tz_name name = z->rr[i].name;

		if (occluded(z, &name))
			continue;
		if (!(z->nsec3 && z->opt_out && is_cut(z, &name) && !has(z, &name, 43)))
			link_add(z, l, &n, &name, false);
		while (z->nsec3 && name.len > z->apex.len) {
			bool data = false;

			for (name.len--; name.len && name.k[name.len - 1]; name.len--)
				;
			for (size_t j = 0; j < z->n; j++)
				data |= same(&z->rr[j].name, &name);
			if (!data)
				link_add(z, l, &n, &name, true);
		}
	}
	qsort(l, n, sizeof *l, link_cmp);
	return n;
}

static void chain_value(struct tz *z, const struct link *l, const struct link *next, struct tv *v)
{
	bool *types = calloc(65536, sizeof *types), cut = is_cut(z, &l->name), any = false;
	struct wr w;

	memset(v, 0, offsetof(struct tv, rr));
	memcpy(v->key, l->key, l->klen);
	v->klen = l->klen;
	v->type = z->nsec3 ? 50 : 47;
	v->flags = (uint8_t)(0x10 | (z->nsec3 ? 2 : 0));
	v->src_len = l->name.len;
	memcpy(v->src, l->name.k, l->name.len);
	for (size_t i = 0; i < z->n; i++) {
		struct tz_rr *r = &z->rr[i];

		if (same(&r->name, &z->apex) && r->type == 6) {
			uint32_t min = be32(r->data + r->len - 4);

			v->ttl = r->ttl < min ? r->ttl : min;
		}
		if (same(&r->name, &l->name) && (!cut || r->type == 2 || r->type == 43)) {
			types[r->type] = true;
			any |= !cut || r->type == 43;
		}
	}
	types[46] = any || !z->nsec3;
	types[47] = !z->nsec3;
	v->nrr = 1;
	v->rr[0].ttl = v->ttl;
	v->rr[0].flags = 0;
	w = wr_fixed(v->rr[0].data, sizeof v->rr[0].data);
	if (z->nsec3) {
		wr_u8(&w, 1);
		wr_u8(&w, z->opt_out);
		wr_u16(&w, z->iterations);
		wr_u8(&w, z->salt_len);
		wr_bytes(&w, z->salt, z->salt_len);
		wr_u8(&w, 20);
		wr_bytes(&w, next->key + 2, 20);
	} else {
		uint8_t wire[256];

		wr_bytes(&w, wire, tz_wire_of(next->name.k, next->name.len, wire));
	}
	w.len += bitmap(types, w.p + w.len);
	v->rr[0].len = (uint16_t)w.len;
	free(types);
}

static void add_keys(struct tz *z)
{
	uint8_t data[300] = { 1, 0 };

	for (size_t i = 0; i < z->nkeys; i++) {
		if (!z->key[i].hidden)
			add_raw(z, z->zone, z->zone_len, 48, TZ_KEY_TTL, z->key[i].rdata, z->key[i].len);
	}
	if (z->nsec3) {
		put_be16(data + 2, z->iterations);
		data[4] = z->salt_len;
		memcpy(data + 5, z->salt, z->salt_len);
		add_raw(z, z->zone, z->zone_len, 51, 0, data, 5u + z->salt_len);
	}
}

struct kvmem *tz_build(struct tz *z, struct kvmem *base)
{
	struct kvmem *out = kvmem_new(0);
	struct tv *v = calloc(1, sizeof *v);
	struct link *l;
	size_t had = z->n, n;

	add_keys(z);
	l = calloc(z->n * 24 + 8, sizeof *l);
	MUST(out && v && l);
	for (size_t i = 0; i < z->n; i++) {
		struct tz_name *name = &z->rr[i].name;

		if (rrset_of(z, i, v))
			finish_value(z, out, base, v,
				     z->nkeys && !occluded(z, name) && (!is_cut(z, name) || v->type == 43));
	}
	n = z->nkeys ? links_of(z, l) : 0;
	for (size_t i = 0; i < n; i++) {
		chain_value(z, &l[i], &l[(i + 1) % n], v);
		finish_value(z, out, base, v, true);
	}
	while (z->n > had)
		drop(z, z->n - 1);
	free(l);
	free(v);
	return out;
}
