/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The token: found by what its URI says about it (label, serial, ...), never by slot number; opened, logged
 * in once, with one idle session that holds the login. The PIN comes from the parent for one C_Login at a
 * time and is cleared. Steward thread only, while nobody signs.
 */
#include "p11.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "base/err.h"
#include "base/log.h"

#define SLOTS_MAX 256
#define PIN_ROOM 256

static int parse_uri(struct p11 *p, char *text, size_t cap)
{
	int rc;

	if (p->uri)
		return 0;
	p->uri = p11_kit_uri_new();
	rc = p->uri ? p11_kit_uri_parse(p->setup->uri, P11_KIT_URI_FOR_ANY, p->uri) : P11_KIT_URI_UNEXPECTED;
	if (rc == P11_KIT_URI_OK && !p11_kit_uri_any_unrecognized(p->uri))
		return 0;
	snprintf(text, cap, "uri: %s", rc ? p11_kit_uri_message(rc) : "unknown attribute");
	p11_kit_uri_free(p->uri);
	p->uri = NULL;
	return ZS_EINVAL;
}

static CK_RV list_slots(struct p11 *p, CK_SLOT_ID *slots, CK_ULONG *n)
{
	CK_RV rv;

	p11_enter(p, p->steward, CALL_OPEN);
	rv = p->f->C_GetSlotList(CK_TRUE, NULL, n); /* this form makes the library look again */
	*n = SLOTS_MAX;
	if (rv == CKR_OK)
		rv = p->f->C_GetSlotList(CK_TRUE, slots, n);
	p11_leave(p, p->steward);
	return rv;
}

static CK_RV token_info(struct p11 *p, CK_SLOT_ID slot, CK_TOKEN_INFO *info)
{
	CK_RV rv;

	memset(info, 0, sizeof(*info));
	p11_enter(p, p->steward, CALL_OPEN);
	rv = p->f->C_GetTokenInfo(slot, info);
	p11_leave(p, p->steward);
	return rv;
}

static int find_token(struct p11 *p, char *text, size_t cap)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = 0;
	CK_TOKEN_INFO info;
	unsigned found = 0;
	char buf[48];
	CK_RV rv = list_slots(p, slots, &n);

	if (rv != CKR_OK || n > SLOTS_MAX) {
		snprintf(text, cap, "no token: %s", p11_rv_text(rv, buf));
		return ZS_EVAULT;
	}
	for (CK_ULONG i = 0; i < n; i++) {
		if (token_info(p, slots[i], &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED) ||
		    !p11_kit_uri_match_token_info(p->uri, &info))
			continue;
		p->slot = slots[i];
		p->token = info;
		found++;
	}
	if (found == 1)
		return 0;
	if (found)
		snprintf(text, cap, "%u tokens match the uri: add serial=", found);
	else
		snprintf(text, cap, "no token: none of %lu matches the uri", n);
	return ZS_EVAULT;
}

/* The parent's pipe: everything up to its end. */
static int read_pin(int fd, uint8_t pin[PIN_ROOM], size_t *len)
{
	ssize_t n = 1;

	*len = 0;
	while (*len < PIN_ROOM && n > 0) {
		n = read(fd, pin + *len, PIN_ROOM - *len);
		if (n < 0 && errno == EINTR)
			n = 1;
		else if (n > 0)
			*len += (size_t)n;
	}
	close(fd);
	return n < 0 || !*len ? ZS_EIO : 0;
}

static bool about_pin(CK_RV rv)
{
	return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE ||
	       rv == CKR_PIN_EXPIRED || rv == CKR_PIN_LOCKED || rv == CKR_USER_PIN_NOT_INITIALIZED;
}

static int do_login(struct p11 *p, int fd, char *text, size_t cap)
{
	uint8_t pin[PIN_ROOM] = { 0 };
	char buf[48];
	size_t len = 0;
	CK_RV rv = CKR_GENERAL_ERROR;
	enum login_code code;
	int rc;

	mlock(pin, sizeof(pin));
	rc = read_pin(fd, pin, &len);
	if (!rc) {
		p11_enter(p, p->steward, CALL_OPEN);
		rv = p->f->C_Login(p->idle, CKU_USER, pin, len);
		p11_leave(p, p->steward);
	}
	OPENSSL_cleanse(pin, sizeof(pin));
	munlock(pin, sizeof(pin));
	/* after a half reset the token may know us still; the challenge proves the rest */
	code = rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? LOGIN_OK
	       : about_pin(rv) ? LOGIN_REFUSED : LOGIN_OTHER;
	p->host->login(p->host->ctx, code, p11_rv_text(rv, buf));
	if (code == LOGIN_OK)
		return 0;
	snprintf(text, cap, "login: %s", p11_rv_text(rv, buf));
	return code == LOGIN_REFUSED ? ZS_EPIN : ZS_EVAULT;
}

/* Nothing is asked of the token when it is one wrong PIN away from locking. */
static int login(struct p11 *p, char *text, size_t cap)
{
	enum pin_code code = PIN_ERROR;
	int fd = -1, rc;

	if (!(p->token.flags & CKF_LOGIN_REQUIRED))
		return 0;
	if (p->token.flags & (CKF_USER_PIN_FINAL_TRY | CKF_USER_PIN_LOCKED)) {
		snprintf(text, cap, "no login: the token says that the PIN is %s",
			 p->token.flags & CKF_USER_PIN_LOCKED ? "locked" : "at its final try");
		return ZS_EPIN;
	}
	rc = p->host->need_pin(p->host->ctx, &code, &fd);
	if (rc)
		return ZS_EVAULT;
	if (code == PIN_HERE)
		return do_login(p, fd, text, cap);
	snprintf(text, cap, "%s",
		 code == PIN_LATCHED ? "PIN latch set: change the PIN file or say `hsm retry`"
		 : code == PIN_NONE ? "the token wants a PIN and none is configured"
				    : "PIN file or latch not usable");
	return ZS_EPIN;
}

static int open_idle(struct p11 *p, char *text, size_t cap)
{
	struct p11_at at = { p, p->steward, 0 };
	char buf[48];
	CK_RV rv;

	if (p->idle)
		return 0;
	rv = p11_open_session(&at, false);
	if (rv == CKR_OK) {
		p->idle = at.h;
		return 0;
	}
	snprintf(text, cap, "open session: %s", p11_rv_text(rv, buf));
	return ZS_EVAULT;
}

/* Sessions and login of before are gone on the token's side, too. */
static void close_all(struct p11 *p)
{
	if (p->initialized) {
		p11_enter(p, p->steward, CALL_OPEN);
		p->f->C_CloseAllSessions(p->slot);
		p11_leave(p, p->steward);
	}
	p->idle = 0;
}

/* How many sessions the token allows us, less the idle one and one to manage with. 0: as many as we like. */
static uint32_t session_limit(const struct p11 *p)
{
	CK_ULONG max = p->token.ulMaxSessionCount;

	if (p->serial)
		return 1;
	if (max == CK_UNAVAILABLE_INFORMATION || max == CK_EFFECTIVELY_INFINITE || max > UINT32_MAX)
		return 0;
	return max > 3 ? (uint32_t)max - 2 : 1;
}

int p11_open(struct backend *b, enum heal from, uint32_t *sessions, char *text, size_t cap)
{
	struct p11 *p = (struct p11 *)b;
	int rc = parse_uri(p, text, cap);

	if (!rc)
		rc = p11_load(p, text, cap);
	if (rc)
		return rc;
	if (from >= HEAL_LOGIN)
		close_all(p);
	if (from >= HEAL_FINALIZE)
		p11_finalize(p);
	rc = p11_initialize(p, text, cap);
	if (!rc)
		rc = find_token(p, text, cap);
	if (!rc)
		rc = open_idle(p, text, cap);
	if (!rc)
		rc = login(p, text, cap);
	if (rc) {
		if (p->idle)
			close_all(p);
		return rc;
	}
	*sessions = session_limit(p);
	return 0;
}

enum heal p11_tick(struct backend *b)
{
	struct p11 *p = (struct p11 *)b;
	CK_SESSION_INFO info = { 0 };
	enum p11_class class;
	CK_RV rv;

	p11_enter(p, p->steward, CALL_OPEN);
	rv = p->f->C_GetSessionInfo(p->idle, &info);
	p11_leave(p, p->steward);
	class = p11_class(rv);
	if (class == RV_TOKEN)
		return HEAL_FINALIZE;
	if (class != RV_OK)
		return HEAL_LOGIN;
	if ((p->token.flags & CKF_LOGIN_REQUIRED) && info.state != CKS_RO_USER_FUNCTIONS &&
	    info.state != CKS_RW_USER_FUNCTIONS)
		return HEAL_LOGIN;
	return HEAL_SESSION;
}
