/* SPDX-License-Identifier: GPL-3.0-or-later */
/* `zone status` for people: one block a zone, empty parts left out. */
#include <stdio.h>
#include <string.h>
#include "ctlshow.h"
#include "ctltable.h"

static void line(const char *name, const char *text)
{
	if (!*text)
		return;
	printf("  %-12s ", name);
	put_safe(stdout, text);
	putchar('\n');
}

static const char *number(json_t *o, const char *key, char buf[static 32])
{
	json_t *v = json_object_get(o, key);

	if (json_is_integer(v))
		snprintf(buf, 32, "%lld", (long long)json_integer_value(v));
	else
		strcpy(buf, "-");
	return buf;
}

static void secondaries(json_t *z)
{
	char serial[32];
	json_t *s;
	size_t i;

	json_array_foreach(json_object_get(z, "secondaries"), i, s) {
		printf("  %-12s ", "secondary");
		put_safe(stdout, show_text(s, "name"));
		printf(" serial %s", number(s, "serial", serial));
		if (*show_text(s, "seen"))
			printf(", seen %s", show_text(s, "seen"));
		else
			printf(", %s",
			       json_is_true(json_object_get(s, "watched")) ? "not seen yet" : "not watched");
		putchar('\n');
	}
}

static void alarms(json_t *z)
{
	json_t *a;
	size_t i;

	json_array_foreach(json_object_get(z, "alarms"), i, a) {
		printf("  %-12s %s since %s: ", "ALARM", show_text(a, "alarm"), show_text(a, "since"));
		put_safe(stdout, show_text(a, "reason"));
		putchar('\n');
	}
}

static void keys(json_t *z)
{
	char tag[32];
	json_t *k;
	size_t i;

	json_array_foreach(json_object_get(z, "keys"), i, k)
		printf("  %-12s %s %s %s %s in %s\n", "key", number(k, "tag", tag), show_text(k, "role"),
		       show_text(k, "mnemonic"), show_text(k, "state"), show_text(k, "keystore"));
}

static void version(json_t *z)
{
	json_t *v = json_object_get(z, "version");
	char n[32], r[32], s[32];

	if (!json_is_object(v)) {
		line("version", "none yet");
		return;
	}
	printf("  %-12s %s: %s records, %s signatures, denial %s\n", "version", number(v, "number", n),
	       number(v, "records", r), number(v, "signatures", s), show_text(v, "denial"));
	line("transferred", show_text(v, "transferred"));
	line("signed", show_text(v, "signed_at"));
	line("published", show_text(v, "published"));
	line("valid until", show_text(v, "earliest_expiry"));
	line("next refresh", show_text(v, "next_refresh"));
}

static void held(json_t *z)
{
	json_t *h = json_object_get(z, "held");
	char serial[32];

	if (!json_is_object(h))
		return;
	printf("  %-12s serial %s: ", "HELD", number(h, "serial", serial));
	put_safe(stdout, show_text(h, "reason"));
	printf("\n  %-12s take it with: zonesealctl zone release ", "");
	put_safe(stdout, show_text(z, "zone"));
	if (json_is_integer(json_object_get(h, "serial")))
		printf(" %s", serial);
	putchar('\n');
}

static void damage(json_t *z)
{
	json_t *d = json_object_get(z, "damage");

	if (!json_is_object(d))
		return;
	printf("  %-12s found %s, ", "damage", show_text(d, "found"));
	put_safe(stdout, show_text(d, "reason"));
	if (*show_text(d, "kept_as")) {
		printf(", kept as ");
		put_safe(stdout, show_text(d, "kept_as"));
	}
	putchar('\n');
}

static void renewal(json_t *z)
{
	json_t *r = json_object_get(z, "renewal");
	char n[32];

	if (json_is_object(r))
		printf("  %-12s the generation takes no version, it is copied into a new one; tries: %s\n",
		       "renewal", number(r, "tries", n));
}

static void sweep(json_t *z)
{
	json_t *s = json_object_get(z, "sweep");
	char n[32];

	if (!json_is_object(s))
		return;
	printf("  %-12s last round %s", "sweep",
	       *show_text(s, "last_round") ? show_text(s, "last_round") : "not yet");
	if (*show_text(s, "round_began"))
		printf(", this one %s %% since %s", number(s, "progress", n), show_text(s, "round_began"));
	printf(", %s findings\n", number(s, "findings", n));
	if (!*show_text(s, "found"))
		return;
	printf("  %-12s found %s: ", "", show_text(s, "found"));
	put_safe(stdout, show_text(s, "finding"));
	putchar('\n');
}

static void building(json_t *z)
{
	json_t *b = json_object_get(z, "building");
	char serial[32], rrsets[32];

	if (!json_is_object(b))
		return;
	printf("  %-12s %s since %s: %s, %s RRsets, of upstream's %s; changes %s\n", "building",
	       show_text(b, "denial"), show_text(b, "since"), show_text(b, "stage"),
	       number(b, "rrsets", rrsets),
	       number(b, "upstream_serial", serial),
	       json_is_true(json_object_get(b, "changes_wait")) ? "wait for its end" : "go on");
}

static void vetoed(json_t *z)
{
	json_t *v = json_object_get(z, "vetoed");
	char serial[32], times[32];

	if (!json_is_object(v))
		return;
	printf("  %-12s serial %s, %s times; tried again %s\n", "VETOED", number(v, "serial", serial),
	       number(v, "times", times), show_text(v, "next_try"));
	printf("  %-12s try it now with: zonesealctl zone release ", "");
	put_safe(stdout, show_text(z, "zone"));
	printf(" %s\n", serial);
}

static void made(json_t *z)
{
	json_t *c = json_object_get(z, "counters"), *m = json_object_get(c, "signatures_made"), *v;
	char kept[32], ok[32], failed[32];
	const char *key;

	printf("  %-12s", "signatures");
	json_object_foreach(m, key, v)
		printf(" %lld %s,", (long long)json_integer_value(v), key);
	printf(" %s kept; transfers %s ok, %s failed\n", number(c, "signatures_kept", kept),
	       number(c, "transfers_ok", ok), number(c, "transfers_failed", failed));
}

static void one(json_t *z)
{
	json_t *up = json_object_get(z, "upstream");
	char a[32], b[32], text[256];

	put_safe(stdout, show_text(z, "zone"));
	putchar('\n');
	snprintf(text, sizeof(text), "%s since %s, %s", show_text(z, "state"), show_text(z, "since"),
		 json_is_true(json_object_get(z, "served")) ? "served" : "not served");
	line("state", text);
	snprintf(text, sizeof(text), "upstream %s, signed %s", number(z, "upstream_serial", a),
		 number(z, "signed_serial", b));
	line("serials", text);
	secondaries(z);
	alarms(z);
	held(z);
	damage(z);
	renewal(z);
	sweep(z);
	vetoed(z);
	line("policy", show_text(z, "policy"));
	version(z);
	building(z);
	line("last check", show_text(up, "last_check"));
	line("next check", show_text(up, "next_check"));
	line("expires", show_text(up, "expire"));
	line("served until", show_text(up, "serve_end"));
	keys(z);
	line("DS not before", show_text(z, "ds_not_before"));
	made(z);
}

void show_zone_status(json_t *answer)
{
	json_t *z;
	size_t i;

	json_array_foreach(json_object_get(answer, "zones"), i, z) {
		if (i)
			putchar('\n');
		one(z);
	}
}
