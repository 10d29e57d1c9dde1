/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Names of one kind (remotes, policies, zones, ...) to their items: a hash table with open addressing, sized
 * once, so that a hundred thousand zones are checked for duplicates in one pass. Lives as long as the loader.
 */
#include <string.h>
#include "conf_priv.h"

static size_t hash(const char *s)
{
	uint64_t h = 14695981039346656037u; /* FNV-1a */

	for (; *s; s++)
		h = (h ^ (uint8_t)*s) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

bool conf_index_init(struct loader *l, struct index *x, size_t most)
{
	x->cap = 16;
	while (x->cap < most * 2)
		x->cap *= 2;
	x->n = 0;
	x->slots = arena_zalloc(l->tmp, x->cap * sizeof(*x->slots));
	if (!x->slots) {
		x->cap = 0;
		l->oom = true;
	}
	return x->slots != NULL;
}

static struct index_slot *find(const struct index *x, const char *name)
{
	size_t i = hash(name) & (x->cap - 1);

	while (x->slots[i].name && strcmp(x->slots[i].name, name))
		i = (i + 1) & (x->cap - 1);
	return &x->slots[i];
}

bool conf_index_add(struct loader *l, struct index *x, const char *kind, const char *name, void *item,
		    const struct node *at)
{
	struct index_slot *s = find(x, name);

	if (s->name && s->at)
		return conf_bad(l, at, "%s \"%s\" is configured already at %s:%d", kind, name, s->at->file,
				s->at->line);
	if (!s->name)
		x->n++;
	*s = (struct index_slot){ .name = name, .item = item, .at = at };
	return true;
}

void *conf_index_get(const struct index *x, const char *name)
{
	return x->cap ? find(x, name)->item : NULL;
}

const char *conf_index_hint(struct loader *l, const struct index *x, const char *name)
{
	struct conf_hint h = { .word = name };

	if (l->nerrors >= CONF_ERRORS_MAX)
		return "";
	for (size_t i = 0; i < x->cap; i++)
		if (x->slots[i].name)
			conf_hint_try(&h, x->slots[i].name);
	return conf_hint_text(l, &h);
}
