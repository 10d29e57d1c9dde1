/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table printer. The last column is not padded, so that lines carry no blanks at their end. */
#include <ctype.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include "ctltable.h"

struct table {
	const char *const *heads;
	size_t columns;
	size_t width[TABLE_COLUMNS];
	char **cell;
	size_t n, cap;
};

static const char *head_text(const char *head)
{
	return *head == '>' ? head + 1 : head;
}

struct table *table_new(const char *const *heads)
{
	struct table *t = calloc(1, sizeof(*t));

	if (!t)
		return NULL;
	t->heads = heads;
	for (; t->columns < TABLE_COLUMNS && heads[t->columns]; t->columns++)
		t->width[t->columns] = strlen(head_text(heads[t->columns]));
	return t;
}

void table_free(struct table *t)
{
	if (!t)
		return;
	for (size_t i = 0; i < t->n; i++)
		free(t->cell[i]);
	free(t->cell);
	free(t);
}

void table_cell(struct table *t, const char *text)
{
	size_t column = t->n % t->columns;
	char *copy;

	if (t->n == t->cap) {
		size_t cap = t->cap ? t->cap * 2 : 64;
		char **more = realloc(t->cell, cap * sizeof(*more));

		if (!more)
			return;
		t->cell = more;
		t->cap = cap;
	}
	copy = strdup(text && *text ? text : "-");
	if (!copy)
		return;
	for (char *p = copy; *p; p++)
		if (iscntrl((unsigned char)*p))
			*p = '?';
	if (strlen(copy) > t->width[column])
		t->width[column] = strlen(copy);
	t->cell[t->n++] = copy;
}

static void put_row(const struct table *t, FILE *f, size_t from)
{
	for (size_t c = 0; c < t->columns; c++) {
		const char *text = from == (size_t)-1 ? head_text(t->heads[c]) : t->cell[from + c];
		int width = (int)t->width[c];

		if (*t->heads[c] != '>')
			width = c + 1 == t->columns ? 0 : -width;
		fprintf(f, "%s%*s", c ? "  " : "", width, text);
	}
	fputc('\n', f);
}

void table_print(const struct table *t, FILE *f)
{
	put_row(t, f, (size_t)-1);
	for (size_t i = 0; i + t->columns <= t->n; i += t->columns)
		put_row(t, f, i);
}

void put_safe(FILE *f, const char *s)
{
	for (; *s; s++)
		fputc(iscntrl((unsigned char)*s) && *s != '\n' && *s != '\t' ? '?' : *s, f);
}
