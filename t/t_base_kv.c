/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The ordered map against a sorted array under random operations, and what the header promises of items. */
#include <stdlib.h>
#include <string.h>

#include "base/crc.h"
#include "base/err.h"
#include "base/kv.h"
#include "base/rand.h"
#include "t_suite.h"

#define ROOM 400
#define KEY_MAX 4

struct pair {
	uint8_t key[KEY_MAX];
	size_t klen;
	uint32_t val;
};

struct model {
	struct pair a[ROOM];
	size_t n;
};

static int cmp(const void *k, size_t n, const struct pair *p)
{
	int c = memcmp(k, p->key, n < p->klen ? n : p->klen);

	return c ? c : n < p->klen ? -1 : n > p->klen;
}

/* Index of the first key >= the given one. */
static size_t lower(const struct model *m, const void *k, size_t n)
{
	size_t i = 0;

	while (i < m->n && cmp(k, n, &m->a[i]) > 0)
		i++;
	return i;
}

static int model_put(struct model *m, const uint8_t *k, size_t n, uint32_t v)
{
	size_t i = lower(m, k, n);

	if (i == m->n || cmp(k, n, &m->a[i]) != 0) {
		if (m->n == ROOM)
			return 0;
		memmove(&m->a[i + 1], &m->a[i], (m->n - i) * sizeof m->a[0]);
		m->n++;
	}
	m->a[i] = (struct pair){ .klen = n, .val = v };
	memcpy(m->a[i].key, k, n);
	return 1;
}

static int model_del(struct model *m, const uint8_t *k, size_t n)
{
	size_t i = lower(m, k, n);

	if (i == m->n || cmp(k, n, &m->a[i]) != 0)
		return 0;
	m->n--;
	memmove(&m->a[i], &m->a[i + 1], (m->n - i) * sizeof m->a[0]);
	return 1;
}

static void same(const struct model *m, size_t i, int ret, const struct kv_item *it)
{
	if (i >= m->n) {
		ck_assert_int_eq(ret, ZS_ENOENT);
		return;
	}
	ck_assert_int_eq(ret, 0);
	ck_assert_uint_eq(it->klen, m->a[i].klen);
	ck_assert_mem_eq(it->key, m->a[i].key, it->klen);
	ck_assert_uint_eq(it->vlen, sizeof m->a[i].val);
	ck_assert_mem_eq(it->val, &m->a[i].val, it->vlen);
}

/* A position of the model: the key it stands on, which may have been deleted since. */
struct place {
	int set;
	struct pair at;
};

static void go(struct place *p, const struct model *m, size_t i)
{
	p->set = i < m->n;
	if (p->set)
		p->at = m->a[i];
}

static size_t after(const struct model *m, const struct place *p)
{
	size_t i = lower(m, p->at.key, p->at.klen);

	return i < m->n && cmp(p->at.key, p->at.klen, &m->a[i]) == 0 ? i + 1 : i;
}

static void one_step(struct prng *r, struct kv *kv, struct place *p, struct model *m)
{
	struct kv_item it = { 0 };
	uint8_t k[KEY_MAX];
	size_t n = prng_upto(r, KEY_MAX), i;
	uint32_t v = (uint32_t)prng_u64(r);
	int ret;

	for (size_t j = 0; j < n; j++)
		k[j] = (uint8_t)(prng_upto(r, 4) * 63);
	switch (prng_upto(r, 7)) {
	case 0:
	case 1:
		if (model_put(m, k, n, v))
			ck_assert_int_eq(kv_put(kv, k, n, &v, sizeof v), 0);
		return;
	case 2:
		ck_assert_int_eq(kv_del(kv, k, n), model_del(m, k, n) ? 0 : ZS_ENOENT);
		return;
	case 3:
		ret = kv_get(kv, k, n, &it);
		i = lower(m, k, n);
		same(m, i < m->n && cmp(k, n, &m->a[i]) == 0 ? i : SIZE_MAX, ret, &it);
		return;
	case 4:
		ret = kv_seek(kv, k, n, &it);
		i = lower(m, k, n);
		break;
	case 5:
		ret = kv_seek_lt(kv, k, n, &it);
		i = lower(m, k, n) - 1;
		break;
	case 6:
		ret = kv_next(kv, &it);
		i = p->set ? after(m, p) : SIZE_MAX;
		break;
	default:
		ret = kv_prev(kv, &it);
		i = p->set ? lower(m, p->at.key, p->at.klen) - 1 : SIZE_MAX;
		break;
	}
	same(m, i, ret, &it);
	go(p, m, i);
}

START_TEST(test_random)
{
	struct model *m = calloc(1, sizeof *m);
	struct kvmem *mem = kvmem_new(0);
	struct place place[2] = { { .set = 0 } };
	struct prng r = prng_seed(20260505);
	struct kv *kv[2] = { kvmem_open(mem), kvmem_open(mem) };
	size_t octets = 0;

	for (int i = 0; i < 60000; i++) {
		unsigned h = (unsigned)prng_upto(&r, 1);

		one_step(&r, kv[h], &place[h], m);
		ck_assert_uint_eq(kvmem_count(mem), m->n);
	}
	for (size_t i = 0; i < m->n; i++)
		octets += m->a[i].klen + sizeof m->a[i].val;
	ck_assert_uint_gt(m->n, 50);
	ck_assert_uint_eq(kvmem_octets(mem), octets);
	kv_close(kv[0]);
	kv_close(kv[1]);
	kvmem_free(mem);
	free(m);
}
END_TEST

START_TEST(test_many_in_order)
{
	struct kvmem *mem = kvmem_new(0);
	struct kv *kv = kvmem_open(mem);
	struct kv_item it;
	uint32_t n = 0;
	int ret;

	/* rising keys: an unbalanced tree would take minutes */
	for (uint32_t i = 0; i < 100000; i++) {
		uint8_t k[4] = { (uint8_t)(i >> 24), (uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i };

		ck_assert_int_eq(kv_put(kv, k, 4, NULL, 0), 0);
	}
	for (ret = kv_seek(kv, "", 0, &it); ret == 0; ret = kv_next(kv, &it))
		n++;
	ck_assert_uint_eq(n, 100000);
	ck_assert_int_eq(ret, ZS_ENOENT);
	ck_assert_int_eq(kv_next(kv, &it), ZS_ENOENT);
	ck_assert_int_eq(kv_prev(kv, &it), ZS_ENOENT);
	kv_close(kv);
	kvmem_free(mem);
}
END_TEST

/* Items stay readable (ASan watches) although another handle overwrites and deletes them. */
START_TEST(test_borrowed_items)
{
	struct kvmem *mem = kvmem_new(0);
	struct kv *a = kvmem_open(mem), *b = kvmem_open(mem);
	struct kv_item at, got, it;

	for (char c = 'a'; c <= 'e'; c++)
		ck_assert_int_eq(kv_put(a, &c, 1, "old", 3), 0);
	ck_assert_int_eq(kv_seek(a, "b", 1, &at), 0);
	ck_assert_int_eq(kv_get(b, "b", 1, &got), 0);
	ck_assert_int_eq(kv_put(b, got.key, got.klen, "new", 3), 0); /* borrowed as argument */
	ck_assert_mem_eq(at.val, "old", 3);
	ck_assert_int_eq(kv_del(b, "b", 1), 0);
	ck_assert_int_eq(kv_del(b, "c", 1), 0);
	ck_assert_mem_eq(at.key, "b", 1);
	ck_assert_mem_eq(at.val, "old", 3);
	ck_assert_int_eq(kv_get(a, "e", 1, &got), 0); /* does not move */
	ck_assert_int_eq(kv_next(a, &it), 0);
	ck_assert_mem_eq(it.key, "d", 1);
	ck_assert_int_eq(kv_prev(a, &it), 0);
	ck_assert_mem_eq(it.key, "a", 1);
	/* removing while walking */
	for (int ret = kv_seek(a, "", 0, &it); ret == 0; ret = kv_next(a, &it))
		ck_assert_int_eq(kv_del(a, it.key, it.klen), 0);
	ck_assert_uint_eq(kvmem_count(mem), 0);
	ck_assert_uint_eq(kvmem_octets(mem), 0);
	kv_close(a);
	kv_close(b);
	kv_close(NULL);
	kvmem_free(mem);
	kvmem_free(NULL);
}
END_TEST

/* Names that somebody chose so that their sums meet: found, not found and removed like all others. */
START_TEST(test_keys_with_one_hash)
{
	struct kvmem *mem = kvmem_new(0);
	struct kv *kv = kvmem_open(mem);
	struct kv_item it;
	uint32_t key[200], x = 0;
	size_t n = 0;

	for (; n < 200; x++)
		if ((crc32c(0, &x, sizeof(x)) & 0xfff) == 0)
			key[n++] = x;
	for (size_t i = 0; i < 150; i++)
		ck_assert_int_eq(kv_put(kv, &key[i], 4, &i, sizeof(i)), 0);
	for (size_t i = 0; i < 150; i += 3)
		ck_assert_int_eq(kv_del(kv, &key[i], 4), 0);
	for (size_t i = 1; i < 150; i += 3)
		ck_assert_int_eq(kv_put(kv, &key[i], 4, "new", 3), 0);
	for (size_t i = 0; i < 200; i++) {
		int ret = kv_get(kv, &key[i], 4, &it);

		ck_assert_int_eq(ret, i >= 150 || i % 3 == 0 ? ZS_ENOENT : 0);
		if (ret == 0 && i % 3 == 1)
			ck_assert_mem_eq(it.val, "new", 3);
		else if (ret == 0)
			ck_assert_mem_eq(it.val, &i, sizeof(i));
	}
	kv_close(kv);
	kvmem_free(mem);
}
END_TEST

START_TEST(test_limit)
{
	struct kvmem *mem = kvmem_new(10);
	struct kv *kv = kvmem_open(mem);
	struct kv_item it;

	ck_assert_int_eq(kv_put(kv, "k", 1, "12345678", 8), 0);
	ck_assert_int_eq(kv_put(kv, "l", 1, "1", 1), ZS_ENOMEM);
	ck_assert_int_eq(kv_put(kv, "k", 1, "123456789", 9), 0); /* replaces: the old one does not count */
	ck_assert_int_eq(kv_put(kv, "k", 1, "1234567890", 10), ZS_ENOMEM);
	ck_assert_int_eq(kv_get(kv, "k", 1, &it), 0);
	ck_assert_uint_eq(it.vlen, 9);
	ck_assert_int_eq(kv_del(kv, "k", 1), 0);
	ck_assert_int_eq(kv_put(kv, "", 0, "1234567890", 10), 0);
	ck_assert_int_eq(kv_get(kv, "", 0, &it), 0);
	ck_assert_uint_eq(it.klen, 0);
	kv_close(kv);
	kvmem_free(mem);
}
END_TEST

int main(void)
{
	const TTest *tests[] = {
		test_random,
		test_many_in_order,
		test_borrowed_items,
		test_keys_with_one_hash,
		test_limit,
	};

	return RUN_SUITE("base_kv", tests);
}
