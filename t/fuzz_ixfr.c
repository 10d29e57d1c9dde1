/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any order of any records as the answer to an IXFR query over a small zone. Where it is taken, the model of
 * zone_model.h takes it too and becomes the same, and merging that zone into the base gives the same octets;
 * where it does not fit, it does not fit the model.
 * An octet is a record: two bits of owner, two of type, two of RDATA, one of TTL, one of case; 0xff and an
 * octet is an SOA of that serial; 0xfe switches class, 0xfd to a type that is stripped.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "fuzz.h"
#include "zone_model.h"

static const uint8_t zone[] = "\7example";

static void check(int good)
{
	if (!good)
		abort();
}

static struct rr make_rr(uint8_t c)
{
	static const uint8_t *const owner[4][2] = {
		{ zone, (const uint8_t *)"\7EXAMPLE" },
		{ (const uint8_t *)"\1a\7example", (const uint8_t *)"\1A\7example" },
		{ (const uint8_t *)"\1\0\7example", (const uint8_t *)"\1\0\7eXample" },
		{ (const uint8_t *)"\1b\1a\7example", (const uint8_t *)"\1b\1A\7example" },
	};
	static const uint16_t type[] = { T_NS, T_TXT, T_A, 65280 };
	static const uint8_t *const rdata[] = { (const uint8_t *)"\2nx\0", (const uint8_t *)"\2nX\0",
						(const uint8_t *)"\2ny\0", (const uint8_t *)"\2nz\0" };
	struct rr rr = { .owner = owner[c & 3][c >> 7], .type = type[c >> 2 & 3], .class = CLASS_IN,
			 .ttl = c & 64 ? 60 : 0, .rdata = rdata[c >> 4 & 3], .rdlen = 4 };

	if (rr.type == T_TXT)
		rr.rdlen = 3;
	if (rr.type == 65280)
		rr.rdlen = c >> 4 & 3;
	return rr;
}

static struct rr make_soa(uint8_t serial, uint8_t rdata[static 22])
{
	memset(rdata, 0, 22);
	rdata[5] = serial;
	return (struct rr){ .owner = zone, .type = T_SOA, .class = CLASS_IN, .ttl = 1, .rdata = rdata,
			    .rdlen = 22 };
}

/* The difference as the model sees it: false when it does not fit. */
struct watch { struct model now, added; bool adding, fits; unsigned nsoa; }; /* added: by this step */

static void watch_rr(struct watch *w, const struct rr *rr)
{
	if (rr->type == T_SOA) {
		if (++w->nsoa > 1)
			w->adding = !w->adding;
		model_free(&w->added);
		w->added = (struct model){ 0 };
	} else if (rr->class != CLASS_IN) {
		w->fits = false;
	} else if (rr->type == T_RRSIG) {
		return;
	} else if (!(w->adding ? model_add(&w->now, rr) : model_del(&w->now, rr))) {
		w->fits = false;
	} else if (w->adding) { /* two of a kind in one step are asked for as AXFR */
		w->fits &= model_find(&w->added, rr) == w->added.n;
		model_push(&w->added, rr);
	}
}

/* Feeds until the end or an error; true when complete. */
static bool feed(struct ixfr *x, struct watch *w, const uint8_t *data, size_t len)
{
	static const uint8_t rrsig[20] = { 0, T_A, 13, 1, [19] = 's' };
	uint8_t rdata[22];
	uint16_t class = CLASS_IN;

	for (size_t i = 0; i < len; i++) {
		struct rr rr = make_rr(data[i]);

		if (data[i] == 0xfe) {
			class ^= 2;
			continue;
		}
		if (data[i] == 0xfd) {
			rr = (struct rr){ .owner = zone, .type = T_RRSIG, .ttl = 1, .rdlen = 20,
					  .rdata = rrsig };
		}
		if (data[i] == 0xff && i + 1 < len)
			rr = make_soa(data[++i], rdata);
		rr.class = rr.type == T_SOA ? CLASS_IN : class;
		if (ixfr_add(x, &rr) != 0)
			return false;
		watch_rr(w, &rr);
		if (ixfr_is_complete(x))
			return true;
	}
	return false;
}

static int give(void *ctx, const uint8_t *key, size_t klen, const struct rrset *set)
{
	return merge_set(ctx, key, klen, set);
}

static void check_same(const struct model *now, struct kv *base, struct kv *after)
{
	struct kvmem *want_m = kvmem_new(0), *merged_m = kvmem_new(0);
	struct kv *want = kvmem_open(want_m), *merged = kvmem_open(merged_m);
	struct change_sums sums;
	struct merge *m;

	model_expect(now, base, want, zone);
	check(map_equal(want, after));
	map_copy(merged, base);
	check(merge_new(zone, base, merged, &m) == 0);
	check(model_each(now, 0, give, m) == 0);
	check(merge_end(m, &sums) == 0);
	check(map_equal(want, merged));
	merge_free(m);
	kv_close(want);
	kv_close(merged);
	kvmem_free(want_m);
	kvmem_free(merged_m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct kvmem *base_m = kvmem_new(0), *after_m = kvmem_new(0);
	struct kv *base = kvmem_open(base_m), *after = kvmem_open(after_m);
	struct intake *in = malloc(sizeof(*in));
	struct watch w = { .adding = true, .fits = true };
	struct change_sums sums;
	struct ixfr *x = NULL;
	size_t n = len > 0 ? data[0] & 15 : 0;

	check(in != NULL && ixfr_new(zone, 1, NULL, &x) == 0);
	intake_init(in, zone, INTAKE_STRIP);
	for (size_t i = 1; i <= n && i < len; i++) {
		struct rr rr = make_rr(data[i]);

		model_add(&w.now, &rr);
	}
	model_put(&w.now, base, 1);
	map_copy(after, base);
	if (len > n + 1 && feed(x, &w, data + n + 1, len - n - 1)) {
		int err = ixfr_apply(x, after, in, &sums);

		check(w.fits == (err == 0));
		check((err == 0) == (ixfr_fault(x) == IXFR_OK));
		if (err == 0)
			check_same(&w.now, base, after);
		else
			check(err == ZS_EFORMAT && map_equal(base, after));
	}
	ixfr_free(x);
	model_free(&w.now);
	model_free(&w.added);
	free(in);
	kv_close(base);
	kv_close(after);
	kvmem_free(base_m);
	kvmem_free(after_m);
	return 0;
}
