/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What concerns the version as a whole: SOA, NS, DNSKEY, NSEC3PARAM at the apex, what was there before (G9),
 * the clock (G15), and the sums of a whole walk. Sums alone say that something is left over; only then is the
 * table gone through once more to say what.
 */
#include <stdio.h>
#include <string.h>

#include "gate_impl.h"

#define NSEC3PARAM_FIXED 5 /* algorithm, flags, iterations, salt length */

static size_t apex_key(struct gjob *j, uint16_t type, uint8_t key[static GKEY_MAX])
{
	return gkey_record(key, j->g->apex.k, j->g->apex.len, type);
}

/* An apex RRset; borrowed from kv. false: not there or damaged. */
static bool apex_get(struct gjob *j, struct kv *kv, uint16_t type, struct gval *v)
{
	uint8_t key[GKEY_MAX];
	struct kv_item it;

	return gjob_get(j, kv, key, apex_key(j, type, key), &it) && !gval_parse(v, it.val, it.vlen);
}

static unsigned distinct(struct gval v)
{
	struct grr rr;
	unsigned n = 0;

	while (gval_rr(&v, &rr))
		n += !(rr.flags & RF_DUP);
	return n;
}

static void note_apex(struct gjob *j, enum gate_check c, uint16_t type, const char *text)
{
	uint8_t key[GKEY_MAX];
	size_t klen = apex_key(j, type, key);

	gnote(j, c, key, klen, "%s", text);
}

/* The stored DNSKEY RRset is exactly the one that the caller means to publish. */
static void check_dnskey(struct gjob *j)
{
	struct gate *g = j->g;
	struct gval v;
	struct grr rr;
	size_t hits = 0, n = 0;

	if (!apex_get(j, j->kv, TY_DNSKEY, &v)) {
		if (!j->err)
			note_apex(j, GATE_APEX, TY_DNSKEY, "missing");
		return;
	}
	while (gval_rr(&v, &rr)) {
		n++;
		for (size_t i = 0; i < g->nkeys; i++)
			hits += gsame(g->key[i].rdata, g->key[i].len, rr.data, rr.len);
	}
	if (hits != n || n != g->nkeys)
		note_apex(j, GATE_APEX, TY_DNSKEY, "not the keys that are to be published");
	for (size_t i = 0; i < g->nkeys; i++) {
		const struct gkey *k = &g->key[i];
		uint8_t key[GKEY_MAX];

		if (!k->pkey && (k->signs_keys || k->signs_zone))
			gnote_sig(j, GATE_UNKNOWN_KEY, key, apex_key(j, TY_DNSKEY, key), k->tag, k->alg,
				  "cannot be: key not usable");
	}
}

static void check_nsec3param(struct gjob *j)
{
	const struct gate_params *p = &j->g->p;
	struct gval v;
	struct grr rr;
	bool there;

	if (!p->nsec3)
		return; /* one that is there all the same is found with its owner */
	if (p->nsec3_iterations > GITER_MAX)
		note_apex(j, GATE_NSEC3_PARAM, TY_NSEC3PARAM, "more than 50 iterations");
	there = apex_get(j, j->kv, TY_NSEC3PARAM, &v);
	if (j->err)
		return;
	/* RFC 5155 4.1.2: flags are zero whatever those of the chain are. */
	if (!there || distinct(v) != 1 || !gval_rr(&v, &rr) || rr.len < NSEC3PARAM_FIXED || rr.data[0] != 1 ||
	    rr.data[1] != 0 || be16(rr.data + 2) != p->nsec3_iterations ||
	    !gsame(rr.data + NSEC3PARAM_FIXED, rr.len - NSEC3PARAM_FIXED, p->salt, p->salt_len) ||
	    rr.data[4] != p->salt_len)
		note_apex(j, GATE_NSEC3_PARAM, TY_NSEC3PARAM, "not the parameters of the chain");
}

static void check_soa_ns(struct gjob *j)
{
	struct gval v;
	bool there = apex_get(j, j->kv, TY_SOA, &v);

	if (!there || distinct(v) != 1)
		note_apex(j, GATE_APEX, TY_SOA, there ? "more than one record" : "missing");
	if (!gname_has(j, j->kv, j->g->apex.k, j->g->apex.len, TY_NS) && !j->err)
		note_apex(j, GATE_APEX, TY_NS, "missing");
}

static size_t algorithms(struct gjob *j, struct kv *kv, bool in[static 256])
{
	struct gval v;
	struct grr rr;
	size_t n = 0;

	memset(in, 0, 256 * sizeof *in);
	if (!apex_get(j, kv, TY_DNSKEY, &v) || !v.nsig)
		return 0; /* without signatures it was passed on, not ours */
	while (gval_rr(&v, &rr)) {
		if (rr.len > 4) {
			n += !in[rr.data[3]];
			in[rr.data[3]] = true;
		}
	}
	return n;
}

static void check_downgrade(struct gjob *j, struct kv *base)
{
	bool was[256], is[256];
	char text[40];

	if (!algorithms(j, base, was) || j->err)
		return;
	if (!algorithms(j, j->kv, is)) {
		note_apex(j, GATE_DOWNGRADE, TY_DNSKEY, "the version before had keys");
		return;
	}
	for (unsigned a = 0; a < 256; a++) {
		if (was[a] && !is[a]) {
			snprintf(text, sizeof text, "algorithm %u is gone", a);
			note_apex(j, GATE_DOWNGRADE, TY_DNSKEY, text);
		}
	}
}

/* Time ran backwards if the version before was signed later than now. */
static void check_clock(struct gjob *j, struct kv *base)
{
	int64_t now = j->g->p.now;
	bool wrong = now <= 0;
	const uint8_t *sig;
	uint16_t len;
	struct gval v;

	if (base && apex_get(j, base, TY_SOA, &v)) {
		while (gval_sig(&v, &sig, &len))
			wrong |= len > GSIG_FIXED && gtime_near(now, be32(sig + 12)) > now;
	}
	if (wrong)
		note_apex(j, GATE_CLOCK, TY_SOA, "now is before the last inception used");
}

/* After a change: no other chain before or behind ours. */
static void check_edges(struct gjob *j)
{
	static const uint8_t first = IN_DENIAL, last = IN_DENIAL + 1, expiry = IN_EXPIRY;
	struct kv_item it;
	int rc = kv_seek(j->kv, &first, 1, &it);

	if (!gjob_fail(j, rc) && !rc && it.key[0] == IN_DENIAL && !gden_ours(j->g, it.key, it.klen))
		gden_foreign(j, it.key, it.klen);
	rc = kv_seek_lt(j->kv, &last, 1, &it);
	if (!gjob_fail(j, rc) && !rc && it.key[0] == IN_DENIAL && !gden_ours(j->g, it.key, it.klen))
		gden_foreign(j, it.key, it.klen);
	if (!j->g->p.unsigned_zone)
		return;
	rc = kv_seek(j->kv, &expiry, 1, &it);
	if (!gjob_fail(j, rc) && !rc && it.key[0] == IN_EXPIRY)
		gnote(j, GATE_STRUCTURE, it.key, it.klen, "an expiry entry in an unsigned version");
}

/* Calls fn for each item that begins with prefix; fn may move the position. */
static int each(struct gjob *j, const uint8_t *prefix, size_t plen,
		int (*fn)(struct gjob *, const struct gden *))
{
	struct gden d = { .val = wr_growing(SIZE_MAX) };
	uint8_t key[GKEY_MAX + 1];
	size_t klen = plen;
	struct kv_item it;
	int rc;

	memcpy(key, prefix, plen);
	while (!(rc = kv_seek(j->kv, key, klen, &it)) && it.klen >= plen && !memcmp(it.key, prefix, plen)) {
		if (gden_copy(j, &d, &it) || (rc = fn(j, &d)))
			break;
		klen = d.klen; /* the next possible key: one octet longer */
		memcpy(key, d.key, klen);
		key[klen++] = 0;
	}
	wr_free(&d.val);
	return gjob_fail(j, rc);
}

static int extra_entry(struct gjob *j, const struct gden *d)
{
	return gexpiry_extra(j, d->key, d->klen);
}

/* Names against records, signed values against entries. */
/* What is stored against what was verified. Where something else is wrong there is a better word for it. */
static void check_marks(struct gjob *j)
{
	struct gate *g = j->g;
	const uint8_t records = IN_RECORDS;
	uint64_t n = atomic_load(&g->marked);

	if (!g->expects || gate_total(g) || j->err ||
	    (n == g->want_marked && atomic_load(&g->marks) == g->want_marks))
		return;
	gnote(j, GATE_STORED, &records, 1,
	      "%llu signed RRsets are stored, and they are not the %llu that were verified",
	      (unsigned long long)n, (unsigned long long)g->want_marked);
}

static void check_sums(struct gjob *j)
{
	struct gate *g = j->g;
	const uint8_t chain[2] = { IN_DENIAL, g->p.nsec3 ? g->p.nsec3_set : 0 }, expiry = IN_EXPIRY;
	uint64_t had = gate_total(g);

	if (g->chain && atomic_load(&g->records) != atomic_load(&g->found)) {
		each(j, chain, 2, gden_ghost);
		if (gate_total(g) == had && !j->err)
			gnote(j, GATE_CHAIN_GHOST, chain, 2, "more or fewer records than names");
	}
	had = gate_total(g);
	if (!g->p.unsigned_zone && atomic_load(&g->entries) != atomic_load(&g->matched)) {
		each(j, &expiry, 1, extra_entry);
		if (gate_total(g) == had && gate_count(g, GATE_EXPIRY_INDEX) == 0 && !j->err)
			gnote(j, GATE_EXPIRY_INDEX, &expiry, 1, "more or fewer entries than signed RRsets");
	}
	check_marks(j);
}

int gate_finish(struct gate *g, struct kv *kv, bool whole)
{
	struct gjob j;
	struct kv *base;

	if (gjob_init(&j, g, kv))
		return gjob_done(&j);
	base = gjob_base(&j);
	check_soa_ns(&j);
	if (!g->p.unsigned_zone) {
		check_dnskey(&j);
		check_nsec3param(&j);
		check_clock(&j, base);
	}
	if (base)
		check_downgrade(&j, base);
	if (whole)
		check_sums(&j);
	else
		check_edges(&j);
	return gjob_done(&j);
}
