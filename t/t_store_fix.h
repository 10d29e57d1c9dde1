/* SPDX-License-Identifier: GPL-3.0-or-later */
/* One zone's store in a directory of its own, for tests that close it and open it again. */
#ifndef ZONESEAL_T_STORE_FIX_H
#define ZONESEAL_T_STORE_FIX_H

#include "t_store_util.h"

#include <check.h>

struct fix {
	char state[64];
	struct store_dir *d;
	struct store *s;
	enum store_health health;
	uint64_t version; /* the newest, where a test keeps it */
};

/* opts: NULL for none. */
static inline void fix_open(struct fix *f, const struct store_dir_opts *opts)
{
	static const struct store_dir_opts none = { 0 };

	ck_assert_int_eq(store_dir_open(f->state, opts ? opts : &none, &f->d), 0);
	ck_assert_int_eq(store_open(f->d, ZONE, &f->s, &f->health), 0);
}

static inline void fix_close(struct fix *f)
{
	store_close(f->s);
	store_dir_close(f->d);
}

static inline void fix_new(struct fix *f, const struct store_dir_opts *opts)
{
	make_dir(f->state);
	f->version = 0;
	fix_open(f, opts);
	ck_assert_int_eq(f->health, STORE_EMPTY);
}

static inline void fix_end(struct fix *f)
{
	fix_close(f);
	rm_tree(f->state);
}

#endif
