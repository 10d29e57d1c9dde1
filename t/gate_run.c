/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Test zones and runs of the gate (gate_run.h). */
#include "gate_run.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define MUST(x)                                                                 \
	do {                                                                    \
		if (!(x)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); \
			abort();                                                \
		}                                                               \
	} while (0)
#define DS_DATA "=30390d02 =00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define A4 "=c0000201"
#define A6 "=20010db8000000000000000000000001"

static void fill_apex(struct tz *z, const char *apex)
{
	tz_add(z, apex, 6, 3600,
	       "NS1.Zone.example. host.zone.example. =0000000a =00000e10 =00000384 =00093a80 =00000258");
	tz_add(z, apex, 2, 86400, "ns1.zone.example.");
	tz_add(z, apex, 2, 86400, "NS2.Other.test.");
}

static void fill_names(struct tz *z)
{
	static const char *const texts[] = {
		"www.zone.example.", "a.b.c.d.zone.example.", "*.wild.zone.example.", "MiXed.ZONE.example.",
		"a\\000b.zone.example.", "b.a.zone.example.", "\\001.z.zone.example.",
		"\\255\\255.zone.example.", "x.\\000.deep.zone.example.", "a.\\001\\000\\002.zone.example.",
		"*.zone.example.", "not.*.star.zone.example.",
		"1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.zone.example.",
		"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk.long.zone.example.",
		"\\000\\000\\000.\\001.\\000.zone.example.", "e0.zone.example.", "zz.e0.zone.example.",
		"\\065\\046b.zone.example.",
	};

	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		tz_add(z, texts[i], 16, 300, "'text");
	tz_add(z, "alias.zone.example.", 5, 300, "Target.Zone.Example.");
	tz_add(z, "*.wild.zone.example.", 15, 300, "=000a Mail.Zone.Example.");
	tz_add(z, "dup.zone.example.", 15, 300, "=000a MAIL.zone.example.");
	tz_add(z, "dup.zone.example.", 15, 300, "=000a mail.zone.example.");
	tz_add(z, "dup.zone.example.", 15, 200, "=0005 b.zone.example.");
	tz_add(z, "srv.zone.example.", 33, 300, "=000000010002 Host.Zone.example.");
	tz_add(z, "types.zone.example.", 257, 300, "=0005 =6973737565 =00");
	tz_add(z, "types.zone.example.", 65280, 300, "=DeadBeef");
	tz_add(z, "types.zone.example.", 1, 300, A4);
	for (int i = 0; i < 40; i++) {
		char name[64];

		snprintf(name, sizeof name, "h%d.hosts.zone.example.", i);
		tz_add(z, name, 1, 60, A4);
	}
}

static void fill_cuts(struct tz *z)
{
	tz_add(z, "sub.zone.example.", 2, 300, "ns.sub.zone.example.");
	tz_add(z, "sub.zone.example.", 1, 300, A4);
	tz_add(z, "ns.sub.zone.example.", 1, 300, A4);
	tz_add(z, "ns.sub.zone.example.", 28, 300, A6);
	tz_add(z, "ns.x.sub.zone.example.", 28, 300, A6);
	tz_add(z, "deep.cut.below.sub.zone.example.", 2, 300, "ns.sub.zone.example.");
	tz_add(z, "deep.cut.below.sub.zone.example.", 43, 300, DS_DATA);
	tz_add(z, "secure.zone.example.", 2, 300, "ns.secure.zone.example.");
	tz_add(z, "secure.zone.example.", 43, 300, DS_DATA);
	tz_add(z, "ns.secure.zone.example.", 1, 300, A4);
	tz_add(z, "old.secure.zone.example.", 16, 300, "'hidden");
	tz_add(z, "in.ent1.ent2.zone.example.", 2, 300, "ns.other.test.");
	tz_add(z, "sec.ent3.ent4.zone.example.", 2, 300, "ns.other.test.");
	tz_add(z, "sec.ent3.ent4.zone.example.", 43, 300, DS_DATA);
	tz_add(z, "dn.zone.example.", 39, 300, "Other.Test.");
	tz_add(z, "dn.zone.example.", 16, 300, "'beside");
	tz_add(z, "below.dn.zone.example.", 16, 300, "'occluded");
	tz_add(z, "x.y.below.dn.zone.example.", 16, 300, "'occluded");
	tz_add(z, "sub.x.dn.zone.example.", 2, 300, "ns.other.test.");
	tz_add(z, "zzz.zone.example.", 2, 300, "ns.zzz.zone.example.");
	tz_add(z, "ns.zzz.zone.example.", 1, 300, A4);
	tz_add(z, "a.zzz.zone.example.", 1, 300, A4);
}

void zone_fill(struct tz *z, enum variant variant)
{
	tz_init(z, variant == V_ROOT ? "." : "Zone.Example.");
	fill_apex(z, variant == V_ROOT ? "." : "zone.Example.");
	fill_names(z);
	fill_cuts(z);
	if (variant == V_APEX_DNAME)
		tz_add(z, "zone.example.", 39, 300, "Other.Test.");
	z->nsec3 = variant == V_NSEC3 || variant == V_OPTOUT || variant == V_ROOT;
	z->opt_out = variant == V_OPTOUT;
	if (variant == V_NSEC3) {
		z->iterations = 3;
		z->salt_len = 2;
		memcpy(z->salt, "\xab\xcd", 2);
	}
	if (variant == V_UNSIGNED)
		return;
	if (variant == V_CSK) {
		tz_add_key(z, 15, 257, true, true);
	} else {
		tz_add_key(z, 13, 257, true, false);
		tz_add_key(z, 13, 256, false, true);
	}
	if (variant == V_TWO_ALGS) {
		tz_add_key(z, 8, 257, true, false);
		tz_add_key(z, 8, 256, false, true);
	}
	/* Our own apex sets beside DNSKEY. */
	tz_add(z, variant == V_ROOT ? "." : "zone.example.", 59, TZ_KEY_TTL, "=00000d02 =0011");
	tz_add(z, variant == V_ROOT ? "." : "zone.example.", 60, TZ_KEY_TTL, "=0101030d =0011");
}

static int open_base(void *ctx, struct kv **out)
{
	*out = kvmem_open(ctx);
	return *out ? 0 : ZS_ENOMEM;
}

void run_params(const struct run *r, struct gate_params *p, struct gate_key keys[TZ_KEYS])
{
	struct tz *z = r->z;

	memset(p, 0, sizeof *p);
	p->zone = z->zone;
	p->zone_len = z->zone_len;
	p->now = r->now ? r->now : TZ_NOW;
	p->min_left = r->min_left ? r->min_left : 86400;
	p->unsigned_zone = r->unsigned_zone;
	p->nsec3 = z->nsec3;
	p->opt_out = z->opt_out;
	p->nsec3_set = z->set;
	p->nsec3_iterations = z->iterations;
	memcpy(p->salt, z->salt, z->salt_len);
	p->salt_len = z->salt_len;
	p->dnskey_ttl = TZ_KEY_TTL;
	p->one_in = r->one_in ? r->one_in : 1;
	p->sample_seed = 7;
	p->key = keys;
	for (size_t i = 0; i < z->nkeys; i++) {
		struct tz_key *k = &z->key[i];

		if (!k->hidden)
			keys[p->nkeys++] = (struct gate_key){ k->rdata, k->len, k->signs_keys,
							      k->signs_zone };
	}
	if (r->base) {
		p->open_base = open_base;
		p->base_ctx = r->base;
	}
	if (r->override)
		*p = *r->override;
}

void run_print(struct gate *g)
{
	const struct gate_finding *f;
	size_t n = gate_findings(g, &f);

	for (size_t i = 0; i < n; i++)
		fprintf(stderr, "  [%s] %s\n", gate_check_label(f[i].check), f[i].text);
}

struct gate *run_whole(const struct run *r, struct kvmem *m, unsigned parts)
{
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate *g;
	struct gate_part *part = calloc(parts + 8, sizeof *part);
	struct kv *kv = kvmem_open(m);
	int n;

	run_params(r, &p, keys);
	g = gate_new(&p);
	MUST(g && part && kv);
	if (r->values)
		gate_expect(g, r->values);
	n = gate_split(g, kv, parts, part, parts + 8);
	MUST(n >= 3);
	for (int i = n - 1; i >= 0; i--) /* any order will do */
		MUST(gate_segment(g, kv, &part[i]) == 0);
	MUST(gate_finish(g, kv, true) == 0);
	if (r->verbose)
		run_print(g);
	kv_close(kv);
	free(part);
	return g;
}

/* Yields the keys in which two maps differ. */
struct differ {
	struct kv *a, *b;
	struct kv_item x, y;
	int rx, ry;
	uint8_t key[512];
};

static int item_cmp(const struct kv_item *x, const struct kv_item *y)
{
	size_t min = x->klen < y->klen ? x->klen : y->klen;
	int c = memcmp(x->key, y->key, min);

	return c ? c : (x->klen > y->klen) - (x->klen < y->klen);
}

static int differ_next(void *ctx, const uint8_t **key, size_t *klen)
{
	struct differ *d = ctx;

	while (!d->rx || !d->ry) {
		int c = d->rx ? 1 : d->ry ? -1 : item_cmp(&d->x, &d->y);
		struct kv_item it = c <= 0 ? d->x : d->y;
		bool same = c == 0 && d->x.vlen == d->y.vlen && !memcmp(d->x.val, d->y.val, d->x.vlen);

		memcpy(d->key, it.key, it.klen);
		*key = d->key;
		*klen = it.klen;
		if (c <= 0)
			d->rx = kv_next(d->a, &d->x);
		if (c >= 0)
			d->ry = kv_next(d->b, &d->y);
		if (!same)
			return 0;
	}
	return ZS_ENOENT;
}

struct gate *run_change(const struct run *r, struct kvmem *m)
{
	struct gate_key keys[TZ_KEYS];
	struct gate_params p;
	struct gate *g;
	struct kv *kv = kvmem_open(m);
	struct kvmem *empty = kvmem_new(0);
	struct differ d = { .a = kvmem_open(r->base ? r->base : empty), .b = kvmem_open(m) };

	run_params(r, &p, keys);
	g = gate_new(&p);
	MUST(g && kv && d.a && d.b);
	d.rx = kv_seek(d.a, "", 0, &d.x);
	d.ry = kv_seek(d.b, "", 0, &d.y);
	if (r->values)
		gate_recall(g, r->values);
	MUST(gate_change(g, kv, differ_next, &d) == 0);
	MUST(gate_finish(g, kv, false) == 0);
	if (r->verbose)
		run_print(g);
	kv_close(d.a);
	kv_close(d.b);
	kv_close(kv);
	kvmem_free(empty);
	return g;
}
