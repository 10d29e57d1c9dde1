/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The gate's own life, findings and sums. A gate is written by its jobs only through the lock of the findings
 * and through atomic counters; everything else in it is fixed by gate_new(). A job (struct gjob) is one call:
 * one handle, one thread, with its contexts and buffers.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"
#include "gate_impl.h"

/* octets of one canonical RRset: 65,535 records with the longest owner, 1 MiB of data */
#define BODY_MAX (128u << 20)

static const struct { const char *label, *text; } checks[GATE_CHECKS] = {
#define X(name, lab, txt) [GATE_##name] = { lab, txt },
	GATE_CHECK_MAP(X)
#undef X
};

const char *gate_check_label(enum gate_check c)
{
	return (unsigned)c < GATE_CHECKS ? checks[c].label : "unknown";
}

const char *gate_check_text(enum gate_check c)
{
	return (unsigned)c < GATE_CHECKS ? checks[c].text : "unknown";
}

static int copy_params(struct gate *g, const struct gate_params *p)
{
	static const char *const names[MD_COUNT] = { "SHA1", "SHA256", "SHA384", "SHA512" };
	uint8_t *zone = malloc(GWIRE_MAX);

	g->p = *p;
	g->p.zone = zone;
	g->p.key = NULL;
	if (!zone || gname_from_wire(p->zone, p->zone_len, &g->apex) ||
	    gname_to_wire(g->apex.k, g->apex.len, zone, &g->p.zone_len))
		return ZS_EINVAL;
	g->apex_labels = gname_labels(g->apex.k, g->apex.len);
	if (!g->p.one_in)
		g->p.one_in = 1;
	g->chain = !p->unsigned_zone && !(p->nsec3 && p->nsec3_iterations > GITER_MAX);
	for (int i = 0; i < MD_COUNT; i++) {
		g->md[i] = EVP_MD_fetch(NULL, names[i], NULL);
		if (!g->md[i])
			return ZS_ECRYPTO;
	}
	return 0;
}

struct gate *gate_new(const struct gate_params *params)
{
	struct gate *g = calloc(1, sizeof *g);

	if (!g)
		return NULL;
	pthread_mutex_init(&g->lock, NULL);
	g->finding = calloc(GATE_FINDINGS_MAX, sizeof *g->finding);
	g->key = calloc(params->nkeys ? params->nkeys : 1, sizeof *g->key);
	if (!g->finding || !g->key || copy_params(g, params))
		goto fail;
	for (size_t i = 0; i < params->nkeys; i++) {
		g->nkeys = i + 1;
		if (gkey_load(g, &g->key[i], &params->key[i]))
			goto fail;
	}
	return g;
fail:
	gate_free(g);
	return NULL;
}

void gate_free(struct gate *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->nkeys; i++)
		gkey_clear(&g->key[i]);
	for (int i = 0; i < MD_COUNT; i++)
		EVP_MD_free(g->md[i]);
	free(g->key);
	free(g->finding);
	free(g->known);
	free((void *)(uintptr_t)g->p.zone);
	pthread_mutex_destroy(&g->lock);
	free(g);
}

size_t gate_findings(const struct gate *g, const struct gate_finding **out)
{
	*out = g->finding;
	return g->nfindings;
}

uint64_t gate_count(const struct gate *g, enum gate_check c)
{
	return (unsigned)c < GATE_CHECKS ? atomic_load(&g->count[c]) : 0;
}

uint64_t gate_total(const struct gate *g)
{
	uint64_t n = 0;

	for (int i = 0; i < GATE_CHECKS; i++)
		n += atomic_load(&g->count[i]);
	return n;
}

bool gate_repairable(const struct gate *g)
{
	uint64_t n = gate_total(g);

	return n && n == gate_count(g, GATE_BAD_SIG);
}

bool gate_spares_candidate(const struct gate *g)
{
	return gate_total(g) == gate_count(g, GATE_HISTORY) + atomic_load(&g->of_base);
}

void gate_sums(const struct gate *g, struct gate_sums *out)
{
	out->rrsets = atomic_load(&g->rrsets);
	out->signatures = atomic_load(&g->signatures);
	out->verified = atomic_load(&g->verified);
	out->chain_names = atomic_load(&g->names);
	out->chain_records = atomic_load(&g->records);
}

void gate_expect(struct gate *g, const struct gate *values)
{
	g->expects = true;
	g->want_marked = atomic_load(&values->marked);
	g->want_marks = atomic_load(&values->marks);
}

void gate_remember(struct gate *values)
{
	values->remembers = true;
}

void gate_know(struct gate *g, uint64_t mark)
{
	pthread_mutex_lock(&g->lock);
	if (g->nknown == g->known_cap) {
		size_t cap = g->known_cap ? 2 * g->known_cap : 64;
		uint64_t *more = realloc(g->known, cap * sizeof *more);

		if (more) {
			g->known = more;
			g->known_cap = cap;
		}
	}
	if (g->nknown < g->known_cap)
		g->known[g->nknown++] = mark;
	pthread_mutex_unlock(&g->lock);
}

static int mark_cmp(const void *a, const void *b)
{
	const uint64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

bool gate_knows(const struct gate *g, uint64_t mark)
{
	return g->nknown && bsearch(&mark, g->known, g->nknown, sizeof mark, mark_cmp);
}

void gate_recall(struct gate *g, const struct gate *values)
{
	pthread_mutex_t *lock = (pthread_mutex_t *)(uintptr_t)&values->lock;
	uint64_t *all = NULL;
	size_t n;

	pthread_mutex_lock(lock);
	n = g->nknown + values->nknown;
	if (values->nknown && (all = realloc(g->known, n * sizeof *all))) {
		memcpy(all + g->nknown, values->known, values->nknown * sizeof *all);
		qsort(all, n, sizeof *all, mark_cmp);
		g->known = all;
		g->nknown = g->known_cap = n;
	}
	pthread_mutex_unlock(lock);
}

int gjob_init(struct gjob *j, struct gate *g, struct kv *kv)
{
	memset(j, 0, sizeof *j);
	j->g = g;
	j->kv = kv;
	j->body = wr_growing(BODY_MAX);
	for (int i = 0; i < 2; i++) {
		j->own[i].vals = wr_growing(SIZE_MAX);
		j->den[i].val = wr_growing(SIZE_MAX);
	}
	j->kctx = calloc(g->nkeys + 1, sizeof *j->kctx);
	j->edctx = calloc(g->nkeys + 1, sizeof *j->edctx);
	j->seen = calloc(g->nkeys + 1, 1);
	if (!j->kctx || !j->edctx || !j->seen)
		j->err = ZS_ENOMEM;
	return j->err;
}

int gjob_done(struct gjob *j)
{
	struct gate *g = j->g;

	atomic_fetch_add(&g->rrsets, j->rrsets);
	atomic_fetch_add(&g->signatures, j->signatures);
	atomic_fetch_add(&g->verified, j->verified);
	atomic_fetch_add(&g->names, j->names);
	atomic_fetch_add(&g->found, j->found);
	atomic_fetch_add(&g->records, j->records);
	atomic_fetch_add(&g->matched, j->matched);
	atomic_fetch_add(&g->entries, j->entries);
	atomic_fetch_add(&g->indexed, j->indexed);
	atomic_fetch_add(&g->marked, j->marked);
	atomic_fetch_add(&g->marks, j->marks);
	for (size_t i = 0; j->kctx && i < g->nkeys; i++)
		EVP_PKEY_CTX_free(j->kctx[i]);
	gfast_free(j->fast);
	EVP_MD_CTX_free(j->digest);
	EVP_MD_CTX_free(j->hash);
	for (size_t i = 0; j->edctx && i < g->nkeys; i++)
		EVP_MD_CTX_free(j->edctx[i]);
	wr_free(&j->body);
	for (int i = 0; i < 2; i++) {
		wr_free(&j->own[i].vals);
		free(j->own[i].set);
		wr_free(&j->den[i].val);
	}
	free(j->kctx);
	free(j->edctx);
	free(j->seen);
	free(j->types);
	kv_close(j->base);
	return j->err;
}

int gjob_fail(struct gjob *j, int rc)
{
	if (rc && rc != ZS_ENOENT && !j->err)
		j->err = rc;
	return j->err;
}

struct kv *gjob_base(struct gjob *j)
{
	if (!j->base_tried && j->g->p.open_base) {
		int rc = j->g->p.open_base(j->g->p.base_ctx, &j->base);

		if (rc)
			j->base = NULL;
		gjob_fail(j, rc);
	}
	j->base_tried = true;
	return j->base;
}

bool gjob_get(struct gjob *j, struct kv *kv, const uint8_t *key, size_t klen, struct kv_item *out)
{
	int rc = kv_get(kv, key, klen, out);

	gjob_fail(j, rc);
	return rc == 0;
}

/* The types that findings are about most often; others as in RFC 3597. */
const char *gtype_text(uint16_t type, char buf[static 12])
{
	static const struct { uint16_t type; const char *name; } known[] = {
		{ 1, "A" }, { 2, "NS" }, { 5, "CNAME" }, { 6, "SOA" }, { 12, "PTR" }, { 15, "MX" },
		{ 16, "TXT" }, { 28, "AAAA" }, { 33, "SRV" }, { 39, "DNAME" }, { 43, "DS" }, { 46, "RRSIG" },
		{ 47, "NSEC" }, { 48, "DNSKEY" }, { 50, "NSEC3" }, { 51, "NSEC3PARAM" }, { 52, "TLSA" },
		{ 59, "CDS" }, { 60, "CDNSKEY" }, { 64, "SVCB" }, { 65, "HTTPS" }, { 257, "CAA" },
	};

	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
		if (known[i].type == type)
			return known[i].name;
	}
	snprintf(buf, 12, "TYPE%u", type);
	return buf;
}

/* What a key is about, in words; returns the type. */
static uint16_t describe(struct gate *g, const uint8_t *key, size_t klen, char *buf, size_t cap)
{
	uint8_t wire[GWIRE_MAX];
	size_t olen, wlen;
	uint16_t type = 0;

	buf[0] = '\0';
	if (klen && key[0] == IN_RECORDS && !gkey_split(key, klen, &olen, &type) &&
	    !gname_to_wire(key + 1, olen, wire, &wlen)) {
		gwire_text(wire, wlen, buf, cap);
	} else if (klen > 1 && key[0] == IN_DENIAL && key[1] == 0 &&
		   !gname_to_wire(key + 2, klen - 2, wire, &wlen)) {
		gwire_text(wire, wlen, buf, cap);
		type = TY_NSEC;
	} else if (klen == 2 + GHASH_LEN && key[0] == IN_DENIAL && key[1]) {
		text_b32hex(buf, key + 2, GHASH_LEN);
		buf[32] = '.';
		gwire_text(g->p.zone, g->p.zone_len, buf + (g->p.zone_len > 1 ? 33 : 32), cap - 33);
		type = TY_NSEC3;
	} else if (klen == 13 && key[0] == IN_HISTORY) {
		snprintf(buf, cap, "version %llu", (unsigned long long)be64(key + 1));
	} else {
		for (size_t i = 0; i < klen && i < 32; i++)
			snprintf(buf + 2 * i, cap - 2 * i, "%02x", key[i]);
	}
	return type;
}

static void note(struct gate *g, enum gate_check c, const uint8_t *key, size_t klen, const uint8_t hint[4],
		 const char *what)
{
	struct gate_finding *f = NULL;
	char name[1100], buf[12];

	atomic_fetch_add(&g->count[c], 1);
	pthread_mutex_lock(&g->lock);
	if (g->nfindings < GATE_FINDINGS_MAX)
		f = &g->finding[g->nfindings++];
	if (f) {
		f->check = c;
		f->key_len = klen < GKEY_MAX ? klen : GKEY_MAX;
		if (f->key_len)
			memcpy(f->key, key, f->key_len);
		f->type = describe(g, key, klen, name, sizeof name);
		memcpy(f->key_id_hint, hint, 4);
		snprintf(f->text, sizeof f->text, "%.200s %s: %.90s", name,
			 f->type ? gtype_text(f->type, buf) : "-", what);
	}
	pthread_mutex_unlock(&g->lock);
}

void gnote(struct gjob *j, enum gate_check c, const uint8_t *key, size_t klen, const char *fmt, ...)
{
	static const uint8_t none[4];
	char what[128];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof what, fmt, ap);
	va_end(ap);
	note(j->g, c, key, klen, none, what);
}

void gnote_sig(struct gjob *j, enum gate_check c, const uint8_t *key, size_t klen, uint16_t tag, uint8_t alg,
	       const char *text)
{
	uint8_t hint[4] = { (uint8_t)(tag >> 8), (uint8_t)tag, alg, 0 };
	char what[128];

	snprintf(what, sizeof what, "signature by %u/%u %s", tag, alg, text);
	note(j->g, c, key, klen, hint, what);
}
