/* SPDX-License-Identifier: GPL-3.0-or-later */
/*
 * The input is what a client writes to the control socket: a frame's head and what it announces. What is
 * accepted must be a request, and must survive being sent.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include "../src/app/ctlproto.h"
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct ctl_request rq = { .args = NULL }, again = { .args = NULL };
	uint32_t n;
	uint8_t *frame;
	size_t flen;

	if (len < CTL_HEAD || ctl_head(data, &n) != 0)
		return 0;
	assert(n > 0 && n <= CTL_FRAME_MAX);
	if (n > len - CTL_HEAD)
		n = (uint32_t)(len - CTL_HEAD); /* a mutated head must not end every run here */
	if (ctl_request_parse(data + CTL_HEAD, n, &rq) != 0)
		return 0;
	assert(json_is_object(rq.args) && strlen(rq.verb) < sizeof(rq.verb));
	(void)ctl_zone_match(rq.verb, "example.com.");
	if (ctl_encode(json_pack("{s:i, s:s, s:O}", "v", CTL_VERSION, "verb", rq.verb, "args", rq.args),
		       &frame, &flen) == 0) {
		assert(ctl_request_parse(frame + CTL_HEAD, flen - CTL_HEAD, &again) == 0);
		assert(strcmp(again.verb, rq.verb) == 0 && json_equal(again.args, rq.args));
		ctl_request_clear(&again);
		free(frame);
	}
	ctl_request_clear(&rq);
	return 0;
}
