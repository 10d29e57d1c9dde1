/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prints what the option table makes: `confdoc sample` is etc/zoneseal.yaml, `confdoc man` the options part
 * of man/zoneseal.yaml.5. Run by hand after the table was changed; t_conf fails until then.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "app/conf.h"

int main(int argc, char **argv)
{
	char *text = NULL;

	if (argc == 2 && !strcmp(argv[1], "sample"))
		text = conf_sample();
	else if (argc == 2 && !strcmp(argv[1], "man"))
		text = conf_man_options();
	if (!text) {
		fprintf(stderr, "usage: confdoc sample | man\n");
		return 2;
	}
	fputs(text, stdout);
	free(text);
	return 0;
}
