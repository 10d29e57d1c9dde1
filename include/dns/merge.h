/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A whole zone as a difference: RRsets of the sorted input in ascending order of their keys beside the stored
 * RECORDS; what differs is written. Reads each stored value once (CRC included), keeps nothing but the two
 * positions. One thread.
 */
#ifndef ZONESEAL_DNS_MERGE_H
#define ZONESEAL_DNS_MERGE_H

#include "dns/change.h"

struct merge;
/* stored: of the base, positioned by the merge, another handle than after. Both are borrowed. */
int merge_new(const uint8_t *zone, struct kv *stored, struct kv *after, struct merge **out);
void merge_free(struct merge *m);
/*
 * The next RRset of the input, normalised; its key is above the last one's (ZS_EINVAL). The apex SOA and
 * what is marked RRV_OURS, in input or store, are passed over on both sides. What is stored and was not
 * given goes. Answers as change_set(): ZS_ELIMIT when `after` is full.
 */
int merge_set(struct merge *m, const uint8_t *key, size_t klen, const struct rrset *set);
/* So far: where the rest of the input stays away, and what is stored behind the last one stays. */
void merge_sums(const struct merge *m, struct change_sums *sums);
/* Deletes what is stored behind the last one, and gives the sums. */
int merge_end(struct merge *m, struct change_sums *sums);

#endif
