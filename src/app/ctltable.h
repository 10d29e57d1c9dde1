/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Tables for people: columns as wide as what is in them. zonesealctl only. */
#ifndef ZONESEAL_SRC_APP_CTLTABLE_H
#define ZONESEAL_SRC_APP_CTLTABLE_H

#include <stdio.h>

#define TABLE_COLUMNS 12

struct table;
/* heads: NULL at the end; one that begins with '>' is a column of numbers, set to the right.
 * NULL when out of memory. */
struct table *table_new(const char *const *heads);
void table_free(struct table *t); /* NULL is legal */
/* The next cell, copied; control characters become '?', NULL and "" become "-". Rows fill themselves. */
void table_cell(struct table *t, const char *text);
void table_print(const struct table *t, FILE *f);

/* Text of others on a terminal: without control characters. */
void put_safe(FILE *f, const char *s);

#endif
