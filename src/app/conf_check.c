/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Checks that need more than one option: times of a policy against each other, the parts of a key store, what
 * a zone cannot do without. What needs state (SOA, keys, speed of the key store) is the daemon's. Called by
 * conf_load.c for each item whose own values are fine.
 */
#include <string.h>
#include "base/err.h"
#include "conf_priv.h"

/* The value of an option of item, or the item itself: where to point at. */
static const struct node *place(const struct node *item, const char *key)
{
	const struct node *n = conf_node_get(item, key);

	return n ? n : item;
}

static void refuse_for_file(struct loader *l, const struct node *n, const char *key)
{
	const struct node *v = conf_node_get(n, key);

	if (v)
		conf_bad_key(l, v, "\"%s\" means nothing for a key store of files", key);
}

/* A PIN in the URI would end up in dumps and logs. */
static bool uri_has_pin(const char *uri)
{
	return strstr(uri, "pin-value") || strstr(uri, "pin-source");
}

static void check_pin_file(struct loader *l, const struct conf_keystore *k, const struct node *n)
{
	int ret;

	if (!k->pin_file || !l->src->check || l->flags & CONF_NO_SECRETS)
		return;
	ret = l->src->check(l->src->ctx, k->pin_file);
	if (ret == ZS_EPERM)
		conf_bad(l, place(n, "pin-file"),
			 "%s: not readable, or readable for group or others (mode 0600 is right)",
			 k->pin_file);
	else if (ret)
		conf_bad(l, place(n, "pin-file"), "%s: %s", k->pin_file, zs_strerror(ret));
}

void conf_check_keystore(struct loader *l, struct conf_keystore *k, const struct node *n)
{
	if (k->file) {
		if (strcmp(k->name, "file"))
			conf_bad(l, place(n, "backend"),
				 "backend file: only the key store named \"file\" has it");
		refuse_for_file(l, n, "module");
		refuse_for_file(l, n, "uri");
		refuse_for_file(l, n, "pin-file");
		refuse_for_file(l, n, "environment");
		return;
	}
	if (!strcmp(k->name, "file"))
		conf_bad(l, place(n, "backend"),
			 "the key store named \"file\" has backend file; choose another name");
	if (!k->module)
		conf_bad(l, n, "\"module\" is missing in keystores");
	if (!k->uri)
		conf_bad(l, n, "\"uri\" is missing in keystores");
	else if (strncmp(k->uri, "pkcs11:", 7))
		conf_bad(l, place(n, "uri"), "\"uri\": a PKCS#11 URI begins with \"pkcs11:\"");
	else if (uri_has_pin(k->uri))
		conf_bad(l, place(n, "uri"), "\"uri\": no PIN in the URI; use pin-file");
	check_pin_file(l, k, n);
}

/* Half of the validity is left for what goes wrong: refresh + jitter <= validity / 2. */
static void check_half(struct loader *l, const struct policy *p, const struct node *n, const char *what,
		       int64_t validity)
{
	const struct node *s = conf_node_get(n, "signatures");

	if (p->refresh + p->jitter > validity / 2)
		conf_bad(l, s ? place(s, what) : n, "refresh and jitter together must be at most half of %s",
			 what);
}

void conf_check_policy(struct loader *l, struct policy *p, const struct node *n)
{
	const struct node *nsec3 = conf_node_get(n, "nsec3");

	check_half(l, p, n, "validity", p->validity);
	check_half(l, p, n, "dnskey-validity", p->dnskey_validity);
	if (p->rsa_bits % 256)
		conf_bad(l, place(n, "rsa-bits"), "\"rsa-bits\": a multiple of 256 is expected, not %u",
			 p->rsa_bits);
	if (nsec3 && p->nsec3_iterations)
		conf_warn(l, place(nsec3, "iterations"),
			  "\"iterations\": above 0 some resolvers treat the zone as unsigned "
			  "(RFC 9276)");
}

void conf_check_remote(struct loader *l, struct conf_remote *r, const struct node *n)
{
	if (!r->is_acl && !r->naddr)
		conf_bad(l, place(n, "address"), "\"address\" is empty");
	if (r->is_acl && !r->naddr && !r->tsig && !r->deny)
		conf_warn(l, n, "acl \"%s\" matches everybody", r->name);
}

void conf_check_zone(struct loader *l, struct conf_zone *z, const struct node *n)
{
	if (!z->nupstream)
		conf_bad(l, place(n, "upstream"), "zone \"%s\" has no upstream", z->name);
	if (z->upstream_dnssec == UPDNSSEC_PASS && !z->policy->unsigned_zone)
		conf_bad(l, place(n, "upstream-dnssec"),
			 "\"upstream-dnssec: pass\" needs \"policy: none\"; the policy of "
			 "zone \"%s\" is \"%s\"",
			 z->name, z->policy->name);
	if (!z->nnotify_from) {
		z->notify_from = z->upstream;
		z->nnotify_from = z->nupstream;
	}
}
