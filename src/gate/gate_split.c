/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Cuts a version into parts of like size. One scan a table (keys only, cheap beside a single verification per
 * name) keeps every n-th owner's key, with n doubling whenever the list is full; the cuts are then taken from
 * that list. A cut never stands inside an owner, and no part reaches over two tables.
 */
#include <stdlib.h>
#include <string.h>

#include "gate_impl.h"

#define TABLES 3

struct mark { uint64_t at; size_t len; uint8_t key[GKEY_MAX]; };
struct sampler {
	struct mark *mark;
	size_t n, cap;
	uint64_t stride, count, last;
};

/* Drops every second mark. */
static void thin(struct sampler *s)
{
	for (size_t i = 0; 2 * i < s->n; i++)
		s->mark[i] = s->mark[2 * i];
	s->n = (s->n + 1) / 2;
	s->stride *= 2;
}

static void sample(struct sampler *s, const uint8_t *key, size_t len)
{
	if (s->n == s->cap)
		thin(s);
	if (s->n && s->count - s->last < s->stride)
		return;
	s->mark[s->n].at = s->last = s->count;
	s->mark[s->n].len = len;
	memcpy(s->mark[s->n++].key, key, len);
}

/* Counts a table and marks where owners begin. */
static int scan(struct kv *kv, uint8_t table, struct sampler *s)
{
	uint8_t owner[GKEY_MAX];
	size_t olen = 0;
	struct kv_item it;
	int rc;

	s->n = s->count = s->last = 0;
	s->stride = 1;
	for (rc = kv_seek(kv, &table, 1, &it); !rc && it.klen && it.key[0] == table; rc = kv_next(kv, &it)) {
		/* RECORDS: the key without its type is the owner's. */
		size_t len = table == IN_RECORDS && it.klen > 3 ? it.klen - 2 : it.klen;

		if (len <= GKEY_MAX && !gsame(owner, olen, it.key, len)) {
			olen = len;
			memcpy(owner, it.key, len);
			sample(s, owner, olen);
		}
		s->count++;
	}
	return rc == ZS_ENOENT ? 0 : rc;
}

/* Appends the parts of one table, at least one. */
static int cut(struct sampler *s, uint8_t table, unsigned want, struct gate_part *parts, size_t cap,
	       size_t *n)
{
	struct gate_part *p = NULL;
	uint64_t next = 0;

	if (*n == cap)
		return ZS_EFULL;
	p = &parts[(*n)++];
	memset(p, 0, sizeof *p);
	p->table = p->from[0] = table;
	p->from_len = 1;
	next = s->count / want;
	for (size_t i = 0; i < s->n && *n < cap; i++) {
		const struct mark *m = &s->mark[i];

		if (!m->at || m->at < next || m->len > sizeof p->to)
			continue;
		memcpy(p->to, m->key, m->len);
		p->to_len = m->len;
		p = &parts[(*n)++];
		memset(p, 0, sizeof *p);
		p->table = table;
		memcpy(p->from, m->key, m->len);
		p->from_len = m->len;
		while (next <= m->at)
			next += s->count / want + 1;
	}
	return 0;
}

int gate_split(struct gate *g, struct kv *kv, unsigned want, struct gate_part *parts, size_t cap)
{
	static const uint8_t tables[TABLES] = { IN_RECORDS, IN_DENIAL, IN_EXPIRY };
	struct sampler s[TABLES];
	uint64_t all = 0;
	size_t n = 0;
	int rc = 0;

	memset(s, 0, sizeof s);
	if (cap < TABLES)
		return ZS_EFULL;
	for (int i = 0; i < TABLES && !rc; i++) {
		s[i].cap = 8 * (size_t)(want < 1024 ? want : 1024) + 8;
		s[i].mark = malloc(s[i].cap * sizeof *s[i].mark);
		rc = s[i].mark ? scan(kv, tables[i], &s[i]) : ZS_ENOMEM;
		all += s[i].count;
	}
	for (int i = 0; i < TABLES && !rc; i++) {
		uint64_t share = all ? (want * s[i].count + all / 2) / all : 1;

		/* Room for the tables behind this one is kept free. */
		rc = cut(&s[i], tables[i], share ? (unsigned)share : 1, parts, cap - (size_t)(TABLES - 1 - i),
			 &n);
	}
	for (int i = 0; i < TABLES; i++)
		free(s[i].mark);
	return rc ? rc : (int)n;
}
