/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Signing through PKCS#11. A signing thread has one session; key handles are cached per session, because they
 * die with it, and every key is challenged once per session. Hashing is done here, the token gets what the
 * plainest mechanism wants; where a token refuses that, the hashing mechanism is tried and remembered.
 * Whether a signature is right is the gate's business; its form is checked here.
 */
#include "p11.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "base/clk.h"
#include "base/err.h"
#include "base/log.h"
#include "base/text.h"

#define CACHE_SETS 256
#define CACHE_WAYS 4
#define SIG_ROOM 1024

struct p11_key {
	uint8_t id[KEY_ID_LEN];
	uint8_t algorithm;
	CK_OBJECT_HANDLE handle;
	uint8_t hash[32];
	size_t modulus;
	struct p11_pub pub;
};

struct p11_session {
	struct session base;
	struct p11_at at;
	uint64_t keys;
	bool stale; /* a call failed: reopened before it is used again */
	struct p11_key *current;
	struct p11_key *cache[CACHE_SETS][CACHE_WAYS];
	uint8_t turn[CACHE_SETS];
};

/* EMSA-PKCS1-v1_5 (RFC 8017 9.2 note 1): DER of DigestInfo up to the hash. */
static size_t digest_info(uint8_t alg, uint8_t *dst)
{
	static const uint8_t head[] = { 0x30, 0,    0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
					0x65, 0x03, 0x04, 0x02, 0,    0x05, 0x00, 0x04, 0 };
	uint8_t n = alg == 8 ? 32 : 64;

	memcpy(dst, head, sizeof(head));
	dst[1] = (uint8_t)(17 + n);
	dst[14] = alg == 8 ? 1 : 3;
	dst[18] = n;
	return sizeof(head);
}

/* What the token is given, in the n-th way. False: there is no such way. */
static bool sign_input(uint8_t alg, int way, const uint8_t *msg, size_t len, uint8_t room[128],
		       CK_MECHANISM *m, struct p11_eddsa_params *ed, const uint8_t **in, size_t *in_len)
{
	unsigned n = 0;
	size_t head = 0;

	*in = msg;
	*in_len = len;
	if (pub_alg_eddsa(alg)) {
		*m = (CK_MECHANISM){ CKM_EDDSA, way ? ed : NULL, way ? sizeof(*ed) : 0 };
		return way < 2;
	}
	if (way) {
		m->mechanism = alg == 8 ? CKM_SHA256_RSA_PKCS : alg == 10 ? CKM_SHA512_RSA_PKCS
			     : alg == 13 ? CKM_ECDSA_SHA256 : CKM_ECDSA_SHA384;
		return way < 2;
	}
	m->mechanism = pub_alg_rsa(alg) ? CKM_RSA_PKCS : CKM_ECDSA;
	if (pub_alg_rsa(alg))
		head = digest_info(alg, room);
	if (EVP_Q_digest(NULL, pub_alg_digest(alg), NULL, msg, len, room + head, NULL) != 1)
		return false;
	n = alg == 10 ? 64 : alg == 14 ? 48 : 32;
	*in = room;
	*in_len = head + n;
	return true;
}

/* The token's answer in wire form: fixed length; DER of ECDSA undone, RSA padded on the left. */
static int normalise(uint8_t alg, size_t modulus, const uint8_t *raw, size_t n, uint8_t *sig, size_t *sig_len)
{
	size_t want = pub_alg_rsa(alg) ? modulus : pub_alg_sig_len(alg);

	if (!want || want > *sig_len)
		return ZS_ECRYPTO;
	*sig_len = want;
	if (n == want) {
		memcpy(sig, raw, n);
		return 0;
	}
	if (pub_alg_ecdsa(alg))
		return pub_sig_from_der(raw, n, want / 2, sig) ? ZS_ECRYPTO : 0;
	if (!pub_alg_rsa(alg) || n > want)
		return ZS_ECRYPTO;
	memset(sig, 0, want - n);
	memcpy(sig + want - n, raw, n);
	return 0;
}

int p11_make_signature(const struct p11_at *at, uint8_t alg, CK_OBJECT_HANDLE key, size_t modulus,
		       const uint8_t *msg, size_t len, uint8_t *sig, size_t *sig_len, bool *discard)
{
	struct p11 *p = at->p;
	uint8_t room[128], raw[SIG_ROOM];
	struct p11_eddsa_params ed = { 0, 0, NULL };
	CK_MECHANISM m = { 0, NULL, 0 };
	const uint8_t *in;
	size_t in_len, n = sizeof(raw);
	CK_RV rv = CKR_MECHANISM_INVALID;
	bool begun = false;
	int way = atomic_load(&p->variant[alg]), rc;

	*discard = false;
	for (; sign_input(alg, way, msg, len, room, &m, &ed, &in, &in_len); way++) {
		rv = p11_sign(at, &m, key, in, in_len, raw, &n, &begun);
		if (rv == CKR_OK || p11_class(rv) != RV_MECHANISM || atomic_load(&p->proven[alg]))
			break;
		atomic_store(&p->variant[alg], way ? 0 : 1);
		if (begun) {
			*discard = true; /* the operation may be active still: again on a new session */
			return ZS_EVAULT;
		}
	}
	if (rv == CKR_OK) {
		atomic_store(&p->variant[alg], way);
		atomic_store(&p->proven[alg], 1);
		rc = normalise(alg, modulus, raw, n, sig, sig_len);
		*discard = rc != 0;
		return rc;
	}
	*discard = begun;
	rc = p11_failed(p, rv);
	return rc == ZS_ELIMIT ? ZS_EVAULT : rc;
}

size_t p11_modulus_len(uint8_t alg, const struct p11_pub *pub)
{
	size_t head;

	if (!pub_alg_rsa(alg) || pub->len < 4)
		return 0;
	head = pub->octets[0] ? 1u + pub->octets[0] : 3u + (pub->octets[1] << 8 | pub->octets[2]);
	return head < pub->len ? pub->len - head : 0;
}

int p11_challenge(const struct p11_at *at, uint8_t alg, CK_OBJECT_HANDLE key, const struct p11_pub *pub,
		  bool *discard)
{
	uint8_t msg[CHALLENGE_LEN], sig[SIG_MAX];
	size_t len = sizeof(sig);
	EVP_PKEY *pkey = NULL;
	int rc = backend_challenge_make(msg);

	*discard = false;
	if (!rc)
		rc = p11_make_signature(at, alg, key, p11_modulus_len(alg, pub), msg, sizeof(msg), sig, &len,
					discard);
	if (rc)
		return rc;
	rc = pub_to_pkey(alg, pub->octets, pub->len, &pkey);
	if (!rc)
		rc = pub_verify(pkey, alg, msg, sizeof(msg), sig, len);
	EVP_PKEY_free(pkey);
	if (rc == ZS_EBADSIG)
		log_limited(LL_ERR, "vault", NULL, "challenge", 10,
			    "a key signs with another private key than its public key says (algorithm %u)",
			    alg);
	*discard = rc != 0;
	return rc ? ZS_EKEY : 0;
}

static void forget_keys(struct p11_session *s)
{
	for (int i = 0; i < CACHE_SETS; i++)
		for (int w = 0; w < CACHE_WAYS; w++) {
			free(s->cache[i][w]);
			s->cache[i][w] = NULL;
		}
	s->current = NULL;
}

/* A fresh PKCS#11 session in place of one that failed. */
static int refresh(struct p11_session *s)
{
	struct p11 *p = s->at.p;
	CK_RV rv;

	if (s->keys != p->keys) {
		s->keys = p->keys;
		forget_keys(s);
	}
	if (!s->stale)
		return 0;
	forget_keys(s);
	p11_close_session(&s->at);
	rv = p11_open_session(&s->at, false);
	if (rv != CKR_OK)
		return p11_failed(p, rv) ? ZS_EVAULT : 0;
	s->stale = false;
	return 0;
}

static struct p11_key **cache_slot(struct p11_session *s, const uint8_t id[KEY_ID_LEN])
{
	unsigned set = (unsigned)(id[0] ^ id[7]) % CACHE_SETS;

	for (int i = 0; i < CACHE_WAYS; i++)
		if (s->cache[set][i] && memcmp(s->cache[set][i]->id, id, KEY_ID_LEN) == 0)
			return &s->cache[set][i];
	for (int i = 0; i < CACHE_WAYS; i++)
		if (!s->cache[set][i])
			return &s->cache[set][i];
	return &s->cache[set][s->turn[set]++ % CACHE_WAYS];
}

/* Keys that want the PIN again for every signature cannot sign on their own. */
static int check_always_auth(const struct p11_session *s, CK_OBJECT_HANDLE o)
{
	CK_BBOOL always = CK_FALSE;
	size_t len = sizeof(always);
	CK_RV rv = p11_attribute(&s->at, o, CKA_ALWAYS_AUTHENTICATE, &always, &len);

	if (rv != CKR_OK || !always)
		return 0;
	log_limited(LL_ERR, "vault", NULL, "always-auth", 3,
		    "a key wants the PIN for every signature: not usable");
	return ZS_EKEY;
}

static int load_key(struct p11_session *s, const struct keymap_line *l, struct p11_key *k)
{
	int rc = p11_find_key(&s->at, l->id, &k->handle);

	if (rc)
		return rc == ZS_ENOENT ? ZS_EKEY : rc;
	rc = check_always_auth(s, k->handle);
	if (!rc)
		rc = p11_read_pub(&s->at, l->id, k->handle, l->algorithm, &k->pub);
	if (!rc)
		rc = pub_hash(k->pub.octets, k->pub.len, k->hash);
	if (!rc && memcmp(k->hash, l->pub_sha256, sizeof(k->hash)) != 0)
		rc = ZS_EKEY;
	if (!rc)
		rc = p11_challenge(&s->at, l->algorithm, k->handle, &k->pub, &s->stale);
	memcpy(k->id, l->id, KEY_ID_LEN);
	k->algorithm = l->algorithm;
	k->modulus = p11_modulus_len(l->algorithm, &k->pub);
	return rc == ZS_ELIMIT ? ZS_EVAULT : rc;
}

static int p11_key(struct session *base, const struct keymap_line *l, struct key_view *out)
{
	struct p11_session *s = (struct p11_session *)base;
	struct p11_key **slot, *k;
	int rc = refresh(s);

	if (rc)
		return rc;
	slot = cache_slot(s, l->id);
	k = *slot;
	if (!k || memcmp(k->id, l->id, KEY_ID_LEN) != 0 || k->algorithm != l->algorithm) {
		k = calloc(1, sizeof(*k));
		rc = k ? load_key(s, l, k) : ZS_ENOMEM;
		if (rc) {
			free(k);
			return rc;
		}
		if (s->current == *slot)
			s->current = NULL;
		free(*slot);
		*slot = k;
	}
	if (memcmp(k->hash, l->pub_sha256, sizeof(k->hash)) != 0)
		return ZS_EKEY;
	s->current = k;
	*out = (struct key_view){ k->pub.octets, k->pub.len };
	return 0;
}

static int p11_sign_request(struct session *base, const uint8_t *tbs, size_t len, uint8_t *sig,
			    size_t *sig_len, uint32_t *usec)
{
	struct p11_session *s = (struct p11_session *)base;
	struct p11_key *k = s->current;
	mono_t start = clk_mono();
	int rc;

	if (!k)
		return ZS_EKEY;
	rc = p11_make_signature(&s->at, k->algorithm, k->handle, k->modulus, tbs, len, sig, sig_len,
				&s->stale);
	*usec = (uint32_t)mono_diff(clk_mono(), start);
	return rc;
}

static int p11_session_open(struct backend *b, struct call_mark *mark, struct session **out)
{
	struct p11 *p = (struct p11 *)b;
	struct p11_session *s = calloc(1, sizeof(*s));
	CK_RV rv;

	if (!s)
		return ZS_ENOMEM;
	s->base.backend = b;
	s->at = (struct p11_at){ p, mark, 0 };
	s->keys = p->keys;
	rv = p11_open_session(&s->at, false);
	if (rv != CKR_OK) {
		free(s);
		return p11_failed(p, rv);
	}
	*out = &s->base;
	return 0;
}

static void p11_session_close(struct session *base, bool dead)
{
	struct p11_session *s = (struct p11_session *)base;

	forget_keys(s);
	if (!dead)
		p11_close_session(&s->at);
	free(s);
}

/* No C_Finalize and no dlclose: libraries hang and crash there, and the process ends anyway. */
static void p11_free(struct backend *b)
{
	struct p11 *p = (struct p11 *)b;

	p11_kit_uri_free(p->uri);
	pthread_mutex_destroy(&p->serial_lock);
	free(p);
}

static const struct backend_ops p11_ops = {
	.name = "pkcs11",
	.open = p11_open,
	.tick = p11_tick,
	.generate = p11_generate,
	.remove = p11_remove,
	.test = p11_test,
	.free = p11_free,
	.session_open = p11_session_open,
	.session_close = p11_session_close,
	.key = p11_key,
	.sign = p11_sign_request,
	.chunk = 1,
};

struct backend *backend_p11_new(const struct proto_setup *setup, const struct backend_host *host,
				struct call_mark *steward)
{
	struct p11 *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->base.ops = &p11_ops;
	p->setup = setup;
	p->host = host;
	p->steward = steward;
	pthread_mutex_init(&p->serial_lock, NULL);
	return &p->base;
}
