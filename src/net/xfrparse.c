/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Reading a transfer (RFC 5936 2.2, RFC 1995 4). The first record is the zone's SOA; an AXFR ends where the
 * same SOA comes again. In an answer to IXFR the second record decides: the SOA with our serial opens
 * differences, anything else makes it an AXFR; a lone SOA that is not newer than ours means "up to date".
 * Everything that is not exactly so ends the transfer: what was handed on until then counts for nothing.
 * Records go to on_rr before the signature over them has been seen; the end is only reached with all of it
 * verified.
 */
#include "xfrparse.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"

void xfrp_init(struct xfrp *p)
{
	p->state = XFRP_START;
	memset(&p->res, 0, sizeof(p->res));
}

static int broken(struct xfrp *p, int err, const char *why)
{
	snprintf(p->res.text, sizeof(p->res.text), "%s", why);
	return err;
}

static int check_header(struct xfrp *p, const struct msgr *m)
{
	if (m->id != p->id || !(m->flags & F_QR) || m->opcode != OP_QUERY)
		return broken(p, ZS_EPEER, "not an answer to this query");
	if (m->flags & F_TC)
		return broken(p, ZS_EPEER, "truncated message");
	if (m->count[0] > 1 || (m->count[0] == 0 && p->res.messages == 1 && m->rcode == RC_NOERROR))
		return broken(p, ZS_EPEER, "wrong number of questions");
	if (m->count[0] == 1 &&
	    (m->qtype != p->qtype || m->qclass != CLASS_IN || !name_eq(m->qname, p->zone)))
		return broken(p, ZS_EPEER, "answer to another question");
	return 0;
}

static int check_rcode(struct xfrp *p, const struct msgr *m)
{
	if (m->rcode == RC_NOERROR)
		return 0;
	p->res.rcode = m->rcode;
	snprintf(p->res.text, sizeof(p->res.text), "rcode %u", (unsigned)m->rcode);
	return ZS_EPEER;
}

/* Verifies, and opens the message again without its TSIG. *verified: everything up to here is. */
static int check_tsig(struct xfrp *p, struct msgr *m, uint8_t *wire, size_t len, bool *verified)
{
	bool had = m->tsig_pos != 0;
	int err;

	if (!p->tsig) {
		*verified = true;
		return had ? broken(p, ZS_EPEER, "signed although no key was used") : 0;
	}
	*verified = false;
	if (!had && m->rcode != RC_NOERROR) {
		check_rcode(p, m);
		return ZS_EPEER; /* an error without a signature is an error all the same */
	}
	if (!had && p->res.messages == 1)
		return broken(p, ZS_EAUTH, "first message is not signed");
	err = tsig_verify_answer(p->tsig, wire, &len, m->tsig_pos, verified);
	if (err == ZS_ELIMIT)
		return broken(p, ZS_EAUTH, "over 99 messages without a signature");
	if (err != 0) {
		p->res.rcode = m->rcode;
		return broken(p, ZS_EAUTH, "signature does not verify");
	}
	if (had && msgr_open(m, wire, len) != 0)
		return broken(p, ZS_EFORMAT, "malformed message");
	return 0;
}

static bool is_zone_soa(const struct xfrp *p, const struct rr *rr)
{
	return rr->type == T_SOA && rr->class == CLASS_IN && name_eq(rr->owner, p->zone);
}

static bool same_as_first(const struct xfrp *p, const struct rr *rr)
{
	uint8_t canon[sizeof(p->soa)];

	if (rr->rdlen != p->soa_len)
		return false;
	rdata_canonical(T_SOA, rr->rdata, rr->rdlen, canon);
	return memcmp(canon, p->soa, rr->rdlen) == 0;
}

static int read_first(struct xfrp *p, const struct rr *rr)
{
	if (!is_zone_soa(p, rr) || rr->rdlen > sizeof(p->soa) ||
	    soa_read(rr->rdata, rr->rdlen, &p->res.soa) != 0)
		return broken(p, ZS_EFORMAT, "does not begin with the SOA of the zone");
	rdata_canonical(T_SOA, rr->rdata, rr->rdlen, p->soa);
	p->soa_len = rr->rdlen;
	if (p->qtype == T_AXFR) {
		p->res.kind = XFR_AXFR;
		p->state = XFRP_AXFR;
	} else {
		p->state = XFRP_SECOND;
	}
	return 0;
}

static int end_of_stream(struct xfrp *p, const struct rr *rr, const char *what)
{
	if (!same_as_first(p, rr))
		return broken(p, ZS_EFORMAT, what);
	p->state = XFRP_END;
	return 0;
}

/* The old SOA of the next difference: it must go on where the last one ended. */
static int read_old_soa(struct xfrp *p, const struct rr *rr, uint32_t expected)
{
	struct soa soa;

	if (soa_read(rr->rdata, rr->rdlen, &soa) != 0 || soa.serial != expected)
		return broken(p, ZS_EFORMAT, "differences do not follow each other");
	p->at_serial = soa.serial;
	p->state = XFRP_IXFR_DEL;
	return 0;
}

static int read_new_soa(struct xfrp *p, const struct rr *rr)
{
	struct soa soa;

	if (soa_read(rr->rdata, rr->rdlen, &soa) != 0)
		return broken(p, ZS_EFORMAT, "malformed SOA");
	if (serial_cmp(soa.serial, p->at_serial) != SERIAL_GT)
		return broken(p, ZS_EFORMAT, "a difference does not lead to a newer serial");
	if (soa.serial == p->res.soa.serial && !same_as_first(p, rr))
		return broken(p, ZS_EFORMAT, "two SOAs with one serial differ");
	p->at_serial = soa.serial;
	p->state = XFRP_IXFR_ADD;
	return 0;
}

static int read_second(struct xfrp *p, const struct rr *rr)
{
	struct soa soa;

	if (is_zone_soa(p, rr) && soa_read(rr->rdata, rr->rdlen, &soa) == 0 &&
	    soa.serial != p->res.soa.serial) {
		p->res.kind = XFR_IXFR;
		return read_old_soa(p, rr, p->ixfr_serial);
	}
	p->res.kind = XFR_AXFR;
	p->state = XFRP_AXFR;
	return is_zone_soa(p, rr) ? end_of_stream(p, rr, "two SOAs with one serial differ") : 0;
}

/* What a record does to the state, before it is handed on. */
static int note_record(struct xfrp *p, const struct rr *rr)
{
	switch (p->state) {
	case XFRP_START:
		return read_first(p, rr);
	case XFRP_SECOND:
		return read_second(p, rr);
	case XFRP_AXFR:
		return is_zone_soa(p, rr)
			   ? end_of_stream(p, rr, "SOA at the end differs from the first: torn")
			   : 0;
	case XFRP_IXFR_DEL:
		return is_zone_soa(p, rr) ? read_new_soa(p, rr) : 0;
	case XFRP_IXFR_ADD:
		if (!is_zone_soa(p, rr))
			return 0;
		if (p->at_serial == p->res.soa.serial)
			return end_of_stream(p, rr, "SOA at the end differs from the first: torn");
		return read_old_soa(p, rr, p->at_serial);
	case XFRP_END:
		break;
	}
	return broken(p, ZS_EFORMAT, "records behind the closing SOA");
}

static int read_records(struct xfrp *p, struct msgr *m)
{
	struct rr rr;
	int section, err = 0;

	while (err == 0) {
		err = msgr_rr(m, &rr, &section, p->owner, p->rdata);
		if (err == ZS_ENOENT)
			return 0;
		if (err != 0)
			return broken(p, ZS_EFORMAT, "malformed record");
		if (section != SEC_ANSWER) /* RFC 5936 2.2.4, 2.2.5: nothing of the zone stands there */
			return 0;
		err = note_record(p, &rr);
		if (err == 0) {
			p->res.records++;
			err = p->on_rr(p->ctx, &rr);
			if (err != 0 && p->res.text[0] == 0)
				broken(p, err, zs_strerror(err));
		}
	}
	return err;
}

int xfrp_message(struct xfrp *p, uint8_t *wire, size_t len)
{
	bool verified = false, lone;
	struct msgr m;
	int err;

	p->res.messages++;
	p->res.octets += len;
	/* Who says "up to date" with one record a message may have meant more: it is no matter. */
	if (p->state == XFRP_END && p->res.kind == XFR_UPTODATE)
		return 0;
	if (p->state == XFRP_END)
		return broken(p, ZS_EFORMAT, "messages behind the closing SOA");
	if (p->max_octets > 0 && p->res.octets > p->max_octets)
		return broken(p, ZS_ELIMIT, "larger than the limit");
	if (msgr_open(&m, wire, len) != 0)
		return broken(p, ZS_EFORMAT, "malformed message");
	err = check_header(p, &m);
	if (err == 0)
		err = check_tsig(p, &m, wire, len, &verified);
	if (err == 0)
		err = check_rcode(p, &m);
	if (err != 0)
		return err;
	if (m.count[SEC_ANSWER] == 0)
		return broken(p, ZS_EFORMAT, "message without records");
	lone = p->state == XFRP_START && m.count[SEC_ANSWER] == 1;
	err = read_records(p, &m);
	if (err != 0)
		return err;
	/* A lone SOA that is not newer than ours: nothing follows (RFC 1995 4). */
	if (lone && p->state == XFRP_SECOND && serial_cmp(p->res.soa.serial, p->ixfr_serial) != SERIAL_GT) {
		p->res.kind = XFR_UPTODATE;
		p->state = XFRP_END;
	}
	if (p->state == XFRP_END && !verified)
		return broken(p, ZS_EAUTH, "last message is not signed");
	return 0;
}
