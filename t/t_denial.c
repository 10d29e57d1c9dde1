/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Denial of existence: the example zone of RFC 5155 appendix A, the bitmap of RFC 4034 4.3, and the names
 * that go wrong elsewhere. Zones are lists of "owner TYPE TYPE ..."; chains are compared as text, one name a
 * line.
 */
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/text.h"
#include "dns/name.h"
#include "dns/rr.h"
#include "seal/denial.h"

static struct kvmem *zone;
static struct kv *kv;
static uint8_t apex[NAME_MAX_WIRE];

static void setup(void)
{
	zone = kvmem_new(0);
	kv = kvmem_open(zone);
	ck_assert_ptr_nonnull(kv);
}

static void teardown(void)
{
	kv_close(kv);
	kvmem_free(zone);
}

static size_t okey_of(const char *text, uint8_t out[static OKEY_MAX])
{
	uint8_t name[NAME_MAX_WIRE];
	size_t len;

	ck_assert_int_eq(name_from_text(text, name, &len), 0);
	return name_okey(name, out);
}

static void add(const char *owner, uint16_t type)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	size_t klen = key_record(key, okey, okey_of(owner, okey), type);

	ck_assert_int_eq(kv_put(kv, key, klen, "", 0), 0);
}

/* "owner TYPE TYPE", "owner TYPE", ... up to a NULL. */
static void fill(const char *const *line)
{
	for (; *line != NULL; line++) {
		char copy[2048], *save = NULL, *owner, *word;
		uint16_t type;

		ck_assert(strlen(*line) < sizeof(copy));
		strcpy(copy, *line);
		owner = strtok_r(copy, " ", &save);
		while ((word = strtok_r(NULL, " ", &save)) != NULL) {
			ck_assert_int_eq(rr_type_from_text(word, &type), 0);
			add(owner, type);
		}
	}
}

static struct denial_params params(enum denial kind, bool opt_out, const char *name)
{
	size_t len;

	ck_assert_int_eq(name_from_text(name, apex, &len), 0);
	name_lower(apex);
	return (struct denial_params){
		.kind = kind, .opt_out = opt_out, .set = kind == DENIAL_NSEC3, .ttl = 300, .zone = apex
	};
}

static const char *kind_text(const struct chain_name *n)
{
	static const char *const text[] = { [NODE_APEX] = "apex",
					    [NODE_AUTH] = "auth",
					    [NODE_CUT_INSECURE] = "insecure",
					    [NODE_CUT_SECURE] = "secure",
					    [NODE_OCCLUDED] = "occluded" };

	return n->ent ? "ent" : text[n->kind];
}

static size_t name_line(const struct chain_name *n, char *dst, size_t cap)
{
	uint8_t name[NAME_MAX_WIRE];
	char text[NAME_MAX_TEXT], type[RR_TYPE_TEXT];
	size_t len, used;

	ck_assert_int_eq(name_from_okey(n->okey, n->klen, name, &len), 0);
	used = (size_t)snprintf(dst, cap, "%s %s:", name_to_text(name, text), kind_text(n));
	for (size_t i = 0; i < n->ntypes; i++)
		used += (size_t)snprintf(dst + used, cap - used, " %s", rr_type_text(n->types[i], type));
	used += (size_t)snprintf(dst + used, cap - used, "\n");
	ck_assert(used < cap);
	return used;
}

static void check_lookup(const struct denial_params *p, const struct chain_name *n)
{
	struct kv *own = kvmem_open(zone);
	struct chain_name found;
	int ret = denial_name(own, p, n->okey, n->klen, &found);

	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(found.kind, n->kind);
	ck_assert_int_eq(found.ent, n->ent);
	ck_assert_uint_eq(found.ntypes, n->ntypes);
	ret = denial_owner(own, p, n->okey, n->klen, &found);
	kv_close(own);
	if (n->ent) {
		ck_assert_int_eq(ret, ZS_ENOENT);
		return;
	}
	ck_assert_int_eq(ret, 0);
	ck_assert_int_eq(found.kind, n->kind);
	ck_assert(!found.ent && denial_in_chain(p, found.kind));
	ck_assert_uint_eq(found.ntypes, n->ntypes);
	ck_assert_mem_eq(found.types, n->types, n->ntypes * sizeof(n->types[0]));
}

static void check_chain_extra(const struct denial_params *p, const uint16_t *extra, size_t nextra,
			      const char *want)
{
	static char text[1 << 16];
	struct chain_iter *it;
	const struct chain_name *n;
	size_t used = 0;
	int ret;

	text[0] = '\0';
	ck_assert_int_eq(chain_iter_new(kv, p, extra, nextra, &it), 0);
	while ((ret = chain_iter_next(it, &n)) == 0) {
		used += name_line(n, text + used, sizeof(text) - used);
		if (nextra == 0)
			check_lookup(p, n);
	}
	ck_assert_int_eq(ret, ZS_ENOENT);
	ck_assert_int_eq(chain_iter_next(it, &n), ZS_ENOENT);
	chain_iter_free(it);
	ck_assert_str_eq(text, want);
}

static void check_chain(const struct denial_params *p, const char *want)
{
	check_chain_extra(p, NULL, 0, want);
}

/* --- octets
 * -------------------------------------------------------------------------------------------------- */

START_TEST(bitmaps)
{
	static const uint16_t rfc4034[] = { T_A, T_MX, T_RRSIG, T_NSEC, 1234 };
	static const uint16_t edges[] = { 0, 255, 256, 65535 };
	static const uint16_t twice[] = { 7, 7, 8 };
	static const uint8_t want[] = { 0, 6, 0x40, 1, 0, 0, 0, 3, 4, 27 };
	uint16_t *all = malloc(65536 * sizeof(*all));
	uint8_t out[BITMAP_MAX];

	ck_assert_uint_eq(bitmap_build(out, rfc4034, 5), 8 + 29);
	ck_assert_mem_eq(out, want, sizeof(want));
	for (unsigned i = 10; i < 36; i++)
		ck_assert_uint_eq(out[i], 0);
	ck_assert_uint_eq(out[36], 0x20);
	ck_assert_uint_eq(bitmap_build(out, NULL, 0), 0);
	ck_assert_uint_eq(bitmap_build(out, edges, 4), 34 + 3 + 34);
	ck_assert_uint_eq(out[2], 0x80);
	ck_assert_uint_eq(out[33], 1);
	ck_assert_mem_eq(out + 34, "\1\1\x80\xff\x20", 5);
	ck_assert_uint_eq(out[70], 1);
	ck_assert_uint_eq(bitmap_build(out, twice, 3), 4);
	ck_assert_mem_eq(out, "\0\2\1\x80", 4);
	for (unsigned i = 0; i < 65536; i++)
		all[i] = (uint16_t)i;
	ck_assert_uint_eq(bitmap_build(out, all, 65536), BITMAP_MAX);
	free(all);
}
END_TEST

START_TEST(rdata_nsec)
{
	static const uint16_t types[] = { T_A, T_MX, T_RRSIG, T_NSEC, 1234 };
	uint8_t out[NAME_MAX_WIRE + BITMAP_MAX], next[NAME_MAX_WIRE];
	size_t len;

	ck_assert_int_eq(name_from_text("HOST.Example.com.", next, &len), 0);
	ck_assert_uint_eq(nsec_rdata(out, next, types, 5), 18 + 37);
	ck_assert_mem_eq(out, "\4host\7example\3com\0\0\6\x40\1\0\0\0\3\4\33", 28);
	ck_assert_uint_eq(out[54], 0x20);
}
END_TEST

START_TEST(rdata_nsec3)
{
	struct denial_params p = params(DENIAL_NSEC3, true, "example.");
	static const uint16_t types[] = { T_A, T_RRSIG };
	uint8_t out[NAME_MAX_WIRE + BITMAP_MAX], hash[20], owner[NAME_MAX_WIRE];
	char text[NAME_MAX_TEXT];

	p.iterations = 12;
	p.salt_len = 4;
	memcpy(p.salt, "\xaa\xbb\xcc\xdd", 4);
	memset(hash, 0x11, sizeof(hash));
	ck_assert_uint_eq(nsec3_rdata(out, &p, hash, types, 2), 9 + 21 + 8);
	ck_assert_mem_eq(out, "\1\1\0\14\4\xaa\xbb\xcc\xdd\24", 10);
	ck_assert_mem_eq(out + 10, hash, 20);
	ck_assert_mem_eq(out + 30, "\0\6\x40\0\0\0\0\2", 8);
	ck_assert_uint_eq(nsec3param_rdata(out, &p), 9);
	ck_assert_mem_eq(out, "\1\0\0\14\4\xaa\xbb\xcc\xdd", 9); /* no opt-out flag: RFC 5155 4.1.2 */
	p.salt_len = 0;
	p.opt_out = false;
	ck_assert_uint_eq(nsec3_rdata(out, &p, hash, NULL, 0), 26);
	ck_assert_mem_eq(out, "\1\0\0\14\0\24", 6);
	ck_assert_int_eq(nsec3_owner(hash, apex, owner), 0);
	ck_assert_str_eq(name_to_text(owner, text), "248h248h248h248h248h248h248h248h.example.");
}
END_TEST

START_TEST(owner_too_long)
{
	uint8_t name[NAME_MAX_WIRE], out[NAME_MAX_WIRE], hash[20] = { 0 };
	size_t n = 0;

	/* three labels of 63 and one of 29: 222 octets leave room for 33; one octet more does not */
	for (unsigned i = 0; i < 3; i++, n += 64) {
		name[n] = 63;
		memset(name + n + 1, 'A', 63);
	}
	name[n] = 28;
	memset(name + n + 1, 'A', 30);
	name[n + 29] = 0;
	ck_assert_uint_eq(name_len(name), 222);
	ck_assert_int_eq(nsec3_owner(hash, name, out), 0);
	ck_assert_uint_eq(name_len(out), 255);
	ck_assert_uint_eq(out[34], 'a');
	name[n] = 29;
	name[n + 29] = 'A';
	name[n + 30] = 0;
	ck_assert_int_eq(nsec3_owner(hash, name, out), ZS_ELIMIT);
}
END_TEST

/* --- RFC 5155 appendix A
 * ------------------------------------------------------------------------------------- */

static const char *const rfc5155_zone[] = {
	"example. SOA NS MX DNSKEY NSEC3PARAM",
	"2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. A",
	"a.example. NS DS",
	"ns1.a.example. A",
	"ns2.a.example. A",
	"ai.example. A HINFO AAAA",
	"c.example. NS",
	"ns1.c.example. A",
	"ns2.c.example. A",
	"ns1.example. A",
	"ns2.example. A",
	"*.w.example. MX",
	"x.w.example. MX",
	"x.y.w.example. MX",
	"xx.example. A HINFO AAAA",
	NULL,
};

static const struct {
	const char *name, *hash, *types;
} rfc5155_chain[] = {
	{ "example.", "0p9mhaveqvm6t7vbl5lop2u3t2rp3tom", " NS SOA MX RRSIG DNSKEY NSEC3PARAM" },
	{ "ns1.example.", "2t7b4g4vsa5smi47k61mv5bv1a22bojr", " A RRSIG" },
	{ "x.y.w.example.", "2vptu5timamqttgl4luu9kg21e0aor3s", " MX RRSIG" },
	{ "a.example.", "35mthgpgcu1qg68fab165klnsnk3dpvl", " NS DS RRSIG" },
	{ "x.w.example.", "b4um86eghhds6nea196smvmlo4ors995", " MX RRSIG" },
	{ "ai.example.", "gjeqe526plbf1g8mklp59enfd789njgi", " A HINFO AAAA RRSIG" },
	{ "y.w.example.", "ji6neoaepv8b5o6k4ev33abha8ht9fgc", "" },
	{ "w.example.", "k8udemvp1j2f7eg6jebps17vp3n8i58h", "" },
	{ "2t7b4g4vsa5smi47k61mv5bv1a22bojr.example.", "kohar7mbb8dc2ce8a9qvl8hon4k53uhi", " A RRSIG" },
	{ "ns2.example.", "q04jkcevqvmu85r014c7dkba38o0ji5r", " A RRSIG" },
	{ "*.w.example.", "r53bq7cc2uvmubfu5ocmm6pers9tk9en", " MX RRSIG" },
	{ "xx.example.", "t644ebqk9bibcna874givr6joj62mlhv", " A HINFO AAAA RRSIG" },
};
#define RFC5155_NAMES (sizeof(rfc5155_chain) / sizeof(rfc5155_chain[0]))

static int line_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

START_TEST(rfc5155)
{
	struct denial_params p = params(DENIAL_NSEC3, true, "Example.");
	struct nsec3_ctx *ctx = nsec3_ctx_new();
	char lines[RFC5155_NAMES + 1][256];
	struct chain_iter *it;
	const struct chain_name *n;
	size_t count = 0;

	p.iterations = 12;
	p.salt_len = 4;
	memcpy(p.salt, "\xaa\xbb\xcc\xdd", 4);
	fill(rfc5155_zone);
	ck_assert_int_eq(chain_iter_new(kv, &p, NULL, 0, &it), 0);
	while (chain_iter_next(it, &n) == 0) {
		uint8_t name[NAME_MAX_WIRE], hash[20];
		char b32[33], type[RR_TYPE_TEXT], text[NAME_MAX_TEXT], *line = lines[count++];
		size_t len;

		ck_assert(count <= RFC5155_NAMES);
		ck_assert_int_eq(name_from_okey(n->okey, n->klen, name, &len), 0);
		ck_assert_int_eq(nsec3_hash(ctx, &p, name, hash), 0);
		snprintf(line, 256, "%s %.100s", text_b32hex(b32, hash, 20), name_to_text(name, text));
		for (size_t i = 0; i < n->ntypes; i++) {
			strcat(line, " ");
			strcat(line, rr_type_text(n->types[i], type));
		}
	}
	chain_iter_free(it);
	nsec3_ctx_free(ctx);
	ck_assert_uint_eq(count, RFC5155_NAMES);
	qsort(lines, count, sizeof(lines[0]), line_cmp);
	for (size_t i = 0; i < count; i++) {
		char want[256];

		snprintf(want, sizeof(want), "%s %s%s", rfc5155_chain[i].hash, rfc5155_chain[i].name,
			 rfc5155_chain[i].types);
		ck_assert_str_eq(lines[i], want);
	}
}
END_TEST

START_TEST(hash_bounds)
{
	struct denial_params p = params(DENIAL_NSEC3, false, "example.");
	struct nsec3_ctx *ctx = nsec3_ctx_new();
	uint8_t lower[20], upper[20];

	ck_assert_int_eq(nsec3_hash(ctx, &p, (const uint8_t *)"\1a\7example", lower), 0);
	ck_assert_int_eq(nsec3_hash(ctx, &p, (const uint8_t *)"\1A\7EXAMPLE", upper), 0);
	ck_assert_mem_eq(lower, upper, 20);
	p.iterations = NSEC3_ITERATIONS_MAX;
	ck_assert_int_eq(nsec3_hash(ctx, &p, apex, lower), 0);
	p.iterations++;
	ck_assert_int_eq(nsec3_hash(ctx, &p, apex, lower), ZS_ELIMIT);
	p.iterations = 0;
	p.salt_len = NSEC3_SALT_MAX + 1;
	ck_assert_int_eq(nsec3_hash(ctx, &p, apex, lower), ZS_ELIMIT);
	nsec3_ctx_free(ctx);
	nsec3_ctx_free(NULL);
}
END_TEST

/* --- chains
 * -------------------------------------------------------------------------------------------------- */

START_TEST(chain_nsec)
{
	struct denial_params p = params(DENIAL_NSEC, false, "example.");

	fill(rfc5155_zone);
	add("x.w.example.", 65280);
	check_chain(&p, "example. apex: NS SOA MX RRSIG NSEC DNSKEY NSEC3PARAM\n"
			"2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. auth: A RRSIG NSEC\n"
			"a.example. secure: NS DS RRSIG NSEC\n"
			"ai.example. auth: A HINFO AAAA RRSIG NSEC\n"
			"c.example. insecure: NS RRSIG NSEC\n"
			"ns1.example. auth: A RRSIG NSEC\n"
			"ns2.example. auth: A RRSIG NSEC\n"
			"*.w.example. auth: MX RRSIG NSEC\n"
			"x.w.example. auth: MX RRSIG NSEC TYPE65280\n"
			"x.y.w.example. auth: MX RRSIG NSEC\n"
			"xx.example. auth: A HINFO AAAA RRSIG NSEC\n");
}
END_TEST

static const char *const odd_zone[] = {
	"example. NS SOA",
	"\\000.example. A", /* NUL is not a label end */
	"a.example. A",
	"\\000.a.example. A",
	"a\\000b.example. A", /* is not a.b */
	"b.example. A",
	"cut.deep.er.example. NS", /* ENTs above an insecure delegation */
	"ns.cut.deep.er.example. A AAAA",
	"x.y.cut.deep.er.example. A",
	"d.example. DNAME A", /* DNAME: itself authoritative, what is below is not */
	"x.d.example. A",
	"z.y.x.d.example. A",
	"glue.only.sec.example. A", /* no ENT "only" below the delegation sec */
	"sec.example. NS DS A TXT", /* address records at the delegation's own name are glue */
	"sub.sec.example. NS DS",
	"sub.x.d.example. NS DS",
	"a.*.example. A", /* a wildcard label inside, ENT *.example. */
	"*.wild.example. A",
	"1.2.3.4.example. PTR",
	"9.9.3.4.example. PTR",
	"after.example. A",
	NULL,
};

START_TEST(odd_names)
{
	struct denial_params p = params(DENIAL_NSEC3, false, "example.");
	static const char before[] = "example. apex: NS SOA RRSIG\n"
				     "\\000.example. auth: A RRSIG\n"
				     "*.example. ent:\n"
				     "a.*.example. auth: A RRSIG\n"
				     "4.example. ent:\n"
				     "3.4.example. ent:\n"
				     "2.3.4.example. ent:\n"
				     "1.2.3.4.example. auth: PTR RRSIG\n"
				     "9.3.4.example. ent:\n"
				     "9.9.3.4.example. auth: PTR RRSIG\n"
				     "a.example. auth: A RRSIG\n"
				     "\\000.a.example. auth: A RRSIG\n"
				     "a\\000b.example. auth: A RRSIG\n"
				     "after.example. auth: A RRSIG\n"
				     "b.example. auth: A RRSIG\n"
				     "d.example. auth: A DNAME RRSIG\n"
				     "er.example. ent:\n"
				     "deep.er.example. ent:\n";
	static const char after[] = "sec.example. secure: NS DS RRSIG\n"
				    "wild.example. ent:\n"
				    "*.wild.example. auth: A RRSIG\n";
	char want[2048];

	fill(odd_zone);
	snprintf(want, sizeof(want), "%scut.deep.er.example. insecure: NS\n%s", before, after);
	check_chain(&p, want);
	p.opt_out = true; /* the insecure delegation goes, the names above it stay */
	snprintf(want, sizeof(want), "%s%s", before, after);
	check_chain(&p, want);
	p = params(DENIAL_NSEC, true, "example.");
	check_chain(&p, "example. apex: NS SOA RRSIG NSEC\n"
			"\\000.example. auth: A RRSIG NSEC\n"
			"a.*.example. auth: A RRSIG NSEC\n"
			"1.2.3.4.example. auth: PTR RRSIG NSEC\n"
			"9.9.3.4.example. auth: PTR RRSIG NSEC\n"
			"a.example. auth: A RRSIG NSEC\n"
			"\\000.a.example. auth: A RRSIG NSEC\n"
			"a\\000b.example. auth: A RRSIG NSEC\n"
			"after.example. auth: A RRSIG NSEC\n"
			"b.example. auth: A RRSIG NSEC\n"
			"d.example. auth: A DNAME RRSIG NSEC\n"
			"cut.deep.er.example. insecure: NS RRSIG NSEC\n"
			"sec.example. secure: NS DS RRSIG NSEC\n"
			"*.wild.example. auth: A RRSIG NSEC\n");
}
END_TEST

START_TEST(occluded_lookup)
{
	static const char *const occluded[] = {
		"ns.cut.deep.er.example.", "x.y.cut.deep.er.example.", "x.d.example.",    "z.y.x.d.example.",
		"glue.only.sec.example.",  "sub.sec.example.",         "sub.x.d.example."
	};
	static const char *const missing[] = { "nothing.example.", "deep.er.example.", "y.x.d.example.",
					       "example.org.", "." };
	struct denial_params p = params(DENIAL_NSEC3, true, "example.");
	struct chain_name n;
	uint8_t okey[OKEY_MAX];

	fill(odd_zone);
	for (unsigned i = 0; i < sizeof(occluded) / sizeof(occluded[0]); i++) {
		ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of(occluded[i], okey), &n), 0);
		ck_assert_int_eq(n.kind, NODE_OCCLUDED);
		ck_assert_uint_eq(n.ntypes, 0);
		ck_assert(!denial_in_chain(&p, n.kind));
	}
	for (unsigned i = 0; i < sizeof(missing) / sizeof(missing[0]); i++)
		ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of(missing[i], okey), &n), ZS_ENOENT);
	ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of("cut.deep.er.example.", okey), &n), 0);
	ck_assert_int_eq(n.kind, NODE_CUT_INSECURE);
	ck_assert_uint_eq(n.ntypes, 1);
	ck_assert(!denial_in_chain(&p, n.kind));
}
END_TEST

START_TEST(root_zone)
{
	struct denial_params p = params(DENIAL_NSEC3, false, ".");
	static const char *const lines[] = { ". SOA NS DNSKEY", "com. NS DS",   "gtld.com. A", "net. NS",
					     "b.example. A",    "\\000. NS DS", "* A",         NULL };

	fill(lines);
	check_chain(&p, ". apex: NS SOA RRSIG DNSKEY\n"
			"\\000. secure: NS DS RRSIG\n"
			"*. auth: A RRSIG\n"
			"com. secure: NS DS RRSIG\n"
			"example. ent:\n"
			"b.example. auth: A RRSIG\n"
			"net. insecure: NS\n");
	p = params(DENIAL_NSEC, false, ".");
	check_chain(&p, ". apex: NS SOA RRSIG NSEC DNSKEY\n"
			"\\000. secure: NS DS RRSIG NSEC\n"
			"*. auth: A RRSIG NSEC\n"
			"com. secure: NS DS RRSIG NSEC\n"
			"b.example. auth: A RRSIG NSEC\n"
			"net. insecure: NS RRSIG NSEC\n");
}
END_TEST

START_TEST(apex_only)
{
	struct denial_params p = params(DENIAL_NSEC, false, "a.example.");
	static const uint16_t extra[] = { T_SOA, T_DNSKEY, T_A };

	check_chain(&p, "");
	check_chain_extra(&p, extra, 3, "a.example. apex: A SOA RRSIG NSEC DNSKEY\n");
	add("b.a.example.", T_A);
	check_chain_extra(&p, extra, 3,
			  "a.example. apex: A SOA RRSIG NSEC DNSKEY\nb.a.example. auth: A RRSIG NSEC\n");
	add("a.example.", T_A);
	add("a.example.", T_NS);
	check_chain_extra(&p, extra, 3,
			  "a.example. apex: A NS SOA RRSIG NSEC DNSKEY\nb.a.example. auth: A RRSIG NSEC\n");
	p.kind = DENIAL_NSEC3;
	check_chain(&p, "a.example. apex: A NS RRSIG\nb.a.example. auth: A RRSIG\n");
	/* without an apex there is nothing above it either */
	ck_assert_int_eq(kv_del(kv, "\x20" "example\0" "a\0\0\0\1", 14), 0);
	ck_assert_int_eq(kv_del(kv, "\x20" "example\0" "a\0\0\0\2", 14), 0);
	add("y.x.a.example.", T_A);
	check_chain(&p, "b.a.example. auth: A RRSIG\nx.a.example. ent:\ny.x.a.example. auth: A RRSIG\n");
}
END_TEST

/* A DNAME at the apex occludes everything else (RFC 6672 2.3). */
START_TEST(apex_dname)
{
	struct denial_params p = params(DENIAL_NSEC3, false, "example.");
	static const char *const lines[] = { "example. SOA NS DNAME", "a.b.example. A", "c.example. NS DS",
					     NULL };
	struct chain_name n;
	uint8_t okey[OKEY_MAX];

	fill(lines);
	check_chain(&p, "example. apex: NS SOA DNAME RRSIG\n");
	ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of("c.example.", okey), &n), 0);
	ck_assert_int_eq(n.kind, NODE_OCCLUDED);
}
END_TEST

/* Other tables before and behind, and what stands outside of the zone, do not disturb. */
START_TEST(neighbours)
{
	struct denial_params p = params(DENIAL_NSEC3, false, "b.example.");
	static const char *const lines[] = { "a.example. A", "b.example. SOA NS", "x.b.example. A",
					     "c.example. A", NULL };

	fill(lines);
	ck_assert_int_eq(kv_put(kv, "\x10meta", 5, "", 0), 0);
	ck_assert_int_eq(kv_put(kv, "\x30\1hash", 6, "", 0), 0);
	check_chain(&p, "b.example. apex: NS SOA RRSIG\nx.b.example. auth: A RRSIG\n");
	ck_assert_int_eq(kv_put(kv,
				"\x20"
				"example\0b\0y\0\0",
				14, "", 0),
			 0); /* a key without its type */
	{
		struct chain_iter *it;
		const struct chain_name *n;
		int ret;

		ck_assert_int_eq(chain_iter_new(kv, &p, NULL, 0, &it), 0);
		while ((ret = chain_iter_next(it, &n)) == 0)
			;
		ck_assert_int_eq(ret, ZS_EFORMAT);
		chain_iter_free(it);
	}
}
END_TEST

static int chain_result(const struct denial_params *p)
{
	struct chain_iter *it;
	const struct chain_name *n;
	int ret;

	ck_assert_int_eq(chain_iter_new(kv, p, NULL, 0, &it), 0);
	while ((ret = chain_iter_next(it, &n)) == 0)
		;
	chain_iter_free(it);
	return ret;
}

START_TEST(many_types)
{
	struct denial_params p = params(DENIAL_NSEC, false, "example.");
	struct chain_name n;
	uint8_t okey[OKEY_MAX];

	add("example.", T_SOA);
	for (unsigned i = 0; i < 1022; i++)
		add("a.example.", (uint16_t)(1000 + i));
	ck_assert_int_eq(chain_result(&p), ZS_ENOENT);
	ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of("a.example.", okey), &n), 0);
	ck_assert_uint_eq(n.ntypes, 1024);
	ck_assert_uint_eq(n.types[0], T_RRSIG);
	ck_assert_uint_eq(n.types[1], T_NSEC);
	add("a.example.", 5000);
	ck_assert_int_eq(chain_result(&p), ZS_ELIMIT);
	for (unsigned i = 0; i < 1000; i++)
		add("a.example.", (uint16_t)(6000 + i));
	ck_assert_int_eq(chain_result(&p), ZS_ELIMIT);
	ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of("a.example.", okey), &n), ZS_ELIMIT);
	add("a.example.", T_NS); /* at a delegation they are not looked at */
	ck_assert_int_eq(chain_result(&p), ZS_ENOENT);
	ck_assert_int_eq(denial_owner(kv, &p, okey, okey_of("a.example.", okey), &n), 0);
	ck_assert_uint_eq(n.ntypes, 3);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("denial");
	TCase *c = tcase_create("octets");
	SRunner *r;
	int failed;

	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, bitmaps);
	tcase_add_test(c, rdata_nsec);
	tcase_add_test(c, rdata_nsec3);
	tcase_add_test(c, owner_too_long);
	tcase_add_test(c, hash_bounds);
	suite_add_tcase(s, c);
	c = tcase_create("chain");
	tcase_add_checked_fixture(c, setup, teardown);
	tcase_add_test(c, rfc5155);
	tcase_add_test(c, chain_nsec);
	tcase_add_test(c, odd_names);
	tcase_add_test(c, occluded_lookup);
	tcase_add_test(c, root_zone);
	tcase_add_test(c, apex_only);
	tcase_add_test(c, apex_dname);
	tcase_add_test(c, neighbours);
	tcase_add_test(c, many_types);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
