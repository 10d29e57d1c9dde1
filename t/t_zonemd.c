/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * ZONEMD: the examples of RFC 8976 appendix A and zones that another implementation signed and digested,
 * whole and spoilt. Zones are files of records (t/data/zonemd, made by t/py/zonemd_data.py), taken in as a
 * transfer is: what is out of zone goes, the SOA stands aside, the rest is sorted.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "dns/name.h"
#include "dns/schema.h"
#include "seal/zonemd.h"

#define ROWS 128
#define RDATA_ROOM 1024

struct row {
	uint8_t owner[NAME_MAX_WIRE], key[KEY_MAX], rdata[RDATA_ROOM];
	size_t klen;
	uint32_t ttl;
	uint16_t type, rdlen;
};

static struct row row[ROWS];
static size_t nrows;
static uint8_t zone[NAME_MAX_WIRE];

static void read_row(char *line, struct row *r)
{
	char *save = NULL, *owner = strtok_r(line, " ", &save), *ttl = strtok_r(NULL, " ", &save);
	char *type = strtok_r(NULL, " ", &save), *hex = strtok_r(NULL, " \n", &save);
	uint8_t okey[OKEY_MAX];
	size_t len;

	ck_assert_ptr_nonnull(hex);
	ck_assert_int_eq(name_from_text(owner, r->owner, &len), 0);
	r->ttl = (uint32_t)strtoul(ttl, NULL, 10);
	r->type = (uint16_t)strtoul(type, NULL, 10);
	len = strlen(hex) / 2;
	ck_assert(len <= RDATA_ROOM);
	for (size_t i = 0; i < len; i++) {
		char octet[3] = { hex[2 * i], hex[2 * i + 1], '\0' };

		r->rdata[i] = (uint8_t)strtoul(octet, NULL, 16);
	}
	r->rdlen = (uint16_t)len;
	r->klen = key_record(r->key, okey, name_okey(r->owner, okey), r->type);
}

/* The first record is the SOA. */
static void load(const char *name)
{
	const char *srcdir = getenv("srcdir");
	char path[1024], line[4096];
	FILE *f;

	snprintf(path, sizeof(path), "%s/t/data/zonemd/%s", srcdir ? srcdir : ".", name);
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "%s", path);
	nrows = 0;
	while (fgets(line, sizeof(line), f) != NULL) {
		if (line[0] == '#')
			continue;
		ck_assert(nrows < ROWS);
		read_row(line, &row[nrows]);
		if (nrows == 0)
			name_copy_lower(zone, row[0].owner);
		nrows += name_within(row[nrows].owner, zone);
	}
	fclose(f);
	ck_assert_uint_eq(row[0].type, T_SOA);
}

static struct row *find(uint16_t type, unsigned nth)
{
	for (size_t i = 0; i < nrows; i++)
		if (row[i].type == type && name_eq(row[i].owner, zone) && nth-- == 0)
			return &row[i];
	ck_abort_msg("no such record");
	return NULL;
}

static void drop(struct row *r)
{
	*r = row[--nrows];
}

static struct row *again(const struct row *r)
{
	ck_assert(nrows < ROWS);
	row[nrows] = *r;
	return &row[nrows++];
}

static int by_key(const void *x, const void *y)
{
	const struct row *a = *(struct row *const *)x, *b = *(struct row *const *)y;
	size_t n = a->klen < b->klen ? a->klen : b->klen;
	int c = memcmp(a->key, b->key, n);

	return c != 0 ? c : (a->klen > b->klen) - (a->klen < b->klen);
}

static enum zonemd_result verify(void)
{
	struct row *sorted[ROWS], *first = &row[0];
	struct rr soa = { .owner = first->owner, .type = T_SOA, .class = CLASS_IN, .ttl = first->ttl,
			  .rdata = first->rdata, .rdlen = first->rdlen };
	struct zonemd *z = zonemd_new(&soa);
	struct arena *mem = arena_new(0);
	enum zonemd_result result = ZONEMD_RESULTS;

	ck_assert(z != NULL && mem != NULL);
	for (size_t i = 0; i < nrows; i++)
		sorted[i] = &row[i];
	qsort(sorted + 1, nrows - 1, sizeof(*sorted), by_key);
	for (size_t i = 1, n; i < nrows; i += n) {
		struct rr_item item[ROWS];
		struct rrset set = { .owner = sorted[i]->owner, .type = sorted[i]->type, .rr = item };

		for (n = 0; i + n < nrows && by_key(&sorted[i], &sorted[i + n]) == 0; n++)
			item[n] = (struct rr_item){ .ttl = sorted[i + n]->ttl, .len = sorted[i + n]->rdlen,
						    .data = sorted[i + n]->rdata };
		set.nrr = (uint32_t)n;
		ck_assert_int_eq(rrset_normalise(&set, mem), 0);
		ck_assert_int_eq(zonemd_add(z, &set), 0);
	}
	ck_assert_int_eq(zonemd_end(z, &result), 0);
	zonemd_free(z);
	arena_free(mem);
	return result;
}

static void set_serial(struct row *r, uint32_t serial)
{
	put_be32(r->rdata, serial);
}

static const char *const examples[] = { "simple", "complex", "multiple", "nsec", "nsec3" };
#define EXAMPLES (int)(sizeof(examples) / sizeof(*examples))

START_TEST(test_examples)
{
	load(examples[_i]);
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
}
END_TEST

/* Every octet that is received counts, but for what is left out. */
START_TEST(test_every_record_counts)
{
	load(examples[_i]);
	for (size_t i = 0; i < nrows; i++) {
		struct row *r = &row[i];
		bool apex = name_eq(r->owner, zone);
		bool out = apex &&
			   (r->type == T_ZONEMD || (r->type == T_RRSIG && be16(r->rdata) == T_ZONEMD));
		bool twin = r->type == T_TXT && strncmp((const char *)r->owner, "\011duplicate", 10) == 0;

		if (r->type == T_ZONEMD && apex)
			continue;
		r->rdata[r->rdlen - 1] ^= 1;
		ck_assert_int_eq(verify(), out ? ZONEMD_VERIFIED : ZONEMD_MISMATCH);
		r->rdata[r->rdlen - 1] ^= 1;
		if (twin) /* which of the two TTLs counts is nobody's to say */
			continue;
		r->ttl++;
		ck_assert_int_eq(verify(), out ? ZONEMD_VERIFIED : ZONEMD_MISMATCH);
		r->ttl--;
	}
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
}
END_TEST

START_TEST(test_bad_digest)
{
	load("simple");
	find(T_ZONEMD, 0)->rdata[6 + 47] ^= 0x80;
	ck_assert_int_eq(verify(), ZONEMD_MISMATCH);
	find(T_ZONEMD, 0)->rdata[6 + 47] ^= 0x80;
	find(T_ZONEMD, 0)->rdlen--;
	ck_assert_int_eq(verify(), ZONEMD_LENGTH);
	find(T_ZONEMD, 0)->rdlen += 2;
	ck_assert_int_eq(verify(), ZONEMD_LENGTH);
}
END_TEST

/* One good record is enough. */
START_TEST(test_one_of_two)
{
	load("multiple");
	find(T_ZONEMD, 0)->rdata[6] ^= 1;
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
	find(T_ZONEMD, 1)->rdlen--;
	ck_assert_int_eq(verify(), ZONEMD_MISMATCH);
	find(T_ZONEMD, 0)->rdata[6] ^= 1;
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
	set_serial(find(T_ZONEMD, 0), 1);
	ck_assert_int_eq(verify(), ZONEMD_SERIAL);
	drop(find(T_ZONEMD, 0));
	ck_assert_int_eq(verify(), ZONEMD_LENGTH);
}
END_TEST

START_TEST(test_serial)
{
	load("simple");
	set_serial(find(T_ZONEMD, 0), 2018031901);
	ck_assert_int_eq(verify(), ZONEMD_SERIAL);
	load("simple");
	soa_set_serial(row[0].rdata, row[0].rdlen, 2018031899);
	ck_assert_int_eq(verify(), ZONEMD_SERIAL);
}
END_TEST

START_TEST(test_unsupported)
{
	load("multiple");
	drop(find(T_ZONEMD, 0));
	for (unsigned i = 0; i < 3; i++)
		if (find(T_ZONEMD, i)->rdata[5] == 2) {
			drop(find(T_ZONEMD, i));
			break;
		}
	ck_assert_int_eq(verify(), ZONEMD_UNSUPPORTED);
	ck_assert(!zonemd_failed(verify()));
	find(T_NS, 0)->ttl++;
	ck_assert_int_eq(verify(), ZONEMD_UNSUPPORTED);
}
END_TEST

START_TEST(test_absent)
{
	load("nsec");
	while (nrows > 1) {
		size_t before = nrows;

		for (size_t i = 1; i < nrows; i++)
			if (row[i].type == T_ZONEMD) {
				drop(&row[i]);
				break;
			}
		if (nrows == before)
			break;
	}
	ck_assert_int_eq(verify(), ZONEMD_ABSENT);
	/* below the apex it is data */
	load("complex");
	drop(find(T_ZONEMD, 0));
	ck_assert_int_eq(verify(), ZONEMD_ABSENT);
}
END_TEST

/* RFC 8976 4: the same scheme and hash twice spoils all; a record repeated is one record. */
START_TEST(test_twice)
{
	struct row *r;

	load("multiple");
	r = again(find(T_ZONEMD, 0));
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
	r->rdata[10] ^= 1;
	ck_assert_int_eq(verify(), ZONEMD_TWICE);
	ck_assert(zonemd_failed(verify()));
	r->rdata[5] = 200;
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
}
END_TEST

/* Case of owners does not count. */
START_TEST(test_case)
{
	load("complex");
	for (size_t i = 0; i < nrows; i++)
		for (uint8_t *p = row[i].owner; *p != 0; p += *p + 1)
			for (unsigned k = 1; k <= *p; k++)
				if (p[k] >= 'a' && p[k] <= 'z')
					p[k] -= 32;
	ck_assert_int_eq(verify(), ZONEMD_VERIFIED);
}
END_TEST

START_TEST(test_texts)
{
	for (unsigned i = 0; i < ZONEMD_RESULTS; i++)
		ck_assert(zonemd_result_text((enum zonemd_result)i)[0] != '\0');
	ck_assert_str_eq(zonemd_result_text(ZONEMD_RESULTS), "unknown");
	zonemd_free(NULL);
}
END_TEST

START_TEST(test_bad_soa)
{
	struct rr soa;

	load("simple");
	soa = (struct rr){
		.owner = row[0].owner, .type = T_SOA, .class = CLASS_IN, .rdata = row[0].rdata, .rdlen = 19
	};
	ck_assert_ptr_null(zonemd_new(&soa));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("zonemd");
	TCase *t = tcase_create("zonemd");
	SRunner *r;
	int failed;

	tcase_set_timeout(t, 60);
	tcase_add_loop_test(t, test_examples, 0, EXAMPLES);
	tcase_add_loop_test(t, test_every_record_counts, 0, EXAMPLES);
	tcase_add_test(t, test_bad_digest);
	tcase_add_test(t, test_one_of_two);
	tcase_add_test(t, test_serial);
	tcase_add_test(t, test_unsupported);
	tcase_add_test(t, test_absent);
	tcase_add_test(t, test_twice);
	tcase_add_test(t, test_case);
	tcase_add_test(t, test_texts);
	tcase_add_test(t, test_bad_soa);
	suite_add_tcase(s, t);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed != 0;
}
