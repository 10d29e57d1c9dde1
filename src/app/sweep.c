/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The sweep over what is published, for each signed zone: a round passes all of RECORDS, DENIAL and EXPIRY
 * through the gate in pieces, as if each of their keys had just been changed, and every signature is verified
 * whatever the policy's sampling. A bad record that was taken over from version to version cannot live on.
 *
 * Cost: one piece at a time in the whole engine, at the lowest priority, after which the engine pauses for 49
 * times the processor time that it took. A round takes a day, or an eighth of the validity where that is
 * less. A piece reads the published version of its moment and gives it back; the next one goes on behind the
 * last key in whatever version is published by then.
 *
 * What is found is logged with what is stored and raises the alarm: RRsets with bad signatures are signed
 * anew at once in a routine version (routine.c), and upstream's whole zone is taken and compared, because
 * good data that was changed under a right checksum looks the same; a damaged value goes the way of damage.c,
 * and anything else is healed by a rebuild, each twice as long after the one before. All of it on the loop,
 * but piece().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "base/err.h"
#include "base/log.h"
#include "base/rand.h"
#include "base/text.h"
#include "faultmark.h"
#include "version.h"

#define PERIOD_MAX_S 86400
#define VALIDITY_PART 8        /* a round is to be over within a quarter of the validity, with room */
#define PIECE_KEYS 128
#define PIECE_OCTETS (4u << 20)
#define REST 49                /* pause for each processor second of work: 2 % of one core */
#define INTERVAL_MIN_US 20000
#define DUE_MAX 1024           /* more bad RRsets than that are a case for a rebuild */
#define TOLD_MAX 8             /* findings of a piece that are explained */
#define AGAIN_MAX 3            /* a piece whose version was replaced meanwhile */
#define REBUILD_S 3600         /* first distance between two rebuilds, doubling */
#define REBUILD_STEPS 6

struct told { char text[900]; };

struct piece {
	struct zone *zone;
	struct engine *e;
	struct pub *pub;
	struct keyset keys;
	struct gating gating;
	struct gate *gate;
	struct sweep_key at;           /* begins here; then where the next one begins */
	bool over;                     /* the end of the tables was reached */
	struct kv *kv;                 /* of the iteration */
	bool moved;                    /* it stands at an item */
	size_t keys_seen, octets;
	struct told told[TOLD_MAX];
	int64_t cpu_us;
	int err;
};

/* --- a piece, on a worker ------------------------------------------------------------------------------- */

/* gate_change() asks for the next key: that one, and where to go on. */
static int next_key(void *ctx, const uint8_t **key, size_t *klen)
{
	struct piece *p = ctx;
	struct kv_item it;
	int err = p->moved ? kv_next(p->kv, &it) : kv_seek(p->kv, p->at.key, p->at.len, &it);

	p->moved = true;
	if (err == ZS_ENOENT || (!err && it.key[0] > TAB_EXPIRY)) {
		p->over = true;
		return ZS_ENOENT;
	}
	if (err)
		return err;
	if (it.klen > sizeof(p->at.key))
		return ZS_EFORMAT;
	p->at.len = it.klen;
	memcpy(p->at.key, it.key, it.klen);
	if (p->keys_seen == PIECE_KEYS || p->octets > PIECE_OCTETS)
		return ZS_ENOENT;
	p->keys_seen++;
	p->octets += it.vlen;
	*key = p->at.key;
	*klen = p->at.len;
	return 0;
}

static int open_base(void *ctx, struct kv **out)
{
	struct piece *p = ctx;

	return p->pub->open(p->pub->source, out);
}

/* "; stored: ..." of the signature by that key, or of the RRset. */
static void tell_stored(struct piece *p, struct kv *kv, const struct gate_finding *f, struct told *t,
			struct arena *mem)
{
	uint16_t tag = be16(f->key_id_hint);
	size_t n = strlen(t->text);
	struct rrset set;
	int err = version_load(kv, p->gating.zone, f->key, f->key_len, mem, &set);

	if (err) {
		snprintf(t->text + n, sizeof(t->text) - n, "; stored: %s", zs_strerror(err));
		return;
	}
	n += (size_t)snprintf(t->text + n, sizeof(t->text) - n,
			      "; session unknown, an earlier version has it; stored: %u records, TTL %u, %u "
			      "signatures",
			      set.nrr, set.ttl, set.nsig);
	for (unsigned i = 0; i < set.nsig; i++) {
		const uint8_t *s = set.sig[i].data;
		size_t len = set.sig[i].len, head = len > 18 ? 18 + name_len(s + 18) : len;
		char *b64 = len > head ? arena_alloc(mem, TEXT_B64_LEN(len - head)) : NULL;

		if (!b64 || be16(s + 16) != tag || s[2] != f->key_id_hint[2])
			continue;
		snprintf(t->text + n, sizeof(t->text) - n,
			 ", this one for %u with inception %u, expiration %u: %s", be16(s), be32(s + 12),
			 be32(s + 8), text_b64(b64, s + head, len - head));
		return;
	}
}

static void tell(struct piece *p)
{
	const struct gate_finding *f;
	size_t n = gate_findings(p->gate, &f);
	struct arena *mem = n ? arena_new(0) : NULL;
	struct kv *kv = NULL;

	if (mem && open_base(p, &kv) == 0)
		for (size_t i = 0; i < n && i < TOLD_MAX; i++) {
			snprintf(p->told[i].text, sizeof(p->told[i].text), "%s", f[i].text);
			if (f[i].check != GATE_STORED && f[i].type)
				tell_stored(p, kv, &f[i], &p->told[i], mem);
		}
	kv_close(kv);
	arena_free(mem);
}

static int64_t thread_us(void)
{
	struct timespec t;

	/* what this thread cost, no time of day */
	return clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) == 0 ? t.tv_sec * 1000000 + t.tv_nsec / 1000 : 0;
}

static void piece_done(void *arg);

static void piece(void *arg)
{
	struct piece *p = arg;
	int64_t began = thread_us();
	struct kv *kv = NULL;

	fault_zone(p->gating.zone);
	p->err = open_base(p, &p->kv);
	if (!p->err)
		p->err = open_base(p, &kv);
	if (!p->err && !(p->gate = gate_new(&p->gating.p)))
		p->err = ZS_ENOMEM;
	if (!p->err)
		p->err = gate_change(p->gate, kv, next_key, p);
	kv_close(p->kv);
	kv_close(kv);
	if (!p->err)
		tell(p);
	p->cpu_us = thread_us() - began;
	mailbox_post(p->e->home, piece_done, p);
}

static void piece_free(void *arg)
{
	struct piece *p = arg;

	gate_free(p->gate);
	pub_unref(p->pub); /* it may be the last one: not on the loop */
	free(p);
}

/* --- what was found ------------------------------------------------------------------------------------- */

/* Does signing the RRset anew heal it? */
static bool heals_by_signing(enum gate_check c)
{
	switch (c) {
	case GATE_BAD_SIG:
	case GATE_UNKNOWN_KEY:
	case GATE_SIGNER:
	case GATE_LABELS:
	case GATE_SIG_TTL:
	case GATE_COVERED:
	case GATE_TIMES:
	case GATE_DUPLICATE_SIG:
		return true;
	default:
		return false;
	}
}

static bool is_due(const struct sweep *s, const uint8_t *key, size_t len)
{
	for (size_t i = 0; i < s->ndue; i++)
		if (s->due[i].len == len && memcmp(s->due[i].key, key, len) == 0)
			return true;
	return false;
}

static bool add_due(struct sweep *s, const struct gate_finding *f)
{
	if (is_due(s, f->key, f->key_len))
		return true;
	if (s->ndue == DUE_MAX)
		return false;
	if (s->ndue == s->due_cap) {
		size_t cap = s->due_cap ? s->due_cap * 2 : 8;
		struct sweep_key *more = realloc(s->due, cap * sizeof(*more));

		if (!more)
			return false;
		s->due = more;
		s->due_cap = cap;
	}
	memcpy(s->due[s->ndue].key, f->key, f->key_len);
	s->due[s->ndue++].len = f->key_len;
	return true;
}

/* What costs a whole transfer is asked for twice as long after the last time, until a round was clean. */
static bool may_ask(struct sweep_pause *p)
{
	mono_t now = clk_mono();

	if (p->after.us && mono_diff(p->after, now) > 0)
		return false;
	p->after = mono_add(now, MONO_S((int64_t)REBUILD_S << p->streak));
	p->streak += p->streak < REBUILD_STEPS;
	return true;
}

static void rebuild(struct zone *z)
{
	z->sweep.trouble = true;
	if (z->rebuild || z->next || !may_ask(&z->sweep.rebuilds))
		return;
	z->rebuild = true;
	log_msg(LL_NOTICE, "sweep", z->name, "event=rebuild: the zone is built anew from upstream");
	upstream_schedule(z, 0);
}

bool sweep_doubts(const struct zone *z)
{
	return z->sweep.ndue || z->sweep.trouble || z->sweep.doubt;
}

static void healed(struct zone *z)
{
	struct sweep *s = &z->sweep;

	if (!s->ndue && !s->trouble && !s->doubt && !z->compare)
		zone_alarm_clear(z, ALARM_SWEEP);
}

/* A rebuild takes upstream's content anyway. */
static void settle_doubt(struct zone *z)
{
	struct sweep *s = &z->sweep;

	s->doubt &= !z->rebuild;
	if (!s->doubt || z->compare || !may_ask(&s->compares))
		return;
	s->doubt = false;
	z->compare = true;
	log_msg(LL_NOTICE, "sweep", z->name,
		"event=compare: upstream's zone is taken and compared with what is stored");
	upstream_schedule(z, 0);
}

void sweep_compare(struct zone *z)
{
	z->sweep.doubt = true;
	settle_doubt(z);
}

void sweep_compared(struct zone *z, const char *difference)
{
	uint32_t serial = z->meta.upstream_serial;

	z->compare = false;
	if (difference) {
		log_msg(LL_ERR, "sweep", z->name,
			"event=differed serial=%u: the stored content was not upstream's: %s", serial,
			difference);
		z->sweep.trouble = true; /* the alarm stays until a round was clean */
		zone_alarm_set(z, ALARM_SWEEP,
			       "the stored content was not upstream's of serial %u, and is corrected: %s",
			       serial, difference);
	} else {
		log_msg(LL_NOTICE, "sweep", z->name,
			"event=compared serial=%u: the stored content is upstream's", serial);
	}
	healed(z);
}

void sweep_taken(struct zone *z)
{
	z->compare = z->sweep.doubt = false;
	healed(z);
}

/* Is it possible that not the signature is bad, but what it signs? Chains are judged by what they prove. */
static bool doubts_content(const struct gate_finding *f)
{
	return f->key[0] == TAB_RECORDS && (f->check == GATE_BAD_SIG || f->check == GATE_SIG_TTL);
}

/* Signatures first: what they heal is no reason to rebuild. */
static bool sort_out(struct zone *z, const struct gate_finding *f, size_t n)
{
	bool more = false;

	for (size_t i = 0; i < n; i++)
		if (heals_by_signing(f[i].check)) {
			more |= !add_due(&z->sweep, &f[i]);
			z->sweep.doubt |= doubts_content(&f[i]);
		}
	for (size_t i = 0; i < n; i++)
		if (f[i].check != GATE_STORED && !heals_by_signing(f[i].check))
			more |= !is_due(&z->sweep, f[i].key, f[i].key_len) ||
				(f[i].check != GATE_MISSING_SIG && f[i].check != GATE_MISSING_ALG &&
				 f[i].check != GATE_ROLE);
	return more;
}

static void found(struct piece *p)
{
	struct zone *z = p->zone;
	struct sweep *s = &z->sweep;
	const struct gate_finding *f;
	size_t n = gate_findings(p->gate, &f);
	char text[400];
	bool more;

	for (size_t i = 0; i < n && i < TOLD_MAX; i++)
		log_limited(LL_ERR, "sweep", z->name, gate_check_label(f[i].check), 20,
			    "event=finding check=%s serial=%u: %s", gate_check_label(f[i].check),
			    p->pub->serial, p->told[i].text[0] ? p->told[i].text : f[i].text);
	s->found += gate_total(p->gate);
	atomic_fetch_add(&s->findings, gate_total(p->gate));
	s->last_at = clk_wall().s;
	snprintf(s->last, sizeof(s->last), "%s: %.250s", gate_check_label(f[0].check), f[0].text);
	gating_describe(p->gate, text, sizeof(text));
	more = gate_total(p->gate) > n || sort_out(z, f, n);
	zone_alarm_set(z, ALARM_SWEEP, "the published version has what must not be: %s%s", text,
		       more		 ? "; built anew from upstream"
		       : z->sweep.doubt ? "; signed anew, and compared with upstream"
					: "; signed anew");
	if (gate_count(p->gate, GATE_STORED))
		zone_damaged(z, ZS_ECRC, "the sweep");
	if (more)
		rebuild(z);
	if (s->ndue)
		version_schedule(z);
	settle_doubt(z);
}

void sweep_resigned(struct zone *z, const struct sweep_key *key, size_t n)
{
	struct sweep *s = &z->sweep;

	for (size_t k = 0; k < n; k++)
		for (size_t i = 0; i < s->ndue; i++) {
			if (s->due[i].len != key[k].len ||
			    memcmp(s->due[i].key, key[k].key, key[k].len) != 0)
				continue;
			s->due[i] = s->due[--s->ndue];
			break;
		}
	if (n)
		log_msg(LL_NOTICE, "sweep", z->name, "event=resigned rrsets=%zu left=%zu", n, s->ndue);
	healed(z);
}

void sweep_generation(struct zone *z)
{
	z->sweep.trouble = false;
	z->sweep.ndue = 0;
	healed(z);
}

/* --- when ----------------------------------------------------------------------------------------------- */

static int64_t period_s(const struct zone *z)
{
	int64_t part = z->conf->policy->validity / VALIDITY_PART;

	return part < PERIOD_MAX_S ? part : PERIOD_MAX_S;
}

/* Keys of a round: as many as last time, or a guess. */
static uint64_t round_keys(const struct zone *z)
{
	return z->sweep.last_keys ? z->sweep.last_keys : z->meta.rrsets * 3 + 64;
}

unsigned sweep_progress(const struct zone *z)
{
	uint64_t all = round_keys(z), part = z->sweep.keys * 100 / all;

	return part < 99 ? (unsigned)part : 99;
}

static int64_t interval_us(const struct zone *z)
{
	uint64_t pieces = round_keys(z) / PIECE_KEYS + 1;
	int64_t us = MONO_S(period_s(z)) / (int64_t)pieces;

	return us > INTERVAL_MIN_US ? us : INTERVAL_MIN_US;
}

static bool may_sweep(const struct zone *z)
{
	return z->state != ZONE_CLOSED && !z->quarantined && z->have_meta && z->net.pub &&
	       z->net.pub->is_signed;
}

static void sweeper_next(struct engine *e);

static void sweeper_timer(void *arg)
{
	sweeper_next(arg);
}

static void sweep_timer(void *arg)
{
	struct zone *z = arg;

	turns_join(&z->e->sweeper.turns, &z->sweep.turn, z);
	sweeper_next(z->e);
}

void sweep_plan(struct zone *z)
{
	struct sweep *s = &z->sweep;
	uint64_t r = 0;

	if (s->timer.slot || s->turn.zone || s->running || !may_sweep(z))
		return;
	rand_bytes(&r, sizeof(r));
	timer_set(z->e->timers, &s->timer, (int64_t)(r % (uint64_t)interval_us(z)), sweep_timer, z);
}

void sweep_close(struct zone *z)
{
	timer_stop(z->e->timers, &z->sweep.timer);
	turns_leave(&z->e->sweeper.turns, &z->sweep.turn);
	free(z->sweep.due);
	z->sweep.due = NULL;
	z->sweep.ndue = z->sweep.due_cap = 0;
}

static void round_end(struct zone *z)
{
	struct sweep *s = &z->sweep;

	log_msg(LL_INFO, "sweep", z->name, "event=round values=%llu findings=%llu",
		(unsigned long long)s->keys, (unsigned long long)s->found);
	s->ended_wall = clk_wall().s;
	s->last_keys = s->keys ? s->keys : 1;
	s->keys = 0;
	s->at.len = 0;
	if (!s->found && !z->rebuild && !z->reshape) {
		s->trouble = false;
		s->rebuilds.streak = s->compares.streak = 0;
		healed(z);
	}
}

/* The piece is judged; the next one waits. */
static void advance(struct piece *p)
{
	struct zone *z = p->zone;
	struct sweep *s = &z->sweep;
	bool found_any = !p->err && gate_total(p->gate) > 0;
	int64_t wait = interval_us(z);

	if (damage_is(p->err)) {
		zone_damaged(z, p->err, "the sweep");
	} else if (p->err || (found_any && p->pub != z->net.pub && s->again++ < AGAIN_MAX)) {
		/* once more: nothing was read, or what was read is not what is published any more */
		if (p->err && p->err != ZS_EAGAIN)
			log_limited(LL_WARN, "sweep", z->name, "piece", 4, "a piece cannot be read: %s",
				    zs_strerror(p->err));
		timer_set(z->e->timers, &s->timer, MONO_S(p->err ? 30 : 1), sweep_timer, z);
		return;
	} else if (found_any) {
		found(p);
	}
	settle_doubt(z);
	s->again = 0;
	s->keys += p->keys_seen;
	atomic_fetch_add(&s->values, p->keys_seen);
	s->at = p->at;
	if (p->over || damage_is(p->err)) {
		round_end(z);
		wait = MONO_S(period_s(z)) - mono_diff(clk_mono(), s->began);
	}
	timer_set(z->e->timers, &s->timer, wait > INTERVAL_MIN_US ? wait : INTERVAL_MIN_US, sweep_timer, z);
}

static void piece_done(void *arg)
{
	struct piece *p = arg;
	struct zone *z = p->zone;
	struct engine *e = p->e;

	e->sweeper.running = z->sweep.running = false;
	e->sweeper.free_at = mono_add(clk_mono(), p->cpu_us * REST);
	if (z->state != ZONE_CLOSED)
		advance(p);
	zone_dispose(z, piece_free, p);
	if (!e->quitting)
		sweeper_next(e);
	zone_job_end(z);
}

static void piece_start(struct zone *z)
{
	static const uint8_t first = TAB_RECORDS;
	struct sweep *s = &z->sweep;
	struct piece *p = calloc(1, sizeof(*p));

	if (!s->at.len) { /* a round begins */
		s->at.key[0] = first;
		s->at.len = 1;
		s->began = clk_mono();
		s->began_wall = clk_wall().s;
		s->found = 0;
	}
	if (p) {
		p->zone = z;
		p->e = z->e;
		p->at = s->at;
		p->keys = z->keys;
		p->pub = pub_ref(z->net.pub);
		gating_stored(&p->gating, z, &p->keys, z->conf->policy, clk_wall());
		p->gating.p.one_in = 1;
		p->gating.p.tables = NULL; /* a second look shall be by other means */
		p->gating.p.min_left = 0; /* that none comes too close to its end is what refreshes are for */
		p->gating.p.open_base = open_base;
		p->gating.p.base_ctx = p;
		z->e->sweeper.running = s->running = true;
		zone_job_begin(z);
		if (pool_post(z->e->workers, POOL_LOW, piece, p) == 0)
			return;
		z->e->sweeper.running = s->running = false;
		z->jobs--;
		piece_free(p);
	}
	timer_set(z->e->timers, &s->timer, MONO_S(60), sweep_timer, z);
}

static void sweeper_next(struct engine *e)
{
	struct sweeper *w = &e->sweeper;

	while (w->turns.first && !w->running && !e->quitting) {
		int64_t pause = mono_diff(w->free_at, clk_mono());
		struct zone *z;

		if (pause > 0) {
			if (!w->timer.slot)
				timer_set(e->timers, &w->timer, pause, sweeper_timer, e);
			return;
		}
		z = turns_take(&w->turns);
		if (!may_sweep(z)) /* planned again when something is published */
			continue;
		if (engine_clock_fault(e, z->meta.last_inception)) /* times say nothing now */
			timer_set(e->timers, &z->sweep.timer, MONO_S(600), sweep_timer, z);
		else
			piece_start(z);
	}
}
