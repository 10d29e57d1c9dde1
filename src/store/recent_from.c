/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * How many changes of a version are enough to be written aside (recent.c), in a file of its own: daemons of
 * tests are linked with another number (t/recent_few.c), so that small zones go that way, too.
 */
#include "priv.h"

const unsigned store_recent_from = 128; /* below that the pages are few */
