/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory of a held input: a small checked text beside the generations ("held"), so that a held upstream
 * serial is not fetched again after a restart. Fetched again only when the serial, the zone's config or an
 * order changes.
 */
#ifndef ZONESEAL_SRC_APP_HELD_H
#define ZONESEAL_SRC_APP_HELD_H

#include "zone.h"

struct held { bool set; uint32_t serial; uint32_t conf; char reason[512]; };

/* What of the config decides about inputs, as a number. */
uint32_t held_conf(const struct conf_zone *c);
/* Worker: reads the text; set is false without one or when it is damaged. */
void held_read(const struct store *s, struct held *out);
/* Loop: remembers (or with set false forgets), in memory now, on disk by a worker. */
void held_set(struct zone *z, const struct held *h);

#endif
