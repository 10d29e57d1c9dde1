/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The effective configuration as YAML: every option of the table with its value, templates resolved, built-in
 * policies and key stores included. Loading it gives the same configuration. Secrets appear as file names
 * only.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "conf_priv.h"

#define DUMP_MAX ((size_t)1 << 30)

/* One item or section; `first` is what the first line begins with, `rest` the others. */
static void dump_options(struct wr *w, const struct conf_opt *table, const void *base, const char *first,
			 const char *rest)
{
	const char *lead = first;

	for (const struct conf_opt *o = table; o->name; o++) {
		size_t before = w->len;

		if (o->flags & OF_RESERVED || !conf_types[o->type].print)
			continue;
		wr_printf(w, "%s%s: ", lead, o->name);
		if (conf_types[o->type].print(w, o, base)) {
			wr_u8(w, '\n');
			lead = rest;
		} else if (!w->err) {
			w->len = before;
		}
	}
}

/* Remotes and acls share an array; the policy `none` cannot be written down. */
static bool belongs(const struct conf_opt *section, const void *item)
{
	if (!strcmp(section->name, "remotes") || !strcmp(section->name, "acls"))
		return ((const struct conf_remote *)item)->is_acl == (*section->name == 'a');
	if (!strcmp(section->name, "policies"))
		return !((const struct policy *)item)->unsigned_zone;
	return true;
}

static void dump_items(struct wr *w, const struct conf_opt *section, const struct conf *c)
{
	const char *items;
	bool head = false;
	size_t n;

	memcpy(&items, (const char *)c + section->at, sizeof(items));
	memcpy(&n, (const char *)c + section->count_at, sizeof(n));
	for (size_t i = 0; i < n; i++) {
		const char *item = items + i * section->item_size;

		if (!belongs(section, item))
			continue;
		if (!head)
			wr_printf(w, "%s:\n", section->name);
		head = true;
		if (!strcmp(section->name, "keystores") && ((const struct conf_keystore *)item)->file)
			wr_printf(w, "  - {name: file, backend: file}\n"); /* nothing else can be set */
		else
			dump_options(w, section->sub, item, "  - ", "    ");
	}
}

int conf_dump(const struct conf *c, char **out)
{
	struct wr w = wr_growing(DUMP_MAX);

	wr_printf(&w, "version: 1\n");
	for (const struct conf_opt *o = conf_table; o->name; o++) {
		if (o->type == CT_MAP) {
			wr_printf(&w, "%s:\n", o->name);
			dump_options(&w, o->sub, c, "  ", "  ");
		} else if (o->type == CT_ITEMS && o->count_at) {
			dump_items(&w, o, c);
		}
	}
	wr_u8(&w, 0);
	if (w.err) {
		int err = w.err;

		wr_free(&w);
		return err;
	}
	*out = (char *)w.p;
	return 0;
}
