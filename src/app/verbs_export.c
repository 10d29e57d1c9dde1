/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `zone export`: the published version as a master file (RFC 1035 5), one record a line, SOA first,
 * signatures behind their RRset, the chain last. A stream (verbs_stream.c); the position is the iterator's.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/text.h"
#include "ctlproto.h"
#include "dns/schema.h"
#include "verbs.h"
#include "zone.h"

#define CHUNK_MAX (CTL_TEXT_CHUNK + STREAM_RDATA_TEXT + 2 * NAME_MAX_TEXT)

struct export {
	struct kv *kv;          /* the stream's */
	uint8_t apex[NAME_MAX_WIRE];
	bool table_new, soa_pass;
	uint8_t table;          /* being walked; 0: at the end */
	char *line;             /* STREAM_RDATA_TEXT */
	struct wr text;
	int err;
};

static void write_line(struct export *x, const uint8_t *owner, uint32_t ttl, uint16_t type,
		       const uint8_t *rdata, uint16_t len)
{
	x->err = stream_record(&x->text, x->line, "", owner, ttl, type, rdata, len);
}

/* Owner of an item of either table by its key. */
static int owner_of(const struct export *x, const struct kv_item *it, uint8_t owner[static NAME_MAX_WIRE],
		    uint16_t *type)
{
	const uint8_t *okey = it->key + 2;
	size_t n = it->klen - 2, len, zone_len = name_len(x->apex);

	if (it->klen < 2)
		return ZS_EFORMAT;
	if (it->key[0] == TAB_RECORDS) {
		int err = key_record_split(it->key, it->klen, &okey, &n, type);

		return err ? err : name_from_okey(okey, n, owner, &len);
	}
	*type = it->key[1] == 0 ? T_NSEC : T_NSEC3;
	if (*type == T_NSEC)
		return name_from_okey(okey, n, owner, &len);
	if (n != NSEC3_HASH_LEN || zone_len + 33 > NAME_MAX_WIRE)
		return ZS_EFORMAT;
	owner[0] = 32;
	text_b32hex((char *)owner + 1, okey, NSEC3_HASH_LEN); /* its NUL is overwritten */
	memcpy(owner + 33, x->apex, zone_len);
	return 0;
}

static void write_set(struct export *x, const struct kv_item *it)
{
	uint8_t by_key[NAME_MAX_WIRE];
	struct rr_item rr;
	struct sig_item sig;
	struct rrval v;
	uint16_t type = 0;

	x->err = owner_of(x, it, by_key, &type);
	if (!x->err)
		x->err = rrval_open(&v, it->val, it->vlen);
	if (x->err || (type == T_SOA && !x->soa_pass))
		return;
	while (!x->err && rrval_rr(&v, &rr))
		if (!(rr.flags & RRI_DUP))
			write_line(x, v.owner ? v.owner : by_key, v.ttl, type, rr.data, rr.len);
	while (!x->err && rrval_sig(&v, &sig))
		write_line(x, v.owner ? v.owner : by_key, v.ttl, T_RRSIG, sig.data, sig.len);
}

/* The SOA comes first, as readers of master files expect it. */
static void write_soa(struct export *x)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	struct kv_item it;

	x->err = kv_get(x->kv, key, key_record(key, okey, name_okey(x->apex, okey), T_SOA), &it);
	x->soa_pass = true;
	if (!x->err)
		write_set(x, &it);
	x->soa_pass = false;
}

/* The next RRset of RECORDS, then of DENIAL, from where the iterator stands. */
static void write_next(struct export *x)
{
	struct kv_item it;
	int err = x->table_new ? kv_seek(x->kv, &x->table, 1, &it) : kv_next(x->kv, &it);

	x->table_new = false;
	if (!err && it.klen > 0 && it.key[0] == x->table) {
		write_set(x, &it);
	} else if (err && err != ZS_ENOENT) {
		x->err = err;
	} else {
		x->table = x->table == TAB_RECORDS ? TAB_DENIAL : 0;
		x->table_new = true;
	}
}

static int export_begin(struct stream *s)
{
	struct export *x = s->arg;

	x->line = malloc(STREAM_RDATA_TEXT);
	if (!x->line)
		return ZS_ENOMEM;
	x->kv = s->kv;
	x->text = wr_growing(CHUNK_MAX * 4);
	memcpy(x->apex, s->zone->wire, s->zone->wire_len);
	x->table_new = true;
	x->table = TAB_RECORDS;
	write_soa(x);
	return x->err;
}

static int export_next(struct stream *s)
{
	struct export *x = s->arg;

	while (!x->err && x->table && x->text.len < CTL_TEXT_CHUNK)
		write_next(x);
	if (!x->err && x->text.len > 0)
		x->err = stream_data(s, json_pack("{s:s%}", "text", (const char *)x->text.p, x->text.len));
	x->text.len = 0;
	s->done = !x->table;
	return x->err;
}

static void export_end(struct stream *s)
{
	struct export *x = s->arg;

	wr_free(&x->text);
	free(x->line);
	free(x);
}

void verb_zone_export(struct ctl *c)
{
	static const struct stream_ops ops = { .what = "the export", .begin = export_begin,
					       .next = export_next, .end = export_end };
	struct export *x = calloc(1, sizeof(*x));

	if (!x)
		ctl_fail(c, "no-memory", NULL, "out of memory");
	else if (!stream_new(c, &ops, x))
		free(x);
}
