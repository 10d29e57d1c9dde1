/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which zone brought the engine down. A page shared with the parent; each engine thread notes the zone it
 * works for, and the fault handler (SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL) writes the faulting thread's
 * into the page before the process dies. Two marks within an hour quarantine that zone: served as stored, no
 * jobs, until a new upstream serial or `zone release`.
 */
#ifndef ZONESEAL_SRC_APP_FAULTMARK_H
#define ZONESEAL_SRC_APP_FAULTMARK_H

#include <stdbool.h>
#include <stdint.h>
#include "base/clk.h"

#define FAULT_WINDOW_S 3600
#define FAULT_MARKS 64

/* --- engine */
/* Maps the parent's page and sets the handlers; fd is taken. 0 or zs_err (then nothing is marked). */
int fault_attach(int fd);
/* The calling thread works for this zone (wire, lower case); NULL: for none. Cheap. */
void fault_zone(const uint8_t *zone);

/* --- parent */
struct fault_page;
struct fault_log { uint64_t zone[FAULT_MARKS]; mono_t at[FAULT_MARKS]; unsigned n; };
/* A fresh page for a new engine: *fd to pass on. NULL when it cannot be made. */
struct fault_page *fault_page_new(int *fd);
/* After the engine's death: its mark goes to the log. True when that zone has had two within the window. */
bool fault_collect(struct fault_page *p, struct fault_log *log, mono_t now, uint64_t *zone);
void fault_page_free(struct fault_page *p); /* NULL is legal */

/* How a zone is called in page and messages. */
uint64_t fault_id(const uint8_t *zone);

#endif
