/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Shared by splice.c (names and records) and splice_chain.c (records of the chain). */
#ifndef ZONESEAL_SEAL_SPLICE_IMPL_H
#define ZONESEAL_SEAL_SPLICE_IMPL_H

#include "base/buf.h"
#include "seal/splice.h"

#define CHAIN_RDATA_MAX (NAME_MAX_WIRE + BITMAP_MAX)

/* A record of before's chain, copied out. */
struct splice_old {
	uint8_t rdata[CHAIN_RDATA_MAX];
	uint16_t len;
	size_t head; /* octets before the next name, and */
	size_t map; /* before the bitmap */
	uint8_t src[OKEY_MAX]; /* order key of its name */
	size_t src_len;
};

struct splice {
	const struct denial_params *p;
	const struct splice_ops *ops;
	struct splice_sums *sums;
	size_t limit;
	uint8_t apex[OKEY_MAX];
	size_t apex_len;
	struct kv *before, *after;
	struct kvmem *name_mem, *mark_mem;
	struct kv *names; /* order key -> changed types, big-endian, ascending */
	struct kv *marks, *look; /* DENIAL key -> splice_chain.c's */
	struct nsec3_ctx *hash;
	struct chain_name was, is, other;
	struct wr changed, types; /* of the name in hand */
	uint8_t bitmap[BITMAP_MAX];
	uint8_t rdata[CHAIN_RDATA_MAX];
	struct splice_old old;
	uint8_t first[KEY_MAX + 1]; /* of the chain in `after` */
	size_t first_len;
};

int splice_chain_open(struct splice *s);
void splice_chain_close(struct splice *s);
/* What became of a name: wanted = it is in the chain of `after`, with the types of n. */
int splice_chain_name(struct splice *s, const struct chain_name *n, bool wanted);
/* When all names are told: the chain() and chain_gone() calls. */
int splice_chain_emit(struct splice *s);

#endif
