/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The configuration: YAML text -> one immutable struct conf, read with libyaml against ONE option table
 * (src/app/conf_table.c) that also makes `conf dump`, the sample and the manual page. Every error carries
 * file:line:column; all errors are reported, not the first. Nothing is used before everything is checked.
 *
 * Sources come through struct conf_source, so that the parent reads files (with its rights) and the engine
 * parses the very same octets that the parent sends it (secrets included, PINs never).
 */
#ifndef ZONESEAL_APP_CONF_H
#define ZONESEAL_APP_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <netinet/in.h>
#include "keys/policy.h"

#define CONF_DEFAULT_FILE "/etc/zoneseal/zoneseal.yaml"
#define CONF_FILE_MAX (64u << 20)    /* octets of one file */
#define CONF_FILES_MAX 4096          /* files in all */
#define CONF_DEPTH_MAX 16
#define CONF_ERRORS_MAX 100          /* reported; the rest is counted */

/* An address with port; prefix_len counts for acls. sa.sin6_family says which. */
struct conf_addr {
	union { struct sockaddr sa; struct sockaddr_in v4; struct sockaddr_in6 v6; };
	uint8_t prefix_len;
};

struct conf_tsig {
	char *name;          /* presentation, absolute, lower case */
	char *algorithm;     /* "hmac-sha256" */
	char *secret_file;
	uint8_t *secret;     /* decoded; NULL with CONF_NO_SECRETS */
	size_t secret_len;
};

struct conf_env { char *name, *value; };

struct conf_keystore {
	char *name;
	bool file;           /* backend file; else pkcs11 */
	char *module, *uri, *pin_file;
	uint32_t sessions;   /* pkcs11; 0 for file: one per processor */
	struct conf_env *env;
	size_t nenv;
};

/* A remote or an acl: one name space. */
struct conf_remote {
	char *name;
	bool is_acl;
	bool deny;           /* acl */
	struct conf_addr *addr;   /* remote: addresses; acl: prefixes */
	size_t naddr;
	struct conf_addr source[2]; /* [0] IPv4, [1] IPv6; family 0 = none */
	const struct conf_tsig *tsig; /* borrowed from the same conf, or NULL */
	bool watch;
};

enum conf_expire { EXPIRE_SERVE_FOR, EXPIRE_SERVE, EXPIRE_STOP };
enum conf_updnssec { UPDNSSEC_REFUSE, UPDNSSEC_STRIP, UPDNSSEC_PASS };

struct conf_zone {
	char *name;               /* presentation, absolute (final dot), lower case */
	uint8_t wire[255];        /* lower case */
	uint8_t wire_len;
	const struct policy *policy;
	/* notify_from: default filled in */
	const struct conf_remote **upstream, **notify_from, **downstream, **transfer;
	size_t nupstream, nnotify_from, ndownstream, ntransfer;
	enum conf_updnssec upstream_dnssec;
	enum conf_expire expire;
	int64_t expire_serve;     /* seconds, for EXPIRE_SERVE_FOR */
	bool soa_expire_clamp;
	uint8_t shrink_pct, churn_pct;
	uint64_t max_records, max_bytes;
	uint32_t max_rrset;
	uint32_t history_versions;
	uint64_t history_bytes;
	int64_t history_age;
	char *file;               /* where the zone is configured, for messages */
	int line;
};

struct conf {
	struct conf_addr *listen; size_t nlisten;
	char *state_dir, *control, *control_group, *user, *vault_user;
	unsigned workers;         /* 0 = auto */
	uint32_t transfers_in, transfers_per_primary, transfers_out;
	uint32_t tcp_connections, tcp_per_peer;
	int64_t tcp_idle;
	const struct conf_remote **query; size_t nquery; bool query_set; /* query_set: not the default */
	int64_t snapshot_age; uint64_t snapshot_growth, min_free;
	struct conf_addr *stats_listen; size_t nstats_listen;
	int stats_per_zone;       /* -1 auto, 0 no, 1 yes */
	char *log_target; int log_level; /* enum log_level */
	struct conf_tsig *tsig; size_t ntsig;
	struct conf_keystore *keystores; size_t nkeystores;   /* [0] is always `file` unless given */
	struct policy *policies; size_t npolicies;            /* `default` and `none` always exist */
	struct conf_remote *remotes; size_t nremotes;         /* remotes and acls */
	struct conf_zone *zones; size_t nzones;               /* sorted by wire name (memcmp of wire) */
	struct arena *mem;        /* owns everything */
};

/* Where octets of files come from. */
struct conf_source {
	/* Whole file into a heap buffer with NUL behind it;
	 * secret: must not be readable by others. zs_err. */
	int (*read)(void *ctx, const char *path, bool secret, char **out, size_t *len);
	/* Paths that match a glob pattern, sorted, heap-allocated NULL-terminated array of heap strings. */
	int (*glob)(void *ctx, const char *pattern, char ***out);
	/* Whether a secret that conf_load() itself must not see (a PIN file) could be read.
	 * NULL: not asked. */
	int (*check)(void *ctx, const char *path);
	void *ctx;
};
/* The file system. */
extern const struct conf_source conf_source_files;

/* One finding: file:line:column: message. */
struct conf_error { char *file; int line, column; char *message; bool warning; };
struct conf_errors { struct conf_error *e; size_t n, more; };
void conf_errors_free(struct conf_errors *errs); /* content, not the struct itself */
/* "file:line:column: message\n" for each (warnings marked), on a heap string. */
char *conf_errors_text(const struct conf_errors *errs);

#define CONF_NO_SECRETS 1u /* do not read secret files (vaults, dumps) */

/* 0 and *out, or ZS_ECONFIG with at least one error in *errs, or ZS_ENOMEM (*errs is to be freed in all
 * cases: warnings). */
int conf_load(const char *path, const struct conf_source *src, unsigned flags, struct conf **out,
	      struct conf_errors *errs);
void conf_free(struct conf *c); /* clears secrets; NULL is legal */

/* Every file that conf_load read, with octets: what the parent sends the engine. */
struct conf_bundle;
/* Reads path and all it names from the file system, keeping the octets. ZS_ECONFIG with errors in *errs. */
int conf_bundle_read(const char *path, struct conf_bundle **out, struct conf_errors *errs);
/* Serialized form (bounded by CONF_FILE_MAX) on the heap, and back. */
int conf_bundle_pack(const struct conf_bundle *b, uint8_t **out, size_t *len);
int conf_bundle_unpack(const void *data, size_t len, struct conf_bundle **out);
/* The bundle as a source, and the path of its main file. Lives as long as the bundle. */
const struct conf_source *conf_bundle_source(struct conf_bundle *b);
const char *conf_bundle_path(const struct conf_bundle *b);
void conf_bundle_free(struct conf_bundle *b);

const struct policy *conf_policy(const struct conf *c, const char *name);
const struct conf_keystore *conf_keystore(const struct conf *c, const char *name);
const struct conf_zone *conf_zone(const struct conf *c, const uint8_t *wire, size_t len);

/* The effective configuration as YAML (secrets as file names only), on the heap. */
int conf_dump(const struct conf *c, char **out);
/* The commented sample and the OPTIONS part of zoneseal.yaml(5), both from the option table; heap strings. */
char *conf_sample(void);
char *conf_man_options(void);

#endif
