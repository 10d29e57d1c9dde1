/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How far apart many zones ask when all of them would at the same moment, after a start or a reload: 200 of
 * them a second, that sockets and peers bear them.
 */
#ifndef ZONESEAL_SRC_APP_PACE_H
#define ZONESEAL_SRC_APP_PACE_H

#include <stddef.h>
#include "base/clk.h"

#define PACE_ZONES 100  /* so many at once are no burst */
#define PACE_US 5000

/* Those that go first, one behind the other; zero: nobody went yet. */
struct pace { mono_t next; };

/* Microseconds until the turn of one more. One that is due before, maybe at a turn that it has already, takes
 * none: `due`, in microseconds, INT64_MAX: never. */
int64_t pace_take(struct pace *p, mono_t now, int64_t due);
/* Of a zone among so many that wait: anywhere in the time that all of them take. r: random. */
int64_t pace_spread(size_t zones, uint64_t r);

#endif
