/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * One line a message: time, level, subsystem, zone, text with key=value tails. Logged where the decision is
 * made, once; lower layers return errors instead. The logger is process-wide state set by the mains (the one
 * named exception to "no mutable globals"): every function here may be called from any thread.
 */
#ifndef ZONESEAL_BASE_LOG_H
#define ZONESEAL_BASE_LOG_H

enum log_level { LL_ERR, LL_WARN, LL_NOTICE, LL_INFO, LL_DEBUG };

/*
 * target: "stderr", "syslog" or a file name. ident: the role ("engine", "vault hsm"), copied. stderr lines
 * get <N> sd-daemon prefixes when $JOURNAL_STREAM names what stderr is. ZS_EIO when a file does not open: the
 * previous target then stays in use.
 */
int log_open(const char *target, enum log_level level, const char *ident);
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
/* Opens a file target anew (log rotation). */
int log_reopen(void);
/* 0 and *out, or ZS_EINVAL. Names: error, warning, notice, info, debug. */
int log_level_from_text(const char *text, enum log_level *out);
const char *log_level_text(enum log_level level);

/* sub: short constant subsystem name; zone: presentation form or NULL. At most 1 KiB of text, control
 * characters are replaced. */
void log_msg(enum log_level level, const char *sub, const char *zone, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/*
 * Like log_msg, but at most `burst` lines an hour for the same (sub, zone, cause); a suppressed count is
 * appended to the next line that goes out. The table of causes is bounded.
 */
void log_limited(enum log_level level, const char *sub, const char *zone, const char *cause, unsigned burst,
		 const char *fmt, ...) __attribute__((format(printf, 6, 7)));

#endif
