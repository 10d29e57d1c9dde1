/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The zone as a secondary of its primaries: SOA refresh, retry and expire with back-off and jitter
 * (RFC 1035 3.3.13, RFC 1982), primaries in order, NOTIFY (RFC 1996), transfer slots. Loop thread, but for
 * on_rr() which a worker calls.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "held.h"
#include "transfer.h"
#include "zone.h"

#define RETRY_FIRST 2          /* s: a zone that was never transferred */
#define RETRY_MAX 3600
#define REFRESH_MIN 2
#define REFRESH_MAX 2419200    /* 4 weeks */
#define EXPIRE_SOON_MAX 604800 /* a quarter of the time, but no more, before the end of serving: an alarm */
#define RETRY_EXPIRE_MIN 30    /* SOA EXPIRE brings no retry below it */
#define SORT_MEMORY (32u << 20)
#define XFR_CONNECT_S 10
#define XFR_IDLE_S 60
#define XFR_TOTAL_S 7200

static int64_t clamp(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

/* A quarter earlier at most, never later: primaries of many zones are not asked all at once. */
static int64_t jittered(int64_t us)
{
	uint64_t r = 0;

	rand_bytes(&r, sizeof(r));
	return us - (int64_t)(r % (uint64_t)(us / 4 + 1));
}

/* EXPIRE may be shorter than REFRESH or RETRY: no zone expires because nobody asked. Half of it leaves time
 * for two tries more, a quarter of it apart. */
static int64_t refresh_seconds(const struct soa *soa)
{
	int64_t half = soa->expire / 2;

	return half && half < soa->refresh ? half : soa->refresh;
}

static int64_t retry_seconds(const struct zone *z)
{
	struct soa soa;
	int64_t base = RETRY_FIRST, most = INT64_MAX;
	unsigned shift = z->check_fails > 1 ? z->check_fails - 1 : 0;

	if (z->have_meta && soa_read(z->meta.upstream_soa, z->meta.upstream_soa_len, &soa) == 0) {
		base = clamp(soa.retry, RETRY_FIRST, RETRY_MAX);
		most = clamp(soa.expire / 4, RETRY_EXPIRE_MIN, INT64_MAX);
	}
	base = clamp(base << (shift > 9 ? 9 : shift), base, base > 300 ? RETRY_MAX : 300);
	return base < most ? base : most;
}

static void check_timer(void *arg)
{
	zone_event(arg, EV_CHECK);
}

static void schedule_in(struct zone *z, int64_t us)
{
	if (z->reshape && !z->next && z->next_due.us && us > mono_diff(z->next_due, clk_mono()))
		us = clamp(mono_diff(z->next_due, clk_mono()), 0, us);
	z->check_due = wall_add(clk_wall(), us / 1000000);
	timer_set(z->e->timers, &z->check_timer, us, check_timer, z);
}

/* seconds: from now; -1: after a failure; -2: SOA refresh; -3: that, but no later than the next try of a
 * vetoed serial. */
void upstream_schedule(struct zone *z, int64_t seconds)
{
	struct soa soa = { .refresh = 3600, .expire = 7200 };

	if (z->state == ZONE_CLOSED || z->state == ZONE_OPENING)
		return;
	if (seconds <= -2) {
		int64_t veto = seconds == -3 ? clamp(held_wait(z), 1, REFRESH_MAX) : REFRESH_MAX;

		if (z->have_meta)
			soa_read(z->meta.upstream_soa, z->meta.upstream_soa_len, &soa);
		seconds = clamp(refresh_seconds(&soa), REFRESH_MIN, veto > REFRESH_MIN ? veto : REFRESH_MIN);
	} else if (seconds == -1) {
		seconds = retry_seconds(z);
	}
	schedule_in(z, seconds ? jittered(MONO_S(seconds)) : 0);
}

void upstream_look(struct zone *z, bool first)
{
	int64_t us, due = INT64_MAX;

	if (z->state == ZONE_CLOSED || z->state == ZONE_OPENING)
		return;
	if (z->check_timer.slot)
		due = clamp(mono_diff(z->check_timer.at, clk_mono()), 0, INT64_MAX);
	first |= !z->have_meta || zone_wants_build(z) ||
		 (z->have_news && serial_cmp(z->news, z->meta.upstream_serial) == SERIAL_GT);
	us = first ? pace_take(&z->e->first, clk_mono(), due) : engine_spread(z->e);
	schedule_in(z, us < due ? us : due);
}

/* --- expire --------------------------------------------------------------------------------------------- */

/* Seconds from the last agreement to the end of serving, by the zone's upstream-expire; INT64_MAX: no end. */
static int64_t serve_span(const struct zone *z, int64_t *soa_expire)
{
	struct soa soa;

	if (!z->have_meta || soa_read(z->meta.upstream_soa, z->meta.upstream_soa_len, &soa) != 0)
		return *soa_expire = INT64_MAX;
	*soa_expire = soa.expire;
	if (z->conf->expire == EXPIRE_STOP)
		return soa.expire;
	return z->conf->expire == EXPIRE_SERVE_FOR ? soa.expire + z->conf->expire_serve : INT64_MAX;
}

int64_t upstream_serve_end(const struct zone *z)
{
	int64_t soa_expire, span = serve_span(z, &soa_expire);

	return span < INT64_MAX && z->meta.upstream_checked ? z->meta.upstream_checked + span : 0;
}

static void expire_alarm(struct zone *z, bool past, int64_t left)
{
	const char *hold = z->orders.hold ? "; it is on hold until `zone release`" : "";
	char at[WALL_TEXT] = "";

	if (left > 0 && left < INT64_MAX)
		wall_text(WALL(upstream_serve_end(z)), at);
	if (!past)
		zone_alarm_set(z, ALARM_EXPIRED,
			       "not served from %s on, unless a primary agrees with the stored serial%s", at,
			       hold);
	else
		zone_alarm_set(z, ALARM_EXPIRED, "upstream past its SOA expire: %s%s%s%s",
			       left <= 0 ? "not served" : "still served and re-signed",
			       at[0] ? ", until " : "", at, hold);
}

/* The first checks after a start are made before a zone counts as expired: round_done says so. */
void upstream_expire_check(void *arg)
{
	struct zone *z = arg;
	int64_t soa_expire, span = serve_span(z, &soa_expire), since, left;
	bool past, soon, tried = z->round_done || z->net.expired;

	if (z->state == ZONE_CLOSED)
		return;
	routine_check(z);
	since = engine_now(z->e).s - z->meta.upstream_checked;
	left = span < INT64_MAX ? span - since : INT64_MAX;
	past = soa_expire < INT64_MAX && since >= soa_expire;
	soon = left <= clamp(span / 4, 0, EXPIRE_SOON_MAX);
	if (!past)
		z->net.expired = false;
	else if (tried)
		z->net.expired = left <= 0;
	if (tried && (past || soon))
		expire_alarm(z, past, left);
	else if (!past && !soon)
		zone_alarm_clear(z, ALARM_EXPIRED);
	z->net.upstream_left = z->conf->expire == EXPIRE_STOP ? (left > 0 ? left : 0) : INT64_MAX;
	timer_set(z->e->timers, &z->expire_timer, MONO_S(left > 0 && left < 60 ? left : 60),
		  upstream_expire_check, z);
}

/* Written with the next version, at SIGTERM, and when a tenth of SOA expire has passed:
 * no commit for each check. */
static void note_checked(struct zone *z)
{
	struct soa soa;

	if (z->have_meta && soa_read(z->meta.upstream_soa, z->meta.upstream_soa_len, &soa) == 0 &&
	    z->meta.upstream_checked - z->stored_checked > soa.expire / 10)
		version_note_checked(z);
}

void upstream_refreshed(struct zone *z)
{
	z->round_done = true;
	z->meta.upstream_checked = engine_now(z->e).s;
	z->check_fails = 0;
	zone_alarm_clear(z, ALARM_UPSTREAM);
	note_checked(z);
	upstream_expire_check(z);
	upstream_schedule(z, z->look_soon ? -1 : -2);
	z->look_soon = false;
}

/* --- SOA rounds ----------------------------------------------------------------------------------------- */

static void ask_primary(struct zone *z);

static const struct conf_remote *primary(const struct zone *z)
{
	return z->conf->upstream[z->primary % z->conf->nupstream];
}

/* A primary said what we have, though there is news elsewhere, or was. */
static void same_for_now(struct zone *z)
{
	z->primary = 0;
	z->look_soon = true;
	zone_event(z, EV_SAME);
}

static bool ask_next(struct zone *z)
{
	if (++z->tried >= z->conf->nupstream)
		return false;
	z->primary = (z->primary + 1) % (unsigned)z->conf->nupstream;
	ask_primary(z);
	return true;
}

static void next_primary(struct zone *z, const char *why)
{
	log_limited(LL_WARN, "upstream", z->name, primary(z)->name, 4, "primary %s: %s", primary(z)->name,
		    why);
	if (ask_next(z))
		return;
	if (z->agreed) {
		same_for_now(z);
		return;
	}
	zone_alarm_set(z, ALARM_UPSTREAM, "no primary gives a usable answer; last: %s: %s", primary(z)->name,
		       why);
	z->primary = 0;
	zone_event(z, EV_FAILED);
}

/* Is a serial to be taken? An order takes any, but only what was asked for after it; a policy that shapes
 * versions otherwise, or a doubt about what is stored, takes the same one once more. */
static bool is_newer(const struct zone *z, uint32_t serial, unsigned forced)
{
	enum serial_order o;

	if (!z->have_meta || !z->meta.have_upstream || forced)
		return true;
	o = serial_cmp(serial, z->meta.upstream_serial);
	return o == SERIAL_GT || ((zone_wants_build(z) || z->compare) && o == SERIAL_EQ);
}

static void hear_news(struct zone *z, uint32_t serial)
{
	z->have_news = true;
	z->news = serial;
}

/* Primaries need not agree. When one of them, or a NOTIFY, told of a newer serial, one that has ours is not
 * the end of the round. When none has it, it is forgotten. */
static void judge_same(struct zone *z)
{
	z->agreed = true;
	z->meta.upstream_checked = engine_now(z->e).s; /* whatever the others say */
	note_checked(z);
	if (!z->have_news || serial_cmp(z->news, z->meta.upstream_serial) != SERIAL_GT) {
		z->have_news = false;
		zone_event(z, EV_SAME);
	} else if (!ask_next(z)) {
		z->have_news = false;
		same_for_now(z);
	}
}

/* Is what upstream has to be fetched? */
static void judge_serial(struct zone *z, const struct soa *soa)
{
	if (z->quarantined && z->have_quarantine_serial && z->quarantine_serial != soa->serial)
		zone_unquarantine(z, "upstream has another serial");
	if (z->quarantined) { /* the serial of the first check is the one that brought us down */
		z->have_quarantine_serial = true;
		z->quarantine_serial = soa->serial;
		zone_event(z, EV_HELD);
		return;
	}
	if (z->orders.hold) { /* that it agrees is no input */
		zone_event(z, z->have_meta && soa->serial == z->meta.upstream_serial ? EV_SAME : EV_HELD);
	} else if (held_stops(z, soa->serial)) {
		zone_event(z, EV_HELD);
	} else if (is_newer(z, soa->serial, z->force_transfer)) {
		hear_news(z, soa->serial);
		zone_event(z, z->next && (z->large || z->rebuild) ? EV_LATER : EV_NEWER);
	} else if (soa->serial == z->meta.upstream_serial) {
		judge_same(z);
	} else {
		char why[128];

		snprintf(why, sizeof(why), "upstream went back: serial %u is not newer than %u", soa->serial,
			 z->meta.upstream_serial);
		next_primary(z, why);
	}
}

static void soa_answer(void *arg, const struct dnsq_answer *a)
{
	struct zone *z = arg;
	struct soa soa;

	z->query = NULL;
	if (z->state != ZONE_CHECKING)
		return;
	if (a->result)
		next_primary(z, zs_strerror(a->result));
	else if (a->rcode != RC_NOERROR || !dnsq_soa(a, z->wire, &soa))
		next_primary(z, a->rcode ? "error answer to the SOA query" : "no SOA in the answer");
	else
		judge_serial(z, &soa);
}

static void ask_primary(struct zone *z)
{
	struct net_remote to = remote_target(z->setup, primary(z), z->check_fails % primary(z)->naddr);

	z->query = dnsq_start(z->e->ev, &to, z->wire, T_SOA, false, soa_answer, z);
	if (!z->query)
		next_primary(z, "no socket for the query");
}

void upstream_check(struct zone *z)
{
	z->tried = 0;
	z->agreed = false;
	if (!z->primary_failed) /* in order; after a failed transfer the next one has its turn first */
		z->primary = 0;
	z->primary_failed = false;
	z->check_again = false;
	timer_stop(z->e->timers, &z->check_timer);
	ask_primary(z);
}

void upstream_notified(struct zone *z, bool has_serial, uint32_t serial)
{
	/* a hint only: what we have is not news, but it proves no primary's agreement either (it resets no
	 * clock) */
	if (has_serial && z->have_meta && z->meta.have_upstream && !zone_wants_build(z) &&
	    serial_cmp(serial, z->meta.upstream_serial) == SERIAL_EQ)
		return;
	if (z->have_meta && (!has_serial || serial_cmp(serial, z->meta.upstream_serial) == SERIAL_GT))
		hear_news(z, has_serial ? serial : z->meta.upstream_serial + 1);
	zone_event(z, EV_CHECK);
}

/* --- transfer ------------------------------------------------------------------------------------------- */

/* Transfers that run from one primary; the list is as short as the number of primaries that are being
 * asked. */
struct primary_load { char *name; unsigned running; struct primary_load *next; };

static struct primary_load *load_of(struct engine *e, const char *name)
{
	struct primary_load *l;

	for (l = e->loads; l; l = l->next)
		if (strcmp(l->name, name) == 0)
			return l;
	l = calloc(1, sizeof(*l));
	if (!l || !(l->name = strdup(name))) {
		free(l);
		return NULL;
	}
	l->next = e->loads;
	e->loads = l;
	return l;
}

static void load_drop(struct engine *e, struct primary_load *l)
{
	for (struct primary_load **p = &e->loads; *p; p = &(*p)->next) {
		if (*p != l)
			continue;
		*p = l->next;
		free(l->name);
		free(l);
		return;
	}
}

/* Takes a slot, or says no. It is handed to the transfer that upstream_transfer() starts. */
static bool slot_take(struct zone *z)
{
	const struct conf *c = z->e->setup->conf;
	struct primary_load *l = load_of(z->e, primary(z)->name);

	if (!l || z->e->transfers_running >= c->transfers_in || l->running >= c->transfers_per_primary) {
		if (l && l->running == 0)
			load_drop(z->e, l);
		return false;
	}
	l->running++;
	z->e->transfers_running++;
	z->slot = l;
	return true;
}

static void slot_give(struct engine *e, struct primary_load **slot)
{
	struct primary_load *l = *slot;

	if (!l)
		return;
	*slot = NULL;
	e->transfers_running--;
	if (--l->running == 0)
		load_drop(e, l);
	engine_transfer_slot(e);
}

static void dequeue(struct zone *z)
{
	for (struct zone **p = &z->e->queue; *p; p = &(*p)->queue_next) {
		if (*p != z)
			continue;
		*p = z->queue_next;
		if (!*p)
			z->e->queue_tail = p;
		z->queue_next = NULL;
		z->queued = false;
		return;
	}
}

void upstream_queue(struct zone *z)
{
	z->queued = true;
	z->queue_next = NULL;
	if (!z->e->queue)
		z->e->queue_tail = &z->e->queue;
	*z->e->queue_tail = z;
	z->e->queue_tail = &z->queue_next;
	engine_transfer_slot(z->e);
}

#define QUEUE_LOOK 256 /* how far behind the head another primary's zone is looked for */

static void queue_pass(struct engine *e)
{
	struct zone *next;
	unsigned looked = 0;

	for (struct zone *z = e->queue; z && looked < QUEUE_LOOK && !e->quitting; z = next, looked++) {
		next = z->queue_next;
		if (!slot_take(z))
			continue;
		dequeue(z);
		zone_event(z, EV_SLOT);
		next = e->queue; /* the event may have changed the queue */
	}
}

/* A transfer that cannot start gives its slot back from inside the event: that is another pass,
 * not another depth. */
void engine_transfer_slot(struct engine *e)
{
	e->slots_again = true;
	if (e->in_slots)
		return;
	e->in_slots = true;
	while (e->slots_again) {
		e->slots_again = false;
		queue_pass(e);
	}
	e->in_slots = false;
}

/* An answer to IXFR tells by its second record what it is; as a whole zone it goes the way of AXFR. */
static int on_ixfr_rr(struct transfer *t, const struct rr *rr)
{
	struct rr soa;
	int err = ixfr_add(t->ixfr, rr);

	if (err || ixfr_kind(t->ixfr) != IXFR_AXFR)
		return err;
	err = ixfr_soa(t->ixfr, &soa);
	if (!err)
		err = transfer_take_soa(t, &soa);
	ixfr_free(t->ixfr);
	t->ixfr = NULL;
	return err;
}

/* Worker. The opening SOA is kept aside, the closing one was compared by the transfer client. */
static int on_rr(void *ctx, const struct rr *rr)
{
	struct transfer *t = ctx;
	int err;

	if (t->ixfr) {
		err = on_ixfr_rr(t, rr);
		if (err || t->ixfr)
			return err;
	}
	if (rr->type == T_SOA && name_eq(rr->owner, t->intake.zone))
		return t->have_soa ? 0 : transfer_take_soa(t, rr);
	err = transfer_take(t, rr);
	if (err != ZS_EHELD)
		return err;
	return t->intake.discard == IR_RECORDS_LIMIT || t->intake.discard == IR_BYTES_LIMIT ? ZS_ELIMIT
											    : ZS_EFORMAT;
}

/* The same gigabytes are not fetched again until serial, config or an order changes. */
static void over_limit(struct zone *z, const char *why)
{
	struct held h = { .set = z->transfer->have_soa,
			  .serial = z->transfer->soa_fields.serial,
			  .conf = held_conf(z->conf) };

	snprintf(h.reason, sizeof(h.reason), "over limits: %s", why);
	held_transfer(z, z->transfer);
	held_set(z, &h);
	if (h.set)
		held_alarm(z);
	else
		zone_alarm_set(z, ALARM_HELD, "upstream's zone is held: %s", h.reason);
	zone_event(z, EV_HELD);
}

static void xfr_failed(struct zone *z, const struct xfrin_result *r, const struct intake *in)
{
	const char *why = in->discard  ? intake_reason_text(in->discard)
			  : r->text[0] ? r->text
				       : zs_strerror(r->result);

	atomic_fetch_add(&z->count.xfr_in_failed, 1);
	atomic_fetch_add(&z->e->count.xfr[0][z->transfer->ixfr != NULL][1], 1);
	if (in->discard == IR_RECORDS_LIMIT || in->discard == IR_BYTES_LIMIT || r->result == ZS_ELIMIT) {
		over_limit(z, why);
		return;
	}
	zone_alarm_set(z, ALARM_UPSTREAM, "transfer from %s failed, nothing of it is taken: %s",
		       primary(z)->name, why);
	z->primary = (z->primary + 1) % (unsigned)z->conf->nupstream;
	z->primary_failed = true;
	zone_event(z, EV_FAILED);
}

/* Primaries behind one address need not agree: what came is judged by its own serial,
 * not by the SOA answer's. */
static void xfr_stale(struct zone *z, uint32_t serial)
{
	transfer_free(z->transfer);
	z->transfer = NULL;
	if (serial == z->meta.upstream_serial) { /* but its SOA was newer */
		z->look_soon = true;
		zone_event(z, EV_SAME);
		return;
	}
	zone_alarm_set(z, ALARM_UPSTREAM, "transfer from %s has serial %u, not newer than %u: not taken",
		       primary(z)->name, serial, z->meta.upstream_serial);
	z->primary = (z->primary + 1) % (unsigned)z->conf->nupstream;
	z->primary_failed = true;
	zone_event(z, EV_FAILED);
}

/* The opening SOA of a complete difference is the transfer's. */
static bool ixfr_taken(struct transfer *t, const struct xfrin_result *r)
{
	struct rr soa;

	return r->result == 0 && ixfr_is_complete(t->ixfr) && ixfr_soa(t->ixfr, &soa) == 0 &&
	       transfer_take_soa(t, &soa) == 0;
}

/* It was no difference, or none that can be used, and that is not the line's doing. One with more octets than
 * the zone may have says nothing about the zone. */
static bool may_be_whole(const struct transfer *t, const struct xfrin_result *r)
{
	return t->ixfr && (!r->result || r->result == ZS_ELIMIT || r->try_axfr ||
			   ixfr_fault(t->ixfr) != IXFR_OK);
}

/* The same primary is asked for the whole zone, once; whether it is reachable shows there. */
static void ixfr_refused(struct zone *z, const struct xfrin_result *r)
{
	const char *why = ixfr_text(z->transfer->ixfr);

	if (!why[0])
		why = r->text[0] ? r->text : r->result ? zs_strerror(r->result) : "no difference came";
	log_limited(LL_INFO, "xfr-in", z->name, primary(z)->name, 4,
		    "event=ixfr-discarded from=%s: %s; asking for AXFR", z->transfer->from, why);
	atomic_fetch_add(&z->e->count.xfr[0][1][1], 1);
	transfer_free(z->transfer);
	z->transfer = NULL;
	z->want_axfr = true;
	zone_event(z, EV_REDO);
}

static void on_done(void *ctx, const struct xfrin_result *r)
{
	struct transfer *t = ctx;
	struct zone *z = t->zone;

	t->xfr = NULL;
	slot_give(z->e, &t->slot);
	if (z->transfer != t) { /* cancelled meanwhile */
		transfer_free(t);
		zone_job_end(z);
		return;
	}
	if (z->orders.hold) { /* ordered while it ran */
		zone_event(z, EV_HELD);
	} else if (t->ixfr && !r->result && r->kind == XFR_UPTODATE &&
		   r->soa.serial == z->meta.upstream_serial) {
		xfr_stale(z, r->soa.serial);
	} else if (may_be_whole(t, r) && !ixfr_taken(t, r)) {
		ixfr_refused(z, r);
	} else if (r->result || t->intake.discard || !t->have_soa) {
		xfr_failed(z, r, &t->intake);
	} else if (!is_newer(z, t->soa_fields.serial, t->forced)) {
		xfr_stale(z, t->soa_fields.serial);
	} else {
		atomic_fetch_add(&z->count.xfr_in_ok, 1);
		atomic_fetch_add(&z->e->count.xfr[0][t->ixfr != NULL][0], 1);
		z->want_axfr = false;
		log_msg(LL_INFO, "xfr-in", z->name,
			"event=received type=%s from=%s serial=%u records=%llu octets=%llu ms=%lld",
			t->ixfr ? "ixfr" : "axfr", t->from, t->soa_fields.serial,
			(unsigned long long)r->records, (unsigned long long)r->octets,
			(long long)(r->us / 1000));
		zone_event(z, EV_RECEIVED);
	}
	zone_job_end(z);
}

static const struct xfrin_ops xfr_ops = { .on_rr = on_rr, .done = on_done };

/* A difference can be used on a stored version that is shaped as the policy says. */
static bool asks_difference(const struct zone *z)
{
	return z->have_meta && z->version && z->meta.have_upstream && !z->force_transfer &&
	       !zone_wants_build(z) && !z->want_axfr && !z->compare &&
	       z->meta.is_signed == zone_is_signed_policy(z);
}

struct transfer *transfer_new(struct zone *z)
{
	struct transfer *t = calloc(1, sizeof(*t));
	enum intake_mode mode = z->conf->upstream_dnssec == UPDNSSEC_STRIP ? INTAKE_STRIP :
				z->conf->upstream_dnssec == UPDNSSEC_PASS ? INTAKE_PASS : INTAKE_REFUSE;

	if (!t)
		return NULL;
	t->zone = z;
	t->forced = z->force_transfer;
	t->scratch = wr_growing(RDATA_MAX + 512);
	intake_init(&t->intake, z->wire, mode);
	t->intake.keep_zonemd = z->conf->policy->unsigned_zone;
	t->intake.max_records = z->conf->max_records;
	t->intake.max_bytes = z->conf->max_bytes;
	t->intake.max_rrset = z->conf->max_rrset;
	/* what is stripped stays in the sort, beside what the limit is for;
	 * the octets of the transfer bound it, too */
	if (extsort_new(store_dir_tmp(z->e->dir), SORT_MEMORY,
			z->conf->max_bytes * (mode == INTAKE_STRIP ? 2 : 1), &t->sort) != 0) {
		transfer_free(t);
		return NULL;
	}
	if (asks_difference(z) && ixfr_new(z->wire, z->meta.upstream_serial, NULL, &t->ixfr) != 0) {
		transfer_free(t);
		return NULL;
	}
	return t;
}

void upstream_transfer(struct zone *z)
{
	struct net_remote from = remote_target(z->setup, primary(z), z->check_fails % primary(z)->naddr);
	struct xfrin_limits lim = { .connect_s = XFR_CONNECT_S,
				    .idle_s = XFR_IDLE_S,
				    .total_s = XFR_TOTAL_S,
				    .max_octets = z->conf->max_bytes };

	z->transfer = transfer_new(z);
	if (z->transfer) {
		z->transfer->slot = z->slot;
		z->slot = NULL;
		net_addr_text(&from.addr, z->transfer->from);
		z->transfer->xfr = xfrin_start(z->e->ev, z->e->workers, z->e->home, &from, z->wire,
					       z->transfer->ixfr ? z->meta.upstream_soa : NULL,
					       z->meta.upstream_soa_len, &lim, &xfr_ops, z->transfer);
	}
	if (!z->transfer || !z->transfer->xfr) {
		slot_give(z->e, z->transfer ? &z->transfer->slot : &z->slot);
		zone_alarm_set(z, ALARM_UPSTREAM, "transfer cannot be started: out of memory or disk");
		zone_event(z, EV_FAILED);
		return;
	}
	zone_job_begin(z);
}

static bool same_tsig(const struct conf_tsig *a, const struct conf_tsig *b)
{
	if (!a || !b)
		return a == b;
	return strcmp(a->name, b->name) == 0 && strcmp(a->algorithm, b->algorithm) == 0 &&
	       a->secret_len == b->secret_len && memcmp(a->secret, b->secret, a->secret_len) == 0;
}

static bool same_source(const struct conf_remote *a, const struct conf_remote *b)
{
	for (int i = 0; i < 2; i++) {
		char x[NET_ADDR_TEXT], y[NET_ADDR_TEXT];
		struct net_addr s = net_from_conf(&a->source[i]), t = net_from_conf(&b->source[i]);

		if (s.sa.sa_family != t.sa.sa_family)
			return false;
		if (s.sa.sa_family != AF_UNSPEC &&
		    strcmp(net_addr_text(&s, x), net_addr_text(&t, y)) != 0)
			return false;
	}
	return true;
}

/* Names of remotes do not count. */
bool upstream_is_same(const struct conf_zone *a, const struct conf_zone *b)
{
	if (a->nupstream != b->nupstream || held_conf(a) != held_conf(b))
		return false;
	for (size_t i = 0; i < a->nupstream; i++)
		if (!same_tsig(a->upstream[i]->tsig, b->upstream[i]->tsig) ||
		    !same_source(a->upstream[i], b->upstream[i]))
			return false;
	return true;
}

/* A running transfer is orphaned: its end frees it. */
void upstream_cancel(struct zone *z)
{
	dnsq_cancel(z->query);
	z->query = NULL;
	if (z->queued)
		dequeue(z);
	if (z->transfer && z->transfer->xfr) {
		struct xfrin *x = z->transfer->xfr;

		z->transfer = NULL;
		xfrin_cancel(x);
	}
}
