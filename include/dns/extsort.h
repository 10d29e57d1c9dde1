/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * External merge sort of (key, value) octet strings: AXFR order is arbitrary and zones are larger than
 * memory. Runs go to unlinked temporary files under dir; memory stays within the budget. Equal keys keep
 * their order of arrival. Already sorted input costs one run.
 */
#ifndef ZONESEAL_DNS_EXTSORT_H
#define ZONESEAL_DNS_EXTSORT_H

#include <stddef.h>
#include <stdint.h>

struct extsort;
/* memory: octets; disk_max: most octets of temporary files (0: no bound) -> ZS_ELIMIT. */
int extsort_new(const char *dir, size_t memory, uint64_t disk_max, struct extsort **out);
/* key at most 511 octets, value at most 16 MiB. ZS_ENOSPC, ZS_EIO, ZS_ELIMIT, ZS_ENOMEM. */
int extsort_add(struct extsort *s, const void *key, size_t klen, const void *val, size_t vlen);
/* Ends adding. */
int extsort_finish(struct extsort *s);
/* Next pair in key order, borrowed until the next call. ZS_ENOENT at the end, ZS_ECRC, ZS_EIO. */
int extsort_next(struct extsort *s, const uint8_t **key, size_t *klen, const uint8_t **val, size_t *vlen);
/* Back to the first pair (after finish). */
int extsort_rewind(struct extsort *s);
uint64_t extsort_count(const struct extsort *s);
void extsort_free(struct extsort *s); /* NULL is legal */

#endif
