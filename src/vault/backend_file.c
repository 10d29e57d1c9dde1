/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Keys as files: PKCS#8 PEM, mode 0600, named by CKA_ID in hex, in one directory. Each signing thread keeps
 * its own small cache of loaded keys with a ready signing context, so that threads share nothing while they
 * sign. A key is challenged when a thread loads it: file and keymap line must agree on the public key.
 */
#include "backend.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/clk.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/manifest.h"
#include "base/text.h"

#define PEM_FILE_MAX 16384
#define CACHE_SETS 1024 /* of CACHE_WAYS keys: bounds memory with 100,000 zones, costs nothing with 100 */
#define CACHE_WAYS 4

struct file_key {
	uint8_t id[KEY_ID_LEN];
	uint64_t epoch;
	uint8_t algorithm;
	EVP_PKEY *pkey;
	EVP_PKEY_CTX *ctx; /* RSA, ECDSA: initialised for signing digests */
	uint8_t hash[32];
	uint8_t pub[PUBKEY_MAX];
	size_t pub_len;
};

struct file_backend {
	struct backend base;
	const struct proto_setup *setup;
	_Atomic uint64_t epoch; /* raised when a key is removed: caches forget everything */
};

struct file_session {
	struct session base;
	struct file_key *current;
	EVP_MD_CTX *md_ctx, *sign_ctx; /* digests; EdDSA */
	EVP_MD *md[3]; /* 8 and 13; 10; 14 */
	struct file_key *cache[CACHE_SETS][CACHE_WAYS];
	uint8_t turn[CACHE_SETS];
};

static void key_free(struct file_key *k)
{
	if (!k)
		return;
	EVP_PKEY_CTX_free(k->ctx);
	EVP_PKEY_free(k->pkey);
	free(k);
}

static void key_path(const struct file_backend *b, const uint8_t id[KEY_ID_LEN], char *dst, size_t cap)
{
	char hex[2 * KEY_ID_LEN + 1];

	snprintf(dst, cap, "%s/%s.pem", b->setup->key_dir, text_hex(hex, id, KEY_ID_LEN));
}

static int no_passphrase(char *buf, int size, int rwflag, void *u)
{
	return -1; /* OpenSSL would ask the terminal */
}

static int pem_read(const struct file_backend *b, const uint8_t id[KEY_ID_LEN], EVP_PKEY **out)
{
	char path[4096 + 64], *text = NULL;
	size_t len = 0;
	BIO *bio;
	int rc;

	key_path(b, id, path, sizeof(path));
	rc = fs_read_secret(path, PEM_FILE_MAX, &text, &len);
	if (rc)
		return rc;
	bio = BIO_new_mem_buf(text, (int)len);
	if (bio)
		*out = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL);
	BIO_free(bio);
	fs_free_secret(text, len);
	return *out ? 0 : ZS_EKEY;
}

static int key_ctx(struct file_key *k)
{
	if (pub_alg_eddsa(k->algorithm))
		return 0;
	k->ctx = EVP_PKEY_CTX_new_from_pkey(NULL, k->pkey, NULL);
	if (!k->ctx || EVP_PKEY_sign_init(k->ctx) != 1)
		return ZS_ECRYPTO;
	if (pub_alg_rsa(k->algorithm) &&
	    (EVP_PKEY_CTX_set_rsa_padding(k->ctx, RSA_PKCS1_PADDING) != 1 ||
	     EVP_PKEY_CTX_set_signature_md(k->ctx, EVP_get_digestbyname(pub_alg_digest(k->algorithm))) != 1))
		return ZS_ECRYPTO;
	return 0;
}

/* Reads a key file and makes it ready. ZS_ENOENT, ZS_EPERM, ZS_EKEY. */
static int key_load(const struct file_backend *b, const uint8_t id[KEY_ID_LEN], uint8_t alg,
		    struct file_key **out)
{
	struct file_key *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return ZS_ENOMEM;
	memcpy(k->id, id, KEY_ID_LEN);
	k->algorithm = alg;
	k->epoch = b->epoch;
	k->pub_len = sizeof(k->pub);
	rc = pem_read(b, id, &k->pkey);
	if (!rc)
		rc = pub_from_pkey(k->pkey, alg, k->pub, &k->pub_len);
	if (!rc)
		rc = pub_hash(k->pub, k->pub_len, k->hash);
	if (!rc)
		rc = key_ctx(k);
	if (rc)
		key_free(k);
	else
		*out = k;
	return rc;
}

static int digest(struct file_session *s, uint8_t alg, const uint8_t *p, size_t len, uint8_t out[64],
		  unsigned *n)
{
	EVP_MD **md = &s->md[alg == 10 ? 1 : alg == 14 ? 2 : 0];

	if (!*md)
		*md = EVP_MD_fetch(NULL, pub_alg_digest(alg), NULL);
	if (!*md || EVP_DigestInit_ex2(s->md_ctx, *md, NULL) != 1 ||
	    EVP_DigestUpdate(s->md_ctx, p, len) != 1 || EVP_DigestFinal_ex(s->md_ctx, out, n) != 1)
		return ZS_ECRYPTO;
	return 0;
}

static int sign_eddsa(struct file_session *s, struct file_key *k, const uint8_t *tbs, size_t len,
		      uint8_t *sig, size_t *sig_len)
{
	/* without the reset OpenSSL goes on with the key of the init before */
	if (EVP_MD_CTX_reset(s->sign_ctx) != 1 ||
	    EVP_DigestSignInit_ex(s->sign_ctx, NULL, NULL, NULL, NULL, k->pkey, NULL) != 1 ||
	    EVP_DigestSign(s->sign_ctx, sig, sig_len, tbs, len) != 1)
		return ZS_ECRYPTO;
	return 0;
}

static int key_sign(struct file_session *s, struct file_key *k, const uint8_t *tbs, size_t len, uint8_t *sig,
		    size_t *sig_len)
{
	uint8_t hash[64], der[144];
	size_t n = sizeof(der), size = pub_alg_size(k->algorithm);
	unsigned hash_len;
	int rc;

	if (pub_alg_eddsa(k->algorithm))
		return sign_eddsa(s, k, tbs, len, sig, sig_len);
	rc = digest(s, k->algorithm, tbs, len, hash, &hash_len);
	if (rc)
		return rc;
	if (pub_alg_rsa(k->algorithm))
		return EVP_PKEY_sign(k->ctx, sig, sig_len, hash, hash_len) == 1 ? 0 : ZS_ECRYPTO;
	if (*sig_len < 2 * size || EVP_PKEY_sign(k->ctx, der, &n, hash, hash_len) != 1)
		return ZS_ECRYPTO;
	*sig_len = 2 * size;
	return pub_sig_from_der(der, n, size, sig) ? ZS_ECRYPTO : 0;
}

static int key_challenge(struct file_session *s, struct file_key *k)
{
	uint8_t msg[CHALLENGE_LEN], sig[SIG_MAX];
	size_t len = sizeof(sig);
	EVP_PKEY *pub = NULL;
	int rc = backend_challenge_make(msg);

	if (!rc)
		rc = key_sign(s, k, msg, sizeof(msg), sig, &len);
	if (!rc)
		rc = pub_to_pkey(k->algorithm, k->pub, k->pub_len, &pub);
	if (!rc)
		rc = pub_verify(pub, k->algorithm, msg, sizeof(msg), sig, len);
	EVP_PKEY_free(pub);
	return rc ? ZS_EKEY : 0;
}

static struct file_key **cache_slot(struct file_session *s, const uint8_t id[KEY_ID_LEN], uint64_t epoch)
{
	unsigned set = (unsigned)(id[0] ^ id[7]) << 2 | (id[1] & 3); /* ids are random octets */
	struct file_key **way = s->cache[set % CACHE_SETS];

	for (int i = 0; i < CACHE_WAYS; i++) {
		if (way[i] && way[i]->epoch != epoch) {
			if (s->current == way[i])
				s->current = NULL;
			key_free(way[i]);
			way[i] = NULL;
		}
		if (way[i] && memcmp(way[i]->id, id, KEY_ID_LEN) == 0)
			return &way[i];
	}
	for (int i = 0; i < CACHE_WAYS; i++)
		if (!way[i])
			return &way[i];
	return &way[s->turn[set % CACHE_SETS]++ % CACHE_WAYS];
}

static int file_key(struct session *base, const struct keymap_line *l, struct key_view *out)
{
	struct file_session *s = (struct file_session *)base;
	struct file_backend *b = (struct file_backend *)base->backend;
	struct file_key **slot = cache_slot(s, l->id, b->epoch), *k = *slot;
	int rc;

	if (!k || memcmp(k->id, l->id, KEY_ID_LEN) != 0 || k->algorithm != l->algorithm) {
		rc = key_load(b, l->id, l->algorithm, &k);
		if (rc)
			return rc == ZS_ENOMEM ? rc : ZS_EKEY;
		if (key_challenge(s, k)) {
			key_free(k);
			return ZS_EKEY;
		}
		if (s->current == *slot)
			s->current = NULL;
		key_free(*slot);
		*slot = k;
	}
	if (memcmp(k->hash, l->pub_sha256, sizeof(k->hash)) != 0)
		return ZS_EKEY;
	s->current = k;
	*out = (struct key_view){ k->pub, k->pub_len };
	return 0;
}

static int file_sign(struct session *base, const uint8_t *tbs, size_t len, uint8_t *sig, size_t *sig_len,
		     uint32_t *usec)
{
	struct file_session *s = (struct file_session *)base;
	mono_t start = clk_mono();
	int rc;

	if (!s->current)
		return ZS_EKEY;
	rc = key_sign(s, s->current, tbs, len, sig, sig_len);
	*usec = (uint32_t)(mono_diff(clk_mono(), start));
	return rc;
}

static int file_session_open(struct backend *base, struct call_mark *mark, struct session **out)
{
	struct file_session *s = calloc(1, sizeof(*s));

	if (!s)
		return ZS_ENOMEM;
	s->base.backend = base;
	s->md_ctx = EVP_MD_CTX_new();
	s->sign_ctx = EVP_MD_CTX_new();
	if (!s->md_ctx || !s->sign_ctx) {
		EVP_MD_CTX_free(s->md_ctx);
		EVP_MD_CTX_free(s->sign_ctx);
		free(s);
		return ZS_ENOMEM;
	}
	*out = &s->base;
	return 0;
}

static void file_session_close(struct session *base, bool dead)
{
	struct file_session *s = (struct file_session *)base;

	for (int i = 0; i < CACHE_SETS; i++)
		for (int w = 0; w < CACHE_WAYS; w++)
			key_free(s->cache[i][w]);
	for (int i = 0; i < 3; i++)
		EVP_MD_free(s->md[i]);
	EVP_MD_CTX_free(s->md_ctx);
	EVP_MD_CTX_free(s->sign_ctx);
	free(s);
}

static int file_open(struct backend *base, enum heal from, uint32_t *sessions, char *text, size_t cap)
{
	struct file_backend *b = (struct file_backend *)base;
	struct stat st;

	if (stat(b->setup->key_dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
		snprintf(text, cap, "key directory: %s", errno ? strerror(errno) : "not a directory");
		return ZS_EVAULT;
	}
	if (st.st_mode & 022) {
		snprintf(text, cap, "key directory can be written by group or others");
		return ZS_EVAULT;
	}
	*sessions = b->setup->threads;
	return 0;
}

static enum heal file_tick(struct backend *base)
{
	return HEAL_SESSION;
}

static EVP_PKEY *generate_pkey(const struct keymap_line *l)
{
	switch (l->algorithm) {
	case 8:
	case 10:
		return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)l->bits);
	case 13:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256");
	case 14:
		return EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-384");
	case 15:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	case 16:
		return EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
	}
	return NULL;
}

/* PKCS#8 PEM, durable with its directory. */
static int pem_write(const struct file_backend *b, const uint8_t id[KEY_ID_LEN], EVP_PKEY *pkey)
{
	char path[4096 + 64];
	BIO *bio = BIO_new(BIO_s_secmem());
	char *data = NULL;
	long len;
	int rc = ZS_ECRYPTO;

	key_path(b, id, path, sizeof(path));
	if (bio && PEM_write_bio_PKCS8PrivateKey(bio, pkey, NULL, NULL, 0, NULL, NULL) == 1) {
		len = BIO_get_mem_data(bio, &data);
		rc = fs_replace(path, data, (size_t)len, 0600);
	}
	BIO_free(bio);
	return rc;
}

static bool bits_fit(const struct keymap_line *l)
{
	return !pub_alg_rsa(l->algorithm) || (l->bits >= 1024 && l->bits <= 4096);
}

static int file_generate(struct backend *base, const struct keymap_line *l, uint8_t *pub, size_t *pub_len)
{
	struct file_backend *b = (struct file_backend *)base;
	struct file_key *k = NULL;
	EVP_PKEY *pkey;
	int rc = key_load(b, l->id, l->algorithm, &k);

	if (rc == ZS_ENOENT) {
		pkey = bits_fit(l) ? generate_pkey(l) : NULL;
		if (!pkey)
			return bits_fit(l) && pub_alg_known(l->algorithm) ? ZS_ECRYPTO : ZS_EINVAL;
		rc = pem_write(b, l->id, pkey);
		EVP_PKEY_free(pkey);
		if (!rc)
			rc = key_load(b, l->id, l->algorithm, &k);
	}
	if (rc)
		return rc;
	if (pub_alg_rsa(l->algorithm) && EVP_PKEY_get_bits(k->pkey) != l->bits) {
		rc = ZS_EKEY;
	} else if (k->pub_len > *pub_len) {
		rc = ZS_EFULL;
	} else {
		memcpy(pub, k->pub, k->pub_len);
		*pub_len = k->pub_len;
	}
	key_free(k);
	return rc;
}

static int file_remove(struct backend *base, const uint8_t id[KEY_ID_LEN])
{
	struct file_backend *b = (struct file_backend *)base;
	char path[4096 + 64];

	b->epoch++;
	key_path(b, id, path, sizeof(path));
	return fs_remove(path);
}

/* What can fail for files is their directory. */
static int file_test(struct backend *base, char *text, size_t cap)
{
	struct file_backend *b = (struct file_backend *)base;
	uint64_t left = 0;
	int rc = fs_free_bytes(b->setup->key_dir, &left);

	if (rc)
		snprintf(text, cap, "key directory: %s", zs_strerror(rc));
	else
		snprintf(text, cap, "file key store, %u threads, %llu MiB free", b->setup->threads,
			 (unsigned long long)(left >> 20));
	return rc;
}

static bool is_key_file(const char *name)
{
	size_t n = strlen(name);

	return n == 2 * KEY_ID_LEN + 4 && strcmp(name + n - 4, ".pem") == 0;
}

static int backup_one(const struct file_backend *b, struct manifest *m, const char *name)
{
	char path[4096 + 64], *text = NULL;
	size_t len = 0;
	int rc;

	snprintf(path, sizeof(path), "%s/%s", b->setup->key_dir, name);
	rc = fs_read_secret(path, PEM_FILE_MAX, &text, &len);
	if (rc)
		return rc == ZS_ENOENT ? 0 : rc; /* removed meanwhile */
	rc = manifest_write(m, name, text, len);
	fs_free_secret(text, len);
	return rc;
}

/* Every key file, used or not: keymap and key states say which ones count. */
static int file_backup(struct backend *base, int dir, char *text, size_t cap)
{
	struct file_backend *b = (struct file_backend *)base;
	char to[64];
	struct manifest *m;
	struct dirent *e;
	DIR *d = opendir(b->setup->key_dir);
	int rc = 0;

	snprintf(to, sizeof(to), MANIFEST_FD_PATH, dir);
	m = manifest_new(to);
	if (!d || !m) {
		rc = d ? ZS_ENOMEM : zs_from_errno(errno);
		snprintf(text, cap, "key directory: %s", zs_strerror(rc));
	}
	while (!rc && (e = readdir(d))) {
		if (!is_key_file(e->d_name))
			continue;
		rc = backup_one(b, m, e->d_name);
		if (rc)
			snprintf(text, cap, "key file %.100s: %s", e->d_name, zs_strerror(rc));
	}
	if (!rc && (rc = manifest_save(m, clk_wall())))
		snprintf(text, cap, "list of the key files: %s", zs_strerror(rc));
	if (!rc)
		snprintf(text, cap, "%llu", (unsigned long long)manifest_files(m));
	if (d)
		closedir(d);
	manifest_free(m);
	return rc;
}

static void file_free(struct backend *base)
{
	free(base);
}

static const struct backend_ops file_ops = {
	.name = "file",
	.open = file_open,
	.tick = file_tick,
	.generate = file_generate,
	.remove = file_remove,
	.test = file_test,
	.backup = file_backup,
	.free = file_free,
	.session_open = file_session_open,
	.session_close = file_session_close,
	.key = file_key,
	.sign = file_sign,
	.chunk = 32,
};

struct backend *backend_file_new(const struct proto_setup *setup, const struct backend_host *host)
{
	struct file_backend *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	b->base.ops = &file_ops;
	b->setup = setup;
	return &b->base;
}
