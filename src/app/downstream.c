/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone as a primary of its secondaries: who may transfer, NOTIFY and its acknowledgement, watching what
 * each secondary has, the floor below which no serial is used again, and the guard before the first new
 * version after a start (ARCHITECTURE "The way of a change"). Loop only.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "seal/sign.h"
#include "zone.h"

#define WATCH_S 60
#define WATCH_FAST_S 3
#define GUARD_RETRY_S 5
#define GUARD_MAX_S 600
#define GUARD_SKIP 10000
#define RAISE_MAX (1u << 30)

/* --- access lists --------------------------------------------------------------------------------------- */

static size_t entries(const struct conf_remote *r)
{
	return r->naddr ? r->naddr : 1;
}

static void add_entries(const struct zone *z, struct acl_entry *out, size_t *n, const struct conf_remote *r)
{
	for (size_t i = 0; i < entries(r); i++) {
		struct acl_entry *e = &out[(*n)++];

		memset(e, 0, sizeof(*e));
		e->name = r->name;
		e->deny = r->deny;
		e->key = r->tsig ? setup_tsig(z->setup, r->tsig->name) : NULL;
		e->any_addr = r->naddr == 0;
		if (e->any_addr)
			continue;
		e->addr = net_from_conf(&r->addr[i]);
		e->prefix_len = r->is_acl ? r->addr[i].prefix_len
				: e->addr.sa.sa_family == AF_INET6 ? 128 : 32;
	}
}

static size_t count_all(const struct conf_remote **r, size_t n)
{
	size_t sum = 0;

	for (size_t i = 0; i < n; i++)
		sum += entries(r[i]);
	return sum;
}

static void add_all(const struct zone *z, struct acl *acl, struct acl_entry *mem, size_t *at,
		    const struct conf_remote **r, size_t n)
{
	size_t first = *at;

	for (size_t i = 0; i < n; i++)
		add_entries(z, mem, at, r[i]);
	if (!acl->e)
		acl->e = mem + first;
	acl->n += *at - first;
}

static void add_loopback(struct acl *acl, struct acl_entry *mem, size_t *at)
{
	struct acl_entry *v4 = &mem[(*at)++], *v6 = &mem[(*at)++];

	memset(v4, 0, sizeof(*v4));
	memset(v6, 0, sizeof(*v6));
	v4->name = v6->name = "loopback";
	v4->addr.v4 = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	v4->prefix_len = 8;
	v6->addr.v6 = (struct sockaddr_in6){ .sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	v6->prefix_len = 128;
	acl->n += 2;
}

static void make_acls(struct zone *z)
{
	const struct conf_zone *c = z->conf;
	const struct conf *s = z->setup->conf;
	size_t n = count_all(c->downstream, c->ndownstream) + count_all(c->transfer, c->ntransfer) +
		   count_all(c->notify_from, c->nnotify_from) + count_all(s->query, s->nquery) +
		   count_all(c->upstream, c->nupstream) + 2,
	       at = 0;
	struct acl_entry *mem = calloc(n, sizeof(*mem));

	if (!mem)
		return;
	memset(&z->net.transfer, 0, sizeof(struct acl));
	memset(&z->net.notify, 0, sizeof(struct acl));
	memset(&z->net.query, 0, sizeof(struct acl));
	add_all(z, &z->net.transfer, mem, &at, c->downstream, c->ndownstream);
	add_all(z, &z->net.transfer, mem, &at, c->transfer, c->ntransfer);
	add_all(z, &z->net.notify, mem, &at, c->notify_from, c->nnotify_from);
	if (s->query_set) {
		add_all(z, &z->net.query, mem, &at, s->query, s->nquery);
	} else {
		add_all(z, &z->net.query, mem, &at, c->upstream, c->nupstream);
		add_loopback(&z->net.query, mem, &at);
	}
	free(z->acl_mem);
	z->acl_mem = mem;
}

static void guard_timer(void *arg);

/* --- secondaries ---------------------------------------------------------------------------------------- */

void downstream_cancel(struct zone *z)
{
	timer_stop(z->e->timers, &z->watch_timer);
	timer_stop(z->e->timers, &z->guard_timer);
	for (size_t i = 0; i < z->nsec; i++) {
		dnsq_cancel(z->sec[i].probe);
		notify_cancel(z->sec[i].notify);
		z->sec[i].probe = NULL;
		z->sec[i].notify = NULL;
	}
}

/* What is known of a secondary survives a reload under its name,
 * which is copied because the old setup may be gone. */
static void inherit(struct secondary *to, const struct secondary *old, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(old[i].name, to->remote->name) != 0)
			continue;
		to->seen = old[i].seen;
		to->has_soa = old[i].has_soa;
		to->serial = old[i].serial;
		to->seen_at = old[i].seen_at;
		to->answered_soa = old[i].answered_soa;
		to->answered_dnskey = old[i].answered_dnskey;
		to->signed_seen = old[i].signed_seen;
		to->probe_fails = old[i].probe_fails;
		to->notified_ok = old[i].notified_ok;
		to->notified_serial = old[i].notified_serial;
		to->ndnskey = old[i].ndnskey;
		memcpy(to->dnskey, old[i].dnskey, sizeof(to->dnskey));
	}
}

void downstream_conf(struct zone *z)
{
	struct secondary *sec = calloc(z->conf->ndownstream + 1, sizeof(*sec));

	downstream_cancel(z);
	if (!sec) { /* nothing of the former list may be used: it points into the former config */
		z->nsec = 0;
		memset(&z->net.transfer, 0, sizeof(struct acl));
		memset(&z->net.notify, 0, sizeof(struct acl));
		memset(&z->net.query, 0, sizeof(struct acl));
		return;
	}
	for (size_t i = 0; i < z->conf->ndownstream; i++) {
		sec[i].zone = z;
		sec[i].remote = z->conf->downstream[i];
		snprintf(sec[i].name, sizeof(sec[i].name), "%s", sec[i].remote->name);
		inherit(&sec[i], z->sec, z->nsec);
	}
	free(z->sec);
	z->sec = sec;
	z->nsec = z->conf->ndownstream;
	make_acls(z);
	timer_set(z->e->timers, &z->guard_timer, engine_spread(z->e), guard_timer, z);
	timer_set(z->e->timers, &z->watch_timer, MONO_S(1) + engine_spread(z->e), downstream_watch, z);
}

void downstream_raise_floor(struct zone *z, uint32_t serial, const char *why)
{
	if (z->have_floor && serial_cmp(serial, z->floor) != SERIAL_GT)
		return;
	if (why)
		log_msg(LL_WARN, "serial", z->name, "event=floor serial=%u was=%u: %s", serial,
			z->have_floor ? z->floor : 0, why);
	z->floor = serial;
	z->have_floor = true;
}

uint32_t downstream_next_serial(struct zone *z, uint32_t upstream)
{
	enum serial_policy p = z->conf->policy->unsigned_zone ? SERIAL_UPSTREAM : z->conf->policy->serial;
	uint32_t ordered = z->orders.serial;

	if (z->orders.have_serial && (!z->have_floor || serial_cmp(ordered, z->floor) == SERIAL_GT))
		return ordered;
	return serial_next(p, upstream, z->floor, z->have_floor, clk_wall());
}

/* --- probes --------------------------------------------------------------------------------------------- */

static void probe_dnskey(struct secondary *s);
static void notify_one(struct secondary *s);

/* DS of our keys may be given to the parent when every listed secondary was seen with a signed version and
 * what resolvers hold of the unsigned one has run out (RFC 6781 4.1.1). */
static void ds_check(struct zone *z)
{
	if (z->keys.ds_not_before || !z->have_meta || !z->meta.is_signed)
		return;
	for (size_t i = 0; i < z->nsec; i++)
		if (z->sec[i].remote->watch && !z->sec[i].signed_seen)
			return;
	z->keys.ds_not_before = clk_wall().s + z->meta.largest_ttl;
	log_msg(LL_NOTICE, "keys", z->name,
		"event=ds-not-before at=%lld: all listed secondaries serve signed versions",
		(long long)z->keys.ds_not_before);
}

void downstream_keys(struct zone *z, const struct keyset *ks)
{
	int64_t ds = z->keys.ds_not_before;

	z->keys = *ks;
	if (!z->keys.ds_not_before)
		z->keys.ds_not_before = ds;
	ds_check(z);
}

static void seen_serial(struct secondary *s, uint32_t serial, bool proven)
{
	struct zone *z = s->zone;
	uint32_t ours = z->net.pub ? z->net.pub->serial : 0;

	s->seen = s->has_soa = true;
	s->serial = serial;
	s->seen_at = clk_wall();
	if (z->net.pub && z->net.pub->is_signed && serial == ours)
		s->signed_seen = true;
	ds_check(z);
	if (!proven || (z->have_floor && serial_cmp(serial, z->floor) != SERIAL_GT))
		return;
	if (z->have_floor && serial - z->floor >= RAISE_MAX) {
		if (z->orders.have_serial && serial_cmp(z->orders.serial, serial) != SERIAL_LT)
			return; /* the answer to this is on its way */
		zone_alarm_set(
			z, ALARM_PUBLICATION,
			"secondary %s has serial %u, too far above %u to follow by itself: see `zone serial`",
			s->remote->name, serial, z->floor);
		return;
	}
	downstream_raise_floor(z, serial, s->remote->name);
}

static void guard_moved(struct zone *z)
{
	if (z->state == ZONE_GUARD)
		build_publish_try(z);
	version_wake(z);
}

static void soa_answer(void *arg, const struct dnsq_answer *a)
{
	struct secondary *s = arg;
	struct zone *z = s->zone;
	struct soa soa;

	s->probe = NULL;
	if (a->result) {
		s->probe_fails++;
	} else {
		s->answered_soa = true; /* any reply counts */
		if (z->guard_open)
			zone_alarm_clear(z, ALARM_PUBLICATION);
		s->probe_fails = 0;
		if (a->rcode == RC_NOERROR && dnsq_soa(a, z->wire, &soa))
			seen_serial(s, soa.serial, a->over_tcp || a->tsig_verified);
		else
			s->has_soa = false, s->seen = true, s->seen_at = clk_wall();
		if (z->net.pub && !s->notify && s->notified_serial != z->net.pub->serial &&
		    (!s->has_soa || s->serial != z->net.pub->serial))
			notify_one(s);
	}
	if (!a->result && !s->answered_dnskey)
		probe_dnskey(s);
	else
		guard_moved(z);
}

static void dnskey_answer(void *arg, const struct dnsq_answer *a)
{
	struct secondary *s = arg;
	uint8_t owner[NAME_MAX_WIRE], *rdata = malloc(RDATA_MAX);
	struct rr rr;
	int section;

	s->probe = NULL;
	s->ndnskey = 0;
	while (!a->result && rdata && s->ndnskey < 16 && msgr_rr(a->msg, &rr, &section, owner, rdata) == 0) {
		if (section != SEC_ANSWER || rr.type != T_DNSKEY || !name_eq(rr.owner, s->zone->wire))
			continue;
		s->dnskey[s->ndnskey].tag = dnskey_tag(rr.rdata, rr.rdlen);
		s->dnskey[s->ndnskey++].crc = crc32c(0, rr.rdata, rr.rdlen);
	}
	free(rdata);
	if (!a->result)
		s->answered_dnskey = true;
	else
		s->probe_fails++;
	guard_moved(s->zone);
}

static void probe(struct secondary *s, uint16_t type, bool tcp, dnsq_cb cb)
{
	struct net_remote to = remote_target(s->zone->setup, s->remote, s->probe_fails % s->remote->naddr);

	if (s->probe)
		return;
	s->probe = dnsq_start(s->zone->e->ev, &to, s->zone->wire, type, tcp && !to.key, cb, s);
	if (!s->probe)
		s->probe_fails++;
}

static void probe_dnskey(struct secondary *s)
{
	probe(s, T_DNSKEY, true, dnskey_answer);
}

void downstream_watch(void *arg)
{
	struct zone *z = arg;
	bool behind = false;

	if (z->state == ZONE_CLOSED)
		return;
	publish_sample(z);
	for (size_t i = 0; i < z->nsec; i++) {
		struct secondary *s = &z->sec[i];

		if (!s->remote->watch)
			continue;
		probe(s, T_SOA, !z->guard_open, soa_answer);
		behind |= z->net.pub && (!s->seen || s->serial != z->net.pub->serial) && s->probe_fails < 5;
	}
	timer_set(z->e->timers, &z->watch_timer, MONO_S(behind ? WATCH_FAST_S : WATCH_S), downstream_watch,
		  z);
}

void downstream_seen(struct zone *z, const char *name, uint32_t serial)
{
	for (size_t i = 0; i < z->nsec; i++)
		if (strcmp(z->sec[i].remote->name, name) == 0)
			seen_serial(&z->sec[i], serial, true);
}

/* --- NOTIFY out ----------------------------------------------------------------------------------------- */

static void notify_answer(void *arg, const struct dnsq_answer *a)
{
	struct secondary *s = arg;
	struct zone *z = s->zone;

	s->notify = NULL;
	atomic_fetch_add(&z->e->count.notify[1][a->result != 0], 1);
	s->notified_ok = !a->result;
	if (a->result)
		log_msg(LL_WARN, "notify", z->name, "secondary %s does not acknowledge: %s", s->remote->name,
			zs_strerror(a->result));
	else
		timer_set(z->e->timers, &z->watch_timer, MONO_S(1), downstream_watch, z);
}

/* At most ten tries a serial, superseded by a newer one. */
static void notify_one(struct secondary *s)
{
	struct zone *z = s->zone;
	struct net_remote to = remote_target(z->setup, s->remote, s->probe_fails % s->remote->naddr);
	const struct rrset *set = &z->net.pub->set[0];
	struct rr soa = { .owner = z->wire,
			  .type = T_SOA,
			  .class = CLASS_IN,
			  .ttl = set->ttl,
			  .rdata = set->rr[0].data,
			  .rdlen = set->rr[0].len };

	notify_cancel(s->notify);
	s->notified_ok = false;
	s->notified_serial = z->net.pub->serial;
	s->notify = notify_start(z->e->ev, &to, &soa, notify_answer, s);
}

void downstream_notify(struct zone *z, bool all)
{
	for (size_t i = 0; z->net.pub && i < z->nsec; i++)
		if (all || !z->sec[i].seen || !z->sec[i].has_soa || z->sec[i].serial != z->net.pub->serial)
			notify_one(&z->sec[i]);
}

/* --- the guard before the first new version ------------------------------------------------------------- */

static bool first_signed(const struct zone *z)
{
	return zone_is_signed_policy(z) && !z->keys.first_published;
}

static void guard_timer(void *arg)
{
	struct zone *z = arg;

	if ((z->guard_open && (z->signed_open || !first_signed(z))) || z->state == ZONE_CLOSED)
		return;
	for (size_t i = 0; i < z->nsec; i++) {
		struct secondary *s = &z->sec[i];

		if (s->remote->watch && !s->answered_soa)
			probe(s, T_SOA, true, soa_answer);
		else if (s->remote->watch && !s->answered_dnskey)
			probe_dnskey(s);
	}
	guard_moved(z);
	timer_set(z->e->timers, &z->guard_timer, MONO_S(GUARD_RETRY_S), guard_timer, z);
}

void downstream_guard_start(struct zone *z)
{
	z->guard_since = clk_wall(); /* its timer was set with the list of secondaries */
}

static bool is_ours(const struct zone *z, uint16_t tag, uint32_t crc)
{
	for (unsigned i = 0; i < z->keys.n; i++) {
		uint8_t rdata[KEY_PUB_MAX + 4];

		if (z->keys.key[i].state != KEY_ACTIVE || z->keys.key[i].tag != tag)
			continue;
		if (crc32c(0, rdata, key_dnskey(&z->keys.key[i], rdata)) == crc)
			return true;
	}
	return false;
}

/* A secondary that serves a DNSKEY RRset without one of our keys: the zone is signed in the world already. */
static bool foreign_keys(const struct zone *z, char *tags, size_t cap)
{
	for (size_t i = 0; i < z->nsec; i++) {
		const struct secondary *s = &z->sec[i];
		bool ours = false;
		size_t at = 0;

		tags[0] = 0;
		for (unsigned k = 0; k < s->ndnskey; k++) {
			ours |= is_ours(z, s->dnskey[k].tag, s->dnskey[k].crc);
			if (at < cap)
				at += (size_t)snprintf(tags + at, cap - at, "%s%u", k ? ", " : "",
						       s->dnskey[k].tag);
		}
		if (s->ndnskey && !ours)
			return true;
	}
	return false;
}

/* Who is listed and watched, who answered, and whether everybody had a chance to. */
static void guard_count(const struct zone *z, bool first_signed, unsigned *listed, unsigned *answered,
			bool *all_tried)
{
	*listed = *answered = 0;
	*all_tried = true;
	for (size_t i = 0; i < z->nsec; i++) {
		const struct secondary *s = &z->sec[i];
		bool ok = s->answered_soa && (!first_signed || s->answered_dnskey);

		if (!s->remote->watch)
			continue;
		(*listed)++;
		*answered += ok;
		*all_tried &= ok || s->probe_fails > 0;
	}
}

/*
 * How many must have answered. What came back from a backup may be behind all of them, and the one that is
 * away may be the one that is furthest: each of them is heard.
 */
static unsigned guard_wants(const struct zone *z, unsigned listed)
{
	return z->restored && !z->guard_open ? listed : listed > 0;
}

/* Who was to answer did not within the time: go on, above everything they may have. */
static void guard_give_up(struct zone *z, unsigned listed)
{
	const char *who = z->restored ? "not every listed secondary" : "no listed secondary";

	if (listed)
		log_msg(LL_ERR, "serial", z->name, "event=guard: %s answered in %d s", who, GUARD_MAX_S);
	if (z->have_floor && z->conf->upstream_dnssec != UPDNSSEC_PASS) /* there the serial is upstream's */
		downstream_raise_floor(z, z->floor + GUARD_SKIP,
				       listed ? "secondaries did not answer"
					      : "restored, and no secondary can be asked");
	if (listed)
		zone_alarm_set(z, ALARM_PUBLICATION,
			       "%s answered since the start: published with a serial skip", who);
}

bool downstream_guard_passed(struct zone *z)
{
	bool first = first_signed(z), all_tried;
	unsigned listed, answered;
	char tags[128];

	if (z->guard_open && (!first || z->signed_open))
		return true;
	/* a zone that was served unsigned before: now for its DNSKEY */
	if (z->guard_open && !z->signed_wait) {
		z->signed_wait = true;
		z->guard_since = clk_wall();
		guard_timer(z);
	}
	guard_count(z, first, &listed, &answered, &all_tried);
	if (answered < guard_wants(z, listed) && clk_wall().s - z->guard_since.s < GUARD_MAX_S) {
		zone_alarm_set(z, ALARM_PUBLICATION,
			       "waiting for an answer of %s listed secondary before the first new version",
			       z->restored ? "each" : "a");
		return false;
	}
	if (listed && answered && !all_tried)
		return false;
	if (first && !z->publish_ordered && foreign_keys(z, tags, sizeof(tags))) {
		zone_alarm_set(z, ALARM_PUBLICATION,
			       "a secondary serves DNSKEY with key tags %s, none of them ours: publication "
			       "waits for `zone release`",
			       tags);
		return false;
	}
	z->signed_open = first;
	if (!z->guard_open && (answered < guard_wants(z, listed) || (z->restored && !listed)))
		guard_give_up(z, listed);
	else
		zone_alarm_clear(z, ALARM_PUBLICATION);
	z->guard_open = true;
	return true;
}
