/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of seeded faults (gate_fault.h). */
#include "gate_fault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"
#include "gate_spoil.h"

#define FAULT(name) static void f_##name(struct fx *f) /* a row of the table below calls it */
#define WWW "www.zone.example."
#define HOSTS "hosts.zone.example."

/* --- signatures --- */

FAULT(rdata) { rec(f, WWW, 16)->rr[0].data[1] ^= 1; store(f); }
FAULT(short_sig) { rec(f, WWW, 16)->sig[0].len--; store(f); }
FAULT(long_sig) { rec(f, WWW, 16)->sig[0].len++; store(f); }
FAULT(zero_sig) { rec(f, WWW, 16); memset(f->v->sig[0].data + f->v->sig[0].len - 64, 0, 64); store(f); }
FAULT(other_data) /* a signature made for another RRset */
{
	struct tv *other = malloc(sizeof *other);

	*other = *rec(f, "h1.hosts.zone.example.", 1);
	rec(f, "h2.hosts.zone.example.", 1)->sig[0] = other->sig[0];
	f->v->exp_time = other->exp_time;
	store(f);
	free(other);
}
FAULT(same_tag) /* another key that claims the tag of the ZSK */
{
	struct tz_key keep = f->z->key[1];

	rec(f, WWW, 16);
	tz_add_key(f->z, 13, 256, false, false);
	f->z->key[1].pkey = f->z->key[--f->z->nkeys].pkey;
	resign(f);
	EVP_PKEY_free(f->z->key[1].pkey);
	f->z->key[1] = keep;
}
FAULT(alien) /* one signature more, by a key nobody knows */
{
	rec(f, WWW, 16);
	tz_add_key(f->z, 13, 256, false, false);
	tv_sign_with(f->z, f->v, f->z->nkeys - 1);
	store(f);
	EVP_PKEY_free(f->z->key[--f->z->nkeys].pkey);
}
FAULT(unusable) /* protocol 4: the key cannot be used */
{
	override(f);
	f->z->key[1].rdata[2] = 4;
}
FAULT(labels) { rec(f, WWW, 16); f->z->tweak.labels = -1; resign(f); }
FAULT(labels_more) { rec(f, WWW, 16); f->z->tweak.labels = 1; resign(f); }
FAULT(labels_wild) { rec(f, "*.wild.zone.example.", 16); f->z->tweak.labels = 1; resign(f); }
FAULT(labels_nowild) { rec(f, "not.*.star.zone.example.", 16); f->z->tweak.labels = -1; resign(f); }
FAULT(labels_chain) { den(f, WWW); f->z->tweak.labels = -1; resign(f); }
FAULT(orig_ttl) { rec(f, WWW, 16); f->z->tweak.ttl = 299; resign(f); }
FAULT(new_ttl)
{
	struct tv *v = rec(f, WWW, 16);

	v->ttl = v->rr[0].ttl = 299;
	tv_store(f->z, f->m, v);
}
FAULT(not_lowest) { rec(f, WWW, 16)->ttl = 299; resign(f); }
FAULT(signer_case) { rec(f, WWW, 16); f->z->tweak.signer = "Zone.example."; resign(f); }
FAULT(signer_other) { rec(f, WWW, 16); f->z->tweak.signer = "zone.test."; resign(f); }
FAULT(signer_parent) { den(f, WWW); f->z->tweak.signer = "example."; resign(f); }
FAULT(covered) { rec(f, WWW, 16); f->z->tweak.covered = 1; resign(f); }
FAULT(future) { rec(f, WWW, 16); f->z->tweak.inception = TZ_NOW + 60; resign(f); }
FAULT(expired) { rec(f, WWW, 16); f->z->tweak.expiration = TZ_NOW - 1; resign(f); }
FAULT(soon) { rec(f, WWW, 16); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }
FAULT(soon_chain) { den(f, WWW); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }
FAULT(soon_key) { rec(f, APEX, 48); f->z->tweak.expiration = TZ_NOW + 86399; resign(f); }

static void unsign(struct fx *f) { f->v->nsig = 0; store(f); }
FAULT(no_sig) { rec(f, WWW, 16); unsign(f); }
FAULT(no_sig_soa) { rec(f, APEX, 6); unsign(f); }
FAULT(no_sig_ds) { rec(f, "secure.zone.example.", 43); unsign(f); }
FAULT(no_sig_chain) { den(f, WWW); unsign(f); }
FAULT(no_sig_apex_chain) { den(f, APEX); unsign(f); }
FAULT(no_sig_keys) { rec(f, APEX, 48); unsign(f); }
FAULT(one_alg) { rec(f, WWW, 16)->nsig = 0; tv_sign_with(f->z, f->v, 1); store(f); }
FAULT(one_alg_keys) { rec(f, APEX, 48)->nsig = 0; tv_sign_with(f->z, f->v, 0); store(f); }
FAULT(one_alg_chain) { den(f, WWW)->nsig = 0; tv_sign_with(f->z, f->v, 3); store(f); }
FAULT(ksk_data) { rec(f, WWW, 16)->nsig = 0; tv_sign_with(f->z, f->v, 0); store(f); }
static void sign_by_zsk(struct fx *f) { f->v->nsig = 0; tv_sign_with(f->z, f->v, 1); store(f); }
FAULT(zsk_keys) { rec(f, APEX, 48); sign_by_zsk(f); }
FAULT(zsk_cds) { rec(f, APEX, 59); sign_by_zsk(f); }
FAULT(zsk_cdnskey) { rec(f, APEX, 60); sign_by_zsk(f); }
FAULT(zsk_too) { rec(f, APEX, 59); tv_sign_with(f->z, f->v, 1); store(f); }
FAULT(twice) { rec(f, WWW, 16); tv_sign_with(f->z, f->v, 1); store(f); }
FAULT(twice_same)
{
	rec(f, WWW, 16);
	f->v->sig[1] = f->v->sig[0];
	f->v->nsig = 2;
	store(f);
}
FAULT(glue) { rec(f, "ns.sub.zone.example.", 1); resign(f); }
FAULT(glue_at_cut) { rec(f, "sub.zone.example.", 1); resign(f); }
FAULT(cut_ns) { rec(f, "sub.zone.example.", 2); resign(f); }
FAULT(cut_ns_secure) { rec(f, "secure.zone.example.", 2); resign(f); }
FAULT(below_dname) { rec(f, "x.y.below.dn.zone.example.", 16); resign(f); }
FAULT(ds_below) { rec(f, "deep.cut.below.sub.zone.example.", 43); resign(f); }
FAULT(sig_short) { rec(f, WWW, 16)->sig[0].len = 17; store(f); }

/* --- the chain --- */

FAULT(gap) { del_den(f, WWW); relink(f); }
FAULT(gap_apex) { del_den(f, APEX); relink(f); }
FAULT(gap_wild) { del_den(f, "*.wild.zone.example."); relink(f); }
FAULT(gap_cut) { del_den(f, "in.ent1.ent2.zone.example."); relink(f); }
FAULT(gap_secure) { del_den(f, "secure.zone.example."); relink(f); }
FAULT(gap_ent) { del_den(f, "b.c.d.zone.example."); relink(f); }
FAULT(gap_ent_cut) { del_den(f, "ent2.zone.example."); relink(f); }
FAULT(gap_ent_nul) { del_den(f, "\\001\\000\\002.zone.example."); relink(f); }
FAULT(hole) { del_den(f, WWW); }
FAULT(skip) /* points over its follower */
{
	struct kv *kv = kvmem_open(f->m);
	struct kv_item it;
	uint8_t key[512], next[300];

	MUST(!kv_seek(kv, key, tz_key_denial(f->z, WWW, key), &it));
	for (int i = 0; i < 2; i++) {
		uint8_t start[2] = { 0x30, it.key[1] };

		if (kv_next(kv, &it) || it.key[0] != 0x30)
			MUST(!kv_seek(kv, start, 2, &it));
	}
	den(f, WWW);
	set_next(f, next, next_of(f, &it, next));
	kv_close(kv);
	resign(f);
}
FAULT(self)
{
	uint8_t next[300];
	struct kv_item it;

	den(f, WWW);
	it.key = f->v->key;
	it.klen = f->v->klen;
	set_next(f, next, next_of(f, &it, next));
	resign(f);
}
FAULT(next_case)
{
	den(f, WWW);
	for (size_t i = 0; i < map_at(f, f->v); i++) {
		if (f->v->rr[0].data[i] == 'z')
			f->v->rr[0].data[i] = 'Z';
	}
	resign(f);
}
FAULT(last) /* the last record does not go round */
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
static void bit(struct fx *f, const char *owner, unsigned type)
{
	den(f, owner);
	flip_type(f, type);
	resign(f);
}
FAULT(map_more) { bit(f, WWW, 28); }
FAULT(map_less) { bit(f, "*.wild.zone.example.", 15); }
FAULT(map_rrsig) { bit(f, WWW, 46); }
FAULT(map_nsec) { bit(f, WWW, 47); }
FAULT(map_nsec3) { bit(f, WWW, 50); }
FAULT(map_glue) { bit(f, "zzz.zone.example.", 1); }
FAULT(map_no_ns) { bit(f, "secure.zone.example.", 2); }
FAULT(map_no_ds) { bit(f, "secure.zone.example.", 43); }
FAULT(map_ent) { bit(f, "b.c.d.zone.example.", 16); }
FAULT(map_cut_sig) { bit(f, "zzz.zone.example.", 46); }
FAULT(map_soa) { bit(f, APEX, 6); }
FAULT(map_dnskey) { bit(f, APEX, 48); }
FAULT(map_window) { bit(f, "types.zone.example.", 1); }
FAULT(map_tail) /* a trailing zero octet: not the canonical form */
{
	den(f, WWW);
	f->v->rr[0].data[map_at(f, f->v) + 1]++;
	f->v->rr[0].data[f->v->rr[0].len++] = 0;
	resign(f);
}
FAULT(ghost) { add_ghost(f, "nobody.zone.example."); }
FAULT(ghost_glue) { add_ghost(f, "ns.sub.zone.example."); }
FAULT(ghost_dname) { add_ghost(f, "below.dn.zone.example."); }
FAULT(ghost_ent) { add_ghost(f, "x.sub.zone.example."); }
FAULT(ghost_nsec_ent) { add_ghost(f, "b.c.d.zone.example."); }
/* It is for a name that has its record, and stands under the hash of another. */
FAULT(ghost_hash)
{
	den(f, "secure.zone.example.");
	f->v->klen = tz_key_denial(f->z, "nobody.zone.example.", f->v->key);
	resign(f);
	relink(f);
}
FAULT(ghost_insecure) { add_ghost(f, "zzz.zone.example."); }
static void flags(struct fx *f, const char *owner) { den(f, owner)->rr[0].data[1] ^= 1; resign(f); }
FAULT(flag) { flags(f, WWW); }
FAULT(flag_apex) { flags(f, APEX); }
FAULT(flag_other) { den(f, APEX)->rr[0].data[1] ^= 2; resign(f); }
FAULT(chain_salt) { den(f, WWW)->rr[0].data[5] ^= 1; resign(f); }
FAULT(chain_iter) { den(f, WWW)->rr[0].data[3] ^= 1; resign(f); }
FAULT(chain_alg) { den(f, WWW)->rr[0].data[0] = 2; resign(f); }
FAULT(param_iter) { rec(f, APEX, 51)->rr[0].data[3] ^= 1; resign(f); }
FAULT(param_salt) { rec(f, APEX, 51)->rr[0].data[6] ^= 1; resign(f); }
FAULT(param_flags) { rec(f, APEX, 51)->rr[0].data[1] = 1; resign(f); }
FAULT(param_gone) { del_rec(f, APEX, 51); }
FAULT(param_two)
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
FAULT(param_ttl) { set_ttl(f, rec(f, APEX, 51), 60); }
FAULT(param_nsec) { fresh(f, APEX, 51, 0, "=0100000000"); resign(f); bit(f, APEX, 51); }
FAULT(iterations) { f->z->iterations = 51; rebuild(f, 0); }
FAULT(mixed) /* one record of the other kind in DENIAL */
{
	bool was = f->z->nsec3;

	den(f, APEX);
	f->z->nsec3 = !was;
	f->v->klen = tz_key_denial(f->z, APEX, f->v->key);
	f->z->nsec3 = was;
	resign(f);
}
FAULT(leftover) { den(f, WWW)->key[1] = 200; resign(f); }
FAULT(leftover_low)
{
	f->z->set = 7;
	rebuild(f, 0);
	den(f, WWW)->key[1] = 2;
	resign(f);
}
FAULT(nsec_data) { fresh(f, WWW, 47, 300, "zone.example. =000140"); resign(f); }
FAULT(nsec3_data) { fresh(f, WWW, 50, 300, "=0100000000"); resign(f); }
FAULT(rrsig_data)
{
	fresh(f, WWW, 46, 300,
	      "=0010 =0d03 =0000012c =00000000 =00000000 =0000 zone.example. =00");
	resign(f);
}
FAULT(chain_ttl) { set_ttl(f, den(f, WWW), 601); }
FAULT(chain_ttl_less) { set_ttl(f, den(f, APEX), 599); }
FAULT(chain_ttl_soa) /* the SOA changed, one record was signed again with the old TTL */
{
	rec(f, APEX, 6);
	f->v->rr[0].data[f->v->rr[0].len - 1] ^= 1;
	resign(f);
	den(f, WWW);
	f->z->tweak.expiration = TZ_NOW + 15 * 86400;
	resign(f);
}
FAULT(src) { den(f, WWW); f->v->src[f->v->src_len - 2] ^= 1; resign(f); }
FAULT(src_none) { den(f, WWW)->flags &= (uint8_t)~2; resign(f); }
FAULT(chain_two)
{
	den(f, WWW);
	f->v->rr[1] = f->v->rr[0];
	f->v->rr[1].data[f->v->rr[1].len++] = 1;
	f->v->nrr = 2;
	resign(f);
}

/* --- the apex and the version --- */

FAULT(keys_gone) { del_rec(f, APEX, 48); bit(f, APEX, 48); }
FAULT(keys_more)
{
	tz_add_key(f->z, 13, 256, false, false);
	rebuild(f, 0);
	f->z->key[f->z->nkeys - 1].hidden = true;
}
FAULT(keys_less) { f->z->key[1].hidden = true; rebuild(f, 0); f->z->key[1].hidden = false; }
FAULT(alg_gone)
{
	for (f->z->nkeys = 4; f->z->nkeys > 2; f->z->nkeys--)
		EVP_PKEY_free(f->z->key[f->z->nkeys - 1].pkey);
	rebuild(f, 0);
}
FAULT(unsigned)
{
	while (f->z->nkeys)
		EVP_PKEY_free(f->z->key[--f->z->nkeys].pkey);
	f->z->nsec3 = false;
	f->run->unsigned_zone = true;
	rebuild(f, 0);
}
FAULT(two_soa)
{
	rec(f, APEX, 6);
	f->v->rr[1] = f->v->rr[0];
	f->v->rr[1].data[f->v->rr[1].len - 1]++;
	f->v->nrr = 2;
	resign(f);
}
FAULT(no_soa) { del_rec(f, APEX, 6); bit(f, APEX, 6); }
FAULT(no_ns) { del_rec(f, APEX, 2); bit(f, APEX, 2); }
FAULT(soa_off)
{
	tz_add(f->z, WWW, 6, 300, "a. b. =0000000a =00000e10 =00000384 =00093a80 =00000258");
	rebuild(f, 0);
}
FAULT(key_ttl) { set_ttl(f, rec(f, APEX, 48), 60); }
FAULT(cds_ttl) { set_ttl(f, rec(f, APEX, 59), 60); }
FAULT(clock) { rec(f, WWW, 16); f->run->now = TZ_NOW - 7200; }
FAULT(clock_zero) { override(f); f->params.now = 0; }

/* --- stored form and expiry index --- */

FAULT(crc) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, WWW, 16, k), 30, 4, false); }
FAULT(crc_glue)
{
	uint8_t k[512];

	poke(f, k, tz_key_record(f->z, "ns.sub.zone.example.", 1, k), 20, 4, false);
}
FAULT(crc_chain) { uint8_t k[512]; poke(f, k, tz_key_denial(f->z, WWW, k), 30, 4, false); }
FAULT(format) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, WWW, 16, k), 0, 3, true); }
FAULT(flag_bits) { uint8_t k[512]; poke(f, k, tz_key_record(f->z, WWW, 16, k), 5, 0x80, true); }
FAULT(order)
{
	rec(f, APEX, 2);
	f->v->rr[2] = f->v->rr[0];
	f->v->rr[0] = f->v->rr[1];
	f->v->rr[1] = f->v->rr[2];
	resign(f);
}
FAULT(dup) { rec(f, "dup.zone.example.", 15)->rr[2].flags = 0; f->v->flags &= (uint8_t)~4; resign(f); }
FAULT(false_dup) { rec(f, APEX, 2)->rr[1].flags = 1; f->v->flags |= 4; resign(f); }
FAULT(ttl_flag) { rec(f, WWW, 16)->flags |= 8; resign(f); }
FAULT(owner) { rec(f, "mixed.zone.example.", 16)->owner[1] ^= 1; resign(f); }
FAULT(outside) { fresh(f, "www.example.", 16, 300, "'x"); store(f); }
FAULT(upper_key) { fresh(f, WWW, 16, 300, "'x"); f->v->key[f->v->klen - 5] = 'W'; store(f); }
FAULT(bad_rdata) { rec(f, "dup.zone.example.", 15)->rr[0].len--; store(f); }
static size_t entry(struct fx *f, uint8_t *key)
{
	key[0] = 0x40;
	put_be64(key + 1, f->v->exp_time);
	put_be64(key + 9, f->v->exp_seq);
	return 17;
}
static void touch(struct fx *f) { rec(f, WWW, 16); resign(f); rec(f, WWW, 16); }
FAULT(no_entry)
{
	struct kv *kv = kvmem_open(f->m);
	uint8_t key[17];

	touch(f);
	MUST(!kv_del(kv, key, entry(f, key)));
	kv_close(kv);
}
FAULT(stale_entry) /* the entry of the base's value was left */
{
	struct tv *old = malloc(sizeof *old);
	uint8_t key[17], val[600] = { 1 };

	*old = *rec(f, WWW, 16);
	touch(f);
	*f->v = *old;
	memcpy(val + 5, old->key, old->klen);
	put_be32(val + 1, crc32c(0, old->key, old->klen));
	put_raw(f, key, entry(f, key), val, 5 + old->klen);
	free(old);
}
FAULT(extra_entry)
{
	uint8_t key[17], val[100] = { 1 };

	rec(f, WWW, 16)->exp_seq = 999999;
	memcpy(val + 5, f->v->key, f->v->klen);
	put_be32(val + 1, crc32c(0, f->v->key, f->v->klen));
	put_raw(f, key, entry(f, key), val, 5 + f->v->klen);
}
FAULT(wrong_entry) /* points to another RRset */
{
	uint8_t key[17], val[100] = { 1 };
	size_t n;

	touch(f);
	n = tz_key_record(f->z, "h1.hosts.zone.example.", 1, val + 5);
	put_be32(val + 1, crc32c(0, val + 5, n));
	put_raw(f, key, entry(f, key), val, 5 + n);
}
static void point_to_www(struct fx *f, const char *who) /* the entry of an RRset that nothing else touches */
{
	uint8_t key[17], val[100] = { 1 };
	size_t n = tz_key_record(f->z, WWW, 16, val + 5);

	rec(f, who, 1);
	put_be32(val + 1, crc32c(0, val + 5, n));
	put_raw(f, key, entry(f, key), val, 5 + n);
}
FAULT(taken_entry) /* a sequence number was given out twice */
{
	struct tv *other = malloc(sizeof *other);

	*other = *rec(f, "h1.hosts.zone.example.", 1);
	touch(f);
	f->v->exp_time = other->exp_time;
	f->v->exp_seq = other->exp_seq;
	tv_put(f->m, f->v);
	point_to_www(f, "h1.hosts.zone.example.");
	free(other);
}
FAULT(other_entry) /* the entry of another RRset went with it */
{
	struct kv *kv = kvmem_open(f->m);
	uint8_t key[17];

	rec(f, "h1.hosts.zone.example.", 1);
	MUST(!kv_del(kv, key, entry(f, key)));
	kv_close(kv);
}
FAULT(crc_entry) { uint8_t key[17]; touch(f); poke(f, key, entry(f, key), 8, 1, false); }
FAULT(exp_time) { rec(f, WWW, 16)->exp_time += 60; store(f); }
FAULT(exp_wrap) { rec(f, WWW, 16)->exp_time += 1ull << 32; store(f); }

/* --- a change that was not carried through --- */

FAULT(new_name) { tz_add(f->z, "new.zone.example.", 1, 300, "=c0000201"); rebuild(f, 0x30); }
FAULT(new_deep)
{
	tz_add(f->z, "x.y.new.zone.example.", 1, 300, "=c0000201");
	rebuild(f, 0);
	del_den(f, "y.new.zone.example.");
	relink(f);
}
FAULT(old_name) { tz_del(f->z, WWW, 0); rebuild(f, 0x30); }
FAULT(old_ent) { tz_del(f->z, "a.b.c.d.zone.example.", 0); rebuild(f, 0); add_ghost(f, "c.d.zone.example."); }
FAULT(new_type) { tz_add(f->z, WWW, 1, 300, "=c0000201"); rebuild(f, 0x30); }
FAULT(old_type) { tz_del(f->z, "types.zone.example.", 65280); rebuild(f, 0x30); }
FAULT(new_cut) { tz_add(f->z, HOSTS, 2, 300, "ns.other.test."); rebuild(f, 0x30); }
static void below_stays_signed(struct fx *f)
{
	rebuild(f, 0);
	rec(f, "h7.hosts.zone.example.", 1);
	resign(f);
}
FAULT(new_cut_signed) { tz_add(f->z, HOSTS, 2, 300, "ns.other.test."); below_stays_signed(f); }
FAULT(new_dname) { tz_add(f->z, HOSTS, 39, 300, "other.test."); rebuild(f, 0x30); }
FAULT(new_dname_signed) { tz_add(f->z, HOSTS, 39, 300, "other.test."); below_stays_signed(f); }
FAULT(old_cut) { tz_del(f->z, "sub.zone.example.", 2); rebuild(f, 0x30); }
FAULT(old_cut_unsigned)
{
	tz_del(f->z, "sub.zone.example.", 2);
	rebuild(f, 0);
	rec(f, "ns.x.sub.zone.example.", 28);
	unsign(f);
}
FAULT(old_cut_ent)
{
	tz_del(f->z, "sub.zone.example.", 2);
	rebuild(f, 0);
	del_den(f, "x.sub.zone.example.");
	relink(f);
}
FAULT(old_dname) { tz_del(f->z, "dn.zone.example.", 39); rebuild(f, 0x30); }
FAULT(new_cut_ent)
{
	tz_add(f->z, "c.d.zone.example.", 2, 300, "ns.other.test.");
	rebuild(f, 0);
	add_ghost(f, "b.c.d.zone.example.");
}
FAULT(new_ds) { tz_add(f->z, "zzz.zone.example.", 43, 300, "=00010d02 =0011"); rebuild(f, 0x30); }
FAULT(old_ds) { tz_del(f->z, "secure.zone.example.", 43); rebuild(f, 0x30); }
FAULT(old_sub)
{
	tz_del(f->z, "sub.zone.example.", 0);
	tz_del(f->z, "ns.sub.zone.example.", 0);
	tz_del(f->z, "ns.x.sub.zone.example.", 0);
	tz_del(f->z, "deep.cut.below.sub.zone.example.", 0);
	rebuild(f, 0x30);
}
FAULT(apex_dname) { tz_add(f->z, APEX, 39, 300, "other.test."); rebuild(f, 0x30); }

/* --- unsigned versions --- */

static void keyed(struct fx *f) { tz_add_key(f->z, 13, 257, true, true); }
FAULT(un_sig) { keyed(f); rec(f, WWW, 16); tv_sign(f->z, f->v); tv_put(f->m, f->v); }
FAULT(un_chain)
{
	fresh(f, WWW, 16, 1, "'x");
	f->v->klen = tz_key_denial(f->z, APEX, f->v->key);
	tv_put(f->m, f->v);
}
FAULT(un_entry)
{
	uint8_t key[17], val[100] = { 1 };

	rec(f, WWW, 16);
	memcpy(val + 5, f->v->key, f->v->klen);
	put_be32(val + 1, crc32c(0, f->v->key, f->v->klen));
	put_raw(f, key, entry(f, key), val, 5 + f->v->klen);
}

#define F(name, check, variants) { #name, GATE_##check, variants, 0, f_##name }
#define W(name, check, variants) { #name, GATE_##check, variants, WHOLE_ONLY, f_##name }
#define C(name, check, variants) { #name, GATE_##check, variants, CHANGE_ONLY, f_##name }
#define A(name, check) { #name, GATE_##check, ON_ALL, 0, f_##name }
const struct fault fault_table[] = {
	F(rdata, BAD_SIG, ON_ALL | ON_TWO | ON_CSK), F(short_sig, BAD_SIG, ON_NSEC | ON_TWO | ON_CSK),
	F(long_sig, BAD_SIG, ON_NSEC | ON_TWO | ON_CSK), F(zero_sig, BAD_SIG, ON_NSEC | ON_CSK),
	F(other_data, BAD_SIG, ON_NSEC | ON_CSK), A(same_tag, BAD_SIG), A(alien, UNKNOWN_KEY),
	F(unusable, UNKNOWN_KEY, ON_NSEC), A(labels, LABELS), A(labels_more, LABELS), A(labels_wild, LABELS),
	A(labels_nowild, LABELS), A(labels_chain, LABELS), A(orig_ttl, SIG_TTL), A(new_ttl, SIG_TTL),
	A(not_lowest, TTL), A(signer_case, SIGNER), A(signer_other, SIGNER), A(signer_parent, SIGNER),
	A(covered, COVERED), A(future, TIMES), A(expired, TIMES), A(soon, TIMES), A(soon_chain, TIMES),
	A(soon_key, TIMES), F(no_sig, MISSING_SIG, ON_ALL | ON_TWO | ON_CSK), A(no_sig_soa, MISSING_SIG),
	A(no_sig_ds, MISSING_SIG), A(no_sig_chain, MISSING_SIG), A(no_sig_apex_chain, MISSING_SIG),
	F(no_sig_keys, MISSING_SIG, ON_ALL | ON_CSK), A(no_sig_keys, ROLE), F(one_alg, MISSING_ALG, ON_TWO),
	F(one_alg, MISSING_SIG, ON_TWO), F(one_alg_keys, MISSING_ALG, ON_TWO),
	F(one_alg_chain, MISSING_ALG, ON_TWO), A(ksk_data, MISSING_SIG), A(ksk_data, ROLE), A(zsk_keys, ROLE),
	A(zsk_cds, ROLE), A(zsk_cdnskey, ROLE), A(zsk_too, ROLE), A(twice, DUPLICATE_SIG),
	A(twice_same, DUPLICATE_SIG), A(glue, SIGNED_MUST_NOT), A(glue_at_cut, SIGNED_MUST_NOT),
	A(cut_ns, SIGNED_MUST_NOT), A(cut_ns_secure, SIGNED_MUST_NOT), A(below_dname, SIGNED_MUST_NOT),
	A(ds_below, SIGNED_MUST_NOT), A(sig_short, STORED),

	A(gap, CHAIN_GAP), A(gap_apex, CHAIN_GAP), A(gap_wild, CHAIN_GAP),
	F(gap_cut, CHAIN_GAP, ON_NSEC | ON_NSEC3), A(gap_secure, CHAIN_GAP), F(gap_ent, CHAIN_GAP, ON_HASHED),
	F(gap_ent_cut, CHAIN_GAP, ON_HASHED), F(gap_ent_nul, CHAIN_GAP, ON_HASHED), A(hole, CHAIN_GAP),
	A(hole, CHAIN_LINK), A(skip, CHAIN_LINK), A(self, CHAIN_LINK), F(next_case, CHAIN_LINK, ON_NSEC),
	A(last, CHAIN_LINK), A(map_more, BITMAP), A(map_less, BITMAP), A(map_rrsig, BITMAP),
	A(map_nsec, BITMAP), A(map_nsec3, BITMAP), F(map_glue, BITMAP, ON_NSEC | ON_NSEC3),
	A(map_no_ns, BITMAP), A(map_no_ds, BITMAP), F(map_ent, BITMAP, ON_HASHED),
	F(map_cut_sig, BITMAP, ON_NSEC | ON_NSEC3), A(map_soa, BITMAP), A(map_dnskey, BITMAP),
	A(map_window, BITMAP), A(map_tail, BITMAP), A(ghost, CHAIN_GHOST), A(ghost_glue, CHAIN_GHOST),
	A(ghost_dname, CHAIN_GHOST), F(ghost_ent, CHAIN_GHOST, ON_HASHED),
	F(ghost_hash, CHAIN_GHOST, ON_HASHED),
	F(ghost_nsec_ent, CHAIN_GHOST, ON_NSEC), F(ghost_insecure, CHAIN_GHOST, ON_OPTOUT),
	F(flag, OPT_OUT, ON_HASHED), F(flag_apex, OPT_OUT, ON_HASHED), F(flag_other, OPT_OUT, ON_HASHED),
	F(chain_salt, NSEC3_PARAM, ON_NSEC3), F(chain_iter, NSEC3_PARAM, ON_HASHED),
	F(chain_alg, NSEC3_PARAM, ON_HASHED), F(param_iter, NSEC3_PARAM, ON_HASHED),
	F(param_salt, NSEC3_PARAM, ON_NSEC3), F(param_flags, NSEC3_PARAM, ON_HASHED),
	F(param_gone, NSEC3_PARAM, ON_HASHED), F(param_two, NSEC3_PARAM, ON_HASHED),
	F(param_ttl, TTL, ON_HASHED), F(param_nsec, NSEC3_PARAM, ON_NSEC),
	F(iterations, NSEC3_PARAM, ON_NSEC3), A(mixed, MIXED_DENIAL), F(leftover, MIXED_DENIAL, ON_HASHED),
	F(leftover_low, MIXED_DENIAL, ON_HASHED), A(nsec_data, MIXED_DENIAL), A(nsec3_data, MIXED_DENIAL),
	A(rrsig_data, STORED), A(chain_ttl, DENIAL_TTL), A(chain_ttl_less, DENIAL_TTL),
	A(chain_ttl_soa, DENIAL_TTL), W(src, STORED, ON_HASHED), C(src, CHAIN_GHOST, ON_HASHED),
	F(src_none, STORED, ON_HASHED), A(chain_two, STORED),

	A(keys_gone, APEX), A(keys_gone, DOWNGRADE), A(keys_more, APEX), A(keys_less, APEX),
	F(alg_gone, DOWNGRADE, ON_TWO), A(unsigned, DOWNGRADE), A(two_soa, APEX), A(no_soa, APEX),
	A(no_ns, APEX), A(soa_off, APEX), A(key_ttl, TTL), A(cds_ttl, TTL), A(clock, CLOCK),
	F(clock_zero, CLOCK, ON_NSEC),

	A(crc, STORED), A(crc_glue, STORED), A(crc_chain, STORED), A(format, STORED), A(flag_bits, STORED),
	A(order, STORED), A(dup, STORED), A(false_dup, STORED), A(ttl_flag, STORED), A(owner, STORED),
	A(outside, STORED), A(upper_key, STORED), A(bad_rdata, STORED), A(no_entry, EXPIRY_INDEX),
	A(stale_entry, EXPIRY_INDEX), A(extra_entry, EXPIRY_INDEX), A(wrong_entry, EXPIRY_INDEX),
	A(taken_entry, EXPIRY_INDEX), A(other_entry, EXPIRY_INDEX), A(crc_entry, STORED),
	A(exp_time, EXPIRY_INDEX), A(exp_wrap, EXPIRY_INDEX),

	A(new_name, CHAIN_GAP), F(new_deep, CHAIN_GAP, ON_HASHED), A(old_name, CHAIN_GHOST),
	F(old_ent, CHAIN_GHOST, ON_HASHED), A(new_type, BITMAP), A(old_type, BITMAP), A(new_cut, CHAIN_GHOST),
	A(new_cut_signed, SIGNED_MUST_NOT), A(new_dname, CHAIN_GHOST), A(new_dname_signed, SIGNED_MUST_NOT),
	A(old_cut, CHAIN_GAP), A(old_cut_unsigned, MISSING_SIG), F(old_cut_ent, CHAIN_GAP, ON_HASHED),
	A(old_dname, CHAIN_GAP), F(new_cut_ent, CHAIN_GHOST, ON_HASHED),
	F(new_ds, BITMAP, ON_NSEC | ON_NSEC3), F(new_ds, CHAIN_GAP, ON_OPTOUT),
	F(old_ds, BITMAP, ON_NSEC | ON_NSEC3), F(old_ds, CHAIN_GHOST, ON_OPTOUT),
	F(old_sub, CHAIN_GHOST, ON_NSEC | ON_NSEC3), A(apex_dname, CHAIN_GHOST),

	F(un_sig, STRUCTURE, ON_UNSIGNED), F(un_chain, STRUCTURE, ON_UNSIGNED),
	F(un_entry, STRUCTURE, ON_UNSIGNED),
};
const size_t fault_count = sizeof fault_table / sizeof fault_table[0];
