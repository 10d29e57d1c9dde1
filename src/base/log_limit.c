/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Which repeated log lines go out. A cause is known by its hash alone: two causes that share one share a
 * budget, which costs lines and nothing else. A set that is full gives up its oldest hour, and with it the
 * count of lines dropped there. Called by the logger only.
 */
#include "log_limit.h"

#include <stddef.h>

/* FNV-1a over the text and its end, so that ("ab", "c") and ("a", "bc") differ. */
static uint64_t add_text(uint64_t h, const char *s)
{
	do
		h = (h ^ (unsigned char)*s) * 0x100000001b3u;
	while (*s++);
	return h;
}

uint64_t log_limit_hash(const char *sub, const char *zone, const char *cause)
{
	uint64_t h = 0xcbf29ce484222325u;

	h = add_text(h, sub);
	h = add_text(h, zone ? zone : "");
	h = add_text(h, cause);
	h ^= h >> 29; /* the low bits choose the set */
	return h ? h : 1;
}

static struct log_cause *find(struct log_limit *t, uint64_t hash, mono_t now)
{
	struct log_cause *set = t->sets[hash % LOG_LIMIT_SETS];
	struct log_cause *victim = &set[0];

	for (unsigned i = 0; i < LOG_LIMIT_WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (victim->hash != 0 && (set[i].hash == 0 || mono_diff(set[i].start, victim->start) < 0))
			victim = &set[i];
	}
	*victim = (struct log_cause){ .hash = hash, .start = now };
	return victim;
}

int log_limit_pass(struct log_limit *t, uint64_t hash, mono_t now, unsigned burst, uint64_t *dropped)
{
	struct log_cause *c = find(t, hash, now);

	if (mono_diff(now, c->start) >= LOG_LIMIT_WINDOW) {
		c->start = now;
		c->passed = 0;
	}
	if (c->passed >= burst) {
		c->dropped++;
		return 0;
	}
	c->passed++;
	*dropped = c->dropped;
	c->dropped = 0;
	return 1;
}
