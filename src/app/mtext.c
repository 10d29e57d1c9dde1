/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Writing metrics. The two formats differ in what a family of counters or infos is called, in the last line,
 * and in that one of them calls numbers of a histogram's bounds floats. Label values are escaped, help texts
 * are ours and plain.
 */
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include "mtext.h"

#define LABELS_MAX 8

static void put(struct mtext *m, const char *s)
{
	wr_bytes(&m->w, s, strlen(s));
}

static const char *const type_text[] = { "counter", "gauge", "histogram", "info" };

static bool ends_with(const char *s, const char *tail)
{
	size_t n = strlen(s), t = strlen(tail);

	return n >= t && strcmp(s + n - t, tail) == 0;
}

/* What HELP and TYPE call it. */
static void put_family(struct mtext *m, const char *name)
{
	size_t n = strlen(name);

	if (m->openmetrics && m->type == M_COUNTER && ends_with(name, "_total"))
		n -= 6;
	else if (m->openmetrics && m->type == M_INFO && ends_with(name, "_info"))
		n -= 5;
	wr_bytes(&m->w, name, n);
}

void mtext_family(struct mtext *m, const char *name, enum mtype type, const char *help)
{
	m->family = name;
	m->type = type;
	put(m, "# HELP ");
	put_family(m, name);
	put(m, " ");
	put(m, help);
	put(m, "\n# TYPE ");
	put_family(m, name);
	put(m, " ");
	put(m, type == M_INFO && !m->openmetrics ? "gauge" : type_text[type]);
	put(m, "\n");
}

static void put_value(struct mtext *m, const char *s)
{
	for (; *s; s++)
		switch (*s) {
		case '\\':
			put(m, "\\\\");
			break;
		case '"':
			put(m, "\\\"");
			break;
		case '\n':
			put(m, "\\n");
			break;
		default:
			wr_u8(&m->w, (uint8_t)*s);
		}
}

static void put_name(struct mtext *m, const char *suffix, const struct mlabel *label, size_t n)
{
	put(m, m->family);
	put(m, suffix);
	for (size_t i = 0; i < n; i++) {
		put(m, i ? "," : "{");
		put(m, label[i].name);
		put(m, "=\"");
		put_value(m, label[i].value);
		put(m, "\"");
	}
	put(m, n ? "} " : " ");
}

static void put_float(struct mtext *m, double v)
{
	char text[64];

	if (isinf(v))
		snprintf(text, sizeof(text), "%s", v > 0 ? "+Inf" : "-Inf");
	else if (isnan(v))
		snprintf(text, sizeof(text), "NaN");
	else
		snprintf(text, sizeof(text), "%.12g", v);
	put(m, text);
}

void mtext_u64(struct mtext *m, const struct mlabel *label, size_t n, uint64_t value)
{
	char text[32];

	put_name(m, "", label, n);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)value);
	put(m, text);
}

void mtext_i64(struct mtext *m, const struct mlabel *label, size_t n, int64_t value)
{
	char text[32];

	put_name(m, "", label, n);
	snprintf(text, sizeof(text), "%lld\n", (long long)value);
	put(m, text);
}

void mtext_f(struct mtext *m, const struct mlabel *label, size_t n, double value)
{
	put_name(m, "", label, n);
	put_float(m, value);
	put(m, "\n");
}

/* OpenMetrics 1.0 wants bounds in the form of floats. */
static void bound_text(char *dst, size_t cap, double bound)
{
	if (isinf(bound))
		snprintf(dst, cap, "+Inf");
	else
		snprintf(dst, cap, "%.9g%s", bound, bound < 1e9 && bound == (double)(long)bound ? ".0" : "");
}

void mtext_histogram(struct mtext *m, const struct mlabel *label, size_t n, const double *bound,
		     const uint64_t *count, size_t buckets, double sum)
{
	struct mlabel all[LABELS_MAX];
	char le[48], text[32];
	uint64_t total = 0;

	if (n >= LABELS_MAX)
		n = LABELS_MAX - 1;
	if (n)
		memcpy(all, label, n * sizeof(*label));
	all[n] = (struct mlabel){ "le", le };
	for (size_t i = 0; i < buckets; i++) {
		total += count[i];
		bound_text(le, sizeof(le), bound[i]);
		put_name(m, "_bucket", all, n + 1);
		snprintf(text, sizeof(text), "%llu\n", (unsigned long long)total);
		put(m, text);
	}
	put_name(m, "_sum", label, n);
	put_float(m, sum);
	put(m, "\n");
	put_name(m, "_count", label, n);
	snprintf(text, sizeof(text), "%llu\n", (unsigned long long)total);
	put(m, text);
}

void mtext_end(struct mtext *m)
{
	if (m->openmetrics)
		put(m, "# EOF\n");
}

/* --- process_* ------------------------------------------------------------------------------------------ */

static unsigned open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the directory itself */
}

static void memory(struct mtext *m)
{
	unsigned long long size = 0, resident = 0, page = (unsigned long long)sysconf(_SC_PAGESIZE);
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return;
	if (fscanf(f, "%llu %llu", &size, &resident) == 2) {
		mtext_family(m, "process_virtual_memory_bytes", M_GAUGE,
			     "Virtual memory size in bytes; maps of stores count here.");
		mtext_u64(m, NO_LABELS, size * page);
		mtext_family(m, "process_resident_memory_bytes", M_GAUGE,
			     "Resident memory size in bytes; touched pages of stores count here.");
		mtext_u64(m, NO_LABELS, resident * page);
	}
	fclose(f);
}

void mtext_process(struct mtext *m, int64_t started)
{
	struct rusage ru;
	struct rlimit rl;

	if (getrusage(RUSAGE_SELF, &ru) == 0) {
		mtext_family(m, "process_cpu_seconds_total", M_COUNTER,
			     "User and system CPU time of the engine in seconds.");
		mtext_f(m, NO_LABELS, (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	}
	memory(m);
	mtext_family(m, "process_open_fds", M_GAUGE, "Open file descriptors.");
	mtext_u64(m, NO_LABELS, open_fds());
	if (getrlimit(RLIMIT_NOFILE, &rl) == 0) {
		mtext_family(m, "process_max_fds", M_GAUGE, "Most file descriptors that may be open.");
		mtext_u64(m, NO_LABELS, rl.rlim_cur);
	}
	mtext_family(m, "process_start_time_seconds", M_GAUGE, "Start of the engine in seconds since 1970.");
	mtext_i64(m, NO_LABELS, started);
}
