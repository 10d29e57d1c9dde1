/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Findings of the configuration reader. All are collected, each with file:line:column, and kept in the order
 * in which a reader meets them: by file in order of reading, then line, then column. The list is bounded;
 * what does not fit is counted. Called by all conf_*.c; the list itself goes to the caller of conf_load().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "conf_priv.h"

static unsigned file_order(const struct loader *l, const char *file)
{
	for (size_t i = 0; i < l->nfiles; i++)
		if (!strcmp(l->files[i], file))
			return (unsigned)i;
	return 0;
}

/* Where a finding at this place belongs: after all that stand at or before it. */
static size_t find_slot(const struct loader *l, unsigned order, int line, int column)
{
	size_t i = l->errs->n;

	while (i > 0) {
		const struct conf_error *e = &l->errs->e[i - 1];

		if (l->order[i - 1] < order)
			break;
		if (l->order[i - 1] == order && (e->line < line || (e->line == line && e->column <= column)))
			break;
		i--;
	}
	return i;
}

static void insert(struct loader *l, bool warning, const char *file, int line, int column, const char *text)
{
	struct conf_errors *errs = l->errs;
	unsigned order = file_order(l, file);
	struct conf_error *e;
	char *f, *m;
	size_t i;

	if (!errs->e)
		errs->e = calloc(CONF_ERRORS_MAX, sizeof(*errs->e));
	f = strdup(file);
	m = strdup(text);
	if (!errs->e || !f || !m) {
		free(f);
		free(m);
		l->oom = true;
		return;
	}
	i = find_slot(l, order, line, column);
	memmove(&errs->e[i + 1], &errs->e[i], (errs->n - i) * sizeof(*errs->e));
	memmove(&l->order[i + 1], &l->order[i], (errs->n - i) * sizeof(*l->order));
	e = &errs->e[i];
	*e = (struct conf_error){ f, line, column, m, warning };
	l->order[i] = order;
	errs->n++;
}

static void report(struct loader *l, bool warning, const char *file, int line, int column, const char *fmt,
		   va_list ap) __attribute__((format(printf, 6, 0)));

static void report(struct loader *l, bool warning, const char *file, int line, int column, const char *fmt,
		   va_list ap)
{
	char text[1024];

	if (warning)
		l->nwarnings++;
	else
		l->nerrors++;
	if (l->errs->n == CONF_ERRORS_MAX || (warning && l->nwarnings > CONF_WARNINGS_MAX)) {
		l->errs->more++;
		return;
	}
	vsnprintf(text, sizeof(text), fmt, ap);
	insert(l, warning, file, line, column, text);
}

void conf_report(struct loader *l, bool warning, const char *file, int line, int column, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(l, warning, file, line, column, fmt, ap);
	va_end(ap);
}

bool conf_bad(struct loader *l, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(l, false, n->file, n->line, n->column, fmt, ap);
	va_end(ap);
	return false;
}

bool conf_bad_key(struct loader *l, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(l, false, n->file, n->key_line, n->key_column, fmt, ap);
	va_end(ap);
	return false;
}

void conf_warn(struct loader *l, const struct node *n, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	report(l, true, n->file, n->line, n->column, fmt, ap);
	va_end(ap);
}

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

#define HINT_MAX 40

/* Levenshtein distance of two short words; SIZE_MAX when one is too long to be a slip of the other. */
static size_t distance(const char *a, const char *b)
{
	size_t la = strlen(a), lb = strlen(b), row[HINT_MAX + 1];

	if (la > HINT_MAX || lb > HINT_MAX)
		return SIZE_MAX;
	for (size_t j = 0; j <= lb; j++)
		row[j] = j;
	for (size_t i = 1; i <= la; i++) {
		size_t diagonal = row[0];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t up = row[j];

			row[j] = least(least(row[j] + 1, row[j - 1] + 1), diagonal + (a[i - 1] != b[j - 1]));
			diagonal = up;
		}
	}
	return row[lb];
}

void conf_hint_try(struct conf_hint *h, const char *candidate)
{
	size_t d = distance(h->word, candidate);

	if (d == SIZE_MAX || (h->best && d >= h->distance))
		return;
	h->best = candidate;
	h->distance = d;
}

const char *conf_hint_text(struct loader *l, const struct conf_hint *h)
{
	size_t allowed = strlen(h->word) < 4 ? 1 : strlen(h->word) < 8 ? 2 : 3;
	const char *text;

	if (!h->best || h->distance > allowed || h->distance >= strlen(h->word))
		return "";
	text = arena_printf(l->tmp, "; did you mean \"%s\"?", h->best);
	return text ? text : "";
}

void conf_errors_free(struct conf_errors *errs)
{
	for (size_t i = 0; i < errs->n; i++) {
		free(errs->e[i].file);
		free(errs->e[i].message);
	}
	free(errs->e);
	*errs = (struct conf_errors){ 0 };
}

char *conf_errors_text(const struct conf_errors *errs)
{
	struct wr w = wr_growing(4u << 20);

	for (size_t i = 0; i < errs->n; i++) {
		const struct conf_error *e = &errs->e[i];

		wr_printf(&w, "%s:%d:%d: %s%s\n", e->file, e->line, e->column, e->warning ? "warning: " : "",
			  e->message);
	}
	if (errs->more)
		wr_printf(&w, "%zu more\n", errs->more);
	wr_u8(&w, 0);
	if (w.err) {
		wr_free(&w);
		return NULL;
	}
	return (char *)w.p;
}
