/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * TSIG secret files: base64 text alone, or one BIND clause `key "name" { algorithm ...; secret "..."; };`
 * whose name and algorithm must agree with the configuration. Messages name the file, never what is in it.
 * The text is cleared after use. Called by conf_load.c.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>
#include "base/err.h"
#include "base/fs.h"
#include "base/text.h"
#include "conf_priv.h"

#define TOKEN_MAX 1100

struct lexer {
	const char *p, *end;
	char token[TOKEN_MAX]; /* a word, or one of { } ; */
};

/* White space and the three kinds of comments of BIND. */
static void skip_space(struct lexer *x)
{
	while (x->p < x->end) {
		bool line = *x->p == '#' || (*x->p == '/' && x->p + 1 < x->end && x->p[1] == '/');

		if (isspace((uint8_t)*x->p)) {
			x->p++;
		} else if (line) {
			while (x->p < x->end && *x->p != '\n')
				x->p++;
		} else if (*x->p == '/' && x->p + 1 < x->end && x->p[1] == '*') {
			for (x->p += 2; x->end - x->p >= 2 && memcmp(x->p, "*/", 2); x->p++)
				;
			x->p = x->end - x->p >= 2 ? x->p + 2 : x->end;
		} else {
			return;
		}
	}
}

static bool is_word(char c)
{
	return !isspace((uint8_t)c) && !strchr("{};\"", c);
}

/* The next token; false at the end or when there is no sane one. */
static bool next(struct lexer *x)
{
	size_t n = 0;

	skip_space(x);
	x->token[0] = 0;
	if (x->p == x->end)
		return false;
	if (*x->p == '"') {
		for (x->p++; x->p < x->end && *x->p != '"' && n < TOKEN_MAX - 1; x->p++)
			x->token[n++] = *x->p;
		x->token[n] = 0;
		return x->p < x->end && *x->p++ == '"';
	}
	if (*x->p && !is_word(*x->p)) {
		x->token[n++] = *x->p++;
	} else {
		while (x->p < x->end && *x->p && is_word(*x->p) && n < TOKEN_MAX - 1)
			x->token[n++] = *x->p++;
	}
	x->token[n] = 0;
	return n > 0;
}

static bool expect(struct lexer *x, const char *token)
{
	return next(x) && !strcmp(x->token, token);
}

struct clause {
	char name[TOKEN_MAX], algorithm[TOKEN_MAX], secret[TOKEN_MAX];
};

/* key NAME { algorithm A; secret S; }; */
static bool parse_clause(struct lexer *x, struct clause *c)
{
	if (!expect(x, "key") || !next(x))
		return false;
	memcpy(c->name, x->token, TOKEN_MAX);
	if (!expect(x, "{"))
		return false;
	while (next(x) && strcmp(x->token, "}")) {
		char *to = NULL;

		if (!strcmp(x->token, "algorithm"))
			to = c->algorithm;
		else if (!strcmp(x->token, "secret"))
			to = c->secret;
		if (!to || *to || !next(x))
			return false;
		memcpy(to, x->token, TOKEN_MAX);
		if (!expect(x, ";"))
			return false;
	}
	return !strcmp(x->token, "}") && expect(x, ";") && *c->secret && !next(x) && x->p == x->end;
}

/* What of the clause disagrees with the configuration, or NULL. */
static const char *disagrees(const struct conf_tsig *t, const struct clause *c)
{
	size_t len = strlen(c->algorithm);
	struct conf_name name;
	char why[1280];

	if (!conf_name_parse(c->name, &name, why, sizeof(why)) || strcmp(name.text, t->name))
		return "the name of the key in it is another";
	if (len && c->algorithm[len - 1] == '.')
		len--;
	if (len && (len != strlen(t->algorithm) || strncasecmp(c->algorithm, t->algorithm, len)))
		return "the algorithm in it is another than in the configuration";
	return NULL;
}

static const char *decode(struct loader *l, struct conf_tsig *t, const char *text, size_t len)
{
	size_t room = len / 4 * 3 + 3;
	uint8_t *secret = conf_alloc(l, room);

	if (!secret)
		return NULL;
	/* kept from here on, so that conf_free() clears it whatever was decoded */
	t->secret = secret;
	t->secret_len = room;
	if (text_unb64(secret, &room, text, len) < 0 || !room)
		return "neither base64 text nor a BIND key clause";
	t->secret_len = room;
	return NULL;
}

static const char *parse_secret(struct loader *l, struct conf_tsig *t, const char *data, size_t len)
{
	struct lexer x = { .p = data, .end = data + len };
	struct clause c = { 0 };
	const char *fault;

	if (!memchr(data, '{', len)) {
		fault = decode(l, t, data, len);
	} else if (!parse_clause(&x, &c)) {
		fault = "not one well-formed BIND key clause";
	} else {
		fault = disagrees(t, &c);
		if (!fault)
			fault = decode(l, t, c.secret, strlen(c.secret));
	}
	explicit_bzero(&x, sizeof(x));
	explicit_bzero(&c, sizeof(c));
	return fault;
}

#define SECRET_SHORT 16 /* octets: less can be guessed (RFC 8945 section 8) */

void conf_secret_read(struct loader *l, struct conf_tsig *t, const struct node *n)
{
	const char *fault;
	char *data = NULL;
	size_t len = 0;
	int ret = l->src->read(l->src->ctx, t->secret_file, true, &data, &len);

	if (ret == ZS_EPERM) {
		conf_bad(l, n, "%s: not readable, or readable for group or others (mode 0600 is right)",
			 t->secret_file);
	} else if (ret) {
		conf_bad(l, n, "%s: %s", t->secret_file, zs_strerror(ret));
	} else {
		fault = parse_secret(l, t, data, len);
		if (fault)
			conf_bad(l, n, "%s: %s", t->secret_file, fault);
		else if (t->secret_len < SECRET_SHORT)
			conf_warn(l, n, "%s: a secret of %zu octets is short", t->secret_file, t->secret_len);
	}
	fs_free_secret(data, len);
}
