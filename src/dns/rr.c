/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Facts about record types and the few fields that others read: type names and presentation form (libknot's),
 * SOA numbers, serial arithmetic, key tags. RDATA handed to libknot was checked against its layout first.
 */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <libknot/descriptor.h>
#include <libknot/rrset-dump.h>
#include <libknot/rrset.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "dns/rr.h"

bool rr_type_is_meta(uint16_t type)
{
	return type == 0 || type == T_OPT || (type >= 128 && type <= 255);
}

char *rr_type_text(uint16_t type, char buf[static RR_TYPE_TEXT])
{
	if (knot_rrtype_to_string(type, buf, RR_TYPE_TEXT) < 0)
		snprintf(buf, RR_TYPE_TEXT, "TYPE%u", type);
	return buf;
}

int rr_type_from_text(const char *text, uint16_t *out)
{
	uint64_t v;

	if (strncasecmp(text, "TYPE", 4) == 0 && text[4] >= '0' && text[4] <= '9') {
		if (text_u64(text + 4, UINT16_MAX, &v) != 0)
			return ZS_EFORMAT;
		*out = (uint16_t)v;
		return 0;
	}
	return knot_rrtype_from_string(text, out) == 0 ? 0 : ZS_EFORMAT;
}

/* RFC 3597 5: \# length hex. */
static int rdata_text_generic(const uint8_t *rdata, uint16_t len, char *dst, size_t cap)
{
	int n = snprintf(dst, cap, len > 0 ? "\\# %u " : "\\# %u", len);

	if (n < 0 || (size_t)n + 2 * (size_t)len + 1 > cap)
		return ZS_EFULL;
	text_hex(dst + n, rdata, len);
	return n + 2 * (int)len;
}

int rdata_text(uint16_t type, const uint8_t *rdata, uint16_t len, char *dst, size_t cap)
{
	uint8_t root = 0;
	knot_rrset_t set;
	int n = -1;

	if (cap == 0)
		return ZS_EFULL;
	if (rdata_check(type, rdata, len) == 0 && knot_get_rdata_descriptor(type)->type_name != NULL) {
		knot_rrset_init(&set, &root, type, CLASS_IN, 0);
		if (knot_rrset_add_rdata(&set, rdata, len, NULL) == 0)
			n = knot_rrset_txt_dump_data(&set, 0, dst, cap, &KNOT_DUMP_STYLE_DEFAULT);
		knot_rdataset_clear(&set.rrs, NULL);
	}
	if (n >= 0 && (size_t)n < cap) {
		dst[n] = '\0';
		return n;
	}
	return rdata_text_generic(rdata, len, dst, cap);
}

#define SOA_NUMBERS 20

int soa_read(const uint8_t *rdata, uint16_t len, struct soa *out)
{
	const uint8_t *p;
	int err = rdata_check(T_SOA, rdata, len);

	if (err != 0)
		return err;
	p = rdata + len - SOA_NUMBERS;
	*out = (struct soa){ .serial = be32(p), .refresh = be32(p + 4), .retry = be32(p + 8),
			     .expire = be32(p + 12), .minimum = be32(p + 16) };
	return 0;
}

void soa_set_serial(uint8_t *rdata, uint16_t len, uint32_t serial)
{
	if (len >= SOA_NUMBERS)
		put_be32(rdata + len - SOA_NUMBERS, serial);
}

void soa_set_expire(uint8_t *rdata, uint16_t len, uint32_t expire)
{
	if (len >= SOA_NUMBERS)
		put_be32(rdata + len - SOA_NUMBERS + 12, expire);
}

enum serial_order serial_cmp(uint32_t a, uint32_t b)
{
	uint32_t d = b - a;

	if (d == 0)
		return SERIAL_EQ;
	if (d == UINT32_C(0x80000000))
		return SERIAL_UNDEF;
	return d < UINT32_C(0x80000000) ? SERIAL_LT : SERIAL_GT;
}

uint16_t dnskey_tag(const uint8_t *rdata, uint16_t len)
{
	uint32_t sum = 0;

	if (len < 4)
		return 0;
	if (rdata[3] == 1) /* RSA/MD5: out of the modulus, RFC 4034 B.1 */
		return len < 7 ? 0 : be16(rdata + len - 3);
	for (uint16_t i = 0; i < len; i++)
		sum += i & 1 ? rdata[i] : (uint32_t)rdata[i] << 8;
	return (uint16_t)(sum + (sum >> 16));
}
