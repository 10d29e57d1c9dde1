/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's frame: start in the order the parent sends things, zones added, changed and removed by reload,
 * the calls to the parent, the orderly end. What a zone does stands in zone.c and the files it names.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <event2/event.h>
#include <event2/thread.h>
#include "base/buf.h"
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "control.h"
#include "engine.h"
#include "faultmark.h"
#include "gate/gate.h"
#include "http.h"
#include "ipc.h"
#include "setup.h"
#include "zone.h"

#define ENGINE_FD 3
#define STORE_OPEN_MAX 512
#define CLOCK_DRIFT_MAX 3600 /* G15: s */
#define CLOCK_AGREE_S 600

struct zone *engine_zone(struct engine *e, const uint8_t *wire, size_t len)
{
	size_t lo = 0, hi = e->nzone;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct zone *z = e->zone[mid];
		size_t n = len < z->wire_len ? len : z->wire_len;
		int c = memcmp(wire, z->wire, n);

		if (c == 0)
			c = (len > z->wire_len) - (len < z->wire_len);
		if (c == 0)
			return z;
		if (c < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return NULL;
}

int64_t engine_spread(const struct engine *e)
{
	uint64_t r = 0;

	return rand_bytes(&r, sizeof(r)) == 0 ? pace_spread(e->nzone, r) : 0;
}

struct vclient *engine_keystore(struct engine *e, const char *name)
{
	struct keystore *k;

	for (size_t i = 0; i < e->nks; i++)
		if (strcmp(e->ks[i].name, name) == 0)
			return e->ks[i].client;
	if (e->nks == e->ks_cap)
		return NULL; /* bounded by the config: see keystores_sync() */
	k = &e->ks[e->nks];
	k->name = strdup(name);
	k->client = k->name ? vclient_new(name, KEYSTORE_REQUESTS_MAX) : NULL;
	if (!k->client) {
		free(k->name);
		return NULL;
	}
	e->nks++;
	return k->client;
}

static int keystores_sync(struct engine *e, const struct conf *c)
{
	size_t cap = e->nks + c->nkeystores + 1;
	struct keystore *more = realloc(e->ks, cap * sizeof(*more));

	if (!more)
		return ZS_ENOMEM;
	e->ks = more;
	e->ks_cap = cap;
	for (size_t i = 0; i < e->nks; i++)
		e->ks[i].in_conf = conf_keystore(c, e->ks[i].name) != NULL;
	for (size_t i = 0; i < c->nkeystores; i++)
		if (!engine_keystore(e, c->keystores[i].name))
			return ZS_ENOMEM;
	for (size_t i = 0; i < e->nks; i++)
		e->ks[i].in_conf = conf_keystore(c, e->ks[i].name) != NULL;
	return 0;
}

int engine_tell(struct engine *e, uint8_t type, const void *data, size_t len)
{
	int err = frame_send(e->parent, type, data, len, NULL, 0);

	if (err)
		log_msg(LL_ERR, "engine", NULL, "the parent does not take messages: %s", zs_strerror(err));
	else if (frame_flush(e->parent) == ZS_EAGAIN)
		event_active(e->parent_ev, EV_WRITE, 0);
	return err;
}

#define CALL_MAX_S 330 /* a key store's own limit for GENERATE is 300 s */

/* Answers what waits: everything (at the end), or what has waited too long. */
static void calls_expire(struct engine *e, bool all)
{
	struct parent_call **p = &e->calls, *late = NULL;

	while (*p) {
		struct parent_call *c = *p;

		if (!all && mono_diff(clk_mono(), c->since) < MONO_S(CALL_MAX_S)) {
			p = &c->next;
			continue;
		}
		*p = c->next;
		c->next = late;
		late = c;
	}
	while (late) {
		struct parent_call *c = late;

		late = c->next;
		c->done(c->ctx, all ? ZS_ECANCEL : ZS_EVAULT, NULL, 0);
		free(c);
	}
}

static uint8_t answer_to(uint8_t type)
{
	switch (type) {
	case IPC_GENERATE:
		return IPC_GENERATED;
	case IPC_RELOAD:
		return IPC_RELOADED;
	case IPC_BACKUP:
		return IPC_BACKUP_DIR;
	case IPC_BACKUP_END:
		return IPC_BACKED_UP;
	case IPC_LOG_REOPEN:
		return IPC_REOPENED;
	default:
		return IPC_HSM;
	}
}

int engine_ask(struct engine *e, uint8_t type, const void *data, size_t len,
	       void (*done)(void *, int, const uint8_t *, size_t), void *ctx)
{
	struct parent_call *c = calloc(1, sizeof(*c));
	struct wr w = wr_growing(1 << 16);
	int err;

	if (!c)
		return ZS_ENOMEM;
	c->id = ++e->next_call;
	c->answer = answer_to(type);
	c->since = clk_mono();
	c->done = done;
	c->ctx = ctx;
	wr_u64(&w, c->id);
	wr_bytes(&w, data, len);
	err = w.err ? w.err : engine_tell(e, type, w.p, w.len);
	if (!err) {
		c->next = e->calls;
		e->calls = c;
	} else {
		free(c);
	}
	wr_free(&w);
	return err;
}

static void call_done(struct engine *e, struct frame *f, bool ok_octet)
{
	struct rd r = rd_init(f->data, f->len);
	uint64_t id = rd_u64(&r);
	int result = ok_octet ? (rd_u8(&r) ? 0 : ZS_ECONFIG) : -(int)rd_u32(&r);

	if (r.err)
		return;
	for (struct parent_call **p = &e->calls; *p; p = &(*p)->next) {
		struct parent_call *c = *p;

		if (c->id != id || c->answer != f->type)
			continue;
		*p = c->next;
		c->done(c->ctx, result, r.p, rd_left(&r));
		free(c);
		return;
	}
}

/*
 * G15. Signing stops when the wall clock parts from the boot clock by more than an hour since the start, and
 * goes on when they have agreed again for ten minutes or on order. A new distance is never believed by
 * itself: signatures with inceptions a year ahead would outlive the mistake.
 */
static bool clocks_agree(struct engine *e)
{
	int64_t drift = clk_wall().s - clk_boot() - e->boot_offset;

	if (drift > CLOCK_DRIFT_MAX || drift < -CLOCK_DRIFT_MAX) {
		e->clocks_parted = true;
		e->agree_since = 0;
		return false;
	}
	if (!e->clocks_parted)
		return true;
	if (!e->agree_since)
		e->agree_since = clk_boot();
	if (clk_boot() - e->agree_since < CLOCK_AGREE_S)
		return false;
	e->clocks_parted = false;
	return true;
}

void engine_clock_accept(struct engine *e)
{
	if (!e->clocks_parted)
		return;
	log_msg(LL_NOTICE, "engine", NULL,
		"event=clock-accepted: the wall clock as it is now is taken by order");
	e->boot_offset = clk_wall().s - clk_boot();
	e->clocks_parted = false;
}

wall_t engine_now(const struct engine *e)
{
	int64_t believed = clk_boot() + e->boot_offset, drift = clk_wall().s - believed;

	return drift > CLOCK_DRIFT_MAX || drift < -CLOCK_DRIFT_MAX ? WALL(believed) : clk_wall();
}

const char *engine_clock_fault(struct engine *e, int64_t last_inception)
{
	if (!clocks_agree(e))
		return "the wall clock moved by more than an hour against the boot clock";
	if (last_inception && clk_wall().s < last_inception)
		return "the clock is before the last inception that was used";
	return NULL;
}

/* --- zones and reload ----------------------------------------------------------------------------------- */

static int zone_order(const void *a, const void *b)
{
	const struct zone *x = *(struct zone *const *)a, *y = *(struct zone *const *)b;
	size_t n = x->wire_len < y->wire_len ? x->wire_len : y->wire_len;
	int c = memcmp(x->wire, y->wire, n);

	return c ? c : (int)x->wire_len - (int)y->wire_len;
}

/* Zones of the new config: kept ones are told, new ones made, lost ones closed.
 * Files and keys of lost ones stay. */
static int zones_sync(struct engine *e)
{
	const struct conf *c = e->setup->conf;
	struct zone **next = calloc(c->nzones + 1, sizeof(struct zone *));
	size_t n = 0;

	if (!next)
		return ZS_ENOMEM;
	for (size_t i = 0; i < c->nzones; i++) {
		struct zone *z = engine_zone(e, c->zones[i].wire, c->zones[i].wire_len);

		if (z)
			zone_reconf(z, e->setup, &c->zones[i]);
		else
			z = zone_new(e, e->setup, &c->zones[i]);
		if (z)
			next[n++] = z;
	}
	for (size_t i = 0; i < e->nzone; i++)
		if (!conf_zone(c, e->zone[i]->wire, e->zone[i]->wire_len))
			zone_close(e->zone[i]);
	free(e->zone);
	e->zone = next;
	e->nzone = n;
	qsort(e->zone, n, sizeof(struct zone *), zone_order);
	for (size_t i = 0; i < n; i++)
		if (e->zone[i]->state == ZONE_OPENING && !e->zone[i]->opening)
			zone_start(e->zone[i]);
	return 0;
}

static struct server_limits limits_of(const struct conf *c)
{
	return (struct server_limits){ .transfers_out = c->transfers_out,
				       .tcp_connections = c->tcp_connections,
				       .tcp_per_peer = c->tcp_per_peer,
				       .tcp_idle_s = c->tcp_idle,
				       .snapshot_age_s = c->snapshot_age };
}

static void log_to(const struct conf *c)
{
	const char *target = getenv("ZONESEAL_FOREGROUND") ? "stderr" : c->log_target;

	if (log_open(target, (enum log_level)c->log_level, "engine") != 0)
		log_msg(LL_ERR, "engine", NULL, "log target %s cannot be opened", target);
}

static void config_take(struct engine *e)
{
	struct setup *s = NULL, *old = e->setup;
	int err = e->bundle.err ? e->bundle.err : setup_new(e->bundle.p, e->bundle.len, &s);

	if (e->bundle.p)
		explicit_bzero(e->bundle.p, e->bundle.len); /* TSIG secrets */
	wr_free(&e->bundle);
	if (!err)
		err = keystores_sync(e, s->conf);
	if (err) {
		log_msg(LL_ERR, "engine", NULL, "reload failed: %s", zs_strerror(err));
		if (!old)
			exit(1);
		return;
	}
	e->setup = s;
	if (e->running) {
		struct server_limits lim = limits_of(s->conf);

		if (strcmp(old->conf->log_target, s->conf->log_target) != 0)
			log_to(s->conf);
		log_set_level((enum log_level)s->conf->log_level);
		server_set_limits(e->server, &lim);
		zones_sync(e);
		http_reconf(e->http);
	}
	setup_unref(old);
}

/* --- start ---------------------------------------------------------------------------------------------- */

static struct net_zone *server_find(void *ctx, const uint8_t *qname)
{
	struct zone *z = engine_zone(ctx, qname, name_len(qname));

	return z && !z->closing ? &z->net : NULL;
}

static bool server_below(void *ctx, const uint8_t *qname)
{
	for (const uint8_t *p = qname; *p; p += *p + 1)
		if (engine_zone(ctx, p + *p + 1, name_len(p + *p + 1)))
			return true;
	return false;
}

static const struct tsig_key *server_key(void *ctx, const uint8_t *name)
{
	const struct setup *s = ((struct engine *)ctx)->setup;

	for (size_t i = 0; i < s->ntsig; i++)
		if (name_eq(tsig_key_name(s->tsig[i].key), name))
			return s->tsig[i].key;
	return NULL;
}

static wall_t server_now(void *ctx)
{
	(void)ctx;
	return clk_wall();
}

static void server_notify(void *ctx, struct net_zone *nz, const struct net_addr *from, const char *acl,
			  bool has_serial, uint32_t serial)
{
	struct engine *e = ctx;
	struct zone *z = nz->app;
	char text[NET_ADDR_TEXT];

	atomic_fetch_add(&e->count.notify[0][0], 1);
	if (has_serial)
		log_msg(LL_INFO, "notify", z->name, "event=notify from=%s acl=%s serial=%u",
			net_addr_text(from, text), acl, serial);
	else
		log_msg(LL_INFO, "notify", z->name, "event=notify from=%s acl=%s", net_addr_text(from, text),
			acl);
	upstream_notified(z, has_serial, serial);
}

static void server_transfer(void *ctx, const uint8_t *zone, const char *secondary, const struct net_addr *to,
			    uint16_t type, uint32_t serial, uint64_t octets, uint64_t records, int64_t us,
			    int result)
{
	struct engine *e = ctx;
	struct zone *z = engine_zone(e, zone, name_len(zone));
	unsigned how = !result ? 0 : result == ZS_EGIVENUP ? 2 : 1;
	char text[NET_ADDR_TEXT];

	atomic_fetch_add(&e->count.xfr[1][type == T_IXFR][how], 1);
	log_msg(result ? LL_WARN : LL_INFO, "xfr-out", z ? z->name : NULL,
		"%s to %s (%s) %s: serial=%u records=%llu octets=%llu ms=%lld",
		type == T_IXFR ? "IXFR" : "AXFR", net_addr_text(to, text), secondary,
		result ? zs_strerror(result) : "done", serial, (unsigned long long)records,
		(unsigned long long)octets, (long long)(us / 1000));
	if (z && !result)
		downstream_seen(z, secondary, serial);
}

/* A transfer met something in the store that it cannot read, and was cut. */
static void server_unreadable(void *ctx, const uint8_t *zone, uint32_t serial, int err)
{
	struct engine *e = ctx;
	struct zone *z = engine_zone(e, zone, name_len(zone));

	atomic_fetch_add(&e->count.xfr_damaged, 1);
	if (z && damage_is(err) && z->net.pub && z->net.pub->serial == serial)
		zone_damaged(z, err, "a transfer");
}

static void server_soa_seen(void *ctx, struct net_zone *nz, const char *secondary, uint32_t serial)
{
	(void)ctx;
	log_msg(LL_DEBUG, "query", ((struct zone *)nz->app)->name, "SOA serial=%u answered to %s", serial,
		secondary);
}

static void server_refused(void *ctx, const uint8_t *zone, const struct net_addr *from, const char *what,
			   bool has_key)
{
	struct zone *z = engine_zone(ctx, zone, name_len(zone));
	char text[NET_ADDR_TEXT];

	log_limited(LL_WARN, "acl", z ? z->name : NULL, what, 6,
		    "event=refused %s from=%s: no entry allows this address %s", what,
		    net_addr_text(from, text), has_key ? "with that TSIG key" : "without TSIG");
}

static const struct server_ops server_ops = { .refused = server_refused,
					      .find = server_find,
					      .below_zone = server_below,
					      .key = server_key,
					      .now = server_now,
					      .notify = server_notify,
					      .transfer = server_transfer,
					      .unreadable = server_unreadable,
					      .soa_seen = server_soa_seen };

#define KEYSTORE_LOOK_S 3

static bool uses_keystore(const struct zone *z, const struct keystore *ks)
{
	return zone_is_signed_policy(z) && strcmp(z->conf->policy->keystore, ks->name) == 0;
}

/* Work that waits for a key store which is away is not stuck, but an alarm: nothing waits in silence. */
static void keystore_away(struct zone *z, const struct keystore *ks, const struct vclient_stats *st)
{
	if (z->routine || z->version_job || z->change_job || z->next || z->state == ZONE_BUILD)
		zone_alarm_set(z, ALARM_SIGNING, "signing waits for key store %s: %s", ks->name, st->state);
}

/* What had failed while it was away does not wait for its back-off. */
static void keystore_back(struct zone *z)
{
	if (!z->alarm[ALARM_SIGNING] && !z->alarm[ALARM_BUILD])
		return;
	z->sign_fails = z->local_fails = z->next_fails = 0;
	z->next_due = (mono_t){ 0 };
	version_schedule(z);
	if (z->state == ZONE_IDLE)
		upstream_schedule(z, 0);
}

/* Two ways to verify differ: memory, processor or library are not to be trusted. */
static void tables_look(struct engine *e)
{
	unsigned n = gate_tables_doubts(e->tables);

	if (n != e->doubts_told)
		log_msg(LL_ERR, "gate", NULL,
			"event=alarm EVP disagreed with a key's table %u times: the table is off, what "
			"depended on it was not published",
			n - e->doubts_told);
	e->doubts_told = n;
}

static void keystores_look(void *arg)
{
	struct engine *e = arg;

	for (size_t i = 0; i < e->nks; i++) {
		struct keystore *ks = &e->ks[i];
		struct vclient_stats st;
		bool back;

		vclient_stats(ks->client, &st);
		back = st.up && !ks->was_up;
		ks->was_up = st.up;
		for (size_t k = 0; (back || !st.up) && k < e->nzone; k++) {
			if (!uses_keystore(e->zone[k], ks))
				continue;
			if (back)
				keystore_back(e->zone[k]);
			else
				keystore_away(e->zone[k], ks, &st);
		}
	}
	tables_look(e);
	calls_expire(e, false);
	timer_set(e->timers, &e->keystore_timer, MONO_S(KEYSTORE_LOOK_S), keystores_look, e);
}

static int engine_open(struct engine *e)
{
	const struct conf *c = e->setup->conf;
	struct store_dir_opts opts = { .max_open = STORE_OPEN_MAX, .min_free = c->min_free };
	struct server_limits lim = limits_of(c);
	unsigned workers = c->workers ? c->workers : (unsigned)sysconf(_SC_NPROCESSORS_ONLN);
	char aside[64];
	int err;

	log_to(c);
	err = store_dir_open(c->state_dir, &opts, &e->dir);
	if (err) {
		log_msg(LL_ERR, "store", NULL, "state-dir %s: %s", c->state_dir, zs_strerror(err));
		return err;
	}
	/* what is stored is served all the same: only new keys need it */
	err = keyreg_open(e->dir, &e->reg);
	if (err == ZS_ECRC && (err = keyreg_set_aside(e->dir, aside)) == 0) {
		log_msg(LL_ERR, "store", NULL,
			"event=damaged file=%s: the key register was damaged and is set aside; zones put "
			"their keys into a new one as they are opened",
			aside);
		err = keyreg_open(e->dir, &e->reg);
	}
	if (err)
		log_msg(LL_ERR, "store", NULL,
			"event=alarm key register: %s: no keys are made until it can be opened",
			zs_strerror(err));
	e->tables = gate_tables_new();
	e->workers = pool_new(workers, "work");
	e->render = pool_new(workers > 1 ? workers : 2, "render");
	if (!e->tables || !e->workers || !e->render)
		return ZS_ENOMEM;
	e->server = server_new(e->ev, e->render, &server_ops, e, &lim);
	if (!e->server)
		return ZS_ENOMEM;
	for (size_t i = 0; i < e->ndns; i++)
		if ((err = server_add_socket(e->server, e->dns_fd[i])))
			return err;
	e->control = control_new(e, e->control_fd);
	e->http = http_new(e, e->stats_fd, e->nstats);
	return e->control && e->http ? 0 : ZS_ENOMEM;
}

static void engine_start(struct engine *e)
{
	int err;

	if (e->running || !e->setup)
		return;
	err = engine_open(e);
	if (err) {
		log_msg(LL_ERR, "engine", NULL, "cannot start: %s", zs_strerror(err));
		exit(1);
	}
	e->running = true;
	keystores_look(e);
	zones_sync(e);
	engine_tell(e, IPC_READY, NULL, 0);
}

static void fds_take(struct frame *f, int **fds, size_t *n)
{
	int *more = realloc(*fds, (*n + f->nfds) * sizeof(int));

	if (!more)
		abort();
	memcpy(more + *n, f->fds, f->nfds * sizeof(int));
	*fds = more;
	*n += f->nfds;
	f->nfds = 0;
}

static void vault_take(struct engine *e, struct frame *f)
{
	char name[128];
	struct vclient *c;

	snprintf(name, sizeof(name), "%.*s", (int)(f->len < 100 ? f->len : 100), (const char *)f->data);
	c = engine_keystore(e, name);
	if (!c || f->nfds != 1) {
		log_msg(LL_ERR, "vault", NULL, "keystore=%s is not known here: its vault is not attached",
			name);
		return;
	}
	log_msg(LL_INFO, "vault", NULL, "keystore=%s attached", name);
	if (vclient_attach(c, f->fds[0]) == 0)
		f->nfds = 0;
}

static void parent_frame(struct engine *e, struct frame *f)
{
	switch (f->type) {
	case IPC_BUNDLE_PART:
		wr_bytes(&e->bundle, f->data, f->len);
		break;
	case IPC_BUNDLE:
		config_take(e);
		break;
	case IPC_DNS:
		fds_take(f, &e->dns_fd, &e->ndns);
		break;
	case IPC_STATS:
		fds_take(f, &e->stats_fd, &e->nstats);
		break;
	case IPC_CONTROL:
		if (f->nfds == 1 && e->control_fd < 0) {
			e->control_fd = f->fds[0];
			f->nfds = 0;
		}
		break;
	case IPC_START:
		engine_start(e);
		break;
	case IPC_VAULT:
		vault_take(e, f);
		break;
	case IPC_GENERATED:
	case IPC_HSM:
	case IPC_BACKED_UP:
	case IPC_REOPENED:
		call_done(e, f, false);
		break;
	case IPC_BACKUP_DIR:
		backup_take_fds(e, f);
		call_done(e, f, false);
		break;
	case IPC_RELOADED:
		call_done(e, f, true);
		break;
	case IPC_REOPEN:
		log_reopen();
		break;
	case IPC_PAGE:
		if (f->nfds == 1 && fault_attach(f->fds[0]) == 0)
			f->nfds = 0;
		break;
	case IPC_QUARANTINE:
		if (f->len == 8 && e->nquarantine < FAULT_MARKS)
			e->quarantine[e->nquarantine++] = be64(f->data);
		break;
	case IPC_QUIT:
		engine_quit(e);
		break;
	default:
		log_msg(LL_ERR, "engine", NULL, "unknown message %u of the parent", f->type);
	}
	for (unsigned i = 0; i < f->nfds; i++)
		close(f->fds[i]);
}

static void parent_event(evutil_socket_t fd, short what, void *arg)
{
	struct engine *e = arg;
	struct frame f;
	int err;

	(void)fd;
	(void)what;
	frame_flush(e->parent);
	while ((err = frame_recv(e->parent, &f)) == 0)
		parent_frame(e, &f);
	/* without a parent there is nobody to restart vaults: it starts a new engine */
	if (err != ZS_EAGAIN) {
		event_del(e->parent_ev);
		engine_quit(e);
	}
}

static void mail_event(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	(void)what;
	mailbox_run(((struct engine *)arg)->home);
}

/* --- end ------------------------------------------------------------------------------------------------ */

static void quit_now(void *arg)
{
	event_base_loopbreak(((struct engine *)arg)->ev);
}

static void quit_poll(void *arg)
{
	struct engine *e = arg;

	bool busy = e->zombies > 0 || e->purging > 0 || e->backup;

	for (size_t i = 0; i < e->nzone; i++)
		busy |= e->zone[i]->jobs > 0;
	if (busy)
		timer_set(e->timers, &e->quit_timer, MONO_MS(20), quit_poll, e);
	else
		quit_now(e);
}

void engine_quit(struct engine *e)
{
	if (e->quitting)
		return;
	e->quitting = true;
	log_msg(LL_INFO, "engine", NULL, "ending");
	timers_end(e->timers);
	backup_cancel(e);
	for (size_t i = 0; i < e->nzone; i++) /* what waits for a key store comes back cancelled */
		zone_event(e->zone[i], EV_CLOSE);
	calls_expire(e, true);
	quit_poll(e);
}

/* Nothing is left to the end of the process: a leak report of the sanitizers then means something. */
static void engine_free(struct engine *e)
{
	control_free(e->control);
	http_free(e->http);
	server_free(e->server);
	pool_free(e->render);
	mailbox_run(e->home);
	for (size_t i = 0; i < e->nzone; i++) {
		e->zone[i]->gone = true;
		zone_job_begin(e->zone[i]);
		zone_job_end(e->zone[i]);
	}
	free(e->zone);
	for (size_t i = 0; i < e->nks; i++) {
		vclient_free(e->ks[i].client);
		free(e->ks[i].name);
	}
	free(e->ks);
	pool_free(e->workers);
	gate_tables_free(e->tables);
	keyreg_close(e->reg);
	store_dir_close(e->dir);
	setup_unref(e->setup);
	timers_free(e->timers);
	event_free(e->parent_ev);
	event_free(e->mail_ev);
	event_base_free(e->ev);
	mailbox_free(e->home);
	frame_conn_free(e->parent);
	free(e->dns_fd);
	free(e->stats_fd);
	wr_free(&e->bundle);
}

int engine_main(int fd)
{
	struct engine e = { .control_fd = -1,
			    .reg_lock = PTHREAD_MUTEX_INITIALIZER,
			    .backup_fd = { -1, -1 },
			    .started = clk_wall(),
			    .bundle = wr_growing(2 * (size_t)CONF_FILE_MAX) };

	signal(SIGPIPE, SIG_IGN);
	evthread_use_pthreads();
	e.boot_offset = clk_wall().s - clk_boot();
	/* answers to an engine before us must not look like ours */
	if (rand_bytes(&e.next_call, sizeof(e.next_call)) != 0)
		return 1;
	e.next_call >>= 1;
	e.ev = event_base_new();
	e.home = mailbox_new();
	e.parent = frame_conn_new(fd, IPC_OUT_MAX);
	e.timers = e.ev ? timers_new(e.ev) : NULL;
	if (!e.ev || !e.home || !e.parent || !e.timers)
		return 1;
	e.parent_ev = event_new(e.ev, frame_conn_fd(e.parent), EV_READ | EV_PERSIST, parent_event, &e);
	e.mail_ev = event_new(e.ev, mailbox_fd(e.home), EV_READ | EV_PERSIST, mail_event, &e);
	event_add(e.parent_ev, NULL);
	event_add(e.mail_ev, NULL);
	event_base_dispatch(e.ev);
	engine_free(&e);
	libevent_global_shutdown();
	return 0;
}
