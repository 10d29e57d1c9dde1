/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The pipeline of a build: groups are filled from the current source, sent to the vault, and appended
 * strictly in order when they come back. At most PIPE_GROUPS are alive, so memory is bounded whatever the key
 * store's speed. One worker at a time advances it (running); whoever finds it running leaves a mark (again).
 * A build that waits holds no thread.
 */
#include <string.h>
#include "base/err.h"
#include "base/log.h"
#include "faultmark.h"
#include "build.h"

#define PIPE_GROUPS 12

void build_kick(struct build_job *b)
{
	bool post;

	pthread_mutex_lock(&b->lock);
	post = !b->running && !b->over;
	b->again = b->running;
	b->running |= post;
	pthread_mutex_unlock(&b->lock);
	if (post && pool_post(b->e->workers, POOL_NORMAL, build_advance, b) != 0)
		build_advance(b);
}

/* On a worker. State and kick under one lock: a job ends only inside build_advance(). */
static void group_back(struct signing *g, void *arg)
{
	struct build_job *b = arg;

	bool post;

	pthread_mutex_lock(&b->lock);
	g->state = GROUP_BACK;
	b->inflight--;
	post = !b->running;
	b->running = true;
	b->again = !post;
	pthread_mutex_unlock(&b->lock); /* when another worker is running, b may be gone from here on */
	if (post && pool_post(b->e->workers, POOL_NORMAL, build_advance, b) != 0)
		build_advance(b);
}

static int group_state(struct build_job *b, const struct signing *g)
{
	int s;

	pthread_mutex_lock(&b->lock);
	s = g->state;
	pthread_mutex_unlock(&b->lock);
	return s;
}

/* --- writing -------------------------------------------------------------------------------------------- */

static int write_item(struct build_job *b, struct signing_item *it, struct wr *w)
{
	uint8_t xkey[KEY_MAX];
	int err = build_append(b->out, it->key, it->klen, it->val, it->vlen);

	b->written += it->set.nsig;
	atomic_fetch_add_explicit(&b->progress, 1, memory_order_relaxed);
	if (err || !it->set.nsig)
		return err;
	w->len = 0;
	expiry_value(w, it->key, it->klen);
	if (w->err)
		return w->err;
	return extsort_add(b->expiry, xkey, key_expiry(xkey, it->set.exp_time, it->set.exp_seq), w->p,
			   w->len);
}

static int write_group(struct build_job *b, struct signing *g)
{
	struct wr w = wr_growing(TBS_MAX * 2);
	/* What did verify is kept for the next try (as donor), however much of the group did not: with one
	 * bad member among several HSMs every try then gets closer. */
	bool bad = g->err == ZS_EBADSIG && b->stage != STAGE_SOA;
	int err = bad ? 0 : g->err;

	b->bad_signatures |= bad;

	for (struct signing_item *it = g->head; !err && it; it = it->next) {
		int64_t inception = it->set.nsig ? sign_latest_inception(it->set.sig, it->set.nsig, b->now.s)
						 : 0;

		if (inception > b->meta.last_inception)
			b->meta.last_inception = inception;
		err = b->stage == STAGE_SOA || !it->val ? 0 : write_item(b, it, &w);
	}
	if (!err && b->stage == STAGE_SOA)
		err = build_soa_write(b, g);
	wr_free(&w);
	for (int i = 0; i < SIGN_REASONS; i++)
		b->made[i] += g->made[i];
	b->kept += g->kept;
	b->bad += g->bad;
	b->doubted |= g->spoilt > 0;
	return err;
}

static void drop_head(struct build_job *b)
{
	struct signing *g = b->head;

	b->head = g->link;
	if (!b->head)
		b->tail = &b->head;
	b->ngroups--;
	signing_free(g);
}

/* Appends what has come back, in order. */
static int drain(struct build_job *b)
{
	while (b->head && group_state(b, b->head) == GROUP_BACK) {
		int err = write_group(b, b->head);

		if (err)
			return err;
		drop_head(b);
	}
	return 0;
}

/* --- filling -------------------------------------------------------------------------------------------- */

static int fill_group(struct build_job *b, struct signing *g)
{
	switch (b->stage) {
	case STAGE_RECORDS:
		return build_input_group(b, g);
	case STAGE_DENIAL:
		return build_chain_group(b, g);
	case STAGE_SOA:
		return b->source_ended ? ZS_ENOENT : build_soa_group(b, g);
	default:
		return ZS_ENOENT;
	}
}

static int send_group(struct build_job *b, struct signing *g)
{
	int err;

	pthread_mutex_lock(&b->lock);
	g->state = GROUP_SENT;
	b->inflight++;
	pthread_mutex_unlock(&b->lock);
	err = signing_submit(g, b->vault, b->parts ? SIGN_ROUTINE : SIGN_USER, group_back, b);
	if (!err)
		return 0;
	pthread_mutex_lock(&b->lock);
	g->state = GROUP_FILLED;
	b->inflight--;
	pthread_mutex_unlock(&b->lock);
	return err;
}

/* The first group that could not be sent because the client was full goes first. */
static int resend(struct build_job *b)
{
	for (struct signing *g = b->head; g; g = g->link)
		if (group_state(b, g) == GROUP_FILLED) {
			int err = send_group(b, g);

			if (err)
				return err;
		}
	return 0;
}

static int fill(struct build_job *b)
{
	int err = resend(b);

	build_base_renew(b);
	while (!err && !b->source_ended && b->ngroups < PIPE_GROUPS && !atomic_load(&b->cancelled)) {
		struct signing *g = signing_new(&b->signer, b->values, b->e->workers, b->zone->name,
						&b->next_seq);

		if (!g)
			return ZS_ENOMEM;
		err = fill_group(b, g);
		if (err) {
			signing_free(g);
			b->source_ended = err == ZS_ENOENT;
			return err == ZS_ENOENT ? 0 : err;
		}
		b->source_ended = b->stage == STAGE_SOA;
		*b->tail = g;
		b->tail = &g->link;
		b->ngroups++;
		err = send_group(b, g);
	}
	return err;
}

/* --- stages --------------------------------------------------------------------------------------------- */

static int write_expiry(struct build_job *b)
{
	const uint8_t *k, *v;
	size_t kn, vn;
	int err = extsort_finish(b->expiry);

	while (!err && !(err = extsort_next(b->expiry, &k, &kn, &v, &vn)))
		err = build_append(b->out, k, kn, v, vn);
	return err == ZS_ENOENT ? build_checkpoint(b->out) : err;
}

/* The source of this stage is through and everything is written: on to the next. */
static int next_stage(struct build_job *b)
{
	int err;

	if (b->bad_signatures)
		return ZS_EBADSIG;
	switch (b->stage) {
	case STAGE_RECORDS:
		b->stage = b->pol.unsigned_zone ? STAGE_CONTENT_DONE : STAGE_DENIAL;
		b->source_ended = false;
		err = build_checkpoint(b->out);
		return err || b->pol.unsigned_zone ? err : build_chain_open(b);
	case STAGE_DENIAL:
		build_chain_close(b);
		b->stage = STAGE_EXPIRY;
		err = write_expiry(b);
		b->stage = STAGE_CONTENT_DONE;
		return err;
	case STAGE_SOA:
		b->stage = STAGE_SOA_DONE;
		return 0;
	default:
		return 0;
	}
}

static bool stage_over(const struct build_job *b)
{
	return b->stage == STAGE_CONTENT_DONE || b->stage == STAGE_SOA_DONE;
}

static void work(struct build_job *b)
{
	int err = 0;

	while (!err && !stage_over(b)) {
		size_t before = b->ngroups;

		err = drain(b);
		if (!err)
			err = atomic_load(&b->cancelled) ? ZS_ECANCEL : fill(b);
		if (err)
			break;
		if (b->source_ended && !b->head)
			err = next_stage(b);
		else if (b->ngroups == before && (!b->head || group_state(b, b->head) != GROUP_BACK))
			return;
	}
	/* the client is full: our own answers will kick us, or a timer when none is out */
	if (err == ZS_EAGAIN) {
		pthread_mutex_lock(&b->lock);
		b->err = b->inflight ? 0 : ZS_EAGAIN;
		pthread_mutex_unlock(&b->lock);
	} else if (err) {
		b->err = err;
	}
}

/* Groups that are with the vault must come back before the job can end. */
static bool settled(struct build_job *b)
{
	if (!b->err)
		return stage_over(b);
	pthread_mutex_lock(&b->lock);
	unsigned n = b->inflight;
	pthread_mutex_unlock(&b->lock);
	if (n == 0)
		return true;
	for (struct signing *g = b->head; g; g = g->link)
		if (group_state(b, g) == GROUP_SENT)
			vclient_cancel(b->vault, &g->batch);
	return false;
}

void build_advance(void *arg)
{
	struct build_job *b = arg;
	bool more = true, over = false;

	fault_zone(b->zone->wire);
	while (more) {
		if (!b->err)
			work(b);
		over = settled(b);
		pthread_mutex_lock(&b->lock);
		more = b->again && !over;
		b->again = false;
		if (!more && !over)
			b->running = false;
		pthread_mutex_unlock(&b->lock);
	}
	if (!over)
		return;
	while (b->head && b->err != ZS_EAGAIN)
		drop_head(b);
	pthread_mutex_lock(&b->lock);
	b->running = false;
	b->over = true;
	pthread_mutex_unlock(&b->lock);
	mailbox_post(b->e->home, build_stage_done, b);
}
