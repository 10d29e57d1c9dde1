/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Answers for people: tables and short blocks on stdout, what went wrong on stderr.
 * The zone status: ctlshow_zone.c. */
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "ctlshow.h"
#include "ctltable.h"

const char *show_text(json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void cell_number(struct table *t, json_t *o, const char *key)
{
	json_t *v = json_object_get(o, key);
	char text[32] = "";

	if (json_is_integer(v))
		snprintf(text, sizeof(text), "%lld", (long long)json_integer_value(v));
	table_cell(t, text);
}

static void join(char *dst, size_t cap, json_t *list)
{
	json_t *v;
	size_t i, n = 0;

	dst[0] = 0;
	json_array_foreach(list, i, v)
		if (json_is_string(v) && n < cap)
			n += (size_t)snprintf(dst + n, cap - n, "%s%s", i ? "," : "", json_string_value(v));
}

void show_zone_list(json_t *answer)
{
	static const char *const heads[] = { "ZONE",        "STATE",  ">UPSTREAM", ">SIGNED", ">RECORDS",
					     "VALID UNTIL", "POLICY", "ALARMS",    NULL };
	struct table *t = table_new(heads);
	char text[256];
	json_t *z;
	size_t i;

	json_array_foreach(json_object_get(answer, "zones"), i, z) {
		table_cell(t, show_text(z, "zone"));
		table_cell(t, show_text(z, "state"));
		cell_number(t, z, "upstream_serial");
		cell_number(t, z, "signed_serial");
		cell_number(t, z, "records");
		table_cell(t, show_text(z, "earliest_expiry"));
		table_cell(t, show_text(z, "policy"));
		join(text, sizeof(text), json_object_get(z, "alarms"));
		table_cell(t, text);
	}
	table_print(t, stdout);
	table_free(t);
}

void show_keys(json_t *answer)
{
	static const char *const heads[] = { "ZONE",      ">TAG",    "ROLE", "ALGORITHM", "STATE",
					     "KEY STORE", "CREATED", "ID",   NULL };
	struct table *t = table_new(heads);
	json_t *z, *k;
	size_t i, j;

	json_array_foreach(json_object_get(answer, "zones"), i, z)
		json_array_foreach(json_object_get(z, "keys"), j, k) {
			table_cell(t, show_text(z, "zone"));
			cell_number(t, k, "tag");
			table_cell(t, show_text(k, "role"));
			table_cell(t, show_text(k, "mnemonic"));
			table_cell(t, show_text(k, "state"));
			table_cell(t, show_text(k, "keystore"));
			table_cell(t, show_text(k, "created"));
			table_cell(t, show_text(k, "id"));
		}
	table_print(t, stdout);
	table_free(t);
}

void show_keystores(json_t *answer)
{
	static const char *const heads[] = { "KEY STORE", "BACKEND", "UP",        ">SESSIONS", ">QUEUED",
					     ">SIGNED",   ">FAILED", ">RESTARTS", "STATE",     NULL };
	struct table *t = table_new(heads);
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(answer, "keystores"), i, k) {
		table_cell(t, show_text(k, "keystore"));
		table_cell(t, show_text(k, "backend"));
		table_cell(t, json_is_true(json_object_get(k, "up")) ? "yes" : "no");
		cell_number(t, k, "sessions");
		cell_number(t, k, "queued");
		cell_number(t, k, "signed");
		cell_number(t, k, "failed");
		cell_number(t, k, "restarts");
		table_cell(t, show_text(k, "state"));
	}
	table_print(t, stdout);
	table_free(t);
}

void show_status(json_t *answer)
{
	json_t *zones = json_object_get(answer, "zones"), *v;
	const char *key;

	printf("version   %s\nstarted   %s\n", show_text(answer, "version"), show_text(answer, "started"));
	printf("zones     %lld configured, %lld served, %lld with alarms\n",
	       (long long)json_integer_value(json_object_get(zones, "configured")),
	       (long long)json_integer_value(json_object_get(zones, "served")),
	       (long long)json_integer_value(json_object_get(zones, "alarmed")));
	json_object_foreach(json_object_get(zones, "states"), key, v)
		if (json_integer_value(v))
			printf("          %lld %s\n", (long long)json_integer_value(v), key);
	json_object_foreach(json_object_get(zones, "alarms"), key, v)
		if (json_integer_value(v))
			printf("alarm     %lld %s\n", (long long)json_integer_value(v), key);
	if (*show_text(answer, "clock_fault"))
		printf("clock     %s: nothing is signed\n", show_text(answer, "clock_fault"));
	v = json_object_get(answer, "server");
	printf("transfers %lld in, %lld out running\n",
	       (long long)json_integer_value(json_object_get(answer, "transfers_in_running")),
	       (long long)json_integer_value(json_object_get(v, "transfers_out_running")));
	printf("log       %s\n\n", show_text(answer, "log_level"));
	show_keystores(answer);
}

void show_results(json_t *answer)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(answer, "results"), i, r) {
		FILE *f = json_is_true(json_object_get(r, "accepted")) ? stdout : stderr;

		put_safe(f, show_text(r, "zone"));
		fputs(": ", f);
		put_safe(f, show_text(r, "message"));
		fputc('\n', f);
	}
}

void show_ds(json_t *answer)
{
	json_t *z, *d;
	size_t i, j;

	json_array_foreach(json_object_get(answer, "zones"), i, z) {
		const char *warning = show_text(z, "warning"), *at = show_text(z, "not_before");

		if (*warning) {
			fprintf(stderr, "zonesealctl: ");
			put_safe(stderr, show_text(z, "zone"));
			fprintf(stderr, ": %s%s%s\n", *at ? at : "", *at ? ": " : "", warning);
		}
		json_array_foreach(json_object_get(z, "ds"), j, d) {
			put_safe(stdout, show_text(d, "record"));
			putchar('\n');
		}
	}
}

void show_message(json_t *answer)
{
	put_safe(stdout, show_text(answer, "keystore"));
	printf(": ");
	put_safe(stdout, show_text(answer, "message"));
	putchar('\n');
}

static long long number(json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

void show_progress(json_t *progress)
{
	static const char wipe[] = "\r\033[K";

	if (!isatty(STDERR_FILENO))
		return;
	fputs(wipe, stderr);
	if (!progress)
		return;
	put_safe(stderr, show_text(progress, "phase"));
	fprintf(stderr, ": %lld of %lld zones, %lld MiB", number(progress, "zones"), number(progress, "of"),
		number(progress, "octets") >> 20);
	fflush(stderr);
}

void show_backup(json_t *answer)
{
	put_safe(stdout, show_text(answer, "directory"));
	printf(": %lld zones, %lld MiB, %lld key files", number(answer, "zones"),
	       number(answer, "octets") >> 20, number(answer, "keys"));
	if (number(answer, "empty"))
		printf("; %lld zones without a version yet", number(answer, "empty"));
	if (number(answer, "failed"))
		printf("; %lld zones are NOT in it", number(answer, "failed"));
	putchar('\n');
}

void show_level(json_t *answer)
{
	puts(show_text(answer, "level"));
}

void show_warnings(json_t *answer)
{
	put_safe(stderr, show_text(answer, "warnings"));
}

void show_check(json_t *answer)
{
	json_t *perf = json_object_get(answer, "perf"), *run = json_object_get(perf, "runway");
	const char *crit = show_text(answer, "critical"), *warn = show_text(answer, "warning");
	long long zones = (long long)json_integer_value(json_object_get(perf, "zones"));

	printf("ZONESEAL %s - ", show_text(answer, "status"));
	if (*crit || *warn) {
		put_safe(stdout, crit);
		printf("%s", *crit && *warn ? "; " : "");
		put_safe(stdout, warn);
	} else {
		printf("%lld zones", zones);
	}
	printf(" | zones=%lld critical=%lld warning=%lld", zones,
	       (long long)json_integer_value(json_object_get(perf, "critical")),
	       (long long)json_integer_value(json_object_get(perf, "warning")));
	if (json_is_integer(run))
		printf(" runway=%llds", (long long)json_integer_value(run));
	putchar('\n');
}

void show_errors(json_t *answer)
{
	json_t *r;
	size_t i;

	json_array_foreach(json_object_get(answer, "errors"), i, r) {
		fprintf(stderr, "zonesealctl: ");
		put_safe(stderr, show_text(r, "zone"));
		fprintf(stderr, ": ");
		put_safe(stderr, show_text(r, "message"));
		fputc('\n', stderr);
	}
}

static void cell_of(struct table *t, json_t *o, const char *key)
{
	if (json_object_get(o, key))
		cell_number(t, o, key);
	else
		table_cell(t, NULL);
}

void show_history(json_t *answer)
{
	static const char *const heads[] = { ">VERSION", ">SERIAL", ">UPSTREAM", "TIME", "KIND", ">REMOVED",
					     ">ADDED", ">OCTETS", ">FROM UPSTREAM -", ">+", NULL };
	struct table *t = table_new(heads);
	json_t *v;
	size_t i;

	if (!t)
		return;
	json_array_foreach(json_object_get(answer, "versions"), i, v) {
		cell_number(t, v, "version");
		cell_number(t, v, "signed_serial");
		cell_number(t, v, "upstream_serial");
		table_cell(t, show_text(v, "time"));
		table_cell(t, show_text(v, "kind"));
		cell_of(t, v, "removed");
		cell_of(t, v, "added");
		cell_of(t, v, "octets");
		cell_of(t, v, "upstream_removed");
		cell_of(t, v, "upstream_added");
	}
	table_print(t, stdout);
	table_free(t);
}

void show_purge(json_t *answer)
{
	bool forgotten = json_is_true(json_object_get(answer, "forgotten"));
	json_t *k;
	size_t i;

	put_safe(stdout, show_text(answer, "zone"));
	printf(": %s\n", json_is_true(json_object_get(answer, "files")) ? "its files are removed"
									: "it had no files");
	json_array_foreach(json_object_get(answer, "keys"), i, k) {
		printf("key %s (%s) is left in key store ", show_text(k, "id"), show_text(k, "role"));
		put_safe(stdout, show_text(k, "keystore"));
		puts(forgotten ? ", the register forgot it" : "; --keys makes the register forget it");
	}
}
