/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The tree of sections -> struct conf. Sections are taken in an order in which everything is there before it
 * is referred to: keys, stores, policies, remotes, then the server, templates and zones. Each item starts as
 * a copy of its prototype (the defaults; for a zone, its template), so that what it says itself replaces
 * single fields. An item with errors stays in its index, so that references to it do not fail as well.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "conf_priv.h"

static struct node *section(const struct loader *l, const char *name)
{
	return l->section[conf_opt_find(conf_table, name) - conf_table];
}

static size_t section_len(const struct loader *l, const char *name)
{
	const struct node *n = section(l, name);

	return n ? n->n : 0;
}

static const struct conf_opt *options(const char *name)
{
	return conf_opt_find(conf_table, name)->sub;
}

/* False and reported unless n is a mapping. */
static bool is_item(struct loader *l, const struct node *n, const char *sect)
{
	if (n->kind == NODE_MAP)
		return true;
	return n->kind != NODE_BAD && conf_bad(l, n, "\"%s\" takes a list of mappings", sect);
}

/* The text of an option before it is typed, or "". */
static const char *peek(const struct node *item, const char *key)
{
	const struct node *n = conf_node_get(item, key);

	return n && n->kind == NODE_SCALAR ? n->text : "";
}

/* --- tsig, keystores, policies, remotes --- */

static void load_tsig(struct loader *l)
{
	const struct conf_opt *opts = options("tsig");
	const struct node *sect = section(l, "tsig");
	struct conf_tsig proto = { 0 };
	struct conf *c = l->conf;
	size_t most = section_len(l, "tsig");

	c->tsig = conf_alloc(l, (most + 1) * sizeof(*c->tsig));
	if (!c->tsig || !conf_index_init(l, &l->tsig, most))
		return;
	conf_set_defaults(l, opts, &proto);
	for (struct node *n = sect ? sect->first : NULL; n; n = n->next) {
		struct conf_tsig *t = &c->tsig[c->ntsig];
		bool ok;

		if (!is_item(l, n, "tsig"))
			continue;
		*t = proto;
		ok = conf_parse_map(l, opts, "tsig", n, t);
		c->ntsig++;
		if (t->name && !conf_index_add(l, &l->tsig, "tsig key", t->name, t, n))
			ok = false;
		if (ok && !(l->flags & CONF_NO_SECRETS))
			conf_secret_read(l, t, conf_node_get(n, "secret-file"));
	}
}

static void load_keystores(struct loader *l)
{
	const struct conf_opt *opts = options("keystores");
	const struct node *sect = section(l, "keystores");
	struct conf_keystore proto = { 0 }, *list, *k;
	struct conf *c = l->conf;
	size_t most = section_len(l, "keystores") + 1;

	c->keystores = list = conf_alloc(l, most * sizeof(*list));
	if (!list || !conf_index_init(l, &l->keystores, most))
		return;
	conf_set_defaults(l, opts, &proto);
	list[0] = (struct conf_keystore){ .name = conf_dup(l, "file"), .file = true };
	c->nkeystores = 1;
	if (!list[0].name || !conf_index_add(l, &l->keystores, "", list[0].name, &list[0], NULL))
		return;
	for (struct node *n = sect ? sect->first : NULL; n; n = n->next) {
		bool ok;

		if (!is_item(l, n, "keystores"))
			continue;
		k = strcmp(peek(n, "name"), "file") ? &list[c->nkeystores++] : &list[0];
		*k = proto;
		ok = conf_parse_map(l, opts, "keystores", n, k);
		if (k->file && !conf_node_get(n, "sessions"))
			k->sessions = 0;
		if (k->name && !conf_index_add(l, &l->keystores, "key store", k->name, k, n))
			ok = false;
		if (ok)
			conf_check_keystore(l, k, n);
	}
}

/* `default` and `none` come first, whether they are configured or not. */
static bool builtin_policies(struct loader *l, const struct policy *proto)
{
	struct conf *c = l->conf;

	c->policies[0] = *proto;
	c->policies[1] = *proto;
	c->policies[1].unsigned_zone = true;
	c->policies[0].name = conf_dup(l, "default");
	c->policies[1].name = conf_dup(l, "none");
	c->npolicies = 2;
	for (size_t i = 0; i < 2; i++)
		if (!c->policies[i].name ||
		    !conf_index_add(l, &l->policies, "policy", c->policies[i].name, &c->policies[i], NULL))
			return false;
	return true;
}

static void load_policies(struct loader *l)
{
	const struct conf_opt *opts = options("policies");
	const struct node *sect = section(l, "policies");
	struct policy proto = { 0 }, *p;
	struct conf *c = l->conf;
	size_t most = section_len(l, "policies") + 2;

	c->policies = conf_alloc(l, most * sizeof(*c->policies));
	if (!c->policies || !conf_index_init(l, &l->policies, most))
		return;
	conf_set_defaults(l, opts, &proto);
	if (!builtin_policies(l, &proto))
		return;
	for (struct node *n = sect ? sect->first : NULL; n; n = n->next) {
		const char *name = peek(n->kind == NODE_MAP ? n : &(struct node){ 0 }, "name");
		bool ok;

		if (!is_item(l, n, "policies"))
			continue;
		if (!strcmp(name, "none")) {
			conf_bad(l, n, "the policy \"none\" is built in and cannot be changed");
			continue;
		}
		p = strcmp(name, "default") ? &c->policies[c->npolicies++] : &c->policies[0];
		*p = proto;
		ok = conf_parse_map(l, opts, "policies", n, p);
		if (p->name && !conf_index_add(l, &l->policies, "policy", p->name, p, n))
			ok = false;
		if (ok)
			conf_check_policy(l, p, n);
	}
}

static void load_remote_section(struct loader *l, const char *name, bool is_acl)
{
	const struct node *sect = section(l, name);
	const struct conf_opt *opts = options(name);
	struct conf_remote proto = { .is_acl = is_acl };
	struct conf *c = l->conf;

	conf_set_defaults(l, opts, &proto);
	for (struct node *n = sect ? sect->first : NULL; n; n = n->next) {
		struct conf_remote *r = &c->remotes[c->nremotes];
		bool ok;

		if (!is_item(l, n, name))
			continue;
		*r = proto;
		c->nremotes++;
		ok = conf_parse_map(l, opts, name, n, r);
		if (r->name &&
		    !conf_index_add(l, &l->remotes, is_acl ? "remote or acl" : "remote", r->name, r, n))
			ok = false;
		if (ok)
			conf_check_remote(l, r, n);
	}
}

static void load_remotes(struct loader *l)
{
	size_t most = section_len(l, "remotes") + section_len(l, "acls");

	l->conf->remotes = conf_alloc(l, (most + 1) * sizeof(*l->conf->remotes));
	if (!l->conf->remotes || !conf_index_init(l, &l->remotes, most))
		return;
	load_remote_section(l, "remotes", false);
	load_remote_section(l, "acls", true);
}

/* --- server, stats, log --- */

static void load_map(struct loader *l, const char *name)
{
	struct node *n = section(l, name);

	conf_set_defaults(l, options(name), l->conf);
	if (n)
		conf_parse_map(l, options(name), name, n, l->conf);
}

static void load_server(struct loader *l)
{
	const struct node *n = section(l, "server");

	load_map(l, "server");
	load_map(l, "stats");
	load_map(l, "log");
	l->conf->query_set = l->conf->nquery > 0;
	if (!l->conf->nlisten && n && conf_node_get(n, "listen"))
		conf_bad(l, conf_node_get(n, "listen"), "\"listen\" is empty");
}

/* --- templates and zones --- */

struct template {
	struct conf_zone zone; /* what a zone of it starts as */
	bool ok;
};

static void load_templates(struct loader *l, const struct conf_zone *proto)
{
	const struct node *sect = section(l, "templates");
	size_t most = section_len(l, "templates"), used = 0;
	struct template *list = arena_zalloc(l->tmp, (most + 1) * sizeof(*list));

	if (!list || !conf_index_init(l, &l->templates, most)) {
		l->oom = true;
		return;
	}
	l->in_template = true;
	for (struct node *n = sect ? sect->first : NULL; n; n = n->next) {
		struct template *t = &list[used];

		if (!is_item(l, n, "templates"))
			continue;
		t->zone = *proto;
		t->ok = conf_parse_map(l, options("templates"), "templates", n, &t->zone);
		used++;
		if (t->zone.name)
			conf_index_add(l, &l->templates, "template", t->zone.name, t, n);
		t->zone.name = NULL;
	}
	l->in_template = false;
}

/* What the zone starts as; *ok is cleared when its template is not there or not right. */
static const struct conf_zone *start_of(struct loader *l, const struct node *n, const struct conf_zone *proto,
					bool *ok)
{
	static const struct conf_opt row = { .name = "template", .type = CT_TEMPLATE };
	const struct node *ref = conf_node_get(n, "template");
	const struct template *t;
	const char *name;

	if (!ref)
		return proto;
	name = conf_scalar(l, &row, ref);
	t = name ? conf_index_get(&l->templates, name) : NULL;
	if (name && !t)
		conf_bad(l, ref, "no template is called \"%s\"%s", name,
			 conf_index_hint(l, &l->templates, name));
	*ok = t && t->ok;
	return t ? &t->zone : proto;
}

static void load_zone(struct loader *l, struct node *n, const struct conf_zone *proto)
{
	struct conf *c = l->conf;
	struct conf_zone *z = &c->zones[c->nzones];
	bool ok = true;

	*z = *start_of(l, n, proto, &ok);
	if (!conf_parse_map(l, options("zones"), "zones", n, z))
		ok = false;
	c->nzones++;
	z->line = n->line;
	z->file = conf_dup(l, n->file);
	if (z->name && !conf_index_add(l, &l->zones, "zone", z->name, z, n))
		ok = false;
	if (ok)
		conf_check_zone(l, z, n);
}

static int by_wire(const void *a, const void *b)
{
	const struct conf_zone *x = a, *y = b;

	/* the root label ends a name: no wire form is a prefix of another */
	return memcmp(x->wire, y->wire, x->wire_len < y->wire_len ? x->wire_len : y->wire_len);
}

static void load_zones(struct loader *l)
{
	const struct node *sect = section(l, "zones");
	size_t most = section_len(l, "zones");
	struct conf_zone proto = { 0 };

	conf_set_defaults(l, options("zones"), &proto);
	load_templates(l, &proto);
	l->conf->zones = conf_alloc(l, (most + 1) * sizeof(*l->conf->zones));
	if (!l->conf->zones || !conf_index_init(l, &l->zones, most))
		return;
	for (struct node *n = sect ? sect->first : NULL; n && !l->oom; n = n->next)
		if (is_item(l, n, "zones"))
			load_zone(l, n, &proto);
	if (!l->nerrors)
		qsort(l->conf->zones, l->conf->nzones, sizeof(*l->conf->zones), by_wire);
}

/* --- the whole --- */

/* Every step needs the indexes of those before it. */
static void load_all(struct loader *l)
{
	static void (*const steps[])(struct loader *) = {
		load_tsig, load_keystores, load_policies, load_remotes, load_server, load_zones,
	};

	for (size_t i = 0; i < sizeof(steps) / sizeof(*steps) && !l->oom; i++)
		steps[i](l);
}

static int load(struct loader *l, const char *path)
{
	l->tmp = arena_new(0);
	l->conf = calloc(1, sizeof(*l->conf));
	if (l->conf)
		l->conf->mem = arena_new(0);
	if (!l->tmp || !l->conf || !l->conf->mem)
		return ZS_ENOMEM;
	conf_files_read(l, path);
	if (!l->broken && !l->oom)
		load_all(l);
	if (l->oom)
		return ZS_ENOMEM;
	return l->nerrors ? ZS_ECONFIG : 0;
}

int conf_load(const char *path, const struct conf_source *src, unsigned flags, struct conf **out,
	      struct conf_errors *errs)
{
	struct loader *l = calloc(1, sizeof(*l));
	int ret;

	*errs = (struct conf_errors){ 0 };
	if (!l)
		return ZS_ENOMEM;
	l->src = src;
	l->flags = flags;
	l->errs = errs;
	ret = load(l, path);
	if (ret)
		conf_free(l->conf);
	else
		*out = l->conf;
	arena_free(l->tmp);
	free(l);
	return ret;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->ntsig; i++)
		if (c->tsig[i].secret)
			explicit_bzero(c->tsig[i].secret, c->tsig[i].secret_len);
	arena_free(c->mem);
	free(c);
}

/* --- looking things up --- */

const struct policy *conf_policy(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->npolicies; i++)
		if (!strcmp(c->policies[i].name, name))
			return &c->policies[i];
	return NULL;
}

const struct conf_keystore *conf_keystore(const struct conf *c, const char *name)
{
	for (size_t i = 0; i < c->nkeystores; i++)
		if (!strcmp(c->keystores[i].name, name))
			return &c->keystores[i];
	return NULL;
}

const struct conf_zone *conf_zone(const struct conf *c, const uint8_t *wire, size_t len)
{
	struct conf_zone key;

	if (len == 0 || len > sizeof(key.wire))
		return NULL;
	memcpy(key.wire, wire, len);
	key.wire_len = (uint8_t)len;
	return bsearch(&key, c->zones, c->nzones, sizeof(*c->zones), by_wire);
}
