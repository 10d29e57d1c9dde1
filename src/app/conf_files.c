/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Files of the configuration: the main file and what it includes, joined into one tree per section. Lists of
 * all files are put together, a mapping may stand in one file only, no file is read twice. Also here: the
 * file system as a conf_source. Called by conf_load().
 */
#include <errno.h>
#include <glob.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fs.h"
#include "conf_priv.h"

/* --- the file system as a source --- */

static int files_read(void *ctx, const char *path, bool secret, char **out, size_t *len)
{
	return secret ? fs_read_secret(path, CONF_SECRET_MAX, out, len)
		      : fs_read(path, CONF_FILE_MAX, out, len);
}

static int files_check(void *ctx, const char *path)
{
	char *data;
	size_t len;
	int ret = fs_read_secret(path, CONF_SECRET_MAX, &data, &len);

	if (!ret)
		fs_free_secret(data, len);
	return ret;
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* A directory that is not there matches nothing; one that cannot be read is an error. */
static int glob_fault(const char *path, int errnum)
{
	return errnum != ENOENT && errnum != ENOTDIR;
}

static int files_glob(void *ctx, const char *pattern, char ***out)
{
	glob_t g = { 0 };
	char **list = NULL;
	int ret = glob(pattern, GLOB_NOSORT, glob_fault, &g);

	if (ret && ret != GLOB_NOMATCH)
		return ret == GLOB_NOSPACE ? ZS_ENOMEM : ZS_EPERM;
	list = calloc(g.gl_pathc + 1, sizeof(*list));
	ret = list ? 0 : ZS_ENOMEM;
	for (size_t i = 0; !ret && i < g.gl_pathc; i++) {
		list[i] = strdup(g.gl_pathv[i]);
		ret = list[i] ? 0 : ZS_ENOMEM;
	}
	if (!ret) {
		qsort(list, g.gl_pathc, sizeof(*list), by_text);
		*out = list;
	} else if (list) {
		for (char **p = list; *p; p++)
			free(*p);
		free(list);
	}
	globfree(&g);
	return ret;
}

const struct conf_source conf_source_files = { .read = files_read, .glob = files_glob, .check = files_check };

/* --- reading and joining --- */

struct chain { const char *path; const struct chain *up; unsigned depth; };

static void read_file(struct loader *l, const char *path, const struct chain *up, const struct node *at);

static bool is_loaded(const struct loader *l, const char *path)
{
	for (size_t i = 0; i < l->nfiles; i++)
		if (!strcmp(l->files[i], path))
			return true;
	return false;
}

/* A pattern relative to the file it stands in. */
static const char *resolve(struct loader *l, const char *file, const char *pattern)
{
	const char *slash = strrchr(file, '/');
	const char *path;

	while (pattern[0] == '.' && pattern[1] == '/')
		pattern += 2;
	if (*pattern == '/' || !slash)
		return pattern;
	path = arena_printf(l->tmp, "%.*s/%s", (int)(slash - file), file, pattern);
	if (!path)
		l->oom = true;
	return path;
}

static void include_pattern(struct loader *l, const struct node *n, const struct chain *up)
{
	const char *pattern = resolve(l, n->file, n->text);
	char **paths = NULL;
	int ret;

	if (!pattern)
		return;
	ret = l->src->glob(l->src->ctx, pattern, &paths);
	if (ret) {
		conf_bad(l, n, "%s: %s", pattern, zs_strerror(ret));
		l->broken = true;
		return;
	}
	if (!*paths && !strpbrk(pattern, "*?[")) {
		conf_bad(l, n, "%s: %s", pattern, zs_strerror(ZS_ENOENT));
		l->broken = true;
	}
	for (char **p = paths; *p; p++) {
		read_file(l, *p, up, n);
		free(*p);
	}
	free(paths);
}

static void include_list(struct loader *l, const struct node *n, const struct chain *up)
{
	if (n->kind != NODE_LIST) {
		if (n->kind == NODE_MAP || (n->kind == NODE_SCALAR && *n->text))
			conf_bad(l, n, "\"include\" takes a list of file patterns");
		return;
	}
	for (const struct node *item = n->first; item; item = item->next) {
		if (item->kind != NODE_SCALAR || !*item->text) {
			if (item->kind != NODE_BAD)
				conf_bad(l, item, "\"include\" takes a list of file patterns");
			continue;
		}
		include_pattern(l, item, up);
	}
}

static void check_version(struct loader *l, const struct node *n)
{
	if (n->kind == NODE_SCALAR && !strcmp(n->text, "1"))
		return;
	if (n->kind != NODE_BAD)
		conf_bad(l, n, "\"version\" %s is not known here; 1 is expected",
			 n->kind == NODE_SCALAR ? n->text : "");
	l->broken = true;
}

/* Nothing but comments under a section: the same as no section. */
static bool is_nothing(const struct node *n)
{
	return n->kind == NODE_BAD || (n->kind == NODE_SCALAR && n->plain && !*n->text);
}

static void join_list(struct node **section, struct node *n)
{
	struct node *all = *section;

	if (!all || !n->first) {
		*section = all ? all : n;
		return;
	}
	if (all->last)
		all->last->next = n->first;
	else
		all->first = n->first;
	all->last = n->last;
	all->n += n->n;
}

static void join_section(struct loader *l, const struct conf_opt *o, struct node *n)
{
	struct node **section = &l->section[o - conf_table];
	bool list = o->type == CT_ITEMS;

	if (is_nothing(n))
		return;
	if (n->kind != (list ? NODE_LIST : NODE_MAP)) {
		conf_bad(l, n, "\"%s\" takes %s", o->name, conf_types[o->type].expects);
	} else if (list) {
		join_list(section, n);
	} else if (*section) {
		conf_bad_key(l, n, "\"%s\" is given already at %s:%d", o->name, (*section)->file,
			     (*section)->key_line);
	} else {
		*section = n;
	}
}

static void join_entry(struct loader *l, struct node *n, const struct chain *self)
{
	const struct conf_opt *o = conf_opt_find(conf_table, n->key);
	struct conf_hint h = { .word = n->key };

	if (!o) {
		for (o = conf_table; o->name; o++)
			conf_hint_try(&h, o->name);
		conf_bad_key(l, n, "unknown section \"%s\"%s", n->key, conf_hint_text(l, &h));
	} else if (o->type == CT_VERSION) {
		check_version(l, n);
	} else if (o->type == CT_INCLUDE) {
		include_list(l, n, self);
	} else {
		join_section(l, o, n);
	}
}

/* Whether the file may be read now; at is the place of its include. */
static bool may_read(struct loader *l, const char *path, const struct chain *up, const struct node *at)
{
	for (const struct chain *c = up; c; c = c->up)
		if (!strcmp(c->path, path))
			return conf_bad(l, at, "%s includes itself", path);
	if (is_loaded(l, path))
		return conf_bad(l, at, "%s is included already", path);
	if (up && up->depth == CONF_INCLUDE_DEPTH)
		return conf_bad(l, at, "includes are nested more than %d deep", CONF_INCLUDE_DEPTH);
	if (l->nfiles == CONF_FILES_MAX)
		return conf_bad(l, at, "more than %d files", CONF_FILES_MAX);
	return true;
}

static const char *note_file(struct loader *l, const char *path)
{
	const char *name = arena_strdup(l->tmp, path);

	if (!name)
		l->oom = true;
	else
		l->files[l->nfiles++] = name;
	return name;
}

static void read_file(struct loader *l, const char *path, const struct chain *up, const struct node *at)
{
	struct chain self = { .up = up, .depth = up ? up->depth + 1 : 0 };
	struct node *root, *next;
	char *data = NULL;
	size_t len = 0;
	int ret;

	if (!may_read(l, path, up, at) || !(self.path = note_file(l, path))) {
		l->broken = true;
		return;
	}
	ret = l->src->read(l->src->ctx, path, false, &data, &len);
	if (ret) {
		conf_report(l, false, at ? at->file : path, at ? at->line : 1, at ? at->column : 1, "%s: %s",
			    path, zs_strerror(ret));
		l->broken = true;
		return;
	}
	root = conf_yaml_parse(l, self.path, data, len);
	free(data);
	if (!root)
		return;
	if (root->kind != NODE_MAP) {
		conf_bad(l, root, "a mapping of sections is expected");
		l->broken = true;
		return;
	}
	if (!up && !conf_node_get(root, "version"))
		conf_bad(l, root, "\"version\" is missing: the file begins with \"version: 1\"");
	for (struct node *n = root->first; n; n = next) {
		next = n->next; /* joining links the items of sections, never the sections */
		join_entry(l, n, &self);
	}
}

void conf_files_read(struct loader *l, const char *path)
{
	read_file(l, path, NULL, NULL);
}
