/* SPDX-License-Identifier: GPL-3.0-or-later */
/* All zoneseal_* metrics of the engine. Loop only; process_* are the HTTP thread's (mtext_process()). */
#ifndef ZONESEAL_SRC_APP_METRICS_H
#define ZONESEAL_SRC_APP_METRICS_H

struct engine;
struct mtext;

void metrics_render(struct engine *e, struct mtext *m);
void metrics_zones(struct engine *e, struct mtext *m); /* metrics_zone.c: what each zone has */

#endif
