/* SPDX-License-Identifier: GPL-3.0-or-later */
/* Cases of a splice, run and held against the slow and obvious. */
#ifndef ZONESEAL_T_SPLICE_RIG_H
#define ZONESEAL_T_SPLICE_RIG_H

#include "seal/splice.h"

#define RRSETS_MAX 64
#define CHANGES_MAX 10
#define NAMES_MAX 512
#define TTL 300
#define WHY_MAX 400
/* An assertion of check writes each time; there are very many in a random run. */
#define MUST(x) ((x) ? (void)0 : ck_abort_msg("%s", #x))

struct name {
	uint8_t k[OKEY_MAX];
	size_t len;
};
struct rrkey {
	struct name n;
	uint16_t type;
};
struct change {
	struct rrkey rr;
	bool del;
};

/* A zone, what changes, and how it is denied. */
struct zcase {
	struct denial_params p;
	struct rrkey rr[RRSETS_MAX];
	size_t nrr;
	struct change ch[CHANGES_MAX];
	size_t nch;
};

/* A record() call, or what one should be. */
struct told {
	uint8_t key[KEY_MAX];
	size_t klen;
	enum node_kind kind;
	bool signs;
};

struct world {
	const struct zcase *c;
	struct kvmem *mem[2]; /* before, after */
	struct kv *kv[2];
	uint8_t key[CHANGES_MAX][KEY_MAX];
	size_t klen[CHANGES_MAX], nkeys, at;
	struct told told[RRSETS_MAX];
	size_t ntold;
	uint8_t last[KEY_MAX];
	size_t last_len;
	bool chain_began;
	int opens, fail_open;
	unsigned calls, fail_call; /* callbacks; the one that fails */
	uint64_t kv_calls, fail_kv;
	char why[WHY_MAX];
};

int rr_cmp(const struct rrkey *a, const struct rrkey *b);
void put_rr(struct kv *kv, const struct rrkey *r);
/* The whole chain of `from`'s records, written as DENIAL of `to`. */
void whole_chain(struct kvmem *from, struct kv *to, const struct denial_params *p);

/* Both versions of a case: before with its whole chain; after with before's chain, and with the changes. */
void world_open(struct world *w, const struct zcase *c);
void world_close(struct world *w);
/* The splice's result; what it tells is written into `after`. ZS_EVETO: w->why. */
int world_run(struct world *w, size_t limit, struct splice_sums *sums);
/* DENIAL of `after` against a whole chain of its records; 0, or ZS_EVETO and w->why. */
int check_chain(struct world *w);

/* Runs a case and checks all that it does. */
bool case_ok(const struct zcase *c, char why[static WHY_MAX]);
/* Leaves out changes and RRsets while it still fails, and prints the rest. */
void shrink(struct zcase *c);

#endif
