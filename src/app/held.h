/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The memory of the upstream serial that is not taken: a small checked text beside the generations ("held").
 * A held or over-limit serial is fetched again only when the serial, the zone's config or an order changes. A
 * vetoed one is tried again with back-off as well, counted on from here: a restart is neither another try nor
 * the end of the alarm. There is one memory: whatever is judged next takes the place of what was.
 */
#ifndef ZONESEAL_SRC_APP_HELD_H
#define ZONESEAL_SRC_APP_HELD_H

#include "transfer.h"

struct held {
	bool set;
	uint32_t serial, conf;
	/* by the gate: how often, and the wall second of the next try; 0: held, there is none */
	unsigned vetoes;
	int64_t retry;
	char reason[512];
};

/* What of the config decides about inputs, and where they come from, as a number. */
uint32_t held_conf(const struct conf_zone *c);
/* Worker: reads the text; set is false without one or when it is damaged. */
void held_read(const struct store *s, struct held *out);
/* Loop: remembers (or with set false forgets), in memory now, on disk by a worker. */
void held_set(struct zone *z, const struct held *h);
/* Loop: what the gate found in the version made of this upstream serial; sets the alarm and the next try.
 * passes: by what is known now that will be right, so that a release holds for it, too. */
void held_veto(struct zone *z, uint32_t serial, const char *finding, bool passes);
/* Loop: sets the alarm of what is remembered, and clears that of the other kind. */
void held_alarm(struct zone *z);
/* Loop: is this serial left alone for now? */
bool held_stops(const struct zone *z, uint32_t serial);
/* Loop: seconds to the next try of a vetoed serial; INT64_MAX when none is remembered. */
int64_t held_wait(const struct zone *z);
/* Loop: an order: a vetoed serial is tried at once. */
void held_ordered(struct zone *z);
/* Loop: this one is not taken, and if it was ordered, the order is carried out. */
void held_transfer(struct zone *z, const struct transfer *t);
/* Loop: this input is held: counted, remembered, alarmed. */
void held_input(struct zone *z, const struct transfer *t, const char *reason);

#endif
