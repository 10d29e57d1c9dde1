/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What the daemon says of itself, as JSON: for the control socket and the stats port alike. Loop only. Times
 * are RFC 3339 UTC, null when there was none yet.
 */
#ifndef ZONESEAL_SRC_APP_REPORT_H
#define ZONESEAL_SRC_APP_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <jansson.h>

struct engine;
struct keystore;
struct zone;
struct zone_key;

json_t *report_time(int64_t wall); /* 0 and INT64_MAX: null */
json_t *report_status(struct engine *e);
json_t *report_zone_brief(struct zone *z);
json_t *report_zone(struct zone *z);
json_t *report_key(const struct zone_key *k);
json_t *report_keystore(struct engine *e, struct keystore *k);
json_t *report_keystores(struct engine *e);
/* Everything: status, key stores, and each zone when `zones` says so. */
json_t *report_stats(struct engine *e, bool zones);

/* Derived values that several reports share. */
bool zone_busy(const struct zone *z);             /* something is under way or due now */
unsigned zone_alarms(const struct zone *z);       /* how many are set */
bool zone_serves(const struct zone *z);           /* there is a version and it is answered with */
int64_t zone_upstream_expire(const struct zone *z); /* wall; 0 = unknown */
int64_t zone_earliest_expiry(const struct zone *z); /* wall; 0 = no signatures */
/* When the DS may go to the parent: wall; 0 = not known yet. */
int64_t zone_ds_not_before(const struct zone *z);
bool report_per_zone(const struct engine *e);     /* stats: per-zone */
const char *report_algorithm(unsigned number);    /* mnemonic; NULL for one we do not know */
const char *report_role(unsigned use);

#define PER_ZONE_AUTO 1000 /* stats: per-zone: auto lists single zones up to this many */

#endif
