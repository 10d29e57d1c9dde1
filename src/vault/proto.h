/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The frames between parent, vault and engine, as PROTOCOL.vault describes them. Writers append to a struct
 * wr, readers take from a struct rd; both have sticky errors, so that callers check once. A frame that does
 * not decode whole ends its connection: peers are our own processes, and one that talks nonsense was taken
 * over.
 */
#ifndef ZONESEAL_VAULT_PROTO_H
#define ZONESEAL_VAULT_PROTO_H

#include "base/buf.h"
#include "vault/client.h"
#include "vault/keymap.h"

#define PROTO_VERSION 1

enum proto_type {
	/* parent -> vault */
	PT_SETUP = 1, PT_KEYMAP, PT_ENGINE, PT_GENERATE, PT_DELETE, PT_TEST, PT_PIN, PT_RETRY, PT_QUIT,
	PT_BACKUP,
	/* vault -> parent */
	PT_STATE = 32, PT_BEAT, PT_NEED_PIN, PT_LOGIN, PT_GENERATED, PT_DELETED, PT_TESTED, PT_BACKED_UP,
	/* engine -> vault */
	PT_SIGN = 64,
	/* vault -> engine */
	PT_RESULT = 96, PT_STATUS, PT_BYE,
};

/* Results on the wire; zs_err numbers stay inside a process. */
enum proto_status {
	PS_OK, PS_REFUSED, PS_KEY, PS_VAULT, PS_LIMIT, PS_CRYPTO,
	PS_RETRY,   /* not begun, the key store went down: send again */
	PS_TOUCHED, /* begun, the key store went down: send again, but count */
	PS_NOENT, PS_IO, PS_NOSPC, PS_PERM, PS_NOMEM, PS_INVAL, PS_OTHER, PS_COUNT
};
enum proto_status proto_status(int err);
int proto_err(uint8_t status); /* PS_RETRY and PS_TOUCHED give ZS_EAGAIN */

enum pin_code { PIN_HERE, PIN_NONE, PIN_LATCHED, PIN_ERROR };
enum login_code { LOGIN_OK, LOGIN_REFUSED, LOGIN_OTHER };

/* What a vendor call is doing; its deadline follows. Open and login share one. */
enum call_kind { CALL_NONE, CALL_SIGN, CALL_OPEN, CALL_GENERATE, CALL_KINDS };
int call_deadline(uint8_t kind); /* seconds */

#define BEAT_SECONDS 1    /* a beat as often while a vendor call runs, every five else */
#define BEAT_LOST 30      /* seconds without any: the vault's loop hangs */

#define SIGN_FRAME_REQUESTS 1024u     /* most in one frame */
#define SIGN_FRAME_OCTETS (1u << 20)  /* a frame is closed when it has reached this */
#define SIGN_REQUEST_HEAD 31u

struct proto_setup {
	bool file;
	uint32_t sessions, threads;
	char keystore[64];
	char key_dir[4096], module[4096], uri[2048];
};

void proto_put_str(struct wr *w, const char *s);
/* Copies a string; a longer one or one with NUL is an error. */
void proto_get_str(struct rd *r, char *dst, size_t cap);
void proto_put_line(struct wr *w, const struct keymap_line *l);
void proto_get_line(struct rd *r, struct keymap_line *l);
void proto_put_setup(struct wr *w, const struct proto_setup *s);
int proto_get_setup(struct rd *r, struct proto_setup *s);

struct proto_request {
	uint64_t id;
	uint8_t prio;
	uint16_t avoid;
	const uint8_t *key, *tbs;
	uint32_t tbs_len;
};
void proto_put_request(struct wr *w, uint64_t id, enum sign_prio prio, const struct sign_req *q);
/* Next request of a SIGN frame, octets borrowed. Check r->err. */
void proto_get_request(struct rd *r, struct proto_request *q);

struct proto_result {
	uint64_t id;
	uint8_t status, detail;
	uint16_t session;
	uint32_t usec;
	uint16_t sig_len;
	const uint8_t *sig;
};
void proto_put_result(struct wr *w, const struct proto_result *s);
void proto_get_result(struct rd *r, struct proto_result *s);

struct proto_state {
	bool up;
	uint32_t sessions, sessions_max;
	uint32_t window; /* STATUS only: most requests to have open */
	char text[96];
};
void proto_put_state(struct wr *w, const struct proto_state *s, bool with_window);
int proto_get_state(struct rd *r, struct proto_state *s, bool with_window);

#endif
