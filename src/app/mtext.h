/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The text formats of Prometheus: 0.0.4, and OpenMetrics 1.0. A family is opened once and its samples follow
 * at once: both formats want them together. Pure: writes to a growing buffer whose error sticks.
 */
#ifndef ZONESEAL_SRC_APP_MTEXT_H
#define ZONESEAL_SRC_APP_MTEXT_H

#include <stdbool.h>
#include "base/buf.h"

enum mtype { M_COUNTER, M_GAUGE, M_HISTOGRAM, M_INFO };

struct mtext {
	struct wr w;
	bool openmetrics;
	const char *family;  /* without the suffix that its samples get */
	enum mtype type;
};

/* name: as the samples of 0.0.4 are called but for histograms ("x_total", "x_info");
 * a counter ends in _total. */
void mtext_family(struct mtext *m, const char *name, enum mtype type, const char *help);
/* Samples of the family in hand. */
struct mlabel { const char *name, *value; };
void mtext_u64(struct mtext *m, const struct mlabel *label, size_t n, uint64_t value);
void mtext_i64(struct mtext *m, const struct mlabel *label, size_t n, int64_t value);
void mtext_f(struct mtext *m, const struct mlabel *label, size_t n, double value);
/* count[]: not cumulative, bound[] ascending with +Inf last. */
void mtext_histogram(struct mtext *m, const struct mlabel *label, size_t n, const double *bound,
		     const uint64_t *count, size_t buckets, double sum);
void mtext_end(struct mtext *m); /* OpenMetrics wants its last line */

/* process_*: of the calling process; reads /proc. Any thread. */
void mtext_process(struct mtext *m, int64_t started);

#define LABELS(...)                             \
	(const struct mlabel[]){ __VA_ARGS__ }, \
		sizeof((const struct mlabel[]){ __VA_ARGS__ }) / sizeof(struct mlabel)
#define NO_LABELS NULL, 0

#endif
