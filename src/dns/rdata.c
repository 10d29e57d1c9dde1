/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * RDATA: layouts, the way out of a message, checks, canonical form. libknot's descriptors stop at names and
 * remainders, and its parser once let a compressed name hide trailing octets, so the table is our own and
 * every field is walked with bounds. One walker serves messages (pointers allowed, names expanded) and
 * stored RDATA (no pointers). Types that are not in the table are opaque (RFC 3597 5).
 */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/rr.h"
#include "layout.h"

#define SVCB_FIELDS { 2, LF_NAME, LF_PARAMS }

/* clang-format off */
static const struct layout layouts[] = {
	[1] = { .field = { 4 } },                                                       /* A */
	[2] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* NS */
	[3] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* MD */
	[4] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* MF */
	[5] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* CNAME */
	[6] = { .field = { LF_CNAME, LF_CNAME, 20 }, .folds = true, .compresses = true }, /* SOA */
	[7] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* MB */
	[8] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* MG */
	[9] = { .field = { LF_CNAME }, .folds = true, .compresses = true },             /* MR */
	[10] = { .field = { LF_REST } },                                                /* NULL */
	[11] = { .field = { 5, LF_REST } },                                             /* WKS */
	[12] = { .field = { LF_CNAME }, .folds = true, .compresses = true },            /* PTR */
	[13] = { .field = { LF_STRING, LF_STRING } },                                   /* HINFO */
	[14] = { .field = { LF_CNAME, LF_CNAME }, .folds = true, .compresses = true },  /* MINFO */
	[15] = { .field = { 2, LF_CNAME }, .folds = true, .compresses = true },         /* MX */
	[16] = { .field = { LF_STRINGS } },                                             /* TXT */
	[17] = { .field = { LF_DNAME, LF_DNAME }, .folds = true },                      /* RP */
	[18] = { .field = { 2, LF_DNAME }, .folds = true },                             /* AFSDB */
	[19] = { .field = { LF_STRING } },                                              /* X25 */
	[20] = { .field = { LF_STRINGS } },                                             /* ISDN */
	[21] = { .field = { 2, LF_DNAME }, .folds = true },                             /* RT */
	[24] = { .field = { 18, LF_DNAME, LF_REST }, .folds = true },                   /* SIG */
	[25] = { .field = { 4, LF_REST } },                                             /* KEY */
	[26] = { .field = { 2, LF_DNAME, LF_DNAME }, .folds = true },                   /* PX */
	[27] = { .field = { LF_STRING, LF_STRING, LF_STRING } },                        /* GPOS */
	[28] = { .field = { 16 } },                                                     /* AAAA */
	[29] = { .field = { LF_REST1 } },                                               /* LOC */
	[30] = { .field = { LF_DNAME, LF_REST }, .folds = true },                       /* NXT */
	[33] = { .field = { 6, LF_DNAME }, .folds = true },                             /* SRV */
	[35] = { .field = { 4, LF_STRING, LF_STRING, LF_STRING, LF_DNAME }, .folds = true }, /* NAPTR */
	[36] = { .field = { 2, LF_DNAME }, .folds = true },                             /* KX */
	[37] = { .field = { 5, LF_REST } },                                             /* CERT */
	[38] = { .field = { LF_A6 }, .folds = true },                                   /* A6 */
	[39] = { .field = { LF_DNAME }, .folds = true },                                /* DNAME */
	[43] = { .field = { 4, LF_REST1 } },                                            /* DS */
	[44] = { .field = { 2, LF_REST1 } },                                            /* SSHFP */
	[45] = { .field = { 1, LF_GATEWAY, LF_REST } },                                 /* IPSECKEY */
	[46] = { .field = { 18, LF_NAME, LF_REST1 }, .folds = true },                   /* RRSIG */
	[47] = { .field = { LF_NAME, LF_BITMAP } },                                     /* NSEC */
	[48] = { .field = { 4, LF_REST } },                                             /* DNSKEY */
	[49] = { .field = { LF_REST1 } },                                               /* DHCID */
	[50] = { .field = { 4, LF_COUNTED, LF_HASH, LF_BITMAP } },                      /* NSEC3 */
	[51] = { .field = { 4, LF_COUNTED } },                                          /* NSEC3PARAM */
	[52] = { .field = { 3, LF_REST } },                                             /* TLSA */
	[53] = { .field = { 3, LF_REST } },                                             /* SMIMEA */
	[59] = { .field = { 4, LF_REST1 } },                                            /* CDS */
	[60] = { .field = { 4, LF_REST } },                                             /* CDNSKEY */
	[61] = { .field = { LF_REST1 } },                                               /* OPENPGPKEY */
	[62] = { .field = { 6, LF_BITMAP } },                                           /* CSYNC */
	[63] = { .field = { 6, LF_REST1 } },                                            /* ZONEMD */
	[64] = { .field = SVCB_FIELDS },                                                /* SVCB */
	[65] = { .field = SVCB_FIELDS },                                                /* HTTPS */
	[99] = { .field = { LF_STRINGS } },                                             /* SPF */
	[104] = { .field = { 10 } },                                                    /* NID */
	[105] = { .field = { 6 } },                                                     /* L32 */
	[106] = { .field = { 10 } },                                                    /* L64 */
	[107] = { .field = { 2, LF_NAME } },                                            /* LP */
	[108] = { .field = { 6 } },                                                     /* EUI48 */
	[109] = { .field = { 8 } },                                                     /* EUI64 */
};
/* clang-format on */

static const struct layout layout_opaque = { .field = { LF_REST } };
static const struct layout layout_uri = { .field = { 4, LF_REST1 } };
static const struct layout layout_caa = { .field = { 1, LF_HASH, LF_REST } };

const struct layout *layout_of(uint16_t type)
{
	if (type < sizeof(layouts) / sizeof(*layouts))
		return layouts[type].field[0] != LF_END ? &layouts[type] : &layout_opaque;
	if (type == 256)
		return &layout_uri;
	if (type == 257)
		return &layout_caa;
	return &layout_opaque;
}

/* Where the walker is. Stored RDATA: msg is the RDATA itself and `end` its length. */
struct fields {
	const uint8_t *msg;
	size_t msglen;
	size_t pos, end;      /* octets of this RDATA that are left */
	bool pointers;        /* names may be compressed, where the layout agrees */
	uint8_t *out;         /* or NULL: only check */
	size_t outlen;
	struct span *span;    /* or NULL: every name is noted here */
	unsigned nspan;
};

static int field_put(struct fields *w, const uint8_t *p, size_t len)
{
	if (len > RDATA_MAX - w->outlen)
		return ZS_ELIMIT;
	if (w->out != NULL)
		memcpy(w->out + w->outlen, p, len);
	w->outlen += len;
	return 0;
}

static int field_take(struct fields *w, size_t len)
{
	int err;

	if (len > w->end - w->pos)
		return ZS_ETRUNC;
	err = field_put(w, w->msg + w->pos, len);
	if (err == 0)
		w->pos += len;
	return err;
}

static int field_name(struct fields *w, int field)
{
	uint8_t name[NAME_MAX_WIRE];
	bool pointers = w->pointers && field != LF_NAME;
	size_t pos = w->pos, start = w->outlen, len;
	int err;

	err = name_unpack(w->msg, pointers ? w->msglen : w->end, &pos, name, &len);
	if (err != 0)
		return err;
	if (pos > w->end)
		return ZS_ETRUNC;
	if (!pointers && pos - w->pos != len)
		return ZS_EFORMAT; /* a pointer where there may be none */
	err = field_put(w, name, len);
	if (err != 0)
		return err;
	if (w->span != NULL && w->nspan < LAYOUT_SPANS)
		w->span[w->nspan++] = (struct span){ .at = (uint16_t)start, .len = (uint16_t)len };
	w->pos = pos;
	return 0;
}

/* u8 length and that many octets. */
static int field_counted(struct fields *w, size_t least)
{
	size_t n;

	if (w->pos == w->end)
		return ZS_ETRUNC;
	n = w->msg[w->pos];
	return n < least ? ZS_EFORMAT : field_take(w, 1 + n);
}

static int field_strings(struct fields *w)
{
	int err;

	do
		err = field_counted(w, 0);
	while (err == 0 && w->pos < w->end);
	return err;
}

/* Windows ascending, 1 to 32 octets each, no zero octet at an end. */
static int field_bitmap(struct fields *w)
{
	int last = -1;

	while (w->pos < w->end) {
		const uint8_t *p = w->msg + w->pos;
		int err;

		if (w->end - w->pos < 3)
			return ZS_ETRUNC;
		if (p[0] <= last || p[1] == 0 || p[1] > 32)
			return ZS_EFORMAT;
		if (p[1] > w->end - w->pos - 2)
			return ZS_ETRUNC;
		if (p[1 + p[1]] == 0)
			return ZS_EFORMAT;
		last = p[0];
		err = field_take(w, 2 + (size_t)p[1]);
		if (err != 0)
			return err;
	}
	return 0;
}

/* Keys strictly ascending; values are not looked into. */
static int field_params(struct fields *w)
{
	int32_t last = -1;

	while (w->pos < w->end) {
		const uint8_t *p = w->msg + w->pos;
		int err;

		if (w->end - w->pos < 4)
			return ZS_ETRUNC;
		if (be16(p) <= last)
			return ZS_EFORMAT;
		last = be16(p);
		err = field_take(w, 4 + (size_t)be16(p + 2));
		if (err != 0)
			return err;
	}
	return 0;
}

static int field_a6(struct fields *w)
{
	unsigned prefix;
	int err;

	if (w->pos == w->end)
		return ZS_ETRUNC;
	prefix = w->msg[w->pos];
	if (prefix > 128)
		return ZS_EFORMAT;
	err = field_take(w, 1 + (128 - prefix + 7) / 8);
	if (err == 0 && prefix > 0)
		err = field_name(w, LF_NAME);
	return err;
}

static int field_gateway(struct fields *w)
{
	unsigned kind;
	int err;

	if (w->pos == w->end)
		return ZS_ETRUNC;
	kind = w->msg[w->pos];
	err = field_take(w, 2);
	if (err != 0)
		return err;
	switch (kind) {
	case 0:
		return 0;
	case 1:
		return field_take(w, 4);
	case 2:
		return field_take(w, 16);
	case 3:
		return field_name(w, LF_NAME);
	default:
		return ZS_EFORMAT;
	}
}

static int field_walk(struct fields *w, int field)
{
	if (field > 0)
		return field_take(w, (size_t)field);
	switch (field) {
	case LF_CNAME:
	case LF_DNAME:
	case LF_NAME:
		return field_name(w, field);
	case LF_STRING:
	case LF_COUNTED:
		return field_counted(w, 0);
	case LF_HASH:
		return field_counted(w, 1);
	case LF_STRINGS:
		return field_strings(w);
	case LF_REST1:
		return w->pos == w->end ? ZS_ETRUNC : field_take(w, w->end - w->pos);
	case LF_REST:
		return field_take(w, w->end - w->pos);
	case LF_BITMAP:
		return field_bitmap(w);
	case LF_PARAMS:
		return field_params(w);
	case LF_A6:
		return field_a6(w);
	default:
		return field_gateway(w);
	}
}

static int fields_walk(struct fields *w, uint16_t type)
{
	const struct layout *l = layout_of(type);
	int err = 0;

	for (unsigned i = 0; err == 0 && i < LAYOUT_FIELDS && l->field[i] != LF_END; i++)
		err = field_walk(w, l->field[i]);
	if (err == 0 && w->pos != w->end)
		err = ZS_EFORMAT; /* octets behind the last field */
	return err;
}

int rdata_unpack(const uint8_t *msg, size_t msglen, size_t pos, uint16_t rdlen, uint16_t type, uint8_t *out,
		 uint16_t *outlen)
{
	struct fields w = { .msg = msg, .msglen = msglen, .pos = pos, .end = pos + rdlen, .pointers = true,
			    .out = out };
	int err;

	if (pos > msglen || rdlen > msglen - pos)
		return ZS_ETRUNC;
	err = fields_walk(&w, type);
	if (err == 0)
		*outlen = (uint16_t)w.outlen;
	return err;
}

int rdata_check(uint16_t type, const uint8_t *rdata, uint16_t len)
{
	struct fields w = { .msg = rdata, .msglen = len, .end = len };

	return fields_walk(&w, type);
}

bool rdata_folds_case(uint16_t type)
{
	return layout_of(type)->folds;
}

unsigned layout_spans(uint16_t type, const uint8_t *rdata, uint16_t len, struct span out[static LAYOUT_SPANS])
{
	struct fields w = { .msg = rdata, .msglen = len, .end = len, .span = out };
	const struct layout *l = layout_of(type);

	if (!l->folds)
		return 0;
	/* What follows the names (serials, signatures) need not be walked; malformed RDATA has no names. */
	for (unsigned i = 0; i < LAYOUT_FIELDS && l->field[i] != LF_END && l->field[i] != LF_REST; i++)
		if (field_walk(&w, l->field[i]) != 0)
			return 0;
	return w.nspan;
}

static inline uint8_t fold(uint8_t c)
{
	return (uint8_t)(c - 'A') < 26 ? (uint8_t)(c | 0x20) : c;
}

void rdata_canonical(uint16_t type, const uint8_t *rdata, uint16_t len, uint8_t *out)
{
	struct span span[LAYOUT_SPANS];
	unsigned n = layout_spans(type, rdata, len, span);

	if (out != rdata && len > 0)
		memmove(out, rdata, len);
	for (unsigned i = 0; i < n; i++)
		for (uint8_t *p = out + span[i].at, *end = p + span[i].len; p < end; p++)
			*p = fold(*p);
}

int rdata_cmp(const uint8_t *a, uint16_t alen, const uint8_t *b, uint16_t blen)
{
	uint16_t n = alen < blen ? alen : blen;
	int c = n > 0 ? memcmp(a, b, n) : 0;

	return c != 0 ? c : (alen > blen) - (alen < blen);
}

/*
 * The spans of a serve for b too: up to the first octet that differs after folding, both have the same
 * layout.
 */
int rdata_cmp_canonical(uint16_t type, const uint8_t *a, uint16_t alen, const uint8_t *b, uint16_t blen)
{
	struct span span[LAYOUT_SPANS];
	unsigned n, k = 0;
	uint16_t both = alen < blen ? alen : blen;

	if (!rdata_folds_case(type))
		return rdata_cmp(a, alen, b, blen);
	n = layout_spans(type, a, alen, span);
	for (uint16_t i = 0; i < both; i++) {
		uint8_t ca = a[i], cb = b[i];

		if (ca == cb)
			continue;
		while (k < n && i >= span[k].at + span[k].len)
			k++;
		if (k < n && i >= span[k].at) {
			ca = fold(ca);
			cb = fold(cb);
		}
		if (ca != cb)
			return (int)ca - (int)cb;
	}
	return (alen > blen) - (alen < blen);
}
