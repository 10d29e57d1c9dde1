/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The way back to writing after a commit that was not synced (store/renew.c): the store retires the live
 * generation, and a copy of what is served becomes the next one. Content, number and serial stay, so that
 * nothing goes out; whatever was due goes on by itself. Neither upstream nor a key store nor a hold has a say
 * in it. Called on the loop by zone_work_failed(), whoever it was that met ZS_EIO; the copy is one job on a
 * worker, and z->committing is set for it: versions wait, before it, too.
 *
 * A disk on which that fails is tried again, each time twice as long after the last one; so is one on which
 * the copy can be written, and no version after it. A value that is damaged is not carried over: damage.c.
 */
#include <stdlib.h>
#include <string.h>
#include "base/crc.h"
#include "base/err.h"
#include "base/log.h"
#include "dns/schema.h"
#include "faultmark.h"
#include "zone.h"

#define AGAIN_S 5 /* doubling */
#define AGAIN_MAX_S 600
#define VALUE_HEAD 5 /* u8 format, u32 CRC */

struct renew_job {
	struct zone *zone;
	struct store_copied copied;
	struct pub *pub;
	struct zmeta meta;
	int64_t earliest;
	mono_t began;
	int err;     /* of the copy */
	int pub_err; /* it is live, and cannot be read just now */
};

bool zone_is_retired(const struct zone *z)
{
	return z->renewal.wanted && z->renewal.generations == z->generations;
}

/* Checksums of stored values; what they cover differs from table to table. */
static int check(const struct kv_item *it)
{
	static const char keystate[] = "keystate";
	size_t klen = sizeof(keystate) - 1;
	uint8_t table = it->klen ? it->key[0] : 0;
	uint32_t crc = 0;

	if (it->vlen < VALUE_HEAD)
		return ZS_ECRC;
	if (table == TAB_HISTORY || table == TAB_USERDIFF)
		crc = crc32c(crc32c(0, it->val, 1), it->key, it->klen);
	else if (table == TAB_META && (it->klen != 1 + klen || memcmp(it->key + 1, keystate, klen) != 0))
		crc = crc32c(0, it->val, 1);
	crc = crc32c(crc, it->val + VALUE_HEAD, it->vlen - VALUE_HEAD);
	return crc == be32(it->val + 1) ? 0 : ZS_ECRC;
}

static int tick(void *arg)
{
	struct renew_job *j = arg;

	return atomic_load(&j->zone->renewal.cancelled) ? ZS_ECANCEL : 0;
}

static void renew_done(void *arg);

static void renew_run(void *arg)
{
	struct renew_job *j = arg;
	struct zone *z = j->zone;
	struct store_copy_opts o = { .tick = tick, .ctx = j, .check = check };

	fault_zone(z->wire);
	j->err = store_renew(z->store, &o, &j->copied);
	if (!j->err)
		j->pub = publish_prepare(z->store, z->wire, &j->meta, &j->earliest, &j->pub_err);
	mailbox_post(z->e->home, renew_done, j);
}

/* What failed for want of it is due at once. */
static void renewed(struct renew_job *j)
{
	struct zone *z = j->zone;

	log_msg(LL_NOTICE, "store", z->name, "event=renewed version=%llu items=%llu octets=%llu ms=%lld",
		(unsigned long long)j->copied.version, (unsigned long long)j->copied.items,
		(unsigned long long)j->copied.octets, (long long)(mono_diff(clk_mono(), j->began) / 1000));
	z->renewal.wanted = false;
	z->renewal.version = z->version;
	if (z->state == ZONE_CLOSED) {
		zone_dispose(z, (void (*)(void *))pub_unref, j->pub);
		return;
	}
	if (!z->damaged && !z->quarantined)
		zone_alarm_clear(z, ALARM_STORE);
	z->sign_fails = 0;
	if (j->pub)
		publish_swap(z, j->pub, &j->meta, j->earliest);
	else
		publish_again(z);
	if (z->local_fails && z->state == ZONE_IDLE)
		upstream_schedule(z, 0);
}

static void renew_timer(void *arg);

/* No generation is retired, another version was faster, or the value that stood in the way is reported. */
static void over(struct zone *z)
{
	z->renewal.wanted = false;
	z->renewal.tries = 0;
}

static void again(struct zone *z, int err)
{
	unsigned steps = z->renewal.tries ? z->renewal.tries - 1 : 0;
	int64_t wait = steps < 8 ? AGAIN_S << steps : AGAIN_MAX_S;

	if (wait > AGAIN_MAX_S)
		wait = AGAIN_MAX_S;
	if (err)
		zone_alarm_set(z, ALARM_STORE,
			       "the generation takes no version any more and cannot be copied yet: %s",
			       zs_strerror(err));
	timer_set(z->e->timers, &z->renewal.timer, MONO_S(wait), renew_timer, z);
}

static void renew_done(void *arg)
{
	struct renew_job *j = arg;
	struct zone *z = j->zone;

	if (!j->err)
		renewed(j);
	else if (z->state == ZONE_CLOSED || j->err == ZS_ENOENT || j->err == ZS_ESTALE)
		over(z);
	else if (damage_is(j->err) && !j->copied.target) {
		over(z);
		zone_damaged(z, j->err, "a renewal");
	} else {
		again(z, j->err);
	}
	free(j);
	version_committed(z);
	zone_job_end(z);
}

static void renew_timer(void *arg)
{
	struct zone *z = arg;
	struct renew_job *j;

	if (z->state == ZONE_CLOSED)
		return;
	if (!zone_is_retired(z) || z->damaged) { /* a build was faster, or must be */
		over(z);
		version_wake(z);
		return;
	}
	if (z->committing) { /* a publication, or the end of the commit that failed */
		timer_set(z->e->timers, &z->renewal.timer, MONO_MS(50), renew_timer, z);
		return;
	}
	j = calloc(1, sizeof(*j));
	if (j) {
		j->zone = z;
		j->began = clk_mono();
		j->err = ZS_ENOMEM;
	}
	z->renewal.tries++;
	z->committing = true;
	zone_job_begin(z);
	if (j && pool_post(z->e->workers, POOL_NORMAL, renew_run, j) == 0)
		return;
	free(j);
	again(z, ZS_ENOMEM);
	version_committed(z);
	zone_job_end(z);
}

void zone_renew(struct zone *z)
{
	struct zone_renewal *r = &z->renewal;

	if (zone_is_retired(z) || !z->store || !z->have_meta || z->damaged || z->state == ZONE_CLOSED)
		return;
	if (r->version != z->version) /* a version came since the last one: the disk can be written to */
		r->tries = 0;
	r->wanted = true;
	r->generations = z->generations;
	if (r->tries)
		again(z, 0);
	else
		timer_set(z->e->timers, &r->timer, 0, renew_timer, z);
}

void zone_renew_cancel(struct zone *z)
{
	atomic_store(&z->renewal.cancelled, true);
	timer_stop(z->e->timers, &z->renewal.timer);
}
