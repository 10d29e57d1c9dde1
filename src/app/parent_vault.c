/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent and its vaults: one process a key store, restarted with back-off; the keymap, written before a
 * key is made; requests of the engine that only the parent may pass on.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "dns/name.h"
#include "ipc.h"
#include "parent.h"

static void tell_result(struct parent *p, uint8_t type, uint64_t id, int result, const void *data, size_t len)
{
	struct wr w = wr_growing(1 << 16);

	wr_u64(&w, id);
	wr_u32(&w, (uint32_t)-result);
	wr_bytes(&w, data, len);
	if (!w.err)
		parent_tell(p, type, w.p, w.len, NULL, 0);
	wr_free(&w);
}

static struct pending_key *pending_find(struct pvault *v, uint64_t id)
{
	for (size_t i = 0; i < PENDING_KEYS; i++)
		if (v->pending[i].used && v->pending[i].id == id)
			return &v->pending[i];
	return NULL;
}

static int pending_add(struct pvault *v, uint64_t id, const uint8_t key[KEY_ID_LEN])
{
	for (size_t i = 0; i < PENDING_KEYS; i++) {
		if (v->pending[i].used)
			continue;
		v->pending[i].used = true;
		v->pending[i].id = id;
		memcpy(v->pending[i].key, key, KEY_ID_LEN);
		return 0;
	}
	return ZS_EAGAIN;
}

/* The line gets the hash of the public key, durable, before the engine hears of the key. */
static int key_is_made(struct pvault *v, const uint8_t key[KEY_ID_LEN], const uint8_t *pub, size_t len)
{
	struct parent *p = v->parent;
	const struct keymap_line *old = keymap_find(&p->keymap, key);
	struct keymap_line l;
	int err;

	if (!old)
		return ZS_ENOENT;
	l = *old;
	if ((err = keymap_set_pub(&l, pub, len)) || (err = keymap_put(&p->keymap, &l)) ||
	    (err = keymap_save(p->keymap_path, &p->keymap)))
		return err;
	return v->manage ? vmanage_keymap(v->manage, &p->keymap) : ZS_EVAULT;
}

static void on_generated(void *ctx, uint64_t id, int result, const uint8_t *pub, size_t len)
{
	struct pvault *v = ctx;
	struct pending_key *pk = pending_find(v, id);

	if (!pk)
		return;
	pk->used = false;
	if (!result)
		result = key_is_made(v, pk->key, pub, len);
	log_msg(result ? LL_ERR : LL_NOTICE, "parent", NULL, "keystore=%s key generation: %s", v->name,
		result ? zs_strerror(result) : "done");
	tell_result(v->parent, IPC_GENERATED, id, result, pub, result ? 0 : len);
}

/* A vault that died answers nothing any more: the engine is told and asks again. */
static void pending_fail(struct pvault *v)
{
	for (size_t i = 0; i < PENDING_KEYS; i++) {
		if (!v->pending[i].used)
			continue;
		v->pending[i].used = false;
		tell_result(v->parent, IPC_GENERATED, v->pending[i].id, ZS_EVAULT, NULL, 0);
	}
}

static void on_deleted(void *ctx, uint64_t id, int result)
{
	struct pvault *v = ctx;

	log_msg(LL_NOTICE, "parent", NULL, "keystore=%s key deletion %llu: %s", v->name,
		(unsigned long long)id, zs_strerror(result));
}

static void on_tested(void *ctx, uint64_t id, int result, const char *text)
{
	struct pvault *v = ctx;

	tell_result(v->parent, IPC_HSM, id, result, text, strlen(text));
}

static void on_backed_up(void *ctx, uint64_t id, int result, const char *text)
{
	struct pvault *v = ctx;

	parent_backup_keys(v->parent, id, result, text);
}

static void on_state(void *ctx, bool up, const char *text)
{
	struct pvault *v = ctx;

	if (v->up != up || strcmp(v->state, text) != 0)
		log_msg(up ? LL_NOTICE : LL_WARN, "vault", NULL, "keystore=%s %s: %s", v->name,
			up ? "up" : "down", text);
	v->up = up;
	snprintf(v->state, sizeof(v->state), "%s", text);
}

static const struct vmanage_ops ops = {
	.generated = on_generated, .deleted = on_deleted, .tested = on_tested, .state = on_state,
	.backed_up = on_backed_up
};

static int manage_start(struct pvault *v, const struct conf_keystore *ks, int fd)
{
	struct parent *p = v->parent;
	char *key_dir = NULL, *latch = NULL;
	struct vault_setup setup = { .keystore = ks->name,
				     .file = ks->file,
				     .module = ks->module,
				     .uri = ks->uri,
				     .pin_file = ks->pin_file,
				     .sessions = ks->sessions,
				     .threads = p->conf->workers ? p->conf->workers
								 : (unsigned)sysconf(_SC_NPROCESSORS_ONLN) };

	if (asprintf(&key_dir, "%s/keys", p->conf->state_dir) < 0 ||
	    asprintf(&latch, "%s/latch-%s", p->conf->state_dir, ks->name) < 0) {
		close(fd);
		return ZS_ENOMEM;
	}
	setup.key_dir = key_dir;
	setup.latch_path = latch;
	v->manage = vmanage_new(fd, &setup, &ops, v);
	free(key_dir);
	free(latch);
	return v->manage ? vmanage_keymap(v->manage, &p->keymap) : ZS_ENOMEM;
}

void parent_vault_start(struct pvault *v)
{
	struct parent *p = v->parent;
	const struct conf_keystore *ks = conf_keystore(p->conf, v->name);
	struct child_user user;
	char ident[128];
	int fd, err;

	v->restart_at.us = 0;
	v->backoff.started = clk_mono();
	if (!ks)
		return;
	snprintf(ident, sizeof(ident), "zoneseald: vault %s", v->name);
	err = child_user(p->conf->vault_user, &user);
	if (!err)
		err = child_start(p->self, "vault", ident, &user, ks->env, ks->nenv, &v->pid, &fd);
	if (!err && (err = manage_start(v, ks, fd)))
		kill(v->pid, SIGKILL);
	if (err) {
		log_msg(LL_ERR, "vault", NULL, "keystore=%s cannot start: %s", v->name, zs_strerror(err));
		v->restart_at = mono_add(clk_mono(), backoff_next(&v->backoff, clk_mono()));
		return;
	}
	parent_vault_connect(v);
}

void parent_vault_connect(struct pvault *v)
{
	int sv[2];

	if (!v->manage || !v->parent->engine)
		return;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) != 0) {
		log_msg(LL_ERR, "parent", NULL, "socketpair: %s", strerror(errno));
		return;
	}
	if (vmanage_engine(v->manage, sv[0]) == 0)
		parent_tell(v->parent, IPC_VAULT, v->name, strlen(v->name), &sv[1], 1);
	close(sv[0]);
	close(sv[1]);
}

void parent_pending_forget(struct parent *p)
{
	for (size_t i = 0; i < p->nvault; i++)
		memset(p->vault[i]->pending, 0, sizeof(p->vault[i]->pending));
}

void parent_vault_event(struct pvault *v)
{
	int err = vmanage_event(v->manage);

	if (!err)
		return;
	vmanage_free(v->manage);
	v->manage = NULL;
	if (v->pid)
		kill(v->pid, SIGKILL);
}

void parent_vault_died(struct pvault *v, int status)
{
	int64_t wait = backoff_next(&v->backoff, clk_mono());

	if (v->manage)
		vmanage_event(v->manage); /* what it said last */
	vmanage_free(v->manage);
	v->manage = NULL;
	v->pid = 0;
	pending_fail(v);
	parent_backup_vault_died(v->parent, v);
	on_state(v, false, "vault process ended");
	if (v->parent->stopping || v->gone)
		return;
	log_msg(LL_ERR, "vault", NULL, "keystore=%s vault ended (%s %d), restart in %lld s", v->name,
		WIFSIGNALED(status) ? "signal" : "status",
		WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status), (long long)(wait / 1000000));
	v->restart_at = mono_add(clk_mono(), wait);
}

struct pvault *parent_vault_find(struct parent *p, const char *name)
{
	for (size_t i = 0; i < p->nvault; i++)
		if (strcmp(p->vault[i]->name, name) == 0)
			return p->vault[i];
	return NULL;
}

void parent_vault_free(struct pvault *v)
{
	vmanage_free(v->manage);
	if (v->pid) {
		kill(v->pid, SIGTERM);
		kill(v->pid, SIGKILL);
	}
	free(v->name);
	free(v);
}

static int vault_add(struct parent *p, const char *name)
{
	struct pvault **more = realloc(p->vault, (p->nvault + 1) * sizeof(struct pvault *));
	struct pvault *v = calloc(1, sizeof(*v));

	if (more)
		p->vault = more;
	if (!more || !v || !(v->name = strdup(name))) {
		free(v);
		return ZS_ENOMEM;
	}
	v->parent = p;
	p->vault[p->nvault++] = v;
	parent_vault_start(v);
	return 0;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

static bool same_keystore(const struct conf_keystore *a, const struct conf_keystore *b)
{
	if (a->file != b->file || !same_text(a->module, b->module) || !same_text(a->uri, b->uri) ||
	    !same_text(a->pin_file, b->pin_file) || a->sessions != b->sessions || a->nenv != b->nenv)
		return false;
	for (size_t i = 0; i < a->nenv; i++)
		if (!same_text(a->env[i].name, b->env[i].name) ||
		    !same_text(a->env[i].value, b->env[i].value))
			return false;
	return true;
}

/* A key store whose settings changed gets a new vault process; requests wait meanwhile. */
void parent_vaults_changed(struct parent *p, const struct conf *old)
{
	for (size_t i = 0; i < p->nvault; i++) {
		struct pvault *v = p->vault[i];
		const struct conf_keystore *a = conf_keystore(old, v->name),
					   *b = conf_keystore(p->conf, v->name);

		if (!b || (a && same_keystore(a, b)))
			continue;
		log_msg(LL_NOTICE, "vault", NULL, "keystore=%s settings changed: vault is restarted",
			v->name);
		v->gone = false;
		if (v->manage)
			vmanage_quit(v->manage);
		else if (!v->pid)
			v->restart_at = clk_mono();
	}
}

int parent_vaults_sync(struct parent *p)
{
	for (size_t i = 0; i < p->nvault; i++) {
		struct pvault *v = p->vault[i];

		v->gone = !conf_keystore(p->conf, v->name);
		if (v->gone && v->manage)
			vmanage_quit(v->manage);
	}
	for (size_t i = 0; i < p->conf->nkeystores; i++) {
		int err = parent_vault_find(p, p->conf->keystores[i].name)
				  ? 0
				  : vault_add(p, p->conf->keystores[i].name);

		if (err)
			return err;
	}
	return 0;
}

int parent_keymap_load(struct parent *p)
{
	int err;

	if (asprintf(&p->keymap_path, "%s/keymap", p->conf->state_dir) < 0)
		return ZS_ENOMEM;
	err = keymap_load(p->keymap_path, &p->keymap);
	if (err == ZS_ENOENT)
		return 0;
	if (err)
		log_msg(LL_ERR, "parent", NULL, "%s: %s", p->keymap_path, zs_strerror(err));
	else
		parent_keymap_limits(p);
	return err;
}

static int64_t longest_validity(const struct policy *pol)
{
	int64_t v = pol->validity > pol->dnskey_validity ? pol->validity : pol->dnskey_validity;

	return v + pol->inception_offset;
}

void parent_keymap_limits(struct parent *p)
{
	bool changed = false;

	for (size_t i = 0; i < p->keymap.n; i++) {
		struct keymap_line *l = &p->keymap.line[i];
		const struct conf_zone *z = conf_zone(p->conf, l->zone, l->zone_len);

		if (!z || z->policy->unsigned_zone || l->max_validity == longest_validity(z->policy))
			continue;
		l->max_validity = longest_validity(z->policy);
		changed = true;
	}
	if (!changed)
		return;
	if (keymap_save(p->keymap_path, &p->keymap) != 0)
		log_msg(LL_ERR, "parent", NULL, "%s cannot be written", p->keymap_path);
	for (size_t i = 0; i < p->nvault; i++)
		if (p->vault[i]->manage)
			vmanage_keymap(p->vault[i]->manage, &p->keymap);
}

#define ZONE_KEYS_MAX 32

static unsigned keys_of_zone(const struct parent *p, const uint8_t *zone, size_t zlen)
{
	unsigned n = 0;

	for (size_t i = 0; i < p->keymap.n; i++)
		n += p->keymap.line[i].zone_len == zlen && memcmp(p->keymap.line[i].zone, zone, zlen) == 0;
	return n;
}

static int generate(struct parent *p, uint64_t id, const uint8_t *key, const uint8_t *zone, size_t zlen,
		    uint8_t role)
{
	const struct conf_zone *z = conf_zone(p->conf, zone, zlen);
	const struct keymap_line *old = keymap_find(&p->keymap, key);
	struct keymap_line l;
	struct pvault *v;
	int err;

	if (!z || z->policy->unsigned_zone || zlen > sizeof(l.zone) || role < ROLE_KSK || role > ROLE_CSK)
		return ZS_EPERM;
	if ((z->policy->keys == KEYS_CSK) != (role == ROLE_CSK))
		return ZS_EPERM;
	v = parent_vault_find(p, z->policy->keystore);
	if (!v || !v->manage)
		return ZS_EVAULT;
	memset(&l, 0, sizeof(l));
	memcpy(l.id, key, KEY_ID_LEN);
	snprintf(l.keystore, sizeof(l.keystore), "%s", v->name);
	memcpy(l.zone, zone, zlen);
	l.zone_len = (uint8_t)zlen;
	l.role = (enum key_role)role;
	l.algorithm = z->policy->algorithm;
	l.bits = z->policy->rsa_bits;
	l.max_validity = longest_validity(z->policy);
	if (!old && keys_of_zone(p, zone, zlen) >= ZONE_KEYS_MAX)
		return ZS_ELIMIT; /* an engine gone wild does not fill keymap and token */
	if (old && (old->zone_len != zlen || memcmp(old->zone, zone, zlen) != 0 || old->role != l.role ||
		    strcmp(old->keystore, l.keystore) != 0 || old->algorithm != l.algorithm))
		return ZS_EPERM; /* no message of the engine changes a line */
	if (!old && ((err = keymap_put(&p->keymap, &l)) || (err = keymap_save(p->keymap_path, &p->keymap))))
		return err;
	if ((err = vmanage_keymap(v->manage, &p->keymap)))
		return err;
	if ((err = pending_add(v, id, key)))
		return err;
	err = vmanage_generate(v->manage, id, &l);
	if (err)
		pending_find(v, id)->used = false;
	return err;
}

void parent_generate(struct parent *p, const struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	const uint8_t *key = rd_bytes(&r, KEY_ID_LEN);
	uint8_t zlen = rd_u8(&r);
	const uint8_t *zone = rd_bytes(&r, zlen);
	uint8_t role = rd_u8(&r);
	int err = rd_done(&r);

	if (!err)
		err = name_check(zone, zlen);
	if (!err)
		err = generate(p, id, key, zone, zlen, role);
	if (err) {
		log_msg(LL_WARN, "parent", NULL, "key generation refused: %s", zs_strerror(err));
		tell_result(p, IPC_GENERATED, id, err, NULL, 0);
	}
}

void parent_hsm_request(struct parent *p, const struct frame *f, bool retry)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	size_t n = rd_left(&r);
	char name[128];
	struct pvault *v;
	int err;

	snprintf(name, sizeof(name), "%.*s", (int)(n < 100 ? n : 100), (const char *)r.p);
	v = parent_vault_find(p, name);
	if (!v)
		err = ZS_ENOENT;
	else if (!v->manage)
		err = ZS_EVAULT;
	else
		err = retry ? vmanage_retry(v->manage) : vmanage_test(v->manage, id);
	if (err || retry)
		tell_result(p, IPC_HSM, id, err, err ? zs_strerror(err) : "login is tried",
			    strlen(err ? zs_strerror(err) : "login is tried"));
}
