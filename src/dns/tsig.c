/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * TSIG over libknot's tsig-op. Its traps, kept away from callers here: digests need 64 octets of room; key
 * and algorithm names are compared with their case, so that both are lowered before they are handed over;
 * signing and checking later messages of a stream takes the octets of all messages since the last MAC in
 * one piece; a record is never handed over before its RDATA was parsed here (3.2 reads an empty one). The
 * clock is libknot's own (time()).
 *
 * One struct tsig goes one way: a client signs a query and verifies the answer's messages; a server
 * verifies a query and signs the answer's. After an error it is done for.
 */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <libknot/errcode.h>
#include <libknot/tsig-op.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "dns/msg.h"
#include "dns/tsig.h"

#define DIGEST_ROOM 64
#define TSIG_FIXED 16      /* time 6, fudge 2, MAC length 2, original ID 2, error 2, other length 2 */
#define SECRET_MAX 512

struct tsig_key {
	/* the owner's, and one of each exchange: a reload does not pull it away */
	atomic_int refs;
	knot_tsig_key_t knot;
	uint8_t name[NAME_MAX_WIRE];
	uint8_t alg[NAME_MAX_WIRE];
};

struct tsig {
	const struct tsig_key *key;
	uint8_t digest[DIGEST_ROOM];  /* MAC that the next message goes on from */
	size_t digest_len;
	uint64_t time;                /* of the last TSIG seen */
	uint16_t rcode;               /* what the answer's TSIG has to say: 0 or BADTIME */
	bool started;                 /* a message of the answer was signed or verified */
	unsigned unsigned_count;
	uint8_t *pending;             /* answer messages since the last MAC, one behind the other */
	size_t pending_len, pending_cap;
};

/* A TSIG record of a message: borrowed octets, names lowered. */
struct parsed {
	uint8_t owner[NAME_MAX_WIRE];
	uint8_t rdata[RDATA_MAX];
	uint16_t rdlen;
	uint16_t error, original_id;
	uint64_t time;
	const uint8_t *mac;           /* in rdata */
	uint16_t mac_len;
};

/* The algorithms that we offer; libknot also knows MD5. */
static int algorithm_name(const char *text, uint8_t out[static NAME_MAX_WIRE])
{
	static const char *const known[] = { "hmac-sha1", "hmac-sha224", "hmac-sha256", "hmac-sha384",
					     "hmac-sha512" };
	size_t n;

	for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++)
		if (strcmp(text, known[i]) == 0)
			return name_from_text(text, out, &n);
	return ZS_EINVAL;
}

int tsig_key_new(const char *name, const char *algorithm, const uint8_t *secret, size_t len,
		 struct tsig_key **out)
{
	char b64[TEXT_B64_LEN(SECRET_MAX)];
	struct tsig_key *k;
	uint8_t wire[NAME_MAX_WIRE];
	char text[NAME_MAX_TEXT];
	size_t n;
	int err;

	if (name_from_text(name, wire, &n) != 0 || len == 0 || len > SECRET_MAX)
		return ZS_EINVAL;
	k = calloc(1, sizeof(*k));
	if (k == NULL)
		return ZS_ENOMEM;
	if (algorithm_name(algorithm, k->alg) != 0) {
		free(k);
		return ZS_EINVAL;
	}
	k->refs = 1;
	name_copy_lower(k->name, wire);
	text_b64(b64, secret, len);
	err = knot_tsig_key_init(&k->knot, algorithm, name_to_text(k->name, text), b64);
	explicit_bzero(b64, sizeof(b64));
	if (err != KNOT_EOK) {
		free(k);
		return err == KNOT_ENOMEM ? ZS_ENOMEM : ZS_EINVAL;
	}
	*out = k;
	return 0;
}

void tsig_key_free(struct tsig_key *k)
{
	if (k == NULL || atomic_fetch_sub(&k->refs, 1) > 1)
		return;
	if (k->knot.secret.data != NULL)
		explicit_bzero(k->knot.secret.data, k->knot.secret.size);
	knot_tsig_key_deinit(&k->knot);
	free(k);
}

const uint8_t *tsig_key_name(const struct tsig_key *k)
{
	return k->name;
}

size_t tsig_key_room(const struct tsig_key *k)
{
	return knot_tsig_wire_size(&k->knot) + 6; /* BADTIME carries the server's time */
}

struct tsig *tsig_new(const struct tsig_key *key)
{
	struct tsig *t = calloc(1, sizeof(*t));

	if (t != NULL) {
		t->key = key;
		atomic_fetch_add(&((struct tsig_key *)(uintptr_t)key)->refs, 1);
	}
	return t;
}

void tsig_free(struct tsig *t)
{
	if (t == NULL)
		return;
	tsig_key_free((struct tsig_key *)(uintptr_t)t->key);
	free(t->pending);
	free(t);
}

/* RDATA of a TSIG record, names lowered. ZS_EFORMAT. */
static int parse_rdata(struct parsed *p, const uint8_t *wire, size_t len, size_t pos, uint16_t rdlen)
{
	size_t end = pos + rdlen, alg;
	uint16_t other;
	struct rd r;

	if (name_unpack(wire, len, &pos, p->rdata, &alg) != 0 || pos > end)
		return ZS_EFORMAT;
	name_lower(p->rdata);
	if (end - pos < TSIG_FIXED || end - pos > sizeof(p->rdata) - alg)
		return ZS_EFORMAT;
	memcpy(p->rdata + alg, wire + pos, end - pos);
	p->rdlen = (uint16_t)(alg + (end - pos));
	r = rd_init(p->rdata + alg, end - pos);
	p->time = (uint64_t)rd_u16(&r) << 32;
	p->time |= rd_u32(&r);
	rd_u16(&r);
	p->mac_len = rd_u16(&r);
	p->mac = rd_bytes(&r, p->mac_len);
	p->original_id = rd_u16(&r);
	p->error = rd_u16(&r);
	other = rd_u16(&r);
	rd_bytes(&r, other);
	return rd_done(&r) == 0 && p->mac != NULL ? 0 : ZS_EFORMAT;
}

static int parse_record(struct parsed *p, const uint8_t *wire, size_t len, size_t pos)
{
	uint16_t rdlen;
	size_t n;

	if (pos < MSG_HEADER || name_unpack(wire, len, &pos, p->owner, &n) != 0 || len - pos < 10)
		return ZS_EFORMAT;
	name_lower(p->owner);
	if (be16(wire + pos) != T_TSIG)
		return ZS_EFORMAT;
	rdlen = be16(wire + pos + 8);
	pos += 10;
	if (rdlen != len - pos) /* the last record */
		return ZS_EFORMAT;
	return parse_rdata(p, wire, len, pos, rdlen);
}

/* The record for libknot; clear with knot_rdataset_clear(&rr->rrs, NULL). */
static int knot_record(const struct parsed *p, knot_rrset_t *rr)
{
	knot_rrset_init(rr, (knot_dname_t *)p->owner, T_TSIG, KNOT_CLASS_ANY, 0);
	if (knot_rrset_add_rdata(rr, p->rdata, p->rdlen, NULL) != KNOT_EOK)
		return ZS_ENOMEM;
	return knot_tsig_rdata_is_ok(rr) ? 0 : ZS_EFORMAT;
}

/* Takes the TSIG record off a message. */
static void cut(uint8_t *wire, size_t *len, size_t tsig_pos)
{
	*len = tsig_pos;
	put_be16(wire + 10, (uint16_t)(be16(wire + 10) - 1));
}

/* libknot takes the room behind the message as 16 bits. */
static size_t clamp_cap(size_t len, size_t cap)
{
	size_t most = len < MSG_MAX - 2048 ? len + 2048 : MSG_MAX;

	return cap < most ? cap : most;
}

static int sign_first(struct tsig *t, uint8_t *wire, size_t *len, size_t cap, const uint8_t *mac,
		      size_t mac_len)
{
	const knot_tsig_key_t *key = &t->key->knot;
	uint8_t digest[DIGEST_ROOM];
	size_t digest_len = sizeof(digest);
	int err;

	cap = clamp_cap(*len, cap);
	if (*len >= cap)
		return ZS_EFULL;
	err = knot_tsig_sign(wire, len, cap, mac, mac_len, digest, &digest_len, key, t->rcode, t->time);
	if (err == KNOT_ESPACE)
		return ZS_EFULL;
	if (err != KNOT_EOK)
		return err == KNOT_ENOMEM ? ZS_ENOMEM : ZS_ECRYPTO;
	memcpy(t->digest, digest, digest_len);
	t->digest_len = digest_len;
	return 0;
}

int tsig_sign_query(struct tsig *t, uint8_t *wire, size_t *len, size_t cap)
{
	return sign_first(t, wire, len, cap, NULL, 0);
}

/*
 * Made with this key and its algorithm? libknot orders names by octets that NUL confuses, and skips
 * the algorithm.
 */
static bool is_key(const struct tsig_key *k, const struct parsed *p)
{
	return name_eq(p->owner, k->name) && name_eq(p->rdata, k->alg);
}

/* libknot's verdict as an rcode of RFC 8945 5.2; 0: it is good. */
static uint16_t verdict(int err)
{
	switch (err) {
	case KNOT_EOK:
		return 0;
	case KNOT_TSIG_EBADTIME:
		return RC_BADTIME;
	case KNOT_TSIG_EBADKEY:
		return RC_BADKEY;
	default:
		return RC_BADSIG;
	}
}

int tsig_verify_query(struct tsig *t, uint8_t *wire, size_t *len, size_t tsig_pos, uint16_t *rcode)
{
	struct parsed *p = malloc(sizeof(*p));
	knot_rrset_t rr;
	uint16_t id;
	int err;

	if (p == NULL)
		return ZS_ENOMEM;
	knot_rrset_init_empty(&rr);
	err = parse_record(p, wire, *len, tsig_pos);
	if (err == 0)
		err = knot_record(p, &rr);
	if (err != 0)
		goto out;
	cut(wire, len, tsig_pos);
	id = be16(wire);
	put_be16(wire, p->original_id); /* the MAC is over the client's ID: a forwarder may change it */
	*rcode = RC_BADKEY;
	if (is_key(t->key, p))
		*rcode = verdict(knot_tsig_server_check(&rr, wire, *len, &t->key->knot));
	put_be16(wire, id);
	if (*rcode == 0 && p->error != 0)
		*rcode = RC_BADSIG; /* a query has no errors to report */
	if (*rcode != 0)
		err = ZS_EAUTH;
	if (*rcode == 0 || *rcode == RC_BADTIME) { /* the answer is signed over this MAC, RFC 8945 5.2.3 */
		t->digest_len = p->mac_len < DIGEST_ROOM ? p->mac_len : DIGEST_ROOM;
		memcpy(t->digest, p->mac, t->digest_len);
		t->time = p->time;
		t->rcode = *rcode;
	}
out:
	knot_rdataset_clear(&rr.rrs, NULL);
	free(p);
	return err;
}

int tsig_sign_answer(struct tsig *t, uint8_t *wire, size_t *len, size_t cap)
{
	uint8_t digest[DIGEST_ROOM], mac[DIGEST_ROOM];
	size_t digest_len = sizeof(digest), mac_len = t->digest_len;
	int err;

	memcpy(mac, t->digest, mac_len);
	if (!t->started) {
		err = sign_first(t, wire, len, cap, mac, mac_len);
		t->started = err == 0;
		return err;
	}
	cap = clamp_cap(*len, cap);
	if (*len >= cap)
		return ZS_EFULL;
	err = knot_tsig_sign_next(wire, len, cap, mac, mac_len, digest, &digest_len, &t->key->knot, wire,
				  *len);
	if (err == KNOT_ESPACE)
		return ZS_EFULL;
	if (err != KNOT_EOK)
		return err == KNOT_ENOMEM ? ZS_ENOMEM : ZS_ECRYPTO;
	memcpy(t->digest, digest, digest_len);
	t->digest_len = digest_len;
	return 0;
}

/* Keeps a message until the next MAC: at most TSIG_UNSIGNED_MAX of them and the signed one, 64 KiB each. */
static int keep_pending(struct tsig *t, const uint8_t *wire, size_t len)
{
	if (len > t->pending_cap - t->pending_len) {
		size_t need = t->pending_len + len, twice = 2 * t->pending_cap;
		size_t cap = twice > need ? twice : need;
		uint8_t *grown = realloc(t->pending, cap);

		if (grown == NULL)
			return ZS_ENOMEM;
		t->pending = grown;
		t->pending_cap = cap;
	}
	memcpy(t->pending + t->pending_len, wire, len);
	t->pending_len += len;
	return 0;
}

/* An answer message without TSIG: legal behind the first one, RFC 8945 5.3.1. */
static int verify_unsigned(struct tsig *t, const uint8_t *wire, size_t len)
{
	if (!t->started)
		return ZS_EAUTH;
	if (t->unsigned_count == TSIG_UNSIGNED_MAX || len > MSG_MAX)
		return ZS_ELIMIT;
	t->unsigned_count++;
	return keep_pending(t, wire, len);
}

static int verify_signed(struct tsig *t, const struct parsed *p, const knot_rrset_t *rr, const uint8_t *wire,
			 size_t len)
{
	const knot_tsig_key_t *key = &t->key->knot;
	int err;

	if (!is_key(t->key, p) || p->error != 0 || p->mac_len > DIGEST_ROOM)
		return ZS_EAUTH;
	if (!t->started) {
		err = knot_tsig_client_check(rr, wire, len, t->digest, t->digest_len, key, 0);
	} else if (t->pending_len == 0) {
		err = knot_tsig_client_check_next(rr, wire, len, t->digest, t->digest_len, key, t->time);
	} else {
		int kept = keep_pending(t, wire, len);

		if (kept != 0)
			return kept;
		err = knot_tsig_client_check_next(rr, t->pending, t->pending_len, t->digest, t->digest_len,
						  key, t->time);
	}
	if (verdict(err) != 0)
		return ZS_EAUTH;
	memcpy(t->digest, p->mac, p->mac_len);
	t->digest_len = p->mac_len;
	t->time = p->time;
	t->started = true;
	t->pending_len = 0;
	t->unsigned_count = 0;
	return 0;
}

int tsig_verify_answer(struct tsig *t, uint8_t *wire, size_t *len, size_t tsig_pos, bool *verified)
{
	struct parsed *p;
	knot_rrset_t rr;
	int err;

	*verified = false;
	if (tsig_pos == 0)
		return verify_unsigned(t, wire, *len);
	p = malloc(sizeof(*p));
	if (p == NULL)
		return ZS_ENOMEM;
	knot_rrset_init_empty(&rr);
	err = parse_record(p, wire, *len, tsig_pos);
	if (err == 0)
		err = knot_record(p, &rr);
	if (err == 0) {
		uint16_t id = be16(wire);

		cut(wire, len, tsig_pos);
		put_be16(wire, p->original_id);
		err = verify_signed(t, p, &rr, wire, *len);
		put_be16(wire, id);
	}
	*verified = err == 0;
	knot_rdataset_clear(&rr.rrs, NULL);
	free(p);
	return err == ZS_EFORMAT ? ZS_EAUTH : err;
}

int tsig_query_key(const uint8_t *wire, size_t len, size_t tsig_pos, uint8_t name[static 255])
{
	struct parsed *p = malloc(sizeof(*p));
	int err;

	if (p == NULL)
		return ZS_ENOMEM;
	err = parse_record(p, wire, len, tsig_pos);
	if (err == 0)
		memcpy(name, p->owner, name_len(p->owner));
	free(p);
	return err;
}

int tsig_add_error(const uint8_t *query, size_t qlen, size_t tsig_pos, uint16_t rcode, uint8_t *wire,
		   size_t *len, size_t cap)
{
	struct parsed *p = malloc(sizeof(*p));
	knot_rrset_t rr;
	int err;

	if (rcode != RC_BADKEY && rcode != RC_BADSIG) { /* BADTIME is signed */
		free(p);
		return ZS_EINVAL;
	}
	if (p == NULL)
		return ZS_ENOMEM;
	knot_rrset_init_empty(&rr);
	err = parse_record(p, query, qlen, tsig_pos);
	if (err == 0)
		err = knot_record(p, &rr);
	if (err == 0) {
		cap = clamp_cap(*len, cap);
		err = *len < cap ? knot_tsig_add(wire, len, cap, rcode, &rr) : KNOT_ESPACE;
		err = err == KNOT_EOK ? 0 : err == KNOT_ESPACE ? ZS_EFULL : ZS_EINVAL;
	}
	knot_rdataset_clear(&rr.rrs, NULL);
	free(p);
	return err;
}
