/* SPDX-License-Identifier: GPL-3.0-or-later */
/* See net_rig.h. Nothing here is asserted with check: what fails aborts, or is told by the return value. */
#include "net_rig.h"

#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "base/err.h"
#include "base/rand.h"
#include "base/text.h"
#include "dns/schema.h"

#define MUST(x)                                                                                              \
	do {                                                                                                 \
		if (!(x)) {                                                                                  \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #x);                              \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

/* --- bags ----------------------------------------------------------------------------------------------- */

void bag_add(struct bag *b, const struct rr *rr)
{
	char name[NAME_MAX_TEXT], *line;
	size_t n;

	name_to_text(rr->owner, name);
	n = strlen(name) + 64 + 2 * (size_t)rr->rdlen;
	line = malloc(n);
	MUST(line);
	snprintf(line, n, "%s %u %u %u ", name, rr->class, rr->ttl, rr->type);
	text_hex(line + strlen(line), rr->rdata, rr->rdlen);
	if (b->n == b->cap) {
		b->cap = b->cap ? b->cap * 2 : 64;
		b->line = realloc(b->line, b->cap * sizeof(*b->line));
		MUST(b->line);
	}
	b->line[b->n++] = line;
}

void bag_free(struct bag *b)
{
	for (size_t i = 0; i < b->n; i++)
		free(b->line[i]);
	free(b->line);
	*b = (struct bag){ 0 };
}

static int line_cmp(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

bool bag_same(struct bag *a, struct bag *b)
{
	qsort(a->line, a->n, sizeof(*a->line), line_cmp);
	qsort(b->line, b->n, sizeof(*b->line), line_cmp);
	for (size_t i = 0; i < a->n && i < b->n; i++) {
		if (strcmp(a->line[i], b->line[i]) != 0) {
			fprintf(stderr, "want %.200s\nhave %.200s\n", a->line[i], b->line[i]);
			return false;
		}
	}
	if (a->n != b->n)
		fprintf(stderr, "want %zu records, have %zu\n", a->n, b->n);
	return a->n == b->n;
}

/* --- zones ---------------------------------------------------------------------------------------------- */

size_t tz_soa(uint8_t *out, uint32_t serial, uint32_t expire)
{
	static const uint8_t names[] = "\002ns\007example\000\005admin\007example";
	size_t n = sizeof(names);

	memcpy(out, names, n);
	put_be32(out + n, serial);
	put_be32(out + n + 4, 3600);
	put_be32(out + n + 8, 600);
	put_be32(out + n + 12, expire);
	put_be32(out + n + 16, 300);
	return n + 20;
}

/* A signature that has the shape of one: nothing here verifies it. */
static size_t fake_sig(uint8_t *out, const uint8_t *zone, const uint8_t *owner, uint16_t type, uint8_t fill)
{
	size_t n = name_len(zone);

	memset(out, 0, 18);
	put_be16(out, type);
	out[2] = 13;
	out[3] = (uint8_t)name_labels(owner);
	put_be32(out + 4, 3600);
	put_be32(out + 8, 2000000000);
	put_be32(out + 12, 1700000000);
	put_be16(out + 16, 4711);
	memcpy(out + 18, zone, n);
	memset(out + 18 + n, fill, 64);
	return 18 + n + 64;
}

struct tset {
	struct tzone *z;
	struct rrset set;
	struct rr_item rr[4];
	struct sig_item sig[1];
	uint8_t sig_octets[18 + NAME_MAX_WIRE + 64];
	uint8_t owner[NAME_MAX_WIRE];
};

static void set_begin(struct tset *s, struct tzone *z, const char *owner, uint16_t type, uint32_t ttl)
{
	size_t len;

	*s = (struct tset){ .z = z };
	MUST(name_from_text(owner, s->owner, &len) == 0);
	s->set = (struct rrset){ .owner = s->owner, .type = type, .ttl = ttl, .rr = s->rr, .sig = s->sig };
}

static void set_rr(struct tset *s, const void *data, size_t len)
{
	s->rr[s->set.nrr++] = (struct rr_item){ .ttl = s->set.ttl, .len = (uint16_t)len, .data = data };
}

static void set_sign(struct tset *s)
{
	s->sig[0].data = s->sig_octets;
	s->sig[0].len =
	    (uint16_t)fake_sig(s->sig_octets, s->z->name, s->owner, s->set.type, (uint8_t)s->set.type);
	s->set.nsig = 1;
}

static void set_expect(struct tset *s)
{
	struct rr rr = { .owner = s->owner, .type = s->set.type, .class = CLASS_IN, .ttl = s->set.ttl };

	for (uint32_t i = 0; i < s->set.nrr; i++) {
		if (s->rr[i].flags & RRI_DUP)
			continue;
		rr.rdata = s->rr[i].data;
		rr.rdlen = s->rr[i].len;
		bag_add(&s->z->all, &rr);
	}
	rr.type = T_RRSIG;
	for (uint32_t i = 0; i < s->set.nsig; i++) {
		rr.rdata = s->sig[i].data;
		rr.rdlen = s->sig[i].len;
		bag_add(&s->z->all, &rr);
	}
}

/* Into the store under this key, and to what a transfer must show. */
static void set_put(struct tset *s, const uint8_t *key, size_t klen)
{
	struct wr w = wr_growing(1u << 20);
	struct kv *kv = kvmem_open(s->z->kv);
	uint8_t lower[NAME_MAX_WIRE];

	name_copy_lower(lower, s->owner);
	if (memcmp(lower, s->owner, name_len(lower)) != 0)
		s->set.flags |= RRV_OWNER;
	rrset_encode(&s->set, &w);
	MUST(w.err == 0 && kv);
	MUST(kv_put(kv, key, klen, w.p, w.len) == 0);
	kv_close(kv);
	wr_free(&w);
	set_expect(s);
}

static void set_record(struct tset *s)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX];
	size_t n = name_okey(s->owner, okey);
	struct arena *scratch = arena_new(0);

	MUST(scratch && rrset_normalise(&s->set, scratch) == 0);
	set_put(s, key, key_record(key, okey, n, s->set.type));
	arena_free(scratch);
}

/* A copy in the pub's arena. */
static void set_publish(struct tset *s, struct rrset *to)
{
	struct arena *a = s->z->pub->mem;
	struct rr_item *rr = arena_dup(a, s->rr, sizeof(s->rr));
	struct sig_item *sig = arena_dup(a, s->sig, sizeof(s->sig));

	*to = s->set;
	to->owner = arena_dup(a, s->owner, name_len(s->owner));
	to->rr = rr;
	to->sig = sig;
	for (uint32_t i = 0; i < to->nrr; i++)
		rr[i].data = arena_dup(a, rr[i].data, rr[i].len);
	for (uint32_t i = 0; i < to->nsig; i++)
		sig[i].data = arena_dup(a, sig[i].data, sig[i].len);
}

static int tz_open(void *source, struct kv **out)
{
	struct tzone *z = source;

	if (__atomic_load_n(&z->eagain, __ATOMIC_RELAXED) > 0) {
		__atomic_sub_fetch(&z->eagain, 1, __ATOMIC_RELAXED);
		return ZS_EAGAIN;
	}
	__atomic_add_fetch(&z->opened, 1, __ATOMIC_RELAXED);
	*out = kvmem_open(z->kv);
	return *out ? 0 : ZS_ENOMEM;
}

static void tz_release(void *source)
{
	struct tzone *z = source;

	__atomic_add_fetch(&z->released, 1, __ATOMIC_RELAXED);
}

static void apex(struct tzone *z, const char *name, uint32_t serial, int flags, struct rrset *out)
{
	uint8_t soa[64], txt[2000], key[] = { 1, 0, 3, 13, 1, 2, 3, 4, 5, 6, 7, 8 };
	struct tset s;

	set_begin(&s, z, name, T_SOA, 3600);
	set_rr(&s, soa, tz_soa(soa, serial, 86400));
	if (!(flags & TZ_UNSIGNED))
		set_sign(&s);
	set_record(&s);
	set_publish(&s, &out[0]);
	set_begin(&s, z, name, T_NS, 7200);
	set_rr(&s, "\003ns2\007example", 13);
	set_rr(&s, "\002ns\007example", 12);
	set_rr(&s, "\002NS\007example", 12); /* a duplicate by canonical form */
	if (!(flags & TZ_UNSIGNED))
		set_sign(&s);
	set_record(&s);
	set_publish(&s, &out[1]);
	set_begin(&s, z, name, T_TXT, 60); /* fits no UDP answer */
	for (size_t i = 0; i < sizeof(txt); i += 200)
		memset(txt + i, 'a', 200), txt[i] = 199;
	set_rr(&s, txt, sizeof(txt));
	set_record(&s);
	set_publish(&s, &out[2]);
	if (flags & TZ_UNSIGNED)
		return;
	set_begin(&s, z, name, T_DNSKEY, 3600);
	set_rr(&s, key, sizeof(key));
	set_sign(&s);
	set_record(&s);
	set_publish(&s, &out[3]);
}

static void put_nsec(struct tzone *z, const char *owner, struct rrset *publish)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX], rdata[NAME_MAX_WIRE + 8];
	size_t n = name_len(z->name);
	struct tset s;

	memcpy(rdata, z->name, n);
	memcpy(rdata + n, "\000\006\100\000\000\000\000\003", 8);
	set_begin(&s, z, owner, T_NSEC, 300);
	name_lower(s.owner);
	set_rr(&s, rdata, n + 8);
	set_sign(&s);
	n = name_okey(s.owner, okey);
	set_put(&s, key, key_nsec(key, okey, n));
	if (publish)
		set_publish(&s, publish);
}

static void put_nsec3(struct tzone *z, const char *owner, struct rrset *publish)
{
	uint8_t okey[OKEY_MAX], key[KEY_MAX], name[NAME_MAX_WIRE], hash[NSEC3_HASH_LEN];
	uint8_t rdata[] = "\001\000\000\000\000\024aaaaaaaaaaaaaaaaaaaa\000\006\100\000\000\000\000\003";
	char text[64 + NAME_MAX_TEXT], b32[33], zone[NAME_MAX_TEXT];
	size_t len, n;
	struct tset s;

	/* Not the real hash: any injective one does. */
	MUST(name_from_text(owner, name, &len) == 0);
	n = name_okey(name, okey);
	for (size_t i = 0; i < sizeof(hash); i++)
		hash[i] = (uint8_t)(prng_hash_upto(i, okey, n, 255));
	snprintf(text, sizeof(text), "%s.%s", text_b32hex(b32, hash, sizeof(hash)),
		 name_to_text(z->name, zone));
	set_begin(&s, z, text, T_NSEC3, 300);
	set_rr(&s, rdata, sizeof(rdata) - 1);
	set_sign(&s);
	s.set.flags |= RRV_SRC;
	s.set.src = okey;
	s.set.src_len = (uint16_t)n;
	set_put(&s, key, key_nsec3(key, 1, hash));
	if (publish)
		set_publish(&s, publish);
}

static void put_denial(struct tzone *z, const char *owner, int flags, struct rrset *publish)
{
	if (flags & TZ_UNSIGNED)
		return;
	if (flags & TZ_NSEC3)
		put_nsec3(z, owner, publish);
	else
		put_nsec(z, owner, publish);
}

static void put_name(struct tzone *z, const char *zone, unsigned i, int flags)
{
	char owner[64];
	uint8_t a[4] = { 192, 0, 2, (uint8_t)i }, mx[2 + NAME_MAX_WIRE] = { 0, 10 };
	struct tset s;

	/* every third owner has capitals, which are served as they came */
	snprintf(owner, sizeof(owner), "%s%07u.%s", i % 3 ? "h" : "H", i, zone);
	set_begin(&s, z, owner, T_A, 300);
	set_rr(&s, a, 4);
	if (!(flags & TZ_UNSIGNED))
		set_sign(&s);
	set_record(&s);
	set_begin(&s, z, owner, T_MX, 300);
	memcpy(mx + 2, z->name, name_len(z->name));
	set_rr(&s, mx, 2 + name_len(z->name));
	if (!(flags & TZ_UNSIGNED))
		set_sign(&s);
	set_record(&s);
	put_denial(z, owner, flags, NULL);
}

static void put_big(struct tzone *z, const char *zone)
{
	uint8_t *txt = malloc(60000);
	char owner[64];
	struct tset s;

	MUST(txt);
	for (size_t i = 0; i < 60000; i += 200)
		memset(txt + i, 'b', 200), txt[i] = 199;
	snprintf(owner, sizeof(owner), "big.%s", zone);
	set_begin(&s, z, owner, T_TXT, 300);
	set_rr(&s, txt, 60000);
	set_record(&s);
	free(txt);
}

struct tzone *tz_new(const char *name, unsigned names, uint32_t serial, int flags)
{
	struct tzone *z = calloc(1, sizeof(*z));
	struct rrset *sets, *denial;
	size_t len;

	MUST(z);
	z->kv = kvmem_new(0);
	z->pub = pub_new();
	MUST(z->kv && z->pub && name_from_text(name, z->name, &len) == 0);
	sets = arena_zalloc(z->pub->mem, 4 * sizeof(*sets));
	denial = arena_zalloc(z->pub->mem, sizeof(*denial));
	MUST(sets && denial);
	apex(z, name, serial, flags, sets);
	put_denial(z, name, flags, denial);
	for (unsigned i = 0; i < names; i++)
		put_name(z, name, i, flags);
	if (flags & TZ_BIG)
		put_big(z, name);
	z->pub->zone = z->name;
	z->pub->serial = serial;
	z->pub->is_signed = !(flags & TZ_UNSIGNED);
	z->pub->set = sets;
	z->pub->nset = flags & TZ_UNSIGNED ? 3 : 4;
	z->pub->denial = flags & TZ_UNSIGNED ? NULL : denial;
	z->pub->soa_expire = 86400;
	z->pub->open = tz_open;
	z->pub->release = tz_release;
	z->pub->source = z;
	return z;
}

void tz_free(struct tzone *z)
{
	if (!z)
		return;
	pub_unref(z->pub);
	MUST(z->released == 1);
	kvmem_free(z->kv);
	bag_free(&z->all);
	free(z);
}

/* --- server --------------------------------------------------------------------------------------------- */

struct rig_impl {
	struct event_base *base;
	struct event *box_ev;
	struct mailbox *box;
	struct pool *pool;
	struct server_limits lim;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
};

static struct net_zone *op_find(void *ctx, const uint8_t *q)
{
	struct rig *r = ctx;

	return name_eq(q, r->zone.name) ? &r->zone : NULL;
}

static bool op_below(void *ctx, const uint8_t *q)
{
	struct rig *r = ctx;

	return name_within(q, r->zone.name);
}

static const struct tsig_key *op_key(void *ctx, const uint8_t *name)
{
	struct rig *r = ctx;

	if (name_eq(name, tsig_key_name(r->key)))
		return r->key;
	return name_eq(name, tsig_key_name(r->other_key)) ? r->other_key : NULL;
}

static wall_t op_now(void *ctx)
{
	struct rig *r = ctx;

	return r->now;
}

static void op_notify(void *ctx, struct net_zone *z, const struct net_addr *from, const char *acl, bool has,
		      uint32_t serial)
{
	struct rig *r = ctx;

	pthread_mutex_lock(&r->impl->lock);
	r->notified++;
	r->hint = has;
	r->hint_serial = serial;
	pthread_cond_broadcast(&r->impl->changed);
	pthread_mutex_unlock(&r->impl->lock);
}

static void op_transfer(void *ctx, const uint8_t *zone, const char *secondary, const struct net_addr *to,
			uint16_t type, uint32_t serial, uint64_t octets, uint64_t records, int64_t us,
			int result)
{
	struct rig *r = ctx;

	pthread_mutex_lock(&r->impl->lock);
	r->transferred++;
	r->last_result = result;
	r->last_type = type;
	r->last_records = records;
	r->last_octets = octets;
	pthread_cond_broadcast(&r->impl->changed);
	pthread_mutex_unlock(&r->impl->lock);
}

static void op_seen(void *ctx, struct net_zone *z, const char *secondary, uint32_t serial)
{
	struct rig *r = ctx;

	pthread_mutex_lock(&r->impl->lock);
	r->seen++;
	r->seen_serial = serial;
	pthread_cond_broadcast(&r->impl->changed);
	pthread_mutex_unlock(&r->impl->lock);
}

static const struct server_ops ops = { .find = op_find, .below_zone = op_below, .key = op_key, .now = op_now,
				       .notify = op_notify, .transfer = op_transfer, .soa_seen = op_seen };

static void on_box(evutil_socket_t fd, short what, void *arg)
{
	mailbox_run(arg);
}

static void bind_loopback(struct rig *r, int family)
{
	struct net_addr a = { .sa = { .sa_family = (sa_family_t)family } };
	socklen_t len = sizeof(a);
	int fds[2], err = 0;

	if (family == AF_INET) {
		a.v4.sin_addr.s_addr = htonl(INADDR_ANY); /* a wildcard: answers must find their source */
	} else {
		a.v6.sin6_addr = in6addr_any;
	}
	/* the port that UDP was given may be somebody's over TCP: another one then */
	for (int i = 0; i < 50 && (err = net_bind(&a, fds)) != 0 && errno == EADDRINUSE; i++)
		;
	if (err != 0) {
		MUST(family == AF_INET6); /* a machine without IPv6 */
		return;
	}
	MUST(getsockname(fds[0], &a.sa, &len) == 0);
	if (family == AF_INET) {
		a.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		r->udp4 = r->tcp4 = a;
	} else {
		a.v6.sin6_addr = in6addr_loopback;
		r->udp6 = a;
	}
	MUST(server_add_socket(r->server, fds[0]) == 0);
	MUST(server_add_socket(r->server, fds[1]) == 0);
}

static void *serve(void *arg)
{
	struct rig *r = arg;

	event_base_dispatch(r->impl->base);
	return NULL;
}

struct rig *rig_new(struct tzone *z, const struct server_limits *lim)
{
	static const uint8_t secret[] = "0123456789abcdef0123456789abcdef";
	struct rig *r = calloc(1, sizeof(*r));
	struct rig_impl *m = calloc(1, sizeof(*m));

	MUST(r && m);
	r->impl = m;
	r->tz = z;
	r->now = WALL(time(NULL)); /* TSIG uses the real clock */
	MUST(tsig_key_new("Xfr.Example.", "hmac-sha256", secret, 32, &r->key) == 0);
	MUST(tsig_key_new("other.example.", "hmac-sha512", secret, 16, &r->other_key) == 0);
	r->transfer[0] = (struct acl_entry){ .name = "all", .any_addr = true };
	r->notify[0] = r->transfer[0];
	r->query[0] = r->transfer[0];
	r->zone = (struct net_zone){.name = z->name,
				    .pub = z->pub,
				    .upstream_left = INT64_MAX,
				    .transfer = {r->transfer, 1},
				    .notify = {r->notify, 1},
				    .query = {r->query, 1}};
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	m->base = event_base_new();
	m->box = mailbox_new();
	m->pool = pool_new(2, "render");
	m->lim = lim ? *lim : (struct server_limits){ .transfers_out = 64, .tcp_connections = 256,
						      .tcp_per_peer = 128, .tcp_idle_s = 10 };
	MUST(m->base && m->box && m->pool);
	m->box_ev = event_new(m->base, mailbox_fd(m->box), EV_READ | EV_PERSIST, on_box, m->box);
	event_add(m->box_ev, NULL);
	r->server = server_new(m->base, m->pool, &ops, r, &m->lim);
	MUST(r->server);
	bind_loopback(r, AF_INET);
	bind_loopback(r, AF_INET6);
	MUST(pthread_create(&m->thread, NULL, serve, r) == 0);
	return r;
}

struct call {
	struct rig *r;
	void (*fn)(void *);
	void *arg;
	bool done;
};

static void run_call(void *arg)
{
	struct call *c = arg;

	c->fn(c->arg);
	pthread_mutex_lock(&c->r->impl->lock);
	c->done = true;
	pthread_cond_broadcast(&c->r->impl->changed);
	pthread_mutex_unlock(&c->r->impl->lock);
}

void rig_call(struct rig *r, void (*fn)(void *), void *arg)
{
	struct call c = { .r = r, .fn = fn, .arg = arg };

	MUST(mailbox_post(r->impl->box, run_call, &c) == 0);
	pthread_mutex_lock(&r->impl->lock);
	while (!c.done)
		pthread_cond_wait(&r->impl->changed, &r->impl->lock);
	pthread_mutex_unlock(&r->impl->lock);
}

bool rig_await(struct rig *r, const unsigned *counter, unsigned n)
{
	struct timespec until;
	bool ok;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 20;
	pthread_mutex_lock(&r->impl->lock);
	while (*counter < n && pthread_cond_timedwait(&r->impl->changed, &r->impl->lock, &until) != ETIMEDOUT)
		;
	ok = *counter >= n;
	pthread_mutex_unlock(&r->impl->lock);
	return ok;
}

static void end_server(void *arg)
{
	struct rig *r = arg;

	server_free(r->server);
	event_base_loopbreak(r->impl->base);
}

void rig_free(struct rig *r)
{
	struct rig_impl *m = r->impl;

	rig_call(r, end_server, r);
	pthread_join(m->thread, NULL);
	pool_free(m->pool);
	event_free(m->box_ev);
	event_base_free(m->base);
	mailbox_free(m->box);
	tsig_key_free(r->key);
	tsig_key_free(r->other_key);
	pthread_mutex_destroy(&m->lock);
	pthread_cond_destroy(&m->changed);
	free(m);
	free(r);
}

/* --- client --------------------------------------------------------------------------------------------- */

int t_connect(const struct net_addr *to, int type)
{
	struct timeval tv = { .tv_sec = 10 };
	int fd = socket(to->sa.sa_family, type, 0);

	MUST(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv));
	MUST(connect(fd, &to->sa, net_addr_len(to)) == 0);
	return fd;
}

bool t_send_tcp(int fd, const uint8_t *wire, size_t len)
{
	uint8_t head[2];

	put_be16(head, (uint16_t)len);
	return send(fd, head, 2, MSG_NOSIGNAL | MSG_MORE) == 2 &&
	       send(fd, wire, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static bool recv_all(int fd, uint8_t *buf, size_t len)
{
	while (len > 0) {
		ssize_t n = recv(fd, buf, len, 0);

		if (n <= 0)
			return false;
		buf += n;
		len -= (size_t)n;
	}
	return true;
}

size_t t_recv_tcp(int fd, uint8_t *buf)
{
	uint8_t head[2];

	if (!recv_all(fd, head, 2) || !recv_all(fd, buf, be16(head)))
		return 0;
	return be16(head);
}

size_t t_recv_udp(int fd, uint8_t *buf, size_t cap)
{
	ssize_t n = recv(fd, buf, cap, 0);

	return n > 0 ? (size_t)n : 0;
}

void tq_make(struct tq *q, const char *name, uint16_t qtype, unsigned opcode, const struct edns *e,
	     int section, const struct rr *rr)
{
	uint8_t wire[NAME_MAX_WIRE];
	struct msgw w;
	size_t len;

	MUST(name_from_text(name, wire, &len) == 0);
	q->id = (uint16_t)(0x1234 + qtype);
	q->qtype = qtype;
	msgw_init(&w, q->wire, sizeof(q->wire), q->id, msg_flags(opcode, 0, 0));
	MUST(msgw_question(&w, wire, qtype, CLASS_IN) == 0);
	if (rr)
		MUST(msgw_rr(&w, section, rr) == 0);
	if (e)
		MUST(msgw_opt(&w, e) == 0);
	q->len = w.len;
}

size_t tq_ask(const struct net_addr *to, bool tcp, const struct tq *q, uint8_t *buf)
{
	int fd = t_connect(to, tcp ? SOCK_STREAM : SOCK_DGRAM);
	size_t n;

	if (tcp) {
		MUST(t_send_tcp(fd, q->wire, q->len));
		n = t_recv_tcp(fd, buf);
	} else {
		MUST(send(fd, q->wire, q->len, 0) == (ssize_t)q->len);
		n = t_recv_udp(fd, buf, MSG_MAX);
	}
	close(fd);
	return n;
}

struct axfr {
	unsigned soas;
	bool trailing;
};

static bool read_message(uint8_t *wire, size_t len, uint16_t id, const uint8_t *zone, struct tsig *t,
			 bool first, struct axfr *a, struct bag *out)
{
	static __thread uint8_t owner[NAME_MAX_WIRE], rdata[RDATA_MAX];
	struct msgr m;
	struct rr rr;
	bool verified;
	int section, err;

	if (msgr_open(&m, wire, len) != 0 || m.id != id || !(m.flags & F_QR) || !(m.flags & F_AA) ||
	    m.rcode != 0 || (first && m.count[0] != 1))
		return false;
	if (t &&
	    (m.tsig_pos == 0 || tsig_verify_answer(t, wire, &len, m.tsig_pos, &verified) != 0 || !verified))
		return false;
	if (!t && m.tsig_pos != 0)
		return false;
	if (t && msgr_open(&m, wire, len) != 0)
		return false;
	while ((err = msgr_rr(&m, &rr, &section, owner, rdata)) == 0 && section == SEC_ANSWER) {
		a->trailing = a->trailing || a->soas == 2;
		if (rr.type == T_SOA && name_eq(rr.owner, zone))
			a->soas++;
		else if (a->soas == 0)
			return false;
		if (rr.type != T_SOA || a->soas == 1)
			bag_add(out, &rr);
	}
	return err == ZS_ENOENT;
}

bool t_read_axfr(int fd, uint16_t id, const uint8_t *zone, struct tsig *t, struct bag *out,
		 unsigned *messages)
{
	uint8_t *buf = malloc(MSG_MAX);
	struct axfr a = { 0 };
	bool ok = true;

	MUST(buf);
	*messages = 0;
	while (ok && a.soas < 2) {
		size_t n = t_recv_tcp(fd, buf);

		ok = n > 0 && read_message(buf, n, id, zone, t, *messages == 0, &a, out);
		++*messages;
	}
	free(buf);
	return ok && !a.trailing;
}

void rig_publish_another(void *arg)
{
	struct rig *r = arg;
	struct pub *p = pub_new();

	p->zone = arena_dup(p->mem, r->zone.pub->zone, name_len(r->zone.pub->zone));
	p->serial = r->zone.pub->serial + 1;
	r->zone.pub = p; /* the old one is the transfer's and the test zone's */
}

void rig_unpublish_another(void *arg)
{
	struct rig *r = arg;

	pub_unref(r->zone.pub);
	r->zone.pub = r->tz->pub;
}
