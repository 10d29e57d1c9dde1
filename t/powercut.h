/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What a power cut may leave behind: a trace of crashshim.h is replayed up to some record, and what was not
 * synced by then is lost, kept or torn. The traced directory was empty at the start.
 */
#ifndef ZONESEAL_T_POWERCUT_H
#define ZONESEAL_T_POWERCUT_H

#include <stddef.h>
#include <stdint.h>

enum cut {
	CUT_LOSE,      /* everything that was not synced is gone */
	CUT_KEEP,      /* nothing is lost: a killed process */
	CUT_NAMES,     /* names are kept, data is lost */
	CUT_DATA,      /* data is kept, names are lost */
	CUT_TORN_512,  /* any subset, writes torn at sectors */
	CUT_TORN_4096, /* any subset, writes torn at pages */
	CUTS
};

struct powercut;
struct powercut *powercut_load(const char *trace);
void powercut_free(struct powercut *p);
size_t powercut_records(const struct powercut *p);
/* The last b of the notes (a, b) before record upto; 0: none. */
uint64_t powercut_note(const struct powercut *p, size_t upto, uint64_t a);
/* Writes the directory as it may be found after the first `upto` records. out must not exist. */
void powercut_image(const struct powercut *p, size_t upto, enum cut how, uint64_t seed, const char *out);

#endif
