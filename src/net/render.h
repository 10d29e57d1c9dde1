/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A transfer as octets: length-prefixed, signed messages out of one snapshot or one difference, in blocks. No
 * socket and no loop: a worker calls it, one at a time for each transfer.
 */
#ifndef ZONESEAL_NET_RENDER_H
#define ZONESEAL_NET_RENDER_H

#include "answer.h"

#define RENDER_BLOCK (256u << 10) /* a block ends with the message that passes this */
#define RENDER_MESSAGE 16384      /* pointers reach no farther; a larger record gets a message of its own */

struct render_block {
	struct render_block *next;
	void *owner; /* of the caller */
	size_t len;
	uint64_t records;
	uint16_t type; /* T_AXFR or T_IXFR: what it is a part of */
	bool last;
	uint8_t data[];
};

struct render;
/* Takes what x holds on success. ZS_ENOMEM. */
int render_new(struct xfr_request *x, struct render **out);
/* Worker: opens the difference, or the snapshot. ZS_EAGAIN: try again soon; ZS_ESTALE: it is not the
 * published version. */
int render_open(struct render *r);
bool render_is_open(const struct render *r);
/* Worker: the next block (free()). ZS_EFORMAT, ZS_ECRC, ... end the transfer. */
int render_next(struct render *r, struct render_block **out);
/* Worker: gives snapshot and difference back; the version is still referenced. */
void render_close(struct render *r);
/* Worker: gives the version back too, after which render_request()->pub is NULL. */
void render_drop(struct render *r);
/* What the transfer was asked with. */
struct xfr_request *render_request(struct render *r);
void render_free(struct render *r); /* NULL is legal */

#endif
