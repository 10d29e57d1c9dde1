/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The renderer of transfers. AXFR: SOA, every record of RECORDS with its signatures, the denial chain with
 * its signatures, SOA (RFC 5936 2.2); the signatures over the SOA stand once, in their place in the walk.
 * IXFR: SOA, one difference from the client's version to ours, SOA (RFC 1995 4). What speaks against the
 * difference turns up before anything is sent, because it is read once whole, and makes an AXFR of it.
 * Nothing is allocated per record: a record points into its source until it is written. Invariant: `rr` waits
 * whenever `have` is set, and the source does not move meanwhile. Hot path of the server: called by xfrout.c
 * on the render pool.
 */
#include "render.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/diff.h"
#include "dns/schema.h"
#include "dns/served.h"

#define OUT_FLAGS (F_QR | F_AA)

enum phase { PHASE_FIRST_SOA, PHASE_DIFF, PHASE_RECORDS, PHASE_DENIAL, PHASE_LAST_SOA, PHASE_END };

struct render {
	struct xfr_request x;
	struct kv *kv;           /* AXFR */
	struct diff *diff;       /* IXFR */
	bool no_diff;            /* there is none that could be sent */
	bool begun, adding;      /* diff: behind the old SOA, the new SOA */
	enum phase phase;
	bool first;              /* no message was made yet */
	bool in_set, have, ended; /* v is being read; rr waits to be written; all is written */
	uint16_t type;           /* of the set */
	struct rrval v;
	struct rr rr;
	size_t okey_len;         /* of the key, without type, that owner[] is of; 0: none */
	uint8_t okey[KEY_MAX];
	uint8_t owner[NAME_MAX_WIRE];
	struct rr soa;
	uint8_t soa_owner[NAME_MAX_WIRE];
	uint8_t *soa_rdata;
	struct msgw w;
};

int render_new(struct xfr_request *x, struct render **out)
{
	struct render *r = calloc(1, sizeof(*r));

	if (!r)
		return ZS_ENOMEM;
	r->x = *x;
	r->first = true;
	x->pub = NULL;
	x->tsig = NULL;
	*out = r;
	return 0;
}

struct xfr_request *render_request(struct render *r)
{
	return &r->x;
}

void render_close(struct render *r)
{
	kv_close(r->kv);
	r->kv = NULL;
	diff_close(r->diff);
	r->diff = NULL;
}

void render_drop(struct render *r)
{
	render_close(r);
	pub_unref(r->x.pub);
	r->x.pub = NULL;
}

void render_free(struct render *r)
{
	if (!r)
		return;
	render_close(r);
	xfr_request_clear(&r->x);
	free(r->soa_rdata);
	free(r);
}

bool render_is_open(const struct render *r)
{
	return r->kv || r->diff;
}

/* The snapshot's SOA frames the transfer; it must be the version that was published. */
static int read_soa(struct render *r)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	size_t n = name_okey(r->x.pub->zone, okey);
	struct kv_item it;
	struct rr_item item;
	struct rrval v;
	struct soa soa;
	int err = kv_get(r->kv, key, key_record(key, okey, n, T_SOA), &it);

	if (err == 0)
		err = rrval_open(&v, it.val, it.vlen);
	if (err != 0)
		return err;
	if (!rrval_rr(&v, &item) || soa_read(item.data, item.len, &soa) != 0)
		return ZS_EFORMAT;
	if (soa.serial != r->x.pub->serial)
		return ZS_ESTALE;
	r->soa_rdata = malloc(item.len);
	if (!r->soa_rdata)
		return ZS_ENOMEM;
	memcpy(r->soa_rdata, item.data, item.len);
	memcpy(r->soa_owner, v.owner ? v.owner : r->x.pub->zone,
	       name_len(v.owner ? v.owner : r->x.pub->zone));
	r->soa = (struct rr){ .owner = r->soa_owner, .type = T_SOA, .class = CLASS_IN, .ttl = v.ttl,
			      .rdata = r->soa_rdata, .rdlen = item.len };
	return 0;
}

static bool is_apex_soa(const struct render *r, const struct rr *rr)
{
	return rr->type == T_SOA && name_eq(rr->owner, r->x.pub->zone);
}

/*
 * The next record of the difference. SOAs are what parts a stream of differences: the old one stands at the
 * head of what goes, ours at the head of what comes, and none anywhere else.
 */
static int diff_record(struct render *r, struct rr *rr)
{
	struct soa soa;
	bool added, head;
	int err = diff_next(r->diff, rr, &added);

	if (err == ZS_ENOENT && !r->adding)
		return ZS_EFORMAT;
	if (err != 0)
		return err;
	head = !r->begun || (added && !r->adding);
	if ((added && !r->begun) || (!added && r->adding) || head != is_apex_soa(r, rr))
		return ZS_EFORMAT;
	if (head && added && (rr->rdlen != r->soa.rdlen || memcmp(rr->rdata, r->soa.rdata, rr->rdlen) != 0))
		return ZS_EFORMAT;
	if (head && !added && (soa_read(rr->rdata, rr->rdlen, &soa) != 0 || soa.serial != r->x.serial))
		return ZS_EFORMAT;
	r->begun = true;
	r->adding = added;
	return 0;
}

static int read_whole_diff(struct render *r)
{
	struct rr rr;
	int err;

	while ((err = diff_record(r, &rr)) == 0)
		;
	r->begun = r->adding = false;
	return err == ZS_ENOENT ? diff_rewind(r->diff) : err;
}

/* Counted in records: both have the same kinds of them, and nobody knows the octets of the zone. */
static bool is_larger_than_zone(const struct render *r)
{
	const struct diff *d = r->diff;

	return r->x.pub->rrs_estimate > 0 && d->removed + d->added > r->x.pub->rrs_estimate;
}

static int open_diff(struct render *r)
{
	const struct pub *p = r->x.pub;
	const struct rrset *soa = &p->set[0];
	int err = p->open_diff(p->source, r->x.serial, &r->diff);

	if (err != 0) {
		r->diff = NULL;
		return err;
	}
	r->soa = (struct rr){ .owner = soa->owner, .type = T_SOA, .class = CLASS_IN, .ttl = soa->ttl,
			      .rdata = soa->rr[0].data, .rdlen = soa->rr[0].len };
	if (r->diff->from != r->x.serial || r->diff->to != p->serial)
		err = ZS_ESTALE;
	else if (is_larger_than_zone(r))
		err = ZS_ELIMIT;
	else
		err = read_whole_diff(r);
	if (err != 0)
		render_close(r);
	return err;
}

int render_open(struct render *r)
{
	int err;

	if (r->x.incremental && r->x.pub->open_diff && !r->no_diff) {
		err = open_diff(r);
		if (err == 0 || err == ZS_EAGAIN)
			return err;
		r->no_diff = true; /* whatever it is: the whole zone does as well (RFC 1995 4) */
	}
	err = r->x.pub->open(r->x.pub->source, &r->kv);
	if (err != 0) {
		r->kv = NULL;
		return err;
	}
	err = read_soa(r);
	if (err != 0)
		render_close(r);
	return err;
}

/* Owner of the RRset at the iterator: as upstream wrote it, or from the key if it is not the last one's. */
static int set_owner(struct render *r, const struct kv_item *it)
{
	size_t n = it->key[0] == TAB_RECORDS ? it->klen - 2 : it->klen;
	int err;

	if (r->v.owner) {
		r->rr.owner = r->v.owner;
		return 0;
	}
	r->rr.owner = r->owner;
	if (n == r->okey_len && memcmp(it->key, r->okey, n) == 0)
		return 0;
	r->okey_len = 0;
	err = served_key(r->x.pub->zone, it->key, it->klen, r->owner, &r->type);
	if (err != 0)
		return err;
	memcpy(r->okey, it->key, n);
	r->okey_len = n;
	return 0;
}

static int enter_set(struct render *r, const struct kv_item *it)
{
	int err = rrval_open(&r->v, it->val, it->vlen);

	if (err == 0)
		err = served_type(it->key, it->klen, &r->type);
	if (err == 0)
		err = set_owner(r, it);
	r->in_set = err == 0;
	return err;
}

/* Moves to the next RRset of the two tables, or to the closing SOA. */
static int next_set(struct render *r, bool start)
{
	uint8_t table = r->phase == PHASE_RECORDS ? TAB_RECORDS : TAB_DENIAL;
	struct kv_item it;
	int err = start ? kv_seek(r->kv, &table, 1, &it) : kv_next(r->kv, &it);

	if (err != 0 && err != ZS_ENOENT)
		return err;
	if (err == 0 && it.klen > 0 && it.key[0] == table)
		return enter_set(r, &it);
	r->phase++;
	return r->phase == PHASE_DENIAL ? next_set(r, true) : 0;
}

/* The next record of the set in hand into rr; the SOA itself frames the transfer. False at its end. */
static bool set_record(struct render *r)
{
	bool sig, more;

	do {
		more = served_next(&r->v, r->type, &r->rr, &sig);
	} while (more && r->type == T_SOA && !sig);
	return more;
}

/* Finds the next record of the transfer: have, or ended. */
static int step(struct render *r)
{
	while (!r->have && !r->ended) {
		int err = 0;

		if (r->in_set) {
			r->have = set_record(r);
			r->in_set = r->have;
			if (!r->have)
				err = next_set(r, false);
		} else if (r->phase == PHASE_FIRST_SOA || r->phase == PHASE_LAST_SOA) {
			r->rr = r->soa;
			r->have = true;
		} else if (r->phase == PHASE_DIFF) {
			err = diff_record(r, &r->rr);
			r->have = err == 0;
			if (err == ZS_ENOENT) {
				r->phase = PHASE_LAST_SOA;
				err = 0;
			}
		} else {
			r->ended = true;
		}
		if (err != 0)
			return err;
	}
	return 0;
}

/* After rr was written. */
static int advance(struct render *r)
{
	r->have = false;
	if (r->phase == PHASE_FIRST_SOA && r->diff) {
		r->phase = PHASE_DIFF;
		return 0;
	}
	if (r->phase == PHASE_FIRST_SOA) {
		r->phase = PHASE_RECORDS;
		return next_set(r, true);
	}
	if (r->phase == PHASE_LAST_SOA)
		r->phase = PHASE_END;
	return 0;
}

static int fill_message(struct render *r, uint64_t *records)
{
	uint64_t n = 0;
	int err;

	for (;;) {
		err = step(r);
		if (err != 0 || r->ended)
			break;
		err = msgw_rr(&r->w, SEC_ANSWER, &r->rr);
		if (err == ZS_EFULL && n == 0 && r->w.cap < MSG_MAX) {
			r->w.cap = MSG_MAX; /* a record that fits no ordinary message */
			continue;
		}
		if (err == ZS_EFULL && n > 0) {
			err = 0;
			break;
		}
		if (err != 0)
			break;
		n++;
		err = advance(r);
		if (err != 0)
			break;
	}
	*records += n;
	return err;
}

/* One message at p, room for its length and MSG_MAX octets. */
static int make_message(struct render *r, uint8_t *p, struct render_block *b)
{
	size_t room = r->x.tsig ? tsig_key_room(r->x.key) : 0, len;
	int err = 0;

	msgw_init(&r->w, p + 2, RENDER_MESSAGE, r->x.id,
		  msg_flags(OP_QUERY, OUT_FLAGS | r->x.flags, RC_NOERROR));
	r->w.reserve = room;
	if (r->first) {
		r->w.reserve += answer_opt_room(&r->x.edns);
		err = msgw_question(&r->w, r->x.qname, r->x.qtype, CLASS_IN);
	}
	if (err == 0)
		err = fill_message(r, &b->records);
	if (err == 0 && r->first)
		err = msgw_opt(&r->w, &r->x.edns);
	if (err != 0)
		return err;
	r->first = false;
	len = r->w.len;
	if (r->x.tsig)
		err = tsig_sign_answer(r->x.tsig, p + 2, &len, MSG_MAX);
	put_be16(p, (uint16_t)len);
	b->len += 2 + len;
	return err;
}

int render_next(struct render *r, struct render_block **out)
{
	struct render_block *b = malloc(sizeof(*b) + RENDER_BLOCK + 2 + MSG_MAX), *fit;
	int err = 0;

	if (!b)
		return ZS_ENOMEM;
	*b = (struct render_block){ .type = r->diff ? T_IXFR : T_AXFR };
	while (err == 0 && r->phase != PHASE_END && b->len < RENDER_BLOCK)
		err = make_message(r, b->data + b->len, b);
	if (err != 0) {
		free(b);
		return err;
	}
	b->last = r->phase == PHASE_END;
	/* A small zone must not hold the room of a large one. */
	fit = b->len < RENDER_BLOCK ? realloc(b, sizeof(*b) + b->len) : NULL;
	*out = fit ? fit : b;
	return 0;
}
