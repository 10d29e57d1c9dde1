/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Prints the denial chain of zones for t/py/test_chain.py, which compares it with a second implementation.
 *
 * In:  zone HEX nsec|nsec3 OPTOUT ITERATIONS SALT|-      HEX: wire form, any case
 *      HEX TYPE,TYPE,...                                 owners, in any order
 *      end                                               the chain is printed; more zones may follow
 * Out: name HEX KIND BITMAP|-                            chain names in canonical order (kind ent: no types)
 *      look HEX KIND BITMAP|-                            each owner as looked up, in the order given
 *      rr HEX RDATA                                      NSEC or NSEC3 of the whole chain, by owner in chain
 * order end
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/text.h"
#include "dns/name.h"
#include "seal/denial.h"

#define LINE 65536

struct link {
	uint8_t hash[NSEC3_HASH_LEN];
	struct chain_name name;
};

struct dump {
	struct kvmem *zone;
	struct kv *kv;
	struct nsec3_ctx *ctx;
	struct denial_params p;
	uint8_t apex[NAME_MAX_WIRE];
	uint8_t owners[4096][OKEY_MAX];
	size_t owner_len[4096], nowners;
	struct link *links;
	size_t nlinks;
};

static void die(const char *what)
{
	fprintf(stderr, "chain_dump: %s\n", what);
	exit(2);
}

static void must(int ret, const char *what)
{
	if (ret != 0)
		die(what);
}

static size_t unhex(const char *hex, uint8_t *out, size_t cap)
{
	size_t n = strlen(hex) / 2;

	if (n > cap)
		die("too long");
	must(text_unhex(out, n, hex), "hex");
	return n;
}

static void print_hex(const uint8_t *p, size_t n)
{
	if (n == 0)
		putchar('-');
	for (size_t i = 0; i < n; i++)
		printf("%02x", p[i]);
}

static void print_name(const char *word, const struct chain_name *n)
{
	static const char *const kind[] = { [NODE_APEX] = "apex",
					    [NODE_AUTH] = "auth",
					    [NODE_CUT_INSECURE] = "insecure",
					    [NODE_CUT_SECURE] = "secure",
					    [NODE_OCCLUDED] = "occluded" };
	uint8_t name[NAME_MAX_WIRE], bitmap[BITMAP_MAX];
	size_t len;

	must(name_from_okey(n->okey, n->klen, name, &len), "order key");
	printf("%s ", word);
	print_hex(name, len);
	printf(" %s ", n->ent ? "ent" : kind[n->kind]);
	print_hex(bitmap, bitmap_build(bitmap, n->types, n->ntypes));
	putchar('\n');
}

static void open_zone(struct dump *d, char *line)
{
	char name[LINE], kind[16], salt[LINE];
	unsigned opt_out, iterations;

	if (sscanf(line, "zone %65535s %15s %u %u %65535s", name, kind, &opt_out, &iterations, salt) != 5)
		die("zone line");
	must(name_check(d->apex, unhex(name, d->apex, sizeof(d->apex))), "zone name");
	name_lower(d->apex);
	d->p = (struct denial_params){ .kind = strcmp(kind, "nsec3") == 0 ? DENIAL_NSEC3 : DENIAL_NSEC,
				       .opt_out = opt_out,
				       .iterations = (uint16_t)iterations,
				       .zone = d->apex };
	if (strcmp(salt, "-") != 0)
		d->p.salt_len = (uint8_t)unhex(salt, d->p.salt, sizeof(d->p.salt));
	d->zone = kvmem_new(0);
	d->kv = kvmem_open(d->zone);
	d->nowners = d->nlinks = 0;
}

static void add_owner(struct dump *d, char *line)
{
	uint8_t name[NAME_MAX_WIRE], key[KEY_MAX], *okey = d->owners[d->nowners];
	char *save = NULL, *word = strtok_r(line, " ", &save);
	size_t klen;

	must(name_check(name, unhex(word, name, sizeof(name))), "owner");
	klen = d->owner_len[d->nowners++] = name_okey(name, okey);
	if (d->nowners == sizeof(d->owners) / sizeof(d->owners[0]))
		die("too many owners");
	while ((word = strtok_r(NULL, ",", &save)) != NULL)
		must(kv_put(d->kv, key, key_record(key, okey, klen, (uint16_t)atoi(word)), "", 0), "put");
}

static int link_cmp(const void *a, const void *b)
{
	return memcmp(((const struct link *)a)->hash, ((const struct link *)b)->hash, NSEC3_HASH_LEN);
}

static void print_links(struct dump *d)
{
	for (size_t i = 0; i < d->nlinks; i++) {
		const struct link *l = &d->links[i], *next = &d->links[(i + 1) % d->nlinks];
		uint8_t owner[NAME_MAX_WIRE], next_name[NAME_MAX_WIRE], rdata[NAME_MAX_WIRE + BITMAP_MAX];
		size_t len;

		if (d->p.kind == DENIAL_NSEC3) {
			must(nsec3_owner(l->hash, d->apex, owner), "owner");
			len = nsec3_rdata(rdata, &d->p, next->hash, l->name.types, l->name.ntypes);
		} else {
			must(name_from_okey(l->name.okey, l->name.klen, owner, &len), "name");
			must(name_from_okey(next->name.okey, next->name.klen, next_name, &len), "next");
			len = nsec_rdata(rdata, next_name, l->name.types, l->name.ntypes);
		}
		printf("rr ");
		print_hex(owner, name_len(owner));
		putchar(' ');
		print_hex(rdata, len);
		putchar('\n');
	}
}

static void print_chain(struct dump *d)
{
	const struct chain_name *n;
	struct chain_iter *it;
	struct chain_name found;
	int ret;

	must(chain_iter_new(d->kv, &d->p, NULL, 0, &it), "iterator");
	while ((ret = chain_iter_next(it, &n)) == 0) {
		struct link *l;
		uint8_t name[NAME_MAX_WIRE];
		size_t len;

		print_name("name", n);
		if (d->nlinks % 64 == 0)
			d->links = realloc(d->links, (d->nlinks + 64) * sizeof(*d->links));
		l = &d->links[d->nlinks++];
		l->name = *n;
		must(name_from_okey(n->okey, n->klen, name, &len), "name");
		must(nsec3_hash(d->ctx, &d->p, name, l->hash), "hash");
	}
	if (ret != ZS_ENOENT)
		die(zs_strerror(ret));
	chain_iter_free(it);
	for (size_t i = 0; i < d->nowners; i++) {
		must(denial_owner(d->kv, &d->p, d->owners[i], d->owner_len[i], &found), "lookup");
		print_name("look", &found);
	}
	if (d->p.kind == DENIAL_NSEC3 && d->nlinks > 0)
		qsort(d->links, d->nlinks, sizeof(*d->links), link_cmp);
	print_links(d);
	puts("end");
}

int main(void)
{
	static struct dump d;
	static char line[LINE];

	d.ctx = nsec3_ctx_new();
	while (fgets(line, sizeof(line), stdin) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strncmp(line, "zone ", 5) == 0) {
			open_zone(&d, line);
		} else if (strcmp(line, "end") == 0) {
			print_chain(&d);
			kv_close(d.kv);
			kvmem_free(d.zone);
			d.zone = NULL;
		} else if (d.zone != NULL) {
			add_owner(&d, line);
		} else {
			die("no zone");
		}
	}
	free(d.links);
	nsec3_ctx_free(d.ctx);
	return EXIT_SUCCESS;
}
