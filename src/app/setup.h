/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Making a struct setup (engine.h) from the bundle that the parent sent. */
#ifndef ZONESEAL_SRC_APP_SETUP_H
#define ZONESEAL_SRC_APP_SETUP_H

#include "engine.h"

/* refs 1. ZS_ECONFIG is logged with its errors. */
int setup_new(const void *packed, size_t len, struct setup **out);

#endif
