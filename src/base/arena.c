/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arenas: a list of blocks, the newest first; an allocation is a step forward in the newest one. Blocks
 * double from 4 KiB to 1 MiB; what is larger gets a block of its own size. Every allocation is rounded up to
 * 16 octets and counts as such against the limit, so that empty ones cannot get around it. Called by anything
 * that makes many small things with one life time: a request, a job, a parsed file.
 */
#include "base/arena.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_ALIGN 16u
#define ARENA_FIRST 4096u     /* octets of the first block */
#define ARENA_BIGGEST (1u << 20) /* octets of the largest ordinary block */

struct block {
	struct block *next;
	size_t cap;
	size_t used;
	_Alignas(16) uint8_t data[];
};

struct arena {
	struct block *top;
	size_t limit;
	size_t used;
	size_t next_cap;
};

struct arena *arena_new(size_t limit)
{
	struct arena *a = calloc(1, sizeof *a);

	if (!a)
		return NULL;
	a->limit = limit;
	a->next_cap = ARENA_FIRST;
	return a;
}

static void free_blocks(struct block *b)
{
	while (b) {
		struct block *next = b->next;

		free(b);
		b = next;
	}
}

void arena_free(struct arena *a)
{
	if (!a)
		return;
	free_blocks(a->top);
	free(a);
}

void arena_reset(struct arena *a)
{
	a->used = 0;
	if (!a->top)
		return;
	free_blocks(a->top->next);
	a->top->next = NULL;
	a->top->used = 0;
	if (a->top->cap > ARENA_BIGGEST) {
		free(a->top);
		a->top = NULL;
	}
}

static struct block *add_block(struct arena *a, size_t need)
{
	size_t cap = need > a->next_cap ? need : a->next_cap;
	struct block *b;

	if (cap > SIZE_MAX - sizeof *b)
		return NULL;
	b = malloc(sizeof *b + cap);
	if (!b)
		return NULL;
	b->cap = cap;
	b->used = 0;
	b->next = a->top;
	a->top = b;
	if (a->next_cap < ARENA_BIGGEST)
		a->next_cap *= 2;
	return b;
}

void *arena_alloc(struct arena *a, size_t len)
{
	struct block *b = a->top;
	size_t n;
	void *p;

	if (len > SIZE_MAX - ARENA_ALIGN)
		return NULL;
	n = len ? (len + ARENA_ALIGN - 1) & ~(size_t)(ARENA_ALIGN - 1) : ARENA_ALIGN;
	if (n > SIZE_MAX - a->used || (a->limit && a->used + n > a->limit))
		return NULL;
	if (!b || b->cap - b->used < n) {
		b = add_block(a, n);
		if (!b)
			return NULL;
	}
	p = b->data + b->used;
	b->used += n;
	a->used += n;
	return p;
}

void *arena_zalloc(struct arena *a, size_t len)
{
	void *p = arena_alloc(a, len);

	if (p && len)
		memset(p, 0, len);
	return p;
}

void *arena_dup(struct arena *a, const void *src, size_t len)
{
	void *p = arena_alloc(a, len);

	if (p && len)
		memcpy(p, src, len);
	return p;
}

char *arena_strdup(struct arena *a, const char *s)
{
	return arena_dup(a, s, strlen(s) + 1);
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n < 0)
		return NULL;
	s = arena_alloc(a, (size_t)n + 1);
	if (!s)
		return NULL;
	va_start(ap, fmt);
	vsnprintf(s, (size_t)n + 1, fmt, ap);
	va_end(ap);
	return s;
}

size_t arena_used(const struct arena *a)
{
	return a->used;
}
