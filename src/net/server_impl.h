/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * Inside the server: what server.c, udp.c, tcp.c and xfrout.c share. All of it belongs to the loop thread but
 * for the fields under `lock`.
 */
#ifndef ZONESEAL_NET_SERVER_IMPL_H
#define ZONESEAL_NET_SERVER_IMPL_H

#include <pthread.h>
#include <sys/queue.h>

#include "answer.h"
#include "render.h"

struct event;
struct evbuffer;
struct server;
struct tcp_conn;
struct udp_batch;
struct xfrout;

TAILQ_HEAD(xfrout_list, xfrout);
TAILQ_HEAD(conn_list, tcp_conn);

/* One of our sockets. */
struct listener {
	LIST_ENTRY(listener) link;
	struct server *s;
	int fd, family;
	bool stream;
	struct event *ev;
	struct event *pause; /* stream: accepting goes on when it fires */
};

#define PEER_BUCKETS 256

struct server {
	struct event_base *base;
	struct pool *pool;
	struct answer_env env;
	struct server_stats stats;
	struct server_limits lim;
	LIST_HEAD(, listener) listeners;
	struct udp_batch *batch;
	/* connections, least recently active first */
	struct conn_list conns;
	LIST_HEAD(, tcp_conn) peers[PEER_BUCKETS];
	unsigned nconn;
	uint8_t *tcp_in, *tcp_out; /* one message each, tcp_out with its length in front */
	/* transfers */
	struct xfrout_list running, waiting;
	unsigned nrunning, nwaiting, nxfr; /* nxfr: all that are not freed yet */
	struct event *ready_ev, *age_ev;
	int ready_fd;              /* eventfd: something stands in ready */
	pthread_mutex_t lock;
	pthread_cond_t idle;
	struct xfrout_list ready;  /* lock: transfers with blocks or the end of a job to hand over */
	unsigned jobs;             /* lock: posted to the pool and not ended */
	bool closing;
};

/* --- udp.c ---------------------------------------------------------------------------------------------- */
struct udp_batch *udp_batch_new(void);
void udp_batch_free(struct udp_batch *b);
void udp_readable(struct listener *l);

/* --- tcp.c ---------------------------------------------------------------------------------------------- */
LIST_HEAD(conn_xfrs, xfrout);
struct tcp_conn {
	struct server *s;
	int fd;
	struct net_addr peer;
	struct event *rd, *wr, *idle;
	struct evbuffer *in, *out;
	TAILQ_ENTRY(tcp_conn) lru;
	LIST_ENTRY(tcp_conn) bucket;
	struct conn_xfrs xfrs;
	unsigned nxfr;
	size_t block_octets; /* of blocks that stand in out */
	int64_t active_us; /* last whole message or octet taken by the peer */
	bool reading;      /* rd is added */
	bool eof, dead;    /* the peer will send no more; to be freed at the next occasion */
	bool busy;         /* inside a callback of this connection: conn_settle() follows */
	int why;           /* zs_err for the transfers that are cut with it */
};
void tcp_acceptable(struct listener *l);
/* Hands octets of a block over; the block is freed when they are gone. */
int conn_send_block(struct tcp_conn *c, struct render_block *b);
int conn_send_message(struct tcp_conn *c, const uint8_t *wire, size_t len);
/* Writes what goes, reads on when there is room, closes what is done for. c may be gone afterwards. */
void conn_settle(struct tcp_conn *c);
void conn_free(struct tcp_conn *c);

/* --- xfrout.c ------------------------------------------------------------------------------------------- */
struct xfrout {
	TAILQ_ENTRY(xfrout) link;    /* running or waiting */
	TAILQ_ENTRY(xfrout) ready;   /* lock */
	LIST_ENTRY(xfrout) of_conn;
	struct server *s;
	struct tcp_conn *conn;       /* NULL once cut or answered */
	struct render *r;
	struct event *timer;         /* waiting: the end of patience; running: next try to open */
	bool is_running, job, done;  /* done: the last block was handed over */
	unsigned ahead;              /* blocks that stand in the connection's buffer */
	unsigned tries;
	uint64_t octets, records;
	uint16_t type;               /* of what is sent; asked for, before */
	int64_t start_us;
	struct net_addr to;
	uint8_t zone[NAME_MAX_WIRE]; /* these three of the version, which goes when all of it is made */
	uint32_t serial;
	uint64_t version;
	bool in_the_way;             /* its version is to be given up */
	/* lock: */
	struct render_block *blocks, **blocks_end;
	bool in_ready, job_ended;
	int job_err;
	bool cut;
	/* of the job alone, set before it is posted */
	unsigned want;
};
/* Takes x. False: out of memory, x was cleared. */
bool xfrout_start(struct tcp_conn *c, struct xfr_request *x);
/* The connection goes: its transfers end with this error. */
void xfrout_cut(struct xfrout *x, int err);
/* Blocks that the pool has made. */
void xfrout_collect(struct server *s);
/* A block has left the buffer (or was dropped with it). */
void xfrout_block_gone(struct render_block *b);
void xfrout_start_waiting(struct server *s);
/* Cuts what holds versions of this zone up to this one, and what is too old. zone NULL: the latter alone. */
void xfrout_give_up(struct server *s, const uint8_t *zone, uint64_t version);

#endif
