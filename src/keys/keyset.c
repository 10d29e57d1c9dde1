/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text form of a zone's keys, and back. The text is what a damaged zone is rebuilt from, so both
 * directions are strict: a keyset that could not be read again is not written, and a text is taken only when
 * writing its keyset gives the very same octets. Called by the app wherever key state becomes durable or is
 * loaded.
 *
 *   keyset: 1
 *   serial-ceiling: N                 only when there is one
 *   last-serial: N                    only when there is one
 *   first-published: yes|no
 *   ds-not-before: SECONDS
 *   key: ID use algorithm bits state tag created published active keystore public-key
 *
 * One "key:" line for each key, in order, with its 11 fields separated by one space: ID 32 hex digits, use
 * ksk, zsk or csk, the keystore with %XX for all but letters, digits, '.', '_' and '-', the public key in
 * base64, or a dash before there is one (tag 0 then).
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "dns/rr.h"
#include "keys/keyset.h"

#define TEXT_VERSION 1
#define KEY_FIELDS 11
#define LINE_MAX_LEN 2048
#define TEXT_MAX (512 + KEYSET_KEYS_MAX * LINE_MAX_LEN)

static const char *const state_name[KEY_STATES] = {
	[KEY_INTENT] = "intent",
	[KEY_READY] = "ready",
	[KEY_ACTIVE] = "active",
};

static const char *const use_name[] = { [KEY_KSK] = "ksk", [KEY_ZSK] = "zsk", [KEY_CSK] = "csk" };

const char *key_state_text(enum key_state s)
{
	return (unsigned)s < KEY_STATES ? state_name[s] : "unknown";
}

/* What both directions hold a key to. */
static bool key_is_sound(const struct zone_key *k)
{
	uint8_t rdata[KEY_PUB_MAX + 4];

	if ((unsigned)k->state >= KEY_STATES || k->use < KEY_KSK || k->use > KEY_CSK)
		return false;
	if (k->keystore[0] == '\0' || memchr(k->keystore, '\0', sizeof(k->keystore)) == NULL)
		return false;
	if (k->created < 0 || k->published < 0 || k->active < 0 || k->pub_len > KEY_PUB_MAX)
		return false;
	if (k->state == KEY_INTENT)
		return k->pub_len == 0 && k->tag == 0;
	return k->pub_len > 0 && k->tag == dnskey_tag(rdata, key_dnskey(k, rdata));
}

static bool keyset_is_sound(const struct keyset *ks)
{
	if (ks->n > KEYSET_KEYS_MAX || ks->ds_not_before < 0)
		return false;
	for (unsigned i = 0; i < ks->n; i++) {
		if (!key_is_sound(&ks->key[i]))
			return false;
		for (unsigned j = 0; j < i; j++)
			if (memcmp(ks->key[i].id, ks->key[j].id, sizeof(ks->key[i].id)) == 0)
				return false;
	}
	return true;
}

static bool plain(unsigned char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
	       c == '_' || c == '-';
}

static void put_escaped(struct wr *w, const char *s)
{
	for (; *s != '\0'; s++) {
		if (plain((unsigned char)*s))
			wr_bytes(w, s, 1);
		else
			wr_printf(w, "%%%02x", (unsigned)(unsigned char)*s);
	}
}

static void put_key(struct wr *w, const struct zone_key *k)
{
	char id[2 * sizeof(k->id) + 1];
	char pub[TEXT_B64_LEN(KEY_PUB_MAX)];

	text_hex(id, k->id, sizeof(k->id));
	wr_printf(w, "key: %s %s %u %u %s %u", id, use_name[k->use], k->algorithm, k->bits,
		  key_state_text(k->state), k->tag);
	wr_printf(w, " %" PRId64 " %" PRId64 " %" PRId64 " ", k->created, k->published, k->active);
	put_escaped(w, k->keystore);
	wr_u8(w, ' ');
	if (k->pub_len > 0)
		text_b64(pub, k->pub, k->pub_len);
	else
		strcpy(pub, "-");
	wr_bytes(w, pub, strlen(pub));
	wr_u8(w, '\n');
}

int keyset_text(const struct keyset *ks, char **out, size_t *len)
{
	char *text;
	struct wr w;

	if (!keyset_is_sound(ks))
		return ZS_EINVAL;
	text = malloc(TEXT_MAX);
	if (text == NULL)
		return ZS_ENOMEM;
	w = wr_fixed(text, TEXT_MAX);
	wr_printf(&w, "keyset: %d\n", TEXT_VERSION);
	if (ks->have_ceiling)
		wr_printf(&w, "serial-ceiling: %" PRIu32 "\n", ks->serial_ceiling);
	if (ks->have_serial)
		wr_printf(&w, "last-serial: %" PRIu32 "\n", ks->last_serial);
	wr_printf(&w, "first-published: %s\n", ks->first_published ? "yes" : "no");
	wr_printf(&w, "ds-not-before: %" PRId64 "\n", ks->ds_not_before);
	for (unsigned i = 0; i < ks->n; i++)
		put_key(&w, &ks->key[i]);
	wr_u8(&w, '\0');
	if (w.err != 0) {
		free(text);
		return w.err;
	}
	*out = text;
	*len = w.len - 1;
	return 0;
}

/* Cuts a line at single spaces in place; returns how many fields there are, at most max + 1. */
static unsigned split(char *line, char *field[], unsigned max)
{
	unsigned n = 0;

	for (char *p = line; p != NULL; n++) {
		char *space = strchr(p, ' ');

		if (n == max)
			return max + 1;
		field[n] = p;
		if (space != NULL)
			*space++ = '\0';
		p = space;
	}
	return n;
}

static int get_number(const char *s, uint64_t max, uint64_t *out)
{
	return text_u64(s, max, out) == 0 ? 0 : ZS_EFORMAT;
}

static int get_time(const char *s, int64_t *out)
{
	uint64_t v = 0;
	int ret = get_number(s, INT64_MAX, &v);

	if (ret == 0)
		*out = (int64_t)v;
	return ret;
}

static int get_escaped(const char *s, char *out, size_t cap)
{
	size_t n = 0;

	for (; *s != '\0'; s++) {
		uint8_t c = (uint8_t)*s;

		if (c == '%') {
			char hex[3] = { s[1], s[1] != '\0' ? s[2] : '\0', '\0' };

			if (text_unhex(&c, 1, hex) != 0 || c == '\0')
				return ZS_EFORMAT;
			s += 2;
		}
		if (n + 1 >= cap)
			return ZS_EFORMAT;
		out[n++] = (char)c;
	}
	out[n] = '\0';
	return 0;
}

/* The index of a word in a table, or -1. */
static int lookup(const char *const *table, unsigned n, const char *word)
{
	for (unsigned i = 0; i < n; i++)
		if (table[i] != NULL && strcmp(table[i], word) == 0)
			return (int)i;
	return -1;
}

static int get_key(char *line, struct keyset *ks)
{
	struct zone_key *k = &ks->key[ks->n];
	char *f[KEY_FIELDS];
	uint64_t alg = 0, bits = 0, tag = 0;
	size_t pub_len = sizeof(k->pub);
	int use, state;

	if (ks->n == KEYSET_KEYS_MAX || split(line, f, KEY_FIELDS) != KEY_FIELDS)
		return ZS_EFORMAT;
	use = lookup(use_name, sizeof(use_name) / sizeof(use_name[0]), f[1]);
	state = lookup(state_name, KEY_STATES, f[4]);
	if (use < 0 || state < 0)
		return ZS_EVERSION; /* later versions have more states */
	if (text_unhex(k->id, sizeof(k->id), f[0]) != 0 || get_number(f[2], UINT8_MAX, &alg) != 0 ||
	    get_number(f[3], UINT16_MAX, &bits) != 0 || get_number(f[5], UINT16_MAX, &tag) != 0 ||
	    get_time(f[6], &k->created) != 0 || get_time(f[7], &k->published) != 0 ||
	    get_time(f[8], &k->active) != 0 || get_escaped(f[9], k->keystore, sizeof(k->keystore)) != 0)
		return ZS_EFORMAT;
	if (strcmp(f[10], "-") == 0)
		pub_len = 0;
	else if (text_unb64(k->pub, &pub_len, f[10], strlen(f[10])) != 0)
		return ZS_EFORMAT;
	k->use = (enum key_use)use;
	k->state = (enum key_state)state;
	k->algorithm = (uint8_t)alg;
	k->bits = (uint16_t)bits;
	k->tag = (uint16_t)tag;
	k->pub_len = (uint16_t)pub_len;
	ks->n++;
	return 0;
}

static int get_serial(const char *s, uint32_t *out, bool *have)
{
	uint64_t v = 0;

	if (get_number(s, UINT32_MAX, &v) != 0)
		return ZS_EFORMAT;
	*out = (uint32_t)v;
	*have = true;
	return 0;
}

/* One line without its end. */
static int get_line(char *line, struct keyset *ks)
{
	char *value = strstr(line, ": ");

	if (value == NULL)
		return ZS_EVERSION;
	*value = '\0';
	value += 2;
	if (strcmp(line, "key") == 0)
		return get_key(value, ks);
	if (strcmp(line, "serial-ceiling") == 0)
		return get_serial(value, &ks->serial_ceiling, &ks->have_ceiling);
	if (strcmp(line, "last-serial") == 0)
		return get_serial(value, &ks->last_serial, &ks->have_serial);
	if (strcmp(line, "ds-not-before") == 0)
		return get_time(value, &ks->ds_not_before);
	if (strcmp(line, "first-published") == 0) {
		ks->first_published = strcmp(value, "yes") == 0;
		return 0;
	}
	return ZS_EVERSION;
}

static int get_version(const char *line)
{
	uint64_t v = 0;

	if (strncmp(line, "keyset: ", 8) != 0 || get_number(line + 8, UINT32_MAX, &v) != 0)
		return ZS_EFORMAT;
	return v == TEXT_VERSION ? 0 : ZS_EVERSION;
}

static int parse_lines(const char *text, size_t len, struct keyset *ks)
{
	const char *end = text + len;
	bool first = true;

	while (text < end) {
		const char *eol = memchr(text, '\n', (size_t)(end - text));
		char line[LINE_MAX_LEN];
		int ret;

		if (eol == NULL || (size_t)(eol - text) >= sizeof(line) ||
		    memchr(text, '\0', (size_t)(eol - text)))
			return ZS_EFORMAT;
		memcpy(line, text, (size_t)(eol - text));
		line[eol - text] = '\0';
		ret = first ? get_version(line) : get_line(line, ks);
		if (ret != 0)
			return ret;
		first = false;
		text = eol + 1;
	}
	return first ? ZS_EFORMAT : 0;
}

/* Order, repetition, spelling of numbers: all said by one rule, the text is the one we would write. */
static int check_canonical(const struct keyset *ks, const char *text, size_t len)
{
	char *again;
	size_t again_len;
	int ret = keyset_text(ks, &again, &again_len);

	if (ret == ZS_EINVAL)
		return ZS_EFORMAT;
	if (ret != 0)
		return ret;
	if (again_len != len || memcmp(again, text, len) != 0)
		ret = ZS_EFORMAT;
	free(again);
	return ret;
}

int keyset_parse(const char *text, size_t len, struct keyset *out)
{
	struct keyset *ks = calloc(1, sizeof(*ks));
	int ret;

	if (ks == NULL)
		return ZS_ENOMEM;
	ret = parse_lines(text, len, ks);
	if (ret == 0)
		ret = check_canonical(ks, text, len);
	if (ret == 0)
		*out = *ks;
	free(ks);
	return ret;
}
