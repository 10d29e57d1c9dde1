/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Images of power cuts for crash_all.py (powercut.h). The first line of output is the number of records. Then
 * each line "UPTO HOW SEED DIR" of standard input is answered with an image and the line "ok".
 *
 * Usage: crash_image TRACE
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "powercut.h"

int main(int argc, char **argv)
{
	struct powercut *p;
	unsigned how;
	uint64_t seed;
	size_t upto;
	char dir[1024];

	if (argc != 2)
		return 2;
	p = powercut_load(argv[1]);
	printf("%zu\n", powercut_records(p));
	fflush(stdout);
	while (scanf("%zu %u %" SCNu64 " %1023s", &upto, &how, &seed, dir) == 4) {
		if (upto > powercut_records(p) || how >= CUTS)
			break;
		powercut_image(p, upto, (enum cut)how, seed, dir);
		puts("ok");
		fflush(stdout);
	}
	powercut_free(p);
	return 0;
}
