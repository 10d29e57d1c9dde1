/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any octets as stored values and keys of a version, through the whole gate. First octet: which table;
 * second: length of the key behind the table octet; then key and value, whose CRC is made right. The gate may
 * find what it likes, it must only come back; and a version that holds one odd value does not pass.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "fuzz.h"
#include "gate/gate.h"

static void must(int good)
{
	if (!good)
		abort();
}

static void put(struct kv *kv, uint8_t table, const uint8_t *key, size_t klen, const uint8_t *val,
		size_t vlen)
{
	uint8_t full[300] = { table };
	uint8_t *copy = malloc(vlen + 5);
	size_t behind = vlen > 5 ? vlen - 5 : 0;

	must(copy != NULL);
	memcpy(full + 1, key, klen);
	if (vlen)
		memcpy(copy, val, vlen);
	if (vlen >= 5)
		put_be32(copy + 1, crc32c(0, copy + 5, behind));
	must(kv_put(kv, full, klen + 1, copy, vlen) == 0);
	free(copy);
}

struct once { const uint8_t *key; size_t klen; int left; };

static int once_next(void *ctx, const uint8_t **key, size_t *klen)
{
	struct once *o = ctx;

	if (!o->left--)
		return ZS_ENOENT;
	*key = o->key;
	*klen = o->klen;
	return 0;
}

static void run(struct kv *kv, uint8_t table, const uint8_t *key, size_t klen, bool nsec3, bool change)
{
	static const uint8_t zone[] = "\1z", dnskey[36] = { 1, 1, 3, 15 };
	struct gate_key k = { dnskey, sizeof dnskey, true, true };
	struct gate_params p = {
		.zone = zone, .zone_len = sizeof zone, .now = 1800000000, .min_left = 1, .nsec3 = nsec3,
		.nsec3_set = nsec3, .one_in = 1, .key = &k, .nkeys = 1,
	};
	struct gate *g = gate_new(&p);
	struct gate_part part[8];
	uint8_t full[300] = { table };
	struct once once = { full, klen + 1, 1 };
	int n = 0;

	must(g != NULL);
	memcpy(full + 1, key, klen);
	if (change)
		must(gate_change(g, kv, once_next, &once) == 0);
	else
		must((n = gate_split(g, kv, 2, part, 8)) >= 3);
	for (int i = 0; i < n; i++)
		must(gate_segment(g, kv, &part[i]) == 0);
	must(gate_finish(g, kv, !change) == 0);
	must(gate_total(g) > 0); /* there is no whole apex in any of this */
	gate_free(g);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const uint8_t tables[] = { 0x20, 0x30, 0x40 };
	static const uint8_t soa[] = { 'z', 0, 0, 0, 6 };
	struct kvmem *m;
	struct kv *kv;
	uint8_t table;
	size_t klen;

	if (len < 2 || len - 2 < data[1])
		return 0;
	table = tables[data[0] % 3];
	klen = data[1];
	m = kvmem_new(0);
	kv = m ? kvmem_open(m) : NULL;
	must(kv != NULL);
	put(kv, table, data + 2, klen, data + 2 + klen, len - 2 - klen);
	/* The same value once more where it will be looked at: as SOA, where the chain reads it. */
	put(kv, 0x20, soa, sizeof soa, data + 2 + klen, len - 2 - klen);
	for (int i = 0; i < 4; i++)
		run(kv, table, data + 2, klen, i & 1, i & 2);
	kv_close(kv);
	kvmem_free(m);
	return 0;
}
