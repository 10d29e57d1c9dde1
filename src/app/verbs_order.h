/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What the verbs that give durable orders share. Loop, but for the struct. */
#ifndef ZONESEAL_SRC_APP_VERBS_ORDER_H
#define ZONESEAL_SRC_APP_VERBS_ORDER_H

#include "verbs.h"

/* A version in the history of a zone. */
struct point { uint64_t version; uint32_t serial, upstream; int64_t time; };

/* NULL, or why no version can be ordered of this zone now. */
const char *order_refused(const struct zone *z);
/* Is every order on disk? If not, the request is resumed to ask again. */
bool verb_settled(struct ctl *c, struct timer *t);
/* Settled, but not all on disk: the request has failed. */
bool verb_unsaved(struct ctl *c);

#endif
