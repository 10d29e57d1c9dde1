/* SPDX-License-Identifier: GPL-3.0-or-later */
/* keyset_parse() over any octets: no crash, and what it takes is written again octet by octet. */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "keys/keyset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct keyset ks; /* too large for small stacks; written before it is read */
	char *text;
	size_t len;

	if (keyset_parse((const char *)data, size, &ks) != 0)
		return 0;
	if (keyset_text(&ks, &text, &len) != 0 || len != size || memcmp(text, data, size) != 0)
		abort();
	free(text);
	return 0;
}
