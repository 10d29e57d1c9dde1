/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Reads and writes the memory of the upstream serial that is not taken. A lost text costs one transfer,
 * no more: errors are logged and forgotten. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/log.h"
#include "held.h"
#include "policyprint.h"

#define HELD_MAX 4096
#define VETO_RETRY_S 5       /* doubled with each veto of the same serial */
#define VETO_RETRY_MAX_S 3600

uint32_t held_conf(const struct conf_zone *c)
{
	char text[320], policy[160];
	uint32_t crc;

	policy_print(c->policy, c->upstream_dnssec == UPDNSSEC_PASS, policy, sizeof(policy));
	snprintf(text, sizeof(text), "%d %llu %llu %u %u %u %s", (int)c->upstream_dnssec,
		 (unsigned long long)c->max_records, (unsigned long long)c->max_bytes, c->max_rrset,
		 c->shrink_pct, c->churn_pct, policy);
	crc = crc32c(0, text, strlen(text));
	for (size_t i = 0; i < c->nupstream; i++)
		for (size_t k = 0; k < c->upstream[i]->naddr; k++) {
			struct net_addr a = net_from_conf(&c->upstream[i]->addr[k]);

			net_addr_text(&a, text);
			crc = crc32c(crc, text, strlen(text));
		}
	return crc;
}

static char *held_path(const struct store *s)
{
	const char *state = store_keystate_path(s), *slash = strrchr(state, '/');
	char *path = NULL;

	if (asprintf(&path, "%.*s/held", (int)(slash ? slash - state : 0), state) < 0)
		return NULL;
	return path;
}

/* The lines of a veto stand between the others; a text without them is that of a held input. */
static void held_parse(const char *text, struct held *h)
{
	long long retry = 0;
	int at = 0;

	if (sscanf(text, "serial: %u\nconf: %x\n%n", &h->serial, &h->conf, &at) < 2)
		return;
	h->set = true;
	text += at;
	at = 0;
	if (sscanf(text, "vetoes: %u\nretry: %lld\n%n", &h->vetoes, &retry, &at) == 2)
		text += at;
	else
		h->vetoes = 0;
	h->retry = h->vetoes ? retry : 0;
	sscanf(text, "reason: %511[^\n]", h->reason);
}

static int held_print(const struct held *h, char *dst, size_t cap)
{
	int n = snprintf(dst, cap, "serial: %u\nconf: %08x\n", h->serial, h->conf);

	if (h->vetoes)
		n += snprintf(dst + n, cap - (size_t)n, "vetoes: %u\nretry: %lld\n", h->vetoes,
			      (long long)h->retry);
	return n + snprintf(dst + n, cap - (size_t)n, "reason: %s\n", h->reason);
}

void held_read(const struct store *s, struct held *out)
{
	char *path = held_path(s), *text = NULL;
	size_t len = 0;

	memset(out, 0, sizeof(*out));
	if (path && fs_read_checked(path, HELD_MAX, &text, &len) == 0)
		held_parse(text, out);
	free(text);
	free(path);
}

struct held_job { struct zone *zone; struct store *store; struct held held; int err; };

static void held_start(struct zone *z);

static void held_done(void *arg)
{
	struct held_job *j = arg;
	struct zone *z = j->zone;

	if (j->err)
		log_limited(LL_WARN, "store", z->name, "held", 2, "the held serial cannot be remembered: %s",
			    zs_strerror(j->err));
	free(j);
	z->held_busy = false;
	if (z->held_dirty)
		held_start(z);
	zone_job_end(z);
}

static void held_run(void *arg)
{
	struct held_job *j = arg;
	char text[1024], *path = held_path(j->store);

	if (!path)
		j->err = ZS_ENOMEM;
	else if (!j->held.set)
		j->err = fs_remove(path);
	else {
		int n = held_print(&j->held, text, sizeof(text));

		j->err = fs_replace_checked(path, text, (size_t)n, 0600);
	}
	free(path);
	mailbox_post(j->zone->e->home, held_done, j);
}

/* One at a time, so that the last word is the one on disk. */
static void held_start(struct zone *z)
{
	struct held_job *j = calloc(1, sizeof(*j));

	z->held_dirty = false;
	if (!j)
		return;
	j->zone = z;
	j->store = z->store;
	j->held = (struct held){ .set = z->held,
				 .serial = z->held_serial,
				 .conf = held_conf(z->conf),
				 .vetoes = z->held_vetoes,
				 .retry = z->held_retry };
	snprintf(j->held.reason, sizeof(j->held.reason), "%s", z->held_reason);
	z->held_busy = true;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_LOW, held_run, j) != 0) {
		j->err = ZS_ENOMEM;
		held_done(j);
	}
}

void held_set(struct zone *z, const struct held *h)
{
	z->held = h->set;
	z->held_serial = h->serial;
	z->held_vetoes = h->vetoes;
	z->held_retry = h->retry;
	snprintf(z->held_reason, sizeof(z->held_reason), "%s", h->reason);
	for (char *p = z->held_reason; *p; p++)
		if (*p == '\n')
			*p = ' ';
	z->held_dirty = true;
	if (z->store && !z->held_busy)
		held_start(z);
}

/* --- vetoes --------------------------------------------------------------------------------------------- */

static int64_t veto_wait(unsigned vetoes)
{
	return vetoes > 10 ? VETO_RETRY_MAX_S : VETO_RETRY_S << (vetoes - 1);
}

/* An operator's hold stands before what is held of upstream: until it ends nothing of that is looked at. */
static void order_alarm(struct zone *z)
{
	const struct orders *o = &z->orders;
	char at[WALL_TEXT];

	zone_alarm_set(z, ALARM_HELD, "%s by %s at %s%s%s: nothing of upstream is taken until `zone release`",
		       o->rollback ? "rollback ordered" : "on hold", o->hold_who,
		       wall_text(WALL(o->hold_since), at), o->hold_why[0] ? ": " : "", o->hold_why);
}

void held_alarm(struct zone *z)
{
	if (z->orders.hold) {
		order_alarm(z);
		if (!z->held || !z->held_vetoes)
			zone_alarm_clear(z, ALARM_VETO);
		return;
	}
	if (z->held && z->held_vetoes) {
		zone_alarm_set(z, ALARM_VETO,
			       "upstream's serial %u: vetoed by the gate, the last good version stays: %s",
			       z->held_serial, z->held_reason);
		zone_alarm_clear(z, ALARM_HELD);
		return;
	}
	zone_alarm_clear(z, ALARM_VETO);
	if (z->held)
		zone_alarm_set(z, ALARM_HELD, "serial %u is held: %s", z->held_serial, z->held_reason);
	else
		zone_alarm_clear(z, ALARM_HELD);
}

void held_veto(struct zone *z, uint32_t serial, const char *finding, bool passes)
{
	bool again = z->held && z->held_vetoes && z->held_serial == serial;
	struct held h = { .set = true, .serial = serial, .vetoes = again ? z->held_vetoes + 1 : 1 };

	h.retry = clk_wall().s + veto_wait(h.vetoes);
	snprintf(h.reason, sizeof(h.reason), "%s", finding);
	if (passes)
		zone_release_keep(z, serial);
	else
		zone_release_used(z, serial);
	held_set(z, &h);
	held_alarm(z);
}

/* Within a quarter of the end it is over: the timer for it is early by up to that much. A wait that is longer
 * than it ever was is a clock that stepped. */
bool held_stops(const struct zone *z, uint32_t serial)
{
	int64_t left;

	if (!z->held || z->held_serial != serial)
		return false;
	if (!z->held_vetoes)
		return !zone_release_holds(z, serial) && !z->force_transfer;
	left = z->held_retry - clk_wall().s;
	return left > veto_wait(z->held_vetoes) / 4 && left <= veto_wait(z->held_vetoes);
}

int64_t held_wait(const struct zone *z)
{
	int64_t left = z->held_retry - clk_wall().s;

	if (!z->held || !z->held_vetoes)
		return INT64_MAX;
	return left < 0 || left > veto_wait(z->held_vetoes) ? 0 : left;
}

void held_ordered(struct zone *z)
{
	if (z->held && z->held_vetoes)
		z->held_retry = 0;
}

/* --- an input is held ----------------------------------------------------------------------------------- */

static void count_held(struct zone *z, const struct intake *in)
{
	bool named = false;

	for (int i = 0; i < IR_REASONS; i++) {
		if (!in->held[i].count)
			continue;
		named = true;
		atomic_fetch_add(&z->count.held[i], 1);
	}
	if (!named) /* a release is waited for, or an NSEC3 collision */
		atomic_fetch_add(&z->count.held[in->had_dnskey ? IR_DNSSEC : IR_NONE], 1);
}

void held_transfer(struct zone *z, const struct transfer *t)
{
	if (t->forced == z->force_transfer) /* what was ordered while it ran is for the next one */
		z->force_transfer = 0;
}

void held_input(struct zone *z, const struct transfer *t, const char *reason)
{
	struct held h = { .set = true, .serial = t->soa_fields.serial, .conf = held_conf(z->conf) };

	count_held(z, &t->intake);
	held_transfer(z, t);
	zone_release_used(z, h.serial);
	snprintf(h.reason, sizeof(h.reason), "%s", reason);
	held_set(z, &h);
	held_alarm(z);
}
