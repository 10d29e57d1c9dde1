/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How zonesealctl shows the answers of each verb to people. `answer` is the merged data of all frames. */
#ifndef ZONESEAL_SRC_APP_CTLSHOW_H
#define ZONESEAL_SRC_APP_CTLSHOW_H

#include <jansson.h>

void show_status(json_t *answer);
void show_zone_list(json_t *answer);
void show_zone_status(json_t *answer);
void show_results(json_t *answer);
void show_ds(json_t *answer);
void show_keys(json_t *answer);
void show_keystores(json_t *answer);
void show_message(json_t *answer);
void show_level(json_t *answer);
void show_check(json_t *answer);
void show_backup(json_t *answer);
/* On a terminal, one line that is overwritten; NULL: no more of it. */
void show_progress(json_t *progress);
void show_history(json_t *answer);
void show_purge(json_t *answer);
void show_warnings(json_t *answer);
/* "errors" of an answer, on stderr. */
void show_errors(json_t *answer);

const char *show_text(json_t *o, const char *key); /* "" when there is none */

#endif
