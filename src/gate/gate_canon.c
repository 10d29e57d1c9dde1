/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Canonical RDATA: names of the types in RFC 4034 6.2 become lower case. NSEC is not among them any more
 * (RFC 6840 5.1); HINFO stands in that list but holds no name; SIG, NXT and A6 are obsolete and still in it.
 * Other types stay as they are. Pure. Called for each record before it is compared or verified.
 */
#include "gate_impl.h"

/*
 * How RDATA is laid out: digits skip octets, `n` is a name, `s` a character string, `*` takes the rest, `a`
 * is the whole of A6. RDATA must end where the plan ends.
 */
static const struct layout { uint16_t type; const char *plan; } layouts[] = {
	{ 2, "n" }, { 3, "n" }, { 4, "n" }, { 5, "n" }, { 6, "nn488" }, { 7, "n" }, { 8, "n" }, { 9, "n" },
	{ 12, "n" }, { 14, "nn" }, { 15, "2n" }, { 17, "nn" }, { 18, "2n" }, { 21, "2n" }, { 24, "882n*" },
	{ 26, "2nn" }, { 30, "n*" }, { 33, "42n" }, { 35, "4sssn" }, { 36, "2n" }, { 38, "a" }, { 39, "n" },
	{ 46, "882n*" },
};

static const char *layout_find(uint16_t type)
{
	for (size_t i = 0; i < sizeof layouts / sizeof layouts[0]; i++) {
		if (layouts[i].type == type)
			return layouts[i].plan;
	}
	return NULL;
}

/* How many octets the next piece takes; 0: malformed. Names are lower-cased on the way. */
static size_t piece(char what, uint8_t *p, const uint8_t *end)
{
	size_t n;

	switch (what) {
	case 'n':
		n = gwire_len(p, end);
		gwire_lower(p, n);
		return n;
	case 's':
		return p < end ? *p + 1u : 0;
	default:
		return (size_t)(what - '0');
	}
}

/* RFC 2874 3.1: prefix length, the rest of the address, and a name unless the prefix is empty. */
static int canon_a6(uint8_t *p, size_t len)
{
	size_t skip;

	if (!len || p[0] > 128)
		return ZS_EFORMAT;
	skip = 1 + (128u - p[0] + 7) / 8;
	if (p[0] == 0)
		return skip == len ? 0 : ZS_EFORMAT;
	if (skip >= len || gwire_len(p + skip, p + len) != len - skip)
		return ZS_EFORMAT;
	gwire_lower(p + skip, len - skip);
	return 0;
}

int gcanon_rdata(uint16_t type, uint8_t *rdata, size_t len)
{
	const char *plan = layout_find(type);
	uint8_t *p = rdata, *end = rdata + len;

	if (!plan)
		return 0;
	if (*plan == 'a')
		return canon_a6(rdata, len);
	for (; *plan && *plan != '*'; plan++) {
		size_t n = piece(*plan, p, end);

		if (!n || n > (size_t)(end - p))
			return ZS_EFORMAT;
		p += n;
	}
	return *plan == '*' || p == end ? 0 : ZS_EFORMAT;
}
