/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The types of options that are lists: addresses, prefixes, sources, references to remotes and acls, and the
 * environment of a key store. Same contract as conf_type.c. A list with one bad item is refused as a whole,
 * after every item was looked at.
 */
#include <ctype.h>
#include <string.h>
#include "conf_priv.h"

static bool is_list(struct loader *l, const struct conf_opt *o, const struct node *n)
{
	if (n->kind == NODE_LIST)
		return true;
	if (n->kind == NODE_SCALAR && *n->text)
		return conf_bad(l, n, "\"%s\" takes %s: write [%s]", o->name, conf_types[o->type].expects,
				n->text);
	if (n->kind == NODE_SCALAR)
		return conf_bad(l, n, "\"%s\" has no value; write [] for an empty list", o->name);
	return n->kind != NODE_BAD && conf_bad(l, n, "\"%s\" takes %s", o->name, conf_types[o->type].expects);
}

static void set_list(const struct conf_opt *o, void *base, void *items, size_t n)
{
	memcpy((char *)base + o->at, &items, sizeof(items));
	memcpy((char *)base + o->count_at, &n, sizeof(n));
}

/* items: address of a pointer to the elements */
static size_t get_list(const struct conf_opt *o, const void *base, void *items)
{
	size_t n;

	memcpy(items, (const char *)base + o->at, sizeof(void *));
	memcpy(&n, (const char *)base + o->count_at, sizeof(n));
	return n;
}

static bool same_addr(const struct conf_addr *a, const struct conf_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family || a->prefix_len != b->prefix_len)
		return false;
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr && a->v4.sin_port == b->v4.sin_port;
	return !memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, 16) && a->v6.sin6_port == b->v6.sin6_port;
}

static bool is_repeated(const struct conf_addr *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (same_addr(&list[i], &list[n]))
			return true;
	return false;
}

static bool parse_item(struct loader *l, const struct conf_opt *o, const struct node *item,
		       struct conf_addr *out)
{
	const char *fault;

	if (item->kind == NODE_BAD)
		return false;
	if (item->kind != NODE_SCALAR)
		return conf_bad(l, item, "\"%s\" takes %s", o->name, conf_types[o->type].expects);
	if (o->type == CT_PREFIXES)
		fault = conf_prefix_parse(item->text, out);
	else if (o->type == CT_SOURCES)
		fault = conf_host_parse(item->text, out);
	else
		fault = conf_addr_parse(item->text, (uint16_t)o->min, out);
	if (!fault && o->flags & OF_REMOTE && conf_addr_is_any(out))
		fault = "is no address of a host";
	return !fault || conf_bad(l, item, "\"%s\": \"%s\" %s", o->name, item->text, fault);
}

#define ADDRS_MAX 1024 /* of one list: repeated ones are looked for one by one */

static bool parse_addr_list(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	struct conf_addr *list;
	size_t count = 0;
	bool ok = true;

	if (!is_list(l, o, n))
		return false;
	if (n->n > ADDRS_MAX)
		return conf_bad(l, n, "\"%s\" has more than %d items", o->name, ADDRS_MAX);
	list = conf_alloc(l, (n->n + 1) * sizeof(*list));
	if (!list)
		return false;
	for (struct node *item = n->first; item; item = item->next) {
		if (!parse_item(l, o, item, &list[count]))
			ok = false;
		else if (is_repeated(list, count))
			ok = conf_bad(l, item, "\"%s\": \"%s\" is given twice", o->name, item->text);
		else
			count++;
	}
	if (ok)
		set_list(o, base, list, count);
	return ok;
}

bool conf_parse_addrs(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	return parse_addr_list(l, o, n, base);
}

bool conf_parse_prefixes(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	return parse_addr_list(l, o, n, base);
}

bool conf_parse_sources(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	struct conf_addr found[2] = { 0 };
	bool ok = true;

	if (!is_list(l, o, n))
		return false;
	for (struct node *item = n->first; item; item = item->next) {
		struct conf_addr a = { 0 };

		if (!parse_item(l, o, item, &a)) {
			ok = false;
			continue;
		}
		if (found[a.sa.sa_family == AF_INET6].sa.sa_family)
			ok = conf_bad(l, item, "\"%s\": one address of a family is enough", o->name);
		found[a.sa.sa_family == AF_INET6] = a;
	}
	if (ok)
		memcpy((char *)base + o->at, found, sizeof(found));
	return ok;
}

/* One reference; NULL and reported when there is no such remote or acl, or it is of the wrong kind. */
static const struct conf_remote *resolve(struct loader *l, const struct conf_opt *o, const struct node *item)
{
	const struct conf_remote *r;

	if (item->kind == NODE_BAD)
		return NULL;
	if (item->kind != NODE_SCALAR) {
		conf_bad(l, item, "\"%s\" takes %s", o->name, conf_types[o->type].expects);
		return NULL;
	}
	r = conf_index_get(&l->remotes, item->text);
	if (!r) {
		conf_bad(l, item, "no remote%s is called \"%s\"%s", o->flags & OF_REMOTE ? "" : " or acl",
			 item->text, conf_index_hint(l, &l->remotes, item->text));
	} else if (r->is_acl && o->flags & OF_REMOTE) {
		conf_bad(l, item, "\"%s\": \"%s\" is an acl; a remote is expected", o->name, item->text);
		r = NULL;
	}
	return r;
}

#define REFS_MAX 1024 /* of one list */

bool conf_parse_refs(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const struct conf_remote **list;
	size_t count = 0;
	bool ok = true;

	if (!is_list(l, o, n))
		return false;
	if (n->n > REFS_MAX)
		return conf_bad(l, n, "\"%s\" has more than %d items", o->name, REFS_MAX);
	list = conf_alloc(l, (n->n + 1) * sizeof(*list));
	if (!list)
		return false;
	for (struct node *item = n->first; item; item = item->next) {
		const struct conf_remote *r = resolve(l, o, item);

		if (!r) {
			ok = false;
			continue;
		}
		for (size_t i = 0; i < count; i++)
			if (list[i] == r)
				ok = conf_bad(l, item, "\"%s\": \"%s\" is given twice", o->name, item->text);
		list[count++] = r;
	}
	if (ok)
		set_list(o, base, list, count);
	return ok;
}

static bool env_name_ok(const char *s)
{
	if (!isalpha((uint8_t)*s) && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((uint8_t)*s) && *s != '_')
			return false;
	return true;
}

bool conf_parse_env(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	struct conf_env *env;
	size_t count = 0;
	bool ok = true;

	if (n->kind != NODE_MAP)
		return n->kind != NODE_BAD &&
		       conf_bad(l, n, "\"%s\" takes %s", o->name, conf_types[o->type].expects);
	env = conf_alloc(l, (n->n + 1) * sizeof(*env));
	if (!env)
		return false;
	for (struct node *e = n->first; e; e = e->next) {
		if (!env_name_ok(e->key))
			ok = conf_bad_key(l, e, "\"%s\" is no name of an environment variable", e->key);
		else if (e->kind == NODE_LIST || e->kind == NODE_MAP)
			ok = conf_bad(l, e, "\"%s\" takes text", e->key);
		else if (e->kind == NODE_SCALAR)
			env[count++] = (struct conf_env){ conf_dup(l, e->key), conf_dup(l, e->text) };
	}
	if (ok)
		set_list(o, base, env, count);
	return ok;
}

typedef char *(*addr_text_fn)(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT]);

static bool print_addr_list(struct wr *w, const struct conf_addr *list, size_t n, addr_text_fn text)
{
	char buf[CONF_ADDR_TEXT];

	wr_u8(w, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			wr_printf(w, ", ");
		conf_print_scalar(w, text(&list[i], buf));
	}
	wr_u8(w, ']');
	return true;
}

bool conf_print_addrs(struct wr *w, const struct conf_opt *o, const void *base)
{
	const struct conf_addr *list;
	size_t n = get_list(o, base, &list);

	return print_addr_list(w, list, n, conf_addr_text);
}

bool conf_print_prefixes(struct wr *w, const struct conf_opt *o, const void *base)
{
	const struct conf_addr *list;
	size_t n = get_list(o, base, &list);

	return print_addr_list(w, list, n, conf_prefix_text);
}

bool conf_print_sources(struct wr *w, const struct conf_opt *o, const void *base)
{
	struct conf_addr src[2];
	bool v4, v6;

	memcpy(src, (const char *)base + o->at, sizeof(src));
	v4 = src[0].sa.sa_family;
	v6 = src[1].sa.sa_family;
	return (v4 || v6) && print_addr_list(w, v4 ? src : src + 1, (size_t)v4 + v6, conf_host_text);
}

bool conf_print_refs(struct wr *w, const struct conf_opt *o, const void *base)
{
	const struct conf_remote **list;
	size_t n = get_list(o, base, &list);

	wr_u8(w, '[');
	for (size_t i = 0; i < n; i++) {
		if (i)
			wr_printf(w, ", ");
		conf_print_scalar(w, list[i]->name);
	}
	wr_u8(w, ']');
	return true;
}

bool conf_print_env(struct wr *w, const struct conf_opt *o, const void *base)
{
	const struct conf_env *env;
	size_t n = get_list(o, base, &env);

	if (!n)
		return false;
	wr_u8(w, '{');
	for (size_t i = 0; i < n; i++) {
		wr_printf(w, "%s%s: ", i ? ", " : "", env[i].name);
		conf_print_scalar(w, env[i].value);
	}
	wr_u8(w, '}');
	return true;
}
