/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Our names and canonical RDATA against t/py/twin.py, which computes the same in the slow and obvious way
 * over dnspython. The twin prints cases with answers; this program computes its own. Skipped (77) where
 * there is no dnspython.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/text.h"
#include "dns/name.h"
#include "dns/rr.h"

#define LINE 8192

struct octets { uint8_t p[LINE / 2]; size_t len; };

static int unhex(const char *hex, struct octets *out)
{
	out->len = strcmp(hex, "-") == 0 ? 0 : strlen(hex) / 2;
	return out->len == 0 ? 0 : text_unhex(out->p, out->len, hex);
}

static int sign(int v)
{
	return (v > 0) - (v < 0);
}

static int check_order(const char *a, const char *b, const char *want)
{
	uint8_t ka[OKEY_MAX], kb[OKEY_MAX];
	struct octets x, y;

	if (unhex(a, &x) != 0 || unhex(b, &y) != 0)
		return 0;
	return sign(okey_cmp(ka, name_okey(x.p, ka), kb, name_okey(y.p, kb))) == atoi(want);
}

static int check_okey(const char *name, const char *want)
{
	uint8_t key[OKEY_MAX];
	struct octets x, y;

	if (unhex(name, &x) != 0 || unhex(want, &y) != 0 || name_check(x.p, x.len) != 0)
		return 0;
	return name_okey(x.p, key) == y.len && memcmp(key, y.p, y.len) == 0;
}

static int check_canon(const char *type, const char *rdata, const char *want)
{
	uint16_t t = (uint16_t)atoi(type);
	struct octets x, y;

	if (unhex(rdata, &x) != 0 || unhex(want, &y) != 0 || x.len != y.len)
		return 0;
	if (rdata_check(t, x.p, (uint16_t)x.len) != 0)
		return 0;
	rdata_canonical(t, x.p, (uint16_t)x.len, x.p);
	return memcmp(x.p, y.p, x.len) == 0;
}

static int check_line(char *line)
{
	const char *w[4] = { "", "", "", "" };
	char *save = NULL;

	for (unsigned i = 0; i < 4; i++) {
		w[i] = strtok_r(i == 0 ? line : NULL, " \n", &save);
		if (w[i] == NULL)
			w[i] = "";
	}
	if (strcmp(w[0], "order") == 0)
		return check_order(w[1], w[2], w[3]);
	if (strcmp(w[0], "okey") == 0)
		return check_okey(w[1], w[2]);
	if (strcmp(w[0], "canon") == 0)
		return check_canon(w[1], w[2], w[3]);
	return 0;
}

/* Runs the twin; the number of cases that agree, or a negative exit status. */
static int run(const char *kind, unsigned count)
{
	const char *srcdir = getenv("srcdir");
	char cmd[4096], line[LINE], copy[LINE];
	int good = 0, bad = 0, status;
	FILE *f;

	/* the system's Python: that is where distributions put dnspython */
	snprintf(cmd, sizeof(cmd), "/usr/bin/python3 '%s/t/py/twin.py' %s %u 4034", srcdir ? srcdir : ".",
		 kind, count);
	f = popen(cmd, "r");
	if (f == NULL)
		return -77;
	while (fgets(line, sizeof(line), f) != NULL) {
		memcpy(copy, line, sizeof(copy));
		if (check_line(line)) {
			good++;
		} else if (bad++ < 10) {
			printf("differs: %s", copy);
		}
	}
	status = pclose(f);
	if (WIFEXITED(status) && (WEXITSTATUS(status) == 77 || WEXITSTATUS(status) == 127))
		return -77;
	if (status != 0 || bad > 0)
		return -1;
	return good;
}

int main(void)
{
	int names = run("names", 5000), rdata;

	if (names == -77)
		return 77;
	rdata = run("rdata", 5000);
	printf("%d and %d cases agree\n", names, rdata);
	return names == 10000 && rdata == 5000 ? 0 : 1;
}
