/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A bundle: every file that conf_load() read and every pattern it asked for, with the answers. The parent
 * makes it with its rights and sends it; the engine loads the very same octets from it. PIN files are never
 * in it. Packed form, big-endian: "ZSCB", u8 version 1, u32 length and path of the main file, then records
 * until the end: u8 kind (1 file, 2 secret, 3 pattern), u32 length and name, u32 length and octets; a
 * pattern's octets are its paths, each ended by NUL.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/fs.h"
#include "conf_priv.h"

enum { KIND_FILE = 1, KIND_SECRET = 2, KIND_PATTERN = 3 };

#define BUNDLE_VERSION 1
#define BUNDLE_ITEMS_MAX 65536

struct item {
	uint8_t kind;
	char *name;
	char *data;
	size_t len;
};

struct conf_bundle {
	char *path;
	struct item *items;
	size_t n, cap, octets;
	struct conf_source source;
};

static int source_read(void *ctx, const char *path, bool secret, char **out, size_t *len);
static int source_glob(void *ctx, const char *pattern, char ***out);

static struct conf_bundle *bundle_new(const char *path, size_t len)
{
	struct conf_bundle *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->path = strndup(path, len);
	b->source = (struct conf_source){ .read = source_read, .glob = source_glob, .ctx = b };
	if (!b->path) {
		free(b);
		return NULL;
	}
	return b;
}

void conf_bundle_free(struct conf_bundle *b)
{
	if (!b)
		return;
	for (size_t i = 0; i < b->n; i++) {
		free(b->items[i].name);
		fs_free_secret(b->items[i].data, b->items[i].len);
	}
	free(b->items);
	free(b->path);
	free(b);
}

/* Copies name and octets. Bounded in number and octets, so that the packed form is as well. */
static int bundle_add(struct conf_bundle *b, uint8_t kind, const char *name, size_t namelen, const void *data,
		      size_t len)
{
	struct item it = { .kind = kind, .len = len };

	if (b->n == BUNDLE_ITEMS_MAX || len > CONF_FILE_MAX || b->octets + len + namelen > CONF_FILE_MAX)
		return ZS_ELIMIT;
	if (b->n == b->cap) {
		size_t cap = b->cap ? b->cap * 2 : 16;
		struct item *more = realloc(b->items, cap * sizeof(*more));

		if (!more)
			return ZS_ENOMEM;
		b->items = more;
		b->cap = cap;
	}
	it.name = strndup(name, namelen);
	it.data = malloc(len + 1);
	if (!it.name || !it.data) {
		free(it.name);
		free(it.data);
		return ZS_ENOMEM;
	}
	if (len)
		memcpy(it.data, data, len);
	it.data[len] = 0;
	b->octets += len + namelen;
	b->items[b->n++] = it;
	return 0;
}

static const struct item *find(const struct conf_bundle *b, uint8_t kind, const char *name)
{
	for (size_t i = 0; i < b->n; i++)
		if (b->items[i].kind == kind && !strcmp(b->items[i].name, name))
			return &b->items[i];
	return NULL;
}

/* --- reading from a bundle --- */

static int source_read(void *ctx, const char *path, bool secret, char **out, size_t *len)
{
	const struct item *it = find(ctx, secret ? KIND_SECRET : KIND_FILE, path);
	char *copy;

	if (!it)
		return ZS_ENOENT;
	copy = malloc(it->len + 1);
	if (!copy)
		return ZS_ENOMEM;
	memcpy(copy, it->data, it->len + 1);
	*out = copy;
	*len = it->len;
	return 0;
}

static void free_list(char **list)
{
	for (char **p = list; p && *p; p++)
		free(*p);
	free(list);
}

static int source_glob(void *ctx, const char *pattern, char ***out)
{
	const struct item *it = find(ctx, KIND_PATTERN, pattern);
	size_t n = 0, k = 0;
	char **list;

	if (!it)
		return ZS_ENOENT;
	for (size_t i = 0; i < it->len; i++)
		n += !it->data[i];
	list = calloc(n + 1, sizeof(*list));
	if (!list)
		return ZS_ENOMEM;
	for (const char *p = it->data; k < n; p += strlen(p) + 1) {
		list[k] = strdup(p);
		if (!list[k++]) {
			free_list(list);
			return ZS_ENOMEM;
		}
	}
	*out = list;
	return 0;
}

const struct conf_source *conf_bundle_source(struct conf_bundle *b)
{
	return &b->source;
}

const char *conf_bundle_path(const struct conf_bundle *b)
{
	return b->path;
}

/* --- recording one --- */

/* An error is not recorded: the load that asks has failed then, and with it the bundle. */
static int record_read(void *ctx, const char *path, bool secret, char **out, size_t *len)
{
	struct conf_bundle *b = ctx;
	uint8_t kind = secret ? KIND_SECRET : KIND_FILE;
	int ret = conf_source_files.read(conf_source_files.ctx, path, secret, out, len);

	if (ret || find(b, kind, path))
		return ret;
	ret = bundle_add(b, kind, path, strlen(path), *out, *len);
	if (ret)
		fs_free_secret(*out, *len);
	return ret;
}

static int record_glob(void *ctx, const char *pattern, char ***out)
{
	struct conf_bundle *b = ctx;
	struct wr w = wr_growing(CONF_FILE_MAX);
	int ret = conf_source_files.glob(conf_source_files.ctx, pattern, out);

	if (ret || find(b, KIND_PATTERN, pattern))
		return ret;
	for (char **p = *out; *p; p++)
		wr_bytes(&w, *p, strlen(*p) + 1);
	ret = w.err ? w.err : bundle_add(b, KIND_PATTERN, pattern, strlen(pattern), w.p, w.len);
	wr_free(&w);
	if (ret)
		free_list(*out);
	return ret;
}

int conf_bundle_read(const char *path, struct conf_bundle **out, struct conf_errors *errs)
{
	struct conf_bundle *b = bundle_new(path, strlen(path));
	struct conf_source recorder = conf_source_files;
	struct conf *c = NULL;
	int ret;

	*errs = (struct conf_errors){ 0 };
	if (!b)
		return ZS_ENOMEM;
	recorder.read = record_read;
	recorder.glob = record_glob;
	recorder.ctx = b;
	ret = conf_load(path, &recorder, 0, &c, errs);
	if (ret) {
		conf_bundle_free(b);
		return ret;
	}
	conf_free(c);
	*out = b;
	return 0;
}

/* --- packed form --- */

static void put_octets(struct wr *w, const void *p, size_t len)
{
	wr_u32(w, (uint32_t)len);
	wr_bytes(w, p, len);
}

/* Octets for the record heads on top of the bounded content. */
#define PACKED_MAX ((size_t)CONF_FILE_MAX + 9u * BUNDLE_ITEMS_MAX + 8192)

int conf_bundle_pack(const struct conf_bundle *b, uint8_t **out, size_t *len)
{
	struct wr w = wr_growing(PACKED_MAX);

	wr_bytes(&w, "ZSCB", 4);
	wr_u8(&w, BUNDLE_VERSION);
	put_octets(&w, b->path, strlen(b->path));
	for (size_t i = 0; i < b->n; i++) {
		wr_u8(&w, b->items[i].kind);
		put_octets(&w, b->items[i].name, strlen(b->items[i].name));
		put_octets(&w, b->items[i].data, b->items[i].len);
	}
	if (w.err) {
		int err = w.err;

		wr_free(&w);
		return err;
	}
	*out = w.p;
	*len = w.len;
	return 0;
}

static int unpack_items(struct rd *r, struct conf_bundle *b)
{
	while (!r->err && rd_left(r)) {
		uint8_t kind = rd_u8(r);
		uint32_t namelen = rd_u32(r);
		const uint8_t *name = rd_bytes(r, namelen);
		uint32_t len = rd_u32(r);
		const uint8_t *data = rd_bytes(r, len);
		int ret;

		if (r->err)
			break;
		if (kind < KIND_FILE || kind > KIND_PATTERN || (kind == KIND_PATTERN && len && data[len - 1]))
			return ZS_EFORMAT;
		ret = bundle_add(b, kind, (const char *)name, namelen, data, len);
		if (ret)
			return ret;
	}
	return r->err;
}

int conf_bundle_unpack(const void *data, size_t len, struct conf_bundle **out)
{
	struct rd r = rd_init(data, len);
	const uint8_t *magic = rd_bytes(&r, 4), *path;
	uint8_t version = rd_u8(&r);
	uint32_t pathlen = rd_u32(&r);
	struct conf_bundle *b;
	int ret;

	path = rd_bytes(&r, pathlen);
	if (r.err)
		return r.err;
	if (memcmp(magic, "ZSCB", 4))
		return ZS_EFORMAT;
	if (version != BUNDLE_VERSION)
		return ZS_EVERSION;
	b = bundle_new((const char *)path, pathlen);
	if (!b)
		return ZS_ENOMEM;
	ret = unpack_items(&r, b);
	if (ret) {
		conf_bundle_free(b);
		return ret;
	}
	*out = b;
	return 0;
}
