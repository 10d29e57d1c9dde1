/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The parent's side of one vault. Everything is queued and answered through vmanage_event(); the only files
 * touched are the PIN file and the latch, when the vault asks for the PIN. The PIN travels in a pipe whose
 * read end is passed, so that it never stands in a frame buffer. No clock of its own: the heartbeat's age is
 * counted from the vmanage_overdue() call that first sees it, and anew after a time in which nobody called
 * (the parent was stopped, or the machine was: the vault is not to blame).
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* pipe2 */
#endif
#include "vault/manage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/frame.h"
#include "base/fs.h"
#include "base/log.h"
#include "latch.h"
#include "proto.h"

#define OUT_MAX (512u << 20)       /* a keymap of a million lines */
#define KEYMAP_FRAME (1u << 20)

struct vmanage {
	struct frame_conn *conn;
	const struct vmanage_ops *ops;
	void *ctx;
	struct proto_setup setup;
	char *pin_file, *latch_path;
	bool login_open;   /* the PIN was handed over, its fate is not known */
	bool owes_refusal; /* it was refused, and the latch does not say so yet */
	/* the last heartbeat: what runs, since when; `fresh` until overdue() has seen it */
	uint8_t call;
	uint32_t age_ms;
	bool fresh, beat_seen;
	mono_t beat_at, looked_at;
};

static int put_string(char *dst, size_t cap, const char *src)
{
	if (src && strlen(src) >= cap)
		return ZS_EINVAL;
	strcpy(dst, src ? src : "");
	return 0;
}

static int setup_copy(struct vmanage *m, const struct vault_setup *s)
{
	m->setup.file = s->file;
	m->setup.sessions = s->sessions;
	m->setup.threads = s->threads;
	if (put_string(m->setup.keystore, sizeof(m->setup.keystore), s->keystore) ||
	    put_string(m->setup.key_dir, sizeof(m->setup.key_dir), s->key_dir) ||
	    put_string(m->setup.module, sizeof(m->setup.module), s->module) ||
	    put_string(m->setup.uri, sizeof(m->setup.uri), s->uri))
		return ZS_EINVAL;
	m->pin_file = s->pin_file ? strdup(s->pin_file) : NULL;
	m->latch_path = s->latch_path ? strdup(s->latch_path) : NULL;
	return (s->pin_file && !m->pin_file) || (s->latch_path && !m->latch_path) ? ZS_ENOMEM : 0;
}

/* Queues the frame and gives the writer back. */
static int send_frame(struct vmanage *m, uint8_t type, struct wr *w)
{
	int rc = w->err ? w->err : frame_send(m->conn, type, w->p, w->len, NULL, 0);

	if (w->max)
		wr_free(w);
	if (rc)
		return rc;
	rc = frame_flush(m->conn);
	return rc == ZS_EAGAIN ? 0 : rc;
}

struct vmanage *vmanage_new(int fd, const struct vault_setup *setup, const struct vmanage_ops *ops, void *ctx)
{
	struct vmanage *m = calloc(1, sizeof(*m));
	struct wr w = wr_growing(64 << 10);

	if (!m)
		return NULL;
	m->ops = ops;
	m->ctx = ctx;
	if (setup_copy(m, setup) || !(m->conn = frame_conn_new(fd, OUT_MAX)))
		goto fail;
	proto_put_setup(&w, &m->setup);
	send_frame(m, PT_SETUP, &w); /* a closed socket shows at the first event */
	return m;
fail:
	vmanage_free(m);
	return NULL;
}

void vmanage_free(struct vmanage *m)
{
	if (!m)
		return;
	frame_conn_free(m->conn);
	free(m->pin_file);
	free(m->latch_path);
	free(m);
}

int vmanage_fd(const struct vmanage *m)
{
	return frame_conn_fd(m->conn);
}

bool vmanage_wants_write(const struct vmanage *m)
{
	return frame_pending(m->conn) > 0;
}

/* Passes the PIN's pipe. The kernel buffers the few octets; the write end is closed behind them. */
static int send_pin(struct vmanage *m, const char *pin, size_t len)
{
	uint8_t code = PIN_HERE;
	int fds[2], rc;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return zs_from_errno(errno);
	rc = write(fds[1], pin, len) == (ssize_t)len ? 0 : ZS_EIO;
	close(fds[1]);
	if (!rc)
		rc = frame_send(m->conn, PT_PIN, &code, 1, &fds[0], 1);
	close(fds[0]);
	return rc;
}

/* The latch says that the PIN was refused, or no other is handed over before it does. */
static int tell_latch(struct vmanage *m)
{
	int rc = latch_refuse(m->latch_path);

	if (rc)
		log_msg(LL_ERR, "vault", NULL, "key store %s: the PIN latch cannot be written: %s",
			m->setup.keystore, zs_strerror(rc));
	m->owes_refusal = rc != 0;
	return rc ? ZS_EPIN : 0;
}

static int on_need_pin(struct vmanage *m)
{
	char *pin = NULL;
	size_t len = 0;
	unsigned before = 0;
	uint8_t code;
	int rc = m->latch_path ? 0 : ZS_EINVAL;

	if (m->owes_refusal)
		rc = tell_latch(m);
	if (!rc)
		rc = latch_arm(m->latch_path, m->setup.keystore, m->pin_file, &pin, &len, &before);
	if (!rc && before)
		log_msg(LL_WARN, "vault", NULL,
			"key store %s: the last login ended without an answer; it is tried once more",
			m->setup.keystore);
	if (!rc) {
		rc = send_pin(m, pin, len);
		fs_free_secret(pin, len);
		m->login_open = rc == 0;
		if (!rc)
			return 0;
		if (!before)
			latch_clear(m->latch_path); /* it never left */
	}
	if (rc != ZS_EPIN && rc != ZS_ENOENT)
		log_limited(LL_ERR, "vault", NULL, "pin", 3, "key store %s: PIN file or latch: %s",
			    m->setup.keystore, zs_strerror(rc));
	code = rc == ZS_EPIN ? PIN_LATCHED : !m->pin_file ? PIN_NONE : PIN_ERROR;
	return frame_send(m->conn, PT_PIN, &code, 1, NULL, 0);
}

static int on_login(struct vmanage *m, struct rd *r)
{
	uint8_t code = rd_u8(r);
	char text[96];

	proto_get_str(r, text, sizeof(text));
	if (rd_done(r) || !m->login_open)
		return ZS_EFORMAT;
	m->login_open = false;
	if (code == LOGIN_REFUSED) {
		tell_latch(m);
		log_msg(LL_ERR, "vault", NULL,
			"key store %s: login refused (%s); not tried again until the PIN file changes or "
			"`hsm retry`",
			m->setup.keystore, text);
		return 0;
	}
	/* right, or not the PIN's fault */
	if (latch_clear(m->latch_path))
		log_msg(LL_ERR, "vault", NULL, "key store %s: cannot remove the PIN latch",
			m->setup.keystore);
	return 0;
}

static int on_state(struct vmanage *m, struct rd *r)
{
	struct proto_state s;
	int rc = proto_get_state(r, &s, false);

	if (!rc && m->ops->state)
		m->ops->state(m->ctx, s.up, s.text);
	return rc;
}

static int on_beat(struct vmanage *m, struct rd *r)
{
	uint8_t kind = rd_u8(r);
	uint32_t age = rd_u32(r);

	if (rd_done(r) || kind >= CALL_KINDS)
		return ZS_EFORMAT;
	m->call = kind;
	m->age_ms = age;
	m->fresh = true;
	return 0;
}

static int on_generated(struct vmanage *m, struct rd *r)
{
	uint64_t id = rd_u64(r);
	uint8_t status = rd_u8(r);
	size_t len = rd_u16(r);
	const uint8_t *pub = rd_bytes(r, len);

	if (rd_done(r) || len > PUBKEY_MAX || (status == PS_OK && !len))
		return ZS_EFORMAT;
	if (m->ops->generated)
		m->ops->generated(m->ctx, id, proto_err(status), pub, len);
	return 0;
}

static int on_deleted(struct vmanage *m, struct rd *r)
{
	uint64_t id = rd_u64(r);
	uint8_t status = rd_u8(r);

	if (rd_done(r))
		return ZS_EFORMAT;
	if (m->ops->deleted)
		m->ops->deleted(m->ctx, id, proto_err(status));
	return 0;
}

/* Result and text of what the parent asked for by number. */
static int on_text(struct vmanage *m, struct rd *r, void (*told)(void *, uint64_t, int, const char *))
{
	uint64_t id = rd_u64(r);
	uint8_t status = rd_u8(r);
	char text[512];

	proto_get_str(r, text, sizeof(text));
	if (rd_done(r))
		return ZS_EFORMAT;
	if (told)
		told(m->ctx, id, proto_err(status), text);
	return 0;
}

static int on_frame(struct vmanage *m, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);

	while (f->nfds)
		close(f->fds[--f->nfds]);
	switch (f->type) {
	case PT_STATE:
		return on_state(m, &r);
	case PT_BEAT:
		return on_beat(m, &r);
	case PT_NEED_PIN:
		return f->len ? ZS_EFORMAT : on_need_pin(m);
	case PT_LOGIN:
		return on_login(m, &r);
	case PT_GENERATED:
		return on_generated(m, &r);
	case PT_DELETED:
		return on_deleted(m, &r);
	case PT_TESTED:
		return on_text(m, &r, m->ops->tested);
	case PT_BACKED_UP:
		return on_text(m, &r, m->ops->backed_up);
	}
	return ZS_EFORMAT;
}

int vmanage_event(struct vmanage *m)
{
	struct frame f;
	int rc, flush;

	while ((rc = frame_recv(m->conn, &f)) == 0) {
		rc = on_frame(m, &f);
		if (rc)
			return ZS_EFORMAT;
	}
	if (rc != ZS_EAGAIN)
		return rc == ZS_ECLOSED ? ZS_ECLOSED : ZS_EFORMAT;
	flush = frame_flush(m->conn);
	return flush == 0 || flush == ZS_EAGAIN ? 0 : ZS_ECLOSED;
}

/* The store's own lines, and those of other stores for the same zones: a DNSKEY RRset may hold both. */
static bool line_wanted(const struct vmanage *m, const struct keymap *all, const struct keymap_line *l)
{
	const struct keymap_line *z;
	size_t at = 0;

	if (strcmp(l->keystore, m->setup.keystore) == 0)
		return true;
	while ((z = keymap_next_of_zone(all, l->zone, l->zone_len, &at)))
		if (strcmp(z->keystore, m->setup.keystore) == 0)
			return true;
	return false;
}

int vmanage_keymap(struct vmanage *m, const struct keymap *all)
{
	struct wr w = wr_growing(KEYMAP_FRAME + 4096);
	uint8_t flags = 1;
	uint32_t n = 0;
	size_t i = 0;
	int rc = 0;

	do {
		wr_u8(&w, 0);
		wr_u32(&w, 0);
		for (n = 0; i < all->n && w.len < KEYMAP_FRAME; i++) {
			if (!line_wanted(m, all, &all->line[i]))
				continue;
			proto_put_line(&w, &all->line[i]);
			n++;
		}
		if (w.err) {
			rc = w.err;
			wr_free(&w);
			return rc;
		}
		w.p[0] = i < all->n ? flags : flags | 2;
		flags = 0;
		wr_put_u32(&w, 1, n);
		rc = send_frame(m, PT_KEYMAP, &w); /* empties w */
	} while (!rc && i < all->n);
	return rc;
}

int vmanage_engine(struct vmanage *m, int fd)
{
	int rc = frame_send(m->conn, PT_ENGINE, NULL, 0, &fd, 1);

	if (rc)
		return rc;
	rc = frame_flush(m->conn);
	return rc == ZS_EAGAIN ? 0 : rc;
}

int vmanage_generate(struct vmanage *m, uint64_t id, const struct keymap_line *line)
{
	struct wr w = wr_growing(4096);

	wr_u64(&w, id);
	proto_put_line(&w, line);
	return send_frame(m, PT_GENERATE, &w);
}

int vmanage_delete(struct vmanage *m, uint64_t id, const uint8_t key[KEY_ID_LEN])
{
	uint8_t buf[8 + KEY_ID_LEN];
	struct wr w = wr_fixed(buf, sizeof(buf));

	wr_u64(&w, id);
	wr_bytes(&w, key, KEY_ID_LEN);
	return send_frame(m, PT_DELETE, &w);
}

int vmanage_test(struct vmanage *m, uint64_t id)
{
	uint8_t buf[8];
	struct wr w = wr_fixed(buf, sizeof(buf));

	wr_u64(&w, id);
	return send_frame(m, PT_TEST, &w);
}

int vmanage_backup(struct vmanage *m, uint64_t id, int dir)
{
	uint8_t buf[8];
	struct wr w = wr_fixed(buf, sizeof(buf));
	int rc;

	wr_u64(&w, id);
	rc = frame_send(m->conn, PT_BACKUP, w.p, w.len, &dir, 1);
	if (rc)
		return rc;
	rc = frame_flush(m->conn);
	return rc == ZS_EAGAIN ? 0 : rc;
}

int vmanage_retry(struct vmanage *m)
{
	struct wr w = wr_fixed(NULL, 0);
	int rc = m->latch_path && !m->login_open ? latch_clear(m->latch_path) : 0;

	m->owes_refusal &= rc != 0;
	return rc ? rc : send_frame(m, PT_RETRY, &w);
}

int vmanage_overdue(const struct vmanage *cm, mono_t now)
{
	struct vmanage *m = (struct vmanage *)(uintptr_t)cm; /* only the stamp of the beat is taken here */
	int64_t age_ms;

	if (m->fresh || !m->beat_seen || mono_diff(now, m->looked_at) > MONO_S(BEAT_LOST)) {
		m->beat_at = now;
		m->fresh = false;
		m->beat_seen = true;
	}
	m->looked_at = now;
	age_ms = mono_diff(now, m->beat_at) / 1000;
	if (age_ms > BEAT_LOST * 1000)
		return (int)(age_ms / 1000); /* the loop itself hangs */
	if (m->call == CALL_NONE)
		return 0;
	age_ms += m->age_ms;
	return age_ms > call_deadline(m->call) * 1000 ? (int)(age_ms / 1000) : 0;
}

int vmanage_quit(struct vmanage *m)
{
	struct wr w = wr_fixed(NULL, 0);

	return send_frame(m, PT_QUIT, &w);
}
