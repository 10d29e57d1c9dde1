/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The clock of the tests, linked instead of src/base/clk.c. $ZONESEAL_TEST_CLOCK names a file of two int64 in
 * host order, wall seconds and monotonic microseconds: whoever writes to it moves the clock of every process
 * that has it open. Boot time is the monotonic one in seconds. Without the variable these are the real
 * clocks.
 */
#include "base/clk.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/base/clk_real.h"

struct clock_file {
	int64_t wall_s;
	int64_t mono_us;
};

static const struct clock_file *file; /* NULL: real time */
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* A test that asked for a clock and silently got another one would prove nothing. */
static void map_file(void)
{
	const char *path = getenv("ZONESEAL_TEST_CLOCK");
	struct stat st;
	void *p = MAP_FAILED;
	int fd;

	if (!path)
		return;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fstat(fd, &st) == 0 && st.st_size >= (off_t)sizeof *file)
		p = mmap(NULL, sizeof *file, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED) {
		fprintf(stderr, "ZONESEAL_TEST_CLOCK: cannot map %s\n", path);
		abort();
	}
	close(fd);
	file = p;
}

static const struct clock_file *clock_file(void)
{
	pthread_once(&once, map_file);
	return file;
}

wall_t clk_wall(void)
{
	const struct clock_file *f = clock_file();

	return WALL(f ? __atomic_load_n(&f->wall_s, __ATOMIC_ACQUIRE) : clk_real_seconds(CLOCK_REALTIME));
}

mono_t clk_mono(void)
{
	const struct clock_file *f = clock_file();

	return (mono_t){ .us = f ? __atomic_load_n(&f->mono_us, __ATOMIC_ACQUIRE) :
				   clk_real_micros(CLOCK_MONOTONIC) };
}

mono_t clk_mono_real(void)
{
	return (mono_t){ .us = clk_real_micros(CLOCK_MONOTONIC) };
}

int64_t clk_boot(void)
{
	const struct clock_file *f = clock_file();

	if (!f)
		return clk_real_seconds(CLOCK_BOOTTIME);
	return __atomic_load_n(&f->mono_us, __ATOMIC_ACQUIRE) / 1000000;
}

int clk_poll_ms(void)
{
	return clock_file() ? 5 : -1;
}
