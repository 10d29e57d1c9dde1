/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * --wait: the daemon is asked again and again until nothing is under way for the zones of an order. A zone is
 * done when it is idle with a published version and without an alarm; with an alarm it has failed, because
 * somebody is needed.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "base/err.h"
#include "ctlconn.h"
#include "ctlshow.h"
#include "zonesealctl.h"

#define POLL_MS 300
#define GONE_TRIES 100

static void nap(void)
{
	struct timespec ts = { .tv_nsec = POLL_MS * 1000000L };

	nanosleep(&ts, NULL);
}

/* A hold that somebody ordered is no failure of what was ordered beside it. */
static bool failed(json_t *z)
{
	json_t *alarms = json_object_get(z, "alarms"), *a;
	bool on_hold = json_is_true(json_object_get(z, "hold"));
	size_t i;

	if (!json_is_true(json_object_get(z, "served")) || json_is_true(json_object_get(z, "order_failed")))
		return true;
	json_array_foreach(alarms, i, a)
		if (!on_hold || strcmp(json_string_value(a), "held") != 0)
			return true;
	return false;
}

static size_t count_busy(json_t *zones, json_t **example)
{
	size_t i, n = 0;
	json_t *z;

	json_array_foreach(zones, i, z)
		if (json_is_true(json_object_get(z, "busy"))) {
			*example = z;
			n++;
		}
	return n;
}

static void progress(size_t busy, size_t all, json_t *example)
{
	json_t *sign;

	if (!isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	if (busy)
		fprintf(stderr, "%zu of %zu zones: %.100s %.20s", busy, all, show_text(example, "zone"),
			show_text(example, "state"));
	sign = json_object_get(example, "resign");
	if (busy && json_is_object(sign))
		fprintf(stderr, ", signed anew %lld of %lld",
			(long long)json_integer_value(json_object_get(sign, "done")),
			(long long)json_integer_value(json_object_get(sign, "of")));
}

/* What became of each zone. */
static int outcome(const struct options *o, json_t *data, int code)
{
	json_t *zones = json_object_get(data, "zones"), *z;
	size_t i, bad = 0;

	json_array_foreach(zones, i, z)
		bad += failed(z);
	if (o->json) {
		json_dumpf(data, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		show_zone_list(data);
	}
	if (bad == 0)
		return code;
	return bad == json_array_size(zones) ? EXIT_FAILED : EXIT_PARTLY;
}

int wait_zones(const struct options *o, int fd, json_t *args, int code)
{
	struct options plain = { .json = false };

	for (;;) {
		struct answer a = { .data = answer_data() };
		json_t *zones, *example = NULL;
		size_t busy;
		int err = conn_send(fd, "zone list", json_incref(args));

		if (!err)
			err = answer_read(&plain, fd, &a);
		if (err || a.error) {
			progress(0, 0, NULL);
			fprintf(stderr, "zonesealctl: waiting ended: %s\n",
				err ? zs_strerror(err) : show_text(a.error, "message"));
			answer_clear(&a);
			return EXIT_FAILED;
		}
		zones = json_object_get(a.data, "zones");
		busy = count_busy(zones, &example);
		progress(busy, json_array_size(zones), example);
		if (busy == 0) {
			code = outcome(o, a.data, code);
			answer_clear(&a);
			return code;
		}
		answer_clear(&a);
		nap();
	}
}

int wait_gone(const struct options *o)
{
	for (int i = 0; i < GONE_TRIES; i++) {
		int fd = conn_open(o->socket);

		if (fd < 0)
			return 0;
		close(fd);
		nap();
	}
	fprintf(stderr, "zonesealctl: the daemon is still there\n");
	return EXIT_FAILED;
}
