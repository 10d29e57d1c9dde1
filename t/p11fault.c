/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * A PKCS#11 module that forwards to the one in $P11FAULT_MODULE and misbehaves as the file $P11FAULT_CONTROL
 * says, which is read anew on each call. Every intercepted call adds "NAME RV" to $P11FAULT_LOG, so that a
 * test can count. Lines of the control file, calls counted per process and function from 1:
 *
 *	C_Sign 3 return 0x30        the third call
 *	C_Sign every 3 corrupt      every third: one bit of the signature flipped
 *	C_Sign return 0x30          every call
 *	C_Sign hang | crash | der   never returns; SIGSEGV; ECDSA signature as DER
 *	C_Sign data TEXT crash      only when TEXT occurs in what is to be signed (mechanisms that get the
 *				    message itself)
 *	C_Sign 2 lose               all sessions of the token are closed first, behind the caller's back
 *	C_SignInit mechanism 0x1041 0x70   only for that mechanism: return
 *	C_GetSlotList empty         no slots
 *	C_Initialize cantlock       CKR_CANT_LOCK unless called with NULL
 *	C_GetTokenInfo flags 0x40000   or-ed into the token's flags
 *	C_GetAttributeValue always-auth   keys claim to want the PIN each time
 *	C_FindObjects twice         every handle is returned twice
 *	latency_us 1000             before every intercepted call
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* memmem */
#endif
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <p11-kit/pkcs11.h>

#define LINES_MAX 32

enum fn {
	F_INITIALIZE, F_FINALIZE, F_SLOTS, F_TOKEN, F_OPEN, F_CLOSE, F_CLOSE_ALL, F_SESSION_INFO, F_LOGIN,
	F_FIND_INIT, F_FIND, F_FIND_FINAL, F_ATTRIBUTE, F_SIGN_INIT, F_SIGN, F_GENERATE, F_DESTROY, F_COUNT
};
static const char *const names[F_COUNT] = {
	"C_Initialize", "C_Finalize", "C_GetSlotList", "C_GetTokenInfo", "C_OpenSession", "C_CloseSession",
	"C_CloseAllSessions", "C_GetSessionInfo", "C_Login", "C_FindObjectsInit", "C_FindObjects",
	"C_FindObjectsFinal", "C_GetAttributeValue", "C_SignInit", "C_Sign", "C_GenerateKeyPair",
	"C_DestroyObject",
};

/* What the control file wants of this call. */
struct fault {
	char action[16];
	unsigned long value, value2;
};

/* The state of a loaded module has no context to live in: PKCS#11 has none. */
static struct {
	pthread_mutex_t lock;
	pthread_rwlock_t calling; /* read: inside the real module; write: its sessions are being lost */
	CK_FUNCTION_LIST *real;
	CK_FUNCTION_LIST ours;
	unsigned long calls[F_COUNT];
	CK_SLOT_ID last_slot;
	CK_MECHANISM_TYPE mechanism;
} module = { .lock = PTHREAD_MUTEX_INITIALIZER, .calling = PTHREAD_RWLOCK_INITIALIZER };

/* What this thread is about to sign. */
static _Thread_local const CK_BYTE *sign_data;
static _Thread_local CK_ULONG sign_len;

static int line_applies(char *line, enum fn fn, unsigned long call, struct fault *out)
{
	char *save = NULL, *w = strtok_r(line, " \n", &save);
	unsigned long n = 0, every = 0;

	if (!w)
		return 0;
	if (strcmp(w, "latency_us") == 0 && (w = strtok_r(NULL, " \n", &save))) {
		usleep((useconds_t)strtoul(w, NULL, 0));
		return 0;
	}
	if (strcmp(w, names[fn]) != 0 || !(w = strtok_r(NULL, " \n", &save)))
		return 0;
	if (strcmp(w, "every") == 0 && (w = strtok_r(NULL, " \n", &save))) {
		every = strtoul(w, NULL, 0);
		w = strtok_r(NULL, " \n", &save);
	} else if (strcmp(w, "data") == 0 && (w = strtok_r(NULL, " \n", &save))) {
		if (!sign_data || !memmem(sign_data, sign_len, w, strlen(w)))
			return 0;
		w = strtok_r(NULL, " \n", &save);
	} else if (*w >= '0' && *w <= '9') {
		n = strtoul(w, NULL, 0);
		w = strtok_r(NULL, " \n", &save);
	}
	if (!w || (n && n != call) || (every && call % every))
		return 0;
	snprintf(out->action, sizeof(out->action), "%s", w);
	w = strtok_r(NULL, " \n", &save);
	out->value = w ? strtoul(w, NULL, 0) : 0;
	w = w ? strtok_r(NULL, " \n", &save) : NULL;
	out->value2 = w ? strtoul(w, NULL, 0) : 0;
	return 1;
}

/* A token loses its sessions on its own side, never under the feet of a thread inside the library: SoftHSM
 * frees the objects of a session that is signing, and that crash would be ours. */
#define REAL(call)                                          \
	({                                                  \
		CK_RV rv_;                                  \
		pthread_rwlock_rdlock(&module.calling);     \
		rv_ = module.real->call;                    \
		pthread_rwlock_unlock(&module.calling);     \
		rv_;                                        \
	})

static void wanted(enum fn fn, struct fault *out)
{
	const char *path = getenv("P11FAULT_CONTROL");
	FILE *f = path ? fopen(path, "re") : NULL;
	char line[256];
	unsigned long call;
	struct fault hit;

	memset(out, 0, sizeof(*out));
	pthread_mutex_lock(&module.lock);
	call = ++module.calls[fn];
	pthread_mutex_unlock(&module.lock);
	while (f && fgets(line, sizeof(line), f))
		if (line_applies(line, fn, call, &hit))
			*out = hit;
	if (f)
		fclose(f);
}

static CK_RV note(enum fn fn, CK_RV rv)
{
	const char *path = getenv("P11FAULT_LOG");
	char line[64];
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
	int n = snprintf(line, sizeof(line), "%s 0x%lx\n", names[fn], (unsigned long)rv);

	if (fd >= 0 && write(fd, line, (size_t)n) != n)
		abort();
	if (fd >= 0)
		close(fd);
	return rv;
}

/* Faults that every function knows. 1: *rv is what the call returns. */
static int common(enum fn fn, struct fault *f, CK_RV *rv)
{
	wanted(fn, f);
	if (strcmp(f->action, "return") == 0) {
		*rv = note(fn, f->value);
		return 1;
	}
	if (strcmp(f->action, "hang") == 0) {
		note(fn, 0);
		for (;;)
			pause();
	}
	if (strcmp(f->action, "crash") == 0)
		raise(SIGKILL); /* as SIGSEGV, without the sanitizer's report */
	if (strcmp(f->action, "lose") == 0) {
		pthread_rwlock_wrlock(&module.calling);
		module.real->C_CloseAllSessions(module.last_slot);
		pthread_rwlock_unlock(&module.calling);
	}
	return 0;
}

static CK_RV f_initialize(void *args)
{
	struct fault f;
	CK_RV rv;

	if (common(F_INITIALIZE, &f, &rv))
		return rv;
	if (strcmp(f.action, "cantlock") == 0 && args)
		return note(F_INITIALIZE, CKR_CANT_LOCK);
	return note(F_INITIALIZE, REAL(C_Initialize(args)));
}

static CK_RV f_finalize(void *reserved)
{
	struct fault f;
	CK_RV rv;

	if (common(F_FINALIZE, &f, &rv))
		return rv;
	return note(F_FINALIZE, REAL(C_Finalize(reserved)));
}

static CK_RV f_slots(CK_BBOOL present, CK_SLOT_ID *list, CK_ULONG *n)
{
	struct fault f;
	CK_RV rv;

	if (common(F_SLOTS, &f, &rv))
		return rv;
	if (strcmp(f.action, "empty") == 0) {
		*n = 0;
		return note(F_SLOTS, CKR_OK);
	}
	return note(F_SLOTS, REAL(C_GetSlotList(present, list, n)));
}

static CK_RV f_token(CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	struct fault f;
	CK_RV rv;

	if (common(F_TOKEN, &f, &rv))
		return rv;
	rv = REAL(C_GetTokenInfo(slot, info));
	if (strcmp(f.action, "flags") == 0)
		info->flags |= f.value;
	return note(F_TOKEN, rv);
}

static CK_RV f_open(CK_SLOT_ID slot, CK_FLAGS flags, void *app, CK_NOTIFY notify, CK_SESSION_HANDLE *out)
{
	struct fault f;
	CK_RV rv;

	module.last_slot = slot;
	if (common(F_OPEN, &f, &rv))
		return rv;
	if (strcmp(f.action, "need-rw") == 0 && !(flags & CKF_RW_SESSION))
		return note(F_OPEN, CKR_SESSION_READ_ONLY);
	return note(F_OPEN, REAL(C_OpenSession(slot, flags, app, notify, out)));
}

static CK_RV f_close(CK_SESSION_HANDLE s)
{
	struct fault f;
	CK_RV rv;

	if (common(F_CLOSE, &f, &rv))
		return rv;
	return note(F_CLOSE, REAL(C_CloseSession(s)));
}

static CK_RV f_close_all(CK_SLOT_ID slot)
{
	struct fault f;
	CK_RV rv;

	if (common(F_CLOSE_ALL, &f, &rv))
		return rv;
	return note(F_CLOSE_ALL, REAL(C_CloseAllSessions(slot)));
}

static CK_RV f_session_info(CK_SESSION_HANDLE s, CK_SESSION_INFO *info)
{
	struct fault f;
	CK_RV rv;

	if (common(F_SESSION_INFO, &f, &rv))
		return rv;
	return note(F_SESSION_INFO, REAL(C_GetSessionInfo(s, info)));
}

static CK_RV f_login(CK_SESSION_HANDLE s, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;

	if (common(F_LOGIN, &f, &rv))
		return rv;
	return note(F_LOGIN, REAL(C_Login(s, user, pin, n)));
}

static CK_RV f_find_init(CK_SESSION_HANDLE s, CK_ATTRIBUTE *t, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;

	if (common(F_FIND_INIT, &f, &rv))
		return rv;
	return note(F_FIND_INIT, REAL(C_FindObjectsInit(s, t, n)));
}

static CK_RV f_find(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE *out, CK_ULONG max, CK_ULONG *n)
{
	struct fault f;
	CK_RV rv;

	if (common(F_FIND, &f, &rv))
		return rv;
	rv = REAL(C_FindObjects(s, out, max, n));
	if (strcmp(f.action, "twice") == 0 && rv == CKR_OK && *n && *n * 2 <= max) {
		memcpy(out + *n, out, *n * sizeof(*out));
		*n *= 2;
	}
	return note(F_FIND, rv);
}

static CK_RV f_find_final(CK_SESSION_HANDLE s)
{
	struct fault f;
	CK_RV rv;

	if (common(F_FIND_FINAL, &f, &rv))
		return rv;
	return note(F_FIND_FINAL, REAL(C_FindObjectsFinal(s)));
}

static CK_RV f_attribute(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o, CK_ATTRIBUTE *t, CK_ULONG n)
{
	struct fault f;
	CK_RV rv;

	if (common(F_ATTRIBUTE, &f, &rv))
		return rv;
	if (strcmp(f.action, "always-auth") == 0 && t->type == CKA_ALWAYS_AUTHENTICATE &&
	    t->ulValueLen >= 1) {
		*(CK_BBOOL *)t->pValue = CK_TRUE;
		t->ulValueLen = 1;
		return note(F_ATTRIBUTE, CKR_OK);
	}
	return note(F_ATTRIBUTE, REAL(C_GetAttributeValue(s, o, t, n)));
}

static CK_RV f_sign_init(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_OBJECT_HANDLE key)
{
	struct fault f;
	CK_RV rv;

	if (common(F_SIGN_INIT, &f, &rv))
		return rv;
	if (strcmp(f.action, "mechanism") == 0 && f.value == m->mechanism)
		return note(F_SIGN_INIT, f.value2);
	module.mechanism = m->mechanism;
	return note(F_SIGN_INIT, REAL(C_SignInit(s, m, key)));
}

/* r|s as ECDSA-Sig-Value, short and sloppy: enough for P-256. */
static void to_der(CK_BYTE *sig, CK_ULONG *n)
{
	CK_BYTE der[80], *p = der + 2;

	for (int i = 0; i < 2; i++) {
		const CK_BYTE *v = sig + 32 * i;
		CK_BYTE len = 32;

		while (len > 1 && !*v)
			v++, len--;
		*p++ = 2;
		*p++ = (CK_BYTE)(len + (*v >> 7));
		if (*v & 0x80)
			*p++ = 0;
		memcpy(p, v, len);
		p += len;
	}
	der[0] = 0x30;
	der[1] = (CK_BYTE)(p - der - 2);
	*n = (CK_ULONG)(p - der);
	memcpy(sig, der, *n);
}

static CK_RV f_sign(CK_SESSION_HANDLE s, CK_BYTE *data, CK_ULONG len, CK_BYTE *sig, CK_ULONG *n)
{
	struct fault f;
	CK_RV rv;
	int over;

	sign_data = data;
	sign_len = len;
	over = common(F_SIGN, &f, &rv);
	sign_data = NULL;
	if (over)
		return rv;
	rv = REAL(C_Sign(s, data, len, sig, n));
	if (rv == CKR_OK && strcmp(f.action, "corrupt") == 0)
		sig[*n / 2] ^= 1;
	if (rv == CKR_OK && strcmp(f.action, "der") == 0 && *n == 64)
		to_der(sig, n);
	return note(F_SIGN, rv);
}

static CK_RV f_generate(CK_SESSION_HANDLE s, CK_MECHANISM *m, CK_ATTRIBUTE *pub, CK_ULONG pub_n,
			CK_ATTRIBUTE *priv, CK_ULONG priv_n, CK_OBJECT_HANDLE *pub_out,
			CK_OBJECT_HANDLE *priv_out)
{
	struct fault f;
	CK_RV rv;

	if (common(F_GENERATE, &f, &rv))
		return rv;
	return note(F_GENERATE, REAL(C_GenerateKeyPair(s, m, pub, pub_n, priv, priv_n, pub_out, priv_out)));
}

static CK_RV f_destroy(CK_SESSION_HANDLE s, CK_OBJECT_HANDLE o)
{
	struct fault f;
	CK_RV rv;

	if (common(F_DESTROY, &f, &rv))
		return rv;
	return note(F_DESTROY, REAL(C_DestroyObject(s, o)));
}

CK_RV C_GetFunctionList(CK_FUNCTION_LIST **out)
{
	const char *path = getenv("P11FAULT_MODULE");
	void *dl = path ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
	CK_RV (*get)(CK_FUNCTION_LIST **) = NULL;
	CK_FUNCTION_LIST *o = &module.ours;

	if (dl)
		*(void **)&get = dlsym(dl, "C_GetFunctionList");
	if (!get || get(&module.real) != CKR_OK)
		return CKR_GENERAL_ERROR;
	*o = *module.real;
	o->C_Initialize = f_initialize;
	o->C_Finalize = f_finalize;
	o->C_GetSlotList = f_slots;
	o->C_GetTokenInfo = f_token;
	o->C_OpenSession = f_open;
	o->C_CloseSession = f_close;
	o->C_CloseAllSessions = f_close_all;
	o->C_GetSessionInfo = f_session_info;
	o->C_Login = f_login;
	o->C_FindObjectsInit = f_find_init;
	o->C_FindObjects = f_find;
	o->C_FindObjectsFinal = f_find_final;
	o->C_GetAttributeValue = f_attribute;
	o->C_SignInit = f_sign_init;
	o->C_Sign = f_sign;
	o->C_GenerateKeyPair = f_generate;
	o->C_DestroyObject = f_destroy;
	*out = o;
	return CKR_OK;
}
