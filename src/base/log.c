/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The logger. A line is put together and cleaned of control characters on the stack of the caller and then
 * written with one write() under the one lock, so lines of several threads never mix. Errors of the log's own
 * output are swallowed: there is nowhere to report them. The state below is the sanctioned exception to "no
 * mutable globals". It reads the clock itself, for a line without a time is no log line.
 *
 * A line: 2026-05-05T19:57:00Z notice engine[123] xfr: example.com.: text. In the journal and in syslog,
 * which know time and sender themselves, it is: xfr: example.com.: text.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/clk.h"
#include "base/err.h"
#include "log_limit.h"

#define LOG_TEXT 1024 /* octets of text in a line, as the header promises */
#define LOG_LINE (LOG_TEXT + 512) /* with time, level, ident, subsystem and zone (cut off past 320) */
#define LOG_IDENT 32

enum sink { SINK_STDERR, SINK_JOURNAL, SINK_SYSLOG, SINK_FILE };

static struct {
	pthread_mutex_t lock;
	atomic_int level; /* read without the lock */
	enum sink sink;
	int fd; /* of SINK_FILE */
	char *path;
	char ident[LOG_IDENT];
	struct log_limit limit;
} state = {
	.lock = PTHREAD_MUTEX_INITIALIZER,
	.level = LL_INFO,
	.sink = SINK_STDERR,
	.fd = -1,
	.ident = "zoneseal",
};

static const char *const level_names[] = { "error", "warning", "notice", "info", "debug" };
static const int priorities[] = { LOG_ERR, LOG_WARNING, LOG_NOTICE, LOG_INFO, LOG_DEBUG };

/* True when stderr is the journal stream that the variable names (device:inode), not one further up. */
static int stderr_is_journal(void)
{
	const char *v = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat st;

	if (!v || sscanf(v, "%ju:%ju", &dev, &ino) != 2 || fstat(STDERR_FILENO, &st) < 0)
		return 0;
	return st.st_dev == dev && st.st_ino == ino;
}

static int open_file(const char *path)
{
	return open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
}

int log_open(const char *target, enum log_level level, const char *ident)
{
	enum sink sink = SINK_FILE;
	char *path = NULL;
	int fd = -1;

	if (strcmp(target, "stderr") == 0) {
		sink = stderr_is_journal() ? SINK_JOURNAL : SINK_STDERR;
	} else if (strcmp(target, "syslog") == 0) {
		sink = SINK_SYSLOG;
	} else {
		path = strdup(target);
		if (!path)
			return ZS_ENOMEM;
		fd = open_file(path);
		if (fd < 0) {
			free(path);
			return ZS_EIO;
		}
	}
	pthread_mutex_lock(&state.lock);
	if (state.sink == SINK_SYSLOG)
		closelog();
	if (state.fd >= 0)
		close(state.fd);
	free(state.path);
	state.fd = fd;
	state.path = path;
	state.sink = sink;
	snprintf(state.ident, sizeof state.ident, "%s", ident);
	if (sink == SINK_SYSLOG)
		openlog(state.ident, LOG_PID, LOG_DAEMON); /* keeps the pointer */
	pthread_mutex_unlock(&state.lock);
	log_set_level(level);
	return 0;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&state.level, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&state.level, memory_order_relaxed);
}

int log_reopen(void)
{
	int fd, ret = 0;

	pthread_mutex_lock(&state.lock);
	if (state.sink == SINK_FILE) {
		fd = open_file(state.path);
		if (fd >= 0) {
			close(state.fd);
			state.fd = fd;
		} else {
			ret = ZS_EIO;
		}
	}
	pthread_mutex_unlock(&state.lock);
	return ret;
}

int log_level_from_text(const char *text, enum log_level *out)
{
	for (int i = LL_ERR; i <= LL_DEBUG; i++)
		if (strcmp(text, level_names[i]) == 0) {
			*out = (enum log_level)i;
			return 0;
		}
	return ZS_EINVAL;
}

const char *log_level_text(enum log_level level)
{
	return level <= LL_DEBUG ? level_names[level] : "unknown";
}

/* Control characters become '?': C0, DEL, and C1 as UTF-8 writes it (c2 80 .. c2 9f). */
static void clean(char *s)
{
	unsigned char before = 0;

	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if (c < 0x20 || c == 0x7f || (before == 0xc2 && c >= 0x80 && c <= 0x9f))
			*s = '?';
		before = c;
	}
}

/* The descriptor may be a pipe: short writes are finished, anything else gives up. */
static void write_line(int fd, const char *p, size_t len)
{
	while (len > 0) {
		ssize_t n = write(fd, p, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		p += n;
		len -= (size_t)n;
	}
}

/* What stands before the subsystem, by target. The lock is held. */
static int put_head(char *dst, size_t size, enum log_level level)
{
	char when[WALL_TEXT];

	if (state.sink == SINK_SYSLOG)
		return 0;
	if (state.sink == SINK_JOURNAL)
		return snprintf(dst, size, "<%d>", priorities[level]);
	return snprintf(dst, size, "%s %s %s[%d] ", wall_text(clk_wall(), when), level_names[level],
			state.ident, (int)getpid());
}

/* The lock is held. */
static void emit(enum log_level level, const char *sub, const char *zone, const char *text, uint64_t dropped)
{
	char line[LOG_LINE], tail[48] = "";
	size_t len;
	int n;

	if (dropped)
		snprintf(tail, sizeof tail, " suppressed=%" PRIu64, dropped);
	n = put_head(line, sizeof line, level);
	snprintf(line + n, sizeof line - (size_t)n - 1, "%.32s: %.320s%s%s%s", sub, zone ? zone : "",
		 zone ? ": " : "", text, tail);
	clean(line);
	if (state.sink == SINK_SYSLOG) {
		syslog(priorities[level], "%s", line);
		return;
	}
	len = strlen(line);
	line[len++] = '\n';
	write_line(state.sink == SINK_FILE ? state.fd : STDERR_FILENO, line, len);
}

void log_msg(enum log_level level, const char *sub, const char *zone, const char *fmt, ...)
{
	char text[LOG_TEXT + 1];
	int saved = errno;
	va_list ap;

	if (level > log_get_level())
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&state.lock);
	emit(level, sub, zone, text, 0);
	pthread_mutex_unlock(&state.lock);
	errno = saved;
}

void log_limited(enum log_level level, const char *sub, const char *zone, const char *cause, unsigned burst,
		 const char *fmt, ...)
{
	char text[LOG_TEXT + 1];
	int saved = errno;
	uint64_t dropped;
	va_list ap;

	if (level > log_get_level())
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&state.lock);
	if (log_limit_pass(&state.limit, log_limit_hash(sub, zone, cause), clk_mono(), burst, &dropped))
		emit(level, sub, zone, text, dropped);
	pthread_mutex_unlock(&state.lock);
	errno = saved;
}
