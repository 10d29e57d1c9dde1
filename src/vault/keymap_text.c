/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keymap lines as text and back: "key ID keystore NAME zone NAME role ROLE algorithm N bits N validity N pub
 * HEX|-", and with a public key " tag N ds2 HEX ds4 HEX". The reader takes exactly what the writer makes; a
 * line that it does not understand whole is an error, because a line is a permission to sign.
 */
#include "vault/keymap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "pub.h"

static const char *const role_names[] = { [ROLE_KSK] = "ksk", [ROLE_ZSK] = "zsk", [ROLE_CSK] = "csk" };

static bool octet_plain(uint8_t c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '*' ||
	       c == '/';
}

int keymap_zone_text(const uint8_t *zone, size_t zone_len, char *dst, size_t cap)
{
	size_t at = 0, i = 0;

	if (!zone_len || cap < 2)
		return zone_len ? ZS_EFULL : ZS_EINVAL;
	if (zone_len == 1)
		dst[at++] = '.';
	while (i < zone_len && zone[i]) {
		size_t end = i + 1 + zone[i];

		if (end > zone_len)
			return ZS_EINVAL;
		for (i++; i < end; i++) {
			if (at + 6 > cap)
				return ZS_EFULL;
			if (octet_plain(zone[i]))
				dst[at++] = (char)zone[i];
			else
				at += (size_t)snprintf(dst + at, 5, "\\%03u", zone[i]);
		}
		dst[at++] = '.';
	}
	dst[at] = 0;
	return 0;
}

/* One octet of a label, escaped or not. Returns how many characters it took, 0 on error. */
static size_t label_octet(const char *s, uint8_t *out)
{
	unsigned v;

	if (*s != '\\') {
		*out = (uint8_t)*s;
		return (uint8_t)*s > ' ' && (uint8_t)*s < 127 ? 1 : 0;
	}
	if (s[1] < '0' || s[1] > '9') {
		*out = (uint8_t)s[1];
		return (uint8_t)s[1] > ' ' && (uint8_t)s[1] < 127 ? 2 : 0;
	}
	if (s[2] < '0' || s[2] > '9' || s[3] < '0' || s[3] > '9')
		return 0;
	v = (unsigned)(s[1] - '0') * 100 + (unsigned)(s[2] - '0') * 10 + (unsigned)(s[3] - '0');
	*out = (uint8_t)v;
	return v > 255 ? 0 : 4;
}

int keymap_zone_parse(const char *text, uint8_t zone[255], uint8_t *zone_len)
{
	uint8_t name[255];
	size_t len = 0;

	if (strcmp(text, ".") == 0)
		text++;
	while (*text) {
		size_t start = len++, used;
		uint8_t c;

		while (*text && *text != '.') {
			used = label_octet(text, &c);
			if (!used || len >= 254 || len - start > 63)
				return ZS_EFORMAT;
			name[len++] = c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
			text += used;
		}
		if (len == start + 1 || len > 254)
			return ZS_EFORMAT;
		name[start] = (uint8_t)(len - start - 1);
		if (*text == '.')
			text++;
	}
	name[len++] = 0;
	memcpy(zone, name, len);
	*zone_len = (uint8_t)len;
	return 0;
}

int keymap_line_text(const struct keymap_line *l, char *dst, size_t cap)
{
	char id[2 * KEY_ID_LEN + 1], zone[ZONE_TEXT_MAX], pub[65], ds2[65], ds4[97], tail[256] = "-";
	int n, rc = keymap_zone_text(l->zone, l->zone_len, zone, sizeof(zone));

	if (rc || l->role < ROLE_KSK || l->role > ROLE_CSK)
		return rc ? rc : ZS_EINVAL;
	if (l->has_pub)
		snprintf(tail, sizeof(tail), "%s tag %u ds2 %s ds4 %s", text_hex(pub, l->pub_sha256, 32),
			 l->tag, text_hex(ds2, l->ds_sha256, 32), text_hex(ds4, l->ds_sha384, 48));
	n = snprintf(dst, cap, "key %s keystore %s zone %s role %s algorithm %u bits %u validity %lld pub %s",
		     text_hex(id, l->id, KEY_ID_LEN), l->keystore, zone, role_names[l->role], l->algorithm,
		     l->bits, (long long)l->max_validity, tail);
	return n < 0 || (size_t)n >= cap ? ZS_EFULL : 0;
}

/* Takes the next "NAME VALUE" pair off the line; NULL when it is not there. */
static const char *next_value(char **save, const char *name)
{
	char *word = strtok_r(NULL, " ", save);

	return word && strcmp(word, name) == 0 ? strtok_r(NULL, " ", save) : NULL;
}

static int next_number(char **save, const char *name, uint64_t max, uint64_t *out)
{
	const char *v = next_value(save, name);

	return v ? text_u64(v, max, out) : ZS_EFORMAT;
}

static int next_hex(char **save, const char *name, uint8_t *dst, size_t len)
{
	const char *v = next_value(save, name);

	return v ? text_unhex(dst, len, v) : ZS_EFORMAT;
}

static int parse_role(const char *v, enum key_role *out)
{
	for (int r = ROLE_KSK; v && r <= ROLE_CSK; r++)
		if (strcmp(v, role_names[r]) == 0) {
			*out = (enum key_role)r;
			return 0;
		}
	return ZS_EFORMAT;
}

static int parse_pub(char **save, struct keymap_line *l)
{
	const char *v = next_value(save, "pub");
	uint64_t tag = 0;

	if (!v)
		return ZS_EFORMAT;
	if (strcmp(v, "-") == 0)
		return 0;
	l->has_pub = true;
	if (text_unhex(l->pub_sha256, 32, v) || next_number(save, "tag", UINT16_MAX, &tag) ||
	    next_hex(save, "ds2", l->ds_sha256, 32) || next_hex(save, "ds4", l->ds_sha384, 48))
		return ZS_EFORMAT;
	l->tag = (uint16_t)tag;
	return 0;
}

static int parse_fields(char **save, struct keymap_line *l)
{
	uint64_t alg = 0, bits = 0, validity = 0;
	const char *v = next_value(save, "keystore");

	if (!v || !*v || strlen(v) >= sizeof(l->keystore))
		return ZS_EFORMAT;
	strcpy(l->keystore, v);
	v = next_value(save, "zone");
	if (!v || keymap_zone_parse(v, l->zone, &l->zone_len) ||
	    parse_role(next_value(save, "role"), &l->role))
		return ZS_EFORMAT;
	if (next_number(save, "algorithm", UINT8_MAX, &alg) || next_number(save, "bits", UINT16_MAX, &bits) ||
	    next_number(save, "validity", INT64_MAX, &validity))
		return ZS_EFORMAT;
	if (!pub_alg_known((uint8_t)alg))
		return ZS_EFORMAT;
	l->algorithm = (uint8_t)alg;
	l->bits = (uint16_t)bits;
	l->max_validity = (int64_t)validity;
	return parse_pub(save, l);
}

int keymap_line_parse(const char *text, struct keymap_line *out)
{
	struct keymap_line l = { 0 };
	char *copy = strdup(text), *save = NULL, *word;
	int rc = ZS_EFORMAT;

	if (!copy)
		return ZS_ENOMEM;
	word = strtok_r(copy, " ", &save);
	if (word && strcmp(word, "key") == 0) {
		word = strtok_r(NULL, " ", &save);
		if (word && text_unhex(l.id, KEY_ID_LEN, word) == 0 && parse_fields(&save, &l) == 0 &&
		    !strtok_r(NULL, " ", &save))
			rc = 0;
	}
	free(copy);
	if (!rc)
		*out = l;
	return rc;
}

int keymap_set_pub(struct keymap_line *l, const uint8_t *pub, size_t pub_len)
{
	struct keymap_line n = *l;
	uint16_t flags = l->role == ROLE_ZSK ? 256 : 257;
	int rc;

	if (!pub_len || pub_len > PUBKEY_MAX)
		return ZS_EINVAL;
	rc = pub_hash(pub, pub_len, n.pub_sha256);
	if (!rc)
		rc = pub_ds(l->zone, l->zone_len, flags, l->algorithm, pub, pub_len, n.ds_sha256,
			    n.ds_sha384);
	if (rc)
		return rc;
	n.tag = pub_tag(flags, l->algorithm, pub, pub_len);
	n.has_pub = true;
	*l = n;
	return 0;
}
