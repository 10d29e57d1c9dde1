/* SPDX-License-Identifier: GPL-3.0-or-later */
/* How a sound zone of the gate's tests is spoiled: taking things out, putting others in, signing again. */
#ifndef ZONESEAL_T_GATE_SPOIL_H
#define ZONESEAL_T_GATE_SPOIL_H

#include <stdio.h>
#include <stdlib.h>
#include "gate_fault.h"

#define MUST(x) \
	do { if (!(x)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x); abort(); } } while (0)
#define APEX "zone.example."

static inline void store(struct fx *f) { tv_store(f->z, f->m, f->v); }
struct tv *rec(struct fx *f, const char *owner, uint16_t type);
struct tv *den(struct fx *f, const char *owner);
void resign(struct fx *f);
void del_rec(struct fx *f, const char *owner, uint16_t type);
void del_den(struct fx *f, const char *owner);
struct tv *fresh(struct fx *f, const char *owner, uint16_t type, uint32_t ttl, const char *data);
size_t map_at(const struct fx *f, const struct tv *v);
void flip_type(struct fx *f, unsigned type);
size_t next_of(struct fx *f, const struct kv_item *it, uint8_t *out);
void set_next(struct fx *f, const uint8_t *next, size_t len);
void relink(struct fx *f);
void add_ghost(struct fx *f, const char *owner);
void put_raw(struct fx *f, const uint8_t *key, size_t klen, const uint8_t *val, size_t vlen);
void poke(struct fx *f, const uint8_t *key, size_t klen, size_t at, uint8_t by, bool crc);
void rebuild(struct fx *f, uint8_t stale_table);
void override(struct fx *f);

#endif
