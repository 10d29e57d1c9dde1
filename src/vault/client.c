/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The engine's side of a key store. One I/O thread owns everything but the inbox: what other threads ask for
 * (submit, attach, cancel, quit) is left there under the lock and the thread is woken. A request is in
 * exactly one place: not yet sent (its batch's cursor is before it), in a slot (sent), on `redo` (to be sent
 * again) or on `suspects` (was open when a vault died). While there are suspects, one request at a time is
 * open, so that the one that kills vaults is found.
 */
#include "vault/client.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/err.h"
#include "base/frame.h"
#include "proto.h"

#define WINDOW_MAX 4096u
#define OUT_MAX (64u << 20)
#define OUT_ENOUGH (4u << 20)  /* octets waiting for the socket over which no more are encoded */
#define DEATHS_MAX 2
#define TOUCHES_MAX 8          /* begun and bounced so often: the store's fault as like as not, but bounded */

const double vclient_bucket_bounds[VCLIENT_BUCKETS] = {
	0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 2, INFINITY,
};

struct creq {
	struct creq *next;
	struct cbatch *batch; /* NULL in a slot: cancelled, the answer is dropped */
	uint8_t deaths, touches;
};

struct cbatch {
	struct sign_batch *b;
	struct cbatch *prev, *next; /* of all that are open */
	struct cbatch *queue_next;  /* of those not yet sent whole */
	size_t sent, left;
	bool cancel;
	struct creq req[];
};

struct list {
	struct creq *head, **tail;
};

struct slot {
	struct creq *req;
	bool used;
	uint32_t turn; /* high half of the id: tells an old answer from a new one */
};

struct vclient {
	pthread_mutex_t lock;
	pthread_t thread;
	int wake;
	size_t max_requests;
	/* under the lock */
	struct cbatch *inbox, **inbox_tail;
	struct cbatch *open; /* submitted and not done; linked and unlinked under the lock */
	size_t open_requests;
	bool attached; /* at least once */
	int attach_fd;
	bool cancels, quit;
	struct vclient_stats stats;
	/* the I/O thread's */
	struct frame_conn *conn;
	struct proto_state state;
	struct cbatch *fresh[SIGN_PRIOS], **fresh_tail[SIGN_PRIOS];
	struct list redo, suspects;
	struct slot slot[WINDOW_MAX];
	uint16_t free_slot[WINDOW_MAX];
	size_t n_free;
	struct wr out;
};

static size_t in_flight(const struct vclient *c)
{
	return WINDOW_MAX - c->n_free;
}

static void list_init(struct list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void list_put(struct list *l, struct creq *q)
{
	q->next = NULL;
	*l->tail = q;
	l->tail = &q->next;
}

static struct creq *list_take(struct list *l)
{
	struct creq *q = l->head;

	if (q && !(l->head = q->next))
		l->tail = &l->head;
	return q;
}

static void wake(struct vclient *c)
{
	uint64_t one = 1;
	ssize_t n = write(c->wake, &one, sizeof(one));

	(void)n;
}

static struct sign_req *request(const struct creq *q)
{
	return &q->batch->b->req[q - q->batch->req];
}

/* Takes the batch out of everything and hands it back. */
static void batch_done(struct vclient *c, struct cbatch *cb)
{
	struct sign_batch *b = cb->b;

	pthread_mutex_lock(&c->lock);
	if (cb->prev)
		cb->prev->next = cb->next;
	else
		c->open = cb->next;
	if (cb->next)
		cb->next->prev = cb->prev;
	c->open_requests -= b->n;
	pthread_mutex_unlock(&c->lock);
	b->priv = NULL;
	free(cb);
	b->done(b, b->arg);
}

/* The request's answer is there. The batch may be gone afterwards. */
static void finish(struct vclient *c, struct creq *q, int result)
{
	struct cbatch *cb = q->batch;
	struct sign_req *r = request(q);

	r->result = result;
	if (result)
		r->sig_len = 0;
	if (--cb->left == 0)
		batch_done(c, cb);
}

static void slot_free(struct vclient *c, size_t i)
{
	c->slot[i].used = false;
	c->slot[i].req = NULL;
	c->free_slot[c->n_free++] = (uint16_t)i;
}

static void set_state(struct vclient *c, const struct proto_state *s)
{
	c->state = *s;
	if (c->state.window > WINDOW_MAX)
		c->state.window = WINDOW_MAX;
	pthread_mutex_lock(&c->lock);
	c->stats.up = s->up;
	c->stats.sessions = s->sessions;
	c->stats.sessions_max = s->sessions_max;
	memcpy(c->stats.state, s->text, sizeof(s->text));
	pthread_mutex_unlock(&c->lock);
}

/* blame: the vault died with these in its hands. Else it said good-bye: they were not the cause. */
static void connection_lost(struct vclient *c, bool blame)
{
	struct proto_state none = { .text = "no vault" };
	size_t poisoned = 0, resent = 0;

	frame_conn_free(c->conn);
	c->conn = NULL;
	set_state(c, &none);
	for (size_t i = 0; i < WINDOW_MAX; i++) {
		struct creq *q = c->slot[i].req;

		if (!c->slot[i].used)
			continue;
		slot_free(c, i);
		if (!q)
			continue;
		resent++;
		if (!blame) {
			list_put(&c->redo, q);
		} else if (++q->deaths < DEATHS_MAX) {
			list_put(&c->suspects, q);
		} else {
			resent--;
			poisoned++;
			finish(c, q, ZS_EPOISON);
		}
	}
	pthread_mutex_lock(&c->lock);
	c->stats.resent += resent;
	c->stats.poisoned += poisoned;
	c->stats.failed += poisoned;
	pthread_mutex_unlock(&c->lock);
}

static void attach(struct vclient *c, int fd)
{
	if (c->conn)
		connection_lost(c, true);
	c->conn = frame_conn_new(fd, OUT_MAX);
	if (!c->conn)
		close(fd);
}

/* Requests that wait are answered at once; those that are sent lose their slot's owner. */
static void cancel_list(struct list *l, const struct cbatch *cb)
{
	struct list keep;
	struct creq *q;

	list_init(&keep);
	while ((q = list_take(l)))
		if (q->batch != cb)
			list_put(&keep, q);
	*l = keep;
	if (!l->head)
		l->tail = &l->head;
}

static void cancel_batch(struct vclient *c, struct cbatch *cb)
{
	struct cbatch **at = &c->fresh[cb->b->prio];

	for (; *at; at = &(*at)->queue_next) {
		if (*at != cb)
			continue;
		*at = cb->queue_next;
		if (!*at)
			c->fresh_tail[cb->b->prio] = at;
		break;
	}
	cancel_list(&c->redo, cb);
	cancel_list(&c->suspects, cb);
	for (size_t i = 0; i < WINDOW_MAX; i++)
		if (c->slot[i].req && c->slot[i].req->batch == cb)
			c->slot[i].req = NULL;
	batch_done(c, cb); /* results were set to ZS_ECANCEL when it was taken in */
}

static void cancel_marked(struct vclient *c, bool all)
{
	for (;;) {
		struct cbatch *cb;

		pthread_mutex_lock(&c->lock);
		for (cb = c->open; cb && !cb->cancel && !all; cb = cb->next)
			;
		pthread_mutex_unlock(&c->lock);
		if (!cb)
			return;
		cancel_batch(c, cb);
	}
}

static void take_in(struct vclient *c, struct cbatch *cb)
{
	while (cb) {
		struct cbatch *next = cb->queue_next;
		unsigned p = cb->b->prio;

		cb->queue_next = NULL;
		if (!cb->left) {
			batch_done(c, cb);
		} else {
			*c->fresh_tail[p] = cb;
			c->fresh_tail[p] = &cb->queue_next;
		}
		cb = next;
	}
}

/* What other threads left. False: quit. */
static bool take_inbox(struct vclient *c)
{
	struct cbatch *in;
	bool cancels, quit;
	int fd;

	pthread_mutex_lock(&c->lock);
	in = c->inbox;
	c->inbox = NULL;
	c->inbox_tail = &c->inbox;
	fd = c->attach_fd;
	c->attach_fd = -1;
	cancels = c->cancels;
	c->cancels = false;
	quit = c->quit;
	pthread_mutex_unlock(&c->lock);
	take_in(c, in);
	if (fd >= 0)
		attach(c, fd);
	if (cancels || quit)
		cancel_marked(c, quit);
	return !quit;
}

static void count_result(struct vclient_stats *s, const struct proto_result *r)
{
	double seconds = r->usec / 1e6;
	int i = 0;

	if (r->status == PS_REFUSED)
		s->refused++;
	if (r->status != PS_OK) {
		s->failed++;
		return;
	}
	s->signed_ok++;
	s->seconds_sum += seconds;
	while (i < VCLIENT_BUCKETS - 1 && seconds > vclient_bucket_bounds[i])
		i++;
	s->bucket[i]++;
}

static void on_result(struct vclient *c, struct creq *q, const struct proto_result *r)
{
	struct sign_req *req = request(q);
	int result = proto_err(r->status);

	if (r->status == PS_RETRY || (r->status == PS_TOUCHED && ++q->touches < TOUCHES_MAX)) {
		list_put(&c->redo, q);
		return;
	}
	if (r->status == PS_TOUCHED)
		result = ZS_EVAULT;
	req->session = r->session;
	req->guard_reason = r->status == PS_REFUSED ? r->detail : 0;
	if (!result && r->sig_len > req->sig_cap) {
		result = ZS_ELIMIT;
	} else if (!result) {
		memcpy(req->sig, r->sig, r->sig_len);
		req->sig_len = r->sig_len;
	}
	finish(c, q, result);
}

static int on_results(struct vclient *c, const struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	struct vclient_stats delta = { 0 };
	struct proto_result res;
	size_t n = rd_u16(&r);

	while (n-- && !r.err) {
		size_t i;
		struct creq *q;

		proto_get_result(&r, &res);
		i = res.id & 0xffffffff;
		if (r.err || i >= WINDOW_MAX || !c->slot[i].used || c->slot[i].turn != res.id >> 32)
			return ZS_EFORMAT;
		q = c->slot[i].req;
		slot_free(c, i);
		if (res.status != PS_RETRY && res.status != PS_TOUCHED)
			count_result(&delta, &res);
		if (q)
			on_result(c, q, &res);
	}
	pthread_mutex_lock(&c->lock);
	c->stats.signed_ok += delta.signed_ok;
	c->stats.failed += delta.failed;
	c->stats.refused += delta.refused;
	c->stats.seconds_sum += delta.seconds_sum;
	for (int i = 0; i < VCLIENT_BUCKETS; i++)
		c->stats.bucket[i] += delta.bucket[i];
	pthread_mutex_unlock(&c->lock);
	return rd_done(&r);
}

static int on_frame(struct vclient *c, struct frame *f)
{
	struct rd r = rd_init(f->data, f->len);
	struct proto_state s;
	int rc = ZS_EFORMAT;

	while (f->nfds)
		close(f->fds[--f->nfds]);
	switch (f->type) {
	case PT_RESULT:
		rc = on_results(c, f);
		break;
	case PT_STATUS:
		rc = proto_get_state(&r, &s, true);
		if (!rc)
			set_state(c, &s);
		break;
	case PT_BYE:
		connection_lost(c, false);
		return ZS_EAGAIN;
	}
	return rc;
}

static void read_vault(struct vclient *c)
{
	struct frame f;
	int rc = 0;

	while (!rc && c->conn) {
		rc = frame_recv(c->conn, &f);
		if (!rc)
			rc = on_frame(c, &f);
	}
	if (rc && rc != ZS_EAGAIN)
		connection_lost(c, true);
}

/* The next request that waits. A batch whose last request is taken leaves the queue. */
static struct creq *next_request(struct vclient *c)
{
	struct creq *q = list_take(&c->redo);

	for (int p = 0; !q && p < SIGN_PRIOS; p++) {
		struct cbatch *cb = c->fresh[p];

		if (!cb)
			continue;
		q = &cb->req[cb->sent++];
		if (cb->sent < cb->b->n)
			continue;
		c->fresh[p] = cb->queue_next;
		if (!c->fresh[p])
			c->fresh_tail[p] = &c->fresh[p];
	}
	return q;
}

static void put_in_frame(struct vclient *c, struct creq *q, uint16_t *n)
{
	size_t i = c->free_slot[--c->n_free];
	struct slot *s = &c->slot[i];

	s->used = true;
	s->req = q;
	s->turn++;
	if (!*n)
		wr_u16(&c->out, 0);
	proto_put_request(&c->out, (uint64_t)s->turn << 32 | i, q->batch->b->prio, request(q));
	++*n;
}

/* One frame of at most `room` requests. False when nothing waits. */
static bool send_frame(struct vclient *c, size_t room, struct creq *suspect)
{
	uint16_t n = 0;
	struct creq *q;

	if (room > SIGN_FRAME_REQUESTS)
		room = SIGN_FRAME_REQUESTS;
	c->out.len = 0;
	while (n < room && c->out.len < SIGN_FRAME_OCTETS && (q = suspect ? suspect : next_request(c))) {
		if (request(q)->tbs_len > TBS_MAX)
			finish(c, q, ZS_ELIMIT);
		else
			put_in_frame(c, q, &n);
		if (suspect)
			break;
	}
	if (!n)
		return false;
	if (!c->out.err)
		wr_put_u16(&c->out, 0, n);
	if (c->out.err || frame_send(c->conn, PT_SIGN, c->out.p, c->out.len, NULL, 0) != 0) {
		wr_free(&c->out);
		c->out = wr_growing(FRAME_MAX);
		connection_lost(c, false); /* out of memory: the requests are not to blame */
		return false;
	}
	return true;
}

static void send_requests(struct vclient *c)
{
	while (c->conn && c->state.up && frame_pending(c->conn) < OUT_ENOUGH) {
		size_t open = in_flight(c), window = c->state.window;

		if (c->suspects.head) {
			if (open || !send_frame(c, 1, list_take(&c->suspects)))
				return;
			continue;
		}
		/* frames of some size: a window that opens by one is not worth a system call */
		if (open >= window || (open && window - open < window / 8))
			return;
		if (!send_frame(c, window - open, NULL))
			return;
	}
}

static void wait_for_events(struct vclient *c)
{
	struct pollfd p[2] = { { .fd = c->wake, .events = POLLIN }, { .fd = -1 } };
	uint64_t n;

	pthread_mutex_lock(&c->lock);
	c->stats.in_flight = in_flight(c);
	pthread_mutex_unlock(&c->lock);
	if (c->conn) {
		p[1].fd = frame_conn_fd(c->conn);
		p[1].events = frame_pending(c->conn) ? POLLIN | POLLOUT : POLLIN;
	}
	if (poll(p, 2, -1) > 0 && p[0].revents) {
		ssize_t got = read(c->wake, &n, sizeof(n));

		(void)got;
	}
}

static void *client_main(void *arg)
{
	struct vclient *c = arg;
	int rc;

	while (take_inbox(c)) {
		if (c->conn)
			read_vault(c);
		send_requests(c);
		rc = c->conn ? frame_flush(c->conn) : 0;
		if (rc && rc != ZS_EAGAIN) {
			/* what the vault said before it went counts (BYE, answers) */
			read_vault(c);
			if (c->conn)
				connection_lost(c, true);
			continue;
		}
		wait_for_events(c);
	}
	return NULL;
}

struct vclient *vclient_new(const char *keystore, size_t max_requests)
{
	struct vclient *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	c->max_requests = max_requests;
	c->attach_fd = -1;
	c->inbox_tail = &c->inbox;
	for (int p = 0; p < SIGN_PRIOS; p++)
		c->fresh_tail[p] = &c->fresh[p];
	list_init(&c->redo);
	list_init(&c->suspects);
	for (size_t i = WINDOW_MAX; i-- > 0;)
		c->free_slot[c->n_free++] = (uint16_t)i;
	c->out = wr_growing(FRAME_MAX);
	strcpy(c->stats.state, "no vault");
	pthread_mutex_init(&c->lock, NULL);
	if (c->wake >= 0 && pthread_create(&c->thread, NULL, client_main, c) == 0)
		return c;
	if (c->wake >= 0)
		close(c->wake);
	pthread_mutex_destroy(&c->lock);
	free(c);
	return NULL;
}

void vclient_free(struct vclient *c)
{
	if (!c)
		return;
	pthread_mutex_lock(&c->lock);
	c->quit = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
	pthread_join(c->thread, NULL);
	frame_conn_free(c->conn);
	if (c->attach_fd >= 0)
		close(c->attach_fd);
	close(c->wake);
	wr_free(&c->out);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

int vclient_attach(struct vclient *c, int fd)
{
	pthread_mutex_lock(&c->lock);
	if (c->attach_fd >= 0)
		close(c->attach_fd);
	c->attach_fd = fd;
	c->stats.restarts += c->attached; /* the first one is a start */
	c->attached = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
	return 0;
}

int vclient_submit(struct vclient *c, struct sign_batch *b)
{
	struct cbatch *cb;
	int rc = 0;

	if ((unsigned)b->prio >= SIGN_PRIOS)
		return ZS_EINVAL;
	cb = calloc(1, sizeof(*cb) + b->n * sizeof(cb->req[0]));
	if (!cb)
		return ZS_ENOMEM;
	cb->b = b;
	cb->left = b->n;
	for (size_t i = 0; i < b->n; i++) {
		cb->req[i].batch = cb;
		b->req[i].result = ZS_ECANCEL; /* until it is answered */
		b->req[i].sig_len = b->req[i].session = b->req[i].guard_reason = 0;
	}
	pthread_mutex_lock(&c->lock);
	if (c->open_requests && c->open_requests + b->n > c->max_requests) {
		rc = ZS_EAGAIN;
	} else {
		c->open_requests += b->n;
		cb->next = c->open;
		if (c->open)
			c->open->prev = cb;
		c->open = cb;
		*c->inbox_tail = cb;
		c->inbox_tail = &cb->queue_next;
		b->priv = cb;
	}
	pthread_mutex_unlock(&c->lock);
	if (rc)
		free(cb);
	else
		wake(c);
	return rc;
}

void vclient_cancel(struct vclient *c, struct sign_batch *b)
{
	pthread_mutex_lock(&c->lock);
	for (struct cbatch *cb = c->open; cb; cb = cb->next)
		if (cb->b == b)
			c->cancels = cb->cancel = true;
	pthread_mutex_unlock(&c->lock);
	wake(c);
}

void vclient_stats(struct vclient *c, struct vclient_stats *out)
{
	pthread_mutex_lock(&c->lock);
	*out = c->stats;
	out->queued = c->open_requests > c->stats.in_flight ? c->open_requests - c->stats.in_flight : 0;
	pthread_mutex_unlock(&c->lock);
}
