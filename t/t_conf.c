/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The configuration reader. Every t/conf/NAME.yaml is read and its findings are compared with t/conf/NAME.ok,
 * octet for octet (empty: no error, no warning); what loads is dumped, read again and dumped again. Secrets,
 * bundles, templates, the sample and the manual page have tests of their own.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "app/conf.h"
#include "base/err.h"
#include "base/fs.h"
#include "dns/name.h"
#include "t_suite.h"

/* --- a source in memory --- */

struct text_file { const char *path, *text; };

static int text_read(void *ctx, const char *path, bool secret, char **out, size_t *len)
{
	for (const struct text_file *f = ctx; f->path; f++) {
		if (strcmp(f->path, path))
			continue;
		*out = strdup(f->text);
		*len = strlen(f->text);
		return 0;
	}
	return ZS_ENOENT;
}

static int text_glob(void *ctx, const char *pattern, char ***out)
{
	*out = calloc(1, sizeof(**out));
	return 0;
}

/* Loads text as "x.yaml"; NULL on error. Findings are put into *text when it is not NULL. */
static struct conf *load_text(const char *yaml, unsigned flags, char **text)
{
	const struct text_file files[] = { { "x.yaml", yaml }, { 0 } };
	struct conf_source src = { .read = text_read, .glob = text_glob, .ctx = (void *)files };
	struct conf_errors errs;
	struct conf *c = NULL;
	int ret = conf_load("x.yaml", &src, flags, &c, &errs);

	ck_assert(ret == 0 || ret == ZS_ECONFIG);
	ck_assert((ret == 0) == (c != NULL));
	ck_assert(ret == 0 || errs.n > 0);
	if (text)
		*text = conf_errors_text(&errs);
	conf_errors_free(&errs);
	return c;
}

static void check_dump(const struct conf *c)
{
	char *first = NULL, *second = NULL, *text = NULL;
	struct conf *again;

	ck_assert_int_eq(conf_dump(c, &first), 0);
	again = load_text(first, CONF_NO_SECRETS, &text);
	ck_assert_msg(again != NULL, "a dump does not load: %s\n%s", text, first);
	ck_assert_int_eq(conf_dump(again, &second), 0);
	ck_assert_str_eq(first, second);
	ck_assert_uint_eq(c->nzones, again->nzones);
	for (size_t i = 0; i < c->nzones; i++)
		ck_assert_str_eq(c->zones[i].name, again->zones[i].name);
	free(first);
	free(second);
	free(text);
	conf_free(again);
}

static void enter(const char *dir)
{
	const char *srcdir = getenv("srcdir");
	char path[4096];

	snprintf(path, sizeof(path), "%s/%s", srcdir ? srcdir : ".", dir);
	ck_assert_msg(chdir(path) == 0, "%s", path);
}

static char *slurp(const char *path)
{
	char *text = NULL;
	size_t len;

	ck_assert_msg(fs_read(path, 1u << 20, &text, &len) == 0, "%s", path);
	return text;
}

/* --- pairs of files --- */

static void check_pair(const char *yaml)
{
	char ok[256], *want, *have;
	struct conf_errors errs;
	struct conf *c = NULL;
	int ret;

	snprintf(ok, sizeof(ok), "%.*s.ok", (int)(strlen(yaml) - 5), yaml);
	want = slurp(ok);
	ret = conf_load(yaml, &conf_source_files, CONF_NO_SECRETS, &c, &errs);
	have = conf_errors_text(&errs);
	ck_assert_str_eq(have, want);
	ck_assert_int_eq(ret, *want ? ZS_ECONFIG : 0);
	if (!ret)
		check_dump(c);
	conf_free(c);
	conf_errors_free(&errs);
	free(have);
	free(want);
}

START_TEST(pairs)
{
	unsigned n = 0;
	struct dirent *e;
	DIR *d;

	enter("t/conf");
	d = opendir(".");
	ck_assert_ptr_nonnull(d);
	while ((e = readdir(d))) {
		const char *dot = strrchr(e->d_name, '.');

		if (!dot || strcmp(dot, ".yaml"))
			continue;
		check_pair(e->d_name);
		n++;
	}
	closedir(d);
	ck_assert_uint_ge(n, 30);
}
END_TEST

/* --- values --- */

START_TEST(the_full_sample_gives_these_values)
{
	struct conf_errors errs;
	const struct conf_zone *z;
	const struct policy *p;
	struct conf *c = NULL;
	char buf[64];

	enter("t/conf");
	ck_assert_int_eq(conf_load("sample-full.yaml", &conf_source_files, CONF_NO_SECRETS, &c, &errs), 0);
	ck_assert_uint_eq(errs.n, 0);
	ck_assert_uint_eq(c->nlisten, 2);
	ck_assert_uint_eq(ntohs(c->listen[0].v4.sin_port), 53);
	ck_assert_str_eq(inet_ntop(AF_INET6, &c->listen[1].v6.sin6_addr, buf, sizeof(buf)), "::1");
	ck_assert_uint_eq(c->workers, 0);
	ck_assert_int_eq(c->tcp_idle, 10);
	ck_assert_uint_eq(c->snapshot_growth, 1u << 30);
	ck_assert(!c->query_set);
	ck_assert_int_eq(c->stats_per_zone, -1);
	ck_assert_str_eq(c->tsig[0].name, "xfr.example.");
	ck_assert_ptr_null(c->tsig[0].secret);
	ck_assert_str_eq(c->keystores[0].name, "file");
	ck_assert(c->keystores[0].file && !c->keystores[1].file);
	ck_assert_str_eq(c->keystores[1].env[0].value, "/etc/softhsm/softhsm2.conf");
	ck_assert_uint_eq(c->nremotes, 3);
	ck_assert(!c->remotes[0].is_acl && c->remotes[2].is_acl && c->remotes[0].watch);
	ck_assert_uint_eq(c->remotes[2].addr[0].prefix_len, 24);
	ck_assert_ptr_eq(c->remotes[0].tsig, &c->tsig[0]);
	ck_assert_int_eq(c->remotes[0].source[0].sa.sa_family, AF_INET);
	ck_assert_int_eq(c->remotes[0].source[1].sa.sa_family, 0);
	z = conf_zone(c, (const uint8_t *)"\7example\3com", 13);
	ck_assert_ptr_nonnull(z);
	ck_assert_str_eq(z->name, "example.com.");
	ck_assert_ptr_eq(z->notify_from[0], z->upstream[0]);
	p = z->policy;
	ck_assert_ptr_eq(p, conf_policy(c, "hsm-nsec3"));
	ck_assert_str_eq(p->keystore, "hsm");
	ck_assert_uint_eq(p->algorithm, ALG_ECDSAP256);
	ck_assert_int_eq(p->denial, DENIAL_NSEC3);
	ck_assert_int_eq(p->validity, 14 * 86400);
	ck_assert_int_eq(p->jitter, 12 * 3600);
	ck_assert_uint_eq(p->verify_one_in, 1);
	ck_assert_int_eq(z->expire, EXPIRE_SERVE_FOR);
	ck_assert_int_eq(z->expire_serve, 30 * 86400);
	ck_assert_uint_eq(z->shrink_pct, 10);
	ck_assert_uint_eq(z->max_rrset, 1u << 20);
	ck_assert_uint_eq(z->max_bytes, UINT64_C(64) << 30);
	ck_assert_ptr_null(conf_zone(c, (const uint8_t *)"\7example\3net", 13));
	ck_assert_ptr_null(conf_zone(c, (const uint8_t *)"", 1));
	conf_free(c);
	conf_errors_free(&errs);
}
END_TEST

START_TEST(built_in_policies_and_key_store)
{
	struct conf *c = load_text(
		"version: 1\npolicies: [{name: x, verify: {one-in: 9}}, {name: default, keys: csk}]\n", 0,
		NULL);

	ck_assert_uint_eq(c->npolicies, 3);
	ck_assert_int_eq(conf_policy(c, "default")->keys, KEYS_CSK);
	ck_assert_int_eq(conf_policy(c, "default")->refresh, 5 * 86400);
	ck_assert(conf_policy(c, "none")->unsigned_zone && !conf_policy(c, "x")->unsigned_zone);
	ck_assert_uint_eq(conf_policy(c, "x")->verify_one_in, 9);
	ck_assert_ptr_null(conf_policy(c, "y"));
	ck_assert(conf_keystore(c, "file")->file);
	ck_assert_uint_eq(conf_keystore(c, "file")->sessions, 0);
	ck_assert_uint_eq(c->nlisten, 2);
	conf_free(c);
}
END_TEST

START_TEST(a_template_gives_what_the_zone_leaves_open)
{
	struct conf_errors errs;
	struct conf *c = NULL;
	const struct conf_zone *a, *b;

	enter("t/conf");
	ck_assert_int_eq(conf_load("ok-template.yaml", &conf_source_files, 0, &c, &errs), 0);
	a = &c->zones[0];
	b = &c->zones[1];
	ck_assert_str_eq(a->name, "a.example.");
	ck_assert_str_eq(a->upstream[0]->name, "p1");
	ck_assert_uint_eq(a->ndownstream, 1);
	ck_assert_uint_eq(a->shrink_pct, 20);
	ck_assert_uint_eq(a->churn_pct, 30);
	ck_assert_str_eq(b->upstream[0]->name, "p2");
	ck_assert_str_eq(b->notify_from[0]->name, "p2");
	ck_assert_uint_eq(b->ndownstream, 0);
	ck_assert_uint_eq(b->shrink_pct, 20);
	ck_assert_uint_eq(b->churn_pct, 50);
	ck_assert_uint_eq(b->history_versions, 5);
	ck_assert_int_eq(b->history_age, 2 * 86400);
	ck_assert_int_eq(b->line, 14);
	ck_assert_str_eq(b->file, "ok-template.yaml");
	conf_free(c);
	conf_errors_free(&errs);
}
END_TEST

START_TEST(zone_names_in_all_spellings)
{
	static const char *const names[] = { ".",    "no.",   "true.",
					     "1e3.", "null.", "0/25.2.0.192.in-addr.arpa." };
	uint8_t wire[NAME_MAX_WIRE];
	struct conf_errors errs;
	struct conf *c = NULL;
	size_t len;

	enter("t/conf");
	ck_assert_int_eq(conf_load("ok-names.yaml", &conf_source_files, 0, &c, &errs), 0);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
		ck_assert_int_eq(name_from_text(names[i], wire, &len), 0);
		ck_assert_msg(conf_zone(c, wire, len) != NULL, "%s", names[i]);
	}
	ck_assert_ptr_nonnull(conf_zone(c, (const uint8_t *)"\3a.b\7example", 13));
	ck_assert_ptr_nonnull(conf_zone(c, (const uint8_t *)"\3a\0b\7example", 13));
	conf_free(c);
	conf_errors_free(&errs);
}
END_TEST

/* --- secrets --- */

static char dir[] = "/tmp/t_conf.XXXXXX";

static void put(const char *name, const char *text, mode_t mode)
{
	FILE *f = fopen(name, "w");

	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	fclose(f);
	ck_assert_int_eq(chmod(name, mode), 0);
}

/* A configuration with one key in ./key, loaded from the file system. */
static struct conf *load_key(const char *algorithm, char **text)
{
	struct conf_errors errs;
	struct conf *c = NULL;
	char yaml[512], cwd[256];

	ck_assert_ptr_nonnull(getcwd(cwd, sizeof(cwd)));
	snprintf(yaml, sizeof(yaml), "version: 1\ntsig: [{name: K.example, secret-file: %s/key%s%s}]\n", cwd,
		 *algorithm ? ", algorithm: " : "", algorithm);
	put("x.yaml", yaml, 0644);
	conf_load("x.yaml", &conf_source_files, 0, &c, &errs);
	*text = conf_errors_text(&errs);
	conf_errors_free(&errs);
	return c;
}

struct secret_case {
	const char *file;
	mode_t mode;
	const char *algorithm;
	const char *message; /* part of the finding, or NULL: loads without one */
	size_t len;
};

#define B64 "MDEyMzQ1Njc4OWFiY2RlZg=="

static const struct secret_case secrets[] = {
	{ B64 "\n", 0600, "", NULL, 16 },
	{ " MDEyMzQ1Njc4\n OWFiY2RlZg== ", 0400, "", NULL, 16 },
	{ B64, 0640, "", "readable for group or others", 0 },
	{ B64, 0604, "", "readable for group or others", 0 },
	{ "", 0600, "", "neither base64", 0 },
	{ "MDEyMw=", 0600, "", "neither base64", 0 },
	{ "MDEyMw==", 0600, "", "warning: ", 4 },
	{ "key \"k.example\" {\n\talgorithm hmac-sha256;\n\tsecret \"" B64 "\";\n};\n", 0600, "", NULL, 16 },
	{ "# c\n/* {} */ key K.EXAMPLE. { secret " B64 "; // x\n };", 0600, "hmac-sha512", NULL, 16 },
	{ "key k.example { algorithm HMAC-SHA512.; secret " B64 "; };", 0600, "hmac-sha512", NULL, 16 },
	{ "key k.example { algorithm hmac-sha512; secret " B64 "; };", 0600, "", "the algorithm in it", 0 },
	{ "key k2.example { secret " B64 "; };", 0600, "", "the name of the key in it", 0 },
	{ "key k.example { secret " B64 "; }", 0600, "", "not one well-formed", 0 },
	{ "key k.example { secret " B64 "; }; key", 0600, "", "not one well-formed", 0 },
	{ "key k.example { algorithm hmac-sha256; };", 0600, "", "not one well-formed", 0 },
	{ "key k.example { secret x; secret y; };", 0600, "", "not one well-formed", 0 },
	{ "key k.example { secret \"" B64, 0600, "", "not one well-formed", 0 },
	{ "key k.example { secret \"%%%\"; };", 0600, "", "neither base64", 0 },
	{ "key k.example { /* secret x; };", 0600, "", "not one well-formed", 0 },
};

START_TEST(secret_files)
{
	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	for (size_t i = 0; i < sizeof(secrets) / sizeof(*secrets); i++) {
		const struct secret_case *s = &secrets[i];
		struct conf *c;
		char *text;

		put("key", s->file, s->mode);
		c = load_key(s->algorithm, &text);
		ck_assert_msg((c != NULL) == (s->len > 0), "%zu: %s", i, text);
		ck_assert_msg(s->message ? strstr(text, s->message) != NULL : !*text, "%zu: %s", i, text);
		ck_assert_msg(!strstr(text, "MDEy"), "%zu: a message shows the secret", i);
		if (c) {
			ck_assert_uint_eq(c->tsig[0].secret_len, s->len);
			ck_assert_int_eq(memcmp(c->tsig[0].secret, "0123456789abcdef", s->len), 0);
		}
		conf_free(c);
		free(text);
		unlink("key");
	}
	unlink("x.yaml");
	ck_assert_int_eq(rmdir(dir), 0);
}
END_TEST

START_TEST(pin_files_are_looked_at)
{
	struct conf_errors errs;
	struct conf *c = NULL;
	char yaml[512];

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	snprintf(yaml, sizeof(yaml),
		 "version: 1\nkeystores:\n"
		 "  - {name: h, backend: pkcs11, module: /m, uri: \"pkcs11:token=a\", pin-file: %s/pin}\n",
		 dir);
	put("x.yaml", yaml, 0644);
	ck_assert_int_eq(conf_load("x.yaml", &conf_source_files, 0, &c, &errs), ZS_ECONFIG);
	ck_assert_int_eq(errs.e[0].line, 3);
	conf_errors_free(&errs);
	put("pin", "1234\n", 0644);
	ck_assert_int_eq(conf_load("x.yaml", &conf_source_files, 0, &c, &errs), ZS_ECONFIG);
	conf_errors_free(&errs);
	ck_assert_int_eq(conf_load("x.yaml", &conf_source_files, CONF_NO_SECRETS, &c, &errs), 0);
	conf_free(c);
	conf_errors_free(&errs);
	put("pin", "1234\n", 0600);
	ck_assert_int_eq(conf_load("x.yaml", &conf_source_files, 0, &c, &errs), 0);
	conf_free(c);
	conf_errors_free(&errs);
	unlink("pin");
	unlink("x.yaml");
	rmdir(dir);
}
END_TEST

/* --- bundles --- */

static void check_same(struct conf_bundle *b, const struct conf *want)
{
	struct conf_errors errs;
	struct conf *c = NULL;
	char *x = NULL, *y = NULL;

	ck_assert_int_eq(conf_load(conf_bundle_path(b), conf_bundle_source(b), 0, &c, &errs), 0);
	ck_assert_int_eq(conf_dump(c, &x), 0);
	ck_assert_int_eq(conf_dump(want, &y), 0);
	ck_assert_str_eq(x, y);
	ck_assert_uint_eq(c->tsig[0].secret_len, want->tsig[0].secret_len);
	ck_assert_mem_eq(c->tsig[0].secret, want->tsig[0].secret, c->tsig[0].secret_len);
	free(x);
	free(y);
	conf_free(c);
	conf_errors_free(&errs);
}

static bool contains(const uint8_t *p, size_t len, const char *what)
{
	size_t n = strlen(what);

	for (size_t i = 0; i + n <= len; i++)
		if (!memcmp(p + i, what, n))
			return true;
	return false;
}

static void write_bundle_files(void)
{
	char yaml[1024];

	snprintf(yaml, sizeof(yaml),
		 "version: 1\ninclude: [c/*.yaml]\ntsig: [{name: k, secret-file: %s/key}]\nkeystores:\n"
		 "  - {name: h, backend: pkcs11, module: /m, uri: \"pkcs11:token=a\", pin-file: %s/pin}\n",
		 dir, dir);
	ck_assert_int_eq(mkdir("c", 0755), 0);
	put("x.yaml", yaml, 0644);
	put("c/a.yaml", "remotes: [{name: p, address: [192.0.2.1]}]\n", 0644);
	put("c/b.yaml", "zones: [{name: z, upstream: [p]}]\n", 0644);
	put("key", B64, 0600);
	put("pin", "PIN-98765", 0600);
}

static void remove_bundle_files(void)
{
	static const char *const files[] = { "x.yaml", "c/a.yaml", "c/b.yaml", "key", "pin" };

	for (size_t i = 0; i < sizeof(files) / sizeof(*files); i++)
		ck_assert_int_eq(unlink(files[i]), 0);
	ck_assert_int_eq(rmdir("c"), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

START_TEST(a_bundle_carries_the_same_configuration)
{
	struct conf_bundle *b = NULL, *b2 = NULL;
	struct conf_errors errs;
	struct conf *c = NULL;
	uint8_t *packed = NULL;
	size_t len = 0;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	write_bundle_files();
	ck_assert_int_eq(conf_load("x.yaml", &conf_source_files, 0, &c, &errs), 0);
	conf_errors_free(&errs);
	ck_assert_int_eq(conf_bundle_read("x.yaml", &b, &errs), 0);
	conf_errors_free(&errs);
	remove_bundle_files();
	check_same(b, c);
	ck_assert_int_eq(conf_bundle_pack(b, &packed, &len), 0);
	ck_assert(contains(packed, len, B64) && !contains(packed, len, "PIN-98765"));
	ck_assert_int_eq(conf_bundle_unpack(packed, len, &b2), 0);
	check_same(b2, c);
	conf_bundle_free(b2);
	for (size_t cut = 0; cut < len; cut++) {
		b2 = NULL;
		if (conf_bundle_unpack(packed, cut, &b2) == 0) /* cut between two items */
			conf_bundle_free(b2);
		else
			ck_assert_ptr_null(b2);
	}
	packed[4] = 2;
	ck_assert_int_eq(conf_bundle_unpack(packed, len, &b2), ZS_EVERSION);
	free(packed);
	conf_bundle_free(b);
	conf_free(c);
}
END_TEST

START_TEST(a_bundle_of_a_bad_configuration_is_refused)
{
	struct conf_bundle *b = NULL;
	struct conf_errors errs;

	enter("t/conf");
	ck_assert_int_eq(conf_bundle_read("values.yaml", &b, &errs), ZS_ECONFIG);
	ck_assert_ptr_null(b);
	ck_assert_uint_gt(errs.n, 0);
	conf_errors_free(&errs);
	ck_assert_int_eq(conf_bundle_read("nowhere.yaml", &b, &errs), ZS_ECONFIG);
	ck_assert_uint_eq(errs.n, 1);
	conf_errors_free(&errs);
}
END_TEST

/* --- bounds --- */

START_TEST(errors_are_bounded_and_not_lost_among_warnings)
{
	struct conf_errors errs;
	struct conf *c = NULL;
	char *yaml = malloc(1u << 16), *p = yaml;
	struct text_file files[] = { { "x.yaml", yaml }, { 0 } };
	struct conf_source src = { .read = text_read, .glob = text_glob, .ctx = files };

	p += sprintf(p, "version: 1\nacls:\n");
	for (int i = 0; i < 300; i++)
		p += sprintf(p, "  - {name: a%d}\n", i);
	p += sprintf(p, "zones:\n");
	for (int i = 0; i < 300; i++)
		p += sprintf(p, "  - {name: a%d}\n", i);
	ck_assert_int_eq(conf_load("x.yaml", &src, 0, &c, &errs), ZS_ECONFIG);
	ck_assert_uint_eq(errs.n, CONF_ERRORS_MAX);
	ck_assert_uint_eq(errs.more, 500);
	ck_assert(errs.e[0].warning && !errs.e[CONF_ERRORS_MAX - 1].warning);
	for (size_t i = 1; i < errs.n; i++)
		ck_assert_int_lt(errs.e[i - 1].line, errs.e[i].line);
	conf_errors_free(&errs);
	free(yaml);
}
END_TEST

START_TEST(many_zones_come_out_sorted)
{
	const int n = 20000;
	char *yaml = malloc((size_t)n * 64 + 256), *p = yaml;
	struct conf *c;

	p += sprintf(p, "version: 1\nremotes: [{name: p, address: [192.0.2.1]}]\ntemplates: [{name: t, "
			"upstream: [p]}]\nzones:\n");
	for (int i = 0; i < n; i++)
		p += sprintf(p, "- {name: z%d.example, template: t}\n", (i * 7919) % n);
	c = load_text(yaml, 0, NULL);
	ck_assert_ptr_nonnull(c);
	ck_assert_uint_eq(c->nzones, n);
	for (int i = 1; i < n; i++)
		ck_assert_int_lt(memcmp(c->zones[i - 1].wire, c->zones[i].wire, c->zones[i - 1].wire_len), 0);
	for (int i = 0; i < n; i++)
		ck_assert_ptr_eq(conf_zone(c, c->zones[i].wire, c->zones[i].wire_len), &c->zones[i]);
	conf_free(c);
	free(yaml);
}
END_TEST

/* --- what the table makes --- */

START_TEST(the_sample_is_current_and_loads_with_every_option_set)
{
	char *sample = conf_sample(), *file, *set, *text = NULL;
	struct conf *c;
	size_t n = 0;

	enter("etc");
	file = slurp("zoneseal.yaml");
	ck_assert_msg(!strcmp(sample, file), "etc/zoneseal.yaml is not what `confdoc sample` prints");
	c = load_text(sample, CONF_NO_SECRETS, &text);
	ck_assert_msg(c && !*text, "%s", text);
	conf_free(c);
	free(text);
	set = malloc(strlen(sample) + 1);
	for (const char *s = sample; *s; s++)
		if (*s != '#' || s[1] == ' ')
			set[n++] = *s;
	set[n] = 0;
	c = load_text(set, CONF_NO_SECRETS, &text);
	ck_assert_msg(c && !*text, "%s", text);
	ck_assert_uint_eq(c->nzones, 1);
	ck_assert_uint_eq(c->nremotes, 3);
	conf_free(c);
	free(text);
	free(set);
	free(file);
	free(sample);
}
END_TEST

START_TEST(the_manual_page_has_every_option)
{
	char *options = conf_man_options(), *page;

	enter("man");
	page = slurp("zoneseal.yaml.5");
	ck_assert_msg(strstr(page, options) != NULL,
		      "zoneseal.yaml.5 does not hold what `confdoc man` prints");
	free(options);
	free(page);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		pairs, the_full_sample_gives_these_values, built_in_policies_and_key_store,
		a_template_gives_what_the_zone_leaves_open, zone_names_in_all_spellings, secret_files,
		pin_files_are_looked_at, a_bundle_carries_the_same_configuration,
		a_bundle_of_a_bad_configuration_is_refused, errors_are_bounded_and_not_lost_among_warnings,
		many_zones_come_out_sorted, the_sample_is_current_and_loads_with_every_option_set,
		the_manual_page_has_every_option,
	};

	return RUN_SUITE("conf", tests);
}
