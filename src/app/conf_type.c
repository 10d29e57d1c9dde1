/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The types of options: for each one parser (text of a node -> field of a struct) and one printer (field ->
 * text that parses to the same). The table says which option has which type; nothing else knows how a value
 * is spelled. A parser that fails has reported why and where, and has left the field alone. Lists are in
 * conf_type_list.c.
 */
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include "base/err.h"
#include "base/text.h"
#include "conf_priv.h"

/* --- helpers of all types --- */

void *conf_alloc(struct loader *l, size_t len)
{
	void *p = arena_zalloc(l->conf->mem, len);

	if (!p)
		l->oom = true;
	return p;
}

char *conf_dup(struct loader *l, const char *s)
{
	char *p = arena_strdup(l->conf->mem, s);

	if (!p)
		l->oom = true;
	return p;
}

/* Unsigned fields come back zero-extended, int fields (the only four-octet ones with -1) sign-extended. */
int64_t conf_get_int(const struct conf_opt *o, const void *base)
{
	const char *p = (const char *)base + o->at;
	uint32_t v32;
	uint16_t v16;
	int64_t v64;

	switch (o->size) {
	case 1:
		return *(const uint8_t *)p;
	case 2:
		memcpy(&v16, p, sizeof(v16));
		return v16;
	case 4:
		memcpy(&v32, p, sizeof(v32));
		return o->words && v32 == UINT32_MAX ? -1 : (int64_t)v32;
	default:
		memcpy(&v64, p, sizeof(v64));
		return v64;
	}
}

void conf_set_int(const struct conf_opt *o, void *base, int64_t v)
{
	char *p = (char *)base + o->at;
	uint32_t v32 = (uint32_t)v;
	uint16_t v16 = (uint16_t)v;

	if (o->size == 1)
		*(uint8_t *)p = (uint8_t)v;
	else if (o->size == 2)
		memcpy(p, &v16, sizeof(v16));
	else if (o->size == 4)
		memcpy(p, &v32, sizeof(v32));
	else if (o->size == 8)
		memcpy(p, &v, sizeof(v));
}

static const char *kind_text(const struct node *n)
{
	if (n->kind == NODE_LIST)
		return "a list";
	return n->kind == NODE_MAP ? "a mapping" : *n->text ? n->text : "nothing";
}

static bool bad_kind(struct loader *l, const struct conf_opt *o, const struct node *n)
{
	if (n->kind == NODE_BAD)
		return false;
	return conf_bad(l, n, "\"%s\" takes %s, not %s%s%s", o->name, conf_types[o->type].expects,
			n->kind == NODE_SCALAR && *n->text ? "\"" : "", kind_text(n),
			n->kind == NODE_SCALAR && *n->text ? "\"" : "");
}

const char *conf_scalar(struct loader *l, const struct conf_opt *o, const struct node *n)
{
	if (n->kind == NODE_SCALAR && *n->text)
		return n->text;
	bad_kind(l, o, n);
	return NULL;
}

static const struct conf_word *find_word(const struct conf_opt *o, const char *text)
{
	for (const struct conf_word *w = o->words; w && w->word; w++)
		if (!strcmp(w->word, text))
			return w;
	return NULL;
}

/* --- printing --- */

static bool plain_ok(const char *s)
{
	if (!isalnum((uint8_t)*s) && *s != '/' && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((uint8_t)*s) && !strchr("_-./@%+*", *s))
			return false;
	return true;
}

void conf_print_scalar(struct wr *w, const char *s)
{
	if (plain_ok(s)) {
		wr_bytes(w, s, strlen(s));
		return;
	}
	wr_u8(w, '"');
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			wr_u8(w, '\\');
		wr_u8(w, (uint8_t)*s);
	}
	wr_u8(w, '"');
}

struct unit { uint64_t factor; char letter; };

/* The largest unit that leaves no rest. */
static void print_united(struct wr *w, uint64_t v, const struct unit *u)
{
	while (u->factor > 1 && (v == 0 || v % u->factor))
		u++;
	wr_printf(w, "%llu", (unsigned long long)(v / u->factor));
	if (u->letter)
		wr_u8(w, (uint8_t)u->letter);
}

void conf_print_duration(struct wr *w, int64_t seconds)
{
	static const struct unit units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };

	print_united(w, (uint64_t)seconds, units);
}

void conf_print_size(struct wr *w, uint64_t octets)
{
	static const struct unit units[] = {
		{ 1u << 30, 'G' }, { 1u << 20, 'M' }, { 1u << 10, 'k' }, { 1, 0 }
	};

	print_united(w, octets, units);
}

static void print_number(struct wr *w, const struct conf_opt *o, int64_t v)
{
	if (o->type == CT_DURATION)
		conf_print_duration(w, v);
	else if (o->type == CT_SIZE)
		conf_print_size(w, (uint64_t)v);
	else
		wr_printf(w, "%lld%s", (long long)v, o->type == CT_PERCENT ? "%" : "");
}

static const char *number_text(struct loader *l, const struct conf_opt *o, int64_t v)
{
	struct wr w = wr_growing(64);
	const char *text;

	print_number(&w, o, v);
	text = arena_printf(l->tmp, "%.*s", (int)w.len, w.p ? (const char *)w.p : "");
	wr_free(&w);
	return text ? text : "";
}

/* --- strings --- */

static const char *words_text(struct loader *l, const struct conf_opt *o)
{
	const char *text = "";

	for (const struct conf_word *w = o->words; w->word && text; w++)
		if (!w->reserved)
			text = arena_printf(l->tmp, "%s%s%s", text, *text ? ", " : "", w->word);
	return text ? text : "";
}

static bool bad_word(struct loader *l, const struct conf_opt *o, const struct node *n)
{
	struct conf_hint h = { .word = n->text };

	for (const struct conf_word *w = o->words; w->word; w++)
		if (!w->reserved)
			conf_hint_try(&h, w->word);
	return conf_bad(l, n, "\"%s\": \"%s\" is none of: %s%s", o->name, n->text, words_text(l, o),
			conf_hint_text(l, &h));
}

bool conf_ident_ok(const char *s)
{
	if (!isalnum((uint8_t)*s) || strlen(s) > 63)
		return false;
	for (; *s; s++)
		if (!isalnum((uint8_t)*s) && !strchr("._-", *s))
			return false;
	return true;
}

static bool user_ok(const char *s)
{
	if (!isalnum((uint8_t)*s) && *s != '_')
		return false;
	for (; *s; s++)
		if (!isalnum((uint8_t)*s) && !strchr("._-", *s))
			return false;
	return true;
}

static bool parse_string(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	char *copy;

	if (!s)
		return false;
	if (o->words && !find_word(o, s))
		return bad_word(l, o, n);
	if (o->flags & OF_IDENT && !conf_ident_ok(s))
		return conf_bad(l, n,
				"\"%s\": a name has letters, digits, \".\", \"_\" and \"-\", begins with "
				"a letter or digit and has at most 63 characters",
				s);
	if (o->flags & OF_USER && !user_ok(s))
		return conf_bad(l, n, "\"%s\": a user or group name or number is expected, not \"%s\"",
				o->name, s);
	if (o->flags & OF_PATH && *s != '/')
		return conf_bad(l, n, "\"%s\": an absolute path is expected, not \"%s\"", o->name, s);
	if (o->flags & OF_TARGET && *s != '/' && strcmp(s, "stderr") && strcmp(s, "syslog"))
		return conf_bad(l, n, "\"%s\": stderr, syslog or an absolute path is expected, not \"%s\"",
				o->name, s);
	copy = conf_dup(l, s);
	memcpy((char *)base + o->at, &copy, sizeof(copy));
	return copy != NULL;
}

static bool print_string(struct wr *w, const struct conf_opt *o, const void *base)
{
	const char *s;

	memcpy(&s, (const char *)base + o->at, sizeof(s));
	if (!s)
		return false;
	conf_print_scalar(w, s);
	return true;
}

/* --- numbers --- */

static bool in_range(struct loader *l, const struct conf_opt *o, const struct node *n, int64_t v)
{
	if (v < o->min)
		return conf_bad(l, n, "\"%s\": %s is below the minimum %s", o->name, n->text,
				number_text(l, o, o->min));
	if (v > o->max)
		return conf_bad(l, n, "\"%s\": %s is above the maximum %s", o->name, n->text,
				number_text(l, o, o->max));
	return true;
}

static int number_value(const struct conf_opt *o, const char *s, int64_t *v)
{
	char digits[8];
	uint64_t u = 0;
	int ret;

	if (o->type == CT_DURATION)
		return text_duration(s, v);
	if (o->type == CT_SIZE) {
		ret = text_size(s, &u);
	} else if (o->type == CT_PERCENT) {
		size_t len = strlen(s);

		if (len < 2 || len > sizeof(digits) || s[len - 1] != '%')
			return ZS_EFORMAT;
		memcpy(digits, s, len - 1);
		digits[len - 1] = 0;
		ret = text_u64(digits, UINT64_MAX, &u);
	} else {
		ret = text_u64(s, INT64_MAX, &u);
	}
	if (!ret && u > INT64_MAX)
		ret = ZS_ELIMIT;
	if (!ret)
		*v = (int64_t)u;
	return ret;
}

static bool parse_number(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	const struct conf_word *word;
	int64_t v = 0;
	int ret;

	if (!s)
		return false;
	word = find_word(o, s);
	if (word) {
		conf_set_int(o, base, word->value);
		return true;
	}
	ret = number_value(o, s, &v);
	if (ret == ZS_ELIMIT)
		return conf_bad(l, n, "\"%s\": %s is above the maximum %s", o->name, s,
				number_text(l, o, o->max));
	if (ret)
		return conf_bad(l, n, "\"%s\": %s is expected, not \"%s\"", o->name,
				conf_types[o->type].expects, s);
	if (!in_range(l, o, n, v))
		return false;
	conf_set_int(o, base, v);
	return true;
}

static bool print_number_field(struct wr *w, const struct conf_opt *o, const void *base)
{
	int64_t v = conf_get_int(o, base);

	for (const struct conf_word *word = o->words; word && word->word; word++) {
		if (word->value == v) {
			wr_printf(w, "%s", word->word);
			return true;
		}
	}
	print_number(w, o, v);
	return true;
}

static bool parse_enum(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	const struct conf_word *word = s ? find_word(o, s) : NULL;

	if (!s)
		return false;
	if (!word)
		return bad_word(l, o, n);
	if (word->reserved)
		return conf_bad(l, n, "\"%s: %s\" is reserved for a later version and does not work yet",
				o->name, s);
	conf_set_int(o, base, word->value);
	return true;
}

static bool print_enum(struct wr *w, const struct conf_opt *o, const void *base)
{
	return o->size ? print_number_field(w, o, base) : false;
}

/* --- names and references --- */

static bool name_of(struct loader *l, const struct conf_opt *o, const struct node *n, struct conf_name *name)
{
	const char *s = conf_scalar(l, o, n);
	char why[1280];

	if (!s)
		return false;
	return conf_name_parse(s, name, why, sizeof(why)) || conf_bad(l, n, "\"%s\" %s", s, why);
}

static bool parse_keyname(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	struct conf_name name;
	char *copy;

	if (!name_of(l, o, n, &name))
		return false;
	copy = conf_dup(l, name.text);
	memcpy((char *)base + o->at, &copy, sizeof(copy));
	return copy != NULL;
}

/* The name of a zone, or of a template while those are read: they share the table. */
static bool parse_zonename(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	struct conf_opt ident = *o;
	struct conf_zone *z = base;
	struct conf_name name;

	ident.flags |= OF_IDENT;
	if (l->in_template)
		return parse_string(l, &ident, n, base);
	if (!name_of(l, o, n, &name))
		return false;
	memcpy(z->wire, name.wire, name.len);
	z->wire_len = name.len;
	z->name = conf_dup(l, name.text);
	return z->name != NULL;
}

/* conf_load.c has looked it up before: what is left is that it may not stand in a template. */
static bool parse_template(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	return !l->in_template || conf_bad_key(l, n, "a template has no template of its own");
}

static bool parse_tsigref(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const struct conf_tsig *t;
	struct conf_name name;

	if (!name_of(l, o, n, &name))
		return false;
	t = conf_index_get(&l->tsig, name.text);
	if (!t)
		return conf_bad(l, n, "no tsig key is called \"%s\"%s", n->text,
				conf_index_hint(l, &l->tsig, name.text));
	memcpy((char *)base + o->at, &t, sizeof(t));
	return true;
}

static bool parse_policyref(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	const struct policy *p = s ? conf_index_get(&l->policies, s) : NULL;

	if (!s)
		return false;
	if (!p)
		return conf_bad(l, n, "no policy is called \"%s\"%s", s, conf_index_hint(l, &l->policies, s));
	memcpy((char *)base + o->at, &p, sizeof(p));
	return true;
}

static bool parse_storeref(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	const struct conf_keystore *k = s ? conf_index_get(&l->keystores, s) : NULL;

	if (!s)
		return false;
	if (!k)
		return conf_bad(l, n, "no key store is called \"%s\"%s", s,
				conf_index_hint(l, &l->keystores, s));
	memcpy((char *)base + o->at, &k->name, sizeof(k->name));
	return true;
}

/* Prints the name that every struct referred to begins with. */
static bool print_named(struct wr *w, const struct conf_opt *o, const void *base)
{
	char *const *item;

	memcpy(&item, (const char *)base + o->at, sizeof(item));
	if (!item)
		return false;
	conf_print_scalar(w, *item);
	return true;
}

/* --- the two odd ones --- */

static bool parse_verify(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	if (n->kind == NODE_MAP)
		return conf_parse_map(l, conf_verify_table, "verify", n, base);
	if (n->kind == NODE_SCALAR && !strcmp(n->text, "all")) {
		conf_set_int(o, base, 1);
		return true;
	}
	return bad_kind(l, o, n);
}

static bool print_verify(struct wr *w, const struct conf_opt *o, const void *base)
{
	int64_t v = conf_get_int(o, base);

	if (v == 1)
		wr_printf(w, "all");
	else
		wr_printf(w, "{one-in: %lld}", (long long)v);
	return true;
}

static bool parse_expire(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	const char *s = conf_scalar(l, o, n);
	struct conf_zone *z = base;
	int64_t v;

	if (!s)
		return false;
	if (!strcmp(s, "serve") || !strcmp(s, "stop")) {
		z->expire = s[1] == 'e' ? EXPIRE_SERVE : EXPIRE_STOP;
		z->expire_serve = 0;
		return true;
	}
	if (strncmp(s, "serve:", 6) || text_duration(s + 6, &v) < 0)
		return bad_kind(l, o, n);
	if (v < o->min || v > o->max)
		return conf_bad(l, n, "\"%s\": the time is not within 1s to 3650d", o->name);
	z->expire = EXPIRE_SERVE_FOR;
	z->expire_serve = v;
	return true;
}

static bool print_expire(struct wr *w, const struct conf_opt *o, const void *base)
{
	const struct conf_zone *z = base;

	if (z->expire == EXPIRE_SERVE_FOR) {
		wr_printf(w, "\"serve:");
		conf_print_duration(w, z->expire_serve);
		wr_printf(w, "\"");
	} else {
		wr_printf(w, "%s", z->expire == EXPIRE_SERVE ? "serve" : "stop");
	}
	return true;
}

/* --- mappings --- */

const struct conf_opt *conf_opt_find(const struct conf_opt *table, const char *name)
{
	for (; table->name; table++)
		if (!strcmp(table->name, name))
			return table;
	return NULL;
}

static bool bad_option(struct loader *l, const struct conf_opt *table, const char *where,
		       const struct node *n)
{
	struct conf_hint h = { .word = n->key };

	for (; table->name; table++)
		if (!(table->flags & OF_RESERVED))
			conf_hint_try(&h, table->name);
	return conf_bad_key(l, n, "unknown option \"%s\" in %s%s", n->key, where, conf_hint_text(l, &h));
}

bool conf_parse_map(struct loader *l, const struct conf_opt *table, const char *where, struct node *n,
		    void *base)
{
	bool ok = true;

	for (struct node *e = n->first; e; e = e->next) {
		const struct conf_opt *o = conf_opt_find(table, e->key);

		if (!o)
			ok = bad_option(l, table, where, e);
		else if (o->flags & OF_RESERVED)
			ok = conf_bad_key(l, e,
					  "\"%s\" is reserved for a later version and does not work yet",
					  o->name);
		else if (!conf_types[o->type].parse(l, o, e, base))
			ok = false;
	}
	for (const struct conf_opt *o = table; o->name; o++)
		if (o->flags & OF_REQUIRED && !conf_node_get(n, o->name))
			ok = conf_bad(l, n, "\"%s\" is missing in %s", o->name, where);
	return ok;
}

static bool parse_group(struct loader *l, const struct conf_opt *o, struct node *n, void *base)
{
	return n->kind == NODE_MAP ? conf_parse_map(l, o->sub, o->name, n, base) : bad_kind(l, o, n);
}

static bool print_group(struct wr *w, const struct conf_opt *o, const void *base)
{
	const char *sep = "";

	wr_u8(w, '{');
	for (const struct conf_opt *s = o->sub; s->name; s++) {
		size_t before = w->len;

		wr_printf(w, "%s%s: ", sep, s->name);
		if (conf_types[s->type].print(w, s, base))
			sep = ", ";
		else if (!w->err)
			w->len = before;
	}
	wr_u8(w, '}');
	return true;
}

/* --- defaults --- */

/* "a, b" as the list that YAML would have given; a default without comma is a list of one. */
static void split_default(struct loader *l, struct node *list, const char *text)
{
	while (*text) {
		size_t len = strcspn(text, ",");
		struct node *item = arena_zalloc(l->tmp, sizeof(*item));
		char *copy = arena_printf(l->tmp, "%.*s", (int)len, text);

		if (!item || !copy) {
			l->oom = true;
			return;
		}
		*item = (struct node){
			.kind = NODE_SCALAR, .file = list->file, .line = 1, .column = 1, .text = copy
		};
		if (list->last)
			list->last->next = item;
		else
			list->first = item;
		list->last = item;
		list->n++;
		text += len;
		text += strspn(text, ", ");
	}
}

void conf_set_defaults(struct loader *l, const struct conf_opt *table, void *base)
{
	for (const struct conf_opt *o = table; o->name; o++) {
		struct node n = { .kind = NODE_SCALAR, .file = "built-in default", .line = 1, .column = 1 };

		if (o->type == CT_MAP)
			conf_set_defaults(l, o->sub, base);
		if (!o->def || o->type == CT_MAP)
			continue;
		n.text = o->def;
		if (o->type == CT_ADDRS) {
			n.kind = NODE_LIST;
			split_default(l, &n, o->def);
		}
		conf_types[o->type].parse(l, o, &n, base);
	}
}

const struct conf_type_ops conf_types[CT_TYPES] = {
	[CT_VERSION] = { "1", NULL, NULL },
	[CT_INCLUDE] = { "a list of file patterns", NULL, NULL },
	[CT_MAP] = { "a mapping", parse_group, print_group },
	[CT_ITEMS] = { "a list of mappings", NULL, NULL },
	[CT_STRING] = { "text", parse_string, print_string },
	[CT_UINT] = { "a number", parse_number, print_number_field },
	[CT_SIZE] = { "a size such as 64k, 100M or 1G", parse_number, print_number_field },
	[CT_DURATION] = { "a duration such as 90s, 5m, 12h or 14d", parse_number, print_number_field },
	[CT_PERCENT] = { "a percentage such as 10%", parse_number, print_number_field },
	[CT_ENUM] = { "one word", parse_enum, print_enum },
	[CT_ADDRS] = { "a list of addresses such as [192.0.2.1@53]", conf_parse_addrs, conf_print_addrs },
	[CT_PREFIXES] = { "a list of prefixes such as [198.51.100.0/24]", conf_parse_prefixes,
			  conf_print_prefixes },
	[CT_SOURCES] = { "a list of at most one IPv4 and one IPv6 address", conf_parse_sources,
			 conf_print_sources },
	[CT_KEYNAME] = { "a domain name", parse_keyname, print_string },
	[CT_ZONENAME] = { "a domain name", parse_zonename, print_string },
	[CT_TEMPLATE] = { "the name of a template", parse_template, NULL },
	[CT_REFS] = { "a list of names of remotes or acls", conf_parse_refs, conf_print_refs },
	[CT_TSIGREF] = { "the name of a tsig key", parse_tsigref, print_named },
	[CT_POLICYREF] = { "the name of a policy", parse_policyref, print_named },
	[CT_STOREREF] = { "the name of a key store", parse_storeref, print_string },
	[CT_ENV] = { "a mapping of names to values", conf_parse_env, conf_print_env },
	[CT_VERIFY] = { "all or {one-in: N}", parse_verify, print_verify },
	[CT_EXPIRE] = { "serve, stop or serve:TIME such as serve:30d", parse_expire, print_expire },
};
