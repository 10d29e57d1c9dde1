/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The control socket's side of the loop: clients, one request of each at a time, bounded input and output. A
 * client is freed at one place, client_free(); its request (struct ctl) lives on while a callback holds it,
 * without a client. A stream is pumped while less than OUT_HIGH octets wait, so that a slow reader costs
 * nothing but its snapshot, and that for STALL_S at most. Who may connect is what the socket's owner, group
 * and mode say; the peer is checked against them once more and logged with what it orders.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include "base/err.h"
#include "base/log.h"
#include "control.h"
#include "ctlproto.h"
#include "engine.h"
#include "verbs.h"

#define CLIENTS_MAX 64
#define OUT_LOW (64u << 10)
#define OUT_HIGH (256u << 10)
#define OUT_MAX (16u << 20)   /* a verb that sends this much unasked is cut */
#define PUMP_BURST 8          /* frames in one turn of the loop */
#define STALL_S 60            /* output waits and nothing is taken */
#define IDLE_S 600            /* no request */
#define GROUPS_MAX 256

struct client {
	struct control *control;
	struct bufferevent *bev;
	struct event *pump_ev;
	struct ctl *req;
	uid_t uid;
	gid_t gid;
	pid_t pid;
	bool eof;             /* sends nothing more: closed after the answer */
	mono_t active;        /* last octet in or out */
	struct client *next;
};

struct ctl {
	struct engine *e;
	struct client *client; /* NULL: gone, or ended */
	int refs;
	struct ctl_request rq;
	char who[32];
	enum pump (*pump)(struct ctl *, void *);
	void (*pump_free)(void *);
	void *pump_arg;
	bool waiting;
};

struct control {
	struct engine *e;
	int fd;
	struct event *accept_ev, *tick_ev;
	struct client *clients;
	unsigned nclient;
	bool have_owner;
	uid_t owner;
	gid_t group;
};

/* --- requests ------------------------------------------------------------------------------------------- */

struct engine *ctl_engine(const struct ctl *c)
{
	return c->e;
}

json_t *ctl_args(const struct ctl *c)
{
	return c->rq.args;
}

const char *ctl_arg_text(const struct ctl *c, const char *name)
{
	return json_string_value(json_object_get(c->rq.args, name));
}

const char *ctl_who(const struct ctl *c)
{
	return c->who;
}

bool ctl_gone(const struct ctl *c)
{
	return !c->client;
}

struct ctl *ctl_hold(struct ctl *c)
{
	c->refs++;
	return c;
}

void ctl_drop(struct ctl *c)
{
	if (--c->refs > 0)
		return;
	ctl_request_clear(&c->rq);
	free(c);
}

/* Takes the request off its client: from here on every answer is a no-op. */
static void ctl_detach(struct ctl *c)
{
	void (*free_arg)(void *) = c->pump_free;

	c->client->req = NULL;
	c->client = NULL;
	c->pump = NULL;
	c->pump_free = NULL;
	if (free_arg)
		free_arg(c->pump_arg);
	ctl_drop(c);
}

static void frame_free(const void *data, size_t len, void *arg)
{
	free(arg);
}

void ctl_frame(struct ctl *c, uint8_t *frame, size_t len)
{
	struct evbuffer *out;

	if (!c->client) {
		free(frame);
		return;
	}
	out = bufferevent_get_output(c->client->bev);
	if (evbuffer_get_length(out) + len > OUT_MAX ||
	    evbuffer_add_reference(out, frame, len, frame_free, frame) != 0) {
		free(frame);
		log_msg(LL_ERR, "control", NULL, "verb=\"%s\" answer is lost: the client does not take it",
			c->rq.verb);
	}
}

static void ctl_send(struct ctl *c, json_t *msg)
{
	uint8_t *frame;
	size_t len;
	int err = ctl_encode(msg, &frame, &len);

	if (!err)
		ctl_frame(c, frame, len);
	else
		log_msg(LL_ERR, "control", NULL, "verb=\"%s\" answer cannot be sent: %s", c->rq.verb,
			zs_strerror(err));
}

void ctl_data(struct ctl *c, json_t *data)
{
	if (c->client)
		ctl_send(c, ctl_msg("data", data));
	else
		json_decref(data);
}

void ctl_progress(struct ctl *c, json_t *data)
{
	if (c->client)
		ctl_send(c, ctl_msg("progress", data));
	else
		json_decref(data);
}

/* The request is over: the next one of this client may be read, in another turn of the loop. */
static void ctl_over(struct ctl *c)
{
	struct client *cl = c->client;

	if (!cl)
		return;
	ctl_detach(c);
	event_active(cl->pump_ev, EV_TIMEOUT, 0);
}

void ctl_end(struct ctl *c, int exit_code)
{
	if (!c->client)
		return;
	ctl_send(c, ctl_msg("end", json_pack("{s:i}", "exit", exit_code)));
	ctl_over(c);
}

void ctl_fail(struct ctl *c, const char *code, const char *hint, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	if (!c->client)
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	ctl_send(c, ctl_error_msg(code, text, hint));
	ctl_over(c);
}

void ctl_pump(struct ctl *c, enum pump (*pump)(struct ctl *, void *), void (*free_arg)(void *), void *arg)
{
	c->pump = pump;
	c->pump_free = free_arg;
	c->pump_arg = arg;
	c->waiting = false;
	event_active(c->client->pump_ev, EV_TIMEOUT, 0);
}

void ctl_resume(struct ctl *c)
{
	c->waiting = false;
	if (c->client)
		event_active(c->client->pump_ev, EV_TIMEOUT, 0);
}

/* --- clients -------------------------------------------------------------------------------------------- */

static void client_free(struct client *cl)
{
	struct control *co = cl->control;

	if (cl->req)
		ctl_detach(cl->req);
	for (struct client **p = &co->clients; *p; p = &(*p)->next)
		if (*p == cl) {
			*p = cl->next;
			break;
		}
	if (--co->nclient == 0)
		event_del(co->tick_ev);
	event_free(cl->pump_ev);
	bufferevent_free(cl->bev);
	free(cl);
}

static void request_run(struct client *cl, struct ctl_request *rq)
{
	const struct verb *v = verb_find(rq->verb);
	struct ctl *c = calloc(1, sizeof(*c));

	if (!c) {
		ctl_request_clear(rq);
		return;
	}
	c->e = cl->control->e;
	c->client = cl;
	c->refs = 1;
	c->rq = *rq;
	snprintf(c->who, sizeof(c->who), "uid %u", (unsigned)cl->uid);
	cl->req = c;
	log_msg(v && v->changes ? LL_NOTICE : LL_DEBUG, "control", NULL, "verb=\"%s\" uid=%u gid=%u pid=%d",
		v ? v->name : "unknown", (unsigned)cl->uid, (unsigned)cl->gid, (int)cl->pid);
	ctl_hold(c);
	if (c->e->quitting)
		ctl_fail(c, "stopping", NULL, "the daemon is stopping");
	else if (!v)
		ctl_fail(c, "unknown-verb", "`zonesealctl -h` lists the verbs", "no such verb");
	else
		v->run(c);
	ctl_drop(c);
}

/* Something that is no request: it is said, and the connection ends because frames cannot be told apart any
 * more. */
static void client_refuse(struct client *cl, const char *code, const char *why)
{
	uint8_t *frame;
	size_t len;

	log_msg(LL_WARN, "control", NULL, "uid=%u pid=%d: %s", (unsigned)cl->uid, (int)cl->pid, why);
	bufferevent_disable(cl->bev, EV_READ);
	evbuffer_drain(bufferevent_get_input(cl->bev), SIZE_MAX);
	cl->eof = true;
	if (ctl_encode(ctl_error_msg(code, why, NULL), &frame, &len) == 0) {
		bufferevent_write(cl->bev, frame, len);
		free(frame);
	}
}

static void client_read(struct client *cl)
{
	struct evbuffer *in = bufferevent_get_input(cl->bev);
	struct ctl_request rq = { .args = NULL };
	uint8_t head[CTL_HEAD];
	uint32_t len;
	int err;

	if (cl->req || evbuffer_copyout(in, head, CTL_HEAD) < CTL_HEAD)
		return;
	if (ctl_head(head, &len) != 0) {
		client_refuse(cl, "bad-frame", "a frame is empty or over 1 MiB");
		return;
	}
	if (evbuffer_get_length(in) < CTL_HEAD + (size_t)len)
		return;
	err = ctl_request_parse(evbuffer_pullup(in, CTL_HEAD + (ssize_t)len) + CTL_HEAD, len, &rq);
	evbuffer_drain(in, CTL_HEAD + (size_t)len);
	if (err == ZS_EVERSION)
		client_refuse(cl, "version", "another version of the control protocol is spoken here");
	else if (err)
		client_refuse(cl, "bad-request", "a frame holds no request");
	else
		request_run(cl, &rq);
}

/* True when the client was freed: it has sent its last and got its last. */
static bool client_finished(struct client *cl)
{
	if (!cl->eof || cl->req || evbuffer_get_length(bufferevent_get_output(cl->bev)) > 0)
		return false;
	client_free(cl);
	return true;
}

static void client_pump(struct client *cl)
{
	struct ctl *c = cl->req;

	if (!c || !c->pump)
		return;
	ctl_hold(c);
	for (unsigned i = 0; c->pump && !c->waiting; i++) {
		if (evbuffer_get_length(bufferevent_get_output(cl->bev)) >= OUT_HIGH)
			break; /* on_write() goes on */
		if (i == PUMP_BURST) {
			event_active(cl->pump_ev, EV_TIMEOUT, 0);
			break;
		}
		c->waiting = true; /* ctl_resume() may come from within */
		if (c->pump(c, c->pump_arg) == PUMP_MORE)
			c->waiting = false;
	}
	ctl_drop(c);
}

static void on_turn(evutil_socket_t fd, short what, void *arg)
{
	struct client *cl = arg;

	client_pump(cl);
	client_read(cl);
	client_finished(cl);
}

static void on_read(struct bufferevent *bev, void *arg)
{
	struct client *cl = arg;

	cl->active = clk_mono();
	client_read(cl);
	client_finished(cl);
}

static void on_write(struct bufferevent *bev, void *arg)
{
	struct client *cl = arg;

	cl->active = clk_mono();
	client_pump(cl);
	client_finished(cl);
}

static void on_event(struct bufferevent *bev, short what, void *arg)
{
	struct client *cl = arg;

	if (!(what & BEV_EVENT_EOF) || (what & BEV_EVENT_WRITING)) {
		client_free(cl);
		return;
	}
	cl->eof = true;
	client_read(cl);
	client_finished(cl);
}

/* --- accepting ------------------------------------------------------------------------------------------ */

static bool peer_in_group(int fd, gid_t gid, gid_t want)
{
	gid_t list[GROUPS_MAX];
	socklen_t len = sizeof(list);

	if (gid == want)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, list, &len) != 0)
		return errno == ERANGE; /* in very many groups: the socket's mode has been asked already */
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (list[i] == want)
			return true;
	return false;
}

static bool peer_allowed(const struct control *co, int fd, struct ucred *cred)
{
	socklen_t len = sizeof(*cred);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, cred, &len) != 0)
		return false;
	if (cred->uid == 0 || cred->uid == geteuid() || !co->have_owner || cred->uid == co->owner)
		return true;
	return peer_in_group(fd, cred->gid, co->group);
}

/* Best effort: a reason for somebody who is not let in. */
static void turn_away(int fd, const char *code, const char *why)
{
	uint8_t *frame;
	size_t len;

	if (ctl_encode(ctl_error_msg(code, why, NULL), &frame, &len) == 0) {
		(void)!send(fd, frame, len, MSG_DONTWAIT | MSG_NOSIGNAL);
		free(frame);
	}
	close(fd);
}

static void client_new(struct control *co, int fd, const struct ucred *cred)
{
	struct client *cl = calloc(1, sizeof(*cl));
	struct timeval second = { .tv_sec = 1 };

	if (!cl || !(cl->bev = bufferevent_socket_new(co->e->ev, fd, BEV_OPT_CLOSE_ON_FREE)) ||
	    !(cl->pump_ev = event_new(co->e->ev, -1, 0, on_turn, cl))) {
		if (cl && cl->bev)
			bufferevent_free(cl->bev);
		else
			close(fd);
		free(cl);
		return;
	}
	cl->control = co;
	cl->uid = cred->uid;
	cl->gid = cred->gid;
	cl->pid = cred->pid;
	cl->active = clk_mono();
	cl->next = co->clients;
	co->clients = cl;
	if (co->nclient++ == 0)
		event_add(co->tick_ev, &second);
	bufferevent_setcb(cl->bev, on_read, on_write, on_event, cl);
	bufferevent_setwatermark(cl->bev, EV_READ, 0, CTL_HEAD + CTL_FRAME_MAX);
	bufferevent_setwatermark(cl->bev, EV_WRITE, OUT_LOW, 0);
	bufferevent_enable(cl->bev, EV_READ | EV_WRITE);
}

static void on_accept(evutil_socket_t lfd, short what, void *arg)
{
	struct control *co = arg;
	struct ucred cred = { 0 };
	int fd = accept4(lfd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0)
		return;
	if (!peer_allowed(co, fd, &cred)) {
		log_limited(LL_WARN, "control", NULL, "refused", 20,
			    "connection refused: uid=%u gid=%u pid=%d", (unsigned)cred.uid,
			    (unsigned)cred.gid, (int)cred.pid);
		turn_away(fd, "not-permitted", "neither root, nor the owner, nor in the control group");
	} else if (co->nclient >= CLIENTS_MAX) {
		turn_away(fd, "busy", "too many control connections");
	} else {
		log_msg(LL_DEBUG, "control", NULL, "connected: uid=%u gid=%u pid=%d", (unsigned)cred.uid,
			(unsigned)cred.gid, (int)cred.pid);
		client_new(co, fd, &cred);
	}
}

/* Once a second while there are clients: who stalls or says nothing is cut,
 * and a stopping daemon ends its streams. */
static void on_tick(evutil_socket_t fd, short what, void *arg)
{
	struct control *co = arg;
	mono_t now = clk_mono();
	struct client *cl, *next;

	for (cl = co->clients; cl; cl = next) {
		bool stalled = evbuffer_get_length(bufferevent_get_output(cl->bev)) > 0;

		next = cl->next;
		if (cl->req && co->e->quitting)
			ctl_fail(cl->req, "stopping", NULL, "the daemon is stopping");
		else if ((stalled && mono_diff(now, cl->active) > MONO_S(STALL_S)) ||
			 (!stalled && !cl->req && mono_diff(now, cl->active) > MONO_S(IDLE_S)))
			client_free(cl);
	}
}

static void owner_read(struct control *co)
{
	struct stat st;

	if (!co->e->setup || !co->e->setup->conf->control || stat(co->e->setup->conf->control, &st) != 0)
		return; /* perhaps we may not look: the kernel has asked the mode anyway */
	co->have_owner = true;
	co->owner = st.st_uid;
	co->group = st.st_gid;
}

struct control *control_new(struct engine *e, int fd)
{
	struct control *co = calloc(1, sizeof(*co));

	if (!co)
		return NULL;
	co->e = e;
	co->fd = fd;
	co->tick_ev = event_new(e->ev, -1, EV_PERSIST, on_tick, co);
	if (fd >= 0) { /* without a socket the daemon runs, nobody orders it */
		evutil_make_socket_nonblocking(fd);
		co->accept_ev = event_new(e->ev, fd, EV_READ | EV_PERSIST, on_accept, co);
	}
	if (!co->tick_ev || (fd >= 0 && (!co->accept_ev || event_add(co->accept_ev, NULL) != 0))) {
		co->fd = -1; /* still the caller's */
		control_free(co);
		return NULL;
	}
	owner_read(co);
	return co;
}

void control_free(struct control *co)
{
	if (!co)
		return;
	while (co->clients) {
		struct bufferevent *bev = co->clients->bev;

		/* a bufferevent keeps the front to itself */
		evbuffer_unfreeze(bufferevent_get_output(bev), 1);
		/* the last words, as far as they go */
		evbuffer_write(bufferevent_get_output(bev), bufferevent_getfd(bev));
		client_free(co->clients);
	}
	if (co->accept_ev)
		event_free(co->accept_ev);
	if (co->tick_ev)
		event_free(co->tick_ev);
	if (co->fd >= 0)
		close(co->fd);
	free(co);
}
