/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Any octets as a compressed name, an order key, a text: whatever is accepted survives the way there
 * and back.
 */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "dns/name.h"
#include "fuzz.h"

static void check(int good)
{
	if (!good)
		abort();
}

static void check_name(const uint8_t *name, size_t len)
{
	uint8_t back[NAME_MAX_WIRE], key[OKEY_MAX];
	char text[NAME_MAX_TEXT];
	size_t n, klen;

	check(name_check(name, len) == 0 && name_len(name) == len);
	check(name_from_text(name_to_text(name, text), back, &n) == 0 && n == len &&
	      memcmp(back, name, n) == 0);
	klen = name_okey(name, key);
	check(klen <= OKEY_MAX && okey_labels(key, klen) == name_labels(name));
	check(name_from_okey(key, klen, back, &n) == 0 && n == len && name_eq(back, name));
	check(name_within(name, name) && name_eq(name, name));
	name_lower(back);
	check(name_eq(back, name));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	uint8_t name[NAME_MAX_WIRE], key[OKEY_MAX];
	char text[NAME_MAX_TEXT];
	size_t pos, n;

	for (size_t at = 0; at < len && at < 64; at++) {
		pos = at;
		if (name_unpack(data, len, &pos, name, &n) == 0) {
			check(pos > at && pos <= len);
			check_name(name, n);
		}
	}
	if (name_check(data, len) == 0) {
		memcpy(name, data, len);
		check_name(name, len);
	}
	if (name_from_okey(data, len, name, &n) == 0) {
		check(name_okey(name, key) == len && memcmp(key, data, len) == 0);
		check_name(name, n);
	}
	if (len < sizeof(text)) {
		memcpy(text, data, len);
		text[len] = '\0';
		if (name_from_text(text, name, &n) == 0)
			check_name(name, n);
	}
	return 0;
}
