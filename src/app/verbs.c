/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The table of verbs. Names that are reserved for later work answer an error that says so. */
#include <string.h>
#include "verbs.h"

static const struct verb verbs[] = {
	{ "status", false, verb_status },
	{ "check", false, verb_check },
	{ "zone list", false, verb_zone_list },
	{ "zone status", false, verb_zone_status },
	{ "zone refresh", true, verb_zone_refresh },
	{ "zone retransfer", true, verb_zone_retransfer },
	{ "zone release", true, verb_zone_release },
	{ "zone ds", false, verb_zone_ds },
	{ "zone export", false, verb_zone_export },
	{ "zone hold", true, verb_zone_hold },
	{ "zone resign", true, verb_zone_resign },
	{ "zone serial", true, verb_zone_serial },
	{ "zone diff", false, verb_zone_diff },
	{ "zone history", false, verb_zone_history },
	{ "zone rollback", true, verb_zone_rollback },
	{ "zone purge", true, verb_zone_purge },
	{ "key list", false, verb_key_list },
	{ "hsm status", false, verb_hsm_status },
	{ "hsm test", true, verb_hsm_test },
	{ "hsm retry", true, verb_hsm_retry },
	{ "conf dump", false, verb_conf_dump },
	{ "conf reload", true, verb_conf_reload },
	{ "conf diff", false, verb_not_yet },
	{ "backup", true, verb_backup },
	{ "log level", true, verb_log_level },
	{ "log reopen", true, verb_log_reopen },
	{ "stop", true, verb_stop },
};

const struct verb *verb_find(const char *name)
{
	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(verbs[i].name, name) == 0)
			return &verbs[i];
	return NULL;
}

void verb_not_yet(struct ctl *c)
{
	ctl_fail(c, "not-yet", "the name is reserved; `zonesealctl -h` lists what this version can do",
		 "this verb does not exist yet");
}
