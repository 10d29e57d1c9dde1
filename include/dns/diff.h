/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * What leads from one served version to a later one, as a stream of records: all that go, then all that come.
 * History makes it; transfers, `zone diff` and `zone rollback` read it. One thread at a time; not the loop.
 */
#ifndef ZONESEAL_DNS_DIFF_H
#define ZONESEAL_DNS_DIFF_H

#include <stdbool.h>
#include <stdint.h>

struct rr;
struct diff;

struct diff_ops {
	/* Next record: all removed ones first (the old SOA is the first), then all added ones (the new SOA
	 * first). Borrowed until the next call. 0, ZS_ENOENT at the end, ZS_ECRC, ZS_EFORMAT, ZS_EIO,
	 * ZS_ENOMEM */
	int (*next)(struct diff *d, struct rr *out, bool *added);
	int (*rewind)(struct diff *d);
	void (*close)(struct diff *d);
};

struct diff {
	const struct diff_ops *ops;
	uint32_t from, to;       /* serials */
	uint64_t octets;         /* uncompressed wire size of all records, SOAs included */
	uint64_t removed, added; /* counts */
};

static inline int diff_next(struct diff *d, struct rr *out, bool *added)
{
	return d->ops->next(d, out, added);
}
static inline int diff_rewind(struct diff *d) { return d->ops->rewind(d); }
/* NULL is legal. */
static inline void diff_close(struct diff *d)
{
	if (d)
		d->ops->close(d);
}

#endif
