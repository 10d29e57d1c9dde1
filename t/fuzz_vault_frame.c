/* SPDX-License-Identifier: GPL-3.0-or-later */
/* The frame codecs of PROTOCOL.vault: first octet: which frame, then its payload. What decodes must encode
 * the same. */
#include <stdlib.h>
#include <string.h>

#include "../src/vault/proto.h"
#include "base/err.h"
#include "fuzz.h"

static void same(const struct wr *w, const uint8_t *p, size_t len)
{
	if (w->err || w->len != len || memcmp(w->p, p, len) != 0)
		abort();
}

static void sign_frame(struct rd *r)
{
	struct proto_request q;
	size_t n = rd_u16(r);

	while (n-- && !r->err) {
		proto_get_request(r, &q);
		if (!r->err && (q.tbs_len > TBS_MAX || q.prio >= SIGN_PRIOS || !q.key || !q.tbs))
			abort();
	}
}

static void result_frame(struct rd *r)
{
	struct proto_result s;
	size_t n = rd_u16(r);

	while (n-- && !r->err) {
		proto_get_result(r, &s);
		if (!r->err && (s.sig_len > SIG_MAX || !s.sig))
			abort();
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct rd r = rd_init(data + 1, len ? len - 1 : 0);
	struct wr w = wr_growing(1 << 20);
	struct keymap_line l;
	struct proto_state s;
	struct proto_setup *setup;

	if (!len)
		return 0;
	switch (data[0] % 6) {
	case 0:
		sign_frame(&r);
		break;
	case 1:
		result_frame(&r);
		break;
	case 2:
		proto_get_line(&r, &l);
		if (rd_done(&r) == 0 && data[len - (l.has_pub ? 32 + 2 + 32 + 48 : 0) - 1] <= 1) {
			proto_put_line(&w, &l);
			same(&w, data + 1, len - 1);
		}
		break;
	case 3:
	case 4:
		if (proto_get_state(&r, &s, data[0] % 6 == 4) == 0 && data[1] <= 1) {
			proto_put_state(&w, &s, data[0] % 6 == 4);
			same(&w, data + 1, len - 1);
		}
		break;
	case 5:
		setup = malloc(sizeof(*setup));
		if (setup && proto_get_setup(&r, setup) == 0 && data[3] <= 1) {
			proto_put_setup(&w, setup);
			same(&w, data + 1, len - 1);
		}
		free(setup);
		break;
	}
	wr_free(&w);
	return 0;
}
