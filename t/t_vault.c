/* SPDX-License-Identifier: GPL-3.0-or-later */
/* A real vault process with keys in files: signing, the guard's word, deaths, management, throughput. */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clk.h"
#include "base/err.h"
#include "base/text.h"
#include "t_suite.h"
#include "vault/guard.h"
#include "vault_rig.h"

static const uint8_t algorithms[] = { 8, 10, 13, 14, 15, 16 };

static void submit(struct rig *r, struct rig_batch *b)
{
	ck_assert_int_eq(vclient_submit(r->client, &b->b), 0);
}

START_TEST(every_algorithm_signs)
{
	struct rig r;
	struct rig_key k;
	struct rig_batch *b;

	rig_init(&r, true);
	rig_start(&r);
	for (size_t a = 0; a < sizeof(algorithms); a++)
		for (int role = ROLE_KSK; role <= ROLE_CSK; role++) {
			rig_key(&r, algorithms[a], (enum key_role)role, "example.", &k);
			b = rig_batch_new(&r, &k, role == ROLE_KSK ? 1 : 20);
			submit(&r, b);
			RIG_UNTIL(&r, rig_batch_done(b));
			ck_assert_msg(rig_batch_good(b, &k) == b->b.n,
				      "algorithm %u, role %d: %zu good, first: %s", algorithms[a], role,
				      rig_batch_good(b, &k), zs_strerror(b->b.req[b->b.n - 1].result));
			rig_batch_free(b);
		}
	rig_free(&r);
}
END_TEST

START_TEST(refused_requests_leave_the_vault_alive)
{
	struct rig r;
	struct rig_key k;
	struct rig_batch *b;
	struct vclient_stats s;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 13, ROLE_ZSK, "example.", &k);
	b = rig_batch_new(&r, &k, 4);
	((uint8_t *)(uintptr_t)b->b.req[0].tbs)[16] ^= 1; /* tag */
	b->b.req[1].key[3] ^= 1;
	b->b.req[2].tbs_len--;
	submit(&r, b);
	RIG_UNTIL(&r, rig_batch_done(b));
	ck_assert_int_eq(b->b.req[0].result, ZS_EREFUSED);
	ck_assert_uint_eq(b->b.req[0].guard_reason, GUARD_TAG);
	ck_assert_int_eq(b->b.req[1].result, ZS_EREFUSED);
	ck_assert_uint_eq(b->b.req[1].guard_reason, GUARD_NO_LINE);
	ck_assert_int_eq(b->b.req[2].result, ZS_EREFUSED);
	ck_assert_int_eq(b->b.req[3].result, 0);
	ck_assert(rig_verify(&k, &b->b.req[3]));
	vclient_stats(r.client, &s);
	ck_assert_uint_eq(s.refused, 3);
	ck_assert_uint_eq(s.signed_ok, 1);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

/* A window in the future, and a key whose file is another one's. */
START_TEST(vault_checks_time_and_key)
{
	struct rig r;
	struct rig_key k, other;
	struct rig_batch *b;
	char from[160], to[160], hex[40];
	uint8_t *p;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 13, ROLE_ZSK, "example.", &k);
	rig_key(&r, 13, ROLE_ZSK, "example.", &other);
	b = rig_batch_new(&r, &k, 1);
	p = (uint8_t *)(uintptr_t)b->b.req[0].tbs;
	p[8] += 1; /* both times 194 days on */
	p[12] += 1;
	submit(&r, b);
	RIG_UNTIL(&r, rig_batch_done(b));
	ck_assert_uint_eq(b->b.req[0].guard_reason, GUARD_VALIDITY);
	rig_batch_free(b);

	snprintf(from, sizeof(from), "%s/%s.pem", r.key_dir, text_hex(hex, other.line.id, KEY_ID_LEN));
	snprintf(to, sizeof(to), "%s/%s.pem", r.key_dir, text_hex(hex, k.line.id, KEY_ID_LEN));
	ck_assert_int_eq(rename(from, to), 0);
	b = rig_batch_new(&r, &k, 1);
	submit(&r, b);
	RIG_UNTIL(&r, rig_batch_done(b));
	ck_assert_int_eq(b->b.req[0].result, ZS_EKEY);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

START_TEST(key_files_are_managed)
{
	struct rig r;
	struct rig_key k;
	struct stat st;
	char path[160], hex[40];
	uint8_t pub[PUBKEY_MAX];

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 15, ROLE_CSK, "a\\000b.example.", &k);
	snprintf(path, sizeof(path), "%s/%s.pem", r.key_dir, text_hex(hex, k.line.id, KEY_ID_LEN));
	ck_assert_int_eq(stat(path, &st), 0);
	ck_assert_uint_eq(st.st_mode & 07777, 0600);
	/* again: the same key */
	memcpy(pub, r.pub, r.pub_len);
	ck_assert_int_eq(vmanage_generate(r.manage, 1, &k.line), 0);
	RIG_UNTIL(&r, r.answered == 1);
	ck_assert_int_eq(r.result, 0);
	ck_assert_mem_eq(pub, r.pub, r.pub_len);
	/* a file that others can read is not used */
	ck_assert_int_eq(chmod(path, 0644), 0);
	ck_assert_int_eq(vmanage_generate(r.manage, 2, &k.line), 0);
	RIG_UNTIL(&r, r.answered == 2);
	ck_assert_int_eq(r.result, ZS_EPERM);
	ck_assert_int_eq(chmod(path, 0600), 0);
	for (uint64_t id = 3; id < 5; id++) { /* idempotent */
		ck_assert_int_eq(vmanage_delete(r.manage, id, k.line.id), 0);
		RIG_UNTIL(&r, r.answered == id);
		ck_assert_int_eq(r.result, 0);
	}
	ck_assert_int_ne(stat(path, &st), 0);
	ck_assert_int_eq(vmanage_test(r.manage, 9), 0);
	RIG_UNTIL(&r, r.answered == 9);
	ck_assert_int_eq(r.result, 0);
	ck_assert_ptr_nonnull(strstr(r.text, "file key store"));
	rig_free(&r);
}
END_TEST

START_TEST(killed_vault_completes_the_batch)
{
	struct rig r;
	struct rig_key k;
	struct rig_batch *b;
	struct vclient_stats s;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 8, ROLE_ZSK, "example.", &k);
	b = rig_batch_new(&r, &k, 4000);
	submit(&r, b);
	do
		vclient_stats(r.client, &s);
	while (s.signed_ok < 100);
	rig_kill(&r, SIGKILL);
	ck_assert(!rig_batch_done(b));
	rig_start(&r);
	RIG_UNTIL(&r, rig_batch_done(b));
	ck_assert_uint_eq(rig_batch_good(b, &k), b->b.n);
	vclient_stats(r.client, &s);
	ck_assert_uint_gt(s.resent, 0);
	ck_assert_uint_eq(s.poisoned, 0);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

/* A vault that ends in order is nobody's fault: twice does not poison. */
START_TEST(orderly_end_poisons_nothing)
{
	struct rig r;
	struct rig_key k;
	struct rig_batch *b;
	struct vclient_stats s;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 8, ROLE_ZSK, "example.", &k);
	b = rig_batch_new(&r, &k, 6000);
	submit(&r, b);
	for (int i = 0; i < 3; i++) {
		RIG_UNTIL(&r, rig_client_up(&r));
		do
			vclient_stats(r.client, &s);
		while (s.signed_ok < 100u * (unsigned)(i + 1));
		rig_stop(&r);
		rig_start(&r);
	}
	RIG_UNTIL(&r, rig_batch_done(b));
	ck_assert_uint_eq(rig_batch_good(b, &k), b->b.n);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

START_TEST(cancel_and_bounds)
{
	struct rig r;
	struct rig_key k;
	struct rig_batch *b, *c, *d;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 13, ROLE_ZSK, "example.", &k);
	rig_stop(&r);
	b = rig_batch_new(&r, &k, 10);
	submit(&r, b); /* waits without a vault */
	vclient_cancel(r.client, &b->b);
	RIG_UNTIL(&r, rig_batch_done(b));
	for (int i = 0; i < 10; i++)
		ck_assert_int_eq(b->b.req[i].result, ZS_ECANCEL);
	rig_batch_free(b);

	vclient_free(r.client);
	r.client = vclient_new("file", 10);
	b = rig_batch_new(&r, &k, 100); /* over the bound, but alone */
	c = rig_batch_new(&r, &k, 1);
	d = rig_batch_new(&r, &k, 0);
	submit(&r, b);
	ck_assert_int_eq(vclient_submit(r.client, &c->b), ZS_EAGAIN);
	rig_start(&r);
	RIG_UNTIL(&r, rig_batch_done(b));
	submit(&r, d);
	RIG_UNTIL(&r, rig_batch_done(d));
	c->b.req[0].sig_cap = 10;
	submit(&r, c);
	RIG_UNTIL(&r, rig_batch_done(c));
	ck_assert_int_eq(c->b.req[0].result, ZS_ELIMIT);
	rig_batch_free(b);
	rig_batch_free(c);
	rig_batch_free(d);
	/* the client's end answers what is open */
	rig_stop(&r);
	b = rig_batch_new(&r, &k, 5);
	submit(&r, b);
	vclient_free(r.client);
	r.client = NULL;
	ck_assert(rig_batch_done(b));
	ck_assert_int_eq(b->b.req[4].result, ZS_ECANCEL);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

/* Prints signatures a second; asserts no time. */
START_TEST(throughput)
{
	const char *want = getenv("ZONESEAL_BENCH");
	size_t n = want ? (size_t)atol(want) : 5000;
	struct rig r;
	struct rig_key k;
	struct rig_batch *b;
	mono_t start;

	rig_init(&r, true);
	rig_start(&r);
	rig_key(&r, 13, ROLE_ZSK, "example.", &k);
	b = rig_batch_new(&r, &k, n);
	RIG_UNTIL(&r, rig_client_up(&r));
	start = clk_mono();
	submit(&r, b);
	RIG_UNTIL(&r, rig_batch_done(b));
	printf("ECDSA P-256, file, 2 threads: %.0f signatures/s\n",
	       (double)n / ((double)mono_diff(clk_mono(), start) / 1e6));
	ck_assert_int_eq(b->b.req[n - 1].result, 0);
	rig_batch_free(b);
	rig_free(&r);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		every_algorithm_signs, refused_requests_leave_the_vault_alive, vault_checks_time_and_key,
		key_files_are_managed, killed_vault_completes_the_batch, orderly_end_poisons_nothing,
		cancel_and_bounds, throughput,
	};

	return RUN_SUITE("vault", tests);
}
