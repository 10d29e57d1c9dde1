/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Replays a corpus through a fuzz target: every file, and every file of every directory, named as argument.
 * Without arguments fuzz_NAME replays $srcdir/t/corpus/NAME, which is how `make check` runs it. Ends with 1
 * when there was nothing to replay: an empty corpus must not look like a passed one. With ZONESEAL_LIBFUZZER
 * nothing of it is there: libFuzzer brings its own main().
 */
#ifndef ZONESEAL_LIBFUZZER
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "fuzz.h"

#define FUZZ_MAX (16u << 20) /* octets of one input */
#define FUZZ_PATH 4096

static int replay_file(const char *path, unsigned *count)
{
	uint8_t *exact = NULL;
	char *text = NULL;
	size_t len = 0;
	int ret = fs_read(path, FUZZ_MAX, &text, &len);

	if (ret) {
		fprintf(stderr, "%s: %s\n", path, zs_strerror(ret));
		return ret;
	}
	exact = malloc(len ? len : 1); /* without the NUL of fs_read(): a read past the end must be seen */
	if (exact) {
		memcpy(exact, text, len);
		LLVMFuzzerTestOneInput(exact, len);
		++*count;
	}
	free(exact);
	free(text);
	return 0;
}

static int replay(const char *path, unsigned *count)
{
	char sub[FUZZ_PATH];
	struct dirent *e;
	struct stat st;
	DIR *d;
	int ret = 0;

	if (stat(path, &st) < 0 || !S_ISDIR(st.st_mode))
		return replay_file(path, count);
	d = opendir(path);
	if (!d)
		return ZS_EIO;
	while (ret == 0 && (e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		if (snprintf(sub, sizeof sub, "%s/%s", path, e->d_name) >= (int)sizeof sub)
			ret = ZS_ELIMIT;
		else
			ret = replay_file(sub, count);
	}
	closedir(d);
	return ret;
}

/* The corpus that belongs to this program by its name. libtool may have put "lt-" before it. */
static int replay_default(const char *self, unsigned *count)
{
	const char *srcdir = getenv("srcdir");
	const char *name = strrchr(self, '/');
	char path[FUZZ_PATH];

	name = name ? name + 1 : self;
	if (strncmp(name, "lt-", 3) == 0)
		name += 3;
	if (strncmp(name, "fuzz_", 5) == 0)
		name += 5;
	snprintf(path, sizeof path, "%s/t/corpus/%s", srcdir ? srcdir : ".", name);
	return replay(path, count);
}

int main(int argc, char **argv)
{
	unsigned count = 0;
	int ret = 0;

	if (argc < 2)
		ret = replay_default(argv[0], &count);
	for (int i = 1; i < argc && ret == 0; i++)
		ret = replay(argv[i], &count);
	printf("%u inputs\n", count);
	return ret || count == 0;
}
#endif
