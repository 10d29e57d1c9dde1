/* SPDX-License-Identifier: GPL-3.0-or-later */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "vault_rig.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "../src/vault/pub.h"
#include "base/buf.h"
#include "base/clk.h"
#include "base/err.h"
#include "base/rand.h"

static void on_generated(void *ctx, uint64_t id, int result, const uint8_t *pub, size_t pub_len)
{
	struct rig *r = ctx;

	r->answered = id;
	r->result = result;
	r->pub_len = pub_len;
	memcpy(r->pub, pub, pub_len);
}

static void on_deleted(void *ctx, uint64_t id, int result)
{
	struct rig *r = ctx;

	r->answered = id;
	r->result = result;
}

static void on_tested(void *ctx, uint64_t id, int result, const char *text)
{
	on_deleted(ctx, id, result);
	snprintf(((struct rig *)ctx)->text, sizeof(((struct rig *)ctx)->text), "%s", text);
}

static void on_state(void *ctx, bool up, const char *text)
{
	struct rig *r = ctx;

	r->up = up;
	r->states++;
	snprintf(r->state, sizeof(r->state), "%s", text);
}

static const struct vmanage_ops ops = { .generated = on_generated, .deleted = on_deleted,
					.tested = on_tested, .state = on_state };

void rig_init(struct rig *r, bool file)
{
	memset(r, 0, sizeof(*r));
	strcpy(r->dir, "/tmp/zs-vault-XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(r->dir));
	snprintf(r->key_dir, sizeof(r->key_dir), "%s/keys", r->dir);
	snprintf(r->latch, sizeof(r->latch), "%s/latch", r->dir);
	snprintf(r->pin_file, sizeof(r->pin_file), "%s/pin", r->dir);
	snprintf(r->conf, sizeof(r->conf), "%s/softhsm2.conf", r->dir);
	ck_assert_int_eq(mkdir(r->key_dir, 0700), 0);
	r->setup = (struct vault_setup){ .keystore = file ? "file" : "hsm",
					 .file = file,
					 .key_dir = r->key_dir,
					 .latch_path = r->latch,
					 .sessions = 2,
					 .threads = 2 };
	if (!file)
		r->setup.pin_file = r->pin_file;
	pthread_mutex_init(&r->lock, NULL);
	r->client = vclient_new(r->setup.keystore, 100000);
	ck_assert_ptr_nonnull(r->client);
}

void rig_free(struct rig *r)
{
	char cmd[128];

	rig_stop(r);
	vclient_free(r->client);
	keymap_free(&r->map);
	snprintf(cmd, sizeof(cmd), "rm -rf '%s'", r->dir);
	ck_assert_int_eq(system(cmd), 0);
}

static void exec_vault(int fd)
{
	const char *prog = getenv("ZONESEAL_TEST_VAULT");

	if (dup2(fd, 3) < 0)
		_exit(126);
	if (fd == 3)
		fcntl(3, F_SETFD, 0);
	execl(prog ? prog : "./vault_test_main", "vault", (char *)NULL);
	_exit(127);
}

void rig_start(struct rig *r)
{
	int s[2], e[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, s), 0);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, e), 0);
	r->vault = fork();
	ck_assert_int_ge(r->vault, 0);
	if (r->vault == 0)
		exec_vault(s[1]);
	close(s[1]);
	r->up = false;
	r->event_error = 0;
	r->manage = vmanage_new(s[0], &r->setup, &ops, r);
	ck_assert_ptr_nonnull(r->manage);
	ck_assert_int_eq(vmanage_keymap(r->manage, &r->map), 0);
	ck_assert_int_eq(vmanage_engine(r->manage, e[1]), 0);
	close(e[1]);
	ck_assert_int_eq(vclient_attach(r->client, e[0]), 0);
}

int rig_reap(struct rig *r)
{
	int status = -1;

	for (int i = 0; i < RIG_WAIT_S * 100; i++) {
		if (waitpid(r->vault, &status, WNOHANG) == r->vault) {
			r->vault = 0;
			vmanage_free(r->manage);
			r->manage = NULL;
			return status;
		}
		rig_step(r);
	}
	ck_abort_msg("the vault does not end");
	return -1;
}

void rig_stop(struct rig *r)
{
	if (!r->vault)
		return;
	vmanage_quit(r->manage);
	ck_assert_int_eq(rig_reap(r), 0);
}

void rig_kill(struct rig *r, int sig)
{
	kill(r->vault, sig);
	rig_reap(r);
}

void rig_step(struct rig *r)
{
	struct pollfd p = { .fd = -1 };

	if (r->manage && !r->event_error) {
		p.fd = vmanage_fd(r->manage);
		p.events = vmanage_wants_write(r->manage) ? POLLIN | POLLOUT : POLLIN;
	}
	if (poll(&p, 1, 10) > 0)
		r->event_error = vmanage_event(r->manage);
}

bool rig_client_up(struct rig *r)
{
	struct vclient_stats s;

	vclient_stats(r->client, &s);
	return s.up;
}

void rig_key(struct rig *r, uint8_t alg, enum key_role role, const char *zone, struct rig_key *out)
{
	static uint64_t id = 1000;
	struct keymap_line *l = &out->line;

	memset(out, 0, sizeof(*out));
	ck_assert_int_eq(rand_bytes(l->id, KEY_ID_LEN), 0);
	strcpy(l->keystore, r->setup.keystore);
	ck_assert_int_eq(keymap_zone_parse(zone, l->zone, &l->zone_len), 0);
	l->role = role;
	l->algorithm = alg;
	l->bits = alg == 8 || alg == 10 ? 2048 : 0;
	l->max_validity = 14 * 86400 + 3600;
	ck_assert_int_eq(keymap_put(&r->map, l), 0);
	ck_assert_int_eq(vmanage_generate(r->manage, ++id, l), 0);
	RIG_UNTIL(r, r->answered == id);
	ck_assert_msg(r->result == 0, "generate %u: %s", alg, zs_strerror(r->result));
	memcpy(out->pub, r->pub, r->pub_len);
	out->pub_len = r->pub_len;
	ck_assert_int_eq(keymap_set_pub(l, out->pub, out->pub_len), 0);
	ck_assert_int_eq(keymap_put(&r->map, l), 0);
}

size_t rig_tbs(const struct rig *r, const struct rig_key *k, unsigned n, uint8_t *dst)
{
	const struct keymap_line *l = &k->line;
	struct wr w = wr_fixed(dst, 2048);
	uint32_t now = (uint32_t)clk_wall().s;
	bool ksk = l->role == ROLE_KSK;
	unsigned labels = 0;

	for (size_t i = 0; l->zone[i]; i += 1u + l->zone[i])
		labels++;
	wr_u16(&w, ksk ? 48 : 1);
	wr_u8(&w, l->algorithm);
	wr_u8(&w, (uint8_t)(ksk ? labels : labels + 1));
	wr_u32(&w, 3600);
	wr_u32(&w, now + 86400 * 14);
	wr_u32(&w, now - 3600);
	wr_u16(&w, l->tag);
	wr_bytes(&w, l->zone, l->zone_len);
	if (!ksk) {
		char label[16];
		int len = snprintf(label, sizeof(label), "h%u", n);

		wr_u8(&w, (uint8_t)len);
		wr_bytes(&w, label, (size_t)len);
	}
	wr_bytes(&w, l->zone, l->zone_len);
	wr_u16(&w, ksk ? 48 : 1);
	wr_u16(&w, 1);
	wr_u32(&w, 3600);
	if (ksk) {
		wr_u16(&w, (uint16_t)(4 + k->pub_len));
		wr_u16(&w, 257);
		wr_u8(&w, 3);
		wr_u8(&w, l->algorithm);
		wr_bytes(&w, k->pub, k->pub_len);
	} else {
		wr_u16(&w, 4);
		wr_u32(&w, n);
	}
	ck_assert_int_eq(w.err, 0);
	return w.len;
}

bool rig_verify(const struct rig_key *k, const struct sign_req *q)
{
	EVP_PKEY *pkey = NULL;
	bool ok;

	ck_assert_int_eq(pub_to_pkey(k->line.algorithm, k->pub, k->pub_len, &pkey), 0);
	ok = pub_verify(pkey, k->line.algorithm, q->tbs, q->tbs_len, q->sig, q->sig_len) == 0;
	EVP_PKEY_free(pkey);
	return ok;
}

static void batch_done(struct sign_batch *b, void *arg)
{
	struct rig_batch *rb = arg;

	pthread_mutex_lock(&rb->rig->lock);
	rb->done = true;
	rb->rig->batches_done++;
	pthread_mutex_unlock(&rb->rig->lock);
}

#define RIG_TBS 2048

struct rig_batch *rig_batch_new(struct rig *r, const struct rig_key *k, size_t n)
{
	struct rig_batch *b = calloc(1, sizeof(*b));

	ck_assert_ptr_nonnull(b);
	b->rig = r;
	b->b.n = n;
	b->b.prio = SIGN_ROUTINE;
	b->b.done = batch_done;
	b->b.arg = b;
	b->b.req = calloc(n ? n : 1, sizeof(*b->b.req));
	b->octets = malloc((n ? n : 1) * (RIG_TBS + SIG_MAX));
	ck_assert(b->b.req && b->octets);
	for (size_t i = 0; i < n; i++) {
		struct sign_req *q = &b->b.req[i];
		uint8_t *tbs = b->octets + i * (RIG_TBS + SIG_MAX);

		memcpy(q->key, k->line.id, KEY_ID_LEN);
		q->tbs = tbs;
		q->tbs_len = (uint32_t)rig_tbs(r, k, (unsigned)i, tbs);
		q->sig = tbs + RIG_TBS;
		q->sig_cap = SIG_MAX;
	}
	return b;
}

void rig_batch_free(struct rig_batch *b)
{
	free(b->octets);
	free(b->b.req);
	free(b);
}

bool rig_batch_done(struct rig_batch *b)
{
	bool done;

	pthread_mutex_lock(&b->rig->lock);
	done = b->done;
	pthread_mutex_unlock(&b->rig->lock);
	return done;
}

size_t rig_batch_good(struct rig_batch *b, const struct rig_key *k)
{
	size_t good = 0;

	for (size_t i = 0; i < b->b.n; i++)
		good += b->b.req[i].result == 0 && b->b.req[i].session && rig_verify(k, &b->b.req[i]);
	return good;
}
