/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text of a zone's orders:
 *
 *   orders: 1
 *   serial: <number>                        `zone serial`, until a version has it
 *   hold: <wall seconds> <0|1> <who>        1: a rollback's
 *   why: <text>
 *   rollback: <version>                     until it is published
 *   resign: <number>                        in the expiry index; what is below is signed anew
 *
 * Lines may be missing; no line is no order. Pure.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "orders.h"

static int parse_line(const char *l, struct orders *o)
{
	unsigned long long u;
	long long t;
	int n = 0, undone;

	if (sscanf(l, "serial: %u", &o->serial) == 1) {
		o->have_serial = true;
	} else if (sscanf(l, "hold: %lld %d %n", &t, &undone, &n) == 2 && n > 0) {
		o->hold = true;
		o->hold_since = t;
		o->rolled_back = undone != 0;
		snprintf(o->hold_who, sizeof(o->hold_who), "%s", l + n);
	} else if (strncmp(l, "why: ", 5) == 0) {
		snprintf(o->hold_why, sizeof(o->hold_why), "%s", l + 5);
	} else if (sscanf(l, "rollback: %llu", &u) == 1) {
		o->rollback = u;
	} else if (sscanf(l, "resign: %llu", &u) == 1) {
		o->resign_below = u;
	} else {
		return ZS_EFORMAT;
	}
	return 0;
}

int orders_parse(const char *text, struct orders *out)
{
	char *copy = strdup(text), *save = NULL, *l;
	int err = copy ? 0 : ZS_ENOMEM;

	memset(out, 0, sizeof(*out));
	l = err ? NULL : strtok_r(copy, "\n", &save);
	if (!err && (!l || strcmp(l, "orders: 1") != 0))
		err = ZS_EFORMAT;
	while (!err && (l = strtok_r(NULL, "\n", &save)))
		err = parse_line(l, out);
	free(copy);
	return err;
}

int orders_print(const struct orders *o, char *dst, size_t cap)
{
	size_t n = (size_t)snprintf(dst, cap, "orders: 1\n");

	if (o->have_serial)
		n += (size_t)snprintf(dst + n, cap - n, "serial: %u\n", o->serial);
	if (o->hold)
		n += (size_t)snprintf(dst + n, cap - n, "hold: %lld %d %s\nwhy: %s\n",
				      (long long)o->hold_since, o->rolled_back, o->hold_who, o->hold_why);
	if (o->rollback)
		n += (size_t)snprintf(dst + n, cap - n, "rollback: %llu\n", (unsigned long long)o->rollback);
	if (o->resign_below)
		n += (size_t)snprintf(dst + n, cap - n, "resign: %llu\n",
				      (unsigned long long)o->resign_below);
	return (int)n;
}
