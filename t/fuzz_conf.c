/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input is the main file of a configuration; its secret files hold the input too. What loads must dump,
 * and the dump must load and dump the same again. Input that begins with "ZSCB" is a packed bundle.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "app/conf.h"
#include "base/err.h"
#include "fuzz.h"

#define INPUT_MAX (64u << 10)

struct input { const void *data; size_t len; };

static int input_read(void *ctx, const char *path, bool secret, char **out, size_t *len)
{
	const struct input *in = ctx;
	char *copy;

	if (strcmp(path, "main") && !secret)
		return ZS_ENOENT;
	copy = malloc(in->len + 1);
	assert(copy);
	memcpy(copy, in->data, in->len);
	copy[in->len] = 0;
	*out = copy;
	*len = in->len;
	return 0;
}

static int input_glob(void *ctx, const char *pattern, char ***out)
{
	*out = calloc(1, sizeof(**out));
	return *out ? 0 : ZS_ENOMEM;
}

static char *load_and_dump(const struct input *in, unsigned flags)
{
	struct conf_source src = { .read = input_read, .glob = input_glob, .ctx = (void *)in };
	struct conf_errors errs;
	struct conf *c = NULL;
	char *dump = NULL, *text;
	int ret = conf_load("main", &src, flags, &c, &errs);

	assert((ret == 0) == (c != NULL) && (ret == 0 || errs.n > 0));
	text = conf_errors_text(&errs);
	assert(text);
	free(text);
	if (c)
		assert(conf_dump(c, &dump) == 0);
	conf_free(c);
	conf_errors_free(&errs);
	return dump;
}

static void try_bundle(const uint8_t *data, size_t len)
{
	struct conf_bundle *b = NULL;
	struct conf_errors errs;
	struct conf *c = NULL;

	if (conf_bundle_unpack(data, len, &b) < 0)
		return;
	conf_load(conf_bundle_path(b), conf_bundle_source(b), 0, &c, &errs);
	conf_free(c);
	conf_errors_free(&errs);
	conf_bundle_free(b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct input in = { data, len };
	char *first, *second;

	if (len > INPUT_MAX)
		return 0;
	if (len > 4 && !memcmp(data, "ZSCB", 4)) {
		try_bundle(data, len);
		return 0;
	}
	free(load_and_dump(&in, 0));
	first = load_and_dump(&in, CONF_NO_SECRETS);
	if (!first)
		return 0;
	second = load_and_dump(&(struct input){ first, strlen(first) }, CONF_NO_SECRETS);
	assert(second && !strcmp(first, second));
	free(first);
	free(second);
	return 0;
}
