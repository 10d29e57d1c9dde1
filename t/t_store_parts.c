/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Small parts of the store: directory names, the zone's META record, the key register, tmp/. */
#include "t_store_util.h"

#include <fcntl.h>

#include "../src/store/siphash.h"
#include "base/crc.h"
#include "base/text.h"
#include "store/meta.h"
#include "t_suite.h"

static void poke(const char *path, off_t at, const void *p, size_t len)
{
	int fd = open(path, O_WRONLY);

	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(pwrite(fd, p, len, at), (ssize_t)len);
	close(fd);
}

/* --- names ---------------------------------------------------------------------------------------------- */

static char *path_of(const uint8_t *zone)
{
	char rel[STORE_PATH_MAX];
	char *slash;

	ck_assert_int_eq(store_zone_path(zone, rel, sizeof rel), 0);
	slash = strchr(rel, '/');
	ck_assert_ptr_eq(slash, rel + 2);
	ck_assert_ptr_null(strchr(slash + 1, '/'));
	ck_assert_uint_le(strlen(slash + 1), 200);
	for (char *p = slash + 1; *p; p++)
		ck_assert(*p > ' ' && *p < 0x7f);
	return strdup(slash + 1);
}

static void expect_path(const char *zone, const char *want)
{
	char *p = path_of((const uint8_t *)zone);

	ck_assert_str_eq(p, want);
	free(p);
}

START_TEST(zone_paths)
{
	uint8_t a[256] = { 0 }, b[256];
	char *p, *q;

	expect_path("\7example\3com", "example.com");
	expect_path("", "@");
	expect_path("\1@", "%40");
	expect_path("\3a.b\1c", "a%2eb.c");
	expect_path("\1a\1b\1c", "a.b.c");
	expect_path("\3..\x2f", "%2e%2e%2f");
	expect_path("\2%4", "%254");
	expect_path("\2\xff~", "%ff%7e");
	expect_path("\1A", "%41");
	ck_assert_int_eq(store_zone_path((const uint8_t *)"\1a", (char *)a, 4), ZS_EFULL);
	/* two long names that differ at the end only; a NUL inside a label */
	memset(a, 0x2f, sizeof a);
	a[0] = a[64] = a[128] = 63;
	a[192] = 61;
	a[254] = 0;
	memcpy(b, a, sizeof b);
	b[253] = 0;
	p = path_of(a);
	q = path_of(b);
	ck_assert_str_ne(p, q);
	ck_assert_ptr_nonnull(strchr(p, '~'));
	ck_assert_int_eq(strncmp(p, q, 150), 0);
	free(p);
	free(q);
}
END_TEST

/* Every two-octet label, and splits of the same octets: all different. */
START_TEST(zone_paths_injective)
{
	uint8_t zone[5] = { 2 };
	char rel[STORE_PATH_MAX];
	uint8_t back[2];

	for (unsigned v = 0; v < 65536; v++) {
		const char *p = rel + 3;

		zone[1] = (uint8_t)(v >> 8);
		zone[2] = (uint8_t)v;
		ck_assert_int_eq(store_zone_path(zone, rel, sizeof rel), 0);
		/* it reads back, so that no other gives the same */
		for (unsigned i = 0; i < 2; i++) {
			if (*p == '%') {
				char hex[3] = { p[1], p[2], 0 };

				ck_assert_int_eq(text_unhex(&back[i], 1, hex), 0);
				p += 3;
			} else {
				back[i] = (uint8_t)*p++;
			}
		}
		ck_assert_int_eq(*p, 0);
		ck_assert_mem_eq(back, zone + 1, 2);
	}
	zone[0] = 1;
	zone[1] = 'a';
	zone[2] = 1;
	zone[3] = 'b';
	ck_assert_int_eq(store_zone_path(zone, rel, sizeof rel), 0);
	ck_assert_str_eq(rel + 3, "a.b");
}
END_TEST

/* The first two vectors of the authors' reference: input 00 01 02 ..., key 00 01 ... 0f. */
START_TEST(siphash_vectors)
{
	uint8_t key[16], in[1] = { 0 }, out[16];
	char hex[33];

	for (unsigned i = 0; i < 16; i++)
		key[i] = (uint8_t)i;
	siphash128(key, in, 0, out);
	ck_assert_str_eq(text_hex(hex, out, 16), "a3817f04ba25a8e66df67214c7550293");
	siphash128(key, in, 1, out);
	ck_assert_str_eq(text_hex(hex, out, 16), "da87c1d86b99af44347659119b22fc45");
}
END_TEST

/* --- records -------------------------------------------------------------------------------------------- */

START_TEST(zone_meta)
{
	struct zmeta a = {
		.zone_len = 13, .signed_serial = 2026112101, .have_upstream = true, .upstream_serial = 7,
		.upstream_soa_len = 1024, .upstream_checked = -5, .is_signed = true, .denial = 2,
		.nsec3_set = 3, .nsec3_iterations = 50, .salt_len = 8, .records = (uint64_t)1 << 40,
		.octets = 77, .cuts = 3, .next_seq = 99, .last_inception = 1, .largest_ttl = 86400,
		.held = true, .held_reason = 4,
	}, b;
	struct kvmem *m = kvmem_new(0);
	struct kv *kv = kvmem_open(m);
	uint8_t rec[4096];
	struct wr w = wr_fixed(rec, sizeof rec);

	memcpy(a.zone, ZONE, 13);
	memset(a.upstream_soa, 0xee, sizeof a.upstream_soa);
	snprintf(a.content_policy, sizeof a.content_policy, "nsec3 1 0 - optout=0");
	ck_assert_int_eq(zmeta_get(kv, &b), ZS_ENOENT);
	ck_assert_int_eq(zmeta_put(kv, &a), 0);
	ck_assert_int_eq(zmeta_get(kv, &b), 0);
	ck_assert_mem_eq(&a, &b, sizeof a);
	zmeta_encode(&a, &w);
	ck_assert_int_eq(w.err, 0);
	for (size_t i = 0; i < w.len; i++) {
		rec[i] ^= 0x10;
		ck_assert_int_ne(zmeta_decode(&b, rec, w.len), 0);
		rec[i] ^= 0x10;
		ck_assert_int_ne(zmeta_decode(&b, rec, i), 0);
	}
	/* a tag nobody knows */
	wr_bytes(&w, "\xff\0\0", 3);
	put_be32(rec + 1, crc32c(crc32c(0, rec, 1), rec + 5, w.len - 5));
	ck_assert_int_eq(zmeta_decode(&b, rec, w.len), ZS_EVERSION);
	kv_close(kv);
	kvmem_free(m);
}
END_TEST

static int count_entry(void *ctx, const struct keyreg_entry *e)
{
	unsigned *n = ctx;

	ck_assert_str_eq(e->keystore, "hsm");
	ck_assert_int_eq(e->created, 1234567890123);
	ck_assert_uint_eq(e->algorithm, 13);
	n[e->zone_len == 13]++;
	return n[0] + n[1] > 100 ? ZS_ECANCEL : 0;
}

START_TEST(key_register)
{
	struct keyreg_entry e = { .keystore = "hsm", .zone_len = 13, .role = 1, .algorithm = 13,
				  .created = 1234567890123 };
	struct store_dir *d;
	struct keyreg *r;
	char state[64], path[128], name[64];
	unsigned n[2] = { 0, 0 };

	make_dir(state);
	memcpy(e.zone, ZONE, 13);
	ck_assert_int_eq(store_dir_open(state, &(struct store_dir_opts){ 0 }, &d), 0);
	ck_assert_int_eq(keyreg_open(d, &r), 0);
	for (uint8_t i = 0; i < 5; i++) {
		e.id[15] = i;
		ck_assert_int_eq(keyreg_put(r, &e), 0);
	}
	e.zone_len = 1;
	e.zone[0] = 0;
	ck_assert_int_eq(keyreg_put(r, &e), 0);
	ck_assert_int_eq(keyreg_remove(r, e.id, ZONE, 13), 0);
	ck_assert_int_eq(keyreg_remove(r, e.id, ZONE, 13), ZS_ENOENT);
	keyreg_close(r);
	ck_assert_int_eq(keyreg_open(d, &r), 0);
	ck_assert_int_eq(keyreg_each(r, count_entry, n), 0);
	ck_assert_uint_eq(n[0], 1);
	ck_assert_uint_eq(n[1], 4);
	keyreg_close(r);
	/* a register that is not one is not written to */
	snprintf(path, sizeof path, "%s/register/keys.mdb", state);
	poke(path, 0, path, 100);
	poke(path, 4096, path, 100);
	ck_assert_int_eq(keyreg_open(d, &r), ZS_ECRC);
	/* kept, and a new one takes entries again */
	ck_assert_int_eq(keyreg_set_aside(d, name), 0);
	ck_assert_str_eq(name, "keys.mdb.damaged-1");
	ck_assert_int_eq(keyreg_open(d, &r), 0);
	ck_assert_int_eq(keyreg_has(r, e.id, e.zone, e.zone_len), ZS_ENOENT);
	ck_assert_int_eq(keyreg_put(r, &e), 0);
	ck_assert_int_eq(keyreg_has(r, e.id, e.zone, e.zone_len), 0);
	ck_assert_int_eq(keyreg_has(r, e.id, ZONE, 13), ZS_ENOENT);
	ck_assert_int_eq(keyreg_has(r, e.id, ZONE, 0), ZS_EINVAL);
	keyreg_close(r);
	ck_assert_int_eq(keyreg_set_aside(d, name), 0);
	ck_assert_str_eq(name, "keys.mdb.damaged-2");
	ck_assert_int_eq(keyreg_set_aside(d, name), ZS_ENOENT);
	snprintf(path, sizeof path, "%s/register/keys.mdb.damaged-1", state);
	ck_assert(exists(path));
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

START_TEST(tmp_is_emptied)
{
	struct store_dir *d;
	char state[64], path[128];
	int fd;

	make_dir(state);
	ck_assert_int_eq(store_dir_open(state, &(struct store_dir_opts){ 0 }, &d), 0);
	snprintf(path, sizeof path, "%s/sub", store_dir_tmp(d));
	ck_assert_int_eq(mkdir(path, 0700), 0);
	snprintf(path, sizeof path, "%s/sub/spool", store_dir_tmp(d));
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ck_assert_int_ge(fd, 0);
	close(fd);
	store_dir_close(d);
	ck_assert_int_eq(store_dir_open(state, &(struct store_dir_opts){ 0 }, &d), 0);
	ck_assert(!exists(path));
	ck_assert(exists(store_dir_tmp(d)));
	store_dir_close(d);
	rm_tree(state);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		zone_paths, zone_paths_injective, siphash_vectors, zone_meta, key_register, tmp_is_emptied,
	};

	return RUN_SUITE("store parts", tests);
}
