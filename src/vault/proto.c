/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Codecs of PROTOCOL.vault. Every reader checks what it can without context: lengths, enumerations, bounds.
 * Used by vault, client and parent side; pure.
 */
#include "proto.h"

#include <string.h>

#include "base/err.h"

static const int status_err[PS_COUNT] = {
	[PS_OK] = 0, [PS_REFUSED] = ZS_EREFUSED, [PS_KEY] = ZS_EKEY, [PS_VAULT] = ZS_EVAULT,
	[PS_LIMIT] = ZS_ELIMIT, [PS_CRYPTO] = ZS_ECRYPTO, [PS_RETRY] = ZS_EAGAIN, [PS_TOUCHED] = ZS_EAGAIN,
	[PS_NOENT] = ZS_ENOENT, [PS_IO] = ZS_EIO, [PS_NOSPC] = ZS_ENOSPC, [PS_PERM] = ZS_EPERM,
	[PS_NOMEM] = ZS_ENOMEM, [PS_INVAL] = ZS_EINVAL, [PS_OTHER] = ZS_EVAULT,
};

enum proto_status proto_status(int err)
{
	for (int s = 0; s < PS_OTHER; s++)
		if (status_err[s] == err)
			return (enum proto_status)s;
	return PS_OTHER;
}

int proto_err(uint8_t status)
{
	return status < PS_COUNT ? status_err[status] : ZS_EVAULT;
}

int call_deadline(uint8_t kind)
{
	static const int seconds[CALL_KINDS] = { 0, 10, 60, 300 };

	return kind < CALL_KINDS ? seconds[kind] : 0;
}

void proto_put_str(struct wr *w, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	wr_u16(w, (uint16_t)n);
	wr_bytes(w, s ? s : "", n);
	if (n > UINT16_MAX && !w->err)
		w->err = ZS_ELIMIT;
}

void proto_get_str(struct rd *r, char *dst, size_t cap)
{
	size_t n = rd_u16(r);
	const uint8_t *p = rd_bytes(r, n);

	dst[0] = 0;
	if (!p)
		return;
	if (n >= cap || memchr(p, 0, n)) {
		r->err = ZS_EFORMAT;
		return;
	}
	memcpy(dst, p, n);
	dst[n] = 0;
}

static void get_copy(struct rd *r, void *dst, size_t n)
{
	const uint8_t *p = rd_bytes(r, n);

	if (p)
		memcpy(dst, p, n);
}

void proto_put_line(struct wr *w, const struct keymap_line *l)
{
	wr_bytes(w, l->id, KEY_ID_LEN);
	proto_put_str(w, l->keystore);
	wr_u8(w, l->zone_len);
	wr_bytes(w, l->zone, l->zone_len);
	wr_u8(w, (uint8_t)l->role);
	wr_u8(w, l->algorithm);
	wr_u16(w, l->bits);
	wr_u64(w, (uint64_t)l->max_validity);
	wr_u8(w, l->has_pub);
	if (!l->has_pub)
		return;
	wr_bytes(w, l->pub_sha256, sizeof(l->pub_sha256));
	wr_u16(w, l->tag);
	wr_bytes(w, l->ds_sha256, sizeof(l->ds_sha256));
	wr_bytes(w, l->ds_sha384, sizeof(l->ds_sha384));
}

void proto_get_line(struct rd *r, struct keymap_line *l)
{
	uint8_t role;

	memset(l, 0, sizeof(*l));
	get_copy(r, l->id, KEY_ID_LEN);
	proto_get_str(r, l->keystore, sizeof(l->keystore));
	l->zone_len = rd_u8(r);
	get_copy(r, l->zone, l->zone_len);
	role = rd_u8(r);
	l->role = (enum key_role)role;
	l->algorithm = rd_u8(r);
	l->bits = rd_u16(r);
	l->max_validity = (int64_t)rd_u64(r);
	l->has_pub = rd_u8(r) != 0;
	if (l->has_pub) {
		get_copy(r, l->pub_sha256, sizeof(l->pub_sha256));
		l->tag = rd_u16(r);
		get_copy(r, l->ds_sha256, sizeof(l->ds_sha256));
		get_copy(r, l->ds_sha384, sizeof(l->ds_sha384));
	}
	if (!r->err && (role < ROLE_KSK || role > ROLE_CSK || l->max_validity < 0 || !l->zone_len))
		r->err = ZS_EFORMAT;
}

void proto_put_setup(struct wr *w, const struct proto_setup *s)
{
	wr_u16(w, PROTO_VERSION);
	wr_u8(w, s->file);
	wr_u32(w, s->sessions);
	wr_u32(w, s->threads);
	proto_put_str(w, s->keystore);
	proto_put_str(w, s->key_dir);
	proto_put_str(w, s->module);
	proto_put_str(w, s->uri);
}

int proto_get_setup(struct rd *r, struct proto_setup *s)
{
	uint16_t version = rd_u16(r);

	memset(s, 0, sizeof(*s));
	s->file = rd_u8(r) != 0;
	s->sessions = rd_u32(r);
	s->threads = rd_u32(r);
	proto_get_str(r, s->keystore, sizeof(s->keystore));
	proto_get_str(r, s->key_dir, sizeof(s->key_dir));
	proto_get_str(r, s->module, sizeof(s->module));
	proto_get_str(r, s->uri, sizeof(s->uri));
	if (rd_done(r))
		return rd_done(r);
	return version == PROTO_VERSION ? 0 : ZS_EVERSION;
}

void proto_put_request(struct wr *w, uint64_t id, enum sign_prio prio, const struct sign_req *q)
{
	wr_u64(w, id);
	wr_u8(w, (uint8_t)prio);
	wr_u16(w, q->avoid_session);
	wr_bytes(w, q->key, KEY_ID_LEN);
	wr_u32(w, q->tbs_len);
	wr_bytes(w, q->tbs, q->tbs_len);
}

void proto_get_request(struct rd *r, struct proto_request *q)
{
	q->id = rd_u64(r);
	q->prio = rd_u8(r);
	q->avoid = rd_u16(r);
	q->key = rd_bytes(r, KEY_ID_LEN);
	q->tbs_len = rd_u32(r);
	if (!r->err && (q->tbs_len > TBS_MAX || q->prio >= SIGN_PRIOS))
		r->err = ZS_EFORMAT;
	q->tbs = r->err ? NULL : rd_bytes(r, q->tbs_len);
}

void proto_put_result(struct wr *w, const struct proto_result *s)
{
	wr_u64(w, s->id);
	wr_u8(w, s->status);
	wr_u8(w, s->detail);
	wr_u16(w, s->session);
	wr_u32(w, s->usec);
	wr_u16(w, s->sig_len);
	wr_bytes(w, s->sig, s->sig_len);
}

void proto_get_result(struct rd *r, struct proto_result *s)
{
	s->id = rd_u64(r);
	s->status = rd_u8(r);
	s->detail = rd_u8(r);
	s->session = rd_u16(r);
	s->usec = rd_u32(r);
	s->sig_len = rd_u16(r);
	if (!r->err && (s->sig_len > SIG_MAX || s->status >= PS_COUNT))
		r->err = ZS_EFORMAT;
	s->sig = r->err ? NULL : rd_bytes(r, s->sig_len);
}

void proto_put_state(struct wr *w, const struct proto_state *s, bool with_window)
{
	wr_u8(w, s->up);
	wr_u32(w, s->sessions);
	wr_u32(w, s->sessions_max);
	if (with_window)
		wr_u32(w, s->window);
	proto_put_str(w, s->text);
}

int proto_get_state(struct rd *r, struct proto_state *s, bool with_window)
{
	memset(s, 0, sizeof(*s));
	s->up = rd_u8(r) != 0;
	s->sessions = rd_u32(r);
	s->sessions_max = rd_u32(r);
	if (with_window)
		s->window = rd_u32(r);
	proto_get_str(r, s->text, sizeof(s->text));
	return rd_done(r);
}
