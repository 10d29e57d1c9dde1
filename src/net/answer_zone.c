/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a zone says to a QUERY: data or NODATA at the apex out of its publication, transfer requests, and
 * REFUSED for every other name. An RRset goes out whole or not at all (RFC 2181 9). Called by answer.c.
 */
#include <stdio.h>
#include <string.h>

#include "answer.h"
#include "base/err.h"

#define EXPIRE_MARGIN_S 3600 /* EDNS EXPIRE runs out an hour before the signatures do */

static const struct rrset *pub_find(const struct pub *p, uint16_t type)
{
	for (size_t i = 0; i < p->nset; i++)
		if (p->set[i].type == type)
			return &p->set[i];
	/* The NSEC at the apex is data of the apex; an NSEC3 stands elsewhere. */
	if (type == T_NSEC && p->denial && p->denial->type == T_NSEC)
		return p->denial;
	return NULL;
}

static int put_data(struct msgw *w, int section, const struct rrset *set, uint32_t ttl)
{
	struct rr rr = { .owner = set->owner, .type = set->type, .class = CLASS_IN, .ttl = ttl };
	int err = 0;

	for (uint32_t i = 0; i < set->nrr && err == 0; i++) {
		if (set->rr[i].flags & RRI_DUP)
			continue;
		rr.rdata = set->rr[i].data;
		rr.rdlen = set->rr[i].len;
		err = msgw_rr(w, section, &rr);
	}
	return err;
}

static int put_sigs(struct msgw *w, int section, const struct rrset *set, uint32_t ttl)
{
	struct rr rr = { .owner = set->owner, .type = T_RRSIG, .class = CLASS_IN, .ttl = ttl };
	int err = 0;

	for (uint8_t i = 0; i < set->nsig && err == 0; i++) {
		rr.rdata = set->sig[i].data;
		rr.rdlen = set->sig[i].len;
		err = msgw_rr(w, section, &rr);
	}
	return err;
}

static int put_set(struct ask *a, int section, const struct rrset *set, uint32_t ttl)
{
	int err = put_data(&a->w, section, set, ttl);

	if (err == 0 && a->m.edns.dnssec_ok)
		err = put_sigs(&a->w, section, set, ttl);
	return err;
}

/* NODATA: SOA with the TTL of negative answers (RFC 2308 3), and the proof (RFC 4035 3.1.3.1, RFC 5155
 * 7.2.3). */
static int put_nodata(struct ask *a, const struct pub *p)
{
	const struct rrset *soa = &p->set[0];
	uint32_t ttl = soa->ttl;
	struct soa s;
	int err;

	if (soa_read(soa->rr[0].data, soa->rr[0].len, &s) == 0 && s.minimum < ttl)
		ttl = s.minimum;
	err = put_set(a, SEC_AUTHORITY, soa, ttl);
	if (err == 0 && a->m.edns.dnssec_ok && p->denial)
		err = put_set(a, SEC_AUTHORITY, p->denial, p->denial->ttl);
	return err;
}

/* min(SOA EXPIRE, what the signatures last, what is left upstream), never below 0 (RFC 7314 4). */
static void put_expire(struct ask *a, const struct net_zone *z)
{
	const struct pub *p = z->pub;
	int64_t left = p->soa_expire;

	if (!a->m.edns.expire_asked)
		return;
	if (p->earliest_expiry != INT64_MAX && p->earliest_expiry - a->now.s - EXPIRE_MARGIN_S < left)
		left = p->earliest_expiry - a->now.s - EXPIRE_MARGIN_S;
	if (z->upstream_left < left)
		left = z->upstream_left;
	a->reply.expire_set = true;
	a->reply.expire = left > 0 ? (uint32_t)left : 0;
}

/* What did not fit: TC and no records over UDP; over TCP there is no larger answer to be had. */
static enum answer_act answer_too_big(struct ask *a)
{
	if (a->peer->tcp)
		return ask_error(a, RC_SERVFAIL, EDE_OTHER, "answer larger than a message");
	ask_begin(a, F_AA | F_TC, RC_NOERROR);
	return ask_end(a, RC_NOERROR);
}

static enum answer_act answer_apex(struct ask *a, struct net_zone *z, const struct acl_entry *listed)
{
	const struct pub *p = z->pub;
	uint16_t qtype = a->m.qtype;
	const struct rrset *set;
	int err;

	/* RFC 8482 4.1: ANY is one RRset; RRSIG alone would be as large (section 7 there): the SOA's. */
	set = qtype == T_ANY || qtype == T_RRSIG ? &p->set[0] : pub_find(p, qtype);
	if (qtype == T_SOA)
		put_expire(a, z);
	ask_begin(a, F_AA, RC_NOERROR);
	if (qtype == T_RRSIG && set->nsig > 0)
		err = put_sigs(&a->w, SEC_ANSWER, set, set->ttl);
	else if (qtype == T_RRSIG || !set)
		err = put_nodata(a, p);
	else
		err = put_set(a, SEC_ANSWER, set, set->ttl);
	if (err != 0)
		return answer_too_big(a);
	/* TCP or a verified key: it is really them who know the serial now. */
	if (qtype == T_SOA && listed && (a->peer->tcp || a->key) && a->env->ops->soa_seen)
		a->env->ops->soa_seen(a->env->ctx, z, listed->name, p->serial);
	return ask_end(a, RC_NOERROR);
}

/* The differences from step i on, each behind its old SOA and with its new one in the middle, between two of
 * our SOA (RFC 1995 4). ZS_EFULL when the client does not take so much. */
static int put_steps(struct ask *a, const struct pub *p, size_t i)
{
	int err = put_data(&a->w, SEC_ANSWER, &p->set[0], p->set[0].ttl);

	for (; i < p->nstep && err == 0; i++)
		for (size_t k = 0; k < p->step[i].nremoved + p->step[i].nadded && err == 0; k++)
			err = msgw_rr(&a->w, SEC_ANSWER, &p->step[i].rr[k]);
	return err != 0 ? err : put_data(&a->w, SEC_ANSWER, &p->set[0], p->set[0].ttl);
}

/* Which step begins at this serial; nstep: none from which one leads to the next up to here. */
static size_t find_step(const struct pub *p, uint32_t serial)
{
	uint32_t to = p->serial;

	for (size_t i = p->nstep; i-- > 0 && p->step[i].to == to; to = p->step[i].from)
		if (p->step[i].from == serial)
			return i;
	return p->nstep;
}

/* One SOA: "you have it", or over UDP "come by TCP" (RFC 1995 2 and 4). Without signatures: a client
 * counts records. */
static enum answer_act answer_single_soa(struct ask *a, struct net_zone *z)
{
	put_expire(a, z);
	ask_begin(a, F_AA, RC_NOERROR);
	if (put_data(&a->w, SEC_ANSWER, &z->pub->set[0], z->pub->set[0].ttl) != 0)
		return answer_too_big(a);
	return ask_end(a, RC_NOERROR);
}

/* From memory, or else the client has to come by TCP: the loop does not touch the store. */
static enum answer_act answer_ixfr_udp(struct ask *a, struct net_zone *z, uint32_t serial)
{
	size_t i = find_step(z->pub, serial);

	if (i == z->pub->nstep)
		return answer_single_soa(a, z);
	put_expire(a, z);
	ask_begin(a, F_AA, RC_NOERROR);
	if (put_steps(a, z->pub, i) != 0)
		return answer_single_soa(a, z);
	STAT_INC(a->env->stats, ixfr_udp);
	return ask_end(a, RC_NOERROR);
}

/* Serial of the SOA in the authority section of an IXFR query (RFC 1995 3). */
static bool ixfr_serial(const struct ask *a, uint32_t *serial)
{
	uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr m = a->m;
	struct soa soa;
	struct rr rr;
	int section;

	if (m.count[SEC_AUTHORITY] != 1 || m.count[SEC_ANSWER] != 0)
		return false;
	if (msgr_rr(&m, &rr, &section, owner, rdata) != 0 || section != SEC_AUTHORITY || rr.type != T_SOA ||
	    rr.class != CLASS_IN || !name_eq(rr.owner, a->qname) || soa_read(rr.rdata, rr.rdlen, &soa) != 0)
		return false;
	*serial = soa.serial;
	return true;
}

static enum answer_act start_transfer(struct ask *a, struct net_zone *z, const struct acl_entry *who,
				      const uint32_t *from)
{
	struct xfr_request *x = &a->out->xfr;

	put_expire(a, z);
	*x = (struct xfr_request){ .pub = pub_ref(z->pub), .tsig = a->tsig, .key = a->key, .id = a->m.id,
				   .flags = a->m.flags & F_RD, .qtype = a->m.qtype, .edns = a->reply };
	x->incremental = from != NULL;
	x->serial = from ? *from : 0;
	snprintf(x->secondary, sizeof(x->secondary), "%s", who->name ? who->name : "");
	memcpy(x->qname, a->m.qname, a->m.qname_len);
	a->tsig = NULL; /* the transfer's now */
	return ANSWER_XFR;
}

static enum answer_act answer_transfer(struct ask *a, struct net_zone *z, const struct acl_entry *who)
{
	struct server_stats *st = a->env->stats;
	enum serial_order order;
	uint32_t serial;

	if (a->m.qtype == T_AXFR && !a->peer->tcp) {
		STAT_INC(st, xfr_refused);
		return ask_error(a, RC_REFUSED, EDE_NOT_SUPPORTED, "AXFR is for TCP");
	}
	if (a->m.qtype == T_IXFR) {
		if (!ixfr_serial(a, &serial))
			return ask_error(a, RC_FORMERR, EDE_NONE, NULL);
		order = serial_cmp(serial, z->pub->serial);
		if (order == SERIAL_EQ || order == SERIAL_GT) {
			STAT_INC(st, ixfr_uptodate);
			return answer_single_soa(a, z);
		}
		if (!a->peer->tcp)
			return answer_ixfr_udp(a, z, serial);
		/* RFC 1982 knows no order of the two: no difference leads from one to the other */
		if (order == SERIAL_LT)
			return start_transfer(a, z, who, &serial);
	}
	return start_transfer(a, z, who, NULL);
}

/* Names that are no apex of ours. */
static enum answer_act answer_elsewhere(struct ask *a, bool transfer)
{
	if (transfer) {
		STAT_INC(a->env->stats, xfr_refused);
		return ask_error(a, RC_NOTAUTH, EDE_NOT_AUTH, NULL); /* RFC 5936 2.2.1 */
	}
	if (a->env->ops->below_zone && a->env->ops->below_zone(a->env->ctx, a->qname))
		return ask_error(a, RC_REFUSED, EDE_NOT_SUPPORTED, "only zone apexes are answered here");
	return ask_error(a, RC_REFUSED, EDE_NOT_AUTH, NULL);
}

enum answer_act ask_zone(struct ask *a)
{
	bool transfer = a->m.qtype == T_AXFR || a->m.qtype == T_IXFR;
	const struct acl_entry *listed;
	struct net_zone *z = a->env->ops->find(a->env->ctx, a->qname);

	if (!z)
		return answer_elsewhere(a, transfer);
	listed = acl_match(&z->transfer, &a->peer->from, a->key);
	if (!listed && (transfer || !acl_match(&z->query, &a->peer->from, a->key))) {
		if (transfer)
			STAT_INC(a->env->stats, xfr_refused);
		if (transfer && a->env->ops->refused)
			a->env->ops->refused(a->env->ctx, z->name, &a->peer->from, "transfer",
					     a->key != NULL);
		return ask_error(a, RC_REFUSED, EDE_PROHIBITED, NULL);
	}
	if (!transfer && a->m.qtype != T_ANY && rr_type_is_meta(a->m.qtype))
		return ask_error(a, RC_NOTIMP, EDE_NOT_SUPPORTED, NULL); /* RFC 8906 3.1.3 */
	if (z->expired)
		return ask_error(a, RC_SERVFAIL, EDE_INVALID_DATA, "zone expired");
	if (!z->pub || z->pub->nset == 0)
		return ask_error(a, RC_SERVFAIL, EDE_NOT_READY, NULL);
	return transfer ? answer_transfer(a, z, listed) : answer_apex(a, z, listed);
}
