/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What an operator ordered and what outlives a restart: a checked text beside the generations ("orders"). A
 * serial for the next version, a hold on upstream's input, a rollback on its way, signatures to be made anew.
 * An order is in force from the moment it is given, and given back when it is carried out; who gave it is
 * answered when it is on disk (orders_writing()), or cannot be written (orders_unsaved in struct zone): then
 * it is in force all the same, and written again until that succeeds.
 */
#ifndef ZONESEAL_SRC_APP_ORDERS_H
#define ZONESEAL_SRC_APP_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

struct engine;
struct store;
struct zone;

#define ORDER_WHO 64
#define ORDER_WHY 256

struct orders {
	bool have_serial; uint32_t serial;      /* of the next version */
	bool hold; int64_t hold_since;          /* nothing of upstream is taken */
	char hold_who[ORDER_WHO], hold_why[ORDER_WHY];
	bool rolled_back;                       /* the hold is a rollback's: its end takes a full AXFR */
	uint64_t rollback;                      /* version whose content is to be published; 0: none */
	/* signatures with a lower number in the expiry index; 0: none */
	uint64_t resign_below;
};

/* Pure. ZS_EFORMAT: not such a text. */
int orders_parse(const char *text, struct orders *out);
/* Length, cap is enough with ORDERS_TEXT. */
#define ORDERS_TEXT 1024
int orders_print(const struct orders *o, char *dst, size_t cap);

/* Worker: none without a text; ZS_ECRC, ZS_EFORMAT: it is damaged, and nobody knows what was ordered. */
int orders_read(const struct store *s, struct orders *out);

/* All of the rest: loop. An order takes effect at once; its text is written behind it. */
void orders_serial(struct zone *z, uint32_t serial);
/* why: "" without a reason. */
void orders_hold(struct zone *z, const char *who, const char *why);
/* True when there was a hold. */
bool orders_release(struct zone *z);
void orders_resign(struct zone *z);
/* A round over the whole index has found so many. */
void orders_resign_round(struct zone *z, uint64_t below, uint64_t found);
/* Holds the zone too. */
void orders_rollback(struct zone *z, uint64_t version, const char *who, const char *to);
/* The one to this version is over; failed: NULL, or why: the hold stays either way. */
void orders_rolled_back(struct zone *z, uint64_t version, const char *failed);
/* A version with this serial is out. */
void orders_published(struct zone *z, uint32_t serial);
/* The zone is being closed: a text that could not be written is not tried again. */
void orders_close(struct zone *z);
/* Texts that are being written now, of all zones. z->orders_unsaved: the last try failed. */
unsigned orders_writing(const struct engine *e);

#endif
