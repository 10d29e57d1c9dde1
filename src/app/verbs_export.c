/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * `zone export`: the published version as a master file (RFC 1035 5), one record a line, SOA first,
 * signatures behind their RRset, the chain last. A worker makes one chunk, the loop hands it on, and only
 * when the client has taken most of what waits is the next one made: never more than two chunks in memory,
 * and the position is the iterator's. The reference to the published version keeps the snapshot; one that
 * grows too old ends the export, because it pins pages of the store.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/text.h"
#include "ctlproto.h"
#include "dns/schema.h"
#include "verbs.h"
#include "zone.h"

#define RDATA_TEXT_MAX (5u * RDATA_MAX) /* every octet as \DDD, with room */
#define CHUNK_MAX (CTL_TEXT_CHUNK + RDATA_TEXT_MAX + 2 * NAME_MAX_TEXT)
#define OPEN_TRIES 100

struct export {
	struct ctl *ctl;
	struct zone *zone;
	struct pub *pub;
	struct kv *kv;
	mono_t give_up;
	uint8_t apex[NAME_MAX_WIRE];
	bool orphan, running;   /* loop: the request is over; a chunk is being made */
	/* the worker's, while running */
	bool started, table_new, soa_pass;
	uint8_t table;          /* being walked; 0: at the end */
	char *line;             /* RDATA_TEXT_MAX */
	struct wr text;
	uint8_t *frame;
	size_t frame_len;
	unsigned tries;
	int err;
};

static void export_free(struct export *x)
{
	kv_close(x->kv);
	pub_unref(x->pub);
	wr_free(&x->text);
	free(x->frame);
	free(x->line);
	free(x);
}

/* --- worker --------------------------------------------------------------------------------------------- */

static void write_line(struct export *x, const uint8_t *owner, uint32_t ttl, uint16_t type,
		       const uint8_t *rdata, uint16_t len)
{
	char name[NAME_MAX_TEXT], type_text[RR_TYPE_TEXT], head[NAME_MAX_TEXT + 64];
	int n = rdata_text(type, rdata, len, x->line, RDATA_TEXT_MAX), h;

	if (n < 0) {
		x->err = n;
		return;
	}
	h = snprintf(head, sizeof(head), "%s\t%u\tIN\t%s\t", name_to_text(owner, name), ttl,
		     rr_type_text(type, type_text));
	wr_bytes(&x->text, head, (size_t)h);
	wr_bytes(&x->text, x->line, (size_t)n);
	wr_u8(&x->text, '\n');
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

static void export_begin(struct export *x)
{
	x->err = x->pub->open(x->pub->source, &x->kv);
	if (x->err) {
		x->kv = NULL;
		return;
	}
	x->started = x->table_new = true;
	x->table = TAB_RECORDS;
	write_soa(x);
}

static void chunk_back(void *arg);

static void chunk_make(void *arg)
{
	struct export *x = arg;

	if (!x->started)
		export_begin(x);
	while (!x->err && x->table && x->text.len < CTL_TEXT_CHUNK) {
		write_next(x);
		if (!x->err)
			x->err = x->text.err;
	}
	if (!x->err && x->text.len > 0) {
		json_t *data = json_pack("{s:s%}", "text", (const char *)x->text.p, x->text.len);

		x->err = ctl_encode(ctl_msg("data", data), &x->frame, &x->frame_len);
	}
	x->text.len = 0;
	if (x->err || !x->table) { /* readers give the snapshot back as early as they can */
		kv_close(x->kv);
		x->kv = NULL;
	}
	mailbox_post(x->zone->e->home, chunk_back, x);
}

static void disposed(void *arg)
{
	zone_job_end(arg);
}

static void dispose_run(void *arg)
{
	struct export *x = arg;
	struct zone *z = x->zone;

	export_free(x);
	mailbox_post(z->e->home, disposed, z);
}

/* --- loop ----------------------------------------------------------------------------------------------- */

/* The last reference to a snapshot may close files: that is a worker's work. Ends the zone's job. */
static void export_dispose(struct export *x)
{
	struct zone *z = x->zone;

	if (pool_post(z->e->workers, POOL_NORMAL, dispose_run, x) == 0)
		return;
	export_free(x);
	zone_job_end(z);
}

/* The chunk is back: handed on by the pump, or dropped when nobody wants it any more. */
static void chunk_back(void *arg)
{
	struct export *x = arg;
	struct zone *z = x->zone;
	struct ctl *c = x->ctl;

	x->running = false;
	if (x->orphan)
		export_dispose(x);
	else
		ctl_resume(c);
	zone_job_end(z);
	ctl_drop(c);
}

static enum pump chunk_order(struct export *x)
{
	x->running = true;
	zone_job_begin(x->zone);
	ctl_hold(x->ctl);
	if (pool_post(x->zone->e->workers, POOL_LOW, chunk_make, x) == 0)
		return PUMP_WAIT;
	x->running = false;
	zone_job_end(x->zone);
	ctl_drop(x->ctl);
	ctl_fail(x->ctl, "no-memory", NULL, "out of memory");
	return PUMP_END;
}

static bool is_in_the_way(const struct export *x)
{
	return x->pub != x->zone->net.pub && x->pub->version <= x->zone->given_up;
}

static enum pump export_pump(struct ctl *c, void *arg)
{
	struct export *x = arg;

	if (x->frame) {
		ctl_frame(c, x->frame, x->frame_len);
		x->frame = NULL;
		return PUMP_MORE;
	}
	if (x->err == ZS_EAGAIN && !x->started && ++x->tries < OPEN_TRIES) {
		x->err = 0;
		return chunk_order(x);
	}
	if (x->err) {
		if (x->err == ZS_ECRC && x->zone->net.pub == x->pub)
			zone_damaged(x->zone, x->err, "an export");
		ctl_fail(c, "failed", NULL, "the export ends here, incomplete: %s", zs_strerror(x->err));
		return PUMP_END;
	}
	if (x->started && !x->table) {
		ctl_end(c, CTL_DONE);
		return PUMP_END;
	}
	if (mono_diff(clk_mono(), x->give_up) > 0 || x->zone->closing || is_in_the_way(x)) {
		ctl_fail(c, "too-slow",
			 "the snapshot behind an export is given up after `server: snapshot: age`, or when "
			 "it keeps more than `growth` of the store from being reused",
			 "the export ends here, incomplete: its snapshot was given up");
		return PUMP_END;
	}
	return chunk_order(x);
}

/* The request is over; the worker may still be at it, then chunk_back() disposes. */
static void export_over(void *arg)
{
	struct export *x = arg;

	if (x->running)
		x->orphan = true;
	else
		export_dispose(x);
}

void verb_zone_export(struct ctl *c)
{
	struct zone *z = verb_one_zone(c);
	struct export *x;

	if (!z)
		return;
	if (!z->net.pub) {
		ctl_fail(c, "no-version", "`zonesealctl zone status` says what it waits for",
			 "zone %s has no published version", z->name);
		return;
	}
	x = calloc(1, sizeof(*x));
	if (!x || !(x->line = malloc(RDATA_TEXT_MAX))) {
		free(x);
		ctl_fail(c, "no-memory", NULL, "out of memory");
		return;
	}
	x->ctl = c;
	x->zone = z;
	x->pub = pub_ref(z->net.pub);
	x->text = wr_growing(CHUNK_MAX * 4);
	x->give_up = mono_add(clk_mono(), MONO_S(z->e->setup->conf->snapshot_age));
	memcpy(x->apex, z->wire, z->wire_len);
	zone_job_begin(z); /* the zone and its store stay until the export is disposed of */
	ctl_pump(c, export_pump, export_over, x);
}
