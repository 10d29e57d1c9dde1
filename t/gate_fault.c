/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of seeded faults (gate_fault.h). */
#include "gate_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"

#define MUST(x) do { if (!(x)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); abort(); } } while (0)
#define APEX "zone.example."

/* --- taking things out and putting them back --- */

static struct tv *rec(struct fx *f, const char *owner, uint16_t type)
{
	uint8_t key[512];

	MUST(tv_load(f->m, key, tz_key_record(f->z, owner, type, key), f->v));
	return f->v;
}

static struct tv *den(struct fx *f, const char *owner)
{
	uint8_t key[512];

	MUST(tv_load(f->m, key, tz_key_denial(f->z, owner, key), f->v));
	return f->v;
}

static void resign(struct fx *f)
{
	tv_sign(f->z, f->v);
	tv_store(f->z, f->m, f->v);
	memset(&f->z->tweak, 0, sizeof f->z->tweak);
}

static void del_rec(struct fx *f, const char *owner, uint16_t type)
{
	uint8_t key[512];

	tv_delete(f->m, key, tz_key_record(f->z, owner, type, key));
}

static void del_den(struct fx *f, const char *owner)
{
	uint8_t key[512];
	size_t klen = tz_key_denial(f->z, owner, key);

	MUST(tv_load(f->m, key, klen, f->v));
	tv_delete(f->m, key, klen);
}

/* A new unsigned value with one record. */
static struct tv *fresh(struct fx *f, const char *owner, uint16_t type, uint32_t ttl, const char *data)
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

static size_t map_at(const struct fx *f, const struct tv *v)
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
static void flip_type(struct fx *f, unsigned type)
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

static size_t next_of(struct fx *f, const struct kv_item *it, uint8_t *out)
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

static void set_next(struct fx *f, const uint8_t *next, size_t len)
{
	uint8_t *p = f->v->rr[0].data, rest[600];
	size_t at = map_at(f, f->v), from = f->v->key[1] ? at - 20 : 0, keep = f->v->rr[0].len - at;

	memcpy(rest, p + at, keep);
	memcpy(p + from, next, len);
	memcpy(p + from + len, rest, keep);
	f->v->rr[0].len = (uint16_t)(from + len + keep);
}

/* Closes the chain over whatever records are there now; what changes is signed. */
static void relink(struct fx *f)
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
		if (v->key[1] ? !memcmp(v->rr[0].data + at - 20, next, 20) : at == n && !memcmp(v->rr[0].data, next, n))
			continue;
		set_next(f, next, n);
		resign(f);
	}
	kv_close(kv);
	kv_close(kv2);
}

/* A record of the chain for a name that should have none, made from the apex's. */
static void add_ghost(struct fx *f, const char *owner)
{
	struct tz_name n = tz_okey(owner);

	den(f, APEX);
	f->v->klen = tz_key_denial(f->z, owner, f->v->key);
	f->v->src_len = f->z->nsec3 ? n.len : 0;
	memcpy(f->v->src, n.k, f->v->src_len);
	resign(f);
	relink(f);
}

static void put_raw(struct fx *f, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen)
{
	struct kv *kv = kvmem_open(f->m);

	MUST(!kv_put(kv, key, klen, val, vlen));
	kv_close(kv);
}

/* Changes the octets of a stored value behind the CRC, and the CRC if wanted. */
static void poke(struct fx *f, const uint8_t *key, size_t klen, size_t at, uint8_t by, bool crc)
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
static void rebuild(struct fx *f, uint8_t stale_table)
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

static void override(struct fx *f)
{
	run_params(f->run, &f->params, f->keys);
	f->run->override = &f->params;
}

/* --- signatures --- */

static void f_rdata(struct fx *f) { rec(f, "www.zone.example.", 16)->rr[0].data[1] ^= 1; tv_store(f->z, f->m, f->v); }
static void f_short_sig(struct fx *f) { rec(f, "www.zone.example.", 16)->sig[0].len--; tv_store(f->z, f->m, f->v); }
static void f_long_sig(struct fx *f) { rec(f, "www.zone.example.", 16)->sig[0].len++; tv_store(f->z, f->m, f->v); }
static void f_zero_sig(struct fx *f)
{
	rec(f, "www.zone.example.", 16);
	memset(f->v->sig[0].data + f->v->sig[0].len - 64, 0, 64);
	tv_store(f->z, f->m, f->v);
}
static void f_other_data(struct fx *f) /* a signature made for another RRset */
{
	struct tv *other = malloc(sizeof *other);

	*other = *rec(f, "h1.hosts.zone.example.", 1);
	rec(f, "h2.hosts.zone.example.", 1)->sig[0] = other->sig[0];
	f->v->exp_time = other->exp_time;
	tv_store(f->z, f->m, f->v);
	free(other);
}
static void f_same_tag(struct fx *f) /* another key that claims the tag of the ZSK */
{
	struct tz_key keep = f->z->key[1];

	rec(f, "www.zone.example.", 16);
	tz_add_key(f->z, 13, 256, false, false);
	f->z->key[1].pkey = f->z->key[--f->z->nkeys].pkey;
	resign(f);
	EVP_PKEY_free(f->z->key[1].pkey);
	f->z->key[1] = keep;
}
static void f_alien(struct fx *f) /* one signature more, by a key nobody knows */
{
	rec(f, "www.zone.example.", 16);
	tz_add_key(f->z, 13, 256, false, false);
	tv_sign_with(f->z, f->v, f->z->nkeys - 1);
	tv_store(f->z, f->m, f->v);
	EVP_PKEY_free(f->z->key[--f->z->nkeys].pkey);
}
static void f_unusable(struct fx *f) /* protocol 4: the key cannot be used */
{
	override(f);
	f->z->key[1].rdata[2] = 4;
}
static void f_labels(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.labels = -1; resign(f); }
static void f_labels_more(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.labels = 1; resign(f); }
static void f_labels_wild(struct fx *f) { rec(f, "*.wild.zone.example.", 16); f->z->tweak.labels = 1; resign(f); }
static void f_labels_nowild(struct fx *f) { rec(f, "not.*.star.zone.example.", 16); f->z->tweak.labels = -1; resign(f); }
static void f_labels_chain(struct fx *f) { den(f, "www.zone.example."); f->z->tweak.labels = -1; resign(f); }
static void f_orig_ttl(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.ttl = 299; resign(f); }
static void f_new_ttl(struct fx *f)
{
	struct tv *v = rec(f, "www.zone.example.", 16);

	v->ttl = v->rr[0].ttl = 299;
	tv_store(f->z, f->m, v);
}
static void f_not_lowest(struct fx *f) { rec(f, "www.zone.example.", 16)->ttl = 299; resign(f); }
static void f_signer_case(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.signer = "Zone.example."; resign(f); }
static void f_signer_other(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.signer = "zone.test."; resign(f); }
static void f_signer_parent(struct fx *f) { den(f, "www.zone.example."); f->z->tweak.signer = "example."; resign(f); }
static void f_covered(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.covered = 1; resign(f); }
static void f_future(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.inception = TZ_NOW + 60; resign(f); }
static void f_expired(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.expiration = TZ_NOW - 1; resign(f); }
static void f_soon(struct fx *f) { rec(f, "www.zone.example.", 16); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }
static void f_soon_chain(struct fx *f) { den(f, "www.zone.example."); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }
static void f_soon_key(struct fx *f) { rec(f, APEX, 48); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }

static void unsign(struct fx *f) { f->v->nsig = 0; tv_store(f->z, f->m, f->v); }
static void f_no_sig(struct fx *f) { rec(f, "www.zone.example.", 16); unsign(f); }
static void f_no_sig_soa(struct fx *f) { rec(f, APEX, 6); unsign(f); }
static void f_no_sig_ds(struct fx *f) { rec(f, "secure.zone.example.", 43); unsign(f); }
static void f_no_sig_chain(struct fx *f) { den(f, "www.zone.example."); unsign(f); }
static void f_no_sig_apex_chain(struct fx *f) { den(f, APEX); unsign(f); }
static void f_no_sig_keys(struct fx *f) { rec(f, APEX, 48); unsign(f); }
static void f_one_alg(struct fx *f)
{
	rec(f, "www.zone.example.", 16)->nsig = 0;
	tv_sign_with(f->z, f->v, 1);
	tv_store(f->z, f->m, f->v);
}
static void f_one_alg_keys(struct fx *f)
{
	rec(f, APEX, 48)->nsig = 0;
	tv_sign_with(f->z, f->v, 0);
	tv_store(f->z, f->m, f->v);
}
static void f_one_alg_chain(struct fx *f)
{
	den(f, "www.zone.example.")->nsig = 0;
	tv_sign_with(f->z, f->v, 3);
	tv_store(f->z, f->m, f->v);
}
static void f_ksk_data(struct fx *f)
{
	rec(f, "www.zone.example.", 16)->nsig = 0;
	tv_sign_with(f->z, f->v, 0);
	tv_store(f->z, f->m, f->v);
}
static void sign_by_zsk(struct fx *f) { f->v->nsig = 0; tv_sign_with(f->z, f->v, 1); tv_store(f->z, f->m, f->v); }
static void f_zsk_keys(struct fx *f) { rec(f, APEX, 48); sign_by_zsk(f); }
static void f_zsk_cds(struct fx *f) { rec(f, APEX, 59); sign_by_zsk(f); }
static void f_zsk_cdnskey(struct fx *f) { rec(f, APEX, 60); sign_by_zsk(f); }
static void f_zsk_too(struct fx *f) { rec(f, APEX, 59); tv_sign_with(f->z, f->v, 1); tv_store(f->z, f->m, f->v); }
static void f_twice(struct fx *f) { rec(f, "www.zone.example.", 16); tv_sign_with(f->z, f->v, 1); tv_store(f->z, f->m, f->v); }
static void f_twice_same(struct fx *f)
{
	rec(f, "www.zone.example.", 16);
	f->v->sig[1] = f->v->sig[0];
	f->v->nsig = 2;
	tv_store(f->z, f->m, f->v);
}
static void f_glue(struct fx *f) { rec(f, "ns.sub.zone.example.", 1); resign(f); }
static void f_glue_at_cut(struct fx *f) { rec(f, "sub.zone.example.", 1); resign(f); }
static void f_cut_ns(struct fx *f) { rec(f, "sub.zone.example.", 2); resign(f); }
static void f_cut_ns_secure(struct fx *f) { rec(f, "secure.zone.example.", 2); resign(f); }
static void f_below_dname(struct fx *f) { rec(f, "x.y.below.dn.zone.example.", 16); resign(f); }
static void f_ds_below(struct fx *f) { rec(f, "deep.cut.below.sub.zone.example.", 43); resign(f); }
static void f_sig_short(struct fx *f) { rec(f, "www.zone.example.", 16)->sig[0].len = 17; tv_store(f->z, f->m, f->v); }

/* --- the chain --- */

static void f_gap(struct fx *f) { del_den(f, "www.zone.example."); relink(f); }
static void f_gap_apex(struct fx *f) { del_den(f, APEX); relink(f); }
static void f_gap_wild(struct fx *f) { del_den(f, "*.wild.zone.example."); relink(f); }
static void f_gap_cut(struct fx *f) { del_den(f, "in.ent1.ent2.zone.example."); relink(f); }
static void f_gap_secure(struct fx *f) { del_den(f, "secure.zone.example."); relink(f); }
static void f_gap_ent(struct fx *f) { del_den(f, "b.c.d.zone.example."); relink(f); }
static void f_gap_ent_cut(struct fx *f) { del_den(f, "ent2.zone.example."); relink(f); }
static void f_gap_ent_nul(struct fx *f) { del_den(f, "\\001\\000\\002.zone.example."); relink(f); }
static void f_hole(struct fx *f) { del_den(f, "www.zone.example."); }
static void f_skip(struct fx *f) /* points over its follower */
{
	struct kv *kv = kvmem_open(f->m);
	struct kv_item it;
	uint8_t key[512], next[300];

	MUST(!kv_seek(kv, key, tz_key_denial(f->z, "www.zone.example.", key), &it));
	for (int i = 0; i < 2; i++) {
		uint8_t start[2] = { 0x30, it.key[1] };

		if (kv_next(kv, &it) || it.key[0] != 0x30)
			MUST(!kv_seek(kv, start, 2, &it));
	}
	den(f, "www.zone.example.");
	set_next(f, next, next_of(f, &it, next));
	kv_close(kv);
	resign(f);
}
static void f_self(struct fx *f)
{
	uint8_t next[300];
	struct kv_item it;

	den(f, "www.zone.example.");
	it.key = f->v->key;
	it.klen = f->v->klen;
	set_next(f, next, next_of(f, &it, next));
	resign(f);
}
static void f_next_case(struct fx *f)
{
	den(f, "www.zone.example.");
	for (size_t i = 0; i < map_at(f, f->v); i++) {
		if (f->v->rr[0].data[i] == 'z')
			f->v->rr[0].data[i] = 'Z';
	}
	resign(f);
}
static void f_last(struct fx *f) /* the last record does not go round */
{
	struct kv *kv = kvmem_open(f->m);
	uint8_t end[2] = { 0x30, (uint8_t)(f->z->nsec3 ? f->z->set + 1 : 1) }, key[512], next[300];
	struct kv_item it;
	size_t klen;

	MUST(!kv_seek_lt(kv, end, 2, &it));
	memcpy(key, it.key, klen = it.klen);
	MUST(tv_load(f->m, key, klen, f->v));
	set_next(f, next, next_of(f, &it, next));
	kv_close(kv);
	resign(f);
}
static void bit(struct fx *f, const char *owner, unsigned type) { den(f, owner); flip_type(f, type); resign(f); }
static void f_map_more(struct fx *f) { bit(f, "www.zone.example.", 28); }
static void f_map_less(struct fx *f) { bit(f, "*.wild.zone.example.", 15); }
static void f_map_rrsig(struct fx *f) { bit(f, "www.zone.example.", 46); }
static void f_map_nsec(struct fx *f) { bit(f, "www.zone.example.", 47); }
static void f_map_nsec3(struct fx *f) { bit(f, "www.zone.example.", 50); }
static void f_map_glue(struct fx *f) { bit(f, "zzz.zone.example.", 1); }
static void f_map_no_ns(struct fx *f) { bit(f, "secure.zone.example.", 2); }
static void f_map_no_ds(struct fx *f) { bit(f, "secure.zone.example.", 43); }
static void f_map_ent(struct fx *f) { bit(f, "b.c.d.zone.example.", 16); }
static void f_map_cut_sig(struct fx *f) { bit(f, "zzz.zone.example.", 46); }
static void f_map_soa(struct fx *f) { bit(f, APEX, 6); }
static void f_map_dnskey(struct fx *f) { bit(f, APEX, 48); }
static void f_map_window(struct fx *f) { bit(f, "types.zone.example.", 1); }
static void f_map_tail(struct fx *f) /* a trailing zero octet: not the canonical form */
{
	den(f, "www.zone.example.");
	f->v->rr[0].data[map_at(f, f->v) + 1]++;
	f->v->rr[0].data[f->v->rr[0].len++] = 0;
	resign(f);
}
static void f_ghost(struct fx *f) { add_ghost(f, "nobody.zone.example."); }
static void f_ghost_glue(struct fx *f) { add_ghost(f, "ns.sub.zone.example."); }
static void f_ghost_dname(struct fx *f) { add_ghost(f, "below.dn.zone.example."); }
static void f_ghost_ent(struct fx *f) { add_ghost(f, "x.sub.zone.example."); }
static void f_ghost_nsec_ent(struct fx *f) { add_ghost(f, "b.c.d.zone.example."); }
static void f_ghost_insecure(struct fx *f) { add_ghost(f, "zzz.zone.example."); }
static void flags(struct fx *f, const char *owner) { den(f, owner)->rr[0].data[1] ^= 1; resign(f); }
static void f_flag(struct fx *f) { flags(f, "www.zone.example."); }
static void f_flag_apex(struct fx *f) { flags(f, APEX); }
static void f_flag_other(struct fx *f) { den(f, APEX)->rr[0].data[1] ^= 2; resign(f); }
static void f_chain_salt(struct fx *f) { den(f, "www.zone.example.")->rr[0].data[5] ^= 1; resign(f); }
static void f_chain_iter(struct fx *f) { den(f, "www.zone.example.")->rr[0].data[3] ^= 1; resign(f); }
static void f_chain_alg(struct fx *f) { den(f, "www.zone.example.")->rr[0].data[0] = 2; resign(f); }
static void f_param_iter(struct fx *f) { rec(f, APEX, 51)->rr[0].data[3] ^= 1; resign(f); }
static void f_param_salt(struct fx *f) { rec(f, APEX, 51)->rr[0].data[6] ^= 1; resign(f); }
static void f_param_flags(struct fx *f) { rec(f, APEX, 51)->rr[0].data[1] = 1; resign(f); }
static void f_param_gone(struct fx *f) { del_rec(f, APEX, 51); }
static void f_param_two(struct fx *f)
{
	rec(f, APEX, 51);
	f->v->rr[1] = f->v->rr[0];
	f->v->rr[1].data[3]++;
	f->v->nrr = 2;
	resign(f);
}
static void set_ttl(struct fx *f, struct tv *v, uint32_t ttl)
{
	v->ttl = ttl;
	for (size_t i = 0; i < v->nrr; i++)
		v->rr[i].ttl = ttl;
	resign(f);
}
static void f_param_ttl(struct fx *f) { set_ttl(f, rec(f, APEX, 51), 60); }
static void f_param_nsec(struct fx *f) { fresh(f, APEX, 51, 0, "=0100000000"); resign(f); bit(f, APEX, 51); }
static void f_iterations(struct fx *f) { f->z->iterations = 51; rebuild(f, 0); }
static void f_mixed(struct fx *f) /* one record of the other kind in DENIAL */
{
	bool was = f->z->nsec3;

	den(f, APEX);
	f->z->nsec3 = !was;
	f->v->klen = tz_key_denial(f->z, APEX, f->v->key);
	f->z->nsec3 = was;
	resign(f);
}
static void f_leftover(struct fx *f) { den(f, "www.zone.example.")->key[1] = 200; resign(f); }
static void f_leftover_low(struct fx *f)
{
	f->z->set = 7;
	rebuild(f, 0);
	den(f, "www.zone.example.")->key[1] = 2;
	resign(f);
}
static void f_nsec_data(struct fx *f) { fresh(f, "www.zone.example.", 47, 300, "zone.example. =000140"); resign(f); }
static void f_nsec3_data(struct fx *f) { fresh(f, "www.zone.example.", 50, 300, "=0100000000"); resign(f); }
static void f_rrsig_data(struct fx *f) { fresh(f, "www.zone.example.", 46, 300, "=0010 =0d03 =0000012c =00000000 =00000000 =0000 zone.example. =00"); resign(f); }
static void f_chain_ttl(struct fx *f) { set_ttl(f, den(f, "www.zone.example."), 601); }
static void f_chain_ttl_less(struct fx *f) { set_ttl(f, den(f, APEX), 599); }
static void f_chain_ttl_soa(struct fx *f) /* the SOA changed, one record was signed again with the old TTL */
{
	rec(f, APEX, 6);
	f->v->rr[0].data[f->v->rr[0].len - 1] ^= 1;
	resign(f);
	den(f, "www.zone.example.");
	f->z->tweak.expiration = TZ_NOW + 15 * 86400;
	resign(f);
}
static void f_src(struct fx *f) { den(f, "www.zone.example."); f->v->src[f->v->src_len - 2] ^= 1; resign(f); }
static void f_src_none(struct fx *f) { den(f, "www.zone.example.")->flags &= (uint8_t)~2; resign(f); }
static void f_chain_two(struct fx *f)
{
	den(f, "www.zone.example.");
	f->v->rr[1] = f->v->rr[0];
	f->v->rr[1].data[f->v->rr[1].len++] = 1;
	f->v->nrr = 2;
	resign(f);
}

/* --- the apex and the version --- */

static void f_keys_gone(struct fx *f) { del_rec(f, APEX, 48); bit(f, APEX, 48); }
static void f_keys_more(struct fx *f)
{
	tz_add_key(f->z, 13, 256, false, false);
	rebuild(f, 0);
	f->z->key[f->z->nkeys - 1].hidden = true;
}
static void f_keys_less(struct fx *f)
{
	f->z->key[1].hidden = true;
	rebuild(f, 0);
	f->z->key[1].hidden = false;
}
static void f_alg_gone(struct fx *f)
{
	for (f->z->nkeys = 4; f->z->nkeys > 2; f->z->nkeys--)
		EVP_PKEY_free(f->z->key[f->z->nkeys - 1].pkey);
	rebuild(f, 0);
}
static void f_unsigned(struct fx *f)
{
	while (f->z->nkeys)
		EVP_PKEY_free(f->z->key[--f->z->nkeys].pkey);
	f->z->nsec3 = false;
	f->run->unsigned_zone = true;
	rebuild(f, 0);
}
static void f_two_soa(struct fx *f)
{
	rec(f, APEX, 6);
	f->v->rr[1] = f->v->rr[0];
	f->v->rr[1].data[f->v->rr[1].len - 1]++;
	f->v->nrr = 2;
	resign(f);
}
static void f_no_soa(struct fx *f) { del_rec(f, APEX, 6); bit(f, APEX, 6); }
static void f_no_ns(struct fx *f) { del_rec(f, APEX, 2); bit(f, APEX, 2); }
static void f_soa_off(struct fx *f)
{
	tz_add(f->z, "www.zone.example.", 6, 300, "a. b. =0000000a =00000e10 =00000384 =00093a80 =00000258");
	rebuild(f, 0);
}
static void f_key_ttl(struct fx *f) { set_ttl(f, rec(f, APEX, 48), 60); }
static void f_cds_ttl(struct fx *f) { set_ttl(f, rec(f, APEX, 59), 60); }
static void f_clock(struct fx *f) { rec(f, "www.zone.example.", 16); f->run->now = TZ_NOW - 7200; }
static void f_clock_zero(struct fx *f) { override(f); f->params.now = 0; }

/* --- stored form and expiry index --- */

static void f_crc(struct fx *f) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, "www.zone.example.", 16, k), 30, 4, false); }
static void f_crc_glue(struct fx *f) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, "ns.sub.zone.example.", 1, k), 20, 4, false); }
static void f_crc_chain(struct fx *f) { uint8_t k[512]; poke(f, k, tz_key_denial(f->z, "www.zone.example.", k), 30, 4, false); }
static void f_format(struct fx *f) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, "www.zone.example.", 16, k), 0, 3, true); }
static void f_flag_bits(struct fx *f) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, "www.zone.example.", 16, k), 5, 0x80, true); }
static void f_order(struct fx *f)
{
	rec(f, APEX, 2);
	f->v->rr[2] = f->v->rr[0];
	f->v->rr[0] = f->v->rr[1];
	f->v->rr[1] = f->v->rr[2];
	resign(f);
}
static void f_dup(struct fx *f) { rec(f, "dup.zone.example.", 15)->rr[2].flags = 0; f->v->flags &= (uint8_t)~4; resign(f); }
static void f_false_dup(struct fx *f) { rec(f, APEX, 2)->rr[1].flags = 1; f->v->flags |= 4; resign(f); }
static void f_ttl_flag(struct fx *f) { rec(f, "www.zone.example.", 16)->flags |= 8; resign(f); }
static void f_owner(struct fx *f) { rec(f, "mixed.zone.example.", 16)->owner[1] ^= 1; resign(f); }
static void f_outside(struct fx *f) { fresh(f, "www.example.", 16, 300, "'x"); tv_store(f->z, f->m, f->v); }
static void f_upper_key(struct fx *f) { fresh(f, "www.zone.example.", 16, 300, "'x"); f->v->key[f->v->klen - 5] = 'W'; tv_store(f->z, f->m, f->v); }
static void f_bad_rdata(struct fx *f) { rec(f, "dup.zone.example.", 15)->rr[0].len--; tv_store(f->z, f->m, f->v); }
static size_t entry(struct fx *f, uint8_t *key)
{
	key[0] = 0x40;
	put_be64(key + 1, f->v->exp_time);
	put_be64(key + 9, f->v->exp_seq);
	return 17;
}
static void touch(struct fx *f) { rec(f, "www.zone.example.", 16); resign(f); rec(f, "www.zone.example.", 16); }
static void f_no_entry(struct fx *f)
{
	struct kv *kv = kvmem_open(f->m);
	uint8_t key[17];

	touch(f);
	MUST(!kv_del(kv, key, entry(f, key)));
	kv_close(kv);
}
static void f_stale_entry(struct fx *f) /* the entry of the base's value was left */
{
	struct tv *old = malloc(sizeof *old);
	uint8_t key[17], val[600] = { 1 };

	*old = *rec(f, "www.zone.example.", 16);
	touch(f);
	*f->v = *old;
	memcpy(val + 5, old->key, old->klen);
	put_be32(val + 1, crc32c(0, old->key, old->klen));
	put_raw(f, key, entry(f, key), val, 5 + old->klen);
	free(old);
}
static void f_extra_entry(struct fx *f)
{
	uint8_t key[17], val[100] = { 1 };

	rec(f, "www.zone.example.", 16)->exp_seq = 999999;
	memcpy(val + 5, f->v->key, f->v->klen);
	put_be32(val + 1, crc32c(0, f->v->key, f->v->klen));
	put_raw(f, key, entry(f, key), val, 5 + f->v->klen);
}
static void f_wrong_entry(struct fx *f) /* points to another RRset */
{
	uint8_t key[17], val[100] = { 1 };
	size_t n;

	touch(f);
	n = tz_key_record(f->z, "h1.hosts.zone.example.", 1, val + 5);
	put_be32(val + 1, crc32c(0, val + 5, n));
	put_raw(f, key, entry(f, key), val, 5 + n);
}
static void f_crc_entry(struct fx *f) { uint8_t key[17]; touch(f); poke(f, key, entry(f, key), 8, 1, false); }
static void f_exp_time(struct fx *f) { rec(f, "www.zone.example.", 16)->exp_time += 60; tv_store(f->z, f->m, f->v); }
static void f_exp_wrap(struct fx *f) { rec(f, "www.zone.example.", 16)->exp_time += 1ull << 32; tv_store(f->z, f->m, f->v); }

/* --- a change that was not carried through --- */

static void f_new_name(struct fx *f) { tz_add(f->z, "new.zone.example.", 1, 300, "=c0000201"); rebuild(f, 0x30); }
static void f_new_deep(struct fx *f)
{
	tz_add(f->z, "x.y.new.zone.example.", 1, 300, "=c0000201");
	rebuild(f, 0);
	del_den(f, "y.new.zone.example.");
	relink(f);
}
static void f_old_name(struct fx *f) { tz_del(f->z, "www.zone.example.", 0); rebuild(f, 0x30); }
static void f_old_ent(struct fx *f) { tz_del(f->z, "a.b.c.d.zone.example.", 0); rebuild(f, 0); add_ghost(f, "c.d.zone.example."); }
static void f_new_type(struct fx *f) { tz_add(f->z, "www.zone.example.", 1, 300, "=c0000201"); rebuild(f, 0x30); }
static void f_old_type(struct fx *f) { tz_del(f->z, "types.zone.example.", 65280); rebuild(f, 0x30); }
static void f_new_cut(struct fx *f) { tz_add(f->z, "hosts.zone.example.", 2, 300, "ns.other.test."); rebuild(f, 0x30); }
static void below_stays_signed(struct fx *f)
{
	rebuild(f, 0);
	rec(f, "h7.hosts.zone.example.", 1);
	resign(f);
}
static void f_new_cut_signed(struct fx *f) { tz_add(f->z, "hosts.zone.example.", 2, 300, "ns.other.test."); below_stays_signed(f); }
static void f_new_dname(struct fx *f) { tz_add(f->z, "hosts.zone.example.", 39, 300, "other.test."); rebuild(f, 0x30); }
static void f_new_dname_signed(struct fx *f) { tz_add(f->z, "hosts.zone.example.", 39, 300, "other.test."); below_stays_signed(f); }
static void f_old_cut(struct fx *f) { tz_del(f->z, "sub.zone.example.", 2); rebuild(f, 0x30); }
static void f_old_cut_unsigned(struct fx *f)
{
	tz_del(f->z, "sub.zone.example.", 2);
	rebuild(f, 0);
	rec(f, "ns.x.sub.zone.example.", 28);
	unsign(f);
}
static void f_old_cut_ent(struct fx *f)
{
	tz_del(f->z, "sub.zone.example.", 2);
	rebuild(f, 0);
	del_den(f, "x.sub.zone.example.");
	relink(f);
}
static void f_old_dname(struct fx *f) { tz_del(f->z, "dn.zone.example.", 39); rebuild(f, 0x30); }
static void f_new_cut_ent(struct fx *f)
{
	tz_add(f->z, "c.d.zone.example.", 2, 300, "ns.other.test.");
	rebuild(f, 0);
	add_ghost(f, "b.c.d.zone.example.");
}
static void f_new_ds(struct fx *f) { tz_add(f->z, "zzz.zone.example.", 43, 300, "=00010d02 =0011"); rebuild(f, 0x30); }
static void f_old_ds(struct fx *f) { tz_del(f->z, "secure.zone.example.", 43); rebuild(f, 0x30); }
static void f_old_sub(struct fx *f)
{
	tz_del(f->z, "sub.zone.example.", 0);
	tz_del(f->z, "ns.sub.zone.example.", 0);
	tz_del(f->z, "ns.x.sub.zone.example.", 0);
	tz_del(f->z, "deep.cut.below.sub.zone.example.", 0);
	rebuild(f, 0x30);
}
static void f_apex_dname(struct fx *f) { tz_add(f->z, APEX, 39, 300, "other.test."); rebuild(f, 0x30); }

/* --- unsigned versions --- */

static void keyed(struct fx *f) { tz_add_key(f->z, 13, 257, true, true); }
static void f_un_sig(struct fx *f) { keyed(f); rec(f, "www.zone.example.", 16); tv_sign(f->z, f->v); tv_put(f->m, f->v); }
static void f_un_chain(struct fx *f) { fresh(f, "www.zone.example.", 16, 1, "'x"); f->v->klen = tz_key_denial(f->z, APEX, f->v->key); tv_put(f->m, f->v); }
static void f_un_entry(struct fx *f)
{
	uint8_t key[17], val[100] = { 1 };

	rec(f, "www.zone.example.", 16);
	memcpy(val + 5, f->v->key, f->v->klen);
	put_be32(val + 1, crc32c(0, f->v->key, f->v->klen));
	put_raw(f, key, entry(f, key), val, 5 + f->v->klen);
}

#define F(name, check, variants) { #name, GATE_##check, variants, 0, f_##name }
#define W(name, check, variants) { #name, GATE_##check, variants, WHOLE_ONLY, f_##name }
#define C(name, check, variants) { #name, GATE_##check, variants, CHANGE_ONLY, f_##name }
const struct fault fault_table[] = {
	F(rdata, BAD_SIG, ON_ALL | ON_TWO | ON_CSK), F(short_sig, BAD_SIG, ON_NSEC | ON_TWO | ON_CSK),
	F(long_sig, BAD_SIG, ON_NSEC | ON_TWO | ON_CSK), F(zero_sig, BAD_SIG, ON_NSEC | ON_CSK),
	F(other_data, BAD_SIG, ON_NSEC | ON_CSK), F(same_tag, BAD_SIG, ON_ALL), F(alien, UNKNOWN_KEY, ON_ALL),
	F(unusable, UNKNOWN_KEY, ON_NSEC), F(labels, LABELS, ON_ALL), F(labels_more, LABELS, ON_ALL),
	F(labels_wild, LABELS, ON_ALL), F(labels_nowild, LABELS, ON_ALL), F(labels_chain, LABELS, ON_ALL),
	F(orig_ttl, SIG_TTL, ON_ALL), F(new_ttl, SIG_TTL, ON_ALL), F(not_lowest, TTL, ON_ALL),
	F(signer_case, SIGNER, ON_ALL), F(signer_other, SIGNER, ON_ALL), F(signer_parent, SIGNER, ON_ALL),
	F(covered, COVERED, ON_ALL), F(future, TIMES, ON_ALL), F(expired, TIMES, ON_ALL), F(soon, TIMES, ON_ALL),
	F(soon_chain, TIMES, ON_ALL), F(soon_key, TIMES, ON_ALL), F(no_sig, MISSING_SIG, ON_ALL | ON_TWO | ON_CSK),
	F(no_sig_soa, MISSING_SIG, ON_ALL), F(no_sig_ds, MISSING_SIG, ON_ALL), F(no_sig_chain, MISSING_SIG, ON_ALL),
	F(no_sig_apex_chain, MISSING_SIG, ON_ALL), F(no_sig_keys, MISSING_SIG, ON_ALL | ON_CSK), F(no_sig_keys, ROLE, ON_ALL),
	F(one_alg, MISSING_ALG, ON_TWO), F(one_alg, MISSING_SIG, ON_TWO), F(one_alg_keys, MISSING_ALG, ON_TWO),
	F(one_alg_chain, MISSING_ALG, ON_TWO), F(ksk_data, MISSING_SIG, ON_ALL), F(ksk_data, ROLE, ON_ALL),
	F(zsk_keys, ROLE, ON_ALL), F(zsk_cds, ROLE, ON_ALL), F(zsk_cdnskey, ROLE, ON_ALL), F(zsk_too, ROLE, ON_ALL),
	F(twice, DUPLICATE_SIG, ON_ALL), F(twice_same, DUPLICATE_SIG, ON_ALL), F(glue, SIGNED_MUST_NOT, ON_ALL),
	F(glue_at_cut, SIGNED_MUST_NOT, ON_ALL), F(cut_ns, SIGNED_MUST_NOT, ON_ALL), F(cut_ns_secure, SIGNED_MUST_NOT, ON_ALL),
	F(below_dname, SIGNED_MUST_NOT, ON_ALL), F(ds_below, SIGNED_MUST_NOT, ON_ALL), F(sig_short, STORED, ON_ALL),

	F(gap, CHAIN_GAP, ON_ALL), F(gap_apex, CHAIN_GAP, ON_ALL), F(gap_wild, CHAIN_GAP, ON_ALL),
	F(gap_cut, CHAIN_GAP, ON_NSEC | ON_NSEC3), F(gap_secure, CHAIN_GAP, ON_ALL), F(gap_ent, CHAIN_GAP, ON_HASHED),
	F(gap_ent_cut, CHAIN_GAP, ON_HASHED), F(gap_ent_nul, CHAIN_GAP, ON_HASHED), F(hole, CHAIN_GAP, ON_ALL),
	F(hole, CHAIN_LINK, ON_ALL), F(skip, CHAIN_LINK, ON_ALL), F(self, CHAIN_LINK, ON_ALL), F(next_case, CHAIN_LINK, ON_NSEC),
	F(last, CHAIN_LINK, ON_ALL), F(map_more, BITMAP, ON_ALL), F(map_less, BITMAP, ON_ALL), F(map_rrsig, BITMAP, ON_ALL),
	F(map_nsec, BITMAP, ON_ALL), F(map_nsec3, BITMAP, ON_ALL), F(map_glue, BITMAP, ON_NSEC | ON_NSEC3),
	F(map_no_ns, BITMAP, ON_ALL), F(map_no_ds, BITMAP, ON_ALL), F(map_ent, BITMAP, ON_HASHED),
	F(map_cut_sig, BITMAP, ON_NSEC | ON_NSEC3), F(map_soa, BITMAP, ON_ALL), F(map_dnskey, BITMAP, ON_ALL),
	F(map_window, BITMAP, ON_ALL), F(map_tail, BITMAP, ON_ALL), F(ghost, CHAIN_GHOST, ON_ALL),
	F(ghost_glue, CHAIN_GHOST, ON_ALL), F(ghost_dname, CHAIN_GHOST, ON_ALL), F(ghost_ent, CHAIN_GHOST, ON_HASHED),
	F(ghost_nsec_ent, CHAIN_GHOST, ON_NSEC), F(ghost_insecure, CHAIN_GHOST, ON_OPTOUT), F(flag, OPT_OUT, ON_HASHED),
	F(flag_apex, OPT_OUT, ON_HASHED), F(flag_other, OPT_OUT, ON_HASHED), F(chain_salt, NSEC3_PARAM, ON_NSEC3),
	F(chain_iter, NSEC3_PARAM, ON_HASHED), F(chain_alg, NSEC3_PARAM, ON_HASHED), F(param_iter, NSEC3_PARAM, ON_HASHED),
	F(param_salt, NSEC3_PARAM, ON_NSEC3), F(param_flags, NSEC3_PARAM, ON_HASHED), F(param_gone, NSEC3_PARAM, ON_HASHED),
	F(param_two, NSEC3_PARAM, ON_HASHED), F(param_ttl, TTL, ON_HASHED), F(param_nsec, NSEC3_PARAM, ON_NSEC),
	F(iterations, NSEC3_PARAM, ON_NSEC3), F(mixed, MIXED_DENIAL, ON_ALL), F(leftover, MIXED_DENIAL, ON_HASHED),
	F(leftover_low, MIXED_DENIAL, ON_HASHED), F(nsec_data, MIXED_DENIAL, ON_ALL), F(nsec3_data, MIXED_DENIAL, ON_ALL),
	F(rrsig_data, STORED, ON_ALL), F(chain_ttl, DENIAL_TTL, ON_ALL), F(chain_ttl_less, DENIAL_TTL, ON_ALL), F(chain_ttl_soa, DENIAL_TTL, ON_ALL),
	W(src, STORED, ON_HASHED), C(src, CHAIN_GHOST, ON_HASHED), F(src_none, STORED, ON_HASHED), F(chain_two, STORED, ON_ALL),

	F(keys_gone, APEX, ON_ALL), F(keys_gone, DOWNGRADE, ON_ALL), F(keys_more, APEX, ON_ALL), F(keys_less, APEX, ON_ALL),
	F(alg_gone, DOWNGRADE, ON_TWO), F(unsigned, DOWNGRADE, ON_ALL), F(two_soa, APEX, ON_ALL), F(no_soa, APEX, ON_ALL),
	F(no_ns, APEX, ON_ALL), F(soa_off, APEX, ON_ALL), F(key_ttl, TTL, ON_ALL), F(cds_ttl, TTL, ON_ALL),
	F(clock, CLOCK, ON_ALL), F(clock_zero, CLOCK, ON_NSEC),

	F(crc, STORED, ON_ALL), F(crc_glue, STORED, ON_ALL), F(crc_chain, STORED, ON_ALL),
	F(format, STORED, ON_ALL), F(flag_bits, STORED, ON_ALL), F(order, STORED, ON_ALL), F(dup, STORED, ON_ALL),
	F(false_dup, STORED, ON_ALL), F(ttl_flag, STORED, ON_ALL), F(owner, STORED, ON_ALL), F(outside, STORED, ON_ALL),
	F(upper_key, STORED, ON_ALL), F(bad_rdata, STORED, ON_ALL), F(no_entry, EXPIRY_INDEX, ON_ALL),
	F(stale_entry, EXPIRY_INDEX, ON_ALL), W(extra_entry, EXPIRY_INDEX, ON_ALL), F(wrong_entry, EXPIRY_INDEX, ON_ALL),
	F(crc_entry, STORED, ON_ALL), F(exp_time, EXPIRY_INDEX, ON_ALL), F(exp_wrap, EXPIRY_INDEX, ON_ALL),

	F(new_name, CHAIN_GAP, ON_ALL), F(new_deep, CHAIN_GAP, ON_HASHED), F(old_name, CHAIN_GHOST, ON_ALL),
	F(old_ent, CHAIN_GHOST, ON_HASHED), F(new_type, BITMAP, ON_ALL), F(old_type, BITMAP, ON_ALL),
	F(new_cut, CHAIN_GHOST, ON_ALL), F(new_cut_signed, SIGNED_MUST_NOT, ON_ALL), F(new_dname, CHAIN_GHOST, ON_ALL),
	F(new_dname_signed, SIGNED_MUST_NOT, ON_ALL), F(old_cut, CHAIN_GAP, ON_ALL), F(old_cut_unsigned, MISSING_SIG, ON_ALL),
	F(old_cut_ent, CHAIN_GAP, ON_HASHED), F(old_dname, CHAIN_GAP, ON_ALL), F(new_cut_ent, CHAIN_GHOST, ON_HASHED),
	F(new_ds, BITMAP, ON_NSEC | ON_NSEC3), F(new_ds, CHAIN_GAP, ON_OPTOUT), F(old_ds, BITMAP, ON_NSEC | ON_NSEC3),
	F(old_ds, CHAIN_GHOST, ON_OPTOUT), F(old_sub, CHAIN_GHOST, ON_NSEC | ON_NSEC3), F(apex_dname, CHAIN_GHOST, ON_ALL),

	F(un_sig, STRUCTURE, ON_UNSIGNED), F(un_chain, STRUCTURE, ON_UNSIGNED), F(un_entry, STRUCTURE, ON_UNSIGNED),
};
const size_t fault_count = sizeof fault_table / sizeof fault_table[0];
