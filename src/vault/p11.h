/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside of the PKCS#11 back end: p11_module.c (the library and thin, marked calls), p11_store.c (token,
 * login, healing), p11_key.c (objects and their attributes), backend_p11.c (sessions and signatures).
 */
#ifndef ZONESEAL_VAULT_P11_H
#define ZONESEAL_VAULT_P11_H

#include <pthread.h>
#include <p11-kit/pkcs11.h>
#include <p11-kit/uri.h>
#include "backend.h"

#ifndef CKM_EDDSA
#define CKM_EDDSA 0x1057UL
#endif
#ifndef CKM_EC_EDWARDS_KEY_PAIR_GEN
#define CKM_EC_EDWARDS_KEY_PAIR_GEN 0x1055UL
#endif
#ifndef CKK_EC_EDWARDS
#define CKK_EC_EDWARDS 0x40UL
#endif

/* PKCS#11 3.0 CK_EDDSA_PARAMS, which the 2.40 header lacks. */
struct p11_eddsa_params {
	unsigned char ph_flag;
	unsigned long context_len;
	unsigned char *context;
};

struct p11 {
	struct backend base;
	const struct proto_setup *setup;
	const struct backend_host *host;
	struct call_mark *steward;
	void *dl;
	CK_FUNCTION_LIST *f;
	bool initialized;
	bool serial;                 /* the module wants one caller at a time */
	pthread_mutex_t serial_lock;
	P11KitUri *uri;
	CK_SLOT_ID slot;             /* found by token, good until the next finalize */
	CK_TOKEN_INFO token;
	CK_SESSION_HANDLE idle;      /* holds the login; 0: none */
	bool write_sessions;         /* read-only ones are not to be had */
	_Atomic uint64_t keys;       /* raised when object handles die: sessions forget theirs */
	_Atomic int variant[17];     /* per algorithm: which way of signing works */
	_Atomic int proven[17];
};

/* Where a call is made: module, whose mark, in which session. */
struct p11_at {
	struct p11 *p;
	struct call_mark *mark;
	CK_SESSION_HANDLE h;
};

/* What a return value means for us. */
enum p11_class {
	RV_OK,
	RV_REQUEST,      /* the request's or key's own: restarts nothing */
	RV_MECHANISM,    /* likewise, and another mechanism may do */
	RV_BUSY,         /* no more sessions or memory */
	RV_SESSION,      /* this session is done for */
	RV_KEYS,         /* and every key handle */
	RV_SESSIONS,     /* all sessions are */
	RV_LOGIN,
	RV_TOKEN,        /* token or library lost */
};
enum p11_class p11_class(CK_RV rv);
const char *p11_rv_text(CK_RV rv, char buf[48]);
/* Class to zs_err; tells the steward when a session is not all that is broken. */
int p11_failed(struct p11 *p, CK_RV rv);

void p11_enter(struct p11 *p, struct call_mark *m, enum call_kind kind);
void p11_leave(struct p11 *p, struct call_mark *m);

/* p11_module.c */
int p11_load(struct p11 *p, char *text, size_t cap);
int p11_initialize(struct p11 *p, char *text, size_t cap);
void p11_finalize(struct p11 *p);
CK_RV p11_open_session(struct p11_at *at, bool write);
void p11_close_session(struct p11_at *at);
CK_RV p11_find(const struct p11_at *at, CK_OBJECT_CLASS class, const uint8_t id[KEY_ID_LEN],
	       CK_OBJECT_HANDLE *out, size_t max, size_t *n);
/* *len: room, then octets; CKR_ATTRIBUTE_TYPE_INVALID for every way in which a token says that it has
 * none. */
CK_RV p11_attribute(const struct p11_at *at, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *dst,
		    size_t *len);
/* *begun: C_SignInit succeeded, so that the session must go when C_Sign fails. */
CK_RV p11_sign(const struct p11_at *at, CK_MECHANISM *m, CK_OBJECT_HANDLE key, const uint8_t *msg, size_t len,
	       uint8_t *sig, size_t *sig_len, bool *begun);

/* p11_store.c */
int p11_open(struct backend *b, enum heal from, uint32_t *sessions, char *text, size_t cap);
enum heal p11_tick(struct backend *b);

/* p11_key.c */
struct p11_pub {
	uint8_t octets[PUBKEY_MAX];
	size_t len;
};
/* The private key with that id: exactly one. 0, ZS_ENOENT, ZS_EKEY (several), ZS_EVAULT. */
int p11_find_key(const struct p11_at *at, const uint8_t id[KEY_ID_LEN], CK_OBJECT_HANDLE *out);
/* Its public key, from the public object or from the private one. */
int p11_read_pub(const struct p11_at *at, const uint8_t id[KEY_ID_LEN], CK_OBJECT_HANDLE priv, uint8_t alg,
		 struct p11_pub *out);
int p11_generate(struct backend *b, const struct keymap_line *l, uint8_t *pub, size_t *pub_len);
int p11_remove(struct backend *b, const uint8_t id[KEY_ID_LEN]);
int p11_test(struct backend *b, char *text, size_t cap);

/* backend_p11.c: a signature in wire form; discard: the session must go whatever the result is. */
int p11_make_signature(const struct p11_at *at, uint8_t alg, CK_OBJECT_HANDLE key, size_t modulus,
		       const uint8_t *msg, size_t len, uint8_t *sig, size_t *sig_len, bool *discard);
/* Signs the challenge with it and verifies in software. */
int p11_challenge(const struct p11_at *at, uint8_t alg, CK_OBJECT_HANDLE key, const struct p11_pub *pub,
		  bool *discard);
/* Octets of an RSA signature by this public key field; 0 for other algorithms. */
size_t p11_modulus_len(uint8_t alg, const struct p11_pub *pub);

#endif
