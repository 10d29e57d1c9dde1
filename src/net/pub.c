/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Publications: counted, immutable once handed out. The last reference, wherever it is dropped, gives the
 * source back and frees the arena.
 */
#include "net/pub.h"

#include <stdlib.h>

struct pub *pub_new(void)
{
	struct pub *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->mem = arena_new(0);
	if (!p->mem) {
		free(p);
		return NULL;
	}
	p->refs = 1;
	p->earliest_expiry = INT64_MAX;
	return p;
}

struct pub *pub_ref(struct pub *p)
{
	__atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
	return p;
}

void pub_unref(struct pub *p)
{
	if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
		return;
	if (p->release)
		p->release(p->source);
	arena_free(p->mem);
	free(p);
}
