/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The tools with which gate_fault.c spoils a zone. */
#include <string.h>
#include "base/buf.h"
#include "base/crc.h"
#include "gate_spoil.h"

struct tv *rec(struct fx *f, const char *owner, uint16_t type)
{
	uint8_t key[512];

	MUST(tv_load(f->m, key, tz_key_record(f->z, owner, type, key), f->v));
	return f->v;
}

struct tv *den(struct fx *f, const char *owner)
{
	uint8_t key[512];

	MUST(tv_load(f->m, key, tz_key_denial(f->z, owner, key), f->v));
	return f->v;
}

void resign(struct fx *f)
{
	tv_sign(f->z, f->v);
	store(f);
	memset(&f->z->tweak, 0, sizeof f->z->tweak);
}

void del_rec(struct fx *f, const char *owner, uint16_t type)
{
	uint8_t key[512];

	tv_delete(f->m, key, tz_key_record(f->z, owner, type, key));
}

void del_den(struct fx *f, const char *owner)
{
	uint8_t key[512];
	size_t klen = tz_key_denial(f->z, owner, key);

	MUST(tv_load(f->m, key, klen, f->v));
	tv_delete(f->m, key, klen);
}

/* A new unsigned value with one record. */
struct tv *fresh(struct fx *f, const char *owner, uint16_t type, uint32_t ttl, const char *data)
{
	memset(f->v, 0, offsetof(struct tv, rr));
	f->v->nsig = 0;
	f->v->exp_time = 0;
	f->v->klen = tz_key_record(f->z, owner, type, f->v->key);
	f->v->type = type;
	f->v->ttl = f->v->rr[0].ttl = ttl;
	f->v->nrr = 1;
	f->v->rr[0].flags = 0;
	f->v->rr[0].len = (uint16_t)tz_data(data, f->v->rr[0].data);
	return f->v;
}

size_t map_at(const struct fx *f, const struct tv *v)
{
	const uint8_t *p = v->rr[0].data;
	size_t n = 0;

	if (v->key[1])
		return 5u + p[4] + 21;
	for (; p[n]; n += p[n] + 1u)
		;
	return n + 1;
}

/* Puts the bitmap of the loaded record anew with one type turned over. Types of window 0 only. */
void flip_type(struct fx *f, unsigned type)
{
	uint8_t map[32] = { 0 }, rest[600], *p = f->v->rr[0].data;
	size_t at = map_at(f, f->v), end = f->v->rr[0].len, next = at, keep, len = 32;

	if (at < end && p[at] == 0) {
		memcpy(map, p + at + 2, p[at + 1]);
		next = at + 2 + p[at + 1];
	}
	keep = end - next;
	memcpy(rest, p + next, keep);
	map[type / 8] ^= (uint8_t)(128 >> type % 8);
	while (len && !map[len - 1])
		len--;
	if (len) {
		p[at++] = 0;
		p[at++] = (uint8_t)len;
		memcpy(p + at, map, len);
		at += len;
	}
	memcpy(p + at, rest, keep);
	f->v->rr[0].len = (uint16_t)(at + keep);
}

size_t next_of(struct fx *f, const struct kv_item *it, uint8_t *out)
{
	size_t n = 0;

	if (it->key[1]) {
		memcpy(out, it->key + 2, 20);
		return 20;
	}
	/* Through the text of labels: the order key backwards. */
	for (size_t end = it->klen; end > 2;) {
		size_t at = end - 1, head = n++;

		while (at > 2 && it->key[at - 1])
			at--;
		for (size_t i = at; i < end - 1; i++)
			out[n++] = it->key[i] == 1 ? (uint8_t)(it->key[++i] - 1) : it->key[i];
		out[head] = (uint8_t)(n - head - 1);
		end = at;
	}
	out[n++] = 0;
	return n;
}

void set_next(struct fx *f, const uint8_t *next, size_t len)
{
	uint8_t *p = f->v->rr[0].data, rest[600];
	size_t at = map_at(f, f->v), from = f->v->key[1] ? at - 20 : 0, keep = f->v->rr[0].len - at;

	memcpy(rest, p + at, keep);
	memcpy(p + from, next, len);
	memcpy(p + from + len, rest, keep);
	f->v->rr[0].len = (uint16_t)(from + len + keep);
}

/* Closes the chain over whatever records are there now; what changes is signed. */
void relink(struct fx *f)
{
	struct kv *kv = kvmem_open(f->m), *kv2 = kvmem_open(f->m);
	uint8_t start[2] = { 0x30, f->z->nsec3 ? f->z->set : 0 }, next[300];
	struct kv_item it, nx;
	size_t n;

	for (int rc = kv_seek(kv, start, 2, &it); !rc && !memcmp(it.key, start, 2); rc = kv_next(kv, &it)) {
		struct tv *v = f->v;
		size_t at;

		MUST(!kv_seek(kv2, it.key, it.klen, &nx));
		if (kv_next(kv2, &nx) || memcmp(nx.key, start, 2))
			MUST(!kv_seek(kv2, start, 2, &nx));
		n = next_of(f, &nx, next);
		MUST(tv_load(f->m, it.key, it.klen, v));
		at = map_at(f, v);
		if (v->key[1] ? !memcmp(v->rr[0].data + at - 20, next, 20)
			      : at == n && !memcmp(v->rr[0].data, next, n))
			continue;
		set_next(f, next, n);
		resign(f);
	}
	kv_close(kv);
	kv_close(kv2);
}

/* A record of the chain for a name that should have none, made from the apex's. */
void add_ghost(struct fx *f, const char *owner)
{
	struct tz_name n = tz_okey(owner);

	den(f, APEX);
	f->v->klen = tz_key_denial(f->z, owner, f->v->key);
	f->v->src_len = f->z->nsec3 ? n.len : 0;
	memcpy(f->v->src, n.k, f->v->src_len);
	resign(f);
	relink(f);
}

void put_raw(struct fx *f, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	struct kv *kv = kvmem_open(f->m);

	MUST(!kv_put(kv, key, klen, val, vlen));
	kv_close(kv);
}

/* Changes the octets of a stored value behind the CRC, and the CRC if wanted. */
void poke(struct fx *f, const uint8_t *key, size_t klen, size_t at, uint8_t by, bool crc)
{
	struct kv *kv = kvmem_open(f->m);
	uint8_t val[4096];
	struct kv_item it;

	MUST(!kv_get(kv, key, klen, &it) && it.vlen < sizeof val && at < it.vlen);
	memcpy(val, it.val, it.vlen);
	val[at] ^= by;
	if (crc)
		put_be32(val + 1, crc32c(0, val + 5, it.vlen - 5));
	MUST(!kv_put(kv, key, klen, val, it.vlen));
	kv_close(kv);
}

/* The candidate becomes a good version of the changed zone, with one table left as it was. */
void rebuild(struct fx *f, uint8_t stale_table)
{
	struct kv *kv, *old, *from;
	struct kv_item it;
	uint8_t t = stale_table;
	struct kvmem *m = tz_build(f->z, f->base);

	kvmem_free(f->m);
	f->m = tz_copy(m);
	kv = kvmem_open(f->m);
	from = kvmem_open(m);
	for (int rc = kv_seek(from, "", 0, &it); !rc; rc = kv_next(from, &it)) {
		if (t && (it.key[0] == t || it.key[0] == 0x40))
			kv_del(kv, it.key, it.klen);
	}
	old = kvmem_open(f->base);
	for (int rc = kv_seek(old, &t, 1, &it); t && !rc && it.key[0] == t; rc = kv_next(old, &it))
		kv_put(kv, it.key, it.klen, it.val, it.vlen);
	kv_close(old);
	kv_close(from);
	kvmem_free(m);
	/* Every value gets its entry again. */
	old = kvmem_open(f->m);
	for (int rc = kv_seek(old, "", 0, &it); t && !rc && it.key[0] < 0x40; rc = kv_next(old, &it)) {
		uint8_t ekey[17] = { 0x40 }, val[600] = { 1 };

		MUST(tv_load(f->m, it.key, it.klen, f->v));
		put_be64(ekey + 1, f->v->exp_time);
		put_be64(ekey + 9, f->v->exp_seq);
		memcpy(val + 5, it.key, it.klen);
		put_be32(val + 1, crc32c(0, it.key, it.klen));
		if (f->v->nsig)
			MUST(!kv_put(kv, ekey, 17, val, 5 + it.klen));
	}
	kv_close(old);
	kv_close(kv);
}

void override(struct fx *f)
{
	run_params(f->run, &f->params, f->keys);
	f->run->override = &f->params;
}
