/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A real vault process over SoftHSM behind the fault-injecting module t/p11fault.c: what a token may do wrong
 * and what we do then. Skipped (77) where SoftHSM is not installed.
 */
#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/text.h"
#include "t_suite.h"
#include "vault/guard.h"
#include "vault_rig.h"

#define SOFTHSM "/usr/lib/softhsm/libsofthsm2.so"
#define PIN "14 23!"

struct hsm {
	struct rig r;
	char control[96], log[96];
};

static void write_file(const char *path, const char *text, mode_t mode)
{
	char tmp[128];
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	f = fopen(tmp, "w");
	ck_assert_ptr_nonnull(f);
	fputs(text, f);
	ck_assert_int_eq(fclose(f), 0);
	ck_assert_int_eq(chmod(tmp, mode), 0);
	ck_assert_int_eq(rename(tmp, path), 0); /* a vault that reads it now sees the old or the new one */
}

static void faults(struct hsm *h, const char *text)
{
	write_file(h->control, text, 0600);
}

/* Calls of a function in the log, with that result (NULL: any). */
static unsigned calls(const struct hsm *h, const char *name, const char *rv)
{
	char line[128], want[64];
	unsigned n = 0;
	FILE *f = fopen(h->log, "r");

	snprintf(want, sizeof(want), "%s %s", name, rv ? rv : "");
	while (f && fgets(line, sizeof(line), f))
		n += strncmp(line, want, strlen(want)) == 0 && (!rv || line[strlen(want)] == '\n');
	if (f)
		fclose(f);
	return n;
}

static const char *fault_module(void)
{
	static char path[4096];
	const char *env = getenv("ZONESEAL_TEST_P11FAULT");

	ck_assert_ptr_nonnull(realpath(env ? env : access("./p11fault.so", R_OK) == 0 ? "./p11fault.so"
								    : "./.libs/p11fault.so", path));
	return path;
}

static void hsm_init(struct hsm *h)
{
	char text[256], cmd[512], tokens[96];

	memset(h, 0, sizeof(*h));
	rig_init(&h->r, false);
	snprintf(tokens, sizeof(tokens), "%s/tokens", h->r.dir);
	snprintf(h->control, sizeof(h->control), "%s/control", h->r.dir);
	snprintf(h->log, sizeof(h->log), "%s/calls", h->r.dir);
	ck_assert_int_eq(mkdir(tokens, 0700), 0);
	snprintf(text, sizeof(text),
		 "directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n", tokens);
	write_file(h->r.conf, text, 0600);
	write_file(h->r.pin_file, PIN "\n", 0600);
	faults(h, "");
	setenv("SOFTHSM2_CONF", h->r.conf, 1);
	setenv("P11FAULT_MODULE", SOFTHSM, 1);
	setenv("P11FAULT_CONTROL", h->control, 1);
	setenv("P11FAULT_LOG", h->log, 1);
	/* SoftHSM's exit handlers leak; that is not ours to find */
	setenv("ASAN_OPTIONS", "detect_leaks=0", 1);
	snprintf(cmd, sizeof(cmd),
		 "softhsm2-util --init-token --free --label zoneseal --pin '%s' --so-pin 5678 >/dev/null",
		 PIN);
	ck_assert_int_eq(system(cmd), 0);
	h->r.setup.module = fault_module();
	h->r.setup.uri = "pkcs11:token=zoneseal";
}

static void hsm_free(struct hsm *h)
{
	faults(h, "");
	rig_free(&h->r);
}

static struct rig_batch *sign(struct rig *r, const struct rig_key *k, size_t n)
{
	struct rig_batch *b = rig_batch_new(r, k, n);

	ck_assert_int_eq(vclient_submit(r->client, &b->b), 0);
	return b;
}

static void expect_good(struct rig *r, const struct rig_key *k, size_t n)
{
	struct rig_batch *b = sign(r, k, n);

	RIG_UNTIL(r, rig_batch_done(b));
	for (size_t i = 0; i < n; i++)
		ck_assert_msg(b->b.req[i].result == 0, "request %zu: %s", i, zs_strerror(b->b.req[i].result));
	ck_assert_uint_eq(rig_batch_good(b, k), n);
	rig_batch_free(b);
}

static void start_key(struct hsm *h, struct rig_key *k)
{
	rig_start(&h->r);
	rig_key(&h->r, 13, ROLE_ZSK, "example.", k);
	RIG_UNTIL(&h->r, rig_client_up(&h->r));
}

/* softhsm 2.6.1 in Debian has EdDSA with Ed25519; Ed448 depends on how it was built. */
START_TEST(every_algorithm_signs)
{
	static const uint8_t algorithms[] = { 8, 10, 13, 14, 15 };
	struct hsm h;
	struct rig_key k;

	hsm_init(&h);
	rig_start(&h.r);
	for (size_t a = 0; a < sizeof(algorithms); a++) {
		rig_key(&h.r, algorithms[a], ROLE_ZSK, "example.", &k);
		expect_good(&h.r, &k, 20);
		rig_key(&h.r, algorithms[a], ROLE_KSK, "example.", &k);
		expect_good(&h.r, &k, 1);
	}
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 1);
	ck_assert_int_eq(vmanage_test(h.r.manage, 9), 0);
	RIG_UNTIL(&h.r, h.r.answered == 9);
	ck_assert_ptr_nonnull(strstr(h.r.text, "token zoneseal"));
	hsm_free(&h);
}
END_TEST

START_TEST(generate_and_delete_are_idempotent)
{
	struct hsm h;
	struct rig_key k;
	uint8_t pub[PUBKEY_MAX];

	hsm_init(&h);
	start_key(&h, &k);
	memcpy(pub, h.r.pub, h.r.pub_len);
	ck_assert_int_eq(vmanage_generate(h.r.manage, 1, &k.line), 0);
	RIG_UNTIL(&h.r, h.r.answered == 1);
	ck_assert_int_eq(h.r.result, 0);
	ck_assert_mem_eq(pub, h.r.pub, h.r.pub_len);
	ck_assert_uint_eq(calls(&h, "C_GenerateKeyPair", NULL), 1);
	expect_good(&h.r, &k, 3);
	for (uint64_t id = 2; id < 4; id++) {
		ck_assert_int_eq(vmanage_delete(h.r.manage, id, k.line.id), 0);
		RIG_UNTIL(&h.r, h.r.answered == id);
		ck_assert_int_eq(h.r.result, 0);
	}
	ck_assert_uint_eq(calls(&h, "C_DestroyObject", NULL), 2);
	hsm_free(&h);
}
END_TEST

/* One login for one wrong PIN, however often the vault is started; a new PIN file opens the latch. */
START_TEST(wrong_pin_is_tried_once)
{
	struct hsm h;
	struct stat st;
	struct rig_key k;

	hsm_init(&h);
	write_file(h.r.pin_file, "wrong", 0600);
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN incorrect"));
	ck_assert_int_eq(stat(h.r.latch, &st), 0);
	for (int i = 0; i < 3; i++) {
		if (i == 1)
			rig_kill(&h.r, SIGKILL);
		else
			rig_stop(&h.r);
		strcpy(h.r.state, "");
		rig_start(&h.r);
		RIG_UNTIL(&h.r, strstr(h.r.state, "PIN latch set"));
	}
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 1);
	/* the operator may say: again */
	strcpy(h.r.state, "");
	ck_assert_int_eq(vmanage_retry(h.r.manage), 0);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN incorrect"));
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 2);
	write_file(h.r.pin_file, PIN "\n", 0600);
	RIG_UNTIL(&h.r, h.r.up);
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 3);
	ck_assert_int_ne(stat(h.r.latch, &st), 0);
	rig_key(&h.r, 13, ROLE_ZSK, "example.", &k);
	expect_good(&h.r, &k, 2);
	hsm_free(&h);
}
END_TEST

static void die_in_login(struct hsm *h, unsigned call)
{
	struct stat st;

	faults(h, "C_Login hang\n");
	rig_start(&h->r);
	RIG_UNTIL(&h->r, calls(h, "C_Login", NULL) == call);
	ck_assert_int_eq(stat(h->r.latch, &st), 0);
	rig_kill(&h->r, SIGKILL);
	strcpy(h->r.state, "");
}

/* The latch stands before C_Login and through a death in it, which says nothing about the PIN: it is taken
 * over once. An error that is not about the PIN takes it away. */
START_TEST(latch_around_login)
{
	struct hsm h;
	struct stat st;

	hsm_init(&h);
	die_in_login(&h, 1);
	faults(&h, "");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, h.r.up);
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 2);
	ck_assert_int_ne(stat(h.r.latch, &st), 0);
	rig_stop(&h.r);
	die_in_login(&h, 3);
	die_in_login(&h, 4);
	faults(&h, "");
	for (int i = 0; i < 2; i++) {
		rig_start(&h.r);
		RIG_UNTIL(&h.r, strstr(h.r.state, "PIN latch set"));
		if (i == 0)
			rig_kill(&h.r, SIGKILL);
		strcpy(h.r.state, "");
	}
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 4);
	faults(&h, "C_Login 1 return 0x30\n");
	ck_assert_int_eq(vmanage_retry(h.r.manage), 0);
	RIG_UNTIL(&h.r, h.r.up);
	ck_assert_uint_eq(calls(&h, "C_Login", "0x30"), 1);
	ck_assert_int_ne(stat(h.r.latch, &st), 0);
	hsm_free(&h);
}
END_TEST

/* A PIN that is refused at the second try has had its last one; another file starts anew, a damaged latch
 * stands. */
START_TEST(latch_taken_over_and_refused)
{
	struct hsm h;

	hsm_init(&h);
	die_in_login(&h, 1);
	faults(&h, "C_Login return 0xa0\n");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN incorrect"));
	rig_kill(&h.r, SIGKILL);
	faults(&h, "");
	strcpy(h.r.state, "");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN latch set"));
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 2);
	rig_stop(&h.r);
	write_file(h.r.pin_file, PIN "\r\n", 0600);
	die_in_login(&h, 3);
	write_file(h.r.latch, "zoneseal-latch 2\n", 0600);
	faults(&h, "");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN latch set"));
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 3);
	hsm_free(&h);
}
END_TEST

START_TEST(no_login_at_final_try_and_bad_pin_files)
{
	struct hsm h;

	hsm_init(&h);
	faults(&h, "C_GetTokenInfo flags 0x20000\n");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "final try"));
	rig_stop(&h.r);
	faults(&h, "C_GetTokenInfo flags 0x40000\n");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "locked"));
	rig_stop(&h.r);
	faults(&h, "");
	write_file(h.r.pin_file, PIN, 0644);
	rig_start(&h.r);
	RIG_UNTIL(&h.r, strstr(h.r.state, "PIN file or latch not usable"));
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), 0);
	hsm_free(&h);
}
END_TEST

START_TEST(already_logged_in_is_success)
{
	struct hsm h;
	struct rig_key k;

	hsm_init(&h);
	start_key(&h, &k);
	rig_stop(&h.r);
	/* the module's own answer, given without a login: signing then proves that we are not logged in */
	faults(&h, "C_Login 1 return 0x100\n");
	rig_start(&h.r);
	expect_good(&h.r, &k, 5);
	hsm_free(&h);
}
END_TEST

/* One bad call in the middle of a batch: the batch is completed, whatever the call said. */
START_TEST(one_bad_call_heals)
{
	static const char *const lines[] = {
		"C_Sign 5 return 0x30", "C_Sign 5 return 0x6", "C_Sign 5 return 0xb3", "C_Sign 5 return 0x32",
		"C_Sign 5 return 0xe0", "C_Sign 5 return 0x101", "C_Sign 5 return 0x60",
		"C_SignInit 5 return 0x90", "C_SignInit 5 return 0x82", "C_Sign 5 lose", "C_SignInit 6 lose",
		"C_Sign 5 return 0x190", "C_Sign 5 return 0x31", "C_SignInit 1 return 0xb3",
		"C_FindObjects 2 return 0x5", "C_GetAttributeValue 3 return 0x30", "C_FindObjectsInit 1 lose",
	};
	struct hsm h;
	struct rig_key k;

	hsm_init(&h);
	start_key(&h, &k);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		rig_stop(&h.r);
		faults(&h, lines[i]);
		rig_start(&h.r);
		expect_good(&h.r, &k, 30);
	}
	hsm_free(&h);
}
END_TEST

/* What is the request's own fault restarts nothing. */
START_TEST(own_errors_restart_nothing)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;
	unsigned logins;

	hsm_init(&h);
	start_key(&h, &k);
	expect_good(&h.r, &k, 4);
	logins = calls(&h, "C_Login", NULL);
	faults(&h, "C_Sign return 0x21\n"); /* CKR_DATA_LEN_RANGE */
	b = sign(&h.r, &k, 20);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	for (size_t i = 0; i < 20; i++)
		ck_assert_int_eq(b->b.req[i].result, ZS_EKEY);
	rig_batch_free(b);
	faults(&h, "");
	expect_good(&h.r, &k, 10);
	ck_assert_uint_eq(calls(&h, "C_Login", NULL), logins);
	ck_assert_uint_eq(calls(&h, "C_Finalize", NULL), 0);
	hsm_free(&h);
}
END_TEST

START_TEST(quirks_of_mechanisms_and_objects)
{
	static const char *const lines[] = {
		"C_Sign der\n", "C_FindObjects twice\n", "C_Initialize cantlock\n", "C_OpenSession need-rw\n",
		"latency_us 2000\n",
	};
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;

	hsm_init(&h);
	start_key(&h, &k);
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		rig_stop(&h.r);
		faults(&h, lines[i]);
		rig_start(&h.r);
		expect_good(&h.r, &k, 20);
	}
	rig_stop(&h.r);
	faults(&h, "C_GetAttributeValue always-auth\n");
	rig_start(&h.r);
	b = sign(&h.r, &k, 1);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	ck_assert_int_eq(b->b.req[0].result, ZS_EKEY);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

/* A token that refuses the raw mechanism gets the hashing one. */
START_TEST(second_mechanism)
{
	struct hsm h;
	struct rig_key k;

	hsm_init(&h);
	rig_start(&h.r);
	rig_key(&h.r, 8, ROLE_ZSK, "example.", &k);
	rig_stop(&h.r);
	faults(&h, "C_SignInit mechanism 0x1 0x70\n");
	rig_start(&h.r);
	expect_good(&h.r, &k, 10);
	hsm_free(&h);
}
END_TEST

/* Wrong signatures are the gate's to find; ours is to say which session made them, and to use another one. */
START_TEST(corrupt_signatures_pass_with_their_session)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;
	size_t bad = 0;

	hsm_init(&h);
	start_key(&h, &k);
	expect_good(&h.r, &k, 30); /* both sessions have had their challenge */
	faults(&h, "C_Sign every 3 corrupt\n");
	b = sign(&h.r, &k, 30);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	for (size_t i = 0; i < 30; i++) {
		ck_assert_int_eq(b->b.req[i].result, 0);
		ck_assert_uint_ge(b->b.req[i].session, 1);
		bad += !rig_verify(&k, &b->b.req[i]);
	}
	ck_assert_uint_eq(bad, 10);
	faults(&h, "");
	for (size_t i = 0; i < 30; i++)
		b->b.req[i].avoid_session = 1;
	b->done = false;
	ck_assert_int_eq(vclient_submit(h.r.client, &b->b), 0);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	for (size_t i = 0; i < 30; i++)
		ck_assert_uint_ne(b->b.req[i].session, 1);
	ck_assert_uint_eq(rig_batch_good(b, &k), 30);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

/* A key whose private half is another one is never used. */
START_TEST(challenge_catches_a_wrong_key)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;

	hsm_init(&h);
	start_key(&h, &k);
	rig_stop(&h.r);
	faults(&h, "C_Sign corrupt\n");
	rig_start(&h.r);
	b = sign(&h.r, &k, 1);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	ck_assert_int_eq(b->b.req[0].result, ZS_EKEY);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

START_TEST(hang_is_overdue_and_poison_is_named)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;
	mono_t t = { 0 };

	hsm_init(&h);
	start_key(&h, &k);
	expect_good(&h.r, &k, 2);
	faults(&h, "C_Sign hang\n");
	b = sign(&h.r, &k, 1);
	/* the test's clock: an hour later when the beat says that a call runs */
	for (int i = 0; i < 2; i++) {
		RIG_UNTIL(&h.r, calls(&h, "C_Sign", "0x0") > 0);
		RIG_UNTIL(&h.r, (vmanage_overdue(h.r.manage, t),
				 vmanage_overdue(h.r.manage, (mono_t){ t.us + 15000000 })) >= 10);
		ck_assert(!rig_batch_done(b));
		rig_kill(&h.r, SIGKILL);
		if (i == 0) {
			unlink(h.log);
			rig_start(&h.r);
		}
	}
	RIG_UNTIL(&h.r, rig_batch_done(b));
	ck_assert_int_eq(b->b.req[0].result, ZS_EPOISON);
	faults(&h, "");
	rig_start(&h.r);
	expect_good(&h.r, &k, 5);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

START_TEST(crash_in_a_batch_is_completed)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;

	hsm_init(&h);
	start_key(&h, &k);
	faults(&h, "C_Sign 40 crash\n");
	b = sign(&h.r, &k, 100);
	rig_reap(&h.r);
	faults(&h, "");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	ck_assert_uint_eq(rig_batch_good(b, &k), 100);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

/* A token that stays away ends the process in order;
 * nothing is lost, and it is found again when it is back. */
START_TEST(lost_token_ends_the_process)
{
	struct hsm h;
	struct rig_key k;
	struct rig_batch *b;
	int status;

	hsm_init(&h);
	start_key(&h, &k);
	faults(&h, "C_GetSlotList empty\nC_Sign return 0x32\nC_SignInit return 0x32\n");
	b = sign(&h.r, &k, 50);
	status = rig_reap(&h.r);
	ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	ck_assert(!rig_batch_done(b));
	ck_assert_ptr_nonnull(strstr(h.r.state, "no token"));
	ck_assert_uint_ge(calls(&h, "C_Finalize", NULL), 1);
	faults(&h, "");
	rig_start(&h.r);
	RIG_UNTIL(&h.r, rig_batch_done(b));
	ck_assert_uint_eq(rig_batch_good(b, &k), 50);
	rig_batch_free(b);
	hsm_free(&h);
}
END_TEST

int main(void)
{
	const TTest *const tests[] = {
		every_algorithm_signs, generate_and_delete_are_idempotent, wrong_pin_is_tried_once,
		latch_around_login, latch_taken_over_and_refused,
		no_login_at_final_try_and_bad_pin_files, already_logged_in_is_success,
		one_bad_call_heals, own_errors_restart_nothing, quirks_of_mechanisms_and_objects,
		second_mechanism, corrupt_signatures_pass_with_their_session, challenge_catches_a_wrong_key,
		hang_is_overdue_and_poison_is_named, crash_in_a_batch_is_completed,
		lost_token_ends_the_process,
	};

	if (access(SOFTHSM, R_OK) != 0) {
		printf("SKIP: vault_p11: %s is not installed\n", SOFTHSM);
		return 77;
	}
	return RUN_SUITE("vault_p11", tests);
}
