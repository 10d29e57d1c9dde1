/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Arena: allocate freely, release once. One owner each; not thread-safe. Nothing in an arena points into a
 * shorter-lived one.
 */
#ifndef ZONESEAL_BASE_ARENA_H
#define ZONESEAL_BASE_ARENA_H

#include <stddef.h>

struct arena;

/* limit: most octets handed out in all, 0 = no bound. NULL when out of memory. */
struct arena *arena_new(size_t limit);
void arena_free(struct arena *a); /* NULL is legal */
void arena_reset(struct arena *a); /* keeps at most one block */

/* 16-octet aligned, not zeroed; NULL over the limit or out of memory. len 0 gives a valid pointer. */
void *arena_alloc(struct arena *a, size_t len);
void *arena_zalloc(struct arena *a, size_t len);
void *arena_dup(struct arena *a, const void *src, size_t len);
char *arena_strdup(struct arena *a, const char *s);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
size_t arena_used(const struct arena *a); /* octets handed out */

#endif
