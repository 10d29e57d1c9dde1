/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The model behind the images: a file has durable octets and a list of changes since its last sync; the tree
 * has durable names and a list of changes, each belonging to the directory it was made in. A sync of a file
 * makes its list durable, one of a directory the names in it. No file system need be as forgetful as this
 * one.
 */
#include "powercut.h"

#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rand.h"
#include "crashshim.h"

struct event {
	struct crash_rec r;
	char *a;
	char *b;
	uint8_t *data;
};

struct powercut {
	struct event *ev;
	size_t n;
	uint32_t files;
};

struct file {
	uint8_t *p;
	size_t len;
};

/* A name: file 0 is a directory. */
struct name {
	char *path;
	uint32_t file;
};

struct image {
	const struct powercut *p;
	struct file *files;   /* durable octets, later the image's */
	bool *pending;        /* by record: change that is not durable */
	struct name *names;
	size_t nnames;
	size_t cap;
};

static void need(bool ok, const char *what)
{
	if (ok)
		return;
	perror(what);
	abort();
}

/* --- the trace ------------------------------------------------------------------------------------------ */

static void *take(FILE *fp, size_t len)
{
	char *p = calloc(1, len + 1);

	need(p && fread(p, 1, len, fp) == len, "trace");
	return p;
}

struct powercut *powercut_load(const char *trace)
{
	struct powercut *p = calloc(1, sizeof *p);
	FILE *fp = fopen(trace, "rb");
	struct crash_rec r;

	need(fp && p, trace);
	while (fread(&r, sizeof r, 1, fp) == 1) {
		struct event *e;

		p->ev = realloc(p->ev, (p->n + 1) * sizeof *p->ev);
		e = &p->ev[p->n++];
		e->r = r;
		e->a = take(fp, r.text1);
		e->b = take(fp, r.text2);
		e->data = take(fp, r.op == OP_WRITE || r.op == OP_SEND ? r.len : 0);
		if (r.file > p->files)
			p->files = r.file;
	}
	fclose(fp);
	return p;
}

void powercut_free(struct powercut *p)
{
	for (size_t i = 0; i < p->n; i++) {
		free(p->ev[i].a);
		free(p->ev[i].b);
		free(p->ev[i].data);
	}
	free(p->ev);
	free(p);
}

size_t powercut_records(const struct powercut *p)
{
	return p->n;
}

uint64_t powercut_note(const struct powercut *p, size_t upto, uint64_t a)
{
	while (upto--)
		if (p->ev[upto].r.op == OP_NOTE && p->ev[upto].r.off == a)
			return p->ev[upto].r.len;
	return 0;
}

/* --- files ---------------------------------------------------------------------------------------------- */

static void resize(struct file *f, size_t len)
{
	if (len > f->len) {
		f->p = realloc(f->p, len);
		memset(f->p + f->len, 0, len - f->len);
	}
	f->len = len;
}

static void apply_piece(struct file *f, const struct event *e, size_t from, size_t to)
{
	if (f->len < e->r.off + to)
		resize(f, e->r.off + to);
	memcpy(f->p + e->r.off + from, e->data + from, to - from);
}

/* grain 0: the whole change; else each aligned piece is kept or lost. */
static void apply_data(struct file *f, const struct event *e, size_t grain, struct prng *rnd)
{
	size_t at = 0, next;

	if (e->r.op == OP_TRUNC) {
		if (!grain || prng_upto(rnd, 1))
			resize(f, e->r.off);
		return;
	}
	for (; at < e->r.len; at = next) {
		next = grain ? (e->r.off + at) / grain * grain + grain - e->r.off : e->r.len;
		if (next > e->r.len)
			next = e->r.len;
		if (!grain || prng_upto(rnd, 1))
			apply_piece(f, e, at, next);
	}
}

/* --- names ---------------------------------------------------------------------------------------------- */

static size_t find_name(const struct image *im, const char *path)
{
	for (size_t i = 0; i < im->nnames; i++)
		if (strcmp(im->names[i].path, path) == 0)
			return i;
	return SIZE_MAX;
}

static void drop_name(struct image *im, const char *path)
{
	size_t i = find_name(im, path);

	if (i == SIZE_MAX)
		return;
	free(im->names[i].path);
	im->names[i] = im->names[--im->nnames];
}

static void set_name(struct image *im, const char *path, uint32_t file)
{
	drop_name(im, path);
	if (im->nnames == im->cap) {
		im->cap = im->cap * 2 + 16;
		im->names = realloc(im->names, im->cap * sizeof *im->names);
	}
	im->names[im->nnames++] = (struct name){ strdup(path), file };
}

static void apply_name(struct image *im, const struct event *e)
{
	size_t i;

	switch (e->r.op) {
	case OP_CREATE:
		set_name(im, e->a, e->r.file);
		break;
	case OP_MKDIR:
		set_name(im, e->a, 0);
		break;
	case OP_UNLINK:
	case OP_RMDIR:
		drop_name(im, e->a);
		break;
	default: /* a rename; its source may have been lost */
		i = find_name(im, e->a);
		if (i == SIZE_MAX)
			return;
		set_name(im, e->b, im->names[i].file);
		drop_name(im, e->a);
	}
}

static bool is_name_op(uint32_t op)
{
	return op == OP_CREATE || op == OP_MKDIR || op == OP_UNLINK || op == OP_RMDIR || op == OP_RENAME;
}

static bool is_in(const char *path, const char *dir)
{
	size_t n = strlen(dir);
	const char *rest = n ? path + n + 1 : path;

	return (n == 0 || (strncmp(path, dir, n) == 0 && path[n] == '/')) && !strchr(rest, '/');
}

/* --- the durable part ----------------------------------------------------------------------------------- */

static void sync_file(struct image *im, size_t upto, uint32_t file)
{
	for (size_t i = 0; i < upto; i++) {
		const struct event *e = &im->p->ev[i];

		if (im->pending[i] && e->r.file == file && (e->r.op == OP_WRITE || e->r.op == OP_TRUNC)) {
			apply_data(&im->files[file], e, 0, NULL);
			im->pending[i] = false;
		}
	}
}

static void sync_dir(struct image *im, size_t upto, const char *dir)
{
	for (size_t i = 0; i < upto; i++) {
		if (im->pending[i] && is_name_op(im->p->ev[i].r.op) && is_in(im->p->ev[i].a, dir)) {
			apply_name(im, &im->p->ev[i]);
			im->pending[i] = false;
		}
	}
}

static void sync_all(struct image *im, size_t upto)
{
	for (size_t i = 0; i < upto; i++) {
		const struct event *e = &im->p->ev[i];

		if (im->pending[i] && is_name_op(e->r.op))
			apply_name(im, e);
		else if (im->pending[i])
			apply_data(&im->files[e->r.file], e, 0, NULL);
		im->pending[i] = false;
	}
}

static void replay(struct image *im, size_t upto)
{
	for (size_t i = 0; i < upto; i++) {
		const struct event *e = &im->p->ev[i];

		if (e->r.op == OP_SYNC)
			sync_file(im, i, e->r.file);
		else if (e->r.op == OP_SYNC_DIR)
			sync_dir(im, i, e->a);
		else if (e->r.op == OP_SYNC_ALL)
			sync_all(im, i);
		else if (e->r.op == OP_WRITE && e->r.dsync)
			apply_data(&im->files[e->r.file], e, 0, NULL);
		else if (e->r.op != OP_NOTE && e->r.op != OP_SEND)
			im->pending[i] = true;
	}
}

/* What is pending, by the kind of cut. */
static void weather(struct image *im, size_t upto, enum cut how, struct prng *rnd)
{
	size_t grain = how == CUT_TORN_512 ? 512 : how == CUT_TORN_4096 ? 4096 : 0;

	for (size_t i = 0; i < upto; i++) {
		const struct event *e = &im->p->ev[i];

		if (!im->pending[i])
			continue;
		if (is_name_op(e->r.op)) {
			if (how == CUT_KEEP || how == CUT_NAMES || (grain && prng_upto(rnd, 1)))
				apply_name(im, e);
		} else if (how == CUT_KEEP || how == CUT_DATA || grain) {
			apply_data(&im->files[e->r.file], e, grain, rnd);
		}
	}
}

/* --- writing it down ------------------------------------------------------------------------------------ */

static int by_path(const void *a, const void *b)
{
	return strcmp(((const struct name *)a)->path, ((const struct name *)b)->path);
}

/* A name whose directory was lost is lost with it: then nothing can be made there. */
static void write_out(const struct image *im, const char *out)
{
	char path[PATH_MAX];

	need(mkdir(out, 0700) == 0, out);
	if (im->nnames)
		qsort(im->names, im->nnames, sizeof *im->names, by_path);
	for (size_t i = 0; i < im->nnames; i++) {
		const struct file *f = &im->files[im->names[i].file];
		int fd;

		snprintf(path, sizeof path, "%s/%s", out, im->names[i].path);
		if (im->names[i].file == 0) {
			mkdir(path, 0700);
			continue;
		}
		fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
		if (fd < 0)
			continue;
		need(write(fd, f->p ? f->p : (uint8_t *)"", f->len) == (ssize_t)f->len, path);
		close(fd);
	}
}

void powercut_image(const struct powercut *p, size_t upto, enum cut how, uint64_t seed, const char *out)
{
	struct image im = { .p = p };
	struct prng rnd = prng_seed(seed);

	im.files = calloc(p->files + 1, sizeof *im.files);
	im.pending = calloc(p->n + 1, 1);
	need(im.files && im.pending, "image");
	replay(&im, upto);
	weather(&im, upto, how, &rnd);
	write_out(&im, out);
	for (uint32_t i = 0; i <= p->files; i++)
		free(im.files[i].p);
	for (size_t i = 0; i < im.nnames; i++)
		free(im.names[i].path);
	free(im.names);
	free(im.files);
	free(im.pending);
}
