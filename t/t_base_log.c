/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The logger over a file and the clock of the tests: shape of a line, cleaning, levels, limits, rotation. */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../src/base/log_limit.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "t_suite.h"

static int64_t *clock_words; /* wall seconds, mono microseconds */
static char dir[] = "t_base_log-XXXXXX";

/* Each test runs in a process of its own: a directory with a clock that stands still. */
static void enter(void)
{
	int64_t start[2] = { 1778011020, 5000000 };
	int fd;

	ck_assert_ptr_nonnull(mkdtemp(dir));
	ck_assert_int_eq(chdir(dir), 0);
	fd = open("clock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	ck_assert_int_eq(write(fd, start, sizeof start), (ssize_t)sizeof start);
	clock_words = mmap(NULL, sizeof start, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ck_assert_ptr_ne(clock_words, MAP_FAILED);
	close(fd);
	setenv("ZONESEAL_TEST_CLOCK", "clock", 1);
	unsetenv("JOURNAL_STREAM");
}

static void leave(void)
{
	unlink("clock");
	unlink("log");
	unlink("log.1");
	ck_assert_int_eq(chdir(".."), 0);
	ck_assert_int_eq(rmdir(dir), 0);
}

/* The content of a log with the process number cut out; the caller frees. */
static char *slurp(const char *path)
{
	char *p = NULL, pid[32], *at;
	size_t len;

	ck_assert_int_eq(fs_read(path, 1u << 20, &p, &len), 0);
	snprintf(pid, sizeof pid, "[%d]", (int)getpid());
	while ((at = strstr(p, pid)) != NULL)
		memmove(at, at + strlen(pid), strlen(at + strlen(pid)) + 1);
	return p;
}

static void expect(const char *path, const char *want)
{
	char *p = slurp(path);

	ck_assert_str_eq(p, want);
	free(p);
}

START_TEST(test_lines)
{
	enter();
	ck_assert_int_eq(log_open("log", LL_INFO, "engine"), 0);
	log_msg(LL_NOTICE, "xfr", "example.com.", "serial=%d", 7);
	log_msg(LL_DEBUG, "xfr", NULL, "hidden");
	clock_words[0]++;
	log_msg(LL_ERR, "core", NULL, "a\nb\x1b[31m\x7f\tc\xc2\x9b\xc3\xa9");
	log_set_level(LL_DEBUG);
	ck_assert_int_eq(log_get_level(), LL_DEBUG);
	log_msg(LL_DEBUG, "xfr", "evil\r\n", "shown");
	expect("log", "2026-05-05T19:57:00Z notice engine xfr: example.com.: serial=7\n"
		      "2026-05-05T19:57:01Z error engine core: a?b?[31m??c\xc2?\xc3\xa9\n"
		      "2026-05-05T19:57:01Z debug engine xfr: evil??: shown\n");
	leave();
}
END_TEST

START_TEST(test_long_text)
{
	char *text = malloc(5000), *p;

	memset(text, 'x', 4999);
	text[4999] = '\0';
	enter();
	ck_assert_int_eq(log_open("log", LL_INFO, text), 0);
	log_msg(LL_INFO, text, text, "%s", text);
	p = slurp("log");
	ck_assert_uint_le(strlen(p), 1536);
	ck_assert_uint_ge(strlen(p), 1024);
	ck_assert_ptr_eq(strchr(p, '\n'), p + strlen(p) - 1);
	free(p);
	free(text);
	leave();
}
END_TEST

START_TEST(test_targets)
{
	enter();
	ck_assert_int_eq(log_open("log", LL_INFO, "a"), 0);
	ck_assert_int_eq(log_open("none/log", LL_DEBUG, "b"), ZS_EIO);
	log_msg(LL_INFO, "s", NULL, "one"); /* the old target, ident and level stay */
	log_msg(LL_DEBUG, "s", NULL, "hidden");
	ck_assert_int_eq(rename("log", "log.1"), 0);
	log_msg(LL_INFO, "s", NULL, "two");
	ck_assert_int_eq(log_reopen(), 0);
	log_msg(LL_INFO, "s", NULL, "three");
	expect("log.1", "2026-05-05T19:57:00Z info a s: one\n2026-05-05T19:57:00Z info a s: two\n");
	expect("log", "2026-05-05T19:57:00Z info a s: three\n");
	leave();
}
END_TEST

/* stderr as the journal gives it, and as it is when only the variable was inherited. */
START_TEST(test_journal)
{
	char value[64];
	struct stat st;
	int fd, saved;

	enter();
	saved = dup(STDERR_FILENO);
	fd = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	dup2(fd, STDERR_FILENO);
	fstat(fd, &st);
	snprintf(value, sizeof value, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	setenv("JOURNAL_STREAM", value, 1);
	ck_assert_int_eq(log_open("stderr", LL_INFO, "vault hsm"), 0);
	log_msg(LL_WARN, "s", "z.", "text");
	setenv("JOURNAL_STREAM", "1:2", 1);
	ck_assert_int_eq(log_open("stderr", LL_INFO, "vault hsm"), 0);
	log_msg(LL_WARN, "s", NULL, "text");
	dup2(saved, STDERR_FILENO);
	expect("log", "<4>s: z.: text\n2026-05-05T19:57:00Z warning vault hsm s: text\n");
	leave();
}
END_TEST

START_TEST(test_limited)
{
	enter();
	ck_assert_int_eq(log_open("log", LL_INFO, "e"), 0);
	for (int i = 0; i < 5; i++)
		log_limited(LL_INFO, "s", "z.", "cause", 2, "n=%d", i);
	log_limited(LL_INFO, "s", "y.", "cause", 2, "other zone");
	log_limited(LL_INFO, "s", NULL, "cause", 0, "never");
	log_limited(LL_DEBUG, "s", "y.", "cause", 2, "hidden");
	clock_words[1] += MONO_S(3599);
	log_limited(LL_INFO, "s", "z.", "cause", 2, "n=5");
	clock_words[1] += MONO_S(1);
	log_limited(LL_INFO, "s", "z.", "cause", 2, "n=6");
	log_limited(LL_INFO, "s", "z.", "cause", 2, "n=7");
	log_limited(LL_INFO, "s", "z.", "cause", 2, "n=8");
	expect("log", "2026-05-05T19:57:00Z info e s: z.: n=0\n"
		      "2026-05-05T19:57:00Z info e s: z.: n=1\n"
		      "2026-05-05T19:57:00Z info e s: y.: other zone\n"
		      "2026-05-05T19:57:00Z info e s: z.: n=6 suppressed=4\n"
		      "2026-05-05T19:57:00Z info e s: z.: n=7\n");
	leave();
}
END_TEST

/* More causes than the table holds: none is lost for good, the oldest hours give way. */
START_TEST(test_limit_table)
{
	struct log_limit *t = calloc(1, sizeof *t);
	const mono_t end = { 5000 };
	uint64_t dropped, h;
	char cause[32];

	for (int i = 0; i < 5000; i++) {
		snprintf(cause, sizeof cause, "c%d", i);
		h = log_limit_hash("s", "z", cause);
		ck_assert_int_eq(log_limit_pass(t, h, (mono_t){ i }, 1, &dropped), 1);
		ck_assert_int_eq(log_limit_pass(t, h, (mono_t){ i }, 1, &dropped), 0);
	}
	/* the newest is still there, the first is not */
	ck_assert_int_eq(log_limit_pass(t, log_limit_hash("s", "z", "c4999"), end, 1, &dropped), 0);
	ck_assert_int_eq(log_limit_pass(t, log_limit_hash("s", "z", "c0"), end, 1, &dropped), 1);
	ck_assert_uint_eq(dropped, 0);
	ck_assert_uint_ne(log_limit_hash("ab", "c", "x"), log_limit_hash("a", "bc", "x"));
	free(t);
}
END_TEST

static void *chatter(void *arg)
{
	for (int i = 0; i < 500; i++)
		log_msg(LL_INFO, "s", arg, "0123456789012345678901234567890123456789");
	return NULL;
}

START_TEST(test_threads)
{
	static const char tail[] = ": 0123456789012345678901234567890123456789\n";
	unsigned lines = 0;
	pthread_t t[4];
	char *p;

	enter();
	ck_assert_int_eq(log_open("log", LL_INFO, "e"), 0);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, chatter, (char *)"z."), 0);
	for (int i = 0; i < 100; i++)
		ck_assert_int_eq(log_reopen(), 0);
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	p = slurp("log");
	for (char *at = p, *end; (end = strchr(at, '\n')) != NULL; at = end + 1) {
		ck_assert_int_eq(strncmp(at, "2026-", 5), 0);
		ck_assert_int_eq(strncmp(end + 2 - sizeof tail, tail, sizeof tail - 1), 0);
		lines++;
	}
	ck_assert_uint_eq(lines, 2000);
	free(p);
	leave();
}
END_TEST

START_TEST(test_level_names)
{
	enum log_level l;

	for (int i = LL_ERR; i <= LL_DEBUG; i++) {
		ck_assert_int_eq(log_level_from_text(log_level_text((enum log_level)i), &l), 0);
		ck_assert_int_eq(l, i);
	}
	ck_assert_int_eq(log_level_from_text("Info", &l), ZS_EINVAL);
	ck_assert_int_eq(l, LL_DEBUG);
}
END_TEST

START_TEST(test_fake_clock)
{
	enter();
	clock_words[0] = 100;
	clock_words[1] = 7999999;
	ck_assert_int_eq(clk_wall().s, 100);
	ck_assert_int_eq(clk_mono().us, 7999999);
	ck_assert_int_eq(clk_boot(), 7);
	clock_words[0] = 50; /* also backwards */
	ck_assert_int_eq(clk_wall().s, 50);
	leave();
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_lines,
		test_long_text,
		test_targets,
		test_journal,
		test_limited,
		test_limit_table,
		test_threads,
		test_level_names,
		test_fake_clock,
	};

	return RUN_SUITE("base_log", tests);
}
