/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Publication: a worker reads the apex of a committed version into a struct pub, the loop swaps it in. From
 * that moment queries and transfers see the new version; NOTIFY follows because the commit is durable
 * already.
 */
#include <stdlib.h>
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "dns/schema.h"
#include "seal/denial.h"
#include "store/history.h"
#include "zone.h"

static int source_open(void *source, struct kv **out)
{
	return snap_kv(source, out);
}

#define DIFF_OCTETS_MAX (64ull << 20) /* of a difference out; larger ones are AXFR */

static int source_open_diff(void *source, uint32_t serial, struct diff **out)
{
	struct kv *kv = NULL;
	struct zmeta m;
	int err = snap_kv(source, &kv);

	if (!err)
		err = zmeta_get(kv, &m);
	if (!err)
		err = history_open(kv, serial, m.signed_serial, DIFF_OCTETS_MAX, out);
	if (err)
		kv_close(kv);
	return err;
}

static void source_release(void *source)
{
	snap_unref(source);
}

/* Stored values are borrowed from the map: what a pub keeps is its own copy. */
static int load_set(struct pub *p, uint16_t type, const uint8_t *owner, const struct kv_item *it,
		    struct rrset *out)
{
	const uint8_t *copy = arena_dup(p->mem, it->val, it->vlen);
	int err = copy ? rrset_decode(out, type, owner, copy, it->vlen, p->mem) : ZS_ENOMEM;

	/* a file of this format has values of this format: the octet that says otherwise is wrong */
	return err == ZS_EVERSION ? ZS_ECRC : err;
}

#define APEX_SETS_MAX 4096

/* SOA first, the others in type order. */
static int load_apex(struct pub *p, struct kv *kv, const uint8_t *okey, size_t klen)
{
	struct rrset *set = arena_zalloc(p->mem, sizeof(*set) * 64);
	size_t cap = 64, n = 1;
	uint8_t key[KEY_MAX];
	size_t plen = key_owner(key, okey, klen);
	struct kv_item it;
	int err;

	if (!set)
		return ZS_ENOMEM;
	for (err = kv_seek(kv, key, plen, &it); !err; err = kv_next(kv, &it)) {
		uint16_t type;

		if (it.klen != plen + 2 || memcmp(it.key, key, plen) != 0)
			break;
		type = be16(it.key + plen);
		if (n == cap) {
			struct rrset *more = n < APEX_SETS_MAX ? arena_zalloc(p->mem, sizeof(*set) * cap * 2)
							       : NULL;

			if (!more)
				return ZS_ENOMEM;
			memcpy(more, set, sizeof(*set) * n);
			set = more;
			cap *= 2;
		}
		err = load_set(p, type, p->zone, &it, type == T_SOA ? &set[0] : &set[n++]);
		if (err)
			return err;
	}
	if (err && err != ZS_ENOENT)
		return err;
	p->set = set;
	p->nset = n;
	return set[0].nrr == 1 ? 0 : ZS_EFORMAT;
}

static int load_denial(struct pub *p, struct kv *kv, const struct zmeta *m, const uint8_t *okey, size_t klen)
{
	struct denial_params dp = { .kind = (enum denial)m->denial,
				    .set = m->nsec3_set,
				    .iterations = m->nsec3_iterations,
				    .salt_len = m->salt_len,
				    .zone = p->zone };
	struct rrset *set = arena_zalloc(p->mem, sizeof(*set));
	uint8_t key[KEY_MAX], hash[NSEC3_HASH_LEN], *owner = arena_alloc(p->mem, NAME_MAX_WIRE);
	size_t len = key_nsec(key, okey, klen);
	uint16_t type = T_NSEC;
	struct kv_item it;
	int err = set && owner ? 0 : ZS_ENOMEM;

	if (!err && m->denial == DENIAL_NSEC3) {
		struct nsec3_ctx *c = nsec3_ctx_new();

		memcpy(dp.salt, m->salt, m->salt_len);
		err = c ? nsec3_hash(c, &dp, p->zone, hash) : ZS_ENOMEM;
		nsec3_ctx_free(c);
		if (!err)
			err = nsec3_owner(hash, p->zone, owner);
		len = key_nsec3(key, m->nsec3_set, hash);
		type = T_NSEC3;
	} else if (!err) {
		memcpy(owner, p->zone, name_len(p->zone));
	}
	if (!err)
		err = kv_get(kv, key, len, &it);
	if (!err)
		err = load_set(p, type, owner, &it, set);
	if (!err)
		p->denial = set;
	return err;
}

/* The first entry of the expiry index is the earliest signature end. */
static int64_t first_expiry(struct kv *kv)
{
	uint8_t key[KEY_MAX];
	struct kv_item it;
	size_t n = key_expiry(key, 0, 0);

	if (kv_seek(kv, key, n, &it) != 0 || it.klen != n || it.key[0] != TAB_EXPIRY)
		return INT64_MAX;
	return (int64_t)be64(it.key + 1);
}

/* --- the newest steps, for UDP -------------------------------------------------------------------------- */

#define STEP_OCTETS 4096 /* more fits no UDP message of ours */
#define STEPS_MAX 16

struct steps { struct history_head head[STEPS_MAX]; size_t n; uint64_t octets; };

static int note_step(void *ctx, const struct history_head *h)
{
	struct steps *s = ctx;

	s->octets += h->octets;
	if (s->n == STEPS_MAX || s->octets > STEP_OCTETS)
		return ZS_EFULL;
	s->head[s->n++] = *h;
	return 0;
}

static int copy_step(struct pub *p, struct diff *d, struct pub_step *step)
{
	size_t most = d->removed + d->added, n = 0;
	struct rr *rr = arena_zalloc(p->mem, most * sizeof(*rr) + 1), one;
	bool added;
	int err = rr ? 0 : ZS_ENOMEM;

	while (!err && !(err = diff_next(d, &one, &added))) {
		if (n == most)
			return ZS_EFORMAT;
		rr[n] = one;
		rr[n].owner = arena_dup(p->mem, one.owner, name_len(one.owner));
		rr[n].rdata = arena_dup(p->mem, one.rdata, one.rdlen);
		if (!rr[n].owner || !rr[n].rdata)
			return ZS_ENOMEM;
		step->nadded += added;
		step->nremoved += !added;
		n++;
	}
	step->rr = rr;
	return err == ZS_ENOENT ? 0 : err;
}

/* Without them UDP gets one SOA: what cannot be read is not worth failing for. */
static void load_steps(struct pub *p, struct kv *kv, struct snap *snap)
{
	struct steps s = { .n = 0 };
	struct pub_step *step;
	int err = history_each(kv, HISTORY_SERVED, true, note_step, &s);

	if ((err && err != ZS_EFULL) || !s.n || !(step = arena_zalloc(p->mem, s.n * sizeof(*step))))
		return;
	for (size_t i = 0; i < s.n; i++) {
		const struct history_head *h = &s.head[s.n - 1 - i];
		struct kv *own = NULL;
		struct diff *d = NULL;

		step[i].from = h->from_serial;
		step[i].to = h->to_serial;
		if (snap_kv(snap, &own) != 0)
			return;
		if (history_open(own, h->from_serial, h->to_serial, STEP_OCTETS, &d) != 0) {
			kv_close(own);
			return;
		}
		err = copy_step(p, d, &step[i]);
		diff_close(d);
		if (err)
			return;
	}
	if (s.head[0].to_serial != p->serial)
		return;
	p->step = step;
	p->nstep = s.n;
}

struct pub *publish_prepare(struct store *s, const uint8_t *zone, struct zmeta *meta, int64_t *earliest,
			    int *err)
{
	struct pub *p = pub_new();
	struct snap *snap = NULL;
	struct kv *kv = NULL;
	uint8_t okey[OKEY_MAX];
	size_t klen = name_okey(zone, okey);
	struct soa soa;

	*err = p ? store_snap(s, &snap) : ZS_ENOMEM;
	if (!*err) {
		p->source = snap; /* the reference is the pub's from here on */
		p->open = source_open;
		p->open_diff = source_open_diff;
		p->release = source_release;
		p->version = snap_version(snap);
		p->zone = arena_dup(p->mem, zone, name_len(zone));
		*err = p->zone ? snap_kv(snap, &kv) : ZS_ENOMEM;
	}
	if (!*err)
		*err = zmeta_get(kv, meta);
	if (!*err)
		*err = load_apex(p, kv, okey, klen);
	if (!*err && meta->is_signed)
		*err = load_denial(p, kv, meta, okey, klen);
	if (!*err)
		*err = soa_read(p->set[0].rr[0].data, p->set[0].rr[0].len, &soa);
	if (!*err) {
		p->serial = soa.serial;
		p->soa_expire = soa.expire;
		p->is_signed = meta->is_signed;
		p->earliest_expiry = *earliest = meta->is_signed ? first_expiry(kv) : INT64_MAX;
		p->store_octets = store_bytes(s);
		p->rrs_estimate = meta->records + meta->signatures;
		load_steps(p, kv, snap);
	}
	kv_close(kv);
	if (*err == ZS_ENOENT && snap) /* META, or the apex's denial record: every version has them */
		*err = ZS_ECRC;
	if (*err) {
		pub_unref(p);
		p = NULL;
	}
	return p;
}

void publish_swap(struct zone *z, struct pub *pub, const struct zmeta *meta, int64_t earliest)
{
	struct pub *old = z->net.pub; /* its end may unmap and remove a generation */
	int64_t checked = z->meta.upstream_checked;

	z->net.pub = pub;
	zone_dispose(z, (void (*)(void *))pub_unref, old);
	z->meta = *meta;
	z->stored_checked = meta->upstream_checked;
	if (z->meta.upstream_checked < checked)
		z->meta.upstream_checked = checked;
	z->have_meta = true;
	if (atomic_load(&z->next_seq) < meta->next_seq)
		atomic_store(&z->next_seq, meta->next_seq);
	z->earliest_expiry = earliest;
	downstream_raise_floor(z, pub->serial, NULL);
	orders_published(z, pub->serial);
	version_schedule(z);
	publish_sample(z);
	sweep_plan(z);
	fold_plan(z);
	warm_plan(z);
}

void publish_count_commit(struct engine *e, int64_t us)
{
	unsigned i = 0;

	while (i < VCLIENT_BUCKETS - 1 && (double)us / 1e6 > vclient_bucket_bounds[i])
		i++;
	atomic_fetch_add(&e->count.commit_bucket[i], 1);
	atomic_fetch_add(&e->count.commits, 1);
	atomic_fetch_add(&e->count.commit_us, (unsigned long long)us);
}

struct again_job { struct zone *zone; struct pub *pub; struct zmeta meta; int64_t earliest; int err; };

static void again_timer(void *arg)
{
	publish_again(arg);
}

static void again_done(void *arg)
{
	struct again_job *j = arg;
	struct zone *z = j->zone;

	if (z->state == ZONE_CLOSED) {
		zone_dispose(z, (void (*)(void *))pub_unref, j->pub);
	} else if (damage_is(j->err)) {
		zone_damaged(z, j->err, "reading what was committed");
	} else if (j->err) {
		zone_alarm_set(z, ALARM_STORE, "the committed version cannot be read: %s",
			       zs_strerror(j->err));
		timer_set(z->e->timers, &z->retry_timer, MONO_S(5), again_timer, z);
	} else {
		publish_swap(z, j->pub, &j->meta, j->earliest);
		if (!z->damaged)
			zone_alarm_clear(z, ALARM_STORE);
		downstream_notify(z, true);
	}
	free(j);
	zone_job_end(z);
}

static void again_run(void *arg)
{
	struct again_job *j = arg;

	j->pub = publish_prepare(j->zone->store, j->zone->wire, &j->meta, &j->earliest, &j->err);
	mailbox_post(j->zone->e->home, again_done, j);
}

void publish_again(struct zone *z)
{
	struct again_job *j = calloc(1, sizeof(*j));

	if (j)
		j->zone = z;
	zone_job_begin(z);
	if (!j || pool_post(z->e->workers, POOL_URGENT, again_run, j) != 0) {
		free(j);
		timer_set(z->e->timers, &z->retry_timer, MONO_S(5), again_timer, z);
		zone_job_end(z);
	}
}

/* --- what old snapshots pin ----------------------------------------------------------------------------- */

struct sample_job { struct zone *zone; uint64_t limit; struct store_pins pins; int err; };

/* Exports ask for z->given_up themselves. */
static void give_up(struct zone *z, const struct sample_job *j)
{
	if (j->pins.past > z->given_up) {
		z->given_up = j->pins.past;
		log_msg(LL_WARN, "snapshot", z->name,
			"event=given-up pinned=%llu: transfers of old versions are cut",
			(unsigned long long)j->pins.octets);
	}
	server_give_up(z->e->server, z->wire, j->pins.past);
}

static void sample_done(void *arg)
{
	struct sample_job *j = arg;
	struct zone *z = j->zone;
	bool again = z->sample_again;

	z->sampling = z->sample_again = false;
	if (!j->err) {
		z->pinned = j->pins.octets;
		if (j->pins.past)
			give_up(z, j);
	}
	free(j);
	if (again)
		publish_sample(z);
	zone_job_end(z);
}

static void sample_run(void *arg)
{
	struct sample_job *j = arg;

	j->err = store_pinned(j->zone->store, j->limit, &j->pins);
	mailbox_post(j->zone->e->home, sample_done, j);
}

void publish_sample(struct zone *z)
{
	struct sample_job *j;

	z->sample_again = z->sampling;
	if (!z->net.pub || z->sampling || z->closing || z->state == ZONE_CLOSED)
		return;
	j = calloc(1, sizeof(*j));
	if (!j)
		return;
	j->zone = z;
	j->limit = z->e->setup->conf->snapshot_growth;
	z->sampling = true;
	zone_job_begin(z);
	if (pool_post(z->e->workers, POOL_LOW, sample_run, j) == 0)
		return;
	z->sampling = false;
	free(j);
	zone_job_end(z);
}
