/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the conf_*.c files share: the node tree that YAML becomes, the option table, the loader's state.
 * Lifetimes: nodes, indexes and file names live in loader.tmp and are gone after conf_load(); everything that
 * struct conf points to lives in conf.mem.
 */
#ifndef ZONESEAL_APP_CONF_PRIV_H
#define ZONESEAL_APP_CONF_PRIV_H

#include <stdarg.h>
#include "app/conf.h"
#include "base/arena.h"
#include "base/buf.h"
#include "dns/name.h"

#define CONF_INCLUDE_DEPTH 8
#define CONF_KEYS_MAX 256     /* entries of one mapping; duplicates are looked for one by one */
#define CONF_TEXT_MAX 4096    /* octets of one scalar */
#define CONF_SECRET_MAX 4096  /* octets of one secret file */
#define CONF_WARNINGS_MAX 50  /* of CONF_ERRORS_MAX, so that warnings never push out an error */

/* --- nodes --- */

enum node_kind { NODE_SCALAR, NODE_LIST, NODE_MAP, NODE_BAD /* reported already: nothing more to say */ };

struct node {
	enum node_kind kind;
	bool plain;            /* scalar without quotes */
	const char *file;
	int line, column;      /* from 1; columns count characters */
	const char *text;      /* scalar */
	struct node *first, *last, *next;
	size_t n;              /* items or entries */
	const char *key;       /* of an entry of a mapping */
	int key_line, key_column;
};

/* --- the option table --- */

enum conf_type {
	CT_VERSION, CT_INCLUDE, CT_MAP, CT_ITEMS,
	CT_STRING, CT_UINT, CT_SIZE, CT_DURATION, CT_PERCENT, CT_ENUM,
	CT_ADDRS, CT_PREFIXES, CT_SOURCES, CT_KEYNAME, CT_ZONENAME, CT_TEMPLATE,
	CT_REFS, CT_TSIGREF, CT_POLICYREF, CT_STOREREF, CT_ENV, CT_VERIFY, CT_EXPIRE,
	CT_TYPES
};

#define OF_REQUIRED 0x01u
#define OF_RESERVED 0x02u  /* the option itself is of later work */
#define OF_PATH 0x04u      /* string: an absolute path */
#define OF_IDENT 0x08u     /* string: a name of ours */
#define OF_USER 0x10u      /* string: a user or group */
#define OF_TARGET 0x20u    /* string: stderr, syslog or an absolute path */
#define OF_REMOTE 0x40u    /* references: remotes alone, no acls */

struct conf_word { const char *word; int64_t value; bool reserved; };

struct conf_opt {
	const char *name;
	enum conf_type type;
	size_t at, size;       /* the field: offset in its struct, octets (0: no field) */
	size_t count_at;       /* lists: offset of the size_t that counts */
	unsigned flags;
	const char *def;       /* default as text, typed like input; lists: "a, b" */
	int64_t min, max;      /* numbers; CT_ADDRS: min is the default port */
	const struct conf_word *words; /* ends with word NULL */
	const struct conf_opt *sub;    /* CT_MAP, CT_ITEMS; ends with name NULL */
	size_t item_size;      /* CT_ITEMS */
	const char *sample;    /* what the sample shows instead of the default; CT_ITEMS: a second item */
	const char *doc;
};

/* The one table. Rows of sections are found by name; ends with name NULL. */
extern const struct conf_opt conf_table[];
extern const struct conf_opt conf_verify_table[];
#define CONF_SECTIONS 12
const struct conf_opt *conf_opt_find(const struct conf_opt *table, const char *name);

/* --- the loader --- */

struct index_slot { const char *name; void *item; const struct node *at; };
struct index { struct index_slot *slots; size_t cap, n; };

struct loader {
	struct conf *conf;
	struct arena *tmp;
	const struct conf_source *src;
	unsigned flags;
	struct conf_errors *errs;
	unsigned order[CONF_ERRORS_MAX]; /* file of errs->e[i], by order of reading */
	unsigned nwarnings, nerrors;
	const char *files[CONF_FILES_MAX];
	size_t nfiles;
	struct node *section[CONF_SECTIONS];
	struct index tsig, keystores, policies, remotes, templates, zones;
	bool in_template;
	bool broken;           /* a file could not be read or is no YAML: checks would only add noise */
	bool oom;
};

/* conf_error.c: findings, kept sorted by file, line and column. */
void conf_report(struct loader *l, bool warning, const char *file, int line, int column, const char *fmt, ...)
	__attribute__((format(printf, 6, 7)));
/* At a value; false, so that a parser can return it. */
bool conf_bad(struct loader *l, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool conf_bad_key(struct loader *l, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
void conf_warn(struct loader *l, const struct node *n, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* `; did you mean "x"?` for the candidate nearest to word, or "". In l->tmp. */
struct conf_hint { const char *word, *best; size_t distance; };
void conf_hint_try(struct conf_hint *h, const char *candidate);
const char *conf_hint_text(struct loader *l, const struct conf_hint *h);

/* conf_yaml.c: octets of one file -> tree; NULL when it is no usable YAML (reported). */
struct node *conf_yaml_parse(struct loader *l, const char *file, const char *data, size_t len);
struct node *conf_node_get(const struct node *map, const char *key);

/* conf_files.c: the main file and all it includes -> l->section[]. */
void conf_files_read(struct loader *l, const char *path);

/* conf_index.c: names to items of one kind. */
bool conf_index_init(struct loader *l, struct index *x, size_t most);
/* False and reported when the name is taken. */
bool conf_index_add(struct loader *l, struct index *x, const char *kind, const char *name, void *item,
		    const struct node *at);
void *conf_index_get(const struct index *x, const char *name);
const char *conf_index_hint(struct loader *l, const struct index *x, const char *name);

/* conf_type.c, conf_type_list.c: one parser and one printer for each type. */
struct conf_type_ops {
	const char *expects; /* for messages and the manual page */
	bool (*parse)(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
	/* The value in flow style; false when it is not set and nothing was written. */
	bool (*print)(struct wr *w, const struct conf_opt *o, const void *base);
};
extern const struct conf_type_ops conf_types[CT_TYPES];
bool conf_parse_map(struct loader *l, const struct conf_opt *table, const char *where, struct node *n,
		    void *base);
/* Sets every field with a default. */
void conf_set_defaults(struct loader *l, const struct conf_opt *table, void *base);
/* The text of a scalar, or NULL and reported. */
const char *conf_scalar(struct loader *l, const struct conf_opt *o, const struct node *n);
void *conf_alloc(struct loader *l, size_t len); /* zeroed, in conf.mem; NULL sets l->oom */
char *conf_dup(struct loader *l, const char *s);
bool conf_ident_ok(const char *s);
int64_t conf_get_int(const struct conf_opt *o, const void *base);
void conf_set_int(const struct conf_opt *o, void *base, int64_t v);
void conf_print_scalar(struct wr *w, const char *s); /* quoted where YAML wants it */
void conf_print_duration(struct wr *w, int64_t seconds);
void conf_print_size(struct wr *w, uint64_t octets);
bool conf_parse_addrs(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
bool conf_parse_prefixes(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
bool conf_parse_sources(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
bool conf_parse_refs(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
bool conf_parse_env(struct loader *l, const struct conf_opt *o, struct node *n, void *base);
bool conf_print_addrs(struct wr *w, const struct conf_opt *o, const void *base);
bool conf_print_prefixes(struct wr *w, const struct conf_opt *o, const void *base);
bool conf_print_sources(struct wr *w, const struct conf_opt *o, const void *base);
bool conf_print_refs(struct wr *w, const struct conf_opt *o, const void *base);
bool conf_print_env(struct wr *w, const struct conf_opt *o, const void *base);

/* conf_addr.c. NULL when fine, else what is wrong. */
const char *conf_addr_parse(const char *s, uint16_t port, struct conf_addr *out);
const char *conf_host_parse(const char *s, struct conf_addr *out); /* no port allowed */
const char *conf_prefix_parse(const char *s, struct conf_addr *out);
bool conf_addr_is_any(const struct conf_addr *a);
#define CONF_ADDR_TEXT 64
char *conf_addr_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT]);   /* with @port */
char *conf_host_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT]);
char *conf_prefix_text(const struct conf_addr *a, char buf[static CONF_ADDR_TEXT]);

/* conf_name.c: domain names. */
struct conf_name {
	uint8_t wire[NAME_MAX_WIRE]; /* lower case */
	uint8_t len;
	char text[NAME_MAX_TEXT];    /* presentation, absolute, lower case */
};
/* True, or false with a reason in why (at least 256 octets). */
bool conf_name_parse(const char *text, struct conf_name *out, char *why, size_t whylen);

/* conf_secret.c: reads and decodes the secret file of t, reports at n. */
void conf_secret_read(struct loader *l, struct conf_tsig *t, const struct node *n);

/* conf_check.c: what one option alone cannot tell. */
void conf_check_keystore(struct loader *l, struct conf_keystore *k, const struct node *n);
void conf_check_policy(struct loader *l, struct policy *p, const struct node *n);
void conf_check_remote(struct loader *l, struct conf_remote *r, const struct node *n);
void conf_check_zone(struct loader *l, struct conf_zone *z, const struct node *n);

#endif
