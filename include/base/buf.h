/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Bounded readers and writers over octets, integers big-endian. Errors stick: write or read straight on and
 * look at `err` once at the end. A read past the end returns zeros/NULL and sets ZS_ETRUNC; a write past the
 * end writes nothing and sets ZS_EFULL (fixed) or ZS_ENOMEM/ZS_ELIMIT (growing).
 */
#ifndef ZONESEAL_BASE_BUF_H
#define ZONESEAL_BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

struct rd {
	const uint8_t *p;
	const uint8_t *end;
	int err;
};

/* p may be NULL when len is 0. */
static inline struct rd rd_init(const void *p, size_t len)
{
	const uint8_t *b = p;

	return (struct rd){ .p = b, .end = len ? b + len : b, .err = 0 };
}
static inline size_t rd_left(const struct rd *r) { return (size_t)(r->end - r->p); }
uint8_t rd_u8(struct rd *r);
uint16_t rd_u16(struct rd *r);
uint32_t rd_u32(struct rd *r);
uint64_t rd_u64(struct rd *r);
/* len octets in place, borrowed from the input; NULL (and err) when there are fewer. len 0: non-NULL. */
const uint8_t *rd_bytes(struct rd *r, size_t len);
/* 0 when everything was read without error; ZS_EFORMAT when octets are left over; else the sticky error. */
int rd_done(const struct rd *r);

struct wr {
	uint8_t *p;
	size_t len;
	size_t cap;
	size_t max; /* growing: the bound; fixed: 0 */
	int err;
};

static inline struct wr wr_fixed(void *p, size_t cap)
{
	return (struct wr){ .p = p, .len = 0, .cap = cap, .max = 0, .err = 0 };
}
/* Grows on the heap up to max octets; release with wr_free(). */
static inline struct wr wr_growing(size_t max)
{
	return (struct wr){ .p = 0, .len = 0, .cap = 0, .max = max, .err = 0 };
}
void wr_free(struct wr *w); /* only for growing writers; leaves it empty and usable */
void wr_u8(struct wr *w, uint8_t v);
void wr_u16(struct wr *w, uint16_t v);
void wr_u32(struct wr *w, uint32_t v);
void wr_u64(struct wr *w, uint64_t v);
void wr_bytes(struct wr *w, const void *p, size_t len);
/* Text without the final NUL. A piece of WR_TEXT octets or more is not written: ZS_ELIMIT. */
#define WR_TEXT 2048
void wr_printf(struct wr *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Makes room for len octets and returns where to put them; NULL and err when there is none. */
uint8_t *wr_space(struct wr *w, size_t len);
/* Overwrites two or four octets written before; at + size <= len. */
void wr_put_u16(struct wr *w, size_t at, uint16_t v);
void wr_put_u32(struct wr *w, size_t at, uint32_t v);

/* Big-endian loads and stores on plain octets. */
static inline uint16_t be16(const uint8_t *p) { return (uint16_t)(p[0] << 8 | p[1]); }
static inline uint32_t be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}
static inline uint64_t be64(const uint8_t *p) { return (uint64_t)be32(p) << 32 | be32(p + 4); }
static inline void put_be16(uint8_t *p, uint16_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}
static inline void put_be32(uint8_t *p, uint32_t v)
{
	put_be16(p, (uint16_t)(v >> 16));
	put_be16(p + 2, (uint16_t)v);
}
static inline void put_be64(uint8_t *p, uint64_t v)
{
	put_be32(p, (uint32_t)(v >> 32));
	put_be32(p + 4, (uint32_t)v);
}

#endif
