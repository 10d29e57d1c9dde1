/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The vendor's library, loaded by dlopen() in this process only, and the calls that we make on it. Every call
 * is marked with its kind and start, so that the loop can tell the parent; modules that are not thread-safe
 * get one caller at a time. Return values are sorted into classes here, once.
 */
#include "p11.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "base/clk.h"
#include "base/err.h"

#define FIND_ROUNDS 64 /* a search that does not end is ended: some tokens go on for ever */

enum p11_class p11_class(CK_RV rv)
{
	switch (rv) {
	case CKR_OK:
		return RV_OK;
	case CKR_DATA_LEN_RANGE:
	case CKR_DATA_INVALID:
	case CKR_KEY_FUNCTION_NOT_PERMITTED:
	case CKR_KEY_SIZE_RANGE:
	case CKR_ATTRIBUTE_TYPE_INVALID:
	case CKR_ATTRIBUTE_SENSITIVE:
	case CKR_ATTRIBUTE_VALUE_INVALID:
	case CKR_ATTRIBUTE_READ_ONLY:
	case CKR_TEMPLATE_INCOMPLETE:
	case CKR_TEMPLATE_INCONSISTENT:
	case CKR_DOMAIN_PARAMS_INVALID:
		return RV_REQUEST;
	case CKR_MECHANISM_INVALID:
	case CKR_MECHANISM_PARAM_INVALID:
	case CKR_ARGUMENTS_BAD:
	case CKR_KEY_TYPE_INCONSISTENT:
	case CKR_FUNCTION_NOT_SUPPORTED:
		return RV_MECHANISM;
	case CKR_SESSION_COUNT:
	case CKR_DEVICE_MEMORY:
	case CKR_HOST_MEMORY:
		return RV_BUSY;
	case CKR_SESSION_HANDLE_INVALID:
	case CKR_SESSION_CLOSED:
		return RV_SESSIONS;
	case CKR_KEY_HANDLE_INVALID:
	case CKR_OBJECT_HANDLE_INVALID:
		return RV_KEYS;
	case CKR_USER_NOT_LOGGED_IN:
		return RV_LOGIN;
	case CKR_DEVICE_REMOVED:
	case CKR_TOKEN_NOT_PRESENT:
	case CKR_TOKEN_NOT_RECOGNIZED:
	case CKR_SLOT_ID_INVALID:
	case CKR_CRYPTOKI_NOT_INITIALIZED:
		return RV_TOKEN;
	}
	return RV_SESSION;
}

const char *p11_rv_text(CK_RV rv, char buf[48])
{
	static const struct { CK_RV rv; const char *text; } names[] = {
		{ CKR_OK, "ok" }, { CKR_GENERAL_ERROR, "general error" },
		{ CKR_FUNCTION_FAILED, "function failed" }, { CKR_DEVICE_ERROR, "device error" },
		{ CKR_DEVICE_REMOVED, "device removed" }, { CKR_TOKEN_NOT_PRESENT, "token not present" },
		{ CKR_PIN_INCORRECT, "PIN incorrect" }, { CKR_PIN_LOCKED, "PIN locked" },
		{ CKR_PIN_EXPIRED, "PIN expired" }, { CKR_PIN_INVALID, "PIN invalid" },
		{ CKR_PIN_LEN_RANGE, "PIN length" }, { CKR_SESSION_COUNT, "too many sessions" },
		{ CKR_SESSION_HANDLE_INVALID, "session handle invalid" },
		{ CKR_USER_NOT_LOGGED_IN, "not logged in" },
		{ CKR_CRYPTOKI_NOT_INITIALIZED, "library not initialized" },
		{ CKR_MECHANISM_INVALID, "mechanism invalid" }, { CKR_HOST_MEMORY, "host memory" },
		{ CKR_DEVICE_MEMORY, "device memory" },
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (names[i].rv == rv)
			return names[i].text;
	snprintf(buf, 48, "PKCS#11 error 0x%lx", (unsigned long)rv);
	return buf;
}

int p11_failed(struct p11 *p, CK_RV rv)
{
	switch (p11_class(rv)) {
	case RV_OK:
		return 0;
	case RV_REQUEST:
	case RV_MECHANISM:
		return ZS_EKEY;
	case RV_BUSY:
		return ZS_ELIMIT;
	case RV_SESSION:
		return ZS_EVAULT;
	case RV_KEYS:
		p->keys++;
		return ZS_EVAULT;
	case RV_SESSIONS:
		/* the others are as dead: all are closed and opened anew, before one request fails on two */
	case RV_LOGIN:
		p->host->sick(p->host->ctx, HEAL_LOGIN);
		return ZS_EVAULT;
	case RV_TOKEN:
		p->host->sick(p->host->ctx, HEAL_FINALIZE);
		return ZS_EVAULT;
	}
	return ZS_EVAULT;
}

void p11_enter(struct p11 *p, struct call_mark *m, enum call_kind kind)
{
	if (p->serial)
		pthread_mutex_lock(&p->serial_lock);
	atomic_store_explicit(&m->since, clk_mono().us, memory_order_relaxed);
	atomic_store_explicit(&m->kind, (int)kind, memory_order_release);
}

void p11_leave(struct p11 *p, struct call_mark *m)
{
	atomic_store_explicit(&m->kind, CALL_NONE, memory_order_release);
	if (p->serial)
		pthread_mutex_unlock(&p->serial_lock);
}

int p11_load(struct p11 *p, char *text, size_t cap)
{
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
	CK_RV rv;

	if (p->f)
		return 0;
	/* constructors of the library run here: this is a vendor call, too */
	p11_enter(p, p->steward, CALL_OPEN);
	if (!p->dl)
		p->dl = dlopen(p->setup->module, RTLD_NOW | RTLD_LOCAL);
	if (p->dl)
		*(void **)&get = dlsym(p->dl, "C_GetFunctionList");
	rv = get ? get(&p->f) : CKR_GENERAL_ERROR;
	p11_leave(p, p->steward);
	if (get && rv == CKR_OK && p->f)
		return 0;
	p->f = NULL;
	snprintf(text, cap, "module: %s", p->dl ? "no function list" : dlerror());
	return ZS_EINVAL;
}

/* CKR_CANT_LOCK: the module has no locks of its own; then it gets one caller at a time. */
int p11_initialize(struct p11 *p, char *text, size_t cap)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	char buf[48];
	CK_RV rv;

	if (p->initialized)
		return 0;
	p11_enter(p, p->steward, CALL_OPEN);
	rv = p->f->C_Initialize(&args);
	p11_leave(p, p->steward);
	if (rv == CKR_CANT_LOCK || rv == CKR_ARGUMENTS_BAD) {
		p->serial = true;
		p11_enter(p, p->steward, CALL_OPEN);
		rv = p->f->C_Initialize(NULL);
		p11_leave(p, p->steward);
	}
	p->initialized = rv == CKR_OK || rv == CKR_CRYPTOKI_ALREADY_INITIALIZED;
	if (p->initialized)
		return 0;
	snprintf(text, cap, "initialize: %s", p11_rv_text(rv, buf));
	return ZS_EVAULT;
}

void p11_finalize(struct p11 *p)
{
	if (!p->initialized)
		return;
	p11_enter(p, p->steward, CALL_OPEN);
	p->f->C_Finalize(NULL);
	p11_leave(p, p->steward);
	p->initialized = false;
	p->idle = 0;
}

static CK_RV open_one(struct p11_at *at, CK_FLAGS flags)
{
	CK_RV rv;

	p11_enter(at->p, at->mark, CALL_OPEN);
	rv = at->p->f->C_OpenSession(at->p->slot, CKF_SERIAL_SESSION | flags, NULL, NULL, &at->h);
	p11_leave(at->p, at->mark);
	return rv;
}

CK_RV p11_open_session(struct p11_at *at, bool write)
{
	CK_FLAGS flags = write || at->p->write_sessions ? CKF_RW_SESSION : 0;
	CK_RV rv = open_one(at, flags), other;

	/* some tokens have one sort only */
	if (write || p11_class(rv) != RV_SESSION)
		return rv;
	other = open_one(at, flags ^ CKF_RW_SESSION);
	if (other != CKR_OK)
		return rv;
	at->p->write_sessions = (flags ^ CKF_RW_SESSION) != 0;
	return CKR_OK;
}

void p11_close_session(struct p11_at *at)
{
	if (!at->h)
		return;
	p11_enter(at->p, at->mark, CALL_OPEN);
	at->p->f->C_CloseSession(at->h);
	p11_leave(at->p, at->mark);
	at->h = 0;
}

static CK_RV find_marked(const struct p11_at *at, CK_ATTRIBUTE *t, CK_OBJECT_HANDLE *out, size_t max,
			 size_t *n)
{
	CK_FUNCTION_LIST *f = at->p->f;
	CK_RV rv = f->C_FindObjectsInit(at->h, t, 2), end;
	CK_OBJECT_HANDLE got[8];
	CK_ULONG count = 1;

	if (rv != CKR_OK)
		return rv;
	for (int round = 0; round < FIND_ROUNDS && *n < max && count && rv == CKR_OK; round++) {
		count = 0;
		rv = f->C_FindObjects(at->h, got, 8, &count);
		for (CK_ULONG i = 0; rv == CKR_OK && i < count && i < 8 && *n < max; i++) {
			size_t k = 0;

			while (k < *n && out[k] != got[i])
				k++;
			if (k == *n) /* the same handle twice is one object */
				out[(*n)++] = got[i];
		}
	}
	end = f->C_FindObjectsFinal(at->h); /* forgotten, the session is of no use any more */
	return rv != CKR_OK ? rv : end;
}

CK_RV p11_find(const struct p11_at *at, CK_OBJECT_CLASS class, const uint8_t id[KEY_ID_LEN],
	       CK_OBJECT_HANDLE *out, size_t max, size_t *n)
{
	CK_ATTRIBUTE t[2] = {
		{ CKA_CLASS, &class, sizeof(class) },
		{ CKA_ID, (void *)(uintptr_t)id, KEY_ID_LEN },
	};
	CK_RV rv;

	*n = 0;
	p11_enter(at->p, at->mark, CALL_OPEN);
	rv = find_marked(at, t, out, max, n);
	p11_leave(at->p, at->mark);
	return rv;
}

CK_RV p11_attribute(const struct p11_at *at, CK_OBJECT_HANDLE o, CK_ATTRIBUTE_TYPE type, void *dst,
		    size_t *len)
{
	CK_ATTRIBUTE t = { type, dst, *len };
	CK_RV rv;

	p11_enter(at->p, at->mark, CALL_OPEN);
	rv = at->p->f->C_GetAttributeValue(at->h, o, &t, 1);
	p11_leave(at->p, at->mark);
	if (rv != CKR_OK)
		return rv;
	if (t.ulValueLen == (CK_ULONG)-1 || t.ulValueLen > *len)
		return CKR_ATTRIBUTE_TYPE_INVALID;
	*len = t.ulValueLen;
	return CKR_OK;
}

CK_RV p11_sign(const struct p11_at *at, CK_MECHANISM *m, CK_OBJECT_HANDLE key, const uint8_t *msg, size_t len,
	       uint8_t *sig, size_t *sig_len, bool *begun)
{
	CK_ULONG n = *sig_len;
	CK_RV rv;

	p11_enter(at->p, at->mark, CALL_SIGN);
	rv = at->p->f->C_SignInit(at->h, m, key);
	*begun = rv == CKR_OK;
	if (rv == CKR_OK) /* a large buffer at once: the size query is where libraries differ */
		rv = at->p->f->C_Sign(at->h, (CK_BYTE *)(uintptr_t)msg, len, sig, &n);
	p11_leave(at->p, at->mark);
	if (rv == CKR_OK && n > *sig_len)
		return CKR_DEVICE_ERROR;
	if (rv == CKR_OK)
		*sig_len = n;
	return rv;
}
