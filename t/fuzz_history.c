/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any octets as stored history. The input is a row of chunks: u8 table and version, u8 chunk, u16 length,
 * value; CRCs are made right. Everything that can be opened is listed and streamed.
 */
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/crc.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/rr.h"
#include "dns/schema.h"
#include "fuzz.h"
#include "store/history.h"

#define ENDS 8
#define RECORDS_MAX 20000 /* damaged counts promise anything */

struct ends {
	uint32_t from[ENDS], to[ENDS];
	size_t n;
};

static int note(void *ctx, const struct history_head *h)
{
	struct ends *e = ctx;

	if (e->n == ENDS)
		return ZS_ELIMIT;
	e->from[e->n] = h->from_serial;
	e->to[e->n++] = h->to_serial;
	return 0;
}

static void stream(struct diff *d)
{
	struct rr rr;
	bool added;

	for (unsigned i = 0; i < RECORDS_MAX && diff_next(d, &rr, &added) == 0; i++)
		if (name_len(rr.owner) > NAME_MAX_WIRE)
			abort();
	diff_close(d);
}

static void read_history(struct kvmem *m)
{
	struct ends e = { .n = 0 };
	struct kv *kv = kvmem_open(m);
	struct diff *d;

	history_each(kv, HISTORY_UPSTREAM, false, note, &e);
	e.n = 0;
	history_each(kv, HISTORY_SERVED, true, note, &e);
	kv_close(kv);
	for (size_t i = 0; i < e.n * e.n; i++) {
		kv = kvmem_open(m);
		if (history_open(kv, e.from[i % e.n], e.to[i / e.n], 1 << 20, &d))
			kv_close(kv);
		else
			stream(d);
	}
	for (unsigned i = 0; i < 64; i++) {
		kv = kvmem_open(m);
		if (userdiff_open(kv, i & 7, i >> 3, 1 << 20, &d))
			kv_close(kv);
		else
			stream(d);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct kvmem *m = kvmem_new(0);
	struct kv *kv = kvmem_open(m);
	struct rd r = rd_init(data, len);

	while (rd_left(&r) > 4) {
		uint8_t which = rd_u8(&r), chunk = rd_u8(&r), key[KEY_MAX];
		uint16_t n = rd_u16(&r);
		size_t vlen = n < rd_left(&r) ? n : rd_left(&r);
		const uint8_t *p = rd_bytes(&r, vlen);
		size_t klen = key_chunk(key, which & 0x80 ? TAB_USERDIFF : TAB_HISTORY, which & 7, chunk);
		uint8_t *val = malloc(vlen + 1);

		memcpy(val, p, vlen);
		if (vlen >= 5)
			put_be32(val + 1, crc32c(crc32c(crc32c(0, val, 1), key, klen), val + 5, vlen - 5));
		kv_put(kv, key, klen, val, vlen);
		free(val);
	}
	kv_close(kv);
	read_history(m);
	kvmem_free(m);
	return 0;
}
