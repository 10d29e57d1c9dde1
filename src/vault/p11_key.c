/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Key objects: found by CKA_ID, read with the encodings that tokens use, made and destroyed. Generation looks
 * first, so that doing it twice makes one key; what a broken attempt left (a public object alone) is removed.
 */
#include "p11.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"

#define SAME_ID_MAX 4

/* A token that forgot our login hides private objects: "not found" is then no answer. */
static bool logged_in(const struct p11_at *at)
{
	CK_SESSION_INFO info = { 0 };
	CK_RV rv;

	p11_enter(at->p, at->mark, CALL_OPEN);
	rv = at->p->f->C_GetSessionInfo(at->h, &info);
	p11_leave(at->p, at->mark);
	return rv != CKR_OK || !(at->p->token.flags & CKF_LOGIN_REQUIRED) ||
	       info.state == CKS_RO_USER_FUNCTIONS || info.state == CKS_RW_USER_FUNCTIONS;
}

int p11_find_key(const struct p11_at *at, const uint8_t id[KEY_ID_LEN], CK_OBJECT_HANDLE *out)
{
	CK_OBJECT_HANDLE o[SAME_ID_MAX];
	size_t n = 0;
	CK_RV rv = p11_find(at, CKO_PRIVATE_KEY, id, o, SAME_ID_MAX, &n);

	if (rv != CKR_OK)
		return p11_failed(at->p, rv) == ZS_ELIMIT ? ZS_EVAULT : p11_failed(at->p, rv);
	if (n == 0 && !logged_in(at))
		return p11_failed(at->p, CKR_USER_NOT_LOGGED_IN);
	if (n != 1) /* of two keys with one id nobody can say which is meant */
		return n ? ZS_EKEY : ZS_ENOENT;
	*out = o[0];
	return 0;
}

static int read_rsa(const struct p11_at *at, CK_OBJECT_HANDLE o, struct p11_pub *out)
{
	uint8_t n[1024], e[1024];
	size_t n_len = sizeof(n), e_len = sizeof(e);
	CK_RV rv = p11_attribute(at, o, CKA_MODULUS, n, &n_len);

	if (rv == CKR_OK)
		rv = p11_attribute(at, o, CKA_PUBLIC_EXPONENT, e, &e_len);
	if (rv != CKR_OK)
		return p11_failed(at->p, rv);
	return pub_from_rsa(n, n_len, e, e_len, out->octets, &out->len);
}

static int read_object(const struct p11_at *at, CK_OBJECT_HANDLE o, uint8_t alg, struct p11_pub *out)
{
	uint8_t point[256];
	size_t len = sizeof(point);
	CK_RV rv;

	out->len = sizeof(out->octets);
	if (pub_alg_rsa(alg))
		return read_rsa(at, o, out);
	rv = p11_attribute(at, o, CKA_EC_POINT, point, &len);
	if (rv != CKR_OK)
		return p11_failed(at->p, rv);
	return pub_from_point(alg, point, len, out->octets, &out->len);
}

int p11_read_pub(const struct p11_at *at, const uint8_t id[KEY_ID_LEN], CK_OBJECT_HANDLE priv, uint8_t alg,
		 struct p11_pub *out)
{
	CK_OBJECT_HANDLE o[SAME_ID_MAX];
	size_t n = 0;
	CK_RV rv = p11_find(at, CKO_PUBLIC_KEY, id, o, SAME_ID_MAX, &n);

	if (rv != CKR_OK)
		return p11_failed(at->p, rv);
	if (n > 1)
		return ZS_EKEY;
	/* without a public object some tokens give the public half of the private one */
	return read_object(at, n ? o[0] : priv, alg, out);
}

static int destroy(const struct p11_at *at, CK_OBJECT_HANDLE o)
{
	CK_RV rv;

	p11_enter(at->p, at->mark, CALL_GENERATE);
	rv = at->p->f->C_DestroyObject(at->h, o);
	p11_leave(at->p, at->mark);
	return rv == CKR_OBJECT_HANDLE_INVALID ? 0 : p11_failed(at->p, rv);
}

static int destroy_all(const struct p11_at *at, CK_OBJECT_CLASS class, const uint8_t id[KEY_ID_LEN])
{
	CK_OBJECT_HANDLE o[16];
	size_t n = 0;
	CK_RV rv = p11_find(at, class, id, o, 16, &n);
	int rc = p11_failed(at->p, rv);

	for (size_t i = 0; i < n && !rc; i++)
		rc = destroy(at, o[i]);
	return rc;
}

/* Curve names as tokens want them: OIDs, and for Edwards curves PrintableStrings or private OIDs. */
struct curve {
	uint8_t alg, len;
	uint8_t der[16];
};
static const struct curve curves[] = {
	{ 13, 10, { 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07 } },
	{ 14, 7, { 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22 } },
	{ 15, 5, { 0x06, 0x03, 0x2b, 0x65, 0x70 } },
	{ 15, 14, { 0x13, 0x0c, 'e', 'd', 'w', 'a', 'r', 'd', 's', '2', '5', '5', '1', '9' } },
	{ 15, 11, { 0x06, 0x09, 0x2b, 0x06, 0x01, 0x04, 0x01, 0xda, 0x47, 0x0f, 0x01 } },
	{ 16, 5, { 0x06, 0x03, 0x2b, 0x65, 0x71 } },
	{ 16, 12, { 0x13, 0x0a, 'e', 'd', 'w', 'a', 'r', 'd', 's', '4', '4', '8' } },
};

static CK_RV generate_pair(const struct p11_at *at, const struct keymap_line *l, const struct curve *curve)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG bits = l->bits;
	uint8_t e[] = { 1, 0, 1 };
	char label[64], hex[2 * KEY_ID_LEN + 1];
	CK_MECHANISM m = { pub_alg_rsa(l->algorithm)     ? CKM_RSA_PKCS_KEY_PAIR_GEN
			   : pub_alg_ecdsa(l->algorithm) ? CKM_EC_KEY_PAIR_GEN
							 : CKM_EC_EDWARDS_KEY_PAIR_GEN,
			   NULL, 0 };
	CK_OBJECT_HANDLE pub, priv;
	CK_RV rv;
	int n = snprintf(label, sizeof(label), "zoneseal-%s", text_hex(hex, l->id, KEY_ID_LEN));
	CK_ATTRIBUTE pub_t[7] = {
		{ CKA_TOKEN, &yes, sizeof(yes) }, { CKA_PRIVATE, &no, sizeof(no) },
		{ CKA_VERIFY, &yes, sizeof(yes) }, { CKA_ID, (void *)(uintptr_t)l->id, KEY_ID_LEN },
		{ CKA_LABEL, label, (CK_ULONG)n },
	};
	CK_ATTRIBUTE priv_t[] = {
		{ CKA_TOKEN, &yes, sizeof(yes) }, { CKA_PRIVATE, &yes, sizeof(yes) },
		{ CKA_SENSITIVE, &yes, sizeof(yes) }, { CKA_EXTRACTABLE, &no, sizeof(no) },
		{ CKA_SIGN, &yes, sizeof(yes) }, { CKA_ID, (void *)(uintptr_t)l->id, KEY_ID_LEN },
		{ CKA_LABEL, label, (CK_ULONG)n },
	};
	CK_ULONG pub_n = 5;

	if (curve) {
		pub_t[pub_n++] = (CK_ATTRIBUTE){ CKA_EC_PARAMS, (void *)(uintptr_t)curve->der, curve->len };
	} else {
		pub_t[pub_n++] = (CK_ATTRIBUTE){ CKA_MODULUS_BITS, &bits, sizeof(bits) };
		pub_t[pub_n++] = (CK_ATTRIBUTE){ CKA_PUBLIC_EXPONENT, e, sizeof(e) };
	}
	p11_enter(at->p, at->mark, CALL_GENERATE);
	rv = at->p->f->C_GenerateKeyPair(at->h, &m, pub_t, pub_n, priv_t, sizeof(priv_t) / sizeof(priv_t[0]),
					 &pub, &priv);
	p11_leave(at->p, at->mark);
	return rv;
}

static CK_RV generate_any(const struct p11_at *at, const struct keymap_line *l)
{
	CK_RV rv = CKR_MECHANISM_INVALID;

	if (pub_alg_rsa(l->algorithm))
		return generate_pair(at, l, NULL);
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++) {
		if (curves[i].alg != l->algorithm)
			continue;
		rv = generate_pair(at, l, &curves[i]);
		/* tokens say many things of a curve name that they do not know;
		 * those that spell doom end it */
		if (rv == CKR_OK || p11_class(rv) >= RV_SESSIONS)
			return rv;
	}
	return rv;
}

static int find_or_generate(const struct p11_at *at, const struct keymap_line *l, CK_OBJECT_HANDLE *key)
{
	int rc = p11_find_key(at, l->id, key);

	if (rc != ZS_ENOENT)
		return rc;
	rc = destroy_all(at, CKO_PUBLIC_KEY, l->id);
	if (!rc)
		rc = p11_failed(at->p, generate_any(at, l));
	return rc ? rc : p11_find_key(at, l->id, key);
}

static bool bits_fit(const struct keymap_line *l, const struct p11_pub *pub)
{
	return !pub_alg_rsa(l->algorithm) || p11_modulus_len(l->algorithm, pub) * 8 == l->bits;
}

int p11_generate(struct backend *b, const struct keymap_line *l, uint8_t *out, size_t *out_len)
{
	struct p11 *p = (struct p11 *)b;
	struct p11_at at = { p, p->steward, 0 };
	struct p11_pub pub;
	CK_OBJECT_HANDLE key = 0;
	bool discard;
	int rc;

	if (!pub_alg_known(l->algorithm))
		return ZS_EINVAL;
	rc = p11_failed(p, p11_open_session(&at, true));
	if (rc)
		return rc;
	rc = find_or_generate(&at, l, &key);
	if (!rc)
		rc = p11_read_pub(&at, l->id, key, l->algorithm, &pub);
	if (!rc && !bits_fit(l, &pub))
		rc = ZS_EKEY;
	if (!rc)
		rc = p11_challenge(&at, l->algorithm, key, &pub, &discard);
	p11_close_session(&at);
	if (!rc && pub.len > *out_len)
		rc = ZS_EFULL;
	if (rc)
		return rc;
	memcpy(out, pub.octets, pub.len);
	*out_len = pub.len;
	return 0;
}

int p11_remove(struct backend *b, const uint8_t id[KEY_ID_LEN])
{
	struct p11 *p = (struct p11 *)b;
	struct p11_at at = { p, p->steward, 0 };
	int rc = p11_failed(p, p11_open_session(&at, true));

	if (rc)
		return rc;
	p->keys++;
	rc = destroy_all(&at, CKO_PRIVATE_KEY, id);
	if (!rc)
		rc = destroy_all(&at, CKO_PUBLIC_KEY, id);
	p11_close_session(&at);
	return rc;
}

static int trimmed(const unsigned char *s, size_t n)
{
	while (n && (s[n - 1] == ' ' || !s[n - 1]))
		n--;
	return (int)n;
}

int p11_test(struct backend *b, char *text, size_t cap)
{
	struct p11 *p = (struct p11 *)b;
	struct p11_at at = { p, p->steward, 0 };
	const CK_TOKEN_INFO *t = &p->token;
	char buf[48];
	CK_RV rv = p11_open_session(&at, false);

	if (rv != CKR_OK) {
		snprintf(text, cap, "open session: %s", p11_rv_text(rv, buf));
		return p11_failed(p, rv);
	}
	p11_close_session(&at);
	snprintf(text, cap, "token %.*s, serial %.*s, model %.*s, %s", trimmed(t->label, sizeof(t->label)),
		 t->label, trimmed(t->serialNumber, sizeof(t->serialNumber)), t->serialNumber,
		 trimmed(t->model, sizeof(t->model)), t->model,
		 p->serial ? "one caller at a time" : "thread-safe");
	return 0;
}
