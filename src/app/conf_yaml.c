/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * YAML octets of one file -> a tree of nodes with marks, over libyaml's event parser. Scalars stay text:
 * typing is the option table's. What makes YAML surprising is refused here with its place: anchors, aliases,
 * tags, merge keys, keys that are no words, several documents, keys given twice. Depth and sizes are bounded.
 * A fault in one node is reported and reading goes on; a fault of syntax ends the file. Called by
 * conf_files.c.
 */
#include <string.h>
#include <yaml.h>
#include "conf_priv.h"

struct reader {
	yaml_parser_t p;
	struct loader *l;
	const char *file;
	const char *data;
	size_t len;
	unsigned depth;
	bool failed;
};

static void fail_at(struct reader *r, yaml_mark_t m, const char *what)
{
	if (!r->failed)
		conf_report(r->l, false, r->file, (int)m.line + 1, (int)m.column + 1, "%s", what);
	r->failed = true;
}

/* libyaml's reader gives an offset instead of a mark for octets that are no UTF-8. */
static yaml_mark_t mark_of_offset(const struct reader *r, size_t offset)
{
	yaml_mark_t m = { 0 };

	for (size_t i = 0; i < offset && i < r->len; i++) {
		if (r->data[i] == '\n') {
			m.line++;
			m.column = 0;
		} else if (((uint8_t)r->data[i] & 0xc0) != 0x80) {
			m.column++;
		}
	}
	return m;
}

static void fail_syntax(struct reader *r)
{
	const yaml_parser_t *p = &r->p;
	const char *what;

	if (p->error == YAML_MEMORY_ERROR) {
		r->l->oom = true;
		r->failed = true;
		return;
	}
	if (p->error == YAML_READER_ERROR) {
		fail_at(r, mark_of_offset(r, p->problem_offset), "not UTF-8 text, or a control character");
		return;
	}
	what = arena_printf(r->l->tmp, "YAML: %s%s%s", p->problem ? p->problem : "syntax error",
			    p->context ? " " : "", p->context ? p->context : "");
	fail_at(r, p->problem_mark, what ? what : "YAML: syntax error");
}

static bool next_event(struct reader *r, yaml_event_t *ev)
{
	memset(ev, 0, sizeof(*ev));
	if (r->failed)
		return false;
	if (!yaml_parser_parse(&r->p, ev)) {
		fail_syntax(r);
		return false;
	}
	return true;
}

static struct node *node_new(struct reader *r, enum node_kind kind, yaml_mark_t m)
{
	struct node *n = arena_zalloc(r->l->tmp, sizeof(*n));

	if (!n) {
		r->l->oom = true;
		r->failed = true;
		return NULL;
	}
	n->kind = kind;
	n->file = r->file;
	n->line = (int)m.line + 1;
	n->column = (int)m.column + 1;
	return n;
}

static void append(struct node *parent, struct node *child)
{
	if (parent->last)
		parent->last->next = child;
	else
		parent->first = child;
	parent->last = child;
	parent->n++;
}

/* Anchors and tags are reported and then ignored: the value itself may still be right. */
static void refuse_extras(struct reader *r, const yaml_event_t *ev, const yaml_char_t *anchor,
			  const yaml_char_t *tag)
{
	int line = (int)ev->start_mark.line + 1, column = (int)ev->start_mark.column + 1;

	if (anchor)
		conf_report(r->l, false, r->file, line, column,
			    "anchors are not allowed (quote a value that begins with \"&\")");
	if (tag)
		conf_report(r->l, false, r->file, line, column,
			    "tags are not allowed (quote a value that begins with \"!\")");
}

/* The text of a scalar event in the arena; NULL and reported when it cannot be a value. */
static const char *scalar_text(struct reader *r, const yaml_event_t *ev)
{
	const yaml_char_t *v = ev->data.scalar.value;
	size_t len = ev->data.scalar.length;
	int line = (int)ev->start_mark.line + 1, column = (int)ev->start_mark.column + 1;
	char *text;

	if (len > CONF_TEXT_MAX) {
		conf_report(r->l, false, r->file, line, column, "a value is longer than %d octets",
			    CONF_TEXT_MAX);
		return NULL;
	}
	for (size_t i = 0; i < len; i++) {
		if (v[i] >= 0x20 && v[i] != 0x7f)
			continue;
		conf_report(r->l, false, r->file, line, column,
			    "a value with a control character or line break");
		return NULL;
	}
	text = arena_zalloc(r->l->tmp, len + 1);
	if (!text)
		r->l->oom = r->failed = true;
	else
		memcpy(text, v, len);
	return text;
}

static struct node *build(struct reader *r, const yaml_event_t *ev);

static struct node *build_scalar(struct reader *r, const yaml_event_t *ev)
{
	struct node *n = node_new(r, NODE_SCALAR, ev->start_mark);

	if (!n)
		return NULL;
	refuse_extras(r, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
	n->plain = ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	n->text = scalar_text(r, ev);
	if (!n->text)
		n->kind = NODE_BAD;
	return n;
}

static struct node *build_list(struct reader *r, const yaml_event_t *ev)
{
	struct node *list = node_new(r, NODE_LIST, ev->start_mark);
	yaml_event_t item;

	refuse_extras(r, ev, ev->data.sequence_start.anchor, ev->data.sequence_start.tag);
	while (list && next_event(r, &item)) {
		bool end = item.type == YAML_SEQUENCE_END_EVENT;
		struct node *child = end ? NULL : build(r, &item);

		yaml_event_delete(&item);
		if (end)
			return list;
		if (child)
			append(list, child);
	}
	return NULL;
}

/* The key of an entry; NULL (and the file given up) when it is no word. */
static const char *entry_key(struct reader *r, const yaml_event_t *ev)
{
	const char *key;

	if (ev->type == YAML_ALIAS_EVENT || ev->type != YAML_SCALAR_EVENT) {
		fail_at(r, ev->start_mark, "a key must be a word");
		return NULL;
	}
	if (ev->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && ev->data.scalar.length == 2 &&
	    !memcmp(ev->data.scalar.value, "<<", 2)) {
		fail_at(r, ev->start_mark, "merge keys are not allowed; use a template");
		return NULL;
	}
	refuse_extras(r, ev, ev->data.scalar.anchor, ev->data.scalar.tag);
	key = scalar_text(r, ev);
	if (!key)
		r->failed = true;
	return key;
}

static void add_entry(struct reader *r, struct node *map, struct node *value)
{
	const struct node *first = conf_node_get(map, value->key);

	if (first) {
		conf_report(r->l, false, r->file, value->key_line, value->key_column,
			    "\"%s\" is given twice; first in line %d", value->key, first->key_line);
		return;
	}
	if (map->n == CONF_KEYS_MAX) {
		conf_report(r->l, false, r->file, value->key_line, value->key_column,
			    "a mapping has more than %d entries", CONF_KEYS_MAX);
		r->failed = true;
		return;
	}
	append(map, value);
}

static struct node *build_map(struct reader *r, const yaml_event_t *ev)
{
	struct node *map = node_new(r, NODE_MAP, ev->start_mark);
	yaml_event_t kev, vev;

	refuse_extras(r, ev, ev->data.mapping_start.anchor, ev->data.mapping_start.tag);
	while (map && next_event(r, &kev)) {
		bool end = kev.type == YAML_MAPPING_END_EVENT;
		yaml_mark_t m = kev.start_mark;
		const char *key = end ? NULL : entry_key(r, &kev);
		struct node *value = NULL;

		yaml_event_delete(&kev);
		if (end)
			return map;
		if (!key || !next_event(r, &vev))
			break;
		value = build(r, &vev);
		yaml_event_delete(&vev);
		if (!value)
			continue;
		value->key = key;
		value->key_line = (int)m.line + 1;
		value->key_column = (int)m.column + 1;
		add_entry(r, map, value);
	}
	return NULL;
}

/* One node from its first event; takes the events up to its end. NULL when the file is given up. */
static struct node *build(struct reader *r, const yaml_event_t *ev)
{
	struct node *n = NULL;

	if (r->depth == CONF_DEPTH_MAX) {
		fail_at(r, ev->start_mark, "nested too deeply");
		return NULL;
	}
	r->depth++;
	if (ev->type == YAML_SCALAR_EVENT) {
		n = build_scalar(r, ev);
	} else if (ev->type == YAML_SEQUENCE_START_EVENT) {
		n = build_list(r, ev);
	} else if (ev->type == YAML_MAPPING_START_EVENT) {
		n = build_map(r, ev);
	} else if (ev->type == YAML_ALIAS_EVENT) {
		n = node_new(r, NODE_BAD, ev->start_mark);
		conf_report(r->l, false, r->file, (int)ev->start_mark.line + 1,
			    (int)ev->start_mark.column + 1,
			    "aliases are not allowed (quote a value that begins with \"*\")");
	} else {
		fail_at(r, ev->start_mark, "YAML: unexpected structure");
	}
	r->depth--;
	return n;
}

static void check_directives(struct reader *r, const yaml_event_t *ev)
{
	if (ev->data.document_start.tag_directives.start != ev->data.document_start.tag_directives.end)
		fail_at(r, ev->start_mark, "tags are not allowed");
}

/* The one document; a second one is an error. An empty file gives NULL without an error. */
static struct node *read_document(struct reader *r)
{
	struct node *root = NULL;
	yaml_event_t ev;
	bool end = false;
	unsigned documents = 0;

	while (!end && next_event(r, &ev)) {
		if (ev.type == YAML_STREAM_END_EVENT) {
			end = true;
		} else if (ev.type == YAML_DOCUMENT_START_EVENT) {
			check_directives(r, &ev);
			if (documents++)
				fail_at(r, ev.start_mark, "only one document is allowed in a file");
		} else if (ev.type != YAML_STREAM_START_EVENT && ev.type != YAML_DOCUMENT_END_EVENT) {
			root = build(r, &ev);
		}
		yaml_event_delete(&ev);
	}
	return root;
}

struct node *conf_yaml_parse(struct loader *l, const char *file, const char *data, size_t len)
{
	struct reader r = { .l = l, .file = file, .data = data, .len = len };
	struct node *root;

	if (!yaml_parser_initialize(&r.p)) {
		l->oom = true;
		return NULL;
	}
	yaml_parser_set_encoding(&r.p, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&r.p, (const unsigned char *)data, len);
	root = read_document(&r);
	yaml_parser_delete(&r.p);
	if (r.failed) {
		l->broken = true;
		return NULL;
	}
	if (!root || (root->kind == NODE_SCALAR && root->plain && !*root->text)) {
		/* nothing but comments: an included file may be empty */
		root = arena_zalloc(l->tmp, sizeof(*root));
		if (!root) {
			l->oom = true;
			return NULL;
		}
		*root = (struct node){ .kind = NODE_MAP, .file = file, .line = 1, .column = 1 };
	}
	return root;
}

struct node *conf_node_get(const struct node *map, const char *key)
{
	for (struct node *n = map->first; n; n = n->next)
		if (!strcmp(n->key, key))
			return n;
	return NULL;
}
