/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The bounded table of causes behind log_limited(). Pure: the time is an argument. The logger locks. */
#ifndef ZONESEAL_SRC_BASE_LOG_LIMIT_H
#define ZONESEAL_SRC_BASE_LOG_LIMIT_H

#include <stdint.h>

#include "base/clk.h"

#define LOG_LIMIT_SETS 256u
#define LOG_LIMIT_WAYS 4u /* 1,024 causes in all: 40 KiB */
#define LOG_LIMIT_WINDOW MONO_S(3600)

struct log_cause {
	uint64_t hash; /* 0: free */
	mono_t start; /* of the hour that counts */
	uint64_t dropped; /* since the last line that went out */
	unsigned passed;
};

/* All zero is an empty table. */
struct log_limit {
	struct log_cause sets[LOG_LIMIT_SETS][LOG_LIMIT_WAYS];
};

/* zone may be NULL. Never 0. */
uint64_t log_limit_hash(const char *sub, const char *zone, const char *cause);
/* 1 when a line may go out now, *dropped then being what was held back before it; else 0. */
int log_limit_pass(struct log_limit *t, uint64_t hash, mono_t now, unsigned burst, uint64_t *dropped);

#endif
