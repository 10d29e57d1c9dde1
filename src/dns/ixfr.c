/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gathering of an IXFR (RFC 1995 4). The second record says what the answer is: an SOA of another serial
 * than the opening one begins a difference, everything else is the zone itself. SOAs then must lead from our
 * serial to the opening one without a gap, each step upwards (RFC 1982). Records are copied into one arena
 * as they came; nothing is judged here but the order of SOAs. Called by a worker while the transfer runs.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "ixfr_impl.h"

#define ARENA_ROUNDING 16

int ixfr_new(const uint8_t *zone, uint32_t serial, const struct ixfr_limits *lim, struct ixfr **out)
{
	static const struct ixfr_limits defaults = { .octets = IXFR_OCTETS, .work = IXFR_WORK };
	struct ixfr *x = calloc(1, sizeof(*x));

	if (x == NULL || (x->mem = arena_new(0)) == NULL) {
		free(x);
		return ZS_ENOMEM;
	}
	name_copy_lower(x->zone, zone);
	x->serial = serial;
	x->lim = lim != NULL ? *lim : defaults;
	*out = x;
	return 0;
}

void ixfr_free(struct ixfr *x)
{
	if (x == NULL)
		return;
	arena_free(x->mem);
	free(x);
}

int ixfr_fail(struct ixfr *x, enum ixfr_fault fault, int err, const char *fmt, ...)
{
	va_list ap;

	x->fault = fault;
	va_start(ap, fmt);
	vsnprintf(x->text, sizeof(x->text), fmt, ap);
	va_end(ap);
	return err;
}

static int too_large(struct ixfr *x)
{
	return ixfr_fail(x, IXFR_LIMIT, ZS_ELIMIT, "the difference is larger than what is kept in memory");
}

/* Room within the bound. */
static int room(struct ixfr *x, size_t len, void **out)
{
	if (x->lim.octets > 0 && arena_used(x->mem) + len + ARENA_ROUNDING > x->lim.octets)
		return too_large(x);
	*out = arena_alloc(x->mem, len);
	if (*out == NULL)
		return ixfr_fail(x, IXFR_LOCAL, ZS_ENOMEM, "%s", zs_strerror(ZS_ENOMEM));
	return 0;
}

static int keep(struct ixfr *x, const struct rr *rr, struct ixfr_rec **out)
{
	size_t olen = name_len(rr->owner);
	struct ixfr_rec *r;
	void *p;
	int err = room(x, sizeof(*r) + olen + rr->rdlen, &p);

	if (err != 0)
		return err;
	r = p;
	*r = (struct ixfr_rec){ .ttl = rr->ttl > INT32_MAX ? 0 : rr->ttl, /* RFC 2181 8 */
				.type = rr->type, .class = rr->class, .rdlen = rr->rdlen,
				.olen = (uint8_t)olen };
	memcpy(r->octets, rr->owner, olen);
	if (rr->rdlen > 0)
		memcpy(r->octets + olen, rr->rdata, rr->rdlen);
	*out = r;
	return 0;
}

static int broken(struct ixfr *x, const char *why)
{
	return ixfr_fail(x, IXFR_SEQUENCE, ZS_EFORMAT, "%s", why);
}

static bool is_zone_soa(const struct ixfr *x, const struct rr *rr)
{
	return rr->type == T_SOA && rr->class == CLASS_IN && name_eq(rr->owner, x->zone);
}

static bool same_as_first(const struct ixfr *x, const struct rr *rr)
{
	const uint8_t *first = x->soa->octets + x->soa->olen;

	return rdata_cmp_canonical(T_SOA, first, x->soa->rdlen, rr->rdata, rr->rdlen) == 0;
}

static int take_first(struct ixfr *x, const struct rr *rr)
{
	struct soa soa;

	if (!is_zone_soa(x, rr) || rdata_check(T_SOA, rr->rdata, rr->rdlen) != 0 ||
	    soa_read(rr->rdata, rr->rdlen, &soa) != 0)
		return broken(x, "does not begin with the SOA of the zone");
	x->soa_serial = soa.serial;
	x->state = IXS_SECOND;
	return keep(x, rr, &x->soa);
}

/* The old SOA of the next step: it must go on where the last one ended. */
static int take_old(struct ixfr *x, uint32_t serial)
{
	uint32_t expected = x->last != NULL ? x->last->to : x->serial;
	struct ixfr_step *s;
	void *p;
	int err;

	if (serial != expected)
		return ixfr_fail(x, IXFR_SEQUENCE, ZS_EFORMAT,
				 "differences do not follow each other: %u comes where %u was expected",
				 serial, expected);
	err = room(x, sizeof(*s), &p);
	if (err != 0)
		return err;
	s = p;
	*s = (struct ixfr_step){ .from = serial };
	if (x->last != NULL)
		x->last->next = s;
	else
		x->first = s;
	x->last = s;
	x->steps++;
	x->tail = &s->list[IXFR_DEL];
	x->state = IXS_DEL;
	return 0;
}

static int take_new(struct ixfr *x, const struct rr *rr, uint32_t serial)
{
	if (serial_cmp(x->last->from, serial) != SERIAL_LT)
		return ixfr_fail(x, IXFR_SEQUENCE, ZS_EFORMAT,
				 "a difference leads from %u to %u, which is not newer", x->last->from,
				 serial);
	if (serial == x->soa_serial && !same_as_first(x, rr))
		return broken(x, "two SOAs with one serial differ");
	x->last->to = serial;
	x->tail = &x->last->list[IXFR_ADD];
	x->state = IXS_ADD;
	return 0;
}

static int take_second(struct ixfr *x, const struct rr *rr)
{
	struct soa soa;

	if (!is_zone_soa(x, rr) || soa_read(rr->rdata, rr->rdlen, &soa) != 0 || soa.serial == x->soa_serial) {
		x->kind = IXFR_AXFR;
		x->state = IXS_AXFR;
		return 0;
	}
	x->kind = IXFR_DIFFERENCE;
	return take_old(x, soa.serial);
}

static int take_soa(struct ixfr *x, const struct rr *rr)
{
	struct soa soa;

	if (rdata_check(T_SOA, rr->rdata, rr->rdlen) != 0 || soa_read(rr->rdata, rr->rdlen, &soa) != 0)
		return broken(x, "malformed SOA");
	if (x->state == IXS_DEL)
		return take_new(x, rr, soa.serial);
	if (x->last->to != x->soa_serial)
		return take_old(x, soa.serial);
	if (!same_as_first(x, rr))
		return broken(x, "the SOA at the end differs from the first: torn");
	x->state = IXS_END;
	return 0;
}

static int take_record(struct ixfr *x, const struct rr *rr)
{
	struct ixfr_rec *r;
	int err = keep(x, rr, &r);

	if (err != 0)
		return err;
	*x->tail = r;
	x->tail = &r->next;
	return 0;
}

static int take(struct ixfr *x, const struct rr *rr)
{
	switch (x->state) {
	case IXS_START:
		return take_first(x, rr);
	case IXS_SECOND:
		return take_second(x, rr);
	case IXS_DEL:
	case IXS_ADD:
		return is_zone_soa(x, rr) ? take_soa(x, rr) : take_record(x, rr);
	case IXS_AXFR:
		return 0;
	case IXS_END:
		return broken(x, "records behind the closing SOA");
	case IXS_BROKEN:
		break;
	}
	return x->err;
}

int ixfr_add(struct ixfr *x, const struct rr *rr)
{
	int err;

	x->records++;
	if (x->lim.records > 0 && x->records > x->lim.records && x->state != IXS_AXFR &&
	    x->state != IXS_BROKEN)
		err = too_large(x);
	else
		err = take(x, rr);
	if (err != 0) {
		x->state = IXS_BROKEN;
		x->err = err;
	}
	return err;
}

enum ixfr_kind ixfr_kind(const struct ixfr *x)
{
	return x->kind;
}

bool ixfr_is_complete(const struct ixfr *x)
{
	return x->state == IXS_END;
}

int ixfr_soa(const struct ixfr *x, struct rr *out)
{
	if (x->soa == NULL)
		return ZS_ENOENT;
	*out = ixfr_rr(x->soa);
	return 0;
}

uint64_t ixfr_records(const struct ixfr *x)
{
	return x->records;
}

size_t ixfr_steps(const struct ixfr *x)
{
	return x->steps;
}

enum ixfr_fault ixfr_fault(const struct ixfr *x)
{
	return x->fault;
}

const char *ixfr_text(const struct ixfr *x)
{
	return x->text;
}

const char *ixfr_fault_text(enum ixfr_fault f)
{
	static const char *const text[] = { "none", "sequence", "limit", "input", "mismatch", "duplicates",
					    "local" };

	return (unsigned)f < sizeof(text) / sizeof(text[0]) ? text[f] : "unknown";
}

/* The owners of a list; those that the other has at the same place are left out. */
static int list_owners(const struct ixfr_rec *r, const struct ixfr_rec *but,
		       int (*fn)(void *ctx, const uint8_t *owner), void *ctx)
{
	int err = 0;

	for (; err == 0 && r != NULL; r = r->next) {
		if (but == NULL || but->olen != r->olen || memcmp(but->octets, r->octets, r->olen) != 0)
			err = fn(ctx, r->octets);
		but = but != NULL ? but->next : NULL;
	}
	return err;
}

int ixfr_owners(const struct ixfr *x, int (*fn)(void *ctx, const uint8_t *owner), void *ctx)
{
	int err = 0;

	for (const struct ixfr_step *s = x->first; err == 0 && s != NULL; s = s->next)
		err = list_owners(s->list[IXFR_ADD], s->list[IXFR_DEL], fn, ctx);
	for (const struct ixfr_step *s = x->first; err == 0 && s != NULL; s = s->next)
		err = list_owners(s->list[IXFR_DEL], NULL, fn, ctx);
	return err;
}
