/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The config in force, counted: zones, questions and transfers of before a reload keep the one they began
 * with. Loop only.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "dns/name.h"
#include "engine.h"
#include "setup.h"

struct setup *setup_ref(struct setup *s)
{
	s->refs++;
	return s;
}

void setup_unref(struct setup *s)
{
	if (!s || --s->refs > 0)
		return;
	for (size_t i = 0; i < s->ntsig; i++) {
		tsig_key_free(s->tsig[i].key);
		free(s->tsig[i].name);
	}
	free(s->tsig);
	conf_free(s->conf);
	conf_bundle_free(s->bundle);
	free(s);
}

static int tsig_load(struct setup *s)
{
	s->tsig = calloc(s->conf->ntsig + 1, sizeof(*s->tsig));
	if (!s->tsig)
		return ZS_ENOMEM;
	for (size_t i = 0; i < s->conf->ntsig; i++) {
		const struct conf_tsig *t = &s->conf->tsig[i];
		int err = tsig_key_new(t->name, t->algorithm, t->secret, t->secret_len, &s->tsig[i].key);

		if (err)
			return err;
		s->ntsig = i + 1;
		s->tsig[i].name = strdup(t->name);
		if (!s->tsig[i].name)
			return ZS_ENOMEM;
	}
	return 0;
}

int setup_new(const void *packed, size_t len, struct setup **out)
{
	struct setup *s = calloc(1, sizeof(*s));
	struct conf_errors errs = { 0 };
	int err;

	if (!s)
		return ZS_ENOMEM;
	s->refs = 1;
	err = conf_bundle_unpack(packed, len, &s->bundle);
	if (!err)
		err = conf_load(conf_bundle_path(s->bundle), conf_bundle_source(s->bundle), 0, &s->conf,
				&errs);
	if (!err)
		err = tsig_load(s);
	if (err) {
		char *text = conf_errors_text(&errs);

		log_msg(LL_ERR, "engine", NULL, "config of the parent is refused: %s %.800s",
			zs_strerror(err), text ? text : "");
		free(text);
		setup_unref(s);
		s = NULL;
	}
	conf_errors_free(&errs);
	if (!err)
		*out = s;
	return err;
}

const struct tsig_key *setup_tsig(const struct setup *s, const char *name)
{
	for (size_t i = 0; name && i < s->ntsig; i++)
		if (strcmp(s->tsig[i].name, name) == 0)
			return s->tsig[i].key;
	return NULL;
}

struct net_addr net_from_conf(const struct conf_addr *a)
{
	struct net_addr n;

	memset(&n, 0, sizeof(n));
	n.v6 = a->v6;
	return n;
}

struct net_remote remote_target(const struct setup *s, const struct conf_remote *r, size_t i)
{
	struct net_remote t;
	const struct conf_addr *src;

	memset(&t, 0, sizeof(t));
	t.addr = net_from_conf(&r->addr[i]);
	src = &r->source[t.addr.sa.sa_family == AF_INET6];
	t.have_source = src->sa.sa_family != AF_UNSPEC;
	if (t.have_source)
		t.source = net_from_conf(src);
	t.key = r->tsig ? setup_tsig(s, r->tsig->name) : NULL;
	return t;
}
