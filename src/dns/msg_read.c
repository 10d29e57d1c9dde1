/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading messages. msgr_open() walks every record once without looking into RDATA, so that counts, lengths
 * and the places of OPT and TSIG are known before anything is believed; msgr_rr() then unpacks record by
 * record. After a failed open only the header fields may be used (for a FORMERR answer).
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/msg.h"

enum { OPT_NSID = 3, OPT_EXPIRE = 9, OPT_COOKIE = 10, OPT_EDE = 15 };

/* The fixed part of a record. */
struct head {
	size_t owner, rdata; /* offsets */
	uint16_t type, class, rdlen;
	uint32_t ttl;
};

/* Steps over a name without following its pointer. */
static int skip_name(const uint8_t *wire, size_t len, size_t *pos)
{
	size_t at = *pos;

	while (at < len) {
		uint8_t c = wire[at];

		if (c >= 0xc0) {
			*pos = at + 2;
			return *pos <= len ? 0 : ZS_ETRUNC;
		}
		if (c > 63 || at - *pos > NAME_MAX_WIRE)
			return ZS_EFORMAT;
		at += 1 + (size_t)c;
		if (c == 0) {
			*pos = at;
			return 0;
		}
	}
	return ZS_ETRUNC;
}

/* Reads a record's head at *pos and steps behind its RDATA. */
static int read_head(const struct msgr *m, size_t *pos, struct head *h)
{
	size_t at = *pos;
	const uint8_t *p;
	int err;

	h->owner = at;
	err = skip_name(m->wire, m->len, &at);
	if (err != 0)
		return err;
	if (m->len - at < 10)
		return ZS_ETRUNC;
	p = m->wire + at;
	*h = (struct head){ .owner = h->owner, .rdata = at + 10, .type = be16(p), .class = be16(p + 2),
			    .ttl = be32(p + 4), .rdlen = be16(p + 8) };
	if (h->rdlen > m->len - h->rdata)
		return ZS_ETRUNC;
	*pos = h->rdata + h->rdlen;
	return 0;
}

static void read_cookie(struct edns *e, const uint8_t *data, uint16_t len)
{
	/* RFC 7873 5.2.2: 8 octets, or 16 to 40; anything else is FORMERR */
	e->cookie_bad = len != 8 && (len < 16 || len > EDNS_COOKIE_MAX);
	if (!e->cookie_bad) {
		memcpy(e->cookie, data, len);
		e->cookie_len = (uint8_t)len;
	}
}

static int read_option(struct edns *e, uint16_t code, const uint8_t *data, uint16_t len)
{
	switch (code) {
	case OPT_NSID:
		e->nsid_asked = true;
		break;
	case OPT_EXPIRE:
		if (len != 0 && len != 4)
			return ZS_EFORMAT;
		e->expire_asked = len == 0;
		e->expire_set = len == 4;
		e->expire = len == 4 ? be32(data) : 0;
		break;
	case OPT_COOKIE:
		if (e->cookie_len == 0 && !e->cookie_bad) /* the first one counts, RFC 7873 4 */
			read_cookie(e, data, len);
		break;
	case OPT_EDE:
		if (len < 2)
			return ZS_EFORMAT;
		e->ede = be16(data);
		break;
	default: /* unknown options are ignored, RFC 6891 6.1.2 */
		break;
	}
	return 0;
}

static int read_opt(struct msgr *m, const struct head *h)
{
	struct edns *e = &m->edns;
	struct rd r = rd_init(m->wire + h->rdata, h->rdlen);
	int err = 0;

	if (e->present || m->wire[h->owner] != 0)
		return ZS_EFORMAT;
	e->present = true;
	e->udp_size = h->class;
	e->ext_rcode = (uint8_t)(h->ttl >> 24);
	e->version = (uint8_t)(h->ttl >> 16);
	e->dnssec_ok = (h->ttl & 0x8000) != 0;
	while (err == 0 && rd_left(&r) > 0) {
		uint16_t code = rd_u16(&r), len = rd_u16(&r);
		const uint8_t *data = rd_bytes(&r, len);

		err = data != NULL && r.err == 0 ? read_option(e, code, data, len) : ZS_EFORMAT;
	}
	return err;
}

/* One record while the message is walked: only OPT and TSIG are looked at. */
static int note_record(struct msgr *m, const struct head *h, int section, bool last)
{
	if (h->type == T_OPT)
		return section == SEC_ADDITIONAL ? read_opt(m, h) : ZS_EFORMAT;
	if (h->type != T_TSIG)
		return 0;
	if (section != SEC_ADDITIONAL || !last || h->class != T_ANY) /* RFC 8945 5.1; class ANY is 255 too */
		return ZS_EFORMAT;
	m->tsig_pos = h->owner;
	return 0;
}

static int walk_records(struct msgr *m, size_t pos)
{
	struct head h;
	int err;

	for (int section = SEC_ANSWER; section <= SEC_ADDITIONAL; section++) {
		for (unsigned left = m->count[section]; left > 0; left--) {
			err = read_head(m, &pos, &h);
			if (err == 0)
				err = note_record(m, &h, section, left == 1);
			if (err != 0)
				return ZS_EFORMAT;
		}
	}
	return pos == m->len ? 0 : ZS_EFORMAT;
}

static int read_questions(struct msgr *m)
{
	uint8_t name[NAME_MAX_WIRE];
	size_t len;

	for (unsigned i = 0; i < m->count[0]; i++) {
		int err = name_unpack(m->wire, m->len, &m->pos, name, &len);

		if (err != 0 || m->len - m->pos < 4)
			return ZS_EFORMAT;
		if (i == 0) {
			memcpy(m->qname, name, len);
			m->qname_len = len;
			m->qtype = be16(m->wire + m->pos);
			m->qclass = be16(m->wire + m->pos + 2);
		}
		m->pos += 4;
	}
	return 0;
}

int msgr_open(struct msgr *m, const uint8_t *wire, size_t len)
{
	int err;

	memset(m, 0, sizeof(*m));
	m->wire = wire;
	m->len = len;
	m->edns.ede = -1;
	if (len < MSG_HEADER)
		return ZS_ETRUNC;
	m->id = be16(wire);
	m->flags = be16(wire + 2);
	m->opcode = (m->flags >> 11) & 15;
	m->rcode = m->flags & 15;
	for (unsigned i = 0; i < 4; i++)
		m->count[i] = be16(wire + 4 + 2 * i);
	m->pos = MSG_HEADER;
	err = len <= MSG_MAX ? read_questions(m) : ZS_EFORMAT;
	if (err == 0)
		err = walk_records(m, m->pos);
	m->section = SEC_ANSWER;
	m->left = err == 0 ? m->count[SEC_ANSWER] : 0;
	if (err != 0)
		m->section = SEC_ADDITIONAL; /* nothing to iterate */
	return err;
}

/* Head of the next record that is neither OPT nor TSIG. */
static int next_head(struct msgr *m, struct head *h)
{
	do {
		int err;

		while (m->left == 0) {
			if (m->section == SEC_ADDITIONAL)
				return ZS_ENOENT;
			m->left = m->count[++m->section];
		}
		err = read_head(m, &m->pos, h);
		if (err != 0)
			return ZS_EFORMAT;
		m->left--;
	} while (h->type == T_OPT || h->type == T_TSIG);
	return 0;
}

int msgr_rr(struct msgr *m, struct rr *out, int *section, uint8_t *owner_buf, uint8_t *rdata_buf)
{
	struct head h;
	uint16_t rdlen;
	size_t len, pos;
	int err = next_head(m, &h);

	if (err != 0)
		return err;
	pos = h.owner;
	err = name_unpack(m->wire, m->len, &pos, owner_buf, &len);
	if (err == 0)
		err = rdata_unpack(m->wire, m->len, h.rdata, h.rdlen, h.type, rdata_buf, &rdlen);
	if (err != 0)
		return ZS_EFORMAT;
	*out = (struct rr){ .owner = owner_buf, .type = h.type, .class = h.class, .ttl = h.ttl,
			    .rdata = rdata_buf, .rdlen = rdlen };
	*section = m->section;
	return 0;
}
